/* Random valid graphs: operators are proposed with random operands and attributes and kept when inference
   accepts them. Scalar functions are chosen so that values stay of order one and away from kinks. */
#include "tests/unit/graph_draw.h"

#include <string.h>

static const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17};

void draw_keep(Gen *r, Val v) {
  if (v < 0 || shape_count(shape_of(r, v)) > 20000) return;
  if (r->path.n && shape_of(r, v)->rank == MAX_RANK) return; /* all steps of it would have one axis more */
  vec_push(r->g->arena, &r->pool, v);
}

static Val unary(Gen *r) {
  static const OpId ops[] = {OP_neg, OP_abs, OP_exp, OP_tanh,          OP_sigmoid, OP_relu,
                             OP_sin, OP_cos, OP_erf, OP_stop_gradient, OP_floor};
  Graph *g = r->g;
  Val a = any(r);
  switch (pick(r, 4)) {
  case 0: return g_unary(g, OP_sqrt, g_binary(g, OP_add, g_binary(g, OP_mul, a, a), g_fill_like(g, a, 0.5)));
  case 1: return g_unary(g, OP_log, g_binary(g, OP_add, g_binary(g, OP_mul, a, a), g_fill_like(g, a, 1.5)));
  default: {
    OpId op = ops[pick(r, (int64_t)(sizeof ops / sizeof *ops))];
    if (op == OP_exp) a = g_unary(g, OP_tanh, a);
    return g_unary(g, op, a);
  }
  }
}

Val draw_like(Gen *r, Val a) {
  Graph *g = r->g;
  Shape s = *shape_of(r, a);
  for (int i = 0; i < 6; i++) {
    Val b = any(r);
    if (shape_eq(shape_of(r, b), &s)) return b;
    if (shape_of(r, b)->rank == 1 && s.rank >= 1)
      for (int d = 0; d < s.rank; d++)
        if (s.dim[d] == shape_of(r, b)->dim[0]) {
          Ints dims = ints1(d);
          return g_broadcast(g, b, &s, &dims);
        }
  }
  int axis = s.rank ? (int)pick(r, s.rank) : 0;
  if (!s.rank) return a;
  Ints ax = ints1(axis), dims = {0};
  Val red = g_reduce(g, pick(r, 2) ? OP_reduce_sum : OP_reduce_max, a, &ax);
  for (int d = 0; d < s.rank; d++)
    if (d != axis) dims.v[dims.n++] = d;
  return g_broadcast(g, red, &s, &dims);
}

static Val binary(Gen *r) {
  Graph *g = r->g;
  Val a = any(r), b = draw_like(r, a);
  switch (pick(r, 7)) {
  case 0: return g_binary(g, OP_add, a, b);
  case 1: return g_binary(g, OP_sub, a, b);
  case 2: return g_binary(g, OP_max, a, b);
  case 3: return g_select(g, g_binary(g, OP_lt, a, b), a, g_binary(g, OP_mul, a, g_fill_like(g, a, 0.5)));
  case 4:
    return g_binary(g, OP_div, a,
                    g_binary(g, OP_add, g_unary(g, OP_exp, g_unary(g, OP_tanh, b)), g_fill_like(g, b, 0.5)));
  default: return g_binary(g, OP_mul, g_unary(g, OP_tanh, a), b);
  }
}

