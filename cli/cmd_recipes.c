/* jepac recipes: the paper's models on its data sets, with data, size and with --time what all of it takes here. */
#include "cli/explain.h"

#include <string.h>

/* With its settings in place of the command line's. */
static Status load(Cli *c, const PaperRecipe *r, Model **m, const Recipe **recipe) {
  c->opt.nset = 0;
  Status s = recipe_settings(c, r);
  if (s || (s = cli_load(c, recipe_path(c, r), NULL, 0, m))) return s;
  *recipe = frontend_recipe(*m, c->diags);
  return *recipe ? ST_OK : ST_MODEL;
}

/* GFLOP of a step, seconds of a step and days of all, at the roof. */
static Status predict(Cli *c, Model *m, double steps, const Roof *roof) {
  Program *p;
  const Graph *g = cli_train_step(c, m);
  Status s = g && (g = cli_passes(c, g, NULL)) ? cli_lower(c, g, &p) : ST_MODEL;
  if (s) return s;
  double flops = 0, seconds = roof_seconds(p, roof);
  for (int i = 0; i < p->graph->node.n; i++) flops += node_flops(p->graph, i);
  printf(" %8s %9.3g %8.3g %9s", human_count(c->arena, flops), seconds, seconds * steps / 86400,
         human_bytes(c->arena, p->arena_bytes));
  return ST_OK;
}

static Status print_row(Cli *c, const PaperRecipe *r, const Roof *roof) {
  Model *m;
  const Recipe *recipe;
  Status s = load(c, r, &m, &recipe);
  if (s) return s;
  int64_t samples = recipe->data.samples, each = samples / recipe->batch, views = 0;
  const Setting *v = setting_find(recipe->data.set, recipe->data.nset, "views");
  if (v) views = (int64_t)v->num;
  printf("%-44s %-13s %5lld %6lld %6lld %8s", r->name, recipe->data.source, (long long)views,
         (long long)recipe->batch, (long long)recipe->epochs,
         samples > 0 ? arena_printf(c->arena, "%lld", (long long)samples) : "any");
  if (roof) s = predict(c, m, (double)(each * recipe->epochs), roof);
  printf("\n");
  fflush(stdout);
  return s;
}

/* The command that NAME stands for. */
static void print_command(Cli *c, const PaperRecipe *r) {
  printf("jepac train %s", recipe_path(c, r));
  for (int k = 0; k < 3; k++)
    for (const char *const *s = r->set[k]; s && *s; s++) printf(" \\\n  --set '%s'", *s);
  printf("\n");
}

Status cmd_recipes(Cli *c) {
  Roof roof;
  const PaperRecipe *one = c->opt.narg ? recipe_find(c->opt.arg[0]) : NULL;
  if (c->opt.narg && !one)
    return cli_fail(c, ST_USAGE, "there is no recipe '%s': `jepac recipes` lists them", c->opt.arg[0]);
  bool time = OPT(c, time);
  Status s = time ? measure_roof(c, &roof) : ST_OK;
  if (one && !time) {
    print_command(c, one);
    return ST_OK;
  }
  printf("%-44s %-13s %5s %6s %6s %8s", "name", "data", "views", "batch", "epochs", "samples");
  printf(time ? " %8s %9s %8s %9s\n" : "\n", "FLOP", "s a step", "days", "arena");
  for (const PaperRecipe *r = paper_recipes; r->name && !s; r++)
    if (!one || one == r) s = print_row(c, r, time ? &roof : NULL);
  return s;
}
