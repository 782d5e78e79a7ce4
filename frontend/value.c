/* Values: what they are called in messages, conversions with a clear complaint, and the messages themselves. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[V_KINDS] = {
    [V_NONE] = "none",
    [V_BOOL] = "a truth value",
    [V_NUM] = "a number",
    [V_STR] = "a string",
    [V_DTYPE] = "an element type",
    [V_RANGE] = "a range",
    [V_LIST] = "a list",
    [V_RECORD] = "several results",
    [V_TENSOR] = "a tensor",
    [V_EMPTY] = "an empty tensor",
    [V_STATE] = "a state",
    [V_MODULE] = "a module",
    [V_MODEL] = "a model",
    [V_FUNC] = "a function",
    [V_BUILTIN] = "a function",
    [V_PRIMS] = "the namespace prim",
    [V_PRIM] = "an operator",
    [V_INIT] = "an initializer",
    [V_WRONG] = "unknown",
};

const char *const *value_kind_names(void) { return kind_names; }

const Node *t_type(const Elab *e, Val v) { return g_node(e->g, v); }

const char *shape_text(Elab *e, DType dt, const Shape *s) {
  char buf[128];
  return arena_strdup(e->arena, type_str(dt, s, buf));
}

const char *value_text(Elab *e, Value v) {
  switch (v.kind) {
  case V_NUM: return arena_printf(e->arena, "%.10g", (double)v.u.num);
  case V_BOOL: return v.u.b ? "true" : "false";
  case V_STR: return arena_printf(e->arena, "\"%s\"", v.u.str);
  case V_DTYPE: return dtype_name(v.u.dt);
  case V_RANGE: return arena_printf(e->arena, "%.10g..%.10g", v.u.range.lo, v.u.range.hi);
  case V_TENSOR: return shape_text(e, t_type(e, v.u.val)->dt, &t_type(e, v.u.val)->shape);
  case V_STATE: return shape_text(e, v.u.state->dt, &v.u.state->shape);
  case V_EMPTY: return shape_text(e, v.u.empty->dt, &v.u.empty->shape);
  case V_MODULE: return arena_printf(e->arena, "the module %s", v.u.module->decl->name);
  case V_LIST: return arena_printf(e->arena, "a list of %d", v.u.list->n);
  default: return kind_names[v.kind];
  }
}

/* ---- messages ---- */

bool is_library(const Model *m, const Source *src) { return src >= m->std && src < m->std + m->nstd; }

/* Library code is transparent: its values belong to the line that called it. */
const Loc *elab_loc(Elab *e, const Frame *f, const Ast *at) {
  if (f && f->site && is_library(e->m, at->src)) return f->site;
  Loc *l = NEW(e->arena, Loc);
  *l = (Loc){at->src, at->line, at->col, f ? f->site : NULL, f && f->owner ? f->owner->path : NULL};
  return l;
}

const Loc *ast_loc(Elab *e, const Ast *at) {
  Loc *l = NEW(e->arena, Loc);
  *l = (Loc){at->src, at->line, at->col, NULL, NULL};
  return l;
}

static const Source *given_source(const Elab *e, const Var *v) {
  const Ast *at = v->at && v->at->kind == AST_ARG && v->at->nkid ? v->at->kid[0] : v->at;
  for (int i = 0; at && i < e->m->given.n; i++)
    if (e->m->given.v[i]->src == at->src) return at->src;
  return NULL;
}

/* The --set that reach the place of an error, unless it stands in one of them. */
void elab_note_settings(Elab *e, const Frame *f, const Ast *at) {
  const Source *said[4];
  int n = 0;
  for (int i = 0; i < e->m->given.n; i++)
    if (e->m->given.v[i]->src == at->src) return;
  for (; f && n < 4; f = f->caller) {
    const Vars *vars[] = {&f->vars, f->self ? &f->self->args : NULL};
    for (int k = 0; k < 2; k++)
      for (int i = 0; vars[k] && i < vars[k]->n && n < 4; i++) {
        const Source *s = given_source(e, &vars[k]->v[i]);
        bool twice = !s;
        for (int m = 0; m < n; m++) twice |= said[m] == s;
        if (twice) continue;
        said[n++] = s;
        diag_note(e->diags, NULL, "this is with %s=%s", s->path, s->text);
      }
  }
}

static void report(Elab *e, const Frame *f, const Ast *at, const char *text) {
  const Loc *l = elab_loc(e, f, at);
  diag_error(e->diags, l, "%s", text);
  if (l->src != at->src) {
    diag_note(e->diags, ast_loc(e, at), "inside the library's %s", f->what ? f->what : "code");
  }
  int n = 0;
  for (const Loc *up = l->up; up && n < 3; up = up->up, n++) diag_note(e->diags, up, "called from here");
  elab_note_settings(e, f, at);
}

