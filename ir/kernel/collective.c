/* Kernels between ranks: a function of the runtime (runtime/ranks.h). */
#include "ir/kernel/kind.h"

#include "ir/graph/collective.h"

#include <math.h>
#include <string.h>

static const char *const words[COLLECTIVES] = {"sum", "mean", "max", "first", "scatter", "part", "gather"};
static const OpId ops[COLLECTIVES] = {OP_all_reduce_sum, OP_all_reduce_mean, OP_all_reduce_max,
                                      OP_all_broadcast,  OP_reduce_scatter,  OP_rank_part,
                                      OP_all_gather};

static const Field fields[] = {
    {FIELD_WORD, .member = {MEMBER(collective.what)}, .words = words, .nword = COLLECTIVES},
    {FIELD_DTYPE, .member = {MEMBER(collective.dt)}},
    {FIELD_LIST, "shape",
     .member = {MEMBER(collective.outer), MEMBER(collective.ranks), MEMBER(collective.inner)}}};

static bool parts(const CollectiveSpec *s) { return s->what >= COLLECTIVE_SCATTER; }

/* Elements of the operand and of the result. */
static void counts(const CollectiveSpec *s, int64_t *in, int64_t *out) {
  int64_t part = s->outer * s->inner;
  *in = parts(s) && s->what != COLLECTIVE_GATHER ? part * s->ranks : part;
  *out = s->what == COLLECTIVE_GATHER ? part * s->ranks : part;
}

/* A sum of everything comes in pieces of equal length from every rank of a set, or whole from each where that is little; a
   program's own functions know one set only (Ranks.whole). */
int64_t collective_work(const CollectiveSpec *s) {
  int64_t size = dtype_size(s->dt), part = s->outer * s->inner, all = part * s->ranks, most = 0;
  RankTree t = rank_tree(s->ranks);
  switch (s->what) {
  case COLLECTIVE_SUM:
  case COLLECTIVE_MEAN:
  case COLLECTIVE_MAX:
    for (int l = 0; l < t.levels && rank_tree_whole(&t, part * size); l++)
      if (t.size[l] * part > most) most = t.size[l] * part;
    all = div_up(part, s->ranks) * s->ranks;
    return (most > all ? most : all) * size;
  case COLLECTIVE_SCATTER: return (s->outer > 1 || t.levels > 1 ? 2 : 1) * all * size;
  case COLLECTIVE_GATHER: return s->outer > 1 ? all * size : 0;
  default: return 0;
  }
}

static const char *impossible(const Kernel *k, const Target *t) {
  (void)t;
  const CollectiveSpec *s = &k->collective;
  if (s->ranks < 1 || s->ranks > MOST_RANKS ||
      !extents_possible((int64_t[]){s->outer, s->ranks, s->inner}, 3))
    return "impossible extents";
  bool adds = s->what < COLLECTIVE_FIRST || s->what == COLLECTIVE_SCATTER;
  return adds && (s->dt == DT_BOOL || dtype_is_narrow(s->dt)) ? "a sum of such a type between ranks" : NULL;
}

static bool verify(Check *c, const Kernel *k) {
  const CollectiveSpec *s = &k->collective;
  int64_t in, out, work = collective_work(s), size = dtype_size(s->dt);
  counts(s, &in, &out);
  if (k->nbuf != 2 + (work > 0) || k->nout != k->nbuf - 1)
    return kernel_wrong(c, "%d operands, %d of them written, do not fit", k->nbuf, k->nout);
  int64_t need[] = {in * size, work ? work : out * size, out * size};
  for (int i = 0; i < k->nbuf; i++) {
    if (c->p->buf.v[k->buf[i]].bytes < need[i]) return kernel_wrong(c, "operand %d is too small", i);
    if (c->p->buf.v[k->buf[i]].block) return kernel_wrong(c, "operand %d is blocked", i);
  }
  return true;
}

