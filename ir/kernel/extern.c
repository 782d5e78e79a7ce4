/* Calls of functions of the user's shared libraries (ir/extern.h). */
#include "ir/kernel/kind.h"

static const Field fields[] = {{FIELD_QUOTED, "library", .member = {MEMBER(ext.fn.library)}},
                               {FIELD_QUOTED, "symbol", .member = {MEMBER(ext.fn.symbol)}},
                               {FIELD_LIST, "result", .member = {MEMBER(ext.result.dim[0])},
                                .count = MEMBER(ext.result.rank), .most = MAX_RANK}};
_Static_assert((int)FIELD_MEMBERS >= (int)MAX_RANK, "a field for a shape");

static bool verify(Check *c, const Kernel *k) {
  if (!k->ext.fn.symbol || k->nout != 1)
    return kernel_wrong(c, "an extern call has a function and one result");
  for (int i = 0; i < k->nbuf; i++)
    if (c->p->buf.v[k->buf[i]].block) return kernel_wrong(c, "operand %d of an extern call is blocked", i);
  if (!shape_eq(&k->ext.result, &c->p->buf.v[k->buf[k->nbuf - 1]].shape))
    return kernel_wrong(c, "the result of an extern call has another shape");
  return true;
}

static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  (void)mode;
  Arena *a = arena_new();
  int n = k->nbuf - 1;
  DType *dt = NEWN(a, DType, n + 1);
  int64_t *count = NEWN(a, int64_t, n + 1);
  for (int i = 0; i < n; i++) {
    dt[i] = p->buf.v[k->buf[i]].dt;
    count[i] = shape_count(&p->buf.v[k->buf[i]].shape);
  }
  const Buf *out = &p->buf.v[k->buf[n]];
  extern_eval(&k->ext.fn, n, dt, count, (const double *const *)mem, out->dt, &out->shape, mem[n]);
  arena_free(a);
}

const KindRow kind_extern = {.name = "extern",
                             .field = fields,
                             .nfield = sizeof fields / sizeof *fields,
                             .verify = verify,
                             .keeps_order = true,
                             .foreign = true,
                             .interp = interp,
                             .error_share = 4e-6};
