/* Operators that a text with holes cannot say: where the text depends on attributes, on what is known, or on element types. */
#include "onnx/special.h"

#include <stdlib.h>
#include <string.h>

static const char *print(Import *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *print(Import *im, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[8192];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return arena_strdup(im->a, text);
}

static int elem_of(Import *im, const OxNode *n, int i) { return ox_has(n, i) ? im->value.v[n->in[i]].elem : 0; }

/* An operand known when compiling, or an attribute of whole numbers where older opsets have it. */
static const char *list_of(Import *im, const OxNode *n, int i, const char *attribute) {
  const AttributeProto *a = ox_attribute(n->proto, attribute);
  if (a) return ox_fill(im, n, print(im, "{%s!}", attribute));
  return ox_list(im, n, i);
}

/* ---- constants ---- */

static TensorProto *tensor_new(Import *im, int elem, size_t n, bool list) {
  TensorProto *t = NEW(im->a, TensorProto);
  onnx__tensor_proto__init(t);
  t->has_data_type = true;
  t->data_type = elem;
  t->dims = NEWN(im->a, int64_t, 1);
  t->n_dims = list;
  t->dims[0] = (int64_t)n;
  return t;
}

const char *ox_constant(Import *im, const OxNode *n) {
  if (n->nout != 1 || n->out[0] < 0 || !n->proto->n_attribute) return ox_problem(im, n, "has no value"), NULL;
  const AttributeProto *a = n->proto->attribute[0];
  TensorProto *t = a->t;
  if (!strcmp(a->name, "value_float")) {
    t = tensor_new(im, 1, 1, false);
    t->n_float_data = 1;
    t->float_data = NEWN(im->a, float, 1);
    t->float_data[0] = a->f;
  } else if (!strcmp(a->name, "value_floats")) {
    t = tensor_new(im, 1, a->n_floats, true);
    t->n_float_data = a->n_floats;
    t->float_data = a->floats;
  } else if (!strcmp(a->name, "value_int")) {
    t = tensor_new(im, 7, 1, false);
    t->n_int64_data = 1;
    t->int64_data = NEWN(im->a, int64_t, 1);
    t->int64_data[0] = a->i;
  } else if (!strcmp(a->name, "value_ints")) {
    t = tensor_new(im, 7, a->n_ints, true);
    t->n_int64_data = a->n_ints;
    t->int64_data = a->ints;
  }
  int64_t count;
  if (!t) return ox_problem(im, n, "its value is no tensor of numbers (%s)", a->name), NULL;
  if (!ox_tensor_check(im, t, n->label, &count)) return NULL;
  OxValue *v = &im->value.v[n->out[0]];
  v->kind = OX_CONST;
  v->tensor = t;
  v->elem = t->data_type;
  v->rank = (int)t->n_dims;
  v->dim = t->dims;
  return "";
}

/* Another name for a value, which needs no statement. */
static const char *alias(Import *im, const OxNode *n) {
  int from = n->in[0], to = n->out[0];
  OxValue *v = &im->value.v[from];
  const char *name = im->value.v[to].name;
  if (v->kind == OX_CONST && !v->known) ox_known(im, from);
  OxValue *w = &im->value.v[to];
  if (v->kind == OX_CONST) {
    int made_by = w->made_by;
    *w = *v;
    w->name = name;
    w->made_by = made_by;
    return "";
  }
  return ox_tensor(im, n, 0);
}

const char *ox_identity(Import *im, const OxNode *n) {
  if (!ox_has(n, 0)) return ox_tensor(im, n, 0);
  im->value.v[n->out[0]].sequence = im->value.v[n->in[0]].sequence;
  return alias(im, n);
}

/* ---- element types ---- */

const char *ox_cast(Import *im, const OxNode *n) {
  const char *x = ox_tensor(im, n, 0);
  bool like = !strcmp(n->proto->op_type, "CastLike");
  int to = like ? elem_of(im, n, 1) : (int)ox_int(n, "to", 0), from = elem_of(im, n, 0);
  const OxElem *e = ox_elem(to), *f = ox_elem(from);
  if (!x) return NULL;
  if (e->dt == DT_NONE) return ox_problem(im, n, "makes elements of type %s, which jepac has nothing for", e->name), NULL;
  bool narrower = e->exponent && !(f->exponent && f->exponent <= e->exponent && f->mantissa <= e->mantissa && !e->finite && !f->uz);
  if (to == from && !e->wrap) return x;
  if (narrower) {
    if (!e->mantissa) /* float8e8m0 */
      return ox_problem(im, n, "rounds to %s, whose smallest number, 2^-127, is zero in jepac's f32", e->name), NULL;
    const char *value = f->dt == DT_F32 ? x : print(im, "f32(%s)", x);
    bool saturate = e->bits <= 8 && ox_int(n, "saturate", 1) != 0;
    double most = e->finite && !e->uz && e->bits == 8 ? 448 : to == 10 ? 65504 : to == 19 || to == 20 ? 57344 : to == 18 ? 240 : to == 23 ? 6 : 3.3895313892515355e38;
    return print(im, "onnx_round_float(%s, %d, %d, %s, \"%s\")", value, e->mantissa, 1 - e->bias, ox_number(im->a, most),
                 to == 23 ? "clamp" : saturate ? "saturate" : e->finite ? "nan" : "inf");
  }
  if (e->dt == DT_BOOL) return print(im, "%s != %s", x, f->dt == DT_BOOL ? "false" : "0");
  if (e->wrap && dtype_is_float(f->dt)) return print(im, "i32(%s)", x);
  if (e->dt == f->dt) return x;
  return print(im, "%s(%s)", dtype_name(e->dt), x);
}

/* Max, Min, Sum, Mean of any number of operands. */
const char *ox_variadic(Import *im, const OxNode *n) {
  const char *op = n->proto->op_type;
  StrBuf b = {0};
  bool sum = op[0] == 'S' || !strcmp(op, "Mean");
  const char *f = !strcmp(op, "Max") ? "maximum" : "minimum", *s = ox_any(im, n, 0);
  for (int i = 1; i < n->nin && s; i++) {
    const char *y = ox_any(im, n, i);
    s = !y ? NULL : sum ? print(im, "%s + %s", s, y) : print(im, "%s(%s, %s)", f, s, y);
  }
  if (s && !strcmp(op, "Mean")) s = n->nin > 1 ? print(im, "(%s) / %d", s, n->nin) : s;
  sb_free(&b);
  return s;
}

/* ---- shapes ---- */

const char *ox_shape(Import *im, const OxNode *n) {
  ox_problem(im, n, "the shape of this value is not known");
  return NULL;
}

const char *ox_reshape(Import *im, const OxNode *n) {
  const char *x = ox_tensor(im, n, 0), *shape = list_of(im, n, 1, "shape");
  if (!x || !shape) return NULL;
  const OxKnown *k = ox_has(n, 1) ? ox_known(im, n->in[1]) : NULL;
  bool plain = k && k->n >= 0 && !ox_int(n, "allowzero", 0);
  for (int i = 0; plain && i < k->n; i++) plain = k->item[i].text || k->item[i].num != 0;
  if (plain) return print(im, "reshape(%s, %s)", x, shape);
  return ox_int(n, "allowzero", 0) ? print(im, "reshape(%s, %s)", x, shape) : print(im, "onnx_reshape(%s, %s)", x, shape);
}

const char *ox_flatten(Import *im, const OxNode *n) {
  const char *x = ox_tensor(im, n, 0);
  int64_t axis = ox_int(n, "axis", 1);
  return x ? print(im, "onnx_flatten(%s, %lld)", x, (long long)axis) : NULL;
}

const char *ox_squeeze(Import *im, const OxNode *n) {
  bool un = n->proto->op_type[0] == 'U';
  const char *x = im->value.v[n->in[0]].sequence ? NULL : ox_tensor(im, n, 0), *axes = x ? list_of(im, n, 1, "axes") : NULL;
  if (!x || !axes) return NULL;
  size_t len = strlen(axes);
  bool one = len > 2 && axes[0] == '[' && !strchr(axes, ',') && !strchr(axes, '\001');
  if (one) return print(im, "%s(%s, %.*s)", un ? "unsqueeze" : "squeeze", x, (int)len - 2, axes + 1);
  return print(im, "onnx_%s(%s, %s)", un ? "unsqueeze" : "squeeze", x, axes);
}

const char *ox_slice(Import *im, const OxNode *n) {
  const char *x = ox_tensor(im, n, 0), *starts = list_of(im, n, 1, "starts"), *ends = list_of(im, n, 2, "ends"),
             *axes = list_of(im, n, 3, "axes"), *steps = ox_list(im, n, 4);
  if (!x || !starts || !ends || !axes || !steps) return NULL;
  return ox_fill(im, n, print(im, "onnx_slice(@0, %s, %s, %s, %s)", starts, ends, axes, steps));
}

const char *ox_pad(Import *im, const OxNode *n) {
  const char *pads = im->opset < 11 ? list_of(im, n, 1, im->opset < 2 ? "paddings" : "pads") : ox_list(im, n, 1);
  const char *value = im->opset < 11 ? ox_number(im->a, ox_attribute(n->proto, "value") ? ox_attribute(n->proto, "value")->f : 0)
                      : ox_list(im, n, 2);
  const char *axes = im->opset < 11 ? "none" : ox_list(im, n, 3);
  if (!pads || !value || !axes) return NULL;
  if (value[0] == '[') value = print(im, "%s[0]", value);
  if (!strcmp(value, "false") || !strcmp(value, "none")) value = "0";
  return ox_fill(im, n, print(im, "onnx_pad(@0, %s, %s, %s{mode})", pads, value, axes));
}

const char *ox_split(Import *im, const OxNode *n) {
  const char *sizes = list_of(im, n, 1, "split");
  if (!sizes) return NULL;
  const char *s = ox_fill(im, n, print(im, "onnx_split(@0, %d, %s{axis})", n->nout, sizes));
  return s && n->nout == 1 ? print(im, "%s[0]", s) : s;
}

const char *ox_constant_of_shape(Import *im, const OxNode *n) {
  const char *shape = ox_list(im, n, 0);
  const AttributeProto *a = ox_attribute(n->proto, "value");
  double x = 0;
  int elem = a && a->t ? a->t->data_type : 1;
  if (!shape || (a && a->t && !ox_tensor_numbers(im, a->t, n->label, &x, 1))) return NULL;
  OxValue *v = &im->value.v[n->out[0]];
  v->kind = OX_RESULT;
  v->elem = elem;
  const OxKnown *k = ox_known(im, n->in[0]);
  v->rank = k && k->n >= 0 ? k->n : -1;
  return print(im, "fill(%s, %s, %s)", shape, ox_number(im->a, x), dtype_name(ox_elem(elem)->dt));
}

const char *ox_transpose(Import *im, const OxNode *n) {
  return ox_fill(im, n, ox_attribute(n->proto, "perm") ? "transpose(@0, {perm!})" : "onnx_transpose(@0)");
}

/* One index that is known drops its axis: x[:, 0]. */
const char *ox_gather(Import *im, const OxNode *n) {
  const OxKnown *k = ox_has(n, 1) && im->value.v[n->in[1]].kind != OX_INPUT ? ox_known(im, n->in[1]) : NULL;
  int64_t axis = ox_int(n, "axis", 0);
  int rank = ox_rank(im, n, 0);
  if (axis < 0 && rank > 0) axis += rank;
  const OxNode *clip = ox_rows(im, n);
  if (clip) {
    const char *from = ox_tensor(im, n, 0), *rows = ox_tensor(im, clip, 0);
    return from && rows ? print(im, "gather(%s, %s, %lld)", from, rows, (long long)axis) : NULL;
  }
  if (!k || k->rank || axis < 0 || axis >= MAX_RANK) return ox_fill(im, n, "onnx_gather(@0, @1{axis})");
  const char *x = ox_tensor(im, n, 0), *colons = "";
  for (int64_t i = 0; i < axis; i++) colons = print(im, "%s:, ", colons);
  return x ? print(im, "%s[%s%s]", x, colons, ox_known_text(im, k)) : NULL;
}

/* ---- reductions ---- */

const char *ox_reduce(Import *im, const OxNode *n) {
  static const struct {
    const char *op, *f;
  } names[] = {{"L1", "onnx_sum_abs"}, {"L2", "onnx_root_sum_square"}, {"LogSum", "onnx_log_sum"}, {"LogSumExp", "onnx_log_sum_exp"},
               {"Max", "max"}, {"Mean", "mean"}, {"Min", "min"}, {"Prod", "prod"}, {"Sum", "sum"}, {"SumSquare", "onnx_sum_square"}};
  const char *from, *over = ox_deviations(im, n, &from);
  if (over) return print(im, "prim.reduce_m2(%s, axes = %s)", from, over);
  const char *f = NULL, *x = ox_tensor(im, n, 0), *axes = list_of(im, n, 1, "axes");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(n->proto->op_type + 6, names[i].op)) f = names[i].f;
  if (!x || !axes || !f) return NULL;
  bool empty = !strcmp(axes, "[]") || !strcmp(axes, "none"), keep = ox_int(n, "keepdims", 1) != 0;
  if (empty && ox_int(n, "noop_with_empty_axes", 0)) { /* each element by itself */
    if (!strcmp(f, "onnx_sum_abs") || !strcmp(f, "onnx_root_sum_square")) return print(im, "abs(%s)", x);
    if (!strcmp(f, "onnx_sum_square")) return print(im, "%s * %s", x, x);
    return !strcmp(f, "onnx_log_sum") ? print(im, "log(%s)", x) : x;
  }
  if (elem_of(im, n, 0) == 9) f = f[1] == 'a' ? "any" : "all";
  if (!strcmp(f, "mean") && dtype_is_int(ox_elem(elem_of(im, n, 0))->dt)) f = "onnx_int_mean";
  return print(im, "%s(%s, %s, %s)", f, x, empty ? "none" : axes, keep ? "keep = true" : "keep = false");
}

