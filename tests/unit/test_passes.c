/* The graph passes: gradients of a small network with normalization and cross entropy against finite
   differences, every pass against the interpreter on every operator's cases, and one case for each rule of
   simplify that fails without it. */
#include "passes/graph/pass.h"
#include "passes/graph/simplify.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(A) ((int)(sizeof(A) / sizeof *(A)))
#define SHAPE(...) (&(Shape){.rank = COUNT(((int64_t[]){__VA_ARGS__})), .dim = {__VA_ARGS__}})
#define INTS(...) (&(Ints){.n = COUNT(((int64_t[]){__VA_ARGS__})), .v = {__VA_ARGS__}})
static const Shape scalar = {0};
static const Ints none = {0};

static Graph *run(Arena *a, const Graph *g, const char *const *names, int n) {
  Diags *d = diags_new(a);
  PassOptions opt = {.verify_each = true};
  Graph *out = passes_run(a, g, names, n, &opt, d);
  if (!out) diags_print(d, stderr);
  ck_assert(out != NULL);
  return out;
}
#define RUN(A, G, ...) run((A), (G), (const char *[]){__VA_ARGS__}, COUNT(((const char *[]){__VA_ARGS__})))

static int count_op(const Graph *g, OpId op) {
  int n = 0;
  for (Val v = 0; v < g->node.n; v++) n += g_node(g, v)->op == op;
  return n;
}

/* Evaluates g with the inputs of base found by name. */
static Tensor64 *eval(Arena *a, const Graph *g, const Graph *base, const Tensor64 *base_in) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1), *out = NEWN(a, Tensor64, g->outputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    int k = g_find_input(base, g->inputs.v[i].name);
    ck_assert_int_ge(k, 0);
    in[i] = base_in[k];
  }
  graph_interp(g, in, out, a, false);
  return out;
}

static void check_same(Arena *a, const Graph *g, const Graph *h, const Tensor64 *in, const char *what) {
  Tensor64 *x = eval(a, g, g, in), *y = eval(a, h, g, in);
  ck_assert_int_eq(g->outputs.n, h->outputs.n);
  for (int o = 0; o < g->outputs.n; o++) {
    ck_assert_msg(x[o].dt == y[o].dt && shape_eq(&x[o].shape, &y[o].shape), "%s: %s changed a type", g->name,
                  what);
    ck_assert_str_eq(g->outputs.v[o].name, h->outputs.v[o].name);
    for (int64_t i = 0; i < shape_count(&x[o].shape); i++) {
      double p = cell_value(x[o].dt, x[o].v[i]), q = cell_value(y[o].dt, y[o].v[i]);
      ck_assert_msg(fabs(p - q) <= 1e-12 * (1 + fabs(p)),
                    "%s: %s changed output %s[%lld] from %.17g to %.17g", g->name, what, g->outputs.v[o].name,
                    (long long)i, p, q);
    }
  }
}

/* ---- a network ---- */
typedef struct {
  Graph *g;
  Val w1, gamma, beta, w2, loss;
} Net;

static Val mean0(Graph *g, Val x) {
  Val s = g_reduce(g, OP_reduce_sum, x, INTS(0));
  return g_binary(g, OP_div, s, g_fill_like(g, s, (double)g_node(g, x)->shape.dim[0]));
}
static Val rows(Graph *g, Val v, Val like) { /* [C] -> [N,C] */
  Shape s = g_node(g, like)->shape;
  return g_broadcast(g, v, &s, INTS(1));
}
static Val columns(Graph *g, Val v, Val like) { /* [N] -> [N,C] */
  Shape s = g_node(g, like)->shape;
  return g_broadcast(g, v, &s, INTS(0));
}

/* Linear, batch normalization, relu, linear, cross entropy. */
static Net network(Arena *a) {
  Net n = {.g = graph_new(a, "net")};
  Graph *g = n.g;
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(6, 5), NULL);
  Val labels = g_input(g, "labels", IN_ARG, DT_I64, SHAPE(6), NULL);
  n.w1 = g_input(g, "w1", IN_PARAM, DT_F32, SHAPE(7, 5), NULL);
  n.gamma = g_input(g, "gamma", IN_PARAM, DT_F32, SHAPE(7), NULL);
  n.beta = g_input(g, "beta", IN_PARAM, DT_F32, SHAPE(7), NULL);
  n.w2 = g_input(g, "w2", IN_PARAM, DT_F32, SHAPE(7, 3), NULL);
  Val h = g_dot(g, x, n.w1, &none, &none, INTS(1), INTS(1));
  Val mean = mean0(g, h), m2 = g_reduce(g, OP_reduce_m2, h, INTS(0));
  Val var = g_binary(g, OP_div, m2, g_fill_like(g, m2, 6));
  Val rstd = g_unary(g, OP_rsqrt, g_binary(g, OP_add, var, g_fill_like(g, var, 1e-5)));
  Val centered = g_binary(g, OP_sub, h, rows(g, mean, h));
  Val xhat = g_binary(g, OP_mul, centered, rows(g, rstd, h));
  Val affine = g_binary(g, OP_add, g_binary(g, OP_mul, xhat, rows(g, n.gamma, h)), rows(g, n.beta, h));
  Val logits = g_dot(g, g_unary(g, OP_relu, affine), n.w2, &none, &none, INTS(1), INTS(0));
  Val top = g_unary(g, OP_stop_gradient, g_reduce(g, OP_reduce_max, logits, INTS(1)));
  Val shifted = g_binary(g, OP_sub, logits, columns(g, top, logits));
  Val lse = g_unary(g, OP_log, g_reduce(g, OP_reduce_sum, g_unary(g, OP_exp, shifted), INTS(1)));
  Val iota = g_add(g, OP_iota, NULL, 0, INTS(1), 0, DT_I64, SHAPE(6, 3));
  Val hot = g_binary(g, OP_eq, iota, columns(g, labels, iota));
  Val picked = g_reduce(g, OP_reduce_sum, g_select(g, hot, shifted, g_fill_like(g, shifted, 0)), INTS(1));
  n.loss = mean0(g, g_binary(g, OP_sub, lse, picked));
  return n;
}

