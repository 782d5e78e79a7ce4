/* Fusion: decides what is stored (decide.c), then builds the kernels that compute it, from the results backwards. What
   cannot be built as decided is refused, with the fact to learn from it; this file alone owns the facts. Most change
   only decisions from which nothing was built yet, since a value's own kernel comes after those that read it: they are
   amended and building goes on. After the others all is decided and built again.

   Why it ends: a fact about a value is learnt once. A round learns at most one of each kind for each value, and for
   each kernel as many splits and values as it has room for; a new round begins only with a new fact of those that
   last, no home or row by row, two for each value. What must be stored is a fact of the kernels of one round: in
   others it is often computed on the way after all.

   Reductions over one space that read the same large operand share a kernel. */
#include <string.h>

#include "passes/lower/lower.h"

typedef struct {
  ValVec roots;
  int kernel;
  Built built;
} Group;

typedef struct {
  Lower *l;
  const Graph *g;
  Val at; /* the sweep has come to this value */
  VEC(Group) group;
  int *stamp, tick;
} Fuse;

static int64_t count(const Graph *g, Val v) { return shape_count(&g_node(g, v)->shape); }

/* ---- what refusals teach ---- */
static void learn_once(bool *fact, Val v) {
  if (fact[v]) bug("fuse: %%%d teaches nothing new", v);
  fact[v] = true;
}

/* Adds the fact. True when what was decided is amended and building can go on; space: of the kernel that was tried. */
static bool learn(Fuse *f, const Refusal *r, LoopSpace *space) {
  Lower *l = f->l;
  Val v = r->val;
  if (r->kind == MUST_SPLIT) {
    loop_split(space, r);
    return true;
  }
  if (space) space->ndom = space->nroot; /* after other refusals reduced dims are found again */
  switch (r->kind) {
  case COMPUTE_AGAIN: space->again = r->values; return true;
  case MUST_STORE:
    learn_once(l->facts.stored, v);
    decide_stored(l, v, r->why, r->other);
    l->at.home[v] = -1;
    if (v > f->at) f->at = v + 1; /* other roots of a kernel read it: back to it */
    return true;
  case MUST_ROW_MAJOR:
    learn_once(l->facts.row_major, v);
    l->at.block[v] = 0;
    return l->buf[v] < 0; /* else kernels may address it in blocks */
  case NO_HOME:
    learn_once(l->facts.nohome, v);
    l->at.nohome[v] = true;
    l->at.home[v] = -1;
    return true;
  default: return false;
  }
}

static Refusal build_loop(Fuse *f, const Val *roots, int nroots, Built *out) {
  LoopSpace space;
  Refusal r;
  memset(out, 0, sizeof *out);
  loop_space(&g_node(f->g, roots[0])->shape, &space);
  do r = loop_build(f->l, roots, nroots, &space, out);
  while (r.kind != BUILT && learn(f, &r, &space));
  return r;
}

/* ---- kernels of several reductions ---- */
static bool depends(Fuse *f, Val w, Val on) {
  if (w == on) return true;
  if (w < on || f->stamp[w] == f->tick) return false;
  f->stamp[w] = f->tick;
  const Node *x = g_node(f->g, w);
  for (int i = 0; i < x->nin; i++)
    if (depends(f, x->in[i], on)) return true;
  return false;
}

/* What ranks add up of parameters each has a kernel of its own, so that its order is always the same (passes/graph/shard.c). */
static bool stands_alone(const Graph *g, Val v) {
  return g_node(g, v)->op == OP_rank_part && g_node(g, v)->role == ROLE_UPDATE;
}

/* Why the row kernel built alone for r does not join group gr, whose rows come from reductions: WHY_NONE when
   they read nothing large together, WHY_JOINED when it may. */
static Why apart(Fuse *f, const Group *gr, Val r, const Built *alone) {
  const Graph *g = f->g;
  if (gr->built.reduce < 0) return WHY_NONE;
  const Node *xq = g_node(g, gr->built.reduce), *xr = g_node(g, alone->reduce);
  bool share = false;
  for (int i = 0; i < alone->loads.n && !share; i++)
    if (count(g, alone->loads.v[i]) * 2 >= count(g, xr->in[0]) && !stands_alone(g, alone->loads.v[i]))
      for (int j = 0; j < gr->built.loads.n; j++) share |= alone->loads.v[i] == gr->built.loads.v[j];
  if (!share) return WHY_NONE;
  if (!shape_eq(&g_node(g, gr->roots.v[0])->shape, &g_node(g, r)->shape) || xq->op == OP_fold ||
      xr->op == OP_fold || !shape_eq(&g_node(g, xq->in[0])->shape, &g_node(g, xr->in[0])->shape))
    return WHY_APART_SHAPE;
  const Ints *aq = &xq->attr[0], *ar = &xr->attr[0];
  if (aq->n != ar->n || memcmp(aq->v, ar->v, (size_t)aq->n * sizeof *aq->v)) return WHY_APART_AXES;
  if (gr->roots.n >= 8) return WHY_APART_FULL;
  if (f->l->at.nohome[r] || !scan_together(f->l, gr->roots.v[0], r)) return WHY_APART_WAITS;
  f->tick++;
  for (int j = 0; j < gr->built.loads.n; j++)
    if (depends(f, gr->built.loads.v[j], r)) return WHY_APART_WAITS;
  return WHY_JOINED;
}

