/* Lowering against the oracle: every operator case and its gradient, fused, scheduled and planned, then run
   by the kernel interpreter in f64, agrees with the graph interpreter; the number of kernels of known chains;
   the memory planner on bare numbers. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/lower/lower.h"
#include "passes/lower/remat.h"
#include "passes/pipeline.h"
#include "tests/unit/graph_gen.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

static void compare(const Graph *g, const char *what, Arena *a, const Target *t) {
  Diags *d = diags_new(a);
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(a, g, &opt, d);
  ck_assert_msg(h != NULL, "%s: passes failed", what);
  Status st;
  Program *p = pipeline_lower(a, h, t, &opt, d, &st);
  ck_assert_msg(p != NULL, "%s: lowering failed", what);
  Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *want = NEWN(a, Tensor64, h->outputs.n + 1);
  Tensor64 *got = NEWN(a, Tensor64, h->outputs.n + 1);
  op_case_inputs(h, a, 7, in);
  graph_interp(h, in, want, a, false);
  program_interp(p, in, got, a);
  for (int i = 0; i < h->outputs.n; i++) {
    int64_t n = shape_count(&want[i].shape);
    for (int64_t j = 0; j < n; j++) {
      double x = want[i].v[j], y = got[i].v[j], tol = 1e-8;
      if (isnan(x) && isnan(y)) continue;
      ck_assert_msg(fabs(x - y) <= tol * (1 + fabs(x)), "%s: output %s[%lld]: want %.12g, got %.12g", what,
                    h->outputs.v[i].name, (long long)j, x, y);
    }
  }
}

static void all_ops_on(const char *cpu) {
  Target t;
  ck_assert(target_named(cpu, &t));
  for (int op = 0; op < OP_COUNT; op++)
    for (int c = 0; c < op_case_count((OpId)op); c++) {
      Arena *a = arena_new();
      Graph *g = op_case_build(a, (OpId)op, c);
      add_gradients(g);
      char what[96];
      snprintf(what, sizeof what, "%s case %d", op_table[op].name, c);
      compare(g, what, a, &t);
      arena_free(a);
    }
}

START_TEST(ops_avx512) { all_ops_on("x86-64-v4"); }
END_TEST
START_TEST(ops_avx2) { all_ops_on("x86-64-v3"); }
END_TEST

START_TEST(random_graphs) {
  Target t[2];
  ck_assert(target_named("x86-64-v4", &t[0]) && target_named("x86-64-v3", &t[1]));
  for (int i = 0; i < 450; i++) {
    int seed = i < 300 ? i : GRAPH_GEN_WIDE + i;
    Arena *a = arena_new();
    char what[32];
    snprintf(what, sizeof what, "random graph %d", seed);
    compare(graph_gen(a, (uint64_t)seed, 8 + seed % 40), what, a, &t[seed & 1]);
    arena_free(a);
  }
}
END_TEST

/* Found by random graphs; each was wrong once. */
START_TEST(random_regressions) {
  static const int seeds[] = {550, /* a window maximum inside another reduction's row */
                              636, /* a matrix product whose class of values was channel-blocked */
                              1234 /* quotients on every axis */};
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
    Arena *a = arena_new();
    char what[32];
    snprintf(what, sizeof what, "random graph %d", seeds[i]);
    compare(graph_gen(a, (uint64_t)seeds[i], 8 + seeds[i] % 40), what, a, &t);
    arena_free(a);
  }
}
END_TEST

/* At every level, with even the smallest value worth recomputing: the same bits, and at some level something
   was recomputed. */
