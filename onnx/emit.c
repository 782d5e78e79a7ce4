/* Nodes to statements. A row's text has holes:

     $0   operand 0, a tensor or a number       @0   a tensor            %0   a number, list or none, known when compiling
     $*   all operands, @* all as tensors       {a}  ", a = value" where the node has the attribute
     {a!} its value, which must be there        #    how many results are wanted
     ?0   a tensor or none                      ^0   the element type of operand 0

   Trailing arguments that are none are left out. */
#include "onnx/import.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool ox_has(const OxNode *n, int i) { return i < n->nin && n->in[i] >= 0; }

int ox_rank(Import *im, const OxNode *n, int i) { return ox_has(n, i) ? im->value.v[n->in[i]].rank : -1; }

int64_t ox_int(const OxNode *n, const char *attribute, int64_t absent) {
  const AttributeProto *a = ox_attribute(n->proto, attribute);
  return a && a->has_i ? a->i : absent;
}

const char *ox_ref(Import *im, int value) {
  im->value.v[value].read = true;
  return arena_printf(im->a, OX_REF, value);
}

const char *ox_join(Import *im, const char *const *text, int n) {
  StrBuf b = {0};
  for (int i = 0; i < n; i++) sb_printf(&b, "%s%s", i ? ", " : "", text[i]);
  const char *s = arena_strdup(im->a, b.s ? b.s : "");
  sb_free(&b);
  return s;
}

void ox_wants_state(Import *im, int value) {
  OxValue *v = &im->value.v[value];
  if (v->kind == OX_CONST) v->kind = OX_STATE;
}

static const char *unmade(Import *im, const OxNode *n, int i) {
  ox_problem(im, n, "needs operand %d", i);
  return NULL;
}

const char *ox_tensor(Import *im, const OxNode *n, int i) {
  if (!ox_has(n, i)) return unmade(im, n, i);
  int value = n->in[i];
  const OxKnown *k = im->value.v[value].kind == OX_INPUT ? NULL : ox_known(im, value);
  OxValue *v = &im->value.v[value];
  DType dt = ox_elem(v->elem)->dt;
  bool literal = k && (v->kind == OX_RESULT || (k->n <= 8 && k->n > 0 && (dtype_is_int(dt) || dt == DT_BOOL || !k->rank)));
  if (literal && v->kind != OX_STATE) {
    const char *type = dtype_name(dt == DT_NONE ? DT_I64 : dt);
    if (!k->rank) return arena_printf(im->a, "fill([], %s, %s)", ox_known_text(im, k), type);
    return arena_printf(im->a, "tensor(%s, %s)", ox_known_text(im, k), type);
  }
  ox_wants_state(im, value);
  return ox_ref(im, value);
}

const char *ox_any(Import *im, const OxNode *n, int i) {
  if (!ox_has(n, i)) return "none";
  OxValue *v = &im->value.v[n->in[i]];
  const OxKnown *k = v->kind == OX_INPUT || v->kind == OX_STATE ? NULL : ox_known(im, n->in[i]);
  bool alone = true; /* some operand must be a tensor */
  for (int j = 0; j < n->nin; j++)
    if (j != i && n->in[j] >= 0) {
      const OxValue *w = &im->value.v[n->in[j]];
      bool tensor = w->kind == OX_INPUT || w->kind == OX_STATE || !ox_known(im, n->in[j]) ||
                    (w->kind == OX_CONST && w->rank > 0);
      alone &= !tensor || (v->rank > w->rank && w->rank >= 0);
    }
  if (k && k->n == 1 && !alone && (!v->rank || v->rank == 1)) {
    const char *text = k->rank ? (k->item[0].text ? k->item[0].text : ox_number(im->a, k->item[0].num)) : ox_known_text(im, k);
    if (ox_elem(v->elem)->dt == DT_BOOL) text = k->item[0].text ? text : k->item[0].num != 0 ? "true" : "false";
    if (v->rank == 1) { /* [1] is a number where another operand has axes */
      bool axes = false;
      for (int j = 0; j < n->nin; j++) axes |= j != i && n->in[j] >= 0 && im->value.v[n->in[j]].rank >= 1;
      if (!axes) return ox_tensor(im, n, i);
    }
    return text[0] == '-' ? arena_printf(im->a, "(%s)", text) : text;
  }
  return ox_tensor(im, n, i);
}

