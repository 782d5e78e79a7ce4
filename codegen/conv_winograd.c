/* Winograd convolution F(4x4,3x3): 36 products a 4x4 tile and channel pair instead of 144. A chunk transforms a block of source tiles
   into V (36 planes in thread scratch), multiplies plane by plane with the transformed weights, and transforms the products back.
   The input gradient is the same with flipped, transposed weights. The weight gradient multiplies transformed source tiles with
   transformed tiles of the incoming gradient, summed over tiles, and transforms back once at the end.
   (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.) */
#include "codegen/conv.h"

enum { UNROLL = 160, AHEAD = 4 }; /* multiply-adds in a loop body, about; tiles prefetched ahead */

/* ---- one-dimensional transforms ---- */
static LLVMValueRef scaled(EmitModule *m, double k, LLVMValueRef a, LLVMValueRef b) { /* k * a + b */
  return em_fma(m, em_const(m->vf32, k), a, b);
}

/* B^T d: 6 -> 6 */
static void source_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef a = scaled(m, -4, d[2], d[4]), b = scaled(m, -4, d[1], d[3]), c = em_fsub(m, d[4], d[2]), e = em_fsub(m, d[3], d[1]);
  o[0] = scaled(m, 4, d[0], scaled(m, -5, d[2], d[4]));
  o[1] = em_fadd(m, a, b), o[2] = em_fsub(m, a, b);
  o[3] = scaled(m, 2, e, c), o[4] = scaled(m, -2, e, c);
  o[5] = scaled(m, 4, d[1], scaled(m, -5, d[3], d[5]));
}

/* A^T m: 6 -> 4 */
static void result_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef s = em_fadd(m, d[1], d[2]), t = em_fsub(m, d[1], d[2]), u = em_fadd(m, d[3], d[4]), v = em_fsub(m, d[3], d[4]);
  o[0] = em_fadd(m, em_fadd(m, d[0], s), u);
  o[1] = scaled(m, 2, v, t);
  o[2] = scaled(m, 4, u, s);
  o[3] = scaled(m, 8, v, em_fadd(m, t, d[5]));
}

/* A y: 4 -> 6 */
static void gradient_1d(EmitModule *m, const LLVMValueRef *y, LLVMValueRef *o) {
  LLVMValueRef e = em_fadd(m, y[0], y[2]), f = em_fadd(m, y[1], y[3]), g = scaled(m, 4, y[2], y[0]), h = scaled(m, 4, y[3], y[1]);
  o[0] = y[0], o[5] = y[3];
  o[1] = em_fadd(m, e, f), o[2] = em_fsub(m, e, f);
  o[3] = scaled(m, 2, h, g), o[4] = scaled(m, -2, h, g);
}

/* G w: 3 -> 6 */
static void weight_1d(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) {
  LLVMTypeRef t = m->vf32;
  LLVMValueRef s = em_fmul(m, em_fadd(m, w[0], w[2]), em_const(t, -1.0 / 6));
  LLVMValueRef u = scaled(m, 1.0 / 24, w[0], em_fmul(m, w[2], em_const(t, 1.0 / 6)));
  o[0] = em_fmul(m, w[0], em_const(t, 0.25)), o[5] = w[2];
  o[1] = scaled(m, -1.0 / 6, w[1], s), o[2] = scaled(m, 1.0 / 6, w[1], s);
  o[3] = scaled(m, 1.0 / 12, w[1], u), o[4] = scaled(m, -1.0 / 12, w[1], u);
}

/* G^T u: 6 -> 3 */
static void weight_back_1d(EmitModule *m, const LLVMValueRef *u, LLVMValueRef *o) {
  LLVMTypeRef t = m->vf32;
  LLVMValueRef a = em_fadd(m, u[1], u[2]), b = em_fsub(m, u[2], u[1]), c = em_fadd(m, u[3], u[4]), d = em_fsub(m, u[3], u[4]);
  o[0] = scaled(m, 0.25, u[0], scaled(m, 1.0 / 24, c, em_fmul(m, a, em_const(t, -1.0 / 6))));
  o[1] = scaled(m, 1.0 / 12, d, em_fmul(m, b, em_const(t, 1.0 / 6)));
  o[2] = scaled(m, 1.0 / 6, em_fsub(m, c, a), u[5]);
}

