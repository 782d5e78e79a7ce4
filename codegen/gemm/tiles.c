/* Matrix products of bf16 on the processor's tiles (ir/kernel/gemm_tiles.c): 2 x 2 tiles of sums stay in registers
   while a loop over k loads two tiles of A and two of B. Operands that do not lie as tiles are copied to scratch,
   tile after tile. */
#include "codegen/gemm/gemm.h"

enum { SUM = 0, A = 4, B = 6, STEP = TILE_DEEP * TILE_COLS /* elements of a tile of A or B */ };

/* ---- operands as tiles ---- */
/* One step of k for 16 rows of A, of which `rows` exist; depth: of its elements of k. Rows that do not exist hold
   anything, since so do their sums. */
static void step_of_a(Gemm *z, LLVMValueRef from, LLVMValueRef rows, int64_t depth, LLVMValueRef to) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  LLVMValueRef v[TILE_ROWS];
  for (int i = 0; i < TILE_ROWS; i++) {
    if (s->a_k == 1) {
      LLVMValueRef row = em_i64(m, i);
      if (s->m % TILE_ROWS) row = em_imin(m, row, em_iaddc(m, rows, -1));
      v[i] = pairs_load(m, pairs_at(m, from, em_imulc(m, row, s->a_m)), depth, TILE_DEEP);
      continue;
    }
    LLVMValueRef of[2];
    for (int odd = 0; odd < 2; odd++) {
      int64_t k = 2 * i + odd;
      LLVMValueRef p = pairs_at(m, from, em_i64(m, k * s->a_k));
      of[odd] = k >= depth         ? LLVMConstNull(em_vec(m->i16, TILE_ROWS))
                : s->m % TILE_ROWS ? pairs_load_some(m, p, rows, TILE_ROWS)
                                   : pairs_load(m, p, TILE_ROWS, TILE_ROWS);
    }
    v[i] = pairs_join(m, of[0], of[1]);
  }
  if (s->a_k != 1) pairs_transpose(m, v);
  for (int i = 0; i < TILE_ROWS; i++) em_store(m, v[i], pairs_at(m, to, em_i64(m, i * TILE_DEEP)), 2);
}

/* The same for `cols` columns of B, at most 32; zeros beside them and below. */
static void step_of_b(Gemm *z, LLVMValueRef from, int64_t cols, int64_t depth, LLVMValueRef to) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  for (int64_t j = 0; j < cols; j += TILE_COLS, to = pairs_at(m, to, em_i64(m, STEP))) {
    if (s->b_k != 1) continue;
    LLVMValueRef v[TILE_COLS];
    for (int i = 0; i < TILE_COLS; i++)
      v[i] =
          pairs_load(m, pairs_at(m, from, em_i64(m, (j + i) * s->b_n)), j + i < cols ? depth : 0, TILE_DEEP);
    pairs_transpose(m, v);
    for (int i = 0; i < TILE_COLS; i++) em_store(m, v[i], pairs_at(m, to, em_i64(m, i * TILE_DEEP)), 2);
  }
  if (s->b_k == 1) return;
  to = pairs_at(m, to, em_i64(m, -div_up(cols, TILE_COLS) * STEP));
  for (int i = 0; i < TILE_DEEP / 2; i++) {
    LLVMValueRef of[2];
    for (int odd = 0; odd < 2; odd++) {
      int64_t k = 2 * i + odd;
      of[odd] = pairs_load(m, pairs_at(m, from, em_i64(m, k * s->b_k)), k < depth ? cols : 0, 2 * TILE_COLS);
    }
    for (int64_t j = 0; j * TILE_COLS < cols; j++)
      em_store(m, pairs_half(m, of[0], of[1], j > 0), pairs_at(m, to, em_i64(m, j * STEP + i * TILE_DEEP)),
               2);
  }
}

/* A block of k from k0 on: whole steps, and whether a shorter one follows (always, never, or in the last block). */
typedef struct {
  LLVMValueRef k0, whole, steps;
  int64_t rest;      /* elements of the shorter step */
  LLVMValueRef last; /* NULL: there is no question */
} Deep;