static void place(Fuse *f, Group *gr, Val root) {
  Lower *l = f->l;
  if (gr->kernel < 0) {
    lower_push(l, &gr->built.kernel, root);
    gr->kernel = l->p->kernel.n - 1;
  } else {
    Kernel old = l->p->kernel.v[gr->kernel];
    Kernel *k = &l->p->kernel.v[gr->kernel];
    *k = gr->built.kernel;
    k->loc = old.loc;
    k->role = old.role;
    k->val = old.val;
    k->in_loop = old.in_loop;
  }
  for (int i = 0; i < gr->built.stores.n; i++) l->kernel_of[gr->built.stores.v[i]] = gr->kernel;
}

/* Builds v's kernel: with those of another group where both read the same, else by itself. */
static Refusal make_loop(Fuse *f, Val v) {
  Lower *l = f->l;
  Group own = {.kernel = -1};
  vec_push(l->arena, &own.roots, v);
  Refusal r = build_loop(f, &v, 1, &own.built);
  if (r.kind == NO_WAY)
    bug("fuse: cannot build a kernel for %%%d (%s)", v, op_table[g_node(f->g, v)->op].name);
  if (r.kind != BUILT) return r;
  Decision no = {.why = WHY_NONE, .val = v};
  for (int i = f->group.n - 1; own.built.reduce >= 0 && i >= 0 && i > f->group.n - 40; i--) {
    Group *gr = &f->group.v[i];
    Why why = apart(f, gr, v, &own.built);
    if (why != WHY_NONE && no.why == WHY_NONE) no = (Decision){why, v, gr->roots.v[0], 0, 0};
    if (why != WHY_JOINED) continue;
    Group both = {.kernel = gr->kernel};
    for (int j = 0; j < gr->roots.n; j++) vec_push(l->arena, &both.roots, gr->roots.v[j]);
    vec_push(l->arena, &both.roots, v);
    r = build_loop(f, both.roots.v, both.roots.n, &both.built);
    if (r.kind == NO_WAY) {
      if (no.why == WHY_JOINED) no.why = WHY_APART_INDEX;
      continue;
    }
    if (r.kind != BUILT) return r;
    no = (Decision){WHY_JOINED, v, gr->roots.v[0], 0, 0};
    vec_push(l->arena, &l->p->decision, no);
    ValVec before = gr->built.stores;
    *gr = both;
    for (int j = 0; j < before.n; j++) l->kernel_of[before.v[j]] = -1;
    place(f, gr, v);
    for (int j = 0; j < before.n; j++) /* stored on the way to a root before, and now no longer */
      if (l->kernel_of[before.v[j]] == -1 && before.v[j] > f->at) f->at = before.v[j] + 1;
    return r;
  }
  if (no.why != WHY_NONE) vec_push(l->arena, &l->p->decision, no);
  place(f, &own, v);
  vec_push(l->arena, &f->group, own);
  return (Refusal){.kind = BUILT};
}

static Refusal make(Fuse *f, Val v) {
  Lower *l = f->l;
  const Node *x = g_node(f->g, v);
  OpKind kind = op_table[x->op].kind;
  if (op_has_kernel(kind)) {
    Refusal r;
    do r = op_lowering(kind)->build(l, v);
    while (r.kind != BUILT && learn(f, &r, NULL));
    return r;
  }
  if (x->op == OP_reshape && l->at.stored[x->in[0]] && !l->at.block[v] && !l->at.block[x->in[0]]) {
    int src = lower_buf(l, x->in[0]), dst = lower_buf(l, v);
    l->p->buf.v[dst].alias = src;
    l->kernel_of[v] = -2;
    return (Refusal){.kind = BUILT};
  }
  return make_loop(f, v);
}

/* Kernels of all that is stored. A value whose home did not reach it gets one of its own. */
static Refusal build(Fuse *f) {
  Lower *l = f->l;
  Refusal r = {.kind = BUILT};
  for (f->at = f->g->node.n - 1; f->at >= 0 && r.kind == BUILT; f->at--) {
    Val v = f->at;
    if (!l->at.stored[v] || l->kernel_of[v] != -1 || g_node(f->g, v)->op == OP_input) continue;
    l->at.home[v] = -1;
    r = make(f, v);
  }
  return r;
}

/* ---- kernels that wait for each other ---- */
typedef VEC(int) IntVec;

