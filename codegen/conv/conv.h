/* Convolution kernels as explicit vector IR. conv_emit() is the only entry the rest of codegen needs; the
   other declarations are shared by the files of this emitter (pack.c: layouts; direct.c: direct
   kernels; lanes.c: groups narrower than a vector; winograd.c: F(4x4,3x3), mend.c: tiles it spoils; tiles.c, few.c: bf16 on the
   processor's tiles). */
#ifndef JEPAC_CODEGEN_CONV_CONV_H
#define JEPAC_CODEGEN_CONV_CONV_H

#include "codegen/emit/matrix.h"
#include "codegen/emit/tile.h"
#include "ir/kernel/conv_geom.h"

/* Emits step `step` of conv_plan(spec, m->target) as function `symbol` with StepFn's signature. */
void conv_emit(EmitModule *m, const ConvSpec *spec, int step, const char *symbol);

/* ---- shared pieces ---- */
/* The source columns a scratch row holds: first scratch column, its source column, how many, and their
   distances. */
typedef struct {
  int64_t first, from, count, src_step, dst_step;
} ConvSpan;
ConvSpan conv_span(const ConvFill *f);
/* Copies blocks [cb0, cb0 + ncb) of one image into scratch (see ConvFill); row0 is the source coordinate of
   scratch row 0. */
void conv_fill(EmitModule *m, const ConvFill *f, LLVMValueRef image, LLVMValueRef cb0, LLVMValueRef ncb,
               LLVMValueRef row0, LLVMValueRef dst);
/* A vector over lanes i of w[(lane0 + i) * stride], zero from `count` lanes on. */
LLVMValueRef conv_lanes(EmitModule *m, bool bf16, LLVMValueRef w, LLVMValueRef lane0, int64_t count,
                        int64_t stride);

/* Row-major results: scratch [image][kb][rows][ow][lane] of a band from phase row row0 on to [k][oh][ow]. */
void conv_unpack(EmitModule *m, const ConvGather *g, LLVMValueRef scratch, LLVMValueRef nimage,
                 LLVMValueRef image0, LLVMValueRef row0, LLVMValueRef kb0, LLVMValueRef nkb,
                 LLVMValueRef result, bool bf16);

/* ---- step bodies ---- */
/* Packs weights w[k][c][tap] -> [kb][cb][tap][c][lane of k] (input gradient: k and c change places), zero
   past the last channel. */
void conv_emit_pack(EmitModule *m, const ConvSpec *s);
/* Sums the partial weight gradients [split][kb][c][t][lane] and stores them as OIHW. */
void conv_emit_sum(EmitModule *m, const ConvSpec *s);
void conv_emit_gather(EmitModule *m, const ConvSpec *s);
void conv_emit_wgrad(EmitModule *m, const ConvSpec *s);
void conv_emit_lanes(EmitModule *m, const ConvSpec *s); /* gather and weight gradient of groups in a vector */
void conv_emit_lanes_wgrad(EmitModule *m, const ConvSpec *s);
void conv_emit_winograd(EmitModule *m, const ConvSpec *s, int step);
void conv_emit_tiles(EmitModule *m, const ConvSpec *s, int step);
void conv_emit_tiles_dw(EmitModule *m, const ConvSpec *s, int step);
void conv_emit_few(EmitModule *m, const ConvSpec *s, int step);

/* `channels` channels of a pixel of bf16, of which `have` are there and the others zeros; blocks of the target's lanes
   lie `apart` elements. */
LLVMValueRef conv_load_pixel(EmitModule *m, LLVMValueRef from, int channels, int64_t have, int64_t apart);

/* A function of the module beside the one under construction: (source, weights, address and pitch of a tile's results,
   image, channel block, row and column of the tile) computes these results again where Winograd spoilt some. */
LLVMValueRef conv_mend(EmitModule *m, const ConvSpec *s, const ConvWino *g);

#endif
