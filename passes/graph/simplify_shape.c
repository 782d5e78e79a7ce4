/* Simplification rules for views, reductions and contractions; see simplify.c for the table. */
#include "passes/graph/simplify.h"

#include "ir/graph/ops_impl.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool simp_ints_has(const Ints *s, int64_t x) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == x) return true;
  return false;
}

static const Shape *shape_of(const Simplifier *s, Val v) { return &g_node(s->g, v)->shape; }

/* v's node when it is op, else NULL. */
static const Node *as(const Simplifier *s, Val v, OpId op) {
  const Node *n = simp_def(s, v);
  return n->op == op ? n : NULL;
}

/* How many entries of s are below x: how far index x moves down when the entries are removed. */
static int64_t entries_below(const Ints *s, int64_t x) {
  int64_t r = 0;
  for (int i = 0; i < s->n; i++) r += s->v[i] < x;
  return r;
}

static Val same_shape(Simplifier *s, const Node *n) {
  return shape_eq(shape_of(s, n->in[0]), &n->shape) ? n->in[0] : -1;
}

/* ---- constants ---- */
Val rule_view_of_fill(Simplifier *s, const Node *n) {
  Imm c, k;
  OpKind kind = op_table[n->op].kind;
  if (kind != KIND_VIEW && kind != KIND_REDUCE) return -1;
  if (!simp_is_fill(s, n->in[0], &c)) return -1;
  for (int i = 1; i < n->nin; i++)
    if (!simp_is_fill(s, n->in[i], &k) || k != c) return -1;
  if ((n->op == OP_pad || n->op == OP_window) && n->imm != c) return -1;
  if (kind == KIND_REDUCE && n->op != OP_reduce_max && n->op != OP_reduce_min) return -1;
  return simp_fill(s, n->dt, &n->shape, c);
}

/* ---- reshape, transpose ---- */
Val rule_reshape_same(Simplifier *s, const Node *n) { return same_shape(s, n); }

Val rule_reshape_of_reshape(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_reshape);
  return x ? simp_reshape(s, x->in[0], &n->shape) : -1;
}

static Val transpose(Simplifier *s, Val v, const Ints *perm) {
  return simp_add(s, OP_transpose, &v, 1, perm, 0, DT_NONE, NULL);
}

Val rule_transpose_of_transpose(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_transpose);
  if (!x) return -1;
  Ints perm = {.n = n->attr[0].n};
  for (int i = 0; i < perm.n; i++) perm.v[i] = x->attr[0].v[n->attr[0].v[i]];
  return transpose(s, x->in[0], &perm);
}

Val rule_transpose_units(Simplifier *s, const Node *n) {
  int64_t last = -1;
  for (int i = 0; i < n->shape.rank; i++) {
    if (n->shape.dim[i] == 1) continue;
    if (n->attr[0].v[i] < last) return -1;
    last = n->attr[0].v[i];
  }
  return simp_reshape(s, n->in[0], &n->shape);
}

static Val dot(Simplifier *s, Val a, Val b, const Ints attr[4], DType dt) {
  return simp_add(s, OP_dot_general, (Val[]){a, b}, 2, attr, 0, dt, NULL);
}

/* [batch, left, right] read as [batch, right, left] is the product with its operands swapped. */
Val rule_transpose_of_dot(Simplifier *s, const Node *n) {
  const Node *d = as(s, n->in[0], OP_dot_general);
  if (!d) return -1;
  const Ints *perm = &n->attr[0];
  int batch = d->attr[0].n, left = shape_of(s, d->in[0])->rank - batch - d->attr[2].n;
  int right = n->shape.rank - batch - left;
  for (int i = 0; i < perm->n; i++) {
    int want = i < batch ? i : i < batch + right ? i + left : i - right;
    if (perm->v[i] != want) return -1;
  }
  Ints attr[4] = {d->attr[1], d->attr[0], d->attr[3], d->attr[2]};
  return dot(s, d->in[1], d->in[0], attr, d->dt);
}

/* ---- broadcast ---- */
Val rule_broadcast_of_broadcast(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_broadcast);
  if (!x) return -1;
  Ints dims = {.n = x->attr[0].n};
  for (int i = 0; i < dims.n; i++) dims.v[i] = n->attr[0].v[x->attr[0].v[i]];
  return simp_broadcast(s, x->in[0], &n->shape, &dims);
}

