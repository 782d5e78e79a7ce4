/* The runtime's library steps as generated code, for libraries that stand alone: scatter and extern calls. */
#include "codegen/aot/aot.h"

void aot_emit_scatter(EmitModule *m, const ScatterSpec *s, const char *symbol) {
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
  LLVMValueRef p = em_gep(m, t, out, em_iadd(m, to, i)), q = em_gep(m, t, upd, em_iadd(m, from, i));
  LLVMValueRef x = em_load(m, t, p, size), y = em_load(m, t, q, size);
  em_store(m, dtype_is_float(s->dt) ? em_fadd(m, x, y) : LLVMBuildAdd(m->b, x, y, ""), p, size);
  em_loop_end(m, &li);
  em_loop_end(m, &lj);
  em_loop_end(m, &lo);
  LLVMBuildRetVoid(m->b);
}

void aot_emit_extern(EmitModule *m, const Kernel *k, const Shape *result, const char *symbol) {
  enum { MOST = 80 };
  LLVMTypeRef type[MOST];
  LLVMValueRef arg[MOST];
  int n = k->nbuf + result->rank;
  if (n > MOST) bug("an extern with %d arguments", n);
  em_function(m, symbol);
  for (int i = 0; i < n; i++) {
    bool pointer = i < k->nbuf;
    type[i] = pointer ? m->ptr : m->i64;
    arg[i] = pointer ? em_operand(m, i) : em_i64(m, result->dim[i - k->nbuf]);
  }
  LLVMTypeRef fn_type = LLVMFunctionType(m->none, type, (unsigned)n, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, k->ext->symbol);
  if (!fn) fn = LLVMAddFunction(m->mod, k->ext->symbol, fn_type);
  LLVMBuildCall2(m->b, fn_type, fn, arg, (unsigned)n, "");
  LLVMBuildRetVoid(m->b);
}
