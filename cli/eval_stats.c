/* Statistics of embeddings and predictions. */
#include "cli/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void stats_standardize(float *train, int64_t n, float *test, int64_t ntest, int64_t dim) {
  for (int64_t d = 0; d < dim; d++) {
    double mean = 0, m2 = 0;
    for (int64_t i = 0; i < n; i++) mean += train[i * dim + d];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) m2 += (train[i * dim + d] - mean) * (train[i * dim + d] - mean);
    double scale = 1 / sqrt(m2 / (double)n + 1e-12);
    for (int64_t i = 0; i < n; i++) train[i * dim + d] = (float)((train[i * dim + d] - mean) * scale);
    for (int64_t i = 0; i < ntest; i++) test[i * dim + d] = (float)((test[i * dim + d] - mean) * scale);
  }
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

/* One rotation that makes m[p][q] zero (Golub and Van Loan, Matrix Computations, 8.5). */
static void rotate(double *m, int n, int p, int q) {
  double apq = m[p * n + q];
  if (apq == 0) return;
  double theta = (m[q * n + q] - m[p * n + p]) / (2 * apq);
  double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1),
         s = t * c;
  for (int k = 0; k < n; k++) {
    double a = m[k * n + p], b = m[k * n + q];
    m[k * n + p] = c * a - s * b;
    m[k * n + q] = s * a + c * b;
  }
  for (int k = 0; k < n; k++) {
    double a = m[p * n + k], b = m[q * n + k];
    m[p * n + k] = c * a - s * b;
    m[q * n + k] = s * a + c * b;
  }
}

void stats_eigenvalues(double *m, int n, double *value) {
  double trace = 0;
  for (int i = 0; i < n; i++) trace += fabs(m[i * n + i]);
  for (int sweep = 0; sweep < 30; sweep++) {
    double off = 0;
    for (int p = 0; p < n; p++)
      for (int q = p + 1; q < n; q++) off += m[p * n + q] * m[p * n + q];
    if (sqrt(off) <= 1e-12 * trace) break;
    for (int p = 0; p < n; p++)
      for (int q = p + 1; q < n; q++) rotate(m, n, p, q);
  }
  for (int i = 0; i < n; i++) value[i] = m[i * n + i];
}

double stats_effective_rank(const float *x, int64_t n, int64_t dim) {
  Arena *a = arena_new();
  double *mean = NEWN(a, double, dim), *cov = NEWN(a, double, dim *dim), *row = NEWN(a, double, dim), sum = 0,
         entropy = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t d = 0; d < dim; d++) mean[d] += x[i * dim + d] / (double)n;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t d = 0; d < dim; d++) row[d] = x[i * dim + d] - mean[d];
    for (int64_t p = 0; p < dim; p++)
      for (int64_t q = 0; q < dim; q++) cov[p * dim + q] += row[p] * row[q];
  }
  stats_eigenvalues(cov, (int)dim, mean);
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

double stats_r2(const float *prediction, const float *target, int64_t n, int64_t dim, double *column) {
  double sum = 0;
  for (int64_t d = 0; d < dim; d++) {
    double mean = 0, total = 0, residual = 0;
    for (int64_t i = 0; i < n; i++) mean += target[i * dim + d];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
      double t = target[i * dim + d], r = t - prediction[i * dim + d];
      total += (t - mean) * (t - mean);
      residual += r * r;
    }
    column[d] = 1 - residual / fmax(total, 1e-12);
    sum += column[d];
  }
  return sum / (double)dim;
}

int stats_rank(const float *q, const float *candidate, int n, int right, int64_t dim) {
  int rank = 1;
  double own = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < n; i++) {
      if ((pass == 0) != (i == right)) continue;
      const float *x = candidate + i * dim;
      double cosine = dot(q, x, dim) / fmax(sqrt(dot(x, x, dim)), 1e-12);
      if (pass == 0) own = cosine;
      else rank += cosine > own;
    }
  return rank;
}