static Val view(Gen *r) {
  Val a = any(r);
  Shape s = *shape_of(r, a);
  if (!s.rank) return -1;
  Ints at[4];
  memset(at, 0, sizeof at);
  switch (pick(r, 8)) {
  case 0: {
    Ints p = ints_range(s.rank);
    for (int i = s.rank - 1; i > 0; i--) {
      int j = (int)pick(r, i + 1);
      int64_t t = p.v[i];
      p.v[i] = p.v[j];
      p.v[j] = t;
    }
    return attempt(r, OP_transpose, &a, 1, &p, 0);
  }
  case 1: {
    for (int i = 0; i < s.rank; i++) {
      int64_t lo = pick(r, s.dim[i]), hi = lo + 1 + pick(r, s.dim[i] - lo);
      at[0].v[i] = lo;
      at[1].v[i] = hi;
      at[2].v[i] = 1 + pick(r, 2);
    }
    at[0].n = at[1].n = at[2].n = s.rank;
    return attempt(r, OP_slice, &a, 1, at, 0);
  }
  case 2: {
    for (int i = 0; i < s.rank; i++) {
      at[0].v[i] = pick(r, 3);
      at[1].v[i] = pick(r, 3);
      at[2].v[i] = pick(r, 4) ? 0 : 1;
    }
    at[0].n = at[1].n = at[2].n = s.rank;
    return attempt(r, OP_pad, &a, 1, at, 0.25);
  }
  case 3: {
    Ints ax = ints1(pick(r, s.rank));
    return attempt(r, OP_reverse, &a, 1, &ax, 0);
  }
  case 4: { /* merge two axes or split one */
    Shape t = s;
    if (s.rank > 1 && pick(r, 2)) {
      int i = (int)pick(r, s.rank - 1);
      t.dim[i] *= t.dim[i + 1];
      for (int j = i + 1; j + 1 < s.rank; j++) t.dim[j] = t.dim[j + 1];
      t.rank--;
    } else {
      int i = (int)pick(r, s.rank);
      if (s.rank >= 6 || s.dim[i] % 2) return -1;
      for (int j = s.rank; j > i + 1; j--) t.dim[j] = t.dim[j - 1];
      t.dim[i + 1] = 2;
      t.dim[i] /= 2;
      t.rank++;
    }
    return g_reshape(r->g, a, &t);
  }
  case 5: {
    Val in[3] = {a, draw_like(r, a), a};
    Ints ax = ints1(pick(r, s.rank));
    return attempt(r, OP_concat, in, 2 + (int)pick(r, 2), &ax, 0);
  }
  case 6: {
    at[0] = ints1(1 + pick(r, 3));
    at[1] = ints1(1 + pick(r, 2));
    at[2] = ints1(pick(r, at[0].v[0]));
    if (s.rank >= 6) return -1;
    Val w = attempt(r, OP_window, &a, 1, at, -0.5);
    if (w < 0) return -1;
    Ints last = ints1(s.rank);
    return g_reduce(r->g, pick(r, 2) ? OP_reduce_sum : OP_reduce_max, w, &last);
  }
  default: {
    if (s.rank >= 5) return -1;
    Shape t = s;
    Ints dims = {0};
    int at_axis = (int)pick(r, s.rank + 1);
    for (int i = 0; i < s.rank; i++) dims.v[dims.n++] = i < at_axis ? i : i + 1;
    for (int j = s.rank; j > at_axis; j--) t.dim[j] = t.dim[j - 1];
    t.dim[at_axis] = 1 + pick(r, 3);
    t.rank++;
    return g_broadcast(r->g, a, &t, &dims);
  }
  }
}

static Val scale(Gen *r, Val a, double n) { return g_binary(r->g, OP_mul, a, g_fill_like(r->g, a, 1 / n)); }

static Val reduce(Gen *r) {
  static const OpId ops[] = {OP_reduce_sum, OP_reduce_sum, OP_reduce_max, OP_reduce_min, OP_reduce_m2};
  Val a = any(r);
  Shape s = *shape_of(r, a);
  Ints ax = {0};
  double n = 1;
  for (int i = 0; i < s.rank; i++)
    if (pick(r, 2)) {
      ax.v[ax.n++] = i;
      n *= (double)s.dim[i];
    }
  if (!ax.n) return -1;
  Val y = attempt(r, ops[pick(r, 5)], &a, 1, &ax, 0);
  return y < 0 ? -1 : scale(r, y, n);
}

