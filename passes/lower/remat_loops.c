/* Rematerialization of loops: a loop whose values a second one reads backwards keeps what it carries at the beginning of
   every k-th step alone. Both become loops over T / k segments of loops over k steps, and before the second goes back
   through a segment, a third computes the segment's values again (Griewank and Walther, "Algorithm 799: revolve", 2000,
   with one level of checkpoints). What others read as well stays. */
#include "passes/lower/remat.h"
#include "ir/graph/loops.h"
#include "passes/graph/pass.h"

#include <string.h>

typedef struct {
  int partner; /* of the forward loop the one that goes back, and the other way round; -1: stays as it is */
  bool back;
  int64_t k, m;   /* steps of a segment, segments */
  Ints seg, step; /* names of the loop over segments and of that over its steps */
  Ints again;     /* of the third, which is inside of the second's segments */
  Val first;      /* its first value */
  bool closed;    /* what leaves it has been made */
} Plan;

typedef struct {
  const Graph *in;
  Graph *out;
  const GraphLoops *loops;
  Plan *plan;    /* per loop */
  bool *dropped; /* per value: a scan_out that only the partner reads */
  Val *map;
  Val *outer; /* per scan_carry: that of the loop over segments */
  Val *check; /* per scan_carry: its values where segments begin */
  Val *
      redone; /* per value of a forward body: in the third loop; of a scan_out that is dropped: all of a segment */
} Remat;

static const Node *node(const Remat *r, Val v) { return g_node(r->in, v); }

static int loop_of_scan(const Remat *r, Val v) {
  Ints path = scan_path(r->in, node(r, v));
  for (int i = 0; path.n && i < r->loops->n; i++) {
    const Ints *own = &r->loops->loop[i].path;
    if (own->n == path.n && !memcmp(own->v, path.v, sizeof *path.v * (size_t)path.n)) return i;
  }
  return -1;
}

/* The loop that node v is of, with its scan nodes on both sides; -1: none. */
static int owner(const Remat *r, Val v) {
  int l = loop_of_scan(r, v);
  return l >= 0 ? l : r->loops->of[v];
}

static int64_t bytes(const Graph *g, Val v) {
  return shape_count(&g_node(g, v)->shape) * dtype_size(g_node(g, v)->dt);
}

/* ---- which loops ---- */
static bool nests(const Remat *r, int loop) {
  if (r->loops->loop[loop].parent >= 0) return true;
  for (int i = 0; i < r->loops->n; i++)
    if (r->loops->loop[i].parent == loop) return true;
  for (Val v = 0; v < r->in->node.n; v++)
    if (loop_of_scan(r, v) == loop && node(r, v)->shape.rank + 2 > MAX_RANK) return true;
  return false;
}

/* Which loop reads scan_out o backwards, where it alone reads it; -1 otherwise. */
static int reader(const Remat *r, Val o) {
  int found = -1;
  for (Val v = o + 1; v < r->in->node.n; v++)
    for (int i = 0; i < node(r, v)->nin; i++) {
      if (node(r, v)->in[i] != o) continue;
      int l = node(r, v)->op == OP_scan_in && scan_reversed(node(r, v)) ? loop_of_scan(r, v) : -1;
      if (l < 0 || (found >= 0 && found != l)) return -1;
      found = l;
    }
  for (int i = 0; i < r->in->outputs.n; i++)
    if (r->in->outputs.v[i].val == o) return -1;
  return found;
}

/* The divisor of the steps for which segments and one segment's values take least. */
static int64_t best_segment(int64_t steps, int64_t carried, int64_t kept) {
  int64_t best = 0;
  double least = (double)steps * (double)kept;
  for (int64_t k = 2; k < steps; k++) {
    double need = (double)(steps / k) * (double)carried + (double)k * (double)(kept + carried);
    if (steps % k == 0 && need < least) best = k, least = need;
  }
  return best;
}

static Ints below(Ints path, int64_t number) {
  path.v[path.n++] = number;
  return path;
}

