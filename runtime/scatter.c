/* Scatter: irregular memory access that no loop kernel has. */
#include "runtime/scatter.h"

#include <string.h>

static int64_t scatter_index(const ScatterParam *p, const void *idx, int64_t j) {
  int64_t at = p->idx_dtype == DT_I32 ? ((const int32_t *)idx)[j] : ((const int64_t *)idx)[j];
  return max64(min64(at, p->axis_extent - 1), 0);
}

/* Elements [i0, i1) of the inner axis for one index of the outer; was: NULL zeros. */
typedef void ScatterUnit(const ScatterParam *p, const void *idx, const void *updates, const void *was,
                         void *out, int64_t i0, int64_t i1);

#define UNIT(NAME, T, JOINED)                                                                                \
  static void NAME(const ScatterParam *p, const void *idx, const void *updates, const void *was, void *out,  \
                   int64_t i0, int64_t i1) {                                                                 \
    for (int64_t r = 0; r < p->axis_extent; r++) {                                                           \
      T *to = (T *)out + r * p->inner + i0;                                                                  \
      size_t bytes = (size_t)(i1 - i0) * sizeof(T);                                                          \
      if (was) memcpy(to, (const T *)was + r * p->inner + i0, bytes);                                        \
      else memset(to, 0, bytes);                                                                             \
    }                                                                                                        \
    for (int64_t j = 0; j < p->nidx; j++) {                                                                  \
      T *to = (T *)out + scatter_index(p, idx, j) * p->inner;                                                \
      for (int64_t i = i0; i < i1; i++) {                                                                    \
        T x = to[i], y = ((const T *)updates)[j * p->inner + i];                                             \
        (void)x;                                                                                             \
        to[i] = JOINED;                                                                                      \
      }                                                                                                      \
    }                                                                                                        \
  }

/* A NaN stays. */
#define FLOATS(T, C)                                                                                         \
  UNIT(add_##T, C, x + y)                                                                                    \
  UNIT(mul_##T, C, x *y)                                                                                     \
  UNIT(min_##T, C, x != x || x < y ? x : y)                                                                  \
  UNIT(max_##T, C, x != x || y < x ? x : y)
FLOATS(f32, float)
FLOATS(f64, double)
/* Sums and products of integers wrap, signed or not. */
UNIT(set_32, uint32_t, y)
UNIT(set_64, uint64_t, y)
UNIT(add_32, uint32_t, x + y)
UNIT(add_64, uint64_t, x + y)
UNIT(mul_32, uint32_t, x *y)
UNIT(mul_64, uint64_t, x *y)
UNIT(min_i32, int32_t, x < y ? x : y)
UNIT(max_i32, int32_t, x < y ? y : x)
UNIT(min_i64, int64_t, x < y ? x : y)
UNIT(max_i64, int64_t, x < y ? y : x)
UNIT(min_u32, uint32_t, x < y ? x : y)
UNIT(max_u32, uint32_t, x < y ? y : x)
UNIT(min_u64, uint64_t, x < y ? x : y)
UNIT(max_u64, uint64_t, x < y ? y : x)

static ScatterUnit *const units[DT_COUNT][SCATTER_JOINS] = {
    [DT_F32] = {add_f32, set_32, mul_f32, min_f32, max_f32},
    [DT_F64] = {add_f64, set_64, mul_f64, min_f64, max_f64},
    [DT_I32] = {add_32, set_32, mul_32, min_i32, max_i32},
    [DT_I64] = {add_64, set_64, mul_64, min_i64, max_i64},
    [DT_U32] = {add_32, set_32, mul_32, min_u32, max_u32},
    [DT_U64] = {add_64, set_64, mul_64, min_u64, max_u64}};

void step_scatter(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)scratch;
  const ScatterParam *p = param;
  int64_t blocks = div_up(max64(p->inner, 1), p->block), units_all = p->outer * blocks, chunks = p->nchunk;
  int64_t size = dtype_size(p->dt);
  if (p->axis_extent < 1) return;
  const char *updates = ptr[1], *was = p->join == SCATTER_ADD ? NULL : ptr[2];
  char *out = ptr[was ? 3 : 2];
  for (int64_t u = units_all * chunk / chunks; u < units_all * (chunk + 1) / chunks; u++) {
    int64_t o = u / blocks, i0 = u % blocks * p->block, i1 = min64(i0 + p->block, p->inner);
    int64_t from = o * p->nidx * p->inner * size, to = o * p->axis_extent * p->inner * size;
    units[p->dt][p->join](p, ptr[0], updates + from, was ? was + to : NULL, out + to, i0, i1);
  }
}
