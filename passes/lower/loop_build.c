/* Builds one loop kernel from graph values: index maps are composed through views down to stored operands,
   loop dims are split on demand until every div/mod is affine, reductions become sweeps, then dims are
   ordered, merged and one is chosen for vectors. */
#include <string.h>

#include "passes/lower/loop_build.h"

static void *keep(Arena *a, const void *p, size_t n) {
  void *q = arena_alloc(a, n);
  if (n) memcpy(q, p, n);
  return q;
}

/* What code generation has to do for an instruction, in operations. A reduction has what it depends on computed once
   more, in a sweep of its own. */
static int work_of(const Build *b, const KInst *in) {
  switch (in->kind) {
  case KI_MAP: return op_table[in->op].flops > 1 ? (int)op_table[in->op].flops : 1;
  case KI_LOAD:
  case KI_GUARD: return 1 + in->access->nguard + in->access->nquot;
  case KI_RANDOM: return 100;
  case KI_REDUCE: return b->inst.n;
  default: return 1;
  }
}

int lb_emit(Build *b, KInst in) {
  b->work += work_of(b, &in);
  vec_push(b->a, &b->inst, in);
  return b->inst.n - 1;
}

KInst lb_inst0(KInstKind kind, DType dt, Val v) {
  KInst k;
  memset(&k, 0, sizeof k);
  k.kind = kind;
  k.dt = dt;
  k.arg[0] = k.arg[1] = k.arg[2] = -1;
  k.val = v;
  return k;
}

int lb_emit_imm(Build *b, DType dt, Imm x, Val v) {
  KInst k = lb_inst0(KI_IMM, dt, v);
  k.imm = x;
  return lb_emit(b, k);
}

int lb_emit_map(Build *b, OpId op, DType dt, int x, int y, int z, Val v) {
  KInst k = lb_inst0(KI_MAP, dt, v);
  k.op = op;
  k.arg[0] = x;
  k.arg[1] = y;
  k.arg[2] = z;
  return lb_emit(b, k);
}

static int lb_operand(Build *b, int buf) {
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

Access *lb_access_new(Build *b, int buf, const Ix *off, const Map *m, Imm fill) {
  Access *x = NEW(b->a, Access);
  x->buf = buf < 0 ? -1 : lb_operand(b, buf);
  x->off = off->a;
  x->nquot = off->nq;
  x->quot =
      keep(b->a, off->q, sizeof(Quot) * (size_t)off->nq); /* own copies: finishing renumbers dims in place */
  x->nguard = m->ng;
  x->guard = keep(b->a, m->g, sizeof(Guard) * (size_t)m->ng);
  x->fill = fill;
  x->dyn = -1;
  return x;
}

static bool among(const ValVec *s, Val v) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == v) return true;
  return false;
}

int lb_load(Build *b, Val v, const Map *m, Imm fill, const Ix *linear) {
  Lower *l = b->l;
  const Node *n = g_node(b->g, v);
  Ix off;
  if (linear) off = *linear;
  else if (!lb_storage_offset(b, &n->shape, l->at.block[v], m, &off)) return -1;
  if (!among(&b->out->loads, v)) vec_push(b->l->arena, &b->out->loads, v);
  KInst k = lb_inst0(KI_LOAD, n->dt, v);
  k.access = lb_access_new(b, lower_buf(l, v), &off, m, fill);
  return lb_emit(b, k);
}

static bool lb_is_root(const Build *b, Val v) {
  for (int i = 0; i < b->nroots; i++)
    if (b->roots[i] == v) return true;
  return false;
}

/* Is v read from memory in this kernel? */
bool lb_is_loaded(const Build *b, Val v) {
  const Lower *l = b->l;
  return l->at.stored[v] && !lb_is_root(b, v) && !(l->at.home[v] >= 0 && lb_is_root(b, l->at.home[v])) &&
         (!among(&b->space->again, v) || l->facts.stored[v]); /* which it may turn out that it cannot be */
}

