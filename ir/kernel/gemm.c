/* Matrix products as kernels: steps of gemm_plan(). */
#include "ir/kernel/kind.h"
#include "ir/kernel/tiles.h"
#include "ir/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const Field fields[] = {
    {FIELD_STEP, .name = "step"},
    {FIELD_DTYPE, .member = {MEMBER(gemm.dt)}},
    {FIELD_LIST, "bf16", .member = {MEMBER(gemm.a16), MEMBER(gemm.b16), MEMBER(gemm.c16)}, .optional = true},
    {FIELD_NUMBER, "f16", .member = {MEMBER(gemm.f16)}, .optional = true},
    {FIELD_NUMBER, "choice", .member = {MEMBER(gemm.choice)}, .optional = true},
    {FIELD_LIST, "mnk", .member = {MEMBER(gemm.m), MEMBER(gemm.n), MEMBER(gemm.k)}},
    {FIELD_LIST, "a", .member = {MEMBER(gemm.a_off), MEMBER(gemm.a_m), MEMBER(gemm.a_k)}},
    {FIELD_LIST, "b", .member = {MEMBER(gemm.b_off), MEMBER(gemm.b_k), MEMBER(gemm.b_n)}},
    {FIELD_LIST, "c", .member = {MEMBER(gemm.c_off), MEMBER(gemm.c_m), MEMBER(gemm.c_n)}},
#define BATCH(NAME, M)                                                                                       \
  {FIELD_LIST, NAME, {MEMBER(gemm.M[0])}, .count = MEMBER(gemm.nbatch), .most = GEMM_BATCH_AXES}
    BATCH("batch", batch),
    BATCH("a_batch", a_batch),
    BATCH("b_batch", b_batch),
    BATCH("c_batch", c_batch),
#undef BATCH
};

static ContractionPlan plan(const Kernel *k, const Target *t) { return gemm_plan(&k->gemm, t); }
static int64_t *choice(Kernel *k) { return &k->gemm.choice; }

static const char *impossible(const Kernel *k, const Target *t) {
  (void)t;
  const GemmSpec *s = &k->gemm;
  const int64_t size[] = {s->m, s->n, s->k, s->m};
  if (s->dt != DT_F32 && s->dt != DT_F64) return "matrix products are f32 or f64";
  if ((s->a16 || s->b16 || s->c16) && s->dt != DT_F32) return "only an f32 product has narrow operands";
  for (int i = 0; i < 3; i++)
    if (!extents_possible(size + i, 2)) return "impossible extents";
  if (!extents_possible(s->batch, s->nbatch)) return "impossible extents of a batch";
  if (s->choice < 0 || s->choice >= CHOICES) return "a choice that no schedule has";
  return s->c_n == 1 ? NULL : "columns of a matrix product lie apart";
}

static bool check_matrix(Check *c, const Kernel *k, int operand, ContractionOperand role, int64_t off,
                         const int64_t *batch, int64_t rows, int64_t row, int64_t cols, int64_t col) {
  const GemmSpec *s = &k->gemm;
  const Buf *b = &c->p->buf.v[k->buf[operand]];
  Range r = {off, off, false};
  for (int i = 0; i < s->nbatch; i++) range_add(&r, (Range){0, s->batch[i] - 1, false}, batch[i]);
  range_add(&r, (Range){0, rows - 1, false}, row);
  range_add(&r, (Range){0, cols - 1, false}, col);
  DType dt = gemm_dtype(s, role);
  int64_t n = b->bytes / dtype_size(dt);
  if (b->dt != dt)
    return kernel_wrong(c, "operand %d is %s, not %s", operand, dtype_name(b->dt), dtype_name(dt));
  if (range_within(r, n)) return true;
  return kernel_wrong(c, "operand %d reaches elements [%lld, %lld] of %lld", operand, (long long)r.lo,
                      (long long)r.hi, (long long)n);
}

static bool verify(Check *c, const Kernel *k) {
  const GemmSpec *s = &k->gemm;
  ContractionPlan own;
  const ContractionStep *st = &kernel_plan(c->p, k, &own)->step[k->step];
  for (int i = 0; i < k->nbuf; i++) {
    ContractionOperand role = step_operand(st, i);
    if ((role == CO_A && !check_matrix(c, k, i, role, s->a_off, s->a_batch, s->m, s->a_m, s->k, s->a_k)) ||
        (role == CO_B && !check_matrix(c, k, i, role, s->b_off, s->b_batch, s->k, s->b_k, s->n, s->b_n)) ||
        (role == CO_C && !check_matrix(c, k, i, role, s->c_off, s->c_batch, s->m, s->c_m, s->n, s->c_n)))
      return false;
  }
  return true;
}

