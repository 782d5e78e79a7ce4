/* Philox4x32-10 and distributions on top of it; see rng.h. */
#include "runtime/rng.h"

#include <math.h>

void philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

Rng rng_stream(uint64_t seed, uint32_t a, uint32_t b, uint32_t c) {
  Rng r = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ 0x64617461u}, .ctr = {0, a, b, c}, .left = 0};
  return r;
}

uint32_t rng_u32(Rng *r) {
  if (r->left == 0) {
    philox4x32(r->ctr, r->key, r->block);
    r->ctr[0]++;
    r->left = 4;
  }
  return r->block[4 - r->left--];
}

double rng_bits_unit(uint32_t hi, uint32_t lo) {
  uint64_t bits = ((uint64_t)hi << 21) | (lo >> 11);
  return (double)bits * 0x1p-53;
}

double rng_box_muller(const uint32_t bits[4]) {
  double u = rng_bits_unit(bits[0], bits[1]) + 0x1p-53; /* (0, 1]: the logarithm stays finite */
  double v = rng_bits_unit(bits[2], bits[3]);
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);
}

double rng_unit(Rng *r) {
  uint32_t hi = rng_u32(r), lo = rng_u32(r);
  return rng_bits_unit(hi, lo);
}

double rng_uniform(Rng *r, double lo, double hi) { return lo + (hi - lo) * rng_unit(r); }

double rng_normal(Rng *r) {
  uint32_t bits[4];
  for (int i = 0; i < 4; i++) bits[i] = rng_u32(r);
  return rng_box_muller(bits);
}

uint32_t rng_below(Rng *r, uint32_t n) {
  uint32_t floor = (uint32_t)-n % n; /* rejects the draws that would favour small results (Lemire 2019) */
  for (;;) {
    uint64_t m = (uint64_t)rng_u32(r) * n;
    if ((uint32_t)m >= floor) return (uint32_t)(m >> 32);
  }
}
