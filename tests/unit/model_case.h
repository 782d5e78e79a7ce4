/* Models written down in tests: loaded, evaluated in f64, looked at. */
#ifndef JEPAC_TESTS_MODEL_CASE_H
#define JEPAC_TESTS_MODEL_CASE_H

#include "frontend/frontend.h"

typedef struct {
  Arena *a;
  Diags *d;
  Model *m;
} ModelCase;

ModelCase mc_new(void);
char *mc_written(ModelCase *c, const char *text); /* to a file of its own */
ModelCase mc_text(const char *text, const NameValue *set, int nset);
ModelCase mc_path(const char *path, const NameValue *set, int nset);
void mc_ok(const ModelCase *c, const void *p); /* p is not NULL, or what was reported is shown */

typedef struct {
  const char *name;
  const double *v;
  int n;
} Given;
/* Evaluates a graph in f64: inputs by name, 0 where none is given; returns the outputs. */
Tensor64 *mc_run(ModelCase *c, Graph **graph, const Given *given, int ngiven);
const double *mc_result(const Graph *g, const Tensor64 *out, const char *name);
void mc_close(double got, double want);

#endif
