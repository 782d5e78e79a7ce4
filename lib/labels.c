/* A class is chosen where a model compares its label with 0, 1, 2, ...: `iota == label`, as cross_entropy and one_hot do. */
#include "lib/labels.h"

#include "lib/tensors.h"

#include <string.h>

/* Through operators that only place elements. */
static Val origin(const Graph *g, Val v) {
  for (;;) {
    const Node *n = g_node(g, v);
    if (n->op != OP_broadcast && n->op != OP_reshape && n->op != OP_cast && n->op != OP_stop_gradient)
      return v;
    v = n->in[0];
  }
}

static bool is_input(const Graph *g, Val v, int input) {
  const Node *n = g_node(g, origin(g, v));
  return n->op == OP_input && n->input == input;
}

/* The other operand of a comparison with the input, or -1. */
static Val compared(const Graph *g, const Node *n, int input) {
  if (n->op != OP_eq && n->op != OP_ne) return -1;
  for (int k = 0; k < 2; k++)
    if (is_input(g, n->in[k], input)) return origin(g, n->in[1 - k]);
  return -1;
}

/* 0: the input chooses no class. */
static int64_t classes_of(const Graph *g, int input) {
  int64_t classes = 0;
  for (Val v = 0; v < g->node.n; v++) {
    Val other = compared(g, g_node(g, v), input);
    const Node *o = other < 0 ? NULL : g_node(g, other);
    if (!o || o->op != OP_iota) continue;
    int64_t n = o->shape.dim[o->attr[0].v[0]];
    if (!classes || n < classes) classes = n;
  }
  return classes;
}

/* Like ignore_index of cross_entropy. */
static bool is_meant(const Graph *g, int input, int64_t value) {
  for (Val v = 0; v < g->node.n; v++) {
    Val other = compared(g, g_node(g, v), input);
    if (other >= 0 && g_node(g, other)->op == OP_fill && g_node(g, other)->imm == (Imm)value) return true;
  }
  return false;
}

bool labels_stray(const Graph *g, int input, const double *cell, StrayLabel *out) {
  const Input *in = &g->inputs.v[input];
  const Node *n = g_node(g, in->val);
  if (in->kind != IN_ARG || !dtype_is_int(n->dt)) return false;
  int64_t classes = classes_of(g, input), count = shape_count(&n->shape);
  for (int64_t i = 0; i < count && classes; i++) {
    int64_t label = cell_int(n->dt, cell[i]);
    if ((label >= 0 && label < classes) || is_meant(g, input, label)) continue;
    *out = (StrayLabel){in->name, i, label, classes};
    return true;
  }
  return false;
}

bool labels_stray_of(const Compiled *k, Arena *a, StrayLabel *out) {
  const Graph *g = k->program->graph;
  for (int i = 0; i < g->inputs.n; i++) {
    void *data;
    const PlanTensor *t = tensors_find(k->session, PT_ARG, g->inputs.v[i].name, &data);
    if (!t || !dtype_is_int(t->dt)) continue;
    double *v = NEWN(a, double, shape_count(&t->shape));
    tensors_to_cells(v, t->dt, t->dt, data, shape_count(&t->shape));
    if (labels_stray(g, i, v, out)) return true;
  }
  return false;
}
