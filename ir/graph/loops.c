/* Loops of a graph: types of the operators that lead in and out, which values are of whose body, what is alive. */
#include "ir/graph/loops.h"

#include "ir/graph/ops_impl.h"

#include <string.h>

static const int64_t most_steps = (int64_t)1 << 31;

/* ---- what scan nodes say ---- */
static bool is_scan(const Node *n) { return op_table[n->op].kind == KIND_SCAN; }

Ints scan_path(const Graph *g, const Node *n) {
  if (!is_scan(n)) return (Ints){0};
  return n->op == OP_scan_next ? g_node(g, n->in[0])->attr[0] : n->attr[0];
}

bool scan_reversed(const Node *n) {
  int i = op_attr_index(n->op, "reverse");
  return i >= 0 && n->attr[i].n == 1 && n->attr[i].v[0];
}

int64_t scan_steps(const Graph *g, const Node *n) {
  if (n->op == OP_scan_in) return g_node(g, n->in[0])->shape.dim[0];
  if (n->op == OP_scan_next) n = g_node(g, n->in[0]);
  return n->attr[op_attr_index(n->op, "steps")].v[0];
}

int64_t graph_new_loop(const Graph *g) {
  int64_t most = 0;
  for (Val v = 0; v < g->node.n; v++) {
    Ints path = scan_path(g, g_node(g, v));
    for (int i = 0; i < path.n; i++)
      if (path.v[i] > most) most = path.v[i];
  }
  return most + 1;
}

bool graph_has_loops(const Graph *g) {
  for (Val v = 0; v < g->node.n; v++)
    if (is_scan(g_node(g, v))) return true;
  return false;
}

/* ---- types ---- */
static bool check_path(const Node *n, char *err, size_t errlen) {
  if (!n->attr[0].n) return infer_fail(err, errlen, "%s names no loop", op_table[n->op].name);
  for (int i = 0; i < n->attr[0].n; i++)
    if (n->attr[0].v[i] < 1) return infer_fail(err, errlen, "loops are numbered from 1");
  int r = op_attr_index(n->op, "reverse");
  if (r >= 0 && n->attr[r].n > 1)
    return infer_fail(err, errlen, "reverse of %s is 0 or 1", op_table[n->op].name);
  int s = op_attr_index(n->op, "steps");
  if (s >= 0 && (n->attr[s].n != 1 || n->attr[s].v[0] < 1 || n->attr[s].v[0] > most_steps))
    return infer_fail(err, errlen, "a loop has 1 to 2^31 steps");
  return true;
}

INFER(scan_in) {
  const Node *x = g_node(g, n->in[0]);
  char type[128];
  if (!check_path(n, err, errlen)) return false;
  if (x->shape.rank < 1)
    return infer_fail(err, errlen, "scan_in needs an axis to go along, but its operand is %s",
                      type_str(x->dt, &x->shape, type));
  n->dt = x->dt;
  n->shape.rank = x->shape.rank - 1;
  memmove(n->shape.dim, x->shape.dim + 1, sizeof *n->shape.dim * (size_t)n->shape.rank);
  return true;
}

INFER(scan_carry) {
  if (!check_path(n, err, errlen)) return false;
  if (n->attr[1].n != 1 || n->attr[1].v[0] < 0)
    return infer_fail(err, errlen, "index of scan_carry is one number");
  n->dt = g_node(g, n->in[0])->dt;
  n->shape = g_node(g, n->in[0])->shape;
  return true;
}

INFER(scan_next) {
  const Node *c = g_node(g, n->in[0]), *x = g_node(g, n->in[1]);
  char was[128], is[128];
  if (c->op != OP_scan_carry)
    return infer_fail(err, errlen, "scan_next ends a scan_carry, not a %s", op_table[c->op].name);
  if (c->dt != x->dt || !shape_eq(&c->shape, &x->shape))
    return infer_fail(err, errlen, "a carry of %s cannot become %s in the next step",
                      type_str(c->dt, &c->shape, was), type_str(x->dt, &x->shape, is));
  n->dt = c->dt;
  n->shape = c->shape;
  return true;
}

