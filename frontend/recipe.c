/* The train section as numbers: settings, the data source with its typed fields, and the frame its equations
   run in. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

static const char *const setting_names[] = {"data",     "optimizer", "batch",      "epochs",    "steps",
                                            "seed",     "clip_norm", "accumulate", "eval",      "precision",
                                            "validate", "best",      "patience",   "sync_norm", NULL};

const char *train_setting_name(int i) { return setting_names[i]; }

bool is_train_setting(const char *name) {
  for (int i = 0; setting_names[i]; i++)
    if (name_is(name, setting_names[i])) return true;
  return false;
}

const Ast *train_setting(Elab *e, const char *name) {
  const Ast *block = e->m->train->kid[0];
  for (int i = 0; i < block->nkid; i++)
    if (block->kid[i]->kind == AST_ASSIGN && name_is(block->kid[i]->kid[1]->name, name))
      return block->kid[i]->kid[0];
  return NULL;
}

static void check_setting(Elab *e, Frame *f, const Ast *k, void *of) {
  const Ast *block = e->m->train->kid[0];
  int *minimized = of;
  switch (k->kind) {
  case AST_ASSIGN:
    if (k->nkid > 2) elab_error(e, f, k, "a setting is one name and one value");
    if (!is_train_setting(k->kid[1]->name))
      elab_error(e, f, k->kid[1], "there is no setting `%s` in a train section%s", k->kid[1]->name,
                 did_you_mean(e, k->kid[1]->name, setting_names,
                              (int)(sizeof setting_names / sizeof *setting_names) - 1));
    for (int j = 0; block->kid[j] != k; j++)
      if (block->kid[j]->kind == AST_ASSIGN && block->kid[j]->kid[1]->name == k->kid[1]->name)
        elab_error(e, f, k->kid[1], "`%s` is set twice", k->kid[1]->name);
    break;
  case AST_MINIMIZE:
    if ((*minimized)++) elab_error(e, f, k, "a train section has one `minimize` (add objectives up in it)");
    break;
  case AST_PROBE:
  case AST_OBJECTIVE:
    for (int j = 0; block->kid[j] != k; j++)
      if (block->kid[j]->kind == k->kind && block->kid[j]->name == k->name)
        elab_error(e, f, k, "there is already %s `%s`", k->kind == AST_PROBE ? "a probe" : "an objective",
                   k->name);
    break;
  case AST_BIND:
  case AST_MONITOR:
  case AST_METRIC: break;
  default: elab_error(e, f, k, "this statement does not belong in a train section");
  }
}

static void check_settings(Elab *e, Frame *f) {
  static const char *const needed[] = {"optimizer", "batch"};
  const Ast *block = e->m->train->kid[0];
  int minimized = 0;
  for (int i = 0; i < block->nkid; i++) elab_attempt(e, f, block->kid[i], check_setting, &minimized);
  if (f->failed) diag_throw(e->diags);
  for (int i = 0; i < 2; i++)
    if (!train_setting(e, needed[i]))
      elab_error(e, f, e->m->train, "the train section lacks `%s = ...`", needed[i]);
  if (!minimized) elab_error(e, f, e->m->train, "the train section lacks `minimize`");
}

static int64_t count_setting(Elab *e, Frame *f, const char *name, int64_t absent, int64_t least) {
  const Ast *a = train_setting(e, name);
  if (!a) return absent;
  int64_t n = need_int(e, f, a, eval(e, f, a), arena_printf(e->arena, "`%s`", name));
  if (n < least)
    elab_error(e, f, a, "`%s` is %lld, but must be at least %lld", name, (long long)n, (long long)least);
  return n;
}

int64_t recipe_accumulate(Elab *e, Frame *f) { return count_setting(e, f, "accumulate", 1, 1); }

/* ---- data ---- */

static Shape field_shape(Elab *e, Frame *f, const Ast *type) {
  Shape s = {.rank = type->nkid};
  e->silent++; /* the lint knows which settings serve which field */
  for (int i = 0; i < type->nkid; i++)
    s.dim[i] = need_int(e, f, type->kid[i], eval(e, f, type->kid[i]), "an extent");
  e->silent--;
  return s;
}

static Value *argument(Elab *e, const Module *m, const char *name) {
  return vars_find(&m->args, word(e, name));
}

