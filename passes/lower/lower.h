/* Shared state of the lowering from graph to kernels: layout, fusion, the loop-kernel builder, contractions.
   Private to passes/. */
#ifndef JEPAC_PASSES_LOWER_LOWER_H
#define JEPAC_PASSES_LOWER_LOWER_H

#include "ir/graph/loops.h"
#include "passes/lower/pass.h"

typedef VEC(Val) ValVec;

/* What is in memory and how, per value: decided in one place (decide.c). */
typedef struct {
  bool *stored;     /* has a buffer of its own */
  bool *must;       /* ... whatever fusion decides */
  bool *nohome;     /* must not be computed inside a consumer's kernel */
  bool *row_inline; /* of a reduction: may be computed inside the kernel that uses it */
  int *block;       /* channel block of its storage */
  Val *home;        /* of a stored value: the root whose kernel should compute it on the way, or -1 */
} Storage;

/* What kernels that could not be built as decided have taught, per value; only ever added to (fuse.c). */
typedef struct {
  bool *stored;    /* of this round: some kernel cannot address its operands, so it must be in memory */
  bool *row_major; /* never blocked: an index map could not follow it */
  bool *nohome;    /* kernels would wait for each other, or store it more than once */
} Facts;

/* Where the values of a scan_carry lie (lower_scan.c). */
typedef struct {
  bool made, kept; /* kept: of all steps */
  bool read;       /* by the body */
  int next;        /* buffer of its value in the next step */
} CarryRow;

struct Lower {
  Arena *arena;
  Arena *attempt;    /* of the loop kernel being built */
  struct Seen *seen; /* per value, by the attempts so far (loop_build.h) */
  int attempts;
  const Graph *g;
  Program *p; /* p->has says how far it is */
  LowerOptions opt;
  int *layout;       /* per value: channel block that suits its convolutions (layout.c) */
  Facts facts;       /* fuse.c */
  Storage at;        /* decide.c */
  GraphLoops *loops; /* of g */
  CarryRow *carry;   /* per value */
  int *buf;          /* per value: buffer number, -1 none yet */
  int *kernel_of;    /* per stored value: kernel that writes it, -1 none, -2 it lies in another's buffer */
  bool *explained;   /* per value: a decision about it is written down */
};

/* Why something cannot be built as decided: the fact to learn from it. */
typedef enum {
  BUILT,          /* it can */
  NO_WAY,         /* these roots have no kernel together */
  MUST_STORE,     /* val must be in memory, because of why and other */
  MUST_ROW_MAJOR, /* val must lie in memory row by row */
  NO_HOME,        /* val cannot be stored on the way to a root */
  MUST_SPLIT,     /* part `part` of domain dim `dom` of this kernel, into some times `factor` */
  COMPUTE_AGAIN   /* `values`, more than before, follow from what this kernel reads anyway */
} RefusalKind;

typedef struct {
  RefusalKind kind;
  Val val, other;
  Why why;
  int dom, part;
  int64_t factor;
  ValVec values;
} Refusal;

/* ---- the passes (registry.c) ---- */
LowerFn pass_remat, pass_precision, pass_layout, pass_fuse, pass_schedule, pass_chain, pass_interleave,
    pass_beside, pass_memplan;

int *lower_filled(Arena *a, int n, int value);
/* Writes down why v is in memory; the first reason counts. */
void lower_why(Lower *l, Val v, Why why, Val other, double a, double b);

/* ---- what is stored (decide.c) ---- */
void decide_begin(Lower *l); /* no facts are known */
/* From the graph, its layout and the facts known. */
void decide(Lower *l);
void decide_stored(Lower *l, Val v, Why why, Val other);

/* ---- loop kernels (loop_build.c) ---- */
enum { MAX_DOM = 12, MAX_PARTS = 6 };

/* A domain dim: one axis of the root shape or one reduced axis, as parts (outermost first) that are the loop
   dims. */
typedef struct {
  int n;
  int64_t part[MAX_PARTS];
  bool reduced;
} Dom;

/* What is known of one kernel before an attempt to build it. */
typedef struct {
  int ndom, nroot; /* dims from the root's shape come first */
  Dom dom[MAX_DOM];
  ValVec again; /* stored values that are computed once more, since all they follow from is read anyway */
} LoopSpace;

typedef struct {
  Kernel kernel;
  ValVec loads;  /* stored values read */
  ValVec stores; /* values written */
  Val reduce;    /* roots are rows computed from reductions like this one, or -1 */
} Built;

void loop_space(const Shape *s, LoopSpace *space);
void loop_split(LoopSpace *space, const Refusal *r);
/* A loop kernel computing `roots` (equal shapes; all reductions, or one value). Stored operands become loads;
   values whose home is roots[0] are computed and stored as well. */
Refusal loop_build(Lower *l, const Val *roots, int nroots, LoopSpace *space, Built *out);
/* A kernel copying buffer src to a row-major buffer dst of equal shape. */
Kernel loop_copy(Lower *l, int src, int dst);
/* Address of operand v (through views of a stored value) over loop dims given as one list of extents per
   axis: axis i of v is loop dim axis_dim[i]. False when the chain is not a plain view; the stored base and
   strides otherwise. */
bool view_access(Lower *l, Val v, int ndim, const int64_t *size, const int *axis_dim, Val *base, Affine *off);

/* ---- operators with kernels of their own (lower_ops.c) ---- */
/* The geometry of a convolution, and which values have the roles of the forward one. */
ConvSpec conv_spec_of(const Graph *g, Val v, Val *x, Val *w, Val *y);
typedef struct {
  /* Marks what must be in memory, and row by row, for v. */
  void (*needs)(Lower *l, Val v);
  Refusal (*build)(Lower *l, Val v); /* NULL: it is computed in loop kernels */
} OpLowering;
const OpLowering *op_lowering(OpKind k);
bool op_has_kernel(OpKind k);

int lower_buf(Lower *l, Val v);                 /* buffer of a stored value, made on first use */
void lower_push(Lower *l, Kernel *k, Val root); /* appends; fills loc, role, val */

/* ---- loops (lower_scan.c) ---- */
Refusal lower_scan(Lower *l, Val v);
void scan_begin(Lower *l);
void scan_needs(Lower *l); /* marks what must be in memory because loops begin and end */
/* May one kernel store both? Not when a loop begins or ends between them. */
bool scan_together(const Lower *l, Val a, Val b);

/* memplan.c */
typedef struct {
  int64_t bytes;
  int first, last; /* lifetime, inclusive */
  int64_t offset;  /* result */
} Extent;
/* Offsets for n extents so that overlapping lifetimes do not share bytes (greedy by size); returns the total. */
int64_t memplan_pack(Extent *e, int n, int64_t align);

#endif
