/* Winograd convolution F(4x4,3x3): 36 products a 4x4 tile and channel pair instead of 144. A chunk transforms
   a block of source tiles into V (36 planes in thread scratch), multiplies plane by plane with the
   transformed weights, and transforms the products back. The input gradient is the same with flipped,
   transposed weights. The weight gradient multiplies transformed source tiles with transformed tiles of the
   incoming gradient, summed over tiles, and transforms back once at the end. (Lavin and Gray, Fast Algorithms
   for Convolutional Neural Networks, 2015.) */
#include "codegen/conv/conv.h"

enum { UNROLL = 160, AHEAD = 4 }; /* multiply-adds in a loop body, about; tiles prefetched ahead */

/* ---- one-dimensional transforms ---- */
typedef void (*Transform)(EmitModule *, const LLVMValueRef *, LLVMValueRef *);

/* Source pixels known to lie outside the image are constant zeros and cost nothing. */
static LLVMValueRef times(EmitModule *m, double k, LLVMValueRef a) {
  return LLVMIsNull(a) ? a : em_fmul(m, a, em_const(m->vf32, k));
}

static LLVMValueRef scaled(EmitModule *m, double k, LLVMValueRef a, LLVMValueRef b) { /* k * a + b */
  if (LLVMIsNull(a)) return b;
  return LLVMIsNull(b) ? times(m, k, a) : em_fma(m, em_const(m->vf32, k), a, b);
}

static LLVMValueRef plus(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  return LLVMIsNull(a) ? b : LLVMIsNull(b) ? a : em_fadd(m, a, b);
}

/* F(4,3), points 0, +-A, +-B, inf. Those near 1 lose fewest digits: errors are 0.45 of those with 1 and 2 (docs/performance.md). */
#define A 0.625
#define B 1.5
#define A2 (A * A)
#define B2 (B * B)
static const double at_0 = 1 / (A2 * B2), at_a = 0.5 / (A2 * (A2 - B2)), at_b = 0.5 / (B2 * (B2 - A2));

/* B^T d: 6 -> 6 */
static void source_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef e = scaled(m, -B2, d[2], d[4]), f = scaled(m, -B2, d[1], d[3]), g = scaled(m, -A2, d[2], d[4]),
               h = scaled(m, -A2, d[1], d[3]);
  o[0] = scaled(m, A2 * B2, d[0], scaled(m, -A2 - B2, d[2], d[4]));
  o[1] = scaled(m, A, f, e), o[2] = scaled(m, -A, f, e);
  o[3] = scaled(m, B, h, g), o[4] = scaled(m, -B, h, g);
  o[5] = scaled(m, A2 * B2, d[1], scaled(m, -A2 - B2, d[3], d[5]));
}

/* A^T m: 6 -> 4 */
static void result_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef s = em_fadd(m, d[1], d[2]), t = em_fsub(m, d[1], d[2]), u = em_fadd(m, d[3], d[4]),
               v = em_fsub(m, d[3], d[4]);
  o[0] = em_fadd(m, em_fadd(m, d[0], s), u);
  o[1] = scaled(m, B, v, times(m, A, t));
  o[2] = scaled(m, B2, u, times(m, A2, s));
  o[3] = scaled(m, B * B2, v, scaled(m, A * A2, t, d[5]));
}

/* A y: 4 -> 6 */
static void gradient_1d(EmitModule *m, const LLVMValueRef *y, LLVMValueRef *o) {
  LLVMValueRef e = scaled(m, A2, y[2], y[0]), f = scaled(m, A2, y[3], y[1]), g = scaled(m, B2, y[2], y[0]),
               h = scaled(m, B2, y[3], y[1]);
  o[0] = y[0], o[5] = y[3];
  o[1] = scaled(m, A, f, e), o[2] = scaled(m, -A, f, e);
  o[3] = scaled(m, B, h, g), o[4] = scaled(m, -B, h, g);
}

/* G w: 3 -> 6 */
static void weight_1d(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) {
  LLVMValueRef s = times(m, at_a, scaled(m, A2, w[2], w[0])), u = times(m, at_b, scaled(m, B2, w[2], w[0]));
  o[0] = times(m, at_0, w[0]), o[5] = w[2];
  o[1] = scaled(m, A * at_a, w[1], s), o[2] = scaled(m, -A * at_a, w[1], s);
  o[3] = scaled(m, B * at_b, w[1], u), o[4] = scaled(m, -B * at_b, w[1], u);
}

/* G^T u: 6 -> 3 */
static void weight_back_1d(EmitModule *m, const LLVMValueRef *u, LLVMValueRef *o) {
  LLVMValueRef a = times(m, at_a, em_fadd(m, u[1], u[2])), b = em_fsub(m, u[1], u[2]),
               c = times(m, at_b, em_fadd(m, u[3], u[4])), d = em_fsub(m, u[3], u[4]);
  o[0] = scaled(m, at_0, u[0], em_fadd(m, a, c));
  o[1] = scaled(m, A * at_a, b, times(m, B * at_b, d));
  o[2] = scaled(m, A2, a, scaled(m, B2, c, u[5]));
}

/* F(4,2), points 0 1 -1 2 inf. B^T d: 5 -> 5 */
static void pair_source(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef a = em_fsub(m, d[3], d[2]);
  o[0] = scaled(m, 2, em_fsub(m, d[0], d[2]), em_fsub(m, d[3], d[1]));
  o[1] = scaled(m, -2, d[1], a);
  o[2] = scaled(m, 2, em_fsub(m, d[1], d[2]), a);
  o[3] = em_fsub(m, d[3], d[1]);
  o[4] = scaled(m, -2, o[3], em_fsub(m, d[4], d[2]));
}

/* A^T m: 5 -> 4 */
static void pair_result(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef s = em_fadd(m, d[1], d[2]), t = em_fsub(m, d[1], d[2]);
  o[0] = em_fadd(m, em_fadd(m, d[0], s), d[3]);
  o[1] = scaled(m, 2, d[3], t);
  o[2] = scaled(m, 4, d[3], s);
  o[3] = scaled(m, 8, d[3], em_fadd(m, t, d[4]));
}

/* Stride 2: the source's even positions meet the outer taps, the odd ones the middle tap. 9 -> 9 */
static void source2_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef even[5] = {d[0], d[2], d[4], d[6], d[8]};
  pair_source(m, even, o);
  for (int i = 0; i < 4; i++) o[5 + i] = d[2 * i + 1];
}

/* 9 -> 4 */
static void result2_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  pair_result(m, d, o);
  for (int i = 0; i < 4; i++) o[i] = em_fadd(m, o[i], d[5 + i]);
}