typedef void (*Transform)(EmitModule *, const LLVMValueRef *, LLVMValueRef *);

/* d[from][from] -> o[to][to]: columns, then rows. Loads and stores go through the callers' pointers. */
static void transform_2d(EmitModule *m, Transform f, int from, int to, const LLVMValueRef *row, LLVMValueRef out, int64_t plane) {
  LLVMValueRef q[6][6], d[6], o[6];
  for (int j = 0; j < from; j++) {
    for (int i = 0; i < from; i++) d[i] = conv_vload(m, conv_atc(m, row[i], j * m->vl));
    f(m, d, o);
    for (int i = 0; i < to; i++) q[i][j] = o[i];
  }
  for (int i = 0; i < to; i++) {
    f(m, q[i], o);
    for (int j = 0; j < to; j++) conv_vstore(m, o[j], conv_atc(m, out, (i * to + j) * plane));
  }
}

/* ---- tiles ---- */
typedef struct {
  LLVMValueRef image, h, w; /* first pixel of the tile; outside for tiles past the last */
} Tile;

static Tile tile_at(EmitModule *m, const ConvWino *g, LLVMValueRef t, bool guard) {
  LLVMValueRef image = em_idivc(m, t, g->th * g->tw), r = em_imodc(m, t, g->th * g->tw);
  Tile z = {image, em_imulc(m, em_idivc(m, r, g->tw), 4), em_imulc(m, em_imodc(m, r, g->tw), 4)};
  if (guard) { /* a tile past the end lies below its image: all zeros */
    LLVMValueRef past = LLVMBuildICmp(m->b, LLVMIntSGE, t, em_i64(m, g->tiles), "");
    z.image = em_imin(m, z.image, em_i64(m, g->n - 1));
    z.h = LLVMBuildSelect(m->b, past, em_i64(m, 1 << 20), z.h, "");
  }
  return z;
}

/* Row pointers of the size x size pixels at (h, w) of one channel block: in place where all lie inside, else of a zero-padded copy. */
static void tile_rows(EmitModule *m, LLVMValueRef src, int64_t nh, int64_t nw, LLVMValueRef h, LLVMValueRef w, int size,
                      LLVMValueRef patch, LLVMValueRef *row) {
  LLVMBuilderRef b = m->b;
  int L = m->vl;
  LLVMValueRef zero = em_i64(m, 0);
  LLVMValueRef inside = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntULE, h, em_i64(m, nh - size), ""),
                                     LLVMBuildICmp(b, LLVMIntULE, w, em_i64(m, nw - size), ""), "");
  if (nh < size || nw < size) inside = LLVMConstInt(m->i1, 0, 0);
  LLVMValueRef place = conv_at(m, src, em_imulc(m, em_iadd(m, em_imulc(m, h, nw), w), L));
  EmitIf f;
  em_if(m, &f, inside);
  em_else(m, &f);
  LLVMTypeRef vi = LLVMVectorType(m->i32, (unsigned)L);
  LLVMValueRef mask[6], at[6];
  for (int j = 0; j < size; j++) {
    LLVMValueRef c = em_iaddc(m, w, j), ok = LLVMBuildICmp(b, LLVMIntULT, c, em_i64(m, nw), "");
    mask[j] = em_splat(m, LLVMBuildSExt(b, ok, m->i32, ""), L);
    at[j] = em_imulc(m, LLVMBuildSelect(b, ok, c, zero, ""), L);
  }
  ConvLoop l;
  LLVMValueRef i = conv_loop(m, &l, em_i64(m, size), 1);
  LLVMValueRef r = em_iadd(m, h, i), ok = LLVMBuildICmp(b, LLVMIntULT, r, em_i64(m, nh), "");
  LLVMValueRef line = conv_at(m, src, em_imulc(m, LLVMBuildSelect(b, ok, r, zero, ""), nw * L));
  LLVMValueRef rowmask = em_splat(m, LLVMBuildSExt(b, ok, m->i32, ""), L), to = conv_at(m, patch, em_imulc(m, i, size * L));
  for (int j = 0; j < size; j++) {
    LLVMValueRef v = em_load(m, vi, conv_at(m, line, at[j]), 4);
    v = LLVMBuildAnd(b, v, LLVMBuildAnd(b, rowmask, mask[j], ""), "");
    em_store(m, v, conv_atc(m, to, j * L), 4);
  }
  conv_end(m, &l, NULL, 0);
  em_endif(m, &f);
  row[0] = em_merge(m, &f, place, patch);
  LLVMValueRef pitch = em_merge(m, &f, em_i64(m, nw * L), em_i64(m, size * L));
  for (int k = 1; k < size; k++) row[k] = conv_at(m, row[k - 1], pitch);
}