/* ---- products ---- */

const char *ox_gemm(Import *im, const OxNode *n) {
  const char *a = ox_tensor(im, n, 0), *b = ox_tensor(im, n, 1), *c = ox_has(n, 2) ? ox_any(im, n, 2) : NULL;
  if (!a || !b || (ox_has(n, 2) && !c)) return NULL;
  const AttributeProto *alpha = ox_attribute(n->proto, "alpha"), *beta = ox_attribute(n->proto, "beta");
  const char *s = print(im, "prim.dot_general(%s, %s, lhs_contract = %d, rhs_contract = %d)", a, b, ox_int(n, "transA", 0) ? 0 : 1,
                        ox_int(n, "transB", 0) ? 1 : 0);
  if (alpha && alpha->f != 1) s = print(im, "%s * %s", ox_number(im->a, alpha->f), s);
  if (c) s = beta && beta->f != 1 ? print(im, "%s + %s * %s", s, ox_number(im->a, beta->f), c) : print(im, "%s + %s", s, c);
  return s;
}

const char *ox_matmul(Import *im, const OxNode *n) {
  const char *turned = ox_turned_product(im, n);
  if (turned) return turned;
  return ox_fill(im, n, ox_rank(im, n, 0) >= 2 && ox_rank(im, n, 1) >= 2 ? "@0 @ @1" : "onnx_matmul(@0, @1)");
}

