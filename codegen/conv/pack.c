/* Data movement around convolution kernels: zero-padded copies of image bands into scratch, packing of
   weights, sums of partial weight gradients. */
#include "codegen/conv/conv.h"

/* ---- copies into scratch ---- */
/* Stores n zero floats (constant n). */
static void zero_run(EmitModule *m, LLVMValueRef dst, int64_t n) {
  LLVMValueRef z = LLVMConstNull(m->vf32);
  int64_t whole = n / m->vl * m->vl;
  if (whole > 8 * m->vl) {
    TileLoop l;
    LLVMValueRef i = tile_loop(m, &l, em_i64(m, whole), m->vl);
    tile_vstore(m, z, tile_at(m, dst, i));
    tile_end(m, &l, NULL, 0);
  } else {
    for (int64_t i = 0; i < whole; i += m->vl) tile_vstore(m, z, tile_atc(m, dst, i));
  }
  for (int64_t i = whole; i < n; i++) em_store(m, em_f32(m, 0), tile_atc(m, dst, i), 4);
}

ConvSpan conv_span(const ConvFill *f) {
  ConvSpan c = {.src_step = f->sub[1], .dst_step = f->dil[1]};
  for (int64_t j = 0; j < f->cols; j++) {
    int64_t v = f->lo[1] + j;
    if (v < 0 || v % f->dil[1] || v / f->dil[1] * f->sub[1] >= f->w) continue;
    if (!c.count) c.first = j, c.from = v / f->dil[1] * f->sub[1];
    c.count++;
  }
  return c;
}

/* One row of one channel block; src points at the row of the block (blocked) or of its first channel
   (row-major). */
static void copy_row(EmitModule *m, const ConvFill *f, const ConvSpan *c, LLVMValueRef src,
                     LLVMValueRef nchan, LLVMValueRef dst) {
  LLVMValueRef from, to = tile_atc(m, dst, c->first * f->ib);
  TileLoop l, lc;
  if (f->block) {
    int64_t last = c->first + (c->count - 1) * c->dst_step + 1;
    if (c->dst_step > 1) zero_run(m, dst, f->cols * f->ib);
    else zero_run(m, dst, c->first * f->ib);
    from = tile_tat(m, f->bf16, src, em_i64(m, c->from * f->block));
    int64_t unroll = c->count % 4 ? (c->count % 2 ? 1 : 2) : 4;
    if (c->count <= 8) unroll = c->count;
    LLVMValueRef j = tile_loop(m, &l, em_i64(m, c->count), unroll);
    LLVMValueRef v[8];
    for (int64_t u = 0; u < unroll; u++)
      v[u] = tile_tload(m, f->bf16,
                        tile_tat(m, f->bf16, from, em_imulc(m, em_iaddc(m, j, u), c->src_step * f->block)),
                        m->vl);
    for (int64_t u = 0; u < unroll; u++)
      tile_vstore(m, v[u], tile_at(m, to, em_imulc(m, em_iaddc(m, j, u), c->dst_step * f->ib)));
    tile_end(m, &l, NULL, 0);
    if (c->dst_step == 1) zero_run(m, tile_atc(m, dst, last * f->ib), (f->cols - last) * f->ib);
    return;
  }
  zero_run(m, dst, f->cols * f->ib);
  if (f->ib == 1 && c->src_step == 1 && c->dst_step == 1) {
    from = tile_tat(m, f->bf16, src, em_i64(m, c->from));
    for (int64_t j = 0, n = m->vl; j < c->count; j += n) {
      while (n > c->count - j) n /= 2;
      LLVMValueRef v = tile_tload(m, f->bf16, tile_tat(m, f->bf16, from, em_i64(m, j)), (int)n);
      em_store(m, v, tile_atc(m, to, j), 4);
    }
    return;
  }
  LLVMValueRef ch = tile_loop(m, &lc, nchan, 1);
  from = tile_tat(m, f->bf16, src, em_iaddc(m, em_imulc(m, ch, f->h * f->w), c->from));
  to = tile_at(m, to, ch);
  LLVMValueRef j = tile_loop(m, &l, em_i64(m, c->count), 1);
  LLVMValueRef v = tile_tload(m, f->bf16, tile_tat(m, f->bf16, from, em_imulc(m, j, c->src_step)), 1);
  em_store(m, v, tile_at(m, to, em_imulc(m, j, c->dst_step * f->ib)), 4);
  tile_end(m, &l, NULL, 0);
  tile_end(m, &lc, NULL, 0);
}

