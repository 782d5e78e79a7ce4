/* Shares the step of a whole batch among processes: each gets the graph of its own part, and operators between them
   (ir/graph/collective.h) wherever a value couples samples. The graph it starts from is that of one process, so whatever
   counts the batch, normalises over it or compares its samples means the whole batch by construction.

   Arguments are divided along their first axis. From there, every value is either whole (each process has all of it)
   or divided: one axis is [groups][ranks][n], and a process has [groups][n] of it. An operator keeps its operands'
   division where its result has one; a sum over a divided axis becomes the sum of each part and all_reduce_sum;
   anything else first puts its operands together (all_gather). A whole value of which a part is needed is made in
   parts where that is possible. Parameters are whole, so their gradients end as sums over all processes.

   What the optimizer does with a parameter needs no batch, so there a value may be divided as a row of numbers: FLAT.
   With Graph.spread the optimizer's state and averages are kept so, each process updates its part of a parameter (of
   whose gradient it gets the sum by reduce_scatter) and all_gather puts it together. Norms of gradients are sums of
   parts in any case, so that they have the same bits with and without. */
#include "passes/graph/shard.h"

#include "ir/graph/collective.h"

#include <string.h>

/* An axis, or all elements in a row, zeros behind them where they do not divide. */
enum { FLAT = MAX_RANK };

typedef struct {
  int axis; /* -1: whole */
  int64_t groups;
} Cut;

typedef struct {
  Cut cut;   /* how it was made */
  Val whole; /* -1: not made yet */
  Val part;  /* of cut; of a whole value: as it was asked for last */
  Cut asked;
  Val addend; /* of a whole value that is the sum of these: the part of this process; else -1 */
} Shared;

typedef struct {
  const Graph *in;
  Graph *g;
  Shared *at;
  int ranks, depth;
  Val *row; /* what norms add up of each value; -1: nothing */
  bool *
      own; /* of batches of their own (Graph.ranks is 0): values that are not the same on every rank; else NULL */
  bool *meets; /* ... and values that one of those is combined with, element by element */
} Shard;

/* SPREAD: bytes that take as long to send as a message by itself does, at 10 Gbit/s and 50 us; less stays whole. */
enum { DEEPEST = 200, SPREAD = 1 << 16 };

static const Node *node(const Shard *s, Val v) { return g_node(s->in, v); }
static const Cut no_cut = {.axis = -1}, flat_cut = {FLAT, 1};
static bool divided(const Shard *s, Val v) { return s->at[v].cut.axis >= 0; }
static bool same_cut(Cut a, Cut b) { return a.axis == b.axis && a.groups == b.groups; }

static int position(const Ints *list, int64_t x) {
  for (int i = 0; i < list->n; i++)
    if (list->v[i] == x) return i;
  return -1;
}

static bool can_cut(const Shard *s, const Shape *x, Cut c) {
  return c.axis >= 0 && c.axis < x->rank && c.groups >= 1 && x->dim[c.axis] % (c.groups * s->ranks) == 0;
}

static Shape local(const Shard *s, const Shape *x, Cut c) {
  Shape r = *x;
  if (c.axis == FLAT) return (Shape){1, {div_up(shape_count(x), s->ranks)}};
  if (c.axis >= 0) r.dim[c.axis] /= s->ranks;
  return r;
}

/* ---- values in a row ---- */
static int64_t bytes_of(const Node *n) { return shape_count(&n->shape) * dtype_size(n->dt); }

static int64_t padded(const Shard *s, const Shape *x) { return div_up(shape_count(x), s->ranks) * s->ranks; }

/* All elements of a whole value, so many that they divide. */
static Val in_a_row(Shard *s, Val x) {
  Shape shape = g_node(s->g, x)->shape;
  int64_t n = shape_count(&shape);
  Ints none = ints1(0), more = ints1(padded(s, &shape) - n);
  x = g_reshape(s->g, x, &(Shape){1, {n}});
  return more.v[0] ? g_pad(s->g, x, &none, &more, &none, 0) : x;
}

