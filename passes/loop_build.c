/* Builds one loop kernel from graph values: index maps are composed through views down to stored operands, loop dims are split on
   demand until every div/mod is affine, reductions become sweeps, then dims are ordered, merged and one is chosen for vectors. */
#include <setjmp.h>
#include <string.h>

#include "passes/lower.h"

enum { MAX_QUOT = 2, MAX_GUARD = 16, MAX_DOM = 12, MAX_MEMO = 4096 };

typedef struct {
  Affine a;
  int nq;
  Quot q[MAX_QUOT];
  bool exact[MAX_QUOT]; /* a guard of the map makes the division exact */
} Ix;

typedef struct {
  int rank;
  Ix ix[MAX_RANK];
  int ng;
  Guard g[MAX_GUARD];
} Map;

typedef struct Memo {
  struct Memo *next; /* of the same value */
  Map map;
  int inst;
} Memo;

/* A domain dim: one axis of the root shape or one reduced axis, as parts (outermost first) that are the loop dims. */
typedef struct {
  int n;
  int64_t part[6];
  bool reduced;
} Dom;

typedef struct {
  Lower *l;
  Arena *a;
  const Graph *g;
  Val root;
  const Val *roots;
  int nroots;
  int ndom, nroot;          /* dims from the root's shape come first */
  Dom dom[MAX_DOM];
  int ndim;
  int64_t size[KDIM + 8];
  int dim_dom[KDIM + 8];
  bool has_red;             /* a reduction fixed the reduced dims */
  VEC(KInst) inst;
  VEC(Val) inst_homed;      /* values to store besides the roots */
  VEC(int) homed_inst;
  VEC(Map) homed_map;
  Memo **memo;              /* per value */
  Built *out;
  jmp_buf again;            /* restart after a split */
} Build;

static int64_t affine_max(const Build *b, const Affine *e) {
  int64_t m = e->c;
  for (int d = 0; d < b->ndim; d++)
    if (e->k[d] > 0) m += e->k[d] * (b->size[d] - 1);
  return m;
}

static int64_t affine_min(const Build *b, const Affine *e) {
  int64_t m = e->c;
  for (int d = 0; d < b->ndim; d++)
    if (e->k[d] < 0) m += e->k[d] * (b->size[d] - 1);
  return m;
}

static void affine_axpy(Affine *y, int64_t s, const Affine *x) {
  y->c += s * x->c;
  for (int d = 0; d < KDIM; d++) y->k[d] += s * x->k[d];
}

/* y += s*x; false when quotients run out of room. */
static bool ix_axpy(Ix *y, int64_t s, const Ix *x) {
  affine_axpy(&y->a, s, &x->a);
  for (int i = 0; i < x->nq; i++) {
    Quot q = x->q[i];
    q.stride *= s;
    if (x->exact[i] && q.stride % q.div == 0) {
      affine_axpy(&y->a, q.stride / q.div, &q.e);
    } else {
      if (y->nq == MAX_QUOT) return false;
      y->exact[y->nq] = x->exact[i];
      y->q[y->nq++] = q;
    }
  }
  return true;
}

/* Splits loop dim d into (size/f, f) and restarts the build. */
static void split_dim(Build *b, int d, int64_t f) {
  Dom *m = &b->dom[b->dim_dom[d]];
  int pos = 0;
  for (int i = d - 1; i >= 0 && b->dim_dom[i] == b->dim_dom[d]; i--) pos++;
  if (m->n == 6 || b->ndim + 1 > KDIM) return;
  for (int i = m->n; i > pos + 1; i--) m->part[i] = m->part[i - 1];
  m->part[pos + 1] = f;
  m->part[pos] /= f;
  m->n++;
  longjmp(b->again, 1);
}

/* q = floor(x / n), r = x mod n, for 0 <= x < extent (where guards hold). */
static bool ix_divmod(Build *b, const Ix *x, int64_t n, int64_t extent, Ix *q, Ix *r) {
  memset(q, 0, sizeof *q);
  memset(r, 0, sizeof *r);
  if (n == 1) {
    *q = *x;
    return true;
  }
  if (extent <= n) {
    *r = *x;
    return true;
  }
  if (x->nq) return false;
  r->a.c = ((x->a.c % n) + n) % n;
  q->a.c = (x->a.c - r->a.c) / n;
  for (int d = 0; d < b->ndim; d++) {
    int64_t k = x->a.k[d];
    if (b->size[d] == 1 || !k) continue;
    if (k % n == 0)
      q->a.k[d] = k / n;
    else
      r->a.k[d] = k;
  }
  int64_t lo = affine_min(b, &r->a), hi = affine_max(b, &r->a);
  if (lo >= 0 && hi < n) return true;
  for (int d = 0; d < b->ndim; d++) { /* a dim that straddles n is split */
    int64_t k = r->a.k[d];
    if (k > 0 && n % k == 0 && n / k < b->size[d] && b->size[d] % (n / k) == 0) split_dim(b, d, n / k);
  }
  memset(q, 0, sizeof *q); /* no affine form: a quotient term */
  q->nq = 1;
  q->q[0] = (Quot){.e = x->a, .div = n, .stride = 1};
  *r = *x;
  r->nq = 1;
  r->q[0] = (Quot){.e = x->a, .div = n, .stride = -n};
  return true;
}

static int emit(Build *b, KInst in) {
  vec_push(b->a, &b->inst, in);
  return b->inst.n - 1;
}

static KInst inst0(KInstKind kind, DType dt, Val v) {
  KInst k;
  memset(&k, 0, sizeof k);
  k.kind = kind;
  k.dt = dt;
  k.arg[0] = k.arg[1] = k.arg[2] = -1;
  k.val = v;
  return k;
}