/* Its input gradient: odd positions come from the outer taps, even ones from the middle tap. 5 -> 9 */
static void dx2_source_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  pair_source(m, d, o);
  for (int i = 0; i < 4; i++) o[5 + i] = d[i];
}

/* 9 -> 8 */
static void dx2_result_1d(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  LLVMValueRef odd[4];
  pair_result(m, d, odd);
  for (int i = 0; i < 4; i++) o[2 * i] = d[5 + i], o[2 * i + 1] = odd[i];
}

/* A y and y: 4 -> 9 */
static void gradient2_1d(EmitModule *m, const LLVMValueRef *y, LLVMValueRef *o) {
  LLVMValueRef e = em_fadd(m, y[0], y[2]), f = em_fadd(m, y[1], y[3]);
  o[0] = y[0], o[4] = y[3];
  o[1] = em_fadd(m, e, f), o[2] = em_fsub(m, e, f);
  o[3] = scaled(m, 2, scaled(m, 4, y[3], y[1]), scaled(m, 4, y[2], y[0]));
  for (int i = 0; i < 4; i++) o[5 + i] = y[i];
}

/* G (w0, w2) and w1 four times: 3 -> 9 */
static void weight2_1d(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) {
  o[0] = times(m, 0.5, w[0]), o[4] = w[2];
  o[1] = times(m, -0.5, em_fadd(m, w[0], w[2]));
  o[2] = times(m, -1.0 / 6, em_fsub(m, w[0], w[2]));
  o[3] = scaled(m, 1.0 / 6, w[0], times(m, 1.0 / 3, w[2]));
  for (int i = 0; i < 4; i++) o[5 + i] = w[1];
}

/* 9 -> 3 */
static void weight2_back_1d(EmitModule *m, const LLVMValueRef *u, LLVMValueRef *o) {
  o[0] = scaled(m, 0.5, em_fsub(m, u[0], u[1]), times(m, 1.0 / 6, em_fsub(m, u[3], u[2])));
  o[1] = em_fadd(m, em_fadd(m, u[5], u[6]), em_fadd(m, u[7], u[8]));
  o[2] = em_fadd(m, u[4], scaled(m, -0.5, u[1], scaled(m, 1.0 / 6, u[2], times(m, 1.0 / 3, u[3]))));
}

/* Images of 2x2 with a border of zeros: 3 products a dimension, where 4 of the 6 taps meet pixels.
   y0 = x1 (w2 - w1) + (x0 + x1) w1, y1 = x0 (w0 - w1) + (x0 + x1) w1. */
static void small_source(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  o[0] = d[0], o[1] = d[1], o[2] = plus(m, d[0], d[1]);
}

static void small_result(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  o[0] = em_fadd(m, d[1], d[2]), o[1] = em_fadd(m, d[0], d[2]);
}

static void small_gradient(EmitModule *m, const LLVMValueRef *y, LLVMValueRef *o) {
  o[0] = y[1], o[1] = y[0], o[2] = em_fadd(m, y[0], y[1]);
}

static void small_weight(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) {
  o[0] = em_fsub(m, w[0], w[1]), o[1] = em_fsub(m, w[2], w[1]), o[2] = w[1];
}

static void small_back(EmitModule *m, const LLVMValueRef *u, LLVMValueRef *o) {
  o[0] = u[0], o[1] = em_fsub(m, em_fsub(m, u[2], u[0]), u[1]), o[2] = u[1];
}

/* Images of 4x4 under stride 2 with a border of zeros: y0 = x0 w1 + x1 w2, y1 = x1 w0 + x2 w1 + x3 w2. */
static void small2_source(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  (void)m;
  o[0] = d[0], o[1] = o[2] = d[1], o[3] = d[2], o[4] = d[3];
}

static void small2_result(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  o[0] = em_fadd(m, d[0], d[1]), o[1] = em_fadd(m, em_fadd(m, d[2], d[3]), d[4]);
}

/* Of the incoming gradient, for both gradients: each y once for every product it is part of. */
static void small2_gradient(EmitModule *m, const LLVMValueRef *y, LLVMValueRef *o) {
  (void)m;
  o[0] = o[1] = y[0], o[2] = o[3] = o[4] = y[1];
}

static void small2_dx_result(EmitModule *m, const LLVMValueRef *d, LLVMValueRef *o) {
  o[0] = d[0], o[1] = em_fadd(m, d[1], d[2]), o[2] = d[3], o[3] = d[4];
}

static void small2_weight(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) {
  (void)m;
  o[0] = o[3] = w[1], o[1] = o[4] = w[2], o[2] = w[0];
}

static void small2_dx_weight(EmitModule *m, const LLVMValueRef *w, LLVMValueRef *o) { /* w arrives flipped */
  (void)m;
  o[0] = o[3] = w[1], o[1] = o[4] = w[0], o[2] = w[2];
}

static void small2_back(EmitModule *m, const LLVMValueRef *u, LLVMValueRef *o) {
  o[0] = u[2], o[1] = em_fadd(m, u[0], u[3]), o[2] = em_fadd(m, u[1], u[4]);
}

/* The transforms of each form: source (x, or the incoming gradient), result (y, dx), weights, the incoming
   gradient (DW), weights back. */
static const struct {
  Transform source[2], result[2], weights[2], gradient, back; /* [dx] */
} transforms[] = {
    [WINO_4X3] =
        {{source_1d, source_1d}, {result_1d, result_1d}, {weight_1d, weight_1d}, gradient_1d, weight_back_1d},
    [WINO_STRIDE2] = {{source2_1d, dx2_source_1d},
                      {result2_1d, dx2_result_1d},
                      {weight2_1d, weight2_1d},
                      gradient2_1d,
                      weight2_back_1d},
    [WINO_2X2] = {{small_source, small_source},
                  {small_result, small_result},
                  {small_weight, small_weight},
                  small_gradient,
                  small_back},
    [WINO_STRIDE2_4X4] = {{small2_source, small2_gradient},
                          {small2_result, small2_dx_result},
                          {small2_weight, small2_dx_weight},
                          small2_gradient,
                          small2_back},
};

enum { POINTS = 9 };

/* A matrix of vectors in memory: row i starts at row[i] or at row[0] + i * pitch; columns are `col` elements
   apart. */
typedef struct {
  LLVMValueRef row, pitch;
  int64_t col;
  bool bf16;
} Grid;

