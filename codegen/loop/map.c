/* Elementwise operators as IR: a table of leaf emitters, everything else walks the operator's expression tree
   (ir/graph/expr.h). */
#include "codegen/loop/loop.h"
#include "codegen/loop/vmath.h"
#include "ir/graph/expr.h"

LLVMTypeRef loop_type(EmitModule *m, DType dt) {
  return dtype_is_narrow(dt) ? m->f32 : dt == DT_BOOL ? m->i1 : em_type(m, dt);
}

typedef LLVMValueRef MapFn(EmitModule *m, DType dt,
                           LLVMValueRef *x); /* dt: the (first float or int) operand's */

static LLVMValueRef zero_like(LLVMValueRef x) { return LLVMConstNull(LLVMTypeOf(x)); }
static LLVMValueRef pick(EmitModule *m, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(m->b, cond, a, b, "");
}

#define LEAF(NAME, FLOAT, INT)                                                                               \
  static LLVMValueRef leaf_##NAME(EmitModule *m, DType dt, LLVMValueRef *x) {                                \
    return dtype_is_float(dt) ? (FLOAT) : (INT);                                                             \
  }
LEAF(add, em_fadd(m, x[0], x[1]), LLVMBuildAdd(m->b, x[0], x[1], ""))
LEAF(sub, em_fsub(m, x[0], x[1]), LLVMBuildSub(m->b, x[0], x[1], ""))
LEAF(mul, em_fmul(m, x[0], x[1]), LLVMBuildMul(m->b, x[0], x[1], ""))
LEAF(neg, LLVMBuildFNeg(m->b, x[0], ""), LLVMBuildSub(m->b, zero_like(x[0]), x[0], ""))
LEAF(eq, LLVMBuildFCmp(m->b, LLVMRealOEQ, x[0], x[1], ""), LLVMBuildICmp(m->b, LLVMIntEQ, x[0], x[1], ""))
LEAF(ne, LLVMBuildFCmp(m->b, LLVMRealUNE, x[0], x[1], ""), LLVMBuildICmp(m->b, LLVMIntNE, x[0], x[1], ""))
LEAF(lt, LLVMBuildFCmp(m->b, LLVMRealOLT, x[0], x[1], ""),
     LLVMBuildICmp(m->b, dtype_is_unsigned(dt) ? LLVMIntULT : LLVMIntSLT, x[0], x[1], ""))
LEAF(le, LLVMBuildFCmp(m->b, LLVMRealOLE, x[0], x[1], ""),
     LLVMBuildICmp(m->b, dtype_is_unsigned(dt) ? LLVMIntULE : LLVMIntSLE, x[0], x[1], ""))
#undef LEAF

static LLVMValueRef leaf_abs(EmitModule *m, DType dt, LLVMValueRef *x) {
  if (dtype_is_float(dt)) return em_unary(m, "llvm.fabs", x[0]);
  return dtype_is_unsigned(dt)
             ? x[0]
             : pick(m, leaf_lt(m, dt, (LLVMValueRef[]){x[0], zero_like(x[0])}), leaf_neg(m, dt, x), x[0]);
}

static LLVMValueRef leaf_sign(EmitModule *m, DType dt, LLVMValueRef *x) {
  (void)dt;
  LLVMTypeRef t = LLVMTypeOf(x[0]);
  LLVMValueRef below = LLVMBuildFCmp(m->b, LLVMRealOLT, x[0], zero_like(x[0]), "");
  LLVMValueRef above = LLVMBuildFCmp(m->b, LLVMRealOGT, x[0], zero_like(x[0]), "");
  return pick(m, above, em_const(t, 1), pick(m, below, em_const(t, -1), x[0])); /* zeros and NaN stay */
}

/* A constant without a NaN. */
static bool is_number(LLVMValueRef x) {
  if (LLVMIsAConstantAggregateZero(x)) return true;
  if (LLVMIsAConstantFP(x)) {
    LLVMBool lost;
    double v = LLVMConstRealGetDouble(x, &lost);
    return v == v;
  }
  if (!LLVMIsAConstantDataVector(x) && !LLVMIsAConstantVector(x)) return false;
  for (unsigned i = 0; i < LLVMGetVectorSize(LLVMTypeOf(x)); i++)
    if (!is_number(LLVMGetAggregateElement(x, i))) return false;
  return true;
}

