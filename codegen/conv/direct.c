/* Direct convolution kernels. Forward and input gradient are one gather kernel: a chunk copies its images (or
   a band of one) into zero-padded channel-blocked scratch, then register tiles of ph x pw pixels by ob
   channel vectors run over channels and taps with broadcast multiply-adds. A strided input gradient is one
   such kernel per residue of the stride, each with its own taps. The weight gradient keeps tiles of channels
   by channel vectors in registers over the pixels of an L1-sized block. (Georganas et al., Anatomy of
   High-Performance Deep Learning Convolutions on SIMD Architectures, 2018.) */
#include "codegen/conv/conv.h"

enum {
  UNROLL = 320, /* multiply-adds in a loop body, about */
  VISIT = 256   /* ... between two fetches of what comes next, at least */
};

static int divisor_up_to(int64_t n, int64_t max) {
  for (int64_t d = max < n ? max : n; d > 1; d--)
    if (n % d == 0) return (int)d;
  return 1;
}

/* ---- forward and input gradient ---- */
typedef struct {
  const ConvSpec *s;
  ConvGather g;
  LLVMValueRef src, weights, dst, image0, nimage, row0, kb0, nkb;
  bool out16;     /* dst holds bf16; the result that scratch is unpacked to may as well */
  int64_t wblock; /* floats of packed weights a produced channel block */
  int64_t dpitch, dblock,
      dimage; /* produced tensor (or its scratch): floats a row, a channel block, an image */
} Gather;

/* The reduction of one tile: source at `in`, weights at `w`; accumulators in registers. */
static void gather_reduce(EmitModule *m, const Gather *z, const ConvPhase *ph, const ConvPhase *pw,
                          ConvTile t, LLVMValueRef in, LLVMValueRef w, LLVMValueRef *acc) {
  const ConvGather *g = &z->g;
  const ConvFill *f = &g->fill;
  int na = t.ph * t.pw, n = na * t.ob, L = m->vl;
  int64_t pitch = fill_row(f), col = fill_pixel(f), chan = fill_channel(f), kernel = z->s->kh * z->s->kw,
          pixel[TILE_MAX];
  for (int i = 0; i < na; i++)
    pixel[i] = (i / t.pw) * g->source_step[0] * pitch + (i % t.pw) * g->source_step[1] * col;
  /* Taps of neighbouring pixels read the same source values; in one block the selector would keep those
     broadcasts in registers it does not have. So taps are loops around channels, which share nothing. */
  bool lone = ph->ntap * pw->ntap == 1;
  int unroll = divisor_up_to(f->ib, max64(1, UNROLL / (lone ? n : 2 * n)));

  TileLoop lb, lc, lr, ls;
  LLVMValueRef cb = tile_loop(m, &lb, em_i64(m, g->rcb), 1);
  tile_carry(m, &lb, acc, n);
  LLVMValueRef inb = tile_at(m, in, em_imulc(m, cb, f->rows * f->cols * f->ib)),
               wb = tile_at(m, w, em_imulc(m, cb, f->ib * kernel * L));
  inb = tile_atc(m, inb, (ph->off - f->lo[0]) * pitch + (pw->off - f->lo[1]) * col);
  wb = tile_atc(m, wb, (ph->wfirst * z->s->kw + pw->wfirst) * f->ib * L);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, ph->ntap), 1);
  tile_carry(m, &lr, acc, n);
  LLVMValueRef inr = tile_at(m, inb, em_imulc(m, r, ph->offstep * pitch));
  LLVMValueRef wr = tile_at(m, wb, em_imulc(m, r, ph->wstep * z->s->kw * f->ib * L));
  LLVMValueRef s = tile_loop(m, &ls, em_i64(m, pw->ntap), 1);
  tile_carry(m, &ls, acc, n);
  LLVMValueRef inc = tile_at(m, inr, em_imulc(m, s, pw->offstep * col)),
               wc = tile_at(m, wr, em_imulc(m, s, pw->wstep * f->ib * L));
  LLVMValueRef c = tile_loop(m, &lc, em_i64(m, f->ib), unroll);
  tile_carry(m, &lc, acc, n);
  LLVMValueRef ins = tile_at(m, inc, em_imulc(m, c, chan)), ws = tile_at(m, wc, em_imulc(m, c, L));
  for (int u = 0; u < unroll; u++) {
    int64_t off[TILE_MAX];
    for (int k = 0; k < na; k++) off[k] = pixel[k] + u * chan;
    tile_fma(m, acc, ins, off, na, ws, u * L, z->wblock, t.ob);
  }
  tile_end(m, &lc, acc, n);
  tile_end(m, &ls, acc, n);
  tile_end(m, &lr, acc, n);
  tile_end(m, &lb, acc, n);
}

