/* What graphs of GRAPH_GEN_ALL draw besides: whatever elementwise operator the table has, integers, other types of floats,
   constants, long sums, loops (graph_draw.h). */
#include "tests/unit/graph_draw.h"

#include "ir/graph/loops.h"

#include <math.h>
#include <string.h>

#define COUNT(A) ((int64_t)(sizeof(A) / sizeof *(A)))

static const double numbers[] = {0,    1,    -1,   2,       0.5,  3,    -0.25,   0.1,    7,       -1.5,
                                 1e-3, 1000, 4096, 0x1p-12, -17., 16.5, 1.0 / 3, 1.0625, 0.015625};
const double special_numbers[SPECIAL_NUMBERS] = {
    0,     -0.0,   1,    -1,    INFINITY, -INFINITY, NAN,  3.4028235e38, -3e38, 1.1754944e-38,
    1e-39, -1e-39, 1e20, 1e-20, 1e-38,    0.1,       0.25, 16777217,     3,     -7.5e9};
const Imm special_integers[SPECIAL_INTEGERS] = {0,
                                                1,
                                                -1,
                                                2,
                                                3,
                                                31,
                                                63,
                                                255,
                                                INT64_MAX,
                                                INT64_MIN,
                                                9007199254740993,
                                                -9007199254740993,
                                                4294967296,
                                                2147483648,
                                                -2147483649,
                                                1000000007};

static double number(Gen *r) {
  return r->special && pick(r, 2) ? special_numbers[pick(r, SPECIAL_NUMBERS)]
                                  : numbers[pick(r, COUNT(numbers))];
}

static Val times(Gen *r, Val a, double by) { return g_binary(r->g, OP_mul, a, g_fill_like(r->g, a, by)); }
static Val plus(Gen *r, Val a, double by) { return g_binary(r->g, OP_add, a, g_fill_like(r->g, a, by)); }
static Val tamed(Gen *r, Val a) { return g_unary(r->g, OP_tanh, a); }

/* a brought to where the operator is tried (its row's sample); what grows fast sees small numbers. */
static Val sampled(Gen *r, OpId op, Val a) {
  const char *s = op_table[op].sample;
  if (r->special && pick(r, 2)) return a;
  if (!strcmp(s, "unit")) return times(r, tamed(r, a), 0.9);
  if (!strcmp(s, "pos")) return plus(r, g_unary(r->g, OP_abs, tamed(r, a)), 0.25);
  if (!strcmp(s, "above1")) return plus(r, g_unary(r->g, OP_abs, a), 1.25);
  return op_table[op].flops >= 12 ? times(r, tamed(r, a), 1.2) : a;
}

/* An operator of the table whose operands and result have one type, of those accepted. */
static OpId elementwise(Gen *r, int accept) {
  for (;;) {
    OpId op = (OpId)pick(r, OP_COUNT);
    const OpRow *row = &op_table[op];
    if (row->kind == KIND_MAP && row->type == TY_SAME && row->accept & accept && row->nin > 0) return op;
  }
}

static Val mapped(Gen *r) {
  OpId op = elementwise(r, A_FLOAT);
  Val a = any(r), in[2] = {sampled(r, op, a), a};
  if (op_table[op].nin > 1) in[1] = sampled(r, op, draw_like(r, a));
  return attempt(r, op, in, op_table[op].nin, NULL, 0);
}

static Val constant(Gen *r) {
  static const OpId ops[] = {OP_add, OP_sub, OP_mul, OP_mul, OP_max, OP_min, OP_div};
  OpId op = ops[pick(r, COUNT(ops))];
  Val a = any(r);
  double v = number(r);
  Val in[2] = {a, g_fill_like(r->g, a, v)};
  bool swap = pick(r, 2);
  if (!r->special && (op == OP_div || fabs(v) > 10)) /* not by zero, and of order one */
    return tamed(r, g_binary(r->g, OP_mul, in[0], in[1]));
  return g_binary(r->g, op, in[swap], in[!swap]);
}

/* Along which axes a value without this one stands in one of shape s. */
static Ints others(const Shape *s, int64_t axis) {
  Ints dims = {0};
  for (int i = 0; i < s->rank; i++)
    if (i != axis) dims.v[dims.n++] = i;
  return dims;
}

