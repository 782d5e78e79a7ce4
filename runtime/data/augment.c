/* Rotation and crop in one bilinear resampling, colour jitter (as torchvision's adjust_*), separable Gaussian
   blur. Geometry is kept pending until something needs pixels, so that a rotation followed by a crop reads
   the image once. */
#include "runtime/data/augment.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

typedef struct {
  int c, h, w;
  float *p;
} Image;

/* Geometry not yet carried out: output pixel -> position in the crop box -> rotation about the centre ->
 * image. */
typedef struct {
  bool rotate, crop;
  double angle; /* radians, counter-clockwise */
  int top, left, height, width;
} Pending;

static float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

/* ---- resampling ---- */
void image_resize(const float *in, int channels, int h, int w, float *out, int size, float *room) {
  /* along rows into room[channels * h][size], then along columns */
  for (int pass = 0; pass < 2; pass++) {
    int n = pass ? h : w;
    double scale = (double)n / size, support = scale > 1 ? scale : 1;
    for (int o = 0; o < size; o++) {
      double centre = (o + 0.5) * scale, total = 0;
      int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
      if (lo < 0) lo = 0;
      if (hi > n) hi = n;
      for (int i = lo; i < hi; i++) total += fmax(0, 1 - fabs((i + 0.5 - centre) / support));
      for (int i = lo; i < hi; i++) {
        float f = (float)(fmax(0, 1 - fabs((i + 0.5 - centre) / support)) / total);
        if (!pass) {
          for (int y = 0; y < channels * h; y++) {
            float *to = &room[(size_t)y * size + o];
            *to = (i == lo ? 0 : *to) + f * in[(size_t)y * w + i];
          }
        } else {
          for (int c = 0; c < channels; c++) {
            float *to = &out[((size_t)c * size + o) * size];
            const float *from = &room[((size_t)c * h + i) * size];
            for (int x = 0; x < size; x++) to[x] = (i == lo ? 0 : to[x]) + f * from[x];
          }
        }
      }
    }
  }
}

static float pixel(const float *p, int h, int w, int y, int x) {
  return y < 0 || x < 0 || y >= h || x >= w ? 0 : p[(size_t)y * w + x];
}

/* fy and fx are above -2 and small enough for int. */
static inline float bilinear(const float *p, int h, int w, float fy, float fx) {
  int y = (int)(fy + 2) - 2, x = (int)(fx + 2) - 2; /* floor, without a call */
  float ty = fy - (float)y, tx = fx - (float)x;
  if (y >= 0 && x >= 0 && y + 1 < h && x + 1 < w) {
    const float *q = p + (size_t)y * w + x;
    float a = q[0] + tx * (q[1] - q[0]), b = q[w] + tx * (q[w + 1] - q[w]);
    return a + ty * (b - a);
  }
  float a = pixel(p, h, w, y, x), b = pixel(p, h, w, y, x + 1);
  float c = pixel(p, h, w, y + 1, x), e = pixel(p, h, w, y + 1, x + 1);
  a += tx * (b - a);
  c += tx * (e - c);
  return a + ty * (c - a);
}

