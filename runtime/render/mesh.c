/* Every surface is a grid of points, perhaps closed around; normals are means of the faces at a point, by
   area, so that an edge is sharp exactly where two grids meet. */
#include "runtime/render/mesh.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void cross(const double a[3], const double b[3], double out[3]) {
  for (int k = 0; k < 3; k++) out[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static void unit(double a[3]) {
  double n = sqrt(dot(a, a));
  for (int k = 0; k < 3 && n > 0; k++) a[k] /= n;
}

Frame frame_at(double x, double y, double z) { return (Frame){{x, y, z}, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}; }

Frame frame_along(double x, double y, double z, const double dir[3]) {
  Frame f = {{x, y, z}, {{0}}};
  double help[3] = {0, 0, 0};
  help[fabs(dir[0]) < fabs(dir[2]) ? 0 : 1] = 1;
  memcpy(f.ax[2], dir, sizeof f.ax[2]);
  unit(f.ax[2]);
  cross(help, f.ax[2], f.ax[0]);
  unit(f.ax[0]);
  cross(f.ax[2], f.ax[0], f.ax[1]);
  return f;
}

static int add_point(Mesh *m, const Frame *f, double x, double y, double z) {
  Vertex v = {{0}, {0}};
  for (int k = 0; k < 3; k++) v.p[k] = f->o[k] + x * f->ax[0][k] + y * f->ax[1][k] + z * f->ax[2][k];
  vec_push(m->a, &m->vertex, v);
  return m->vertex.n - 1;
}

static void add_face(Mesh *m, int a, int b, int c) { vec_push(m->a, &m->face, ((Face){{a, b, c}, m->part})); }

/* Faces over rows x columns points from `first` on; the columns close around when `around`. */
static void add_grid(Mesh *m, int first, int rows, int columns, bool around) {
  for (int i = 0; i + 1 < rows; i++)
    for (int j = 0; j + !around < columns; j++) {
      int k = (j + 1) % columns, a = first + i * columns + j, b = first + i * columns + k;
      add_face(m, a, b, a + columns);
      add_face(m, b, b + columns, a + columns);
    }
}

static void add_ring(Mesh *m, const Frame *f, ProfilePoint p, const Section *s, int sides) {
  double flat = s->flat > 0 ? s->flat : 1;
  for (int j = 0; j < sides; j++) {
    double t = 2 * pi * (j + 0.5) / sides, r = p.r * (1 + s->depth * cos(s->lobes * t));
    add_point(m, f, r * cos(t), flat * r * sin(t), p.z);
  }
}

void mesh_lathe(Mesh *m, Frame f, const ProfilePoint *p, int n, Section s) {
  int sides = s.sides ? s.sides : s.lobes > 4 ? 6 * s.lobes : 24;
  int step = s.sharp ? 1 : n - 1;
  for (int i = 0; i + 1 < n; i += step) {
    int first = m->vertex.n;
    for (int k = i; k <= i + step; k++) add_ring(m, &f, p[k], &s, sides);
    add_grid(m, first, step + 1, sides, true);
  }
}

void mesh_ball(Mesh *m, Frame f, double rx, double ry, double rz) {
  enum { N = 13 };
  ProfilePoint p[N];
  for (int i = 0; i < N; i++) {
    double t = pi * i / (N - 1);
    p[i] = (ProfilePoint){rx * sin(t), -rz * cos(t)};
  }
  mesh_lathe(m, f, p, N, (Section){.flat = ry / rx});
}

void mesh_rod(Mesh *m, const double a[3], const double b[3], double ra, double rb) {
  double d[3] = {b[0] - a[0], b[1] - a[1], b[2] - a[2]}, length = sqrt(dot(d, d));
  ProfilePoint p[] = {{0, 0}, {ra, 0}, {rb, length}, {0, length}};
  mesh_lathe(m, frame_along(a[0], a[1], a[2], d), p, 4, (Section){.sharp = true});
}

void mesh_tube(Mesh *m, const double (*path)[3], int n, bool closed, double radius) {
  enum { SIDES = 12 };
  int first = m->vertex.n, rows = n + closed;
  double side[3] = {0, 0, 0};
  for (int i = 0; i < rows; i++) {
    const double *at = path[i % n],
                 *next = path[closed      ? (i + 1) % n
                              : i + 1 < n ? i + 1
                                          : i],
                 *last = path[closed  ? (i + n - 1) % n
                              : i > 0 ? i - 1
                                      : i];
    double dir[3] = {next[0] - last[0], next[1] - last[1], next[2] - last[2]};
    Frame f = frame_along(at[0], at[1], at[2], dir);
    if (i > 0) { /* the ring before, carried on with as little turning as possible */
      double along = dot(side, f.ax[2]);
      for (int k = 0; k < 3; k++) f.ax[0][k] = side[k] - along * f.ax[2][k];
      unit(f.ax[0]);
      cross(f.ax[2], f.ax[0], f.ax[1]);
    }
    memcpy(side, f.ax[0], sizeof side);
    for (int j = 0; j < SIDES; j++)
      add_point(m, &f, radius * cos(2 * pi * j / SIDES), radius * sin(2 * pi * j / SIDES), 0);
  }
  if (closed) { /* the last ring has turned against the first: join them where they are nearest */
    int best = 0;
    double least = 1e300;
    for (int j = 0; j < SIDES; j++) {
      double d[3];
      for (int k = 0; k < 3; k++) d[k] = m->vertex.v[first + n * SIDES].p[k] - m->vertex.v[first + j].p[k];
      if (dot(d, d) < least) least = dot(d, d), best = j;
    }
    Vertex ring[SIDES];
    for (int j = 0; j < SIDES; j++) ring[j] = m->vertex.v[first + (j + best) % SIDES];
    memcpy(m->vertex.v + first + n * SIDES, ring, sizeof ring);
  }
  add_grid(m, first, rows, SIDES, true);
  for (int end = 0; end < 2 && !closed; end++) {
    double zero[3] = {path[end ? n - 1 : 0][0], path[end ? n - 1 : 0][1], path[end ? n - 1 : 0][2]};
    mesh_ball(m, frame_at(zero[0], zero[1], zero[2]), radius, radius, radius);
  }
}

void mesh_prism(Mesh *m, Frame f, const double (*corner)[2], int n, double z) {
  for (int side = -1; side <= 1; side += 2) {
    int centre = add_point(m, &f, 0, 0, side * z);
    for (int i = 0; i < n; i++) add_point(m, &f, corner[i][0], corner[i][1], side * z);
    for (int i = 0; i < n; i++) add_face(m, centre, centre + 1 + i, centre + 1 + (i + 1) % n);
  }
  for (int i = 0; i < n; i++) {
    int first = m->vertex.n;
    for (int k = 0; k < 4; k++) {
      const double *c = corner[(i + k % 2) % n];
      add_point(m, &f, c[0], c[1], k < 2 ? -z : z);
    }
    add_grid(m, first, 2, 2, false);
  }
}

void mesh_box(Mesh *m, Frame f, double x, double y, double z) {
  const double corner[4][2] = {{-x, -y}, {x, -y}, {x, y}, {-x, y}};
  mesh_prism(m, f, corner, 4, z);
}

void mesh_finish(Mesh *m, double radius) {
  double lo[3] = {1e300, 1e300, 1e300}, hi[3] = {-1e300, -1e300, -1e300}, far = 0;
  for (int i = 0; i < m->vertex.n; i++)
    for (int k = 0; k < 3; k++) {
      lo[k] = fmin(lo[k], m->vertex.v[i].p[k]);
      hi[k] = fmax(hi[k], m->vertex.v[i].p[k]);
    }
  for (int i = 0; i < m->vertex.n; i++) {
    double *p = m->vertex.v[i].p;
    for (int k = 0; k < 3; k++) p[k] -= (lo[k] + hi[k]) / 2;
    far = fmax(far, dot(p, p));
  }
  double scale = radius / sqrt(far);
  for (int i = 0; i < m->vertex.n; i++)
    for (int k = 0; k < 3; k++) m->vertex.v[i].p[k] *= scale;
  for (int i = 0; i < m->face.n; i++) {
    Vertex *v[3];
    double a[3], b[3], n[3];
    for (int k = 0; k < 3; k++) v[k] = &m->vertex.v[m->face.v[i].v[k]];
    for (int k = 0; k < 3; k++) {
      a[k] = v[1]->p[k] - v[0]->p[k];
      b[k] = v[2]->p[k] - v[0]->p[k];
    }
    cross(a, b, n);
    for (int c = 0; c < 3; c++)
      for (int k = 0; k < 3; k++) v[c]->n[k] += n[k];
  }
  for (int i = 0; i < m->vertex.n; i++) unit(m->vertex.v[i].n);
}
