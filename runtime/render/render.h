/* Pictures of a mesh on a floor under a coloured light, in double precision: a pure function of the scene. */
#ifndef JEPAC_RUNTIME_RENDER_RENDER_H
#define JEPAC_RUNTIME_RENDER_RENDER_H

#include "runtime/render/mesh.h"

/* How light a body's surface is from place to place: 1 - contrast to 1, in its own coordinates. */
typedef struct {
  enum { TEXTURE_NONE, TEXTURE_NOISE, TEXTURE_STRIPES, TEXTURE_CHECKS, TEXTURE_SPOTS, NTEXTURE } kind;
  double scale, contrast; /* scale: features a unit of length */
  uint32_t seed;
} Texture;

/* What stands on the floor beside the object. */
typedef struct {
  const Mesh *mesh;
  double at[2], turn; /* of the mesh's origin, and about the vertical */
  double height;      /* of the origin above the floor */
  double colour[3][3];
  Texture texture;
} Body;

typedef struct {
  double angle[3];               /* Euler angles about the fixed axes x, y, z in turn */
  double floor_hue;              /* turns */
  double light_theta, light_phi; /* where the light stands: from the zenith, and around */
  double light_hue;
  bool grey;           /* floor and light have no hue */
  double colour[3][3]; /* of the object's parts, RGB in 0..1 */
  Texture texture, floor_texture;
  const Body *other;
  int nother;
} Scene;

typedef struct Renderer Renderer;
Renderer *renderer_new(Arena *a, int size); /* of size x size pictures */
/* The mesh fits a sphere of radius RENDER_RADIUS around the origin. rgb: interleaved bytes. */
#define RENDER_RADIUS 0.72
void renderer_draw(Renderer *r, const Mesh *m, const Scene *s, uint8_t *rgb);

void render_rgb(double hue, double saturation, double value, double rgb[3]);

#endif
