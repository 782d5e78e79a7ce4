/* An ONNX file read through its schema: values by name, nodes in an order that can be computed, functions written out. */
#include "onnx/import.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32, STACK_BYTES = 3 << 20, MOST_NODES = 1 << 20 };

void ox_problem(Import *im, const OxNode *n, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[512];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  im->problems++;
  if (n) diag_error(im->d, NULL, "%s: node '%s' (%s): %s", im->what->model, n->label, n->proto->op_type, text);
  else diag_error(im->d, NULL, "%s: %s", im->what->model, text);
}

/* ---- the file ---- */

/* Messages inside messages are read by recursion; a file of nothing else must not end the process. */
typedef struct {
  Arena *a;
  const char *stack;
  size_t left;
} Reading;

static void *take(void *ctx, size_t n) {
  Reading *r = ctx;
  char here;
  ptrdiff_t deep = r->stack - &here;
  if (deep > STACK_BYTES || deep < -STACK_BYTES || n > r->left) return NULL;
  r->left -= n;
  return arena_alloc(r->a, n);
}

static void leave(void *ctx, void *p) {
  (void)ctx;
  (void)p;
}

static const Onnx__ModelProto *unpack(Import *im, const MappedFile *m) {
  char here;
  /* what is read takes a multiple of the file's bytes, lists of short messages the most */
  Reading r = {im->a, &here, 64 * m->n + (1 << 20)};
  ProtobufCAllocator allocator = {take, leave, &r};
  return onnx__model_proto__unpack(&allocator, m->n, m->p);
}

/* ---- scopes ---- */

/* "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']": item i from the end; NULL where there is none. */
static const char *item_from_end(Arena *a, const char *list, int i) {
  const char *end = list + strlen(list);
  for (;; i--) {
    while (end > list && *end != '\'') end--;
    const char *start = end - 1;
    while (start > list && *start != '\'') start--;
    if (start <= list) return NULL;
    if (!i) return arena_strndup(a, start + 1, (size_t)(end - start - 1));
    end = start - 1;
  }
}

/* A node's metadata (field 9) came after this schema, so it arrives as unknown fields, each an entry of two texts. */
static const char *metadata(Import *im, const NodeProto *p, const char *key) {
  for (unsigned i = 0; i < p->base.n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *u = &p->base.unknown_fields[i];
    if (u->tag != 9 || u->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) continue;
    size_t skip = 0; /* the field's length stands before its bytes */
    while (skip < u->len && u->data[skip] & 0x80) skip++;
    if (++skip > u->len) continue;
    Reading r = {im->a, (const char *)&r, 1 << 20};
    ProtobufCAllocator allocator = {take, leave, &r};
    const Onnx__StringStringEntryProto *e =
        onnx__string_string_entry_proto__unpack(&allocator, u->len - skip, u->data + skip);
    if (e && e->key && e->value && !strcmp(e->key, key)) return e->value;
  }
  return NULL;
}

/* "/layer1/layer1.0/conv1/Conv" -> layer1.0.conv1 */
static const char *path_scope(Arena *a, const char *name) {
  if (name[0] != '/') return "";
  const char *scope = "", *last = "";
  for (const char *p = name + 1, *end; (end = strchr(p, '/')); p = end + 1) {
    const char *part = arena_strndup(a, p, (size_t)(end - p));
    size_t n = strlen(last);
    if (n && !strncmp(part, last, n) && part[n] == '.') {
      scope = arena_printf(a, "%s%s", scope, part + n); /* an item of a list: layer1, layer1.0 */
    } else {
      scope = *scope ? arena_printf(a, "%s.%s", scope, part) : part;
    }
    last = part;
  }
  return scope;
}

static void set_scope(Import *im, OxNode *n, const char *inside) {
  const char *scopes = metadata(im, n->proto, "pkg.torch.onnx.name_scopes");
  const char *classes = metadata(im, n->proto, "pkg.torch.onnx.class_hierarchy");
  n->scope = "";
  if (scopes && (n->scope = item_from_end(im->a, scopes, 1))) {
    const char *class_ = classes ? item_from_end(im->a, classes, 1) : NULL;
    const char *dot = class_ ? strrchr(class_, '.') : NULL;
    n->class_ = dot ? dot + 1 : class_;
  } else {
    n->scope = n->proto->name ? path_scope(im->a, n->proto->name) : "";
  }
  if (!n->scope) n->scope = "";
  if (*inside && !*n->scope) n->scope = inside;
}

/* ---- values and nodes ---- */

