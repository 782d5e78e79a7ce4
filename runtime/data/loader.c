/* A ring of batches: worker threads claim batch numbers in order and fill the slot `number mod ring`;
   loader_next waits for the batch it wants. Seeking changes the generation, which makes batches under way
   stale. */
#include "runtime/data/loader.h"
#include "runtime/data/source.h"
#include "ir/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FIELDS = 16, MAX_WORKERS = 16, AHEAD = 3 };

typedef enum { SLOT_EMPTY, SLOT_FILLING, SLOT_READY } SlotState; /* a failed batch is ready, too */
typedef struct {
  SlotState state;
  int64_t number;
  bool failed;
  Reason why;      /* when failed */
  char *data;      /* the wanted fields, one after the other */
  int64_t *sample; /* of each row */
} Slot;

struct Loader {
  DataSet set;
  const DataSpec *spec;
  int64_t batch, steps; /* steps: batches an epoch */
  int64_t first, own;   /* the samples of a batch that are wanted */
  int64_t every, which; /* of so many batches that one, from 0 */
  bool all;             /* the last of them may be short */
  uint64_t seed;
  bool sequential, started;
  int64_t taken; /* how many samples are read; 0: all */
  bool spread;   /* those taken, over the files */
  int workers;

  int kind[MAX_FIELDS];             /* FieldKind of each field of the spec */
  int64_t sample_bytes[MAX_FIELDS]; /* of one sample */
  int64_t offset[MAX_FIELDS];       /* in a slot, -1 when not wanted */
  int64_t slot_bytes;

  pthread_t thread[MAX_WORKERS];
  int running;
  pthread_mutex_t lock;
  pthread_cond_t ready, space;
  Slot slot[MAX_WORKERS + AHEAD];
  int ring;
  int64_t produce, consume, generation;
  bool stop;
  char wanting[REASON_TEXT]; /* why a worker gave up */
  Undo undo;                 /* ends the threads, which use what others free */
  double waited;
  int64_t rows, *sample; /* of the batch given last */

  Diags *diags;      /* of the thread that opened the loader; used by it alone */
  _Atomic bool *bad; /* samples found unreadable; NULL unless they may be skipped */
  Reason first_bad;  /* with the lock */
  int64_t skipped;   /* the same */
};

static void end_threads(Loader *l) {
  pthread_mutex_lock(&l->lock);
  l->stop = true;
  pthread_cond_broadcast(&l->space);
  pthread_mutex_unlock(&l->lock);
  for (int i = 0; i < l->running; i++) pthread_join(l->thread[i], NULL);
  l->running = 0;
}

/* ---- opening ---- */
static Status match_fields(Loader *l, Diags *d) {
  const DataSpec *spec = l->spec;
  if (spec->nfield > MAX_FIELDS) bug("data source with %d fields", spec->nfield);
  for (int i = 0; i < spec->nfield; i++) {
    const DataField *f = &spec->field[i];
    Shape sample, want = {0};
    DType dt;
    l->kind[i] = dataset_field(&l->set, f->name, &dt, &sample);
    if (l->kind[i] < 0) {
      diag_error(d, spec->loc, "%s has no field %s", spec->source, f->name);
      return ST_MODEL;
    }
    want.rank = sample.rank + 1;
    want.dim[0] = l->batch;
    for (int k = 0; k < sample.rank; k++) want.dim[k + 1] = sample.dim[k];
    if (dt != f->dt || !shape_eq(&want, &f->shape)) {
      char a[128], b[128];
      diag_error(d, spec->loc, "field %s of %s is declared as %s, but the data are %s", f->name, spec->source,
                 type_str(f->dt, &f->shape, a), type_str(dt, &want, b));
      return ST_MODEL;
    }
    l->sample_bytes[i] = shape_count(&sample) * dtype_size(dt);
  }
  return ST_OK;
}

static void abandon(void *l) { end_threads(l); }

