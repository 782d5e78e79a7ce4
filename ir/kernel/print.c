/* Text of the kernel level (ir/kernel/read.c reads it back; print -> read -> print is the identity):

     program train_step target=host vector=64 kernels=2 compute=1 arena=4096
     buf3: f32[4,16,8,8]/16 temp 16384 bytes @4096 k0..k1 %17
     k0 loop over 4xv16 reduce 3 chunks=4 (buf0: f32[4,16] -> buf3: f32[4,16]) flops=9  # %17 m.jepa:3
         %0: f32 = buf0[16*i0 + i1]  # %12 m.jepa:2
       %1: f32 = reduce_sum %0 {sweep=0}
       buf3[i0] = %1

   (an unfinished one ends its first line with what it has, such as has=layout,kernels,order,)
   then the graph the program came from, which holds names, types, initial values and model lines; "# %17" is
   the graph value a line computes. Instructions indented by two are rows, by four belong to a sweep. */
#include "ir/kernel/kind.h"

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
                                          [WHY_WORK] = "work",
                                          [WHY_LOOP] = "loop",
                                          [WHY_PARTS] = "parts",
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
  Kernel k = kernel_settled(p, &p->kernel.v[i]);
  const KindRow *row = kind_of(&k);
  KText t = {b, p, kernel_step_name(p, &p->kernel.v[i])};
  sb_printf(b, "k%d %s", i, row->name);
  if (row->print_head) row->print_head(&t, &k);
  fields_print(&t, row->field, row->nfield, &k);
  put_operands(b, p, &k);
  if (k.commit) sb_printf(b, " commit");
  if (k.in_loop) sb_printf(b, " in_loop=%d", k.in_loop);
  if (k.chain) sb_printf(b, " chain=%d", k.chain);
  if (k.beside) sb_printf(b, " beside=%d", k.beside);
  sb_printf(b, " flops=");
  put_imm(b, k.flops);
  sb_printf(b, " bytes=");
  put_imm(b, k.bytes);
  put_where(&t, k.val, k.loc, k.role);
  sb_printf(b, "\n");
  if (row->print_body) row->print_body(&t, &k);
}

void kernel_text(const Kernel *k, const char *step, StrBuf *out) {
  const KindRow *row = kind_of(k);
  KText t = {out, NULL, step};
  sb_printf(out, "%s", row->name);
  if (row->print_head) row->print_head(&t, k);
  fields_print(&t, row->field, row->nfield, k);
  sb_put(out, "\n", 1);
  if (row->print_body) row->print_body(&t, k);
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
  if (x->within >= 0) sb_printf(b, " within buf%d", x->within);
  if (x->at) sb_printf(b, " at=%lld", (long long)x->at);
  if (x->loop) sb_printf(b, " loop=%d move=%lld", x->loop, (long long)x->move);
  if (x->period) sb_printf(b, " period=%d", x->period);
  if (x->phase) sb_printf(b, " phase=%d", x->phase);
  if (x->val >= 0) sb_printf(b, " %%%d", x->val);
  sb_printf(b, "\n");
}

const char *const program_has_names[HAS_BITS] = {"layout", "kernels",     "order",
                                                 "chains", "interleaved", "plan"};

/* Of an unfinished program: what it has already. */
static void put_has(StrBuf *b, const Program *p) {
  if (!p->has || p->has & HAS_PLAN) return;
  for (int i = 0, n = 0; i < HAS_BITS; i++)
    if (p->has >> i & 1) sb_printf(b, "%s%s", n++ ? "," : " has=", program_has_names[i]);
}

void program_print(const Program *p, StrBuf *out) {
  sb_printf(out, "program %s target=", p->graph ? p->graph->name : "none");
  target_name(&p->target, out);
  sb_printf(out, " vector=%d kernels=%d compute=%d arena=%lld", p->target.vector_bytes, p->kernel.n,
            p->ncompute, (long long)p->arena_bytes);
  put_has(out, p);
  sb_printf(out, "\n");
  for (int i = 1; i <= p->loop.n; i++) {
    const ProgramLoop *l = &p->loop.v[i - 1];
    sb_printf(out, "loop%d: %lld steps", i, (long long)l->steps);
    if (l->parent) sb_printf(out, " parent=%d", l->parent);
    sb_printf(out, "\n");
  }
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
