/* The processor's unit that multiplies tiles of bf16 (ir/kernel/tiles.h): eight tile registers and what is done with
   them, as instructions of AMX or, for other targets, as calls of code that multiplies by vdpbf16ps or computes
   what either would, bit for bit. And what brings operands into the form of tiles: runs of bf16, pairs of rows, transposes. */
#ifndef JEPAC_CODEGEN_EMIT_MATRIX_H
#define JEPAC_CODEGEN_EMIT_MATRIX_H

#include "codegen/emit/emit.h"
#include "ir/kernel/tiles.h"

enum { MATRIX_LEFT = 4, MATRIX_RIGHT = 6, MATRIX_REGS = 8 };

typedef struct {
  EmitModule *m;
  int rows[MATRIX_REGS];            /* of each register */
  int pairs;                        /* of k in a row of a left factor; so many rows has a right one */
  LLVMValueRef home[MATRIX_REGS];   /* where a register that is not AMX's lies */
  LLVMValueRef stride[MATRIX_REGS]; /* of a factor's rows there */
} Matrix;

/* In the entry block, before anything else is done with x; rows: NULL for 16 each; pairs: of k, at most 16. No function
   of a library may be called before the end. */
void matrix_begin(Matrix *x, EmitModule *m, const int *rows, int pairs);
void matrix_end(Matrix *x);
void matrix_zero(Matrix *x, int reg);
/* Rows of 64 bytes, `stride` bytes apart. */
void matrix_load(Matrix *x, int reg, LLVMValueRef from, LLVMValueRef stride);
/* The same for a factor, which must stay where it is, unchanged, until it is multiplied. */
void matrix_factor(Matrix *x, int reg, LLVMValueRef from, LLVMValueRef stride);
void matrix_store(Matrix *x, int reg, LLVMValueRef to, LLVMValueRef stride);
/* c += a b; left factors lie in MATRIX_LEFT and the next, right ones in MATRIX_RIGHT and the next. */
void matrix_multiply(Matrix *x, int c, int a, int b);

/* ---- bringing operands into the form of tiles; all values are vectors of stored bf16 ---- */
/* The address of element i. */
static inline LLVMValueRef pairs_at(EmitModule *m, LLVMValueRef base, LLVMValueRef i) {
  return em_gep(m, m->i16, base, i);
}
static inline LLVMValueRef pairs_atc(EmitModule *m, LLVMValueRef base, int64_t i) {
  return i ? pairs_at(m, base, em_i64(m, i)) : base;
}
/* `count` elements and zeros behind them: lanes in all. */
LLVMValueRef pairs_load(EmitModule *m, LLVMValueRef from, int64_t count, int lanes);
/* The same for a number known at run time only. */
LLVMValueRef pairs_load_some(EmitModule *m, LLVMValueRef from, LLVMValueRef count, int lanes);
/* Elements of even and of odd by turns: all of them, or those of one half. */
LLVMValueRef pairs_join(EmitModule *m, LLVMValueRef even, LLVMValueRef odd);
LLVMValueRef pairs_half(EmitModule *m, LLVMValueRef even, LLVMValueRef odd, bool upper);
/* 16 vectors of 16 pairs, transposed as pairs. */
void pairs_transpose(EmitModule *m, LLVMValueRef v[TILE_ROWS]);

#endif
