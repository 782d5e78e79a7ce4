/* Convolution as a sequence of compiled steps: geometry and the deterministic choice of algorithm, block
   sizes, chunk counts and temporary sizes. Passes plan with it, codegen emits from it; no LLVM here. */
#ifndef JEPAC_IR_KERNEL_CONV_PLAN_H
#define JEPAC_IR_KERNEL_CONV_PLAN_H

#include "ir/kernel/contraction.h"
#include "ir/target.h"
#include "ir/type.h"

typedef enum { CONV_FWD, CONV_DX, CONV_DW } ConvKind;
/* CONV_TILES: bf16 on the processor's tiles, chosen where nothing else is asked for. */
typedef enum { CONV_AUTO, CONV_DIRECT, CONV_WINOGRAD, CONV_TILES, CONV_ALGOS } ConvAlgo;

/* Always the forward geometry x[n,c,h,w] * w[k,c/groups,kh,kw] -> y[n,k,oh,ow]. Weights and weight gradients
   are row-major OIHW. Padding behind the image is what the extents say. */
typedef struct {
  ConvKind kind;
  ConvAlgo algo; /* asked for; conv_resolve() */
  int64_t n, c, h, w, k, oh, ow, kh, kw;
  int64_t stride[2], pad[2], dilation[2], groups;
  int xblock, yblock; /* channel block of the x-shaped and the y-shaped tensor: 0 = row-major NCHW, else
                         target lanes */
  /* Stored as bf16, or f16; arithmetic and temporaries are f32. A weight gradient never is. */
  bool xbf16, wbf16, ybf16, f16;
  /* Images a chunk of the main step reads and writes: chunk i those from i * images on. 0 = the planner's
     choice. Only where conv_can_chunk_images(). Sets chunks and scratch of the main step, no other step, no
     temporary, no bit of the results, so that it may be set after lowering. */
  int64_t images;
  int64_t choice; /* of schedule; like images it may be set after lowering */
} ConvSpec;

static inline DType conv_narrow(const ConvSpec *s) { return s->f16 ? DT_F16 : DT_BF16; }

/* The spec that is planned for: its algorithm chosen; images 0 where a request for them cannot be honoured. */
ConvSpec conv_resolve(const ConvSpec *spec, const Target *target);
/* Steps "pack", "main", "sum" ... FWD: X, W -> Y. DX: Y (the incoming gradient), W -> X. DW: X, Y -> W.
   Temporaries are packed or transformed weights, partial sums. */
ContractionPlan conv_plan(const ConvSpec *spec, const Target *target);
/* Whether the main step can run in chunks of whole images (spec->images, when set, divides the batch). */
bool conv_can_chunk_images(const ConvSpec *spec, const Target *target);

/* What a choice decides. */
void conv_decide(const void *spec, const Target *t, int64_t choice, int64_t decided[CHOICE_NUMBERS]);

/* Rows or columns of zeros behind the image along dimension d; negative where the last ones are not read. */
static inline int64_t conv_pad_end(const ConvSpec *s, int d) {
  int64_t size = d ? s->w : s->h, count = d ? s->ow : s->oh, k = d ? s->kw : s->kh;
  return (count - 1) * s->stride[d] + (k - 1) * s->dilation[d] + 1 - size - s->pad[d];
}
/* Behind as before, as far as the stride lets one tell. */
static inline bool conv_pad_even(const ConvSpec *s, int d) {
  int64_t rest = s->pad[d] - conv_pad_end(s, d);
  return rest >= 0 && rest < s->stride[d];
}

#endif
