/* Fusion: decides which values get a buffer; everything else is computed inside the kernels that use it.

   One sweep from the results backwards keeps, for every value, the set of roots (stored values) whose kernels
   need it. A value needed by one root is computed there. A value needed by several is either recomputed in
   each or stored: recomputing costs the reads of its inputs in every kernel, storing costs one write and a
   read in each; costly scalar functions are never repeated. A stored value is preferably written by the first
   kernel that computes it on the way (its home). Reductions become sweeps of the consumer's kernel when the
   row is short, or its epilogue partners when the shapes agree; reductions over one space that read the same
   large operand share a kernel. */
#include <string.h>

#include "passes/lower/lower.h"

enum { MAX_K = 12, DEEPEST = 512 };

typedef struct {
  int n; /* MAX_K + 1: many */
  Val v[MAX_K];
} RootSet;

typedef struct {
  ValVec roots;
  int kernel;
  Built built;
} Group;

typedef struct {
  Lower *l;
  const Graph *g;
  const CostModel *cost;
  int n;
  RootSet *k;
  Val *first_use; /* earliest kernel that needs the value, contractions included */
  int *uses;
  float *leaf;  /* large operands read an element when computed in place */
  float *flops; /* operations an element when computed in place */
  int *depth;   /* operators on the way to something in memory */
  VEC(Group) group;
  int *stamp, tick;
} Fuse;

static void set_add(RootSet *s, Val v) {
  for (int i = 0; i < s->n && i < MAX_K; i++)
    if (s->v[i] == v) return;
  if (s->n < MAX_K) s->v[s->n++] = v;
  else s->n = MAX_K + 1;
}

void lower_why(Lower *l, Val v, Why why, Val other, double a, double b) {
  if (l->explained[v]) return;
  l->explained[v] = true;
  Decision d = {why, v, other, a, b};
  vec_push(l->arena, &l->p->decision, d);
}

static void store_because(Lower *l, Val v, Why why, Val other) {
  l->stored[v] = true;
  lower_why(l, v, why, other, 0, 0);
}

static int64_t count(const Graph *g, Val v) { return shape_count(&g_node(g, v)->shape); }
static OpKind kind_of(const Graph *g, Val v) { return op_table[g_node(g, v)->op].kind; }

/* Values that must be in memory whatever fusion decides. */
static void must_store(Fuse *f) {
  Lower *l = f->l;
  const Graph *g = f->g;
  for (int v = 0; v < f->n; v++) {
    const Node *x = g_node(g, v);
    switch (op_table[x->op].kind) {
    case KIND_INPUT: l->stored[v] = true; break;
    case KIND_CONV:
      store_because(l, v, WHY_OWN_KERNEL, -1);
      for (int i = 0; i < 2; i++) store_because(l, x->in[i], WHY_OPERAND, v);
      l->block[x->op == OP_conv2d_dw ? v : x->in[1]] = 0;
      break;
    case KIND_SCATTER:
      store_because(l, v, WHY_OWN_KERNEL, -1);
      for (int i = 0; i < 2; i++) store_because(l, x->in[i], WHY_OPERAND, v);
      l->block[v] = l->block[x->in[0]] = l->block[x->in[1]] = 0;
      break;
    case KIND_EXTERN:
      store_because(l, v, WHY_OWN_KERNEL, -1);
      l->block[v] = 0;
      for (int i = 0; i < x->nin; i++) {
        store_because(l, x->in[i], WHY_OPERAND, v);
        l->block[x->in[i]] = 0;
      }
      break;
    case KIND_GATHER:
      store_because(l, x->in[0], WHY_GATHERED, v);
      l->block[x->in[0]] = 0;
      l->nohome[x->in[0]] = true; /* a gather reads other elements than its kernel has computed so far */
      break;
    case KIND_DOT:
      store_because(l, v, WHY_OWN_KERNEL, -1);
      l->block[v] = 0;
      for (int i = 0; i < 2; i++) {
        Val base;
        if (!dot_operand_base(l, v, i, &base)) base = x->in[i];
        store_because(l, base, WHY_OPERAND, v);
        l->block[base] = 0;
      }
      break;
    default: break;
    }
  }
  for (int i = 0; i < g->outputs.n; i++) store_because(l, g->outputs.v[i].val, WHY_RESULT, -1);
  for (int v = f->n - 1; v >= 0; v--) { /* a stored reshape shares the memory of its operand */
    const Node *x = g_node(g, v);
    if (x->op == OP_reshape && l->stored[v] && !l->block[v] && !l->block[x->in[0]])
      store_because(l, x->in[0], WHY_VIEWED, v);
  }
  memcpy(l->must, l->stored, sizeof(bool) * (size_t)f->n);
}

