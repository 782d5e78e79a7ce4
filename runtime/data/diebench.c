/* 3DIEBench (Garrido, Najman and LeCun 2023, "Self-supervised learning of split invariant equivariant
   representations"): rendered objects in known rotations. A sample is an object, its views are pictures of
   it; the action between two is their relative rotation. */
#include "runtime/npy.h"
#include "runtime/data/cache.h"
#include "runtime/data/quaternion.h"
#include "runtime/data/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LATENTS = 7, FLOOR_HUE = 3, LIGHT_HUE = 6, MAX_LATENT_FILE = 4096 };

/* Pixels first, then the latents: what the cache keeps of a picture. */
static size_t entry_bytes(const DataSet *s) {
  size_t pixels = (size_t)(s->channels * s->height * s->width);
  return (pixels + 7) / 8 * 8 + LATENTS * sizeof(double);
}

static bool read_latent(const char *path, double out[LATENTS], Reason *why) {
  size_t n;
  NpyArray a;
  uint8_t *p = picture_file(path, MAX_LATENT_FILE, &n, why);
  if (!p) return false;
  const char *wrong = npy_parse(p, n, &a);
  if (!wrong && (a.count != LATENTS || !strchr("fiu", a.kind)))
    wrong = "a latent is 7 numbers: three angles, floor hue, two angles of the light, light hue";
  for (int i = 0; i < LATENTS && !wrong; i++) {
    out[i] = npy_number(&a, i);
    if (!isfinite(out[i])) wrong = "it holds a number that is not finite";
  }
  free(p);
  if (wrong) snprintf(why->text, sizeof why->text, "%.280s: %s", path, wrong);
  return !wrong;
}

/* Picture `view` of an object: kept, or read into `bytes`. */
static const uint8_t *read_view(const DataSet *s, int64_t sample, int view, uint8_t *bytes, Reason *why) {
  int64_t entry = sample * s->per_object + view;
  const uint8_t *kept = cache_get(s->cache, entry);
  if (kept) return kept;
  char path[4096];
  double latent[LATENTS];
  snprintf(path, sizeof path, "%s/latent_%d.npy", s->path[sample], view);
  if (!read_latent(path, latent, why)) return NULL;
  snprintf(path, sizeof path, "%s/image_%d.jpg", s->path[sample], view);
  if (!picture_read(path, s->channels, s->height, false, bytes, why)) return NULL;
  memcpy(bytes + entry_bytes(s) - sizeof latent, latent, sizeof latent);
  cache_put(s->cache, entry, bytes);
  return bytes;
}

typedef struct {
  double q[4], hue[2];
} Pose;

static Pose pose_of(const DataSet *s, const uint8_t *entry) {
  double latent[LATENTS];
  Pose p;
  memcpy(latent, entry + entry_bytes(s) - sizeof latent, sizeof latent);
  quaternion_of_euler(latent, s->positive, p.q);
  p.hue[0] = latent[FLOOR_HUE];
  p.hue[1] = latent[LIGHT_HUE];
  return p;
}

static void put_row(const DataSet *s, void *field, int row, const double q[4], double floor_hue,
                    double light_hue) {
  if (!field) return;
  float *to = (float *)field + (int64_t)row * s->components;
  for (int i = 0; i < 4; i++) to[i] = (float)q[i];
  if (s->colour) {
    to[4] = (float)floor_hue;
    to[5] = (float)light_hue;
  }
}

static bool fill_object(const DataSet *s, const Fill *f, Reason *why) {
  int n = s->channels * s->height * s->width, cut = s->channels * s->size * s->size;
  int order[MAX_VIEWS];
  if (f->out[FIELD_LABEL]) *(int64_t *)f->out[FIELD_LABEL] = s->label[f->sample];
  if (!f->out[FIELD_IMAGE] && !f->out[FIELD_VIEWS] && !f->out[FIELD_ACTIONS] && !f->out[FIELD_PARAMS])
    return true;
  Rng r = rng_stream(f->seed, (uint32_t)f->epoch, (uint32_t)f->sample, 0);
  for (int i = 0; i < s->per_object; i++) order[i] = i;
  Pose before = {{0}, {0}};
  uint8_t *bytes = (uint8_t *)f->room;
  float *image = f->room + (entry_bytes(s) + 3) / 4, *view = image + n, *work = view + cut;
  for (int v = 0; v < s->views; v++) {
    int k = v + (int)rng_below(&r, (uint32_t)(s->per_object - v)), pick = order[k];
    order[k] = order[v];
    const uint8_t *entry = read_view(s, f->sample, pick, bytes, why);
    if (!entry) return false;
    Pose now = pose_of(s, entry);
    double q[4];
    quaternion_between(before.q, now.q, s->positive, q);
    put_row(s, f->out[FIELD_PARAMS], v, now.q, now.hue[0], now.hue[1]);
    if (v > 0)
      put_row(s, f->out[FIELD_ACTIONS], v - 1, q, now.hue[0] - before.hue[0], now.hue[1] - before.hue[1]);
    before = now;
    if (!f->out[FIELD_VIEWS] && !(v == 0 && f->out[FIELD_IMAGE])) continue;
    for (int i = 0; i < n; i++) image[i] = (float)entry[i] / 255.0f;
    Image whole = {s->channels, s->height, s->width, image}, small = {s->channels, s->size, s->size, view};
    bool same = s->height == s->size;
    if (!same) pixels_resize(&whole, (Box){0, 0, s->height, s->width}, FILTER_BILINEAR, &small, work);
    float *from = same ? image : view;
    if (f->out[FIELD_VIEWS])
      source_normalise(s, from, (float *)f->out[FIELD_VIEWS] + (int64_t)v * cut, s->size);
    if (f->out[FIELD_IMAGE] && v == 0) source_normalise(s, from, f->out[FIELD_IMAGE], s->size);
  }
  return true;
}

