/* The command line: one table of options; each row says where its value goes and which commands take it. */
#include "cli/cli.h"
#include "runtime/ranks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum { OPT_FLAG, OPT_TEXT, OPT_COUNT, OPT_NATURAL, OPT_BYTES, OPT_SET, OPT_CHOICE } OptionKind;

struct OptionRow {
  const char *name;
  char letter; /* -q; 0 none */
  OptionKind kind;
  unsigned commands;
  size_t offset;         /* of the value in Options */
  const char *arg, *doc; /* CHOICE: arg lists the words, "a|b|c" */
};

/* Those that compile a model, and those of them that run what they have compiled. */
#define CMD_COMPILING                                                                                        \
  (CMD_CHECK | CMD_TRAIN | CMD_EVAL | CMD_RUN | CMD_COMPILE | CMD_IR | CMD_EXPLAIN | CMD_VERIFY | CMD_BENCH)
#define CMD_RUNNING (CMD_TRAIN | CMD_EVAL | CMD_RUN | CMD_EXPLAIN | CMD_VERIFY | CMD_BENCH)

#define AT(FIELD) offsetof(Options, FIELD)
static const OptionRow option_table[] = {
    {"entry", 0, OPT_TEXT, CMD_RUN | CMD_IR | CMD_OPT | CMD_COMPILE | CMD_EXPLAIN | CMD_VERIFY | CMD_EXPORT,
     AT(entry), "NAME", "which entry (default: the first)"},
    {"train-step", 0, OPT_FLAG, CMD_IR | CMD_COMPILE | CMD_EXPLAIN, AT(train_step), NULL,
     "the whole optimizer step"},
    {"grad", 0, OPT_FLAG, CMD_RUN | CMD_IR | CMD_EXPLAIN | CMD_VERIFY, AT(grad), NULL,
     "also gradients of the first result"},
    {"mode", 0, OPT_CHOICE, CMD_RUN | CMD_IR | CMD_COMPILE | CMD_EXPLAIN | CMD_VERIFY, AT(mode), "train|eval",
     "batch norm, dropout (default: train with --grad or --train-step, else eval)"},
    {"params", 0, OPT_TEXT, CMD_TRAIN | CMD_RUN, AT(params), "FILE|RUN",
     "states to begin with, a .safetensors file or a run (default: initialized from --seed)"},
    {"params", 0, OPT_TEXT, CMD_EVAL, AT(params), "FILE|RUN",
     "the weights to evaluate, of MODEL: a .safetensors file or a run"},
    {"params", 0, OPT_TEXT, CMD_COMPILE, AT(params), "FILE|RUN",
     "the library's weights, a .safetensors file or a run (default: initialized by its init)"},
    {"params-missing", 0, OPT_CHOICE, CMD_TRAIN | CMD_COMPILE, AT(params_missing), "ok",
     "--params may lack states and hold others: those are counted"},
    {"inputs", 0, OPT_TEXT, CMD_RUN, AT(inputs), "FILE",
     "the entry's arguments by name (.npy: the only one)"},
    {"outputs", 0, OPT_TEXT, CMD_RUN, AT(outputs), "FILE",
     "results by name, grad.<parameter> (.npy: the first)"},
    {"params-out", 0, OPT_TEXT, CMD_RUN, AT(params_out), "FILE", "states afterwards"},
    {"interp", 0, OPT_FLAG, CMD_RUN, AT(interp), NULL, "f64 interpreter instead of compiled code"},
    {"data", 0, OPT_TEXT, CMD_TRAIN | CMD_EVAL, AT(data), "DIR", "folder of the data set"},
    {"out", 0, OPT_TEXT, CMD_TRAIN, AT(out), "RUN",
     "folder for checkpoint, log and picture (default: runs/MODEL)"},
    {"out", 0, OPT_TEXT, CMD_EVAL, AT(out), "DIR",
     "with --params: folder for eval.json and report.html (default: neither is written)"},
    {"resume", 0, OPT_FLAG, CMD_TRAIN, AT(resume), NULL, "go on from RUN's checkpoint"},
    {"accept-changes", 0, OPT_FLAG, CMD_TRAIN, AT(accept_changes), NULL,
     "resume with a recipe or model that differs from the run's"},
    {"epochs", 0, OPT_NATURAL, CMD_TRAIN, AT(epochs), "N", "instead of the recipe's"},
    {"steps", 0, OPT_NATURAL, CMD_TRAIN | CMD_RUN | CMD_BENCH, AT(steps), "N", "optimizer steps"},
    {"max-memory", 0, OPT_BYTES,
     CMD_TRAIN | CMD_BENCH | CMD_CHECK | CMD_RUN | CMD_IR | CMD_EXPLAIN | CMD_COMPILE, AT(max_memory), "SIZE",
     "arena budget: 512M, 2G"},
    {"tensorboard", 0, OPT_FLAG, CMD_TRAIN, AT(tensorboard), NULL, "also event files for TensorBoard in RUN"},
    {"shard", 0, OPT_CHOICE, CMD_TRAIN | CMD_EXPLAIN | CMD_IR | CMD_VERIFY, AT(shard), "optimizer",
     "each rank keeps a part of the optimizer's state and of averages"},
    {"ranks", 0, OPT_COUNT, CMD_EXPLAIN | CMD_IR | CMD_VERIFY, AT(ranks), "N",
     "the step of one of so many ranks"},
    {"network", 0, OPT_TEXT, CMD_EXPLAIN, AT(network), "RATE,LATENCY",
     "--time --ranks: the step on such a network, as 10Gbit,50us"},
    {"rank-timeout", 0, OPT_NATURAL, CMD_TRAIN | CMD_EVAL | CMD_BENCH | CMD_VERIFY, AT(rank_timeout),
     "SECONDS", "several ranks end when one has not answered for so long (default: 60)"},
    {"log", 0, OPT_TEXT, CMD_TRAIN, AT(log), "FILE", "instead of RUN/run.jsonl"},
    {"progress", 0, OPT_CHOICE, CMD_TRAIN, AT(progress), "auto|plain|none", "progress display"},
    {"after", 0, OPT_TEXT, CMD_IR, AT(after), "PASS", "stop after this pass"},
    {"stage", 0, OPT_CHOICE, CMD_IR, AT(stage), "graph|grad|kernels|plan|llvm|asm",
     "which stage (default: graph)"},
    {"format", 0, OPT_CHOICE, CMD_IR | CMD_OPT, AT(format), "text|dot|json",
     "of a graph: dot for Graphviz (default: text)"},
    {"emit", 0, OPT_TEXT, CMD_COMPILE, AT(emit), "KIND,...",
     "obj, lib, header, ll, asm; weights: in a file of their own (default: obj,lib,header)"},
    {"target-cpu", 0, OPT_TEXT, CMD_COMPILE, AT(target_cpu), "CPU",
     "x86-64-v3, znver4, ... (default: this machine)"},
    {"target-triple", 0, OPT_TEXT, CMD_COMPILE, AT(target_triple), "TRIPLE",
     "x86_64-linux-gnu or aarch64-linux-gnu"},
    {"name", 0, OPT_TEXT, CMD_COMPILE, AT(name), "NAME",
     "of the library and its functions (default: the model file's)"},
    {"output", 'o', OPT_TEXT, CMD_COMPILE, AT(out), "DIR", "folder for the files"},
    {"output", 'o', OPT_TEXT, CMD_IMPORT, AT(out), "DIR", "folder for the files (needed)"},
    {"name", 0, OPT_TEXT, CMD_IMPORT, AT(name), "NAME", "of the files (default: the model's)"},
    {"inputs", 0, OPT_TEXT, CMD_IMPORT, AT(inputs), "FILE",
     "values of inputs that operators need when the graph is made"},
    {"output", 'o', OPT_TEXT, CMD_EXPORT, AT(out), "FILE.onnx", "the file to write (needed)"},
    {"dynamic", 0, OPT_TEXT, CMD_EXPORT, AT(dynamic), "DIM",
     "a dimension that stays open, such as B (default: all are fixed)"},
    {"params", 0, OPT_TEXT, CMD_EXPORT, AT(params), "FILE|RUN",
     "states, a .safetensors file or a run (default: initialized from --seed)"},
    {"passes", 0, OPT_TEXT, CMD_OPT, AT(passes), "A,B,C", "graph passes to run, in order"},
    {"random", 0, OPT_FLAG, CMD_RUN, AT(random), NULL, "random inputs, from --seed and their names"},
    {"memory", 0, OPT_FLAG, CMD_EXPLAIN, AT(memory), NULL, "the arena over time, what is live at the peak"},
    {"time", 0, OPT_FLAG, CMD_EXPLAIN, AT(time), NULL, "operations, bytes, roofline and measured time"},
    {"time", 0, OPT_FLAG, CMD_RECIPES, AT(time), NULL,
     "what each takes on this machine, at the roof: a step, all days, memory"},
    {"by", 0, OPT_CHOICE, CMD_EXPLAIN | CMD_BENCH, AT(by), "line|module",
     "rows of the tables: model lines or modules with their parts"},
    {"flame", 0, OPT_TEXT, CMD_BENCH, AT(flame), "FILE",
     "measured time by module: a picture (.svg) or folded stacks"},
    {"fusion", 0, OPT_FLAG, CMD_EXPLAIN, AT(fusion), NULL, "why values are fused or stored"},
    {"trace", 0, OPT_TEXT, CMD_EXPLAIN, AT(trace), "FILE",
     "measured times, from bench --trace or train --profile"},
    {"output", 'o', OPT_TEXT, CMD_EXPLAIN, AT(out), "FILE.svg", "picture of --memory"},
    {"only", 0, OPT_TEXT, CMD_CKPT, AT(only), "PREFIX",
     "convert: the tensors whose names begin so, without it"},
    {"prefix", 0, OPT_TEXT, CMD_CKPT, AT(prefix), "PREFIX", "convert: put before every name"},
    {"rename", 0, OPT_TEXT, CMD_CKPT, AT(rename), "OLD=NEW,...",
     "convert: names that begin with OLD begin with NEW; OLD=- leaves them out; the first rule that fits"},
    {"no-optimizer", 0, OPT_FLAG, CMD_CKPT, AT(no_optimizer), NULL,
     "convert: leave out the optimizer's state"},
    {"output", 'o', OPT_TEXT, CMD_COMPARE, AT(out), "FILE.html", "the page (default: compare.html)"},
    {"csv", 0, OPT_TEXT, CMD_COMPARE, AT(csv), "FILE", "also run, step, name and value of every figure"},
    {"tensorboard", 0, OPT_TEXT, CMD_COMPARE, AT(tensorboard_to), "DIR",
     "also event files for TensorBoard, a folder a run"},
    {"jobs", 0, OPT_COUNT, CMD_SWEEP, AT(jobs), "N", "runs side by side (default: 1)"},
    {"out", 0, OPT_TEXT, CMD_SWEEP, AT(out), "DIR", "folder for the runs (default: sweeps/MODEL)"},
    {"set", 0, OPT_SET, CMD_SWEEP, AT(set), "NAME=A,B,...",
     "values to try, also 1..3; every combination is a run"},
    {"data", 0, OPT_TEXT, CMD_SWEEP, AT(data), "DIR", "as train's, with the next ones"},
    {"params", 0, OPT_TEXT, CMD_SWEEP, AT(params), "FILE|RUN", "states to begin with"},
    {"params-missing", 0, OPT_CHOICE, CMD_SWEEP, AT(params_missing), "ok",
     "--params may lack states and hold others"},
    {"epochs", 0, OPT_NATURAL, CMD_SWEEP, AT(epochs), "N", "instead of the recipe's"},
    {"steps", 0, OPT_NATURAL, CMD_SWEEP, AT(steps), "N", "optimizer steps"},
    {"threads", 0, OPT_COUNT, CMD_SWEEP, AT(threads), "N", "of each run (default: the processors, shared)"},
    {"precision", 0, OPT_CHOICE, CMD_SWEEP, AT(precision), "f32|bf16|f16", "of values kept in memory"},
    {"tensorboard", 0, OPT_FLAG, CMD_SWEEP, AT(tensorboard), NULL, "also event files for TensorBoard"},
    {"quiet", 'q', OPT_FLAG, CMD_SWEEP, AT(quiet), NULL, "less"},
    {"output", 'o', OPT_TEXT, CMD_REDUCE | CMD_FMT, AT(out), "FILE", "instead of standard output"},
    {"match", 0, OPT_TEXT, CMD_REDUCE, AT(match), "TEXT", "what the command prints must hold this"},
    {"checks", 0, OPT_FLAG, CMD_BENCH, AT(checks), NULL, "also what the check for non-finite values costs"},
    {"check-bounds", 0, OPT_FLAG, CMD_VERIFY, AT(check_bounds), NULL,
     "only that kernels stay inside their operands, at any size"},
    {"check", 0, OPT_FLAG, CMD_FMT, AT(check), NULL, "only say whether the layout would change (exit 1)"},
    {"in-place", 'i', OPT_FLAG, CMD_FMT, AT(in_place), NULL, "write each file anew"},
    {"trace", 0, OPT_TEXT, CMD_BENCH, AT(trace), "FILE",
     "kernels by thread, for Perfetto or chrome://tracing"},
    {"profile", 0, OPT_FLAG, CMD_TRAIN, AT(profile), NULL, "the first steps as a trace in RUN/trace.json"},
    {"output", 'o', OPT_TEXT, CMD_IR | CMD_OPT, AT(out), "FILE", "instead of standard output"},
    {"protocols", 0, OPT_TEXT, CMD_EVAL, AT(protocols), "A,B,...",
     "see jepac manual protocols (default: all that apply)"},
    {"test-data", 0, OPT_TEXT, CMD_EVAL, AT(test_data), "DIR",
     "folder of the part that is tested on, where it is another (default: --data)"},
    {"m-val", 0, OPT_TEXT, CMD_EVAL, AT(m_val), "M,...", "views aggregated (default: the recipe's)"},
    {"images", 0, OPT_COUNT, CMD_EVAL, AT(train_images), "N",
     "plain images to train probes on (default: the recipe's)"},
    {"test-images", 0, OPT_COUNT, CMD_EVAL, AT(test_images), "N", "and to test them on"},
    {"sequences", 0, OPT_COUNT, CMD_EVAL, AT(train_sequences), "N",
     "images seen in several views, to train probes on"},
    {"test-sequences", 0, OPT_COUNT, CMD_EVAL, AT(test_sequences), "N", "and to test them and retrieval on"},
    {"retrieval-views", 0, OPT_COUNT, CMD_EVAL, AT(retrieval_views), "V",
     "of an image, one of them the query"},
    {"best", 0, OPT_FLAG, CMD_EVAL, AT(best), NULL, "the weights of RUN/best.safetensors, not the last ones"},
    {"export", 0, OPT_TEXT, CMD_EVAL, AT(export_to), "DIR",
     "embeddings, labels, actions as safetensors and npy"},
    {"json", 0, OPT_FLAG, CMD_EVAL | CMD_BENCH, AT(json), NULL, "JSON on standard output"},
    {"conv", 0, OPT_CHOICE, CMD_COMPILING, AT(conv), "auto|direct|winograd", "convolution algorithm"},
    {"gemm", 0, OPT_CHOICE, CMD_COMPILING, AT(gemm), "own|openblas",
     "who multiplies matrices, to compare (default: own)"},
    {"tune", 0, OPT_CHOICE, CMD_TRAIN | CMD_EVAL | CMD_RUN | CMD_BENCH, AT(tune), "off|fast|full",
     "time schedules with equal bits and keep the winners (default: off)"},
    {"jit-debug", 0, OPT_CHOICE, CMD_TRAIN | CMD_RUN | CMD_BENCH, AT(jit_debug), "gdb|perf",
     "kernels by name and model line in gdb, or in perf (record -k 1, then inject --jit)"},
    {"diagnostics", 0, OPT_CHOICE, CMD_ALL, AT(diagnostics), "text|json", "form of errors and warnings"},
    {"set", 0, OPT_SET, CMD_COMPILING | CMD_EXPORT, AT(set), "NAME=VALUE",
     "a dimension, model parameter or recipe setting"},
    {"allow-extern", 0, OPT_FLAG, CMD_TRAIN | CMD_EVAL | CMD_RUN | CMD_VERIFY | CMD_BENCH, AT(allow_extern),
     NULL, "load the libraries that the model names, which runs their code"},
    {"allow-use", 0, OPT_FLAG, CMD_COMPILING | CMD_EXPORT, AT(allow_use), NULL,
     "let the model use files outside of its folder and the library"},
    {"out", 0, OPT_TEXT, CMD_RENDER, AT(out), "DIR", "folder to write the data set to (needed)"},
    {"objects", 0, OPT_COUNT, CMD_RENDER, AT(objects), "N", "objects, of all classes in turn (needed)"},
    {"views", 0, OPT_COUNT, CMD_RENDER, AT(views), "V", "pictures of each object (default: 50)"},
    {"size", 0, OPT_COUNT, CMD_RENDER, AT(size), "S", "pictures are S x S (default: 128)"},
    {"classes", 0, OPT_COUNT, CMD_RENDER, AT(classes), "K", "the first K classes (default: all)"},
    {"plain", 0, OPT_FLAG, CMD_RENDER, AT(plain), NULL,
     "no hues, one light: objects differ in form and rotation only"},
    {"grey", 0, OPT_FLAG, CMD_RENDER, AT(grey), NULL, "no hues; the light moves"},
    {"textures", 0, OPT_FLAG, CMD_RENDER, AT(textures), NULL,
     "noise, stripes, checks or spots on each object, and on the floor of each picture"},
    {"distractors", 0, OPT_COUNT, CMD_RENDER, AT(distractors), "N",
     "small objects of any class around it, others in each picture (default: none)"},
    {"shapes", 0, OPT_TEXT, CMD_RENDER, AT(shapes), "A,B,...", "these classes, instead of the first"},
    {"seed", 0, OPT_NATURAL, CMD_TRAIN | CMD_RUN | CMD_VERIFY | CMD_BENCH | CMD_RENDER | CMD_EXPORT, AT(seed),
     "N", "of all random numbers"},
    {"threads", 0, OPT_COUNT, CMD_RUNNING | CMD_RECIPES, AT(threads), "N", "results do not depend on it"},
    {"precision", 0, OPT_CHOICE, CMD_COMPILING, AT(precision), "f32|bf16|f16",
     "of values kept in memory (default: the recipe's, else f32)"},
    {"dump-ir", 0, OPT_TEXT, CMD_COMPILING, AT(dump_ir), "DIR",
     "NNN-pass.ir for each pass that changed something"},
    {"time-passes", 0, OPT_FLAG, CMD_COMPILING, AT(time_passes), NULL,
     "table of pass times on standard error"},
    {"verify-each", 0, OPT_FLAG, CMD_COMPILING, AT(verify_each), NULL, "verify the IR after every pass"},
    {"quiet", 'q', OPT_FLAG, CMD_COMPILING | CMD_RENDER, AT(quiet), NULL, "less"},
    {"verbose", 'v', OPT_FLAG, CMD_EVAL | CMD_BENCH | CMD_CKPT, AT(verbose), NULL, "more"},
    {"help", 'h', OPT_FLAG, CMD_ALL, AT(help), NULL, "this list"},
};
enum { NOPTION = sizeof option_table / sizeof *option_table };

