/* Every operator on every element type that it accepts, at the edges of the types, by compiled code on three targets and by
   the interpreter: the same elements. Conversions between all types, reductions, indices, and what a type holds. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "ir/graph/expr.h"
#include "passes/pipeline.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/support.h"

#define COUNT(A) ((int)(sizeof(A) / sizeof *(A)))

/* ---- values ---- */
static const double reals[] = {0,
                               -0.0,
                               1,
                               -1,
                               INFINITY,
                               -INFINITY,
                               NAN,
                               0.1,
                               -2.5,
                               3.5,
                               127.5,
                               -128.75,
                               255.5,
                               256,
                               -0.75,
                               65503,
                               65519.99,
                               65520,
                               -65536,
                               0x1p-14,
                               0x1p-24,
                               0x1p-25,
                               -0x3p-25,
                               0x1.8p-24,
                               2049,
                               2051,
                               32767.5,
                               -32769,
                               1e-5,
                               1e5,
                               1e20,
                               -1e20,
                               0x1p31,
                               0x1p32,
                               -0x1p31,
                               0x1p63,
                               -0x1p63,
                               0x1p64,
                               0x1p64 - 0x1p11,
                               0x1.ffdffffffffffp3,
                               0x1.002p0,
                               0x1.0020000000001p0,
                               0x1.001ffffffffffp0};

/* The i-th of a type's edges and their neighbours; the numbers of cases repeat. */
static double edge(DType dt, int64_t i) {
  if (dtype_is_float(dt)) return dtype_round(dt, reals[i % COUNT(reals)], true);
  if (dt == DT_BOOL) return i % 2;
  Imm low = dtype_least(dt), high = dtype_most(dt);
  Imm v[] = {0, 1, high, low, 2, 3, high - 1, low + 1, high / 2, 7, 100, low / 2 + 5, 9, high / 3, 31, 63};
  Imm x = v[i % COUNT(v)] - (i / COUNT(v)) % 3;
  return imm_cell(dt, x < low ? low : x);
}

static bool same(DType dt, double x, double y) {
  if (!dtype_is_float(dt)) return cell_int(dt, x) == cell_int(dt, y);
  if (x == y || (isnan(x) && isnan(y))) return true;
  return dt != DT_F64 && fabs(x) < 0x1p-126 && fabs(y) < 0x1p-126; /* kernels have no denormals of f32 */
}

/* ---- graphs ---- */
enum { N = 301 }; /* of 16, 4 and 1 lanes there are remainders */

static Val out(Graph *g, const char *name, Val v) {
  g_output(g, arena_printf(g->arena, "%s.%d.%s", name, g->outputs.n, dtype_name(g_node(g, v)->dt)), v, -1);
  return v;
}

/* Defined to the last bit. */
static bool exact(OpId op) {
  static const OpId inexact[] = {
      OP_exp,   OP_log,   OP_sin,    OP_cos,   OP_tanh,   OP_erf,     OP_pow,       OP_rsqrt,  OP_log1p,
      OP_expm1, OP_log2,  OP_exp2,   OP_asin,  OP_acos,   OP_atan,    OP_sinh,      OP_cosh,   OP_asinh,
      OP_acosh, OP_atanh, OP_erfinv, OP_atan2, OP_lgamma, OP_digamma, OP_polygamma, OP_sigmoid};
  for (int i = 0; i < COUNT(inexact); i++)
    if (inexact[i] == op) return false;
  return true;
}

static int accept_of(DType dt) { return dtype_is_float(dt) ? A_FLOAT : dtype_is_int(dt) ? A_INT : A_BOOL; }

