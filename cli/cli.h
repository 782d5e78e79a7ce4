/* What the commands share: options, the road from a model file to a session, and small helpers. */
#ifndef JEPAC_CLI_H
#define JEPAC_CLI_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/exec.h"
#include "runtime/safetensors.h"

#define JEPAC_VERSION "0.1"

/* A command's bit in OptionRow.commands. */
enum {
  CMD_CHECK = 1 << 0,
  CMD_TRAIN = 1 << 1,
  CMD_EVAL = 1 << 2,
  CMD_RUN = 1 << 3,
  CMD_IR = 1 << 4,
  CMD_OPT = 1 << 5,
  CMD_BENCH = 1 << 6,
  CMD_EXPLAIN = 1 << 7,
  CMD_VERIFY = 1 << 8,
  CMD_REDUCE = 1 << 9,
  CMD_CKPT = 1 << 11,
  CMD_FMT = 1 << 12,
  CMD_COMPILE = 1 << 10,
  CMD_RENDER = 1 << 13,
  CMD_ALL = 0xffff
};

enum { MAX_SET = 64 };

typedef struct {
  const char *arg[3]; /* positional arguments */
  int narg;
  NameValue set[MAX_SET];
  int nset;
  int64_t seed, threads, epochs, steps, max_memory; /* -1: not given */
  int64_t objects, views, size, classes;                /* 0: not given */
  const char *precision, *dump_ir, *conv;
  const char *data, *out, *log, *progress;
  const char *entry, *mode, *params, *inputs, *outputs, *params_out;
  const char *after, *stage, *format, *passes, *trace, *diagnostics;
  char **command; /* what follows -- ; NULL: nothing */
  const char *jit_debug, *emit, *target_cpu, *target_triple;
  bool time_passes, verify_each, quiet, verbose, help;
  bool resume, json, grad, interp, train_step, memory, time, fusion, random, profile, check;
} Options;

typedef struct {
  Arena *arena;
  Diags *diags;
  Options opt;
  const Target *target;      /* compiled for; NULL: this machine */
  Status status;             /* of the last failure reported with cli_fail */
  void *dump;                /* numbering of --dump-ir files */
  bool (*watch)(void *ctx, const PassResult *r); /* looks at what each pass makes, or NULL */
  void *watch_ctx;
  const CodegenApi *codegen; /* NULL until the module is loaded */
} Cli;

typedef struct {
  const char *name;
  unsigned bit;
  Status (*run)(Cli *c); /* NULL: not yet */
  int nmin, nmax;        /* positional arguments */
  const char *operands, *doc;
} Command;

extern const Command command_table[];
const Command *command_find(const char *name);
Status cmd_check(Cli *c), cmd_train(Cli *c), cmd_eval(Cli *c), cmd_run(Cli *c), cmd_ir(Cli *c),
    cmd_compile(Cli *c), cmd_opt(Cli *c), cmd_bench(Cli *c), cmd_explain(Cli *c), cmd_verify(Cli *c),
    cmd_reduce(Cli *c), cmd_ckpt(Cli *c), cmd_fmt(Cli *c), cmd_render(Cli *c);