typedef struct {
  const Program *p;
  IntVec *readers; /* per root buffer */
} Readers;

static const IntVec *readers_of(const Readers *r, const Kernel *k, int i) {
  return &r->readers[program_root(r->p, k->buf[i])];
}

/* A kernel on a cycle, from k backwards through kernels that are left. */
static int on_cycle(const Readers *r, Arena *a, const int *left, int at, int *pred) {
  int n = r->p->kernel.n;
  bool *seen = NEWN(a, bool, n + 1);
  for (int i = 0; i < n; i++) pred[i] = -1;
  for (int i = 0; i < n; i++) {
    const Kernel *k = &r->p->kernel.v[i];
    for (int j = k->nbuf - k->nout; left[i] && j < k->nbuf; j++) {
      const IntVec *to = readers_of(r, k, j);
      for (int m = 0; m < to->n; m++)
        if (to->v[m] != i && left[to->v[m]]) pred[to->v[m]] = i;
    }
  }
  while (!seen[at] && pred[at] >= 0) {
    seen[at] = true;
    at = pred[at];
  }
  return at;
}

/* A value that a kernel on a cycle, *at, stores on the way, so that it should not. */
static Refusal blame(const Lower *l, int *at, const int *pred) {
  for (int i = 0; i < l->p->kernel.n; i++) {
    const Kernel *k = &l->p->kernel.v[*at];
    for (int j = k->nbuf - k->nout; j < k->nbuf && k->nout > 1; j++) {
      Val v = l->p->buf.v[k->buf[j]].val;
      if (v >= 0 && v != k->val && !l->at.nohome[v]) return (Refusal){.kind = NO_HOME, .val = v};
    }
    *at = pred[*at];
  }
  bug("fuse: kernels form a cycle");
}

/* Learns from every cycle; true when there was one. After each the kernel at fault counts as run, which shows those
   behind it: a long chain of steps has as many as steps, and each would cost a round. */
static bool learn_cycles(Fuse *f) {
  const Lower *l = f->l;
  const Program *p = l->p;
  int n = p->kernel.n, done = 0;
  Arena *a = arena_new();
  Readers r = {p, NEWN(a, IntVec, p->buf.n + 1)};
  int *left = NEWN(a, int, n + 1), *waits = NEWN(a, int, n + 1), *pred = NEWN(a, int, n + 1);
  IntVec ready = {0};
  for (int at = 0; at < n; at++) {
    const Kernel *k = &p->kernel.v[at];
    left[at] = 1;
    for (int i = 0; i < k->nbuf - k->nout; i++) vec_push(a, &r.readers[program_root(p, k->buf[i])], at);
  }
  for (int at = 0; at < n; at++) {
    const Kernel *k = &p->kernel.v[at];
    for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
      const IntVec *to = readers_of(&r, k, i);
      for (int j = 0; j < to->n; j++) waits[to->v[j]] += to->v[j] != at;
    }
  }
  for (int at = 0; at < n; at++)
    if (!waits[at]) vec_push(a, &ready, at);
  bool found = false;
  for (int next = 0;;) {
    while (done < ready.n) {
      int at = ready.v[done++];
      if (!left[at]) continue;
      const Kernel *k = &p->kernel.v[at];
      left[at] = 0;
      for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
        const IntVec *to = readers_of(&r, k, i);
        for (int j = 0; j < to->n; j++)
          if (to->v[j] != at && !--waits[to->v[j]]) vec_push(a, &ready, to->v[j]);
      }
    }
    while (next < n && !left[next]) next++;
    if (next == n) break;
    int at = on_cycle(&r, a, left, next, pred);
    Refusal culprit = blame(l, &at, pred);
    learn(f, &culprit, NULL);
    vec_push(a, &ready, at);
    found = true;
  }
  arena_free(a);
  return found;
}

/* ---- the loop ---- */
static Fuse begin(Lower *l) {
  int n = l->g->node.n;
  memset(&l->p->buf, 0, sizeof l->p->buf);
  memset(&l->p->kernel, 0, sizeof l->p->kernel);
  memset(&l->p->decision, 0, sizeof l->p->decision);
  l->buf = lower_filled(l->arena, n, -1);
  l->kernel_of = lower_filled(l->arena, n, -1);
  l->explained = NEWN(l->arena, bool, n + 1);
  scan_begin(l);
  l->facts.stored = NEWN(l->arena, bool, n + 1);
  return (Fuse){.l = l, .g = l->g, .stamp = NEWN(l->arena, int, n + 1)};
}

void pass_fuse(Lower *l) {
  decide_begin(l);
  for (;;) {
    Fuse f = begin(l);
    decide(l);
    Refusal r = build(&f);
    if (r.kind != BUILT) continue; /* learnt where it was met */
    if (!learn_cycles(&f)) return;
  }
}
