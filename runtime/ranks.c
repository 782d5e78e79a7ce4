/* Sums between ranks are made here, element by element in the order of the ranks, from pieces that the communication
   only moves: their bits depend neither on its algorithms nor on its timing. */
#include "runtime/ranks.h"

#include "ir/base.h"

#include <math.h>
#include <string.h>

#define MORE(NAME, T, BETTER)                                                                                \
  static void add_##NAME(void *to, const void *from, int64_t n) {                                            \
    T *y = to;                                                                                               \
    const T *x = from;                                                                                       \
    for (int64_t i = 0; i < n; i++) y[i] = (T)(y[i] + x[i]);                                                 \
  }                                                                                                          \
  static void max_##NAME(void *to, const void *from, int64_t n) {                                            \
    T *y = to;                                                                                               \
    const T *x = from;                                                                                       \
    for (int64_t i = 0; i < n; i++) y[i] = BETTER ? y[i] : x[i];                                             \
  }
MORE(F32, float, isnan(y[i]) || y[i] > x[i])
MORE(F64, double, isnan(y[i]) || y[i] > x[i])
MORE(U8, uint8_t, y[i] > x[i])
MORE(U16, uint16_t, y[i] > x[i])
MORE(U32, uint32_t, y[i] > x[i])
MORE(U64, uint64_t, y[i] > x[i])
MORE(I8, uint8_t, (int8_t)y[i] > (int8_t)x[i]) /* signed sums are the unsigned ones */
MORE(I16, uint16_t, (int16_t)y[i] > (int16_t)x[i])
MORE(I32, uint32_t, (int32_t)y[i] > (int32_t)x[i])
MORE(I64, uint64_t, (int64_t)y[i] > (int64_t)x[i])

typedef void CombineFn(void *to, const void *from, int64_t n);
#define ROW(T) [DT_##T] = {add_##T, max_##T}
static CombineFn *const combine_fn[DT_COUNT][2] = {ROW(F32), ROW(F64), ROW(U8),  ROW(U16), ROW(U32),
                                                   ROW(U64), ROW(I8),  ROW(I16), ROW(I32), ROW(I64)};

/* to += x, or the larger of both; integers wrap. */
static void combine(const CollectiveParam *p, void *to, const void *x, int64_t n) {
  CombineFn *fn = combine_fn[p->dt][p->what == COLLECTIVE_MAX];
  if (!fn) bug("a sum of %s between ranks", dtype_name(p->dt));
  fn(to, x, n);
}

/* Pieces [ranks][n] into one, in order. */
static void combine_pieces(const CollectiveParam *p, void *to, const char *pieces, int64_t n) {
  int64_t bytes = n * dtype_size(p->dt);
  bool max = p->what == COLLECTIVE_MAX;
  if (max) memcpy(to, pieces, (size_t)bytes);
  else memset(to, 0, (size_t)bytes); /* a sum begins with 0, which two zeros of either sign then come to */
  for (int64_t r = max; r < p->ranks; r++) combine(p, to, pieces + r * bytes, n);
}

static void divide(const CollectiveParam *p, void *x, int64_t n) {
  if (p->what != COLLECTIVE_MEAN) return;
  for (int64_t i = 0; i < n; i++)
    if (p->dt == DT_F32) ((float *)x)[i] /= (float)p->ranks;
    else ((double *)x)[i] /= (double)p->ranks;
}

/* [outer][ranks][inner] and [ranks][outer][inner] */
static void reorder(char *to, const char *from, int64_t a, int64_t b, int64_t bytes) {
  for (int64_t i = 0; i < a; i++)
    for (int64_t j = 0; j < b; j++)
      memcpy(to + (j * a + i) * bytes, from + (i * b + j) * bytes, (size_t)bytes);
}

/* at[k] for pieces of so many bytes, the last ones shorter or empty. */
static void pieces(int64_t *at, int ranks, int64_t piece, int64_t total) {
  for (int k = 0; k <= ranks; k++) at[k] = k * piece < total ? k * piece : total;
}

