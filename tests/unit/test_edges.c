/* Values at the edges: constants folded as the run rounds them, integers beyond 2^53, infinities and NaN, sums that are
   long or of large numbers, roots and norms near the type's limits, gradients where a branch is not taken, denormals.
   Each case is evaluated by compiled code on every target this machine runs and, unless only compiled code rounds so,
   by the interpreter. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/float_mode.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/support.h"

#define NONE 1e-300 /* any value will do */
enum { MOST = 6 };

typedef struct {
  const char *kind, *text; /* the body of a model's entry and what stands before it, or a graph */
  const char *result;
  double want[MOST];
  int n;
  double tol;
  bool code; /* compiled code only: in f64 the interpreter sees other digits */
} Case;

#define MODEL(BEFORE, BODY) "model M() {\n" BEFORE "\n entry f() {\n" BODY "\n }\n}\n"
#define LN(X) MODEL("ln = LayerNorm(37)\n param x[2, 37] = " X, "return y = max(abs(ln(x)))")
#define ONE(INIT, BODY) MODEL("param x[3] = " INIT, BODY)
#define I64(OP, A, B)                                                                                        \
  "graph g {\n %0: i64[] = buffer \"a\" {init=fill(" A ")}\n %1: i64[] = fill {value=" B                     \
  "}\n %2: i64[] = " OP " %0, %1\n %3: i64[] = fill {value=" A "}\n %4: i64[] = " OP                         \
  " %3, %1\n %5: bool[] = eq %2, %4\n %6: f32[] = cast %5\n return \"y\" %6\n}\n"

