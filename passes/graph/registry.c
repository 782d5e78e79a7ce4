/* The table of graph passes and the loop that runs a list of them. */
#include "passes/graph/pass.h"

#include <string.h>

enum { PROP_ALL = PROP_EXPANDED | PROP_STRIPPED | PROP_UNIQUE | PROP_LIVE };

static const PassRow table[] = {
    {.name = "autodiff",
     .fn = pass_autodiff,
     .gives = PROP_EXPANDED,
     .keeps = PROP_STRIPPED,
     .doc = "Replaces grad nodes by the operators that compute the derivative (reverse mode)."},
    {.name = "strip",
     .fn = pass_strip,
     .needs = PROP_EXPANDED,
     .gives = PROP_STRIPPED,
     .keeps = PROP_EXPANDED,
     .doc = "Removes stop_gradient, which means nothing once derivatives are expanded."},
    {.name = "simplify",
     .fn = pass_simplify,
     .gives = PROP_LIVE,
     .keeps = PROP_EXPANDED | PROP_STRIPPED,
     .doc = "Algebraic rules: identities, views of views, constants, factors out of sums."},
    {.name = "cse",
     .fn = pass_cse,
     .gives = PROP_UNIQUE,
     .keeps = PROP_ALL,
     .doc = "Computes equal values once."},
    {.name = "dce",
     .fn = pass_dce,
     .gives = PROP_LIVE,
     .keeps = PROP_ALL,
     .doc = "Drops what no output needs."},
    {.name = "narrow",
     .fn = pass_narrow,
     .gives = PROP_LIVE,
     .keeps = PROP_EXPANDED | PROP_STRIPPED,
     .doc = "Computes of every value only the part that is read."},
    {.name = "shard",
     .fn = pass_shard,
     .needs = PROP_EXPANDED | PROP_STRIPPED,
     .keeps = PROP_EXPANDED | PROP_STRIPPED,
     .doc = "Shares a step among processes: each works on its part of the batch."},
    {.name = "canon",
     .fn = pass_canon,
     .keeps = PROP_EXPANDED | PROP_STRIPPED | PROP_LIVE,
     .doc = "Brings operands of matrix products into an order a product can read."},
    {.name = "split",
     .fn = pass_split,
     .keeps = PROP_EXPANDED | PROP_STRIPPED | PROP_LIVE,
     .doc = "Sums over a batch of images: within each image first, then over the images."},
    {.name = "parts",
     .fn = pass_parts,
     .keeps = PROP_EXPANDED | PROP_STRIPPED,
     .doc = "Sums of many disjoint parts become concatenations, long concatenations trees of short ones."},
};
enum { PASSES = sizeof table / sizeof *table };

const PassRow *pass_table(int *n) {
  *n = PASSES;
  return table;
}

const PassRow *pass_find(const char *name) {
  for (int i = 0; i < PASSES; i++)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}

int pass_properties(const Graph *g) {
  int props = PROP_ALL;
  Arena *tmp = arena_new();
  bool *live = NEWN(tmp, bool, g->node.n + 1);
  ValueTable *seen = value_table_new(tmp, g->node.n);
  pass_mark_live(g, live);
  bool *pinned = pass_mark_pinned(tmp, g);
  for (Val v = 0; v < g->node.n; v++) {
    OpId op = g_node(g, v)->op;
    if (op == OP_grad) props &= ~PROP_EXPANDED;
    if (op == OP_stop_gradient) props &= ~PROP_STRIPPED;
    if (op == OP_input) continue;
    if (!live[v]) props &= ~PROP_LIVE;
    if (!pinned[v] && value_table_find(seen, g, v) != v) props &= ~PROP_UNIQUE;
  }
  arena_free(tmp);
  return props;
}

static const char *property_words(int prop) {
  return prop & PROP_EXPANDED   ? "expanded gradients (run autodiff first)"
         : prop & PROP_STRIPPED ? "no stop_gradient (run strip first)"
         : prop & PROP_UNIQUE   ? "unique values (run cse first)"
                                : "no dead values (run dce first)";
}