/* ---- opening ---- */
/* Maps an npy file; ST_FILE after reporting. */
static Status open_array(Opening *o, const char *path, MappedFile *m, NpyArray *out) {
  if (file_map(m, path, o->d) != ST_OK) return ST_FILE;
  const char *wrong = npy_parse(m->p, m->n, out);
  return wrong ? source_bad(o, "%s: %s", path, wrong) : ST_OK;
}

static bool leads_outside(const char *p) {
  for (; *p; p += strcspn(p, "/"), p += *p == '/')
    if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2])) return true;
  return false;
}

static Status take_lists(Opening *o, const char *dir, const NpyArray *images, const char *pi,
                         const NpyArray *labels, const char *pl) {
  DataSet *s = o->s;
  char name[3072];
  if (images->count != labels->count)
    return source_bad(o, "%s lists %lld objects, but %s holds %lld labels", pi, (long long)images->count, pl,
                      (long long)labels->count);
  if (images->count < 1) return source_bad(o, "%s lists no objects", pi);
  if (!strchr("iu", labels->kind)) return source_bad(o, "%s: labels are whole numbers", pl);
  s->samples = images->count;
  const char **path = NEWN(o->a, const char *, s->samples);
  int32_t *label = NEWN(o->a, int32_t, s->samples);
  for (int64_t i = 0; i < s->samples; i++) {
    if (!npy_text(images, i, name, sizeof name))
      return source_bad(o, "%s: the folders of the objects must be text", pi);
    const char *inner = name + strspn(name, "/");
    if (!*inner || leads_outside(inner))
      return source_bad(o, "%s: object %lld: '%s' is not a folder below %s", pi, (long long)i, name, dir);
    double class = npy_number(labels, i);
    label[i] = class >= 0 && class < 1e9 ? (int32_t)class : -1;
    path[i] = source_file(o->a, dir, inner);
    if (!path[i])
      return source_bad(o, "%s: object %lld: there is no folder %s/%s", pi, (long long)i, dir, inner);
  }
  s->path = path;
  s->label = label;
  return source_check_labels(o, pl);
}

static Status read_lists(Opening *o, const char *dir) {
  const char *part = o->train ? "train" : "val";
  const char *pi = arena_printf(o->a, "%s/%s_images.npy", dir, part);
  const char *pl = arena_printf(o->a, "%s/%s_labels.npy", dir, part);
  MappedFile mi = {0}, ml = {0};
  NpyArray images, labels;
  Status st = open_array(o, pi, &mi, &images);
  if (st == ST_OK) st = open_array(o, pl, &ml, &labels);
  if (st == ST_OK) st = take_lists(o, dir, &images, pi, &labels, pl);
  file_unmap(&mi);
  file_unmap(&ml);
  return st;
}

Status open_diebench(Opening *o) {
  static const double mean[] = {.5016, .5037, .5060}, std[] = {.1030, .0999, .0969};
  DataSet *s = o->s;
  const char *names[] = {o->train ? "train_images.npy" : "val_images.npy", NULL};
  double classes = source_number(o, "classes", 55), each = source_number(o, "per_object", 50),
         cache = source_number(o, "cache", 256), test = source_number(o, "test_per_object", each);
  if (!o->train) each = test;
  s->channels = 3;
  s->colour = source_number(o, "colour", 0) != 0;
  s->skip_bad = source_number(o, "skip_bad", 0) != 0;
  s->positive = strcmp(source_word(o, "sign", "positive"), "free") != 0;
  s->given = s->components = s->colour ? 6 : 4;
  Status st = source_views(o, 128, mean, std);
  if (st) return st;
  double load = source_number(o, "load", s->size);
  if (!(classes >= 1 && classes < 1e6)) return source_wrong(o, "diebench cannot have %g classes", classes);
  if (!(each >= s->views && each <= MAX_VIEWS))
    return source_wrong(
        o, "diebench has %g pictures of an object: at least views = %d and at most %d are possible", each,
        s->views, MAX_VIEWS);
  if (!(load >= 1 && load <= 4096)) return source_wrong(o, "load is 1 to 4096, not %g", load);
  if (!(cache >= 0 && cache < 1e9)) return source_wrong(o, "cache is a number of MiB, not %g", cache);
  s->classes = (int)classes;
  s->per_object = (int)each;
  s->height = s->width = (int)load;
  const char *dir =
      source_folder(o, "3DIEBench", "3DIEBench", names,
                    "train_images.npy, train_labels.npy, val_images.npy, val_labels.npy, and for each "
                    "object a folder with image_0.jpg, latent_0.npy, image_1.jpg and so on; `jepac "
                    "render` makes such a data set");
  if (!dir || read_lists(o, dir)) return ST_FILE;
  s->cache = cache_new(s->samples * s->per_object, entry_bytes(s), (int64_t)(cache * (1 << 20)));
  int side = s->height > s->size ? s->height : s->size;
  s->room = (int64_t)(entry_bytes(s) / 4) + 1 + 3 * (s->height * s->width + (int64_t)s->size * s->size) +
            pixels_room(3, side);
  s->fill = fill_object;
  return ST_OK;
}