static const Case cases[] = {
    /* constants */
    {"fold", MODEL("", "return y = cos(fill([1], 1e38, f32))"), "y", {0.146811686}, 1, 1e-6, true},
    {"fold",
     MODEL("", "return y = fill([1], 16777217, f32) - fill([1], 16777216, f32)"),
     "y",
     {0},
     1,
     0,
     true},
    {"fold",
     MODEL("", "return y = f32(fill([1], 0.1, f32) + fill([1], 0.2, f32) == fill([1], 0.3, f32))"),
     "y",
     {1},
     1,
     0,
     true},
    {"fold", MODEL("", "return y = fill([1], 1e-30, f32) * fill([1], 1e-15, f32)"), "y", {0}, 1, 0, true},
    {"fold", MODEL("", "return y = 1 / (fill([1], 1e30, f32) * fill([1], 1e30, f32))"), "y", {0}, 1, 0, true},
    /* integers */
    {"i64", I64("mul", "3037000500", "3037000499"), "y", {1}, 1, 0, false},
    {"i64", I64("add", "9007199254740992", "1"), "y", {1}, 1, 0, false},
    {"i64", I64("sub", "-4611686018427387904", "4611686018427387905"), "y", {1}, 1, 0, false},
    {"i64", I64("max", "9007199254740992", "9007199254740993"), "y", {1}, 1, 0, false},
    {"i64",
     "graph g {\n %0: i64[2] = iota {axis=[0]}\n %1: i64[2] = fill {value=9223372036854775807}\n %2: i64[2] "
     "= sub "
     "%1, %0\n %3: i64[] = reduce_max %2 {axes=[0]}\n %4: i32[] = cast %3\n %5: f32[] = cast %4\n return "
     "\"y\" %5\n}\n",
     "y",
     {-1},
     1,
     0,
     false},
    {"i64",
     "graph g {\n %0: i64[2] = iota {axis=[0]}\n %1: i64[2] = fill {value=9007199254740993}\n %2: i64[2] = "
     "add %1, "
     "%0\n %3: i64[] = argmax %2 {axes=[0]}\n %4: f32[] = cast %3\n return \"y\" %4\n}\n",
     "y",
     {1},
     1,
     0,
     false},
    {"i64",
     "graph g {\n %0: f32[] = param \"x\" {init=fill(1e30)}\n %1: i64[] = cast %0\n %2: i64[] = fill "
     "{value=9223372036854775807}\n %3: bool[] = eq %1, %2\n %4: f32[] = cast %3\n return \"y\" %4\n}\n",
     "y",
     {1},
     1,
     0,
     false},
    /* NaN in extremes */
    {"max", ONE("1", "return y = maximum(x, fill([3], inf - inf, f32))"), "y", {NAN, NAN, NAN}, 3, 0, false},
    {"max", ONE("1", "return y = minimum(fill([3], inf - inf, f32), x)"), "y", {NAN, NAN, NAN}, 3, 0, false},
    {"max", ONE("inf - inf", "return y = maximum(x, 2)"), "y", {NAN, NAN, NAN}, 3, 0, false},
    {"max",
     MODEL("", "i = f32(iota([19], 0))\nreturn y = max(where(i == 17, inf - inf, i))"),
     "y",
     {NAN},
     1,
     0,
     false},
    {"max",
     MODEL("", "i = f32(iota([5], 0))\nreturn y = min(where(i == 0, inf - inf, i))"),
     "y",
     {NAN},
     1,
     0,
     false},
    /* factors keep their places */
    {"order",
     MODEL("param x[3] = 1e-30\nparam p[1] = 1e20\nparam q[1] = 1e20", "return y = x * p * q"),
     "y",
     {1e10, 1e10, 1e10},
     3,
     1e-5,
     false},
    {"order",
     MODEL("param x[3] = 1e30\nparam p[1] = 1e-25\nparam q[1] = 1e-25", "return y = x * p * q"),
     "y",
     {1e-20, 1e-20, 1e-20},
     3,
     1e-5,
     false},
    {"order",
     MODEL("param x[3] = 1e30\nparam p[1] = 1e-25", "return y = x * p * 1e-25"),
     "y",
     {1e-20, 1e-20, 1e-20},
     3,
     1e-5,
     false},
    {"order", MODEL("param x[4] = 3e38", "return y = sum(x * 0.25)"), "y", {3e38}, 1, 1e-5, false},
    {"order", MODEL("param x[4] = 3e38", "return y = sum(x / 4)"), "y", {3e38}, 1, 1e-5, false},
    {"order",
     MODEL("param x[64] = 1e25\nparam s[1] = 1e-25", "return y = sum((x * s) * (x * s))"),
     "y",
     {64},
     1,
     1e-5,
     false},
    {"order",
     MODEL("param x[64] = 1e25\nparam s[1] = 1e-25\nparam t[1] = 2e-25", "return y = sum((x * s) * (x * t))"),
     "y",
     {128},
     1,
     1e-5,
     false},
    {"order",
     MODEL("param x[4] = 3e38\nparam a[1] = 1", "return y = 0.1 * sum(x * a)"),
     "grad.a",
     {1.2e38},
     1,
     1e-5,
     false},
    /* losses and normalizations */
    {"softmax",
     ONE("100000", "return y = log_softmax(x)"),
     "y",
     {-1.0986123, -1.0986123, -1.0986123},
     3,
     1e-6,
     false},
    {"softmax",
     ONE("-1e30", "return y = log_softmax(x)"),
     "y",
     {-1.0986123, -1.0986123, -1.0986123},
     3,
     1e-6,
     false},
    {"softmax",
     MODEL("param x[2, 5] = 1e6", "return y = cross_entropy(x, iota([2], 0))"),
     "y",
     {1.60943791},
     1,
     1e-6,
     false},
    {"softmax", ONE("-inf", "return y = logsumexp(x)"), "y", {-INFINITY}, 1, 0, false},
    {"softmax", ONE("inf", "return y = logsumexp(x)"), "y", {INFINITY}, 1, 0, false},
    {"softmax", ONE("inf - inf", "return y = logsumexp(x)"), "y", {NAN}, 1, 0, false},
    {"softmax",
     ONE("3", "return y = logsumexp(concat(x, fill([1], -inf, f32)))"),
     "y",
     {4.0986123},
     1,
     1e-6,
     false},
    {"norm", LN("1000.1"), "y", {0}, 1, 1e-6, true},
    {"norm", LN("1e15"), "y", {0}, 1, 1e-6, true},
    {"norm", LN("-7.7e-5"), "y", {0}, 1, 1e-6, true},
    {"norm",
     MODEL("bn = BatchNorm(3)\nparam x[7, 3, 5] = 1000.1", "return y = max(abs(bn(x)))"),
     "y",
     {0},
     1,
     1e-6,
     true},
    {"norm", ONE("3e25", "return y = cosine_similarity(x, 0 - x)"), "y", {-1}, 1, 1e-6, false},
    {"norm", ONE("1e-25", "return y = norm(x) * 1e25"), "y", {1.7320508}, 1, 1e-6, false},
    {"norm",
     ONE("2e38", "return y = normalize(x)"),
     "y",
     {0.57735027, 0.57735027, 0.57735027},
     3,
     1e-6,
     false},
    {"variance",
     MODEL("param s[1] = 1e17", "return y = std(f32(iota([1000], 0)) * s)"),
     "y",
     {2.8881943e19},
     1,
     1e-6,
     false},
    {"variance",
     MODEL("param s[1] = 1e17", "return y = var(f32(iota([1000], 0)) * s)"),
     "y",
     {INFINITY},
     1,
     0,
     true},
    {"variance",
     MODEL("param mean[1] = 1e6",
           "i = f32(iota([1000, 2], 0))\nreturn y = var(i - 5 * floor(i * 0.2) + mean, 0)"),
     "y",
     {2.002002, 2.002002},
     2,
     2e-6,
     false},
    {"variance",
     MODEL("param mean[1] = 1e6",
           "i = f32(iota([3, 3000], 1))\nreturn y = var(i - 5 * floor(i * 0.2) + mean, 1)"),
     "y",
     {2.0006669, 2.0006669, 2.0006669},
     3,
     2e-6,
     false},
    /* long sums */
    {"long", MODEL("param x[3000000] = 0.1", "return y = sum(x)"), "y", {300000.0044703484}, 1, 2e-6, true},
    {"long",
     MODEL("param x[3000000, 2] = 0.1", "return y = sum(x, 0)"),
     "y",
     {300000.0044703484, 300000.0044703484},
     2,
     2e-6,
     true},
    {"long",
     "graph g {\n %0: i32[20000000,2] = iota {axis=[1]}\n %1: f32[20000000,2] = cast %0\n %2: f32[] = "
     "reduce_m2 %1 "
     "{axes=[0,1]}\n return \"y\" %2\n}\n",
     "y",
     {1e7},
     1,
     1e-6,
     true},
    {"long",
     MODEL("param a[3, 200000] = 0.1\nparam b[200000, 33] = 0.1", "return y = max(a @ b)"),
     "y",
     {2000.00006},
     1,
     1e-5,
     true},
    {"long",
     MODEL("param a[3, 200000] = 0.1\nparam b[5, 200000] = 0.1",
           "return y = max(prim.dot_general(a, b, lhs_contract = 1, rhs_contract = 1))"),
     "y",
     {2000.00006},
     1,
     1e-5,
     true},
    /* gradients */
    {"pow", ONE("0", "return y = sum(x ^ 0)"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"pow", ONE("0", "return y = sum(x ^ 3)"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"pow", MODEL("param x[1] = 0\nparam n[2] = 2", "return y = sum(x ^ n)"), "grad.n", {0, 0}, 2, 0, false},
    {"pow", MODEL("param x[1] = 0\nparam n[2] = 0", "return y = sum(x ^ n)"), "grad.x", {0}, 1, 0, false},
    {"pow",
     MODEL("param x[1] = 2\nparam n[1] = 3", "return y = sum(x ^ n)"),
     "grad.n",
     {5.5451774},
     1,
     1e-6,
     false},
    {"where", ONE("0", "return y = sum(where(x > 0, log(x), 0))"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where", ONE("0", "return y = sum(where(x == 0, 0, sin(x) / x))"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where", ONE("0", "return y = sum(where(x > -1, 0, sqrt(x - 2)))"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where", ONE("0", "return y = sum(where(x > 0, x * (1 / x), x))"), "grad.x", {1, 1, 1}, 3, 0, false},
    {"where", ONE("0", "return y = where(sum(x) > 0, sum(log(x)), 0)"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where",
     ONE("-1", "return y = sum(where(x > 0, exp(reshape(log(x), [3, 1])), 0))"),
     "grad.x",
     {0, 0, 0},
     3,
     0,
     false},
    {"where", ONE("0", "return y = sum(relu(log(x)))"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where", ONE("0", "return y = sum(maximum(log(x), -10))"), "grad.x", {0, 0, 0}, 3, 0, false},
    {"where", ONE("1000", "return y = sum(minimum(exp(x), 5))"), "grad.x", {0, 0, 0}, 3, 0, true},
    {"where", ONE("2", "return y = sum(where(x > 0, log(x), 0))"), "grad.x", {0.5, 0.5, 0.5}, 3, 1e-6, false},
};
enum { CASES = sizeof cases / sizeof *cases };

static Tensor64 *initial(Arena *a, const Graph *g) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, count + 1)};
    double v = imm_cell(n->dt, g->inputs.v[i].init.kind == INIT_FILL ? g->inputs.v[i].init.a : 0);
    for (int64_t k = 0; k < count; k++) in[i].v[k] = n->dt == DT_F32 ? (float)v : v;
  }
  return in;
}

static const Graph *graph_of(Arena *a, const Case *c) {
  Diags *d = diags_new(a);
  Graph *g = NULL;
  if (!strncmp(c->text, "graph", 5)) {
    Source *src = NEW(a, Source);
    *src = (Source){"edges.ir", c->text, strlen(c->text)};
    if (graph_read(a, src, d, &g, 1) == 1) return g;
  } else {
    FrontendOptions *o = NEW(a, FrontendOptions);
    *o = (FrontendOptions){.text = c->text};
    Model *m = frontend_load(a, d, "edges.jepa", o);
    const Graph *e = m ? frontend_entry(m, d, "f", true, !strncmp(c->result, "grad.", 5)) : NULL;
    if (e) return e;
  }
  diags_print(d, stderr);
  ck_abort_msg("%s: %s", c->kind, c->text);
}

static void check(const Case *c, const char *how, const Graph *g, const Tensor64 *out) {
  int k = 0;
  while (k < g->outputs.n && strcmp(g->outputs.v[k].name, c->result)) k++;
  ck_assert_msg(k < g->outputs.n, "no %s in\n%s", c->result, c->text);
  ck_assert_int_eq(shape_count(&out[k].shape), c->n);
  for (int i = 0; i < c->n; i++) {
    double x = cell_value(out[k].dt, out[k].v[i]), y = c->want[i];
    bool good = y == NONE || x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= c->tol * fmax(1, fabs(y));
    ck_assert_msg(good, "%s, %s: %s[%d] is %.9g, not %.9g\n%s", c->kind, how, c->result, i, x, y, c->text);
  }
}

START_TEST(edge) {
  static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
  const Case *c = &cases[_i];
  Arena *a = arena_new();
  const Graph *g = graph_of(a, c),
              *h = pipeline_graph(a, g, &(PipelineOptions){.verify_each = true}, diags_new(a));
  ck_assert(h != NULL);
  Tensor64 *in = initial(a, h), *out = NEWN(a, Tensor64, h->outputs.n + 1);
  for (int i = 0; i < 3; i++) {
    Target t, host = target_host();
    if (!target_named(cpus[i], &t) || t.vector_bytes > host.vector_bytes) continue;
    if (!strcmp(c->kind, "long") && i) continue; /* takes a while, and blocks are the same */
    jit_run(a, h, &(JitRun){cpus[i], 2, CONV_AUTO, 0, false, false}, in, out);
    check(c, cpus[i], h, out);
  }
  if (!c->code) {
    static const char *const expand[] = {"autodiff"};
    const Graph *e = passes_run(a, g, expand, 1, NULL, diags_new(a));
    graph_interp(e, initial(a, e), out, a, false);
    check(c, "the interpreter", e, out);
  }
  arena_free(a);
}
END_TEST

/* One pixel that is not finite, or overflows in the transforms, touches the results it is part of only, whatever the
   algorithm; so does an image of nothing else. */
START_TEST(winograd_keeps_spread) {
  static const struct {
    int64_t stride, size;
    OpId op;
  } form[] = {{1, 17, OP_conv2d},
              {1, 2, OP_conv2d},
              {2, 16, OP_conv2d},
              {1, 12, OP_conv2d_dx},
              {2, 16, OP_conv2d_dx}};
  const double bad[] = {NAN, INFINITY, 1e38};
  for (size_t f = 0; f < sizeof form / sizeof *form; f++) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "spread");
    int64_t st = form[f].stride, n = form[f].size, o = (n + 1) / st;
    bool dx = form[f].op == OP_conv2d_dx;
    if (st == 1) o = n;
    Shape xs = {4, {3, 64, dx ? o : n, dx ? o : n}}, ws = {4, {64, 64, 3, 3}};
    Val x = g_input(g, "x", IN_ARG, DT_F32, &xs, NULL), w = g_input(g, "w", IN_ARG, DT_F32, &ws, NULL);
    Ints attr[5] = {ints2(st, st), ints2(1, 1), dx ? ints2(n, n) : (Ints){0}};
    g_output(g, "y", g_add(g, form[f].op, (Val[]){x, w}, 2, attr, 0, DT_NONE, NULL), -1);
    for (int b = 0; b < 3; b++) {
      Tensor64 in[2], y[2];
      for (int i = 0; i < 2; i++) {
        const Shape *s = i ? &ws : &xs;
        in[i] = (Tensor64){DT_F32, *s, NEWN(a, double, shape_count(s))};
        for (int64_t k = 0; k < shape_count(s); k++)
          in[i].v[k] = (float)(((k * 7919 + i) % 13 - 6) / (i ? 60.0 : 6.0));
      }
      int64_t at = ((2 * 64 + 3) * xs.dim[2] + xs.dim[2] / 2) * xs.dim[3] + xs.dim[3] / 2;
      in[0].v[at] = bad[b];
      graph_interp(g, in, &y[0], a, false);
      jit_run(a, g, &(JitRun){"host", 1, CONV_WINOGRAD, 0, false, false}, in, &y[1]);
      int64_t wrong = 0;
      for (int64_t k = 0; k < shape_count(&y[0].shape); k++)
        wrong += isfinite(y[0].v[k]) && fabs(y[0].v[k]) < 1e30 &&
                 !(fabs(y[0].v[k] - y[1].v[k]) < 1e-3 * (1 + fabs(y[0].v[k])));
      ck_assert_msg(wrong == 0, "form %d: %g spoils %lld results", (int)f, bad[b], (long long)wrong);
    }
    arena_free(a);
  }
}
END_TEST

/* f32 denormals are zero to compiled code, f64 keeps them, and the caller's mode is what it was. */
START_TEST(denormals) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "denormals");
  Shape s = {1, {100}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), y = g_input(g, "y", IN_ARG, DT_F64, &s, NULL);
  g_output(g, "x", g_binary(g, OP_mul, x, g_fill_like(g, x, 0.5)), -1);
  g_output(g, "up", g_binary(g, OP_mul, g_binary(g, OP_add, x, x), g_fill_like(g, x, 1e30)), -1);
  g_output(g, "y", g_binary(g, OP_mul, y, g_fill_like(g, y, 0.5)), -1);
  Tensor64 in[2] = {{DT_F32, s, NEWN(a, double, 100)}, {DT_F64, s, NEWN(a, double, 100)}}, out[3], same[3];
  for (int i = 0; i < 100; i++) in[0].v[i] = (float)1e-39, in[1].v[i] = 1e-310;
  for (int threads = 1; threads <= 2; threads++) {
    uint64_t mode = float_mode();
    jit_run(a, g, &(JitRun){"host", threads, CONV_AUTO, 0, false, false}, in, out);
    ck_assert_uint_eq(float_mode(), mode);
    graph_interp(g, in, same, a, true);
    for (int k = 0; k < 3; k++)
      for (int i = 0; i < 100; i++) ck_assert_double_eq(out[k].v[i], same[k].v[i]);
    ck_assert_double_eq(out[1].v[5], 0);
    ck_assert_double_eq(out[2].v[5], 5e-311);
  }
  arena_free(a);
}
END_TEST