static bool find_pairs(Remat *r) {
  const Graph *g = r->in;
  int64_t number = graph_new_loop(g);
  bool any = false;
  for (int l = 0; l < r->loops->n; l++) r->plan[l] = (Plan){.partner = -1, .first = -1};
  for (Val v = 0; v < g->node.n; v++) {
    int l = owner(r, v);
    if (l >= 0 && r->plan[l].first < 0) r->plan[l].first = v;
  }
  for (int l = 0; l < r->loops->n; l++) {
    int64_t kept = 0, carried = 0, steps = r->loops->loop[l].steps;
    int back = -1;
    for (Val o = 0; o < g->node.n; o++) {
      int by = node(r, o)->op == OP_scan_out && loop_of_scan(r, o) == l && !scan_reversed(node(r, o))
                   ? reader(r, o)
                   : -1;
      if (by < 0 || by == l || r->loops->loop[by].steps != steps || (back >= 0 && back != by)) continue;
      back = by;
      kept += bytes(g, o) / steps;
    }
    for (Val c = 0; c < g->node.n; c++)
      if (node(r, c)->op == OP_scan_carry && r->loops->of[c] == l) carried += bytes(g, c);
    if (back < 0 || r->plan[l].partner >= 0 || r->plan[back].partner >= 0 || nests(r, l) || nests(r, back) ||
        r->plan[back].first < r->loops->loop[l].close)
      continue;
    int64_t k = best_segment(steps, carried, kept);
    if (!k) continue;
    any = true;
    for (int side = 0; side < 2; side++) {
      Plan *p = &r->plan[side ? back : l];
      p->partner = side ? l : back;
      p->back = side;
      p->k = k, p->m = steps / k;
      p->seg = ints1(number++);
      p->step = below(p->seg, number++);
      p->again = below(p->seg, number++);
    }
    for (Val o = 0; o < g->node.n; o++)
      r->dropped[o] |= node(r, o)->op == OP_scan_out && loop_of_scan(r, o) == l &&
                       !scan_reversed(node(r, o)) && reader(r, o) == back;
  }
  return any;
}

/* ---- the new graph ---- */
static Val in_segments(Remat *r, Val x, const Plan *p) {
  Shape s = g_node(r->out, x)->shape, to = {.rank = s.rank + 1, .dim = {p->m, p->k}};
  memcpy(to.dim + 2, s.dim + 1, sizeof *s.dim * (size_t)(s.rank - 1));
  return g_reshape(r->out, x, &to);
}

static Val as_one(Remat *r, Val x, const Shape *to) { return g_reshape(r->out, x, to); }

static void set_place(Remat *r, const Node *n) {
  r->out->loc = n->loc;
  r->out->role = n->role;
}

/* What leaves a loop: of all its segments' steps first, since these are inside of the loop over segments. */
static void close_loop(Remat *r, int loop) {
  Plan *p = &r->plan[loop];
  int n = r->in->node.n;
  Val *inner = NEWN(r->out->arena, Val, n + 1);
  for (Val v = r->loops->loop[loop].close; v < n; v++) {
    const Node *x = node(r, v);
    if (!scan_closes(x) || loop_of_scan(r, v) != loop || r->dropped[v]) continue;
    set_place(r, x);
    inner[v] = x->op == OP_scan_next ? g_scan_next(r->out, r->map[x->in[0]], r->map[x->in[1]])
                                     : g_scan_out(r->out, r->map[x->in[0]], &p->step, p->k, scan_reversed(x));
  }
  for (Val v = r->loops->loop[loop].close; v < n; v++) {
    const Node *x = node(r, v);
    if (!scan_closes(x) || loop_of_scan(r, v) != loop || r->dropped[v]) continue;
    set_place(r, x);
    if (x->op == OP_scan_next) r->map[v] = g_scan_next(r->out, r->outer[x->in[0]], inner[v]);
    else r->map[v] = as_one(r, g_scan_out(r->out, inner[v], &p->seg, p->m, scan_reversed(x)), &x->shape);
  }
  for (Val c = 0; c < r->loops->loop[loop].close && !p->back; c++)
    if (node(r, c)->op == OP_scan_carry && r->loops->of[c] == loop) {
      set_place(r, node(r, c));
      r->check[c] = g_scan_out(r->out, r->outer[c], &p->seg, p->m, false);
    }
  p->closed = true;
}