static int emit_imm(Build *b, DType dt, double x, Val v) {
  KInst k = inst0(KI_IMM, dt, v);
  k.imm = x;
  return emit(b, k);
}

static int emit_map(Build *b, OpId op, DType dt, int x, int y, int z, Val v) {
  KInst k = inst0(KI_MAP, dt, v);
  k.op = op;
  k.arg[0] = x;
  k.arg[1] = y;
  k.arg[2] = z;
  return emit(b, k);
}

static int operand(Build *b, int buf) {
  Kernel *k = &b->out->kernel;
  for (int i = 0; i < k->nbuf; i++)
    if (k->buf[i] == buf) return i;
  if (k->nbuf % 16 == 0) {
    int *nb = NEWN(b->a, int, k->nbuf + 16);
    if (k->nbuf) memcpy(nb, k->buf, sizeof(int) * (size_t)k->nbuf);
    k->buf = nb;
  }
  k->buf[k->nbuf] = buf;
  return k->nbuf++;
}

static void strides_of(const Shape *s, int64_t *st) {
  int64_t p = 1;
  for (int i = s->rank - 1; i >= 0; i--) {
    st[i] = p;
    p *= s->dim[i];
  }
}

/* Storage offset of the element of a (shape, block) buffer at map m. */
static bool storage_offset(Build *b, const Shape *s, int block, const Map *m, Ix *off) {
  memset(off, 0, sizeof *off);
  int64_t st[MAX_RANK];
  strides_of(s, st);
  for (int i = 0; i < s->rank; i++) {
    if (block && i == 1) {
      Ix q, r;
      if (!ix_divmod(b, &m->ix[1], block, s->dim[1], &q, &r)) return false;
      if (!ix_axpy(off, st[1] * block, &q) || !ix_axpy(off, 1, &r)) return false;
    } else if (s->dim[i] > 1) {
      if (!ix_axpy(off, st[i] * (block && i > 1 ? block : 1), &m->ix[i])) return false;
    }
  }
  return true;
}

static Access *access_new(Build *b, int buf, const Ix *off, const Map *m, double fill) {
  Access *x = NEW(b->a, Access);
  x->buf = buf < 0 ? -1 : operand(b, buf);
  x->off = off->a;
  x->nquot = off->nq;
  Quot *q = NEWN(b->a, Quot, off->nq);
  memcpy(q, off->q, sizeof(Quot) * (size_t)off->nq);
  x->quot = q;
  x->nguard = m->ng;
  Guard *g = NEWN(b->a, Guard, m->ng);
  memcpy(g, m->g, sizeof(Guard) * (size_t)m->ng);
  x->guard = g;
  x->fill = fill;
  x->dyn = -1;
  return x;
}

static bool add_guard(Build *b, Map *m, Affine e, int64_t lo, int64_t hi, int64_t mod) {
  if (mod <= 1 && affine_min(b, &e) >= lo && affine_max(b, &e) < hi) return true;
  if (m->ng == MAX_GUARD) return false;
  m->g[m->ng++] = (Guard){e, lo, hi, mod};
  return true;
}

static int build(Build *b, Val v, const Map *m); /* instruction number, or -1: cannot be expressed */

static int load(Build *b, Val v, const Map *m, double fill, const Ix *linear) {
  Lower *l = b->l;
  const Node *n = g_node(b->g, v);
  Ix off;
  if (linear)
    off = *linear;
  else if (!storage_offset(b, &n->shape, l->block[v], m, &off))
    return -1;
  bool seen = false;
  for (int i = 0; i < b->out->loads.n; i++) seen |= b->out->loads.v[i] == v;
  if (!seen) vec_push(b->a, &b->out->loads, v);
  KInst k = inst0(KI_LOAD, n->dt, v);
  k.access = access_new(b, lower_buf(l, v), &off, m, fill);
  return emit(b, k);
}

static bool is_root(const Build *b, Val v) {
  for (int i = 0; i < b->nroots; i++)
    if (b->roots[i] == v) return true;
  return false;
}

/* Is v read from memory in this kernel? */
static bool is_loaded(const Build *b, Val v) {
  const Lower *l = b->l;
  return l->stored[v] && !is_root(b, v) && !(l->home[v] >= 0 && is_root(b, l->home[v]));
}

static int build_guarded(Build *b, Val child, const Map *m, int ng_before, double fill, Val v) {
  /* m has extra guards beyond ng_before: the value is `fill` where one fails */
  if (m->ng == ng_before) return build(b, child, m);
  if (is_loaded(b, child)) return load(b, child, m, fill, NULL);
  int x = build(b, child, m);
  if (x < 0) return -1;
  Ix none;
  memset(&none, 0, sizeof none);
  Map only = *m;
  only.ng = m->ng - ng_before;
  memmove(only.g, m->g + ng_before, sizeof(Guard) * (size_t)only.ng);
  KInst k = inst0(KI_GUARD, DT_BOOL, v);
  k.access = access_new(b, -1, &none, &only, 0);
  int c = emit(b, k);
  DType dt = g_node(b->g, v)->dt;
  return emit_map(b, OP_select, dt, c, x, emit_imm(b, dt, fill, v), v);
}

static bool linear_index(const Shape *s, const Map *m, Ix *lin) {
  memset(lin, 0, sizeof *lin);
  int64_t st[MAX_RANK];
  strides_of(s, st);
  for (int i = 0; i < s->rank; i++)
    if (s->dim[i] > 1 && !ix_axpy(lin, st[i], &m->ix[i])) return false;
  return true;
}

