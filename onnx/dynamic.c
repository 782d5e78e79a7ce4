/* An extent that stays open (--dynamic DIM): the entry is exported several times, with several values of the dimension. Where
   these differ, a number must be k DIM / n + c: that of an input's or result's shape becomes a name, a shape to
   reshape to -1, and any other number is computed from the extent of an input. */
#include "onnx/export.h"

#include <math.h>
#include <string.h>

typedef struct {
  double k, by, c;
  const char *name;
} Multiple;

typedef struct {
  Export *x;
  const Dynamic *d;
  Onnx__GraphProto *g[OPENINGS];
  const char *extent; /* [1], the dimension itself */
  VEC(Multiple) made;
} Open;

static bool differ(Open *o, const char *where, const char *what) {
  o->x->problems++;
  diag_error(o->x->c->diags, NULL, "%s cannot stay open: %s%s%s", o->d->name, what, where ? " " : "", where ? where : "");
  return false;
}

static bool same_text(const char *a, const char *b) { return !strcmp(a ? a : "", b ? b : ""); }

static bool same_attribute(const Onnx__AttributeProto *a, const Onnx__AttributeProto *b) {
  return same_text(a->name, b->name) && a->i == b->i && a->f == b->f && a->n_ints == b->n_ints && a->s.len == b->s.len &&
         !memcmp(a->s.data ? a->s.data : (const uint8_t *)"", b->s.data ? b->s.data : (const uint8_t *)"", a->s.len) &&
         (!a->n_ints || !memcmp(a->ints, b->ints, sizeof *a->ints * a->n_ints));
}

static bool same_node(const Onnx__NodeProto *a, const Onnx__NodeProto *b) {
  if (!same_text(a->op_type, b->op_type) || a->n_input != b->n_input || a->n_attribute != b->n_attribute) return false;
  for (size_t i = 0; i < a->n_input; i++)
    if (!same_text(a->input[i], b->input[i])) return false;
  for (size_t i = 0; i < a->n_attribute; i++)
    if (!same_attribute(a->attribute[i], b->attribute[i])) return false;
  return same_text(a->output[0], b->output[0]);
}

static const char *place(Open *o, const Onnx__NodeProto *n) {
  return arena_printf(o->x->a, "%s%s%s%s", n->name, n->doc_string && *n->doc_string ? " (" : "", n->doc_string ? n->doc_string : "",
                      n->doc_string && *n->doc_string ? ")" : "");
}

/* v[i] = k d[i] / by + c for whole k, by and c */
static bool affine(const Open *o, const double *v, Multiple *m) {
  const int64_t *d = o->d->value;
  double slope = (v[1] - v[0]) / (double)(d[1] - d[0]);
  for (m->by = 1; m->by < 12 && slope * m->by != floor(slope * m->by); m->by++) {}
  m->k = slope * m->by;
  m->c = v[0] - m->k * (double)d[0] / m->by;
  bool all = m->k == floor(m->k) && m->c == floor(m->c);
  for (int i = 1; i < OPENINGS; i++) all &= m->k * (double)d[i] / m->by + m->c == v[i];
  return all;
}

/* ---- shapes of inputs and results ---- */
static bool open_shape(Open *o, Onnx__ValueInfoProto *const v[OPENINGS], bool input) { /* which also gives the dimension its value */
  Onnx__TensorShapeProto *s[OPENINGS];
  for (int i = 0; i < OPENINGS; i++) s[i] = v[i]->type->tensor_type->shape;
  for (size_t a = 0; a < s[0]->n_dim; a++) {
    double e[OPENINGS];
    Multiple m;
    for (int i = 0; i < OPENINGS; i++) e[i] = (double)s[i]->dim[a]->dim_value;
    bool same = true;
    for (int i = 1; i < OPENINGS; i++) same &= e[i] == e[0];
    if (same) continue;
    if (!affine(o, e, &m)) return differ(o, v[0]->name, "it changes the shape in another way than as a multiple, part or sum of");
    Onnx__TensorShapeProto__Dimension *d = s[0]->dim[a];
    StrBuf b = {0};
    sb_printf(&b, "%s", o->d->name);
    if (m.k != 1) sb_printf(&b, "*%.0f", m.k);
    if (m.by != 1) sb_printf(&b, "/%.0f", m.by);
    if (m.c != 0) sb_printf(&b, "%+.0f", m.c);
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    d->dim_param = arena_strdup(o->x->a, b.s);
    sb_free(&b);
    if (!input || m.k != 1 || m.by != 1 || m.c != 0 || o->extent) continue;
    ExAttr at[] = {{.name = "start", .i = (int64_t)a, .kind = 'i'}, {.name = "end", .i = (int64_t)a + 1, .kind = 'i'}};
    const char *from = v[0]->name;
    o->extent = ex_node(o->x, "Shape", NULL, &from, 1, at, 2);
  }
  return true;
}