/* What array(NAME, SHAPE, TYPE) says of one of a source's `fields`. */
static DataField listed_field(Elab *e, Frame *f, Value v, int64_t batch) {
  const Ast *at = train_setting(e, "data");
  if (v.kind != V_MODULE || !name_is(v.u.module->decl->name, "array"))
    elab_error(e, f, at, "the fields of a data source are listed as array(...), not %s", value_text(e, v));
  const Module *m = v.u.module;
  Shape inner = need_shape(e, f, at, *argument(e, m, "shape"), "the shape of an array");
  if (inner.rank == MAX_RANK)
    elab_error(e, f, at, "an array has at most %d axes beside the batch", MAX_RANK - 1);
  DataField field = {word(e, argument(e, m, "name")->u.str), dtype_parse(argument(e, m, "type")->u.str), {0}};
  field.shape.rank = inner.rank + 1;
  field.shape.dim[0] = batch;
  memcpy(field.shape.dim + 1, inner.dim, (size_t)inner.rank * sizeof *inner.dim);
  return field;
}

DataFields data_fields(Elab *e, Frame *f, Module *source) {
  DataFields fields = {0};
  Frame *own = frame_new(e, f, source->decl, source, source->site);
  const Ast *body = source->decl->kid[0];
  for (int i = 0; i < body->nkid; i++) {
    if (body->kid[i]->kind != AST_DECL_FIELD) continue;
    const Ast *type = body->kid[i]->kid[0];
    DataField field = {body->kid[i]->name, type_dtype(e, own, type), field_shape(e, own, type)};
    vec_push(e->arena, &fields, field);
  }
  const Value *listed = argument(e, source, "fields"), *batch = vars_find(&source->fields, word(e, "batch"));
  for (int i = 0; listed && listed->kind == V_LIST && i < listed->u.list->n; i++) {
    DataField field = listed_field(e, f, listed->u.list->v[i], batch ? (int64_t)batch->u.num : 1);
    for (int k = 0; k < fields.n; k++)
      if (fields.v[k].name == field.name)
        elab_error(e, f, train_setting(e, "data"), "there are two arrays `%s`", field.name);
    vec_push(e->arena, &fields, field);
  }
  return fields;
}

/* The setting of array(NAME, ...) among a source's `fields`; NULL: no such array. */
static const Module *find_listed(Elab *e, const Module *source, const char *name) {
  const Value *listed = argument(e, source, "fields");
  for (int i = 0; listed && listed->kind == V_LIST && i < listed->u.list->n; i++) {
    const Value v = listed->u.list->v[i];
    const Value *own = v.kind == V_MODULE ? argument(e, v.u.module, "name") : NULL;
    if (own && own->kind == V_STR && !strcmp(own->u.str, name)) return v.u.module;
  }
  return NULL;
}

bool data_has_field(Elab *e, const Module *source, const char *name) {
  const Ast *body = source->decl->kid[0];
  for (int i = 0; i < body->nkid; i++)
    if (body->kid[i]->kind == AST_DECL_FIELD && body->kid[i]->name == name) return true;
  return find_listed(e, source, name);
}

/* A field of labels holds numbers below this; 0: not known. */
static int64_t field_classes(Elab *e, const Module *source, const char *name) {
  const Module *array = find_listed(e, source, name);
  const Value *v = array ? argument(e, array, "classes") : vars_find(&source->fields, word(e, "classes"));
  if (!v) v = argument(e, source, "classes");
  return v && v->kind == V_NUM && (array || name_is(name, "label") || name_is(name, "tokens"))
             ? (int64_t)v->u.num
             : 0;
}

Value data_field(Elab *e, Frame *f, const Ast *at, Module *source, const char *name) {
  DataFields all = data_fields(e, f, source);
  int k = 0;
  while (k < all.n && all.v[k].name != name) k++;
  if (k == all.n) bug("data source without field %s", name);
  Shape s = all.v[k].shape;
  DType dt = all.v[k].dt;
  for (int i = 0; i < s.rank; i++)
    if (s.dim[i] < 1) {
      elab_report(e, f, at, "the data has no `%s` with these settings: it would be %s", name,
                  shape_text(e, dt, &s));
      diag_note(e->diags, source->site, "%s is set up here", source->decl->name);
      diag_throw(e->diags);
    }
  const char *input = arena_printf(e->arena, "data.%s", name);
  int known = g_find_input(e->g, input);
  if (known >= 0) return v_tensor(e->g->inputs.v[known].val);
  t_fits(e, f, at, dt, &s);
  e->g->loc = elab_loc(e, f, at);
  Classes c = {g_input(e->g, input, IN_ARG, dt, &s, NULL), field_classes(e, source, name)};
  vec_push(e->arena, &e->classes, c);
  return v_tensor(c.input);
}

