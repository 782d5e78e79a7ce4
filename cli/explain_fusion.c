/* jepac explain --fusion: for each model line the kernels it is computed in and with which other lines, for
   each of its values that is written to memory why its readers do not compute it themselves, and why kernels
   that sum up the same values are one or several. The reasons are those that fusion wrote down
   (Program.decision). */
#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const Program *p;
  Cli *c;
  Lines *t;
  int *writer;  /* per buffer: kernel that writes it, -1 none */
  int *nreader; /* per buffer: kernels that read it */
  int *reader;  /* ... the first of them */
  int *made_in; /* per value: a kernel that computes it, -1 none */
} Fusion;

/* %O the operator of `other`, %K its kernel, %A and %B the numbers. */
static const char *const because[WHY_COUNT] = {
    [WHY_OWN_KERNEL] = "it has a kernel of its own, which writes its result",
    [WHY_OPERAND] = "%O (%K) reads its operands from memory",
    [WHY_GATHERED] = "%O (%K) picks elements of it by index",
    [WHY_RESULT] = "it is a result of the step",
    [WHY_VIEWED] = "a reshape of it is in memory and shares its bytes",
    [WHY_CYCLE] = "computed in its reader, two kernels would wait for each other",
    [WHY_EARLIER] = "%O needs it before the kernel that could compute it can run",
    [WHY_MANY] = "more than %A kernels need it",
    [WHY_INDEX] = "%O (%K) visits the elements in an order in which its operands have no address (a "
                  "reduction, window or "
                  "transpose lies between)",
    [WHY_COSTLY] = "%B kernels need it, and its %A operations an element are not repeated",
    [WHY_DEEP] = "it ends %A operators one after the other, as many as a kernel takes",
    [WHY_WORK] = "the kernel of %O would be more code than is generated for one, and most of it is this",
    [WHY_PARTS] = "it is one of many parts of a concatenation",
    [WHY_READS] =
        "%A kernels need it: computing it in each would read %B operands an element each time, more than "
        "writing and reading it",
    [WHY_READER] = "it sums rows up, and %O (%K) has no rows",
    [WHY_FOLD] = "it adds up overlapping windows, and %O (%K) reads it at other places than it is made at",
    [WHY_LONG_ROW] =
        "it sums up rows of %A elements, and to read more than %B again in %K costs more than storing it",
    [WHY_ROWS] =
        "it sums up %A elements at each of %B places; %O (%K) has neither these rows nor these elements",
    [WHY_SEVERAL] = "%A kernels need it; %K computes it on the way and writes it",
    [WHY_JOINED] = "in one kernel with %O (%K): both read the same values and sum up the same rows",
    [WHY_APART_SHAPE] =
        "not in one kernel with %O (%K), which reads the same values: the rows have other extents",
    [WHY_APART_AXES] =
        "not in one kernel with %O (%K), which reads the same values: it sums them up along other axes",
    [WHY_APART_FULL] =
        "not in one kernel with %O (%K), which reads the same values: that has 8 results already",
    [WHY_APART_WAITS] =
        "not in one kernel with %O (%K), which reads the same values: one waits for the other",
    [WHY_APART_INDEX] =
        "not in one kernel with %O (%K), which reads the same values: no order of elements suits both",
};

static const char *reason(const Fusion *f, const Decision *d) {
  const char *text = because[d->why];
  if (!text) return "no reason is written down";
  StrBuf b = {0};
  int k = d->other >= 0 ? f->made_in[d->other] : -1;
  for (const char *p = text; *p; p++) {
    if (*p != '%') sb_put(&b, p, 1);
    else if (*++p == 'A') sb_printf(&b, "%.4g", d->a);
    else if (*p == 'B') sb_printf(&b, "%.4g", d->b);
    else if (*p == 'K' && k >= 0) sb_printf(&b, "k%d", k);
    else if (*p == 'K') sb_printf(&b, "computed on the way");
    else
      sb_printf(&b, "%s", d->other >= 0 ? op_table[g_node(f->p->graph, d->other)->op].name : "another value");
  }
  const char *s = arena_strndup(f->c->arena, b.s, b.n);
  sb_free(&b);
  return s;
}

