/* jepac bench: time, memory and work of one training step on synthetic inputs; of the first entry in eval
   mode when the file trains nothing. */
#include "cli/cli.h"
#include "cli/profile.h"
#include "cli/trace.h"
#include "lib/ranks.h"
#include "runtime/metrics.h"
#include "runtime/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How many classes the data have; 1 where that is not known, as label 0 is always valid. */
static uint32_t data_classes(const Recipe *r) {
  const Setting *s = r ? setting_find(r->data.set, r->data.nset, "classes") : NULL;
  return s && s->kind == SET_NUM && s->num >= 1 ? (uint32_t)s->num : 1;
}

/* Normal numbers; labels and tokens below `classes`. */
static void fill_inputs(Session *s, uint32_t classes, uint64_t seed) {
  const Plan *p = session_plan(s);
  for (int i = 0; i < p->ntensor; i++) {
    SessionTensor t = session_tensor_at(s, i);
    if (t.kind == PT_ARG && t.dt == DT_I64) {
      Rng r = rng_stream(seed, 0xbe9c, (uint32_t)i, 0);
      for (int64_t k = 0, n = shape_count(&t.shape); k < n; k++)
        ((int64_t *)t.data)[k] = rng_below(&r, classes);
    }
    if (t.kind != PT_ARG || t.dt != DT_F32) continue;
    RngBlock b = {.seed = seed, .stream = 0xbe9c0000u + (uint32_t)i, .normal = true, .b = 1};
    double x[RNG_BLOCK];
    for (int64_t k = 0, n = shape_count(&t.shape); k < n; k += RNG_BLOCK) {
      int some = n - k < RNG_BLOCK ? (int)(n - k) : RNG_BLOCK;
      rng_block(&b, k, some, x);
      for (int j = 0; j < some; j++) ((float *)t.data)[k + j] = (float)x[j];
    }
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* The step without the gradient norm that only the check looks at (clipping may need it too). */
static const Graph *without_norm(Arena *a, const Graph *g) {
  Graph *bare = graph_new(a, g->name);
  bare->precision = g->precision;
  bare->ranks = g->ranks;
  for (Val v = 0; v < g->node.n; v++) g_copy_node(bare, g, v, g_node(g, v)->in);
  for (int i = 0; i < g->outputs.n; i++)
    if (strcmp(g->outputs.v[i].name, "grad_norm"))
      g_output(bare, g->outputs.v[i].name, g->outputs.v[i].val, g->outputs.v[i].state);
  return bare;
}

static double median(double *t, int64_t n) {
  qsort(t, (size_t)n, sizeof *t, by_value);
  return n % 2 ? t[n / 2] : (t[n / 2 - 1] + t[n / 2]) / 2;
}

/* --checks: what looking for non-finite values costs when there are none. Steps as jepac train makes them, in
   turn with steps that compute no norm for the check and look at nothing. */
static Status bench_checks(Cli *c, const Graph *g, Compiled *checked, uint32_t classes, uint64_t seed,
                           int64_t n) {
  Compiled bare;
  Status s = cli_compile(c, without_norm(c->arena, g), &bare);
  if (s) return s;
  session_ranks(bare.session, c->ranks);
  compiled_init(&bare, seed);
  fill_inputs(bare.session, classes, seed);
  double *with = NEWN(c->arena, double, n), *without = NEWN(c->arena, double, n),
         *more = NEWN(c->arena, double, n);
  int bad;
  for (int64_t i = -2; i < n && !s; i++) {
    double spent[2];
    for (int turn = 0; turn < 2; turn++) { /* who comes first changes, as its caches are colder */
      bool check = (turn ^ i) & 1;
      double start = now_seconds();
      if (check) s = compiled_step(checked, &bad);
      else session_run(bare.session, 0, bare.plan->nstep);
      spent[check] = now_seconds() - start;
    }
    if (i < 0) continue;
    with[i] = spent[1];
    without[i] = spent[0];
    more[i] = with[i] - without[i];
  }
  compiled_free(&bare);
  if (s) return cli_fail(c, s, "the step is not finite on random inputs: the check cannot be timed");
  double base = median(without, n);
  if (c->ranks && c->ranks->rank) return ST_OK;
  printf("checks      %.4f ms with them, %.4f ms without: %+.2f %% (median of %lld differences %+.4f ms)\n",
         median(with, n) * 1e3, base * 1e3, 100 * (median(with, n) / base - 1), (long long)n,
         median(more, n) * 1e3);
  return ST_OK;
}

static Status prepare(Cli *c, const Recipe **recipe, const Graph **g, Compiled *k) {
  Model *m;
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  if (s) return s;
  *recipe = cli_recipe(c, m);
  s = cli_model_graph(c, m, *recipe ? "train_step" : NULL, g);
  return s ? s : cli_compile(c, *g, k);
}

/* Images a second of all ranks, and the share of the time that they wait for each other. */
static void print_ranks(const Cli *c, const Recipe *recipe, const Session *s, double step, double seconds) {
  const Ranks *r = c->ranks;
  printf("ranks       %d x %d threads", r->count, session_threads(s));
  if (recipe) printf(", %.0f samples/s", (double)(recipe->batch * recipe->parts) / step);
  printf("; %.1f %% of the time between ranks\n", 100 * (r->waited + r->awaited) / seconds);
}

Status cmd_bench(Cli *c) {
  double start = now_seconds();
  int64_t n = OPT(c, steps) < 0 ? 20 : OPT(c, steps);
  if (n < 1) return cli_fail(c, ST_USAGE, "--steps needs at least 1");
  Status s = cli_ranks_start(c);
  if (s) return s;
  if (c->ranks && (OPT(c, by) || OPT(c, flame) || OPT(c, verbose)))
    return cli_fail(c, ST_USAGE, "--by, --flame and --verbose run kernels one by one: without other ranks");
  const Recipe *recipe = NULL;
  const Graph *g = NULL;
  Compiled k = {0};
  if ((s = cli_ranks_settle(c, prepare(c, &recipe, &g, &k)))) return s;
  if (c->ranks) ranks_choose_beside(c->ranks, session_threads(k.session));
  session_ranks(k.session, c->ranks);
  bool first_rank = !c->ranks || c->ranks->rank == 0;
  uint64_t seed = cli_seed(c, recipe);
  uint32_t classes = data_classes(recipe);
  compiled_init(&k, seed);
  fill_inputs(k.session, classes, seed);
  double *t = NEWN(c->arena, double, n), first = 0, timed = 0;
  for (int64_t i = -1; i < n; i++) {
    tensors_set_number(k.session, "step", i + 1);
    if (i == 0 && c->ranks) ranks_forget_times(c->ranks);
    double begin = now_seconds();
    if (!i) timed = begin;
    session_run(k.session, 0, k.plan->nstep);
    if (i < 0) first = now_seconds() - start;
    else t[i] = now_seconds() - begin;
  }
  timed = now_seconds() - timed;
  double middle = median(t, n), flops = 0;
  for (int i = 0; i < k.plan->nstep; i++) flops += k.plan->step[i].flops;
  int64_t rss = peak_memory();
  if (OPT(c, verbose) || OPT(c, by) || OPT(c, flame) || cli_dump_wants_times(c)) {
    const double *seconds = profile_measure(k.session);
    FILE *f = OPT(c, json) ? stderr : stdout;
    if (OPT(c, by) && !strcmp(OPT(c, by), "module")) profile_print_modules(c, &k, seconds, f);
    else if (OPT(c, verbose) || OPT(c, by)) profile_print_kernels(c, &k, seconds, f);
    if (cli_dump_wants_times(c) && (s = cli_dump_times(c, k.program, seconds))) return s;
    if (OPT(c, flame) && (s = profile_flame(c, &k, seconds, OPT(c, flame)))) return s;
  }
  if (OPT(c, trace)) {
    Trace *trace = trace_new(c, &k);
    for (int64_t i = 0; i < 5; i++) {
      tensors_set_number(k.session, "step", n + i);
      trace_step(trace, n + i);
      session_run(k.session, 0, k.plan->nstep);
    }
    if ((s = cli_ranks_settle(c, trace_write(trace, OPT(c, trace))))) return s;
  }
  if (!first_rank) {
    (void)OPT(c, json);
  } else if (OPT(c, json)) {
    printf("{\"step_min_s\": %.9g, \"step_median_s\": %.9g, \"first_step_s\": %.9g, \"compile_s\": %.9g, "
           "\"peak_rss_bytes\": %lld, "
           "\"arena_bytes\": %lld, \"flops\": %.17g}\n",
           t[0], middle, first, k.seconds, (long long)rss, (long long)k.plan->arena_bytes, flops);
  } else {
    printf("step        %.3f ms (median of %lld; best %.3f ms), %.1f GFLOP/s\n", middle * 1e3, (long long)n,
           t[0] * 1e3, flops / middle * 1e-9);
    printf("first step  %.3f s after start; passes and code generation %.3f s\n", first, k.seconds);
    printf("memory      peak %s, arena %s, scratch %s a thread\n", human_bytes(c->arena, rss),
           human_bytes(c->arena, k.plan->arena_bytes), human_bytes(c->arena, k.plan->scratch_bytes));
    printf("work        %sFLOP a step\n", human_count(c->arena, flops));
    if (c->ranks) print_ranks(c, recipe, k.session, middle, timed);
  }
  if (OPT(c, checks)) s = bench_checks(c, g, &k, classes, seed, n);
  compiled_free(&k);
  return s;
}