static Tensor64 *network_inputs(Arena *a, const Graph *g) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, shape_count(&n->shape))};
    for (int64_t k = 0; k < shape_count(&n->shape); k++)
      in[i].v[k] = n->dt == DT_I64 ? int_cell(DT_I64, k % 3) : op_case_normal(4, (uint32_t)i, (uint64_t)k);
  }
  return in;
}

static Graph *network_step(Arena *a) {
  Net n = network(a);
  const Val by[] = {n.w1, n.gamma, n.beta, n.w2};
  g_output(n.g, "loss", n.loss, -1);
  for (int i = 0; i < 4; i++)
    g_output(n.g, n.g->inputs.v[g_node(n.g, by[i])->input].name, g_binary(n.g, OP_grad, n.loss, by[i]), -1);
  return n.g;
}

START_TEST(test_network_gradient) {
  Arena *a = arena_new();
  Graph *plain = RUN(a, network_step(a), "autodiff");
  Graph *full =
      RUN(a, network_step(a), "simplify", "cse", "autodiff", "strip", "simplify", "cse", "simplify", "dce");
  Tensor64 *in = network_inputs(a, plain), *out = eval(a, plain, plain, in);
  const double h = 1e-5;
  for (int o = 1; o < plain->outputs.n; o++) {
    int i = g_find_input(plain, plain->outputs.v[o].name);
    for (int64_t k = 0; k < shape_count(&in[i].shape); k++) {
      double x = in[i].v[k];
      in[i].v[k] = x + h;
      double up = eval(a, plain, plain, in)[0].v[0];
      in[i].v[k] = x - h;
      double down = eval(a, plain, plain, in)[0].v[0];
      in[i].v[k] = x;
      double fd = (up - down) / (2 * h);
      ck_assert_msg(fabs(fd - out[o].v[k]) < 1e-7, "%s[%lld]: %.10g, finite difference %.10g",
                    plain->outputs.v[o].name, (long long)k, out[o].v[k], fd);
    }
  }
  check_same(a, plain, full, in, "the pipeline");
  ck_assert_int_lt(full->node.n, plain->node.n);
  arena_free(a);
}
END_TEST

/* The backward of a normalization needs two sums over the batch, of g and of g (x - mean); gamma's and beta's
   gradients are the same two. Beside them stand the forward's mean and the loss's sums. */
START_TEST(test_normalization_shares_sums) {
  Arena *a = arena_new();
  Graph *full = RUN(a, network_step(a), "autodiff", "strip", "simplify", "cse", "simplify", "cse", "dce");
  int sums = 0;
  for (Val v = 0; v < full->node.n; v++) {
    const Node *n = g_node(full, v);
    sums += n->op == OP_reduce_sum && shape_eq(&n->shape, SHAPE(7)) && n->role == ROLE_GRADIENT;
  }
  ck_assert_int_eq(sums, 2);
  arena_free(a);
}
END_TEST

/* ---- products ---- */
/* A product of bf16 may be f32, and stays so. */
START_TEST(test_product_types) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "products");
  Val x = g_input(g, "x", IN_ARG, DT_BF16, SHAPE(8, 3, 4), NULL);
  Val w = g_input(g, "w", IN_ARG, DT_BF16, SHAPE(3, 5, 4), NULL);
  Ints attr[4] = {*INTS(1), *INTS(0), *INTS(2), *INTS(2)};
  Val y = g_add(g, OP_dot_general, (Val[]){x, w}, 2, attr, 0, DT_F32, NULL);
  g_output(g, "y", g_slice(g, y, INTS(0, 0, 0), INTS(1, 8, 5), INTS(1, 1, 1)), -1);
  Tensor64 *in = NEWN(a, Tensor64, 2);
  op_case_inputs(g, a, 3, in);
  check_same(a, g, RUN(a, g, "narrow"), in, "narrow");
  check_same(a, g, RUN(a, g, "canon"), in, "canon");
  arena_free(a);
}
END_TEST

/* Updates of bf16 are added in f32. */
START_TEST(test_scatter_types) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "scatter");
  Val at = g_input(g, "at", IN_ARG, DT_I64, SHAPE(6), NULL),
      x = g_input(g, "x", IN_ARG, DT_BF16, SHAPE(6, 5), NULL);
  g_output(g, "y", g_add(g, OP_scatter_add, (Val[]){at, x}, 2, INTS(0), 0, DT_BF16, SHAPE(4, 5)), -1);
  Tensor64 *in = NEWN(a, Tensor64, 2);
  op_case_inputs(g, a, 3, in);
  Graph *h = RUN(a, g, "canon");
  check_same(a, g, h, in, "canon");
  for (Val v = 0; v < h->node.n; v++)
    if (g_node(h, v)->op == OP_scatter_add) ck_assert_int_eq(g_node(h, v)->dt, DT_F32);
  arena_free(a);
}
END_TEST

