/* Values known when compiling. Shapes and what is computed of them become numbers, lists and expressions of these; the
   rest of a model then has `reshape(x, [shape(x)[0], 12, 64])`, which holds for any batch. */
#include "lib/tensors.h"
#include "onnx/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ITEMS = 256 };

const char *ox_number(Arena *a, double x) {
  if (isnan(x)) return "(inf - inf)";
  if (isinf(x) || fabs(x) > 0x1p62) return x > 0 ? "inf" : "-inf";
  if (x == floor(x) && fabs(x) < 1e15) return arena_printf(a, "%.0f", x == 0 ? 0.0 : x);
  char s[40];
  for (int digits = 1; digits < 18; digits++) { /* the shortest that is the same f32, or f64 where x is no f32 */
    snprintf(s, sizeof s, "%.*g", digits, x);
    double y = atof(s);
    if (y == x || ((double)(float)x == x && (float)y == (float)x)) break;
  }
  return arena_strdup(a, s);
}

static OxItem number(double x) { return (OxItem){x, NULL}; }
static const char *item_text(Import *im, OxItem i) { return i.text ? i.text : ox_number(im->a, i.num); }

static OxKnown *known_new(Import *im, int rank, int n) {
  OxKnown *k = NEW(im->a, OxKnown);
  k->rank = rank;
  k->n = n;
  k->item = NEWN(im->a, OxItem, n > 0 ? n : 1);
  return k;
}

const char *ox_known_text(Import *im, const OxKnown *k) {
  if (k->n < 0) return k->text;
  if (!k->rank) return item_text(im, k->item[0]);
  StrBuf b = {0};
  sb_put(&b, "[", 1);
  for (int i = 0; i < k->n; i++) sb_printf(&b, "%s%s", i ? ", " : "", item_text(im, k->item[i]));
  sb_put(&b, "]", 1);
  const char *s = arena_strdup(im->a, b.s);
  sb_free(&b);
  return s;
}

static const OxKnown *of_tensor(Import *im, const TensorProto *t, const char *name) {
  int64_t n = 1;
  if (t->n_dims > 1) return NULL;
  for (size_t i = 0; i < t->n_dims; i++) n *= t->dims[i];
  if (n > MOST_ITEMS || n < 0 || ox_elem(t->data_type)->dt == DT_NONE) return NULL;
  double *x = NEWN(im->a, double, n + 1);
  if (!ox_tensor_numbers(im, t, name, x, n)) return NULL;
  OxKnown *k = known_new(im, (int)t->n_dims, (int)n);
  for (int i = 0; i < n; i++) k->item[i] = number(x[i]);
  return k;
}

/* An input whose value --inputs gives. */
static const OxKnown *of_input(Import *im, const OxValue *v) {
  const StTensor *t = im->known ? st_find((const StFile *)im->known, v->name) : NULL;
  if (!t || t->shape.rank > 1 || shape_count(&t->shape) > MOST_ITEMS) return NULL;
  int64_t n = shape_count(&t->shape);
  double *x = NEWN(im->a, double, n + 1);
  tensors_to_f64(x, t->dt, t->data, n);
  OxKnown *k = known_new(im, t->shape.rank, (int)n);
  for (int i = 0; i < n; i++) k->item[i] = number(x[i]);
  return k;
}

const OxKnown *ox_known(Import *im, int value) {
  OxValue *v = &im->value.v[value];
  if (v->known) return v->known;
  if (v->kind == OX_CONST) v->known = of_tensor(im, v->tensor, v->name);
  if (v->kind == OX_INPUT) return of_input(im, v); /* elsewhere it stays an input */
  return v->known;
}

/* ---- computing on what is known ---- */

static const OxKnown *operand(Import *im, const OxNode *n, int i) {
  if (i >= n->nin || n->in[i] < 0) return NULL;
  return im->from_inputs || im->value.v[n->in[i]].kind != OX_INPUT ? ox_known(im, n->in[i]) : NULL;
}

static int elem_of(Import *im, const OxNode *n, int i) { return i < n->nin && n->in[i] >= 0 ? im->value.v[n->in[i]].elem : 0; }

