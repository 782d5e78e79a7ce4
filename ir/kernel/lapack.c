/* Kernels that call LAPACK (ir/lapack.h). Operands: matrices, right-hand sides where there are any, the workspace of all chunks
   where there is one, the result. */
#include "ir/kernel/lapack.h"

#include "ir/kernel/kind.h"

static const char *const words[LAPACK_OPS] = {
    "cholesky", "triangular_solve", "solve", "slogdet", "eigh", "eigvalsh", "svd", "qr", "product"};

static const Field fields[] = {
    {FIELD_WORD, .member = {MEMBER(lapack.what)}, .words = words, .nword = LAPACK_OPS},
    {FIELD_DTYPE, .member = {MEMBER(lapack.dt)}},
    {FIELD_LIST, "shape",
     .member = {MEMBER(lapack.batch), MEMBER(lapack.m), MEMBER(lapack.n), MEMBER(lapack.k)}},
    {FIELD_LIST, "flags", .member = {MEMBER(lapack.upper), MEMBER(lapack.transposed), MEMBER(lapack.unit)},
     .optional = true},
    {FIELD_LIST, "operands",
     .member = {MEMBER(lapack.b_transposed), MEMBER(lapack.lda), MEMBER(lapack.ldb), MEMBER(lapack.a_step),
                MEMBER(lapack.b_step), MEMBER(lapack.a_off), MEMBER(lapack.b_off)},
     .optional = true}};

int64_t lapack_chunks(const LapackSpec *s) {
  enum { MOST = 16 };
  const double least = 2e4; /* operations worth a chunk */
  double all = (double)s->batch * lapack_flops(s);
  return max64(1, min64(min64(s->batch, MOST), all < least * MOST ? (int64_t)(all / least) : MOST));
}

int64_t lapack_work(const LapackSpec *s) { return lapack_chunks(s) * lapack_script(s).work; }

static int64_t chunks(const Program *p, const Kernel *k) {
  (void)p;
  return lapack_chunks(&k->lapack);
}

static double flops(const Program *p, const Kernel *k) {
  (void)p;
  return (double)k->lapack.batch * lapack_flops(&k->lapack);
}

static const char *impossible(const Kernel *k, const Target *t) {
  (void)t;
  const LapackSpec *s = &k->lapack;
  bool product = s->what == LAPACK_GEMM,
       solves = s->what == LAPACK_TRIANGULAR || s->what == LAPACK_SOLVE || product;
  bool square = s->what != LAPACK_SVD && s->what != LAPACK_QR && !product;
  int64_t more[] = {s->lda, s->ldb, s->a_step, s->b_step, s->a_off, s->b_off};
  for (int i = 0; i < 6; i++)
    if (more[i] < 0 || more[i] > (product ? (int64_t)1 << 40 : 0)) return "impossible places of operands";
  if (s->dt != DT_F32 && s->dt != DT_F64) return "LAPACK on such a type";
  if (s->batch < 1 || solves != (s->k > 0) || (square && s->m != s->n) || lapack_misfit(s) ||
      !extents_possible((int64_t[]){s->batch, s->m, s->n}, 3) ||
      !extents_possible((int64_t[]){s->batch, s->n, s->k > 0 ? s->k : 1}, 3))
    return "impossible extents";
  return ((s->upper | s->transposed | s->unit | s->b_transposed) & ~(int64_t)1) ? "a flag is 0 or 1" : NULL;
}

static bool verify(Check *c, const Kernel *k) {
  const LapackSpec *s = &k->lapack;
  int64_t b = lapack_count(s, LAPACK_B), work = lapack_work(s), need[LAPACK_PLACES];
  int n = 0;
  need[n++] = lapack_elements(s, LAPACK_A) * dtype_size(s->dt);
  if (b) need[n++] = lapack_elements(s, LAPACK_B) * dtype_size(s->dt);
  if (work) need[n++] = work;
  need[n++] = lapack_elements(s, LAPACK_OUT) * dtype_size(s->dt);
  if (k->nbuf != n || k->nout != 1 + (work > 0))
    return kernel_wrong(c, "%d operands, %d of them written, do not fit", k->nbuf, k->nout);
  for (int i = 0; i < n; i++) {
    if (c->p->buf.v[k->buf[i]].bytes < need[i]) return kernel_wrong(c, "operand %d is too small", i);
    if (c->p->buf.v[k->buf[i]].block) return kernel_wrong(c, "operand %d is blocked", i);
  }
  return true;
}

static int64_t evaluate(const Kernel *k, double *const *mem, double *out, int *info) {
  return lapack_eval(&k->lapack, mem[0], lapack_count(&k->lapack, LAPACK_B) ? mem[1] : NULL, out, info);
}

static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  int info;
  (void)p;
  double *out = mem[k->nbuf - 1];
  evaluate(k, mem, out, &info);
  int64_t n = k->lapack.batch * lapack_count(&k->lapack, LAPACK_OUT);
  for (int64_t i = 0; i < n && mode == INTERP_ROUNDED && k->lapack.dt == DT_F32; i++)
    out[i] = f32_round(out[i]);
}

static const char *fault(const Kernel *k, double *const *mem, Arena *a) {
  int info;
  double *out = NEWN(a, double, k->lapack.batch *lapack_count(&k->lapack, LAPACK_OUT) + 1);
  int64_t item = evaluate(k, mem, out, &info);
  return item < 0 ? NULL : lapack_reason(&k->lapack, item, info, a);
}

const KindRow kind_lapack = {.name = "lapack",
                             .field = fields,
                             .nfield = sizeof fields / sizeof *fields,
                             .impossible = impossible,
                             .verify = verify,
                             .chunks = chunks,
                             .flops = flops,
                             .foreign = true,
                             .interp = interp,
                             .interp_only_temporaries = true,
                             .fault = fault,
                             .error_share = 1e-4};