static LLVMValueRef grid_row(EmitModule *m, const Grid *g, LLVMValueRef i) {
  return tile_tat(m, g->bf16, g->row,
                  LLVMIsAConstantInt(g->pitch) ? em_imulc(m, i, LLVMConstIntGetSExtValue(g->pitch))
                                               : em_imul(m, i, g->pitch));
}

/* A tile of source pixels that may reach over the image's edges: where it can, coordinates are clamped and a
   mask is zero outside (NULL: always inside). */
enum { EDGE_SIZE = 6 };
typedef struct {
  LLVMValueRef row[EDGE_SIZE], col[EDGE_SIZE], row_mask[EDGE_SIZE], col_mask[EDGE_SIZE];
  bool bf16;
} Edges;

static LLVMValueRef edge_pixel(EmitModule *m, const Edges *e, int i, int j) {
  LLVMValueRef rm = e->row_mask[i], cm = e->col_mask[j];
  if ((rm && LLVMIsNull(rm)) || (cm && LLVMIsNull(cm))) return LLVMConstNull(m->vf32);
  LLVMValueRef v = tile_tload(m, e->bf16, tile_tat(m, e->bf16, e->row[i], e->col[j]), m->vl);
  LLVMValueRef mask = rm && cm ? LLVMBuildAnd(m->b, rm, cm, "") : rm ? rm : cm;
  if (!mask) return v;
  v = LLVMBuildAnd(m->b, LLVMBuildBitCast(m->b, v, LLVMTypeOf(mask), ""), mask, "");
  return LLVMBuildBitCast(m->b, v, m->vf32, "");
}

static bool is_straight(int from, int to) { return from <= EDGE_SIZE && to <= EDGE_SIZE; }

/* in[from][from] -> out[to][to]: columns, then rows. Small transforms are straight code, larger ones loops
   over columns and over rows with q[to][from] in memory between them. `edges`, where given (straight code),
   stands for `in`. */
static void transform_2d(EmitModule *m, Transform f, int from, int to, Grid in, const Edges *edges,
                         LLVMValueRef q, Grid out) {
  LLVMValueRef d[POINTS], o[POINTS], mid[POINTS][POINTS], row[POINTS];
  int L = m->vl;
  bool straight = is_straight(from, to);
  row[0] = in.row;
  for (int i = 1; i < from && !edges; i++) row[i] = tile_tat(m, in.bf16, row[i - 1], in.pitch);
  TileLoop l = {.once = true};
  for (int j = 0; j < (straight ? from : 1); j++) {
    LLVMValueRef at = straight ? em_i64(m, j) : tile_loop(m, &l, em_i64(m, from), 1);
    for (int i = 0; i < from && edges; i++) d[i] = edge_pixel(m, edges, i, j);
    for (int i = 0; i < from && !edges; i++)
      d[i] = tile_tload(m, in.bf16, tile_tat(m, in.bf16, row[i], em_imulc(m, at, in.col)), L);
    f(m, d, o);
    for (int i = 0; i < to; i++) mid[i][j] = o[i];
    for (int i = 0; i < to && !straight; i++)
      tile_vstore(m, o[i], tile_at(m, tile_atc(m, q, i * from * L), em_imulc(m, at, L)));
    if (!straight) tile_end(m, &l, NULL, 0);
  }
  for (int i = 0; i < (straight ? to : 1); i++) {
    LLVMValueRef at = straight ? em_i64(m, i) : tile_loop(m, &l, em_i64(m, to), 1);
    LLVMValueRef line = tile_at(m, q, em_imulc(m, at, from * L)), dst = grid_row(m, &out, at);
    for (int j = 0; j < from; j++) d[j] = straight ? mid[i][j] : tile_vload(m, tile_atc(m, line, j * L));
    f(m, d, o);
    for (int j = 0; j < to; j++)
      tile_tstore(m, out.bf16, o[j], tile_tat(m, out.bf16, dst, em_i64(m, j * out.col)));
    if (!straight) tile_end(m, &l, NULL, 0);
  }
}

/* Points x points planes as a grid. */
static Grid planes(EmitModule *m, const ConvWino *g, LLVMValueRef p, int64_t plane) {
  return (Grid){p, em_i64(m, g->points * plane), plane, false};
}

/* ---- tiles ---- */
typedef struct {
  LLVMValueRef image, h, w; /* tile row and column */
} Tile;

static Tile wino_tile_at(EmitModule *m, const ConvWino *g, LLVMValueRef t) {
  LLVMValueRef image = em_idivc(m, t, g->th * g->tw), r = em_imodc(m, t, g->th * g->tw);
  return (Tile){image, em_idivc(m, r, g->tw), em_imodc(m, r, g->tw)};
}

/* Where pixel i of a tile at `first` lies along a dimension of n pixels cut into `count` tiles `step` apart. */
static LLVMValueRef edge_at(EmitModule *m, LLVMValueRef first, int i, int64_t n, int64_t count, int64_t step,
                            int64_t pad, LLVMValueRef *mask) {
  LLVMValueRef at = em_iaddc(m, first, i);
  *mask = NULL;
  if (i >= pad && (count - 1) * step - pad + i < n) return at;
  LLVMValueRef ok = LLVMBuildICmp(m->b, LLVMIntULT, at, em_i64(m, n), "");
  LLVMValueRef bits = LLVMBuildSExt(m->b, ok, m->i32, "");
  *mask = LLVMIsNull(bits) ? LLVMConstNull(em_vec(m->i32, m->vl)) : em_splat(m, bits, m->vl);
  if (LLVMIsConstant(ok) && !LLVMIsNull(ok)) *mask = NULL;
  return LLVMBuildSelect(m->b, ok, at, em_i64(m, 0), "");
}

static Edges tile_edges(EmitModule *m, const ConvWino *g, bool bf16, LLVMValueRef src, int64_t nh, int64_t nw,
                        Tile z, int64_t step, int64_t pad, int size) {
  Edges e = {.bf16 = bf16};
  LLVMValueRef h = em_iaddc(m, em_imulc(m, z.h, step), -pad), w = em_iaddc(m, em_imulc(m, z.w, step), -pad);
  for (int i = 0; i < size; i++) {
    LLVMValueRef r = edge_at(m, h, i, nh, g->th, step, pad, &e.row_mask[i]);
    e.row[i] = tile_tat(m, bf16, src, em_imulc(m, r, nw * m->vl));
    e.col[i] = em_imulc(m, edge_at(m, w, i, nw, g->tw, step, pad, &e.col_mask[i]), m->vl);
  }
  return e;
}

/* The size x size pixels at (h, w) of one channel block: in place where all lie inside, else a zero-padded
   copy. */
