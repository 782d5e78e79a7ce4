/* Loop kernels as LLVM functions: what to compute at which loop, vector widths, chunks, the loop nest
   (codegen/loop/loop.h).

   Each instruction is emitted at the loop of the deepest dim it depends on, which hoists broadcast operands,
   per-channel factors and addresses without any optimisation pass. The vector dim is walked in groups of
   `width` lanes (up to four registers, which the backend splits) and ends in one masked group. Reductions run
   in independent lanes, blocked (acc.c). */
#include "codegen/loop/loop.h"

#include <string.h>

/* ---- analysis ---- */
static unsigned dims_of(const Affine *e, int ndim) {
  unsigned m = 0;
  for (int d = 0; d < ndim; d++)
    if (e->k[d]) m |= 1u << d;
  return m;
}

static unsigned dims_of_quots(const Quot *q, int n, int ndim) {
  unsigned m = 0;
  for (int i = 0; i < n; i++) m |= dims_of(&q[i].e, ndim);
  return m;
}

static unsigned dims_of_access(const Access *a, int ndim, bool memory) {
  unsigned m = memory ? dims_of(&a->off, ndim) | dims_of_quots(a->quot, a->nquot, ndim) : 0;
  for (int i = 0; i < a->nguard; i++) m |= dims_of(&a->guard[i].e, ndim);
  return m;
}

static void analyse(LoopCtx *c) {
  const LoopKernel *l = c->l;
  unsigned hoisted = c->one_group ? 1u << c->vec : 0;
  for (int i = 0; i < l->ninst; i++) {
    const KInst *in = &l->inst[i];
    InstInfo *info = &c->info[i];
    unsigned dims = 0;
    if (in->kind == KI_LOAD) dims = dims_of_access(in->access, l->ndim, true);
    if (in->kind == KI_GUARD) dims = dims_of_access(in->access, l->ndim, false);
    if (in->kind == KI_INDEX || in->kind == KI_RANDOM)
      dims = dims_of(&in->index, l->ndim) | dims_of_quots(in->quot, in->nquot, l->ndim);
    info->varies = c->vec >= 0 && (dims >> c->vec & 1);
    dims &= ~hoisted;
    info->level = dims ? 31 - __builtin_clz(dims) : -1;
    if (in->kind == KI_REDUCE) {
      info->level = l->npar - 1;
      info->stage = in->sweep + 1;
      info->varies = c->vec >= 0 && c->vec < l->npar;
      continue;
    }
    int arg[4], n = inst_args(in, arg);
    for (int k = 0; k < n; k++) {
      const InstInfo *a = &c->info[arg[k]];
      if (a->level > info->level) info->level = a->level;
      if (a->stage > info->stage) info->stage = a->stage;
      info->varies |= a->varies;
    }
  }
}

static void mark_used(LoopCtx *c) {
  const LoopKernel *l = c->l;
  for (int s = 0; s < l->nstore; s++) {
    InstInfo *info = &c->info[l->store[s].inst];
    info->used = true;
    if (!(l->inst[l->store[s].inst].row && c->vec >= l->npar)) info->splat = true;
  }
  for (int i = l->ninst - 1; i >= 0; i--) {
    if (!c->info[i].used) continue;
    int arg[4], n = inst_args(&l->inst[i], arg);
    for (int k = 0; k < n; k++) {
      c->info[arg[k]].used = true;
      if (c->info[i].varies || l->inst[i].kind == KI_REDUCE) c->info[arg[k]].splat = true;
    }
  }
}

static void reach(const LoopCtx *c, bool *set, int i) {
  if (set[i] || c->info[i].level < c->l->npar) return; /* row instructions are there already */
  set[i] = true;
  int arg[4], n = inst_args(&c->l->inst[i], arg);
  for (int k = 0; k < n; k++) reach(c, set, arg[k]);
}

