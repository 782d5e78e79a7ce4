/* The pipeline as a table of contents: graph passes by name, then lowering. */
#include "passes/pipeline.h"

#include <string.h>

#include "passes/lower/lower.h"
#include "passes/graph/remat.h"

static const char *const graph_passes[] = {"simplify", "cse",      "narrow", "cse",      "autodiff",
                                           "strip",    "simplify", "cse",    "simplify", "canon",
                                           "split",    "cse",      "dce",    "remat"};
enum { NGRAPH = sizeof graph_passes / sizeof *graph_passes };

static bool watch(const PipelineOptions *o, PassResult r) { return !o->watch || o->watch(o->watch_ctx, &r); }

typedef struct {
  const PipelineOptions *opt;
} DumpCtx;

static bool watch_graph(void *ctx, const char *pass, Graph *g) {
  return watch(((DumpCtx *)ctx)->opt, (PassResult){.pass = pass, .graph = g});
}

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
                    .watch = opt->watch ? watch_graph : NULL,
                    .watch_ctx = &ctx,
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

int *lower_filled(Arena *a, int n, int value) {
  int *p = NEWN(a, int, n + 1);
  for (int i = 0; i < n; i++) p[i] = value;
  return p;
}

Lower *lower_begin(Arena *a, Arena *attempt, const Graph *g, const Target *t, ConvAlgo conv) {
  int n = g->node.n;
  Lower *l = NEW(a, Lower);
  *l = (Lower){.arena = a, .attempt = attempt, .g = g, .conv = conv, .p = NEW(a, Program)};
  l->p->graph = g;
  l->p->arena = a;
  l->p->target = *t;
  l->p->memo = plan_memo_new(a);
  l->layout = NEWN(a, int, n + 1);
  l->facts = (Facts){NEWN(a, bool, n + 1), NEWN(a, bool, n + 1), NEWN(a, bool, n + 1)};
  l->explained = NEWN(a, bool, n + 1);
  return l;
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

/* NULL when the watcher stops it. */
static Program *lower(Arena *a, Arena *attempt, const Graph *g, const Target *t, const PipelineOptions *opt) {
  double start = now_seconds(), fused = 0, ordered = 0;
  if (opt->bf16) {
    Graph *rounded = precision_graph(a, g, t, opt->conv);
    if (!watch(opt, (PassResult){.pass = "precision", .graph = rounded, .rounds = true})) return NULL;
    g = rounded;
  }
  Lower *l = lower_begin(a, attempt, g, t, opt->conv);
  l->lean = opt->lean;
  layout_assign(l);
  if (!watch(opt, (PassResult){.pass = "layout", .of = g, .block = l->layout})) return NULL;
  fuse(l);
  fused = now_seconds();
  if (!watch(opt, (PassResult){.pass = "fuse", .program = l->p, .new_kernels = true})) return NULL;
  schedule(l);
  ordered = now_seconds();
  check(opt, l->p, "fuse");
  if (!watch(opt, (PassResult){.pass = "schedule", .program = l->p, .ordered = true})) return NULL;
  if (!opt->no_chains) {
    chain(l, opt->chain_bytes ? opt->chain_bytes : t->cost->chain_bytes);
    check(opt, l->p, "chain");
    if (!watch(opt, (PassResult){.pass = "chain", .program = l->p, .ordered = true})) return NULL;
    interleave(l);
    check(opt, l->p, "interleave");
    if (!watch(opt, (PassResult){.pass = "interleave", .program = l->p, .ordered = true})) return NULL;
  }
  memplan(l);
  if (!watch(opt, (PassResult){.pass = "memplan", .program = l->p, .ordered = true})) return NULL;
  if (opt->time_passes)
    fprintf(stderr, "%-12s %10.3f\n%-12s %10.3f\n%-12s %10.3f   %d kernels, %.1f MiB\n", "fuse",
            (fused - start) * 1e3, "schedule", (ordered - fused) * 1e3, "memplan",
            (now_seconds() - ordered) * 1e3, l->p->kernel.n, (double)l->p->arena_bytes / 1048576);
  return l->p;
}

static bool live_at(const Buf *b, int k) {
  return b->kind != BUF_INPUT && b->alias < 0 && b->first >= 0 && b->first <= k && b->last >= k;
}

/* "12.3 MiB", "4.5 KiB" or "40 B" into buf. */
static const char *human(int64_t n, char buf[static 32]) {
  if (n >= 1 << 20) snprintf(buf, 32, "%.1f MiB", (double)n / 1048576);
  else if (n >= 1 << 10) snprintf(buf, 32, "%.1f KiB", (double)n / 1024);
  else snprintf(buf, 32, "%lld B", (long long)n);
  return buf;
}

static void over_budget(const Program *p, int64_t budget, Diags *d) {
  char need[32], may[32];
  diag_error(d, NULL, "the program needs %s and --max-memory allows %s", human(p->arena_bytes, need),
             human(budget, may));
  int64_t state = 0, most = -1;
  int peak = 0;
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    state += shape_count(&n->shape) * dtype_size(n->dt);
  }
  diag_note(d, NULL, "%s of it are inputs, parameters and optimizer state", human(state, need));
  for (int k = 0; k < p->kernel.n; k++) {
    int64_t sum = 0;
    for (int b = 0; b < p->buf.n; b++) sum += live_at(&p->buf.v[b], k) ? p->buf.v[b].bytes : 0;
    if (sum > most) {
      most = sum;
      peak = k;
    }
  }
  int64_t below = INT64_MAX;
  int last = -1;
  for (int shown = 0; shown < 8; shown++) { /* the largest live at the peak, each once */
    int best = -1;
    for (int b = 0; b < p->buf.n; b++) {
      const Buf *x = &p->buf.v[b];
      if (!live_at(x, peak) || x->bytes > below || (x->bytes == below && b <= last)) continue;
      if (best < 0 || x->bytes > p->buf.v[best].bytes) best = b;
    }
    if (best < 0) break;
    const Buf *x = &p->buf.v[best];
    char type[128];
    const Loc *loc = x->val >= 0 ? g_node(p->graph, x->val)->loc : NULL;
    diag_note(d, loc, "%s live at the peak: %s %s", human(x->bytes, need),
              x->val >= 0 ? op_table[g_node(p->graph, x->val)->op].name : "workspace",
              type_str(x->dt, &x->shape, type));
    below = x->bytes;
    last = best;
  }
}