void conv_fill(EmitModule *m, const ConvFill *f, LLVMValueRef image, LLVMValueRef cb0, LLVMValueRef ncb,
               LLVMValueRef row0, LLVMValueRef dst) {
  if (f->planar) { /* each channel is a block */
    ConvFill p = *f;
    p.planar = false, p.ib = 1, p.icb = p.c;
    conv_fill(m, &p, image, em_i64(m, 0), em_i64(m, p.c), row0, dst);
    return;
  }
  ConvSpan c = conv_span(f);
  TileLoop lb, lr;
  LLVMValueRef cb = tile_loop(m, &lb, ncb, 1), block = em_iadd(m, cb0, cb);
  LLVMValueRef src = tile_tat(m, f->bf16, image, em_imulc(m, block, f->ib * f->h * f->w));
  LLVMValueRef left = em_isub(m, em_i64(m, f->c), em_imulc(m, block, f->ib));
  LLVMValueRef nchan = f->icb == 1 ? em_i64(m, f->c) : em_imin(m, left, em_i64(m, f->ib));
  if (f->ib == 1) nchan = em_i64(m, 1);
  LLVMValueRef to = tile_at(m, dst, em_imulc(m, cb, f->rows * f->cols * f->ib));
  LLVMValueRef i = tile_loop(m, &lr, em_i64(m, f->rows), 1);
  LLVMValueRef v = em_iadd(m, row0, i);
  LLVMValueRef row = tile_at(m, to, em_imulc(m, i, f->cols * f->ib));
  int64_t limit = f->dil[0] > 1 ? (f->h - 1) * f->dil[0] + 1 : (f->h - 1) / f->sub[0] + 1;
  LLVMValueRef ok = LLVMBuildICmp(m->b, LLVMIntULT, v, em_i64(m, limit), "");
  if (f->dil[0] > 1) {
    LLVMValueRef rest = LLVMBuildURem(m->b, v, em_i64(m, f->dil[0]), "");
    ok = LLVMBuildAnd(m->b, ok, LLVMBuildICmp(m->b, LLVMIntEQ, rest, em_i64(m, 0), ""), "");
  }
  if (!c.count) {
    zero_run(m, row, f->cols * f->ib);
  } else {
    EmitIf branch;
    em_if(m, &branch, ok);
    LLVMValueRef r = f->dil[0] > 1 ? em_idivc(m, v, f->dil[0]) : em_imulc(m, v, f->sub[0]);
    int64_t pitch = f->w * (f->block ? f->block : 1);
    copy_row(m, f, &c, tile_tat(m, f->bf16, src, em_imulc(m, r, pitch)), nchan, row);
    em_else(m, &branch);
    zero_run(m, row, f->cols * f->ib);
    em_endif(m, &branch);
  }
  tile_end(m, &lr, NULL, 0);
  tile_end(m, &lb, NULL, 0);
}

/* ---- weights ---- */
/* Where packed weights keep tap `tap` of source channel c (of a group). */
static LLVMValueRef packed_at(EmitModule *m, const ConvGather *g, int64_t taps, LLVMValueRef c,
                              LLVMValueRef tap) {
  int64_t ib = g->group_of.lanes ? 1 : g->fill.ib;
  LLVMValueRef t = em_iadd(m, em_imulc(m, em_idivc(m, c, ib), taps), tap);
  return em_imulc(m, em_iadd(m, em_imulc(m, t, ib), em_imodc(m, c, ib)), m->vl);
}

/* w[k][j] (j: channel and tap) to one kb: transposed tiles; rows k past the end and columns j past the end
   are zero. */
