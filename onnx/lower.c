/* Operators of the graph level in those of ONNX (opset 18): a row each. A row without a function is one node of that name. */
#include "onnx/export.h"

#include <math.h>
#include <string.h>

typedef void (*ExLower)(Export *x, const Node *n, const char *const *in, const char *out);
typedef struct {
  OpId op;
  const char *onnx;
  ExLower lower;
} Row;

static const char *shape_list(Export *x, const Shape *s) { return ex_list(x, s->dim, s->rank); }
static const char *list(Export *x, const Ints *v) { return ex_list(x, v->v, v->n); }
static const char *reshape(Export *x, const char *a, const Shape *s, const char *out) { return EX2(x, "Reshape", out, a, shape_list(x, s)); }
static const char *transpose(Export *x, const char *a, const Ints *perm, const char *out) {
  ExAttr p = {.name = "perm", .list = perm, .kind = 'l'};
  return ex_node(x, "Transpose", out, &a, 1, &p, 1);
}
static const Node *operand(const Export *x, const Node *n, int i) { return g_node(x->g, n->in[i]); }

/* ---- elementwise ---- */

static void lower_rsqrt(Export *x, const Node *n, const char *const *in, const char *out) {
  (void)n;
  EX1(x, "Reciprocal", out, EX1(x, "Sqrt", NULL, in[0]));
}
static void lower_expm1(Export *x, const Node *n, const char *const *in, const char *out) {
  EX2(x, "Sub", out, EX1(x, "Exp", NULL, in[0]), ex_scalar(x, n->dt, 1));
}
static void lower_log1p(Export *x, const Node *n, const char *const *in, const char *out) {
  EX1(x, "Log", out, EX2(x, "Add", NULL, in[0], ex_scalar(x, n->dt, 1)));
}
static void lower_log2(Export *x, const Node *n, const char *const *in, const char *out) {
  EX2(x, "Mul", out, EX1(x, "Log", NULL, in[0]), ex_scalar(x, n->dt, 1.4426950408889634));
}
static void lower_exp2(Export *x, const Node *n, const char *const *in, const char *out) {
  EX2(x, "Pow", out, ex_scalar(x, n->dt, 2), in[0]);
}
static const char *truncated(Export *x, const Node *n, const char *a, const char *out) {
  const char *negative = EX2(x, "Less", NULL, a, ex_scalar(x, n->dt, 0));
  const char *const in[] = {negative, EX1(x, "Ceil", NULL, a), EX1(x, "Floor", NULL, a)};
  return ex_node(x, "Where", out, in, 3, NULL, 0);
}
static void lower_trunc(Export *x, const Node *n, const char *const *in, const char *out) { truncated(x, n, in[0], out); }
static void lower_frac(Export *x, const Node *n, const char *const *in, const char *out) {
  EX2(x, "Sub", out, in[0], truncated(x, n, in[0], NULL));
}
static void lower_ne(Export *x, const Node *n, const char *const *in, const char *out) {
  (void)n;
  EX1(x, "Not", out, EX2(x, "Equal", NULL, in[0], in[1]));
}
static void lower_irem(Export *x, const Node *n, const char *const *in, const char *out) {
  (void)n;
  ExAttr fmod_ = {.name = "fmod", .i = 1, .kind = 'i'};
  ex_node(x, "Mod", out, in, 2, &fmod_, 1);
}
static void lower_cast(Export *x, const Node *n, const char *const *in, const char *out) {
  ExAttr to = {.name = "to", .i = ex_type(n->dt), .kind = 'i'};
  ex_node(x, "Cast", out, in, 1, &to, 1);
}

/* ---- sources ---- */

static void lower_fill(Export *x, const Node *n, const char *const *in, const char *out) {
  (void)in;
  const char *v = ex_scalar(x, n->dt, n->imm);
  if (n->shape.rank) EX2(x, "Expand", out, v, shape_list(x, &n->shape));
  else EX1(x, "Identity", out, v);
}