bool options_of(const Command *cmd, int i, OptionInfo *out) {
  static const char *const files[] = {"FILE", "FILE.svg", "DIR", "RUN"};
  for (int k = 0; k < NOPTION; k++) {
    const OptionRow *r = &option_table[k];
    if (!(r->commands & cmd->bit) || i--) continue;
    *out = (OptionInfo){r->name, r->arg, r->doc, r->letter, r->kind == OPT_CHOICE, false};
    for (size_t f = 0; r->arg && f < sizeof files / sizeof *files; f++)
      out->file |= !strcmp(r->arg, files[f]);
    return true;
  }
  return false;
}

/* "-o, --output FILE" */
static void option_usage(const OptionRow *r, char text[static 80]) {
  int n = r->letter ? snprintf(text, 80, "-%c, ", r->letter) : snprintf(text, 80, "    ");
  snprintf(text + n, 80 - (size_t)n, "--%s%s%s", r->name, r->arg ? " " : "", r->arg ? r->arg : "");
}

void options_help(const Command *cmd, FILE *f) {
  char left[80];
  int width = 0;
  fprintf(f, "usage: jepac %s%s%s [options]\n%s\n\n", cmd->name, *cmd->operands ? " " : "", cmd->operands,
          cmd->doc);
  for (int pass = 0; pass < 2; pass++) /* the first finds the width */
    for (int i = 0; i < NOPTION; i++) {
      const OptionRow *r = &option_table[i];
      if (!(r->commands & cmd->bit)) continue;
      option_usage(r, left);
      if (pass) fprintf(f, "  %-*s  %s\n", width, left, r->doc);
      else if ((int)strlen(left) > width) width = (int)strlen(left);
    }
  if (cmd->more) fputs(cmd->more, f);
}

