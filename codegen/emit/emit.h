/* Building blocks for emitters of LLVM IR: a module under construction, loops with carried values, explicit
   vectors of any lane count, masks, fused multiply-add, intrinsics. IR built here needs no IR passes:
   constants fold while building, loops are bottom-tested, values are SSA from the start. Arithmetic
   carries no fast-math flags: a multiply and an add become one instruction only where em_fma() says so, so
   the same expression has the same bits in every kernel that computes it (masks such as x == max(x) depend on
   it). */
#ifndef JEPAC_CODEGEN_EMIT_EMIT_H
#define JEPAC_CODEGEN_EMIT_EMIT_H

#include "codegen/emit/arch.h"
#include "ir/kernel/kernel.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

typedef struct {
  LLVMContextRef cx;
  LLVMModuleRef mod;
  LLVMBuilderRef b;
  LLVMTargetMachineRef tm;
  const Target *target;
  int vl; /* f32 lanes of a vector register */
  DType
      narrow; /* what a contraction under construction has in 16 bits: bf16, which DT_NONE stands for, or f16 */
  LLVMTypeRef f32, f64, i1, i8, i16, i32, i64, ptr, none;
  LLVMTypeRef vf32;      /* <vl x float> */
  LLVMTypeRef step_type; /* StepFn */
  /* the function under construction and its parameters */
  LLVMValueRef fn, ptrs, chunk, scratch, param;
} EmitModule;

/* ---- modules ---- */
/* LLVM's options for a process that is jepac's own: they hold for everybody in it who uses LLVM, so a library must
   leave them alone. They change code and the time it takes, but no result. Thread-safe, before anything else. */
void em_own_process(void);
/* A target machine for a triple of arch (NULL: this machine's), optimising aggressively. bug() when LLVM cannot. */
LLVMTargetMachineRef em_machine(Arch arch, const char *triple, const char *cpu, const char *features);
/* For t; host: the detected CPU and features. */
LLVMTargetMachineRef em_target_machine(const Target *t);
/* The CPU and feature strings that decide the machine code, for cache keys: "znver4 +avx512f,..." into out. */
void em_target_key(const Target *t, StrBuf *out);
/* A fresh context and module; tm is borrowed. */
void em_open(EmitModule *m, const Target *t, LLVMTargetMachineRef tm, const char *name);
void em_close(EmitModule *m);
/* bug() with the IR when the module is malformed. */
void em_verify(EmitModule *m);
/* Starts function `symbol` with StepFn's signature; the builder stands in its entry block. */
void em_function(EmitModule *m, const char *symbol);
/* Starts an internal helper function with the given type; the parameters of the StepFn in m are saved by the
   caller if needed. */
LLVMValueRef em_helper(EmitModule *m, const char *symbol, LLVMTypeRef ret, const LLVMTypeRef *params, int n);
/* Vector width, unwind and frame attributes every emitted function carries. */
void em_attributes(EmitModule *m, LLVMValueRef fn);

/* ---- types and constants ---- */
LLVMTypeRef em_type(EmitModule *m, DType dt); /* as stored: bf16 and f16 are i16, bool is i8 */
LLVMTypeRef em_vec(LLVMTypeRef elem, int n);  /* n == 1: the element type itself */
int em_lanes(LLVMValueRef v);                 /* 1 for scalars */
LLVMTypeRef em_elem(LLVMTypeRef t);           /* element of a vector type, t itself for a scalar */
LLVMValueRef em_i64(EmitModule *m, int64_t x);
LLVMValueRef em_i32(EmitModule *m, int32_t x);
LLVMValueRef em_f32(EmitModule *m, double x);
LLVMValueRef em_const(LLVMTypeRef t, double x); /* constant of any int or float type, splat for vectors */
LLVMValueRef em_bits(LLVMTypeRef t,
                     uint64_t bits); /* same with an exact integer (float types: reinterpreted) */
LLVMValueRef em_splat(EmitModule *m, LLVMValueRef scalar, int n);
LLVMValueRef em_iota(EmitModule *m, LLVMTypeRef elem, int n, int64_t step); /* 0, step, 2 step, ... */