START_TEST(rematerialization_keeps_bits) {
  int copied = 0;
  for (int seed = 0; seed < 200; seed++) {
    Arena *a = arena_new();
    Diags *d = diags_new(a);
    PipelineOptions opt = {.verify_each = true};
    Graph *h = pipeline_graph(a, graph_gen(a, (uint64_t)seed, 8 + seed % 40), &opt, d);
    Tensor64 *in = NEWN(a, Tensor64, h->inputs.n + 1), *want = NEWN(a, Tensor64, h->outputs.n + 1);
    Tensor64 *got = NEWN(a, Tensor64, h->outputs.n + 1);
    op_case_inputs(h, a, 7, in);
    graph_interp(h, in, want, a, false);
    for (int level = 1; level <= REMAT_LEVELS; level++) {
      Graph *r = remat_graph(a, h, &cost_xeon, level, 1);
      char err[256];
      ck_assert_msg(graph_verify(r, err, sizeof err), "graph %d level %d: %s", seed, level, err);
      copied += r->node.n - h->node.n;
      graph_interp(r, in, got, a, false);
      for (int i = 0; i < h->outputs.n; i++)
        ck_assert_msg(!memcmp(want[i].v, got[i].v, sizeof(double) * (size_t)shape_count(&want[i].shape)),
                      "graph %d level %d", seed, level);
    }
    arena_free(a);
  }
  ck_assert_int_gt(copied, 100);
}
END_TEST

/* More reductions over one space than a kernel can hold accumulators for. */
START_TEST(many_reductions) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "many");
  Shape s = {2, {5, 7}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), total = -1;
  Ints all = ints2(0, 1);
  for (int i = 0; i < 40; i++) {
    Val y = g_reduce(g, OP_reduce_sum,
                     g_unary(g, OP_tanh, g_binary(g, OP_mul, x, g_fill_like(g, x, i + 0.5))), &all);
    total = total < 0 ? y : g_binary(g, OP_add, total, y);
  }
  g_output(g, "y", total, -1);
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  compare(g, "many reductions", a, &t);
  Diags *d = diags_new(a);
  Status st;
  PipelineOptions opt = {.verify_each = true};
  Program *p = pipeline_lower(a, pipeline_graph(a, g, &opt, d), &t, &opt, d, &st);
  for (int k = 0; k < p->kernel.n; k++) {
    int n = 0;
    for (int i = 0; i < p->kernel.v[k].loop.ninst; i++) n += p->kernel.v[k].loop.inst[i].kind == KI_REDUCE;
    ck_assert_int_le(n, 24);
  }
  arena_free(a);
}
END_TEST

/* A kernel that adds x to x gathered along an axis must read x from memory: it cannot also compute it. */
START_TEST(gathered_before) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "gathered");
  Shape s = {2, {5, 7}}, n = {1, {7}};
  Val x = g_unary(g, OP_tanh, g_input(g, "x", IN_ARG, DT_F32, &s, NULL));
  Val at = g_input(g, "at", IN_ARG, DT_I64, &n, NULL);
  Ints axis = ints1(1);
  g_output(g, "x", x, -1);
  g_output(g, "y", g_binary(g, OP_add, x, g_add(g, OP_gather, (Val[]){x, at}, 2, &axis, 0, DT_NONE, NULL)),
           -1);
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  compare(g, "gathered", a, &t);
  arena_free(a);
}
END_TEST

static Program *lowered(Arena *a, const Graph *g, PipelineOptions opt) {
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  Diags *d = diags_new(a);
  Status st;
  opt.verify_each = true;
  Program *p = pipeline_lower(a, g, &t, &opt, d, &st);
  ck_assert(p != NULL);
  return p;
}

/* The part of a backward pass that masks a gradient by a ReLU and goes on through two convolution gradients. */
static Graph *masked_gradient(Arena *a) {
  Graph *g = graph_new(a, "masked");
  Shape s = {4, {4, 8, 16, 16}}, w = {4, {8, 8, 3, 3}};
  Ints attr[5] = {ints2(1, 1), ints2(1, 1), ints2(16, 16)},
       filter[5] = {ints2(1, 1), ints2(1, 1), ints2(3, 3)};
  Val c = g_input(g, "c", IN_ARG, DT_F32, &s, NULL), y = g_input(g, "y", IN_ARG, DT_F32, &s, NULL);
  Val k = g_input(g, "k", IN_ARG, DT_F32, &w, NULL);
  Val act = g_unary(g, OP_relu, c), mask = g_binary(g, OP_lt, g_fill_like(g, act, 0), act);
  Val gy = g_binary(g, OP_mul, y, y);
  Val dx = g_add(g, OP_conv2d_dx, (Val[]){gy, k}, 2, attr, 0, DT_NONE, NULL);
  Val dw = g_add(g, OP_conv2d_dw, (Val[]){act, gy}, 2, filter, 0, DT_NONE, NULL);
  g_output(g, "dw", dw, -1);
  g_output(g, "z", g_binary(g, OP_mul, g_select(g, mask, dx, g_fill_like(g, dx, 0)), c), -1);
  return g;
}

