/* The picture of a run. */
#ifndef JEPAC_CLI_PLOT_H
#define JEPAC_CLI_PLOT_H

#include "ir/base.h"

/* Draws every metric of a run.jsonl into an SVG file, one panel each. */
Status plot_run(Arena *a, const char *title, const char *jsonl, const char *svg, Diags *d);

#endif