static void mark_needs(LoopCtx *c) {
  const LoopKernel *l = c->l;
  c->need = NEWN(c->a, bool *, 2 * l->nsweep + 1);
  for (int s = 0; s < l->nsweep; s++) {
    bool *all = c->need[s] = NEWN(c->a, bool, l->ninst + 1);
    bool *m2 = c->need[l->nsweep + s] = NEWN(c->a, bool, l->ninst + 1);
    for (int i = 0; i < l->ninst; i++) {
      const KInst *in = &l->inst[i];
      if (in->kind != KI_REDUCE || in->sweep != s || !c->info[i].used) continue;
      reach(c, all, in->arg[0]);
      if (in->op == OP_reduce_m2) reach(c, m2, in->arg[0]);
    }
    for (int i = 0; i < l->nstore; i++)
      if (!l->inst[l->store[i].inst].row && l->store[i].sweep == s) reach(c, all, l->store[i].inst);
  }
}

enum { FLAT_MIN = 64 };
static bool plain(const Access *a) {
  return !a->nquot && !a->nguard && a->dyn < 0 && (a->off.k[0] == 0 || a->off.k[0] == 1);
}

static bool is_flat(const LoopKernel *l) {
  if (l->ndim != 1 || l->vec != 0 || l->size[0] < FLAT_MIN) return false;
  for (int i = 0; i < l->ninst; i++) {
    const KInst *in = &l->inst[i];
    if (in->kind == KI_INDEX || in->kind == KI_GUARD || in->kind == KI_RANDOM || in->op == OP_argmax)
      return false;
    if (in->kind == KI_LOAD && !plain(in->access)) return false;
  }
  for (int i = 0; i < l->nstore; i++)
    if (!plain(&l->store[i].access)) return false;
  return true;
}

/* Rough instruction count of the vector body, and whether it gathers. */
static int body_cost(const LoopCtx *c, bool *gathers) {
  int cost = 0;
  *gathers = false;
  for (int i = 0; i < c->l->ninst; i++) {
    const KInst *in = &c->l->inst[i];
    if (!c->info[i].used || !c->info[i].varies) continue;
    int w = in->kind == KI_RANDOM ? 20 : 1;
    if (in->kind == KI_MAP && op_table[in->op].flops > 6) w = 10;
    if (dtype_size(in->dt) == 8) w *= 2;
    cost += w;
    if (in->kind == KI_LOAD) {
      bool g = in->access->dyn >= 0 && c->info[in->access->dyn].varies;
      int64_t k = in->access->off.k[c->vec];
      for (int q = 0; q < in->access->nquot; q++) g |= in->access->quot[q].e.k[c->vec] != 0;
      *gathers |= g || (k != 0 && k != 1);
    }
  }
  return cost;
}

static int count_reductions(const LoopKernel *l) {
  int n = 0;
  for (int i = 0; i < l->ninst; i++) n += l->inst[i].kind == KI_REDUCE;
  return n;
}

/* Lanes handled together, and how many points of a scalar inner reduction loop at once: enough independent
   work to hide latency, few enough values to stay in registers. */
static void choose_width(LoopCtx *c) {
  const LoopKernel *l = c->l;
  int vl = c->m->vl, regs = c->m->target->registers, nred = count_reductions(l), most = 1, cost = 1;
  bool gathers = false;
  c->width = 1;
  if (c->vec >= 0) {
    int64_t size = l->size[c->vec], pow2 = 1;
    cost = body_cost(c, &gathers);
    most = gathers ? 1 : cost * 3 <= regs ? 4 : cost * 3 / 4 <= regs ? 2 : 1;
    while (most > 1 && nred * most * 2 > regs) most /= 2;
    while (pow2 < size && pow2 < vl) pow2 *= 2;
    c->width = (int)pow2;
    for (int u = most; u > 1 && pow2 == vl; u /= 2) {
      int64_t w = (int64_t)u * vl, waste = (size + w - 1) / w * w - size;
      if (!c->flat && (w > size || waste * 8 > size)) continue;
      c->width = (int)w;
      break;
    }
  }
  int used = c->width > vl ? c->width / vl : 1;
  c->unroll = 1;
  while (c->unroll * used < 4 && nred && nred * used * c->unroll * 4 <= regs && cost * c->unroll <= regs)
    c->unroll *= 2;
}

/* The element at which operand `buf` begins for all accesses: a parameter of the step, so that steps which read other
   parts of a tensor in the same way share their code. */