/* A number of an i64 is read, printed and compared exactly. */
START_TEST(literals) {
  Arena *a = arena_new();
  const char *text =
      "graph g {\n  %0: i64[] = fill {value=9223372036854775807}\n  %1: i64[] = fill "
      "{value=9007199254740993}\n  %2: i64[] = fill {value=9007199254740992}\n  %3: i64[] = fill "
      "{value=-9223372036854775807}\n  return \"a\" %0\n  return \"b\" %1\n  return \"c\" %2\n  return "
      "\"d\" %3\n}\n";
  Source src = {"i64.ir", text, strlen(text)};
  Graph *g;
  Diags *d = diags_new(a);
  ck_assert_int_eq(graph_read(a, &src, d, &g, 1), 1);
  StrBuf b = {0};
  graph_print(g, &b);
  ck_assert_str_eq(b.s, text);
  sb_free(&b);
  static const char *const cse[] = {"cse", "simplify"};
  const Graph *h = passes_run(a, g, cse, 2, NULL, d);
  Tensor64 out[4];
  graph_interp(h, NULL, out, a, false);
  const int64_t want[] = {INT64_MAX, 9007199254740993, 9007199254740992, -INT64_MAX};
  for (int i = 0; i < 4; i++) ck_assert_int_eq(cell_int(DT_I64, out[i].v[0]), want[i]);
  arena_free(a);
}
END_TEST