/* Position of the last kernel that writes v. */
static int written_at(const Program *p, Val v) {
  int at = -1;
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = p->kernel.v[k].nbuf - p->kernel.v[k].nout; i < p->kernel.v[k].nbuf; i++)
      if (p->buf.v[p->kernel.v[k].buf[i]].val == v) at = k;
  return at;
}

static Val node_of(const Graph *g, OpId op) {
  for (Val v = 0; v < g->node.n; v++)
    if (g_node(g, v)->op == op) return v;
  ck_abort_msg("no %s", op_table[op].name);
  return -1;
}

/* The weight gradient needs the ReLU in memory; the kernel that masks reads what it follows from and so
   computes it. */
START_TEST(computed_again_beside_operand) {
  Arena *a = arena_new();
  Graph *g = masked_gradient(a);
  Program *p = lowered(a, g, (PipelineOptions){.no_chains = true});
  Val act = node_of(g, OP_relu);
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nbuf - p->kernel.v[k].nout; i++)
      if (p->buf.v[p->kernel.v[k].buf[i]].val == act) ck_assert_int_eq(p->kernel.v[k].kind, KK_CONV);
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  compare(g, "masked gradient", a, &t);
  arena_free(a);
}
END_TEST

/* Under a budget the weight gradient, after which the activation is dead, comes before the input gradient. */
START_TEST(lean_order) {
  Arena *a = arena_new();
  Graph *g = masked_gradient(a);
  Val dw = node_of(g, OP_conv2d_dw), dx = node_of(g, OP_conv2d_dx);
  Program *fast = lowered(a, g, (PipelineOptions){.no_chains = true});
  Program *lean = lowered(a, g, (PipelineOptions){.no_chains = true, .lean = true});
  ck_assert_int_lt(written_at(fast, dx), written_at(fast, dw));
  ck_assert_int_lt(written_at(lean, dw), written_at(lean, dx));
  ck_assert_int_lt(lean->arena_bytes, fast->arena_bytes);
  arena_free(a);
}
END_TEST

/* More operators one after the other than a kernel takes. */
START_TEST(deep) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "deep");
  Shape s = {1, {3}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL);
  for (int i = 0; i < 20000; i++) x = g_unary(g, i % 2 ? OP_sin : OP_cos, x);
  g_output(g, "y", x, -1);
  Target t;
  ck_assert(target_named("x86-64-v3", &t));
  compare(g, "deep", a, &t);
  arena_free(a);
}
END_TEST

/* No loop dims express both shapes of such a reshape: its operand must be in memory, blocked or not. */
START_TEST(reshape_across_extents) {
  for (int conv = 0; conv < 2; conv++) {
    Arena *a = arena_new();
    Graph *g = graph_new(a, "reshape");
    Shape s = {4, {2, 16, 3, 5}}, t = {5, {3, 5, 2, 2, 8}}, k = {4, {16, 16, 1, 1}};
    Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), w = g_input(g, "w", IN_ARG, DT_F32, &k, NULL);
    x = g_unary(g, OP_tanh, x);
    Ints at[4] = {ints2(1, 1), ints2(0, 0)};
    if (conv) x = g_add(g, OP_conv2d, (Val[]){x, w}, 2, at, 0, DT_NONE, NULL);
    Ints axes = ints2(1, 3);
    Val r = g_reshape(g, x, &t);
    g_output(g, "y", g_unary(g, OP_sin, r), -1);
    g_output(g, "z", g_reduce(g, OP_reduce_sum, r, &axes), -1);
    Target v4;
    ck_assert(target_named("x86-64-v4", &v4));
    compare(g, "reshape", a, &v4);
    arena_free(a);
  }
}
END_TEST