static bool same_text(const Graph *a, const Graph *b) {
  StrBuf x = {0}, y = {0};
  graph_print(a, &x);
  graph_print(b, &y);
  bool same = x.n == y.n && (!x.n || !memcmp(x.s, y.s, x.n));
  sb_free(&x);
  sb_free(&y);
  return same;
}

static void verify_after(const PassRow *row, const Graph *g, int promised) {
  char err[512];
  if (!graph_verify(g, err, sizeof err)) bug("pass %s made an invalid graph: %s", row->name, err);
  int missing = promised & ~pass_properties(g);
  if (missing) bug("pass %s promises %s, which its result lacks", row->name, property_words(missing));
}

/* One pass; NULL after reporting, or when the watcher stops it. */
static Graph *run_one(Arena *a, const Graph *g, const char *name, int i, const PassOptions *opt, Diags *d) {
  const PassRow *row = pass_find(name);
  if (!row) {
    const char *known[PASSES];
    for (int k = 0; k < PASSES; k++) known[k] = table[k].name;
    const char *near = nearest_name(name, known, PASSES);
    diag_error(d, NULL, "unknown pass '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
               near ? "'?" : "");
    return NULL;
  }
  int before = row->needs || opt->verify_each ? pass_properties(g) : 0;
  if (row->needs & ~before) {
    diag_error(d, NULL, "pass '%s' needs %s", row->name, property_words(row->needs & ~before));
    return NULL;
  }
  double start = now_seconds();
  Graph *next = row->fn(a, g, d);
  if (!next || (opt->watch && !opt->watch(opt->watch_ctx, row->name, next))) return NULL;
  if (opt->times) opt->times[i] = (PassTime){row->name, now_seconds() - start, g->node.n, next->node.n};
  if (opt->verify_each) verify_after(row, next, row->gives | (before & row->keeps));
  if (opt->dump && !same_text(g, next)) opt->dump(opt->dump_ctx, i + 1, row->name, next);
  return next;
}

Graph *passes_run(Arena *a, const Graph *in, const char *const *names, int n, const PassOptions *opt,
                  Diags *d) {
  static const PassOptions plain = {0};
  if (!opt) opt = &plain;
  if (!n) return pass_live_copy(a, in, false);
  Arena *held = NULL; /* graphs in between last until the next one is made, unless somebody watches them */
  Graph *next = NULL;
  for (int i = 0; i < n; i++) {
    Arena *own = opt->watch || i + 1 == n ? a : arena_new();
    next = run_one(own, i ? next : in, names[i], i, opt, d);
    if (held) arena_free(held);
    held = own == a ? NULL : own;
    if (!next) break;
  }
  if (held) arena_free(held);
  return next;
}

/* ---- what passes share ---- */
bool *pass_mark_pinned(Arena *a, const Graph *g) {
  bool *pinned = NEWN(a, bool, g->node.n + 1);
  for (Val v = 0; v < g->node.n; v++)
    if (g_node(g, v)->op == OP_grad) pinned[g_node(g, v)->in[1]] = true;
  return pinned;
}

Graph *pass_begin(Arena *a, const Graph *in, Val **map) {
  *map = NEWN(a, Val, in->node.n + 1);
  for (int i = 0; i < in->node.n; i++) (*map)[i] = -1;
  Graph *out = graph_new(a, in->name);
  out->precision = in->precision;
  out->ranks = in->ranks;
  out->spread = in->spread;
  out->node.cap = in->node.n + in->node.n / 8 + 8;
  out->node.v = NEWN(a, Node, out->node.cap);
  return out;
}

Val pass_copy(Graph *out, const Graph *in, Val v, const Val *map) {
  const Node *n = g_node(in, v);
  Val few[8], *ops = n->nin <= 8 ? few : NEWN(out->arena, Val, n->nin);
  for (int i = 0; i < n->nin; i++) ops[i] = map[n->in[i]];
  return g_copy_node(out, in, v, ops);
}

void pass_outputs(Graph *out, const Graph *in, const Val *map) {
  for (int i = 0; i < in->outputs.n; i++) {
    const Output *o = &in->outputs.v[i];
    int state = o->state < 0 ? -1 : g_node(out, map[in->inputs.v[o->state].val])->input;
    g_output(out, o->name, map[o->val], state);
  }
}
