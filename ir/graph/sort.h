/* The order of elements, as the interpreters find it. */
#ifndef JEPAC_IR_GRAPH_SORT_H
#define JEPAC_IR_GRAPH_SORT_H

#include "ir/type.h"

/* For each of `rows` rows of n cells of type dt the order that sorts it, as cells of i64: equal elements as they stand, NaN
   as the largest; descending: from the largest on. */
void argsort_cells(DType dt, bool descending, int64_t rows, int64_t n, const double *x, double *out);

#endif
