/* Building graphs: every node is appended through inference, so a graph under construction is always well
   typed. */
#include "ir/graph/ops_impl.h"

#include <string.h>

Graph *graph_new(Arena *a, const char *name) {
  Graph *g = NEW(a, Graph);
  g->arena = a;
  g->name = arena_strdup(a, name);
  return g;
}

/* What says the same in two ways is kept in the shorter: symmetric padding, dilation 1, one group. */
static void shorten_conv(OpId op, Ints *attr) {
  Ints *pad = &attr[1], *dilation = &attr[op_attr_index(op, "dilation")],
       *groups = &attr[op_attr_index(op, "groups")];
  if (pad->n == 4 && pad->v[0] == pad->v[1] && pad->v[2] == pad->v[3]) *pad = ints2(pad->v[0], pad->v[2]);
  if (dilation->n == 2 && dilation->v[0] == 1 && dilation->v[1] == 1) *dilation = (Ints){0};
  if (groups->n == 1 && groups->v[0] == 1) *groups = (Ints){0};
}

/* Equal nodes look equal: attribute lists named "axes" are sets, kept sorted. */
static const Ints *copy_attrs(Graph *g, OpId op, const Ints *attr) {
  int n = op_nattr(op);
  if (n == 0) return NULL;
  Ints *c = NEWN(g->arena, Ints, n);
  memcpy(c, attr, sizeof *c * (size_t)n);
  for (int i = 0; i < n; i++)
    if (c[i].n < 0 || c[i].n > MAX_RANK)
      bug("attribute %d of %s has %d entries", i, op_table[op].name, c[i].n);
  int axes = op_attr_index(op, "axes");
  if (axes >= 0)
    for (int i = 1; i < c[axes].n; i++)
      for (int j = i; j > 0 && c[axes].v[j] < c[axes].v[j - 1]; j--) {
        int64_t t = c[axes].v[j];
        c[axes].v[j] = c[axes].v[j - 1];
        c[axes].v[j - 1] = t;
      }
  if (op_table[op].kind == KIND_CONV) shorten_conv(op, c);
  return c;
}

Val g_try(Graph *g, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt, const Shape *shape,
          char *err, size_t errlen) {
  if (!attr && op_nattr(op) > 0) bug("operator %s built without its attributes", op_table[op].name);
  for (int i = 0; i < nin; i++)
    if (in[i] < 0 || in[i] >= g->node.n)
      bug("operand %d of %s is %%%d in a graph of %d values", i, op_table[op].name, in[i], g->node.n);
  Node n = {.op = op, .dt = dt, .nin = nin, .in = in, .attr = attr, .imm = imm, .input = -1};
  n.shape.rank = SHAPE_UNKNOWN;
  if (shape) n.shape = *shape;
  n.loc = g->loc;
  n.role = g->role;
  n.attr = copy_attrs(g, op, attr);
  if (!infer_node(g, &n, err, errlen)) return -1;
  Val *copy = nin ? NEWN(g->arena, Val, nin) : NULL;
  if (nin) memcpy(copy, in, sizeof *copy * (size_t)nin);
  n.in = copy;
  vec_push(g->arena, &g->node, n);
  return g->node.n - 1;
}

Val g_add(Graph *g, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt,
          const Shape *shape) {
  char err[512];
  Val v = g_try(g, op, in, nin, attr, imm, dt, shape, err, sizeof err);
  if (v < 0)
    bug("%s%s%s:%d: cannot build %s: %s", g->name, g->loc ? " at " : "",
        g->loc && g->loc->src ? g->loc->src->path : "", g->loc ? g->loc->line : 0, op_table[op].name, err);
  return v;
}

Val g_input(Graph *g, const char *name, InputKind kind, DType dt, const Shape *shape, const Init *init) {
  Val v = g_add(g, OP_input, NULL, 0, NULL, 0, dt, shape);
  Input in = {.name = arena_strdup(g->arena, name), .kind = kind, .val = v};
  if (init) {
    in.init = *init;
    if (init->from) in.init.from = arena_strdup(g->arena, init->from);
  }
  g->node.v[v].input = g->inputs.n;
  vec_push(g->arena, &g->inputs, in);
  return v;
}

void g_output(Graph *g, const char *name, Val v, int state) {
  if (v < 0 || v >= g->node.n) bug("output %s of graph %s is no value", name ? name : "", g->name);
  if (state >= g->inputs.n) bug("output of graph %s updates state %d of %d", g->name, state, g->inputs.n);
  if (state >= 0 && !name) name = g->inputs.v[state].name;
  if (!name) bug("output of graph %s has no name", g->name);
  Output o = {.name = arena_strdup(g->arena, name), .val = v, .state = state < 0 ? -1 : state};
  vec_push(g->arena, &g->outputs, o);
}