static Graph *all_maps(Arena *a, DType dt) {
  Graph *g = graph_new(a, dtype_name(dt));
  Shape s = {1, {N}};
  Val x[] = {g_input(g, "x", IN_ARG, dt, &s, NULL), g_input(g, "y", IN_ARG, dt, &s, NULL)};
  Val c = g_binary(g, OP_ne, x[0], x[1]);
  for (int op = 0; op < OP_COUNT; op++) {
    const OpRow *row = &op_table[op];
    if (row->kind != KIND_MAP || !(row->accept & accept_of(dt)) || row->type == TY_EXPLICIT ||
        !exact((OpId)op))
      continue;
    if (op == OP_select) out(g, row->name, g_select(g, c, x[0], x[1]));
    else out(g, row->name, g_add(g, (OpId)op, x, row->nin, NULL, 0, DT_NONE, NULL));
  }
  for (int to = DT_NONE + 1; to < DT_COUNT; to++) out(g, "cast", g_cast(g, x[0], (DType)to));
  return g;
}

/* Rows of 43: sums, extremes, positions; elements picked and added up at indices of the type. */
static Graph *all_others(Arena *a, DType dt) {
  Graph *g = graph_new(a, dtype_name(dt));
  Shape s = {2, {7, 43}}, table = {1, {100}}, flat = {1, {N}};
  Val x = g_input(g, "x", IN_ARG, dt, &flat, NULL), rows = g_reshape(g, x, &s);
  static const OpId reduce[] = {OP_reduce_max, OP_reduce_min, OP_argmax, OP_reduce_sum};
  for (int i = 0; i < COUNT(reduce) && dt != DT_BOOL; i++)
    for (int64_t axis = 0; axis < 2 && (i < 3 || dtype_is_int(dt)); axis++)
      out(g, op_table[reduce[i]].name, g_reduce(g, reduce[i], rows, &(Ints){1, {axis}}));
  Ints zero = ints1(0);
  if (dtype_is_int(dt)) {
    Val t = g_add(g, OP_iota, NULL, 0, &zero, 0, DT_I32, &table);
    out(g, "gather", g_add(g, OP_gather, (Val[]){t, x}, 2, &zero, 0, DT_NONE, NULL));
    out(g, "scatter", g_add(g, OP_scatter_add, (Val[]){x, x}, 2, &zero, 0, dt, &table));
  }
  if (dt != DT_BOOL) out(g, "iota", g_add(g, OP_iota, NULL, 0, &zero, 0, dt, &flat));
  Ints lo = ints1(2), hi = ints1(3), none = ints1(0);
  Imm fill = dtype_is_int(dt) ? dtype_most(dt) : dt == DT_BOOL ? 1 : 0.1L;
  out(g, "pad", g_pad(g, x, &lo, &hi, &none, fill));
  out(g, "fill", g_fill(g, dt, &flat, fill));
  out(g, "carried", g_reshape(g, g_unary(g, OP_stop_gradient, rows), &flat));
  return g;
}

static void check_on(Arena *a, const Graph *g, const char *cpu) {
  const Graph *h = pipeline_graph(a, g, &(PipelineOptions){.verify_each = true}, diags_new(a));
  ck_assert_ptr_nonnull(h);
  Tensor64 in[2], *want = NEWN(a, Tensor64, g->outputs.n), *got = NEWN(a, Tensor64, g->outputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, N)};
    for (int64_t k = 0; k < N; k++) in[i].v[k] = edge(n->dt, i ? k / 7 + 3 * k : k);
  }
  graph_interp(g, in, want, a, true);
  jit_run(a, h, &(JitRun){cpu, 1, CONV_AUTO, 0, false, false}, in, got);
  for (int o = 0; o < g->outputs.n; o++) {
    DType dt = want[o].dt;
    for (int64_t k = 0; k < shape_count(&want[o].shape); k++) {
      double x = want[o].v[k], y = got[o].v[k];
      ck_assert_msg(same(dt, x, y), "%s of %s on %s: element %d is %.17g, interpreted %.17g",
                    g->outputs.v[o].name, g->name, cpu, (int)k, cell_value(dt, y), cell_value(dt, x));
    }
  }
}

