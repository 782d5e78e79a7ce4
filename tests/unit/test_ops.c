/* Every row of the operator table: it has cases, its value agrees with an independent formula, its derivative
   (and the derivative of that) agrees with central finite differences in f64. A row without cases or
   reference fails. */
#include "ir/graph/expr.h"
#include "passes/graph/pass.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(A) ((int)(sizeof(A) / sizeof *(A)))

/* ---- graphs around a case ---- */
/* sum over the gradients of src times weights: its own gradient is a Hessian-vector product. */
static Graph *with_second_loss(Arena *a, const Graph *src) {
  Graph *g = graph_new(a, src->name);
  Val *map = op_case_copy(g, src), loss = map[src->outputs.v[0].val], sum = -1;
  for (int i = 0; i < src->inputs.n; i++) {
    if (!dtype_is_float(g_node(src, src->inputs.v[i].val)->dt)) continue;
    Val d = g_binary(g, OP_grad, loss, map[src->inputs.v[i].val]);
    Val s = g_cast(g, op_case_weighted_sum(g, d, arena_printf(a, "weights2.%d", i)), DT_F64);
    sum = sum < 0 ? s : g_binary(g, OP_add, sum, s);
  }
  g_output(g, "loss2", sum, -1);
  return g;
}

static Graph *expand(Arena *a, const Graph *g) {
  Diags *d = diags_new(a);
  PassOptions opt = {.verify_each = true};
  Graph *out = passes_run(a, g, (const char *[]){"autodiff", "dce"}, 2, &opt, d);
  if (!out) diags_print(d, stderr);
  ck_assert(out != NULL);
  return out;
}

static double scalar_at(const Graph *g, Tensor64 *in) {
  Arena *tmp = arena_new();
  Tensor64 out;
  graph_interp(g, in, &out, tmp, false);
  double v = out.v[0];
  arena_free(tmp);
  return v;
}

static double total_at(const Graph *g, Tensor64 *in, const Tensor64 *at, const Tensor64 *dir, double h,
                       int n) {
  for (int i = 0; i < n; i++)
    for (int64_t k = 0; dir[i].v && k < shape_count(&in[i].shape); k++)
      in[i].v[k] = at[i].v[k] + h * dir[i].v[k];
  return scalar_at(g, in);
}

/* Compares the derivative along one direction with a central difference. */
static void check_direction(const Graph *loss, Tensor64 *in, const Tensor64 *dir, double want,
                            const char *what) {
  const double h = 1e-5;
  Arena *tmp = arena_new();
  int n = loss->inputs.n;
  Tensor64 *at = NEWN(tmp, Tensor64, n + 1);
  for (int i = 0; i < n; i++) {
    int64_t count = shape_count(&in[i].shape);
    at[i].v = NEWN(tmp, double, count + 1);
    memcpy(at[i].v, in[i].v, (size_t)count * sizeof(double));
  }
  double up = total_at(loss, in, at, dir, h, n), down = total_at(loss, in, at, dir, -h, n);
  double got = (up - down) / (2 * h);
  for (int i = 0; i < n; i++) memcpy(in[i].v, at[i].v, (size_t)shape_count(&in[i].shape) * sizeof(double));
  arena_free(tmp);
  ck_assert_msg(fabs(got - want) <= 2e-6 * (1 + fabs(want)),
                "%s %s: derivative %.12g, finite difference %.12g", loss->name, what, want, got);
}

/* loss has one scalar output; every float input's gradient is checked along random directions and single
   elements. */
static void check_gradients(Arena *a, const Graph *base, const Graph *source, uint64_t seed) {
  Graph *loss = expand(a, source), *grads = expand(a, op_case_grads(a, source));
  Tensor64 *in = op_case_inputs_for(loss, base, a, seed);
  Tensor64 *g = NEWN(a, Tensor64, grads->outputs.n + 1);
  ck_assert_int_eq(loss->inputs.n, grads->inputs.n);
  graph_interp(grads, in, g, a, false);
  for (int o = 0; o < grads->outputs.n; o++) {
    int i = g_find_input(loss, grads->outputs.v[o].name);
    int64_t count = shape_count(&in[i].shape);
    ck_assert(shape_eq(&g[o].shape, &in[i].shape) && g[o].dt == in[i].dt);
    Tensor64 *dir = NEWN(a, Tensor64, loss->inputs.n + 1);
    dir[i].v = NEWN(a, double, count + 1);
    double want = 0;
    for (int64_t k = 0; k < count; k++) {
      dir[i].v[k] = op_case_normal(seed + 1, 500, (uint64_t)k) / sqrt((double)count);
      want += dir[i].v[k] * g[o].v[k];
    }
    check_direction(loss, in, dir, want, grads->outputs.v[o].name);
    for (int64_t k = 0; k < count; k += 1 + count / 12) {
      memset(dir[i].v, 0, (size_t)count * sizeof(double));
      dir[i].v[k] = 1;
      check_direction(loss, in, dir, g[o].v[k], grads->outputs.v[o].name);
    }
  }
}