static int again_most(const Build *b) { return b->l->p->target.cost->fuse_again; }

/* Operations an element to compute v from values of which the large ones are read here anyway; more than
   again_most when there is no such way. */
static int again_flops(const Build *b, const ValVec *again, Val v, Val top) {
  const Node *n = g_node(b->g, v);
  OpKind kind = op_table[n->op].kind;
  bool large = shape_count(&n->shape) * 4 >= shape_count(&g_node(b->g, top)->shape);
  if (v != top && b->l->at.stored[v] && !among(again, v))
    return !large || among(&b->out->loads, v) ? 0 : again_most(b) + 1;
  if (n->op == OP_fill) return 0;
  if (kind != KIND_MAP && n->op != OP_broadcast && n->op != OP_reshape) return again_most(b) + 1;
  int flops = large ? op_table[n->op].flops : 0;
  for (int i = 0; i < n->nin && flops <= again_most(b); i++) flops += again_flops(b, again, n->in[i], top);
  return flops;
}

/* Values the kernel reads though it reads all they follow from as well, like the ReLU that masks a gradient
   beside the normalized value it was computed from. */
static bool compute_again(Build *b) {
  Refusal r = {.kind = COMPUTE_AGAIN};
  int before = b->space->again.n;
  for (int i = 0; i < before; i++) vec_push(b->l->arena, &r.values, b->space->again.v[i]);
  for (int i = 0; i < b->out->loads.n; i++) {
    Val v = b->out->loads.v[i];
    if (b->l->at.must[v] && !b->l->facts.stored[v] && op_table[g_node(b->g, v)->op].kind == KIND_MAP &&
        !among(&r.values, v) && again_flops(b, &r.values, v, v) <= again_most(b))
      vec_push(b->l->arena, &r.values, v);
  }
  if (r.values.n > before) lb_refuse(b, r);
  return r.values.n > before;
}

static int build_new(Build *b, Val v, const Map *m) {
  const Node *n = g_node(b->g, v);
  switch (op_table[n->op].kind) {
  case KIND_MAP: {
    int x[3] = {-1, -1, -1};
    for (int i = 0; i < n->nin; i++)
      if ((x[i] = lb_build(b, n->in[i], m)) < 0) return -1;
    return lb_emit_map(b, n->op, n->dt, x[0], x[1], x[2], v);
  }
  case KIND_SOURCE:
    if (n->op == OP_fill) return lb_emit_imm(b, n->dt, n->imm, v);
    if (n->op == OP_iota) {
      KInst k = lb_inst0(KI_INDEX, n->dt, v);
      const Ix *x = &m->ix[n->attr[0].v[0]];
      k.index = x->a;
      k.nquot = x->nq;
      k.quot = keep(b->a, x->q, sizeof(Quot) * (size_t)x->nq);
      return lb_emit(b, k);
    }
    if (n->op == OP_random_bits) {
      Ix lin;
      if (!lb_linear_index(b, &n->shape, m, &lin)) return -1;
      Map scalar;
      memset(&scalar, 0, sizeof scalar);
      int seed = lb_build(b, n->in[0], &scalar), step = seed < 0 ? -1 : lb_build(b, n->in[1], &scalar);
      if (step < 0) return -1;
      KInst k = lb_inst0(KI_RANDOM, n->dt, v);
      k.arg[0] = seed;
      k.arg[1] = step;
      k.index = lin.a;
      k.nquot = lin.nq;
      k.quot = keep(b->a, lin.q, sizeof(Quot) * (size_t)lin.nq);
      k.stream = (uint32_t)n->attr[0].v[0];
      return lb_emit(b, k);
    }
    bug("fuse: source %s", op_table[n->op].name);
  case KIND_VIEW: return lb_build_view(b, v, m);
  case KIND_REDUCE: return lb_build_reduce(b, v, m);
  case KIND_FOLD: return lb_build_fold(b, v, m);
  case KIND_GATHER: return lb_build_gather(b, v, m);
  default: return -1;
  }
}

