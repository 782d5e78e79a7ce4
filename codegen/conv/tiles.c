/* Convolutions of bf16 on the processor's tiles (ir/kernel/conv_tiles.c): forward and input gradient. */
#include "codegen/conv/conv.h"

enum { SUM = 0, A = 4, B = 6, STEP = TILE_DEEP * TILE_COLS, CHANNELS = TILE_DEEP };

static LLVMTypeRef vector16(EmitModule *m, int n) { return em_vec(m->i16, n); }

/* ---- weights ---- */
/* w[k][c][tap] of 16 k from k0 on (those past the end zero) to [c][tap][k pitch], c from c0 on, `count` of them. */
static void turn_weights(EmitModule *m, const ConvSpec *s, LLVMValueRef w, LLVMValueRef k0, LLVMValueRef c0,
                         int64_t count, LLVMValueRef to, int64_t pitch) {
  int64_t taps = s->kh * s->kw, run = count * taps, row = s->c * taps;
  TileLoop l;
  LLVMValueRef from = pairs_at(m, w, em_iadd(m, em_imulc(m, k0, row), em_imulc(m, c0, taps)));
  LLVMValueRef left = em_imulc(m, em_isub(m, em_i64(m, s->c), c0), taps);
  LLVMValueRef j = tile_loop(m, &l, em_i64(m, run), TILE_DEEP), v[TILE_ROWS];
  bool whole = s->c % count == 0 && run % TILE_DEEP == 0,
       all = s->k % (s->kind == CONV_DX ? TILE_DEEP : TILE_ROWS) == 0;
  for (int i = 0; i < TILE_ROWS; i++) {
    LLVMValueRef many = em_isub(m, left, j), k = em_iaddc(m, k0, i);
    if (!all) {
      LLVMValueRef inside = LLVMBuildICmp(m->b, LLVMIntSLT, k, em_i64(m, s->k), "");
      many = LLVMBuildSelect(m->b, inside, many, em_i64(m, 0), "");
    }
    LLVMValueRef p = pairs_at(m, from, em_iaddc(m, j, i * row));
    v[i] = whole && all ? pairs_load(m, p, TILE_DEEP, TILE_DEEP) : pairs_load_some(m, p, many, TILE_DEEP);
  }
  pairs_transpose(m, v);
  LLVMValueRef even[TILE_ROWS], odd[TILE_ROWS], zero = LLVMConstNull(vector16(m, TILE_DEEP));
  for (int i = 0; i < TILE_ROWS; i++) even[i] = em_i32(m, 2 * i), odd[i] = em_i32(m, 2 * i + 1);
  for (int i = 0; i < TILE_ROWS; i++)
    for (int k = 0; k < 2; k++) {
      LLVMValueRef x =
          LLVMBuildShuffleVector(m->b, v[i], zero, LLVMConstVector(k ? odd : even, TILE_ROWS), "");
      em_store(m, x, pairs_at(m, to, em_imulc(m, em_iaddc(m, j, 2 * i + k), pitch)), 2);
    }
  tile_end(m, &l, NULL, 0);
}

/* The place among its panel's tiles of tap (r, t) in the phase it belongs to: phases one after the other. */
typedef struct {
  int64_t first, ntap, at; /* tiles before the phase, its taps, this tap's number among them */
} TapPlace;

static TapPlace tap_place(const ConvTiles *c, int64_t r, int64_t t) {
  const ConvGather *g = &c->g;
  TapPlace p = {0};
  for (int a = 0; a < g->nphase[0]; a++)
    for (int b = 0; b < g->nphase[1]; b++) {
      const ConvPhase *h = &g->phase[0][a], *w = &g->phase[1][b];
      int64_t n = h->ntap * w->ntap, i = h->wstep ? (r - h->wfirst) / h->wstep : 0,
              j = w->wstep ? (t - w->wfirst) / w->wstep : 0;
      if (r >= h->wfirst && t >= w->wfirst && i < h->ntap && j < w->ntap && r == h->wfirst + i * h->wstep &&
          t == w->wfirst + j * w->wstep)
        return (TapPlace){p.first, n, i * w->ntap + j};
      p.first += n;
    }
  p.ntap = 0; /* met by no pixel */
  return p;
}

