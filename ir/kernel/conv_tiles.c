/* Plans of convolutions on tiles of bf16 (tiles.h): how many images and pixels make the rows of a tile, bands,
   groups and chunks. Sums run over blocks of 32 channels and taps in one order, so that none of it changes bits. */
#include "ir/kernel/conv_geom.h"
#include "ir/kernel/tiles.h"

enum { CHANNELS = TILE_DEEP };

const char *conv_not_on_tiles(const ConvSpec *s, const Target *t) {
  int L = target_lanes(t);
  if (t->tiles == TILES_NONE) return tiles_none;
  if (s->algo != CONV_AUTO && s->algo != CONV_TILES) return "another algorithm is asked for";
  if (s->groups > 1) return "groups";
  bool few = conv_is_few(s);
  int64_t least = t->cost->tiles_channels;
  if ((!few && s->c < least) || s->k < least) return "few channels";
  if ((!few && s->c % TILE_COLS) || s->k % TILE_COLS) return "channels are no multiple of 16";
  for (int d = 0; d < 2; d++)
    if (s->stride[d] > 2 || s->dilation[d] > 1) return s->stride[d] > 2 ? "stride above 2" : "dilation";
  if (s->kh * s->kw > CONV_TAPS) return "more than 64 taps";
  if (t->cost->wino_first[tiles_by_pairs(t->tiles)] && s->algo == CONV_AUTO && s->stride[0] == 1 &&
      conv_wino_fits(s, t))
    return "Winograd is faster";
  bool reads[] = {s->kind == CONV_DX ? s->ybf16 : s->xbf16, s->kind == CONV_DW ? s->ybf16 : s->wbf16};
  if (!reads[0] || !reads[1] || s->f16) return tiles_f32;
  return s->xblock != (few ? 0 : L) || s->yblock != L ? "channels do not lie in blocks" : NULL;
}

/* Pixels and images of a tile, at most 16 rows: as few rows idle as can be, and of equals the fewest images. A tile
   of less than 8 rows takes as long as one of 8. */
static void pick_rows(const ConvSpec *s, ConvTiles *c) {
  const ConvPhase *w = c->g.phase[1];
  int64_t most = s->images ? s->images : s->n;
  double best = 1e300;
  for (int64_t nb = 1; nb <= TILE_ROWS && nb < 2 * most; nb *= 2) {
    if (s->images && s->images % nb) break;
    double tiles = 0, idle = (double)(div_up(most, nb) * nb) / (double)most;
    for (int b = 0; b < c->g.nphase[1]; b++) {
      int64_t qt = div_up(w[b].count, TILE_ROWS / nb), pq = div_up(w[b].count, qt);
      tiles += (double)(qt * max64(pq * nb, 9)) / (double)nb;
    }
    if (tiles * idle * (1 + 0.01 * (double)nb) >= best) continue;
    best = tiles * idle * (1 + 0.01 * (double)nb), c->nb = nb;
  }
  for (int b = 0; b < c->g.nphase[1]; b++) {
    c->qt[b] = div_up(w[b].count, TILE_ROWS / c->nb);
    c->pq[b] = div_up(w[b].count, c->qt[b]);
  }
}

static void scratch(ConvTiles *c) {
  ConvGather *g = &c->g;
  g->fill.rows = conv_extent(g, 0, g->band);
  g->fill.cols = conv_extent(g, 1, g->phase[1][0].count);
  c->half = div_up(g->fill.cols, c->step);
  c->pitch = c->step * c->half * c->nb * CHANNELS;
  c->plane = g->fill.rows * c->pitch;
  c->image = c->icb * c->plane;
}

