/* Compiles and runs one matrix product: shared by test_gemm.c and bench/gemm_bench.c. */
#ifndef JEPAC_TESTS_GEMM_HARNESS_H
#define JEPAC_TESTS_GEMM_HARNESS_H

#include "codegen/gemm/gemm.h"
#include "tests/unit/step_code.h"

typedef struct {
  GemmPlan plan;
  StepCode code;
  int64_t scratch;
} GemmCode;

static inline void gemm_emit_step(EmitModule *m, const void *spec, int step, const char *symbol) {
  gemm_emit(m, spec, step, symbol);
}

static inline GemmCode gemm_compile(const GemmSpec *spec, const Target *t) {
  GemmCode c = {.plan = gemm_plan(spec, t)};
  c.code = step_compile(t, gemm_emit_step, spec, c.plan.nstep);
  for (int i = 0; i < c.plan.nstep; i++)
    if (c.plan.step[i].scratch > c.scratch) c.scratch = c.plan.step[i].scratch;
  return c;
}

static inline void gemm_free(GemmCode *c) { step_free(&c->code); }

/* operand[] is indexed by GemmOperand. Chunks run forwards, or backwards to show that their order does not
   matter. */
static inline void gemm_run_step(const GemmCode *c, int i, void *const operand[4], void *scratch,
                                 bool backwards) {
  const GemmStep *s = &c->plan.step[i];
  void *ptr[3];
  for (int k = 0; k < s->nin; k++) ptr[k] = operand[s->in[k]];
  for (int k = 0; k < s->nout; k++) ptr[s->nin + k] = operand[s->out[k]];
  for (int64_t k = 0; k < s->nchunk; k++)
    c->code.fn[i](ptr, backwards ? s->nchunk - 1 - k : k, scratch, NULL);
}

#endif
