/* Loops (ir/graph/loops.h): random bodies, against the same steps written out: values and gradients in the interpreter,
   then compiled, with different numbers of threads. Programs of loops read back as they are printed. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph/loops.h"
#include "passes/lower/remat.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/op_cases.h"

enum { ROWS = 3, COLS = 5, MOST = 64, CARRIES = 3, OUTS = 3, SEEDS = 60, MOST_STEPS = 9 };

static Arena *arena;

typedef struct {
  uint64_t state;
} Dice;

static int roll(Dice *d, int n) {
  d->state = d->state * 6364136223846793005u + 1442695040888963407u;
  return (int)((d->state >> 33) % (uint64_t)n);
}

/* What one step makes: next values of the carries, and what is collected. */
typedef struct {
  Val next[CARRIES], out[OUTS];
} Stepped;

typedef struct {
  Val w, bias, fixed; /* from outside */
  int carries, outs;
} Outside;

static Val spread(Graph *g, Val rows, int axis) {
  Shape s = {2, {ROWS, COLS}};
  Ints dims = ints1(axis);
  return g_broadcast(g, rows, &s, &dims);
}

static Val product(Graph *g, Val a, Val w) {
  Ints none = {0}, one = ints1(1), zero = ints1(0);
  return g_dot(g, a, w, &none, &none, &one, &zero);
}

static Stepped body(Graph *g, Dice d, const Outside *o, const Val *carry, Val x, int ops) {
  Val pool[MOST];
  int n = 0;
  for (int i = 0; i < o->carries; i++) pool[n++] = carry[i];
  pool[n++] = x;
  pool[n++] = spread(g, o->bias, 1);
  pool[n++] = o->fixed;
  for (int i = 0; i < ops; i++) {
    Val a = pool[n - 1 - roll(&d, n < 6 ? n : 6)], b = pool[roll(&d, n)], y;
    Ints axis = ints1(1), perm = ints2(1, 0);
    Shape flat = {2, {COLS, ROWS}}, back = {2, {ROWS, COLS}};
    switch (roll(&d, 9)) {
    case 0: y = g_unary(g, OP_tanh, a); break;
    case 1: y = g_unary(g, OP_sigmoid, a); break;
    case 2: y = g_binary(g, OP_mul, g_unary(g, OP_tanh, a), b); break;
    case 3: y = g_binary(g, OP_sub, a, b); break;
    case 4: y = g_unary(g, OP_tanh, product(g, a, o->w)); break;
    case 5: y = spread(g, g_unary(g, OP_tanh, g_reduce(g, OP_reduce_sum, a, &axis)), 0); break;
    case 6: y = g_transpose(g, g_reshape(g, a, &flat), &perm); break;
    case 7: y = g_reshape(g, g_reshape(g, a, &flat), &back); break;
    default: y = g_binary(g, OP_add, a, b); break;
    }
    pool[n++] = y;
  }
  Stepped s;
  for (int i = 0; i < o->carries; i++) {
    int at = roll(&d, 4) ? n - 1 - roll(&d, 4) : roll(&d, n);
    s.next[i] = pool[at];
  }
  for (int i = 0; i < o->outs; i++) s.out[i] = pool[roll(&d, 3) ? n - 1 - i : roll(&d, n)];
  return s;
}

/* Part t of x along its first axis. */
static Val part(Graph *g, Val x, int64_t t) {
  Ints start = {3, {t, 0, 0}}, stop = {3, {t + 1, ROWS, COLS}};
  Shape s = {2, {ROWS, COLS}};
  return g_reshape(g, g_slice(g, x, &start, &stop, NULL), &s);
}

