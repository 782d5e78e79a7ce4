/* jepac export: the graph of an entry in eval mode as an ONNX file, with its states as initializers. */
#include "onnx/export.h"

#include "lib/tensors.h"
#include "runtime/checkpoint.h"
#include "runtime/file.h"

#include <string.h>

enum { OPSET = 18, IR_VERSION = 8 };

int ex_type(DType dt) {
  static const int types[DT_COUNT] = {[DT_F32] = 1, [DT_F64] = 11, [DT_BF16] = 16, [DT_I32] = 6, [DT_I64] = 7, [DT_U32] = 12, [DT_BOOL] = 9,
                                       [DT_U8] = 2, [DT_I8] = 3, [DT_U16] = 4, [DT_I16] = 5, [DT_F16] = 10, [DT_U64] = 13};
  return types[dt];
}

void ex_problem(Export *x, const Node *n, const char *why) {
  x->problems++;
  diag_error(x->c->diags, n->loc, "operator %s cannot be exported: %s", op_table[n->op].name, why);
}

static char *text(Export *x, const char *s) { return arena_strdup(x->a, s); }

const char *ex_node(Export *x, const char *op, const char *out, const char *const *in, int nin, const ExAttr *attr, int nattr) {
  Onnx__NodeProto *n = NEW(x->a, Onnx__NodeProto);
  onnx__node_proto__init(n);
  if (!out) out = arena_printf(x->a, "%d/y", x->fresh++);
  n->op_type = text(x, op);
  n->name = arena_printf(x->a, "%s_%d", op, x->named++);
  if (x->at && x->at->loc && x->at->loc->line > 0 && x->at->loc->src)
    n->doc_string = arena_printf(x->a, "%s:%d", path_tail(x->at->loc->src->path), x->at->loc->line);
  n->n_input = (size_t)nin;
  n->input = NEWN(x->a, char *, nin + 1);
  for (int i = 0; i < nin; i++) n->input[i] = text(x, in[i]);
  n->n_output = 1;
  n->output = NEWN(x->a, char *, 1);
  n->output[0] = text(x, out);
  n->n_attribute = (size_t)nattr;
  n->attribute = NEWN(x->a, Onnx__AttributeProto *, nattr + 1);
  for (int i = 0; i < nattr; i++) {
    Onnx__AttributeProto *a = n->attribute[i] = NEW(x->a, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = text(x, attr[i].name);
    a->has_type = true;
    if (attr[i].kind == 'i') {
      a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
      a->has_i = true;
      a->i = attr[i].i;
    } else if (attr[i].kind == 'l') {
      a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
      a->n_ints = (size_t)attr[i].list->n;
      a->ints = NEWN(x->a, int64_t, attr[i].list->n + 1);
      memcpy(a->ints, attr[i].list->v, sizeof(int64_t) * (size_t)attr[i].list->n);
    } else if (attr[i].kind == 's') {
      a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
      a->has_s = true;
      a->s = (ProtobufCBinaryData){strlen(attr[i].s), (uint8_t *)text(x, attr[i].s)};
    } else {
      a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
      a->has_f = true;
      a->f = (float)attr[i].f;
    }
  }
  vec_push(x->a, &x->node, n);
  return out;
}

const char *ex_tensor(Export *x, const char *name, DType dt, const Shape *s, const void *data) {
  Onnx__TensorProto *t = NEW(x->a, Onnx__TensorProto);
  onnx__tensor_proto__init(t);
  t->name = name ? text(x, name) : arena_printf(x->a, "c/%d", x->fresh++);
  t->has_data_type = true;
  t->data_type = ex_type(dt);
  t->n_dims = (size_t)s->rank;
  t->dims = NEWN(x->a, int64_t, s->rank + 1);
  memcpy(t->dims, s->dim, sizeof(int64_t) * (size_t)s->rank);
  t->has_raw_data = true;
  t->raw_data = (ProtobufCBinaryData){(size_t)(shape_count(s) * dtype_size(dt)), (uint8_t *)(uintptr_t)data};
  vec_push(x->a, &x->initializer, t);
  return t->name;
}

const char *ex_list(Export *x, const int64_t *v, int n) {
  Shape s = {.rank = 1, .dim = {n}};
  int64_t *copy = NEWN(x->a, int64_t, n + 1);
  memcpy(copy, v, sizeof(int64_t) * (size_t)n);
  return ex_tensor(x, NULL, DT_I64, &s, copy);
}

const char *ex_scalar(Export *x, DType dt, Imm v) {
  Shape s = {0};
  void *p = arena_alloc(x->a, 8);
  element_put(dt, p, 0, imm_cell(dt, v));
  return ex_tensor(x, NULL, dt, &s, p);
}

static Onnx__ValueInfoProto *value_info(Export *x, const char *name, DType dt, const Shape *s) {
  Onnx__ValueInfoProto *v = NEW(x->a, Onnx__ValueInfoProto);
  Onnx__TypeProto *t = NEW(x->a, Onnx__TypeProto);
  Onnx__TypeProto__Tensor *tensor = NEW(x->a, Onnx__TypeProto__Tensor);
  Onnx__TensorShapeProto *shape = NEW(x->a, Onnx__TensorShapeProto);
  onnx__value_info_proto__init(v);
  onnx__type_proto__init(t);
  onnx__type_proto__tensor__init(tensor);
  onnx__tensor_shape_proto__init(shape);
  v->name = text(x, name);
  v->type = t;
  t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  t->tensor_type = tensor;
  tensor->has_elem_type = true;
  tensor->elem_type = ex_type(dt);
  tensor->shape = shape;
  shape->n_dim = (size_t)s->rank;
  shape->dim = NEWN(x->a, Onnx__TensorShapeProto__Dimension *, s->rank + 1);
  for (int i = 0; i < s->rank; i++) {
    Onnx__TensorShapeProto__Dimension *d = shape->dim[i] = NEW(x->a, Onnx__TensorShapeProto__Dimension);
    onnx__tensor_shape_proto__dimension__init(d);
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    d->dim_value = s->dim[i];
  }
  return v;
}

/* ---- the graph ---- */

static void mark(const Graph *g, char *live) {
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].state < 0) live[g->outputs.v[i].val] = 1;
  for (int v = g->node.n - 1; v >= 0; v--)
    for (int k = 0; live[v] && k < g->node.v[v].nin; k++) live[g->node.v[v].in[k]] = 1;
}