static void lower_iota(Export *x, const Node *n, const char *const *in, const char *out) {
  (void)in;
  int axis = (int)n->attr[0].v[0];
  const char *const range[] = {ex_scalar(x, DT_I64, 0), ex_scalar(x, DT_I64, (Imm)n->shape.dim[axis]), ex_scalar(x, DT_I64, 1)};
  const char *line = ex_node(x, "Range", NULL, range, 3, NULL, 0);
  ExAttr to = {.name = "to", .i = ex_type(n->dt), .kind = 'i'};
  if (n->dt != DT_I64) line = ex_node(x, "Cast", NULL, &line, 1, &to, 1);
  Shape one = n->shape;
  for (int i = 0; i < one.rank; i++) one.dim[i] = i == axis ? n->shape.dim[i] : 1;
  if (one.rank == 1) EX1(x, "Identity", out, line);
  else EX2(x, "Expand", out, axis == one.rank - 1 ? line : reshape(x, line, &one, NULL), shape_list(x, &n->shape));
}

/* ---- views ---- */

static void lower_reshape(Export *x, const Node *n, const char *const *in, const char *out) { reshape(x, in[0], &n->shape, out); }
static void lower_transpose(Export *x, const Node *n, const char *const *in, const char *out) { transpose(x, in[0], &n->attr[0], out); }

static void lower_broadcast(Export *x, const Node *n, const char *const *in, const char *out) {
  const Node *a = operand(x, n, 0);
  Shape one = n->shape;
  for (int i = 0; i < one.rank; i++) one.dim[i] = 1;
  for (int i = 0; i < n->attr[0].n; i++) one.dim[n->attr[0].v[i]] = a->shape.dim[i];
  const char *r = shape_eq(&one, &a->shape) ? in[0] : reshape(x, in[0], &one, NULL);
  EX2(x, "Expand", out, r, shape_list(x, &n->shape));
}

/* s: the shape of a; axes that stay whole are not named */
static const char *slice(Export *x, const char *a, const Shape *s, const Ints *start, const Ints *stop, const Ints *step, const char *out) {
  Ints from = {.n = 0}, to = {.n = 0}, by = {.n = 0}, axes = {.n = 0};
  for (int i = 0; i < start->n; i++) {
    if (!start->v[i] && stop->v[i] == s->dim[i] && step->v[i] == 1) continue;
    from.v[from.n++] = start->v[i], to.v[to.n++] = stop->v[i], by.v[by.n++] = step->v[i], axes.v[axes.n++] = i;
  }
  if (!axes.n) return EX1(x, "Identity", out, a);
  const char *const in[] = {a, list(x, &from), list(x, &to), list(x, &axes), list(x, &by)};
  return ex_node(x, "Slice", out, in, 5, NULL, 0);
}
static void lower_slice(Export *x, const Node *n, const char *const *in, const char *out) {
  slice(x, in[0], &operand(x, n, 0)->shape, &n->attr[0], &n->attr[1], &n->attr[2], out);
}

static const char *pad(Export *x, const char *a, DType dt, const Ints *lo, const Ints *hi, Imm value, const char *out) {
  int64_t both[2 * MAX_RANK];
  for (int i = 0; i < lo->n; i++) both[i] = lo->v[i], both[lo->n + i] = hi->v[i];
  const char *const in[] = {a, ex_list(x, both, 2 * lo->n), ex_scalar(x, dt, value)};
  return ex_node(x, "Pad", out, in, 3, NULL, 0);
}

/* Copies between elements: each gets an axis of its own, which is padded, and all but the last ones stay. */
static const char *spread(Export *x, const char *a, DType dt, Shape *s, const Ints *interior, Imm value) {
  for (int i = 0; i < s->rank; i++) {
    int64_t k = interior->v[i], m = s->dim[i];
    if (!k) continue;
    Shape wide = {.rank = s->rank + 1};
    if (wide.rank > MAX_RANK) return NULL;
    for (int j = 0; j < wide.rank; j++) wide.dim[j] = j == i + 1 ? 1 : s->dim[j > i ? j - 1 : j];
    Ints lo = {.n = wide.rank}, hi = {.n = wide.rank};
    hi.v[i + 1] = k;
    a = pad(x, reshape(x, a, &wide, NULL), dt, &lo, &hi, value, NULL);
    s->dim[i] = m * (k + 1);
    a = reshape(x, a, s, NULL);
    Shape whole = *s;
    s->dim[i] = m + (m - 1) * k;
    Ints start = {.n = s->rank}, stop = {.n = s->rank}, step = {.n = s->rank};
    for (int j = 0; j < s->rank; j++) stop.v[j] = s->dim[j], step.v[j] = 1;
    a = slice(x, a, &whole, &start, &stop, &step, NULL);
  }
  return a;
}

