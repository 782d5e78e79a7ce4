/* Plans of convolutions: which algorithm, which blocks, how many chunks. Everything is decided from shape and
   target by simple cost models fitted to measurements, never by thread count, so a plan is part of a
   program's numeric identity. */
#include "ir/kernel/conv_geom.h"

#include <string.h>

enum { LANE_TAPS = 11 }; /* taps of a row that lanes.c emits side by side */
_Static_assert(CHOICE_NUMBERS >= 3 * CONV_PHASES * CONV_PHASES, "a tile a phase");

double conv_flops(const ConvSpec *s) {
  return 2.0 * s->n * s->k * (s->c / s->groups) * s->oh * s->ow * s->kh * s->kw;
}

static int64_t chunks_wanted(const ConvSpec *s, const Target *t) {
  return min64(t->cost->conv_chunks, 1 + (int64_t)(conv_flops(s) / t->cost->conv_chunk_flops));
}

/* Channel block of a source in scratch: its own when blocked; all channels together when few; else the vector
   width. */
static void fill_blocks(ConvFill *f, int lanes) {
  f->ib = f->block ? f->block : f->c <= 2 * lanes ? f->c : lanes;
  f->icb = div_up(f->c, f->ib);
  f->planar = !f->block && f->icb == 1;
}

/* A strided forward pass gains more from the copy, which compacts what is read. */
static bool reads_in_place(const ConvSpec *s, const ConvFill *f) {
  return f->block && !f->bf16 && s->kh == 1 && s->kw == 1 && s->pad[0] == 0 && s->pad[1] == 0 &&
         conv_pad_end(s, 0) <= 0 && conv_pad_end(s, 1) <= 0 &&
         (s->kind == CONV_DX || (s->stride[0] == 1 && s->stride[1] == 1));
}

static bool tile_fits(const Target *t, int rb, int ob) {
  int temps = t->fma ? (t->registers == 32 && ob == 1 ? 0 : 1) : 2;
  return rb * ob + ob + temps <= t->registers;
}

static ConvTile pick_tile(const Target *t, int64_t choice, int64_t rows, int64_t min_rows, int64_t cols,
                          int64_t kb, int64_t max_ob, bool divides) {
  Ranking best = {0};
  for (int ob = 1; ob <= 4 && ob <= max_ob; ob++) {
    if (divides && max_ob % ob) continue; /* max_ob vectors of a group */
    for (int pw = 1; pw <= cols && tile_fits(t, pw, ob); pw++)
      for (int ph = 1; ph <= min_rows && tile_fits(t, ph * pw, ob); ph++) {
        double tiles = (double)div_up(rows, ph) * div_up(cols, pw) * div_up(kb, ob);
        rank_add(&best, tiles * tile_cycles(t->cost, ph * pw, ob) * (1 + 1e-3 * ph), ph, pw, ob);
      }
  }
  const int64_t *v = rank_tile(&best, choice);
  return (ConvTile){(int)v[0], (int)v[1], (int)v[2]};
}

/* Phases of one dimension d of the forward pass (one) or of the input gradient (one for each residue of the
   stride). */
static void phases_forward(const ConvSpec *s, int d, ConvGather *g) {
  int64_t k = d ? s->kw : s->kh;
  g->nphase[d] = 1;
  g->source_step[d] = s->stride[d];
  g->fill.sub[d] = g->fill.dil[d] = 1;
  if (k == 1 && s->pad[d] == 0 && !g->fill.in_place) { /* only every stride-th row is read: compact it */
    g->fill.sub[d] = s->stride[d];
    g->source_step[d] = 1;
  }
  g->phase[d][0] = (ConvPhase){0, 1, d ? s->ow : s->oh, k, 0, 1, -s->pad[d], s->dilation[d]};
}

static void phases_gradient(const ConvSpec *s, int d, ConvGather *g) {
  int64_t k = d ? s->kw : s->kh, size = d ? s->w : s->h, st = s->stride[d], pad = s->pad[d],
          dilation = s->dilation[d];
  g->source_step[d] = g->fill.sub[d] = g->fill.dil[d] = 1;
  if (st > CONV_PHASES) {
    g->fill.dil[d] = st;
    g->nphase[d] = 1;
    g->phase[d][0] = (ConvPhase){0, 1, size, k, 0, 1, pad, -dilation};
    return;
  }
  g->nphase[d] = (int)min64(st, size);
  for (int a = 0; a < g->nphase[d]; a++) {
    /* Tap r meets a pixel where a + pad - r * dilation is a multiple of the stride: every `every`-th r. */
    int64_t first = 0, every = 1;
    while (every * dilation % st) every++;
    while (first < every && (a + pad - first * dilation) % st) first++;
    int64_t ntap = first < every && first < k ? div_up(k - first, every) : 0;
    g->phase[d][a] = (ConvPhase){a,
                                 st,
                                 div_up(size - a, st),
                                 ntap,
                                 first,
                                 every,
                                 (a + pad - first * dilation) / st,
                                 -(every * dilation / st)};
  }
}

void conv_phases(const ConvSpec *s, ConvGather *g) {
  for (int d = 0; d < 2; d++) (s->kind == CONV_DX ? phases_gradient : phases_forward)(s, d, g);
}