static Val from_row(Shard *s, Val row, const Shape *x) {
  int64_t n = shape_count(x);
  Ints start = ints1(0), stop = ints1(n);
  if (padded(s, x) > n) row = g_slice(s->g, row, &start, &stop, NULL);
  return g_reshape(s->g, row, x);
}

/* ---- a value in the form that is needed ---- */
static Val whole(Shard *s, Val v) {
  Shared *x = &s->at[v];
  if (x->whole >= 0) return x->whole;
  int axis = x->cut.axis == FLAT ? 0 : x->cut.axis;
  x->whole = g_part(s->g, OP_all_gather, x->part, axis, x->cut.groups, s->ranks);
  if (x->cut.axis == FLAT) x->whole = from_row(s, x->whole, &node(s, v)->shape);
  return x->whole;
}

static Val part(Shard *s, Val v, Cut c);

/* The index along the divided axis: [groups][ranks][n], of which this rank sees [groups][n]. */
static Val own_indices(Shard *s, const Node *n, Cut c) {
  Shape mine = local(s, &n->shape, c);
  Ints axis = ints1(0), dims = ints1(c.axis);
  Val all = g_add(s->g, OP_iota, NULL, 0, &axis, 0, n->dt, &(Shape){1, {n->shape.dim[c.axis]}});
  return g_broadcast(s->g, g_part(s->g, OP_rank_part, all, 0, c.groups, s->ranks), &mine, &dims);
}

/* The division of reshape's operand (from) that is c of its result, or the other way round: an axis that begins at the
   same place of the row-major order. */
static Cut across_reshape(const Shard *s, const Shape *from, Cut c, const Shape *to) {
  int64_t before = c.groups, at = 1;
  for (int i = 0; i < c.axis; i++) before *= from->dim[i];
  for (int i = 0; i < to->rank && at <= before; i++) {
    Cut r = {i, before / at};
    if (before % at == 0 && can_cut(s, to, r)) return r;
    at *= to->dim[i];
  }
  return no_cut;
}

/* Where a broadcast's axis comes from: an axis of the operand, or -1 where it repeats. */
static int broadcast_source(const Shard *s, const Node *n, int axis) {
  int k = position(&n->attr[0], axis);
  return k >= 0 && node(s, n->in[0])->shape.dim[k] == n->shape.dim[axis] ? k : -1;
}

/* Element by element. */
static Val mapped_part(Shard *s, const Node *n, Cut c) {
  Shape mine = local(s, &n->shape, c);
  Val in[3];
  bool given = op_table[n->op].type == TY_EXPLICIT;
  if (op_table[n->op].kind != KIND_MAP) return -1;
  for (int i = 0; i < n->nin; i++) in[i] = part(s, n->in[i], c);
  return g_add(s->g, n->op, in, n->nin, n->attr, n->imm, given ? n->dt : DT_NONE, given ? &mine : NULL);
}

static Val made_in_a_row(Shard *s, const Node *n) {
  Shape mine = local(s, &n->shape, flat_cut);
  Ints none = {0};
  switch (n->op) {
  case OP_fill: return g_fill(s->g, n->dt, &mine, n->imm);
  case OP_reshape: return part(s, n->in[0], flat_cut);
  case OP_broadcast:
    if (shape_count(&node(s, n->in[0])->shape) != 1) return -1;
    return g_broadcast(s->g, g_reshape(s->g, whole(s, n->in[0]), &(Shape){0}), &mine, &none);
  default: return mapped_part(s, n, flat_cut);
  }
}

/* The part of a whole value made from parts, or -1. */
static Val made_in_parts(Shard *s, const Node *n, Cut c) {
  Shape mine = local(s, &n->shape, c);
  Cut from;
  if (c.axis == FLAT) return made_in_a_row(s, n);
  switch (n->op) {
  case OP_fill: return g_fill(s->g, n->dt, &mine, n->imm);
  case OP_iota:
    if (n->attr[0].v[0] == c.axis) return own_indices(s, n, c);
    return g_add(s->g, OP_iota, NULL, 0, n->attr, 0, n->dt, &mine);
  case OP_broadcast:
    from = (Cut){broadcast_source(s, n, c.axis), c.groups};
    return g_broadcast(s->g, from.axis < 0 ? whole(s, n->in[0]) : part(s, n->in[0], from), &mine,
                       &n->attr[0]);
  case OP_reshape:
    from = across_reshape(s, &n->shape, c, &node(s, n->in[0])->shape);
    return from.axis < 0 ? -1 : g_reshape(s->g, part(s, n->in[0], from), &mine);
  case OP_transpose:
    return g_transpose(s->g, part(s, n->in[0], (Cut){(int)n->attr[0].v[c.axis], c.groups}), &n->attr[0]);
  default: return mapped_part(s, n, c);
  }
}

