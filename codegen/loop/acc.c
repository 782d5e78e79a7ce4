/* Reductions of loop kernels. Sums are blocked: short inner sums in vector lanes, added to outer ones, in f64 where
   these are many. reduce_m2 accumulates differences from a shift near the data and combines blocks by Chan, Golub, LeVeque,
   "Updating formulae and a pairwise algorithm for computing sample variances" (1979); the shift of a block is
   the mean of those before it, which has a second word for the digits that a large mean has no room for. */
#include "codegen/loop/loop.h"

#include <math.h>

static bool in_rows(const LoopCtx *c) { return c->vec >= c->l->npar; } /* lanes are parts of one reduction */
static int acc_lanes(const LoopCtx *c) { return c->vec >= 0 ? c->width : 1; }

static LLVMValueRef pick(LoopCtx *c, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(c->m->b, cond, a, b, "");
}

static bool is_sum(const Red *r) { return r->op == OP_reduce_sum || r->op == OP_reduce_mean; }

static bool is_wide(const LoopCtx *c, const Red *r) {
  return c->many && dtype_is_float(r->dt) && (is_sum(r) || r->op == OP_reduce_m2);
}

static LLVMValueRef as_float(LoopCtx *c, LLVMValueRef x, LLVMTypeRef t) {
  return LLVMBuildFPCast(c->m->b, x, em_vec(t, em_lanes(x)), "");
}

/* The sum of an inner accumulator's lanes where these are parts of one reduction, as it goes into an outer one. */
static LLVMValueRef widened(LoopCtx *c, LLVMValueRef x) {
  return as_float(c, in_rows(c) ? em_hsum(c->m, x) : x, c->m->f64);
}

void acc_collect(LoopCtx *c, int sweep) {
  c->nred = 0;
  for (int i = 0; i < c->l->ninst; i++) {
    const KInst *in = &c->l->inst[i];
    if (in->kind != KI_REDUCE || in->sweep != sweep || !c->info[i].used) continue;
    if (c->nred == MAX_REDUCE) bug("loop kernel: more than %d reductions in a sweep", MAX_REDUCE);
    DType dt = c->l->inst[in->arg[0]].dt;
    c->red[c->nred++] = (Red){i, in->arg[0], in->op, loop_type(c->m, dt), dt, -1};
  }
  for (int i = 0; i < c->nred; i++)
    for (int j = 0; j < c->nred; j++)
      if (is_sum(&c->red[i]) && c->red[j].op == OP_reduce_m2 && c->red[i].arg == c->red[j].arg)
        c->red[i].shares = j;
}

static LLVMValueRef identity(const Red *r, int lanes) {
  LLVMTypeRef t = em_vec(r->type, lanes);
  if (is_sum(r) || r->op == OP_reduce_m2) return LLVMConstNull(t);
  bool low = r->op != OP_reduce_min;
  if (dtype_is_float(r->dt)) return em_const(t, low ? -HUGE_VAL : HUGE_VAL);
  return em_bits(t, (uint64_t)imm_int(r->dt, low ? dtype_least(r->dt) : dtype_most(r->dt)));
}

void acc_inner(LoopCtx *c, Acc *in) {
  *in = (Acc){0};
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    LLVMValueRef *v = &in->v[i * ACC_SLOTS];
    if (r->shares >= 0) continue;
    v[0] = identity(r, acc_lanes(c));
    if (r->op == OP_reduce_m2) v[1] = v[0];
    if (r->op == OP_argmax) v[1] = em_bits(em_vec(c->m->i64, acc_lanes(c)), INT64_MAX);
  }
}

void acc_outer(LoopCtx *c, Acc *out, LLVMValueRef *first) {
  acc_inner(c, out);
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    LLVMValueRef *v = &out->v[i * ACC_SLOTS];
    if (r->shares >= 0) continue;
    if (r->op == OP_reduce_m2) {
      v[0] = LLVMConstNull(c->m->f64);
      v[1] = first[i];
      v[2] = LLVMConstNull(is_wide(c, r) ? em_vec(c->m->f64, em_lanes(first[i])) : LLVMTypeOf(first[i]));
      v[3] = LLVMConstNull(LLVMTypeOf(first[i]));
    } else if (is_wide(c, r)) v[0] = LLVMConstNull(em_vec(c->m->f64, in_rows(c) ? 1 : acc_lanes(c)));
  }
}

