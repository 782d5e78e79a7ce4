/* Weight gradients of convolutions of bf16 on the processor's tiles (ir/kernel/conv_tiles.c). */
#include "codegen/conv/conv.h"

enum { SUM = 0, A = 4, B = 6, STEP = TILE_DEEP * TILE_ROWS, PAIR = 2 * TILE_COLS };

typedef struct {
  const ConvSpec *s;
  ConvTilesDw c;
  Matrix x;
  LLVMValueRef src[2], copy[2];            /* x and y: tensors, scratch */
  LLVMValueRef sums;                       /* of the chunk's split */
  LLVMValueRef panel0[2], npanel[2];       /* of k, of c */
  LLVMValueRef image0, row0, rows, ngroup; /* of the block; groups of nb images */
} Dw;

/* A tensor as it is read: 16 channels from block cb on of image i, its rows and columns. Where an image or a block is
   not there, `there` is false and another is read and dropped. */
typedef struct {
  LLVMValueRef base[2], there[2]; /* of the two images of a pair; NULL: always there */
  int64_t apart;
} PairSource;

static PairSource source_of(EmitModule *m, const Dw *z, int which, LLVMValueRef group, LLVMValueRef pair,
                            LLVMValueRef block) {
  const ConvSpec *s = z->s;
  int64_t ch = which ? s->k : s->c, h = which ? s->oh : s->h, w = which ? s->ow : s->w;
  LLVMValueRef inside = NULL, c0 = em_imulc(m, block, TILE_COLS);
  if (ch % (2 * TILE_COLS)) {
    inside = LLVMBuildICmp(m->b, LLVMIntSLT, c0, em_i64(m, ch), "");
    c0 = em_imin(m, c0, em_i64(m, ch - TILE_COLS));
  }
  PairSource r = {.apart = h * w * m->vl};
  for (int odd = 0; odd < 2; odd++) {
    LLVMValueRef i = em_iadd(m, em_iadd(m, z->image0, em_imulc(m, group, z->c.nb)),
                             em_iaddc(m, em_imulc(m, pair, 2), odd));
    r.there[odd] = inside;
    if (s->n % z->c.images) {
      LLVMValueRef ok = LLVMBuildICmp(m->b, LLVMIntSLT, i, em_i64(m, s->n), "");
      r.there[odd] = inside ? LLVMBuildAnd(m->b, inside, ok, "") : ok;
      i = em_imin(m, i, em_i64(m, s->n - 1));
    }
    r.base[odd] = pairs_at(m, z->src[which], em_iadd(m, em_imulc(m, i, ch * h * w), em_imulc(m, c0, h * w)));
  }
  return r;
}

/* The pixel `at` (elements from an image's block on) of both images, channel by channel. */
static LLVMValueRef load_pair(EmitModule *m, const PairSource *r, LLVMValueRef at) {
  LLVMValueRef v[2];
  for (int odd = 0; odd < 2; odd++) {
    v[odd] = conv_load_pixel(m, pairs_at(m, r->base[odd], at), TILE_COLS, TILE_COLS, r->apart);
    if (r->there[odd])
      v[odd] = LLVMBuildSelect(m->b, r->there[odd], v[odd], LLVMConstNull(LLVMTypeOf(v[odd])), "");
  }
  return pairs_join(m, v[0], v[1]);
}

/* ---- x ---- */
static void zero_columns(EmitModule *m, const ConvTilesDw *c, LLVMValueRef row, int64_t from, int64_t to) {
  TileLoop l;
  if (from >= to) return;
  LLVMValueRef t = em_iaddc(m, tile_loop(m, &l, em_i64(m, to - from), 1), from);
  em_store(m, LLVMConstNull(em_vec(m->i16, PAIR)), pairs_at(m, row, em_imulc(m, t, c->nb * TILE_COLS)), 2);
  tile_end(m, &l, NULL, 0);
}