/* tap_place() of all taps, as a table in the code. */
static LLVMValueRef places(EmitModule *m, const ConvSpec *s, const ConvTiles *c) {
  LLVMValueRef field[3 * CONV_TAPS];
  int64_t taps = s->kh * s->kw;
  for (int64_t i = 0; i < taps; i++) {
    TapPlace p = tap_place(c, i / s->kw, i % s->kw);
    field[3 * i] = em_i64(m, p.first), field[3 * i + 1] = em_i64(m, p.ntap),
              field[3 * i + 2] = em_i64(m, p.at);
  }
  LLVMValueRef value = LLVMConstArray2(m->i64, field, (uint64_t)(3 * taps));
  LLVMValueRef g = LLVMAddGlobal(m->mod, LLVMTypeOf(value), "taps");
  LLVMSetInitializer(g, value);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  return g;
}

/* A chunk packs a tile of 16 produced channels. */
static void emit_pack(EmitModule *m, const ConvSpec *s) {
  ConvTiles c;
  conv_tiles(s, m->target, &c);
  bool dx = s->kind == CONV_DX;
  int64_t taps = s->kh * s->kw, half = TILE_ROWS;
  LLVMValueRef w = em_operand(m, 0), tmp = em_operand(m, 1), scratch = m->scratch;
  LLVMValueRef panel = em_idivc(m, m->chunk, 2), which = em_imodc(m, m->chunk, 2);
  /* the last panel may be one tile wide */
  LLVMValueRef lone = LLVMBuildICmp(m->b, LLVMIntEQ, m->chunk, em_i64(m, c.ocb % 2 ? c.ocb - 1 : -1), "");
  LLVMValueRef wide = LLVMBuildSelect(m->b, lone, em_i64(m, 1), em_i64(m, 2), "");
  LLVMValueRef to = pairs_at(m, tmp, em_imulc(m, panel, c.panel)), o0 = em_imulc(m, m->chunk, TILE_COLS);
  TileLoop l, lk, lt;
  EmitIf met;
  LLVMValueRef cb = tile_loop(m, &l, em_i64(m, c.icb), 1), i0 = em_imulc(m, cb, CHANNELS);
  if (dx) {
    LLVMValueRef k = em_imulc(m, tile_loop(m, &lk, em_i64(m, 2), 1), half);
    turn_weights(m, s, w, em_iadd(m, i0, k), o0, TILE_COLS, pairs_at(m, scratch, k), 2 * half);
    tile_end(m, &lk, NULL, 0);
  } else {
    turn_weights(m, s, w, o0, i0, CHANNELS, scratch, half);
  }
  LLVMValueRef tap = tile_loop(m, &lt, em_i64(m, taps), 1),
               of_tap = em_gep(m, m->i64, places(m, s, &c), em_imulc(m, tap, 3));
  LLVMValueRef field[3];
  for (int i = 0; i < 3; i++) field[i] = em_load(m, m->i64, em_gep(m, m->i64, of_tap, em_i64(m, i)), 8);
  em_if(m, &met, LLVMBuildICmp(m->b, LLVMIntNE, field[1], em_i64(m, 0), ""));
  LLVMValueRef v[TILE_ROWS], from = pairs_at(m, scratch, em_imulc(m, tap, dx ? 2 * half : half));
  for (int i = 0; i < TILE_ROWS; i++) {
    if (dx) {
      v[i] = em_load(m, vector16(m, TILE_DEEP), pairs_atc(m, from, i * taps * 2 * half), 2);
      continue;
    }
    LLVMValueRef of[2];
    for (int k = 0; k < 2; k++)
      of[k] = em_load(m, vector16(m, TILE_COLS), pairs_atc(m, from, (2 * i + k) * taps * half), 2);
    v[i] = pairs_join(m, of[0], of[1]);
  }
  if (dx) pairs_transpose(m, v);
  /* [phase][cb][tap][tile] */
  LLVMValueRef tile =
      em_iadd(m, em_iadd(m, em_imul(m, cb, field[1]), em_imulc(m, field[0], c.icb)), field[2]);
  LLVMValueRef place = pairs_at(m, to, em_imulc(m, em_iadd(m, em_imul(m, tile, wide), which), STEP));
  for (int i = 0; i < TILE_ROWS; i++) em_store(m, v[i], pairs_atc(m, place, i * TILE_DEEP), 2);
  em_endif(m, &met);
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &l, NULL, 0);
}

