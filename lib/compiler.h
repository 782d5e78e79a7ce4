/* From a model file to a session that runs: frontend -> pipeline -> codegen -> session. The C interface
   (include/jepac.h) and the commands (cli/) go this one way. Compilers share nothing: any number may work at
   the same time on different threads. */
#ifndef JEPAC_LIB_COMPILER_H
#define JEPAC_LIB_COMPILER_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/exec.h"
#include "runtime/safetensors.h"

typedef struct {
  Arena *arena; /* models, graphs, programs and plans live here */
  Diags *diags;
  const NameValue *set;
  int nset;
  const char *models_dir;        /* where `use` looks after the file's own folder; NULL: compiler_models */
  const char *cache_dir;         /* machine code is kept here; NULL: nowhere */
  int threads;                   /* 0: one for each CPU */
  int ranks;                     /* > 1: training steps are shared by so many processes */
  bool spread;                   /* ... which keep optimizer state and averages in parts */
  const Target *target;          /* NULL: this machine */
  bool use_anywhere, run_extern; /* FrontendOptions; without the second no graph with an extern is run */
  PipelineOptions pipeline;
  DType
      precision; /* DT_F32, DT_BF16, DT_F16 (pipeline.precision); DT_NONE: the graph's, which is its recipe's */
  CodegenDebug debug;
  Tune tune;
  const CodegenApi *codegen;               /* NULL: compiler_codegen finds it */
  void (*seen)(void *ctx, const Graph *g); /* shown each graph before its passes; NULL: nobody looks */
  void *seen_ctx;
} Compiler;

/* The folder of the models that came with this program or library, found beside it: holds "nn/...". NULL:
   none. */
const char *compiler_models(Arena *a);

/* Where a module that is loaded lies, beside the program or library; where it should be when there is none. */
const char *compiler_beside(Arena *a, const char *module);

/* text NULL: the file's. Known shapes bind dimensions. */
Status compiler_load(Compiler *c, const char *path, const char *text, const KnownShape *known, int nknown,
                     Model **m);
/* The graph of an entry (NULL: the first); "train_step" is the optimizer step on the main entry's own
   arguments. */
Status compiler_entry(Compiler *c, Model *m, const char *entry, bool train, bool grad, const Graph **g);
/* Graph passes up to stop_after (NULL: all), or only those the interpreter needs. NULL after reporting. */
Graph *compiler_passes(Compiler *c, const Graph *g, const char *stop_after);
Graph *compiler_expand(Compiler *c, const Graph *g);
/* Kernels with a planned arena. */
Status compiler_lower(Compiler *c, const Graph *g, Program **p);
/* p again with every kernel by itself, so that each result is in the arena when it has run: chains keep some in
   scratch (passes/lower/chain.c). Same bits. */
Status compiler_alone(Compiler *c, const Program *p, Program **alone);
/* The text that lowering pass stop_after leaves. */
Status compiler_lower_text(Compiler *c, const Graph *g, const char *stop_after, StrBuf *out);
/* ST_USAGE after reporting where the graph calls functions of a library and nobody has allowed that. */
Status compiler_may_run(Compiler *c, const Graph *g);
/* The rest of lowering, up to stop_after (NULL: all), of a program read from a dump. */
Status compiler_resume(Compiler *c, Program *p, const char *stop_after);
/* The code generator, from its module at the first call where it is not linked in. NULL after reporting. */
const CodegenApi *compiler_codegen(Compiler *c);

typedef struct {
  Program *program;
  const CodegenApi *api;
  Code *code;
  Plan *plan;
  Session *session;
  int *metric, nmetric; /* plan tensors of the scalar f32 results, in order */
  double seconds;       /* spent in passes and code generation */
} Compiled;

/* A session of a graph, or of a program already lowered. Run-time numbers are those of a long training: 1000
   steps an epoch, 100000 in all. On failure nothing needs to be freed. */
Status compiler_build(Compiler *c, const Graph *g, Compiled *out);
Status compiler_build_program(Compiler *c, Program *p, Compiled *out);
void compiled_free(Compiled *k);

/* Initial values for all states; seed is also what random operators see. */
void compiled_init(Compiled *k, uint64_t seed);
/* Inputs to results; states are stored when all metrics are finite. ST_NONFINITE: *bad is the plan tensor
   that is not. Nothing is reported. */
Status compiled_step(Compiled *k, int *bad);

#endif
