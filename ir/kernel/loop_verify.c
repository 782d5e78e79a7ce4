/* Checks of loop kernels: order of definitions, rows and sweeps, operand types, and that no access leaves its
   buffer. Ranges of addresses come from interval arithmetic in which a guard bounds the part of an address
   proportional to it; when that cannot decide, all points are tried. */
#include "ir/graph/ops_impl.h"
#include "ir/kernel/loop_impl.h"

static Range affine_range(const LoopKernel *l, const Affine *e) {
  Range r = {e->c, e->c, false};
  for (int d = 0; d < l->ndim; d++) range_add(&r, (Range){0, l->size[d] - 1, false}, e->k[d]);
  return r;
}

static Range guarded(const LoopKernel *l, const Guard *g) {
  Range r = affine_range(l, &g->e);
  if (g->lo > r.lo) r.lo = g->lo;
  if (g->hi - 1 < r.hi) r.hi = g->hi - 1;
  return r;
}

/* e = factor * g + rest, where rest has none of g's dims */
static bool take_out(const LoopKernel *l, Affine *e, const Affine *g, int64_t *factor) {
  *factor = 0;
  for (int d = 0; d < l->ndim; d++)
    if (g->k[d] && !*factor) {
      if (e->k[d] % g->k[d] || !e->k[d]) return false;
      *factor = e->k[d] / g->k[d];
    }
  if (!*factor) return false;
  int64_t k, c;
  for (int d = 0; d < l->ndim; d++)
    if (g->k[d] && (__builtin_mul_overflow(*factor, g->k[d], &k) || e->k[d] != k)) return false;
  if (__builtin_mul_overflow(*factor, g->c, &c) || __builtin_sub_overflow(e->c, c, &c)) return false;
  for (int d = 0; d < l->ndim; d++)
    if (g->k[d]) e->k[d] = 0;
  e->c = c;
  return true;
}

static Range guarded_affine(const LoopKernel *l, Affine e, const Access *a) {
  Range r = {0, 0, false};
  for (int i = 0; i < a->nguard; i++) {
    int64_t factor;
    if (take_out(l, &e, &a->guard[i].e, &factor)) range_add(&r, guarded(l, &a->guard[i]), factor);
  }
  range_add(&r, affine_range(l, &e), 1);
  return r;
}

static Range access_range(const LoopKernel *l, const Access *a) {
  Range r = guarded_affine(l, a->off, a);
  for (int i = 0; i < a->nquot; i++) {
    Range q = guarded_affine(l, a->quot[i].e, a);
    q.lo = q.lo < 0 ? -1 : q.lo / a->quot[i].div;
    q.hi /= a->quot[i].div;
    range_add(&r, q, a->quot[i].stride);
  }
  if (a->dyn >= 0) range_add(&r, (Range){0, a->dyn_extent - 1, false}, a->dyn_stride);
  return r;
}

/* Can any address, or a part of one, leave 64 bits, whatever the guards? */
static bool is_far(const LoopKernel *l, const Access *a) {
  Access plain = *a;
  plain.nguard = 0;
  bool far = access_range(l, &plain).far;
  for (int i = 0; i < a->nguard; i++) far |= affine_range(l, &a->guard[i].e).far;
  return far;
}

static int64_t at_point(const LoopKernel *l, const Affine *e, const int64_t *at) {
  int64_t v = e->c;
  for (int d = 0; d < l->ndim; d++) v += e->k[d] * at[d];
  return v;
}

static const int64_t MAX_POINTS = (int64_t)1 << 48,
                     MAX_IDLE = 1 << 16; /* of a kernel; chunks without a point */
/* Every point, at most this many. */
enum { TRY_POINTS = 1 << 24 };
static bool try_points(const LoopKernel *l, const Access *a, int64_t count) {
  int64_t at[KDIM] = {0}, points = 1;
  for (int d = 0; d < l->ndim; d++) {
    points *= l->size[d];
    if (points > TRY_POINTS) return false;
  }
  for (int64_t n = 0; n < points; n++) {
    bool on = true;
    for (int i = 0; i < a->nguard && on; i++) {
      int64_t e = at_point(l, &a->guard[i].e, at);
      on = e >= a->guard[i].lo && e < a->guard[i].hi && (a->guard[i].mod <= 1 || e % a->guard[i].mod == 0);
    }
    if (on) {
      int64_t off = at_point(l, &a->off, at);
      for (int i = 0; i < a->nquot; i++) {
        int64_t e = at_point(l, &a->quot[i].e, at);
        if (e < 0) return false;
        off += a->quot[i].stride * (e / a->quot[i].div);
      }
      int64_t reach = a->dyn >= 0 ? a->dyn_stride * (a->dyn_extent - 1) : 0;
      if (off + (reach < 0 ? reach : 0) < 0 || off + (reach > 0 ? reach : 0) >= count) return false;
    }
    for (int d = l->ndim - 1; d >= 0 && ++at[d] == l->size[d]; d--) at[d] = 0;
  }
  return true;
}