/* ---- the section's frame ---- */

const Ast *main_entry(Elab *e, Frame *f) {
  const Ast *block = e->m->train->kid[0], *value = NULL;
  for (int i = 0; i < block->nkid; i++)
    if (block->kid[i]->kind == AST_MINIMIZE) value = block->kid[i]->kid[0];
  /* the first entry its expression names */
  const Ast *stack[64];
  int n = 0;
  stack[n++] = value;
  while (n) {
    const Ast *a = stack[--n];
    for (int i = 0; a->kind == AST_NAME && i < e->m->entries.n; i++)
      if (e->m->entries.v[i]->name == a->name) return e->m->entries.v[i];
    for (int i = a->nkid - 1; i >= 0; i--)
      if (a->kid[i] && n < 64) stack[n++] = a->kid[i];
  }
  const char *names[64];
  int count = 0;
  for (int i = 0; i < e->m->entries.n && count < 64; i++) names[count++] = e->m->entries.v[i]->name;
  const char *hint = value->kind == AST_FIELD && value->kid[0]->kind == AST_NAME
                         ? did_you_mean(e, value->kid[0]->name, names, count)
                         : "";
  while (value->nkid && value->kid[0]) value = value->kid[0];
  elab_error(e, f, value, "`minimize` names no entry of %s%s, such as `minimize forward.loss`",
             e->m->main->name, hint);
}

Frame *train_frame(Elab *e) {
  const Ast *train = e->m->train;
  Frame *f = NEW(e->arena, Frame);
  f->self = e->root;
  f->what = train->name;
  f->src = train->src;
  f->training = e->training;
  int64_t batch = count_setting(e, f, "batch", 0, 1) / e->parts;
  vars_set(e, &f->vars, word(e, "batch"), v_num((double)batch), train);
  const Ast *data = train_setting(e, "data"); /* absent: the step takes the entry's own arguments */
  if (!data) return f;
  Value v = eval(e, f, data);
  if (v.kind != V_MODULE || !name_is(v.u.module->decl->word, "source"))
    elab_error(e, f, data, "`data` must be a data source such as fashion_mnist(...), but is %s",
               value_text(e, v));
  vars_set(e, &f->vars, word(e, "data"), v, data);
  return f;
}

static void eval_bind(Elab *e, Frame *f, const Ast *b, void *of) {
  const char *names[64];
  int n = 0;
  bool found = false;
  (void)of;
  for (int m = 0; m < e->m->entries.n; m++)
    for (int p = 1; p < e->m->entries.v[m]->nkid && n < 64; p++) {
      names[n++] = e->m->entries.v[m]->kid[p]->name;
      found = found || names[n - 1] == b->name;
    }
  if (!found)
    elab_error(e, f, b, "no entry of %s has an argument `%s`%s", e->m->main->name, b->name,
               did_you_mean(e, b->name, names, n));
  if (vars_find(&e->binds, b->name)) elab_error(e, f, b, "`%s` is bound twice", b->name);
  vars_set(e, &e->binds, b->name, eval(e, f, b->kid[0]), b);
  vars_find_var(&e->binds, b->name)->use = e->watch->argument(e, b);
}

void eval_binds(Elab *e, Frame *f) {
  const Ast *block = e->m->train->kid[0];
  for (int i = 0; i < block->nkid; i++)
    for (int k = 0; block->kid[i]->kind == AST_BIND && k < block->kid[i]->nkid; k++)
      elab_attempt(e, f, block->kid[i]->kid[k], eval_bind, NULL);
  if (f->failed) diag_throw(e->diags);
}

/* ---- settings for the runtime and the log ---- */

static const char *source_text(Elab *e, const Ast *a) {
  return arena_strndup(e->arena, a->src->text + a->begin, (size_t)(a->end - a->begin));
}

static Setting setting_of_value(Elab *e, Frame *f, const Var *var);

