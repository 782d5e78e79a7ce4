/* Compiles the steps of one contraction outside the product's JIT, for tests and benchmarks of kernels. */
#ifndef JEPAC_TESTS_STEP_CODE_H
#define JEPAC_TESTS_STEP_CODE_H

#include "codegen/emit/emit.h"
#include "runtime/abi.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <time.h>

enum { STEPS_MAX = 4 };
typedef struct {
  StepFn fn[STEPS_MAX];
  double compile_ms[STEPS_MAX];
  LLVMOrcLLJITRef jit;
} StepCode;

/* Emits step `step` of what `plan` describes as function `symbol`. */
typedef void EmitStep(EmitModule *m, const void *plan, int step, const char *symbol);

/* The thread's CPU time: a busy machine disturbs it less than the clock. */
static inline double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void step_check(LLVMErrorRef e) {
  if (e) bug("%s", LLVMGetErrorMessage(e));
}

/* An environment variable JEPAC_ASM names a file for each step's assembly: FILE.0.s and so on. */
static inline void step_assembly(LLVMTargetMachineRef tm, LLVMModuleRef mod, int step) {
  const char *path = getenv("JEPAC_ASM");
  if (!path) return;
  char file[256], *error = NULL;
  snprintf(file, sizeof file, "%s.%d.s", path, step);
  LLVMModuleRef copy = LLVMCloneModule(mod);
  if (LLVMTargetMachineEmitToFile(tm, copy, file, LLVMAssemblyFile, &error)) bug("%s", error);
  LLVMDisposeModule(copy);
}

static inline StepCode step_compile(const Target *t, EmitStep *emit, const void *plan, int n) {
  StepCode c = {0};
  em_init_llvm();
  step_check(LLVMOrcCreateLLJIT(&c.jit, NULL));
  LLVMTargetMachineRef tm = em_target_machine(t);
  for (int i = 0; i < n; i++) {
    char symbol[16], *error = NULL;
    snprintf(symbol, sizeof symbol, "step%d", i);
    double start = cpu_seconds();
    EmitModule m;
    em_open(&m, t, tm, symbol);
    emit(&m, plan, i, symbol);
    em_verify(&m);
    step_assembly(tm, m.mod, i);
    LLVMMemoryBufferRef object = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, m.mod, LLVMObjectFile, &error, &object)) bug("%s", error);
    em_close(&m);
    step_check(LLVMOrcLLJITAddObjectFile(c.jit, LLVMOrcLLJITGetMainJITDylib(c.jit), object));
    LLVMOrcExecutorAddress address = 0;
    step_check(LLVMOrcLLJITLookup(c.jit, &address, symbol));
    c.fn[i] = (StepFn)(uintptr_t)address;
    c.compile_ms[i] = (cpu_seconds() - start) * 1e3;
  }
  LLVMDisposeTargetMachine(tm);
  return c;
}

static inline void step_free(StepCode *c) { step_check(LLVMOrcDisposeLLJIT(c->jit)); }

#endif