/* Integers of some type: from floats, places and constants through several operators, and the last bits of that back. */
static Val integers(Gen *r) {
  static const DType types[] = {DT_I64, DT_I64, DT_I32, DT_U32};
  Graph *g = r->g;
  DType dt = types[pick(r, 4)];
  Val a = any(r), v[16];
  Shape s = *shape_of(r, a);
  Ints axis = ints1(s.rank ? pick(r, s.rank) : 0), dims = others(&s, axis.v[0]);
  int n = 0;
  for (; n < 2; n++) {
    Val x = times(r, tamed(r, n ? draw_like(r, a) : a), 9);
    v[n] = g_cast(g, dt == DT_U32 ? g_unary(g, OP_abs, x) : x, dt);
  }
  if (s.rank) v[n++] = g_add(g, OP_iota, NULL, 0, &axis, 0, dt, &s);
  v[n++] = g_fill(g, dt, &s, (Imm)(pick(r, 9) - (dt == DT_U32 ? 0 : 4)));
  Imm large = special_integers[pick(r, SPECIAL_INTEGERS)];
  v[n++] = g_fill(g, dt, &s, (Imm)cell_int(dt, int_cell(dt, (int64_t)large)));
  for (int i = 2 + (int)pick(r, 4); i > 0; i--) {
    Val x = v[pick(r, n)], y = v[pick(r, n)];
    if (!pick(r, 5)) {
      Val c = g_binary(g, pick(r, 2) ? OP_lt : OP_eq, x, y);
      Val z = v[pick(r, n)];
      v[n++] = g_select(g, c, y, z);
    } else {
      OpId op = elementwise(r, A_INT);
      Val z = attempt(r, op, (Val[]){x, y}, op_table[op].nin, NULL, 0);
      if (z >= 0) v[n++] = z;
    }
  }
  Val y = v[n - 1];
  if (s.rank && !pick(r, 4))
    y = g_broadcast(g, g_reduce(g, pick(r, 2) ? OP_reduce_max : OP_reduce_sum, y, &axis), &s, &dims);
  y = g_binary(g, OP_bit_and, y, g_fill(g, dt, &s, 255));
  return g_binary(g, OP_add, times(r, a, 0.5), times(r, g_cast(g, y, DT_F32), 1.0 / 256));
}

/* A few operators in another type of floats. */
static Val other_type(Gen *r) {
  static const OpId two[] = {OP_add, OP_sub, OP_mul, OP_max, OP_min},
                    one[] = {OP_neg, OP_abs, OP_tanh, OP_relu};
  Graph *g = r->g;
  DType dt = pick(r, 3) ? DT_BF16 : DT_F64;
  Val a = any(r), x = g_cast(g, a, dt), y = g_cast(g, tamed(r, draw_like(r, a)), dt);
  Shape s = *shape_of(r, a);
  for (int i = 1 + (int)pick(r, 4); i > 0; i--) {
    Val z = pick(r, 3) ? attempt(r, two[pick(r, COUNT(two))], (Val[]){x, y}, 2, NULL, 0)
                       : attempt(r, one[pick(r, COUNT(one))], &x, 1, NULL, 0);
    if (z >= 0) x = z;
  }
  if (s.rank && !pick(r, 3)) {
    int64_t at = pick(r, s.rank);
    Ints axis = ints1(at), dims = others(&s, at);
    Val z = attempt(r, pick(r, 2) ? OP_reduce_sum : OP_reduce_max, &x, 1, &axis, 0);
    if (z >= 0) x = g_broadcast(g, z, &s, &dims);
    return times(r, g_cast(g, x, DT_F32), 1.0 / (double)s.dim[at]);
  }
  if (s.rank && !pick(r, 2)) { /* a product in that type */
    Ints at[4] = {{0}, {0}, ints1(pick(r, s.rank)), {0}};
    at[3] = at[2];
    Val z = attempt(r, OP_dot_general, (Val[]){x, y}, 2, at, 0);
    if (z < 0 || shape_of(r, z)->rank > 5 || shape_count(shape_of(r, z)) > 20000) return -1;
    return times(r, g_cast(g, z, DT_F32), 1.0 / (double)s.dim[at[2].v[0]]);
  }
  return g_cast(g, x, DT_F32);
}

/* A sum of so many that the order counts, with a value of the graph in every summand. */
static Val long_sum(Gen *r) {
  static const int64_t lengths[] = {4099, 20011, 70001};
  static const OpId ops[] = {OP_reduce_sum, OP_reduce_mean, OP_reduce_m2, OP_reduce_max};
  Graph *g = r->g;
  int64_t n = lengths[pick(r, 3)];
  Val a = any(r);
  Ints all = ints_range(shape_of(r, a)->rank), none = {0}, last = ints1(0);
  Shape s = {1, {n}};
  if (pick(r, 2)) s = (Shape){2, {3, n / 3}}, last = ints1(1);
  if (pick(r, 3) == 0) s = (Shape){2, {n / 5, 5}}, last = ints1(0);
  Val x = g_broadcast(g, tamed(r, g_reduce(g, OP_reduce_max, a, &all)), &s, &none);
  Val i = g_cast(g, g_add(g, OP_iota, NULL, 0, &last, 0, DT_I64, &s), DT_F32);
  Val y = g_binary(g, OP_mul, plus(r, g_unary(g, OP_sin, times(r, i, 0.37)), 1.2), plus(r, x, 1.5));
  if (pick(r, 2)) y = plus(r, y, (double)pick(r, 40));
  OpId op = ops[pick(r, COUNT(ops))];
  Val z = g_reduce(g, op, y, &last);
  double by = op == OP_reduce_sum || op == OP_reduce_m2 ? 1.0 / (double)n : 1;
  z = times(r, z, by);
  Ints rest = ints_range(shape_of(r, z)->rank);
  z = g_reduce(g, OP_reduce_sum, z, &rest);
  Shape to = *shape_of(r, a);
  return g_binary(g, OP_add, a, g_broadcast(g, z, &to, &none));
}

