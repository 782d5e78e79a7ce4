/* From settings to augmentations, and a view: each augmentation draws its parameters, changes the picture
   (pixels.h) and puts the parameters out. */
#include "runtime/data/augment.h"

#include <math.h>
#include <string.h>

/* ---- one view ---- */
typedef struct {
  const Augmenter *g;
  Rng *rng;
  Image now, spare; /* now: the view so far; it and spare own the two halves of the room */
  Fixation at;
  float *room; /* for blur and resize */
  double *param;
} Work;

static void put(Work *w, const Augment *a, double value) {
  if (a->action) *w->param++ = value;
}

static bool chance(Work *w, const Augment *a) { return a->p >= 1 || rng_unit(w->rng) < a->p; }

/* The spare image, of the given size, becomes the current one. */
static void swap(Work *w) {
  Image t = w->now;
  w->now = w->spare;
  w->spare = t;
}

static void resize(Work *w, Box box, Filter filter) {
  w->spare.h = w->spare.w = w->g->size;
  pixels_resize(&w->now, box, filter, &w->spare, w->room);
  swap(w);
}

static void to_size(Work *w) {
  int size = w->g->size;
  if (w->now.h != size || w->now.w != size) resize(w, (Box){0, 0, w->now.h, w->now.w}, FILTER_BILINEAR);
}

static void do_rotate(Work *w, const Augment *a) {
  static const double pi = 3.14159265358979323846;
  double degrees = rng_uniform(w->rng, a->lo, a->hi);
  w->spare.h = w->now.h;
  w->spare.w = w->now.w;
  pixels_rotate(&w->now, degrees * pi / 180, &w->spare);
  swap(w);
  put(w, a, degrees / 90);
}

static Box draw_box(Rng *r, const Augment *a, int h, int w) {
  for (int attempt = 0; attempt < 10; attempt++) {
    double area = (double)h * w * rng_uniform(r, a->lo, a->hi);
    double ratio = exp(rng_uniform(r, log(a->ratio_lo), log(a->ratio_hi)));
    int cw = (int)lround(sqrt(area * ratio)), ch = (int)lround(sqrt(area / ratio));
    if (cw < 1 || ch < 1 || cw > w || ch > h) continue;
    int top = (int)rng_below(r, (uint32_t)(h - ch + 1));
    return (Box){top, (int)rng_below(r, (uint32_t)(w - cw + 1)), ch, cw};
  }
  /* the largest centred box of an allowed shape */
  double shape = fmin(fmax((double)w / h, a->ratio_lo), a->ratio_hi);
  int cw = (int)fmin(w, fmax(1, round(h * shape))), ch = (int)fmin(h, fmax(1, round(w / shape)));
  return (Box){(h - ch) / 2, (w - cw) / 2, ch, cw};
}

static void do_crop(Work *w, const Augment *a) {
  int h = w->now.h, wd = w->now.w;
  Box b = draw_box(w->rng, a, h, wd);
  resize(w, b, a->filter);
  put(w, a, (double)b.top / h);
  put(w, a, (double)b.left / wd);
  put(w, a, (double)b.height / h);
  put(w, a, (double)b.width / wd);
}

static void do_jitter(Work *w, const Augment *a) {
  bool done = chance(w, a);
  int n = w->g->channels == 1 ? 2 : 4;
  double u[4];
  for (int i = 0; i < n; i++) {
    double x = a->amount[i];
    u[i] = i < 3 ? rng_uniform(w->rng, fmax(0, 1 - x), 1 + x) : rng_uniform(w->rng, -x, x);
    if (!done) u[i] = i < 3 ? 1 : 0;
    put(w, a, u[i]);
  }
  if (!done) return;
  static void (*const change[])(Image *, float) = {pixels_brightness, pixels_contrast, pixels_saturation,
                                                   pixels_hue};
  int order[] = {0, 1, 2, 3};
  for (int i = 0; i < n; i++) {
    int k = a->shuffled ? i + (int)rng_below(w->rng, (uint32_t)(n - i)) : i, now = order[k];
    order[k] = order[i];
    if (a->amount[now] > 0) change[now](&w->now, (float)u[now]);
  }
}

static void do_blur(Work *w, const Augment *a) {
  bool done = chance(w, a);
  double sigma = rng_uniform(w->rng, a->lo, a->hi);
  to_size(w);
  if (done) pixels_blur(&w->now, sigma, a->kernel, w->room);
  put(w, a, done ? sigma : 0);
}

static void do_flip(Work *w, const Augment *a) {
  bool done = chance(w, a);
  if (done) pixels_flip(&w->now);
  put(w, a, done);
}

