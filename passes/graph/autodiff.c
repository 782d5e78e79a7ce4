/* Reverse-mode differentiation of the graph (Griewank and Walther, "Evaluating Derivatives", 2008). Every
   grad(loss, x) is replaced by the operators that compute it. Grad nodes that share a loss share one sweep.
   Nodes are visited in order, so a loss that itself contains grad nodes is differentiated after those were
   expanded, on the expanded operators. */
#include "passes/graph/autodiff.h"

#include "ir/graph/vjp.h"

/* Values up to the loss that depend differentiably on a marked one; what a step hands on is read by the next. */
static void spread_active(const Graph *g, Val loss, bool *active) {
  for (bool again = true; again;) {
    again = false;
    for (Val v = 0; v <= loss; v++) {
      for (int i = 0; !active[v] && i < g_node(g, v)->nin; i++)
        active[v] = active[g_node(g, v)->in[i]] && op_vjp_flows(g, v, i);
      if (g_node(g, v)->op != OP_scan_next || !active[v] || active[g_node(g, v)->in[0]]) continue;
      active[g_node(g, v)->in[0]] = again = true;
    }
  }
}

static void check_gradient_type(const Graph *g, Val u, Val grad) {
  const Node *x = g_node(g, u), *y = g_node(g, grad);
  if (x->dt != y->dt || !shape_eq(&x->shape, &y->shape))
    bug("a derivative by %s has the wrong type", op_table[x->op].name);
}

void autodiff_add(Autodiff *ad, Val *cotangent, Val u, Val gradient) {
  check_gradient_type(ad->g, u, gradient);
  cotangent[u] = cotangent[u] < 0 ? gradient : g_binary(ad->g, OP_add, cotangent[u], gradient);
}

bool autodiff_no_derivative(Autodiff *ad, Val v) {
  const Node *n = g_node(ad->g, v);
  diag_error(ad->diags, n->loc, "operator %s has no derivative", op_table[n->op].name);
  return false;
}

/* Pulls the cotangent of v back to its operands. */
static bool pull_back(Autodiff *ad, Val v) {
  Graph *g = ad->g;
  const Node n = *g_node(g, v);
  Val few[8], *gin = n.nin <= 8 ? few : NEWN(g->arena, Val, n.nin);
  g->loc = n.loc;
  if (!op_vjp(g, v, ad->cotangent[v], gin)) return autodiff_no_derivative(ad, v);
  for (int i = 0; i < n.nin; i++)
    if (gin[i] >= 0 && ad->active[n.in[i]]) autodiff_add(ad, ad->cotangent, n.in[i], gin[i]);
  return true;
}

/* Something further back wants the cotangent of v. */
static bool wanted(const Autodiff *ad, Val v) {
  const Node *n = g_node(ad->g, v);
  for (int i = 0; i < n->nin; i++)
    if (ad->active[n->in[i]] && op_vjp_flows(ad->g, v, i)) return true;
  return false;
}

/* Cotangents of all values up to the loss; a loop's at once, when those of all that leaves it are known. */
static bool sweep(Autodiff *ad) {
  const Graph *g = ad->g;
  for (Val v = ad->loss; v >= 0; v--) {
    const Node *n = g_node(g, v);
    if (scan_closes(n)) {
      for (int l = 0; l < ad->loops->n; l++)
        if (ad->loops->loop[l].close == v && ad->loops->loop[l].parent < 0 && !autodiff_loop(ad, l))
          return false;
    } else if (ad->cotangent[v] >= 0 && n->op != OP_input && wanted(ad, v) && !pull_back(ad, v)) {
      return false;
    }
  }
  return true;
}

static bool is_grad_of(const Graph *in, Val v, Val loss) {
  return g_node(in, v)->op == OP_grad && g_node(in, v)->in[0] == loss;
}

/* Expands grad node first and every later one of the same loss. What a later one differentiates by is either
   known by now or computed after the loss, which then cannot depend on it. */
static bool expand_all(Autodiff *ad, Val first) {
  Graph *g = ad->g;
  Val in_loss = g_node(ad->in, first)->in[0], loss = ad->map[in_loss];
  Arena *tmp = arena_new();
  bool *active = NEWN(tmp, bool, loss + 1), ok = true;
  Val *cotangent = NEWN(tmp, Val, loss + 1);
  for (Val v = 0; v <= loss; v++) cotangent[v] = -1;
  for (Val v = first; v < ad->in->node.n; v++) {
    if (!is_grad_of(ad->in, v, in_loss)) continue;
    Val x = ad->map[g_node(ad->in, v)->in[1]];
    if (x >= 0 && x <= loss) active[x] = true;
  }
  spread_active(g, loss, active);

  const Loc *saved_loc = g->loc;
  Role saved_role = g->role;
  g->role = ROLE_GRADIENT;
  g->loc = g_node(g, loss)->loc;
  ad->loss = loss;
  ad->active = active;
  ad->cotangent = cotangent;
  ad->loops = graph_loops_of(g, tmp);
  if (active[loss]) cotangent[loss] = g_fill_like(g, loss, 1);
  ok = sweep(ad);
  for (Val v = first; v < ad->in->node.n && ok; v++) {
    if (!is_grad_of(ad->in, v, in_loss)) continue;
    const Node *n = g_node(ad->in, v);
    Val x = ad->map[n->in[1]];
    g->loc = n->loc;
    ad->map[v] = x >= 0 && x <= loss && cotangent[x] >= 0 ? cotangent[x] : g_fill(g, n->dt, &n->shape, 0);
  }
  g->loc = saved_loc;
  g->role = saved_role;
  arena_free(tmp);
  return ok;
}

Graph *pass_autodiff(Arena *a, const Graph *in, Diags *d) {
  Autodiff ad = {.in = in, .diags = d};
  ad.g = pass_begin(a, in, &ad.map);
  for (Val v = 0; v < in->node.n; v++) {
    if (ad.map[v] >= 0) continue;
    if (g_node(in, v)->op != OP_grad) ad.map[v] = pass_copy(ad.g, in, v, ad.map);
    else if (!expand_all(&ad, v)) return NULL;
  }
  pass_outputs(ad.g, in, ad.map);
  return ad.g;
}