INFER(scan_out) {
  const Node *x = g_node(g, n->in[0]);
  char type[128];
  if (!check_path(n, err, errlen)) return false;
  if (x->shape.rank == MAX_RANK)
    return infer_fail(err, errlen, "the steps' values of %s would have %d axes, but at most %d are supported",
                      type_str(x->dt, &x->shape, type), MAX_RANK + 1, MAX_RANK);
  n->dt = x->dt;
  n->shape.rank = x->shape.rank + 1;
  n->shape.dim[0] = n->attr[1].v[0];
  memcpy(n->shape.dim + 1, x->shape.dim, sizeof *n->shape.dim * (size_t)x->shape.rank);
  return true;
}

/* ---- building ---- */
Val g_scan_in(Graph *g, Val a, const Ints *path, bool reverse) {
  Ints attr[2] = {*path, reverse ? ints1(1) : (Ints){0}};
  return g_add(g, OP_scan_in, &a, 1, attr, 0, DT_NONE, NULL);
}

Val g_scan_carry(Graph *g, Val a, const Ints *path, int index, int64_t steps) {
  Ints attr[3] = {*path, ints1(index), ints1(steps)};
  return g_add(g, OP_scan_carry, &a, 1, attr, 0, DT_NONE, NULL);
}

Val g_scan_next(Graph *g, Val carry, Val value) {
  return g_add(g, OP_scan_next, (Val[]){carry, value}, 2, NULL, 0, DT_NONE, NULL);
}

Val g_scan_out(Graph *g, Val a, const Ints *path, int64_t steps, bool reverse) {
  Ints attr[3] = {*path, ints1(steps), reverse ? ints1(1) : (Ints){0}};
  return g_add(g, OP_scan_out, &a, 1, attr, 0, DT_NONE, NULL);
}

/* ---- which values are of whose body ---- */
typedef struct {
  const Graph *g;
  Arena *a;
  VEC(GraphLoop) loop;
} Finder;

static bool same_path(const Ints *a, const Ints *b) {
  return a->n == b->n && !memcmp(a->v, b->v, sizeof *a->v * (size_t)a->n);
}

static int find_loop(const Finder *f, const Ints *path) {
  for (int i = 0; i < f->loop.n; i++)
    if (same_path(&f->loop.v[i].path, path)) return i;
  return -1;
}

/* Index of the loop of this name, made on first sight; those around it first. steps 0: not known yet. */
static int loop_named(Finder *f, const Ints *path, int64_t steps) {
  int at = find_loop(f, path);
  if (at < 0) {
    int parent = -1;
    if (path->n > 1) {
      Ints outer = *path;
      outer.n--;
      parent = loop_named(f, &outer, 0);
    }
    GraphLoop l = {.path = *path, .parent = parent, .close = -1};
    vec_push(f->a, &f->loop, l);
    at = f->loop.n - 1;
  }
  if (steps && !f->loop.v[at].steps) f->loop.v[at].steps = steps;
  return at;
}

static bool inside(const GraphLoop *loop, int inner, int outer) {
  while (inner >= 0 && inner != outer) inner = loop[inner].parent;
  return inner == outer;
}

bool loops_inside(const GraphLoops *l, int inner, int outer) { return inside(l->loop, inner, outer); }