int ox_new_value(Import *im, const char *name) {
  OxValue v = {.name = name, .rank = -1, .made_by = -1};
  vec_push(im->a, &im->value, v);
  return im->value.n - 1;
}

int ox_value(Import *im, const char *name) {
  int i = ox_names_find(im->names, name);
  if (i >= 0) return i;
  i = ox_new_value(im, name);
  ox_names_set(im->names, name, i);
  return i;
}

const AttributeProto *ox_attribute(const NodeProto *n, const char *name) {
  for (size_t i = 0; i < n->n_attribute; i++)
    if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name)) return n->attribute[i];
  return NULL;
}

static const char *prefixed(Import *im, const char *prefix, const char *name) {
  return !*name || !*prefix ? name : arena_printf(im->a, "%s%s", prefix, name);
}

static void write_out(Import *im, const NodeProto *call, const Onnx__FunctionProto *f, const char *prefix, const char *scope);

static const Onnx__FunctionProto *function_of(const Import *im, const NodeProto *p) {
  const char *domain = p->domain ? p->domain : "";
  for (size_t i = 0; i < im->model->n_functions; i++) {
    const Onnx__FunctionProto *f = im->model->functions[i];
    if (f->name && p->op_type && !strcmp(f->name, p->op_type) && !strcmp(f->domain ? f->domain : "", domain)) return f;
  }
  return NULL;
}

void ox_add_node(Import *im, const NodeProto *p, const char *prefix, const char *scope) {
  OxNode n = {.proto = p};
  if (!p->op_type || im->node.n > MOST_NODES) {
    if (!im->problems) ox_problem(im, NULL, p->op_type ? "more than a million nodes" : "a node without an operator");
    im->problems++;
    return;
  }
  n.label = p->name && *p->name ? p->name : p->n_output && *p->output[0] ? p->output[0] : p->op_type;
  n.in = NEWN(im->a, int, p->n_input + 1);
  n.out = NEWN(im->a, int, p->n_output + 1);
  const Onnx__FunctionProto *f = function_of(im, p);
  if (f) {
    write_out(im, p, f, prefix, scope);
    return;
  }
  for (size_t i = 0; i < p->n_input; i++)
    n.in[n.nin++] = *p->input[i] ? ox_value(im, prefixed(im, prefix, p->input[i])) : -1;
  for (size_t i = 0; i < p->n_output; i++) {
    int v = *p->output[i] ? ox_value(im, prefixed(im, prefix, p->output[i])) : -1;
    n.out[n.nout++] = v;
    if (v < 0) continue;
    if (im->value.v[v].kind != OX_UNSET || im->value.v[v].made_by >= 0)
      ox_problem(im, &n, "'%s' is made twice", p->output[i]);
    im->value.v[v].made_by = im->node.n;
  }
  set_scope(im, &n, scope);
  vec_push(im->a, &im->node, n);
}

/* An attribute of a function's node may stand for one of the call. */
static NodeProto *with_attributes(Import *im, const NodeProto *p, const NodeProto *call, const Onnx__FunctionProto *f) {
  NodeProto *q = NEW(im->a, NodeProto);
  *q = *p;
  q->attribute = NEWN(im->a, AttributeProto *, p->n_attribute + 1);
  q->n_attribute = 0;
  (void)f;
  for (size_t i = 0; i < p->n_attribute; i++) {
    AttributeProto *a = p->attribute[i];
    if (a->ref_attr_name && *a->ref_attr_name) {
      const AttributeProto *given = ox_attribute(call, a->ref_attr_name);
      if (!given) continue;
      AttributeProto *b = NEW(im->a, AttributeProto);
      *b = *given;
      b->name = a->name;
      a = b;
    }
    q->attribute[q->n_attribute++] = a;
  }
  return q;
}

