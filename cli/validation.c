#include "cli/validation.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { MAX_FIGURES = 64 };

Status validator_open(Cli *c, Validator *v, const Recipe *r, const char *folder, const char *data,
                      uint64_t seed, int64_t per_epoch, int64_t total) {
  Status s;
  *v = (Validator){.how = &r->validate, .folder = folder, .per_epoch = per_epoch, .total = total, .at = -1};
  v->interval = validate_steps(&r->validate, per_epoch, total);
  if (!v->interval) return ST_OK;
  ValidationOptions o = {
      .model = c->opt.arg[0], .data = data, .seed = seed, .batch = r->batch * r->parts, .ranks = c->ranks};
  v->v = validation_open(cli_compiler(c, FOR_PASSES | FOR_LOWERING | FOR_CODE), &o, &s);
  if (!v->v) return s;
  int n = validation_count(v->v);
  v->value = NEWN(c->arena, double, n + 1);
  for (int i = 0; i < n; i++)
    if (!strcmp(validation_name(v->v, i), r->validate.best)) v->metric = i;
  return ST_OK;
}

void validator_close(Validator *v) { validation_close(v->v); }

bool validator_due(const Validator *v, int64_t step) {
  return v->v && v->at != step && (step % v->interval == 0 || step == v->total);
}

static Status record(Cli *c, const Validator *v, int64_t step, RunLog *log, EventFile *events) {
  Metric m[MAX_FIGURES];
  int n = 0;
  for (int i = 0; i < validation_count(v->v) && n < MAX_FIGURES; i++)
    m[n++] = (Metric){arena_printf(c->arena, "val.%s", validation_name(v->v, i)), v->value[i]};
  Status s = runlog_record(log, step, m, n, c->diags);
  return s || !events ? s : events_add(events, (double)time(NULL), step, m, n, c->diags);
}

static void say_line(const Validator *v, int64_t step) {
  fprintf(stderr, "step %lld  validation of %lld samples:", (long long)step,
          (long long)validation_samples(v->v));
  for (int i = 0; i < validation_count(v->v); i++)
    fprintf(stderr, "  %s %.5g", validation_name(v->v, i), v->value[i]);
  fprintf(stderr, "%s\n", v->better ? "  (best)" : "");
}

Status validator_run(Cli *c, Validator *v, const Session *s, CheckpointInfo *info, RunLog *log,
                     EventFile *events, bool say) {
  double start = now_seconds();
  validation_take(v->v, s);
  validation_at(v->v, info->step, v->per_epoch, v->total);
  Status st = validation_run(v->v, v->value);
  if (st) return st;
  double x = v->value[v->metric];
  v->at = info->step;
  v->better = isfinite(x) && (!info->best_step || (v->how->highest ? x > info->best : x < info->best));
  info->since_best = v->better ? 0 : info->since_best + 1;
  if (v->better) {
    info->best = x;
    info->best_step = info->step;
    if (log) st = checkpoint_save_best(v->folder, s, info, c->diags);
  }
  if (!st && log) st = record(c, v, info->step, log, events);
  if (say && !st) say_line(v, info->step);
  v->seconds += now_seconds() - start;
  return st;
}

bool validator_stops(const Validator *v, const CheckpointInfo *info) {
  return v->v && v->how->patience && info->since_best >= v->how->patience;
}

void validator_summary(const Validator *v, const CheckpointInfo *info) {
  if (!v->v || v->at < 0) return;
  for (int i = 0; i < validation_count(v->v); i++)
    printf("val.%-12s %.6g\n", validation_name(v->v, i), v->value[i]);
  if (info->best_step)
    printf("%-16s %s %.6g at step %lld, %s/best.safetensors\n", "best", v->how->best, info->best,
           (long long)info->best_step, v->folder);
}