/* The body that node v is of, from those of its operands; -2 after a message. */
static int body_of(Finder *f, Val v, const int *of, char *err, size_t errlen) {
  const Node *n = g_node(f->g, v);
  Ints path = scan_path(f->g, n);
  int own = path.n ? loop_named(f, &path, scan_steps(f->g, n)) : -1, in = -1;
  GraphLoop *l = own >= 0 ? &f->loop.v[own] : NULL;
  if (l && l->steps != scan_steps(f->g, n)) {
    infer_fail(err, errlen, "a loop of %lld steps has a %s of %lld", (long long)l->steps,
               op_table[n->op].name, (long long)scan_steps(f->g, n));
    return -2;
  }
  for (int i = 0; i < n->nin; i++) {
    int of_operand = of[n->in[i]];
    if (inside(f->loop.v, of_operand, in)) in = of_operand;
    else if (!inside(f->loop.v, in, of_operand)) {
      infer_fail(err, errlen, "operand %d belongs to a loop that the others are outside of", i + 1);
      return -2;
    }
  }
  if (!l) return in;
  int outside = scan_closes(n) ? own : l->parent;
  if (!inside(f->loop.v, outside, in)) {
    infer_fail(err, errlen, "%s reads a value of a loop that has not ended", op_table[n->op].name);
    return -2;
  }
  return scan_closes(n) ? l->parent : own;
}

GraphLoops *graph_loops(const Graph *g, Arena *a, Val *at, char *err, size_t errlen) {
  Finder f = {.g = g, .a = a};
  int n = g->node.n, left = 0;
  GraphLoops *l = NEW(a, GraphLoops);
  *l = (GraphLoops){.of = NEWN(a, int, n + 1), .next = NEWN(a, Val, n + 1), .before = NEWN(a, int, n + 1)};
  for (*at = 0; *at < n; ++*at) {
    const Node *x = g_node(g, *at);
    l->next[*at] = -1;
    l->before[*at] = left;
    if ((l->of[*at] = body_of(&f, *at, l->of, err, errlen)) == -2) return NULL;
    if (op_table[x->op].kind != KIND_SCAN || !scan_closes(x)) continue;
    Ints path = scan_path(g, x);
    GraphLoop *loop = &f.loop.v[find_loop(&f, &path)];
    if (loop->close < 0) loop->close = *at, loop->rank = left++;
    if (x->op != OP_scan_next) continue;
    if (l->next[x->in[0]] >= 0) {
      infer_fail(err, errlen, "a scan_carry has two ends");
      return NULL;
    }
    l->next[x->in[0]] = *at;
  }
  l->loop = f.loop.v;
  l->n = f.loop.n;
  for (*at = 0; *at < n; ++*at) {
    if (g_node(g, *at)->op == OP_scan_carry && l->next[*at] < 0) {
      infer_fail(err, errlen, "a scan_carry has no end");
      return NULL;
    }
    for (int b = l->of[*at]; b >= 0; b = l->loop[b].parent)
      if (*at > l->loop[b].close && l->loop[b].close >= 0) {
        infer_fail(err, errlen, "a value of a loop stands behind those that leave it");
        return NULL;
      }
  }
  return l;
}

GraphLoops *graph_loops_of(const Graph *g, Arena *a) {
  char err[256];
  Val at;
  GraphLoops *l = graph_loops(g, a, &at, err, sizeof err);
  if (!l) bug("graph %s, %%%d: %s", g->name, at, err);
  return l;
}

/* ---- what is alive ---- */
void graph_mark_live(const Graph *g, bool *live) {
  for (int i = 0; i < g->outputs.n; i++) live[g->outputs.v[i].val] = true;
  for (bool again = true; again;) {
    again = false;
    for (Val v = g->node.n - 1; v >= 0; v--)
      for (int i = 0; live[v] && i < g_node(g, v)->nin; i++) live[g_node(g, v)->in[i]] = true;
    for (Val v = 0; v < g->node.n; v++) {
      if (g_node(g, v)->op != OP_scan_next || live[v] || !live[g_node(g, v)->in[0]]) continue;
      live[v] = again = true;
    }
  }
}

double graph_flops(const Graph *g) {
  Arena *a = arena_new();
  GraphLoops *l = graph_loops_of(g, a);
  double sum = 0;
  for (Val v = 0; v < g->node.n; v++) {
    double flops = node_flops(g, v);
    for (int b = l->of[v]; b >= 0; b = l->loop[b].parent) flops *= (double)l->loop[b].steps;
    sum += flops;
  }
  arena_free(a);
  return sum;
}
