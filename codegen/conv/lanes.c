/* Convolutions whose groups are narrower than a vector, depthwise ones above all: a vector of produced
   channels holds several groups, and each lane multiplies what its own group has. One produced channel block
   is computed from one source block (or a copy of what its lanes need) by row tiles in registers; kernel rows
   outside the image are skipped, kernel columns outside it are not emitted where a tile lies at an edge. */
#include "codegen/conv/conv.h"

/* ---- sources ---- */
/* Copies into scratch planes j = 0.. [rows][cols][lane] the channel that each lane of produced block kb takes
   from its group, zeros where there is none. */
static void fill_planes(EmitModule *m, const ConvFill *f, const ConvGroups *g, int64_t cout,
                        LLVMValueRef image, LLVMValueRef kb, LLVMValueRef dst) {
  int L = m->vl;
  int64_t pixel = f->block ? f->block : 1, row = f->cols * L;
  TileLoop lz, lj, ll, lr, lc;
  LLVMValueRef z = tile_loop(m, &lz, em_i64(m, g->in * f->rows * f->cols), 1);
  tile_vstore(m, LLVMConstNull(m->vf32), tile_at(m, dst, em_imulc(m, z, L)));
  tile_end(m, &lz, NULL, 0);
  ConvSpan c = conv_span(f);
  if (!c.count) return;
  LLVMValueRef k0 = em_imulc(m, kb, L);
  LLVMValueRef lane = tile_loop(m, &ll, em_imin(m, em_isub(m, em_i64(m, cout), k0), em_i64(m, L)), 1);
  LLVMValueRef j = tile_loop(m, &lj, em_i64(m, g->in), 1);
  LLVMValueRef ch = em_iadd(m, em_imulc(m, em_idivc(m, em_iadd(m, k0, lane), g->out), g->in), j);
  LLVMValueRef from = em_iadd(m, em_imulc(m, em_idivc(m, ch, pixel), f->h * f->w * pixel),
                              em_iaddc(m, em_imodc(m, ch, pixel), c.from * pixel));
  LLVMValueRef to = em_iadd(m, em_imulc(m, j, f->rows * row), em_iaddc(m, lane, c.first * L));
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, f->h), 1);
  LLVMValueRef src = tile_tat(m, f->bf16, image, em_iadd(m, from, em_imulc(m, r, f->w * pixel)));
  LLVMValueRef out = tile_at(m, dst, em_iadd(m, to, em_imulc(m, r, f->dil[0] * row)));
  LLVMValueRef q = tile_loop(m, &lc, em_i64(m, c.count), 1);
  LLVMValueRef x = tile_tload(m, f->bf16, tile_tat(m, f->bf16, src, em_imulc(m, q, c.src_step * pixel)), 1);
  em_store(m, x, tile_at(m, out, em_imulc(m, q, c.dst_step * L)), 4);
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lj, NULL, 0);
  tile_end(m, &ll, NULL, 0);
}

/* The planes of produced block kb of one image: in place or copied to `scratch`. */
static LLVMValueRef source_planes(EmitModule *m, const ConvFill *f, const ConvGroups *g, int64_t cout,
                                  LLVMValueRef tensor, LLVMValueRef image, LLVMValueRef kb,
                                  LLVMValueRef scratch) {
  LLVMValueRef at = tile_tat(m, f->bf16, tensor, em_imulc(m, image, f->c * f->h * f->w));
  if (f->in_place) return tile_at(m, at, em_imulc(m, kb, f->h * f->w * m->vl));
  if (g->permute) conv_fill(m, f, at, kb, em_i64(m, 1), em_i64(m, f->lo[0]), scratch);
  else fill_planes(m, f, g, cout, at, kb, scratch);
  return scratch;
}

