#include "tests/unit/model_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passes/graph/pass.h"

ModelCase mc_new(void) {
  ModelCase c = {.a = arena_new()};
  c.d = diags_new(c.a);
  return c;
}

char *mc_written(ModelCase *c, const char *text) {
  char *path = arena_strdup(c->a, "/tmp/jepac-frontend-XXXXXX");
  int fd = mkstemp(path);
  ck_assert(fd >= 0);
  ck_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
  return path;
}

void mc_ok(const ModelCase *c, const void *p) {
  if (!p) diags_print(c->d, stderr);
  ck_assert(p != NULL);
}

ModelCase mc_text(const char *text, const NameValue *set, int nset) {
  ModelCase c = mc_new();
  char *path = mc_written(&c, text);
  FrontendOptions o = {.set = set, .nset = nset, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, path, &o);
  unlink(path);
  return c;
}

ModelCase mc_path(const char *path, const NameValue *set, int nset) {
  ModelCase c = mc_new();
  FrontendOptions o = {.set = set, .nset = nset, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, path, &o);
  return c;
}

Tensor64 *mc_run(ModelCase *c, Graph **graph, const Given *given, int ngiven) {
  static const char *const passes[] = {"autodiff"};
  char err[512];
  ck_assert_msg(graph_verify(*graph, err, sizeof err), "%s", err);
  Graph *g = passes_run(c->a, *graph, passes, 1, NULL, c->d);
  mc_ok(c, g);
  *graph = g;
  Tensor64 *in = NEWN(c->a, Tensor64, g->inputs.n), *out = NEWN(c->a, Tensor64, g->outputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(c->a, double, count)};
    for (int k = 0; k < ngiven; k++) {
      if (strcmp(given[k].name, g->inputs.v[i].name)) continue;
      ck_assert_msg(given[k].n == count, "%s has %lld elements", given[k].name, (long long)count);
      for (int64_t j = 0; j < count; j++)
        in[i].v[j] = dtype_is_int(n->dt) ? int_cell(n->dt, (int64_t)given[k].v[j]) : given[k].v[j];
    }
  }
  graph_interp(g, in, out, c->a, false);
  for (int i = 0; i < g->outputs.n; i++)
    for (int64_t j = 0; j < shape_count(&out[i].shape); j++) out[i].v[j] = cell_value(out[i].dt, out[i].v[j]);
  return out;
}

const double *mc_result(const Graph *g, const Tensor64 *out, const char *name) {
  for (int i = 0; i < g->outputs.n; i++)
    if (!strcmp(g->outputs.v[i].name, name)) return out[i].v;
  ck_abort_msg("no output %s", name);
}

void mc_close(double got, double want) {
  ck_assert_msg(fabs(got - want) < 1e-12, "%.15g is not %.15g", got, want);
}
