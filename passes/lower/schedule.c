/* Order of kernels. First every result and state update gets its buffer: a state is overwritten in place by
   the kernel that computes its new value when all readers of the old value can run before (or are that
   kernel, reading each element where it writes it); otherwise a copy is made in the commit section. Then a
   topological order that follows the graph's own order, states last. */
#include <string.h>

#include "passes/lower/lower.h"

typedef VEC(int) IntVec;

typedef struct {
  Lower *l;
  Program *p;
  IntVec *readers; /* per root buffer: kernels */
  IntVec *writers;
  IntVec *succ; /* extra order edges, per kernel */
  int cap;
  int *mark, tick;
} Sched;

static void note_kernel(Sched *s, int at) {
  Kernel *k = &s->p->kernel.v[at];
  for (int i = 0; i < k->nbuf; i++) {
    IntVec *v = i >= k->nbuf - k->nout ? &s->writers[program_root(s->p, k->buf[i])]
                                       : &s->readers[program_root(s->p, k->buf[i])];
    vec_push(s->l->arena, v, at);
  }
}

/* Must `to` run behind `from`? Loops run as a whole: what waits for one of their kernels waits for all of them. */
static bool reaches(Sched *s, int from, int to) {
  if (from == to) return true;
  if (s->mark[from] == s->tick) return false;
  s->mark[from] = s->tick;
  const Program *p = s->p;
  const Kernel *k = &p->kernel.v[from];
  int whole = 0;
  for (int l = k->in_loop; l; l = p->loop.v[l - 1].parent)
    if (!program_in_loop(p, p->kernel.v[to].in_loop, l)) whole = l;
  for (int at = 0; whole && at < p->kernel.n; at++)
    if (program_in_loop(p, p->kernel.v[at].in_loop, whole) && reaches(s, at, to)) return true;
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const IntVec *r = &s->readers[program_root(s->p, k->buf[i])];
    for (int j = 0; j < r->n; j++)
      if (reaches(s, r->v[j], to)) return true;
  }
  for (int j = 0; j < s->succ[from].n; j++)
    if (reaches(s, s->succ[from].v[j], to)) return true;
  return false;
}

static void append_copy(Sched *s, int src, int dst, int like, bool commit) {
  Kernel k = loop_copy(s->l, src, dst);
  const Kernel *from = like >= 0 ? &s->p->kernel.v[like] : NULL;
  Val v = s->p->buf.v[src].val;
  k.loc = from ? from->loc : v >= 0 ? g_node(s->l->g, v)->loc : NULL;
  k.role = from ? from->role : ROLE_UPDATE;
  k.val = v;
  k.commit = commit;
  vec_push(s->l->arena, &s->p->kernel, k);
  note_kernel(s, s->p->kernel.n - 1);
}

static void assign_state(Sched *s, const Output *o, int vb) {
  Lower *l = s->l;
  Program *p = s->p;
  int sb = lower_buf(l, l->g->inputs.v[o->state].val);
  if (sb == vb) return; /* unchanged */
  int at = l->kernel_of[o->val];
  Buf *b = &p->buf.v[vb];
  bool ok = at >= 0 && b->kind == BUF_TEMP && b->alias < 0 && b->within < 0 && b->block == 0;
  if (ok) { /* nothing may alias the value's buffer yet, and every other reader must be able to run first */
    Kernel *k = &p->kernel.v[at];
    for (int i = 0; i < s->readers[sb].n && ok; i++) {
      int r = s->readers[sb].v[i];
      if (r == at) {
        ok = kernel_reads_in_place(p, k, sb, vb);
      } else {
        s->tick++;
        ok = !reaches(s, at, r);
      }
    }
  }
  if (!ok) {
    Buf fresh =
        p->buf.v[sb]; /* a number of its own for the new value, so that readers of the old one stay apart */
    vec_push(l->arena, &p->buf, fresh);
    append_copy(s, vb, p->buf.n - 1, at, true);
    int c = p->kernel.n - 1;
    for (int i = 0; i < s->readers[sb].n; i++)
      if (s->readers[sb].v[i] != c) vec_push(l->arena, &s->succ[s->readers[sb].v[i]], c);
    return;
  }
  for (int i = 0; i < s->readers[sb].n; i++)
    if (s->readers[sb].v[i] != at) vec_push(l->arena, &s->succ[s->readers[sb].v[i]], at);
  p->buf.v[vb].kind = BUF_INPUT;
  p->buf.v[vb].input = o->state;
  p->kernel.v[at].commit = true;
}