/* ---- images in scratch ---- */
LLVMValueRef conv_load_pixel(EmitModule *m, LLVMValueRef from, int channels, int64_t have, int64_t apart) {
  int L = m->vl;
  LLVMValueRef v[TILE_DEEP];
  for (int i = 0; i < channels / L; i++)
    v[i] = i * L < have ? em_load(m, vector16(m, L), pairs_atc(m, from, i * apart), 2)
                        : LLVMConstNull(vector16(m, L));
  for (int n = channels / L; n > 1; n /= 2)
    for (int i = 0; i < n / 2; i++) v[i] = em_join(m, v[2 * i], v[2 * i + 1]);
  return v[0];
}

typedef struct {
  const ConvSpec *s;
  ConvTiles c;
  Matrix x;
  LLVMValueRef src, weights, dst, out, images; /* out: four tiles of sums; images: the copy */
  LLVMValueRef image0, nimage, row0, panel0, npanel;
} Conv;

/* Zeros for columns [from, to) of a residue. */
static void zero_columns(EmitModule *m, const ConvTiles *c, LLVMValueRef row, int64_t from, int64_t to) {
  TileLoop l;
  if (from >= to) return;
  LLVMValueRef t = em_iaddc(m, tile_loop(m, &l, em_i64(m, to - from), 1), from);
  em_store(m, LLVMConstNull(vector16(m, TILE_DEEP)), pairs_at(m, row, em_imulc(m, t, c->nb * CHANNELS)), 2);
  tile_end(m, &l, NULL, 0);
}

/* Row `row` of scratch of one image and its 32 channels; src: the first column of the source's row, NULL: zeros. */
static void fill_row_of(EmitModule *m, const ConvTiles *c, LLVMValueRef src, LLVMValueRef dst, int64_t have) {
  const ConvFill *f = &c->g.fill;
  int64_t apart = f->h * f->w * m->vl;
  for (int64_t par = 0; par < c->step; par++) {
    LLVMValueRef row = pairs_atc(m, dst, par * c->half * c->nb * CHANNELS);
    int64_t first = 0, end = 0; /* columns whose source is inside */
    bool any = false;
    for (int64_t t = 0; t < c->half; t++) {
      int64_t v = f->lo[1] + t * c->step + par;
      if (v < 0 || v * f->sub[1] >= f->w) continue;
      if (!any) first = t;
      any = true, end = t + 1;
    }
    if (!src || !any) {
      zero_columns(m, c, row, 0, c->half);
      continue;
    }
    zero_columns(m, c, row, 0, first);
    zero_columns(m, c, row, end, c->half);
    int64_t count = end - first, unroll = count % 4 ? 1 : 4;
    TileLoop l;
    LLVMValueRef t = tile_loop(m, &l, em_i64(m, count), unroll);
    for (int64_t u = 0; u < unroll; u++) {
      LLVMValueRef col = em_iaddc(m, t, first + u);
      LLVMValueRef v = em_imulc(m, em_iaddc(m, em_imulc(m, col, c->step), f->lo[1] + par), f->sub[1] * m->vl);
      em_store(m, conv_load_pixel(m, pairs_at(m, src, v), CHANNELS, have, apart),
               pairs_at(m, row, em_imulc(m, col, c->nb * CHANNELS)), 2);
    }
    tile_end(m, &l, NULL, 0);
  }
}

