/* Compiles and runs one matrix product outside the product's JIT: shared by test_gemm.c and
 * bench/gemm_bench.c. */
#ifndef JEPAC_TESTS_GEMM_HARNESS_H
#define JEPAC_TESTS_GEMM_HARNESS_H

#include "codegen/gemm.h"
#include "runtime/abi.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  GemmPlan plan;
  StepFn fn[2];
  int64_t scratch;
  LLVMOrcLLJITRef jit;
} GemmCode;

static inline void gemm_check(LLVMErrorRef e) {
  if (e) bug("%s", LLVMGetErrorMessage(e));
}

/* An environment variable JEPAC_ASM names a file for each step's assembly. */
static inline GemmCode gemm_compile(const GemmSpec *spec, const Target *t) {
  GemmCode c = {.plan = gemm_plan(spec, t)};
  em_init_llvm();
  gemm_check(LLVMOrcCreateLLJIT(&c.jit, NULL));
  LLVMTargetMachineRef tm = em_target_machine(t);
  for (int i = 0; i < c.plan.nstep; i++) {
    char symbol[16];
    snprintf(symbol, sizeof symbol, "step%d", i);
    EmitModule m;
    em_open(&m, t, tm, symbol);
    gemm_emit(&m, spec, i, symbol);
    em_verify(&m);
    LLVMMemoryBufferRef object = NULL;
    char *error = NULL;
    const char *path = getenv("JEPAC_ASM");
    if (path) {
      char file[256];
      snprintf(file, sizeof file, "%s.%d.s", path, i);
      LLVMModuleRef copy = LLVMCloneModule(m.mod);
      LLVMTargetMachineEmitToFile(tm, copy, file, LLVMAssemblyFile, &error);
      LLVMDisposeModule(copy);
    }
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, m.mod, LLVMObjectFile, &error, &object)) bug("%s", error);
    em_close(&m);
    gemm_check(LLVMOrcLLJITAddObjectFile(c.jit, LLVMOrcLLJITGetMainJITDylib(c.jit), object));
    LLVMOrcExecutorAddress address = 0;
    gemm_check(LLVMOrcLLJITLookup(c.jit, &address, symbol));
    c.fn[i] = (StepFn)(uintptr_t)address;
    if (c.plan.step[i].scratch > c.scratch) c.scratch = c.plan.step[i].scratch;
  }
  LLVMDisposeTargetMachine(tm);
  return c;
}

static inline void gemm_free(GemmCode *c) { gemm_check(LLVMOrcDisposeLLJIT(c->jit)); }

/* operand[] is indexed by GemmOperand. Chunks run forwards, or backwards to show that their order does not
   matter. */
static inline void gemm_run_step(const GemmCode *c, int i, void *const operand[4], void *scratch,
                                 bool backwards) {
  const GemmStep *s = &c->plan.step[i];
  void *ptr[3];
  for (int k = 0; k < s->nin; k++) ptr[k] = operand[s->in[k]];
  for (int k = 0; k < s->nout; k++) ptr[s->nin + k] = operand[s->out[k]];
  for (int64_t k = 0; k < s->nchunk; k++) c->fn[i](ptr, backwards ? s->nchunk - 1 - k : k, scratch, NULL);
}

#endif
