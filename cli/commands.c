/* The commands: a row for each. */
#include "cli/cli.h"

#include <string.h>

const Command command_table[] = {
    {"check", CMD_CHECK, cmd_check, 1, 1, "MODEL", "parse, shapes, memory and FLOP estimate"},
    {"train", CMD_TRAIN, cmd_train, 1, 1, "MODEL", "compile and train"},
    {"eval", CMD_EVAL, cmd_eval, 1, 1, "RUN", "probes and protocols on a checkpoint"},
    {"sweep", CMD_SWEEP, cmd_sweep, 1, 1, "MODEL", "train with each combination of settings, and compare"},
    {"runs", CMD_RUNS, cmd_runs, 1, MAX_ARGS, "DIR...", "list the runs in folders"},
    {"compare", CMD_COMPARE, cmd_compare, 1, MAX_ARGS, "RUN...",
     "settings that differ, figures and curves of runs"},
    {"report", CMD_REPORT, cmd_report, 1, 1, "RUN", "curves and recipe of a run as a page"},
    {"run", CMD_RUN, cmd_run, 1, 1, "MODEL|FILE.ir", "run one entry on given tensors"},
    {"compile", CMD_COMPILE, cmd_compile, 1, 1, "MODEL", "a library that needs no jepac"},
    {"ir", CMD_IR, cmd_ir, 1, 1, "MODEL|FILE.ir", "print a stage of the compiler"},
    {"opt", CMD_OPT, cmd_opt, 1, 1, "FILE.ir", "run passes on textual IR"},
    {"explain", CMD_EXPLAIN, cmd_explain, 1, 1, "MODEL|FILE.ir", "memory, time and fusion per model line"},
    {"verify", CMD_VERIFY, cmd_verify, 1, 1, "MODEL|FILE.ir", "compare passes, JIT and interpreter"},
    {"bench", CMD_BENCH, cmd_bench, 1, 1, "MODEL", "time the training step"},
    {"render", CMD_RENDER, cmd_render, 0, 0, "", "write a data set of rendered objects in known rotations"},
    {"reduce", CMD_REDUCE, cmd_reduce, 1, 1, "MODEL -- CMD", "smallest model file that still fails"},
    {"ckpt", CMD_CKPT, cmd_ckpt, 1, 3, "ls|check|diff|convert",
     "list, check, compare and convert tensor files"},
    {"fmt", CMD_FMT, cmd_fmt, 1, 1, "MODEL", "lay out a model file"},
    {"lsp", CMD_LSP, cmd_lsp, 0, 0, "", "language server for editors, on standard input and output"},
    {"manual", CMD_MANUAL, cmd_manual, 0, 1, "[PART]",
     "operators, functions, library, protocols; man, bash, zsh, fish"},
    {0},
};

const Command *command_find(const char *name) {
  for (const Command *k = command_table; k->name; k++)
    if (!strcmp(k->name, name)) return k;
  return NULL;
}