static void gather_phase(EmitModule *m, const Gather *z, int a, int b) {
  const ConvGather *g = &z->g;
  const ConvPhase *ph = &g->phase[0][a], *pw = &g->phase[1][b];
  ConvTile t = g->tile[a][b];
  int n = t.ph * t.pw * t.ob, L = m->vl;
  int64_t pitch = fill_row(&g->fill);
  LLVMValueRef left = em_isub(m, em_i64(m, ph->count), z->row0);
  LLVMValueRef rows = g->nband == 1 ? em_i64(m, ph->count) : em_imin(m, left, em_i64(m, g->band));
  TileLoop lk, li, lp, lq;
  /* The last tile of each dimension moves back to end at the edge: it repeats a few results instead of
     needing other code. */
  LLVMValueRef kb = tile_loop(m, &lk, z->nkb, t.ob);
  kb = em_imin(m, kb, em_iaddc(m, z->nkb, -t.ob));
  LLVMValueRef w = tile_at(m, z->weights, em_imulc(m, em_iadd(m, z->kb0, kb), z->wblock));
  LLVMValueRef i = tile_loop(m, &li, z->nimage, 1);
  LLVMValueRef p = tile_loop(m, &lp, rows, t.ph);
  p = em_imin(m, p, em_iaddc(m, rows, -t.ph));
  LLVMValueRef q = tile_loop(m, &lq, em_i64(m, pw->count), t.pw);
  q = em_imin(m, q, em_i64(m, pw->count - t.pw));

  LLVMValueRef acc[TILE_MAX];
  for (int k = 0; k < n; k++) acc[k] = LLVMConstNull(m->vf32);
  if (ph->ntap && pw->ntap) {
    LLVMValueRef at = em_iadd(m, em_imulc(m, p, g->source_step[0] * pitch),
                              em_imulc(m, q, g->source_step[1] * fill_pixel(&g->fill)));
    LLVMValueRef in = tile_at(m, tile_at(m, z->src, em_imulc(m, i, g->image)), at);
    if (z->s->groups > 1) { /* the blocks of its group */
      LLVMValueRef group = em_idivc(m, em_iadd(m, z->kb0, kb), g->group_of.out / L);
      in = tile_at(m, in, em_imulc(m, group, g->rcb * g->fill.rows * g->fill.cols * g->fill.ib));
    }
    gather_reduce(m, z, ph, pw, t, in, w, acc);
  }
  LLVMValueRef out = tile_tat(m, z->out16, z->dst, em_imulc(m, i, z->dimage));
  if (g->oblock) p = em_iadd(m, p, z->row0);
  out = tile_tat(m, z->out16, out, em_imulc(m, g->oblock ? em_iadd(m, z->kb0, kb) : kb, z->dblock));
  out = tile_tat(m, z->out16, out, em_imulc(m, p, ph->step * z->dpitch));
  out = tile_tat(m, z->out16, out, em_imulc(m, q, pw->step * L));
  out = tile_tat(m, z->out16, out, em_i64(m, ph->start * z->dpitch + pw->start * L));
  for (int k = 0; k < n; k++) {
    int64_t px = k / t.ob;
    int64_t to = (px / t.pw) * ph->step * z->dpitch + (px % t.pw) * pw->step * L + (k % t.ob) * z->dblock;
    tile_tstore(m, z->out16, acc[k], tile_tat(m, z->out16, out, em_i64(m, to)));
  }
  tile_end(m, &lq, NULL, 0);
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &li, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

void conv_unpack(EmitModule *m, const ConvGather *g, LLVMValueRef scratch, LLVMValueRef nimage,
                 LLVMValueRef image0, LLVMValueRef row0, LLVMValueRef kb0, LLVMValueRef nkb,
                 LLVMValueRef result, bool bf16) {
  int L = m->vl;
  int64_t step = g->phase[0][0].step, rows = g->band * step;
  LLVMValueRef first = em_imulc(m, row0, step);
  LLVMValueRef nrow = em_imin(m, em_i64(m, rows), em_isub(m, em_i64(m, g->oh), first));
  LLVMValueRef k0 = em_imulc(m, kb0, L);
  LLVMValueRef nk = em_imin(m, em_imulc(m, nkb, L), em_isub(m, em_i64(m, g->cout), k0));
  TileLoop li, lk, lr, lq;
  LLVMValueRef i = tile_loop(m, &li, nimage, 1);
  LLVMValueRef k = tile_loop(m, &lk, nk, 1);
  LLVMValueRef src = tile_at(m, tile_at(m, scratch, em_imulc(m, i, g->out_scratch)),
                             em_imulc(m, em_idivc(m, k, L), rows * g->ow * L));
  src = tile_at(m, src, em_imodc(m, k, L));
  LLVMValueRef dst = tile_tat(m, bf16, result, em_imulc(m, em_iadd(m, image0, i), g->cout * g->oh * g->ow));
  dst = tile_tat(m, bf16, dst, em_imulc(m, em_iadd(m, k0, k), g->oh * g->ow));
  LLVMValueRef r = tile_loop(m, &lr, nrow, 1);
  LLVMValueRef from = tile_at(m, src, em_imulc(m, r, g->ow * L)),
               to = tile_tat(m, bf16, dst, em_imulc(m, em_iadd(m, first, r), g->ow));
  LLVMValueRef q = tile_loop(m, &lq, em_i64(m, g->ow), 1);
  tile_tstore(m, bf16, em_load(m, m->f32, tile_at(m, from, em_imulc(m, q, L)), 4), tile_tat(m, bf16, to, q));
  tile_end(m, &lq, NULL, 0);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lk, NULL, 0);
  tile_end(m, &li, NULL, 0);
}

