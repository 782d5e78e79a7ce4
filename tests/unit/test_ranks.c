/* Several ranks: operators between them, and graphs shared among them against the whole graph. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "ir/graph/collective.h"
#include "passes/graph/shard.h"
#include "passes/pipeline.h"
#include "runtime/ranks.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/model_gen.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

/* ---- values of inputs ---- */
/* What rank r gets of them. */
static Tensor64 *own_inputs(Arena *a, const Graph *whole, const Tensor64 *in, const Graph *g, int r) {
  Tensor64 *own = NEWN(a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    int k = g_find_input(whole, g->inputs.v[i].name);
    ck_assert_int_ge(k, 0);
    own[i] = in[k];
    own[i].shape = g_node(g, g->inputs.v[i].val)->shape;
    int64_t n = shape_count(&own[i].shape), all = shape_count(&in[k].shape), some = all - r * n;
    if (n == all) continue;
    own[i].v =
        memcpy(NEWN(a, double, n + 1), in[k].v + r * n, (size_t)(some < n ? some : n) * sizeof(double));
  }
  return own;
}

/* The largest difference between a whole graph and the same shared by so many ranks, on any of them, as a share of the
   largest value; *where: the result. */
static double shared_error(Arena *a, const Graph *whole, int ranks, bool spread, uint64_t seed,
                           const char **where, const Graph **made) {
  static const char *const names[] = {"autodiff", "strip", "simplify", "cse",
                                      "simplify", "shard", "cse",      "dce"};
  PassOptions opt = {.verify_each = true};
  Graph *expanded = passes_run(a, whole, names, 2, NULL, diags_new(a));
  ck_assert(expanded != NULL);
  Graph *copy = pass_live_copy(a, whole, false);
  copy->ranks = ranks;
  copy->spread = spread ? ranks : 0;
  Diags *d = diags_new(a);
  Graph *g = passes_run(a, copy, names, 8, &opt, d);
  if (!g) diags_print(d, stderr);
  ck_assert(g != NULL);
  *made = g;
  Tensor64 *in = op_case_values(a, expanded, seed, 0.2), *want = NEWN(a, Tensor64, expanded->outputs.n + 1);
  graph_interp(expanded, in, want, a, false);
  const Tensor64 **own = NEWN(a, const Tensor64 *, ranks);
  Tensor64 **out = NEWN(a, Tensor64 *, ranks);
  for (int r = 0; r < ranks; r++) {
    own[r] = own_inputs(a, expanded, in, g, r);
    out[r] = NEWN(a, Tensor64, g->outputs.n + 1);
  }
  graph_interp_ranks(g, ranks, own, out, a, false);
  double worst = 0, around = 0;
  for (int i = 0; i < g->outputs.n; i++)
    for (int64_t k = 0; k < shape_count(&want[i].shape); k++)
      if (isfinite(want[i].v[k]) && fabs(want[i].v[k]) > around) around = fabs(want[i].v[k]);
  for (int i = 0; i < g->outputs.n; i++) {
    int64_t n = shape_count(&want[i].shape);
    double most = 1e-6 * around;
    for (int64_t k = 0; k < n; k++)
      if (isfinite(want[i].v[k])) most = fmax(most, fabs(want[i].v[k]));
    int64_t got = shape_count(&out[0][i].shape); /* a part of n, or all */
    for (int r = 0; r < ranks; r++)
      for (int64_t k = 0; k < got && (got == n || r * got + k < n); k++) {
        double x = want[i].v[got == n ? k : r * got + k], y = out[r][i].v[k];
        double e = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y) / (most + 1e-30);
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e, *where = g->outputs.v[i].name;
      }
  }
  return worst;
}