static bool differentiable(const Graph *g) {
  bool any = false;
  for (Val v = 0; v < g->node.n; v++) {
    if (dtype_is_narrow(g_node(g, v)->dt) || g_node(g, v)->op == OP_stop_gradient) return false;
    any |= g_node(g, v)->op == OP_input && dtype_is_float(g_node(g, v)->dt);
  }
  return any && dtype_is_float(g_node(g, g->outputs.v[0].val)->dt);
}

START_TEST(test_every_row_has_cases) {
  for (int op = 0; op < OP_COUNT; op++) {
    if (op_table[op].kind == KIND_SCAN) continue; /* they make sense together only: test_scan.c */
    ck_assert_msg(op_case_count(op) > 0, "operator %s has no case in tests/unit/op_cases.c",
                  op_table[op].name);
    for (int i = 0; i < op_case_count(op); i++) {
      Arena *a = arena_new();
      char err[256];
      Graph *g = op_case_build(a, op, i);
      ck_assert_msg(graph_verify(g, err, sizeof err), "%s: %s", g->name, err);
      ck_assert_int_eq(g_node(g, g->outputs.v[0].val)->op, op);
      arena_free(a);
    }
  }
}
END_TEST

START_TEST(test_gradient) {
  for (int i = 0; i < op_case_count(_i); i++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, _i, i);
    if (differentiable(g)) check_gradients(a, g, op_case_loss(a, g), 17 + (uint64_t)i);
    arena_free(a);
  }
}
END_TEST

START_TEST(test_second_gradient) {
  for (int i = 0; i < op_case_count(_i); i++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, _i, i);
    if (differentiable(g)) check_gradients(a, g, with_second_loss(a, op_case_loss(a, g)), 71 + (uint64_t)i);
    arena_free(a);
  }
}
END_TEST

START_TEST(test_every_float_row_has_derivative) {
  for (int op = 0; op < OP_COUNT; op++) {
    const OpRow *row = &op_table[op];
    if (row->kind == KIND_SCAN || row->nin == 0 || op == OP_input || op == OP_grad || op == OP_random_bits)
      continue;
    ck_assert_msg(op_vjp_is_defined(op), "operator %s has no derivative", row->name);
    ck_assert_msg(row->doc && row->kind != KIND_MAP ? true : op_expr(op) != NULL, "%s", row->name);
    ck_assert_msg(row->kind != KIND_MAP || row->sample, "operator %s has no sample", row->name);
  }
}
END_TEST

/* ---- kinks and ties, as the edge column states ---- */
static void gradient_at(OpId op, const Ints *axes, int64_t n, double *a, double *b, double *ga) {
  Arena *arena = arena_new();
  Graph *g = graph_new(arena, "edge");
  Shape s = {1, {n}};
  Val in[2];
  in[0] = g_input(g, "a", IN_ARG, DT_F32, &s, NULL);
  in[1] = g_input(g, "b", IN_ARG, DT_F32, &s, NULL);
  Val y = g_add(g, op, in, op_table[op].nin, axes, 0, DT_NONE, NULL);
  Ints all = ints_range(g_node(g, y)->shape.rank);
  Val loss = g_reduce(g, OP_reduce_sum, y, &all);
  g_output(g, "ga", g_binary(g, OP_grad, loss, in[0]), -1);
  Tensor64 t[2] = {{DT_F32, s, a}, {DT_F32, s, b ? b : a}}, out;
  graph_interp(expand(arena, g), t, &out, arena, false);
  memcpy(ga, out.v, (size_t)n * sizeof(double));
  arena_free(arena);
}