/* softmax, layer norm or batch norm over random axes: the multi-sweep patterns */
static Val normalise(Gen *r) {
  Graph *g = r->g;
  Val a = any(r);
  Shape s = *shape_of(r, a);
  Ints ax = {0}, keep_axes = {0};
  double n = 1;
  for (int i = 0; i < s.rank; i++)
    if (pick(r, 2)) {
      ax.v[ax.n++] = i;
      n *= (double)s.dim[i];
    } else {
      keep_axes.v[keep_axes.n++] = i;
    }
  if (!ax.n) return -1;
  if (pick(r, 2)) {
    Val m = g_unary(g, OP_stop_gradient, g_reduce(g, OP_reduce_max, a, &ax));
    Val e = g_unary(g, OP_exp, g_binary(g, OP_sub, a, g_broadcast(g, m, &s, &keep_axes)));
    return g_binary(g, OP_div, e, g_broadcast(g, g_reduce(g, OP_reduce_sum, e, &ax), &s, &keep_axes));
  }
  Val m = scale(r, g_reduce(g, OP_reduce_sum, a, &ax), n);
  Val v = scale(r, g_reduce(g, OP_reduce_m2, a, &ax), n);
  Val rstd = g_unary(g, OP_rsqrt, g_binary(g, OP_add, v, g_fill_like(g, v, 0.1)));
  return g_binary(g, OP_mul, g_binary(g, OP_sub, a, g_broadcast(g, m, &s, &keep_axes)),
                  g_broadcast(g, rstd, &s, &keep_axes));
}

static Val contract(Gen *r) {
  Graph *g = r->g;
  for (int tries = 0; tries < 8; tries++) {
    Val in[2] = {any(r), any(r)};
    const Shape *x = shape_of(r, in[0]), *y = shape_of(r, in[1]);
    if (!x->rank || !y->rank) continue;
    Ints at[4];
    memset(at, 0, sizeof at);
    int i = (int)pick(r, x->rank), j = (int)pick(r, y->rank);
    if (x->dim[i] != y->dim[j]) continue;
    double n = (double)x->dim[i];
    at[2] = ints1(i);
    at[3] = ints1(j);
    for (int p = 0; p < x->rank && pick(r, 2); p++)
      for (int q = 0; q < y->rank; q++)
        if (p != i && q != j && x->dim[p] == y->dim[q] && !at[0].n) {
          at[0] = ints1(p);
          at[1] = ints1(q);
        }
    Val v = attempt(r, OP_dot_general, in, 2, at, 0);
    if (v < 0 || shape_of(r, v)->rank > 5) return -1;
    return scale(r, v, n);
  }
  Val x = any(r);
  Shape s = *shape_of(r, x);
  if (s.rank != 4 || s.dim[2] * s.dim[3] > 400) return -1;
  Shape w = {4, {extents[pick(r, 10)], s.dim[1], 1 + 2 * pick(r, 2), 1 + 2 * pick(r, 2)}};
  char name[16];
  snprintf(name, sizeof name, "w%d", g->inputs.n);
  Val in[2] = {x, g_input(g, name, IN_ARG, DT_F32, &w, NULL)};
  Ints at[4] = {ints2(1 + pick(r, 2), 1 + pick(r, 2)), ints2(pick(r, 2), pick(r, 2))};
  Val v = attempt(r, OP_conv2d, in, 2, at, 0);
  return v < 0 ? -1 : scale(r, v, (double)(w.dim[1] * w.dim[2] * w.dim[3]));
}

/* Some groups that divide n, in the end often all of them. */
static int64_t groups_of(Gen *r, int64_t n) {
  int64_t g = pick(r, 3) ? n : 1 + pick(r, n);
  while (n % g) g--;
  return g;
}

/* Large strides and kernels, groups and channels of their own (one or two results each), distances between
   the kernel's elements, padding by side. */
