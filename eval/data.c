/* The recipe's data set: its samples in file order, the training and the test files, with as
   many views as a protocol needs; and the embeddings of all of them, which the protocols share. */
#include "eval/parts.h"
#include "runtime/data/loader.h"
#include "runtime/ranks.h"

#include <string.h>

enum {
  MOST_BATCH = 250,
  BATCH_FLOATS = 1 << 22, /* of a batch of pictures: 16 MiB */
  PIECE_FLOATS = 1 << 22, /* of the embeddings of a piece of a stream, for each of the models: 16 MiB */
  MOST_HELD = 1500        /* sequences held for maps and the export where views are drawn anew */
};

static const DataField *find_field(const DataSpec *d, const char *name) {
  for (int i = 0; i < d->nfield; i++)
    if (!strcmp(d->field[i].name, name)) return &d->field[i];
  return NULL;
}

static const Setting *data_setting(const Eval *e, const char *name) {
  return setting_find(e->recipe->data.set, e->recipe->data.nset, name);
}

static int64_t data_number(const Eval *e, const char *name, int64_t absent) {
  const Setting *s = data_setting(e, name);
  return s && s->kind == SET_NUM ? (int64_t)s->num : absent;
}

/* ---- what the data are ---- */
typedef struct {
  const char *action;
  const char *part[4];
} ActionNames;
static const ActionNames action_table[] = {
    {"rotate", {""}},   {"crop", {".top", ".left", ".height", ".width"}},
    {"flip", {""}},     {"jitter", {".brightness", ".contrast", ".saturation", ".hue"}},
    {"grey", {""}},     {"blur", {""}},
    {"solarize", {""}}, {"saccade", {".y", ".x"}},
};
static const ActionNames pose_names = {"rotation", {".x", ".y", ".z", ".w"}};
static const ActionNames hue_names = {"hue", {".floor", ".light"}};

static void add_names(Eval *e, int64_t *n, const ActionNames *t, int width, bool told) {
  for (int i = 0; i < width && *n < e->nact; i++) {
    e->told[*n] = told;
    e->group[*n] = t->action;
    e->component[(*n)++] = arena_printf(e->arena, "%s%s", t->action, t->part[i]);
  }
}

static void name_components(Eval *e) {
  int64_t n = 0;
  const Setting *list = data_setting(e, "actions");
  if (e->rotation) {
    add_names(e, &n, &pose_names, 4, true);
    add_names(e, &n, &hue_names, 2, true);
  }
  for (int i = 0; list && list->kind == SET_LIST && i < list->nitem; i++) {
    const Setting *a = &list->item[i], *on = setting_find(a->item, a->nitem, "action"),
                  *told = setting_find(a->item, a->nitem, "told");
    if (a->kind != SET_CALL || (on && on->num == 0)) continue;
    e->saccades = e->saccades || !strcmp(a->str, "saccade");
    for (size_t k = 0; k < sizeof action_table / sizeof *action_table; k++) {
      const ActionNames *t = &action_table[k];
      int width = 0;
      while (width < 4 && t->part[width]) width++;
      if (!strcmp(t->action, a->str))
        add_names(e, &n, t, width == 4 && *t->action == 'j' && e->image.dim[0] == 1 ? 2 : width, !told || told->num != 0);
    }
  }
  for (; n < e->nact; n++) {
    e->told[n] = true;
    e->group[n] = e->component[n] = arena_printf(e->arena, "action %lld", (long long)n);
  }
  for (int64_t i = 0; i < e->nact; i++) e->ntold += e->told[i];
}

