/* Plans of matrix products: which kernel, which tile and blocks, what is copied, how many chunks. Everything
   is decided from shape and target by a simple cost model fitted to measurements. A product is summed over k
   in blocks, which depend on shape and target only, each one chain an element (GEMM_DOT: a chain a lane), and
   the blocks are added in order, so that chunks and tiles may change without changing bits. */
#include "ir/kernel/gemm_plan.h"
#include "ir/kernel/tiles.h"

enum { PAGE = 4096 };
enum { GEMM_MOST_BLOCKS = 1024 }; /* of k: beyond, their sum loses more digits than longer chains do */

static int64_t element(const GemmSpec *s) { return dtype_size(s->dt); }

static int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* Rows at this distance (bytes) share few sets of a cache, whose way size is a page. */
static bool conflicts(int64_t stride) { return gcd(stride, PAGE) >= PAGE / 2; }

/* ---- register tiles ---- */
static bool tile_fits(const Target *t, int mr, int nv) {
  int temps = t->fma ? 1 : 2;
  return mr * nv + nv + temps <= t->registers;
}

/* Cycles of a step of k for rows x nvec vectors. */
static double block_cycles(const CostModel *c, int64_t rows, int64_t nvec, int mr, int nv) {
  double full = 0;
  for (int part = 0; part < 2; part++) {
    int64_t v = part ? nvec % nv : nv, panels = part ? v > 0 : nvec / nv;
    if (!panels) continue;
    full += (double)(panels * (rows / mr)) * tile_cycles(c, mr, v);
    if (rows % mr) full += (double)panels * tile_cycles(c, rows % mr, v);
  }
  return full;
}

/* Packed panels are as wide as the tile, and the choice of schedule must not change them. */
static void pick_tile(const Target *t, int64_t choice, bool packed, int64_t rows, int64_t nvec, GemmGeom *g) {
  Ranking best = {0}, same = {0};
  for (int nv = 1; nv <= 4 && nv <= nvec; nv++)
    for (int mr = 1; mr <= rows && tile_fits(t, mr, nv); mr++)
      rank_add(&best, block_cycles(t->cost, rows, nvec, mr, nv), mr, nv, 0);
  g->mr = (int)best.v[0][0], g->nv = (int)best.v[0][1];
  if (!(choice % CHOICE_TILES)) return;
  for (int mr = 1; mr <= rows && tile_fits(t, mr, g->nv); mr++)
    rank_add(&same, block_cycles(t->cost, rows, nvec, mr, g->nv), mr, g->nv, 0);
  const int64_t *v = rank_tile(packed ? &same : &best, choice);
  g->mr = (int)v[0], g->nv = (int)v[1];
}

static void pick_dot(const GemmSpec *s, GemmGeom *g) {
  int64_t rows = g->lanes >= 8 ? 4 : 2;
  g->mr = (int)min64(s->m, rows);
  g->nv = (int)max64(1, min64(s->n, min64(g->lanes / g->mr, 8)));
  if (s->n < g->nv * 2 && s->m > g->mr) /* few columns: more rows */
    g->mr = (int)max64(1, min64(s->m, min64(g->lanes / g->nv, 8)));
}

/* ---- chunks ---- */
/* A power of two, so that it divides evenly among most numbers of threads. */
static int64_t chunks_for(const CostModel *c, double work) {
  int64_t n = 1;
  while (n < c->gemm_chunks && work >= 2.0 * (double)(n * c->gemm_chunk_work)) n *= 2;
  return work >= (double)c->gemm_many_work ? 2 * c->gemm_chunks : n;
}

static double work_of(const CostModel *c, const GemmSpec *s) {
  double m = (double)s->m, n = (double)s->n, k = (double)s->k;
  return m * n * k + (double)c->gemm_element_work * (m * n + m * k + n * k);
}

static bool b_rows(const GemmSpec *s) { return s->b_n == 1 || s->n == 1; }

static GemmSource source_of_b(const CostModel *c, const GemmSpec *s, const GemmGeom *g, int64_t rows) {
  if (g->kind == GEMM_DOT) return GEMM_IN_PLACE;
  if (!b_rows(s)) return g->items == 1 ? GEMM_PACKED : GEMM_COPY;
  if (s->b16) return GEMM_COPY; /* widened once */
  bool long_k = s->k > c->gemm_short_k;
  return long_k && (rows >= c->gemm_copy_rows || conflicts(s->b_k * element(s))) ? GEMM_COPY : GEMM_IN_PLACE;
}