int64_t conv_extent(ConvGather *g, int d, int64_t count) {
  int64_t lo = 0, hi = 0;
  bool any = false;
  for (int a = 0; a < g->nphase[d]; a++) {
    const ConvPhase *p = &g->phase[d][a];
    if (!p->ntap) continue;
    int64_t u = p->off, v = p->off + (p->ntap - 1) * p->offstep;
    lo = any ? min64(lo, min64(u, v)) : min64(u, v);
    hi = any ? max64(hi, max64(u, v)) : max64(u, v);
    any = true;
  }
  g->fill.lo[d] = lo;
  return (count - 1) * g->source_step[d] + hi - lo + 1;
}

static void gather_scratch(ConvGather *g) {
  g->fill.rows = conv_extent(g, 0, g->band);
  g->fill.cols = conv_extent(g, 1, g->phase[1][0].count);
  if (g->fill.in_place) g->fill.rows = g->fill.h, g->fill.cols = g->fill.w;
  g->image = g->fill.icb * g->fill.rows * g->fill.cols * g->fill.ib;
  if (!g->fill.in_place) g->image = div_up(g->image, 16) * 16;
  g->out_scratch = g->oblock ? 0 : g->kgroup * g->band * g->phase[0][0].step * g->ow * g->lanes;
}

static void lanes_gather(const ConvSpec *s, const Target *t, ConvGather *g);

void conv_gather(const ConvSpec *s, const Target *t, ConvGather *g) {
  bool dx = s->kind == CONV_DX;
  *g = (ConvGather){.lanes = target_lanes(t)};
  ConvFill *f = &g->fill;
  f->c = dx ? s->k : s->c, f->h = dx ? s->oh : s->h, f->w = dx ? s->ow : s->w;
  f->block = dx ? s->yblock : s->xblock;
  f->bf16 = dx ? s->ybf16 : s->xbf16;
  g->cout = dx ? s->c : s->k, g->oh = dx ? s->h : s->oh, g->ow = dx ? s->w : s->ow;
  g->oblock = dx ? s->xblock : s->yblock;
  g->ocb = div_up(g->cout, g->lanes);
  g->group_of = conv_groups(s, g->lanes);
  if (s->groups > 1) f->ib = g->lanes, f->icb = div_up(f->c, f->ib);
  else fill_blocks(f, g->lanes);
  if (g->group_of.lanes) {
    lanes_gather(s, t, g);
    return;
  }
  g->rcb = f->icb / s->groups, g->source = g->rcb * f->ib;
  int64_t ob = s->groups > 1 ? g->group_of.out / g->lanes : g->ocb; /* vectors of a register tile */
  f->in_place = reads_in_place(s, f);
  conv_phases(s, g);

  int64_t rows = g->phase[0][0].count, cols = g->phase[1][0].count, budget = t->l2 / 2;
  g->kgroup = g->ocb, g->nkgroup = 1, g->group = 1;
  ConvTile guess = pick_tile(t, 0, rows, rows, cols, g->ocb, ob, s->groups > 1);
  /* Bands: whole images when they fit half of L2, else as many rows as do; fewer when there would be too few
     chunks. */
  g->band = rows;
  for (gather_scratch(g); (g->image + g->out_scratch) * 4 > budget && g->band > guess.ph; gather_scratch(g))
    g->band = div_up(g->band, 2);
  int64_t wanted = chunks_wanted(s, t);
  if (s->images) wanted = 1;
  while (s->n * div_up(rows, g->band) < wanted && g->band > 2 * guess.ph) g->band = div_up(g->band, 2);
  g->nband = div_up(rows, g->band);
  gather_scratch(g);
  /* Many weights: keep several images in L2 and stream the weights past them. */
  int64_t weights = g->source * s->kh * s->kw * g->ocb * g->lanes * 4;
  if (g->nband == 1 && g->oblock && weights > t->l2 / 4)
    g->group = min64(budget / (g->image * 4), t->cost->conv_group);
  g->group = max64(1, min64(g->group, s->images ? s->images : s->n / t->cost->conv_chunks));
  while (s->images && s->images % g->group) g->group--;
  g->ngroup = div_up(s->n, g->group);
  while (g->ngroup * g->nband * g->nkgroup < wanted && g->kgroup >= 8) {
    if (s->groups > 1 && g->kgroup % (2 * ob)) break; /* whole groups */
    g->kgroup = div_up(g->kgroup, 2);
    g->nkgroup = div_up(g->ocb, g->kgroup);
  }
  g->units = s->images ? s->images / g->group * g->nband : 1;
  gather_scratch(g);
  int64_t least_kb = g->ocb - (g->nkgroup - 1) * g->kgroup;
  for (int a = 0; a < g->nphase[0]; a++)
    for (int b = 0; b < g->nphase[1]; b++) {
      int64_t least = g->phase[0][a].count - (g->nband - 1) * g->band;
      g->tile[a][b] =
          pick_tile(t, s->choice, min64(g->band, g->phase[0][a].count), max64(1, min64(g->band, least)),
                    g->phase[1][b].count, g->kgroup, min64(ob, least_kb), s->groups > 1);
    }
}

