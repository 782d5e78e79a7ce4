/* Runs a lowered program in f64 through the kernel interpreter: the check between the graph oracle and
   generated code. */
#include <stdlib.h>
#include <string.h>

#include "ir/memory.h"
#include "passes/lower/pass.h"

void program_interp_kernel(const Program *p, int at, double *const *mem) {
  const Kernel *k = &p->kernel.v[at];
  double **m = xmalloc(sizeof *m * (size_t)k->nbuf, "the interpreter");
  for (int i = 0; i < k->nbuf; i++) m[i] = mem[program_cell(p, k->buf[i])];
  kernel_interp(p, k, m, false);
  free(m);
}

/* Kernels [from, to) of a loop's body, 0: of none, and those of loops inside. */
static void run_kernels(const Program *p, int from, int to, int loop, int64_t *step, double **mem,
                        bool *written) {
  for (int at = from; at < to; at++) {
    const Kernel *k = &p->kernel.v[at];
    int below = program_loop_below(p, at, loop), first, last;
    if (below) {
      program_loop_range(p, below, &first, &last);
      for (step[below] = 0; step[below] < p->loop.v[below - 1].steps; step[below]++)
        run_kernels(p, first, last + 1, below, step, mem, written);
      at = last;
      continue;
    }
    for (int i = 0; i < k->nbuf; i++) {
      int b = program_cell(p, k->buf[i]), in = program_memory(p, b);
      if (b != in) mem[b] = mem[in] + program_place(p, b, loop, step) / dtype_size(p->buf.v[b].dt);
      if (i >= k->nbuf - k->nout) written[program_root(p, b)] = true;
    }
    program_interp_kernel(p, at, mem);
  }
}

void program_interp(const Program *p, const Tensor64 *in, Tensor64 *out, Arena *a) {
  const Graph *g = p->graph;
  double **mem = NEWN(a, double *, p->buf.n + 1);
  for (int b = 0; b < p->buf.n; b++) {
    if (program_memory(p, b) != b) continue;
    int64_t n = shape_count(&p->buf.v[b].shape);
    mem[b] = NEWN(a, double, n);
    if (p->buf.v[b].kind == BUF_INPUT && p->buf.v[b].val == g->inputs.v[p->buf.v[b].input].val)
      memcpy(mem[b], in[p->buf.v[b].input].v, sizeof(double) * (size_t)n);
  }
  bool *written = NEWN(a, bool, p->buf.n + 1);
  int64_t *step = NEWN(a, int64_t, p->loop.n + 1);
  run_kernels(p, 0, p->kernel.n, 0, step, mem, written);
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    const Node *n = g_node(g, o->val);
    out[i].dt = n->dt;
    out[i].shape = n->shape;
    int from = -1;
    for (int b = 0; b < p->buf.n; b++) {
      const Buf *x = &p->buf.v[b];
      if (x->alias >= 0 || x->within >= 0) continue;
      if (o->state < 0 ? x->kind == BUF_RESULT && x->result == i
                       : x->kind == BUF_INPUT && x->input == o->state && (from < 0 || written[b]))
        from = b;
    }
    if (from < 0) bug("program_interp: no buffer for output %s", o->name);
    out[i].v = mem[from];
  }
}