/* r: NULL: zeros; v: the row of x. */
static void fill_x_row(EmitModule *m, const ConvTilesDw *c, const PairSource *r, LLVMValueRef v,
                       LLVMValueRef dst) {
  const ConvFill *f = &c->fill;
  for (int64_t par = 0; par < c->step; par++) {
    LLVMValueRef row = pairs_atc(m, dst, par * c->half * c->nb * TILE_COLS);
    int64_t first = 0, end = 0;
    bool any = false;
    for (int64_t t = 0; t < c->half && r; t++) {
      int64_t u = f->lo[1] + t * c->step + par;
      if (u < 0 || u * f->sub[1] >= f->w) continue;
      if (!any) first = t;
      any = true, end = t + 1;
    }
    zero_columns(m, c, row, 0, first);
    zero_columns(m, c, row, end, c->half);
    if (!any) continue;
    int64_t count = end - first, unroll = count % 4 ? 1 : 4;
    TileLoop l;
    LLVMValueRef t = tile_loop(m, &l, em_i64(m, count), unroll);
    for (int64_t n = 0; n < unroll; n++) {
      LLVMValueRef col = em_iaddc(m, t, first + n);
      LLVMValueRef u = em_imulc(m, em_iaddc(m, em_imulc(m, col, c->step), f->lo[1] + par), f->sub[1]);
      LLVMValueRef at = em_imulc(m, em_iadd(m, em_imulc(m, v, f->sub[0] * f->w), u), m->vl);
      em_store(m, load_pair(m, r, at), pairs_at(m, row, em_imulc(m, col, c->nb * TILE_COLS)), 2);
    }
    tile_end(m, &l, NULL, 0);
  }
}

static void fill_x(EmitModule *m, const Dw *z) {
  const ConvTilesDw *c = &z->c;
  TileLoop lg, lc, lr, lp;
  EmitIf f;
  LLVMValueRef g = tile_loop(m, &lg, z->ngroup, 1);
  LLVMValueRef cb = tile_loop(m, &lc, em_imulc(m, z->npanel[1], 2), 1);
  LLVMValueRef n = tile_loop(m, &lp, em_i64(m, c->nb / 2), 1);
  LLVMValueRef dst =
      pairs_at(m, pairs_at(m, z->copy[0], em_imulc(m, g, c->image)), em_imulc(m, cb, c->plane));
  dst = pairs_at(m, dst, em_imulc(m, n, PAIR));
  PairSource from = source_of(m, z, 0, g, n, em_iadd(m, em_imulc(m, z->panel0[1], 2), cb));
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, c->fill.rows), 1);
  LLVMValueRef v = em_iadd(m, em_iaddc(m, em_imulc(m, z->row0, c->stride[0]), c->fill.lo[0]), r);
  LLVMValueRef row = pairs_at(m, dst, em_imulc(m, r, c->pitch));
  em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntULT, v, em_i64(m, div_up(c->fill.h, c->fill.sub[0])), ""));
  fill_x_row(m, c, &from, v, row);
  em_else(m, &f);
  fill_x_row(m, c, NULL, v, row);
  em_endif(m, &f);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lg, NULL, 0);
}

/* ---- y ---- */
/* A tile of 16 channels by `count` pixels from q on of nb images; zeros behind. */
static void fill_y_tile(EmitModule *m, const Dw *z, LLVMValueRef g, LLVMValueRef kb, LLVMValueRef p,
                        LLVMValueRef q, int64_t count, LLVMValueRef to) {
  const ConvTilesDw *c = &z->c;
  LLVMValueRef v[TILE_ROWS];
  LLVMValueRef at = em_imulc(m, em_iadd(m, em_imulc(m, em_iadd(m, z->row0, p), z->s->ow), q), m->vl);
  for (int i = 0; i < TILE_ROWS; i++) v[i] = LLVMConstNull(em_vec(m->i16, PAIR));
  for (int64_t n = 0; n < c->nb / 2; n++) {
    PairSource from = source_of(m, z, 1, g, em_i64(m, n), kb);
    for (int64_t px = 0; px < count; px++)
      v[px * (c->nb / 2) + n] = load_pair(m, &from, em_iaddc(m, at, px * m->vl));
  }
  pairs_transpose(m, v);
  for (int i = 0; i < TILE_ROWS; i++) em_store(m, v[i], pairs_atc(m, to, i * TILE_DEEP), 2);
}

