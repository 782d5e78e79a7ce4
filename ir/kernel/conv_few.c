/* Convolutions of few channels on tiles of bf16: plans, and their sums element by element (conv_geom.h). */
#include "ir/kernel/conv_geom.h"
#include "ir/kernel/tiles.h"

enum { MOST = 4, COPIED = 16 /* pixels that the copy to scratch moves at once */ };

static int64_t padded(const ConvSpec *s) { return s->c <= 2 ? 2 : MOST; }

bool conv_is_few(const ConvSpec *s) {
  return s->c <= MOST && s->groups <= 1 && s->kind != CONV_DX && s->kw * padded(s) <= TILE_DEEP;
}

void conv_few(const ConvSpec *s, const Target *t, ConvFew *f) {
  const CostModel *m = t->cost;
  bool dw = s->kind == CONV_DW;
  *f = (ConvFew){.channels = padded(s), .ocb = div_up(s->k, TILE_COLS), .units = 1};
  f->pairs = s->kw * f->channels / 2;
  f->cb = div_up(2 * f->pairs, TILE_COLS);
  f->pq = dw ? TILE_DEEP : min64(TILE_ROWS, s->ow);
  f->qt = div_up(s->ow, f->pq);
  int64_t step = s->stride[1] * f->channels, cols = (s->ow - 1) * s->stride[1] + s->kw;
  f->inside = max64(0, min64(s->w, cols - s->pad[1]));
  int64_t written = (s->pad[1] + div_up(f->inside, COPIED) * COPIED) * f->channels,
          read = dw ? (f->qt * f->pq - 1) * step + f->cb * TILE_COLS : cols * f->channels;
  f->pitch = div_up(max64(written, read), TILE_DEEP) * TILE_DEEP;
  f->band = dw ? min64(s->oh, max64(1, 2 * m->tiles_steps / f->qt)) : s->oh;
  for (;; f->band = div_up(f->band, 2)) {
    f->rows = (f->band - 1) * s->stride[0] + s->kh;
    f->steps = f->band * f->qt;
    f->scratch = f->rows * f->pitch * 2 + (dw ? (f->ocb + f->cb) * f->steps : 5) * TILE_BYTES;
    bool cut = !dw && !s->images && s->n * div_up(s->oh, f->band) < m->conv_chunks && f->band >= 8;
    if (f->band == 1 || (f->scratch <= m->tiles_images && !cut)) break;
  }
  f->nband = div_up(s->oh, f->band);
  if (s->images) f->units = s->images * f->nband;
  f->per_split = max64(1, div_up(s->n * f->nband, m->conv_chunks));
  f->nsplit = div_up(s->n * f->nband, f->per_split);
  f->acc = s->kh * f->ocb * f->cb * TILE_ROWS * TILE_COLS;
}

void conv_few_plan(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvFew f;
  conv_few(s, t, &f);
  bool dw = s->kind == CONV_DW, whole = f.nband == 1 || s->images;
  p->tmp = dw ? DT_F32 : DT_BF16;
  p->tmp_bytes[0] = dw ? f.acc * f.nsplit * 4 : f.ocb * s->kh * f.pairs * 2 * TILE_COLS * 2;
  p->nstep = 2;
  p->step[dw ? 1 : 0] =
      dw ? (ContractionStep){.name = "sum",
                             .nin = 1,
                             .nout = 1,
                             .in = {CO_TMP0},
                             .out = {CO_W},
                             .nchunk = f.ocb}
         : (ContractionStep){
               .name = "pack", .nin = 1, .nout = 1, .in = {CO_W}, .out = {CO_TMP0}, .nchunk = f.ocb};
  p->step[dw ? 0 : 1] = (ContractionStep){.name = "main",
                                          .nin = 2,
                                          .nout = 1,
                                          .in = {CO_X, dw ? CO_Y : CO_TMP0},
                                          .out = {dw ? CO_TMP0 : CO_Y},
                                          .nchunk = dw ? f.nsplit : s->n * f.nband / f.units,
                                          .images = whole && !dw ? f.units / f.nband : 0,
                                          .scratch = f.scratch,
                                          .flops = conv_flops(s)};
}

/* ---- element by element ---- */
static double pixel(const ConvSpec *s, const double *x, int64_t i, int64_t c, int64_t v, int64_t u) {
  bool there = v >= 0 && v < s->h && u >= 0 && u < s->w;
  return there ? x[conv_at(0, s->c, s->h, s->w, i, c, v, u)] : 0;
}

static float produced(const ConvSpec *s, const Target *g, const ConvFew *f, const double *x, const double *w,
                      int64_t i, int64_t k, int64_t p, int64_t q) {
  float sum = 0;
  for (int64_t r = 0; r < s->kh; r++) {
    float a[TILE_DEEP] = {0}, b[TILE_DEEP] = {0};
    for (int64_t t = 0; t < s->kw; t++)
      for (int64_t c = 0; c < s->c; c++) {
        a[t * f->channels + c] =
            (float)pixel(s, x, i, c, p * s->stride[0] + r - s->pad[0], q * s->stride[1] + t - s->pad[1]);
        b[t * f->channels + c] = (float)w[((k * s->c + c) * s->kh + r) * s->kw + t];
      }
    sum = tiles_add(g->tiles, sum, a, b, 2 * f->pairs);
  }
  return sum;
}

static float weight_sum(const ConvSpec *s, const Target *g, const ConvFew *f, const double *x,
                        const double *y, const int64_t at[4]) {
  float all = 0;
  for (int64_t split = 0; split < f->nsplit; split++) {
    float sum = 0;
    for (int64_t t = split * f->per_split; t < min64(s->n * f->nband, (split + 1) * f->per_split); t++) {
      int64_t i = t / f->nband, p0 = t % f->nband * f->band;
      for (int64_t p = p0; p < min64(s->oh, p0 + f->band); p++)
        for (int64_t q0 = 0; q0 < s->ow; q0 += TILE_DEEP) {
          float a[TILE_DEEP] = {0}, b[TILE_DEEP] = {0};
          for (int64_t q = q0; q < min64(s->ow, q0 + TILE_DEEP); q++) {
            a[q - q0] = (float)y[conv_at(s->yblock, s->k, s->oh, s->ow, i, at[0], p, q)];
            b[q - q0] = (float)pixel(s, x, i, at[1], p * s->stride[0] + at[2] - s->pad[0],
                                     q * s->stride[1] + at[3] - s->pad[1]);
          }
          sum = tiles_add(g->tiles, sum, a, b, TILE_DEEP);
        }
    }
    all = split ? all + sum : sum;
  }
  return all;
}

void conv_few_interp(const ConvSpec *s, const Target *t, const double *x, const double *w, const double *y,
                     double *result) {
  ConvFew f;
  conv_few(s, t, &f);
  if (s->kind == CONV_DW) {
    for (int64_t n = 0; n < s->k * s->c * s->kh * s->kw; n++) {
      int64_t tap = n / s->kw, at[] = {tap / (s->kh * s->c), tap / s->kh % s->c, tap % s->kh, n % s->kw};
      result[n] = (double)weight_sum(s, t, &f, x, y, at);
    }
    return;
  }
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t k = 0; k < s->k; k++)
      for (int64_t p = 0; p < s->oh; p++)
        for (int64_t q = 0; q < s->ow; q++)
          result[conv_at(s->yblock, s->k, s->oh, s->ow, i, k, p, q)] =
              (double)produced(s, t, &f, x, w, i, k, p, q);
}
