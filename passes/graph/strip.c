/* Removes stop_gradient: a mark for differentiation, the identity afterwards. */
#include "passes/graph/pass.h"

Graph *pass_strip(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = g_node(in, v);
    map[v] = n->op == OP_stop_gradient ? map[n->in[0]] : pass_copy(out, in, v, map);
  }
  pass_outputs(out, in, map);
  return out;
}
