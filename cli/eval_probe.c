/* Probes on frozen features: a small .jepa program from models/probes, compiled and trained like any model,
   on arrays in memory instead of a data set. */
#include "cli/eval.h"
#include "runtime/rng.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, SHUFFLE_STREAM = 0x9b0be };

/* Writes rows at[order[first..]] of a table of `bytes`-wide rows; indices past the end repeat the last row.
 */
static void copy_rows(void *dst, const void *src, const int64_t *order, int64_t first, int64_t n,
                      size_t bytes) {
  for (int64_t i = 0; i < BATCH; i++) {
    int64_t at = first + i < n ? first + i : n - 1;
    memcpy((char *)dst + (size_t)i * bytes, (const char *)src + (size_t)(order ? order[at] : at) * bytes,
           bytes);
  }
}

static void shuffle(int64_t *order, int64_t n, uint32_t epoch) {
  Rng r = rng_stream(0, SHUFFLE_STREAM, epoch, 0);
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t k = rng_below(&r, (uint32_t)i + 1), t = order[i];
    order[i] = order[k];
    order[k] = t;
  }
}

static Status fit(Cli *c, Compiled *k, const ProbeData *d, int64_t epochs) {
  int64_t per_epoch = d->n / BATCH, *order = NEWN(c->arena, int64_t, d->n);
  void *x, *y;
  if (per_epoch < 1) return cli_fail(c, ST_FILE, "a probe needs at least %d samples", BATCH);
  if (!tensors_find(k->session, PT_ARG, "x", &x) ||
      !tensors_find(k->session, PT_ARG, d->label ? "label" : "y", &y))
    bug("probe without its arguments");
  session_init_states(k->session, 0);
  tensors_set_number(k->session, "steps_per_epoch", per_epoch);
  tensors_set_number(k->session, "total_steps", per_epoch * epochs);
  for (int64_t i = 0; i < d->n; i++) order[i] = i;
  for (int64_t e = 0; e < epochs; e++) {
    shuffle(order, d->n, (uint32_t)e);
    for (int64_t i = 0; i < per_epoch; i++) {
      copy_rows(x, d->x, order, i * BATCH, d->n, (size_t)d->dim * 4);
      if (d->label) copy_rows(y, d->label, order, i * BATCH, d->n, sizeof *d->label);
      else copy_rows(y, d->y, order, i * BATCH, d->n, (size_t)d->ydim * 4);
      tensors_set_number(k->session, "step", e * per_epoch + i);
      session_run(k->session, 0, k->plan->nstep);
    }
  }
  return ST_OK;
}

static void predict(Compiled *k, const ProbeData *d, int64_t outputs, float *prediction) {
  void *x, *out;
  if (!tensors_find(k->session, PT_ARG, "x", &x) || !tensors_find(k->session, PT_RESULT, "prediction", &out))
    bug("probe without its arguments");
  for (int64_t i = 0; i < d->n; i += BATCH) {
    copy_rows(x, d->x, NULL, i, d->n, (size_t)d->dim * 4);
    session_run(k->session, 0, k->plan->nstep);
    int64_t rows = d->n - i < BATCH ? d->n - i : BATCH;
    memcpy(prediction + i * outputs, out, (size_t)(rows * outputs) * 4);
  }
}

Status probe_run(Cli *c, const char *file, const ProbeData *train, const ProbeData *test, int64_t outputs,
                 int64_t epochs, float *prediction) {
  Cli own = {.arena = c->arena,
             .diags = c->diags,
             .opt = c->opt,
             .compiler = c->compiler}; /* the probe has settings of its own */
  own.opt.nset = 0;
  own.opt.threads = 1; /* its kernels are too small to share */
  own.opt.set[own.opt.nset++] = (NameValue){"outputs", arena_printf(c->arena, "%lld", (long long)outputs)};
  KnownShape known[] = {{"x", DT_F32, {2, {BATCH, train->dim}}},
                        {train->label ? "label" : "y",
                         train->label ? DT_I64 : DT_F32,
                         {train->label ? 1 : 2, {BATCH, train->ydim}}}};
  const char *folder = compiler_models(c->arena);
  if (!folder) return cli_fail(c, ST_FILE, "the folder models/ with the probes is missing");
  Model *m;
  Compiled step = {0}, forward = {0};
  Status s = cli_load(&own, arena_printf(c->arena, "%s/probes/%s", folder, file), known, 2, &m);
  if (s) return s;
  const Graph *g = frontend_train_step(m, c->diags, false),
              *p = g ? frontend_entry(m, c->diags, "predict", false, false) : NULL;
  if (!p) return ST_MODEL;
  if (!(s = cli_compile(&own, g, &step)) && !(s = cli_compile(&own, p, &forward)) &&
      !(s = fit(&own, &step, train, epochs))) {
    session_copy_states(forward.session, step.session);
    predict(&forward, test, outputs, prediction);
  }
  compiled_free(&step);
  compiled_free(&forward);
  return s;
}
