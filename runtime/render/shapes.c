/* The objects: everyday things of a few surfaces, the third axis up. Sizes are drawn around those of a
   typical one, widely enough that instances differ, and mostly without symmetries that would hide a rotation. */
#include "runtime/render/shapes.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const Section round_sharp = {.sharp = true}, round_smooth = {.sharp = false};

static double u(Rng *r, double lo, double hi) { return rng_uniform(r, lo, hi); }
static int whole(Rng *r, int lo, int hi) { return lo + (int)rng_below(r, (uint32_t)(hi - lo + 1)); }
static void part(Mesh *m, int k) { m->part = k; }

static void rod(Mesh *m, double ax, double ay, double az, double bx, double by, double bz, double ra,
                double rb) {
  mesh_rod(m, (double[]){ax, ay, az}, (double[]){bx, by, bz}, ra, rb);
}

/* A cylinder or cone upright: radii at z0 and z1. */
static void upright(Mesh *m, double x, double y, double z0, double z1, double r0, double r1) {
  rod(m, x, y, z0, x, y, z1, r0, r1);
}

/* Half a ring in the plane of the first and third axis, from (x, z0) to (x, z1). */
static void handle(Mesh *m, double x, double z0, double z1, double reach, double radius) {
  enum { N = 13 };
  double path[N][3];
  for (int i = 0; i < N; i++) {
    double t = pi * i / (N - 1);
    path[i][0] = x + reach * sin(t);
    path[i][1] = 0;
    path[i][2] = (z0 + z1) / 2 - (z1 - z0) / 2 * cos(t);
  }
  mesh_tube(m, (const double(*)[3])path, N, false, radius);
}

static void mug(Rng *r, Mesh *m) {
  double h = u(r, 0.8, 1.3), w = u(r, 0.4, 0.6), top = w * u(r, 0.85, 1.2), wall = 0.07;
  ProfilePoint p[] = {{0, 0}, {w, 0}, {top, h}, {top - wall, h}, {w - wall, 0.1}, {0, 0.1}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 6, round_sharp);
  part(m, 1);
  double reach = u(r, 0.3, 0.5), thick = u(r, 0.05, 0.09);
  handle(m, w * 0.95, 0.2 * h, 0.8 * h, reach, thick);
}

static void bottle(Rng *r, Mesh *m) {
  double w = u(r, 0.25, 0.45), neck = w * u(r, 0.25, 0.45), h = u(r, 0.8, 1.2), n = u(r, 0.25, 0.6);
  ProfilePoint p[] = {{0, 0},          {0.9 * w, 0},        {w, 0.1},        {w, h},
                      {neck, h + 0.3}, {neck, h + 0.3 + n}, {0, h + 0.3 + n}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 7, round_sharp);
  part(m, 1);
  upright(m, 0, 0, h + 0.28 + n, h + 0.45 + n, neck * 1.25, neck * 1.25);
  part(m, 2);
  mesh_box(m, frame_at(0, w * 0.9, h * 0.55), w * 0.55, w * 0.14, h * 0.25); /* a label, on one side */
}

static void vase(Rng *r, Mesh *m) {
  enum { N = 15 };
  ProfilePoint p[N];
  int lobes = whole(r, 5, 8);
  double belly = u(r, 0.25, 0.4), phase = u(r, 0, 1.5), h = u(r, 1.2, 1.8), depth = u(r, 0.06, 0.14);
  for (int i = 0; i < N; i++) {
    double t = (double)i / (N - 1);
    p[i] = (ProfilePoint){0.3 + belly * sin(pi * (1.3 * t + phase * (1 - t))) * 0.6, h * t};
  }
  p[0].r = 0;
  mesh_lathe(m, frame_at(0, 0, 0), p, N, (Section){.lobes = lobes, .depth = depth});
}

