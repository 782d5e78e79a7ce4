/* Operators of linear algebra: types and derivatives. Axes before the last two count matrices. Where an operator reads a
   triangle of its operand, its derivative is by that triangle's elements alone. The rules are those of Giles, "Collected
   matrix derivative results for forward and reverse mode algorithmic differentiation" (2008), Murray, "Differentiation
   of the Cholesky decomposition" (2016), and Walter and Lehmann, "Algorithmic differentiation of linear algebra
   functions" (2010). Vectors of equal eigenvalues or singular values turn freely among each other: between them nothing
   flows. */
#include "ir/graph/lapack.h"

#include "ir/graph/ops_impl.h"
#include "ir/graph/vjp.h"

#include <string.h>

static const OpId ops[LAPACK_OPS] = {OP_cholesky, OP_triangular_solve, OP_solve, OP_slogdet,
                                     OP_eigh,     OP_eigvalsh,         OP_svd,   OP_qr};

static bool flag(const Node *n, const char *name) {
  int at = op_attr_index(n->op, name);
  return at >= 0 && n->attr[at].n && n->attr[at].v[0];
}

LapackSpec lapack_spec(const Graph *g, const Node *n) {
  const Shape *a = &g_node(g, n->in[0])->shape;
  LapackSpec s = {
      .dt = g_node(g, n->in[0])->dt, .batch = 1, .m = a->dim[a->rank - 2], .n = a->dim[a->rank - 1]};
  while (ops[s.what] != n->op) s.what++;
  for (int i = 0; i < a->rank - 2; i++) s.batch *= a->dim[i];
  if (n->nin > 1) {
    const Shape *b = &g_node(g, n->in[1])->shape;
    s.k = b->dim[b->rank - (n->op == OP_solve ? 2 : 1)];
  }
  s.upper = flag(n, "upper");
  s.transposed = flag(n, "transposed");
  s.unit = flag(n, "unit");
  return s;
}

/* ---- types ---- */
static const char *text(DType dt, const Shape *s, char buf[static 128]) { return type_str(dt, s, buf); }

static bool check(const Graph *g, Node *n, bool square, char *err, size_t errlen) {
  const Node *a = g_node(g, n->in[0]);
  const char *name = op_table[n->op].name;
  char ta[128], tb[128];
  text(a->dt, &a->shape, ta);
  if (a->dt != DT_F32 && a->dt != DT_F64)
    return infer_fail(err, errlen, "%s needs matrices of f32 or f64, but has %s", name, ta);
  int rank = a->shape.rank;
  if (rank < 2)
    return infer_fail(err, errlen, "%s needs a matrix in the last two axes, but has %s", name, ta);
  if (rank > 6) return infer_fail(err, errlen, "%s knows up to 4 axes of matrices, but has %s", name, ta);
  int64_t rows = a->shape.dim[rank - 2], cols = a->shape.dim[rank - 1];
  if (square && rows != cols)
    return infer_fail(err, errlen, "%s needs a square matrix, but has %s", name, ta);
  for (int i = 0; i < op_nattr(n->op); i++) {
    char word[32];
    const Ints *v = &n->attr[i];
    if (v->n > 1 || (v->n && v->v[0] != 0 && v->v[0] != 1))
      return infer_fail(err, errlen, "%s of %s is 0 or 1", op_attr_name(n->op, i, word), name);
  }
  n->dt = a->dt;
  n->shape = a->shape;
  if (n->nin > 1) {
    const Node *b = g_node(g, n->in[1]);
    text(b->dt, &b->shape, tb);
    bool fits = b->dt == a->dt && b->shape.rank == rank;
    for (int i = 0; fits && i < rank - 2; i++) fits = b->shape.dim[i] == a->shape.dim[i];
    int at = n->op == OP_solve ? rank - 1 : rank - 2;
    if (!fits || b->shape.dim[at] != cols)
      return infer_fail(err, errlen,
                        "%s: matrices %s and right-hand sides %s do not fit (axis %d of those must be %lld)",
                        name, ta, tb, at, (long long)cols);
    n->shape = b->shape;
  }
  LapackSpec s = lapack_spec(g, n);
  const char *why = lapack_misfit(&s);
  return !why || infer_fail(err, errlen, "%s of %s: %s", name, ta, why);
}