Status eval_describe_data(Eval *e) {
  const DataSpec *d = &e->recipe->data;
  const DataField *image = find_field(d, "image"), *param = find_field(d, "params"),
                  *action = find_field(d, "actions");
  if (!image || !find_field(d, "label"))
    return eval_fail(e, ST_MODEL, "eval needs data with images and labels; %s has none",
                    d->source ? d->source : e->info.model);
  e->image = (Shape){3, {image->shape.dim[1], image->shape.dim[2], image->shape.dim[3]}};
  e->nact = param ? param->shape.dim[2] : action ? action->shape.dim[2] : 0;
  if (e->nact > MAX_ACTION)
    return eval_fail(e, ST_MODEL, "eval knows actions of at most %d components", MAX_ACTION);
  const Setting *sign = data_setting(e, "sign");
  e->rotation = strcmp(d->source, "diebench") ? TURN_NONE : sign && !strcmp(sign->str, "free") ? TURN_FREE : TURN_POSITIVE;
  e->classes = data_number(e, "classes", 0);
  static const struct {
    const char *source;
    int classes;
  } known[] = {{"fashion_mnist", 10}, {"cifar100", 100}, {"stl10", 10}, {"tinyimagenet", 200}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(d->source, known[i].source)) e->classes = known[i].classes;
  name_components(e);
  return ST_OK;
}