/* Transforms tiles [t0, t0 + block) and blocks [cb0, cb1) of a tensor into planes out[36][cb][tile][lane]. */
static void transform_block(EmitModule *m, const ConvWino *g, bool gradient, LLVMValueRef src, LLVMValueRef cb0, LLVMValueRef cb1,
                            LLVMValueRef t0, LLVMValueRef patch, LLVMValueRef out) {
  int L = m->vl, size = gradient ? 4 : 6;
  int64_t ncb = gradient ? g->ocb : g->icb, nh = gradient ? g->oh : g->h, nw = gradient ? g->ow : g->w;
  int64_t pad = gradient ? 0 : g->pad, plane = gradient ? g->mplane : g->vplane;
  Transform f = gradient ? gradient_1d : source_1d;
  ConvLoop lb, lt;
  LLVMValueRef cb = em_iadd(m, cb0, conv_loop(m, &lb, em_isub(m, cb1, cb0), 1));
  LLVMValueRef t = conv_loop(m, &lt, em_i64(m, g->block), 1);
  Tile z = tile_at(m, g, em_iadd(m, t0, t), g->tiles % g->block != 0);
  LLVMValueRef base = conv_at(m, src, em_imulc(m, em_iadd(m, em_imulc(m, z.image, ncb), cb), nh * nw * L)), row[6];
  tile_rows(m, base, nh, nw, em_iaddc(m, z.h, -pad), em_iaddc(m, z.w, -pad), size, patch, row);
  LLVMValueRef at = em_iadd(m, em_imulc(m, cb, g->vgroup), t); /* gradient tiles: one group */
  if (g->vgroup < g->block)
    at = em_iadd(m, em_iadd(m, em_imulc(m, em_idivc(m, t, g->vgroup), ncb * g->vgroup), em_imulc(m, cb, g->vgroup)), em_imodc(m, t, g->vgroup));
  LLVMValueRef to = conv_at(m, out, em_imulc(m, at, L));
  Tile ahead = tile_at(m, g, em_iaddc(m, em_iadd(m, t0, t), AHEAD), false);
  LLVMValueRef next = conv_at(m, src, em_imulc(m, em_iadd(m, em_imulc(m, ahead.image, ncb), cb), nh * nw * L));
  next = conv_at(m, next, em_imulc(m, em_iadd(m, em_imulc(m, em_iaddc(m, ahead.h, pad), nw), ahead.w), L));
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4 * L; j += 16) em_prefetch(m, conv_atc(m, next, i * nw * L + j), false, 3);
  transform_2d(m, f, size, 6, row, to, plane);
  conv_end(m, &lt, NULL, 0);
  conv_end(m, &lb, NULL, 0);
}

/* ---- forward and input gradient ---- */
/* Weights of `count` channels from c0 on to one block of produced channels: taps as vectors over produced channels (flipped for the
   input gradient), transformed to u[36][c][lane]. */