static void lower_pad(Export *x, const Node *n, const char *const *in, const char *out) {
  Shape s = operand(x, n, 0)->shape;
  const char *a = spread(x, in[0], n->dt, &s, &n->attr[2], n->imm);
  if (a) pad(x, a, n->dt, &n->attr[0], &n->attr[1], n->imm, out);
  else ex_problem(x, n, "pads between elements of a tensor of 8 axes");
}

static void lower_concat(Export *x, const Node *n, const char *const *in, const char *out) {
  ExAttr axis = {.name = "axis", .i = n->attr[0].v[0], .kind = 'i'};
  ex_node(x, "Concat", out, in, n->nin, &axis, 1);
}

static void lower_reverse(Export *x, const Node *n, const char *const *in, const char *out) {
  int64_t start[MAX_RANK], stop[MAX_RANK], step[MAX_RANK];
  const Ints *axes = &n->attr[0];
  for (int i = 0; i < axes->n; i++) start[i] = -1, stop[i] = INT64_MIN + 1, step[i] = -1;
  const char *const all[] = {in[0], ex_list(x, start, axes->n), ex_list(x, stop, axes->n), list(x, axes), ex_list(x, step, axes->n)};
  ex_node(x, "Slice", out, all, 5, NULL, 0);
}

static void lower_window(Export *x, const Node *n, const char *const *in, const char *out) {
  const Ints *size = &n->attr[0], *stride = &n->attr[1], *by = &n->attr[2];
  const Node *a = operand(x, n, 0);
  int lead = a->shape.rank - size->n;
  Ints lo = {.n = a->shape.rank};
  for (int i = 0; i < size->n; i++) lo.v[lead + i] = by->v[i];
  const char *p = pad(x, in[0], n->dt, &lo, &lo, n->imm, NULL);
  for (int i = 0; i < size->n; i++) { /* one axis becomes two: which window, which element of it */
    int64_t windows = n->shape.dim[lead + i];
    Shape s = {.rank = 2, .dim = {windows, size->v[i]}};
    int64_t *at = NEWN(x->a, int64_t, windows * size->v[i]);
    for (int64_t o = 0; o < windows; o++)
      for (int64_t k = 0; k < size->v[i]; k++) at[o * size->v[i] + k] = o * stride->v[i] + k;
    ExAttr axis = {.name = "axis", .i = lead + 2 * i, .kind = 'i'};
    const char *const both[] = {p, ex_tensor(x, NULL, DT_I64, &s, at)};
    p = ex_node(x, "Gather", NULL, both, 2, &axis, 1);
  }
  Ints perm = {.n = n->shape.rank};
  for (int i = 0; i < lead; i++) perm.v[i] = i;
  for (int i = 0; i < size->n; i++) perm.v[lead + i] = lead + 2 * i, perm.v[lead + size->n + i] = lead + 2 * i + 1;
  transpose(x, p, &perm, out);
}

/* ---- reductions ---- */

static const char *reduce(Export *x, const char *op, const char *a, const Ints *axes, bool keep, const char *out) {
  ExAttr k = {.name = "keepdims", .i = keep, .kind = 'i'};
  if (!axes->n) return EX1(x, "Identity", out, a);
  const char *const in[] = {a, list(x, axes)};
  return ex_node(x, op, out, in, 2, &k, 1);
}

