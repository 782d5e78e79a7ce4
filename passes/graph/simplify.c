/* Algebraic simplification: a table of rules, each a small function, applied to every node as it is copied
   and to every node a rule makes (the idea of LuaJIT's fold engine). Rules keep IEEE semantics for NaN and
   infinity (no x*0, no x-x) and may drop the sign of zero (x+0). Run-time factors keep their places: in another order
   their products leave the type's range where those written do not. Constants that are both at most or both at
   least 1 in magnitude may be multiplied first, which leaves the range nowhere else. */
#include "passes/graph/simplify.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- building ---- */
static Val apply_rules(Simplifier *s, Val v);

Val simp_add(Simplifier *s, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt,
             const Shape *shape) {
  return apply_rules(s, g_add(s->g, op, in, nin, attr, imm, dt, shape));
}
Val simp_unary(Simplifier *s, OpId op, Val a) { return simp_add(s, op, &a, 1, NULL, 0, DT_NONE, NULL); }
Val simp_binary(Simplifier *s, OpId op, Val a, Val b) {
  return simp_add(s, op, (Val[]){a, b}, 2, NULL, 0, DT_NONE, NULL);
}
Val simp_fill(Simplifier *s, DType dt, const Shape *shape, Imm value) {
  return g_fill(s->g, dt, shape, value);
}
Val simp_reshape(Simplifier *s, Val a, const Shape *shape) {
  return simp_add(s, OP_reshape, &a, 1, NULL, 0, DT_NONE, shape);
}
Val simp_broadcast(Simplifier *s, Val a, const Shape *shape, const Ints *dims) {
  return simp_add(s, OP_broadcast, &a, 1, dims, 0, DT_NONE, shape);
}

const Node *simp_def(const Simplifier *s, Val v) {
  static const Node opaque = {.op = OP_input, .input = -1};
  for (int i = 0; i < s->pinned.n; i++)
    if (s->pinned.v[i] == v) return &opaque;
  return g_node(s->g, v);
}

bool simp_is_fill(const Simplifier *s, Val v, Imm *value) {
  const Node *n = simp_def(s, v);
  if (n->op == OP_fill) *value = n->imm;
  return n->op == OP_fill;
}

static bool is_value(const Simplifier *s, Val v, Imm x) {
  Imm c;
  return simp_is_fill(s, v, &c) && c == x;
}

/* The operand of v when v is op, else -1. */
static Val under(const Simplifier *s, Val v, OpId op) {
  const Node *n = simp_def(s, v);
  return n->op == op ? n->in[0] : -1;
}

/* ---- elementwise rules ---- */
static double evaluate(const Graph *g, Arena *a, bool rounds) {
  Tensor64 out;
  graph_interp(g, NULL, &out, a, rounds);
  return out.v[0];
}

/* The interpreter computes the value, rounded as in a run. What is kept is the value before rounding where that
   rounds to the same: an evaluation in f64 then sees no difference. */
static Val rule_constants(Simplifier *s, const Node *n) {
  if (op_table[n->op].kind != KIND_MAP) return -1;
  Imm c[3];
  for (int i = 0; i < n->nin; i++)
    if (!simp_is_fill(s, n->in[i], &c[i])) return -1;
  Arena *tmp = arena_new();
  Graph *g = graph_new(tmp, "constant");
  Shape scalar = {0};
  Val in[3];
  for (int i = 0; i < n->nin; i++) in[i] = g_fill(g, g_node(s->g, n->in[i])->dt, &scalar, c[i]);
  g_output(g, "value", g_add(g, n->op, in, n->nin, NULL, 0, n->dt, NULL), -1);
  double run = evaluate(g, tmp, true), plain = evaluate(g, tmp, false);
  arena_free(tmp);
  if (dtype_is_int(n->dt)) return simp_fill(s, n->dt, &n->shape, int_imm(n->dt, cell_int(n->dt, run)));
  if (!isfinite(run)) return -1;
  bool same = n->dt == DT_F32 ? (float)plain == run && f32_round(plain) == run : n->dt == DT_F64;
  return simp_fill(s, n->dt, &n->shape, same ? plain : run);
}

static Val rule_add_zero(Simplifier *s, const Node *n) {
  if (is_value(s, n->in[1], 0)) return n->in[0];
  return n->op == OP_add && is_value(s, n->in[0], 0) ? n->in[1] : -1;
}

static Val rule_mul_one(Simplifier *s, const Node *n) {
  if (is_value(s, n->in[1], 1)) return n->in[0];
  return n->op == OP_mul && is_value(s, n->in[0], 1) ? n->in[1] : -1;
}

