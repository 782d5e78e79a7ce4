/* jepac check: what a model file is, without compiling it. */
#include "cli/cli.h"

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

static double graph_flops(const Graph *g) {
  double sum = 0;
  for (int i = 0; i < g->node.n; i++) sum += node_flops(g, i);
  return sum;
}

static void print_tally(Cli *c, const char *what, const Tally *t) {
  if (t->tensors)
    printf("  %-12s %s in %d tensors, %s\n", what, cli_human_count(c->arena, (double)t->elements), t->tensors,
           cli_human_bytes(c->arena, t->bytes));
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

static Status check_train_step(Cli *c, Model *m, const Recipe *r) {
  const Graph *g = frontend_train_step(m, c->diags, true);
  if (!g) return ST_MODEL;
  const Graph *opt = cli_passes(c, g, NULL);
  if (!opt) return ST_MODEL;
  Program *p;
  Status s = cli_lower(c, opt, &p);
  if (s) return s;
  Tally param = {0}, buffer = {0}, slot = {0};
  tally(opt, IN_PARAM, &param);
  tally(opt, IN_BUFFER, &buffer);
  tally(opt, IN_SLOT, &slot);
  printf("  train %s on %s, batch %lld, ", r->model, r->data.source, (long long)r->batch);
  if (r->steps > 0) printf("%lld steps\n", (long long)r->steps);
  else printf("%lld epochs\n", (long long)r->epochs);
  print_tally(c, "parameters", &param);
  print_tally(c, "buffers", &buffer);
  print_tally(c, "optimizer", &slot);
  printf("  %-12s %sFLOP a step, %d kernels\n", "work", cli_human_count(c->arena, graph_flops(opt)),
         p->kernel.n);
  printf("  %-12s %s (arena)\n", "memory", cli_human_bytes(c->arena, p->arena_bytes));
  return ST_OK;
}

Status cmd_check(Cli *c) {
  Model *m;
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  if (s) return s;
  const Recipe *r = cli_recipe(c, m);
  printf("%s\n", c->opt.arg[0]);
  Diags *skipped = diags_new(c->arena); /* with a recipe, entries it does not use may leave dimensions open */
  for (int i = 0; i < frontend_entry_count(m); i++) {
    const char *name = frontend_entry_name(m, i);
    const Graph *g = frontend_entry(m, r ? skipped : c->diags, name, false, false);
    if (!g && !r) return ST_MODEL;
    if (!g) {
      printf("  entry %s: not all dimensions are known (--set)\n", name);
      continue;
    }
    print_signature(g, name);
    printf("   %sFLOP\n", cli_human_count(c->arena, graph_flops(g)));
    Tally param = {0};
    tally(g, IN_PARAM, &param);
    if (!r) print_tally(c, "parameters", &param);
  }
  return r ? check_train_step(c, m, r) : ST_OK;
}
