/* Data sources: what the loader asks of each, and what they share (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_DATA_SOURCE_H
#define JEPAC_RUNTIME_DATA_SOURCE_H

#include "runtime/data/augment.h"
#include "runtime/data/maps.h"
#include "runtime/data/picture.h"
#include "runtime/file.h"

typedef enum {
  FIELD_IMAGE,
  FIELD_VIEWS,
  FIELD_ACTIONS,
  FIELD_PARAMS,
  FIELD_LABEL,
  FIELD_X,
  FIELD_TOKENS,
  FIELD_SALIENCY, /* of saccades: the map that fixations are drawn from, its largest number 1 */
  FIELD_KINDS,
  FIELD_ARRAY = FIELD_KINDS, /* and so on: the arrays of `arrays` in their order */
  MAX_ARRAYS = 16
} FieldKind;

/* One sample to make. */
typedef struct {
  uint64_t seed;
  int64_t epoch, step, place; /* place: in the batch */
  int64_t sample;
  void *out[FIELD_KINDS + MAX_ARRAYS]; /* NULL or where that field's sample goes */
  float *room;
} Fill;

/* An opened source; read-only while loading but for the cache, so any number of threads may fill from it. */
typedef struct DataSet DataSet;
typedef struct Cache Cache;
typedef struct Columns Columns;
struct DataSet {
  int64_t samples;
  int classes, channels, height, width, size, views, components;
  int given;                /* of the components: how many `actions` has */
  int normalise;            /* parameters become unit vectors over as many views; 0: not */
  int64_t features, tokens; /* synthetic: extents of x and tokens */
  float scale[4], shift[4]; /* 0..1 -> normalised: p * scale + shift */
  const int32_t *label;
  const char *const *class_name; /* NULL: classes have numbers only */
  bool skip_bad;
  int64_t room; /* floats of working memory a fill needs */
  /* false: the sample cannot be read, with the reason. */
  bool (*fill)(const DataSet *s, const Fill *f, Reason *why);

  /* Of image sources: the pixels of a sample, channels x height x width bytes, perhaps made in `bytes`; NULL
     with the reason. */
  const uint8_t *(*pixels)(const DataSet *s, int64_t sample, uint8_t *bytes, Reason *why);
  Augmenter augment, target; /* target: of the last view */
  Augmenter *last;           /* &target or &augment */
  Maps maps;                 /* saliency maps */

  const uint8_t *record; /* samples in memory: `stride` bytes apart */
  int64_t stride;
  const char *const *path; /* files: a picture each, or a folder each */
  bool exact;              /* pictures of another size are refused rather than resized */
  int per_object;          /* diebench: pictures in a folder */
  bool colour, positive;   /* diebench: hues are actions; the sign of quaternions is fixed */
  Cache *cache;
  Columns *columns; /* of `arrays` */
  void (*close_columns)(Columns *c);

  Arena *arena; /* freed with the data set */
  MappedFile mapped[2];
  void *owned[2];
};

/* folder: --data, or NULL. ST_FILE or ST_MODEL after reporting; what was opened so far is closed as after success. */
Status dataset_open(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d);
void dataset_close(DataSet *s);

/* Which field a name stands for, with the element type and the shape of one sample that this source gives it;
   -1: none. */
int dataset_field(const DataSet *s, const char *name, DType *dt, Shape *sample);

/* ---- what the sources share ---- */
typedef struct {
  DataSet *s;
  const DataSpec *spec;
  const char *folder; /* --data, or NULL */
  bool train;
  Arena *a; /* the data set's */
  Diags *d;
} Opening;

Status open_fashion(Opening *o), open_cifar(Opening *o), open_stl(Opening *o); /* arrays.c */
Status open_tiny(Opening *o), open_folder(Opening *o);                         /* folders.c */
Status open_diebench(Opening *o);                                              /* diebench.c */
Status open_synthetic(Opening *o);                                             /* synthetic.c */
Status open_columns(Opening *o);                                               /* columns.c */
int columns_find(const Columns *c, const char *name);                          /* -1: no such array */
void columns_type(const Columns *c, int i, DType *dt, Shape *sample);

double source_number(const Opening *o, const char *name, double absent);
const char *source_word(const Opening *o, const char *name, const char *absent);
/* Reports at the model's line and returns ST_MODEL. */
Status source_wrong(const Opening *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reports and returns ST_FILE. */
Status source_bad(const Opening *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* folder/name, or NULL when there is no such file. */
char *source_file(Arena *a, const char *folder, const char *name);
/* Folder holding `name`: the user's (or its subfolder `sub`), else datasets/sub in the places the XDG base
   directory specification lists for shared data. NULL when none of them has it, after reporting what is
   expected. */
const char *source_folder(const Opening *o, const char *title, const char *sub, const char *const *names,
                          const char *layout);

/* Views, size, mean, std; height and width are set. */
Status source_views(Opening *o, int size, const double *mean, const double *std);
/* The same and the augmentations: from then on the source fills from its pixels. home: where saliency maps
   lie. */
Status source_images(Opening *o, int size, const double *mean, const double *std, const char *home);

/* bytes -> normalised floats */
void source_normalise(const DataSet *s, const float *from, float *to, int side);
Status source_check_labels(const Opening *o, const char *path);

#endif
