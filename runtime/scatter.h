/* Step function for irregular memory access: scatter_add. */
#ifndef JEPAC_RUNTIME_SCATTER_H
#define JEPAC_RUNTIME_SCATTER_H

#include "runtime/abi.h"

/* out[outer, axis_extent, inner] = 0, then out[o, idx[j], i] += updates[o, j, i] in the order of j; operands
   of the step: idx, updates, out. Indices are clamped to the axis. */
typedef struct {
  DType dt;        /* of updates and out: f32, f64, or an integer of 32 or 64 bits */
  DType idx_dtype; /* DT_I32 or DT_I64 */
  int64_t outer, axis_extent, inner, nidx;
  /* Chunks divide outer x ceil(inner / block) units of work, which write disjoint memory. */
  int64_t block, nchunk;
} ScatterParam;

void step_scatter_add(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
