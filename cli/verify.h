/* Parts of jepac verify. */
#ifndef JEPAC_CLI_VERIFY_H
#define JEPAC_CLI_VERIFY_H

#include "cli/cli.h"
#include "cli/lines.h"

typedef struct {
  Cli *c;
  Lines *lines;
  uint64_t seed;
  const char *fault; /* a pass to damage, or "kernel=N": for the test of this command */
  double flops; /* of one forward evaluation */
  int stages, kernels;
  double worst; /* largest error met, as part of what was allowed */
} Verify;

/* Random arguments, initial states, small run-time scalars. */
Tensor64 *verify_inputs(Verify *v, const Graph *g);
/* The largest difference between two tensors over the largest magnitude; infinity when only one is NaN. */
double verify_distance(const Tensor64 *a, const Tensor64 *b);
/* ... and where. */
double verify_distance_at(const double *a, const double *b, int64_t n, int64_t *at);

/* Every dumped stage against the one before it. *last: the program to compile. */
Status verify_stages(Verify *v, const Graph *g, Program **last);
/* Each kernel's machine code on the operands it meets in a run against the kernel interpreter. */
Status verify_kernels(Verify *v, Program *p);
/* Derivatives against finite differences along a random direction. */
Status verify_gradients(Verify *v, const Graph *g);

#endif
