/* The cases of each operator: elementwise rows share one list of types and shapes, structured rows list
   variants of their attributes. Extents are 1, 3, 7 and other primes where possible, so that tails and
   mixed-up axes show. */
#include "tests/unit/op_cases.h"

#include "ir/graph/collective.h"
#include "passes/graph/pass.h"

#include <math.h>
#include <string.h>

#define COUNT(A) ((int)(sizeof(A) / sizeof *(A)))
#define I(...)                                                                                               \
  {                                                                                                          \
    .n = COUNT(((int64_t[]){__VA_ARGS__})), .v = { __VA_ARGS__ }                                             \
  }
#define S(...)                                                                                               \
  {                                                                                                          \
    .rank = COUNT(((int64_t[]){__VA_ARGS__})), .dim = { __VA_ARGS__ }                                        \
  }

static Val arg(Graph *g, const char *name, DType dt, const Shape *s) {
  return g_input(g, name, IN_ARG, dt, s, NULL);
}
static Val farg(Graph *g, const char *name, const Shape *s) { return arg(g, name, DT_F32, s); }

/* ---- elementwise ---- */
typedef struct {
  int needs; /* A_ bit */
  DType dt;
  Shape shape;
} MapCase;
static const MapCase map_cases[] = {
    {A_FLOAT, DT_F32, S(7)},  {A_FLOAT, DT_F32, S(2, 3, 5)}, {A_FLOAT, DT_F32, S(1, 1)},
    {A_FLOAT, DT_F64, {0}},   {A_FLOAT, DT_F32, S(41)},      {A_INT, DT_I32, S(13)},
    {A_INT, DT_I64, S(1, 3)}, {A_INT, DT_U32, S(5)},         {A_BOOL, DT_BOOL, S(3, 7)},
};

/* Index in map_cases of the which-th case row accepts; -1 past the last. */
static int map_case(OpId op, int which) {
  for (int i = 0; i < COUNT(map_cases); i++)
    if ((op_table[op].accept & map_cases[i].needs) && which-- == 0) return i;
  return -1;
}

static Val build_map(Graph *g, OpId op, int which) {
  const MapCase *c = &map_cases[map_case(op, which)];
  static const char *const names[] = {"a", "b", "c"};
  Val in[3];
  for (int i = 0; i < op_table[op].nin; i++)
    in[i] = arg(g, names[i], op == OP_select && i == 0 ? DT_BOOL : c->dt, &c->shape);
  return g_add(g, op, in, op_table[op].nin, NULL, 0, DT_NONE, NULL);
}

static const DType cast_cases[][2] = {
    {DT_F32, DT_F64},  {DT_F64, DT_F32},  {DT_F32, DT_F32},  {DT_F32, DT_BF16}, {DT_BF16, DT_F32},
    {DT_F32, DT_I32},  {DT_F32, DT_I64},  {DT_F64, DT_I64},  {DT_I32, DT_F32},  {DT_I64, DT_F32},
    {DT_I64, DT_F64},  {DT_U32, DT_F32},  {DT_U32, DT_I64},  {DT_I64, DT_I32},  {DT_BOOL, DT_F32},
    {DT_BOOL, DT_I64}, {DT_F32, DT_BOOL}, {DT_I32, DT_BOOL},
};
static Val build_cast(Graph *g, int which) {
  Shape s = S(3, 7);
  return g_cast(g, arg(g, "a", cast_cases[which][0], &s), cast_cases[which][1]);
}

/* ---- inputs, grad, sources ---- */
static Val build_input(Graph *g, int which) {
  static const Shape s[] = {S(3, 5), {0}};
  return farg(g, "a", &s[which]);
}

/* d/da sum(a*a*b) */
static Val build_grad(Graph *g, int which) {
  static const Shape s[] = {S(5), S(2, 3)};
  Val a = farg(g, "a", &s[which]), b = farg(g, "b", &s[which]);
  Ints all = ints_range(s[which].rank);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, g_binary(g, OP_mul, a, a), b), &all);
  return g_binary(g, OP_grad, loss, which ? b : a);
}

static const struct {
  DType dt;
  Shape shape;
  double value;
} fill_cases[] = {{DT_F32, S(3, 5), 2.5}, {DT_F64, {0}, -1e-3}, {DT_I32, S(7), -4}, {DT_BOOL, S(3), 1}};
static Val build_fill(Graph *g, int which) {
  return g_fill(g, fill_cases[which].dt, &fill_cases[which].shape, fill_cases[which].value);
}

static const struct {
  DType dt;
  Shape shape;
  int64_t axis;
} iota_cases[] = {{DT_F32, S(7), 0}, {DT_I64, S(3, 5), 1}, {DT_I32, S(3, 5, 2), 0}, {DT_F32, S(1, 3, 7), 1}};
static Val build_iota(Graph *g, int which) {
  Ints axis = ints1(iota_cases[which].axis);
  return g_add(g, OP_iota, NULL, 0, &axis, 0, iota_cases[which].dt, &iota_cases[which].shape);
}

