/* The table of sources, the settings image sources share, and the views of an image: bytes to floats,
   augmented, normalised, with the parameters as actions. */
#include "runtime/data/source.h"
#include "runtime/data/cache.h"
#include "runtime/data/saliency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- settings and messages ---- */
static const Setting *find(const Opening *o, const char *name) {
  return setting_find(o->spec->set, o->spec->nset, name);
}

double source_number(const Opening *o, const char *name, double absent) {
  const Setting *s = find(o, name);
  return s && s->kind == SET_NUM ? s->num : absent;
}

const char *source_word(const Opening *o, const char *name, const char *absent) {
  const Setting *s = find(o, name);
  return s && s->kind == SET_STR ? s->str : absent;
}

static Status report(const Opening *o, Status st, const Loc *loc, const char *fmt, va_list ap) {
  char text[2048];
  vsnprintf(text, sizeof text, fmt, ap);
  diag_error(o->d, loc, "%s", text);
  return st;
}

Status source_wrong(const Opening *o, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Status st = report(o, ST_MODEL, o->spec->loc, fmt, ap);
  va_end(ap);
  return st;
}

Status source_bad(const Opening *o, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  Status st = report(o, ST_FILE, NULL, fmt, ap);
  va_end(ap);
  return st;
}

/* ---- where files are ---- */
char *source_file(Arena *a, const char *folder, const char *name) {
  char *p = arena_printf(a, "%s/%s", folder, name);
  return access(p, F_OK) == 0 ? p : NULL;
}

static bool has_one(Arena *a, const char *folder, const char *const *names) {
  for (; *names; names++)
    if (source_file(a, folder, *names)) return true;
  return false;
}

const char *source_folder(const Opening *o, const char *title, const char *sub, const char *const *names,
                          const char *layout) {
  if (o->folder) {
    const char *inner = arena_printf(o->a, "%s/%s", o->folder, sub);
    if (has_one(o->a, o->folder, names)) return o->folder;
    if (has_one(o->a, inner, names)) return inner;
    source_bad(o, "%s is not in %s: it has no %s", title, o->folder, names[0]);
  } else {
    const char *dirs = getenv("XDG_DATA_DIRS");
    if (!dirs || !*dirs) dirs = "/usr/local/share:/usr/share";
    for (const char *p = dirs; *p;) {
      size_t n = strcspn(p, ":");
      const char *dir = arena_printf(o->a, "%.*s/datasets/%s", (int)n, p, sub);
      if (has_one(o->a, dir, names)) return dir;
      p += n + (p[n] == ':');
    }
    source_bad(o, "%s is not installed: name its folder with --data", title);
  }
  diag_note(o->d, NULL, "expected: %s", layout);
  return NULL;
}

/* ---- views ---- */
void source_normalise(const DataSet *s, const float *from, float *to, int side) {
  int plane = side * side;
  for (int c = 0; c < s->channels; c++)
    for (int i = c * plane; i < (c + 1) * plane; i++) to[i] = from[i] * s->scale[c] + s->shift[c];
}

static void put_map(const DataSet *s, const float *map, float *out) {
  float most = 0;
  for (int i = 0; i < s->height * s->width; i++) most = fmaxf(most, map[i]);
  for (int y = 0; y < s->size; y++)
    for (int x = 0; x < s->size; x++)
      out[y * s->size + x] =
          map[y * s->height / s->size * s->width + x * s->width / s->size] / fmaxf(most, 1e-30f);
}

static bool find_fixations(const DataSet *s, const Fill *f, const Image *image, Fixation *at, float *room,
                           Reason *why) {
  const Augment *a = s->augment.saccade;
  int n = s->height * s->width;
  float *map = room;
  if (a->saliency == SALIENCY_SPECTRAL) {
    saliency_spectral(image, map, room + n);
  } else if (a->saliency == SALIENCY_MAPS) {
    if (!maps_read(&s->maps, f->sample, s->path ? s->path[f->sample] : NULL, map, s->height, s->width, why))
      return false;
  } else {
    for (int i = 0; i < n; i++) map[i] = 1;
  }
  if (f->out[FIELD_SALIENCY]) put_map(s, map, f->out[FIELD_SALIENCY]);
  Rng r = rng_stream(f->seed, (uint32_t)f->epoch, (uint32_t)f->sample, 0xfffffffeu);
  saliency_fixations(&r, map, s->height, s->width, a->inhibit, a->square, s->views, at);
  return true;
}

/* What torch.nn.functional.normalize makes of each parameter over the views, were there as many as `normalise`. */
static void normalise(const DataSet *s, double *u) {
  int a = s->components;
  for (int i = 0; i < a && s->normalise; i++) {
    double sum = 0;
    for (int v = 0; v < s->views; v++) sum += u[v * a + i] * u[v * a + i];
    double factor = sqrt((double)s->views / s->normalise) / fmax(sqrt(sum), 1e-12);
    for (int v = 0; v < s->views; v++) u[v * a + i] *= factor;
  }
}