static inline float clampf(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

/* Carries out what is pending from `in` into `out`, whose size is set. Shrinking averages ny x nx samples a
   pixel. Positions are clamped to the box as when the crop alone is resized (its edge pixels continue), then
   turned about the centre. */
static void resample(const Pending *g, const Image *in, Image *out) {
  float bh = (float)(g->crop ? g->height : in->h), bw = (float)(g->crop ? g->width : in->w);
  int ny = (int)ceilf(bh / (float)out->h), nx = (int)ceilf(bw / (float)out->w);
  float cy = (float)(in->h - 1) / 2, cx = (float)(in->w - 1) / 2, weight = 1.0f / (float)(nx * ny);
  float top = (g->crop ? (float)g->top : 0) - cy, left = (g->crop ? (float)g->left : 0) - cx;
  float step_y = bh / (float)(out->h * ny), step_x = bw / (float)(out->w * nx);
  float co = (float)cos(g->angle), si = (float)sin(g->angle);
  size_t from = (size_t)in->h * in->w, to = (size_t)out->h * out->w;
  memset(out->p, 0, (size_t)in->c * to * sizeof(float));
  for (int y = 0; y < out->h * ny; y++) {
    float v = clampf(((float)y + 0.5f) * step_y - 0.5f, 0, bh - 1) + top;
    for (int x = 0; x < out->w * nx; x++) {
      float u = clampf(((float)x + 0.5f) * step_x - 0.5f, 0, bw - 1) + left;
      float sy = clampf(u * si + v * co + cy, -1.5f, (float)in->h + 1);
      float sx = clampf(u * co - v * si + cx, -1.5f, (float)in->w + 1);
      float *pixel = out->p + (size_t)(y / ny) * out->w + x / nx;
      for (int c = 0; c < in->c; c++)
        pixel[c * to] += weight * bilinear(in->p + c * from, in->h, in->w, sy, sx);
    }
  }
}

/* ---- colour ---- */
static void brightness(Image *m, float f) {
  for (int i = 0; i < m->c * m->h * m->w; i++) m->p[i] = clamp01(m->p[i] * f);
}

static float grey(const Image *m, int i) {
  int n = m->h * m->w;
  return m->c == 1 ? m->p[i] : 0.2989f * m->p[i] + 0.587f * m->p[n + i] + 0.114f * m->p[2 * n + i];
}

static void contrast(Image *m, float f) {
  double sum = 0;
  for (int i = 0; i < m->h * m->w; i++) sum += grey(m, i);
  float mean = (float)(sum / (m->h * m->w));
  for (int i = 0; i < m->c * m->h * m->w; i++) m->p[i] = clamp01(mean + f * (m->p[i] - mean));
}

static void saturation(Image *m, float f) {
  int n = m->h * m->w;
  for (int i = 0; i < n; i++) {
    float g = grey(m, i);
    for (int c = 0; c < 3; c++) m->p[c * n + i] = clamp01(g + f * (m->p[c * n + i] - g));
  }
}

/* Turns the hue by `shift` of a full turn, through HSV. */
static void hue(Image *m, float shift) {
  int n = m->h * m->w;
  for (int i = 0; i < n; i++) {
    float r = m->p[i], g = m->p[n + i], b = m->p[2 * n + i];
    float hi = fmaxf(r, fmaxf(g, b)), lo = fminf(r, fminf(g, b)), range = hi - lo, h;
    if (range == 0) continue;
    if (hi == r) h = (g - b) / range;
    else if (hi == g) h = 2 + (b - r) / range;
    else h = 4 + (r - g) / range;
    h = h / 6 + shift;
    h = (h - floorf(h)) * 6;
    float k[3] = {5, 3, 1};
    for (int c = 0; c < 3; c++) { /* the well-known closed form of HSV to RGB */
      float t = fmodf(k[c] + h, 6);
      m->p[c * n + i] = hi - range * fmaxf(0, fminf(fminf(t, 4 - t), 1));
    }
  }
}

/* ---- blur ---- */
/* i mirrored at the ends of [0, n) without repeating them. */
static int reflect(int i, int n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * n - 2 - i;
  return i;
}

enum { MAX_RADIUS = 32 };

static void blur(Image *m, double sigma, float *room) {
  if (sigma <= 0) return;
  float tap[MAX_RADIUS + 1], total = 0;
  int radius = (int)fmin(ceil(3 * sigma), MAX_RADIUS), h = m->h, w = m->w;
  for (int k = 0; k <= radius; k++) {
    tap[k] = (float)exp(-k * k / (2 * sigma * sigma));
    total += k ? 2 * tap[k] : tap[k];
  }
  for (int k = 0; k <= radius; k++) tap[k] /= total;
  float *line = room + (size_t)h * w; /* one row with its mirrored ends */
  for (int c = 0; c < m->c; c++) {
    float *p = m->p + (size_t)c * h * w;
    for (int y = 0; y < h; y++) {
      float *to = room + (size_t)y * w;
      for (int x = -radius; x < w + radius; x++)
        line[x + radius] = p[(size_t)y * w + (x < 0 || x >= w ? reflect(x, w) : x)];
      for (int x = 0; x < w; x++) to[x] = tap[0] * line[x + radius];
      for (int k = 1; k <= radius; k++)
        for (int x = 0; x < w; x++) to[x] += tap[k] * (line[x + radius - k] + line[x + radius + k]);
    }
    for (int y = 0; y < h; y++) {
      float *to = p + (size_t)y * w;
      const float *mid = room + (size_t)y * w;
      for (int x = 0; x < w; x++) to[x] = tap[0] * mid[x];
      for (int k = 1; k <= radius; k++) {
        const float *a = room + (size_t)reflect(y - k, h) * w, *b = room + (size_t)reflect(y + k, h) * w;
        for (int x = 0; x < w; x++) to[x] += tap[k] * (a[x] + b[x]);
      }
    }
  }
}

/* ---- one view ---- */
typedef struct {
  const Augmenter *g;
  Rng *rng;
  Image now, spare; /* now: the view so far; it and spare own the two halves of the room */
  Pending pending;
  float *room; /* for blur and resize */
  double *param;
} Work;

static void swap(Work *w) {
  Image t = w->now;
  w->now = w->spare;
  w->spare = t;
}

static void flush(Work *w) {
  if (!w->pending.rotate && !w->pending.crop) return;
  w->spare.h = w->pending.crop ? w->g->size : w->now.h;
  w->spare.w = w->pending.crop ? w->g->size : w->now.w;
  resample(&w->pending, &w->now, &w->spare);
  swap(w);
  w->pending = (Pending){0};
}

static void to_size(Work *w) {
  int size = w->g->size;
  flush(w);
  if (w->now.h == size && w->now.w == size) return;
  image_resize(w->now.p, w->now.c, w->now.h, w->now.w, w->spare.p, size, w->room);
  w->spare.h = w->spare.w = size;
  swap(w);
}

static void do_rotate(Work *w, const Augment *a) {
  if (w->pending.rotate || w->pending.crop) flush(w);
  double degrees = rng_uniform(w->rng, a->lo, a->hi);
  w->pending.rotate = true;
  w->pending.angle = degrees * pi / 180;
  *w->param++ = degrees / 90;
}

static void do_crop(Work *w, const Augment *a) {
  if (w->pending.crop) flush(w);
  int h = w->now.h, wd = w->now.w, ch = 0, cw = 0, top = 0, left = 0;
  bool found = false;
  for (int attempt = 0; attempt < 10 && !found; attempt++) {
    double area = (double)h * wd * rng_uniform(w->rng, a->lo, a->hi);
    double ratio = exp(rng_uniform(w->rng, log(a->ratio_lo), log(a->ratio_hi)));
    cw = (int)lround(sqrt(area * ratio));
    ch = (int)lround(sqrt(area / ratio));
    found = cw > 0 && ch > 0 && cw <= wd && ch <= h;
    if (found) {
      top = (int)rng_below(w->rng, (uint32_t)(h - ch + 1));
      left = (int)rng_below(w->rng, (uint32_t)(wd - cw + 1));
    }
  }
  if (!found) { /* the largest centred box of an allowed shape */
    double shape = fmin(fmax((double)wd / h, a->ratio_lo), a->ratio_hi);
    cw = (int)fmin(wd, fmax(1, round(h * shape)));
    ch = (int)fmin(h, fmax(1, round(wd / shape)));
    top = (h - ch) / 2;
    left = (wd - cw) / 2;
  }
  w->pending.crop = true;
  w->pending.top = top;
  w->pending.left = left;
  w->pending.height = ch;
  w->pending.width = cw;
  *w->param++ = (double)top / h;
  *w->param++ = (double)left / wd;
  *w->param++ = (double)ch / h;
  *w->param++ = (double)cw / wd;
}

static void do_jitter(Work *w, const Augment *a) {
  int n = w->g->channels == 1 ? 2 : 4;
  double u[4];
  flush(w);
  for (int i = 0; i < n; i++) {
    double x = a->amount[i];
    u[i] = i < 3 ? rng_uniform(w->rng, fmax(0, 1 - x), 1 + x) : rng_uniform(w->rng, -x, x);
    *w->param++ = u[i];
  }
  brightness(&w->now, (float)u[0]);
  contrast(&w->now, (float)u[1]);
  if (n == 4 && a->amount[2] > 0) saturation(&w->now, (float)u[2]);
  if (n == 4 && a->amount[3] > 0) hue(&w->now, (float)u[3]);
}

static void do_blur(Work *w, const Augment *a) {
  double sigma = rng_uniform(w->rng, a->lo, a->hi);
  to_size(w);
  blur(&w->now, sigma, w->room);
  *w->param++ = sigma;
}

static int largest_side(const Augmenter *g) {
  int m = g->height > g->width ? g->height : g->width;
  return m > g->size ? m : g->size;
}

int64_t augment_room(const Augmenter *g) {
  int64_t side = largest_side(g), plane = side * side;
  return 3 * g->channels * plane + side + 2 * MAX_RADIUS;
}

void augment_view(const Augmenter *g, Rng *r, const float *image, float *view, double *param, float *room) {
  static void (*const apply[])(Work *, const Augment *) = {
      [AUG_ROTATE] = do_rotate, [AUG_CROP] = do_crop, [AUG_JITTER] = do_jitter, [AUG_BLUR] = do_blur};
  size_t side = (size_t)largest_side(g), half = (size_t)g->channels * side * side;
  Work w = {.g = g, .rng = r, .room = room + 2 * half, .param = param};
  w.now = (Image){g->channels, g->height, g->width, room};
  w.spare = (Image){g->channels, 0, 0, room + half};
  memcpy(room, image, sizeof(float) * (size_t)(g->channels * g->height * g->width));
  for (int i = 0; i < g->n; i++) apply[g->aug[i].kind](&w, &g->aug[i]);
  to_size(&w);
  memcpy(view, w.now.p, sizeof(float) * (size_t)(g->channels * g->size * g->size));
}

/* ---- settings ---- */
static void get_range(const Setting *call, const char *name, double *lo, double *hi) {
  const Setting *s = setting_find(call->item, call->nitem, name);
  if (!s) return;
  *lo = s->num;
  *hi = s->kind == SET_RANGE ? s->hi : s->num;
}

static double get_number(const Setting *call, const char *name, double absent) {
  const Setting *s = setting_find(call->item, call->nitem, name);
  return s ? s->num : absent;
}

static void read_rotate(const Setting *s, Augment *a) {
  a->lo = -90;
  a->hi = 90;
  get_range(s, "degrees", &a->lo, &a->hi);
}

static void read_crop(const Setting *s, Augment *a) {
  a->lo = 0.08;
  a->hi = 1;
  a->ratio_lo = 0.75;
  a->ratio_hi = 1.3333333;
  get_range(s, "scale", &a->lo, &a->hi);
  get_range(s, "ratio", &a->ratio_lo, &a->ratio_hi);
}

static void read_jitter(const Setting *s, Augment *a) {
  a->amount[0] = get_number(s, "brightness", 0.4);
  a->amount[1] = get_number(s, "contrast", a->amount[0]);
  a->amount[2] = get_number(s, "saturation", a->amount[0]);
  a->amount[3] = get_number(s, "hue", 0);
}

static void read_blur(const Setting *s, Augment *a) {
  a->lo = 0.1;
  a->hi = 2;
  get_range(s, "sigma", &a->lo, &a->hi);
}

static bool range_ok(const Augment *a) {
  if (!(a->lo <= a->hi)) return false;
  if (a->kind == AUG_CROP) return a->lo > 0 && a->hi <= 1 && a->ratio_lo > 0 && a->ratio_lo <= a->ratio_hi;
  if (a->kind == AUG_BLUR) return a->lo >= 0 && a->hi <= MAX_RADIUS / 3;
  for (int i = 0; i < 4; i++)
    if (!(a->amount[i] >= 0)) return false;
  return a->amount[3] <= 0.5;
}

Status augmenter_init(Augmenter *g, const Setting *actions, int channels, int height, int width, int size,
                      Diags *d) {
  static const char *const names[] = {
      [AUG_ROTATE] = "rotate", [AUG_CROP] = "crop", [AUG_JITTER] = "jitter", [AUG_BLUR] = "blur"};
  static void (*const read[])(const Setting *, Augment *) = {
      [AUG_ROTATE] = read_rotate, [AUG_CROP] = read_crop, [AUG_JITTER] = read_jitter, [AUG_BLUR] = read_blur};
  static const int widths[] = {[AUG_ROTATE] = 1, [AUG_CROP] = 4, [AUG_JITTER] = 4, [AUG_BLUR] = 1};
  enum { KINDS = sizeof names / sizeof *names };
  *g = (Augmenter){.channels = channels, .height = height, .width = width, .size = size};
  int n = actions && actions->kind == SET_LIST ? actions->nitem : 0;
  if (n > MAX_AUGMENT) {
    diag_error(d, actions->loc, "at most %d augmentations can be listed", MAX_AUGMENT);
    return ST_MODEL;
  }
  for (int i = 0; i < n; i++) {
    const Setting *s = &actions->item[i];
    int k = 0;
    while (k < KINDS && (s->kind != SET_CALL || strcmp(s->str, names[k]))) k++;
    if (k == KINDS) {
      diag_error(d, s->loc, "no augmentation %s; there are rotate, crop, jitter and blur",
                 s->str ? s->str : "");
      return ST_MODEL;
    }
    Augment *a = &g->aug[g->n++];
    a->kind = (AugmentKind)k;
    read[k](s, a);
    if (!range_ok(a)) {
      diag_error(d, s->loc, "the arguments of %s are out of range", names[k]);
      return ST_MODEL;
    }
    g->components += k == AUG_JITTER && channels == 1 ? 2 : widths[k];
  }
  return ST_OK;
}