static Deep deep_of(Gemm *z, LLVMValueRef block) {
  EmitModule *m = z->m;
  const GemmGeom *g = &z->g;
  Deep d = {.k0 = em_imulc(m, block, g->kc), .rest = z->s->k % TILE_DEEP};
  LLVMValueRef kk = em_i64(m, min64(g->kc, z->s->k));
  if (g->nk > 1 && z->s->k % g->kc) kk = em_imin(m, em_isub(m, em_i64(m, z->s->k), d.k0), kk);
  d.whole = em_idivc(m, kk, TILE_DEEP);
  d.steps = em_idivc(m, em_iaddc(m, kk, TILE_DEEP - 1), TILE_DEEP);
  if (g->nk > 1 && d.rest) d.last = LLVMBuildICmp(m->b, LLVMIntEQ, block, em_i64(m, g->nk - 1), "");
  return d;
}

typedef void DeepFn(Gemm *z, const void *arg, LLVMValueRef step, int64_t depth);

static void over_steps(Gemm *z, const Deep *d, DeepFn *body, const void *arg) {
  EmitModule *m = z->m;
  EmitLoop l;
  EmitIf f;
  if (z->s->k >= TILE_DEEP) {
    LLVMValueRef step = em_loop_begin(m, &l, em_i64(m, 0), d->whole, 1);
    body(z, arg, step, TILE_DEEP);
    em_loop_end(m, &l);
  }
  if (!d->rest) return;
  if (d->last) em_if(m, &f, d->last);
  body(z, arg, d->whole, d->rest);
  if (d->last) em_endif(m, &f);
}

typedef struct {
  LLVMValueRef from, to, rows;
  int64_t cols;
} Move;

static void move_a(Gemm *z, const void *arg, LLVMValueRef step, int64_t depth) {
  const Move *x = arg;
  EmitModule *m = z->m;
  step_of_a(z, pairs_at(m, x->from, em_imulc(m, step, TILE_DEEP * z->s->a_k)), x->rows, depth,
            pairs_at(m, x->to, em_imulc(m, step, STEP)));
}

static void move_b(Gemm *z, const void *arg, LLVMValueRef step, int64_t depth) {
  const Move *x = arg;
  EmitModule *m = z->m;
  step_of_b(z, pairs_at(m, x->from, em_imulc(m, step, TILE_DEEP * z->s->b_k)), x->cols, depth,
            pairs_at(m, x->to, em_imulc(m, step, div_up(x->cols, TILE_COLS) * STEP)));
}

/* ---- a chunk ---- */
typedef struct {
  Matrix *x;
  LLVMValueRef a, b, c; /* of the batch item; a, c at the chunk's rows; b: all of B */
  LLVMValueRef n0, mrows, tiles;
  LLVMValueRef sums, acopy, bcopy, out; /* in scratch */
  LLVMValueRef block;                   /* of k */
  Deep deep;
} Chunk;

typedef struct {
  LLVMValueRef number, n, b; /* in the chunk; its first column; its tiles of B in this block of k */
  int64_t cols;
} Panel;

/* The last tile of A in place, when rows are missing there, is a copy of what there is. */
static bool tail_copied(const Gemm *z) {
  return z->g.a == GEMM_IN_PLACE && z->s->m % TILE_ROWS && z->s->m > 2 * TILE_ROWS;
}

/* Tile `row` of A, and how it lies. */
typedef struct {
  LLVMValueRef at, stride, step; /* bytes from row to row; elements a step of k */
} TileOfA;

static TileOfA tile_of_a(Gemm *z, const Chunk *c, LLVMValueRef row) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  if (z->g.a == GEMM_COPY)
    return (TileOfA){pairs_at(m, c->acopy, em_imulc(m, row, TILE_ROWS * z->g.kc)), em_i64(m, 2 * TILE_DEEP),
                     em_i64(m, STEP)};
  LLVMValueRef at = pairs_at(m, pairs_at(m, c->a, c->deep.k0), em_imulc(m, row, TILE_ROWS * s->a_m));
  TileOfA t = {at, em_i64(m, 2 * s->a_m), em_i64(m, TILE_DEEP)};
  if (!tail_copied(z)) return t;
  LLVMValueRef end = em_imulc(m, em_iaddc(m, row, 1), TILE_ROWS);
  LLVMValueRef tail = LLVMBuildICmp(m->b, LLVMIntSGT, end, c->mrows, "");
  t.at = LLVMBuildSelect(m->b, tail, c->acopy, t.at, "");
  t.stride = LLVMBuildSelect(m->b, tail, em_i64(m, 2 * TILE_DEEP), t.stride, "");
  t.step = LLVMBuildSelect(m->b, tail, em_i64(m, STEP), t.step, "");
  return t;
}