static int64_t first_of(const Kernel *k, int buf) {
  int64_t first = INT64_MAX;
  for (int i = 0; i < k->loop.ninst && buf < k->nbuf - k->nout; i++) {
    const KInst *in = &k->loop.inst[i];
    if (in->kind == KI_LOAD && in->access->buf == buf && in->access->off.c < first) first = in->access->off.c;
  }
  return first == INT64_MAX || first < 0 ? 0 : first;
}

/* ---- values that grow as loops are entered ---- */
static int lin_add(LoopCtx *c, const Affine *e, int64_t at, LLVMValueRef base, LLVMTypeRef elem) {
  Lin x = {e, base, elem};
  x.cur = elem ? em_gep(c->m, elem, base, em_i64(c->m, at)) : em_i64(c->m, at);
  vec_push(c->a, &c->lin, x);
  return c->lin.n - 1;
}

static int lin_quots(LoopCtx *c, const Quot *q, int n) {
  int first = c->lin.n;
  for (int i = 0; i < n; i++) lin_add(c, &q[i].e, q[i].e.c, NULL, NULL);
  return first;
}

static AccessLin lin_access(LoopCtx *c, const Access *a, DType dt, bool memory) {
  AccessLin r = {-1, -1, -1};
  if (memory) {
    r.off = lin_add(c, &a->off, a->off.c - first_of(c->k, a->buf), c->operand[a->buf], em_type(c->m, dt));
    r.quot = lin_quots(c, a->quot, a->nquot);
  }
  r.guard = c->lin.n;
  for (int i = 0; i < a->nguard; i++) lin_add(c, &a->guard[i].e, a->guard[i].e.c, NULL, NULL);
  return r;
}

static void lin_setup(LoopCtx *c) {
  const LoopKernel *l = c->l;
  c->operand = NEWN(c->a, LLVMValueRef, c->k->nbuf + 1);
  for (int i = 0; i < c->k->nbuf; i++) c->operand[i] = em_operand(c->m, i);
  for (int i = 0; i < l->ninst; i++) {
    const KInst *in = &l->inst[i];
    if (!c->info[i].used) continue;
    AccessLin *at = &c->info[i].at;
    if (in->kind == KI_LOAD || in->kind == KI_GUARD)
      *at = lin_access(c, in->access, in->dt, in->kind == KI_LOAD);
    else if (in->kind == KI_INDEX || in->kind == KI_RANDOM || in->op == OP_argmax)
      *at =
          (AccessLin){lin_add(c, &in->index, in->index.c, NULL, NULL), -1, lin_quots(c, in->quot, in->nquot)};
  }
  c->store_at = NEWN(c->a, AccessLin, l->nstore + 1);
  for (int i = 0; i < l->nstore; i++)
    c->store_at[i] = lin_access(c, &l->store[i].access, l->inst[l->store[i].inst].dt, true);
}

static void advance(LoopCtx *c, int d, LLVMValueRef i) {
  c->dim[d] = i;
  for (int j = 0; j < c->lin.n; j++) {
    Lin *x = &c->lin.v[j];
    if (!x->e->k[d]) continue;
    LLVMValueRef step = em_imulc(c->m, i, x->e->k[d]);
    x->cur = x->elem ? em_gep(c->m, x->elem, x->cur, step) : em_iadd(c->m, x->cur, step);
  }
}

static void emit_rows(LoopCtx *c, int level, int stage) {
  for (int i = 0; i < c->l->ninst; i++) {
    const InstInfo *info = &c->info[i];
    bool here = stage ? info->level < c->l->npar : info->level == level;
    if (!info->used || !here || info->stage != stage || c->l->inst[i].kind == KI_REDUCE) continue;
    int lanes = c->lanes;
    if (c->one_group && info->varies) c->lanes = c->width;
    loop_emit_inst(c, i);
    c->lanes = lanes;
  }
}

/* Computes what lives at the level of dim d. */
static void values(LoopCtx *c, int d) {
  if (d < c->l->npar) {
    emit_rows(c, d, 0);
    return;
  }
  for (int k = 0; k < c->l->ninst; k++)
    if (c->set[k] && c->info[k].level == d) loop_emit_inst(c, k);
}

