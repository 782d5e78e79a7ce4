/* Scatter: what is at places that an operand names, joined with updates. */
#ifndef JEPAC_IR_KERNEL_SCATTER_H
#define JEPAC_IR_KERNEL_SCATTER_H

#include "ir/scatter.h"

typedef struct {
  int64_t outer, extent, inner,
      nidx; /* out[outer][extent][inner] with upd[outer][nidx][inner] at idx[nidx] */
  ScatterJoin join;
  DType idx_dt, dt;
} ScatterSpec;

/* Chunks divide outer x ceil(inner / block) units of work, which write disjoint memory. */
enum { SCATTER_BLOCK = 64 };

#endif