static void do_grey(Work *w, const Augment *a) {
  bool done = chance(w, a);
  if (done) pixels_grey(&w->now);
  put(w, a, done);
}

static void do_solarize(Work *w, const Augment *a) {
  bool done = chance(w, a);
  if (done) pixels_solarize(&w->now, (float)a->lo);
  put(w, a, done);
}

static void do_saccade(Work *w, const Augment *a) {
  put(w, a, (double)w->at.y / w->now.h);
  put(w, a, (double)w->at.x / w->now.w);
  w->spare.h = w->spare.w = w->g->size;
  pixels_patch(&w->now, w->at.y, w->at.x, a->patch, &w->spare);
  swap(w);
}

/* ---- settings ---- */
static const Setting *find(const Setting *call, const char *name) {
  return setting_find(call->item, call->nitem, name);
}

static void get_range(const Setting *call, const char *name, double *lo, double *hi) {
  const Setting *s = find(call, name);
  if (!s) return;
  *lo = s->num;
  *hi = s->kind == SET_RANGE ? s->hi : s->num;
}

static double get_number(const Setting *call, const char *name, double absent) {
  const Setting *s = find(call, name);
  return s ? s->num : absent;
}

/* The place of the setting's word in `words`, 0 when absent, -1 when it is none of them. */
static int get_word(const Setting *call, const char *name, const char *const *words, int n) {
  const Setting *s = find(call, name);
  if (!s) return 0;
  for (int i = 0; i < n; i++)
    if (s->kind == SET_STR && !strcmp(s->str, words[i])) return i;
  return -1;
}

static bool read_rotate(const Setting *s, Augment *a) {
  get_range(s, "degrees", &a->lo, &a->hi);
  return a->lo <= a->hi;
}

static bool read_crop(const Setting *s, Augment *a) {
  static const char *const words[] = {[FILTER_BILINEAR] = "bilinear", [FILTER_BICUBIC] = "bicubic"};
  get_range(s, "scale", &a->lo, &a->hi);
  get_range(s, "ratio", &a->ratio_lo, &a->ratio_hi);
  int filter = get_word(s, "filter", words, 2);
  a->filter = (Filter)filter;
  return filter >= 0 && a->lo > 0 && a->lo <= a->hi && a->hi <= 1 && a->ratio_lo > 0 &&
         a->ratio_lo <= a->ratio_hi;
}

static bool read_jitter(const Setting *s, Augment *a) {
  a->amount[0] = get_number(s, "brightness", 0.4);
  a->amount[1] = get_number(s, "contrast", a->amount[0]);
  a->amount[2] = get_number(s, "saturation", a->amount[0]);
  a->amount[3] = get_number(s, "hue", 0);
  static const char *const words[] = {"fixed", "random"};
  int order = get_word(s, "order", words, 2);
  a->shuffled = order == 1;
  for (int i = 0; i < 4; i++)
    if (!(a->amount[i] >= 0)) return false;
  return order >= 0 && a->amount[3] <= 0.5;
}

static bool read_blur(const Setting *s, Augment *a) {
  double kernel = get_number(s, "kernel", 0);
  get_range(s, "sigma", &a->lo, &a->hi);
  if (!(kernel >= 0 && kernel <= 2 * MAX_RADIUS + 1)) return false;
  a->kernel = (int)kernel;
  return (!a->kernel || a->kernel % 2) && a->lo >= 0 && a->lo <= a->hi && a->hi <= MAX_RADIUS / 3;
}

static bool read_solarize(const Setting *s, Augment *a) {
  a->lo = get_number(s, "threshold", a->lo);
  return true;
}

static bool read_saccade(const Setting *s, Augment *a) {
  static const char *const words[] = {
      [SALIENCY_SPECTRAL] = "spectral", [SALIENCY_UNIFORM] = "uniform", [SALIENCY_MAPS] = "maps"};
  double patch = get_number(s, "patch", 0);
  int word = get_word(s, "saliency", words, 3);
  a->inhibit = get_number(s, "inhibit", 16);
  a->square = get_number(s, "square", 0) != 0;
  a->saliency = (Saliency)word;
  if (!(patch >= 0 && patch <= 4096)) return false;
  a->patch = (int)patch;
  return word >= 0 && a->inhibit >= 0;
}

static bool read_nothing(const Setting *s, Augment *a) {
  (void)s;
  (void)a;
  return true;
}

