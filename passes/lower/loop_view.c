/* Views, reductions and gathers inside a loop kernel: how each maps the indices of its result to those of its
   operands. */
#include "passes/lower/loop_build.h"

#include <string.h>

int lb_build_guarded(Build *b, Val child, const Map *m, int ng_before, Imm fill, Val v) {
  /* m has extra guards beyond ng_before: the value is `fill` where one fails */
  if (m->ng == ng_before) return lb_build(b, child, m);
  if (lb_is_loaded(b, child)) return lb_load(b, child, m, fill, NULL);
  int x = lb_build(b, child, m);
  if (x < 0) return -1;
  Ix none;
  memset(&none, 0, sizeof none);
  Map only = *m;
  only.ng = m->ng - ng_before;
  only.g = m->g + ng_before;
  KInst k = lb_inst0(KI_GUARD, DT_BOOL, v);
  k.access = lb_access_new(b, -1, &none, &only, 0);
  int c = lb_emit(b, k);
  DType dt = g_node(b->g, v)->dt;
  return lb_emit_map(b, OP_select, dt, c, x, lb_emit_imm(b, dt, fill, v), v);
}

static int build_reshape(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  Val a = n->in[0];
  const Shape *from = &g_node(b->g, a)->shape;
  Map c = *m;
  /* The common case of added or dropped unit axes keeps every index as it is. */
  int j = 0;
  bool same = true;
  for (int i = 0; i < from->rank; i++) {
    if (from->dim[i] == 1) {
      memset(&c.ix[i], 0, sizeof(Ix));
      continue;
    }
    while (j < n->shape.rank && n->shape.dim[j] == 1) j++;
    if (j == n->shape.rank || n->shape.dim[j] != from->dim[i]) {
      same = false;
      break;
    }
    c.ix[i] = m->ix[j++];
  }
  c.rank = from->rank;
  if (same) return lb_build(b, a, &c);
  Ix lin;
  if (!lb_linear_index(b, &n->shape, m, &lin)) return -1;
  if (lb_is_loaded(b, a) && !b->l->at.block[a]) return lb_load(b, a, m, PASSIVE, &lin);
  c = *m;
  return lb_delinearize(b, lin, from, &c) ? lb_build(b, a, &c) : lb_row_major(b, a);
}

static int build_concat(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  int64_t axis = n->attr[0].v[0], at = 0;
  int acc = -1;
  for (int i = 0; i < n->nin; i++) {
    int64_t e = g_node(b->g, n->in[i])->shape.dim[axis];
    Map c = *m;
    if (c.ix[axis].nq) return -1;
    c.ix[axis].a.c -= at;
    if (lb_affine_max(b, &c.ix[axis].a) < 0 || lb_affine_min(b, &c.ix[axis].a) >= e) {
      at += e;
      continue;
    }
    int before = c.ng;
    if (!lb_add_guard(b, &c, c.ix[axis].a, 0, e, 0)) return -1;
    int x = lb_build(b, n->in[i], &c);
    if (x < 0) return -1;
    if (acc < 0) {
      acc = x;
    } else {
      Ix none;
      memset(&none, 0, sizeof none);
      Map only = c;
      only.ng = c.ng - before;
      only.g = c.g + before;
      KInst k = lb_inst0(KI_GUARD, DT_BOOL, v);
      k.access = lb_access_new(b, -1, &none, &only, 0);
      int cond = lb_emit(b, k);
      acc = lb_emit_map(b, OP_select, n->dt, cond, x, acc, v);
    }
    at += e;
  }
  return acc;
}

