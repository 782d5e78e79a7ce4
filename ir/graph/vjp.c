/* Derivatives of operators. Elementwise rows carry theirs as an expression (the .vjp column), expanded here
   into graph nodes; structured rows name one of the builders below. Everything is built from ordinary
   operators, so derivatives can be differentiated again. The rules are the usual vector-Jacobian products
   (Griewank and Walther, "Evaluating Derivatives", 2008). */
#include <string.h>

#include "ir/graph/vjp.h"

#include "ir/graph/expr.h"
#include "ir/graph/ops_impl.h"

/* ---- expression rows ---- */
typedef struct {
  Graph *g;
  Val arg[5]; /* a b c y g */
  Shape shape;
} Expansion;

/* The element type an expression has by itself; DT_NONE when it consists of numbers only. */
static DType own_dtype(const Expansion *x, const Expr *e) {
  if (e->kind == EX_NUM) return DT_NONE;
  if (e->kind == EX_ARG) return g_node(x->g, x->arg[e->arg])->dt;
  if (op_table[e->op].type == TY_BOOL) return DT_BOOL;
  DType dt = DT_NONE;
  for (int i = e->op == OP_select; i < e->nin && dt == DT_NONE; i++) dt = own_dtype(x, e->in[i]);
  return dt;
}

/* Numbers take the type the context wants. */
static Val expand(const Expansion *x, const Expr *e, DType want) {
  if (e->kind == EX_NUM) return g_fill(x->g, want, &x->shape, e->num);
  if (e->kind == EX_ARG) return x->arg[e->arg];
  DType inner = want;
  if (op_table[e->op].type == TY_BOOL) {
    inner = DT_NONE;
    for (int i = 0; i < e->nin && inner == DT_NONE; i++) inner = own_dtype(x, e->in[i]);
  }
  Val in[3];
  for (int i = 0; i < e->nin; i++)
    in[i] = expand(x, e->in[i], e->op == OP_select && i == 0 ? DT_BOOL : inner);
  return g_add(x->g, e->op, in, e->nin, NULL, 0, DT_NONE, NULL);
}

static bool is_float(const Graph *g, Val v) { return dtype_is_float(g_node(g, v)->dt); }

bool op_vjp_flows(const Graph *g, Val y, int i) {
  const Node *n = g_node(g, y);
  if (!dtype_is_float(n->dt) || !is_float(g, n->in[i])) return false;
  return !op_table[n->op].vjp || op_vjp_expr(n->op, i);
}

bool op_vjp(Graph *g, Val y, Val gy, Val *gin) {
  const Node n = *g_node(g, y);
  const OpRow *row = &op_table[n.op];
  for (int i = 0; i < n.nin; i++) gin[i] = -1;
  if (!op_vjp_is_defined(n.op) || (n.ext && !n.ext->vjp)) return false;
  if (row->vjp_fn) {
    row->vjp_fn(g, y, gy, gin);
    return true;
  }
  Expansion x = {.g = g, .arg = {-1, -1, -1, y, gy}, .shape = n.shape};
  for (int i = 0; i < n.nin; i++) x.arg[i] = n.in[i];
  for (int i = 0; i < n.nin; i++) {
    if (!op_vjp_flows(g, y, i)) continue;
    DType dt = g_node(g, n.in[i])->dt;
    gin[i] = expand(&x, op_vjp_expr(n.op, i), dt);
    if (g_node(g, gin[i])->dt != dt) gin[i] = g_cast(g, gin[i], dt); /* the cast operator's own derivative */
  }
  return true;
}

/* ---- helpers for structured rows ---- */
static Shape shape_of(const Graph *g, Val v) { return g_node(g, v)->shape; }
static Val operand(const Graph *g, Val y, int i) { return g_node(g, y)->in[i]; }
static const Ints *attr_of(const Graph *g, Val y, int i) { return &g_node(g, y)->attr[i]; }

static bool ints_has(const Ints *s, int64_t x) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == x) return true;
  return false;
}

static bool is_identity(const Ints *perm) {
  for (int i = 0; i < perm->n; i++)
    if (perm->v[i] != i) return false;
  return true;
}

static Val transposed(Graph *g, Val v, const Ints *perm) {
  return is_identity(perm) ? v : g_transpose(g, v, perm);
}
static Val cast_like(Graph *g, Val v, Val like) {
  DType dt = g_node(g, like)->dt;
  return g_node(g, v)->dt == dt ? v : g_cast(g, v, dt);
}