/* ---- groups within a vector ---- */
ConvGroups conv_groups(const ConvSpec *s, int lanes) {
  bool dx = s->kind == CONV_DX;
  int64_t c = s->c / s->groups, k = s->k / s->groups;
  bool mixed = s->groups > 1 && (c % lanes || k % lanes);
  return (ConvGroups){dx ? k : c, dx ? c : k, mixed, mixed && c == k && lanes % c == 0};
}

ConvColumns conv_columns(const ConvPhase *p, int64_t source_step, int64_t size, int64_t width) {
  int64_t u = p->off, v = p->off + (p->ntap - 1) * p->offstep, lo = min64(u, v), hi = max64(u, v);
  int64_t inside = lo < 0 ? div_up(-lo, source_step) : 0, /* first and last column inside */
      last = size - 1 - hi < 0 ? -1 : (size - 1 - hi) / source_step;
  ConvColumns c = {.width = width, .left = div_up(min64(inside, p->count), width)};
  int64_t end = min64(last + 1, p->count) - c.left * width;
  if (end > 0) c.middle = end / width;
  return c;
}

/* Few code for the edges is all right; many tiles of it, or of very wide kernels, read a padded copy. */
static bool wants_padding(const ConvPhase *p, int64_t source_step, int64_t size, int64_t width) {
  if (p->ntap > LANE_TAPS) return true;
  ConvColumns c = conv_columns(p, source_step, size, width);
  return div_up(p->count, width) - c.middle > 4;
}

/* Columns of a tile: all equal, at most `max`. */
static int64_t even_width(int64_t count, int64_t max) { return div_up(count, div_up(count, max64(1, max))); }

/* One produced block at a time, from the source block that its lanes need or from a copy. */
static void lanes_gather(const ConvSpec *s, const Target *t, ConvGather *g) {
  ConvFill *f = &g->fill;
  f->in_place = true; /* phases that compact nothing */
  conv_phases(s, g);
  int64_t h = (f->h - 1) * f->dil[0] + 1, w = (f->w - 1) * f->dil[1] + 1;
  for (int a = 0; a < g->nphase[0]; a++)
    for (int b = 0; b < g->nphase[1]; b++) {
      const ConvPhase *p = &g->phase[1][b];
      int64_t room = t->registers - 2 - min64(p->ntap, LANE_TAPS);
      g->tile[a][b] = (ConvTile){1, (int)even_width(p->count, min64(14, room)), 1};
      g->padded |= wants_padding(p, g->source_step[1], w, g->tile[a][b].pw);
    }
  f->rows = h, f->cols = w, f->lo[0] = f->lo[1] = 0;
  if (g->padded) f->cols = conv_extent(g, 1, g->phase[1][0].count);
  g->planes = g->group_of.permute ? 1 : g->group_of.in, g->source = g->group_of.in;
  f->in_place = g->group_of.permute && f->block && !f->bf16 && !g->padded && f->dil[0] == 1 && f->dil[1] == 1;
  g->image = g->planes * f->rows * f->cols * f->ib;
  g->group = 1, g->ngroup = s->n;
  g->band = g->phase[0][0].count, g->nband = 1;
  g->kgroup = g->ocb, g->nkgroup = 1;
  int64_t wanted = s->images ? 1 : chunks_wanted(s, t);
  while (s->n * g->nkgroup < wanted && g->kgroup > 1) {
    g->kgroup = div_up(g->kgroup, 2);
    g->nkgroup = div_up(g->ocb, g->kgroup);
  }
  while (f->in_place && s->n * g->nkgroup * g->nband < wanted && g->band > 4) {
    g->band = div_up(g->band, 2);
    g->nband = div_up(g->phase[0][0].count, g->band);
  }
  g->units = s->images ? s->images : 1;
  g->out_scratch = g->oblock ? 0 : g->band * g->phase[0][0].step * g->ow * g->lanes;
}

static void lanes_wgrad(const ConvSpec *s, const Target *t, ConvWgrad *g) {
  ConvFill *fx = &g->fx, *fy = &g->fy;
  int room = t->registers - 6;
  int64_t in = g->group_of.in;
  ConvPhase cols = {0, 1, s->ow, s->kw, 0, 1, -s->pad[1], s->dilation[1]};
  g->width = even_width(s->ow, 8);
  g->padded = wants_padding(&cols, s->stride[1], s->w, g->width);
  g->planes = g->group_of.permute ? 1 : in;
  g->jb = g->group_of.permute ? (int)in : 1;
  g->sb = (int)(g->padded ? even_width(s->kw, min64(room, LANE_TAPS)) : s->kw);
  while (g->jb > 1 && g->jb * g->sb > room) g->jb /= 2;
  g->rb = g->jb == in && g->sb == s->kw ? (int)even_width(s->kh, room / (g->jb * g->sb)) : 1;
  for (int d = 0; d < 2; d++) fx->sub[d] = fx->dil[d] = 1, fx->lo[d] = 0, g->step[d] = s->stride[d];
  fx->rows = s->h, fx->cols = s->w;
  if (g->padded) {
    fx->lo[1] = -s->pad[1];
    fx->cols = (s->ow - 1) * s->stride[1] + (s->kw - 1) * s->dilation[1] + 1;
  }
  fx->in_place = g->group_of.permute && fx->block && !fx->bf16 && !g->padded;
  if (!s->yblock || s->ybf16) fy->rows = s->oh, fy->cols = s->ow;
  g->acc = g->ocb * in * s->kh * s->kw * g->lanes;
  g->kgroup = max64(1, g->ocb / t->cost->conv_chunks), g->nkgroup = div_up(g->ocb, g->kgroup);
  g->cgroup = g->planes, g->ncgroup = 1;
  g->nblock = s->n; /* a block of pixels is an image */
  g->nsplit = max64(1, min64(s->n, div_up(chunks_wanted(s, t), g->nkgroup)));
  g->per_split = div_up(g->nblock, g->nsplit);
  g->nsplit = div_up(g->nblock, g->per_split);
}

