/* The sources: Fashion-MNIST (Xiao et al. 2017; Debian package dataset-fashion-mnist), CIFAR-100 (Krizhevsky
   2009, binary version) and synthetic data. Files are read whole into memory as bytes; a sample is turned
   into floats when it is used. */
#include "runtime/data/source.h"
#include "runtime/data/idx.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double number(const DataSpec *spec, const char *name, double absent) {
  const Setting *s = setting_find(spec->set, spec->nset, name);
  return s && s->kind == SET_NUM ? s->num : absent;
}

/* ---- where files are ---- */
/* folder/name, or NULL when there is no such file. */
static char *existing(Arena *a, const char *folder, const char *name) {
  char *p = arena_printf(a, "%s/%s", folder, name);
  return access(p, F_OK) == 0 ? p : NULL;
}

/* Folder holding `name`: the user's (or its subfolder `sub`), else datasets/sub in the places the XDG base
   directory specification lists for shared data. NULL when not found. */
static const char *find_folder(Arena *a, const char *folder, const char *sub, const char *name) {
  if (folder) {
    const char *inner = arena_printf(a, "%s/%s", folder, sub);
    return existing(a, inner, name) ? inner : folder;
  }
  const char *dirs = getenv("XDG_DATA_DIRS");
  if (!dirs || !*dirs) dirs = "/usr/local/share:/usr/share";
  for (const char *p = dirs; *p;) {
    size_t n = strcspn(p, ":");
    const char *dir = arena_printf(a, "%.*s/datasets/%s", (int)n, p, sub);
    if (existing(a, dir, name)) return dir;
    p += n + (p[n] == ':');
  }
  return NULL;
}

/* ---- images in memory ---- */
static void fill_image(const DataSet *s, uint64_t seed, int64_t epoch, int64_t step, int64_t place,
                       int64_t sample, void *const out[FIELD_KINDS], float *room) {
  (void)step;
  (void)place;
  int plane = s->height * s->width, n = s->channels * plane, cut = s->size * s->size, m = s->channels * cut;
  const uint8_t *p = s->pixel + sample * n;
  float *image = room, *view = image + n, *work = view + m;
  if (out[FIELD_LABEL]) *(int64_t *)out[FIELD_LABEL] = s->label[sample];
  if (!out[FIELD_IMAGE] && !out[FIELD_VIEWS] && !out[FIELD_ACTIONS]) return;
  for (int i = 0; i < n; i++) image[i] = (float)p[i] / 255.0f;
  if (out[FIELD_IMAGE]) {
    const float *from = image;
    if (s->height != s->size || s->width != s->size) {
      image_resize(image, s->channels, s->height, s->width, view, s->size, work);
      from = view;
    }
    float *to = out[FIELD_IMAGE];
    for (int i = 0; i < m; i++) to[i] = from[i] * s->scale[i / cut] + s->shift[i / cut];
  }
  double before[MAX_COMPONENTS], now[MAX_COMPONENTS];
  for (int v = 0; v < s->views && (out[FIELD_VIEWS] || out[FIELD_ACTIONS]); v++) {
    Rng r = rng_stream(seed, (uint32_t)epoch, (uint32_t)sample, (uint32_t)v);
    augment_view(&s->augment, &r, image, view, now, work);
    if (out[FIELD_VIEWS]) {
      float *to = (float *)out[FIELD_VIEWS] + (int64_t)v * m;
      for (int c = 0; c < s->channels; c++)
        for (int i = c * cut; i < (c + 1) * cut; i++) to[i] = view[i] * s->scale[c] + s->shift[c];
    }
    if (out[FIELD_ACTIONS] && v > 0) {
      float *to = (float *)out[FIELD_ACTIONS] + (int64_t)(v - 1) * s->components;
      for (int i = 0; i < s->components; i++) to[i] = (float)(now[i] - before[i]);
    }
    memcpy(before, now, sizeof before);
  }
}

/* Settings common to image sources, once the images are there. */
static Status image_settings(DataSet *s, const DataSpec *spec, const double *mean, const double *std,
                             Diags *d) {
  s->views = (int)number(spec, "views", 1);
  s->size = (int)number(spec, "size", s->height);
  if (s->views < 1 || s->size < 1 || s->size > 4096) {
    diag_error(d, spec->loc, "%s needs at least one view and a size of 1 to 4096", spec->source);
    return ST_MODEL;
  }
  const Setting *m = setting_find(spec->set, spec->nset, "mean"),
                *q = setting_find(spec->set, spec->nset, "std");
  for (int c = 0; c < s->channels; c++) {
    double mu = m && m->kind == SET_LIST && m->nitem == s->channels ? m->item[c].num : mean[c];
    double sd = q && q->kind == SET_LIST && q->nitem == s->channels ? q->item[c].num : std[c];
    if (!(sd > 0)) {
      diag_error(d, q ? q->loc : spec->loc, "the standard deviations must be positive");
      return ST_MODEL;
    }
    s->scale[c] = (float)(1 / sd);
    s->shift[c] = (float)(-mu / sd);
  }
  Status st = augmenter_init(&s->augment, setting_find(spec->set, spec->nset, "actions"), s->channels,
                             s->height, s->width, s->size, d);
  s->components = s->augment.components;
  s->room = (int64_t)s->channels * (s->height * s->width + s->size * s->size) + augment_room(&s->augment);
  s->fill = fill_image;
  return st;
}

