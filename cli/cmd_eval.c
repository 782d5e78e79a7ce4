/* jepac eval: what a trained model's embeddings hold, each figure beside the same for the untrained model.
   The model file offers entries by name: encode(image) -> z always; target(image) -> z and predict(image,
   action) -> z for retrieval, as in the paper (arXiv 2505.03176, section 4). Features come from the frozen
   model in eval mode. */
#include "cli/eval.h"
#include "runtime/checkpoint.h"
#include "runtime/data/loader.h"
#include "runtime/metrics.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  BATCH = 250,
  TRAIN_IMAGES = 20000,
  TEST_IMAGES = 10000,
  PAIR_VIEWS = 4,
  PAIR_TRAIN = 3000,
  PAIR_TEST = 1000
};
enum { RETRIEVAL_VIEWS = 16, RETRIEVAL_IMAGES = 500, CLASS_EPOCHS = 20, ACTION_EPOCHS = 10 };

typedef struct {
  Cli *c;
  const char *folder;
  CheckpointInfo info;
  Model *model;
  const Recipe *recipe;
  int64_t classes, dim, nact;       /* dim: width of an embedding; nact: of an action, 0 none */
  Compiled encode, target, predict; /* target, predict: may be absent */
  bool retrieval;
} Eval;

/* Figures of one model; NAN: not measured. */
typedef struct {
  double loss, top1, r2, mrr, hit1, rank, spread;
  double column[64]; /* R2 of each action component */
} Figures;

/* ---- entries ---- */
static bool has_entry(const Eval *e, const char *name) {
  for (int i = 0; i < frontend_entry_count(e->model); i++)
    if (!strcmp(frontend_entry_name(e->model, i), name)) return true;
  return false;
}

static Status open_entry(Eval *e, const char *name, const KnownShape *known, int n, Compiled *out) {
  Model *m;
  Status s = cli_load(e->c, e->info.model, known, n, &m);
  if (s) return s;
  const Graph *g = frontend_entry(m, e->c->diags, name, false, false);
  return g ? cli_compile(e->c, g, out) : ST_MODEL;
}

static Status set_states(Eval *e, Compiled *k, bool trained) {
  if (!k->session) return ST_OK;
  session_init_states(k->session, e->info.seed);
  CheckpointInfo ignored;
  return trained ? checkpoint_load(e->folder, k->session, false, &ignored, e->c->arena, e->c->diags) : ST_OK;
}

static const DataField *field(const DataSpec *d, const char *name, int *index) {
  for (int i = 0; i < d->nfield; i++)
    if (!strcmp(d->field[i].name, name)) {
      if (index) *index = i;
      return &d->field[i];
    }
  return NULL;
}

/* The only result of an entry, one row a sample. */
static const float *result(const Compiled *k, int64_t *width) {
  const Plan *p = k->plan;
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_RESULT && p->tensor[i].dt == DT_F32 && p->tensor[i].shape.rank == 2) {
      *width = p->tensor[i].shape.dim[1];
      return session_tensor_at(k->session, i).data;
    }
  return NULL;
}

static const float *apply(Compiled *k, const float *image, const float *action, int64_t n) {
  void *at;
  int64_t width;
  const PlanTensor *t = tensors_find(k->session, PT_ARG, "x", &at);
  int64_t row = shape_count(&t->shape) / BATCH;
  memset(at, 0, (size_t)(BATCH * row) * 4);
  memcpy(at, image, (size_t)(n * row) * 4);
  if (action && (t = tensors_find(k->session, PT_ARG, "action", &at))) {
    row = shape_count(&t->shape) / BATCH;
    memset(at, 0, (size_t)(BATCH * row) * 4);
    memcpy(at, action, (size_t)(n * row) * 4);
  }
  session_run(k->session, 0, k->plan->nstep);
  return result(k, &width);
}

/* ---- data ---- */
/* The recipe's data with V views. */
static DataSpec with_views(Eval *e, int64_t views) {
  DataSpec d = e->recipe->data;
  Setting *set = NEWN(e->c->arena, Setting, d.nset + 1);
  DataField *f = NEWN(e->c->arena, DataField, d.nfield + 1);
  memcpy(set, d.set, (size_t)d.nset * sizeof *set);
  memcpy(f, d.field, (size_t)d.nfield * sizeof *f);
  for (int i = 0; i < d.nset; i++)
    if (!strcmp(set[i].name, "views")) set[i].num = (double)views;
  for (int i = 0; i < d.nfield; i++) {
    f[i].shape.dim[0] = BATCH;
    if (!strcmp(f[i].name, "views")) f[i].shape.dim[1] = views;
    if (!strcmp(f[i].name, "actions")) f[i].shape.dim[1] = views - 1;
    if (!strcmp(f[i].name, "params")) f[i].shape.dim[1] = views;
  }
  d.set = set;
  d.field = f;
  return d;
}

