/* Arithmetic cost of operators: multiplications and additions counted separately, index work not counted. */
#include "ir/graph/lapack.h"
#include "ir/graph/ops_impl.h"

double node_flops(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  const OpRow *row = &op_table[n->op];
  double out = (double)shape_count(&n->shape);
  const Shape *a = n->nin > 0 ? &g_node(g, n->in[0])->shape : NULL;
  const Shape *b = n->nin > 1 ? &g_node(g, n->in[1])->shape : NULL;
  switch (row->kind) {
  case KIND_MAP: return row->flops * out;
  case KIND_REDUCE: return row->flops * (double)shape_count(a);
  case KIND_FOLD: return (double)shape_count(a);
  case KIND_SCATTER: return (double)shape_count(b);
  case KIND_COLLECTIVE:
  case KIND_SORT: return row->flops * out;
  case KIND_EXTERN: return 0; /* unknown */
  case KIND_LAPACK: {
    LapackSpec s = lapack_spec(g, n);
    return (double)s.batch * lapack_flops(&s);
  }
  case KIND_DOT: {
    double k = 2;
    for (int i = 0; i < n->attr[2].n; i++) k *= (double)a->dim[n->attr[2].v[i]];
    return k * out;
  }
  case KIND_CONV: {
    /* All three rows do the forward product: outputs g[N,K,OH,OW] times the taps w[1,2,3] of each. */
    const Shape *w = &n->shape, *y = &n->shape;
    if (n->op != OP_conv2d_dw) w = b;
    if (n->op == OP_conv2d_dx) y = a;
    if (n->op == OP_conv2d_dw) y = b;
    return 2.0 * (double)shape_count(y) * (double)(w->dim[1] * w->dim[2] * w->dim[3]);
  }
  case KIND_SCAN:
  case KIND_INPUT:
  case KIND_GRAD:
  case KIND_SOURCE:
  case KIND_VIEW:
  case KIND_GATHER: break;
  }
  return 0;
}