static void settings_of_vars(Elab *e, Frame *f, const Vars *vars, Setting *out) {
  Setting *item = NEWN(e->arena, Setting, vars->n + 1);
  for (int i = 0; i < vars->n; i++) item[i] = setting_of_value(e, f, &vars->v[i]);
  out->item = item;
  out->nitem = vars->n;
}

static Setting setting_of_value(Elab *e, Frame *f, const Var *var) {
  elab_enter(e);
  Setting s = {.name = var->name, .loc = var->at ? elab_loc(e, f, var->at) : NULL};
  Value v = var->v;
  Vars items = {0};
  switch (v.kind) {
  case V_BOOL:
  case V_NUM:
    s.kind = SET_NUM;
    s.num = v.kind == V_BOOL ? v.u.b : v.u.num;
    break;
  case V_RANGE:
    s.kind = SET_RANGE;
    s.num = v.u.range.lo;
    s.hi = v.u.range.hi;
    break;
  case V_LIST:
    s.kind = SET_LIST;
    for (int i = 0; i < v.u.list->n; i++) {
      Var item = {.name = "", .v = v.u.list->v[i], .at = var->at};
      vec_push(e->arena, &items, item);
    }
    settings_of_vars(e, f, &items, &s);
    break;
  case V_MODULE:
    s.kind = SET_CALL;
    s.str = v.u.module->decl->name;
    settings_of_vars(e, f, &v.u.module->args, &s);
    break;
  default: s.kind = SET_STR; s.str = v.kind == V_STR ? v.u.str : value_text(e, v);
  }
  elab_leave(e);
  return s;
}

/* What stays an expression until the training step (optimizer, schedules), by its text. */
static Setting setting_of_syntax(Elab *e, Frame *f, const char *name, const Ast *a) {
  Setting s = {.name = name, .loc = elab_loc(e, f, a), .kind = SET_STR};
  if (a->kind == AST_NUM && !a->name) {
    s.kind = SET_NUM;
    s.num = a->num;
  } else if (a->kind == AST_CALL && a->kid[0]->kind == AST_NAME) {
    const Value *v = globals_find(&e->m->user, a->kid[0]->name);
    if (!v) v = globals_find(&e->m->library, a->kid[0]->name);
    s.kind = SET_CALL;
    s.str = a->kid[0]->name;
    Setting *item = NEWN(e->arena, Setting, a->nkid);
    for (int i = 1; i < a->nkid; i++) {
      const char *param = a->kid[i]->name;
      if (!param && v && i < v->u.fn.decl->nkid) param = v->u.fn.decl->kid[i]->name;
      item[i - 1] = setting_of_syntax(e, f, param ? param : "", a->kid[i]->kid[0]);
    }
    s.item = item;
    s.nitem = a->nkid - 1;
  } else {
    s.str = a->kind == AST_STR ? a->name : source_text(e, a);
  }
  return s;
}

static void describe_data(Elab *e, Frame *f, Recipe *r, Setting *data) {
  Module *source = vars_find(&f->vars, word(e, "data"))->u.module;
  *data =
      setting_of_value(e, f, &(Var){.name = "data", .v = v_module(source), .at = train_setting(e, "data")});
  r->data =
      (DataSpec){.source = source->decl->name, .set = data->item, .nset = data->nitem, .loc = source->site};
  DataFields all = data_fields(e, f, source), fields = {0};
  for (int i = 0; i < all.n; i++)
    if (shape_count(&all.v[i].shape) > 0) vec_push(e->arena, &fields, all.v[i]);
  const Value *samples = vars_find(&source->fields, word(e, "samples"));
  if (samples && samples->kind == V_NUM) r->data.samples = (int64_t)samples->u.num;
  r->data.field = fields.v;
  r->data.nfield = fields.n;
}

/* `eval = protocols(...)`, or the library's defaults. */
static Setting describe_eval(Elab *e, Frame *f) {
  const Ast *given = train_setting(e, "eval");
  const Ast *protocols = globals_find(&e->m->library, word(e, "protocols"))->u.fn.decl;
  Value v = given ? eval(e, f, given) : instantiate(e, f, e->m->train, protocols, NULL, 0);
  if (v.kind != V_MODULE || v.u.module->decl != protocols)
    elab_error(e, f, given, "`eval` must be protocols(...), but is %s", value_text(e, v));
  for (int i = 0; i < v.u.module->args.n; i++)
    e->watch->read(e, &v.u.module->args.v[i]); /* jepac eval reads them all */
  return setting_of_value(e, f, &(Var){.name = "eval", .v = v, .at = given});
}