static Graph *random_graph(uint64_t seed, bool loop, int most_steps) {
  Dice d = {seed * 77 + 5};
  Graph *g = graph_new(arena, "scan");
  int64_t steps = 1 + roll(&d, most_steps);
  Outside o = {.carries = 1 + roll(&d, CARRIES), .outs = 1 + roll(&d, OUTS)};
  Shape xs = {3, {steps, ROWS, COLS}}, hs = {2, {ROWS, COLS}}, ws = {2, {COLS, COLS}}, bs = {1, {COLS}};
  Val in[5] = {g_input(g, "x", IN_ARG, DT_F32, &xs, NULL), g_input(g, "h", IN_ARG, DT_F32, &hs, NULL),
               g_input(g, "w", IN_ARG, DT_F32, &ws, NULL), g_input(g, "b", IN_ARG, DT_F32, &bs, NULL),
               g_input(g, "k", IN_ARG, DT_F32, &hs, NULL)};
  o.w = in[2], o.bias = in[3], o.fixed = g_unary(g, OP_sigmoid, in[4]);
  Val carry[CARRIES], out[OUTS], all = -1;
  bool reverse[OUTS], backward = roll(&d, 2);
  for (int i = 0; i < OUTS; i++) reverse[i] = roll(&d, 2);
  for (int i = 0; i < o.carries; i++)
    carry[i] = roll(&d, 2) ? in[1] : g_unary(g, OP_tanh, in[1 + 3 * roll(&d, 2)]);
  int ops = 2 + roll(&d, 14);
  Ints path = ints1(1);
  if (loop) {
    Val inside[CARRIES], x = g_scan_in(g, in[0], &path, backward);
    for (int i = 0; i < o.carries; i++) inside[i] = g_scan_carry(g, carry[i], &path, i, steps);
    Stepped s = body(g, d, &o, inside, x, ops);
    for (int i = 0; i < o.carries; i++) carry[i] = g_scan_next(g, inside[i], s.next[i]);
    for (int i = 0; i < o.outs; i++) out[i] = g_scan_out(g, s.out[i], &path, steps, reverse[i]);
  } else {
    Val made[OUTS][MOST_STEPS];
    for (int64_t t = 0; t < steps; t++) {
      Stepped s = body(g, d, &o, carry, part(g, in[0], backward ? steps - 1 - t : t), ops);
      memcpy(carry, s.next, sizeof carry);
      Shape one = {3, {1, ROWS, COLS}};
      for (int i = 0; i < o.outs; i++) made[i][reverse[i] ? steps - 1 - t : t] = g_reshape(g, s.out[i], &one);
    }
    for (int i = 0; i < o.outs; i++) out[i] = steps > 1 ? g_concat(g, made[i], (int)steps, 0) : made[i][0];
  }
  Ints axes2 = ints_range(2), axes3 = ints_range(3);
  for (int i = 0; i < o.carries; i++) {
    Val s = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, carry[i], i % 2 ? in[4] : carry[i]), &axes2);
    all = all < 0 ? s : g_binary(g, OP_add, all, s);
  }
  for (int i = 0; i < o.outs; i++)
    if (i || roll(&d, 2))
      all = g_binary(g, OP_add, all, g_reduce(g, OP_reduce_sum, g_unary(g, OP_tanh, out[i]), &axes3));
  g_output(g, "loss", all, -1);
  for (int i = 0; i < o.outs; i++) {
    char name[8] = {'o', (char)('0' + i), 0};
    g_output(g, name, out[i], -1);
  }
  for (int i = 0; i < 5; i++) {
    char name[8] = {'g', (char)('0' + i), 0};
    g_output(g, name, g_add(g, OP_grad, (Val[]){all, in[i]}, 2, NULL, 0, DT_NONE, NULL), -1);
  }
  return g;
}

static Tensor64 *inputs(const Graph *g, uint64_t seed) {
  Tensor64 *t = NEWN(arena, Tensor64, g->inputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    t[i] = (Tensor64){n->dt, n->shape, NEWN(arena, double, count)};
    for (int64_t j = 0; j < count; j++)
      t[i].v[j] = (float)(0.5 * op_case_normal(seed, (uint32_t)i, (uint64_t)j));
  }
  return t;
}

static Graph *passes(const Graph *g) {
  Diags *d = diags_new(arena);
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(arena, g, &opt, d);
  if (!h) diags_print(d, stderr);
  ck_assert_msg(h != NULL, "%s", g->name);
  return h;
}

static void agree(const Tensor64 *want, const Tensor64 *got, int n, double most, const char *what, int seed) {
  for (int i = 0; i < n; i++) {
    double e = relative_error(&want[i], &got[i]);
    ck_assert_msg(e <= most, "seed %d, output %d, %s: error %g", seed, i, what, e);
  }
}

