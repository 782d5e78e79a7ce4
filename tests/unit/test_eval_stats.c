/* Statistics of embeddings (eval/stats.c) against values known in closed form. */
#include "eval/stats.h"
#include "tests/unit/support.h"

#include <check.h>

START_TEST(effective_rank_counts_directions) {
  float axes[8 * 4] = {0}, line[8 * 4] = {0}, same[8 * 4];
  for (int i = 0; i < 8; i++) {
    axes[i * 4 + i / 2] = i % 2 ? 1 : -1; /* +-e_k: covariance is a multiple of the identity */
    line[i * 4 + 2] = (float)i;
    for (int d = 0; d < 4; d++) same[i * 4 + d] = 3;
  }
  ck_assert_double_eq_tol(stats_effective_rank(axes, 8, 4), 4, 1e-9);
  ck_assert_double_eq_tol(stats_effective_rank(line, 8, 4), 1, 1e-9);
  ck_assert_double_eq(stats_effective_rank(same, 8, 4), 0);
  ck_assert_double_eq_tol(stats_spread(axes, 8, 4), 1, 1e-9); /* each dimension: variance 1/4 */
  ck_assert_double_eq(stats_spread(same, 8, 4), 0);
}
END_TEST

START_TEST(scores) {
  float score[] = {1, 2, 0, 5, 4, 3};
  int64_t label[] = {1, 2};
  ck_assert_double_eq(stats_top1(score, label, 2, 3), 0.5);
  float target[] = {0, 10, 1, 20, 2, 30}, mean[] = {1, 10, 1, 20, 1, 30};
  double column[2];
  ck_assert_double_eq_tol(stats_r2(mean, target, 3, 2, column), 0.5, 1e-12);
  ck_assert_double_eq_tol(column[0], 0, 1e-12);
  ck_assert_double_eq_tol(column[1], 1, 1e-12);
  float q[] = {1, 0}, candidate[] = {0, 1, 3, 1, 9, 0};
  int ties;
  for (int right = 0; right < 3; right++) {
    ck_assert_int_eq(stats_rank(q, candidate, 3, right, 2, &ties), 3 - right);
    ck_assert_int_eq(ties, 0);
  }
}
END_TEST

/* What a collapsed model predicts is as near to every candidate. */
START_TEST(ties_do_not_rank_first) {
  float q[] = {1, 2}, same[] = {3, 1, 3, 1, 3, 1}, nothing[] = {0, 0}, bad[] = {NAN, NAN};
  float candidate[] = {1, 0, 2, 0, 0, 5};
  int ties;
  for (int right = 0; right < 3; right++) {
    ck_assert(stats_rank(q, same, 3, right, 2, &ties) == 1 && ties == 2);
    ck_assert(stats_rank(nothing, candidate, 3, right, 2, &ties) == 1 && ties == 2);
    ck_assert(stats_rank(bad, candidate, 3, right, 2, &ties) == 1 && ties == 2);
  }
  ck_assert(stats_rank(q, candidate, 3, 2, 2, &ties) == 1 && ties == 0);
  ck_assert(stats_rank(q, candidate, 3, 0, 2, &ties) == 2 && ties == 1); /* one is nearer, one as near */
}
END_TEST

static void standardize(float *train, int64_t n, float *test, int64_t ntest) {
  double mean[2], scale[2];
  stats_scale(train, n, 2, mean, scale);
  stats_standardize(train, n, 2, mean, scale);
  stats_standardize(test, ntest, 2, mean, scale);
}

/* A unit that is all but dead on the training part does not drown the others when it fires on a test sample. */
START_TEST(standardize_does_not_blow_up) {
  float train[] = {-1, 0, 1, 1e-7f, -1, 0, 1, 1e-7f}, test[] = {1, .1f};
  standardize(train, 4, test, 1);
  ck_assert_float_eq_tol(test[0], 1, 1e-5);
  ck_assert(test[1] > 10 && test[1] < 20);
}
END_TEST

START_TEST(columns_without_variance_do_not_count) {
  float target[] = {1, 7, 2, 7, 3, 7}, prediction[] = {1, 6, 2, 7, 3, 8};
  double column[2];
  ck_assert_double_eq_tol(stats_r2(prediction, target, 3, 2, column), 1, 1e-12);
  ck_assert(isnan(column[1]));
}
END_TEST