void conv_emit_gather(EmitModule *m, const ConvSpec *s) {
  Gather z = {.s = s};
  ConvGather *g = &z.g;
  conv_gather(s, m->target, g);
  const ConvFill *f = &g->fill;
  bool out16 = s->kind == CONV_DX ? s->xbf16 : s->ybf16;
  LLVMValueRef src = em_operand(m, 0), result;
  z.weights = em_operand(m, 1), result = em_operand(m, 2);
  z.wblock = g->source * s->kh * s->kw * m->vl;
  TileLoop lu, l;
  LLVMValueRef unit = tile_loop(m, &lu, em_i64(m, g->units), 1);
  unit = em_iadd(m, em_imulc(m, m->chunk, g->units), unit);
  LLVMValueRef kg = em_imodc(m, unit, g->nkgroup), rest = em_idivc(m, unit, g->nkgroup);
  LLVMValueRef band = em_imodc(m, rest, g->nband), group = em_idivc(m, rest, g->nband);
  z.kb0 = em_imulc(m, kg, g->kgroup), z.row0 = em_imulc(m, band, g->band),
  z.image0 = em_imulc(m, group, g->group);
  int64_t n = s->n;
  z.nkb = em_imin(m, em_isub(m, em_i64(m, g->ocb), z.kb0), em_i64(m, g->kgroup));
  if (g->nkgroup == 1) z.kb0 = em_i64(m, 0), z.nkb = em_i64(m, g->ocb);
  if (g->nband == 1) z.row0 = em_i64(m, 0);
  z.nimage = n % g->group ? em_imin(m, em_isub(m, em_i64(m, n), z.image0), em_i64(m, g->group))
                          : em_i64(m, g->group);
  if (g->oblock) {
    z.dpitch = g->ow * m->vl, z.dblock = g->oh * z.dpitch, z.dimage = g->ocb * z.dblock;
    z.out16 = out16;
    z.dst = tile_tat(m, out16, result, em_imulc(m, z.image0, z.dimage));
  } else {
    z.dpitch = g->ow * m->vl, z.dblock = g->band * g->phase[0][0].step * z.dpitch, z.dimage = g->out_scratch;
    z.dst = tile_atc(m, m->scratch, f->in_place ? 0 : g->group * g->image);
  }
  src = tile_tat(m, f->bf16, src, em_imulc(m, z.image0, f->c * f->h * f->w));
  z.src = f->in_place ? tile_at(m, src, em_imulc(m, z.row0, g->source_step[0] * fill_row(f))) : m->scratch;
  if (!f->in_place) {
    LLVMValueRef i = tile_loop(m, &l, z.nimage, 1);
    LLVMValueRef top = em_iaddc(m, em_imulc(m, z.row0, g->source_step[0]), f->lo[0]);
    conv_fill(m, f, tile_tat(m, f->bf16, src, em_imulc(m, i, f->c * f->h * f->w)), em_i64(m, 0),
              em_i64(m, f->icb), top, tile_at(m, m->scratch, em_imulc(m, i, g->image)));
    tile_end(m, &l, NULL, 0);
  }
  for (int a = 0; a < g->nphase[0]; a++)
    for (int b = 0; b < g->nphase[1]; b++) gather_phase(m, &z, a, b);
  if (!g->oblock) conv_unpack(m, g, z.dst, z.nimage, z.image0, z.row0, z.kb0, z.nkb, result, out16);
  tile_end(m, &lu, NULL, 0);
}