static Grid tile_pixels(EmitModule *m, bool bf16, LLVMValueRef src, int64_t nh, int64_t nw, LLVMValueRef h,
                        LLVMValueRef w, int size, LLVMValueRef patch) {
  LLVMBuilderRef b = m->b;
  int L = m->vl;
  LLVMValueRef zero = em_i64(m, 0);
  LLVMValueRef inside = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntULE, h, em_i64(m, nh - size), ""),
                                     LLVMBuildICmp(b, LLVMIntULE, w, em_i64(m, nw - size), ""), "");
  if (nh < size || nw < size) inside = LLVMConstInt(m->i1, 0, 0);
  LLVMValueRef place = tile_tat(m, bf16, src, em_imulc(m, em_iadd(m, em_imulc(m, h, nw), w), L));
  EmitIf f;
  em_if(m, &f, inside);
  em_else(m, &f);
  LLVMTypeRef word = bf16 ? m->i16 : m->i32, vi = LLVMVectorType(word, (unsigned)L);
  LLVMValueRef mask[POINTS], at[POINTS];
  for (int j = 0; j < size; j++) {
    LLVMValueRef c = em_iaddc(m, w, j), ok = LLVMBuildICmp(b, LLVMIntULT, c, em_i64(m, nw), "");
    mask[j] = em_splat(m, LLVMBuildSExt(b, ok, word, ""), L);
    at[j] = em_imulc(m, LLVMBuildSelect(b, ok, c, zero, ""), L);
  }
  TileLoop l;
  LLVMValueRef i = tile_loop(m, &l, em_i64(m, size), 1);
  LLVMValueRef r = em_iadd(m, h, i), ok = LLVMBuildICmp(b, LLVMIntULT, r, em_i64(m, nh), "");
  LLVMValueRef line = tile_tat(m, bf16, src, em_imulc(m, LLVMBuildSelect(b, ok, r, zero, ""), nw * L));
  LLVMValueRef rowmask = em_splat(m, LLVMBuildSExt(b, ok, word, ""), L),
               to = tile_tat(m, bf16, patch, em_imulc(m, i, size * L));
  for (int j = 0; j < size; j++) {
    LLVMValueRef v = em_load(m, vi, tile_tat(m, bf16, line, at[j]), bf16 ? 2 : 4);
    v = LLVMBuildAnd(b, v, LLVMBuildAnd(b, rowmask, mask[j], ""), "");
    em_store(m, v, tile_tat(m, bf16, to, em_i64(m, j * L)), bf16 ? 2 : 4);
  }
  tile_end(m, &l, NULL, 0);
  em_endif(m, &f);
  LLVMValueRef first = em_merge(m, &f, place, patch),
               pitch = em_merge(m, &f, em_i64(m, nw * L), em_i64(m, size * L));
  return (Grid){first, pitch, L, bf16};
}

/* Prefetches the step x step pixels of the tile AHEAD tiles after t in block cb of a tensor (any address will
   do past the end). */
static void prefetch_tile(EmitModule *m, const ConvWino *g, bool bf16, LLVMValueRef tensor, int64_t ncb,
                          LLVMValueRef cb, LLVMValueRef t, int64_t nh, int64_t nw, int step, bool write) {
  int L = m->vl;
  Tile z = wino_tile_at(m, g, em_iaddc(m, t, AHEAD));
  LLVMValueRef p =
      tile_tat(m, bf16, tensor, em_imulc(m, em_iadd(m, em_imulc(m, z.image, ncb), cb), nh * nw * L));
  p = tile_tat(m, bf16, p, em_imulc(m, em_iadd(m, em_imulc(m, z.h, step * nw), em_imulc(m, z.w, step)), L));
  for (int i = 0; i < step; i++)
    for (int j = 0; j < step * L; j += bf16 ? 32 : 16)
      em_prefetch(m, tile_tat(m, bf16, p, em_i64(m, i * nw * L + j)), write, 3);
}

/* Where planes keep tile t of a block and channel block cb of ncb: floats from the plane's start. */
static LLVMValueRef tile_slot(EmitModule *m, const ConvWino *g, int64_t ncb, LLVMValueRef cb,
                              LLVMValueRef t) {
  if (g->vgroup == g->block) return em_imulc(m, em_iadd(m, em_imulc(m, cb, g->block), t), m->vl);
  LLVMValueRef group = em_iadd(m, em_imulc(m, em_idivc(m, t, g->vgroup), ncb), cb);
  return em_imulc(m, em_iadd(m, em_imulc(m, group, g->vgroup), em_imodc(m, t, g->vgroup)), m->vl);
}

/* Transforms tiles [t0, t0 + block) and blocks [cb0, cb1) of the source (or, DW, of the incoming gradient)
   into planes out[plane][cb][tile][lane]; tiles from `end` (NULL: none) on are zero. */
static void transform_block(EmitModule *m, const ConvWino *g, bool dx, bool gradient, LLVMValueRef src,
                            LLVMValueRef cb0, LLVMValueRef cb1, LLVMValueRef t0, LLVMValueRef end,
                            LLVMValueRef work, LLVMValueRef out) {
  int L = m->vl, size = gradient ? g->out_tile : g->patch, step = gradient ? g->out_tile : g->source_tile;
  int64_t ncb = gradient ? g->ocb : g->icb, nh = gradient ? g->oh : g->h, nw = gradient ? g->ow : g->w;
  int64_t pad = gradient ? 0 : g->pad, plane = gradient ? g->mplane : g->vplane;
  Transform f = gradient ? transforms[g->form].gradient : transforms[g->form].source[dx];
  bool bf16 = gradient ? g->gradient16 : g->source16;
  LLVMValueRef count = em_i64(m, g->block);
  if (end) count = em_imin(m, em_isub(m, end, t0), count);
  TileLoop lb, lt, lp;
  LLVMValueRef cb = em_iadd(m, cb0, tile_loop(m, &lb, em_isub(m, cb1, cb0), 1));
  LLVMValueRef t = tile_loop(m, &lt, count, 1);
  Tile z = wino_tile_at(m, g, em_iadd(m, t0, t));
  LLVMValueRef base =
      tile_tat(m, bf16, src, em_imulc(m, em_iadd(m, em_imulc(m, z.image, ncb), cb), nh * nw * L));
  prefetch_tile(m, g, bf16, src, ncb, cb, em_iadd(m, t0, t), nh, nw, step, false);
  bool straight = is_straight(size, g->points);
  Edges edges;
  Grid in = {0};
  if (straight) edges = tile_edges(m, g, bf16, base, nh, nw, z, step, pad, size);
  else
    in = tile_pixels(m, bf16, base, nh, nw, em_iaddc(m, em_imulc(m, z.h, step), -pad),
                     em_iaddc(m, em_imulc(m, z.w, step), -pad), size, work);
  transform_2d(m, f, size, g->points, in, straight ? &edges : NULL, tile_atc(m, work, g->planes * L),
               planes(m, g, tile_at(m, out, tile_slot(m, g, ncb, cb, t)), plane));
  tile_end(m, &lt, NULL, 0);
  if (end) {
    LLVMValueRef rest = tile_loop(m, &lt, em_isub(m, em_i64(m, g->block), count), 1);
    LLVMValueRef at = tile_at(m, out, tile_slot(m, g, ncb, cb, em_iadd(m, count, rest)));
    LLVMValueRef p = tile_loop(m, &lp, em_i64(m, g->planes), 1);
    tile_vstore(m, LLVMConstNull(m->vf32), tile_at(m, at, em_imulc(m, p, plane)));
    tile_end(m, &lp, NULL, 0);
    tile_end(m, &lt, NULL, 0);
  }
  tile_end(m, &lb, NULL, 0);
}

