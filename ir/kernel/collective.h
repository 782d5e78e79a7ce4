/* Kernels between the ranks of a run: one operator of ir/graph/collective.h each. */
#ifndef JEPAC_IR_KERNEL_COLLECTIVE_H
#define JEPAC_IR_KERNEL_COLLECTIVE_H

#include "ir/graph/graph.h"

typedef struct {
  Collective what;
  DType dt;
  int64_t outer, inner, ranks; /* whole: [outer][ranks][inner]; without parts: [inner] */
} CollectiveSpec;

CollectiveSpec collective_spec(const Graph *g, const Node *n);
/* Bytes of working memory. */
int64_t collective_work(const CollectiveSpec *s);

#endif
