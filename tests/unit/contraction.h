/* Compiles and runs one matrix product or convolution outside the JIT: shared by test_gemm.c, test_conv.c,
   test_conv_bf16.c, bench/gemm_bench.c and bench/conv_bench.c. */
#ifndef JEPAC_TESTS_CONTRACTION_H
#define JEPAC_TESTS_CONTRACTION_H

#include "codegen/conv/conv.h"
#include "codegen/gemm/gemm.h"
#include "runtime/abi.h"

#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
  ContractionPlan plan;
  int64_t scratch; /* of all steps */
  StepFn fn[CONTRACTION_STEPS];
  double compile_ms[CONTRACTION_STEPS];
  LLVMOrcLLJITRef jit;
} ContractionCode;

typedef void EmitStep(EmitModule *m, const void *spec, int step, const char *symbol);

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

static inline ContractionCode contraction_compile(ContractionPlan plan, EmitStep *emit, const void *spec,
                                                  const Target *t) {
  ContractionCode c = {.plan = plan};
  em_own_process();
  em_arch(t->arch);
  step_check(LLVMOrcCreateLLJIT(&c.jit, NULL));
  LLVMTargetMachineRef tm = em_target_machine(t);
  for (int i = 0; i < plan.nstep; i++) {
    char symbol[16], *error = NULL;
    snprintf(symbol, sizeof symbol, "step%d", i);
    double start = cpu_seconds();
    EmitModule m;
    em_open(&m, t, tm, symbol);
    emit(&m, spec, i, symbol);
    em_verify(&m);
    step_assembly(tm, m.mod, i);
    LLVMMemoryBufferRef object = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, m.mod, LLVMObjectFile, &error, &object)) bug("%s", error);
    em_close(&m);
    step_check(LLVMOrcLLJITAddObjectFile(c.jit, LLVMOrcLLJITGetMainJITDylib(c.jit), object));
    LLVMOrcExecutorAddress address = 0;
    step_check(LLVMOrcLLJITLookup(c.jit, &address, symbol));
    c.fn[i] = (StepFn)(uintptr_t)address;
    c.scratch = max64(c.scratch, plan.step[i].scratch);
    c.compile_ms[i] = (cpu_seconds() - start) * 1e3;
  }
  LLVMDisposeTargetMachine(tm);
  return c;
}

static inline void contraction_free(ContractionCode *c) { step_check(LLVMOrcDisposeLLJIT(c->jit)); }

static inline void emit_conv_step(EmitModule *m, const void *spec, int step, const char *symbol) {
  conv_emit(m, spec, step, symbol);
}

static inline void emit_gemm_step(EmitModule *m, const void *spec, int step, const char *symbol) {
  gemm_emit(m, spec, step, symbol);
}

static inline ContractionCode conv_compile(const ConvSpec *spec, const Target *t) {
  return contraction_compile(conv_plan(spec, t), emit_conv_step, spec, t);
}

static inline ContractionCode gemm_compile(const GemmSpec *spec, const Target *t) {
  return contraction_compile(gemm_plan(spec, t), emit_gemm_step, spec, t);
}

/* operand[] is indexed by role. */
static inline void contraction_run_chunk(const ContractionCode *c, int i, void *const *operand, void *scratch,
                                         int64_t chunk) {
  const ContractionStep *s = &c->plan.step[i];
  void *ptr[CO_ROLES];
  for (int k = 0; k < s->nin + s->nout; k++) ptr[k] = operand[step_operand(s, k)];
  c->fn[i](ptr, chunk, scratch, NULL);
}

/* Chunks run forwards, or backwards to show that their order does not matter. */
static inline void contraction_run_step(const ContractionCode *c, int i, void *const *operand, void *scratch,
                                        bool backwards) {
  int64_t n = c->plan.step[i].nchunk;
  for (int64_t k = 0; k < n; k++) contraction_run_chunk(c, i, operand, scratch, backwards ? n - 1 - k : k);
}

#endif
