/* Operators between ranks: types, derivatives, values. What is differentiated is the sum of all ranks' losses. Sums are
   taken in the order of rank_tree, so no library and no network decides about a bit. */
#include "ir/graph/collective.h"

#include "ir/graph/expr.h"
#include "ir/graph/ops_impl.h"
#include "ir/graph/vjp.h"

#include <string.h>

static int attr_last(const Node *n) { return op_nattr(n->op) - 1; }

int64_t collective_ranks(const Node *n) {
  return op_table[n->op].kind == KIND_COLLECTIVE ? n->attr[attr_last(n)].v[0] : 0;
}

Val g_all(Graph *g, OpId op, Val x, int ranks) {
  Ints attr = ints1(ranks);
  return g_add(g, op, &x, 1, &attr, 0, DT_NONE, NULL);
}

Val g_part(Graph *g, OpId op, Val x, int axis, int64_t groups, int ranks) {
  Ints attr[] = {ints1(axis), ints1(groups), ints1(ranks)};
  return g_add(g, op, &x, 1, attr, 0, DT_NONE, NULL);
}

static Val iota(Graph *g, const Shape *s, int axis) {
  Ints attr = ints1(axis);
  return g_add(g, OP_iota, NULL, 0, &attr, 0, DT_I64, s);
}

Val g_rank(Graph *g, int ranks) {
  return g_part(g, OP_rank_part, iota(g, &(Shape){1, {ranks}}, 0), 0, 1, ranks);
}

/* ---- types ---- */

static bool check(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = g_node(g, n->in[0]);
  const char *name = op_table[n->op].name;
  int accept = op_table[n->op].accept;
  bool fits = dtype_is_float(x->dt) ? accept & A_FLOAT
              : dtype_is_int(x->dt) ? accept & A_INT
                                    : accept & A_BOOL;
  if (!fits) return infer_fail(err, errlen, "%s cannot take %s", name, dtype_name(x->dt));
  for (int i = 0; i <= attr_last(n); i++)
    if (n->attr[i].n != 1) return infer_fail(err, errlen, "each attribute of %s is one number", name);
  int64_t ranks = n->attr[attr_last(n)].v[0];
  if (ranks < 1 || ranks > MOST_RANKS)
    return infer_fail(err, errlen, "%s is of 1 to %d ranks, not %lld", name, MOST_RANKS, (long long)ranks);
  n->dt = x->dt;
  n->shape = x->shape;
  return true;
}

INFER(all) { return check(g, n, err, errlen); }

/* The axis of n is divided into so many equal pieces. */
static bool check_pieces(Node *n, int64_t pieces, int64_t *piece, char *err, size_t errlen) {
  int64_t axis = n->attr[0].v[0], groups = n->attr[1].v[0];
  const char *name = op_table[n->op].name;
  if (axis < 0 || axis >= n->shape.rank)
    return infer_fail(err, errlen, "axis %lld of %s is outside a value of %d axes", (long long)axis, name,
                      n->shape.rank);
  int64_t extent = n->shape.dim[axis];
  if (groups < 1 || groups > extent || extent % (groups * pieces))
    return infer_fail(err, errlen, "%s cannot divide an axis of %lld into %lld groups for %lld ranks", name,
                      (long long)extent, (long long)groups, (long long)n->attr[2].v[0]);
  *piece = extent / pieces;
  return true;
}

INFER(part) {
  int64_t part;
  if (!check(g, n, err, errlen) || !check_pieces(n, n->attr[2].v[0], &part, err, errlen)) return false;
  n->shape.dim[n->attr[0].v[0]] = part;
  return true;
}

INFER(gathered) {
  int64_t piece;
  if (!check(g, n, err, errlen) || !check_pieces(n, 1, &piece, err, errlen)) return false;
  n->shape.dim[n->attr[0].v[0]] *= n->attr[2].v[0];
  return true;
}

void collective_extents(const Graph *g, const Node *n, int64_t *outer, int64_t *inner) {
  const Shape *part = n->op == OP_all_gather ? &g_node(g, n->in[0])->shape : &n->shape;
  *outer = 1;
  *inner = shape_count(part);
  if (attr_last(n) == 0) return;
  for (int i = 0; i < n->attr[0].v[0]; i++) *outer *= part->dim[i];
  *outer *= n->attr[1].v[0];
  *inner /= *outer;
}

/* ---- derivatives ---- */
static int ranks_of(const Graph *g, Val y) { return (int)collective_ranks(g_node(g, y)); }

static Val like(Graph *g, OpId op, Val x, Val y) {
  const Node n = *g_node(g, y);
  return g_part(g, op, x, (int)n.attr[0].v[0], n.attr[1].v[0], ranks_of(g, y));
}