static void goblet(Rng *r, Mesh *m) {
  double cup = u(r, 0.35, 0.55), stem = u(r, 0.5, 0.9), deep = u(r, 0.5, 0.8), foot = u(r, 0.35, 0.5);
  ProfilePoint p[] = {{0, 0},
                      {foot, 0.02},
                      {0.07, 0.1},
                      {0.06, stem},
                      {cup * 0.8, stem + 0.3 * deep},
                      {cup, stem + 0.6 * deep},
                      {cup * u(r, 0.75, 1), stem + deep}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 7, round_smooth);
}

static void legs(Mesh *m, double x, double y, double z, double thick, double lean) {
  for (int i = 0; i < 4; i++) {
    double sx = i % 2 ? 1 : -1, sy = i / 2 ? 1 : -1;
    rod(m, sx * (x + lean), sy * (y + lean), 0, sx * x, sy * y, z, thick * 0.8, thick);
  }
}

static void table(Rng *r, Mesh *m) {
  double x = u(r, 0.7, 1.1), y = u(r, 0.45, 0.7), z = u(r, 0.6, 0.9), thick = u(r, 0.04, 0.09);
  mesh_box(m, frame_at(0, 0, z), x, y, thick);
  part(m, 1);
  double leg = u(r, 0.05, 0.09), lean = u(r, 0, 0.15);
  legs(m, x * 0.85, y * 0.8, z, leg, lean);
}

static void chair(Rng *r, Mesh *m) {
  double x = u(r, 0.4, 0.55), y = u(r, 0.4, 0.5), z = u(r, 0.5, 0.75), back = u(r, 0.6, 1);
  mesh_box(m, frame_at(0, 0, z), x, y, 0.06);
  mesh_box(m, frame_at(0, -y, z + back * 0.55), x, 0.05, back * 0.45);
  part(m, 1);
  double leg = u(r, 0.04, 0.08), lean = u(r, 0, 0.1);
  legs(m, x * 0.85, y * 0.85, z, leg, lean);
  rod(m, -x * 0.9, -y, z, -x * 0.9, -y, z + back * 0.2, 0.05, 0.05);
  rod(m, x * 0.9, -y, z, x * 0.9, -y, z + back * 0.2, 0.05, 0.05);
}

static void lamp(Rng *r, Mesh *m) {
  double h = u(r, 1, 1.5), shade = u(r, 0.4, 0.65), lean = u(r, -0.3, 0.3);
  upright(m, 0, 0, 0, 0.1, u(r, 0.3, 0.45), 0.25);
  rod(m, 0, 0, 0.1, lean, 0, h, 0.05, 0.04);
  part(m, 1);
  ProfilePoint p[] = {{shade, h - 0.15}, {shade * u(r, 0.4, 0.8), h + 0.4}, {0, h + 0.42}};
  mesh_lathe(m, frame_at(lean, 0, 0), p, 3, round_sharp);
}

static void wing(Mesh *m, double x, double y, double z, double root, double tip, double span, double sweep) {
  for (int side = -1; side <= 1; side += 2) {
    const double c[4][2] = {
        {root / 2, 0}, {tip / 2 - sweep, side * span}, {-tip / 2 - sweep, side * span}, {-root / 2, 0}};
    mesh_prism(m, frame_at(x, y, z), c, 4, 0.03);
  }
}

static void airplane(Rng *r, Mesh *m) {
  double length = u(r, 1.6, 2.2), w = u(r, 0.14, 0.24), span = u(r, 0.8, 1.2);
  ProfilePoint p[] = {{0.02, -length / 2}, {w * 0.5, -length * 0.3}, {w, 0},
                      {w, length * 0.3},   {w * 0.6, length * 0.45}, {0.01, length / 2}};
  mesh_lathe(m, frame_along(0, 0, 0, (double[]){1, 0, 0}), p, 6, round_smooth);
  part(m, 1);
  double at = u(r, 0, 0.2), tip = u(r, 0.2, 0.4), sweep = u(r, 0, 0.5);
  wing(m, at, 0, -w * 0.3, 0.5, tip, span, sweep);
  wing(m, -length * 0.42, 0, 0, 0.25, 0.15, span * 0.35, 0.1);
  part(m, 2);
  mesh_box(m, frame_at(-length * 0.42, 0, w + 0.1), 0.13, 0.02, u(r, 0.15, 0.3));
}

