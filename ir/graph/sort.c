/* Sorting for the interpreters (sort.h): merging, by comparisons of values. */
#include "ir/graph/sort.h"

#include "ir/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  DType dt;
  bool descending;
  const double *x; /* cells of a row */
  int64_t *at, *other;
} Sorter;

/* Does element i come before j wherever they stand? */
static bool before(const Sorter *s, int64_t i, int64_t j) {
  if (s->descending) {
    int64_t k = i;
    i = j;
    j = k;
  }
  double a = s->x[i], b = s->x[j];
  if (dtype_is_int(s->dt)) return cell_less(s->dt, a, b);
  return a < b || (isnan(b) && !isnan(a));
}

static void sort_part(const Sorter *s, int64_t from, int64_t to) {
  if (to - from < 2) return;
  int64_t mid = from + (to - from) / 2, i = from, j = mid;
  sort_part(s, from, mid);
  sort_part(s, mid, to);
  for (int64_t k = from; k < to; k++)
    s->other[k] = j == to || (i < mid && !before(s, s->at[j], s->at[i])) ? s->at[i++] : s->at[j++];
  memcpy(s->at + from, s->other + from, sizeof *s->at * (size_t)(to - from));
}

void argsort_cells(DType dt, bool descending, int64_t rows, int64_t n, const double *x, double *out) {
  Sorter s = {.dt = dt, .descending = descending};
  s.at = xcalloc((size_t)n + 1, sizeof *s.at, "an order");
  s.other = xcalloc((size_t)n + 1, sizeof *s.other, "an order");
  for (int64_t r = 0; r < rows; r++, x += n, out += n) {
    s.x = x;
    for (int64_t i = 0; i < n; i++) s.at[i] = i;
    sort_part(&s, 0, n);
    for (int64_t i = 0; i < n; i++) out[i] = int_cell(DT_I64, s.at[i]);
  }
  free(s.at);
  free(s.other);
}