/* The builder stands in the body of dim d's loop at index i. */
static void enter(LoopCtx *c, int d, LLVMValueRef i) {
  advance(c, d, i);
  values(c, d);
}

/* ---- places that add nothing ---- */
/* The gradient of a strided window meets one place in several: of the others all would be zero. A branch around them
   costs less where it is seldom taken for what it saves. */
static int gate_of(const LoopCtx *c) {
  const LoopKernel *l = c->l;
  int gate = -1;
  bool strided = false;
  for (int i = 0; i < c->nred; i++) {
    const KInst *x = &l->inst[c->red[i].arg];
    if (c->red[i].op != OP_reduce_sum || x->kind != KI_MAP || x->op != OP_select) return -1;
    const KInst *other = &l->inst[x->arg[2]];
    if (l->inst[x->arg[0]].kind != KI_GUARD || other->kind != KI_IMM || other->imm != 0) return -1;
    if (gate >= 0 && gate != x->arg[0]) return -1;
    gate = x->arg[0];
  }
  for (int s = 0; s < l->nstore; s++)
    if (!l->inst[l->store[s].inst].row && l->store[s].sweep == c->sweep) return -1;
  for (int i = 0; gate >= 0 && i < l->inst[gate].access->nguard; i++) {
    const Guard *g = &l->inst[gate].access->guard[i];
    if (c->vec >= 0 && g->e.k[c->vec]) return -1;
    strided |= g->mod > 1;
  }
  return strided ? gate : -1;
}

typedef struct {
  LLVMValueRef test; /* NULL: every place counts */
  EmitIf f;
  Acc before;
} Gate;

/* Enters dim d of the R dims at index i, where the gate's guards hold. */
static void gate_begin(LoopCtx *c, Gate *g, int d, LLVMValueRef i, const Acc *acc) {
  advance(c, d, i);
  g->test = c->gate >= 0 ? loop_passes(c, c->gate, d) : NULL;
  g->before = *acc;
  if (g->test) em_if(c->m, &g->f, g->test);
  values(c, d);
}

static void gate_end(LoopCtx *c, Gate *g, Acc *acc) {
  if (!g->test) return;
  em_endif(c->m, &g->f);
  for (int j = 0; j < ACC_MAX; j++)
    if (acc->v[j] && acc->v[j] != g->before.v[j])
      acc->v[j] = em_merge(c->m, &g->f, acc->v[j], g->before.v[j]);
}

/* ---- loops ---- */
typedef struct {
  EmitLoop loop;
  bool once;
  Lin *lin; /* to restore on leaving */
} Level;

static Lin *lin_save(LoopCtx *c) {
  Lin *s = NEWN(c->a, Lin, c->lin.n + 1);
  if (c->lin.n) memcpy(s, c->lin.v, sizeof(Lin) * (size_t)c->lin.n);
  return s;
}
static void lin_restore(LoopCtx *c, const Lin *s) {
  if (c->lin.n) memcpy(c->lin.v, s, sizeof(Lin) * (size_t)c->lin.n);
}

static bool constant(LLVMValueRef v, int64_t *x) {
  if (!LLVMIsAConstantInt(v)) return false;
  *x = LLVMConstIntGetSExtValue(v);
  return true;
}

/* Opens a loop carrying the n accumulator sets; no loop is emitted for a single trip. */
static LLVMValueRef level_begin(LoopCtx *c, Level *l, LLVMValueRef lo, LLVMValueRef hi, int64_t step,
                                Acc *acc, int n) {
  int64_t a, b;
  l->once = constant(lo, &a) && constant(hi, &b) && b - a <= step;
  l->lin = lin_save(c);
  if (l->once) return lo;
  LLVMValueRef i = em_loop_begin(c->m, &l->loop, lo, hi, step);
  for (int k = 0; k < n; k++)
    for (int j = 0; j < ACC_MAX; j++)
      if (acc[k].v[j]) acc[k].v[j] = l->loop.carry[em_loop_carry(c->m, &l->loop, acc[k].v[j])];
  return i;
}