static bool settle(Import *im, const OxNode *n, const OxKnown *k, int elem) {
  OxValue *v = &im->value.v[n->out[0]];
  v->kind = OX_RESULT;
  v->known = k;
  v->elem = elem;
  v->rank = k->rank;
  return true;
}

static bool is_integer(int elem) {
  DType dt = ox_elem(elem)->dt;
  return dtype_is_int(dt) || dt == DT_BOOL;
}

static double divide(double a, double b) { return b == 0 ? 0 : trunc(a / b); }
static double modulo(double a, double b) { return b == 0 ? 0 : a - floor(a / b) * b; }

/* Two numbers, and the text for others; %s twice. */
static const struct {
  const char *op;
  const char *text, *integers;
  bool truth;
} binary[] = {
    {"Add", "(%s + %s)", NULL, false},
    {"Sub", "(%s - %s)", NULL, false},
    {"Mul", "%s * %s", NULL, false},
    {"Div", "%s / %s", "floor(%s / %s)", false},
    {"Mod", NULL, NULL, false},
    {"Min", "minimum(%s, %s)", NULL, false},
    {"Max", "maximum(%s, %s)", NULL, false},
    {"Pow", NULL, NULL, false},
    {"Equal", NULL, NULL, true},
    {"Less", NULL, NULL, true},
    {"Greater", NULL, NULL, true},
    {"LessOrEqual", NULL, NULL, true},
    {"GreaterOrEqual", NULL, NULL, true},
    {"And", NULL, NULL, true},
    {"Or", NULL, NULL, true},
    {"Xor", NULL, NULL, true},
};
enum { BINARY = sizeof binary / sizeof *binary };

static double compute(int op, double a, double b, bool integers) {
  switch (op) {
  case 0: return a + b;
  case 1: return a - b;
  case 2: return a * b;
  case 3: return integers ? divide(a, b) : a / b;
  case 4: return modulo(a, b);
  case 5: return fmin(a, b);
  case 6: return fmax(a, b);
  case 7: return pow(a, b);
  case 8: return a == b;
  case 9: return a < b;
  case 10: return a > b;
  case 11: return a <= b;
  case 12: return a >= b;
  case 13: return a && b;
  case 14: return a || b;
  default: return !a != !b;
  }
}

/* Several floats of the file: a weight or a statistic, which stays one, rather than numbers to compute with. */
static bool is_weight(Import *im, const OxNode *n, int i) {
  const OxValue *v = ox_has(n, i) ? &im->value.v[n->in[i]] : NULL;
  return v && (v->kind == OX_CONST || v->kind == OX_STATE) && v->rank == 1 && v->dim[0] > 1 && !is_integer(v->elem);
}

static bool fold_binary(Import *im, const OxNode *n, int op) {
  const OxKnown *a = operand(im, n, 0), *b = operand(im, n, 1);
  if (!a || !b || a->n < 0 || b->n < 0 || n->nin != 2) return false;
  if (a->n != b->n && a->n != 1 && b->n != 1) return false;
  bool integers = is_integer(elem_of(im, n, 0));
  OxKnown *k = known_new(im, a->rank > b->rank ? a->rank : b->rank, a->n == 1 ? b->n : a->n);
  for (int i = 0; i < k->n; i++) {
    OxItem x = a->item[a->n == 1 ? 0 : i], y = b->item[b->n == 1 ? 0 : i];
    if (!x.text && !y.text) {
      k->item[i] = number(compute(op, x.num, y.num, integers));
      continue;
    }
    const char *text = integers && binary[op].integers ? binary[op].integers : binary[op].text;
    if (op == 8 && ((!x.text && x.num < 0) || (!y.text && y.num < 0))) { /* an extent is never -1 */
      k->item[i] = number(0);
      continue;
    }
    if (!text) return false;
    const char *xt = item_text(im, x), *yt = item_text(im, y);
    if (op == 2 && !x.text && x.num == 1) k->item[i] = y;
    else if ((op == 2 || op == 3) && !y.text && y.num == 1) k->item[i] = x;
    else if (!strncmp(text, "floor", 5)) k->item[i].text = arena_printf(im->a, "floor(%s / %s)", xt, yt);
    else if (text[0] == 'm') k->item[i].text = arena_printf(im->a, "%.8s%s, %s)", text, xt, yt);
    else k->item[i].text = arena_printf(im->a, op < 2 ? "(%s %c %s)" : "%s %c %s", xt, "+-*/"[op], yt);
  }
  return settle(im, n, k, binary[op].truth ? 9 : elem_of(im, n, 0));
}