/* ---- forward and input gradient ---- */
/* Weights of `count` channels from c0 on to one block of produced channels: taps as vectors over produced
   channels (flipped for the input gradient), transformed to u[plane][c][lane]. */
static void transform_weights(EmitModule *m, const ConvSpec *s, const ConvWino *g, LLVMValueRef w,
                              LLVMValueRef ob, LLVMValueRef c0, int64_t count, LLVMValueRef taps,
                              LLVMValueRef u) {
  bool dx = s->kind == CONV_DX;
  int L = m->vl;
  TileLoop lc, lt;
  LLVMValueRef c = em_iadd(m, c0, tile_loop(m, &lc, em_i64(m, count), 1));
  LLVMValueRef from = tile_tat(m, s->wbf16, w, em_imulc(m, c, dx ? s->c * 9 : 9));
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, 9), 1), tap = dx ? em_isub(m, em_i64(m, 8), t) : t;
  LLVMValueRef v = conv_lanes(m, s->wbf16, tile_tat(m, s->wbf16, from, tap), em_imulc(m, ob, L), g->cout,
                              dx ? 9 : s->c * 9);
  tile_vstore(m, v, tile_at(m, taps, em_imulc(m, t, L)));
  tile_end(m, &lt, NULL, 0);
  transform_2d(m, transforms[g->form].weights[dx], 3, g->points, (Grid){taps, em_i64(m, 3 * L), L, false},
               NULL, tile_atc(m, taps, 9 * L), planes(m, g, tile_at(m, u, em_imulc(m, c, L)), g->uplane));
  tile_end(m, &lc, NULL, 0);
}

static void emit_weights(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef w = em_operand(m, 0), u = em_operand(m, 1);
  LLVMValueRef ob = em_idivc(m, m->chunk, g->icb), c0 = em_imulc(m, em_imodc(m, m->chunk, g->icb), g->lanes);
  transform_weights(m, s, g, w, ob, c0, g->lanes, m->scratch,
                    tile_at(m, u, em_imulc(m, ob, g->cin * g->lanes)));
}

static int unroll_for(int64_t n, int64_t work) {
  int u = 1;
  while (n % (u * 2) == 0 && u * 2 * work <= UNROLL) u *= 2;
  return u;
}

/* M[plane][ob][block][lane] = V U for produced blocks kb .. kb + ob. */
static void product(EmitModule *m, const ConvWino *g, LLVMValueRef v, LLVMValueRef u, LLVMValueRef mm) {
  int n = g->rb * g->ob, L = m->vl, unroll = unroll_for(L, n);
  TileLoop lp, lt, lb, lc;
  LLVMValueRef p = tile_loop(m, &lp, em_i64(m, g->planes), 1);
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, g->block), g->rb);
  LLVMValueRef vp = tile_at(m, v, em_iadd(m, em_imulc(m, p, g->vplane), em_imulc(m, t, g->icb * L)));
  LLVMValueRef up = tile_at(m, u, em_imulc(m, p, g->uplane)), acc[TILE_MAX];
  for (int k = 0; k < n; k++) acc[k] = LLVMConstNull(m->vf32);
  LLVMValueRef cb = tile_loop(m, &lb, em_i64(m, g->icb), 1);
  tile_carry(m, &lb, acc, n);
  LLVMValueRef vb = tile_at(m, vp, em_imulc(m, cb, g->rb * L)), ub = tile_at(m, up, em_imulc(m, cb, L * L));
  LLVMValueRef c = tile_loop(m, &lc, em_i64(m, L), unroll);
  tile_carry(m, &lc, acc, n);
  LLVMValueRef vc = tile_at(m, vb, c), uc = tile_at(m, ub, em_imulc(m, c, L));
  for (int k = 0; k < unroll; k++) {
    int64_t off[TILE_MAX];
    for (int i = 0; i < g->rb; i++) off[i] = i * L + k;
    tile_fma(m, acc, vc, off, g->rb, uc, k * L, g->cin * L, g->ob);
  }
  tile_end(m, &lc, acc, n);
  tile_end(m, &lb, acc, n);
  LLVMValueRef to = tile_at(m, mm, em_iadd(m, em_imulc(m, p, g->mplane), em_imulc(m, t, L)));
  for (int k = 0; k < n; k++) tile_vstore(m, acc[k], tile_atc(m, to, (k / g->ob + k % g->ob * g->block) * L));
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &lp, NULL, 0);
}

/* What a tile needs to be computed again (mend.c): the function, or NULL, and the operands. */
typedef struct {
  LLVMValueRef fn, src, w;
} Mend;

static Mend mend_with(EmitModule *m, const ConvSpec *s, const ConvWino *g, LLVMValueRef src, LLVMValueRef w) {
  bool mixes = g->form != WINO_STRIDE2_4X4; /* that form only adds products up */
  return (Mend){mixes ? conv_mend(m, s, g) : NULL, src, w};
}

/* Whether a pixel spoils the tile shows in its corners; under stride 2, where some pixels meet single rows or columns
   of results, in the last row and column. */