/* The row a word names; *value is what follows '=', or NULL. */
static const OptionRow *find_option(unsigned commands, const char *word, const char **value) {
  *value = NULL;
  for (int i = 0; i < NOPTION; i++) {
    const OptionRow *r = &option_table[i];
    if (!(r->commands & commands)) continue;
    if (word[1] != '-') {
      if (r->letter && word[1] == r->letter && !word[2]) return r;
      continue;
    }
    size_t n = strlen(r->name);
    if (strncmp(word + 2, r->name, n)) continue;
    if (word[2 + n] == '=') *value = word + 2 + n + 1;
    if (!word[2 + n] || *value) return r;
  }
  return NULL;
}

/* An option of other commands only: those that take it. */
static const char *takers(Cli *c, const Command *table, const OptionRow *r) {
  const char *text = "", *last = NULL;
  for (const Command *k = table; k->name; k++) {
    bool takes = false;
    for (int i = 0; i < NOPTION; i++)
      takes |= !strcmp(option_table[i].name, r->name) && option_table[i].commands & k->bit;
    if (!takes) continue;
    if (last) text = arena_printf(c->arena, "%s%s%s", text, *text ? ", " : "", last);
    last = k->name;
  }
  return *text ? arena_printf(c->arena, "%s and %s", text, last) : last;
}