/* ---- weight gradient ---- */
/* What the next pixel block reads of a channel-blocked tensor, a line at a time: images, channel blocks, rows
   of each, pixels of a row. */
typedef struct {
  LLVMValueRef base; /* NULL: nothing */
  int64_t images, blocks, rows, pixels;
  int64_t image, block, row, pixel; /* floats from one to the next */
} Ahead;

typedef struct {
  const ConvSpec *s;
  ConvWgrad g;
  Ahead ahead[2];    /* x, y */
  LLVMValueRef tile; /* register tiles of this pixel block so far */
  int64_t tiles;     /* in all */
  LLVMValueRef x, y,
      acc; /* scratch, first pixel's vector of block 0, accumulators of the chunk's first blocks */
  LLVMValueRef images, rows, ncb; /* of this pixel block */
  int64_t ximage, ypitch, yblock, yimage;
} Wgrad;

static void fetch_share(EmitModule *m, const Ahead *a, LLVMValueRef visit, int64_t visits) {
  int64_t rows = a->images * a->blocks * a->rows, parts = max64(1, visits / rows),
          each = div_up(rows, visits), pixels = div_up(a->pixels, parts);
  for (int64_t u = 0; u < each; u++) {
    LLVMValueRef part = em_imodc(m, visit, parts), row = em_idivc(m, visit, parts);
    row = em_imin(m, em_iaddc(m, em_imulc(m, row, each), u), em_i64(m, rows - 1));
    LLVMValueRef block = em_idivc(m, row, a->rows);
    LLVMValueRef at = em_imulc(m, em_idivc(m, block, a->blocks), a->image);
    at = em_iadd(m, at, em_imulc(m, em_imodc(m, block, a->blocks), a->block));
    at = em_iadd(m, at, em_imulc(m, em_imodc(m, row, a->rows), a->row));
    at = tile_at(m, a->base, em_iadd(m, at, em_imulc(m, part, pixels * a->pixel)));
    for (int64_t i = 0; i < pixels; i++) em_prefetch(m, tile_atc(m, at, i * a->pixel), false, 2);
  }
}

/* Fetches the share of visit `visit` of `visits`. */
static void fetch_ahead(EmitModule *m, const Ahead ahead[2], LLVMValueRef visit, int64_t visits) {
  for (int i = 0; i < 2; i++)
    if (ahead[i].base) fetch_share(m, &ahead[i], visit, visits);
}