START_TEST(random_models) {
  const char *many = getenv("JEPAC_RANDOM_MODELS"), *from = getenv("JEPAC_RANDOM_FIRST");
  int n = many ? atoi(many) : 12, first = from ? atoi(from) : 0, failed = 0, tried = 0;
  for (int seed = first; seed < first + n; seed++) {
    Arena *a = arena_new();
    Diags *d = diags_new(a);
    ModelText t = model_gen((uint64_t)seed, 8 + seed % 30);
    FrontendOptions o = {.std_dir = "models", .text = t.text};
    Model *m = frontend_load(a, d, "random.jepa", &o);
    for (int step = 0; step < 2; step++) {
      const Graph *g = step ? frontend_train_step(m, d, false) : frontend_entry(m, d, "forward", true, true),
                  *made;
      ck_assert(g != NULL);
      int64_t batch = g_node(g, g->inputs.v[g_find_input(g, "label")].val)->shape.dim[0];
      const char *where = "";
      for (int ranks = 2; ranks <= batch; ranks++) {
        if (batch % ranks) continue;
        tried++;
        double e = shared_error(a, g, ranks, false, (uint64_t)seed, &where, &made);
        if (e < 1e-6) continue;
        fprintf(stderr, "random model %d on %d ranks: %s differs by %g\n", seed, ranks, where, e);
        failed++;
      }
    }
    free(t.text);
    arena_free(a);
  }
  ck_assert_int_gt(tried, n / 3);
  ck_assert_int_eq(failed, 0);
}
END_TEST

/* ---- models of models/ ---- */
static const struct {
  const char *path;
  NameValue set[10];
  int gathers; /* values that must be put together: everything else stays divided */
} models[] = {
    {"models/small/simclr.jepa", {{"batch", "12"}, {"widths", "[2,2,2,4]"}, {"hidden", "6"}}, 2},
    {"models/vicreg.jepa", {{"batch", "12"}, {"widths", "[2,2,2,4]"}, {"hidden", "6"}}, 0},
};

static int count_ops(const Graph *g, OpId op) {
  int n = 0;
  for (Val v = 0; v < g->node.n; v++) n += g_node(g, v)->op == op;
  return n;
}

START_TEST(real_models) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  FrontendOptions o = {.std_dir = "models", .set = models[_i].set};
  while (o.set[o.nset].name) o.nset++;
  Model *m = frontend_load(a, d, models[_i].path, &o);
  const Graph *g = m ? frontend_train_step(m, d, true) : NULL, *made;
  if (!g) diags_print(d, stderr);
  ck_assert(g != NULL);
  for (int ranks = 2; ranks <= 3; ranks++) {
    const char *where = "";
    double e = shared_error(a, g, ranks, false, 1, &where, &made);
    ck_assert_msg(e < 1e-6, "%s on %d ranks: %s differs by %g", models[_i].path, ranks, where, e);
    ck_assert_int_le(count_ops(made, OP_all_gather), models[_i].gathers);
  }
  arena_free(a);
}
END_TEST

/* Optimizer state and averages in parts, sizes that do not divide among them: the same step. */
START_TEST(spread) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  for (int which = 0; which < 2; which++) {
    FrontendOptions o = {
        .std_dir = "models", .set = (NameValue[]){{"optimizer", "lars(lr = 0.1)"}}, .nset = which};
    Model *m = frontend_load(a, d, "tests/cli/data/ranks-large.jepa", &o);
    const Graph *g = m ? frontend_train_step(m, d, true) : NULL, *made;
    if (!g) diags_print(d, stderr);
    ck_assert(g != NULL);
    for (int ranks = 2; ranks <= 3; ranks++) {
      const char *where = "";
      double e = shared_error(a, g, ranks, true, 1, &where, &made);
      ck_assert_msg(e < 1e-6, "%d ranks: %s differs by %g", ranks, where, e);
      int parts = 0, scattered = count_ops(made, OP_reduce_scatter);
      for (int i = 0; i < made->inputs.n; i++)
        parts +=
            !shape_eq(&g_node(made, made->inputs.v[i].val)->shape, &g_node(g, g->inputs.v[i].val)->shape) &&
            made->inputs.v[i].kind != IN_ARG;
      ck_assert_int_eq(parts, which ? 5 : 8); /* of three weights: one slot or two; two averages */
      ck_assert_int_eq(scattered, 3);
    }
  }
  arena_free(a);
}
END_TEST