static void fill_y(EmitModule *m, const Dw *z) {
  const ConvTilesDw *c = &z->c;
  TileLoop lg, lk, lp, lq;
  int64_t rest = z->s->ow - (c->qt - 1) * c->pq, whole = rest == c->pq ? c->qt : c->qt - 1;
  LLVMValueRef kb = tile_loop(m, &lk, em_imulc(m, z->npanel[0], 2), 1);
  LLVMValueRef g = tile_loop(m, &lg, z->ngroup, 1), p = tile_loop(m, &lp, z->rows, 1);
  LLVMValueRef block = em_iadd(m, em_imulc(m, z->panel0[0], 2), kb);
  LLVMValueRef step = em_imulc(m, em_iadd(m, em_imulc(m, g, c->band), p), c->qt);
  LLVMValueRef to = pairs_at(m, z->copy[1], em_imulc(m, em_iadd(m, em_imulc(m, kb, c->steps), step), STEP));
  if (whole) {
    LLVMValueRef q = tile_loop(m, &lq, em_i64(m, whole), 1);
    fill_y_tile(m, z, g, block, p, em_imulc(m, q, c->pq), c->pq, pairs_at(m, to, em_imulc(m, q, STEP)));
    tile_end(m, &lq, NULL, 0);
  }
  if (whole < c->qt)
    fill_y_tile(m, z, g, block, p, em_i64(m, whole * c->pq), rest, pairs_atc(m, to, whole * STEP));
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &lg, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

/* ---- sums ---- */
static void products(EmitModule *m, Dw *z, LLVMValueRef kp, LLVMValueRef cp, LLVMValueRef first) {
  const ConvTilesDw *c = &z->c;
  const ConvSpec *s = z->s;
  TileLoop lr, lt, lg, lp, lq;
  EmitIf f;
  LLVMValueRef line = em_i64(m, 64);
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, s->kh), 1), t = tile_loop(m, &lt, em_i64(m, s->kw), 1);
  LLVMValueRef pair =
      em_iadd(m, em_imulc(m, em_iadd(m, z->panel0[0], kp), c->panels[1]), em_iadd(m, z->panel0[1], cp));
  LLVMValueRef tap = em_iadd(m, em_imulc(m, r, s->kw), t);
  LLVMValueRef sums =
      em_gep(m, m->f32, z->sums, em_imulc(m, em_iadd(m, em_imulc(m, pair, s->kh * s->kw), tap), TILE_BYTES));
  LLVMValueRef at[4];
  for (int i = 0; i < 4; i++) at[i] = em_gep(m, m->f32, sums, em_i64(m, i * TILE_ROWS * TILE_COLS));
  em_if(m, &f, first);
  for (int i = 0; i < 4; i++) matrix_zero(&z->x, SUM + i);
  em_else(m, &f);
  for (int i = 0; i < 4; i++) matrix_load(&z->x, SUM + i, at[i], line);
  em_endif(m, &f);
  LLVMValueRef column = em_iadd(m, em_imulc(m, em_imodc(m, t, c->step), c->half), em_idivc(m, t, c->step));
  LLVMValueRef x = pairs_at(m, z->copy[0], em_imulc(m, cp, 2 * c->plane));
  x = pairs_at(m, x, em_iadd(m, em_imulc(m, r, c->pitch), em_imulc(m, column, c->nb * TILE_COLS)));
  LLVMValueRef y = pairs_at(m, z->copy[1], em_imulc(m, kp, 2 * c->steps * STEP));
  LLVMValueRef g = tile_loop(m, &lg, z->ngroup, 1), p = tile_loop(m, &lp, z->rows, 1);
  x = pairs_at(m, x, em_iadd(m, em_imulc(m, g, c->image), em_imulc(m, p, c->stride[0] * c->pitch)));
  y = pairs_at(m, y, em_imulc(m, em_iadd(m, em_imulc(m, g, c->band), p), c->qt * STEP));
  LLVMValueRef q = tile_loop(m, &lq, em_i64(m, c->qt), 1);
  x = pairs_at(m, x, em_imulc(m, q, c->pq * c->nb * TILE_COLS));
  y = pairs_at(m, y, em_imulc(m, q, STEP));
  for (int i = 0; i < 2; i++) matrix_factor(&z->x, A + i, pairs_atc(m, y, i * c->steps * STEP), line);
  for (int j = 0; j < 2; j++) {
    matrix_factor(&z->x, B + j, pairs_atc(m, x, j * c->plane), line);
    for (int i = 0; i < 2; i++) matrix_multiply(&z->x, SUM + 2 * i + j, A + i, B + j);
  }
  tile_end(m, &lq, NULL, 0);
  tile_end(m, &lp, NULL, 0);
  tile_end(m, &lg, NULL, 0);
  for (int i = 0; i < 4; i++) matrix_store(&z->x, SUM + i, at[i], line);
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &lr, NULL, 0);
}