/* ---- random expressions ---- */
static uint64_t draw(uint64_t *state, uint64_t n) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % n;
}

static const double special[] = {
    0,     -0.0,   1,    -1,    INFINITY, -INFINITY, NAN,  3.4028235e38, -3e38, 1.1754944e-38,
    1e-39, -1e-39, 1e20, 1e-20, 1e-38,    0.1,       0.25, 16777217,     3,     -7.5e9};
static const Imm whole[] = {0,
                            1,
                            -1,
                            2,
                            3,
                            INT64_MAX,
                            INT64_MIN,
                            9007199254740993,
                            -9007199254740993,
                            4294967296,
                            2147483648,
                            -2147483649,
                            1000000007};
enum { SPECIAL = sizeof special / sizeof *special, WHOLE = sizeof whole / sizeof *whole };

/* Elementwise operators whose results are defined to the last bit, over special values and constants. */
static Graph *expression(Arena *a, uint64_t seed, bool ints) {
  static const OpId two[] = {OP_add, OP_sub, OP_mul, OP_min, OP_max, OP_mul, OP_div},
                    one[] = {OP_neg, OP_abs, OP_sqrt};
  uint64_t r = seed;
  Graph *g = graph_new(a, "expression");
  Shape s = {1, {7 + (int64_t)draw(&r, 40)}};
  DType dt = ints ? draw(&r, 3) ? DT_I64 : DT_I32 : DT_F32;
  Val pool[24];
  int n = 0;
  for (; n < 3; n++) pool[n] = g_input(g, arena_printf(a, "x%d", n), IN_ARG, dt, &s, NULL);
  while (n < 20) {
    Val x = pool[draw(&r, (uint64_t)n)], y = pool[draw(&r, (uint64_t)n)];
    switch (draw(&r, 6)) {
    case 0: {
      Imm v = ints ? whole[draw(&r, WHOLE)] : (Imm)special[draw(&r, SPECIAL)];
      pool[n] = g_fill(g, dt, &s, dt == DT_I32 ? (Imm)(int32_t)(int64_t)v : v);
      break;
    }
    case 1: pool[n] = g_unary(g, one[draw(&r, ints ? 2 : 3)], x); break;
    case 2:
      pool[n] = g_select(g, g_binary(g, draw(&r, 2) ? OP_lt : OP_eq, x, y), x, pool[draw(&r, (uint64_t)n)]);
      break;
    case 3:
      if (dt != DT_I64) continue;
      pool[n] = g_cast(g, g_cast(g, x, DT_I32), DT_I64);
      break;
    default: pool[n] = g_binary(g, two[draw(&r, ints ? 6 : 7)], x, y);
    }
    n++;
  }
  for (int i = n - 4; i < n; i++) g_output(g, arena_printf(a, "y%d", i), pool[i], -1);
  return g;
}

