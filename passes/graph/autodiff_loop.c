/* Derivatives of loops: a second loop that goes through the steps from the last to the first. It carries the
   cotangents of the first one's carries, and computes in each step those of the values of the body. What it needs of
   the first loop's values is kept for all steps where it is a carry or costs something, and computed again where it
   follows cheaply from what is kept. A weight that every step multiplies by gets its gradient behind the loop, by one
   product over all steps. */
#include "passes/graph/autodiff.h"

#include "ir/graph/vjp.h"

enum { CHEAP = 4 }; /* operations an element */

typedef struct {
  Autodiff *ad;
  Graph *g;
  int loop;
  const GraphLoop *l;
  Ints path;        /* of the second loop */
  Val *primal;      /* per value of the body: as the second loop has it, -1 not made */
  Val *stack;       /* per value of the body: its values in all steps of the first loop, -1 not kept */
  Val *cotangent;   /* per value of the body and, of what comes from outside, in one step; -1 none */
  Val *carry;       /* per carry: that of its cotangent, or -1 */
  VEC(Val) outside; /* values with a cotangent in each step */
  int carries;
} Back;

static bool of_body(const Back *b, Val v) { return b->ad->loops->of[v] == b->loop; }

/* Is v a scan node of the first loop? */
static bool belongs(const Back *b, Val v) {
  Ints path = scan_path(b->g, g_node(b->g, v));
  return path.n == b->l->path.n && path.v[path.n - 1] == b->l->path.v[path.n - 1];
}

/* ---- what the second loop knows of the first ---- */
static bool is_cheap(const Node *n) {
  OpKind k = op_table[n->op].kind;
  return k == KIND_VIEW || (k == KIND_SOURCE && n->op != OP_random_bits) ||
         (k == KIND_MAP && op_table[n->op].flops <= CHEAP);
}

/* The values of v in all steps, in their order. */
static Val stacked(Back *b, Val v) {
  Graph *g = b->g;
  if (b->stack[v] >= 0) return b->stack[v];
  const Node *n = g_node(g, v);
  if (n->op == OP_scan_in && !scan_reversed(n)) return b->stack[v] = n->in[0];
  const Loc *loc = g->loc;
  Role role = g->role;
  g->loc = n->loc;
  g->role = n->role;
  b->stack[v] = g_scan_out(g, v, &b->l->path, b->l->steps, false);
  g->loc = loc;
  g->role = role;
  return b->stack[v];
}

static Val primal(Back *b, Val v);

/* Node v with its operands as the second loop has them. */
static Val clone(Back *b, Val v) {
  const Node n = *g_node(b->g, v);
  Val *in = NEWN(b->g->arena, Val, n.nin + 1);
  for (int i = 0; i < n.nin; i++) in[i] = primal(b, n.in[i]);
  Val y = g_copy_node(b->g, b->g, v, in);
  g_node(b->g, y)->role = ROLE_GRADIENT;
  return y;
}

static Val primal(Back *b, Val v) {
  if (!of_body(b, v)) return v;
  if (b->primal[v] >= 0) return b->primal[v];
  const Node n = *g_node(b->g, v);
  Val y;
  if (n.op == OP_scan_in) y = g_scan_in(b->g, n.in[0], &b->path, !scan_reversed(&n));
  else if (is_cheap(&n) || (n.shape.rank == MAX_RANK && n.op != OP_scan_carry)) y = clone(b, v);
  else y = g_scan_in(b->g, stacked(b, v), &b->path, true);
  return b->primal[v] = y;
}

/* ---- gradients ---- */
/* The gradients of node v's operands for cotangent gy, over what the second loop knows. */
static bool pull(Back *b, Val v, Val gy, Val *gin) {
  Graph *g = b->g;
  Val y = primal(b, v), own = is_cheap(g_node(g, v)) ? y : clone(b, v), from = g->node.n;
  g->loc = g_node(g, v)->loc;
  if (!op_vjp(g, own, gy, gin)) return autodiff_no_derivative(b->ad, v);
  for (Val u = from; u < g->node.n && own != y; u++) { /* they may read the result: the kept one */
    Val *in = (Val *)g_node(g, u)->in;
    for (int i = 0; i < g_node(g, u)->nin; i++)
      if (in[i] == own) in[i] = y;
  }
  return true;
}

static void add_outside(Back *b, Val u, Val gradient) {
  if (b->cotangent[u] < 0) vec_push(b->g->arena, &b->outside, u);
  autodiff_add(b->ad, b->cotangent, u, gradient);
}

/* Behind the loop: of product v in all steps, the gradient of its operand `which` that is the same in all of them. */
typedef struct {
  Val v, gy;
  int which;
} Product;