static void put_actions(const DataSet *s, const Fill *f, double *u) {
  int a = s->components;
  float *param = f->out[FIELD_PARAMS], *action = f->out[FIELD_ACTIONS];
  normalise(s, u);
  for (int i = 0; i < s->views * a && param; i++) param[i] = (float)u[i];
  for (int v = 1; v < s->views && action; v++)
    for (int i = 0; i < a; i++)
      if (s->augment.told[i]) *action++ = (float)(u[v * a + i] - u[(v - 1) * a + i]);
}

static bool fill_image(const DataSet *s, const Fill *f, Reason *why) {
  int n = s->channels * s->height * s->width, cut = s->channels * s->size * s->size, a = s->components;
  float *image = f->room, *view = image + n, *work = view + cut;
  bool views = f->out[FIELD_VIEWS] || f->out[FIELD_ACTIONS] || f->out[FIELD_PARAMS] || f->out[FIELD_SALIENCY];
  if (f->out[FIELD_LABEL]) *(int64_t *)f->out[FIELD_LABEL] = s->label[f->sample];
  if (!f->out[FIELD_IMAGE] && !views) return true;
  const uint8_t *p = s->pixels(s, f->sample, (uint8_t *)work, why);
  if (!p) return false;
  for (int i = 0; i < n; i++) image[i] = (float)p[i] / 255.0f;
  Image whole = {s->channels, s->height, s->width, image};
  if (f->out[FIELD_IMAGE]) {
    Image small = {s->channels, s->size, s->size, view};
    bool same = s->height == s->size && s->width == s->size;
    if (!same) pixels_resize(&whole, (Box){0, 0, s->height, s->width}, FILTER_BILINEAR, &small, work);
    source_normalise(s, same ? image : view, f->out[FIELD_IMAGE], s->size);
  }
  double u[MAX_VIEWS * MAX_COMPONENTS];
  Fixation at[MAX_VIEWS] = {{0, 0}};
  if (views && s->augment.saccade && !find_fixations(s, f, &whole, at, work, why)) return false;
  for (int v = 0; v < s->views && views; v++) {
    Rng r = rng_stream(f->seed, (uint32_t)f->epoch, (uint32_t)f->sample, (uint32_t)v);
    const Augmenter *g = v + 1 == s->views ? s->last : &s->augment;
    augment_view(g, &r, image, at[v], view, u + v * a, work);
    if (f->out[FIELD_VIEWS])
      source_normalise(s, view, (float *)f->out[FIELD_VIEWS] + (int64_t)v * cut, s->size);
  }
  if (views) put_actions(s, f, u);
  return true;
}

/* ---- settings of image sources ---- */
static bool list_of(const Opening *o, const char *name, const double *absent, double *out) {
  const Setting *s = find(o, name);
  if (s && s->kind == SET_LIST && s->nitem != o->s->channels) return false;
  for (int c = 0; c < o->s->channels; c++) out[c] = s && s->kind == SET_LIST ? s->item[c].num : absent[c];
  return true;
}