static void write_out(Import *im, const NodeProto *call, const Onnx__FunctionProto *f, const char *prefix, const char *scope) {
  const char *inner = arena_printf(im->a, "%s%s/%d/", prefix, f->name, im->value.n);
  if (++im->depth > MAX_DEPTH) {
    if (im->depth == MAX_DEPTH + 1) ox_problem(im, NULL, "function '%s' is called by itself, or calls nest too deeply", f->name);
    im->depth--;
    return;
  }
  for (size_t i = 0; i < f->n_input; i++) {
    const char *given = i < call->n_input ? call->input[i] : "";
    if (*given) ox_names_set(im->names, prefixed(im, inner, f->input[i]), ox_value(im, prefixed(im, prefix, given)));
  }
  for (size_t i = 0; i < f->n_output; i++)
    if (i < call->n_output && *call->output[i])
      ox_names_set(im->names, prefixed(im, inner, f->output[i]), ox_value(im, prefixed(im, prefix, call->output[i])));
  for (size_t i = 0; i < f->n_node && im->problems < MOST_MESSAGES; i++) {
    NodeProto *q = with_attributes(im, f->node[i], call, f);
    for (size_t k = 0; k < q->n_input; k++) { /* an input that the call leaves out is absent inside */
      size_t j = 0;
      while (j < f->n_input && strcmp(f->input[j], q->input[k])) j++;
      if (j < f->n_input && (j >= call->n_input || !*call->input[j])) q->input[k] = "";
    }
    ox_add_node(im, q, inner, scope);
  }
  im->depth--;
}

/* ---- inputs, constants ---- */

static void add_constant(Import *im, const TensorProto *t) {
  int64_t count;
  if (!t->name || !*t->name || !ox_tensor_check(im, t, t->name ? t->name : "", &count)) return;
  OxValue c = {.name = t->name, .kind = OX_CONST, .tensor = t, .elem = t->data_type, .rank = (int)t->n_dims, .dim = t->dims, .made_by = -1};
  int same = !strchr(t->name, '.') ? ox_same_mask(im, &c) : -1;
  if (same >= 0) {
    ox_names_set(im->names, c.name, same);
    return;
  }
  const int at = ox_value(im, t->name);
  c.told = im->value.v[at].told;
  im->value.v[at] = c;
}

static void add_input(Import *im, const Onnx__ValueInfoProto *p) {
  if (!p->name || !*p->name) return;
  int i = ox_value(im, p->name);
  OxValue *v = &im->value.v[i];
  if (v->kind != OX_UNSET) return; /* an initializer that is also an input */
  v->kind = OX_INPUT;
  const Onnx__TypeProto__Tensor *t =
      p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? p->type->tensor_type : NULL;
  if (!t || ox_elem(t->elem_type)->dt == DT_NONE) {
    ox_problem(im, NULL, "input '%s' is %s, not a tensor that jepac has a type for", p->name,
               t ? ox_elem(t->elem_type)->name : "a sequence or of no known type");
    return;
  }
  v->elem = t->elem_type;
  if (t->shape && t->shape->n_dim <= MAX_RANK) {
    v->rank = (int)t->shape->n_dim;
    int64_t *dim = NEWN(im->a, int64_t, MAX_RANK);
    for (int k = 0; k < v->rank; k++) {
      const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[k];
      const char *name = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ? d->dim_param : NULL;
      dim[k] = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? d->dim_value : -1;
      if (dim[k] >= 0) continue;
      const char *id = ox_identifier(im->a, name && *name ? name : arena_printf(im->a, "%s_%d", p->name, k));
      int at = 0;
      while (at < im->dim.n && strcmp(im->dim.v[at], id)) at++;
      if (at == im->dim.n) vec_push(im->a, &im->dim, id);
      dim[k] = -2 - at;
    }
    v->dim = dim;
  } else {
    ox_problem(im, NULL, "input '%s' has no shape, or more than %d axes", p->name, MAX_RANK);
  }
  vec_push(im->a, &im->input, i);
}

/* ---- order ---- */

/* Nodes after those that make what they read. Depth first, the file's order where it will do. */
static void sort_nodes(Import *im) {
  enum { NEW_, OPEN, DONE };
  char *state = arena_alloc(im->a, (size_t)im->node.n + 1);
  int *at = NEWN(im->a, int, im->node.n + 1), *stack = NEWN(im->a, int, im->node.n + 1);
  OxNode *sorted = NEWN(im->a, OxNode, im->node.n + 1);
  int count = 0;
  for (int root = 0; root < im->node.n; root++) {
    if (state[root] != NEW_) continue;
    int top = 0;
    stack[0] = root;
    state[root] = OPEN;
    while (top >= 0) {
      int i = stack[top];
      const OxNode *n = &im->node.v[i];
      if (at[i] == n->nin) {
        state[i] = DONE;
        sorted[count++] = *n;
        top--;
        continue;
      }
      int v = n->in[at[i]++], from = v >= 0 ? im->value.v[v].made_by : -1;
      if (from < 0 || state[from] == DONE) continue;
      if (state[from] == OPEN) {
        ox_problem(im, n, "the graph has a cycle through this node: '%s' needs its own result", im->value.v[v].name);
        return;
      }
      state[from] = OPEN;
      stack[++top] = from;
    }
  }
  im->node.v = sorted;
  im->node.cap = im->node.n; /* what is added later goes elsewhere */
  for (int i = 0; i < im->node.n; i++)
    for (int k = 0; k < sorted[i].nout; k++)
      if (sorted[i].out[k] >= 0) im->value.v[sorted[i].out[k]].made_by = i;
}