static Val rule_mul_minus_one(Simplifier *s, const Node *n) {
  for (int i = 0; i < 2; i++)
    if (is_value(s, n->in[i], -1)) return simp_unary(s, OP_neg, n->in[1 - i]);
  return -1;
}

static Val rule_neg_neg(Simplifier *s, const Node *n) { return under(s, n->in[0], OP_neg); }

static Val rule_add_neg(Simplifier *s, const Node *n) {
  Val a = under(s, n->in[0], OP_neg), b = under(s, n->in[1], OP_neg);
  if (b >= 0) return simp_binary(s, n->op == OP_add ? OP_sub : OP_add, n->in[0], b);
  return n->op == OP_add && a >= 0 ? simp_binary(s, OP_sub, n->in[1], a) : -1;
}

static Val rule_mul_neg(Simplifier *s, const Node *n) {
  Val a = under(s, n->in[0], OP_neg), b = under(s, n->in[1], OP_neg);
  return a >= 0 && b >= 0 ? simp_binary(s, n->op, a, b) : -1;
}

static Val rule_pow_const(Simplifier *s, const Node *n) {
  Imm c;
  if (!simp_is_fill(s, n->in[1], &c)) return -1;
  if (c == 0) return simp_fill(s, n->dt, &n->shape, 1); /* also for NaN, as in C */
  if (c == 1) return n->in[0];
  return c == 2 ? simp_binary(s, OP_mul, n->in[0], n->in[0]) : -1;
}

/* Only where the reciprocal is exact. */
static Val rule_div_power_of_two(Simplifier *s, const Node *n) {
  Imm c;
  int e;
  if (!simp_is_fill(s, n->in[1], &c) || fabsl(frexpl(c, &e)) != 0.5 || abs(e) > 120) return -1;
  return simp_binary(s, OP_mul, n->in[0], simp_fill(s, n->dt, &n->shape, 1 / c));
}

static Val rule_select_const(Simplifier *s, const Node *n) {
  Imm c;
  return simp_is_fill(s, n->in[0], &c) ? n->in[c != 0 ? 1 : 2] : -1;
}

static Val rule_select_same(Simplifier *s, const Node *n) {
  Imm b, c;
  if (n->in[1] == n->in[2]) return n->in[1];
  bool fills = simp_is_fill(s, n->in[1], &b) && simp_is_fill(s, n->in[2], &c);
  return fills && b == c && signbit(b) == signbit(c) ? n->in[1] : -1;
}

static Val rule_logic_const(Simplifier *s, const Node *n) {
  for (int i = 0; i < 2; i++) {
    Imm c;
    if (!simp_is_fill(s, n->in[i], &c)) continue;
    return (c != 0) == (n->op == OP_and) ? n->in[1 - i] : n->in[i];
  }
  return n->in[0] == n->in[1] ? n->in[0] : -1;
}

static Val rule_not_not(Simplifier *s, const Node *n) { return under(s, n->in[0], OP_not); }

static Val rule_cast_same(Simplifier *s, const Node *n) {
  return g_node(s->g, n->in[0])->dt == n->dt ? n->in[0] : -1;
}

/* A cast of a widening cast is one cast - except between integers through a float, which saturates where a
   direct cast wraps. */
static Val rule_cast_of_cast(Simplifier *s, const Node *n) {
  Val x = under(s, n->in[0], OP_cast);
  if (x < 0) return -1;
  DType a = g_node(s->g, x)->dt, b = g_node(s->g, n->in[0])->dt;
  if (!dtype_widens(a, b)) return -1;
  if (a == n->dt) return x;
  if (dtype_is_int(a) && dtype_is_float(b) && dtype_is_int(n->dt)) return -1;
  return simp_add(s, OP_cast, &x, 1, NULL, 0, n->dt, NULL);
}

/* Is c a finite number with all digits in type dt? */
static bool is_normal(DType dt, double c) {
  double least = dt == DT_F16 ? 0x1p-14 : FLT_MIN, most = dt == DT_F16 ? 65504 : FLT_MAX;
  return dt == DT_F64 ? isnormal(c) : !dtype_is_float(dt) || (fabs(c) >= least && fabs(c) <= most);
}

/* (x*p)*q = x*(p*q) for constants. */
static Val rule_mul_chain(Simplifier *s, const Node *n) {
  for (int i = 0; i < 2; i++) {
    Imm p, q;
    const Node *m = simp_def(s, n->in[1 - i]);
    if (m->op != OP_mul || !dtype_is_float(n->dt) || !simp_is_fill(s, n->in[i], &q)) continue;
    for (int k = 0; k < 2; k++) {
      if (!simp_is_fill(s, m->in[k], &p) || (fabsl(p) <= 1) != (fabsl(q) <= 1)) continue;
      if (!is_normal(n->dt, (double)(p * q))) continue;
      return simp_binary(s, OP_mul, m->in[1 - k], simp_binary(s, OP_mul, m->in[k], n->in[i]));
    }
  }
  return -1;
}