/* More batch axes than a product has. */
START_TEST(test_many_batch_axes) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "batch");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(2, 3, 2, 4, 1, 2, 5), NULL);
  Val y = g_input(g, "y", IN_ARG, DT_F32, SHAPE(1, 2, 4, 3, 2, 5), NULL);
  g_output(g, "y", g_dot(g, x, y, INTS(0, 1, 2, 3, 4), INTS(1, 3, 4, 2, 0), INTS(6), INTS(5)), -1);
  Tensor64 *in = NEWN(a, Tensor64, 2);
  op_case_inputs(g, a, 3, in);
  Graph *h = RUN(a, g, "canon");
  check_same(a, g, h, in, "canon");
  for (Val v = 0; v < h->node.n; v++)
    if (g_node(h, v)->op == OP_dot_general) ck_assert_int_le(g_node(h, v)->attr[0].n, 4);
  arena_free(a);
}
END_TEST

/* ---- autodiff ---- */
START_TEST(test_autodiff_shares_one_sweep) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "sweep");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(3), NULL),
      y = g_input(g, "y", IN_ARG, DT_F32, SHAPE(3), NULL);
  Val unused = g_input(g, "unused", IN_ARG, DT_F32, SHAPE(2), NULL);
  Source *src = NEW(a, Source);
  Loc forward = {src, 3, 1, NULL, NULL}, backward = {src, 9, 1, NULL, NULL};
  src->path = "m.jepa";
  g->loc = &forward;
  Val loss = g_reduce(g, OP_reduce_sum, g_unary(g, OP_sin, g_binary(g, OP_mul, x, y)), INTS(0));
  g->loc = &backward;
  g_output(g, "gx", g_binary(g, OP_grad, loss, x), -1);
  g_output(g, "gy", g_binary(g, OP_grad, loss, y), -1);
  g_output(g, "gu", g_binary(g, OP_grad, loss, unused), -1);
  Graph *e = RUN(a, g, "autodiff");
  ck_assert_int_eq(count_op(e, OP_cos), 1);
  for (Val v = 0; v < e->node.n; v++)
    if (g_node(e, v)->op == OP_cos) {
      ck_assert_int_eq(g_node(e, v)->role, ROLE_GRADIENT);
      ck_assert_ptr_eq(g_node(e, v)->loc, &forward);
    }
  Tensor64 in[3] = {{DT_F32, *SHAPE(3), (double[]){1, 2, 3}},
                    {DT_F32, *SHAPE(3), (double[]){0.5, -1, 0.1}},
                    {DT_F32, *SHAPE(2), (double[]){0, 0}}};
  Tensor64 *out = eval(a, e, e, in);
  ck_assert_double_eq_tol(out[0].v[1], cos(-2) * -1, 1e-15);
  ck_assert_double_eq_tol(out[1].v[2], cos(0.3) * 3, 1e-15);
  ck_assert(out[2].v[0] == 0 && out[2].v[1] == 0);
  arena_free(a);
}
END_TEST

/* The gradient by an intermediate value counts only paths through that value, whatever equals it; rewriting
   or merging it before autodiff would change that. */
START_TEST(test_gradient_by_intermediate) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "intermediate");
  Val z = g_input(g, "z", IN_ARG, DT_F32, SHAPE(2), NULL);
  Val one = g_binary(g, OP_mul, z, g_fill_like(g, z, 1)), back = g_unary(g, OP_neg, z);
  Val twin = g_unary(g, OP_neg, z), undo = g_unary(g, OP_neg, back);
  Val p = g_binary(g, OP_mul, g_binary(g, OP_mul, one, z), g_binary(g, OP_mul, undo, twin));
  Val loss = g_reduce(g, OP_reduce_sum, p, INTS(0));
  g_output(g, "one", g_binary(g, OP_grad, loss, one), -1);
  g_output(g, "back", g_binary(g, OP_grad, loss, back), -1);
  Tensor64 in = {DT_F32, *SHAPE(2), (double[]){2, 3}};
  Tensor64 *out =
      eval(a, RUN(a, g, "simplify", "cse", "simplify", "autodiff", "simplify", "cse", "dce"), g, &in);
  /* loss = sum one * z * (-back) * twin */
  ck_assert_double_eq(out[0].v[0], -8);
  ck_assert_double_eq(out[0].v[1], -27);
  ck_assert_double_eq(out[1].v[0], 8);
  ck_assert_double_eq(out[1].v[1], 27);
  arena_free(a);
}
END_TEST

/* A loss may contain a gradient: differentiate |d sum(x^3)/dx|^2 = 9 x^4. */
START_TEST(test_nested_gradient) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "nested");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(2), NULL);
  Val inner = g_reduce(g, OP_reduce_sum, g_binary(g, OP_pow, x, g_fill_like(g, x, 3)), INTS(0));
  Val d = g_binary(g, OP_grad, inner, x);
  Val outer = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, d, d), INTS(0));
  g_output(g, "g", g_binary(g, OP_grad, outer, x), -1);
  Tensor64 in = {DT_F32, *SHAPE(2), (double[]){1.5, 2}};
  Tensor64 *out = eval(a, RUN(a, g, "simplify", "autodiff", "simplify"), g, &in);
  ck_assert_double_eq_tol(out[0].v[0], 36 * pow(1.5, 3), 1e-10);
  ck_assert_double_eq_tol(out[0].v[1], 36 * 8, 1e-10);
  arena_free(a);
}
END_TEST

/* ---- every pass on every operator ---- */
static const char *const sequences[][4] = {{"autodiff"},
                                           {"autodiff", "strip"},
                                           {"autodiff", "simplify"},
                                           {"autodiff", "cse"},
                                           {"autodiff", "dce"},
                                           {"narrow", "autodiff"},
                                           {"autodiff", "narrow"},
                                           {"autodiff", "simplify", "cse", "simplify"},
                                           {"simplify", "autodiff", "strip", "simplify"}};

