/* Faults for the test of jepac verify (JEPAC_FAULT): one in what a pass has made, of a kind that such a pass
   could make. Each returns false when there is nothing to damage. */
#include "cli/verify.h"
#include "ir/memory.h"

#include <stdlib.h>
#include <string.h>

/* A maximum that is taken away first and added again later, as a softmax does, has no influence. */
static bool shifts(const Graph *g, Val v) {
  for (;;) {
    const Node *n = g_node(g, v);
    if (n->op == OP_select) v = n->in[1];
    else if (n->op == OP_stop_gradient || op_table[n->op].kind == KIND_VIEW) v = n->in[0];
    else return n->op == OP_reduce_max;
  }
}

/* One sum on the way to the results becomes a difference: in the model or its gradient, else in the update. */
static bool damage_graph_in(Graph *g, bool update) {
  bool *live = xcalloc((size_t)g->node.n + 1, sizeof *live, NULL);
  int found = -1, seen = 0, want = 0;
  for (int i = 0; i < g->outputs.n; i++) live[g->outputs.v[i].val] = true;
  for (int round = 0; round < 2; round++) {
    for (Val v = g->node.n - 1; v >= 0; v--) {
      const Node *n = g_node(g, v);
      for (int i = 0; i < n->nin && live[v]; i++) live[n->in[i]] = true;
      if (!live[v] || !dtype_is_float(n->dt) || (n->op != OP_add && n->op != OP_sub)) continue;
      if (shifts(g, n->in[0]) || shifts(g, n->in[1])) continue;
      if ((n->role == ROLE_UPDATE) != update) continue;
      if (round && seen++ == want / 2) found = v;
      if (!round) want++;
    }
  }
  free(live);
  if (found < 0) return false;
  Node *n = g_node(g, found);
  n->op = n->op == OP_add ? OP_sub : OP_add;
  return true;
}

static bool damage_graph(Graph *g) { return damage_graph_in(g, false) || damage_graph_in(g, true); }

/* One value gets blocks that its shape cannot have. */
static bool damage_layout(const Graph *g, int *block) {
  for (Val v = g->node.n / 2; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    if (n->op == OP_input || (n->shape.rank == 4 && n->shape.dim[1] % 16 == 0)) continue;
    block[v] = 16;
    return true;
  }
  return false;
}

/* An instruction in the middle of the program computes something else. */
static bool damage_kernel(Program *p) {
  for (int i = 0; i < p->kernel.n; i++)
    if (kernel_damage(&p->kernel.v[(i + p->kernel.n / 2) % p->kernel.n])) return true;
  return false;
}

/* A kernel trades places with one that reads its result. */
static bool damage_order(Program *p) {
  for (int i = p->kernel.n / 2; i < p->kernel.n; i++)
    for (int j = i + 1; j < p->kernel.n; j++) {
      const Kernel *x = &p->kernel.v[i], *y = &p->kernel.v[j];
      for (int k = 0; k < y->nbuf - y->nout; k++)
        if (program_root(p, y->buf[k]) == program_root(p, x->buf[x->nbuf - 1])) {
          Kernel t = *x;
          p->kernel.v[i] = *y;
          p->kernel.v[j] = t;
          return true;
        }
    }
  return false;
}

/* Two buffers in use at one time get one place. */
static bool damage_plan(Program *p) {
  for (int i = p->buf.n - 1; i >= 0; i--)
    for (int j = 0; j < i; j++) {
      Buf *x = &p->buf.v[i], *y = &p->buf.v[j];
      if (x->kind != BUF_TEMP || y->kind != BUF_TEMP || x->alias >= 0 || y->alias >= 0 ||
          x->first > y->last || y->first > x->last || x->first < 0 || y->first < 0)
        continue;
      x->offset = y->offset;
      return true;
    }
  return false;
}

bool verify_damage(const PassResult *r) {
  if (r->graph) return damage_graph(r->graph);
  if (r->block) return damage_layout(r->of, r->block);
  if (r->new_kernels) return damage_kernel(r->program);
  return r->program->arena_bytes ? damage_plan(r->program) : damage_order(r->program);
}

void verify_damage_result(void *data, DType dt, int64_t bytes, double by) {
  DType of = dt == DT_NONE ? DT_F32 : dt;
  int64_t size = dtype_size(of);
  char *middle = (char *)data + bytes / size / 2 * size;
  if (dtype_is_float(of)) {
    double x;
    tensors_to_cells(&x, of, of, middle, 1);
    x += by;
    tensors_from_cells(of, middle, &x, 1);
  } else {
    *middle ^= 1;
  }
}