/* What each lane multiplies under the j-th channel of its group. */
static LLVMValueRef lane_values(EmitModule *m, const ConvGroups *g, LLVMValueRef v, int64_t j) {
  if (!g->permute || g->in == 1) return v;
  LLVMValueRef mask[TILE_MAX];
  for (int i = 0; i < m->vl; i++) mask[i] = em_i32(m, (int32_t)(i / g->in * g->in + j));
  return LLVMBuildShuffleVector(m->b, v, LLVMGetPoison(m->vf32), LLVMConstVector(mask, (unsigned)m->vl), "");
}

/* A tile of columns: n produced ones from `q` on. Its taps are inside, or known to be by the constant `at`. */
typedef struct {
  LLVMValueRef q;
  int64_t at; /* -1: all inside */
  int n;
} LaneTile;

/* Calls tile() for each tile of `count` columns. */
typedef void LaneTileFn(EmitModule *m, void *arg, LaneTile t);
static void each_tile(EmitModule *m, const ConvColumns *c, int64_t count, LaneTileFn *tile, void *arg,
                      LLVMValueRef *acc, int nacc) {
  for (int64_t i = 0; i < c->left && i * c->width < count; i++)
    tile(m, arg,
         (LaneTile){em_i64(m, i * c->width), i * c->width, (int)min64(c->width, count - i * c->width)});
  if (c->middle) {
    TileLoop l;
    LLVMValueRef i = tile_loop(m, &l, em_i64(m, c->middle * c->width), c->width);
    tile_carry(m, &l, acc, nacc);
    tile(m, arg, (LaneTile){em_iaddc(m, i, c->left * c->width), -1, (int)c->width});
    tile_end(m, &l, acc, nacc);
  }
  for (int64_t q = (c->left + c->middle) * c->width; q < count; q += c->width)
    tile(m, arg, (LaneTile){em_i64(m, q), q, (int)min64(c->width, count - q)});
}

/* Source columns that a tile's taps [s0, s0 + ns) meet: the first and the last, relative to its first one. */
static void tile_span(const ConvPhase *p, int64_t step, int64_t ns, int n, int64_t *lo, int64_t *hi) {
  int64_t last = p->off + (ns - 1) * p->offstep;
  *lo = min64(p->off, last), *hi = max64(p->off, last) + (n - 1) * step;
}

/* The produced column of a tile to which source column c (as above) is tap s, or -1. */
static int column_of(const ConvPhase *p, int64_t step, int64_t c, int64_t s, int n) {
  int64_t d = c - p->off - s * p->offstep;
  return d < 0 || d % step || d / step >= n ? -1 : (int)(d / step);
}

/* ---- forward and input gradient ---- */
typedef struct {
  const ConvSpec *s;
  const ConvGather *g;
  const ConvPhase *ph, *pw; /* columns of pw are those of the scratch */
  LLVMValueRef base;        /* source row of tap row 0, may lie outside */
  LLVMValueRef src, w;      /* planes; weights of the produced block */
  LLVMValueRef r0, r1;      /* tap rows inside */
  LLVMValueRef out;         /* the produced row */
  bool out16;
} LaneRow;

