/* Statistics of embeddings and predictions. */
#include "eval/stats.h"
#include "ir/lapack.h"
#include "runtime/data/quaternion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Columns that hardly vary are not blown up: at most a hundred times as much as the typical one. */
void stats_scale(const float *x, int64_t n, int64_t dim, double *mean, double *scale) {
  double typical = 0;
  for (int64_t d = 0; d < dim; d++) {
    mean[d] = scale[d] = 0;
    for (int64_t i = 0; i < n; i++) mean[d] += x[i * dim + d] / (double)n;
    for (int64_t i = 0; i < n; i++)
      scale[d] += (x[i * dim + d] - mean[d]) * (x[i * dim + d] - mean[d]) / (double)n;
    typical += scale[d] / (double)dim;
  }
  for (int64_t d = 0; d < dim; d++) scale[d] = 1 / sqrt(fmax(scale[d], 1e-4 * typical) + 1e-12);
}

void stats_standardize(float *x, int64_t n, int64_t dim, const double *mean, const double *scale) {
  for (int64_t d = 0; d < dim; d++)
    for (int64_t i = 0; i < n; i++) x[i * dim + d] = (float)((x[i * dim + d] - mean[d]) * scale[d]);
}

static double dot(const float *a, const float *b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += (double)a[i] * b[i];
  return s;
}

void stats_normalize_rows(float *x, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; i++) {
    double scale = 1 / fmax(sqrt(dot(x + i * dim, x + i * dim, dim)), 1e-12);
    for (int64_t d = 0; d < dim; d++) x[i * dim + d] = (float)(x[i * dim + d] * scale);
  }
}

/* Eigenvalues of a symmetric n x n matrix, increasing, and with vectors behind them the eigenvectors as rows. */
static void eigen(const double *m, int64_t n, bool vectors, double *out) {
  LapackSpec s = {.what = vectors ? LAPACK_EIGH : LAPACK_EIGVALSH, .dt = DT_F64, .batch = 1, .m = n, .n = n};
  int info;
  lapack_eval(&s, m, NULL, out, &info);
}

/* The mean of n rows and the sum of products of their differences from it. mean and cov arrive zeroed; row is
   room for one. */
static void scatter_of(const float *x, int64_t n, int64_t dim, double *mean, double *row, double *cov) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t d = 0; d < dim; d++) mean[d] += x[i * dim + d] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t d = 0; d < dim; d++) row[d] = x[i * dim + d] - mean[d];
    for (int64_t p = 0; p < dim; p++)
      for (int64_t q = 0; q < dim; q++) cov[p * dim + q] += row[p] * row[q];
  }
}

double stats_effective_rank(const float *x, int64_t n, int64_t dim) {
  Arena *a = arena_new();
  double *mean = NEWN(a, double, dim), *cov = NEWN(a, double, dim *dim), *row = NEWN(a, double, dim), sum = 0,
         entropy = 0;
  scatter_of(x, n, dim, mean, row, cov);
  eigen(cov, dim, false, mean);
  for (int64_t d = 0; d < dim; d++) sum += fmax(mean[d], 0);
  for (int64_t d = 0; d < dim; d++) {
    double p = fmax(mean[d], 0) / sum;
    if (p > 0) entropy -= p * log(p);
  }
  arena_free(a);
  return sum > 0 ? exp(entropy) : 0;
}

double stats_spread(const float *x, int64_t n, int64_t dim) {
  double sum = 0;
  for (int64_t d = 0; d < dim; d++) {
    double mean = 0, m2 = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i * dim + d];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) m2 += (x[i * dim + d] - mean) * (x[i * dim + d] - mean);
    sum += sqrt(m2 / (double)n);
  }
  return sum / (double)dim * sqrt((double)dim);
}

double stats_top1(const float *score, const int64_t *label, int64_t n, int64_t classes) {
  int64_t right = 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t best = 0;
    for (int64_t k = 1; k < classes; k++)
      if (score[i * classes + k] > score[i * classes + best]) best = k;
    right += best == label[i];
  }
  return (double)right / (double)n;
}