START_TEST(test_edges) {
  double g[4];
  gradient_at(OP_relu, NULL, 3, (double[]){-1, 0, 2}, NULL, g);
  ck_assert(g[0] == 0 && g[1] == 0 && g[2] == 1);
  gradient_at(OP_abs, NULL, 3, (double[]){-1, 0, 2}, NULL, g);
  ck_assert(g[0] == -1 && g[1] == 0 && g[2] == 1);
  gradient_at(OP_sqrt, NULL, 2, (double[]){0, 4}, NULL, g);
  ck_assert(g[0] == 0 && g[1] == 0.25);
  gradient_at(OP_max, NULL, 3, (double[]){1, 2, 3}, (double[]){2, 2, 2}, g);
  ck_assert(g[0] == 0 && g[1] == 0.5 && g[2] == 1);
  gradient_at(OP_min, NULL, 3, (double[]){1, 2, 3}, (double[]){2, 2, 2}, g);
  ck_assert(g[0] == 1 && g[1] == 0.5 && g[2] == 0);
  Ints axis = ints1(0);
  gradient_at(OP_reduce_max, &axis, 4, (double[]){1, 3, 3, 2}, NULL, g);
  ck_assert(g[0] == 0 && g[1] == 0.5 && g[2] == 0.5 && g[3] == 0);
  gradient_at(OP_reduce_min, &axis, 4, (double[]){1, 3, 1, 2}, NULL, g);
  ck_assert(g[0] == 0.5 && g[1] == 0 && g[2] == 0.5 && g[3] == 0);
  gradient_at(OP_stop_gradient, NULL, 2, (double[]){1, 2}, NULL, g);
  ck_assert(g[0] == 0 && g[1] == 0);
  double nan_min = op_eval(OP_min, (double[]){1, NAN}), nan_max = op_eval(OP_max, (double[]){NAN, 1});
  ck_assert(isnan(nan_min) && isnan(nan_max) && isnan(op_eval(OP_relu, (double[]){NAN})));
}
END_TEST

/* Masking is by select: an infinite incoming gradient must not turn into 0*inf where none flows. */
START_TEST(test_masked_gradient) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "mask");
  Shape s = {1, {2}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), big = g_fill(g, DT_F32, &s, INFINITY);
  Val picked = g_select(g, g_binary(g, OP_lt, x, g_fill(g, DT_F32, &s, 0)), x, big);
  Val y = g_binary(g, OP_add, g_unary(g, OP_relu, x), g_binary(g, OP_max, x, g_fill(g, DT_F32, &s, 0)));
  Ints axis = ints1(0);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, y, big), &axis);
  g_output(g, "g", g_binary(g, OP_grad, loss, x), -1);
  loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, picked, big), &axis);
  g_output(g, "gp", g_binary(g, OP_grad, loss, x), -1);
  Tensor64 in = {DT_F32, s, (double[]){-1, 2}}, out[2];
  graph_interp(expand(a, g), &in, out, a, false);
  ck_assert(out[0].v[0] == 0 && isinf(out[0].v[1]));
  ck_assert(isinf(out[1].v[0]) && out[1].v[1] == 0);
  arena_free(a);
}
END_TEST

/* ---- elementwise values against libm ---- */
typedef double Reference(const double *x);
#define REF(NAME, VALUE)                                                                                     \
  static double ref_##NAME(const double *x) { return VALUE; }