static bool delinearize(Build *b, Ix lin, const Shape *s, Map *m) {
  int64_t st[MAX_RANK], extent = shape_count(s);
  strides_of(s, st);
  m->rank = s->rank;
  for (int i = 0; i < s->rank; i++) {
    Ix q, r;
    if (s->dim[i] == 1) {
      memset(&m->ix[i], 0, sizeof(Ix));
      continue;
    }
    if (!ix_divmod(b, &lin, st[i], extent, &q, &r)) return false;
    m->ix[i] = q;
    lin = r;
    extent = st[i];
  }
  return true;
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
  if (same) return build(b, a, &c);
  Ix lin;
  if (!linear_index(&n->shape, m, &lin)) return -1;
  if (is_loaded(b, a) && !b->l->block[a]) return load(b, a, m, 0, &lin);
  c = *m;
  if (!delinearize(b, lin, from, &c)) return -1;
  return build(b, a, &c);
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
    if (affine_max(b, &c.ix[axis].a) < 0 || affine_min(b, &c.ix[axis].a) >= e) {
      at += e;
      continue;
    }
    int before = c.ng;
    if (!add_guard(b, &c, c.ix[axis].a, 0, e, 0)) return -1;
    int x = build(b, n->in[i], &c);
    if (x < 0) return -1;
    if (acc < 0) {
      acc = x;
    } else {
      Ix none;
      memset(&none, 0, sizeof none);
      Map only = c;
      only.ng = c.ng - before;
      memmove(only.g, c.g + before, sizeof(Guard) * (size_t)only.ng);
      KInst k = inst0(KI_GUARD, DT_BOOL, v);
      k.access = access_new(b, -1, &none, &only, 0);
      int cond = emit(b, k);
      acc = emit_map(b, OP_select, n->dt, cond, x, acc, v);
    }
    at += e;
  }
  return acc;
}