static void level_end(LoopCtx *c, Level *l, Acc *acc, int n) {
  lin_restore(c, l->lin);
  if (l->once) return;
  int at = 0;
  for (int k = 0; k < n; k++)
    for (int j = 0; j < ACC_MAX; j++)
      if (acc[k].v[j]) l->loop.next[at++] = acc[k].v[j];
  em_loop_end(c->m, &l->loop);
  at = 0;
  for (int k = 0; k < n; k++)
    for (int j = 0; j < ACC_MAX; j++)
      if (acc[k].v[j]) acc[k].v[j] = l->loop.carry[at++];
}

static LLVMValueRef extent(LoopCtx *c, int d) {
  if (!c->flat) return em_i64(c->m, c->l->size[d]);
  return em_load(c->m, c->m->i64, c->m->param, 8);
}

/* Runs body over [lo, hi) of the vector dim: whole groups, then a masked one. lo is a multiple of the width. */
static void vector_loop(LoopCtx *c, LLVMValueRef lo, LLVMValueRef hi, Acc *acc, int nacc, const Acc *out,
                        void (*body)(LoopCtx *, Acc *, const Acc *)) {
  EmitModule *m = c->m;
  int64_t w = c->width, a, b;
  LLVMValueRef whole = LLVMBuildAnd(m->b, hi, em_i64(m, -w), "");
  bool known = constant(lo, &a) && constant(hi, &b);
  int64_t size = c->l->size[c->vec];
  Level l;
  c->lanes = c->width;
  if (!known || a < b / w * w) {
    LLVMValueRef i = level_begin(c, &l, lo, whole, w, acc, nacc);
    enter(c, c->vec, i);
    body(c, acc, out);
    level_end(c, &l, acc, nacc);
  }
  if (c->flat || size % w) {
    LLVMValueRef i = level_begin(c, &l, whole, hi, w, acc, nacc);
    c->mask = em_tail_mask(m, em_isub(m, hi, i), c->width);
    enter(c, c->vec, i);
    body(c, acc, out);
    c->mask = NULL;
    level_end(c, &l, acc, nacc);
  }
  c->lanes = 1;
}

/* ---- sweeps over the R dims ---- */
static void point(LoopCtx *c, Acc *acc, const Acc *out) {
  acc_add(c, acc, out);
  for (int s = 0; s < c->l->nstore; s++)
    if (!c->l->inst[c->l->store[s].inst].row && c->l->store[s].sweep == c->sweep) loop_emit_store(c, s);
}

/* The innermost R dim over [lo, hi). */
static void last_dim(LoopCtx *c, LLVMValueRef lo, LLVMValueRef hi, Acc *in, const Acc *out) {
  EmitModule *m = c->m;
  int d = c->l->ndim - 1;
  if (d == c->vec) {
    vector_loop(c, lo, hi, in, 1, out, point);
    return;
  }
  int u = c->nred && c->l->size[d] >= 2 * c->unroll ? c->unroll : 1;
  Level l;
  LLVMValueRef whole = u > 1 ? LLVMBuildAnd(m->b, hi, em_i64(m, -u), "") : hi;
  Acc set[8];
  set[0] = *in;
  for (int j = 1; j < u; j++) acc_inner(c, &set[j]);
  LLVMValueRef i = level_begin(c, &l, lo, whole, u, set, u);
  for (int j = 0; j < u; j++) {
    Lin *s = lin_save(c);
    Gate gate;
    gate_begin(c, &gate, d, em_iaddc(m, i, j), &set[j]);
    point(c, &set[j], out);
    gate_end(c, &gate, &set[j]);
    lin_restore(c, s);
  }
  level_end(c, &l, set, u);
  for (int step = 1; step < u; step *= 2)
    for (int j = 0; j + step < u; j += 2 * step) acc_join(c, &set[j], &set[j + step]);
  if (c->l->size[d] % u) {
    i = level_begin(c, &l, whole, hi, 1, set, 1);
    Gate gate;
    gate_begin(c, &gate, d, i, set);
    point(c, set, out);
    gate_end(c, &gate, set);
    level_end(c, &l, set, 1);
  }
  *in = set[0];
}