const char *ox_list(Import *im, const OxNode *n, int i) {
  if (!ox_has(n, i)) return "none";
  const OxKnown *k = ox_known_by_inputs(im, n->in[i]);
  if (k) return ox_known_text(im, k);
  const OxValue *v = &im->value.v[n->in[i]];
  ox_problem(im, n, "operand %d ('%s') must be known when the graph is made%s", i, v->name,
             v->kind == OX_INPUT ? ": give it with --inputs FILE.safetensors" : "");
  return NULL;
}

/* ---- attributes ---- */

static const char *attribute_text(Import *im, const OxNode *n, const AttributeProto *a) {
  StrBuf b = {0};
  const char *s;
  if (a->n_ints || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS) {
    for (size_t i = 0; i < a->n_ints; i++) sb_printf(&b, "%s%lld", i ? ", " : "[", (long long)a->ints[i]);
    sb_put(&b, a->n_ints ? "]" : "[]", a->n_ints ? 1 : 2);
  } else if (a->n_floats) {
    for (size_t i = 0; i < a->n_floats; i++) sb_printf(&b, "%s%s", i ? ", " : "[", ox_number(im->a, a->floats[i]));
    sb_put(&b, "]", 1);
  } else if (a->n_strings) {
    for (size_t i = 0; i < a->n_strings; i++)
      sb_printf(&b, "%s\"%s\"", i ? ", " : "[", ox_identifier(im->a, arena_strndup(im->a, (char *)a->strings[i].data, a->strings[i].len)));
    sb_put(&b, "]", 1);
  } else if (a->has_f) {
    sb_printf(&b, "%s", ox_number(im->a, a->f));
  } else if (a->has_s) {
    for (size_t i = 0; i < a->s.len; i++) {
      char c = (char)a->s.data[i];
      if (!isalnum((unsigned char)c) && !strchr("_-+*,.>< ()", c)) { /* no such attribute is of any operator */
        ox_problem(im, n, "attribute '%s' holds '%.*s'", a->name, (int)a->s.len, (char *)a->s.data);
        break;
      }
    }
    sb_printf(&b, "\"%.*s\"", (int)a->s.len, (char *)a->s.data);
  } else if (a->has_i) {
    sb_printf(&b, "%lld", (long long)a->i);
  } else {
    ox_problem(im, n, "attribute '%s' has a value of another kind", a->name);
  }
  s = arena_strdup(im->a, b.s ? b.s : "0");
  sb_free(&b);
  return s;
}

static const char *trim_none(Import *im, const char *s) {
  const char *one = strstr(s, ", outputs = 1)"); /* as it is where nothing is said */
  if (one) s = arena_printf(im->a, "%.*s%s", (int)(one - s), s, one + 13);
  for (const char *at; (at = strstr(s, ", none)"));)
    s = arena_printf(im->a, "%.*s%s", (int)(at - s), s, at + 6);
  return s;
}

const char *ox_fill(Import *im, const OxNode *n, const char *text) {
  StrBuf b = {0};
  const char *part = "";
  for (const char *p = text; *p && part; p++) {
    if (strchr("$@%", *p) && (isdigit((unsigned char)p[1]) || p[1] == '*')) {
      const char *(*get)(Import *, const OxNode *, int) = *p == '$' ? ox_any : *p == '@' ? ox_tensor : ox_list;
      if (p[1] != '*') part = get(im, n, p[1] - '0');
      if (p[1] != '*' && part) sb_printf(&b, "%s", part);
      for (int i = 0; p[1] == '*' && i < n->nin && part; i++)
        if ((part = get(im, n, i))) sb_printf(&b, "%s%s", i ? ", " : "", part);
      p++;
    } else if (*p == '?' && isdigit((unsigned char)p[1])) {
      part = ox_has(n, p[1] - '0') ? ox_tensor(im, n, p[1] - '0') : "none";
      if (part) sb_printf(&b, "%s", part);
      p++;
    } else if (*p == '^' && isdigit((unsigned char)p[1])) {
      DType dt = ox_has(n, p[1] - '0') ? ox_elem(im->value.v[n->in[p[1] - '0']].elem)->dt : DT_NONE;
      sb_printf(&b, "%s", dtype_name(dt == DT_NONE ? DT_F32 : dt));
      p++;
    } else if (*p == '#') {
      sb_printf(&b, "%d", n->nout);
    } else if (*p == '{') {
      const char *end = strchr(p, '}');
      bool must = end[-1] == '!';
      const char *name = arena_strndup(im->a, p + 1, (size_t)(end - p - 1 - must));
      const AttributeProto *a = ox_attribute(n->proto, name);
      if (a && must) sb_printf(&b, "%s", attribute_text(im, n, a));
      else if (a) sb_printf(&b, ", %s = %s", ox_identifier(im->a, name), attribute_text(im, n, a));
      else if (must) {
        ox_problem(im, n, "lacks its attribute '%s'", name);
        part = NULL;
      }
      p = end;
    } else {
      sb_put(&b, p, 1);
    }
  }
  const char *s = part ? trim_none(im, arena_strdup(im->a, b.s ? b.s : "")) : NULL;
  sb_free(&b);
  return s;
}