/* A reduction of all that windows over the last two axes hold is pooling. */
static bool pooled(Export *x, const Node *n, const char *out) {
  const Node *w = operand(x, n, 0);
  const Ints *axes = &n->attr[0];
  if (w->op != OP_window || w->attr[0].n > 3 || w->attr[0].n < 1 || w->shape.rank != 2 + 2 * w->attr[0].n || axes->n != w->attr[0].n || n->dt != DT_F32) return false;
  for (int i = 0; i < axes->n; i++)
    if (axes->v[i] != 2 + axes->n + i) return false;
  bool most = n->op == OP_reduce_max, mean = n->op == OP_reduce_mean, padded = false;
  for (int i = 0; i < axes->n; i++) padded |= w->attr[2].v[i] != 0;
  if (padded && (most ? w->imm != -INFINITY : w->imm != 0)) return false;
  const char *a = ex_made(x, w->in[0]);
  Ints pads = {.n = 2 * axes->n};
  if (pads.n > MAX_RANK) return false;
  int64_t count = 1;
  for (int i = 0; i < axes->n; i++) {
    pads.v[i] = pads.v[axes->n + i] = w->attr[2].v[i];
    count *= w->attr[0].v[i];
    if (2 * w->attr[2].v[i] > w->attr[0].v[i]) return false;
  }
  ExAttr attr[] = {{.name = "kernel_shape", .list = &w->attr[0], .kind = 'l'}, {.name = "strides", .list = &w->attr[1], .kind = 'l'},
                   {.name = "pads", .list = &pads, .kind = 'l'}, {.name = "count_include_pad", .i = 1, .kind = 'i'}};
  if (most) ex_node(x, "MaxPool", out, &a, 1, attr, 3);
  else if (mean) ex_node(x, "AveragePool", out, &a, 1, attr, 4);
  else EX2(x, "Mul", out, ex_node(x, "AveragePool", NULL, &a, 1, attr, 4), ex_scalar(x, n->dt, (double)count));
  return true;
}

static void lower_reduce(Export *x, const Node *n, const char *const *in, const char *out) {
  const char *op = n->op == OP_reduce_sum    ? "ReduceSum"
                   : n->op == OP_reduce_mean ? "ReduceMean"
                   : n->op == OP_reduce_max  ? "ReduceMax"
                                             : "ReduceMin";
  reduce(x, op, in[0], &n->attr[0], false, out);
}

static void lower_m2(Export *x, const Node *n, const char *const *in, const char *out) {
  const char *d = EX2(x, "Sub", NULL, in[0], reduce(x, "ReduceMean", in[0], &n->attr[0], true, NULL));
  reduce(x, "ReduceSum", EX2(x, "Mul", NULL, d, d), &n->attr[0], false, out);
}

static void lower_argmax(Export *x, const Node *n, const char *const *in, const char *out) {
  ExAttr attr[] = {{.name = "axis", .i = n->attr[0].v[0], .kind = 'i'}, {.name = "keepdims", .i = 0, .kind = 'i'}};
  ex_node(x, "ArgMax", out, in, 1, attr, 2);
}

/* ---- contractions ---- */

/* Batch axes first, then the only other one, then the summed one (or these two the other way): a as MatMul reads it. NULL
   where there are more of them, but for the left operand of a product without batch axes. */
static const char *matrix(Export *x, const char *a, const Shape *s, const Ints *batch, const Ints *sum, bool left) {
  Ints perm = {.n = 0};
  bool used[MAX_RANK] = {false}, moved = false;
  if (sum->n != 1 || (s->rank != batch->n + 2 && !(left && !batch->n && s->rank > 1))) return NULL;
  for (int i = 0; i < batch->n; i++) used[batch->v[i]] = true, perm.v[perm.n++] = batch->v[i];
  used[sum->v[0]] = true;
  if (!left) perm.v[perm.n++] = sum->v[0];
  for (int i = 0; i < s->rank; i++)
    if (!used[i]) perm.v[perm.n++] = i;
  if (left) perm.v[perm.n++] = sum->v[0];
  for (int i = 0; i < perm.n; i++) moved |= perm.v[i] != i;
  return moved ? transpose(x, a, &perm, NULL) : a;
}

