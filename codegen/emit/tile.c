/* Pieces of kernels that keep a tile of sums in registers (tile.h). */
#include "codegen/emit/tile.h"

LLVMValueRef tile_at(EmitModule *m, LLVMValueRef base, LLVMValueRef index) {
  return em_gep(m, m->f32, base, index);
}

LLVMValueRef tile_atc(EmitModule *m, LLVMValueRef base, int64_t index) {
  return index ? em_gep(m, m->f32, base, em_i64(m, index)) : base;
}

LLVMValueRef tile_vload(EmitModule *m, LLVMValueRef p) { return em_load(m, m->vf32, p, 4); }
void tile_vstore(EmitModule *m, LLVMValueRef v, LLVMValueRef p) { em_store(m, v, p, 4); }

LLVMValueRef tile_tat(EmitModule *m, bool bf16, LLVMValueRef base, LLVMValueRef index) {
  return em_gep(m, bf16 ? m->i16 : m->f32, base, index);
}

LLVMValueRef tile_tload(EmitModule *m, bool bf16, LLVMValueRef p, int lanes) {
  LLVMValueRef v = em_load(m, em_vec(bf16 ? m->i16 : m->f32, lanes), p, bf16 ? 2 : 4);
  return bf16 ? em_widen(m, m->narrow, v) : v;
}

void tile_tstore(EmitModule *m, bool bf16, LLVMValueRef v, LLVMValueRef p) {
  em_store(m, bf16 ? em_narrow(m, m->narrow, v) : v, p, bf16 ? 2 : 4);
}

/* ---- loops ---- */
LLVMValueRef tile_loop(EmitModule *m, TileLoop *l, LLVMValueRef count, int64_t step) {
  l->once = LLVMIsAConstantInt(count) && LLVMConstIntGetSExtValue(count) <= step &&
            LLVMConstIntGetSExtValue(count) > 0;
  if (l->once) {
    l->loop.ncarry = 0;
    return em_i64(m, 0);
  }
  return em_loop_begin(m, &l->loop, em_i64(m, 0), count, step);
}

void tile_carry(EmitModule *m, TileLoop *l, LLVMValueRef *acc, int n) {
  if (l->once) return;
  for (int i = 0; i < n; i++) acc[i] = l->loop.carry[em_loop_carry(m, &l->loop, acc[i])];
}

void tile_end(EmitModule *m, TileLoop *l, LLVMValueRef *acc, int n) {
  if (l->once) return;
  for (int i = 0; i < n; i++) l->loop.next[i] = acc[i];
  em_loop_end(m, &l->loop);
  for (int i = 0; i < n; i++) acc[i] = l->loop.carry[i];
}

/* ---- sums ---- */
void tile_fma(EmitModule *m, LLVMValueRef *acc, LLVMValueRef a, const int64_t *aoff, int na, LLVMValueRef b,
              int64_t boff, int64_t bstride, int nb) {
  LLVMValueRef v[8];
  for (int o = 0; o < nb; o++) v[o] = tile_vload(m, tile_atc(m, b, boff + o * bstride));
  for (int i = 0; i < na; i++) {
    LLVMValueRef q = em_broadcast_load(m, tile_atc(m, a, aoff[i]), m->vl);
    for (int o = 0; o < nb; o++) acc[i * nb + o] = em_fma(m, q, v[o], acc[i * nb + o]);
  }
}

/* ---- transposes ---- */
/* Shuffles a and b: result lane i is lane m[i] of their concatenation. */
static LLVMValueRef shuffled(EmitModule *m, LLVMValueRef a, LLVMValueRef b, const int *lane, int n) {
  LLVMValueRef mask[TILE_MAX];
  for (int i = 0; i < n; i++) mask[i] = em_i32(m, lane[i]);
  return LLVMBuildShuffleVector(m->b, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

void tile_transpose(EmitModule *m, LLVMValueRef *v, int n) {
  int lo[TILE_MAX], hi[TILE_MAX];
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
     2d x 2d. */
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