static LLVMValueRef is_spoilt(EmitModule *m, const ConvWino *g, const Grid *out) {
  int n = g->out_tile;
  LLVMValueRef sum = NULL;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      bool corner = i % (n - 1) == 0 && j % (n - 1) == 0, last = i == n - 1 || j == n - 1;
      if (g->form == WINO_STRIDE2 ? !last : !corner) continue;
      LLVMValueRef row = grid_row(m, out, em_i64(m, i));
      LLVMValueRef x = tile_tload(m, out->bf16, tile_tat(m, out->bf16, row, em_i64(m, j * out->col)), m->vl);
      sum = sum ? em_fadd(m, sum, x) : x;
    }
  LLVMValueRef zero = em_fsub(m, sum, sum), bad = LLVMBuildFCmp(m->b, LLVMRealUNO, zero, zero, "");
  LLVMTypeRef t = LLVMIntTypeInContext(m->cx, (unsigned)m->vl);
  return LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildBitCast(m->b, bad, t, ""), LLVMConstNull(t), "");
}

/* Transforms the products of one produced block back and stores the tiles' pixels that exist. */
static void results(EmitModule *m, const ConvWino *g, bool dx, const Mend *mend, LLVMValueRef mm,
                    LLVMValueRef t0, LLVMValueRef end, LLVMValueRef kb, LLVMValueRef work,
                    LLVMValueRef result) {
  LLVMBuilderRef b = m->b;
  int L = m->vl, size = g->out_tile;
  bool ragged = g->oh % size || g->ow % size;
  LLVMValueRef count = em_i64(m, g->block);
  if (end) count = em_imin(m, em_isub(m, end, t0), count);
  TileLoop lt, lr, lc;
  LLVMValueRef t = tile_loop(m, &lt, count, 1);
  Tile z = wino_tile_at(m, g, em_iadd(m, t0, t));
  LLVMValueRef h = em_imulc(m, z.h, size), w = em_imulc(m, z.w, size), full = NULL;
  bool bf16 = g->result16;
  LLVMValueRef dst =
      tile_tat(m, bf16, result, em_imulc(m, em_iadd(m, em_imulc(m, z.image, g->ocb), kb), g->oh * g->ow * L));
  dst = tile_tat(m, bf16, dst, em_imulc(m, em_iadd(m, em_imulc(m, h, g->ow), w), L));
  prefetch_tile(m, g, bf16, result, g->ocb, kb, em_iadd(m, t0, t), g->oh, g->ow, size, true);
  Grid out = {dst, em_i64(m, g->ow * L), L, bf16};
  if (ragged) {
    full = LLVMBuildAnd(b, LLVMBuildICmp(b, LLVMIntSLE, h, em_i64(m, g->oh - size), ""),
                        LLVMBuildICmp(b, LLVMIntSLE, w, em_i64(m, g->ow - size), ""), "");
    out.row = LLVMBuildSelect(b, full, dst, work, "");
    out.pitch = LLVMBuildSelect(b, full, out.pitch, em_i64(m, size * L), "");
  }
  transform_2d(m, transforms[g->form].result[dx], g->points, size,
               planes(m, g, tile_at(m, mm, em_imulc(m, t, L)), g->mplane), NULL,
               tile_atc(m, work, g->planes * L), out);
  EmitIf f;
  if (mend->fn) {
    em_if(m, &f, is_spoilt(m, g, &out));
    LLVMValueRef arg[] = {mend->src, mend->w, out.row, out.pitch, z.image, kb, h, w};
    LLVMBuildCall2(b, LLVMGlobalGetValueType(mend->fn), mend->fn, arg, 8, "");
    em_else(m, &f);
    em_endif(m, &f);
  }
  if (ragged) {
    em_if(m, &f, full);
    em_else(m, &f);
    LLVMValueRef nr = em_imin(m, em_isub(m, em_i64(m, g->oh), h), em_i64(m, size));
    LLVMValueRef nc = em_imin(m, em_isub(m, em_i64(m, g->ow), w), em_i64(m, size));
    LLVMValueRef r = tile_loop(m, &lr, nr, 1), c = tile_loop(m, &lc, nc, 1);
    LLVMTypeRef raw = em_vec(bf16 ? m->i16 : m->f32, L);
    LLVMValueRef x = tile_tat(m, bf16, work, em_imulc(m, em_iadd(m, em_imulc(m, r, size), c), L));
    LLVMValueRef y = tile_tat(m, bf16, dst, em_imulc(m, em_iadd(m, em_imulc(m, r, g->ow), c), L));
    em_store(m, em_load(m, raw, x, bf16 ? 2 : 4), y, bf16 ? 2 : 4);
    tile_end(m, &lc, NULL, 0);
    tile_end(m, &lr, NULL, 0);
    em_endif(m, &f);
  }
  tile_end(m, &lt, NULL, 0);
}

/* The end of all tiles, NULL where they are whole blocks. */
static LLVMValueRef all_tiles(EmitModule *m, const ConvWino *g) {
  return g->tiles % g->block ? em_i64(m, g->tiles) : NULL;
}

/* Transforms all of a step's source (and gradient) tiles into memory. */
static void emit_in(EmitModule *m, const ConvWino *g, bool dx, bool dw) {
  int64_t gx = div_up(g->icb, g->fill_group), gy = div_up(g->ocb, g->fill_group);
  EmitIf f;
  for (int part = 0; part < (dw ? 2 : 1); part++) {
    LLVMValueRef src = em_operand(m, part), tmp = em_operand(m, (dw ? 2 : 1) + part);
    LLVMValueRef i = em_iaddc(m, m->chunk, part ? -g->nblock * gx : 0);
    if (dw && !part) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSLT, i, em_i64(m, g->nblock * gx), ""));
    LLVMValueRef blk = em_idivc(m, i, part ? gy : gx),
                 cb0 = em_imulc(m, em_imodc(m, i, part ? gy : gx), g->fill_group);
    LLVMValueRef cb1 = em_imin(m, em_iaddc(m, cb0, g->fill_group), em_i64(m, part ? g->ocb : g->icb));
    LLVMValueRef out = tile_at(m, tmp, em_imulc(m, blk, g->planes * (part ? g->mplane : g->vplane)));
    transform_block(m, g, dx, part, src, cb0, cb1, em_imulc(m, blk, g->block), all_tiles(m, g), m->scratch,
                    out);
    if (dw && !part) em_else(m, &f);
  }
  if (dw) em_endif(m, &f);
}

/* Products and results of one block of tiles for produced blocks kb .. kb + ob. */
static void multiply_block(EmitModule *m, const ConvWino *g, bool dx, const Mend *mend, LLVMValueRef v,
                           LLVMValueRef u, LLVMValueRef t0, LLVMValueRef end, LLVMValueRef kb,
                           LLVMValueRef mm, LLVMValueRef result) {
  product(m, g, v, u, mm);
  TileLoop l;
  LLVMValueRef o = tile_loop(m, &l, em_i64(m, g->ob), 1);
  results(m, g, dx, mend, tile_at(m, mm, em_imulc(m, o, g->block * g->lanes)), t0, end, em_iadd(m, kb, o),
          tile_atc(m, mm, g->planes * g->mplane), result);
  tile_end(m, &l, NULL, 0);
}