/* Of a whole value: this process's part of the sum that it is, or of itself. */
static Val cut_out(Shard *s, Val v, Cut c) {
  Shared *x = &s->at[v];
  bool flat = c.axis == FLAT;
  /* else somebody needs the sum of a gradient whole */
  bool apart = !flat || (s->in->spread && bytes_of(node(s, v)) >= SPREAD);
  bool scatter = !divided(s, v) && x->addend >= 0 && apart;
  Val from = scatter ? x->addend : whole(s, v);
  OpId op = scatter ? OP_reduce_scatter : OP_rank_part;
  return flat ? g_part(s->g, op, in_a_row(s, from), 0, 1, s->ranks)
              : g_part(s->g, op, from, c.axis, c.groups, s->ranks);
}

static Val part(Shard *s, Val v, Cut c) {
  Shared *x = &s->at[v];
  if (divided(s, v) ? same_cut(x->cut, c) : x->part >= 0 && same_cut(x->asked, c)) return x->part;
  Val p = -1;
  if (!divided(s, v) && x->addend < 0 && s->depth < DEEPEST) {
    s->depth++;
    p = made_in_parts(s, node(s, v), c);
    s->depth--;
  }
  if (p < 0) p = cut_out(s, v, c);
  if (!divided(s, v)) x->part = p, x->asked = c;
  return p;
}

/* ---- operators ---- */
/* Node n on these operands; its extents are those of a part where it has a division. */
static Val apply(Shard *s, const Node *n, const Val *in, const Ints *attr, Cut c) {
  Shape mine = local(s, &n->shape, c);
  bool given = op_table[n->op].type == TY_EXPLICIT;
  return g_add(s->g, n->op, in, n->nin, attr, n->imm, given ? n->dt : DT_NONE, given ? &mine : NULL);
}

static void set_part(Shard *s, Val v, Val x, Cut c) { s->at[v] = (Shared){c, -1, x, c, -1}; }
static void set_whole(Shard *s, Val v, Val x) { s->at[v] = (Shared){no_cut, x, -1, no_cut, -1}; }
static void set_sum(Shard *s, Val v, Val addend) {
  set_whole(s, v, g_all(s->g, OP_all_reduce_sum, addend, s->ranks));
  s->at[v].addend = addend;
}

/* Computed by everyone, from whole operands. */
static void do_whole(Shard *s, Val v) {
  const Node *n = node(s, v);
  Val *in = NEWN(s->g->arena, Val, n->nin + 1);
  for (int i = 0; i < n->nin; i++) in[i] = whole(s, n->in[i]);
  set_whole(s, v, g_copy_node(s->g, s->in, v, in));
}

/* With all operands divided alike, and the result. */
static void do_parts(Shard *s, Val v, Cut operands, const Ints *attr, Cut result) {
  const Node *n = node(s, v);
  Val *in = NEWN(s->g->arena, Val, n->nin + 1);
  for (int i = 0; i < n->nin; i++) in[i] = part(s, n->in[i], operands);
  set_part(s, v, apply(s, n, in, attr, result), result);
}

/* The division of the largest divided operand. */
static Cut first_cut(const Shard *s, const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (divided(s, n->in[i])) return s->at[n->in[i]].cut;
  return no_cut;
}

