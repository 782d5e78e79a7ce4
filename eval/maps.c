/* What the space of embeddings looks like: how many directions it uses, and pictures of its principal ones. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

Status measure_health(Eval *e) {
  double rank[NMODEL], spread[NMODEL];
  Status s = eval_images(e, TEST);
  if (s) return s;
  const Images *m = &e->images[TEST];
  for (int which = 0; which < NMODEL; which++) {
    Arena *a = arena_new();
    float *unit = NEWN(a, float, m->n * e->dim);
    memcpy(unit, m->z[which], (size_t)(m->n * e->dim) * 4);
    stats_normalize_rows(unit, m->n, e->dim);
    rank[which] = stats_effective_rank(unit, m->n, e->dim);
    spread[which] = stats_spread(unit, m->n, e->dim);
    arena_free(a);
  }
  eval_set(e, "effective_rank", rank[TRAINED]);
  eval_set(e, "effective_rank_untrained", rank[UNTRAINED]);
  eval_set(e, "std_sqrt_d", spread[TRAINED]);
  eval_set(e, "std_sqrt_d_untrained", spread[UNTRAINED]);
  eval_row(e, "effective rank", "%.1f", 1, rank, NMODEL);
  eval_row(e, "embedding std x sqrt(d)", "%.3f", 1, spread, NMODEL);
  eval_sizes(e, "health", "images", 0, m->n, 0, NULL);
  return ST_OK;
}

/* ---- maps ---- */
enum { MOST_POINTS = 1500, COLUMNS = 48, SIDE = 400, NPC = 3 };

typedef struct {
  const char *name, *key;
  int64_t n, dim;
  const float *x;
  const int64_t *label;
  const char *action; /* what param is: "parameters", "action" */
  const float *param; /* one row a sample, or NULL */
  int64_t stride;     /* of param */
} Cloud;

static void legend(Eval *e) {
  char colour[8];
  if (e->classes > 30) return;
  sb_printf(&e->html, "<p class=\"legend\">class");
  for (int64_t k = 0; k < e->classes; k++) {
    sb_printf(&e->html, " <span style=\"background:%s\">", plot_colour(colour, k, e->classes));
    plot_text(&e->html, e->class_name[k]);
    sb_printf(&e->html, "</span>");
  }
  sb_printf(&e->html, "</p>\n");
}

/* A row a class, a cell a sample: its first three principal coordinates as red, green and blue. */
static void draw_rgb(Eval *e, const Cloud *c, const float *pc) {
  int rows = (int)(c->label && e->classes < 64 ? e->classes : 64);
  uint8_t *pixel = NEWN(e->arena, uint8_t, rows *COLUMNS * 3);
  int *filled = NEWN(e->arena, int, rows);
  double deviation[NPC] = {0};
  memset(pixel, 255, (size_t)(rows * COLUMNS * 3));
  for (int64_t i = 0; i < c->n; i++)
    for (int k = 0; k < NPC; k++) deviation[k] += pc[i * NPC + k] * pc[i * NPC + k] / (double)c->n;
  for (int64_t i = 0; i < c->n; i++) {
    int64_t row = c->label[i];
    if (row < 0 || row >= rows || filled[row] == COLUMNS) continue;
    uint8_t *p = pixel + (row * COLUMNS + filled[row]++) * 3;
    for (int k = 0; k < NPC; k++) {
      double t = .5 + pc[i * NPC + k] / (4 * sqrt(fmax(deviation[k], 1e-30)));
      p[k] = (uint8_t)(255 * fmin(fmax(t, 0), 1) + .5);
    }
  }
  report_picture(e, COLUMNS, rows, 3, pixel, rows > 20 ? 8 : 12);
}

