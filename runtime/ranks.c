/* Sums between ranks are made here, element by element in the order of rank_tree (ir/agreed.h), from pieces that the
   communication only moves: their bits depend neither on its algorithms nor on its timing. */
#include "runtime/ranks.h"

#include "ir/base.h"

#include <math.h>
#include <string.h>

/* Of two; a sum begins with 0, which two zeros of either sign then come to. */
#define MORE(NAME, T, BETTER)                                                                                \
  static void sum_##NAME(void *to, const void *one, const void *other, int64_t n) {                          \
    T *z = to;                                                                                               \
    const T *y = one, *x = other;                                                                            \
    for (int64_t i = 0; i < n; i++) z[i] = (T)((T)(0 + y[i]) + x[i]);                                        \
  }                                                                                                          \
  static void max_##NAME(void *to, const void *one, const void *other, int64_t n) {                          \
    T *z = to;                                                                                               \
    const T *y = one, *x = other;                                                                            \
    for (int64_t i = 0; i < n; i++) z[i] = BETTER ? y[i] : x[i];                                             \
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

typedef void CombineFn(void *to, const void *one, const void *other, int64_t n);
#define ROW(T) [DT_##T] = {sum_##T, max_##T}
static CombineFn *const combine_fn[DT_COUNT][2] = {ROW(F32), ROW(F64), ROW(U8),  ROW(U16), ROW(U32),
                                                   ROW(U64), ROW(I8),  ROW(I16), ROW(I32), ROW(I64)};

/* The sum of both, or the larger; integers wrap. */
static void combine(const CollectiveParam *p, void *to, const void *one, const void *other, int64_t n) {
  CombineFn *fn = combine_fn[p->dt][p->what == COLLECTIVE_MAX];
  if (!fn) bug("a sum of %s between ranks", dtype_name(p->dt));
  fn(to, one, other, n);
}

static bool adds(const CollectiveParam *p) {
  return p->what < COLLECTIVE_MAX || p->what == COLLECTIVE_SCATTER;
}

/* Pieces [count][n] into one, in order; `to` may be the first. */
static void combine_row(const CollectiveParam *p, void *to, const char *pieces, int64_t n, int count) {
  int64_t bytes = n * dtype_size(p->dt);
  if (count == 1 && to != pieces) memcpy(to, pieces, (size_t)bytes);
  for (int k = 1; k < count; k++) combine(p, to, k > 1 ? to : pieces, pieces + k * bytes, n);
}

/* ... level by level; pieces are lost. */
static void combine_pieces(const CollectiveParam *p, void *to, char *pieces, int64_t n, const RankTree *t) {
  int64_t bytes = n * dtype_size(p->dt);
  int left = 1, l = 0;
  for (int i = 0; i < t->levels; i++) left *= t->size[i];
  for (; l < t->levels - 1; l++) {
    left /= t->size[l];
    for (int g = 0; g < left; g++)
      combine_row(p, pieces + g * bytes, pieces + (int64_t)g * t->size[l] * bytes, n, t->size[l]);
  }
  combine_row(p, to, pieces, n, t->size[l]);
}

static void divide(const CollectiveParam *p, void *x, int64_t n) {
  if (p->what != COLLECTIVE_MEAN) return;
  for (int64_t i = 0; i < n; i++)
    if (p->dt == DT_F32) ((float *)x)[i] /= (float)p->ranks;
    else ((double *)x)[i] /= (double)p->ranks;
}

/* ---- levels (ir/agreed.h) ---- */
/* A sum goes down them: on each, a rank sends to those of its set what they will have the sum of, and keeps the rest. Pieces
   lie in the order in which they are divided, which is that of ranks where there is one level. */
typedef struct {
  RankTree tree, sum;   /* how is sent; how a set's pieces are added up */
  int64_t piece, total; /* in bytes; the last pieces shorter or empty */
  int64_t lo[RANK_LEVELS], span[RANK_LEVELS], at[MOST_RANKS + 1];
  RankSet set[RANK_LEVELS];
  int digit[RANK_LEVELS];
} Levels;

static void set_levels(Levels *v, const Ranks *r, int64_t piece, int64_t total) {
  int64_t lo = 0, span = r->count;
  int stride = 1;
  v->tree = v->sum = rank_tree(r->count);
  if (r->whole) v->tree = (RankTree){1, {r->count}};
  v->piece = piece, v->total = total;
  for (int l = 0; l < v->tree.levels; l++) {
    int n = v->tree.size[l];
    v->digit[l] = r->rank / stride % n;
    v->set[l] = (RankSet){r->rank - v->digit[l] * stride, stride, n};
    v->lo[l] = lo;
    v->span[l] = span /= n;
    lo += v->digit[l] * span;
    stride *= n;
  }
}

static int64_t piece_at(const Levels *v, int64_t k) {
  return k * v->piece < v->total ? k * v->piece : v->total;
}

/* Where the set of level l begins; at[k]: where its member k's pieces do, from there. */
static int64_t find_pieces(Levels *v, int l) {
  int64_t from = piece_at(v, v->lo[l]);
  for (int k = 0; k <= v->set[l].count; k++) v->at[k] = piece_at(v, v->lo[l] + k * v->span[l]) - from;
  return from;
}

/* x becomes, in `sums`, the sum of this rank's piece, at the place of that, or in `last`. */
static void sum_down(Ranks *r, const CollectiveParam *p, Levels *v, const char *x, char *work, char *sums,
                     char *last) {
  for (int l = 0; l < v->tree.levels; l++) {
    int64_t from = find_pieces(v, l), own = v->at[v->digit[l] + 1] - v->at[v->digit[l]];
    r->exchange(r, v->set[l], (l ? sums : x) + from, v->at, work);
    char *to = last && l + 1 == v->tree.levels ? last : sums + from + v->at[v->digit[l]];
    RankTree one = {1, {v->tree.size[l]}};
    combine_pieces(p, to, work, own / dtype_size(p->dt), r->whole ? &v->sum : &one);
  }
}

