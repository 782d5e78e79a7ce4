/* Tensor expressions: broadcasting as NumPy does it, operators of the table with named attributes, indexing,
   matrix products. */
#include "frontend/elab.h"

#include "ir/graph/expr.h"

#include <math.h>
#include <string.h>

static void here(Elab *e, Frame *f, const Ast *at) {
  const Loc *l = e->g->loc;
  /* consecutive nodes of one expression share their position */
  if (l && l->src == at->src && l->line == at->line && l->col == at->col && f && l->up == f->site) return;
  e->g->loc = elab_loc(e, f, at);
}

Val t_node(Elab *e, Frame *f, const Ast *at, OpId op, const Val *in, int nin, const Ints *attr, Imm imm,
           DType dt, const Shape *shape) {
  char err[512];
  here(e, f, at);
  Val v = g_try(e->g, op, in, nin, attr, imm, dt, shape, err, sizeof err);
  if (v >= 0) return v;
  elab_report(e, f, at, "%s", err);
  for (int i = 0; i < nin && i < 3; i++)
    elab_note_value(e, v_tensor(in[i]),
                    nin == 1 ? "the operand" : arena_printf(e->arena, "operand %d", i + 1));
  diag_throw(e->diags);
}

void t_fits(Elab *e, Frame *f, const Ast *at, DType dt, const Shape *s) {
  char err[512];
  Graph *alone = graph_new(e->arena, "");
  if (g_try(alone, OP_input, NULL, 0, NULL, 0, dt, s, err, sizeof err) < 0) elab_error(e, f, at, "%s", err);
}

Val t_scalar(Elab *e, Frame *f, const Ast *at, DType dt, Imm x) {
  Shape s = {0};
  return t_node(e, f, at, OP_fill, NULL, 0, NULL, x, dt, &s);
}

Val t_runtime(Elab *e, const char *name) {
  int i = g_find_input(e->g, name);
  if (i >= 0) return e->g->inputs.v[i].val;
  Shape s = {0};
  const Ast *section = e->m->train ? e->m->train : e->m->main;
  const Loc *saved = e->g->loc;
  Role role = e->g->role;
  if (section) e->g->loc = elab_loc(e, NULL, section);
  e->g->role = ROLE_FORWARD;
  Val v = g_input(e->g, name, IN_RUNTIME, DT_I64, &s, NULL);
  e->g->loc = saved;
  e->g->role = role;
  return v;
}

Val t_steps(Elab *e, const char *name) {
  Value v = v_tensor(t_runtime(e, name));
  if (e->accumulate <= 1) return v.u.val;
  Role role = e->g->role;
  e->g->role = ROLE_FORWARD;
  const Ast *at = e->m->train;
  v = t_binary(e, NULL, at, OP_div, t_cast(e, NULL, at, v, DT_F64), v_num((double)e->accumulate));
  v = t_cast(e, NULL, at, t_map(e, NULL, at, OP_floor, &v, 1), DT_I64);
  e->g->role = role;
  return v.u.val;
}

/* ---- elementwise ---- */

static bool broadcast_shape(const Shape *a, const Shape *b, Shape *out) {
  out->rank = a->rank > b->rank ? a->rank : b->rank;
  for (int i = 0; i < out->rank; i++) {
    int ia = i - (out->rank - a->rank), ib = i - (out->rank - b->rank);
    int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
    if (da != db && da != 1 && db != 1) return false;
    out->dim[i] = da == 1 ? db : da;
  }
  return true;
}

static Val broadcast_to(Elab *e, Frame *f, const Ast *at, Val v, const Shape *s) {
  const Node *n = t_type(e, v);
  if (shape_eq(&n->shape, s)) return v;
  Ints dims = {.n = n->shape.rank};
  for (int i = 0; i < dims.n; i++) dims.v[i] = s->rank - dims.n + i;
  return t_node(e, f, at, OP_broadcast, &v, 1, &dims, 0, n->dt, s);
}