int lb_build_view(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  Val a = n->in[0];
  const Shape *from = &g_node(b->g, a)->shape;
  Map c = *m;
  c.rank = from->rank;
  switch (n->op) {
  case OP_reshape: return build_reshape(b, v, m);
  case OP_concat: return build_concat(b, v, m);
  case OP_transpose:
    for (int i = 0; i < n->shape.rank; i++) c.ix[n->attr[0].v[i]] = m->ix[i];
    return lb_build(b, a, &c);
  case OP_broadcast:
    for (int i = 0; i < from->rank; i++) {
      c.ix[i] = m->ix[n->attr[0].v[i]];
      if (from->dim[i] == 1) memset(&c.ix[i], 0, sizeof(Ix));
    }
    return lb_build(b, a, &c);
  case OP_slice:
    for (int i = 0; i < from->rank; i++) {
      Ix y;
      memset(&y, 0, sizeof y);
      y.a.c = n->attr[0].v[i];
      if (!lb_ix_axpy(b, &y, n->attr[2].v[i], &m->ix[i])) return -1;
      c.ix[i] = y;
    }
    return lb_build(b, a, &c);
  case OP_reverse:
    for (int i = 0; i < n->attr[0].n; i++) {
      int64_t ax = n->attr[0].v[i];
      Ix y;
      memset(&y, 0, sizeof y);
      y.a.c = from->dim[ax] - 1;
      if (!lb_ix_axpy(b, &y, -1, &m->ix[ax])) return -1;
      c.ix[ax] = y;
    }
    return lb_build(b, a, &c);
  case OP_pad: {
    int before = c.ng;
    for (int i = 0; i < from->rank; i++) {
      int64_t lo = n->attr[0].v[i], step = n->attr[2].v[i] + 1, e = from->dim[i];
      Ix x = m->ix[i];
      x.a.c -= lo;
      if (x.nq && (lo || n->attr[1].v[i] || step > 1)) return -1;
      if (!x.nq && !lb_add_guard(b, &c, x.a, 0, (e - 1) * step + 1, step > 1 ? step : 0)) return -1;
      if (step > 1) { x = lb_quotient(b, &x.a, step, true); }
      c.ix[i] = x;
    }
    return lb_build_guarded(b, a, &c, before, n->imm, v);
  }
  case OP_window: {
    int before = c.ng, k = n->attr[0].n, lead = from->rank - k;
    for (int i = 0; i < k; i++) {
      Ix x;
      memset(&x, 0, sizeof x);
      x.a.c = -n->attr[2].v[i];
      if (!lb_ix_axpy(b, &x, n->attr[1].v[i], &m->ix[lead + i]) ||
          !lb_ix_axpy(b, &x, 1, &m->ix[lead + k + i]))
        return -1;
      if (x.nq || !lb_add_guard(b, &c, x.a, 0, from->dim[lead + i], 0)) return -1;
      c.ix[lead + i] = x;
    }
    return lb_build_guarded(b, a, &c, before, n->imm, v);
  }
  default: bug("fuse: %s is not a view", op_table[n->op].name);
  }
}

static bool uses_dim(const Map *m, int d) {
  for (int i = 0; i < m->rank; i++) {
    if (m->ix[i].a.k[d]) return true;
    for (int q = 0; q < m->ix[i].nq; q++)
      if (m->ix[i].q[q].e.k[d]) return true;
  }
  return false;
}

/* Fixes the reduced dims of the kernel for a reduction over axes of extents ext[0..n) at map m (of its
   result): dims m leaves free (broadcast back), or fresh ones. Returns false when they differ from those of
   an earlier reduction. red[i] receives an index. */
