/* The table of lowering passes, in order, and the loop that runs a list of them. */
#include <stdlib.h>
#include <string.h>

#include "ir/graph/collective.h"
#include "passes/lower/lower.h"

enum { PROGRAM = HAS_LAYOUT | HAS_KERNELS };

static bool new_graph(const LowerOptions *o) { return !o->lowered; }
static bool narrowly(const LowerOptions *o) { return !o->lowered && dtype_is_narrow(o->precision); }
static bool with_ranks(const LowerOptions *o) { return o->ranks; }
static bool in_chains(const LowerOptions *o) { return !o->no_chains; }

static const LowerRow table[] = {
    {.name = "remat",
     .fn = pass_remat,
     .wanted = new_graph,
     .doc = "Computes cheap values again in the backward pass instead of keeping them, on a budget more."},
    {.name = "precision",
     .fn = pass_precision,
     .wanted = narrowly,
     .rounds = true,
     .doc = "Rounds what is stored between kernels to bf16 or f16, by casts in the graph."},
    {.name = "layout",
     .fn = pass_layout,
     .gives = HAS_LAYOUT,
     .doc = "Chooses the values that are stored in blocks of channels."},
    {.name = "fuse",
     .fn = pass_fuse,
     .needs = HAS_LAYOUT,
     .gives = HAS_KERNELS,
     .keeps = HAS_LAYOUT,
     .doc = "Decides what is stored and builds the kernels that compute it."},
    {.name = "schedule",
     .fn = pass_schedule,
     .needs = PROGRAM,
     .gives = HAS_ORDER,
     .keeps = PROGRAM,
     .doc = "Orders kernels; states are overwritten in place where their readers can come first."},
    {.name = "chain",
     .fn = pass_chain,
     .needs = PROGRAM | HAS_ORDER,
     .gives = HAS_CHAINS,
     .keeps = PROGRAM | HAS_ORDER,
     .wanted = in_chains,
     .doc = "Joins neighbouring kernels that can run chunk by chunk, one after the other."},
    {.name = "interleave",
     .fn = pass_interleave,
     .needs = PROGRAM | HAS_ORDER,
     .gives = HAS_INTERLEAVED,
     .keeps = PROGRAM | HAS_ORDER | HAS_CHAINS,
     .wanted = in_chains,
     .doc = "Puts steps that are ready between a step and the one that waits for it."},
    {.name = "beside",
     .fn = pass_beside,
     .needs = PROGRAM | HAS_ORDER,
     .keeps = PROGRAM | HAS_ORDER | HAS_CHAINS | HAS_INTERLEAVED,
     .wanted = with_ranks,
     .doc = "Lets what ranks send each other travel while kernels run."},
    {.name = "memplan",
     .fn = pass_memplan,
     .needs = PROGRAM | HAS_ORDER,
     .gives = HAS_PLAN,
     .keeps = PROGRAM | HAS_ORDER | HAS_CHAINS | HAS_INTERLEAVED,
     .doc = "Gives every buffer its place in one arena."},
};
enum { PASSES = sizeof table / sizeof *table };

const LowerRow *lower_table(int *n) {
  *n = PASSES;
  return table;
}

const LowerRow *lower_find(const char *name) {
  for (int i = 0; i < PASSES; i++)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}

static const char *has_words(int has) {
  return has & HAS_LAYOUT    ? "a layout (run layout first)"
         : has & HAS_KERNELS ? "kernels (run fuse first)"
         : has & HAS_ORDER   ? "kernels in order (run schedule first)"
         : has & HAS_PLAN    ? "a plan of memory (run memplan first)"
                             : "what it says";
}

/* ---- the state ---- */
int *lower_filled(Arena *a, int n, int value) {
  int *p = NEWN(a, int, n + 1);
  for (int i = 0; i < n; i++) p[i] = value;
  return p;
}

static bool has_ranks(const Graph *g) {
  bool any = false;
  for (Val v = 0; v < g->node.n && !any; v++)
    any = op_table[g_node(g, v)->op].kind == KIND_COLLECTIVE && collective_ranks(g_node(g, v)) > 1;
  return any;
}

static Lower *state(Program *p, const LowerOptions *o) {
  Lower *l = NEW(p->arena, Lower);
  *l = (Lower){.arena = p->arena, .attempt = arena_new(), .g = p->graph, .opt = *o, .p = p};
  l->opt.ranks = has_ranks(p->graph);
  p->memo = plan_memo_new(p->arena);
  return l;
}

Lower *lower_begin(Arena *a, const Graph *g, const Target *t, const LowerOptions *o) {
  Program *p = NEW(a, Program);
  p->arena = a;
  p->graph = g;
  p->target = *t;
  return state(p, o);
}

Lower *lower_resume(Program *p, const LowerOptions *o) {
  Lower *l = state(p, o);
  l->loops = graph_loops_of(l->g, l->arena);
  l->buf = lower_filled(l->arena, l->g->node.n, -1);
  l->kernel_of = lower_filled(l->arena, l->g->node.n, -1);
  for (int b = p->buf.n - 1; b >= 0; b--)
    if (p->buf.v[b].val >= 0) l->buf[p->buf.v[b].val] = b;
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    for (int i = k->nbuf - k->nout; i < k->nbuf; i++)
      if (p->buf.v[k->buf[i]].val >= 0) l->kernel_of[p->buf.v[k->buf[i]].val] = at;
  }
  /* a text that does not say what it has is in order as it stands */
  if (!p->has) p->has = PROGRAM | HAS_ORDER | HAS_CHAINS | HAS_INTERLEAVED;
  return l;
}