static Status unknown_option(Cli *c, const Command *table, const Command *cmd, const char *word) {
  const char *names[NOPTION], *value;
  const OptionRow *other = find_option(CMD_ALL, word, &value);
  if (other) {
    cli_fail(c, ST_USAGE, "jepac %s takes no --%s: it would have no effect", cmd->name, other->name);
    diag_note(c->diags, NULL, "it is an option of jepac %s", takers(c, table, other));
    return ST_USAGE;
  }
  int n = 0;
  for (int i = 0; i < NOPTION; i++)
    if (option_table[i].commands & cmd->bit) names[n++] = option_table[i].name;
  const char *dash = word[1] == '-' ? word + 2 : word + 1;
  const char *near = nearest_name(arena_strndup(c->arena, dash, strcspn(dash, "=")), names, n);
  cli_fail(c, ST_USAGE, "unknown option '%s' for jepac %s", word, cmd->name);
  if (near) diag_note(c->diags, NULL, "did you mean '--%s'?", near);
  else diag_note(c->diags, NULL, "'jepac %s -h' lists the options", cmd->name);
  return ST_USAGE;
}

static bool parse_int(const char *s, int64_t *out) {
  char *end;
  errno = 0;
  long long x = strtoll(s, &end, 10);
  *out = x;
  return *s >= '0' && *s <= '9' && !*end && !errno;
}

