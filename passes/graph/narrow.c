/* Computes of every value only the part somebody reads: a sweep from the outputs finds, axis by axis, the
   range each value is needed in, and the copy computes just that. A transformer of which one token is used
   afterwards runs its last layer for that token alone; since this comes before differentiation, so do the
   gradients. */
#include <string.h>

#include "passes/graph/pass.h"

enum { LEAST_SAVING = 2 }; /* how many times smaller the part must be than the value */

typedef struct {
  int64_t lo[MAX_RANK], hi[MAX_RANK];
} Box;

static Box whole(const Shape *s) {
  Box b = {0};
  memcpy(b.hi, s->dim, sizeof *b.hi * (size_t)s->rank);
  return b;
}

static Shape extents(const Box *b, int rank) {
  Shape s = {.rank = rank};
  for (int i = 0; i < rank; i++) s.dim[i] = b->hi[i] - b->lo[i];
  return s;
}

static bool is_whole(const Box *b, const Shape *s) {
  Shape e = extents(b, s->rank);
  return shape_eq(&e, s);
}

static bool is_empty(const Box *b, int rank) {
  for (int i = 0; i < rank; i++)
    if (b->hi[i] <= b->lo[i]) return true;
  return false;
}

static void set_axis(Box *b, int64_t axis, const Box *from, int64_t k) {
  b->lo[axis] = from->lo[k];
  b->hi[axis] = from->hi[k];
}

/* ---- what a part of a result needs of operand i; *want is the whole operand on entry ---- */
typedef void Want(const Graph *g, const Node *n, const Box *own, int i, Box *want);

static void want_same(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  (void)g, (void)n, (void)i;
  *want = *own;
}

static void want_transpose(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  (void)g, (void)i;
  for (int k = 0; k < n->shape.rank; k++) set_axis(want, n->attr[0].v[k], own, k);
}

static void want_broadcast(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  const Shape *from = &g_node(g, n->in[i])->shape;
  for (int k = 0; k < from->rank; k++)
    if (from->dim[k] == n->shape.dim[n->attr[0].v[k]]) set_axis(want, k, own, n->attr[0].v[k]);
}

static void want_slice(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  (void)g, (void)i;
  for (int k = 0; k < n->shape.rank; k++) {
    int64_t start = n->attr[0].v[k], step = n->attr[2].v[k];
    want->lo[k] = start + own->lo[k] * step;
    want->hi[k] = start + (own->hi[k] - 1) * step + 1;
  }
}

static void want_concat(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  int64_t axis = n->attr[0].v[0], at = 0, extent = want->hi[axis];
  for (int k = 0; k < i; k++) at += g_node(g, n->in[k])->shape.dim[axis];
  *want = *own;
  want->lo[axis] = own->lo[axis] > at ? own->lo[axis] - at : 0;
  want->hi[axis] = own->hi[axis] - at < extent ? own->hi[axis] - at : extent;
}

static void want_reverse(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  (void)g, (void)i;
  *want = *own;
  for (int k = 0; k < n->attr[0].n; k++) {
    int64_t a = n->attr[0].v[k];
    want->lo[a] = n->shape.dim[a] - own->hi[a];
    want->hi[a] = n->shape.dim[a] - own->lo[a];
  }
}

static bool has(const Ints *s, int64_t x) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == x) return true;
  return false;
}

static void want_reduce(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  int rank = g_node(g, n->in[i])->shape.rank;
  for (int a = 0, kept = 0; a < rank; a++)
    if (!has(&n->attr[0], a)) set_axis(want, a, own, kept++);
}

static void want_dot(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  const Ints *batch = &n->attr[i], *contract = &n->attr[2 + i];
  int rank = g_node(g, n->in[i])->shape.rank, at = batch->n;
  if (i == 1) at = n->shape.rank - (rank - batch->n - contract->n);
  for (int k = 0; k < batch->n; k++) set_axis(want, batch->v[k], own, k);
  for (int a = 0; a < rank; a++)
    if (!has(batch, a) && !has(contract, a)) set_axis(want, a, own, at++);
}

/* ---- reshape: groups of axes that hold the same elements ---- */
typedef struct {
  int a0, a1, b0, b1; /* axes [a0, a1) of one shape are axes [b0, b1) of the other */
} Group;

