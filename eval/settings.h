/* The settings of a run's recipe as lines, "optimizer.adamw.lr" and "0.001". */
#ifndef JEPAC_EVAL_SETTINGS_H
#define JEPAC_EVAL_SETTINGS_H

#include "ir/base.h"

#include <jansson.h>

/* A value as compact text; a string without its quotes. */
const char *settings_text(Arena *a, const json_t *v);
/* Every value below v, in the order of the file. */
void settings_each(Arena *a, json_t *v, void (*take)(void *ctx, const char *path, const char *value), void *ctx);

#endif