static bool parse_bytes(const char *s, int64_t *out) {
  static const char unit[] = "KMGT";
  char *end;
  errno = 0;
  double x = strtod(s, &end);
  if (end == s || errno || !(x > 0)) return false;
  const char *u = *end ? strchr(unit, *end >= 'a' ? *end - 32 : *end) : NULL;
  if (*end && !u) return false;
  if (u) {
    for (const char *p = unit; p <= u; p++) x *= 1024;
    end++;
    if (!strcmp(end, "iB") || !strcmp(end, "B")) end += strlen(end);
  }
  *out = (int64_t)x;
  return !*end && x >= 1 && x < 9e18;
}

static bool in_list(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *p = list; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
    if (!strncmp(p, word, n) && (p[n] == '|' || !p[n])) return n > 0;
  return false;
}

static Status set_option(Cli *c, const OptionRow *r, const char *value) {
  void *at = (char *)&c->opt + r->offset;
  switch (r->kind) {
  case OPT_FLAG: *(bool *)at = true; return ST_OK;
  case OPT_TEXT:
    if (!*value) return cli_fail(c, ST_USAGE, "--%s needs a %s", r->name, r->arg);
    *(const char **)at = value;
    return ST_OK;
  case OPT_COUNT:
  case OPT_NATURAL:
    if (!parse_int(value, at) || (r->kind == OPT_COUNT && *(int64_t *)at < 1))
      return cli_fail(c, ST_USAGE, "--%s needs a %s number, not '%s'", r->name,
                      r->kind == OPT_COUNT ? "positive whole" : "whole", value);
    return ST_OK;
  case OPT_BYTES:
    if (!parse_bytes(value, at))
      return cli_fail(c, ST_USAGE, "--%s needs a size such as 512M or 2G, not '%s'", r->name, value);
    return ST_OK;
  case OPT_CHOICE:
    if (!in_list(r->arg, value))
      return cli_fail(c, ST_USAGE, "--%s is one of %s, not '%s'", r->name, r->arg, value);
    *(const char **)at = value;
    return ST_OK;
  case OPT_SET: {
    const char *eq = strchr(value, '=');
    if (!eq || eq == value + strspn(value, " ") || !eq[1 + strspn(eq + 1, " ")])
      return cli_fail(c, ST_USAGE, "--set needs NAME=VALUE, not '%s'", value);
    if (c->opt.nset == MAX_SET) return cli_fail(c, ST_USAGE, "more than %d settings", MAX_SET);
    size_t from = strspn(value, " "), to = (size_t)(eq - value);
    while (to > from && value[to - 1] == ' ') to--;
    c->opt.set[c->opt.nset++] =
        (NameValue){arena_strndup(c->arena, value + from, to - from), eq + 1 + strspn(eq + 1, " ")};
    return ST_OK;
  }
  }
  bug("option kind %d", (int)r->kind);
}