START_TEST(confusion_and_bins) {
  float score[] = {1, 2, 0, 5, 4, 3, 0, 0, 9};
  int64_t label[] = {1, 2, 2};
  double count[9] = {0}, edge[3];
  stats_confusion(score, label, 3, 3, count);
  for (int i = 0; i < 9; i++)
    ck_assert_double_eq(count[i], i == 4 || i == 6 || i == 8);  /* 1->1, 2->0, 2->2 */
  float x[] = {7, 0, 1, 0, 5, 0, 3, 0, 2, 0, 6, 0, 8, 0, 4, 0}; /* column 0: 1..8 */
  stats_edges(x, 8, 2, 0, 4, edge);
  ck_assert(edge[0] == 3 && edge[1] == 5 && edge[2] == 7);
  ck_assert_int_eq(stats_bin(-9, edge, 4), 0);
  ck_assert_int_eq(stats_bin(2.9, edge, 4), 0);
  ck_assert_int_eq(stats_bin(3, edge, 4), 1);
  ck_assert_int_eq(stats_bin(100, edge, 4), 3);
}
END_TEST

/* Three poses R = Rz Ry Rx of the angles (.3, -.7, 1.1), (-1.2, .4, .2), (.9, 1.3, -.8) and the rotations
   R_i^-1 R_k between them: from matrices, in NumPy, as eigenvectors (Bar-Itzhack, "New method for extracting
   the quaternion from a rotation matrix", 2000). */
START_TEST(path_of_rotations) {
  static const float pose[3][6] = {{.29689154f, -.21567241f, .52916981f, .76506218f, .25f, 1},
                                   {-.56699216f, .10790318f, .19237036f, .79364377f, .5f, 0},
                                   {.53114387f, .36707795f, -.52160298f, .55773677f, 0, 3}};
  static const struct {
    int from, to;
    float q[6];
  } want[] = {{0, 1, {-.5708223f, .61086797f, -.18254801f, .51737651f, .25f, -1}},
              {1, 2, {.86466894f, .42471602f, -.25581655f, .08075783f, -.5f, 3}},
              {0, 2, {.32252196f, -.03479892f, -.91773159f, .2292103f, -.25f, 2}}};
  float q[6];
  for (int i = 0; i < 3; i++) {
    stats_action(true, 6, pose[want[i].from], pose[want[i].to], q);
    for (int k = 0; k < 6; k++) ck_assert_float_eq_tol(q[k], want[i].q[k], 2e-6);
  }
  stats_action(false, 2, pose[0], pose[1], q); /* parameters of augmentations: their difference */
  ck_assert_float_eq_tol(q[0], -.8638837f, 1e-6);
  ck_assert_float_eq_tol(q[1], .3235756f, 1e-6);
}
END_TEST

/* numpy.linalg.eigh of the scatter matrix, directions with a positive largest component. */
START_TEST(principal_components) {
  float x[] = {2, 0, 1, 0, 1, 1, -2, .5f, 1, 1, -1, 1, -1, -.5f, 1}, out[15];
  static const float first[] = {1.963913f, -.189108f, -2.058467f, 1.171064f, -.887403f},
                     second[] = {.378215f, .981956f, .112763f, -.792849f, -.680086f};
  double share[3];
  stats_pca(x, 5, 3, 3, out, share);
  ck_assert_double_eq_tol(share[0], .82310989, 1e-6);
  ck_assert_double_eq_tol(share[1], .17689011, 1e-6);
  ck_assert_double_eq_tol(share[2], 0, 1e-6);
  for (int i = 0; i < 5; i++) {
    ck_assert_float_eq_tol(out[i * 3], first[i], 1e-5);
    ck_assert_float_eq_tol(out[i * 3 + 1], second[i], 1e-5);
  }
}
END_TEST

START_TEST(standardize_uses_the_training_part) {
  float train[] = {1, 5, 3, 5}, test[] = {5, 5};
  standardize(train, 2, test, 1);
  ck_assert_float_eq_tol(train[0], -1, 1e-6);
  ck_assert_float_eq_tol(train[2], 1, 1e-6);
  ck_assert_float_eq_tol(test[0], 3, 1e-6);
  ck_assert_float_eq_tol(test[1], 0, 1e-6);
  stats_normalize_rows(test, 1, 2);
  ck_assert_float_eq_tol(test[0], 1, 1e-6);
}
END_TEST

int main(void) {
  Suite *s = suite_create("eval_stats");
  TCase *t = tcase_create("all");
  tcase_add_test(t, effective_rank_counts_directions);
  tcase_add_test(t, scores);
  tcase_add_test(t, ties_do_not_rank_first);
  tcase_add_test(t, standardize_does_not_blow_up);
  tcase_add_test(t, columns_without_variance_do_not_count);
  tcase_add_test(t, confusion_and_bins);
  tcase_add_test(t, path_of_rotations);
  tcase_add_test(t, principal_components);
  tcase_add_test(t, standardize_uses_the_training_part);
  suite_add_tcase(s, t);
  return run_suite(s);
}