/* "ij,jk->ik" by sums of products: the function wants axes by number. */
const char *ox_einsum(Import *im, const OxNode *n) {
  const AttributeProto *a = ox_attribute(n->proto, "equation");
  if (!a || !a->has_s || a->s.len > 200) return ox_problem(im, n, "has no equation"), NULL;
  char text[256];
  int m = 0;
  for (size_t i = 0; i < a->s.len; i++)
    if (a->s.data[i] != ' ') text[m++] = (char)a->s.data[i];
  text[m] = 0;
  char *arrow = strstr(text, "->");
  const char *result = NULL;
  DType dt = ox_elem(elem_of(im, n, 0))->dt;
  if (arrow && n->nin == 2 && strspn(text, "abcdefghijklmnopqrstuvwxyz,->") == strlen(text) && (dt == DT_F32 || dt == DT_F64))
    return ox_fill(im, n, print(im, "einsum(\"%s\", @0, @1)", text));
  if (arrow) *arrow = 0, result = arrow + 2;
  StrBuf b = {0};
  int count[128] = {0};
  char seen[128] = {0}, implicit[64] = {0};
  int nimplicit = 0;
  bool dots = false;
  sb_printf(&b, "[");
  int at = 0;
  const char *problem = NULL;
  for (char *p = text, *part; p; at++) { /* each letter a number, an ellipsis -1 */
    part = p;
    p = strchr(p, ',');
    if (p) *p++ = 0;
    sb_printf(&b, "%s[", at ? ", " : "");
    for (int i = 0; part[i]; i++) {
      if (!strncmp(part + i, "...", 3)) {
        sb_printf(&b, "%s-1", i ? ", " : "");
        i += 2;
        dots = true;
        continue;
      }
      unsigned char c = (unsigned char)part[i];
      if (c >= 128 || !((c | 32) >= 'a' && (c | 32) <= 'z')) problem = "an equation of other than letters";
      else {
        seen[c] = 1;
        count[c]++;
        sb_printf(&b, "%s%d", i ? ", " : "", c);
      }
    }
    sb_printf(&b, "]");
  }
  sb_printf(&b, "], [");
  if (!result) {
    if (dots) implicit[nimplicit++] = '.';
    for (int c = 0; c < 128; c++)
      if (seen[c] && count[c] == 1) implicit[nimplicit++] = (char)c;
    result = implicit;
  }
  for (int i = 0; result[i]; i++) {
    sb_printf(&b, "%s%d", i ? ", " : "", result[i] == '.' ? -1 : result[i]);
    if (!strncmp(result + i, "...", 3)) i += 2;
  }
  sb_printf(&b, "]");
  const char *spec = arena_strdup(im->a, b.s);
  sb_free(&b);
  if (problem || at != n->nin) return ox_problem(im, n, "%s", problem ? problem : "its equation has another number of operands"), NULL;
  return ox_fill(im, n, print(im, "onnx_einsum([@*], %s)", spec));
}