typedef struct {
  Loader *loader;
  DataSpec spec;
  void *dst[16];
  float *image, *views, *actions;
  int64_t *label, size, views_row;
} Reader;

static Status open_reader(Eval *e, bool train, int64_t views, bool augmented, Reader *r) {
  Status s;
  memset(r, 0, sizeof *r);
  r->spec = with_views(e, views);
  r->loader = loader_open(&r->spec, e->c->opt.data, BATCH, e->info.seed, train, e->c->diags, &s);
  if (!r->loader) return s;
  loader_configure(r->loader, true, 1);
  r->size = loader_size(r->loader) / BATCH * BATCH;
  for (int i = 0; i < r->spec.nfield && i < 16; i++) {
    const DataField *f = &r->spec.field[i];
    bool view = !strcmp(f->name, "views") || !strcmp(f->name, "actions");
    if (view != augmented) continue;
    r->dst[i] = arena_alloc(e->c->arena, (size_t)(shape_count(&f->shape) * dtype_size(f->dt)));
    if (!strcmp(f->name, "image")) r->image = r->dst[i];
    if (!strcmp(f->name, "views")) r->views = r->dst[i];
    if (!strcmp(f->name, "actions")) r->actions = r->dst[i];
    if (!strcmp(f->name, "label")) r->label = r->dst[i];
  }
  return ST_OK;
}

static int64_t at_most(int64_t n, int64_t limit) { return n < limit ? n : limit; }

/* ---- class probe ---- */
static Status class_features(Eval *e, bool train, int64_t limit, ProbeData *d) {
  Reader r;
  Status s = open_reader(e, train, 2, false, &r);
  if (s) return s;
  *d = (ProbeData){.n = at_most(r.size, limit), .dim = e->dim};
  d->x = NEWN(e->c->arena, float, d->n * d->dim);
  d->label = NEWN(e->c->arena, int64_t, d->n);
  for (int64_t i = 0; i + BATCH <= d->n; i += BATCH) {
    if ((s = loader_next(r.loader, r.dst))) {
      loader_close(r.loader);
      return s;
    }
    memcpy(d->x + i * d->dim, apply(&e->encode, r.image, NULL, BATCH), (size_t)(BATCH * d->dim) * 4);
    memcpy(d->label + i, r.label, BATCH * sizeof *d->label);
  }
  loader_close(r.loader);
  return ST_OK;
}

static Status measure_class(Eval *e, Figures *f) {
  ProbeData train, test;
  Status s = class_features(e, true, TRAIN_IMAGES, &train);
  if (!s) s = class_features(e, false, TEST_IMAGES, &test);
  if (s) return s;
  float *unit = NEWN(e->c->arena, float, test.n *test.dim),
        *score = NEWN(e->c->arena, float, test.n * e->classes);
  memcpy(unit, test.x, (size_t)(test.n * test.dim) * 4);
  stats_normalize_rows(unit, test.n, test.dim);
  f->rank = stats_effective_rank(unit, test.n, test.dim);
  f->spread = stats_spread(unit, test.n, test.dim);
  stats_standardize(train.x, train.n, test.x, test.n, train.dim);
  s = probe_run(e->c, "linear.jepa", &train, &test, e->classes, CLASS_EPOCHS, score);
  if (!s) f->top1 = stats_top1(score, test.label, test.n, e->classes);
  return s;
}

