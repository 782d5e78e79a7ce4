/* Index arithmetic of the loop-kernel builder: affine forms over loop dims, quotient terms, splitting of
   dims, storage addresses. */
#include "passes/lower/loop_build.h"

#include <string.h>

int64_t lb_affine_max(const Build *b, const Affine *e) {
  int64_t m = e->c;
  for (int d = 0; d < b->ndim; d++)
    if (e->k[d] > 0) m += e->k[d] * (b->size[d] - 1);
  return m;
}

int64_t lb_affine_min(const Build *b, const Affine *e) {
  int64_t m = e->c;
  for (int d = 0; d < b->ndim; d++)
    if (e->k[d] < 0) m += e->k[d] * (b->size[d] - 1);
  return m;
}

static void lb_affine_axpy(Affine *y, int64_t s, const Affine *x) {
  y->c += s * x->c;
  for (int d = 0; d < KDIM; d++) y->k[d] += s * x->k[d];
}

/* y += s*x; false when quotients run out of room. */
bool lb_ix_axpy(Build *b, Ix *y, int64_t s, const Ix *x) {
  lb_affine_axpy(&y->a, s, &x->a);
  for (int i = 0; i < x->nq; i++) {
    Quot q = x->q[i];
    q.stride *= s;
    if ((x->exact >> i & 1) && q.stride % q.div == 0) {
      lb_affine_axpy(&y->a, q.stride / q.div, &q.e);
    } else {
      if (y->nq == MAX_QUOT) return false;
      Quot *all = NEWN(b->a, Quot, y->nq + 1);
      if (y->nq) memcpy(all, y->q, sizeof(Quot) * (size_t)y->nq);
      all[y->nq] = q;
      y->exact |= (x->exact >> i & 1) << y->nq;
      y->q = all;
      y->nq++;
    }
  }
  return true;
}

/* Refuses until loop dim d is split into (size/f, f); false when there is no room for it. */
static bool wants_split(Build *b, int d, int64_t f) {
  int dom = b->dim_dom[d], part = 0;
  for (int i = d - 1; i >= 0 && b->dim_dom[i] == dom; i--) part++;
  if (b->space->dom[dom].n == MAX_PARTS || b->ndim + 1 > KDIM) return false;
  lb_refuse(b, (Refusal){.kind = MUST_SPLIT, .dom = dom, .part = part, .factor = f});
  return true;
}

Ix lb_quotient(Build *b, const Affine *e, int64_t div, bool exact) {
  Ix y;
  memset(&y, 0, sizeof y);
  Quot *q = NEW(b->a, Quot);
  *q = (Quot){.e = *e, .div = div, .stride = 1};
  y.nq = 1;
  y.exact = exact;
  y.q = q;
  return y;
}

/* q = floor(x / n), r = x mod n, for 0 <= x < extent (where guards hold). */
bool lb_ix_divmod(Build *b, const Ix *x, int64_t n, int64_t extent, Ix *q, Ix *r) {
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
    if (k % n == 0) q->a.k[d] = k / n;
    else r->a.k[d] = k;
  }
  int64_t lo = lb_affine_min(b, &r->a), hi = lb_affine_max(b, &r->a);
  if (lo >= 0 && hi < n) return true;
  for (int d = 0; d < b->ndim; d++) { /* a dim that straddles n is split */
    int64_t k = r->a.k[d];
    if (k > 0 && n % k == 0 && n / k < b->size[d] && b->size[d] % (n / k) == 0 && wants_split(b, d, n / k))
      return false;
  }
  memset(q, 0, sizeof *q); /* no affine form: a quotient term */
  *q = lb_quotient(b, &x->a, n, false);
  *r = *x;
  lb_ix_axpy(b, r, -n, q);
  return true;
}

void lb_strides_of(const Shape *s, int64_t *st) {
  int64_t p = 1;
  for (int i = s->rank - 1; i >= 0; i--) {
    st[i] = p;
    p *= s->dim[i];
  }
}

/* Storage offset of the element of a (shape, block) buffer at map m. */
bool lb_storage_offset(Build *b, const Shape *s, int block, const Map *m, Ix *off) {
  memset(off, 0, sizeof *off);
  int64_t st[MAX_RANK];
  lb_strides_of(s, st);
  for (int i = 0; i < s->rank; i++) {
    if (block && i == 1) {
      Ix q, r;
      if (!lb_ix_divmod(b, &m->ix[1], block, s->dim[1], &q, &r)) return false;
      if (!lb_ix_axpy(b, off, st[1] * block, &q) || !lb_ix_axpy(b, off, 1, &r)) return false;
    } else if (s->dim[i] > 1) {
      if (!lb_ix_axpy(b, off, st[i] * (block && i > 1 ? block : 1), &m->ix[i])) return false;
    }
  }
  return true;
}

bool lb_add_guard(Build *b, Map *m, Affine e, int64_t lo, int64_t hi, int64_t mod) {
  if (mod <= 1 && lb_affine_min(b, &e) >= lo && lb_affine_max(b, &e) < hi) return true;
  if (m->ng == MAX_GUARD) return false;
  Guard *all = NEWN(b->a, Guard, m->ng + 1);
  if (m->ng) memcpy(all, m->g, sizeof(Guard) * (size_t)m->ng);
  all[m->ng++] = (Guard){e, lo, hi, mod};
  m->g = all;
  return true;
}

bool lb_linear_index(Build *b, const Shape *s, const Map *m, Ix *lin) {
  memset(lin, 0, sizeof *lin);
  int64_t st[MAX_RANK];
  lb_strides_of(s, st);
  for (int i = 0; i < s->rank; i++)
    if (s->dim[i] > 1 && !lb_ix_axpy(b, lin, st[i], &m->ix[i])) return false;
  return true;
}

bool lb_delinearize(Build *b, Ix lin, const Shape *s, Map *m) {
  int64_t st[MAX_RANK], extent = shape_count(s);
  lb_strides_of(s, st);
  m->rank = s->rank;
  for (int i = 0; i < s->rank; i++) {
    Ix q, r;
    if (s->dim[i] == 1) {
      memset(&m->ix[i], 0, sizeof(Ix));
      continue;
    }
    if (!lb_ix_divmod(b, &lin, st[i], extent, &q, &r)) return false;
    m->ix[i] = q;
    lin = r;
    extent = st[i];
  }
  return true;
}

void lb_identity_map(const Build *b, int rank, Map *m) {
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