static bool is_updated(const Graph *g, int input) {
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].state == input) return true;
  return false;
}

/* The buffer of a state's new value. What another state was is saved before any is overwritten. */
static int new_value(Sched *s, const Output *o) {
  Program *p = s->p;
  int b = lower_buf(s->l, o->val), root = program_root(p, b), input = p->buf.v[root].input;
  if (p->buf.v[root].kind != BUF_INPUT || input == o->state || !is_updated(s->l->g, input)) return b;
  Buf saved = p->buf.v[b];
  saved.kind = BUF_TEMP;
  saved.input = saved.alias = saved.within = -1;
  saved.at = 0;
  vec_push(s->l->arena, &p->buf, saved);
  append_copy(s, b, p->buf.n - 1, -1, false);
  return p->buf.n - 1;
}

static void assign_result(Sched *s, const Output *o, int number) {
  Lower *l = s->l;
  Program *p = s->p;
  int vb = lower_buf(l, o->val);
  const Buf *b = &p->buf.v[vb];
  if (b->kind == BUF_TEMP && b->alias < 0 && b->within < 0 && b->block == 0) {
    p->buf.v[vb].kind = BUF_RESULT;
    p->buf.v[vb].result = number;
    return;
  }
  Buf r = *b;
  r.kind = BUF_RESULT;
  r.result = number;
  r.alias = r.within = r.input = -1;
  r.block = 0;
  r.at = 0;
  vec_push(l->arena, &p->buf, r);
  append_copy(s, vb, p->buf.n - 1, l->kernel_of[o->val], false);
}

static void pull(bool *commit, Sched *s, int at) {
  if (commit[at]) return;
  commit[at] = true;
  const Kernel *k = &s->p->kernel.v[at];
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const IntVec *r = &s->readers[program_root(s->p, k->buf[i])];
    for (int j = 0; j < r->n; j++) pull(commit, s, r->v[j]);
  }
  for (int j = 0; j < s->succ[at].n; j++) pull(commit, s, s->succ[at].v[j]);
}

/* Bytes that would be kept longer if k ran after all kernels of a lower key than `due`: operands without a
   later reader. */
static int64_t held_until(const Sched *s, int at, const int64_t *key, int64_t due) {
  const Kernel *k = &s->p->kernel.v[at];
  int64_t held = 0;
  for (int i = 0; i < k->nbuf - k->nout; i++) {
    int root = program_root(s->p, k->buf[i]);
    const IntVec *r = &s->readers[root];
    bool anyway = s->p->buf.v[root].kind != BUF_TEMP;
    for (int j = 0; j < r->n && !anyway; j++) anyway = r->v[j] != at && key[r->v[j]] > due;
    if (!anyway) held += s->p->buf.v[root].bytes;
  }
  return held;
}

/* The lowest key of the kernels that must follow k. */
static int64_t first_reader(const Sched *s, int at, const int64_t *key) {
  const Kernel *k = &s->p->kernel.v[at];
  int64_t due = INT64_MAX;
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const IntVec *r = &s->readers[program_root(s->p, k->buf[i])];
    for (int j = 0; j < r->n; j++)
      if (r->v[j] != at && key[r->v[j]] < due) due = key[r->v[j]];
  }
  for (int j = 0; j < s->succ[at].n; j++)
    if (key[s->succ[at].v[j]] < due) due = key[s->succ[at].v[j]];
  return due;
}

/* Of the kernels that can run, the one of the lowest key does: the graph's order. Under a byte budget a
   kernel waits for its first reader where that keeps no more in memory, small operands aside, than its
   results take: a weight gradient, which ends the life of an activation, then comes before the input
   gradient. */