/* ---- relative action from two views ---- */
/* Embeddings of all views, row (image, view), and each view's parameters relative to view 0. */
static Status view_features(Eval *e, Compiled *k, bool train, int64_t images, int64_t views, float **z,
                            float **param, float **first, int64_t *n) {
  Reader r;
  Status s = open_reader(e, train, views, true, &r);
  if (s) return s;
  Arena *a = e->c->arena;
  *n = at_most(r.size, images);
  int64_t row = shape_count(&field(&r.spec, "views", NULL)->shape) / (BATCH * views), A = e->nact;
  *z = NEWN(a, float, *n *views * e->dim);
  *param = NEWN(a, float, *n *views *A);
  if (first) *first = NEWN(a, float, *n *row);
  for (int64_t i = 0; i + BATCH <= *n; i += BATCH) {
    if ((s = loader_next(r.loader, r.dst))) {
      loader_close(r.loader);
      return s;
    }
    for (int64_t b = 0; b < BATCH; b++) {
      if (first) memcpy(*first + (i + b) * row, r.views + b * views * row, (size_t)row * 4);
      for (int64_t v = 1; v < views; v++)
        for (int64_t d = 0; d < A; d++) {
          float *p = *param + ((i + b) * views + v) * A + d;
          *p = p[-A] + r.actions[(b * (views - 1) + v - 1) * A + d];
        }
    }
    for (int64_t b = 0; b < BATCH * views; b += BATCH)
      memcpy(*z + (i * views + b) * e->dim, apply(k, r.views + b * row, NULL, BATCH),
             (size_t)(BATCH * e->dim) * 4);
  }
  loader_close(r.loader);
  return ST_OK;
}

/* All ordered pairs of an image's views: both embeddings, and the action between. */
static Status pair_data(Eval *e, bool train, int64_t images, ProbeData *d) {
  float *z, *param;
  int64_t n, V = PAIR_VIEWS, D = e->dim, A = e->nact;
  Status s = view_features(e, &e->encode, train, images, V, &z, &param, NULL, &n);
  if (s) return s;
  *d = (ProbeData){.n = n * V * (V - 1), .dim = 2 * D, .ydim = A};
  d->x = NEWN(e->c->arena, float, d->n * d->dim);
  d->y = NEWN(e->c->arena, float, d->n *A);
  int64_t row = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t p = 0; p < V; p++)
      for (int64_t q = 0; q < V; q++) {
        if (p == q) continue;
        memcpy(d->x + row * 2 * D, z + (i * V + p) * D, (size_t)D * 4);
        memcpy(d->x + row * 2 * D + D, z + (i * V + q) * D, (size_t)D * 4);
        for (int64_t k = 0; k < A; k++)
          d->y[row * A + k] = param[(i * V + q) * A + k] - param[(i * V + p) * A + k];
        row++;
      }
  return ST_OK;
}

static Status measure_action(Eval *e, Figures *f) {
  ProbeData train, test;
  Status s = pair_data(e, true, PAIR_TRAIN, &train);
  if (!s) s = pair_data(e, false, PAIR_TEST, &test);
  if (s) return s;
  stats_standardize(train.x, train.n, test.x, test.n, train.dim);
  stats_standardize(train.y, train.n, test.y, test.n, train.ydim);
  float *prediction = NEWN(e->c->arena, float, test.n *test.ydim);
  s = probe_run(e->c, "regression.jepa", &train, &test, test.ydim, ACTION_EPOCHS, prediction);
  if (!s) f->r2 = stats_r2(prediction, test.y, test.n, test.ydim, f->column);
  return s;
}

/* ---- retrieval: predict an image's other views from its first, given the action ---- */
static Status measure_retrieval(Eval *e, Figures *f) {
  float *z, *param, *first;
  int64_t n, V = RETRIEVAL_VIEWS, D = e->dim, A = e->nact;
  Status s = view_features(e, &e->target, false, RETRIEVAL_IMAGES, V, &z, &param, &first, &n);
  if (s) return s;
  void *image;
  const PlanTensor *t = tensors_find(e->predict.session, PT_ARG, "x", &image);
  int64_t row = shape_count(&t->shape) / BATCH;
  float *action = NEWN(e->c->arena, float, BATCH *A);
  double mrr = 0, hits = 0;
  for (int64_t i = 0; i + BATCH <= n; i += BATCH)
    for (int64_t v = 1; v < V; v++) {
      for (int64_t b = 0; b < BATCH; b++)
        memcpy(action + b * A, param + ((i + b) * V + v) * A, (size_t)A * 4);
      const float *q = apply(&e->predict, first + i * row, action, BATCH);
      for (int64_t b = 0; b < BATCH; b++) {
        int rank = stats_rank(q + b * D, z + ((i + b) * V + 1) * D, (int)V - 1, (int)v - 1, D);
        mrr += 1.0 / rank;
        hits += rank == 1;
      }
    }
  f->mrr = mrr / (double)(n * (V - 1));
  f->hit1 = hits / (double)(n * (V - 1));
  return ST_OK;
}

/* ---- the run's log ---- */
typedef struct {
  double first_loss, last_loss, images_per_s, peak_bytes;
} LogFigures;

