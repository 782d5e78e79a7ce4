/* Data sources: what the loader asks of each (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_DATA_SOURCE_H
#define JEPAC_RUNTIME_DATA_SOURCE_H

#include "runtime/data/augment.h"

typedef enum { FIELD_IMAGE, FIELD_VIEWS, FIELD_ACTIONS, FIELD_LABEL, FIELD_X, FIELD_KINDS } FieldKind;

/* An opened source; read-only while loading, so any number of threads may fill from it. */
typedef struct DataSet DataSet;
struct DataSet {
  int64_t samples;
  int classes, channels, height, width, size, views, components;
  int64_t features;     /* synthetic: extent of x */
  const uint8_t *pixel; /* samples x channels x height x width */
  const uint8_t *label;
  float scale[3], shift[3]; /* 0..1 -> normalised: p * scale + shift */
  Augmenter augment;
  int64_t room; /* floats of working memory a fill needs */
  void *owned[2];
  /* Writes one sample; out[kind] is NULL or where that field's sample goes. */
  void (*fill)(const DataSet *s, uint64_t seed, int64_t epoch, int64_t step, int64_t place, int64_t sample,
               void *const out[FIELD_KINDS], float *room);
};

/* folder: --data, or NULL. ST_FILE or ST_MODEL after reporting. */
Status dataset_open(DataSet *s, const DataSpec *spec, const char *folder, bool train, Diags *d);
void dataset_close(DataSet *s);

/* Which field a name stands for, with the element type and the shape of one sample that this source gives it;
 * -1: none. */
int dataset_field(const DataSet *s, const char *name, DType *dt, Shape *sample);

#endif
