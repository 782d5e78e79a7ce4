/* Quaternion arithmetic; Diebel, "Representing attitude" (2006), has the formulas, with the scalar first. */
#include "runtime/data/quaternion.h"

#include <math.h>

static void multiply(const double a[4], const double b[4], bool positive, double q[4]) {
  double x = a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1];
  double y = a[3] * b[1] + a[1] * b[3] + a[2] * b[0] - a[0] * b[2];
  double z = a[3] * b[2] + a[2] * b[3] + a[0] * b[1] - a[1] * b[0];
  double w = a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2], sign = positive && w < 0 ? -1 : 1;
  q[0] = sign * x;
  q[1] = sign * y;
  q[2] = sign * z;
  q[3] = sign * w;
}

void quaternion_of_euler(const double angle[3], bool positive, double q[4]) {
  double turn[3][4] = {{0}};
  for (int k = 0; k < 3; k++) {
    turn[k][k] = sin(angle[k] / 2);
    turn[k][3] = cos(angle[k] / 2);
  }
  multiply(turn[1], turn[0], positive, q);
  multiply(turn[2], q, positive, q);
}

void quaternion_between(const double a[4], const double b[4], bool positive, double q[4]) {
  double back[4] = {-a[0], -a[1], -a[2], a[3]};
  multiply(back, b, positive, q);
}

void quaternion_rotate(const double q[4], const double v[3], double out[3]) {
  double t[3], u[3]; /* v + 2 w (q x v) + 2 q x (q x v) */
  for (int k = 0; k < 3; k++) t[k] = 2 * (q[(k + 1) % 3] * v[(k + 2) % 3] - q[(k + 2) % 3] * v[(k + 1) % 3]);
  for (int k = 0; k < 3; k++) u[k] = q[(k + 1) % 3] * t[(k + 2) % 3] - q[(k + 2) % 3] * t[(k + 1) % 3];
  for (int k = 0; k < 3; k++) out[k] = v[k] + q[3] * t[k] + u[k];
}