/* Groups of three channels, which blocks of 16 cut: what the convolution reads must lie row by row. */
START_TEST(groups_across_blocks) {
  Arena *a = arena_new();
  Graph *g = graph_new(a, "groups");
  Shape s = {4, {2, 96, 4, 4}}, groups = {5, {2, 32, 3, 4, 4}}, k = {4, {32, 96, 3, 3}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), w = g_input(g, "w", IN_ARG, DT_F32, &k, NULL);
  Ints axes = {3, {2, 3, 4}}, kept = ints2(0, 1), at[4] = {ints2(1, 1), ints2(1, 1)};
  Val r = g_reshape(g, x, &groups);
  Val mean = g_broadcast(g, g_reduce(g, OP_reduce_mean, r, &axes), &groups, &kept);
  Val y = g_reshape(g, g_binary(g, OP_sub, r, mean), &s);
  g_output(g, "y", g_add(g, OP_conv2d, (Val[]){g_unary(g, OP_tanh, y), w}, 2, at, 0, DT_NONE, NULL), -1);
  Target v4;
  ck_assert(target_named("x86-64-v4", &v4));
  compare(g, "groups", a, &v4);
  arena_free(a);
}
END_TEST

/* ---- every row of both levels: stopped after, timed, watched, dumped, verified, gone on with from its dump ---- */
static int watched;
static bool count_watch(void *ctx, const PassResult *r) {
  ck_assert_str_eq(r->pass, ((const char *const *)ctx)[watched++]);
  return true;
}

static char dumped[64];
static void keep_name(void *ctx, int number, const char *pass, const char *text) {
  StrBuf *last = ctx;
  ck_assert_int_gt(number, 0);
  snprintf(dumped, sizeof dumped, "%s", pass);
  sb_free(last);
  *last = (StrBuf){0};
  sb_put(last, text, strlen(text));
}

static Source *source_of(Arena *a, const StrBuf *b) {
  Source *src = NEW(a, Source);
  *src = (Source){"dump.ir", arena_strndup(a, b->s, b->n), b->n};
  return src;
}

static void same_results(Arena *a, const Program *p, const Program *q, const char *what) {
  const Graph *g = p->graph, *h = q->graph;
  ck_assert_int_eq(g->outputs.n, h->outputs.n);
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1), *x = NEWN(a, Tensor64, g->outputs.n + 1),
           *y = NEWN(a, Tensor64, g->outputs.n + 1);
  op_case_inputs(g, a, 7, in);
  program_interp(p, in, x, a);
  program_interp(q, in, y, a);
  for (int i = 0; i < g->outputs.n; i++)
    ck_assert_msg(!memcmp(x[i].v, y[i].v, sizeof(double) * (size_t)shape_count(&x[i].shape)),
                  "going on after %s: another %s", what, g->outputs.v[i].name);
}

/* Fuses to kernels of several kinds, with chains, values worth recomputing and rounding, and states. */
static Graph *step_of_all(Arena *a) {
  Graph *g = masked_gradient(a);
  Shape s = {2, {64, 64}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), w = g_input(g, "w", IN_PARAM, DT_F32, &s, NULL);
  Ints none = {0}, rows = {1, {1}}, dims[4] = {none, none, {1, {1}}, {1, {0}}}, both = ints2(0, 1);
  Val h = g_unary(g, OP_tanh, g_dot(g, x, w, &dims[0], &dims[1], &dims[2], &dims[3]));
  g_output(g, "rows", g_reduce(g, OP_reduce_sum, h, &rows), -1);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, h, h), &both);
  g_output(g, "loss", loss, -1);
  Val dw = g_binary(g, OP_grad, loss, w);
  g_output(g, "w", g_binary(g, OP_sub, w, g_binary(g, OP_mul, dw, g_fill_like(g, dw, 0.25))),
           g_node(g, w)->input);
  return g;
}

