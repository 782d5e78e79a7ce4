/* Which rank-4 values are stored channel-blocked: the class of values joined by elementwise operators that
   contains a convolution's input or output with a channel count the target's lanes divide. Loop kernels read
   any layout, so this decides speed only. */
#include "passes/lower/lower.h"

static int find(int *up, int v) {
  while (up[v] != v) v = up[v] = up[up[v]];
  return v;
}

static bool blockable(const Node *n, int lanes) {
  return n->dt == DT_F32 && n->shape.rank == 4 && n->shape.dim[1] % lanes == 0;
}

void pass_layout(Lower *l) {
  const Graph *g = l->g;
  int n = g->node.n, lanes = target_lanes(&l->p->target);
  l->layout = NEWN(l->arena, int, n + 1);
  int *up = NEWN(l->arena, int, n);
  bool *conv = NEWN(l->arena, bool, n);
  for (int v = 0; v < n; v++) up[v] = v;
  for (int v = 0; v < n; v++) {
    const Node *x = g_node(g, v);
    if (op_table[x->op].kind == KIND_MAP && x->shape.rank == 4)
      for (int i = 0; i < x->nin; i++) up[find(up, x->in[i])] = find(up, v);
  }
  for (int v = 0; v < n; v++) {
    const Node *x = g_node(g, v);
    if (op_table[x->op].kind != KIND_CONV) continue;
    if (x->op != OP_conv2d_dw) conv[find(up, v)] = true;
    conv[find(up, x->in[0])] = true; /* x or the incoming gradient */
    if (x->op == OP_conv2d_dw) conv[find(up, x->in[1])] = true;
  }
  for (int v = 0; v < n; v++) {
    const Node *x = g_node(g, v);
    l->layout[v] = x->op != OP_input && blockable(x, lanes) && conv[find(up, v)] ? lanes : 0;
  }
  /* an elementwise class can mix element types (masks): all members share the index map, so bools follow */
  for (int v = 0; v < n; v++) {
    const Node *x = g_node(g, v);
    if (x->op != OP_input && x->dt != DT_F32 && x->shape.rank == 4 && x->shape.dim[1] % lanes == 0 &&
        conv[find(up, v)])
      l->layout[v] = lanes;
  }
}
