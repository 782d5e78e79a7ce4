/* Linear algebra by OpenBLAS: residuals at the level of LAPACK's own tests (its bound is 30 units of rounding, times the
   size), compiled in f32 and f64 and interpreted; items without a result beside others; equal bits for any number of threads. */
#include "ir/graph/lapack.h"
#include "passes/graph/pass.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { ITEMS = 3 };

/* Row-major r x c times (or, where it says so, transposed times) c x k. */
static void times(const double *a, const double *b, int64_t r, int64_t c, int64_t k, bool flip, double *out) {
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < k; j++) {
      double s = 0;
      for (int64_t l = 0; l < c; l++) s += (flip ? a[l * r + i] : a[i * c + l]) * b[l * k + j];
      out[i * k + j] = s;
    }
}

static double distance(const double *a, const double *b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += (a[i] - b[i]) * (a[i] - b[i]);
  return sqrt(s);
}

/* How far the r rows of length c are from orthonormal. */
static double unorthogonal(const double *a, int64_t r, int64_t c) {
  double s = 0;
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < r; j++) {
      double d = i == j ? -1 : 0;
      for (int64_t l = 0; l < c; l++) d += a[i * c + l] * a[j * c + l];
      s += d * d;
    }
  return sqrt(s);
}

static void flipped(const double *a, int64_t r, int64_t c, double *out) {
  for (int64_t i = 0; i < r; i++)
    for (int64_t j = 0; j < c; j++) out[j * r + i] = a[i * c + j];
}

/* Of y = op(a), b being what solve had on its right. */
static double residual(Arena *t, OpId op, const double *a, const double *b, const double *y, int64_t m,
                       int64_t n) {
  int64_t k = m < n ? m : n, l = m > n ? m : n;
  double *w = NEWN(t, double, l *l), *v = NEWN(t, double, l *l), *z = NEWN(t, double, l *l);
  memset(w, 0, sizeof *w * (size_t)(l * l));
  switch (op) {
  case OP_cholesky:
    flipped(y, n, n, w);
    times(y, w, n, n, n, false, v);
    return distance(v, a, n * n);
  case OP_solve: /* rows */
    for (int64_t i = 0; i < n; i++) {
      times(y + i * n, a, 1, n, n, false, v); /* a is symmetric */
      z[i] = distance(v, b + i * n, n);
    }
    return distance(z, w, n);
  case OP_eigh:
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) v[i * n + j] = y[i] * y[n + i * n + j];
    times(y + n, v, n, n, n, true, w);
    for (int64_t i = 1; i < n; i++) ck_assert(y[i] >= y[i - 1]);
    return distance(w, a, n * n) + unorthogonal(y + n, n, n);
  case OP_svd:
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j < n; j++) v[i * n + j] = y[i] * y[k + m * k + i * n + j];
    times(y + k, v, m, k, n, false, w);
    flipped(y + k, m, k, z);
    for (int64_t i = 1; i < k; i++) ck_assert(y[i] <= y[i - 1] && y[i] >= 0);
    return distance(w, a, m * n) + unorthogonal(z, k, m) + unorthogonal(y + k + m * k, k, n);
  default:
    times(y, y + m * k, m, k, n, false, w);
    flipped(y, m, k, z);
    for (int64_t i = 1; i < k; i++)
      for (int64_t j = 0; j < i; j++) ck_assert(y[m * k + i * n + j] == 0);
    return distance(w, a, m * n) + unorthogonal(z, k, m);
  }
}

static Graph *graph_of(Arena *a, OpId op, DType dt, int64_t m, int64_t n) {
  Graph *g = graph_new(a, op_table[op].name);
  Shape s = {3, {ITEMS, m, n}};
  Val in[2];
  const Ints none[MAX_ATTRS] = {{0}};
  in[0] = g_input(g, "a", IN_ARG, dt, &s, NULL);
  if (op_table[op].nin > 1) in[1] = g_input(g, "b", IN_ARG, dt, &s, NULL);
  g_output(g, "y", g_add(g, op, in, op_table[op].nin, none, 0, DT_NONE, NULL), -1);
  return g;
}

/* Symmetric positive definite where square. */
static void draw(DType dt, OpId op, int64_t m, int64_t n, double *x, uint64_t seed) {
  for (int64_t i = 0; i < m * n; i++) x[i] = op_case_normal(seed, 1, (uint64_t)i);
  bool symmetric = m == n && op != OP_qr && op != OP_svd;
  for (int64_t i = 0; i < n && symmetric; i++)
    for (int64_t j = 0; j <= i; j++)
      x[i * n + j] = x[j * n + i] =
          (op == OP_eigh ? 1 : 0.3) * x[i * n + j] + (i == j && op != OP_eigh ? 2 * sqrt((double)n) : 0);
  for (int64_t i = 0; i < m * n && dt == DT_F32; i++) x[i] = (float)x[i];
}

