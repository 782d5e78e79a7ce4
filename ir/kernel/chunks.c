/* How kernels are cut into chunks, and which part of an operand a chunk touches. */
#include "ir/kernel/kernel.h"

#include <string.h>

/* ---- plans of convolutions ---- */
enum { MEMO_SLOTS = 512 };

typedef struct {
  int64_t key[CONV_NUMBERS + 2];
  ContractionPlan plan;
} MemoEntry;

struct ConvMemo {
  Arena *arena;
  MemoEntry *slot[MEMO_SLOTS];
};

ConvMemo *conv_memo_new(Arena *a) {
  ConvMemo *m = NEW(a, ConvMemo);
  m->arena = a;
  return m;
}

const ContractionPlan *program_conv_plan(const Program *p, const ConvSpec *s, ContractionPlan *own) {
  if (!p->memo) {
    *own = conv_plan(s, &p->target);
    return own;
  }
  int64_t key[CONV_NUMBERS + 2] = {(int64_t)s->kind, (int64_t)s->algo};
  conv_numbers(s, key + 2);
  uint64_t h = 0;
  for (int i = 0; i < CONV_NUMBERS + 2; i++) h = (h ^ (uint64_t)key[i]) * 0x9E3779B97F4A7C15ull;
  MemoEntry **e = &p->memo->slot[(h >> 32) % MEMO_SLOTS];
  if (*e && !memcmp((*e)->key, key, sizeof key)) return &(*e)->plan;
  *e = NEW(p->memo->arena, MemoEntry);
  memcpy((*e)->key, key, sizeof key);
  (*e)->plan = conv_plan(s, &p->target);
  return &(*e)->plan;
}

/* ---- loops ---- */
int64_t loop_tile(int64_t size, int64_t pieces, int lanes) {
  int64_t unit = 4 * lanes, tile = (size + pieces - 1) / pieces;
  return (tile + unit - 1) / unit * unit;
}

LoopCut loop_cut(const LoopKernel *l, int lanes) {
  bool vec_p = l->vec >= 0 && l->vec < l->npar && l->size[l->vec] > 1;
  LoopCut c = {0, 1, 1, 0};
  int cut = l->npar - vec_p;
  if (l->nchunk <= 1) return c;
  while (c.prefix < cut && c.count % l->nchunk && c.count < 4 * l->nchunk) c.count *= l->size[c.prefix++];
  if (vec_p && c.count < l->nchunk && c.prefix == cut) {
    c.tile = loop_tile(l->size[l->vec], (l->nchunk + c.count - 1) / c.count, lanes);
    c.tiles = (l->size[l->vec] + c.tile - 1) / c.tile;
  }
  return c;
}

/* Elements of an access that belong to one chunk. */
static int64_t access_chunk(const LoopKernel *l, const Access *a, int lanes) {
  LoopCut cut = loop_cut(l, lanes);
  if (l->nchunk <= 1 || a->nquot || a->nguard || a->dyn >= 0 || a->off.c < 0) return 0;
  int64_t len = 0, reach = a->off.c;
  for (int d = 0; d < l->ndim; d++)
    if (a->off.k[d] < 0) return 0;
  if (cut.tiles > 1) { /* pieces of the vector dim */
    if (cut.count != 1 || cut.tiles != l->nchunk || l->size[l->vec] != cut.tile * cut.tiles) return 0;
    len = a->off.k[l->vec] * cut.tile;
    for (int d = 0; d < l->ndim; d++) reach += a->off.k[d] * ((d == l->vec ? cut.tile : l->size[d]) - 1);
    return reach < len ? len : 0;
  }
  if (cut.count % l->nchunk) return 0;
  int64_t per = cut.count / l->nchunk, inner = 1; /* points a chunk; points of the dims after d */
  for (int d = cut.prefix - 1; d >= 0; inner *= l->size[d--]) len += a->off.k[d] * (per / inner % l->size[d]);
  inner = 1;
  for (int d = cut.prefix - 1; d >= 0; inner *= l->size[d--]) {
    int64_t size = l->size[d], k = a->off.k[d];
    if (inner >= per) { /* steps from chunk to chunk */
      if (inner % per || (size > 1 && k != len * (inner / per))) return 0;
      continue;
    }
    int64_t inside = inner * size > per ? per / inner : size; /* its points in one chunk */
    if (per % (inner * inside) || size % inside) return 0;
    reach += k * (inside - 1);
  }
  for (int d = cut.prefix; d < l->ndim; d++) reach += a->off.k[d] * (l->size[d] - 1);
  return len > 0 && reach < len ? len : 0;
}

static int64_t loop_chunk_bytes(const Program *p, const Kernel *k, int operand) {
  const LoopKernel *l = &k->loop;
  int64_t bytes = -1;
  int lanes = target_lanes(&p->target);
  for (int i = 0; i < l->ninst + l->nstore; i++) {
    const Access *a = i < l->ninst ? l->inst[i].access : &l->store[i - l->ninst].access;
    if (i < l->ninst && l->inst[i].kind != KI_LOAD) continue;
    if (a->buf != operand) continue;
    DType dt = i < l->ninst ? l->inst[i].dt : l->inst[l->store[i - l->ninst].inst].dt;
    int64_t b = access_chunk(l, a, lanes) * dtype_size(dt);
    if (!b || (bytes >= 0 && b != bytes)) return 0;
    bytes = b;
  }
  return bytes < 0 ? 0 : bytes;
}

static int64_t conv_chunk_bytes(const Program *p, const Kernel *k, int operand) {
  ContractionPlan own;
  const ContractionStep *st = &program_conv_plan(p, &k->conv, &own)->step[k->conv_step];
  const ConvSpec *s = &k->conv;
  if (!st->images || st->images * st->nchunk != s->n) return 0;
  switch (step_operand(st, operand)) {
  case CO_X: return p->buf.v[k->buf[operand]].bytes / s->n * st->images;
  case CO_Y: return p->buf.v[k->buf[operand]].bytes / s->n * st->images;
  default: return 0;
  }
}

int64_t kernel_chunks(const Program *p, const Kernel *k) {
  if (k->kind == KK_LOOP) return k->loop.nchunk > 1 ? k->loop.nchunk : 1;
  ContractionPlan own;
  if (k->kind == KK_CONV) return program_conv_plan(p, &k->conv, &own)->step[k->conv_step].nchunk;
  return 1;
}

int64_t kernel_chunk_bytes(const Program *p, const Kernel *k, int i) {
  if (k->kind == KK_LOOP) return loop_chunk_bytes(p, k, i);
  if (k->kind == KK_CONV) return conv_chunk_bytes(p, k, i);
  return 0;
}

int64_t kernel_chunk_of_root(const Program *p, const Kernel *k, int root) {
  int64_t bytes = 0;
  for (int i = 0; i < k->nbuf; i++) {
    if (program_root(p, k->buf[i]) != root) continue;
    int64_t b = kernel_chunk_bytes(p, k, i);
    if (!b || (bytes && b != bytes)) return 0;
    bytes = b;
  }
  return bytes;
}

void program_chain(const Program *p, int k, int *first, int *last) {
  int c = p->kernel.v[k].chain;
  *first = *last = k;
  while (c && *first > 0 && p->kernel.v[*first - 1].chain == c) --*first;
  while (c && *last + 1 < p->kernel.n && p->kernel.v[*last + 1].chain == c) ++*last;
}