/* Column vectors a plan rounds chunks to. */
static int64_t unit_of(const GemmGeom *g) { return g->kind == GEMM_DOT ? g->nv : (int64_t)g->nv * g->lanes; }

/* Rows and columns a chunk: about as many chunks as wanted, arranged to cost the least: every chunk fetches
   its columns of B and its rows of A. */
static void cut(const GemmSpec *s, const Target *t, GemmGeom *g, int64_t wanted) {
  int64_t unit = unit_of(g), units = div_up(s->n, unit), most = t->l2 / 2 / (g->kc * element(s));
  const CostModel *c = t->cost;
  double best = 1e300, lanes = g->lanes, k = (double)s->k;
  double far_a = s->m * s->k * element(s) > c->gemm_far_bytes ? c->gemm_far : 0;
  double far_b = s->n * s->k * element(s) > c->gemm_far_bytes ? c->gemm_far : 0;
  for (int64_t gm = 1; gm <= s->m; gm++) {
    int64_t rows = div_up(s->m, gm), nrow = div_up(s->m, rows);
    if (rows > most && rows > 8 * g->mr) continue;
    if (gm > wanted && gm > 1 && div_up(s->m, gm - 1) <= most) break;
    for (int64_t gn = 1; gn == 1 || (gn <= units && nrow * gn <= wanted); gn++) {
      int64_t cols = div_up(units, gn), ncol = div_up(units, cols), chunks = nrow * ncol;
      GemmSource b = source_of_b(t->cost, s, g, rows);
      double vec = (double)min64(cols * unit, s->n) / lanes, cycles;
      if (g->kind == GEMM_DOT) cycles = (double)rows * vec * k;
      else cycles = block_cycles(t->cost, rows, (int64_t)(vec + 0.999), g->mr, g->nv) * k;
      cycles += vec * k *
                (far_b + (b != GEMM_COPY ? c->gemm_b_near
                          : b_rows(s)    ? c->gemm_b_copy
                                         : c->gemm_b_transpose));
      cycles += (double)rows * k / lanes * (far_a + (g->a == GEMM_COPY ? c->gemm_a_copy : c->gemm_a_near));
      double cost = cycles * (double)chunks;
      if (chunks < wanted) cost *= 1 + c->gemm_idle * (double)(wanted - chunks) / (double)wanted;
      if (cost < best) best = cost, g->rows = rows, g->nrow = nrow, g->cols = cols * unit, g->ncol = ncol;
    }
  }
}

static void chunks(const GemmSpec *s, const Target *t, GemmGeom *g) {
  double work = work_of(t->cost, s);
  int64_t wanted = chunks_for(t->cost, work * (double)g->items);
  g->rows = s->m, g->nrow = g->ncol = 1;
  g->cols = div_up(s->n, unit_of(g)) * unit_of(g);
  g->per_chunk = 1;
  if (g->items >= wanted && g->items > 1) g->per_chunk = div_up(g->items, wanted);
  else cut(s, t, g, chunks_for(t->cost, work));
  g->ngroup = div_up(g->items, g->per_chunk);
}

/* ---- geometry ---- */
/* A transposed is read in place where a step of k is near the last one. */
static GemmSource source_of_a(const CostModel *c, const GemmSpec *s, const GemmGeom *g) {
  if (g->kind == GEMM_DOT) return GEMM_IN_PLACE;
  if (s->a16 && (s->a_k == 1 || s->a_m == 1)) return GEMM_COPY; /* widened once */
  bool few = s->k <= c->gemm_short_k || s->m == 1 || s->n <= g->nv * g->lanes;
  bool near = g->nk == 1 && s->a_k * element(s) <= PAGE;
  return few || s->a_k == 1 || s->a_m != 1 || near ? GEMM_IN_PLACE : GEMM_COPY;
}

static int64_t round_up(int64_t x, int64_t to) { return div_up(x, to) * to; }

