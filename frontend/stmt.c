/* Statements, calls and instances: binding parameters, checking types, running bodies. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

enum { MAX_CALLS = 60, MAX_DEPTH = 700 };

/* ---- types ---- */

DType type_dtype(Elab *e, const Frame *f, const Ast *type) {
  DType dt = dtype_parse(type->name);
  if (dt != DT_NONE) return dt;
  const char *names[DT_COUNT], *all = dtype_name(DT_NONE + 1);
  for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
    names[t - 1] = dtype_name((DType)t);
    if (t > 1) all = arena_printf(e->arena, "%s%s%s", all, t + 1 < DT_COUNT ? ", " : " and ", names[t - 1]);
  }
  elab_error(e, f, type, "unknown element type `%s`%s: there are %s", type->name,
             did_you_mean(e, type->name, names, DT_COUNT - 1), all);
}

/* "f32[B, N = 3, 32]": the type as written, with what its names stand for. */
static const char *type_text(Elab *e, Frame *f, const Ast *type) {
  const char *s = type->name;
  if (!type->num) return s;
  for (int i = 0; i < type->nkid; i++) {
    const Ast *k = type->kid[i];
    const char *sep = i ? ", " : "[";
    int64_t n;
    if (k->kind == AST_ELLIPSIS) s = arena_printf(e->arena, "%s%s...", s, sep);
    else if (k->kind == AST_NUM) s = arena_printf(e->arena, "%s%s%.10g", s, sep, (double)k->num);
    else if (!eval_extent(e, f, k, &n)) s = arena_printf(e->arena, "%s%s%s", s, sep, k->name);
    else
      s = arena_printf(e->arena, "%s%s%.*s = %lld", s, sep, k->end - k->begin, k->src->text + k->begin,
                       (long long)n);
  }
  return arena_printf(e->arena, "%s%s]", s, type->nkid ? "" : "[");
}

static _Noreturn void type_mismatch(Elab *e, Frame *f, const Frame *caller, const Ast *at, const Ast *type,
                                    Value v, const char *what, const char *why) {
  elab_report(e, caller, at, "%s must be %s, but is %s%s", what, type_text(e, f, type), value_text(e, v),
              why);
  elab_note_value(e, v, "the value");
  diag_note(e->diags, ast_loc(e, type), "the type is declared here");
  for (int i = 0; i < type->nkid; i++) {
    Dim *d = type->kid[i]->kind == AST_NAME ? find_dim(e->m, type->kid[i]->name) : NULL;
    if (!d || !d->has || !d->origin || f->library) continue;
    diag_note(e->diags, d->given ? ast_loc(e, d->given) : NULL, "%s = %lld %s", d->name, (long long)d->value,
              d->origin);
    if (!d->given && e->m->train && i == 0 && !strncmp(d->origin, "is given", 8))
      diag_note(e->diags, NULL, "the batch of training is another setting: --set batch=%lld",
                (long long)d->value);
  }
  diag_throw(e->diags);
}

static Value check_tensor(Elab *e, Frame *f, const Frame *caller, const Ast *at, const Ast *type, Value v,
                          const char *what) {
  DType want = type_dtype(e, f, type);
  if (v.kind == V_STATE) v = v_tensor(state_value(e, caller, at, v.u.state));
  if (v.kind == V_NUM && !type->nkid) v = v_tensor(t_scalar(e, f, at, want, v.u.num));
  if (v.kind != V_TENSOR) type_mismatch(e, f, caller, at, type, v, what, "");
  const Node *n = t_type(e, v.u.val);
  const Shape shape = n->shape;
  int dots = -1;
  for (int i = 0; i < type->nkid; i++)
    if (type->kid[i]->kind == AST_ELLIPSIS) {
      if (dots >= 0) elab_error(e, f, type, "a type has at most one `...`");
      dots = i;
    }
  int fixed = type->nkid - (dots >= 0);
  if (n->dt != want) type_mismatch(e, f, caller, at, type, v, what, "");
  if (dots < 0 ? shape.rank != fixed : shape.rank < fixed) type_mismatch(e, f, caller, at, type, v, what, "");
  for (int i = 0; i < type->nkid; i++) {
    const Ast *k = type->kid[i];
    if (i == dots) continue;
    int axis = dots >= 0 && i > dots ? shape.rank - (type->nkid - i) : i;
    int64_t extent;
    if (!eval_extent(e, f, k, &extent)) vars_set(e, &f->vars, k->name, v_num((double)shape.dim[axis]), k);
    else if (extent != shape.dim[axis])
      type_mismatch(e, f, caller, at, type, v, what,
                    arena_printf(e->arena, ": axis %d is %lld, not %lld", axis, (long long)shape.dim[axis],
                                 (long long)extent));
  }
  return v;
}

