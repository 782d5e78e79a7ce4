/* Runs as their folders tell: settings, headers and curves of run.jsonl. */
#ifndef JEPAC_CLI_RUN_INFO_H
#define JEPAC_CLI_RUN_INFO_H

#include "cli/cli.h"
#include "eval/plot.h"

typedef struct {
  const char *path, *value; /* "optimizer.adamw.lr", "0.001" */
} RunSetting;

typedef struct {
  const char *folder, *name; /* name: what tells it from the others */
  VEC(RunSetting) set;
  const char *model, *time, *host, *best; /* best: the metric of its best weights, "val.loss", or NULL */
  bool highest, running;                  /* running: a process has the folder locked */
  int64_t step, steps, per_epoch;         /* the last recorded; to be done, 0: not known */
  double started;                         /* seconds since 1970, 0: not known */
  Series *curve;
  int ncurve;
} RunInfo;
typedef VEC(RunInfo) RunInfos;

/* The folders of runs among the paths and below them, in order of their names; an error where a path has none. */
Status runs_find(Cli *c, char *const *path, int n, RunInfos *out);
const RunSetting *run_setting(const RunInfo *r, const char *path);
const Series *run_curve(const RunInfo *r, const char *name);
double series_last(const Series *s); /* NAN: none */
double series_best(const Series *s, bool highest);

/* Table on standard output, and whichever of the files are given (NULL: not). */
typedef struct {
  const char *title, *html, *csv, *tensorboard;
} CompareOutput;
Status runs_compare(Cli *c, RunInfos *runs, const CompareOutput *o);

#endif