static bool fold_unary(Import *im, const OxNode *n, double (*f)(double)) {
  const OxKnown *a = operand(im, n, 0);
  if (!a || a->n < 0) return false;
  OxKnown *k = known_new(im, a->rank, a->n);
  for (int i = 0; i < a->n; i++) {
    if (a->item[i].text) {
      if (f != sqrt) return false;
      k->item[i].text = arena_printf(im->a, "sqrt(%s)", a->item[i].text);
    } else k->item[i] = number(f(a->item[i].num));
  }
  return settle(im, n, k, elem_of(im, n, 0));
}

static double negative(double x) { return -x; }
static double not_(double x) { return !x; }
static double reciprocal(double x) { return 1 / x; }

static bool fold_same(Import *im, const OxNode *n) {
  const OxKnown *a = operand(im, n, 0);
  return a && settle(im, n, a, elem_of(im, n, 0));
}

static bool fold_cast(Import *im, const OxNode *n) {
  const OxKnown *a = operand(im, n, 0);
  bool like = !strcmp(n->proto->op_type, "CastLike");
  int to = like ? elem_of(im, n, 1) : (int)ox_int(n, "to", 0);
  const OxElem *e = ox_elem(to);
  if (!a || e->dt == DT_NONE || (a->n < 0 && !is_integer(to))) return false;
  if (a->n < 0) return settle(im, n, a, to);
  OxKnown *k = known_new(im, a->rank, a->n);
  for (int i = 0; i < a->n; i++) {
    k->item[i] = a->item[i];
    if (a->item[i].text) continue;
    double x = a->item[i].num;
    if (e->dt == DT_BOOL) x = x != 0;
    else if (is_integer(to)) x = trunc(x);
    else if (e->exponent && e->bits < 16) return false;
    else if (e->dt == DT_F32) x = (float)x;
    if (e->wrap && (x < 0 || x > 3)) return false;
    k->item[i] = number(x);
  }
  return settle(im, n, k, to);
}

static bool fold_shape(Import *im, const OxNode *n) {
  if (n->in[0] < 0) return false;
  OxValue *x = &im->value.v[n->in[0]];
  if (x->sequence) return false;
  int64_t start = ox_int(n, "start", 0), end = ox_int(n, "end", INT64_MAX);
  bool whole = !start && end == INT64_MAX;
  if (x->kind == OX_CONST || (x->kind == OX_RESULT && x->known && x->known->n >= 0)) {
    int rank = x->rank;
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    start = start < 0 ? 0 : start, end = end > rank ? rank : end;
    OxKnown *k = known_new(im, 1, end > start ? (int)(end - start) : 0);
    for (int i = 0; i < k->n; i++) k->item[i] = number(x->known && x->kind != OX_CONST ? x->known->n : (double)x->dim[start + i]);
    return settle(im, n, k, 7);
  }
  if (x->known && x->kind == OX_RESULT) {
    if (!whole) return false;
    OxKnown *k = known_new(im, 1, 1);
    k->item[0].text = arena_printf(im->a, "len(%s)", x->known->text);
    return settle(im, n, k, 7);
  }
  const char *name = ox_ref(im, n->in[0]);
  if (x->rank < 0) {
    if (!whole) return false;
    OxKnown *k = known_new(im, 1, 0);
    k->n = -1;
    k->text = arena_printf(im->a, "shape(%s)", name);
    return settle(im, n, k, 7);
  }
  if (start < 0) start += x->rank;
  if (end < 0) end += x->rank;
  start = start < 0 ? 0 : start, end = end > x->rank ? x->rank : end;
  OxKnown *k = known_new(im, 1, end > start ? (int)(end - start) : 0);
  for (int i = 0; i < k->n; i++) {
    int64_t d = x->dim ? x->dim[start + i] : -1;
    if (d >= 0) k->item[i] = number((double)d);
    else k->item[i].text = arena_printf(im->a, "shape(%s)[%d]", name, (int)(start + i));
  }
  return settle(im, n, k, 7);
}

