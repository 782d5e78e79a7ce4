/* Memory planning: one arena. Inputs and states first, then everything else by lifetime, largest first, each
   at the lowest offset free over its life ("greedy by size", as in Pisarchyk & Lee, "Efficient Memory
   Management for Deep Neural Net Inference", 2020). An elementwise kernel may write its result over an
   operand that dies there. */
#include <stdlib.h>
#include <string.h>

#include "passes/lower/lower.h"

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
  Arena *tmp = arena_new();
  BySize *s = NEWN(tmp, BySize, n + 1);
  int *placed = NEWN(tmp, int, n + 1); /* by offset */
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
  arena_free(tmp);
  return total;
}

static void lifetimes(Program *p) {
  for (int b = 0; b < p->buf.n; b++) p->buf.v[b].first = p->buf.v[b].last = -1;
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nbuf; i++) {
      Buf *b = &p->buf.v[program_memory(p, p->kernel.v[k].buf[i])];
      if (b->first < 0) b->first = k;
      b->last = k;
    }
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].kind == BUF_RESULT) p->buf.v[b].last = p->kernel.n;
}

/* What kernels inside of a loop and others use lives through all its steps; inner loops first. */
static void widen_loops(Program *p) {
  for (int l = p->loop.n; l > 0; l--) {
    int first, last;
    program_loop_range(p, l, &first, &last);
    for (int b = 0; b < p->buf.n && last >= 0; b++) {
      Buf *x = &p->buf.v[b];
      if (x->first < 0 || x->last < first || x->first > last) continue;
      if (x->first >= first && x->last <= last) continue;
      if (x->first > first) x->first = first;
      if (x->last < last) x->last = last;
    }
  }
}

/* Do the kernels that run together with k touch of buffer `root` only their own chunk's part, of `bytes`? A
   chunk of 0 bytes means a kernel by itself. */
static bool by_chunks(const Program *p, int k, int root, int64_t bytes) {
  int first, last;
  program_chain(p, k, &first, &last);
  if (first == last) return true;
  for (int j = first; j <= last; j++)
    for (int i = 0; i < p->kernel.v[j].nbuf; i++)
      if (program_root(p, p->kernel.v[j].buf[i]) == root) {
        if (!bytes || kernel_chunk_of_root(p, &p->kernel.v[j], root) != bytes) return false;
        break;
      }
  return true;
}

/* The kernels of a chain run at the same time: what one of them uses lives through all of it. */
static void widen_chains(Program *p) {
  for (int b = 0; b < p->buf.n; b++) {
    Buf *x = &p->buf.v[b];
    int ignore;
    if (x->first < 0 || x->chunk) continue;
    program_chain(p, x->first, &x->first, &ignore);
    if (x->last < p->kernel.n) program_chain(p, x->last, &ignore, &x->last);
  }
}

/* Buffers of one chunk: offsets inside their chain's part of a thread's scratch. */
static void pack_chunks(Lower *l, Extent *e, int *which) {
  Program *p = l->p;
  for (int k = 0; k < p->kernel.n;) {
    int c = p->kernel.v[k].chain, end = k + 1, n = 0;
    while (c && end < p->kernel.n && p->kernel.v[end].chain == c) end++;
    for (int b = 0; c && b < p->buf.n; b++)
      if (p->buf.v[b].chunk && p->buf.v[b].first >= k && p->buf.v[b].first < end) {
        e[n] = (Extent){p->buf.v[b].chunk, p->buf.v[b].first, p->buf.v[b].last, 0};
        which[n++] = b;
      }
    memplan_pack(e, n, TENSOR_ALIGN);
    for (int i = 0; i < n; i++) p->buf.v[which[i]].offset = e[i].offset;
    k = end;
  }
}

/* May `out`, first written by kernel k, lie where `in` lay, which dies in k or in its chain? Where k reads it
   element by element, or, in a chain, where its chunk was finished by an earlier kernel. */
static bool may_replace(const Program *p, int at, int in, int out) {
  const Kernel *k = &p->kernel.v[at];
  int64_t bytes = k->chain ? kernel_chunk_of_root(p, k, out) : 0;
  if (!by_chunks(p, at, in, bytes) || !by_chunks(p, at, out, bytes)) return false;
  if (p->buf.v[in].last == at) return kernel_reads_in_place(p, k, in, out);
  return bytes > 0;
}

static void take_place(Program *p, int k, int out) {
  Buf *o = &p->buf.v[out];
  int first, last;
  program_chain(p, k, &first, &last);
  for (int j = k; j >= first; j--)
    for (int i = 0; i < p->kernel.v[j].nbuf - (j == k ? p->kernel.v[j].nout : 0); i++) {
      int in = program_root(p, p->kernel.v[j].buf[i]);
      Buf *b = &p->buf.v[in];
      if (program_memory(p, in) != in || b->first < 0 ||
          p->kernel.v[b->first].in_loop != p->kernel.v[k].in_loop)
        continue;
      if (b->kind != BUF_TEMP || b->chunk || b->last != j || b->first == k || b->bytes != o->bytes ||
          b->dt != o->dt || !may_replace(p, k, in, out))
        continue;
      o->alias = in;
      b->last = o->last;
      return;
    }
}

static void reuse_dying_operands(Program *p) {
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = p->kernel.v[k].nbuf - p->kernel.v[k].nout; i < p->kernel.v[k].nbuf; i++) {
      int out = p->kernel.v[k].buf[i];
      const Buf *o = &p->buf.v[out];
      if (o->kind == BUF_TEMP && o->alias < 0 && o->within < 0 && !o->chunk && o->first == k)
        take_place(p, k, out);
    }
}

void pass_memplan(Lower *l) {
  Program *p = l->p;
  const int64_t align = TENSOR_ALIGN;
  lifetimes(p);
  widen_loops(p);
  reuse_dying_operands(p);
  widen_chains(p);
  int64_t base = 0;
  int64_t *state_at = NEWN(l->arena, int64_t, p->graph->inputs.n);
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    state_at[i] = base;
    base += (shape_count(&n->shape) * dtype_size(n->dt) + align - 1) / align * align;
  }
  Extent *e = NEWN(l->arena, Extent, p->buf.n + 1);
  int *which = NEWN(l->arena, int, p->buf.n + 1), n = 0;
  pack_chunks(l, e, which);
  for (int b = 0; b < p->buf.n; b++) {
    Buf *x = &p->buf.v[b];
    if (x->kind == BUF_INPUT && x->alias < 0) x->offset = state_at[x->input];
    else if (x->alias < 0 && x->within < 0 && x->first >= 0 && !x->chunk) {
      e[n] = (Extent){x->bytes, x->first, x->last, 0};
      which[n++] = b;
    }
  }
  int64_t total = memplan_pack(e, n, align);
  for (int i = 0; i < n; i++) p->buf.v[which[i]].offset = base + e[i].offset;
  for (int b = 0; b < p->buf.n; b++)
    p->buf.v[b].offset = p->buf.v[program_memory(p, b)].offset + program_place(p, b, 0, NULL);
  p->arena_bytes = base + (total + align - 1) / align * align;
}