static void shift(Ints *axes, int by) {
  for (int i = 0; i < axes->n; i++) axes->v[i] += by;
}

static bool product_behind(Back *b, const Product *p) {
  Graph *g = b->g;
  const Node n = *g_node(g, p->v);
  int other = 1 - p->which, batch = n.attr[0].n, rank = n.shape.rank, at = batch;
  Ints attr[4] = {n.attr[0], n.attr[1], n.attr[2], n.attr[3]};
  shift(&attr[other], 1);
  shift(&attr[2 + other], 1);
  Val in[2];
  in[p->which] = n.in[p->which];
  in[other] = stacked(b, n.in[other]);
  if (other == 1)
    at = batch + g_node(g, n.in[0])->shape.rank - n.attr[0].n - n.attr[2].n; /* behind the free axes of a */
  g->loc = n.loc;
  Val gy = g_scan_out(g, p->gy, &b->path, b->l->steps, true);
  Ints perm = {.n = rank + 1};
  for (int i = 0, k = 1; i <= rank; i++) perm.v[i] = i == at ? 0 : k++;
  if (at) gy = g_transpose(g, gy, &perm);
  Val all = g_add(g, OP_dot_general, in, 2, attr, 0, DT_NONE, NULL), gin[2];
  if (!op_vjp(g, all, gy, gin)) return autodiff_no_derivative(b->ad, p->v);
  if (gin[p->which] >= 0) autodiff_add(b->ad, b->ad->cotangent, n.in[p->which], gin[p->which]);
  return true;
}

/* The sum over all steps of a cotangent of u, in one step `step`. */
static void sum_behind(Back *b, Val u, Val step) {
  Graph *g = b->g;
  Val all = g_scan_out(g, step, &b->path, b->l->steps, true);
  Ints axis = ints1(0);
  autodiff_add(b->ad, b->ad->cotangent, u, g_reduce(g, OP_reduce_sum, all, &axis));
}

/* Can the gradient of operand i, from outside, of product v be computed behind the loop? */
static bool is_weight(const Back *b, const Node *n, int i) {
  return n->op == OP_dot_general && of_body(b, n->in[1 - i]) &&
         g_node(b->g, n->in[1 - i])->shape.rank < MAX_RANK && n->shape.rank < MAX_RANK;
}

typedef VEC(Product) Products;

static bool body(Back *b, Products *products) {
  Graph *g = b->g;
  const Autodiff *ad = b->ad;
  for (Val v = b->l->close - 1; v >= 0; v--) {
    const Node n = *g_node(g, v);
    if (loops_inside(ad->loops, ad->loops->of[v], b->loop) && !of_body(b, v) && ad->active[v]) {
      diag_error(ad->diags, n.loc, "the derivative of a scan inside another scan is not supported");
      return false;
    }
    if (!of_body(b, v) || b->cotangent[v] < 0 || op_table[n.op].kind == KIND_SCAN) continue;
    bool flows = false, weight[2] = {false};
    for (int i = 0; i < n.nin; i++) {
      if (!ad->active[n.in[i]] || !op_vjp_flows(g, v, i)) continue;
      if (!of_body(b, n.in[i]) && is_weight(b, &n, i)) {
        Product p = {v, b->cotangent[v], i};
        vec_push(g->arena, products, p);
        weight[i] = true;
      } else flows = true;
    }
    if (!flows) continue;
    Val few[8], *gin = n.nin <= 8 ? few : NEWN(g->arena, Val, n.nin);
    if (!pull(b, v, b->cotangent[v], gin)) return false;
    for (int i = 0; i < n.nin; i++) {
      Val u = n.in[i];
      if (gin[i] < 0 || !ad->active[u] || (i < 2 && weight[i])) continue;
      gin[i] = autodiff_keep_zeros(b->ad, v, i, b->cotangent[v], gin[i]);
      if (of_body(b, u)) autodiff_add(b->ad, b->cotangent, u, gin[i]);
      else add_outside(b, u, gin[i]);
    }
  }
  return true;
}

/* What comes in from behind the loop. */
static void begin(Back *b) {
  Graph *g = b->g;
  const Autodiff *ad = b->ad;
  for (Val v = b->l->close; v <= ad->loss; v++) {
    const Node n = *g_node(g, v);
    if (!scan_closes(&n) || !belongs(b, v) || !ad->active[v]) continue;
    g->loc = n.loc;
    Val into;
    if (n.op == OP_scan_next) {
      Val init = ad->cotangent[v] >= 0 ? ad->cotangent[v] : g_fill(g, n.dt, &n.shape, 0);
      into = b->carry[n.in[0]] = g_scan_carry(g, init, &b->path, b->carries++, b->l->steps);
    } else {
      if (ad->cotangent[v] < 0) continue;
      into = g_scan_in(g, ad->cotangent[v], &b->path, !scan_reversed(&n));
    }
    Val u = n.in[n.op == OP_scan_next];
    if (!ad->active[u]) continue;
    if (of_body(b, u)) autodiff_add(b->ad, b->cotangent, u, into);
    else add_outside(b, u, into);
  }
}

