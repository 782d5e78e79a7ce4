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
  IntList m_val, path, hidden, path_hidden, retrieval_m;
  int64_t images, test_images, sequences, test_sequences, retrieval_images, retrieval_views, epochs,
      action_epochs, path_epochs, redraw;
  bool ridge;   /* linear probes are ridge regressions ... */
  double alpha; /* ... that punish weights by so much */
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
  int64_t *label, *sample; /* n; sample: its number in the part */
  const char **name;       /* n: its file or folder, NULL where the source has none */
  float *z[NMODEL];        /* n, dim: of the plain images */
} Images;

enum { PICTURES = 5 }; /* sequences whose pixels are kept for the report */
typedef struct {
  int64_t n, views;
  int64_t *label, *sample; /* as of Images */
  const char **name;
  float *param;     /* n, views, nact: what describes each view */
  float *action;    /* n, views - 1, nact: what leads from view k to view k + 1 */
  float *embedded;  /* n, views - 1, nembed: the model's embedding of it, or the action itself */
  float *z[NMODEL]; /* n, views, dim */
  float *picture;   /* min(n, PICTURES), views, pixels; of the test part */
  float *whole, *map; /* of saccades as many: the picture that is looked at, and what is salient in it; or NULL */
} Sequences;

typedef struct ProbeCode ProbeCode;
typedef struct RidgeCode RidgeCode;
typedef struct Task Task;
typedef VEC(Task *) Tasks;
enum { AGGREGATE, MEAN, MEAN_UNTRAINED, NCURVE }; /* of `aggregate` */
enum { NR2 = 6, NCASE = 3 };                      /* of `r2`, of `path` */

