/* Relative actions: how much of what leads from one view to another a probe reads from their two embeddings,
   and of a view's own parameters from its embedding alone. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

enum { PAIR_VIEWS = 4, BINS = 5 };

/* All ordered pairs of an image's first views: both embeddings, and the action between. */
static Status pair_rows(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *out) {
  int64_t V = q->views < PAIR_VIEWS ? q->views : PAIR_VIEWS, D = e->dim, A = e->nact, row = 0;
  ProbeData d = {.n = q->n * V * (V - 1), .dim = 2 * D, .ydim = A};
  d.x = NEWN(a, float, d.n *d.dim);
  d.y = NEWN(a, float, d.n *A);
  for (int64_t i = 0; i < q->n; i++)
    for (int64_t from = 0; from < V; from++)
      for (int64_t to = 0; to < V; to++) {
        if (from == to) continue;
        const float *z = q->z[t->which] + i * q->views * D, *p = q->param + i * q->views * A;
        memcpy(d.x + row * 2 * D, z + from * D, (size_t)D * 4);
        memcpy(d.x + row * 2 * D + D, z + to * D, (size_t)D * 4);
        stats_action(e->rotation, A, p + from * A, p + to * A, d.y + row * A);
        row++;
      }
  *out = d;
  return ST_OK;
}

/* Each of an image's first views: its embedding, and its own parameters. */
static Status single_rows(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *out) {
  int64_t V = q->views < PAIR_VIEWS ? q->views : PAIR_VIEWS, D = e->dim, A = e->nact;
  ProbeData d = {.n = q->n * V, .dim = D, .ydim = A};
  d.x = NEWN(a, float, d.n *D);
  d.y = NEWN(a, float, d.n *A);
  for (int64_t i = 0; i < q->n; i++) {
    memcpy(d.x + i * V * D, q->z[t->which] + i * q->views * D, (size_t)(V * D) * 4);
    memcpy(d.y + i * V * A, q->param + i * q->views * A, (size_t)(V * A) * 4);
  }
  *out = d;
  return ST_OK;
}

static const struct {
  const char *key, *label;
  Status (*rows)(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *d);
  int which;
  bool linear;
} r2_table[NR2] = {
    {"relative_r2", "relative action R2, linear", pair_rows, TRAINED, true},
    {"relative_r2_untrained", NULL, pair_rows, UNTRAINED, true},
    {"relative_r2_mlp", "relative action R2, MLP", pair_rows, TRAINED, false},
    {"relative_r2_mlp_untrained", NULL, pair_rows, UNTRAINED, false},
    {"individual_r2_mlp", "parameters of one view R2, MLP", single_rows, TRAINED, false},
    {"individual_r2_mlp_untrained", NULL, single_rows, UNTRAINED, false},
};
enum { MLP_ROW = 2 };

/* ---- confusion of actions: both the true and the predicted value in bins of equal count ---- */
typedef struct {
  double edge[BINS - 1], count[BINS * BINS];
} Bins;

static void fill_bins(const Task *t, int64_t dim, int64_t d, Bins *b) {
  memset(b, 0, sizeof *b);
  stats_edges(t->y, t->n, dim, d, BINS, b->edge); /* as the probe saw it, standardised */
  for (int64_t i = 0; i < t->n; i++)
    b->count[stats_bin(t->y[i * dim + d], b->edge, BINS) * BINS +
             stats_bin(t->prediction[i * dim + d], b->edge, BINS)]++;
  stats_edges(t->raw, t->n, dim, d, BINS, b->edge); /* in the action's own unit */
}

static void report_bins(Eval *e, const Bins *b) {
  enum { SIDE = 250 };
  json_t *all = json_array();
  int n = (int)e->nact, across = n < 4 ? n : 4;
  report_section(
      e, "Confusion of actions",
      "The MLP's relative actions on the test images, each component in five bins of equal count: from the "
      "lowest fifth (0) to the highest (4); in % of the true bin.");
  plot_begin(&e->html, across * SIDE, (n + across - 1) / across * (SIDE + 16));
  for (int d = 0; d < n; d++) {
    json_t *rows = json_array();
    for (int i = 0; i < BINS; i++) json_array_append_new(rows, eval_numbers(b[d].count + i * BINS, BINS));
    json_array_append_new(all, json_pack("{s:s, s:o, s:o}", "component", e->component[d], "edges",
                                         eval_numbers(b[d].edge, BINS - 1), "counts", rows));
    plot_matrix(&e->html, e->component[d], "true", "predicted", NULL, b[d].count, BINS, d % across * SIDE,
                d / across * (SIDE + 16), SIDE);
  }
  plot_end(&e->html);
  json_object_set_new(e->json, "action_confusion", all);
}

/* ---- the protocol ---- */
void plan_r2(Eval *e) {
  static const IntList none = {0};
  for (int row = 0; row < NR2; row++)
    e->r2[row] = task_add(e, (Task){.rows = r2_table[row].rows,
                                    .epochs = e->size.action_epochs,
                                    .hidden = r2_table[row].linear ? &none : &e->size.hidden,
                                    .which = r2_table[row].which});
}

/* Means over the components of each augmentation. */
static json_t *group_means(const Eval *e, const double *column) {
  json_t *o = json_object();
  for (int64_t d = 0, end; d < e->nact; d = end) {
    double sum = 0;
    int counted = 0;
    for (end = d; end < e->nact && !strcmp(e->group[end], e->group[d]); end++) {
      if (isnan(column[end])) continue;
      sum += column[end];
      counted++;
    }
    json_object_set_new(o, e->group[d], counted ? json_real(sum / counted) : json_null());
  }
  return o;
}

Status measure_r2(Eval *e) {
  double mean[NR2], column[NR2][MAX_ACTION];
  Bins *bins = NEWN(e->arena, Bins, e->nact);
  json_t *components = json_object(), *groups = json_object(), *names = json_array();
  for (int64_t d = 0; d < e->nact; d++) json_array_append_new(names, json_string(e->component[d]));
  json_object_set_new(components, "names", names);
  json_object_set_new(e->json, "r2_components", components);
  json_object_set_new(e->json, "r2_groups", groups);
  for (int row = 0; row < NR2; row++) {
    const Task *t = e->r2[row];
    Status s = task_run(e, e->r2[row]);
    if (s) return s;
    mean[row] = stats_r2(t->prediction, t->y, t->n, e->nact, column[row]);
    for (int64_t d = 0; d < e->nact && row == MLP_ROW; d++) fill_bins(t, e->nact, d, &bins[d]);
    eval_set(e, r2_table[row].key, mean[row]);
    json_object_set_new(components, r2_table[row].key, eval_numbers(column[row], (int)e->nact));
    json_object_set_new(groups, r2_table[row].key, group_means(e, column[row]));
  }
  eval_set_text(e, "r2_average", "uniform");
  for (int row = 0; row < NR2; row += 2) eval_row(e, r2_table[row].label, "%.3f", 1, &mean[row], 2);
  task_sizes(e, "r2", e->size.action_epochs);
  report_section(e, "Relative actions",
                 "R2 of the action between two views, read from their two embeddings by an MLP; beside it "
                 "(grey) the same with an untrained encoder. Averages are plain means over the components.");
  double h = 60 + 26 * (double)e->nact;
  plot_begin(&e->html, 620, h);
  plot_bars(&e->html, "R2 of each component", e->component, column[MLP_ROW], column[MLP_ROW + 1],
            (int)e->nact, 0, 0, 620, h);
  plot_end(&e->html);
  report_bins(e, bins);
  return ST_OK;
}