/* The last axis in order; then places of an axis joined with updates. */
static Val ordered(Gen *r) {
  static const OpId ops[] = {OP_scatter_set, OP_scatter_mul, OP_scatter_min, OP_scatter_max};
  Graph *g = r->g;
  Val a = any(r);
  Shape s = *shape_of(r, a);
  int64_t n = shape_count(&s), len = s.rank ? s.dim[s.rank - 1] : 1;
  if (!s.rank) return -1;
  Shape flat = {1, {n}}, rows = {2, {n / len, len}};
  Ints down = {.n = (int)pick(r, 2), .v = {1}}, first = ints1(0);
  Val order = g_add(g, OP_argsort, &a, 1, &down, 0, DT_NONE, NULL);
  Val row = g_add(g, OP_iota, NULL, 0, &first, 0, DT_I64, &rows), lie = g_reshape(g, order, &rows);
  lie = g_binary(g, OP_add, lie, g_binary(g, OP_mul, row, g_fill_like(g, row, (double)len)));
  Val y = g_add(g, OP_gather, (Val[]){g_reshape(g, a, &flat), lie}, 2, &first, 0, DT_NONE, NULL);
  y = g_reshape(g, y, &s);
  if (pick(r, 2)) return y;
  Ints axis = ints1(pick(r, s.rank));
  Shape is = {1, {s.dim[axis.v[0]]}};
  Val i = g_add(g, OP_iota, NULL, 0, &first, 0, DT_I64, &is);
  i = g_binary(g, OP_mul, i, g_fill_like(g, i, (double)pick(r, 3)));
  OpId op = ops[pick(r, COUNT(ops))];
  Val u = tamed(r, draw_like(r, a)), to = op == OP_scatter_mul ? tamed(r, y) : y;
  return g_add(g, op, (Val[]){i, u, to}, 3, &axis, 0, DT_NONE, NULL);
}

/* A loop over the first axis of a value: its body is drawn as the rest of the graph is, from a pool of its own. */
static Val loop(Gen *r) {
  enum { LONGEST = 9, CARRIES = 3 };
  Graph *g = r->g;
  Val x = any(r), start[CARRIES], carry[CARRIES], next[CARRIES];
  for (int i = 0; i < 8 && (!shape_of(r, x)->rank || shape_of(r, x)->dim[0] > LONGEST); i++) x = any(r);
  if (!shape_of(r, x)->rank || shape_of(r, x)->dim[0] > LONGEST || r->path.n > (r->nested ? 1 : 0)) return -1;
  Gen outside = *r;
  int64_t steps = shape_of(r, x)->dim[0];
  Ints path = r->path;
  path.v[path.n++] = graph_new_loop(g);
  int carries = 1 + (int)pick(r, CARRIES);
  for (int i = 0; i < carries; i++) {
    start[i] = tamed(r, any(r));
    if (shape_of(r, start[i])->rank == MAX_RANK) return -1;
  }
  r->pool.v = NULL, r->pool.n = r->pool.cap = 0;
  r->path = path;
  for (int i = 0; i < 3; i++) draw_keep(r, outside.pool.v[pick(r, outside.pool.n)]);
  draw_keep(r, g_scan_in(g, x, &path, pick(r, 2)));
  for (int i = 0; i < carries; i++) draw_keep(r, carry[i] = g_scan_carry(g, start[i], &path, i, steps));
  for (int i = 2 + (int)pick(r, 8); i > 0; i--) draw_keep(r, draw_operator(r));
  for (int i = 0; i < carries; i++) {
    next[i] = -1;
    for (int k = r->pool.n - 1; k >= 0 && next[i] < 0; k--)
      if (r->pool.v[k] != carry[i] && shape_eq(shape_of(r, r->pool.v[k]), shape_of(r, carry[i])) &&
          pick(r, 3))
        next[i] = r->pool.v[k];
    next[i] = next[i] < 0 ? times(r, carry[i], 0.75) : tamed(r, next[i]);
  }
  Val out = r->pool.v[r->pool.n - 1];
  Shape s = *shape_of(r, out);
  bool collect = s.rank < 6 && shape_count(&s) * steps <= 20000, reverse = pick(r, 2);
  r->pool.v = outside.pool.v, r->pool.n = outside.pool.n, r->pool.cap = outside.pool.cap;
  r->path = outside.path;
  for (int i = 0; i < carries; i++) draw_keep(r, g_scan_next(g, carry[i], next[i]));
  return collect ? g_scan_out(g, out, &path, steps, reverse) : -1;
}

Val draw_more(Gen *r) {
  static Val (*const kinds[])(Gen *) = {mapped,   mapped,     mapped,   constant, constant,
                                        integers, other_type, long_sum, loop,     ordered};
  return kinds[pick(r, COUNT(kinds))](r);
}