/* ---- weight gradient ---- */
static int64_t largest_group(const Target *t, int ob) {
  int rb = 1;
  while (tile_fits(t, rb + 1, ob)) rb++;
  return rb;
}

/* Register tile of the few-channel form: entries (c, s) or (c, r, s) in even groups. */
static void pick_flat(const ConvSpec *s, const Target *t, ConvWgrad *g) {
  double best = 1e300;
  for (int all = 0; all < 2; all++)
    for (int ob = 1; ob <= 4 && ob <= g->kgroup; ob++) {
      int64_t entries = g->fx.ib * s->kw * (all ? s->kh : 1), max = largest_group(t, ob);
      if (all && entries > 2 * max) continue;
      int64_t groups = div_up(entries, max), rb = div_up(entries, groups);
      double cost = tile_cycles(t->cost, rb, ob) * groups * (all ? 1 : s->kh) * div_up(g->kgroup, ob);
      if (cost < best) best = cost, g->flat_rows = all, g->rb = (int)rb, g->ob = ob;
    }
}

static void pick_blocked(const Target *t, ConvWgrad *g, bool groups) {
  double best = 1e300;
  for (int ob = 1; ob <= 4 && ob <= g->kgroup; ob++)
    for (int rb = 1; rb <= g->fx.ib && tile_fits(t, rb, ob); rb++) {
      if (g->fx.ib % rb || (groups && g->gk % ob)) continue;
      int64_t rest = g->kgroup % ob;
      double cost =
          (tile_cycles(t->cost, rb, ob) * (g->kgroup / ob) + (rest ? tile_cycles(t->cost, rb, rest) : 0)) *
          (g->fx.ib / rb);
      if (cost < best) best = cost, g->rb = rb, g->ob = ob;
    }
}