static double flops(const Program *p, const Kernel *k) {
  (void)p;
  const CollectiveSpec *s = &k->collective;
  return s->what < COLLECTIVE_FIRST || s->what == COLLECTIVE_SCATTER ? (double)(s->outer * s->inner) : 0;
}

/* ---- what is sent (runtime/ranks.c) ---- */
/* On one level: so many messages of so many bytes, each way of a sum. */
typedef struct {
  double messages, bytes;
} Round;

/* How often, and what on level l. */
static int rounds(const CollectiveSpec *s, const RankTree *t, int l, Round *r) {
  double part = (double)(s->outer * s->inner * dtype_size(s->dt)), ranks = (double)s->ranks;
  double below = 1; /* of the levels before */
  for (int i = 0; i < l; i++) below *= t->size[i];
  *r = (Round){t->size[l] - 1, part};
  switch (s->what) {
  case COLLECTIVE_SUM:
  case COLLECTIVE_MEAN:
  case COLLECTIVE_MAX:
    if (rank_tree_whole(t, s->inner * dtype_size(s->dt))) return 1;
    r->bytes = part / (below * t->size[l]);
    return 2;
  case COLLECTIVE_SCATTER: r->bytes = part * ranks / (below * t->size[l]); return 1;
  case COLLECTIVE_GATHER: r->bytes = part * below; return 1;
  case COLLECTIVE_FIRST: return 1;
  default: return 0;
  }
}

static double sent(const Kernel *k) {
  RankTree t = rank_tree(k->collective.ranks);
  double bytes = 0;
  Round r;
  for (int l = 0; l < t.levels; l++) {
    int times = rounds(&k->collective, &t, l, &r);
    bytes += times * r.messages * r.bytes;
  }
  return bytes;
}

static double sending(const Kernel *k, const Network *n) {
  RankTree t = rank_tree(k->collective.ranks);
  double seconds = 0;
  Round r;
  for (int l = 0; l < t.levels; l++) {
    int times = rounds(&k->collective, &t, l, &r);
    if (r.messages > 0) seconds += times * (n->latency + r.messages * fmax(n->message, r.bytes / n->rate));
  }
  return seconds;
}

/* A process by itself stands for all ranks. */
static void interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  (void)p;
  const CollectiveSpec *s = &k->collective;
  Ints attr[3] = {ints1(0), ints1(s->outer), ints1(s->ranks)};
  Shape whole = {1, {s->outer * s->ranks * s->inner}}, part = {1, {s->outer * s->inner}};
  if (!parts(s)) attr[0] = attr[2];
  Node n = {.op = ops[s->what], .dt = s->dt, .attr = attr};
  bool widens = s->what == COLLECTIVE_GATHER, narrows = parts(s) && !widens;
  n.shape = widens ? whole : part;
  Arena *a = arena_new();
  const double **in = NEWN(a, const double *, s->ranks);
  for (int64_t r = 0; r < s->ranks; r++) in[r] = mem[0];
  double *out = mem[k->nbuf - 1];
  collective_eval(&n, narrows ? &whole : &part, in, 0, out);
  for (int64_t i = 0; i < shape_count(&n.shape) && mode == INTERP_ROUNDED && s->dt == DT_F32; i++)
    out[i] = (float)out[i];
  arena_free(a);
}

CollectiveSpec collective_spec(const Graph *g, const Node *n) {
  CollectiveSpec s = {.dt = n->dt, .ranks = collective_ranks(n)};
  for (int i = 0; i < COLLECTIVES; i++)
    if (ops[i] == n->op) s.what = (Collective)i;
  collective_extents(g, n, &s.outer, &s.inner);
  return s;
}

const KindRow kind_collective = {.name = "collective",
                                 .field = fields,
                                 .nfield = sizeof fields / sizeof *fields,
                                 .impossible = impossible,
                                 .verify = verify,
                                 .flops = flops,
                                 .keeps_order = true,
                                 .sent = sent,
                                 .sending = sending,
                                 .interp = interp,
                                 .error_share = 4e-6};
