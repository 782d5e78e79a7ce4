/* jepac eval, in parts: running entries over a data set, probes, statistics of embeddings. */
#ifndef JEPAC_CLI_EVAL_H
#define JEPAC_CLI_EVAL_H

#include "cli/cli.h"

/* ---- eval_stats.c: plain arrays, no sessions ---- */
void stats_standardize(float *train, int64_t n, float *test, int64_t ntest,
                       int64_t dim); /* by train's mean and deviation */
void stats_normalize_rows(float *x, int64_t n, int64_t dim);
/* exp of the entropy of the covariance's normalised eigenvalues (Roy and Vetterli, "The effective rank",
 * 2007). */
double stats_effective_rank(const float *x, int64_t n, int64_t dim);
double stats_spread(const float *x, int64_t n,
                    int64_t dim); /* mean deviation of a dimension, times sqrt(dim) */
double stats_top1(const float *score, const int64_t *label, int64_t n, int64_t classes);
/* Coefficient of determination of each column; returns their mean. */
double stats_r2(const float *prediction, const float *target, int64_t n, int64_t dim, double *column);
/* 1-based rank of candidate `right` among n candidates by cosine with q. */
int stats_rank(const float *q, const float *candidate, int n, int right, int64_t dim);
/* Eigenvalues of a symmetric n x n matrix (destroyed), by cyclic Jacobi rotations. */
void stats_eigenvalues(double *m, int n, double *value);

/* ---- eval_probe.c ---- */
typedef struct {
  int64_t n, dim, ydim; /* rows; columns of x and y */
  float *x, *y;         /* y: NULL for classification */
  int64_t *label;       /* NULL for regression */
} ProbeData;
/* Trains models/probes/FILE on train and writes its predictions (classes or ydim columns) for test. */
Status probe_run(Cli *c, const char *file, const ProbeData *train, const ProbeData *test, int64_t outputs,
                 int64_t epochs, float *prediction);

#endif