const char *ox_conv(Import *im, const OxNode *n) {
  return ox_fill(im, n, "onnx_conv(@0, @1, ?2{strides}{pads}{dilations}{group}{auto_pad})");
}

/* A model is imported as it computes results; for training, dropout() is written where its module is known. */
const char *ox_dropout(Import *im, const OxNode *n) {
  const char *ratio = "0.5";
  const OxKnown *k = ox_has(n, 1) ? ox_known(im, n->in[1]) : NULL, *train = ox_has(n, 2) ? ox_known(im, n->in[2]) : NULL;
  const AttributeProto *a = ox_attribute(n->proto, "ratio");
  if (a) ratio = ox_number(im->a, a->f);
  if (k && k->n == 1 && !k->item[0].text) ratio = ox_number(im->a, k->item[0].num);
  if (ox_has(n, 2) && !train) return ox_problem(im, n, "whether it is training must be known when the graph is made"), NULL;
  const char *x = ox_tensor(im, n, 0);
  if (!x) return NULL;
  if (train && !train->item[0].text && train->item[0].num != 0 && strcmp(ratio, "0"))
    return ox_problem(im, n, "draws random numbers"), NULL;
  (void)ratio;
  if (n->nout > 1 && n->out[1] >= 0) {
    if (n->out[0] < 0) return ox_problem(im, n, "only its mask is read"), NULL;
    return print(im, "[%s, fill(shape(%s), 1, bool)]", x, x);
  }
  return x;
}

