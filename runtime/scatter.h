/* Step function for irregular memory access: scatter. */
#ifndef JEPAC_RUNTIME_SCATTER_H
#define JEPAC_RUNTIME_SCATTER_H

#include "ir/scatter.h"
#include "runtime/abi.h"

/* out[outer, axis_extent, inner] = 0 (SCATTER_ADD) or what was there, then out[o, idx[j], i] joined with updates[o, j, i] in
   the order of j; operands of the step: idx, updates, what was there but for SCATTER_ADD, out. Indices are clamped to the
   axis. */
typedef struct {
  DType dt;        /* of updates and out: f32, f64, or an integer of 32 or 64 bits */
  DType idx_dtype; /* DT_I32 or DT_I64 */
  int64_t outer, axis_extent, inner, nidx;
  /* Chunks divide outer x ceil(inner / block) units of work, which write disjoint memory. */
  int64_t block, nchunk;
  ScatterJoin join;
} ScatterParam;

void step_scatter(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
