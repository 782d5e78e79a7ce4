#include "runtime/render/texture.h"

#include <math.h>

Texture texture_draw(Rng *r) {
  Texture t = {.kind = TEXTURE_NOISE + (int)rng_below(r, NTEXTURE - TEXTURE_NOISE)};
  t.scale = rng_uniform(r, 2.5, 6);
  t.contrast = rng_uniform(r, 0.3, 0.8);
  t.seed = rng_below(r, 1u << 31);
  return t;
}

/* 0..1, of a point of the lattice. */
static double lattice(uint32_t seed, int x, int y, int z) {
  uint32_t h = seed ^ (uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u ^ (uint32_t)z * 0xcb1ab31fu;
  h = (h ^ h >> 16) * 0x7feb352du;
  h = (h ^ h >> 15) * 0x846ca68bu;
  return (double)(h ^ h >> 16) / 4294967295.0;
}

/* 0..1: values of the lattice, smooth in between (Perlin 1985, "An image synthesizer"). */
static double noise(uint32_t seed, const double p[3]) {
  int cell[3];
  double at[3], sum = 0;
  for (int k = 0; k < 3; k++) {
    cell[k] = (int)floor(p[k]);
    at[k] = p[k] - cell[k];
    at[k] = at[k] * at[k] * (3 - 2 * at[k]);
  }
  for (int c = 0; c < 8; c++) {
    double w = (c & 1 ? at[0] : 1 - at[0]) * (c & 2 ? at[1] : 1 - at[1]) * (c & 4 ? at[2] : 1 - at[2]);
    sum += w * lattice(seed, cell[0] + (c & 1), cell[1] + (c >> 1 & 1), cell[2] + (c >> 2));
  }
  return sum;
}

static double dark_at(const Texture *t, const double p[3]) {
  double q[3], sum = 0, far = 0;
  for (int k = 0; k < 3; k++) q[k] = t->scale * p[k];
  switch (t->kind) {
  case TEXTURE_NOISE: return noise(t->seed, q);
  case TEXTURE_STRIPES: /* across a direction of the seed's, not quite straight */
    for (int k = 0; k < 3; k++) sum += (2 * lattice(t->seed, k, 0, 0) - 1) * q[k];
    sum += noise(t->seed, q);
    return sum - floor(sum) < 0.5;
  case TEXTURE_CHECKS: return fmod(fabs(floor(q[0]) + floor(q[1]) + floor(q[2])), 2);
  case TEXTURE_SPOTS: /* a ball in each cell */
    for (int k = 0; k < 3; k++) far += pow(q[k] - floor(q[k]) - 0.5, 2);
    return far < 0.16;
  default: return 0;
  }
}

double texture_at(const Texture *t, const double p[3]) {
  return t->kind == TEXTURE_NONE ? 1 : 1 - t->contrast * dark_at(t, p);
}
