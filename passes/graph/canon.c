/* Brings dot_general operands into product order: batch axes anywhere but last, free axes together,
   contracted axes together, each in order; others get a transpose first. More batch axes than a product has
   become one. After this every operand, once stored, is a matrix (or a batch of them) with a unit stride.
   Weight gradients and scattered sums in bf16 become f32 ones that are rounded, since no kernel computes
   other ones. */
#include "ir/kernel/gemm_plan.h"
#include "passes/graph/pass.h"

static bool consecutive(const Ints *x) {
  for (int i = 1; i < x->n; i++)
    if (x->v[i] != x->v[i - 1] + 1) return false;
  return true;
}

/* The order [batch, free, contract] of the axes of operand i, and whether it is needed. */
static bool product_order(const Node *n, int i, int rank, Ints *perm) {
  const Ints *batch = &n->attr[i], *contract = &n->attr[2 + i];
  Ints free = {0};
  bool last_is_batch = false;
  for (int a = 0; a < rank; a++) {
    bool used = false;
    for (int j = 0; j < batch->n; j++)
      if (batch->v[j] == a) {
        used = true;
        last_is_batch |= a == rank - 1;
      }
    for (int j = 0; j < contract->n; j++) used |= contract->v[j] == a;
    if (!used) free.v[free.n++] = a;
  }
  *perm = *batch;
  for (int j = 0; j < free.n; j++) perm->v[perm->n++] = free.v[j];
  for (int j = 0; j < contract->n; j++) perm->v[perm->n++] = contract->v[j];
  return last_is_batch || !consecutive(&free) || !consecutive(contract);
}

/* Operand x in product order, its nb batch axes as one. */
static Val merge_batch(Graph *g, Val x, int nb) {
  const Shape from = g_node(g, x)->shape;
  Shape to = {.rank = from.rank - nb + 1, .dim = {1}};
  for (int a = 0; a < nb; a++) to.dim[0] *= from.dim[a];
  for (int a = nb; a < from.rank; a++) to.dim[a - nb + 1] = from.dim[a];
  return g_reshape(g, x, &to);
}

Graph *pass_canon(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = g_node(in, v);
    bool scatters = op_table[n->op].kind == KIND_SCATTER;
    if (n->dt == DT_BF16 && (scatters || n->op == OP_conv2d_dw)) {
      out->loc = n->loc;
      out->role = n->role;
      Val x[3];
      for (int i = 0; i < n->nin; i++)
        x[i] = scatters && i ? g_cast(out, map[n->in[i]], DT_F32) : map[n->in[i]];
      const Shape *to = op_table[n->op].type == TY_EXPLICIT ? &n->shape : NULL;
      map[v] = g_cast(out, g_add(out, n->op, x, n->nin, n->attr, 0, DT_F32, to), DT_BF16);
      continue;
    }
    if (n->op != OP_dot_general) {
      map[v] = pass_copy(out, in, v, map);
      continue;
    }
    Val x[2];
    Ints attr[4];
    bool many = n->attr[0].n > GEMM_BATCH_AXES;
    for (int i = 0; i < 4; i++) attr[i] = n->attr[i];
    out->loc = n->loc;
    out->role = n->role;
    for (int i = 0; i < 2; i++) {
      Ints perm;
      int rank = g_node(in, n->in[i])->shape.rank;
      x[i] = map[n->in[i]];
      if (!product_order(n, i, rank, &perm) && !many) continue;
      x[i] = g_transpose(out, x[i], &perm);
      int nb = attr[i].n, nc = attr[2 + i].n;
      if (many) {
        x[i] = merge_batch(out, x[i], nb);
        rank -= nb - 1;
        attr[i].n = nb = 1;
      }
      for (int j = 0; j < nb; j++) attr[i].v[j] = j;
      for (int j = 0; j < nc; j++) attr[2 + i].v[j] = rank - nc + j;
    }
    map[v] = g_add(out, OP_dot_general, x, 2, attr, 0, n->dt, NULL);
    if (many) map[v] = g_reshape(out, map[v], &n->shape);
  }
  pass_outputs(out, in, map);
  return out;
}