static void emit_main(EmitModule *m, const ConvSpec *s) {
  Dw z = {.s = s};
  ConvTilesDw *c = &z.c;
  conv_tiles_dw(s, m->target, c);
  z.src[0] = em_operand(m, 0), z.src[1] = em_operand(m, 1);
  z.copy[0] = m->scratch, z.copy[1] = pairs_atc(m, m->scratch, c->images / c->nb * c->image);
  matrix_begin(&z.x, m, NULL, TILE_DEEP / 2);
  LLVMValueRef number[2], rest = m->chunk;
  for (int d = 0; d < 2; d++) {
    number[d] = em_imodc(m, rest, c->ngroup[d]), rest = em_idivc(m, rest, c->ngroup[d]);
    z.panel0[d] = em_imulc(m, number[d], c->group[d]);
    z.npanel[d] = em_imin(m, em_isub(m, em_i64(m, c->panels[d]), z.panel0[d]), em_i64(m, c->group[d]));
    if (c->ngroup[d] == 1) z.panel0[d] = em_i64(m, 0), z.npanel[d] = em_i64(m, c->panels[d]);
  }
  z.sums = em_gep(m, m->f32, em_operand(m, 2), em_imulc(m, rest, c->acc));
  LLVMValueRef t0 = em_imulc(m, rest, c->per_split);
  LLVMValueRef nt = em_imin(m, em_isub(m, em_i64(m, c->nblock), t0), em_i64(m, c->per_split));
  TileLoop lt, lk, lc;
  LLVMValueRef i = tile_loop(m, &lt, nt, 1), t = em_iadd(m, t0, i);
  z.image0 = em_imulc(m, em_idivc(m, t, c->nband), c->images);
  z.row0 = em_imulc(m, em_imodc(m, t, c->nband), c->band);
  z.rows = s->oh % c->band ? em_imin(m, em_isub(m, em_i64(m, s->oh), z.row0), em_i64(m, c->band))
                           : em_i64(m, c->band);
  z.ngroup = em_i64(m, c->images / c->nb);
  if (s->n % c->images) {
    LLVMValueRef left = em_isub(m, em_i64(m, s->n), z.image0);
    z.ngroup = em_imin(m, em_idivc(m, em_iaddc(m, left, c->nb - 1), c->nb), z.ngroup);
  }
  fill_x(m, &z);
  fill_y(m, &z);
  LLVMValueRef kp = tile_loop(m, &lk, z.npanel[0], 1), cp = tile_loop(m, &lc, z.npanel[1], 1);
  products(m, &z, kp, cp, LLVMBuildICmp(m->b, LLVMIntEQ, i, em_i64(m, 0), ""));
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lk, NULL, 0);
  tile_end(m, &lt, NULL, 0);
  matrix_end(&z.x);
}

/* ---- the sum of all splits, a panel of k a chunk ---- */
static void scatter(EmitModule *m, LLVMValueRef v, LLVMValueRef to, int64_t stride) {
  int n = em_lanes(v);
  if (stride == 1) {
    em_store(m, v, to, 4);
    return;
  }
  for (int i = 0; i < n; i++)
    em_store(m, em_extract(m, v, i), em_gep(m, m->f32, to, em_i64(m, i * stride)), 4);
}

static void emit_sum(EmitModule *m, const ConvSpec *s) {
  ConvTilesDw c;
  conv_tiles_dw(s, m->target, &c);
  int64_t taps = s->kh * s->kw, tile = TILE_ROWS * TILE_COLS;
  LLVMValueRef tmp = em_operand(m, 0), w = em_operand(m, 1);
  TileLoop lc, lt, ln;
  LLVMValueRef k0 = em_imulc(m, m->chunk, 2 * TILE_ROWS), nk = em_i64(m, 2 * TILE_ROWS);
  if (s->k % (2 * TILE_ROWS)) nk = em_imin(m, em_isub(m, em_i64(m, s->k), k0), nk);
  LLVMValueRef k = tile_loop(m, &ln, nk, 1), cb = tile_loop(m, &lc, em_i64(m, s->c / TILE_COLS), 1);
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, taps), 1);
  LLVMValueRef pair = em_iadd(m, em_imulc(m, m->chunk, c.panels[1]), em_idivc(m, cb, 2));
  LLVMValueRef at = em_imulc(m, em_iadd(m, em_imulc(m, pair, taps), t), TILE_BYTES);
  at = em_iadd(m, at, em_imulc(m, em_idivc(m, k, TILE_ROWS), 2 * tile));
  at = em_iadd(m, at, em_imulc(m, em_imodc(m, cb, 2), tile));
  at = em_iadd(m, at, em_imulc(m, em_imodc(m, k, TILE_ROWS), TILE_COLS));
  LLVMValueRef from = em_gep(m, m->f32, tmp, at), sum = NULL;
  for (int64_t i = 0; i < c.nsplit; i++) {
    LLVMValueRef v = em_load(m, em_vec(m->f32, TILE_COLS), em_gep(m, m->f32, from, em_i64(m, i * c.acc)), 4);
    sum = sum ? em_fadd(m, sum, v) : v;
  }
  LLVMValueRef to = em_imulc(m, em_iadd(m, k0, k), s->c * taps);
  to = em_iadd(m, em_iadd(m, to, em_imulc(m, cb, TILE_COLS * taps)), t);
  scatter(m, sum, em_gep(m, m->f32, w, to), taps);
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &ln, NULL, 0);
}

void conv_emit_tiles_dw(EmitModule *m, const ConvSpec *s, int step) { (step ? emit_sum : emit_main)(m, s); }
