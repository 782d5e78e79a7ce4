/* Retrieval: an image's other views, predicted from its first and the actions to them, are looked for among
   all of its other views; and the predictor's loss with the true actions, with another image's, and with
   none. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

enum { TRUE_ACTIONS, SHUFFLED, ZEROED, NLOSS };

typedef struct {
  double mrr, hit1, hit5, loss[NLOSS], count;
} Figures;

/* One batch: param[batch][V][A], queries from each image's view 0 to its views 1.. . */
static void measure_batch(Eval *e, const Reader *r, int which, const float *param, Arena *a, Figures *f) {
  int64_t n = r->rows, V = r->nviews, A = e->nact, pixels = shape_count(&e->image), D = e->target.width,
          rows = n * (V - 1);
  float *z = NEWN(a, float, n *V *D), *x = NEWN(a, float, rows *pixels), *q = NEWN(a, float, rows *D),
        *action = NEWN(a, float, rows *A);
  entry_apply(&e->target, which, &(EntryInput){"x", r->views}, 1, n * V, z);
  for (int64_t i = 0; i < rows; i++)
    memcpy(x + i * pixels, r->views + i / (V - 1) * V * pixels, (size_t)pixels * 4);
  for (int kind = 0; kind < NLOSS; kind++) {
    if (kind != TRUE_ACTIONS && which == UNTRAINED) break;
    for (int64_t i = 0; i < rows; i++) {
      int64_t b = i / (V - 1), v = i % (V - 1) + 1, other = kind == SHUFFLED ? (b + 1) % n : b;
      const float *p = param + other * V * A;
      stats_action(e->rotation, A, p, p + v * A, action + i * A);
    }
    if (kind == ZEROED) memset(action, 0, (size_t)(rows * A) * 4);
    EntryInput in[] = {{"x", x}, {"action", action}};
    entry_apply(&e->predict, which, in, 2, rows, q);
    for (int64_t i = 0; i < rows; i++) {
      int64_t b = i / (V - 1), v = i % (V - 1) + 1;
      /* without another image there is nothing to shuffle with */
      f->loss[kind] += kind == SHUFFLED && n == 1 ? NAN : 1 - stats_cosine(q + i * D, z + (b * V + v) * D, D);
      if (kind != TRUE_ACTIONS) continue;
      int ties, first = stats_rank(q + i * D, z + (b * V + 1) * D, (int)V - 1, (int)v - 1, D, &ties);
      double share = 1.0 / (ties + 1); /* of each rank that it can have among its equals */
      for (int rank = first; rank <= first + ties; rank++) {
        f->mrr += share / rank;
        f->hit1 += rank <= 1 ? share : 0;
        f->hit5 += rank <= 5 ? share : 0;
      }
      f->count++;
    }
  }
}

static Status measure_all(Eval *e, Figures f[NMODEL], int64_t *candidates) {
  Reader r;
  int64_t V = e->size.retrieval_views;
  Status s = reader_open(e, TEST, V, true, false, e->size.retrieval_images, &r);
  if (s) return s;
  *candidates = V - 1;
  for (int64_t i = 0; i < r.n && !s; i += r.rows) {
    if ((s = reader_next(&r))) break;
    Arena *a = arena_new();
    float *param = NEWN(a, float, r.batch *V * e->nact);
    for (int64_t b = 0; b < r.rows; b++) reader_params(e, &r, b, param + b * V * e->nact);
    for (int which = 0; which < NMODEL; which++) measure_batch(e, &r, which, param, a, &f[which]);
    arena_free(a);
  }
  reader_close(&r);
  return s;
}

Status measure_retrieval(Eval *e) {
  Figures f[NMODEL];
  memset(f, 0, sizeof f);
  int64_t n;
  Status s = measure_all(e, f, &n);
  if (s) return s;
  double harmonic = 0, t = f[TRAINED].count, u = f[UNTRAINED].count;
  for (int64_t k = 1; k <= n; k++) harmonic += 1.0 / (double)k;
  const struct {
    const char *key, *label;
    double value[3]; /* trained, untrained, by chance */
  } row[] = {
      {"mrr", "retrieval MRR", {f[TRAINED].mrr / t, f[UNTRAINED].mrr / u, harmonic / (double)n}},
      {"h_at_1", "retrieval H@1", {f[TRAINED].hit1 / t, f[UNTRAINED].hit1 / u, 1 / (double)n}},
      {"h_at_5", "retrieval H@5", {f[TRAINED].hit5 / t, f[UNTRAINED].hit5 / u, fmin(5 / (double)n, 1)}},
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
