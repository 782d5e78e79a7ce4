/* Chains (passes/lower/chain.c) and the order of steps (passes/lower/interleave.c): what kernel_chunk_bytes says of a chunk's
   addresses against counting them, and chained programs against the same kernels one by one, to the bit. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/graph_gen.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/op_cases.h"

/* ---- addresses ---- */
enum { MOST_POINTS = 200000 };

static int64_t value(const Affine *e, const int64_t *i, int n) {
  int64_t x = e->c;
  for (int d = 0; d < n; d++) x += e->k[d] * i[d];
  return x;
}

/* The chunk that does the point i of kernel l, as its documentation says. */
static int64_t chunk_of(const LoopKernel *l, const LoopCut *cut, const int64_t *i) {
  int64_t q = 0, total = cut->count * cut->tiles;
  for (int d = 0; d < cut->prefix; d++) q = q * l->size[d] + i[d];
  if (cut->tiles > 1) q = q * cut->tiles + i[l->vec] / cut->tile;
  return q / ((total + l->nchunk - 1) / l->nchunk);
}

static int checked, local;

static void check_operand(const Program *p, const Kernel *k, int operand) {
  const LoopKernel *l = &k->loop;
  int64_t bytes = kernel_chunk_bytes(p, k, operand), i[KDIM] = {0}, points = 1;
  for (int d = 0; d < l->ndim; d++) points *= l->size[d];
  if (points > MOST_POINTS || l->nchunk < 2) return;
  checked++;
  if (!bytes) return;
  local++;
  LoopCut cut = loop_cut(l, target_lanes(&p->target));
  for (int64_t n = 0; n < points; n++) {
    int64_t c = chunk_of(l, &cut, i);
    for (int j = 0; j < l->ninst + l->nstore; j++) {
      const KInst *in = j < l->ninst ? &l->inst[j] : &l->inst[l->store[j - l->ninst].inst];
      const Access *a = j < l->ninst ? in->access : &l->store[j - l->ninst].access;
      if ((j < l->ninst && in->kind != KI_LOAD) || a->buf != operand) continue;
      int64_t at = value(&a->off, i, l->ndim) * dtype_size(in->dt);
      ck_assert_msg(at >= c * bytes && at < (c + 1) * bytes,
                    "chunk %lld of %lld reaches byte %lld, not its %lld", (long long)c, (long long)l->nchunk,
                    (long long)at, (long long)bytes);
    }
    for (int d = l->ndim - 1; d >= 0 && ++i[d] == l->size[d]; d--) i[d] = 0;
  }
}

START_TEST(chunk_addresses) {
  for (int seed = 0; seed < 60; seed++) {
    Arena *a = arena_new();
    Diags *d = diags_new(a);
    Target t;
    target_named(seed % 2 ? "x86-64-v3" : "x86-64-v4", &t);
    PipelineOptions opt = {.no_chains = true};
    Status st;
    Graph *g = pipeline_graph(a, graph_gen(a, (uint64_t)seed, 30), &opt, d);
    Program *p = pipeline_lower(a, g, &t, &opt, d, &st);
    for (int k = 0; k < p->kernel.n; k++)
      for (int64_t n = 2; n <= 24 && p->kernel.v[k].kind == KK_LOOP; n++) {
        Kernel cut = p->kernel.v[k];
        cut.loop.nchunk = n;
        for (int i = 0; i < cut.nbuf; i++) check_operand(p, &cut, i);
      }
    arena_free(a);
  }
  ck_assert_int_gt(local, 200); /* of about */
  ck_assert_int_gt(checked, 2 * local);
}
END_TEST

/* ---- bits ---- */
static Graph *passes(Arena *a, const Graph *g) {
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(a, g, &opt, diags_new(a));
  ck_assert(h != NULL);
  return h;
}

