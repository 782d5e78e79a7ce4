/* Order of steps that do not depend on each other. Threads walk the list of steps on their own and wait only
   for what a step reads (Step.overlap of runtime/abi.h), so a step that follows directly on the one it needs
   waits for that one's last chunk with nothing else to do. Here another step that is ready is put between
   them: the next in the old order, from a window, since what comes earlier lives longer. Chains and loops stay whole. */
#include "passes/lower/lower.h"

enum { WINDOW = 32 };

typedef VEC(int) IntVec;

typedef struct {
  int first, n;    /* kernels */
  int64_t written; /* bytes */
  double work;     /* seconds of one thread */
  double last;     /* of the last chunk */
  double ready;    /* when what it reads is finished, in work given out before */
  int waits;       /* for so many groups not yet placed */
  bool placed;
  IntVec next; /* groups that need it */
} Group;

typedef struct {
  int writer;    /* group, -1 none yet */
  IntVec reader; /* groups since */
} Use;

static int find_groups(const Program *p, Group *g) {
  int n = 0;
  for (int at = 0; at < p->ncompute; at++) {
    const Kernel *k = &p->kernel.v[at];
    bool chained = n && k->chain && p->kernel.v[at - 1].chain == k->chain,
         looped = n && program_loop_below(p, at, 0) &&
                  program_loop_below(p, at - 1, 0) == program_loop_below(p, at, 0);
    if (!chained && !looped) g[n++] = (Group){.first = at};
    double work = kernel_seconds(p, k);
    g[n - 1].n++;
    for (int j = k->nbuf - k->nout; j < k->nbuf; j++) g[n - 1].written += p->buf.v[k->buf[j]].bytes;
    g[n - 1].work += work;
    g[n - 1].last += work / (double)kernel_chunks(p, k);
  }
  return n;
}

static void depend(Arena *a, Group *g, int later, int earlier) {
  if (earlier < 0 || earlier == later) return;
  vec_push(a, &g[earlier].next, later);
  g[later].waits++;
}

static void find_order(const Program *p, Group *g, int n) {
  Use *use = NEWN(p->arena, Use, p->buf.n + 1);
  for (int b = 0; b < p->buf.n; b++) use[b].writer = -1;
  for (int i = 0; i < n; i++)
    for (int at = g[i].first; at < g[i].first + g[i].n; at++) {
      const Kernel *k = &p->kernel.v[at];
      for (int j = 0; j < k->nbuf; j++) {
        Use *u = &use[program_root(p, k->buf[j])];
        depend(p->arena, g, i, u->writer);
        if (j < k->nbuf - k->nout) {
          vec_push(p->arena, &u->reader, i);
          continue;
        }
        for (int r = 0; r < u->reader.n; r++) depend(p->arena, g, i, u->reader.v[r]);
        u->reader.n = 0;
        u->writer = i;
      }
    }
}

/* The first of the window that need not wait at work `now` and is no burden on memory, or else the first. */
static int choose(const CostModel *c, const Group *g, int n, int lead, double now) {
  for (int i = lead; i < n && i < lead + WINDOW; i++)
    if (!g[i].placed && !g[i].waits && g[i].ready <= now && (i == lead || g[i].written < c->early_bytes))
      return i;
  return lead;
}

void pass_interleave(Lower *l) {
  Program *p = l->p;
  Group *g = NEWN(p->arena, Group, p->ncompute + 1);
  int n = find_groups(p, g), at = 0;
  find_order(p, g, n);
  Kernel *sorted = NEWN(p->arena, Kernel, p->kernel.n + 1);
  double now = 0;
  for (int lead = 0; at < p->ncompute;) {
    while (g[lead].placed) lead++;
    Group *x = &g[choose(p->target.cost, g, n, lead, now)];
    for (int k = 0; k < x->n; k++) sorted[at++] = p->kernel.v[x->first + k];
    x->placed = true;
    now += x->work;
    for (int i = 0; i < x->next.n; i++) {
      Group *y = &g[x->next.v[i]];
      y->waits--;
      if (y->ready < now + x->last) y->ready = now + x->last;
    }
  }
  for (; at < p->kernel.n; at++) sorted[at] = p->kernel.v[at];
  p->kernel.v = sorted;
  p->kernel.cap = p->kernel.n;
}