static bool check_access(Check *c, const Access *a, DType dt, bool write, const char *what, int i) {
  const Kernel *k = &c->p->kernel.v[c->k];
  const LoopKernel *l = &k->loop;
  if (a->buf < 0 || a->buf >= k->nbuf)
    return kernel_wrong(c, "%s %d: operand %d of %d", what, i, a->buf, k->nbuf);
  if (write != (a->buf >= k->nbuf - k->nout) && write)
    return kernel_wrong(c, "%s %d writes operand %d, which is an input", what, i, a->buf);
  const Buf *b = &c->p->buf.v[k->buf[a->buf]];
  if (b->dt != DT_NONE && b->dt != dt)
    return kernel_wrong(c, "%s %d: %s in a buffer of %s", what, i, dtype_name(dt), dtype_name(b->dt));
  if (write && a->nguard) return kernel_wrong(c, "%s %d has guards", what, i);
  if (a->dyn >= 0 && (a->dyn_extent < 1 || !dtype_is_int(l->inst[a->dyn].dt)))
    return kernel_wrong(c, "%s %d: malformed dynamic index", what, i);
  for (int q = 0; q < a->nquot; q++)
    if (a->quot[q].div < 1)
      return kernel_wrong(c, "%s %d: quotient by %lld", what, i, (long long)a->quot[q].div);
  if (is_far(l, a)) return kernel_wrong(c, "%s %d: addresses beyond 64 bits", what, i);
  int64_t count = b->bytes / dtype_size(dt);
  Range r = access_range(l, a);
  if (range_within(r, count)) return true;
  if (try_points(l, a, count)) return true;
  return kernel_wrong(c, "%s %d reaches elements [%lld, %lld] of buf%d, which has %lld", what, i,
                      (long long)r.lo, (long long)r.hi, k->buf[a->buf], (long long)count);
}

static unsigned dims_of(const LoopKernel *l, const Affine *e) {
  unsigned m = 0;
  for (int d = 0; d < l->ndim; d++) m |= e->k[d] ? 1u << d : 0;
  for (int d = l->ndim; d < KDIM; d++) m |= e->k[d] ? 1u << d : 0;
  return m;
}

static unsigned dims_of_access(const LoopKernel *l, const Access *a) {
  unsigned m = dims_of(l, &a->off);
  for (int i = 0; i < a->nquot; i++) m |= dims_of(l, &a->quot[i].e);
  for (int i = 0; i < a->nguard; i++) m |= dims_of(l, &a->guard[i].e);
  return m;
}

static unsigned dims_of_inst(const LoopKernel *l, const KInst *in) {
  unsigned m = dims_of(l, &in->index);
  for (int i = 0; i < in->nquot; i++) m |= dims_of(l, &in->quot[i].e);
  return in->access ? m | dims_of_access(l, in->access) : m;
}

static bool accepts(int accept, DType t) {
  return accept & (dtype_is_float(t) ? A_FLOAT : dtype_is_int(t) ? A_INT : A_BOOL);
}

/* Element types of operands and result, as ir/graph/infer.c has them for graphs. */
static bool types_agree(const LoopKernel *l, const KInst *in, const int *arg, int n) {
  const OpRow *row = &op_table[in->op];
  DType t[4] = {DT_NONE};
  for (int i = 0; i < n; i++) t[i] = l->inst[arg[i]].dt;
  switch (in->kind) {
  case KI_LOAD: return true; /* its buffer's: check_access */
  case KI_IMM: return !imm_misfit(in->dt, in->imm);
  case KI_INDEX: return in->dt != DT_BOOL;
  case KI_GUARD: return in->dt == DT_BOOL;
  case KI_RANDOM: return in->dt == DT_U32 && t[0] == DT_I64 && t[1] == DT_I64;
  case KI_REDUCE: return t[0] != DT_BOOL && in->dt == (in->op == OP_argmax ? DT_I64 : t[0]);
  case KI_MAP: break;
  }
  int first = row->type == TY_SELECT;
  if (first && t[0] != DT_BOOL) return false;
  for (int i = first; i < n; i++)
    if (t[i] != t[first] || !accepts(row->accept, t[i])) return false;
  return row->type == TY_EXPLICIT || in->dt == (row->type == TY_BOOL ? DT_BOOL : t[first]);
}