static void lower_dot(Export *x, const Node *n, const char *const *in, const char *out) {
  const Shape *s = &operand(x, n, 0)->shape, *t = &operand(x, n, 1)->shape;
  const char *b = matrix(x, in[1], t, &n->attr[1], &n->attr[3], false), *a = b ? matrix(x, in[0], s, &n->attr[0], &n->attr[2], true) : NULL;
  if (a) {
    EX2(x, "MatMul", out, a, b);
    return;
  }
  char e[2][MAX_RANK + 1] = {"", ""}, y[2 * MAX_RANK + 1], next = 'a', *p = y;
  for (int i = 0; i < n->attr[0].n; i++) *p++ = e[0][n->attr[0].v[i]] = e[1][n->attr[1].v[i]] = next++;
  for (int i = 0; i < n->attr[2].n; i++) e[0][n->attr[2].v[i]] = e[1][n->attr[3].v[i]] = next++;
  for (int side = 0; side < 2; side++)
    for (int i = 0; i < (side ? t : s)->rank; i++)
      if (!e[side][i]) *p++ = e[side][i] = next++;
  *p = 0;
  ExAttr equation = {.name = "equation", .s = arena_printf(x->a, "%s,%s->%s", e[0], e[1], y), .kind = 's'};
  ex_node(x, "Einsum", out, in, 2, &equation, 1);
}

static void lower_conv(Export *x, const Node *n, const char *const *in, const char *out) {
  ConvAttrs c = conv_attrs(n);
  Ints stride = ints2(c.stride[0], c.stride[1]), dilation = ints2(c.dilation[0], c.dilation[1]);
  Ints pads = {4, {c.lo[0], c.lo[1], c.hi[0], c.hi[1]}};
  ExAttr attr[5] = {{.name = "strides", .list = &stride, .kind = 'l'}, {.name = "pads", .list = &pads, .kind = 'l'},
                    {.name = "dilations", .list = &dilation, .kind = 'l'}, {.name = "group", .i = c.groups, .kind = 'i'}};
  if (n->op == OP_conv2d) {
    ex_node(x, "Conv", out, in, in[2] ? 3 : 2, attr, 4);
    return;
  }
  const Node *y = operand(x, n, 0), *w = operand(x, n, 1);
  Ints more = {.n = 2};
  for (int i = 0; i < 2; i++)
    more.v[i] = n->shape.dim[2 + i] - ((y->shape.dim[2 + i] - 1) * c.stride[i] + (w->shape.dim[2 + i] - 1) * c.dilation[i] + 1 - c.lo[i] - c.hi[i]);
  attr[4] = (ExAttr){.name = "output_padding", .list = &more, .kind = 'l'};
  ex_node(x, "ConvTranspose", out, in, 2, attr, 5);
}

/* ---- by index ---- */

static const char *inside(Export *x, const Node *index, const char *at, int64_t n) {
  const char *const in[] = {at, ex_scalar(x, index->dt, 0), ex_scalar(x, index->dt, (double)(n - 1))};
  const char *out = ex_node(x, "Clip", NULL, in, 3, NULL, 0);
  x->node.v[x->node.n - 1]->name = arena_printf(x->a, EX_ROWS "%d", x->node.n); /* which the importer knows */
  return out;
}

static void lower_gather(Export *x, const Node *n, const char *const *in, const char *out) {
  int axis = (int)n->attr[0].v[0];
  ExAttr a = {.name = "axis", .i = axis, .kind = 'i'};
  const char *const both[] = {in[0], inside(x, operand(x, n, 1), in[1], operand(x, n, 0)->shape.dim[axis])};
  ex_node(x, "Gather", out, both, 2, &a, 1);
}

static void lower_scatter(Export *x, const Node *n, const char *const *in, const char *out) {
  const Node *at = operand(x, n, 0);
  if (n->attr[0].v[0] || at->shape.rank >= MAX_RANK) {
    ex_problem(x, n, "adds along another axis than the first");
    return;
  }
  Shape one = at->shape;
  one.dim[one.rank++] = 1;
  const char *how = n->op == OP_scatter_set   ? "none"
                    : n->op == OP_scatter_mul ? "mul"
                    : n->op == OP_scatter_min ? "min"
                    : n->op == OP_scatter_max ? "max"
                                              : "add";
  ExAttr to = {.name = "to", .i = 7, .kind = 'i'}, join = {.name = "reduction", .s = how, .kind = 's'};
  const char *i = inside(x, at, in[0], n->shape.dim[0]);
  if (at->dt != DT_I64) i = ex_node(x, "Cast", NULL, &i, 1, &to, 1);
  const char *was =
      n->nin > 2 ? in[2] : EX2(x, "Expand", NULL, ex_scalar(x, n->dt, 0), shape_list(x, &n->shape));
  const char *const all[] = {was, reshape(x, i, &one, NULL), in[1]};
  ex_node(x, "ScatterND", out, all, 3, &join, 1);
}