static void draw_cloud(Eval *e, const Cloud *c) {
  Arena *a = arena_new();
  float *pc = NEWN(a, float, c->n *NPC), *xy = NEWN(a, float, c->n * 2), *value = NEWN(a, float, c->n);
  double share[NPC];
  stats_pca(c->x, c->n, c->dim, NPC, pc, share);
  json_object_set_new(e->json, c->key, eval_numbers(share, NPC));
  for (int64_t i = 0; i < c->n; i++) {
    xy[i * 2] = pc[i * NPC];
    xy[i * 2 + 1] = pc[i * NPC + 1];
    if (c->param) value[i] = c->param[i * c->stride];
  }
  sb_printf(&e->html,
            "<h3>%s</h3><p>The first three directions hold %.0f, %.0f and %.0f %% of the variance.</p>\n",
            c->name, 100 * share[0], 100 * share[1], 100 * share[2]);
  sb_printf(&e->html, "<div class=\"row\">\n");
  plot_begin(&e->html, SIDE, SIDE);
  plot_points(&e->html, "by class", c->n, xy, c->label, e->classes, NULL, 0, 0, SIDE, SIDE);
  plot_end(&e->html);
  if (c->param) {
    plot_begin(&e->html, SIDE, SIDE);
    plot_points(&e->html, arena_printf(a, "%s, %s (blue low, red high)", c->action, e->component[0]), c->n,
                xy, NULL, 0, value, 0, 0, SIDE, SIDE);
    plot_end(&e->html);
  }
  sb_printf(&e->html,
            "</div>\n<p>A row a class, a cell a sample; its colour: the first three directions as red, green "
            "and blue.</p>\n");
  draw_rgb(e, c, pc);
  arena_free(a);
}

/* The action from each sequence's first view to its m-th. */
static float *path_to(const Eval *e, int64_t m, Arena *a) {
  const Sequences *q = &e->sequences[TEST];
  int64_t A = e->nact;
  float *out = NEWN(a, float, q->n *A);
  for (int64_t i = 0; i < q->n; i++) {
    const float *p = q->param + i * q->views * A;
    stats_action(e->rotation, A, p, p + (m - 1) * A, out + i * A);
  }
  return out;
}

static int64_t at_most(int64_t n) { return n < MOST_POINTS ? n : MOST_POINTS; }

Status measure_maps(Eval *e) {
  Status s = eval_images(e, TEST);
  if (!s && e->nact) s = eval_sequences(e, TEST);
  if (s) return s;
  report_section(e, "Maps", "Principal components of the test samples' embeddings.");
  legend(e);
  const Images *m = &e->images[TEST];
  draw_cloud(e, &(Cloud){.name = "Encoder, plain images",
                         .key = "pca_encoder",
                         .n = at_most(m->n),
                         .dim = e->dim,
                         .x = m->z[TRAINED],
                         .label = m->label});
  if (!e->nact) return ST_OK;
  const Sequences *q = &e->sequences[TEST];
  Arena *a = arena_new();
  float *first = NEWN(a, float, q->n * e->dim), *agg;
  for (int64_t i = 0; i < q->n; i++)
    memcpy(first + i * e->dim, q->z[TRAINED] + i * q->views * e->dim, (size_t)e->dim * 4);
  Cloud views = {.name = "Encoder, single views",
                 .key = "pca_views",
                 .n = at_most(q->n),
                 .dim = e->dim,
                 .x = first,
                 .label = q->label,
                 .action = "its own",
                 .param = q->param,
                 .stride = q->views * e->nact};
  draw_cloud(e, &views);
  if (entry_offered(e, "aggregate")) {
    int64_t most = e->size.m_val.v[e->size.m_val.n - 1];
    if (!(s = eval_aggregate(e, q, most, 0, a, &agg))) {
      views.name = arena_printf(a, "Aggregate of %lld views", (long long)most);
      views.key = "pca_aggregate";
      views.dim = e->aggregate[most].width;
      views.x = agg;
      views.action = "first to last view";
      views.param = path_to(e, most, a);
      views.stride = e->nact;
      draw_cloud(e, &views);
    }
  }
  arena_free(a);
  return s;
}
