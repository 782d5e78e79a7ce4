/* Triangle meshes made of a few kinds of surfaces: what the rendered objects are built from. */
#ifndef JEPAC_RUNTIME_RENDER_MESH_H
#define JEPAC_RUNTIME_RENDER_MESH_H

#include "ir/base.h"

typedef struct {
  double p[3], n[3]; /* place and unit normal */
} Vertex;

typedef struct {
  int v[3], part;
} Face;

typedef struct {
  Arena *a;
  VEC(Vertex) vertex;
  VEC(Face) face;
  int part; /* of the faces added next; parts have colours of their own */
} Mesh;

/* Where something is added: an origin and three unit axes. */
typedef struct {
  double o[3], ax[3][3];
} Frame;

Frame frame_at(double x, double y, double z);                         /* the axes of the world */
Frame frame_along(double x, double y, double z, const double dir[3]); /* its third axis along dir */

/* A surface around the third axis: radius and height along a profile of n points; `sharp` creases at the
   points. The cross-section has `lobes` bulges of relative depth `depth`, and is `flat` times as wide along
   the second axis. */
typedef struct {
  double r, z;
} ProfilePoint;
typedef struct {
  bool sharp;
  int lobes, sides; /* sides: 0 for round */
  double depth, flat;
} Section;
void mesh_lathe(Mesh *m, Frame f, const ProfilePoint *p, int n, Section s);
/* A tube of the given radius through n points. */
void mesh_tube(Mesh *m, const double (*path)[3], int n, bool closed, double radius);
/* Half sizes along the axes. */
void mesh_box(Mesh *m, Frame f, double x, double y, double z);
/* A polygon (star-shaped seen from the origin) in the first two axes, of thickness 2 z. */
void mesh_prism(Mesh *m, Frame f, const double (*corner)[2], int n, double z);
void mesh_ball(Mesh *m, Frame f, double rx, double ry, double rz);
/* A cylinder from a to b that narrows from radius ra to rb. */
void mesh_rod(Mesh *m, const double a[3], const double b[3], double ra, double rb);

/* Centres the mesh, scales it to touch the sphere of the given radius, and computes the normals. */
void mesh_finish(Mesh *m, double radius);

#endif
