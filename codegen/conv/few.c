/* Convolutions of few channels on the processor's tiles (ir/kernel/conv_few.c): forward and weight gradient. */
#include "codegen/conv/conv.h"

enum { SUM = 0, A = MATRIX_LEFT, B = MATRIX_RIGHT, TILE = TILE_DEEP * TILE_ROWS, COPIED = 16 };

typedef struct {
  const ConvSpec *s;
  ConvFew f;
  Matrix x;
  LLVMValueRef src, rows;         /* x; its rows in scratch */
  LLVMValueRef image, row0, nrow; /* of the band: its image, first produced row, how many */
} Few;

/* ---- weights: a chunk packs 16 produced channels, [kernel row][pair][channel][one of the pair] ---- */
static void emit_pack(EmitModule *m, const ConvSpec *s) {
  ConvFew f;
  conv_few(s, m->target, &f);
  TileLoop lr, lp, lo;
  LLVMValueRef w = em_operand(m, 0), to = em_operand(m, 1), zero = LLVMConstNull(m->i16);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1), p = tile_loop(m, &lp, em_i64(m, f.pairs), 1);
  LLVMValueRef o = tile_loop(m, &lo, em_i64(m, TILE_COLS), 1);
  LLVMValueRef line = em_iadd(m, em_imulc(m, em_iadd(m, em_imulc(m, m->chunk, s->kh), r), f.pairs), p);
  to = pairs_at(m, to, em_iadd(m, em_imulc(m, line, 2 * TILE_COLS), em_imulc(m, o, 2)));
  LLVMValueRef k = em_iadd(m, em_imulc(m, m->chunk, TILE_COLS), o);
  for (int64_t odd = 0; odd < 2; odd++) {
    LLVMValueRef i = em_iaddc(m, em_imulc(m, p, 2), odd), t = em_idivc(m, i, f.channels);
    LLVMValueRef c = em_imodc(m, i, f.channels), ok = LLVMBuildICmp(m->b, LLVMIntSLT, c, em_i64(m, s->c), "");
    LLVMValueRef row = em_iadd(m, em_imulc(m, k, s->c), em_imin(m, c, em_i64(m, s->c - 1)));
    row = em_iadd(m, em_imulc(m, row, s->kh), r);
    LLVMValueRef v = em_load(m, m->i16, pairs_at(m, w, em_iadd(m, em_imulc(m, row, s->kw), t)), 2);
    em_store(m, LLVMBuildSelect(m->b, ok, v, zero, ""), pairs_atc(m, to, odd), 2);
  }
  tile_end(m, &lo, NULL, 0);
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &lr, NULL, 0);
}

/* ---- rows of x in scratch, channels last ---- */
/* The channels of 16 pixels by turns, zeros for those x has not. */
static LLVMValueRef by_turns(EmitModule *m, LLVMValueRef *v, int64_t channels) {
  LLVMValueRef pair[2], index[2 * COPIED];
  for (int64_t i = 0; i < channels / 2; i++) pair[i] = pairs_join(m, v[2 * i], v[2 * i + 1]);
  if (channels == 2) return pair[0];
  for (int i = 0; i < 2; i++) pair[i] = LLVMBuildBitCast(m->b, pair[i], em_vec(m->i32, COPIED), "");
  for (int i = 0; i < 2 * COPIED; i++) index[i] = em_i32(m, i / 2 + i % 2 * COPIED);
  return LLVMBuildShuffleVector(m->b, pair[0], pair[1], LLVMConstVector(index, 2 * COPIED), "");
}

static void copy_pixels(EmitModule *m, const Few *z, LLVMValueRef from, LLVMValueRef u, int64_t count,
                        LLVMValueRef to) {
  const ConvSpec *s = z->s;
  LLVMValueRef v[4];
  for (int64_t c = 0; c < z->f.channels; c++)
    v[c] = pairs_load(m, pairs_at(m, from, em_iaddc(m, u, c < s->c ? c * s->h * s->w : 0)),
                      c < s->c ? count : 0, COPIED);
  LLVMValueRef at = em_imulc(m, em_iaddc(m, u, s->pad[1]), z->f.channels);
  em_store(m, by_turns(m, v, z->f.channels), pairs_at(m, to, at), 2);
}

