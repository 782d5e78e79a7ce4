/* Kernels to native code: LLVM IR through the C API, ORC JIT, object cache. The only folder with LLVM headers. Built as a module of
   its own that the CLI loads when it first compiles, so that `jepac check` never loads LLVM. */
#ifndef JEPAC_CODEGEN_H
#define JEPAC_CODEGEN_H

#include "ir/kernel.h"
#include "runtime/abi.h"

typedef struct {
  const char *cache_dir; /* object cache folder, NULL = none */
  int threads;           /* compile in parallel */
  bool check_bounds;     /* every access is checked against its buffer; failures abort with the kernel's name */
} CodegenOptions;

typedef struct Code Code; /* owns the machine code a Plan points into */

/* Compiles every kernel of p (equal kernels once) and lays out the plan in arena a. NULL after reporting. */
Code *codegen_jit(const Program *p, const CodegenOptions *opt, Arena *a, Diags *d, Plan **plan);
void codegen_free(Code *c);
/* LLVM IR or assembly of the whole program as text into out. */
Status codegen_text(const Program *p, bool assembly, StrBuf *out, Diags *d);

typedef struct {         /* what the module exports, found with dlsym("codegen_api") */
  Code *(*jit)(const Program *, const CodegenOptions *, Arena *, Diags *, Plan **);
  void (*free)(Code *);
  Status (*text)(const Program *, bool, StrBuf *, Diags *);
} CodegenApi;

#endif
