/* Steps between ranks: a function of the runtime. A library that stands alone is one process. */
#include "codegen/emit/kind.h"
#include "runtime/ranks.h"

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)p, (void)operand;
  const CollectiveSpec *s = &k->collective;
  CollectiveParam *c = NEW(a, CollectiveParam);
  *c = (CollectiveParam){s->what, s->dt, s->outer, s->inner, s->ranks};
  st->fn = step_collective;
  st->param = c;
  st->ranks = true;
}

/* As the runtime does for a process by itself: it stands for all ranks. */
static void emit_alone(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const CollectiveSpec *s = &k->collective;
  LLVMTypeRef t = em_type(m, s->dt);
  unsigned size = (unsigned)dtype_size(s->dt);
  bool adds = s->what < COLLECTIVE_MAX || s->what == COLLECTIVE_SCATTER, real = dtype_is_float(s->dt);
  int64_t from = s->what == COLLECTIVE_SCATTER || s->what == COLLECTIVE_PART ? s->ranks * s->inner : s->inner;
  int64_t times = s->what == COLLECTIVE_GATHER ? s->ranks : 1;
  em_function(m, symbol);
  LLVMValueRef x = em_operand(m, 0), out = em_operand(m, k->nbuf - 1);
  EmitLoop lo, lr, li;
  LLVMValueRef o = em_loop_begin(m, &lo, em_i64(m, 0), em_i64(m, s->outer), 1);
  LLVMValueRef r = em_loop_begin(m, &lr, em_i64(m, 0), em_i64(m, times), 1);
  LLVMValueRef i = em_loop_begin(m, &li, em_i64(m, 0), em_i64(m, s->inner), 1);
  LLVMValueRef one = em_load(m, t, em_gep(m, t, x, em_iadd(m, em_imulc(m, o, from), i)), size), v = one;
  RankTree tree = rank_tree(s->ranks);
  for (int l = 0; l < tree.levels && adds; l++, one = v)
    for (int k2 = 1; k2 < tree.size[l]; k2++) v = real ? em_fadd(m, v, one) : LLVMBuildAdd(m->b, v, one, "");
  if (s->what == COLLECTIVE_MEAN) v = LLVMBuildFDiv(m->b, v, LLVMConstReal(t, (double)s->ranks), "");
  LLVMValueRef row = em_iadd(m, em_imulc(m, o, times), r);
  em_store(m, v, em_gep(m, t, out, em_iadd(m, em_imulc(m, row, s->inner), i)), size);
  em_loop_end(m, &li);
  em_loop_end(m, &lr);
  em_loop_end(m, &lo);
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_collective = {.step = step, .emit_alone = emit_alone};