static void reduce(Ranks *r, const CollectiveParam *p, const void *x, char *work, char *out) {
  int64_t n = p->inner, size = dtype_size(p->dt), at[MOST_RANKS + 1];
  if (n * size * p->ranks <= COLLECTIVE_SMALL) {
    memcpy(work + r->rank * n * size, x, (size_t)(n * size));
    pieces(at, r->count, n * size, n * size * r->count);
    r->gather(r, work, at);
    combine_pieces(p, out, work, n);
    divide(p, out, n);
    return;
  }
  pieces(at, r->count, (n + r->count - 1) / r->count * size, n * size);
  r->exchange(r, x, at, work);
  int64_t own = (at[r->rank + 1] - at[r->rank]) / size;
  combine_pieces(p, out + at[r->rank], work, own);
  divide(p, out + at[r->rank], own);
  r->gather(r, out, at);
}

static void scatter(Ranks *r, const CollectiveParam *p, const char *x, char *work, char *out) {
  int64_t row = p->inner * dtype_size(p->dt), part = p->outer * row, at[MOST_RANKS + 1];
  pieces(at, r->count, part, part * r->count);
  char *packed = work + part * r->count;
  if (p->outer > 1) reorder(packed, x, p->outer, p->ranks, row);
  r->exchange(r, p->outer > 1 ? packed : x, at, work);
  combine_pieces(p, out, work, p->outer * p->inner);
}

static void gather(Ranks *r, const CollectiveParam *p, const char *x, char *work, char *out) {
  int64_t row = p->inner * dtype_size(p->dt), part = p->outer * row, at[MOST_RANKS + 1];
  char *all = p->outer > 1 ? work : out;
  pieces(at, r->count, part, part * r->count);
  memcpy(all + at[r->rank], x, (size_t)part);
  r->gather(r, all, at);
  if (p->outer > 1) reorder(out, all, p->ranks, p->outer, row);
}

static void first(Ranks *r, const CollectiveParam *p, const char *x, char *out) {
  int64_t bytes = p->inner * dtype_size(p->dt), at[MOST_RANKS + 1] = {0};
  for (int k = 1; k <= r->count; k++) at[k] = bytes;
  if (r->rank == 0) memcpy(out, x, (size_t)bytes);
  r->gather(r, out, at);
}

static void part(int rank, const CollectiveParam *p, const char *x, char *out) {
  int64_t row = p->inner * dtype_size(p->dt);
  for (int64_t o = 0; o < p->outer; o++) memcpy(out + o * row, x + (o * p->ranks + rank) * row, (size_t)row);
}

/* Every rank has x. */
static void alone(const CollectiveParam *p, const char *x, char *out) {
  int64_t row = p->inner * dtype_size(p->dt), n = p->outer * p->inner;
  switch (p->what) {
  case COLLECTIVE_GATHER:
    for (int64_t o = 0; o < p->outer; o++)
      for (int64_t k = 0; k < p->ranks; k++) memcpy(out + (o * p->ranks + k) * row, x + o * row, (size_t)row);
    break;
  case COLLECTIVE_PART:
  case COLLECTIVE_SCATTER:
    part(0, p, x, out);
    for (int64_t k = 1; k < p->ranks && p->what == COLLECTIVE_SCATTER; k++)
      for (int64_t o = 0; o < p->outer; o++) combine(p, out + o * row, x + o * p->ranks * row, p->inner);
    break;
  default:
    memcpy(out, x, (size_t)(n * dtype_size(p->dt)));
    for (int64_t k = 1; k < p->ranks && p->what < COLLECTIVE_MAX; k++) combine(p, out, x, n);
    divide(p, out, n);
  }
}

void step_collective(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)chunk;
  const CollectiveParam *p = param;
  Ranks *r = scratch;
  bool work = p->what < COLLECTIVE_FIRST || p->what == COLLECTIVE_SCATTER ||
              (p->what == COLLECTIVE_GATHER && p->outer > 1);
  char *out = ptr[1 + work];
  if (!r || p->ranks == 1) {
    alone(p, ptr[0], out);
    return;
  }
  if (r->count != p->ranks) bug("a step for %lld ranks among %d", (long long)p->ranks, r->count);
  switch (p->what) {
  case COLLECTIVE_FIRST: first(r, p, ptr[0], out); break;
  case COLLECTIVE_PART: part(r->rank, p, ptr[0], out); break;
  case COLLECTIVE_SCATTER: scatter(r, p, ptr[0], ptr[1], out); break;
  case COLLECTIVE_GATHER: gather(r, p, ptr[0], ptr[1], out); break;
  default: reduce(r, p, ptr[0], ptr[1], out);
  }
}
