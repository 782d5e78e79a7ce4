/* What the commands share: options, what they mean to the compiler (lib/compiler.h), and small helpers. */
#ifndef JEPAC_CLI_H
#define JEPAC_CLI_H

#include "lib/compiler.h"
#include "lib/tensors.h"

#include <stddef.h>

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
  CMD_MANUAL = 1 << 14,
  CMD_LSP = 1 << 15,
  CMD_RUNS = 1 << 16,
  CMD_COMPARE = 1 << 17,
  CMD_SWEEP = 1 << 18,
  CMD_REPORT = 1 << 19,
  CMD_RECIPES = 1 << 20,
  CMD_IMPORT = 1 << 21,
  CMD_EXPORT = 1 << 22,
  CMD_ALL = 0x7fffffff
};

enum { MAX_SET = 64, MAX_ARGS = 256 };

typedef struct {
  const char *arg[MAX_ARGS]; /* positional arguments */
  int narg;
  NameValue set[MAX_SET];
  int nset;
  int64_t seed, threads, epochs, steps, max_memory, rank_timeout;                      /* -1: not given */
  int64_t ranks;                                                                       /* 0: not given */
  int64_t jobs;                                                                        /* 0: not given */
  int64_t objects, views, size, classes, distractors;                                  /* 0: not given */
  int64_t train_images, test_images, train_sequences, test_sequences, retrieval_views; /* the same */
  const char *precision, *dump_ir, *conv, *gemm, *tune;
  bool check_bounds, checks;
  const char *match;
  const char *data, *out, *log, *progress;
  const char *entry, *mode, *params, *params_missing, *inputs, *outputs, *params_out;
  const char *csv, *tensorboard_to, *shard, *network;
  const char *only, *prefix, *name, *dynamic;
  const char *after, *stage, *format, *passes, *trace, *diagnostics, *by, *flame;
  char **command; /* what follows -- ; NULL: nothing */
  const char *protocols, *m_val, *export_to, *test_data, *rename;
  const char *jit_debug, *emit, *shapes, *target_cpu, *target_triple;
  bool time_passes, verify_each, quiet, verbose, help;
  bool resume, accept_changes, json, grad, interp, train_step, memory, time, fusion, random, profile, check,
      plain, grey, textures;
  bool in_place, tensorboard, no_optimizer, best, allow_extern, allow_use;
} Options;

typedef struct OptionRow OptionRow;

typedef struct {
  Arena *arena;
  Diags *diags;
  char **words;                                  /* the command line, the last NULL */
  Options opt;                                   /* read with OPT */
  VEC(const OptionRow *) given;                  /* options of the command line */
  unsigned char *looked;                         /* a byte for each of Options: has OPT read it? */
  Compiler compiler;                             /* as cli_compiler left it */
  struct Ranks *ranks;                           /* of several, or NULL */
  bool silent;                                   /* another rank has something to say */
  void *dump;                                    /* numbering of --dump-ir files */
  bool (*watch)(void *ctx, const PassResult *r); /* looks at what each pass makes, or NULL */
  void *watch_ctx;
} Cli;

typedef struct {
  const char *name;
  unsigned bit;
  Status (*run)(Cli *c);
  int nmin, nmax;                    /* positional arguments */
  const char *operands, *doc, *more; /* more: after the list of options, or NULL */
} Command;

/* ---- commands.c ---- */
extern const Command command_table[];
const Command *command_find(const char *name);
Status cmd_check(Cli *c), cmd_train(Cli *c), cmd_eval(Cli *c), cmd_run(Cli *c), cmd_ir(Cli *c),
    cmd_compile(Cli *c), cmd_opt(Cli *c), cmd_bench(Cli *c), cmd_explain(Cli *c), cmd_verify(Cli *c),
    cmd_runs(Cli *c), cmd_compare(Cli *c), cmd_sweep(Cli *c), cmd_report(Cli *c), cmd_reduce(Cli *c),
    cmd_ckpt(Cli *c), cmd_fmt(Cli *c), cmd_render(Cli *c), cmd_manual(Cli *c), cmd_lsp(Cli *c),
    cmd_recipes(Cli *c), cmd_import(Cli *c), cmd_export(Cli *c);

/* ---- recipes.c: models on data sets of the paper, by name ---- */
typedef struct {
  const char *name, *model;  /* the file, without .jepa, of the folder of models */
  const char *const *set[3]; /* lists of NAME=VALUE; each ends with NULL, and so do they */
} PaperRecipe;
extern const PaperRecipe paper_recipes[];
const PaperRecipe *recipe_find(const char *name);
const char *recipe_path(Cli *c, const PaperRecipe *r);
/* Its settings and after them those of the command line, which go before. ST_USAGE after reporting. */
Status recipe_settings(Cli *c, const PaperRecipe *r);
/* Where the command's MODEL is no file but a recipe's name: its file and settings. */
Status cli_take_recipe(Cli *c, const Command *k);

/* ---- printing.c ---- */
/* From now on stdout and stderr show control characters instead of sending them. */
void cli_print_safely(void);

/* ---- reproduce.c ---- */
/* An exit with 70 from now on leaves a folder that reproduces it. */
void cli_reproduce_bugs(Cli *c, int argc, char **argv);