START_TEST(steps_written_out) {
  for (int seed = 0; seed < SEEDS; seed++) {
    arena = arena_new();
    Graph *loop = random_graph((uint64_t)seed, true, MOST_STEPS),
          *plain = passes(random_graph((uint64_t)seed, false, MOST_STEPS));
    char err[256];
    ck_assert_msg(graph_verify(loop, err, sizeof err), "%s", err);
    Graph *g = passes(loop);
    int n = g->outputs.n;
    Tensor64 *in = inputs(g, (uint64_t)seed), *a = NEWN(arena, Tensor64, n), *b = NEWN(arena, Tensor64, n);
    graph_interp(plain, in, a, arena, false);
    graph_interp(g, in, b, arena, false);
    agree(a, b, n, 1e-9, "interpreted", seed);
    if (seed % 3 == 0) {
      JitRun how = {.cpu = "x86-64-v3", .threads = 1 + seed % 2, .chain_bytes = seed % 2 ? 1 : 0};
      jit_run(arena, g, &how, in, b);
      agree(a, b, n, 1e-4, "compiled", seed);
    }
    arena_free(arena);
  }
}
END_TEST

/* Loops that keep only some of their steps compute the same. */
START_TEST(segments) {
  int changed = 0;
  for (int seed = 0; seed < SEEDS; seed++) {
    arena = arena_new();
    Graph *g = passes(random_graph((uint64_t)seed, true, 40)), *h = remat_loops(arena, g);
    int n = g->outputs.n;
    char err[256];
    ck_assert_msg(graph_verify(h, err, sizeof err), "seed %d: %s", seed, err);
    if (h != g) {
      changed++;
      Tensor64 *in = inputs(g, (uint64_t)seed), *a = NEWN(arena, Tensor64, n), *b = NEWN(arena, Tensor64, n);
      graph_interp(g, in, a, arena, false);
      graph_interp(h, in, b, arena, false);
      agree(a, b, n, 1e-9, "in segments", seed);
      JitRun how = {.cpu = "x86-64-v3", .threads = 2};
      if (changed % 4 == 1) {
        jit_run(arena, h, &how, in, b);
        agree(a, b, n, 1e-3, "in segments, compiled", seed); /* 40 steps of f32 */
      }
    }
    arena_free(arena);
  }
  ck_assert_int_gt(changed, 10);
}
END_TEST

START_TEST(programs_read_back) {
  for (int seed = 0; seed < SEEDS; seed += 4) {
    arena = arena_new();
    Graph *g = passes(random_graph((uint64_t)seed, true, MOST_STEPS));
    Target t;
    target_named("x86-64-v3", &t);
    Diags *d = diags_new(arena);
    Status s;
    PipelineOptions opt = {.verify_each = true};
    Program *p = pipeline_lower(arena, g, &t, &opt, d, &s);
    StrBuf first = {0}, second = {0};
    program_print(p, &first);
    Source src = {"loop.ir", first.s, first.n};
    Program *q = program_read(arena, &src, d);
    if (!q) diags_print(d, stderr);
    ck_assert(q != NULL);
    program_print(q, &second);
    ck_assert_str_eq(first.s, second.s);
    Tensor64 *in = inputs(g, (uint64_t)seed), *a = NEWN(arena, Tensor64, g->outputs.n),
             *b = NEWN(arena, Tensor64, g->outputs.n);
    graph_interp(g, in, a, arena, false);
    program_interp(q, in, b, arena);
    agree(a, b, g->outputs.n, 1e-9, "kernels interpreted", seed);
    sb_free(&first), sb_free(&second);
    arena_free(arena);
  }
}
END_TEST