Val g_copy_node(Graph *g, const Graph *src, Val v, const Val *in) {
  const Node *n = &src->node.v[v];
  const Loc *loc = g->loc;
  Role role = g->role;
  g->loc = n->loc;
  g->role = n->role;
  Val c;
  if (n->op == OP_input) {
    const Input *i = &src->inputs.v[n->input];
    c = g_input(g, i->name, i->kind, n->dt, &n->shape, &i->init);
  } else {
    c = n->ext ? g_extern(g, n->ext, in, n->nin, n->dt, &n->shape)
               : g_add(g, n->op, in, n->nin, n->attr, n->imm, n->dt, &n->shape);
  }
  g->loc = loc;
  g->role = role;
  return c;
}

int g_find_input(const Graph *g, const char *name) {
  for (int i = 0; i < g->inputs.n; i++)
    if (strcmp(g->inputs.v[i].name, name) == 0) return i;
  return -1;
}

/* ---- shorthands ---- */
Val g_extern(Graph *g, const Extern *ext, const Val *in, int nin, DType dt, const Shape *shape) {
  Val v = g_add(g, OP_extern, in, nin, NULL, 0, dt, shape);
  Extern *e = NEW(g->arena, Extern);
  *e = (Extern){arena_strdup(g->arena, ext->library), arena_strdup(g->arena, ext->symbol),
                ext->vjp ? arena_strdup(g->arena, ext->vjp) : NULL};
  g_node(g, v)->ext = e;
  return v;
}

Val g_unary(Graph *g, OpId op, Val a) { return g_add(g, op, &a, 1, NULL, 0, DT_NONE, NULL); }
Val g_binary(Graph *g, OpId op, Val a, Val b) {
  return g_add(g, op, (Val[]){a, b}, 2, NULL, 0, DT_NONE, NULL);
}
Val g_select(Graph *g, Val c, Val a, Val b) {
  return g_add(g, OP_select, (Val[]){c, a, b}, 3, NULL, 0, DT_NONE, NULL);
}
Val g_cast(Graph *g, Val a, DType dt) { return g_add(g, OP_cast, &a, 1, NULL, 0, dt, NULL); }
Val g_fill(Graph *g, DType dt, const Shape *s, Imm value) {
  return g_add(g, OP_fill, NULL, 0, NULL, value, dt, s);
}
Val g_fill_like(Graph *g, Val a, Imm value) {
  Shape s = g_node(g, a)->shape;
  return g_fill(g, g_node(g, a)->dt, &s, value);
}
Val g_reshape(Graph *g, Val a, const Shape *s) { return g_add(g, OP_reshape, &a, 1, NULL, 0, DT_NONE, s); }
Val g_transpose(Graph *g, Val a, const Ints *perm) {
  return g_add(g, OP_transpose, &a, 1, perm, 0, DT_NONE, NULL);
}
Val g_broadcast(Graph *g, Val a, const Shape *s, const Ints *dims) {
  return g_add(g, OP_broadcast, &a, 1, dims, 0, DT_NONE, s);
}
Val g_reduce(Graph *g, OpId op, Val a, const Ints *axes) {
  return g_add(g, op, &a, 1, axes, 0, DT_NONE, NULL);
}

Val g_slice(Graph *g, Val a, const Ints *start, const Ints *stop, const Ints *step) {
  Ints attr[3] = {*start, *stop, {.n = start->n}};
  for (int i = 0; i < start->n; i++) attr[2].v[i] = 1;
  if (step) attr[2] = *step;
  return g_add(g, OP_slice, &a, 1, attr, 0, DT_NONE, NULL);
}

Val g_pad(Graph *g, Val a, const Ints *lo, const Ints *hi, const Ints *interior, Imm value) {
  Ints attr[3] = {*lo, *hi, {.n = lo->n}};
  if (interior) attr[2] = *interior;
  return g_add(g, OP_pad, &a, 1, attr, value, DT_NONE, NULL);
}

Val g_concat(Graph *g, const Val *v, int n, int axis) {
  Ints attr = ints1(axis);
  return g_add(g, OP_concat, v, n, &attr, 0, DT_NONE, NULL);
}

Val g_dot(Graph *g, Val a, Val b, const Ints *lb, const Ints *rb, const Ints *lc, const Ints *rc) {
  Ints attr[4] = {*lb, *rb, *lc, *rc};
  return g_add(g, OP_dot_general, (Val[]){a, b}, 2, attr, 0, DT_NONE, NULL);
}

Ints ints1(int64_t a) { return (Ints){1, {a}}; }
Ints ints2(int64_t a, int64_t b) { return (Ints){2, {a, b}}; }
Ints ints_range(int n) {
  Ints r = {.n = n};
  for (int i = 0; i < n; i++) r.v[i] = i;
  return r;
}