static Val odd_convolution(Gen *r, Val a) {
  Graph *g = r->g;
  Shape s = *shape_of(r, a);
  if (s.rank != 4 || s.dim[2] * s.dim[3] > 400) return -1;
  int64_t kind = pick(r, 6), groups = kind > 2 ? groups_of(r, s.dim[1]) : 1;
  int64_t results = kind > 2 ? groups * (1 + pick(r, groups > 4 ? 2 : 5)) : extents[pick(r, 10)];
  Shape w = {4, {results, s.dim[1] / groups, 1 + pick(r, 5), 1 + pick(r, 5)}};
  char name[16];
  snprintf(name, sizeof name, "w%d", g->inputs.n);
  Val in[2] = {a, g_input(g, name, IN_ARG, DT_F32, &w, NULL)};
  Ints at[4] = {ints2(1 + pick(r, 6), 1 + pick(r, 6)), ints2(pick(r, 7), pick(r, 7)), {0}, ints1(groups)};
  if (kind % 3 == 1) at[2] = ints2(1 + pick(r, 3), 1 + pick(r, 3));
  if (kind % 3 == 2) at[1] = (Ints){4, {pick(r, 4), pick(r, 4), pick(r, 4), pick(r, 4)}};
  Val v = attempt(r, OP_conv2d, in, 2, at, 0);
  return v < 0 ? -1 : scale(r, v, (double)(w.dim[1] * w.dim[2] * w.dim[3]));
}