Status source_views(Opening *o, int size, const double *mean, const double *std) {
  DataSet *s = o->s;
  double mu[4], sd[4], views = source_number(o, "views", 1), wanted = source_number(o, "size", size);
  if (!(views >= 1 && views <= MAX_VIEWS && wanted >= 1 && wanted <= 4096))
    return source_wrong(o, "%s needs 1 to %d views and a size of 1 to 4096", o->spec->source, MAX_VIEWS);
  s->views = (int)views;
  s->size = (int)wanted;
  if (!list_of(o, "mean", mean, mu) || !list_of(o, "std", std, sd))
    return source_wrong(o, "mean and std need one number a channel (%d)", s->channels);
  for (int c = 0; c < s->channels; c++) {
    if (!(sd[c] > 0)) return source_wrong(o, "the standard deviations must be positive");
    s->scale[c] = (float)(1 / sd[c]);
    s->shift[c] = (float)(-mu[c] / sd[c]);
  }
  return ST_OK;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

Status source_images(Opening *o, int size, const double *mean, const double *std, const char *home) {
  DataSet *s = o->s;
  Status st = source_views(o, size, mean, std);
  if (st) return st;
  const Setting *target = find(o, "target");
  bool own = target && target->kind == SET_LIST && target->nitem > 0;
  st = augmenter_init(&s->augment, find(o, "actions"), s->channels, s->height, s->width, s->size, o->d);
  if (st == ST_OK && own)
    st = augmenter_init(&s->target, target, s->channels, s->height, s->width, s->size, o->d);
  if (st) return st;
  s->last = own ? &s->target : &s->augment;
  s->components = s->augment.components;
  if (s->last->components != s->components || !s->last->saccade != !s->augment.saccade)
    return source_wrong(o,
                        "the actions of the last view (`target`) have %d components, those of the others %d",
                        s->last->components, s->components);
  if (memcmp(s->last->told, s->augment.told, sizeof s->augment.told))
    return source_wrong(o, "`target` tells models other actions than `actions`");
  for (int i = 0; i < s->components; i++) s->given += s->augment.told[i];
  double unit = source_number(o, "normalise", 0);
  if (!(unit >= 0 && unit <= MAX_VIEWS))
    return source_wrong(o, "normalise is a number of views, not %g", unit);
  s->normalise = (int)unit;
  s->maps.home = home;
  if (s->augment.saccade && s->augment.saccade->saliency == SALIENCY_MAPS && !s->path &&
      (st = maps_open(&s->maps, &s->mapped[1], home, o->train ? source_word(o, "split", "train") : "test",
                      s->samples, o->a, o->d)))
    return st;
  int64_t pixels = (int64_t)s->height * s->width,
          work = most(augment_room(&s->augment), s->channels * pixels);
  if (s->augment.saccade) work = most(work, pixels + saliency_room(s->channels, s->height, s->width));
  s->room = s->channels * (pixels + (int64_t)s->size * s->size) + work;
  s->fill = fill_image;
  return ST_OK;
}

Status source_check_labels(const Opening *o, const char *path) {
  for (int64_t i = 0; i < o->s->samples; i++)
    if (o->s->label[i] < 0 || o->s->label[i] >= o->s->classes)
      return source_bad(o, "%s: label %d of sample %lld is not below %d", path, o->s->label[i], (long long)i,
                        o->s->classes);
  return ST_OK;
}

/* ---- all of them ---- */
static const struct {
  const char *name;
  Status (*open)(Opening *);
} sources[] = {{"fashion_mnist", open_fashion}, {"cifar100", open_cifar},      {"stl10", open_stl},
               {"tinyimagenet", open_tiny},     {"image_folder", open_folder}, {"diebench", open_diebench},
               {"synthetic", open_synthetic},   {"arrays", open_columns}};

Status dataset_open(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d) {
  enum { N = sizeof sources / sizeof *sources };
  const char *name[N];
  *s = (DataSet){.arena = arena_new()};
  Opening o = {s, spec, folder, train, s->arena, d};
  for (int i = 0; i < N; i++) {
    name[i] = sources[i].name;
    if (!strcmp(name[i], spec->source)) return sources[i].open(&o);
  }
  const char *near = nearest_name(spec->source, name, N);
  return source_wrong(&o, "no data source %s%s%s", spec->source, near ? "; did you mean " : "",
                      near ? near : "");
}

void dataset_close(DataSet *s) {
  for (int i = 0; i < 2; i++) {
    free(s->owned[i]);
    file_unmap(&s->mapped[i]);
  }
  cache_free(s->cache);
  if (s->columns) s->close_columns(s->columns);
  if (s->arena) arena_free(s->arena);
  *s = (DataSet){0};
}

int dataset_field(const DataSet *s, const char *name, DType *dt, Shape *sample) {
  if (s->columns) {
    int k = columns_find(s->columns, name);
    if (k < 0) return -1;
    columns_type(s->columns, k, dt, sample);
    return FIELD_ARRAY + k;
  }
  bool actions = s->given >= 1, params = s->components >= 1, images = s->label != NULL;
  struct {
    const char *name;
    FieldKind kind;
    DType dt;
    bool offered;
    Shape shape;
  } field[] = {
      {"image", FIELD_IMAGE, DT_F32, true, {3, {s->channels, s->size, s->size}}},
      {"views", FIELD_VIEWS, DT_F32, true, {4, {s->views, s->channels, s->size, s->size}}},
      {"actions", FIELD_ACTIONS, DT_F32, s->views >= 2 && actions, {2, {s->views - 1, s->given}}},
      {"params", FIELD_PARAMS, DT_F32, images && params, {2, {s->views, s->components}}},
      {"label", FIELD_LABEL, DT_I64, true, {0, {0}}},
      {"x", FIELD_X, DT_F32, s->features >= 1, {1, {s->features}}},
      {"saliency", FIELD_SALIENCY, DT_F32, s->augment.saccade != NULL, {2, {s->size, s->size}}},
      {"tokens", FIELD_TOKENS, DT_I64, s->tokens >= 1, {1, {s->tokens}}},
  };
  for (size_t i = 0; i < sizeof field / sizeof *field; i++)
    if (field[i].offered && !strcmp(field[i].name, name)) {
      *dt = field[i].dt;
      *sample = field[i].shape;
      return (int)field[i].kind;
    }
  return -1;
}
