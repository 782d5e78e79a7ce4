/* Statistics of embeddings (cli/eval_stats.c) against values known in closed form. */
#include "cli/eval_stats.c" /* the command line is no library */

#include <check.h>

START_TEST(eigenvalues_of_a_known_matrix) {
  double m[] = {2, -1, 0, -1, 2, -1, 0, -1, 2}, v[3]; /* 2 - 2 cos(k pi / 4) */
  stats_eigenvalues(m, 3, v);
  double lo = fmin(v[0], fmin(v[1], v[2])), hi = fmax(v[0], fmax(v[1], v[2]));
  ck_assert_double_eq_tol(lo, 2 - sqrt(2), 1e-12);
  ck_assert_double_eq_tol(hi, 2 + sqrt(2), 1e-12);
  ck_assert_double_eq_tol(v[0] + v[1] + v[2], 6, 1e-12);
}
END_TEST

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
  ck_assert_int_eq(stats_rank(q, candidate, 3, 2, 2), 1);
  ck_assert_int_eq(stats_rank(q, candidate, 3, 1, 2), 2);
  ck_assert_int_eq(stats_rank(q, candidate, 3, 0, 2), 3);
}
END_TEST

START_TEST(standardize_uses_the_training_part) {
  float train[] = {1, 5, 3, 5}, test[] = {5, 5};
  stats_standardize(train, 2, test, 1, 2);
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
  tcase_add_test(t, eigenvalues_of_a_known_matrix);
  tcase_add_test(t, effective_rank_counts_directions);
  tcase_add_test(t, scores);
  tcase_add_test(t, standardize_uses_the_training_part);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_NORMAL);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}
