/* Parts of jepac verify. */
#ifndef JEPAC_CLI_VERIFY_H
#define JEPAC_CLI_VERIFY_H

#include "cli/cli.h"
#include "cli/lines.h"

#define VERIFY_TOLERANCE 1e-7 /* of the largest element, between evaluations in f64 */
#define VERIFY_CANCELLED 1e-6 /* of the values around it: a result below that is what cancellation left */

typedef struct {
  const char *name;
  Tensor64 value;
} Known;

typedef struct {
  Cli *c;
  Lines *lines;
  Session *store;   /* the model's inputs and initial states */
  VEC(Known) known; /* inputs made so far */
  uint64_t seed;
  const char *fault; /* for the test of this command: "pass=N", "kernels", "bounds"; NULL: none, or used up */
  double flops;      /* of one forward evaluation */
  int stages, kernels, faults;
  double error; /* of the pass just compared; -1: nothing to compare */
  double worst; /* largest error met in a kernel, as part of what was allowed */
} Verify;

typedef struct {
  const Graph *g; /* with gradients expanded */
  Tensor64 *in, *out;
} Evaluated;

/* Random arguments, initial states, small run-time scalars. */
Tensor64 *verify_inputs(Verify *v, const Graph *g);
/* The value of every node of g. */
Tensor64 *verify_values(Arena *a, const Graph *g, const Tensor64 *in);
/* The largest finite magnitude. */
double verify_largest(const Tensor64 *x);
/* The largest difference between two tensors over the largest magnitude, which counts as at least
   VERIFY_CANCELLED of that of the values around; infinity when only one is NaN. */
double verify_distance(const Tensor64 *a, const Tensor64 *b, double around);
/* Are `out`, the outputs of g as `pass` left it, those of before? after (may be NULL) helps to name the
   place. */
Status verify_results(Verify *v, const char *pass, const Evaluated *before, const Graph *g,
                      const Tensor64 *out, const Evaluated *after);

/* Every pass's result against that of the pass before it. *last: the program to compile. */
Status verify_stages(Verify *v, const Graph *g, Program **last);
Status verify_layout(Verify *v, const PassResult *r);
Status verify_program(Verify *v, const PassResult *r, const Evaluated *before);
/* Each kernel's machine code on the operands it meets in a run against the kernel interpreter; then the
   chained program against the kernels alone, to the bit; compiler_alone(). */
Status verify_kernels(Verify *v, Program *chained, Program *alone);
/* Inputs and states of a session of p. */
void verify_fill(Verify *v, const Program *p, Session *s);
/* Derivatives against finite differences along a random direction. */
Status verify_gradients(Verify *v, const Graph *g);
/* No kernel's machine code touches memory that is not its operands' (verify_bounds.c). */
Status verify_bounds(Verify *v, Program *p);

/* ---- faults (verify_fault.c) ---- */
bool verify_damage(const PassResult *r); /* false: nothing there to damage */
void verify_damage_result(void *data, DType dt, int64_t bytes,
                          double by); /* its middle element; +by, of no float a bit */

#endif