static void car(Rng *r, Mesh *m) {
  double x = u(r, 0.8, 1.1), y = u(r, 0.38, 0.48), z = u(r, 0.16, 0.25), roof = u(r, 0.15, 0.3),
         wheel = u(r, 0.17, 0.24);
  mesh_box(m, frame_at(0, 0, wheel + z), x, y, z);
  part(m, 1);
  const double c[4][2] = {
      {-x * 0.6, 0}, {x * 0.45, 0}, {x * 0.2, 2 * roof}, {-x * u(r, 0.35, 0.55), 2 * roof}};
  Frame f = {{0, 0, wheel + 2 * z}, {{1, 0, 0}, {0, 0, 1}, {0, 1, 0}}};
  mesh_prism(m, f, c, 4, y * 0.85);
  part(m, 2);
  for (int i = 0; i < 4; i++) {
    double wx = (i % 2 ? 0.6 : -0.6) * x, wy = i / 2 ? y : -y;
    rod(m, wx, wy - 0.08, wheel, wx, wy + 0.08, wheel, wheel, wheel);
  }
}

static void rocket(Rng *r, Mesh *m) {
  double w = u(r, 0.2, 0.3), h = u(r, 1.2, 1.7);
  ProfilePoint p[] = {{0, 0}, {w * 0.7, 0}, {w, 0.3}, {w, h * 0.6}, {w * 0.6, h * 0.85}, {0, h}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 6, round_smooth);
  part(m, 1);
  int fins = whole(r, 3, 4);
  double reach = u(r, 0.2, 0.4), tall = u(r, 0.3, 0.6);
  for (int i = 0; i < fins; i++) {
    double t = 2 * pi * i / fins, c = cos(t), s = sin(t);
    Frame f = {{c * w * 0.9, s * w * 0.9, 0.05}, {{c, s, 0}, {0, 0, 1}, {-s, c, 0}}};
    const double corner[4][2] = {{0, 0}, {reach, -0.15}, {reach, 0.1}, {0, tall}};
    mesh_prism(m, f, corner, 4, 0.03);
  }
  part(m, 2);
  mesh_ball(m, frame_at(0, w * 0.9, h * 0.55), 0.1, 0.05, 0.1); /* a window */
}

static void ring(Rng *r, Mesh *m) {
  enum { N = 40 };
  double path[N][3], thick = u(r, 0.12, 0.28), flat = u(r, 0.6, 1);
  for (int i = 0; i < N; i++) {
    double t = 2 * pi * i / N;
    path[i][0] = cos(t);
    path[i][1] = flat * sin(t);
    path[i][2] = 0;
  }
  mesh_tube(m, (const double(*)[3])path, N, true, thick);
  part(m, 1); /* a stone */
  mesh_ball(m, frame_at(1 + thick, 0, 0), u(r, 0.2, 0.35), 0.25, 0.2);
}

static void knot(Rng *r, Mesh *m) {
  enum { N = 96 };
  double path[N][3], open = u(r, 0.35, 0.55), lift = u(r, 0.3, 0.5);
  int p = 2, q = rng_below(r, 2) ? 3 : 5;
  for (int i = 0; i < N; i++) {
    double t = 2 * pi * i / N, w = 1 + open * cos(q * t);
    path[i][0] = w * cos(p * t);
    path[i][1] = w * sin(p * t);
    path[i][2] = lift * sin(q * t);
  }
  mesh_tube(m, (const double(*)[3])path, N, true, u(r, 0.1, 0.2));
}

static void spring(Rng *r, Mesh *m) {
  enum { N = 100 };
  double path[N][3], turns = u(r, 3, 5.5), h = u(r, 1.2, 2.2), narrow = u(r, 0.4, 1);
  for (int i = 0; i < N; i++) {
    double s = (double)i / (N - 1), t = 2 * pi * turns * s, w = 0.6 * (1 - (1 - narrow) * s);
    path[i][0] = w * cos(t);
    path[i][1] = w * sin(t);
    path[i][2] = h * s;
  }
  mesh_tube(m, (const double(*)[3])path, N, false, u(r, 0.07, 0.13));
}