static bool next_group(const Shape *a, const Shape *b, Group *g) {
  int64_t x = 1, y = 1;
  g->a0 = g->a1, g->b0 = g->b1;
  if (g->a1 == a->rank && g->b1 == b->rank) return false;
  do {
    if (g->a1 < a->rank && x <= y) x *= a->dim[g->a1++];
    else y *= b->dim[g->b1++];
  } while (x != y);
  return true;
}

/* The range of places, in row-major order of axes [from, to), that a part lies in; true when it fills it. */
static bool flatten(const Shape *s, const Box *b, int from, int to, int64_t *lo, int64_t *hi) {
  int64_t stride = 1, count = 1;
  *lo = 0, *hi = 1;
  for (int i = to - 1; i >= from; stride *= s->dim[i--]) {
    *lo += b->lo[i] * stride;
    *hi += (b->hi[i] - 1) * stride;
    count *= b->hi[i] - b->lo[i];
  }
  return *hi - *lo == count;
}

/* The part of axes [from, to) that is places [lo, hi); false when no part is. */
static bool unflatten(const Shape *s, int from, int to, int64_t lo, int64_t hi, Box *b) {
  int64_t stride = 1, count = hi - lo;
  for (int i = from; i < to; i++) stride *= s->dim[i];
  for (int i = from; i < to; i++) {
    stride /= s->dim[i];
    b->lo[i] = lo / stride;
    b->hi[i] = (hi - 1) / stride + 1;
    if (b->hi[i] - b->lo[i] > 1) { /* rows, which must be whole */
      if (lo % stride || hi % stride) return false;
      for (int k = i + 1; k < to; k++) b->lo[k] = 0, b->hi[k] = s->dim[k];
      return true;
    }
    lo -= b->lo[i] * stride, hi -= b->lo[i] * stride;
  }
  return count == 1;
}

static bool regroup(const Shape *from, const Group *x, const Shape *to, const Box *own, Box *want) {
  int64_t lo, hi;
  return flatten(to, own, x->b0, x->b1, &lo, &hi) && unflatten(from, x->a0, x->a1, lo, hi, want);
}

static void want_reshape(const Graph *g, const Node *n, const Box *own, int i, Box *want) {
  const Shape *from = &g_node(g, n->in[i])->shape;
  for (Group x = {0}; next_group(from, &n->shape, &x);)
    if (!regroup(from, &x, &n->shape, own, want)) bug("narrow: a part of a reshape that is no part");
}

static Want *const want_of[OP_COUNT] = {[OP_reshape] = want_reshape,     [OP_transpose] = want_transpose,
                                        [OP_broadcast] = want_broadcast, [OP_slice] = want_slice,
                                        [OP_concat] = want_concat,       [OP_reverse] = want_reverse,
                                        [OP_dot_general] = want_dot,     [OP_fill] = want_same};

static Want *want_fn(OpId op) {
  if (op_table[op].kind == KIND_MAP) return want_same;
  if (op_table[op].kind == KIND_REDUCE) return want_reduce;
  return want_of[op];
}

/* Makes the part of v to compute as large as its operator and the saving ask. */
static void widen(const Graph *g, const Node *n, bool pinned, Box *own) {
  Shape part = extents(own, n->shape.rank);
  if (pinned || !want_fn(n->op) || LEAST_SAVING * shape_count(&part) > shape_count(&n->shape)) {
    *own = whole(&n->shape);
    return;
  }
  if (n->op != OP_reshape) return;
  const Shape *from = &g_node(g, n->in[0])->shape;
  Box all = whole(&n->shape), ignored;
  for (Group x = {0}; next_group(from, &n->shape, &x);)
    if (!regroup(from, &x, &n->shape, own, &ignored))
      for (int k = x.b0; k < x.b1; k++) set_axis(own, k, &all, k);
}

/* ---- the sweep and the copy ---- */
typedef struct {
  const Graph *in;
  Graph *out;
  Val *map;
  Box *box; /* of each value, what is computed */
  bool *needed, *pinned;
} Narrow;

/* What value v, of which s->box is computed, needs of operand i. */
static Box wanted(const Narrow *s, Val v, int i) {
  const Node *n = g_node(s->in, v);
  Box b = whole(&g_node(s->in, n->in[i])->shape);
  Want *f = s->pinned[v] ? NULL : want_fn(n->op);
  if (f) f(s->in, n, &s->box[v], i, &b);
  return b;
}

