/* Data movement around convolution kernels: zero-padded copies of image bands into scratch, packing of
   weights, sums of partial weight gradients, and the small IR helpers those and the kernels share. */
#include "codegen/conv/conv.h"

LLVMValueRef conv_at(EmitModule *m, LLVMValueRef base, LLVMValueRef index) {
  return em_gep(m, m->f32, base, index);
}

LLVMValueRef conv_atc(EmitModule *m, LLVMValueRef base, int64_t index) {
  return index ? em_gep(m, m->f32, base, em_i64(m, index)) : base;
}

LLVMValueRef conv_vload(EmitModule *m, LLVMValueRef p) { return em_load(m, m->vf32, p, 4); }
void conv_vstore(EmitModule *m, LLVMValueRef v, LLVMValueRef p) { em_store(m, v, p, 4); }

LLVMValueRef conv_tat(EmitModule *m, bool bf16, LLVMValueRef base, LLVMValueRef index) {
  return em_gep(m, bf16 ? m->i16 : m->f32, base, index);
}

LLVMValueRef conv_tload(EmitModule *m, bool bf16, LLVMValueRef p, int lanes) {
  LLVMValueRef v = em_load(m, em_vec(bf16 ? m->i16 : m->f32, lanes), p, bf16 ? 2 : 4);
  return bf16 ? em_widen_bf16(m, v) : v;
}

void conv_tstore(EmitModule *m, bool bf16, LLVMValueRef v, LLVMValueRef p) {
  em_store(m, bf16 ? em_narrow_bf16(m, v) : v, p, bf16 ? 2 : 4);
}

/* ---- loops ---- */
LLVMValueRef conv_loop(EmitModule *m, ConvLoop *l, LLVMValueRef count, int64_t step) {
  l->once = LLVMIsAConstantInt(count) && LLVMConstIntGetSExtValue(count) <= step &&
            LLVMConstIntGetSExtValue(count) > 0;
  if (l->once) {
    l->loop.ncarry = 0;
    return em_i64(m, 0);
  }
  return em_loop_begin(m, &l->loop, em_i64(m, 0), count, step);
}

void conv_carry(EmitModule *m, ConvLoop *l, LLVMValueRef *acc, int n) {
  if (l->once) return;
  for (int i = 0; i < n; i++) acc[i] = l->loop.carry[em_loop_carry(m, &l->loop, acc[i])];
}

void conv_end(EmitModule *m, ConvLoop *l, LLVMValueRef *acc, int n) {
  if (l->once) return;
  for (int i = 0; i < n; i++) l->loop.next[i] = acc[i];
  em_loop_end(m, &l->loop);
  for (int i = 0; i < n; i++) acc[i] = l->loop.carry[i];
}

/* ---- copies into scratch ---- */
/* Stores n zero floats (constant n). */
static void zero_run(EmitModule *m, LLVMValueRef dst, int64_t n) {
  LLVMValueRef z = LLVMConstNull(m->vf32);
  int64_t whole = n / m->vl * m->vl;
  if (whole > 8 * m->vl) {
    ConvLoop l;
    LLVMValueRef i = conv_loop(m, &l, em_i64(m, whole), m->vl);
    conv_vstore(m, z, conv_at(m, dst, i));
    conv_end(m, &l, NULL, 0);
  } else {
    for (int64_t i = 0; i < whole; i += m->vl) conv_vstore(m, z, conv_atc(m, dst, i));
  }
  for (int64_t i = whole; i < n; i++) em_store(m, em_f32(m, 0), conv_atc(m, dst, i), 4);
}

/* The source columns a scratch row holds: first scratch column, its source column, how many, and their
 * distances. */
typedef struct {
  int64_t first, from, count, src_step, dst_step;
} Columns;

