/* Scatter: sums into places that an operand names. */
#ifndef JEPAC_IR_KERNEL_SCATTER_H
#define JEPAC_IR_KERNEL_SCATTER_H

#include "ir/type.h"

typedef struct {
  int64_t outer, extent, inner, nidx; /* out[outer][extent][inner] += upd[outer][nidx][inner] at idx[nidx] */
  DType idx_dt, dt;
} ScatterSpec;

/* Chunks divide outer x ceil(inner / block) units of work, which write disjoint memory. */
enum { SCATTER_BLOCK = 64 };

#endif