static bool do_concat(Shard *s, Val v) {
  const Node *n = node(s, v);
  int axis = (int)n->attr[0].v[0];
  Cut c = first_cut(s, n), sum = {axis, 0};
  if (c.axis != axis) {
    do_parts(s, v, c, n->attr, c);
    return true;
  }
  int64_t group = 0; /* extent of one */
  for (int i = 0; i < n->nin; i++)
    if (divided(s, n->in[i]) && s->at[n->in[i]].cut.axis == axis)
      group = node(s, n->in[i])->shape.dim[axis] / s->at[n->in[i]].cut.groups;
  Val *in = NEWN(s->g->arena, Val, n->nin);
  for (int i = 0; i < n->nin; i++) {
    const Shape *x = &node(s, n->in[i])->shape;
    if (x->dim[axis] % group) return false;
    sum.groups += x->dim[axis] / group;
  }
  for (int i = 0; i < n->nin; i++)
    in[i] = part(s, n->in[i], (Cut){axis, node(s, n->in[i])->shape.dim[axis] / group});
  set_part(s, v, apply(s, n, in, n->attr, sum), sum);
  return true;
}

/* Whole groups stay divided. */
static bool do_slice(Shard *s, Val v, Cut c) {
  const Node *n = node(s, v);
  const Shape *x = &node(s, n->in[0])->shape;
  Ints attr[3] = {n->attr[0], n->attr[1], n->attr[2]};
  int64_t lo = attr[0].v[c.axis], hi = attr[1].v[c.axis], group = x->dim[c.axis] / c.groups;
  if (attr[2].v[c.axis] != 1 || lo % group || hi % group) return false;
  attr[0].v[c.axis] = lo / s->ranks;
  attr[1].v[c.axis] = hi / s->ranks;
  do_parts(s, v, c, attr, (Cut){c.axis, (hi - lo) / group});
  return true;
}

static bool do_pad(Shard *s, Val v, Cut c) {
  const Node *n = node(s, v);
  Ints attr[3] = {n->attr[0], n->attr[1], n->attr[2]};
  int64_t lo = attr[0].v[c.axis], hi = attr[1].v[c.axis];
  int64_t group = node(s, n->in[0])->shape.dim[c.axis] / c.groups;
  if (attr[2].v[c.axis] || lo % group || hi % group) return false;
  attr[0].v[c.axis] = lo / s->ranks;
  attr[1].v[c.axis] = hi / s->ranks;
  do_parts(s, v, c, attr, (Cut){c.axis, c.groups + (lo + hi) / group});
  return true;
}

static bool do_view(Shard *s, Val v) {
  const Node *n = node(s, v);
  Cut c = first_cut(s, n), to = c;
  int last;
  switch (n->op) {
  case OP_concat: return do_concat(s, v);
  case OP_slice: return do_slice(s, v, c);
  case OP_pad: return do_pad(s, v, c);
  case OP_reshape: to = across_reshape(s, &node(s, n->in[0])->shape, c, &n->shape); break;
  case OP_transpose: to.axis = position(&n->attr[0], c.axis); break;
  case OP_broadcast: to.axis = (int)n->attr[0].v[c.axis]; break;
  case OP_reverse:
    if (position(&n->attr[0], c.axis) >= 0) return false;
    break;
  case OP_window:
  case OP_fold:
    last = n->op == OP_window ? n->attr[0].n : 2 * n->attr[0].n;
    if (c.axis >= node(s, n->in[0])->shape.rank - last) return false;
    break;
  default: return false;
  }
  if (to.axis < 0) return false;
  do_parts(s, v, c, n->attr, to);
  return true;
}

/* Of all: the sum of each part's squared deviations, and what the parts' means are away from the mean of all (Chan et
   al.). */
static Val deviations(Shard *s, const Node *n, Val x, Val own) {
  Graph *g = s->g;
  double count = (double)shape_count(&g_node(g, x)->shape) / (double)shape_count(&n->shape);
  Val mean = g_reduce(g, OP_reduce_mean, x, &n->attr[0]);
  Val away = g_binary(g, OP_sub, mean, g_all(g, OP_all_reduce_mean, mean, s->ranks));
  Val more = g_binary(g, OP_mul, g_binary(g, OP_mul, away, away), g_fill_like(g, away, count));
  return g_binary(g, OP_add, own, more);
}

/* ---- what follows from gradients: norms, optimizers ---- */
/* Kernels take sums in an order that depends on what else they compute, and round less where they need not store. So what is
   added up here is computed for itself alone, from copies (passes/lower/fuse.c knows them), with the same operators with
   `spread` and without. */