static void fill_rows(EmitModule *m, const Few *z) {
  const ConvSpec *s = z->s;
  const ConvFew *f = &z->f;
  TileLoop lr, lz, lu;
  EmitIf branch;
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, f->rows), 1),
               to = pairs_at(m, z->rows, em_imulc(m, r, f->pitch));
  LLVMValueRef v = em_iaddc(m, em_iadd(m, em_imulc(m, z->row0, s->stride[0]), r), -s->pad[0]);
  LLVMValueRef i = tile_loop(m, &lz, em_i64(m, f->pitch), TILE_DEEP);
  em_store(m, LLVMConstNull(em_vec(m->i16, TILE_DEEP)), pairs_at(m, to, i), 2);
  tile_end(m, &lz, NULL, 0);
  em_if(m, &branch, LLVMBuildICmp(m->b, LLVMIntULT, v, em_i64(m, s->h), ""));
  LLVMValueRef from = em_iadd(m, em_imulc(m, z->image, s->c * s->h), v);
  from = pairs_at(m, z->src, em_imulc(m, from, s->w));
  int64_t whole = f->inside / COPIED * COPIED;
  if (whole) {
    copy_pixels(m, z, from, tile_loop(m, &lu, em_i64(m, whole), COPIED), COPIED, to);
    tile_end(m, &lu, NULL, 0);
  }
  if (f->inside % COPIED) copy_pixels(m, z, from, em_i64(m, whole), f->inside % COPIED, to);
  em_endif(m, &branch);
  tile_end(m, &lr, NULL, 0);
}

static void band(EmitModule *m, Few *z, LLVMValueRef unit) {
  const ConvFew *f = &z->f;
  z->image = em_idivc(m, unit, f->nband), z->row0 = em_imulc(m, em_imodc(m, unit, f->nband), f->band);
  z->nrow = em_i64(m, f->band);
  if (z->s->oh % f->band) z->nrow = em_imin(m, em_isub(m, em_i64(m, z->s->oh), z->row0), z->nrow);
  fill_rows(m, z);
}

/* ---- forward ---- */
/* Tile i, j of sums: pixels from q on of produced row p, 16 channels. */
static void put_tile(EmitModule *m, const Few *z, LLVMValueRef y, LLVMValueRef out, LLVMValueRef tile,
                     LLVMValueRef p, LLVMValueRef q) {
  const ConvSpec *s = z->s;
  int L = m->vl;
  LLVMValueRef block = em_iadd(m, em_imulc(m, z->image, s->k / L), em_imulc(m, tile, TILE_COLS / L));
  LLVMValueRef at = em_iadd(m, em_imulc(m, block, s->oh), em_iadd(m, z->row0, p));
  LLVMValueRef to = tile_tat(m, s->ybf16, y, em_imulc(m, em_iadd(m, em_imulc(m, at, s->ow), q), L));
  for (int64_t px = 0; px < z->f.pq; px++)
    for (int64_t v = 0; v < TILE_COLS / L; v++) {
      LLVMValueRef sum =
          em_load(m, em_vec(m->f32, L), em_gep(m, m->f32, out, em_i64(m, px * TILE_COLS + v * L)), 4);
      LLVMValueRef place = em_i64(m, (v * s->oh * s->ow + px) * L);
      tile_tstore(m, s->ybf16, sum, tile_tat(m, s->ybf16, to, place));
    }
}

static void products(EmitModule *m, Few *z, LLVMValueRef w, LLVMValueRef y, LLVMValueRef tile, int ct) {
  const ConvSpec *s = z->s;
  const ConvFew *f = &z->f;
  TileLoop lp, lq, lr;
  int rt = f->qt > 1 ? 2 : 1;
  int64_t kernel = s->kh * f->pairs * 2 * TILE_COLS, step = s->stride[1] * f->channels;
  LLVMValueRef p = tile_loop(m, &lp, z->nrow, 1), q[2], out = m->scratch;
  LLVMValueRef at = tile_loop(m, &lq, em_i64(m, f->qt), rt);
  for (int i = 0; i < rt; i++)
    q[i] = em_imin(m, em_imulc(m, em_iaddc(m, at, i), f->pq), em_i64(m, s->ow - f->pq));
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++) matrix_zero(&z->x, SUM + 2 * i + j);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1);
  LLVMValueRef row = em_iadd(m, em_imulc(m, p, s->stride[0]), r);
  LLVMValueRef from = pairs_at(m, z->rows, em_imulc(m, row, f->pitch));
  LLVMValueRef b = em_iadd(m, em_imulc(m, tile, kernel), em_imulc(m, r, f->pairs * 2 * TILE_COLS));
  b = pairs_at(m, w, b);
  for (int i = 0; i < rt; i++)
    matrix_factor(&z->x, A + i, pairs_at(m, from, em_imulc(m, q[i], step)), em_i64(m, 2 * step));
  for (int j = 0; j < ct; j++) {
    matrix_factor(&z->x, B + j, pairs_atc(m, b, j * kernel), em_i64(m, 4 * TILE_COLS));
    for (int i = 0; i < rt; i++) matrix_multiply(&z->x, SUM + 2 * i + j, A + i, B + j);
  }
  tile_end(m, &lr, NULL, 0);
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++)
      matrix_store(&z->x, SUM + 2 * i + j,
                   em_gep(m, m->f32, out, em_i64(m, (2 * i + j) * TILE_ROWS * TILE_COLS)),
                   em_i64(m, 4 * TILE_COLS));
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++)
      put_tile(m, z, y, em_gep(m, m->f32, out, em_i64(m, (2 * i + j) * TILE_ROWS * TILE_COLS)),
               em_iaddc(m, tile, j), p, q[i]);
  tile_end(m, &lq, NULL, 0);
  tile_end(m, &lp, NULL, 0);
}