static bool is_kernel_reason(Why w) { return w >= WHY_JOINED; }

static const Decision *why_stored(const Program *p, Val v) {
  static const Decision none = {.why = WHY_NONE, .other = -1};
  for (int i = 0; i < p->decision.n; i++)
    if (p->decision.v[i].val == v && !is_kernel_reason(p->decision.v[i].why)) return &p->decision.v[i];
  return &none;
}

static Fusion look(Cli *c, const Program *p, Lines *t) {
  Arena *a = c->arena;
  Fusion f = {.p = p, .c = c, .t = t};
  f.writer = NEWN(a, int, p->buf.n + 1);
  f.nreader = NEWN(a, int, p->buf.n + 1);
  f.reader = NEWN(a, int, p->buf.n + 1);
  f.made_in = NEWN(a, int, p->graph->node.n + 1);
  for (int b = 0; b < p->buf.n; b++) f.writer[b] = f.reader[b] = -1;
  for (Val v = 0; v < p->graph->node.n; v++) f.made_in[v] = -1;
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    for (int i = 0; i < k->nbuf; i++) {
      int b = k->buf[i];
      if (i >= k->nbuf - k->nout) f.writer[b] = at;
      else if (!f.nreader[b]++) f.reader[b] = at;
    }
    int n = kernel_parts(k, NULL);
    KernelPart *part = NEWN(a, KernelPart, n + 1);
    kernel_parts(k, part);
    for (int i = 0; i < n; i++)
      if (part[i].val >= 0 && part[i].computed) f.made_in[part[i].val] = at;
    if (!n && k->val >= 0) f.made_in[k->val] = at;
  }
  for (int b = 0; b < p->buf.n; b++) { /* a reader of a reshape reads its operand */
    int up = p->buf.v[b].alias;
    if (up < 0 || f.writer[b] >= 0 || p->buf.v[up].val < 0 || p->buf.v[b].val < 0) continue;
    if (!f.nreader[up] && f.nreader[b]) f.reader[up] = f.reader[b];
    f.nreader[up] += f.nreader[b];
  }
  return f;
}

typedef struct {
  int line;
  Role role;
  int kernel; /* computed in it */
  int buf;    /* written to memory, -1: not */
  const Decision *why;
} Fact;

static int fact_order(const Fact *a, const Fact *b, const int *rank) {
  if (a->line != b->line) return rank[a->line] - rank[b->line];
  if (a->role != b->role) return (int)a->role - (int)b->role;
  if (a->kernel != b->kernel) return a->kernel - b->kernel;
  if (!a->why != !b->why) return a->why ? 1 : -1; /* the kernel, then its reasons */
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
    Fact x = {lines_find(t, n->loc), n->role, f.writer[b], b, why_stored(p, p->buf.v[b].val)};
    vec_push(c->arena, &fact, x);
    stored++;
  }
  for (int i = 0; i < p->decision.n; i++) {
    const Decision *d = &p->decision.v[i];
    const Node *n = g_node(p->graph, d->val);
    if (!is_kernel_reason(d->why) || f.made_in[d->val] < 0) continue;
    Fact x = {lines_find(t, n->loc), n->role, f.made_in[d->val], -1, d};
    vec_push(c->arena, &fact, x);
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
    if (x->buf < 0 && x->why) {
      printf("    %s: %s\n", op_table[g_node(p->graph, x->why->val)->op].name, reason(&f, x->why));
      continue;
    }
    if (x->buf < 0) {
      const char *why, *how = kernel_how(p, &p->kernel.v[x->kernel], &why);
      printf("  %-8s %s", role_word(x->role), kernel_name(p, x->kernel, c->arena));
      if (how) printf(" (%s%s%s)", how, why ? ": " : "", why ? why : "");
      print_partners(&f, x->kernel, x->line);
      continue;
    }
    const Buf *b = &p->buf.v[x->buf];
    char type[128];
    printf("    not fused: %s %s (%s) for k%d: %s\n", op_table[g_node(p->graph, b->val)->op].name,
           type_str(b->dt, &b->shape, type), human_bytes(c->arena, b->bytes), f.reader[x->buf],
           reason(&f, x->why));
  }
  return ST_OK;
}