static void check_sequences(Arena *a, const Graph *base, const Graph *g, uint64_t seed) {
  Graph *plain = RUN(a, g, "autodiff");
  Tensor64 *in = op_case_inputs_for(plain, base, a, seed);
  for (int s = 0; s < COUNT(sequences); s++) {
    int n = 0;
    while (n < 4 && sequences[s][n]) n++;
    check_same(a, plain, run(a, g, sequences[s], n), in, sequences[s][n - 1]);
  }
}

START_TEST(test_passes_preserve_values) {
  for (int which = 0; which < op_case_count(_i); which++) {
    Arena *a = arena_new();
    Graph *g = op_case_build(a, _i, which);
    check_sequences(a, g, g, 11);
    if (dtype_is_float(g_node(g, g->outputs.v[0].val)->dt))
      check_sequences(a, g, op_case_grads(a, op_case_loss(a, g)), 12);
    arena_free(a);
  }
}
END_TEST

/* ---- parts of values ---- */
/* The upper part of v, from an odd place on where there is one. */
static Val upper_part(Graph *g, Val v, int64_t step) {
  const Shape s = g_node(g, v)->shape;
  Ints start = {.n = s.rank}, stop = start, steps = start;
  for (int i = 0; i < s.rank; i++) {
    start.v[i] = s.dim[i] * 2 / 3;
    stop.v[i] = s.dim[i];
    steps.v[i] = step;
  }
  return g_slice(g, v, &start, &stop, &steps);
}

/* Elements that op computes in g. */
static int64_t elements_of(const Graph *g, OpId op) {
  int64_t n = 0;
  for (Val v = 0; v < g->node.n; v++)
    if (g_node(g, v)->op == op) n += shape_count(&g_node(g, v)->shape);
  return n;
}

/* Of every operator's result a part is read: most operators compute only that. */
START_TEST(test_narrow_operators) {
  if (_i == OP_grad) return;
  OpKind kind = op_table[_i].kind;
  bool can = kind == KIND_MAP || kind == KIND_REDUCE || kind == KIND_DOT;
  for (int which = 0; which < op_case_count(_i); which++)
    for (int64_t step = 1; step <= 2; step++) {
      Arena *a = arena_new();
      Graph *g = op_case_build(a, _i, which);
      Val v = g->outputs.v[0].val, part = upper_part(g, v, step);
      g->outputs.n = 0;
      g_output(g, "part", part, -1);
      Graph *h = RUN(a, g, "narrow");
      check_same(a, g, h, op_case_inputs_for(g, op_case_build(a, _i, which), a, 13), "narrow");
      int64_t all = shape_count(&g_node(g, v)->shape), few = shape_count(&g_node(g, part)->shape);
      if (can && step == 1 && 2 * few <= all) ck_assert_int_lt(elements_of(h, _i), elements_of(g, _i));
      arena_free(a);
    }
}
END_TEST

/* One row of many through a product, a normalization over rows and another product. */
START_TEST(test_narrow_rows) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "rows");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(5, 4, 6), NULL);
  Val w = g_input(g, "w", IN_PARAM, DT_F32, SHAPE(6, 6), &(Init){.kind = INIT_FILL, .a = 1});
  Val y = g_dot(g, x, w, &none, &none, INTS(2), INTS(0));
  y = g_reshape(g, g_unary(g, OP_tanh, y), SHAPE(5, 4, 2, 3));
  Val m = g_reduce(g, OP_reduce_sum, y, INTS(2, 3));
  y = g_binary(g, OP_sub, y, g_broadcast(g, m, SHAPE(5, 4, 2, 3), INTS(0, 1)));
  y = g_dot(g, g_reshape(g, y, SHAPE(5, 4, 6)), w, &none, &none, INTS(2), INTS(1));
  y = g_slice(g, y, INTS(0, 1, 0), INTS(5, 2, 6), NULL);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, y, y), INTS(0, 1, 2));
  g_output(g, "loss", loss, -1);
  g_output(g, "dx", g_binary(g, OP_grad, loss, x), -1);
  g_output(g, "dw", g_binary(g, OP_grad, loss, w), -1);
  Graph *h = RUN(a, g, "narrow");
  for (Val v = 0; v < h->node.n; v++)
    if (g_node(h, v)->op == OP_dot_general) ck_assert_int_eq(shape_count(&g_node(h, v)->shape), 30);
  ck_assert_int_eq(count_op(h, OP_dot_general), 2);
  Graph *plain = RUN(a, g, "autodiff");
  check_same(a, plain, RUN(a, g, "narrow", "autodiff"), op_case_inputs_for(plain, g, a, 14), "narrow");
  arena_free(a);
}
END_TEST

/* The derivative by a part of a value is not that by the value. */
START_TEST(test_narrow_keeps_variables) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "variable");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(6), NULL);
  Val y = g_unary(g, OP_tanh, x), part = g_slice(g, y, INTS(4), INTS(6), NULL);
  Val both = g_binary(g, OP_mul, part, g_unary(g, OP_exp, g_slice(g, y, INTS(4), INTS(6), NULL)));
  Val loss = g_reduce(g, OP_reduce_sum, both, INTS(0));
  g_output(g, "by_part", g_binary(g, OP_grad, loss, part), -1);
  g_output(g, "by_whole", g_reduce(g, OP_reduce_sum, g_binary(g, OP_grad, loss, y), INTS(0)), -1);
  Graph *plain = RUN(a, g, "autodiff");
  check_same(a, plain, RUN(a, g, "narrow", "autodiff"), op_case_inputs_for(plain, g, a, 15), "narrow");
  arena_free(a);
}
END_TEST