static void fill_blocks(EmitModule *m, const Conv *z, LLVMValueRef image, LLVMValueRef there,
                        LLVMValueRef dst, LLVMValueRef cb, int64_t have) {
  const ConvTiles *c = &z->c;
  const ConvFill *f = &c->g.fill;
  TileLoop l;
  LLVMValueRef src = pairs_at(m, image, em_imulc(m, cb, CHANNELS * f->h * f->w));
  dst = pairs_at(m, dst, em_imulc(m, cb, c->plane));
  LLVMValueRef r = tile_loop(m, &l, em_i64(m, f->rows), 1);
  LLVMValueRef v = em_iadd(m, em_iaddc(m, em_imulc(m, z->row0, c->g.source_step[0]), f->lo[0]), r);
  LLVMValueRef row = pairs_at(m, dst, em_imulc(m, r, c->pitch));
  LLVMValueRef ok = LLVMBuildICmp(m->b, LLVMIntULT, v, em_i64(m, div_up(f->h, f->sub[0])), "");
  if (there) ok = LLVMBuildAnd(m->b, ok, there, "");
  EmitIf branch;
  em_if(m, &branch, ok);
  fill_row_of(m, c, pairs_at(m, src, em_imulc(m, v, f->sub[0] * f->w * m->vl)), row, have);
  em_else(m, &branch);
  fill_row_of(m, c, NULL, row, have);
  em_endif(m, &branch);
  tile_end(m, &l, NULL, 0);
}

static void fill_images(EmitModule *m, const Conv *z) {
  const ConvTiles *c = &z->c;
  const ConvFill *f = &c->g.fill;
  TileLoop li, lb;
  int64_t rest = c->cin % CHANNELS, group = z->c.g.group;
  LLVMValueRef i = tile_loop(m, &li, em_i64(m, group), 1), there = NULL;
  LLVMValueRef dst = pairs_at(m, z->images, em_imulc(m, em_idivc(m, i, c->nb), c->image));
  dst = pairs_at(m, dst, em_imulc(m, em_imodc(m, i, c->nb), CHANNELS));
  if (z->s->n % group) there = LLVMBuildICmp(m->b, LLVMIntSLT, i, z->nimage, "");
  LLVMValueRef image = pairs_at(m, z->src, em_imulc(m, em_iadd(m, z->image0, i), f->c * f->h * f->w));
  if (c->cin >= CHANNELS) {
    LLVMValueRef cb = tile_loop(m, &lb, em_i64(m, c->cin / CHANNELS), 1);
    fill_blocks(m, z, image, there, dst, cb, CHANNELS);
    tile_end(m, &lb, NULL, 0);
  }
  if (rest) fill_blocks(m, z, image, there, dst, em_i64(m, c->cin / CHANNELS), rest);
  tile_end(m, &li, NULL, 0);
}

/* ---- sums ---- */
typedef struct {
  LLVMValueRef ig, p, q; /* group of nb images in the chunk, phase row in the band, first pixel */
} Where;

/* Tile i of sums to the produced tensor. */
static void put_tile(EmitModule *m, const Conv *z, int a, int b, const Where *w, LLVMValueRef panel, int i,
                     int ct) {
  const ConvTiles *c = &z->c;
  const ConvGather *g = &c->g;
  const ConvPhase *ph = &g->phase[0][a], *pw = &g->phase[1][b];
  int L = m->vl;
  int64_t pitch = g->ow * L, block = g->oh * pitch, image = c->cout * g->oh * g->ow;
  bool partial = z->s->n % g->group != 0, narrow = z->s->kind == CONV_DX ? z->s->xbf16 : z->s->ybf16;
  LLVMValueRef y = em_iaddc(m, em_imulc(m, em_iadd(m, w->p, z->row0), ph->step), ph->start);
  LLVMValueRef x = em_iaddc(m, em_imulc(m, w->q, pw->step), pw->start);
  LLVMValueRef at = em_iadd(m, em_imulc(m, y, pitch), em_imulc(m, x, L));
  at = em_iadd(m, at, em_imulc(m, panel, 2 * TILE_COLS / L * block));
  for (int64_t k = 0; k < c->nb; k++) {
    LLVMValueRef n = em_iaddc(m, em_imulc(m, w->ig, c->nb), k);
    EmitIf f;
    if (partial) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSLT, n, z->nimage, ""));
    LLVMValueRef to = em_iadd(m, em_imulc(m, em_iadd(m, n, z->image0), image), at);
    to = tile_tat(m, narrow, z->dst, to);
    for (int64_t px = 0; px < c->pq[b]; px++)
      for (int j = 0; j < ct; j++) {
        int64_t row = (i * 2 + j) * TILE_ROWS + px * c->nb + k;
        for (int v = 0; v < TILE_COLS / L; v++) {
          LLVMValueRef sum =
              em_load(m, em_vec(m->f32, L), em_gep(m, m->f32, z->out, em_i64(m, row * TILE_COLS + v * L)), 4);
          int64_t place = px * pw->step * L + (j * TILE_COLS / L + v) * block;
          tile_tstore(m, narrow, sum, tile_tat(m, narrow, to, em_i64(m, place)));
        }
      }
    if (partial) em_endif(m, &f);
  }
}