static Columns columns_of(const ConvFill *f) {
  Columns c = {.src_step = f->sub[1], .dst_step = f->dil[1]};
  for (int64_t j = 0; j < f->cols; j++) {
    int64_t v = f->lo[1] + j;
    if (v < 0 || v % f->dil[1] || v / f->dil[1] * f->sub[1] >= f->w) continue;
    if (!c.count) c.first = j, c.from = v / f->dil[1] * f->sub[1];
    c.count++;
  }
  return c;
}

/* One row of one channel block; src points at the row of the block (blocked) or of its first channel
 * (row-major). */
static void copy_row(EmitModule *m, const ConvFill *f, const Columns *c, LLVMValueRef src, LLVMValueRef nchan,
                     LLVMValueRef dst) {
  LLVMValueRef from, to = conv_atc(m, dst, c->first * f->ib);
  ConvLoop l, lc;
  if (f->block) {
    int64_t last = c->first + (c->count - 1) * c->dst_step + 1;
    if (c->dst_step > 1) zero_run(m, dst, f->cols * f->ib);
    else zero_run(m, dst, c->first * f->ib);
    from = conv_tat(m, f->bf16, src, em_i64(m, c->from * f->block));
    int64_t unroll = c->count % 4 ? (c->count % 2 ? 1 : 2) : 4;
    if (c->count <= 8) unroll = c->count;
    LLVMValueRef j = conv_loop(m, &l, em_i64(m, c->count), unroll);
    LLVMValueRef v[8];
    for (int64_t u = 0; u < unroll; u++)
      v[u] = conv_tload(m, f->bf16,
                        conv_tat(m, f->bf16, from, em_imulc(m, em_iaddc(m, j, u), c->src_step * f->block)),
                        m->vl);
    for (int64_t u = 0; u < unroll; u++)
      conv_vstore(m, v[u], conv_at(m, to, em_imulc(m, em_iaddc(m, j, u), c->dst_step * f->ib)));
    conv_end(m, &l, NULL, 0);
    if (c->dst_step == 1) zero_run(m, conv_atc(m, dst, last * f->ib), (f->cols - last) * f->ib);
    return;
  }
  zero_run(m, dst, f->cols * f->ib);
  if (f->ib == 1 && c->src_step == 1 && c->dst_step == 1) {
    from = conv_tat(m, f->bf16, src, em_i64(m, c->from));
    for (int64_t j = 0, n = m->vl; j < c->count; j += n) {
      while (n > c->count - j) n /= 2;
      LLVMValueRef v = conv_tload(m, f->bf16, conv_tat(m, f->bf16, from, em_i64(m, j)), (int)n);
      em_store(m, v, conv_atc(m, to, j), 4);
    }
    return;
  }
  LLVMValueRef ch = conv_loop(m, &lc, nchan, 1);
  from = conv_tat(m, f->bf16, src, em_iaddc(m, em_imulc(m, ch, f->h * f->w), c->from));
  to = conv_at(m, to, ch);
  LLVMValueRef j = conv_loop(m, &l, em_i64(m, c->count), 1);
  LLVMValueRef v = conv_tload(m, f->bf16, conv_tat(m, f->bf16, from, em_imulc(m, j, c->src_step)), 1);
  em_store(m, v, conv_at(m, to, em_imulc(m, j, c->dst_step * f->ib)), 4);
  conv_end(m, &l, NULL, 0);
  conv_end(m, &lc, NULL, 0);
}