/* ---- one case a rule ---- */
typedef struct {
  Graph *g;
  Val x, y; /* f32[3,5] */
  Val p, q; /* bool[3,5] */
  Val c;    /* f32[5] */
} Vars;
typedef Val RuleCase(Vars *s);

static Val lit(Vars *s, double v) { return g_fill_like(s->g, s->x, v); }
static Val mul(Vars *s, Val a, Val b) { return g_binary(s->g, OP_mul, a, b); }
static Val neg(Vars *s, Val a) { return g_unary(s->g, OP_neg, a); }
static Val truth(Vars *s, double v) { return g_fill_like(s->g, s->p, v); }
static Val wide(Vars *s) { return g_broadcast(s->g, s->c, SHAPE(3, 5), INTS(1)); }
static Val rev(Vars *s, Val a, const Ints *axes) {
  return g_add(s->g, OP_reverse, &a, 1, axes, 0, DT_NONE, NULL);
}
static Val sum(Vars *s, Val a, const Ints *axes) { return g_reduce(s->g, OP_reduce_sum, a, axes); }

static Val case_constants(Vars *s) { return g_unary(s->g, OP_exp, lit(s, 0.5)); }
static Val case_add_zero(Vars *s) {
  return g_binary(s->g, OP_sub, g_binary(s->g, OP_add, lit(s, 0), s->x), lit(s, 0));
}
static Val case_mul_one(Vars *s) { return g_binary(s->g, OP_div, mul(s, lit(s, 1), s->x), lit(s, 1)); }
static Val case_mul_minus_one(Vars *s) { return mul(s, s->x, lit(s, -1)); }
static Val case_neg_neg(Vars *s) { return neg(s, neg(s, s->x)); }
static Val case_add_neg(Vars *s) { return g_binary(s->g, OP_sub, s->x, neg(s, s->y)); }
static Val case_mul_neg(Vars *s) { return mul(s, neg(s, s->x), neg(s, s->y)); }
static Val case_pow_const(Vars *s) { return g_binary(s->g, OP_pow, s->x, lit(s, 2)); }
static Val case_div_power_of_two(Vars *s) { return g_binary(s->g, OP_div, s->x, lit(s, -8)); }
static Val case_select_const(Vars *s) { return g_select(s->g, truth(s, 0), s->x, s->y); }
static Val case_select_same(Vars *s) { return g_select(s->g, s->p, s->y, s->y); }
static Val case_logic_const(Vars *s) {
  return g_binary(s->g, OP_and, g_binary(s->g, OP_or, s->p, truth(s, 0)), truth(s, 1));
}
static Val case_not_not(Vars *s) { return g_unary(s->g, OP_not, g_unary(s->g, OP_not, s->p)); }
static Val case_cast_same(Vars *s) { return g_cast(s->g, s->x, DT_F32); }
static Val case_cast_of_cast(Vars *s) { return g_cast(s->g, g_cast(s->g, s->x, DT_F64), DT_F32); }
static Val case_map_of_broadcasts(Vars *s) {
  return g_binary(s->g, OP_add, g_unary(s->g, OP_exp, wide(s)), lit(s, 2));
}
static Val case_mul_chain(Vars *s) { return mul(s, mul(s, s->x, lit(s, 5)), lit(s, 3)); }
static Val case_root_of_m2(Vars *s) {
  Val m2 = g_reduce(s->g, OP_reduce_m2, s->x, INTS(0));
  return g_unary(s->g, OP_sqrt, g_binary(s->g, OP_div, m2, g_fill_like(s->g, m2, 2)));
}
static Val case_view_of_fill(Vars *s) {
  return g_transpose(s->g, g_fill(s->g, DT_F32, SHAPE(5, 3), 2), INTS(1, 0));
}
static Val case_reshape_same(Vars *s) { return g_reshape(s->g, s->x, SHAPE(3, 5)); }
static Val case_reshape_of_reshape(Vars *s) {
  return g_reshape(s->g, g_reshape(s->g, s->x, SHAPE(15)), SHAPE(5, 3));
}
static Val case_transpose_of_transpose(Vars *s) {
  return g_transpose(s->g, g_transpose(s->g, g_reshape(s->g, s->x, SHAPE(3, 5, 1)), INTS(1, 0, 2)),
                     INTS(0, 2, 1));
}
static Val case_transpose_units(Vars *s) {
  return g_transpose(s->g, g_reshape(s->g, s->x, SHAPE(3, 1, 5)), INTS(1, 0, 2));
}
static Val case_transpose_of_dot(Vars *s) {
  return g_transpose(s->g, g_dot(s->g, s->x, s->y, &none, &none, INTS(1), INTS(1)), INTS(1, 0));
}
static Val case_broadcast_of_broadcast(Vars *s) {
  return g_broadcast(s->g, wide(s), SHAPE(3, 2, 5), INTS(0, 2));
}
static Val case_broadcast_of_iota(Vars *s) {
  Val i = g_add(s->g, OP_iota, NULL, 0, INTS(1), 0, DT_F32, SHAPE(3, 5));
  return g_broadcast(s->g, i, SHAPE(3, 2, 5), INTS(0, 2));
}
static Val case_broadcast_of_reshape(Vars *s) {
  return g_broadcast(s->g, g_reshape(s->g, s->c, SHAPE(1, 5)), SHAPE(3, 5), INTS(0, 1));
}
static Val case_broadcast_units(Vars *s) { return g_broadcast(s->g, s->x, SHAPE(3, 1, 5), INTS(0, 2)); }
static Val case_slice_same(Vars *s) { return g_slice(s->g, s->x, INTS(0, 0), INTS(3, 5), INTS(1, 1)); }
static Val case_slice_of_slice(Vars *s) {
  return g_slice(s->g, g_slice(s->g, s->x, INTS(1, 0), INTS(3, 5), INTS(1, 2)), INTS(0, 1), INTS(1, 3),
                 INTS(1, 1));
}
static Val case_slice_of_concat(Vars *s) {
  return g_slice(s->g, g_concat(s->g, (Val[]){s->x, s->y}, 2, 0), INTS(3, 1), INTS(6, 4), INTS(2, 1));
}
static Val case_pad_none(Vars *s) { return g_pad(s->g, s->x, INTS(0, 0), INTS(0, 0), NULL, 7); }
static Val case_concat_one(Vars *s) { return g_concat(s->g, &s->x, 1, 0); }
static Val case_reverse_none(Vars *s) { return rev(s, g_reshape(s->g, s->x, SHAPE(15, 1)), INTS(1)); }
static Val case_reverse_of_reverse(Vars *s) { return rev(s, rev(s, s->x, INTS(0, 1)), INTS(0, 1)); }
static Val case_reduce_units(Vars *s) {
  return g_reduce(s->g, OP_reduce_max, g_reshape(s->g, s->x, SHAPE(3, 1, 5)), INTS(1));
}
static Val case_reduce_of_reduce(Vars *s) {
  return sum(s, sum(s, g_reshape(s->g, s->x, SHAPE(3, 1, 5)), INTS(0)), INTS(1));
}
static Val case_reduce_of_broadcast(Vars *s) { return sum(s, wide(s), INTS(0)); }
static Val case_sum_of_product(Vars *s) {
  Val xy = mul(s, s->x, s->y), plain = sum(s, xy, INTS(0));
  s->g->role = ROLE_GRADIENT;
  Val scaled = sum(s, neg(s, mul(s, mul(s, wide(s), s->x), s->y)), INTS(0));
  return neg(s, g_binary(s->g, OP_add, plain, scaled));
}
static Val case_dot_of_transpose(Vars *s) {
  return g_dot(s->g, g_transpose(s->g, s->x, INTS(1, 0)), s->y, &none, &none, INTS(0), INTS(1));
}

