/* Checks of the kernel level: buffers, steps and chains here, what a kind computes in its own file. */
#include "ir/kernel/kind.h"

#include <string.h>

bool kernel_wrong(Check *c, const char *fmt, ...) {
  int n = snprintf(c->err, c->errlen, "kernel k%d: ", c->k);
  va_list ap;
  va_start(ap, fmt);
  if (n >= 0 && (size_t)n < c->errlen) vsnprintf(c->err + n, c->errlen - (size_t)n, fmt, ap);
  va_end(ap);
  return false;
}

/* ---- ranges ---- */
void range_add(Range *r, Range x, int64_t factor) {
  int64_t lo, hi;
  r->far |= x.far || __builtin_mul_overflow(factor, factor < 0 ? x.hi : x.lo, &lo) ||
            __builtin_mul_overflow(factor, factor < 0 ? x.lo : x.hi, &hi) ||
            __builtin_add_overflow(r->lo, lo, &r->lo) || __builtin_add_overflow(r->hi, hi, &r->hi);
}

bool range_within(Range r, int64_t count) { return !r.far && r.lo >= 0 && r.hi < count; }

bool extents_possible(const int64_t *v, int n) {
  int64_t most = (int64_t)1 << 40;
  for (int i = 0; i < n; most /= v[i++])
    if (v[i] < 1 || v[i] > most) return false;
  return true;
}

/* ---- programs ---- */
static bool check_buffers(Check *c) {
  const Program *p = c->p;
  const Kernel *k = &p->kernel.v[c->k];
  if (k->nout < 1 || k->nout > k->nbuf)
    return kernel_wrong(c, "%d of %d operands are written", k->nout, k->nbuf);
  for (int i = 0; i < k->nbuf; i++) {
    int b = k->buf[i];
    if (b < 0 || b >= p->buf.n) return kernel_wrong(c, "operand %d is buf%d of %d", i, b, p->buf.n);
    if (p->buf.v[b].alias >= p->buf.n || p->buf.v[b].alias == b)
      return kernel_wrong(c, "buf%d shares memory with buf%d", b, p->buf.v[b].alias);
    int own = p->buf.v[program_cell(p, b)].loop;
    for (int x = b; x >= 0; x = p->buf.v[x].alias)
      if (p->buf.v[x].loop && program_in_loop(p, k->in_loop, p->buf.v[x].loop) &&
          !program_in_loop(p, own, p->buf.v[x].loop))
        return kernel_wrong(c, "buf%d moves with loop %d, in which it is used", b, p->buf.v[x].loop);
  }
  bool ordered = !p->has || p->has & HAS_ORDER;
  if (ordered && k->in_loop && c->k && k[-1].in_loop != k->in_loop &&
      program_loop_below(p, c->k, k[-1].in_loop))
    for (int j = 0, l = program_loop_below(p, c->k, k[-1].in_loop); j < c->k; j++)
      if (program_in_loop(p, p->kernel.v[j].in_loop, l)) return kernel_wrong(c, "loop %d is interrupted", l);
  if (k->commit && c->k < p->ncompute) return kernel_wrong(c, "writes state among the kernels that compute");
  return true;
}

/* The kernels of a chain stand together, have equal chunks, and alone use what lies in scratch. */
static bool check_chain(Check *c) {
  const Program *p = c->p;
  const Kernel *k = &p->kernel.v[c->k], *prev = c->k ? k - 1 : NULL;
  if (k->chain && prev && prev->chain == k->chain && prev->in_loop != k->in_loop)
    return kernel_wrong(c, "a chain goes on in a loop");
  if (k->chain && prev && prev->chain == k->chain && kernel_chunks(p, k) != kernel_chunks(p, prev))
    return kernel_wrong(c, "%lld chunks in a chain of %lld", (long long)kernel_chunks(p, k),
                        (long long)kernel_chunks(p, prev));
  int first, last;
  program_chain(p, c->k, &first, &last);
  if (k->chain && (last - first >= CHAIN_KERNELS || k->nbuf > CHAIN_OPERANDS))
    return kernel_wrong(c, "%d operands in a chain of %d kernels", k->nbuf, last - first + 1);
  if (k->chain && !(prev && prev->chain == k->chain))
    for (int j = 0; j < c->k; j++)
      if (p->kernel.v[j].chain == k->chain) return kernel_wrong(c, "chain %d is interrupted", k->chain);
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *b = &p->buf.v[k->buf[i]];
    if (!b->chunk) continue;
    if (b->kind != BUF_TEMP || b->alias >= 0)
      return kernel_wrong(c, "buf%d cannot lie in scratch", k->buf[i]);
    if (!k->chain || kernel_chunk_bytes(p, k, i) != b->chunk)
      return kernel_wrong(c, "operand %d leaves its chunk of %lld bytes of buf%d", i, (long long)b->chunk,
                          k->buf[i]);
    for (int j = 0; j < c->k; j++)
      for (int o = 0; p->kernel.v[j].chain != k->chain && o < p->kernel.v[j].nbuf; o++)
        if (program_root(p, p->kernel.v[j].buf[o]) == k->buf[i])
          return kernel_wrong(c, "buf%d lies in scratch but k%d of another chain uses it", k->buf[i], j);
  }
  return true;
}

/* A step has the operands that its plan gives it. */
static bool check_step(Check *c, const Kernel *k) {
  ContractionPlan own;
  const ContractionPlan *plan = kernel_plan(c->p, k, &own);
  if (!plan) return true;
  if (k->step < 0 || k->step >= plan->nstep) return kernel_wrong(c, "step %d of %d", k->step, plan->nstep);
  const ContractionStep *st = &plan->step[k->step];
  if (k->nbuf != st->nin + st->nout || k->nout != st->nout)
    return kernel_wrong(c, "%d operands for step %s", k->nbuf, st->name);
  for (int i = 0; i < k->nbuf; i++) {
    ContractionOperand role = step_operand(st, i);
    if (role >= CO_TMP0 && c->p->buf.v[k->buf[i]].bytes < plan->tmp_bytes[role - CO_TMP0])
      return kernel_wrong(c, "operand %d of step %s is too small", i, st->name);
  }
  return true;
}

bool program_verify(const Program *p, char *err, size_t errlen) {
  for (int i = 0; i < p->kernel.n; i++) {
    Check c = {p, i, err, errlen};
    const Kernel *k = &p->kernel.v[i];
    const KindRow *row = kind_of(k);
    if (!check_buffers(&c)) return false;
    const char *impossible = row->impossible ? row->impossible(k, &p->target) : NULL;
    if (impossible) return kernel_wrong(&c, "%s", impossible);
    if (!check_step(&c, k) || !row->verify(&c, k) || !check_chain(&c)) return false;
  }
  return true;
}