/* ---- compiled code, a thread a rank ---- */
enum { MOST = 18 }; /* 6 and 3: on two levels */
typedef struct {
  pthread_barrier_t all;
  const char *data[MOST];
} Team;

typedef struct {
  Ranks r; /* first: what step_collective knows */
  Team *team;
  int exchanges;
} Member;

static void meet(Member *m, const void *data) {
  m->exchanges++;
  m->team->data[m->r.rank] = data;
  pthread_barrier_wait(&m->team->all);
}

/* Each waits for all, though only its set has something for it. */
static void exchange(Ranks *r, RankSet set, const void *send, const int64_t *at, void *recv) {
  Member *m = (Member *)r;
  int me = (r->rank - set.first) / set.stride;
  int64_t own = at[me + 1] - at[me];
  meet(m, send);
  for (int k = 0; k < set.count; k++)
    memcpy((char *)recv + k * own, m->team->data[set.first + k * set.stride] + at[me], (size_t)own);
  pthread_barrier_wait(&m->team->all);
}

static void gather(Ranks *r, RankSet set, void *data, const int64_t *at) {
  Member *m = (Member *)r;
  int me = (r->rank - set.first) / set.stride;
  meet(m, data);
  for (int k = 0; k < set.count; k++)
    if (k != me)
      memcpy((char *)data + at[k], m->team->data[set.first + k * set.stride] + at[k],
             (size_t)(at[k + 1] - at[k]));
  pthread_barrier_wait(&m->team->all);
}

typedef struct {
  Member m, beside;
  int threads;
  Arena *a;
  const Graph *g;
  const Tensor64 *in;
  Tensor64 *out;
} Work;

static void *work(void *of) {
  Work *w = of;
  JitRun how = {.cpu = "x86-64-v3", .threads = w->threads};
  jit_run_ranks(w->a, w->g, &how, &w->m.r, w->in, w->out);
  return NULL;
}

/* Runs g on so many threads, each a rank with inputs of its own, and as many that exchange beside them; out[r]: its
   results. Returns how many exchanges of a rank were made beside. */
static int run_team(Arena *a, const Graph *g, int ranks, const Tensor64 *const *in, bool beside, bool whole,
                    Tensor64 **out) {
  Team team[2] = {{.data = {0}}};
  Work w[MOST];
  pthread_t thread[MOST];
  for (int k = 0; k < 2; k++) pthread_barrier_init(&team[k].all, NULL, (unsigned)ranks);
  for (int r = 0; r < ranks; r++) {
    Ranks how = {.rank = r, .count = ranks, .exchange = exchange, .gather = gather, .whole = whole};
    out[r] = NEWN(a, Tensor64, g->outputs.n + 1);
    w[r] = (Work){.m = {how, &team[0], 0},
                  .beside = {how, &team[1], 0},
                  .threads = ranks > 4 ? 1 : 1 + r % 2,
                  .a = arena_new(),
                  .g = g,
                  .in = in[r],
                  .out = out[r]};
    if (beside) w[r].m.r.beside = &w[r].beside.r;
    ck_assert_int_eq(pthread_create(&thread[r], NULL, work, &w[r]), 0);
  }
  for (int r = 0; r < ranks; r++) {
    pthread_join(thread[r], NULL);
    ck_assert_int_eq(w[r].beside.exchanges, w[0].beside.exchanges);
    for (int i = 0; i < g->outputs.n; i++) {
      size_t n = (size_t)shape_count(&out[r][i].shape);
      out[r][i].v = memcpy(NEWN(a, double, n + 1), out[r][i].v, n * sizeof(double));
    }
    arena_free(w[r].a);
  }
  for (int k = 0; k < 2; k++) pthread_barrier_destroy(&team[k].all);
  return w[0].beside.exchanges;
}