/* Whole numbers that no double holds; false: it is no matter of such. */
static bool large_numbers(OpId op, const Imm *x, int n, Imm *y) {
  const Imm exact = 0x1p53, most = 0x1p64;
  bool whole = true, large = false;
  for (int i = 0; i < n; i++) whole &= x[i] == floorl(x[i]), large |= fabsl(x[i]) > exact;
  switch (whole ? op : OP_COUNT) {
  case OP_neg: *y = -x[0]; break;
  case OP_abs: *y = fabsl(x[0]); break;
  case OP_add: *y = x[0] + x[1]; break;
  case OP_sub: *y = x[0] - x[1]; break;
  case OP_mul: *y = x[0] * x[1]; break;
  case OP_min: *y = fminl(x[0], x[1]); break;
  case OP_max: *y = fmaxl(x[0], x[1]); break;
  case OP_eq: *y = x[0] == x[1]; break;
  case OP_ne: *y = x[0] != x[1]; break;
  case OP_lt: *y = x[0] < x[1]; break;
  case OP_le: *y = x[0] <= x[1]; break;
  default: return false;
  }
  return (large || fabsl(*y) > exact) && fabsl(*y) <= most;
}

static Value fold_numbers(OpId op, const Value *v, int n) {
  double x[3] = {0};
  Imm wide[3] = {0}, y;
  for (int i = 0; i < n; i++) wide[i] = v[i].kind == V_BOOL ? v[i].u.b : v[i].u.num, x[i] = (double)wide[i];
  if (!large_numbers(op, wide, n, &y)) y = op_eval(op, x);
  return op_table[op].type == TY_BOOL ? v_bool(y != 0) : v_num(y);
}

static _Noreturn void bad_operand(Elab *e, Frame *f, const Ast *at, OpId op, Value v) {
  if (v.kind == V_EMPTY)
    elab_error(e, f, at, "the operand %s of %s has no elements", value_text(e, v), op_table[op].name);
  elab_error(e, f, at, "%s does not apply to %s", op_table[op].name, value_text(e, v));
}

Value t_map(Elab *e, Frame *f, const Ast *at, OpId op, const Value *given, int n) {
  const OpRow *row = &op_table[op];
  Value v[3];
  bool constant = true;
  if (n != row->nin)
    elab_error(e, f, at, "%s takes %d operand%s, not %d", row->name, row->nin, row->nin == 1 ? "" : "s", n);
  for (int i = 0; i < n; i++) {
    v[i] = given[i];
    if (v[i].kind == V_STATE) v[i] = v_tensor(state_value(e, f, at, v[i].u.state));
    if (v[i].kind != V_NUM && v[i].kind != V_TENSOR && v[i].kind != V_BOOL) bad_operand(e, f, at, op, v[i]);
    constant = constant && v[i].kind != V_TENSOR;
  }
  if (constant) return fold_numbers(op, v, n);
  DType dt = DT_NONE;
  Shape shape = {0};
  int first = -1;
  for (int i = 0; i < n; i++) {
    if (v[i].kind != V_TENSOR) continue;
    const Node *t = t_type(e, v[i].u.val);
    bool cond = row->type == TY_SELECT && i == 0;
    if (!cond && dt != DT_NONE && t->dt != dt) {
      elab_report(e, f, at, "the operands have different element types, %s and %s", dtype_name(dt),
                  dtype_name(t->dt));
      for (int k = 0; k < n; k++) elab_note_value(e, v[k], arena_printf(e->arena, "operand %d", k + 1));
      diag_note(e->diags, NULL, "convert one of them, for example with %s(...)", dtype_name(dt));
      diag_throw(e->diags);
    }
    if (!cond) dt = t->dt;
    Shape out;
    if (!broadcast_shape(&shape, &t->shape, &out)) {
      elab_report(e, f, at, "the shapes %s and %s do not fit together", value_text(e, v[first]),
                  value_text(e, v[i]));
      for (int k = 0; k < n; k++) elab_note_value(e, v[k], arena_printf(e->arena, "operand %d", k + 1));
      diag_throw(e->diags);
    }
    shape = out;
    if (first < 0 || t->shape.rank) first = i;
  }
  if (dt == DT_NONE) dt = DT_F32; /* where(mask, 1, 0) */
  Val in[3];
  for (int i = 0; i < n; i++) {
    if (v[i].kind == V_TENSOR) {
      in[i] = broadcast_to(e, f, at, v[i].u.val, &shape);
    } else {
      Imm x = v[i].kind == V_BOOL ? v[i].u.b : v[i].u.num;
      in[i] = t_node(e, f, at, OP_fill, NULL, 0, NULL, x, row->type == TY_SELECT && i == 0 ? DT_BOOL : dt,
                     &shape);
    }
  }
  return v_tensor(t_node(e, f, at, op, in, n, NULL, 0, DT_NONE, NULL));
}

