/* Object k is of class k mod classes; its form, colours and views are drawn from streams of their own, so
   that an object does not depend on how many there are. Of every class the last fifth goes to validation. */
#include "runtime/render/dataset.h"
#include "runtime/data/picture.h"
#include "runtime/data/quaternion.h"
#include "runtime/file.h"
#include "runtime/npy.h"
#include "runtime/png.h"
#include "runtime/render/render.h"
#include "runtime/render/shapes.h"
#include "runtime/render/texture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LATENTS = 7, QUALITY = 92, SHEET_COLUMNS = 14, SHEET_SIZE = 40 };
static const double pi = 3.14159265358979323846;

/* Which of the renderer's classes class k is. */
static int shape_of(const RenderJob *j, int64_t k) { return j->shape ? j->shape[k] : (int)k; }

/* Colours of a body's parts, all around the hues. */
static void draw_colours(const RenderJob *j, Rng *r, double colour[3][3]) {
  double hue = rng_unit(r);
  for (int k = 0; k < 3; k++) {
    double saturation = rng_uniform(r, 0.1, 0.6), value = rng_uniform(r, 0.65, 1);
    render_rgb(hue, saturation, value, colour[k]);
    hue += rng_uniform(r, 0.2, 0.5);
    if (j->plain || j->grey) render_rgb(0, 0, 0.9, colour[k]);
  }
}

/* They stand around the object, by a stream of their own. */
static void draw_others(const RenderJob *j, int64_t object, int view, Arena *a, Scene *s) {
  Rng r = rng_stream(j->seed, (uint32_t)object, (uint32_t)view + 1, 0x64697374u);
  Body *body = NEWN(a, Body, j->distractors);
  double from = rng_uniform(&r, 0, 2 * pi);
  for (int i = 0; i < j->distractors; i++) {
    Body *b = &body[i];
    Mesh *m = NEW(a, Mesh);
    double size = rng_uniform(&r, 0.18, 0.3), away = rng_uniform(&r, 0.6, 0.95),
           around = from + 2 * pi * (i + rng_uniform(&r, -0.3, 0.3)) / j->distractors;
    *m = (Mesh){.a = a};
    shapes_build((int)rng_below(&r, (uint32_t)shapes_count()), &r, m);
    mesh_finish(m, size);
    *b = (Body){.mesh = m,
                .at = {away * cos(around), away * sin(around)},
                .turn = rng_uniform(&r, 0, 2 * pi),
                .height = size};
    draw_colours(j, &r, b->colour);
    if (j->textures) b->texture = texture_draw(&r);
  }
  s->other = body;
  s->nother = j->distractors;
}

static Scene draw_scene(const RenderJob *j, int64_t object, int view, const double colour[3][3],
                        const Texture *texture, Arena *a) {
  Rng r = rng_stream(j->seed, (uint32_t)object, (uint32_t)view + 1, 0x72656e64u);
  Scene s = {.floor_hue = rng_unit(&r)};
  s.light_theta = rng_uniform(&r, 0, pi / 4);
  s.light_phi = rng_uniform(&r, 0, 2 * pi);
  s.light_hue = rng_unit(&r);
  for (int k = 0; k < 3; k++) s.angle[k] = rng_uniform(&r, -pi / 2, pi / 2);
  memcpy(s.colour, colour, sizeof s.colour);
  s.grey = j->plain || j->grey;
  s.texture = *texture;
  if (s.grey) s.floor_hue = s.light_hue = 0;
  if (j->plain) {
    s.light_phi = 0;
    s.light_theta = pi / 8;
  }
  if (j->textures) {
    Rng own = rng_stream(j->seed, (uint32_t)object, (uint32_t)view + 1, 0x74657874u);
    s.floor_texture = texture_draw(&own);
  }
  if (j->distractors) draw_others(j, object, view, a, &s);
  return s;
}

static void draw_object(const RenderJob *j, int64_t object, Mesh *m, double colour[3][3], Texture *texture) {
  Rng r = rng_stream(j->seed, (uint32_t)object, 0, 0x72656e64u);
  shapes_build(shape_of(j, object % j->classes), &r, m);
  mesh_finish(m, RENDER_RADIUS);
  draw_colours(j, &r, colour);
  *texture = (Texture){0};
  if (j->textures) *texture = texture_draw(&r);
}

