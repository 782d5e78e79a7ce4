/* Finishing a loop kernel: sweeps, order of dims, merging of contiguous dims, choice of the vector dim and of
   the number of chunks. */
#include "passes/lower/loop_build.h"

#include <string.h>

unsigned lb_affine_mask(const Affine *e, int nd) {
  unsigned m = 0;
  for (int d = 0; d < nd; d++)
    if (e->k[d]) m |= 1u << d;
  return m;
}

static unsigned access_mask(const Access *x, int nd) {
  unsigned m = lb_affine_mask(&x->off, nd);
  for (int i = 0; i < x->nquot; i++) m |= lb_affine_mask(&x->quot[i].e, nd);
  for (int i = 0; i < x->nguard; i++) m |= lb_affine_mask(&x->guard[i].e, nd);
  return m;
}

void lb_analyse(const Build *b, unsigned red, Dep *dep) {
  for (int i = 0; i < b->inst.n; i++) {
    KInst *k = &b->inst.v[i];
    Dep d = {0, 0};
    if (k->access) d.dims |= access_mask(k->access, b->ndim);
    if (k->access && k->access->dyn >= 0) {
      d.dims |= dep[k->access->dyn].dims;
      d.sweep = dep[k->access->dyn].sweep;
    }
    if (k->kind == KI_INDEX || k->kind == KI_RANDOM) {
      d.dims |= lb_affine_mask(&k->index, b->ndim);
      for (int q = 0; q < k->nquot; q++) d.dims |= lb_affine_mask(&k->quot[q].e, b->ndim);
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

enum { LONG_ROW = 256 };
static int64_t iabs(int64_t x) { return x < 0 ? -x : x; }

/* Where rows are long, what is read or written once a row or once a column is no reason. */
static int vec_score(const Build *b, const LoopKernel *k, int d, int lanes) {
  int score = 0;
  int64_t row = 1;
  for (int i = k->npar; i < k->ndim; i++) row *= k->size[i];
  bool longer = k->npar && row >= LONG_ROW;
  for (int i = 0; i < b->inst.n; i++) {
    const KInst *in = &b->inst.v[i];
    if (in->kind != KI_LOAD) continue;
    int64_t s = in->access->off.k[d];
    unsigned of = access_mask(in->access, k->ndim), par = (1u << k->npar) - 1;
    if (longer ? !(of & par) || !(of & ~par) : !of) continue;
    bool quot = false;
    for (int q = 0; q < in->access->nquot; q++) quot |= in->access->quot[q].e.k[d] != 0;
    if (quot || in->access->dyn >= 0) score -= 3;
    else if (s == 1) score += 2;
    else if (s != 0) score -= 3;
  }
  for (int i = 0; i < k->nstore; i++) {
    int64_t s = k->store[i].access.off.k[d];
    if (b->inst.v[k->store[i].inst].row && longer) continue;
    if (s == 1) score += 2;
    else if (s != 0) score -= 4;
  }
  if (k->size[d] * 2 < lanes) score -= 2;
  return score;
}

/* Orders dims (P before R; each by the strides of the largest access), merges what is contiguous everywhere,
   picks the vector dim and the number of chunks. */
void lb_finish(Build *b, KStore *st, int nst) {
  LoopKernel *k = &b->out->kernel.loop;
  unsigned red = 0;
  for (int d = 0; d < b->ndim; d++)
    if (b->space->dom[b->dim_dom[d]].reduced) red |= 1u << d;
  int from[KDIM], n = 0, npar = 0;
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
      int cover = __builtin_popcount(lb_affine_mask(&in->access->off, b->ndim) & red);
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
  const CostModel *c = b->l->p->target.cost;
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
  int64_t chunks = (int64_t)(work / c->loop_chunk_work);
  if (chunks > c->loop_chunks) chunks = c->loop_chunks;
  if (chunks > limit) chunks = limit;
  k->nchunk = chunks < 1 ? 1 : chunks;
}