/* x where `where`, a list of truths along one axis, holds, else 0. */
static Val masked(Graph *g, Val where, Val x, int axis) {
  Shape s = g_node(g, x)->shape;
  Ints dims = ints1(axis);
  if (!s.rank) where = g_reshape(g, where, &s);
  else where = g_broadcast(g, where, &s, &dims);
  return g_select(g, where, x, g_fill_like(g, x, 0));
}

VJP(all_sum) { gin[0] = g_all(g, OP_all_reduce_sum, gy, ranks_of(g, y)); }
VJP(all_mean) { gin[0] = g_all(g, OP_all_reduce_mean, gy, ranks_of(g, y)); }

VJP(all_max) {
  Val x = g_node(g, y)->in[0], hit = g_binary(g, OP_eq, x, y);
  Val count = g_all(g, OP_all_reduce_sum, g_cast(g, hit, g_node(g, x)->dt), ranks_of(g, y));
  Val share = g_binary(g, OP_div, g_all(g, OP_all_reduce_sum, gy, ranks_of(g, y)), count);
  gin[0] = g_select(g, hit, share, g_fill_like(g, share, 0));
}

VJP(all_broadcast) {
  Val rank = g_rank(g, ranks_of(g, y)), first = g_binary(g, OP_eq, rank, g_fill_like(g, rank, 0));
  gin[0] = masked(g, first, g_all(g, OP_all_reduce_sum, gy, ranks_of(g, y)), 0);
}

VJP(reduce_scatter) { gin[0] = like(g, OP_all_gather, gy, y); }
VJP(all_gather) { gin[0] = like(g, OP_reduce_scatter, gy, y); }

VJP(rank_part) {
  const Node n = *g_node(g, y);
  int axis = (int)n.attr[0].v[0];
  int64_t groups = n.attr[1].v[0], ranks = n.attr[2].v[0];
  Shape parts = {3, {groups, ranks, n.shape.dim[axis] / groups}}, flat = {1, {n.shape.dim[axis] * ranks}};
  Ints none = {0};
  Val rank = g_reshape(g, g_rank(g, (int)ranks), &(Shape){0});
  Val own = g_binary(g, OP_eq, g_reshape(g, iota(g, &parts, 1), &flat), g_broadcast(g, rank, &flat, &none));
  gin[0] = masked(g, own, like(g, OP_all_gather, gy, y), axis);
}

/* ---- values ---- */
static double join(OpId op, DType dt, double a, double b) {
  return op_eval_cells(op, dt, dt, (double[]){a, b}, false);
}

/* Of element `at` of every rank: v has room for them all. */
static double join_all(const Node *n, const RankTree *t, const double *const *in, int64_t at, double *v) {
  OpId op = n->op == OP_all_reduce_max ? OP_max : OP_add;
  int64_t left = collective_ranks(n);
  for (int64_t r = 0; r < left; r++) v[r] = in[r][at];
  for (int l = 0; l < t->levels; l++) {
    left /= t->size[l];
    for (int64_t g = 0; g < left; g++) {
      double sum = v[g * t->size[l]];
      for (int k = 1; k < t->size[l]; k++) sum = join(op, n->dt, sum, v[g * t->size[l] + k]);
      v[g] = sum;
    }
  }
  return v[0];
}

void collective_eval(const Node *n, const Shape *x, const double *const *in, int rank, double *out) {
  int64_t ranks = collective_ranks(n), count = shape_count(&n->shape), outer = 1, inner;
  RankTree t = rank_tree(ranks);
  double room[MOST_RANKS];
  if (attr_last(n) > 0) {
    for (int i = 0; i < n->attr[0].v[0]; i++) outer *= x->dim[i];
    outer *= n->attr[1].v[0];
  }
  switch (n->op) {
  case OP_all_reduce_sum:
  case OP_all_reduce_mean:
  case OP_all_reduce_max:
    for (int64_t i = 0; i < count; i++) {
      out[i] = join_all(n, &t, in, i, room);
      if (n->op == OP_all_reduce_mean) out[i] /= (double)ranks;
    }
    break;
  case OP_all_broadcast: memcpy(out, in[0], (size_t)count * sizeof *out); break;
  case OP_rank_part:
  case OP_reduce_scatter:
    inner = count / outer;
    for (int64_t o = 0; o < outer; o++)
      for (int64_t i = 0; i < inner; i++) {
        int64_t to = o * inner + i, from = (o * ranks + rank) * inner + i;
        out[to] = n->op == OP_rank_part ? in[rank][from] : join_all(n, &t, in, from, room);
      }
    break;
  case OP_all_gather:
    inner = count / outer / ranks;
    for (int64_t o = 0; o < outer; o++)
      for (int64_t r = 0; r < ranks; r++)
        memcpy(out + (o * ranks + r) * inner, in[r] + o * inner, (size_t)inner * sizeof *out);
    break;
  default: bug("%s is no operator between ranks", op_table[n->op].name);
  }
}
