/* Matrix product kernels in the manner of Goto and van de Geijn (2008): a chunk takes its rows of A and
   columns of C one block of k at a time, brings a panel of B as wide as the register tile near, and runs the
   tile over the rows with broadcast multiply-adds. What is read in place, copied by the chunk or packed by a
   step of its own is the plan's choice (ir/kernel/gemm_plan.c). */
#include "codegen/gemm/gemm.h"

enum {
  UNROLL = 112,    /* multiply-adds in a loop body, about */
  AHEAD_K = 64,    /* what comes next is fetched ahead when a tile takes so many steps, */
  AHEAD_ROWS = 256 /* the next panel when its share of a tile's time is small */
};

typedef struct {
  LLVMValueRef a, b, c; /* block of A, panel of B, its columns of C at row 0 */
  int64_t b_k;
  const Pieces *cols;
  LLVMValueRef k0, kk;
  LLVMValueRef next; /* the panel of B to come, when it lies in one piece, else NULL */
} Panel;

/* ---- the register tile ---- */
static bool a_in_place16(const Gemm *z) { return z->s->a16 && z->g.a == GEMM_IN_PLACE; }

static void tile_step(Gemm *z, const Panel *p, LLVMValueRef a, LLVMValueRef k, int size, LLVMValueRef *acc) {
  EmitModule *m = z->m;
  const Pieces *c = p->cols;
  LLVMValueRef b[GEMM_PIECES], row = gemm_at(z, p->b, k, p->b_k);
  bool padded = z->g.b != GEMM_IN_PLACE;
  for (int j = 0; j < c->n; j++)
    b[j] = padded ? em_load(m, em_vec(z->t, c->v[j].lanes), gemm_atc(z, row, c->v[j].at), z->align)
                  : gemm_vload(z, false, c, j, row);
  bool a16 = a_in_place16(z);
  a = gemm_tat(z, a16, a, k, z->g.a_k);
  for (int i = 0; i < size; i++) {
    LLVMValueRef x = gemm_load(z, a16, gemm_tatc(z, a16, a, i * z->g.a_i), 1), q = NULL;
    for (int j = 0; j < c->n; j++) {
      if (!q || em_lanes(q) != c->v[j].lanes) q = em_splat(m, x, c->v[j].lanes);
      acc[i * c->n + j] = em_fma(m, q, b[j], acc[i * c->n + j]);
    }
  }
}

static int unroll_of(const Gemm *z, int n) {
  int most = UNROLL / n, u = 1;
  if (most > 8) most = 8;
  while (u * 2 <= most) u *= 2;
  if (z->g.nk > 1) return u; /* blocks are multiples of 8 */
  for (int d = most; d >= u; d--)
    if (z->s->k % d == 0) return d;
  return u;
}

static void tile_sums(Gemm *z, const Panel *p, LLVMValueRef a, int size, LLVMValueRef *acc) {
  EmitModule *m = z->m;
  int n = size * p->cols->n, u = unroll_of(z, n);
  TileLoop l;
  LLVMValueRef whole = em_imulc(m, em_idivc(m, p->kk, u), u);
  if (z->s->k >= u) {
    LLVMValueRef k = tile_loop(m, &l, whole, u);
    tile_carry(m, &l, acc, n);
    for (int i = 0; i < u; i++) tile_step(z, p, a, em_iaddc(m, k, i), size, acc);
    tile_end(m, &l, acc, n);
  }
  if (z->s->k % u == 0) return;
  LLVMValueRef k = tile_loop(m, &l, em_isub(m, p->kk, whole), 1);
  tile_carry(m, &l, acc, n);
  tile_step(z, p, a, em_iadd(m, whole, k), size, acc);
  tile_end(m, &l, acc, n);
}