/* Every step-th element (NULL: every one) of a part of value v as it is computed now. */
static Val cut(Narrow *s, Val v, const Box *part, const Ints *step) {
  int rank = g_node(s->in, v)->shape.rank;
  Ints start = {.n = rank}, stop = {.n = rank};
  bool all = true;
  for (int i = 0; i < rank; i++) {
    int64_t n = part->hi[i] - part->lo[i];
    start.v[i] = part->lo[i] - s->box[v].lo[i];
    stop.v[i] = start.v[i] + n;
    all &= s->box[v].hi[i] - s->box[v].lo[i] == n && (!step || step->v[i] == 1 || n == 1);
  }
  return all ? s->map[v] : g_slice(s->out, s->map[v], &start, &stop, step);
}

static Val compute(Narrow *s, Val v) {
  const Node *n = g_node(s->in, v);
  bool all = is_whole(&s->box[v], &n->shape);
  for (int i = 0; all && i < n->nin; i++) all = is_whole(&s->box[n->in[i]], &g_node(s->in, n->in[i])->shape);
  if (all || s->pinned[v]) return pass_copy(s->out, s->in, v, s->map);
  Val *in = NEWN(s->out->arena, Val, n->nin + 1);
  int nin = 0;
  for (int i = 0; i < n->nin; i++) {
    Box b = wanted(s, v, i);
    if (!is_empty(&b, g_node(s->in, n->in[i])->shape.rank))
      in[nin++] = cut(s, n->in[i], &b, n->op == OP_slice ? &n->attr[2] : NULL);
  }
  if (n->op == OP_slice || (n->op == OP_concat && nin == 1)) return in[0];
  Shape part = extents(&s->box[v], n->shape.rank);
  bool explicit = op_table[n->op].type == TY_EXPLICIT;
  return g_add(s->out, n->op, in, nin, n->attr, n->imm, n->dt, explicit ? &part : NULL);
}

static void need(Narrow *s, Val v, Box b) {
  Box *x = &s->box[v];
  int rank = g_node(s->in, v)->shape.rank;
  if (is_empty(&b, rank)) return;
  if (!s->needed[v]) *x = b;
  for (int i = 0; i < rank; i++) {
    if (b.lo[i] < x->lo[i]) x->lo[i] = b.lo[i];
    if (b.hi[i] > x->hi[i]) x->hi[i] = b.hi[i];
  }
  s->needed[v] = true;
}

Graph *pass_narrow(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Arena *tmp = arena_new();
  Narrow s = {.in = in, .box = NEWN(tmp, Box, in->node.n + 1), .needed = NEWN(tmp, bool, in->node.n + 1)};
  s.pinned = pass_mark_pinned(tmp, in);
  for (int i = 0; i < in->inputs.n; i++)
    need(&s, in->inputs.v[i].val, whole(&g_node(in, in->inputs.v[i].val)->shape));
  for (int i = 0; i < in->outputs.n; i++)
    need(&s, in->outputs.v[i].val, whole(&g_node(in, in->outputs.v[i].val)->shape));
  bool *live = NEWN(tmp, bool, in->node.n + 1);
  pass_mark_live(in, live);
  for (Val v = 0; v < in->node.n; v++) /* what a step hands on is read by an earlier value */
    if (live[v] && g_node(in, v)->op == OP_scan_next) need(&s, v, whole(&g_node(in, v)->shape));
  for (Val v = in->node.n - 1; v >= 0; v--) {
    if (!s.needed[v]) continue;
    widen(in, g_node(in, v), s.pinned[v], &s.box[v]);
    for (int i = 0; i < g_node(in, v)->nin; i++) need(&s, g_node(in, v)->in[i], wanted(&s, v, i));
  }
  s.out = pass_begin(a, in, &s.map);
  for (Val v = 0; v < in->node.n; v++) {
    if (!s.needed[v]) continue;
    s.out->loc = g_node(in, v)->loc;
    s.out->role = g_node(in, v)->role;
    s.map[v] = compute(&s, v);
  }
  pass_outputs(s.out, in, s.map);
  arena_free(tmp);
  return s.out;
}
