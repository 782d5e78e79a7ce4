/* Sums over the batch and something more become sums within each image and a small one over the images: the
   first is as parallel as its operand is large and can run image by image beside the kernel that makes the
   operand (passes/lower/chain.c). Sums of squared deviations combine by Chan, Golub and LeVeque (1983). */
#include "ir/cost_model.h"
#include "passes/graph/pass.h"

/* The reduced axes but the first, when splitting pays. */
static bool inner_axes(const Graph *g, const Node *n, Ints *inner, int64_t *inside) {
  const Shape *s = &g_node(g, n->in[0])->shape;
  const Ints *axes = &n->attr[0];
  bool batch = false;
  *inner = (Ints){0};
  *inside = 1;
  for (int i = 0; i < axes->n; i++) {
    batch |= axes->v[i] == 0;
    if (axes->v[i] == 0) continue;
    inner->v[inner->n++] = axes->v[i];
    *inside *= s->dim[axes->v[i]];
  }
  return batch && inner->n && s->dim[0] >= cost_xeon.split_images && *inside >= cost_xeon.split_inside &&
         shape_count(s) >= cost_xeon.split_elements;
}

static Val over_images(Graph *g, OpId op, Val v) {
  Ints first = ints1(0);
  return g_reduce(g, op, v, &first);
}

Graph *pass_split(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = g_node(in, v);
    Ints inner;
    int64_t inside;
    bool m2 = n->op == OP_reduce_m2, linear = n->op == OP_reduce_sum || n->op == OP_reduce_mean;
    if ((!linear && !m2) || !dtype_is_float(n->dt) || !inner_axes(in, n, &inner, &inside)) {
      map[v] = pass_copy(out, in, v, map);
      continue;
    }
    out->loc = n->loc;
    out->role = n->role;
    Val x = map[n->in[0]];
    if (!m2) {
      map[v] = over_images(out, n->op, g_reduce(out, n->op, x, &inner));
      continue;
    }
    Val within = over_images(out, OP_reduce_sum, g_reduce(out, OP_reduce_m2, x, &inner));
    Val between = over_images(out, OP_reduce_m2, g_reduce(out, OP_reduce_mean, x, &inner));
    map[v] = g_binary(out, OP_add, within,
                      g_binary(out, OP_mul, between, g_fill_like(out, between, (double)inside)));
  }
  pass_outputs(out, in, map);
  return out;
}