static void mark_biases(Export *x, const char *live) {
  const Graph *g = x->g;
  int *uses = NEWN(x->a, int, g->node.n + 1);
  x->bias_of = NEWN(x->a, bool, g->node.n + 1);
  for (int i = 0; i < g->outputs.n; i++) uses[g->outputs.v[i].val]++;
  for (int v = 0; v < g->node.n; v++)
    for (int k = 0; live[v] && k < g->node.v[v].nin; k++) uses[g->node.v[v].in[k]]++;
  for (int v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    for (int k = 0; live[v] && n->op == OP_add && k < 2; k++) {
      const Node *b = g_node(g, n->in[1 - k]);
      bool channel = b->op == OP_broadcast && b->attr[0].n == 1 && b->attr[0].v[0] == 1 && g_node(g, b->in[0])->shape.rank == 1;
      if (channel && uses[n->in[k]] == 1) x->bias_of[n->in[k]] = true;
    }
  }
}

/* Without a store states have no values. */
static Onnx__GraphProto *graph_proto(Export *x, const Session *store) {
  const Graph *g = x->g;
  Onnx__GraphProto *p = NEW(x->a, Onnx__GraphProto);
  onnx__graph_proto__init(p);
  p->name = text(x, g->name);
  p->input = NEWN(x->a, Onnx__ValueInfoProto *, g->inputs.n + 1);
  p->output = NEWN(x->a, Onnx__ValueInfoProto *, g->outputs.n + 1);
  x->name = NEWN(x->a, const char *, g->node.n + 1);
  char *live = arena_alloc(x->a, (size_t)g->node.n + 1);
  mark(g, live);
  mark_biases(x, live);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    const Node *n = g_node(g, in->val);
    x->name[in->val] = in->name;
    if (in->kind == IN_ARG) p->input[p->n_input++] = value_info(x, in->name, n->dt, &n->shape);
    else if (in->kind == IN_RUNTIME && live[in->val]) ex_problem(x, n, "it draws random numbers, or counts steps");
    else if (live[in->val]) ex_tensor(x, in->name, n->dt, &n->shape, store ? session_tensor_at(store, i).data : NULL);
  }
  for (int v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    if (!live[v] || n->op == OP_input || ex_waits(x, v)) continue;
    ex_made(x, v);
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    if (o->state >= 0) continue;
    ex_made(x, o->val);
    const char *name = o->name;
    for (int k = 0; k < g->inputs.n; k++)
      if (!strcmp(g->inputs.v[k].name, name)) name = arena_printf(x->a, "%s.result", name);
    EX1(x, "Identity", name, x->name[o->val]);
    p->output[p->n_output++] = value_info(x, name, g_node(g, o->val)->dt, &g_node(g, o->val)->shape);
  }
  p->value_info = NEWN(x->a, Onnx__ValueInfoProto *, g->node.n + 1);
  for (int v = 0; v < g->node.n; v++)
    if (x->name[v] && g_node(g, v)->op != OP_input) p->value_info[p->n_value_info++] = value_info(x, x->name[v], g_node(g, v)->dt, &g_node(g, v)->shape);
  p->n_node = (size_t)x->node.n;
  p->node = x->node.v;
  p->n_initializer = (size_t)x->initializer.n;
  p->initializer = x->initializer.v;
  return p;
}