static Val build_random(Graph *g, int which) {
  static const Shape s[] = {S(7), {0}, S(3, 5, 7)};
  Shape scalar = {0};
  Val seed = g_input(g, "seed", IN_RUNTIME, DT_I64, &scalar, NULL);
  Val step = g_input(g, "step", IN_RUNTIME, DT_I64, &scalar, NULL);
  Ints stream = ints1(which * 1000003);
  return g_add(g, OP_random_bits, (Val[]){seed, step}, 2, &stream, 0, DT_U32, &s[which]);
}

/* ---- views ---- */
static const Shape reshape_cases[][2] = {
    {S(2, 3, 5), S(6, 5)},       {S(7), S(1, 7, 1)}, {{0}, S(1, 1)},
    {S(4, 6), S(3, 8)},          {S(1, 3), S(3)},    {S(2, 3, 4, 5), S(2, 12, 5)},
    {S(3, 5, 2), S(3, 1, 10, 1)}};
static Val build_reshape(Graph *g, int which) {
  return g_reshape(g, farg(g, "a", &reshape_cases[which][0]), &reshape_cases[which][1]);
}

static const struct {
  Shape shape;
  Ints perm;
} transpose_cases[] = {{S(3, 5), I(1, 0)},
                       {S(2, 3, 5), I(2, 0, 1)},
                       {S(2, 3, 5, 7), I(0, 2, 1, 3)},
                       {S(1, 7), I(1, 0)},
                       {S(4), I(0)},
                       {S(3, 1, 5), I(1, 2, 0)},
                       {S(17, 19), I(1, 0)}};
static Val build_transpose(Graph *g, int which) {
  return g_transpose(g, farg(g, "a", &transpose_cases[which].shape), &transpose_cases[which].perm);
}

static const struct {
  Shape from, to;
  Ints dims;
} broadcast_cases[] = {{{0}, S(3, 5), {0}},
                       {S(5), S(3, 5), I(1)},
                       {S(3), S(3, 5), I(0)},
                       {S(1, 5), S(3, 5), I(0, 1)},
                       {S(3, 1), S(2, 3, 7), I(1, 2)},
                       {S(7), S(2, 7, 3), I(1)},
                       {S(3, 5), S(3, 1, 5), I(0, 2)},
                       {S(3, 5), S(3, 5), I(0, 1)}};
static Val build_broadcast(Graph *g, int which) {
  return g_broadcast(g, farg(g, "a", &broadcast_cases[which].from), &broadcast_cases[which].to,
                     &broadcast_cases[which].dims);
}

static const struct {
  Shape shape;
  Ints start, stop, step;
} slice_cases[] = {{S(7), I(1), I(6), I(2)},
                   {S(5, 7), I(0, 2), I(3, 7), I(1, 1)},
                   {S(2, 3, 11), I(1, 0, 1), I(2, 3, 11), I(1, 2, 3)},
                   {S(3), I(2), I(3), I(1)},
                   {S(3, 5), I(0, 0), I(3, 5), I(1, 1)}};
static Val build_slice(Graph *g, int which) {
  return g_slice(g, farg(g, "a", &slice_cases[which].shape), &slice_cases[which].start,
                 &slice_cases[which].stop, &slice_cases[which].step);
}

static const struct {
  Shape shape;
  Ints lo, hi, interior;
  double value;
} pad_cases[] = {{S(3), I(2), I(1), I(1), -1.5},
                 {S(2, 3), I(0, 1), I(1, 0), I(2, 0), 0},
                 {S(1, 2, 5, 5), I(0, 0, 1, 1), I(0, 0, 1, 1), I(0, 0, 0, 0), 0.25},
                 {S(7, 1), I(0, 0), I(0, 0), I(1, 3), 0}};
static Val build_pad(Graph *g, int which) {
  return g_pad(g, farg(g, "a", &pad_cases[which].shape), &pad_cases[which].lo, &pad_cases[which].hi,
               &pad_cases[which].interior, pad_cases[which].value);
}

static const struct {
  int n, axis;
  Shape shape[3];
} concat_cases[] = {{1, 0, {S(3)}},
                    {2, 1, {S(2, 3), S(2, 5)}},
                    {3, 0, {S(1, 2), S(3, 2), S(5, 2)}},
                    {3, 1, {S(2, 1, 3), S(2, 1, 3), S(2, 7, 3)}}};
static Val build_concat(Graph *g, int which) {
  static const char *const names[] = {"a", "b", "c"};
  Val in[3];
  for (int i = 0; i < concat_cases[which].n; i++) in[i] = farg(g, names[i], &concat_cases[which].shape[i]);
  return g_concat(g, in, concat_cases[which].n, concat_cases[which].axis);
}

static const struct {
  Shape shape;
  Ints axes;
} reverse_cases[] = {{S(7), I(0)}, {S(2, 3, 5), I(0, 2)}, {S(3, 1), I(1)}, {S(2, 3, 3, 3), I(2, 3)}};
static Val build_reverse(Graph *g, int which) {
  Val a = farg(g, "a", &reverse_cases[which].shape);
  return g_add(g, OP_reverse, &a, 1, &reverse_cases[which].axes, 0, DT_NONE, NULL);
}