/* ---- monitors ---- */

/* A number of steps, epochs, or percent of the run: all known to the runtime only. */
static double length_of(Elab *e, Frame *f, const Ast *a, StepUnit *unit, const char *what) {
  static const char *const units[] = {[UNIT_STEPS] = "steps", [UNIT_EPOCHS] = "epochs", [UNIT_PERCENT] = "%"};
  *unit = UNIT_STEPS;
  if (a->kind != AST_NUM) return need_num(e, f, a, eval(e, f, a), what);
  for (int i = 0; i < 3 && a->name; i++)
    if (name_is(a->name, units[i])) *unit = (StepUnit)i;
  return a->num;
}

static void monitor_after(Elab *e, Frame *f, const Ast *a, Monitor *m) {
  if (!a) return;
  m->after = length_of(e, f, a, &m->unit, "the first step of a monitor");
  if (m->after < 0) elab_error(e, f, a, "a monitor cannot begin before the first step");
}

static void build_monitors(Elab *e, Frame *f, Recipe *r) {
  const Ast *block = e->m->train->kid[0];
  VEC(Monitor) all = {0};
  for (int i = 0; i < block->nkid; i++) {
    const Ast *k = block->kid[i];
    if (k->kind != AST_MONITOR) continue;
    for (int j = 1; j < k->nkid; j++) {
      const Ast *row = k->kid[j];
      Value v = eval(e, f, row->kid[1]);
      if (v.kind != V_RANGE)
        elab_error(e, f, row->kid[1], "the bounds must be a range such as 0.2..0.8, but are %s",
                   value_text(e, v));
      for (int n = 0; n < all.n; n++)
        if (all.v[n].name == row->name) elab_error(e, f, row, "`%s` is monitored twice", row->name);
      Monitor m = {.name = row->name, .lo = v.u.range.lo, .hi = v.u.range.hi, .loc = elab_loc(e, f, row)};
      monitor_after(e, f, k->kid[0], &m);
      vec_push(e->arena, &all, m);
    }
  }
  r->monitor = all.v;
  r->nmonitor = all.n;
}

/* `best = highest("top1")`, or the lowest loss. */
static void best_setting(Elab *e, Frame *f, Validate *v) {
  const Ast *given = train_setting(e, "best");
  *v = (Validate){.best = "loss"};
  if (!given) return;
  Value b = eval(e, f, given);
  const Module *m = b.kind == V_MODULE ? b.u.module : NULL;
  if (!m || (!name_is(m->decl->name, "highest") && !name_is(m->decl->name, "lowest")))
    elab_error(e, f, given, "`best` is highest(...) or lowest(...) of a metric, not %s", value_text(e, b));
  for (int i = 0; i < m->args.n; i++) e->watch->read(e, &m->args.v[i]);
  v->best = argument(e, m, "metric")->u.str;
  v->highest = name_is(m->decl->name, "highest");
  v->best_loc = elab_loc(e, f, given);
}

static Validate validate_settings(Elab *e, Frame *f) {
  static const char *const others[] = {"best", "patience"};
  const Ast *a = train_setting(e, "validate");
  Validate v;
  best_setting(e, f, &v);
  v.patience = count_setting(e, f, "patience", 0, 1);
  if (a) v.every = length_of(e, f, a, &v.unit, "`validate`");
  if (a && !(v.every > 0)) elab_error(e, f, a, "`validate` says how often, such as `every 1 epochs`");
  if (a && v.unit == UNIT_STEPS && v.every != floor(v.every))
    elab_error(e, f, a, "`validate` is a whole number of steps");
  for (int i = 0; i < 2 && !a; i++)
    if (train_setting(e, others[i]))
      elab_error(e, f, train_setting(e, others[i]), "`%s` has no effect without `validate = every 1 epochs`",
                 others[i]);
  if (a && !train_setting(e, "data")) elab_error(e, f, a, "`validate` has no effect without `data`");
  return v;
}

