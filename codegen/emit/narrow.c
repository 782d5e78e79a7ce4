/* The narrow floats, bf16 and f16: stored as 16 bits, computed with as f32. Conversions are instructions where the
   processor has them and integer arithmetic elsewhere, never a call of the compiler's library. Kernels take f32
   denormals for zero, which f16's are not: as f32 they are ordinary numbers. */
#include "codegen/emit/emit.h"

/* ---- bf16 ---- */
static LLVMValueRef widen_bf16(EmitModule *m, LLVMValueRef stored) {
  int n = em_lanes(stored);
  LLVMTypeRef it = em_vec(m->i32, n);
  LLVMValueRef u = LLVMBuildShl(m->b, LLVMBuildZExt(m->b, stored, it, ""), em_bits(it, 16), "");
  return LLVMBuildBitCast(m->b, u, em_vec(m->f32, n), "");
}

LLVMValueRef em_narrow_bf16(EmitModule *m, LLVMValueRef x) {
  int n = em_lanes(x);
  LLVMTypeRef it = em_vec(m->i32, n), st = em_vec(m->i16, n);
  if (m->target->bf16 && !LLVMIsConstant(x)) {
    LLVMTypeRef bf = em_vec(LLVMBFloatTypeInContext(m->cx), n);
    return LLVMBuildBitCast(m->b, LLVMBuildFPTrunc(m->b, x, bf, ""), st, "");
  }
  LLVMBuilderRef b = m->b;
  LLVMValueRef u = LLVMBuildBitCast(b, x, it, "");
  LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, u, em_bits(it, 16), ""), em_bits(it, 1), "");
  LLVMValueRef r = LLVMBuildAdd(b, LLVMBuildAdd(b, u, em_bits(it, 0x7fff), ""), odd, "");
  /* NaN: the carry could run into infinity or zero; keep it quiet instead */
  LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, x, x, "");
  r = LLVMBuildSelect(b, nan, LLVMBuildOr(b, u, em_bits(it, 0x400000), ""), r, "");
  LLVMValueRef tiny =
      LLVMBuildICmp(b, LLVMIntEQ, LLVMBuildAnd(b, u, em_bits(it, 0x7f800000), ""), LLVMConstNull(it), "");
  r = LLVMBuildSelect(b, tiny, LLVMBuildAnd(b, u, em_bits(it, 0x80000000u), ""), r, "");
  return LLVMBuildTrunc(b, LLVMBuildLShr(b, r, em_bits(it, 16), ""), st, "");
}

/* ---- f16 ---- */
static LLVMValueRef shifted(EmitModule *m, LLVMValueRef x, int right) {
  LLVMTypeRef t = LLVMTypeOf(x);
  return right > 0 ? LLVMBuildLShr(m->b, x, em_bits(t, (uint64_t)right), "")
                   : LLVMBuildShl(m->b, x, em_bits(t, (uint64_t)-right), "");
}

static LLVMValueRef masked(EmitModule *m, LLVMValueRef x, uint64_t mask) {
  return LLVMBuildAnd(m->b, x, em_bits(LLVMTypeOf(x), mask), "");
}

static LLVMValueRef plus(EmitModule *m, LLVMValueRef x, uint64_t y) {
  return LLVMBuildAdd(m->b, x, em_bits(LLVMTypeOf(x), y), "");
}

static LLVMValueRef above(EmitModule *m, LLVMValueRef x, uint64_t y) {
  return LLVMBuildICmp(m->b, LLVMIntUGT, x, em_bits(LLVMTypeOf(x), y), "");
}

static LLVMValueRef pick(EmitModule *m, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y) {
  return LLVMBuildSelect(m->b, c, x, y, "");
}

static LLVMTypeRef half_type(EmitModule *m, int lanes) { return em_vec(LLVMHalfTypeInContext(m->cx), lanes); }