static const struct {
  Shape whole, windows; /* of the same geometry: window maps one to the other, fold back */
  Ints attr[3];         /* size, stride, pad */
} window_cases[] = {
    {S(11), S(6, 3), {I(3), I(2), I(1)}},
    {S(2, 7, 7), S(2, 4, 4, 3, 3), {I(3, 3), I(2, 2), I(1, 1)}},
    {S(1, 1, 5, 4), S(1, 1, 4, 4, 2, 3), {I(2, 3), I(1, 1), I(0, 1)}},
    {S(3, 10), S(3, 3, 2), {I(2), I(3), I(0)}},
    {S(2, 3, 4, 4), S(2, 3, 1, 1, 4, 4), {I(4, 4), I(4, 4), I(0, 0)}},
};
static Val build_window(Graph *g, int which) {
  Val a = farg(g, "a", &window_cases[which].whole);
  return g_add(g, OP_window, &a, 1, window_cases[which].attr, -7.25, DT_NONE, NULL);
}
static Val build_fold(Graph *g, int which) {
  const Shape *whole = &window_cases[which].whole;
  const Ints *attr = window_cases[which].attr;
  Ints fold[3] = {{.n = attr[0].n}, attr[1], attr[2]};
  for (int i = 0; i < fold[0].n; i++) fold[0].v[i] = whole->dim[whole->rank - fold[0].n + i];
  Val a = farg(g, "a", &window_cases[which].windows);
  return g_add(g, OP_fold, &a, 1, fold, 0, DT_NONE, NULL);
}

/* ---- reductions ---- */
static const struct {
  Shape shape;
  Ints axes;
} reduce_cases[] = {{S(7), I(0)},      {S(2, 3, 5), I(1)}, {S(2, 3, 5), I(0, 2)}, {S(2, 3, 5), I(0, 1, 2)},
                    {S(5, 1), I(1)},   {S(3, 37), I(1)},   {S(131, 3), I(0)},     {S(3, 2, 5, 7), I(0, 2, 3)},
                    {S(1, 1), I(0, 1)}};
static Val build_reduce(Graph *g, OpId op, int which) {
  return g_reduce(g, op, farg(g, "a", &reduce_cases[which].shape), &reduce_cases[which].axes);
}
static Val build_sum(Graph *g, int which) { return build_reduce(g, OP_reduce_sum, which); }
static Val build_mean(Graph *g, int which) { return build_reduce(g, OP_reduce_mean, which); }
static Val build_rmax(Graph *g, int which) { return build_reduce(g, OP_reduce_max, which); }
static Val build_rmin(Graph *g, int which) { return build_reduce(g, OP_reduce_min, which); }
static Val build_m2(Graph *g, int which) { return build_reduce(g, OP_reduce_m2, which); }

static const struct {
  Shape shape;
  int64_t axis;
} argmax_cases[] = {{S(7), 0}, {S(3, 11), 1}, {S(5, 3), 0}, {S(2, 5, 3), 1}};
static Val build_argmax(Graph *g, int which) {
  Ints axis = ints1(argmax_cases[which].axis);
  return g_reduce(g, OP_argmax, farg(g, "a", &argmax_cases[which].shape), &axis);
}

/* ---- contractions ---- */
static const struct {
  Shape a, b;
  Ints attr[4]; /* lhs_batch rhs_batch lhs_contract rhs_contract */
} dot_cases[] = {
    {S(3, 5), S(5, 7), {{0}, {0}, I(1), I(0)}},                     /* matmul */
    {S(3, 5), S(7, 5), {{0}, {0}, I(1), I(1)}},                     /* linear layer */
    {S(5, 3), S(5, 7), {{0}, {0}, I(0), I(0)}},                     /* its weight gradient */
    {S(2, 3, 5), S(2, 5, 7), {I(0), I(0), I(2), I(1)}},             /* batched */
    {S(2, 3, 4, 5), S(2, 3, 7, 5), {I(0, 1), I(0, 1), I(3), I(3)}}, /* attention scores */
    {S(2, 4, 3, 5), S(2, 7, 3, 5), {I(0, 2), I(0, 2), I(3), I(3)}}, /* heads inside */
    {S(2, 3, 5), S(5, 4, 3), {{0}, {0}, I(1, 2), I(2, 0)}},         /* two contracted, crossed */
    {S(3), S(7), {{0}, {0}, {0}, {0}}},                             /* outer product */
    {S(7), S(7), {{0}, {0}, I(0), I(0)}},                           /* inner product */
    {S(2, 3, 5), S(7, 5), {{0}, {0}, I(2), I(1)}},                  /* linear on tokens */
    {S(3, 1, 2), S(2, 5, 3), {I(2, 0), I(0, 2), {0}, {0}}},         /* batch only */
    {S(33, 17), S(17, 49), {{0}, {0}, I(1), I(0)}},                 /* beyond one register tile */
};
static Val build_dot(Graph *g, int which) {
  const Ints *at = dot_cases[which].attr;
  Val a = farg(g, "a", &dot_cases[which].a), b = farg(g, "b", &dot_cases[which].b);
  return g_dot(g, a, b, &at[0], &at[1], &at[2], &at[3]);
}

