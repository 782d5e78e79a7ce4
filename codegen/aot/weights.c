/* Given weights: constants of the library, which init copies; or a file beside it, which PREFIX_load reads into an arena.
   That file is a safetensors file whose header is known when compiling, so reading it is comparing. */
#include "codegen/aot/aot.h"

#include <string.h>

const AotWeight *aot_weight(const Aot *a, const char *name) {
  for (int i = 0; i < a->opt->nweight; i++)
    if (!strcmp(a->opt->weight[i].name, name)) return &a->opt->weight[i];
  return NULL;
}

static const PlanTensor *state_of(const Aot *a, const AotWeight *w) {
  for (int i = 0; i < a->plan->ntensor; i++) {
    const PlanTensor *t = &a->plan->tensor[i];
    if (t->kind != PT_STATE || strcmp(t->name, w->name)) continue;
    if (w->bytes != shape_count(&t->shape) * dtype_size(t->dt)) bug("weights %s: wrong size", w->name);
    return t;
  }
  bug("weights of no state: %s", w->name);
}

static LLVMValueRef constant(EmitModule *m, const char *name, LLVMValueRef value, unsigned align) {
  LLVMValueRef g = LLVMAddGlobal(m->mod, LLVMTypeOf(value), name);
  LLVMSetInitializer(g, value);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  LLVMSetAlignment(g, align);
  return g;
}

static LLVMValueRef bytes_of(EmitModule *m, const char *name, const void *data, int64_t n) {
  return constant(m, name, LLVMConstStringInContext2(m->cx, data, (size_t)n, 1), TENSOR_ALIGN);
}

bool aot_emit_weight(Aot *a, const PlanTensor *t, LLVMValueRef to) {
  const AotWeight *w = a->opt->weights_header ? NULL : aot_weight(a, t->name);
  if (!w) return false;
  EmitModule *m = &a->m;
  (void)state_of(a, w);
  LLVMBuildMemCpy(m->b, to, TENSOR_ALIGN, bytes_of(m, "weights", w->data, w->bytes), TENSOR_ALIGN,
                  em_i64(m, w->bytes));
  return true;
}

/* ---- the file beside the library ---- */
enum { FROM_START, FROM_END = 2 }; /* fseek's third argument on Linux */

static LLVMValueRef outside(EmitModule *m, const char *name, LLVMTypeRef ret, LLVMTypeRef *params,
                            LLVMValueRef *args, unsigned n) {
  LLVMTypeRef type = LLVMFunctionType(ret, params, n, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, name);
  if (!fn) fn = LLVMAddFunction(m->mod, name, type);
  return LLVMBuildCall2(m->b, type, fn, args, n, "");
}

static LLVMValueRef seek(EmitModule *m, LLVMValueRef file, int whence) {
  return outside(m, "fseek", m->i32, (LLVMTypeRef[]){m->ptr, m->i64, m->i32},
                 (LLVMValueRef[]){file, em_i64(m, 0), em_i32(m, whence)}, 3);
}

/* Bits that differ are collected in *wrong, so that loops have one way out. */
static void collect(EmitModule *m, LLVMValueRef wrong, LLVMValueRef x, LLVMValueRef y) {
  LLVMValueRef old = em_load(m, m->i64, wrong, 8);
  em_store(m, LLVMBuildOr(m->b, old, LLVMBuildXor(m->b, x, y, ""), ""), wrong, 8);
}

static void return_if_wrong(Aot *a, LLVMValueRef wrong) {
  EmitModule *m = &a->m;
  LLVMValueRef bits = em_load(m, m->i64, wrong, 8);
  aot_emit_return_if(a, LLVMBuildICmp(m->b, LLVMIntNE, bits, em_i64(m, 0), ""), AOT_BAD_FILE);
}

static void read_header(Aot *a, LLVMValueRef file, LLVMValueRef wrong) {
  EmitModule *m = &a->m;
  const AotOptions *o = a->opt;
  LLVMValueRef want = bytes_of(m, "weights_header", o->weights_header, (int64_t)o->weights_header_size);
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, (int64_t)o->weights_header_size), 1);
  LLVMValueRef c = outside(m, "fgetc", m->i32, &m->ptr, &file, 1);
  LLVMValueRef byte = em_load(m, m->i8, em_gep(m, m->i8, want, i), 1);
  collect(m, wrong, LLVMBuildSExt(m->b, c, m->i64, ""), LLVMBuildZExt(m->b, byte, m->i64, ""));
  em_loop_end(m, &l);
}