static void emit_main(EmitModule *m, const ConvSpec *s) {
  Few z = {.s = s, .src = em_operand(m, 0), .rows = em_gep(m, m->i8, m->scratch, em_i64(m, 5 * TILE_BYTES))};
  LLVMValueRef w = em_operand(m, 1), y = em_operand(m, 2);
  conv_few(s, m->target, &z.f);
  int pq = (int)z.f.pq;
  matrix_begin(&z.x, m, (int[]){pq, pq, pq, pq, pq, pq, 0, 0}, (int)z.f.pairs);
  TileLoop lu, lk;
  LLVMValueRef unit = tile_loop(m, &lu, em_i64(m, z.f.units), 1);
  band(m, &z, em_iadd(m, em_imulc(m, m->chunk, z.f.units), unit));
  if (z.f.ocb > 1) {
    products(m, &z, w, y, em_imulc(m, tile_loop(m, &lk, em_i64(m, z.f.ocb / 2), 1), 2), 2);
    tile_end(m, &lk, NULL, 0);
  }
  if (z.f.ocb % 2) products(m, &z, w, y, em_i64(m, z.f.ocb - 1), 1);
  tile_end(m, &lu, NULL, 0);
  matrix_end(&z.x);
}

/* ---- weight gradient ---- */
/* `count` pixels from q on of produced row p, 16 channels: a tile of channels by pixels. */
static void turn_y(EmitModule *m, const Few *z, LLVMValueRef y, LLVMValueRef kb, LLVMValueRef p,
                   LLVMValueRef q, int64_t count, LLVMValueRef to) {
  const ConvSpec *s = z->s;
  int L = m->vl;
  LLVMValueRef block = em_iadd(m, em_imulc(m, z->image, s->k / L), em_imulc(m, kb, TILE_COLS / L));
  LLVMValueRef at = em_iadd(m, em_imulc(m, block, s->oh), em_iadd(m, z->row0, p)), v[TILE_ROWS];
  LLVMValueRef from = pairs_at(m, y, em_imulc(m, em_iadd(m, em_imulc(m, at, s->ow), q), L));
  for (int64_t i = 0; i < TILE_ROWS; i++) {
    LLVMValueRef of[2];
    for (int64_t odd = 0; odd < 2; odd++) {
      int64_t px = 2 * i + odd;
      of[odd] = px < count
                    ? conv_load_pixel(m, pairs_atc(m, from, px * L), TILE_COLS, TILE_COLS, s->oh * s->ow * L)
                    : LLVMConstNull(em_vec(m->i16, TILE_COLS));
    }
    v[i] = pairs_join(m, of[0], of[1]);
  }
  pairs_transpose(m, v);
  for (int i = 0; i < TILE_ROWS; i++) em_store(m, v[i], pairs_atc(m, to, i * TILE_DEEP), 2);
}