/* One tap row and one channel of the groups. */
static void gather_taps(EmitModule *m, const LaneRow *z, const LaneTile *t, LLVMValueRef row, LLVMValueRef w,
                        int64_t j, LLVMValueRef *acc) {
  const ConvGather *g = z->g;
  int L = m->vl;
  int64_t step = g->source_step[1], lo, hi, ns = z->pw->ntap;
  TileLoop ls = {.once = true};
  LLVMValueRef tap = NULL;
  if (g->padded) { /* any number of taps, all inside */
    tap = tile_loop(m, &ls, em_i64(m, ns), 1);
    tile_carry(m, &ls, acc, t->n);
    row = tile_at(m, row, em_imulc(m, tap, z->pw->offstep * L));
    w = tile_at(m, w, em_imulc(m, tap, z->pw->wstep * L));
    ns = 1;
  }
  LLVMValueRef v[TILE_MAX];
  for (int64_t s = 0; s < ns; s++) v[s] = tile_vload(m, tile_atc(m, w, s * z->pw->wstep * L));
  row = tile_at(m, row, em_imulc(m, t->q, step * L));
  tile_span(z->pw, step, ns, t->n, &lo, &hi);
  for (int64_t c = lo; c <= hi; c++) {
    LLVMValueRef x = NULL;
    if (t->at >= 0 && !g->padded && (t->at * step + c < 0 || t->at * step + c >= g->fill.cols)) continue;
    for (int64_t s = 0; s < ns; s++) {
      int i = column_of(z->pw, step, c, s, t->n);
      if (i < 0) continue;
      if (!x) x = lane_values(m, &g->group_of, tile_vload(m, tile_atc(m, row, c * L)), j);
      acc[i] = em_fma(m, x, v[s], acc[i]);
    }
  }
  tile_end(m, &ls, acc, t->n);
}

static void gather_tile(EmitModule *m, void *arg, LaneTile t) {
  const LaneRow *z = arg;
  const ConvGather *g = z->g;
  const ConvFill *f = &g->fill;
  int L = m->vl;
  int64_t taps = z->s->kh * z->s->kw, pitch = f->cols * L;
  LLVMValueRef acc[TILE_MAX];
  for (int i = 0; i < t.n; i++) acc[i] = LLVMConstNull(m->vf32);
  if (z->ph->ntap && z->pw->ntap) {
    EmitLoop lr;
    int carry[TILE_MAX];
    LLVMValueRef r = em_loop_begin(m, &lr, z->r0, z->r1, 1);
    for (int i = 0; i < t.n; i++) carry[i] = em_loop_carry(m, &lr, acc[i]), acc[i] = lr.carry[carry[i]];
    LLVMValueRef row = em_iadd(m, z->base, em_imulc(m, r, z->ph->offstep)), src;
    src = tile_at(m, z->src, em_imulc(m, row, pitch));
    LLVMValueRef w = em_iaddc(m, em_imulc(m, r, z->ph->wstep), z->ph->wfirst);
    w = tile_at(m, z->w, em_imulc(m, em_iaddc(m, em_imulc(m, w, z->s->kw), z->pw->wfirst), L));
    if (g->group_of.permute) {
      for (int64_t j = 0; j < g->group_of.in; j++)
        gather_taps(m, z, &t, src, tile_atc(m, w, j * taps * L), j, acc);
    } else {
      TileLoop lj;
      LLVMValueRef j = tile_loop(m, &lj, em_i64(m, g->planes), 1);
      tile_carry(m, &lj, acc, t.n);
      gather_taps(m, z, &t, tile_at(m, src, em_imulc(m, j, f->rows * pitch)),
                  tile_at(m, w, em_imulc(m, j, taps * L)), 0, acc);
      tile_end(m, &lj, acc, t.n);
    }
    for (int i = 0; i < t.n; i++) lr.next[carry[i]] = acc[i];
    em_loop_end(m, &lr);
    for (int i = 0; i < t.n; i++) acc[i] = lr.carry[carry[i]];
  }
  LLVMValueRef out = tile_tat(m, z->out16, z->out, em_imulc(m, t.q, z->pw->step * L));
  for (int i = 0; i < t.n; i++)
    tile_tstore(m, z->out16, acc[i], tile_tat(m, z->out16, out, em_i64(m, i * z->pw->step * L)));
}

/* n / d rounded up, n of either sign taken as at least 0. */
static LLVMValueRef steps_up(EmitModule *m, LLVMValueRef n, int64_t d) {
  LLVMValueRef some = LLVMBuildICmp(m->b, LLVMIntSGT, n, em_i64(m, 0), "");
  return em_idivc(m, em_iaddc(m, LLVMBuildSelect(m->b, some, n, em_i64(m, 0), ""), d - 1), d);
}