static void transform_weights(EmitModule *m, const ConvSpec *s, const ConvWino *g, LLVMValueRef w, LLVMValueRef ob, LLVMValueRef c0,
                              int64_t count, LLVMValueRef taps, LLVMValueRef u) {
  bool dx = s->kind == CONV_DX;
  int L = m->vl;
  ConvLoop lc;
  LLVMValueRef c = em_iadd(m, c0, conv_loop(m, &lc, em_i64(m, count), 1)), lane0 = em_imulc(m, ob, L), row[3];
  for (int i = 0; i < 3; i++) {
    row[i] = conv_atc(m, taps, i * 3 * L);
    for (int j = 0; j < 3; j++) {
      int tap = dx ? (2 - i) * 3 + 2 - j : i * 3 + j;
      LLVMValueRef from = conv_atc(m, conv_at(m, w, em_imulc(m, c, dx ? s->c * 9 : 9)), tap);
      conv_vstore(m, conv_lanes(m, from, lane0, g->cout, dx ? 9 : s->c * 9), conv_atc(m, row[i], j * L));
    }
  }
  transform_2d(m, weight_1d, 3, 6, row, conv_at(m, u, em_imulc(m, c, L)), g->uplane);
  conv_end(m, &lc, NULL, 0);
}

static void emit_weights(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef w = em_operand(m, 0), u = em_operand(m, 1);
  LLVMValueRef ob = em_idivc(m, m->chunk, g->icb), c0 = em_imulc(m, em_imodc(m, m->chunk, g->icb), g->lanes);
  transform_weights(m, s, g, w, ob, c0, g->lanes, m->scratch, conv_at(m, u, em_imulc(m, ob, g->cin * g->lanes)));
}

static int unroll_for(int64_t n, int64_t work) {
  int u = 1;
  while (n % (u * 2) == 0 && u * 2 * work <= UNROLL) u *= 2;
  return u;
}

/* M[36][ob][block][lane] = V U for produced blocks kb .. kb + ob. */
static void product(EmitModule *m, const ConvWino *g, LLVMValueRef v, LLVMValueRef u, LLVMValueRef mm) {
  int n = g->rb * g->ob, L = m->vl, unroll = unroll_for(L, n);
  ConvLoop lp, lt, lb, lc;
  LLVMValueRef p = conv_loop(m, &lp, em_i64(m, 36), 1);
  LLVMValueRef t = conv_loop(m, &lt, em_i64(m, g->block), g->rb);
  LLVMValueRef vp = conv_at(m, v, em_iadd(m, em_imulc(m, p, g->vplane), em_imulc(m, t, g->icb * L)));
  LLVMValueRef up = conv_at(m, u, em_imulc(m, p, g->uplane)), acc[CONV_MAX_TILE];
  for (int k = 0; k < n; k++) acc[k] = LLVMConstNull(m->vf32);
  LLVMValueRef cb = conv_loop(m, &lb, em_i64(m, g->icb), 1);
  conv_carry(m, &lb, acc, n);
  LLVMValueRef vb = conv_at(m, vp, em_imulc(m, cb, g->rb * L)), ub = conv_at(m, up, em_imulc(m, cb, L * L));
  LLVMValueRef c = conv_loop(m, &lc, em_i64(m, L), unroll);
  conv_carry(m, &lc, acc, n);
  LLVMValueRef vc = conv_at(m, vb, c), uc = conv_at(m, ub, em_imulc(m, c, L));
  for (int k = 0; k < unroll; k++) {
    int64_t off[CONV_MAX_TILE];
    for (int i = 0; i < g->rb; i++) off[i] = i * L + k;
    conv_fma_tile(m, acc, vc, off, g->rb, uc, k * L, g->cin * L, g->ob);
  }
  conv_end(m, &lc, acc, n);
  conv_end(m, &lb, acc, n);
  LLVMValueRef to = conv_at(m, mm, em_iadd(m, em_imulc(m, p, g->mplane), em_imulc(m, t, L)));
  for (int k = 0; k < n; k++) conv_vstore(m, acc[k], conv_atc(m, to, (k / g->ob + k % g->ob * g->block) * L));
  conv_end(m, &lt, NULL, 0);
  conv_end(m, &lp, NULL, 0);
}