/* Meanwhile the places of the next tile's sums come near, and a share of the next panel. */
static void fetch_ahead(Gemm *z, const Panel *p, LLVMValueRef number, LLVMValueRef to, int size) {
  EmitModule *m = z->m;
  const Pieces *c = p->cols;
  for (int i = 0; i < size * c->n; i++) {
    int64_t at = (size + i / c->n) * z->s->c_m + c->v[i % c->n].at;
    em_prefetch(m, gemm_tatc(z, z->s->c16, to, at), true, 3);
  }
  if (!p->next) return;
  int64_t line = 64 / dtype_size(z->s->dt), tiles = div_up(z->g.rows, z->g.mr);
  int64_t share = div_up(div_up(z->g.kc * p->b_k, tiles), line) * line;
  TileLoop l;
  LLVMValueRef at = gemm_at(z, p->next, number, share);
  em_prefetch(m, gemm_at(z, at, tile_loop(m, &l, em_i64(m, share), line), 1), false, 2);
  tile_end(m, &l, NULL, 0);
}

static void tile(Gemm *z, void *arg, LLVMValueRef number, LLVMValueRef row, int size) {
  EmitModule *m = z->m;
  const GemmGeom *g = &z->g;
  const Panel *p = arg;
  const Pieces *c = p->cols;
  int n = size * c->n;
  LLVMValueRef acc[TILE_MAX];
  if (n > TILE_MAX) bug("a register tile of %d vectors", n);
  bool tiled = g->a == GEMM_COPY && z->s->a_k != 1;
  LLVMValueRef a =
      tiled ? gemm_at(z, p->a, number, g->kc * g->a_k) : gemm_tat(z, a_in_place16(z), p->a, row, g->a_i);
  bool c16 = z->s->c16;
  LLVMValueRef to = gemm_tat(z, c16, p->c, row, z->s->c_m);
  for (int i = 0; i < n; i++) acc[i] = LLVMConstNull(em_vec(z->t, c->v[i % c->n].lanes));
  if (z->s->k >= AHEAD_K) fetch_ahead(z, p, number, to, size);
  tile_sums(z, p, a, size, acc);
  if (g->nk > 1) { /* later blocks add to what earlier ones stored */
    EmitIf f;
    LLVMValueRef sum[TILE_MAX];
    em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntSGT, p->k0, em_i64(m, 0), ""));
    for (int i = 0; i < n; i++)
      sum[i] =
          em_fadd(m, gemm_vload(z, c16, c, i % c->n, gemm_tatc(z, c16, to, i / c->n * z->s->c_m)), acc[i]);
    em_endif(m, &f);
    for (int i = 0; i < n; i++) acc[i] = em_merge(m, &f, sum[i], acc[i]);
  }
  for (int i = 0; i < n; i++)
    gemm_vstore(z, c16, c, i % c->n, acc[i], gemm_tatc(z, c16, to, i / c->n * z->s->c_m));
}

void gemm_tiles(Gemm *z, LLVMValueRef mrows, int64_t rows, int64_t total, int size, TileFn *body, void *arg) {
  EmitModule *m = z->m;
  int64_t rest[2] = {rows % size, total % rows % size};
  bool whole_last = total % rows == 0, sometimes = !whole_last && rest[0] != rest[1];
  if (whole_last) rest[1] = 0;
  TileLoop l;
  LLVMValueRef ntile = em_idivc(m, mrows, size), done = em_imulc(m, ntile, size);
  if (rows >= size) {
    LLVMValueRef t = tile_loop(m, &l, ntile, 1);
    body(z, arg, t, em_imulc(m, t, size), size);
    tile_end(m, &l, NULL, 0);
  }
  for (int i = 0; i < 2; i++) {
    if (!rest[i] || (i && rest[i] == rest[0])) continue;
    EmitIf f;
    LLVMValueRef left = em_isub(m, mrows, done);
    if (sometimes) em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntEQ, left, em_i64(m, rest[i]), ""));
    body(z, arg, ntile, done, (int)rest[i]);
    if (sometimes) em_endif(m, &f);
  }
}

/* ---- a chunk ---- */
typedef struct {
  LLVMValueRef a, b, c; /* of the batch item, at the chunk's rows; b: all of B */
  LLVMValueRef n0, mrows, k0, kk;
} Block;

