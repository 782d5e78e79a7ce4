/* Graphs inside nodes, and sequences. A branch is chosen and a loop written out when the graph is made; sequences are
   the language's lists. */
#include "onnx/special.h"

#include <string.h>

enum { MOST_ROUNDS = 512 };

static const char *print(Import *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *print(Import *im, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[4096];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return arena_strdup(im->a, text);
}

static const GraphProto *graph_of(const OxNode *n, const char *name) {
  const AttributeProto *a = ox_attribute(n->proto, name);
  return a ? a->g : NULL;
}

/* ---- graphs: their nodes come here, under names of their own ---- */

/* Names that the graph gives, with a prefix; others are of the graph around it. */
typedef struct {
  Import *im;
  const GraphProto *g;
  const char *prefix;
  OxNames *own;
} Inside;

static const char *inside_name(const Inside *in, const char *name) {
  return *name && ox_names_find(in->own, name) >= 0 ? print(in->im, "%s%s", in->prefix, name) : name;
}

static void own_names(Inside *in) {
  const GraphProto *g = in->g;
  in->own = ox_names_new(in->im->a);
  for (size_t i = 0; i < g->n_input; i++)
    if (g->input[i]->name) ox_names_set(in->own, g->input[i]->name, 1);
  for (size_t i = 0; i < g->n_initializer; i++)
    if (g->initializer[i]->name) ox_names_set(in->own, g->initializer[i]->name, 1);
  for (size_t i = 0; i < g->n_node; i++)
    for (size_t k = 0; k < g->node[i]->n_output; k++)
      if (*g->node[i]->output[k]) ox_names_set(in->own, g->node[i]->output[k], 1);
}

static GraphProto *renamed_graph(Inside *in, const GraphProto *g);

static NodeProto *renamed(Inside *in, const NodeProto *p) {
  NodeProto *q = NEW(in->im->a, NodeProto);
  *q = *p;
  q->input = NEWN(in->im->a, char *, p->n_input + 1);
  q->output = NEWN(in->im->a, char *, p->n_output + 1);
  for (size_t i = 0; i < p->n_input; i++) q->input[i] = (char *)inside_name(in, p->input[i]);
  for (size_t i = 0; i < p->n_output; i++) q->output[i] = (char *)inside_name(in, p->output[i]);
  q->attribute = NEWN(in->im->a, AttributeProto *, p->n_attribute + 1);
  for (size_t i = 0; i < p->n_attribute; i++) {
    q->attribute[i] = p->attribute[i];
    if (!p->attribute[i]->g) continue;
    AttributeProto *a = NEW(in->im->a, AttributeProto);
    *a = *p->attribute[i];
    a->g = renamed_graph(in, a->g);
    q->attribute[i] = a;
  }
  return q;
}

/* A graph further inside reads names of this one. */
static GraphProto *renamed_graph(Inside *in, const GraphProto *g) {
  GraphProto *h = NEW(in->im->a, GraphProto);
  *h = *g;
  h->node = NEWN(in->im->a, NodeProto *, g->n_node + 1);
  if (++in->im->depth < 24)
    for (size_t i = 0; i < g->n_node; i++) h->node[i] = renamed(in, g->node[i]);
  else ox_problem(in->im, NULL, "graphs nest too deeply");
  in->im->depth--;
  h->output = NEWN(in->im->a, Onnx__ValueInfoProto *, g->n_output + 1);
  for (size_t i = 0; i < g->n_output; i++) {
    h->output[i] = NEW(in->im->a, Onnx__ValueInfoProto);
    *h->output[i] = *g->output[i];
    if (g->output[i]->name) h->output[i]->name = (char *)inside_name(in, g->output[i]->name);
  }
  return h;
}

/* Makes the graph's results from the values given for its inputs; out: a value for each output. */
static bool run_graph(Import *im, const OxNode *n, const GraphProto *g, const int *given, int ngiven, int *out) {
  Inside in = {im, g, print(im, "%s/%d/", n->label, im->value.n), NULL};
  if (++im->depth > 24) return ox_problem(im, n, "graphs nest too deeply"), false;
  int before = im->problems;
  own_names(&in);
  if ((int)g->n_input > ngiven) return ox_problem(im, n, "its graph has %zu inputs, but %d values", g->n_input, ngiven), false;
  for (size_t i = 0; i < g->n_input; i++)
    if (g->input[i]->name) ox_names_set(im->names, inside_name(&in, g->input[i]->name), given[i]);
  for (size_t i = 0; i < g->n_initializer; i++) {
    TensorProto *t = NEW(im->a, TensorProto);
    *t = *g->initializer[i];
    int64_t count;
    if (!t->name || !ox_tensor_check(im, t, t->name, &count)) continue;
    const int at = ox_value(im, inside_name(&in, t->name));
    OxValue *v = &im->value.v[at];
    v->kind = OX_CONST;
    v->tensor = t;
    v->elem = t->data_type;
    v->rank = (int)t->n_dims;
    v->dim = t->dims;
  }
  int from = im->node.n;
  for (size_t i = 0; i < g->n_node && im->problems == before; i++) ox_add_node(im, renamed(&in, g->node[i]), "", n->scope);
  if (im->problems == before) ox_emit_nodes(im, from, im->node.n);
  for (size_t i = 0; i < g->n_output && im->problems == before; i++) {
    const char *name = g->output[i]->name ? inside_name(&in, g->output[i]->name) : "";
    out[i] = ox_names_find(im->names, name);
    if (out[i] < 0 || im->value.v[out[i]].kind == OX_UNSET) ox_problem(im, n, "nothing makes '%s' of its graph", name);
  }
  im->depth--;
  return im->problems == before;
}

/* The node's result k is that value: what reads the one reads the other. */
static void become(Import *im, const OxNode *n, int k, int value) {
  if (k >= n->nout || n->out[k] < 0) return;
  OxValue *v = &im->value.v[n->out[k]];
  int made_by = v->made_by;
  const char *name = v->name;
  OxValue from = im->value.v[value];
  if (from.kind == OX_CONST || from.known) {
    *v = from;
    v->name = name;
    v->made_by = made_by;
    return;
  }
  OxStatement s = {.node = (int)(n - im->node.v), .text = ox_ref(im, value), .nout = 1, .out = NEWN(im->a, int, 1)};
  s.out[0] = n->out[k];
  v->kind = OX_RESULT;
  v->elem = from.elem;
  v->rank = from.rank;
  v->sequence = from.sequence;
  if (im->value.v[value].kind == OX_CONST) ox_wants_state(im, value);
  ox_push(im, s);
}

/* A node that adds others may find the list of nodes moved. */
static OxNode stay(Import *im, const OxNode *n) {
  (void)im;
  return *n;
}

static const OxNode *again(Import *im, const OxNode *n) {
  for (int i = 0; i < im->node.n; i++)
    if (im->node.v[i].proto == n->proto && im->node.v[i].out == n->out) return &im->node.v[i];
  return n;
}

static bool truth(Import *im, const OxNode *n, int i, bool *known) {
  const OxKnown *k = ox_has(n, i) ? ox_known(im, n->in[i]) : NULL;
  *known = k && k->n == 1 && !k->item[0].text;
  return *known && k->item[0].num != 0;
}

const char *ox_if(Import *im, const OxNode *at) {
  OxNode n = stay(im, at);
  bool known, yes = truth(im, &n, 0, &known);
  const GraphProto *branch[2] = {graph_of(&n, "then_branch"), graph_of(&n, "else_branch")};
  int out[2][32];
  if (!branch[0] || !branch[1] || n.nout > 32 || branch[0]->n_output > 32 || branch[1]->n_output > 32 ||
      (int)branch[0]->n_output < n.nout || (int)branch[1]->n_output < n.nout)
    return ox_problem(im, &n, "lacks a branch"), NULL;
  if (known) {
    if (!run_graph(im, &n, branch[!yes], NULL, 0, out[0])) return NULL;
    for (int k = 0; k < n.nout; k++) become(im, again(im, &n), k, out[0][k]);
    return "";
  }
  /* both branches are computed, and one is taken */
  for (int b = 0; b < 2; b++)
    if (!run_graph(im, &n, branch[b], NULL, 0, out[b])) return NULL;
  for (int k = 0; k < n.nout; k++) {
    int in[3] = {n.in[0], out[0][k], out[1][k]};
    OxNode choose = {.proto = n.proto, .in = in, .nin = 3, .label = n.label, .scope = n.scope};
    if (n.out[k] < 0) continue;
    if (im->value.v[in[1]].sequence) return ox_problem(im, &n, "chooses between sequences"), NULL;
    const char *c = ox_tensor(im, &choose, 0), *a = ox_tensor(im, &choose, 1), *b = ox_tensor(im, &choose, 2);
    if (!c || !a || !b) return NULL;
    OxStatement s = {.node = (int)(again(im, &n) - im->node.v), .text = print(im, "onnx_choose(%s, %s, %s)", c, a, b), .nout = 1, .out = NEWN(im->a, int, 1)};
    s.out[0] = n.out[k];
    OxValue *v = &im->value.v[n.out[k]];
    v->kind = OX_RESULT;
    v->elem = im->value.v[in[1]].elem;
    v->rank = im->value.v[in[1]].rank;
    ox_push(im, s);
  }
  return "";
}

static int known_value(Import *im, double x, int elem) {
  OxKnown *k = NEW(im->a, OxKnown);
  k->n = 1;
  k->item = NEWN(im->a, OxItem, 1);
  k->item[0].num = x;
  int v = ox_new_value(im, "");
  im->value.v[v] = (OxValue){.name = "", .kind = OX_RESULT, .known = k, .elem = elem, .rank = 0, .made_by = -1};
  return v;
}

static int result_value(Import *im, const OxNode *n, const char *text, int like, int rank) {
  int v = ox_new_value(im, im->value.v[like].name);
  im->value.v[v].kind = OX_RESULT;
  im->value.v[v].elem = im->value.v[like].elem;
  im->value.v[v].rank = rank;
  OxStatement s = {.node = (int)(again(im, n) - im->node.v), .text = text, .nout = 1, .out = NEWN(im->a, int, 1)};
  s.out[0] = v;
  ox_push(im, s);
  return v;
}

static const char *operand(Import *im, const OxNode *n, int value) {
  OxNode one = {.proto = n->proto, .in = &value, .nin = 1, .label = n->label, .scope = n->scope};
  return ox_tensor(im, &one, 0);
}

/* Rows of a result, one a round, as one tensor; NULL after a problem. */
static bool stacked(Import *im, const OxNode *n, int k, const int *row, int rows, int64_t axis, bool backwards) {
  StrBuf b = {0};
  if (!rows) return ox_problem(im, n, "collects the results of no round"), false;
  for (int i = 0; i < rows; i++) {
    const char *t = operand(im, n, row[backwards ? rows - 1 - i : i]);
    if (!t) return false;
    sb_printf(&b, "%s%s", i ? ", " : "", t);
  }
  int rank = im->value.v[row[0]].rank;
  if (n->out[k] >= 0) {
    int v = result_value(im, n, arena_printf(im->a, "stack([%s], %lld)", b.s, (long long)axis), row[0], rank < 0 ? -1 : rank + 1);
    become(im, again(im, n), k, v);
  }
  sb_free(&b);
  return true;
}

const char *ox_loop(Import *im, const OxNode *at) {
  OxNode n = stay(im, at);
  const GraphProto *g = graph_of(&n, "body");
  const OxKnown *count = ox_has(&n, 0) ? ox_known(im, n.in[0]) : NULL;
  bool known, go = !ox_has(&n, 1) || truth(im, &n, 1, &known);
  int carried = n.nin - 2, most = MOST_ROUNDS;
  if (!g || carried < 0 || carried > 60 || (int)g->n_output < 1 + carried || g->n_output > 64 || n.nout > 64 || (int)g->n_output - 1 < n.nout)
    return ox_problem(im, &n, "its body does not fit it"), NULL;
  if (ox_has(&n, 1) && !known) return ox_problem(im, &n, "whether it goes on must be known when the graph is made"), NULL;
  if (ox_has(&n, 0)) {
    if (!count || count->n != 1 || count->item[0].text) return ox_problem(im, &n, "its number of rounds must be known when the graph is made"), NULL;
    if (count->item[0].num > MOST_ROUNDS) return ox_problem(im, &n, "%.0f rounds; at most %d are written out", count->item[0].num, MOST_ROUNDS), NULL;
    most = count->item[0].num < 0 ? 0 : (int)count->item[0].num;
  }
  int given[64], out[64], rounds = 0, scans = (int)g->n_output - 1 - carried;
  int *row = NEWN(im->a, int, (scans + 1) * (MOST_ROUNDS + 1));
  for (int i = 0; i < carried; i++) given[2 + i] = n.in[2 + i];
  given[1] = ox_has(&n, 1) ? n.in[1] : known_value(im, 1, 9);
  for (; go && rounds < most; rounds++) {
    given[0] = known_value(im, rounds, 7);
    if (!run_graph(im, &n, g, given, 2 + carried, out)) return NULL;
    const OxKnown *k = ox_known(im, out[0]);
    if (!k || k->n != 1 || k->item[0].text) return ox_problem(im, &n, "whether it goes on depends on values"), NULL;
    go = k->item[0].num != 0;
    given[1] = out[0];
    for (int i = 0; i < carried; i++) given[2 + i] = out[1 + i];
    for (int i = 0; i < scans; i++) row[i * MOST_ROUNDS + rounds] = out[1 + carried + i];
  }
  if (go && !ox_has(&n, 0)) return ox_problem(im, &n, "does not end within %d rounds", MOST_ROUNDS), NULL;
  for (int i = 0; i < carried; i++) become(im, again(im, &n), i, given[2 + i]);
  for (int i = 0; i < scans && carried + i < n.nout; i++)
    if (!stacked(im, &n, carried + i, row + i * MOST_ROUNDS, rounds, 0, false)) return NULL;
  return "";
}

static int64_t item_of(const OxNode *n, const char *name, size_t i) {
  const AttributeProto *a = ox_attribute(n->proto, name);
  return a && i < a->n_ints ? a->ints[i] : 0;
}

const char *ox_scan(Import *im, const OxNode *at) {
  OxNode n = stay(im, at);
  const GraphProto *g = graph_of(&n, "body");
  int scanned = (int)ox_int(&n, "num_scan_inputs", 0), first = im->opset < 9, carried = n.nin - first - scanned;
  if (im->opset < 9) return ox_problem(im, &n, "is of opset 8, which had a batch axis of its own"), NULL;
  if (!g || scanned < 1 || scanned > 30 || carried < 0 || carried > 30 || (int)g->n_output < carried || g->n_output > 60 || n.nout > 60 ||
      (int)g->n_output < n.nout)
    return ox_problem(im, &n, "its body does not fit it"), NULL;
  const OxValue *x = &im->value.v[n.in[first + carried]];
  int64_t axis = item_of(&n, "scan_input_axes", 0);
  if (axis < 0) axis += x->rank;
  int64_t rounds = x->dim && axis >= 0 && axis < x->rank ? x->dim[axis] : -1;
  if (rounds < 1 || rounds > MOST_ROUNDS) return ox_problem(im, &n, "its number of rounds is not known, or more than %d", MOST_ROUNDS), NULL;
  int given[64], out[64], scans = (int)g->n_output - carried;
  int *row = NEWN(im->a, int, (scans + 1) * MOST_ROUNDS);
  for (int i = 0; i < carried; i++) given[i] = n.in[first + i];
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < scanned; i++) {
      int in = n.in[first + carried + i];
      const char *t = operand(im, &n, in);
      if (!t) return NULL;
      int64_t along = item_of(&n, "scan_input_axes", (size_t)i), place = item_of(&n, "scan_input_directions", (size_t)i) ? rounds - 1 - r : r;
      given[carried + i] = result_value(im, &n, print(im, "onnx_take(%s, %lld, %lld)", t, (long long)place, (long long)along), in,
                                        im->value.v[in].rank > 0 ? im->value.v[in].rank - 1 : -1);
    }
    if (!run_graph(im, &n, g, given, carried + scanned, out)) return NULL;
    for (int i = 0; i < carried; i++) given[i] = out[i];
    for (int i = 0; i < scans; i++) row[i * MOST_ROUNDS + r] = out[carried + i];
  }
  for (int i = 0; i < carried; i++) become(im, again(im, &n), i, given[i]);
  for (int i = 0; i < scans && carried + i < n.nout; i++)
    if (!stacked(im, &n, carried + i, row + i * MOST_ROUNDS, (int)rounds, item_of(&n, "scan_output_axes", (size_t)i),
                 item_of(&n, "scan_output_directions", (size_t)i) != 0))
      return NULL;
  return "";
}

/* ---- sequences ---- */

const char *ox_sequence(Import *im, const OxNode *n) {
  static const struct {
    const char *op, *text;
    bool sequence;
  } all[] = {
      {"ConcatFromSequence", "onnx_concat_sequence(@0{axis}{new_axis})", false},
      {"SequenceAt", "@0[%1]", false},
      {"SequenceConstruct", "[@*]", true},
      {"SequenceEmpty", "[]", true},
      {"SequenceErase", "onnx_erase(@0, %1)", true},
      {"SequenceInsert", "onnx_insert(@0, @1, %2)", true},
      {"SequenceLength", "fill([], len(@0), i64)", false},
      {"SplitToSequence", "onnx_split_sequence(@0, %1{axis}{keepdims})", true},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].op, n->proto->op_type)) continue;
    if (n->out[0] >= 0) im->value.v[n->out[0]].sequence = all[i].sequence;
    return ox_fill(im, n, all[i].text);
  }
  return NULL;
}
