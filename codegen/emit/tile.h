/* Pieces of kernels that keep a tile of sums in registers, shared by convolutions and matrix products: addresses and
   vectors of f32 scratch and of tensors that may be stored as bf16, multiply-adds, loops, transposes. */
#ifndef JEPAC_CODEGEN_EMIT_TILE_H
#define JEPAC_CODEGEN_EMIT_TILE_H

#include "codegen/emit/emit.h"

enum { TILE_MAX = 64 };

/* Index arithmetic in floats: base + (constant | value). */
LLVMValueRef tile_at(EmitModule *m, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef tile_atc(EmitModule *m, LLVMValueRef base, int64_t index);
LLVMValueRef tile_vload(EmitModule *m, LLVMValueRef p);
void tile_vstore(EmitModule *m, LLVMValueRef v, LLVMValueRef p);
/* The same for tensors that may be stored as bf16: index in elements; values are f32. */
LLVMValueRef tile_tat(EmitModule *m, bool bf16, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef tile_tload(EmitModule *m, bool bf16, LLVMValueRef p, int lanes);
void tile_tstore(EmitModule *m, bool bf16, LLVMValueRef v, LLVMValueRef p);

/* acc[i * nb + o] += broadcast(a + aoff[i]) * vector(b + o * bstride), all offsets constant. */
void tile_fma(EmitModule *m, LLVMValueRef *acc, LLVMValueRef a, const int64_t *aoff, int na, LLVMValueRef b,
              int64_t boff, int64_t bstride, int nb);
/* A loop over [0, count) by step; emitted straight when it runs once for sure. */
typedef struct {
  EmitLoop loop;
  bool once;
} TileLoop;
LLVMValueRef tile_loop(EmitModule *m, TileLoop *l, LLVMValueRef count, int64_t step);
/* Carries acc[0..n) through the loop: call right after tile_loop and right before tile_end. */
void tile_carry(EmitModule *m, TileLoop *l, LLVMValueRef *acc, int n);
void tile_end(EmitModule *m, TileLoop *l, LLVMValueRef *acc, int n);

/* Transposes n vectors of n lanes in registers. */
void tile_transpose(EmitModule *m, LLVMValueRef *v, int n);

#endif