START_TEST(residuals) {
  static const OpId ops[] = {OP_cholesky, OP_solve, OP_eigh, OP_svd, OP_qr};
  static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {7, 7}, {33, 33}, {40, 9}, {3, 21}};
  for (int o = 0; o < 5; o++)
    for (int z = 0; z < 6; z++)
      for (DType dt = DT_F32; dt <= DT_F64; dt++) {
        OpId op = ops[o];
        int64_t m = sizes[z][0], n = sizes[z][1];
        if (m != n && op != OP_svd && op != OP_qr) continue;
        Arena *a = arena_new();
        Graph *g = graph_of(a, op, dt, m, n);
        Tensor64 in[2], y[2];
        for (int i = 0; i < g->inputs.n; i++) {
          in[i] = (Tensor64){dt, {3, {ITEMS, m, n}}, NEWN(a, double, ITEMS *m *n)};
          for (int k = 0; k < ITEMS; k++)
            draw(dt, op, m, n, in[i].v + k * m * n, (uint64_t)(7 * z + 100 * i + k));
        }
        JitRun how = {.cpu = "x86-64-v3", .threads = 2};
        jit_run(a, g, &how, in, &y[0]);
        graph_interp(g, in, &y[1], a, false);
        int64_t each = shape_count(&y[0].shape) / ITEMS;
        for (int k = 0; k < 2 * ITEMS; k++) {
          const double *x = in[0].v + k / 2 * m * n, *b = g->inputs.n > 1 ? in[1].v + k / 2 * m * n : NULL;
          double zero[40 * 40] = {0}, size = 1 + distance(x, zero, m * n);
          double eps = k % 2 || dt == DT_F64 ? DBL_EPSILON : FLT_EPSILON, l = (double)(m > n ? m : n);
          double r = residual(a, op, x, b, y[k % 2].v + k / 2 * each, m, n) / (size * l * eps);
          ck_assert_msg(r < 30, "%s of %s %lld x %lld, item %d: residual %g", op_table[op].name,
                        dtype_name(dt), (long long)m, (long long)n, k / 2, r);
        }
        arena_free(a);
      }
}
END_TEST

/* Of three matrices the second has no result; the others have theirs, and the reason names it. */
START_TEST(spoiled_items) {
  static const struct {
    OpId op;
    double a[4];
    const char *why;
  } c[] = {{OP_cholesky,
            {1, 2, 2, 1},
            "matrix 1 of 3 (the first is 0) is not positive definite: its leading minor of order 2"},
           {OP_cholesky, {NAN, 0, 0, 1}, "is not finite"},
           {OP_solve, {1, 2, 2, 4}, "matrix 1 of 3 (the first is 0) is singular: pivot 2 is zero"},
           {OP_svd, {1, NAN, 0, 1}, "matrix 1 of 3 (the first is 0) is not finite"},
           {OP_eigh, {1, INFINITY, INFINITY, 1}, "is not finite"},
           {OP_triangular_solve, {0, 1, 1, 1}, "is singular: element 1 of its diagonal is zero"}};
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    Arena *a = arena_new();
    Graph *g = graph_of(a, c[i].op, DT_F32, 2, 2);
    double x[ITEMS * 4] = {2, 1, 1, 2, 0, 0, 0, 0, 3, 1, 1, 2},
                     b[ITEMS * 4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    memcpy(x + 4, c[i].a, sizeof c[i].a);
    Tensor64 in[2] = {{DT_F32, {3, {ITEMS, 2, 2}}, x}, {DT_F32, {3, {ITEMS, 2, 2}}, b}}, y[2];
    JitRun how = {.cpu = "x86-64-v3", .threads = 1};
    jit_run(a, g, &how, in, &y[0]);
    graph_interp(g, in, &y[1], a, true);
    int64_t each = shape_count(&y[0].shape) / ITEMS;
    for (int way = 0; way < 2; way++)
      for (int64_t k = 0; k < ITEMS * each; k++)
        if (c[i].op != OP_triangular_solve || k / each != 1)
          ck_assert_msg(isnan(y[way].v[k]) == (k / each == 1), "%s, case %d: element %lld is %g",
                        op_table[c[i].op].name, (int)i, (long long)k, y[way].v[k]);
    LapackSpec s = lapack_spec(g, g_node(g, g->outputs.v[0].val));
    int info;
    double out[100];
    ck_assert_int_eq(lapack_eval(&s, x, b, out, &info), 1);
    const char *why = lapack_reason(&s, 1, info, a);
    ck_assert_msg(strstr(why, c[i].why) != NULL, "'%s', not '%s'", why, c[i].why);
    arena_free(a);
  }
}
END_TEST

