/* The slow interpreter of loop kernels: point by point in f64, exactly as ir/kernel/loop.h words their meaning. The
   oracle for the loop emitter and for lowering. */
#include "ir/graph/expr.h"
#include "ir/kernel/loop_impl.h"

#include <math.h>
#include <string.h>

/* ---- element types (as in ir/graph/interp.c; f32 stays f64) ---- */
static double round_to(DType dt, double x) {
  if (dt == DT_BF16) return bf16_round(x);
  if (dt == DT_BOOL) return x != 0;
  if (!dtype_is_int(dt) || dt == DT_I64 || !(fabs(x) < 9e18)) return x;
  return dt == DT_I32 ? (double)(int32_t)(uint32_t)(int64_t)x : (double)(uint32_t)(int64_t)x;
}

static double convert(DType from, DType to, double x) {
  if (!dtype_is_int(to) || !dtype_is_float(from)) return round_to(to, x);
  double lo = to == DT_I32 ? INT32_MIN : to == DT_I64 ? (double)INT64_MIN : 0;
  double hi = to == DT_I32 ? INT32_MAX : to == DT_I64 ? (double)INT64_MAX : UINT32_MAX;
  return isnan(x) ? 0 : trunc(fmin(fmax(x, lo), hi));
}

/* ---- loop kernels ---- */
typedef struct {
  const LoopKernel *l;
  double *const *mem;
  int64_t at[KDIM];
  double *val;
  bool *done;    /* value is current: row values for a P point, others for an R point */
  bool *reduced; /* reductions finished at this P point */
  bool round_f32;
} Run;

static double rounded(const Run *r, DType dt, double x) {
  return r->round_f32 && dt == DT_F32 ? (float)x : round_to(dt, x);
}

static int64_t affine_at(const Run *r, const Affine *e) {
  int64_t v = e->c;
  for (int d = 0; d < r->l->ndim; d++) v += e->k[d] * r->at[d];
  return v;
}

static int64_t quots_at(const Run *r, const Quot *q, int n) {
  int64_t v = 0;
  for (int i = 0; i < n; i++) {
    int64_t e = affine_at(r, &q[i].e);
    v += q[i].stride * (e >= 0 ? e / q[i].div : -((-e + q[i].div - 1) / q[i].div));
  }
  return v;
}

static bool guards_hold(const Run *r, const Access *a) {
  for (int i = 0; i < a->nguard; i++) {
    const Guard *g = &a->guard[i];
    int64_t e = affine_at(r, &g->e);
    if (e < g->lo || e >= g->hi || (g->mod > 1 && e % g->mod)) return false;
  }
  return true;
}

static double value(Run *r, int i);

static int64_t element(Run *r, const Access *a) {
  int64_t off = affine_at(r, &a->off) + quots_at(r, a->quot, a->nquot);
  if (a->dyn < 0) return off;
  double i = value(r, a->dyn), last = (double)(a->dyn_extent - 1);
  return off + a->dyn_stride * (int64_t)(i < 0 ? 0 : i > last ? last : i);
}

static double compute(Run *r, const KInst *in) {
  switch (in->kind) {
  case KI_LOAD:
    return guards_hold(r, in->access) ? r->mem[in->access->buf][element(r, in->access)]
                                      : round_to(in->dt, in->access->fill);
  case KI_IMM: return rounded(r, in->dt, in->imm);
  case KI_INDEX:
    return round_to(in->dt, (double)(affine_at(r, &in->index) + quots_at(r, in->quot, in->nquot)));
  case KI_GUARD: return guards_hold(r, in->access);
  case KI_RANDOM:
    return philox_u32((uint64_t)(affine_at(r, &in->index) + quots_at(r, in->quot, in->nquot)),
                      (uint32_t)(int64_t)value(r, in->arg[1]), in->stream,
                      (uint64_t)(int64_t)value(r, in->arg[0]));
  case KI_MAP: {
    double x[3];
    for (int k = 0; k < op_table[in->op].nin; k++) x[k] = value(r, in->arg[k]);
    if (in->op == OP_cast) return rounded(r, in->dt, convert(r->l->inst[in->arg[0]].dt, in->dt, x[0]));
    if (r->round_f32 && in->dt == DT_F32) return op_eval_f32(in->op, x);
    return rounded(r, in->dt, op_eval_as(in->op, in->dt, x));
  }
  case KI_REDUCE: break;
  }
  bug("kernel interpreter: a reduction is used before its sweep ends");
}

