/* The pipeline: graph passes by name, then lowering passes in the order of their table (passes/lower/registry.c). */
#include "passes/pipeline.h"

#include "ir/graph/loops.h"

#include <string.h>

static const char *const graph_passes[] = {"simplify", "cse",      "narrow", "cse",      "autodiff",
                                           "strip",    "simplify", "cse",    "simplify", "shard",
                                           "parts",    "canon",    "split",  "cse",      "dce"};
enum { NGRAPH = sizeof graph_passes / sizeof *graph_passes };

static void print_times(const PassTime *t, int n) {
  fprintf(stderr, "%-12s %10s %8s %8s\n", "pass", "ms", "in", "out");
  for (int i = 0; i < n; i++)
    fprintf(stderr, "%-12s %10.3f %8d %8d\n", t[i].name, t[i].seconds * 1e3, t[i].before, t[i].after);
}

/* ---- graph passes ---- */
static bool watch_graph(void *ctx, const char *pass, Graph *g) {
  const PipelineOptions *o = ctx;
  return o->watch(o->watch_ctx, &(PassResult){.pass = pass, .graph = g});
}

static void dump_graph(void *ctx, int number, const char *pass, const Graph *g) {
  const PipelineOptions *o = ctx;
  StrBuf b = {0};
  graph_print(g, &b);
  o->dump(o->dump_ctx, number, pass, b.s ? b.s : "");
  sb_free(&b);
}

Graph *pipeline_graph(Arena *a, const Graph *in, const PipelineOptions *opt, Diags *d) {
  PassTime times[NGRAPH] = {0};
  PassOptions po = {.verify_each = opt->verify_each,
                    .dump = opt->dump ? dump_graph : NULL,
                    .dump_ctx = (void *)opt,
                    .watch = opt->watch ? watch_graph : NULL,
                    .watch_ctx = (void *)opt,
                    .times = times};
  int n = NGRAPH;
  for (int i = 0; i < NGRAPH && opt->stop_after; i++)
    if (!strcmp(graph_passes[i], opt->stop_after)) n = i + 1;
  if (opt->stop_after && !strcmp(opt->stop_after, "graph")) n = 0;
  Graph *g = passes_run(a, in, graph_passes, n, &po, d);
  if (g && opt->time_passes) print_times(times, n);
  return g;
}

/* ---- lowering passes ---- */
static LowerOptions lower_options(const PipelineOptions *o, int level) {
  LowerOptions l = {.conv = o->conv,
                    .blas = o->blas,
                    .lowered = o->lowered,
                    .precision = o->precision,
                    .no_chains = o->no_chains,
                    .lean = o->lean,
                    .chain_bytes = o->chain_bytes};
  budget_level(&l, level);
  return l;
}

/* The passes after those whose work the program has, up to stop_after, that these options want. */
static int remaining(const Lower *l, const PipelineOptions *o, const char **names) {
  int from = 0, to, n = 0;
  const LowerRow *row = lower_table(&to);
  for (int i = 0; i < to; i++) {
    if (row[i].gives && !(row[i].gives & ~lower_has(l))) from = i + 1;
    if (o->stop_after && !strcmp(o->stop_after, row[i].name)) to = i + 1;
  }
  for (int i = from; i < to; i++)
    if (lower_wants(l, row[i].name)) names[n++] = row[i].name;
  return n;
}

static Status lower_rest(Lower *l, const PipelineOptions *o, Diags *d) {
  int rows;
  lower_table(&rows);
  Arena *temp = arena_new();
  const char **names = NEWN(temp, const char *, rows);
  PassTime *times = NEWN(temp, PassTime, rows);
  int n = remaining(l, o, names);
  LowerRun run = {.verify_each = o->verify_each,
                  .first = NGRAPH + 1,
                  .dump = o->dump,
                  .dump_ctx = o->dump_ctx,
                  .watch = o->watch,
                  .watch_ctx = o->watch_ctx,
                  .times = times};
  Status s = lower_run(l, names, n, &run, d);
  if (!s && o->time_passes) print_times(times, n);
  arena_free(temp);
  return s;
}

/* The first level that holds the budget, or the one that needs least. */
static int level_for(const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d) {
  PipelineOptions quiet = *opt;
  quiet.verify_each = quiet.time_passes = false;
  quiet.dump = NULL, quiet.watch = NULL, quiet.stop_after = NULL;
  int64_t least = INT64_MAX;
  int best = 0;
  for (int level = 0; level < budget_levels && least > opt->max_memory; level++) {
    if (level == BUDGET_LOOPS && !graph_has_loops(g)) continue;
    Arena *trial = arena_new();
    LowerOptions o = lower_options(opt, level);
    Lower *l = lower_begin(trial, g, t, &o);
    lower_rest(l, &quiet, d);
    int64_t bytes = lower_end(l)->arena_bytes;
    arena_free(trial);
    if (bytes < least) least = bytes, best = level;
  }
  return best;
}

static Lower *lower_graph(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                          Status *s) {
  LowerOptions o = lower_options(opt, opt->max_memory > 0 ? level_for(g, t, opt, d) : 0);
  Lower *l = lower_begin(a, g, t, &o);
  *s = lower_rest(l, opt, d);
  return l;
}

Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status) {
  Program *p = lower_end(lower_graph(a, g, t, opt, d, status));
  if (*status) return NULL;
  if (opt->max_memory <= 0 || p->arena_bytes <= opt->max_memory) return p;
  budget_over(p, opt->max_memory, d);
  *status = ST_BUDGET;
  return NULL;
}

Status pipeline_lower_text(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                           StrBuf *out) {
  Status s;
  Lower *l = lower_graph(a, g, t, opt, d, &s);
  if (!s) lower_print(l, out);
  lower_end(l);
  return s;
}

Status pipeline_resume(Program *p, const PipelineOptions *opt, Diags *d) {
  LowerOptions o = lower_options(opt, 0);
  Lower *l = lower_resume(p, &o);
  Status s = lower_rest(l, opt, d);
  lower_end(l);
  return s;
}