/* One register tile over the pixels of the block: entries at constant offsets of x and of the accumulators. */
static void wgrad_tile(EmitModule *m, const Wgrad *z, LLVMValueRef x, const int64_t *xoff, LLVMValueRef y,
                       LLVMValueRef acc, const int64_t *accoff, int rb, int ob) {
  const ConvWgrad *g = &z->g;
  const ConvSpec *s = z->s;
  int n = rb * ob, L = m->vl;
  int64_t panel = g->acc / g->ocb, pitch = fill_row(&g->fx), col = fill_pixel(&g->fx);
  int unroll = divisor_up_to(s->ow, max64(1, min64(8, UNROLL / n)));
  LLVMValueRef a[TILE_MAX];
  for (int k = 0; k < n; k++) a[k] = tile_vload(m, tile_atc(m, acc, accoff[k / ob] + (k % ob) * panel));
  TileLoop li, lp, lq;
  LLVMValueRef i = tile_loop(m, &li, z->images, 1);
  tile_carry(m, &li, a, n);
  LLVMValueRef xi = tile_at(m, x, em_imulc(m, i, z->ximage)), yi = tile_at(m, y, em_imulc(m, i, z->yimage));
  bool by_rows = s->ow * n >= VISIT;
  LLVMValueRef image = em_iadd(m, em_imulc(m, z->tile, g->images), i);
  if (!by_rows) fetch_ahead(m, z->ahead, image, z->tiles * g->images);
  LLVMValueRef p = tile_loop(m, &lp, z->rows, 1);
  tile_carry(m, &lp, a, n);
  if (by_rows)
    fetch_ahead(m, z->ahead, em_iadd(m, em_imulc(m, image, g->band), p), z->tiles * g->images * g->band);
  LLVMValueRef xp = tile_at(m, xi, em_imulc(m, p, g->step[0] * pitch)),
               yp = tile_at(m, yi, em_imulc(m, p, z->ypitch));
  LLVMValueRef q = tile_loop(m, &lq, em_i64(m, s->ow), unroll);
  tile_carry(m, &lq, a, n);
  LLVMValueRef xq = tile_at(m, xp, em_imulc(m, q, g->step[1] * col)), yq = tile_at(m, yp, em_imulc(m, q, L));
  for (int u = 0; u < unroll; u++) {
    int64_t off[TILE_MAX];
    for (int k = 0; k < rb; k++) off[k] = xoff[k] + u * g->step[1] * col;
    tile_fma(m, a, xq, off, rb, yq, u * L, z->yblock, ob);
  }
  tile_end(m, &lq, a, n);
  tile_end(m, &lp, a, n);
  tile_end(m, &li, a, n);
  for (int k = 0; k < n; k++) tile_vstore(m, a[k], tile_atc(m, acc, accoff[k / ob] + (k % ob) * panel));
}

/* Few channels: entries (c, s), or (c, r, s), in groups of rb. */
static void wgrad_flat(EmitModule *m, Wgrad *z, LLVMValueRef group, LLVMValueRef y, LLVMValueRef acc,
                       int ob) {
  const ConvWgrad *g = &z->g;
  const ConvSpec *s = z->s;
  int64_t ib = g->fx.ib, pitch = fill_row(&g->fx), L = m->vl, kh = g->flat_rows ? s->kh : 1,
          entries = ib * s->kw * kh;
  TileLoop l;
  LLVMValueRef r = tile_loop(m, &l, em_i64(m, g->flat_rows ? 1 : s->kh), 1);
  LLVMValueRef x = tile_at(m, z->x, em_imulc(m, r, s->dilation[0] * pitch)),
               to = tile_at(m, acc, em_imulc(m, r, s->kw * L));
  for (int64_t e0 = 0; e0 < entries; e0 += g->rb) {
    int rb = (int)min64(g->rb, entries - e0);
    int64_t xoff[TILE_MAX], accoff[TILE_MAX];
    for (int k = 0; k < rb; k++) {
      int64_t e = e0 + k, c = e % ib, t = e / ib, row = t / s->kw, col = t % s->kw;
      xoff[k] =
          row * s->dilation[0] * pitch + col * s->dilation[1] * fill_pixel(&g->fx) + c * fill_channel(&g->fx);
      accoff[k] = (c * s->kh * s->kw + row * s->kw + col) * L;
    }
    z->tile = em_iaddc(
        m, em_imulc(m, em_iadd(m, em_imulc(m, group, g->flat_rows ? 1 : s->kh), r), div_up(entries, g->rb)),
        e0 / g->rb);
    wgrad_tile(m, z, x, xoff, y, to, accoff, rb, ob);
  }
  tile_end(m, &l, NULL, 0);
}