REF(neg, -x[0])
REF(abs, fabs(x[0]))
REF(sign, x[0] > 0 ? 1 : x[0] < 0 ? -1 : 0)
REF(floor, floor(x[0]))
REF(exp, exp(x[0]))
REF(log, log(x[0]))
REF(sqrt, sqrt(x[0]))
REF(rsqrt, pow(x[0], -0.5))
REF(sin, sin(x[0]))
REF(cos, cos(x[0]))
REF(tanh, tanh(x[0]))
REF(sigmoid, 0.5 * (1 + tanh(0.5 * x[0])))
REF(erf, erf(x[0]))
REF(not, x[0] == 0)
REF(same, x[0])
REF(add, x[0] + x[1])
REF(sub, x[0] - x[1])
REF(mul, x[0] * x[1])
REF(div, x[0] / x[1])
REF(pow, exp(x[1] * log(x[0])))
REF(min, fmin(x[0], x[1]))
REF(max, fmax(x[0], x[1]))
REF(relu, fmax(x[0], 0))
REF(eq, x[0] == x[1])
REF(ne, !(x[0] == x[1]))
REF(lt, x[0] < x[1])
REF(le, !(x[0] > x[1]))
REF(and, (int)x[0] & (int)x[1])
REF(or, (int)x[0] | (int)x[1])
REF(select, x[0] == 1 ? x[1] : x[2])
REF(ceil, ceil(x[0]))
REF(trunc, trunc(x[0]))
REF(round, 2 * floor(x[0] / 2) == floor(x[0]) ? ceil(x[0] - 0.5) : floor(x[0] + 0.5))
REF(frac, fmod(x[0], 1))
REF(log1p, log(1 + x[0]))
REF(expm1, exp(x[0]) - 1)
REF(log2, log(x[0]) / log(2))
REF(exp2, pow(2, x[0]))
REF(asin, atan2(x[0], sqrt(1 - x[0] * x[0])))
REF(acos, 2 * atan(1) - asin(x[0]))
REF(atan, asin(x[0] / sqrt(1 + x[0] * x[0])))
REF(sinh, 0.5 * (exp(x[0]) - exp(-x[0])))
REF(cosh, 0.5 * (exp(x[0]) + exp(-x[0])))
REF(asinh, log(x[0] + sqrt(x[0] * x[0] + 1)))
REF(acosh, log(x[0] + sqrt(x[0] * x[0] - 1)))
REF(atanh, 0.5 * log((1 + x[0]) / (1 - x[0])))
REF(atan2, 2 * atan(x[0] / (hypot(x[0], x[1]) + x[1])))
REF(idiv, x[1] == 0 ? 0 : trunc(x[0] / x[1]))
REF(irem, x[1] == 0 ? 0 : fmod(x[0], x[1]))
REF(bit_not, -x[0] - 1)
REF(bit_and, (double)((int64_t)x[0] & (int64_t)x[1]))
REF(bit_or, (double)((int64_t)x[0] | (int64_t)x[1]))
REF(bit_xor, (double)(((int64_t)x[0] | (int64_t)x[1]) - ((int64_t)x[0] & (int64_t)x[1])))
REF(shift_left, x[1] >= 0 && x[1] < 32 ? x[0] * ldexp(1, (int)x[1]) : 0)
REF(shift_right, x[1] >= 0 && x[1] < 32 ? floor(x[0] / ldexp(1, (int)x[1])) : x[0] < 0 ? -1 : 0)
/* Bisection. */
static double ref_erfinv(const double *x) {
  double lo = -6, hi = 6;
  for (int i = 0; i < 80; i++) {
    double mid = (lo + hi) / 2;
    *(erf(mid) < x[0] ? &lo : &hi) = mid;
  }
  return (lo + hi) / 2;
}
/* The sum over a thousand terms; behind them few of an asymptotic series do. */
static double ref_polygamma(const double *x) {
  long double n = roundl(x[0]), w = x[1], s = 0;
  for (int k = 0; k < 1000; k++, w++) s += n == 0 ? -1 / w : powl(w, -n - 1);
  if (n == 0) return (double)(s + logl(w) - 1 / (2 * w) - 1 / (12 * w * w));
  s += powl(w, -n) / n + powl(w, -n - 1) / 2 + (n + 1) / 12 * powl(w, -n - 2);
  return (double)((fmodl(n, 2) == 0 ? -1 : 1) * tgammal(n + 1) * s);
}
REF(digamma, ref_polygamma((double[]){0, x[0]}))
REF(lgamma, log(tgamma(x[0])))
static Reference *const reference[OP_COUNT] = {
    [OP_neg] = ref_neg,
    [OP_abs] = ref_abs,
    [OP_sign] = ref_sign,
    [OP_floor] = ref_floor,
    [OP_exp] = ref_exp,
    [OP_log] = ref_log,
    [OP_sqrt] = ref_sqrt,
    [OP_rsqrt] = ref_rsqrt,
    [OP_sin] = ref_sin,
    [OP_cos] = ref_cos,
    [OP_tanh] = ref_tanh,
    [OP_sigmoid] = ref_sigmoid,
    [OP_erf] = ref_erf,
    [OP_not] = ref_not,
    [OP_stop_gradient] = ref_same,
    [OP_add] = ref_add,
    [OP_sub] = ref_sub,
    [OP_mul] = ref_mul,
    [OP_div] = ref_div,
    [OP_pow] = ref_pow,
    [OP_min] = ref_min,
    [OP_max] = ref_max,
    [OP_relu] = ref_relu,
    [OP_eq] = ref_eq,
    [OP_ne] = ref_ne,
    [OP_lt] = ref_lt,
    [OP_le] = ref_le,
    [OP_and] = ref_and,
    [OP_or] = ref_or,
    [OP_select] = ref_select,
    [OP_ceil] = ref_ceil,
    [OP_trunc] = ref_trunc,
    [OP_round] = ref_round,
    [OP_frac] = ref_frac,
    [OP_log1p] = ref_log1p,
    [OP_expm1] = ref_expm1,
    [OP_log2] = ref_log2,
    [OP_exp2] = ref_exp2,
    [OP_asin] = ref_asin,
    [OP_acos] = ref_acos,
    [OP_atan] = ref_atan,
    [OP_sinh] = ref_sinh,
    [OP_cosh] = ref_cosh,
    [OP_asinh] = ref_asinh,
    [OP_acosh] = ref_acosh,
    [OP_atanh] = ref_atanh,
    [OP_atan2] = ref_atan2,
    [OP_erfinv] = ref_erfinv,
    [OP_lgamma] = ref_lgamma,
    [OP_digamma] = ref_digamma,
    [OP_polygamma] = ref_polygamma,
    [OP_idiv] = ref_idiv,
    [OP_irem] = ref_irem,
    [OP_bit_not] = ref_bit_not,
    [OP_bit_and] = ref_bit_and,
    [OP_bit_or] = ref_bit_or,
    [OP_bit_xor] = ref_bit_xor,
    [OP_shift_left] = ref_shift_left,
    [OP_shift_right] = ref_shift_right,
};

