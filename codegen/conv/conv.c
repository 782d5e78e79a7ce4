/* Convolutions: which emitter a step has, and their row in the table of kinds. */
#include "codegen/conv/conv.h"
#include "codegen/emit/kind.h"

void conv_emit(EmitModule *m, const ConvSpec *spec, int step, const char *symbol) {
  ConvSpec resolved = conv_resolve(spec, m->target), *s = &resolved;
  em_function(m, symbol);
  m->narrow = conv_narrow(s);
  /* Vectors spilled to a stack that is aligned to 16 bytes only would straddle cache lines. */
  LLVMAddAttributeAtIndex(m->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateStringAttribute(m->cx, "stackrealign", 12, "", 0));
  bool lanes = conv_groups(s, m->vl).lanes;
  if (s->algo == CONV_TILES && conv_is_few(s)) conv_emit_few(m, s, step);
  else if (s->algo == CONV_TILES) (s->kind == CONV_DW ? conv_emit_tiles_dw : conv_emit_tiles)(m, s, step);
  else if (s->algo == CONV_WINOGRAD) conv_emit_winograd(m, s, step);
  else if (s->kind == CONV_DW) (step ? conv_emit_sum : lanes ? conv_emit_lanes_wgrad : conv_emit_wgrad)(m, s);
  else (!step ? conv_emit_pack : lanes ? conv_emit_lanes : conv_emit_gather)(m, s);
  LLVMBuildRetVoid(m->b);
}

static void emit(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  conv_emit(m, &k->conv, k->step, symbol);
}

/* Code that packs or transforms weights, and code for chunks of so many images, is the same for any number of
   images: student and teacher share it. */
static void share(const Program *p, Kernel *k) {
  ContractionPlan own;
  const ContractionStep *st = &kernel_plan(p, k, &own)->step[k->step];
  ConvSpec *s = &k->conv;
  if (st->nin == 1 && st->in[0] == CO_W) s->n = s->images = s->choice = 0;
  if (s->images && st->flops > 0) s->n = 0;
}

const CodegenKind codegen_conv = {.emit = emit, .share = share};
