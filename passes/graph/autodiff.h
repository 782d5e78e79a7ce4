/* Shared by the two files of differentiation. */
#ifndef JEPAC_PASSES_GRAPH_AUTODIFF_H
#define JEPAC_PASSES_GRAPH_AUTODIFF_H

#include "ir/graph/loops.h"
#include "passes/graph/pass.h"

/* Where a value was not chosen its cotangent is 0, and the product with a derivative that is infinite or NaN there
   would be NaN. So below such a choice zero stays zero: in all operators below select, which people write to guard
   against just that; below extremes, rectifiers and slices only in those that make infinities of numbers. */
typedef enum { NO_ZEROS, SOME_ZEROS, CHOSEN_ZEROS } Zeros;

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
  Zeros *zeros;   /* of values up to the loss: whether a cotangent of 0 stays one */
} Autodiff;

/* Adds to the cotangent of u. */
void autodiff_add(Autodiff *ad, Val *cotangent, Val u, Val gradient);
/* The gradient gin of operand i of v, made of cotangent gy, and what is so below v. */
Val autodiff_keep_zeros(Autodiff *ad, Val v, int i, Val gy, Val gin);
bool autodiff_no_derivative(Autodiff *ad, Val v); /* reports, false */
/* All cotangents of what leaves the loop are known: those of what enters it. */
bool autodiff_loop(Autodiff *ad, int loop);

#endif