/* Types of values known when compiling. */
static const struct {
  const char *name;
  ValueKind kind;
} plain_types[] = {
    {"number", V_NUM},  {"int", V_NUM},   {"bool", V_BOOL},     {"string", V_STR},
    {"range", V_RANGE}, {"list", V_LIST}, {"module", V_MODULE}, {"init", V_INIT},
};
enum { PLAIN_TYPES = sizeof plain_types / sizeof *plain_types };

Value check_type(Elab *e, Frame *f, const Frame *caller, const Ast *at, const Ast *type, Value v,
                 const char *what) {
  if (type->num) return check_tensor(e, f, caller, at, type, v, what);
  for (int i = 0; i < PLAIN_TYPES; i++) {
    if (!name_is(type->name, plain_types[i].name)) continue;
    if (plain_types[i].kind == V_RANGE && v.kind == V_NUM)
      return (Value){.kind = V_RANGE, .u.range = {v.u.num, v.u.num}};
    if (v.kind != plain_types[i].kind)
      elab_error(e, caller, at, "%s must be %s, but is %s", what, value_kind_names()[plain_types[i].kind],
                 value_text(e, v));
    if (name_is(type->name, "int")) need_int(e, caller, at, v, what);
    return v;
  }
  if (dtype_parse(type->name) != DT_NONE) return check_tensor(e, f, caller, at, type, v, what);
  const char *names[PLAIN_TYPES];
  for (int i = 0; i < PLAIN_TYPES; i++) names[i] = plain_types[i].name;
  elab_error(e, f, type, "unknown type `%s`%s", type->name, did_you_mean(e, type->name, names, PLAIN_TYPES));
}

/* ---- frames and parameters ---- */

Frame *frame_new(Elab *e, Frame *caller, const Ast *decl, Module *self, const Loc *site) {
  Frame *f = NEW(e->arena, Frame);
  f->caller = caller;
  f->self = self;
  f->owner = self ? self : caller ? caller->owner : NULL;
  f->site = site;
  f->what = decl->name;
  f->src = decl->src;
  f->library = is_library(e->m, decl->src);
  f->training = caller ? caller->training : e->training;
  if (e->frozen && self && !self->probe) f->training = false;
  return f;
}

static void note_declared(Elab *e, const Ast *decl) {
  diag_note(e->diags, ast_loc(e, decl), "`%s` is declared here", decl->name);
}

/* What a call gives to one parameter. */
typedef struct {
  Value v;
  const Ast *from; /* NULL: nothing, so the default counts */
  Use *use;
} Given;

/* The next positional arguments, all of them for *name, or the argument of the parameter's name. */
static Given given_to(Elab *e, const Frame *caller, const Ast *at, const Ast *p, const Arg *arg, int narg,
                      bool *used, int *next) {
  Given g = {.v = v_none()};
  if (p->num) {
    int first = *next;
    while (*next < narg && !arg[*next].name) used[(*next)++] = true;
    g.v = v_list(e, *next - first);
    for (int k = first; k < *next; k++) g.v.u.list->v[k - first] = arg[k].v;
    g.from = at;
  } else if (*next < narg && !arg[*next].name) {
    used[*next] = true;
    g = (Given){arg[*next].v, arg[*next].at, arg[*next].use};
    ++*next;
  }
  for (int k = 0; k < narg; k++) {
    if (arg[k].name != p->name) continue;
    if (g.from) elab_error(e, caller, arg[k].at, "`%s` is given twice", p->name);
    g = (Given){arg[k].v, arg[k].at, arg[k].use};
    used[k] = true;
  }
  return g;
}

static Given default_of(Elab *e, Frame *f, const Frame *caller, const Ast *at, const Ast *decl,
                        const Ast *p) {
  if (!p->kid[1]) {
    elab_report(e, caller, at, "`%s` needs a value for `%s`", decl->name, p->name);
    note_declared(e, decl);
    diag_throw(e->diags);
  }
  Given g = {.use = e->watch->handed_on(f, p->kid[1])};
  e->silent += g.use != NULL;
  g.v = eval(e, f, p->kid[1]);
  e->silent -= g.use != NULL;
  return g;
}