static int compare(Arena *a, const Graph *h, const char *cpu, uint64_t seed, const char *what) {
  Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *alone = NEWN(a, Tensor64, h->outputs.n + 1);
  Tensor64 *out = NEWN(a, Tensor64, h->outputs.n + 1);
  op_case_inputs(h, a, seed, in);
  ck_assert_int_eq(jit_run(a, h, &(JitRun){cpu, 1, CONV_AUTO, -1, false, false}, in, alone), 0);
  int chains = 0;
  for (int threads = 1; threads <= 3; threads++) {
    chains = jit_run(a, h, &(JitRun){cpu, threads, CONV_AUTO, 1, false, false}, in, out);
    for (int i = 0; i < h->outputs.n; i++)
      ck_assert_msg(!memcmp(alone[i].v, out[i].v, sizeof(double) * (size_t)shape_count(&out[i].shape)),
                    "%s, %d threads: output %s", what, threads, h->outputs.v[i].name);
  }
  return chains;
}

static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
static bool runnable(const char *cpu) {
  Target t, host = target_host();
  return target_named(cpu, &t) && t.vector_bytes <= host.vector_bytes;
}

static Val per_channel(Graph *g, Val c, Val like) {
  Ints axis = ints1(1);
  return g_broadcast(g, c, &g_node(g, like)->shape, &axis);
}

/* Batch norm over [N, C, H, W] without scale, and ReLU. */
static Val norm_relu(Graph *g, Val x) {
  const Shape s = g_node(g, x)->shape;
  Ints axes = {3, {0, 2, 3}};
  double n = (double)(s.dim[0] * s.dim[2] * s.dim[3]);
  Val sum = g_reduce(g, OP_reduce_sum, x, &axes), m2 = g_reduce(g, OP_reduce_m2, x, &axes);
  Val mean = g_binary(g, OP_mul, sum, g_fill_like(g, sum, 1 / n));
  Val var = g_binary(g, OP_add, g_binary(g, OP_mul, m2, g_fill_like(g, m2, 1 / n)), g_fill_like(g, m2, 1e-5));
  Val y = g_binary(g, OP_mul, g_binary(g, OP_sub, x, per_channel(g, mean, x)),
                   per_channel(g, g_unary(g, OP_rsqrt, var), x));
  return g_unary(g, OP_relu, y);
}

static Val conv(Graph *g, const char *name, Val x, int64_t out, int64_t stride) {
  Shape w = {4, {out, g_node(g, x)->shape.dim[1], 3, 3}};
  Ints attr[4] = {ints2(stride, stride), ints2(1, 1)};
  Val in[] = {x, g_input(g, name, IN_PARAM, DT_F32, &w, NULL)};
  return g_add(g, OP_conv2d, in, 2, attr, 0, DT_NONE, NULL);
}

START_TEST(convolutions_and_norms) {
  if (!runnable(cpus[_i])) return;
  Arena *a = arena_new();
  Graph *g = graph_new(a, "block");
  Shape s = {4, {24, 16, 12, 12}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL);
  Val y = norm_relu(g, conv(g, "w0", x, 32, 1));
  Val z = norm_relu(g, conv(g, "w1", y, 32, 1));
  z = norm_relu(g, conv(g, "w2", g_binary(g, OP_add, y, z), 16, 2));
  Ints all = ints_range(4);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, z, z), &all);
  g_output(g, "loss", loss, -1);
  for (int i = 0; i < 4; i++) {
    char name[8];
    snprintf(name, sizeof name, "d%d", i);
    g_output(g, name, g_binary(g, OP_grad, loss, g->inputs.v[i].val), -1);
  }
  ck_assert_int_ge(compare(a, passes(a, g), cpus[_i], 11, cpus[_i]), 4);
  arena_free(a);
}
END_TEST

START_TEST(random_graphs) {
  int chains = 0;
  for (int seed = 0; seed < 40; seed++) {
    Arena *a = arena_new();
    char what[32];
    snprintf(what, sizeof what, "graph %d", seed);
    chains += compare(a, passes(a, graph_gen(a, (uint64_t)seed, 30)), runnable(cpus[0]) ? cpus[0] : cpus[2],
                      5, what);
    arena_free(a);
  }
  ck_assert_int_gt(chains, 10);
}
END_TEST

