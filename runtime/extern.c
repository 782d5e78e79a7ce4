/* The user's function runs on one thread, one call at a time, on row-major operands in the arena. */
#include "runtime/extern.h"

void step_extern(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)chunk;
  (void)scratch;
  const ExternParam *p = param;
  extern_call(p->fn, ptr, p->nptr, &p->result);
}
