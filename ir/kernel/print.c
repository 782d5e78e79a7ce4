/* Text of the kernel level (ir/kernel/read.c reads it back; print -> read -> print is the identity):

     program train_step target=host vector=64 kernels=2 compute=1 arena=4096
     buf3: f32[4,16,8,8]/16 temp 16384 bytes @4096 k0..k1 %17
     k0 loop over 4xv16 reduce 3 chunks=4 (buf0: f32[4,16] -> buf3: f32[4,16]) flops=9  # %17 m.jepa:3
         %0: f32 = buf0[16*i0 + i1]  # %12 m.jepa:2
       %1: f32 = reduce_sum %0 {sweep=0}
       buf3[i0] = %1

   then the graph the program came from, which holds names, types, initial values and model lines; "# %17" is
   the graph value a line computes. Instructions indented by two are rows, by four belong to a sweep. */
#include "ir/graph/ops_impl.h"
#include "ir/kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

static void put_number(StrBuf *b, double v) {
  char text[40];
  for (int p = 6; p <= 17; p++) {
    snprintf(text, sizeof text, "%.*g", p, v);
    if (strtod(text, NULL) == v) break;
  }
  sb_printf(b, "%s", text);
}

const char *const kernel_kind_names[KERNEL_KINDS] = {"loop", "gemm", "conv", "scatter", "extern"};
const char *const why_names[WHY_COUNT] = {[WHY_NONE] = "none",
                                          [WHY_OWN_KERNEL] = "own_kernel",
                                          [WHY_OPERAND] = "operand",
                                          [WHY_GATHERED] = "gathered",
                                          [WHY_RESULT] = "result",
                                          [WHY_VIEWED] = "viewed",
                                          [WHY_CYCLE] = "cycle",
                                          [WHY_EARLIER] = "earlier",
                                          [WHY_MANY] = "many",
                                          [WHY_INDEX] = "index",
                                          [WHY_COSTLY] = "costly",
                                          [WHY_DEEP] = "deep",
                                          [WHY_READS] = "reads",
                                          [WHY_READER] = "reader",
                                          [WHY_FOLD] = "fold",
                                          [WHY_LONG_ROW] = "long_row",
                                          [WHY_ROWS] = "rows",
                                          [WHY_SEVERAL] = "several",
                                          [WHY_JOINED] = "joined",
                                          [WHY_APART_SHAPE] = "apart_shape",
                                          [WHY_APART_AXES] = "apart_axes",
                                          [WHY_APART_FULL] = "apart_full",
                                          [WHY_APART_WAITS] = "apart_waits",
                                          [WHY_APART_INDEX] = "apart_index"};
const char *const buf_kind_names[3] = {"temp", "input", "result"};
const char *const conv_kind_names[3] = {"conv2d", "conv2d_dx", "conv2d_dw"};
const char *const conv_algo_names[3] = {"auto", "direct", "winograd"};

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
  sb_printf(b, " else ");
  put_number(b, a->fill);
}

/* "# %17 resnet.jepa:31 ; grad": the value, its model line and role. A kernel that carries another value's
   line names that one too: "# %17 at %12 ...". */
static void put_where(StrBuf *b, const Program *p, Val val, const Loc *loc, Role role) {
  const Graph *g = p->graph;
  Val at = val;
  if (!g) return;
  if (val < 0 || g_node(g, val)->loc != loc) {
    for (at = 0; at < g->node.n && g_node(g, at)->loc != loc; at++) {}
    if (at == g->node.n) at = -1;
  }
  if (val < 0 && at < 0 && role == ROLE_FORWARD) return;
  sb_printf(b, "  #");
  if (val >= 0) sb_printf(b, " %%%d", val);
  if (at != val && at >= 0) sb_printf(b, " at %%%d", at);
  if (loc && loc->src) sb_printf(b, " %s:%d", path_tail(loc->src->path), loc->line);
  if (role != ROLE_FORWARD) sb_printf(b, " ; %s", role_names[role]);
}

