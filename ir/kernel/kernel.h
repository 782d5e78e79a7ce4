/* The kernel level: what one compiled function does. A program is an ordered list of kernels over buffers.

   A loop kernel is
       for p in P (parallel dims 0..npar-1)
         for sweep s = 0..nsweep-1: for r in R (dims npar..ndim-1): accumulate the reductions and do the full
   stores of s row stores Every address is affine in the loop dims, plus rare quotient terms. An instruction
   is "row" when it depends on P dims and finished reductions only; others are evaluated inside a sweep, on
   demand, again in each sweep that needs them. Plain elementwise kernels have no R dims and no sweeps:
   everything is row. Softmax, layer norm and their gradients are kernels of several sweeps over a short row.

   Blocked layout: a rank-4 [N,C,H,W] buffer with block b > 0 is stored [N][C/b][H][W][b] (C divisible by b);
   loop kernels see only addresses, so the builder (passes/lower/) splits the C loop into C/b and b. */
#ifndef JEPAC_IR_KERNEL_KERNEL_H
#define JEPAC_IR_KERNEL_KERNEL_H

#include "ir/kernel/conv_plan.h"
#include "ir/kernel/gemm_plan.h"
#include "ir/graph/graph.h"

enum {
  KDIM = 12,
  MAX_REDUCE = 24
}; /* loop dims; reductions of one kernel: their accumulators live in registers */

typedef struct {
  int64_t c, k[KDIM]; /* c + sum k[d] * loop dim d */
} Affine;

typedef struct {
  Affine e;
  int64_t lo, hi; /* holds when lo <= e < hi ... */
  int64_t mod;    /* ... and, when mod > 1, e mod mod == 0 (e >= 0 there) */
} Guard;

typedef struct {
  Affine e;            /* never negative where the guards hold */
  int64_t div, stride; /* adds stride * floor(e / div) */
} Quot;

/* The address of one element of operand `buf`, in elements. Where a guard fails a load gives `fill` and
   touches nothing (stores have no guards). */
typedef struct {
  int buf; /* index into Kernel.buf */
  Affine off;
  int nquot, nguard;
  const Quot *quot;
  const Guard *guard;
  double fill;
  int dyn; /* gather: instruction holding an index to add dyn_stride times, clamped to [0, dyn_extent); else
              -1 */
  int64_t dyn_stride, dyn_extent;
} Access;

typedef enum {
  KI_LOAD,   /* access */
  KI_IMM,    /* imm */
  KI_INDEX,  /* index + quotients, converted to dt (iota) */
  KI_GUARD,  /* bool: all guards of access hold (concat's choice of operand); nothing is read */
  KI_RANDOM, /* u32 philox(index, step = arg[1], stream, seed = arg[0]) */
  KI_MAP,    /* elementwise operator op of arg[] */
  KI_REDUCE  /* op (reduce_sum, reduce_max, reduce_min, reduce_m2, argmax) of arg[0] over all R dims, in sweep
                `sweep`; argmax counts  positions by `index` */
} KInstKind;

typedef struct {
  KInstKind kind;
  DType dt;
  OpId op;
  int arg[3]; /* earlier instructions */
  bool row;
  int sweep; /* KI_REDUCE */
  const Access *access;
  Affine index;
  int nquot;
  const Quot *quot; /* of KI_INDEX and KI_RANDOM, as in Access */
  uint32_t stream;
  double imm;
  Val val; /* graph value this computes, for dumps; -1 none */
} KInst;

typedef struct {
  int inst; /* row instruction: stored once per P point; otherwise at every point of sweep `sweep` */
  int sweep;
  Access access; /* no guards */
} KStore;

typedef struct {
  int ndim, npar, nsweep;
  int64_t size[KDIM];
  int vec; /* loop dim to vectorise: the last P dim or the last R dim, whose strides are mostly 0 or 1; -1
              none */
  KInst *inst;
  int ninst;
  KStore *store;
  int nstore;
  int64_t nchunk; /* The P dims but for a vectorised one, flattened, are cut into nchunk equal ranges (rounded
                     up; the last may be shorter or empty). When their product is 1 and vec is a P dim, the
                     vec dim is cut instead, into ranges rounded up to whole vectors. Fixed by shape. */
} LoopKernel;

typedef struct {
  int64_t outer, extent, inner, nidx; /* out[outer][extent][inner] += upd[outer][nidx][inner] at idx[nidx] */
  DType idx_dt, dt;
} ScatterSpec;

typedef enum { KK_LOOP, KK_GEMM, KK_CONV, KK_SCATTER, KK_EXTERN, KERNEL_KINDS } KernelKind;

typedef struct {
  KernelKind kind;
  LoopKernel loop;
  GemmSpec gemm; /* KK_GEMM: one step of it */
  int gemm_step; /* which ContractionStep of gemm_plan() */
  ConvSpec conv; /* KK_CONV: one step of it */
  int conv_step; /* which ContractionStep of conv_plan() */
  ScatterSpec scatter;
  const Extern *ext; /* KK_EXTERN: one result, row-major operands */
  int *buf;          /* operands: indices into Program.buf */
  int nbuf;
  int nout; /* the last nout operands are written */
  const Loc *loc;
  Role role;
  Val val;     /* root value, for dumps */
  bool commit; /* writes state: runs after the finite check */
  int chain; /* neighbours with the same number > 0 run chunk by chunk, one after the other (passes/lower/chain.c)
                */
  double flops, bytes;
} Kernel;

typedef enum { BUF_TEMP, BUF_INPUT, BUF_RESULT } BufKind;