static void product(EmitModule *m, Conv *z, int a, int b, const Where *w, int rt, LLVMValueRef panel,
                    int ct) {
  const ConvTiles *c = &z->c;
  const ConvGather *g = &c->g;
  const ConvPhase *ph = &g->phase[0][a], *pw = &g->phase[1][b];
  int64_t ntap = ph->ntap * pw->ntap;
  LLVMValueRef in[2], line = em_i64(m, 64);
  for (int i = 0; i < rt; i++) {
    LLVMValueRef at =
        em_iadd(m, em_imulc(m, w[i].ig, c->image), em_imulc(m, w[i].p, g->source_step[0] * c->pitch));
    in[i] = pairs_at(m, pairs_at(m, z->images, at), em_imulc(m, w[i].q, c->nb * CHANNELS));
    for (int j = 0; j < ct; j++) matrix_zero(&z->x, SUM + 2 * i + j);
  }
  int64_t before = 0;
  for (int i = 0; i < a * g->nphase[1] + b; i++)
    before += g->phase[0][i / g->nphase[1]].ntap * g->phase[1][i % g->nphase[1]].ntap;
  LLVMValueRef wp =
      pairs_atc(m, pairs_at(m, z->weights, em_imulc(m, panel, c->panel)), before * c->icb * ct * STEP);
  if (ntap) {
    TileLoop l;
    LLVMValueRef cb = tile_loop(m, &l, em_i64(m, c->icb), 1), from[2];
    for (int i = 0; i < rt; i++) from[i] = pairs_at(m, in[i], em_imulc(m, cb, c->plane));
    wp = pairs_at(m, wp, em_imulc(m, cb, ntap * ct * STEP));
    for (int64_t k = 0; k < ntap; k++) {
      int64_t ro = ph->off + k / pw->ntap * ph->offstep - g->fill.lo[0],
              co = pw->off + k % pw->ntap * pw->offstep - g->fill.lo[1];
      int64_t at = ro * c->pitch + (co % c->step * c->half + co / c->step) * c->nb * CHANNELS;
      for (int i = 0; i < rt; i++) matrix_factor(&z->x, A + i, pairs_atc(m, from[i], at), line);
      for (int j = 0; j < ct; j++) {
        matrix_factor(&z->x, B + j, pairs_atc(m, wp, (k * ct + j) * STEP), line);
        for (int i = 0; i < rt; i++) matrix_multiply(&z->x, SUM + 2 * i + j, A + i, B + j);
      }
    }
    tile_end(m, &l, NULL, 0);
  }
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++)
      matrix_store(&z->x, SUM + 2 * i + j,
                   em_gep(m, m->f32, z->out, em_i64(m, (i * 2 + j) * TILE_ROWS * TILE_COLS)), line);
  for (int i = 0; i < rt; i++) put_tile(m, z, a, b, &w[i], panel, i, ct);
}