/* The last two axes become `last`, one or two extents. */
static bool set_last(Node *n, int64_t first, int64_t second) {
  n->shape.dim[n->shape.rank - 2] = first;
  n->shape.dim[n->shape.rank - 1] = second;
  if (!second) n->shape.rank--;
  return true;
}

static int64_t extent(const Node *n, int from_end) { return n->shape.dim[n->shape.rank - from_end]; }

INFER(square) { return check(g, n, true, err, errlen); }
INFER(triangular) { return check(g, n, true, err, errlen); }
INFER(solve) { return check(g, n, true, err, errlen); }
INFER(slogdet) { return check(g, n, true, err, errlen) && set_last(n, 2, 0); }
INFER(eigh) { return check(g, n, true, err, errlen) && set_last(n, extent(n, 1) + 1, extent(n, 1)); }
INFER(eigvalsh) { return check(g, n, true, err, errlen) && set_last(n, extent(n, 1), 0); }

static int64_t smaller(const Node *n) { return extent(n, 1) < extent(n, 2) ? extent(n, 1) : extent(n, 2); }

INFER(svd) {
  if (!check(g, n, false, err, errlen)) return false;
  int64_t k = smaller(n);
  return set_last(n, k + k * (extent(n, 1) + extent(n, 2)), 0);
}

INFER(qr) {
  if (!check(g, n, false, err, errlen)) return false;
  return set_last(n, smaller(n) * (extent(n, 1) + extent(n, 2)), 0);
}

/* ---- pieces of derivatives: x, y are [..., rows, columns] ---- */
static Shape shape_of(const Graph *g, Val x) { return g_node(g, x)->shape; }
static Val add(Graph *g, Val x, Val y) { return g_binary(g, OP_add, x, y); }
static Val sub(Graph *g, Val x, Val y) { return g_binary(g, OP_sub, x, y); }
static Val mul(Graph *g, Val x, Val y) { return g_binary(g, OP_mul, x, y); }

static Val flip(Graph *g, Val x) {
  int rank = shape_of(g, x).rank;
  Ints perm = ints_range(rank);
  perm.v[rank - 2] = rank - 1;
  perm.v[rank - 1] = rank - 2;
  return g_transpose(g, x, &perm);
}

enum { LEFT = 1, RIGHT = 2 }; /* which operand of a product is transposed */
static Val product(Graph *g, Val x, Val y, int transposed) {
  int nb = shape_of(g, x).rank - 2;
  Ints batch = ints_range(nb), lc = ints1(transposed & LEFT ? nb : nb + 1),
       rc = ints1(transposed & RIGHT ? nb + 1 : nb);
  return g_dot(g, x, y, &batch, &batch, &lc, &rc);
}

static Val triangular(Graph *g, Val a, Val b, bool upper, bool transposed, bool unit) {
  Ints attr[3] = {{0}, {0}, {0}};
  if (upper) attr[0] = ints1(1);
  if (transposed) attr[1] = ints1(1);
  if (unit) attr[2] = ints1(1);
  return g_add(g, OP_triangular_solve, (Val[]){a, b}, 2, attr, 0, DT_NONE, NULL);
}

/* Row and column numbers of x's elements. */
static void places(Graph *g, Val x, Val *row, Val *col) {
  Shape s = shape_of(g, x);
  Ints r = ints1(s.rank - 2), c = ints1(s.rank - 1);
  *row = g_add(g, OP_iota, NULL, 0, &r, 0, DT_I64, &s);
  *col = g_add(g, OP_iota, NULL, 0, &c, 0, DT_I64, &s);
}

/* x below the diagonal (above where upper), `diagonal` times x on it, else 0. */
static Val part(Graph *g, Val x, bool upper, double diagonal) {
  Val row, col, zero = g_fill_like(g, x, 0), on = zero;
  places(g, x, &row, &col);
  if (diagonal != 0) on = diagonal == 1 ? x : mul(g, x, g_fill_like(g, x, diagonal));
  Val inside = g_binary(g, OP_lt, upper ? row : col, upper ? col : row);
  return g_select(g, inside, x, g_select(g, g_binary(g, OP_eq, row, col), on, zero));
}

/* The derivative by the lower triangle of a symmetric matrix that is s by all elements. */
static Val by_lower(Graph *g, Val s) { return part(g, add(g, s, flip(g, s)), false, 0.5); }