#define CASE(NAME, WANT) {#NAME, case_##NAME, OP_##WANT}
static const struct {
  const char *rule;
  RuleCase *build;
  OpId want; /* operator of the simplified output */
} rule_cases[] = {
    CASE(constants, fill),
    CASE(add_zero, input),
    CASE(mul_one, input),
    CASE(mul_minus_one, neg),
    CASE(neg_neg, input),
    CASE(add_neg, add),
    CASE(mul_neg, mul),
    CASE(pow_const, mul),
    CASE(div_power_of_two, mul),
    CASE(select_const, input),
    CASE(select_same, input),
    CASE(logic_const, input),
    CASE(not_not, input),
    CASE(cast_same, input),
    CASE(cast_of_cast, input),
    CASE(map_of_broadcasts, broadcast),
    CASE(mul_chain, mul),
    CASE(root_of_m2, cast),
    CASE(view_of_fill, fill),
    CASE(reshape_same, input),
    CASE(reshape_of_reshape, reshape),
    CASE(transpose_of_transpose, transpose),
    CASE(transpose_units, reshape),
    CASE(transpose_of_dot, dot_general),
    CASE(broadcast_of_broadcast, broadcast),
    CASE(broadcast_of_iota, iota),
    CASE(broadcast_of_reshape, broadcast),
    CASE(broadcast_units, reshape),
    CASE(slice_same, input),
    CASE(slice_of_slice, slice),
    CASE(slice_of_concat, slice),
    CASE(pad_none, input),
    CASE(concat_one, input),
    CASE(reverse_none, reshape),
    CASE(reverse_of_reverse, input),
    CASE(reduce_units, input),
    CASE(reduce_of_reduce, reduce_sum),
    CASE(reduce_of_broadcast, mul),
    CASE(sum_of_product, neg),
    CASE(dot_of_transpose, dot_general),
};

static Graph *rule_graph(Arena *a, int i) {
  Vars s = {.g = graph_new(a, rule_cases[i].rule)};
  s.x = g_input(s.g, "x", IN_ARG, DT_F32, SHAPE(3, 5), NULL);
  s.y = g_input(s.g, "y", IN_ARG, DT_F32, SHAPE(3, 5), NULL);
  s.p = g_input(s.g, "p", IN_ARG, DT_BOOL, SHAPE(3, 5), NULL);
  s.q = g_input(s.g, "q", IN_ARG, DT_BOOL, SHAPE(3, 5), NULL);
  s.c = g_input(s.g, "c", IN_ARG, DT_F32, SHAPE(5), NULL);
  g_output(s.g, "out", rule_cases[i].build(&s), -1);
  return s.g;
}

static bool same_text(const Graph *g, const Graph *h) {
  StrBuf x = {0}, y = {0};
  graph_print(g, &x);
  graph_print(h, &y);
  bool same = !strcmp(x.s, y.s);
  sb_free(&x);
  sb_free(&y);
  return same;
}

