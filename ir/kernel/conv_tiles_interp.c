/* Convolutions on tiles element by element: the order of sums that conv_tiles.c plans and codegen/conv/tiles.c emits. */
#include "ir/kernel/conv_geom.h"
#include "ir/kernel/tiles.h"

#include <string.h>

/* One produced element of the forward pass or the input gradient. */
static float gathered(const ConvSpec *s, Tiles unit, const double *from, const double *w, int64_t i,
                      int64_t j, int64_t y, int64_t x) {
  bool dx = s->kind == CONV_DX;
  int64_t cin = dx ? s->k : s->c, h = dx ? s->oh : s->h, wd = dx ? s->ow : s->w;
  float sum = 0;
  for (int64_t c0 = 0; c0 < cin; c0 += TILE_DEEP)
    for (int64_t r = 0; r < s->kh; r++)
      for (int64_t t = 0; t < s->kw; t++) {
        int64_t v = dx ? y + s->pad[0] - r : y * s->stride[0] + r - s->pad[0],
                u = dx ? x + s->pad[1] - t : x * s->stride[1] + t - s->pad[1];
        if (dx && (v % s->stride[0] || u % s->stride[1])) continue;
        if (dx) v /= s->stride[0], u /= s->stride[1];
        if (v < 0 || v >= h || u < 0 || u >= wd) continue; /* zeros change nothing */
        float a[TILE_DEEP], b[TILE_DEEP];
        int64_t n = min64(cin - c0, TILE_DEEP);
        for (int64_t c = 0; c < n; c++) {
          int64_t o = dx ? c0 + c : j, e = dx ? j : c0 + c;
          a[c] = (float)from[conv_at(dx ? s->yblock : s->xblock, cin, h, wd, i, c0 + c, v, u)];
          b[c] = (float)w[((o * s->c + e) * s->kh + r) * s->kw + t];
        }
        sum = tiles_add(unit, sum, a, b, n);
      }
  return sum;
}

/* One step of a weight's sum: pq pixels from q on of row p of nb images from i on. */
static float step_of(const ConvSpec *s, Tiles unit, const ConvTilesDw *g, const double *x, const double *y,
                     float sum, const int64_t weight[4], int64_t i, int64_t p, int64_t q) {
  float a[TILE_DEEP] = {0}, b[TILE_DEEP] = {0};
  for (int64_t px = 0; px < g->pq && q + px < s->ow; px++)
    for (int64_t n = 0; n < g->nb && i + n < s->n; n++) {
      int64_t v = p * s->stride[0] + weight[2] - s->pad[0],
              u = (q + px) * s->stride[1] + weight[3] - s->pad[1];
      a[px * g->nb + n] = (float)y[conv_at(s->yblock, s->k, s->oh, s->ow, i + n, weight[0], p, q + px)];
      if (v >= 0 && v < s->h && u >= 0 && u < s->w)
        b[px * g->nb + n] = (float)x[conv_at(s->xblock, s->c, s->h, s->w, i + n, weight[1], v, u)];
    }
  return tiles_add(unit, sum, a, b, TILE_DEEP);
}

static float weight_sum(const ConvSpec *s, Tiles unit, const ConvTilesDw *g, const double *x, const double *y,
                        const int64_t weight[4]) {
  float all = 0;
  for (int64_t split = 0; split < g->nsplit; split++) {
    float sum = 0;
    for (int64_t t = split * g->per_split; t < min64(g->nblock, (split + 1) * g->per_split); t++) {
      int64_t i0 = t / g->nband * g->images, p0 = t % g->nband * g->band;
      for (int64_t i = i0; i < min64(s->n, i0 + g->images); i += g->nb)
        for (int64_t p = p0; p < min64(s->oh, p0 + g->band); p++)
          for (int64_t q = 0; q < g->qt; q++) sum = step_of(s, unit, g, x, y, sum, weight, i, p, q * g->pq);
    }
    all = split ? all + sum : sum;
  }
  return all;
}

void conv_tiles_interp(const ConvSpec *s, const Target *t, const double *x, const double *w, const double *y,
                       double *result) {
  if (conv_is_few(s)) {
    conv_few_interp(s, t, x, w, y, result);
    return;
  }
  if (s->kind == CONV_DW) {
    ConvTilesDw g;
    conv_tiles_dw(s, t, &g);
    int64_t at[4];
    for (int64_t n = 0; n < s->k * s->c * s->kh * s->kw; n++) {
      at[3] = n % s->kw, at[2] = n / s->kw % s->kh, at[1] = n / (s->kw * s->kh) % s->c;
      at[0] = n / (s->kw * s->kh * s->c);
      result[n] = (double)weight_sum(s, t->tiles, &g, x, y, at);
    }
    return;
  }
  bool dx = s->kind == CONV_DX;
  int64_t ch = dx ? s->c : s->k, h = dx ? s->h : s->oh, wd = dx ? s->w : s->ow, n = s->n * ch * h * wd;
  for (int64_t k = 0; k < n; k++) {
    int64_t u = k % wd, v = k / wd % h, j = k / (wd * h) % ch, i = k / (wd * h * ch);
    result[conv_at(dx ? s->xblock : s->yblock, ch, h, wd, i, j, v, u)] =
        (double)gathered(s, t->tiles, dx ? y : x, w, i, j, v, u);
  }
}