/* An exit with 70 from now on leaves a folder that reproduces it. */
void cli_reproduce_bugs(Cli *c, int argc, char **argv);
/* Reports one error and returns s. */
Status cli_fail(Cli *c, Status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- options.c ---- */
/* Parses the words after the command's name. ST_USAGE after reporting. */
Status options_parse(Cli *c, const Command *cmd, int argc, char **argv);
void options_help(const Command *cmd, FILE *f);

/* ---- compile.c: model file -> frontend -> pipeline -> codegen -> session ---- */
/* Loads the model named by opt.arg[0]; known shapes bind dimensions. */
Status cli_load(Cli *c, const char *path, const KnownShape *known, int nknown, Model **m);
/* The recipe, or NULL without a complaint. */
const Recipe *cli_recipe(Cli *c, Model *m);
/* All graph passes up to stop_after (NULL: all), or only those the interpreter needs. NULL after reporting.
 */
Status cli_dump_end(Cli *c); /* the page of --dump-ir, when anything was dumped */
Graph *cli_passes(Cli *c, const Graph *g, const char *stop_after);
Graph *cli_expand(Cli *c, const Graph *g);
Status cli_lower(Cli *c, const Graph *g, Program **p);

typedef struct {
  Program *program;
  const CodegenApi *api;
  Code *code;
  Plan *plan;
  Session *session;
  double seconds; /* spent in passes and code generation */
} Compiled;
Status cli_compile(Cli *c, const Graph *g, Compiled *out);
Status cli_compile_program(Cli *c, Program *p, Compiled *out);
void cli_release(Compiled *c);
/* The code generator, loading its module at the first call; NULL after reporting. */
const CodegenApi *cli_codegen(Cli *c);

/* The graph of --entry in --mode (train_step: the optimizer step on the main entry's own arguments). NULL
 * after reporting. */
const Graph *cli_model_graph(Cli *c, Model *m, bool train_step);
/* The graph of an IR file (--entry when there are several). */
Status cli_read_ir(Cli *c, const char *path, Graph **out); /* cmd_ir.c */
/* The program of an IR file of the kernel level, its memory planned with plan; NULL when the file holds graphs. */
Status cli_read_program(Cli *c, const char *path, bool plan, Program **out);
uint64_t cli_seed(Cli *c, const Recipe *r);                /* --seed, else the recipe's, else 0 */

/* ---- nonfinite.c ---- */
/* After session_step said ST_NONFINITE: replays the step and adds notes on the first operator at fault. */
void cli_explain_nonfinite(Cli *c, const Compiled *k);

/* ---- tensors of a session ---- */
const PlanTensor *cli_tensor(const Session *s, PlanTensorKind kind, const char *name,
                             void **data); /* NULL when absent */
void cli_set_runtime(Session *s, const char *name,
                     int64_t value); /* seed, step, ...; absent ones are ignored */

/* Numbers that depend on seed and name only: floats are normal, integers 0 or 1. */
void cli_random_values(const char *name, DType dt, int64_t n, uint64_t seed, double *out);

/* ---- tensors.c ---- */
/* Copies n elements between types of one family (float, integer, bool); false when they differ or a value
 * does not fit. */
bool cli_convert(DType to, void *dst, DType from, const void *src, int64_t n);
bool cli_same_family(DType a, DType b);
void cli_to_f64(double *dst, DType from, const void *src, int64_t n);
/* A session without steps that only stores g's inputs, states initialized from seed: the interpreter's
 * memory. */
Session *cli_store(Cli *c, const Graph *g, uint64_t seed);
/* Do the file's tensors fit the states g reads? Parameters and buffers must all be there (optimizer slots may
   be missing); a tensor the model has no state for, here or in another entry, is an error. m is NULL for an
   IR file. */
Status cli_check_states(Cli *c, Model *m, const Graph *g, const StFile *f);
/* Copies the tensors the session has states for; returns how many. */
int cli_set_states(Session *s, const StFile *f);
bool cli_has_suffix(const char *s, const char *suffix);

/* Folder that holds "nn/...": beside the source tree's build folder, or installed. */
const char *cli_std_dir(Arena *a);
/* The threads to use: --threads, or 0 for all. */
int cli_threads(const Cli *c);

/* ---- util.c ---- */
Status cli_write_text(Cli *c, const char *path, const char *text, size_t n); /* path NULL: standard output */
/* 12345678 -> "12.3 M", bytes -> "11.8 MiB". */
const char *cli_human_count(Arena *a, double n);
const char *cli_human_bytes(Arena *a, int64_t n);
bool cli_is_folder(const char *path);
/* Reports ST_FILE with the reason when path cannot be read. */
Status cli_check_readable(Cli *c, const char *path, const char *what);

#endif
