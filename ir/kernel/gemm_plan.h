/* Matrix products as a sequence of compiled steps: geometry and the deterministic choice of kernel, register
   tile, blocks and chunk counts. Passes plan with it, codegen emits from it; no LLVM here. */
#ifndef JEPAC_IR_KERNEL_GEMM_PLAN_H
#define JEPAC_IR_KERNEL_GEMM_PLAN_H

#include "ir/kernel/contraction.h"
#include "ir/target.h"
#include "ir/type.h"

enum { GEMM_BATCH_AXES = 4 };

/* C[b..., m, n] = sum_k A[b..., m, k] B[b..., k, n], all element strides; strides of A and B may be 0. Rows
   of C are stored as such: c_n is 1. */
typedef struct {
  DType dt;           /* DT_F32 or DT_F64: of the sums, and of operands that are not narrow */
  bool a16, b16, c16; /* with DT_F32: stored in 16 bits, as bf16 */
  bool f16;           /* ... or as f16 */
  int nbatch;
  int64_t batch[GEMM_BATCH_AXES], a_batch[GEMM_BATCH_AXES], b_batch[GEMM_BATCH_AXES],
      c_batch[GEMM_BATCH_AXES];
  int64_t m, n, k;
  int64_t a_m, a_k, b_k, b_n, c_m, c_n;
  int64_t a_off, b_off, c_off;
  int64_t choice; /* of schedule */
} GemmSpec;

/* How an operand is stored. */
static inline DType gemm_dtype(const GemmSpec *s, ContractionOperand o) {
  bool narrow = (o == CO_A && s->a16) || (o == CO_B && s->b16) || (o == CO_C && s->c16);
  return !narrow ? s->dt : s->f16 ? DT_F16 : DT_BF16;
}

/* Steps "pack", where B is packed, and "main", the last one. */
ContractionPlan gemm_plan(const GemmSpec *spec, const Target *target);
/* What a choice decides. */
void gemm_decide(const void *spec, const Target *t, int64_t choice, int64_t decided[CHOICE_NUMBERS]);

/* ---- geometry behind the plan, for the emitters and the interpreter ---- */
typedef enum {
  GEMM_PANEL, /* vectors along n: a tile of rows by column vectors stays in registers over k */
  GEMM_DOT, /* vectors along k: a few dot products at a time, for small m or n with both operands contiguous in
               k */
  GEMM_TILES /* 16 x 32 by 32 x 16 of bf16 at a time, summed in f32 (ir/kernel/tiles.h) */
} GemmKind;

typedef enum {
  GEMM_IN_PLACE,
  GEMM_COPY,  /* a chunk copies (or transposes) its block into scratch */
  GEMM_PACKED /* B only: panels made by a step of their own */
} GemmSource;

typedef struct {
  GemmKind kind;
  int lanes;                 /* elements of a vector */
  int mr, nv;                /* register tile: rows by column vectors; GEMM_DOT: rows by columns */
  GemmSource a, b;           /* how a tile reads its operands */
  int64_t kc, nk;            /* k is cut into nk blocks of kc (the last may be shorter) */
  int64_t items;             /* all batch extents multiplied */
  int64_t per_chunk, ngroup; /* batch items a chunk, when one chunk covers whole items */
  int64_t rows, nrow;        /* rows of C a chunk, chunks along m */
  int64_t cols, ncol;        /* columns of C a chunk (a multiple of nv vectors), chunks along n */
  int64_t a_i, a_k;          /* strides of A as a tile reads it, in elements */
  int64_t a_block, b_block;  /* elements of scratch for blocks of A and B */
  int64_t c_block;           /* GEMM_TILES: sums kept between blocks of k */
  int64_t pack_group;        /* panels a chunk of the pack step */
} GemmGeom;

void gemm_geom(const GemmSpec *s, const Target *t, GemmGeom *g);
/* Why a product of two operands in bf16 does not run on tiles, or NULL: it does; and the geometry then (gemm_tiles.c). */
const char *gemm_not_on_tiles(const Target *t, int64_t m, int64_t n, int64_t k);
/* Why not, for how operands lie: neither rows nor columns of one are runs of elements. NULL: they are. */
const char *gemm_gaps(const GemmSpec *s);
void gemm_tiles_geom(const GemmSpec *s, const Target *t, GemmGeom *g);
int64_t gemm_tiles_packed_at(const GemmSpec *s, int64_t k, int64_t n);
int64_t gemm_tiles_scratch(const GemmGeom *g); /* bytes */
/* Element of the packed B that holds B[k, n]: panels of nv vectors (the last as wide as its columns need and
   filled up with its last column), each [k][column]; for tiles pairs of k, filled up with zeros. */
int64_t gemm_packed_at(const GemmSpec *s, const GemmGeom *g, int64_t k, int64_t n);
int64_t gemm_packed_size(const GemmSpec *s, const GemmGeom *g);

#endif