/* Repeats the result of a reduction of x over axes along those axes again. */
static Val unreduce(Graph *g, Val v, Val x, const Ints *axes) {
  Shape s = shape_of(g, x);
  Ints kept = {0};
  for (int i = 0; i < s.rank; i++)
    if (!ints_has(axes, i)) kept.v[kept.n++] = i;
  return g_broadcast(g, v, &s, &kept);
}

/* ---- views ---- */
VJP(none) { (void)g, (void)y, (void)gy, (void)gin; }

VJP(reshape) {
  Shape s = shape_of(g, operand(g, y, 0));
  gin[0] = g_reshape(g, gy, &s);
}

VJP(transpose) {
  const Ints *perm = attr_of(g, y, 0);
  Ints inverse = {.n = perm->n};
  for (int i = 0; i < perm->n; i++) inverse.v[perm->v[i]] = i;
  gin[0] = g_transpose(g, gy, &inverse);
}

/* Sum over the axes that repeat, then restore the extents of 1 that were stretched. */
VJP(broadcast) {
  Shape s = shape_of(g, operand(g, y, 0)), to = shape_of(g, y);
  const Ints *dims = attr_of(g, y, 0);
  Ints repeated = {0};
  for (int i = 0, k = 0; i < to.rank; i++) {
    bool mapped = k < dims->n && dims->v[k] == i;
    if (!mapped || s.dim[k] != to.dim[i]) repeated.v[repeated.n++] = i;
    k += mapped;
  }
  Val v = repeated.n ? g_reduce(g, OP_reduce_sum, gy, &repeated) : gy;
  Shape now = shape_of(g, v);
  gin[0] = shape_eq(&now, &s) ? v : g_reshape(g, v, &s);
}

VJP(slice) {
  Val x = operand(g, y, 0);
  Shape s = shape_of(g, x), part = shape_of(g, y);
  const Ints *start = attr_of(g, y, 0), *step = attr_of(g, y, 2);
  Ints hi = {.n = s.rank}, interior = {.n = s.rank};
  for (int i = 0; i < s.rank; i++) {
    interior.v[i] = step->v[i] - 1;
    hi.v[i] = s.dim[i] - (start->v[i] + (part.dim[i] - 1) * step->v[i] + 1);
  }
  gin[0] = g_pad(g, gy, start, &hi, &interior, 0);
}

VJP(pad) {
  Shape s = shape_of(g, operand(g, y, 0));
  const Ints *lo = attr_of(g, y, 0), *interior = attr_of(g, y, 2);
  Ints stop = {.n = s.rank}, step = {.n = s.rank};
  for (int i = 0; i < s.rank; i++) {
    step.v[i] = interior->v[i] + 1;
    stop.v[i] = lo->v[i] + (s.dim[i] - 1) * step.v[i] + 1;
  }
  gin[0] = g_slice(g, gy, lo, &stop, &step);
}

VJP(concat) {
  const Node n = *g_node(g, y);
  int64_t axis = n.attr[0].v[0], at = 0;
  for (int i = 0; i < n.nin; i++) {
    Ints start = {.n = n.shape.rank}, stop = {.n = n.shape.rank};
    for (int k = 0; k < n.shape.rank; k++) stop.v[k] = n.shape.dim[k];
    start.v[axis] = at;
    stop.v[axis] = at += shape_of(g, n.in[i]).dim[axis];
    gin[i] = g_slice(g, gy, &start, &stop, NULL);
  }
}

VJP(reverse) { gin[0] = g_add(g, OP_reverse, &gy, 1, attr_of(g, y, 0), 0, DT_NONE, NULL); }

/* fold is the adjoint of window with zeros outside; the constant outside gets no gradient. */
VJP(window) {
  Shape s = shape_of(g, operand(g, y, 0));
  const Ints *size = attr_of(g, y, 0);
  Ints attr[3] = {{.n = size->n}, *attr_of(g, y, 1), *attr_of(g, y, 2)};
  for (int i = 0; i < size->n; i++) attr[0].v[i] = s.dim[s.rank - size->n + i];
  gin[0] = g_add(g, OP_fold, &gy, 1, attr, 0, DT_NONE, NULL);
}