/* The compare-and-select that is one min/max instruction gives its second operand when either is NaN: put a
   constant first, and otherwise restore the first operand's NaN. */
static LLVMValueRef extreme(EmitModule *m, DType dt, LLVMValueRef *x, bool max) {
  if (!dtype_is_float(dt)) {
    const char *name =
        dtype_is_unsigned(dt) ? (max ? "llvm.umax" : "llvm.umin") : (max ? "llvm.smax" : "llvm.smin");
    return em_binary(m, name, x[0], x[1]);
  }
  LLVMRealPredicate p = max ? LLVMRealOGT : LLVMRealOLT;
  if (is_number(x[1])) return pick(m, LLVMBuildFCmp(m->b, p, x[1], x[0], ""), x[1], x[0]);
  LLVMValueRef r = pick(m, LLVMBuildFCmp(m->b, p, x[0], x[1], ""), x[0], x[1]);
  if (is_number(x[0])) return r;
  return pick(m, LLVMBuildFCmp(m->b, LLVMRealUNO, x[0], x[0], ""), x[0], r);
}
static LLVMValueRef leaf_min(EmitModule *m, DType dt, LLVMValueRef *x) { return extreme(m, dt, x, false); }
static LLVMValueRef leaf_max(EmitModule *m, DType dt, LLVMValueRef *x) { return extreme(m, dt, x, true); }

#define PLAIN(NAME, VALUE)                                                                                   \
  static LLVMValueRef leaf_##NAME(EmitModule *m, DType dt, LLVMValueRef *x) {                                \
    (void)dt;                                                                                                \
    return VALUE;                                                                                            \
  }
PLAIN(div, em_fdiv(m, x[0], x[1]))
PLAIN(floor, em_unary(m, "llvm.floor", x[0]))
PLAIN(sqrt, em_unary(m, "llvm.sqrt", x[0]))
PLAIN(exp, vm_exp(m, x[0]))
PLAIN(log, vm_log(m, x[0]))
PLAIN(sin, vm_sin(m, x[0]))
PLAIN(cos, vm_cos(m, x[0]))
PLAIN(tanh, vm_tanh(m, x[0]))
PLAIN(erf, vm_erf(m, x[0]))
PLAIN(pow, vm_pow(m, x[0], x[1]))
PLAIN(not, LLVMBuildNot(m->b, x[0], ""))
PLAIN(and, LLVMBuildAnd(m->b, x[0], x[1], ""))
PLAIN(or, LLVMBuildOr(m->b, x[0], x[1], ""))
PLAIN(select, pick(m, x[0], x[1], x[2]))
PLAIN(round, em_unary(m, "llvm.nearbyint", x[0]))
PLAIN(log1p, vm_log1p(m, x[0]))
PLAIN(expm1, vm_expm1(m, x[0]))
PLAIN(log2, vm_log2(m, x[0]))
PLAIN(exp2, vm_exp2(m, x[0]))
PLAIN(asin, vm_libm(m, "asin", x, 1))
PLAIN(acos, vm_libm(m, "acos", x, 1))
PLAIN(atan, vm_libm(m, "atan", x, 1))
PLAIN(sinh, vm_libm(m, "sinh", x, 1))
PLAIN(cosh, vm_libm(m, "cosh", x, 1))
PLAIN(asinh, vm_libm(m, "asinh", x, 1))
PLAIN(acosh, vm_libm(m, "acosh", x, 1))
PLAIN(atanh, vm_libm(m, "atanh", x, 1))
PLAIN(atan2, vm_libm(m, "atan2", x, 2))
PLAIN(erfinv, vm_erfinv(m, x[0]))
PLAIN(lgamma, vm_libm(m, "lgamma", x, 1))
PLAIN(digamma, vm_digamma(m, x[0]))
PLAIN(polygamma, vm_polygamma(m, x[0], x[1]))
PLAIN(bit_not, LLVMBuildNot(m->b, x[0], ""))
PLAIN(bit_and, LLVMBuildAnd(m->b, x[0], x[1], ""))
PLAIN(bit_or, LLVMBuildOr(m->b, x[0], x[1], ""))
PLAIN(bit_xor, LLVMBuildXor(m->b, x[0], x[1], ""))
#undef PLAIN

