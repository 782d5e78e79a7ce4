/* Probes on sequences of views. With views that stay, each is trained when its protocol asks for it, on
   embeddings that all share. With redraw the views of every epoch are new: they are read and embedded piece by
   piece, every probe takes its rows of a piece, and only the test part's answers are kept. */
#include "eval/parts.h"

#include <string.h>

Task *task_add(Eval *e, Task t) {
  Task *own = NEW(e->arena, Task);
  *own = t;
  vec_push(e->arena, &e->tasks, own);
  return own;
}

static int64_t outputs_of(const Eval *e, const ProbeData *d) { return d->label ? e->classes : d->ydim; }

/* ---- views that stay ---- */
static float *copy_of(Arena *a, const float *x, int64_t n) {
  float *p = NEWN(a, float, n);
  return memcpy(p, x, (size_t)n * sizeof *p);
}

static Status run_alone(Eval *e, Task *t) {
  ProbeData d[NPART];
  Arena *a = arena_new();
  Status s = ST_OK;
  for (int part = 0; part < NPART && !s; part++) s = eval_sequences(e, part);
  for (int part = 0; part < NPART && !s; part++) s = t->rows(e, t, &e->sequences[part], a, &d[part]);
  if (!s) {
    const ProbeData *test = &d[TEST];
    int64_t outputs = outputs_of(e, test);
    if (test->y) t->raw = copy_of(e->arena, test->y, test->n * outputs);
    float *prediction = NEWN(test->y ? e->arena : a, float, test->n *outputs);
    s = probe_run(e, &d[TRAIN], &d[TEST], t->hidden, outputs, t->epochs, prediction);
    if (test->label) {
      t->top1 = stats_top1(prediction, test->label, test->n, outputs);
    } else {
      t->n = test->n;
      t->prediction = prediction;
      t->y = copy_of(e->arena, test->y, test->n * outputs);
    }
  }
  arena_free(a);
  return s;
}

/* ---- views drawn anew ---- */
typedef struct {
  Arena *piece, *rows; /* of a piece of the stream, and of one task's part of it */
  ProbeStream **stream;
  double *right; /* of classes: how many */
} Run;

static Status start_stream(Eval *e, const Task *t, const ProbeData *d, int64_t pieces_rows, ProbeStream **out) {
  ProbeCode *code;
  Status s = probe_find(e, d->label != NULL, d->dim, t->hidden, outputs_of(e, d), &code);
  if (s) return s;
  *out = stream_open(e, code, pieces_rows, t->epochs);
  return *out ? ST_OK : ST_BUDGET;
}

static Status train_piece(Eval *e, Run *run, const Sequences *q, int64_t epoch, int64_t n) {
  Status s = ST_OK;
  for (int i = 0; i < e->tasks.n && !s; i++) {
    const Task *t = e->tasks.v[i];
    ProbeData d;
    if (epoch >= t->epochs) continue;
    arena_reset(run->rows);
    s = t->rows(e, t, q, run->rows, &d);
    if (!s && !run->stream[i]) s = start_stream(e, t, &d, d.n / q->n * n, &run->stream[i]);
    if (!s) stream_train(run->stream[i], &d, run->rows);
  }
  return s;
}

static void keep_answers(Task *t, const ProbeData *d, const float *prediction, const float *raw) {
  size_t bytes = (size_t)(d->n * d->ydim) * 4, at = (size_t)(t->n * d->ydim);
  memcpy(t->prediction + at, prediction, bytes);
  memcpy(t->y + at, d->y, bytes);
  memcpy(t->raw + at, raw, bytes);
  t->n += d->n;
}

static Status test_piece(Eval *e, Run *run, const Sequences *q, int64_t n) {
  Status s = ST_OK;
  for (int i = 0; i < e->tasks.n && !s; i++) {
    Task *t = e->tasks.v[i];
    ProbeData d;
    arena_reset(run->rows);
    if ((s = t->rows(e, t, q, run->rows, &d))) break;
    int64_t outputs = outputs_of(e, &d), all = d.n / q->n * n * outputs;
    float *prediction = NEWN(run->rows, float, d.n *outputs), *raw = d.y;
    if (d.y) raw = copy_of(run->rows, d.y, d.n * outputs);
    stream_predict(run->stream[i], &d, prediction);
    if (d.label) {
      run->right[i] += stats_top1(prediction, d.label, d.n, outputs) * (double)d.n / (double)n;
      continue;
    }
    if (!t->prediction) {
      t->prediction = NEWN(e->arena, float, all);
      t->y = NEWN(e->arena, float, all);
      t->raw = NEWN(e->arena, float, all);
    }
    keep_answers(t, &d, prediction, raw);
  }
  return s;
}

static Status stream_part(Eval *e, Run *run, int part) {
  Reader r;
  int64_t epochs = 1;
  for (int i = 0; i < e->tasks.n && part == TRAIN; i++)
    if (e->tasks.v[i]->epochs > epochs) epochs = e->tasks.v[i]->epochs;
  Status s = reader_open(e, part, e->views, true, part == TRAIN,
                         part == TRAIN ? e->size.sequences : e->size.test_sequences, &r);
  if (s) return s;
  e->streamed[part] = r.n;
  for (int64_t epoch = 0; epoch < epochs && !s; epoch++) {
    double start = now_seconds();
    r.epoch = epoch;
    reader_seek(&r, epoch, 0);
    for (int64_t i = 0; i < r.n && !s;) {
      Sequences q;
      arena_reset(run->piece);
      if ((s = sequences_next(e, &r, r.n - i, run->piece, &q))) break;
      s = part == TRAIN ? train_piece(e, run, &q, epoch, r.n) : test_piece(e, run, &q, r.n);
      i += q.n;
    }
    if (!s && e->opt->timed)
      e->opt->timed(e->opt->ctx, part == TRAIN ? "an epoch of probes" : "their test", now_seconds() - start);
  }
  reader_close(&r);
  return s;
}

static Status run_all(Eval *e) {
  Run run = {.piece = arena_new(),
             .rows = arena_new(),
             .stream = NEWN(e->arena, ProbeStream *, e->tasks.n + 1),
             .right = NEWN(e->arena, double, e->tasks.n + 1)};
  Status s = eval_sequences(e, TEST); /* for the report */
  if (!s) s = stream_part(e, &run, TRAIN);
  if (!s) s = stream_part(e, &run, TEST);
  for (int i = 0; i < e->tasks.n; i++) {
    e->tasks.v[i]->done = true;
    e->tasks.v[i]->top1 = run.right[i];
    stream_close(run.stream[i]);
  }
  arena_free(run.piece);
  arena_free(run.rows);
  return s;
}

Status task_run(Eval *e, Task *t) {
  if (t->done) return ST_OK;
  t->done = true;
  return e->size.redraw ? run_all(e) : run_alone(e, t);
}

void task_sizes(Eval *e, const char *protocol, int64_t epochs) {
  const int64_t *n = e->streamed;
  if (e->size.redraw) eval_sizes(e, protocol, "sequences", n[TRAIN], n[TEST], epochs, ", views drawn anew in each");
  else eval_sizes(e, protocol, "sequences", e->sequences[TRAIN].n, e->sequences[TEST].n, epochs, NULL);
  json_object_set_new(json_object_get(json_object_get(e->json, "sizes"), protocol), "redraw",
                      json_boolean(e->size.redraw));
}