static void emit_main(EmitModule *m, const ConvSpec *s, const ConvWino *g, bool dx) {
  LLVMValueRef src = em_operand(m, 0), u = em_operand(m, 1), result = em_operand(m, 3);
  Mend mend = mend_with(m, s, g, src, em_operand(m, 2));
  LLVMValueRef v = m->scratch, mm = tile_atc(m, v, g->planes * g->vplane),
               patch = tile_atc(m, mm, g->planes * g->mplane);
  if (g->in_place) mm = v;
  LLVMValueRef first = em_imulc(m, m->chunk, g->span), count = em_i64(m, g->span), end = all_tiles(m, g);
  if (g->tiles % g->span) count = em_imin(m, count, em_isub(m, em_i64(m, g->tiles), first));
  else if (g->span % g->block) end = em_iadd(m, first, count);
  TileLoop lt, l;
  LLVMValueRef t0 = em_iadd(m, first, tile_loop(m, &lt, count, g->block));
  transform_block(m, g, dx, false, src, em_i64(m, 0), em_i64(m, g->icb), t0, end, patch, v);
  LLVMValueRef kb = tile_loop(m, &l, em_i64(m, g->ocb), g->ob);
  if (g->ocb % g->ob) kb = em_imin(m, kb, em_i64(m, g->ocb - g->ob));
  multiply_block(m, g, dx, &mend, v, tile_at(m, u, em_imulc(m, kb, g->cin * g->lanes)), t0, end, kb, mm,
                 result);
  tile_end(m, &l, NULL, 0);
  tile_end(m, &lt, NULL, 0);
}

static void emit_main_stationary(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef v = em_operand(m, 0), w = em_operand(m, 1), result = em_operand(m, 3);
  Mend mend = mend_with(m, s, g, em_operand(m, 2), w);
  LLVMValueRef u = m->scratch, mm = tile_atc(m, u, g->planes * g->uplane), kb = em_imulc(m, m->chunk, g->ob);
  TileLoop lo, lt;
  LLVMValueRef o = tile_loop(m, &lo, em_i64(m, g->ob), 1);
  transform_weights(m, s, g, w, em_iadd(m, kb, o), em_i64(m, 0), g->cin,
                    tile_atc(m, mm, g->planes * g->mplane), tile_at(m, u, em_imulc(m, o, g->cin * g->lanes)));
  tile_end(m, &lo, NULL, 0);
  LLVMValueRef blk = tile_loop(m, &lt, em_i64(m, g->nblock), 1);
  multiply_block(m, g, s->kind == CONV_DX, &mend, tile_at(m, v, em_imulc(m, blk, g->planes * g->vplane)), u,
                 em_imulc(m, blk, g->block), all_tiles(m, g), kb, mm, result);
  tile_end(m, &lt, NULL, 0);
}

/* ---- weight gradient ---- */
/* The vector at p, or zero where the bits of `keep` are. */
static LLVMValueRef kept(EmitModule *m, LLVMValueRef p, LLVMValueRef keep) {
  LLVMValueRef v = em_load(m, LLVMTypeOf(keep), p, 4);
  return LLVMBuildBitCast(m->b, LLVMBuildAnd(m->b, v, keep, ""), m->vf32, "");
}

/* dU[plane][kgroup][cgroup * L][lane] (+)= V^T D: over one block of tiles onto what is there where `keep` has
   bits, or (NULL) over all blocks from zero. v and d point at the chunk's first channel blocks. */
static void wgrad_product(EmitModule *m, const ConvWino *g, LLVMValueRef v, LLVMValueRef d, LLVMValueRef du,
                          LLVMValueRef keep) {
  int n = g->rb * g->ob, L = m->vl, unroll = unroll_for(g->block, n);
  int64_t kstride = g->cgroup * L * L;
  TileLoop lp, lk, lb, lc, lt, ln;
  LLVMValueRef p = tile_loop(m, &lp, em_i64(m, g->planes), 1);
  LLVMValueRef kb = tile_loop(m, &lk, em_i64(m, g->kgroup), g->ob);
  LLVMValueRef cb = tile_loop(m, &lb, em_i64(m, g->cgroup), 1);
  LLVMValueRef c0 = tile_loop(m, &lc, em_i64(m, L), g->rb);
  LLVMValueRef vp =
      tile_at(m, tile_at(m, v, em_imulc(m, p, g->vplane)), em_iadd(m, em_imulc(m, cb, g->block * L), c0));
  LLVMValueRef dp = tile_at(m, tile_at(m, d, em_imulc(m, p, g->mplane)), em_imulc(m, kb, g->block * L));
  LLVMValueRef to = tile_at(m, tile_at(m, du, em_imulc(m, p, g->uplane)), em_imulc(m, kb, kstride));
  to = tile_at(m, to, em_imulc(m, em_iadd(m, em_imulc(m, cb, L), c0), L));
  LLVMValueRef acc[TILE_MAX];
  int64_t off[TILE_MAX];
  for (int k = 0; k < n; k++)
    acc[k] =
        keep ? kept(m, tile_atc(m, to, k / g->ob * L + k % g->ob * kstride), keep) : LLVMConstNull(m->vf32);
  LLVMValueRef blk = tile_loop(m, &ln, em_i64(m, keep ? 1 : g->nblock), 1);
  tile_carry(m, &ln, acc, n);
  vp = tile_at(m, vp, em_imulc(m, blk, g->planes * g->vplane)),
  dp = tile_at(m, dp, em_imulc(m, blk, g->planes * g->mplane));
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, g->block), unroll);
  tile_carry(m, &lt, acc, n);
  LLVMValueRef vt = tile_at(m, vp, em_imulc(m, t, L)), dt = tile_at(m, dp, em_imulc(m, t, L));
  for (int k = 0; k < unroll; k++) {
    for (int i = 0; i < g->rb; i++) off[i] = k * L + i;
    tile_fma(m, acc, vt, off, g->rb, dt, k * L, g->block * L, g->ob);
  }
  tile_end(m, &lt, acc, n);
  tile_end(m, &ln, acc, n);
  for (int k = 0; k < n; k++) tile_vstore(m, acc[k], tile_atc(m, to, k / g->ob * L + k % g->ob * kstride));
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lb, NULL, 0);
  tile_end(m, &lk, NULL, 0);
  tile_end(m, &lp, NULL, 0);
}

