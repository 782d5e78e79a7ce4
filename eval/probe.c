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

Status probe_find(Eval *e, bool classes, int64_t dim, const IntList *hidden, int64_t outputs, ProbeCode **out) {
  static const IntList none = {0};
  if (!hidden) hidden = &none;
  for (*out = e->probes; *out; *out = (*out)->next)
    if ((*out)->classes == classes && (*out)->dim == dim && (*out)->outputs == outputs &&
        same_list(&(*out)->hidden, hidden))
      return ST_OK;
  ProbeCode *p = *out = NEW(e->arena, ProbeCode);
  *p = (ProbeCode){.next = e->probes, .classes = classes, .dim = dim, .outputs = outputs, .hidden = *hidden};
  e->probes = p;
  return compile(e, p);
}

static void standardize(Arena *a, float *train, int64_t n, float *test, int64_t ntest, int64_t dim) {
  double *mean = NEWN(a, double, dim), *scale = NEWN(a, double, dim);
  stats_scale(train, n, dim, mean, scale);
  stats_standardize(train, n, dim, mean, scale);
  stats_standardize(test, ntest, dim, mean, scale);
}

Status probe_run(Eval *e, ProbeData *train, ProbeData *test, const IntList *hidden, int64_t outputs,
                 int64_t epochs, float *prediction) {
  ProbeCode *p;
  bool classes = train->label, ridge = e->size.ridge && (!hidden || !hidden->n);
  Status s = ridge ? ST_OK : probe_find(e, classes, train->dim, hidden, outputs, &p);
  if (s) return s;
  Arena *a = arena_new();
  standardize(a, train->x, train->n, test->x, test->n, train->dim);
  if (!classes) standardize(a, train->y, train->n, test->y, test->n, train->ydim);
  if (ridge) {
    arena_free(a);
    return ridge_run(e, train, test, outputs, prediction);
  }
  fit(a, &p->step, train, epochs);
  session_copy_states(p->forward.session, p->step.session);
  predict(&p->forward, test, outputs, prediction);
  arena_free(a);
  return ST_OK;
}

/* ---- a probe that is given its rows piece by piece ---- */
struct ProbeStream {
  ProbeCode *code;
  Session *session;
  double *mean, *scale, *ymean, *yscale; /* of the first piece */
  int64_t filled, step, pieces;
  void *x, *y;
};

ProbeStream *stream_open(Eval *e, ProbeCode *code, int64_t rows, int64_t epochs) {
  ProbeStream *s = NEW(e->arena, ProbeStream);
  s->code = code;
  s->session = session_new(code->step.plan, session_threads(code->step.session));
  if (!s->session) {
    eval_fail(e, ST_BUDGET, "no memory for a probe's arena of %s",
              human_bytes(e->arena, code->step.plan->arena_bytes));
    return NULL;
  }
  s->mean = NEWN(e->arena, double, code->dim);
  s->scale = NEWN(e->arena, double, code->dim);
  s->ymean = NEWN(e->arena, double, code->outputs);
  s->yscale = NEWN(e->arena, double, code->outputs);
  tensors_find(s->session, PT_ARG, "x", &s->x);
  tensors_find(s->session, PT_ARG, code->classes ? "label" : "y", &s->y);
  int64_t per_epoch = rows / BATCH > 1 ? rows / BATCH : 1;
  session_init_states(s->session, 0);
  tensors_set_number(s->session, "seed", 0);
  tensors_set_number(s->session, "steps_per_epoch", per_epoch);
  tensors_set_number(s->session, "total_steps", per_epoch * epochs);
  return s;
}

static void standardize_piece(const ProbeStream *s, ProbeData *d) {
  stats_standardize(d->x, d->n, d->dim, s->mean, s->scale);
  if (d->y) stats_standardize(d->y, d->n, d->ydim, s->ymean, s->yscale);
}

/* Rows wait in the session's own arguments until a batch is full. */
void stream_train(ProbeStream *s, ProbeData *d, Arena *a) {
  int64_t *order = NEWN(a, int64_t, d->n);
  if (!s->pieces) {
    stats_scale(d->x, d->n, d->dim, s->mean, s->scale);
    if (d->y) stats_scale(d->y, d->n, d->ydim, s->ymean, s->yscale);
  }
  standardize_piece(s, d);
  for (int64_t i = 0; i < d->n; i++) order[i] = i;
  shuffle(order, d->n, (uint32_t)s->pieces++);
  for (int64_t i = 0; i < d->n; i++) {
    int64_t at = order[i];
    memcpy((float *)s->x + s->filled * d->dim, d->x + at * d->dim, (size_t)d->dim * 4);
    if (d->label) ((int64_t *)s->y)[s->filled] = d->label[at];
    else memcpy((float *)s->y + s->filled * d->ydim, d->y + at * d->ydim, (size_t)d->ydim * 4);
    if (++s->filled < BATCH) continue;
    s->filled = 0;
    tensors_set_number(s->session, "step", s->step++);
    session_run(s->session, 0, s->code->step.plan->nstep);
  }
}

void stream_predict(ProbeStream *s, ProbeData *d, float *prediction) {
  standardize_piece(s, d);
  session_copy_states(s->code->forward.session, s->session);
  predict(&s->code->forward, d, s->code->outputs, prediction);
}

void stream_close(ProbeStream *s) {
  if (s && s->session) session_free(s->session);
}

void probes_close(Eval *e) {
  ridges_close(e);
  for (ProbeCode *p = e->probes; p; p = p->next) {
    compiled_free(&p->step);
    compiled_free(&p->forward);
  }
}