/* Transforms the products of one produced block back and stores the tiles' pixels that exist. */
static void results(EmitModule *m, const ConvWino *g, LLVMValueRef mm, LLVMValueRef t0, LLVMValueRef kb, LLVMValueRef patch,
                    LLVMValueRef result) {
  LLVMBuilderRef b = m->b;
  int L = m->vl;
  bool ragged = g->oh % 4 || g->ow % 4;
  LLVMValueRef count = em_imin(m, em_isub(m, em_i64(m, g->tiles), t0), em_i64(m, g->block));
  ConvLoop lt, lr, lc;
  LLVMValueRef t = conv_loop(m, &lt, g->tiles % g->block ? count : em_i64(m, g->block), 1);
  Tile z = tile_at(m, g, em_iadd(m, t0, t), false);
  LLVMValueRef dst = conv_at(m, result, em_imulc(m, em_iadd(m, em_imulc(m, z.image, g->ocb), kb), g->oh * g->ow * L));
  dst = conv_at(m, dst, em_imulc(m, em_iadd(m, em_imulc(m, z.h, g->ow), z.w), L));
  LLVMValueRef full = NULL, to = dst, pitch = em_i64(m, g->ow * L);
  if (ragged) {
    full = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntSLE, z.h, em_i64(m, g->oh - 4), ""),
                        LLVMBuildICmp(b, LLVMIntSLE, z.w, em_i64(m, g->ow - 4), ""), "");
    to = LLVMBuildSelect(b, full, dst, patch, "");
    pitch = LLVMBuildSelect(b, full, pitch, em_i64(m, 4 * L), "");
  }
  LLVMValueRef from = conv_at(m, mm, em_imulc(m, t, L)), q[4][6], d[6], o[6];
  for (int j = 0; j < 6; j++) {
    for (int i = 0; i < 6; i++) d[i] = conv_vload(m, conv_atc(m, from, (i * 6 + j) * g->mplane));
    result_1d(m, d, o);
    for (int i = 0; i < 4; i++) q[i][j] = o[i];
  }
  for (int i = 0; i < 4; i++) {
    result_1d(m, q[i], o);
    for (int j = 0; j < 4; j++) conv_vstore(m, o[j], conv_atc(m, to, j * L));
    to = conv_at(m, to, pitch);
  }
  if (ragged) {
    EmitIf f;
    em_if(m, &f, full);
    em_else(m, &f);
    LLVMValueRef nr = em_imin(m, em_isub(m, em_i64(m, g->oh), z.h), em_i64(m, 4)), nc = em_imin(m, em_isub(m, em_i64(m, g->ow), z.w), em_i64(m, 4));
    LLVMValueRef r = conv_loop(m, &lr, nr, 1), c = conv_loop(m, &lc, nc, 1);
    LLVMValueRef x = conv_vload(m, conv_at(m, patch, em_imulc(m, em_iadd(m, em_imulc(m, r, 4), c), L)));
    conv_vstore(m, x, conv_at(m, dst, em_imulc(m, em_iadd(m, em_imulc(m, r, g->ow), c), L)));
    conv_end(m, &lc, NULL, 0);
    conv_end(m, &lr, NULL, 0);
    em_endif(m, &f);
  }
  conv_end(m, &lt, NULL, 0);
}

/* Transforms all of a step's source (and gradient) tiles into memory. */
static void emit_in(EmitModule *m, const ConvWino *g, bool dw) {
  int64_t gx = conv_div_up(g->icb, g->fill_group), gy = conv_div_up(g->ocb, g->fill_group);
  EmitIf f;
  for (int part = 0; part < (dw ? 2 : 1); part++) {
    LLVMValueRef src = em_operand(m, part), tmp = em_operand(m, (dw ? 2 : 1) + part);
    LLVMValueRef i = em_iaddc(m, m->chunk, part ? -g->nblock * gx : 0);
    if (dw && !part) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSLT, i, em_i64(m, g->nblock * gx), ""));
    LLVMValueRef blk = em_idivc(m, i, part ? gy : gx), cb0 = em_imulc(m, em_imodc(m, i, part ? gy : gx), g->fill_group);
    LLVMValueRef cb1 = em_imin(m, em_iaddc(m, cb0, g->fill_group), em_i64(m, part ? g->ocb : g->icb));
    LLVMValueRef out = conv_at(m, tmp, em_imulc(m, blk, 36 * (part ? g->mplane : g->vplane)));
    transform_block(m, g, part, src, cb0, cb1, em_imulc(m, blk, g->block), m->scratch, out);
    if (dw && !part) em_else(m, &f);
  }
  if (dw) em_endif(m, &f);
}

