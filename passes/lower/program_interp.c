/* Runs a lowered program in f64 through the kernel interpreter: the check between the graph oracle and
   generated code. A convolution is evaluated as a whole at its last step. */
#include <stdlib.h>
#include <string.h>

#include "passes/pipeline.h"
#include "ir/memory.h"

/* The buffer holding graph value v. */
static int buf_of(const Program *p, Val v) {
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].val == v && p->buf.v[b].kind != BUF_RESULT) return b;
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].val == v) return b;
  bug("program_interp: value %%%d has no buffer", v);
}

static int64_t at4(const Buf *b, int64_t i, int64_t j, int64_t y, int64_t x) {
  const int64_t *d = b->shape.dim;
  if (!b->block) return ((i * d[1] + j) * d[2] + y) * d[3] + x;
  int64_t q = b->block;
  return (((i * (d[1] / q) + j / q) * d[2] + y) * d[3] + x) * q + j % q;
}

static void run_conv(const Program *p, int k, double *const *mem) {
  const Kernel *kn = &p->kernel.v[k];
  for (int i = k + 1; i < p->kernel.n; i++)
    if (p->kernel.v[i].kind == KK_CONV && p->kernel.v[i].val == kn->val) return; /* not its last step */
  const ConvSpec *s = &kn->conv;
  const Node *n = g_node(p->graph, kn->val);
  int bx = buf_of(p, s->kind == CONV_DX ? kn->val : n->in[0]);
  int bw = buf_of(p, s->kind == CONV_DW ? kn->val : n->in[1]);
  int by = buf_of(p, s->kind == CONV_FWD ? kn->val : s->kind == CONV_DX ? n->in[0] : n->in[1]);
  double *x = mem[program_root(p, bx)], *w = mem[program_root(p, bw)], *y = mem[program_root(p, by)];
  const Buf *fx = &p->buf.v[bx], *fw = &p->buf.v[bw], *fy = &p->buf.v[by];
  double *out = s->kind == CONV_FWD ? y : s->kind == CONV_DX ? x : w;
  const Shape *os = s->kind == CONV_FWD ? &fy->shape : s->kind == CONV_DX ? &fx->shape : &fw->shape;
  memset(out, 0, sizeof(double) * (size_t)shape_count(os));
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t o = 0; o < s->k; o++)
      for (int64_t a = 0; a < s->oh; a++)
        for (int64_t b = 0; b < s->ow; b++)
          for (int64_t c = 0; c < s->c; c++)
            for (int64_t r = 0; r < s->kh; r++)
              for (int64_t t = 0; t < s->kw; t++) {
                int64_t h = a * s->stride[0] + r - s->pad[0], v = b * s->stride[1] + t - s->pad[1];
                if (h < 0 || h >= s->h || v < 0 || v >= s->w) continue;
                int64_t xi = at4(fx, i, c, h, v), wi = ((o * s->c + c) * s->kh + r) * s->kw + t,
                        yi = at4(fy, i, o, a, b);
                if (s->kind == CONV_FWD) y[yi] += x[xi] * w[wi];
                else if (s->kind == CONV_DX) x[xi] += y[yi] * w[wi];
                else w[wi] += x[xi] * y[yi];
              }
  if (g_node(p->graph, kn->val)->dt == DT_BF16)
    for (int64_t i = 0; i < shape_count(os); i++) out[i] = bf16_round(out[i]);
}

void program_interp_kernel(const Program *p, int k, double *const *mem) {
  const Kernel *kn = &p->kernel.v[k];
  if (kn->kind == KK_CONV) {
    run_conv(p, k, mem);
    return;
  }
  double **m = xmalloc(sizeof *m * (size_t)kn->nbuf, "the interpreter");
  for (int i = 0; i < kn->nbuf; i++) m[i] = mem[program_root(p, kn->buf[i])];
  kernel_interp(p, kn, m, false);
  free(m);
}

void program_interp(const Program *p, const Tensor64 *in, Tensor64 *out, Arena *a) {
  const Graph *g = p->graph;
  double **mem = NEWN(a, double *, p->buf.n + 1);
  for (int b = 0; b < p->buf.n; b++) {
    if (p->buf.v[b].alias >= 0) continue;
    int64_t n = shape_count(&p->buf.v[b].shape);
    mem[b] = NEWN(a, double, n);
    if (p->buf.v[b].kind == BUF_INPUT && p->buf.v[b].val == g->inputs.v[p->buf.v[b].input].val)
      memcpy(mem[b], in[p->buf.v[b].input].v, sizeof(double) * (size_t)n);
  }
  bool *written = NEWN(a, bool, p->buf.n + 1);
  for (int k = 0; k < p->kernel.n; k++) {
    const Kernel *x = &p->kernel.v[k];
    program_interp_kernel(p, k, mem);
    for (int i = x->nbuf - x->nout; i < x->nbuf; i++) written[program_root(p, x->buf[i])] = true;
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    const Node *n = g_node(g, o->val);
    out[i].dt = n->dt;
    out[i].shape = n->shape;
    int from = -1;
    for (int b = 0; b < p->buf.n; b++) {
      const Buf *x = &p->buf.v[b];
      if (x->alias >= 0) continue;
      if (o->state < 0 ? x->kind == BUF_RESULT && x->result == i
                       : x->kind == BUF_INPUT && x->input == o->state && (from < 0 || written[b]))
        from = b;
    }
    if (from < 0) bug("program_interp: no buffer for output %s", o->name);
    out[i].v = mem[from];
  }
}
