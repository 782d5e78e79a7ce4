/* Path integration: from the aggregate of M views, the actions between them and the action that follows, a
   probe is to tell the action that leads from the first view to the view after the last. What it rests on is
   seen by setting the embeddings of the actions, or of the views, to zero. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *key, *label;
  int zero;
} case_table[NCASE] = {{"r2", "views and actions", 0},
                       {"zero_actions", "actions zeroed", ZERO_ACTIONS},
                       {"zero_views", "views zeroed", ZERO_VIEWS}};

/* [aggregate of m views, embedding of action m] -> action from view 0 to view m. */
static Status path_rows(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *d) {
  float *agg;
  int64_t m = t->m;
  Status s = eval_aggregate(e, q, m, t->zero, a, &agg);
  if (s) return s;
  int64_t W = e->aggregate[m].width, P = e->nembed, A = e->nact, V = q->views;
  *d = (ProbeData){.n = q->n, .dim = W + P, .ydim = A};
  d->x = NEWN(a, float, d->n * d->dim);
  d->y = NEWN(a, float, d->n *A);
  for (int64_t i = 0; i < q->n; i++) {
    memcpy(d->x + i * d->dim, agg + i * W, (size_t)W * 4);
    if (!(t->zero & ZERO_ACTIONS))
      memcpy(d->x + i * d->dim + W, q->embedded + (i * (V - 1) + m - 1) * P, (size_t)P * 4);
    stats_action(e->rotation, A, q->param + i * V * A, q->param + (i * V + m) * A, d->y + i * A);
  }
  return ST_OK;
}

void plan_path(Eval *e) {
  for (int k = 0; k < NCASE; k++)
    for (int i = 0; i < e->size.path.n; i++)
      e->path[k][i] = task_add(e, (Task){.rows = path_rows,
                                         .epochs = e->size.path_epochs,
                                         .hidden = &e->size.path_hidden,
                                         .zero = case_table[k].zero,
                                         .m = e->size.path.v[i]});
}

static Status path_point(Eval *e, Task *t, double *r2) {
  double column[MAX_ACTION];
  Status s = task_run(e, t);
  if (!s) *r2 = stats_r2(t->prediction, t->y, t->n, e->nact, column);
  return s;
}

Status measure_path(Eval *e) {
  const IntList *ms = &e->size.path;
  double m[MAX_M], r2[NCASE][MAX_M];
  const char *head[MAX_M];
  Series series[NCASE];
  json_t *o = json_object();
  json_object_set_new(e->json, "path", o);
  for (int i = 0; i < ms->n; i++) {
    m[i] = (double)ms->v[i];
    head[i] = arena_printf(e->arena, "M=%lld", (long long)ms->v[i]);
  }
  json_object_set_new(o, "m", eval_numbers(m, ms->n));
  eval_heads(e, "path integration over M views, R2", head, ms->n);
  for (int k = 0; k < NCASE; k++) {
    for (int i = 0; i < ms->n; i++) {
      Status s = path_point(e, e->path[k][i], &r2[k][i]);
      if (s) return s;
    }
    json_object_set_new(o, case_table[k].key, eval_numbers(r2[k], ms->n));
    eval_row(e, arena_printf(e->arena, "  %s", case_table[k].label), "%.3f", 1, r2[k], ms->n);
    series[k] = (Series){case_table[k].label, ms->n, m, r2[k], k > 0};
  }
  task_sizes(e, "path", e->size.path_hidden.n ? e->size.path_epochs : linear_epochs(e, e->size.path_epochs));
  report_section(e, "Path integration",
                 "R2 of the action from the first view to the one after the last, read from the aggregate of "
                 "M views and "
                 "the embedding of the last action. For M = 1 that action is the answer.");
  Plot p = {
      .title = "R2, mean over components", .xlabel = "views M", .series = series, .n = NCASE, .marks = true};
  plot_begin(&e->html, 620, 330);
  plot_lines(&e->html, &p, 0, 0, 620, 330);
  plot_end(&e->html);
  return ST_OK;
}