/* Casts, indices, random numbers, gather and scatter, several batch axes, odd convolutions, high ranks. */
static Val wide_op(Gen *r) {
  Graph *g = r->g;
  Val a = any(r);
  Shape s = *shape_of(r, a);
  switch (pick(r, 12)) {
  case 0: { /* through another element type and back */
    static const DType via[] = {DT_F64, DT_BF16, DT_I32, DT_I64, DT_BOOL, DT_U32};
    DType dt = via[pick(r, 6)];
    Val b = dt == DT_U32 ? g_unary(g, OP_abs, a) : a;
    return g_cast(g, g_cast(g, g_binary(g, OP_mul, b, g_fill_like(g, b, 3)), dt), DT_F32);
  }
  case 1: {
    if (!s.rank) return -1;
    Ints ax = ints1(pick(r, s.rank));
    Val i = g_add(g, OP_iota, NULL, 0, &ax, 0, pick(r, 2) ? DT_I64 : DT_F32, &s);
    return g_binary(g, OP_add, a, g_binary(g, OP_mul, g_cast(g, i, DT_F32), g_fill_like(g, a, 0.125)));
  }
  case 2: { /* dropout */
    Shape scalar = {0};
    Ints stream = ints1(pick(r, 5));
    Val seed = g_fill(g, DT_I64, &scalar, 7), step = g_fill(g, DT_I64, &scalar, 3);
    Val bits = g_add(g, OP_random_bits, (Val[]){seed, step}, 2, &stream, 0, DT_U32, &s);
    return g_select(g, g_binary(g, OP_lt, bits, g_fill_like(g, bits, 2147483648.0)), a, g_fill_like(g, a, 0));
  }
  case 3:
  case 4: { /* gather along an axis by computed indices, or by argmax */
    if (!s.rank) return -1;
    Ints ax = ints1(pick(r, s.rank));
    Val b = any(r);
    Val i = g_cast(g, g_binary(g, OP_mul, b, g_fill_like(g, b, 5)), pick(r, 2) ? DT_I32 : DT_I64);
    if (shape_of(r, b)->rank && pick(r, 2)) {
      Ints last = ints1(pick(r, shape_of(r, b)->rank));
      i = g_reduce(g, OP_argmax, b, &last);
    }
    return attempt(r, OP_gather, (Val[]){a, i}, 2, &ax, 0);
  }
  case 5: { /* scatter: indices from a vector */
    if (s.rank < 1) return -1;
    int axis = (int)pick(r, s.rank);
    Shape is = {1, {s.dim[axis]}}, to = s;
    Ints zero = ints1(0), ax = ints1(axis);
    Val i = g_add(g, OP_iota, NULL, 0, &zero, 0, DT_I64, &is);
    i = g_binary(g, OP_mul, i, g_fill_like(g, i, pick(r, 3)));
    to.dim[axis] = extents[pick(r, 10)];
    char err[256];
    return g_try(g, OP_scatter_add, (Val[]){i, a}, 2, &ax, 0, DT_F32, &to, err, sizeof err);
  }
  case 6: { /* product with itself over several batch axes */
    Ints at[4];
    memset(at, 0, sizeof at);
    double n = 1;
    for (int i = 0; i < s.rank; i++) switch (pick(r, 3)) {
      case 0: at[0].v[at[0].n++] = i; break;
      case 1: at[2].v[at[2].n++] = i, n *= (double)s.dim[i]; break;
      default: break;
      }
    Val b = a;
    at[1] = at[0], at[3] = at[2];
    if (pick(r, 2) && s.rank > 1) { /* ... transposed */
      Ints p = {.n = s.rank};
      for (int i = 0; i < s.rank; i++) p.v[i] = (i + 1) % s.rank;
      b = g_transpose(g, a, &p);
      for (int k = 1; k < 4; k += 2)
        for (int i = 0; i < at[k].n; i++) at[k].v[i] = (at[k].v[i] + s.rank - 1) % s.rank;
    }
    Val v = attempt(r, OP_dot_general, (Val[]){a, b}, 2, at, 0);
    return v < 0 ? -1 : scale(r, v, n);
  }
  case 7: return odd_convolution(r, a);
  case 8: { /* windows over two axes, and back */
    if (s.rank < 2 || s.rank > 4) return -1;
    Ints at[3] = {ints2(1 + pick(r, 3), 1 + pick(r, 3)), ints2(1 + pick(r, 3), 1 + pick(r, 3)), {0}};
    at[2] = ints2(pick(r, 3), pick(r, 3));
    Val w = attempt(r, OP_window, &a, 1, at, 0.5);
    if (w < 0 || shape_count(shape_of(r, w)) > 20000) return -1;
    at[0] = ints2(s.dim[s.rank - 2], s.dim[s.rank - 1]);
    return pick(r, 2) ? w : attempt(r, OP_fold, (Val[]){g_unary(g, OP_tanh, w)}, 1, at, 0);
  }
  case 9: { /* strides and interior padding */
    Ints at[3] = {{.n = s.rank}, {.n = s.rank}, {.n = s.rank}};
    bool cut = pick(r, 2);
    for (int i = 0; i < s.rank; i++) {
      at[0].v[i] = cut ? pick(r, s.dim[i]) : pick(r, 4);
      at[1].v[i] = cut ? s.dim[i] : pick(r, 4);
      at[2].v[i] = cut ? 1 + pick(r, 5) : pick(r, 3);
    }
    return attempt(r, cut ? OP_slice : OP_pad, &a, 1, at, cut ? 0 : 0.75);
  }
  case 10: { /* any other shape */
    int64_t n = shape_count(&s);
    Shape t = {0};
    for (int64_t d = 2 + pick(r, 4); t.rank < 7 && n > 1; d = 2 + pick(r, 4))
      if (n % d == 0) t.dim[t.rank++] = d, n /= d;
      else if (!pick(r, 4)) t.dim[t.rank++] = 1;
      else if (!pick(r, 6)) break;
    t.dim[t.rank++] = n;
    return g_reshape(g, a, &t);
  }
  default: {
    Ints p = ints_range(s.rank);
    for (int i = s.rank - 1; i > 0; i--) {
      int j = (int)pick(r, i + 1);
      int64_t t = p.v[i];
      p.v[i] = p.v[j], p.v[j] = t;
    }
    return attempt(r, OP_transpose, &a, 1, &p, 0);
  }
  }
}