/* Rows [row0, row0 + band) of phase (a, b) of one produced block. out is its first row of the band (oblock:
   of the image). */
static void gather_phase(EmitModule *m, LaneRow *z, int a, int b, LLVMValueRef row0, LLVMValueRef out) {
  const ConvGather *g = z->g;
  ConvPhase pw = g->phase[1][b];
  pw.off -= g->fill.lo[1];
  z->ph = &g->phase[0][a], z->pw = &pw;
  const ConvPhase *ph = z->ph;
  int64_t step = abs64(ph->offstep), pitch = g->ow * m->vl;
  ConvColumns cols = conv_columns(&pw, g->source_step[1], g->fill.cols, g->tile[a][b].pw);
  if (!pw.ntap || !ph->ntap || g->padded) { cols.left = 0, cols.middle = pw.count / cols.width; }
  LLVMValueRef left = em_isub(m, em_i64(m, ph->count), row0);
  LLVMValueRef rows = g->nband == 1 ? em_i64(m, ph->count) : em_imin(m, left, em_i64(m, g->band));
  TileLoop lp;
  LLVMValueRef i = tile_loop(m, &lp, rows, 1), p = em_iadd(m, row0, i);
  z->base = em_iaddc(m, em_imulc(m, p, g->source_step[0]), ph->off);
  LLVMValueRef below = em_isub(m, em_i64(m, g->fill.rows), z->base), ntap = em_i64(m, ph->ntap);
  if (ph->offstep > 0) {
    z->r0 = steps_up(m, em_isub(m, em_i64(m, 0), z->base), step);
    z->r1 = em_imin(m, ntap, steps_up(m, below, step));
  } else {
    z->r0 = steps_up(m, em_isub(m, em_i64(m, 1), below), step);
    z->r1 = em_imin(m, ntap, steps_up(m, em_iaddc(m, z->base, 1), step));
  }
  LLVMValueRef to = em_imulc(m, g->oblock ? p : i, ph->step * pitch);
  z->out = tile_tat(m, z->out16, out, em_iaddc(m, to, ph->start * pitch + pw.start * m->vl));
  each_tile(m, &cols, pw.count, gather_tile, z, NULL, 0);
  tile_end(m, &lp, NULL, 0);
}

void conv_emit_lanes(EmitModule *m, const ConvSpec *s) {
  ConvGather geom, *g = &geom;
  conv_gather(s, m->target, g);
  bool out16 = s->kind == CONV_DX ? s->xbf16 : s->ybf16;
  LaneRow z = {.s = s, .g = g, .out16 = out16 && g->oblock};
  LLVMValueRef src = em_operand(m, 0), w = em_operand(m, 1), result = em_operand(m, 2);
  int L = m->vl;
  int64_t wblock = g->source * s->kh * s->kw * L, block = g->oh * g->ow * L;
  TileLoop lu, lk;
  LLVMValueRef unit = em_iadd(m, em_imulc(m, m->chunk, g->units), tile_loop(m, &lu, em_i64(m, g->units), 1));
  LLVMValueRef kg = em_imodc(m, unit, g->nkgroup), rest = em_idivc(m, unit, g->nkgroup);
  LLVMValueRef row0 = em_imulc(m, em_imodc(m, rest, g->nband), g->band), image = em_idivc(m, rest, g->nband);
  LLVMValueRef kb0 = em_imulc(m, kg, g->kgroup);
  LLVMValueRef nkb = em_imin(m, em_isub(m, em_i64(m, g->ocb), kb0), em_i64(m, g->kgroup));
  if (g->nkgroup == 1) kb0 = em_i64(m, 0), nkb = em_i64(m, g->ocb);
  if (g->nband == 1) row0 = em_i64(m, 0);
  LLVMValueRef kb = em_iadd(m, kb0, tile_loop(m, &lk, nkb, 1));
  z.src = source_planes(m, &g->fill, &g->group_of, g->cout, src, image, kb, m->scratch);
  z.w = tile_at(m, w, em_imulc(m, kb, wblock));
  LLVMValueRef out = tile_atc(m, m->scratch, g->fill.in_place ? 0 : g->image);
  if (g->oblock)
    out = tile_tat(m, out16, result, em_iadd(m, em_imulc(m, image, g->ocb * block), em_imulc(m, kb, block)));
  for (int a = 0; a < g->nphase[0]; a++)
    for (int b = 0; b < g->nphase[1]; b++) gather_phase(m, &z, a, b, row0, out);
  if (!g->oblock) conv_unpack(m, g, out, em_i64(m, 1), image, row0, kb, em_i64(m, 1), result, out16);
  tile_end(m, &lk, NULL, 0);
  tile_end(m, &lu, NULL, 0);
}