static bool check_inst(Check *c, int i, int *stage) {
  const Kernel *k = &c->p->kernel.v[c->k];
  const LoopKernel *l = &k->loop;
  const KInst *in = &l->inst[i];
  if (in->dt <= DT_NONE || in->dt >= DT_COUNT) return kernel_wrong(c, "%%%d has no type", i);
  bool reads = in->kind == KI_LOAD || in->kind == KI_GUARD;
  if (reads && !in->access) return kernel_wrong(c, "%%%d has no access", i);
  if (in->kind == KI_MAP && op_table[in->op].kind != KIND_MAP)
    return kernel_wrong(c, "%%%d maps %s", i, op_table[in->op].name);
  if (in->kind == KI_REDUCE && op_table[in->op].kind != KIND_REDUCE)
    return kernel_wrong(c, "%%%d reduces by %s", i, op_table[in->op].name);
  int arg[4], n = inst_args(in, arg);
  stage[i] = 0;
  for (int j = 0; j < n; j++) {
    if (arg[j] < 0 || arg[j] >= i) return kernel_wrong(c, "%%%d uses %%%d before it is defined", i, arg[j]);
    if (stage[arg[j]] > stage[i]) stage[i] = stage[arg[j]];
    if (in->row && in->kind != KI_REDUCE && !l->inst[arg[j]].row)
      return kernel_wrong(c, "%%%d is a row value but uses %%%d, which is not", i, arg[j]);
  }
  if (!types_agree(l, in, arg, n)) return kernel_wrong(c, "%%%d: element types do not agree", i);
  if (affine_range(l, &in->index).far) return kernel_wrong(c, "%%%d: an index beyond 64 bits", i);
  if (in->kind == KI_REDUCE) {
    if (in->sweep < 0 || in->sweep >= l->nsweep)
      return kernel_wrong(c, "%%%d: sweep %d of %d", i, in->sweep, l->nsweep);
    if (stage[i] > in->sweep)
      return kernel_wrong(c, "%%%d is reduced in sweep %d but needs one of sweep %d", i, in->sweep,
                          stage[i] - 1);
    if (!in->row) return kernel_wrong(c, "%%%d: a reduction is a row value", i);
    stage[i] = in->sweep + 1;
    return true;
  }
  unsigned dims = dims_of_inst(l, in);
  if (dims >> l->ndim) return kernel_wrong(c, "%%%d depends on a loop dim that does not exist", i);
  if (in->row && dims >> l->npar)
    return kernel_wrong(c, "%%%d is a row value but depends on a reduced dim", i);
  return in->kind != KI_LOAD || check_access(c, in->access, in->dt, false, "load", i);
}

bool loop_verify(Check *c, const Kernel *k) {
  const LoopKernel *l = &k->loop;
  if (l->ndim < 0 || l->ndim > KDIM || l->npar < 0 || l->npar > l->ndim)
    return kernel_wrong(c, "%d loop dims, %d parallel", l->ndim, l->npar);
  int64_t points = 1;
  for (int d = 0; d < l->ndim; d++)
    if (l->size[d] < 1 || l->size[d] > MAX_POINTS / points)
      return kernel_wrong(c, "loop dim %d has extent %lld", d, (long long)l->size[d]);
    else points *= l->size[d];
  if (l->vec != -1 && l->vec != l->npar - 1 && l->vec != l->ndim - 1)
    return kernel_wrong(c, "vector dim %d", l->vec);
  if (l->vec >= l->ndim) return kernel_wrong(c, "vector dim %d of %d", l->vec, l->ndim);
  if (l->nchunk < 1 || (l->nchunk > points && l->nchunk > MAX_IDLE))
    return kernel_wrong(c, "%lld chunks", (long long)l->nchunk);
  if (!l->nstore) return kernel_wrong(c, "stores nothing");
  Arena *a = arena_new();
  int *stage = NEWN(a, int, l->ninst + 1);
  bool ok = true;
  for (int i = 0; i < l->ninst && ok; i++) ok = check_inst(c, i, stage);
  for (int i = 0; i < l->nstore && ok; i++) {
    const KStore *s = &l->store[i];
    if (s->inst < 0 || s->inst >= l->ninst) ok = kernel_wrong(c, "store %d of %%%d", i, s->inst);
    else if (!l->inst[s->inst].row && (s->sweep < 0 || s->sweep >= l->nsweep))
      ok = kernel_wrong(c, "store %d in sweep %d of %d", i, s->sweep, l->nsweep);
    else if (!l->inst[s->inst].row && stage[s->inst] > s->sweep)
      ok = kernel_wrong(c, "store %d in sweep %d needs a reduction of sweep %d", i, s->sweep,
                        stage[s->inst] - 1);
    else if (dims_of_access(l, &s->access) >> (l->inst[s->inst].row ? l->npar : l->ndim))
      ok = kernel_wrong(c, "store %d depends on a loop dim that it is not in", i);
    else ok = check_access(c, &s->access, l->inst[s->inst].dt, true, "store", i);
  }
  arena_free(a);
  return ok;
}