static void star(Rng *r, Mesh *m) {
  enum { MOST = 7 };
  double corner[2 * MOST][2], inner = u(r, 0.35, 0.55), z = u(r, 0.12, 0.3);
  int n = whole(r, 4, MOST);
  for (int i = 0; i < 2 * n; i++) {
    double t = pi * i / n, w = i % 2 ? inner : 1;
    corner[i][0] = w * cos(t);
    corner[i][1] = w * sin(t);
  }
  mesh_prism(m, frame_at(0, 0, 0), (const double(*)[2])corner, 2 * n, z);
  part(m, 1);
  upright(m, 0, 0, z, z + 0.15, 0.25, 0.15);
}

static void gear(Rng *r, Mesh *m) {
  enum { MOST = 14 };
  double corner[4 * MOST][2], tooth = u(r, 0.75, 0.85), z = u(r, 0.12, 0.25);
  int n = whole(r, 8, MOST);
  for (int i = 0; i < 4 * n; i++) {
    double t = 2 * pi * (i + (i % 2 ? 0.2 : -0.2)) / (4 * n), w = i % 4 < 2 ? 1 : tooth;
    corner[i][0] = w * cos(t);
    corner[i][1] = w * sin(t);
  }
  mesh_prism(m, frame_at(0, 0, 0), (const double(*)[2])corner, 4 * n, z);
  part(m, 1);
  upright(m, 0, 0, -z, u(r, 0.5, 0.9), 0.2, 0.2);
}

static void jack(Rng *r, Mesh *m) {
  for (int k = 0; k < 3; k++) {
    double a[3] = {0}, b[3] = {0}, w = u(r, 0.1, 0.16);
    a[k] = -u(r, 0.5, 1);
    b[k] = u(r, 0.7, 1);
    part(m, k);
    mesh_rod(m, a, b, w, w);
    mesh_ball(m, frame_at(b[0], b[1], b[2]), w * 1.8, w * 1.8, w * 1.8);
  }
}

static void stairs(Rng *r, Mesh *m) {
  int n = whole(r, 3, 6);
  double deep = u(r, 0.2, 0.35), high = u(r, 0.15, 0.3), wide = u(r, 0.4, 0.8);
  for (int i = 0; i < n; i++) {
    part(m, i % 2);
    mesh_box(m, frame_at(i * 2 * deep, 0, (i + 1) * high), deep, wide, (i + 1) * high);
  }
}

static void snowman(Rng *r, Mesh *m) {
  double a = u(r, 0.5, 0.6), b = a * u(r, 0.65, 0.8), c = b * u(r, 0.65, 0.8), z = a + 0.85 * (a + b),
         top = z + 0.85 * (b + c);
  mesh_ball(m, frame_at(0, 0, a), a, a, a);
  mesh_ball(m, frame_at(0, 0, z), b, b, b);
  mesh_ball(m, frame_at(0, 0, top), c, c, c);
  part(m, 1);
  rod(m, 0, c * 0.9, top, 0, c + u(r, 0.25, 0.5), top, 0.08, 0.01);
  part(m, 2);
  rod(m, b * 0.8, 0, z, b + 0.5, u(r, -0.1, 0.3), z + 0.3, 0.05, 0.03);
  rod(m, -b * 0.8, 0, z, -b - 0.5, u(r, -0.1, 0.3), z + 0.2, 0.05, 0.03);
}

static void mushroom(Rng *r, Mesh *m) {
  double w = u(r, 0.12, 0.25), h = u(r, 0.5, 1), cap = u(r, 0.5, 0.8), tall = u(r, 0.3, 0.6),
         lean = u(r, -0.3, 0.3);
  rod(m, lean, 0, 0, 0, 0, h, w * 1.2, w);
  part(m, 1);
  ProfilePoint p[] = {
      {0, h}, {cap, h - 0.05}, {cap * 0.9, h + tall * 0.5}, {cap * 0.5, h + tall * 0.9}, {0, h + tall}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 5, round_smooth);
}

