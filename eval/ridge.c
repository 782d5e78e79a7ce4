/* Linear probes in closed form: models/probes/ridge.jepa on all rows at once. */
#include "eval/parts.h"

#include <string.h>

/* Compiled for numbers of rows and columns. */
struct RidgeCode {
  RidgeCode *next;
  int64_t n, m, dim, outputs;
  Compiled code;
};

static Status compile(Eval *e, RidgeCode *r) {
  const char *own_models = e->compiler.models_dir, *folder = own_models ? own_models : compiler_models(e->arena);
  if (!folder) return eval_fail(e, ST_FILE, "the folder models/ with the probes is missing");
  NameValue set[] = {{"alpha", arena_printf(e->arena, "%.17g", e->size.alpha)}};
  Compiler own = e->compiler; /* as for other probes (probe.c) */
  own.set = set;
  own.nset = 1;
  own.seen = NULL;
  own.pipeline.dump = NULL;
  KnownShape known[] = {{"x", DT_F32, {2, {r->n, r->dim}}},
                        {"y", DT_F32, {2, {r->n, r->outputs}}},
                        {"test", DT_F32, {2, {r->m, r->dim}}}};
  Model *m;
  Status s = compiler_load(&own, arena_printf(e->arena, "%s/probes/ridge.jepa", folder), NULL, known, 3, &m);
  if (s) return s;
  const Graph *g = frontend_entry(m, e->diags, "predict", false, false);
  return g ? compiler_build(&own, g, &r->code) : ST_MODEL;
}

static Status find(Eval *e, const ProbeData *train, const ProbeData *test, int64_t outputs, RidgeCode **out) {
  for (*out = e->ridges; *out; *out = (*out)->next)
    if ((*out)->n == train->n && (*out)->m == test->n && (*out)->dim == train->dim && (*out)->outputs == outputs)
      return ST_OK;
  RidgeCode *r = *out = NEW(e->arena, RidgeCode);
  *r = (RidgeCode){.next = e->ridges, .n = train->n, .m = test->n, .dim = train->dim, .outputs = outputs};
  e->ridges = r;
  return compile(e, r);
}

Status ridge_run(Eval *e, const ProbeData *train, const ProbeData *test, int64_t outputs, float *prediction) {
  RidgeCode *r;
  Status s = find(e, train, test, outputs, &r);
  if (s) return s;
  void *x, *y, *t, *p;
  if (!tensors_find(r->code.session, PT_ARG, "x", &x) || !tensors_find(r->code.session, PT_ARG, "y", &y) ||
      !tensors_find(r->code.session, PT_ARG, "test", &t) ||
      !tensors_find(r->code.session, PT_RESULT, "prediction", &p))
    bug("ridge probe without its arguments");
  compiled_init(&r->code, 0);
  memcpy(x, train->x, (size_t)(train->n * train->dim) * sizeof(float));
  memcpy(t, test->x, (size_t)(test->n * train->dim) * sizeof(float));
  if (train->y) memcpy(y, train->y, (size_t)(train->n * outputs) * sizeof(float));
  for (int64_t i = 0; i < train->n * outputs && train->label; i++)
    ((float *)y)[i] = train->label[i / outputs] == i % outputs ? 1 : -1;
  session_run(r->code.session, 0, r->code.plan->nstep);
  memcpy(prediction, p, (size_t)(test->n * outputs) * sizeof(float));
  return ST_OK;
}

void ridges_close(Eval *e) {
  for (RidgeCode *r = e->ridges; r; r = r->next) compiled_free(&r->code);
}

int64_t linear_epochs(const Eval *e, int64_t epochs) { return e->size.ridge ? 0 : epochs; }
