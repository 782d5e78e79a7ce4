/* Compiles and runs one convolution: shared by test_conv.c, test_conv_bf16.c and bench/conv_bench.c. */
#ifndef JEPAC_TESTS_CONV_HARNESS_H
#define JEPAC_TESTS_CONV_HARNESS_H

#include "codegen/conv/conv.h"
#include "tests/unit/step_code.h"

typedef struct {
  ConvPlan plan;
  StepCode code;
  int64_t scratch;
} ConvCode;

static inline void conv_emit_step(EmitModule *m, const void *plan, int step, const char *symbol) {
  conv_emit(m, plan, step, symbol);
}

static inline ConvCode conv_compile(const ConvSpec *spec, const Target *t) {
  ConvCode c = {.plan = conv_plan(spec, t)};
  c.code = step_compile(t, conv_emit_step, &c.plan, c.plan.nstep);
  for (int i = 0; i < c.plan.nstep; i++)
    if (c.plan.step[i].scratch > c.scratch) c.scratch = c.plan.step[i].scratch;
  return c;
}

static inline void conv_free(ConvCode *c) { step_free(&c->code); }

/* operand[] is indexed by ConvOperand. */
static inline void conv_run_chunk(const ConvCode *c, int i, void *const operand[5], void *scratch,
                                  int64_t chunk) {
  const ConvStep *s = &c->plan.step[i];
  void *ptr[8];
  for (int k = 0; k < s->nin; k++) ptr[k] = operand[s->in[k]];
  for (int k = 0; k < s->nout; k++) ptr[s->nin + k] = operand[s->out[k]];
  c->code.fn[i](ptr, chunk, scratch, NULL);
}

/* Chunks run forwards, or backwards to show that their order does not matter. */
static inline void conv_run_step(const ConvCode *c, int i, void *const operand[5], void *scratch,
                                 bool backwards) {
  int64_t n = c->plan.step[i].nchunk;
  for (int64_t k = 0; k < n; k++) conv_run_chunk(c, i, operand, scratch, backwards ? n - 1 - k : k);
}

#endif