void conv_wgrad(const ConvSpec *s, const Target *t, ConvWgrad *g) {
  const CostModel *c = t->cost;
  *g = (ConvWgrad){.lanes = target_lanes(t), .images = 1};
  g->fx = (ConvFill){.c = s->c, .h = s->h, .w = s->w, .block = s->xblock, .bf16 = s->xbf16};
  g->fy = (ConvFill){.c = s->k, .h = s->oh, .w = s->ow, .block = s->yblock, .bf16 = s->ybf16};
  g->fy.ib = g->lanes, g->fy.icb = g->ocb = div_up(s->k, g->lanes);
  g->fy.sub[0] = g->fy.sub[1] = g->fy.dil[0] = g->fy.dil[1] = 1;
  g->group_of = conv_groups(s, g->lanes);
  if (s->groups > 1) g->fx.ib = g->lanes, g->fx.icb = div_up(s->c, g->lanes);
  else fill_blocks(&g->fx, g->lanes);
  if (g->group_of.lanes) {
    lanes_wgrad(s, t, g);
    return;
  }
  g->fx.in_place = reads_in_place(s, &g->fx);
  for (int d = 0; d < 2; d++) {
    bool one = (d ? s->kw : s->kh) == 1 && s->pad[d] == 0 && !g->fx.in_place;
    g->step[d] = one ? 1 : s->stride[d];
    g->fx.sub[d] = one ? s->stride[d] : 1;
    g->fx.dil[d] = 1;
    g->fx.lo[d] = -s->pad[d];
  }
  g->flat = !s->xblock && s->groups == 1 && (g->fx.icb == 1);
  int64_t per = s->kh * s->kw * g->fx.ib * g->lanes * 4; /* accumulator bytes of a pair of channel blocks */
  g->gk = g->ocb / s->groups, g->gc = g->fx.icb / s->groups;
  g->acc = g->ocb * g->gc * per / 4;

  /* Cut the outputs until a chunk's accumulators fit half of L2, then the pixels until there are enough
     chunks; all by bytes moved. */
  int64_t pixels = s->n * s->oh * s->ow;
  double x = (double)s->n * s->h * s->w * s->c * 4 / (g->fx.sub[0] * g->fx.sub[1]),
         y = (double)pixels * s->k * 4, best = 1e300;
  double flops = conv_flops(s);
  int64_t wanted = chunks_wanted(s, t);
  bool groups = s->groups > 1; /* whole ones in a chunk: blocks of x and y go together */
  for (int64_t nc = 1; nc <= (groups ? 1 : g->fx.icb); nc++)
    for (int64_t nk = 1; nk <= g->ocb; nk++)
      for (int64_t ns = 1; ns <= 16; ns *= 2) {
        int64_t cg = div_up(g->fx.icb, nc), kg = div_up(g->ocb, nk);
        if (div_up(g->fx.icb, cg) != nc || div_up(g->ocb, kg) != nk || (groups && kg % g->gk)) continue;
        int64_t pairs = kg * (groups ? g->gc : cg);
        if (ns > 1 && pixels / ns < c->conv_split_pixels) continue;
        double waste = (double)(cg * nc) / g->fx.icb * (kg * nk) / g->ocb;
        double bytes = x * (groups ? 1 : nk) + y * nc + g->acc * 4.0 * (ns + 2);
        if (pairs * per > t->l2 / 2) bytes += c->conv_spill * (x + y) * ((double)pairs * per / (t->l2 / 2));
        if (nc * nk * ns < wanted)
          bytes += c->conv_idle * (x + y + g->acc) * ((double)wanted / (nc * nk * ns));
        bytes += flops / c->conv_flops_a_byte * (waste - 1) +
                 (kg % 2 && kg > 1 ? flops / c->conv_narrow_flops : 0) +
                 (kg == 1 ? flops / c->conv_narrow_flops : 0);
        if (bytes < best)
          best = bytes, g->cgroup = cg, g->ncgroup = nc, g->kgroup = kg, g->nkgroup = nk, g->nsplit = ns;
      }
  if (groups) g->cgroup = g->kgroup / g->gk * g->gc;
  if (g->flat) pick_flat(s, t, g);
  else pick_blocked(t, g, groups);

  /* Pixel blocks that keep one x block and ob y blocks in L1. */
  int64_t block =
      max64(16, c->conv_block_bytes / (4 * (g->fx.ib * g->step[0] * g->step[1] + g->lanes * g->ob)));
  if (s->oh * s->ow <= block) g->images = max64(1, min64(s->n, block / (s->oh * s->ow)));
  g->band = max64(1, min64(s->oh, block / s->ow));
  g->nband = div_up(s->oh, g->band);
  g->nblock = div_up(s->n, g->images) * g->nband;
  g->nsplit = min64(g->nsplit, g->nblock);
  g->per_split = div_up(g->nblock, g->nsplit);
  g->nsplit = div_up(g->nblock, g->per_split);
  g->fx.rows = (g->band - 1) * g->step[0] + (s->kh - 1) * s->dilation[0] + 1;
  g->fx.cols = (s->ow - 1) * g->step[1] + (s->kw - 1) * s->dilation[1] + 1;
  if (g->fx.in_place) g->fx.rows = s->h, g->fx.cols = s->w;
  if (!s->yblock || s->ybf16) g->fy.rows = g->band, g->fy.cols = s->ow;
}

/* ---- Winograd ---- */
enum { PLANE_PAD = 16 }; /* floats: power-of-two plane distances would share cache sets */

/* By form: points; source pixels a tile needs, their distance from tile to tile, produced pixels, each for
   the forward pass and for the input gradient. */
static const struct {
  int points, patch[2], source_tile[2], out_tile[2];
  bool whole; /* an image is one tile, its border not part of the patch */
} wino_forms[] = {[WINO_4X3] = {6, {6, 6}, {4, 4}, {4, 4}, false},
                  [WINO_STRIDE2] = {9, {9, 5}, {8, 4}, {4, 8}, false},
                  [WINO_2X2] = {3, {2, 2}, {2, 2}, {2, 2}, true},
                  [WINO_STRIDE2_4X4] = {5, {4, 2}, {4, 2}, {2, 4}, true}};

static WinoForm wino_form(const ConvSpec *s) {
  bool two = s->stride[0] == 2;
  int64_t whole = two ? 4 : 2;
  if (s->pad[0] == 1 && s->h == whole && s->w == whole) return two ? WINO_STRIDE2_4X4 : WINO_2X2;
  return two ? WINO_STRIDE2 : WINO_4X3;
}

bool conv_wino_fits(const ConvSpec *s, const Target *t) {
  int64_t st = s->stride[0], pad = s->pad[0];
  if (s->kh != 3 || s->kw != 3 || s->stride[1] != st || s->pad[1] != pad) return false;
  if (s->groups > 1 || s->dilation[0] > 1 || s->dilation[1] > 1) return false;
  if (!conv_pad_even(s, 0) || !conv_pad_even(s, 1)) return false;
  if (!(st == 1 && pad <= 2) && !(st == 2 && pad == 1)) return false;
  int L = target_lanes(t);
  if (s->xblock != L || s->yblock != L) return false;
  if (s->algo == CONV_WINOGRAD) return true;
  bool dx = s->kind == CONV_DX;
  WinoForm form = wino_form(s);
  int tile = wino_forms[form].out_tile[dx];
  int64_t h = dx ? s->h : s->oh, w = dx ? s->w : s->ow, th = div_up(h, tile), tw = div_up(w, tile);
  double waste = (double)(th * tw * tile * tile) / (double)(h * w);
  /* The 81 planes of a strided weight gradient pay only where they are written once. */
  if (s->kind == CONV_DW && form == WINO_STRIDE2 &&
      (s->c < 4 * L || s->n * th * tw * (s->c + s->k) >= 2 * s->c * s->k))
    return false;
  const CostModel *c = t->cost;
  int64_t least = st == 1 ? c->wino_channels : max64(c->wino_channels, 2 * L);
  return waste < c->wino_waste[st - 1] && s->n * th * tw >= c->wino_tiles && s->c >= least && s->k >= least;
}

