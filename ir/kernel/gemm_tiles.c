/* Plans of matrix products on tiles (tiles.h): 32 rows by 32 columns of sums stay in tile registers over k. B is
   packed to tiles, once where a product has one B, by each chunk where there is a batch of them; A is read in place
   where rows lie along k, else a chunk copies its rows to tiles. */
#include "ir/kernel/gemm_plan.h"
#include "ir/kernel/tiles.h"

static int64_t round_up(int64_t x, int64_t to) { return div_up(x, to) * to; }

const char *gemm_not_on_tiles(const Target *t, int64_t m, int64_t n, int64_t k) {
  bool little = (double)m * (double)n * (double)k < (double)t->cost->tiles_work;
  return t->tiles == TILES_NONE ? tiles_none : little ? "little work" : NULL;
}

const char *gemm_gaps(const GemmSpec *s) {
  bool a = s->a_k == 1 || s->a_m == 1 || s->m == 1, b = s->b_k == 1 || s->b_n == 1 || s->n == 1;
  return a && b ? NULL : "gaps between the elements of an operand both ways";
}

int64_t gemm_tiles_packed_at(const GemmSpec *s, int64_t k, int64_t n) {
  int64_t panel = n / (2 * TILE_COLS), first = panel * 2 * TILE_COLS,
          width = min64(2 * TILE_COLS, round_up(s->n - first, TILE_COLS)), at = n - first;
  return first * round_up(s->k, TILE_DEEP) + k / TILE_DEEP * TILE_DEEP * width +
         at / TILE_COLS * (TILE_DEEP * TILE_COLS) + k % TILE_DEEP / 2 * TILE_DEEP + at % TILE_COLS * 2 +
         k % 2;
}

/* Sums kept between blocks of k, blocks of A and B, a block of sums on its way to C. */
int64_t gemm_tiles_scratch(const GemmGeom *g) {
  return g->c_block * 4 + (g->a_block + g->b_block) * 2 + 4 * TILE_BYTES;
}

/* Cycles of a chunk of so many rows and columns. */
static double chunk_cycles(const GemmSpec *s, const Target *t, const GemmGeom *g, int64_t rows,
                           int64_t cols) {
  const CostModel *c = t->cost;
  double rt = (double)div_up(rows, TILE_ROWS), ct = (double)div_up(cols, TILE_COLS),
         deep = (double)div_up(s->k, TILE_DEEP), lines = TILE_BYTES / 64 * c->tiles_line;
  return deep * (rt * ct * c->tiles_step[tiles_by_pairs(t->tiles)] +
                 rt * (s->a_k == 1 ? lines : lines + c->tiles_turn) +
                 ct * (g->b == GEMM_PACKED ? lines : lines + c->tiles_turn));
}

static void cut(const GemmSpec *s, const Target *t, GemmGeom *g, int64_t wanted) {
  enum { UNIT = 2 * TILE_ROWS };
  const CostModel *c = t->cost;
  double best = 1e300;
  int64_t units = div_up(s->m, UNIT), panels = div_up(s->n, UNIT);
  for (int64_t gm = 1; gm <= units; gm++) {
    int64_t rows = div_up(units, gm) * UNIT, nrow = div_up(s->m, rows);
    if (rows > UNIT && rows * g->kc * 2 > c->tiles_block) continue;
    bool enough = false;
    for (int64_t gn = 1; gn <= panels && !enough; gn++) {
      int64_t cols = div_up(panels, gn) * UNIT, ncol = div_up(s->n, cols), chunks = nrow * ncol;
      enough = chunks >= wanted && (g->nk == 1 || rows * cols * 4 <= c->tiles_sums);
      double cost = chunk_cycles(s, t, g, min64(rows, s->m), min64(cols, s->n)) * (double)chunks;
      if (chunks < wanted) cost *= 1 + c->tiles_idle * (double)(wanted - chunks) / (double)wanted;
      if (g->nk > 1 && rows * cols * 4 > c->tiles_sums) cost *= 4;
      if (cost < best) best = cost, g->rows = rows, g->nrow = nrow, g->cols = cols, g->ncol = ncol;
    }
    if (nrow >= wanted && best < 1e300) break;
  }
}

void gemm_tiles_geom(const GemmSpec *s, const Target *t, GemmGeom *g) {
  const CostModel *c = t->cost;
  g->kind = GEMM_TILES;
  g->lanes = TILE_COLS, g->mr = 2 * TILE_ROWS, g->nv = 2;
  g->a = s->a_k == 1 && s->k % TILE_DEEP == 0 ? GEMM_IN_PLACE : GEMM_COPY;
  g->b = g->items == 1 ? GEMM_PACKED : GEMM_COPY;
  g->kc = round_up(s->k, TILE_DEEP), g->nk = 1;
  if (2 * TILE_ROWS * g->kc * 2 > c->tiles_block) {
    g->kc = round_up(div_up(s->k, div_up(s->k, c->tiles_deep)), TILE_DEEP);
    g->nk = div_up(s->k, g->kc);
  }
  double work = (double)round_up(s->m, TILE_ROWS) * (double)round_up(s->n, TILE_COLS) * (double)g->kc *
                (double)(g->nk * g->items);
  int64_t wanted = 1;
  while (wanted < c->tiles_chunks && work >= 2.0 * (double)(wanted * c->tiles_chunk_work)) wanted *= 2;
  g->per_chunk = g->items > 1 ? div_up(g->items, wanted) : 1;
  g->ngroup = div_up(g->items, g->per_chunk);
  cut(s, t, g, g->ngroup >= wanted ? 1 : div_up(wanted, g->ngroup));
  int64_t rows = round_up(min64(g->rows, s->m), TILE_ROWS), cols = round_up(min64(g->cols, s->n), TILE_COLS);
  g->a_i = s->a_m, g->a_k = s->a_k;
  if (g->a == GEMM_COPY) g->a_block = rows * g->kc;
  else if (s->m % TILE_ROWS) g->a_block = TILE_ROWS * g->kc; /* the last rows, filled up */
  if (g->b == GEMM_COPY) g->b_block = cols * g->kc;
  if (g->nk > 1) g->c_block = rows * cols;
  g->pack_group = max64(1, c->gemm_pack_work / (g->kc * g->nk * 2 * TILE_COLS));
}
