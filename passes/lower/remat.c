/* Rematerialization: a large forward value that the backward pass reads again, and that follows cheaply from
   values kept for the backward pass anyway, is computed a second time where the backward pass first needs it,
   so that its memory is free in between. A batch norm's activation, for example, follows from the
   convolution's output and the statistics, which the norm's own gradient keeps. Level 1 recomputes
   elementwise functions only, which costs little more than a pass over memory; higher levels, taken when a
   byte budget asks (budget.c), recompute products too (Chen et al., "Training Deep Nets with Sublinear Memory
   Cost", 2016). Comes after the graph passes, since cse would undo it. */
#include "passes/lower/remat.h"
#include "passes/graph/pass.h"

enum { MAX_LEAVES = 6, MAX_CONE = 200 };

/* What recomputing one value may take. */
static const struct {
  int leaves, products; /* large values read; products repeated */
  double flops_a_byte;  /* of a repeated product, by its result's bytes; 0: of a cheap one */
  double flops;         /* elementwise operations an element */
  /* > 0: a copy serves readers so many operators on, then it is made again; cheap: one that takes no product
     of more than remat_cheap_flops a byte, window: any other. */
  int cheap, window;
} limits[REMAT_LEVELS + 1] = {
    {0},
    {.leaves = 2, .flops = 48},
    {.leaves = 2, .flops = 48, .cheap = 20},
    {.leaves = 3, .products = 1, .flops = 64, .cheap = 20},
    {.leaves = 3, .products = 2, .flops_a_byte = 1e9, .flops = 96, .cheap = 20},
    {.leaves = 4, .products = 4, .flops_a_byte = 1e9, .flops = 160, .cheap = 20},
    {.leaves = 6, .products = 8, .flops_a_byte = 1e9, .flops = 400, .cheap = 20},
    {.leaves = 6, .products = 8, .flops_a_byte = 1e9, .flops = 400, .cheap = 20, .window = 80}};

typedef struct {
  const Graph *g;
  const CostModel *cost;
  int level;
  int64_t min_bytes;
  bool
      *grad_use; /* read by a gradient node, itself or through cheap forward operators computed again there */
  bool *product; /* a forward matrix product or convolution reads it */
  bool *remat;
  bool *costly; /* recomputing it takes a product of more than remat_cheap_flops a byte */
  bool *dirty;  /* the backward pass reads a copy of it: rematerialized, or computed from what is */
} Remat;

typedef struct {
  Val leaf[MAX_LEAVES];
  int nleaf, nodes, products;
  double flops;
  bool ok;
} Cone;

static int64_t bytes(const Graph *g, Val v) {
  return shape_count(&g_node(g, v)->shape) * dtype_size(g_node(g, v)->dt);
}
static bool large(const Remat *r, Val v) { return bytes(r->g, v) >= r->min_bytes; }

static bool is_product(const Node *n) {
  OpKind k = op_table[n->op].kind;
  return k == KIND_CONV || k == KIND_DOT;
}

static bool cheap(const Node *n) {
  OpKind k = op_table[n->op].kind;
  return k == KIND_MAP || n->op == OP_fill || n->op == OP_broadcast || n->op == OP_reshape;
}

/* Values that occupy memory from the forward to the backward pass. */
static bool candidate(const Remat *r, Val v) {
  const Node *n = g_node(r->g, v);
  if (n->role != ROLE_FORWARD || !r->grad_use[v] || !large(r, v)) return false;
  return is_product(n) ? limits[r->level].products > 0 : op_table[n->op].kind == KIND_MAP && r->product[v];
}

/* Is v read as it is when something above it is recomputed? */
static bool stays(const Remat *r, Val v) {
  const Node *n = g_node(r->g, v);
  if (n->op == OP_input || !large(r, v)) return true;
  return candidate(r, v) ? !r->remat[v] : !cheap(n);
}