static void read_tensors(Aot *a, LLVMValueRef arena, LLVMValueRef file, LLVMValueRef wrong) {
  EmitModule *m = &a->m;
  int n = a->opt->nweight;
  LLVMTypeRef pair = LLVMArrayType2(m->i64, 2);
  LLVMValueRef *row = NEWN(a->a, LLVMValueRef, n + 1);
  for (int i = 0; i < n; i++) {
    const AotWeight *w = &a->opt->weight[i];
    row[i] =
        LLVMConstArray2(m->i64, (LLVMValueRef[]){em_i64(m, state_of(a, w)->offset), em_i64(m, w->bytes)}, 2);
  }
  LLVMValueRef table = constant(m, "weights_places", LLVMConstArray2(pair, row, (uint64_t)n), 8);
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, n), 1);
  LLVMValueRef at = em_gep(m, pair, table, i), place = em_load(m, m->i64, at, 8);
  LLVMValueRef bytes = em_load(m, m->i64, em_gep(m, m->i64, at, em_i64(m, 1)), 8);
  LLVMValueRef got = outside(m, "fread", m->i64, (LLVMTypeRef[]){m->ptr, m->i64, m->i64, m->ptr},
                             (LLVMValueRef[]){em_gep(m, m->i8, arena, place), em_i64(m, 1), bytes, file}, 4);
  collect(m, wrong, got, bytes);
  em_loop_end(m, &l);
}

static LLVMValueRef reader(Aot *a) {
  EmitModule *m = &a->m;
  LLVMTypeRef params[] = {m->ptr, m->ptr};
  LLVMValueRef fn = em_helper(m, "read_weights", m->i32, params, 2);
  LLVMValueRef arena = LLVMGetParam(fn, 0), file = LLVMGetParam(fn, 1);
  LLVMValueRef wrong = LLVMBuildAlloca(m->b, m->i64, "");
  int64_t size = (int64_t)a->opt->weights_header_size;
  for (int i = 0; i < a->opt->nweight; i++) size += a->opt->weight[i].bytes;
  em_store(m, em_i64(m, 0), wrong, 8);
  LLVMValueRef moved = seek(m, file, FROM_END), end = outside(m, "ftell", m->i64, &m->ptr, &file, 1);
  collect(m, wrong, LLVMBuildSExt(m->b, moved, m->i64, ""), em_i64(m, 0));
  collect(m, wrong, end, em_i64(m, size));
  return_if_wrong(a, wrong);
  collect(m, wrong, LLVMBuildSExt(m->b, seek(m, file, FROM_START), m->i64, ""), em_i64(m, 0));
  read_header(a, file, wrong);
  return_if_wrong(a, wrong); /* and nothing in the arena has changed */
  read_tensors(a, arena, file, wrong);
  return_if_wrong(a, wrong);
  aot_emit_copies(a, arena);
  LLVMBuildRet(m->b, em_i32(m, AOT_OK));
  return fn;
}

void aot_emit_load(Aot *a) {
  EmitModule *m = &a->m;
  if (!a->opt->weights_header) return;
  LLVMValueRef read = reader(a);
  LLVMTypeRef params[] = {m->ptr, m->ptr};
  LLVMValueRef load = em_helper(m, arena_printf(a->a, "%s_load", a->opt->prefix), m->i32, params, 2);
  LLVMSetLinkage(load, LLVMExternalLinkage);
  LLVMValueRef arena = LLVMGetParam(load, 0);
  aot_emit_arena_check(a, arena);
  LLVMValueRef none = LLVMBuildICmp(m->b, LLVMIntEQ, LLVMGetParam(load, 1), LLVMConstNull(m->ptr), "");
  aot_emit_return_if(a, none, AOT_NO_FILE);
  LLVMValueRef mode = LLVMBuildGlobalString(m->b, "rb", "mode");
  LLVMSetLinkage(mode, LLVMInternalLinkage);
  LLVMValueRef file = outside(m, "fopen", m->ptr, params, (LLVMValueRef[]){LLVMGetParam(load, 1), mode}, 2);
  aot_emit_return_if(a, LLVMBuildICmp(m->b, LLVMIntEQ, file, LLVMConstNull(m->ptr), ""), AOT_NO_FILE);
  LLVMValueRef args[] = {arena, file};
  LLVMValueRef code = LLVMBuildCall2(m->b, LLVMGlobalGetValueType(read), read, args, 2, "");
  outside(m, "fclose", m->i32, &m->ptr, &file, 1);
  LLVMBuildRet(m->b, code);
}
