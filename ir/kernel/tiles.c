/* The arithmetic of tiles (tiles.h), as measured on processors that have them. */
#include "ir/kernel/tiles.h"

#include <math.h>
#include <string.h>

const char tiles_none[] = "no tiles on this processor", tiles_f32[] = "operands are f32";

static float flushed(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  if (!(u & 0x7f800000u)) u &= 0x80000000u;
  memcpy(&x, &u, sizeof x);
  return x;
}

float tiles_add(float c, const float *a, const float *b, int64_t n) {
  float even = 0, odd = 0;
  for (int64_t i = 0; i < n; i += 2) {
    even = flushed(fmaf(flushed(a[i]), flushed(b[i]), even));
    if (i + 1 < n) odd = flushed(fmaf(flushed(a[i + 1]), flushed(b[i + 1]), odd));
  }
  return flushed(flushed(c) + flushed(even + odd));
}

float tiles_sum(const float *a, const float *b, int64_t n) {
  float c = 0;
  for (int64_t i = 0; i < n; i += TILE_DEEP)
    c = tiles_add(c, a + i, b + i, n - i < TILE_DEEP ? n - i : TILE_DEEP);
  return c;
}