void conv_fill(EmitModule *m, const ConvFill *f, LLVMValueRef image, LLVMValueRef cb0, LLVMValueRef ncb,
               LLVMValueRef row0, LLVMValueRef dst) {
  if (f->planar) { /* each channel is a block */
    ConvFill p = *f;
    p.planar = false, p.ib = 1, p.icb = p.c;
    conv_fill(m, &p, image, em_i64(m, 0), em_i64(m, p.c), row0, dst);
    return;
  }
  Columns c = columns_of(f);
  ConvLoop lb, lr;
  LLVMValueRef cb = conv_loop(m, &lb, ncb, 1), block = em_iadd(m, cb0, cb);
  LLVMValueRef src = conv_tat(m, f->bf16, image, em_imulc(m, block, f->ib * f->h * f->w));
  LLVMValueRef left = em_isub(m, em_i64(m, f->c), em_imulc(m, block, f->ib));
  LLVMValueRef nchan = f->icb == 1 ? em_i64(m, f->c) : em_imin(m, left, em_i64(m, f->ib));
  if (f->ib == 1) nchan = em_i64(m, 1);
  LLVMValueRef to = conv_at(m, dst, em_imulc(m, cb, f->rows * f->cols * f->ib));
  LLVMValueRef i = conv_loop(m, &lr, em_i64(m, f->rows), 1);
  LLVMValueRef v = em_iadd(m, row0, i);
  LLVMValueRef row = conv_at(m, to, em_imulc(m, i, f->cols * f->ib));
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
    copy_row(m, f, &c, conv_tat(m, f->bf16, src, em_imulc(m, r, pitch)), nchan, row);
    em_else(m, &branch);
    zero_run(m, row, f->cols * f->ib);
    em_endif(m, &branch);
  }
  conv_end(m, &lr, NULL, 0);
  conv_end(m, &lb, NULL, 0);
}

/* ---- transposes ---- */
/* Shuffles a and b: result lane i is lane m[i] of their concatenation. */
static LLVMValueRef shuffled(EmitModule *m, LLVMValueRef a, LLVMValueRef b, const int *lane, int n) {
  LLVMValueRef mask[CONV_MAX_TILE];
  for (int i = 0; i < n; i++) mask[i] = em_i32(m, lane[i]);
  return LLVMBuildShuffleVector(m->b, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

void conv_transpose(EmitModule *m, LLVMValueRef *v, int n) {
  int lo[CONV_MAX_TILE], hi[CONV_MAX_TILE];
  /* 4 x 4 blocks inside 128-bit parts, by unpacking singles and then pairs ... */
  for (int width = 1; width <= 2; width *= 2) {
    for (int i = 0; i < n; i++) {
      int part = i / 4 * 4, pair = i % 4 / (2 * width), odd = i % (2 * width) / width, at = i % width;
      lo[i] = part + pair * width + at + odd * n;
      hi[i] = lo[i] + 2;
    }
    for (int g = 0; g < n; g += 4)
      for (int i = 0; i < 2; i++) {
        int x = g + (width == 1 ? 2 * i : i), y = x + width;
        LLVMValueRef a = v[x], b = v[y];
        v[x] = shuffled(m, a, b, lo, n), v[y] = shuffled(m, a, b, hi, n);
      }
    /* after the first pass v[g .. g+3] hold rows (0,1) low, (0,1) high, (2,3) low, (2,3) high */
  }
  for (int g = 0; g < n; g += 4) {
    LLVMValueRef t = v[g + 1];
    v[g + 1] = v[g + 2], v[g + 2] = t;
  }
  /* ... then the 128-bit parts as a butterfly: the stage of distance d exchanges off-diagonal d x d blocks of
   * 2d x 2d. */
  for (int d = n / 2; d >= 4; d /= 2) {
    for (int i = 0; i < n; i++) {
      bool up = (i / d) % 2;
      lo[i] = up ? n + i - d : i, hi[i] = up ? n + i : i + d;
    }
    for (int i = 0; i < n; i++) {
      if ((i / d) % 2) continue;
      LLVMValueRef a = v[i], b = v[i + d];
      v[i] = shuffled(m, a, b, lo, n), v[i + d] = shuffled(m, a, b, hi, n);
    }
  }
}

/* ---- weights ---- */
/* Where packed weights keep tap `tap` of source channel c. */
static LLVMValueRef packed_at(EmitModule *m, const ConvFill *f, int64_t taps, LLVMValueRef c,
                              LLVMValueRef tap) {
  LLVMValueRef t = em_iadd(m, em_imulc(m, em_idivc(m, c, f->ib), taps), tap);
  return em_imulc(m, em_iadd(m, em_imulc(m, t, f->ib), em_imodc(m, c, f->ib)), m->vl);
}

/* w[k][j] (j: channel and tap) to one kb: transposed tiles; rows k past the end and columns j past the end
 * are zero. */
static void pack_forward(EmitModule *m, const ConvSpec *s, const ConvGather *g, LLVMValueRef w,
                         LLVMValueRef tmp) {
  int L = m->vl;
  int64_t taps = s->kh * s->kw, cols = s->c * taps, total = g->fill.icb * g->fill.ib * taps;
  LLVMValueRef k0 = em_imulc(m, m->chunk, L), dst = conv_at(m, tmp, em_imulc(m, m->chunk, total * L));
  for (int part = 0; part < 2; part++) { /* whole tiles in a loop, then the rest */
    int64_t whole = total / L * L, rest = total - whole;
    if (part ? !rest : !whole) continue;
    ConvLoop l = {.once = true};
    LLVMValueRef j = part ? em_i64(m, whole) : conv_loop(m, &l, em_i64(m, whole), L);
    bool tail = part || cols < whole;
    LLVMValueRef mask = tail ? em_tail_mask(m, em_isub(m, em_i64(m, cols), j), L) : NULL, v[CONV_MAX_TILE];
    for (int i = 0; i < L; i++) {
      LLVMValueRef k = em_iaddc(m, k0, i), kk = s->k % L ? em_imin(m, k, em_i64(m, s->k - 1)) : k;
      LLVMValueRef p = conv_tat(m, s->wbf16, w, em_iadd(m, em_imulc(m, kk, cols), j));
      if (!tail) v[i] = conv_tload(m, s->wbf16, p, L);
      else if (s->wbf16) v[i] = em_widen_bf16(m, em_masked_load(m, em_vec(m->i16, L), p, 2, mask, NULL));
      else v[i] = em_masked_load(m, m->vf32, p, 4, mask, NULL);
      if (s->k % L)
        v[i] = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, k, em_i64(m, s->k), ""), v[i],
                               LLVMConstNull(m->vf32), "");
    }
    conv_transpose(m, v, L);
    for (int i = 0; i < (part ? (int)rest : L); i++) {
      LLVMValueRef at = em_iaddc(m, j, i);
      conv_vstore(
          m, v[i],
          conv_at(m, dst, packed_at(m, &g->fill, taps, em_idivc(m, at, taps), em_imodc(m, at, taps))));
    }
    if (!part) conv_end(m, &l, NULL, 0);
  }
}

