/* Compiles and runs one convolution plan outside the product's JIT: shared by test_conv.c and
 * bench/conv_bench.c. */
#ifndef JEPAC_TESTS_CONV_HARNESS_H
#define JEPAC_TESTS_CONV_HARNESS_H

#include "codegen/conv.h"
#include "runtime/abi.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The thread's CPU time: a busy machine disturbs it less than the clock. */
static inline double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
  ConvPlan plan;
  StepFn fn[4];
  double compile_ms[4];
  int64_t scratch;
  LLVMOrcLLJITRef jit;
} ConvCode;

static inline void harness_check(LLVMErrorRef e) {
  if (e) bug("%s", LLVMGetErrorMessage(e));
}

/* An environment variable JEPAC_ASM names a file for the last step's assembly. */
static inline ConvCode harness_compile(const ConvSpec *spec, const Target *t) {
  ConvCode c = {.plan = conv_plan(spec, t)};
  em_init_llvm();
  harness_check(LLVMOrcCreateLLJIT(&c.jit, NULL));
  LLVMTargetMachineRef tm = em_target_machine(t);
  for (int i = 0; i < c.plan.nstep; i++) {
    char symbol[16];
    snprintf(symbol, sizeof symbol, "step%d", i);
    double start = cpu_seconds();
    EmitModule m;
    em_open(&m, t, tm, symbol);
    conv_emit(&m, &c.plan, i, symbol);
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
    harness_check(LLVMOrcLLJITAddObjectFile(c.jit, LLVMOrcLLJITGetMainJITDylib(c.jit), object));
    LLVMOrcExecutorAddress address = 0;
    harness_check(LLVMOrcLLJITLookup(c.jit, &address, symbol));
    c.fn[i] = (StepFn)(uintptr_t)address;
    c.compile_ms[i] = (cpu_seconds() - start) * 1e3;
    if (c.plan.step[i].scratch > c.scratch) c.scratch = c.plan.step[i].scratch;
  }
  LLVMDisposeTargetMachine(tm);
  return c;
}

static inline void harness_free(ConvCode *c) { harness_check(LLVMOrcDisposeLLJIT(c->jit)); }

/* operand[] is indexed by ConvOperand. */
static inline void harness_chunk(const ConvCode *c, int i, void *const operand[5], void *scratch,
                                 int64_t chunk) {
  const ConvStep *s = &c->plan.step[i];
  void *ptr[8];
  for (int k = 0; k < s->nin; k++) ptr[k] = operand[s->in[k]];
  for (int k = 0; k < s->nout; k++) ptr[s->nin + k] = operand[s->out[k]];
  c->fn[i](ptr, chunk, scratch, NULL);
}

/* Chunks run forwards, or backwards to show that their order does not matter. */
static inline void harness_step(const ConvCode *c, int i, void *const operand[5], void *scratch,
                                bool backwards) {
  int64_t n = c->plan.step[i].nchunk;
  for (int64_t k = 0; k < n; k++) harness_chunk(c, i, operand, scratch, backwards ? n - 1 - k : k);
}

#endif
