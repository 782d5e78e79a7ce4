/* The pass pipeline: graph -> graph passes, then lowering to kernels and memory planning. */
#ifndef JEPAC_PIPELINE_H
#define JEPAC_PIPELINE_H

#include "ir/kernel/kernel.h"

/* What a pass made, before the next one reads it: jepac verify compares, and its test puts faults in. */
typedef struct {
  const char *pass;
  Graph *graph;     /* of a graph pass; else NULL */
  const Graph *of;  /* layout: the graph it lays out ... */
  int *block;       /* ... and the channel block of each value; else NULL */
  Program *program; /* of a later pass; else NULL */
  bool ordered;     /* its kernels are in the order in which they run */
  bool rounds;      /* the pass rounds values to bf16: only without that is the result the same */
  bool new_kernels; /* the pass makes or changes kernels */
} PassResult;

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
  bool bf16;           /* --precision bf16 */
  bool no_chains;      /* every kernel by itself: all its results can be looked at in the arena */
  bool lean;           /* kernels in the order that keeps values in memory for a short time */
  int64_t chain_bytes; /* kernels on less make no chain; 0: 256 KiB */
  int64_t max_memory;  /* arena budget in bytes, 0 = none */
} PipelineOptions;

/* All graph-level passes (autodiff, simplify, cse, dce, ...). NULL after reporting. */
Graph *pipeline_graph(Arena *a, const Graph *in, const PipelineOptions *opt, Diags *d);
/* Graph -> kernels with a planned arena. NULL after reporting (for example the budget does not hold: *status
 * = ST_BUDGET). */
Program *pipeline_lower(Arena *a, const Graph *g, const Target *t, const PipelineOptions *opt, Diags *d,
                        Status *status);
/* g with f32 in place of bf16, so that nothing is rounded. */
Graph *precision_widened(Arena *a, const Graph *g);
/* f64 evaluation of a lowered program through kernel_interp, for tests: in/out as graph_interp. */
/* One kernel of it; mem: the storage of each root buffer, in storage order. */
void program_interp_kernel(const Program *p, int k, double *const *mem);
void program_interp(const Program *p, const Tensor64 *in, Tensor64 *out, Arena *a);

#endif