static Val copied_row(Shard *s, Val v) {
  if (s->in->spread) return g_part(s->g, OP_rank_part, part(s, v, flat_cut), 0, 1, 1);
  return g_part(s->g, OP_rank_part, in_a_row(s, whole(s, v)), 0, 1, s->ranks);
}

static bool is_new_state(const Graph *g, Val v) {
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].val == v && g->outputs.v[i].state >= 0) return true;
  return false;
}

static Val summed_row(Shard *s, Val v) {
  const Node *n = node(s, v);
  Shape mine = local(s, &n->shape, flat_cut);
  bool given = op_table[n->op].type == TY_EXPLICIT;
  if (s->row[v] >= 0) return s->row[v];
  Val in[3], x;
  if (n->op == OP_fill || (n->op == OP_broadcast && shape_count(&node(s, n->in[0])->shape) == 1)) {
    x = made_in_a_row(s, n);
  } else if (op_table[n->op].kind != KIND_MAP || n->nin > 3 || s->at[v].addend >= 0 || s->depth == DEEPEST ||
             is_new_state(s->in, v)) {
    x = copied_row(s, v);
  } else {
    s->depth++;
    for (int i = 0; i < n->nin; i++) in[i] = summed_row(s, n->in[i]);
    s->depth--;
    x = g_add(s->g, n->op, in, n->nin, n->attr, n->imm, given ? n->dt : DT_NONE, given ? &mine : NULL);
  }
  return s->row[v] = x;
}

/* A sum of all elements of a large value, whole or in a row: each adds up a part. */
static bool do_row_sum(Shard *s, Val v) {
  const Node *n = node(s, v);
  const Shape *x = n->nin ? &node(s, n->in[0])->shape : NULL;
  if (n->op != OP_reduce_sum || n->role != ROLE_UPDATE || n->shape.rank || s->own) return false;
  if (divided(s, n->in[0]) && s->at[n->in[0]].cut.axis != FLAT) return false;
  if (bytes_of(node(s, n->in[0])) < SPREAD) return false;
  Val row = summed_row(s, n->in[0]);
  Shape mine = g_node(s->g, row)->shape;
  int64_t count = shape_count(x);
  if (padded(s, x) > count) { /* what was zero may be so no more */
    Ints axis = ints1(0);
    Val all = g_add(s->g, OP_iota, NULL, 0, &axis, 0, DT_I64, &(Shape){1, {padded(s, x)}});
    Val at = g_part(s->g, OP_rank_part, all, 0, 1, s->ranks);
    row = g_select(s->g, g_binary(s->g, OP_lt, at, g_fill(s->g, DT_I64, &mine, (Imm)count)), row,
                   g_fill_like(s->g, row, 0));
  }
  Ints axis = ints1(0);
  set_sum(s, v, g_reduce(s->g, OP_reduce_sum, row, &axis));
  return true;
}

/* What is a sum of all processes, or whole: then it is the first one's. */
static Val addend_of(Shard *s, Val v) {
  if (s->at[v].addend >= 0) return s->at[v].addend;
  Val x = whole(s, v), rank = g_reshape(s->g, g_rank(s->g, s->ranks), &(Shape){0});
  return g_select(s->g, g_binary(s->g, OP_eq, rank, g_fill_like(s->g, rank, 0)), x, g_fill_like(s->g, x, 0));
}

/* Sums of sums are added up before they are sent: one number for the norm of all gradients. */
static bool do_sum_of_sums(Shard *s, Val v) {
  const Node *n = node(s, v);
  if (n->op != OP_add || n->role != ROLE_UPDATE || n->shape.rank || s->own) return false;
  if (divided(s, n->in[0]) || divided(s, n->in[1])) return false;
  if (s->at[n->in[0]].addend < 0 && s->at[n->in[1]].addend < 0) return false;
  Val a = addend_of(s, n->in[0]), b = addend_of(s, n->in[1]);
  set_sum(s, v, g_binary(s->g, OP_add, a, b));
  return true;
}