LLVMValueRef conv_lanes(EmitModule *m, bool bf16, LLVMValueRef w, LLVMValueRef c0, int64_t c,
                        int64_t stride) {
  LLVMValueRef v = LLVMGetPoison(m->vf32);
  bool ragged = c % m->vl;
  for (int i = 0; i < m->vl; i++) {
    LLVMValueRef ch = em_iaddc(m, c0, i);
    if (ragged) ch = em_imin(m, ch, em_i64(m, c - 1));
    LLVMValueRef x = conv_tload(m, bf16, conv_tat(m, bf16, w, em_imulc(m, ch, stride)), 1);
    v = LLVMBuildInsertElement(m->b, v, x, em_i32(m, i), "");
  }
  if (!ragged) return v;
  LLVMValueRef mask = em_tail_mask(m, em_isub(m, em_i64(m, c), c0), m->vl);
  return LLVMBuildSelect(m->b, mask, v, LLVMConstNull(m->vf32), "");
}

/* w[k][c][t] to one cb. */
static void pack_gradient(EmitModule *m, const ConvSpec *s, const ConvGather *g, LLVMValueRef w,
                          LLVMValueRef tmp) {
  int L = m->vl;
  int64_t taps = s->kh * s->kw, nk = g->fill.icb * g->fill.ib, panel = nk * taps * L;
  LLVMValueRef c0 = em_imulc(m, m->chunk, L), dst = conv_at(m, tmp, em_imulc(m, m->chunk, panel));
  ConvLoop lk, lt;
  LLVMValueRef k = conv_loop(m, &lk, em_i64(m, nk), 1);
  LLVMValueRef t = conv_loop(m, &lt, em_i64(m, taps), 1);
  LLVMValueRef from = nk > s->k ? em_imin(m, k, em_i64(m, s->k - 1)) : k;
  LLVMValueRef src = conv_tat(m, s->wbf16, w, em_iadd(m, em_imulc(m, from, s->c * taps), t));
  LLVMValueRef v = conv_lanes(m, s->wbf16, src, c0, s->c, taps);
  if (nk > s->k)
    v = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, k, em_i64(m, s->k), ""), v,
                        LLVMConstNull(m->vf32), "");
  conv_vstore(m, v, conv_at(m, dst, packed_at(m, &g->fill, taps, k, t)));
  conv_end(m, &lt, NULL, 0);
  conv_end(m, &lk, NULL, 0);
}