static const struct {
  Shape x, w, y; /* of one geometry */
  Ints attr[4];  /* stride, pad, dilation, groups */
} conv_cases[] = {
    {S(2, 3, 7, 7), S(5, 3, 3, 3), S(2, 5, 7, 7), {I(1, 1), I(1, 1)}},
    {S(1, 3, 7, 5), S(2, 3, 3, 3), S(1, 2, 4, 3), {I(2, 2), I(1, 1)}},
    {S(2, 3, 6, 6), S(5, 3, 1, 1), S(2, 5, 3, 3), {I(2, 2), I(0, 0)}},
    {S(1, 2, 11, 9), S(3, 2, 7, 7), S(1, 3, 6, 5), {I(2, 2), I(3, 3)}},
    {S(1, 1, 5, 7), S(1, 1, 2, 3), S(1, 1, 4, 4), {I(1, 2), I(0, 1)}},
    {S(3, 5, 3, 3), S(7, 5, 3, 3), S(3, 7, 1, 1), {I(1, 1), I(0, 0)}},
    {S(1, 16, 6, 6), S(16, 16, 3, 3), S(1, 16, 6, 6), {I(1, 1), I(1, 1)}},
    {S(1, 16, 5, 5), S(32, 16, 3, 3), S(1, 32, 3, 3), {I(2, 2), I(1, 1)}},
    {S(2, 16, 4, 4), S(16, 16, 1, 1), S(2, 16, 4, 4), {I(1, 1), I(0, 0)}},
    {S(2, 4, 6, 5), S(6, 2, 3, 3), S(2, 6, 6, 5), {I(1, 1), I(1, 1), {0}, I(2)}}, /* grouped */
    {S(1, 16, 5, 5), S(16, 4, 3, 3), S(1, 16, 5, 5), {I(1, 1), I(1, 1), {0}, I(4)}},
    {S(1, 32, 4, 4), S(32, 16, 3, 3), S(1, 32, 2, 2), {I(2, 2), I(1, 1), {0}, I(2)}},
    {S(1, 48, 3, 3), S(48, 24, 1, 1), S(1, 48, 3, 3), {I(1, 1), I(0, 0), {0}, I(2)}},
    {S(2, 5, 6, 6), S(5, 1, 3, 3), S(2, 5, 3, 3), {I(2, 2), I(1, 1), {0}, I(5)}}, /* depthwise */
    {S(1, 16, 7, 7), S(16, 1, 5, 5), S(1, 16, 7, 7), {I(1, 1), I(2, 2), {0}, I(16)}},
    {S(1, 16, 7, 7), S(16, 1, 3, 3), S(1, 16, 4, 4), {I(2, 2), I(1, 1), {0}, I(16)}},
    {S(2, 3, 5, 4), S(6, 1, 3, 3), S(2, 6, 5, 4), {I(1, 1), I(1, 1), {0}, I(3)}}, /* ... of two each */
    {S(1, 16, 4, 4), S(32, 1, 3, 3), S(1, 32, 4, 4), {I(1, 1), I(1, 1), {0}, I(16)}},
    {S(1, 3, 9, 8), S(4, 3, 3, 3), S(1, 4, 7, 6), {I(1, 1), I(1, 1), I(2, 2)}}, /* dilated */
    {S(1, 16, 9, 9), S(16, 16, 3, 3), S(1, 16, 5, 3), {I(2, 3), I(2, 2), I(2, 3)}},
    {S(1, 16, 8, 8), S(16, 1, 3, 3), S(1, 16, 8, 8), {I(1, 1), I(2, 2), I(2, 2), I(16)}},
    {S(1, 3, 6, 6), S(4, 3, 3, 3), S(1, 4, 3, 3), {I(2, 2), I(0, 1, 0, 1)}}, /* padded by side */
    {S(2, 16, 5, 5), S(16, 16, 3, 3), S(2, 16, 6, 4), {I(1, 1), I(2, 1, 0, 1)}},
    {S(1, 16, 4, 4), S(16, 16, 1, 1), S(1, 16, 5, 6), {I(1, 1), I(0, 1, 0, 2)}},
};
static Val build_conv(Graph *g, int which) {
  Val x = farg(g, "x", &conv_cases[which].x), w = farg(g, "w", &conv_cases[which].w);
  return g_add(g, OP_conv2d, (Val[]){x, w}, 2, conv_cases[which].attr, 0, DT_NONE, NULL);
}
static Val build_conv_dx(Graph *g, int which) {
  const Shape *x = &conv_cases[which].x;
  Ints attr[5] = {conv_cases[which].attr[0], conv_cases[which].attr[1], ints2(x->dim[2], x->dim[3]),
                  conv_cases[which].attr[2], conv_cases[which].attr[3]};
  Val y = farg(g, "y", &conv_cases[which].y), w = farg(g, "w", &conv_cases[which].w);
  return g_add(g, OP_conv2d_dx, (Val[]){y, w}, 2, attr, 0, DT_NONE, NULL);
}
static Val build_conv_dw(Graph *g, int which) {
  const Shape *w = &conv_cases[which].w;
  Ints attr[5] = {conv_cases[which].attr[0], conv_cases[which].attr[1], ints2(w->dim[2], w->dim[3]),
                  conv_cases[which].attr[2], conv_cases[which].attr[3]};
  Val x = farg(g, "x", &conv_cases[which].x), y = farg(g, "y", &conv_cases[which].y);
  return g_add(g, OP_conv2d_dw, (Val[]){x, y}, 2, attr, 0, DT_NONE, NULL);
}