static Onnx__ValueInfoProto *info(const Onnx__GraphProto *g, int kind, size_t i) {
  return kind == 0 ? g->input[i] : kind == 1 ? g->output[i] : g->value_info[i];
}

static bool open_shapes(Open *o) {
  const Onnx__GraphProto *g = o->g[0];
  const size_t n[] = {g->n_input, g->n_output, g->n_value_info};
  for (int kind = 0; kind < 3; kind++)
    for (size_t i = 0; i < n[kind]; i++) {
      Onnx__ValueInfoProto *v[OPENINGS];
      for (int k = 0; k < OPENINGS; k++) v[k] = info(o->g[k], kind, i);
      if (!open_shape(o, v, kind == 0)) return false;
    }
  return true;
}

/* ---- numbers ---- */
static double number_at(const Onnx__TensorProto *t, int64_t i) {
  const uint8_t *p = t->raw_data.data;
  switch (t->data_type) {
  case 7: return (double)((const int64_t *)(const void *)p)[i];
  case 6: return (double)((const int32_t *)(const void *)p)[i];
  case 1: return (double)((const float *)(const void *)p)[i];
  case 11: return ((const double *)(const void *)p)[i];
  default: return NAN;
  }
}

/* Whether every node that reads it reshapes to it. */
static bool only_reshapes(const Onnx__GraphProto *g, const char *name) {
  bool all = true, any = false;
  for (size_t i = 0; i < g->n_node; i++)
    for (size_t k = 0; k < g->node[i]->n_input; k++)
      if (!strcmp(g->node[i]->input[k], name)) {
        any = true;
        all &= k == 1 && !strcmp(g->node[i]->op_type, "Reshape");
      }
  return any && all;
}

static const char *reader(Open *o, const char *name) {
  for (size_t i = 0; i < o->g[0]->n_node; i++)
    for (size_t k = 0; k < o->g[0]->node[i]->n_input; k++)
      if (!strcmp(o->g[0]->node[i]->input[k], name)) return place(o, o->g[0]->node[i]);
  return name;
}

/* The multiple as an i64 tensor of shape [1]. */
static const char *computed(Open *o, Multiple m) {
  for (int i = 0; i < o->made.n; i++)
    if (o->made.v[i].k == m.k && o->made.v[i].by == m.by && o->made.v[i].c == m.c) return o->made.v[i].name;
  int64_t factor = (int64_t)m.k, part = (int64_t)m.by, more = (int64_t)m.c;
  const char *v = o->extent;
  if (!factor) v = ex_list(o->x, &more, 1);
  if (factor && factor != 1) v = EX2(o->x, "Mul", NULL, v, ex_list(o->x, &factor, 1));
  if (factor && part != 1) v = EX2(o->x, "Div", NULL, v, ex_list(o->x, &part, 1));
  if (factor && more) v = EX2(o->x, "Add", NULL, v, ex_list(o->x, &more, 1));
  m.name = v;
  vec_push(o->x->a, &o->made, m);
  return v;
}