/* States that become each other, or any value of their shape. */
static void states(Gen *r) {
  Init init = {.kind = INIT_FILL, .a = 0.5};
  Shape s = *shape_of(r, r->pool.v[0]);
  for (int i = 0; i < 3; i++) {
    char name[16];
    snprintf(name, sizeof name, "s%d", i);
    vec_push(r->g->arena, &r->pool, g_input(r->g, name, IN_BUFFER, DT_F32, &s, &init));
  }
}

static void updates(Gen *r) {
  for (int i = 0; i < r->g->inputs.n; i++) {
    const Input *in = &r->g->inputs.v[i];
    if (in->kind != IN_BUFFER) continue;
    Val v = in->val;
    for (int tries = 0; tries < 20 && (v == in->val || !shape_eq(shape_of(r, v), shape_of(r, in->val)));
         tries++)
      v = r->pool.v[pick(r, r->pool.n)];
    if (shape_eq(shape_of(r, v), shape_of(r, in->val))) g_output(r->g, in->name, v, i);
  }
}

Val draw_operator(Gen *r) {
  if (r->all && pick(r, 3) == 0) return draw_more(r);
  if (r->wide && pick(r, 2)) return wide_op(r);
  switch (pick(r, 10)) {
  case 0:
  case 1:
  case 2: return unary(r);
  case 3:
  case 4: return binary(r);
  case 5:
  case 6: return view(r);
  case 7: return reduce(r);
  case 8: return normalise(r);
  default: return contract(r);
  }
}

Graph *graph_gen(Arena *a, uint64_t seed, int size) {
  Gen gen = {.g = graph_new(a, "random"),
             .state = seed * 7919 + 1,
             .wide = seed >= GRAPH_GEN_WIDE,
             .all = seed >= GRAPH_GEN_ALL,
             .special = seed >= GRAPH_GEN_SPECIAL};
  Gen *r = &gen;
  Graph *g = r->g;
  int n = 2 + (int)pick(r, 3);
  r->nested = r->all && !pick(r, 8);
  for (int i = 0; i < n; i++) {
    Shape s = {.rank = 1 + (int)pick(r, 4)};
    if (i == 0 && pick(r, 2)) s.rank = 4;
    for (int d = 0; d < s.rank; d++) s.dim[d] = extents[pick(r, s.rank > 3 ? 7 : 10)];
    if (s.rank == 4) s.dim[1] = (int64_t[]){1, 3, 8, 16, 17, 32}[pick(r, 6)];
    char name[16];
    snprintf(name, sizeof name, "x%d", i);
    Val v = g_input(g, name, IN_ARG, DT_F32, &s, NULL);
    vec_push(a, &r->pool, v);
  }
  if (r->wide && pick(r, 2)) states(r);
  for (int i = 0; i < size; i++) draw_keep(r, draw_operator(r));
  updates(r);
  int results = 1 + (int)pick(r, 3);
  Val loss = -1;
  for (int i = 0; i < results; i++) {
    Val v = r->pool.v[r->pool.n - 1 - (int)pick(r, r->pool.n > 4 ? 4 : r->pool.n)];
    char name[16];
    snprintf(name, sizeof name, "y%d", i);
    g_output(g, name, v, -1);
    Ints all = ints_range(shape_of(r, v)->rank);
    Val s = g_reduce(g, OP_reduce_sum, g_unary(g, OP_tanh, v), &all);
    loss = loss < 0 ? s : g_binary(g, OP_add, loss, s);
  }
  g_output(g, r->special ? "total" : "loss", loss, -1); /* a loss must be finite */
  for (int i = 0, m = r->nested ? 0 : g->inputs.n; i < m; i++) {
    char name[16];
    snprintf(name, sizeof name, "g%d", i);
    g_output(g, name, g_binary(g, OP_grad, loss, g->inputs.v[i].val), -1);
  }
  return g;
}
