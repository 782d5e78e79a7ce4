/* A triangle rasteriser with a depth buffer and deferred shading, 2 x 2 samples a pixel. The scene is that of
   3DIEBench (Garrido et al. 2023): the camera looks down at 45 degrees on an object at the origin, the floor
   is below it, a white sun and a coloured spot shine. Shadows come from a depth map seen from the spot
   (Williams 1978, "Casting curved shadows on curved surfaces"). */
#include "runtime/render/render.h"
#include "runtime/data/quaternion.h"
#include "runtime/render/texture.h"

#include <math.h>
#include <string.h>

enum { SAMPLES = 2 };
static const double floor_z = -1, camera_distance = 2.5, camera_theta = 0.78539816339744831, view_half = 0.36,
                    light_distance = 4, shadow_half = 0.24;

/* A pinhole: axes right, up (against the rows) and forward. */
typedef struct {
  double at[3], right[3], up[3], forward[3];
  double half; /* tangent of half the opening */
  int size;    /* samples a side */
} Camera;

typedef struct {
  double x, y, w; /* samples; 1 / depth */
} Projected;

typedef struct {
  Vertex world;
  double own[3]; /* in the body's coordinates */
} Placed;

typedef struct {
  int v[3];
  const double *colour;
  const Texture *texture;
} Surface;