/* Collects the large values that recomputing v would read. */
static void walk(const Remat *r, Val v, bool top, Cone *c) {
  const Graph *g = r->g;
  const Node *n = g_node(g, v);
  if (!c->ok) return;
  if (!top && stays(r, v)) {
    if (!large(r, v) || n->op == OP_input) return;
    for (int i = 0; i < c->nleaf; i++)
      if (c->leaf[i] == v) return;
    c->ok = c->nleaf < limits[r->level].leaves && r->grad_use[v];
    if (c->ok) c->leaf[c->nleaf++] = v;
    return;
  }
  if (is_product(n)) {
    double most = limits[r->level].flops_a_byte;
    c->products++;
    if (c->products > limits[r->level].products ||
        node_flops(g, v) > (most > 0 ? most : r->cost->remat_cheap_flops) * (double)bytes(g, v))
      c->ok = false;
  } else {
    c->flops += op_table[n->op].flops;
  }
  if (++c->nodes > MAX_CONE || c->flops > limits[r->level].flops) c->ok = false;
  for (int i = 0; i < n->nin; i++) walk(r, n->in[i], false, c);
}

static Val clone(const Remat *r, Graph *out, Val v, const Val *map, Val *copy) {
  int window = r->costly[v] ? limits[r->level].window : limits[r->level].cheap;
  const Node *n = g_node(r->g, v);
  if (!r->dirty[v]) return map[v];
  if (copy[v] >= 0 && !(window && out->node.n - copy[v] > window)) return copy[v];
  Val in[3] = {-1, -1, -1};
  for (int i = 0; i < n->nin; i++) in[i] = clone(r, out, n->in[i], map, copy);
  Val y = g_copy_node(out, r->g, v, in);
  g_node(out, y)->role = ROLE_GRADIENT;
  return copy[v] = y;
}

Graph *remat_graph(Arena *a, const Graph *in, const CostModel *cost, int level, int64_t min_bytes) {
  int n = in->node.n;
  Remat r = {in,
             cost,
             level,
             min_bytes,
             NEWN(a, bool, n + 1),
             NEWN(a, bool, n + 1),
             NEWN(a, bool, n + 1),
             NEWN(a, bool, n + 1),
             NEWN(a, bool, n + 1)};
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    for (int i = 0; i < x->nin; i++) {
      if (x->role == ROLE_GRADIENT) r.grad_use[x->in[i]] = true;
      else if (is_product(x)) r.product[x->in[i]] = true;
    }
  }
  for (Val v = n - 1; v >= 0; v--)
    if (r.grad_use[v] && g_node(in, v)->role == ROLE_FORWARD && cheap(g_node(in, v)) && !candidate(&r, v))
      for (int i = 0; i < g_node(in, v)->nin; i++) r.grad_use[g_node(in, v)->in[i]] = true;
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    if (candidate(&r, v)) {
      Cone c = {.ok = true};
      walk(&r, v, true, &c);
      r.remat[v] = r.dirty[v] = c.ok;
    } else if (x->role == ROLE_FORWARD && cheap(x) && large(&r, v)) {
      for (int i = 0; i < x->nin; i++) r.dirty[v] |= r.dirty[x->in[i]];
    }
  }
  for (Val v = 0; v < n; v++) { /* a recomputed value is elementwise on others that may be recomputed too: all
                                   of its cone is copied */
    if (!r.remat[v]) continue;
    for (int i = 0; i < g_node(in, v)->nin; i++) {
      Val u = g_node(in, v)->in[i];
      if (!stays(&r, u)) r.dirty[u] = true;
    }
  }
  for (Val v = n - 1; v >= 0; v--)
    if (r.dirty[v])
      for (int i = 0; i < g_node(in, v)->nin; i++)
        if (!stays(&r, g_node(in, v)->in[i])) r.dirty[g_node(in, v)->in[i]] = true;
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    if (!r.dirty[v]) continue;
    r.costly[v] = is_product(x) && node_flops(in, v) > cost->remat_cheap_flops * (double)bytes(in, v);
    for (int i = 0; i < x->nin; i++) r.costly[v] |= r.costly[x->in[i]];
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
    for (int i = 0; i < x->nin; i++) {
      Val u = x->in[i];
      op[i] = g_node(in, u)->role == ROLE_FORWARD ? clone(&r, out, u, map, copy) : map[u];
    }
    map[v] = g_copy_node(out, in, v, op);
  }
  pass_outputs(out, in, map);
  return out;
}

int64_t remat_largest(const Graph *g) {
  int64_t most = 0;
  for (Val v = 0; v < g->node.n; v++)
    if (g_node(g, v)->role == ROLE_FORWARD && g_node(g, v)->op != OP_input && bytes(g, v) > most)
      most = bytes(g, v);
  return most;
}