/* Sums of tile (i, j), i < rt and j < ct of them, from the chunk's row tile `row` on. */
static LLVMValueRef sums_at(Gemm *z, const Chunk *c, const Panel *p, LLVMValueRef row, int i, int j, int ct) {
  EmitModule *m = z->m;
  int64_t rows = div_up(min64(z->g.rows, z->s->m), TILE_ROWS) * TILE_ROWS, tile = TILE_ROWS * TILE_COLS;
  LLVMValueRef at = em_gep(m, m->f32, c->sums, em_imulc(m, p->number, 2 * TILE_COLS * rows));
  at = em_gep(m, m->f32, at, em_imulc(m, row, ct * tile));
  return em_gep(m, m->f32, at, em_i64(m, (i * ct + j) * tile));
}

static bool straight_to_c(const Gemm *z, const Panel *p) {
  const GemmSpec *s = z->s;
  return !s->c16 && p->cols % TILE_COLS == 0 && (s->m % TILE_ROWS == 0 || s->m <= 2 * TILE_ROWS);
}

/* Row r of row tile i in scratch, to C. */
static void put_rows(Gemm *z, const Chunk *c, const Panel *p, LLVMValueRef row, int i, int ct) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  Pieces cols = gemm_pieces(z, s->c16, p->cols);
  LLVMValueRef first = em_imulc(m, em_iaddc(m, row, i), TILE_ROWS), count = em_i64(m, TILE_ROWS);
  if (s->m % TILE_ROWS) count = em_imin(m, em_isub(m, c->mrows, first), count);
  TileLoop l;
  LLVMValueRef r = tile_loop(m, &l, count, 1), to = gemm_tat(z, s->c16, c->c, em_iadd(m, first, r), s->c_m);
  to = gemm_tat(z, s->c16, to, p->n, 1);
  LLVMValueRef from = em_gep(m, m->f32, c->out, em_imulc(m, r, TILE_COLS));
  for (int v = 0; v < cols.n; v++) {
    int64_t at = (i * ct + cols.v[v].at / TILE_COLS) * (TILE_ROWS * TILE_COLS) + cols.v[v].at % TILE_COLS;
    LLVMValueRef sum = em_load(m, em_vec(m->f32, cols.v[v].lanes), em_gep(m, m->f32, from, em_i64(m, at)), 4);
    gemm_vstore(z, s->c16, &cols, v, sum, to);
  }
  tile_end(m, &l, NULL, 0);
}

static void put_sums(Gemm *z, const Chunk *c, const Panel *p, LLVMValueRef row, int rt, int ct) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  bool straight = straight_to_c(z, p);
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++) {
      LLVMValueRef to = em_gep(m, m->f32, c->out, em_i64(m, (i * ct + j) * TILE_ROWS * TILE_COLS));
      if (straight) {
        to = em_gep(m, m->f32, c->c, em_imulc(m, em_iaddc(m, row, i), TILE_ROWS * s->c_m));
        to = em_gep(m, m->f32, to, em_iaddc(m, p->n, j * TILE_COLS));
      }
      matrix_store(c->x, SUM + 2 * i + j, to, em_i64(m, straight ? 4 * s->c_m : 4 * TILE_COLS));
    }
  if (straight) return;
  for (int i = 0; i < rt; i++) put_rows(z, c, p, row, i, ct);
}