/* ---- indexing ---- */
static const struct {
  Shape x, idx, y;
  DType dt;
  int64_t axis;
} gather_cases[] = {{S(7, 3), S(5), S(5, 3), DT_I64, 0},
                    {S(2, 5), S(3), S(2, 3), DT_I32, 1},
                    {S(7), {0}, {0}, DT_I64, 0},
                    {S(4, 3, 2), S(2, 3), S(4, 2, 3, 2), DT_I64, 1}};
static Val build_gather(Graph *g, int which) {
  Ints axis = ints1(gather_cases[which].axis);
  Val x = farg(g, "x", &gather_cases[which].x);
  Val idx = arg(g, "idx", gather_cases[which].dt, &gather_cases[which].idx);
  return g_add(g, OP_gather, (Val[]){x, idx}, 2, &axis, 0, DT_NONE, NULL);
}
static const DType scatter_types[] = {DT_F32, DT_F32, DT_F32, DT_F32, DT_I32, DT_I64,
                                      DT_U32, DT_F64, DT_U64, DT_I8,  DT_F16};
static Val build_scatter(Graph *g, int which) {
  DType dt = scatter_types[which];
  which %= COUNT(gather_cases);
  Ints axis = ints1(gather_cases[which].axis);
  Val idx = arg(g, "idx", gather_cases[which].dt, &gather_cases[which].idx);
  Val y = arg(g, "updates", dt, &gather_cases[which].y);
  return g_add(g, OP_scatter_add, (Val[]){idx, y}, 2, &axis, 0, dt, &gather_cases[which].x);
}

static Val build_scatter_into(Graph *g, OpId op, int which) {
  static const int order[] = {0, 1, 3, 2, 0, 3, 1, 0, 2, 1, 3};
  DType dt = scatter_types[which];
  which = order[which];
  Ints axis = ints1(gather_cases[which].axis);
  Val idx = arg(g, "idx", gather_cases[which].dt, &gather_cases[which].idx);
  Val in[3] = {idx, arg(g, "updates", dt, &gather_cases[which].y), arg(g, "x", dt, &gather_cases[which].x)};
  return g_add(g, op, in, 3, &axis, 0, DT_NONE, NULL);
}
static Val build_scatter_set(Graph *g, int which) { return build_scatter_into(g, OP_scatter_set, which); }
static Val build_scatter_mul(Graph *g, int which) { return build_scatter_into(g, OP_scatter_mul, which); }
static Val build_scatter_min(Graph *g, int which) { return build_scatter_into(g, OP_scatter_min, which); }
static Val build_scatter_max(Graph *g, int which) { return build_scatter_into(g, OP_scatter_max, which); }

/* Short rows in registers, long ones by digits. */
static const struct {
  DType dt;
  Shape shape;
  bool descending;
} sort_cases[] = {{DT_F32, S(7), false},       {DT_F32, S(3, 32), true},  {DT_F32, S(2, 3, 41), false},
                  {DT_F64, S(3, 5), true},     {DT_F64, S(2, 97), false}, {DT_I32, S(4, 11), false},
                  {DT_I64, S(3, 300), true},   {DT_U32, S(5, 40), false}, {DT_BF16, S(2, 131), true},
                  {DT_I32, S(1, 70), false},   {DT_F32, S(3, 1), false},  {DT_BF16, S(13, 2), false},
                  {DT_I64, S(2, 2, 31), true}, {DT_U64, S(3, 40), false}, {DT_F16, S(2, 50), true},
                  {DT_U8, S(3, 60), false},    {DT_I16, S(2, 9), true}};
static Val build_argsort(Graph *g, int which) {
  Ints down = {.n = sort_cases[which].descending, .v = {1}};
  Val x = arg(g, "a", sort_cases[which].dt, &sort_cases[which].shape);
  return g_add(g, OP_argsort, &x, 1, &down, 0, DT_NONE, NULL);
}

/* A process alone stands for all: what a broadcast and a part have of the others is not felt, so derivatives fit for one. */
static const struct {
  Shape x;
  int64_t axis, groups, ranks;
  DType dt;
} rank_cases[] = {{S(4, 3), 0, 1, 1, DT_F32}, {S(2, 3, 5), 1, 3, 1, DT_F32},  {S(12), 0, 2, 1, DT_F64},
                  {S(6, 5), 0, 1, 3, DT_F32}, {S(5, 12, 3), 1, 2, 3, DT_F32}, {S(3, 4), 1, 1, 2, DT_I32}};

