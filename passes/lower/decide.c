/* What is stored: which values get a buffer; everything else is computed inside the kernels that use it. From the
   graph, the layout it should have and the facts learnt so far; nothing is built here.

   One sweep from the results backwards keeps, for every value, the set of roots (stored values) whose kernels
   need it. A value needed by one root is computed there. A value needed by several is either recomputed in
   each or stored: recomputing costs the reads of its inputs in every kernel, storing costs one write and a
   read in each; costly scalar functions are never repeated. A stored value is preferably written by the first
   kernel that computes it on the way (its home). Reductions become sweeps of the consumer's kernel when the
   row is short, or its epilogue partners when the shapes agree. */
#include <string.h>

#include "passes/lower/lower.h"

enum { MAX_K = 12, DEEPEST = 512, FEW_PARTS = 8 };

typedef struct {
  int n; /* MAX_K + 1: many */
  Val v[MAX_K];
} RootSet;

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
} Decide;

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

void decide_stored(Lower *l, Val v, Why why, Val other) {
  l->at.stored[v] = true;
  lower_why(l, v, why, other, 0, 0);
}

static int64_t count(const Graph *g, Val v) { return shape_count(&g_node(g, v)->shape); }
static OpKind kind_of(const Graph *g, Val v) { return op_table[g_node(g, v)->op].kind; }

/* Values that must be in memory whatever fusion decides. */
static void must_store(Decide *f) {
  Lower *l = f->l;
  const Graph *g = f->g;
  for (int v = 0; v < f->n; v++) {
    OpKind kind = kind_of(g, v);
    const OpLowering *own = op_lowering(kind);
    if (kind == KIND_INPUT) l->at.stored[v] = true;
    if (own && own->build) decide_stored(l, v, WHY_OWN_KERNEL, -1);
    if (own) own->needs(l, v);
    const Node *x = g_node(g, v);
    for (int i = 0; i < x->nin && x->op == OP_concat; i++)
      if (g_node(g, x->in[i])->op == OP_concat && g_node(g, x->in[i])->nin > FEW_PARTS)
        decide_stored(l, x->in[i], WHY_PARTS, v);
  }
  scan_needs(l);
  for (int i = 0; i < g->outputs.n; i++) decide_stored(l, g->outputs.v[i].val, WHY_RESULT, -1);
  for (int v = f->n - 1; v >= 0; v--) { /* a stored reshape shares the memory of its operand */
    const Node *x = g_node(g, v);
    if (x->op == OP_reshape && l->at.stored[v] && !l->at.block[v] && !l->at.block[x->in[0]])
      decide_stored(l, x->in[0], WHY_VIEWED, v);
  }
  memcpy(l->at.must, l->at.stored, sizeof(bool) * (size_t)f->n);
}

static void estimate(Decide *f) {
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
            f->l->at.stored[x->in[i]] ||
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
      if (!f->l->at.stored[x->in[i]] && f->depth[x->in[i]] >= f->depth[v])
        f->depth[v] = f->depth[x->in[i]] + 1;
    if (kind != KIND_MAP || f->depth[v] < DEEPEST || f->l->at.stored[v]) continue;
    f->l->at.stored[v] = f->l->at.nohome[v] = true;
    lower_why(f->l, v, WHY_DEEP, -1, DEEPEST, 0);
  }
}

static int64_t row_length(const Graph *g, Val r) { return count(g, g_node(g, r)->in[0]) / count(g, r); }