VJP(fold) {
  Shape s = shape_of(g, operand(g, y, 0));
  const Ints *extent = attr_of(g, y, 0);
  Ints attr[3] = {{.n = extent->n}, *attr_of(g, y, 1), *attr_of(g, y, 2)};
  for (int i = 0; i < extent->n; i++) attr[0].v[i] = s.dim[s.rank - extent->n + i];
  gin[0] = g_add(g, OP_window, &gy, 1, attr, 0, DT_NONE, NULL);
}

/* ---- reductions ---- */
VJP(reduce_sum) { gin[0] = unreduce(g, gy, operand(g, y, 0), attr_of(g, y, 0)); }

static Val reduced_count(Graph *g, Val x, const Ints *axes, Val like) {
  double n = 1;
  for (int i = 0; i < axes->n; i++) n *= (double)shape_of(g, x).dim[axes->v[i]];
  return g_fill_like(g, like, n);
}

VJP(reduce_mean) {
  Val x = operand(g, y, 0);
  const Ints *axes = attr_of(g, y, 0);
  gin[0] = unreduce(g, g_binary(g, OP_div, gy, reduced_count(g, x, axes, gy)), x, axes);
}

/* The elements equal to the extreme share its gradient equally. */
VJP(reduce_extreme) {
  Val x = operand(g, y, 0);
  const Ints *axes = attr_of(g, y, 0);
  Val hit = g_binary(g, OP_eq, x, unreduce(g, y, x, axes));
  Val count = g_reduce(g, OP_reduce_sum, g_cast(g, hit, g_node(g, x)->dt), axes);
  Val share = unreduce(g, g_binary(g, OP_div, gy, count), x, axes);
  gin[0] = g_select(g, hit, share, g_fill_like(g, share, 0));
}

/* d/dx sum (x - mean)^2 = 2 (x - mean): the mean's own derivative cancels. */
VJP(reduce_m2) {
  Val x = operand(g, y, 0);
  const Ints *axes = attr_of(g, y, 0);
  Val mean = g_reduce(g, OP_reduce_mean, x, axes);
  Val centered = g_binary(g, OP_sub, x, unreduce(g, mean, x, axes));
  Val twice = g_binary(g, OP_mul, gy, g_fill_like(g, gy, 2));
  gin[0] = g_binary(g, OP_mul, unreduce(g, twice, x, axes), centered);
}

/* ---- contractions ---- */
static Ints free_axes(int rank, const Ints *batch, const Ints *contract) {
  Ints r = {0};
  for (int i = 0; i < rank; i++)
    if (!ints_has(batch, i) && !ints_has(contract, i)) r.v[r.n++] = i;
  return r;
}

static int64_t rank_in(const Ints *s, int64_t x) { /* how many entries are smaller */
  int64_t r = 0;
  for (int i = 0; i < s->n; i++) r += s->v[i] < x;
  return r;
}

/* The gradient of one operand ("mine") contracts gy with the other operand over the other's free axes, which
   lie in gy after mine for the left operand and before them for the right one. What remains is batch, my free
   axes, my contracted axes in the order of the other's axes: either order of the two operands of the new
   contraction is right, and the one that needs no transpose is taken. */
static Val dot_side(Graph *g, Val gy, Val mine, Val other, bool left, const Ints *mb, const Ints *mc,
                    const Ints *ob, const Ints *oc) {
  Ints mf = free_axes(shape_of(g, mine).rank, mb, mc), of = free_axes(shape_of(g, other).rank, ob, oc);
  int nb = mb->n;
  Ints gb = ints_range(nb), gc = {.n = of.n};
  for (int i = 0; i < of.n; i++) gc.v[i] = nb + (left ? mf.n : 0) + i;
  Ints perm[2]; /* [0]: gy first, so free axes precede contracted ones; [1]: other first */
  for (int k = 0; k < 2; k++) {
    perm[k].n = shape_of(g, mine).rank;
    int free_at = nb + (k ? mc->n : 0), contract_at = nb + (k ? 0 : mf.n);
    for (int i = 0; i < nb; i++) perm[k].v[mb->v[i]] = i;
    for (int i = 0; i < mf.n; i++) perm[k].v[mf.v[i]] = free_at + i;
    for (int i = 0; i < mc->n; i++) perm[k].v[mc->v[i]] = contract_at + rank_in(oc, oc->v[i]);
  }
  bool swap = !is_identity(&perm[0]) && is_identity(&perm[1]);
  Val v = swap ? g_dot(g, other, gy, ob, &gb, &of, &gc) : g_dot(g, gy, other, &gb, ob, &gc, &of);
  return cast_like(g, transposed(g, v, &perm[swap]), mine);
}

