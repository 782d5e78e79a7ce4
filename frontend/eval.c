/* Evaluating expressions: names, lists, calls, fields and operators on values known when compiling; tensors
   go to tensor.c. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

enum { MAX_EVAL_DEPTH = 700, MAX_LIST = 100000 };

const char *word(Elab *e, const char *text) { return intern(e->m->names, text, strlen(text)); }

/* ---- limits ---- */

static _Noreturn void out_of_limit(Elab *e, const char *text) {
  if (e->at) elab_lost(e, NULL, e->at, text);
  e->lost = true;
  diag_error(e->diags, NULL, "%s", text);
  diag_throw(e->diags);
}

void elab_spend(Elab *e, int64_t n) {
  if ((e->fuel -= n) < 0) out_of_limit(e, "this model takes too many steps to elaborate");
}

void elab_enter(Elab *e) {
  if (++e->depth > MAX_EVAL_DEPTH) out_of_limit(e, "nested too deeply");
  elab_spend(e, 1);
}

/* ---- names ---- */

const Value *globals_find(const Globals *g, const char *name) {
  if (!g->cap) return NULL;
  size_t i = ((uintptr_t)name >> 4) * 0x9e3779b97f4a7c15u & (size_t)(g->cap - 1);
  for (; g->slot[i].name; i = (i + 1) & (size_t)(g->cap - 1))
    if (g->slot[i].name == name) return &g->slot[i].v;
  return NULL;
}

Dim *find_dim(Model *m, const char *name) {
  for (int i = 0; i < m->dims.n; i++)
    if (m->dims.v[i].name == name) return &m->dims.v[i];
  return NULL;
}

static bool dim_visible(const Elab *e, const Dim *d, const Source *src) {
  if (e->m->train && src == e->m->train->src) return true;
  for (int i = 0; i < d->files.n; i++)
    if (d->files.v[i] == src) return true;
  return false;
}

static Var *module_var(const Module *m, const char *name) {
  Var *v = vars_find_var(&m->fields, name);
  return v ? v : vars_find_var(&m->args, name);
}

Var *frame_var(const Frame *f, const char *name) {
  Var *v = vars_find_var(&f->vars, name);
  for (Module *m = f->self; m && !v; m = m->scope) v = module_var(m, name);
  return v;
}

bool module_lookup(Elab *e, const Module *m, const char *name, Value *out) {
  const Var *v = module_var(m, name);
  if (v) {
    e->watch->read(e, v);
    *out = v->v;
    return true;
  }
  const Ast *fn = ast_function(m->decl->kid[0], name);
  if (fn) *out = (Value){.kind = V_FUNC, .u.fn = {fn, (Module *)m}};
  return fn != NULL;
}