static void emit_wgrad(EmitModule *m, const ConvWino *g) {
  LLVMValueRef x = em_operand(m, 0), y = em_operand(m, 1), tmp = em_operand(m, 2), zero = em_i64(m, 0);
  LLVMValueRef v = m->scratch, d = tile_atc(m, v, g->planes * g->vplane),
               patch = tile_atc(m, d, g->planes * g->mplane);
  LLVMValueRef du = tile_at(m, tmp, em_imulc(m, m->chunk, g->planes * g->uplane)),
               first = em_imulc(m, m->chunk, g->per_split);
  TileLoop lt;
  LLVMValueRef count = em_imin(m, em_isub(m, em_i64(m, g->nblock), first), em_i64(m, g->per_split));
  LLVMValueRef blk = tile_loop(m, &lt, count, 1), t0 = em_imulc(m, em_iadd(m, first, blk), g->block);
  transform_block(m, g, false, false, x, zero, em_i64(m, g->icb), t0, all_tiles(m, g), patch, v);
  transform_block(m, g, false, true, y, zero, em_i64(m, g->ocb), t0, all_tiles(m, g), patch, d);
  /* the first block starts from zero: what memory holds is masked away */
  LLVMValueRef later = LLVMBuildICmp(m->b, LLVMIntNE, blk, zero, "");
  wgrad_product(m, g, v, d, du, em_splat(m, LLVMBuildSExt(m->b, later, m->i32, ""), m->vl));
  tile_end(m, &lt, NULL, 0);
}

/* Transforms the dU of one pair of channel blocks back, summing partials, and stores it row-major OIHW.
   scratch: 9 * L * L + work floats. */
static void weights_back(EmitModule *m, const ConvSpec *s, const ConvWino *g, LLVMValueRef from,
                         LLVMValueRef ob, LLVMValueRef ib, LLVMValueRef taps, LLVMValueRef w) {
  int L = m->vl;
  LLVMValueRef work = tile_atc(m, taps, 9 * L * L);
  TileLoop lc, lp, ls, lj;
  LLVMValueRef c = tile_loop(m, &lc, em_i64(m, L), 1), at = tile_at(m, from, em_imulc(m, c, L));
  Grid in = planes(m, g, at, g->uplane),
       out = {tile_at(m, taps, em_imulc(m, c, 9 * L)), em_i64(m, 3 * L), L, false};
  if (g->nsplit > 1) {
    LLVMValueRef i = tile_loop(m, &ls, em_i64(m, g->planes), 1),
                 first = tile_at(m, at, em_imulc(m, i, g->uplane));
    LLVMValueRef v = tile_vload(m, first), p = tile_loop(m, &lp, em_i64(m, g->nsplit - 1), 1);
    tile_carry(m, &lp, &v, 1);
    v = em_fadd(m, v,
                tile_vload(m, tile_at(m, first, em_imulc(m, em_iaddc(m, p, 1), g->planes * g->uplane))));
    tile_end(m, &lp, &v, 1);
    tile_vstore(m, v, tile_at(m, work, em_imulc(m, i, L)));
    tile_end(m, &ls, NULL, 0);
    in = planes(m, g, work, L);
  }
  transform_2d(m, transforms[g->form].back, g->points, 3, in, NULL, tile_atc(m, work, g->planes * L), out);
  tile_end(m, &lc, NULL, 0);
  /* taps[c, tap][k] to w[k][c, tap] */
  LLVMValueRef j = tile_loop(m, &lj, em_i64(m, 9), 1), row[TILE_MAX];
  for (int i = 0; i < L; i++)
    row[i] = tile_vload(m, tile_at(m, taps, em_imulc(m, em_iaddc(m, em_imulc(m, j, L), i), L)));
  tile_transpose(m, row, L);
  LLVMValueRef dst = tile_at(m, w, em_imulc(m, ob, L * s->c * 9));
  dst = tile_at(m, dst, em_imulc(m, em_iadd(m, em_imulc(m, ib, 9), j), L));
  for (int i = 0; i < L; i++) tile_vstore(m, row[i], tile_atc(m, dst, i * s->c * 9));
  tile_end(m, &lj, NULL, 0);
}

static void emit_sum(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef tmp = em_operand(m, 0), w = em_operand(m, 1);
  LLVMValueRef ob = em_idivc(m, m->chunk, g->icb), ib = em_imodc(m, m->chunk, g->icb);
  weights_back(m, s, g, tile_at(m, tmp, em_imulc(m, m->chunk, g->lanes * g->lanes)), ob, ib, m->scratch, w);
}

static void emit_wgrad_stationary(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMValueRef v = em_operand(m, 0), d = em_operand(m, 1), w = em_operand(m, 2);
  int64_t ncg = g->icb / g->cgroup, tiles = g->block * g->lanes, pair = g->lanes * g->lanes;
  LLVMValueRef kb0 = em_imulc(m, em_idivc(m, m->chunk, ncg), g->kgroup),
               cb0 = em_imulc(m, em_imodc(m, m->chunk, ncg), g->cgroup);
  LLVMValueRef du = m->scratch, taps = tile_atc(m, du, g->planes * g->uplane);
  wgrad_product(m, g, tile_at(m, v, em_imulc(m, cb0, tiles)), tile_at(m, d, em_imulc(m, kb0, tiles)), du,
                NULL);
  TileLoop lk, lc;
  LLVMValueRef k = tile_loop(m, &lk, em_i64(m, g->kgroup), 1), c = tile_loop(m, &lc, em_i64(m, g->cgroup), 1);
  LLVMValueRef from = tile_at(m, du, em_imulc(m, em_iadd(m, em_imulc(m, k, g->cgroup), c), pair));
  weights_back(m, s, g, from, em_iadd(m, kb0, k), em_iadd(m, cb0, c), taps, w);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

void conv_emit_winograd(EmitModule *m, const ConvSpec *s, int step) {
  bool dw = s->kind == CONV_DW, dx = s->kind == CONV_DX;
  ConvWino g;
  conv_wino(s, m->target, &g);
  if (step == 0) {
    if (g.stationary) emit_in(m, &g, dx, dw);
    else if (dw) emit_wgrad(m, &g);
    else emit_weights(m, s, &g);
  } else if (dw) {
    (g.stationary ? emit_wgrad_stationary : emit_sum)(m, s, &g);
  } else if (g.stationary) {
    emit_main_stationary(m, s, &g);
  } else {
    emit_main(m, s, &g, dx);
  }
}
