/* Byte budgets: levels that need less memory and more time each.

   Level 0: as fast as can be. 1: kernels by themselves, since what a chain uses lives through all of it, and
   late. 2: loops keep only some of their steps (remat_loops.c). Then more and more is computed again (remat.c), with
   copies for fewer readers, each time first among the largest values alone. */
#include "passes/lower/lower.h"
#include "passes/lower/remat.h"

enum { FIRST_REMAT = BUDGET_LOOPS + 1, SHARES = 3 };
static const int64_t share[SHARES] = {2, 4, INT64_MAX};

const int budget_levels = FIRST_REMAT + SHARES * (REMAT_LEVELS - REMAT_LEAN);

void budget_level(LowerOptions *o, int level) {
  o->level = level;
  o->no_chains |= level > 0;
  o->lean |= level > 0;
}

void pass_remat(Lower *l) {
  const CostModel *cost = l->p->target.cost;
  int64_t few = cost->remat_bytes;
  int more = l->opt.level - FIRST_REMAT;
  if (l->opt.level >= BUDGET_LOOPS) l->g = remat_loops(l->arena, l->g);
  Graph *g = remat_graph(l->arena, l->g, cost, more < 0 ? REMAT_PLAIN : REMAT_LEAN, few);
  if (more >= 0) {
    int64_t least = remat_largest(l->g) / share[more % SHARES] + 1;
    g = remat_graph(l->arena, g, cost, REMAT_LEAN + 1 + more / SHARES, least > few ? least : few);
  }
  l->g = l->p->graph = g;
}

/* ---- a budget that does not hold ---- */
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

void budget_over(const Program *p, int64_t budget, Diags *d) {
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