static _Noreturn void argument_too_many(Elab *e, const Frame *caller, const Ast *decl, const Arg *arg) {
  int n = decl->nkid - 1;
  if (!arg->name) {
    elab_report(e, caller, arg->at, "`%s` takes %d argument%s, but more are given", decl->name, n,
                n == 1 ? "" : "s");
  } else {
    const char **names = NEWN(e->arena, const char *, n + 1);
    for (int i = 0; i < n; i++) names[i] = decl->kid[1 + i]->name;
    elab_report(e, caller, arg->at, "`%s` has no parameter `%s`%s", decl->name, arg->name,
                did_you_mean(e, arg->name, names, n));
  }
  note_declared(e, decl);
  diag_throw(e->diags);
}

/* Gives the parameters of decl their values in the new frame f. */
static void bind_params(Elab *e, Frame *f, const Ast *at, const Ast *decl, const Arg *arg, int narg) {
  const Frame *caller = f->caller ? f->caller : f;
  const char *whose = f->self ? f->self->decl->name : decl->name;
  int next = 0;
  bool *used = NEWN(e->arena, bool, narg + 1);
  for (int i = 1; i < decl->nkid; i++) {
    const Ast *p = decl->kid[i];
    Given g = given_to(e, caller, at, p, arg, narg, used, &next);
    if (!g.from) g = default_of(e, f, caller, at, decl, p);
    bool none_default =
        g.v.kind == V_NONE && p->kid[1] && p->kid[1]->kind == AST_NAME && name_is(p->kid[1]->name, "none");
    if (p->kid[0] && !none_default)
      g.v = check_type(e, f, g.from ? caller : f, g.from ? g.from : p, p->kid[0], g.v,
                       arena_printf(e->arena, "`%s` of %s", p->name, whose));
    vars_set(e, &f->vars, p->name, g.v, g.from ? g.from : p);
    note_value(e, p, g.v);
    e->watch->bound(e, f, g.use, p, whose);
  }
  for (int k = 0; k < narg; k++)
    if (!used[k]) argument_too_many(e, caller, decl, &arg[k]);
}

/* ---- calls ---- */

static void enter_call(Elab *e, Frame *f, const Ast *at, const Ast *decl) {
  if (++e->calls > MAX_CALLS)
    elab_lost(e, f, at, arena_printf(e->arena, "calls of `%s` nest too deeply", decl->name));
}

static Value call_function(Elab *e, Frame *f, const Ast *at, const Ast *decl, Module *self, const Arg *arg,
                           int narg) {
  enter_call(e, f, at, decl);
  const Loc *site = elab_loc(e, f, at);
  if (self && self->path) { /* what the library does there, it does in this instance */
    Loc *inside = NEW(e->arena, Loc);
    *inside = *site;
    inside->module = self->path;
    site = inside;
  }
  Frame *callee = frame_new(e, f, decl, self, site);
  bind_params(e, callee, at, decl, arg, narg);
  exec_block(e, callee, decl->kid[0]);
  if (callee->failed) diag_throw(e->diags);
  if (!callee->returned) elab_error(e, f, at, "`%s` returns nothing", decl->name);
  e->calls--;
  return callee->result;
}

Value instantiate(Elab *e, Frame *f, const Ast *at, const Ast *decl, const Arg *arg, int narg) {
  Module *m = NEW(e->arena, Module);
  m->decl = decl;
  m->probe = f->owner && f->owner->probe;
  m->site = at ? elab_loc(e, f, at) : NULL;
  if (!at) at = decl; /* the root: nobody in the file calls it */
  enter_call(e, f, at, decl);
  Frame *body = frame_new(e, f, decl, m, m->site);
  bind_params(e, body, at, decl, arg, narg);
  m->args = body->vars;
  body->vars = (Vars){0};
  body->fields = true;
  if (name_is(decl->word, "source")) {
    const char *batch = word(e, "batch");
    Value *size = vars_find(&f->vars, batch);
    if (size) vars_set(e, &m->fields, batch, *size, at);
  }
  bool source = name_is(decl->word, "source");
  e->silent += source; /* the lint knows which settings serve which field */
  exec_block(e, body, decl->kid[0]);
  e->silent -= source;
  e->calls--;
  return v_module(m);
}

