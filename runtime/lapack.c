/* Items of a batch are divided evenly among the chunks. Item by item, so no result depends on how many there are. */
#include "runtime/lapack.h"

void step_lapack(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)scratch;
  const LapackParam *p = param;
  void *place[LAPACK_PLACES] = {0};
  for (int64_t i = p->batch * chunk / p->nchunk; i < p->batch * (chunk + 1) / p->nchunk; i++) {
    for (int k = 0, at = 0; k < LAPACK_PLACES; k++)
      if (p->there[k]) place[k] = (char *)ptr[at++] + (k == LAPACK_WORK ? chunk : i) * p->bytes[k];
    lapack_run(&p->script, place);
  }
}