static const char *vformat(Elab *e, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  char *s = arena_alloc(e->arena, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  return s;
}

void elab_report(Elab *e, const Frame *f, const Ast *at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const char *text = vformat(e, fmt, ap);
  va_end(ap);
  report(e, f, at, text);
}

_Noreturn void elab_error(Elab *e, const Frame *f, const Ast *at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const char *text = vformat(e, fmt, ap);
  va_end(ap);
  report(e, f, at, text);
  diag_throw(e->diags);
}

_Noreturn void elab_lost(Elab *e, const Frame *f, const Ast *at, const char *text) {
  e->lost = true;
  elab_error(e, f, at, "%s", text);
}

void elab_note_value(Elab *e, Value v, const char *what) {
  const Loc *l = NULL;
  if (v.kind == V_TENSOR) l = t_type(e, v.u.val)->loc;
  else if (v.kind == V_STATE) l = v.u.state->loc;
  else return;
  if (l) diag_note(e->diags, l, "%s is %s, made here", what, value_text(e, v));
}

const char *did_you_mean(Elab *e, const char *name, const char *const *cand, int n) {
  const char *best = nearest_name(name, cand, n);
  return best && !name_is(best, name) ? arena_printf(e->arena, " (did you mean `%s`?)", best) : "";
}

/* ---- conversions ---- */

Value v_list(Elab *e, int n) {
  elab_spend(e, n);
  List *l = NEW(e->arena, List);
  l->n = n;
  l->v = NEWN(e->arena, Value, n ? n : 1);
  return (Value){.kind = V_LIST, .u.list = l};
}

static bool lists_equal(Elab *e, const List *a, const List *b) {
  bool equal = a->n == b->n;
  elab_enter(e);
  for (int i = 0; a != b && equal && i < a->n; i++) equal = value_equal(e, a->v[i], b->v[i]);
  elab_leave(e);
  return equal;
}

bool value_equal(Elab *e, Value a, Value b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
  case V_NONE: return true;
  case V_BOOL: return a.u.b == b.u.b;
  case V_NUM: return a.u.num == b.u.num;
  case V_STR: return !strcmp(a.u.str, b.u.str);
  case V_DTYPE: return a.u.dt == b.u.dt;
  case V_RANGE: return a.u.range.lo == b.u.range.lo && a.u.range.hi == b.u.range.hi;
  case V_MODULE: return a.u.module == b.u.module;
  case V_LIST: return lists_equal(e, a.u.list, b.u.list);
  default: return false;
  }
}

Imm need_num(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind != V_NUM) elab_error(e, f, at, "%s must be a number, but is %s", what, value_text(e, v));
  return v.u.num;
}

int64_t need_int(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  double x = (double)need_num(e, f, at, v, what);
  if (x != floor(x) || fabs(x) > 0x1p53)
    elab_error(e, f, at, "%s must be a whole number, but is %.10g", what, x);
  return (int64_t)x;
}

bool need_bool(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind == V_TENSOR)
    elab_error(e, f, at,
               "%s must be known when compiling, but is %s (use where(...) to choose between tensors)", what,
               value_text(e, v));
  if (v.kind != V_BOOL) elab_error(e, f, at, "%s must be true or false, but is %s", what, value_text(e, v));
  return v.u.b;
}

Val need_tensor(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind == V_STATE) return state_value(e, f, at, v.u.state);
  if (v.kind == V_EMPTY) elab_error(e, f, at, "%s has no elements: %s", what, value_text(e, v));
  if (v.kind != V_TENSOR) elab_error(e, f, at, "%s must be a tensor, but is %s", what, value_text(e, v));
  return v.u.val;
}

static const int64_t max_extent = (int64_t)1 << 40;

Shape need_shape(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind != V_LIST)
    elab_error(e, f, at, "%s must be a list of extents, but is %s", what, value_text(e, v));
  if (v.u.list->n > MAX_RANK)
    elab_error(e, f, at, "%s has %d axes, but at most %d are supported", what, v.u.list->n, MAX_RANK);
  Shape s = {.rank = v.u.list->n};
  for (int i = 0; i < s.rank; i++) {
    s.dim[i] = need_int(e, f, at, v.u.list->v[i], "an extent");
    if (s.dim[i] > max_extent || s.dim[i] < -1)
      elab_error(e, f, at, "%lld cannot be the extent of an axis", (long long)s.dim[i]);
  }
  return s;
}

Ints need_ints(Elab *e, const Frame *f, const Ast *at, Value v, const char *what) {
  if (v.kind == V_NUM) return ints1(need_int(e, f, at, v, what));
  if (v.kind != V_LIST || v.u.list->n > MAX_RANK)
    elab_error(e, f, at, "%s must be a whole number or a list of at most %d, but is %s", what, MAX_RANK,
               value_text(e, v));
  Ints r = {.n = v.u.list->n};
  for (int i = 0; i < r.n; i++) r.v[i] = need_int(e, f, at, v.u.list->v[i], what);
  return r;
}

/* Names are interned, so pointers decide. */
Var *vars_find_var(const Vars *vars, const char *name) {
  for (int i = vars->n - 1; i >= 0; i--)
    if (vars->v[i].name == name) return &vars->v[i];
  return NULL;
}

Value *vars_find(const Vars *vars, const char *name) {
  Var *var = vars_find_var(vars, name);
  return var ? &var->v : NULL;
}

void vars_set(Elab *e, Vars *vars, const char *name, Value v, const Ast *at) {
  Value *old = vars_find(vars, name);
  if (old) {
    *old = v;
    return;
  }
  Var var = {.name = name, .v = v, .at = at};
  vec_push(e->arena, vars, var);
}
