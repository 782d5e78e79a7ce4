/* What a run reports: run.jsonl (the resolved recipe, then a record an interval) and progress on a stream. */
#ifndef JEPAC_RUNTIME_METRICS_H
#define JEPAC_RUNTIME_METRICS_H

#include "ir/recipe.h"

/* The recipe as one line of JSON (malloc'ed). */
char *recipe_json(const Recipe *r);

typedef struct {
  const char *name;
  double value; /* whole numbers are printed as such; NaN and infinities become null */
} Metric;

typedef struct RunLog RunLog;
/* Opens a log for appending. resume_step < 0: a new run; the file is emptied and the recipe written as its
   first line, as
   {"recipe": ...}. Otherwise the records of an earlier run up to that step are kept, later and incomplete
   ones cut off. A symbolic link is refused with `own`: the run's folder is ours, and a link in it is not. NULL after
   reporting (ST_FILE). */
RunLog *runlog_open(const char *path, const char *recipe, int64_t resume_step, bool own, Diags *d);
/* Who trains what, once for each process that writes to the log: appends {"run": step, "time": ...}. */
typedef struct {
  const char *model, *data; /* paths; data may be "" */
  char **command;           /* words, the last NULL */
  int64_t steps, per_epoch, samples, seed;
} RunHeader;
Status runlog_header(RunLog *log, int64_t step, const RunHeader *h, Diags *d);
/* Appends {"resumed": step, "changes": CHANGES}, the latter a JSON object. */
Status runlog_resumed(RunLog *log, int64_t step, const char *changes, Diags *d);
/* Appends {"step": step, name: value, ...} in one write. */
Status runlog_record(RunLog *log, int64_t step, const Metric *m, int n, Diags *d);
/* For a checkpoint that follows: what the log has is on the disk before it. */
Status runlog_sync(RunLog *log, Diags *d);
void runlog_close(RunLog *log);

typedef enum { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_NONE, PROGRESS_BAR } ProgressMode;
typedef struct Progress Progress;
/* AUTO: a bar redrawn in place when f is a terminal, else plain lines. Steps [first, total) are to be done. */
Progress *progress_new(ProgressMode mode, FILE *f, int64_t first, int64_t total, int64_t batch);
/* Call after every step with the number of steps done; draws at most ten times a second, or a plain line
   every two seconds at most and at every tenth of the run. */
void progress_update(Progress *p, int64_t done, double loss);
void progress_update_at(Progress *p, double now, int64_t done,
                        double loss); /* with a clock of the caller's */
/* Ends the bar's line, so that other text can follow; the next update draws it again. */
void progress_pause(Progress *p);
void progress_free(Progress *p);

int64_t peak_memory(void); /* largest resident size of this process so far, bytes */

#endif