/* All tiles of a phase of the chunk, two of them at a time. */
static void phase(EmitModule *m, Conv *z, int a, int b, LLVMValueRef panel, int ct) {
  const ConvTiles *c = &z->c;
  const ConvGather *g = &c->g;
  const ConvPhase *ph = &g->phase[0][a], *pw = &g->phase[1][b];
  int pair = conv_tiles_pair(c, a, b);
  LLVMValueRef left = em_isub(m, em_i64(m, ph->count), z->row0);
  LLVMValueRef rows = g->nband == 1 ? em_i64(m, ph->count) : em_imin(m, left, em_i64(m, g->band));
  LLVMValueRef count[] = {em_i64(m, c->qt[b]), rows, em_i64(m, g->group / c->nb)};
  TileLoop l[3];
  LLVMValueRef at[3];
  for (int d = 2; d >= 0; d--) at[d] = tile_loop(m, &l[d], count[d], d == pair ? 2 : 1);
  Where w[2];
  int64_t lone[] = {c->qt[b], g->nband == 1 ? ph->count : 0, g->group / c->nb};
  int rt = lone[pair] == 1 ? 1 : 2;
  for (int i = 0; i < rt; i++) {
    LLVMValueRef here[3] = {at[0], at[1], at[2]};
    if (i) here[pair] = em_imin(m, em_iaddc(m, at[pair], 1), em_iaddc(m, count[pair], -1));
    LLVMValueRef q = em_imulc(m, here[0], c->pq[b]);
    w[i] = (Where){here[2], here[1], em_imin(m, q, em_i64(m, pw->count - c->pq[b]))};
  }
  product(m, z, a, b, w, rt, panel, ct);
  for (int d = 0; d < 3; d++) tile_end(m, &l[d], NULL, 0);
}

static void emit_gather(EmitModule *m, const ConvSpec *s) {
  Conv z = {.s = s};
  ConvTiles *c = &z.c;
  ConvGather *g = &c->g;
  conv_tiles(s, m->target, c);
  z.src = em_operand(m, 0), z.weights = em_operand(m, 1), z.dst = em_operand(m, 2);
  z.out = m->scratch;
  z.images = em_gep(m, m->i8, m->scratch, em_i64(m, 4 * TILE_BYTES));
  matrix_begin(&z.x, m, NULL, TILE_DEEP / 2);
  TileLoop lu, lp;
  LLVMValueRef unit = tile_loop(m, &lu, em_i64(m, g->units), 1);
  unit = em_iadd(m, em_imulc(m, m->chunk, g->units), unit);
  LLVMValueRef kg = em_imodc(m, unit, g->nkgroup), rest = em_idivc(m, unit, g->nkgroup);
  LLVMValueRef band = em_imodc(m, rest, g->nband), group = em_idivc(m, rest, g->nband);
  int64_t whole = c->ocb / 2;
  z.panel0 = em_imulc(m, kg, g->kgroup), z.row0 = em_imulc(m, band, g->band);
  z.image0 = em_imulc(m, group, g->group);
  z.npanel = em_imin(m, em_isub(m, em_i64(m, whole), z.panel0), em_i64(m, g->kgroup));
  if (g->nkgroup == 1) z.panel0 = em_i64(m, 0), z.npanel = em_i64(m, whole);
  if (g->nband == 1) z.row0 = em_i64(m, 0);
  z.nimage = em_isub(m, em_i64(m, s->n), z.image0); /* where fewer than a group are left */
  fill_images(m, &z);
  if (whole) {
    LLVMValueRef p = em_iadd(m, z.panel0, tile_loop(m, &lp, z.npanel, 1));
    for (int a = 0; a < g->nphase[0]; a++)
      for (int b = 0; b < g->nphase[1]; b++) phase(m, &z, a, b, p, 2);
    tile_end(m, &lp, NULL, 0);
  }
  if (c->ocb % 2) {
    EmitIf f;
    LLVMValueRef mine =
        LLVMBuildICmp(m->b, LLVMIntSGT, em_iaddc(m, z.panel0, g->kgroup), em_i64(m, whole), "");
    if (g->nkgroup > 1) em_if(m, &f, mine);
    for (int a = 0; a < g->nphase[0]; a++)
      for (int b = 0; b < g->nphase[1]; b++) phase(m, &z, a, b, em_i64(m, whole), 1);
    if (g->nkgroup > 1) em_endif(m, &f);
  }
  tile_end(m, &lu, NULL, 0);
  matrix_end(&z.x);
}

void conv_emit_tiles(EmitModule *m, const ConvSpec *s, int step) { (step ? emit_gather : emit_pack)(m, s); }
