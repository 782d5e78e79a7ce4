/* Random values for inputs: a function of the seed and the tensor's name only, so that a model, its dumps and
   both interpreters meet the same numbers. */
#include "cli/cli.h"
#include "runtime/rng.h"

#include <string.h>

void cli_random_values(const char *name, DType dt, int64_t n, uint64_t seed, double *out) {
  Rng r = rng_stream(seed, 0x1a9d, (uint32_t)hash_bytes(name, strlen(name), 0), 0);
  for (int64_t i = 0; i < n; i++) {
    double x = rng_normal(&r);
    out[i] = dtype_is_narrow(dt)  ? dtype_round(dt, x, true)
             : dtype_is_float(dt) ? (double)(float)x
             : dtype_is_int(dt)   ? int_cell(dt, x > 0) /* indices any table has */
                                  : x > 0;
  }
}
