/* Derivatives: one call that appends the gradient of any operator to a graph. */
#ifndef JEPAC_IR_GRAPH_VJP_H
#define JEPAC_IR_GRAPH_VJP_H

#include "ir/graph/graph.h"

/* Appends to g the gradients of the operands of node y for the incoming gradient gy (same type as y); gin[i]
   receives a value of operand i's type, or -1 when no gradient flows. False when the operator has no
   derivative. */
bool op_vjp(Graph *g, Val y, Val gy, Val *gin);
/* Gradient can flow from the node's result to operand i: both are floats and the row does not say "-". */
bool op_vjp_flows(const Graph *g, Val y, int i);

#endif
