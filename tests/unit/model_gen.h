/* Random valid model files for differential tests: operators by their names in the language, layers, awkward
   shapes, modules used twice, repeat and if, averages, a train section. */
#ifndef JEPAC_TESTS_MODEL_GEN_H
#define JEPAC_TESTS_MODEL_GEN_H

#include "ir/base.h"

typedef struct {
  char *text;   /* to be freed */
  bool stopped; /* some gradient is not the derivative: stop_gradient or an average lies on the way */
} ModelText;

/* A file determined by seed, with about `size` equations, one entry `forward` whose first result is `loss`,
   and a train section. */
ModelText model_gen(uint64_t seed, int size);

#endif
