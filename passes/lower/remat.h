/* Rematerialization at a chosen level (passes/lower/remat.c). */
#ifndef JEPAC_PASSES_LOWER_REMAT_H
#define JEPAC_PASSES_LOWER_REMAT_H

#include "ir/cost_model.h"
#include "ir/graph/graph.h"

enum { REMAT_PLAIN = 1, REMAT_LEAN, REMAT_LEVELS = 7 };

/* REMAT_PLAIN: cheap elementwise values; REMAT_LEAN: the same, where copies live shorter; each further level
   recomputes more. The result computes the same bits. */
Graph *remat_graph(Arena *a, const Graph *in, const CostModel *cost, int level, int64_t min_bytes);
/* Loops whose values another reads backwards keep every k-th step's carries and compute the rest again
   (passes/lower/remat_loops.c). */
Graph *remat_loops(Arena *a, const Graph *in);
int64_t remat_largest(const Graph *g); /* bytes of the largest forward value */

#endif
