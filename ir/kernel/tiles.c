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

const char *tiles_name(Tiles t) { return tiles_by_pairs(t) ? "bf16 pairs" : "bf16 tiles"; }

static float add_pairs(float c, const float *a, const float *b, int64_t n) {
  c = flushed(c);
  for (int64_t i = 0; i < n; i += 2) {
    if (i + 1 < n) c = flushed(fmaf(flushed(a[i + 1]), flushed(b[i + 1]), c));
    c = flushed(fmaf(flushed(a[i]), flushed(b[i]), c));
  }
  return c;
}

float tiles_add(Tiles t, float c, const float *a, const float *b, int64_t n) {
  if (tiles_by_pairs(t)) return add_pairs(c, a, b, n);
  float even = 0, odd = 0;
  for (int64_t i = 0; i < n; i += 2) {
    even = flushed(fmaf(flushed(a[i]), flushed(b[i]), even));
    if (i + 1 < n) odd = flushed(fmaf(flushed(a[i + 1]), flushed(b[i + 1]), odd));
  }
  return flushed(flushed(c) + flushed(even + odd));
}

float tiles_sum(Tiles t, const float *a, const float *b, int64_t n) {
  float c = 0;
  for (int64_t i = 0; i < n; i += TILE_DEEP)
    c = tiles_add(t, c, a + i, b + i, n - i < TILE_DEEP ? n - i : TILE_DEEP);
  return c;
}