void stats_confusion(const float *score, const int64_t *label, int64_t n, int64_t classes, double *count) {
  for (int64_t i = 0; i < n; i++) {
    int64_t best = 0;
    for (int64_t k = 1; k < classes; k++)
      if (score[i * classes + k] > score[i * classes + best]) best = k;
    if (label[i] >= 0 && label[i] < classes) count[label[i] * classes + best]++;
  }
}

double stats_r2(const float *prediction, const float *target, int64_t n, int64_t dim, double *column) {
  double sum = 0;
  int counted = 0;
  for (int64_t d = 0; d < dim; d++) {
    double mean = 0, total = 0, residual = 0, size = 0;
    for (int64_t i = 0; i < n; i++) mean += target[i * dim + d];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
      double t = target[i * dim + d], r = t - prediction[i * dim + d];
      total += (t - mean) * (t - mean);
      residual += r * r;
      size += t * t;
    }
    column[d] = total > 1e-10 * size ? 1 - residual / total : NAN;
    if (isnan(column[d])) continue;
    sum += column[d];
    counted++;
  }
  return counted ? sum / counted : NAN;
}

double stats_cosine(const float *a, const float *b, int64_t dim) {
  return dot(a, b, dim) / fmax(sqrt(dot(a, a, dim) * dot(b, b, dim)), 1e-12);
}

int stats_rank(const float *q, const float *candidate, int n, int right, int64_t dim, int *ties) {
  int rank = 1;
  double own = 0;
  *ties = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < n; i++) {
      if ((pass == 0) != (i == right)) continue;
      const float *x = candidate + i * dim;
      double cosine = dot(q, x, dim) / fmax(sqrt(dot(x, x, dim)), 1e-12);
      if (pass == 0) own = cosine;
      else if (cosine > own) rank++;
      else if (!(cosine < own)) ++*ties;
    }
  return rank;
}

void stats_pca(const float *x, int64_t n, int64_t dim, int k, float *out, double *share) {
  Arena *a = arena_new();
  double *mean = NEWN(a, double, dim), *cov = NEWN(a, double, dim *dim), *v = NEWN(a, double, (dim + 1) * dim),
         *row = NEWN(a, double, dim), trace = 0;
  scatter_of(x, n, dim, mean, row, cov);
  for (int64_t d = 0; d < dim; d++) trace += cov[d * dim + d];
  eigen(cov, dim, true, v);
  memset(out, 0, (size_t)(n * k) * sizeof *out);
  for (int j = 0; j < k; j++) {
    share[j] = 0;
    if (j >= dim) continue;
    const double *u = v + (dim - j) * dim;
    double largest = 0;
    for (int64_t d = 0; d < dim; d++)
      if (fabs(u[d]) > fabs(largest)) largest = u[d];
    for (int64_t i = 0; i < n; i++) {
      double c = 0;
      for (int64_t d = 0; d < dim; d++) c += (x[i * dim + d] - mean[d]) * u[d];
      out[i * k + j] = (float)(largest < 0 ? -c : c);
      share[j] += c * c / fmax(trace, 1e-300);
    }
  }
  arena_free(a);
}

void stats_action(Turn turn, int64_t n, const float *p, const float *q, float *out) {
  int64_t first = 0;
  if (turn) {
    double a[4], b[4], between[4];
    for (int i = 0; i < 4; i++) {
      a[i] = p[i];
      b[i] = q[i];
    }
    quaternion_between(a, b, turn == TURN_POSITIVE, between);
    for (; first < 4; first++) out[first] = (float)between[first];
  }
  for (int64_t i = first; i < n; i++) out[i] = q[i] - p[i];
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

void stats_edges(const float *x, int64_t n, int64_t dim, int64_t d, int bins, double *edge) {
  Arena *a = arena_new();
  float *column = NEWN(a, float, n);
  for (int64_t i = 0; i < n; i++) column[i] = x[i * dim + d];
  qsort(column, (size_t)n, sizeof *column, ascending);
  for (int k = 1; k < bins; k++) edge[k - 1] = column[n * k / bins];
  arena_free(a);
}

int stats_bin(double v, const double *edge, int bins) {
  int k = 0;
  while (k < bins - 1 && v >= edge[k]) k++;
  return k;
}
