/* Vector math of compiled kernels against libm in double: accuracy over the whole range, special values, NaN.
   JEPAC_ULPS=1 prints the largest errors. */
#include "ir/graph/expr.h"
#include "tests/unit/kernel_build.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *name;
  OpId op;
  double (*fn)(double);
  double ulps;
} MathCase;

static double ulp_of(double want) {
  double a = fabs(want);
  if (a < 0x1p-126) return 0x1p-149;
  return ldexp(1, ilogb(a) - 23);
}

static double sigmoid64(double x) { return 1 / (1 + exp(-x)); }

static double erfinv64(double x) { return op_eval(OP_erfinv, &x); }

static double digamma64(double x) { return op_eval(OP_digamma, &x); }

START_TEST(test_vector_math) {
  static const MathCase cases[] = {{"exp", OP_exp, exp, 2},
                                   {"log", OP_log, log, 2},
                                   {"tanh", OP_tanh, tanh, 3},
                                   {"erf", OP_erf, erf, 3},
                                   {"sin", OP_sin, sin, 2},
                                   {"cos", OP_cos, cos, 2},
                                   {"sigmoid", OP_sigmoid, sigmoid64, 4},
                                   {"log2", OP_log2, log2, 2},
                                   {"exp2", OP_exp2, exp2, 2},
                                   {"log1p", OP_log1p, log1p, 2.5},
                                   {"expm1", OP_expm1, expm1, 2.5},
                                   {"erfinv", OP_erfinv, erfinv64, 8},
                                   {"lgamma", OP_lgamma, lgamma, 8},
                                   {"digamma", OP_digamma, digamma64, 2}};
  static const float special[] = {0,      -0.0f,   INFINITY,        -INFINITY, NAN,      1,        -1,
                                  1e-45f, -1e-45f, 1.17549435e-38f, 3.4e38f,   -3.4e38f, 88.7228f, 88.73f,
                                  -87.3f, -103.9f, -104.5f,         0.9f,      0.625f,   4,        10};
  enum { N = 1 << 14, NSPECIAL = sizeof special / sizeof *special };
  static float x[N], y[N];
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
      KB *b;
      Code *code;
      KBCode fn = kb_compile_map(&t[i], cases[c].op, 1, N, &b, &code);
      double worst = 0;
      float at = 0;
      for (int round = 0; round < 24; round++) {
        for (int j = 0; j < N; j++) { /* every exponent, then the interesting range */
          uint32_t u = (uint32_t)(j * 24 + round) * 10923u + (uint32_t)round;
          memcpy(&x[j], &u, 4);
          if (round % 2)
            x[j] = (float)((j * 24 + round) * (200.0 / (N * 24)) - 100) * (round % 4 == 1 ? 1 : 0.03f);
          if ((cases[c].op == OP_log || cases[c].op == OP_log2) && round % 2) x[j] = fabsf(x[j]);
        }
        for (int j = 0; j < NSPECIAL && !round; j++) x[j] = special[j];
        kb_call(&fn, (void *[]){x, y});
        for (int j = 0; j < N; j++) {
          double want = cases[c].fn((double)x[j]);
          if (isnan(want))
            ck_assert_msg(isnan(y[j]), "%s(%g) = %g", cases[c].name, (double)x[j], (double)y[j]);
          else if (isinf((float)want))
            ck_assert_msg(y[j] == (float)want, "%s(%g) = %g", cases[c].name, (double)x[j], (double)y[j]);
          else {
            if (cases[c].op == OP_sigmoid && want < 0x1p-126) continue; /* e^-x overflows: 0 */
            double e = fabs((double)y[j] - want) / ulp_of(want);
            if (!(e <= worst)) {
              worst = e;
              at = x[j];
            }
          }
        }
      }
      if (getenv("JEPAC_ULPS"))
        printf("%-8s %-8s %.2f ulp at %.9g\n", t[i].cpu, cases[c].name, worst, (double)at);
      ck_assert_msg(worst <= cases[c].ulps * (t[i].fma ? 1 : 1.6), "%s on %s: %g ulp at %.9g", cases[c].name,
                    t[i].cpu, worst, (double)at);
      codegen_free(code);
      kb_free(b);
    }
}
END_TEST

START_TEST(test_vector_pow) {
  static const float special[] = {0,     -0.0f,    1,         -1,  2,      -2,    3,   -3,   0.5f,
                                  -0.5f, INFINITY, -INFINITY, NAN, 1e-40f, 1e30f, 127, -2.5f};
  enum { N = 1 << 14, NS = sizeof special / sizeof *special };
  static float x[N], y[N], z[N];
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    KB *b;
    Code *code;
    KBCode fn = kb_compile_map(&t[i], OP_pow, 2, N, &b, &code);
    uint32_t r = 1;
    for (int j = 0; j < N; j++) {
      r = r * 1664525u + 1013904223u;
      x[j] = expf((float)(r >> 8) / 16777216.0f * 20 - 10);
      r = r * 1664525u + 1013904223u;
      y[j] = (float)(r >> 8) / 16777216.0f * 16 - 8;
      if (j < NS * NS) {
        x[j] = special[j / NS];
        y[j] = special[j % NS];
      }
    }
    kb_call(&fn, (void *[]){x, y, z});
    for (int j = 0; j < N; j++) {
      float want = (float)pow((double)x[j], (double)y[j]);
      bool ok = isnan(want) ? isnan(z[j])
                            : z[j] == want || fabs((double)z[j] - (double)want) <= 1.5 * ulp_of((double)want);
      ck_assert_msg(ok, "pow(%g, %g) = %g, not %g", (double)x[j], (double)y[j], (double)z[j], (double)want);
    }
    codegen_free(code);
    kb_free(b);
  }
}
END_TEST

START_TEST(test_nan_in_extremes) { /* relu, max, min and clamps keep NaN */
  float x[5] = {NAN, 1, -2, NAN, 0}, y[5] = {1, NAN, 3, NAN, -1}, z[5];
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int k = 0; k < 2; k++) {
      KB *b;
      Code *code;
      KBCode fn = kb_compile_map(&t[i], k ? OP_max : OP_min, 2, 5, &b, &code);
      kb_call(&fn, (void *[]){x, y, z});
      for (int j = 0; j < 5; j++) {
        double want = op_eval_leaf(k ? OP_max : OP_min, (double[]){(double)x[j], (double)y[j]});
        ck_assert(isnan(want) ? isnan(z[j]) : (double)z[j] == want);
      }
      codegen_free(code);
      kb_free(b);
    }
}
END_TEST

int main(void) {
  Suite *s = suite_create("vmath");
  TCase *c = tcase_create("math");
  tcase_set_timeout(c, 600);
  tcase_add_test(c, test_vector_math);
  tcase_add_test(c, test_vector_pow);
  tcase_add_test(c, test_nan_in_extremes);
  suite_add_tcase(s, c);
  return run_suite(s);
}
