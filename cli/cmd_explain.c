/* jepac explain: where memory, time and kernel boundaries come from, by model line. This file chooses the
   program and explains memory: what is live when, who holds the peak, and the arena as a picture. */
#include "cli/explain.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* *r: the recipe whose optimizer step it is, or NULL. */
static Status subject(Cli *c, bool bind_data, const Graph **g, const Recipe **r, int64_t *batch) {
  Status s;
  *g = NULL;
  *r = NULL;
  *batch = 0;
  if (cli_has_suffix(c->opt.arg[0], ".ir")) {
    Graph *read;
    s = cli_read_ir(c, c->opt.arg[0], &read);
    *g = read;
    return s;
  }
  Model *m;
  if ((s = cli_load(c, c->opt.arg[0], NULL, 0, &m))) return s;
  *r = OPT(c, train_step) ? frontend_recipe(m, c->diags) : cli_recipe(c, m);
  if (OPT(c, train_step) && !*r) return ST_MODEL;
  if (*r) *batch = (*r)->batch;
  if (!OPT(c, train_step) && (OPT(c, entry) || OPT(c, grad) || !*r)) {
    *r = NULL;
    return cli_model_graph(c, m, OPT(c, entry), g);
  }
  if ((s = cli_check_train_step(c))) return s;
  *g = bind_data ? cli_train_step(c, m) : frontend_train_step(m, c->diags, false);
  return *g ? ST_OK : ST_MODEL;
}

Status cli_subject(Cli *c, const Graph **g, int64_t *batch) {
  const Recipe *ignored;
  return subject(c, true, g, &ignored, batch);
}

static Status subject_program(Cli *c, bool bind_data, Program **p, const Recipe **r) {
  const Graph *g;
  int64_t batch;
  Status s = subject(c, bind_data, &g, r, &batch);
  if (s) return s;
  if (!(g = cli_passes(c, g, NULL))) return ST_MODEL;
  return cli_lower(c, g, p);
}

/* ---- memory ---- */
typedef struct {
  int64_t bytes[4]; /* by role; the last: states and inputs */
  int64_t total;
} Held;

enum { HELD_STATE = 3, BAR = 48, ROWS = 24 };

typedef struct {
  const Program *p;
  int *first, *last;
  int64_t *live; /* per kernel: bytes of buffers in use */
  int64_t always;
  int peak;
} Memory;

static Memory measure(const Program *p, Arena *a) {
  Memory m = {.p = p, .first = NEWN(a, int, p->buf.n + 1), .last = NEWN(a, int, p->buf.n + 1)};
  m.live = NEWN(a, int64_t, p->kernel.n + 1);
  program_lifetimes(p, m.first, m.last);
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    m.always += tensor_room(n->dt, &n->shape);
  }
  for (int b = 0; b < p->buf.n; b++) {
    if (program_memory(p, b) != b || p->buf.v[b].kind == BUF_INPUT || m.first[b] < 0) continue;
    for (int k = m.first[b]; k <= m.last[b] && k < p->kernel.n; k++) m.live[k] += p->buf.v[b].bytes;
  }
  for (int k = 0; k < p->kernel.n; k++)
    if (m.live[k] > m.live[m.peak]) m.peak = k;
  return m;
}

static void print_curve(Cli *c, const Memory *m) {
  int n = m->p->kernel.n, per = (n + ROWS - 1) / ROWS;
  int64_t top = m->always + m->live[m->peak];
  printf("\n%-14s %10s  (one # is %s)\n", "kernels", "live", human_bytes(c->arena, top / BAR));
  for (int k = 0; k < n; k += per) {
    int64_t most = 0;
    bool peak = false;
    for (int j = k; j < k + per && j < n; j++) {
      if (m->live[j] > most) most = m->live[j];
      peak |= j == m->peak;
    }
    most += m->always;
    const char *range = arena_printf(c->arena, "k%d..k%d", k, k + per - 1 < n ? k + per - 1 : n - 1);
    printf("%-14s %10s  ", range, human_bytes(c->arena, most));
    for (int i = 0; i < (int)((double)most / (double)top * BAR + 0.5); i++) putchar('#');
    printf("%s\n", peak ? " <- peak" : "");
  }
}

typedef struct {
  const Held *h;
  int line;
} HeldRow;

static int by_total(const void *x, const void *y) {
  const HeldRow *a = x, *b = y;
  if (a->h->total != b->h->total) return a->h->total < b->h->total ? 1 : -1;
  return a->line - b->line;
}

enum { MOST_LINES = 4096 };

static void hold(Held *h, const Lines *t, int line, int what, int64_t bytes) {
  for (; line >= 0; line = lines_parent(t, line))
    if (line < MOST_LINES) h[line].bytes[what] += bytes, h[line].total += bytes;
}