/* ---- options.c ---- */
/* The value of an option. Commands look at options in no other way, so that one which was given and never
   looked at is known to have had no effect. */
#define OPT(C, FIELD) (option_look(C, offsetof(Options, FIELD)), (C)->opt.FIELD)
void option_look(Cli *c, size_t offset);
/* Parses the words after the command's name; table: all commands, for the hints. ST_USAGE after reporting. */
Status options_parse(Cli *c, const Command *table, const Command *cmd, int argc, char **argv);
void options_help(const Command *cmd, FILE *f);
typedef struct {
  const char *name, *arg, *doc; /* arg NULL: a flag */
  char letter;                  /* 0: none */
  bool words;                   /* arg lists the values, "a|b|c" */
  bool file;                    /* arg is a file or folder */
} OptionInfo;
/* Option i of those the command takes; false after the last. */
bool options_of(const Command *cmd, int i, OptionInfo *out);
/* ST_USAGE after reporting the options that the command was given and that had no effect. */
Status options_unused(Cli *c, const Command *cmd);

/* ---- completion.c: what shells and man know of the command line ---- */
void completion_bash(StrBuf *b), completion_zsh(StrBuf *b), completion_fish(StrBuf *b),
    completion_man(StrBuf *b);

/* ---- compile.c: the compiler with this command's options ---- */
/* What a compiler is asked for decides which options count: those of reading the model always. */
typedef enum { FOR_PASSES = 1, FOR_LOWERING = 2, FOR_CODE = 4 } CompilerUse;
/* With the options as they are now. What no option says (target, code generator) stays as it was set. */
Compiler *cli_compiler(Cli *c, int use);
/* Known shapes bind dimensions. */
Status cli_load(Cli *c, const char *path, const KnownShape *known, int nknown, Model **m);
/* The recipe, or NULL without a complaint. */
const Recipe *cli_recipe(Cli *c, Model *m);
/* The optimizer step as jepac train compiles it; on the entry's own arguments where the recipe names no data. */
Graph *cli_train_step(Cli *c, Model *m);
uint64_t cli_seed(Cli *c, const Recipe *r); /* --seed, else the recipe's, else 0 */
/* ST_USAGE where --mode or --grad contradict a training step. */
Status cli_check_train_step(Cli *c);
/* The graph of an entry (NULL: the first; "train_step") in --mode, with --grad. */
Status cli_model_graph(Cli *c, Model *m, const char *entry, const Graph **g);
/* All graph passes up to stop_after (NULL: all). NULL after reporting. */
Graph *cli_passes(Cli *c, const Graph *g, const char *stop_after);
Status cli_lower(Cli *c, const Graph *g, Program **p);
Status cli_compile(Cli *c, const Graph *g, Compiled *out);
Status cli_dump_begin(Cli *c);         /* the folder of --dump-ir */
Status cli_dump_end(Cli *c, Status s); /* its page; s: of the command, which goes first */
/* Seconds of each kernel of the program compiled last, for that page. */
bool cli_dump_wants_times(const Cli *c);
Status cli_dump_times(Cli *c, const Program *p, const double *seconds);

/* ---- cmd_ir.c ---- */
/* The graph of an IR file (--entry when there are several). */
Status cli_read_ir(Cli *c, const char *path, Graph **out);
/* The program of an IR file of the kernel level, its memory planned with plan; NULL when the file holds
   graphs. */
Status cli_read_program(Cli *c, const char *path, bool plan, Program **out);

/* ---- graph_formats.c ---- */
/* format: text (NULL), dot or json. */
void cli_graph_text(const Graph *g, const char *format, StrBuf *b);

/* ---- nonfinite.c ---- */
/* After session_step said ST_NONFINITE: replays the step and adds notes on the first operator at fault. */
void cli_explain_nonfinite(Cli *c, const Compiled *k);

/* ---- random.c ---- */
/* Numbers that depend on seed and name only: floats are normal, integers 0 or 1. */
void cli_random_values(const char *name, DType dt, int64_t n, uint64_t seed, double *out);

/* ---- ranks.c: where this program is one of several ---- */
Status cli_ranks_start(Cli *c); /* c->ranks */
Status cli_ranks_told(Cli *c);  /* --ranks: as if it were, for a look at one's step */
/* Every rank comes here with the status of what all have just done and leaves with the worst. */
Status cli_ranks_settle(Cli *c, Status s);
/* Every rank must have the same number; all leave alike. */
Status cli_ranks_same(Cli *c, uint64_t number, const char *what);
Status cli_ranks_same_program(Cli *c); /* and processor */
/* After something that the others cannot know of: prints it and ends all ranks. Nothing where there is one. */
void cli_ranks_stop(Cli *c, Status s);
void cli_ranks_end(Cli *c);

/* ---- util.c ---- */
/* Prints the messages so far, as --diagnostics says. */
void cli_say(Cli *c);
/* Reports one error and returns s. */
Status cli_fail(Cli *c, Status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
Status cli_write_text(Cli *c, const char *path, const char *text, size_t n); /* path NULL: standard output */
bool cli_has_suffix(const char *s, const char *suffix);
/* Reports ST_FILE with the reason when path cannot be read. */
Status cli_check_readable(Cli *c, const char *path, const char *what);

#endif
