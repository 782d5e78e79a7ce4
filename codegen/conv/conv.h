/* Convolution kernels as explicit vector IR. conv_emit() is the only entry the rest of codegen needs; the
   other declarations are shared by the files of this emitter (pack.c: layouts; direct.c: direct
   kernels; winograd.c: F(4x4,3x3)). */
#ifndef JEPAC_CODEGEN_CONV_CONV_H
#define JEPAC_CODEGEN_CONV_CONV_H

#include "codegen/emit/emit.h"
#include "ir/kernel/conv_geom.h"

/* Emits step `step` of the plan as function `symbol` with StepFn's signature. */
void conv_emit(EmitModule *m, const ConvPlan *plan, int step, const char *symbol);

/* ---- shared pieces ---- */
enum { CONV_MAX_TILE = 64 };

/* Index arithmetic in floats: base + (constant | value). */
LLVMValueRef conv_at(EmitModule *m, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef conv_atc(EmitModule *m, LLVMValueRef base, int64_t index);
LLVMValueRef conv_vload(EmitModule *m, LLVMValueRef p);
void conv_vstore(EmitModule *m, LLVMValueRef v, LLVMValueRef p);
/* The same for tensors that may be stored as bf16: index in elements; values are f32. */
LLVMValueRef conv_tat(EmitModule *m, bool bf16, LLVMValueRef base, LLVMValueRef index);
LLVMValueRef conv_tload(EmitModule *m, bool bf16, LLVMValueRef p, int lanes);
void conv_tstore(EmitModule *m, bool bf16, LLVMValueRef v, LLVMValueRef p);

/* acc[i * nb + o] += broadcast(a + aoff[i]) * vector(b + o * bstride), all offsets constant. */
void conv_fma_tile(EmitModule *m, LLVMValueRef *acc, LLVMValueRef a, const int64_t *aoff, int na,
                   LLVMValueRef b, int64_t boff, int64_t bstride, int nb);
/* A loop over [0, count) by step; emitted straight when it runs once for sure. */
typedef struct {
  EmitLoop loop;
  bool once;
} ConvLoop;
LLVMValueRef conv_loop(EmitModule *m, ConvLoop *l, LLVMValueRef count, int64_t step);
/* Carries acc[0..n) through the loop: call right after conv_loop and right before conv_end. */
void conv_carry(EmitModule *m, ConvLoop *l, LLVMValueRef *acc, int n);
void conv_end(EmitModule *m, ConvLoop *l, LLVMValueRef *acc, int n);

/* Copies blocks [cb0, cb0 + ncb) of one image into scratch (see ConvFill); row0 is the source coordinate of
 * scratch row 0. */
void conv_fill(EmitModule *m, const ConvFill *f, LLVMValueRef image, LLVMValueRef cb0, LLVMValueRef ncb,
               LLVMValueRef row0, LLVMValueRef dst);
/* Transposes n vectors of n lanes in registers. */
void conv_transpose(EmitModule *m, LLVMValueRef *v, int n);

/* A vector over lanes i of w[(lane0 + i) * stride], zero from `count` lanes on. */
LLVMValueRef conv_lanes(EmitModule *m, bool bf16, LLVMValueRef w, LLVMValueRef lane0, int64_t count,
                        int64_t stride);

/* ---- step bodies ---- */
/* Packs weights w[k][c][tap] -> [kb][cb][tap][c][lane of k] (input gradient: k and c change places), zero
   past the last channel. */
void conv_emit_pack(EmitModule *m, const ConvPlan *plan);
/* Sums the partial weight gradients [split][kb][c][t][lane] and stores them as OIHW. */
void conv_emit_sum(EmitModule *m, const ConvPlan *plan);
void conv_emit_gather(EmitModule *m, const ConvPlan *plan);
void conv_emit_wgrad(EmitModule *m, const ConvPlan *plan);
void conv_emit_winograd(EmitModule *m, const ConvPlan *plan, int step);

#endif