static void pack_forward(EmitModule *m, const ConvSpec *s, const ConvGather *g, LLVMValueRef w,
                         LLVMValueRef tmp) {
  int L = m->vl;
  int64_t taps = s->kh * s->kw, cols = s->c / s->groups * taps, total = g->source * taps;
  LLVMValueRef k0 = em_imulc(m, m->chunk, L), dst = tile_at(m, tmp, em_imulc(m, m->chunk, total * L));
  for (int part = 0; part < 2; part++) { /* whole tiles in a loop, then the rest */
    int64_t whole = total / L * L, rest = total - whole;
    if (part ? !rest : !whole) continue;
    TileLoop l = {.once = true};
    LLVMValueRef j = part ? em_i64(m, whole) : tile_loop(m, &l, em_i64(m, whole), L);
    bool tail = part || cols < whole;
    LLVMValueRef mask = tail ? em_tail_mask(m, em_isub(m, em_i64(m, cols), j), L) : NULL, v[TILE_MAX];
    for (int i = 0; i < L; i++) {
      LLVMValueRef k = em_iaddc(m, k0, i), kk = s->k % L ? em_imin(m, k, em_i64(m, s->k - 1)) : k;
      LLVMValueRef p = tile_tat(m, s->wbf16, w, em_iadd(m, em_imulc(m, kk, cols), j));
      if (!tail) v[i] = tile_tload(m, s->wbf16, p, L);
      else if (s->wbf16)
        v[i] = em_widen(m, m->narrow, em_masked_load(m, em_vec(m->i16, L), p, 2, mask, NULL));
      else v[i] = em_masked_load(m, m->vf32, p, 4, mask, NULL);
      if (s->k % L)
        v[i] = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, k, em_i64(m, s->k), ""), v[i],
                               LLVMConstNull(m->vf32), "");
    }
    tile_transpose(m, v, L);
    for (int i = 0; i < (part ? (int)rest : L); i++) {
      LLVMValueRef at = em_iaddc(m, j, i);
      tile_vstore(m, v[i],
                  tile_at(m, dst, packed_at(m, g, taps, em_idivc(m, at, taps), em_imodc(m, at, taps))));
    }
    if (!part) tile_end(m, &l, NULL, 0);
  }
}

LLVMValueRef conv_lanes(EmitModule *m, bool bf16, LLVMValueRef w, LLVMValueRef c0, int64_t c,
                        int64_t stride) {
  LLVMValueRef v = LLVMGetPoison(m->vf32);
  bool ragged = c % m->vl;
  for (int i = 0; i < m->vl; i++) {
    LLVMValueRef ch = em_iaddc(m, c0, i);
    if (ragged) ch = em_imin(m, ch, em_i64(m, c - 1));
    LLVMValueRef x = tile_tload(m, bf16, tile_tat(m, bf16, w, em_imulc(m, ch, stride)), 1);
    v = LLVMBuildInsertElement(m->b, v, x, em_i32(m, i), "");
  }
  if (!ragged) return v;
  LLVMValueRef mask = em_tail_mask(m, em_isub(m, em_i64(m, c), c0), m->vl);
  return LLVMBuildSelect(m->b, mask, v, LLVMConstNull(m->vf32), "");
}

/* Input gradient in groups: over lanes i, tap 0 of w[the k-th of the group][channel c0 + i]. */
static LLVMValueRef group_lanes(EmitModule *m, const ConvSpec *s, const ConvGroups *g, LLVMValueRef w,
                                LLVMValueRef c0, LLVMValueRef k) {
  LLVMValueRef v = LLVMGetPoison(m->vf32);
  for (int i = 0; i < m->vl; i++) {
    LLVMValueRef c = em_imin(m, em_iaddc(m, c0, i), em_i64(m, s->c - 1));
    LLVMValueRef at = em_iadd(m, em_imulc(m, em_idivc(m, c, g->out), g->in), k);
    at = em_iadd(m, em_imulc(m, at, g->out), em_imodc(m, c, g->out));
    LLVMValueRef x = tile_tload(m, s->wbf16, tile_tat(m, s->wbf16, w, em_imulc(m, at, s->kh * s->kw)), 1);
    v = LLVMBuildInsertElement(m->b, v, x, em_i32(m, i), "");
  }
  return v;
}