VJP(dot) {
  const Node n = *g_node(g, y);
  const Ints *lb = &n.attr[0], *rb = &n.attr[1], *lc = &n.attr[2], *rc = &n.attr[3];
  Val a = n.in[0], b = n.in[1];
  gin[0] = dot_side(g, cast_like(g, gy, b), a, b, true, lb, lc, rb, rc);
  gin[1] = dot_side(g, cast_like(g, gy, a), b, a, false, rb, rc, lb, lc);
}

/* The three convolutions are bilinear and each other's derivatives; geometry is handed on. One operand is the
   incoming gradient, which has another type than the operands where bf16 operands accumulate into f32. */
static Val conv(Graph *g, OpId op, Val a, Val b, Val y, Val of, const Shape *size) {
  OpId from = g_node(g, y)->op;
  Ints attr[MAX_ATTRS] = {*attr_of(g, y, 0), *attr_of(g, y, 1)};
  if (size) attr[2] = ints2(size->dim[2], size->dim[3]);
  attr[op_attr_index(op, "dilation")] = *attr_of(g, y, op_attr_index(from, "dilation"));
  attr[op_attr_index(op, "groups")] = *attr_of(g, y, op_attr_index(from, "groups"));
  return cast_like(g, g_add(g, op, (Val[]){a, b}, 2, attr, 0, DT_NONE, NULL), of);
}

VJP(conv) {
  Val x = operand(g, y, 0), w = operand(g, y, 1), d = cast_like(g, gy, x);
  Shape xs = shape_of(g, x), ws = shape_of(g, w);
  gin[0] = conv(g, OP_conv2d_dx, d, w, y, x, &xs);
  gin[1] = conv(g, OP_conv2d_dw, x, d, y, w, &ws);
}

VJP(conv_dx) {
  Val dy = operand(g, y, 0), w = operand(g, y, 1), d = cast_like(g, gy, w);
  Shape ws = shape_of(g, w);
  gin[0] = conv(g, OP_conv2d, d, w, y, dy, NULL);
  gin[1] = conv(g, OP_conv2d_dw, d, dy, y, w, &ws);
}

VJP(conv_dw) {
  Val x = operand(g, y, 0), dy = operand(g, y, 1), d = cast_like(g, gy, x);
  Shape xs = shape_of(g, x);
  gin[0] = conv(g, OP_conv2d_dx, dy, d, y, x, &xs);
  gin[1] = conv(g, OP_conv2d, x, d, y, dy, NULL);
}

/* ---- indexing: gather and scatter_add are adjoint ---- */
VJP(gather) {
  Val x = operand(g, y, 0), idx = operand(g, y, 1);
  Shape s = shape_of(g, x);
  gin[0] = g_add(g, OP_scatter_add, (Val[]){idx, gy}, 2, attr_of(g, y, 0), 0, g_node(g, x)->dt, &s);
}

VJP(scatter) {
  Val idx = operand(g, y, 0);
  gin[1] = g_add(g, OP_gather, (Val[]){gy, idx}, 2, attr_of(g, y, 0), 0, DT_NONE, NULL);
}

static Val gathered(Graph *g, Val x, Val y) {
  return g_add(g, OP_gather, (Val[]){x, operand(g, y, 0)}, 2, attr_of(g, y, 0), 0, DT_NONE, NULL);
}

static Val zeros_like(Graph *g, Val x) { return g_fill_like(g, x, 0); }