/* ---- weight gradient ---- */
typedef struct {
  const ConvSpec *s;
  const ConvWgrad *g;
  ConvPhase pw;             /* of the columns of this tile's taps */
  LLVMValueRef x, y, zeros; /* planes of x (those of channels j0..), row p of y; a row of zeros */
  LLVMValueRef p, r0, s0;   /* produced row; first tap */
  int64_t j0;
  int rb, sb, jb;
  LLVMValueRef *acc; /* [row][channel][column] */
} LaneGrad;

static void grad_tile(EmitModule *m, void *arg, LaneTile t) {
  const LaneGrad *z = arg;
  const ConvSpec *s = z->s;
  const ConvWgrad *g = z->g;
  int L = m->vl;
  int64_t step = s->stride[1], lo, hi;
  LLVMValueRef y[TILE_MAX], right = em_iadd(m, em_imulc(m, t.q, step), em_imulc(m, z->s0, s->dilation[1]));
  for (int i = 0; i < t.n; i++) y[i] = tile_vload(m, tile_at(m, z->y, em_imulc(m, em_iaddc(m, t.q, i), L)));
  tile_span(&z->pw, step, z->sb, t.n, &lo, &hi);
  for (int r = 0; r < z->rb; r++) {
    LLVMValueRef row = em_iaddc(m, em_imulc(m, em_iaddc(m, z->r0, r), s->dilation[0]), -s->pad[0]);
    row = em_iadd(m, row, em_imulc(m, z->p, s->stride[0]));
    LLVMValueRef inside = LLVMBuildICmp(m->b, LLVMIntULT, row, em_i64(m, g->fx.rows), "");
    LLVMValueRef from = tile_at(m, z->x, em_imulc(m, row, g->fx.cols * L));
    from = tile_at(m, LLVMBuildSelect(m->b, inside, from, z->zeros, ""), em_imulc(m, right, L));
    for (int64_t c = lo; c <= hi; c++) {
      if (t.at >= 0 && !g->padded && (t.at * step + c < 0 || t.at * step + c >= g->fx.cols)) continue;
      LLVMValueRef v = NULL;
      for (int j = 0; j < z->jb; j++) {
        LLVMValueRef x = NULL;
        for (int k = 0; k < z->sb; k++) {
          int i = column_of(&z->pw, step, c, k, t.n);
          if (i < 0) continue;
          if (!v) v = tile_vload(m, tile_atc(m, from, c * L));
          if (!x) x = lane_values(m, &g->group_of, v, z->j0 + j);
          LLVMValueRef *acc = &z->acc[(r * z->jb + j) * z->sb + k];
          *acc = em_fma(m, x, y[i], *acc);
        }
      }
    }
  }
}