/* Built-in parameters come as "x axis? *". */
static Value call_builtin(Elab *e, Frame *f, const Ast *at, const Builtin *b, const Arg *arg, int narg) {
  Call c = {.frame = f, .at = at};
  const char *p = b->params;
  int next = 0, slot = 0;
  if (*p == '*') {
    while (next < narg && !arg[next].name) next++;
    c.rest = arg;
    c.nrest = next;
    p += p[1] == ' ' ? 2 : 1;
  }
  int given = next;
  while (*p) {
    size_t len = strcspn(p, " ?");
    bool optional = p[len] == '?';
    const Arg *found = NULL;
    if (next < narg && !arg[next].name) found = &arg[next++];
    for (int k = 0; k < narg && !found; k++)
      if (arg[k].name && strlen(arg[k].name) == len && !memcmp(arg[k].name, p, len)) found = &arg[k];
    if (found) {
      c.arg[slot] = found->v;
      given++;
    } else if (!optional) {
      elab_error(e, f, at, "`%s` needs a value for `%.*s`", b->name, (int)len, p);
    }
    slot++;
    p += len + optional;
    p += strspn(p, " ");
  }
  if (given != narg) {
    for (int k = next; k < narg; k++)
      if (arg[k].name && !strstr(b->params, arg[k].name))
        elab_error(e, f, arg[k].at, "`%s` has no parameter `%s`; it takes (%s)", b->name, arg[k].name,
                   b->params);
    elab_error(e, f, at, "`%s` is given too many arguments; it takes (%s)", b->name, b->params);
  }
  return b->fn(e, &c);
}

/* Is some scan going through this stack? */
static bool scans(Elab *e, Value module) {
  StateVec states = {0};
  collect_states(e, module, &states);
  return !states.n || states.v[0]->scan;
}

Value call_value(Elab *e, Frame *f, const Ast *at, Value callee, const Arg *arg, int narg) {
  Value forward;
  switch (callee.kind) {
  case V_FUNC: return call_function(e, f, at, callee.u.fn.decl, callee.u.fn.self, arg, narg);
  case V_MODEL: return instantiate(e, f, at, callee.u.fn.decl, arg, narg);
  case V_BUILTIN: e->watch->applied(e, arg, narg); return call_builtin(e, f, at, callee.u.builtin, arg, narg);
  case V_PRIM: e->watch->applied(e, arg, narg); return t_prim(e, f, at, callee.u.op, arg, narg);
  case V_DTYPE:
    if (narg != 1 || arg[0].name) elab_error(e, f, at, "a conversion takes one value");
    e->watch->applied(e, arg, narg);
    return t_cast(e, f, at, arg[0].v, callee.u.dt);
  case V_MODULE:
    if (callee.u.module->stack && !scans(e, callee))
      elab_error(e, f, at, "%s is a stack of %lld: `scan layer in ...` goes through it, and applies `layer`",
                 value_text(e, callee), (long long)callee.u.module->stack);
    if (!module_lookup(e, callee.u.module, word(e, "forward"), &forward) || forward.kind != V_FUNC) {
      elab_report(e, f, at, "%s cannot be applied: it has no function `forward`", value_text(e, callee));
      note_declared(e, callee.u.module->decl);
      diag_throw(e->diags);
    }
    return call_function(e, f, at, forward.u.fn.decl, callee.u.module, arg, narg);
  default: elab_error(e, f, at, "%s cannot be called", value_text(e, callee));
  }
}

Value call_library(Elab *e, Frame *f, const Ast *at, const char *name, const Value *v, int n) {
  const Value *fn = globals_find(&e->m->library, word(e, name));
  if (!fn) bug("the library has no function %s", name);
  Arg *arg = NEWN(e->arena, Arg, n + 1);
  for (int i = 0; i < n; i++) arg[i] = (Arg){.v = v[i], .at = at};
  return call_value(e, f, at, *fn, arg, n);
}

/* ---- statements ---- */

