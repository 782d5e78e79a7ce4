/* Brings dot_general operands into product order: batch axes anywhere but last, free axes together,
   contracted axes together, each in order; others get a transpose first. More batch axes than a product has
   become one. After this every operand, once stored, is a matrix (or a batch of them) with a unit stride.
   What no kernel computes is computed in another type: weight gradients and scattered sums of narrow floats in f32,
   scattered sums of short integers in 32 bits, by indices of 64; f16 and short integers are sorted as f32 and i32. */
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

/* The type in which kernels compute n, a value of its type to be. */
static DType computed_in(const Node *n) {
  OpKind kind = op_table[n->op].kind;
  if (dtype_is_narrow(n->dt) && (kind == KIND_SCATTER || n->op == OP_conv2d_dw)) return DT_F32;
  if (kind == KIND_SCATTER && dtype_is_int(n->dt) && dtype_size(n->dt) < 4) return DT_I32;
  return n->dt;
}

/* Indices as kernels that scatter take them. */
static Val as_index(Graph *g, Val at, int64_t extent) {
  DType dt = g_node(g, at)->dt;
  if (dt == DT_I32 || dt == DT_I64) return at;
  if (dt == DT_U64) at = g_binary(g, OP_min, at, g_fill_like(g, at, (Imm)(extent - 1)));
  return g_cast(g, at, DT_I64);
}

static Val as_type(Graph *g, Val v, DType dt) { return g_node(g, v)->dt == dt ? v : g_cast(g, v, dt); }

/* Operand i of n, its value x, as kernels take it. */
static Val as_operand(Graph *g, const Node *n, int i, Val x) {
  if (op_table[n->op].kind == KIND_SCATTER)
    return i ? as_type(g, x, computed_in(n)) : as_index(g, x, n->shape.dim[n->attr[0].v[0]]);
  DType dt = g_node(g, x)->dt;
  if (op_table[n->op].kind != KIND_SORT) return x;
  if (dtype_is_int(dt) && dtype_size(dt) < 4) return g_cast(g, x, DT_I32);
  return dt == DT_F16 ? g_cast(g, x, DT_F32) : x;
}

Graph *pass_canon(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = g_node(in, v);
    OpKind kind = op_table[n->op].kind;
    if (kind != KIND_DOT && kind != KIND_CONV && kind != KIND_SCATTER && kind != KIND_SORT) {
      map[v] = pass_copy(out, in, v, map);
      continue;
    }
    out->loc = n->loc;
    out->role = n->role;
    Val x[3];
    for (int i = 0; i < n->nin; i++) x[i] = as_operand(out, n, i, map[n->in[i]]);
    DType dt = computed_in(n);
    if (kind != KIND_DOT) {
      const Shape *to = op_table[n->op].type == TY_EXPLICIT ? &n->shape : NULL;
      map[v] = as_type(out, g_add(out, n->op, x, n->nin, n->attr, 0, dt, to), n->dt);
      continue;
    }
    Ints attr[4];
    bool many = n->attr[0].n > GEMM_BATCH_AXES;
    for (int i = 0; i < 4; i++) attr[i] = n->attr[i];
    for (int i = 0; i < 2; i++) {
      Ints perm;
      int rank = g_node(in, n->in[i])->shape.rank;
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
    map[v] = as_type(out, g_add(out, OP_dot_general, x, 2, attr, 0, dt, NULL), n->dt);
    if (many) map[v] = g_reshape(out, map[v], &n->shape);
  }
  pass_outputs(out, in, map);
  return out;
}
