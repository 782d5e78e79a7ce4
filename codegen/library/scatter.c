/* Scatter: a function of the runtime, or generated code for libraries that stand alone. */
#include "codegen/emit/kind.h"
#include "runtime/scatter.h"

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)p, (void)operand;
  const ScatterSpec *s = &k->scatter;
  ScatterParam *g = NEW(a, ScatterParam);
  *g = (ScatterParam){s->dt, s->idx_dt, s->outer, s->extent, s->inner, s->nidx, SCATTER_BLOCK, st->nchunk};
  st->fn = step_scatter_add;
  st->param = g;
}

static void emit_alone(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const ScatterSpec *s = &k->scatter;
  em_function(m, symbol);
  LLVMTypeRef t = em_type(m, s->dt), ti = em_type(m, s->idx_dt);
  unsigned size = (unsigned)dtype_size(s->dt);
  LLVMValueRef idx = em_operand(m, 0), upd = em_operand(m, 1), out = em_operand(m, 2);
  EmitLoop z, lo, lj, li;
  LLVMValueRef i = em_loop_begin(m, &z, em_i64(m, 0), em_i64(m, s->outer * s->extent * s->inner), 1);
  em_store(m, LLVMConstNull(t), em_gep(m, t, out, i), size);
  em_loop_end(m, &z);
  LLVMValueRef o = em_loop_begin(m, &lo, em_i64(m, 0), em_i64(m, s->outer), 1);
  LLVMValueRef j = em_loop_begin(m, &lj, em_i64(m, 0), em_i64(m, s->nidx), 1);
  LLVMValueRef at = em_load(m, ti, em_gep(m, ti, idx, j), (unsigned)dtype_size(s->idx_dt));
  if (ti != m->i64) at = LLVMBuildSExt(m->b, at, m->i64, "");
  at = em_imin(m, em_binary(m, "llvm.smax", at, em_i64(m, 0)), em_i64(m, s->extent - 1));
  LLVMValueRef to = em_imulc(m, em_iadd(m, em_imulc(m, o, s->extent), at), s->inner);
  LLVMValueRef from = em_imulc(m, em_iadd(m, em_imulc(m, o, s->nidx), j), s->inner);
  i = em_loop_begin(m, &li, em_i64(m, 0), em_i64(m, s->inner), 1);
  LLVMValueRef sum = em_gep(m, t, out, em_iadd(m, to, i)), q = em_gep(m, t, upd, em_iadd(m, from, i));
  LLVMValueRef x = em_load(m, t, sum, size), y = em_load(m, t, q, size);
  em_store(m, dtype_is_float(s->dt) ? em_fadd(m, x, y) : LLVMBuildAdd(m->b, x, y, ""), sum, size);
  em_loop_end(m, &li);
  em_loop_end(m, &lj);
  em_loop_end(m, &lo);
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_scatter = {.step = step, .emit_alone = emit_alone};
