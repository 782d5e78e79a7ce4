/* What the code generator does with a kind of kernel: a row of functions, which stands in the kind's own file or
   folder. */
#ifndef JEPAC_CODEGEN_EMIT_KIND_H
#define JEPAC_CODEGEN_EMIT_KIND_H

#include "codegen/emit/emit.h"
#include "runtime/abi.h"

typedef struct {
  /* Kernel k as function `symbol` with StepFn's signature. NULL: step() names a function of the runtime. */
  void (*emit)(EmitModule *m, const Program *p, const Kernel *k, const char *symbol);
  /* Takes out of k what its machine code does not depend on: kernels that are equal then share it. */
  void (*share)(const Program *p, Kernel *k);
  /* The rest of a step whose operands, chunks and plan's scratch are filled in. operand: offsets, to be moved inside
     their buffers. NULL: nothing. */
  void (*step)(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a);
  /* What step() finds in Step.fn, from outside the program; NULL after reporting. */
  StepFn (*resolve)(const Kernel *k, Diags *d);
  /* Ahead of time, where emit is NULL: one function for all chunks. */
  void (*emit_alone)(EmitModule *m, const Program *p, const Kernel *k, const char *symbol);
  /* ... and Step.param as a constant; NULL: the code has none. */
  LLVMValueRef (*constant)(EmitModule *m, const Step *st);
  /* ... and the package that whoever uses the code needs besides the C library; NULL: none. */
  const char *library;
} CodegenKind;

const CodegenKind *codegen_kind(const Kernel *k);

#endif