/* Products and results of one block of tiles for produced blocks kb .. kb + ob. */
static void multiply_block(EmitModule *m, const ConvWino *g, LLVMValueRef v, LLVMValueRef u, LLVMValueRef t0, LLVMValueRef kb,
                           LLVMValueRef mm, LLVMValueRef result) {
  product(m, g, v, u, mm);
  ConvLoop l;
  LLVMValueRef o = conv_loop(m, &l, em_i64(m, g->ob), 1);
  results(m, g, conv_at(m, mm, em_imulc(m, o, g->block * g->lanes)), t0, em_iadd(m, kb, o), conv_atc(m, mm, 36 * g->mplane), result);
  conv_end(m, &l, NULL, 0);
}

static void emit_main(EmitModule *m, const ConvWino *g) {
  LLVMValueRef src = em_operand(m, 0), u = em_operand(m, 1), result = em_operand(m, 2);
  LLVMValueRef v = m->scratch, mm = conv_atc(m, v, 36 * g->vplane), patch = conv_atc(m, mm, 36 * g->mplane);
  LLVMValueRef t0 = em_imulc(m, m->chunk, g->block);
  transform_block(m, g, false, src, em_i64(m, 0), em_i64(m, g->icb), t0, patch, v);
  ConvLoop l;
  LLVMValueRef kb = conv_loop(m, &l, em_i64(m, g->ocb), g->ob);
  if (g->ocb % g->ob) kb = em_imin(m, kb, em_i64(m, g->ocb - g->ob));
  multiply_block(m, g, v, conv_at(m, u, em_imulc(m, kb, g->cin * g->lanes)), t0, kb, mm, result);
  conv_end(m, &l, NULL, 0);
}

static void emit_main_stationary(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef v = em_operand(m, 0), w = em_operand(m, 1), result = em_operand(m, 2);
  LLVMValueRef u = m->scratch, mm = conv_atc(m, u, 36 * g->uplane), kb = em_imulc(m, m->chunk, g->ob);
  ConvLoop lo, lt;
  LLVMValueRef o = conv_loop(m, &lo, em_i64(m, g->ob), 1);
  transform_weights(m, s, g, w, em_iadd(m, kb, o), em_i64(m, 0), g->cin, conv_atc(m, mm, 36 * g->mplane),
                    conv_at(m, u, em_imulc(m, o, g->cin * g->lanes)));
  conv_end(m, &lo, NULL, 0);
  LLVMValueRef blk = conv_loop(m, &lt, em_i64(m, g->nblock), 1);
  multiply_block(m, g, conv_at(m, v, em_imulc(m, blk, 36 * g->vplane)), u, em_imulc(m, blk, g->block), kb, mm, result);
  conv_end(m, &lt, NULL, 0);
}

/* ---- weight gradient ---- */
/* dU[36][kgroup][cgroup * L][lane] (+)= V^T D: over one block of tiles onto what is there, or over all of them from zero. v and d
   point at the chunk's first channel blocks. */