static const char *const cpus[] = {"host", "x86-64", "x86-64-v3"};

START_TEST(operators) {
  Arena *a = arena_new();
  for (int i = 0; i < COUNT(cpus); i++) {
    check_on(a, all_maps(a, (DType)_i), cpus[i]);
    if (i < 2) check_on(a, all_others(a, (DType)_i), cpus[i]);
  }
  arena_free(a);
}
END_TEST

/* ---- products ---- */
/* Of narrow floats with each other and with f32, in all orders of axes; sums are f32. */
static Graph *products(Arena *a, DType dt) {
  Graph *g = graph_new(a, "products");
  Shape xs = {2, {37, 150}}, ws = {2, {150, 23}}, vs = {2, {1, 150}}, is = {4, {2, 16, 9, 9}},
        ks = {4, {32, 16, 3, 3}};
  Val x = g_input(g, "x", IN_ARG, dt, &xs, NULL), w = g_input(g, "w", IN_ARG, dt, &ws, NULL),
      f = g_input(g, "f", IN_ARG, DT_F32, &ws, NULL), v = g_input(g, "v", IN_ARG, dt, &vs, NULL),
      image = g_input(g, "image", IN_ARG, dt, &is, NULL),
      kernel = g_input(g, "kernel", IN_ARG, DT_F32, &ks, NULL);
  Ints plain[4] = {{0}, {0}, {1, {1}}, {1, {0}}}, rows[4] = {{0}, {0}, {1, {1}}, {1, {1}}};
  Val y = out(g, "product", g_add(g, OP_dot_general, (Val[]){x, w}, 2, plain, 0, DT_NONE, NULL));
  ck_assert_int_eq(g_node(g, y)->dt, dt);
  out(g, "to_f32", g_add(g, OP_dot_general, (Val[]){x, w}, 2, plain, 0, DT_F32, NULL));
  out(g, "mixed", g_add(g, OP_dot_general, (Val[]){x, f}, 2, plain, 0, DT_NONE, NULL));
  out(g, "rows", g_add(g, OP_dot_general, (Val[]){x, x}, 2, rows, 0, DT_NONE, NULL));
  out(g, "vector", g_add(g, OP_dot_general, (Val[]){v, w}, 2, plain, 0, DT_NONE, NULL));
  out(g, "dots", g_add(g, OP_dot_general, (Val[]){v, x}, 2, rows, 0, DT_NONE, NULL));
  Ints conv[4] = {ints2(1, 1), ints2(1, 1)}, back[5] = {ints2(1, 1), ints2(1, 1), ints2(9, 9)},
       weights[5] = {ints2(1, 1), ints2(1, 1), ints2(3, 3)}, two[4] = {ints2(2, 2), ints2(1, 1)};
  Val c = out(g, "conv", g_add(g, OP_conv2d, (Val[]){image, kernel}, 2, conv, 0, dt, NULL));
  out(g, "stride", g_add(g, OP_conv2d, (Val[]){image, kernel}, 2, two, 0, dt, NULL));
  out(g, "dx", g_add(g, OP_conv2d_dx, (Val[]){c, kernel}, 2, back, 0, dt, NULL));
  out(g, "dw", g_add(g, OP_conv2d_dw, (Val[]){image, c}, 2, weights, 0, DT_NONE, NULL));
  return g;
}

