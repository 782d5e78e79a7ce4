/* Parameters, buffers and slots: making them, naming them by dotted field path, and averaged copies of
   modules. */
#include "frontend/elab.h"

#include <string.h>

State *state_new(Elab *e, Frame *f, const Ast *decl, const Shape *like) {
  static const struct {
    const char *word;
    InputKind kind;
  } kinds[] = {{"param", IN_PARAM}, {"buffer", IN_BUFFER}, {"slot", IN_SLOT}};
  State *s = NEW(e->arena, State);
  for (int i = 0; i < 3; i++)
    if (name_is(decl->word, kinds[i].word)) s->kind = kinds[i].kind;
  const Ast *type = decl->kid[0];
  s->dt = type ? type_dtype(e, f, type) : DT_F32;
  if (s->kind == IN_PARAM && !dtype_is_float(s->dt))
    elab_error(e, f, type, "a parameter is trained, so it must be a float, not %s", dtype_name(s->dt));
  if (type && type->num) {
    if (type->nkid > MAX_RANK) elab_error(e, f, type, "at most %d axes are supported", MAX_RANK);
    s->shape.rank = type->nkid;
    for (int i = 0; i < type->nkid; i++) {
      const Ast *k = type->kid[i];
      if (k->kind == AST_ELLIPSIS) elab_error(e, f, k, "a state needs every extent");
      s->shape.dim[i] = need_int(e, f, k, eval(e, f, k), "an extent");
      if (s->shape.dim[i] < 1 || s->shape.dim[i] > ((int64_t)1 << 32))
        elab_error(e, f, k, "axis %d of `%s` has the extent %lld, expected 1 to 2^32", i, decl->name,
                   (long long)s->shape.dim[i]);
    }
  } else if (like) {
    s->shape = *like;
  }
  t_fits(e, f, decl, s->dt, &s->shape);
  Value init = eval(e, f, decl->kid[1]);
  if (init.kind == V_NUM) s->init = (Init){.kind = INIT_FILL, .a = init.u.num};
  else if (init.kind == V_INIT) s->init = *init.u.init;
  else
    elab_error(e, f, decl->kid[1], "the initial value must be a number or an initializer, but is %s",
               value_text(e, init));
  const char *misfit = init_misfit(s->dt, &s->init);
  if (misfit)
    elab_error(e, f, decl->kid[1], "this cannot be the initial value of a state of type %s: %s",
               dtype_name(s->dt), misfit);
  s->loc = elab_loc(e, f, decl);
  s->input = s->value = s->part = -1;
  return s;
}

uint32_t stream_of(const char *salt, const char *path, uint32_t call) {
  uint64_t h = hash_bytes(path, strlen(path), hash_bytes(salt, strlen(salt), call));
  return (uint32_t)(h ^ h >> 32);
}

Val state_value(Elab *e, const Frame *f, const Ast *at, State *s) {
  if (s->input >= 0) return s->scan ? scan_state(e, s) : s->value;
  if (!s->name)
    elab_error(e, f, at,
               "this state has no name yet: a module with parameters must be a field of a model, and is "
               "applied in its functions");
  const Loc *saved = e->g->loc;
  Role role = e->g->role;
  e->g->loc = s->loc;
  e->g->role = ROLE_FORWARD;
  const State *own =
      s; /* a copy whose source this graph does not read starts from the same numbers by itself */
  while (own->source) own = own->source;
  Init init = own->init;
  if (s->source && s->source->input >= 0) {
    own = s;
    init = (Init){.kind = INIT_COPY, .from = s->source->name};
  }
  init.stream = stream_of("init", own->name, 0);
  s->input = s->value = g_input(e->g, s->name, s->kind, s->dt, &s->shape, &init);
  e->g->loc = saved;
  e->g->role = role;
  return s->scan ? scan_state(e, s) : s->value;
}

void assign_paths(Elab *e, Value v, const char *path) {
  elab_enter(e);
  elab_spend(e, (int64_t)(strlen(path) / 16));
  if (v.kind == V_STATE) {
    if (!v.u.state->name) v.u.state->name = path;
  } else if (v.kind == V_LIST) {
    for (int i = 0; i < v.u.list->n; i++)
      if (v.u.list->v[i].kind == V_STATE || v.u.list->v[i].kind == V_MODULE || v.u.list->v[i].kind == V_LIST)
        assign_paths(e, v.u.list->v[i], arena_printf(e->arena, "%s.%d", path, i));
  } else if (v.kind == V_MODULE && !v.u.module->path) {
    Module *m = v.u.module;
    m->path = path;
    for (int i = 0; i < m->fields.n; i++) assign_field_path(e, m, m->fields.v[i].name, m->fields.v[i].v);
  }
  elab_leave(e);
}

void assign_field_path(Elab *e, Module *m, const char *name, Value v) {
  if (v.kind != V_STATE && v.kind != V_MODULE && v.kind != V_LIST) return;
  assign_paths(e, v, *m->path ? arena_printf(e->arena, "%s.%s", m->path, name) : name);
}

