/* bf16: rounding has the same bits by the processor's instruction, by integer arithmetic, and in the
   interpreter; mixed element types of products. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernel_build.h"

static uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static float of_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* To nearest, ties to even, by comparing the two neighbours; denormals to zero, NaN quiet. */
static uint16_t nearest(float x) {
  uint32_t u = bits_of(x);
  uint16_t down = (uint16_t)(u >> 16), up = (uint16_t)(down + 1);
  if (isnan(x)) return down | 0x40;
  if (isinf(x)) return down;
  if (!(u & 0x7f800000)) return down & 0x8000;
  double lo = fabs((double)of_bits((uint32_t)down << 16)), at = fabs((double)x);
  double hi = (up & 0x7fff) == 0x7f80 ? 0x1p128 : fabs((double)of_bits((uint32_t)up << 16));
  if (at - lo == hi - at) return down & 1 ? up : down;
  return at - lo < hi - at ? down : up;
}

START_TEST(test_rounding) {
  static const float special[] = {
      0,           -0.0f,       1,          -1,        INFINITY,     -INFINITY, NAN,
      -NAN,        1e-39f,      -1e-40f,    0x1p-126f, 0x1p-149f,    3.4e38f,   -3.4028235e38f,
      1.00390625f, 1.01171875f, 1.0039063f, 65536,     3.3895314e38f};
  enum { N = 4099, NS = sizeof special / sizeof *special };
  static float x[N], wide[N];
  static uint16_t y[N];
  uint32_t r = 7;
  for (int j = 0; j < N; j++) {
    r = r * 1664525u + 1013904223u;
    x[j] = j < NS ? special[j] : of_bits(r);
    if (j % 16 == 5) x[j] = of_bits((bits_of(x[j]) & 0xffff0000u) | 0x8000); /* ties */
  }
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    int64_t n = N;
    Code *code;
    KB *b = kb_new(&t[i], 1, 1, &n, 0, 0);
    Affine e = aff(0, 1, 0, 0, 0);
    int c = kb_cast(b, kb_load(b, kb_buf(b, DT_F32, n, false), e), DT_BF16);
    kb_store(b, kb_buf(b, DT_BF16, n, true), e, c, 0);
    kb_store(b, kb_buf(b, DT_F32, n, true), e, kb_cast(b, c, DT_F32), 0);
    KBCode f = kb_compile(b, &code);
    kb_call(&f, (void *[]){x, y, wide});
    for (int j = 0; j < N; j++) {
      uint16_t want = nearest(x[j]);
      ck_assert_msg(y[j] == want, "%s: %a rounds to %04x, not %04x", t[i].cpu, (double)x[j], y[j], want);
      ck_assert_uint_eq(bits_of(wide[j]), (uint32_t)want << 16);
    }
    codegen_free(code);
    kb_free(b);
  }
  /* the interpreter */
  Arena *a = arena_new();
  Graph *g = graph_new(a, "round");
  Shape s = {1, {N}};
  g_output(g, "y", g_cast(g, g_input(g, "x", IN_ARG, DT_F32, &s, NULL), DT_BF16), -1);
  Tensor64 in = {DT_F32, s, NEWN(a, double, N)}, out;
  for (int j = 0; j < N; j++) in.v[j] = (double)x[j];
  graph_interp(g, &in, &out, a, true);
  for (int j = 0; j < N; j++)
    if (!isnan(x[j])) ck_assert_uint_eq(bits_of((float)out.v[j]), (uint32_t)nearest(x[j]) << 16);
    else ck_assert(isnan(out.v[j]));
  arena_free(a);
}
END_TEST

/* All 2^16 upper halves of an f32 with lower halves on both sides of where rounding changes: what generated code
   stores is what bf16_bits() gives. */
