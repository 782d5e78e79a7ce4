/* The code generator's entry points (codegen.h): JIT compilation to a plan, and the program as LLVM IR or
   assembly text. */
#include "codegen/codegen.h"
#include "codegen/emit/kind.h"
#include "codegen/jit/jit.h"

#include <string.h>

/* fn[k]: what comes from outside the program, for plan_build. */
static bool resolve(const Program *p, Diags *d, StepFn *fn) {
  for (int k = 0; k < p->kernel.n; k++) {
    const CodegenKind *row = codegen_kind(&p->kernel.v[k]);
    if (row->resolve && !(fn[k] = row->resolve(&p->kernel.v[k], d))) return false;
  }
  return true;
}

Code *codegen_jit(const Program *p, const CodegenOptions *opt, Arena *a, Diags *d, Plan **plan) {
  StepFn *fn = NEWN(a, StepFn, p->kernel.n + 1);
  Code *c = jit_program(p, opt, d, fn);
  if (c && !resolve(p, d, fn)) {
    codegen_free(c);
    return NULL;
  }
  if (c) *plan = plan_build(p, a, fn);
  codegen_trim();
  return c;
}

static void put_module(EmitModule *m, LLVMTargetMachineRef tm, bool assembly, StrBuf *out) {
  if (!assembly) {
    char *ir = LLVMPrintModuleToString(m->mod);
    sb_put(out, ir, strlen(ir));
    LLVMDisposeMessage(ir);
    return;
  }
  LLVMMemoryBufferRef text;
  char *error = NULL;
  if (LLVMTargetMachineEmitToMemoryBuffer(tm, m->mod, LLVMAssemblyFile, &error, &text))
    bug("LLVM: %s", error);
  sb_put(out, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
  LLVMDisposeMemoryBuffer(text);
}

Status codegen_text(const Program *p, bool assembly, StrBuf *out, Diags *d) {
  (void)d;
  Arena *a = arena_new();
  LLVMTargetMachineRef tm = em_target_machine(&p->target);
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    const char *name = kernel_name(p, at, a), *comment = assembly ? "#" : ";";
    const char *file = k->loc && k->loc->src ? k->loc->src->path : "";
    sb_printf(out, "%s %s  %s:%d%s\n", comment, name, file, k->loc ? k->loc->line : 0,
              k->role == ROLE_GRADIENT ? "'" : "");
    if (!codegen_kind(k)->emit) {
      sb_printf(out, "%s library call\n\n", comment);
      continue;
    }
    EmitModule m;
    em_open(&m, &p->target, tm, name);
    codegen_kind(k)->emit(&m, p, k, name);
    put_module(&m, tm, assembly, out);
    em_close(&m);
    sb_put(out, "\n", 1);
  }
  LLVMDisposeTargetMachine(tm);
  arena_free(a);
  return ST_OK;
}

extern const CodegenApi codegen_api;
const CodegenApi codegen_api = {codegen_tune,       codegen_jit, codegen_free,  codegen_text,
                                codegen_aot_target, codegen_aot, em_own_process};