static DType precision_setting(Elab *e, Frame *f) {
  const Ast *a = train_setting(e, "precision");
  if (!a) return DT_F32;
  Value v = eval(e, f, a);
  DType dt = v.kind == V_DTYPE ? v.u.dt : v.kind == V_STR ? dtype_parse(v.u.str) : DT_NONE; /* text: --set */
  if (dt != DT_F32 && !dtype_is_narrow(dt))
    elab_error(e, f, a, "`precision` is f32, bf16 or f16, not %s", value_text(e, v));
  return dt;
}

/* The whole section for the log: the model, its settings, dimensions, monitors. */
static void describe_section(Elab *e, Frame *f, Recipe *r, Setting data, Setting protocols) {
  const Model *m = e->m;
  VEC(Setting) set = {0};
  Setting model = setting_of_value(e, f, &(Var){.name = "model", .v = v_module(e->root), .at = m->train});
  vec_push(e->arena, &set, model);
  for (int i = 0; i < m->train->kid[0]->nkid; i++) {
    const Ast *k = m->train->kid[0]->kid[i];
    if (k->kind != AST_ASSIGN) continue;
    const char *name = k->kid[1]->name;
    Setting s = name_is(name, "data")   ? data
                : name_is(name, "eval") ? protocols
                                        : setting_of_syntax(e, f, name, k->kid[0]);
    vec_push(e->arena, &set, s);
  }
  for (int i = 0; i < m->dims.n; i++) {
    if (!m->dims.v[i].has) continue;
    Setting s = {.name = m->dims.v[i].name, .kind = SET_NUM, .num = (double)m->dims.v[i].value};
    vec_push(e->arena, &set, s);
  }
  for (int i = 0; i < r->nmonitor; i++) {
    const Monitor *w = &r->monitor[i];
    Setting s = {.name = arena_printf(e->arena, "monitor.%s", w->name),
                 .kind = SET_RANGE,
                 .num = w->lo,
                 .hi = w->hi,
                 .loc = w->loc};
    vec_push(e->arena, &set, s);
  }
  r->set = set.v;
  r->nset = set.n;
}

/* Ranks take equal shares of a batch. */
static void check_ranks(Elab *e, Frame *f, int64_t batch) {
  int64_t n = e->m->opt.ranks, less;
  if (n < 2 || batch % n == 0) return;
  less = batch / n * n;
  const char *fits = less ? arena_printf(e->arena, "%lld and %lld do", (long long)less, (long long)(less + n))
                          : arena_printf(e->arena, "%lld does", (long long)n);
  elab_error(e, f, train_setting(e, "batch"),
             "a batch of %lld does not divide into equal shares of %lld ranks; %s", (long long)batch,
             (long long)n, fits);
}

const Recipe *recipe_build(Elab *e) {
  Model *m = e->m;
  Recipe *r = NEW(e->arena, Recipe);
  Frame start = {.src = m->train->src, .what = m->train->name, .training = true};
  check_settings(e, &start);
  r->accumulate = recipe_accumulate(e, &start);
  r->parts = e->parts = recipe_parts(e, &start);
  e->accumulate = r->accumulate * r->parts;
  e->root = elab_root(e, &start);
  Frame *f = train_frame(e);
  eval_binds(e, f);
  derive_dims(e, f);
  r->model = m->main->name;
  r->batch = count_setting(e, f, "batch", 0, 1);
  check_ranks(e, f, r->batch);
  r->batch /= r->parts;
  r->epochs = count_setting(e, f, "epochs", 0, 1);
  r->steps = count_setting(e, f, "steps", 0, 1);
  r->seed = count_setting(e, f, "seed", 0, 0);
  r->precision = precision_setting(e, f);
  if (!r->epochs && !r->steps)
    elab_error(e, f, m->train, "the train section lacks `epochs = ...` or `steps = ...`");
  build_monitors(e, f, r);
  r->validate = validate_settings(e, f);
  Setting data = {.name = "data"};
  if (train_setting(e, "data")) describe_data(e, f, r, &data);
  Setting protocols = describe_eval(e, f);
  r->eval = protocols.item;
  r->neval = protocols.nitem;
  describe_section(e, f, r, data, protocols);
  return r;
}

const Recipe *frontend_recipe(Model *m, Diags *d) {
  if (!m->recipe) diag_error(d, NULL, "%s has no train section", m->files.v[0]->path);
  return m->recipe;
}
