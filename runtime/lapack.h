/* A step that calls LAPACK (ir/lapack.h). */
#ifndef JEPAC_RUNTIME_LAPACK_H
#define JEPAC_RUNTIME_LAPACK_H

#include "ir/lapack.h"

typedef struct {
  LapackScript script; /* bound */
  int64_t batch, nchunk;
  bool there[LAPACK_PLACES];
  int64_t bytes[LAPACK_PLACES]; /* from one item to the next; of the workspace, of a chunk */
} LapackParam;

void step_lapack(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