static Loader *open_loader(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                           bool all, Diags *d, Status *st) {
  Loader *l = xcalloc(1, sizeof *l, NULL);
  l->spec = spec;
  l->batch = l->own = batch;
  l->every = 1;
  l->seed = seed;
  l->diags = d;
  l->workers = 1;
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->ready, NULL);
  pthread_cond_init(&l->space, NULL);
  *st = dataset_open(&l->set, spec, folder, train, d);
  l->all = all;
  if (*st == ST_OK) *st = match_fields(l, d);
  if (*st == ST_OK && (batch < 1 || (batch > l->set.samples && !l->all) || l->set.samples > INT32_MAX)) {
    diag_error(d, spec->loc, "a batch of %lld, but %s has %lld samples", (long long)batch, spec->source,
               (long long)l->set.samples);
    *st = ST_MODEL;
  }
  if (*st == ST_OK) {
    l->steps = l->all ? (l->set.samples + batch - 1) / batch : l->set.samples / batch;
    l->sample = xcalloc((size_t)batch, sizeof *l->sample, NULL);
    if (l->set.skip_bad) {
      l->bad = xmalloc((size_t)l->set.samples * sizeof *l->bad, "the list of samples");
      for (int64_t i = 0; i < l->set.samples; i++) atomic_init(&l->bad[i], false);
    }
    if (undo_wanted()) undo_push(&l->undo, abandon, l);
    return l;
  }
  loader_close(l);
  return NULL;
}

Loader *loader_open(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                    Diags *d, Status *st) {
  return open_loader(spec, folder, batch, seed, train, false, d, st);
}

Loader *loader_open_all(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                        Diags *d, Status *st) {
  return open_loader(spec, folder, batch, seed, train, true, d, st);
}

int64_t loader_count(const DataSpec *spec, const char *folder, bool train, Diags *d, Status *st) {
  DataSet set;
  *st = dataset_open(&set, spec, folder, train, d);
  int64_t n = set.samples;
  dataset_close(&set);
  return n;
}

void loader_configure(Loader *l, bool sequential, int threads) {
  if (l->started) bug("loader_configure after the first batch");
  l->sequential = sequential;
  l->workers = threads < 1 ? 1 : threads > MAX_WORKERS ? MAX_WORKERS : threads;
}

void loader_share(Loader *l, int which, int of) {
  if (l->started || l->batch % of) bug("loader_share of a batch of %lld by %d", (long long)l->batch, of);
  l->own = l->batch / of;
  l->first = which * l->own;
}

void loader_every(Loader *l, int which, int of) {
  if (l->started) bug("loader_every after the first batch");
  l->every = of;
  l->which = which;
}

static bool class_by_class(const DataSet *s) {
  int64_t i = 1;
  while (s->label && i < s->samples && s->label[i - 1] <= s->label[i]) i++;
  return i >= s->samples;
}

void loader_take(Loader *l, int64_t n) {
  if (l->started || n < 1 || n > l->set.samples) bug("loader_take of %lld samples", (long long)n);
  l->taken = n;
  if (l->all) l->steps = (n + l->batch - 1) / l->batch;
  l->spread = class_by_class(&l->set);
}

int64_t loader_size(const Loader *l) { return l->set.samples; }
int64_t loader_steps_per_epoch(const Loader *l) { return l->steps; }
int64_t loader_rows(const Loader *l) { return l->rows; }
const int64_t *loader_samples(const Loader *l) { return l->sample; }
const char *loader_name(const Loader *l, int64_t sample) { return l->set.path ? l->set.path[sample] : NULL; }

const char *loader_class(const Loader *l, int64_t k) {
  return l->set.class_name && k >= 0 && k < l->set.classes ? l->set.class_name[k] : NULL;
}

/* Samples of an epoch. */
static int64_t epoch_samples(const Loader *l) { return l->taken ? l->taken : l->set.samples; }

/* Rows of a batch that count. */
static int64_t rows_of(const Loader *l, int64_t number) {
  int64_t left = l->all ? epoch_samples(l) - number % l->steps * l->batch : l->batch;
  return left < l->batch ? left : l->batch;
}
double loader_waited(const Loader *l) { return l->waited; }
int64_t loader_skipped(const Loader *l) { return l->skipped; }

/* ---- the workers ---- */
/* The samples' order in an epoch: Fisher and Yates's shuffle, or as they come. */
static void make_order(const Loader *l, int64_t epoch, uint32_t *order) {
  uint32_t n = (uint32_t)l->set.samples;
  Rng r = rng_stream(l->seed, (uint32_t)epoch, 0, 0xffffffffu);
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  for (int64_t i = 0; i < l->taken && l->spread; i++) order[i] = (uint32_t)(i * n / l->taken);
  for (uint32_t i = l->taken ? (uint32_t)l->taken : n; i > 1 && !l->sequential; i--) {
    uint32_t k = rng_below(&r, i), t = order[k];
    order[k] = order[i - 1];
    order[i - 1] = t;
  }
}

