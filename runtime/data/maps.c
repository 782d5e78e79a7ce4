#include "runtime/data/maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_SIDE = 8192, MOST_FILE = 1 << 28 };

static bool numbers(const NpyArray *a) {
  return a->kind == 'f' && (a->size == 4 || a->size == 8 || a->size == 2);
}

/* NULL, or what is wrong with the n numbers from `at` on. */
static const char *bad_map(const NpyArray *a, int64_t at, int64_t n) {
  double sum = 0;
  for (int64_t i = at; i < at + n; i++) {
    double v = npy_number(a, i);
    if (!isfinite(v)) return "holds a number that is not finite";
    if (v < 0) return "holds a negative number";
    sum += v;
  }
  return !(sum > 0) ? "is zero everywhere" : sum < 1e30 ? NULL : "holds numbers too large";
}

/* The last two extents, of [h, w] after `lead` ones and perhaps one more that is 1. */
static bool extents(const NpyArray *a, int lead, int *h, int *w) {
  int r = a->shape.rank;
  if (r != lead + 2 && !(r == lead + 3 && a->shape.dim[lead] == 1)) return false;
  int64_t y = a->shape.dim[r - 2], x = a->shape.dim[r - 1];
  *h = (int)y;
  *w = (int)x;
  return y >= 1 && x >= 1 && y <= MOST_SIDE && x <= MOST_SIDE;
}

static Status fail(Diags *d, const char *fmt, ...) {
  char text[2048];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  diag_error(d, NULL, "%s", text);
  return ST_FILE;
}

Status maps_open(Maps *s, MappedFile *m, const char *home, const char *part, int64_t samples, Arena *a,
                 Diags *d) {
  /* beside the data, and where the tools of arXiv 2505.03176 write it */
  const char *path[] = {arena_printf(a, "%s/saliency_%s.npy", home, part),
                        arena_printf(a, "%s/%s/saliency_%s.npy", home, part, part),
                        arena_printf(a, "%s/salmap-stl10/%s/saliency_%s.npy", home, part, part)};
  int k = 0;
  while (k < 2 && access(path[k], F_OK)) k++;
  if (access(path[k], F_OK)) k = 0;
  if (file_map(m, path[k], d) != ST_OK) {
    diag_note(
        d, NULL,
        "saliency = \"maps\" reads a map of each image, f32[samples, height, width], from this file or %s; "
        "saliency = \"spectral\" needs none",
        path[1]);
    return ST_FILE;
  }
  const char *wrong = npy_parse(m->p, m->n, &s->all);
  if (wrong) return fail(d, "%s: %s", path[k], wrong);
  if (!numbers(&s->all) || !extents(&s->all, 1, &s->h, &s->w))
    return fail(
        d, "%s: saliency maps are floats of shape [samples, height, width] or [samples, 1, height, width]",
        path[k]);
  if (s->all.shape.dim[0] != samples)
    return fail(d, "%s holds %lld maps, but there are %lld images", path[k], (long long)s->all.shape.dim[0],
                (long long)samples);
  int64_t n = (int64_t)s->h * s->w;
  for (int64_t i = 0; i < samples; i++)
    if ((wrong = bad_map(&s->all, i * n, n)))
      return fail(d, "%s: the map of image %lld %s", path[k], (long long)i, wrong);
  return ST_OK;
}

/* Of the numbers from `at` on, h x w of them, the part of side y by x in the middle. */
static void stretch(const NpyArray *a, int64_t at, int h, int w, int y, int x, float *map, int to_h,
                    int to_w) {
  int top = (h - y) / 2, left = (w - x) / 2;
  for (int i = 0; i < to_h * to_w; i++)
    map[i] = (float)npy_number(a, at + (int64_t)(top + i / to_w * y / to_h) * w + left + i % to_w * x / to_w);
}

/* home/saliency/train/CLASS/NAME-sal.npy or NAME_sal.npy of home/train/CLASS/NAME.jpg. */
static bool find_file(const Maps *s, const char *picture, char *path, size_t room) {
  const char *rest = picture + strlen(s->home), *dot = strrchr(rest, '.'), *slash = strrchr(rest, '/');
  int keep = dot && dot > slash ? (int)(dot - rest) : (int)strlen(rest);
  static const char *const ending[] = {"_sal", "-sal"};
  for (int i = 0; i < 2; i++) {
    int n = snprintf(path, room, "%s/saliency%.*s%s.npy", s->home, keep, rest, ending[i]);
    if (n > 0 && (size_t)n < room && !access(path, F_OK)) return true;
  }
  return false;
}

bool maps_read(const Maps *s, int64_t sample, const char *picture, float *map, int h, int w, Reason *why) {
  if (s->all.count) {
    stretch(&s->all, sample * s->h * s->w, s->h, s->w, s->h, s->w, map, h, w);
    return true;
  }
  char path[4096];
  NpyArray a;
  size_t n;
  int y, x;
  if (!find_file(s, picture, path, sizeof path)) {
    snprintf(why->text, sizeof why->text, "%.280s: there is no saliency map of it (%.100s)", picture, path);
    return false;
  }
  uint8_t *p = picture_file(path, MOST_FILE, &n, why);
  if (!p) return false;
  const char *wrong = npy_parse(p, n, &a);
  if (!wrong && (!numbers(&a) || !extents(&a, 0, &y, &x)))
    wrong = "a saliency map is floats of shape [height, width]";
  if (wrong) snprintf(why->text, sizeof why->text, "%.280s: %s", path, wrong);
  else if ((wrong = bad_map(&a, 0, (int64_t)y * x)))
    snprintf(why->text, sizeof why->text, "%.280s: the map %s", path, wrong);
  /* pictures are cut to the square in their middle */
  int side = wrong ? 0 : y < x ? y : x;
  if (!wrong) stretch(&a, 0, y, x, side, side, map, h, w);
  free(p);
  return !wrong;
}