struct Eval {
  Arena *arena;
  Diags *diags;
  Compiler compiler; /* with the settings of the run, then the caller's */
  const EvalOptions *opt;
  const char *folder, *data; /* of the run, or the model file; of the data set, NULL: where its source looks */
  const char *to;            /* folder of eval.json and the report; NULL: none */
  CheckpointInfo info;
  const Source *log; /* of the run; NULL: it has none */
  StFile *states; /* the checkpoint: one file for all entries, though the run may go on meanwhile */
  Model *model;
  const Recipe *recipe;
  Sizes size;
  const char **class_name;            /* once a part has been opened: names, or numbers as text */
  int64_t classes, dim, nact, nembed; /* dim: width of an embedding; nact: of an action, 0 none */
  int64_t ntold;                      /* of its components: what the model is told */
  Shape image;                        /* C, H, W */
  Turn rotation;                      /* actions begin with a quaternion */
  bool saccades; /* views are patches around fixations: parameters 0 and 1 */
  bool told[MAX_ACTION];
  const char *component[MAX_ACTION];  /* names of an action's components: "crop.top" */
  const char *group[MAX_ACTION];      /* "crop" */
  int64_t views;                      /* of a sequence */
  int64_t samples[NPART];             /* of the data set; 0: not opened yet */
  Entry encode, target, predict, embed, lead, attend, aggregate[MAX_M + 1];
  Images images[NPART];
  Sequences sequences[NPART];
  ProbeCode *probes; /* compiled so far */
  RidgeCode *ridges;
  Tasks tasks;       /* in the order in which protocols ask for them */
  int64_t streamed[NPART];
  Task *curve[NCURVE][MAX_M], *r2[NR2], *path[NCASE][MAX_M];
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

/* ---- ranks.c: each rank takes some batches, all have the results ---- */
typedef struct {
  int64_t first, last; /* batches of this rank */
  int64_t *at;         /* [ranks + 1]: where those of each begin */
} Portion;
/* Of batches [from, to). */
Portion portion_of(struct Ranks *r, int64_t from, int64_t to, Arena *a);
/* The others' part of rows, which this rank has filled for its batches of `batch` rows, of which there are n from the first
   one on: elements of `bytes`. */
void portion_join(struct Ranks *r, const Portion *p, int64_t batch, int64_t n, int64_t bytes, void *rows);
/* Before they exchange: the worst of all ranks' status. Who has no error of its own says nothing. */
Status portion_settle(struct Ranks *r, Status s);

/* ---- data.c ---- */
/* Data of the recipe's source: dimensions, names of action components. */
Status eval_describe_data(Eval *e);
/* Embeddings of the plain images, of the sequences of views; made at the first call. */
Status eval_images(Eval *e, int part);
Status eval_sequences(Eval *e, int part);

/* n actions of nact components as the model is given them: the components it is told, embedded if it embeds them;
   rows of nembed, in a, or the actions themselves. */
float *eval_embed(const Eval *e, const float *action, int64_t n, Arena *a);
/* The first of these two steps: rows of ntold. */
const float *eval_tell(const Eval *e, const float *action, int64_t n, Arena *a);

enum { ZERO_ACTIONS = 1, ZERO_VIEWS = 2 };
/* The aggregate of the first m views, n rows of e->aggregate[m].width, allocated in a. */
Status eval_aggregate(Eval *e, const Sequences *q, int64_t m, int zero, Arena *a, float **out);
/* Mean of the embeddings of the first m views. */
float *eval_mean(const Eval *e, const Sequences *q, int which, int64_t m, Arena *a);

/* Batches of the data set in file order. */
typedef struct {
  struct Loader *loader;
  DataSpec spec;
  void *dst[16];
  float *image, *views, *param, *action; /* one batch; param or action may be NULL */
  float *map;                            /* of saccades */
  int64_t epoch; /* it is in */
  int64_t *label, n, batch, rows, nviews; /* n: samples to read; rows: of them in the batch read last, batch or fewer */
} Reader;
/* shuffled: in another order in each epoch. */
Status reader_open(Eval *e, int part, int64_t views, bool augmented, bool shuffled, int64_t want, Reader *r);
void reader_seek(Reader *r, int64_t epoch, int64_t batch); /* an epoch has views of its own */
Status reader_next(Reader *r);
void reader_close(Reader *r);
/* The parameters of sample b's views, into param[views][nact]. */
void reader_params(const Eval *e, const Reader *r, int64_t b, float *param);

/* The next samples of the stream, of at most the `left` ones; a holds them. */
Status sequences_next(Eval *e, Reader *r, int64_t left, Arena *a, Sequences *q);

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
/* The same by ridge regression: classes are told apart by regressions on 1 and -1. Of x and y that are standardised. */
Status ridge_run(Eval *e, const ProbeData *train, const ProbeData *test, int64_t outputs, float *prediction);
void ridges_close(Eval *e);
/* Epochs of linear probes: 0 where they are ridge regressions. */
int64_t linear_epochs(const Eval *e, int64_t epochs);
/* The code of such a probe, compiled at the first call. */
Status probe_find(Eval *e, bool classes, int64_t dim, const IntList *hidden, int64_t outputs, ProbeCode **out);
void probes_close(Eval *e);

/* A probe that is given its rows piece by piece, for epochs of that many rows; any number of one code. Rows
   are standardised in place by the first piece's mean and deviation. */
typedef struct ProbeStream ProbeStream;
ProbeStream *stream_open(Eval *e, ProbeCode *code, int64_t rows, int64_t epochs); /* NULL after reporting */
void stream_train(ProbeStream *s, ProbeData *d, Arena *a);
void stream_predict(ProbeStream *s, ProbeData *d, float *prediction);
void stream_close(ProbeStream *s);

/* ---- tasks.c: probes on sequences of views, each by itself, or all of them on one stream of views that are
   drawn anew ---- */
struct Task {
  Status (*rows)(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *d); /* of a part or piece */
  int64_t epochs;
  const IntList *hidden; /* of a regression, as in probe_run */
  int which, zero;       /* for rows */
  int64_t m;
  bool done;
  double top1;                /* of classes */
  int64_t n;                  /* of a regression: rows of the test part, e->nact columns */
  float *prediction, *y, *raw; /* y: standardised, raw: in the action's own unit */
};
Task *task_add(Eval *e, Task t);
/* Has it been run? Else runs it, or with redraw all of them. */
Status task_run(Eval *e, Task *t);
/* What it was trained and tested on, after its protocol's table and into eval.json. */
void task_sizes(Eval *e, const char *protocol, int64_t epochs);

/* ---- results.c ---- */
void eval_set(Eval *e, const char *key, double value); /* not finite: null */
void eval_set_text(Eval *e, const char *key, const char *value);
void eval_set_list(Eval *e, const char *key, const double *value, int n);
json_t *eval_numbers(const double *value, int n);
void eval_json(const Eval *e, StrBuf *b); /* all of them, one line a key */
/* The table for people. NAN is printed as "-". */
void eval_print(const Eval *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What the figures above were measured on, as a line of the table and under "sizes" of eval.json. train 0:
   nothing is trained; epochs 0: by ridge regression; more: what else is to be said, or NULL. */
void eval_sizes(Eval *e, const char *protocol, const char *what, int64_t train, int64_t test, int64_t epochs,
                const char *more);
void eval_heads(const Eval *e, const char *label, const char *const *head, int n);
void eval_row(const Eval *e, const char *label, const char *format, double scale, const double *value, int n);

/* ---- the protocols, one file each ---- */
/* Adds the protocol's tasks. */
void plan_aggregate(Eval *e), plan_r2(Eval *e), plan_path(Eval *e);
Status measure_linear(Eval *e), measure_aggregate(Eval *e), measure_r2(Eval *e), measure_path(Eval *e),
    measure_retrieval(Eval *e), measure_health(Eval *e), measure_maps(Eval *e), measure_attention(Eval *e);
bool protocols_asked(const Eval *e, const char *name);
Status protocols_check(Eval *e); /* the names asked for, before anything is done */
Status protocols_measure(Eval *e);
Status eval_export(Eval *e, const char *folder); /* features, labels and actions as safetensors and npy */

/* ---- report.c ---- */
void report_section(Eval *e, const char *title, const char *note);
/* A view as a picture, lo black and hi white; the element's size in pixels of the page. */
void report_view(Eval *e, StrBuf *b, const float *x, int channels, float lo, float hi, int side);
/* Of saccades: the pictures looked at, their maps, and the way of the eye on both. */
void report_saccades(Eval *e, StrBuf *b);
void report_picture(Eval *e, int width, int height, int channels, const uint8_t *pixels, int scale);
Status eval_report(Eval *e); /* RUN/report.html */

#endif