static void latents(const Scene *s, double out[LATENTS]) {
  memcpy(out, s->angle, sizeof s->angle);
  out[3] = s->floor_hue;
  out[4] = s->light_theta;
  out[5] = s->light_phi;
  out[6] = s->light_hue;
}

void render_picture(const RenderJob *j, int64_t object, int view, uint8_t *rgb, double *latent) {
  Arena *a = arena_new();
  Mesh m = {.a = a};
  double colour[3][3];
  Texture texture;
  draw_object(j, object, &m, colour, &texture);
  Scene s = draw_scene(j, object, view, (const double(*)[3])colour, &texture, a);
  renderer_draw(renderer_new(a, j->size), &m, &s, rgb);
  if (latent) latents(&s, latent);
  arena_free(a);
}

/* ---- files ---- */
/* Of the many small files: no waiting for the disk after each. */
static Status write_small(const char *path, const void *head, size_t nhead, const void *p, size_t n,
                          Diags *d) {
  FILE *f = fopen(path, "wb");
  bool good = f && fwrite(head, 1, nhead, f) == nhead && fwrite(p, 1, n, f) == n;
  int err = errno;
  if (f && fclose(f)) good = false, err = errno;
  if (!good) diag_error(d, NULL, "cannot write %s: %s", path, strerror(err));
  return good ? ST_OK : ST_FILE;
}

static Status write_view(const char *folder, int view, int size, const uint8_t *rgb, const Scene *s,
                         Diags *d) {
  char path[4096];
  double latent[LATENTS];
  uint8_t *jpeg;
  size_t n;
  snprintf(path, sizeof path, "%s/image_%d.jpg", folder, view);
  picture_jpeg(size, size, QUALITY, rgb, &jpeg, &n);
  Status st = write_small(path, "", 0, jpeg, n, d);
  free(jpeg);
  if (st) return st;
  latents(s, latent);
  snprintf(path, sizeof path, "%s/latent_%d.npy", folder, view);
  StrBuf head = {0};
  npy_header(&head, "<f8", &(Shape){1, {LATENTS}});
  st = write_small(path, head.s, head.n, latent, sizeof latent, d);
  sb_free(&head);
  return st;
}

/* A whole npy file, atomically. */
static Status write_array(const char *path, const char *descr, const Shape *shape, const void *p, size_t n,
                          Diags *d) {
  StrBuf head = {0};
  NewFile nf;
  if (file_begin(&nf, path, d) != ST_OK) return ST_FILE;
  npy_header(&head, descr, shape);
  fwrite(head.s, 1, head.n, nf.f);
  fwrite(p, 1, n, nf.f);
  sb_free(&head);
  return file_commit(&nf, d);
}

/* ---- lists ---- */
enum { NAME = 32 };

static void object_name(const RenderJob *j, int64_t object, char out[NAME]) {
  snprintf(out, NAME, "/%s/%05lld", shapes_name(shape_of(j, object % j->classes)), (long long)object);
}

/* Of each class the last fifth, at least one of two, is for validation; of classes of one object each, the
   last fifth of them. */
static bool validates(const RenderJob *j, int64_t object) {
  if (j->objects <= j->classes) return object >= j->objects - (j->objects + 4) / 5;
  int64_t class = object % j->classes, n = (j->objects - class + j->classes - 1) / j->classes;
  int64_t kept = n == 2 ? 1 : (n + 2) / 5;
  return object / j->classes >= n - kept;
}

static Status write_list(const RenderJob *j, bool train, Arena *a, Diags *d) {
  uint32_t *name = NEWN(a, uint32_t, NAME * j->objects);
  int64_t *label = NEWN(a, int64_t, j->objects), n = 0;
  for (int64_t k = 0; k < j->objects; k++) {
    char text[NAME];
    if (validates(j, k) == train) continue;
    object_name(j, k, text);
    for (int i = 0; text[i]; i++) name[n * NAME + i] = (uint8_t)text[i];
    label[n++] = k % j->classes;
  }
  const char *part = train ? "train" : "val";
  const Shape shape = {1, {n}};
  Status st = write_array(arena_printf(a, "%s/%s_labels.npy", j->folder, part), "<i8", &shape, label,
                          (size_t)n * sizeof *label, d);
  return st ? st
            : write_array(arena_printf(a, "%s/%s_images.npy", j->folder, part), "<U32", &shape, name,
                          (size_t)n * NAME * sizeof *name, d);
}

