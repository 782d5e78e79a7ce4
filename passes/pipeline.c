/* The pipeline as a table of contents: graph passes by name, then lowering. */
#include "passes/pipeline.h"

#include <string.h>

#include "passes/lower.h"
#include "passes/pass.h"

static const char *const graph_passes[] = {"simplify", "cse",   "autodiff", "strip", "simplify", "cse",
                                           "simplify", "canon", "cse",      "dce",   "remat"};
enum { NGRAPH = sizeof graph_passes / sizeof *graph_passes };

typedef struct {
  const PipelineOptions *opt;
} DumpCtx;

static void dump_graph(void *ctx, int number, const char *pass, const Graph *g) {
  const PipelineOptions *o = ((DumpCtx *)ctx)->opt;
  StrBuf b = {0};
  graph_print(g, &b);
  o->dump(o->dump_ctx, number, pass, b.s ? b.s : "");
  sb_free(&b);
}

static void print_times(const PassTime *t, int n) {
  fprintf(stderr, "%-12s %10s %8s %8s\n", "pass", "ms", "nodes in", "out");
  for (int i = 0; i < n; i++)
    fprintf(stderr, "%-12s %10.3f %8d %8d\n", t[i].name, t[i].seconds * 1e3, t[i].nodes_before,
            t[i].nodes_after);
}

Graph *pipeline_graph(Arena *a, const Graph *in, const PipelineOptions *opt, Diags *d) {
  DumpCtx ctx = {opt};
  PassTime times[NGRAPH];
  memset(times, 0, sizeof times);
  PassOptions po = {.verify_each = opt->verify_each,
                    .dump = opt->dump ? dump_graph : NULL,
                    .dump_ctx = &ctx,
                    .times = times};
  int n = NGRAPH;
  if (opt->stop_after) {
    int stop = -1;
    for (int i = 0; i < NGRAPH; i++)
      if (!strcmp(graph_passes[i], opt->stop_after)) stop = i;
    if (stop >= 0) n = stop + 1;
    if (!strcmp(opt->stop_after, "graph")) n = 0;
  }
  Graph *g = passes_run(a, in, graph_passes, n, &po, d);
  if (g && opt->time_passes) print_times(times, n);
  return g;
}

static int *filled(Arena *a, int n, int value) {
  int *p = NEWN(a, int, n + 1);
  for (int i = 0; i < n; i++) p[i] = value;
  return p;
}

static void dump_program(const PipelineOptions *opt, int number, const char *name, const Program *p) {
  if (!opt->dump) return;
  StrBuf b = {0};
  program_print(p, &b);
  opt->dump(opt->dump_ctx, number, name, b.s ? b.s : "");
  sb_free(&b);
}

static void check(const PipelineOptions *opt, const Program *p, const char *after) {
  char err[512];
  if (opt->verify_each && !program_verify(p, err, sizeof err)) bug("after %s: %s", after, err);
}

Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status) {
  int n = g->node.n;
  bool *nohome = NEWN(a, bool, n + 1), *noblock = NEWN(a, bool, n + 1);
  double start = now_seconds(), fused = 0, ordered = 0;
  Arena *attempt = arena_new();
  Lower *l;
  for (;;) {
    l = NEW(a, Lower);
    l->arena = a;
    l->attempt = attempt;
    l->g = g;
    l->conv = opt->conv;
    l->p = NEW(a, Program);
    l->p->graph = g;
    l->p->arena = a;
    l->p->target = *t;
    l->block = filled(a, n, 0);
    l->stored = NEWN(a, bool, n + 1);
    l->noinline = NEWN(a, bool, n + 1);
    l->row_inline = NEWN(a, bool, n + 1);
    l->nohome = nohome;
    l->noblock = noblock;
    l->home = filled(a, n, -1);
    l->buf = filled(a, n, -1);
    l->kernel_of = filled(a, n, -1);
    layout_assign(l);
    fuse(l);
    fused = now_seconds();
    if (l->restart) continue;
    Val culprit = -1;
    if (schedule(l, &culprit)) break;
    nohome[culprit] = true;
  }
  arena_free(attempt);
  check(opt, l->p, "fuse");
  dump_program(opt, 20, "fuse", l->p);
  ordered = now_seconds();
  memplan(l);
  check(opt, l->p, "memplan");
  dump_program(opt, 21, "memplan", l->p);
  if (opt->time_passes)
    fprintf(stderr, "%-12s %10.3f\n%-12s %10.3f\n%-12s %10.3f   %d kernels, %.1f MiB\n", "fuse",
            (fused - start) * 1e3, "schedule", (ordered - fused) * 1e3, "memplan",
            (now_seconds() - ordered) * 1e3, l->p->kernel.n, (double)l->p->arena_bytes / 1048576);
  if (opt->max_memory > 0 && l->p->arena_bytes > opt->max_memory) {
    diag_error(d, NULL, "the program needs %.1f MiB and --max-memory allows %.1f MiB",
               (double)l->p->arena_bytes / 1048576, (double)opt->max_memory / 1048576);
    *status = ST_BUDGET;
    return NULL;
  }
  *status = ST_OK;
  return l->p;
}
