/* Memory planning: one arena. Inputs and states first, then everything else by lifetime, largest first, each
   at the lowest offset free over its life ("greedy by size", as in Pisarchyk & Lee, "Efficient Memory
   Management for Deep Neural Net Inference", 2020). An elementwise kernel may write its result over an
   operand that dies there. */
#include <stdlib.h>
#include <string.h>

#include "passes/lower.h"

typedef struct {
  int64_t bytes;
  int index;
} BySize;

static int by_size(const void *x, const void *y) {
  const BySize *a = x, *b = y;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  return a->index - b->index;
}

int64_t memplan_pack(Extent *e, int n, int64_t align) {
  BySize *s = calloc((size_t)n + 1, sizeof *s);
  int *placed = calloc((size_t)n + 1, sizeof *placed); /* by offset */
  if (!s || !placed) bug("memplan: out of memory");
  for (int i = 0; i < n; i++) s[i] = (BySize){e[i].bytes, i};
  qsort(s, (size_t)n, sizeof *s, by_size);
  int np = 0;
  int64_t total = 0;
  for (int i = 0; i < n; i++) {
    Extent *x = &e[s[i].index];
    int64_t at = 0;
    for (int j = 0; j < np; j++) {
      const Extent *y = &e[placed[j]];
      if (y->last < x->first || x->last < y->first) continue;
      if (y->offset - at >= x->bytes) break;
      int64_t end = (y->offset + y->bytes + align - 1) / align * align;
      if (end > at) at = end;
    }
    x->offset = at;
    int j = np++;
    for (; j > 0 && e[placed[j - 1]].offset > at; j--) placed[j] = placed[j - 1];
    placed[j] = s[i].index;
    if (at + x->bytes > total) total = at + x->bytes;
  }
  free(s);
  free(placed);
  return total;
}

static void lifetimes(Program *p) {
  for (int b = 0; b < p->buf.n; b++) p->buf.v[b].first = p->buf.v[b].last = -1;
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nbuf; i++) {
      Buf *b = &p->buf.v[program_root(p, p->kernel.v[k].buf[i])];
      if (b->first < 0) b->first = k;
      b->last = k;
    }
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].kind == BUF_RESULT) p->buf.v[b].last = p->kernel.n;
}

static void reuse_dying_operands(Program *p) {
  for (int k = 0; k < p->kernel.n; k++) {
    Kernel *kn = &p->kernel.v[k];
    for (int o = kn->nbuf - kn->nout; o < kn->nbuf; o++) {
      Buf *out = &p->buf.v[kn->buf[o]];
      if (out->kind != BUF_TEMP || out->alias >= 0 || out->first != k) continue;
      for (int i = 0; i < kn->nbuf - kn->nout; i++) {
        int in = program_root(p, kn->buf[i]);
        Buf *b = &p->buf.v[in];
        if (b->kind != BUF_TEMP || b->last != k || b->first == k || b->bytes != out->bytes ||
            b->dt != out->dt)
          continue;
        if (!reads_in_place(p, kn, in, kn->buf[o])) continue;
        out->alias = in;
        b->last = out->last;
        break;
      }
    }
  }
}

void memplan(Lower *l) {
  Program *p = l->p;
  const int64_t align = 64;
  lifetimes(p);
  reuse_dying_operands(p);
  int64_t base = 0;
  int64_t *state_at = NEWN(l->arena, int64_t, p->graph->inputs.n);
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    state_at[i] = base;
    base += (shape_count(&n->shape) * dtype_size(n->dt) + align - 1) / align * align;
  }
  Extent *e = NEWN(l->arena, Extent, p->buf.n + 1);
  int *which = NEWN(l->arena, int, p->buf.n + 1), n = 0;
  for (int b = 0; b < p->buf.n; b++) {
    Buf *x = &p->buf.v[b];
    if (x->kind == BUF_INPUT && x->alias < 0) x->offset = state_at[x->input];
    else if (x->alias < 0 && x->first >= 0) {
      e[n] = (Extent){x->bytes, x->first, x->last, 0};
      which[n++] = b;
    }
  }
  int64_t total = memplan_pack(e, n, align);
  for (int i = 0; i < n; i++) p->buf.v[which[i]].offset = base + e[i].offset;
  for (int b = 0; b < p->buf.n; b++) p->buf.v[b].offset = p->buf.v[program_root(p, b)].offset;
  p->arena_bytes = base + (total + align - 1) / align * align;
}