/* Loss at the start, its mean over the last tenth of the records, the run's speed and memory. */
static LogFigures read_log(Eval *e) {
  LogFigures f = {NAN, NAN, NAN, NAN};
  VEC(double) loss = {0}, speed = {0};
  const Source *src = source_read(e->c->arena, arena_printf(e->c->arena, "%s/run.jsonl", e->folder));
  for (const char *p = src ? src->text : "", *end; *p; p = *end ? end + 1 : end) {
    end = p + strcspn(p, "\n");
    json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL);
    if (json_is_number(json_object_get(o, "loss"))) {
      vec_push(e->c->arena, &loss, json_number_value(json_object_get(o, "loss")));
      vec_push(e->c->arena, &speed, json_number_value(json_object_get(o, "images_per_s")));
      f.peak_bytes =
          fmax(isnan(f.peak_bytes) ? 0 : f.peak_bytes, json_number_value(json_object_get(o, "peak_bytes")));
    }
    json_decref(o);
  }
  if (!loss.n) return f;
  int tail = (loss.n + 9) / 10;
  f.first_loss = loss.v[0];
  f.last_loss = f.images_per_s = 0;
  for (int i = loss.n - tail; i < loss.n; i++) f.last_loss += loss.v[i] / tail;
  for (int i = 0; i < speed.n; i++) f.images_per_s += speed.v[i] / speed.n;
  return f;
}

/* ---- all of it ---- */
static Status open_entries(Eval *e) {
  Cli *c = e->c;
  int i;
  DataSpec d = with_views(e, 2);
  const DataField *image = field(&d, "image", &i), *actions = field(&d, "actions", NULL);
  if (!image || !field(&d, "label", NULL))
    return cli_fail(c, ST_MODEL, "eval needs data with images and labels; %s has none", d.source);
  if (!has_entry(e, "encode")) {
    cli_fail(c, ST_MODEL, "%s has no entry 'encode'", e->info.model);
    diag_note(c->diags, NULL, "eval needs entry encode(x: f32[B, C, H, W]) with one result z: f32[B, D]");
    return ST_MODEL;
  }
  e->nact = actions ? actions->shape.dim[2] : 0;
  if (e->nact > 64) return cli_fail(c, ST_MODEL, "eval knows actions of at most 64 components");
  KnownShape known[] = {{"x", DT_F32, image->shape}, {"action", DT_F32, {2, {BATCH, e->nact}}}};
  Status s = open_entry(e, "encode", known, 1, &e->encode);
  if (s) return s;
  if (!result(&e->encode, &e->dim)) return cli_fail(c, ST_MODEL, "entry encode returns no f32[B, D]");
  e->retrieval = e->nact && has_entry(e, "target") && has_entry(e, "predict");
  if (!e->retrieval) return ST_OK;
  if ((s = open_entry(e, "target", known, 1, &e->target))) return s;
  return open_entry(e, "predict", known, 2, &e->predict);
}

static Status measure(Eval *e, bool trained, Figures *f) {
  *f = (Figures){NAN, NAN, NAN, NAN, NAN, NAN, NAN, {0}};
  Status s = set_states(e, &e->encode, trained);
  if (!s) s = set_states(e, &e->target, trained);
  if (!s) s = set_states(e, &e->predict, trained);
  if (!s) s = measure_class(e, f);
  if (!s && e->nact) s = measure_action(e, f);
  if (!s && e->retrieval) s = measure_retrieval(e, f);
  return s;
}

typedef struct {
  const char *key, *label;
  size_t offset;
  double scale;
  const char *format;
} FigureRow;
#define AT(F) offsetof(Figures, F)
static const FigureRow figure_table[] = {
    {"loss", "loss", AT(loss), 1, "%.4f"},
    {"linear_top1", "linear probe top-1, %", AT(top1), 100, "%.1f"},
    {"action_r2", "relative action R2", AT(r2), 1, "%.3f"},
    {"retrieval_mrr", "retrieval MRR (chance .221)", AT(mrr), 1, "%.3f"},
    {"retrieval_hit1", "retrieval H@1 (chance .067)", AT(hit1), 1, "%.3f"},
    {"effective_rank", "effective rank", AT(rank), 1, "%.1f"},
    {"embedding_std", "embedding std x sqrt(d)", AT(spread), 1, "%.3f"},
};
enum { NFIGURE = sizeof figure_table / sizeof *figure_table };

