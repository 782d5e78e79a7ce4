/* What class an image is of: linear probes on the encoder, on the aggregate of M views and on the plain mean
   of their embeddings. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

static float *copy_of(Arena *a, const float *x, int64_t n) {
  float *p = NEWN(a, float, n);
  memcpy(p, x, (size_t)n * sizeof *p);
  return p;
}

/* Trains on x[TRAIN], tests on x[TEST]; both are standardised in place. score may be NULL. */
static Status classify(Eval *e, float *const x[NPART], int64_t *const label[NPART], const int64_t n[NPART],
                       int64_t dim, Arena *a, float *score, double *top1) {
  ProbeData train = {.n = n[TRAIN], .dim = dim, .x = x[TRAIN], .label = label[TRAIN]},
            test = {.n = n[TEST], .dim = dim, .x = x[TEST], .label = label[TEST]};
  if (!score) score = NEWN(a, float, test.n * e->classes);
  Status s = probe_run(e, &train, &test, NULL, e->classes, e->size.epochs, score);
  if (!s) *top1 = stats_top1(score, test.label, test.n, e->classes);
  return s;
}

/* ---- the encoder on plain images ---- */
static void draw_confusion(Eval *e, const double *count) {
  enum { SIDE = 460 };
  report_section(e, "Confusion of classes",
                 "The linear probe on the encoder's output for the test images: what each class is taken "
                 "for, in % of the "
                 "class.");
  plot_begin(&e->html, SIDE, SIDE + 20);
  plot_matrix(&e->html, "", "class", "taken for", e->class_name, count, (int)e->classes, 0, 0, SIDE);
  plot_end(&e->html);
  sb_printf(&e->html, "<p>");
  for (int64_t k = 0; k < e->classes; k++) {
    sb_printf(&e->html, "%s%lld ", k ? ", " : "", (long long)k);
    plot_text(&e->html, e->class_name[k]);
  }
  sb_printf(&e->html, "</p>\n");
}

Status measure_linear(Eval *e) {
  double top1[NMODEL], *count = NEWN(e->arena, double, e->classes * e->classes);
  for (int part = 0; part < NPART; part++) {
    Status s = eval_images(e, part);
    if (s) return s;
  }
  for (int which = 0; which < NMODEL; which++) {
    Arena *a = arena_new();
    float *x[NPART], *score = NEWN(a, float, e->images[TEST].n * e->classes);
    int64_t *label[NPART], n[NPART];
    for (int part = 0; part < NPART; part++) {
      const Images *m = &e->images[part];
      x[part] = copy_of(a, m->z[which], m->n * e->dim);
      label[part] = m->label;
      n[part] = m->n;
    }
    Status s = classify(e, x, label, n, e->dim, a, score, &top1[which]);
    if (!s && which == TRAINED) stats_confusion(score, label[TEST], n[TEST], e->classes, count);
    arena_free(a);
    if (s) return s;
  }
  eval_set(e, "encoder_top1", top1[TRAINED]);
  eval_set(e, "untrained_top1", top1[UNTRAINED]);
  json_t *rows = json_array();
  for (int64_t i = 0; i < e->classes; i++)
    json_array_append_new(rows, eval_numbers(count + i * e->classes, (int)e->classes));
  json_object_set_new(e->json, "class_confusion", rows);
  eval_row(e, "linear probe top-1, %", "%.1f", 100, top1, NMODEL);
  eval_sizes(e, "linear", "images", e->images[TRAIN].n, e->images[TEST].n, linear_epochs(e, e->size.epochs), NULL);
  if (e->classes > 1) draw_confusion(e, count);
  return ST_OK;
}

/* ---- sequences of M views ---- */
static const struct {
  const char *key, *label;
} curve_table[NCURVE] = {{"aggregate_top1", "aggregate"},
                         {"mean_top1", "mean of the views' embeddings"},
                         {"untrained_mean_top1", "the same, untrained encoder"}};

static Status curve_rows(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *d) {
  *d = (ProbeData){.n = q->n, .dim = e->dim, .label = q->label};
  d->x = eval_mean(e, q, t->which, t->m, a);
  return ST_OK;
}

static Status aggregate_rows(Eval *e, const Task *t, const Sequences *q, Arena *a, ProbeData *d) {
  *d = (ProbeData){.n = q->n, .label = q->label};
  Status s = eval_aggregate(e, q, t->m, 0, a, &d->x);
  d->dim = e->aggregate[t->m].width;
  return s;
}

void plan_aggregate(Eval *e) {
  const IntList *ms = &e->size.m_val;
  for (int curve = 0; curve < NCURVE; curve++)
    for (int i = 0; i < ms->n && (curve != AGGREGATE || entry_offered(e, "aggregate")); i++)
      e->curve[curve][i] = task_add(e, (Task){.rows = curve == AGGREGATE ? aggregate_rows : curve_rows,
                                              .epochs = e->size.epochs,
                                              .which = curve == MEAN_UNTRAINED ? UNTRAINED : TRAINED,
                                              .m = ms->v[i]});
}

Status measure_aggregate(Eval *e) {
  const IntList *ms = &e->size.m_val;
  double m[MAX_M], percent[NCURVE][MAX_M], top1[NCURVE][MAX_M];
  const char *head[MAX_M];
  Series series[NCURVE];
  int drawn = 0;
  for (int i = 0; i < ms->n; i++) {
    m[i] = (double)ms->v[i];
    head[i] = arena_printf(e->arena, "M=%lld", (long long)ms->v[i]);
  }
  eval_set_list(e, "m_val", m, ms->n);
  eval_heads(e, "linear probe top-1 of M views, %", head, ms->n);
  for (int curve = 0; curve < NCURVE; curve++) {
    if (!e->curve[curve][0]) continue;
    for (int i = 0; i < ms->n; i++) {
      Status s = task_run(e, e->curve[curve][i]);
      if (s) return s;
      top1[curve][i] = e->curve[curve][i]->top1;
      percent[curve][i] = 100 * top1[curve][i];
    }
    eval_set_list(e, curve_table[curve].key, top1[curve], ms->n);
    eval_row(e, arena_printf(e->arena, "  %s", curve_table[curve].label), "%.1f", 100, top1[curve], ms->n);
    series[drawn++] = (Series){curve_table[curve].label, ms->n, m, percent[curve], curve == MEAN_UNTRAINED};
  }
  /* what a view by itself tells: of saccades the published code's "encoder top-1" */
  for (int i = 0; i < ms->n; i++)
    if (ms->v[i] == 1) eval_set(e, "first_view_top1", top1[MEAN][i]);
  task_sizes(e, "aggregate", linear_epochs(e, e->size.epochs));
  report_section(
      e, "Classes from M views",
      "Top-1 of a linear probe on what M views of one image or object give; beside the aggregate the plain "
      "mean of the same views' embeddings.");
  Plot p = {
      .title = "linear probe top-1, %", .xlabel = "views M", .series = series, .n = drawn, .marks = true};
  plot_begin(&e->html, 620, 320);
  plot_lines(&e->html, &p, 0, 0, 620, 320);
  plot_end(&e->html);
  return ST_OK;
}
