/* Scatter kernels: a function of the runtime (runtime/scatter.h). Operands: indices, updates, where it is not zeros what was
   there, the result. */
#include "ir/graph/expr.h"
#include "ir/kernel/kind.h"

#include <math.h>
#include <string.h>

static const char *const words[SCATTER_JOINS] = {"add", "set", "mul", "min", "max"};

static const Field fields[] = {
    {FIELD_WORD, .member = {MEMBER(scatter.join)}, .words = words, .nword = SCATTER_JOINS},
    {FIELD_DTYPE, .member = {MEMBER(scatter.dt)}},
    {FIELD_DTYPE, "index", .member = {MEMBER(scatter.idx_dt)}},
    {FIELD_LIST, "shape",
     .member = {MEMBER(scatter.outer), MEMBER(scatter.extent), MEMBER(scatter.inner), MEMBER(scatter.nidx)}}};

static int64_t chunks(const Program *p, const Kernel *k) {
  const ScatterSpec *s = &k->scatter;
  const CostModel *c = p->target.cost;
  double work = (double)s->outer * (double)s->inner * (double)(s->nidx + s->extent);
  int64_t units = s->outer * div_up(max64(s->inner, 1), SCATTER_BLOCK),
          wanted = work > c->scatter_chunk_work * (double)c->scatter_chunks
                       ? c->scatter_chunks
                       : (int64_t)(work / c->scatter_chunk_work);
  return max64(min64(wanted, units), 1);
}

static double flops(const Program *p, const Kernel *k) {
  (void)p;
  return (double)(k->scatter.outer * k->scatter.nidx * k->scatter.inner);
}

static const char *impossible(const Kernel *k, const Target *t) {
  (void)t;
  const ScatterSpec *s = &k->scatter;
  if (!extents_possible((int64_t[]){s->outer, s->extent, s->inner}, 3) ||
      !extents_possible((int64_t[]){s->outer, s->inner, s->nidx}, 3))
    return "impossible extents";
  bool index = s->idx_dt == DT_I32 || s->idx_dt == DT_I64;
  bool summed = s->dt != DT_BOOL && dtype_size(s->dt) >= 4; /* others are cast (passes/graph/canon.c) */
  return summed && index ? NULL : "a scatter of such types";
}

static bool verify(Check *c, const Kernel *k) {
  const ScatterSpec *s = &k->scatter;
  int operands = s->join == SCATTER_ADD ? 3 : 4;
  if (k->nbuf != operands) return kernel_wrong(c, "scatter has %d operands, not %d", operands, k->nbuf);
  int64_t all = s->outer * s->extent * s->inner * dtype_size(s->dt),
          need[] = {s->nidx * dtype_size(s->idx_dt), s->outer * s->nidx * s->inner * dtype_size(s->dt), all,
                    all};
  for (int i = 0; i < operands; i++)
    if (c->p->buf.v[k->buf[i]].bytes < need[i]) return kernel_wrong(c, "operand %d is too small", i);
  return true;
}

static double joined(const ScatterSpec *s, double there, double update, InterpMode mode) {
  static const OpId op[SCATTER_JOINS] = {OP_add, OP_COUNT, OP_mul, OP_min, OP_max};
  if (s->join == SCATTER_SET) return update;
  if (dtype_is_float(s->dt) && mode == INTERP_MOVED && s->join <= SCATTER_MUL)
    update += INTERP_ULP * fabs(update);
  return op_eval_cells(op[s->join], s->dt, s->dt, (double[]){there, update}, false);
}

static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  (void)p;
  const ScatterSpec *s = &k->scatter;
  const double *idx = mem[0], *upd = mem[1];
  double *out = mem[k->nbuf - 1];
  size_t bytes = sizeof *out * (size_t)(s->outer * s->extent * s->inner);
  if (s->join == SCATTER_ADD) memset(out, 0, bytes);
  else memcpy(out, mem[2], bytes);
  for (int64_t o = 0; o < s->outer; o++)
    for (int64_t j = 0; j < s->nidx; j++) {
      double *to = out + (o * s->extent + cell_index(s->idx_dt, idx[j], s->extent)) * s->inner;
      for (int64_t i = 0; i < s->inner; i++, upd++) to[i] = joined(s, to[i], *upd, mode);
    }
}

const KindRow kind_scatter = {.name = "scatter",
                              .field = fields,
                              .nfield = sizeof fields / sizeof *fields,
                              .impossible = impossible,
                              .verify = verify,
                              .chunks = chunks,
                              .flops = flops,
                              .interp = interp,
                              .error_share = 4e-6};
