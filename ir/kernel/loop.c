/* Loop kernels: how they are cut into chunks, what they compute, and their row of functions. */
#include "ir/kernel/loop_impl.h"

#include <string.h>

int inst_args(const KInst *in, int arg[4]) {
  int n = in->kind == KI_MAP      ? op_table[in->op].nin
          : in->kind == KI_RANDOM ? 2
          : in->kind == KI_REDUCE ? 1
                                  : 0;
  for (int i = 0; i < n; i++) arg[i] = in->arg[i];
  if (in->kind == KI_LOAD && in->access && in->access->dyn >= 0) arg[n++] = in->access->dyn;
  return n;
}

/* ---- chunks ---- */
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

static int64_t chunk_bytes(const Program *p, const Kernel *k, int operand) {
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

static int64_t chunk_count(const Program *p, const Kernel *k) {
  (void)p;
  return max64(k->loop.nchunk, 1);
}

static bool recut(const Program *p, int64_t count, Kernel *k) {
  (void)p;
  k->loop.nchunk = count;
  return true;
}

/* ---- what they do ---- */
static bool may_lie_in(const Program *p, const Kernel *k, int in, int out) {
  const LoopKernel *l = &k->loop;
  const Affine *st = NULL;
  if (l->nsweep) return false;
  for (int i = 0; i < l->nstore; i++)
    if (k->buf[l->store[i].access.buf] == out) st = &l->store[i].access.off;
  if (!st) return false;
  for (int i = 0; i < l->ninst; i++) {
    const Access *x = l->inst[i].access;
    if (l->inst[i].kind != KI_LOAD || program_root(p, k->buf[x->buf]) != in) continue;
    if (x->nguard || x->nquot || x->dyn >= 0 || memcmp(&x->off, st, sizeof *st)) return false;
  }
  return true;
}

static double flops(const Program *p, const Kernel *k) {
  (void)p;
  double points = 1;
  for (int d = 0; d < k->loop.ndim; d++) points *= (double)k->loop.size[d];
  return points * k->loop.ninst;
}

static int parts(const Kernel *k, KernelPart *part) {
  const LoopKernel *l = &k->loop;
  double rows = 1, points = 1;
  for (int d = 0; d < l->ndim; d++) {
    if (d < l->npar) rows *= (double)l->size[d];
    points *= (double)l->size[d];
  }
  for (int i = 0; i < l->ninst && part; i++) {
    const KInst *in = &l->inst[i];
    double times = in->row && in->kind != KI_REDUCE ? rows : points;
    bool is_op = in->kind == KI_MAP || in->kind == KI_REDUCE;
    KernelPart x = {.val = in->val, .computed = in->kind != KI_LOAD};
    if (is_op) x.flops = op_table[in->op].flops * times;
    if (!x.computed) x.bytes = (double)dtype_size(in->dt) * times;
    for (int j = 0; j < l->nstore; j++)
      if (l->store[j].inst == i) x.bytes += (double)dtype_size(in->dt) * (in->row ? rows : points);
    part[i] = x;
  }
  return l->ninst;
}

static bool damage(Kernel *k) {
  for (int i = 0; i < k->loop.ninst; i++) {
    KInst *in = &k->loop.inst[i];
    if (in->kind != KI_MAP || (in->op != OP_add && in->op != OP_mul) || !dtype_is_float(in->dt)) continue;
    in->op = OP_sub;
    return true;
  }
  return false;
}

static bool rounds_narrow(const Kernel *k) {
  for (int i = 0; i < k->loop.ninst; i++)
    if (k->loop.inst[i].kind == KI_MAP && dtype_is_narrow(k->loop.inst[i].dt)) return true;
  return false;
}

const KindRow kind_loop = {.name = "loop",
                           .print_head = loop_print_head,
                           .print_body = loop_print_body,
                           .read_head = loop_read_head,
                           .read_body = loop_read_body,
                           .verify = loop_verify,
                           .chunks = chunk_count,
                           .chunk_bytes = chunk_bytes,
                           .recut = recut,
                           .reads_in_place = may_lie_in,
                           .flops = flops,
                           .parts = parts,
                           .damage = damage,
                           .interp = loop_interp,
                           .rounds_narrow = rounds_narrow,
                           .error_share = 4e-6};
