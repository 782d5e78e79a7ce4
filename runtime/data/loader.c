/* A ring of batches: worker threads claim batch numbers in order and fill the slot `number mod ring`;
   loader_next waits for the batch it wants. Seeking changes the generation, which makes batches under way
   stale. */
#include "runtime/data/loader.h"
#include "runtime/data/source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FIELDS = 16, MAX_WORKERS = 16, AHEAD = 3 };

typedef enum { SLOT_EMPTY, SLOT_FILLING, SLOT_READY } SlotState;
typedef struct {
  SlotState state;
  int64_t number;
  char *data; /* the wanted fields, one after the other */
} Slot;

struct Loader {
  DataSet set;
  const DataSpec *spec;
  int64_t batch, steps; /* steps: batches an epoch */
  uint64_t seed;
  bool sequential, started;
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
  double waited;
};

static void *xmalloc(size_t n) {
  void *p = malloc(n ? n : 1);
  if (!p) {
    fprintf(stderr, "jepac: out of memory (%zu bytes)\n", n);
    exit(ST_BUDGET);
  }
  return p;
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

Loader *loader_open(const DataSpec *spec, const char *folder, int64_t batch, uint64_t seed, bool train,
                    Diags *d, Status *st) {
  Loader *l = xmalloc(sizeof *l);
  memset(l, 0, sizeof *l);
  l->spec = spec;
  l->batch = batch;
  l->seed = seed;
  l->workers = 1;
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->ready, NULL);
  pthread_cond_init(&l->space, NULL);
  *st = dataset_open(&l->set, spec, folder, train, d);
  if (*st == ST_OK) *st = match_fields(l, d);
  if (*st == ST_OK && (batch < 1 || batch > l->set.samples || l->set.samples > INT32_MAX)) {
    diag_error(d, spec->loc, "a batch of %lld, but %s has %lld samples", (long long)batch, spec->source,
               (long long)l->set.samples);
    *st = ST_MODEL;
  }
  if (*st == ST_OK) {
    l->steps = l->set.samples / batch;
    return l;
  }
  loader_close(l);
  return NULL;
}

void loader_configure(Loader *l, bool sequential, int threads) {
  if (l->started) bug("loader_configure after the first batch");
  l->sequential = sequential;
  l->workers = threads < 1 ? 1 : threads > MAX_WORKERS ? MAX_WORKERS : threads;
}

int64_t loader_size(const Loader *l) { return l->set.samples; }
int64_t loader_steps_per_epoch(const Loader *l) { return l->steps; }
double loader_waited(const Loader *l) { return l->waited; }

/* ---- the workers ---- */
/* The samples' order in an epoch: Fisher and Yates's shuffle. */
static void make_order(const Loader *l, int64_t epoch, uint32_t *order) {
  uint32_t n = (uint32_t)l->set.samples;
  Rng r = rng_stream(l->seed, (uint32_t)epoch, 0, 0xffffffffu);
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  for (uint32_t i = n; i > 1 && !l->sequential; i--) {
    uint32_t k = rng_below(&r, i), t = order[k];
    order[k] = order[i - 1];
    order[i - 1] = t;
  }
}

typedef struct {
  uint32_t *order;
  int64_t epoch; /* of order, -1 when none yet */
  float *room;
} Worker;

static void fill_batch(const Loader *l, Worker *w, int64_t number, char *data) {
  int64_t epoch = number / l->steps, first = number % l->steps * l->batch;
  if (epoch != w->epoch && !(l->sequential && w->epoch >= 0)) make_order(l, epoch, w->order);
  w->epoch = epoch;
  for (int64_t i = 0; i < l->batch; i++) {
    void *out[FIELD_KINDS] = {0};
    for (int f = 0; f < l->spec->nfield; f++)
      if (l->offset[f] >= 0) out[l->kind[f]] = data + l->offset[f] + i * l->sample_bytes[f];
    l->set.fill(&l->set, l->seed, epoch, number, i, w->order[first + i], out, w->room);
  }
}

static void *work(void *arg) {
  Loader *l = arg;
  Worker w = {.epoch = -1};
  w.order = xmalloc((size_t)l->set.samples * sizeof *w.order);
  w.room = xmalloc((size_t)l->set.room * sizeof *w.room);
  pthread_mutex_lock(&l->lock);
  while (!l->stop) {
    Slot *s = &l->slot[l->produce % l->ring];
    if (l->produce >= l->consume + l->ring || s->state != SLOT_EMPTY) {
      pthread_cond_wait(&l->space, &l->lock);
      continue;
    }
    int64_t generation = l->generation;
    s->state = SLOT_FILLING;
    s->number = l->produce++;
    pthread_mutex_unlock(&l->lock);
    fill_batch(l, &w, s->number, s->data);
    pthread_mutex_lock(&l->lock);
    s->state = generation == l->generation ? SLOT_READY : SLOT_EMPTY;
    if (s->state == SLOT_READY) pthread_cond_broadcast(&l->ready);
    else pthread_cond_broadcast(&l->space);
  }
  pthread_mutex_unlock(&l->lock);
  free(w.order);
  free(w.room);
  return NULL;
}

static void start(Loader *l, void *const *dst) {
  for (int f = 0; f < l->spec->nfield; f++) {
    l->offset[f] = dst[f] ? l->slot_bytes : -1;
    if (dst[f]) l->slot_bytes += (l->batch * l->sample_bytes[f] + 63) / 64 * 64;
  }
  l->ring = l->workers + AHEAD;
  for (int i = 0; i < l->ring; i++) l->slot[i].data = xmalloc((size_t)l->slot_bytes);
  l->started = true;
  while (l->running < l->workers && pthread_create(&l->thread[l->running], NULL, work, l) == 0) l->running++;
  if (!l->running) {
    fprintf(stderr, "jepac: cannot start a data thread\n");
    exit(ST_BUDGET);
  }
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

void loader_next(Loader *l, void *const *dst) {
  if (!l->started) start(l, dst);
  pthread_mutex_lock(&l->lock);
  Slot *s = &l->slot[l->consume % l->ring];
  if (s->state != SLOT_READY || s->number != l->consume) {
    double from = now_seconds();
    while (s->state != SLOT_READY || s->number != l->consume) pthread_cond_wait(&l->ready, &l->lock);
    l->waited += now_seconds() - from;
  }
  pthread_mutex_unlock(&l->lock);
  for (int f = 0; f < l->spec->nfield; f++) {
    if (!dst[f]) continue;
    if (l->offset[f] < 0) bug("field %s wanted after the first batch", l->spec->field[f].name);
    memcpy(dst[f], s->data + l->offset[f], (size_t)(l->batch * l->sample_bytes[f]));
  }
  pthread_mutex_lock(&l->lock);
  s->state = SLOT_EMPTY;
  l->consume++;
  pthread_cond_broadcast(&l->space);
  pthread_mutex_unlock(&l->lock);
}

void loader_close(Loader *l) {
  if (!l) return;
  pthread_mutex_lock(&l->lock);
  l->stop = true;
  pthread_cond_broadcast(&l->space);
  pthread_mutex_unlock(&l->lock);
  for (int i = 0; i < l->running; i++) pthread_join(l->thread[i], NULL);
  for (int i = 0; i < l->ring; i++) free(l->slot[i].data);
  pthread_mutex_destroy(&l->lock);
  pthread_cond_destroy(&l->ready);
  pthread_cond_destroy(&l->space);
  dataset_close(&l->set);
  free(l);
}
