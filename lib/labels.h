/* Labels that name no class: a loss of one is not a number (cross_entropy), and this finds which it was. */
#ifndef JEPAC_LIB_LABELS_H
#define JEPAC_LIB_LABELS_H

#include "lib/compiler.h"

typedef struct {
  const char *input;
  int64_t place, value, classes; /* place: in the input */
} StrayLabel;

/* The first element of an input of the graph that chooses among 0..classes-1 and is none of them. */
bool labels_stray(const Graph *g, int input, const double *cell, StrayLabel *out);
/* Of any input that a session holds. */
bool labels_stray_of(const Compiled *k, Arena *a, StrayLabel *out);

#endif