Value t_binary(Elab *e, Frame *f, const Ast *at, OpId op, Value a, Value b) {
  Value v[2] = {a, b};
  return t_map(e, f, at, op, v, 2);
}

Value t_cast(Elab *e, Frame *f, const Ast *at, Value x, DType dt) {
  if (x.kind == V_NUM) return v_tensor(t_scalar(e, f, at, dt, x.u.num));
  Val v = need_tensor(e, f, at, x, "what is converted");
  if (t_type(e, v)->dt == dt) return v_tensor(v);
  Shape s = t_type(e, v)->shape;
  return v_tensor(t_node(e, f, at, OP_cast, &v, 1, NULL, 0, dt, &s));
}

/* ---- any operator: operands by position; attributes, shape, dtype and value by name ---- */

/* Axes below 0 count from the end: of what an attribute is about, operand `of` or the result. */
static void axes_from_end(const Elab *e, OpId op, const Val *in, int nin, const Shape *result, Ints *attr) {
  enum { RESULT = -1 };
  static const char *const names[] = {"axis",      "axes",         "perm",      "dims",
                                      "lhs_batch", "lhs_contract", "rhs_batch", "rhs_contract"};
  for (int i = 0; i < op_nattr(op); i++) {
    char name[32];
    op_attr_name(op, i, name);
    int known = 0, of = 0;
    while (known < 8 && strcmp(names[known], name) != 0) known++;
    if (known == 8) continue;
    if (known >= 6) of = 1;
    if (op_table[op].kind == KIND_SCATTER && nin > 2) of = 2;
    if (op == OP_iota || op == OP_broadcast || op == OP_scatter_add) of = RESULT;
    if (of == RESULT ? !result : of >= nin) continue;
    int rank = of == RESULT ? result->rank : t_type(e, in[of])->shape.rank;
    for (int k = 0; k < attr[i].n; k++)
      if (attr[i].v[k] < 0) attr[i].v[k] += rank;
  }
}