static void wino_gather_blocks(const Target *t, const ConvSpec *s, ConvWino *g) {
  const CostModel *c = t->cost;
  int L = g->lanes;
  int64_t images = s->images;
  g->stationary = g->planes * g->cin * g->cout * 4 > t->l2 && g->tiles <= 2 * g->cout;
  int64_t tiles = images ? images * g->th * g->tw : g->tiles; /* to be cut into blocks */
  int64_t fit = t->l2 / 2 / (g->planes * 4 * g->cin);         /* tiles whose V leaves room in L2 */
  int64_t want = images ? tiles : max64(c->wino_block_least, tiles / t->cost->conv_chunks);
  want = min64(want, max64(c->wino_block_near, min64(fit, c->wino_block_products / g->planes)));
  if (g->stationary) want = div_up(g->tiles, div_up(g->tiles, c->wino_stationary));
  if (!g->stationary) want = min64(choice_block(s->choice, want), tiles);
  Ranking best = {0};
  for (int ob = 1; ob <= 4 && ob <= g->ocb; ob++)
    for (int rb = 1; tile_fits(t, rb, ob); rb++) {
      if (g->stationary && g->ocb % ob) continue;
      int64_t block = div_up(want, rb) * rb;
      double cost = tile_cycles(t->cost, rb, ob) / (rb * ob) * (double)div_up(g->ocb, ob) * ob *
                    div_up(tiles, block) * block;
      rank_add(&best, cost, rb, ob, block);
    }
  const int64_t *tile = rank_tile(&best, g->stationary ? 0 : s->choice);
  g->rb = (int)tile[0], g->ob = (int)tile[1], g->block = tile[2];
  g->in_place = g->icb == 1 && g->ocb == 1 && !g->stationary;
  if (g->in_place) g->block = g->rb = (int)min64(g->rb, c->wino_in_place_tiles);
  int64_t share = g->in_place ? div_up(tiles, c->wino_in_place_chunks) : 1; /* of tiles, a chunk's at least */
  g->span = images ? tiles : div_up(share, g->block) * g->block;
  g->nblock = div_up(g->tiles, g->block);
  g->mplane = g->ob * g->block * L + PLANE_PAD;
  g->uplane = g->stationary ? g->ob * g->cin * L + PLANE_PAD : g->cin * g->cout;
}

static void wino_wgrad_blocks(const Target *t, int64_t choice, ConvWino *g) {
  const CostModel *m = t->cost;
  int L = g->lanes;
  int64_t products = g->tiles * (g->cin + g->cout), weights = g->cin * g->cout;
  g->stationary = products < m->wino_dw_products * weights;
  g->cgroup = g->icb, g->kgroup = g->ocb;
  double best = 1e300;
  for (int64_t c = 1; c <= g->icb && g->stationary; c++)
    for (int64_t k = 1; k <= g->ocb; k++) {
      if (g->icb % c || g->ocb % k || g->planes * c * k * L * L * 4 > t->l2 * 5 / 4 ||
          (g->icb / c) * (g->ocb / k) < min64(t->cost->conv_chunks, g->icb))
        continue;
      double reads = (double)g->cin * g->ocb / k + (double)g->cout * g->icb / c + (k % 2 ? 1e6 : 0);
      if (reads < best) best = reads, g->cgroup = c, g->kgroup = k;
    }
  Ranking tiles = {0};
  for (int ob = 1; ob <= 4; ob++)
    for (int rb = 1; rb <= L; rb++)
      if (L % rb == 0 && g->kgroup % ob == 0 && tile_fits(t, rb, ob))
        rank_add(&tiles, tile_cycles(t->cost, rb, ob) / (rb * ob), rb, ob, 0);
  const int64_t *tile = rank_tile(&tiles, choice);
  g->rb = (int)tile[0], g->ob = (int)tile[1];
  int64_t fit = t->l2 * 5 / 8 / (g->planes * 4 * (g->cin + g->cout)),
          want = max64(m->wino_dw_least, min64(m->wino_dw_most, fit));
  if (g->stationary) want = m->wino_stationary;
  want = div_up(g->tiles, div_up(g->tiles, want));
  g->block = div_up(want, 4) * 4;
  g->nblock = div_up(g->tiles, g->block);
  g->mplane = g->ocb * g->block * L + PLANE_PAD;
  g->uplane = g->cgroup * g->kgroup * L * L + (g->stationary ? PLANE_PAD : 0);
  g->nsplit =
      g->stationary
          ? 1
          : max64(1, min64(min64(m->conv_chunks / 2, g->nblock), products / (m->wino_dw_split * weights)));
  g->per_split = div_up(g->nblock, g->nsplit);
  g->nsplit = div_up(g->nblock, g->per_split);
}