Val rule_broadcast_of_iota(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_iota);
  if (!x) return -1;
  Ints axis = {1, {n->attr[0].v[x->attr[0].v[0]]}};
  return simp_add(s, OP_iota, NULL, 0, &axis, 0, n->dt, &n->shape);
}

/* Where the reshape only adds extents of 1 to x its axes, in order, are found among the reshaped ones. Else extents of 1
   need no axis all the same. */
Val rule_broadcast_of_reshape(Simplifier *s, const Node *n) {
  const Node *r = as(s, n->in[0], OP_reshape);
  if (!r) return -1;
  const Shape *from = shape_of(s, r->in[0]);
  Shape some = {0};
  Ints dims = {0}, same = {0};
  bool adds = from->rank < r->shape.rank;
  for (int i = 0; i < r->shape.rank; i++) {
    if (r->shape.dim[i] != 1) some.dim[some.rank++] = r->shape.dim[i], dims.v[dims.n++] = n->attr[0].v[i];
    if (same.n < from->rank && from->dim[same.n] == r->shape.dim[i]) same.v[same.n++] = n->attr[0].v[i];
    else adds &= r->shape.dim[i] == 1;
  }
  if (adds && same.n == from->rank) return simp_broadcast(s, r->in[0], &n->shape, &same);
  return some.rank < r->shape.rank ? simp_broadcast(s, simp_reshape(s, r->in[0], &some), &n->shape, &dims)
                                   : -1;
}

Val rule_broadcast_units(Simplifier *s, const Node *n) {
  return shape_count(shape_of(s, n->in[0])) == shape_count(&n->shape) ? simp_reshape(s, n->in[0], &n->shape)
                                                                      : -1;
}

/* Rewrites operand v, a broadcast to some shape, as one to the smaller shape inner, whose axes are axes dims
   of the first shape. -1 when v varies along other axes. */
static Val narrow_broadcast(Simplifier *s, Val v, const Shape *inner, const Ints *dims) {
  Imm c;
  if (simp_is_fill(s, v, &c)) return simp_fill(s, g_node(s->g, v)->dt, inner, c);
  const Node *b = simp_def(s, v);
  Ints at = {0};
  for (int i = 0; i < b->attr[0].n; i++) {
    int k = 0;
    while (k < dims->n && dims->v[k] != b->attr[0].v[i]) k++;
    int64_t extent = shape_of(s, b->in[0])->dim[i];
    if (k == dims->n || (extent != 1 && extent != inner->dim[k])) return -1;
    at.v[at.n++] = k;
  }
  return simp_broadcast(s, b->in[0], inner, &at);
}

/* Every operand is a broadcast or a constant: compute on the largest of what is broadcast, then broadcast. */
Val rule_map_of_broadcasts(Simplifier *s, const Node *n) {
  if (op_table[n->op].kind != KIND_MAP) return -1;
  const Node *widest = NULL;
  int64_t count = 0;
  for (int i = 0; i < n->nin; i++) {
    const Node *b = simp_def(s, n->in[i]);
    if (b->op != OP_fill && b->op != OP_broadcast) return -1;
    if (b->op == OP_fill) continue;
    int64_t c = shape_count(shape_of(s, b->in[0]));
    if (c > count) {
      widest = b;
      count = c;
    }
  }
  if (!widest) return -1;
  Shape inner = *shape_of(s, widest->in[0]);
  Ints dims = widest->attr[0];
  Val in[3];
  for (int i = 0; i < n->nin; i++) {
    in[i] = narrow_broadcast(s, n->in[i], &inner, &dims);
    if (in[i] < 0) return -1;
  }
  Val small =
      simp_add(s, n->op, in, n->nin, NULL, 0, op_table[n->op].type == TY_EXPLICIT ? n->dt : DT_NONE, NULL);
  return simp_broadcast(s, small, &n->shape, &dims);
}

/* ---- slice, pad, concat, reverse ---- */
Val rule_slice_same(Simplifier *s, const Node *n) { return same_shape(s, n); }

static Val slice(Simplifier *s, Val v, const Ints *start, const Ints *stop, const Ints *step) {
  Ints attr[3] = {*start, *stop, *step};
  return simp_add(s, OP_slice, &v, 1, attr, 0, DT_NONE, NULL);
}