static void inner_dims(LoopCtx *c, int d, Acc *in, const Acc *out) {
  EmitModule *m = c->m;
  if (d == c->l->ndim) {
    point(c, in, out);
    return;
  }
  LLVMValueRef lo = em_i64(m, 0), hi = extent(c, d); /* a flat kernel serves every size */
  if (d == c->l->ndim - 1) {
    last_dim(c, lo, hi, in, out);
    return;
  }
  Level l;
  Gate gate;
  LLVMValueRef i = level_begin(c, &l, lo, hi, 1, in, 1);
  gate_begin(c, &gate, d, i, in);
  inner_dims(c, d + 1, in, out);
  gate_end(c, &gate, in);
  level_end(c, &l, in, 1);
}

/* How the R dims make blocks, each with inner accumulators of its own: dims from `split` on, `rows` places of the
   dim before them when that is more than one, or `length` elements of the last dim alone. */
typedef struct {
  int split;
  int64_t rows, length;
  int64_t blocks; /* how many are merged */
} Blocking;

static int64_t points(const LoopKernel *l, int first, int end) {
  int64_t n = 1;
  for (int d = first; d < end; d++) n *= l->size[d];
  return n;
}

/* The places [lo, hi) of dim d, one block. */
static void rows_block(LoopCtx *c, int d, LLVMValueRef lo, LLVMValueRef hi, Acc *out) {
  EmitModule *m = c->m;
  Level l;
  Acc in;
  acc_inner(c, &in);
  LLVMValueRef i = level_begin(c, &l, lo, hi, 1, &in, 1);
  enter(c, d, i);
  inner_dims(c, d + 1, &in, out);
  level_end(c, &l, &in, 1);
  acc_merge(c, out, &in, em_imulc(m, em_isub(m, hi, lo), points(c->l, d + 1, c->l->ndim)));
}

static void outer_dims(LoopCtx *c, int d, const Blocking *b, Acc *out) {
  EmitModule *m = c->m;
  Level l;
  Acc in;
  bool rows = b->rows > 1 && d == b->split - 1;
  if (rows || (b->length && d == b->split)) {
    int64_t step = rows ? b->rows : b->length;
    LLVMValueRef hi = extent(c, d), lo = level_begin(c, &l, em_i64(m, 0), hi, step, out, 1);
    LLVMValueRef end = em_imin(m, em_iaddc(m, lo, step), hi);
    if (rows) rows_block(c, d, lo, end, out);
    else {
      acc_inner(c, &in);
      last_dim(c, lo, end, &in, out);
      acc_merge(c, out, &in, em_isub(m, end, lo));
    }
    level_end(c, &l, out, 1);
  } else if (d < b->split) {
    LLVMValueRef i = level_begin(c, &l, em_i64(m, 0), em_i64(m, c->l->size[d]), 1, out, 1);
    enter(c, d, i);
    outer_dims(c, d + 1, b, out);
    level_end(c, &l, out, 1);
  } else {
    acc_inner(c, &in);
    inner_dims(c, d, &in, out);
    acc_merge(c, out, &in, em_i64(m, points(c->l, d, c->l->ndim)));
  }
}

/* For each m2, its argument at the first R point. */
static void first_values(LoopCtx *c, LLVMValueRef *first) {
  bool any = false;
  for (int i = 0; i < c->nred; i++) any |= c->red[i].op == OP_reduce_m2;
  if (!any) return;
  Lin *s = lin_save(c);
  c->set = c->need[c->l->nsweep + c->sweep];
  for (int d = c->l->npar; d < c->l->ndim; d++) enter(c, d, em_i64(c->m, 0));
  for (int i = 0; i < c->nred; i++)
    if (c->red[i].op == OP_reduce_m2) first[i] = loop_value(c, c->red[i].arg);
  lin_restore(c, s);
}

enum {
  INNER_TRIPS = 512,
  LONG_TRIPS = 256,
  BLOCK_TRIPS = 128,
  MANY_BLOCKS = 16 /* from here on they are added in f64: 2 ulp of error */
};