START_TEST(test_elementwise_values) {
  if (op_table[_i].kind != KIND_MAP || _i == OP_cast) return;
  ck_assert_msg(reference[_i] != NULL, "operator %s has no reference value", op_table[_i].name);
  for (int which = 0; which < op_case_count(_i); which++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, _i, which);
    Tensor64 in[3], out, rounded;
    op_case_inputs(g, a, 5, in);
    graph_interp(g, in, &out, a, false);
    graph_interp(g, in, &rounded, a, true);
    for (int64_t k = 0; k < shape_count(&out.shape); k++) {
      double x[3] = {0};
      for (int i = 0; i < g->inputs.n; i++) x[i] = cell_value(in[i].dt, in[i].v[k]);
      double want = reference[_i](x);
      if (out.dt == DT_U32) want = (uint32_t)(int64_t)want;
      double got = cell_value(out.dt, out.v[k]), r = cell_value(out.dt, rounded.v[k]);
      ck_assert_msg(fabs(got - want) <= 1e-13 * (1 + fabs(want)), "%s: %.17g for %.17g", g->name, got, want);
      if (out.dt == DT_F32) ck_assert(r == (float)r && fabs(r - got) <= 3e-7 * fabs(got));
      else ck_assert_double_eq(r, got);
    }
    arena_free(a);
  }
}
END_TEST

static double cast_one(DType from, DType to, double x) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "cast");
  Shape s = {0};
  g_output(g, "y", g_cast(g, g_input(g, "x", IN_ARG, from, &s, NULL), to), -1);
  double cell = dtype_is_int(from) ? int_cell(from, (int64_t)x) : x;
  Tensor64 in = {from, s, &cell}, out;
  graph_interp(g, &in, &out, a, true);
  double y = cell_value(to, out.v[0]);
  arena_free(a);
  return y;
}

START_TEST(test_casts) {
  ck_assert_double_eq(cast_one(DT_F32, DT_I32, -2.75), -2);
  ck_assert_double_eq(cast_one(DT_F32, DT_I32, 3e9), INT32_MAX);
  ck_assert_double_eq(cast_one(DT_F32, DT_U32, -1), 0);
  ck_assert_double_eq(cast_one(DT_F32, DT_I64, NAN), 0);
  ck_assert_double_eq(cast_one(DT_I64, DT_I32, 4294967297.0), 1);
  ck_assert_double_eq(cast_one(DT_I64, DT_U32, -1), 4294967295.0);
  ck_assert_double_eq(cast_one(DT_F64, DT_F32, 0.1), 0.1f);
  ck_assert_double_eq(cast_one(DT_U32, DT_F64, 4294967295.0), 4294967295.0);
  ck_assert_double_eq(cast_one(DT_U32, DT_F32, 4294967295.0), 4294967296.0);
  ck_assert_double_eq(cast_one(DT_F32, DT_BOOL, 0.5), 1);
  ck_assert_double_eq(cast_one(DT_BOOL, DT_F32, 1), 1);
  ck_assert_double_eq(cast_one(DT_F32, DT_BF16, 1 + 1.0 / 256), 1);             /* tie to even */
  ck_assert_double_eq(cast_one(DT_F32, DT_BF16, 1 + 3.0 / 256), 1 + 4.0 / 256); /* tie to even */
  ck_assert_double_eq(cast_one(DT_F32, DT_BF16, 1 + 1.1 / 256), 1 + 2.0 / 256);
}
END_TEST