static void panel(Gemm *z, const Block *x, LLVMValueRef number, int64_t cols) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  Pieces c = gemm_pieces(z, s->c16, cols);
  LLVMValueRef n = em_imulc(m, number, z->unit);
  Panel p = {
      .a = x->a, .cols = &c, .c = gemm_tat(z, s->c16, x->c, n, 1), .k0 = x->k0, .kk = x->kk, .b_k = c.width};
  LLVMValueRef b = gemm_tat(z, s->b16, gemm_tat(z, s->b16, x->b, x->k0, s->b_k), n, s->n == 1 ? 0 : s->b_n);
  switch (z->g.b) {
  case GEMM_IN_PLACE: p.b = b, p.b_k = s->b_k; break;
  case GEMM_COPY:
    p.b = gemm_atc(z, m->scratch, z->g.a_block);
    gemm_copy_b(z, b, cols, x->kk, p.b);
    break;
  case GEMM_PACKED:
    p.b = gemm_at(z, gemm_at(z, x->b, n, s->k), x->k0, c.width);
    if (z->g.rows >= AHEAD_ROWS) p.next = gemm_at(z, p.b, em_i64(m, z->unit), s->k);
    break;
  }
  gemm_tiles(z, x->mrows, z->g.rows, s->m, z->g.mr, tile, &p);
}

static void panels(Gemm *z, const Block *x) {
  EmitModule *m = z->m;
  const GemmGeom *g = &z->g;
  int64_t n = z->s->n, whole = n / z->unit, rest = n % z->unit, each = g->cols / z->unit;
  LLVMValueRef first = em_idivc(m, x->n0, z->unit);
  TileLoop l;
  if (whole) {
    LLVMValueRef count = em_i64(m, min64(whole, each));
    if (g->ncol * each > whole) count = em_imin(m, em_isub(m, em_i64(m, whole), first), count);
    LLVMValueRef p = tile_loop(m, &l, count, 1);
    panel(z, x, em_iadd(m, first, p), z->unit);
    tile_end(m, &l, NULL, 0);
  }
  if (!rest) return;
  EmitIf f;
  LLVMValueRef mine = LLVMBuildICmp(m->b, LLVMIntSGT, em_iaddc(m, x->n0, g->cols), em_i64(m, n), "");
  if (g->ncol > 1) em_if(m, &f, mine);
  panel(z, x, em_i64(m, whole), rest);
  if (g->ncol > 1) em_endif(m, &f);
}

static void blocks(Gemm *z, Block *x) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  const GemmGeom *g = &z->g;
  TileLoop l;
  LLVMValueRef a = x->a;
  x->k0 = em_imulc(m, tile_loop(m, &l, em_i64(m, g->nk), 1), g->kc);
  x->kk = em_i64(m, g->kc);
  if (s->k % g->kc) x->kk = em_imin(m, em_isub(m, em_i64(m, s->k), x->k0), x->kk);
  x->a = gemm_tat(z, s->a16, a, x->k0, s->a_k);
  if (g->a == GEMM_COPY) {
    gemm_copy_a(z, x->a, x->mrows, x->kk, m->scratch);
    x->a = m->scratch;
  }
  panels(z, x);
  tile_end(m, &l, NULL, 0);
}

static LLVMValueRef batch_base(Gemm *z, bool b16, LLVMValueRef base, LLVMValueRef item,
                               const int64_t *stride) {
  EmitModule *m = z->m;
  for (int i = z->s->nbatch - 1; i >= 0; i--) {
    if (z->s->batch[i] == 1) continue;
    bool first = true;
    for (int j = 0; j < i; j++) first &= z->s->batch[j] == 1;
    base = gemm_tat(z, b16, base, first ? item : em_imodc(m, item, z->s->batch[i]), stride[i]);
    item = em_idivc(m, item, z->s->batch[i]);
  }
  return base;
}