static Blocking block(const LoopCtx *c) {
  const LoopKernel *l = c->l;
  int last = l->ndim - 1;
  Blocking b = {.split = l->npar, .blocks = 1};
  if (!c->nred || l->ndim == l->npar) return b;
  int64_t step = last == c->vec ? c->width : 1, trips = (l->size[last] + step - 1) / step;
  b.split = last;
  if (c->flat || trips > LONG_TRIPS) {
    b.length = BLOCK_TRIPS * step;
    b.blocks = c->flat ? MANY_BLOCKS : points(l, l->npar, last) * ((l->size[last] + b.length - 1) / b.length);
    return b;
  }
  while (b.split > l->npar && trips * l->size[b.split - 1] <= INNER_TRIPS) trips *= l->size[--b.split];
  b.rows = b.split > l->npar ? INNER_TRIPS / trips : 1;
  b.blocks = (points(l, l->npar, b.split) + b.rows - 1) / b.rows;
  return b;
}

static void run_sweep(LoopCtx *c, int s) {
  const LoopKernel *l = c->l;
  EmitModule *m = c->m;
  c->sweep = s;
  acc_collect(c, s);
  c->gate = gate_of(c);
  Blocking b = block(c);
  c->many = b.blocks >= MANY_BLOCKS;
  LLVMValueRef first[MAX_REDUCE] = {0};
  first_values(c, first);
  c->set = c->need[s];
  Acc out;
  acc_outer(c, &out, first);
  outer_dims(c, l->npar, &b, &out);
  bool all = c->flat && l->npar == 0;
  acc_finish(c, &out, all ? extent(c, 0) : em_i64(m, points(l, l->npar, l->ndim)));
  c->set = NULL;
}

/* One P point (or group of lanes of the vector P dim). */
static void p_point(LoopCtx *c, Acc *acc, const Acc *out) {
  (void)acc, (void)out;
  bool vec_rows = c->vec >= c->l->npar;
  int lanes = c->lanes;
  for (int s = 0; s < c->l->nsweep; s++) {
    run_sweep(c, s);
    c->lanes = lanes; /* a vector R loop ends with one lane */
    emit_rows(c, c->l->npar - 1, s + 1);
  }
  if (vec_rows) c->lanes = 1;
  for (int s = 0; s < c->l->nstore; s++)
    if (c->l->inst[c->l->store[s].inst].row) loop_emit_store(c, s);
}

static void p_dims(LoopCtx *c, int d, LLVMValueRef vec_lo, LLVMValueRef vec_hi) {
  EmitModule *m = c->m;
  if (d == c->l->npar) {
    p_point(c, NULL, NULL);
    return;
  }
  if (d == c->vec) {
    vector_loop(c, vec_lo, vec_hi, NULL, 0, NULL, p_point);
    return;
  }
  Level l;
  LLVMValueRef i = level_begin(c, &l, em_i64(m, 0), em_i64(m, c->l->size[d]), 1, NULL, 0);
  enter(c, d, i);
  p_dims(c, d + 1, vec_lo, vec_hi);
  level_end(c, &l, NULL, 0);
}

/* ---- chunks ---- */
/* Cuts the P space: the first `prefix` dims, and tiles of the vector dim when those alone are too few, make
   one index that chunks divide; the other dims are plain loops inside. */
