/* Probes on frozen features: a small .jepa program from models/probes, compiled and trained like any model,
   on arrays in memory instead of a data set. */
#include "eval/parts.h"
#include "runtime/rng.h"

#include <stdlib.h>
#include <string.h>

enum {
  BATCH = 256,
  SHUFFLE_STREAM = 0x9b0be,
  SMALL = 1 << 18
}; /* SMALL: weights too few to share the work */

/* Compiled for one width of features, outputs and hidden layers; trained anew each time. */
struct ProbeCode {
  ProbeCode *next;
  bool classes;
  int64_t dim, outputs;
  IntList hidden;
  Compiled step, forward;
};

/* Writes rows at[order[first..]] of a table of `bytes`-wide rows; indices past the end begin again. */
static void copy_rows(void *dst, const void *src, const int64_t *order, int64_t first, int64_t n,
                      size_t bytes) {
  for (int64_t i = 0; i < BATCH; i++) {
    int64_t at = (first + i) % n;
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

static void fit(Arena *a, Compiled *k, const ProbeData *d, int64_t epochs) {
  int64_t per_epoch = d->n / BATCH > 1 ? d->n / BATCH : 1, *order = NEWN(a, int64_t, d->n);
  void *x, *y;
  if (!tensors_find(k->session, PT_ARG, "x", &x) ||
      !tensors_find(k->session, PT_ARG, d->label ? "label" : "y", &y))
    bug("probe without its arguments");
  compiled_init(k, 0);
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

static Status compile(Eval *e, ProbeCode *p) {
  int64_t weights = p->dim * (p->hidden.n ? p->hidden.v[0] : p->outputs);
  const char *own_models = e->compiler.models_dir, *folder = own_models ? own_models : compiler_models(e->arena);
  if (!folder) return eval_fail(e, ST_FILE, "the folder models/ with the probes is missing");
  NameValue set[2] = {{"outputs", arena_printf(e->arena, "%lld", (long long)p->outputs)}};
  Compiler own = e->compiler; /* the probe has settings of its own, and is not what --dump-ir is asked for */
  own.set = set;
  own.nset = 1;
  own.seen = NULL;
  own.pipeline.dump = NULL;
  if (weights < SMALL) own.threads = 1;
  if (!p->classes) {
    StrBuf b = {0};
    for (int i = 0; i < p->hidden.n; i++) sb_printf(&b, "%s%lld", i ? ", " : "", (long long)p->hidden.v[i]);
    set[own.nset++] = (NameValue){"hidden", arena_printf(e->arena, "[%s]", b.s ? b.s : "")};
    sb_free(&b);
  }
  KnownShape known[] = {{"x", DT_F32, {2, {BATCH, p->dim}}}, {"y", DT_F32, {2, {BATCH, p->outputs}}}};
  if (p->classes) known[1] = (KnownShape){"label", DT_I64, {1, {BATCH}}};
  const char *path =
      arena_printf(e->arena, "%s/probes/%s", folder, p->classes ? "linear.jepa" : "regression.jepa");
  Model *m;
  Status s = compiler_load(&own, path, NULL, known, 2, &m);
  if (s) return s;
  const Graph *g = frontend_train_step(m, e->diags, false),
              *f = g ? frontend_entry(m, e->diags, "predict", false, false) : NULL;
  if (!f) return ST_MODEL;
  if (!(s = compiler_build(&own, g, &p->step))) s = compiler_build(&own, f, &p->forward);
  return s;
}

static bool same_list(const IntList *a, const IntList *b) {
  return a->n == b->n && !memcmp(a->v, b->v, (size_t)a->n * sizeof *a->v);
}

Status probe_run(Eval *e, ProbeData *train, ProbeData *test, const IntList *hidden, int64_t outputs,
                 int64_t epochs, float *prediction) {
  static const IntList none = {0};
  ProbeCode *p = e->probes;
  bool classes = train->label;
  while (p && !(p->classes == classes && p->dim == train->dim && p->outputs == outputs &&
                same_list(&p->hidden, hidden ? hidden : &none)))
    p = p->next;
  if (!p) {
    p = NEW(e->arena, ProbeCode);
    *p = (ProbeCode){.next = e->probes,
                     .classes = classes,
                     .dim = train->dim,
                     .outputs = outputs,
                     .hidden = hidden ? *hidden : none};
    e->probes = p;
    Status s = compile(e, p);
    if (s) return s;
  }
  stats_standardize(train->x, train->n, test->x, test->n, train->dim);
  if (!classes) stats_standardize(train->y, train->n, test->y, test->n, train->ydim);
  fit(e->arena, &p->step, train, epochs);
  session_copy_states(p->forward.session, p->step.session);
  predict(&p->forward, test, outputs, prediction);
  return ST_OK;
}

void probes_close(Eval *e) {
  for (ProbeCode *p = e->probes; p; p = p->next) {
    compiled_free(&p->step);
    compiled_free(&p->forward);
  }
}