static void assign(Elab *e, Frame *f, const char *name, Value v, const Ast *at) {
  note_value(e, at, v);
  if (!f->fields) {
    Value old;
    if (f->self && !f->library && module_lookup(e, f->self, name, &old) && old.kind == V_STATE)
      elab_error(e, f, at, "`%s` is a state of %s; change it with `update %s = ...`", name,
                 f->self->decl->name, name);
    vars_set(e, &f->vars, name, v, at);
    return;
  }
  if (vars_find(&f->self->fields, name))
    elab_error(e, f, at, "`%s` is defined twice in %s", name, f->self->decl->name);
  vars_set(e, &f->self->fields, name, v, at);
  if (f->self->path) assign_field_path(e, f->self, name, v);
}

static void exec_assign(Elab *e, Frame *f, const Ast *a) {
  Value v = eval(e, f, a->kid[0]);
  int n = a->nkid - 1;
  if (n == 1) {
    assign(e, f, a->kid[1]->name, v, a->kid[1]);
    return;
  }
  if (v.kind != V_LIST && v.kind != V_RECORD)
    elab_error(e, f, a, "%d names on the left, but the value is %s", n, value_text(e, v));
  if (v.u.list->n != n) elab_error(e, f, a, "%d names on the left, but %d values", n, v.u.list->n);
  for (int i = 0; i < n; i++) assign(e, f, a->kid[1 + i]->name, v.u.list->v[i], a->kid[1 + i]);
}

static void exec_state(Elab *e, Frame *f, const Ast *a) {
  bool slot = name_is(a->word, "slot");
  if (!slot && !f->fields) elab_error(e, f, a, "a %s is a field of a model, not of a function", a->word);
  if (slot && !f->param) elab_error(e, f, a, "a slot belongs in an optimizer's `each p, g { }`");
  if (slot && vars_find(&f->vars, a->name)) elab_error(e, f, a, "`%s` is defined twice", a->name);
  State *s = state_new(e, f, a, slot ? &f->param->shape : NULL);
  Value v = {.kind = V_STATE, .u.state = s};
  if (slot) {
    s->name = arena_printf(e->arena, "optimizer.%s.%s", f->param->name, a->name);
    vars_set(e, &f->vars, a->name, v, a);
  } else {
    assign(e, f, a->name, v, a);
  }
}

/* The state an update names: of the optimizer's parameter, or of the instance. */
static State *update_target(Elab *e, Frame *f, const Ast *a) {
  const Value *v = vars_find(&f->vars, a->name);
  if (v && v->kind == V_STATE) return v->u.state;
  if (v && v->kind == V_WRONG) diag_throw(e->diags);
  v = f->self ? vars_find(&f->self->fields, a->name) : NULL;
  if (v && v->kind == V_WRONG) diag_throw(e->diags);
  if (v && v->kind == V_STATE && v->u.state->kind == IN_BUFFER) return v->u.state;
  const char *names[64];
  int n = 0;
  if (v && v->kind == V_STATE)
    elab_error(e, f, a, "`%s` is a parameter: only the optimizer updates it (a buffer can be updated)",
               a->name);
  for (int i = 0; f->self && i < f->self->fields.n && n < 64; i++)
    if (f->self->fields.v[i].v.kind == V_STATE) names[n++] = f->self->fields.v[i].name;
  elab_error(e, f, a, "there is no buffer `%s` to update%s", a->name, did_you_mean(e, a->name, names, n));
}

static void exec_update(Elab *e, Frame *f, const Ast *a) {
  State *s = update_target(e, f, a);
  if (s->kind == IN_BUFFER && !f->training) return;
  if (e->scan)
    elab_error(e, f, a, "a scan cannot update `%s`: there is one state, and a new value in every step",
               a->name);
  Val old = state_value(e, f, a, s);
  Value v = eval(e, f, a->kid[0]);
  if (v.kind == V_NUM) v = v_tensor(t_scalar(e, f, a, s->dt, v.u.num));
  Val t = need_tensor(e, f, a->kid[0], v, "the new value");
  const Node *n = t_type(e, t), *o = t_type(e, old);
  if (n->dt != o->dt || !shape_eq(&n->shape, &o->shape)) {
    elab_report(e, f, a, "`%s` is %s, but its new value is %s", a->name, value_text(e, v_tensor(old)),
                value_text(e, v));
    elab_note_value(e, v, "the value");
    diag_throw(e->diags);
  }
  s->value = t;
}

static void return_value(Elab *e, Frame *f, const Ast *a, void *of) { *(Value *)of = eval(e, f, a); }

