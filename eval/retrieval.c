/* Retrieval: an image's other views, predicted from its first and the actions to them, are looked for among
   all of its other views; and the predictor's loss with the true actions, with another image's, and with
   none. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

enum { TRUE_ACTIONS, SHUFFLED, ZEROED, NLOSS };

typedef struct {
  double mrr, hit1, hit5, count;
} Hits;
typedef struct {
  Hits others, all; /* among the views not seen; among all, which are all asked for */
  double loss[NLOSS];
} Figures;

static void count_rank(Hits *r, const float *query, const float *candidate, int64_t n, int64_t right, int64_t D) {
  int ties, first = stats_rank(query, candidate, (int)n, (int)right, D, &ties);
  double share = 1.0 / (ties + 1); /* of each rank that it can have among its equals */
  for (int rank = first; rank <= first + ties; rank++) {
    r->mrr += share / rank;
    r->hit1 += rank <= 1 ? share : 0;
    r->hit5 += rank <= 5 ? share : 0;
  }
  r->count++;
}

/* One batch: param[batch][V][A], queries from each image's view 0 to all of its views. */
static void measure_batch(Eval *e, const Reader *r, int which, const float *param, Arena *a, Figures *f) {
  int64_t n = r->rows, V = r->nviews, A = e->nact, pixels = shape_count(&e->image), D = e->target.width, rows = n * V;
  float *z = NEWN(a, float, rows *D), *x = NEWN(a, float, rows *pixels), *q = NEWN(a, float, rows *D),
        *action = NEWN(a, float, rows *A);
  entry_apply(&e->target, which, &(EntryInput){"x", r->views}, 1, rows, z);
  for (int64_t i = 0; i < rows; i++) memcpy(x + i * pixels, r->views + i / V * V * pixels, (size_t)pixels * 4);
  for (int kind = 0; kind < NLOSS; kind++) {
    if (kind != TRUE_ACTIONS && which == UNTRAINED) break;
    for (int64_t i = 0; i < rows; i++) {
      int64_t b = i / V, other = kind == SHUFFLED ? (b + 1) % n : b;
      const float *p = param + other * V * A;
      stats_action(e->rotation, A, p, p + i % V * A, action + i * A);
    }
    if (kind == ZEROED) memset(action, 0, (size_t)(rows * A) * 4);
    EntryInput in[] = {{"x", x}, {"action", eval_tell(e, action, rows, a)}};
    entry_apply(&e->predict, which, in, 2, rows, q);
    for (int64_t i = 0; i < rows; i++) {
      int64_t b = i / V, v = i % V;
      if (kind == TRUE_ACTIONS) count_rank(&f->all, q + i * D, z + b * V * D, V, v, D);
      if (!v) continue;
      /* without another image there is nothing to shuffle with */
      f->loss[kind] += kind == SHUFFLED && n == 1 ? NAN : 1 - stats_cosine(q + i * D, z + i * D, D);
      if (kind == TRUE_ACTIONS) count_rank(&f->others, q + i * D, z + (b * V + 1) * D, V - 1, v - 1, D);
    }
  }
}

/* The same from the aggregate of the first m views, and the action from the last of them. */
static Status measure_from(Eval *e, const Reader *r, int64_t m, const float *param, Arena *a, Figures *f) {
  int64_t n = r->rows, V = r->nviews, A = e->nact, pixels = shape_count(&e->image), D = e->target.width, rows = n * V;
  float *z = NEWN(a, float, rows *D), *x = NEWN(a, float, n *m *pixels), *between = NEWN(a, float, n *m *A + 1),
        *action = NEWN(a, float, rows *A), *agg, *given, *q = NEWN(a, float, rows *D);
  Sequences seen = {.n = n, .views = m, .z = {NEWN(a, float, n *m * e->dim), NULL}};
  entry_apply(&e->target, TRAINED, &(EntryInput){"x", r->views}, 1, rows, z);
  for (int64_t b = 0; b < n; b++) {
    const float *p = param + b * V * A;
    memcpy(x + b * m * pixels, r->views + b * V * pixels, (size_t)(m * pixels) * 4);
    for (int64_t v = 1; v < m; v++)
      stats_action(e->rotation, A, p + (v - 1) * A, p + v * A, between + (b * (m - 1) + v - 1) * A);
    for (int64_t v = 0; v < V; v++) stats_action(e->rotation, A, p + (m - 1) * A, p + v * A, action + (b * V + v) * A);
  }
  entry_apply(&e->encode, TRAINED, &(EntryInput){"x", x}, 1, n * m, seen.z[TRAINED]);
  seen.embedded = eval_embed(e, between, n * (m - 1), a);
  Status s = eval_aggregate(e, &seen, m, 0, a, &agg);
  if (s) return s;
  int64_t W = e->aggregate[m].width;
  KnownShape known[] = {{"agg", DT_F32, {2, {e->predict.batch, W}}}, {"a", DT_F32, {2, {e->predict.batch, e->nembed}}}};
  if (!e->lead.k.session && (s = entry_open(e, "lead", known, 2, false, &e->lead))) return s;
  given = NEWN(a, float, rows *W);
  for (int64_t i = 0; i < rows; i++) memcpy(given + i * W, agg + i / V * W, (size_t)W * 4);
  EntryInput in[] = {{"agg", given}, {"a", eval_embed(e, action, rows, a)}};
  entry_apply(&e->lead, TRAINED, in, 2, rows, q);
  for (int64_t i = 0; i < rows; i++) {
    int64_t b = i / V, v = i % V;
    count_rank(&f->all, q + i * D, z + b * V * D, V, v, D);
    if (v >= m) count_rank(&f->others, q + i * D, z + (b * V + m) * D, V - m, v - m, D);
  }
  return ST_OK;
}

