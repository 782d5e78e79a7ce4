/* Operators between the processes ("ranks") of one run, which all go through the same graph. */
#ifndef JEPAC_IR_GRAPH_COLLECTIVE_H
#define JEPAC_IR_GRAPH_COLLECTIVE_H

#include "ir/graph/graph.h"

int64_t collective_ranks(const Node *n); /* 0: n is no such operator */
/* A whole value is [outer, ranks, inner] in row-major order, each rank's part [outer, inner]. Of operators that know no
   parts outer is 1 and inner all elements. */
void collective_extents(const Graph *g, const Node *n, int64_t *outer, int64_t *inner);
/* The value of `rank`, from the operand x as each of collective_ranks(n) ranks has it. */
void collective_eval(const Node *n, const Shape *x, const double *const *in, int rank, double *out);

/* Shorthands. */
Val g_all(Graph *g, OpId op, Val x, int ranks); /* all_reduce_sum ... */
Val g_part(Graph *g, OpId op, Val x, int axis, int64_t groups,
           int ranks);           /* reduce_scatter, rank_part, all_gather */
Val g_rank(Graph *g, int ranks); /* i64[1]: the number of this one */

#endif