/* The last update of a place has its gradient, a place without any that of what was there. */
VJP(scatter_set) {
  Val idx = operand(g, y, 0), base = operand(g, y, 2);
  Shape is = shape_of(g, idx), s = shape_of(g, base), us = shape_of(g, operand(g, y, 1));
  int64_t axis = attr_of(g, y, 0)->v[0];
  Shape places = {1, {s.dim[axis]}}, picks = {1, {shape_count(&is)}};
  Ints first = ints1(0), at = ints1(axis), along = {.n = is.rank};
  for (int i = 0; i < is.rank; i++) along.v[i] = axis + i;
  Val count = g_add(g, OP_iota, NULL, 0, &first, 0, DT_I64, &picks), none = g_fill(g, DT_I64, &places, -1);
  Val last =
      g_add(g, OP_scatter_set, (Val[]){g_reshape(g, idx, &picks), count, none}, 3, &first, 0, DT_NONE, NULL);
  Val own = g_add(g, OP_gather, (Val[]){last, idx}, 2, &first, 0, DT_NONE, NULL);
  Val counts = g_binary(g, OP_eq, own, g_reshape(g, count, &is));
  Val free = g_binary(g, OP_eq, last, none);
  Val into = gathered(g, gy, y);
  gin[1] = g_select(g, g_broadcast(g, counts, &us, &along), into, zeros_like(g, into));
  gin[2] = g_select(g, g_broadcast(g, free, &s, &at), gy, zeros_like(g, gy));
}

/* What is the extreme, there or among the updates, shares its gradient equally. */
VJP(scatter_extreme) {
  Val idx = operand(g, y, 0), updates = operand(g, y, 1), base = operand(g, y, 2);
  Shape s = shape_of(g, base);
  DType dt = g_node(g, base)->dt;
  Val stays = g_binary(g, OP_eq, base, y), hits = g_binary(g, OP_eq, updates, gathered(g, y, y));
  Val count = g_add(g, OP_scatter_add, (Val[]){idx, g_cast(g, hits, dt)}, 2, attr_of(g, y, 0), 0, dt, &s);
  Val share = g_binary(g, OP_div, gy, g_binary(g, OP_add, count, g_cast(g, stays, dt)));
  Val into = gathered(g, share, y);
  gin[1] = g_select(g, hits, into, zeros_like(g, into));
  gin[2] = g_select(g, stays, share, zeros_like(g, share));
}

/* The product of all others: the result over the factor itself, but where that is 0 and no other update is. */
VJP(scatter_mul) {
  Val idx = operand(g, y, 0), updates = operand(g, y, 1), base = operand(g, y, 2);
  const Ints axis = *attr_of(g, y, 0);
  Shape s = shape_of(g, base);
  DType dt = g_node(g, base)->dt;
  Val no_base = g_binary(g, OP_eq, base, zeros_like(g, base));
  Val rest = g_select(g, no_base, g_fill_like(g, base, 1), base);
  Val all = g_add(g, OP_scatter_mul, (Val[]){idx, updates, rest}, 3, &axis, 0, DT_NONE, NULL);
  gin[2] = g_binary(g, OP_div, g_binary(g, OP_mul, gy, all), rest);
  Val zero = g_binary(g, OP_eq, updates, zeros_like(g, updates)), one = g_fill_like(g, updates, 1);
  Val zeros = g_add(g, OP_scatter_add, (Val[]){idx, g_cast(g, zero, dt)}, 2, &axis, 0, dt, &s);
  Val alone = g_binary(g, OP_and, zero, g_binary(g, OP_eq, gathered(g, zeros, y), one));
  Val others = g_add(g, OP_scatter_mul, (Val[]){idx, g_select(g, alone, one, updates), base}, 3, &axis, 0,
                     DT_NONE, NULL);
  Val plain =
      g_binary(g, OP_div, gathered(g, g_binary(g, OP_mul, gy, y), y), g_select(g, zero, one, updates));
  gin[1] = g_select(g, alone, gathered(g, g_binary(g, OP_mul, gy, others), y), plain);
}

/* ---- extern ---- */
void vjp_extern(Graph *g, Val y, Val gy, Val *gin) {
  const Node n = *g_node(g, y);
  Val *in = NEWN(g->arena, Val, n.nin + 2);
  memcpy(in, n.in, sizeof *in * (size_t)n.nin);
  in[n.nin] = y;
  in[n.nin + 1] = gy;
  for (int i = 0; i < n.nin; i++) {
    char name[256];
    Extern e = {n.ext->library, extern_vjp(n.ext->vjp, i, name, sizeof name), NULL};
    const Node x = *g_node(g, n.in[i]);
    gin[i] = e.symbol && dtype_is_float(x.dt) ? g_extern(g, &e, in, n.nin + 2, x.dt, &x.shape) : -1;
  }
}
