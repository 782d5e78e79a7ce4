/* Validation while training: when, which weights are best, and when to stop early. */
#ifndef JEPAC_CLI_VALIDATION_H
#define JEPAC_CLI_VALIDATION_H

#include "cli/cli.h"
#include "eval/validate.h"
#include "runtime/checkpoint.h"
#include "runtime/events.h"

typedef struct {
  Validation *v; /* NULL: the recipe has none */
  const Validate *how;
  const char *folder;
  int64_t interval, per_epoch, total; /* in steps */
  int metric;                         /* the figure that says which weights are best */
  double *value;
  int64_t at;  /* the last step validated, -1: none */
  bool better; /* its figure was the best so far */
  double seconds;
} Validator;

/* path, data: of the model and the data set. ST_OK with v->v NULL where the recipe asks for none. */
Status validator_open(Cli *c, Validator *v, const Recipe *r, const char *folder, const char *data,
                      uint64_t seed, int64_t per_epoch, int64_t total);
void validator_close(Validator *v);
bool validator_due(const Validator *v, int64_t step);
/* Measures the session's states at info->step, logs them as val.NAME, keeps them as best.safetensors where they are,
   and brings info up to date. All ranks call it; log is NULL on those that do not write. say: one line on standard error. */
Status validator_run(Cli *c, Validator *v, const Session *s, CheckpointInfo *info, RunLog *log,
                     EventFile *events, bool say);
/* Whether the last `patience` validations brought nothing better. */
bool validator_stops(const Validator *v, const CheckpointInfo *info);
void validator_summary(const Validator *v, const CheckpointInfo *info);

#endif
