/* Data movement around matrix products: runs of elements as vectors, blocks of A and panels of B in scratch,
   packing of transposed B. */
#include "codegen/gemm/gemm.h"

LLVMValueRef gemm_at(Gemm *z, LLVMValueRef base, LLVMValueRef i, int64_t si) {
  return gemm_tat(z, false, base, i, si);
}

LLVMValueRef gemm_atc(Gemm *z, LLVMValueRef base, int64_t i) { return gemm_tatc(z, false, base, i); }

LLVMValueRef gemm_tat(Gemm *z, bool b16, LLVMValueRef base, LLVMValueRef i, int64_t si) {
  return em_gep(z->m, b16 ? z->m->i16 : z->t, base, em_imulc(z->m, i, si));
}

LLVMValueRef gemm_tatc(Gemm *z, bool b16, LLVMValueRef base, int64_t i) {
  return i ? em_gep(z->m, b16 ? z->m->i16 : z->t, base, em_i64(z->m, i)) : base;
}

LLVMValueRef gemm_load(Gemm *z, bool b16, LLVMValueRef from, int lanes) {
  return b16 ? tile_tload(z->m, true, from, lanes) : em_load(z->m, em_vec(z->t, lanes), from, z->align);
}

/* ---- runs as vectors ---- */
Pieces gemm_pieces(Gemm *z, bool b16, int64_t count) {
  int L = z->g.lanes;
  Pieces p = {.count = (int)count, .width = (int)div_up(count, L) * L};
  int at = 0;
  for (; at + L <= count; at += L) p.v[p.n].at = at, p.v[p.n++].lanes = L;
  if (at == count) return p;
  if (z->m->target->vector_bytes >= (b16 ? 64 : 32)) {
    p.v[p.n].at = at, p.v[p.n].lanes = L;
    p.v[p.n++].mask = em_tail_mask(z->m, em_i64(z->m, count - at), L);
    return p;
  }
  for (int lanes = L / 2; lanes; lanes /= 2)
    if (at + lanes <= count) p.v[p.n].at = at, p.v[p.n++].lanes = lanes, at += lanes;
  return p;
}

LLVMValueRef gemm_vload(Gemm *z, bool b16, const Pieces *p, int i, LLVMValueRef from) {
  int lanes = p->v[i].lanes;
  LLVMValueRef at = gemm_tatc(z, b16, from, p->v[i].at), mask = p->v[i].mask;
  if (!mask) return gemm_load(z, b16, at, lanes);
  LLVMValueRef x =
      em_masked_load(z->m, em_vec(b16 ? z->m->i16 : z->t, lanes), at, b16 ? 2 : z->align, mask, NULL);
  return b16 ? em_widen(z->m, z->m->narrow, x) : x;
}

void gemm_vstore(Gemm *z, bool b16, const Pieces *p, int i, LLVMValueRef x, LLVMValueRef to) {
  LLVMValueRef at = gemm_tatc(z, b16, to, p->v[i].at);
  if (b16) x = em_narrow(z->m, z->m->narrow, x);
  if (p->v[i].mask) em_masked_store(z->m, x, at, b16 ? 2 : z->align, p->v[i].mask);
  else em_store(z->m, x, at, b16 ? 2 : z->align);
}

static void copy_pieces(Gemm *z, bool b16, const Pieces *p, LLVMValueRef from, LLVMValueRef to) {
  for (int i = 0; i < p->n; i++) {
    LLVMValueRef x = gemm_vload(z, b16, p, i, from);
    em_store(z->m, x, gemm_atc(z, to, p->v[i].at), z->align); /* scratch has room for whole vectors */
  }
}

/* ---- blocks of A ---- */
/* Rows of `count` elements that lie together. */
static void copy_run(Gemm *z, LLVMValueRef from, LLVMValueRef count, LLVMValueRef to) {
  EmitModule *m = z->m;
  int L = z->g.lanes;
  bool a16 = z->s->a16;
  TileLoop l;
  LLVMValueRef whole = em_imulc(m, em_idivc(m, count, L), L);
  if (!LLVMIsAConstantInt(whole) || LLVMConstIntGetSExtValue(whole)) {
    LLVMValueRef i = tile_loop(m, &l, whole, L);
    em_store(m, gemm_load(z, a16, gemm_tat(z, a16, from, i, 1), L), gemm_at(z, to, i, 1), z->align);
    tile_end(m, &l, NULL, 0);
  }
  LLVMValueRef rest = em_isub(m, count, whole);
  if (LLVMIsAConstantInt(rest) && !LLVMConstIntGetSExtValue(rest)) return;
  from = gemm_tat(z, a16, from, whole, 1), to = gemm_at(z, to, whole, 1);
  LLVMValueRef i = tile_loop(m, &l, rest, 1);
  em_store(m, gemm_load(z, a16, gemm_tat(z, a16, from, i, 1), 1), gemm_at(z, to, i, 1), z->align);
  tile_end(m, &l, NULL, 0);
}

typedef struct {
  LLVMValueRef from, to;
} CopyTile;

static void copy_tile(Gemm *z, void *arg, LLVMValueRef tile, LLVMValueRef row, int size) {
  CopyTile *c = arg;
  bool a16 = z->s->a16;
  Pieces p = gemm_pieces(z, a16, size);
  copy_pieces(z, a16, &p, gemm_tat(z, a16, c->from, row, 1), gemm_at(z, c->to, tile, z->g.kc * z->g.a_k));
}