static void put_inst(StrBuf *b, const Program *p, const Kernel *k, int i) {
  const KInst *in = &k->loop.inst[i];
  sb_printf(b, "  %s%%%d: %s = ", in->row ? "" : "  ", i, dtype_name(in->dt));
  switch (in->kind) {
  case KI_LOAD: put_access(b, k, in->access); break;
  case KI_IMM:
    sb_printf(b, "imm ");
    put_number(b, in->imm);
    break;
  case KI_INDEX:
    sb_printf(b, "index ");
    put_affine(b, &in->index);
    put_quots(b, in->quot, in->nquot);
    break;
  case KI_GUARD:
    sb_printf(b, "guard ");
    put_guards(b, in->access);
    break;
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
      put_quots(b, in->quot, in->nquot);
    }
    break;
  }
  if (in->val >= 0 && p->graph) {
    const Node *n = g_node(p->graph, in->val);
    put_where(b, p, in->val, n->loc, n->role);
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
  if (l->nsweep != (l->ndim > l->npar)) sb_printf(b, " sweeps=%d", l->nsweep);
  if (l->nchunk != 1) sb_printf(b, " chunks=%lld", (long long)l->nchunk);
}

static void put_list(StrBuf *b, const char *name, const int64_t *v, int n) {
  sb_printf(b, " %s=[", name);
  for (int i = 0; i < n; i++) sb_printf(b, "%s%lld", i ? "," : "", (long long)v[i]);
  sb_printf(b, "]");
}

static void put_gemm(StrBuf *b, const Program *p, const Kernel *k) {
  const GemmSpec *s = &k->gemm;
  ContractionPlan plan = gemm_plan(s, &p->target);
  sb_printf(b, " %s %s", plan.step[k->gemm_step].name, dtype_name(s->dt));
  if (s->a16 || s->b16 || s->c16) put_list(b, "bf16", (int64_t[]){s->a16, s->b16, s->c16}, 3);
  if (s->choice) sb_printf(b, " choice=%lld", (long long)s->choice);
  put_list(b, "mnk", (int64_t[]){s->m, s->n, s->k}, 3);
  put_list(b, "a", (int64_t[]){s->a_off, s->a_m, s->a_k}, 3);
  put_list(b, "b", (int64_t[]){s->b_off, s->b_k, s->b_n}, 3);
  put_list(b, "c", (int64_t[]){s->c_off, s->c_m, s->c_n}, 3);
  if (!s->nbatch) return;
  put_list(b, "batch", s->batch, s->nbatch);
  put_list(b, "a_batch", s->a_batch, s->nbatch);
  put_list(b, "b_batch", s->b_batch, s->nbatch);
  put_list(b, "c_batch", s->c_batch, s->nbatch);
}

static void put_scatter(StrBuf *b, const ScatterSpec *s) {
  sb_printf(b, " %s index %s", dtype_name(s->dt), dtype_name(s->idx_dt));
  put_list(b, "shape", (int64_t[]){s->outer, s->extent, s->inner, s->nidx}, 4);
}

static void put_conv(StrBuf *b, const Program *p, const Kernel *k) {
  ContractionPlan plan = conv_plan(&k->conv, &p->target);
  ConvSpec resolved = conv_resolve(&k->conv, &p->target), *s = &resolved;
  sb_printf(b, " %s.%s %s", conv_kind_names[s->kind], plan.step[k->conv_step].name, conv_algo_names[s->algo]);
  put_list(b, "x", (int64_t[]){s->n, s->c, s->h, s->w, s->xblock}, 5);
  put_list(b, "w", (int64_t[]){s->k, s->c / s->groups, s->kh, s->kw}, 4);
  put_list(b, "y", (int64_t[]){s->n, s->k, s->oh, s->ow, s->yblock}, 5);
  put_list(b, "stride", s->stride, 2);
  if (conv_pad_even(s, 0) && conv_pad_even(s, 1)) put_list(b, "pad", s->pad, 2);
  else put_list(b, "pad", (int64_t[]){s->pad[0], conv_pad_end(s, 0), s->pad[1], conv_pad_end(s, 1)}, 4);
  if (s->dilation[0] > 1 || s->dilation[1] > 1) put_list(b, "dilation", s->dilation, 2);
  if (s->groups > 1) sb_printf(b, " groups=%lld", (long long)s->groups);
  if (s->xbf16 || s->wbf16 || s->ybf16) put_list(b, "bf16", (int64_t[]){s->xbf16, s->wbf16, s->ybf16}, 3);
  if (s->images) sb_printf(b, " images=%lld", (long long)s->images);
  if (s->choice) sb_printf(b, " choice=%lld", (long long)s->choice);
}

