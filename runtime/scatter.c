/* scatter_add: irregular memory access that no loop kernel has. */
#include "runtime/scatter.h"

#include <string.h>

static int64_t scatter_index(const ScatterParam *p, const void *idx, int64_t j) {
  int64_t at = p->idx_dtype == DT_I32 ? ((const int32_t *)idx)[j] : ((const int64_t *)idx)[j];
  return max64(min64(at, p->axis_extent - 1), 0);
}

#define SCATTER_UNIT(NAME, T)                                                                                \
  static void NAME(const ScatterParam *p, const void *idx, const T *updates, T *out, int64_t i0,             \
                   int64_t i1) {                                                                             \
    for (int64_t r = 0; r < p->axis_extent; r++)                                                             \
      memset(out + r * p->inner + i0, 0, (size_t)(i1 - i0) * sizeof(T));                                     \
    for (int64_t j = 0; j < p->nidx; j++) {                                                                  \
      T *to = out + scatter_index(p, idx, j) * p->inner;                                                     \
      for (int64_t i = i0; i < i1; i++) to[i] += updates[j * p->inner + i];                                  \
    }                                                                                                        \
  }
SCATTER_UNIT(scatter_f32, float)
SCATTER_UNIT(scatter_f64, double)
SCATTER_UNIT(scatter_32, uint32_t) /* signed or not: sums wrap */
SCATTER_UNIT(scatter_64, uint64_t)

void step_scatter_add(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)scratch;
  const ScatterParam *p = param;
  int64_t blocks = div_up(max64(p->inner, 1), p->block), units = p->outer * blocks, chunks = p->nchunk;
  if (p->axis_extent < 1) return;
  for (int64_t u = units * chunk / chunks; u < units * (chunk + 1) / chunks; u++) {
    int64_t o = u / blocks, i0 = u % blocks * p->block, i1 = min64(i0 + p->block, p->inner);
    int64_t from = o * p->nidx * p->inner, to = o * p->axis_extent * p->inner;
    switch (p->dt) {
    case DT_F32: scatter_f32(p, ptr[0], (const float *)ptr[1] + from, (float *)ptr[2] + to, i0, i1); break;
    case DT_F64: scatter_f64(p, ptr[0], (const double *)ptr[1] + from, (double *)ptr[2] + to, i0, i1); break;
    case DT_I64:
    case DT_U64:
      scatter_64(p, ptr[0], (const uint64_t *)ptr[1] + from, (uint64_t *)ptr[2] + to, i0, i1);
      break;
    default: scatter_32(p, ptr[0], (const uint32_t *)ptr[1] + from, (uint32_t *)ptr[2] + to, i0, i1); break;
    }
  }
}