/* w[k][c][t] to one cb. */
static void pack_gradient(EmitModule *m, const ConvSpec *s, const ConvGather *g, LLVMValueRef w,
                          LLVMValueRef tmp) {
  int L = m->vl;
  int64_t taps = s->kh * s->kw, nk = g->source, panel = nk * taps * L;
  LLVMValueRef c0 = em_imulc(m, m->chunk, L), dst = tile_at(m, tmp, em_imulc(m, m->chunk, panel));
  TileLoop lk, lt;
  LLVMValueRef k = tile_loop(m, &lk, em_i64(m, nk), 1);
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, taps), 1);
  if (s->groups > 1) {
    LLVMValueRef v = group_lanes(m, s, &g->group_of, tile_tat(m, s->wbf16, w, t), c0, k);
    tile_vstore(m, v, tile_at(m, dst, packed_at(m, g, taps, k, t)));
    tile_end(m, &lt, NULL, 0);
    tile_end(m, &lk, NULL, 0);
    return;
  }
  LLVMValueRef from = nk > s->k ? em_imin(m, k, em_i64(m, s->k - 1)) : k;
  LLVMValueRef src = tile_tat(m, s->wbf16, w, em_iadd(m, em_imulc(m, from, s->c * taps), t));
  LLVMValueRef v = conv_lanes(m, s->wbf16, src, c0, s->c, taps);
  if (nk > s->k)
    v = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, k, em_i64(m, s->k), ""), v,
                        LLVMConstNull(m->vf32), "");
  tile_vstore(m, v, tile_at(m, dst, packed_at(m, g, taps, k, t)));
  tile_end(m, &lt, NULL, 0);
  tile_end(m, &lk, NULL, 0);
}

void conv_emit_pack(EmitModule *m, const ConvSpec *s) {
  ConvGather g;
  conv_gather(s, m->target, &g);
  LLVMValueRef w = em_operand(m, 0), tmp = em_operand(m, 1);
  (s->kind == CONV_DX ? pack_gradient : pack_forward)(m, s, &g, w, tmp);
}

void conv_emit_sum(EmitModule *m, const ConvSpec *s) {
  ConvWgrad g;
  conv_wgrad(s, m->target, &g);
  int L = m->vl;
  int64_t cols = s->c / s->groups * s->kh * s->kw, panel = g.acc / g.ocb;
  LLVMValueRef tmp = em_operand(m, 0), w = em_operand(m, 1), k0 = em_imulc(m, m->chunk, L);
  LLVMValueRef src = tile_at(m, tmp, em_imulc(m, m->chunk, panel));
  TileLoop l, lk, lp;
  LLVMValueRef j = tile_loop(m, &l, em_i64(m, cols), L), v[TILE_MAX];
  LLVMValueRef from = tile_at(m, src, em_imulc(m, j, L));
  for (int i = 0; i < L; i++) v[i] = tile_vload(m, tile_atc(m, from, i * L));
  if (g.nsplit > 1) {
    LLVMValueRef p = tile_loop(m, &lp, em_i64(m, g.nsplit - 1), 1);
    tile_carry(m, &lp, v, L);
    LLVMValueRef part = tile_at(m, from, em_imulc(m, em_iaddc(m, p, 1), g.acc));
    for (int i = 0; i < L; i++) v[i] = em_fadd(m, v[i], tile_vload(m, tile_atc(m, part, i * L)));
    tile_end(m, &lp, v, L);
  }
  tile_transpose(m, v, L);
  for (int i = 0; i < L; i++) tile_vstore(m, v[i], tile_atc(m, m->scratch, i * L));
  LLVMValueRef nk = em_imin(m, em_isub(m, em_i64(m, s->k), k0), em_i64(m, L));
  LLVMValueRef mask = cols % L ? em_tail_mask(m, em_isub(m, em_i64(m, cols), j), L) : NULL;
  LLVMValueRef k = tile_loop(m, &lk, nk, 1);
  LLVMValueRef row = tile_vload(m, tile_at(m, m->scratch, em_imulc(m, k, L)));
  LLVMValueRef to = tile_at(m, w, em_iadd(m, em_imulc(m, em_iadd(m, k0, k), cols), j));
  if (mask) em_masked_store(m, row, to, 4, mask);
  else tile_vstore(m, row, to);
  tile_end(m, &lk, NULL, 0);
  tile_end(m, &l, NULL, 0);
}