typedef struct {
  uint32_t *order;
  int64_t epoch; /* of order, -1 when none yet */
  float *room;
  Loader *loader;
} Worker;

static void note_bad(Loader *l, int64_t sample, const Reason *why) {
  pthread_mutex_lock(&l->lock);
  if (!atomic_exchange(&l->bad[sample], true) && l->skipped++ == 0) l->first_bad = *why;
  pthread_mutex_unlock(&l->lock);
}

/* One sample, or where unreadable ones may be skipped the next that can be read. */
static bool fill_sample(Worker *w, Fill *f, Reason *why) {
  Loader *l = w->loader;
  for (int64_t tries = 0; tries < l->set.samples; tries++) {
    bool known = l->bad && atomic_load(&l->bad[f->sample]);
    if (!known && l->set.fill(&l->set, f, why)) return true;
    if (!l->bad) return false;
    if (!known) note_bad(l, f->sample, why);
    f->sample = (f->sample + 1) % l->set.samples;
  }
  pthread_mutex_lock(&l->lock);
  snprintf(why->text, sizeof why->text, "none of the samples can be read; the first: %.400s",
           l->first_bad.text);
  pthread_mutex_unlock(&l->lock);
  return false;
}

static bool fill_batch(const Loader *l, Worker *w, Slot *s) {
  int64_t number = s->number;
  char *data = s->data;
  Reason *why = &s->why;
  int64_t epoch = number / l->steps, first = number % l->steps * l->batch;
  if (epoch != w->epoch && !(l->sequential && w->epoch >= 0)) make_order(l, epoch, w->order);
  w->epoch = epoch;
  int64_t rows = rows_of(l, number);
  for (int64_t i = 0; i < l->own; i++) {
    int64_t place = l->first + i, row = place < rows ? place : rows - 1;
    Fill sample = {l->seed, epoch, number, row, w->order[first + row], {0}, w->room};
    for (int f = 0; f < l->spec->nfield; f++)
      if (l->offset[f] >= 0) sample.out[l->kind[f]] = data + l->offset[f] + i * l->sample_bytes[f];
    if (!fill_sample(w, &sample, why)) return false;
    s->sample[i] = sample.sample;
  }
  return true;
}

uint64_t loader_hash(Loader *l) {
  enum { SAMPLES = 16 };
  const DataSet *d = &l->set;
  int64_t extent[] = {d->samples, d->classes,    d->channels, d->height, d->width, d->size,
                      d->views,   d->components, d->features, d->tokens, 0},
          at[MAX_FIELDS + 1] = {0};
  for (int f = 0; f < l->spec->nfield; f++) at[f + 1] = at[f] + (l->sample_bytes[f] + 63) / 64 * 64;
  int64_t bytes = at[l->spec->nfield];
  char *data = xmalloc((size_t)bytes + 1, "a sample");
  float *room = xmalloc((size_t)d->room * sizeof *room, "making samples");
  uint64_t h = hash_bytes(extent, sizeof extent, 0);
  if (d->label) h = hash_bytes(d->label, (size_t)d->samples * sizeof *d->label, h);
  for (int64_t i = 0; i < SAMPLES && i < d->samples; i++) {
    int64_t sample = d->samples > SAMPLES ? i * (d->samples - 1) / (SAMPLES - 1) : i;
    Fill f = {l->seed, 0, 0, i, sample, {0}, room};
    Reason why;
    memset(data, 0, (size_t)bytes);
    for (int k = 0; k < l->spec->nfield; k++) f.out[l->kind[k]] = data + at[k];
    if (!d->fill(d, &f, &why)) memset(data, 1, (size_t)bytes);
    h = hash_bytes(data, (size_t)bytes, h);
  }
  free(room);
  free(data);
  return h;
}

static void fill_batches(void *arg) {
  Loader *l = arg;
  Worker w = {.epoch = -1, .loader = l};
  w.order = xmalloc((size_t)l->set.samples * sizeof *w.order, "the order of the samples");
  w.room = xmalloc((size_t)l->set.room * sizeof *w.room, "making samples");
  pthread_mutex_lock(&l->lock);
  while (!l->stop) {
    Slot *s = &l->slot[l->produce / l->every % l->ring];
    if (l->produce >= l->consume + l->ring * l->every || s->state != SLOT_EMPTY) {
      pthread_cond_wait(&l->space, &l->lock);
      continue;
    }
    int64_t generation = l->generation;
    s->state = SLOT_FILLING;
    s->number = l->produce + l->which;
    l->produce += l->every;
    pthread_mutex_unlock(&l->lock);
    s->failed = !fill_batch(l, &w, s);
    pthread_mutex_lock(&l->lock);
    s->state = generation == l->generation ? SLOT_READY : SLOT_EMPTY;
    if (s->state == SLOT_READY) pthread_cond_broadcast(&l->ready);
    else pthread_cond_broadcast(&l->space);
  }
  pthread_mutex_unlock(&l->lock);
  free(w.order);
  free(w.room);
}