/* Row p of one image: its columns. */
static void grad_row(EmitModule *m, LaneGrad *z, LLVMValueRef y, LLVMValueRef p, LLVMValueRef *acc) {
  const ConvWgrad *g = z->g;
  const ConvSpec *s = z->s;
  z->p = p, z->acc = acc;
  z->y = tile_at(m, y, em_imulc(m, p, s->ow * m->vl));
  z->pw =
      (ConvPhase){.count = s->ow, .ntap = z->sb, .off = -s->pad[1] - g->fx.lo[1], .offstep = s->dilation[1]};
  ConvColumns cols = conv_columns(&z->pw, s->stride[1], g->fx.cols, g->width);
  if (g->padded) cols.left = 0, cols.middle = s->ow / cols.width;
  each_tile(m, &cols, s->ow, grad_tile, z, acc, z->rb * z->jb * z->sb);
}

/* Where tap (r, s) of channel j has its sum, in vectors. */
static LLVMValueRef sum_at(EmitModule *m, const LaneGrad *z, LLVMValueRef sums, int i) {
  const ConvSpec *s = z->s;
  int64_t k = i % z->sb, j = i / z->sb % z->jb, r = i / z->sb / z->jb;
  LLVMValueRef tap = em_iadd(m, em_imulc(m, em_iaddc(m, z->r0, r), s->kw), em_iaddc(m, z->s0, k));
  return tile_at(m, sums, em_imulc(m, em_iaddc(m, tap, (z->j0 + j) * s->kh * s->kw), m->vl));
}

/* All sums fit the registers: through all images of the chunk. */
static void grad_at_once(EmitModule *m, LaneGrad *z, LLVMValueRef sums, LLVMValueRef *acc, int n,
                         LLVMValueRef y) {
  TileLoop lp;
  (void)sums;
  LLVMValueRef p = tile_loop(m, &lp, em_i64(m, z->s->oh), 1);
  tile_carry(m, &lp, acc, n);
  grad_row(m, z, y, p, acc);
  tile_end(m, &lp, acc, n);
}

/* ... they do not: a row of pixels at a time, to some of them after the other. */
static void grad_by_parts(EmitModule *m, LaneGrad *z, LLVMValueRef sums, LLVMValueRef y) {
  const ConvSpec *s = z->s;
  const ConvWgrad *g = z->g;
  TileLoop lp, lr, ls, lj;
  LLVMValueRef p = tile_loop(m, &lp, em_i64(m, s->oh), 1), x = z->x;
  for (int rest_r = 0; rest_r < 2; rest_r++)
    for (int rest_s = 0; rest_s < 2; rest_s++) {
      int64_t whole_r = s->kh / g->rb * g->rb, whole_s = s->kw / g->sb * g->sb;
      z->rb = rest_r ? (int)(s->kh - whole_r) : g->rb, z->sb = rest_s ? (int)(s->kw - whole_s) : g->sb;
      if (!z->rb || !z->sb) continue;
      z->r0 = rest_r ? em_i64(m, whole_r) : tile_loop(m, &lr, em_i64(m, whole_r), g->rb);
      z->s0 = rest_s ? em_i64(m, whole_s) : tile_loop(m, &ls, em_i64(m, whole_s), g->sb);
      LLVMValueRef plane = NULL, to = sums;
      int64_t parts = g->group_of.in / g->jb;
      if (!g->group_of.permute) { /* each channel has a plane */
        plane = tile_loop(m, &lj, em_i64(m, g->planes), 1);
        z->x = tile_at(m, x, em_imulc(m, plane, g->fx.rows * g->fx.cols * m->vl));
        to = tile_at(m, sums, em_imulc(m, plane, s->kh * s->kw * m->vl));
        parts = 1;
      }
      for (int64_t j = 0; j < parts; j++) {
        LLVMValueRef acc[TILE_MAX];
        int n = z->rb * z->sb * g->jb;
        z->j0 = j * g->jb, z->jb = g->jb;
        for (int i = 0; i < n; i++) acc[i] = tile_vload(m, sum_at(m, z, to, i));
        grad_row(m, z, y, p, acc);
        for (int i = 0; i < n; i++) tile_vstore(m, acc[i], sum_at(m, z, to, i));
      }
      if (plane) tile_end(m, &lj, NULL, 0);
      if (!rest_s) tile_end(m, &ls, NULL, 0);
      if (!rest_r) tile_end(m, &lr, NULL, 0);
    }
  tile_end(m, &lp, NULL, 0);
}