static void tree(Rng *r, Mesh *m) {
  int n = whole(r, 2, 4);
  double w = u(r, 0.5, 0.75), z = u(r, 0.4, 0.6);
  upright(m, 0, 0, 0, z, 0.12, 0.1);
  for (int i = 0; i < n; i++) {
    part(m, 1 + i % 2);
    upright(m, 0, 0, z, z + 0.6, w, 0.02);
    z += u(r, 0.3, 0.4);
    w *= 0.78;
  }
}

static void hammer(Rng *r, Mesh *m) {
  double h = u(r, 1.2, 1.8), w = u(r, 0.3, 0.45), thick = u(r, 0.14, 0.22);
  upright(m, 0, 0, 0, h, u(r, 0.07, 0.11), 0.07);
  part(m, 1);
  rod(m, -w, 0, h, w, 0, h, thick, thick);
  const double claw[3][2] = {{-w, -thick}, {-w, thick}, {-w - u(r, 0.3, 0.5), 0}};
  Frame f = {{0, 0, h}, {{1, 0, 0}, {0, 0, 1}, {0, 1, 0}}};
  mesh_prism(m, f, claw, 3, thick * 0.6);
}

static void dumbbell(Rng *r, Mesh *m) {
  double x = u(r, 0.5, 0.9), a = u(r, 0.3, 0.5), b = a * u(r, 0.6, 1);
  rod(m, -x, 0, 0, x, 0, 0, 0.1, 0.1);
  part(m, 1);
  rod(m, -x - 0.15, 0, 0, -x + 0.15, 0, 0, a, a);
  rod(m, x - 0.1, 0, 0, x + 0.1, 0, 0, b, b);
  part(m, 2);
  rod(m, -x + 0.15, 0, 0, -x + 0.3, 0, 0, a * 0.7, a * 0.7);
}

static void house(Rng *r, Mesh *m) {
  double x = u(r, 0.5, 0.9), y = u(r, 0.4, 0.6), z = u(r, 0.3, 0.5), roof = u(r, 0.3, 0.7);
  mesh_box(m, frame_at(0, 0, z), x, y, z);
  part(m, 1);
  const double gable[3][2] = {{-y * 1.15, -roof / 3}, {y * 1.15, -roof / 3}, {0, roof * 2 / 3}};
  Frame f = {{0, 0, 2 * z + roof / 3}, {{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}};
  mesh_prism(m, f, gable, 3, x * 1.1);
  part(m, 2);
  mesh_box(m, frame_at(x * u(r, 0.3, 0.7), y * 0.5, 2 * z + roof * 0.6), 0.09, 0.09,
           roof * 0.45);                                                     /* chimney */
  mesh_box(m, frame_at(-x * u(r, 0, 0.5), y, z * 0.6), 0.12, 0.03, z * 0.6); /* door */
}

static void umbrella(Rng *r, Mesh *m) {
  double w = u(r, 0.7, 1), deep = u(r, 0.3, 0.6), h = u(r, 1, 1.4);
  ProfilePoint p[] = {{w, h - deep}, {w * 0.85, h - deep * 0.45}, {w * 0.5, h - deep * 0.1}, {0, h}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 4, (Section){.lobes = whole(r, 6, 8), .depth = 0.05});
  part(m, 1);
  upright(m, 0, 0, 0, h + 0.1, 0.04, 0.03);
  double path[7][3], hook = u(r, 0.12, 0.25);
  for (int i = 0; i < 7; i++) {
    double t = pi * i / 6;
    path[i][0] = hook - hook * cos(t);
    path[i][1] = 0;
    path[i][2] = -hook * sin(t);
  }
  mesh_tube(m, (const double(*)[3])path, 7, false, 0.05);
}

static void arrow(Rng *r, Mesh *m) {
  double length = u(r, 1, 1.6), w = u(r, 0.12, 0.25), head = u(r, 0.35, 0.55), z = u(r, 0.1, 0.2);
  mesh_box(m, frame_at(0, 0, 0), length / 2, w, z);
  part(m, 1);
  const double c[3][2] = {{-head / 2, -head}, {head, 0}, {-head / 2, head}};
  mesh_prism(m, frame_at(length / 2 + head / 3, 0, 0), c, 3, z * u(r, 0.8, 1.3));
}

static void pyramid(Rng *r, Mesh *m) {
  int sides = whole(r, 3, 5), n = whole(r, 1, 3);
  double w = u(r, 0.7, 0.9), z = 0, h = u(r, 0.9, 1.5) / n;
  for (int i = 0; i < n; i++) {
    double next = i + 1 == n ? 0.01 : w * u(r, 0.6, 0.75);
    ProfilePoint p[] = {{0, z}, {w, z}, {next, z + h}, {0, z + h}};
    part(m, i);
    mesh_lathe(m, frame_at(0, 0, 0), p, 4, (Section){.sharp = true, .sides = sides});
    z += h;
    w = next * 0.9;
  }
}

static void crate(Rng *r, Mesh *m) {
  double x = u(r, 0.5, 0.9), y = u(r, 0.5, 0.7), z = u(r, 0.4, 0.7), w = u(r, 0.06, 0.12);
  double wide = u(r, 0.25, 0.4), high = u(r, 0.2, 0.35), half[3] = {x, y, z};
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < 4; i++) {
      double c[3] = {0}, s[3] = {w, w, w};
      c[(k + 1) % 3] = (i % 2 ? 1 : -1) * half[(k + 1) % 3];
      c[(k + 2) % 3] = (i / 2 ? 1 : -1) * half[(k + 2) % 3];
      s[k] = half[k] + w;
      mesh_box(m, frame_at(c[0], c[1], c[2]), s[0], s[1], s[2]);
    }
  part(m, 1); /* what is in it, to one side */
  mesh_ball(m, frame_at(half[0] * 0.3, 0, -half[2] * 0.3), wide, 0.3, high);
}

