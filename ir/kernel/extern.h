/* Calls of functions of the user's shared libraries. */
#ifndef JEPAC_IR_KERNEL_EXTERN_H
#define JEPAC_IR_KERNEL_EXTERN_H

#include "ir/extern.h"
#include "ir/type.h"

typedef struct {
  Extern fn;
  Shape result; /* its extents are arguments; operands are row-major */
} ExternSpec;

#endif
