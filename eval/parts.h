/* An evaluation in parts: a model's entries over a data set, probes on frozen features, protocols, and the
   report of a run. docs/evaluation.md says what is measured. */
#ifndef JEPAC_EVAL_PARTS_H
#define JEPAC_EVAL_PARTS_H

#include "eval/eval.h"
#include "eval/stats.h"
#include "lib/tensors.h"
#include "runtime/checkpoint.h"

#include <jansson.h>

/* ---- what is measured on how much: the recipe's protocols(...), then the options ---- */
enum { MAX_M = 16, MAX_ACTION = 64 };

typedef struct {
  int n;
  int64_t v[MAX_M];
} IntList;

typedef struct {
  IntList m_val, path, hidden, path_hidden;
  int64_t images, test_images, sequences, test_sequences, retrieval_images, retrieval_views, epochs,
      action_epochs, path_epochs;
} Sizes;

typedef struct Eval Eval;
/* What the recipe and the options say, then what the data allow: e->size, e->views. */
Status sizes_decide(Eval *e);

/* ---- entries.c ---- */
enum { TRAINED, UNTRAINED, NMODEL }; /* whose states */
enum { TRAIN, TEST, NPART };         /* which files of the data set */

typedef struct {
  Compiled k;
  Session *untrained;   /* the same code on freshly initialized states; NULL when not asked for */
  int64_t batch, width; /* width: of the result, f32[batch, width] */
} Entry;

typedef struct {
  int64_t n;
  int64_t *label;   /* n */
  float *z[NMODEL]; /* n, dim: of the plain images */
} Images;

enum { PICTURES = 5 }; /* sequences whose pixels are kept for the report */
typedef struct {
  int64_t n, views;
  int64_t *label;   /* n */
  float *param;     /* n, views, nact: what describes each view */
  float *action;    /* n, views - 1, nact: what leads from view k to view k + 1 */
  float *embedded;  /* n, views - 1, nembed: the model's embedding of it, or the action itself */
  float *z[NMODEL]; /* n, views, dim */
  float *picture;   /* min(n, PICTURES), views, pixels; of the test part */
} Sequences;

typedef struct ProbeCode ProbeCode;

struct Eval {
  Arena *arena;
  Diags *diags;
  Compiler compiler; /* with the settings of the run, then the caller's */
  const EvalOptions *opt;
  const char *folder;
  CheckpointInfo info;
  Model *model;
  const Recipe *recipe;
  Sizes size;
  int64_t classes, dim, nact, nembed; /* dim: width of an embedding; nact: of an action, 0 none */
  Shape image;                        /* C, H, W */
  bool rotation;                      /* actions begin with a quaternion */
  const char *component[MAX_ACTION];  /* names of an action's components: "crop.top" */
  const char *group[MAX_ACTION];      /* "crop" */
  int64_t views;                      /* of a sequence */
  int64_t samples[NPART];             /* of the data set; 0: not opened yet */
  Entry encode, target, predict, embed, aggregate[MAX_M + 1];
  Images images[NPART];
  Sequences sequences[NPART];
  ProbeCode *probes; /* compiled so far */
  json_t *json;      /* eval.json */
  StrBuf html;       /* sections of the report */
};

/* Reports one error and returns s. */
Status eval_fail(Eval *e, Status s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool entry_offered(const Eval *e, const char *name);
/* Compiles an entry whose arguments have these shapes, the first extent being the batch. */
Status entry_open(Eval *e, const char *name, const KnownShape *known, int n, bool untrained, Entry *out);
void entry_close(Entry *k);
typedef struct {
  const char *name;
  const float *data; /* n rows */
} EntryInput;
/* out: n rows of k->width. */
void entry_apply(const Entry *k, int which, const EntryInput *in, int nin, int64_t n, float *out);

/* ---- data.c ---- */
/* Data of the recipe's source: dimensions, names of action components. */
Status eval_describe_data(Eval *e);
/* Embeddings of the plain images, of the sequences of views; made at the first call. */
Status eval_images(Eval *e, int part);
Status eval_sequences(Eval *e, int part);

enum { ZERO_ACTIONS = 1, ZERO_VIEWS = 2 };
/* The aggregate of the first m views, n rows of e->aggregate[m].width, allocated in a. */
Status eval_aggregate(Eval *e, int part, int64_t m, int zero, Arena *a, float **out);
/* Mean of the embeddings of the first m views. */
float *eval_mean(const Eval *e, int part, int which, int64_t m, Arena *a);

/* Batches of the data set in file order. */
typedef struct {
  struct Loader *loader;
  DataSpec spec;
  void *dst[16];
  float *image, *views, *param, *action; /* one batch; param or action may be NULL */
  int64_t *label, n, batch, nviews;      /* n: samples to read, a multiple of batch */
} Reader;
Status reader_open(Eval *e, int part, int64_t views, bool augmented, int64_t want, Reader *r);
Status reader_next(Reader *r);
void reader_close(Reader *r);
/* The parameters of sample b's views, into param[views][nact]. */
void reader_params(const Eval *e, const Reader *r, int64_t b, float *param);

/* ---- probe.c ---- */
typedef struct {
  int64_t n, dim, ydim; /* rows; columns of x and y */
  float *x, *y;         /* y: NULL for classification */
  int64_t *label;       /* NULL for regression */
} ProbeData;
/* Trains a probe on train and writes its predictions (classes or ydim columns) for test. Both are
   standardised in place by train's mean and deviation: x, and y too. hidden: widths of a regression's hidden
   layers; NULL for classification. */
Status probe_run(Eval *e, ProbeData *train, ProbeData *test, const IntList *hidden, int64_t outputs,
                 int64_t epochs, float *prediction);
void probes_close(Eval *e);

/* ---- results.c ---- */
void eval_set(Eval *e, const char *key, double value); /* not finite: null */
void eval_set_text(Eval *e, const char *key, const char *value);
void eval_set_list(Eval *e, const char *key, const double *value, int n);
json_t *eval_numbers(const double *value, int n);
void eval_json(const Eval *e, StrBuf *b); /* all of them, one line a key */
/* The table for people. NAN is printed as "-". */
void eval_print(const Eval *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void eval_heads(const Eval *e, const char *label, const char *const *head, int n);
void eval_row(const Eval *e, const char *label, const char *format, double scale, const double *value, int n);

/* ---- the protocols, one file each ---- */
Status measure_linear(Eval *e), measure_aggregate(Eval *e), measure_r2(Eval *e), measure_path(Eval *e),
    measure_retrieval(Eval *e), measure_health(Eval *e), measure_maps(Eval *e);
Status protocols_check(Eval *e); /* the names asked for, before anything is done */
Status protocols_measure(Eval *e);
Status eval_export(Eval *e, const char *folder); /* features, labels and actions as safetensors and npy */

/* ---- report.c ---- */
void report_section(Eval *e, const char *title, const char *note);
void report_picture(Eval *e, int width, int height, int channels, const uint8_t *pixels, int scale);
Status eval_report(Eval *e); /* RUN/report.html */

#endif