/* Graphs that are no loops, and what is said about them. */
static const struct {
  const char *body, *message;
} wrong[] = {
    {"%2: f32[3] = scan_carry %1 {loop=[1], index=[0], steps=[4]}\n  return \"y\" %1",
     "a scan_carry has no end"},
    {"%2: f32[3] = scan_in %0 {loop=[1]}\n  return \"y\" %2", "is a value of a loop's step, so no result"},
    {"%2: f32[3] = scan_in %0 {loop=[1]}\n  %3: f32[5,3] = scan_out %2 {loop=[1], steps=[5]}\n  return \"y\" "
     "%3",
     "a loop of 4 steps has a scan_out of 5"},
    {"%2: f32[3] = scan_in %0 {loop=[1]}\n  %3: f32[3] = scan_in %0 {loop=[2]}\n  %4: f32[3] = add %2, %3\n"
     "  %5: f32[4,3] = scan_out %4 {loop=[1], steps=[4]}\n  return \"y\" %5",
     "operand 2 belongs to a loop that the others are outside of"},
    {"%2: f32[3] = scan_in %0 {loop=[1]}\n  %3: f32[4,3] = scan_out %2 {loop=[1], steps=[4]}\n"
     "  %4: f32[3] = neg %2\n  %5: f32[4,3] = scan_out %4 {loop=[1], steps=[4]}\n  return \"y\" %5",
     "a value of a loop stands behind those that leave it"},
    {"%2: f32[3] = scan_carry %1 {loop=[1], index=[0], steps=[4]}\n  %3: f32[3] = scan_next %2, %2\n"
     "  %4: f32[3] = scan_next %2, %2\n  return \"y\" %3",
     "a scan_carry has two ends"},
    {"%2: f32[3] = scan_next %1, %1\n  return \"y\" %2", "scan_next ends a scan_carry, not a input"},
};

START_TEST(what_is_no_loop) {
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    arena = arena_new();
    char *text = arena_printf(
        arena, "graph g {\n  %%0: f32[4,3] = arg \"x\"\n  %%1: f32[3] = arg \"h\"\n  %s\n}\n", wrong[i].body);
    Source src = {"g.ir", text, strlen(text)};
    Diags *d = diags_new(arena);
    Graph *g;
    ck_assert_int_eq(graph_read(arena, &src, d, &g, 1), -1);
    char *said = NULL;
    size_t len;
    FILE *f = open_memstream(&said, &len);
    diags_print(d, f);
    fclose(f);
    ck_assert_msg(strstr(said, wrong[i].message) != NULL, "case %zu: %s", i, said);
    free(said);
    arena_free(arena);
  }
}
END_TEST

/* The graph of this text, run in n ways, against the interpreter. */
static void text_agrees(const char *text, const JitRun *how, int n, double tolerance, const char *what) {
  arena = arena_new();
  Source src = {"g.ir", text, strlen(text)};
  Graph *g;
  ck_assert_int_eq(graph_read(arena, &src, diags_new(arena), &g, 1), 1);
  g = passes(g);
  Tensor64 *in = inputs(g, 1), *a = NEWN(arena, Tensor64, g->outputs.n),
           *b = NEWN(arena, Tensor64, g->outputs.n);
  graph_interp(g, in, a, arena, false);
  for (int i = 0; i < n; i++) {
    jit_run(arena, g, &how[i], in, b);
    agree(a, b, g->outputs.n, tolerance, what, 0);
  }
  arena_free(arena);
}

/* A state's new value needs a gradient that leaves the loop by one carry, and another state's the value that enters it by
   another: neither can be overwritten in place before the other is read. */
START_TEST(states_around_a_loop) {
  static const char text[] =
      "graph g {\n  %0: f32[6] = arg \"x\"\n  %1: f32[6] = buffer \"s0\" {init=fill(0.5)}\n"
      "  %2: f32[6] = buffer \"s1\" {init=fill(0.5)}\n  %3: f32[6] = buffer \"s2\" {init=fill(0.5)}\n"
      "  %4: f32[6] = atan2 %2, %2\n  %5: f32[6] = atan2 %3, %0\n"
      "  %6: f32[6] = scan_carry %5 {loop=[1], index=[0], steps=[1]}\n"
      "  %7: f32[6] = scan_carry %1 {loop=[1], index=[1], steps=[1]}\n"
      "  %8: f32[6] = scan_next %6, %7\n  %9: f32[6] = scan_next %7, %0\n  %10: f32[6] = fill {value=4096}\n"
      "  %11: f32[6] = add %10, %8\n  %12: f32[6] = tanh %11\n  %13: f32[] = reduce_sum %12 {axes=[0]}\n"
      "  %14: f32[6] = grad %13, %0\n  update \"s1\" %11\n  update \"s2\" %4\n  return \"g0\" %14\n}\n";
  static const JitRun how[] = {{.cpu = "x86-64-v3", .threads = 1}, {.cpu = "x86-64-v3", .threads = 2}};
  text_agrees(text, how, 2, 1e-5, "compiled");
}
END_TEST