/* Products of 32-bit integers wrap, exactly: hashing multiplies by numbers near 2^32. */
START_TEST(test_integer_products) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "product");
  Shape s = {0};
  Val u = g_input(g, "u", IN_ARG, DT_U32, &s, NULL), i = g_input(g, "i", IN_ARG, DT_I32, &s, NULL);
  g_output(g, "u", g_binary(g, OP_mul, u, g_fill_like(g, u, 2654435769.0)), -1);
  g_output(g, "i", g_binary(g, OP_mul, i, i), -1);
  double x = 4000000001.0, y = 123456789;
  Tensor64 in[2] = {{DT_U32, s, &x}, {DT_I32, s, &y}}, out[2];
  graph_interp(g, in, out, a, false);
  ck_assert_double_eq(out[0].v[0], 4000000001u * 2654435769u);
  ck_assert_double_eq(out[1].v[0], (int32_t)(123456789u * 123456789u));
  arena_free(a);
}
END_TEST

/* Known answers of Random123's kat_vectors for philox4x32-10. */
START_TEST(test_philox) {
  ck_assert_uint_eq(philox_u32(0, 0, 0, 0), 0x6627e8d5u);
  ck_assert_uint_eq(philox_u32(~0ull, ~0u, ~0u, ~0ull), 0x408f276du);
  ck_assert_uint_eq(philox_u32(0x85a308d3243f6a88ull, 0x13198a2eu, 0x03707344u, 0x299f31d0a4093822ull),
                    0xd16cfe09u);
}
END_TEST

/* ---- structured values: by hand, and by a second way of writing the same thing ---- */
static void interp_one(const Graph *g, const double *x, Tensor64 *out, Arena *a) {
  const Node *n = g_node(g, g->inputs.v[0].val);
  Tensor64 in = {n->dt, n->shape, NEWN(a, double, shape_count(&n->shape) + 1)};
  memcpy(in.v, x, (size_t)shape_count(&n->shape) * sizeof(double));
  graph_interp(g, &in, out, a, false);
}

static const double ramp[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

static void check_view(Graph *g, Val y, int n, const double *want) {
  Tensor64 out;
  g_output(g, "y", y, -1);
  interp_one(g, ramp, &out, g->arena);
  ck_assert_int_eq(shape_count(&out.shape), n);
  for (int i = 0; i < n; i++)
    ck_assert_msg(cell_value(out.dt, out.v[i]) == want[i], "%s: element %d is %g, not %g",
                  op_table[g_node(g, y)->op].name, i, cell_value(out.dt, out.v[i]), want[i]);
}

static Graph *ramp_graph(Arena *a, Shape s, Val *x) {
  Graph *g = graph_new(a, "ramp");
  *x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL);
  return g;
}