void gemm_copy_a(Gemm *z, LLVMValueRef from, LLVMValueRef mrows, LLVMValueRef kk, LLVMValueRef to) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  TileLoop l;
  if (s->a_k == 1) {
    LLVMValueRef i = tile_loop(m, &l, mrows, 1);
    copy_run(z, gemm_tat(z, s->a16, from, i, s->a_m), kk, gemm_at(z, to, i, z->g.a_i));
    tile_end(m, &l, NULL, 0);
    return;
  }
  LLVMValueRef k = tile_loop(m, &l, kk, 1);
  CopyTile c = {gemm_tat(z, s->a16, from, k, s->a_k), gemm_at(z, to, k, z->g.a_k)};
  gemm_tiles(z, mrows, z->g.rows, s->m, z->g.mr, copy_tile, &c);
  tile_end(m, &l, NULL, 0);
}

/* ---- panels of B ---- */
/* Element (k, column j + lane) in each lane; columns past the last one repeat it. */
static LLVMValueRef gather_lanes(Gemm *z, LLVMValueRef from, LLVMValueRef j, int64_t cols) {
  EmitModule *m = z->m;
  int L = z->g.lanes;
  LLVMValueRef v = LLVMGetPoison(em_vec(z->t, L));
  for (int i = 0; i < L; i++) {
    LLVMValueRef col = em_iaddc(m, j, i);
    if (cols % L) col = em_imin(m, col, em_i64(m, cols - 1));
    LLVMValueRef x = gemm_load(z, z->s->b16, gemm_tat(z, z->s->b16, from, col, z->s->b_n), 1);
    v = LLVMBuildInsertElement(m->b, v, x, em_i32(m, i), "");
  }
  return v;
}

static void transpose_panel(Gemm *z, LLVMValueRef from, int64_t cols, LLVMValueRef kk, LLVMValueRef to) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  int L = z->g.lanes;
  int64_t nvec = div_up(cols, L), width = nvec * L;
  LLVMValueRef whole = em_i64(m, 0);
  if (s->b_k == 1 && L % 4 == 0) whole = em_imulc(m, em_idivc(m, kk, L), L);
  TileLoop lv, lk;
  LLVMValueRef v = tile_loop(m, &lv, em_i64(m, nvec), 1), j = em_imulc(m, v, L);
  to = gemm_at(z, to, j, 1);
  bool none = LLVMIsAConstantInt(whole) && !LLVMConstIntGetSExtValue(whole);
  if (!none) {
    LLVMValueRef k = tile_loop(m, &lk, whole, L), x[TILE_MAX];
    for (int i = 0; i < L; i++) {
      LLVMValueRef col = em_iaddc(m, j, i);
      if (cols % L) col = em_imin(m, col, em_i64(m, cols - 1));
      x[i] = gemm_load(z, s->b16, gemm_tat(z, s->b16, gemm_tat(z, s->b16, from, col, s->b_n), k, 1), L);
    }
    tile_transpose(m, x, L);
    for (int i = 0; i < L; i++) em_store(m, x[i], gemm_at(z, to, em_iaddc(m, k, i), width), z->align);
    tile_end(m, &lk, NULL, 0);
  }
  LLVMValueRef rest = em_isub(m, kk, whole);
  if (!LLVMIsAConstantInt(rest) || LLVMConstIntGetSExtValue(rest)) {
    LLVMValueRef k = em_iadd(m, whole, tile_loop(m, &lk, rest, 1));
    LLVMValueRef x = gather_lanes(z, gemm_tat(z, s->b16, from, k, s->b_k), j, cols);
    em_store(m, x, gemm_at(z, to, k, width), z->align);
    tile_end(m, &lk, NULL, 0);
  }
  tile_end(m, &lv, NULL, 0);
}

void gemm_copy_b(Gemm *z, LLVMValueRef from, int64_t cols, LLVMValueRef kk, LLVMValueRef to) {
  EmitModule *m = z->m;
  if (z->s->b_n != 1 && z->s->n > 1) {
    transpose_panel(z, from, cols, kk, to);
    return;
  }
  bool b16 = z->s->b16;
  Pieces p = gemm_pieces(z, b16, cols);
  TileLoop l;
  LLVMValueRef k = tile_loop(m, &l, kk, 1);
  copy_pieces(z, b16, &p, gemm_tat(z, b16, from, k, z->s->b_k), gemm_at(z, to, k, p.width));
  tile_end(m, &l, NULL, 0);
}

/* A chunk packs pack_group whole panels; the last one the narrower last panel too. */
void gemm_emit_pack(Gemm *z) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  int64_t whole = s->n / z->unit, rest = s->n % z->unit, panels = whole + (rest > 0);
  int64_t last = div_up(panels, z->g.pack_group) - 1;
  LLVMValueRef b = em_operand(m, 0), tmp = em_operand(m, 1), kk = em_i64(m, s->k);
  LLVMValueRef first = em_imulc(m, m->chunk, z->g.pack_group);
  if (!last) first = em_i64(m, 0);
  TileLoop l;
  if (whole) {
    LLVMValueRef n = em_imin(m, em_isub(m, em_i64(m, whole), first), em_i64(m, z->g.pack_group));
    LLVMValueRef p = em_iadd(m, first, tile_loop(m, &l, n, 1));
    gemm_copy_b(z, gemm_tat(z, s->b16, b, p, z->unit * s->b_n), z->unit, kk,
                gemm_at(z, tmp, p, z->unit * s->k));
    tile_end(m, &l, NULL, 0);
  }
  if (!rest) return;
  EmitIf f;
  if (last) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntEQ, m->chunk, em_i64(m, last), ""));
  gemm_copy_b(z, gemm_tatc(z, s->b16, b, whole * z->unit * s->b_n), rest, kk,
              gemm_atc(z, tmp, gemm_packed_at(s, &z->g, 0, whole * z->unit)));
  if (last) em_endif(m, &f);
}
