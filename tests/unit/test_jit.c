/* Generated code against the oracle: every operator case with its gradients, and random graphs, on each
   target this machine can run; bits do not depend on the number of threads. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/graph_gen.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

static Graph *passes(Arena *a, const Graph *g) {
  Diags *d = diags_new(a);
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(a, g, &opt, d);
  ck_assert(h != NULL);
  return h;
}

static double worst(Arena *a, const Graph *h, const JitRun *how, uint64_t seed, const char **where) {
  Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1);
  op_case_inputs(h, a, seed, in);
  return jit_worst(a, h, how, in, where);
}

static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};

static bool runnable(const char *cpu) {
  Target t, host = target_host();
  return target_named(cpu, &t) && t.vector_bytes <= host.vector_bytes;
}

START_TEST(every_operator) {
  if (!runnable(cpus[_i])) return;
  for (int op = 0; op < OP_COUNT; op++)
    for (int c = 0; c < op_case_count((OpId)op); c++) {
      Arena *a = arena_new();
      Graph *g = op_case_build(a, (OpId)op, c);
      add_gradients(g);
      const char *where = "";
      double e = worst(a, passes(a, g), &(JitRun){cpus[_i], 1, CONV_AUTO, 0, false, false}, 7, &where);
      ck_assert_msg(e < 2e-4, "%s: %s case %d: %s differs by %g", cpus[_i], op_table[op].name, c, where, e);
      arena_free(a);
    }
}
END_TEST

START_TEST(random_graphs) {
  int n = getenv("JEPAC_RANDOM_GRAPHS") ? atoi(getenv("JEPAC_RANDOM_GRAPHS")) : 300;
  int first = getenv("JEPAC_RANDOM_FIRST") ? atoi(getenv("JEPAC_RANDOM_FIRST")) : 0, failed = 0;
  for (int i = 0; i < n + n / 4; i++) {
    int seed = first + (i < n ? i : GRAPH_GEN_WIDE + i);
    Arena *a = arena_new();
    const char *cpu = cpus[seed % 3], *where = "";
    if (!runnable(cpu)) cpu = "x86-64";
    Graph *h = passes(a, graph_gen(a, (uint64_t)seed, 8 + seed % 40));
    double e = worst(a, h, &(JitRun){cpu, 1, seed % 2 ? CONV_DIRECT : CONV_AUTO, 0, false, false},
                     (uint64_t)seed, &where);
    if (!(e < 2e-3)) {
      fprintf(stderr, "random graph %d on %s: %s differs by %g\n", seed, cpu, where, e);
      failed++;
    }
    arena_free(a);
  }
  ck_assert_int_eq(failed, 0);
}
END_TEST

/* LLVM 19 once turned the lanes past the end of a row of quotients into NaN on SSE targets. */
START_TEST(masked_quotient) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "quotient");
  Shape s = {2, {7, 13}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), y = g_input(g, "y", IN_ARG, DT_F32, &s, NULL);
  Ints axis = ints1(1);
  g_output(g, "sum", g_reduce(g, OP_reduce_sum, g_binary(g, OP_div, x, y), &axis), -1);
  for (int i = 0; i < 3; i++) {
    const char *where = "";
    if (runnable(cpus[i]))
      ck_assert(worst(a, g, &(JitRun){cpus[i], 1, CONV_AUTO, 0, false, false}, 3, &where) < 1e-5);
  }
  arena_free(a);
}
END_TEST

START_TEST(threads_same_bits) {
  for (int seed = 0; seed < 40; seed++) {
    Arena *a = arena_new();
    Graph *h = passes(a, graph_gen(a, (uint64_t)seed, 30));
    Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *one = NEWN(a, Tensor64, h->outputs.n + 1);
    Tensor64 *two = NEWN(a, Tensor64, h->outputs.n + 1);
    op_case_inputs(h, a, 5, in);
    const char *cpu = runnable("x86-64-v4") ? "x86-64-v4" : "x86-64";
    jit_run(a, h, &(JitRun){cpu, 1, CONV_AUTO, 0, false, false}, in, one);
    jit_run(a, h, &(JitRun){cpu, 2, CONV_AUTO, 0, false, false}, in, two);
    for (int i = 0; i < h->outputs.n; i++)
      ck_assert_msg(!memcmp(one[i].v, two[i].v, sizeof(double) * (size_t)shape_count(&one[i].shape)),
                    "graph %d output %s", seed, h->outputs.v[i].name);
    arena_free(a);
  }
}
END_TEST

/* New states that are old values of other states: rotated, or beside an update in place. */
START_TEST(states_of_states) {
  for (int computed = 0; computed < 2; computed++) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "states");
    Shape s = {2, {3, 5}}, flat = {1, {15}};
    Init zero = {.kind = INIT_FILL};
    Val x = g_input(g, "x", IN_BUFFER, DT_F32, &s, &zero), y = g_input(g, "y", IN_BUFFER, DT_F32, &s, &zero);
    g_input(g, "z", IN_BUFFER, DT_F32, &flat, &zero);
    g_output(g, "x", computed ? g_binary(g, OP_add, x, y) : y, 0);
    g_output(g, "y", x, 1);
    g_output(g, "z", g_reshape(g, x, &flat), 2);
    g_output(g, "old", x, -1);
    const char *where = "";
    double e = worst(a, passes(a, g), &(JitRun){"x86-64", 2, CONV_AUTO, 0, false, false}, 3, &where);
    ck_assert_msg(e < 1e-6, "%s differs by %g", where, e);
    arena_free(a);
  }
}
END_TEST

/* A state updated in place by so much arithmetic that rounding chunks up to whole vectors leaves the last
   ones without an element: each element is updated once. */
START_TEST(chunks_past_the_end) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "past");
  Shape s = {1, {4150}};
  Val x = g_input(g, "x", IN_BUFFER, DT_F32, &s, &(Init){.kind = INIT_FILL}), y = x;
  for (int i = 0; i < 400; i++) y = g_unary(g, i % 2 ? OP_abs : OP_neg, y);
  g_output(g, "x", g_binary(g, OP_add, y, g_fill_like(g, y, 1)), 0);
  const char *where = "";
  for (int i = 0; i < 3; i++) {
    if (!runnable(cpus[i])) continue;
    double e = worst(a, g, &(JitRun){cpus[i], 2, CONV_AUTO, 0, false, false}, 3, &where);
    ck_assert_msg(e < 1e-6, "%s: %s differs by %g", cpus[i], where, e);
  }
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("jit");
  TCase *t = tcase_create("jit");
  tcase_set_timeout(t, 900);
  tcase_add_loop_test(t, every_operator, 0, 3);
  tcase_add_test(t, masked_quotient);
  tcase_add_test(t, states_of_states);
  tcase_add_test(t, chunks_past_the_end);
  tcase_add_test(t, threads_same_bits);
  TCase *random = tcase_create("random");
  tcase_set_timeout(random, 0);
  tcase_add_test(random, random_graphs);
  suite_add_tcase(s, random);
  suite_add_tcase(s, t);
  return run_suite(s);
}