/* Chunk = (group of batch items, chunk of rows, chunk of columns). */
static void emit_main(Gemm *z) {
  EmitModule *m = z->m;
  const GemmSpec *s = z->s;
  const GemmGeom *g = &z->g;
  LLVMValueRef a = em_operand(m, 0), b = em_operand(m, 1), c = em_operand(m, 2), zero = em_i64(m, 0);
  LLVMValueRef col = g->ncol > 1 ? em_imodc(m, m->chunk, g->ncol) : zero,
               rest = em_idivc(m, m->chunk, g->ncol);
  LLVMValueRef row = g->nrow > 1 ? (g->ngroup > 1 ? em_imodc(m, rest, g->nrow) : rest) : zero;
  LLVMValueRef item = g->ngroup > 1 ? em_imulc(m, em_idivc(m, rest, g->nrow), g->per_chunk) : zero;
  LLVMValueRef m0 = em_imulc(m, row, g->rows), n0 = em_imulc(m, col, g->cols);
  LLVMValueRef mrows = em_i64(m, g->rows), ncols = em_i64(m, min64(g->cols, s->n));
  if (s->m % g->rows) mrows = em_imin(m, em_isub(m, em_i64(m, s->m), m0), mrows);
  if (g->ncol > 1 && s->n % g->cols) ncols = em_imin(m, em_isub(m, em_i64(m, s->n), n0), ncols);
  LLVMValueRef count = em_i64(m, g->per_chunk);
  if (g->items % g->per_chunk) count = em_imin(m, em_isub(m, em_i64(m, g->items), item), count);
  Matrix x;
  if (g->kind == GEMM_TILES) gemm_begin_tiles(z, &x);
  TileLoop l;
  item = em_iadd(m, item, tile_loop(m, &l, count, 1));
  a = gemm_tat(z, s->a16, batch_base(z, s->a16, a, item, s->a_batch), m0, s->a_m);
  b = batch_base(z, s->b16 && g->b != GEMM_PACKED, b, item, s->b_batch);
  c = gemm_tat(z, s->c16, batch_base(z, s->c16, c, item, s->c_batch), m0, s->c_m);
  if (g->kind == GEMM_DOT)
    gemm_emit_dot(z, a, gemm_tat(z, s->b16, b, n0, s->b_n), gemm_tat(z, s->c16, c, n0, 1), mrows, ncols);
  else if (g->kind == GEMM_TILES) gemm_emit_tiles(z, &x, a, b, c, n0, mrows);
  else blocks(z, &(Block){.a = a, .b = b, .c = c, .n0 = n0, .mrows = mrows});
  tile_end(m, &l, NULL, 0);
  if (g->kind == GEMM_TILES) matrix_end(&x);
}

void gemm_emit(EmitModule *m, const GemmSpec *s, int step, const char *symbol) {
  ContractionPlan plan = gemm_plan(s, m->target);
  Gemm z = {.m = m, .s = s, .t = em_type(m, s->dt), .align = (unsigned)dtype_size(s->dt)};
  gemm_geom(s, m->target, &z.g);
  z.unit = (int64_t)z.g.nv * z.g.lanes;
  em_function(m, symbol);
  m->narrow = s->f16 ? DT_F16 : DT_BF16;
  if (step < plan.nstep - 1) (z.g.kind == GEMM_TILES ? gemm_pack_tiles : gemm_emit_pack)(&z);
  else emit_main(&z);
  LLVMBuildRetVoid(m->b);
}

/* ---- the kind ---- */
static void emit(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  gemm_emit(m, &k->gemm, k->step, symbol);
}

/* Offsets are the step's. */
static void share(const Program *p, Kernel *k) {
  (void)p;
  k->gemm.a_off = k->gemm.b_off = k->gemm.c_off = 0;
}

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)st, (void)a;
  ContractionPlan own;
  const ContractionStep *g = &kernel_plan(p, k, &own)->step[k->step];
  const int64_t offset[CO_ROLES] = {[CO_A] = k->gemm.a_off, [CO_B] = k->gemm.b_off, [CO_C] = k->gemm.c_off};
  for (int i = 0; i < k->nbuf; i++) {
    ContractionOperand o = step_operand(g, i);
    operand[i] += offset[o] * dtype_size(gemm_dtype(&k->gemm, o));
  }
}

const CodegenKind codegen_gemm = {.emit = emit, .share = share, .step = step};
