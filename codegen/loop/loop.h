/* Loop kernels (ir/kernel/kernel.h) as vector IR. its row is codegen_loop, in loop.c; the rest is shared by the files of this
   emitter: loop.c (loop nest, chunks), expr.c (accesses and instructions), map.c (elementwise
   operators), acc.c (reductions). */
#ifndef JEPAC_CODEGEN_LOOP_LOOP_H
#define JEPAC_CODEGEN_LOOP_LOOP_H

#include "codegen/emit/kind.h"

/* Kernels over one dim with plain accesses share code whatever their extent: it arrives in Step.param. */
typedef struct {
  int64_t size, tile; /* extent; elements a chunk */
} FlatParam;

/* ---- shared pieces ---- */
/* An affine expression under evaluation: its value over the dims entered so far. Pointers advance by
   elements. */
typedef struct {
  const Affine *e;
  LLVMValueRef cur;
  LLVMTypeRef elem; /* pointers; NULL for plain integers */
} Lin;

typedef struct {
  int off, guard, quot; /* first entries in LoopCtx.lin */
} AccessLin;

typedef struct {
  int level;   /* deepest loop dim the value depends on, -1 none */
  int stage;   /* sweeps that must have ended before */
  bool varies; /* along the vector dim */
  bool used, splat;
  AccessLin at;
} InstInfo;

/* One reduction of the sweep under emission. It owns ACC_SLOTS values of an Acc: sum, mean, max, min use one;
   argmax value and index; m2 inside: sum and sum of squares of differences from the shift; m2 outside: count (f64),
   mean (the next shift), M2, and what the mean is above its shift. Where many blocks are added (LoopCtx.many), sums
   and M2 outside are f64, and those of lanes that are parts of one reduction have one lane. */
typedef struct {
  int inst, arg;
  OpId op;
  LLVMTypeRef type; /* of the accumulated scalar */
  DType dt;         /* of the argument */
  int shares;       /* a sum or mean that follows from the m2 with this number, or -1 */
} Red;

enum { ACC_SLOTS = 4, ACC_MAX = ACC_SLOTS * MAX_REDUCE };
typedef struct {
  LLVMValueRef v[ACC_MAX]; /* unused ones NULL */
} Acc;

typedef struct {
  EmitModule *m;
  const Program *p;
  const Kernel *k;
  const LoopKernel *l;
  Arena *a;
  int vec;   /* vector dim, -1 none */
  int width; /* lanes of the vector dim */
  bool
      one_group; /* the vector dim is a P dim of `width` points: what varies along it alone leaves the loops */
  int lanes;     /* lanes now: width, or 1 while a single point is evaluated */
  bool flat;     /* the extent is a parameter */
  int unroll;    /* points of the innermost R dim at once */
  InstInfo *info;
  AccessLin *store_at;
  bool *
      *need; /* per sweep, then per sweep for its m2 arguments: instructions to evaluate inside the R loops */
  const bool *set; /* the one in force, NULL at P levels */
  LLVMValueRef *val, *wide;
  VEC(Lin) lin;
  LLVMValueRef *operand;
  LLVMValueRef dim[KDIM];
  LLVMValueRef mask; /* active lanes, NULL = all */
  int sweep;
  Red red[MAX_REDUCE]; /* of this sweep */
  int nred;
  bool many; /* blocks are merged in this sweep */
  int gate;  /* a guard without which no point adds anything in this sweep, or -1 */
} LoopCtx;

/* expr.c */
void loop_emit_inst(LoopCtx *c, int i);
void loop_emit_store(LoopCtx *c, int s);
LLVMValueRef loop_value(LoopCtx *c, int i); /* with LoopCtx.lanes lanes */
/* Whether the guards of instruction `guard` hold whose last dim is d, which has been entered; NULL: there are none. */
LLVMValueRef loop_passes(LoopCtx *c, int guard, int d);
LLVMValueRef loop_position(LoopCtx *c, int i);  /* the position an argmax counts by, i64 */
LLVMTypeRef loop_type(EmitModule *m, DType dt); /* as computed with: bf16 is float, bool is i1 */
void affine_range(const LoopKernel *l, const Affine *e, int64_t *lo, int64_t *hi);

/* map.c */
LLVMValueRef map_emit(EmitModule *m, OpId op, DType dt, DType arg, LLVMValueRef *x);
LLVMValueRef map_cast(EmitModule *m, DType from, DType to, LLVMValueRef x);
LLVMValueRef map_round(EmitModule *m, DType dt, LLVMValueRef x);

/* acc.c: inner accumulators run through the inner R loops, outer ones collect them (blocked summation) */
void acc_collect(LoopCtx *c, int sweep); /* fills LoopCtx.red */
void acc_inner(LoopCtx *c, Acc *in);
void acc_outer(LoopCtx *c, Acc *out, LLVMValueRef *first); /* first[i]: a value near the data, for m2 */
void acc_add(LoopCtx *c, Acc *in, const Acc *out);         /* the current point's values */
void acc_join(LoopCtx *c, Acc *in, const Acc *other);      /* two inner sets of one block */
void acc_merge(LoopCtx *c, Acc *out, const Acc *in,
               LLVMValueRef count); /* count points (i64) went into `in` */
void acc_finish(LoopCtx *c, const Acc *out,
                LLVMValueRef count); /* sets the values of reductions of count points */

#endif