/* ---- order (passes/lower/interleave.c) ---- */
static bool feeds(const Program *p, const Kernel *a, const Kernel *b) {
  for (int i = a->nbuf - a->nout; i < a->nbuf; i++)
    for (int j = 0; j < b->nbuf - b->nout; j++)
      if (program_root(p, a->buf[i]) == program_root(p, b->buf[j])) return true;
  return false;
}

/* Neighbours of which the later reads what the earlier writes, in two towers of products side by side. */
static int neighbours_that_wait(Arena *a, int64_t size, bool interleaved) {
  Graph *g = graph_new(a, "towers");
  Ints none = {0}, last = ints1(1), first = ints1(0);
  Shape s = {2, {size, size}};
  Val loss = -1;
  for (int tower = 0; tower < 2; tower++) {
    Val x = g_input(g, tower ? "y" : "x", IN_ARG, DT_F32, &s, NULL);
    for (int i = 0; i < 4; i++) x = g_unary(g, OP_tanh, g_dot(g, x, x, &none, &none, &last, &first));
    Ints all = ints_range(2);
    Val sum = g_reduce(g, OP_reduce_sum, x, &all);
    loss = tower ? g_binary(g, OP_add, loss, sum) : sum;
  }
  g_output(g, "loss", loss, -1);
  PipelineOptions opt = {.verify_each = true, .no_chains = !interleaved};
  Target t;
  Status st;
  ck_assert(target_named("x86-64-v3", &t));
  Program *p = pipeline_lower(a, passes(a, g), &t, &opt, diags_new(a), &st);
  int n = 0;
  for (int k = 1; k < p->ncompute; k++) n += feeds(p, &p->kernel.v[k - 1], &p->kernel.v[k]);
  return n;
}

START_TEST(independent_steps_alternate) {
  Arena *a = arena_new();
  int before = neighbours_that_wait(a, 256, false), after = neighbours_that_wait(a, 256, true);
  ck_assert_int_ge(before, 14);
  ck_assert_int_le(after, 4);
  /* results of 16 MiB are not made earlier than needed */
  ck_assert_int_eq(neighbours_that_wait(a, 2048, true), neighbours_that_wait(a, 2048, false));
  arena_free(a);
}
END_TEST

/* A kernel with more operands than a chain's may have stays by itself. */
START_TEST(many_operands) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "many");
  Shape s = {4, {64, 16, 8, 8}}, ws = {4, {16, 16, 1, 1}};
  Val y = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), w = g_input(g, "w", IN_ARG, DT_F32, &ws, NULL);
  Ints at[4] = {ints2(1, 1), ints2(0, 0)};
  y = g_add(g, OP_conv2d, (Val[]){y, w}, 2, at, 0, DT_NONE, NULL);
  for (int i = 0; i < 80; i++)
    y = g_binary(g, OP_add, y, g_input(g, arena_printf(a, "a%d", i), IN_ARG, DT_F32, &s, NULL));
  y = g_add(g, OP_conv2d, (Val[]){g_unary(g, OP_tanh, y), w}, 2, at, 0, DT_NONE, NULL);
  g_output(g, "y", g_unary(g, OP_relu, y), -1);
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n), out;
  op_case_inputs(g, a, 3, in);
  ck_assert_int_gt(jit_run(a, g, &(JitRun){"x86-64", 2, CONV_DIRECT, 64, false, false}, in, &out), 0);
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("chain");
  TCase *t = tcase_create("chain");
  tcase_set_timeout(t, 300);
  tcase_add_test(t, many_operands);
  tcase_add_test(t, chunk_addresses);
  tcase_add_loop_test(t, convolutions_and_norms, 0, 3);
  tcase_add_test(t, random_graphs);
  tcase_add_test(t, independent_steps_alternate);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