static bool reduced_dims(Build *b, const Map *m, const int64_t *ext, int n, Ix *red) {
  if (m->ng) return false;
  for (int i = 0; i < m->rank; i++)
    if (m->ix[i].nq) return false;
  for (int d = 0; d < b->ndim;
       d++) /* a reduction inside the reduced space of another has no sweep to run in */
    if (b->space->dom[b->dim_dom[d]].reduced && uses_dim(m, d)) return false;
  bool dom_free[MAX_DOM];
  int nfree = 0;
  for (int j = 0; j < b->space->nroot; j++) dom_free[j] = true;
  for (int d = 0; d < b->ndim; d++)
    if (b->dim_dom[d] < b->space->nroot && uses_dim(m, d)) dom_free[b->dim_dom[d]] = false;
  int64_t full[MAX_DOM];
  for (int j = 0; j < b->space->ndom; j++) {
    full[j] = 1;
    for (int i = 0; i < b->space->dom[j].n; i++) full[j] *= b->space->dom[j].part[i];
    if (j < b->space->nroot && full[j] == 1) dom_free[j] = false;
  }
  for (int j = 0; j < b->space->nroot; j++) nfree += dom_free[j];
  if (!b->has_red) {
    if (nfree) { /* broadcast back: the free root dims are the reduced ones */
      for (int j = 0; j < b->space->nroot; j++) b->space->dom[j].reduced = dom_free[j];
      if (b->space->ndom > b->space->nroot) return false;
    } else {
      for (int j = 0; j < n; j++) { /* row epilogue: dims of their own; kept over restarts */
        if (ext[j] == 1) continue;
        if (b->space->ndom == MAX_DOM) return false;
        b->space->dom[b->space->ndom].n = 1;
        b->space->dom[b->space->ndom].part[0] = ext[j];
        b->space->dom[b->space->ndom].reduced = true;
        b->space->ndom++;
      }
      b->has_red = true;
      for (int j = b->space->nroot; j < b->space->ndom; j++) {
        if (b->ndim + 1 > KDIM) return false;
        b->size[b->ndim] = b->space->dom[j].part[0];
        b->dim_dom[b->ndim++] = j;
      }
    }
    b->has_red = true;
  } else if (nfree) {
    for (int j = 0; j < b->space->nroot; j++)
      if (dom_free[j] != b->space->dom[j].reduced) return false;
  } else {
    for (int j = 0; j < b->space->nroot; j++)
      if (b->space->dom[j].reduced) return false;
  }
  int j = 0;
  for (int i = 0; i < n; i++) { /* match extents in order */
    memset(&red[i], 0, sizeof red[i]);
    if (ext[i] == 1) continue;
    while (j < b->space->ndom && !b->space->dom[j].reduced) j++;
    if (j == b->space->ndom) return false;
    int64_t size = 1, st = 1;
    for (int p = 0; p < b->space->dom[j].n; p++) size *= b->space->dom[j].part[p];
    if (size != ext[i]) return false;
    for (int d = b->ndim - 1; d >= 0; d--)
      if (b->dim_dom[d] == j) {
        red[i].a.k[d] = st;
        st *= b->size[d];
      }
    j++;
  }
  while (j < b->space->ndom && !b->space->dom[j].reduced) j++;
  return j == b->space->ndom;
}

/* Instruction i is computed from sums of this kernel. */
static bool follows_reduction(const Build *b, int i) {
  bool *from = NEWN(b->a, bool, i + 1);
  for (int k = 0; k <= i; k++) {
    int arg[4], n = inst_args(&b->inst.v[k], arg);
    from[k] = b->inst.v[k].kind == KI_REDUCE;
    for (int j = 0; j < n; j++) from[k] |= from[arg[j]];
  }
  return from[i];
}