/* The values of a segment of forward loop l once more, in the segments of the loop that goes back. */
static void compute_again(Remat *r, int l, const Plan *p) {
  const Graph *g = r->in;
  Graph *out = r->out;
  for (Val v = 0; v < r->loops->loop[l].close; v++) {
    const Node *x = node(r, v);
    if (r->loops->of[v] != l) continue;
    out->loc = x->loc;
    out->role = ROLE_GRADIENT;
    if (x->op == OP_scan_carry) {
      Val from = g_scan_in(out, r->check[v], &p->seg, true);
      r->redone[v] = g_scan_carry(out, from, &p->again, (int)x->attr[1].v[0], p->k);
    } else if (x->op == OP_scan_in) {
      Val part = g_scan_in(out, in_segments(r, r->map[x->in[0]], p), &p->seg, !scan_reversed(x));
      r->redone[v] = g_scan_in(out, part, &p->again, scan_reversed(x));
    } else {
      Val *in = NEWN(out->arena, Val, x->nin + 1);
      for (int i = 0; i < x->nin; i++)
        in[i] = r->loops->of[x->in[i]] == l ? r->redone[x->in[i]] : r->map[x->in[i]];
      r->redone[v] = g_copy_node(out, g, v, in);
      g_node(out, r->redone[v])->role = ROLE_GRADIENT;
    }
  }
  out->role = ROLE_GRADIENT;
  for (Val v = r->loops->loop[l].close; v < g->node.n; v++) {
    const Node *x = node(r, v);
    if (!scan_closes(x) || loop_of_scan(r, v) != l) continue;
    Val of = x->in[x->op == OP_scan_next];
    Val value = r->loops->of[of] == l ? r->redone[of] : r->map[of];
    if (x->op == OP_scan_next) g_scan_next(out, r->redone[x->in[0]], value);
    else if (r->dropped[v]) r->redone[v] = g_scan_out(out, value, &p->again, p->k, false);
  }
}

static Val enter(Remat *r, Val v, const Plan *p) {
  const Node *x = node(r, v);
  set_place(r, x);
  if (x->op == OP_scan_carry) {
    r->outer[v] = g_scan_carry(r->out, r->map[x->in[0]], &p->seg, (int)x->attr[1].v[0], p->m);
    return g_scan_carry(r->out, r->outer[v], &p->step, (int)x->attr[1].v[0], p->k);
  }
  if (r->dropped[x->in[0]]) return g_scan_in(r->out, r->redone[x->in[0]], &p->step, true);
  Val part = g_scan_in(r->out, in_segments(r, r->map[x->in[0]], p), &p->seg, scan_reversed(x));
  return g_scan_in(r->out, part, &p->step, scan_reversed(x));
}

static Val *filled(Arena *a, int n) {
  Val *v = NEWN(a, Val, n + 1);
  for (int i = 0; i < n; i++) v[i] = -1;
  return v;
}

Graph *remat_loops(Arena *a, const Graph *in) {
  int n = in->node.n;
  if (!graph_has_loops(in)) return (Graph *)in;
  GraphLoops *loops = graph_loops_of(in, a);
  Remat r = {.in = in,
             .loops = loops,
             .plan = NEWN(a, Plan, loops->n + 1),
             .dropped = NEWN(a, bool, n + 1),
             .outer = filled(a, n),
             .check = filled(a, n),
             .redone = filled(a, n)};
  if (!find_pairs(&r)) return (Graph *)in;
  r.out = pass_begin(a, in, &r.map);
  for (Val v = 0; v < n; v++) {
    int l = owner(&r, v);
    Plan *p = l >= 0 && r.plan[l].partner >= 0 ? &r.plan[l] : NULL;
    if (p && p->back && p->first == v) compute_again(&r, p->partner, p);
    if (!p || r.map[v] >= 0) {
      if (r.map[v] < 0) r.map[v] = pass_copy(r.out, in, v, r.map);
    } else if (scan_closes(node(&r, v))) {
      if (!p->closed) close_loop(&r, l);
    } else if (loop_of_scan(&r, v) == l) {
      r.map[v] = enter(&r, v, p);
    } else {
      r.map[v] = pass_copy(r.out, in, v, r.map);
    }
  }
  pass_outputs(r.out, in, r.map);
  return pass_live_copy(a, r.out, false);
}
