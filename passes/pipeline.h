/* The pass pipeline: graph -> graph passes, then lowering to kernels and memory planning. */
#ifndef JEPAC_PIPELINE_H
#define JEPAC_PIPELINE_H

#include "ir/kernel.h"

typedef struct {
  bool verify_each;       /* verify after every pass (always on in debug builds) */
  const char *stop_after; /* stop after the pass of this name, NULL = run all */
  /* Called after each pass that changed something, with the stage's text. */
  void (*dump)(void *ctx, int number, const char *pass, const char *text);
  void *dump_ctx;
  bool time_passes;   /* print a table of pass times to stderr */
  ConvAlgo conv;      /* --conv direct|auto */
  int64_t max_memory; /* arena budget in bytes, 0 = none */
} PipelineOptions;

/* All graph-level passes (autodiff, simplify, cse, dce, ...). NULL after reporting. */
Graph *pipeline_graph(Arena *a, const Graph *in, const PipelineOptions *opt, Diags *d);
/* Graph -> kernels with a planned arena. NULL after reporting (for example the budget does not hold: *status
 * = ST_BUDGET). */
Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status);
/* f64 evaluation of a lowered program through kernel_interp, for tests: in/out as graph_interp. */
void program_interp(const Program *p, const Tensor64 *in, Tensor64 *out, Arena *a);

#endif