/* Blocks of x that a tile of y blocks meets. */
static int64_t per_tile(const ConvSpec *s, const ConvWgrad *g) { return s->groups > 1 ? g->gc : g->cgroup; }

static void wgrad_blocked(EmitModule *m, Wgrad *z, LLVMValueRef group, LLVMValueRef y, LLVMValueRef acc,
                          int ob) {
  const ConvWgrad *g = &z->g;
  const ConvSpec *s = z->s;
  int64_t ib = g->fx.ib, pitch = g->fx.cols * ib, L = m->vl, taps = s->kh * s->kw;
  int64_t xoff[TILE_MAX], accoff[TILE_MAX];
  for (int k = 0; k < g->rb; k++) xoff[k] = k, accoff[k] = k * taps * L;
  TileLoop lb, lr, ls, lc;
  LLVMValueRef cb = tile_loop(m, &lb, s->groups > 1 ? em_i64(m, g->gc) : z->ncb, 1);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1);
  LLVMValueRef c = tile_loop(m, &ls, em_i64(m, s->kw), 1);
  LLVMValueRef c0 = tile_loop(m, &lc, em_i64(m, ib), g->rb);
  LLVMValueRef x = tile_at(m, z->x, em_imulc(m, cb, g->fx.rows * pitch));
  if (s->groups > 1) { /* the blocks of its group */
    LLVMValueRef first = em_imulc(m, em_idivc(m, em_imulc(m, group, ob), g->gk), g->gc);
    x = tile_at(m, x, em_imulc(m, first, g->fx.rows * pitch));
  }
  x = tile_at(m, x,
              em_iadd(m, em_imulc(m, r, s->dilation[0] * pitch),
                      em_iadd(m, em_imulc(m, c, s->dilation[1] * ib), c0)));
  LLVMValueRef tap = em_iadd(m, em_imulc(m, r, s->kw), c), ch = em_iadd(m, em_imulc(m, cb, ib), c0);
  LLVMValueRef to = tile_at(m, acc, em_imulc(m, em_iadd(m, em_imulc(m, ch, taps), tap), L));
  LLVMValueRef number =
      em_iadd(m, em_imulc(m, em_iadd(m, em_imulc(m, group, per_tile(s, g)), cb), taps), tap);
  z->tile = em_iadd(m, em_imulc(m, number, ib / g->rb), em_idivc(m, c0, g->rb));
  wgrad_tile(m, z, x, xoff, y, to, accoff, g->rb, ob);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &ls, NULL, 0);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lb, NULL, 0);
}

