/* Shared by the two files of differentiation. */
#ifndef JEPAC_PASSES_GRAPH_AUTODIFF_H
#define JEPAC_PASSES_GRAPH_AUTODIFF_H

#include "ir/graph/loops.h"
#include "passes/graph/pass.h"

typedef struct {
  Graph *g;
  const Graph *in;
  Val *map;
  Diags *diags;
  /* of the sweep under way */
  const GraphLoops *loops;
  Val loss;
  bool *active;   /* values up to the loss that depend differentiably on what it is differentiated by */
  Val *cotangent; /* of values up to the loss, -1: none yet */
} Autodiff;

/* Adds to the cotangent of u. */
void autodiff_add(Autodiff *ad, Val *cotangent, Val u, Val gradient);
bool autodiff_no_derivative(Autodiff *ad, Val v); /* reports, false */
/* All cotangents of what leaves the loop are known: those of what enters it. */
bool autodiff_loop(Autodiff *ad, int loop);

#endif