START_TEST(sums_of_products_are_f32) {
  static const DType narrow[] = {DT_F16, DT_BF16};
  DType dt = narrow[_i % 2];
  Arena *a = arena_new();
  const Graph *g = products(a, dt),
              *h = pipeline_graph(a, g, &(PipelineOptions){.verify_each = true}, diags_new(a));
  Tensor64 in[6], *want = NEWN(a, Tensor64, g->outputs.n), *got = NEWN(a, Tensor64, g->outputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, count)};
    for (int64_t k = 0; k < count; k++) in[i].v[k] = dtype_round(n->dt, sin((double)(k * 7 + i)), true);
  }
  graph_interp(g, in, want, a, true);
  jit_run(a, h, &(JitRun){cpus[_i / 2], 1, CONV_AUTO, 0, DT_NONE, false}, in, got);
  for (int o = 0; o < g->outputs.n;
       o++) { /* half a unit of the last place, and now and then the other side of it */
    double e = relative_error(&want[o], &got[o]);
    double most = !dtype_is_narrow(want[o].dt) ? 3e-6 : dt == DT_F16 ? 3e-4 : 2.5e-3;
    ck_assert_msg(e < most, "%s of %s on %s: error %g", g->outputs.v[o].name, dtype_name(dt), cpus[_i / 2],
                  e);
  }
  arena_free(a);
}
END_TEST