static void exec_return(Elab *e, Frame *f, const Ast *a) {
  if (f->fields) elab_error(e, f, a, "`return` belongs in a function");
  Value l = v_list(e, a->nkid);
  List *list = (List *)l.u.list;
  l.kind = V_RECORD;
  list->name = NEWN(e->arena, const char *, a->nkid);
  for (int i = 0; i < a->nkid; i++) {
    const Ast *k = a->kid[i]->kid[0];
    Value v;
    list->v[i] = (Value){.kind = V_WRONG};
    if (!elab_attempt(e, f, k, return_value, &list->v[i]) && k->kind == AST_NAME &&
        !eval_lookup(e, f, k->name, &v))
      l.kind = V_WRONG; /* a misspelt name is no result's */
    list->name[i] = a->kid[i]->name;
  }
  f->result = a->nkid == 1 && !f->record ? list->v[0] : l;
  f->returned = true;
}

static void exec_if(Elab *e, Frame *f, const Ast *a) {
  bool c = need_bool(e, f, a->kid[0], eval(e, f, a->kid[0]), "a condition");
  if (c) exec_block(e, f, a->kid[1]);
  else if (a->nkid == 3) {
    if (a->kid[2]->kind == AST_IF) exec_if(e, f, a->kid[2]);
    else exec_block(e, f, a->kid[2]);
  }
}

static void exec_repeat(Elab *e, Frame *f, const Ast *a) {
  if (name_is(a->word, "scan")) {
    exec_scan(e, f, a);
    return;
  }
  Value over = eval_sequence(e, f, a->kid[0], eval(e, f, a->kid[0]));
  for (int i = 0; i < over.u.list->n && !f->returned; i++) {
    vars_set(e, &f->vars, a->name, over.u.list->v[i], a);
    note_value(e, a, over.u.list->v[i]);
    exec_block(e, f, a->kid[1]);
  }
}

/* {name} in a message stands for a value. */
static const char *message_text(Elab *e, Frame *f, const char *s) {
  StrBuf b = {0};
  for (const char *p = s; *p;) {
    const char *end = *p == '{' ? strchr(p, '}') : NULL;
    Value v;
    if (end && eval_lookup(e, f, intern(e->m->names, p + 1, (size_t)(end - p - 1)), &v)) {
      sb_printf(&b, "%s", value_text(e, v));
      p = end + 1;
    } else {
      sb_put(&b, p++, 1);
    }
  }
  const char *text = arena_strdup(e->arena, b.s ? b.s : "");
  sb_free(&b);
  return text;
}

static void exec_ignored(Elab *e, Frame *f, const Ast *a) { e->watch->ignored(e, f, a); }

static void exec_require(Elab *e, Frame *f, const Ast *a) {
  e->silent++; /* a check is no use of what it checks */
  bool holds = need_bool(e, f, a->kid[0], eval(e, f, a->kid[0]), "a requirement");
  e->silent--;
  if (holds) return;
  Value v = eval(e, f, a->kid[1]);
  if (v.kind != V_STR) elab_error(e, f, a->kid[1], "the message must be a string");
  const Frame *at = f->caller && f->site ? f : NULL;
  const char *text = message_text(e, f, v.u.str);
  if (!at || !f->site->src) elab_error(e, f, a, "%s", text);
  /* the caller is at fault */
  diag_error(e->diags, f->site, "%s", text);
  diag_note(e->diags, ast_loc(e, a), "required here");
  elab_note_settings(e, f, a);
  diag_throw(e->diags);
}

static void exec_children(Elab *e, Frame *f, const Ast *a) {
  if (!f->fields) elab_error(e, f, a, "`children` belongs in the body of a model");
  Value v = eval(e, f, a->kid[0]);
  if (v.kind != V_LIST) elab_error(e, f, a, "the children must be a list, but are %s", value_text(e, v));
  const char *prefix = "";
  if (a->nkid > 1) {
    Value name = eval(e, f, a->kid[1]);
    if (name.kind != V_STR)
      elab_error(e, f, a->kid[1], "what the children's names begin with must be a string");
    prefix = name.u.str;
  }
  size_t head = strcspn(prefix, "*");
  const char *tail = prefix[head] ? prefix + head + 1 : "";
  for (int i = 0; i < v.u.list->n; i++)
    assign(e, f, word(e, arena_printf(e->arena, "%.*s%d%s", (int)head, prefix, i, tail)), v.u.list->v[i], a);
}

