/* Machine code for a set of kernels: equal ones once, compiled in parallel, cached on disk, linked by ORC.
   Private to codegen/. */
#ifndef JEPAC_CODEGEN_JIT_JIT_H
#define JEPAC_CODEGEN_JIT_JIT_H

#include "codegen/codegen.h"
#include "codegen/emit/emit.h"

#include <llvm-c/LLJIT.h>

/* ---- key.c: what a kernel's machine code depends on ---- */
/* The text of kernel k without its place in the model. With share, what is a parameter of the code is left out:
   equal texts mean equal code for one target. Else what changes no bit of a result is. */
void kernel_key(const Program *p, const Kernel *k, bool share, StrBuf *out);
/* Compiler version, target and code generation options; the build of jepac's code generator too. */
void target_key(const Target *t, StrBuf *out);

/* ---- jit.c ---- */
/* Addresses fn[i] of the code of kernel i (NULL where not compiled). NULL after reporting. */
Code *jit_program(const Program *p, const CodegenOptions *opt, Diags *d, StepFn *fn);

/* ---- debug.c ---- */
/* Debug information for all functions of m: kernel k, called name, at its model line. */
void debug_describe(EmitModule *m, const Kernel *k, const char *name);
/* An LLJIT that tells gdb or perf of the code it links. */
LLVMErrorRef debug_create_jit(CodegenDebug debug, LLVMOrcLLJITRef *jit);

/* ---- plan.c ---- */
Plan *plan_build(const Program *p, Arena *a, const StepFn *fn);
Step plan_step(const Program *p, int k, StepFn fn, Arena *a); /* kernel k by itself */

/* Gives back what compiling needed and running does not: free heap, the resident code of LLVM (trim.c). */
void codegen_trim(void);

#endif
