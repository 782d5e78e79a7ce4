/* Philox4x32-10 and distributions on top of it; see rng.h. Logarithm and cosine are written out in adds,
   multiplications and one division, and this file is compiled without contraction to fused multiply-adds, so
   that every CPU gives the same bits and whole blocks are computed in vectors. */
#include "runtime/rng.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void philox_rounds(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0;
    c[1] = (uint32_t)p1;
    c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
    c[3] = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

void philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
  memcpy(out, ctr, 4 * sizeof *out);
  philox_rounds(out, key[0], key[1]);
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

/* (hi * 2^21 + lo / 2^11) * 2^-53: both parts and their sum are exact. Signed conversions, since only those
   have vector forms everywhere. */
INLINE double unit_of(uint32_t hi, uint32_t lo) {
  double h = (double)(int32_t)(hi ^ 0x80000000u) + 2147483648.0;
  return h * 0x1p-32 + (double)(int32_t)(lo >> 11) * 0x1p-53;
}

INLINE double as_double(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Natural logarithm of x in [2^-53, 1], within 2 ulp: x = 2^k m with m in [sqrt(1/2), sqrt(2)), and log(m) =
   2 atanh((m - 1) / (m + 1)) by its series. */
INLINE double log_of(double x) {
  uint64_t bits, bias = 0x3fe6a09e667f3bcdull - ((uint64_t)64 << 52); /* the bits of sqrt(1/2), k + 64 > 0 */
  memcpy(&bits, &x, sizeof bits);
  uint64_t k64 = (bits - bias) >> 52;
  double k = as_double(k64 | 0x4330000000000000ull) - (0x1p52 + 64);
  double f = as_double(bits - (k64 << 52) + ((uint64_t)64 << 52)) - 1, s = f / (2 + f), z = s * s, r = 0;
  for (int i = 11; i >= 1; i--) r = r * z + 2.0 / (2 * i + 1);
  return k * 0x1.62e42fefa3800p-1 + (2 * s + (s * (z * r) + k * 0x1.ef35793c76730p-45));
}

/* cos(2 pi v) for v in [0, 1), within 2^-52: the nearest quarter of a turn and the Taylor series of what is
   left, at most pi/4. */
INLINE double cos_turns(double v) {
  static const double inverse[] = {1,
                                   1,
                                   1 / 2.0,
                                   1 / 6.0,
                                   1 / 24.0,
                                   1 / 120.0,
                                   1 / 720.0,
                                   1 / 5040.0,
                                   1 / 40320.0,
                                   1 / 362880.0,
                                   1 / 3628800.0,
                                   1 / 39916800.0,
                                   1 / 479001600.0,
                                   1 / 6227020800.0,
                                   1 / 87178291200.0,
                                   1 / 1307674368000.0,
                                   1 / 20922789888000.0,
                                   1 / 355687428096000.0}; /* of factorials */
  double t = 4 * v, q = (t + 0x1.8p52) - 0x1.8p52, x = (t - q) * 1.57079632679489661923, z = x * x;
  double c = inverse[16], s = inverse[17];
  for (int i = 14; i >= 0; i -= 2) c = inverse[i] - c * z, s = inverse[i + 1] - s * z;
  s *= x;
  double part = q == 1 || q == 3 ? s : c;
  return q == 1 || q == 2 ? -part : part;
}

INLINE double normal_of(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  double u = unit_of(a, b) + 0x1p-53; /* (0, 1]: the logarithm stays finite */
  return sqrt(-2.0 * log_of(u)) * cos_turns(unit_of(c, d));
}

double rng_bits_unit(uint32_t hi, uint32_t lo) { return unit_of(hi, lo); }

double rng_box_muller(const uint32_t bits[4]) { return normal_of(bits[0], bits[1], bits[2], bits[3]); }

/* ---- blocks ---- */
typedef void BlockFn(const RngBlock *b, int64_t first, int n, double *out);

INLINE void block(const RngBlock *r, int64_t first, int n, double *out) {
  uint32_t w[4][RNG_BLOCK], k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32), stream = r->stream;
  uint32_t high = (uint32_t)((uint64_t)first >> 32), low = (uint32_t)first;
  double a = r->a, scale = r->normal ? r->b : r->b - r->a;
  for (int i = 0; i < n; i++) {
    uint32_t c[4] = {low + (uint32_t)i, high + (low + (uint32_t)i < low), 0, stream};
    philox_rounds(c, k0, k1);
    for (int j = 0; j < 4; j++) w[j][i] = c[j];
  }
  if (r->normal)
    for (int i = 0; i < n; i++) out[i] = a + scale * normal_of(w[0][i], w[1][i], w[2][i], w[3][i]);
  else
    for (int i = 0; i < n; i++) out[i] = a + scale * unit_of(w[0][i], w[1][i]);
}

static void block_plain(const RngBlock *r, int64_t first, int n, double *out) { block(r, first, n, out); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void block_avx2(const RngBlock *r, int64_t first, int n, double *out) {
  block(r, first, n, out);
}

__attribute__((target("avx512f,avx512vl,avx512dq"))) static void
block_avx512(const RngBlock *r, int64_t first, int n, double *out) {
  block(r, first, n, out);
}
#endif

static BlockFn *block_fn(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return block_avx512;
  if (__builtin_cpu_supports("avx2")) return block_avx2;
#endif
  return block_plain;
}

void rng_block(const RngBlock *b, int64_t first, int n, double *out) { block_fn()(b, first, n, out); }

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
