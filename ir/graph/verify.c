/* The graph verifier: every invariant that passes and code generation rely on, checked from scratch. */
#include "ir/graph/collective.h"
#include "ir/graph/loops.h"
#include "ir/graph/ops_impl.h"

#include <string.h>

typedef struct {
  const Graph *g;
  char *err;
  size_t errlen;
} Check;

/* Writes "graph name, where: message". */
static __attribute__((format(printf, 3, 4))) bool fail(const Check *c, const char *where, const char *fmt,
                                                       ...) {
  va_list ap;
  int n = snprintf(c->err, c->errlen, "graph %.60s, %s: ", c->g->name, where);
  va_start(ap, fmt);
  if (n >= 0 && (size_t)n < c->errlen) vsnprintf(c->err + n, c->errlen - (size_t)n, fmt, ap);
  va_end(ap);
  return false;
}

static bool valid_type(DType dt, const Shape *s) {
  return dt > DT_NONE && dt < DT_COUNT && s->rank >= 0 && s->rank <= MAX_RANK;
}

static bool verify_attrs(const Check *c, const char *where, const Node *n) {
  int na = op_nattr(n->op);
  if ((n->attr != NULL) != (na > 0))
    return fail(c, where, n->attr ? "unexpected attributes" : "no attributes");
  for (int i = 0; i < na; i++)
    if (n->attr[i].n < 0 || n->attr[i].n > MAX_RANK)
      return fail(c, where, "attribute %d has %d entries", i, n->attr[i].n);
  if (!op_has_imm(n->op) && n->imm != 0)
    return fail(c, where, "has a value (%g), which it does not use", (double)n->imm);
  return true;
}

static bool verify_node(const Check *c, Val v) {
  const Graph *g = c->g;
  const Node *n = g_node(g, v);
  char where[64], msg[400];
  snprintf(where, sizeof where, "%%%d", v);
  if ((int)n->op < 0 || n->op >= OP_COUNT)
    return fail(c, where, "operator number %d does not exist", (int)n->op);
  snprintf(where, sizeof where, "%%%d = %s", v, op_table[n->op].name);
  if (!valid_type(n->dt, &n->shape))
    return fail(c, where, "has no valid type (element type %d, rank %d)", (int)n->dt, n->shape.rank);
  if ((int)n->role < 0 || n->role >= (Role)ROLES)
    return fail(c, where, "role %d does not exist", (int)n->role);
  if (n->nin < 0 || (n->nin > 0 && !n->in)) return fail(c, where, "has no operand list");
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] < 0 || n->in[i] >= v)
      return fail(c, where, "operand %d is %%%d, which is not defined before it", i + 1, n->in[i]);
  if (!verify_attrs(c, where, n)) return false;
  if ((n->op == OP_extern) != (n->ext != NULL))
    return fail(c, where, n->ext ? "has a library function, which it does not use" : "names no function");
  if (n->ext && (!n->ext->library || !*n->ext->library || !n->ext->symbol || !*n->ext->symbol))
    return fail(c, where, "names no library or no function");
  if (n->ext && n->ext->vjp && extern_vjp_count(n->ext->vjp) != n->nin)
    return fail(c, where, "has %d operands, but %d derivatives", n->nin, extern_vjp_count(n->ext->vjp));
  if (n->op == OP_input) {
    if (n->input < 0 || n->input >= g->inputs.n || g->inputs.v[n->input].val != v)
      return fail(c, where, "input %d of the table is not this value", n->input);
  } else if (n->input != -1) {
    return fail(c, where, "is not an input, but refers to input %d", n->input);
  }
  Node again = *n;
  if (!infer_node(g, &again, msg, sizeof msg)) return fail(c, where, "%s", msg);
  return true;
}

/* Is the shape that of one rank's part (Graph.spread)? */
static bool is_part(const Graph *g, const Shape *part, const Shape *whole) {
  if (part->rank != 1) return false;
  for (Val v = 0; v < g->node.n; v++) {
    int64_t ranks = collective_ranks(g_node(g, v));
    if (ranks > 1 && part->dim[0] == div_up(shape_count(whole), ranks)) return true;
  }
  return false;
}

/* What a copy leads to is a state of its type that is no copy. */
static bool verify_copy(const Check *c, const char *where, const Input *in) {
  const Graph *g = c->g;
  const Node *n = g_node(g, in->val);
  const Input *from = in;
  for (int steps = 0; from->init.kind == INIT_COPY; steps++) {
    int k = from->init.from ? g_find_input(g, from->init.from) : -1;
    if (k < 0 || !input_is_state(g->inputs.v[k].kind))
      return fail(c, where, "is a copy of \"%.100s\", which is no state of this graph",
                  from->init.from ? from->init.from : "");
    if (steps == g->inputs.n) return fail(c, where, "is a copy of a copy of itself");
    from = &g->inputs.v[k];
    if (from->val < 0 || from->val >= g->node.n) return fail(c, where, "is a copy of what does not exist");
    const Node *of = g_node(g, from->val);
    bool part = is_part(g, &n->shape, &of->shape);
    if (of->dt != n->dt || (!part && !shape_eq(&of->shape, &n->shape)))
      return fail(c, where, "is a copy of \"%.100s\", which has another type", from->name);
  }
  return true;
}

