/* jepac ir --format: a graph for Graphviz (dot) or for other programs (JSON). */
#include "cli/cli.h"
#include "ir/graph/ops_impl.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const role_colour[ROLES] = {"white", "lightblue",
                                               "lightgrey"}; /* forward, gradient, update */

static void dot_text(StrBuf *b, const char *s) {
  for (; *s; s++) sb_printf(b, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static void write_dot(const Graph *g, StrBuf *b) {
  char type[128];
  sb_printf(b, "digraph \"");
  dot_text(b, g->name);
  sb_printf(b, "\" {\n  node [shape=box, style=filled, fontname=monospace];\n");
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    bool input = n->op == OP_input;
    sb_printf(b, "  v%d [label=\"%%%d ", v, v);
    dot_text(b, input ? g->inputs.v[n->input].name : op_table[n->op].name);
    sb_printf(b, "\\n%s", type_str(n->dt, &n->shape, type));
    if (n->loc && n->loc->src) {
      sb_printf(b, "\\n");
      dot_text(b, n->loc->src->path);
      sb_printf(b, ":%d", n->loc->line);
    }
    sb_printf(b, "\", fillcolor=%s%s];\n", input ? "khaki" : role_colour[n->role],
              input ? ", shape=ellipse" : "");
    for (int i = 0; i < n->nin; i++) sb_printf(b, "  v%d -> v%d;\n", n->in[i], v);
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    sb_printf(b, "  r%d [label=\"%s", i, o->state >= 0 ? "new " : "");
    dot_text(b, o->state >= 0 ? g->inputs.v[o->state].name : o->name);
    sb_printf(b, "\", shape=ellipse, fillcolor=palegreen];\n  v%d -> r%d;\n", o->val, i);
  }
  sb_printf(b, "}\n");
}

static json_t *integers(const int64_t *v, int n) {
  json_t *list = json_array();
  for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(v[i]));
  return list;
}

static json_t *node_json(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  json_t *o = json_object(), *in = json_array();
  json_object_set_new(o, "value", json_integer(v));
  json_object_set_new(o, "op", json_string(op_table[n->op].name));
  json_object_set_new(o, "dtype", json_string(dtype_name(n->dt)));
  json_object_set_new(o, "shape", integers(n->shape.dim, n->shape.rank));
  for (int i = 0; i < n->nin; i++) json_array_append_new(in, json_integer(n->in[i]));
  json_object_set_new(o, "operands", in);
  for (int i = 0; i < op_nattr(n->op); i++) {
    char name[32];
    json_object_set_new(o, op_attr_name(n->op, i, name), integers(n->attr[i].v, n->attr[i].n));
  }
  if (op_has_imm(n->op) && isfinite(n->imm)) json_object_set_new(o, "immediate", json_real(n->imm));
  else if (op_has_imm(n->op))
    json_object_set_new(o, "immediate", json_string(isnan(n->imm) ? "nan" : n->imm < 0 ? "-inf" : "inf"));
  if (n->op == OP_input) {
    json_object_set_new(o, "name", json_string(g->inputs.v[n->input].name));
    json_object_set_new(o, "kind", json_string(input_kind_names[g->inputs.v[n->input].kind]));
  }
  if (n->ext) {
    json_object_set_new(o, "library", json_string(n->ext->library));
    json_object_set_new(o, "symbol", json_string(n->ext->symbol));
  }
  json_object_set_new(o, "role", json_string(role_names[n->role]));
  if (n->loc && n->loc->src) {
    StrBuf at = {0};
    print_loc(&at, n->loc);
    json_object_set_new(o, "line", json_string(at.s));
    sb_free(&at);
  }
  return o;
}

static void write_json(const Graph *g, StrBuf *b) {
  json_t *top = json_object(), *nodes = json_array(), *results = json_array();
  for (Val v = 0; v < g->node.n; v++) json_array_append_new(nodes, node_json(g, v));
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *x = &g->outputs.v[i];
    json_t *o = json_object();
    json_object_set_new(o, x->state >= 0 ? "state" : "name",
                        json_string(x->state >= 0 ? g->inputs.v[x->state].name : x->name));
    json_object_set_new(o, "value", json_integer(x->val));
    json_array_append_new(results, o);
  }
  json_object_set_new(top, "graph", json_string(g->name));
  json_object_set_new(top, "nodes", nodes);
  json_object_set_new(top, "results", results);
  char *text = json_dumps(top, JSON_COMPACT);
  if (!text) bug("ir --format json: text that is no UTF-8");
  sb_printf(b, "%s\n", text);
  free(text);
  json_decref(top);
}

void cli_graph_text(const Graph *g, const char *format, StrBuf *b) {
  if (!format || !strcmp(format, "text")) graph_print(g, b);
  else if (!strcmp(format, "dot")) write_dot(g, b);
  else write_json(g, b);
}
