/* A step that calls a function of the user's shared library (ir/extern.h). */
#ifndef JEPAC_RUNTIME_EXTERN_H
#define JEPAC_RUNTIME_EXTERN_H

#include "ir/extern.h"

typedef struct {
  ExternFn fn;
  int nptr; /* operands and the result */
  Shape result;
} ExternParam;

void step_extern(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