/* Level 0: as fast as can be. 1: kernels by themselves, since what a chain uses lives through all of it, and
   late. Then more and more is computed again (passes/graph/remat.c), each time first among the largest values
   alone; what the remat pass made is undone by cse and made again with copies for fewer readers. */
enum { FIRST_REMAT = 2, LOWER_LEVELS = FIRST_REMAT + 3 * (REMAT_LEVELS - REMAT_LEAN) };

static Program *lower_at(Arena *a, Arena *attempt, const Graph *g, int level, const Target *t,
                         const PipelineOptions *opt) {
  PipelineOptions o = *opt;
  o.no_chains |= level > 0;
  o.lean |= level > 0;
  if (level >= FIRST_REMAT) {
    int more = level - FIRST_REMAT;
    static const int64_t share[] = {2, 4, INT64_MAX};
    int64_t least = remat_largest(g) / share[more % 3] + 1;
    g = remat_graph(a, pass_cse(a, g, NULL), REMAT_LEAN, t->cost->remat_bytes);
    g = remat_graph(a, g, REMAT_LEAN + 1 + more / 3,
                    least > t->cost->remat_bytes ? least : t->cost->remat_bytes);
  }
  return lower(a, attempt, g, t, &o);
}

/* The first level that holds the budget, or the one that needs least; -1 when the watcher stopped. */
static int level_for(Arena *attempt, const Graph *g, const Target *t, const PipelineOptions *opt) {
  int64_t least = INT64_MAX;
  int best = 0;
  for (int level = 0; level < LOWER_LEVELS && least > opt->max_memory; level++) {
    Arena *trial = arena_new();
    Program *p = lower_at(trial, attempt, g, level, t, opt);
    int64_t bytes = p ? p->arena_bytes : -1;
    arena_free(trial);
    if (bytes < 0) return -1;
    if (bytes < least) least = bytes, best = level;
  }
  return best;
}

Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status) {
  Arena *attempt = arena_new();
  int level = opt->max_memory > 0 ? level_for(attempt, g, t, opt) : 0;
  Program *best = level < 0 ? NULL : lower_at(a, attempt, g, level, t, opt);
  arena_free(attempt);
  if (!best) {
    *status = ST_VERIFY;
    return NULL;
  }
  if (opt->max_memory > 0 && best->arena_bytes > opt->max_memory) {
    over_budget(best, opt->max_memory, d);
    *status = ST_BUDGET;
    return NULL;
  }
  check(opt, best, "memplan");
  dump_program(opt, 21, "memplan", best);
  *status = ST_OK;
  return best;
}