void collect_states(Elab *e, Value v, StateVec *out) {
  elab_enter(e);
  if (v.kind == V_STATE) {
    int i = 0;
    while (i < out->n && out->v[i] != v.u.state) i++;
    if (i == out->n) vec_push(e->arena, out, v.u.state);
    elab_spend(e, out->n / 256);
  } else if (v.kind == V_LIST) {
    for (int i = 0; i < v.u.list->n; i++) collect_states(e, v.u.list->v[i], out);
  } else if (v.kind == V_MODULE) {
    for (int i = 0; i < v.u.module->fields.n; i++) collect_states(e, v.u.module->fields.v[i].v, out);
  }
  elab_leave(e);
}

/* ---- averaged copies ---- */

typedef struct {
  Elab *e;
  Vars *pairs;
  VEC(Value) from, to; /* modules and states already copied, so that sharing is kept */
} Cloner;

static Value clone(Cloner *c, Value v);

static void clone_vars(Cloner *c, const Vars *from, Vars *to) {
  for (int i = 0; i < from->n; i++) {
    Var var = from->v[i];
    var.v = clone(c, var.v);
    vec_push(c->e->arena, to, var);
  }
}

static Value clone_within(Cloner *c, Value v) {
  Arena *a = c->e->arena;
  if (v.kind == V_LIST) {
    Value l = v_list(c->e, v.u.list->n);
    for (int i = 0; i < v.u.list->n; i++) l.u.list->v[i] = clone(c, v.u.list->v[i]);
    return l;
  }
  if (v.kind != V_STATE && v.kind != V_MODULE) return v;
  elab_spend(c->e, c->from.n / 256);
  for (int i = 0; i < c->from.n; i++) {
    Value w = c->from.v[i];
    if (w.kind == v.kind && (v.kind == V_STATE ? w.u.state == v.u.state : w.u.module == v.u.module))
      return c->to.v[i];
  }
  Value copy = v;
  if (v.kind == V_STATE) {
    State *s = NEW(a, State);
    *s = *v.u.state;
    s->name = NULL;
    s->source = v.u.state;
    s->input = s->value = s->part = -1;
    copy.u.state = s;
    if (s->kind == IN_PARAM) {
      Var pair = {.name = "", .v = copy};
      s->kind = IN_BUFFER;
      vec_push(a, c->pairs, pair);
    }
  }
  if (v.kind == V_MODULE) {
    Module *m = NEW(a, Module);
    *m = *v.u.module;
    m->path = NULL;
    m->args = m->fields = (Vars){0};
    copy.u.module = m;
  }
  vec_push(a, &c->from, v);
  vec_push(a, &c->to, copy);
  if (v.kind == V_MODULE) {
    clone_vars(c, &v.u.module->args, &copy.u.module->args);
    clone_vars(c, &v.u.module->fields, &copy.u.module->fields);
  }
  return copy;
}

static Value clone(Cloner *c, Value v) {
  elab_enter(c->e);
  Value copy = clone_within(c, v);
  elab_leave(c->e);
  return copy;
}

/* ema(module, decay = ...): the decay is arithmetic of the training step, so it is evaluated there. */
Value make_average(Elab *e, Frame *f, const Ast *call) {
  const Ast *decay = NULL, *module = NULL;
  for (int i = 1; i < call->nkid; i++) {
    const Ast *k = call->kid[i];
    bool is_decay = k->name ? name_is(k->name, "decay") : i == 2;
    bool is_module = k->name ? name_is(k->name, "module") : i == 1;
    if (k->kind == AST_SPREAD || (!is_decay && !is_module) || (is_decay ? decay : module) != NULL)
      elab_error(e, f, k, "`ema` takes (module, decay)");
    if (is_decay) decay = k->kid[0];
    else module = k->kid[0];
  }
  if (!decay || !module) elab_error(e, f, call, "`ema` takes (module, decay)");
  Value v = eval(e, f, module);
  if (v.kind != V_MODULE) elab_error(e, f, module, "`ema` averages a module, not %s", value_text(e, v));
  if (!f->fields) elab_error(e, f, call, "an averaged module must be a field of a model");
  Average avg = {.decay = decay, .frame = f};
  Cloner c = {.e = e, .pairs = &avg.pairs};
  Value copy = clone(&c, v);
  avg.module = copy.u.module;
  if (!avg.pairs.n) {
    elab_report(e, f, decay, "`decay` has no effect: %s has no parameters to average", value_text(e, v));
    if (v.u.module->site) diag_note(e->diags, v.u.module->site, "the module is made here");
    diag_throw(e->diags);
  }
  vec_push(e->arena, &e->averages, avg);
  return copy;
}

void output_updates(Elab *e, const StateVec *states) {
  for (int i = 0; i < states->n; i++) {
    const State *s = states->v[i];
    if (s->input >= 0 && s->value != s->input)
      g_output(e->g, s->name, s->value, g_node(e->g, s->input)->input);
  }
}