static bool fold_size(Import *im, const OxNode *n) {
  if (n->in[0] < 0 || im->value.v[n->in[0]].sequence) return false;
  OxValue *x = &im->value.v[n->in[0]];
  OxKnown *k = known_new(im, 0, 1);
  if (x->kind == OX_RESULT && x->known) {
    if (x->known->n >= 0) k->item[0] = number(x->known->n);
    else k->item[0].text = arena_printf(im->a, "len(%s)", x->known->text);
    return settle(im, n, k, 7);
  }
  k->item[0].text = arena_printf(im->a, "count(%s)", ox_ref(im, n->in[0]));
  if (x->kind == OX_CONST) {
    double c = 1;
    for (int i = 0; i < x->rank; i++) c *= (double)x->dim[i];
    k->item[0] = number(c);
  }
  return settle(im, n, k, 7);
}

static bool fold_gather(Import *im, const OxNode *n) {
  const OxKnown *a = operand(im, n, 0), *at = operand(im, n, 1);
  if (!a || !at || a->rank != 1 || at->n < 0) return false;
  OxKnown *k = known_new(im, at->rank, at->n);
  for (int i = 0; i < at->n; i++) {
    if (at->item[i].text) return false;
    int64_t j = (int64_t)at->item[i].num;
    if (a->n < 0) {
      k->item[i].text = arena_printf(im->a, "%s[%lld]", a->text, (long long)j);
      continue;
    }
    if (j < 0) j += a->n;
    if (j < 0 || j >= a->n) return false;
    k->item[i] = a->item[j];
  }
  return settle(im, n, k, elem_of(im, n, 0));
}

static bool fold_concat(Import *im, const OxNode *n) {
  int total = 0;
  bool open = false;
  for (int i = 0; i < n->nin; i++) {
    const OxKnown *a = operand(im, n, i);
    if (!a || a->rank != 1) return false;
    open |= a->n < 0;
    total += a->n;
  }
  OxKnown *k = known_new(im, 1, open ? 0 : total);
  if (open) {
    StrBuf b = {0};
    for (int i = 0; i < n->nin; i++) sb_printf(&b, "%s%s", i ? " + " : "(", ox_known_text(im, operand(im, n, i)));
    sb_put(&b, ")", 1);
    k->n = -1;
    k->text = arena_strdup(im->a, b.s);
    sb_free(&b);
  } else {
    for (int i = 0, at = 0; i < n->nin; i++)
      for (int j = 0; j < operand(im, n, i)->n; j++) k->item[at++] = operand(im, n, i)->item[j];
  }
  return settle(im, n, k, elem_of(im, n, 0));
}

/* Squeeze, Unsqueeze, Reshape and Flatten between a number and a list of one. */
static bool fold_rank(Import *im, const OxNode *n, const char *op) {
  const OxKnown *a = operand(im, n, 0), *how = operand(im, n, 1);
  if (!a || (a->n < 0 && a->rank == 1 && strcmp(op, "Reshape"))) return false;
  int rank = a->rank;
  if (!strcmp(op, "Unsqueeze")) rank++;
  else if (!strcmp(op, "Squeeze")) rank = a->n == 1 ? 0 : a->rank;
  else {
    if (!how || how->n < 0) return false;
    if (how->n > 1) return false;
    rank = how->n;
    if (a->n < 0) return rank == 1 && settle(im, n, a, elem_of(im, n, 0));
  }
  if (rank > 1 || (rank == 0 && a->n != 1)) return false;
  OxKnown *k = known_new(im, rank, a->n);
  memcpy(k->item, a->item, sizeof *k->item * (size_t)a->n);
  return settle(im, n, k, elem_of(im, n, 0));
}

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }

static bool fold_slice(Import *im, const OxNode *n) {
  const OxKnown *a = operand(im, n, 0), *k[4] = {0};
  int64_t given[4] = {0, 0, 0, 1};
  if (!a || a->rank != 1) return false;
  static const char *const names[] = {"starts", "ends"};
  for (int i = 0; i < 4; i++) {
    if (im->opset < 10) {
      const AttributeProto *p = i < 2 ? ox_attribute(n->proto, names[i]) : NULL;
      if (i < 2 && (!p || p->n_ints != 1)) return false;
      if (p) given[i] = p->ints[0];
    } else if (ox_has(n, i + 1)) {
      k[i] = operand(im, n, i + 1);
      if (!k[i] || k[i]->n != 1 || k[i]->item[0].text) return false;
      double x = k[i]->item[0].num;
      given[i] = x > 1e15 ? (int64_t)1e15 : x < -1e15 ? -(int64_t)1e15 : (int64_t)x;
    }
  }
  int64_t start = given[0], end = given[1], step = given[3];
  if (a->n < 0) {
    if (step != 1) return false;
    OxKnown *r = known_new(im, 1, 0);
    r->n = -1;
    r->text = end >= (int64_t)1e15 ? arena_printf(im->a, "%s[%lld:]", a->text, (long long)start)
                                   : arena_printf(im->a, "%s[%lld:%lld]", a->text, (long long)start, (long long)end);
    return settle(im, n, r, elem_of(im, n, 0));
  }
  if (!step) return false;
  if (start < 0) start += a->n;
  if (end < 0) end += a->n;
  start = clamp(start, 0, step > 0 ? a->n : a->n - 1);
  end = clamp(end, step > 0 ? 0 : -1, a->n);
  OxKnown *r = known_new(im, 1, a->n);
  r->n = 0;
  for (int64_t i = start; step > 0 ? i < end : i > end; i += step) r->item[r->n++] = a->item[i];
  return settle(im, n, r, elem_of(im, n, 0));
}

/* Only where a list is wanted: as a tensor it is counted. */
static bool fold_range(Import *im, const OxNode *n) {
  if (!im->from_inputs) return false;
  const OxKnown *a = operand(im, n, 0), *b = operand(im, n, 1), *c = operand(im, n, 2);
  if (!a || !b || !c || a->item[0].text || b->item[0].text || c->item[0].text) return false;
  double start = a->item[0].num, end = b->item[0].num, step = c->item[0].num, count = ceil((end - start) / step);
  if (!(count >= 0 && count <= 16)) return false;
  OxKnown *k = known_new(im, 1, (int)count);
  for (int i = 0; i < k->n; i++) k->item[i] = number(start + i * step);
  return settle(im, n, k, elem_of(im, n, 0));
}

/* A list of equal numbers: ConstantOfShape of [3], Expand of a number to it. */
static bool fold_repeated(Import *im, const OxNode *n, bool constant) {
  const OxKnown *shape = operand(im, n, constant ? 0 : 1), *a = constant ? NULL : operand(im, n, 0);
  if (!shape || shape->n < 0 || shape->n > 1 || (shape->n == 1 && (shape->item[0].text || shape->item[0].num > 16))) return false;
  OxItem item = number(0);
  int elem = 1;
  if (constant) {
    const AttributeProto *p = ox_attribute(n->proto, "value");
    if (p && p->t) {
      double x;
      if (!ox_tensor_numbers(im, p->t, n->label, &x, 1)) return false;
      item = number(x);
      elem = p->t->data_type;
    }
  } else {
    if (!a || a->n < 0) return false;
    elem = elem_of(im, n, 0);
    if (a->n != 1) return shape->n == 1 && (shape->item[0].num == 1 || shape->item[0].num == a->n) && settle(im, n, a, elem);
    item = a->item[0];
  }
  int count = shape->n ? (int)shape->item[0].num : 1;
  int rank = shape->n > (a ? a->rank : 0) ? shape->n : a ? a->rank : 0;
  OxKnown *k = known_new(im, rank, count);
  for (int i = 0; i < count; i++) k->item[i] = item;
  return settle(im, n, k, elem);
}