Status options_parse(Cli *c, const Command *table, const Command *cmd, int argc, char **argv) {
  Options *o = &c->opt;
  c->looked = NEWN(c->arena, unsigned char, sizeof(Options));
  o->seed = o->threads = o->epochs = o->steps = o->max_memory = -1;
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i], *value;
    if (!strcmp(word, "--") && cmd->bit == CMD_REDUCE) {
      if (i + 1 < argc) o->command = argv + i + 1;
      break;
    }
    if (word[0] != '-' || !word[1]) {
      if (o->narg >= cmd->nmax)
        return cli_fail(c, ST_USAGE, "unexpected argument '%s': usage is jepac %s %s", word, cmd->name,
                        cmd->operands);
      o->arg[o->narg++] = word;
      continue;
    }
    const OptionRow *r = find_option(cmd->bit, word, &value);
    if (!r) return unknown_option(c, table, cmd, word);
    if (r->kind == OPT_FLAG && value) return cli_fail(c, ST_USAGE, "--%s takes no value", r->name);
    if (r->kind != OPT_FLAG && !value) {
      if (i + 1 == argc) return cli_fail(c, ST_USAGE, "--%s needs a value: %s", r->name, r->arg);
      value = argv[++i];
    }
    Status s = set_option(c, r, value);
    if (s) return s;
    vec_push(c->arena, &c->given, r);
  }
  if (o->help) return ST_OK;
  if (o->threads > MOST_THREADS) return cli_fail(c, ST_USAGE, "--threads is at most %d", MOST_THREADS);
  if (o->narg < cmd->nmin) return cli_fail(c, ST_USAGE, "usage is jepac %s %s", cmd->name, cmd->operands);
  return ST_OK;
}

/* ---- options without effect ---- */
void option_look(Cli *c, size_t offset) {
  if (c->looked) c->looked[offset] = 1;
}

Status options_unused(Cli *c, const Command *cmd) {
  Status s = ST_OK;
  if (c->silent || (c->ranks && c->ranks->rank > 0)) return s; /* rank 0 has looked */
  for (int i = 0; i < c->given.n; i++) {
    const OptionRow *r = c->given.v[i];
    if (c->looked[r->offset] || r->letter == 'q') continue; /* a quiet command may have had nothing to say */
    s = cli_fail(c, ST_USAGE, "--%s had no effect: with these arguments jepac %s does not use it", r->name,
                 cmd->name);
    c->looked[r->offset] = 1; /* said once */
  }
  return s;
}
