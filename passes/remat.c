/* Rematerialization: a large forward value that the backward pass reads again, and that is a cheap elementwise function of values kept for
   the backward pass anyway, is computed a second time where the backward pass first needs it, so that its memory is free in between.
   A batch norm's ReLU output, for example, follows from the convolution's output and the statistics, which the norm's own
   gradient keeps. Runs after the last cse, which would undo it. */
#include "passes/pass.h"

enum { MIN_BYTES = 1 << 18, MAX_LEAVES = 2, MAX_FLOPS = 40, MAX_CONE = 64 };

typedef struct {
  const Graph *g;
  bool *grad_use; /* read by a gradient node */
  bool *remat;
} Remat;

typedef struct {
  Val leaf[MAX_LEAVES + 1];
  int nleaf, nodes;
  double flops;
  bool ok;
} Cone;

static bool large(const Graph *g, Val v) {
  return shape_count(&g_node(g, v)->shape) * dtype_size(g_node(g, v)->dt) >= MIN_BYTES;
}

static bool cheap(const Node *n) {
  OpKind k = op_table[n->op].kind;
  return k == KIND_MAP || (k == KIND_SOURCE && n->op != OP_random_bits) || n->op == OP_broadcast || n->op == OP_reshape;
}

/* Walks what would be recomputed for v: through cheap operators, down to small values, inputs and kept large ones. */
static void walk(const Remat *r, Val v, bool top, Cone *c) {
  const Graph *g = r->g;
  const Node *n = g_node(g, v);
  if (!c->ok) return;
  bool kept = n->op == OP_input || (!top && (!large(g, v) || (r->grad_use[v] && !r->remat[v] && !cheap(n))));
  if (!top && large(g, v) && cheap(n) && n->op != OP_input && r->grad_use[v] && !r->remat[v] &&
      op_table[n->op].kind == KIND_MAP)
    kept = n->op == OP_relu; /* a stored activation that was not worth recomputing */
  if (kept) {
    if (!large(g, v)) return;
    for (int i = 0; i < c->nleaf; i++)
      if (c->leaf[i] == v) return;
    if (c->nleaf == MAX_LEAVES) c->ok = false;
    else c->leaf[c->nleaf++] = v;
    return;
  }
  if (!cheap(n)) {
    c->ok = false; /* a large value nobody keeps */
    return;
  }
  c->flops += op_table[n->op].flops;
  if (++c->nodes > MAX_CONE || c->flops > MAX_FLOPS) c->ok = false;
  for (int i = 0; i < n->nin; i++) walk(r, n->in[i], false, c);
}

static Val clone(const Remat *r, Graph *out, Val v, const Val *map, Val *copy) {
  const Node *n = g_node(r->g, v);
  if (copy[v] >= 0) return copy[v];
  if (n->op == OP_input || !large(r->g, v) || !cheap(n) || (n->op == OP_relu && !r->remat[v])) return map[v];
  Val in[3] = {-1, -1, -1};
  for (int i = 0; i < n->nin; i++) in[i] = clone(r, out, n->in[i], map, copy);
  Val y = g_copy_node(out, r->g, v, in);
  g_node(out, y)->role = ROLE_GRADIENT;
  return copy[v] = y;
}

Graph *pass_remat(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  int n = in->node.n;
  Remat r = {in, NEWN(a, bool, n + 1), NEWN(a, bool, n + 1)};
  bool *forward_use = NEWN(a, bool, n + 1);
  for (Val v = 0; v < n; v++)
    for (int i = 0; i < g_node(in, v)->nin; i++) {
      if (g_node(in, v)->role == ROLE_GRADIENT) r.grad_use[g_node(in, v)->in[i]] = true;
      else forward_use[g_node(in, v)->in[i]] = true;
    }
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    if (x->op != OP_relu || x->role != ROLE_FORWARD || !r.grad_use[v] || !forward_use[v] || !large(in, v)) continue;
    Cone c = {.ok = true};
    walk(&r, v, true, &c);
    r.remat[v] = c.ok;
  }
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  Val *copy = NEWN(a, Val, n + 1);
  for (Val v = 0; v < n; v++) copy[v] = -1;
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    if (x->role != ROLE_GRADIENT) {
      map[v] = pass_copy(out, in, v, map);
      continue;
    }
    Val *op = NEWN(a, Val, x->nin + 1);
    for (int i = 0; i < x->nin; i++)
      op[i] = r.remat[x->in[i]] ? clone(&r, out, x->in[i], map, copy) : map[x->in[i]];
    map[v] = g_copy_node(out, in, v, op);
  }
  pass_outputs(out, in, map);
  return out;
}
