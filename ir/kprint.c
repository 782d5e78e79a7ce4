/* Text of the kernel level: a header a kernel with its operands and loop dims, then instructions and stores,
   each with the model line of the value it computes. */
#include "ir/kernel.h"

#include <string.h>

static void put_affine(StrBuf *b, const Affine *e) {
  bool first = true;
  for (int d = 0; d < KDIM; d++) {
    int64_t k = e->k[d];
    if (!k) continue;
    sb_printf(b, "%s", first ? (k < 0 ? "-" : "") : k < 0 ? " - " : " + ");
    if (k != 1 && k != -1) sb_printf(b, "%lld*", (long long)(k < 0 ? -k : k));
    sb_printf(b, "i%d", d);
    first = false;
  }
  if (first) sb_printf(b, "%lld", (long long)e->c);
  else if (e->c) sb_printf(b, " %c %lld", e->c < 0 ? '-' : '+', (long long)(e->c < 0 ? -e->c : e->c));
}

static void put_quots(StrBuf *b, const Quot *q, int n) {
  for (int i = 0; i < n; i++) {
    sb_printf(b, " + %lld*((", (long long)q[i].stride);
    put_affine(b, &q[i].e);
    sb_printf(b, ")/%lld)", (long long)q[i].div);
  }
}

static void put_guards(StrBuf *b, const Access *a) {
  for (int i = 0; i < a->nguard; i++) {
    const Guard *g = &a->guard[i];
    sb_printf(b, "%s%lld <= ", i ? " and " : "", (long long)g->lo);
    put_affine(b, &g->e);
    sb_printf(b, " < %lld", (long long)g->hi);
    if (g->mod > 1) sb_printf(b, " multiple of %lld", (long long)g->mod);
  }
}