/* ---- results ---- */

static int result_type(Import *im, const OxNode *n, const OxRow *row, int i) {
  const char *t = row->type;
  size_t len = strlen(t);
  char c = len ? t[(size_t)i < len ? (size_t)i : len - 1] : '0';
  if (c == 'b') return 9;
  if (c == 'l') return 7;
  if (c == 'f') return 1;
  if (c == 'i') return 6;
  if (c == 'u') return 2;
  if (c == 't') {
    static const char *const names[] = {"to", "dtype", "output_dtype"};
    for (int k = 0; k < 3; k++) {
      const AttributeProto *a = ox_attribute(n->proto, names[k]);
      if (a && a->i) return (int)a->i;
    }
    return ox_has(n, 0) && im->value.v[n->in[0]].elem ? im->value.v[n->in[0]].elem : 1;
  }
  for (int k = isdigit((unsigned char)c) ? c - '0' : 0; k < n->nin; k++)
    if (n->in[k] >= 0) return im->value.v[n->in[k]].elem;
  return 1;
}

/* Ranks of results, where a rule gives them without looking at shapes. */
static int result_rank(Import *im, const OxNode *n) {
  static const char *const same[] = {
      "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Cast", "Identity", "Transpose", "Softmax", "Erf",
      "LayerNormalization", "BatchNormalization", "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Clip", "Slice",
      "Concat", "Pad", "LogSoftmax", "Not", "CastLike", "Tile", "Gelu", "LeakyRelu", "Elu", "Reciprocal", "Floor", "Ceil",
      "Dropout", "ConvTranspose", "Softplus", "Trilu", "Split", "CumSum", "GroupNormalization", "InstanceNormalization"};
  static const char *const wide[] = {"Add", "Sub", "Mul", "Div", "Pow", "Where", "Equal", "Less", "Greater", "And", "Or",
                                     "LessOrEqual", "GreaterOrEqual", "Min", "Max", "Mod", "Sum", "Mean"};
  const char *op = n->proto->op_type;
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    if (!strcmp(op, same[i])) return ox_rank(im, n, 0);
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    if (strcmp(op, wide[i])) continue;
    int most = -1;
    for (int k = 0; k < n->nin; k++) {
      int r = ox_rank(im, n, k);
      if (r < 0) return -1;
      if (r > most) most = r;
    }
    return most;
  }
  if (!strcmp(op, "Flatten") || !strcmp(op, "Gemm")) return 2;
  if (!strcmp(op, "Range")) return 1;
  if (!strcmp(op, "MatMul")) {
    int a = ox_rank(im, n, 0), b = ox_rank(im, n, 1);
    return a > 1 && b > 1 ? (a > b ? a : b) : -1;
  }
  if (!strcmp(op, "Gather")) {
    int a = ox_rank(im, n, 0), b = ox_rank(im, n, 1);
    return a >= 0 && b >= 0 ? a - 1 + b : -1;
  }
  if (!strncmp(op, "Reduce", 6)) return ox_int(n, "keepdims", 1) ? ox_rank(im, n, 0) : -1;
  if (!strcmp(op, "Reshape") || !strcmp(op, "Expand") || !strcmp(op, "ConstantOfShape")) {
    const OxKnown *k = op[0] == 'C' ? ox_known(im, n->in[0]) : ox_has(n, 1) ? ox_known(im, n->in[1]) : NULL;
    if (!k || k->n < 0) return -1;
    int r = ox_rank(im, n, 0);
    return op[0] == 'E' ? (r < 0 ? -1 : r > k->n ? r : k->n) : k->n;
  }
  if (!strcmp(op, "Unsqueeze")) {
    const AttributeProto *a = ox_attribute(n->proto, "axes");
    const OxKnown *k = ox_has(n, 1) ? ox_known(im, n->in[1]) : NULL;
    int r = ox_rank(im, n, 0), more = a ? (int)a->n_ints : k ? k->n : -1;
    return r >= 0 && more >= 0 ? r + more : -1;
  }
  return -1;
}

