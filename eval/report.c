/* RUN/report.html: one page without links to anything else. The protocols have appended their sections to
   e->html; this file adds what goes around them. Without an evaluation the page is curves and recipe, and the curves of one
   with an evaluation can be put in anew. */
#include "eval/curves.h"
#include "eval/parts.h"
#include "eval/plot.h"
#include "eval/settings.h"
#include "runtime/file.h"
#include "runtime/png.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#f4f5f7;margin:0}"
    "main{max-width:970px;margin:0 auto;padding:24px 20px 60px}"
    "h1{font-size:26px;margin:8px 0 2px}h2{font-size:19px;margin:0 0 4px}h3{font-size:15px;margin:18px 0 2px}"
    "p{margin:4px 0 10px;color:#555}"
    "section{background:#fff;border:1px solid #e2e4e8;border-radius:8px;padding:18px 22px;margin:18px 0;overflow-x:auto}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:12px;margin:18px 0}"
    ".card{background:#fff;border:1px solid #e2e4e8;border-radius:8px;padding:10px 14px}"
    ".card b{display:block;font-size:23px;font-weight:600;color:#1f5fa8}.card small{display:block;color:#777}"
    ".row{display:flex;flex-wrap:wrap;gap:12px}"
    "img{image-rendering:pixelated;display:block}svg{max-width:100%;height:auto}"
    "pre{font:12px/1.45 ui-monospace,monospace;white-space:pre-wrap;margin:0}"
    ".legend span{color:#fff;padding:1px 7px;border-radius:4px}"
    "nav a{margin-right:14px}"
    "table.recipe td{font:12px/1.5 ui-monospace,monospace;white-space:pre-wrap;word-break:break-word}"
    "table{border-collapse:collapse}td{padding:2px 18px 2px 0;font-variant-numeric:tabular-nums}"
    "table.views{margin:0 0 20px;font-size:12px;line-height:1.25}table.views img{margin-bottom:4px}"
    "table.views td{padding:0 10px 0 0;text-align:right;color:#555}table.views td:first-child{text-align:left}";
/* clang-format on */

static void put_base64(StrBuf *b, const char *p, size_t n) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *u = (const unsigned char *)p;
  for (size_t i = 0; i < n; i += 3) {
    unsigned v =
        (unsigned)u[i] << 16 | (i + 1 < n ? (unsigned)u[i + 1] << 8 : 0) | (i + 2 < n ? u[i + 2] : 0);
    char four[4] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
                    i + 2 < n ? digit[v & 63] : '='};
    sb_put(b, four, 4);
  }
}

/* side: the width on the page */
static void put_picture(StrBuf *b, int width, int height, int channels, const uint8_t *pixels, int side) {
  StrBuf png = {0};
  const char *why;
  if (!png_encode(&png, width, height, channels, pixels, &why)) bug("a picture of the report: %s", why);
  sb_printf(b, "<img width=\"%d\" height=\"%d\" alt=\"\" src=\"data:image/png;base64,", side, height * side / width);
  put_base64(b, png.s, png.n);
  sb_printf(b, "\">");
  sb_free(&png);
}

void report_picture(Eval *e, int width, int height, int channels, const uint8_t *pixels, int scale) {
  put_picture(&e->html, width, height, channels, pixels, width * scale);
  sb_printf(&e->html, "\n");
}

static void put_section(StrBuf *b, const char *title, const char *note) {
  sb_printf(b, "</section>\n<section>\n<h2>%s</h2>\n<p>%s</p>\n", title, note);
}

void report_section(Eval *e, const char *title, const char *note) { put_section(&e->html, title, note); }

/* ---- what goes before the protocols ---- */
static const char *name_of(const char *folder) {
  const char *slash = strrchr(folder, '/');
  return slash && slash[1] ? slash + 1 : folder;
}