static Val build_rank(Graph *g, OpId op, int which) {
  Val x = arg(g, "a", rank_cases[which].dt, &rank_cases[which].x);
  if (op_nattr(op) == 1) return g_all(g, op, x, (int)rank_cases[which].ranks);
  return g_part(g, op, x, (int)rank_cases[which].axis, rank_cases[which].groups,
                (int)rank_cases[which].ranks);
}
static Val build_all_sum(Graph *g, int which) { return build_rank(g, OP_all_reduce_sum, which); }
static Val build_all_mean(Graph *g, int which) { return build_rank(g, OP_all_reduce_mean, which); }
static Val build_all_max(Graph *g, int which) { return build_rank(g, OP_all_reduce_max, which); }
static Val build_all_broadcast(Graph *g, int which) { return build_rank(g, OP_all_broadcast, which); }
static Val build_reduce_scatter(Graph *g, int which) { return build_rank(g, OP_reduce_scatter, which); }
static Val build_rank_part(Graph *g, int which) { return build_rank(g, OP_rank_part, which); }
static Val build_all_gather(Graph *g, int which) { return build_rank(g, OP_all_gather, which); }

/* ---- linear algebra ---- */
static const struct {
  DType dt;
  Shape shape;
} square_cases[] = {{DT_F32, S(4, 4)}, {DT_F64, S(2, 3, 3)}, {DT_F64, S(1, 1)}, {DT_F64, S(7, 7)}},
  matrix_cases[] = {
      {DT_F32, S(4, 4)}, {DT_F64, S(2, 5, 3)}, {DT_F64, S(3, 5)}, {DT_F64, S(1, 3)}, {DT_F32, S(2, 1)}};
#define SQUARE(NAME, OP)                                                                                     \
  static Val build_##NAME(Graph *g, int which) {                                                             \
    return g_unary(g, OP, arg(g, "a", square_cases[which].dt, &square_cases[which].shape));                  \
  }
SQUARE(cholesky, OP_cholesky)
SQUARE(slogdet, OP_slogdet)
SQUARE(eigh, OP_eigh)
SQUARE(eigvalsh, OP_eigvalsh)
static Val build_svd(Graph *g, int which) {
  return g_unary(g, OP_svd, arg(g, "a", matrix_cases[which].dt, &matrix_cases[which].shape));
}
static Val build_qr(Graph *g, int which) {
  return g_unary(g, OP_qr, arg(g, "a", matrix_cases[which].dt, &matrix_cases[which].shape));
}

static const struct {
  DType dt;
  Shape a, b, rows; /* rows: right-hand sides of solve */
  Ints flag[3];
} solve_cases[] = {{DT_F32, S(4, 4), S(4, 3), S(3, 4), {{0}}},
                   {DT_F64, S(2, 3, 3), S(2, 3, 1), S(2, 1, 3), {I(1), {0}, {0}}},
                   {DT_F64, S(5, 5), S(5, 2), S(2, 5), {{0}, I(1), I(1)}},
                   {DT_F64, S(3, 3), S(3, 4), S(4, 3), {I(1), I(1), I(0)}},
                   {DT_F64, S(1, 1), S(1, 1), S(1, 1), {{0}, {0}, I(1)}}};
static Val build_triangular(Graph *g, int which) {
  DType dt = solve_cases[which].dt;
  Val in[] = {arg(g, "a", dt, &solve_cases[which].a), arg(g, "b", dt, &solve_cases[which].b)};
  return g_add(g, OP_triangular_solve, in, 2, solve_cases[which].flag, 0, DT_NONE, NULL);
}
static Val build_solve(Graph *g, int which) {
  DType dt = solve_cases[which].dt;
  Val in[] = {arg(g, "a", dt, &solve_cases[which].a), arg(g, "b", dt, &solve_cases[which].rows)};
  return g_add(g, OP_solve, in, 2, &solve_cases[which].flag[1], 0, DT_NONE, NULL);
}

/* bcopy(from, to, bytes) of the C library copies a bool array */
static Val build_extern(Graph *g, int which) {
  (void)which;
  Shape s = {1, {5}};
  Val x = g_input(g, "x", IN_ARG, DT_BOOL, &s, NULL);
  return g_extern(g, &(Extern){"libc.so.6", "bcopy", NULL}, &x, 1, DT_BOOL, &s);
}