/* Computes what differs of an initializer, or has -1 written there; *gone: a node makes it now. */
static bool open_numbers(Open *o, Onnx__TensorProto *const t[OPENINGS], bool *gone) {
  int64_t n = t[0]->n_dims ? t[0]->dims[0] : 1;
  if (t[0]->n_dims > 1) return differ(o, reader(o, t[0]->name), "it changes a table of");
  Multiple m[MAX_RANK * 2];
  int open = 0, last = 0;
  if (n > MAX_RANK * 2) return differ(o, reader(o, t[0]->name), "it changes a table of");
  for (int64_t i = 0; i < n; i++) {
    double e[OPENINGS];
    for (int j = 0; j < OPENINGS; j++) e[j] = number_at(t[j], i);
    if (!affine(o, e, &m[i])) return differ(o, reader(o, t[0]->name), "it enters in another way than as a multiple, part or sum into");
    if (m[i].k != 0) open++, last = (int)i;
  }
  if (open == 1 && t[0]->data_type == 7 && only_reshapes(o->g[0], t[0]->name)) {
    ((int64_t *)(void *)t[0]->raw_data.data)[last] = -1;
    return true;
  }
  const char *part[MAX_RANK * 2];
  for (int64_t i = 0; i < n; i++) part[i] = computed(o, m[i]);
  ExAttr axis = {.name = "axis", .i = 0, .kind = 'i'}, to = {.name = "to", .i = t[0]->data_type, .kind = 'i'};
  const char *v = n > 1 ? ex_node(o->x, "Concat", NULL, part, (int)n, &axis, 1) : part[0];
  if (!t[0]->n_dims) v = EX2(o->x, "Reshape", NULL, v, ex_list(o->x, NULL, 0));
  if (t[0]->data_type != 7) ex_node(o->x, "Cast", t[0]->name, &v, 1, &to, 1);
  else EX1(o->x, "Identity", t[0]->name, v);
  *gone = true;
  return true;
}

static bool form(Open *o) {
  const Onnx__GraphProto *a = o->g[0];
  for (int i = 1; i < OPENINGS; i++) {
    const Onnx__GraphProto *b = o->g[i];
    if (a->n_node != b->n_node || a->n_value_info != b->n_value_info || a->n_initializer != b->n_initializer) return differ(o, NULL, "the graph has another form for another extent");
    for (size_t k = 0; k < a->n_node; k++)
      if (!same_node(a->node[k], b->node[k])) return differ(o, place(o, a->node[k]), "it changes node");
    for (size_t k = 0; k < a->n_initializer; k++) {
      const Onnx__TensorProto *s = a->initializer[k], *t = b->initializer[k];
      if (!same_text(s->name, t->name) || s->n_dims != t->n_dims || (s->n_dims && memcmp(s->dims, t->dims, sizeof *s->dims * s->n_dims)))
        return differ(o, s->name, "it changes the shape of");
    }
  }
  return true;
}

/* Puts the nodes and constants made for it in front of, and behind, the graph's own. */
static void put(const Open *o, Onnx__TensorProto *const *kept, size_t nkept) {
  const Export *x = o->x;
  Onnx__GraphProto *g = o->g[0];
  Onnx__TensorProto **t = NEWN(x->a, Onnx__TensorProto *, nkept + (size_t)x->initializer.n + 1);
  Onnx__NodeProto **n = NEWN(x->a, Onnx__NodeProto *, g->n_node + (size_t)x->node.n + 1);
  memcpy(t, kept, nkept * sizeof *t);
  for (int i = 0; i < x->initializer.n; i++) t[nkept + (size_t)i] = x->initializer.v[i];
  for (int i = 0; i < x->node.n; i++) n[i] = x->node.v[i];
  memcpy(n + x->node.n, g->node, g->n_node * sizeof *n);
  g->n_initializer = nkept + (size_t)x->initializer.n;
  g->n_node += (size_t)x->node.n;
  g->initializer = t;
  g->node = n;
}

void ex_open(Export *x, const Dynamic *d, Onnx__GraphProto *const g[OPENINGS]) {
  Open o = {.x = x, .d = d};
  memcpy(o.g, g, sizeof o.g);
  memset(&x->node, 0, sizeof x->node);
  memset(&x->initializer, 0, sizeof x->initializer);
  x->at = NULL;
  if (!form(&o)) return;
  if (!open_shapes(&o)) return;
  if (!o.extent) {
    differ(&o, NULL, "no input has it as an extent");
    return;
  }
  Onnx__TensorProto **kept = NEWN(x->a, Onnx__TensorProto *, g[0]->n_initializer + 1);
  size_t nkept = 0;
  for (size_t i = 0; i < g[0]->n_initializer; i++) {
    Onnx__TensorProto *t[OPENINGS];
    for (int k = 0; k < OPENINGS; k++) t[k] = g[k]->initializer[i];
    bool gone = false, changes = false;
    for (int k = 1; k < OPENINGS && !strncmp(t[0]->name, "c/", 2); k++)
      changes |= memcmp(t[0]->raw_data.data, t[k]->raw_data.data, t[0]->raw_data.len) != 0;
    if (changes && !open_numbers(&o, t, &gone)) return;
    if (!gone) kept[nkept++] = t[0];
  }
  put(&o, kept, nkept);
}