static bool runtime_lookup(Elab *e, const char *name, Value *out) {
  static const char *const names[] = {"step", "steps_per_epoch", "total_steps"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (name_is(name, names[i])) {
      *out = v_tensor(t_steps(e, names[i]));
      return true;
    }
  return false;
}

bool eval_lookup(Elab *e, Frame *f, const char *name, Value *out) {
  const Var *var = vars_find_var(&f->vars, name);
  const Value *v;
  if (var) {
    e->watch->read(e, var);
    *out = var->v;
    return true;
  }
  for (Module *m = f->self; m; m = m->scope)
    if (module_lookup(e, m, name, out)) return true;
  if (name_is(name, "training")) {
    *out = v_bool(f->training);
    return true;
  }
  Dim *d = f->library ? NULL : find_dim(e->m, name);
  if (d && d->has && dim_visible(e, d, f->src)) {
    *out = v_num((double)d->value);
    return true;
  }
  if (!f->library && (v = globals_find(&e->m->user, name))) {
    *out = *v;
    return true;
  }
  if ((v = globals_find(&e->m->library, name))) {
    *out = *v;
    return true;
  }
  const Builtin *b = builtin_find(name);
  if (b) {
    *out = (Value){.kind = V_BUILTIN, .u.builtin = b};
    return true;
  }
  return builtin_constant(name, out) || runtime_lookup(e, name, out);
}

typedef VEC(const char *) Names;

static void globals_names(Elab *e, const Globals *g, Names *out) {
  for (int i = 0; i < g->cap; i++)
    if (g->slot[i].name) vec_push(e->arena, out, g->slot[i].name);
}

static void module_names(Elab *e, const Module *m, Names *out) {
  for (int i = 0; i < m->fields.n; i++) vec_push(e->arena, out, m->fields.v[i].name);
  for (int i = 0; i < m->args.n; i++) vec_push(e->arena, out, m->args.v[i].name);
  const Ast *body = m->decl->kid[0];
  for (int i = 0; i < body->nkid; i++)
    if (body->kid[i]->kind == AST_FUNC || body->kid[i]->kind == AST_DECL_FIELD)
      vec_push(e->arena, out, body->kid[i]->name);
}

/* What other languages call it, and fields of the data without `data.` */
static const char *hint_of(Elab *e, const Frame *f, const Ast *a) {
  static const struct {
    const char *name, *here;
  } known[] = {{"matmul", "a @ b"}, {"mm", "a @ b"},     {"bmm", "a @ b"},
               {"dot", "a @ b"},    {"view", "reshape"}, {"cat", "concat"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (name_is(a->name, known[i].name)) return arena_printf(e->arena, " (here it is `%s`)", known[i].here);
  const Value *data = vars_find(&f->vars, word(e, "data"));
  if (data && data->kind == V_MODULE && data_has_field(e, data->u.module, a->name))
    return arena_printf(e->arena, " (did you mean `data.%s`?)", a->name);
  return "";
}

static _Noreturn void unknown_name(Elab *e, Frame *f, const Ast *a) {
  Dim *d = f->library ? NULL : find_dim(e->m, a->name);
  if (d && !d->has && dim_visible(e, d, f->src)) {
    elab_report(e, f, a, "dimension `%s` has no value", a->name);
    diag_note(e->diags, NULL,
              "give it one with --set %s=NUMBER, with inputs, or in the file: dim %s = NUMBER", a->name,
              a->name);
    diag_throw(e->diags);
  }
  Names names = {0};
  const char *few[64];
  for (int i = 0; i < f->vars.n; i++) vec_push(e->arena, &names, f->vars.v[i].name);
  for (Module *m = f->self; m; m = m->scope) module_names(e, m, &names);
  if (!f->library) {
    for (int i = 0; i < e->m->dims.n; i++) vec_push(e->arena, &names, e->m->dims.v[i].name);
    globals_names(e, &e->m->user, &names);
  }
  globals_names(e, &e->m->library, &names);
  int n = builtin_names(few, 64);
  for (int i = 0; i < n; i++) vec_push(e->arena, &names, few[i]);
  const char *hint = hint_of(e, f, a);
  elab_error(e, f, a, "unknown name `%s`%s", a->name,
             *hint ? hint : did_you_mean(e, a->name, names.v, names.n));
}

/* A state read is the tensor it holds now; while models are made it stays what it is, so that children can name it. */
static Value decay(Elab *e, Frame *f, const Ast *a, Value v) {
  return v.kind == V_STATE && (v.u.state->name || v.u.state->input >= 0)
             ? v_tensor(state_value(e, f, a, v.u.state))
             : v;
}

static Value eval_name(Elab *e, Frame *f, const Ast *a) {
  if (name_is(a->name, "true")) return v_bool(true);
  if (name_is(a->name, "false")) return v_bool(false);
  if (name_is(a->name, "none")) return v_none();
  Value v;
  if (!eval_lookup(e, f, a->name, &v)) unknown_name(e, f, a);
  return decay(e, f, a, v);
}

bool eval_extent(Elab *e, Frame *f, const Ast *a, int64_t *out) {
  Value v;
  if (a->kind == AST_NAME) {
    const Var *p = frame_var(f, a->name);
    bool found = p != NULL;
    if (found) {
      e->watch->read(e, p);
      v = p->v;
    }
    for (Module *m = f->self; m && !found; m = m->scope) found = module_lookup(e, m, a->name, &v);
    Dim *d = f->library || found ? NULL : find_dim(e->m, a->name);
    if (d && d->has && dim_visible(e, d, f->src)) {
      v = v_num((double)d->value);
      found = true;
    }
    if (!found) return false;
  } else {
    v = eval(e, f, a);
  }
  if (v.kind == V_WRONG) diag_throw(e->diags);
  *out = need_int(e, f, a, v, "an extent");
  return true;
}

/* ---- literals ---- */

/* A number with a unit is a number of steps, a scalar of the graph: `20 epochs`, `500 steps`, `10%` of the
   run. */
static Value eval_number(Elab *e, Frame *f, const Ast *a) {
  if (!a->name || name_is(a->name, "steps")) return v_num(a->num);
  bool percent = name_is(a->name, "%");
  Val n = t_steps(e, percent ? "total_steps" : "steps_per_epoch");
  Value steps = t_cast(e, f, a, v_tensor(n), DT_F64);
  return t_binary(e, f, a, OP_mul, steps, v_num(percent ? (double)a->num / 100 : a->num));
}

static Value eval_string(Elab *e, Frame *f, const Ast *a) {
  (void)e;
  (void)f;
  return v_str(a->name);
}

typedef VEC(Value) Values;

static Value list_of(Elab *e, const Values *items) {
  Value l = v_list(e, items->n);
  if (items->n) memcpy(l.u.list->v, items->v, sizeof(Value) * (size_t)items->n);
  return l;
}

static const List *need_list(Elab *e, Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind != V_LIST) elab_error(e, f, at, "%s must be a list, but is %s", what, value_text(e, v));
  return v.u.list;
}

static Value eval_list(Elab *e, Frame *f, const Ast *a) {
  Values items = {0};
  for (int i = 0; i < a->nkid; i++) {
    const Ast *k = a->kid[i];
    Value v = eval(e, f, k->kind == AST_SPREAD ? k->kid[0] : k);
    if (k->kind == AST_SPREAD) {
      const List *l = need_list(e, f, k, v, "what follows `*`");
      elab_spend(e, l->n);
      for (int j = 0; j < l->n; j++) vec_push(e->arena, &items, l->v[j]);
    } else {
      vec_push(e->arena, &items, v);
    }
  }
  return list_of(e, &items);
}

Value eval_sequence(Elab *e, Frame *f, const Ast *at, Value over) {
  if (over.kind == V_LIST) return over;
  double lo = 0, hi;
  if (over.kind == V_RANGE) {
    lo = (double)need_int(e, f, at, v_num(over.u.range.lo), "the start of the loop");
    hi = (double)need_int(e, f, at, v_num(over.u.range.hi), "the end of the loop");
  } else {
    if (over.kind != V_NUM)
      elab_error(e, f, at, "a loop runs over a list, a range or a count, not %s", value_text(e, over));
    hi = (double)need_int(e, f, at, over, "the number of rounds");
    if (hi < 0) elab_error(e, f, at, "the number of rounds is negative: %.10g", hi);
  }
  if (hi - lo > MAX_LIST) elab_error(e, f, at, "a loop of %.10g rounds is too long", hi - lo);
  Value l = v_list(e, (int)(hi - lo));
  for (int i = 0; i < l.u.list->n; i++) l.u.list->v[i] = v_num(lo + i);
  return l;
}

static Value eval_comprehension(Elab *e, Frame *f, const Ast *a) {
  Value over = eval_sequence(e, f, a->kid[1], eval(e, f, a->kid[1]));
  Values items = {0};
  Var saved = {.name = NULL};
  Value *old = vars_find(&f->vars, a->name);
  if (old) saved = (Var){.name = a->name, .v = *old, .at = a};
  for (int i = 0; i < over.u.list->n; i++) {
    vars_set(e, &f->vars, a->name, over.u.list->v[i], a);
    if (a->nkid == 3 && !need_bool(e, f, a->kid[2], eval(e, f, a->kid[2]), "a condition")) continue;
    Value v = eval(e, f, a->kid[0]);
    vec_push(e->arena, &items, v);
  }
  if (saved.name) vars_set(e, &f->vars, a->name, saved.v, a);
  else if (over.u.list->n && f->vars.n && f->vars.v[f->vars.n - 1].name == a->name) f->vars.n--;
  return list_of(e, &items);
}

/* ---- operators ---- */

static Value eval_range(Elab *e, Frame *f, const Ast *a) {
  double lo = (double)need_num(e, f, a->kid[0], eval(e, f, a->kid[0]), "the start of a range");
  double hi = (double)need_num(e, f, a->kid[1], eval(e, f, a->kid[1]), "the end of a range");
  if (lo > hi) elab_error(e, f, a, "the range %.10g..%.10g runs backwards", lo, hi);
  return (Value){.kind = V_RANGE, .u.range = {lo, hi}};
}

static Value eval_conditional(Elab *e, Frame *f, const Ast *a) {
  bool c = need_bool(e, f, a->kid[0], eval(e, f, a->kid[0]), "a condition");
  return eval(e, f, a->kid[c ? 1 : 2]);
}

static Value eval_unary(Elab *e, Frame *f, const Ast *a) {
  Value v = eval(e, f, a->kid[0]);
  if (name_is(a->name, "-")) return v.kind == V_NUM ? v_num(-v.u.num) : t_map(e, f, a, OP_neg, &v, 1);
  if (v.kind == V_TENSOR) return t_map(e, f, a, OP_not, &v, 1);
  return v_bool(!need_bool(e, f, a->kid[0], v, "the operand of `not`"));
}

static const struct {
  const char *text;
  OpId op;
  bool swap;
} binary_ops[] = {
    {"+", OP_add, 0}, {"-", OP_sub, 0},   {"*", OP_mul, 0}, {"/", OP_div, 0}, {"^", OP_pow, 0},
    {"==", OP_eq, 0}, {"!=", OP_ne, 0},   {"<", OP_lt, 0},  {"<=", OP_le, 0}, {">", OP_lt, 1},
    {">=", OP_le, 1}, {"and", OP_and, 0}, {"or", OP_or, 0},
};

static bool is_numeric(Value v) { return v.kind == V_NUM || v.kind == V_TENSOR || v.kind == V_EMPTY; }

static Value eval_binary(Elab *e, Frame *f, const Ast *a) {
  bool logic = name_is(a->name, "and") || name_is(a->name, "or");
  Value x = eval(e, f, a->kid[0]);
  if (logic && x.kind != V_TENSOR) {
    bool b = need_bool(e, f, a->kid[0], x, "an operand of a logical operator");
    if (b == name_is(a->name, "or")) return v_bool(b);
    Value y = eval(e, f, a->kid[1]);
    return v_bool(need_bool(e, f, a->kid[1], y, "an operand of a logical operator"));
  }
  Value y = eval(e, f, a->kid[1]);
  if (name_is(a->name, "@")) return t_matmul(e, f, a, x, y);
  if (!is_numeric(x) || !is_numeric(y)) {
    if (name_is(a->name, "==")) return v_bool(value_equal(e, x, y));
    if (name_is(a->name, "!=")) return v_bool(!value_equal(e, x, y));
    if (name_is(a->name, "+") && x.kind == V_LIST && y.kind == V_LIST) {
      Value l = v_list(e, x.u.list->n + y.u.list->n);
      for (int i = 0; i < l.u.list->n; i++)
        l.u.list->v[i] = i < x.u.list->n ? x.u.list->v[i] : y.u.list->v[i - x.u.list->n];
      return l;
    }
    if (!logic || y.kind != V_TENSOR)
      elab_error(e, f, a, "`%s` does not apply to %s and %s", a->name, value_text(e, x), value_text(e, y));
  }
  if (name_is(a->name, "^") && y.kind == V_NUM && y.u.num == 2) return t_binary(e, f, a, OP_mul, x, x);
  for (size_t i = 0; i < sizeof binary_ops / sizeof *binary_ops; i++)
    if (name_is(a->name, binary_ops[i].text))
      return binary_ops[i].swap ? t_binary(e, f, a, binary_ops[i].op, y, x)
                                : t_binary(e, f, a, binary_ops[i].op, x, y);
  bug("operator %s of the grammar has no meaning", a->name);
}

/* ---- fields, indices, calls ---- */

static Value module_field(Elab *e, Frame *f, const Ast *a, Module *m) {
  Value v;
  if (name_is(m->decl->word, "source") && data_has_field(e, m, a->name))
    return data_field(e, f, a, m, a->name);
  if (module_lookup(e, m, a->name, &v)) return decay(e, f, a, v);
  Names names = {0};
  module_names(e, m, &names);
  DataFields fields = {0};
  if (name_is(m->decl->word, "source")) fields = data_fields(e, f, m);
  for (int i = 0; i < fields.n; i++) vec_push(e->arena, &names, fields.v[i].name);
  elab_report(e, f, a, "%s has no field `%s`%s", m->decl->name, a->name,
              did_you_mean(e, a->name, names.v, names.n));
  diag_note(e->diags, ast_loc(e, m->decl), "%s is declared here", m->decl->name);
  diag_throw(e->diags);
}

static Value record_field(Elab *e, Frame *f, const Ast *a, const List *l) {
  for (int i = 0; i < l->n; i++)
    if (l->name[i] && l->name[i] == a->name) return l->v[i];
  Names names = {0};
  for (int i = 0; i < l->n; i++)
    if (l->name[i]) vec_push(e->arena, &names, l->name[i]);
  elab_error(e, f, a, "there is no result `%s`%s", a->name, did_you_mean(e, a->name, names.v, names.n));
}

static Value eval_field(Elab *e, Frame *f, const Ast *a) {
  Value x = eval(e, f, a->kid[0]);
  if (x.kind == V_MODULE) return module_field(e, f, a, x.u.module);
  if (x.kind == V_FUNC && name_is(x.u.fn.decl->word, "entry"))
    x = call_entry(e, f, a, x.u.fn.self, x.u.fn.decl);
  if (x.kind == V_RECORD) return record_field(e, f, a, x.u.list);
  if (x.kind == V_PRIMS) {
    OpId op = op_find(a->name);
    if (op < OP_COUNT && op != OP_input && op != OP_grad && op != OP_extern &&
        op_table[op].kind != KIND_COLLECTIVE && op_table[op].kind != KIND_SCAN)
      return (Value){.kind = V_PRIM, .u.op = op};
    const char *names[OP_COUNT];
    for (int i = 0; i < OP_COUNT; i++) names[i] = op_table[i].name;
    elab_error(e, f, a, "there is no operator `%s`%s", a->name, did_you_mean(e, a->name, names, OP_COUNT));
  }
  elab_error(e, f, a, "%s has no fields", value_text(e, x));
}

static Value eval_index(Elab *e, Frame *f, const Ast *a) {
  Value x = eval(e, f, a->kid[0]);
  if (x.kind == V_TENSOR || x.kind == V_EMPTY) return t_index(e, f, a, x);
  const Ast *ix = a->kid[1];
  if (a->nkid != 2) elab_error(e, f, a, "%s takes one index", value_text(e, x));
  if (ix->kind == AST_ELLIPSIS)
    elab_error(e, f, ix, "`...` stands for axes, and %s has none", value_text(e, x));
  if (x.kind == V_MODULE && ix->kind != AST_SLICE) {
    int64_t i = need_int(e, f, ix, eval(e, f, ix), "an index");
    Value *v = vars_find(&x.u.module->fields, word(e, arena_printf(e->arena, "%lld", (long long)i)));
    if (!v) elab_error(e, f, ix, "%s has no child %lld", value_text(e, x), (long long)i);
    return *v;
  }
  if (x.kind != V_LIST && x.kind != V_RECORD) elab_error(e, f, a, "%s cannot be indexed", value_text(e, x));
  const List *l = x.u.list;
  if (ix->kind != AST_SLICE) {
    int64_t i = need_int(e, f, ix, eval(e, f, ix), "an index");
    if (i < -l->n || i >= l->n)
      elab_error(e, f, ix, "index %lld is outside a list of %d", (long long)i, l->n);
    return l->v[i < 0 ? i + l->n : i];
  }
  int64_t bound[2] = {0, l->n};
  if (ix->kid[2]) elab_error(e, f, ix, "a slice of a list has no step");
  for (int i = 0; i < 2; i++) {
    if (ix->kid[i]) bound[i] = need_int(e, f, ix->kid[i], eval(e, f, ix->kid[i]), "an index");
    if (bound[i] < 0) bound[i] += l->n;
  }
  if (bound[0] < 0 || bound[1] > l->n || bound[0] > bound[1])
    elab_error(e, f, ix, "slice %lld:%lld is outside a list of %d", (long long)bound[0], (long long)bound[1],
               l->n);
  Value out = v_list(e, (int)(bound[1] - bound[0]));
  for (int i = 0; i < out.u.list->n; i++) out.u.list->v[i] = l->v[bound[0] + i];
  return out;
}

static bool callable(Value v) {
  return v.kind == V_FUNC || v.kind == V_MODEL || v.kind == V_MODULE || v.kind == V_BUILTIN ||
         v.kind == V_DTYPE || v.kind == V_PRIM;
}

/* In `dropout(x, dropout)` the first word is the function, although a number of that name is nearer. */
static Value eval_callee(Elab *e, Frame *f, const Ast *a) {
  Value v = eval(e, f, a);
  if (callable(v) || a->kind != AST_NAME) return v;
  Frame outside = {.library = f->library, .src = f->src};
  Value global;
  return eval_lookup(e, &outside, a->name, &global) && callable(global) ? global : v;
}

static Value eval_call(Elab *e, Frame *f, const Ast *a) {
  Value callee = eval_callee(e, f, a->kid[0]);
  if (callee.kind == V_BUILTIN && !callee.u.builtin->fn) return make_average(e, f, a);
  VEC(Arg) args = {0};
  for (int i = 1; i < a->nkid; i++) {
    const Ast *k = a->kid[i];
    Use *use = e->watch->argument(e, k), *passed = use ? NULL : e->watch->handed_on(f, k);
    e->silent += passed != NULL;
    Value v = eval(e, f, k->kid[0]);
    e->silent -= passed != NULL;
    if (k->kind == AST_SPREAD) {
      const List *l = need_list(e, f, k, v, "what follows `*`");
      elab_spend(e, l->n);
      for (int j = 0; j < l->n; j++) {
        Arg arg = {.v = l->v[j], .at = k};
        vec_push(e->arena, &args, arg);
      }
      continue;
    }
    Arg arg = {k->name, v, k, use ? use : passed};
    if (!k->name && args.n && args.v[args.n - 1].name)
      elab_error(e, f, k, "a positional argument cannot follow a named one");
    vec_push(e->arena, &args, arg);
  }
  return call_value(e, f, a, callee, args.v, args.n);
}

Value eval(Elab *e, Frame *f, const Ast *a) {
  static Value (*const rules[])(Elab *, Frame *, const Ast *) = {
      [AST_NUM] = eval_number,    [AST_STR] = eval_string,         [AST_NAME] = eval_name,
      [AST_LIST] = eval_list,     [AST_COMP] = eval_comprehension, [AST_CALL] = eval_call,
      [AST_INDEX] = eval_index,   [AST_FIELD] = eval_field,        [AST_UNARY] = eval_unary,
      [AST_BINARY] = eval_binary, [AST_RANGE] = eval_range,        [AST_COND] = eval_conditional,
  };
  if (a->kind >= (int)(sizeof rules / sizeof *rules) || !rules[a->kind])
    bug("syntax node %d is no expression", a->kind);
  e->at = a;
  elab_enter(e);
  Value v = rules[a->kind](e, f, a);
  if (v.kind == V_WRONG) diag_throw(e->diags);
  note_value(e, a, v);
  e->depth--;
  return v;
}