/* Division by zero gives zero instead of a fault, and the smallest integer over -1 itself: over 1 it is. */
static LLVMValueRef divide(EmitModule *m, DType dt, LLVMValueRef *x, bool rest) {
  LLVMTypeRef t = LLVMTypeOf(x[0]);
  bool is_signed = !dtype_is_unsigned(dt);
  LLVMValueRef none = LLVMBuildICmp(m->b, LLVMIntEQ, x[1], zero_like(x[1]), ""), bad = none;
  if (is_signed) {
    LLVMValueRef least = em_bits(t, 1ull << (8 * dtype_size(dt) - 1));
    LLVMValueRef over = LLVMBuildAnd(m->b, LLVMBuildICmp(m->b, LLVMIntEQ, x[0], least, ""),
                                     LLVMBuildICmp(m->b, LLVMIntEQ, x[1], LLVMConstAllOnes(t), ""), "");
    bad = LLVMBuildOr(m->b, none, over, "");
  }
  LLVMValueRef by = pick(m, bad, em_bits(t, 1), x[1]), r;
  if (rest) r = is_signed ? LLVMBuildSRem(m->b, x[0], by, "") : LLVMBuildURem(m->b, x[0], by, "");
  else r = is_signed ? LLVMBuildSDiv(m->b, x[0], by, "") : LLVMBuildUDiv(m->b, x[0], by, "");
  return pick(m, none, zero_like(x[0]), r);
}
static LLVMValueRef leaf_idiv(EmitModule *m, DType dt, LLVMValueRef *x) { return divide(m, dt, x, false); }
static LLVMValueRef leaf_irem(EmitModule *m, DType dt, LLVMValueRef *x) { return divide(m, dt, x, true); }

/* Shifts by something that is no place of the type move all bits out. */
static LLVMValueRef leaf_shift_left(EmitModule *m, DType dt, LLVMValueRef *x) {
  LLVMValueRef width = em_bits(LLVMTypeOf(x[0]), (uint64_t)(8 * dtype_size(dt)));
  LLVMValueRef inside = LLVMBuildICmp(m->b, LLVMIntULT, x[1], width, "");
  LLVMValueRef by = pick(m, inside, x[1], zero_like(x[1]));
  return pick(m, inside, LLVMBuildShl(m->b, x[0], by, ""), zero_like(x[0]));
}

static LLVMValueRef leaf_shift_right(EmitModule *m, DType dt, LLVMValueRef *x) {
  uint64_t places = (uint64_t)(8 * dtype_size(dt));
  LLVMTypeRef t = LLVMTypeOf(x[0]);
  LLVMValueRef inside = LLVMBuildICmp(m->b, LLVMIntULT, x[1], em_bits(t, places), "");
  LLVMValueRef by = pick(m, inside, x[1], em_bits(t, places - 1));
  if (!dtype_is_unsigned(dt)) return LLVMBuildAShr(m->b, x[0], by, "");
  return pick(m, inside, LLVMBuildLShr(m->b, x[0], by, ""), zero_like(x[0]));
}

static MapFn *const leaf_fn[OP_COUNT] = {
    [OP_neg] = leaf_neg,
    [OP_abs] = leaf_abs,
    [OP_sign] = leaf_sign,
    [OP_floor] = leaf_floor,
    [OP_exp] = leaf_exp,
    [OP_log] = leaf_log,
    [OP_sqrt] = leaf_sqrt,
    [OP_sin] = leaf_sin,
    [OP_cos] = leaf_cos,
    [OP_tanh] = leaf_tanh,
    [OP_erf] = leaf_erf,
    [OP_not] = leaf_not,
    [OP_add] = leaf_add,
    [OP_sub] = leaf_sub,
    [OP_mul] = leaf_mul,
    [OP_div] = leaf_div,
    [OP_pow] = leaf_pow,
    [OP_min] = leaf_min,
    [OP_max] = leaf_max,
    [OP_eq] = leaf_eq,
    [OP_ne] = leaf_ne,
    [OP_lt] = leaf_lt,
    [OP_le] = leaf_le,
    [OP_and] = leaf_and,
    [OP_or] = leaf_or,
    [OP_select] = leaf_select,
    [OP_round] = leaf_round,
    [OP_log1p] = leaf_log1p,
    [OP_expm1] = leaf_expm1,
    [OP_log2] = leaf_log2,
    [OP_exp2] = leaf_exp2,
    [OP_asin] = leaf_asin,
    [OP_acos] = leaf_acos,
    [OP_atan] = leaf_atan,
    [OP_sinh] = leaf_sinh,
    [OP_cosh] = leaf_cosh,
    [OP_asinh] = leaf_asinh,
    [OP_acosh] = leaf_acosh,
    [OP_atanh] = leaf_atanh,
    [OP_atan2] = leaf_atan2,
    [OP_erfinv] = leaf_erfinv,
    [OP_lgamma] = leaf_lgamma,
    [OP_digamma] = leaf_digamma,
    [OP_polygamma] = leaf_polygamma,
    [OP_bit_not] = leaf_bit_not,
    [OP_bit_and] = leaf_bit_and,
    [OP_bit_or] = leaf_bit_or,
    [OP_bit_xor] = leaf_bit_xor,
    [OP_idiv] = leaf_idiv,
    [OP_irem] = leaf_irem,
    [OP_shift_left] = leaf_shift_left,
    [OP_shift_right] = leaf_shift_right,
};

