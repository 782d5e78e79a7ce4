/* Shared by the two files that share a step among ranks. */
#ifndef JEPAC_PASSES_GRAPH_SHARD_H
#define JEPAC_PASSES_GRAPH_SHARD_H

#include "passes/graph/pass.h"

/* update: of what follows from gradients, such as norms; else of the gradients and all before. copies: of what goes in and
   what comes out, for ranks with batches of their own. */
Graph *shard_buckets(Arena *a, const Graph *in, bool update, bool copies);

#endif