/* ---- integer index arithmetic; folds 0 and 1 ---- */
LLVMValueRef em_iadd(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_isub(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_imul(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_iaddc(EmitModule *m, LLVMValueRef a, int64_t c);
LLVMValueRef em_imulc(EmitModule *m, LLVMValueRef a, int64_t c);
LLVMValueRef em_imin(EmitModule *m, LLVMValueRef a, LLVMValueRef b); /* signed */
/* floor quotient and remainder by a positive constant; a is non-negative */
LLVMValueRef em_idivc(EmitModule *m, LLVMValueRef a, int64_t c);
LLVMValueRef em_imodc(EmitModule *m, LLVMValueRef a, int64_t c);

/* ---- floating point, scalar or vector ---- */
LLVMValueRef em_fadd(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_fsub(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_fmul(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef em_fdiv(EmitModule *m, LLVMValueRef a, LLVMValueRef b);
/* a*b + c: one rounding where the target has FMA, else two */
LLVMValueRef em_fma(EmitModule *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);

/* ---- bf16 and f16, stored as i16 and computed with as f32; scalar or vector (emit/narrow.c) ---- */
/* f32 to the nearest bf16 (ties to even, NaN stays NaN, f32 denormals become zero as in VCVTNEPS2BF16): the
   stored bits, by the processor's instruction where it has one. */
LLVMValueRef em_narrow_bf16(EmitModule *m, LLVMValueRef x);
/* f16 the same, from f32 or f64 in one rounding. */
LLVMValueRef em_narrow_f16(EmitModule *m, LLVMValueRef x);
/* Of a narrow type; to it from f32 or f64 (to bf16 by way of f32). */
LLVMValueRef em_widen(EmitModule *m, DType dt, LLVMValueRef stored);
LLVMValueRef em_narrow(EmitModule *m, DType dt, LLVMValueRef x);

/* ---- memory; index counts elements of `elem` ---- */
LLVMValueRef em_operand(EmitModule *m, int k); /* loads operand k's address; call in the entry block */
LLVMValueRef em_gep(EmitModule *m, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef em_load(EmitModule *m, LLVMTypeRef t, LLVMValueRef p, unsigned align);
LLVMValueRef em_store(EmitModule *m, LLVMValueRef v, LLVMValueRef p, unsigned align);
/* mask: <n x i1>; lanes with a false mask touch nothing and load `other` (NULL = zero) */
LLVMValueRef em_masked_load(EmitModule *m, LLVMTypeRef t, LLVMValueRef p, unsigned align, LLVMValueRef mask,
                            LLVMValueRef other);
void em_masked_store(EmitModule *m, LLVMValueRef v, LLVMValueRef p, unsigned align, LLVMValueRef mask);
/* lanes below count: <n x i1> */
LLVMValueRef em_tail_mask(EmitModule *m, LLVMValueRef count, int n);
/* splat of one f32 loaded from p (codegen folds it into broadcast operands) */
LLVMValueRef em_broadcast_load(EmitModule *m, LLVMValueRef p, int n);
/* level 0..3 = locality hint of llvm.prefetch */
void em_prefetch(EmitModule *m, LLVMValueRef p, bool write, int locality);

/* ---- calls ---- */
/* Intrinsic overloaded on types ov[nov]: em_intrinsic(m, "llvm.fma", &t, 1, args, 3). */
LLVMValueRef em_intrinsic(EmitModule *m, const char *name, LLVMTypeRef *ov, int nov, LLVMValueRef *args,
                          int n);
LLVMValueRef em_unary(EmitModule *m, const char *intrinsic, LLVMValueRef a); /* overloaded on a's type */
LLVMValueRef em_binary(EmitModule *m, const char *intrinsic, LLVMValueRef a, LLVMValueRef b); /* same */
/* Calls an external C function on scalars of one type (libm). */
LLVMValueRef em_extern(EmitModule *m, const char *name, LLVMTypeRef t, LLVMValueRef *args, int n);

/* ---- control flow ---- */
enum { EMIT_CARRY = 80 };
typedef struct {
  LLVMBasicBlockRef pre, body, exit;
  LLVMValueRef i, hi;
  int64_t step;
  bool guarded; /* trip count may be zero */
  int ncarry;
  LLVMValueRef carry[EMIT_CARRY] /* inside: this iteration's value; after em_loop_end: the final value */,
      init[EMIT_CARRY], next[EMIT_CARRY];
} EmitLoop;
/* for (i = lo; i < hi; i += step), i64. Returns i; the builder stands in the body. Skipped when lo >= hi. */
LLVMValueRef em_loop_begin(EmitModule *m, EmitLoop *l, LLVMValueRef lo, LLVMValueRef hi, int64_t step);
/* Adds a carried value (before any other code of the body); set l->next[returned index] before the end. */
int em_loop_carry(EmitModule *m, EmitLoop *l, LLVMValueRef init);
void em_loop_end(EmitModule *m, EmitLoop *l);

typedef struct {
  LLVMBasicBlockRef then_end, other, end;
  LLVMBasicBlockRef from;
} EmitIf;
void em_if(EmitModule *m, EmitIf *f, LLVMValueRef cond);
void em_else(EmitModule *m, EmitIf *f);
void em_endif(EmitModule *m, EmitIf *f);
/* Merges a value computed in the then part with one of the else part (or, without else, from before); call
   after em_endif. */
LLVMValueRef em_merge(EmitModule *m, EmitIf *f, LLVMValueRef then_value, LLVMValueRef else_value);

/* ---- whole-vector reductions in a fixed tree (halves added) ---- */
LLVMValueRef em_hsum(EmitModule *m, LLVMValueRef v);
LLVMValueRef em_extract(EmitModule *m, LLVMValueRef v, int lane);
/* Upper or lower half of a vector. */
LLVMValueRef em_half(EmitModule *m, LLVMValueRef v, bool upper);
/* Two vectors of equal length as one. */
LLVMValueRef em_join(EmitModule *m, LLVMValueRef lower, LLVMValueRef upper);

#endif