void conv_emit_pack(EmitModule *m, const ConvPlan *plan) {
  const ConvSpec *s = &plan->spec;
  ConvGather g;
  conv_gather(s, m->target, &g);
  LLVMValueRef w = em_operand(m, 0), tmp = em_operand(m, 1);
  (s->kind == CONV_DX ? pack_gradient : pack_forward)(m, s, &g, w, tmp);
}

void conv_emit_sum(EmitModule *m, const ConvPlan *plan) {
  const ConvSpec *s = &plan->spec;
  ConvWgrad g;
  conv_wgrad(s, m->target, &g);
  int L = m->vl;
  int64_t cols = s->c * s->kh * s->kw, panel = g.acc / g.ocb;
  LLVMValueRef tmp = em_operand(m, 0), w = em_operand(m, 1), k0 = em_imulc(m, m->chunk, L);
  LLVMValueRef src = conv_at(m, tmp, em_imulc(m, m->chunk, panel));
  ConvLoop l, lk, lp;
  LLVMValueRef j = conv_loop(m, &l, em_i64(m, cols), L), v[CONV_MAX_TILE];
  LLVMValueRef from = conv_at(m, src, em_imulc(m, j, L));
  for (int i = 0; i < L; i++) v[i] = conv_vload(m, conv_atc(m, from, i * L));
  if (g.nsplit > 1) {
    LLVMValueRef p = conv_loop(m, &lp, em_i64(m, g.nsplit - 1), 1);
    conv_carry(m, &lp, v, L);
    LLVMValueRef part = conv_at(m, from, em_imulc(m, em_iaddc(m, p, 1), g.acc));
    for (int i = 0; i < L; i++) v[i] = em_fadd(m, v[i], conv_vload(m, conv_atc(m, part, i * L)));
    conv_end(m, &lp, v, L);
  }
  conv_transpose(m, v, L);
  for (int i = 0; i < L; i++) conv_vstore(m, v[i], conv_atc(m, m->scratch, i * L));
  LLVMValueRef nk = em_imin(m, em_isub(m, em_i64(m, s->k), k0), em_i64(m, L));
  LLVMValueRef mask = cols % L ? em_tail_mask(m, em_isub(m, em_i64(m, cols), j), L) : NULL;
  LLVMValueRef k = conv_loop(m, &lk, nk, 1);
  LLVMValueRef row = conv_vload(m, conv_at(m, m->scratch, em_imulc(m, k, L)));
  LLVMValueRef to = conv_at(m, w, em_iadd(m, em_imulc(m, em_iadd(m, k0, k), cols), j));
  if (mask) em_masked_store(m, row, to, 4, mask);
  else conv_vstore(m, row, to);
  conv_end(m, &lk, NULL, 0);
  conv_end(m, &l, NULL, 0);
}