struct Renderer {
  Arena *a;
  int size, side, shadow_side; /* side: samples */
  double *depth, *shadow;      /* 1 / depth, 0 for nothing */
  int *face;
  double *bary; /* two of the three weights of a sample in its face */
  VEC(Placed) vertex;
  VEC(Surface) surface;
  VEC(Projected) eye, lamp;
};

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void cross(const double a[3], const double b[3], double out[3]) {
  for (int k = 0; k < 3; k++) out[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static void unit(double a[3]) {
  double n = 1 / sqrt(dot(a, a));
  for (int k = 0; k < 3; k++) a[k] *= n;
}

void render_rgb(double hue, double saturation, double value, double rgb[3]) {
  static const double offset[3] = {5, 3, 1};
  for (int c = 0; c < 3; c++) {
    double k = fmod(offset[c] + 6 * (hue - floor(hue)), 6);
    rgb[c] = value - value * saturation * fmax(0, fmin(fmin(k, 4 - k), 1));
  }
}

Renderer *renderer_new(Arena *a, int size) {
  Renderer *r = NEW(a, Renderer);
  size_t side = (size_t)size * SAMPLES;
  r->a = a;
  r->size = size;
  r->side = (int)side;
  r->shadow_side = size < 64 ? 128 : size > 512 ? 1024 : 2 * size;
  r->depth = NEWN(a, double, side *side);
  r->face = NEWN(a, int, side *side);
  r->bary = NEWN(a, double, 2 * side * side);
  r->shadow = NEWN(a, double, r->shadow_side * r->shadow_side);
  return r;
}

/* Stands at distance from the origin, looking there. */
static Camera camera_at(double distance, double theta, double phi, double half, int size) {
  double out[3] = {sin(theta) * cos(phi), sin(theta) * sin(phi), cos(theta)}, zenith[3] = {0, 0, 1};
  Camera c = {.half = half, .size = size};
  if (sin(theta) < 1e-6) zenith[0] = 1, zenith[2] = 0;
  for (int k = 0; k < 3; k++) {
    c.at[k] = distance * out[k];
    c.forward[k] = -out[k];
  }
  cross(c.forward, zenith, c.right);
  unit(c.right);
  cross(c.right, c.forward, c.up);
  return c;
}

static Projected project(const Camera *c, const double p[3]) {
  double d[3] = {p[0] - c->at[0], p[1] - c->at[1], p[2] - c->at[2]}, w = 1 / dot(d, c->forward);
  double scale = c->size / (2 * c->half) * w;
  return (Projected){c->size / 2.0 + dot(d, c->right) * scale, c->size / 2.0 - dot(d, c->up) * scale, w};
}

/* Calls for each sample of a triangle: 1/depth is linear on the picture. face, bary: NULL for depth alone. */
static void raster(const Projected v[3], int size, int id, double *depth, int *face, double *bary) {
  double area = (v[1].x - v[0].x) * (v[2].y - v[0].y) - (v[2].x - v[0].x) * (v[1].y - v[0].y);
  if (fabs(area) < 1e-12) return;
  double x0 = fmin(v[0].x, fmin(v[1].x, v[2].x)), x1 = fmax(v[0].x, fmax(v[1].x, v[2].x));
  double y0 = fmin(v[0].y, fmin(v[1].y, v[2].y)), y1 = fmax(v[0].y, fmax(v[1].y, v[2].y));
  int left = (int)fmax(0, ceil(x0 - 0.5)), right = (int)fmin(size - 1, floor(x1 - 0.5));
  int top = (int)fmax(0, ceil(y0 - 0.5)), bottom = (int)fmin(size - 1, floor(y1 - 0.5));
  for (int y = top; y <= bottom; y++)
    for (int x = left; x <= right; x++) {
      double px = x + 0.5, py = y + 0.5;
      double a = ((v[1].x - px) * (v[2].y - py) - (v[2].x - px) * (v[1].y - py)) / area;
      double b = ((v[2].x - px) * (v[0].y - py) - (v[0].x - px) * (v[2].y - py)) / area, c = 1 - a - b;
      if (a < 0 || b < 0 || c < 0) continue;
      double w = a * v[0].w + b * v[1].w + c * v[2].w;
      size_t i = (size_t)y * (size_t)size + (size_t)x;
      if (w <= depth[i]) continue;
      depth[i] = w;
      if (!face) continue;
      face[i] = id;
      bary[2 * i] = a * v[0].w / w; /* in space */
      bary[2 * i + 1] = b * v[1].w / w;
    }
}

/* The part of the spot's light that reaches a point, 0..1, smoothed over four depths. */
static double lit(const Renderer *r, const Camera *lamp, const double p[3]) {
  Projected q = project(lamp, p);
  double x = q.x - 0.5, y = q.y - 0.5, sum = 0;
  int n = r->shadow_side, ix = (int)floor(x), iy = (int)floor(y);
  if (ix < 0 || iy < 0 || ix + 1 >= n || iy + 1 >= n) return 1;
  for (int k = 0; k < 4; k++) {
    int cx = ix + k % 2, cy = iy + k / 2;
    double weight = (k % 2 ? x - ix : 1 - x + ix) * (k / 2 ? y - iy : 1 - y + iy);
    double near = r->shadow[(size_t)cy * (size_t)n + (size_t)cx];
    if (near == 0 || 1 / q.w <= 1 / near + 0.05) sum += weight; /* 0.05: a surface does not shade itself */
  }
  return sum;
}

typedef struct {
  const Renderer *r;
  const Camera *eye, *lamp;
  double lamp_rgb[3], floor_rgb[3];
  const Texture *floor;
} Light;

/* What is seen of a point: ambient, sun from above and behind the camera, spot with a soft edge, a highlight. */
static void shade(const Light *l, const double p[3], const double normal[3], const double albedo[3],
                  double gloss, double out[3]) {
  static const double sun[3] = {0.2357, 0.4714, 0.8498};
  double n[3], to_eye[3], to_lamp[3], half[3];
  for (int k = 0; k < 3; k++) {
    to_eye[k] = l->eye->at[k] - p[k];
    to_lamp[k] = l->lamp->at[k] - p[k];
  }
  unit(to_eye);
  unit(to_lamp);
  double side = dot(normal, to_eye) < 0 ? -1 : 1; /* surfaces have two sides */
  for (int k = 0; k < 3; k++) {
    n[k] = side * normal[k];
    half[k] = to_eye[k] + to_lamp[k];
  }
  unit(half);
  double straight = -dot(to_lamp, l->lamp->forward), cone = fmin(1, fmax(0, (straight - 0.93) / 0.04));
  double spot = 0, shine = 0, facing = dot(n, to_lamp);
  if (facing > 0 && cone > 0) {
    spot = cone * lit(l->r, l->lamp, p);
    double h = fmax(0, dot(n, half));
    h *= h, h *= h, h *= h, h *= h;
    shine = gloss * spot * h * h;
    spot *= facing;
  }
  double white = 0.22 + 0.4 * fmax(0, dot(n, sun));
  for (int k = 0; k < 3; k++)
    out[k] = albedo[k] * (white + 0.75 * spot * l->lamp_rgb[k]) + shine * (0.5 + 0.5 * l->lamp_rgb[k]);
}

static void place_body(Renderer *r, const Mesh *m, const double q[4], const double at[3],
                       const double (*colour)[3], const Texture *texture, const Camera *eye,
                       const Camera *lamp) {
  int first = r->vertex.n;
  for (int i = 0; i < m->vertex.n; i++) {
    Placed v;
    memcpy(v.own, m->vertex.v[i].p, sizeof v.own);
    quaternion_rotate(q, v.own, v.world.p);
    quaternion_rotate(q, m->vertex.v[i].n, v.world.n);
    for (int k = 0; k < 3; k++) v.world.p[k] += at[k];
    vec_push(r->a, &r->vertex, v);
    vec_push(r->a, &r->eye, project(eye, v.world.p));
    vec_push(r->a, &r->lamp, project(lamp, v.world.p));
  }
  for (int i = 0; i < m->face.n; i++) {
    const Face *f = &m->face.v[i];
    Surface one = {{first + f->v[0], first + f->v[1], first + f->v[2]}, colour[f->part], texture};
    vec_push(r->a, &r->surface, one);
  }
}

static void place(Renderer *r, const Mesh *m, const Scene *s, const Camera *eye, const Camera *lamp) {
  static const double origin[3] = {0};
  double q[4];
  r->vertex.n = r->eye.n = r->lamp.n = r->surface.n = 0;
  quaternion_of_euler(s->angle, true, q);
  place_body(r, m, q, origin, s->colour, &s->texture, eye, lamp);
  for (int i = 0; i < s->nother; i++) {
    const Body *b = &s->other[i];
    const double turn[3] = {0, 0, b->turn}, at[3] = {b->at[0], b->at[1], floor_z + b->height};
    quaternion_of_euler(turn, true, q);
    place_body(r, b->mesh, q, at, b->colour, &b->texture, eye, lamp);
  }
  size_t n = (size_t)r->side * (size_t)r->side, ns = (size_t)r->shadow_side * (size_t)r->shadow_side;
  memset(r->depth, 0, n * sizeof *r->depth);
  memset(r->shadow, 0, ns * sizeof *r->shadow);
  for (int i = 0; i < r->surface.n; i++) {
    const int *v = r->surface.v[i].v;
    Projected e[3] = {r->eye.v[v[0]], r->eye.v[v[1]], r->eye.v[v[2]]};
    Projected l[3] = {r->lamp.v[v[0]], r->lamp.v[v[1]], r->lamp.v[v[2]]};
    raster(e, r->side, i, r->depth, r->face, r->bary);
    raster(l, r->shadow_side, i, r->shadow, NULL, NULL);
  }
}

static void tint(const Texture *t, const double own[3], const double colour[3], double out[3]) {
  double light = texture_at(t, own);
  for (int k = 0; k < 3; k++) out[k] = light * colour[k];
}

/* What is seen of a body at sample i. */
static void sample_body(const Renderer *r, const Light *l, size_t i, double out[3]) {
  const Surface *f = &r->surface.v[r->face[i]];
  double a = r->bary[2 * i], b = r->bary[2 * i + 1], w[3] = {a, b, 1 - a - b}, p[3] = {0}, n[3] = {0},
         own[3] = {0};
  double albedo[3];
  for (int c = 0; c < 3; c++) {
    const Placed *v = &r->vertex.v[f->v[c]];
    for (int k = 0; k < 3; k++) {
      p[k] += w[c] * v->world.p[k];
      n[k] += w[c] * v->world.n[k];
      own[k] += w[c] * v->own[k];
    }
  }
  if (dot(n, n) > 1e-12) unit(n);
  tint(f->texture, own, f->colour, albedo);
  shade(l, p, n, albedo, 0.35, out);
}

static void sample_floor(const Renderer *r, const Light *l, double x, double y, double out[3]) {
  static const double up[3] = {0, 0, 1};
  double step = 2 * l->eye->half / r->side, p[3], ray[3];
  for (int k = 0; k < 3; k++)
    ray[k] = l->eye->forward[k] + (x - r->side / 2.0) * step * l->eye->right[k] -
             (y - r->side / 2.0) * step * l->eye->up[k];
  double t = (floor_z - l->eye->at[2]) / ray[2]; /* all rays of this camera go down */
  for (int k = 0; k < 3; k++) p[k] = l->eye->at[k] + t * ray[k];
  double albedo[3];
  tint(l->floor, p, l->floor_rgb, albedo);
  shade(l, p, up, albedo, 0, out);
}

/* The mean of a pixel's samples; the floor, which is smooth, is shaded once where nothing else is. */
static void draw_pixel(const Renderer *r, const Light *l, int px, int py, uint8_t *rgb) {
  enum { N = SAMPLES * SAMPLES };
  double sum[3] = {0}, c[3];
  size_t at[N];
  int hits = 0;
  for (int k = 0; k < N; k++) {
    at[k] = (size_t)(py * SAMPLES + k / SAMPLES) * (size_t)r->side + (size_t)(px * SAMPLES + k % SAMPLES);
    hits += r->depth[at[k]] > 0;
  }
  if (hits < N) {
    sample_floor(r, l, (px + 0.5) * SAMPLES, (py + 0.5) * SAMPLES, c);
    for (int i = 0; i < 3; i++) sum[i] = (N - hits) * fmin(1, c[i]);
  }
  for (int k = 0; k < N; k++) {
    if (r->depth[at[k]] == 0) continue;
    sample_body(r, l, at[k], c);
    for (int i = 0; i < 3; i++) sum[i] += fmin(1, c[i]);
  }
  for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)(255 * sum[i] / N + 0.5);
}

void renderer_draw(Renderer *r, const Mesh *m, const Scene *s, uint8_t *rgb) {
  static const double quarter_turn = 1.57079632679489662;
  Camera eye = camera_at(camera_distance, camera_theta, quarter_turn, view_half, r->side);
  Camera lamp = camera_at(light_distance, s->light_theta, s->light_phi, shadow_half, r->shadow_side);
  Light l = {.r = r, .eye = &eye, .lamp = &lamp, .floor = &s->floor_texture};
  render_rgb(s->light_hue, s->grey ? 0 : 0.9, 1, l.lamp_rgb);
  render_rgb(s->floor_hue, s->grey ? 0 : 0.6, s->grey ? 0.4 : 0.7, l.floor_rgb);
  place(r, m, s, &eye, &lamp);
  for (int y = 0; y < r->size; y++)
    for (int x = 0; x < r->size; x++)
      draw_pixel(r, &l, x, y, rgb + 3 * ((size_t)y * (size_t)r->size + (size_t)x));
}