static bool several(const Eval *e) {
  return e->size.retrieval_m.n && entry_offered(e, "aggregate") && entry_offered(e, "lead");
}

typedef struct { /* of one batch */
  Figures f[NMODEL], from[MAX_M];
} Batch;

static void add_hits(Hits *to, const Hits *x) {
  to->mrr += x->mrr;
  to->hit1 += x->hit1;
  to->hit5 += x->hit5;
  to->count += x->count;
}

static void add_figures(Figures *to, const Figures *x) {
  add_hits(&to->others, &x->others);
  add_hits(&to->all, &x->all);
  for (int i = 0; i < NLOSS; i++) to->loss[i] += x->loss[i];
}

static Status measure_one(Eval *e, Reader *r, Batch *b) {
  int64_t V = e->size.retrieval_views;
  Status s = reader_next(r);
  if (s) return s;
  Arena *a = arena_new();
  float *param = NEWN(a, float, r->batch *V * e->nact);
  for (int64_t i = 0; i < r->rows; i++) reader_params(e, r, i, param + i * V * e->nact);
  for (int which = 0; which < NMODEL; which++) measure_batch(e, r, which, param, a, &b->f[which]);
  for (int k = 0; k < e->size.retrieval_m.n && several(e) && !s; k++)
    s = measure_from(e, r, e->size.retrieval_m.v[k], param, a, &b->from[k]);
  arena_free(a);
  return s;
}

/* Only this protocol needs them, and each has its own copies of the weights. */
static Status open_prediction(Eval *e) {
  const Shape *i = &e->image;
  KnownShape known[] = {{"x", DT_F32, {4, {e->encode.batch, i->dim[0], i->dim[1], i->dim[2]}}},
                        {"action", DT_F32, {2, {e->encode.batch, e->ntold}}}};
  Status s = entry_open(e, "target", known, 1, true, &e->target);
  if (s || (s = entry_open(e, "predict", known, 2, true, &e->predict))) return s;
  if (e->predict.width == e->target.width) return ST_OK;
  return eval_fail(e, ST_MODEL, "entry predict returns %lld numbers a sample, but target %lld",
                  (long long)e->predict.width, (long long)e->target.width);
}

static Status measure_all(Eval *e, Figures f[NMODEL], Figures from[MAX_M], int64_t *candidates) {
  Reader r;
  int64_t V = e->size.retrieval_views;
  Status s = reader_open(e, TEST, V, true, false, e->size.retrieval_images, &r);
  if (s) return s;
  *candidates = V - 1;
  int64_t n = div_up(r.n, r.batch);
  Batch *batch = NEWN(e->arena, Batch, n);
  Portion own = portion_of(e->opt->ranks, 0, n, e->arena);
  reader_seek(&r, 0, own.first);
  for (int64_t b = own.first; b < own.last && !s; b++) s = measure_one(e, &r, &batch[b]);
  reader_close(&r);
  if ((s = portion_settle(e->opt->ranks, s))) return s;
  portion_join(e->opt->ranks, &own, 1, n, sizeof *batch, batch);
  for (int64_t b = 0; b < n; b++) {
    for (int which = 0; which < NMODEL; which++) add_figures(&f[which], &batch[b].f[which]);
    for (int k = 0; k < MAX_M; k++) add_figures(&from[k], &batch[b].from[k]);
  }
  return ST_OK;
}