void conv_emit_lanes_wgrad(EmitModule *m, const ConvSpec *s) {
  ConvWgrad geom, *g = &geom;
  conv_wgrad(s, m->target, g);
  int L = m->vl;
  int64_t panel = g->acc / g->ocb;
  bool once = g->rb == s->kh && g->sb == s->kw && g->jb == g->group_of.in;
  LaneGrad z = {.s = s, .g = g, .rb = g->rb, .sb = g->sb, .jb = g->jb};
  LLVMValueRef x = em_operand(m, 0), y = em_operand(m, 1), tmp = em_operand(m, 2);
  LLVMValueRef kg = em_imodc(m, m->chunk, g->nkgroup), split = em_idivc(m, m->chunk, g->nkgroup);
  LLVMValueRef kb0 = em_imulc(m, kg, g->kgroup), image0 = em_imulc(m, split, g->per_split);
  LLVMValueRef nkb = em_imin(m, em_isub(m, em_i64(m, g->ocb), kb0), em_i64(m, g->kgroup));
  LLVMValueRef images = em_imin(m, em_isub(m, em_i64(m, s->n), image0), em_i64(m, g->per_split));
  TileLoop lz, lk, li;
  z.zeros = m->scratch;
  LLVMValueRef i = tile_loop(m, &lz, em_i64(m, g->fx.cols), 1);
  tile_vstore(m, LLVMConstNull(m->vf32), tile_at(m, z.zeros, em_imulc(m, i, L)));
  tile_end(m, &lz, NULL, 0);
  LLVMValueRef xcopy = tile_atc(m, m->scratch, g->fx.cols * L), ycopy = xcopy;
  if (!g->fx.in_place) ycopy = tile_atc(m, xcopy, g->planes * g->fx.rows * g->fx.cols * L);

  LLVMValueRef kb = em_iadd(m, kb0, tile_loop(m, &lk, nkb, 1)), acc[TILE_MAX];
  LLVMValueRef sums = tile_at(m, tmp, em_iadd(m, em_imulc(m, split, g->acc), em_imulc(m, kb, panel)));
  int n = once ? g->rb * g->sb * g->jb : 0;
  for (int k = 0; k < n; k++) acc[k] = LLVMConstNull(m->vf32);
  if (!once) {
    LLVMValueRef v = tile_loop(m, &lz, em_i64(m, panel), L);
    tile_vstore(m, LLVMConstNull(m->vf32), tile_at(m, sums, v));
    tile_end(m, &lz, NULL, 0);
  }
  z.r0 = z.s0 = em_i64(m, 0);
  LLVMValueRef image = tile_loop(m, &li, images, 1);
  tile_carry(m, &li, acc, n);
  image = em_iadd(m, image0, image);
  z.x = source_planes(m, &g->fx, &g->group_of, s->k, x, image, kb, xcopy);
  LLVMValueRef rows = tile_tat(m, s->ybf16, y, em_imulc(m, image, s->k * s->oh * s->ow));
  if (g->fy.rows) conv_fill(m, &g->fy, rows, kb, em_i64(m, 1), em_i64(m, 0), ycopy);
  rows = g->fy.rows ? ycopy : tile_at(m, rows, em_imulc(m, kb, s->oh * s->ow * L));
  if (once) grad_at_once(m, &z, sums, acc, n, rows);
  else grad_by_parts(m, &z, sums, rows);
  tile_end(m, &li, acc, n);
  for (int k = 0; k < n; k++) tile_vstore(m, acc[k], sum_at(m, &z, sums, k));
  tile_end(m, &lk, NULL, 0);
}