START_TEST(test_rule) {
  int n, found = 0;
  const Rule *rules = simplify_rules(&n);
  for (int i = 0; i < COUNT(rule_cases); i++) {
    if (strcmp(rule_cases[i].rule, rules[_i].name)) continue;
    found++;
    Arena *a = arena_new();
    Graph *g = rule_graph(a, i), *with = simplify_graph(a, g, -1), *without = simplify_graph(a, g, _i);
    char err[256];
    ck_assert_msg(graph_verify(with, err, sizeof err), "%s: %s", rules[_i].name, err);
    ck_assert_msg(!same_text(with, without), "rule %s changes nothing in its own case", rules[_i].name);
    OpId op = g_node(with, with->outputs.v[0].val)->op;
    ck_assert_msg(op == rule_cases[i].want, "rule %s: result is %s", rules[_i].name, op_table[op].name);
    ck_assert_msg(same_text(with, simplify_graph(a, with, -1)), "rule %s: simplify is not done",
                  rules[_i].name);
    Tensor64 *in = NEWN(a, Tensor64, g->inputs.n);
    op_case_inputs(g, a, 21, in);
    check_same(a, g, with, in, rules[_i].name);
    check_same(a, g, without, in, rules[_i].name);
    arena_free(a);
  }
  ck_assert_msg(found > 0, "rule %s has no case", rules[_i].name);
}
END_TEST

/* What must not be rewritten: rules that would lose NaN or change rounding. */
START_TEST(test_rules_keep_ieee) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "ieee");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(2), NULL);
  g_output(g, "zero", g_binary(g, OP_mul, x, g_fill_like(g, x, 0)), -1);
  g_output(g, "diff", g_binary(g, OP_sub, x, x), -1);
  g_output(g, "third", g_binary(g, OP_div, x, g_fill_like(g, x, 3)), -1);
  g_output(g, "lossy", g_cast(g, g_cast(g, x, DT_I32), DT_F32), -1);
  Graph *s = RUN(a, g, "simplify");
  ck_assert_int_eq(count_op(s, OP_mul), 1);
  ck_assert_int_eq(count_op(s, OP_sub), 1);
  ck_assert_int_eq(count_op(s, OP_div), 1);
  ck_assert_int_eq(count_op(s, OP_cast), 2);
  arena_free(a);
}
END_TEST

/* A scale that keeps squares in range stays under their sum; constants whose product leaves the range stay
   two. */
START_TEST(test_scales_keep_range) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "range");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(2, 3), NULL),
      m = g_input(g, "m", IN_ARG, DT_F32, SHAPE(2), NULL);
  Val y = g_binary(g, OP_div, x, g_broadcast(g, m, SHAPE(2, 3), INTS(0)));
  Val z = g_binary(g, OP_mul, x, g_fill_like(g, x, 1e-12)), small = g_fill_like(g, x, 1e-25);
  g_output(g, "divided", g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, y, y), INTS(1)), -1);
  g_output(g, "scaled", g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, z, z), INTS(0, 1)), -1);
  g_output(g, "small", g_binary(g, OP_mul, g_binary(g, OP_mul, x, small), small), -1);
  const double largest = 1e25, m_values[2] = {largest, largest};
  double x_values[6];
  for (int i = 0; i < 6; i++) x_values[i] = largest;
  Tensor64 in[2] = {{DT_F32, g_node(g, x)->shape, x_values},
                    {DT_F32, g_node(g, m)->shape, (double *)m_values}},
           out[3];
  graph_interp(RUN(a, g, "simplify", "cse", "simplify"), in, out, a, true);
  ck_assert_double_eq_tol(out[0].v[0], 3, 1e-5);
  ck_assert_double_eq_tol(out[1].v[0], 6e26, 1e21);
  ck_assert_double_eq_tol(out[2].v[0], 1e-25, 1e-30);
  arena_free(a);
}
END_TEST

/* Steps and extents whose product is no attribute or no number of the element type. */
START_TEST(test_steps_keep_range) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "range");
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(9), NULL), i = g_input(g, "i", IN_ARG, DT_I32, &scalar, NULL);
  Val second = g_slice(g, x, INTS(1), INTS(9), INTS(2));
  g_output(g, "one", g_slice(g, second, INTS(1), INTS(4), INTS((int64_t)1 << 40)), -1);
  g_output(g, "sum", g_reduce(g, OP_reduce_sum, g_broadcast(g, i, SHAPE((int64_t)1 << 32), &none), INTS(0)),
           -1);
  Graph *s = RUN(a, g, "simplify");
  ck_assert_int_eq(count_op(s, OP_slice), 1);
  ck_assert_int_eq(count_op(s, OP_broadcast), 1);
  arena_free(a);
}
END_TEST

/* ---- cse and dce ---- */
START_TEST(test_cse) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "cse");
  Loc first = {NULL, 1, 0, NULL, NULL}, second = {NULL, 2, 0, NULL, NULL};
  Val x = g_input(g, "x", IN_ARG, DT_F32, SHAPE(2), NULL),
      y = g_input(g, "y", IN_ARG, DT_F32, SHAPE(2), NULL);
  Val seed = g_input(g, "seed", IN_RUNTIME, DT_I64, &scalar, NULL);
  Val step = g_input(g, "step", IN_RUNTIME, DT_I64, &scalar, NULL);
  g->loc = &first;
  Val e1 = g_unary(g, OP_exp, g_unary(g, OP_neg, x));
  g->loc = &second;
  Val e2 = g_unary(g, OP_exp, g_unary(g, OP_neg, x)), e3 = g_unary(g, OP_exp, g_unary(g, OP_neg, y));
  Val plus = g_fill_like(g, x, 0.0), minus = g_fill_like(g, x, -0.0);
  const int64_t stream[3] = {5, 5, 6};
  Val r[3];
  for (int i = 0; i < 3; i++)
    r[i] = g_add(g, OP_random_bits, (Val[]){seed, step}, 2, INTS(stream[i]), 0, DT_U32, SHAPE(4));
  const Extern call[] = {{"l.so", "f", NULL}, {"l.so", "f", "f_x"}, {"l.so", "f", "-"}, {"l.so", "f", "f_x"}};
  Val f[4];
  for (int i = 0; i < 4; i++) f[i] = g_extern(g, &call[i], &x, 1, DT_F32, SHAPE(2));
  const Val out[] = {e1, e2, e3, plus, minus, r[0], r[1], r[2], f[0], f[1], f[2], f[3]};
  for (int i = 0; i < COUNT(out); i++) g_output(g, arena_printf(a, "o%d", i), out[i], -1);
  Graph *c = RUN(a, g, "cse");
  Val m[COUNT(out)];
  for (int i = 0; i < COUNT(out); i++) m[i] = c->outputs.v[i].val;
  ck_assert_int_eq(m[0], m[1]);
  ck_assert_int_ne(m[0], m[2]); /* inputs x and y have one type but are two values */
  ck_assert_ptr_eq(g_node(c, m[1])->loc, &first);
  ck_assert_int_ne(m[3], m[4]);
  ck_assert_int_eq(m[5], m[6]);
  ck_assert_int_ne(m[5], m[7]);
  ck_assert_int_ne(m[8], m[9]); /* one function with another derivative */
  ck_assert_int_ne(m[9], m[10]);
  ck_assert_int_eq(m[9], m[11]);
  ck_assert_int_eq(c->node.n, g->node.n - 4);
  arena_free(a);
}
END_TEST