static const Row rows[] = {
    {OP_neg, "Neg", NULL},          {OP_abs, "Abs", NULL},          {OP_sign, "Sign", NULL},       {OP_floor, "Floor", NULL},
    {OP_exp, "Exp", NULL},          {OP_log, "Log", NULL},          {OP_sqrt, "Sqrt", NULL},       {OP_sin, "Sin", NULL},
    {OP_cos, "Cos", NULL},          {OP_tanh, "Tanh", NULL},        {OP_sigmoid, "Sigmoid", NULL}, {OP_erf, "Erf", NULL},
    {OP_ceil, "Ceil", NULL},        {OP_round, "Round", NULL},      {OP_asin, "Asin", NULL},       {OP_acos, "Acos", NULL},
    {OP_atan, "Atan", NULL},        {OP_sinh, "Sinh", NULL},        {OP_cosh, "Cosh", NULL},       {OP_asinh, "Asinh", NULL},
    {OP_acosh, "Acosh", NULL},      {OP_atanh, "Atanh", NULL},      {OP_bit_not, "BitwiseNot", NULL}, {OP_not, "Not", NULL},
    {OP_stop_gradient, "Identity", NULL}, {OP_add, "Add", NULL},    {OP_sub, "Sub", NULL},         {OP_mul, "Mul", NULL},
    {OP_div, "Div", NULL},          {OP_pow, "Pow", NULL},          {OP_min, "Min", NULL},         {OP_max, "Max", NULL},
    {OP_relu, "Relu", NULL},        {OP_idiv, "Div", NULL},         {OP_bit_and, "BitwiseAnd", NULL}, {OP_bit_or, "BitwiseOr", NULL},
    {OP_bit_xor, "BitwiseXor", NULL}, {OP_eq, "Equal", NULL},       {OP_lt, "Less", NULL},         {OP_le, "LessOrEqual", NULL},
    {OP_and, "And", NULL},          {OP_or, "Or", NULL},            {OP_select, "Where", NULL},
    {OP_rsqrt, NULL, lower_rsqrt},  {OP_expm1, NULL, lower_expm1},  {OP_log1p, NULL, lower_log1p}, {OP_log2, NULL, lower_log2},
    {OP_exp2, NULL, lower_exp2},    {OP_trunc, NULL, lower_trunc},  {OP_frac, NULL, lower_frac},   {OP_ne, NULL, lower_ne},
    {OP_irem, NULL, lower_irem},    {OP_cast, NULL, lower_cast},    {OP_fill, NULL, lower_fill},   {OP_iota, NULL, lower_iota},
    {OP_reshape, NULL, lower_reshape}, {OP_transpose, NULL, lower_transpose}, {OP_broadcast, NULL, lower_broadcast},
    {OP_slice, NULL, lower_slice},  {OP_pad, NULL, lower_pad},      {OP_concat, NULL, lower_concat}, {OP_reverse, NULL, lower_reverse},
    {OP_window, NULL, lower_window}, {OP_reduce_sum, NULL, lower_reduce}, {OP_reduce_mean, NULL, lower_reduce},
    {OP_reduce_max, NULL, lower_reduce},
    {OP_reduce_min, NULL, lower_reduce}, {OP_reduce_m2, NULL, lower_m2}, {OP_argmax, NULL, lower_argmax},
    {OP_dot_general, NULL, lower_dot}, {OP_conv2d, NULL, lower_conv}, {OP_conv2d_dx, NULL, lower_conv},
    {OP_gather, NULL, lower_gather}, {OP_scatter_add, NULL, lower_scatter},
    {OP_scatter_set, NULL, lower_scatter}, {OP_scatter_mul, NULL, lower_scatter}, {OP_scatter_min, NULL, lower_scatter}, {OP_scatter_max, NULL, lower_scatter},
};

