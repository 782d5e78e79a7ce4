/* Scatter: a function of the runtime, or generated code for libraries that stand alone. */
#include "codegen/emit/kind.h"
#include "runtime/scatter.h"

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)p, (void)operand;
  const ScatterSpec *s = &k->scatter;
  ScatterParam *g = NEW(a, ScatterParam);
  *g = (ScatterParam){s->dt,   s->idx_dt,     s->outer,   s->extent, s->inner,
                      s->nidx, SCATTER_BLOCK, st->nchunk, s->join};
  st->fn = step_scatter;
  st->param = g;
}

/* The extreme of x and y; a NaN stays. */
static LLVMValueRef extreme(EmitModule *m, const ScatterSpec *s, LLVMValueRef x, LLVMValueRef y) {
  bool max = s->join == SCATTER_MAX;
  LLVMValueRef a = max ? y : x, b = max ? x : y, stays;
  if (dtype_is_float(s->dt))
    stays = LLVMBuildOr(m->b, LLVMBuildFCmp(m->b, LLVMRealUNO, x, x, ""),
                        LLVMBuildFCmp(m->b, LLVMRealOLT, a, b, ""), "");
  else stays = LLVMBuildICmp(m->b, dtype_is_unsigned(s->dt) ? LLVMIntULT : LLVMIntSLT, a, b, "");
  return LLVMBuildSelect(m->b, stays, x, y, "");
}

static LLVMValueRef joined(EmitModule *m, const ScatterSpec *s, LLVMValueRef x, LLVMValueRef y) {
  bool real = dtype_is_float(s->dt);
  switch (s->join) {
  case SCATTER_ADD: return real ? em_fadd(m, x, y) : LLVMBuildAdd(m->b, x, y, "");
  case SCATTER_MUL: return real ? em_fmul(m, x, y) : LLVMBuildMul(m->b, x, y, "");
  case SCATTER_SET: return y;
  default: return extreme(m, s, x, y);
  }
}

static void emit_alone(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const ScatterSpec *s = &k->scatter;
  em_function(m, symbol);
  LLVMTypeRef t = em_type(m, s->dt), ti = em_type(m, s->idx_dt);
  unsigned size = (unsigned)dtype_size(s->dt);
  bool zero = s->join == SCATTER_ADD;
  LLVMValueRef idx = em_operand(m, 0), upd = em_operand(m, 1), was = zero ? NULL : em_operand(m, 2),
               out = em_operand(m, zero ? 2 : 3);
  EmitLoop z, lo, lj, li;
  LLVMValueRef i = em_loop_begin(m, &z, em_i64(m, 0), em_i64(m, s->outer * s->extent * s->inner), 1);
  em_store(m, zero ? LLVMConstNull(t) : em_load(m, t, em_gep(m, t, was, i), size), em_gep(m, t, out, i),
           size);
  em_loop_end(m, &z);
  LLVMValueRef o = em_loop_begin(m, &lo, em_i64(m, 0), em_i64(m, s->outer), 1);
  LLVMValueRef j = em_loop_begin(m, &lj, em_i64(m, 0), em_i64(m, s->nidx), 1);
  LLVMValueRef at = em_load(m, ti, em_gep(m, ti, idx, j), (unsigned)dtype_size(s->idx_dt));
  if (ti != m->i64) at = LLVMBuildSExt(m->b, at, m->i64, "");
  at = em_imin(m, em_binary(m, "llvm.smax", at, em_i64(m, 0)), em_i64(m, s->extent - 1));
  LLVMValueRef to = em_imulc(m, em_iadd(m, em_imulc(m, o, s->extent), at), s->inner);
  LLVMValueRef from = em_imulc(m, em_iadd(m, em_imulc(m, o, s->nidx), j), s->inner);
  i = em_loop_begin(m, &li, em_i64(m, 0), em_i64(m, s->inner), 1);
  LLVMValueRef place = em_gep(m, t, out, em_iadd(m, to, i)), q = em_gep(m, t, upd, em_iadd(m, from, i));
  em_store(m, joined(m, s, em_load(m, t, place, size), em_load(m, t, q, size)), place, size);
  em_loop_end(m, &li);
  em_loop_end(m, &lj);
  em_loop_end(m, &lo);
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_scatter = {.step = step, .emit_alone = emit_alone};