/* As SIE does it, and from M views. */
static void report_more(Eval *e, const Figures *one, const Figures *from) {
  static const char *const heads[] = {"MRR", "H@1", "H@5"};
  static const char *const key[] = {"mrr", "h_at_1", "h_at_5"};
  const Hits *all = &one->all;
  double v[] = {all->mrr / all->count, all->hit1 / all->count, all->hit5 / all->count};
  int64_t V = e->size.retrieval_views;
  eval_heads(e, "other protocols", heads, 3);
  eval_row(e, arena_printf(e->arena, "%lld of %lld views, itself too", (long long)V, (long long)V), "%.3f", 1, v, 3);
  for (int i = 0; i < 3; i++) eval_set(e, arena_printf(e->arena, "%s_all", key[i]), v[i]);
  if (!several(e)) return;
  const IntList *ms = &e->size.retrieval_m;
  double m[MAX_M], list[6][MAX_M];
  for (int k = 0; k < ms->n; k++) {
    m[k] = (double)ms->v[k];
    for (int which = 0; which < 2; which++) {
      const Hits *r = which ? &from[k].all : &from[k].others;
      double row[] = {r->mrr / r->count, r->hit1 / r->count, r->hit5 / r->count};
      for (int i = 0; i < 3; i++) list[3 * which + i][k] = row[i];
      const char *of = which ? arena_printf(e->arena, "%lld of %lld", (long long)V, (long long)V)
                             : arena_printf(e->arena, "one of %lld", (long long)(V - ms->v[k]));
      eval_row(e, arena_printf(e->arena, "from M = %lld views, %s", (long long)ms->v[k], of), "%.3f", 1, row, 3);
    }
  }
  eval_set_list(e, "retrieval_m", m, ms->n);
  for (int i = 0; i < 6; i++)
    eval_set_list(e, arena_printf(e->arena, "%s%s_m", key[i % 3], i < 3 ? "" : "_all"), list[i], ms->n);
}

Status measure_retrieval(Eval *e) {
  Figures f[NMODEL] = {0}, from[MAX_M] = {0};
  int64_t n;
  Status s = open_prediction(e);
  if (!s) s = measure_all(e, f, from, &n);
  Entry *own_entries[] = {&e->target, &e->predict, &e->lead};
  for (int i = 0; i < 3; i++) entry_close(own_entries[i]);
  if (s) return s;
  const Hits *trained = &f[TRAINED].others, *untrained = &f[UNTRAINED].others;
  double harmonic = 0, t = trained->count, u = untrained->count;
  for (int64_t k = 1; k <= n; k++) harmonic += 1.0 / (double)k;
  const struct {
    const char *key, *label;
    double value[3]; /* trained, untrained, by chance */
  } row[] = {
      {"mrr", "retrieval MRR", {trained->mrr / t, untrained->mrr / u, harmonic / (double)n}},
      {"h_at_1", "retrieval H@1", {trained->hit1 / t, untrained->hit1 / u, 1 / (double)n}},
      {"h_at_5", "retrieval H@5", {trained->hit5 / t, untrained->hit5 / u, fmin(5 / (double)n, 1)}},
  };
  static const char *const heads[] = {"trained", "untrained", "chance"};
  eval_heads(e, arena_printf(e->arena, "one of %lld views", (long long)n), heads, 3);
  eval_set(e, "retrieval_candidates", (double)n);
  for (int i = 0; i < 3; i++) {
    eval_set(e, row[i].key, row[i].value[0]);
    eval_set(e, arena_printf(e->arena, "%s_untrained", row[i].key), row[i].value[1]);
    eval_set(e, arena_printf(e->arena, "%s_chance", row[i].key), row[i].value[2]);
    eval_row(e, row[i].label, "%.3f", 1, row[i].value, 3);
  }
  double loss[NLOSS + 1];
  for (int i = 0; i < NLOSS; i++) loss[i] = f[TRAINED].loss[i] / t;
  loss[NLOSS] = loss[SHUFFLED] / fmax(loss[TRUE_ACTIONS], 1e-12);
  static const char *const loss_heads[] = {"true", "shuffled", "zeroed", "ratio"};
  eval_heads(e, "with actions", loss_heads, 4);
  eval_row(e, "predictor loss, 1 - cosine", "%.4f", 1, loss, 4);
  eval_set(e, "loss_true", loss[TRUE_ACTIONS]);
  eval_set(e, "loss_shuffled", loss[SHUFFLED]);
  eval_set(e, "loss_zeroed", loss[ZEROED]);
  eval_set(e, "loss_ratio", loss[NLOSS]);
  report_more(e, &f[TRAINED], from);
  int64_t images = (int64_t)(t / (double)n);
  eval_sizes(e, "retrieval", "samples", 0, images, 0,
             arena_printf(e->arena, ", %lld queries of each", (long long)n));
  static const char *const names[] = {"MRR", "H@1", "H@5"};
  double own[3], chance[3];
  for (int i = 0; i < 3; i++) {
    own[i] = row[i].value[0];
    chance[i] = row[i].value[2];
  }
  report_section(e, "Retrieval",
                 "Each other view of an image is predicted from its first view and the action to it, and "
                 "looked for among "
                 "all of them by cosine. Grey: by chance.");
  plot_begin(&e->html, 620, 130);
  plot_bars(&e->html, "retrieval", names, own, chance, 3, 0, 0, 620, 130);
  plot_end(&e->html);
  static const char *const loss_names[] = {"true actions", "shuffled actions", "zeroed actions"};
  plot_begin(&e->html, 620, 130);
  plot_bars(&e->html, "predictor loss, 1 - cosine", loss_names, loss, NULL, 3, 0, 0, 620, 130);
  plot_end(&e->html);
  return ST_OK;
}