/* Memory is asked for without the lock, so one that gives up does not hold it. */
static void *work(void *arg) {
  Loader *l = arg;
  char why[REASON_TEXT];
  if (rescue(fill_batches, l, true, why)) return NULL;
  pthread_mutex_lock(&l->lock);
  memcpy(l->wanting, why, sizeof why);
  pthread_cond_broadcast(&l->ready);
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

static void start(Loader *l, void *const *dst) {
  for (int f = 0; f < l->spec->nfield; f++) {
    l->offset[f] = dst[f] ? l->slot_bytes : -1;
    if (dst[f]) l->slot_bytes += (l->own * l->sample_bytes[f] + 63) / 64 * 64;
  }
  l->ring = l->workers + AHEAD;
  for (int i = 0; i < l->ring; i++) {
    l->slot[i].data = xmalloc((size_t)l->slot_bytes, "a batch");
    l->slot[i].sample = xmalloc((size_t)l->batch * sizeof *l->sample, "a batch");
  }
  l->started = true;
  int err = 0;
  while (l->running < l->workers && !(err = pthread_create(&l->thread[l->running], NULL, work, l)))
    l->running++;
  if (!l->running) out_of_threads("loading data", 1, l->workers, err); /* fewer than wanted will do */
}

/* ---- the consumer ---- */
void loader_seek(Loader *l, int64_t step) {
  if (step < 0) bug("loader_seek to step %lld", (long long)step);
  pthread_mutex_lock(&l->lock);
  l->generation++;
  l->produce = l->consume = step;
  for (int i = 0; i < l->ring; i++)
    if (l->slot[i].state == SLOT_READY) l->slot[i].state = SLOT_EMPTY;
  pthread_cond_broadcast(&l->space);
  pthread_mutex_unlock(&l->lock);
}

Status loader_next(Loader *l, void *const *dst) {
  if (!l->started) start(l, dst);
  pthread_mutex_lock(&l->lock);
  Slot *s = &l->slot[l->consume / l->every % l->ring];
  if (s->state != SLOT_READY || s->number != l->consume + l->which) {
    double from = now_seconds();
    while ((s->state != SLOT_READY || s->number != l->consume + l->which) && !*l->wanting)
      pthread_cond_wait(&l->ready, &l->lock);
    l->waited += now_seconds() - from;
  }
  pthread_mutex_unlock(&l->lock);
  if (*l->wanting) out_of(l->wanting);
  if (s->failed) { /* it stays: the next call fails alike */
    diag_error(l->diags, NULL, "%s", s->why.text);
    return ST_FILE;
  }
  for (int f = 0; f < l->spec->nfield; f++) {
    if (!dst[f]) continue;
    if (l->offset[f] < 0) bug("field %s wanted after the first batch", l->spec->field[f].name);
    memcpy(dst[f], s->data + l->offset[f], (size_t)(l->own * l->sample_bytes[f]));
  }
  l->rows = rows_of(l, l->consume + l->which);
  memcpy(l->sample, s->sample, (size_t)l->batch * sizeof *l->sample);
  pthread_mutex_lock(&l->lock);
  s->state = SLOT_EMPTY;
  l->consume += l->every;
  pthread_cond_broadcast(&l->space);
  pthread_mutex_unlock(&l->lock);
  return ST_OK;
}

void loader_close(Loader *l) {
  if (!l) return;
  undo_drop(&l->undo);
  end_threads(l);
  if (l->skipped)
    diag_warning(l->diags, NULL, "%lld of %lld samples could not be read and were skipped; the first: %s",
                 (long long)l->skipped, (long long)l->set.samples, l->first_bad.text);
  for (int i = 0; i < l->ring; i++) {
    free(l->slot[i].data);
    free(l->slot[i].sample);
  }
  free(l->sample);
  free(l->bad);
  pthread_mutex_destroy(&l->lock);
  pthread_cond_destroy(&l->ready);
  pthread_cond_destroy(&l->space);
  dataset_close(&l->set);
  free(l);
}