START_TEST(random_expressions) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    Arena *a = arena_new();
    bool ints = seed % 2;
    const Graph *g = expression(a, seed, ints);
    const Graph *h = pipeline_graph(a, g, &(PipelineOptions){.verify_each = true}, diags_new(a));
    Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *want = NEWN(a, Tensor64, h->outputs.n + 1),
             *got = NEWN(a, Tensor64, h->outputs.n + 1);
    uint64_t r = seed;
    for (int i = 0; i < h->inputs.n; i++) {
      const Node *n = g_node(h, h->inputs.v[i].val);
      in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, shape_count(&n->shape))};
      for (int64_t k = 0; k < shape_count(&n->shape); k++)
        in[i].v[k] =
            ints ? int_cell(n->dt, (int64_t)whole[draw(&r, WHOLE)]) : (float)special[draw(&r, SPECIAL)];
    }
    graph_interp(h, in, want, a, true);
    jit_run(a, h, &(JitRun){seed % 3 ? "host" : "x86-64", 1, CONV_AUTO, 0, false, false}, in, got);
    for (int o = 0; o < h->outputs.n; o++)
      for (int64_t k = 0; k < shape_count(&want[o].shape); k++) {
        double x = want[o].v[k], y = got[o].v[k];
        bool same = ints ? cell_int(want[o].dt, x) == cell_int(want[o].dt, y)
                         : x == y || (isnan(x) && isnan(y)) || (fabs(x) < 1.2e-38 && fabs(y) < 1.2e-38);
        ck_assert_msg(same, "expression %d, %s[%d]: compiled %.9g, interpreted %.9g", (int)seed,
                      h->outputs.v[o].name, (int)k, cell_value(got[o].dt, y), cell_value(want[o].dt, x));
      }
    arena_free(a);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("edges");
  TCase *t = tcase_create("edges");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, edge, 0, CASES);
  tcase_add_test(t, winograd_keeps_spread);
  tcase_add_test(t, denormals);
  tcase_add_test(t, literals);
  tcase_add_test(t, random_expressions);
  suite_add_tcase(s, t);
  return run_suite(s);
}