static void wgrad_product(EmitModule *m, const ConvWino *g, LLVMValueRef v, LLVMValueRef d, LLVMValueRef du, bool all) {
  int n = g->rb * g->ob, L = m->vl, unroll = unroll_for(g->block, n);
  int64_t kstride = g->cgroup * L * L;
  ConvLoop lp, lk, lb, lc, lt, ln;
  LLVMValueRef p = conv_loop(m, &lp, em_i64(m, 36), 1);
  LLVMValueRef kb = conv_loop(m, &lk, em_i64(m, g->kgroup), g->ob);
  LLVMValueRef cb = conv_loop(m, &lb, em_i64(m, g->cgroup), 1);
  LLVMValueRef c0 = conv_loop(m, &lc, em_i64(m, L), g->rb);
  LLVMValueRef vp = conv_at(m, conv_at(m, v, em_imulc(m, p, g->vplane)), em_iadd(m, em_imulc(m, cb, g->block * L), c0));
  LLVMValueRef dp = conv_at(m, conv_at(m, d, em_imulc(m, p, g->mplane)), em_imulc(m, kb, g->block * L));
  LLVMValueRef to = conv_at(m, conv_at(m, du, em_imulc(m, p, g->uplane)), em_imulc(m, kb, kstride));
  to = conv_at(m, to, em_imulc(m, em_iadd(m, em_imulc(m, cb, L), c0), L));
  LLVMValueRef acc[CONV_MAX_TILE];
  int64_t off[CONV_MAX_TILE];
  for (int k = 0; k < n; k++)
    acc[k] = all ? LLVMConstNull(m->vf32) : conv_vload(m, conv_atc(m, to, k / g->ob * L + k % g->ob * kstride));
  LLVMValueRef blk = conv_loop(m, &ln, em_i64(m, all ? g->nblock : 1), 1);
  conv_carry(m, &ln, acc, n);
  vp = conv_at(m, vp, em_imulc(m, blk, 36 * g->vplane)), dp = conv_at(m, dp, em_imulc(m, blk, 36 * g->mplane));
  LLVMValueRef t = conv_loop(m, &lt, em_i64(m, g->block), unroll);
  conv_carry(m, &lt, acc, n);
  LLVMValueRef vt = conv_at(m, vp, em_imulc(m, t, L)), dt = conv_at(m, dp, em_imulc(m, t, L));
  for (int k = 0; k < unroll; k++) {
    for (int i = 0; i < g->rb; i++) off[i] = k * L + i;
    conv_fma_tile(m, acc, vt, off, g->rb, dt, k * L, g->block * L, g->ob);
  }
  conv_end(m, &lt, acc, n);
  conv_end(m, &ln, acc, n);
  for (int k = 0; k < n; k++) conv_vstore(m, acc[k], conv_atc(m, to, k / g->ob * L + k % g->ob * kstride));
  conv_end(m, &lc, NULL, 0);
  conv_end(m, &lb, NULL, 0);
  conv_end(m, &lk, NULL, 0);
  conv_end(m, &lp, NULL, 0);
}

static void emit_wgrad(EmitModule *m, const ConvWino *g) {
  LLVMValueRef x = em_operand(m, 0), y = em_operand(m, 1), tmp = em_operand(m, 2), zero = em_i64(m, 0);
  LLVMValueRef v = m->scratch, d = conv_atc(m, v, 36 * g->vplane), patch = conv_atc(m, d, 36 * g->mplane);
  LLVMValueRef du = conv_at(m, tmp, em_imulc(m, m->chunk, 36 * g->uplane)), first = em_imulc(m, m->chunk, g->per_split);
  ConvLoop lz, lt;
  LLVMValueRef z = conv_loop(m, &lz, em_i64(m, 36 * g->uplane), g->lanes);
  conv_vstore(m, LLVMConstNull(m->vf32), conv_at(m, du, z));
  conv_end(m, &lz, NULL, 0);
  LLVMValueRef count = em_imin(m, em_isub(m, em_i64(m, g->nblock), first), em_i64(m, g->per_split));
  LLVMValueRef t0 = em_imulc(m, em_iadd(m, first, conv_loop(m, &lt, count, 1)), g->block);
  transform_block(m, g, false, x, zero, em_i64(m, g->icb), t0, patch, v);
  transform_block(m, g, true, y, zero, em_i64(m, g->ocb), t0, patch, d);
  wgrad_product(m, g, v, d, du, false);
  conv_end(m, &lt, NULL, 0);
}