typedef struct {
  BufKind kind;
  DType dt;
  Shape shape;
  int block; /* channel block, 0 = row-major */
  int64_t bytes;
  int input;       /* BUF_INPUT: graph input number */
  int result;      /* BUF_RESULT: graph output number */
  int alias;       /* shares the memory of this buffer (always an earlier root buffer), or -1 */
  int first, last; /* kernels that write first and use last */
  int64_t chunk;   /* > 0: only one chain uses it, so many bytes a chunk: it lies in thread scratch */
  int64_t offset;  /* set by memplan: arena bytes; of a chunk inside the chain's part of the scratch */
  Val val;
} Buf;

/* Why a value is in memory instead of computed where it is read, and why a kernel with row sums joined
   another or not: written down by the pass that decided, for jepac explain. */
typedef enum {
  WHY_NONE,
  WHY_OWN_KERNEL, /* val is the result of a contraction, scatter or extern call */
  WHY_OPERAND,    /* such an operator, other, reads it */
  WHY_GATHERED,   /* other picks elements of it by index */
  WHY_RESULT,     /* an output of the graph */
  WHY_VIEWED,     /* other, a reshape of it that is in memory, shares its bytes */
  WHY_CYCLE,      /* computed on the way, kernels would wait for each other */
  WHY_EARLIER,    /* other, which the kernel that could compute it waits for, needs it */
  WHY_MANY,       /* more than a kernels need it */
  WHY_INDEX,      /* the kernel of other cannot address its operands in its own order of elements */
  WHY_COSTLY,     /* a operations an element, needed in b kernels */
  WHY_DEEP,       /* a operators one after the other are as many as a kernel takes */
  WHY_READS,      /* needed in a kernels, each of which would read b operands an element */
  WHY_READER,     /* a row sum whose reader, other, is no elementwise or row kernel */
  WHY_FOLD,       /* overlapping sums, read at other places than they are made at */
  WHY_LONG_ROW,   /* sums over a elements, more than b, which would be read again for each of them */
  WHY_ROWS, /* sums over a elements each, at b places, and other has neither these rows nor these elements */
  WHY_SEVERAL, /* the kernel of other computes it on the way; a kernels need it */
  WHY_JOINED,  /* val's rows are computed in the kernel of other, whose operands they share */
  WHY_APART_SHAPE,
  WHY_APART_AXES,
  WHY_APART_FULL,
  WHY_APART_WAITS,
  WHY_APART_INDEX, /* ... are not, though */
  WHY_COUNT
} Why;

typedef struct {
  Why why;
  Val val, other; /* other: -1 none */
  double a, b;
} Decision;

typedef struct ConvMemo ConvMemo; /* plans of convolutions already asked for (ir/kernel/chunks.c) */

typedef struct {
  const Graph *graph;
  Arena *arena;
  Target target;
  ConvMemo *memo; /* NULL: plans are made each time */
  VEC(Buf) buf;
  VEC(Kernel) kernel;
  VEC(Decision) decision;
  int ncompute; /* kernels before this one write no state */
  int64_t arena_bytes;
} Program;

/* The buffer whose memory buffer b lies in: itself unless it is an alias. */
static inline int program_root(const Program *p, int b) {
  while (p->buf.v[b].alias >= 0) b = p->buf.v[b].alias;
  return b;
}

/* ---- chunks (ir/kernel/chunks.c) ---- */
/* How the P space of a loop kernel is cut: the first `prefix` dims make one index of `count` points, times
   `tiles` pieces of `tile` points of the vector dim when those alone are too few; chunks divide that range.
 */
typedef struct {
  int prefix;
  int64_t count, tiles, tile;
} LoopCut;
LoopCut loop_cut(const LoopKernel *l, int lanes);
int64_t loop_tile(int64_t size, int64_t pieces,
                  int lanes); /* points a piece of the vector dim: whole vectors */
int64_t kernel_chunks(const Program *p, const Kernel *k);
/* conv_plan() for p's target, remembered where p has a memo; *own serves where it has none. */
const ContractionPlan *program_conv_plan(const Program *p, const ConvSpec *s, ContractionPlan *own);
ConvMemo *conv_memo_new(Arena *a);
/* Bytes b such that chunk c of k touches operand i of its list only in bytes [c*b, (c+1)*b); 0 when there is
   no such b. */
int64_t kernel_chunk_bytes(const Program *p, const Kernel *k, int i);
/* The same for buffer `root` through all of k's operands that lie in it; 0 also when none does. */
int64_t kernel_chunk_of_root(const Program *p, const Kernel *k, int root);
/* The first and the last kernel that run together with k: k itself when it is in no chain. */
void program_chain(const Program *p, int k, int *first, int *last);

/* ---- text, checks and the slow interpreter of this level ---- */
extern const char *const kernel_kind_names[KERNEL_KINDS],
    *const why_names[WHY_COUNT], *const buf_kind_names[3], *const conv_kind_names[3],
                                                               *const conv_algo_names[3];
void program_print(const Program *p, StrBuf *out);
/* Reads back what program_print wrote, the graph included (ir/kernel/read.c); NULL after reporting. */
Program *program_read(Arena *a, const Source *src, Diags *d);
bool program_is_text(const Source *src); /* the file begins with a program, not a graph */
bool program_verify(const Program *p, char *err,
                    size_t errlen); /* SSA order, accesses inside buffers, chunk ranges */
/* Runs kernel k on f64 copies of its operands: mem[i] is the storage of k->buf[i] in storage order.
   round_f32: a loop kernel's f32 values are rounded after every operator, as generated code does. */
void kernel_interp(const Program *p, const Kernel *k, double *const *mem, bool round_f32);

#endif