static void estimate(Fuse *f) {
  const Graph *g = f->g;
  for (int v = 0; v < f->n; v++) {
    const Node *x = g_node(g, v);
    for (int i = 0; i < x->nin; i++) f->uses[x->in[i]]++;
  }
  for (int v = 0; v < f->n; v++) {
    const Node *x = g_node(g, v);
    OpKind kind = op_table[x->op].kind;
    float leaf = 0, fl = 0;
    if (kind == KIND_MAP || kind == KIND_VIEW || kind == KIND_SOURCE || kind == KIND_GATHER) {
      fl = (float)op_table[x->op].flops + (x->op == OP_random_bits ? 100 : 0);
      for (int i = 0; i < x->nin; i++) {
        double ratio = (double)count(g, x->in[i]) / (double)count(g, v);
        bool kept =
            f->l->stored[x->in[i]] ||
            (f->uses[x->in[i]] > 1 && (f->leaf[x->in[i]] > 2 || f->flops[x->in[i]] > f->cost->fuse_heavy));
        float big = ratio >= 0.25;
        leaf += (kept ? 1 : f->leaf[x->in[i]]) * big;
        fl += (kept ? 0 : f->flops[x->in[i]]) * (float)(ratio < 1 ? ratio : 1);
      }
    } else {
      leaf = 1;
    }
    f->leaf[v] = leaf;
    f->flops[v] = fl;
    for (int i = 0; i < x->nin; i++)
      if (!f->l->stored[x->in[i]] && f->depth[x->in[i]] >= f->depth[v]) f->depth[v] = f->depth[x->in[i]] + 1;
    if (kind != KIND_MAP || f->depth[v] < DEEPEST || f->l->stored[v]) continue;
    f->l->stored[v] = f->l->nohome[v] = true;
    lower_why(f->l, v, WHY_DEEP, -1, DEEPEST, 0);
  }
}

static int64_t row_length(const Graph *g, Val r) { return count(g, g_node(g, r)->in[0]) / count(g, r); }

/* Why reduction r cannot be computed inside the kernel of root h; WHY_NONE: it can. */
static Why not_inline(const Fuse *f, Val r, Val h) {
  const Graph *g = f->g;
  OpKind hk = kind_of(g, h);
  if (f->l->noinline[r]) return WHY_INDEX;
  if (hk != KIND_MAP && hk != KIND_VIEW && hk != KIND_REDUCE) return WHY_READER;
  if (hk != KIND_REDUCE && count(g, h) == count(g, r)) return WHY_NONE; /* row epilogue */
  if (kind_of(g, r) == KIND_FOLD) return WHY_FOLD;
  if (row_length(g, r) > f->cost->fuse_long_row) return WHY_LONG_ROW;
  bool fits = hk == KIND_REDUCE ? count(g, h) == count(g, r) && row_length(g, h) == row_length(g, r)
                                : count(g, h) == count(g, g_node(g, r)->in[0]);
  return fits ? WHY_NONE : WHY_ROWS;
}

static Val first_root(const RootSet *s) {
  Val m = s->v[0];
  for (int i = 1; i < s->n && i < MAX_K; i++)
    if (s->v[i] < m) m = s->v[i];
  return m;
}

