/* Measured times of a step's kernels: a table by kernel or by module, and a flame graph. */
#ifndef JEPAC_CLI_PROFILE_H
#define JEPAC_CLI_PROFILE_H

#include "cli/cli.h"

/* Runs some steps and returns the least seconds of each kernel, of the thread that is busiest in it. */
const double *profile_measure(Session *s);
/* Slowest first. */
void profile_print_kernels(Cli *c, const Compiled *k, const double *seconds, FILE *f);
/* Each module before its parts, which it counts with. */
void profile_print_modules(Cli *c, const Compiled *k, const double *seconds, FILE *f);
/* A picture where path ends in .svg, else folded stacks: part of the step, module path, kernel, and microseconds. */
Status profile_flame(Cli *c, const Compiled *k, const double *seconds, const char *path);

#endif
