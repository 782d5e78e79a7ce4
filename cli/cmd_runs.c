/* jepac runs, compare and report: what has been trained. */
#include "cli/run_info.h"
#include "eval/eval.h"

#include <string.h>

Status cmd_runs(Cli *c) {
  RunInfos runs = {0};
  Status s = runs_find(c, (char **)(uintptr_t)c->opt.arg, c->opt.narg, &runs);
  if (s) return s;
  int width = 3;
  for (int i = 0; i < runs.n; i++)
    width = (int)strlen(runs.v[i].folder) > width ? (int)strlen(runs.v[i].folder) : width;
  printf("%-*s  %-20s  %-16s  %15s  %10s  %-20s  %s\n", width, "run", "begun", "model", "step", "loss",
         "best", "state");
  for (int i = 0; i < runs.n; i++) {
    const RunInfo *r = &runs.v[i];
    bool done = r->steps && r->step >= r->steps;
    const char *best = r->best ? arena_printf(c->arena, "%s %.5g", r->best + 4,
                                              series_best(run_curve(r, r->best), r->highest))
                               : "-";
    printf("%-*s  %-20s  %-16s  %15s  %10.5g  %-20s  %s\n", width, r->folder, r->time ? r->time : "-",
           r->model, arena_printf(c->arena, "%lld/%lld", (long long)r->step, (long long)r->steps),
           series_last(run_curve(r, "loss")), best,
           r->running ? "running"
           : done     ? "done"
                      : "stopped");
  }
  return ST_OK;
}

Status cmd_compare(Cli *c) {
  RunInfos runs = {0};
  Status s = runs_find(c, (char **)(uintptr_t)c->opt.arg, c->opt.narg, &runs);
  if (s) return s;
  CompareOutput o = {.title = "Runs compared",
                     .html = OPT(c, out) ? OPT(c, out) : "compare.html",
                     .csv = OPT(c, csv),
                     .tensorboard = OPT(c, tensorboard_to)};
  size_t n = strlen(o.html);
  if (n < 5 || strcmp(o.html + n - 5, ".html"))
    return cli_fail(c, ST_USAGE, "-o %s: the page is a file NAME.html", o.html);
  if (!(s = runs_compare(c, &runs, &o))) printf("\npicture: %s\n", o.html);
  return s;
}

Status cmd_report(Cli *c) {
  RunInfos runs = {0};
  char *path = arena_strdup(c->arena, c->opt.arg[0]);
  Status s = runs_find(c, &path, 1, &runs);
  if (s) return s;
  if (runs.n != 1) return cli_fail(c, ST_USAGE, "%s holds %d runs: a report is of one", path, runs.n);
  if (!(s = report_run(c->arena, runs.v[0].folder, c->diags))) printf("%s/report.html\n", runs.v[0].folder);
  return s;
}