/* A large gradient of what comes from outside is added up in the loop, one of the size of what it is made from behind. */
static void add_up(Back *b, Val u) {
  Graph *g = b->g;
  const Node n = *g_node(g, u);
  Val sum = g_scan_carry(g, g_fill(g, n.dt, &n.shape, 0), &b->path, b->carries++, b->l->steps);
  b->carry[u] = sum;
  b->cotangent[u] = g_binary(g, OP_add, sum, b->cotangent[u]);
}

static void end(Back *b) {
  Graph *g = b->g;
  Autodiff *ad = b->ad;
  for (Val v = 0; v < b->l->close; v++) {
    const Node n = *g_node(g, v);
    if (op_table[n.op].kind != KIND_SCAN || !belongs(b, v) || !ad->active[v]) continue;
    g->loc = n.loc;
    if (n.op == OP_scan_in && b->cotangent[v] >= 0 && ad->active[n.in[0]]) {
      Val all = g_scan_out(g, b->cotangent[v], &b->path, b->l->steps, !scan_reversed(&n));
      autodiff_add(ad, ad->cotangent, n.in[0], all);
    }
    if (n.op != OP_scan_carry || b->carry[v] < 0) continue;
    Val last = g_scan_next(g, b->carry[v], b->cotangent[v]);
    if (ad->active[n.in[0]]) autodiff_add(ad, ad->cotangent, n.in[0], last);
  }
  for (int i = 0; i < b->outside.n; i++) {
    Val u = b->outside.v[i];
    g->loc = g_node(g, u)->loc;
    if (b->carry[u] < 0) sum_behind(b, u, b->cotangent[u]);
    else autodiff_add(ad, ad->cotangent, u, g_scan_next(g, b->carry[u], b->cotangent[u]));
  }
}

static Val *filled(Arena *a, int n) {
  Val *v = NEWN(a, Val, n + 1);
  for (int i = 0; i < n; i++) v[i] = -1;
  return v;
}

/* Of carries the gradient needs the values of all steps, with one axis more. */
static bool steps_fit(const Back *b) {
  for (Val v = 0; v < b->l->close; v++) {
    const Node *n = g_node(b->g, v);
    if (n->op != OP_scan_carry || n->shape.rank < MAX_RANK || !b->ad->active[v] || !of_body(b, v)) continue;
    diag_error(b->ad->diags, n->loc,
               "no gradient through a scan that carries %d axes: all steps of it would have %d", MAX_RANK,
               MAX_RANK + 1);
    return false;
  }
  return true;
}

bool autodiff_loop(Autodiff *ad, int loop) {
  Graph *g = ad->g;
  const GraphLoop *l = &ad->loops->loop[loop];
  int n = ad->loss + 1;
  bool any = false;
  for (Val v = l->close; v < n; v++) any |= scan_closes(g_node(g, v)) && ad->cotangent[v] >= 0;
  if (!any) return true;
  Arena *a = arena_new();
  Back b = {.ad = ad,
            .g = g,
            .loop = loop,
            .l = l,
            .path = ints1(graph_new_loop(g)),
            .primal = filled(a, n),
            .stack = filled(a, n),
            .cotangent = filled(a, n),
            .carry = filled(a, n)};
  Products products = {0};
  bool ok = steps_fit(&b);
  if (ok) begin(&b);
  ok = ok && body(&b, &products);
  for (Val v = 0; v < l->close && ok; v++) /* carries nobody read in a step */
    if (b.carry[v] >= 0 && b.cotangent[v] < 0)
      b.cotangent[v] = g_fill(g, g_node(g, v)->dt, &g_node(g, v)->shape, 0);
  for (int i = 0; i < b.outside.n && ok; i++) {
    const Node *u = g_node(g, b.outside.v[i]);
    if (op_table[u->op].kind == KIND_INPUT || shape_count(&u->shape) > 1 << 20 || u->shape.rank == MAX_RANK)
      add_up(&b, b.outside.v[i]);
  }
  if (ok) end(&b);
  for (int i = 0; i < products.n && ok; i++) ok = product_behind(&b, &products.v[i]);
  arena_free(a);
  return ok;
}
