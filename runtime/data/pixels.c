/* Resizing by separable filters as Pillow's (Resample.c's documentation: triangle, and Keys's cubic with a =
   -1/2), rotation and patches by bilinear sampling, colour as torchvision's adjust_*, separable Gaussian
   blur. */
#include "runtime/data/pixels.h"

#include <math.h>
#include <string.h>

static float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
static inline float clampf(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

/* ---- resizing ---- */
static double triangle(double x) { return x < 1 ? 1 - x : 0; }

static double cubic(double x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static const struct {
  double support;
  double (*at)(double);
} filters[] = {[FILTER_BILINEAR] = {1, triangle}, [FILTER_BICUBIC] = {2, cubic}};

typedef struct {
  int lo, n; /* inputs lo .. lo + n - 1 with weights w */
  float *w;
} Taps;

/* The inputs, of n, that output o of `size` is made from. */
static Taps taps_of(int o, int n, int size, Filter f, float *room) {
  double scale = (double)n / size, wide = scale > 1 ? scale : 1, support = filters[f].support * wide;
  double centre = (o + 0.5) * scale, total = 0;
  int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
  if (centre - support + 0.5 < 0) lo = 0;
  if (hi > n) hi = n;
  for (int i = lo; i < hi; i++) total += filters[f].at(fabs((i + 0.5 - centre) / wide));
  for (int i = lo; i < hi; i++)
    room[i - lo] = (float)(filters[f].at(fabs((i + 0.5 - centre) / wide)) / total);
  return (Taps){lo, hi - lo, room};
}

int64_t pixels_room(int channels, int side) {
  int64_t resize = (int64_t)channels * side * side + 5 * (int64_t)side + 8;
  int64_t blur = (int64_t)side * side + side + 2 * MAX_RADIUS;
  return resize > blur ? resize : blur;
}

void pixels_resize(const Image *in, Box box, Filter filter, Image *out, float *room) {
  float *mid = room, *weights = room + (size_t)in->c * box.height * out->w; /* box rows of the new width */
  for (int o = 0; o < out->w; o++) {
    Taps t = taps_of(o, box.width, out->w, filter, weights);
    for (int c = 0; c < in->c; c++) {
      const float *from = in->p + ((size_t)c * in->h + box.top) * in->w + box.left + t.lo;
      float *to = mid + (size_t)c * box.height * out->w + o;
      for (int y = 0; y < box.height; y++, from += in->w, to += out->w) {
        float sum = 0;
        for (int i = 0; i < t.n; i++) sum += t.w[i] * from[i];
        *to = sum;
      }
    }
  }
  for (int o = 0; o < out->h; o++) {
    Taps t = taps_of(o, box.height, out->h, filter, weights);
    for (int c = 0; c < in->c; c++) {
      const float *from = mid + ((size_t)c * box.height + t.lo) * out->w;
      float *to = out->p + ((size_t)c * out->h + o) * out->w;
      memset(to, 0, (size_t)out->w * sizeof *to);
      for (int i = 0; i < t.n; i++, from += out->w)
        for (int x = 0; x < out->w; x++) to[x] += t.w[i] * from[x];
      if (filter == FILTER_BICUBIC) /* which overshoots */
        for (int x = 0; x < out->w; x++) to[x] = clamp01(to[x]);
    }
  }
}

/* ---- sampling ---- */
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

void pixels_rotate(const Image *in, double radians, Image *out) {
  float cy = (float)(in->h - 1) / 2, cx = (float)(in->w - 1) / 2;
  float co = (float)cos(radians), si = (float)sin(radians);
  size_t plane = (size_t)in->h * in->w;
  for (int y = 0; y < in->h; y++)
    for (int x = 0; x < in->w; x++) {
      float u = (float)x - cx, v = (float)y - cy;
      float sy = clampf(u * si + v * co + cy, -1.5f, (float)in->h + 1);
      float sx = clampf(u * co - v * si + cx, -1.5f, (float)in->w + 1);
      for (int c = 0; c < in->c; c++)
        out->p[c * plane + (size_t)y * in->w + x] = bilinear(in->p + c * plane, in->h, in->w, sy, sx);
    }
}

void pixels_patch(const Image *in, int y, int x, int patch, Image *out) {
  size_t from = (size_t)in->h * in->w, to = (size_t)out->h * out->w;
  float step_y = (float)patch / (float)out->h, step_x = (float)patch / (float)out->w;
  for (int i = 0; i < out->h; i++)
    for (int j = 0; j < out->w; j++) {
      float sy = (float)(y - patch / 2) + ((float)i + 0.5f) * step_y - 0.5f;
      float sx = (float)(x - patch / 2) + ((float)j + 0.5f) * step_x - 0.5f;
      sy = clampf(sy, -1.5f, (float)in->h + 1);
      sx = clampf(sx, -1.5f, (float)in->w + 1);
      for (int c = 0; c < in->c; c++)
        out->p[c * to + (size_t)i * out->w + j] = bilinear(in->p + c * from, in->h, in->w, sy, sx);
    }
}

void pixels_flip(Image *m) {
  for (int y = 0; y < m->c * m->h; y++) {
    float *row = m->p + (size_t)y * m->w;
    for (int a = 0, b = m->w - 1; a < b; a++, b--) {
      float t = row[a];
      row[a] = row[b];
      row[b] = t;
    }
  }
}

/* ---- colour ---- */
void pixels_brightness(Image *m, float f) {
  for (int i = 0; i < m->c * m->h * m->w; i++) m->p[i] = clamp01(m->p[i] * f);
}

static float luma(const Image *m, int i) {
  int n = m->h * m->w;
  return m->c == 1 ? m->p[i] : 0.2989f * m->p[i] + 0.587f * m->p[n + i] + 0.114f * m->p[2 * n + i];
}

void pixels_contrast(Image *m, float f) {
  double sum = 0;
  for (int i = 0; i < m->h * m->w; i++) sum += luma(m, i);
  float mean = (float)(sum / (m->h * m->w));
  for (int i = 0; i < m->c * m->h * m->w; i++) m->p[i] = clamp01(mean + f * (m->p[i] - mean));
}

void pixels_saturation(Image *m, float f) {
  int n = m->h * m->w;
  for (int i = 0; i < n; i++) {
    float g = luma(m, i);
    for (int c = 0; c < 3; c++) m->p[c * n + i] = clamp01(g + f * (m->p[c * n + i] - g));
  }
}

/* Through HSV: value and range stay, the hue turns. */
void pixels_hue(Image *m, float turns) {
  int n = m->h * m->w;
  for (int i = 0; i < n; i++) {
    float r = m->p[i], g = m->p[n + i], b = m->p[2 * n + i];
    float hi = fmaxf(r, fmaxf(g, b)), lo = fminf(r, fminf(g, b)), range = hi - lo, h;
    if (range == 0) continue;
    if (hi == r) h = (g - b) / range;
    else if (hi == g) h = 2 + (b - r) / range;
    else h = 4 + (r - g) / range;
    h = h / 6 + turns;
    h = (h - floorf(h)) * 6;
    float k[3] = {5, 3, 1};
    for (int c = 0; c < 3; c++) { /* the well-known closed form of HSV to RGB */
      float t = fmodf(k[c] + h, 6);
      m->p[c * n + i] = hi - range * fmaxf(0, fminf(fminf(t, 4 - t), 1));
    }
  }
}

void pixels_grey(Image *m) {
  int n = m->h * m->w;
  for (int i = 0; i < n && m->c == 3; i++) m->p[i] = m->p[n + i] = m->p[2 * n + i] = luma(m, i);
}

void pixels_solarize(Image *m, float threshold) {
  for (int i = 0; i < m->c * m->h * m->w; i++)
    if (m->p[i] >= threshold) m->p[i] = 1 - m->p[i];
}

/* ---- blur ---- */
/* i mirrored at the ends of [0, n) without repeating them. */
static int reflect(int i, int n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * n - 2 - i;
  return i;
}

void pixels_blur(Image *m, double sigma, int kernel, float *room) {
  if (sigma <= 0) return;
  float tap[MAX_RADIUS + 1], total = 0;
  int radius = (int)fmin(kernel ? kernel / 2 : ceil(3 * sigma), MAX_RADIUS), h = m->h, w = m->w;
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
