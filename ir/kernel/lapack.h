/* Kernels that call LAPACK: one operator of ir/graph/lapack.c each. */
#ifndef JEPAC_IR_KERNEL_LAPACK_H
#define JEPAC_IR_KERNEL_LAPACK_H

#include "ir/lapack.h"

/* Items are divided evenly among chunks, each with a workspace of its own. */
int64_t lapack_chunks(const LapackSpec *s);
int64_t lapack_work(const LapackSpec *s); /* bytes, of all chunks */

#endif
