/* The slow interpreter of loop kernels: point by point in f64, exactly as ir/kernel/loop.h words their meaning. The
   oracle for the loop emitter and for lowering. */
#include "ir/graph/expr.h"
#include "ir/kernel/loop_impl.h"

#include <math.h>
#include <string.h>

/* ---- loop kernels ---- */
typedef struct {
  const LoopKernel *l;
  double *const *mem;
  int64_t at[KDIM];
  double *val;
  bool *done;    /* value is current: row values for a P point, others for an R point */
  bool *reduced; /* reductions finished at this P point */
  bool rounds, ties, moves;
} Run;

static double rounded(const Run *r, DType dt, double x) { return dtype_round(dt, x, r->rounds); }

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
  double x = value(r, a->dyn);
  return off + a->dyn_stride * cell_index(r->l->inst[a->dyn].dt, x, a->dyn_extent);
}

static int64_t position(const Run *r, const KInst *in) {
  return affine_at(r, &in->index) + quots_at(r, in->quot, in->nquot);
}

static int64_t whole(Run *r, int i) {
  double x = value(r, i);
  return cell_int(r->l->inst[i].dt, x);
}

/* Whether x and y may be one value, each computed with the errors of a few operators. */
static bool is_tie(DType dt, double x, double y) {
  return dtype_is_float(dt) && x != y &&
         fabs(x - y) <= ldexp(fmin(fabs(x), fabs(y)), 4 - dtype_row(dt)->digits);
}

static double compute(Run *r, const KInst *in) {
  switch (in->kind) {
  case KI_LOAD:
    return guards_hold(r, in->access) ? r->mem[in->access->buf][element(r, in->access)]
                                      : rounded(r, in->dt, imm_cell(in->dt, in->access->fill));
  case KI_IMM: return rounded(r, in->dt, imm_cell(in->dt, in->imm));
  case KI_INDEX: return convert_cell(DT_I64, in->dt, int_cell(DT_I64, position(r, in)), r->rounds);
  case KI_GUARD: return guards_hold(r, in->access);
  case KI_RANDOM:
    return philox_u32((uint64_t)position(r, in), (uint32_t)whole(r, in->arg[1]), in->stream,
                      (uint64_t)whole(r, in->arg[0]));
  case KI_MAP: {
    double x[3];
    for (int k = 0; k < op_table[in->op].nin; k++) x[k] = value(r, in->arg[k]);
    DType arg = r->l->inst[in->arg[in->op == OP_select]].dt;
    if (in->op == OP_cast) return convert_cell(arg, in->dt, x[0], r->rounds);
    if (r->ties && op_table[in->op].nin == 2 && in->dt == DT_BOOL && is_tie(arg, x[0], x[1])) x[0] = x[1];
    return op_eval_cells(in->op, in->dt, arg, x, r->rounds);
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
  double n, v, m2; /* count; sum, mean or extreme, a cell; sum of squared deviations */
  double first;    /* element */
  double size;     /* sum of magnitudes; of squared differences from the first */
  int64_t at;      /* position */
} Sum;

static void accumulate(Sum *s, OpId op, DType dt, double x, int64_t at) {
  if (!s->n++) s->first = x;
  s->size += op == OP_reduce_m2 ? (x - s->first) * (x - s->first) : fabs(x);
  if (op == OP_reduce_sum || op == OP_reduce_mean) {
    s->v = dtype_is_int(dt) ? op_eval_cells(OP_add, dt, dt, (double[]){s->v, x}, false) : s->v + x;
  } else if (op == OP_reduce_m2) {
    double delta = x - s->v;
    s->v += delta / s->n;
    s->m2 += delta * (x - s->v);
  } else if (s->n == 1) {
    s->v = x;
    s->at = at;
  } else if (op == OP_reduce_min) {
    s->v = op_eval_cells(OP_min, dt, dt, (double[]){s->v, x}, false);
  } else { /* max, argmax */
    bool later = dtype_is_int(dt) ? cell_less(dt, s->v, x) : x > s->v || (isnan(x) && !isnan(s->v));
    if (later) s->v = x, s->at = at;
  }
}

/* The value of a finished reduction; argmax has its own type. */
static double total(const Run *r, const KInst *in, const Sum *s) {
  if (in->op == OP_argmax) return int_cell(in->dt, s->at);
  double x = in->op == OP_reduce_m2 ? s->m2 : in->op == OP_reduce_mean ? s->v / s->n : s->v;
  if (r->moves && in->op != OP_reduce_max && in->op != OP_reduce_min && dtype_is_float(in->dt))
    x += INTERP_ULP * (in->op == OP_reduce_mean ? s->size / s->n : s->size);
  return rounded(r, in->dt, x);
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
        accumulate(&sum[i], in->op, l->inst[in->arg[0]].dt, value(r, in->arg[0]), position(r, in));
    }
    for (int i = 0; i < l->nstore; i++)
      if (!l->inst[l->store[i].inst].row && l->store[i].sweep == s) store(r, &l->store[i]);
  } while (step(r, l->npar, l->ndim));
  for (int i = 0; i < l->ninst; i++) {
    const KInst *in = &l->inst[i];
    if (in->kind != KI_REDUCE || in->sweep != s) continue;
    r->val[i] = total(r, in, &sum[i]);
    r->reduced[i] = true;
  }
}

void loop_interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  (void)p;
  const LoopKernel *l = &k->loop;
  Arena *a = arena_new();
  Run r = {.l = l,
           .mem = mem,
           .rounds = mode == INTERP_ROUNDED,
           .ties = mode == INTERP_TIED || mode == INTERP_MOVED,
           .moves = mode == INTERP_MOVED,
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
