/* Products whose operands are both contiguous along k and of which one is narrow: a tile of dot products,
   vectors along k, summed across lanes at the end. The lanes of all sums of a tile are added by one butterfly
   of shuffles that leaves sum i in lane i. */
#include "codegen/gemm/gemm.h"

typedef struct {
  LLVMValueRef a, b, c; /* b and c at the tile's columns */
  int cols;
} DotPanel;

enum { DOT_TRIPS = 512 }; /* vectors of one chain; longer sums are those of such blocks */

static LLVMValueRef select_lanes(EmitModule *m, LLVMValueRef a, LLVMValueRef b, int bit, int flip) {
  int n = em_lanes(a);
  LLVMValueRef lane[TILE_MAX];
  for (int i = 0; i < n; i++) lane[i] = em_i32(m, (i & bit ? n : 0) + (i ^ flip));
  return LLVMBuildShuffleVector(m->b, a, b, LLVMConstVector(lane, (unsigned)n), "");
}

/* Lane i of the result: the sum of all lanes of v[i]; n vectors of at least n lanes. */
static LLVMValueRef sum_lanes(EmitModule *m, LLVMValueRef *v, int n) {
  int L = em_lanes(v[0]);
  for (int i = n; i < L; i++) v[i] = v[n - 1];
  for (int d = L / 2; d; d /= 2)
    for (int i = 0; i < d; i++)
      v[i] = em_fadd(m, select_lanes(m, v[i], v[i + d], d, 0), select_lanes(m, v[i], v[i + d], d, d));
  return v[0];
}

static void store_rows(Gemm *z, LLVMValueRef sums, LLVMValueRef to, int rows, int cols) {
  EmitModule *m = z->m;
  bool c16 = z->s->c16;
  if (c16) sums = em_narrow(m, m->narrow, sums);
  if (z->s->c_m == cols) cols *= rows, rows = 1;
  for (int i = 0; i < rows; i++) {
    LLVMValueRef lane[TILE_MAX], at = gemm_tatc(z, c16, to, i * z->s->c_m);
    for (int j = 0; j < cols; j++) lane[j] = em_i32(m, i * cols + j);
    if (cols == 1) {
      em_store(m, em_extract(m, sums, i), at, c16 ? 2 : z->align);
      continue;
    }
    LLVMValueRef x = LLVMBuildShuffleVector(m->b, sums, LLVMGetPoison(LLVMTypeOf(sums)),
                                            LLVMConstVector(lane, (unsigned)cols), "");
    em_store(m, x, at, c16 ? 2 : z->align);
  }
}

static void dot_step(Gemm *z, const Pieces *p, LLVMValueRef a, LLVMValueRef b, int rows, int cols,
                     LLVMValueRef *acc) {
  LLVMValueRef y[TILE_MAX];
  for (int j = 0; j < cols; j++)
    y[j] = gemm_vload(z, z->s->b16, p, 0, gemm_tatc(z, z->s->b16, b, j * z->s->b_n));
  for (int i = 0; i < rows; i++) {
    LLVMValueRef x = gemm_vload(z, z->s->a16, p, 0, gemm_tatc(z, z->s->a16, a, i * z->s->a_m));
    for (int j = 0; j < cols; j++) acc[i * cols + j] = em_fma(z->m, x, y[j], acc[i * cols + j]);
  }
}