static void put_head(StrBuf *b, const char *folder, const char *about) {
  sb_printf(b, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>");
  plot_text(b, name_of(folder));
  sb_printf(b, "</title>\n<style>%s</style>\n<main>\n<h1>", style);
  plot_text(b, name_of(folder));
  sb_printf(b, "</h1>\n<p>");
  plot_text(b, about);
  sb_printf(b, "</p>\n");
}

static const struct {
  const char *key, *label, *beside, *what;
  double scale;
  int digits;
} card_table[] = {
    {"encoder_top1", "linear probe top-1", "untrained_top1", "untrained", 100, 1},
    {"relative_r2_mlp", "relative action R2", "relative_r2_mlp_untrained", "untrained", 1, 3},
    {"mrr", "retrieval MRR", "mrr_chance", "chance", 1, 3},
    {"loss_ratio", "loss, shuffled / true", NULL, NULL, 1, 2},
    {"effective_rank", "effective rank", "effective_rank_untrained", "untrained", 1, 1},
    {"std_sqrt_d", "std x sqrt(d)", "std_sqrt_d_untrained", "untrained", 1, 2},
};

static void put_cards(Eval *e, StrBuf *b) {
  sb_printf(b, "<div class=\"cards\">\n");
  for (size_t i = 0; i < sizeof card_table / sizeof *card_table; i++) {
    json_t *v = json_object_get(e->json, card_table[i].key),
           *other = card_table[i].beside ? json_object_get(e->json, card_table[i].beside) : NULL;
    if (!json_is_number(v)) continue;
    sb_printf(b, "<div class=\"card\"><small>%s</small><b>%.*f</b>", card_table[i].label,
              card_table[i].digits, card_table[i].scale * json_number_value(v));
    if (json_is_number(other))
      sb_printf(b, "<small>%s %.*f</small>", card_table[i].what, card_table[i].digits,
                card_table[i].scale * json_number_value(other));
    sb_printf(b, "</div>\n");
  }
  sb_printf(b, "</div>\n");
}

static double json_real_of(const Eval *e, const char *key) {
  json_t *v = json_object_get(e->json, key);
  return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char begin_curves[] = "<!--curves-->\n", end_curves[] = "<!--end of curves-->\n";

/* The curves of a log, between the two marks. False: a name in it is no UTF-8. */
static bool put_curves(StrBuf *b, Arena *a, const char *folder, const Source *log) {
  int n = 0;
  const Series *s = plot_log(a, log, &n);
  json_int_t per_epoch = 0;
  double step = 0, steps = 0;
  for (const char *p = log->text, *end; *p; p = *end ? end + 1 : end) {
    end = p + strcspn(p, "\n");
    if (strncmp(p, "{\"run\":", 7)) continue;
    json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL), *total = json_object_get(o, "steps"),
           *own = json_object_get(o, "steps_per_epoch");
    if (total) steps = json_number_value(total);
    if (own) per_epoch = json_integer_value(own);
    json_decref(o);
  }
  for (int i = 0; i < n; i++) step = fmax(step, s[i].x[s[i].n - 1]);
  sb_printf(b, "%s<p>Step %.0f", begin_curves, step);
  if (steps > 0) sb_printf(b, " of %.0f", steps);
  sb_printf(b, "%s.</p>\n", n ? "" : "; no figures yet");
  json_t *data = json_pack("{s:[{s:s, s:I, s:o, s:[]}], s:[]}", "runs", "name", name_of(folder), "per_epoch", per_epoch,
                           "curves", curves_json(s, n), "cells", "columns");
  bool put = data && curves_put(b, data);
  json_decref(data);
  sb_printf(b, "%s", end_curves);
  return put;
}

static bool put_training(Eval *e, StrBuf *b) {
  if (!e->log || !*e->log->text) {
    sb_printf(b, "<section>\n<p>The run has no log.</p>\n");
    return true;
  }
  sb_printf(b, "<section>\n<h2>Training</h2>\n");
  double speed = json_real_of(e, "images_per_s"), wait = json_real_of(e, "loader_wait_share");
  if (isfinite(speed))
    sb_printf(b, "<p>%.0f images a second, peak memory %s", speed,
              human_bytes(e->arena, (int64_t)json_real_of(e, "peak_bytes")));
  if (isfinite(wait)) sb_printf(b, ", %.2f %% of the time waiting for data", 100 * wait);
  if (isfinite(speed)) sb_printf(b, ".</p>\n");
  return put_curves(b, e->arena, e->folder, e->log);
}

enum { SHOWN = 7 };

void report_view(Eval *e, StrBuf *b, const float *x, int C, float lo, float hi, int side) {
  int64_t H = e->image.dim[1], W = e->image.dim[2];
  int depth = C == 1 ? 1 : 3;
  Arena *a = arena_new();
  uint8_t *out = NEWN(a, uint8_t, H *W *depth);
  for (int64_t k = 0; k < H * W; k++)
    for (int c = 0; c < depth; c++)
      out[k * depth + c] =
          (uint8_t)(255 * (x[(c < C ? c : 0) * H * W + k] - lo) / fmaxf(hi - lo, 1e-12f) + .5f);
  put_picture(b, (int)W, (int)H, depth, out, side ? side : (int)W * (W <= 32 ? 3 : W <= 64 ? 2 : 1));
  arena_free(a);
}

/* A table a sample: its views, with the range of the sample's own pixels as black to white, and below each
   the action that led to it. */
static void put_views(Eval *e, StrBuf *b) {
  const Sequences *q = &e->sequences[TEST];
  if (!q->n) return;
  int64_t pixels = shape_count(&e->image), V = q->views, shown = V < SHOWN ? V : SHOWN,
          kept = q->n < PICTURES ? q->n : PICTURES;
  put_section(b, "Views and actions",
              "Test samples; below each view the action that led to it from the view before.");
  for (int64_t i = 0; i < kept; i++) {
    const float *x = q->picture + i * V * pixels;
    float lo = x[0], hi = x[0];
    for (int64_t k = 0; k < V * pixels; k++) {
      lo = fminf(lo, x[k]);
      hi = fmaxf(hi, x[k]);
    }
    int64_t k = q->label[i];
    sb_printf(b, "<table class=\"views\">\n<tr><td>class ");
    plot_text(b, k >= 0 && k < e->classes ? e->class_name[k] : "-");
    for (int64_t v = 0; v < shown; v++) {
      sb_printf(b, "<td>");
      report_view(e, b, x + v * pixels, (int)e->image.dim[0], lo, hi, 0);
    }
    for (int64_t d = 0; d < e->nact; d++) {
      sb_printf(b, "\n<tr><td>");
      plot_text(b, e->component[d]);
      sb_printf(b, "<td>");
      for (int64_t v = 1; v < shown; v++)
        sb_printf(b, "<td>%+.2f", (double)q->action[(i * (V - 1) + v - 1) * e->nact + d]);
    }
    sb_printf(b, "\n</table>\n");
  }
}

static void put_figures(Eval *e, StrBuf *b) {
  const char *key;
  json_t *v;
  put_section(b, "Figures", "Every single number of eval.json.");
  sb_printf(b, "<table>\n");
  json_object_foreach(e->json, key, v) {
    if (!json_is_number(v)) continue;
    sb_printf(b, "<tr><td>");
    plot_text(b, key);
    sb_printf(b, "<td>%.6g\n", json_number_value(v));
  }
  sb_printf(b, "</table>\n");
}

static void put_setting(void *ctx, const char *path, const char *value) {
  StrBuf *b = ctx;
  sb_printf(b, "<tr><td>");
  plot_text(b, path);
  sb_printf(b, "<td>");
  plot_text(b, value);
  sb_printf(b, "\n");
}

static void put_recipe(StrBuf *b, Arena *a, json_t *recipe) {
  json_t *settings = json_object_get(recipe, "settings");
  if (!recipe) return;
  put_section(b, "Recipe", "As resolved when training began.");
  sb_printf(b, "<table class=\"recipe\">\n");
  settings_each(a, settings ? settings : recipe, put_setting, b);
  sb_printf(b, "</table>\n");
}

/* The page's body with numbers at its headings, and a line of links to them at its beginning. */
static void put_body(StrBuf *b, const char *body) {
  static const char heading[] = "<h2>";
  int n = 0;
  sb_printf(b, "<nav>");
  for (const char *p = body; (p = strstr(p, heading)); n++) {
    p += sizeof heading - 1;
    sb_printf(b, "<a href=\"#s%d\">%.*s</a> ", n, (int)strcspn(p, "<"), p);
  }
  sb_printf(b, "</nav>\n");
  n = 0;
  for (const char *next; (next = strstr(body, heading)); body = next + sizeof heading - 1, n++) {
    sb_put(b, body, (size_t)(next - body));
    sb_printf(b, "<h2 id=\"s%d\">", n);
  }
  sb_put(b, body, strlen(body));
}

/* Head and body as a file; nothing is written where `whole` is false. */
static Status write_page(Arena *a, const char *folder, StrBuf *head, StrBuf *body, bool whole, Diags *d) {
  const char *path = arena_printf(a, "%s/report.html", folder);
  Status s = ST_FILE;
  if (whole) {
    put_body(head, body->s);
    sb_printf(head, "</section>\n</main>\n</html>\n");
    s = file_write(path, head->s, head->n, d);
  } else {
    diag_error(d, NULL, "%s: a name in the run's log is no UTF-8", path);
  }
  sb_free(head);
  sb_free(body);
  return s;
}

Status eval_report(Eval *e) {
  StrBuf b = {0}, body = {0};
  put_head(&b, e->folder,
           arena_printf(e->arena, "%s of %s, data %s, evaluated at step %lld, seed %llu", e->recipe->model, e->info.model,
                        e->recipe->data.source, (long long)e->info.step, (unsigned long long)e->info.seed));
  put_cards(e, &body);
  bool whole = put_training(e, &body);
  put_views(e, &body);
  report_saccades(e, &body);
  if (e->html.s) sb_put(&body, e->html.s, e->html.n);
  put_figures(e, &body);
  json_t *recipe = json_loads(e->info.recipe, 0, NULL);
  put_recipe(&body, e->arena, recipe);
  json_decref(recipe);
  return write_page(e->arena, e->to, &b, &body, whole, e->diags);
}

/* A page with an evaluation keeps it. */
static Status renew_curves(Arena *a, const char *folder, const Source *log, const Source *page, Diags *d) {
  const char *path = arena_printf(a, "%s/report.html", folder), *from = strstr(page->text, begin_curves),
             *to = from ? strstr(from, end_curves) : NULL;
  StrBuf b = {0};
  if (!to) {
    diag_error(d, NULL, "%s has no place for curves: `jepac eval %s` writes it anew", path, folder);
    return ST_FILE;
  }
  sb_put(&b, page->text, (size_t)(from - page->text));
  bool whole = put_curves(&b, a, folder, log);
  to += sizeof end_curves - 1;
  sb_put(&b, to, strlen(to));
  Status s = ST_FILE;
  if (whole) s = file_write(path, b.s, b.n, d);
  else diag_error(d, NULL, "%s: a name in the run's log is no UTF-8", path);
  sb_free(&b);
  return s;
}

Status report_run(Arena *a, const char *folder, Diags *d) {
  const char *path = arena_printf(a, "%s/run.jsonl", folder);
  const Source *log = source_read(a, path), *page;
  if (!log) {
    diag_error(d, NULL, "cannot read %s: %s", path, strerror(errno));
    return ST_FILE;
  }
  if ((page = source_read(a, arena_printf(a, "%s/report.html", folder)))) return renew_curves(a, folder, log, page, d);
  json_t *first = json_loadb(log->text, strcspn(log->text, "\n"), 0, NULL), *recipe = json_object_get(first, "recipe");
  const char *model = json_string_value(json_object_get(recipe, "model"));
  StrBuf b = {0}, body = {0};
  put_head(&b, folder, model ? model : "");
  sb_printf(&body, "<section>\n<h2>Training</h2>\n");
  bool whole = put_curves(&body, a, folder, log);
  put_recipe(&body, a, recipe);
  json_decref(first);
  return write_page(a, folder, &b, &body, whole, d);
}