/* Compiled code agrees with the interpreter of so many ranks; *alike: all ranks have the same bits. */
static double team_error(Arena *a, const Graph *g, int ranks, const Tensor64 *const *in, bool *alike) {
  Tensor64 *want[MOST] = {0}, *got[MOST] = {0};
  for (int r = 0; r < ranks; r++) want[r] = NEWN(a, Tensor64, g->outputs.n + 1);
  graph_interp_ranks(g, ranks, in, want, a, true);
  run_team(a, g, ranks, in, true, false, got);
  double worst = 0;
  *alike = true;
  for (int r = 0; r < ranks; r++)
    for (int i = 0; i < g->outputs.n; i++) {
      worst = fmax(worst, relative_error(&want[r][i], &got[r][i]));
      *alike &= !memcmp(got[r][i].v, got[0][i].v, (size_t)shape_count(&got[r][i].shape) * sizeof(double));
    }
  if (ranks > RANKS_IN_A_ROW) { /* without levels: the same order, so the same bits */
    Tensor64 *flat[MOST] = {0};
    run_team(a, g, ranks, in, true, true, flat);
    for (int r = 0; r < ranks; r++)
      for (int i = 0; i < g->outputs.n; i++)
        ck_assert(!memcmp(got[r][i].v, flat[r][i].v, (size_t)shape_count(&got[r][i].shape) * sizeof(double)));
  }
  return worst;
}

/* Every operator, long and short, with other values on each rank; what it is computed by hand from all of them is
   collective_eval's business, which the derivatives test. */
START_TEST(operators_compiled) {
  static const struct {
    Shape s;
    int axis;
    int64_t groups;
  } shape[] = {{{2, {36, 5}}, 0, 2}, {{1, {24012}}, 0, 1}, {{3, {4, 36, 700}}, 1, 3}};
  static const DType types[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_U32};
  for (int which = 0; which < 3 * 5; which++)
    for (int ranks = 2; ranks <= (which < 4 ? MOST : 4); ranks += ranks < 4 ? 2 : 14) {
      Arena *a = arena_new();
      Graph *g = graph_new(a, "ranks");
      DType dt = types[which / 3];
      Val x = g_input(g, "x", IN_ARG, dt, &shape[which % 3].s, NULL);
      for (int op = 0; op < OP_COUNT; op++) {
        if (op_table[op].kind != KIND_COLLECTIVE || (op == OP_all_reduce_mean && !dtype_is_float(dt)))
          continue;
        int64_t groups = shape[which % 3].s.dim[shape[which % 3].axis] % (ranks * shape[which % 3].groups)
                             ? 1
                             : shape[which % 3].groups;
        Val y = op_nattr((OpId)op) == 1 ? g_all(g, (OpId)op, x, ranks)
                                        : g_part(g, (OpId)op, x, shape[which % 3].axis, groups, ranks);
        g_output(g, op_table[op].name, y, -1);
      }
      const Tensor64 *in[MOST];
      for (int r = 0; r < ranks; r++) {
        Tensor64 *t = NEW(a, Tensor64);
        *t = (Tensor64){dt, shape[which % 3].s, NEWN(a, double, 110000)};
        for (int64_t k = 0; k < shape_count(&t->shape); k++) {
          t->v[k] = op_case_normal((uint64_t)which, (uint32_t)r, (uint64_t)k);
          t->v[k] = dtype_is_float(dt) ? (double)(float)t->v[k] : floor(fabs(1e4 * t->v[k]));
        }
        in[r] = t;
      }
      bool alike;
      double e = team_error(a, g, ranks, in, &alike);
      ck_assert_msg(e < 1e-6, "case %d on %d ranks: error %g", which, ranks, e);
      arena_free(a);
    }
}
END_TEST