static bool map_eq(const Map *x, const Map *y) {
  if (x->rank != y->rank || x->ng != y->ng) return false;
  for (int i = 0; i < x->rank; i++)
    if (memcmp(&x->ix[i].a, &y->ix[i].a, sizeof(Affine)) || x->ix[i].nq != y->ix[i].nq ||
        (x->ix[i].nq && memcmp(x->ix[i].q, y->ix[i].q, sizeof(Quot) * (size_t)x->ix[i].nq)))
      return false;
  return !x->ng || !memcmp(x->g, y->g, sizeof(Guard) * (size_t)x->ng);
}

int lb_refuse(Build *b, Refusal r) {
  if (b->refusal.kind == BUILT) b->refusal = r;
  return -1;
}

int lb_store_first(Build *b, Val v, Why why) {
  return lb_refuse(b, (Refusal){.kind = MUST_STORE, .val = v, .why = why, .other = b->roots[0]});
}

int lb_row_major(Build *b, Val v) {
  return b->l->at.block[v] ? lb_refuse(b, (Refusal){.kind = MUST_ROW_MAJOR, .val = v})
                           : lb_store_first(b, v, WHY_INDEX);
}

static Seen *seen_of(Build *b, Val v) {
  Seen *s = &b->l->seen[v];
  if (s->attempt != b->l->attempts) *s = (Seen){.attempt = b->l->attempts};
  return s;
}

/* v has been built once more, with all it follows from. Where a kernel becomes more than code generation takes in
   proportion, the value that most of it went into is put in memory: rather one that is computed at many places, as in
   chains of shifted slices, of which every step would be twice as much as the one before. Kernels that join others have
   been found small enough alone. */
static int weigh(Build *b, Val v, int64_t before, int inst) {
  enum { OFTEN = 4 };
  const Node *n = g_node(b->g, v);
  int64_t limit = b->l->p->target.cost->fuse_work;
  Seen *s = seen_of(b, v);
  s->work += b->work - before;
  s->times++;
  if (!lb_is_root(b, v) && !b->l->facts.stored[v] && op_table[n->op].kind != KIND_SOURCE &&
      !among(&b->space->again, v)) {
    int64_t score = s->work * (s->times >= OFTEN ? 2 : 1);
    if (score > b->heavy_score || (score == b->heavy_score && op_table[n->op].kind != KIND_VIEW)) {
      b->heavy_score = score;
      b->heavy = v;
    }
  }
  if (b->nroots > 1 || b->work <= limit || b->heavy_score < limit / 4) return inst;
  return lb_store_first(b, b->heavy, WHY_WORK);
}

int lb_build(Build *b, Val v, const Map *m) {
  Lower *l = b->l;
  Seen *s = seen_of(b, v);
  for (Memo *e = s->memo; e; e = e->next)
    if (map_eq(&e->map, m)) return e->inst;
  int r;
  int64_t before = b->work;
  if (lb_is_loaded(b, v)) {
    r = lb_load(b, v, m, PASSIVE, NULL);
    if (r < 0) return l->at.block[v] ? lb_row_major(b, v) : -1;
  } else {
    OpKind kind = op_table[g_node(b->g, v)->op].kind;
    bool can = kind == KIND_MAP || kind == KIND_SOURCE || kind == KIND_VIEW || kind == KIND_GATHER ||
               ((kind == KIND_REDUCE || kind == KIND_FOLD) && (lb_is_root(b, v) || l->at.row_inline[v]));
    if (!lb_is_root(b, v) && l->facts.stored[v]) can = false;
    r = can ? build_new(b, v, m) : -1;
    if (r < 0) return lb_is_root(b, v) ? -1 : lb_store_first(b, v, WHY_INDEX);
    if (l->at.stored[v] && !lb_is_root(b, v) &&
        !among(&b->space->again, v)) { /* computed on the way: store it too */
      vec_push(b->a, &b->inst_homed, v);
      vec_push(b->a, &b->homed_inst, r);
      vec_push(b->a, &b->homed_map, *m);
    }
    if ((r = weigh(b, v, before, r)) < 0) return -1;
  }
  Memo *e = NEW(b->a, Memo);
  e->map = *m;
  e->inst = r;
  e->next = s->memo;
  s->memo = e;
  return r;
}