Program *lower_end(Lower *l) {
  arena_free(l->attempt);
  return l->p;
}

int lower_has(const Lower *l) { return l->p->has; }

bool lower_wants(const Lower *l, const char *name) {
  const LowerRow *row = lower_find(name);
  return !row->wanted || row->wanted(&l->opt);
}

static bool is_program(const Lower *l) { return l->p->has & HAS_KERNELS; }
static bool is_layout(const Lower *l) { return !is_program(l) && l->p->has & HAS_LAYOUT; }

void lower_print(const Lower *l, StrBuf *out) {
  char type[128];
  if (is_program(l)) {
    program_print(l->p, out);
    return;
  }
  for (Val v = 0; is_layout(l) && v < l->g->node.n; v++) {
    const Node *n = g_node(l->g, v);
    if (l->layout[v]) sb_printf(out, "# %%%d: %s/%d\n", v, type_str(n->dt, &n->shape, type), l->layout[v]);
  }
  graph_print(l->g, out);
}

/* ---- running ---- */
static bool watch(Lower *l, const LowerRow *row, const LowerRun *run) {
  PassResult r = {.pass = row->name, .rounds = row->rounds};
  if (is_program(l)) {
    r.program = l->p;
    r.ordered = l->p->has & HAS_ORDER;
    r.new_kernels = row->gives & HAS_KERNELS;
  } else if (is_layout(l)) {
    r.of = l->g;
    r.block = l->layout;
  } else {
    r.graph = (Graph *)l->g; /* made by this pass: the watcher may put a fault in */
  }
  return run->watch(run->watch_ctx, &r);
}

static void verify(const Lower *l, const LowerRow *row, int promised) {
  char err[512];
  if (!is_program(l)) {
    if (!graph_verify(l->g, err, sizeof err)) bug("pass %s made an invalid graph: %s", row->name, err);
    return;
  }
  const Program *p = l->p;
  if (!program_verify(p, err, sizeof err)) bug("after %s: %s", row->name, err);
  int missing = promised & ~p->has;
  if (promised & HAS_ORDER && program_disorder(p).kernel >= 0) missing |= HAS_ORDER;
  if (missing) bug("pass %s promises %s, which its result lacks", row->name, has_words(missing));
}

/* The text, but for the words that say what a program has. */
static char *text_of(Lower *l) {
  StrBuf b = {0};
  int has = l->p->has;
  if (is_program(l)) {
    l->p->has = 0;
    program_print(l->p, &b);
    l->p->has = has;
  } else {
    lower_print(l, &b);
  }
  return b.s;
}

static void dump_if_new(Lower *l, const LowerRun *run, const char *pass, int number, char **last) {
  char *now = text_of(l);
  bool same = !strcmp(now, *last);
  free(*last);
  *last = now;
  if (same) return;
  StrBuf b = {0};
  lower_print(l, &b);
  run->dump(run->dump_ctx, number, pass, b.s);
  sb_free(&b);
}

static const LowerRow *row_for(const Lower *l, const char *name, Diags *d) {
  const LowerRow *row = lower_find(name);
  if (!row && pass_find(name)) {
    diag_error(d, NULL, "pass '%s' is of graphs and comes before lowering", name);
  } else if (!row) {
    const char *known[PASSES];
    for (int k = 0; k < PASSES; k++) known[k] = table[k].name;
    const char *near = nearest_name(name, known, PASSES);
    diag_error(d, NULL, "unknown pass '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
               near ? "'?" : "");
  } else if (row->needs & ~l->p->has) {
    diag_error(d, NULL, "pass '%s' needs %s", name, has_words(row->needs & ~l->p->has));
  } else if (!row->needs && l->p->has) {
    diag_error(d, NULL, "pass '%s' is of graphs, and this one is lowered", name);
  } else if (row->gives & l->p->has) {
    diag_error(d, NULL, "pass '%s' has run already", name);
  } else if (l->p->has & HAS_PLAN) {
    diag_error(d, NULL, "pass '%s' comes before memory is planned", name);
  } else {
    return row;
  }
  return NULL;
}

static int size(const Lower *l) { return is_program(l) ? l->p->kernel.n : l->g->node.n; }

Status lower_run(Lower *l, const char *const *names, int n, const LowerRun *run, Diags *d) {
  static const LowerRun plain = {0};
  if (!run) run = &plain;
  Status s = ST_OK;
  char *last = run->dump ? text_of(l) : NULL;
  for (int i = 0; i < n && !s; i++) {
    const LowerRow *row = row_for(l, names[i], d);
    if (!row) {
      s = ST_USAGE;
      break;
    }
    int promised = row->gives | (l->p->has & row->keeps), before = size(l);
    double start = now_seconds();
    row->fn(l);
    l->p->has = promised;
    if (run->times) run->times[i] = (PassTime){row->name, now_seconds() - start, before, size(l)};
    if (run->watch && !watch(l, row, run)) s = ST_VERIFY;
    if (!s && run->verify_each) verify(l, row, promised);
    if (!s && run->dump) dump_if_new(l, run, row->name, run->first + i, &last);
  }
  free(last);
  return s;
}