/* One column a class: two views of its first object, below them one of its second. */
static Status write_sheet(const RenderJob *j, Arena *a, Diags *d) {
  int columns = j->classes < SHEET_COLUMNS ? j->classes : SHEET_COLUMNS;
  int bands = (j->classes + columns - 1) / columns, rows = j->views > 1 ? 3 : 2, size = j->size, gap = 2;
  if (size > SHEET_SIZE) size = SHEET_SIZE;
  RenderJob small = *j;
  small.size = size;
  int step = size + gap, width = columns * step + gap, height = bands * (rows * step + gap) + gap;
  uint8_t *sheet = NEWN(a, uint8_t, 3 * (int64_t)width * height),
          *picture = NEWN(a, uint8_t, 3 * size * size);
  memset(sheet, 255, 3 * (size_t)width * (size_t)height);
  for (int k = 0; k < j->classes * rows; k++) {
    int class = k / rows, row = k % rows, other = row + 1 == rows; /* the last row: another object */
    int64_t object = class + (other ? j->classes : 0);
    if (object >= j->objects) continue;
    int left = gap + class % columns * step, top = gap + class / columns * (rows * step + gap) + row * step;
    render_picture(&small, object, other ? 0 : row, picture, NULL);
    for (int y = 0; y < size; y++)
      memcpy(sheet + 3 * ((size_t)(top + y) * (size_t)width + (size_t)left), picture + (size_t)(3 * y * size),
             (size_t)(3 * size));
  }
  return png_save(arena_printf(a, "%s/sheet.png", j->folder), width, height, 3, sheet, d);
}

static Status write_classes(const RenderJob *j, Arena *a, Diags *d) {
  NewFile nf;
  if (file_begin(&nf, arena_printf(a, "%s/classes.txt", j->folder), d) != ST_OK) return ST_FILE;
  for (int k = 0; k < j->classes; k++) fprintf(nf.f, "%s\n", shapes_name(shape_of(j, k)));
  return file_commit(&nf, d);
}

Status render_dataset(const RenderJob *j, Diags *d) {
  Arena *all = arena_new(), *one = arena_new(), *work = arena_new();
  Renderer *r = renderer_new(all, j->size);
  uint8_t *rgb = NEWN(all, uint8_t, 3 * (int64_t)j->size * j->size);
  double *q = NEWN(all, double, j->objects * j->views * 4);
  Status st = file_make_folder(j->folder, d);
  for (int64_t k = 0; k < j->objects && st == ST_OK; k++) {
    char name[NAME];
    double colour[3][3];
    Texture texture;
    arena_reset(one);
    Mesh m = {.a = one};
    object_name(j, k, name);
    const char *folder = arena_printf(one, "%s%s", j->folder, name);
    st = file_make_folder(folder, d);
    draw_object(j, k, &m, colour, &texture);
    for (int v = 0; v < j->views && st == ST_OK; v++) {
      Scene s = draw_scene(j, k, v, (const double(*)[3])colour, &texture, one);
      renderer_draw(r, &m, &s, rgb);
      quaternion_of_euler(s.angle, true, q + (k * j->views + v) * 4);
      st = write_view(folder, v, j->size, rgb, &s, d);
    }
    if (j->progress && st == ST_OK) j->progress(k + 1, j->objects);
  }
  const Shape shape = {3, {j->objects, j->views, 4}};
  if (st == ST_OK) st = write_sheet(j, work, d);
  if (st == ST_OK) st = write_classes(j, work, d);
  if (st == ST_OK)
    st = write_array(arena_printf(work, "%s/quaternions.npy", j->folder), "<f8", &shape, q,
                     (size_t)(j->objects * j->views * 4) * sizeof *q, d);
  if (st == ST_OK) st = write_list(j, false, work, d);
  if (st == ST_OK) st = write_list(j, true, work, d);
  arena_free(all);
  arena_free(one);
  arena_free(work);
  return st;
}
