/* One compiled graph for the whole batches and, where the samples do not divide, one for the rest: a mean over a batch
   filled up would be another. The batch is chosen so that mostly there is no rest. */
#include "eval/validate.h"
#include "lib/tensors.h"
#include "runtime/checkpoint.h"
#include "runtime/data/loader.h"
#include "eval/parts.h"

#include <stdlib.h>
#include <string.h>

enum { WHOLE, REST, NCODE };

struct Validation {
  Compiler c;
  const Recipe *recipe;
  Compiled code[NCODE];
  int64_t samples, rows[NCODE]; /* rows: of a batch; 0: no such code */
  Ranks *ranks;
  Loader *loader;
  void **dst; /* arguments of the first code, by field */
};

/* As many as the recipe's batch or a little fewer, so that they divide the samples where that is possible. */
static int64_t choose_batch(int64_t samples, int64_t most) {
  if (samples <= most) return samples;
  for (int64_t b = most; 2 * b >= most; b--)
    if (samples % b == 0) return b;
  return most;
}

static Status open_code(Validation *v, const ValidationOptions *o, int which) {
  Compiler own = v->c;
  NameValue *set = NEWN(own.arena, NameValue, own.nset + 1);
  int n = 0;
  for (int i = 0; i < own.nset; i++)
    if (v->rows[which] == o->batch || strcmp(own.set[i].name, "batch")) set[n++] = own.set[i];
  if (v->rows[which] != o->batch)
    set[n++] = (NameValue){"batch", arena_printf(own.arena, "%lld", (long long)v->rows[which])};
  own.set = set;
  own.nset = n;
  own.seen = NULL;
  own.pipeline.dump = NULL;
  Model *m;
  Status st = compiler_load(&own, o->model, NULL, NULL, 0, &m);
  const Graph *g = st ? NULL : frontend_validation(m, own.diags);
  if (g) st = compiler_build(&own, g, &v->code[which]);
  else if (!st) st = ST_MODEL;
  if (st) {
    diag_note(own.diags, NULL, "while compiling what measures %lld samples of the test part at a time",
              (long long)v->rows[which]);
    return st;
  }
  compiled_init(&v->code[which], o->seed);
  if (which == WHOLE) v->recipe = frontend_recipe(m, own.diags);
  return ST_OK;
}

static Status open_all(Validation *v, const Recipe *recipe, const ValidationOptions *o) {
  Status st;
  v->samples = loader_count(&recipe->data, o->data, false, v->c.diags, &st);
  if (st) return st;
  v->rows[WHOLE] = choose_batch(v->samples, o->batch);
  v->rows[REST] = v->samples % v->rows[WHOLE];
  for (int which = 0; which < NCODE; which++)
    if (v->rows[which] && (st = open_code(v, o, which))) return st;
  /* with one seed the test samples would have the training samples' views */
  uint64_t seed = o->seed ^ (uint64_t)0x74657374 << 32;
  v->loader = loader_open_all(&v->recipe->data, o->data, v->rows[WHOLE], seed, false, v->c.diags, &st);
  if (!v->loader) return st;
  loader_configure(v->loader, true, 1);
  const DataSpec *data = &v->recipe->data;
  v->dst = NEWN(v->c.arena, void *, data->nfield + 1);
  for (int i = 0; i < data->nfield; i++)
    tensors_find(v->code[WHOLE].session, PT_ARG, arena_printf(v->c.arena, "data.%s", data->field[i].name), &v->dst[i]);
  return ST_OK;
}

Validation *validation_open(const Compiler *c, const ValidationOptions *o, Status *st) {
  Model *m;
  Validation *v = NEW(c->arena, Validation);
  v->c = *c;
  v->c.ranks = 0; /* each takes whole batches */
  v->ranks = o->ranks;
  *st = compiler_load(&v->c, o->model, NULL, NULL, 0, &m);
  const Recipe *recipe = *st ? NULL : frontend_recipe(m, c->diags);
  if (!recipe && !*st) *st = ST_MODEL;
  if (!*st) *st = open_all(v, recipe, o);
  if (!*st) return v;
  validation_close(v);
  return NULL;
}

void validation_close(Validation *v) {
  if (!v) return;
  loader_close(v->loader);
  for (int i = 0; i < NCODE; i++) compiled_free(&v->code[i]);
  v->loader = NULL;
}

int64_t validation_samples(const Validation *v) { return v->samples; }
int validation_count(const Validation *v) { return v->code[WHOLE].nmetric; }

const char *validation_name(const Validation *v, int i) {
  return v->code[WHOLE].plan->tensor[v->code[WHOLE].metric[i]].name;
}

void validation_take(Validation *v, const Session *s) {
  for (int i = 0; i < NCODE; i++)
    if (v->rows[i]) session_copy_states(v->code[i].session, s);
}

Status validation_load(Validation *v, const StFile *f) {
  Session *first = v->code[WHOLE].session;
  Status st = states_load(first, f, LOAD_ALL_STATES, v->c.diags);
  if (!st && v->rows[REST]) session_copy_states(v->code[REST].session, first);
  return st;
}

void validation_at(Validation *v, int64_t step, int64_t per_epoch, int64_t total) {
  for (int i = 0; i < NCODE; i++) {
    if (!v->rows[i]) continue;
    tensors_set_number(v->code[i].session, "step", step);
    tensors_set_number(v->code[i].session, "steps_per_epoch", per_epoch);
    tensors_set_number(v->code[i].session, "total_steps", total);
  }
}

/* The last samples, which the loader put in front of the larger batch. */
static void copy_rest(Validation *v) {
  const DataSpec *data = &v->recipe->data;
  for (int i = 0; i < data->nfield; i++) {
    void *at;
    const PlanTensor *t =
        tensors_find(v->code[REST].session, PT_ARG, arena_printf(v->c.arena, "data.%s", data->field[i].name), &at);
    if (t && v->dst[i]) memcpy(at, v->dst[i], (size_t)(shape_count(&t->shape) * dtype_size(t->dt)));
  }
}

/* The next batch; figure[i]: figure i times the rows. */
static Status run_batch(Validation *v, double *figure) {
  Status st = loader_next(v->loader, v->dst);
  if (st) return st;
  int64_t rows = loader_rows(v->loader);
  const Compiled *k = &v->code[rows == v->rows[WHOLE] ? WHOLE : REST];
  if (rows != v->rows[WHOLE]) copy_rest(v);
  session_run(k->session, 0, k->plan->nstep);
  for (int i = 0; i < validation_count(v); i++)
    figure[i] = (double)*(const float *)session_tensor_at(k->session, k->metric[i]).data * (double)rows;
  return ST_OK;
}

Status validation_run(Validation *v, double *value) {
  int n = validation_count(v);
  int64_t batches = div_up(v->samples, v->rows[WHOLE]);
  Arena *a = arena_new();
  double *figure = NEWN(a, double, batches *n + 1);
  Portion own = portion_of(v->ranks, 0, batches, a);
  Status st = ST_OK;
  loader_seek(v->loader, own.first);
  for (int64_t b = own.first; b < own.last && !st; b++) st = run_batch(v, figure + b * n);
  st = portion_settle(v->ranks, st);
  if (!st) portion_join(v->ranks, &own, 1, batches, n * (int64_t)sizeof *figure, figure);
  for (int i = 0; i < n; i++) {
    value[i] = 0;
    for (int64_t b = 0; b < batches; b++) value[i] += figure[b * n + i];
    value[i] /= (double)v->samples;
  }
  arena_free(a);
  return st;
}
