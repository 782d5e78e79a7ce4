/* Rematerialization: a large forward value that a product needs in memory and the backward pass reads again,
   and that is a cheap elementwise function of values kept for the backward pass anyway, is computed a second
   time where the backward pass first needs it, so that its memory is free in between. A batch norm's
   activation, for example, follows from the convolution's output and the statistics, which the norm's own
   gradient keeps. Runs after the last cse, which would undo it. */
#include "passes/pass.h"

enum { MIN_BYTES = 1 << 18, MAX_LEAVES = 2, MAX_FLOPS = 48, MAX_CONE = 64 };

typedef struct {
  const Graph *g;
  bool *grad_use; /* read by a gradient node, itself or through cheap forward operators computed again there */
  bool *product;  /* a forward matrix product or convolution reads it */
  bool *remat;
} Remat;

typedef struct {
  Val leaf[MAX_LEAVES];
  int nleaf, nodes;
  double flops;
  bool ok;
} Cone;

static bool large(const Graph *g, Val v) {
  return shape_count(&g_node(g, v)->shape) * dtype_size(g_node(g, v)->dt) >= MIN_BYTES;
}

static bool cheap(const Node *n) {
  OpKind k = op_table[n->op].kind;
  return k == KIND_MAP || n->op == OP_fill || n->op == OP_broadcast || n->op == OP_reshape;
}

static bool candidate(const Remat *r, Val v) {
  const Node *n = g_node(r->g, v);
  return op_table[n->op].kind == KIND_MAP && n->role == ROLE_FORWARD && r->product[v] && r->grad_use[v] &&
         large(r->g, v);
}

/* Is v read as it is when something above it is recomputed? */
static bool stays(const Remat *r, Val v) {
  const Node *n = g_node(r->g, v);
  return n->op == OP_input || !large(r->g, v) || !cheap(n) || (candidate(r, v) && !r->remat[v]);
}

/* Collects the large values that recomputing v would read. */
static void walk(const Remat *r, Val v, bool top, Cone *c) {
  const Graph *g = r->g;
  const Node *n = g_node(g, v);
  if (!c->ok) return;
  if (!top && stays(r, v)) {
    if (!large(g, v)) return;
    for (int i = 0; i < c->nleaf; i++)
      if (c->leaf[i] == v) return;
    c->ok = c->nleaf < MAX_LEAVES && r->grad_use[v];
    if (c->ok) c->leaf[c->nleaf++] = v;
    return;
  }
  c->flops += op_table[n->op].flops;
  if (++c->nodes > MAX_CONE || c->flops > MAX_FLOPS) c->ok = false;
  for (int i = 0; i < n->nin; i++) walk(r, n->in[i], false, c);
}

static Val clone(const Remat *r, Graph *out, Val v, bool top, const Val *map, Val *copy) {
  const Node *n = g_node(r->g, v);
  if (!top && stays(r, v)) return map[v];
  if (copy[v] >= 0) return copy[v];
  Val in[3] = {-1, -1, -1};
  for (int i = 0; i < n->nin; i++) in[i] = clone(r, out, n->in[i], false, map, copy);
  Val y = g_copy_node(out, r->g, v, in);
  g_node(out, y)->role = ROLE_GRADIENT;
  return copy[v] = y;
}

Graph *pass_remat(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  int n = in->node.n;
  Remat r = {in, NEWN(a, bool, n + 1), NEWN(a, bool, n + 1), NEWN(a, bool, n + 1)};
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    OpKind k = op_table[x->op].kind;
    for (int i = 0; i < x->nin; i++) {
      if (x->role == ROLE_GRADIENT) r.grad_use[x->in[i]] = true;
      else if (k == KIND_CONV || k == KIND_DOT) r.product[x->in[i]] = true;
    }
  }
  for (Val v = n - 1; v >= 0; v--)
    if (r.grad_use[v] && cheap(g_node(in, v)) && !candidate(&r, v))
      for (int i = 0; i < g_node(in, v)->nin; i++) r.grad_use[g_node(in, v)->in[i]] = true;
  for (Val v = 0; v < n; v++) {
    if (!candidate(&r, v)) continue;
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
      op[i] = r.remat[x->in[i]] ? clone(&r, out, x->in[i], true, map, copy) : map[x->in[i]];
    map[v] = g_copy_node(out, in, v, op);
  }
  pass_outputs(out, in, map);
  return out;
}
