/* Sort kernels. Operands: rows, the workspace of all chunks where there is one, the order. */
#include "ir/kernel/sort.h"

#include "ir/graph/sort.h"
#include "ir/kernel/kind.h"

static const Field fields[] = {
    {FIELD_DTYPE, .member = {MEMBER(sort.dt)}},
    {FIELD_LIST, "shape", .member = {MEMBER(sort.rows), MEMBER(sort.n)}},
    {FIELD_NUMBER, "descending", .member = {MEMBER(sort.descending)}, .optional = true}};

int64_t sort_pair(const SortSpec *s) { return dtype_size(s->dt) > 4 ? 16 : 8; }

static double work_of(const SortSpec *s) {
  enum { STEP = 4 }; /* operations of an element and digit */
  double digits = (double)sort_pair(s) / 2, rank = 1;
  for (int64_t k = 1; k < s->n && s->n <= SORT_NETWORK; k *= 2) rank++;
  return (double)s->rows * (double)s->n * STEP * (s->n <= SORT_NETWORK ? rank : digits);
}

int64_t sort_chunks(const SortSpec *s) {
  enum { MOST = 16 };
  const double least = 1e5; /* operations worth a chunk */
  double all = work_of(s);
  return max64(1, min64(min64(s->rows, MOST), all < least * MOST ? (int64_t)(all / least) : MOST));
}

int64_t sort_work(const SortSpec *s) {
  if (s->n <= SORT_NETWORK) return 0;
  return 2 * s->n * sort_pair(s) + sort_pair(s) / 2 * SORT_DIGIT * (int64_t)sizeof(int64_t);
}

static int64_t chunks(const Program *p, const Kernel *k) {
  (void)p;
  return sort_chunks(&k->sort);
}

static double flops(const Program *p, const Kernel *k) {
  (void)p;
  return work_of(&k->sort);
}

static const char *impossible(const Kernel *k, const Target *t) {
  (void)t;
  const SortSpec *s = &k->sort;
  if (s->descending & ~(int64_t)1) return "a flag is 0 or 1";
  if (s->rows < 1 || s->n < 1 || s->n > INT32_MAX || !extents_possible((int64_t[]){s->rows, s->n}, 2))
    return "impossible extents";
  bool sorted = s->dt == DT_BF16 ||
                (s->dt != DT_BOOL && dtype_size(s->dt) >= 4); /* others are cast (passes/graph/canon.c) */
  return sorted ? NULL : "a sort of such a type";
}

static bool verify(Check *c, const Kernel *k) {
  const SortSpec *s = &k->sort;
  int64_t work = sort_chunks(s) * sort_work(s), count = s->rows * s->n,
          need[3] = {count * dtype_size(s->dt), work, count * dtype_size(DT_I64)};
  if (!work) need[1] = need[2];
  if (k->nbuf != 2 + (work > 0) || k->nout != k->nbuf - 1)
    return kernel_wrong(c, "%d operands, %d of them written, do not fit", k->nbuf, k->nout);
  for (int i = 0; i < k->nbuf; i++) {
    if (c->p->buf.v[k->buf[i]].bytes < need[i]) return kernel_wrong(c, "operand %d is too small", i);
    if (c->p->buf.v[k->buf[i]].block) return kernel_wrong(c, "operand %d is blocked", i);
  }
  return true;
}

static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  (void)p, (void)mode;
  const SortSpec *s = &k->sort;
  argsort_cells(s->dt, s->descending, s->rows, s->n, mem[0], mem[k->nbuf - 1]);
}

const KindRow kind_sort = {.name = "sort",
                           .field = fields,
                           .nfield = sizeof fields / sizeof *fields,
                           .impossible = impossible,
                           .verify = verify,
                           .chunks = chunks,
                           .flops = flops,
                           .interp = interp,
                           .interp_only_temporaries = true};