Value t_prim(Elab *e, Frame *f, const Ast *at, OpId op, const Arg *arg, int narg) {
  const OpRow *row = &op_table[op];
  Ints attr[MAX_ATTRS] = {0};
  bool has[MAX_ATTRS] = {false}, has_shape = false;
  Shape shape = {0};
  DType dt = DT_NONE;
  Imm imm = 0;
  int nin = 0, nattr = op_nattr(op);
  bool typed = row->type == TY_EXPLICIT;
  Value *v = NEWN(e->arena, Value, narg + 1);
  for (int i = 0; i < narg; i++) {
    const Arg *a = &arg[i];
    int k = a->name ? op_attr_index(op, a->name) : -1;
    for (int j = 0; a->name && j < i; j++)
      if (name_is(arg[j].name, a->name)) elab_error(e, f, a->at, "`%s` is given twice", a->name);
    if (!a->name) {
      v[nin++] = a->v;
    } else if (k >= 0) {
      attr[k] = need_ints(e, f, a->at, a->v, a->name);
      has[k] = true;
    } else if (typed && name_is(a->name, "shape")) {
      shape = need_shape(e, f, a->at, a->v, "shape");
      has_shape = true;
    } else if (typed && name_is(a->name, "dtype")) {
      if (a->v.kind != V_DTYPE) elab_error(e, f, a->at, "dtype must be an element type such as f32");
      dt = a->v.u.dt;
    } else if (op_has_imm(op) && name_is(a->name, "value")) {
      imm = need_num(e, f, a->at, a->v, "value");
    } else {
      elab_error(e, f, a->at, "operator %s has no attribute `%s`; it takes %s", row->name, a->name,
                 row->attrs ? row->attrs : "none");
    }
  }
  if (row->kind == KIND_MAP && op != OP_cast) return t_map(e, f, at, op, v, nin);
  if (row->nin >= 0 && nin != row->nin)
    elab_error(e, f, at, "%s takes %d operand%s, not %d", row->name, row->nin, row->nin == 1 ? "" : "s", nin);
  Val *in = NEWN(e->arena, Val, nin + 1);
  for (int i = 0; i < nin; i++)
    in[i] = need_tensor(e, f, at, v[i], arena_printf(e->arena, "operand %d of %s", i + 1, row->name));
  for (int i = 0; i < nattr; i++) {
    char name[32];
    /* an empty list is what absent axes of a contraction mean; views need theirs */
    if (!has[i] && row->kind != KIND_DOT && !op_attr_optional(op, i))
      elab_error(e, f, at, "%s needs its attribute `%s`", row->name, op_attr_name(op, i, name));
  }
  if (row->type == TY_EXPLICIT && dt == DT_NONE) dt = nin ? t_type(e, in[nin - 1])->dt : DT_F32;
  if (op == OP_random_bits) dt = DT_U32;
  if (op == OP_cast && !has_shape && nin) {
    shape = t_type(e, in[0])->shape;
    has_shape = true;
  }
  axes_from_end(e, op, in, nin, has_shape ? &shape : NULL, attr);
  return v_tensor(t_node(e, f, at, op, in, nin, nattr ? attr : NULL, imm, dt, has_shape ? &shape : NULL));
}

/* ---- matrix products: a[..., m, k] @ b[k, n], or the leading axes of both, which broadcast ---- */

/* v with these leading axes before its matrix. */
static Val with_lead(Elab *e, Frame *f, const Ast *at, Val v, const Shape *lead) {
  Shape s = *lead;
  const Shape own = t_type(e, v)->shape;
  for (int i = 2; i > 0; i--) s.dim[s.rank++] = own.dim[own.rank - i];
  return broadcast_to(e, f, at, v, &s);
}

Value t_matmul(Elab *e, Frame *f, const Ast *at, Value a, Value b) {
  Val in[2] = {need_tensor(e, f, at, a, "the left side of @"),
               need_tensor(e, f, at, b, "the right side of @")};
  Shape sa = t_type(e, in[0])->shape, sb = t_type(e, in[1])->shape, lead;
  const char *why = NULL;
  if (sa.rank < 2 || sb.rank < 2) why = "both sides need at least two axes";
  else if (sa.dim[sa.rank - 1] != sb.dim[sb.rank - 2])
    why =
        arena_printf(e->arena, "the last axis of the left is %lld, but the second last of the right is %lld",
                     (long long)sa.dim[sa.rank - 1], (long long)sb.dim[sb.rank - 2]);
  else if (sb.rank > 2) {
    sa.rank -= 2, sb.rank -= 2;
    if (!broadcast_shape(&sa, &sb, &lead)) why = "their leading axes do not fit together";
    sa.rank += 2, sb.rank += 2;
  }
  if (why) {
    elab_report(e, f, at, "cannot multiply %s @ %s: %s", value_text(e, v_tensor(in[0])),
                value_text(e, v_tensor(in[1])), why);
    elab_note_value(e, v_tensor(in[0]), "the left side");
    elab_note_value(e, v_tensor(in[1]), "the right side");
    diag_throw(e->diags);
  }
  Ints attr[4] = {0};
  if (sb.rank > 2) {
    for (int i = 0; i < 2; i++) in[i] = with_lead(e, f, at, in[i], &lead);
    sa = t_type(e, in[0])->shape, sb = t_type(e, in[1])->shape;
    attr[0] = attr[1] = ints_range(lead.rank);
  }
  attr[2] = ints1(sa.rank - 1);
  attr[3] = ints1(sb.rank - 2);
  return v_tensor(t_node(e, f, at, OP_dot_general, in, 2, attr, 0, DT_NONE, NULL));
}

