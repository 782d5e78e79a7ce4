/* How a scatter joins an update with what is at its place. */
#ifndef JEPAC_IR_SCATTER_H
#define JEPAC_IR_SCATTER_H

#include "ir/type.h"

typedef enum {
  SCATTER_ADD, /* to zeros; the others have an operand with what was there */
  SCATTER_SET,
  SCATTER_MUL,
  SCATTER_MIN,
  SCATTER_MAX,
  SCATTER_JOINS
} ScatterJoin;

#endif