/* Extents of results, for the few operators that shapes are made through; NULL: not known. */
static const int64_t *result_dims(Import *im, const OxNode *n, int rank) {
  static const char *const same[] = {"Identity", "Cast", "CastLike", "Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Sqrt", "Softmax", "Gelu", "Erf"};
  const char *op = n->proto->op_type;
  const OxValue *x = ox_has(n, 0) ? &im->value.v[n->in[0]] : NULL;
  if (!x || rank < 0 || rank > MAX_RANK) return NULL;
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    if (!strcmp(op, same[i])) return x->dim;
  int64_t *d = NEWN(im->a, int64_t, MAX_RANK + 1);
  if (!strcmp(op, "Transpose") && x->dim) {
    const AttributeProto *p = ox_attribute(n->proto, "perm");
    for (int i = 0; i < rank; i++) {
      int64_t from = p && (int)p->n_ints == rank ? p->ints[i] : rank - 1 - i;
      if (from < 0 || from >= rank) return NULL;
      d[i] = x->dim[from];
    }
    return d;
  }
  if (strcmp(op, "Reshape") || !ox_has(n, 1)) return NULL;
  const OxKnown *k = ox_known(im, n->in[1]);
  int64_t count = x->dim && x->rank >= 0, given = 1;
  for (int i = 0; count > 0 && i < x->rank; i++) count = x->dim[i] > 0 && count < ((int64_t)1 << 40) / x->dim[i] ? count * x->dim[i] : 0;
  if (!k || k->n != rank) return NULL;
  for (int i = 0; i < rank; i++) {
    if (k->item[i].text) d[i] = -1, count = 0;
    else if (k->item[i].num == 0) d[i] = x->dim && i < x->rank ? x->dim[i] : -1;
    else d[i] = (int64_t)k->item[i].num;
    if (d[i] > 0) given *= d[i];
    else if (k->item[i].text || k->item[i].num != -1) count = 0;
  }
  for (int i = 0; i < rank; i++)
    if (d[i] == -1 && !k->item[i].text && k->item[i].num == -1 && count && given > 0 && count % given == 0) d[i] = count / given;
  return d;
}

void ox_push(Import *im, OxStatement s) { vec_push(im->a, &im->statement, s); }

/* Narrow integers are held by wider ones, so what may leave their range is brought back; narrow floats are rounded. */
static const char *narrowed(Import *im, const OxNode *n, const char *text, int elem) {
  static const char *const wrapping[] = {"Add", "Sub", "Mul", "Neg", "BitShift", "BitwiseNot", "Pow", "Sum", "MatMul", "Cast", "CastLike", "Abs"};
  const OxElem *e = ox_elem(elem);
  bool cast = !strncmp(n->proto->op_type, "Cast", 4);
  for (size_t i = 0; e->wrap && i < sizeof wrapping / sizeof *wrapping; i++)
    if (!strcmp(n->proto->op_type, wrapping[i]))
      return arena_printf(im->a, "%s(%s, %d)", e->wrap < 0 ? "wrap_signed" : "wrap_unsigned", text, abs(e->wrap));
  (void)cast;
  return text;
}

static void emit_row(Import *im, const OxNode *n, const OxRow *row) {
  OxStatement s = {.node = (int)(n - im->node.v), .live = false};
  if (ox_layer(im, n, &s)) {
    if (s.text) ox_push(im, s);
    return;
  }
  bool integers = row->integers && ox_has(n, 0) && dtype_is_int(ox_elem(im->value.v[n->in[0]].elem)->dt);
  s.text = row->special ? row->special(im, n) : ox_fill(im, n, integers ? row->integers : row->text);
  if (!s.text || !*s.text) return; /* a problem, or nothing to say */
  s.text = narrowed(im, n, s.text, result_type(im, n, row, 0));
  s.nout = n->nout;
  s.out = NEWN(im->a, int, n->nout + 1);
  for (int i = 0; i < n->nout; i++) s.out[i] = n->out[i];
  ox_push(im, s);
}

