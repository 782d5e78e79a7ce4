/* Runs a lowered program in f64 through the kernel interpreter: the check between the graph oracle and
   generated code. */
#include <stdlib.h>
#include <string.h>

#include "ir/memory.h"
#include "passes/lower/pass.h"

void program_interp_kernel(const Program *p, int at, double *const *mem) {
  const Kernel *k = &p->kernel.v[at];
  double **m = xmalloc(sizeof *m * (size_t)k->nbuf, "the interpreter");
  for (int i = 0; i < k->nbuf; i++) m[i] = mem[program_root(p, k->buf[i])];
  kernel_interp(p, k, m, INTERP_EXACT);
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
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    program_interp_kernel(p, at, mem);
    for (int i = k->nbuf - k->nout; i < k->nbuf; i++) written[program_root(p, k->buf[i])] = true;
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