static bool fold_product(Import *im, const OxNode *n, bool product) {
  const OxKnown *a = operand(im, n, 0);
  if (!a || a->rank != 1 || (ox_has(n, 1) && !operand(im, n, 1))) return false;
  bool keep = ox_int(n, "keepdims", 1) != 0;
  OxKnown *k = known_new(im, keep, 1);
  double x = product;
  bool text = a->n < 0;
  for (int i = 0; i < a->n; i++) {
    text |= a->item[i].text != NULL;
    x = product ? x * a->item[i].num : x + a->item[i].num;
  }
  if (text) k->item[0].text = arena_printf(im->a, "%s(%s)", product ? "product" : "total", ox_known_text(im, a));
  else k->item[0] = number(x);
  return settle(im, n, k, elem_of(im, n, 0));
}

static bool fold_where(Import *im, const OxNode *n) {
  const OxKnown *c = operand(im, n, 0), *a = operand(im, n, 1), *b = operand(im, n, 2);
  if (!c || !a || !b || c->n < 0 || a->n < 0 || b->n < 0) return false;
  int most = c->n > a->n ? c->n : a->n, rank = c->rank | a->rank | b->rank;
  if (b->n > most) most = b->n;
  OxKnown *k = known_new(im, rank, most);
  for (int i = 0; i < most; i++) {
    OxItem x = c->item[c->n == 1 ? 0 : i];
    if (x.text) return false;
    k->item[i] = x.num != 0 ? a->item[a->n == 1 ? 0 : i] : b->item[b->n == 1 ? 0 : i];
  }
  return settle(im, n, k, elem_of(im, n, 1));
}

bool ox_fold(Import *im, const OxNode *n) {
  static const struct {
    const char *op;
    bool (*f)(Import *, const OxNode *);
  } plain[] = {{"Identity", fold_same}, {"Cast", fold_cast},     {"CastLike", fold_cast}, {"Shape", fold_shape},
               {"Size", fold_size},     {"Gather", fold_gather}, {"Concat", fold_concat}, {"Slice", fold_slice},
               {"Range", fold_range},   {"Where", fold_where}};
  static const struct {
    const char *op;
    double (*f)(double);
  } unary[] = {{"Neg", negative}, {"Sqrt", sqrt}, {"Abs", fabs},  {"Floor", floor}, {"Ceil", ceil},
               {"Not", not_},     {"Exp", exp},   {"Log", log},   {"Reciprocal", reciprocal}};
  const char *op = n->proto->op_type;
  if (!n->nin || n->nout < 1 || n->out[0] < 0) return false;
  for (int i = 0; i < n->nin && !im->from_inputs; i++)
    if (is_weight(im, n, i)) return false;
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (!strcmp(op, plain[i].op)) return plain[i].f(im, n);
  for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
    if (!strcmp(op, unary[i].op)) return fold_unary(im, n, unary[i].f);
  for (int i = 0; i < BINARY; i++)
    if (!strcmp(op, binary[i].op)) return fold_binary(im, n, i);
  if (!strcmp(op, "Squeeze") || !strcmp(op, "Unsqueeze") || !strcmp(op, "Reshape")) return fold_rank(im, n, op);
  if (!strcmp(op, "ConstantOfShape") || !strcmp(op, "Expand")) return fold_repeated(im, n, op[0] == 'C');
  if (!strcmp(op, "ReduceProd") || !strcmp(op, "ReduceSum")) return fold_product(im, n, op[6] == 'P');
  return false;
}

/* Goes back to what the value is made of. A statement that computed it stays for those who read the tensor. */
static const OxKnown *demanded(Import *im, int value, int depth) {
  const OxKnown *k = ox_known(im, value);
  int made_by = im->value.v[value].made_by;
  if (k || depth > 64 || made_by < 0 || im->value.v[value].kind != OX_RESULT) return k;
  const OxNode *n = &im->node.v[made_by];
  if (n->nout < 1 || n->out[0] != value) return NULL;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] >= 0) demanded(im, n->in[i], depth + 1);
  return ox_fold(im, n) ? im->value.v[value].known : NULL;
}

const OxKnown *ox_known_by_inputs(Import *im, int value) {
  const OxKnown *k = ox_known(im, value);
  if (k) return k;
  im->from_inputs = true;
  k = demanded(im, value, 0);
  im->from_inputs = false;
  return k;
}