static Status write_model(Export *x, Onnx__GraphProto *graph, const char *out) {
  Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
  Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets = &set;
  m.has_ir_version = set.has_version = true;
  m.ir_version = IR_VERSION;
  set.version = OPSET;
  set.domain = (char *)"";
  m.n_opset_import = 1;
  m.opset_import = &sets;
  m.producer_name = (char *)"jepac";
  m.producer_version = (char *)JEPAC_VERSION;
  m.graph = graph;
  size_t n = onnx__model_proto__get_packed_size(&m);
  if (n > INT32_MAX) {
    diag_error(x->c->diags, NULL, "the model would take %.1f GiB; an ONNX file holds less than 2", (double)n / (1 << 30));
    return ST_FILE;
  }
  uint8_t *p = arena_alloc(x->a, n + 1);
  onnx__model_proto__pack(&m, p);
  return file_write(out, (const char *)p, n, x->c->diags);
}

/* The entry's graph; with a name the model's is read again, with that dimension as large as value. */
static Status entry_graph(Compiler *c, Model *m, const OnnxExport *what, const char *name, int64_t value, const Graph **g) {
  Compiler own = *c;
  const Graph *raw;
  NameValue *set = NEWN(c->arena, NameValue, c->nset + 1);
  Status s = ST_OK;
  if (name) {
    own.nset = 0;
    for (int i = 0; i < c->nset; i++)
      if (strcmp(c->set[i].name, name)) set[own.nset++] = c->set[i];
    set[own.nset++] = (NameValue){name, arena_printf(c->arena, "%lld", (long long)value)};
    own.set = set;
    s = compiler_load(&own, what->model, NULL, NULL, 0, &m);
  }
  if (!s) s = compiler_entry(&own, m, what->entry, false, false, &raw);
  if (s) return s;
  return (*g = compiler_passes(&own, raw, "strip")) ? ST_OK : ST_MODEL;
}

Status onnx_export(Compiler *c, Model *m, const OnnxExport *what) {
  /* not 1, which broadcasts; multiples of 12, since parts of a batch are often 2 to 6; a large one shows another form */
  Dynamic d = {what->dynamic, {24, 36, 60, 1032}};
  int count = what->dynamic ? OPENINGS : 1;
  Export x[OPENINGS];
  Onnx__GraphProto *graph[OPENINGS];
  Session *store = NULL;
  StFile *params = NULL;
  Status s = ST_OK;
  for (int i = 0; i < count && !s; i++) {
    x[i] = (Export){.a = c->arena, .c = c};
    s = entry_graph(c, m, what, d.name, d.value[i], &x[i].g);
    if (s) break;
    if (!i && !(store = tensors_store(c, x[0].g, what->seed))) return ST_BUDGET;
    if (!i && what->params && !(params = states_open(what->params, c->arena, c->diags))) s = ST_FILE;
    if (!i && params) s = states_check(c, m, x[0].g, params);
    if (!s && !i && params) states_copy(store, params);
    if (!s) graph[i] = graph_proto(&x[i], i ? NULL : store);
    if (!s && x[i].problems) s = ST_MODEL;
  }
  if (!s && d.name) ex_open(&x[0], &d, graph);
  if (!s && x[0].problems) s = ST_MODEL;
  if (!s) s = write_model(&x[0], graph[0], what->out);
  st_close(params);
  if (store) session_free(store);
  return s;
}
