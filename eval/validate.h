/* A recipe's own loss and metrics on the test part of its data, in eval mode, each the mean over all samples: during
   training and in `jepac eval`. */
#ifndef JEPAC_EVAL_VALIDATE_H
#define JEPAC_EVAL_VALIDATE_H

#include "lib/compiler.h"

typedef struct Validation Validation;

typedef struct {
  const char *model, *data; /* path of the model file; --data or NULL */
  uint64_t seed;
  int64_t batch; /* of the recipe, at most so many samples at a time */
  struct Ranks *ranks; /* which share the samples; all call all of this and have the same figures. NULL: alone */
} ValidationOptions;

/* c: the compiler with the settings of the run; it and the options' texts outlive the result. NULL after reporting, with
   *st set. */
Validation *validation_open(const Compiler *c, const ValidationOptions *o, Status *st);
void validation_close(Validation *v);

int64_t validation_samples(const Validation *v);
int validation_count(const Validation *v); /* of figures; the first is the loss */
const char *validation_name(const Validation *v, int i);
/* States by name from a session of the same model, or from a file. */
void validation_take(Validation *v, const Session *s);
Status validation_load(Validation *v, const StFile *f);
/* Where training stands, for schedules in the loss: its step, steps an epoch and in all. */
void validation_at(Validation *v, int64_t step, int64_t per_epoch, int64_t total);
/* value[i]: the mean of figure i over the samples; batches weigh as many as they have. */
Status validation_run(Validation *v, double *value);

#endif