/* Why reduction r cannot be computed inside the kernel of root h; WHY_NONE: it can. */
static Why not_inline(const Decide *f, Val r, Val h) {
  const Graph *g = f->g;
  OpKind hk = kind_of(g, h);
  if (f->l->facts.stored[r]) return WHY_INDEX;
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

static void decide_one(Decide *f, Val v) {
  Lower *l = f->l;
  const Graph *g = f->g;
  RootSet *s = &f->k[v];
  OpKind kind = kind_of(g, v);
  if (kind == KIND_INPUT || op_has_kernel(kind)) return;
  bool many = s->n > MAX_K;
  Val h = s->n && !many ? first_root(s) : -1;
  Val early = h > f->first_use[v] ? f->first_use[v] : -1; /* a product needs it before */
  if (early >= 0) h = -1;
  bool elsewhere = h >= 0 && !scan_together(l, v, h); /* it may be computed there, but not stored */
  if (kind == KIND_REDUCE || kind == KIND_FOLD) {
    Why why = h >= 0 ? l->at.nohome[v] ? WHY_CYCLE : not_inline(f, v, h) : many ? WHY_MANY : WHY_EARLIER;
    l->at.row_inline[v] = !why;
    if (!why && s->n == 1 && !l->at.stored[v]) return;
    if (!why && elsewhere) why = WHY_LOOP, l->at.row_inline[v] = false;
    l->at.stored[v] = true;
    if (!why) l->at.home[v] = h;
    if (why == WHY_MANY) lower_why(l, v, why, -1, MAX_K, 0);
    else if (why == WHY_LONG_ROW)
      lower_why(l, v, why, h, (double)row_length(g, v), (double)f->cost->fuse_long_row);
    else if (why == WHY_ROWS) lower_why(l, v, why, h, (double)row_length(g, v), (double)count(g, v));
    else if (why) lower_why(l, v, why, h >= 0 ? h : early, 0, 0);
    else lower_why(l, v, WHY_SEVERAL, h, s->n, 0);
    return;
  }
  if (!l->at.stored[v]) {
    const Node *x = g_node(g, v);
    bool widened =
        x->op == OP_cast && dtype_is_narrow(g_node(g, x->in[0])->dt); /* the narrow form is stored */
    if (l->facts.stored[v]) decide_stored(l, v, WHY_INDEX, h);
    if (s->n <= 1 || widened) {
      if (!l->at.stored[v]) return;
    } else {
      float k = (float)s->n, n = f->leaf[v];
      bool costly = f->flops[v] > f->cost->fuse_heavy,
           source = kind == KIND_SOURCE && g_node(g, v)->op != OP_random_bits;
      if (costly || k * n > 1 + k + n) l->at.stored[v] = true;
      if (l->at.stored[v] && !source)
        lower_why(l, v, costly ? WHY_COSTLY : WHY_READS, -1, costly ? f->flops[v] : k, costly ? k : n);
      if (source && !l->facts.stored[v]) l->at.stored[v] = false;
    }
  }
  if (l->at.stored[v] && h >= 0 && !elsewhere && !l->at.nohome[v] && !l->facts.stored[v] &&
      count(g, h) == count(g, v) && (kind_of(g, h) == KIND_MAP || kind_of(g, h) == KIND_VIEW))
    l->at.home[v] = h;
}

static void sweep(Decide *f) {
  Lower *l = f->l;
  const Graph *g = f->g;
  for (int v = f->n - 1; v >= 0; v--) {
    decide_one(f, v);
    const Node *x = g_node(g, v);
    OpKind kind = op_table[x->op].kind;
    bool own = l->at.stored[v] && l->at.home[v] < 0;
    for (int i = 0; i < x->nin; i++) {
      Val u = x->in[i], use = own ? v : l->at.stored[v] ? l->at.home[v] : f->first_use[v];
      if (use < f->first_use[u]) f->first_use[u] = use;
      if (op_has_kernel(kind)) continue; /* it reads buffers */
      if (own) {
        set_add(&f->k[u], v);
      } else if (l->at.stored[v]) { /* computed in its home */
        set_add(&f->k[u], l->at.home[v]);
      } else {
        RootSet *s = &f->k[v];
        for (int j = 0; j < s->n && j < MAX_K; j++) set_add(&f->k[u], s->v[j]);
        if (s->n > MAX_K) f->k[u].n = MAX_K + 1;
      }
    }
  }
  for (int v = 0; v < f->n; v++) /* homes of homes */
    while (l->at.home[v] >= 0 && l->at.home[l->at.home[v]] >= 0) l->at.home[v] = l->at.home[l->at.home[v]];
}

/* Where nothing is known against it, the layout that suits convolutions; must_store clears some. */
static void begin(Lower *l, int n) {
  l->at = (Storage){.stored = NEWN(l->arena, bool, n + 1),
                    .must = NEWN(l->arena, bool, n + 1),
                    .nohome = NEWN(l->arena, bool, n + 1),
                    .row_inline = NEWN(l->arena, bool, n + 1),
                    .block = NEWN(l->arena, int, n + 1),
                    .home = lower_filled(l->arena, n, -1)};
  memcpy(l->at.nohome, l->facts.nohome, sizeof(bool) * (size_t)n);
  for (Val v = 0; v < n; v++) l->at.block[v] = l->facts.row_major[v] ? 0 : l->layout[v];
}

void decide_begin(Lower *l) {
  int n = l->g->node.n;
  l->loops = graph_loops_of(l->g, l->arena);
  l->facts = (Facts){NEWN(l->arena, bool, n + 1), NEWN(l->arena, bool, n + 1), NEWN(l->arena, bool, n + 1)};
  l->explained = NEWN(l->arena, bool, n + 1);
}

void decide(Lower *l) {
  int n = l->g->node.n;
  Decide d = {.l = l,
              .g = l->g,
              .cost = l->p->target.cost,
              .n = n,
              .k = NEWN(l->arena, RootSet, n + 1),
              .first_use = lower_filled(l->arena, n, n),
              .uses = NEWN(l->arena, int, n + 1),
              .leaf = NEWN(l->arena, float, n + 1),
              .flops = NEWN(l->arena, float, n + 1),
              .depth = NEWN(l->arena, int, n + 1)};
  begin(l, n);
  must_store(&d);
  estimate(&d);
  sweep(&d);
}