void conv_tiles(const ConvSpec *s, const Target *t, ConvTiles *c) {
  bool dx = s->kind == CONV_DX;
  const CostModel *m = t->cost;
  *c = (ConvTiles){.cin = dx ? s->k : s->c, .cout = dx ? s->c : s->k};
  ConvGather *g = &c->g;
  g->lanes = target_lanes(t);
  g->fill.c = c->cin, g->fill.h = dx ? s->oh : s->h, g->fill.w = dx ? s->ow : s->w;
  g->cout = c->cout, g->oh = dx ? s->h : s->oh, g->ow = dx ? s->w : s->ow;
  conv_phases(s, g);
  c->icb = div_up(c->cin, CHANNELS), c->ocb = div_up(c->cout, TILE_COLS);
  c->step = g->source_step[1];
  c->panel = c->icb * CHANNELS * s->kh * s->kw * 2 * TILE_COLS;
  pick_rows(s, c);
  int64_t rows = g->phase[0][0].count, wanted = 1;
  double chunks = conv_flops(s) / m->tiles_chunk_flops;
  while (!s->images && wanted < m->conv_chunks && 2 * wanted <= chunks) wanted *= 2;
  g->band = rows, g->group = c->nb, g->kgroup = div_up(c->ocb, 2), g->nkgroup = 1;
  for (scratch(c); c->image * 2 > m->tiles_images && g->band > 2; scratch(c)) g->band = div_up(g->band, 2);
  /* Many weights: more images that share a pass over them. */
  int64_t weights = c->panel * div_up(c->ocb, 2) * 2, most = s->images ? s->images : div_up(s->n, wanted);
  while (g->band == rows && weights > m->tiles_weights && g->group * 2 <= most &&
         g->group / c->nb * 2 * c->image * 2 <= m->tiles_images &&
         (!s->images || s->images % (g->group * 2) == 0))
    g->group *= 2;
  g->ngroup = div_up(s->n, g->group);
  while (g->ngroup * div_up(rows, g->band) < wanted && g->band >= 8) g->band = div_up(g->band, 2);
  scratch(c);
  g->nband = div_up(rows, g->band);
  while (g->ngroup * g->nband * g->nkgroup < wanted && g->kgroup > 1) {
    g->kgroup = div_up(g->kgroup, 2);
    g->nkgroup = div_up(div_up(c->ocb, 2), g->kgroup);
  }
  g->units = s->images ? s->images / g->group * g->nband : 1;
}

int conv_tiles_pair(const ConvTiles *c, int a, int b) {
  const ConvGather *g = &c->g;
  int64_t count[] = {c->qt[b], min64(g->band, g->phase[0][a].count), g->group / c->nb};
  int best = 0;
  for (int i = 1; i < 3; i++) /* loss where the count is odd: one in count + 1 */
    if (count[best] % 2 && (count[i] % 2 == 0 || count[i] > count[best])) best = i;
  return best;
}

static void plan_gather(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvTiles c;
  conv_tiles(s, t, &c);
  const ConvGather *g = &c.g;
  bool dx = s->kind == CONV_DX,
       whole = g->nkgroup == 1 && (g->nband == 1 || s->images) && s->n % g->group == 0;
  int64_t turned = (dx ? TILE_COLS * TILE_DEEP : TILE_DEEP * TILE_COLS) * s->kh * s->kw * 2;
  p->tmp = DT_BF16;
  p->tmp_bytes[0] = c.panel / 2 * c.ocb * 2;
  p->nstep = 2;
  p->step[0] = (ContractionStep){.name = "pack",
                                 .nin = 1,
                                 .nout = 1,
                                 .in = {CO_W},
                                 .out = {CO_TMP0},
                                 .nchunk = c.ocb,
                                 .scratch = turned + TILE_DEEP * TILE_DEEP * 2};
  p->step[1] = (ContractionStep){.name = "main",
                                 .nin = 2,
                                 .nout = 1,
                                 .in = {dx ? CO_Y : CO_X, CO_TMP0},
                                 .out = {dx ? CO_X : CO_Y},
                                 .nchunk = g->ngroup * g->nband * g->nkgroup / g->units,
                                 .images = whole ? g->group * g->units / g->nband : 0,
                                 /* and what a tile of fewer pixels reads behind the last */
                                 .scratch = 5 * TILE_BYTES + g->group / c.nb * c.image * 2,
                                 .flops = conv_flops(s)};
}

/* ---- weight gradient ---- */
static void pick_depth(const ConvSpec *s, ConvTilesDw *c) {
  double best = 1e300;
  for (int64_t nb = 2; nb <= TILE_DEEP && nb < 2 * max64(2, s->n); nb *= 2) {
    int64_t qt = div_up(s->ow, TILE_DEEP / nb);
    double steps = (double)(div_up(s->n, nb) * qt) * (1 + 0.01 * (double)nb);
    if (steps < best) best = steps, c->nb = nb, c->qt = qt, c->pq = div_up(s->ow, qt);
  }
}

/* Bytes of scratch of a block of pixels. */
static int64_t block_scratch(const ConvSpec *s, ConvTilesDw *c) {
  c->fill.rows = (c->band - 1) * c->stride[0] + s->kh;
  c->plane = c->fill.rows * c->pitch;
  c->image = 2 * c->group[1] * c->plane;
  c->steps = c->images / c->nb * c->band * c->qt;
  return (c->images / c->nb * c->image + 2 * c->group[0] * c->steps * TILE_ROWS * TILE_DEEP) * 2;
}

static void pick_block(const ConvSpec *s, const CostModel *m, ConvTilesDw *c) {
  c->images = c->nb, c->band = s->oh;
  while (block_scratch(s, c) > m->tiles_images && c->band > 1) c->band = div_up(c->band, 2);
  while (c->band == s->oh && c->steps < m->tiles_steps && c->images * 2 <= s->n) {
    c->images *= 2;
    if (block_scratch(s, c) <= m->tiles_images) continue;
    c->images /= 2;
    break;
  }
  block_scratch(s, c);
  c->nband = div_up(s->oh, c->band);
  c->nblock = div_up(s->n, c->images) * c->nband;
}