static void p_space(LoopCtx *c) {
  EmitModule *m = c->m;
  const LoopKernel *l = c->l;
  bool vec_p = c->vec >= 0 && c->vec < l->npar;
  LLVMValueRef lo = em_i64(m, 0), hi = vec_p ? extent(c, c->vec) : lo;
  if (c->flat && vec_p) {
    /* Chunks are tiles, whole ones: the last may begin past the end, where it is empty. */
    LLVMValueRef tile = em_load(m, m->i64, em_gep(m, m->i64, m->param, em_i64(m, 1)), 8);
    lo = em_imul(m, m->chunk, tile);
    hi = em_binary(m, "llvm.smax", em_imin(m, em_iadd(m, lo, tile), hi), lo);
    p_dims(c, 0, lo, hi);
    return;
  }
  if (l->nchunk <= 1) {
    p_dims(c, 0, lo, hi);
    return;
  }
  LoopCut cut = loop_cut(l, m->vl);
  int prefix = cut.prefix;
  int64_t count = cut.count, tiles = cut.tiles, tile = cut.tile;
  for (int i = 0; i < l->ninst; i++) /* one level for all of the prefix */
    if (c->info[i].level >= 0 && c->info[i].level < prefix) c->info[i].level = prefix - 1;
  int64_t total = count * tiles, per = (total + l->nchunk - 1) / l->nchunk;
  LLVMValueRef start = em_imulc(m, m->chunk, per);
  LLVMValueRef end = em_imin(m, em_iaddc(m, start, per), em_i64(m, total));
  Level level;
  LLVMValueRef q = level_begin(c, &level, start, end, 1, NULL, 0), rest = em_idivc(m, q, tiles);
  if (tiles > 1) {
    lo = em_imulc(m, em_imodc(m, q, tiles), tile);
    hi = em_imin(m, em_iaddc(m, lo, tile), hi);
  }
  LLVMValueRef index[KDIM];
  for (int d = prefix - 1; d >= 0; d--) {
    index[d] = d ? em_imodc(m, rest, l->size[d]) : rest;
    rest = em_idivc(m, rest, l->size[d]);
  }
  for (int d = 0; d < prefix; d++) advance(c, d, index[d]);
  if (prefix) emit_rows(c, prefix - 1, 0);
  p_dims(c, prefix, lo, hi);
  level_end(c, &level, NULL, 0);
}

static void emit(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  const LoopKernel *l = &k->loop;
  Arena *a = arena_new();
  LoopCtx *c = NEW(a, LoopCtx);
  *c = (LoopCtx){.m = m, .p = p, .k = k, .l = l, .a = a, .lanes = 1};
  c->vec = l->vec >= 0 && l->size[l->vec] > 1 ? l->vec : -1;
  c->flat = is_flat(l);
  c->info = NEWN(a, InstInfo, l->ninst + 1);
  c->val = NEWN(a, LLVMValueRef, l->ninst + 1);
  c->wide = NEWN(a, LLVMValueRef, l->ninst + 1);
  em_function(m, symbol);
  analyse(c);
  mark_used(c);
  choose_width(c);
  c->one_group = c->vec >= 0 && c->vec < l->npar && !c->flat && l->size[c->vec] == c->width;
  if (c->one_group) analyse(c);
  mark_needs(c);
  lin_setup(c);
  emit_rows(c, -1, 0);
  p_space(c);
  LLVMBuildRetVoid(m->b);
  arena_free(a);
}

/* ---- the kind ---- */
/* Where operands begin is a parameter, and a flat kernel's extent and chunks. */
static void share(const Program *p, Kernel *k) {
  KInst *inst = NULL;
  for (int i = 0; i < k->nbuf - k->nout; i++) {
    int64_t first = first_of(k, i);
    if (!first) continue;
    if (!inst) {
      inst = arena_alloc(p->arena, sizeof *inst * (size_t)k->loop.ninst);
      memcpy(inst, k->loop.inst, sizeof *inst * (size_t)k->loop.ninst);
      k->loop.inst = inst;
    }
    for (int j = 0; j < k->loop.ninst; j++) {
      if (inst[j].kind != KI_LOAD || inst[j].access->buf != i) continue;
      Access *x = NEW(p->arena, Access);
      *x = *inst[j].access;
      x->off.c -= first;
      inst[j].access = x;
    }
  }
  if (!is_flat(&k->loop)) return;
  k->loop.size[0] = 0;
  k->loop.nchunk = 1;
}

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  const LoopKernel *l = &k->loop;
  for (int i = 0; i < k->nbuf - k->nout; i++)
    operand[i] += first_of(k, i) * dtype_size(p->buf.v[k->buf[i]].dt);
  if (!is_flat(l)) return;
  FlatParam *f = NEW(a, FlatParam);
  *f = (FlatParam){l->size[0], loop_tile(l->size[0], st->nchunk, target_lanes(&p->target))};
  st->param = f;
}

static LLVMValueRef flat_constant(EmitModule *m, const Step *st) {
  const FlatParam *f = st->param;
  return LLVMConstStructInContext(m->cx, (LLVMValueRef[]){em_i64(m, f->size), em_i64(m, f->tile)}, 2, 0);
}

const CodegenKind codegen_loop = {.emit = emit, .share = share, .step = step, .constant = flat_constant};
