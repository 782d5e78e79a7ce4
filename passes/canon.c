/* Brings dot_general operands into product order: batch axes anywhere but last, free axes together,
   contracted axes together, each in order; others get a transpose first. After this every operand, once
   stored, is a matrix (or a batch of them) with a unit stride. */
#include "passes/pass.h"

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

Graph *pass_canon(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = g_node(in, v);
    if (n->op != OP_dot_general) {
      map[v] = pass_copy(out, in, v, map);
      continue;
    }
    Val x[2];
    Ints attr[4];
    for (int i = 0; i < 4; i++) attr[i] = n->attr[i];
    out->loc = n->loc;
    out->role = n->role;
    for (int i = 0; i < 2; i++) {
      Ints perm;
      int rank = g_node(in, n->in[i])->shape.rank;
      x[i] = map[n->in[i]];
      if (!product_order(n, i, rank, &perm)) continue;
      x[i] = g_transpose(out, x[i], &perm);
      int nb = attr[i].n, nc = attr[2 + i].n;
      for (int j = 0; j < nb; j++) attr[i].v[j] = j;
      for (int j = 0; j < nc; j++) attr[2 + i].v[j] = rank - nc + j;
    }
    map[v] = g_dot(out, x[0], x[1], &attr[0], &attr[1], &attr[2], &attr[3]);
  }
  pass_outputs(out, in, map);
  return out;
}
