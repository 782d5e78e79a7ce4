/* What a model file's `train` section says to the runtime: numbers and a data source, already resolved and
   checked. Everything that is arithmetic (schedules, optimizers, EMA, probes, metrics) is in the
   training-step graph instead. */
#ifndef JEPAC_IR_RECIPE_H
#define JEPAC_IR_RECIPE_H

#include "ir/type.h"

/* A resolved setting: a number, text, range lo..hi, list, or a call such as crop(scale = 0.2..1.0). */
typedef enum { SET_NUM, SET_STR, SET_RANGE, SET_LIST, SET_CALL } SettingKind;
typedef struct Setting {
  const char *name; /* "" for positional items */
  SettingKind kind;
  double num, hi;             /* NUM; RANGE: num..hi */
  const char *str;            /* STR: text; CALL: callee */
  const struct Setting *item; /* LIST items, CALL arguments (named) */
  int nitem;
  const Loc *loc;
} Setting;

typedef struct {
  const char *name; /* "views" */
  DType dt;
  Shape shape; /* with the batch as axis 0 */
} DataField;

typedef struct {
  const char *source; /* "fashion_mnist" */
  const Setting *set; /* its settings, defaults filled in */
  int nset;
  const DataField *field; /* typed outputs, in declaration order */
  int nfield;
  int64_t samples; /* training samples of the set as distributed; 0: not known */
  const Loc *loc;
} DataSpec;

/* A value of the training step ("monitor.NAME") that stops the run when it leaves lo..hi. */
typedef enum { UNIT_STEPS, UNIT_EPOCHS, UNIT_PERCENT } StepUnit; /* percent of the run */
typedef struct {
  const char *name; /* "spread" */
  double lo, hi;
  double after; /* checked from this step on */
  StepUnit unit;
  const Loc *loc;
} Monitor;

/* Measuring on the test part while training; on: so often. */
typedef struct {
  double every; /* 0: never */
  StepUnit unit;
  const char *best; /* the metric that says which weights are best */
  bool highest;     /* else the lowest is */
  int64_t patience; /* that many validations without a better one end the run; 0: none do */
  const Loc *best_loc;
} Validate;

typedef struct {
  const char *model; /* name of the model trained */
  DataSpec data;
  int64_t batch, accumulate; /* samples of a batch, batches of a step */
  int64_t parts; /* ... each of which so many ranks take at the same time, with samples of their own */
  int64_t epochs, steps; /* steps > 0 wins over epochs */
  int64_t seed;
  DType precision;    /* DT_F32, DT_BF16 or DT_F16: of what lies in memory between kernels */
  const Setting *set; /* the whole resolved section for run.jsonl */
  int nset;
  const Monitor *monitor;
  int nmonitor;
  Validate validate;
  const Setting *eval; /* what `jepac eval` measures: every setting of protocols(...) */
  int neval;
} Recipe;

const Setting *setting_find(const Setting *set, int n, const char *name); /* NULL when absent */
int64_t validate_steps(const Validate *v, int64_t steps_per_epoch,
                       int64_t total_steps); /* between two; 0: never */
/* The first step at which a monitor is checked. */
int64_t monitor_start(const Monitor *m, int64_t steps_per_epoch, int64_t total_steps);

#endif