void conv_wino(const ConvSpec *s, const Target *t, ConvWino *g) {
  bool dx = s->kind == CONV_DX;
  WinoForm form = wino_form(s);
  int L = target_lanes(t);
  *g = (ConvWino){.form = form, .lanes = L, .n = s->n, .cin = dx ? s->k : s->c, .cout = dx ? s->c : s->k};
  g->points = wino_forms[form].points, g->planes = g->points * g->points;
  g->patch = wino_forms[form].patch[dx], g->source_tile = wino_forms[form].source_tile[dx],
  g->out_tile = wino_forms[form].out_tile[dx];
  g->icb = g->cin / L, g->ocb = g->cout / L;
  g->source16 = dx ? s->ybf16 : s->xbf16, g->gradient16 = s->ybf16;
  g->result16 = s->kind != CONV_DW && (dx ? s->xbf16 : s->ybf16);
  g->h = dx ? s->oh : s->h, g->w = dx ? s->ow : s->w, g->oh = dx ? s->h : s->oh, g->ow = dx ? s->w : s->ow;
  g->pad = wino_forms[form].whole ? 0 : !dx ? s->pad[0] : form == WINO_STRIDE2 ? 0 : 2 - s->pad[0];
  g->th = div_up(g->oh, g->out_tile), g->tw = div_up(g->ow, g->out_tile), g->tiles = s->n * g->th * g->tw;
  if (s->kind == CONV_DW) wino_wgrad_blocks(t, s->choice, g);
  else wino_gather_blocks(t, s, g);
  g->vgroup = s->kind == CONV_DW ? g->block : g->rb;
  g->vplane = g->icb * g->block * L + PLANE_PAD; /* in place the same as mplane */
  g->fill_group = max64(1, min64(g->icb, t->cost->wino_stationary / g->block));
  g->work = 2 * g->planes * L;
}

/* ---- plans ---- */
static void plan_gather(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvGather g;
  conv_gather(s, t, &g);
  ContractionOperand source = s->kind == CONV_DX ? CO_Y : CO_X, result = s->kind == CONV_DX ? CO_X : CO_Y;
  int64_t panel = g.source * s->kh * s->kw * g.lanes * 4;
  p->tmp_bytes[0] = g.ocb * panel;
  bool whole = g.nkgroup == 1 && (g.nband == 1 || s->images) && s->n % g.group == 0;
  p->nstep = 2;
  p->step[0] = (ContractionStep){.name = "pack",
                                 .nin = 1,
                                 .nout = 1,
                                 .in = {CO_W},
                                 .out = {CO_TMP0},
                                 .nchunk = g.ocb,
                                 .scratch = g.lanes * g.lanes * 4};
  p->step[1] = (ContractionStep){.name = "main",
                                 .nin = 2,
                                 .nout = 1,
                                 .in = {source, CO_TMP0},
                                 .out = {result},
                                 .nchunk = g.ngroup * g.nband * g.nkgroup / g.units,
                                 .images = whole ? g.group * g.units / g.nband : 0,
                                 .scratch = g.group * ((g.fill.in_place ? 0 : g.image) + g.out_scratch) * 4,
                                 .flops = conv_flops(s)};
}

static void plan_wgrad(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvWgrad g;
  conv_wgrad(s, t, &g);
  p->tmp_bytes[0] = (g.acc * g.nsplit + g.lanes * g.lanes) * 4;
  p->nstep = 2;
  int64_t x = g.fx.in_place ? 0 : g.cgroup * g.images * g.fx.rows * g.fx.cols * g.fx.ib,
          y = g.kgroup * g.images * g.fy.rows * g.fy.cols * g.lanes;
  if (g.group_of.lanes) { /* one block of y at a time, and zeros for rows outside */
    y /= g.kgroup;
    x += g.fx.cols * g.lanes;
  }
  p->step[0] = (ContractionStep){.name = "main",
                                 .nin = 2,
                                 .nout = 1,
                                 .in = {CO_X, CO_Y},
                                 .out = {CO_TMP0},
                                 .nchunk = g.nsplit * g.ncgroup * g.nkgroup,
                                 .scratch = (x + y + 32) * 4,
                                 .flops = conv_flops(s)};
  p->step[1] = (ContractionStep){.name = "sum",
                                 .nin = 1,
                                 .nout = 1,
                                 .in = {CO_TMP0},
                                 .out = {CO_W},
                                 .nchunk = g.ocb,
                                 .scratch = g.lanes * g.lanes * 4};
}