int lb_build_reduce(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  Val a = n->in[0];
  const Shape *from = &g_node(b->g, a)->shape;
  const Ints *axes = &n->attr[0];
  int64_t ext[MAX_RANK], count = 1;
  Ix red[MAX_RANK];
  bool is_axis[MAX_RANK] = {false};
  for (int i = 0; i < axes->n; i++) {
    ext[i] = from->dim[axes->v[i]];
    count *= ext[i];
    is_axis[axes->v[i]] = true;
  }
  memset(red, 0, sizeof red);
  if (count > 1 && !reduced_dims(b, m, ext, axes->n, red)) return -1;
  Map c = *m;
  c.rank = from->rank;
  for (int i = 0, k = 0, r = 0; i < from->rank; i++) {
    if (is_axis[i]) {
      for (r = 0; axes->v[r] != i; r++) {}
      c.ix[i] = red[r];
    } else {
      c.ix[i] = m->ix[k++];
    }
  }
  int x = lb_build(b, a, &c);
  if (x < 0) return -1;
  if (count == 1) return n->op == OP_reduce_m2 || n->op == OP_argmax ? lb_emit_imm(b, n->dt, 0, v) : x;
  int others = 0;
  for (int i = 0; i < b->inst.n; i++) others += b->inst.v[i].kind == KI_REDUCE;
  if (others >= MAX_REDUCE && !(b->nroots == 1 && v == b->roots[0])) {
    bool chain = b->nroots == 1 && a != b->roots[0] && !lb_is_loaded(b, a) && follows_reduction(b, x);
    return chain ? lb_store_first(b, a, WHY_WORK)
                 : -1; /* with its operand in memory none of the others is needed */
  }
  KInst k = lb_inst0(KI_REDUCE, n->dt, v);
  k.op = n->op;
  k.arg[0] = x;
  if (n->op == OP_argmax) k.index = red[0].a;
  return lb_emit(b, k);
}

int lb_build_fold(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  Val a = n->in[0];
  const Shape *from = &g_node(b->g, a)->shape;
  int k = n->attr[0].n, lead = n->shape.rank - k;
  int64_t ext[MAX_RANK] = {0};
  Ix red[MAX_RANK];
  for (int i = 0; i < k; i++) ext[i] = from->dim[lead + k + i];
  if (!reduced_dims(b, m, ext, k, red)) return -1;
  Map c = *m;
  c.rank = from->rank;
  int before = c.ng;
  for (int i = 0; i < k; i++) {
    int64_t stride = n->attr[1].v[i], pad = n->attr[2].v[i], o = from->dim[lead + i];
    Ix x = m->ix[lead + i];
    x.a.c += pad;
    if (!lb_ix_axpy(b, &x, -1, &red[i]) || x.nq) return -1;
    if (!lb_add_guard(b, &c, x.a, 0, (o - 1) * stride + 1, stride > 1 ? stride : 0)) return -1;
    if (stride > 1) { x = lb_quotient(b, &x.a, stride, true); }
    c.ix[lead + i] = x;
    c.ix[lead + k + i] = red[i];
  }
  int x = lb_build_guarded(b, a, &c, before, 0, a);
  if (x < 0) return -1;
  KInst r = lb_inst0(KI_REDUCE, n->dt, v);
  r.op = OP_reduce_sum;
  r.arg[0] = x;
  return lb_emit(b, r);
}

int lb_build_gather(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  int64_t axis = n->attr[0].v[0];
  Val x = n->in[0], idx = n->in[1];
  const Shape *xs = &g_node(b->g, x)->shape, *is = &g_node(b->g, idx)->shape;
  if (!b->l->at.stored[x] || b->l->at.block[x]) bug("fuse: what is gathered, %%%d, is not in memory", x);
  Map mi = *m, mx = *m;
  mi.rank = is->rank;
  for (int i = 0; i < is->rank; i++) mi.ix[i] = m->ix[axis + i];
  int id = lb_build(b, idx, &mi);
  if (id < 0) return -1;
  mx.rank = xs->rank;
  for (int i = 0; i < xs->rank; i++) {
    if (i == axis) memset(&mx.ix[i], 0, sizeof(Ix));
    else mx.ix[i] = m->ix[i < axis ? i : i + is->rank - 1];
  }
  int r = lb_load(b, x, &mx, PASSIVE, NULL);
  if (r < 0) return -1;
  int64_t st[MAX_RANK];
  lb_strides_of(xs, st);
  Access *ac = (Access *)b->inst.v[r].access;
  ac->dyn = id;
  ac->dyn_stride = st[axis];
  ac->dyn_extent = xs->dim[axis];
  /* the load must follow its index */
  return r;
}