static void fill_y(EmitModule *m, const Few *z, LLVMValueRef y, LLVMValueRef copy) {
  const ConvFew *f = &z->f;
  TileLoop lk, lp, lq;
  int64_t whole = z->s->ow / TILE_DEEP, rest = z->s->ow % TILE_DEEP;
  LLVMValueRef kb = tile_loop(m, &lk, em_i64(m, f->ocb), 1), p = tile_loop(m, &lp, z->nrow, 1);
  LLVMValueRef step = em_iadd(m, em_imulc(m, kb, f->steps), em_imulc(m, p, f->qt));
  LLVMValueRef to = pairs_at(m, copy, em_imulc(m, step, TILE));
  if (whole) {
    LLVMValueRef q = tile_loop(m, &lq, em_i64(m, whole), 1);
    turn_y(m, z, y, kb, p, em_imulc(m, q, TILE_DEEP), TILE_DEEP, pairs_at(m, to, em_imulc(m, q, TILE)));
    tile_end(m, &lq, NULL, 0);
  }
  if (rest) turn_y(m, z, y, kb, p, em_i64(m, whole * TILE_DEEP), rest, pairs_atc(m, to, whole * TILE));
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

/* What row r of the kernel meets: tiles of pairs of pixels by 16 of its (tap, channel). */
static void fill_x(EmitModule *m, const Few *z, LLVMValueRef r, LLVMValueRef copy) {
  const ConvFew *f = &z->f;
  TileLoop lp, lq, li;
  enum { UNROLL = 4 };
  int64_t step = z->s->stride[1] * f->channels;
  LLVMValueRef p = tile_loop(m, &lp, z->nrow, 1), q = tile_loop(m, &lq, em_i64(m, f->qt), 1);
  LLVMValueRef row = em_iadd(m, em_imulc(m, p, z->s->stride[0]), r);
  LLVMValueRef from = pairs_at(m, z->rows, em_imulc(m, row, f->pitch));
  LLVMValueRef to = pairs_at(m, copy, em_imulc(m, em_iadd(m, em_imulc(m, p, f->qt), q), TILE));
  LLVMValueRef i = tile_loop(m, &li, em_i64(m, TILE_ROWS), UNROLL);
  for (int64_t n = 0; n < UNROLL; n++) {
    LLVMValueRef pair = em_iaddc(m, i, n), px = em_iadd(m, em_imulc(m, q, TILE_DEEP), em_imulc(m, pair, 2));
    LLVMValueRef even = pairs_at(m, from, em_imulc(m, px, step)), odd = pairs_atc(m, even, step);
    for (int64_t j = 0; j < f->cb; j++) {
      LLVMValueRef of[2] = {pairs_atc(m, even, j * TILE_COLS), pairs_atc(m, odd, j * TILE_COLS)};
      for (int k = 0; k < 2; k++) {
        of[k] = em_load(m, em_vec(m->i16, TILE_COLS), of[k], 2);
        if (z->s->ow % TILE_DEEP == 0) continue;
        /* behind the last produced pixel: zeros, which the incoming gradient's meet */
        LLVMValueRef there = LLVMBuildICmp(m->b, LLVMIntSLT, em_iaddc(m, px, k), em_i64(m, z->s->ow), "");
        of[k] = LLVMBuildSelect(m->b, there, of[k], LLVMConstNull(LLVMTypeOf(of[k])), "");
      }
      LLVMValueRef v = pairs_join(m, of[0], of[1]);
      em_store(m, v, pairs_atc(m, pairs_at(m, to, em_imulc(m, pair, TILE_DEEP)), j * f->steps * TILE), 2);
    }
  }
  tile_end(m, &li, NULL, 0);
  tile_end(m, &lq, NULL, 0);
  tile_end(m, &lp, NULL, 0);
}

/* Adds the band's products of row r of the kernel, rt tiles of channels from kb on. */
static void add_band(EmitModule *m, Few *z, LLVMValueRef sums, LLVMValueRef y, LLVMValueRef x, LLVMValueRef r,
                     LLVMValueRef kb, int rt, LLVMValueRef first) {
  const ConvFew *f = &z->f;
  TileLoop l;
  EmitIf branch;
  int ct = (int)f->cb;
  LLVMValueRef line = em_i64(m, 64), at[4];
  LLVMValueRef tile = em_imulc(m, em_iadd(m, em_imulc(m, r, f->ocb), kb), f->cb);
  for (int i = 0; i < rt * ct; i++)
    at[i] = em_gep(m, m->f32, sums, em_imulc(m, em_iaddc(m, tile, i), TILE_ROWS * TILE_COLS));
  em_if(m, &branch, first);
  for (int i = 0; i < rt * ct; i++) matrix_zero(&z->x, SUM + i);
  em_else(m, &branch);
  for (int i = 0; i < rt * ct; i++) matrix_load(&z->x, SUM + i, at[i], line);
  em_endif(m, &branch);
  LLVMValueRef step = tile_loop(m, &l, em_imulc(m, z->nrow, f->qt), 1);
  for (int i = 0; i < rt; i++) {
    LLVMValueRef of = em_iadd(m, em_imulc(m, em_iaddc(m, kb, i), f->steps), step);
    matrix_factor(&z->x, A + i, pairs_at(m, y, em_imulc(m, of, TILE)), line);
  }
  for (int j = 0; j < ct; j++) {
    matrix_factor(&z->x, B + j, pairs_at(m, x, em_imulc(m, em_iaddc(m, step, j * f->steps), TILE)), line);
    for (int i = 0; i < rt; i++) matrix_multiply(&z->x, SUM + i * ct + j, A + i, B + j);
  }
  tile_end(m, &l, NULL, 0);
  for (int i = 0; i < rt * ct; i++) matrix_store(&z->x, SUM + i, at[i], line);
}

static void emit_dw(EmitModule *m, const ConvSpec *s) {
  Few z = {.s = s, .src = em_operand(m, 0)};
  ConvFew *f = &z.f;
  conv_few(s, m->target, f);
  LLVMValueRef y = em_operand(m, 1),
               sums = em_gep(m, m->f32, em_operand(m, 2), em_imulc(m, m->chunk, f->acc));
  LLVMValueRef ycopy = m->scratch, xcopy = pairs_atc(m, ycopy, f->ocb * f->steps * TILE);
  z.rows = pairs_atc(m, xcopy, f->cb * f->steps * TILE);
  matrix_begin(&z.x, m, NULL, TILE_DEEP / 2);
  TileLoop lt, lr, lk;
  LLVMValueRef t0 = em_imulc(m, m->chunk, f->per_split);
  LLVMValueRef nt = em_imin(m, em_isub(m, em_i64(m, s->n * f->nband), t0), em_i64(m, f->per_split));
  LLVMValueRef t = tile_loop(m, &lt, nt, 1), first = LLVMBuildICmp(m->b, LLVMIntEQ, t, em_i64(m, 0), "");
  band(m, &z, em_iadd(m, t0, t));
  fill_y(m, &z, y, ycopy);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1);
  fill_x(m, &z, r, xcopy);
  if (f->ocb > 1) {
    LLVMValueRef kb = em_imulc(m, tile_loop(m, &lk, em_i64(m, f->ocb / 2), 1), 2);
    add_band(m, &z, sums, ycopy, xcopy, r, kb, 2, first);
    tile_end(m, &lk, NULL, 0);
  }
  if (f->ocb % 2) add_band(m, &z, sums, ycopy, xcopy, r, em_i64(m, f->ocb - 1), 1, first);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lt, NULL, 0);
  matrix_end(&z.x);
}