/* v [..., n] as rows (or columns) of [..., m, n]. */
static Val spread(Graph *g, Val v, Val like, bool columns) {
  Shape s = shape_of(g, like);
  Ints dims = ints_range(s.rank - 1);
  if (!columns) dims.v[s.rank - 2] = s.rank - 1;
  return g_broadcast(g, v, &s, &dims);
}

/* x with x' subtracted. */
static Val skew(Graph *g, Val x) { return sub(g, x, flip(g, x)); }

/* 1 / x, and 0 where x is. */
static Val inverse(Graph *g, Val x) {
  Val zero = g_binary(g, OP_eq, x, g_fill_like(g, x, 0)), one = g_fill_like(g, x, 1);
  return g_select(g, zero, g_fill_like(g, x, 0), g_binary(g, OP_div, one, g_select(g, zero, one, x)));
}

/* 1 / (v_col - v_row), and 0 where they are equal. */
static Val gaps(Graph *g, Val v, Val like) {
  return inverse(g, sub(g, spread(g, v, like, false), spread(g, v, like, true)));
}

static Val diagonal(Graph *g, Val v, Val like) {
  Val row, col;
  places(g, like, &row, &col);
  Val x = spread(g, v, like, false);
  return g_select(g, g_binary(g, OP_eq, row, col), x, g_fill_like(g, x, 0));
}

/* Elements [from, to) of an axis counted from the end. */
static Val piece(Graph *g, Val x, int from_end, int64_t from, int64_t to) {
  Shape s = shape_of(g, x);
  Ints start = {.n = s.rank}, stop = {.n = s.rank};
  for (int i = 0; i < s.rank; i++) stop.v[i] = s.dim[i];
  start.v[s.rank - from_end] = from;
  stop.v[s.rank - from_end] = to;
  return g_slice(g, x, &start, &stop, NULL);
}

/* The same of the last axis, as rows x cols. */
static Val matrix(Graph *g, Val x, int64_t from, int64_t rows, int64_t cols) {
  Val y = piece(g, x, 1, from, from + rows * cols);
  Shape s = shape_of(g, y);
  s.dim[s.rank - 1] = rows;
  s.dim[s.rank++] = cols;
  return g_reshape(g, y, &s);
}

/* ---- derivatives ---- */
VJP(cholesky) {
  Val p = part(g, product(g, y, part(g, gy, false, 1), LEFT), false, 0.5);
  Val x = triangular(g, y, p, false, true, false); /* L'^-1 P */
  Val s = triangular(g, y, flip(g, x), false, true, false);
  gin[0] = by_lower(g, s);
}

VJP(triangular) {
  const Node n = *g_node(g, y);
  LapackSpec s = lapack_spec(g, &n);
  Val gb = triangular(g, n.in[0], gy, s.upper, !s.transposed, s.unit);
  Val ga = s.transposed ? product(g, y, gb, RIGHT) : product(g, gb, y, RIGHT);
  gin[0] = part(g, g_unary(g, OP_neg, ga), s.upper, s.unit ? 0 : 1);
  gin[1] = gb;
}

static Val solve(Graph *g, Val a, Val b, bool transposed) {
  Ints attr = {0};
  if (transposed) attr = ints1(1);
  return g_add(g, OP_solve, (Val[]){a, b}, 2, &attr, 0, DT_NONE, NULL);
}

VJP(solve) {
  const Node n = *g_node(g, y);
  bool transposed = flag(&n, "transposed");
  Val gb = solve(g, n.in[0], gy, !transposed);
  Val ga = transposed ? product(g, y, gb, LEFT) : product(g, gb, y, LEFT);
  gin[0] = g_unary(g, OP_neg, ga);
  gin[1] = gb;
}

/* The sign does not move. */
VJP(slogdet) {
  Val a = g_node(g, y)->in[0], row, col;
  Shape s = shape_of(g, a), v = shape_of(g, y);
  places(g, a, &row, &col);
  Val one = g_cast(g, g_binary(g, OP_eq, row, col), g_node(g, a)->dt);
  Val gl = piece(g, gy, 1, 1, 2); /* [..., 1] */
  v.rank--;
  Ints dims = ints_range(v.rank);
  gin[0] = mul(g, solve(g, a, one, false), g_broadcast(g, g_reshape(g, gl, &v), &s, &dims));
}