/* A map whose linear index enumerates each element of the value once over all dims (or all but the reduced
   ones). */
static bool storable(Build *b, Val v, const Map *m, bool row) {
  if (m->ng) return false;
  Ix lin;
  const Shape *s = &g_node(b->g, v)->shape;
  if (!lb_linear_index(b, s, m, &lin) || lin.nq || lin.a.c) return false;
  int64_t need = 1, left = 1;
  for (int d = 0; d < b->ndim; d++)
    if (b->size[d] > 1 && !(row && b->space->dom[b->dim_dom[d]].reduced)) left *= b->size[d];
  if (left != shape_count(s)) return false;
  while (need < left) {
    int d = 0;
    while (d < b->ndim && !(b->size[d] > 1 && lin.a.k[d] == need)) d++;
    if (d == b->ndim) return false;
    need *= b->size[d];
  }
  return true;
}

/* The dims of domain dim j as loop dims. */
static void add_dims(Build *b, int j) {
  for (int i = 0; i < b->space->dom[j].n; i++) {
    b->size[b->ndim] = b->space->dom[j].part[i];
    b->dim_dom[b->ndim++] = j;
  }
}

static void begin(Build *b) {
  LoopSpace *s = b->space;
  b->ndim = 0;
  for (int j = 0; j < s->ndom; j++) {
    s->dom[j].reduced = j >= s->nroot; /* dims of a row epilogue, known from an earlier attempt */
    add_dims(b, j);
  }
  b->has_red = s->ndom > s->nroot;
  b->a = b->l->attempt;
  arena_reset(b->a);
  memset(&b->inst, 0, sizeof b->inst);
  memset(&b->inst_homed, 0, sizeof b->inst_homed);
  memset(&b->homed_inst, 0, sizeof b->homed_inst);
  memset(&b->homed_map, 0, sizeof b->homed_map);
  if (!b->l->seen) b->l->seen = NEWN(b->l->arena, Seen, b->g->node.n + 1);
  b->l->attempts++;
  b->work = b->heavy_score = 0;
  b->out->kernel = loop_kernel(&(LoopKernel){0});
  b->out->loads.n = b->out->stores.n = 0;
}

/* Copies the finished kernel out of the attempt's arena. */
static void persist(Build *b) {
  Arena *a = b->l->arena;
  Kernel *k = &b->out->kernel;
  k->buf = keep(a, k->buf, sizeof(int) * (size_t)k->nbuf);
  k->loop.store = keep(a, k->loop.store, sizeof(KStore) * (size_t)k->loop.nstore);
  k->loop.inst = keep(a, k->loop.inst, sizeof(KInst) * (size_t)k->loop.ninst);
  for (int i = 0; i < k->loop.ninst; i++) {
    KInst *in = &k->loop.inst[i];
    in->quot = keep(a, in->quot, sizeof(Quot) * (size_t)in->nquot);
    if (!in->access) continue;
    Access *x = keep(a, in->access, sizeof *x);
    x->quot = keep(a, x->quot, sizeof(Quot) * (size_t)x->nquot);
    x->guard = keep(a, x->guard, sizeof(Guard) * (size_t)x->nguard);
    in->access = x;
  }
}

void loop_space(const Shape *s, LoopSpace *space) {
  *space = (LoopSpace){.ndom = s->rank, .nroot = s->rank};
  for (int i = 0; i < s->rank; i++) space->dom[i] = (Dom){.n = 1, .part = {s->dim[i]}};
}

