/* Operators of linear algebra as LAPACK's work on them. */
#ifndef JEPAC_IR_GRAPH_LAPACK_H
#define JEPAC_IR_GRAPH_LAPACK_H

#include "ir/graph/graph.h"
#include "ir/lapack.h"

LapackSpec lapack_spec(const Graph *g, const Node *n);

#endif