static void put_access(StrBuf *b, const Kernel *k, const Access *a) {
  sb_printf(b, "buf%d[", k->buf[a->buf]);
  put_affine(b, &a->off);
  put_quots(b, a->quot, a->nquot);
  if (a->dyn >= 0)
    sb_printf(b, " + %lld*clamp(%%%d, 0, %lld)", (long long)a->dyn_stride, a->dyn,
              (long long)a->dyn_extent - 1);
  sb_printf(b, "]");
  if (!a->nguard) return;
  sb_printf(b, " where ");
  put_guards(b, a);
  sb_printf(b, " else %.9g", a->fill);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static void put_where(StrBuf *b, const Loc *loc, Role role) {
  if (loc && loc->src)
    sb_printf(b, "  # %s:%d%s", base_name(loc->src->path), loc->line, role == ROLE_GRADIENT ? "'" : "");
}

static void put_inst(StrBuf *b, const Program *p, const Kernel *k, int i) {
  const KInst *in = &k->loop.inst[i];
  sb_printf(b, "  %s%%%d: %s = ", in->row ? "" : "  ", i, dtype_name(in->dt));
  switch (in->kind) {
  case KI_LOAD: put_access(b, k, in->access); break;
  case KI_IMM: sb_printf(b, "%.9g", in->imm); break;
  case KI_INDEX:
    sb_printf(b, "index ");
    put_affine(b, &in->index);
    put_quots(b, in->quot, in->nquot);
    break;
  case KI_GUARD: put_guards(b, in->access); break;
  case KI_RANDOM:
    sb_printf(b, "random_bits %%%d, %%%d {stream=%u} at ", in->arg[0], in->arg[1], in->stream);
    put_affine(b, &in->index);
    put_quots(b, in->quot, in->nquot);
    break;
  case KI_MAP:
    sb_printf(b, "%s", op_table[in->op].name);
    for (int j = 0; j < op_table[in->op].nin; j++) sb_printf(b, "%s %%%d", j ? "," : "", in->arg[j]);
    break;
  case KI_REDUCE:
    sb_printf(b, "%s %%%d {sweep=%d}", op_table[in->op].name, in->arg[0], in->sweep);
    if (in->op == OP_argmax) {
      sb_printf(b, " at ");
      put_affine(b, &in->index);
    }
    break;
  }
  if (in->val >= 0 && p->graph) {
    const Node *n = g_node(p->graph, in->val);
    put_where(b, n->loc, n->role);
  }
  sb_printf(b, "\n");
}

static void put_loop(StrBuf *b, const Program *p, const Kernel *k) {
  const LoopKernel *l = &k->loop;
  for (int i = 0; i < l->ninst; i++) put_inst(b, p, k, i);
  for (int i = 0; i < l->nstore; i++) {
    const KStore *s = &l->store[i];
    bool row = l->inst[s->inst].row;
    sb_printf(b, "  %s", row ? "" : "  ");
    put_access(b, k, &s->access);
    sb_printf(b, " = %%%d", s->inst);
    if (!row) sb_printf(b, " {sweep=%d}", s->sweep);
    sb_printf(b, "\n");
  }
}

static void put_dims(StrBuf *b, const LoopKernel *l) {
  for (int d = 0; d < l->ndim; d++)
    sb_printf(b, "%s%s%lld",
              d == l->npar ? " reduce "
              : d          ? "x"
                           : " over ",
              d == l->vec ? "v" : "", (long long)l->size[d]);
  if (l->nsweep > 1) sb_printf(b, " sweeps=%d", l->nsweep);
  if (l->nchunk > 1) sb_printf(b, " chunks=%lld", (long long)l->nchunk);
}

static void put_gemm(StrBuf *b, const GemmSpec *s) {
  sb_printf(b, " [");
  for (int i = 0; i < s->nbatch; i++) sb_printf(b, "%lld,", (long long)s->batch[i]);
  sb_printf(b, "%lld,%lld,%lld] strides a=%lld,%lld b=%lld,%lld c=%lld,%lld", (long long)s->m,
            (long long)s->n, (long long)s->k, (long long)s->a_m, (long long)s->a_k, (long long)s->b_k,
            (long long)s->b_n, (long long)s->c_m, (long long)s->c_n);
}

static void put_conv(StrBuf *b, const Program *p, const Kernel *k) {
  static const char *const kinds[] = {"conv2d", "conv2d_dx", "conv2d_dw"}, *const algos[] = {"auto", "direct",
                                                                                             "winograd"};
  ConvPlan plan = conv_plan(&k->conv, &p->target);
  const ConvSpec *s = &plan.spec;
  sb_printf(
      b,
      " %s.%s %s x=[%lld,%lld,%lld,%lld] w=[%lld,%lld,%lld,%lld] stride=%lld,%lld pad=%lld,%lld chunks=%lld",
      kinds[s->kind], plan.step[k->conv_step].name, algos[s->algo], (long long)s->n, (long long)s->c,
      (long long)s->h, (long long)s->w, (long long)s->k, (long long)s->c, (long long)s->kh, (long long)s->kw,
      (long long)s->stride[0], (long long)s->stride[1], (long long)s->pad[0], (long long)s->pad[1],
      (long long)plan.step[k->conv_step].nchunk);
}

static void put_operands(StrBuf *b, const Program *p, const Kernel *k) {
  char type[128];
  sb_printf(b, " (");
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *x = &p->buf.v[k->buf[i]];
    sb_printf(b, "%s%sbuf%d", i == k->nbuf - k->nout ? (i ? " -> " : "-> ") : i ? ", " : "", "", k->buf[i]);
    if (x->val >= 0 || x->shape.rank) sb_printf(b, ": %s", type_str(x->dt, &x->shape, type));
    else sb_printf(b, ": %lld bytes", (long long)x->bytes);
    if (x->block) sb_printf(b, "/%d", x->block);
    sb_printf(b, "@%lld", (long long)x->offset);
  }
  sb_printf(b, ")");
}

static void put_kernel(StrBuf *b, const Program *p, int i) {
  static const char *const kinds[] = {"loop", "gemm", "conv", "scatter"};
  const Kernel *k = &p->kernel.v[i];
  sb_printf(b, "k%d %s", i, kinds[k->kind]);
  if (k->kind == KK_LOOP) put_dims(b, &k->loop);
  if (k->kind == KK_GEMM) put_gemm(b, &k->gemm);
  if (k->kind == KK_CONV) put_conv(b, p, k);
  if (k->kind == KK_SCATTER)
    sb_printf(b, " [%lld,%lld,%lld] from %lld", (long long)k->scatter.outer, (long long)k->scatter.extent,
              (long long)k->scatter.inner, (long long)k->scatter.nidx);
  put_operands(b, p, k);
  if (k->commit) sb_printf(b, " commit");
  put_where(b, k->loc, k->role);
  sb_printf(b, "\n");
  if (k->kind == KK_LOOP) put_loop(b, p, k);
}

void program_print(const Program *p, StrBuf *out) {
  sb_printf(out, "program %s target=%s vector=%d kernels=%d compute=%d arena=%lld\n",
            p->graph ? p->graph->name : "", p->target.cpu, p->target.vector_bytes, p->kernel.n, p->ncompute,
            (long long)p->arena_bytes);
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].alias >= 0) sb_printf(out, "buf%d is buf%d\n", b, p->buf.v[b].alias);
  for (int k = 0; k < p->kernel.n; k++) put_kernel(out, p, k);
}