Val rule_slice_of_slice(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_slice);
  if (!x) return -1;
  Ints start = {.n = n->shape.rank}, stop = start, step = start;
  for (int i = 0; i < n->shape.rank; i++) {
    start.v[i] = x->attr[0].v[i] + n->attr[0].v[i] * x->attr[2].v[i];
    step.v[i] = n->shape.dim[i] == 1 ? 1 : n->attr[2].v[i] * x->attr[2].v[i]; /* of one element: any */
    stop.v[i] = start.v[i] + (n->shape.dim[i] - 1) * step.v[i] + 1;
  }
  return slice(s, x->in[0], &start, &stop, &step);
}

Val rule_slice_of_concat(Simplifier *s, const Node *n) {
  const Node *c = as(s, n->in[0], OP_concat);
  if (!c) return -1;
  int64_t axis = c->attr[0].v[0], at = 0;
  int64_t first = n->attr[0].v[axis], last = first + (n->shape.dim[axis] - 1) * n->attr[2].v[axis];
  for (int i = 0; i < c->nin; i++) {
    int64_t extent = shape_of(s, c->in[i])->dim[axis];
    if (first >= at && last < at + extent) {
      Ints start = n->attr[0], stop = n->attr[1];
      start.v[axis] = first - at;
      stop.v[axis] = last - at + 1;
      return slice(s, c->in[i], &start, &stop, &n->attr[2]);
    }
    at += extent;
  }
  return -1;
}

Val rule_pad_none(Simplifier *s, const Node *n) { return same_shape(s, n); }

Val rule_concat_one(Simplifier *s, const Node *n) {
  (void)s;
  return n->nin == 1 ? n->in[0] : -1;
}

Val rule_reverse_none(Simplifier *s, const Node *n) {
  (void)s;
  for (int i = 0; i < n->attr[0].n; i++)
    if (n->shape.dim[n->attr[0].v[i]] != 1) return -1;
  return n->in[0];
}

static bool equal_ints(const Ints *a, const Ints *b) {
  bool same = a->n == b->n;
  for (int i = 0; same && i < a->n; i++) same = a->v[i] == b->v[i];
  return same;
}

Val rule_reverse_of_reverse(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], OP_reverse);
  return x && equal_ints(&x->attr[0], &n->attr[0]) ? x->in[0] : -1;
}

/* ---- reductions ---- */
static Val reduce(Simplifier *s, OpId op, Val v, const Ints *axes) {
  return simp_add(s, op, &v, 1, axes, 0, DT_NONE, NULL);
}

Val rule_reduce_units(Simplifier *s, const Node *n) {
  for (int i = 0; i < n->attr[0].n; i++)
    if (shape_of(s, n->in[0])->dim[n->attr[0].v[i]] != 1) return -1;
  return simp_reshape(s, n->in[0], &n->shape);
}

Val rule_reduce_of_reduce(Simplifier *s, const Node *n) {
  const Node *x = as(s, n->in[0], n->op);
  if (!x) return -1;
  Ints axes = x->attr[0];
  int rank = shape_of(s, x->in[0])->rank;
  for (int i = 0, kept = 0; i < rank; i++) { /* axis i of x's operand is axis kept of x */
    if (simp_ints_has(&x->attr[0], i)) continue;
    if (simp_ints_has(&n->attr[0], kept++)) axes.v[axes.n++] = i;
  }
  return reduce(s, n->op, x->in[0], &axes);
}

/* Repeats small, whose axes are axes dims of a value before the reduction over axes, to the shape after it. */
static Val rebroadcast(Simplifier *s, Val small, const Ints *dims, const Ints *axes, const Shape *to) {
  Ints moved = {.n = dims->n};
  for (int i = 0; i < dims->n; i++) moved.v[i] = dims->v[i] - entries_below(axes, dims->v[i]);
  return simp_broadcast(s, small, to, &moved);
}

/* Reducing along repeated axes multiplies a sum by their extent and leaves an extreme as it is; along the
   others the operand of the broadcast is reduced. */
