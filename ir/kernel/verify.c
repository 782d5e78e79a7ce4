/* Checks of the kernel level: order of definitions, rows and sweeps, operand types, and that no access leaves
   its buffer. Ranges of addresses come from interval arithmetic in which a guard bounds the part of an
   address proportional to it; when that cannot decide, all points are tried. */
#include "ir/kernel/kernel.h"
#include "ir/graph/ops_impl.h"

#include <string.h>

typedef struct {
  const Program *p;
  int k;
  char *err;
  size_t errlen;
} Check;

__attribute__((format(printf, 2, 3))) static bool fail(Check *c, const char *fmt, ...) {
  int n = snprintf(c->err, c->errlen, "kernel k%d: ", c->k);
  va_list ap;
  va_start(ap, fmt);
  if (n >= 0 && (size_t)n < c->errlen) vsnprintf(c->err + n, c->errlen - (size_t)n, fmt, ap);
  va_end(ap);
  return false;
}

typedef struct {
  int64_t lo, hi;
  bool far; /* beyond 64 bits */
} Range;

/* r += factor * x */
static void add(Range *r, Range x, int64_t factor) {
  int64_t lo, hi;
  r->far |= x.far || __builtin_mul_overflow(factor, factor < 0 ? x.hi : x.lo, &lo) ||
            __builtin_mul_overflow(factor, factor < 0 ? x.lo : x.hi, &hi) ||
            __builtin_add_overflow(r->lo, lo, &r->lo) || __builtin_add_overflow(r->hi, hi, &r->hi);
}

static bool within(Range r, int64_t count) { return !r.far && r.lo >= 0 && r.hi < count; }

static Range affine_range(const LoopKernel *l, const Affine *e) {
  Range r = {e->c, e->c, false};
  for (int d = 0; d < l->ndim; d++) add(&r, (Range){0, l->size[d] - 1, false}, e->k[d]);
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
    if (take_out(l, &e, &a->guard[i].e, &factor)) add(&r, guarded(l, &a->guard[i]), factor);
  }
  add(&r, affine_range(l, &e), 1);
  return r;
}

