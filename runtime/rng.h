/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
   easy as 1, 2, 3", 2011). A number depends only on its key and counter, so streams need no state that a
   checkpoint would have to keep. */
#ifndef JEPAC_RUNTIME_RNG_H
#define JEPAC_RUNTIME_RNG_H

#include "ir/base.h"

void philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/* A sequence named by (seed, a, b, c): counter word 0 numbers its blocks. The key differs from that of the
   compiled random_bits and of state initialization with the same seed. */
typedef struct {
  uint32_t key[2], ctr[4], block[4];
  int left;
} Rng;

Rng rng_stream(uint64_t seed, uint32_t a, uint32_t b, uint32_t c);
uint32_t rng_u32(Rng *r);
double rng_unit(Rng *r);                          /* [0, 1), 53 bits */
double rng_uniform(Rng *r, double lo, double hi); /* [lo, hi) */
double rng_normal(Rng *r);                        /* Box-Muller, in double */
uint32_t rng_below(Rng *r, uint32_t n);           /* [0, n), unbiased */

/* The two building blocks, on one Philox output. */
double rng_bits_unit(uint32_t hi, uint32_t lo);
double rng_box_muller(const uint32_t bits[4]);

/* Initial values: number i comes from Philox with key seed and counter (i, 0, stream). Uniform in [a, b), or
   normal with mean a and deviation b. */
typedef struct {
  uint64_t seed;
  uint32_t stream;
  bool normal;
  double a, b;
} RngBlock;
enum { RNG_BLOCK = 512 };
/* Numbers first, first + 1, ... of which n <= RNG_BLOCK go to out: on every CPU the bits that the building
   blocks give. */
void rng_block(const RngBlock *b, int64_t first, int n, double *out);

#endif