static const int64_t *keys(Sched *s) {
  Program *p = s->p;
  int n = p->kernel.n;
  int64_t *key = NEWN(s->l->arena, int64_t, n + 1);
  for (int at = 0; at < n; at++) key[at] = 2 * (int64_t)p->kernel.v[at].val;
  if (!s->l->opt.lean) return key;
  int *order = NEWN(s->l->arena, int, n + 1);
  for (int at = 0; at < n; at++) {
    int j = at;
    for (; j > 0 && key[order[j - 1]] < key[at]; j--) order[j] = order[j - 1];
    order[j] = at;
  }
  for (int i = 0; i < n; i++) { /* readers first */
    int at = order[i];
    const Kernel *k = &p->kernel.v[at];
    int64_t due = first_reader(s, at, key), made = 0;
    for (int j = k->nbuf - k->nout; j < k->nbuf; j++) made += p->buf.v[k->buf[j]].bytes;
    if (!k->commit && due < INT64_MAX && due > key[at] && held_until(s, at, key, due) <= made + made / 8)
      key[at] = due - 1;
  }
  return key;
}

/* ---- out of loops ---- */
/* Does kernel k do the same in every step of its loop? It reads nothing that is written there or moves with it, and
   keeps its results: packed weights, for instance. written: per root buffer. */
static bool is_invariant(const Program *p, const Kernel *k, const bool *written) {
  for (int i = 0; i < k->nbuf; i++) {
    bool out = i >= k->nbuf - k->nout;
    for (int b = k->buf[i]; b >= 0; b = p->buf.v[b].alias)
      if (p->buf.v[b].loop && program_in_loop(p, k->in_loop, p->buf.v[b].loop)) return false;
    int root = program_root(p, k->buf[i]);
    if (out ? p->buf.v[root].kind != BUF_TEMP || program_memory(p, root) != root : written[root])
      return false;
  }
  return !kernel_keeps_order(k);
}

static void hoist(const Program *p) {
  Arena *a = arena_new();
  bool *written = NEWN(a, bool, p->buf.n + 1);
  for (int l = p->loop.n; l > 0; l--) /* inner loops first */
    for (bool again = true; again;) {
      again = false;
      memset(written, 0, sizeof *written * (size_t)p->buf.n);
      for (int at = 0; at < p->kernel.n; at++) {
        const Kernel *k = &p->kernel.v[at];
        for (int i = k->nbuf - k->nout; i < k->nbuf && program_in_loop(p, k->in_loop, l); i++)
          written[program_root(p, k->buf[i])] = true;
      }
      for (int at = 0; at < p->kernel.n; at++) {
        Kernel *k = &p->kernel.v[at];
        if (k->in_loop != l || !is_invariant(p, k, written)) continue;
        k->in_loop = p->loop.v[l - 1].parent;
        again = true;
      }
    }
  arena_free(a);
}

/* ---- the order ---- */
/* Loops are run as a whole: when a kernel of one is next, all of the others' operands from outside must be there, and
   the loop's other kernels follow it. */
typedef struct {
  Sched *s;
  int *npred;   /* per kernel */
  int *outside; /* per loop: edges into it from kernels that are left */
  int *left;    /* per loop: kernels */
  int open;     /* the innermost loop under way, 0 none */
} Order;

static void edge(Order *o, int from, int to, int by) {
  const Program *p = o->s->p;
  if (from == to) return;
  o->npred[to] += by;
  for (int l = p->kernel.v[to].in_loop; l && !program_in_loop(p, p->kernel.v[from].in_loop, l);
       l = p->loop.v[l - 1].parent)
    o->outside[l] += by;
}

static void edges_of(Order *o, int at, int by) {
  const Sched *s = o->s;
  const Kernel *k = &s->p->kernel.v[at];
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const IntVec *r = &s->readers[program_root(s->p, k->buf[i])];
    for (int j = 0; j < r->n; j++) edge(o, at, r->v[j], by);
  }
  for (int j = 0; j < s->succ[at].n; j++) edge(o, at, s->succ[at].v[j], by);
}