/* Cycles about, of tiles and of what else moves; all chunks together. */
static double dw_cycles(const ConvSpec *s, const Target *t, const ConvTilesDw *c, int64_t wanted) {
  const CostModel *m = t->cost;
  double taps = (double)(s->kh * s->kw), pairs = (double)(c->panels[0] * c->panels[1]) * taps,
         blocks = (double)c->nblock, sums = 4 * TILE_BYTES / 64;
  double x = (double)(s->n * s->h * s->w * s->c) / TILE_DEEP / (double)(c->fill.sub[0] * c->fill.sub[1]),
         y = (double)(s->n * s->oh * s->ow * s->k) / TILE_DEEP;
  double cycles =
      pairs * blocks * ((double)c->steps * 4 * m->tiles_step[tiles_by_pairs(t->tiles)] + 3 * sums) +
      m->tiles_line * (2 * x * (double)c->ngroup[0] + 4 * y * (double)c->ngroup[1]) +
      3 * m->tiles_line * sums * pairs * (double)c->nsplit;
  int64_t chunks = c->nsplit * c->ngroup[0] * c->ngroup[1];
  if (chunks < wanted) cycles *= 1 + m->tiles_idle * (double)(wanted - chunks) / (double)wanted;
  return cycles;
}

void conv_tiles_dw(const ConvSpec *s, const Target *t, ConvTilesDw *c) {
  const CostModel *m = t->cost;
  *c = (ConvTilesDw){.fill = {.c = s->c, .h = s->h, .w = s->w}};
  for (int d = 0; d < 2; d++) {
    bool one = (d ? s->kw : s->kh) == 1 && s->pad[d] == 0;
    c->stride[d] = one ? 1 : s->stride[d];
    c->fill.sub[d] = one ? s->stride[d] : 1;
    c->fill.lo[d] = -s->pad[d];
  }
  pick_depth(s, c);
  c->step = c->stride[1];
  /* as far as the last tile reaches, whole */
  c->half = (c->qt - 1) * c->pq + TILE_DEEP / c->nb + (s->kw - 1) / c->step;
  c->pitch = c->step * c->half * c->nb * TILE_COLS;
  c->panels[0] = div_up(s->k, 2 * TILE_ROWS), c->panels[1] = div_up(s->c, 2 * TILE_COLS);
  c->acc = c->panels[0] * c->panels[1] * s->kh * s->kw * TILE_BYTES;
  int64_t wanted = 1;
  double chunks = conv_flops(s) / m->tiles_chunk_flops, best = 1e300;
  while (wanted < m->conv_chunks && 2 * wanted <= chunks) wanted *= 2;
  ConvTilesDw pick = *c;
  for (int64_t nk = 1; nk <= c->panels[0]; nk++)
    for (int64_t nc = 1; nc <= c->panels[1]; nc++) {
      ConvTilesDw x = *c;
      x.group[0] = div_up(c->panels[0], nk), x.group[1] = div_up(c->panels[1], nc);
      x.ngroup[0] = nk, x.ngroup[1] = nc;
      if (div_up(c->panels[0], x.group[0]) != nk || div_up(c->panels[1], x.group[1]) != nc) continue;
      if (nk > 2 * m->conv_chunks || nc > 2 * m->conv_chunks) continue;
      pick_block(s, m, &x);
      for (int64_t split = 1; split <= 16 && split <= x.nblock; split *= 2) {
        x.per_split = div_up(x.nblock, split), x.nsplit = div_up(x.nblock, x.per_split);
        double cost = dw_cycles(s, t, &x, wanted);
        if (cost < best) best = cost, pick = x;
      }
    }
  *c = pick;
}

static void plan_dw(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvTilesDw c;
  conv_tiles_dw(s, t, &c);
  p->tmp = DT_F32;
  p->tmp_bytes[0] = c.acc * c.nsplit * 4;
  p->nstep = 2;
  p->step[0] = (ContractionStep){.name = "main",
                                 .nin = 2,
                                 .nout = 1,
                                 .in = {CO_X, CO_Y},
                                 .out = {CO_TMP0},
                                 .nchunk = c.nsplit * c.ngroup[0] * c.ngroup[1],
                                 .scratch = block_scratch(s, &c),
                                 .flops = conv_flops(s)};
  p->step[1] = (ContractionStep){
      .name = "sum", .nin = 1, .nout = 1, .in = {CO_TMP0}, .out = {CO_W}, .nchunk = c.panels[0]};
}

void conv_tiles_plan(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  (conv_is_few(s) ? conv_few_plan : s->kind == CONV_DW ? plan_dw : plan_gather)(s, t, p);
}