static Status check_labels(const DataSet *s, const char *path, Diags *d) {
  for (int64_t i = 0; i < s->samples; i++)
    if (s->label[i] >= s->classes) {
      diag_error(d, NULL, "%s: label %d of sample %lld is not below %d", path, s->label[i], (long long)i,
                 s->classes);
      return ST_FILE;
    }
  return ST_OK;
}

/* ---- fashion_mnist ---- */
static Status read_fashion(DataSet *s, const char *folder, bool train, Arena *a, Diags *d) {
  const char *part = train ? "train" : "t10k";
  const char *images = arena_printf(a, "%s-images-idx3-ubyte", part);
  const char *labels = arena_printf(a, "%s-labels-idx1-ubyte", part);
  const char *dir = find_folder(a, folder, "fashion-mnist", arena_printf(a, "%s.gz", images));
  if (!dir) {
    diag_error(
        d, NULL,
        "Fashion-MNIST is not installed: install the Debian package dataset-fashion-mnist, or name a folder "
        "with its files by --data");
    return ST_FILE;
  }
  const char *pi = existing(a, dir, images), *pl = existing(a, dir, labels);
  if (!pi) pi = arena_printf(a, "%s/%s.gz", dir, images);
  if (!pl) pl = arena_printf(a, "%s/%s.gz", dir, labels);
  IdxFile x, y;
  if (idx_read(pi, 3, &x, d) != ST_OK) return ST_FILE;
  s->owned[0] = x.data;
  if (idx_read(pl, 1, &y, d) != ST_OK) return ST_FILE;
  s->owned[1] = y.data;
  if (x.dim[0] != y.dim[0]) {
    diag_error(d, NULL, "%s holds %lld images, but %s holds %lld labels", pi, (long long)x.dim[0], pl,
               (long long)y.dim[0]);
    return ST_FILE;
  }
  if (x.dim[0] < 1 || x.dim[1] != 28 || x.dim[2] != 28) {
    diag_error(d, NULL, "%s: images of %lld x %lld, expected 28 x 28", pi, (long long)x.dim[1],
               (long long)x.dim[2]);
    return ST_FILE;
  }
  s->samples = x.dim[0];
  s->pixel = x.data;
  s->label = y.data;
  return check_labels(s, pl, d);
}

static Status open_fashion(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d) {
  static const double mean[] = {0.2860}, std[] = {0.3530};
  s->classes = 10;
  s->channels = 1;
  s->height = s->width = 28;
  Arena *a = arena_new();
  Status st = read_fashion(s, folder, train, a, d);
  arena_free(a);
  return st == ST_OK ? image_settings(s, spec, mean, std, d) : st;
}

/* ---- cifar100 ---- */
static Status read_cifar(DataSet *s, const char *folder, bool train, Arena *a, Diags *d) {
  enum { PIXELS = 3 * 32 * 32, RECORD = PIXELS + 2 }; /* coarse label, fine label, red, green, blue planes */
  const char *name = train ? "train.bin" : "test.bin";
  const char *dir = find_folder(a, folder, "cifar-100-binary", name);
  if (!dir) {
    diag_error(d, NULL,
               "CIFAR-100 is not installed: name a folder with train.bin and test.bin (its binary version) "
               "by --data");
    return ST_FILE;
  }
  const char *path = arena_printf(a, "%s/%s", dir, name);
  MappedFile m;
  if (file_map(&m, path, d) != ST_OK) return ST_FILE;
  Status st = ST_FILE;
  if (m.n == 0 || m.n % RECORD) {
    diag_error(d, NULL, "%s: its %zu bytes are no whole number of CIFAR-100 records of %d (truncated?)", path,
               m.n, RECORD);
  } else {
    s->samples = (int64_t)(m.n / RECORD);
    uint8_t *pixel = s->owned[0] = malloc((size_t)s->samples * PIXELS);
    uint8_t *label = s->owned[1] = malloc((size_t)s->samples);
    if (pixel && label) {
      for (int64_t i = 0; i < s->samples; i++) {
        label[i] = m.p[i * RECORD + 1];
        memcpy(pixel + i * PIXELS, m.p + i * RECORD + 2, PIXELS);
      }
      s->pixel = pixel;
      s->label = label;
      st = check_labels(s, path, d);
    } else {
      diag_error(d, NULL, "%s: out of memory", path);
    }
  }
  file_unmap(&m);
  return st;
}