/* ---- indexing: x[i, a:b:c, :, ...]; a number drops its axis, `...` stands for axes as they are ---- */

static int64_t index_bound(Elab *e, Frame *f, const Ast *a, int64_t absent, int64_t extent) {
  if (!a) return absent;
  int64_t i = need_int(e, f, a, eval(e, f, a), "an index");
  return i < 0 ? i + extent : i;
}

Value t_index(Elab *e, Frame *f, const Ast *at, Value x) {
  if (x.kind == V_EMPTY) elab_error(e, f, at, "%s cannot be indexed: it has no elements", value_text(e, x));
  Val v = x.u.val;
  const DType dt = t_type(e, v)->dt;
  const Shape s = t_type(e, v)->shape;
  int n = at->nkid - 1, dots = n, several = 0;
  for (int i = n - 1; i >= 0; i--)
    if (at->kid[1 + i]->kind == AST_ELLIPSIS) dots = i, several++;
  if (several > 1) elab_error(e, f, at, "`...` stands in an index once");
  n -= several;
  if (n > s.rank) {
    elab_report(e, f, at, "%d indices for %s, which has %d axes", n, value_text(e, x), s.rank);
    elab_note_value(e, x, "the operand");
    diag_throw(e->diags);
  }
  Ints attr[3] = {{.n = s.rank}, {.n = s.rank}, {.n = s.rank}};
  Shape out = s, kept = {0};
  bool whole = true, empty = false, drops = false;
  for (int i = 0; i < s.rank; i++) {
    int from_end = i - (s.rank - n); /* of the indices without `...`, behind it */
    const Ast *k = i < dots && i < n  ? at->kid[1 + i]
                   : from_end >= dots ? at->kid[1 + several + from_end]
                                      : NULL;
    int64_t start = 0, stop = s.dim[i], step = 1;
    bool drop = k && k->kind != AST_SLICE;
    if (drop) {
      start = index_bound(e, f, k, 0, s.dim[i]);
      stop = start + 1;
    } else if (k) {
      start = index_bound(e, f, k->kid[0], 0, s.dim[i]);
      stop = index_bound(e, f, k->kid[1], s.dim[i], s.dim[i]);
      if (k->kid[2]) step = need_int(e, f, k->kid[2], eval(e, f, k->kid[2]), "a step");
      if (step < 1)
        elab_error(e, f, k->kid[2], "the step %lld is not positive: reverse(x, axis) turns an axis around",
                   (long long)step);
    }
    if (start < 0 || stop > s.dim[i] || start > stop) {
      if (start < 0) start -= s.dim[i]; /* as it was written */
      if (drop)
        elab_report(e, f, k, "index %lld is outside axis %d of %s", (long long)start, i, value_text(e, x));
      else
        elab_report(e, f, k, "slice %lld:%lld:%lld is outside axis %d of %s", (long long)start,
                    (long long)stop, (long long)step, i, value_text(e, x));
      elab_note_value(e, x, "the operand");
      diag_throw(e->diags);
    }
    attr[0].v[i] = start, attr[1].v[i] = stop, attr[2].v[i] = step;
    out.dim[i] = (stop - start + step - 1) / step;
    whole = whole && out.dim[i] == s.dim[i];
    empty = empty || out.dim[i] == 0;
    drops = drops || drop;
    if (!drop) kept.dim[kept.rank++] = out.dim[i];
  }
  if (empty) {
    EmptyTensor *t = NEW(e->arena, EmptyTensor);
    *t = (EmptyTensor){dt, kept};
    return (Value){.kind = V_EMPTY, .u.empty = t};
  }
  if (!whole) v = t_node(e, f, at, OP_slice, &v, 1, attr, 0, DT_NONE, NULL);
  if (drops) v = t_node(e, f, at, OP_reshape, &v, 1, NULL, 0, dt, &kept);
  return v_tensor(v);
}
