/* Loop kernels: loop nests with affine accesses.

       for p in P (parallel dims 0..npar-1)
         for sweep s = 0..nsweep-1: for r in R (dims npar..ndim-1): accumulate the reductions and do the full
           stores of s
         row stores

   Every address is affine in the loop dims, plus rare quotient terms. An instruction is "row" when it depends on
   P dims and finished reductions only; others are evaluated inside a sweep, on demand, again in each sweep that
   needs them. Plain elementwise kernels have no R dims and no sweeps: everything is row. Softmax, layer norm and
   their gradients are kernels of several sweeps over a short row. */
#ifndef JEPAC_IR_KERNEL_LOOP_H
#define JEPAC_IR_KERNEL_LOOP_H

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
  Imm fill;
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
                `sweep`; argmax counts positions by `index` */
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
  Imm imm;
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

/* The instructions that `in` reads, the index of a gather last; how many. */
int inst_args(const KInst *in, int arg[4]);

/* How the P space is cut: the first `prefix` dims make one index of `count` points, times `tiles` pieces of `tile`
   points of the vector dim when those alone are too few; chunks divide that range. */
typedef struct {
  int prefix;
  int64_t count, tiles, tile;
} LoopCut;
LoopCut loop_cut(const LoopKernel *l, int lanes);
/* Points a piece of the vector dim: whole vectors. */
int64_t loop_tile(int64_t size, int64_t pieces, int lanes);

#endif