/* The root of a variance that is itself too large for f32 (or lost its digits there) need not be: sqrt(c*m2(x)) and
   the like are computed in f64. */
static Val in_f64(Simplifier *s, Val v) {
  const Node n = *simp_def(s, v);
  Imm c;
  if (simp_is_fill(s, v, &c)) return simp_fill(s, DT_F64, &n.shape, c);
  if (n.op == OP_reduce_m2) {
    Val x = simp_add(s, OP_cast, n.in, 1, NULL, 0, DT_F64, NULL);
    return simp_add(s, OP_reduce_m2, &x, 1, n.attr, 0, DT_NONE, NULL);
  }
  Val in[2];
  bool scaled = (n.op == OP_mul || n.op == OP_div || n.op == OP_add) &&
                (simp_is_fill(s, n.in[0], &c) || simp_is_fill(s, n.in[1], &c));
  if (!scaled && n.op != OP_reshape) return -1;
  for (int i = 0; i < n.nin; i++)
    if ((in[i] = in_f64(s, n.in[i])) < 0) return -1;
  if (n.op == OP_reshape) return simp_reshape(s, in[0], &n.shape);
  return simp_binary(s, n.op, in[0], in[1]);
}

static Val rule_root_of_m2(Simplifier *s, const Node *n) {
  Imm c;
  if (n->dt != DT_F32 || simp_is_fill(s, n->in[0], &c)) return -1;
  Val v = in_f64(s, n->in[0]);
  if (v < 0) return -1;
  v = simp_unary(s, OP_sqrt, v);
  return simp_add(s, OP_cast, &v, 1, NULL, 0, DT_F32, NULL);
}

