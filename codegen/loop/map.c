/* Elementwise operators as IR: a table of leaf emitters, everything else walks the operator's expression tree
   (ir/graph/expr.h). */
#include "codegen/loop/loop.h"
#include "codegen/loop/vmath.h"
#include "ir/graph/expr.h"

LLVMTypeRef loop_type(EmitModule *m, DType dt) {
  return dt == DT_BF16 ? m->f32 : dt == DT_BOOL ? m->i1 : em_type(m, dt);
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
     LLVMBuildICmp(m->b, dt == DT_U32 ? LLVMIntULT : LLVMIntSLT, x[0], x[1], ""))
LEAF(le, LLVMBuildFCmp(m->b, LLVMRealOLE, x[0], x[1], ""),
     LLVMBuildICmp(m->b, dt == DT_U32 ? LLVMIntULE : LLVMIntSLE, x[0], x[1], ""))
#undef LEAF

static LLVMValueRef leaf_abs(EmitModule *m, DType dt, LLVMValueRef *x) {
  if (dtype_is_float(dt)) return em_unary(m, "llvm.fabs", x[0]);
  return dt == DT_U32
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
    const char *name = dt == DT_U32 ? (max ? "llvm.umax" : "llvm.umin") : (max ? "llvm.smax" : "llvm.smin");
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
#undef PLAIN

static MapFn *const leaf_fn[OP_COUNT] = {
    [OP_neg] = leaf_neg, [OP_abs] = leaf_abs,       [OP_sign] = leaf_sign, [OP_floor] = leaf_floor,
    [OP_exp] = leaf_exp, [OP_log] = leaf_log,       [OP_sqrt] = leaf_sqrt, [OP_sin] = leaf_sin,
    [OP_cos] = leaf_cos, [OP_tanh] = leaf_tanh,     [OP_erf] = leaf_erf,   [OP_not] = leaf_not,
    [OP_add] = leaf_add, [OP_sub] = leaf_sub,       [OP_mul] = leaf_mul,   [OP_div] = leaf_div,
    [OP_pow] = leaf_pow, [OP_min] = leaf_min,       [OP_max] = leaf_max,   [OP_eq] = leaf_eq,
    [OP_ne] = leaf_ne,   [OP_lt] = leaf_lt,         [OP_le] = leaf_le,     [OP_and] = leaf_and,
    [OP_or] = leaf_or,   [OP_select] = leaf_select,
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
  return dt == DT_BF16 && op != OP_stop_gradient ? map_round_bf16(m, r) : r;
}

LLVMValueRef map_round_bf16(EmitModule *m, LLVMValueRef x) { return em_widen_bf16(m, em_narrow_bf16(m, x)); }

LLVMValueRef map_cast(EmitModule *m, DType from, DType to, LLVMValueRef x) {
  if (from == to) return x;
  LLVMTypeRef t = em_vec(loop_type(m, to), em_lanes(x)), source = LLVMTypeOf(x);
  bool is_signed = from == DT_I32 || from == DT_I64;
  if (to == DT_BOOL)
    return dtype_is_float(from) ? LLVMBuildFCmp(m->b, LLVMRealUNE, x, LLVMConstNull(source), "")
                                : LLVMBuildICmp(m->b, LLVMIntNE, x, LLVMConstNull(source), "");
  if (dtype_is_int(to)) {
    if (dtype_is_float(from)) {
      LLVMTypeRef ov[] = {t, source};
      return em_intrinsic(m, to == DT_U32 ? "llvm.fptoui.sat" : "llvm.fptosi.sat", ov, 2, &x, 1);
    }
    if (dtype_size(to) <= dtype_size(from) && from != DT_BOOL)
      return to == DT_I64 || dtype_size(to) == dtype_size(from) ? x : LLVMBuildTrunc(m->b, x, t, "");
    return is_signed ? LLVMBuildSExt(m->b, x, t, "") : LLVMBuildZExt(m->b, x, t, "");
  }
  if (!dtype_is_float(from)) {
    x = is_signed ? LLVMBuildSIToFP(m->b, x, t, "") : LLVMBuildUIToFP(m->b, x, t, "");
    return to == DT_BF16 ? map_round_bf16(m, x) : x;
  }
  if (from == DT_F64) x = LLVMBuildFPTrunc(m->b, x, t, "");
  else if (to == DT_F64) return LLVMBuildFPExt(m->b, x, t, "");
  return to == DT_BF16 ? map_round_bf16(m, x) : x;
}
