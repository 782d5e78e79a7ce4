/* Rotations as unit quaternions (x, y, z, w): scalar last. `positive`: the sign is such that w is not negative, else as
   the products give it. */
#ifndef JEPAC_RUNTIME_DATA_QUATERNION_H
#define JEPAC_RUNTIME_DATA_QUATERNION_H

#include <stdbool.h>

/* Of R = Rz(angle[2]) Ry(angle[1]) Rx(angle[0]): Euler angles about the fixed axes x, y, z in turn. */
void quaternion_of_euler(const double angle[3], bool positive, double q[4]);
void quaternion_between(const double a[4], const double b[4], bool positive, double q[4]); /* of A^-1 B */
void quaternion_rotate(const double q[4], const double v[3], double out[3]);               /* R v */

#endif