static Range access_range(const LoopKernel *l, const Access *a) {
  Range r = guarded_affine(l, a->off, a);
  for (int i = 0; i < a->nquot; i++) {
    Range q = guarded_affine(l, a->quot[i].e, a);
    q.lo = q.lo < 0 ? -1 : q.lo / a->quot[i].div;
    q.hi /= a->quot[i].div;
    add(&r, q, a->quot[i].stride);
  }
  if (a->dyn >= 0) add(&r, (Range){0, a->dyn_extent - 1, false}, a->dyn_stride);
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
  if (a->buf < 0 || a->buf >= k->nbuf) return fail(c, "%s %d: operand %d of %d", what, i, a->buf, k->nbuf);
  if (write != (a->buf >= k->nbuf - k->nout) && write)
    return fail(c, "%s %d writes operand %d, which is an input", what, i, a->buf);
  const Buf *b = &c->p->buf.v[k->buf[a->buf]];
  if (b->dt != DT_NONE && b->dt != dt)
    return fail(c, "%s %d: %s in a buffer of %s", what, i, dtype_name(dt), dtype_name(b->dt));
  if (write && a->nguard) return fail(c, "%s %d has guards", what, i);
  if (a->dyn >= 0 && (a->dyn_extent < 1 || !dtype_is_int(l->inst[a->dyn].dt)))
    return fail(c, "%s %d: malformed dynamic index", what, i);
  for (int q = 0; q < a->nquot; q++)
    if (a->quot[q].div < 1) return fail(c, "%s %d: quotient by %lld", what, i, (long long)a->quot[q].div);
  if (is_far(l, a)) return fail(c, "%s %d: addresses beyond 64 bits", what, i);
  int64_t count = b->bytes / dtype_size(dt);
  Range r = access_range(l, a);
  if (within(r, count)) return true;
  if (try_points(l, a, count)) return true;
  return fail(c, "%s %d reaches elements [%lld, %lld] of buf%d, which has %lld", what, i, (long long)r.lo,
              (long long)r.hi, k->buf[a->buf], (long long)count);
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

static int args_of(const KInst *in, int arg[4]) {
  int n = in->kind == KI_MAP      ? op_table[in->op].nin
          : in->kind == KI_RANDOM ? 2
          : in->kind == KI_REDUCE ? 1
                                  : 0;
  for (int i = 0; i < n; i++) arg[i] = in->arg[i];
  if (in->kind == KI_LOAD && in->access && in->access->dyn >= 0) arg[n++] = in->access->dyn;
  return n;
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
  if (in->dt <= DT_NONE || in->dt >= DT_COUNT) return fail(c, "%%%d has no type", i);
  bool reads = in->kind == KI_LOAD || in->kind == KI_GUARD;
  if (reads && !in->access) return fail(c, "%%%d has no access", i);
  if (in->kind == KI_MAP && op_table[in->op].kind != KIND_MAP)
    return fail(c, "%%%d maps %s", i, op_table[in->op].name);
  if (in->kind == KI_REDUCE && op_table[in->op].kind != KIND_REDUCE)
    return fail(c, "%%%d reduces by %s", i, op_table[in->op].name);
  int arg[4], n = args_of(in, arg);
  stage[i] = 0;
  for (int j = 0; j < n; j++) {
    if (arg[j] < 0 || arg[j] >= i) return fail(c, "%%%d uses %%%d before it is defined", i, arg[j]);
    if (stage[arg[j]] > stage[i]) stage[i] = stage[arg[j]];
    if (in->row && in->kind != KI_REDUCE && !l->inst[arg[j]].row)
      return fail(c, "%%%d is a row value but uses %%%d, which is not", i, arg[j]);
  }
  if (!types_agree(l, in, arg, n)) return fail(c, "%%%d: element types do not agree", i);
  if (affine_range(l, &in->index).far) return fail(c, "%%%d: an index beyond 64 bits", i);
  if (in->kind == KI_REDUCE) {
    if (in->sweep < 0 || in->sweep >= l->nsweep)
      return fail(c, "%%%d: sweep %d of %d", i, in->sweep, l->nsweep);
    if (stage[i] > in->sweep)
      return fail(c, "%%%d is reduced in sweep %d but needs one of sweep %d", i, in->sweep, stage[i] - 1);
    if (!in->row) return fail(c, "%%%d: a reduction is a row value", i);
    stage[i] = in->sweep + 1;
    return true;
  }
  unsigned dims = dims_of_inst(l, in);
  if (dims >> l->ndim) return fail(c, "%%%d depends on a loop dim that does not exist", i);
  if (in->row && dims >> l->npar) return fail(c, "%%%d is a row value but depends on a reduced dim", i);
  return in->kind != KI_LOAD || check_access(c, in->access, in->dt, false, "load", i);
}

static bool check_loop(Check *c) {
  const Kernel *k = &c->p->kernel.v[c->k];
  const LoopKernel *l = &k->loop;
  if (l->ndim < 0 || l->ndim > KDIM || l->npar < 0 || l->npar > l->ndim)
    return fail(c, "%d loop dims, %d parallel", l->ndim, l->npar);
  int64_t points = 1;
  for (int d = 0; d < l->ndim; d++)
    if (l->size[d] < 1 || l->size[d] > MAX_POINTS / points)
      return fail(c, "loop dim %d has extent %lld", d, (long long)l->size[d]);
    else points *= l->size[d];
  if (l->vec != -1 && l->vec != l->npar - 1 && l->vec != l->ndim - 1) return fail(c, "vector dim %d", l->vec);
  if (l->vec >= l->ndim) return fail(c, "vector dim %d of %d", l->vec, l->ndim);
  if (l->nchunk < 1 || (l->nchunk > points && l->nchunk > MAX_IDLE))
    return fail(c, "%lld chunks", (long long)l->nchunk);
  if (!l->nstore) return fail(c, "stores nothing");
  Arena *a = arena_new();
  int *stage = NEWN(a, int, l->ninst + 1);
  bool ok = true;
  for (int i = 0; i < l->ninst && ok; i++) ok = check_inst(c, i, stage);
  for (int i = 0; i < l->nstore && ok; i++) {
    const KStore *s = &l->store[i];
    if (s->inst < 0 || s->inst >= l->ninst) ok = fail(c, "store %d of %%%d", i, s->inst);
    else if (!l->inst[s->inst].row && (s->sweep < 0 || s->sweep >= l->nsweep))
      ok = fail(c, "store %d in sweep %d of %d", i, s->sweep, l->nsweep);
    else if (!l->inst[s->inst].row && stage[s->inst] > s->sweep)
      ok = fail(c, "store %d in sweep %d needs a reduction of sweep %d", i, s->sweep, stage[s->inst] - 1);
    else if (dims_of_access(l, &s->access) >> (l->inst[s->inst].row ? l->npar : l->ndim))
      ok = fail(c, "store %d depends on a loop dim that it is not in", i);
    else ok = check_access(c, &s->access, l->inst[s->inst].dt, true, "store", i);
  }
  arena_free(a);
  return ok;
}

static bool check_matrix(Check *c, const GemmSpec *s, int operand, ContractionOperand role, int64_t off,
                         const int64_t *batch, int64_t rows, int64_t row, int64_t cols, int64_t col) {
  const Buf *b = &c->p->buf.v[c->p->kernel.v[c->k].buf[operand]];
  Range r = {off, off, false};
  for (int i = 0; i < s->nbatch; i++) add(&r, (Range){0, s->batch[i] - 1, false}, batch[i]);
  add(&r, (Range){0, rows - 1, false}, row);
  add(&r, (Range){0, cols - 1, false}, col);
  DType dt = gemm_dtype(s, role);
  int64_t n = b->bytes / dtype_size(dt);
  if (b->dt != dt) return fail(c, "operand %d is %s, not %s", operand, dtype_name(b->dt), dtype_name(dt));
  if (within(r, n)) return true;
  return fail(c, "operand %d reaches elements [%lld, %lld] of %lld", operand, (long long)r.lo,
              (long long)r.hi, (long long)n);
}

static bool check_gemm(Check *c) {
  const Kernel *k = &c->p->kernel.v[c->k];
  const GemmSpec *s = &k->gemm;
  ContractionPlan plan = gemm_plan(s, &c->p->target);
  if (k->gemm_step < 0 || k->gemm_step >= plan.nstep)
    return fail(c, "step %d of %d", k->gemm_step, plan.nstep);
  if (s->c_n != 1) return fail(c, "columns of a matrix product lie %lld apart", (long long)s->c_n);
  if ((s->a16 || s->b16 || s->c16) && s->dt != DT_F32)
    return fail(c, "a matrix product of bf16 sums in %s", dtype_name(s->dt));
  const ContractionStep *st = &plan.step[k->gemm_step];
  if (k->nbuf != st->nin + st->nout || k->nout != st->nout)
    return fail(c, "%d operands for step %s", k->nbuf, st->name);
  for (int i = 0; i < k->nbuf; i++) {
    ContractionOperand role = step_operand(st, i);
    if (role == CO_TMP0 && c->p->buf.v[k->buf[i]].bytes < plan.tmp_bytes[0])
      return fail(c, "operand %d of step %s is too small", i, st->name);
    if ((role == CO_A && !check_matrix(c, s, i, role, s->a_off, s->a_batch, s->m, s->a_m, s->k, s->a_k)) ||
        (role == CO_B && !check_matrix(c, s, i, role, s->b_off, s->b_batch, s->k, s->b_k, s->n, s->b_n)) ||
        (role == CO_C && !check_matrix(c, s, i, role, s->c_off, s->c_batch, s->m, s->c_m, s->n, s->c_n)))
      return false;
  }
  return true;
}

static bool check_conv(Check *c) {
  const Kernel *k = &c->p->kernel.v[c->k];
  ContractionPlan plan = conv_plan(&k->conv, &c->p->target);
  if (k->conv_step < 0 || k->conv_step >= plan.nstep)
    return fail(c, "step %d of %d", k->conv_step, plan.nstep);
  const ContractionStep *st = &plan.step[k->conv_step];
  if (k->nbuf != st->nin + st->nout || k->nout != st->nout)
    return fail(c, "%d operands for step %s", k->nbuf, st->name);
  ConvSpec resolved = conv_resolve(&k->conv, &c->p->target), *s = &resolved;
  if (k->conv.images != s->images)
    return fail(c, "cannot run in chunks of %lld images", (long long)k->conv.images);
  const DType dt[] = {s->xbf16 ? DT_BF16 : DT_F32, s->wbf16 ? DT_BF16 : DT_F32, s->ybf16 ? DT_BF16 : DT_F32};
  int64_t bytes[] = {
      dtype_size(dt[CO_X]) * s->n * s->c * s->h * s->w, dtype_size(dt[CO_W]) * s->k * (s->c / s->groups) * s->kh * s->kw,
      dtype_size(dt[CO_Y]) * s->n * s->k * s->oh * s->ow, plan.tmp_bytes[0], plan.tmp_bytes[1]};
  for (int i = 0; i < k->nbuf; i++) {
    ContractionOperand role = step_operand(st, i);
    if (role <= CO_Y && c->p->buf.v[k->buf[i]].dt != dt[role])
      return fail(c, "operand %d of step %s is %s, not %s", i, st->name,
                  dtype_name(c->p->buf.v[k->buf[i]].dt), dtype_name(dt[role]));
    if (c->p->buf.v[k->buf[i]].bytes < bytes[role])
      return fail(c, "operand %d of step %s is too small", i, st->name);
  }
  return true;
}

static bool check_scatter(Check *c) {
  const Kernel *k = &c->p->kernel.v[c->k];
  const ScatterSpec *s = &k->scatter;
  if (k->nbuf != 3) return fail(c, "scatter has 3 operands, not %d", k->nbuf);
  if (s->dt == DT_BOOL || s->dt == DT_BF16 || (s->idx_dt != DT_I32 && s->idx_dt != DT_I64))
    return fail(c, "a scatter of %s by %s", dtype_name(s->dt), dtype_name(s->idx_dt));
  int64_t need[] = {s->nidx * dtype_size(s->idx_dt), s->outer * s->nidx * s->inner * dtype_size(s->dt),
                    s->outer * s->extent * s->inner * dtype_size(s->dt)};
  for (int i = 0; i < 3; i++)
    if (c->p->buf.v[k->buf[i]].bytes < need[i]) return fail(c, "operand %d is too small", i);
  return true;
}

static bool check_extern(Check *c) {
  const Kernel *k = &c->p->kernel.v[c->k];
  if (!k->ext || k->nout != 1) return fail(c, "an extern call has a function and one result");
  for (int i = 0; i < k->nbuf; i++)
    if (c->p->buf.v[k->buf[i]].block) return fail(c, "operand %d of an extern call is blocked", i);
  return true;
}

static bool check_buffers(Check *c) {
  const Program *p = c->p;
  const Kernel *k = &p->kernel.v[c->k];
  if (k->nout < 1 || k->nout > k->nbuf) return fail(c, "%d of %d operands are written", k->nout, k->nbuf);
  for (int i = 0; i < k->nbuf; i++) {
    int b = k->buf[i];
    if (b < 0 || b >= p->buf.n) return fail(c, "operand %d is buf%d of %d", i, b, p->buf.n);
    if (p->buf.v[b].alias >= p->buf.n || p->buf.v[b].alias == b)
      return fail(c, "buf%d shares memory with buf%d", b, p->buf.v[b].alias);
  }
  if (k->commit && c->k < p->ncompute) return fail(c, "writes state among the kernels that compute");
  return true;
}

/* The kernels of a chain stand together, have equal chunks, and alone use what lies in scratch. */
static bool check_chain(Check *c) {
  const Program *p = c->p;
  const Kernel *k = &p->kernel.v[c->k], *prev = c->k ? k - 1 : NULL;
  if (k->chain && prev && prev->chain == k->chain && kernel_chunks(p, k) != kernel_chunks(p, prev))
    return fail(c, "%lld chunks in a chain of %lld", (long long)kernel_chunks(p, k),
                (long long)kernel_chunks(p, prev));
  int first, last;
  program_chain(p, c->k, &first, &last);
  if (k->chain && (last - first >= CHAIN_KERNELS || k->nbuf > CHAIN_OPERANDS))
    return fail(c, "%d operands in a chain of %d kernels", k->nbuf, last - first + 1);
  if (k->chain && !(prev && prev->chain == k->chain))
    for (int j = 0; j < c->k; j++)
      if (p->kernel.v[j].chain == k->chain) return fail(c, "chain %d is interrupted", k->chain);
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *b = &p->buf.v[k->buf[i]];
    if (!b->chunk) continue;
    if (b->kind != BUF_TEMP || b->alias >= 0) return fail(c, "buf%d cannot lie in scratch", k->buf[i]);
    if (!k->chain || kernel_chunk_bytes(p, k, i) != b->chunk)
      return fail(c, "operand %d leaves its chunk of %lld bytes of buf%d", i, (long long)b->chunk, k->buf[i]);
    for (int j = 0; j < c->k; j++)
      for (int o = 0; p->kernel.v[j].chain != k->chain && o < p->kernel.v[j].nbuf; o++)
        if (program_root(p, p->kernel.v[j].buf[o]) == k->buf[i])
          return fail(c, "buf%d lies in scratch but k%d of another chain uses it", k->buf[i], j);
  }
  return true;
}

bool program_verify(const Program *p, char *err, size_t errlen) {
  static bool (*const check[])(Check *) = {[KK_LOOP] = check_loop,
                                           [KK_GEMM] = check_gemm,
                                           [KK_CONV] = check_conv,
                                           [KK_SCATTER] = check_scatter,
                                           [KK_EXTERN] = check_extern};
  for (int k = 0; k < p->kernel.n; k++) {
    Check c = {p, k, err, errlen};
    if (!check_buffers(&c) || !check[p->kernel.v[k].kind](&c) || !check_chain(&c)) return false;
  }
  return true;
}
