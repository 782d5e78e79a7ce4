/* Chains: kernels that run chunk by chunk, one after the other on one thread, so that what one writes is read
   from the core's cache by the next. Batch norm and ReLU before a convolution, its statistics after it, the
   products of a transformer layer.

   A kernel joins a chain when it touches what the chain writes only inside its own chunk (kernel_chunk_bytes), for a
   chunk count all members can take. Kernels in between that the chain does not feed move before it, those it
   feeds behind it. A buffer only the chain uses shrinks to one chunk in each thread's scratch. */
#include <string.h>

#include "passes/lower/lower.h"

enum { MAX_MEMBERS = 16, MAX_COUNTS = 48, WINDOW = 48, LEAST_CHUNKS = 2 };

typedef struct {
  int member[MAX_MEMBERS], n;
  int64_t count[MAX_COUNTS]; /* chunk counts all members can take */
  int ncount;
} Chain;

/* What a set of kernels writes and touches: the buffers with its mark. */
typedef struct {
  int *writes, *touches, mark;
} Uses;

typedef struct {
  Program *p;
  int *order;          /* kernels */
  int64_t least_bytes; /* of the largest operand */
  Uses chain, later;   /* of the chain that grows, of the kernels that stay behind it */
} Chains;

static int operand_of(const Program *p, const Kernel *k, int root, int from) {
  for (int i = from; i < k->nbuf; i++)
    if (program_root(p, k->buf[i]) == root) return i;
  return -1;
}

static bool writes(const Program *p, const Kernel *k, int root) {
  return operand_of(p, k, root, k->nbuf - k->nout) >= 0;
}

static bool touches(const Program *p, const Kernel *k, int root) { return operand_of(p, k, root, 0) >= 0; }

static Uses uses_new(Arena *a, int nbuf) {
  return (Uses){.writes = NEWN(a, int, nbuf + 1), .touches = NEWN(a, int, nbuf + 1)};
}

static void add_uses(const Program *p, Uses *u, const Kernel *k) {
  for (int i = 0; i < k->nbuf; i++) {
    int root = program_root(p, k->buf[i]);
    u->touches[root] = u->mark;
    if (i >= k->nbuf - k->nout) u->writes[root] = u->mark;
  }
}

/* Must k stay behind kernels of these uses? */
static bool follows(const Program *p, const Uses *u, const Kernel *k) {
  for (int i = 0; i < k->nbuf; i++) {
    int root = program_root(p, k->buf[i]);
    if (u->writes[root] == u->mark || (i >= k->nbuf - k->nout && u->touches[root] == u->mark)) return true;
  }
  return false;
}

/* Must b stay behind a (a before b in the old order)? */
static bool ordered(const Program *p, const Kernel *a, const Kernel *b) {
  for (int i = 0; i < b->nbuf; i++)
    if (writes(p, a, program_root(p, b->buf[i]))) return true;
  for (int i = b->nbuf - b->nout; i < b->nbuf; i++)
    if (touches(p, a, program_root(p, b->buf[i]))) return true;
  return false;
}

/* ---- joining ---- */
/* Every result of k, cut, lies in its chunk's part of a buffer of its own. */
static bool writes_chunks(const Program *p, const Kernel *k) {
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const Buf *b = &p->buf.v[k->buf[i]];
    if (b->kind == BUF_INPUT || b->alias >= 0 || b->within >= 0 || !kernel_chunk_bytes(p, k, i)) return false;
  }
  return true;
}

static bool fits(const Program *p, const Chain *c, const Kernel *k, int64_t count) {
  Kernel cut, other;
  if (!kernel_recut(p, k, count, &cut) || !writes_chunks(p, &cut)) return false;
  for (int m = 0; m < c->n; m++) {
    const Kernel *member = &p->kernel.v[c->member[m]];
    if (!ordered(p, member, k)) continue;
    kernel_recut(p, member, count, &other);
    for (int i = 0; i < member->nbuf; i++) {
      int root = program_root(p, member->buf[i]);
      if (!(writes(p, member, root) && touches(p, k, root)) && !writes(p, k, root)) continue;
      int64_t b = kernel_chunk_of_root(p, &other, root);
      if (!b || b != kernel_chunk_of_root(p, &cut, root)) return false;
    }
  }
  return true;
}

/* Do k and a member work on the same chunk of some buffer? */
static bool related(const Chains *s, const Chain *c, const Kernel *k, int64_t count) {
  const Program *p = s->p;
  Kernel cut, other;
  kernel_recut(p, k, count, &cut);
  for (int m = 0; m < c->n; m++) {
    kernel_recut(p, &p->kernel.v[c->member[m]], count, &other);
    for (int i = 0; i < cut.nbuf - cut.nout; i++) {
      int root = program_root(p, cut.buf[i]);
      if (p->buf.v[root].bytes < s->least_bytes || !touches(p, &other, root)) continue;
      int64_t b = kernel_chunk_of_root(p, &other, root);
      if (b && b == kernel_chunk_of_root(p, &cut, root)) return true;
    }
  }
  return false;
}