/* Transforms the dU of one pair of channel blocks back, summing partials, and stores it row-major OIHW. taps: 9 * L * L floats. */
static void weights_back(EmitModule *m, const ConvSpec *s, const ConvWino *g, LLVMValueRef from, LLVMValueRef ob, LLVMValueRef ib,
                         LLVMValueRef taps, LLVMValueRef w) {
  int L = m->vl;
  ConvLoop lc, lp, lj;
  LLVMValueRef c = conv_loop(m, &lc, em_i64(m, L), 1), at = conv_at(m, from, em_imulc(m, c, L));
  LLVMValueRef v[36], q[3][6], d[6], o[6];
  for (int i = 0; i < 36; i++) v[i] = conv_vload(m, conv_atc(m, at, i * g->uplane));
  if (g->nsplit > 1) {
    LLVMValueRef p = conv_loop(m, &lp, em_i64(m, g->nsplit - 1), 1);
    conv_carry(m, &lp, v, 36);
    LLVMValueRef part = conv_at(m, at, em_imulc(m, em_iaddc(m, p, 1), 36 * g->uplane));
    for (int i = 0; i < 36; i++) v[i] = em_fadd(m, v[i], conv_vload(m, conv_atc(m, part, i * g->uplane)));
    conv_end(m, &lp, v, 36);
  }
  for (int j = 0; j < 6; j++) {
    for (int i = 0; i < 6; i++) d[i] = v[i * 6 + j];
    weight_back_1d(m, d, o);
    for (int i = 0; i < 3; i++) q[i][j] = o[i];
  }
  LLVMValueRef to = conv_at(m, taps, em_imulc(m, c, 9 * L));
  for (int i = 0; i < 3; i++) {
    weight_back_1d(m, q[i], o);
    for (int j = 0; j < 3; j++) conv_vstore(m, o[j], conv_atc(m, to, (i * 3 + j) * L));
  }
  conv_end(m, &lc, NULL, 0);
  /* taps[c, tap][k] to w[k][c, tap] */
  LLVMValueRef j = conv_loop(m, &lj, em_i64(m, 9), 1), row[CONV_MAX_TILE];
  for (int i = 0; i < L; i++) row[i] = conv_vload(m, conv_at(m, taps, em_imulc(m, em_iaddc(m, em_imulc(m, j, L), i), L)));
  conv_transpose(m, row, L);
  LLVMValueRef dst = conv_at(m, w, em_imulc(m, ob, L * s->c * 9));
  dst = conv_at(m, dst, em_imulc(m, em_iadd(m, em_imulc(m, ib, 9), j), L));
  for (int i = 0; i < L; i++) conv_vstore(m, row[i], conv_atc(m, dst, i * s->c * 9));
  conv_end(m, &lj, NULL, 0);
}

static void emit_sum(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef tmp = em_operand(m, 0), w = em_operand(m, 1);
  LLVMValueRef ob = em_idivc(m, m->chunk, g->icb), ib = em_imodc(m, m->chunk, g->icb);
  weights_back(m, s, g, conv_at(m, tmp, em_imulc(m, m->chunk, g->lanes * g->lanes)), ob, ib, m->scratch, w);
}

static void emit_wgrad_stationary(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef v = em_operand(m, 0), d = em_operand(m, 1), w = em_operand(m, 2);
  int64_t ncg = g->icb / g->cgroup, tiles = g->block * g->lanes, pair = g->lanes * g->lanes;
  LLVMValueRef kb0 = em_imulc(m, em_idivc(m, m->chunk, ncg), g->kgroup), cb0 = em_imulc(m, em_imodc(m, m->chunk, ncg), g->cgroup);
  LLVMValueRef du = m->scratch, taps = conv_atc(m, du, 36 * g->uplane);
  wgrad_product(m, g, conv_at(m, v, em_imulc(m, cb0, tiles)), conv_at(m, d, em_imulc(m, kb0, tiles)), du, true);
  ConvLoop lk, lc;
  LLVMValueRef k = conv_loop(m, &lk, em_i64(m, g->kgroup), 1), c = conv_loop(m, &lc, em_i64(m, g->cgroup), 1);
  LLVMValueRef from = conv_at(m, du, em_imulc(m, em_iadd(m, em_imulc(m, k, g->cgroup), c), pair));
  weights_back(m, s, g, from, em_iadd(m, kb0, k), em_iadd(m, cb0, c), taps, w);
  conv_end(m, &lc, NULL, 0);
  conv_end(m, &lk, NULL, 0);
}

void conv_emit_winograd(EmitModule *m, const ConvPlan *plan, int step) {
  const ConvSpec *s = &plan->spec;
  bool dw = s->kind == CONV_DW;
  ConvWino g;
  conv_wino(s, m->target, &g);
  if (step == 0) {
    if (g.stationary) emit_in(m, &g, dw);
    else if (dw) emit_wgrad(m, &g);
    else emit_weights(m, s, &g);
  } else if (dw) {
    (g.stationary ? emit_wgrad_stationary : emit_sum)(m, s, &g);
  } else if (g.stationary) {
    emit_main_stationary(m, s, &g);
  } else {
    emit_main(m, &g);
  }
}
