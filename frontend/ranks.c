/* `sync_norm = false`: each rank takes a batch of its own, as a process by itself takes batches one after the other with
   `accumulate`, and what one adds up there all ranks add up here, in the same order. Otherwise the graph is that of one
   process, and passes/graph/shard.c shares it. What is added up goes through an operator between ranks in both, be it of one
   rank: up to there the graphs are the same, so they become the same kernels, whose sums have the same bits. */
#include "frontend/elab.h"

#include "ir/graph/collective.h"

#include <string.h>

int64_t recipe_parts(Elab *e, Frame *f) {
  const Ast *a = train_setting(e, "sync_norm");
  bool whole = a ? need_bool(e, f, a, eval(e, f, a), "`sync_norm`") : true;
  return !whole && e->m->opt.ranks > 1 ? e->m->opt.ranks : 1;
}

Val parts_rank(Elab *e) { return g_reshape(e->g, g_rank(e->g, (int)e->parts), &(Shape){0}); }

Val parts_sum(Elab *e, Val part, Val old) {
  Graph *g = e->g;
  if (old >= 0) {
    part = g_all(g, OP_all_reduce_sum, part, 1);
    if (e->parts == 1) return g_binary(g, OP_add, old, part);
    Shape s = g_node(g, part)->shape;
    Ints none = {0};
    Val rank = parts_rank(e), first = g_binary(g, OP_eq, rank, g_fill_like(g, rank, 0));
    part = g_select(g, g_broadcast(g, first, &s, &none), g_binary(g, OP_add, old, part), part);
  }
  return g_all(g, OP_all_reduce_sum, part, (int)e->parts);
}

Val parts_mean(Elab *e, Val v) { return g_all(e->g, OP_all_reduce_mean, v, (int)e->parts); }

/* ---- running statistics: one rank's update after the other ---- */
/* Values that are not the same on every rank: they follow from arguments or the rank's number. */
static bool *mark_different(Elab *e) {
  const Graph *g = e->g;
  bool *d = NEWN(e->arena, bool, g->node.n + 1);
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    d[v] = n->op == OP_rank_part || (n->op == OP_input && g->inputs.v[n->input].kind == IN_ARG);
    for (int i = 0; i < n->nin && !collective_ranks(n); i++) d[v] |= d[n->in[i]];
  }
  return d;
}

/* The value each rank has, one after the other. */
static Val every_rank(Elab *e, Val v) {
  Shape one = g_node(e->g, v)->shape;
  if (one.rank == MAX_RANK)
    elab_error(e, NULL, e->m->train, "`sync_norm = false` and a buffer made from %d axes", MAX_RANK);
  memmove(one.dim + 1, one.dim, sizeof *one.dim * (size_t)one.rank);
  one.dim[0] = 1;
  one.rank++;
  return g_part(e->g, OP_all_gather, g_reshape(e->g, v, &one), 0, 1, (int)e->parts);
}

static Val of_rank(Graph *g, Val all, int64_t r, const Shape *shape) {
  const Shape s = g_node(g, all)->shape;
  Ints start = {.n = s.rank}, stop = {.n = s.rank};
  for (int i = 0; i < s.rank; i++) stop.v[i] = s.dim[i];
  start.v[0] = r, stop.v[0] = r + 1;
  return g_reshape(g, g_slice(g, all, &start, &stop, NULL), shape);
}

void parts_chain(Elab *e, State *buffer) {
  Graph *g = e->g;
  int n = g->node.n;
  bool *different = mark_different(e), *follows = NEWN(e->arena, bool, n + 1),
       *needed = NEWN(e->arena, bool, n + 1);
  Val *map = NEWN(e->arena, Val, n + 1), *all = NEWN(e->arena, Val, n + 1), last = buffer->input;
  follows[buffer->input] = needed[buffer->value] = true;
  for (Val v = 0; v < n; v++) {
    all[v] = -1;
    for (int i = 0; i < g_node(g, v)->nin; i++) follows[v] |= follows[g_node(g, v)->in[i]];
  }
  for (Val v = n - 1; v >= 0; v--)
    for (int i = 0; i < g_node(g, v)->nin && needed[v] && follows[v]; i++) needed[g_node(g, v)->in[i]] = true;
  for (int64_t r = 0; r < e->parts; r++) {
    for (Val v = 0; v < n; v++) {
      if (!needed[v]) continue;
      map[v] = v == buffer->input ? last : v;
      g->loc = g_node(g, v)->loc;
      if (!follows[v] && different[v]) {
        Shape shape = g_node(g, v)->shape;
        if (all[v] < 0) all[v] = every_rank(e, v);
        map[v] = of_rank(g, all[v], r, &shape);
      } else if (follows[v] && v != buffer->input) {
        Node x = *g_node(g, v);
        Val *in = NEWN(e->arena, Val, x.nin + 1);
        for (int i = 0; i < x.nin; i++) in[i] = map[x.in[i]];
        map[v] = g_copy_node(g, g, v, in);
      }
    }
    last = map[buffer->value];
  }
  buffer->value = last;
}