static Status open_cifar(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d) {
  static const double mean[] = {0.4914, 0.4822, 0.4465}, std[] = {0.247, 0.243, 0.261};
  s->classes = 100;
  s->channels = 3;
  s->height = s->width = 32;
  Arena *a = arena_new();
  Status st = read_cifar(s, folder, train, a, d);
  arena_free(a);
  return st == ST_OK ? image_settings(s, spec, mean, std, d) : st;
}

/* ---- synthetic ---- */
static void fill_normal(float *p, int64_t n, uint64_t seed, int64_t step, int64_t place, FieldKind kind) {
  Rng r = rng_stream(seed, (uint32_t)step, (uint32_t)place, 0xffff0000u | (uint32_t)kind);
  for (int64_t i = 0; i < n; i++) p[i] = (float)rng_normal(&r);
}

static void fill_synthetic(const DataSet *s, uint64_t seed, int64_t epoch, int64_t step, int64_t place,
                           int64_t sample, void *const out[FIELD_KINDS], float *room) {
  (void)epoch;
  (void)sample;
  (void)room;
  int64_t image = (int64_t)s->channels * s->size * s->size;
  int64_t n[FIELD_KINDS] = {[FIELD_IMAGE] = image,
                            [FIELD_VIEWS] = image * s->views,
                            [FIELD_ACTIONS] = (int64_t)(s->views - 1) * s->components,
                            [FIELD_X] = s->features};
  for (int k = 0; k < FIELD_KINDS; k++)
    if (out[k] && k != FIELD_LABEL) fill_normal(out[k], n[k], seed, step, place, (FieldKind)k);
  if (out[FIELD_LABEL]) {
    Rng r = rng_stream(seed, (uint32_t)step, (uint32_t)place, 0xffff0000u | FIELD_LABEL);
    *(int64_t *)out[FIELD_LABEL] = rng_below(&r, (uint32_t)s->classes);
  }
}

static Status open_synthetic(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d) {
  (void)folder;
  (void)train;
  s->views = (int)number(spec, "views", 1);
  s->size = (int)number(spec, "size", 32);
  s->channels = (int)number(spec, "channels", 3);
  s->components = (int)number(spec, "action_dim", 0);
  s->classes = (int)number(spec, "classes", 10);
  s->features = (int64_t)number(spec, "features", 0);
  s->samples = (int64_t)number(spec, "length", 1024);
  s->fill = fill_synthetic;
  if (s->views >= 1 && s->size >= 1 && s->channels >= 1 && s->components >= 0 && s->classes >= 1 &&
      s->features >= 0 && s->samples >= 1)
    return ST_OK;
  diag_error(d, spec->loc, "the sizes of synthetic data must be positive");
  return ST_MODEL;
}

/* ---- all of them ---- */
static const struct {
  const char *name;
  Status (*open)(DataSet *, const DataSpec *, const char *, bool, Diags *);
} sources[] = {{"fashion_mnist", open_fashion}, {"cifar100", open_cifar}, {"synthetic", open_synthetic}};

Status dataset_open(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d) {
  enum { N = sizeof sources / sizeof *sources };
  const char *name[N];
  *s = (DataSet){0};
  for (int i = 0; i < N; i++) {
    name[i] = sources[i].name;
    if (!strcmp(name[i], spec->source)) return sources[i].open(s, spec, folder, train, d);
  }
  const char *near = nearest_name(spec->source, name, N);
  diag_error(d, spec->loc, "no data source %s%s%s", spec->source, near ? "; did you mean " : "",
             near ? near : "");
  return ST_MODEL;
}

void dataset_close(DataSet *s) {
  free(s->owned[0]);
  free(s->owned[1]);
  *s = (DataSet){0};
}

int dataset_field(const DataSet *s, const char *name, DType *dt, Shape *sample) {
  struct {
    const char *name;
    FieldKind kind;
    DType dt;
    bool offered;
    Shape shape;
  } field[] = {
      {"image", FIELD_IMAGE, DT_F32, true, {3, {s->channels, s->size, s->size}}},
      {"views", FIELD_VIEWS, DT_F32, true, {4, {s->views, s->channels, s->size, s->size}}},
      {"actions",
       FIELD_ACTIONS,
       DT_F32,
       s->views >= 2 && s->components >= 1,
       {2, {s->views - 1, s->components}}},
      {"label", FIELD_LABEL, DT_I64, true, {0, {0}}},
      {"x", FIELD_X, DT_F32, s->features >= 1, {1, {s->features}}},
  };
  for (size_t i = 0; i < sizeof field / sizeof *field; i++)
    if (field[i].offered && !strcmp(field[i].name, name)) {
      *dt = field[i].dt;
      *sample = field[i].shape;
      return (int)field[i].kind;
    }
  return -1;
}