static void decide_one(Fuse *f, Val v) {
  Lower *l = f->l;
  const Graph *g = f->g;
  RootSet *s = &f->k[v];
  OpKind kind = kind_of(g, v);
  if (kind == KIND_INPUT || kind == KIND_DOT || kind == KIND_CONV || kind == KIND_SCATTER ||
      kind == KIND_EXTERN)
    return;
  bool many = s->n > MAX_K;
  Val h = s->n && !many ? first_root(s) : -1;
  Val early = h > f->first_use[v] ? f->first_use[v] : -1; /* a product needs it before */
  if (early >= 0) h = -1;
  if (kind == KIND_REDUCE || kind == KIND_FOLD) {
    Why why = h >= 0 ? l->nohome[v] ? WHY_CYCLE : not_inline(f, v, h) : many ? WHY_MANY : WHY_EARLIER;
    l->row_inline[v] = !why;
    if (!why && s->n == 1 && !l->stored[v]) return;
    l->stored[v] = true;
    if (!why) l->home[v] = h;
    if (why == WHY_MANY) lower_why(l, v, why, -1, MAX_K, 0);
    else if (why == WHY_LONG_ROW)
      lower_why(l, v, why, h, (double)row_length(g, v), (double)f->cost->fuse_long_row);
    else if (why == WHY_ROWS) lower_why(l, v, why, h, (double)row_length(g, v), (double)count(g, v));
    else if (why) lower_why(l, v, why, h >= 0 ? h : early, 0, 0);
    else lower_why(l, v, WHY_SEVERAL, h, s->n, 0);
    return;
  }
  if (!l->stored[v]) {
    const Node *x = g_node(g, v);
    bool widened = x->op == OP_cast && g_node(g, x->in[0])->dt == DT_BF16; /* the narrow form is stored */
    if (l->noinline[v]) store_because(l, v, WHY_INDEX, h);
    if (s->n <= 1 || widened) {
      if (!l->stored[v]) return;
    } else {
      float k = (float)s->n, n = f->leaf[v];
      bool costly = f->flops[v] > f->cost->fuse_heavy,
           source = kind == KIND_SOURCE && g_node(g, v)->op != OP_random_bits;
      if (costly || k * n > 1 + k + n) l->stored[v] = true;
      if (l->stored[v] && !source)
        lower_why(l, v, costly ? WHY_COSTLY : WHY_READS, -1, costly ? f->flops[v] : k, costly ? k : n);
      if (kind == KIND_SOURCE && g_node(g, v)->op != OP_random_bits) l->stored[v] = false;
    }
  }
  if (l->stored[v] && h >= 0 && !l->nohome[v] && !l->noinline[v] && count(g, h) == count(g, v) &&
      (kind_of(g, h) == KIND_MAP || kind_of(g, h) == KIND_VIEW))
    l->home[v] = h;
}

static void decide(Fuse *f) {
  Lower *l = f->l;
  const Graph *g = f->g;
  for (int v = f->n - 1; v >= 0; v--) {
    decide_one(f, v);
    const Node *x = g_node(g, v);
    OpKind kind = op_table[x->op].kind;
    bool own = l->stored[v] && l->home[v] < 0;
    for (int i = 0; i < x->nin; i++) {
      Val u = x->in[i], use = own ? v : l->stored[v] ? l->home[v] : f->first_use[v];
      if (use < f->first_use[u]) f->first_use[u] = use;
      if (kind == KIND_DOT || kind == KIND_CONV || kind == KIND_SCATTER || kind == KIND_EXTERN)
        continue; /* they read buffers */
      if (own) {
        set_add(&f->k[u], v);
      } else if (l->stored[v]) { /* computed in its home */
        set_add(&f->k[u], l->home[v]);
      } else {
        RootSet *s = &f->k[v];
        for (int j = 0; j < s->n && j < MAX_K; j++) set_add(&f->k[u], s->v[j]);
        if (s->n > MAX_K) f->k[u].n = MAX_K + 1;
      }
    }
  }
  for (int v = 0; v < f->n; v++) /* homes of homes */
    while (l->home[v] >= 0 && l->home[l->home[v]] >= 0) l->home[v] = l->home[l->home[v]];
}

static bool depends(Fuse *f, Val w, Val on) {
  if (w == on) return true;
  if (w < on || f->stamp[w] == f->tick) return false;
  f->stamp[w] = f->tick;
  const Node *x = g_node(f->g, w);
  for (int i = 0; i < x->nin; i++)
    if (depends(f, x->in[i], on)) return true;
  return false;
}

/* Why the row kernel built alone for r does not join group gr, whose rows come from reductions: WHY_NONE when
   they read nothing large together, WHY_JOINED when it may. */
static Why apart(Fuse *f, const Group *gr, Val r, const Built *alone) {
  const Graph *g = f->g;
  if (gr->built.reduce < 0) return WHY_NONE;
  const Node *xq = g_node(g, gr->built.reduce), *xr = g_node(g, alone->reduce);
  bool share = false;
  for (int i = 0; i < alone->loads.n && !share; i++)
    if (count(g, alone->loads.v[i]) * 2 >= count(g, xr->in[0]))
      for (int j = 0; j < gr->built.loads.n; j++) share |= alone->loads.v[i] == gr->built.loads.v[j];
  if (!share) return WHY_NONE;
  if (!shape_eq(&g_node(g, gr->roots.v[0])->shape, &g_node(g, r)->shape) || xq->op == OP_fold ||
      xr->op == OP_fold || !shape_eq(&g_node(g, xq->in[0])->shape, &g_node(g, xr->in[0])->shape))
    return WHY_APART_SHAPE;
  if (memcmp(&xq->attr[0], &xr->attr[0], sizeof(Ints))) return WHY_APART_AXES;
  if (gr->roots.n >= 8) return WHY_APART_FULL;
  if (f->l->nohome[r]) return WHY_APART_WAITS;
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
  }
  for (int i = 0; i < gr->built.stores.n; i++) l->kernel_of[gr->built.stores.v[i]] = gr->kernel;
}