/* ---- against C ---- */
/* What C computes in the types themselves. */
#define INTEGERS(ID, T, WIDE, SIGNED)                                                                        \
  static void c_##ID(const T *x, const T *y) {                                                               \
    static const OpId op[] = {OP_add, OP_sub, OP_mul, OP_idiv, OP_irem, OP_lt, OP_bit_xor};                  \
    T want[] = {(T)((WIDE) * x + (WIDE) * y),                                                                \
                (T)((WIDE) * x - (WIDE) * y),                                                                \
                (T)((WIDE) * x * (WIDE) * y),                                                                \
                (T)(*y == 0                   ? 0                                                            \
                    : *y == (T) - 1 && SIGNED ? (T)(0 - (WIDE) * x)                                          \
                                              : (T)(*x / *y)),                                               \
                (T)(*y == 0 || (*y == (T) - 1 && SIGNED) ? 0 : *x % *y),                                     \
                (T)(*x < *y),                                                                                \
                (T)(*x ^ *y)};                                                                               \
    double in[] = {element_cell(DT_##ID, x, 0), element_cell(DT_##ID, y, 0)};                                \
    for (int k = 0; k < COUNT(op); k++) {                                                                    \
      DType dt = op[k] == OP_lt ? DT_BOOL : DT_##ID;                                                         \
      double cell = op_eval_cells(op[k], dt, DT_##ID, in, true);                                             \
      ck_assert_msg(cell_int(dt, cell) == (int64_t)want[k], "%s of %s: %lld, not %lld",                      \
                    op_table[op[k]].name, dtype_name(DT_##ID), (long long)cell_int(dt, cell),                \
                    (long long)want[k]);                                                                     \
    }                                                                                                        \
  }
INTEGERS(I8, int8_t, uint32_t, true)
INTEGERS(U8, uint8_t, uint32_t, false)
INTEGERS(I16, int16_t, uint32_t, true)
INTEGERS(U16, uint16_t, uint32_t, false)
INTEGERS(I32, int32_t, uint32_t, true)
INTEGERS(U32, uint32_t, uint32_t, false)
INTEGERS(I64, int64_t, uint64_t, true)
INTEGERS(U64, uint64_t, uint64_t, false)

START_TEST(arithmetic_is_c) {
  for (int64_t i = 0; i < 48; i++)
    for (int64_t j = 0; j < 48; j++) {
      char x[8], y[8];
#define TRY(ID, T)                                                                                           \
  T ID##x, ID##y;                                                                                            \
  element_put(DT_##ID, x, 0, edge(DT_##ID, i)), element_put(DT_##ID, y, 0, edge(DT_##ID, j));                \
  memcpy(&ID##x, x, sizeof(T)), memcpy(&ID##y, y, sizeof(T));                                                \
  c_##ID(&ID##x, &ID##y);
      TRY(I8, int8_t)
      TRY(U8, uint8_t)
      TRY(I16, int16_t)
      TRY(U16, uint16_t)
      TRY(I32, int32_t)
      TRY(U32, uint32_t)
      TRY(I64, int64_t)
      TRY(U64, uint64_t)
    }
}
END_TEST

/* ---- f16 ---- */
/* Every f16 is itself; what lies between two goes to the nearer, of the middle to the even one. */
START_TEST(f16_rounds_to_nearest) {
  for (unsigned h = 0; h < 0x7c00; h++) {
    double x = (double)f16_value((uint16_t)h),
           above = h + 1 < 0x7c00 ? (double)f16_value((uint16_t)(h + 1)) : 65536;
    double middle = x + (above - x) / 2;
    ck_assert_uint_eq(f16_bits(x), h);
    ck_assert_uint_eq(f16_bits(-x), h | 0x8000);
    ck_assert_uint_eq(f16_bits(nextafter(middle, 0)), h);
    ck_assert_uint_eq(f16_bits(nextafter(middle, INFINITY)), h + 1);
    ck_assert_uint_eq(f16_bits(middle), h + (h & 1));
  }
  ck_assert(isinf(f16_value(0x7c00)) && isnan(f16_value(0x7e01)) && isnan(f16_value(0xfc01)));
  ck_assert_uint_eq(f16_bits(-(double)NAN) & 0x7e00, 0x7e00);
}
END_TEST

/* ---- what a type holds ---- */
START_TEST(widening) {
  for (int f = DT_NONE + 1; f < DT_COUNT; f++)
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
      for (int64_t i = 0; i < 48 && dtype_widens((DType)f, (DType)t); i++) {
        double x = edge((DType)f, i), there = convert_cell((DType)f, (DType)t, x, true),
               back = convert_cell((DType)t, (DType)f, there, true);
        ck_assert_msg(same((DType)f, x, back), "%s to %s and back", dtype_name((DType)f),
                      dtype_name((DType)t));
      }
  ck_assert(dtype_widens(DT_U8, DT_F16) && dtype_widens(DT_U8, DT_BF16) && dtype_widens(DT_U8, DT_I16));
  ck_assert(!dtype_widens(DT_I8, DT_U64) && !dtype_widens(DT_I16, DT_F16) && !dtype_widens(DT_F16, DT_BF16));
  ck_assert(!dtype_widens(DT_U64, DT_F64) && !dtype_widens(DT_U64, DT_I64) && dtype_widens(DT_F16, DT_F32));
}
END_TEST

START_TEST(numbers_are_exact) {
  static const struct {
    const char *text;
    DType dt;
    uint64_t bits;
  } t[] = {{"18446744073709551615", DT_U64, UINT64_MAX},
           {"9223372036854775809", DT_U64, 0x8000000000000001u},
           {"-9223372036854775808", DT_I64, 0x8000000000000000u},
           {"9223372036854775807", DT_I64, INT64_MAX},
           {"-128", DT_I8, (uint64_t)-128}};
  for (int i = 0; i < COUNT(t); i++) {
    char *end;
    Imm v = imm_parse(t[i].text, &end);
    ck_assert_int_eq(*end, 0);
    ck_assert_uint_eq((uint64_t)imm_int(t[i].dt, v), t[i].bits);
    ck_assert(int_imm(t[i].dt, imm_int(t[i].dt, v)) == v);
  }
  ck_assert(imm_parse("18446744073709551616", NULL) > dtype_most(DT_U64));
  ck_assert(imm_parse("-9223372036854775809", NULL) < dtype_least(DT_I64));
}
END_TEST

int main(void) {
  Suite *s = suite_create("types");
  TCase *t = tcase_create("types");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, operators, DT_NONE + 1, DT_COUNT);
  tcase_add_loop_test(t, sums_of_products_are_f32, 0, 2 * COUNT(cpus));
  tcase_add_test(t, arithmetic_is_c);
  tcase_add_test(t, f16_rounds_to_nearest);
  tcase_add_test(t, widening);
  tcase_add_test(t, numbers_are_exact);
  suite_add_tcase(s, t);
  return run_suite(s);
}