static bool candidate(const Chains *s, const Kernel *k) {
  const Program *p = s->p;
  if (k->commit || k->nbuf > CHAIN_OPERANDS || !kernel_can_recut(k)) return false;
  int64_t most = 0;
  for (int i = 0; i < k->nbuf; i++)
    if (p->buf.v[k->buf[i]].bytes > most) most = p->buf.v[k->buf[i]].bytes;
  return most >= s->least_bytes;
}

static void add_member(Chains *s, Chain *c, int at) {
  c->member[c->n++] = at;
  add_uses(s->p, &s->chain, &s->p->kernel.v[at]);
}

static void start(Chains *s, Chain *c, int at) {
  const Kernel *k = &s->p->kernel.v[at];
  const Shape *sh = &s->p->buf.v[k->buf[k->nbuf - 1]].shape;
  *c = (Chain){.n = 0};
  s->chain.mark++;
  add_member(s, c, at);
  int64_t rows = sh->rank ? sh->dim[0] : 1;
  Chain none = {.n = 0};
  /* divisors of rows; of the numbers between two quotients of it none is one */
  for (int64_t n = rows; n >= LEAST_CHUNKS && c->ncount < MAX_COUNTS; n = rows / (rows / n + 1))
    if (rows % n == 0 && fits(s->p, &none, k, n)) c->count[c->ncount++] = n;
}

/* Does a kernel soon to come read both what kernel `at` writes and what the chain writes? order[from ... end) are next. */
static bool feeds(const Chains *s, int at, int from, int end) {
  const Program *p = s->p;
  const Kernel *k = &p->kernel.v[at];
  for (int i = from; i < end; i++) {
    const Kernel *next = &p->kernel.v[s->order[i]];
    bool of_k = false, of_chain = false;
    for (int j = 0; j < next->nbuf - next->nout; j++) {
      int root = program_root(p, next->buf[j]);
      of_k |= writes(p, k, root);
      of_chain |= s->chain.writes[root] == s->chain.mark;
    }
    if (of_k && of_chain && candidate(s, next)) return true;
  }
  return false;
}

static bool join(Chains *s, Chain *c, int at, int next, int end) {
  const Kernel *k = &s->p->kernel.v[at];
  int64_t left[MAX_COUNTS];
  int n = 0;
  if (c->n == MAX_MEMBERS || !candidate(s, k)) return false;
  bool shares = false;
  for (int i = 0; i < k->nbuf - k->nout; i++)
    shares |= s->chain.touches[program_root(s->p, k->buf[i])] == s->chain.mark;
  bool feeding = !shares && feeds(s, at, next, end);
  if (!shares && !feeding) return false;
  for (int i = 0; i < c->ncount; i++)
    if (fits(s->p, c, k, c->count[i])) left[n++] = c->count[i];
  if (!n || !(feeding || related(s, c, k, left[n - 1]) || feeds(s, at, next, end))) return false;
  memcpy(c->count, left, sizeof left);
  c->ncount = n;
  add_member(s, c, at);
  return true;
}

/* ---- how many chunks ---- */
/* Loss against a chain whose data stays in cache at no cost, as a share of its time: data beyond half of L2,
   few tiles for a Winograd block, weights read again by every chunk, too few chunks to share out. */
static double loss(const Program *p, const Chain *c, int64_t count) {
  const CostModel *m = p->target.cost;
  double l2 = (double)p->target.l2, data = 0, worst = 0, weights = 0;
  Kernel cut;
  for (int k = 0; k < c->n; k++) {
    kernel_recut(p, &p->kernel.v[c->member[k]], count, &cut);
    for (int i = 0; i < cut.nbuf; i++) {
      int root = program_root(p, cut.buf[i]);
      bool seen = false;
      for (int j = 0; j < k; j++) seen |= touches(p, &p->kernel.v[c->member[j]], root);
      if (seen) continue;
      int64_t b = kernel_chunk_of_root(p, &cut, root);
      if (b) data += (double)b;
      else weights += (double)p->buf.v[root].bytes;
    }
    double lost = kernel_cut_loss(p, &cut);
    if (lost > worst) worst = lost;
  }
  double over = data > l2 / 2 ? data / (l2 / 2) - 1 : 0;
  return (over > m->chain_spill_most ? m->chain_spill_most : over) * m->chain_spill + worst +
         m->chain_weights * weights / (data + 1) + (count < m->chain_chunks ? 1.0 / (double)count : 0);
}

