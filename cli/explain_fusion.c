/* jepac explain --fusion: for each model line the kernels it is computed in and with which other lines, and
   for each of its values that is written to memory the reason its readers do not compute it themselves. The
   reasons are read off the finished program and its graph, in the order in which fusion (passes/fuse.c)
   decides. */
#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const Program *p;
  const Graph *g;
  Cli *c;
  Lines *t;
  int *writer;  /* per buffer: kernel that writes it, -1 none */
  int *nreader; /* per buffer: kernels that read it */
  int *reader;  /* ... the first of them */
  bool *result; /* per value: an output of the graph */
} Fusion;

static const char *kernel_word(const Fusion *f, int k) {
  static const char *const word[] = {"an elementwise or reduction kernel", "a matrix product",
                                     "a convolution", "a scatter", "an extern call"};
  return word[f->p->kernel.v[k].kind];
}

static double bytes_read(const Fusion *f, int k) {
  const Kernel *kn = &f->p->kernel.v[k];
  double n = 0;
  for (int i = 0; i < kn->nbuf - kn->nout; i++) n += (double)f->p->buf.v[kn->buf[i]].bytes;
  return n;
}

static const char *human(const Fusion *f, double bytes) {
  return cli_human_bytes(f->c->arena, (int64_t)bytes);
}

/* Why buffer b, which kernel w writes and others read, is not computed where it is read. */
static const char *reason(const Fusion *f, int b) {
  const Program *p = f->p;
  Arena *a = f->c->arena;
  Val v = p->buf.v[b].val;
  int w = f->writer[b], r = f->reader[b];
  if (v < 0) return "work space that the steps of one operation share";
  const Node *n = g_node(f->g, v);
  if (p->kernel.v[w].kind != KK_LOOP)
    return arena_printf(a, "%s has a kernel of its own and writes its result", kernel_word(f, w));
  if (f->result[v]) return "it is a result of the step";
  if (p->kernel.v[r].kind != KK_LOOP)
    return arena_printf(a, "%s reads its operands from memory", kernel_word(f, r));
  OpKind kind = op_table[n->op].kind;
  if (kind == KIND_REDUCE || kind == KIND_FOLD) {
    int64_t row = shape_count(&g_node(f->g, n->in[0])->shape) / shape_count(&n->shape);
    const LoopKernel *l = &p->kernel.v[r].loop;
    int64_t points = 1;
    for (int d = 0; d < l->npar; d++) points *= l->size[d];
    return arena_printf(
        a,
        "each of its %lld elements sums up %lld, and its reader has %lld rows: recomputing the sum there "
        "would read %s each time",
        (long long)shape_count(&n->shape), (long long)row, (long long)points, human(f, bytes_read(f, w)));
  }
  double size = (double)p->buf.v[b].bytes;
  if (f->nreader[b] > 1)
    return arena_printf(
        a,
        "%d kernels read it: written once and read costs %s, computing it in each would read %s (and "
        "repeat its arithmetic)",
        f->nreader[b], human(f, size * (1 + f->nreader[b])), human(f, bytes_read(f, w) * f->nreader[b]));
  for (int i = 0; i < f->g->node.n; i++) {
    const Node *u = g_node(f->g, i);
    if (op_table[u->op].kind != KIND_GATHER) continue;
    if (u->in[0] == v) return "gather picks its rows by index from memory";
  }
  if (p->kernel.v[w].nout > 1) return arena_printf(a, "k%d needs it too and writes it on the way", w);
  return "its reader visits the elements in an order that does not follow the operands' (a reduction, window "
         "or "
         "transpose lies between)";
}

static Fusion look(Cli *c, const Program *p, Lines *t) {
  Arena *a = c->arena;
  Fusion f = {.p = p, .g = p->graph, .c = c, .t = t};
  f.writer = NEWN(a, int, p->buf.n + 1);
  f.nreader = NEWN(a, int, p->buf.n + 1);
  f.reader = NEWN(a, int, p->buf.n + 1);
  f.result = NEWN(a, bool, p->graph->node.n + 1);
  for (int b = 0; b < p->buf.n; b++) f.writer[b] = f.reader[b] = -1;
  for (int k = 0; k < p->kernel.n; k++) {
    const Kernel *kn = &p->kernel.v[k];
    for (int i = 0; i < kn->nbuf; i++) {
      int b = kn->buf[i];
      if (i >= kn->nbuf - kn->nout) f.writer[b] = k;
      else if (!f.nreader[b]++) f.reader[b] = k;
    }
  }
  for (int b = 0; b < p->buf.n; b++) { /* a reader of a reshape reads its operand */
    int up = p->buf.v[b].alias;
    if (up < 0 || f.writer[b] >= 0 || p->buf.v[up].val < 0 || p->buf.v[b].val < 0) continue;
    if (!f.nreader[up] && f.nreader[b]) f.reader[up] = f.reader[b];
    f.nreader[up] += f.nreader[b];
  }
  for (int i = 0; i < p->graph->outputs.n; i++) f.result[p->graph->outputs.v[i].val] = true;
  return f;
}