START_TEST(test_views_by_hand) {
  Arena *a = arena_new();
  Val x;
  Shape s23 = {2, {2, 3}}, s3 = {1, {3}}, s232 = {3, {2, 3, 2}};
  Graph *g = ramp_graph(a, s23, &x);
  Ints perm = ints2(1, 0);
  check_view(g, g_transpose(g, x, &perm), 6, (double[]){0, 3, 1, 4, 2, 5});
  g = ramp_graph(a, s3, &x);
  Ints dim = ints1(1);
  check_view(g, g_broadcast(g, x, &s232, &dim), 12, (double[]){0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2});
  g = ramp_graph(a, (Shape){1, {7}}, &x);
  Ints start = ints1(1), stop = ints1(7), step = ints1(2);
  check_view(g, g_slice(g, x, &start, &stop, &step), 3, (double[]){1, 3, 5});
  g = ramp_graph(a, s3, &x);
  Ints lo = ints1(1), hi = ints1(2), inside = ints1(1);
  check_view(g, g_pad(g, x, &lo, &hi, &inside, 9), 8, (double[]){9, 0, 9, 1, 9, 2, 9, 9});
  g = ramp_graph(a, s23, &x);
  check_view(g, g_concat(g, (Val[]){x, x}, 2, 1), 12, (double[]){0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  g = ramp_graph(a, s23, &x);
  check_view(g, g_add(g, OP_reverse, &x, 1, &dim, 0, DT_NONE, NULL), 6, (double[]){2, 1, 0, 5, 4, 3});
  g = ramp_graph(a, (Shape){1, {5}}, &x);
  Ints win[3] = {ints1(3), ints1(2), ints1(1)};
  check_view(g, g_add(g, OP_window, &x, 1, win, -1, DT_NONE, NULL), 9,
             (double[]){-1, 0, 1, 1, 2, 3, 3, 4, -1});
  g = ramp_graph(a, (Shape){2, {3, 3}}, &x);
  Ints fold[3] = {ints1(5), ints1(2), ints1(1)};
  check_view(g, g_add(g, OP_fold, &x, 1, fold, 0, DT_NONE, NULL), 5, (double[]){1, 2 + 3, 4, 5 + 6, 7});
  g = ramp_graph(a, s23, &x);
  check_view(g, g_reduce(g, OP_reduce_sum, x, &dim), 2, (double[]){3, 12});
  g = ramp_graph(a, s23, &x);
  check_view(g, g_reduce(g, OP_reduce_m2, x, &dim), 2, (double[]){2, 2});
  g = ramp_graph(a, s23, &x);
  check_view(g, g_reduce(g, OP_argmax, x, &dim), 2, (double[]){2, 2});
  g = ramp_graph(a, s23, &x);
  Ints zero = ints1(0);
  check_view(g, g_reduce(g, OP_reduce_min, x, &zero), 3, (double[]){0, 1, 2});
  arena_free(a);
}
END_TEST

static void check_equal_outputs(Graph *g, Val y, Val z) {
  Arena *a = g->arena;
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n), out[2];
  g_output(g, "y", y, -1);
  g_output(g, "z", z, -1);
  op_case_inputs(g, a, 3, in);
  graph_interp(g, in, out, a, false);
  ck_assert_int_eq(shape_count(&out[0].shape), shape_count(&out[1].shape));
  for (int64_t i = 0; i < shape_count(&out[0].shape); i++)
    ck_assert_double_eq_tol(out[0].v[i], out[1].v[i], 1e-12);
}

/* conv2d is a contraction of windows. */
START_TEST(test_conv_is_window_dot) {
  for (int which = 0; which < op_case_count(OP_conv2d); which++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, OP_conv2d, which);
    Val y = g->outputs.v[0].val;
    Node n = *g_node(g, y);
    ConvAttrs at = conv_attrs(&n);
    g->outputs.n = 0;
    Ints none = {0}, lc = {3, {1, 4, 5}}, rc = {3, {1, 2, 3}}, perm = {4, {0, 3, 1, 2}};
    Ints lo = {4, {0, 0, at.lo[0], at.lo[1]}}, hi = {4, {0, 0, at.hi[0], at.hi[1]}};
    Ints apart = {4, {0, 0, at.dilation[0] - 1, at.dilation[1] - 1}}, zero = {4, {0}},
         one = {4, {1, 1, 1, 1}};
    Val x = g_pad(g, n.in[0], &lo, &hi, NULL, 0), w = g_pad(g, n.in[1], &zero, &zero, &apart, 0), part[16];
    const Shape ws = g_node(g, w)->shape, xs = g_node(g, x)->shape;
    for (int i = 0; i < at.groups; i++) { /* groups side by side */
      int64_t c = ws.dim[1], k = ws.dim[0] / at.groups;
      Ints x0 = {4, {0, i * c}}, x1 = {4, {xs.dim[0], i * c + c, xs.dim[2], xs.dim[3]}};
      Ints w0 = {4, {i * k}}, w1 = {4, {i * k + k, c, ws.dim[2], ws.dim[3]}};
      Val xi = g_slice(g, x, &x0, &x1, &one), wi = g_slice(g, w, &w0, &w1, &one);
      Ints win[3] = {ints2(ws.dim[2], ws.dim[3]), n.attr[0], ints2(0, 0)};
      Val cols = g_add(g, OP_window, &xi, 1, win, 0, DT_NONE, NULL); /* N C OH OW kh kw */
      part[i] = g_transpose(g, g_dot(g, cols, wi, &none, &none, &lc, &rc), &perm);
    }
    Val z = g_concat(g, part, (int)at.groups, 1);
    check_equal_outputs(g, y, z);
    arena_free(a);
  }
}
END_TEST