static bool is_ready(const Order *o, int at) {
  const Program *p = o->s->p;
  if (o->npred[at] || !program_in_loop(p, p->kernel.v[at].in_loop, o->open)) return false;
  for (int l = p->kernel.v[at].in_loop; l != o->open; l = p->loop.v[l - 1].parent)
    if (o->outside[l]) return false;
  return true;
}

/* All kernels of a loop store states when one does. */
static void commit_loops(const Program *p, bool *commit) {
  for (int at = 0; at < p->kernel.n; at++) {
    int l = commit[at] ? program_loop_below(p, at, 0) : 0;
    for (int k = 0; l && k < p->kernel.n; k++) commit[k] |= program_in_loop(p, p->kernel.v[k].in_loop, l);
  }
}

/* Kernels in the order in which they run; sets p->ncompute. */
static int *in_order(Sched *s, bool *commit) {
  Program *p = s->p;
  int n = p->kernel.n, loops = p->loop.n, done = 0;
  Arena *a = s->l->arena;
  Order o = {.s = s,
             .npred = NEWN(a, int, n + 1),
             .outside = NEWN(a, int, loops + 1),
             .left = NEWN(a, int, loops + 1)};
  bool *placed = NEWN(a, bool, n + 1);
  int *order = NEWN(a, int, n + 1);
  commit_loops(p, commit);
  for (int at = 0; at < n; at++) {
    edges_of(&o, at, 1);
    for (int l = p->kernel.v[at].in_loop; l; l = p->loop.v[l - 1].parent) o.left[l]++;
  }
  const int64_t *key = keys(s);
  p->ncompute = n;
  while (done < n) {
    int best = -1;
    for (int at = 0; at < n; at++) {
      if (placed[at] || !is_ready(&o, at)) continue;
      if (best < 0 || (commit[at] != commit[best] ? commit[best] : key[at] < key[best])) best = at;
    }
    if (best < 0) bug("schedule: kernels form a cycle");
    if (commit[best] && p->ncompute == n) p->ncompute = done;
    order[done++] = best;
    placed[best] = true;
    edges_of(&o, best, -1);
    o.open = p->kernel.v[best].in_loop;
    for (int l = o.open; l; l = p->loop.v[l - 1].parent) o.left[l]--;
    while (o.open && !o.left[o.open]) o.open = p->loop.v[o.open - 1].parent;
  }
  return order;
}

void pass_schedule(Lower *l) {
  Program *p = l->p;
  const Graph *g = l->g;
  Sched *s = NEW(l->arena, Sched);
  s->l = l;
  s->p = p;
  hoist(p);
  for (int i = 0; i < g->outputs.n; i++) lower_buf(l, g->outputs.v[i].val);
  for (int i = 0; i < g->inputs.n; i++) lower_buf(l, g->inputs.v[i].val);
  int nb = p->buf.n + 2 * g->outputs.n + 8, nk = p->kernel.n + 2 * g->outputs.n + 8;
  s->readers = NEWN(l->arena, IntVec, nb);
  s->writers = NEWN(l->arena, IntVec, nb);
  s->succ = NEWN(l->arena, IntVec, nk);
  s->mark = NEWN(l->arena, int, nk);
  for (int at = 0; at < p->kernel.n; at++) note_kernel(s, at);
  int *value = NEWN(l->arena, int, g->outputs.n + 1);
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].state >= 0) value[i] = new_value(s, &g->outputs.v[i]);
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].state >= 0) assign_state(s, &g->outputs.v[i], value[i]);
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.v[i].state < 0) assign_result(s, &g->outputs.v[i], i);

  int n = p->kernel.n;
  bool *commit = NEWN(l->arena, bool, n);
  for (int at = 0; at < n; at++)
    if (p->kernel.v[at].commit) pull(commit, s, at);
  int *order = in_order(s, commit);
  Kernel *sorted = NEWN(l->arena, Kernel, n);
  for (int i = 0; i < n; i++) {
    sorted[i] = p->kernel.v[order[i]];
    sorted[i].commit = i >= p->ncompute;
  }
  p->kernel.v = sorted;
  p->kernel.cap = n;
}