static void teapot(Rng *r, Mesh *m) {
  double w = u(r, 0.45, 0.6), h = u(r, 0.6, 0.9);
  ProfilePoint p[] = {{0, 0},       {w * 0.7, 0.02}, {w, h * 0.4}, {w * 0.85, h * 0.8},
                      {w * 0.4, h}, {0, h + 0.05}};
  mesh_lathe(m, frame_at(0, 0, 0), p, 6, round_smooth);
  part(m, 1);
  double spout = u(r, 0.3, 0.5), lift = u(r, 0.7, 1);
  rod(m, w * 0.8, 0, h * 0.35, w + spout, 0, h * lift, 0.13, 0.06);
  double path[9][3], reach = u(r, 0.3, 0.45);
  for (int i = 0; i < 9; i++) {
    double t = pi * i / 8;
    path[i][0] = -w * 0.9 - reach * sin(t);
    path[i][1] = 0;
    path[i][2] = h * (0.5 - 0.3 * cos(t));
  }
  mesh_tube(m, (const double(*)[3])path, 9, false, 0.06);
  part(m, 2);
  mesh_ball(m, frame_at(0, 0, h + 0.12), 0.1, 0.1, 0.1);
}

static const struct {
  const char *name;
  void (*build)(Rng *, Mesh *);
} classes[] = {{"mug", mug},       {"bottle", bottle},     {"vase", vase},         {"goblet", goblet},
               {"table", table},   {"chair", chair},       {"lamp", lamp},         {"airplane", airplane},
               {"car", car},       {"rocket", rocket},     {"ring", ring},         {"knot", knot},
               {"spring", spring}, {"star", star},         {"gear", gear},         {"jack", jack},
               {"stairs", stairs}, {"snowman", snowman},   {"mushroom", mushroom}, {"tree", tree},
               {"hammer", hammer}, {"dumbbell", dumbbell}, {"house", house},       {"umbrella", umbrella},
               {"arrow", arrow},   {"pyramid", pyramid},   {"crate", crate},       {"teapot", teapot}};

int shapes_count(void) { return sizeof classes / sizeof *classes; }
const char *shapes_name(int class) { return classes[class].name; }
void shapes_build(int class, Rng *r, Mesh *m) { classes[class].build(r, m); }
