/* Points on two interleaved spirals. */
#ifndef POINTS_H
#define POINTS_H

#include <math.h>
#include <stdint.h>

static inline float
uniform(uint32_t *state) { /* a generator of Marsaglia's (2003): good enough for points in a plane */
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return (float)*state / 4294967296.0f;
}

/* A point into xy; returns the arm it is on, 0 or 1. */
static inline int make_point(float *xy, uint32_t *random) {
  int arm = uniform(random) < 0.5f;
  float r = uniform(random), angle = 6.0f * r + (arm ? 3.14159265f : 0.0f);
  xy[0] = r * cosf(angle) + 0.02f * (uniform(random) - 0.5f);
  xy[1] = r * sinf(angle) + 0.02f * (uniform(random) - 0.5f);
  return arm;
}

#endif