static const struct {
  const char *name;
  bool (*read)(const Setting *, Augment *); /* false: an argument is out of range */
  void (*apply)(Work *, const Augment *);
  int width; /* 4 of jitter: 2 for one channel */
  Augment absent;
} kinds[AUG_KINDS] = {
    [AUG_ROTATE] = {"rotate", read_rotate, do_rotate, 1, {.action = true, .p = 1, .lo = -90, .hi = 90}},
    [AUG_CROP] = {"crop",
                  read_crop,
                  do_crop,
                  4,
                  {.action = true, .p = 1, .lo = 0.08, .hi = 1, .ratio_lo = 0.75, .ratio_hi = 1.3333333}},
    [AUG_FLIP] = {"flip", read_nothing, do_flip, 1, {.p = 0.5}},
    [AUG_JITTER] = {"jitter", read_jitter, do_jitter, 4, {.action = true, .p = 1}},
    [AUG_GREY] = {"grey", read_nothing, do_grey, 1, {.p = 0.2}},
    [AUG_BLUR] = {"blur", read_blur, do_blur, 1, {.action = true, .p = 1, .lo = 0.1, .hi = 2}},
    [AUG_SOLARIZE] = {"solarize", read_solarize, do_solarize, 1, {.p = 0.2, .lo = 0.5}},
    [AUG_SACCADE] = {"saccade", read_saccade, do_saccade, 2, {.action = true, .p = 1}},
};

static int kind_named(const Setting *s) {
  int k = 0;
  while (k < AUG_KINDS && (s->kind != SET_CALL || strcmp(s->str, kinds[k].name))) k++;
  return k;
}

static Status unknown(const Setting *s, Diags *d) {
  const char *names[AUG_KINDS];
  for (int i = 0; i < AUG_KINDS; i++) names[i] = kinds[i].name;
  const char *near = s->str ? nearest_name(s->str, names, AUG_KINDS) : NULL;
  diag_error(d, s->loc,
             "no augmentation %s%s%s; there are rotate, crop, flip, jitter, grey, blur, solarize and saccade",
             s->str ? s->str : "", near ? "; did you mean " : "", near ? near : "");
  return ST_MODEL;
}

Status augmenter_init(Augmenter *g, const Setting *list, int channels, int height, int width, int size,
                      Diags *d) {
  *g = (Augmenter){.channels = channels, .height = height, .width = width, .size = size};
  int n = list && list->kind == SET_LIST ? list->nitem : 0;
  if (n > MAX_AUGMENT) {
    diag_error(d, list->loc, "at most %d augmentations can be listed", MAX_AUGMENT);
    return ST_MODEL;
  }
  for (int i = 0; i < n; i++) {
    const Setting *s = &list->item[i];
    int k = kind_named(s);
    if (k == AUG_KINDS) return unknown(s, d);
    Augment *a = &g->aug[g->n++];
    *a = kinds[k].absent;
    a->kind = (AugmentKind)k;
    a->p = get_number(s, "p", a->p);
    a->action = get_number(s, "action", a->action) != 0;
    a->told = get_number(s, "told", 1) != 0;
    if (!(a->p >= 0 && a->p <= 1) || !kinds[k].read(s, a)) {
      diag_error(d, s->loc, "the arguments of %s are out of range", kinds[k].name);
      return ST_MODEL;
    }
    if (k == AUG_SACCADE) {
      if (i > 0) {
        diag_error(d, s->loc, "saccade must be the first augmentation of the list");
        return ST_MODEL;
      }
      g->saccade = a;
      if (!a->patch) a->patch = size;
    }
    int width = k == AUG_JITTER && channels == 1 ? 2 : kinds[k].width;
    for (int c = 0; c < width && a->action; c++) g->told[g->components++] = a->told;
  }
  return ST_OK;
}

static int largest_side(const Augmenter *g) {
  int m = g->height > g->width ? g->height : g->width;
  return m > g->size ? m : g->size;
}

int64_t augment_room(const Augmenter *g) {
  int64_t side = largest_side(g);
  return 2 * g->channels * side * side + pixels_room(g->channels, (int)side);
}

void augment_view(const Augmenter *g, Rng *r, const float *image, Fixation at, float *view, double *param,
                  float *room) {
  size_t side = (size_t)largest_side(g), half = (size_t)g->channels * side * side;
  Work w = {.g = g, .rng = r, .at = at, .room = room + 2 * half, .param = param};
  w.now = (Image){g->channels, g->height, g->width, room};
  w.spare = (Image){g->channels, 0, 0, room + half};
  memcpy(room, image, sizeof(float) * (size_t)(g->channels * g->height * g->width));
  for (int i = 0; i < g->n; i++) kinds[g->aug[i].kind].apply(&w, &g->aug[i]);
  to_size(&w);
  memcpy(view, w.now.p, sizeof(float) * (size_t)(g->channels * g->size * g->size));
}