static void print_holders(Cli *c, const Memory *m, Lines *t) {
  const Program *p = m->p;
  Held *h = NEWN(c->arena, Held, MOST_LINES);
  for (int i = 0; i < p->graph->inputs.n; i++) {
    const Node *n = g_node(p->graph, p->graph->inputs.v[i].val);
    int line = lines_find(t, n->loc);
    int64_t bytes = tensor_room(n->dt, &n->shape);
    hold(h, t, line, HELD_STATE, bytes);
  }
  for (int b = 0; b < p->buf.n; b++) {
    const Buf *x = &p->buf.v[b];
    if (program_memory(p, b) != b || x->kind == BUF_INPUT || m->first[b] < 0 || m->first[b] > m->peak ||
        m->last[b] < m->peak)
      continue;
    const Kernel *k = &p->kernel.v[m->first[b]];
    const Node *n = x->val >= 0 ? g_node(p->graph, x->val) : NULL;
    int line = lines_find(t, n ? n->loc : k->loc);
    hold(h, t, line, n ? (int)n->role : (int)k->role, x->bytes);
  }
  HeldRow *row = NEWN(c->arena, HeldRow, t->v.n);
  int n = 0;
  int *order = lines_order(t), width = lines_width(t);
  for (int i = 0; i < t->v.n; i++)
    if (order[i] < MOST_LINES && h[order[i]].total) row[n++] = (HeldRow){&h[order[i]], order[i]};
  if (!t->modules) qsort(row, (size_t)n, sizeof *row, by_total);
  printf("\nlive at the peak, k%d:\n%-*s %10s %10s %10s %10s  %s\n", m->peak, width, lines_kind(t), "forward",
         "gradient", "update", "states", "");
  for (int i = 0; i < n; i++) {
    printf("%-*s", width, lines_name(t, row[i].line));
    for (int r = 0; r < 4; r++)
      printf(" %10s", row[i].h->bytes[r] ? human_bytes(c->arena, row[i].h->bytes[r]) : "");
    printf("  %.60s\n", lines_text(t, row[i].line));
  }
}

Status explain_memory(Cli *c, const Program *p, Lines *t) {
  Memory m = measure(p, c->arena);
  if (!p->kernel.n) {
    printf("nothing to run\n");
    return ST_OK;
  }
  const char *name = kernel_name(p, m.peak, c->arena);
  int at = lines_find(t, p->kernel.v[m.peak].loc);
  printf("arena    %s\n", human_bytes(c->arena, p->arena_bytes));
  printf("always   %s of parameters, optimizer state and inputs\n", human_bytes(c->arena, m.always));
  printf("peak     %s in %s (%s): arena over peak %.3f\n", human_bytes(c->arena, m.always + m.live[m.peak]),
         name, lines_name(t, at), (double)p->arena_bytes / (double)(m.always + m.live[m.peak]));
  print_curve(c, &m);
  print_holders(c, &m, t);
  if (!OPT(c, out)) return ST_OK;
  StrBuf b = {0};
  memory_svg(p, t, &b);
  Status s = cli_write_text(c, OPT(c, out), b.s, b.n);
  sb_free(&b);
  return s;
}

Status cmd_explain(Cli *c) {
  int modes = OPT(c, memory) + OPT(c, time) + OPT(c, fusion);
  if (modes > 1) return cli_fail(c, ST_USAGE, "--memory, --time and --fusion exclude each other");
  if (OPT(c, out) && !OPT(c, memory)) return cli_fail(c, ST_USAGE, "-o is the picture of --memory");
  if (OPT(c, trace) && !OPT(c, time)) return cli_fail(c, ST_USAGE, "--trace belongs to --time");
  if (OPT(c, network) && (!OPT(c, time) || OPT(c, ranks) < 2))
    return cli_fail(c, ST_USAGE, "--network goes with --time and --ranks, of 2 or more");
  Program *p = NULL;
  const Recipe *r = NULL;
  Status s = cli_ranks_told(c);
  if (s) return s;
  if (cli_has_suffix(c->opt.arg[0], ".ir") && (s = cli_read_program(c, c->opt.arg[0], true, &p))) return s;
  if (!p && (s = subject_program(c, true, &p, &r))) return s;
  if (OPT(c, trace) && !access(OPT(c, trace), R_OK) &&
      !trace_is_of(OPT(c, trace), p)) { /* bench binds no data */
    Program *other;
    if ((s = subject_program(c, false, &other, &r))) return s;
    if (trace_is_of(OPT(c, trace), other)) p = other;
  }
  bool modules = OPT(c, by) && !strcmp(OPT(c, by), "module");
  if (modules && OPT(c, fusion))
    return cli_fail(c, ST_USAGE, "--fusion is told by line: --by module goes with --memory and --time");
  if (modules && cli_has_suffix(c->opt.arg[0], ".ir"))
    return cli_fail(c, ST_USAGE,
                    "a dump does not hold the paths of modules: --by module needs the model file");
  Lines *t = modules ? lines_new_modules(c->arena) : lines_new(c->arena);
  if (OPT(c, time)) {
    s = explain_time(c, p, t, r);
    return s || !OPT(c, network) ? s : explain_ranks(c, p, r);
  }
  if (OPT(c, fusion)) return explain_fusion(c, p, t);
  if (OPT(c, memory)) return explain_memory(c, p, t);
  if ((s = explain_memory(c, p, t))) return s;
  printf("\n");
  if ((s = explain_time(c, p, t, r))) return s;
  printf("\n");
  return explain_fusion(c, p, modules ? lines_new(c->arena) : t);
}