VJP(eigh) {
  Shape s = shape_of(g, y), v = s;
  int64_t n = s.dim[s.rank - 1];
  v.rank--;
  v.dim[v.rank - 1] = n;
  Val w = g_reshape(g, piece(g, y, 2, 0, 1), &v), gw = g_reshape(g, piece(g, gy, 2, 0, 1), &v);
  Val e = piece(g, y, 2, 1, n + 1), ge = piece(g, gy, 2, 1, n + 1);
  Val inner = product(g, e, ge, RIGHT);
  inner = add(g, diagonal(g, gw, inner), mul(g, gaps(g, w, inner), inner));
  gin[0] = by_lower(g, product(g, e, product(g, inner, e, 0), LEFT));
}

VJP(eigvalsh) {
  Val packed = g_unary(g, OP_eigh, g_node(g, y)->in[0]);
  int64_t n = shape_of(g, y).dim[shape_of(g, y).rank - 1];
  Val e = piece(g, packed, 2, 1, n + 1);
  gin[0] = by_lower(g, product(g, e, mul(g, spread(g, gy, e, true), e), LEFT));
}

VJP(svd) {
  const Shape a = shape_of(g, g_node(g, y)->in[0]);
  int64_t m = a.dim[a.rank - 2], n = a.dim[a.rank - 1], k = m < n ? m : n;
  Val s = piece(g, y, 1, 0, k), gs = piece(g, gy, 1, 0, k);
  Val u = matrix(g, y, k, m, k), gu = matrix(g, gy, k, m, k);
  Val v = matrix(g, y, k + m * k, k, n), gv = matrix(g, gy, k + m * k, k, n);
  Val uu = product(g, u, gu, LEFT), vv = product(g, v, gv, RIGHT); /* k x k */
  Val gap = gaps(g, mul(g, s, s), uu);
  Val inner = mul(g, mul(g, skew(g, uu), gap), spread(g, s, uu, false));
  inner = add(g, inner, mul(g, spread(g, s, uu, true), mul(g, skew(g, vv), gap)));
  inner = add(g, inner, diagonal(g, gs, uu));
  Val ga = product(g, product(g, u, inner, 0), v, 0), over = inverse(g, s);
  if (m > k) { /* what leaves the columns of u */
    Val out = sub(g, gu, product(g, u, uu, 0));
    ga = add(g, ga, product(g, mul(g, out, spread(g, over, out, false)), v, 0));
  }
  if (n > k) {
    Val out = sub(g, gv, product(g, flip(g, vv), v, 0));
    ga = add(g, ga, product(g, u, mul(g, spread(g, over, out, true), out), 0));
  }
  gin[0] = ga;
}

/* Of q [m, k], r [k, k]. */
static Val by_square(Graph *g, Val q, Val r, Val gq, Val gr) {
  Val p = sub(g, product(g, r, part(g, gr, true, 1), RIGHT), product(g, gq, q, LEFT));
  Val lower = part(g, p, false, 0);
  Val sym = add(g, part(g, p, false, 1), flip(g, lower));
  Val x = add(g, gq, product(g, q, sym, 0)); /* times r'^-1 */
  return flip(g, triangular(g, r, flip(g, x), true, false, false));
}

/* A wide matrix is q times [r of its first columns, q' the others]. */
VJP(qr) {
  Val a = g_node(g, y)->in[0];
  const Shape s = shape_of(g, a);
  int64_t m = s.dim[s.rank - 2], n = s.dim[s.rank - 1], k = m < n ? m : n;
  Val q = matrix(g, y, 0, m, k), gq = matrix(g, gy, 0, m, k);
  Val r = matrix(g, y, m * k, k, n), gr = matrix(g, gy, m * k, k, n);
  if (n == k) {
    gin[0] = by_square(g, q, r, gq, gr);
    return;
  }
  Val others = piece(g, gr, 1, k, n);
  gq = add(g, gq, product(g, piece(g, a, 1, k, n), others, RIGHT));
  Val first = by_square(g, q, piece(g, r, 1, 0, k), gq, piece(g, gr, 1, 0, k));
  gin[0] = g_concat(g, (Val[]){first, product(g, q, others, 0)}, 2, s.rank - 1);
}