/* rt x ct tiles of C, rt row tiles from the chunk's `row` on. */
static void product(Gemm *z, const Chunk *c, const Panel *p, LLVMValueRef row, int rt) {
  EmitModule *m = z->m;
  int ct = (int)div_up(p->cols, TILE_COLS);
  LLVMValueRef line = em_i64(m, 4 * TILE_COLS);
  TileOfA a[2];
  EmitIf f;
  EmitLoop l;
  for (int i = 0; i < rt; i++) a[i] = tile_of_a(z, c, em_iaddc(m, row, i));
  if (z->g.nk > 1) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSGT, c->block, em_i64(m, 0), ""));
  for (int i = 0; i < rt && z->g.nk > 1; i++)
    for (int j = 0; j < ct; j++) matrix_load(c->x, SUM + 2 * i + j, sums_at(z, c, p, row, i, j, ct), line);
  if (z->g.nk > 1) em_else(m, &f);
  for (int i = 0; i < rt; i++)
    for (int j = 0; j < ct; j++) matrix_zero(c->x, SUM + 2 * i + j);
  if (z->g.nk > 1) em_endif(m, &f);
  LLVMValueRef step = em_loop_begin(m, &l, em_i64(m, 0), c->deep.steps, 1);
  for (int i = 0; i < rt; i++)
    matrix_factor(c->x, A + i, pairs_at(m, a[i].at, em_imul(m, step, a[i].step)), a[i].stride);
  LLVMValueRef b = pairs_at(m, p->b, em_imulc(m, step, ct * STEP));
  for (int j = 0; j < ct; j++) {
    matrix_factor(c->x, B + j, pairs_at(m, b, em_i64(m, j * STEP)), em_i64(m, 2 * TILE_DEEP));
    for (int i = 0; i < rt; i++) matrix_multiply(c->x, SUM + 2 * i + j, A + i, B + j);
  }
  em_loop_end(m, &l);
  if (z->g.nk > 1) {
    em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSLT, c->block, em_i64(m, z->g.nk - 1), ""));
    for (int i = 0; i < rt; i++)
      for (int j = 0; j < ct; j++) matrix_store(c->x, SUM + 2 * i + j, sums_at(z, c, p, row, i, j, ct), line);
    em_else(m, &f);
  }
  put_sums(z, c, p, row, rt, ct);
  if (z->g.nk > 1) em_endif(m, &f);
}

static void panel(Gemm *z, const Chunk *c, LLVMValueRef number, int64_t cols) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  const GemmGeom *g = &z->g;
  int64_t width = div_up(cols, TILE_COLS) * TILE_COLS, deep = div_up(s->k, TILE_DEEP) * TILE_DEEP;
  Panel p = {.number = number, .cols = cols};
  p.n = em_iadd(m, c->n0, em_imulc(m, number, 2 * TILE_COLS));
  if (g->b == GEMM_PACKED) {
    p.b = pairs_at(m, pairs_at(m, c->b, em_imulc(m, p.n, deep)), em_imulc(m, c->deep.k0, width));
  } else {
    LLVMValueRef from =
        pairs_at(m, pairs_at(m, c->b, em_imulc(m, c->deep.k0, s->b_k)), em_imulc(m, p.n, s->b_n));
    p.b = pairs_at(m, c->bcopy, em_imulc(m, number, 2 * TILE_COLS * g->kc));
    over_steps(z, &c->deep, move_b, &(Move){.from = from, .to = p.b, .cols = cols});
  }
  int64_t most = div_up(min64(g->rows, s->m), TILE_ROWS),
          last = div_up(s->m - (g->nrow - 1) * g->rows, TILE_ROWS);
  bool even = most % 2 && last % 2, odd = most % 2 || last % 2; /* even: none is */
  TileLoop l;
  if (most > 1) {
    LLVMValueRef t = tile_loop(m, &l, em_idivc(m, c->tiles, 2), 1);
    product(z, c, &p, em_imulc(m, t, 2), 2);
    tile_end(m, &l, NULL, 0);
  }
  if (!odd) return;
  EmitIf f;
  LLVMValueRef one = LLVMBuildICmp(m->b, LLVMIntEQ, em_imodc(m, c->tiles, 2), em_i64(m, 1), "");
  if (!even) em_if(m, &f, one);
  product(z, c, &p, em_iaddc(m, c->tiles, -1), 1);
  if (!even) em_endif(m, &f);
}

static void panels(Gemm *z, const Chunk *c) {
  EmitModule *m = z->m;
  const GemmGeom *g = &z->g;
  int64_t unit = 2 * TILE_COLS, whole = z->s->n / unit, rest = z->s->n % unit, each = g->cols / unit;
  TileLoop l;
  if (whole) {
    LLVMValueRef count = em_i64(m, min64(whole, each));
    if (g->ncol * each > whole)
      count = em_imin(m, em_isub(m, em_i64(m, whole), em_idivc(m, c->n0, unit)), count);
    panel(z, c, tile_loop(m, &l, count, 1), unit);
    tile_end(m, &l, NULL, 0);
  }
  if (!rest) return;
  EmitIf f;
  LLVMValueRef mine = LLVMBuildICmp(m->b, LLVMIntSGT, em_iaddc(m, c->n0, g->cols), em_i64(m, z->s->n), "");
  if (g->ncol > 1) em_if(m, &f, mine);
  panel(z, c, em_idivc(m, em_isub(m, em_i64(m, whole * unit), c->n0), unit), rest);
  if (g->ncol > 1) em_endif(m, &f);
}

