/* The entries a model file offers, compiled, with the states of the checkpoint and freshly
   initialized ones. */
#include "eval/parts.h"

#include <errno.h>
#include <string.h>

bool entry_offered(const Eval *e, const char *name) {
  for (int i = 0; i < frontend_entry_count(e->model); i++)
    if (!strcmp(frontend_entry_name(e->model, i), name)) return true;
  return false;
}

/* The only result: one row a sample. */
static const float *result(const Plan *p, const Session *s, int64_t *width) {
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_RESULT && p->tensor[i].dt == DT_F32 && p->tensor[i].shape.rank == 2) {
      *width = p->tensor[i].shape.dim[1];
      return session_tensor_at(s, i).data;
    }
  return NULL;
}

static Status check_argument(Eval *e, const char *entry, const Session *s, const KnownShape *want) {
  void *at;
  char a[128], b[128];
  const PlanTensor *t =
      tensors_find(s, PT_ARG, want->name, &at); /* an argument without effect is not there */
  if (!t || (t->dt == want->dt && shape_eq(&t->shape, &want->shape))) return ST_OK;
  return eval_fail(e, ST_MODEL, "entry %s takes %s as %s, but eval has %s", entry, want->name,
                  type_str(t->dt, &t->shape, a), type_str(want->dt, &want->shape, b));
}

Status entry_open(Eval *e, const char *name, const KnownShape *known, int n, bool untrained, Entry *out) {
  Model *m;
  Status s = compiler_load(&e->compiler, e->info.model, NULL, known, n, &m);
  if (s) return s;
  const Graph *g = frontend_entry(m, e->diags, name, false, false);
  if (!g) return ST_MODEL;
  if ((s = compiler_build(&e->compiler, g, &out->k))) return s;
  out->batch = known[0].shape.dim[0];
  for (int i = 0; i < n; i++)
    if ((s = check_argument(e, name, out->k.session, &known[i]))) return s;
  if (!result(out->k.plan, out->k.session, &out->width))
    return eval_fail(e, ST_MODEL, "entry %s returns no f32[B, D]", name);
  session_init_states(out->k.session, e->info.seed);
  if (untrained) {
    out->untrained = session_new(out->k.plan, e->compiler.threads);
    if (!out->untrained)
      return eval_fail(e, ST_BUDGET, "no memory for an arena of %s: %s",
                      human_bytes(e->arena, out->k.plan->arena_bytes), strerror(errno));
    session_init_states(out->untrained, e->info.seed);
  }
  return states_load(out->k.session, e->states, LOAD_ALL_STATES, e->diags);
}

void entry_close(Entry *k) {
  if (k->untrained) session_free(k->untrained);
  compiled_free(&k->k);
  *k = (Entry){0};
}

void entry_apply(const Entry *k, int which, const EntryInput *in, int nin, int64_t n, float *out) {
  Session *s = which == UNTRAINED ? k->untrained : k->k.session;
  for (int64_t first = 0; first < n; first += k->batch) {
    int64_t rows = n - first < k->batch ? n - first : k->batch, width;
    for (int i = 0; i < nin; i++) {
      void *at;
      const PlanTensor *t = tensors_find(s, PT_ARG, in[i].name, &at);
      if (!t) continue;
      int64_t row = shape_count(&t->shape) / k->batch;
      memcpy(at, in[i].data + first * row, (size_t)(rows * row) * 4);
      memset((float *)at + rows * row, 0, (size_t)((k->batch - rows) * row) * 4);
    }
    session_run(s, 0, k->k.plan->nstep);
    const float *z = result(k->k.plan, s, &width);
    memcpy(out + first * width, z, (size_t)(rows * width) * 4);
  }
}