const char *ox_random(Import *im, const OxNode *n) {
  ox_problem(im, n, "draws random numbers");
  return NULL;
}

/* ---- quantized: integers and their scales ---- */

static const char *bounds(int elem) {
  static const struct {
    int elem;
    const char *text;
  } all[] = {{2, "0, 255"}, {3, "-128, 127"}, {4, "0, 65535"}, {5, "-32768, 32767"}, {21, "0, 15"}, {22, "-8, 7"}, {25, "0, 3"}, {26, "-2, 1"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].elem == elem) return all[i].text;
  return NULL;
}

const char *ox_quantized(Import *im, const OxNode *n) {
  const char *op = n->proto->op_type;
  if (!strcmp(op, "DynamicQuantizeLinear")) return ox_fill(im, n, "onnx_dynamic_quantize(@0)");
  if (!strcmp(op, "DequantizeLinear")) return ox_fill(im, n, "onnx_dequantize(@0, @1, ?2{axis}{block_size})");
  if (!strcmp(op, "MatMulInteger")) return ox_fill(im, n, "onnx_matmul_integer(@0, @1, ?2, ?3)");
  if (!strcmp(op, "ConvInteger")) return ox_fill(im, n, "onnx_conv_integer(@0, @1, ?2, ?3{strides}{pads}{dilations}{group}{auto_pad})");
  bool linear = !strcmp(op, "QuantizeLinear");
  int to = linear ? elem_of(im, n, 2) : elem_of(im, n, 7);
  if (linear && !to) to = (int)ox_int(n, "output_dtype", 2);
  if (linear && ox_elem(to)->exponent) {
    const OxElem *e = ox_elem(to);
    double most = to == 17 ? 448 : to == 18 ? 240 : to == 23 ? 6 : 57344;
    im->value.v[n->out[0]].kind = OX_RESULT;
    im->value.v[n->out[0]].elem = to;
    return ox_fill(im, n, print(im, "onnx_quantize_float(@0, @1, %d, %d, %s, \"%s\"{axis}{block_size})", e->mantissa, 1 - e->bias, ox_number(im->a, most),
                                to == 23 ? "clamp" : "saturate"));
  }
  const char *limit = bounds(to);
  if (!limit) return ox_problem(im, n, "quantizes to %s", ox_elem(to)->name), NULL;
  if (linear) {
    im->value.v[n->out[0]].kind = OX_RESULT;
    im->value.v[n->out[0]].elem = to;
    return ox_fill(im, n, print(im, "onnx_quantize(@0, @1, ?2, [%s]{axis}{block_size})", limit));
  }
  if (!strcmp(op, "QLinearMatMul")) return ox_fill(im, n, print(im, "onnx_q_matmul(@0, @1, @2, @3, @4, @5, @6, @7, [%s])", limit));
  return ox_fill(im, n, print(im, "onnx_q_conv(@0, @1, @2, @3, @4, @5, @6, @7, ?8, [%s]{strides}{pads}{dilations}{group}{auto_pad})", limit));
}