typedef struct {
  int line;
  Role role;
  int kernel; /* computed in it */
  int buf;    /* written to memory, -1: not */
  const char *why;
} Fact;

static int fact_order(const Fact *a, const Fact *b, const int *rank) {
  if (a->line != b->line) return rank[a->line] - rank[b->line];
  if (a->role != b->role) return (int)a->role - (int)b->role;
  if (a->kernel != b->kernel) return a->kernel - b->kernel;
  return a->buf - b->buf;
}

static void sort_facts(Fact *f, int n, const int *rank) {
  for (int gap = n / 2; gap > 0; gap /= 2) /* shell sort: the order needs the ranks of lines */
    for (int i = gap; i < n; i++) {
      Fact x = f[i];
      int j = i;
      for (; j >= gap && fact_order(&x, &f[j - gap], rank) < 0; j -= gap) f[j] = f[j - gap];
      f[j] = x;
    }
}

static void print_partners(const Fusion *f, int k, int line) {
  Share share[64];
  int n = program_shares(f->p, k, f->t, share, 64), shown = 0;
  for (int i = 0; i < n; i++) {
    if (share[i].line == line || !share[i].line) continue;
    bool again = false;
    for (int j = 0; j < i; j++) again |= share[j].line == share[i].line;
    if (again) continue;
    if (shown++ == 6) {
      printf(", ...");
      break;
    }
    printf("%s%s", shown == 1 ? ", fused with " : ", ", lines_name(f->t, share[i].line));
  }
  printf("\n");
}

Status explain_fusion(Cli *c, const Program *p, Lines *t) {
  Fusion f = look(c, p, t);
  VEC(Fact) fact = {0};
  for (int k = 0; k < p->kernel.n; k++) {
    Share share[64];
    int n = program_shares(p, k, t, share, 64);
    for (int i = 0; i < n; i++) {
      if (i && !share[i].flops && !share[i].bytes) continue;
      Fact x = {share[i].line, share[i].role, k, -1, NULL};
      vec_push(c->arena, &fact, x);
    }
  }
  int stored = 0;
  for (int b = 0; b < p->buf.n; b++) {
    if (p->buf.v[b].kind != BUF_TEMP || f.writer[b] < 0 || !f.nreader[b] || p->buf.v[b].val < 0) continue;
    const Node *n = g_node(p->graph, p->buf.v[b].val);
    Fact x = {lines_find(t, n->loc), n->role, f.writer[b], b, reason(&f, b)};
    vec_push(c->arena, &fact, x);
    stored++;
  }
  int *order = lines_order(t), *rank = NEWN(c->arena, int, t->v.n + 1);
  for (int i = 0; i < t->v.n; i++) rank[order[i]] = i;
  sort_facts(fact.v, fact.n, rank);
  int computed = 0;
  for (Val v = 0; v < p->graph->node.n; v++) computed += g_node(p->graph, v)->op != OP_input;
  printf("fusion   %d operators in %d kernels; %d values between kernels in memory\n", computed, p->kernel.n,
         stored);
  for (int i = 0; i < fact.n; i++) {
    const Fact *x = &fact.v[i];
    if (!i || fact.v[i - 1].line != x->line)
      printf("\n%s  %.80s\n", lines_name(t, x->line), lines_text(t, x->line));
    if (x->buf < 0) {
      printf("  %-8s %s", role_word(x->role), program_kernel_name(p, x->kernel, c->arena));
      print_partners(&f, x->kernel, x->line);
      continue;
    }
    const Buf *b = &p->buf.v[x->buf];
    char type[128];
    printf("    not fused: %s %s (%s) for k%d: %s\n", op_table[g_node(p->graph, b->val)->op].name,
           type_str(b->dt, &b->shape, type), cli_human_bytes(c->arena, b->bytes), f.reader[x->buf], x->why);
  }
  return ST_OK;
}