static void emit_node(Import *im, int i) {
  const OxNode n = im->node.v[i];
  const OxNode *at = &im->node.v[i];
  int64_t first = 0;
  const OxRow *row = ox_row(n.proto->domain, n.proto->op_type, im->opset, &first);
  if (!row) {
    if (first) ox_problem(im, &n, "this operator begins with opset %lld, the model has %lld", (long long)first, (long long)im->opset);
    else if (n.proto->domain && *n.proto->domain) ox_problem(im, &n, "no such operator of %s is known", n.proto->domain);
    else ox_problem(im, &n, "no such operator is known");
  }
  bool folded = row && ox_fold(im, at);
  int64_t rank = row && !folded ? result_rank(im, at) : -1;
  if (row && !folded) emit_row(im, at, row);
  at = &im->node.v[i]; /* operators that hold graphs add nodes */
  for (int k = 0; k < at->nout; k++) {
    if (at->out[k] < 0 || (folded && !k)) continue;
    OxValue *v = &im->value.v[at->out[k]];
    if (v->kind != OX_UNSET) continue;
    v->kind = OX_RESULT;
    v->elem = row ? result_type(im, at, row, k) : 0;
    v->rank = rank < 0 && v->told ? v->told - 1 : (int)rank;
    if (!k && row) v->dim = result_dims(im, at, v->rank);
  }
}

void ox_emit_nodes(Import *im, int from, int to) {
  for (int i = from; i < to && im->problems < 1000; i++) emit_node(im, i);
}

/* What no result needs is no part of the model. */
static void sweep(Import *im) {
  char *needed = arena_alloc(im->a, (size_t)im->value.n + 1);
  for (int i = 0; i < im->output.n; i++) needed[im->output.v[i]] = 1;
  for (int i = 0; i < im->output.n; i++) {
    const OxKnown *k = im->value.v[im->output.v[i]].known;
    for (int j = 0; k && j < k->n; j++)
      for (const char *p = k->item[j].text; p && (p = strchr(p, '\001')); p++) needed[atoi(p + 1)] = 1;
    for (const char *p = k && k->n < 0 ? k->text : NULL; p && (p = strchr(p, '\001')); p++) needed[atoi(p + 1)] = 1;
  }
  for (int i = im->statement.n - 1; i >= 0; i--) {
    OxStatement *s = &im->statement.v[i];
    for (int k = 0; k < s->nout; k++) s->live |= s->out[k] >= 0 && needed[s->out[k]];
    if (!s->live) continue;
    for (const char *p = s->text; (p = strchr(p, '\001')); p++) needed[atoi(p + 1)] = 1;
  }
  for (int i = 0; i < im->value.n; i++) im->value.v[i].read = needed[i];
  int n = 0, *now = NEWN(im->a, int, im->statement.n + 1);
  for (int i = 0; i < im->statement.n; i++) {
    OxStatement s = im->statement.v[i];
    now[i] = s.live ? n : -1;
    for (int k = 0; k < s.nout; k++)
      if (s.out[k] >= 0 && !needed[s.out[k]]) s.out[k] = -1;
    if (s.live) im->statement.v[n++] = s;
  }
  im->statement.n = n;
  for (int i = 0; i < im->layer.n; i++) im->layer.v[i].statement = now[im->layer.v[i].statement];
}

/* Results that are inputs, constants or known get a statement, so that they have a name. */
static void name_outputs(Import *im) {
  static const NodeProto none = {.op_type = "Identity"};
  for (int i = 0; i < im->output.n; i++) {
    int v = im->output.v[i];
    bool twice = false;
    for (int k = 0; k < i; k++) twice |= im->output.v[k] == v;
    OxValue *o = &im->value.v[v];
    if (o->kind == OX_RESULT && !o->known && !twice) continue;
    OxNode n = {.proto = &none, .in = &v, .nin = 1, .label = o->name};
    OxStatement s = {.node = -1, .text = ox_tensor(im, &n, 0), .nout = 1, .out = NEWN(im->a, int, 1)};
    s.out[0] = ox_new_value(im, im->value.v[v].name);
    im->value.v[s.out[0]].kind = OX_RESULT;
    im->output.v[i] = s.out[0];
    ox_push(im, s);
  }
}

static void count_uses(Import *im) {
  im->nuses = im->value.n;
  im->uses = NEWN(im->a, int, im->nuses + 1);
  for (int i = 0; i < im->node.n; i++)
    for (int k = 0; k < im->node.v[i].nin; k++)
      if (im->node.v[i].in[k] >= 0) im->uses[im->node.v[i].in[k]]++;
  for (int i = 0; i < im->output.n; i++) im->uses[im->output.v[i]]++;
}

void ox_emit(Import *im) {
  count_uses(im);
  ox_emit_nodes(im, 0, im->node.n);
  if (im->problems) return;
  for (int i = 0; i < im->output.n; i++)
    if (im->value.v[im->output.v[i]].sequence) ox_problem(im, NULL, "the output '%s' is a sequence", im->value.v[im->output.v[i]].name);
  name_outputs(im);
  sweep(im);
}