Val rule_reduce_of_broadcast(Simplifier *s, const Node *n) {
  const Node *b = as(s, n->in[0], OP_broadcast);
  Imm fill;
  const Ints *axes = &n->attr[0];
  int64_t repeats = 1;
  if (simp_is_fill(s, n->in[0], &fill) && n->op == OP_reduce_sum) {
    for (int i = 0; i < axes->n; i++) repeats *= shape_of(s, n->in[0])->dim[axes->v[i]];
    double sum = (double)fill * (double)repeats;
    return n->dt == DT_F64 || (n->dt == DT_F32 && fabs(sum) <= FLT_MAX) ? simp_fill(s, n->dt, &n->shape, sum)
                                                                        : -1;
  }
  if (!b || dtype_is_narrow(n->dt)) return -1; /* the extent may not be exact in it */
  const Shape *from = shape_of(s, b->in[0]);
  Ints inner = {0}, dims = {0};
  bool repeated = false;
  for (int i = 0, k = 0; i < b->shape.rank; i++) {
    bool mapped = k < b->attr[0].n && b->attr[0].v[k] == i, reduced = simp_ints_has(axes, i);
    if (reduced && (!mapped || from->dim[k] != b->shape.dim[i])) {
      repeats *= b->shape.dim[i];
      repeated = true;
    }
    if (mapped && reduced) inner.v[inner.n++] = k;
    if (mapped && !reduced) dims.v[dims.n++] = i;
    k += mapped;
  }
  if (!repeated || (n->op == OP_reduce_sum && imm_misfit(n->dt, (Imm)repeats))) return -1;
  Val small = reduce(s, n->op, b->in[0], &inner);
  if (n->op == OP_reduce_sum) {
    Shape now = *shape_of(s, small);
    small = simp_binary(s, OP_mul, small, simp_fill(s, n->dt, &now, (double)repeats));
  }
  return rebroadcast(s, small, &dims, axes, &n->shape);
}

/* ---- factors out of sums ---- */
typedef struct {
  Val v;
  bool divides;
} Factor;

enum { MAX_FACTORS = 8 };
typedef struct {
  Factor constant[MAX_FACTORS];
  Val varying[MAX_FACTORS];
  int nconstant, nvarying;
  bool negative;
} Product;

/* v does not change along the axes: a constant, or broadcast along all of them. */
static bool is_constant_along(const Simplifier *s, Val v, const Ints *axes) {
  const Node *b = simp_def(s, v);
  if (b->op == OP_fill) return true;
  if (b->op != OP_broadcast) return false;
  for (int i = 0; i < b->attr[0].n; i++)
    if (shape_of(s, b->in[0])->dim[i] != 1 && simp_ints_has(axes, b->attr[0].v[i])) return false;
  return true;
}

/* Collects the factors of v; false when there are too many. */
static bool collect(const Simplifier *s, Val v, const Ints *axes, Product *p) {
  if (p->nconstant == MAX_FACTORS || p->nvarying == MAX_FACTORS) return false;
  const Node *n = simp_def(s, v);
  if (is_constant_along(s, v, axes)) {
    p->constant[p->nconstant++] = (Factor){v, false};
  } else if (n->op == OP_neg) {
    p->negative = !p->negative;
    return collect(s, n->in[0], axes, p);
  } else if (n->op == OP_mul) {
    return collect(s, n->in[0], axes, p) && collect(s, n->in[1], axes, p);
  } else if (n->op == OP_div && is_constant_along(s, n->in[1], axes)) {
    p->constant[p->nconstant++] = (Factor){n->in[1], true};
    return collect(s, n->in[0], axes, p);
  } else {
    p->varying[p->nvarying++] = v;
  }
  return true;
}

/* A value constant along axes, without them. */
static Val without_axes(Simplifier *s, Val v, const Ints *axes, const Shape *to) {
  Imm c;
  if (simp_is_fill(s, v, &c)) return simp_fill(s, g_node(s->g, v)->dt, to, c);
  const Node *b = simp_def(s, v);
  const Shape *from = shape_of(s, b->in[0]);
  Ints dims = {0};
  Shape kept = {0};
  for (int i = 0; i < b->attr[0].n; i++) {
    if (simp_ints_has(axes, b->attr[0].v[i])) continue; /* an extent of 1 */
    kept.dim[kept.rank++] = from->dim[i];
    dims.v[dims.n++] = b->attr[0].v[i];
  }
  return rebroadcast(s, simp_reshape(s, b->in[0], &kept), &dims, axes, to);
}

static int by_number(const void *x, const void *y) { return *(const Val *)x - *(const Val *)y; }