/* ---- operators over a divided axis ---- */
static bool do_reduce(Shard *s, Val v) {
  const Node *n = node(s, v);
  Cut c = first_cut(s, n), to = c;
  Val x = part(s, n->in[0], c);
  if (position(&n->attr[0], c.axis) < 0) {
    for (int i = 0; i < n->attr[0].n; i++) to.axis -= n->attr[0].v[i] < c.axis;
    do_parts(s, v, c, n->attr, to);
    return true;
  }
  if (n->op == OP_reduce_min) x = g_unary(s->g, OP_neg, x);
  OpId op = n->op == OP_reduce_min ? OP_reduce_max : n->op;
  Val own = g_reduce(s->g, op, x, &n->attr[0]), most;
  switch (n->op) {
  case OP_reduce_sum: set_sum(s, v, own); return true;
  case OP_reduce_m2: set_sum(s, v, deviations(s, n, x, own)); return true;
  case OP_reduce_mean: set_whole(s, v, g_all(s->g, OP_all_reduce_mean, own, s->ranks)); return true;
  case OP_reduce_max:
  case OP_reduce_min:
    most = g_all(s->g, OP_all_reduce_max, own, s->ranks);
    set_whole(s, v, n->op == OP_reduce_min ? g_unary(s->g, OP_neg, most) : most);
    return true;
  default: return false;
  }
}

/* Which axis of each operand of a product a division of the other one divides too. */
static Cut partner(const Node *n, int side, Cut c, bool *summed) {
  int b = position(&n->attr[side], c.axis), k = position(&n->attr[2 + side], c.axis);
  *summed = k >= 0;
  if (b >= 0) return (Cut){(int)n->attr[1 - side].v[b], c.groups};
  if (k >= 0) return (Cut){(int)n->attr[3 - side].v[k], c.groups};
  return no_cut; /* the other one is needed whole */
}

/* The axis of the result that is operand side's axis: batch, free ones of the left, free ones of the right. */
static int product_axis(const Shard *s, const Node *n, int side, int axis) {
  int b = position(&n->attr[side], axis), at = n->attr[0].n;
  if (b >= 0) return b;
  for (int k = 0; k < 2; k++)
    for (int i = 0; i < node(s, n->in[k])->shape.rank; i++) {
      if (position(&n->attr[k], i) >= 0 || position(&n->attr[2 + k], i) >= 0) continue;
      if (k == side && i == axis) return at;
      at++;
    }
  bug("shard: axis %d of a product", axis);
}

/* The larger divided operand stays as it is. */
static bool do_dot(Shard *s, Val v) {
  const Node *n = node(s, v);
  int64_t size[2];
  for (int i = 0; i < 2; i++) size[i] = divided(s, n->in[i]) ? shape_count(&node(s, n->in[i])->shape) : -1;
  int keep = size[1] > size[0];
  bool summed;
  Cut c = s->at[n->in[keep]].cut, other = partner(n, keep, c, &summed);
  if (other.axis >= 0 && !can_cut(s, &node(s, n->in[1 - keep])->shape, other)) return false;
  Val in[2];
  in[keep] = part(s, n->in[keep], c);
  in[1 - keep] = other.axis < 0 ? whole(s, n->in[1 - keep]) : part(s, n->in[1 - keep], other);
  Cut to = summed ? no_cut : (Cut){product_axis(s, n, keep, c.axis), c.groups};
  Val x = g_add(s->g, n->op, in, 2, n->attr, 0, n->dt, NULL);
  if (summed) set_sum(s, v, x);
  else set_part(s, v, x, to);
  return true;
}

static bool do_conv(Shard *s, Val v) {
  const Node *n = node(s, v);
  bool weights = n->op == OP_conv2d_dw; /* sums over the images of both operands; else the second is w */
  Cut c = s->at[n->in[divided(s, n->in[0]) ? 0 : 1]].cut;
  if (c.axis != 0 || (!weights && !divided(s, n->in[0]))) return false;
  Val in[2] = {part(s, n->in[0], c), weights ? part(s, n->in[1], c) : whole(s, n->in[1])};
  Val x = g_add(s->g, n->op, in, 2, n->attr, 0, n->dt, NULL);
  if (weights) set_sum(s, v, x);
  else set_part(s, v, x, c);
  return true;
}