/* Small sums travel together, but for one that another exchange waits for and one that is large by itself. */
START_TEST(together) {
  enum { SMALL = 9, RANKS = 2 };
  Arena *a = arena_new();
  Graph *g = graph_new(a, "together");
  Shape s = {2, {3, 5}}, large = {1, {100000}};
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), y = g_input(g, "y", IN_ARG, DT_F32, &large, NULL);
  Val first = g_all(g, OP_all_reduce_sum, g_unary(g, OP_exp, x), RANKS);
  for (int i = 0; i < SMALL; i++) {
    Val sum = g_all(g, OP_all_reduce_sum, g_binary(g, OP_mul, first, g_fill_like(g, x, i + 1)), RANKS);
    g_output(g, (const char *[]){"a", "b", "c", "d", "e", "f", "g", "h", "i"}[i], g_unary(g, OP_tanh, sum),
             -1);
  }
  g_output(g, "y", g_all(g, OP_all_reduce_sum, y, RANKS), -1);
  Graph *h = shard_buckets(a, g, false, false);
  ck_assert_int_eq(count_ops(g, OP_all_reduce_sum), SMALL + 2);
  ck_assert_int_eq(count_ops(h, OP_all_reduce_sum), 3);
  Tensor64 in[RANKS][2], *want[RANKS], *got[RANKS];
  const Tensor64 *ins[RANKS];
  for (int r = 0; r < RANKS; r++) {
    in[r][0] = (Tensor64){DT_F32, s, NEWN(a, double, 15)};
    in[r][1] = (Tensor64){DT_F32, large, NEWN(a, double, 100000)};
    for (int k = 0; k < 15; k++) in[r][0].v[k] = op_case_normal(9, (uint32_t)r, (uint64_t)k);
    ins[r] = in[r];
    want[r] = NEWN(a, Tensor64, g->outputs.n + 1);
    got[r] = NEWN(a, Tensor64, g->outputs.n + 1);
  }
  graph_interp_ranks(g, RANKS, ins, want, a, false);
  graph_interp_ranks(h, RANKS, ins, got, a, false);
  for (int r = 0; r < RANKS; r++)
    for (int i = 0; i < SMALL; i++) ck_assert(!memcmp(want[r][i].v, got[r][i].v, 15 * sizeof(double)));
  arena_free(a);
}
END_TEST

/* What is sent long before it is needed is sent beside kernels, one that is needed at once is not; results are the same
   either way. */
START_TEST(beside) {
  enum { N = 256, LAYERS = 4, RANKS = 3 };
  Arena *a = arena_new();
  Graph *g = graph_new(a, "beside");
  Shape s = {2, {N, N}};
  Ints all = ints1(0);
  Val x = g_input(g, "x", IN_ARG, DT_F32, &s, NULL), sent[LAYERS];
  for (int i = 0; i < LAYERS; i++) {
    Ints none = {0}, left = ints1(1), right = ints1(0);
    sent[i] = g_all(g, OP_all_reduce_sum, x, RANKS);
    x = g_dot(g, x, x, &none, &none, &left, &right);
    Val sum = g_all(g, OP_all_reduce_sum, g_reduce(g, OP_reduce_sum, x, &all), RANKS);
    Ints columns = ints1(1);
    x = g_unary(g, OP_tanh, g_binary(g, OP_add, x, g_broadcast(g, sum, &s, &columns)));
  }
  for (int i = 0; i < LAYERS; i++) x = g_binary(g, OP_add, x, sent[i]);
  g_output(g, "y", x, -1);
  const Tensor64 *in[RANKS];
  Tensor64 *plain[RANKS], *out[RANKS];
  for (int r = 0; r < RANKS; r++) {
    Tensor64 *t = NEW(a, Tensor64);
    *t = (Tensor64){DT_F32, s, NEWN(a, double, N *N)};
    for (int k = 0; k < N * N; k++) t->v[k] = (double)(float)op_case_normal(7, (uint32_t)r, (uint64_t)k);
    in[r] = t;
  }
  ck_assert_int_eq(run_team(a, g, RANKS, in, false, false, plain), 0);
  int most = run_team(a, g, RANKS, in, true, false, out);
  ck_assert_msg(most >= 2 * (LAYERS - 1) && most <= 2 * LAYERS, "%d exchanges beside kernels", most);
  for (int r = 0; r < RANKS; r++) ck_assert(!memcmp(out[r][0].v, plain[r][0].v, N * N * sizeof(double)));
  arena_free(a);
}
END_TEST

