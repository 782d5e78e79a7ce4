/* jepac check: what a model file is, without compiling it. */
#include "cli/cli.h"
#include "ir/graph/loops.h"

#include <string.h>

typedef struct {
  int tensors;
  int64_t elements, bytes;
} Tally;

static void tally(const Graph *g, InputKind kind, Tally *t) {
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    if (g->inputs.v[i].kind != kind) continue;
    t->tensors++;
    t->elements += shape_count(&n->shape);
    t->bytes += shape_count(&n->shape) * dtype_size(n->dt);
  }
}

static void print_tally(Cli *c, const char *what, const Tally *t) {
  if (t->tensors)
    printf("  %-12s %s in %d tensors, %s\n", what, human_count(c->arena, (double)t->elements), t->tensors,
           human_bytes(c->arena, t->bytes));
}

static void print_signature(const Graph *g, const char *name) {
  char type[128];
  const char *comma = "";
  printf("  entry %s(", name);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    if (g->inputs.v[i].kind != IN_ARG) continue;
    printf("%s%s: %s", comma, g->inputs.v[i].name, type_str(n->dt, &n->shape, type));
    comma = ", ";
  }
  comma = ") -> ";
  for (int i = 0; i < g->outputs.n; i++) {
    const Node *n = g_node(g, g->outputs.v[i].val);
    if (g->outputs.v[i].state >= 0) continue;
    printf("%s%s: %s", comma, g->outputs.v[i].name, type_str(n->dt, &n->shape, type));
    comma = ", ";
  }
}

static Status lower_train_step(Cli *c, Model *m, Program **p) {
  const Graph *g = cli_train_step(c, m);
  return g && (g = cli_passes(c, g, NULL)) ? cli_lower(c, g, p) : ST_MODEL;
}

static void print_train_step(Cli *c, const Recipe *r, const Program *p) {
  Tally param = {0}, buffer = {0}, slot = {0};
  tally(p->graph, IN_PARAM, &param);
  tally(p->graph, IN_BUFFER, &buffer);
  tally(p->graph, IN_SLOT, &slot);
  printf("  train %s", r->model);
  if (r->data.source) printf(" on %s", r->data.source);
  printf(", batch %lld", (long long)r->batch);
  if (r->accumulate > 1) printf(" x %lld", (long long)r->accumulate);
  printf(", ");
  if (r->steps > 0) printf("%lld steps\n", (long long)r->steps);
  else printf("%lld epochs\n", (long long)r->epochs);
  print_tally(c, "parameters", &param);
  print_tally(c, "buffers", &buffer);
  print_tally(c, "optimizer", &slot);
  printf("  %-12s %sFLOP a step, %d kernels\n", "work", human_count(c->arena, graph_flops(p->graph)),
         p->kernel.n);
  printf("  %-12s %s (arena)\n", "memory", human_bytes(c->arena, p->arena_bytes));
}

Status cmd_check(Cli *c) {
  Model *m;
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  if (s) return s;
  int n = frontend_entry_count(m);
  const Graph **entry = NEWN(c->arena, const Graph *, n + 1);
  for (int i = 0; i < n; i++)
    if (!(entry[i] = frontend_entry(m, c->diags, frontend_entry_name(m, i), false, false))) s = ST_MODEL;
  const Recipe *r = cli_recipe(c, m);
  Program *step = NULL;
  Status stepped = r ? lower_train_step(c, m, &step) : ST_OK;
  if (s || stepped) return s ? s : stepped;
  printf("%s\n", c->opt.arg[0]);
  for (int i = 0; i < n; i++) {
    print_signature(entry[i], frontend_entry_name(m, i));
    printf("   %sFLOP\n", human_count(c->arena, graph_flops(entry[i])));
    Tally param = {0};
    tally(entry[i], IN_PARAM, &param);
    if (!r) print_tally(c, "parameters", &param);
  }
  if (r) print_train_step(c, r, step);
  if (!n && !r) printf("  no entry, no train section\n");
  return ST_OK;
}