static bool do_gather(Shard *s, Val v) {
  const Node *n = node(s, v);
  Val x = n->in[0], index = n->in[1];
  int axis = (int)n->attr[0].v[0], rank = node(s, index)->shape.rank;
  Cut c = divided(s, index) ? s->at[index].cut : s->at[x].cut, to = c;
  if (divided(s, index)) {
    to.axis += axis;
  } else {
    if (c.axis == axis) return false;
    if (c.axis > axis) to.axis += rank - 1;
  }
  Val in[2] = {divided(s, index) ? whole(s, x) : part(s, x, c),
               divided(s, index) ? part(s, index, c) : whole(s, index)};
  set_part(s, v, apply(s, n, in, n->attr, to), to);
  return true;
}

static bool do_scatter(Shard *s, Val v) {
  const Node *n = node(s, v);
  int axis = (int)n->attr[0].v[0], rank = node(s, n->in[0])->shape.rank;
  if (n->op != OP_scatter_add) return false;
  Cut c = s->at[n->in[1]].cut, to = c;
  if (!divided(s, n->in[1])) c = to = (Cut){s->at[n->in[0]].cut.axis + axis, s->at[n->in[0]].cut.groups};
  bool summed = c.axis >= axis && c.axis < axis + rank;
  if (!summed && c.axis >= axis) to.axis += 1 - rank;
  Val in[2] = {summed ? part(s, n->in[0], (Cut){c.axis - axis, c.groups}) : whole(s, n->in[0]),
               part(s, n->in[1], c)};
  if (summed) set_sum(s, v, apply(s, n, in, n->attr, no_cut));
  else set_part(s, v, apply(s, n, in, n->attr, to), to);
  return true;
}

/* Only what works element by element knows rows. */
static void settle_rows(Shard *s, const Node *n) {
  for (int i = 0; i < n->nin && op_table[n->op].kind != KIND_MAP; i++) {
    Shared *x = &s->at[n->in[i]];
    if (x->cut.axis != FLAT) continue;
    whole(s, n->in[i]);
    x->cut = no_cut;
    x->asked = flat_cut;
  }
}

static bool do_parted(Shard *s, Val v) {
  const Node *n = node(s, v);
  bool any = false;
  settle_rows(s, n);
  for (int i = 0; i < n->nin; i++) {
    any |= divided(s, n->in[i]);
    if (s->own && s->own[n->in[i]]) return false;
  }
  if (!any) return false;
  switch (op_table[n->op].kind) {
  case KIND_MAP: {
    Cut c = first_cut(s, n);
    do_parts(s, v, c, n->attr, c);
    return true;
  }
  case KIND_VIEW:
  case KIND_FOLD: return do_view(s, v);
  case KIND_REDUCE: return do_reduce(s, v);
  case KIND_DOT: return do_dot(s, v);
  case KIND_CONV: return do_conv(s, v);
  case KIND_GATHER: return do_gather(s, v);
  case KIND_SCATTER: return do_scatter(s, v);
  case KIND_SORT:
  case KIND_LAPACK: { /* each row, each matrix by itself */
    Cut c = first_cut(s, n);
    if (c.axis >= node(s, n->in[0])->shape.rank - (n->op == OP_argsort ? 1 : 2)) return false;
    do_parts(s, v, c, n->attr, c);
    return true;
  }
  default: return false;
  }
}

/* ---- inputs ---- */
/* With batches of their own (frontend/ranks.c) ranks have values that differ, and sums that stand in the graph. Only what is
   the same everywhere can be divided. */
static void find_own(Shard *s, Arena *a) {
  const Graph *g = s->in;
  s->own = NEWN(a, bool, g->node.n + 1);
  s->meets = NEWN(a, bool, g->node.n + 1);
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = node(s, v);
    s->own[v] = n->op == OP_rank_part || n->op == OP_reduce_scatter ||
                (n->op == OP_input && g->inputs.v[n->input].kind == IN_ARG);
    for (int i = 0; i < n->nin && (!collective_ranks(n) || collective_ranks(n) == 1); i++)
      s->own[v] |= s->own[n->in[i]];
  }
  for (Val v = g->node.n - 1; v >= 0; v--)
    for (int i = 0; i < node(s, v)->nin && op_table[node(s, v)->op].kind == KIND_MAP; i++)
      s->meets[node(s, v)->in[i]] |= s->own[v] || s->meets[v];
}

