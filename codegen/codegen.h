/* Kernels to native code: LLVM IR through the C API, ORC JIT, object cache. The only folder with LLVM
   headers. Built as a module of its own that the CLI loads when it first compiles, so that `jepac check`
   never loads LLVM. */
#ifndef JEPAC_CODEGEN_H
#define JEPAC_CODEGEN_H

#include "ir/kernel/kernel.h"
#include "runtime/abi.h"

typedef enum { DEBUG_NONE, DEBUG_GDB, DEBUG_PERF } CodegenDebug;

typedef enum { TUNE_OFF, TUNE_FAST, TUNE_FULL } Tune;

typedef struct {
  const char *cache_dir; /* object cache folder, NULL = none */
  Tune tune;             /* off: schedules are those of the cost model */
  int threads;           /* compile in parallel */
  CodegenDebug debug;    /* kernels appear in gdb or perf by name and model line; no cache, no sharing */
} CodegenOptions;

/* Gives p's products and convolutions the schedules that were fastest when measured, now or before. No bit of
   a result depends on it. */
void codegen_tune(Program *p, const CodegenOptions *opt);

typedef struct Code Code; /* owns the machine code a Plan points into */

/* Compiles every kernel of p (equal kernels once) and lays out the plan in arena a. NULL after reporting. */
Code *codegen_jit(const Program *p, const CodegenOptions *opt, Arena *a, Diags *d, Plan **plan);
void codegen_free(Code *c);
/* LLVM IR or assembly of the whole program as text into out. */
Status codegen_text(const Program *p, bool assembly, StrBuf *out, Diags *d);

/* ---- ahead of time (aot.c): a library that needs neither jepac nor LLVM ---- */
typedef struct { /* the value of a state, of the program's type for it */
  const char *name;
  const void *data;
  int64_t bytes;
} AotWeight;
typedef struct {
  const char *prefix;                           /* of its C names and files: an identifier */
  const char *function;                         /* "forward": PREFIX_forward runs the program once */
  const char *title;                            /* where it came from, for comments */
  const char *cpu, *triple;                     /* NULL: this machine's */
  bool object, archive, header, llvm, assembly; /* which files; archive: also pkg-config and CMake files */
  const AotWeight *weight; /* what these states begin with instead of their initial values */
  int nweight;
  const char *
      weights_header; /* they are in a file that begins with this and has them in this order; NULL: in the library */
  size_t weights_header_size;
} AotOptions;
typedef struct {
  const char *name, *data;
  size_t size;
} AotFile;
enum { AOT_FILES = 8 };
/* What the program must be lowered for. ST_USAGE after reporting an unknown CPU or triple. */
Status codegen_aot_target(const AotOptions *opt, Target *t, Diags *d);
/* The files' contents in arena a. */
void codegen_aot(const Program *p, const AotOptions *opt, Arena *a, AotFile file[AOT_FILES], int *n);

typedef struct { /* what the module exports, found with dlsym("codegen_api") */
  void (*tune)(Program *, const CodegenOptions *);
  Code *(*jit)(const Program *, const CodegenOptions *, Arena *, Diags *, Plan **);
  void (*free)(Code *);
  Status (*text)(const Program *, bool, StrBuf *, Diags *);
  Status (*aot_target)(const AotOptions *, Target *, Diags *);
  void (*aot)(const Program *, const AotOptions *, Arena *, AotFile *, int *);
  /* For a program whose process is its own, before anything else: LLVM compiles faster, by options that hold for
     the whole process (codegen/emit/emit.h). */
  void (*own_process)(void);
} CodegenApi;

#endif