void loop_split(LoopSpace *space, const Refusal *r) {
  Dom *m = &space->dom[r->dom];
  for (int i = m->n; i > r->part + 1; i--) m->part[i] = m->part[i - 1];
  m->part[r->part + 1] = r->factor;
  m->part[r->part] /= r->factor;
  m->n++;
}

static Refusal refused(const Build *b) {
  return b->refusal.kind == BUILT ? (Refusal){.kind = NO_WAY, .val = b->roots[0]} : b->refusal;
}

Refusal loop_build(Lower *l, const Val *roots, int nroots, LoopSpace *space, Built *out) {
  Build build = {.l = l, .g = l->g, .out = out, .roots = roots, .nroots = nroots, .space = space};
  Build *b = &build;
  const Shape *s = &g_node(l->g, roots[0])->shape;
  begin(b);
  VEC(KStore) st = {0};
  int root_inst[16];
  if (nroots > 16) bug("fuse: %d roots", nroots);
  for (int i = 0; i < nroots; i++) {
    Map m;
    lb_identity_map(b, s->rank, &m);
    root_inst[i] = lb_build(b, roots[i], &m);
    if (root_inst[i] < 0) return refused(b);
  }
  if (compute_again(b)) return b->refusal;
  unsigned red = 0;
  for (int d = 0; d < b->ndim; d++)
    if (b->space->dom[b->dim_dom[d]].reduced) red |= 1u << d;
  Dep *dep = NEWN(b->a, Dep, b->inst.n);
  lb_analyse(b, red, dep);
  for (int i = 0; i < nroots + b->inst_homed.n; i++) {
    Val v = i < nroots ? roots[i] : b->inst_homed.v[i - nroots];
    int in = i < nroots ? root_inst[i] : b->homed_inst.v[i - nroots];
    Map m;
    if (i < nroots) lb_identity_map(b, s->rank, &m);
    else m = b->homed_map.v[i - nroots];
    if (among(&out->stores, v)) continue;
    Ix lin;
    lb_linear_index(b, &g_node(l->g, v)->shape, &m, &lin);
    bool row = !(lb_affine_mask(&lin.a, b->ndim) &
                 red); /* of the place stored to; the value itself may be constant along a row */
    if (i >= nroots && !storable(b, v, &m, row)) /* a map that repeats or skips elements */
      return (Refusal){.kind = NO_HOME, .val = v};
    int sweep = dep[in].sweep;
    if (!row && b->inst.v[in].row) {
      in = lb_emit_map(b, OP_stop_gradient, b->inst.v[in].dt, in, -1, -1, v);
      b->inst.v[in].row = false;
    }
    KStore store;
    memset(&store, 0, sizeof store);
    Ix off;
    if (!lb_storage_offset(b, &g_node(l->g, v)->shape, l->at.block[v], &m, &off) || off.nq) {
      if (b->refusal.kind == BUILT && !l->at.block[v]) bug("fuse: store of %%%d", v);
      if (b->refusal.kind == BUILT)
        lb_row_major(b, v); /* blocks of channels that this kernel's parts do not divide */
      return b->refusal;
    }
    store.inst = in;
    store.sweep = sweep;
    store.access.off = off.a;
    store.access.dyn = -1;
    vec_push(b->a, &st, store);
    vec_push(l->arena, &out->stores, v);
  }
  Kernel *k = &out->kernel;
  for (int i = 0; i < st.n; i++) {
    int before = k->nbuf;
    st.v[i].access.buf = lb_operand(b, lower_buf(l, out->stores.v[i]));
    if (k->nbuf == before) bug("fuse: kernel reads its own result %%%d", out->stores.v[i]);
  }
  k->nout = st.n;
  out->reduce = -1;
  if (b->space->ndom > b->space->nroot || !red)
    for (int i = 0; i < b->inst.n && out->reduce < 0; i++)
      if (b->inst.v[i].kind == KI_REDUCE) out->reduce = b->inst.v[i].val;
  int nsweep = 0;
  for (int i = 0; i < b->inst.n; i++)
    if (b->inst.v[i].kind == KI_REDUCE && b->inst.v[i].sweep + 1 > nsweep) nsweep = b->inst.v[i].sweep + 1;
  for (int i = 0; i < st.n; i++)
    if (!b->inst.v[st.v[i].inst].row && st.v[i].sweep + 1 > nsweep) nsweep = st.v[i].sweep + 1;
  k->loop.nsweep = nsweep;
  lb_finish(b, st.v, st.n);
  kernel_cost(l->p, k);
  persist(b);
  return (Refusal){.kind = BUILT};
}