/* ---- the table ---- */
typedef struct {
  int n;
  Val (*build)(Graph *g, int which);
} CaseRow;
static const CaseRow rows[OP_COUNT] = {
    [OP_input] = {2, build_input},
    [OP_grad] = {2, build_grad},
    [OP_cast] = {COUNT(cast_cases), build_cast},
    [OP_fill] = {COUNT(fill_cases), build_fill},
    [OP_iota] = {COUNT(iota_cases), build_iota},
    [OP_random_bits] = {3, build_random},
    [OP_reshape] = {COUNT(reshape_cases), build_reshape},
    [OP_transpose] = {COUNT(transpose_cases), build_transpose},
    [OP_broadcast] = {COUNT(broadcast_cases), build_broadcast},
    [OP_slice] = {COUNT(slice_cases), build_slice},
    [OP_pad] = {COUNT(pad_cases), build_pad},
    [OP_concat] = {COUNT(concat_cases), build_concat},
    [OP_reverse] = {COUNT(reverse_cases), build_reverse},
    [OP_window] = {COUNT(window_cases), build_window},
    [OP_fold] = {COUNT(window_cases), build_fold},
    [OP_reduce_sum] = {COUNT(reduce_cases), build_sum},
    [OP_reduce_mean] = {COUNT(reduce_cases), build_mean},
    [OP_reduce_max] = {COUNT(reduce_cases), build_rmax},
    [OP_reduce_min] = {COUNT(reduce_cases), build_rmin},
    [OP_reduce_m2] = {COUNT(reduce_cases), build_m2},
    [OP_argmax] = {COUNT(argmax_cases), build_argmax},
    [OP_dot_general] = {COUNT(dot_cases), build_dot},
    [OP_conv2d] = {COUNT(conv_cases), build_conv},
    [OP_conv2d_dx] = {COUNT(conv_cases), build_conv_dx},
    [OP_conv2d_dw] = {COUNT(conv_cases), build_conv_dw},
    [OP_gather] = {COUNT(gather_cases), build_gather},
    [OP_scatter_add] = {COUNT(scatter_types), build_scatter},
    [OP_scatter_set] = {COUNT(scatter_types), build_scatter_set},
    [OP_scatter_mul] = {COUNT(scatter_types), build_scatter_mul},
    [OP_scatter_min] = {COUNT(scatter_types), build_scatter_min},
    [OP_scatter_max] = {COUNT(scatter_types), build_scatter_max},
    [OP_argsort] = {COUNT(sort_cases), build_argsort},
    [OP_all_reduce_sum] = {COUNT(rank_cases), build_all_sum},
    [OP_all_reduce_mean] = {COUNT(rank_cases) - 1, build_all_mean},
    [OP_all_reduce_max] = {COUNT(rank_cases), build_all_max},
    [OP_all_broadcast] = {3, build_all_broadcast},
    [OP_reduce_scatter] = {3, build_reduce_scatter},
    [OP_rank_part] = {3, build_rank_part},
    [OP_all_gather] = {3, build_all_gather},
    [OP_cholesky] = {COUNT(square_cases), build_cholesky},
    [OP_triangular_solve] = {COUNT(solve_cases), build_triangular},
    [OP_solve] = {COUNT(solve_cases), build_solve},
    [OP_slogdet] = {COUNT(square_cases), build_slogdet},
    [OP_eigh] = {COUNT(square_cases), build_eigh},
    [OP_eigvalsh] = {COUNT(square_cases), build_eigvalsh},
    [OP_svd] = {COUNT(matrix_cases), build_svd},
    [OP_qr] = {COUNT(matrix_cases), build_qr},
    [OP_extern] = {1, build_extern},
};

int op_case_count(OpId op) {
  if (rows[op].build) return rows[op].n;
  int n = 0;
  while (op_table[op].kind == KIND_MAP && map_case(op, n) >= 0) n++;
  return n;
}

Graph *op_case_build(Arena *a, OpId op, int which) {
  Graph *g = graph_new(a, arena_printf(a, "%s_%d", op_table[op].name, which));
  g_output(g, "y", rows[op].build ? rows[op].build(g, which) : build_map(g, op, which), -1);
  return g;
}

/* ---- values ---- */
double op_case_uniform(uint64_t seed, uint32_t stream, uint64_t k) {
  return (philox_u32(k, 0, stream, seed) + 0.5) / 4294967296.0;
}
double op_case_normal(uint64_t seed, uint32_t stream, uint64_t k) {
  return sqrt(-2 * log(op_case_uniform(seed, stream, 2 * k))) *
         cos(6.283185307179586 * op_case_uniform(seed, stream, 2 * k + 1));
}

typedef struct {
  uint64_t seed;
  uint32_t stream;
  const Node *under_test;
  int64_t bound;         /* indices lie below */
  int64_t *order, drawn; /* a permutation for well separated values */
  const Shape *shape;
} Draw;

/* Positive definite, with eigenvalues apart. */
static double draw_matrix(const Draw *d, uint64_t k, double u, double z) {
  int rank = d->shape->rank;
  uint64_t rows = (uint64_t)d->shape->dim[rank - 2], cols = (uint64_t)d->shape->dim[rank - 1];
  if (d->stream) return z; /* right-hand sides */
  uint64_t row = k / cols % rows;
  return 0.5 * u - 0.25 + (row == k % cols ? 1.5 * (double)(row + 1) : 0);
}

static double draw_float(Draw *d, uint64_t k) {
  const char *sample = op_table[d->under_test->op].sample;
  double u = op_case_uniform(d->seed, d->stream, k), z = op_case_normal(d->seed, d->stream + 1, k);
  if (op_table[d->under_test->op].type == TY_BOOL) return round(2 * z) / 2; /* so that some are equal */
  if (!sample || !strcmp(sample, "any")) return z;
  if (!strcmp(sample, "pos")) return 0.2 + 1.8 * u;
  if (!strcmp(sample, "unit")) return 1.8 * u - 0.9;
  if (!strcmp(sample, "away0")) return z < 0 ? z - 0.1 : z + 0.1;
  if (!strcmp(sample, "above1")) return 1.2 + 1.8 * u;
  if (!strcmp(sample, "matrix")) return draw_matrix(d, k, u, z);
  if (!strcmp(sample, "distinct")) return 0.125 * (double)d->order[d->drawn++] - 3;
  bug("operator %s: unknown sample \"%s\"", op_table[d->under_test->op].name, sample);
}