void gemm_geom(const GemmSpec *s, const Target *t, GemmGeom *g) {
  *g = (GemmGeom){.lanes = t->vector_bytes / (int)element(s), .items = 1, .kc = s->k, .nk = 1};
  for (int i = 0; i < s->nbatch; i++) g->items *= s->batch[i];
  if (s->a16 && s->b16 && !s->f16 && !gemm_not_on_tiles(t, s->m, s->n, s->k) && !gemm_gaps(s)) {
    gemm_tiles_geom(s, t, g);
    return;
  }
  if (s->a_k == 1 && s->b_k == 1 && min64(s->m, s->n) <= t->cost->gemm_dot_extent) g->kind = GEMM_DOT;
  if (g->kind == GEMM_DOT) {
    pick_dot(s, g);
  } else {
    bool packed = !b_rows(s) && g->items == 1;
    pick_tile(t, 0, packed, min64(s->m, 128), div_up(s->n, g->lanes), g);
    int64_t most = max64(t->l1 / (g->nv * g->lanes * element(s)), s->k / GEMM_MOST_BLOCKS);
    pick_tile(t, s->choice, packed, min64(s->m, 128), div_up(s->n, g->lanes), g);
    if (s->k > most + most / 4 && !s->c16) { /* sums of blocks go by way of C */
      g->kc = round_up(div_up(s->k, div_up(s->k, most)), 8);
      g->nk = div_up(s->k, g->kc);
    }
  }
  g->a = source_of_a(t->cost, s, g);
  chunks(s, t, g);
  g->b = source_of_b(t->cost, s, g, g->rows);
  g->a_i = s->a_m, g->a_k = s->a_k;
  if (g->a == GEMM_COPY && s->a_k == 1) {
    g->a_i = round_up(g->kc, g->lanes) + g->lanes, g->a_k = 1;
    g->a_block = g->rows * g->a_i;
  } else if (g->a == GEMM_COPY) {
    g->a_i = 1, g->a_k = round_up(g->mr, g->lanes);
    g->a_block = div_up(g->rows, g->mr) * g->kc * g->a_k;
  }
  if (g->b == GEMM_COPY) g->b_block = g->kc * g->nv * g->lanes;
  int64_t panel = s->k * g->nv * g->lanes;
  g->pack_group = max64(1, t->cost->gemm_pack_work / panel);
}

int64_t gemm_packed_at(const GemmSpec *s, const GemmGeom *g, int64_t k, int64_t n) {
  if (g->kind == GEMM_TILES) return gemm_tiles_packed_at(s, k, n);
  int64_t unit = (int64_t)g->nv * g->lanes, panel = n / unit, width = min64(unit, s->n - panel * unit);
  return panel * unit * s->k + k * round_up(width, g->lanes) + n % unit;
}

int64_t gemm_packed_size(const GemmSpec *s, const GemmGeom *g) {
  return round_up(s->k, g->kind == GEMM_TILES ? TILE_DEEP : 1) * round_up(s->n, g->lanes);
}

/* ---- plans ---- */
ContractionPlan gemm_plan(const GemmSpec *s, const Target *t) {
  GemmGeom g;
  gemm_geom(s, t, &g);
  ContractionPlan p = {0};
  if (g.b == GEMM_PACKED) {
    int64_t panels = div_up(s->n, (int64_t)g.nv * g.lanes);
    p.tmp = g.kind == GEMM_TILES ? DT_BF16 : s->dt;
    p.tmp_bytes[0] = gemm_packed_size(s, &g) * dtype_size(p.tmp);
    p.step[p.nstep++] = (ContractionStep){.name = "pack",
                                          .nin = 1,
                                          .nout = 1,
                                          .in = {CO_B},
                                          .out = {CO_TMP0},
                                          .nchunk = div_up(panels, g.pack_group)};
  }
  p.step[p.nstep++] = (ContractionStep){
      .name = "main",
      .nin = 2,
      .nout = 1,
      .in = {CO_A, g.b == GEMM_PACKED ? CO_TMP0 : CO_B},
      .out = {CO_C},
      .nchunk = g.ngroup * g.nrow * g.ncol,
      .scratch = g.kind == GEMM_TILES ? gemm_tiles_scratch(&g) : (g.a_block + g.b_block) * element(s),
      .flops = 2.0 * (double)g.items * (double)s->m * (double)s->n * (double)s->k};
  return p;
}

/* ---- schedules of equal bits ---- */
void gemm_decide(const void *spec, const Target *t, int64_t choice, int64_t v[CHOICE_NUMBERS]) {
  GemmSpec s = *(const GemmSpec *)spec;
  GemmGeom g;
  s.choice = choice;
  gemm_geom(&s, t, &g);
  v[0] = g.mr, v[1] = g.nv, v[2] = g.kc;
}
