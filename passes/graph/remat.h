/* Rematerialization at a chosen level (passes/graph/remat.c). */
#ifndef JEPAC_PASSES_GRAPH_REMAT_H
#define JEPAC_PASSES_GRAPH_REMAT_H

#include "passes/graph/pass.h"

enum { REMAT_LEAN = 2, REMAT_LEVELS = 7 };

/* Level 1: cheap elementwise values; REMAT_LEAN: the same, where copies live shorter; each further level
   recomputes more. The result computes the same bits. */
Graph *remat_graph(Arena *a, const Graph *in, int level, int64_t min_bytes);
int64_t remat_largest(const Graph *g); /* bytes of the largest forward value */

#endif