START_TEST(test_all_bits) {
  static const uint16_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  enum { NLOW = sizeof low / sizeof *low, N = 65536 * NLOW };
  float *x = malloc(N * sizeof *x);
  uint16_t *y = malloc(N * sizeof *y);
  for (uint32_t j = 0; j < N; j++) x[j] = of_bits(j / NLOW << 16 | low[j % NLOW]);
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    int64_t n = N;
    Code *code;
    KB *b = kb_new(&t[i], 1, 1, &n, 0, 0);
    Affine e = aff(0, 1, 0, 0, 0);
    kb_store(b, kb_buf(b, DT_BF16, n, true), e,
             kb_cast(b, kb_load(b, kb_buf(b, DT_F32, n, false), e), DT_BF16), 0);
    KBCode f = kb_compile(b, &code);
    for (int64_t c = 0; c < f.chunks; c++) f.fn((void *[]){x, y}, c, NULL, f.param);
    for (int j = 0; j < N; j++) {
      uint16_t want = bf16_bits(x[j]);
      if (y[j] != want)
        ck_abort_msg("%s: %08x rounds to %04x, not %04x", t[i].cpu, bits_of(x[j]), y[j], want);
    }
    codegen_free(code);
    kb_free(b);
  }
  for (int j = 0; j < N; j++) {
    ck_assert(bf16_bits(x[j]) == nearest(x[j]));
    if (isnan(x[j])) ck_assert(isnan(bf16_round((double)x[j])));
    else ck_assert_uint_eq(bits_of((float)bf16_round((double)x[j])), (uint32_t)nearest(x[j]) << 16);
  }
  free(x);
  free(y);
}
END_TEST

/* What stands outside a guard is rounded as what is stored. */
START_TEST(test_fill) {
  static const double fill[] = {1e-40, -1e-40, 1 + 1.0 / 256, 1 + 3.0 / 256, INFINITY, NAN};
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (size_t k = 0; k < sizeof fill / sizeof *fill; k++) {
      int64_t n = 64;
      Code *code;
      KB *b = kb_new(&t[i], 1, 1, &n, 0, 0);
      Affine e = aff(0, 1, 0, 0, 0);
      int x = kb_load(b, kb_buf(b, DT_BF16, n, false), e);
      Access *at = kb_access(b, x);
      kb_guard(b, at, e, 8, 40, 0);
      at->fill = fill[k];
      kb_store(b, kb_buf(b, DT_BF16, n, true), e, x, 0);
      KBCode f = kb_compile(b, &code);
      uint16_t in[64], out[64];
      for (int j = 0; j < 64; j++) in[j] = (uint16_t)(0x3f80 + j);
      kb_call(&f, (void *[]){in, out});
      for (int j = 0; j < 64; j++) {
        uint16_t want = j >= 8 && j < 40 ? in[j] : nearest((float)fill[k]);
        ck_assert_msg(out[j] == want, "%s: %a gives %04x, not %04x", t[i].cpu, fill[k], out[j], want);
      }
      codegen_free(code);
      kb_free(b);
    }
}
END_TEST

/* The result's type of a product is as asked for; both may mix. */
START_TEST(test_mixed_products) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "mixed");
  Shape s = {2, {4, 4}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), h = g_cast(g, x, DT_BF16);
  Ints none = {0}, attr[4] = {none, none, ints1(1), ints1(0)};
  static const struct {
    int left, right; /* bf16? */
    DType asked, got;
  } cases[] = {{0, 0, DT_NONE, DT_F32},  {1, 0, DT_NONE, DT_F32}, {0, 1, DT_BF16, DT_BF16},
               {1, 1, DT_NONE, DT_BF16}, {1, 1, DT_F32, DT_F32},  {0, 0, DT_BF16, DT_BF16},
               {1, 0, DT_F32, DT_F32}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Val in[2] = {cases[i].left ? h : x, cases[i].right ? h : x};
    Val y = g_add(g, OP_dot_general, in, 2, attr, 0, cases[i].asked, NULL);
    ck_assert_int_eq(g_node(g, y)->dt, cases[i].got);
    g_output(g, arena_printf(a, "y%zu", i), y, -1);
  }
  Tensor64 in = {DT_F32, s, NEWN(a, double, 16)}, out[8];
  for (int j = 0; j < 16; j++) in.v[j] = 1 + j / 300.0;
  graph_interp(g, &in, out, a, true);
  double exact = 0, rounded = 0;
  for (int k = 0; k < 4; k++) {
    exact += in.v[k] * in.v[4 * k];
    rounded += (double)of_bits((uint32_t)nearest((float)in.v[k]) << 16) * in.v[4 * k];
  }
  ck_assert_double_eq_tol(out[0].v[0], exact, 1e-6);
  ck_assert_double_eq_tol(out[1].v[0], rounded, 1e-6);
  ck_assert(fabs(exact - rounded) > 1e-4);
  ck_assert_double_eq(out[5].v[0], (double)of_bits((uint32_t)nearest((float)exact) << 16));
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("bf16");
  TCase *c = tcase_create("bf16");
  tcase_set_timeout(c, 600);
  tcase_add_test(c, test_rounding);
  tcase_add_test(c, test_all_bits);
  tcase_add_test(c, test_fill);
  tcase_add_test(c, test_mixed_products);
  suite_add_tcase(s, c);
  return run_suite(s);
}