static bool spreads(const Export *x, Val v) { return g_node(x->g, v)->op == OP_broadcast || g_node(x->g, v)->op == OP_fill; }

/* A broadcast or equal elements as what ONNX broadcasts itself. */
static const char *small(Export *x, Val v) {
  const Node *n = g_node(x->g, v);
  if (n->op == OP_fill) return ex_scalar(x, n->dt, n->imm);
  const Shape *s = &operand(x, n, 0)->shape;
  const Ints *dims = &n->attr[0];
  Shape one = n->shape;
  bool last = true;
  int first = dims->n ? (int)dims->v[0] : one.rank;
  for (int i = 0; i < one.rank; i++) one.dim[i] = 1;
  for (int i = 0; i < dims->n; i++) one.dim[dims->v[i]] = s->dim[i], last &= dims->v[i] == one.rank - dims->n + i;
  const char *a = ex_made(x, n->in[0]);
  if (last) return a;
  for (int i = first; i < one.rank; i++) one.dim[i - first] = one.dim[i]; /* without the ones in front */
  one.rank -= first;
  return reshape(x, a, &one, NULL);
}

/* What ONNX broadcasts where operands differ; one of them stays whole. */
static bool elementwise(const Node *n, const Row *r) {
  return n->nin > 1 && (r->lower ? n->op == OP_ne || n->op == OP_irem : n->op != OP_concat);
}

/* y + b of a convolution that nothing else reads, b one number a channel: a Conv with three operands. */
static bool biased(Export *x, const Node *n, const char *out) {
  for (int side = 0; n->op == OP_add && side < 2; side++) {
    Val y = n->in[side], v = n->in[1 - side];
    const Node *conv = g_node(x->g, y), *b = g_node(x->g, v);
    if (!ex_waits_for_bias(x, y) || b->op != OP_broadcast || b->attr[0].n != 1 || b->attr[0].v[0] != 1) continue;
    const char *const in[] = {ex_made(x, conv->in[0]), ex_made(x, conv->in[1]), ex_made(x, b->in[0])};
    lower_conv(x, conv, in, out);
    return true;
  }
  return false;
}

bool ex_waits_for_bias(const Export *x, Val v) { return g_node(x->g, v)->op == OP_conv2d && x->bias_of[v]; }

bool ex_waits(const Export *x, Val v) {
  return g_node(x->g, v)->op == OP_window || spreads(x, v) || ex_waits_for_bias(x, v);
}

static void lower(Export *x, Val v, const char *out) {
  const Node *n = g_node(x->g, v);
  const char *room[64];
  x->at = n;
  if ((n->op == OP_reduce_max || n->op == OP_reduce_sum || n->op == OP_reduce_mean) && pooled(x, n, out)) return;
  if (biased(x, n, out)) return;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].op != n->op) continue;
    const char **in = n->nin > 60 ? NEWN(x->a, const char *, n->nin + 4) : room;
    bool wide = elementwise(n, &rows[i]);
    int full = n->nin - 1;
    while (full > 0 && spreads(x, n->in[full])) full--;
    for (int k = 0; k < n->nin; k++) in[k] = wide && k != full && spreads(x, n->in[k]) ? small(x, n->in[k]) : ex_made(x, n->in[k]);
    in[n->nin] = NULL;
    x->at = n;
    if (rows[i].lower) rows[i].lower(x, n, in, out);
    else ex_node(x, rows[i].onnx, out, in, n->nin, NULL, 0);
    return;
  }
  ex_problem(x, n, "ONNX has nothing for it");
}

const char *ex_made(Export *x, Val v) {
  if (x->name[v]) return x->name[v];
  x->name[v] = arena_printf(x->a, "%d/%s", v, op_table[g_node(x->g, v)->op].name);
  lower(x, v, x->name[v]);
  return x->name[v];
}