START_TEST(test_dce) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "dce");
  const Init zero = {.kind = INIT_FILL};
  g_input(g, "slot.unused", IN_SLOT, DT_F32, &scalar, &zero);
  g_input(g, "arg", IN_ARG, DT_F32, &scalar, NULL);
  Val param = g_input(g, "param", IN_PARAM, DT_F32, &scalar, &zero);
  g_input(g, "buffer", IN_BUFFER, DT_F32, &scalar, &zero);
  g_input(g, "step", IN_RUNTIME, DT_I64, &scalar, NULL);
  g_input(g, "slot.written", IN_SLOT, DT_F32, &scalar, &zero);
  g_unary(g, OP_exp, param);
  g_output(g, NULL, g_unary(g, OP_neg, param), g_find_input(g, "slot.written"));
  Graph *d = RUN(a, g, "dce");
  ck_assert_int_eq(d->inputs.n, 4);
  ck_assert_int_lt(g_find_input(d, "slot.unused"), 0);
  ck_assert_int_lt(g_find_input(d, "step"), 0);
  ck_assert_int_eq(d->outputs.v[0].state, g_find_input(d, "slot.written"));
  ck_assert_int_eq(count_op(d, OP_exp), 0);
  arena_free(a);
}
END_TEST

/* ---- running lists of passes ---- */
static void note_dump(void *ctx, int number, const char *pass, const Graph *g) {
  (void)g;
  sb_printf(ctx, "%d-%s ", number, pass);
}

static char *diag_text(const Diags *d) {
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  diags_print(d, f);
  fclose(f);
  return text;
}

static void expect_error(const char *const *names, int n, const char *want) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  ck_assert(passes_run(a, network_step(a), names, n, NULL, d) == NULL);
  char *text = diag_text(d);
  ck_assert_msg(strstr(text, want) != NULL, "got: %s", text);
  free(text);
  arena_free(a);
}

START_TEST(test_run) {
  Arena *a = arena_new();
  StrBuf seen = {0};
  PassTime times[4];
  PassOptions opt = {.verify_each = true, .dump = note_dump, .dump_ctx = &seen, .times = times};
  Diags *d = diags_new(a);
  const char *names[] = {"autodiff", "dce", "dce", "cse"};
  Graph *g = passes_run(a, network_step(a), names, 4, &opt, d);
  ck_assert(g != NULL);
  ck_assert_str_eq(seen.s, "1-autodiff 2-dce 4-cse "); /* the second dce changes nothing */
  ck_assert_str_eq(times[3].name, "cse");
  ck_assert_int_eq(times[3].after, g->node.n);
  ck_assert_int_eq(pass_properties(g), PROP_EXPANDED | PROP_UNIQUE | PROP_LIVE);
  sb_free(&seen);
  expect_error((const char *[]){"simplfy"}, 1, "unknown pass 'simplfy'; did you mean 'simplify'?");
  expect_error((const char *[]){"strip"}, 1, "pass 'strip' needs expanded gradients (run autodiff first)");
  ck_assert_ptr_null(pass_find("nothing"));
  arena_free(a);
}
END_TEST

int main(void) {
  int nrules;
  simplify_rules(&nrules);
  Suite *s = suite_create("passes");
  TCase *t = tcase_create("passes");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, test_network_gradient);
  tcase_add_test(t, test_normalization_shares_sums);
  tcase_add_test(t, test_product_types);
  tcase_add_test(t, test_scatter_types);
  tcase_add_test(t, test_many_batch_axes);
  tcase_add_test(t, test_autodiff_shares_one_sweep);
  tcase_add_test(t, test_gradient_by_intermediate);
  tcase_add_test(t, test_nested_gradient);
  tcase_add_loop_test(t, test_passes_preserve_values, 0, OP_COUNT);
  tcase_add_loop_test(t, test_narrow_operators, 0, OP_COUNT);
  tcase_add_test(t, test_narrow_rows);
  tcase_add_test(t, test_narrow_keeps_variables);
  tcase_add_loop_test(t, test_rule, 0, nrules);
  tcase_add_test(t, test_rules_keep_ieee);
  tcase_add_test(t, test_scales_keep_range);
  tcase_add_test(t, test_steps_keep_range);
  tcase_add_test(t, test_cse);
  tcase_add_test(t, test_dce);
  tcase_add_test(t, test_run);
  suite_add_tcase(s, t);
  return run_suite(s);
}