static void gather_up(Ranks *r, Levels *v, char *data) {
  for (int l = v->tree.levels - 1; l >= 0; l--) {
    int64_t from = find_pieces(v, l);
    r->gather(r, v->set[l], data + from, v->at);
  }
}

/* What is little comes whole from everyone of a set. */
static void sum_whole(Ranks *r, const CollectiveParam *p, Levels *v, const char *x, char *work, char *out) {
  int64_t bytes = p->inner * dtype_size(p->dt);
  for (int l = 0; l < v->tree.levels; l++) {
    RankTree one = {1, {v->tree.size[l]}};
    for (int k = 0; k <= one.size[0]; k++) v->at[k] = k * bytes;
    memcpy(work + v->at[v->digit[l]], l ? out : x, (size_t)bytes);
    r->gather(r, v->set[l], work, v->at);
    combine_pieces(p, out, work, p->inner, &one);
  }
}

static void reduce(Ranks *r, const CollectiveParam *p, const char *x, char *work, char *out) {
  int64_t n = p->inner, size = dtype_size(p->dt);
  Levels v;
  set_levels(&v, r, div_up(n, r->count) * size, n * size);
  if (rank_tree_whole(&v.sum, n * size) && v.tree.levels == v.sum.levels) {
    sum_whole(r, p, &v, x, work, out);
    divide(p, out, n);
    return;
  }
  sum_down(r, p, &v, x, work, out, NULL);
  int l = v.tree.levels - 1;
  int64_t own = v.lo[l] + v.digit[l] * v.span[l], from = piece_at(&v, own);
  divide(p, out + from, (piece_at(&v, own + 1) - from) / size);
  gather_up(r, &v, out);
}

/* The place of rank k's piece. */
static int64_t place_of(const RankTree *t, int64_t count, int64_t k) {
  int64_t place = 0;
  for (int l = 0; l < t->levels; k /= t->size[l++]) place += k % t->size[l] * (count /= t->size[l]);
  return place;
}

static void scatter(Ranks *r, const CollectiveParam *p, const char *x, char *work, char *out) {
  int64_t row = p->inner * dtype_size(p->dt), part = p->outer * row;
  Levels v;
  set_levels(&v, r, part, part * r->count);
  char *packed = work + part * r->count;
  bool packs = p->outer > 1 || v.sum.levels > 1;
  for (int64_t k = 0; k < r->count && packs; k++)
    for (int64_t o = 0; o < p->outer; o++)
      memcpy(packed + place_of(&v.tree, r->count, k) * part + o * row, x + (o * r->count + k) * row,
             (size_t)row);
  sum_down(r, p, &v, packs ? packed : x, work, packed, out);
}

void ranks_gather(Ranks *r, void *data, const int64_t *at) {
  Levels v;
  int block = 1;
  set_levels(&v, r, 0, 0);
  for (int l = 0; l < v.tree.levels; l++) {
    int first = v.set[l].first / (block * v.set[l].count) * (block * v.set[l].count);
    for (int k = 0; k <= v.set[l].count; k++) v.at[k] = at[first + k * block] - at[first];
    r->gather(r, v.set[l], (char *)data + at[first], v.at);
    block *= v.set[l].count;
  }
}

static void gather(Ranks *r, const CollectiveParam *p, const char *x, char *work, char *out) {
  int64_t row = p->inner * dtype_size(p->dt), part = p->outer * row, at[MOST_RANKS + 1];
  char *all = p->outer > 1 ? work : out;
  for (int k = 0; k <= r->count; k++) at[k] = k * part;
  memcpy(all + at[r->rank], x, (size_t)part);
  ranks_gather(r, all, at);
  for (int64_t k = 0; k < r->count && p->outer > 1; k++)
    for (int64_t o = 0; o < p->outer; o++)
      memcpy(out + (o * r->count + k) * row, all + (k * p->outer + o) * row, (size_t)row);
}

static void first(Ranks *r, const CollectiveParam *p, const char *x, char *out) {
  int64_t bytes = p->inner * dtype_size(p->dt), at[MOST_RANKS + 1] = {0};
  for (int k = 1; k <= r->count; k++) at[k] = bytes;
  if (r->rank == 0) memcpy(out, x, (size_t)bytes);
  ranks_gather(r, out, at);
}

static void part(int rank, const CollectiveParam *p, const char *x, char *out) {
  int64_t row = p->inner * dtype_size(p->dt);
  for (int64_t o = 0; o < p->outer; o++) memcpy(out + o * row, x + (o * p->ranks + rank) * row, (size_t)row);
}

/* Of n elements that every rank has. */
static void times(const CollectiveParam *p, char *out, int64_t n) {
  RankTree t = rank_tree(p->ranks);
  size_t size = (size_t)dtype_size(p->dt);
  for (int l = 0; l < t.levels; l++)
    for (char *at = out; t.size[l] > 1 && at < out + n * (int64_t)size; at += size) {
      uint64_t one = 0, sum;
      memcpy(&one, at, size);
      sum = one;
      for (int k = 1; k < t.size[l]; k++) combine(p, &sum, &sum, &one, 1);
      memcpy(at, &sum, size);
    }
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
  case COLLECTIVE_SCATTER: part(0, p, x, out); break;
  default: memcpy(out, x, (size_t)(n * dtype_size(p->dt)));
  }
  if (adds(p)) times(p, out, n);
  divide(p, out, n);
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
