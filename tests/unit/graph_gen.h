/* Random valid graphs for differential tests: every operator, awkward shapes, shared values, gradients. */
#ifndef JEPAC_TESTS_GRAPH_GEN_H
#define JEPAC_TESTS_GRAPH_GEN_H

#include "ir/graph/graph.h"

/* A graph determined by seed: a few inputs, about `size` operators, results, and gradients of a scalar by
   every input. */
/* Seeds from here on draw from more operators, shapes and attributes. */
enum { GRAPH_GEN_WIDE = 1 << 20 };
Graph *graph_gen(Arena *a, uint64_t seed, int size);

#endif
