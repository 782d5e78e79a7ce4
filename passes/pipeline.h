/* The pass pipeline: graph -> graph passes, then lowering to kernels and memory planning. */
#ifndef JEPAC_PIPELINE_H
#define JEPAC_PIPELINE_H

#include "passes/lower/pass.h"

typedef struct {
  bool verify_each;       /* verify after every pass (always on in debug builds) */
  const char *stop_after; /* stop after the pass of this name, NULL = run all */
  /* Called after each pass that changed something, with the stage's text. */
  void (*dump)(void *ctx, int number, const char *pass, const char *text);
  void *dump_ctx;
  bool (*watch)(void *ctx, const PassResult *r); /* false stops with ST_VERIFY */
  void *watch_ctx;
  bool time_passes;    /* print a table of pass times to stderr */
  ConvAlgo conv;       /* --conv direct|auto */
  bool blas;           /* --gemm openblas */
  bool lowered;        /* the graph is that of a program: what lowering does to graphs is done */
  DType precision;     /* --precision bf16, f16 */
  bool no_chains;      /* every kernel by itself: all its results can be looked at in the arena */
  bool lean;           /* kernels in the order that keeps values in memory for a short time */
  int64_t chain_bytes; /* kernels on less make no chain; 0: the target's number */
  int64_t max_memory;  /* arena budget in bytes, 0 = none */
} PipelineOptions;

/* All graph-level passes (autodiff, simplify, cse, dce, ...). NULL after reporting. */
Graph *pipeline_graph(Arena *a, const Graph *in, const PipelineOptions *opt, Diags *d);
/* Graph -> kernels with a planned arena. NULL after reporting (for example the budget does not hold: *status
   = ST_BUDGET). */
Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status);
/* The rest of lowering for an unfinished program. */
Status pipeline_resume(Program *p, const PipelineOptions *opt, Diags *d);
/* The text of what opt->stop_after, a lowering pass, leaves of g. */
Status pipeline_lower_text(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                           StrBuf *out);

#endif