/* ---- the table ---- */
static const Rule rules[] = {
    {"constants", rule_constants, {0}, "f(c, ...) -> c'"},
    {"add_zero", rule_add_zero, {OP_add, OP_sub}, "x+0, 0+x, x-0 -> x"},
    {"mul_one", rule_mul_one, {OP_mul, OP_div}, "x*1, 1*x, x/1 -> x"},
    {"mul_minus_one", rule_mul_minus_one, {OP_mul}, "x*-1 -> -x"},
    {"neg_neg", rule_neg_neg, {OP_neg}, "-(-x) -> x"},
    {"add_neg", rule_add_neg, {OP_add, OP_sub}, "x+(-y) -> x-y, (-x)+y -> y-x, x-(-y) -> x+y"},
    {"mul_neg", rule_mul_neg, {OP_mul, OP_div}, "(-x)*(-y) -> x*y"},
    {"pow_const", rule_pow_const, {OP_pow}, "x^0 -> 1, x^1 -> x, x^2 -> x*x"},
    {"div_power_of_two", rule_div_power_of_two, {OP_div}, "x/2^k -> x*2^-k"},
    {"select_const", rule_select_const, {OP_select}, "select(true,x,y) -> x"},
    {"select_same", rule_select_same, {OP_select}, "select(c,x,x) -> x"},
    {"logic_const", rule_logic_const, {OP_and, OP_or}, "and(x,true) -> x, or(x,true) -> true, and(x,x) -> x"},
    {"not_not", rule_not_not, {OP_not}, "not(not(x)) -> x"},
    {"cast_same", rule_cast_same, {OP_cast}, "cast(x) to its own type -> x"},
    {"cast_of_cast", rule_cast_of_cast, {OP_cast}, "a cast after a widening cast -> one cast"},
    {"map_of_broadcasts", rule_map_of_broadcasts, {0}, "f(broadcast(x), ...) -> broadcast(f(x, ...))"},
    {"mul_chain", rule_mul_chain, {OP_mul}, "(x*p)*q -> x*(p*q) for constants p, q"},
    {"root_of_m2", rule_root_of_m2, {OP_sqrt}, "sqrt(c*m2(x)) -> in f64"},
    {"view_of_fill", rule_view_of_fill, {0}, "views and extremes of constants are constants"},
    {"reshape_same", rule_reshape_same, {OP_reshape}, "reshape to the same shape -> x"},
    {"reshape_of_reshape", rule_reshape_of_reshape, {OP_reshape}, "reshape(reshape(x)) -> reshape(x)"},
    {"transpose_of_transpose", rule_transpose_of_transpose, {OP_transpose}, "two permutations -> one"},
    {"transpose_units",
     rule_transpose_units,
     {OP_transpose},
     "moving nothing, or only extents of 1 -> reshape"},
    {"transpose_of_dot",
     rule_transpose_of_dot,
     {OP_transpose},
     "swapping both sides of a product -> swapped operands"},
    {"broadcast_of_broadcast", rule_broadcast_of_broadcast, {OP_broadcast}, "two broadcasts -> one"},
    {"broadcast_of_iota",
     rule_broadcast_of_iota,
     {OP_broadcast},
     "counting along an axis, repeated -> the same at once"},
    {"broadcast_of_reshape",
     rule_broadcast_of_reshape,
     {OP_broadcast},
     "extents of 1 added first -> broadcast alone"},
    {"broadcast_units",
     rule_broadcast_units,
     {OP_broadcast},
     "adding nothing, or only extents of 1 -> reshape"},
    {"slice_same", rule_slice_same, {OP_slice}, "the whole -> x"},
    {"slice_of_slice", rule_slice_of_slice, {OP_slice}, "two slices -> one"},
    {"slice_of_concat", rule_slice_of_concat, {OP_slice}, "a part of one operand -> slice of that operand"},
    {"pad_none", rule_pad_none, {OP_pad}, "no padding -> x"},
    {"concat_one", rule_concat_one, {OP_concat}, "concat(x) -> x"},
    {"reverse_none", rule_reverse_none, {OP_reverse}, "reverse along extents of 1 -> x"},
    {"reverse_of_reverse",
     rule_reverse_of_reverse,
     {OP_reverse},
     "reverse(reverse(x)) along the same axes -> x"},
    {"reduce_units",
     rule_reduce_units,
     {OP_reduce_sum, OP_reduce_mean, OP_reduce_max, OP_reduce_min},
     "reduction over no axis, or extents of 1 -> reshape"},
    {"reduce_of_reduce",
     rule_reduce_of_reduce,
     {OP_reduce_sum, OP_reduce_mean, OP_reduce_max, OP_reduce_min},
     "two reductions -> one"},
    {"reduce_of_broadcast",
     rule_reduce_of_broadcast,
     {OP_reduce_sum, OP_reduce_mean, OP_reduce_max, OP_reduce_min},
     "sum(broadcast(x)) -> n*sum(x)"},
    {"sum_of_product",
     rule_sum_of_product,
     {OP_reduce_sum},
     "sum(-x) -> -sum(x); of gradients, a factor leaves a sum that is there without it"},
    {"dot_of_transpose", rule_dot_of_transpose, {OP_dot_general}, "transposed operand -> other dimensions"},
};
enum { RULES = sizeof rules / sizeof *rules };

const Rule *simplify_rules(int *n) {
  *n = RULES;
  return rules;
}

static bool applies(const Rule *r, OpId op) {
  for (int i = 0; i < 4 && r->on[i]; i++)
    if (r->on[i] == op) return true;
  return !r->on[0];
}

static Val apply_rules(Simplifier *s, Val v) {
  const Node n = *g_node(s->g, v);
  for (int i = 0; i < RULES; i++) {
    if (i == s->skip || !applies(&rules[i], n.op)) continue;
    Val r = rules[i].fn(s, &n);
    if (r < 0) continue;
    const Node *m = g_node(s->g, r);
    if (m->dt != n.dt || !shape_eq(&m->shape, &n.shape))
      bug("simplify: rule %s changed a type", rules[i].name);
    return r;
  }
  return v;
}

Graph *simplify_graph(Arena *a, const Graph *in, int skip) {
  Val *map;
  Arena *tmp = arena_new();
  Simplifier s = {.g = pass_begin(tmp, in, &map), .in = in, .skip = skip};
  s.map = map;
  for (Val v = 0; v < in->node.n; v++)
    if (g_node(in, v)->op == OP_reduce_sum) vec_push(tmp, &s.sums, v);
  bool *pinned = pass_mark_pinned(tmp, in);
  for (Val v = 0; v < in->node.n; v++) {
    map[v] = pass_copy(s.g, in, v, map);
    if (pinned[v]) {
      vec_push(tmp, &s.pinned, map[v]);
      continue;
    }
    s.g->loc = g_node(in, v)->loc;
    s.g->role = g_node(in, v)->role;
    map[v] = apply_rules(&s, map[v]);
  }
  pass_outputs(s.g, in, map);
  Graph *out = pass_live_copy(a, s.g, false);
  arena_free(tmp);
  return out;
}

Graph *pass_simplify(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  return simplify_graph(a, in, -1);
}