/* What the block at images from `image` and rows from `p` on reads of x and y. */
static void ahead_of(EmitModule *m, Wgrad *z, LLVMValueRef x, LLVMValueRef y, LLVMValueRef cb0,
                     LLVMValueRef kb0, LLVMValueRef image, LLVMValueRef p) {
  const ConvWgrad *g = &z->g;
  const ConvSpec *s = z->s;
  int64_t L = m->vl, kh = g->flat_rows ? 1 : s->kh;
  int64_t each = g->flat ? kh * div_up(g->fx.ib * s->kw * (g->flat_rows ? s->kh : 1), g->rb)
                         : per_tile(s, g) * s->kh * s->kw * (g->fx.ib / g->rb);
  z->tiles = (g->kgroup / g->ob + g->kgroup % g->ob) * each;
  const ConvFill *f = &g->fx;
  if (f->block && !f->bf16) {
    Ahead *a = &z->ahead[0];
    /* 1x1: only the pixels that are met; else all */
    int64_t down = s->kh > 1 ? 1 : s->stride[0], right = s->kw > 1 ? 1 : s->stride[1];
    *a = (Ahead){.images = g->images,
                 .blocks = g->cgroup,
                 .rows = g->band * s->stride[0] / down,
                 .pixels = s->ow * s->stride[1] / right};
    a->pixel = right * L, a->row = down * s->w * L, a->block = s->h * s->w * L, a->image = f->icb * a->block;
    LLVMValueRef at = em_iadd(m, em_imulc(m, image, a->image), em_imulc(m, cb0, a->block));
    a->base = tile_at(m, x, em_iadd(m, at, em_imulc(m, p, s->stride[0] * s->w * L)));
  }
  if (!g->fy.rows) {
    Ahead *a = &z->ahead[1];
    *a = (Ahead){.images = g->images, .blocks = g->kgroup, .rows = g->band, .pixels = s->ow};
    a->pixel = L, a->row = s->ow * L, a->block = s->oh * a->row, a->image = g->ocb * a->block;
    LLVMValueRef at = em_iadd(m, em_imulc(m, image, a->image), em_imulc(m, kb0, a->block));
    a->base = tile_at(m, y, em_iadd(m, at, em_imulc(m, p, a->row)));
  }
}

