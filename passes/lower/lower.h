/* Shared state of the lowering from graph to kernels: layout, fusion, the loop-kernel builder, contractions.
 * Private to passes/. */
#ifndef JEPAC_PASSES_LOWER_LOWER_H
#define JEPAC_PASSES_LOWER_LOWER_H

#include "ir/kernel/kernel.h"
#include "passes/pipeline.h"

typedef VEC(Val) ValVec;

typedef struct {
  Arena *arena;
  Arena *attempt; /* of the loop kernel being built */
  const Graph *g;
  Program *p;
  ConvAlgo conv;
  int *block;       /* per value: channel block of its storage (layout.c) */
  bool *stored;     /* per value: has a buffer of its own */
  bool *must;       /* ... whatever fusion decides */
  bool *nohome;     /* per value: must not be computed inside a consumer's kernel (breaks a cycle) */
  bool *noblock;    /* per value: never blocked (an index map could not follow it) */
  bool lean;        /* kernels wait for their first reader (schedule.c) */
  bool restart;     /* lowering has to be done again with what the flags above learnt */
  bool *noinline;   /* per value: the builder could not express its index map in a consumer */
  Val *home;        /* per stored value: the root whose kernel should compute it on the way, or -1 */
  int *buf;         /* per value: buffer number, -1 none yet */
  int *kernel_of;   /* per stored value: kernel that writes it, -1 none */
  bool *row_inline; /* per reduction: may be computed inside the kernel that uses it */
  bool *explained;  /* per value: a decision about it is written down */
} Lower;

/* Writes down why v is in memory; the first reason counts. */
void lower_why(Lower *l, Val v, Why why, Val other, double a, double b);

/* pipeline.c: the state before layout; flags learnt in an earlier attempt are taken from it (NULL: the
 * first). */
Lower *lower_begin(Arena *a, Arena *attempt, const Graph *g, const Target *t, ConvAlgo conv,
                   const Lower *before);

/* precision.c: g with what is stored between kernels rounded to bf16. */
Graph *precision_graph(Arena *a, Arena *attempt, const Graph *g, const Target *t, ConvAlgo conv);

/* layout.c: which values are stored channel-blocked. */
void layout_assign(Lower *l);

/* fuse.c: decides what is stored and groups the rest into loop kernels; appends kernels to the program
 * (unordered). */
void fuse(Lower *l);

/* loop_build.c: a loop kernel computing `roots` (equal shapes; all reductions, or one value). Stored operands
   become loads; values whose home is roots[0] are computed and stored as well and are listed in homed. Marks
   operands stored as needed. */
typedef struct {
  Kernel kernel;
  ValVec loads;  /* stored values read */
  ValVec stores; /* values written */
  Val reduce;    /* roots are rows computed from reductions like this one, or -1 */
} Built;
bool loop_build(Lower *l, const Val *roots, int nroots, Built *out);
/* A kernel copying buffer src to a row-major buffer dst of equal shape. */
Kernel loop_copy(Lower *l, int src, int dst);
/* Address of operand v (through views of a stored value) over loop dims given as one list of extents per
   axis: axis i of v is loop dim axis_dim[i]. False when the chain is not a plain view; the stored base and
   strides otherwise. */
bool view_access(Lower *l, Val v, int ndim, const int64_t *size, const int *axis_dim, Val *base, Affine *off);

/* lower_ops.c: contractions and scatter. */
void lower_dot(Lower *l, Val v);
void lower_conv(Lower *l, Val v);
void lower_scatter(Lower *l, Val v);
void lower_extern(Lower *l, Val v);
/* True when the dot's operand i can be read through its views; then *base is the value that must be stored.
 */
bool dot_operand_base(Lower *l, Val v, int i, Val *base);

int lower_buf(Lower *l, Val v);                 /* buffer of a stored value, made on first use */
int lower_temp(Lower *l, int64_t bytes);        /* an untyped temporary */
void lower_push(Lower *l, Kernel *k, Val root); /* appends; fills loc, role, val */

/* schedule.c: orders kernels, resolves state updates (in place where possible) and results. False when
 *kernels form a cycle: culprit is a value to mark nohome. */
bool schedule(Lower *l, Val *culprit);
/* Does k read buffer `in` only at the element it writes to `out` (a loop kernel without sweeps)? */
bool reads_in_place(const Program *p, const Kernel *k, int in, int out);

/* chain.c: groups neighbouring kernels of the ordered program into chains. */
void chain(Lower *l, int64_t least_bytes);
/* interleave.c: puts steps that are ready between a step and the one that needs it. */
void interleave(Lower *l);

/* memplan.c */
typedef struct {
  int64_t bytes;
  int first, last; /* lifetime, inclusive */
  int64_t offset;  /* result */
} Extent;
/* Offsets for n extents so that overlapping lifetimes do not share bytes (greedy by size); returns the total.
 */
int64_t memplan_pack(Extent *e, int n, int64_t align);
void memplan(Lower *l);

#endif