static bool verify_input(const Check *c, int i) {
  const Graph *g = c->g;
  const Input *in = &g->inputs.v[i];
  char where[160];
  snprintf(where, sizeof where, "input %d", i);
  if (!in->name || !*in->name) return fail(c, where, "has no name");
  snprintf(where, sizeof where, "input \"%.100s\"", in->name);
  if ((int)in->kind < 0 || in->kind >= (InputKind)INPUT_KINDS)
    return fail(c, where, "kind %d does not exist", (int)in->kind);
  if ((int)in->init.kind < 0 || in->init.kind >= (InitKind)INIT_KINDS)
    return fail(c, where, "initializer %d does not exist", (int)in->init.kind);
  if (in->val < 0 || in->val >= g->node.n || g_node(g, in->val)->op != OP_input ||
      g_node(g, in->val)->input != i)
    return fail(c, where, "value %%%d is not this input", in->val);
  for (int k = 0; k < i; k++) {
    if (strcmp(g->inputs.v[k].name, in->name) == 0) return fail(c, where, "the name occurs twice");
    if (g->inputs.v[k].val >= in->val) return fail(c, where, "the table is not in the order of the values");
  }
  const Node *n = g_node(g, in->val);
  if (in->kind == IN_PARAM && !dtype_is_float(n->dt))
    return fail(c, where, "a param is trained, so it must be a float, not %s", dtype_name(n->dt));
  if (in->kind == IN_RUNTIME && n->shape.rank != 0)
    return fail(c, where, "a run-time value must be a scalar");
  if (!input_is_state(in->kind) && (in->init.kind != INIT_NONE || in->init.stream != 0))
    return fail(c, where, "only state has an initializer");
  const char *misfit = init_misfit(n->dt, &in->init);
  if (misfit) return fail(c, where, "cannot begin so as %s: %s", dtype_name(n->dt), misfit);
  if (in->init.kind == INIT_COPY &&
      (!in->init.from || !*in->init.from || strcmp(in->init.from, in->name) == 0))
    return fail(c, where, "is initialized by copying nothing or itself");
  return in->init.kind != INIT_COPY || verify_copy(c, where, in);
}

static bool verify_output(const Check *c, int i) {
  const Graph *g = c->g;
  const Output *o = &g->outputs.v[i];
  char where[160], a[128], b[128];
  snprintf(where, sizeof where, "output %d", i);
  if (!o->name || !*o->name) return fail(c, where, "has no name");
  snprintf(where, sizeof where, "output \"%.100s\"", o->name);
  if (o->val < 0 || o->val >= g->node.n) return fail(c, where, "value %%%d does not exist", o->val);
  if (o->state < -1 || o->state >= g->inputs.n) return fail(c, where, "state %d does not exist", o->state);
  for (int k = 0; k < i; k++)
    if (g->outputs.v[k].state == o->state && strcmp(g->outputs.v[k].name, o->name) == 0)
      return fail(c, where, o->state < 0 ? "the name occurs twice" : "the state is updated twice");
  if (o->state < 0) return true;
  const Input *st = &g->inputs.v[o->state];
  const Node *from = g_node(g, o->val), *to = g_node(g, st->val);
  if (!input_is_state(st->kind))
    return fail(c, where, "updates \"%.100s\", which is not a param, buffer or slot", st->name);
  if (strcmp(st->name, o->name) != 0)
    return fail(c, where, "updates state \"%.100s\", of another name", st->name);
  if (from->dt != to->dt || !shape_eq(&from->shape, &to->shape))
    return fail(c, where, "the state is %s and cannot become %%%d, %s", type_str(to->dt, &to->shape, a),
                o->val, type_str(from->dt, &from->shape, b));
  return true;
}

static bool verify_loops(const Check *c) {
  Arena *a = arena_new();
  char where[64], msg[256];
  Val at;
  const GraphLoops *l = graph_loops(c->g, a, &at, msg, sizeof msg);
  bool ok = l != NULL;
  for (int i = 0; i < c->g->outputs.n && ok; i++) {
    ok = l->of[at = c->g->outputs.v[i].val] < 0;
    snprintf(msg, sizeof msg, "is a value of a loop's step, so no result");
  }
  arena_free(a);
  if (ok) return true;
  snprintf(where, sizeof where, "%%%d = %s", at, op_table[g_node(c->g, at)->op].name);
  return fail(c, where, "%s", msg);
}

bool graph_verify(const Graph *g, char *err, size_t errlen) {
  Check c = {g, err, errlen};
  for (Val v = 0; v < g->node.n; v++)
    if (!verify_node(&c, v)) return false;
  for (int i = 0; i < g->inputs.n; i++)
    if (!verify_input(&c, i)) return false;
  for (int i = 0; i < g->outputs.n; i++)
    if (!verify_output(&c, i)) return false;
  return !graph_has_loops(g) || verify_loops(&c);
}
