/* Matrix products as explicit vector IR. gemm_emit() is the only entry the rest of codegen needs; the other
   declarations are shared by the files of this emitter (gemm.c: register tiles; copy.c: copies into
   scratch and packing; dot.c: dot products; tiles.c: bf16 on the processor's tiles). */
#ifndef JEPAC_CODEGEN_GEMM_GEMM_H
#define JEPAC_CODEGEN_GEMM_GEMM_H

#include "codegen/emit/kind.h"
#include "codegen/emit/matrix.h"
#include "codegen/emit/tile.h"
#include "ir/kernel/gemm_plan.h"

/* Emits step `step` of gemm_plan(s, m->target) as function `symbol` with StepFn's signature. */
void gemm_emit(EmitModule *m, const GemmSpec *s, int step, const char *symbol);

/* ---- shared pieces ---- */
enum { GEMM_PIECES = 8 };

typedef struct {
  EmitModule *m;
  const GemmSpec *s;
  GemmGeom g;
  LLVMTypeRef t; /* element */
  unsigned align;
  int64_t unit; /* columns of a whole panel */
} Gemm;

/* A run of `count` elements as vectors: whole ones, then a masked one, or shorter ones where masked accesses
   are slow. */
typedef struct {
  int n, count, width; /* vectors; elements; elements rounded up to whole vectors */
  struct {
    int at, lanes;
    LLVMValueRef mask; /* NULL: all lanes */
  } v[GEMM_PIECES];
} Pieces;
Pieces gemm_pieces(Gemm *z, bool b16, int64_t count);
/* b16: what lies in memory is bf16, as an operand may; scratch never is. */
LLVMValueRef gemm_vload(Gemm *z, bool b16, const Pieces *p, int i, LLVMValueRef from);
void gemm_vstore(Gemm *z, bool b16, const Pieces *p, int i, LLVMValueRef x, LLVMValueRef to);
LLVMValueRef gemm_load(Gemm *z, bool b16, LLVMValueRef from, int lanes); /* 1: a scalar */

/* base + i * si elements: of scratch, then of memory that may hold bf16 */
LLVMValueRef gemm_at(Gemm *z, LLVMValueRef base, LLVMValueRef i, int64_t si);
LLVMValueRef gemm_atc(Gemm *z, LLVMValueRef base, int64_t i);
LLVMValueRef gemm_tat(Gemm *z, bool b16, LLVMValueRef base, LLVMValueRef i, int64_t si);
LLVMValueRef gemm_tatc(Gemm *z, bool b16, LLVMValueRef base, int64_t i);

/* Rows 0..mrows of A at `from`, columns of this block of k, into scratch as GemmGeom tells. */
void gemm_copy_a(Gemm *z, LLVMValueRef from, LLVMValueRef mrows, LLVMValueRef kk, LLVMValueRef to);
/* A panel of `cols` columns of B at `from`, kk rows, to [k][width]. */
void gemm_copy_b(Gemm *z, LLVMValueRef from, int64_t cols, LLVMValueRef kk, LLVMValueRef to);
void gemm_emit_pack(Gemm *z);

/* Runs body for each tile of mr of mrows rows and for the shorter last one, whose size must be a constant:
   `rows` is what mrows is in all chunks but the last, `total` of all. body gets the tile's number, its first
   row and its size. */
typedef void TileFn(Gemm *z, void *arg, LLVMValueRef tile, LLVMValueRef row, int size);
void gemm_tiles(Gemm *z, LLVMValueRef mrows, int64_t rows, int64_t total, int size, TileFn *body, void *arg);

/* Rows m0.. and columns n0.. of one batch item by dot products. */
void gemm_emit_dot(Gemm *z, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, LLVMValueRef mrows,
                   LLVMValueRef ncols);

/* The same on tiles, where b is all of B, packed or not; and the step that packs it. */
void gemm_begin_tiles(Gemm *z, Matrix *x);
void gemm_emit_tiles(Gemm *z, Matrix *x, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, LLVMValueRef n0,
                     LLVMValueRef mrows);
void gemm_pack_tiles(Gemm *z);

#endif