/* Values rounded to bf16 that leave a loop side by side. */
START_TEST(rounded_values_leave_a_loop) {
  static const char text[] =
      "graph g {\n  %0: f32[4,64,64] = arg \"x\"\n  %1: f32[64,64] = arg \"h\"\n  %2: f32[64,64] = arg "
      "\"w\"\n"
      "  %3: f32[64,64] = scan_in %0 {loop=[1]}\n  %4: f32[64,64] = scan_carry %1 {loop=[1], index=[0], "
      "steps=[4]}\n"
      "  %5: f32[64,64] = dot_general %4, %2 {lhs_batch=[], rhs_batch=[], lhs_contract=[1], "
      "rhs_contract=[0]}\n"
      "  %6: f32[64,64] = dot_general %3, %2 {lhs_batch=[], rhs_batch=[], lhs_contract=[1], "
      "rhs_contract=[0]}\n"
      "  %7: f32[64,64] = dot_general %5, %6 {lhs_batch=[], rhs_batch=[], lhs_contract=[1], "
      "rhs_contract=[0]}\n"
      "  %8: f32[64,64] = scan_next %4, %5\n  %9: f32[4,64,64] = scan_out %6 {loop=[1], steps=[4]}\n"
      "  %10: f32[4,64,64] = scan_out %7 {loop=[1], steps=[4]}\n  return \"a\" %8\n  return \"b\" %9\n"
      "  return \"c\" %10\n}\n";
  text_agrees(text, &(JitRun){.cpu = "x86-64-v3", .threads = 2, .precision = DT_BF16}, 1, 2e-2, "in bf16");
}
END_TEST

/* The gradient keeps the values of all steps: one axis more than any value may have is an error, not a fault. */
START_TEST(too_many_axes) {
  static const char text[] =
      "graph g {\n  %0: f32[2,3] = arg \"x\"\n  %1: f32[1,1,1,1,1,1,1,3] = arg \"h\"\n  %2: f32[3] = scan_in "
      "%0 {loop=[1]}\n"
      "  %3: f32[1,1,1,1,1,1,1,3] = scan_carry %1 {loop=[1], index=[0], steps=[2]}\n"
      "  %4: f32[1,1,1,1,1,1,1,3] = broadcast %2 {dims=[7]}\n  %5: f32[1,1,1,1,1,1,1,3] = mul %3, %4\n"
      "  %6: f32[1,1,1,1,1,1,1,3] = scan_next %3, %5\n  %7: f32[] = reduce_sum %6 {axes=[0,1,2,3,4,5,6,7]}\n"
      "  %8: f32[2,3] = grad %7, %0\n  return \"y\" %7\n  return \"g\" %8\n}\n";
  arena = arena_new();
  Source src = {"axes.ir", text, strlen(text)};
  Diags *d = diags_new(arena);
  Graph *g;
  ck_assert_int_eq(graph_read(arena, &src, d, &g, 1), 1);
  ck_assert(!pipeline_graph(arena, g, &(PipelineOptions){.verify_each = true}, d));
  ck_assert_str_eq(diags_first(d),
                   "no gradient through a scan that carries 8 axes: all steps of it would have 9");
  arena_free(arena);
}
END_TEST

int main(void) {
  Suite *s = suite_create("scan");
  TCase *t = tcase_create("loops");
  tcase_set_timeout(t, 240);
  tcase_add_test(t, steps_written_out);
  tcase_add_test(t, segments);
  tcase_add_test(t, programs_read_back);
  tcase_add_test(t, what_is_no_loop);
  tcase_add_test(t, states_around_a_loop);
  tcase_add_test(t, rounded_values_leave_a_loop);
  tcase_add_test(t, too_many_axes);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? 1 : 0;
}