static double figure(const Figures *f, int row) {
  return *(const double *)((const char *)f + figure_table[row].offset);
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *figures_json(const Eval *e, const Figures *f) {
  json_t *o = json_object(), *columns = json_array();
  for (int i = 0; i < NFIGURE; i++) json_object_set_new(o, figure_table[i].key, number(figure(f, i)));
  for (int64_t i = 0; i < e->nact; i++) json_array_append_new(columns, number(f->column[i]));
  json_object_set_new(o, "action_r2_components", columns);
  return o;
}

static void print_table(Eval *e, const Figures *trained, const Figures *untrained, const LogFigures *log) {
  printf("%s: step %lld\n\n%-30s %10s %10s\n", e->folder, (long long)e->info.step, "", "trained",
         "untrained");
  for (int i = 0; i < NFIGURE; i++) {
    char a[32] = "-", b[32] = "-";
    double x = figure(trained, i), y = figure(untrained, i);
    if (isnan(x)) continue;
    snprintf(a, sizeof a, figure_table[i].format, x * figure_table[i].scale);
    if (!isnan(y)) snprintf(b, sizeof b, figure_table[i].format, y * figure_table[i].scale);
    printf("%-30s %10s %10s\n", figure_table[i].label, a, b);
  }
  if (!isnan(log->images_per_s)) {
    printf("%-30s %10.0f\n", "training, images/s", log->images_per_s);
    printf("%-30s %10s\n", "training, peak memory", cli_human_bytes(e->c->arena, (int64_t)log->peak_bytes));
  }
}

static Status report(Eval *e, Figures *trained, Figures *untrained) {
  LogFigures log = read_log(e);
  trained->loss = log.last_loss;
  untrained->loss = log.first_loss;
  json_t *o = json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "run", e->folder, "step", (json_int_t)e->info.step,
                        "trained", figures_json(e, trained), "untrained", figures_json(e, untrained),
                        "images_per_s", number(log.images_per_s), "peak_bytes", number(log.peak_bytes));
  char *text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
  json_decref(o);
  const char *lines = arena_printf(e->c->arena, "%s\n", text);
  free(text);
  Status s = cli_write_text(e->c, arena_printf(e->c->arena, "%s/eval.json", e->folder), lines, strlen(lines));
  if (s) return s;
  if (e->c->opt.json) fputs(lines, stdout);
  else print_table(e, trained, untrained, &log);
  return ST_OK;
}

/* The --set pairs of training come first, so that the user's own win. */
static Status restore_settings(Eval *e) {
  Options *o = &e->c->opt;
  Options given = *o;
  o->nset = 0;
  for (const char *p = e->info.text; *p && o->nset < MAX_SET;) {
    size_t n = strcspn(p, "\n"), eq = strcspn(p, "=");
    if (eq >= n) return cli_fail(e->c, ST_FILE, "%s: its checkpoint's settings are damaged", e->folder);
    o->set[o->nset++] =
        (NameValue){arena_strndup(e->c->arena, p, eq), arena_strndup(e->c->arena, p + eq + 1, n - eq - 1)};
    p += n + (p[n] == '\n');
  }
  for (int i = 0; i < given.nset && o->nset < MAX_SET; i++) o->set[o->nset++] = given.set[i];
  return ST_OK;
}

static double data_number(const Eval *e, const char *name, double absent) {
  const Setting *s = setting_find(e->recipe->data.set, e->recipe->data.nset, name);
  return s && s->kind == SET_NUM ? s->num : absent;
}

static int64_t count_classes(const Eval *e) {
  const char *source = e->recipe->data.source;
  return (int64_t)data_number(e, "classes", !strcmp(source, "cifar100") ? 100 : 10);
}

Status cmd_eval(Cli *c) {
  Eval e = {.c = c, .folder = c->opt.arg[0]};
  if (!cli_is_folder(e.folder)) return cli_fail(c, ST_FILE, "%s is no folder of a run", e.folder);
  Status s = checkpoint_peek(e.folder, &e.info, c->arena, c->diags);
  if (!s) s = restore_settings(&e);
  if (!s) s = cli_load(c, e.info.model, NULL, 0, &e.model);
  if (s) return s;
  if (!(e.recipe = frontend_recipe(e.model, c->diags))) return ST_MODEL;
  e.classes = count_classes(&e);
  Figures trained, untrained;
  s = open_entries(&e);
  if (!s) s = measure(&e, true, &trained);
  if (!s) s = measure(&e, false, &untrained);
  if (!s) s = report(&e, &trained, &untrained);
  compiled_free(&e.encode);
  compiled_free(&e.target);
  compiled_free(&e.predict);
  return s;
}
