/* Derivatives of the logarithm of the gamma function (gamma.h): Abramowitz and Stegun, "Handbook of Mathematical Functions"
   (1964), 6.3.5 and 6.4.6 up to where the asymptotic series 6.3.18 and 6.4.11 hold, 6.3.7 and 6.4.7 below 0. */
#include "ir/graph/gamma.h"

#include <math.h>

const double gamma_bernoulli[GAMMA_TERMS] = {1. / 6,  -1. / 30,     1. / 42, -1. / 30,
                                             5. / 66, -691. / 2730, 7. / 6,  -3617. / 510};

static const double pi = 3.14159265358979323846;

double gamma_psi(double x) {
  if (x == 0) return copysign(HUGE_VAL, -x);
  if (x < 0.5) return x == floor(x) ? NAN : gamma_psi(1 - x) - pi / tan(pi * (x - nearbyint(x)));
  double s = 0;
  for (int k = 0; k < GAMMA_SHIFT && x < GAMMA_SHIFT; k++) s -= 1 / x++;
  double u = 1 / (x * x), r = 0;
  for (int k = GAMMA_TERMS; k-- > 0;) r = u * (r + gamma_bernoulli[k] / (2 * k + 2));
  return log(x) - 0.5 / x - r + s;
}

/* n! (-1)^(n + 1) times the sum of 1 / (x + k)^(n + 1). */
double gamma_polygamma(double order, double x) {
  double n = nearbyint(order);
  if (!(n > 0)) return n == 0 ? gamma_psi(x) : NAN;
  if (n == 1 && x < 0.5) {
    double s = pi / sin(pi * (x - nearbyint(x)));
    return isinf(s) ? HUGE_VAL : s * s - gamma_polygamma(1, 1 - x);
  }
  if (!(x > 0)) return x == 0 && fmod(n, 2) == 1 ? HUGE_VAL : NAN;
  if (isinf(x)) return fmod(n, 2) == 1 ? 0 : -0.0;
  double s = 0, w = x;
  for (int k = 0; k < GAMMA_SHIFT; k++) s += pow(w++, -n - 1);
  double power = pow(w, -n - 1), tail = w / n + 0.5, term = (n + 1) / 2 / w; /* of w^(n + 1) */
  for (int k = 0; k < GAMMA_TERMS; k++) {
    tail += gamma_bernoulli[k] * term;
    double j = 2 * k + 2;
    term *= (n + j) * (n + j + 1) / ((j + 1) * (j + 2) * w * w);
  }
  s = tgamma(n + 1) * (s + power * tail);
  return fmod(n, 2) == 1 ? s : -s;
}