START_TEST(lowering_rows) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  PipelineOptions opt = {.verify_each = true};
  Graph *g = pipeline_graph(a, step_of_all(a), &opt, d);
  Target t;
  ck_assert(g && target_named("x86-64-v4", &t));
  LowerOptions o = {.precision = DT_BF16, .chain_bytes = 1024};
  budget_level(&o, budget_levels - 1);
  int n;
  const LowerRow *row = lower_table(&n);
  const char *names[16];
  for (int i = 0; i < n; i++) names[i] = row[i].name;
  Lower *all = lower_begin(a, g, &t, &o);
  ck_assert_int_eq(lower_run(all, names, n, NULL, d), ST_OK);
  Program *want = lower_end(all);
  for (int i = 0; i < n; i++) {
    StrBuf text = {0}, last = {0};
    PassTime times[16] = {0};
    watched = 0;
    LowerRun run = {.verify_each = true,
                    .first = 1,
                    .times = times,
                    .watch = count_watch,
                    .watch_ctx = names,
                    .dump = keep_name,
                    .dump_ctx = &last};
    Lower *l = lower_begin(a, g, &t, &o);
    ck_assert_int_eq(lower_run(l, names, i + 1, &run, d), ST_OK);
    ck_assert_int_eq(watched, i + 1);
    ck_assert_str_eq(times[i].name, row[i].name);
    ck_assert_int_gt(times[i].after, 0);
    ck_assert_msg(row[i].doc && row[i].doc[0], "%s is not described", row[i].name);
    lower_print(l, &text);
    if (last.n && !strcmp(dumped, row[i].name)) ck_assert_str_eq(text.s, last.s);
    lower_end(l);
    Source *src = source_of(a, &text);
    if (program_is_text(src)) {
      Program *p = program_read(a, src, d);
      ck_assert_msg(p != NULL, "what %s leaves does not read back", row[i].name);
      StrBuf again = {0};
      program_print(p, &again);
      ck_assert_msg(!strcmp(again.s, text.s), "what %s leaves differs when printed again", row[i].name);
      sb_free(&again);
      l = lower_resume(p, &o);
      ck_assert_int_eq(lower_run(l, names + i + 1, n - i - 1, NULL, d), ST_OK);
      same_results(a, want, lower_end(l), row[i].name);
    } else { /* a graph; a layout is found again */
      Graph *h;
      int from = row[i].gives ? i : i + 1;
      ck_assert_int_eq(graph_read(a, src, d, &h, 1), 1);
      l = lower_begin(a, h, &t, &o);
      ck_assert_int_eq(lower_run(l, names + from, n - from, NULL, d), ST_OK);
      same_results(a, want, lower_end(l), row[i].name);
    }
    sb_free(&text);
    sb_free(&last);
  }
  arena_free(a);
}
END_TEST

START_TEST(graph_rows) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  PipelineOptions plain = {.verify_each = true};
  const Graph *g = step_of_all(a);
  Target t;
  Status st;
  ck_assert(target_named("x86-64-v4", &t));
  Program *want = pipeline_lower(a, pipeline_graph(a, g, &plain, d), &t, &plain, d, &st);
  int n;
  const PassRow *row = pass_table(&n);
  for (int i = 0; i < n; i++) {
    StrBuf text = {0};
    PipelineOptions opt = {.verify_each = true, .stop_after = row[i].name};
    graph_print(pipeline_graph(a, g, &opt, d), &text);
    Graph *h;
    ck_assert_int_eq(graph_read(a, source_of(a, &text), d, &h, 1), 1);
    Program *p = pipeline_lower(a, pipeline_graph(a, h, &plain, d), &t, &plain, d, &st);
    same_results(a, want, p, row[i].name);
    sb_free(&text);
  }
  arena_free(a);
}
END_TEST