static LLVMValueRef walk(EmitModule *m, const Expr *e, DType dt, LLVMTypeRef t, LLVMValueRef *x) {
  if (e->kind == EX_NUM) return em_const(t, e->num);
  if (e->kind == EX_ARG) return x[e->arg];
  LLVMValueRef y[3];
  for (int i = 0; i < e->nin; i++) y[i] = walk(m, e->in[i], dt, t, x);
  if (leaf_fn[e->op]) return leaf_fn[e->op](m, dt, y);
  return walk(m, op_expr(e->op), dt, t, y);
}

LLVMValueRef map_emit(EmitModule *m, OpId op, DType dt, DType arg, LLVMValueRef *x) {
  LLVMValueRef r;
  if (leaf_fn[op]) r = leaf_fn[op](m, arg, x);
  else {
    const Expr *e = op_expr(op);
    if (!e) bug("operator %s has no value expression", op_table[op].name);
    r = walk(m, e, arg, LLVMTypeOf(x[0]), x);
  }
  return dtype_is_narrow(dt) && op != OP_stop_gradient ? map_round(m, dt, r) : r;
}

LLVMValueRef map_round(EmitModule *m, DType dt, LLVMValueRef x) {
  return dtype_is_narrow(dt) ? em_widen(m, dt, em_narrow(m, dt, x)) : x;
}

LLVMValueRef map_cast(EmitModule *m, DType from, DType to, LLVMValueRef x) {
  if (from == to) return x;
  LLVMTypeRef t = em_vec(loop_type(m, to), em_lanes(x)), source = LLVMTypeOf(x);
  bool is_signed = dtype_row(from)->kind == DK_SIGNED;
  if (to == DT_BOOL)
    return dtype_is_float(from) ? LLVMBuildFCmp(m->b, LLVMRealUNE, x, LLVMConstNull(source), "")
                                : LLVMBuildICmp(m->b, LLVMIntNE, x, LLVMConstNull(source), "");
  if (dtype_is_int(to)) {
    if (dtype_is_float(from)) {
      LLVMTypeRef ov[] = {t, source};
      return em_intrinsic(m, dtype_is_unsigned(to) ? "llvm.fptoui.sat" : "llvm.fptosi.sat", ov, 2, &x, 1);
    }
    if (dtype_size(to) <= dtype_size(from) && from != DT_BOOL)
      return dtype_size(to) == dtype_size(from) ? x : LLVMBuildTrunc(m->b, x, t, "");
    return is_signed ? LLVMBuildSExt(m->b, x, t, "") : LLVMBuildZExt(m->b, x, t, "");
  }
  if (!dtype_is_float(from)) {
    x = is_signed ? LLVMBuildSIToFP(m->b, x, t, "") : LLVMBuildUIToFP(m->b, x, t, "");
    return map_round(m, to, x);
  }
  if (dtype_is_narrow(to)) return map_round(m, to, x);
  if (from == DT_F64) return LLVMBuildFPTrunc(m->b, x, t, "");
  return to == DT_F64 ? LLVMBuildFPExt(m->b, x, t, "") : x;
}
