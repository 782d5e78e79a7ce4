/* Memory for operands of kernel benchmarks, jepac's and its peers': huge pages, as a session's arena has. */
#ifndef JEPAC_BENCH_FLOATS_H
#define JEPAC_BENCH_FLOATS_H

#include "ir/base.h"

#include <stdlib.h>
#include <sys/mman.h>

/* n floats in [-1, 1), which the caller frees. */
static inline float *bench_floats(int64_t n) {
  enum { HUGE_PAGE = 1 << 21 };
  size_t bytes = ((size_t)n * 4 + HUGE_PAGE) / HUGE_PAGE * HUGE_PAGE;
  float *p = aligned_alloc(HUGE_PAGE, bytes);
  if (!p) bug("out of memory");
  madvise(p, bytes, MADV_HUGEPAGE);
  uint32_t seed = 1;
  for (int64_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    p[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
  }
  return p;
}

#endif