static Refusal try_copy(Lower *l, int src, int dst, LoopSpace *space, Built *out) {
  Build build = {.l = l, .g = l->g, .out = out, .space = space}, *b = &build;
  const Buf *from = &l->p->buf.v[src];
  begin(b);
  Map m;
  lb_identity_map(b, from->shape.rank, &m);
  Ix off;
  KStore *st = NEW(b->a, KStore);
  KInst k = lb_inst0(KI_LOAD, from->dt, from->val);
  if (!lb_storage_offset(b, &from->shape, from->block, &m, &off)) return b->refusal;
  k.access = lb_access_new(b, src, &off, &m, 0);
  st->inst = lb_emit(b, k);
  if (!lb_storage_offset(b, &from->shape, l->p->buf.v[dst].block, &m, &off)) bug("copy: target layout");
  st->access.off = off.a;
  st->access.dyn = -1;
  st->access.buf = lb_operand(b, dst);
  out->kernel.nout = 1;
  Dep *dep = NEWN(b->a, Dep, 1);
  lb_analyse(b, 0, dep);
  lb_finish(b, st, 1);
  kernel_cost(l->p, &out->kernel);
  persist(b);
  return b->refusal;
}

Kernel loop_copy(Lower *l, int src, int dst) {
  LoopSpace space;
  Built out = {0};
  loop_space(&l->p->buf.v[src].shape, &space);
  for (Refusal r; (r = try_copy(l, src, dst, &space, &out)).kind != BUILT;) {
    if (r.kind != MUST_SPLIT) bug("copy: source layout");
    loop_split(&space, &r);
  }
  return out.kernel;
}

bool view_access(Lower *l, Val v, int ndim, const int64_t *size, const int *axis_dim, Val *base,
                 Affine *off) {
  LoopSpace space;
  Build build = {.l = l, .a = l->attempt, .g = l->g, .ndim = ndim, .space = &space}, *b = &build;
  for (int d = 0; d < ndim; d++) {
    b->size[d] = size[d];
    b->dim_dom[d] = d;
    space.dom[d].n = MAX_PARTS; /* no room: a split is impossible here */
  }
  Map m;
  memset(&m, 0, sizeof m);
  m.rank = g_node(l->g, v)->shape.rank;
  for (int i = 0; i < m.rank; i++) m.ix[i].a.k[axis_dim[i]] = 1;
  Ix lin;
  for (;;) {
    const Node *n = g_node(l->g, v);
    if (op_table[n->op].kind != KIND_VIEW || n->op == OP_concat || n->op == OP_pad || n->op == OP_window ||
        l->at.stored[v]) {
      *base = v;
      if (l->at.block[v] || !lb_linear_index(b, &n->shape, &m, &lin) || lin.nq) return false;
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
        if (!lb_ix_axpy(b, &c.ix[i], n->attr[2].v[i], &m.ix[i])) return false;
      }
      break;
    case OP_reshape:
      if (!lb_linear_index(b, &n->shape, &m, &lin) || !lb_delinearize(b, lin, from, &c)) return false;
      for (int i = 0; i < c.rank; i++)
        if (c.ix[i].nq) return false;
      break;
    default: return false;
    }
    m = c;
    v = a;
  }
}
