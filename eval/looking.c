/* Pictures of looking: what the aggregate attends to, and where the eye goes. */
#include "eval/parts.h"
#include "eval/plot.h"

#include <math.h>
#include <string.h>

enum { SIDE = 192 };

/* ---- attention over views ---- */
Status measure_attention(Eval *e) {
  Status s = eval_sequences(e, TEST);
  if (s) return s;
  const Sequences *q = &e->sequences[TEST];
  const IntList *ms = &e->size.m_val;
  int64_t m = ms->v[ms->n - 1], V = q->views, D = e->dim, P = e->nembed, pixels = shape_count(&e->image);
  KnownShape known[] = {{"z", DT_F32, {3, {e->encode.batch, m, D}}}, {"a", DT_F32, {3, {e->encode.batch, m, P}}}};
  if ((s = entry_open(e, "attend", known, 2, false, &e->attend))) return s;
  if (e->attend.width != m)
    return eval_fail(e, ST_MODEL, "entry attend returns %lld numbers a sample for %lld views", (long long)e->attend.width, (long long)m);
  Arena *a = arena_new();
  float *z = NEWN(a, float, q->n *m *D), *act = NEWN(a, float, q->n *m *P + 1), *w = NEWN(a, float, q->n *m);
  int64_t told = m < V ? m : V - 1;
  for (int64_t i = 0; i < q->n; i++) {
    memcpy(z + i * m * D, q->z[TRAINED] + i * V * D, (size_t)(m * D) * 4);
    memcpy(act + i * m * P, q->embedded + i * (V - 1) * P, (size_t)(told * P) * 4);
  }
  entry_apply(&e->attend, TRAINED, (EntryInput[]){{"z", z}, {"a", act}}, 2, q->n, w);
  double mean[MAX_M] = {0}, spread = 0;
  const char *name[MAX_M];
  for (int64_t i = 0; i < q->n; i++) {
    double all = 0, entropy = 0;
    for (int64_t v = 0; v < m; v++) all += w[i * m + v];
    for (int64_t v = 0; v < m; v++) {
      double share = w[i * m + v] / fmax(all, 1e-30);
      mean[v] += w[i * m + v] / (double)q->n;
      entropy -= share > 0 ? share * log(share) : 0;
    }
    spread += exp(entropy) / (double)q->n;
  }
  for (int64_t v = 0; v < m; v++) name[v] = arena_printf(e->arena, "view %lld", (long long)(v + 1));
  eval_set_list(e, "attention", mean, (int)m);
  eval_set(e, "attention_views", spread);
  eval_heads(e, "attention of the aggregate", name, (int)m);
  eval_row(e, "share of each view", "%.3f", 1, mean, (int)m);
  eval_row(e, "as many views as exp of the entropy", "%.2f", 1, &spread, 1);
  eval_sizes(e, "attention", "sequences", 0, q->n, 0, NULL);
  report_section(e, "Attention over views",
                 "How much of its last layer's attention the aggregate token gives to each view, the mean of all heads; the rest goes to "
                 "itself. Above: mean over the test sequences; below: some of them.");
  plot_begin(&e->html, 620, 60 + 26 * (double)m);
  plot_bars(&e->html, "attention to each view", name, mean, NULL, (int)m, 0, 0, 620, 60 + 26 * (double)m);
  plot_end(&e->html);
  for (int64_t i = 0; i < q->n && i < PICTURES && q->picture; i++) {
    const float *x = q->picture + i * V * pixels;
    float lo = x[0], hi = x[0];
    for (int64_t k = 0; k < V * pixels; k++) lo = fminf(lo, x[k]), hi = fmaxf(hi, x[k]);
    sb_printf(&e->html, "<table class=\"views\">\n<tr>");
    for (int64_t v = 0; v < m; v++) {
      sb_printf(&e->html, "<td>");
      report_view(e, &e->html, x + v * pixels, (int)e->image.dim[0], lo, hi, 0);
    }
    sb_printf(&e->html, "\n<tr>");
    for (int64_t v = 0; v < m; v++) sb_printf(&e->html, "<td>%.3f", (double)w[i * m + v]);
    sb_printf(&e->html, "\n</table>\n");
  }
  arena_free(a);
  return ST_OK;
}

/* ---- the way of the eye ---- */
/* A picture, and over it the fixations in their order. */
static void put_way(Eval *e, StrBuf *b, const float *x, int channels, float lo, float hi, const float *param, int64_t views) {
  sb_printf(b, "<td><div style=\"position:relative;line-height:0\">");
  report_view(e, b, x, channels, lo, hi, SIDE);
  sb_printf(b, "<svg width=\"%d\" height=\"%d\" style=\"position:absolute;left:0;top:0\" font-size=\"11\">", SIDE, SIDE);
  sb_printf(b, "<polyline fill=\"none\" stroke=\"#ffb000\" stroke-width=\"2\" points=\"");
  for (int64_t v = 0; v < views; v++)
    sb_printf(b, "%.1f,%.1f ", (double)(SIDE * param[v * e->nact + 1]), (double)(SIDE * param[v * e->nact]));
  sb_printf(b, "\"/>");
  for (int64_t v = 0; v < views; v++) {
    double px = SIDE * (double)param[v * e->nact + 1], py = SIDE * (double)param[v * e->nact];
    sb_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#d0104c\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"#d0104c\">%lld</text>", px, py,
              px + 6, py - 4, (long long)(v + 1));
  }
  sb_printf(b, "</svg></div>");
}

void report_saccades(Eval *e, StrBuf *b) {
  const Sequences *q = &e->sequences[TEST];
  int64_t C = e->image.dim[0], plane = e->image.dim[1] * e->image.dim[2];
  if (!q->whole) return;
  sb_printf(b, "</section>\n<section>\n<h2>Saccades</h2>\n<p>Test samples: the picture and its saliency (white: where the eye is most likely to "
               "go), and on both the fixations in their order.</p>\n");
  for (int64_t i = 0; i < q->n && i < PICTURES; i++) {
    const float *x = q->whole + i * C * plane, *param = q->param + i * q->views * e->nact;
    float lo = x[0], hi = x[0];
    for (int64_t k = 0; k < C * plane; k++) lo = fminf(lo, x[k]), hi = fmaxf(hi, x[k]);
    sb_printf(b, "<table class=\"views\">\n<tr>");
    put_way(e, b, x, (int)C, lo, hi, param, q->views);
    put_way(e, b, q->map + i * plane, 1, 0, 1, param, q->views);
    sb_printf(b, "\n</table>\n");
  }
}