static double value(Run *r, int i) {
  const KInst *in = &r->l->inst[i];
  if (in->kind == KI_REDUCE ? r->reduced[i] : r->done[i]) return r->val[i];
  r->val[i] = compute(r, in);
  r->done[i] = true;
  return r->val[i];
}

/* Steps at[first..last); false after the last point. */
static bool step(Run *r, int first, int last) {
  for (int d = last - 1; d >= first; d--) {
    if (++r->at[d] < r->l->size[d]) return true;
    r->at[d] = 0;
  }
  return false;
}

static void store(Run *r, const KStore *s) {
  r->mem[s->access.buf][element(r, &s->access)] = value(r, s->inst);
}

typedef struct {
  double n, v, m2, at; /* count; sum, mean or extreme; sum of squared deviations; position */
} Sum;

static void accumulate(Sum *s, OpId op, double x, double at) {
  s->n++;
  if (op == OP_reduce_sum) s->v += x;
  else if (op == OP_reduce_m2) {
    double delta = x - s->v;
    s->v += delta / s->n;
    s->m2 += delta * (x - s->v);
  } else if (op == OP_reduce_min) s->v = s->n == 1 ? x : op_eval_leaf(OP_min, (double[]){s->v, x});
  else if (s->n == 1 || x > s->v || (isnan(x) && !isnan(s->v))) { /* max, argmax */ s->v = x;
    s->at = at;
  }
}

static void sweep(Run *r, int s, Sum *sum) {
  const LoopKernel *l = r->l;
  for (int d = l->npar; d < l->ndim; d++) r->at[d] = 0;
  memset(sum, 0, sizeof *sum * (size_t)l->ninst);
  do {
    for (int i = 0; i < l->ninst; i++)
      if (!l->inst[i].row) r->done[i] = false;
    for (int i = 0; i < l->ninst; i++) {
      const KInst *in = &l->inst[i];
      if (in->kind == KI_REDUCE && in->sweep == s)
        accumulate(&sum[i], in->op, value(r, in->arg[0]),
                   (double)(affine_at(r, &in->index) + quots_at(r, in->quot, in->nquot)));
    }
    for (int i = 0; i < l->nstore; i++)
      if (!l->inst[l->store[i].inst].row && l->store[i].sweep == s) store(r, &l->store[i]);
  } while (step(r, l->npar, l->ndim));
  for (int i = 0; i < l->ninst; i++) {
    const KInst *in = &l->inst[i];
    if (in->kind != KI_REDUCE || in->sweep != s) continue;
    r->val[i] = rounded(r, in->dt,
                        in->op == OP_argmax      ? sum[i].at
                        : in->op == OP_reduce_m2 ? sum[i].m2
                                                 : sum[i].v);
    r->reduced[i] = true;
  }
}

void loop_interp(const Program *p, const Kernel *k, double *const *mem, bool round_f32) {
  (void)p;
  const LoopKernel *l = &k->loop;
  Arena *a = arena_new();
  Run r = {.l = l,
           .mem = mem,
           .round_f32 = round_f32,
           .val = NEWN(a, double, l->ninst + 1),
           .done = NEWN(a, bool, l->ninst + 1),
           .reduced = NEWN(a, bool, l->ninst + 1)};
  Sum *sum = NEWN(a, Sum, l->ninst + 1);
  do {
    memset(r.done, 0, (size_t)l->ninst);
    memset(r.reduced, 0, (size_t)l->ninst);
    for (int s = 0; s < l->nsweep; s++) sweep(&r, s, sum);
    for (int i = 0; i < l->nstore; i++)
      if (l->inst[l->store[i].inst].row) store(&r, &l->store[i]);
  } while (step(&r, 0, l->npar));
  arena_free(a);
}