bool ox_graph_nodes(Import *im, const GraphProto *g, const char *what) {
  int before = im->problems;
  if (++im->depth > MAX_DEPTH) {
    ox_problem(im, NULL, "%s: graphs nest too deeply", what);
    return false;
  }
  for (size_t i = 0; i < g->n_initializer; i++) add_constant(im, g->initializer[i]);
  for (size_t i = 0; i < g->n_node && im->problems < MOST_MESSAGES; i++) ox_add_node(im, g->node[i], "", "");
  im->depth--;
  return im->problems == before;
}

static bool known_opset(Import *im) {
  const Onnx__ModelProto *m = im->model;
  for (size_t i = 0; i < m->n_opset_import; i++) {
    const char *domain = m->opset_import[i]->domain;
    if (!domain || !*domain || !strcmp(domain, "ai.onnx")) im->opset = m->opset_import[i]->version;
  }
  if (!im->opset) im->opset = m->n_functions || m->n_opset_import ? 1 : 0;
  enum { LAST = 28 };
  if (im->opset >= 1 && im->opset <= LAST) return true;
  ox_problem(im, NULL, "operators of opset %lld; this jepac knows 1 to %d", (long long)im->opset, LAST);
  return false;
}

Status ox_read(Import *im) {
  MappedFile m;
  Status s = file_map(&m, im->what->model, im->d);
  if (s) return s;
  im->model = m.n ? unpack(im, &m) : NULL;
  if (!im->model || !im->model->graph) {
    file_unmap(&m);
    diag_error(im->d, NULL, "%s is no ONNX model, or not all of it", im->what->model);
    return ST_FILE;
  }
  file_unmap(&m); /* protobuf-c copies */
  const GraphProto *g = im->model->graph;
  const char *slash = strrchr(im->what->model, '/');
  im->folder = !slash ? "." : slash == im->what->model ? "/" : arena_strndup(im->a, im->what->model, (size_t)(slash - im->what->model));
  if (!known_opset(im)) return ST_FILE;
  if (g->n_sparse_initializer) ox_problem(im, NULL, "sparse initializers are not supported ('%s')", g->sparse_initializer[0]->values ? g->sparse_initializer[0]->values->name : "");
  for (size_t i = 0; i < g->n_initializer && im->problems < MOST_MESSAGES; i++) add_constant(im, g->initializer[i]);
  for (size_t i = 0; i < g->n_input && im->problems < MOST_MESSAGES; i++) add_input(im, g->input[i]);
  for (size_t i = 0; i < g->n_node && im->problems < MOST_MESSAGES; i++) ox_add_node(im, g->node[i], "", "");
  for (size_t i = 0; i < g->n_value_info; i++) {
    const Onnx__ValueInfoProto *p = g->value_info[i];
    const Onnx__TypeProto__Tensor *t = p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? p->type->tensor_type : NULL;
    int v = p->name ? ox_names_find(im->names, p->name) : -1;
    if (v >= 0 && t && t->shape && t->shape->n_dim <= MAX_RANK) im->value.v[v].told = (int)t->shape->n_dim + 1;
  }
  for (size_t i = 0; i < g->n_output; i++)
    if (g->output[i]->name && *g->output[i]->name) vec_push(im->a, &im->output, ox_value(im, g->output[i]->name));
  if (!g->n_output) ox_problem(im, NULL, "the graph has no output");
  if (!im->problems) sort_nodes(im);
  for (int i = 0; i < im->node.n && !im->problems; i++)
    for (int k = 0; k < im->node.v[i].nin; k++) {
      int v = im->node.v[i].in[k];
      if (v >= 0 && im->value.v[v].kind == OX_UNSET && im->value.v[v].made_by < 0)
        ox_problem(im, &im->node.v[i], "nothing makes its input '%s'", im->value.v[v].name);
    }
  for (int i = 0; i < im->output.n && !im->problems; i++) {
    const OxValue *v = &im->value.v[im->output.v[i]];
    if (v->kind == OX_UNSET && v->made_by < 0) ox_problem(im, NULL, "nothing makes the output '%s'", v->name);
  }
  return im->problems ? ST_FILE : ST_OK;
}