/* (value, index) of the larger, of equal ones the smaller index; NaN is largest. */
static void later_max(LoopCtx *c, const Red *r, LLVMValueRef *best, LLVMValueRef x, LLVMValueRef at) {
  LLVMBuilderRef b = c->m->b;
  LLVMValueRef before = LLVMBuildICmp(b, LLVMIntSLT, at, best[1], ""), above, tie;
  if (dtype_is_float(r->dt)) {
    LLVMValueRef xn = LLVMBuildFCmp(b, LLVMRealUNO, x, x, ""),
                 bn = LLVMBuildFCmp(b, LLVMRealUNO, best[0], best[0], "");
    above = LLVMBuildOr(b, LLVMBuildFCmp(b, LLVMRealOGT, x, best[0], ""),
                        LLVMBuildAnd(b, xn, LLVMBuildNot(b, bn, ""), ""), "");
    tie = LLVMBuildOr(b, LLVMBuildFCmp(b, LLVMRealOEQ, x, best[0], ""), LLVMBuildAnd(b, xn, bn, ""), "");
  } else {
    above = LLVMBuildICmp(b, dtype_is_unsigned(r->dt) ? LLVMIntUGT : LLVMIntSGT, x, best[0], "");
    tie = LLVMBuildICmp(b, LLVMIntEQ, x, best[0], "");
  }
  LLVMValueRef take = LLVMBuildOr(b, above, LLVMBuildAnd(b, tie, before, ""), "");
  best[0] = pick(c, take, x, best[0]);
  best[1] = pick(c, take, at, best[1]);
}

static LLVMValueRef fold(LoopCtx *c, const Red *r, LLVMValueRef a, LLVMValueRef b) {
  OpId op = r->op == OP_reduce_max ? OP_max : r->op == OP_reduce_min ? OP_min : OP_add;
  /* the accumulator second: the minmax idiom is then one instruction when neither is NaN */
  return map_emit(c->m, op, dtype_is_narrow(r->dt) ? DT_F32 : r->dt, r->dt, (LLVMValueRef[]){b, a});
}

void acc_add(LoopCtx *c, Acc *in, const Acc *out) {
  EmitModule *m = c->m;
  LLVMValueRef mask = in_rows(c) ? c->mask : NULL;
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    if (r->shares >= 0) continue;
    LLVMValueRef *v = &in->v[i * ACC_SLOTS], x = loop_value(c, r->arg);
    if (r->op == OP_reduce_m2) {
      LLVMValueRef d = em_fsub(m, x, em_splat(m, out->v[i * ACC_SLOTS + 1], in_rows(c) ? c->lanes : 1));
      if (mask) d = pick(c, mask, d, LLVMConstNull(LLVMTypeOf(d)));
      v[0] = em_fadd(m, v[0], d);
      v[1] = em_fma(m, d, d, v[1]);
      continue;
    }
    if (mask) x = pick(c, mask, x, identity(r, c->lanes));
    if (r->op == OP_argmax) {
      LLVMValueRef at = loop_position(c, r->inst);
      if (mask) at = pick(c, mask, at, em_bits(LLVMTypeOf(at), INT64_MAX));
      later_max(c, r, v, x, at);
    } else v[0] = fold(c, r, v[0], x);
  }
}

void acc_join(LoopCtx *c, Acc *in, const Acc *other) {
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    LLVMValueRef *v = &in->v[i * ACC_SLOTS];
    const LLVMValueRef *w = &other->v[i * ACC_SLOTS];
    if (r->shares >= 0) continue;
    if (r->op == OP_argmax) later_max(c, r, v, w[0], w[1]);
    else v[0] = fold(c, r, v[0], w[0]);
    if (r->op == OP_reduce_m2) v[1] = em_fadd(c->m, v[1], w[1]);
  }
}