START_TEST(threads_change_nothing) {
  enum { MANY = 40, N = 24 };
  Arena *a = arena_new();
  Graph *g = graph_new(a, "many");
  Shape s = {3, {MANY, N, N}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL);
  g_output(g, "svd", g_unary(g, OP_svd, x), -1);
  g_output(g, "qr", g_unary(g, OP_qr, x), -1);
  Tensor64 in = {DT_F32, s, NEWN(a, double, MANY *N *N)}, y[3][2];
  for (int64_t i = 0; i < MANY * N * N; i++) in.v[i] = (float)op_case_normal(3, 1, (uint64_t)i);
  for (int t = 0; t < 3; t++) jit_run(a, g, &(JitRun){.cpu = "x86-64-v3", .threads = t + 1}, &in, y[t]);
  for (int t = 1; t < 3; t++)
    for (int o = 0; o < 2; o++)
      ck_assert(!memcmp(y[0][o].v, y[t][o].v, sizeof(double) * (size_t)shape_count(&y[0][o].shape)));
  arena_free(a);
}
END_TEST

/* Equal eigenvalues and singular values: factors are right, and no gradient is infinite. */
START_TEST(degenerate) {
  static const OpId ops[] = {OP_eigh, OP_svd, OP_eigvalsh};
  for (int o = 0; o < 3; o++) {
    Arena *a = arena_new();
    Graph *g = graph_of(a, ops[o], DT_F64, 3, 3), *loss = op_case_loss(a, g);
    Diags *d = diags_new(a);
    PassOptions opt = {0};
    Graph *grads = passes_run(a, op_case_grads(a, loss), (const char *[]){"autodiff", "dce"}, 2, &opt, d);
    double eye[ITEMS * 9] = {0};
    for (int k = 0; k < ITEMS * 3; k++) eye[k / 3 * 9 + k % 3 * 4] = k / 3;
    Tensor64 *in = op_case_inputs_for(loss, g, a, 4), out;
    in[0].v = eye;
    graph_interp(grads, in, &out, a, false);
    for (int k = 0; k < ITEMS * 9; k++)
      ck_assert_msg(isfinite(out.v[k]), "%s: %g", op_table[ops[o]].name, out.v[k]);
    arena_free(a);
  }
}
END_TEST

/* --gemm openblas: products of every order of axes, those it cannot take among them; and their text. */
START_TEST(products) {
  int calls = 0;
  for (int which = 0; which < op_case_count(OP_dot_general); which++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, OP_dot_general, which);
    Diags *d = diags_new(a);
    g = pipeline_graph(a, g, &(PipelineOptions){0}, d);
    Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
    op_case_inputs(g, a, 9, in);
    const char *where = "";
    double e = jit_worst(a, g, &(JitRun){.cpu = "x86-64-v3", .threads = 2, .blas = true}, in, &where);
    ck_assert_msg(e < 1e-5, "product %d: error %g", which, e);
    Target t;
    Status st;
    target_named("x86-64-v3", &t);
    Program *p = pipeline_lower(a, g, &t, &(PipelineOptions){.blas = true}, d, &st);
    StrBuf b = {0};
    program_print(p, &b);
    calls += strstr(b.s, "lapack product") != NULL;
    Source *src = NEW(a, Source);
    *src = (Source){"test.ir", b.s, b.n};
    Program *q = program_read(a, src, d);
    StrBuf c = {0};
    ck_assert(q != NULL);
    program_print(q, &c);
    ck_assert_str_eq(b.s, c.s);
    sb_free(&b);
    sb_free(&c);
    arena_free(a);
  }
  ck_assert_int_ge(calls, op_case_count(OP_dot_general) / 2);
}
END_TEST

int main(void) {
  Suite *s = suite_create("lapack");
  TCase *t = tcase_create("lapack");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, residuals);
  tcase_add_test(t, spoiled_items);
  tcase_add_test(t, threads_change_nothing);
  tcase_add_test(t, degenerate);
  tcase_add_test(t, products);
  suite_add_tcase(s, t);
  return run_suite(s);
}