static void plan_wino(const ConvSpec *s, const Target *t, ContractionPlan *p) {
  ConvWino g;
  conv_wino(s, t, &g);
  int64_t L = g.lanes, patch = g.work, pairs = g.ocb * g.icb, fill_x = g.nblock * div_up(g.icb, g.fill_group),
          fill_y = g.nblock * div_up(g.ocb, g.fill_group), v = g.planes * g.vplane, mm = g.planes * g.mplane,
          u = g.planes * g.uplane;
  bool dw = s->kind == CONV_DW;
  ContractionOperand source = s->kind == CONV_DX ? CO_Y : CO_X, result = s->kind == CONV_DX ? CO_X : CO_Y;
  p->nstep = 2;
  p->step[0] = (ContractionStep){.name = g.stationary ? "in" : dw ? "main" : "wtr"};
  p->step[1] = (ContractionStep){.name = dw && !g.stationary ? "sum" : "main"};
  ContractionStep *a = &p->step[0], *b = &p->step[1];
  if (g.stationary) {
    p->tmp_bytes[0] = g.nblock * v * 4;
    p->tmp_bytes[1] = dw ? g.nblock * mm * 4 : 0;
    a->nin = 1 + dw, a->nout = 1 + dw, a->nchunk = fill_x + (dw ? fill_y : 0), a->scratch = patch * 4;
    a->in[0] = source, a->in[1] = CO_Y, a->out[0] = CO_TMP0, a->out[1] = CO_TMP1;
    b->nin = dw ? 2 : 3, b->nout = 1, b->flops = conv_flops(s);
    b->in[0] = CO_TMP0, b->in[1] = dw ? CO_TMP1 : CO_W, b->out[0] = dw ? CO_W : result;
    b->in[2] = source; /* read where a tile has to be computed again */
    b->nchunk = dw ? (g.icb / g.cgroup) * (g.ocb / g.kgroup) : g.ocb / g.ob;
    b->scratch = (u + (dw ? 9 * L * L : mm) + patch) * 4;
  } else if (dw) {
    p->tmp_bytes[0] = u * g.nsplit * 4;
    *a = (ContractionStep){.name = a->name,
                           .nin = 2,
                           .nout = 1,
                           .in = {CO_X, CO_Y},
                           .out = {CO_TMP0},
                           .nchunk = g.nsplit,
                           .scratch = (v + mm + max64(patch, 9 * L)) * 4,
                           .flops = conv_flops(s)};
    *b = (ContractionStep){.name = b->name,
                           .nin = 1,
                           .nout = 1,
                           .in = {CO_TMP0},
                           .out = {CO_W},
                           .nchunk = pairs,
                           .scratch = (9 * L * L + patch) * 4};
  } else {
    p->tmp_bytes[0] = u * 4;
    *a = (ContractionStep){.name = a->name,
                           .nin = 1,
                           .nout = 1,
                           .in = {CO_W},
                           .out = {CO_TMP0},
                           .nchunk = pairs,
                           .scratch = patch * 4};
    *b = (ContractionStep){.name = b->name,
                           .nin = 3,
                           .nout = 1,
                           .in = {source, CO_TMP0, CO_W},
                           .out = {result},
                           .nchunk = div_up(g.tiles, g.span),
                           .images = g.span % (g.th * g.tw) || g.tiles % g.span ? 0 : g.span / (g.th * g.tw),
                           .scratch = (v + mm + max64(patch, 9 * L)) * 4,
                           .flops = conv_flops(s)};
  }
}

bool conv_can_chunk_images(const ConvSpec *s, const Target *t) {
  if (s->kind == CONV_DW || (s->images && s->n % s->images)) return false;
  if (!conv_not_on_tiles(s, t)) return true;
  if (s->algo == CONV_DIRECT || !conv_wino_fits(s, t)) return true;
  ConvWino g;
  conv_wino(s, t, &g);
  return !g.stationary;
}

ConvSpec conv_resolve(const ConvSpec *spec, const Target *t) {
  ConvSpec s = *spec;
  if (s.images && !conv_can_chunk_images(spec, t)) s.images = 0;
  s.algo = !conv_not_on_tiles(spec, t)                        ? CONV_TILES
           : s.algo != CONV_DIRECT && conv_wino_fits(spec, t) ? CONV_WINOGRAD
                                                              : CONV_DIRECT;
  return s;
}

ContractionPlan conv_plan(const ConvSpec *spec, const Target *t) {
  ConvSpec s = conv_resolve(spec, t);
  ContractionPlan p = {.tmp = DT_F32};
  (s.algo == CONV_TILES      ? conv_tiles_plan
   : s.algo == CONV_WINOGRAD ? plan_wino
   : s.kind == CONV_DW       ? plan_wgrad
                             : plan_gather)(&s, t, &p);
  return p;
}

/* ---- schedules of equal bits ---- */
/* The direct weight gradient has none: its tile decides where partial sums end. */
void conv_decide(const void *spec, const Target *t, int64_t choice, int64_t v[CHOICE_NUMBERS]) {
  ConvSpec s = *(const ConvSpec *)spec;
  s.choice = choice;
  ConvAlgo algo = conv_resolve(&s, t).algo;
  if (algo == CONV_TILES) return; /* one schedule */
  if (algo == CONV_WINOGRAD) {
    ConvWino g;
    conv_wino(&s, t, &g);
    v[0] = g.rb, v[1] = g.ob, v[2] = g.block;
  } else if (s.kind != CONV_DW) {
    ConvGather g;
    conv_gather(&s, t, &g);
    for (int i = 0, n = 0; i < CONV_PHASES * CONV_PHASES; i++) {
      const ConvTile *x = &g.tile[i / CONV_PHASES][i % CONV_PHASES];
      v[n++] = x->ph, v[n++] = x->pw, v[n++] = x->ob;
    }
  }
}