/* What a row needs, and that it has not run. */
START_TEST(lowering_contracts) {
  static const struct {
    const char *names[5];
    int n;
    const char *want;
  } bad[] = {
      {{"fuse"}, 1, "pass 'fuse' needs a layout (run layout first)"},
      {{"layout", "schedule"}, 2, "pass 'schedule' needs kernels (run fuse first)"},
      {{"layout", "fuse", "chain"}, 3, "pass 'chain' needs kernels in order (run schedule first)"},
      {{"layout", "precision"}, 2, "pass 'precision' is of graphs, and this one is lowered"},
      {{"layout", "layout"}, 2, "pass 'layout' is of graphs, and this one is lowered"},
      {{"layout", "fuse", "fuse"}, 3, "pass 'fuse' has run already"},
      {{"layout", "fuse", "schedule", "memplan", "chain"}, 5, "pass 'chain' comes before memory is planned"},
      {{"layout", "cse"}, 2, "pass 'cse' is of graphs and comes before lowering"},
      {{"fues"}, 1, "unknown pass 'fues'; did you mean 'fuse'?"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    Arena *a = arena_new();
    Diags *d = diags_new(a);
    Target t;
    ck_assert(target_named("x86-64-v3", &t));
    Lower *l = lower_begin(a, masked_gradient(a), &t, &(LowerOptions){0});
    ck_assert_int_eq(lower_run(l, bad[i].names, bad[i].n, NULL, d), ST_USAGE);
    lower_end(l);
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    diags_print(d, f);
    fclose(f);
    ck_assert_msg(strstr(text, bad[i].want) != NULL, "got: %s", text);
    free(text);
    arena_free(a);
  }
}
END_TEST

START_TEST(pack_disjoint) {
  Extent e[] = {{100, 0, 1, 0}, {100, 1, 2, 0}, {100, 2, 3, 0}, {50, 0, 3, 0}};
  int64_t total = memplan_pack(e, 4, 1);
  ck_assert_int_eq(total, 250);
  ck_assert_int_eq(e[0].offset, e[2].offset);
  ck_assert_int_ne(e[0].offset, e[1].offset);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++)
      if (!(e[i].last < e[j].first || e[j].last < e[i].first))
        ck_assert(e[i].offset + e[i].bytes <= e[j].offset || e[j].offset + e[j].bytes <= e[i].offset);
}
END_TEST

START_TEST(pack_random) {
  srand(3);
  for (int round = 0; round < 200; round++) {
    Extent e[60];
    int n = 1 + rand() % 60;
    int64_t live[101] = {0}, bound = 0;
    for (int i = 0; i < n; i++) {
      int f = rand() % 100;
      e[i] = (Extent){1 + rand() % 5000, f, f + rand() % (101 - f), 0};
      for (int k = e[i].first; k <= e[i].last; k++) live[k] += e[i].bytes;
    }
    for (int k = 0; k <= 100; k++) bound = live[k] > bound ? live[k] : bound;
    int64_t total = memplan_pack(e, n, 64);
    ck_assert(total >= bound);
    for (int i = 0; i < n; i++) {
      ck_assert(e[i].offset % 64 == 0 && e[i].offset + e[i].bytes <= total);
      for (int j = 0; j < i; j++)
        if (!(e[i].last < e[j].first || e[j].last < e[i].first))
          ck_assert(e[i].offset + e[i].bytes <= e[j].offset || e[j].offset + e[j].bytes <= e[i].offset);
    }
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("lower");
  TCase *t = tcase_create("lower");
  tcase_set_timeout(t, 300);
  tcase_add_test(t, pack_disjoint);
  tcase_add_test(t, pack_random);
  tcase_add_test(t, lowering_rows);
  tcase_add_test(t, graph_rows);
  tcase_add_test(t, lowering_contracts);
  tcase_add_test(t, rematerialization_keeps_bits);
  tcase_add_test(t, many_reductions);
  tcase_add_test(t, gathered_before);
  tcase_add_test(t, computed_again_beside_operand);
  tcase_add_test(t, lean_order);
  tcase_add_test(t, reshape_across_extents);
  tcase_add_test(t, groups_across_blocks);
  tcase_add_test(t, deep);
  tcase_add_test(t, random_graphs);
  tcase_add_test(t, random_regressions);
  tcase_add_test(t, ops_avx512);
  tcase_add_test(t, ops_avx2);
  suite_add_tcase(s, t);
  return run_suite(s);
}
