/* The spectral residual (X. Hou and L. Zhang, "Saliency detection: a spectral residual approach", CVPR 2007):
   the log amplitude spectrum less its local average, with the phase kept, back in space, squared and
   smoothed. */
#include "runtime/data/saliency.h"

#include <math.h>
#include <string.h>

enum { MAX_SIDE = 64 };

/* Side of the square the spectrum is taken of: the paper's 64, less for smaller images. */
static int spectrum_side(int h, int w) { return (h > w ? h : w) > 48 ? 64 : 32; }

typedef struct {
  float re, im;
} Complex;

/* In place, n a power of two, elements `stride` apart; inverse without the factor 1/n. root[k] = exp(-2 pi i
   k / n). */
static void fft(Complex *x, int n, int stride, bool inverse, const Complex *root) {
  for (int i = 1, j = 0; i < n; i++) {
    int bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j |= bit;
    if (i < j) {
      Complex t = x[i * stride];
      x[i * stride] = x[j * stride];
      x[j * stride] = t;
    }
  }
  for (int len = 2; len <= n; len *= 2)
    for (int i = 0; i < n; i += len)
      for (int k = 0; k < len / 2; k++) {
        Complex r = root[k * (n / len)], *a = &x[(i + k) * stride], *b = &x[(i + k + len / 2) * stride];
        float im = inverse ? -r.im : r.im;
        Complex t = {b->re * r.re - b->im * im, b->re * im + b->im * r.re};
        *b = (Complex){a->re - t.re, a->im - t.im};
        *a = (Complex){a->re + t.re, a->im + t.im};
      }
}

static void fft_2d(Complex *x, int n, bool inverse) {
  static const double pi = 3.14159265358979323846;
  Complex root[MAX_SIDE / 2];
  for (int k = 0; k < n / 2; k++)
    root[k] = (Complex){(float)cos(2 * pi * k / n), (float)-sin(2 * pi * k / n)};
  for (int y = 0; y < n; y++) fft(x + y * n, n, 1, inverse, root);
  for (int c = 0; c < n; c++) fft(x + c, n, n, inverse, root);
}

/* Log amplitudes less the mean of their 3 x 3 neighbours, around the corner. */
static float residual(const float *log_amp, int n, int y, int x) {
  float sum = 0;
  for (int dy = -1; dy <= 1; dy++)
    for (int dx = -1; dx <= 1; dx++) sum += log_amp[((y + dy + n) % n) * n + (x + dx + n) % n];
  return log_amp[y * n + x] - sum / 9;
}

int64_t saliency_room(int channels, int h, int w) {
  int side = h > w ? h : w, big = side > MAX_SIDE ? side : MAX_SIDE;
  return (int64_t)channels * side * side + 4 * MAX_SIDE * MAX_SIDE + pixels_room(channels, big);
}

void saliency_spectral(const Image *in, float *map, float *room) {
  int n = spectrum_side(in->h, in->w), area = n * n;
  Image grey = {in->c, in->h, in->w, room}, small = {1, n, n, room + (size_t)in->c * in->h * in->w};
  float *amp = small.p + area, *work = amp + 3 * (size_t)area;
  Complex *x = (Complex *)(void *)(amp + area);
  memcpy(grey.p, in->p, (size_t)in->c * in->h * in->w * sizeof *grey.p);
  pixels_grey(&grey);
  grey.c = 1;
  pixels_resize(&grey, (Box){0, 0, in->h, in->w}, FILTER_BILINEAR, &small, work);
  for (int i = 0; i < area; i++) x[i] = (Complex){small.p[i], 0};
  fft_2d(x, n, false);
  for (int i = 0; i < area; i++) amp[i] = logf(sqrtf(x[i].re * x[i].re + x[i].im * x[i].im) + 1e-6f);
  for (int i = 0; i < area; i++) { /* amplitude exp(residual), same phase */
    float f = expf(residual(amp, n, i / n, i % n) - amp[i]);
    x[i].re *= f;
    x[i].im *= f;
  }
  fft_2d(x, n, true);
  for (int i = 0; i < area; i++) small.p[i] = x[i].re * x[i].re + x[i].im * x[i].im;
  pixels_blur(&small, n / 24.0, 0, work);
  Image out = {1, in->h, in->w, map};
  pixels_resize(&small, (Box){0, 0, n, n}, FILTER_BILINEAR, &out, work);
}

/* A pixel in proportion to the map; its index, or -1 when all of it is 0. */
static int draw(Rng *r, const float *map, int n) {
  double total = 0, sum = 0;
  for (int i = 0; i < n; i++) total += map[i] > 0 ? map[i] : 0;
  double want = rng_unit(r) * total;
  int last = -1;
  for (int i = 0; i < n; i++) {
    if (!(map[i] > 0)) continue;
    last = i;
    sum += map[i];
    if (sum > want) return i;
  }
  return last; /* rounding left a rest */
}

/* Any pixel that is not inhibited; any at all when none is left. */
static int draw_any(Rng *r, const float *map, int n) {
  uint32_t count = 0;
  for (int i = 0; i < n; i++) count += map[i] >= 0;
  if (!count) return (int)rng_below(r, (uint32_t)n);
  uint32_t pick = rng_below(r, count);
  int i = 0;
  while (map[i] < 0 || pick > 0) pick -= map[i++] >= 0;
  return i;
}

void saliency_fixations(Rng *r, float *map, int h, int w, double inhibit, bool square, int n, Fixation *out) {
  for (int k = 0; k < n; k++) {
    int at = draw(r, map, h * w);
    if (at < 0) at = draw_any(r, map, h * w);
    out[k] = (Fixation){at / w, at % w};
    for (int i = 0; i < h * w; i++) { /* -1: inhibited */
      double dy = i / w - out[k].y, dx = i % w - out[k].x;
      double far = square ? fmax(fabs(dy), fabs(dx)) : sqrt(dy * dy + dx * dx);
      if (far <= inhibit) map[i] = -1;
    }
  }
}