void conv_emit_wgrad(EmitModule *m, const ConvSpec *s) {
  Wgrad z = {.s = s};
  ConvWgrad *g = &z.g;
  conv_wgrad(s, m->target, g);
  int L = m->vl;
  int64_t panel = g->acc / g->ocb, cpanel = g->fx.ib * s->kh * s->kw * L;
  LLVMValueRef x = em_operand(m, 0), y = em_operand(m, 1), tmp = em_operand(m, 2);
  LLVMValueRef kg = em_imodc(m, m->chunk, g->nkgroup), rest = em_idivc(m, m->chunk, g->nkgroup);
  LLVMValueRef cg = em_imodc(m, rest, g->ncgroup), split = em_idivc(m, rest, g->ncgroup);
  LLVMValueRef kb0 = em_imulc(m, kg, g->kgroup), cb0 = em_imulc(m, cg, g->cgroup);
  if (s->groups > 1) cb0 = em_imulc(m, em_idivc(m, kb0, g->gk), g->gc);
  LLVMValueRef nkb = em_imin(m, em_isub(m, em_i64(m, g->ocb), kb0), em_i64(m, g->kgroup));
  z.ncb = em_imin(m, em_isub(m, em_i64(m, g->fx.icb), cb0), em_i64(m, g->cgroup));
  if (g->nkgroup == 1) kb0 = em_i64(m, 0), nkb = em_i64(m, g->ocb);
  if (g->ncgroup == 1 && s->groups == 1) cb0 = em_i64(m, 0), z.ncb = em_i64(m, g->fx.icb);
  LLVMValueRef at_x = em_imulc(m, cb0, s->groups == 1 ? cpanel : 0); /* in groups x counts from their first */
  LLVMValueRef first = em_iadd(m, em_imulc(m, kb0, panel), at_x);
  z.acc = tile_at(m, tmp, em_iadd(m, em_imulc(m, split, g->acc), first));
  TileLoop lk, lz, lt, li, lv;
  LLVMValueRef kb = tile_loop(m, &lk, nkb, 1);
  LLVMValueRef j = tile_loop(m, &lz, s->groups > 1 ? em_i64(m, panel) : em_imulc(m, z.ncb, cpanel), L);
  tile_vstore(m, LLVMConstNull(m->vf32), tile_at(m, z.acc, em_iadd(m, em_imulc(m, kb, panel), j)));
  tile_end(m, &lz, NULL, 0);
  tile_end(m, &lk, NULL, 0);

  bool copy = !g->fx.in_place;
  int64_t block = g->fx.rows * g->fx.cols * g->fx.ib;
  z.ximage = (copy ? g->cgroup : g->fx.icb) * block;
  LLVMValueRef ycopy = tile_atc(m, m->scratch, copy ? div_up(g->images * z.ximage, 16) * 16 : 0);
  LLVMValueRef t0 = em_imulc(m, split, g->per_split);
  LLVMValueRef nt = em_imin(m, em_isub(m, em_i64(m, g->nblock), t0), em_i64(m, g->per_split));
  LLVMValueRef t = em_iadd(m, t0, tile_loop(m, &lt, nt, 1));
  LLVMValueRef image0 = em_imulc(m, em_idivc(m, t, g->nband), g->images),
               p0 = em_imulc(m, em_imodc(m, t, g->nband), g->band);
  z.images = s->n % g->images ? em_imin(m, em_isub(m, em_i64(m, s->n), image0), em_i64(m, g->images))
                              : em_i64(m, g->images);
  z.rows =
      s->oh % g->band ? em_imin(m, em_isub(m, em_i64(m, s->oh), p0), em_i64(m, g->band)) : em_i64(m, g->band);
  LLVMValueRef row = em_imulc(m, p0, g->step[0]);
  LLVMValueRef next = em_iaddc(m, t, 1), later = em_imulc(m, em_idivc(m, next, g->nband), g->images),
               below = em_imulc(m, em_imodc(m, next, g->nband), g->band);
  ahead_of(m, &z, x, y, cb0, kb0, later, below);
  z.x = copy ? m->scratch
             : tile_at(m, x,
                       em_iadd(m, em_imulc(m, image0, z.ximage),
                               em_iadd(m, em_imulc(m, cb0, block), em_imulc(m, row, fill_row(&g->fx)))));
  LLVMValueRef i = tile_loop(m, &li, z.images, 1), image = em_iadd(m, image0, i);
  if (copy)
    conv_fill(m, &g->fx, tile_tat(m, s->xbf16, x, em_imulc(m, image, s->c * s->h * s->w)), cb0, z.ncb,
              em_iaddc(m, row, g->fx.lo[0]), tile_at(m, z.x, em_imulc(m, i, z.ximage)));
  if (g->fy.rows) {
    z.ypitch = s->ow * L, z.yblock = g->band * z.ypitch, z.yimage = g->kgroup * z.yblock;
    z.y = ycopy;
    conv_fill(m, &g->fy, tile_tat(m, s->ybf16, y, em_imulc(m, image, s->k * s->oh * s->ow)), kb0, nkb, p0,
              tile_at(m, z.y, em_imulc(m, i, z.yimage)));
  } else {
    z.ypitch = s->ow * L, z.yblock = s->oh * z.ypitch, z.yimage = g->ocb * z.yblock;
  }
  tile_end(m, &li, NULL, 0);
  if (!g->fy.rows)
    z.y = tile_at(m, y,
                  em_iadd(m, em_imulc(m, image0, z.yimage),
                          em_iadd(m, em_imulc(m, kb0, z.yblock), em_imulc(m, p0, z.ypitch))));
  /* Whole groups of ob vectors, then the rest one by one in a loop of their own. */
  LLVMValueRef whole = em_imulc(m, em_idivc(m, nkb, g->ob), g->ob);
  for (int part = 0; part < (g->ob > 1 ? 2 : 1); part++) {
    if (part && g->nkgroup == 1 && g->ocb % g->ob == 0) break;
    if (part && g->ocb % g->ob == 0 && g->kgroup % g->ob == 0) break;
    LLVMValueRef from = part ? whole : em_i64(m, 0),
                 v = tile_loop(m, &lv, em_isub(m, part ? nkb : whole, from), part ? 1 : g->ob);
    v = em_iadd(m, from, v);
    LLVMValueRef yv = tile_at(m, z.y, em_imulc(m, v, z.yblock)),
                 av = tile_at(m, z.acc, em_imulc(m, v, panel));
    LLVMValueRef vgroup = em_idivc(m, v, g->ob);
    if (part) vgroup = em_iadd(m, em_idivc(m, whole, g->ob), em_isub(m, v, whole));
    (g->flat ? wgrad_flat : wgrad_blocked)(m, &z, vgroup, yv, av, part ? 1 : g->ob);
    tile_end(m, &lv, NULL, 0);
  }
  tile_end(m, &lt, NULL, 0);
}