static void make_loop(Fuse *f, Val v) {
  Lower *l = f->l;
  Built alone;
  memset(&alone, 0, sizeof alone);
  if (!loop_build(l, &v, 1, &alone))
    bug("fuse: cannot build a kernel for %%%d (%s)", v, op_table[g_node(f->g, v)->op].name);
  Decision no = {.why = WHY_NONE, .val = v};
  if (alone.reduce >= 0)
    for (int i = f->group.n - 1; i >= 0 && i > f->group.n - 40; i--) {
      Group *gr = &f->group.v[i];
      Why why = apart(f, gr, v, &alone);
      if (why != WHY_NONE && no.why == WHY_NONE) no = (Decision){why, v, gr->roots.v[0], 0, 0};
      if (why != WHY_JOINED) continue;
      Group tryg = *gr;
      memset(&tryg.roots, 0, sizeof tryg.roots);
      memset(&tryg.built, 0, sizeof tryg.built);
      for (int j = 0; j < gr->roots.n; j++) vec_push(l->arena, &tryg.roots, gr->roots.v[j]);
      vec_push(l->arena, &tryg.roots, v);
      if (!loop_build(l, tryg.roots.v, tryg.roots.n, &tryg.built)) {
        if (no.why == WHY_JOINED) no.why = WHY_APART_INDEX;
        continue;
      }
      no = (Decision){WHY_JOINED, v, gr->roots.v[0], 0, 0};
      vec_push(l->arena, &l->p->decision, no);
      f->group.v[i] = tryg;
      place(f, &f->group.v[i], v);
      return;
    }
  if (no.why != WHY_NONE) vec_push(l->arena, &l->p->decision, no);
  Group gr;
  memset(&gr, 0, sizeof gr);
  vec_push(l->arena, &gr.roots, v);
  gr.kernel = -1;
  gr.built = alone;
  vec_push(l->arena, &f->group, gr);
  place(f, &f->group.v[f->group.n - 1], v);
}

static void make(Fuse *f, Val v) {
  Lower *l = f->l;
  const Node *x = g_node(f->g, v);
  switch (op_table[x->op].kind) {
  case KIND_INPUT: return;
  case KIND_DOT: lower_dot(l, v); return;
  case KIND_CONV: lower_conv(l, v); return;
  case KIND_SCATTER: lower_scatter(l, v); return;
  case KIND_EXTERN: lower_extern(l, v); return;
  default: break;
  }
  if (x->op == OP_reshape && l->stored[x->in[0]] && !l->block[v] && !l->block[x->in[0]]) {
    int src = lower_buf(l, x->in[0]), dst = lower_buf(l, v);
    l->p->buf.v[dst].alias = src;
    l->kernel_of[v] = -2;
    return;
  }
  make_loop(f, v);
}

void fuse(Lower *l) {
  Fuse *f = NEW(l->arena, Fuse);
  f->l = l;
  f->g = l->g;
  f->cost = l->p->target.cost;
  f->n = l->g->node.n;
  f->k = NEWN(l->arena, RootSet, f->n);
  f->uses = NEWN(l->arena, int, f->n);
  f->first_use = NEWN(l->arena, Val, f->n);
  for (int v = 0; v < f->n; v++) f->first_use[v] = f->n;
  f->leaf = NEWN(l->arena, float, f->n);
  f->flops = NEWN(l->arena, float, f->n);
  f->depth = NEWN(l->arena, int, f->n);
  f->stamp = NEWN(l->arena, int, f->n);
  must_store(f);
  estimate(f);
  decide(f);
  for (bool again = true;
       again;) { /* building can store more values, always earlier ones; usually one round */
    again = false;
    for (int v = f->n - 1; v >= 0; v--)
      if (l->stored[v] && l->kernel_of[v] == -1 && kind_of(f->g, v) != KIND_INPUT) {
        /* a value whose home did not reach it gets a kernel of its own */
        if (l->home[v] >= 0 && l->kernel_of[l->home[v]] == -1) continue;
        l->home[v] = -1;
        make(f, v);
        again = true;
      }
  }
}
