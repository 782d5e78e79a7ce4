/* Statistics of embeddings and predictions: plain arrays, no sessions. */
#ifndef JEPAC_EVAL_STATS_H
#define JEPAC_EVAL_STATS_H

#include "ir/base.h"

/* Each column's mean and the factor that makes its deviation 1; and both applied. */
void stats_scale(const float *x, int64_t n, int64_t dim, double *mean, double *scale);
void stats_standardize(float *x, int64_t n, int64_t dim, const double *mean, const double *scale);
void stats_normalize_rows(float *x, int64_t n, int64_t dim);
/* exp of the entropy of the covariance's normalised eigenvalues (Roy and Vetterli, "The effective rank",
   2007). */
double stats_effective_rank(const float *x, int64_t n, int64_t dim);
double stats_spread(const float *x, int64_t n,
                    int64_t dim); /* mean deviation of a dimension, times sqrt(dim) */
double stats_top1(const float *score, const int64_t *label, int64_t n, int64_t classes);
/* count[label][prediction] += 1 for each row. */
void stats_confusion(const float *score, const int64_t *label, int64_t n, int64_t classes, double *count);
/* Coefficient of determination of each column; NAN for a column without variance. Returns the plain mean over
   the others. */
double stats_r2(const float *prediction, const float *target, int64_t n, int64_t dim, double *column);
/* 1-based rank of candidate `right` among n candidates by cosine with q, before the `ties` others that are as
   near. */
int stats_rank(const float *q, const float *candidate, int n, int right, int64_t dim, int *ties);
double stats_cosine(const float *a, const float *b, int64_t dim);
/* Coordinates of the rows along the first k <= 3 principal directions, and the share of the variance along
   each. The largest component of a direction is positive. */
void stats_pca(const float *x, int64_t n, int64_t dim, int k, float *out, double *share);
/* The action that leads from a view with parameters p to one with q, n components: their difference; with
   a turn the first four are unit quaternions (scalar last) and give that of P^-1 Q, its scalar not negative, or its
   sign free. */
typedef enum { TURN_NONE, TURN_POSITIVE, TURN_FREE } Turn;
void stats_action(Turn turn, int64_t n, const float *p, const float *q, float *out);
/* Bins of equal count: edges[bins - 1] inner edges of column d of x[n][dim]. */
void stats_edges(const float *x, int64_t n, int64_t dim, int64_t d, int bins, double *edge);
int stats_bin(double v, const double *edge, int bins);

#endif