static void dot_tile(Gemm *z, void *arg, LLVMValueRef number, LLVMValueRef row, int rows) {
  (void)number;
  EmitModule *m = z->m;
  const DotPanel *p = arg;
  int L = z->g.lanes, n = rows * p->cols;
  int64_t whole = z->s->k / L * L;
  bool a16 = z->s->a16, b16 = z->s->b16;
  LLVMValueRef acc[TILE_MAX], a = gemm_tat(z, a16, p->a, row, z->s->a_m), b = p->b;
  for (int i = 0; i < n; i++) acc[i] = LLVMConstNull(em_vec(z->t, L));
  TileLoop l, lb;
  if (whole) {
    Pieces full = gemm_pieces(z, false, L);
    int u = whole % (2 * L) || n > 8 ? 1 : 2;
    bool blocks = whole > DOT_TRIPS * L;
    LLVMValueRef k0 = em_i64(m, 0), count = em_i64(m, whole), sum[TILE_MAX];
    for (int i = 0; i < n && blocks; i++) sum[i] = acc[i];
    if (blocks) {
      k0 = tile_loop(m, &lb, count, DOT_TRIPS * L);
      tile_carry(m, &lb, sum, n);
      count = em_imin(m, em_isub(m, count, k0), em_i64(m, DOT_TRIPS * L));
    }
    LLVMValueRef k = tile_loop(m, &l, count, u * L);
    tile_carry(m, &l, acc, n);
    k = em_iadd(m, k0, k);
    for (int i = 0; i < u; i++) {
      LLVMValueRef at = em_iaddc(m, k, i * L);
      dot_step(z, &full, gemm_tat(z, a16, a, at, 1), gemm_tat(z, b16, b, at, 1), rows, p->cols, acc);
    }
    tile_end(m, &l, acc, n);
    for (int i = 0; i < n && blocks; i++) sum[i] = em_fadd(m, sum[i], acc[i]);
    if (blocks) tile_end(m, &lb, sum, n);
    for (int i = 0; i < n && blocks; i++) acc[i] = sum[i];
  }
  LLVMValueRef to = gemm_tat(z, z->s->c16, p->c, row, z->s->c_m);
  int rest = (int)(z->s->k - whole);
  if (rest) { /* vectors short of lanes count as zero there */
    Pieces part = gemm_pieces(z, a16 || b16, rest);
    if (part.n == 1 && part.v[0].mask) {
      dot_step(z, &part, gemm_tatc(z, a16, a, whole), gemm_tatc(z, b16, b, whole), rows, p->cols, acc);
    } else {
      for (int k = 0; k < rest; k++)
        for (int i = 0; i < n; i++) {
          LLVMValueRef zero = em_i32(m, k), r = em_i64(m, whole + k), sum;
          LLVMValueRef x =
              gemm_load(z, a16, gemm_tat(z, a16, gemm_tatc(z, a16, a, i / p->cols * z->s->a_m), r, 1), 1);
          LLVMValueRef y =
              gemm_load(z, b16, gemm_tat(z, b16, gemm_tatc(z, b16, b, i % p->cols * z->s->b_n), r, 1), 1);
          sum = em_fma(m, x, y, LLVMBuildExtractElement(m->b, acc[i], zero, ""));
          acc[i] = LLVMBuildInsertElement(m->b, acc[i], sum, zero, "");
        }
    }
  }
  store_rows(z, sum_lanes(m, acc, n), to, rows, p->cols);
}

static void dot_panel(Gemm *z, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, LLVMValueRef mrows, int cols) {
  DotPanel p = {a, b, c, cols};
  gemm_tiles(z, mrows, z->g.rows, z->s->m, z->g.mr, dot_tile, &p);
}

void gemm_emit_dot(Gemm *z, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, LLVMValueRef mrows,
                   LLVMValueRef ncols) {
  EmitModule *m = z->m;
  int nv = z->g.nv, rest = (int)(z->s->n % nv);
  TileLoop l;
  LLVMValueRef whole = em_imulc(m, em_idivc(m, ncols, nv), nv);
  if (z->s->n >= nv) {
    LLVMValueRef j = tile_loop(m, &l, whole, nv);
    dot_panel(z, a, gemm_tat(z, z->s->b16, b, j, z->s->b_n), gemm_tat(z, z->s->c16, c, j, 1), mrows, nv);
    tile_end(m, &l, NULL, 0);
  }
  if (!rest) return;
  EmitIf f;
  LLVMValueRef some = LLVMBuildICmp(m->b, LLVMIntSLT, whole, ncols, "");
  if (z->g.ncol > 1) em_if(m, &f, some);
  dot_panel(z, a, gemm_tat(z, z->s->b16, b, whole, z->s->b_n), gemm_tat(z, z->s->c16, c, whole, 1), mrows,
            rest);
  if (z->g.ncol > 1) em_endif(m, &f);
}