static int64_t best_count(const Program *p, const Chain *c) {
  int64_t best = 0;
  double least = p->target.cost->chain_loss;
  for (int i = 0; i < c->ncount; i++) {
    double l = loss(p, c, c->count[i]);
    if (l < least) least = l, best = c->count[i];
  }
  return best;
}

/* ---- the sweep over the kernels ---- */
/* Grows a chain from order[at]; on success rewrites order[at ...] as what moves before it, the chain, what
   moves behind it, and returns how many places the first two take. */
static int grow(Chains *s, int at, int end, int number) {
  Program *p = s->p;
  Chain c;
  start(s, &c, s->order[at]);
  if (!c.ncount) return 0;
  int later[WINDOW], nlater = 0, before[WINDOW], nbefore = 0, i = at + 1;
  s->later.mark++;
  for (; i < end && i < at + WINDOW; i++) {
    int which = s->order[i];
    const Kernel *k = &p->kernel.v[which];
    bool behind = follows(p, &s->later, k);
    if (!behind && join(s, &c, which, i + 1, end < at + WINDOW ? end : at + WINDOW)) continue;
    int64_t written = 0;
    for (int j = k->nbuf - k->nout; j < k->nbuf; j++) written += p->buf.v[k->buf[j]].bytes;
    bool small = written < p->target.cost->chain_aside ||
                 (kernel_can_recut(k) && kernel_prepares(p, k)); /* what follows it may join */
    if (!behind && !follows(p, &s->chain, k) && small) {
      before[nbefore++] = which;
      continue;
    }
    later[nlater++] = which;
    add_uses(p, &s->later, k);
  }
  int64_t count = c.n > 1 ? best_count(p, &c) : 0;
  if (!count) return 0;
  int w = at;
  for (int j = 0; j < nbefore; j++) s->order[w++] = before[j];
  for (int j = 0; j < c.n; j++) {
    Kernel cut;
    kernel_recut(p, &p->kernel.v[c.member[j]], count, &cut);
    cut.chain = number;
    p->kernel.v[c.member[j]] = cut;
    s->order[w++] = c.member[j];
  }
  int next = w;
  for (int j = 0; j < nlater; j++) s->order[w++] = later[j];
  if (w != i) bug("chain: kernels were lost");
  return next - at;
}

/* ---- buffers that only a chain uses ---- */
static void make_private(Program *p) {
  int *user = NEWN(p->arena, int, p->buf.n + 1); /* chain of the only users, -1 several or none */
  int64_t *chunk = NEWN(p->arena, int64_t, p->buf.n + 1);
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    for (int i = 0; i < k->nbuf; i++) {
      int b = program_root(p, k->buf[i]);
      int64_t bytes = k->chain && k->buf[i] == b ? kernel_chunk_of_root(p, k, b) : 0;
      bool first = !user[b];
      if (!bytes || (!first && (user[b] != k->chain || chunk[b] != bytes))) user[b] = -1;
      else user[b] = k->chain, chunk[b] = bytes;
    }
  }
  for (int b = 0; b < p->buf.n; b++)
    if (p->buf.v[b].alias >= 0) user[program_root(p, b)] = -1;
  for (int b = 0; b < p->buf.n; b++)
    if (user[b] > 0 && p->buf.v[b].kind == BUF_TEMP && p->buf.v[b].alias < 0 && p->buf.v[b].within < 0)
      p->buf.v[b].chunk = chunk[b];
}

void pass_chain(Lower *l) {
  Chains *s = NEW(l->arena, Chains);
  Program *p = s->p = l->p;
  s->least_bytes = l->opt.chain_bytes ? l->opt.chain_bytes : p->target.cost->chain_bytes;
  s->order = NEWN(l->arena, int, p->kernel.n + 1);
  for (int k = 0; k < p->kernel.n; k++) s->order[k] = k;
  s->chain = uses_new(l->arena, p->buf.n);
  s->later = uses_new(l->arena, p->buf.n);
  int number = 1;
  for (int at = 0, end = 0; at < p->ncompute;) {
    while (end <= at || (end < p->ncompute && p->kernel.v[end].in_loop == p->kernel.v[at].in_loop)) end++;
    int taken = candidate(s, &p->kernel.v[s->order[at]]) ? grow(s, at, end, number) : 0;
    number += taken > 0;
    at += taken ? taken : 1;
  }
  Kernel *sorted = NEWN(l->arena, Kernel, p->kernel.n + 1);
  for (int k = 0; k < p->kernel.n; k++) sorted[k] = p->kernel.v[s->order[k]];
  p->kernel.v = sorted;
  p->kernel.cap = p->kernel.n;
  make_private(p);
}