/* Zeros where tiles are filled up. */
static void pack_tiles(const GemmSpec *s, const GemmGeom *g, const double *b, double *packed) {
  memset(packed, 0, sizeof(double) * (size_t)gemm_packed_size(s, g));
  for (int64_t k = 0; k < s->k; k++)
    for (int64_t n = 0; n < s->n; n++)
      packed[gemm_packed_at(s, g, k, n)] = b[s->b_off + k * s->b_k + n * s->b_n];
}

static void pack_gemm(const GemmSpec *s, const GemmGeom *g, const double *b, double *packed) {
  int64_t padded = div_up(s->n, g->lanes) * g->lanes; /* the last column fills its vector */
  for (int64_t k = 0; k < s->k; k++)
    for (int64_t n = 0; n < padded; n++)
      packed[gemm_packed_at(s, g, k, n)] = b[s->b_off + k * s->b_k + min64(n, s->n - 1) * s->b_n];
}

/* INTERP_ROUNDED: sums on tiles are those of tiles, to the last bit. */
static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  const GemmSpec *s = &k->gemm;
  GemmGeom g;
  gemm_geom(s, &p->target, &g);
  bool packed = g.b == GEMM_PACKED;
  if (packed && k->step == 0) {
    (g.kind == GEMM_TILES ? pack_tiles : pack_gemm)(s, &g, mem[0], mem[1]);
    return;
  }
  bool tiles = g.kind == GEMM_TILES && mode == INTERP_ROUNDED;
  float *row = xcalloc(tiles ? 2 * (size_t)s->k : 0, sizeof *row, "a product"),
        *col = row + (tiles ? s->k : 0);
  int64_t at[4] = {0}, batches = 1;
  for (int i = 0; i < s->nbatch; i++) batches *= s->batch[i];
  for (int64_t b = 0; b < batches; b++) {
    const double *A = mem[0] + s->a_off, *B = mem[1] + s->b_off;
    double *C = mem[2] + s->c_off;
    for (int i = 0; i < s->nbatch; i++) {
      A += at[i] * s->a_batch[i];
      B += at[i] * s->b_batch[i];
      C += at[i] * s->c_batch[i];
    }
    for (int64_t m = 0; m < s->m; m++)
      for (int64_t n = 0; n < s->n; n++) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < s->k; i++) {
          double x = A[m * s->a_m + i * s->a_k],
                 y = packed ? mem[1][gemm_packed_at(s, &g, i, n)] : B[i * s->b_k + n * s->b_n];
          if (tiles) row[i] = (float)x, col[i] = (float)y;
          else sum += x * y, size += fabs(x * y);
        }
        if (tiles) sum = (double)tiles_sum(p->target.tiles, row, col, s->k);
        if (mode == INTERP_MOVED) sum += INTERP_ULP * size;
        C[m * s->c_m + n * s->c_n] = s->c16 ? dtype_round(gemm_dtype(s, CO_C), sum, true) : sum;
      }
    for (int i = s->nbatch - 1; i >= 0 && ++at[i] == s->batch[i]; i--) at[i] = 0;
  }
  free(row);
}

static const char *how(const Program *p, const Kernel *k, const char **why) {
  const GemmSpec *s = &k->gemm;
  GemmGeom g;
  gemm_geom(s, &p->target, &g);
  if (g.kind == GEMM_TILES) return tiles_name(p->target.tiles);
  *why = gemm_not_on_tiles(&p->target, s->m, s->n, s->k);
  if (!*why) *why = s->a16 && s->b16 && !s->f16 ? gemm_gaps(s) : tiles_f32;
  return g.kind == GEMM_DOT ? "f32 dot products" : "f32 vectors";
}

const KindRow kind_gemm = {.name = "gemm",
                           .field = fields,
                           .nfield = sizeof fields / sizeof *fields,
                           .impossible = impossible,
                           .verify = verify,
                           .plan = plan,
                           .main_unnamed = true,
                           .choice = choice,
                           .decide = gemm_decide,
                           .how = how,
                           .interp = interp,
                           .error_share = 4e-6};