/* Is the state a slot or an average, large enough, and does each step replace it? */
static bool spreads(const Shard *s, const Node *n, int input) {
  const Input *in = &s->in->inputs.v[input];
  bool average = in->kind == IN_BUFFER && in->init.kind == INIT_COPY, replaced = false;
  if (!s->in->spread || (in->kind != IN_SLOT && !average)) return false;
  if (bytes_of(n) < SPREAD || (s->meets && s->meets[in->val])) return false;
  for (int i = 0; i < s->in->outputs.n; i++) replaced |= s->in->outputs.v[i].state == input;
  return replaced;
}

static bool do_input(Shard *s, Val v, Diags *d) {
  const Node *n = node(s, v);
  const Input *in = &s->in->inputs.v[n->input];
  Cut c = {0, 1};
  if (spreads(s, n, n->input)) {
    Shape mine = local(s, &n->shape, flat_cut);
    set_part(s, v, g_input(s->g, in->name, in->kind, n->dt, &mine, &in->init), flat_cut);
    return true;
  }
  if (in->kind != IN_ARG || !n->shape.rank || s->own) {
    set_whole(s, v, g_copy_node(s->g, s->in, v, NULL));
    return true;
  }
  if (!can_cut(s, &n->shape, c)) {
    diag_error(d, n->loc, "the %lld samples of %s cannot be shared equally by %d ranks",
               (long long)n->shape.dim[0], in->name, s->ranks);
    return false;
  }
  Shape mine = local(s, &n->shape, c);
  set_part(s, v, g_input(s->g, in->name, IN_ARG, n->dt, &mine, NULL), c);
  return true;
}

/* The results; a state that is kept in a row gets its part. */
static void put_outputs(Shard *s) {
  for (int i = 0; i < s->in->outputs.n; i++) {
    const Output *o = &s->in->outputs.v[i];
    Val state = o->state < 0 ? -1 : s->in->inputs.v[o->state].val;
    bool row = state >= 0 && s->at[state].part >= 0 && g_node(s->g, s->at[state].part)->op == OP_input;
    Val v = row ? part(s, o->val, flat_cut) : whole(s, o->val);
    Val in = state < 0 ? -1 : row ? s->at[state].part : whole(s, state);
    g_output(s->g, o->name, v, in < 0 ? -1 : g_node(s->g, in)->input);
  }
}

static Graph *put_together(Arena *a, const Graph *g, bool own) {
  return shard_buckets(a, shard_buckets(a, pass_live_copy(a, g, false), false, own), true, own);
}

Graph *pass_shard(Arena *a, const Graph *in, Diags *d) {
  if (in->ranks < 2 && in->spread < 2) return put_together(a, in, true);
  Val *ignore;
  Shard s = {.in = in,
             .g = pass_begin(a, in, &ignore),
             .at = NEWN(a, Shared, in->node.n + 1),
             .row = NEWN(a, Val, in->node.n + 1),
             .ranks = in->ranks > 1 ? in->ranks : in->spread};
  if (in->ranks < 2) find_own(&s, a);
  for (Val v = 0; v < in->node.n; v++) s.row[v] = -1;
  s.g->ranks = s.g->spread = 0;
  for (Val v = 0; v < in->node.n; v++) {
    const Node *n = node(&s, v);
    bool parted = false;
    s.g->loc = n->loc;
    s.g->role = n->role;
    for (int i = 0; i < n->nin; i++) parted |= divided(&s, n->in[i]);
    if (n->op == OP_input) {
      if (!do_input(&s, v, d)) return NULL;
    } else if (!do_row_sum(&s, v) && !do_sum_of_sums(&s, v) && (!parted || !do_parted(&s, v))) {
      do_whole(&s, v);
    }
  }
  put_outputs(&s);
  return put_together(a, s.g, in->ranks < 2);
}
