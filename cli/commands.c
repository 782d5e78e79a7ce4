/* The commands: a row for each. */
#include "cli/cli.h"

#include <string.h>

const Command command_table[] = {
    {"check", CMD_CHECK, cmd_check, 1, 1, "MODEL", "parse, shapes, memory and FLOP estimate", NULL},
    {"train", CMD_TRAIN, cmd_train, 1, 1, "MODEL", "compile and train", NULL},
    {"eval", CMD_EVAL, cmd_eval, 1, 1, "RUN|MODEL", "probes and protocols on a checkpoint", NULL},
    {"sweep", CMD_SWEEP, cmd_sweep, 1, 1, "MODEL", "train with each combination of settings, and compare",
     NULL},
    {"runs", CMD_RUNS, cmd_runs, 1, MAX_ARGS, "DIR...", "list the runs in folders", NULL},
    {"compare", CMD_COMPARE, cmd_compare, 1, MAX_ARGS, "RUN...",
     "settings that differ, figures and curves of runs", NULL},
    {"report", CMD_REPORT, cmd_report, 1, 1, "RUN", "curves and recipe of a run as a page", NULL},
    {"recipes", CMD_RECIPES, cmd_recipes, 0, 1, "[NAME]", "the paper's models on its data sets, by name",
     "\n  Commands that take a MODEL take a NAME too: jepac train NAME --data DIR\n"},
    {"run", CMD_RUN, cmd_run, 1, 1, "MODEL|FILE.ir", "run one entry on given tensors", NULL},
    {"compile", CMD_COMPILE, cmd_compile, 1, 1, "MODEL", "a library that needs no jepac", NULL},
    {"ir", CMD_IR, cmd_ir, 1, 1, "MODEL|FILE.ir", "print a stage of the compiler", NULL},
    {"opt", CMD_OPT, cmd_opt, 1, 1, "FILE.ir", "run passes on textual IR", NULL},
    {"explain", CMD_EXPLAIN, cmd_explain, 1, 1, "MODEL|FILE.ir", "memory, time and fusion per model line",
     NULL},
    {"verify", CMD_VERIFY, cmd_verify, 1, 1, "MODEL|FILE.ir", "compare passes, JIT and interpreter", NULL},
    {"bench", CMD_BENCH, cmd_bench, 1, 1, "MODEL", "time the training step", NULL},
    {"render", CMD_RENDER, cmd_render, 0, 0, "", "write a data set of rendered objects in known rotations",
     NULL},
    {"reduce", CMD_REDUCE, cmd_reduce, 1, 1, "MODEL -- CMD", "smallest model file that still fails", NULL},
    {"ckpt", CMD_CKPT, cmd_ckpt, 1, 3, "ls|check|diff|convert",
     "list, check, compare and convert tensor files",
     "\n  ls RUN|FILE            each tensor's type and shape, least, largest and mean value, standard "
     "deviation\n"
     "  check RUN|FILE         the checksums that a checkpoint carries\n"
     "  diff A B               the first tensor in which two differ (-v: all); exit 5 where one does\n"
     "  convert FROM TO        into .safetensors, .npy or a folder of .npy; names by --only and --prefix\n"},
    {"import", CMD_IMPORT, cmd_import, 1, 1, "MODEL.onnx", "an ONNX model as a model file and its states",
     NULL},
    {"export", CMD_EXPORT, cmd_export, 1, 1, "MODEL", "one entry as an ONNX model", NULL},
    {"fmt", CMD_FMT, cmd_fmt, 1, MAX_ARGS, "MODEL...", "lay out model files; - is standard input", NULL},
    {"lsp", CMD_LSP, cmd_lsp, 0, 0, "", "language server for editors, on standard input and output", NULL},
    {"manual", CMD_MANUAL, cmd_manual, 0, 1, "[PART]",
     "operators, functions, library, protocols; man, bash, zsh, fish", NULL},
    {0},
};

const Command *command_find(const char *name) {
  for (const Command *k = command_table; k->name; k++)
    if (!strcmp(k->name, name)) return k;
  return NULL;
}