static bool same_varying(const Product *p, const Product *q) {
  Val a[MAX_FACTORS], b[MAX_FACTORS];
  if (p->nvarying != q->nvarying) return false;
  memcpy(a, p->varying, sizeof a);
  memcpy(b, q->varying, sizeof b);
  qsort(a, (size_t)p->nvarying, sizeof *a, by_number);
  qsort(b, (size_t)q->nvarying, sizeof *b, by_number);
  return !memcmp(a, b, sizeof *a * (size_t)p->nvarying);
}

/* In the order of their numbers, so that equal products are equal nodes. */
static Val varying_product(Simplifier *s, const Product *p) {
  Val v[MAX_FACTORS];
  memcpy(v, p->varying, sizeof v);
  qsort(v, (size_t)p->nvarying, sizeof *v, by_number);
  Val x = v[0];
  for (int i = 1; i < p->nvarying; i++) x = simp_binary(s, OP_mul, x, v[i]);
  return x;
}

/* The product of the varying factors when its sum over the axes is in the graph too, or another one that differs in
   factors only; else -1. */
static Val summed_elsewhere(Simplifier *s, Val of, const Ints *axes, const Product *p) {
  for (int i = 0; i < s->sums.n; i++) {
    const Node *sum = g_node(s->in, s->sums.v[i]), *m = g_node(s->in, sum->in[0]);
    Val x = s->map[sum->in[0]];
    if (!equal_ints(&sum->attr[0], axes)) continue;
    Product q = {0};
    if (x >= 0 && x != of && shape_eq(shape_of(s, x), shape_of(s, of)) && collect(s, x, axes, &q) &&
        same_varying(p, &q) && (!q.nconstant || sum->role == ROLE_GRADIENT))
      return q.nconstant || q.negative ? varying_product(s, p) : x;
    if (x >= 0 || p->nvarying != 2 || m->op != OP_mul) continue;
    Val a = s->map[m->in[0]], b = s->map[m->in[1]];
    bool here = a == p->varying[0] && b == p->varying[1], turned = b == p->varying[0] && a == p->varying[1];
    if (here || turned) return simp_binary(s, OP_mul, a, b);
  }
  return -1;
}

/* Outside a sum a factor could no longer keep the terms in range. A sign can; and in the gradient of a
   normalization, whose sums of dy and dy*(x-mean) are wanted without their factors anyway, those with factors follow
   from them. */
Val rule_sum_of_product(Simplifier *s, const Node *n) {
  Product p = {0};
  const Ints *axes = &n->attr[0];
  if (!dtype_is_float(n->dt)) return -1;
  const Node *x = simp_def(s, n->in[0]);
  if (x->op == OP_neg) return simp_unary(s, OP_neg, reduce(s, OP_reduce_sum, x->in[0], axes));
  if (s->g->role != ROLE_GRADIENT || !collect(s, n->in[0], axes, &p) || !p.nconstant) return -1;
  Val v = summed_elsewhere(s, n->in[0], axes, &p);
  if (v < 0) return -1;
  v = reduce(s, OP_reduce_sum, v, axes);
  for (int i = 0; i < p.nconstant; i++)
    v = simp_binary(s, p.constant[i].divides ? OP_div : OP_mul, v,
                    without_axes(s, p.constant[i].v, axes, &n->shape));
  return p.negative ? simp_unary(s, OP_neg, v) : v;
}

/* ---- contractions ---- */
/* Reads through a transposed operand when its free axes stay in order (their order is the result's). */
Val rule_dot_of_transpose(Simplifier *s, const Node *n) {
  for (int side = 0; side < 2; side++) {
    const Node *t = as(s, n->in[side], OP_transpose);
    if (!t) continue;
    const Ints *perm = &t->attr[0];
    Ints attr[4] = {n->attr[0], n->attr[1], n->attr[2], n->attr[3]};
    int64_t last = -1;
    bool ordered = true;
    for (int i = 0; i < perm->n; i++) {
      if (simp_ints_has(&attr[side], i) || simp_ints_has(&attr[2 + side], i)) continue;
      ordered &= perm->v[i] > last;
      last = perm->v[i];
    }
    if (!ordered) continue;
    for (int k = side; k < 4; k += 2)
      for (int i = 0; i < attr[k].n; i++) attr[k].v[i] = perm->v[attr[k].v[i]];
    Val in[2] = {n->in[0], n->in[1]};
    in[side] = t->in[0];
    return dot(s, in[0], in[1], attr, n->dt);
  }
  return -1;
}