static void exec_each(Elab *e, Frame *f, const Ast *a) {
  if (!f->fields || !name_is(f->self->decl->word, "optimizer"))
    elab_error(e, f, a, "`each` belongs in the body of an optimizer");
  f->self->each = a;
}

static void exec_declaration(Elab *e, Frame *f, const Ast *a) {
  if (f->fields && f->block == f->self->decl->kid[0]) return;
  elab_error(e, f, a, "this declaration belongs in the body of a model, outside `if` and `repeat`");
}

static void exec_misplaced(Elab *e, Frame *f, const Ast *a) {
  elab_error(e, f, a, "this statement belongs in a train section");
}

void exec_statement(Elab *e, Frame *f, const Ast *a) {
  static void (*const rules[])(Elab *, Frame *, const Ast *) = {
      [AST_ASSIGN] = exec_assign,
      [AST_DECL_STATE] = exec_state,
      [AST_UPDATE] = exec_update,
      [AST_RETURN] = exec_return,
      [AST_IF] = exec_if,
      [AST_REPEAT] = exec_repeat,
      [AST_COLLECT] = exec_collect,
      [AST_REQUIRE] = exec_require,
      [AST_CHILDREN] = exec_children,
      [AST_IGNORED] = exec_ignored,
      [AST_EACH] = exec_each,
      [AST_DECL_FIELD] = exec_declaration,
      [AST_FUNC] = exec_declaration,
      [AST_METRIC] = exec_misplaced,
      [AST_BIND] = exec_misplaced,
      [AST_MINIMIZE] = exec_misplaced,
      [AST_PROBE] = exec_misplaced,
      [AST_OBJECTIVE] = exec_misplaced,
      [AST_MONITOR] = exec_misplaced,
  };
  e->at = a;
  elab_spend(e, 1);
  rules[a->kind](e, f, a);
}

/* After an error in a statement, what it would have given values to has none. */
static void spoil(Elab *e, Frame *f, const Ast *a) {
  const Value wrong = {.kind = V_WRONG};
  Vars *vars = f->fields ? &f->self->fields : &f->vars;
  if (a->kind == AST_ASSIGN)
    for (int i = 1; i < a->nkid; i++) vars_set(e, vars, a->kid[i]->name, wrong, a->kid[i]);
  if ((a->kind == AST_DECL_STATE && a->name) || a->kind == AST_COLLECT) vars_set(e, vars, a->name, wrong, a);
  if (a->kind == AST_RETURN) f->returned = true;
  if (a->kind == AST_IF || a->kind == AST_REPEAT || a->kind == AST_BLOCK)
    for (int i = 0; i < a->nkid; i++) spoil(e, f, a->kid[i]);
}

bool elab_attempt(Elab *e, Frame *f, const Ast *a, void (*step)(Elab *, Frame *, const Ast *, void *),
                  void *of) {
  enum { ENOUGH = 20 };
  const int depth = e->depth, calls = e->calls, silent = e->silent;
  const bool frozen = e->frozen;
  Scan *scan = e->scan;
  jmp_buf env, **trap = diags_trap(e->diags), *saved = *trap;
  *trap = &env;
  if (!setjmp(env)) {
    step(e, f, a, of);
    *trap = saved;
    return true;
  }
  *trap = saved;
  if (e->lost || diags_errors(e->diags) >= ENOUGH) diag_throw(e->diags);
  e->depth = depth;
  e->calls = calls;
  e->silent = silent;
  e->frozen = frozen;
  e->scan = scan;
  e->failed = f->failed = true;
  return false;
}

static void run_statement(Elab *e, Frame *f, const Ast *a, void *of) {
  (void)of;
  exec_statement(e, f, a);
}

void exec_block(Elab *e, Frame *f, const Ast *block) {
  if (++e->depth > MAX_DEPTH) elab_lost(e, f, block, "nested too deeply");
  const Ast *outer = f->block;
  for (int i = 0; i < block->nkid && !f->returned; i++) {
    f->block = block; /* a statement that was given up may have left another */
    if (!elab_attempt(e, f, block->kid[i], run_statement, NULL)) spoil(e, f, block->kid[i]);
  }
  f->block = outer;
  e->depth--;
}
