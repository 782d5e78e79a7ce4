/* Runs a graph through the whole compiler in process, for tests: lower, generate code, execute once. */
#ifndef JEPAC_TESTS_JIT_RUN_H
#define JEPAC_TESTS_JIT_RUN_H

#include "passes/pipeline.h"
#include "runtime/ranks.h"

typedef struct {
  const char *cpu; /* a name target_named knows */
  int threads;
  ConvAlgo conv;
  int64_t chain_bytes; /* PipelineOptions; -1: no chains */
  DType precision;     /* bf16, f16; DT_NONE */
  bool blas;           /* --gemm openblas */
} JitRun;

/* g has been through pipeline_graph. in: as graph_interp. out[i]: values of g's outputs as doubles; state
   outputs are read back from the state. Returns how many chains the program has. */
int jit_run(Arena *a, const Graph *g, const JitRun *how, const Tensor64 *in, Tensor64 *out);
/* ... as one of several ranks. */
int jit_run_ranks(Arena *a, const Graph *g, const JitRun *how, Ranks *ranks, const Tensor64 *in,
                  Tensor64 *out);
/* Largest error over the outputs beyond what rounding does by itself: to f32 after every operator, or anywhere by half an
   ulp of what is added up. Against the f64 oracle or the one that rounds, whichever is nearer. *where: the output. */
double jit_worst(Arena *a, const Graph *g, const JitRun *how, const Tensor64 *in, const char **where);
/* g with rounding errors: of each result by its size, of a sum by the size of its terms. Sums of terms that are together larger
   than `most` are NaN: they may overflow on the way, or not. */
Graph *jit_disturbed(Arena *a, const Graph *g, uint64_t seed, double most);
/* Root-mean-square difference relative to the root-mean-square of want plus 1e-3 (sums cancel); NaN where
   only one is NaN counts as infinite. */
double relative_error(const Tensor64 *want, const Tensor64 *got);

#endif