/* The sum of all splits, 16 produced channels a chunk. */
static void emit_sum(EmitModule *m, const ConvSpec *s) {
  ConvFew f;
  conv_few(s, m->target, &f);
  TileLoop lk, lc, lr, lt;
  int64_t tile = TILE_ROWS * TILE_COLS;
  LLVMValueRef k = tile_loop(m, &lk, em_i64(m, TILE_ROWS), 1), c = tile_loop(m, &lc, em_i64(m, s->c), 1);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1), t = tile_loop(m, &lt, em_i64(m, s->kw), 1);
  LLVMValueRef j = em_iadd(m, em_imulc(m, t, f.channels), c);
  LLVMValueRef at = em_imulc(m, em_iadd(m, em_imulc(m, r, f.ocb), m->chunk), f.cb * tile);
  at = em_iadd(m, at, em_imulc(m, em_idivc(m, j, TILE_COLS), tile));
  at = em_iadd(m, at, em_iadd(m, em_imulc(m, k, TILE_COLS), em_imodc(m, j, TILE_COLS)));
  LLVMValueRef from = em_gep(m, m->f32, em_operand(m, 0), at), sum = NULL;
  for (int64_t i = 0; i < f.nsplit; i++) {
    LLVMValueRef v = em_load(m, m->f32, em_gep(m, m->f32, from, em_i64(m, i * f.acc)), 4);
    sum = sum ? em_fadd(m, sum, v) : v;
  }
  LLVMValueRef to = em_iadd(m, em_imulc(m, m->chunk, TILE_ROWS), k);
  to = em_iadd(m, em_imulc(m, em_iadd(m, em_imulc(m, to, s->c), c), s->kh), r);
  em_store(m, sum, em_gep(m, m->f32, em_operand(m, 1), em_iadd(m, em_imulc(m, to, s->kw), t)), 4);
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

void conv_emit_few(EmitModule *m, const ConvSpec *s, int step) {
  bool dw = s->kind == CONV_DW;
  (dw ? step ? emit_sum : emit_dw : step ? emit_main : emit_pack)(m, s);
}
