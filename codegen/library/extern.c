/* Calls of users' functions: through the runtime, or direct ones in libraries that stand alone. */
#include "codegen/emit/kind.h"
#include "runtime/extern.h"

static StepFn resolve(const Kernel *k, Diags *d) {
  char err[512];
  ExternFn f = extern_resolve(k->ext.fn.library, k->ext.fn.symbol, err, sizeof err);
  if (!f) diag_error(d, k->loc, "%s", err);
  return (StepFn)f; /* its step function has the same type of pointer */
}

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)p, (void)operand;
  ExternParam *e = NEW(a, ExternParam);
  *e = (ExternParam){(ExternFn)st->fn, k->nbuf, k->ext.result};
  st->fn = step_extern;
  st->param = e;
}

/* The program that uses the library links the function's. */
static void emit_alone(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const Shape *result = &k->ext.result;
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
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, k->ext.fn.symbol);
  if (!fn) fn = LLVMAddFunction(m->mod, k->ext.fn.symbol, fn_type);
  LLVMBuildCall2(m->b, fn_type, fn, arg, (unsigned)n, "");
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_extern = {.step = step, .resolve = resolve, .emit_alone = emit_alone};