static int build_view(Build *b, Val v, const Map *m) {
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
    return build(b, a, &c);
  case OP_broadcast:
    for (int i = 0; i < from->rank; i++) {
      c.ix[i] = m->ix[n->attr[0].v[i]];
      if (from->dim[i] == 1) memset(&c.ix[i], 0, sizeof(Ix));
    }
    return build(b, a, &c);
  case OP_slice:
    for (int i = 0; i < from->rank; i++) {
      Ix y;
      memset(&y, 0, sizeof y);
      y.a.c = n->attr[0].v[i];
      if (!ix_axpy(&y, n->attr[2].v[i], &m->ix[i])) return -1;
      c.ix[i] = y;
    }
    return build(b, a, &c);
  case OP_reverse:
    for (int i = 0; i < n->attr[0].n; i++) {
      int64_t ax = n->attr[0].v[i];
      Ix y;
      memset(&y, 0, sizeof y);
      y.a.c = from->dim[ax] - 1;
      if (!ix_axpy(&y, -1, &m->ix[ax])) return -1;
      c.ix[ax] = y;
    }
    return build(b, a, &c);
  case OP_pad: {
    int before = c.ng;
    for (int i = 0; i < from->rank; i++) {
      int64_t lo = n->attr[0].v[i], step = n->attr[2].v[i] + 1, e = from->dim[i];
      Ix x = m->ix[i];
      x.a.c -= lo;
      if (x.nq && (lo || n->attr[1].v[i] || step > 1)) return -1;
      if (!x.nq && !add_guard(b, &c, x.a, 0, (e - 1) * step + 1, step > 1 ? step : 0)) return -1;
      if (step > 1) {
        Ix y;
        memset(&y, 0, sizeof y);
        y.nq = 1;
        y.exact[0] = true;
        y.q[0] = (Quot){.e = x.a, .div = step, .stride = 1};
        x = y;
      }
      c.ix[i] = x;
    }
    return build_guarded(b, a, &c, before, n->imm, v);
  }
  case OP_window: {
    int before = c.ng, k = n->attr[0].n, lead = from->rank - k;
    for (int i = 0; i < k; i++) {
      Ix x;
      memset(&x, 0, sizeof x);
      x.a.c = -n->attr[2].v[i];
      if (!ix_axpy(&x, n->attr[1].v[i], &m->ix[lead + i]) || !ix_axpy(&x, 1, &m->ix[lead + k + i])) return -1;
      if (x.nq || !add_guard(b, &c, x.a, 0, from->dim[lead + i], 0)) return -1;
      c.ix[lead + i] = x;
    }
    return build_guarded(b, a, &c, before, n->imm, v);
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

/* Fixes the reduced dims of the kernel for a reduction over axes of extents ext[0..n) at map m (of its result): dims m leaves free
   (broadcast back), or fresh ones. Returns false when they differ from those of an earlier reduction. red[i] receives an index. */
static bool reduced_dims(Build *b, const Map *m, const int64_t *ext, int n, Ix *red) {
  if (m->ng) return false;
  for (int i = 0; i < m->rank; i++)
    if (m->ix[i].nq) return false;
  bool dom_free[MAX_DOM];
  int nfree = 0;
  for (int j = 0; j < b->nroot; j++) dom_free[j] = true;
  for (int d = 0; d < b->ndim; d++)
    if (b->dim_dom[d] < b->nroot && uses_dim(m, d)) dom_free[b->dim_dom[d]] = false;
  int64_t full[MAX_DOM];
  for (int j = 0; j < b->ndom; j++) {
    full[j] = 1;
    for (int i = 0; i < b->dom[j].n; i++) full[j] *= b->dom[j].part[i];
    if (j < b->nroot && full[j] == 1) dom_free[j] = false;
  }
  for (int j = 0; j < b->nroot; j++) nfree += dom_free[j];
  if (!b->has_red) {
    if (nfree) { /* broadcast back: the free root dims are the reduced ones */
      for (int j = 0; j < b->nroot; j++) b->dom[j].reduced = dom_free[j];
      if (b->ndom > b->nroot) return false;
    } else {
      for (int j = 0; j < n; j++) { /* row epilogue: dims of their own; kept over restarts */
        if (ext[j] == 1) continue;
        if (b->ndom == MAX_DOM) return false;
        b->dom[b->ndom].n = 1;
        b->dom[b->ndom].part[0] = ext[j];
        b->dom[b->ndom].reduced = true;
        b->ndom++;
      }
      b->has_red = true;
      for (int j = b->nroot; j < b->ndom; j++) {
        if (b->ndim + 1 > KDIM) return false;
        b->size[b->ndim] = b->dom[j].part[0];
        b->dim_dom[b->ndim++] = j;
      }
    }
    b->has_red = true;
  } else if (nfree) {
    for (int j = 0; j < b->nroot; j++)
      if (dom_free[j] != b->dom[j].reduced) return false;
  } else {
    for (int j = 0; j < b->nroot; j++)
      if (b->dom[j].reduced) return false;
  }
  int j = 0;
  for (int i = 0; i < n; i++) { /* match extents in order */
    memset(&red[i], 0, sizeof red[i]);
    if (ext[i] == 1) continue;
    while (j < b->ndom && !b->dom[j].reduced) j++;
    if (j == b->ndom) return false;
    int64_t size = 1, st = 1;
    for (int p = 0; p < b->dom[j].n; p++) size *= b->dom[j].part[p];
    if (size != ext[i]) return false;
    for (int d = b->ndim - 1; d >= 0; d--)
      if (b->dim_dom[d] == j) {
        red[i].a.k[d] = st;
        st *= b->size[d];
      }
    j++;
  }
  while (j < b->ndom && !b->dom[j].reduced) j++;
  return j == b->ndom;
}

static int build_reduce(Build *b, Val v, const Map *m) {
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
  int x = build(b, a, &c);
  if (x < 0) return -1;
  if (count == 1) return n->op == OP_reduce_m2 || n->op == OP_argmax ? emit_imm(b, n->dt, 0, v) : x;
  KInst k = inst0(KI_REDUCE, n->dt, v);
  k.op = n->op;
  k.arg[0] = x;
  if (n->op == OP_argmax) k.index = red[0].a;
  return emit(b, k);
}

static int build_fold(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  Val a = n->in[0];
  const Shape *from = &g_node(b->g, a)->shape;
  int k = n->attr[0].n, lead = n->shape.rank - k;
  int64_t ext[MAX_RANK];
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
    if (!ix_axpy(&x, -1, &red[i]) || x.nq) return -1;
    if (!add_guard(b, &c, x.a, 0, (o - 1) * stride + 1, stride > 1 ? stride : 0)) return -1;
    if (stride > 1) {
      Ix y;
      memset(&y, 0, sizeof y);
      y.nq = 1;
      y.exact[0] = true;
      y.q[0] = (Quot){.e = x.a, .div = stride, .stride = 1};
      x = y;
    }
    c.ix[lead + i] = x;
    c.ix[lead + k + i] = red[i];
  }
  int x = build_guarded(b, a, &c, before, 0, a);
  if (x < 0) return -1;
  KInst r = inst0(KI_REDUCE, n->dt, v);
  r.op = OP_reduce_sum;
  r.arg[0] = x;
  return emit(b, r);
}

static int build_gather(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  int64_t axis = n->attr[0].v[0];
  Val x = n->in[0], idx = n->in[1];
  const Shape *xs = &g_node(b->g, x)->shape, *is = &g_node(b->g, idx)->shape;
  if (!b->l->stored[x] || b->l->block[x]) {
    b->l->stored[x] = true;
    b->l->block[x] = 0;
  }
  Map mi = *m, mx = *m;
  mi.rank = is->rank;
  for (int i = 0; i < is->rank; i++) mi.ix[i] = m->ix[axis + i];
  int id = build(b, idx, &mi);
  if (id < 0) return -1;
  mx.rank = xs->rank;
  for (int i = 0; i < xs->rank; i++) {
    if (i == axis)
      memset(&mx.ix[i], 0, sizeof(Ix));
    else
      mx.ix[i] = m->ix[i < axis ? i : i + is->rank - 1];
  }
  int r = load(b, x, &mx, 0, NULL);
  if (r < 0) return -1;
  int64_t st[MAX_RANK];
  strides_of(xs, st);
  Access *ac = (Access *)b->inst.v[r].access;
  ac->dyn = id;
  ac->dyn_stride = st[axis];
  ac->dyn_extent = xs->dim[axis];
  /* the load must follow its index */
  return r;
}

static int build_new(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  switch (op_table[n->op].kind) {
  case KIND_MAP: {
    int x[3] = {-1, -1, -1};
    for (int i = 0; i < n->nin; i++)
      if ((x[i] = build(b, n->in[i], m)) < 0) return -1;
    return emit_map(b, n->op, n->dt, x[0], x[1], x[2], v);
  }
  case KIND_SOURCE:
    if (n->op == OP_fill) return emit_imm(b, n->dt, n->imm, v);
    if (n->op == OP_iota) {
      KInst k = inst0(KI_INDEX, n->dt, v);
      const Ix *x = &m->ix[n->attr[0].v[0]];
      k.index = x->a;
      k.nquot = x->nq;
      Quot *q = NEWN(b->a, Quot, x->nq);
      memcpy(q, x->q, sizeof(Quot) * (size_t)x->nq);
      k.quot = q;
      return emit(b, k);
    }
    if (n->op == OP_random_bits) {
      Ix lin;
      if (!linear_index(&n->shape, m, &lin)) return -1;
      Map scalar;
      memset(&scalar, 0, sizeof scalar);
      int seed = build(b, n->in[0], &scalar), step = build(b, n->in[1], &scalar);
      KInst k = inst0(KI_RANDOM, n->dt, v);
      k.arg[0] = seed;
      k.arg[1] = step;
      k.index = lin.a;
      k.nquot = lin.nq;
      Quot *q = NEWN(b->a, Quot, lin.nq);
      memcpy(q, lin.q, sizeof(Quot) * (size_t)lin.nq);
      k.quot = q;
      k.stream = (uint32_t)n->attr[0].v[0];
      return emit(b, k);
    }
    bug("fuse: source %s", op_table[n->op].name);
  case KIND_VIEW: return build_view(b, v, m);
  case KIND_REDUCE: return build_reduce(b, v, m);
  case KIND_FOLD: return build_fold(b, v, m);
  case KIND_GATHER: return build_gather(b, v, m);
  default: return -1;
  }
}

static bool map_eq(const Map *x, const Map *y) {
  if (x->rank != y->rank || x->ng != y->ng) return false;
  for (int i = 0; i < x->rank; i++)
    if (memcmp(&x->ix[i].a, &y->ix[i].a, sizeof(Affine)) || x->ix[i].nq != y->ix[i].nq ||
        memcmp(x->ix[i].q, y->ix[i].q, sizeof(Quot) * (size_t)x->ix[i].nq))
      return false;
  return !memcmp(x->g, y->g, sizeof(Guard) * (size_t)x->ng);
}

static int build(Build *b, Val v, const Map *m) {
  Lower *l = b->l;
  for (Memo *e = b->memo[v]; e; e = e->next)
    if (map_eq(&e->map, m)) return e->inst;
  int r;
  if (is_loaded(b, v)) {
    r = load(b, v, m, 0, NULL);
    if (r < 0) bug("fuse: cannot address %%%d", v);
  } else {
    OpKind kind = op_table[g_node(b->g, v)->op].kind;
    bool can = kind == KIND_MAP || kind == KIND_SOURCE || kind == KIND_VIEW || kind == KIND_GATHER ||
               ((kind == KIND_REDUCE || kind == KIND_FOLD) && (is_root(b, v) || l->row_inline[v]));
    if (!is_root(b, v) && l->noinline[v]) can = false;
    r = can ? build_new(b, v, m) : -1;
    if (r < 0) {
      if (is_root(b, v)) return -1;
      l->noinline[v] = l->stored[v] = true;
      l->home[v] = -1;
      longjmp(b->again, 2); /* operands of half-built subtrees must not linger */
    }
    if (l->stored[v] && !is_root(b, v)) { /* computed on the way: store it too */
      vec_push(b->a, &b->inst_homed, v);
      vec_push(b->a, &b->homed_inst, r);
      vec_push(b->a, &b->homed_map, *m);
    }
  }
  Memo *e = NEW(b->a, Memo);
  e->map = *m;
  e->inst = r;
  e->next = b->memo[v];
  b->memo[v] = e;
  return r;
}

/* ---- finishing: sweeps, order, merging, vector dim ---- */

typedef struct {
  unsigned dims;
  int sweep; /* first sweep in which it can be evaluated */
} Dep;

static unsigned affine_mask(const Affine *e, int nd) {
  unsigned m = 0;
  for (int d = 0; d < nd; d++)
    if (e->k[d]) m |= 1u << d;
  return m;
}

static unsigned access_mask(const Access *x, int nd) {
  unsigned m = affine_mask(&x->off, nd);
  for (int i = 0; i < x->nquot; i++) m |= affine_mask(&x->quot[i].e, nd);
  for (int i = 0; i < x->nguard; i++) m |= affine_mask(&x->guard[i].e, nd);
  return m;
}

static void analyse(const Build *b, unsigned red, Dep *dep) {
  for (int i = 0; i < b->inst.n; i++) {
    KInst *k = &b->inst.v[i];
    Dep d = {0, 0};
    if (k->access) d.dims |= access_mask(k->access, b->ndim);
    if (k->access && k->access->dyn >= 0) {
      d.dims |= dep[k->access->dyn].dims;
      d.sweep = dep[k->access->dyn].sweep;
    }
    if (k->kind == KI_INDEX || k->kind == KI_RANDOM) {
      d.dims |= affine_mask(&k->index, b->ndim);
      for (int q = 0; q < k->nquot; q++) d.dims |= affine_mask(&k->quot[q].e, b->ndim);
    }
    for (int j = 0; j < 3; j++)
      if (k->arg[j] >= 0) {
        d.dims |= dep[k->arg[j]].dims;
        if (dep[k->arg[j]].sweep > d.sweep) d.sweep = dep[k->arg[j]].sweep;
      }
    if (k->kind == KI_REDUCE) {
      k->sweep = d.sweep;
      d.sweep++;
      d.dims &= ~red;
    }
    k->row = !(d.dims & red);
    dep[i] = d;
  }
}

/* Calls f on every affine of the kernel. */
typedef void (*AffineFn)(Affine *e, void *ctx);
static void each_affine(Build *b, KStore *st, int nst, AffineFn f, void *ctx) {
  for (int i = 0; i < b->inst.n; i++) {
    KInst *k = &b->inst.v[i];
    f(&k->index, ctx);
    for (int q = 0; q < k->nquot; q++) f((Affine *)&k->quot[q].e, ctx);
    if (!k->access) continue;
    Access *x = (Access *)k->access;
    f(&x->off, ctx);
    for (int q = 0; q < x->nquot; q++) f((Affine *)&x->quot[q].e, ctx);
    for (int q = 0; q < x->nguard; q++) f((Affine *)&x->guard[q].e, ctx);
  }
  for (int i = 0; i < nst; i++) f(&st[i].access.off, ctx);
}

typedef struct {
  int n, *from;
} Perm;
static void permute_affine(Affine *e, void *ctx) {
  Perm *p = ctx;
  Affine o = *e;
  for (int d = 0; d < KDIM; d++) e->k[d] = d < p->n ? o.k[p->from[d]] : 0;
}

typedef struct {
  int d;
  int64_t inner;
  bool ok;
} Merge;
static void check_merge(Affine *e, void *ctx) {
  Merge *m = ctx;
  if (e->k[m->d] != e->k[m->d + 1] * m->inner) m->ok = false;
}
static void drop_dim(Affine *e, void *ctx) {
  int d = *(int *)ctx;
  for (int i = d; i + 1 < KDIM; i++) e->k[i] = e->k[i + 1];
  e->k[KDIM - 1] = 0;
}

static int64_t iabs(int64_t x) { return x < 0 ? -x : x; }

static int vec_score(const Build *b, const LoopKernel *k, int d, int lanes) {
  int score = 0;
  for (int i = 0; i < b->inst.n; i++) {
    const KInst *in = &b->inst.v[i];
    if (in->kind != KI_LOAD) continue;
    int64_t s = in->access->off.k[d];
    if (!access_mask(in->access, k->ndim)) continue;
    bool quot = false;
    for (int q = 0; q < in->access->nquot; q++) quot |= in->access->quot[q].e.k[d] != 0;
    if (quot || in->access->dyn >= 0) score -= 3;
    else if (s == 1) score += 2;
    else if (s != 0) score -= 3;
  }
  for (int i = 0; i < k->nstore; i++) {
    int64_t s = k->store[i].access.off.k[d];
    if (s == 1) score += 2;
    else if (s != 0) score -= 4;
  }
  if (k->size[d] * 2 < lanes) score -= 2;
  return score;
}

/* Orders dims (P before R; each by the strides of the largest access), merges what is contiguous everywhere, picks the vector
   dim and the number of chunks. */
static void finish(Build *b, KStore *st, int nst) {
  LoopKernel *k = &b->out->kernel.loop;
  unsigned red = 0;
  for (int d = 0; d < b->ndim; d++)
    if (b->dom[b->dim_dom[d]].reduced) red |= 1u << d;
  int from[KDIM], n = 0, npar;
  int64_t key[KDIM];
  const Affine *pkey = nst ? &st[0].access.off : NULL, *rkey = NULL;
  int best = -1;
  for (int i = 0; i < nst; i++)
    if (!b->inst.v[st[i].inst].row) {
      pkey = rkey = &st[i].access.off;
      break;
    }
  if (!rkey)
    for (int i = 0; i < b->inst.n; i++) {
      const KInst *in = &b->inst.v[i];
      if (in->kind != KI_LOAD) continue;
      int cover = __builtin_popcount(affine_mask(&in->access->off, b->ndim) & red);
      if (cover > best) {
        best = cover;
        rkey = &in->access->off;
      }
    }
  for (int pass = 0; pass < 2; pass++) {
    const Affine *e = pass ? rkey : pkey;
    int start = n;
    for (int d = 0; d < b->ndim; d++) {
      if (b->size[d] == 1 || ((red >> d & 1) != (unsigned)pass)) continue;
      int64_t s = e ? iabs(e->k[d]) : 0;
      int at = n++;
      while (at > start && key[at - 1] < s) {
        key[at] = key[at - 1];
        from[at] = from[at - 1];
        at--;
      }
      key[at] = s;
      from[at] = d;
    }
    if (!pass) npar = n;
  }
  Perm p = {n, from};
  each_affine(b, st, nst, permute_affine, &p);
  int64_t size[KDIM];
  for (int d = 0; d < n; d++) size[d] = b->size[from[d]];
  for (int d = n - 2; d >= 0; d--) {
    if (d + 1 == npar) continue;
    Merge m = {d, size[d + 1], true};
    each_affine(b, st, nst, check_merge, &m);
    if (!m.ok) continue;
    each_affine(b, st, nst, drop_dim, &d);
    size[d + 1] *= size[d];
    for (int i = d; i + 1 < n; i++) size[i] = size[i + 1];
    n--;
    if (d < npar - 1 || d + 1 < npar) npar--;
  }
  k->ndim = n;
  k->npar = npar;
  memcpy(k->size, size, sizeof(int64_t) * (size_t)n);
  k->inst = b->inst.v;
  k->ninst = b->inst.n;
  k->store = st;
  k->nstore = nst;
  int lanes = target_lanes(&b->l->p->target);
  k->vec = -1;
  int sp = npar ? vec_score(b, k, npar - 1, lanes) : -1000;
  int sr = n > npar ? vec_score(b, k, n - 1, lanes) : -1000;
  if (npar && sp >= sr) k->vec = npar - 1;
  else if (n > npar) k->vec = n - 1;
  double points = 1;
  int64_t outer = 1;
  for (int d = 0; d < n; d++) points *= (double)size[d];
  for (int d = 0; d < npar; d++)
    if (d != k->vec) outer *= size[d];
  double work = points * (1 + k->ninst / 4.0);
  int64_t limit = outer > 1 ? outer : (k->vec >= 0 && k->vec < npar) ? (size[k->vec] + lanes - 1) / lanes : 1;
  int64_t chunks = (int64_t)(work / 32768.0);
  if (chunks > 64) chunks = 64;
  if (chunks > limit) chunks = limit;
  k->nchunk = chunks < 1 ? 1 : chunks;
  b->out->kernel.flops = points * k->ninst;
}

/* A map whose linear index enumerates each element of the value once over all dims (or all but the reduced ones). */
static bool storable(Build *b, Val v, const Map *m, bool row) {
  if (m->ng) return false;
  Ix lin;
  const Shape *s = &g_node(b->g, v)->shape;
  if (!linear_index(s, m, &lin) || lin.nq || lin.a.c) return false;
  int64_t need = 1, left = 1;
  for (int d = 0; d < b->ndim; d++)
    if (b->size[d] > 1 && !(row && b->dom[b->dim_dom[d]].reduced)) left *= b->size[d];
  if (left != shape_count(s)) return false;
  while (need < left) {
    int d = 0;
    while (d < b->ndim && !(b->size[d] > 1 && lin.a.k[d] == need)) d++;
    if (d == b->ndim) return false;
    need *= b->size[d];
  }
  return true;
}

static void begin(Build *b) {
  b->ndim = 0;
  b->has_red = false;
  for (int j = 0; j < b->ndom; j++) {
    b->dom[j].reduced = false;
    for (int i = 0; i < b->dom[j].n && j < b->nroot; i++) {
      b->size[b->ndim] = b->dom[j].part[i];
      b->dim_dom[b->ndim++] = j;
    }
  }
  b->inst.n = b->inst_homed.n = b->homed_inst.n = b->homed_map.n = 0;
  memset(b->memo, 0, sizeof(Memo *) * (size_t)b->g->node.n);
  memset(&b->out->kernel, 0, sizeof b->out->kernel);
  b->out->kernel.kind = KK_LOOP;
  b->out->loads.n = b->out->stores.n = 0;
}

static void identity_map(const Build *b, int rank, Map *m) {
  memset(m, 0, sizeof *m);
  m->rank = rank;
  for (int d = b->ndim - 1; d >= 0; d--) {
    int j = b->dim_dom[d];
    if (j >= rank) continue;
    int64_t st = 1;
    for (int e = d + 1; e < b->ndim; e++)
      if (b->dim_dom[e] == j) st *= b->size[e];
    m->ix[j].a.k[d] = st;
  }
}

bool loop_build(Lower *l, const Val *roots, int nroots, Built *out) {
  Build *b = NEW(l->arena, Build);
  b->l = l;
  b->a = l->arena;
  b->g = l->g;
  b->out = out;
  b->memo = NEWN(l->arena, Memo *, l->g->node.n);
  const Shape *s = &g_node(l->g, roots[0])->shape;
  b->nroot = b->ndom = s->rank;
  for (int i = 0; i < s->rank; i++) {
    b->dom[i].n = 1;
    b->dom[i].part[0] = s->dim[i];
  }
  b->roots = roots;
  b->nroots = nroots;
  if (setjmp(b->again) > 1) b->ndom = b->nroot; /* restart: after a mere split, reduced dims of a row epilogue keep their parts */
  int had = b->ndom;
  begin(b);
  if (had > b->nroot) { /* dims of a row epilogue are known by now */
    for (int j = b->nroot; j < had; j++) {
      b->dom[j].reduced = true;
      for (int i = 0; i < b->dom[j].n; i++) {
        b->size[b->ndim] = b->dom[j].part[i];
        b->dim_dom[b->ndim++] = j;
      }
    }
    b->has_red = true;
  }
  VEC(KStore) st = {0};
  int root_inst[16];
  if (nroots > 16) bug("fuse: %d roots", nroots);
  for (int i = 0; i < nroots; i++) {
    Map m;
    b->root = roots[i];
    identity_map(b, s->rank, &m);
    root_inst[i] = build(b, roots[i], &m);
    if (root_inst[i] < 0) return false;
  }
  b->root = roots[0];
  unsigned red = 0;
  for (int d = 0; d < b->ndim; d++)
    if (b->dom[b->dim_dom[d]].reduced) red |= 1u << d;
  Dep *dep = NEWN(l->arena, Dep, b->inst.n);
  analyse(b, red, dep);
  for (int i = 0; i < nroots + b->inst_homed.n; i++) {
    Val v = i < nroots ? roots[i] : b->inst_homed.v[i - nroots];
    int in = i < nroots ? root_inst[i] : b->homed_inst.v[i - nroots];
    Map m;
    if (i < nroots) identity_map(b, s->rank, &m);
    else m = b->homed_map.v[i - nroots];
    bool dup = false;
    for (int j = 0; j < out->stores.n; j++) dup |= out->stores.v[j] == v;
    if (dup) continue;
    Ix lin;
    linear_index(&g_node(l->g, v)->shape, &m, &lin);
    bool row = !(affine_mask(&lin.a, b->ndim) & red); /* of the place stored to; the value itself may be constant along a row */
    if (i >= nroots && !storable(b, v, &m, row)) { /* a map that repeats or skips elements */
      l->home[v] = -1;
      l->nohome[v] = true;
      longjmp(b->again, 3);
    }
    int sweep = dep[in].sweep;
    if (!row && b->inst.v[in].row) {
      in = emit_map(b, OP_stop_gradient, b->inst.v[in].dt, in, -1, -1, v);
      b->inst.v[in].row = false;
    }
    KStore k;
    memset(&k, 0, sizeof k);
    Ix off;
    if (!storage_offset(b, &g_node(l->g, v)->shape, l->block[v], &m, &off) || off.nq) bug("fuse: store of %%%d", v);
    k.inst = in;
    k.sweep = sweep;
    k.access.off = off.a;
    k.access.dyn = -1;
    vec_push(l->arena, &st, k);
    vec_push(l->arena, &out->stores, v);
  }
  Kernel *kn = &out->kernel;
  for (int i = 0; i < st.n; i++) {
    int before = kn->nbuf;
    st.v[i].access.buf = operand(b, lower_buf(l, out->stores.v[i]));
    if (kn->nbuf == before) bug("fuse: kernel reads its own result %%%d", out->stores.v[i]);
  }
  kn->nout = st.n;
  int nsweep = 0;
  for (int i = 0; i < b->inst.n; i++)
    if (b->inst.v[i].kind == KI_REDUCE && b->inst.v[i].sweep + 1 > nsweep) nsweep = b->inst.v[i].sweep + 1;
  for (int i = 0; i < st.n; i++)
    if (!b->inst.v[st.v[i].inst].row && st.v[i].sweep + 1 > nsweep) nsweep = st.v[i].sweep + 1;
  kn->loop.nsweep = nsweep;
  finish(b, st.v, st.n);
  double bytes = 0;
  for (int i = 0; i < kn->nbuf; i++) bytes += (double)l->p->buf.v[kn->buf[i]].bytes;
  kn->bytes = bytes;
  return true;
}

Kernel loop_copy(Lower *l, int src, int dst) {
  Build *b = NEW(l->arena, Build);
  Built out;
  memset(&out, 0, sizeof out);
  b->l = l;
  b->a = l->arena;
  b->g = l->g;
  b->out = &out;
  const Buf *from = &l->p->buf.v[src];
  b->nroot = b->ndom = from->shape.rank;
  for (int i = 0; i < from->shape.rank; i++) {
    b->dom[i].n = 1;
    b->dom[i].part[0] = from->shape.dim[i];
  }
  b->memo = NEWN(l->arena, Memo *, l->g->node.n);
  setjmp(b->again);
  begin(b);
  Map m;
  identity_map(b, from->shape.rank, &m);
  Ix off;
  KStore *st = NEW(l->arena, KStore);
  KInst k = inst0(KI_LOAD, from->dt, from->val);
  if (!storage_offset(b, &from->shape, from->block, &m, &off)) bug("copy: source layout");
  k.access = access_new(b, src, &off, &m, 0);
  st->inst = emit(b, k);
  if (!storage_offset(b, &from->shape, l->p->buf.v[dst].block, &m, &off)) bug("copy: target layout");
  st->access.off = off.a;
  st->access.dyn = -1;
  st->access.buf = operand(b, dst);
  out.kernel.nout = 1;
  Dep *dep = NEWN(l->arena, Dep, 1);
  analyse(b, 0, dep);
  finish(b, st, 1);
  out.kernel.bytes = 2 * (double)from->bytes;
  return out.kernel;
}

bool view_access(Lower *l, Val v, int ndim, const int64_t *size, const int *axis_dim, Val *base, Affine *off) {
  Build *b = NEW(l->arena, Build);
  b->l = l;
  b->a = l->arena;
  b->g = l->g;
  b->ndim = ndim;
  for (int d = 0; d < ndim; d++) {
    b->size[d] = size[d];
    b->dim_dom[d] = d;
    b->dom[d].n = 6; /* no room: a split is impossible here */
  }
  Map m;
  memset(&m, 0, sizeof m);
  m.rank = g_node(l->g, v)->shape.rank;
  for (int i = 0; i < m.rank; i++) m.ix[i].a.k[axis_dim[i]] = 1;
  Ix lin;
  for (;;) {
    const Node *n = g_node(l->g, v);
    if (op_table[n->op].kind != KIND_VIEW || n->op == OP_concat || n->op == OP_pad || n->op == OP_window || l->stored[v]) {
      *base = v;
      if (l->block[v] || !linear_index(&n->shape, &m, &lin) || lin.nq) return false;
      *off = lin.a;
      return true;
    }
    Val a = n->in[0];
    const Shape *from = &g_node(l->g, a)->shape;
    Map c = m;
    c.rank = from->rank;
    switch (n->op) {
    case OP_transpose:
      for (int i = 0; i < n->shape.rank; i++) c.ix[n->attr[0].v[i]] = m.ix[i];
      break;
    case OP_broadcast:
      for (int i = 0; i < from->rank; i++) {
        c.ix[i] = m.ix[n->attr[0].v[i]];
        if (from->dim[i] == 1) memset(&c.ix[i], 0, sizeof(Ix));
      }
      break;
    case OP_slice:
      for (int i = 0; i < from->rank; i++) {
        memset(&c.ix[i], 0, sizeof(Ix));
        c.ix[i].a.c = n->attr[0].v[i];
        if (!ix_axpy(&c.ix[i], n->attr[2].v[i], &m.ix[i])) return false;
      }
      break;
    case OP_reshape:
      if (!linear_index(&n->shape, &m, &lin) || !delinearize(b, lin, from, &c)) return false;
      for (int i = 0; i < c.rank; i++)
        if (c.ix[i].nq) return false;
      break;
    default: return false;
    }
    m = c;
    v = a;
  }
}