static void copy_rows(Gemm *z, const Chunk *c) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  LLVMValueRef a = pairs_at(m, c->a, em_imulc(m, c->deep.k0, s->a_k)), row = em_i64(m, 0);
  TileLoop l;
  EmitIf f;
  bool all = z->g.a == GEMM_COPY;
  if (!all && !tail_copied(z)) return;
  if (all) {
    row = tile_loop(m, &l, c->tiles, 1);
  } else {
    row = em_idivc(m, c->mrows, TILE_ROWS);
    em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSLT, row, c->tiles, ""));
  }
  LLVMValueRef first = em_imulc(m, row, TILE_ROWS);
  Move x = {.from = pairs_at(m, a, em_imulc(m, first, s->a_m)),
            .rows = em_isub(m, c->mrows, first),
            .to = c->acopy};
  if (all) x.to = pairs_at(m, c->acopy, em_imulc(m, row, TILE_ROWS * z->g.kc));
  over_steps(z, &c->deep, move_a, &x);
  if (all) tile_end(m, &l, NULL, 0);
  else em_endif(m, &f);
}

void gemm_begin_tiles(Gemm *z, Matrix *x) {
  int64_t m = z->s->m, upper = min64(m, TILE_ROWS),
          lower = m > TILE_ROWS ? min64(m - TILE_ROWS, TILE_ROWS) : 1;
  int a = (int)upper, b = (int)lower;
  matrix_begin(x, z->m, m <= 2 * TILE_ROWS ? (int[]){a, a, b, b, a, b, TILE_ROWS, TILE_ROWS} : NULL,
               TILE_DEEP / 2);
}

void gemm_emit_tiles(Gemm *z, Matrix *x, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, LLVMValueRef n0,
                     LLVMValueRef mrows) {
  EmitModule *m = z->m;
  const GemmGeom *g = &z->g;
  Chunk k = {.x = x, .a = a, .b = b, .c = c, .n0 = n0, .mrows = mrows, .sums = m->scratch};
  k.tiles = em_idivc(m, em_iaddc(m, mrows, TILE_ROWS - 1), TILE_ROWS);
  k.acopy = em_gep(m, m->f32, k.sums, em_i64(m, g->c_block));
  k.bcopy = pairs_at(m, k.acopy, em_i64(m, g->a_block));
  k.out = pairs_at(m, k.bcopy, em_i64(m, g->b_block));
  TileLoop l;
  k.block = tile_loop(m, &l, em_i64(m, g->nk), 1);
  k.deep = deep_of(z, k.block);
  copy_rows(z, &k);
  panels(z, &k);
  tile_end(m, &l, NULL, 0);
}

/* ---- the step that packs B ---- */
static void pack_panel(Gemm *z, LLVMValueRef b, LLVMValueRef tmp, LLVMValueRef n, int64_t cols) {
  EmitModule *m = z->m;
  int64_t deep = div_up(z->s->k, TILE_DEEP) * TILE_DEEP;
  Deep d = {.k0 = em_i64(m, 0), .whole = em_i64(m, z->s->k / TILE_DEEP), .rest = z->s->k % TILE_DEEP};
  over_steps(z, &d, move_b,
             &(Move){.from = pairs_at(m, b, em_imulc(m, n, z->s->b_n)),
                     .to = pairs_at(m, tmp, em_imulc(m, n, deep)),
                     .cols = cols});
}

void gemm_pack_tiles(Gemm *z) {
  EmitModule *m = z->m;
  int64_t unit = 2 * TILE_COLS, whole = z->s->n / unit, rest = z->s->n % unit, each = z->g.pack_group;
  int64_t last = div_up(whole + (rest > 0), each) - 1;
  LLVMValueRef b = em_operand(m, 0), tmp = em_operand(m, 1);
  LLVMValueRef first = last ? em_imulc(m, m->chunk, each) : em_i64(m, 0);
  TileLoop l;
  if (whole) {
    LLVMValueRef n = em_imin(m, em_isub(m, em_i64(m, whole), first), em_i64(m, each));
    LLVMValueRef p = em_iadd(m, first, tile_loop(m, &l, n, 1));
    pack_panel(z, b, tmp, em_imulc(m, p, unit), unit);
    tile_end(m, &l, NULL, 0);
  }
  if (!rest) return;
  EmitIf f;
  if (last) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntEQ, m->chunk, em_i64(m, last), ""));
  pack_panel(z, b, tmp, em_i64(m, whole * unit), rest);
  if (last) em_endif(m, &f);
}