static double draw(Draw *d, const Input *in, DType dt, uint64_t k) {
  double u = op_case_uniform(d->seed, d->stream, k);
  if (dtype_is_float(dt)) {
    double x = draw_float(d, k);
    if (dtype_is_narrow(dt)) return round(x * 8) / 8; /* few bits */
    return dt == DT_F32 ? (float)x : x;
  }
  if (dt == DT_BOOL) return u < 0.5;
  if (in->kind == IN_RUNTIME) return floor(u * 1e6);
  if (d->bound) return floor(u * (double)d->bound);
  if (dt == DT_U32) return op_table[d->under_test->op].flops > 0 ? floor(u * 1000) : floor(u * 4294967296.0);
  return floor(u * 15) - 7;
}

void op_case_inputs(const Graph *g, Arena *a, uint64_t seed, Tensor64 *in) {
  Draw d = {.seed = seed, .under_test = g_node(g, g->outputs.v[0].val)};
  int64_t total = 0;
  for (int i = 0; i < g->inputs.n; i++) total += shape_count(&g_node(g, g->inputs.v[i].val)->shape);
  d.order = NEWN(a, int64_t, total + 1);
  for (int64_t i = 0; i < total; i++) { /* Fisher-Yates, inside out */
    int64_t j = (int64_t)(op_case_uniform(seed, 99, (uint64_t)i) * (double)(i + 1));
    d.order[i] = d.order[j];
    d.order[j] = i;
  }
  if (d.under_test->op == OP_gather)
    d.bound = g_node(g, d.under_test->in[0])->shape.dim[d.under_test->attr[0].v[0]];
  if (op_table[d.under_test->op].kind == KIND_SCATTER)
    d.bound = d.under_test->shape.dim[d.under_test->attr[0].v[0]];
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){.dt = n->dt, .shape = n->shape, .v = NEWN(a, double, count + 1)};
    d.stream = 2u * (uint32_t)i;
    d.shape = &n->shape;
    for (int64_t k = 0; k < count; k++) {
      double x = draw(&d, &g->inputs.v[i], n->dt, (uint64_t)k);
      in[i].v[k] = dtype_is_int(n->dt) ? int_cell(n->dt, (int64_t)x) : x;
    }
  }
}

/* ---- graphs built on a case ---- */
Val *op_case_copy(Graph *g, const Graph *src) {
  Val *map = NEWN(g->arena, Val, src->node.n + 1);
  for (Val v = 0; v < src->node.n; v++) map[v] = pass_copy(g, src, v, map);
  return map;
}

Val op_case_weighted_sum(Graph *g, Val y, const char *weights) {
  Node n = *g_node(g, y);
  Ints all = ints_range(n.shape.rank);
  Val w = g_input(g, weights, IN_ARG, n.dt, &n.shape, NULL);
  return g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, y, w), &all);
}

Graph *op_case_loss(Arena *a, const Graph *src) {
  Graph *g = graph_new(a, src->name);
  Val *map = op_case_copy(g, src);
  g_output(g, "loss", op_case_weighted_sum(g, map[src->outputs.v[0].val], "weights"), -1);
  return g;
}

Graph *op_case_grads(Arena *a, const Graph *src) {
  Graph *g = graph_new(a, src->name);
  Val *map = op_case_copy(g, src), loss = map[src->outputs.v[0].val];
  for (int i = 0; i < src->inputs.n; i++)
    if (dtype_is_float(g_node(src, src->inputs.v[i].val)->dt))
      g_output(g, src->inputs.v[i].name, g_binary(g, OP_grad, loss, map[src->inputs.v[i].val]), -1);
  return g;
}

Tensor64 *op_case_inputs_for(const Graph *g, const Graph *base, Arena *a, uint64_t seed) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
  op_case_inputs(base, a, seed, in);
  for (int i = base->inputs.n; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){.dt = n->dt, .shape = n->shape, .v = NEWN(a, double, count + 1)};
    for (int64_t k = 0; k < count; k++) {
      double z = op_case_normal(seed, 1000u + (uint32_t)i, (uint64_t)k);
      in[i].v[k] = dtype_is_narrow(n->dt) ? round(8 * z) / 8 : (float)z;
    }
  }
  return in;
}

Tensor64 *op_case_values(Arena *a, const Graph *g, uint64_t seed, double spread) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    const Node *n = g_node(g, x->val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, count + 1)};
    uint64_t name = hash_bytes(x->name, strlen(x->name), seed);
    for (int64_t k = 0; k < count; k++) {
      double z = op_case_normal(name, 1, (uint64_t)k), y = z;
      if (x->kind == IN_PARAM) y = x->init.kind == INIT_FILL ? x->init.a + 0.2 * z : spread * z;
      if (x->kind == IN_SLOT || x->kind == IN_BUFFER) y = x->init.a + 0.1 * fabs(z) + 0.01;
      if (x->kind == IN_RUNTIME) y = !strcmp(x->name, "step") ? 3 : !strcmp(x->name, "seed") ? 5 : 1000;
      if (dtype_is_float(n->dt)) in[i].v[k] = dtype_round(n->dt, (float)y, true);
      else in[i].v[k] = imm_cell(n->dt, x->kind == IN_RUNTIME ? y : z > 0);
    }
  }
  return in;
}