/* ---- reading ---- */
static DataSpec make_spec(Eval *e, int64_t batch, int64_t views) {
  DataSpec d = e->recipe->data;
  Setting *set = NEWN(e->arena, Setting, d.nset + 1);
  DataField *f = NEWN(e->arena, DataField, d.nfield + 2);
  memcpy(set, d.set, (size_t)d.nset * sizeof *set);
  memcpy(f, d.field, (size_t)d.nfield * sizeof *f);
  for (int i = 0; i < d.nset; i++) {
    if (!strcmp(set[i].name, "views")) set[i].num = (double)views;
    if (!strcmp(set[i].name, "split")) set[i].str = "train"; /* probes need labels */
    if (!strcmp(set[i].name, "target")) set[i].nitem = 0;    /* all views of a sequence are alike */
  }
  for (int i = 0; i < d.nfield; i++) {
    f[i].shape.dim[0] = batch;
    if (!strcmp(f[i].name, "views")) f[i].shape.dim[1] = views;
    if (!strcmp(f[i].name, "actions")) f[i].shape.dim[1] = views - 1;
    if (!strcmp(f[i].name, "params")) f[i].shape.dim[1] = views;
  }
  if (e->saccades)
    f[d.nfield++] = (DataField){"saliency", DT_F32, {3, {batch, e->image.dim[1], e->image.dim[2]}}};
  d.set = set;
  d.field = f;
  return d;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static Status open_loader(Eval *e, int part, int64_t views, Reader *r) {
  Status s;
  r->spec = make_spec(e, r->batch, views);
  /* With one seed the test samples would have the training samples' actions. */
  uint64_t seed = e->info.seed ^ (part == TEST ? 0x74657374ull << 32 : 0);
  const char *folder = part == TEST && e->opt->test_data ? e->opt->test_data : e->data;
  r->loader = loader_open_all(&r->spec, folder, r->batch, seed, part == TRAIN, e->diags, &s);
  if (!r->loader) return s;
  if (!e->class_name) {
    e->class_name = NEWN(e->arena, const char *, e->classes + 1);
    for (int64_t k = 0; k < e->classes; k++) {
      const char *name = loader_class(r->loader, k);
      e->class_name[k] = name ? arena_strdup(e->arena, name) : arena_printf(e->arena, "%lld", (long long)k);
    }
  }
  return ST_OK;
}

Status reader_open(Eval *e, int part, int64_t views, bool augmented, bool shuffled, int64_t want, Reader *r) {
  memset(r, 0, sizeof *r);
  int64_t floats = shape_count(&e->image) * (augmented ? views : 1), most = BATCH_FLOATS / floats;
  most = most < 1 ? 1 : least(most, MOST_BATCH);
  /* as few batches as can be, of one size; how many samples there are is known once they have been opened */
  Status s;
  if (!e->samples[part]) {
    r->batch = 1;
    if ((s = open_loader(e, part, views, r))) return s;
    e->samples[part] = loader_size(r->loader);
    loader_close(r->loader);
  }
  int64_t n = least(want, e->samples[part]), batches = (n + most - 1) / most;
  r->batch = (n + batches - 1) / batches;
  if ((s = open_loader(e, part, views, r))) return s;
  r->n = n;
  r->nviews = views;
  loader_configure(r->loader, !shuffled, e->compiler.threads > 0 ? e->compiler.threads : session_cpus());
  loader_take(r->loader, r->n);
  bool params = find_field(&r->spec, "params");
  for (int i = 0; i < r->spec.nfield && i < 16; i++) {
    const DataField *f = &r->spec.field[i];
    const struct {
      const char *name;
      bool wanted;
      void **at;
    } use[] = {{"image", !augmented || e->saccades, (void **)&r->image},
               {"saliency", augmented && e->saccades, (void **)&r->map},
               {"views", augmented, (void **)&r->views},
               {"params", augmented, (void **)&r->param},
               {"actions", augmented && !params, (void **)&r->action},
               {"label", true, (void **)&r->label}};
    for (size_t k = 0; k < sizeof use / sizeof *use; k++)
      if (use[k].wanted && !strcmp(f->name, use[k].name))
        *use[k].at = r->dst[i] =
            arena_alloc(e->arena, (size_t)(shape_count(&f->shape) * dtype_size(f->dt)));
  }
  return ST_OK;
}

Status reader_next(Reader *r) {
  Status s = loader_next(r->loader, r->dst);
  r->rows = loader_rows(r->loader);
  return s;
}
void reader_seek(Reader *r, int64_t epoch, int64_t batch) {
  loader_seek(r->loader, epoch * loader_steps_per_epoch(r->loader) + batch);
}
void reader_close(Reader *r) { loader_close(r->loader); }

void reader_params(const Eval *e, const Reader *r, int64_t b, float *param) {
  int64_t V = r->nviews, A = e->nact;
  if (r->param) {
    memcpy(param, r->param + b * V * A, (size_t)(V * A) * sizeof *param);
    return;
  }
  memset(param, 0, (size_t)A * sizeof *param); /* only differences are known: from the first view */
  for (int64_t v = 1; v < V; v++)
    for (int64_t d = 0; d < A; d++)
      param[v * A + d] = param[(v - 1) * A + d] + r->action[(b * (V - 1) + v - 1) * A + d];
}

/* ---- embeddings ---- */
static void embed_pictures(Eval *e, const float *x, int64_t n, float *const z[NMODEL], int64_t at) {
  for (int which = 0; which < NMODEL; which++)
    entry_apply(&e->encode, which, &(EntryInput){"x", x}, 1, n, z[which] + at * e->dim);
}

static void name_samples(const Reader *r, const int64_t *sample, const char **name, int64_t n, Arena *a) {
  for (int64_t i = 0; i < n; i++) {
    const char *path = loader_name(r->loader, sample[i]);
    name[i] = path ? arena_strdup(a, path) : NULL;
  }
}

Status eval_images(Eval *e, int part) {
  Images *m = &e->images[part];
  Reader r;
  if (m->n) return ST_OK;
  Status s = reader_open(e, part, 2, false, false, part == TRAIN ? e->size.images : e->size.test_images, &r);
  if (s) return s;
  m->label = NEWN(e->arena, int64_t, r.n);
  m->sample = NEWN(e->arena, int64_t, r.n);
  m->name = NEWN(e->arena, const char *, r.n);
  for (int which = 0; which < NMODEL; which++) m->z[which] = NEWN(e->arena, float, r.n * e->dim);
  Ranks *ranks = e->opt->ranks;
  Portion own = portion_of(ranks, 0, div_up(r.n, r.batch), e->arena);
  reader_seek(&r, 0, own.first);
  for (int64_t b = own.first; b < own.last && !s; b++) {
    int64_t i = b * r.batch;
    if ((s = reader_next(&r))) break;
    embed_pictures(e, r.image, r.rows, m->z, i);
    memcpy(m->label + i, r.label, (size_t)r.rows * sizeof *m->label);
    memcpy(m->sample + i, loader_samples(r.loader), (size_t)r.rows * sizeof *m->sample);
  }
  if (!(s = portion_settle(ranks, s))) {
    for (int which = 0; which < NMODEL; which++)
      portion_join(ranks, &own, r.batch, r.n, e->dim * (int64_t)sizeof(float), m->z[which]);
    portion_join(ranks, &own, r.batch, r.n, sizeof *m->label, m->label);
    portion_join(ranks, &own, r.batch, r.n, sizeof *m->sample, m->sample);
    name_samples(&r, m->sample, m->name, r.n, e->arena);
    m->n = r.n;
  }
  reader_close(&r);
  return s;
}

static void new_sequences(const Eval *e, Sequences *q, int64_t n, int64_t kept, Arena *a) {
  int64_t V = e->views, A = e->nact;
  *q = (Sequences){.views = V,
                   .label = NEWN(a, int64_t, n),
                   .sample = NEWN(a, int64_t, n),
                   .name = NEWN(a, const char *, n),
                   .param = NEWN(a, float, n *V *A),
                   .action = NEWN(a, float, n *(V - 1) * A),
                   .picture = NEWN(a, float, kept *V *shape_count(&e->image))};
  if (e->saccades && kept) {
    q->whole = NEWN(a, float, kept *shape_count(&e->image));
    q->map = NEWN(a, float, kept * e->image.dim[1] * e->image.dim[2]);
  }
  for (int which = 0; which < NMODEL; which++) q->z[which] = NEWN(a, float, n *V * e->dim);
}

/* Puts the reader's batch into q from row `at` on, its pictures as far as `kept`. */
static void add_batch(Eval *e, const Reader *r, Sequences *q, int64_t at, int64_t kept) {
  int64_t V = q->views, A = e->nact, pixels = shape_count(&e->image);
  for (int64_t b = 0; b < r->rows; b++) {
    int64_t i = at + b;
    float *p = q->param + i * V * A;
    reader_params(e, r, b, p);
    for (int64_t v = 1; v < V; v++)
      stats_action(e->rotation, A, p + (v - 1) * A, p + v * A, q->action + (i * (V - 1) + v - 1) * A);
    if (i >= kept) continue;
    memcpy(q->picture + i * V * pixels, r->views + b * V * pixels, (size_t)(V * pixels) * 4);
    if (!q->whole) continue;
    int64_t plane = e->image.dim[1] * e->image.dim[2];
    memcpy(q->whole + i * pixels, r->image + b * pixels, (size_t)pixels * 4);
    memcpy(q->map + i * plane, r->map + b * plane, (size_t)plane * 4);
  }
  embed_pictures(e, r->views, r->rows * V, q->z, at * V);
  memcpy(q->label + at, r->label, (size_t)r->rows * sizeof *q->label);
  memcpy(q->sample + at, loader_samples(r->loader), (size_t)r->rows * sizeof *q->sample);
}

/* All n rows of q, which begin with the reader's batch `from` of an epoch. */
static Status read_sequences(Eval *e, Reader *r, Sequences *q, int64_t from, int64_t n, int64_t kept, Arena *a) {
  Ranks *ranks = e->opt->ranks;
  Portion own = portion_of(ranks, from, from + div_up(n, r->batch), a);
  Status s = ST_OK;
  if (ranks) reader_seek(r, r->epoch, own.first);
  for (int64_t b = own.first; b < own.last && !s; b++)
    if (!(s = reader_next(r))) add_batch(e, r, q, (b - from) * r->batch, kept);
  if ((s = portion_settle(ranks, s))) return s;
  int64_t V = q->views, A = e->nact, pixels = shape_count(&e->image), plane = e->image.dim[1] * e->image.dim[2];
  const struct {
    void *rows;
    int64_t bytes, n;
  } part[] = {{q->z[TRAINED], 4 * V * e->dim, n}, {q->z[UNTRAINED], 4 * V * e->dim, n},
              {q->label, 8, n},                   {q->sample, 8, n},
              {q->param, 4 * V * A, n},           {q->action, 4 * (V - 1) * A, n},
              {q->picture, 4 * V * pixels, kept}, {q->whole, 4 * pixels, kept},
              {q->map, 4 * plane, kept}};
  for (size_t i = 0; i < sizeof part / sizeof *part; i++)
    if (part[i].n) portion_join(ranks, &own, r->batch, part[i].n, part[i].bytes, part[i].rows);
  name_samples(r, q->sample, q->name, n, a);
  q->n = n;
  return ST_OK;
}

const float *eval_tell(const Eval *e, const float *action, int64_t n, Arena *a) {
  if (e->ntold == e->nact) return action;
  float *out = NEWN(a, float, n * e->ntold + 1), *to = out;
  for (int64_t i = 0; i < n * e->nact; i++)
    if (e->told[i % e->nact]) *to++ = action[i];
  return out;
}

float *eval_embed(const Eval *e, const float *action, int64_t n, Arena *a) {
  float *out = NEWN(a, float, n * e->nembed + 1);
  const float *told = eval_tell(e, action, n, a);
  if (e->embed.k.session) entry_apply(&e->embed, TRAINED, &(EntryInput){"action", told}, 1, n, out);
  else memcpy(out, told, (size_t)(n * e->nembed) * sizeof *out);
  return out;
}

static void embed_actions(const Eval *e, Sequences *q, Arena *a) {
  q->embedded = eval_embed(e, q->action, q->n * (q->views - 1), a);
}

Status eval_sequences(Eval *e, int part) {
  Sequences *q = &e->sequences[part], all;
  Reader r;
  if (q->n) return ST_OK;
  int64_t want = part == TRAIN ? e->size.sequences : e->size.test_sequences;
  if (e->size.redraw) want = least(want, MOST_HELD);
  Status s = reader_open(e, part, e->views, true, false, want, &r);
  if (s) return s;
  int64_t kept = part == TEST ? least(r.n, PICTURES) : 0;
  new_sequences(e, &all, r.n, kept, e->arena);
  s = read_sequences(e, &r, &all, 0, r.n, kept, e->arena);
  reader_close(&r);
  if (s) return s;
  embed_actions(e, &all, e->arena);
  *q = all;
  return ST_OK;
}

int64_t sequences_piece(const Eval *e, const Reader *r) {
  int64_t n = PIECE_FLOATS / (e->views * e->dim) / r->batch;
  return (n > 1 ? n : 1) * r->batch;
}

Status sequences_next(Eval *e, Reader *r, int64_t left, Arena *a, Sequences *q) {
  int64_t n = least(left, sequences_piece(e, r));
  new_sequences(e, q, n, 0, a);
  Status s = read_sequences(e, r, q, (r->n - left) / r->batch, n, 0, a);
  if (!s) embed_actions(e, q, a);
  return s;
}

static Status open_aggregate(Eval *e, int64_t m) {
  if (e->aggregate[m].k.session) return ST_OK;
  KnownShape known[] = {{"z", DT_F32, {3, {MOST_BATCH, m, e->dim}}},
                        {"a", DT_F32, {3, {MOST_BATCH, m, e->nembed}}}};
  return entry_open(e, "aggregate", known, 2, false, &e->aggregate[m]);
}

Status eval_aggregate(Eval *e, const Sequences *q, int64_t m, int zero, Arena *a, float **out) {
  Status s = open_aggregate(e, m);
  if (s) return s;
  int64_t V = q->views, D = e->dim, P = e->nembed;
  float *z = NEWN(a, float, q->n *m *D), *act = NEWN(a, float, q->n *m *P);
  for (int64_t i = 0; i < q->n; i++) {
    int64_t known = least(m, V - 1); /* the action after the last view may not be there: it has no effect */
    if (!(zero & ZERO_VIEWS)) memcpy(z + i * m * D, q->z[TRAINED] + i * V * D, (size_t)(m * D) * 4);
    if (!(zero & ZERO_ACTIONS))
      memcpy(act + i * m * P, q->embedded + i * (V - 1) * P, (size_t)(known * P) * 4);
  }
  EntryInput in[] = {{"z", z}, {"a", act}};
  *out = NEWN(a, float, q->n * e->aggregate[m].width);
  entry_apply(&e->aggregate[m], TRAINED, in, 2, q->n, *out);
  return ST_OK;
}

float *eval_mean(const Eval *e, const Sequences *q, int which, int64_t m, Arena *a) {
  int64_t D = e->dim;
  float *mean = NEWN(a, float, q->n *D);
  for (int64_t i = 0; i < q->n; i++)
    for (int64_t v = 0; v < m; v++)
      for (int64_t d = 0; d < D; d++) mean[i * D + d] += q->z[which][(i * q->views + v) * D + d] / (float)m;
  return mean;
}
