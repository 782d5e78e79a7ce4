/* Lowering passes: one file a pass, one registry row, as graph passes have. A pass changes the state of the
   lowering: first the graph, then how its values lie in memory, then the program of kernels. */
#ifndef JEPAC_PASSES_LOWER_PASS_H
#define JEPAC_PASSES_LOWER_PASS_H

#include "ir/kernel/kernel.h"
#include "passes/graph/pass.h"

typedef struct {
  ConvAlgo conv;
  bool blas;           /* products by OpenBLAS where it can */
  bool lowered;        /* the graph is that of a program: what passes do to graphs is done */
  DType precision;     /* of what lies in memory between kernels: bf16 and f16 have the pass precision run */
  bool ranks;          /* the graph has operators between processes: set when lowering begins */
  bool no_chains;      /* every kernel by itself */
  bool lean;           /* kernels in the order that keeps values in memory for a short time */
  int64_t chain_bytes; /* kernels on less make no chain; 0: the target's number */
  int level;           /* of a byte budget (budget.c) */
} LowerOptions;

typedef struct Lower Lower;
typedef void LowerFn(Lower *l);

typedef struct {
  const char *name;
  LowerFn *fn;
  int needs, gives, keeps;               /* HAS_ sets: required before, true after, left true when it was */
  bool (*wanted)(const LowerOptions *o); /* by the pipeline; NULL: always */
  bool rounds;                           /* it rounds values: only without that is the result the same */
  const char *doc;
} LowerRow;

const LowerRow *lower_table(int *n); /* in the order of the pipeline */
const LowerRow *lower_find(const char *name);

/* What a pass made, before the next one reads it: jepac verify compares, and its test puts faults in. */
typedef struct {
  const char *pass;
  Graph *graph;     /* of a pass that makes a graph; else NULL */
  const Graph *of;  /* layout: the graph it lays out ... */
  int *block;       /* ... and the channel block of each value; else NULL */
  Program *program; /* of a later pass; else NULL */
  bool ordered;     /* its kernels are in the order in which they run */
  bool rounds;      /* the pass rounds values to a narrow type: only without that is the result the same */
  bool new_kernels; /* the pass makes or changes kernels */
} PassResult;

typedef struct {
  bool verify_each; /* the result and what the row promises, after every pass; a failure is a bug() */
  int first;        /* number of the first pass */
  /* Called with each pass that changed the printed text. */
  void (*dump)(void *ctx, int number, const char *pass, const char *text);
  void *dump_ctx;
  bool (*watch)(void *ctx, const PassResult *r); /* false stops with ST_VERIFY */
  void *watch_ctx;
  PassTime *times; /* NULL, or room for one entry a pass */
} LowerRun;

Lower *lower_begin(Arena *a, const Graph *g, const Target *t, const LowerOptions *o);
/* Goes on with an unfinished program, as read from a dump. */
Lower *lower_resume(Program *p, const LowerOptions *o);
/* Runs the named passes in order; run may be NULL. Not ST_OK after reporting an unknown name or an unmet need
   (ST_USAGE), or when the watcher stops. */
Status lower_run(Lower *l, const char *const *names, int n, const LowerRun *run, Diags *d);
/* What has been made so far: a graph, with comments on its layout, or a program. */
void lower_print(const Lower *l, StrBuf *out);
int lower_has(const Lower *l);                      /* HAS_ bits */
bool lower_wants(const Lower *l, const char *name); /* do the options ask for this pass? */
Program *lower_end(Lower *l);                       /* frees the rest */

/* contract.c: the first kernel that does not find operand buf written, or finds that `other` has taken its
   place (-1: nothing is written). */
typedef struct {
  int kernel; /* -1: no fault */
  int buf, other;
} ProgramFault;
ProgramFault program_disorder(const Program *p);

/* ---- byte budgets (budget.c) ---- */
enum {
  BUDGET_LOOPS = 2
}; /* from this level on loops keep less; it is no other than the one before without loops */
extern const int budget_levels; /* 0 is as fast as can be; each later one may need less memory */
void budget_level(LowerOptions *o, int level);
void budget_over(const Program *p, int64_t budget, Diags *d); /* reports who needs the memory */

/* precision.c: g with f32 in place of narrow floats, so that nothing is rounded. */
Graph *precision_widened(Arena *a, const Graph *g);

/* program_interp.c: f64 evaluation of a lowered program through kernel_interp, for tests: in/out as
   graph_interp. */
void program_interp(const Program *p, const Tensor64 *in, Tensor64 *out, Arena *a);
/* One kernel of it; mem: the storage of each root buffer, in storage order. */
void program_interp_kernel(const Program *p, int k, double *const *mem);

#endif
