/* Elementary functions as IR on scalars or vectors of any lane count: polynomials for f32, libm calls lane by
   lane for f64. */
#ifndef JEPAC_CODEGEN_LOOP_VMATH_H
#define JEPAC_CODEGEN_LOOP_VMATH_H

#include "codegen/emit/emit.h"

LLVMValueRef vm_exp(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_log(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_log2(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_exp2(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_log1p(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_expm1(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_erfinv(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_tanh(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_erf(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_sin(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_cos(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_pow(EmitModule *m, LLVMValueRef x, LLVMValueRef y);
/* Computed in f64 (ir/graph/gamma.h has the same in C). */
LLVMValueRef vm_digamma(EmitModule *m, LLVMValueRef x);
LLVMValueRef vm_polygamma(EmitModule *m, LLVMValueRef order, LLVMValueRef x);
/* The C library's function of doubles, or with an f behind its name of floats, lane by lane. */
LLVMValueRef vm_libm(EmitModule *m, const char *name, LLVMValueRef *x, int nx);
/* Comparison-and-select building blocks that keep NaN: x where x is NaN. */
LLVMValueRef vm_clamp(EmitModule *m, LLVMValueRef x, double lo, double hi);

#endif