static void merge_m2(LoopCtx *c, const Red *r, LLVMValueRef *v, const LLVMValueRef *in, LLVMValueRef count) {
  EmitModule *m = c->m;
  LLVMValueRef s = in[0], q = in[1];
  if (in_rows(c)) {
    s = em_hsum(m, s);
    q = em_hsum(m, q);
  }
  int n = em_lanes(s);
  LLVMTypeRef t = LLVMTypeOf(s);
  LLVMValueRef k = LLVMBuildSIToFP(m->b, count, m->f64, ""), total = em_fadd(m, v[0], k);
  LLVMValueRef share = em_fdiv(m, k, total), part = em_splat(m, as_float(c, share, r->type), n);
  LLVMValueRef pairs = em_splat(m, as_float(c, em_fmul(m, v[0], share), r->type), n);
  LLVMValueRef one = em_splat(m, as_float(c, em_fdiv(m, em_const(m->f64, 1), k), r->type), n);
  LLVMValueRef at = em_fmul(m, s, one); /* the block's mean above the shift */
  LLVMValueRef m2 = em_fsub(m, q, em_fmul(m, s, at)), zero = LLVMConstNull(t);
  m2 = pick(c, LLVMBuildFCmp(m->b, LLVMRealOLT, m2, zero, ""), zero, m2);
  /* squares beyond the type's range are infinite, be their difference from another such NaN */
  LLVMValueRef beyond = LLVMBuildFCmp(m->b, LLVMRealOEQ, q, em_const(t, HUGE_VAL), "");
  m2 = pick(c, beyond, em_fma(m, s, zero, q), m2);
  LLVMValueRef delta = em_fsub(m, at, v[3]), between = em_fmul(m, em_fmul(m, delta, pairs), delta);
  LLVMValueRef above = em_fma(m, delta, part, v[3]), mean = em_fadd(m, v[1], above);
  v[3] = em_fadd(m, em_fsub(m, v[1], mean), above);
  v[0] = total;
  v[1] = mean;
  m2 = em_fadd(m, m2, between);
  v[2] = em_fadd(m, v[2], as_float(c, m2, em_elem(LLVMTypeOf(v[2]))));
}

void acc_merge(LoopCtx *c, Acc *out, const Acc *in, LLVMValueRef count) {
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    LLVMValueRef *v = &out->v[i * ACC_SLOTS];
    const LLVMValueRef *w = &in->v[i * ACC_SLOTS];
    if (r->shares >= 0) continue;
    if (r->op == OP_reduce_m2) merge_m2(c, r, v, w, count);
    else if (r->op == OP_argmax) later_max(c, r, v, w[0], w[1]);
    else if (is_wide(c, r)) v[0] = em_fadd(c->m, v[0], widened(c, w[0]));
    else v[0] = fold(c, r, v[0], w[0]);
  }
}

void acc_finish(LoopCtx *c, const Acc *out, LLVMValueRef count) {
  EmitModule *m = c->m;
  for (int i = 0; i < c->nred; i++) {
    const Red *r = &c->red[i];
    LLVMValueRef v[2] = {out->v[i * ACC_SLOTS], out->v[i * ACC_SLOTS + 1]}, result;
    if (r->shares >= 0) {
      const LLVMValueRef *w = &out->v[r->shares * ACC_SLOTS];
      result = w[1];
      if (r->op == OP_reduce_sum)
        result = em_fmul(m, w[1], em_splat(m, as_float(c, w[0], r->type), em_lanes(w[1])));
    } else if (r->op == OP_reduce_m2) result = out->v[i * ACC_SLOTS + 2];
    else {
      while (in_rows(c) && em_lanes(v[0]) > 1) {
        LLVMValueRef high = em_half(m, v[0], true), low = em_half(m, v[0], false);
        if (r->op == OP_argmax) {
          LLVMValueRef high_at = em_half(m, v[1], true);
          v[0] = low;
          v[1] = em_half(m, v[1], false);
          later_max(c, r, v, high, high_at);
        } else v[0] = fold(c, r, low, high);
      }
      result = r->op == OP_argmax ? v[1] : v[0];
      if (r->op == OP_reduce_mean) {
        LLVMTypeRef t = em_elem(LLVMTypeOf(result));
        result = em_fdiv(m, result, em_splat(m, LLVMBuildSIToFP(m->b, count, t, ""), em_lanes(result)));
      }
    }
    if (is_wide(c, r)) result = as_float(c, result, r->type);
    DType dt = c->l->inst[r->inst].dt;
    if (r->op != OP_argmax)
      result = dtype_is_narrow(dt) ? map_round(m, dt, result)
                                   : map_cast(m, dtype_is_narrow(r->dt) ? DT_F32 : r->dt, dt, result);
    else result = map_cast(m, DT_I64, dt, result);
    c->val[r->inst] = result;
    c->wide[r->inst] = c->info[r->inst].splat && em_lanes(result) == 1 && c->width > 1
                           ? em_splat(m, result, c->width)
                           : NULL;
  }
}