/* A contraction is a sum of products of broadcasts: batch, left, right, summed axes side by side. */
START_TEST(test_dot_is_sum_of_products) {
  for (int which = 0; which < op_case_count(OP_dot_general); which++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, OP_dot_general, which);
    Val y = g->outputs.v[0].val;
    Node n = *g_node(g, y);
    g->outputs.n = 0;
    Shape wide = n.shape;
    int nb = n.attr[0].n, nc = n.attr[2].n, free_at = nb;
    Val spread[2];
    for (int i = 0; i < nc; i++) wide.dim[wide.rank + i] = g_node(g, n.in[0])->shape.dim[n.attr[2].v[i]];
    wide.rank += nc;
    for (int side = 0; side < 2; side++) {
      const Ints *batch = &n.attr[side], *sum = &n.attr[2 + side];
      int rank = g_node(g, n.in[side])->shape.rank;
      Ints place = {.n = rank}, perm = {.n = rank}, dims = {.n = rank};
      for (int i = 0; i < rank; i++) place.v[i] = -1;
      for (int i = 0; i < nb; i++) place.v[batch->v[i]] = i;
      for (int i = 0; i < nc; i++) place.v[sum->v[i]] = n.shape.rank + i;
      for (int i = 0; i < rank; i++)
        if (place.v[i] < 0) place.v[i] = free_at++;
      for (int at = 0, k = 0; at < wide.rank; at++)
        for (int i = 0; i < rank; i++)
          if (place.v[i] == at) {
            perm.v[k] = i;
            dims.v[k++] = at;
          }
      spread[side] = g_broadcast(g, g_transpose(g, n.in[side], &perm), &wide, &dims);
    }
    Ints axes = {.n = nc};
    for (int i = 0; i < nc; i++) axes.v[i] = n.shape.rank + i;
    check_equal_outputs(g, y, g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, spread[0], spread[1]), &axes));
    arena_free(a);
  }
}
END_TEST

/* gather picks rows: a product with the one-hot matrix of the indices. Out-of-range indices clamp. */
START_TEST(test_gather) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "gather");
  Shape sx = {2, {3, 2}}, si = {1, {4}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &sx, NULL), idx = g_input(g, "idx", IN_ARG, DT_I32, &si, NULL);
  Ints axis = ints1(0);
  Val y = g_add(g, OP_gather, (Val[]){x, idx}, 2, &axis, 0, DT_NONE, NULL);
  g_output(g, "y", y, -1);
  g_output(g, "s", g_add(g, OP_scatter_add, (Val[]){idx, y}, 2, &axis, 0, DT_F32, &sx), -1);
  double vx[6] = {1, 2, 3, 4, 5, 6}, vi[4] = {2, 0, 2, 7};
  Tensor64 in[2] = {{DT_F32, sx, vx}, {DT_I32, si, vi}}, out[2];
  graph_interp(g, in, out, a, false);
  const double want[8] = {5, 6, 1, 2, 5, 6, 5, 6}, sums[6] = {1, 2, 0, 0, 15, 18};
  for (int i = 0; i < 8; i++) ck_assert_double_eq(out[0].v[i], want[i]);
  for (int i = 0; i < 6; i++) ck_assert_double_eq(out[1].v[i], sums[i]);
  arena_free(a);
}
END_TEST

/* random_bits is a function of (seed, step, stream, index) alone. */
START_TEST(test_random_bits) {
  Arena *a = arena_new();
  Graph *g = op_case_build(a, OP_random_bits, 2);
  Tensor64 in[2], out;
  op_case_inputs(g, a, 8, in);
  graph_interp(g, in, &out, a, false);
  for (int64_t i = 0; i < shape_count(&out.shape); i++)
    ck_assert_double_eq(out.v[i], philox_u32((uint64_t)i, (uint32_t)cell_int(in[1].dt, in[1].v[0]),
                                             2 * 1000003, (uint64_t)cell_int(in[0].dt, in[0].v[0])));
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("ops");
  TCase *t = tcase_create("rows");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, test_every_row_has_cases);
  tcase_add_test(t, test_every_float_row_has_derivative);
  tcase_add_loop_test(t, test_gradient, 0, OP_COUNT);
  tcase_add_loop_test(t, test_second_gradient, 0, OP_COUNT);
  tcase_add_loop_test(t, test_elementwise_values, 0, OP_COUNT);
  tcase_add_test(t, test_edges);
  tcase_add_test(t, test_masked_gradient);
  tcase_add_test(t, test_casts);
  tcase_add_test(t, test_integer_products);
  tcase_add_test(t, test_philox);
  tcase_add_test(t, test_views_by_hand);
  tcase_add_test(t, test_conv_is_window_dot);
  tcase_add_test(t, test_dot_is_sum_of_products);
  tcase_add_test(t, test_gather);
  tcase_add_test(t, test_random_bits);
  suite_add_tcase(s, t);
  return run_suite(s);
}