/* The sum of all ranks' losses, differentiated on each rank by each of its elements. */
START_TEST(derivatives) {
  enum { N = 12, R = 3 };
  for (int op = 0; op < OP_COUNT; op++) {
    if (op_table[op].kind != KIND_COLLECTIVE) continue;
    Arena *a = arena_new();
    Graph *g = graph_new(a, "loss");
    Shape s = {1, {N}};
    Val x = g_input(g, "x", IN_ARG, DT_F64, &s, NULL);
    Val y = op_nattr((OpId)op) == 1 ? g_all(g, (OpId)op, x, R) : g_part(g, (OpId)op, x, 0, 2, R);
    Val loss = op_case_weighted_sum(g, y, "w");
    g_output(g, "loss", loss, -1);
    g_output(g, "grad", g_binary(g, OP_grad, loss, x), -1);
    g = pass_autodiff(a, g, diags_new(a));
    Tensor64 in[R][2], out[R][2];
    const Tensor64 *ins[R];
    Tensor64 *outs[R];
    for (int r = 0; r < R; r++) {
      ins[r] = in[r], outs[r] = out[r];
      for (int i = 0; i < 2; i++) {
        in[r][i] = (Tensor64){DT_F64, g_node(g, g->inputs.v[i].val)->shape, NEWN(a, double, 64)};
        for (uint64_t k = 0; k < 64; k++) in[r][i].v[k] = op_case_normal(3, (uint32_t)(2 * r + i), k);
      }
    }
    graph_interp_ranks(g, R, ins, outs, a, false);
    double grad[R][N], h = 1e-4;
    for (int r = 0; r < R; r++) memcpy(grad[r], out[r][1].v, sizeof grad[r]);
    for (int r = 0; r < R; r++)
      for (int k = 0; k < N; k++) {
        double total[2] = {0}, was = in[r][0].v[k];
        for (int side = 0; side < 2; side++) {
          in[r][0].v[k] = was + (side ? -h : h);
          graph_interp_ranks(g, R, ins, outs, a, false);
          for (int q = 0; q < R; q++) total[side] += out[q][0].v[0];
        }
        in[r][0].v[k] = was;
        double want = (total[0] - total[1]) / (2 * h);
        ck_assert_msg(fabs(want - grad[r][k]) < 1e-6 * (1 + fabs(want)),
                      "%s: element %d of rank %d: %g for %g", op_table[op].name, k, r, grad[r][k], want);
      }
    arena_free(a);
  }
}
END_TEST

/* Whole steps, compiled: every rank ends with the same bits, those of the interpreter but for rounding. */
START_TEST(steps_compiled) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  FrontendOptions o = {.std_dir = "models", .set = models[_i].set};
  while (o.set[o.nset].name) o.nset++;
  Model *m = frontend_load(a, d, models[_i].path, &o);
  const Graph *g = m ? frontend_train_step(m, d, true) : NULL;
  ck_assert(g != NULL);
  for (int ranks = 2; ranks <= 3; ranks++) {
    Graph *copy = pass_live_copy(a, g, false);
    copy->ranks = ranks;
    PipelineOptions opt = {.verify_each = true};
    Graph *mine = pipeline_graph(a, copy, &opt, d);
    ck_assert(mine != NULL);
    Tensor64 *all = op_case_values(a, g, 1, 0.2);
    const Tensor64 *in[MOST];
    for (int r = 0; r < ranks; r++) in[r] = own_inputs(a, g, all, mine, r);
    bool alike;
    double e = team_error(a, mine, ranks, in, &alike);
    ck_assert_msg(e < 2e-2, "%s on %d ranks: error %g", models[_i].path, ranks, e);
    ck_assert_msg(alike, "%s on %d ranks: they differ", models[_i].path, ranks);
  }
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("ranks");
  TCase *t = tcase_create("shard");
  tcase_set_timeout(t, 600);
  tcase_add_test(t, random_models);
  tcase_add_loop_test(t, real_models, 0, sizeof models / sizeof *models);
  tcase_add_test(t, spread);
  tcase_add_test(t, operators_compiled);
  tcase_add_test(t, beside);
  tcase_add_test(t, together);
  tcase_add_test(t, derivatives);
  tcase_add_loop_test(t, steps_compiled, 0, sizeof models / sizeof *models);
  suite_add_tcase(s, t);
  return run_suite(s);
}