static void put_operands(StrBuf *b, const Program *p, const Kernel *k) {
  char type[128];
  sb_printf(b, " (");
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *x = &p->buf.v[k->buf[i]];
    sb_printf(b, "%sbuf%d", i == k->nbuf - k->nout ? (i ? " -> " : "-> ") : i ? ", " : "", k->buf[i]);
    if (x->dt != DT_NONE) sb_printf(b, ": %s", type_str(x->dt, &x->shape, type));
    if (x->block) sb_printf(b, "/%d", x->block);
  }
  sb_printf(b, ")");
}

static void put_kernel(StrBuf *b, const Program *p, int i) {
  const Kernel *k = &p->kernel.v[i];
  sb_printf(b, "k%d %s", i, kernel_kind_names[k->kind]);
  if (k->kind == KK_LOOP) put_dims(b, &k->loop);
  if (k->kind == KK_GEMM) put_gemm(b, p, k);
  if (k->kind == KK_CONV) put_conv(b, p, k);
  if (k->kind == KK_SCATTER) put_scatter(b, &k->scatter);
  if (k->kind == KK_EXTERN) sb_printf(b, " \"%s\" \"%s\"", k->ext->library, k->ext->symbol);
  put_operands(b, p, k);
  if (k->commit) sb_printf(b, " commit");
  if (k->chain) sb_printf(b, " chain=%d", k->chain);
  sb_printf(b, " flops=");
  put_number(b, k->flops);
  sb_printf(b, " bytes=");
  put_number(b, k->bytes);
  put_where(b, p, k->val, k->loc, k->role);
  sb_printf(b, "\n");
  if (k->kind == KK_LOOP) put_loop(b, p, k);
}

/* Lifetimes and offsets are known once the arena is planned. */
static void put_buf(StrBuf *b, const Program *p, int i) {
  const Buf *x = &p->buf.v[i];
  char type[128];
  sb_printf(b, "buf%d: %s", i, x->dt == DT_NONE ? "raw" : type_str(x->dt, &x->shape, type));
  if (x->block) sb_printf(b, "/%d", x->block);
  sb_printf(b, " %s", buf_kind_names[x->kind]);
  if (x->kind == BUF_INPUT) sb_printf(b, " %d", x->input);
  if (x->kind == BUF_RESULT) sb_printf(b, " %d", x->result);
  sb_printf(b, " %lld bytes", (long long)x->bytes);
  if (x->dt == DT_NONE && x->shape.rank) put_list(b, "shape", x->shape.dim, x->shape.rank);
  if (x->chunk) sb_printf(b, " chunk=%lld", (long long)x->chunk);
  if (p->arena_bytes) sb_printf(b, " @%lld k%d..k%d", (long long)x->offset, x->first, x->last);
  if (x->alias >= 0) sb_printf(b, " in buf%d", x->alias);
  if (x->val >= 0) sb_printf(b, " %%%d", x->val);
  sb_printf(b, "\n");
}

void program_print(const Program *p, StrBuf *out) {
  sb_printf(out, "program %s target=%s vector=%d kernels=%d compute=%d arena=%lld\n",
            p->graph ? p->graph->name : "none", p->target.cpu, p->target.vector_bytes, p->kernel.n,
            p->ncompute, (long long)p->arena_bytes);
  for (int b = 0; b < p->buf.n; b++) put_buf(out, p, b);
  for (int k = 0; k < p->kernel.n; k++) put_kernel(out, p, k);
  for (int i = 0; i < p->decision.n; i++) {
    const Decision *d = &p->decision.v[i];
    sb_printf(out, "why %s %%%d", why_names[d->why], d->val);
    if (d->other >= 0) sb_printf(out, " %%%d", d->other);
    if (d->a != 0 || d->b != 0) sb_printf(out, " [%.9g, %.9g]", d->a, d->b);
    sb_printf(out, "\n");
  }
  if (!p->graph) return;
  sb_printf(out, "\n");
  graph_print(p->graph, out);
}