static LLVMValueRef widen_f16(EmitModule *m, LLVMValueRef stored) {
  int n = em_lanes(stored);
  LLVMTypeRef it = em_vec(m->i32, n), ft = em_vec(m->f32, n);
  if (m->target->f16 && !LLVMIsConstant(stored))
    return LLVMBuildFPExt(m->b, LLVMBuildBitCast(m->b, stored, half_type(m, n), ""), ft, "");
  LLVMValueRef h = LLVMBuildZExt(m->b, stored, it, ""), a = masked(m, h, 0x7fff), up = shifted(m, a, -13);
  LLVMValueRef tiny = em_fmul(m, LLVMBuildUIToFP(m->b, masked(m, h, 0x3ff), ft, ""), em_const(ft, 0x1p-24));
  LLVMValueRef r = plus(m, up, 112u << 23);
  r = pick(m, above(m, a, 0x3ff), r, LLVMBuildBitCast(m->b, tiny, it, ""));
  r = pick(m, above(m, a, 0x7bff), plus(m, up, 224u << 23), r);
  r = pick(m, above(m, a, 0x7c00), LLVMBuildOr(m->b, r, em_bits(it, 0x400000), ""), r);
  r = LLVMBuildOr(m->b, r, shifted(m, masked(m, h, 0x8000), -16), "");
  return LLVMBuildBitCast(m->b, r, ft, "");
}

/* f64 to an f32 that rounds on to f16 as x itself does: towards zero, and then odd unless it is x (Boldo and Melquiond,
   "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008). */
static LLVMValueRef odd_f32(EmitModule *m, LLVMValueRef x) {
  int n = em_lanes(x);
  LLVMTypeRef it = em_vec(m->i32, n), ft = em_vec(m->f32, n), dt = em_vec(m->f64, n);
  LLVMValueRef r = LLVMBuildFPTrunc(m->b, x, ft, ""), back = LLVMBuildFPExt(m->b, r, dt, "");
  LLVMValueRef bits = LLVMBuildBitCast(m->b, r, it, "");
  LLVMValueRef other = LLVMBuildFCmp(m->b, LLVMRealONE, back, x, "");
  LLVMValueRef far =
      LLVMBuildFCmp(m->b, LLVMRealOGT, em_unary(m, "llvm.fabs", back), em_unary(m, "llvm.fabs", x), "");
  LLVMValueRef low = pick(m, far, plus(m, bits, UINT32_MAX), bits);
  bits = pick(m, other, LLVMBuildOr(m->b, low, em_bits(it, 1), ""), bits);
  return LLVMBuildBitCast(m->b, bits, ft, "");
}

LLVMValueRef em_narrow_f16(EmitModule *m, LLVMValueRef x) {
  int n = em_lanes(x);
  LLVMTypeRef it = em_vec(m->i32, n), st = em_vec(m->i16, n), ft = em_vec(m->f32, n);
  if (em_elem(LLVMTypeOf(x)) == m->f64) x = odd_f32(m, x);
  if (m->target->f16 && !LLVMIsConstant(x))
    return LLVMBuildBitCast(m->b, LLVMBuildFPTrunc(m->b, x, half_type(m, n), ""), st, "");
  LLVMValueRef u = LLVMBuildBitCast(m->b, x, it, ""), a = masked(m, u, 0x7fffffff);
  LLVMValueRef even = masked(m, shifted(m, a, 13), 1);
  LLVMValueRef r = shifted(m, plus(m, LLVMBuildAdd(m->b, a, even, ""), 0xfff - (112u << 23)), 13);
  /* a denormal is the digits that remain beside a half */
  LLVMValueRef beside = em_fadd(m, LLVMBuildBitCast(m->b, a, ft, ""), em_const(ft, 0.5));
  LLVMValueRef tiny = plus(m, LLVMBuildBitCast(m->b, beside, it, ""), 0u - 0x3f000000u);
  r = pick(m, above(m, a, 0x387fffff), r, tiny);
  r = pick(m, above(m, a, 0x477fefff), em_bits(it, 0x7c00), r);
  LLVMValueRef nan = LLVMBuildOr(m->b, masked(m, shifted(m, a, 13), 0x1ff), em_bits(it, 0x7e00), "");
  r = pick(m, above(m, a, 0x7f800000), nan, r);
  r = LLVMBuildOr(m->b, r, masked(m, shifted(m, u, 16), 0x8000), "");
  return LLVMBuildTrunc(m->b, r, st, "");
}

/* ---- either ---- */
LLVMValueRef em_widen(EmitModule *m, DType dt, LLVMValueRef stored) {
  return dt == DT_F16 ? widen_f16(m, stored) : widen_bf16(m, stored);
}

LLVMValueRef em_narrow(EmitModule *m, DType dt, LLVMValueRef x) {
  if (dt == DT_F16) return em_narrow_f16(m, x);
  if (em_elem(LLVMTypeOf(x)) == m->f64) x = LLVMBuildFPTrunc(m->b, x, em_vec(m->f32, em_lanes(x)), "");
  return em_narrow_bf16(m, x);
}
