/* Pictures as SVG. Axes have round tick marks (Heckbert, "Nice numbers for graph labels", Graphics Gems,
   1990). */
#include "eval/plot.h"
#include "runtime/file.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

enum { PANEL_W = 420, PANEL_H = 240, LEFT = 64, RIGHT = 16, TOP = 40, BOTTOM = 36, HEAD = 44 };

static const char *const palette[] = {"#1f5fa8", "#c8442d", "#2f8f4e", "#8a5fb5", "#b07a10", "#4d4d4d"};
enum { NPALETTE = sizeof palette / sizeof *palette };

/* ---- the log of a run ---- */
typedef struct {
  const char *name;
  VEC(double) x, y;
} Record;

typedef VEC(Record) Records;

static Record *find_record(Arena *a, Records *r, const char *name) {
  for (int i = 0; i < r->n; i++)
    if (!strcmp(r->v[i].name, name)) return &r->v[i];
  Record fresh = {.name = arena_strdup(a, name)};
  vec_push(a, r, fresh);
  return &r->v[r->n - 1];
}

Series *plot_log(Arena *a, const Source *log, int *n) {
  Records all = {0};
  for (const char *p = log->text, *end; *p; p = *end ? end + 1 : end) {
    end = p + strcspn(p, "\n");
    json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL), *v;
    json_t *step = json_object_get(o, "step");
    const char *key;
    if (json_is_number(step)) {
      json_object_foreach(o, key, v) {
        if (!json_is_number(v) || !strcmp(key, "step")) continue;
        Record *r = find_record(a, &all, key);
        vec_push(a, &r->x, json_number_value(step));
        vec_push(a, &r->y, json_number_value(v));
      }
    }
    json_decref(o);
  }
  Series *s = NEWN(a, Series, all.n + 1);
  for (int i = 0; i < all.n; i++)
    s[i] = (Series){.name = all.v[i].name, .n = all.v[i].x.n, .x = all.v[i].x.v, .y = all.v[i].y.v};
  *n = all.n;
  return s;
}

/* ---- what the pictures share ---- */
void plot_text(StrBuf *b, const char *s) {
  for (; *s; s++) {
    if (*s == '<') sb_printf(b, "&lt;");
    else if (*s == '&') sb_printf(b, "&amp;");
    else if (*s == '"') sb_printf(b, "&quot;");
    else sb_put(b, s, 1);
  }
}

void plot_begin(StrBuf *b, double w, double h) {
  sb_printf(
      b,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<style>.name{font-size:13px;font-weight:bold}.grid{stroke:#ddd}.line{fill:none;"
      "stroke-width:1.5}</style>\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      w, h, w, h);
}

void plot_end(StrBuf *b) { sb_printf(b, "</svg>\n"); }

static void put_label(StrBuf *b, double x, double y, const char *anchor, const char *class,
                      const char *text) {
  sb_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, class);
  plot_text(b, text);
  sb_printf(b, "</text>\n");
}

static void put_name(StrBuf *b, double x, double y, const char *text) {
  put_label(b, x, y, "start", " class=\"name\"", text);
}

/* The round step (1, 2 or 5 times a power of ten) that cuts a range into about n parts. */
static double nice_step(double range, int n) {
  double raw = range / n, p = pow(10, floor(log10(raw))), f = raw / p;
  return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * p;
}

static void put_number(StrBuf *b, double x, double y, const char *anchor, double value, double step) {
  char text[32];
  if (fabs(value) < step * 1e-6) value = 0;
  if (fabs(value) >= 1e5 || (value != 0 && fabs(value) < 1e-3)) snprintf(text, sizeof text, "%.3g", value);
  else snprintf(text, sizeof text, "%.*f", step >= 1 ? 0 : (int)fmin(6, ceil(-log10(step) - 1e-9)), value);
  put_label(b, x, y, anchor, "", text);
}

typedef struct {
  double lo, hi;
} Extent;

static Extent extent_of(const Series *s, int n, bool horizontal) {
  Extent e = {INFINITY, -INFINITY};
  for (int i = 0; i < n; i++)
    for (int k = 0; k < s[i].n; k++) {
      if (!isfinite(s[i].y[k])) continue;
      double v = horizontal ? s[i].x[k] : s[i].y[k];
      e.lo = fmin(e.lo, v);
      e.hi = fmax(e.hi, v);
    }
  if (e.lo > e.hi) return (Extent){0, 1};
  if (e.hi - e.lo < 1e-12 * fmax(1e-30, fabs(e.hi))) {
    double pad = e.hi == 0 ? 1 : fabs(e.hi) * 0.1;
    e.lo -= pad;
    e.hi += pad;
  }
  return e;
}

/* ---- curves ---- */
typedef struct {
  double left, bottom, w, h;
  Extent x, y;
} Frame;

static double at_x(const Frame *f, double x) { return f->left + (x - f->x.lo) / (f->x.hi - f->x.lo) * f->w; }
static double at_y(const Frame *f, double y) {
  return f->bottom - (y - f->y.lo) / (f->y.hi - f->y.lo) * f->h;
}

static void draw_series(StrBuf *b, const Frame *f, const Series *s, const char *colour, bool marks) {
  sb_printf(b, "<polyline class=\"line\" stroke=\"%s\"%s points=\"", colour,
            s->dashed ? " stroke-dasharray=\"5 4\"" : "");
  int stride = s->n / 2000 + 1; /* more points than pixels say nothing more */
  for (int i = 0; i < s->n; i += i + stride < s->n || i == s->n - 1 ? stride : s->n - 1 - i)
    if (isfinite(s->y[i])) sb_printf(b, "%.1f,%.1f ", at_x(f, s->x[i]), at_y(f, s->y[i]));
  sb_printf(b, "\"/>\n");
  for (int i = 0; marks && i < s->n; i++) {
    if (!isfinite(s->y[i])) continue;
    sb_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>", at_x(f, s->x[i]),
              at_y(f, s->y[i]), colour);
    plot_text(b, s->name);
    sb_printf(b, ", %g: %.4g</title></circle>\n", s->x[i], s->y[i]);
  }
}

void plot_lines(StrBuf *b, const Plot *p, double x, double y, double w, double h) {
  int legend = p->n > 1 ? (p->n + 1) / 2 : 0;
  Frame f = {.left = x + LEFT,
             .w = w - LEFT - RIGHT,
             .h = h - TOP - BOTTOM - 15 * legend - (p->xlabel ? 12 : 0),
             .x = extent_of(p->series, p->n, true),
             .y = extent_of(p->series, p->n, false)};
  f.bottom = y + TOP + f.h;
  if (p->from_zero) f.x.lo = 0;
  double step = nice_step(f.y.hi - f.y.lo, 4), xstep = nice_step(f.x.hi - f.x.lo, p->from_zero ? 4 : 7);
  f.y.lo = floor(f.y.lo / step + 1e-9) * step;
  f.y.hi = ceil(f.y.hi / step - 1e-9) * step;
  put_name(b, f.left, y + TOP - 12, p->title);
  for (double v = f.y.lo; v <= f.y.hi + step / 2; v += step) {
    sb_printf(b, "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>\n", f.left, at_y(&f, v), f.w);
    put_number(b, f.left - 6, at_y(&f, v) + 4, "end", v, step);
  }
  for (double v = ceil(f.x.lo / xstep - 1e-9) * xstep; v <= f.x.hi * 1.0001; v += xstep)
    put_number(b, at_x(&f, v), f.bottom + 18, "middle", v, xstep);
  if (p->xlabel) put_label(b, f.left + f.w / 2, f.bottom + 32, "middle", "", p->xlabel);
  for (int i = 0; i < p->n; i++) draw_series(b, &f, &p->series[i], palette[i % NPALETTE], p->marks);
  for (int i = 0; i < p->n && legend; i++) {
    double lx = f.left + i % 2 * f.w / 2, ly = f.bottom + (p->xlabel ? 46 : 34) + i / 2 * 15;
    sb_printf(b, "<path d=\"M%.1f %.1fh16\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", lx, ly - 4,
              palette[i % NPALETTE], p->series[i].dashed ? " stroke-dasharray=\"5 4\"" : "");
    put_label(b, lx + 22, ly, "start", "", p->series[i].name);
  }
}

static bool is_drawn(const char *key) {
  static const char *const skip[] = {"loader_wait_s", "peak_bytes"};
  for (size_t i = 0; i < sizeof skip / sizeof *skip; i++)
    if (!strcmp(key, skip[i])) return false;
  return true;
}

static void put_metrics(StrBuf *b, const char *title, const Series *s, int n) {
  int panels = 0, at = 0;
  for (int i = 0; i < n; i++) panels += is_drawn(s[i].name);
  int rows = panels ? (panels + 1) / 2 : 1;
  plot_begin(b, 2 * PANEL_W, HEAD + rows * PANEL_H);
  sb_printf(b, "<text x=\"%d\" y=\"28\" font-size=\"16\">", LEFT);
  plot_text(b, title);
  sb_printf(b, "</text>\n");
  for (int i = 0; i < n; i++) {
    if (!is_drawn(s[i].name)) continue;
    Plot p = {.title = s[i].name, .series = &s[i], .n = 1, .from_zero = true};
    plot_lines(b, &p, at % 2 * PANEL_W, HEAD + at / 2 * PANEL_H, PANEL_W, PANEL_H);
    at++;
  }
  plot_end(b);
}

Status plot_run(Arena *a, const char *title, const char *jsonl, const char *svg, Diags *d) {
  int n;
  const Source *log = source_read(a, jsonl);
  if (!log) {
    diag_error(d, NULL, "cannot read %s: %s", jsonl, strerror(errno));
    return ST_FILE;
  }
  Series *s = plot_log(a, log, &n);
  StrBuf b = {0};
  put_metrics(&b, title, s, n);
  NewFile f;
  Status st = file_begin(&f, svg, d);
  if (!st) {
    fwrite(b.s, 1, b.n, f.f);
    st = file_commit(&f, d);
  }
  sb_free(&b);
  return st;
}

/* ---- point clouds, matrices, bars ---- */
static int channel(double x) { return (int)(fmin(fmax(x, 0), 1) * 255 + 0.5); }

/* A hue circle of even lightness for groups. */
const char *plot_colour(char out[8], int64_t group, int64_t ngroup) {
  double t = 6.283185307179586 * (double)group / (double)(ngroup > 0 ? ngroup : 1);
  double light = ngroup > 12 && group % 2 ? .38 : .5;
  double r = light + .36 * cos(t), g = light * .92 + .30 * cos(t - 2.094395),
         bl = light + .36 * cos(t + 2.094395);
  snprintf(out, 8, "#%02x%02x%02x", channel(r), channel(g), channel(bl));
  return out;
}

static const char *value_colour(char out[8], double t) {
  double r = t < .5 ? .13 + 1.2 * t : .80, g = .30 + .9 * (t < .5 ? t : 1 - t),
         b = t < .5 ? .75 : .75 - 1.2 * (t - .5);
  snprintf(out, 8, "#%02x%02x%02x", channel(r), channel(g), channel(b));
  return out;
}

void plot_points(StrBuf *b, const char *title, int64_t n, const float *xy, const int64_t *group,
                 int64_t ngroup, const float *value, double x, double y, double w, double h) {
  double lo[3] = {INFINITY, INFINITY, INFINITY}, hi[3] = {-INFINITY, -INFINITY, -INFINITY};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < 3; d++) {
      double v = d < 2 ? xy[i * 2 + d] : value ? value[i] : 0;
      lo[d] = fmin(lo[d], v);
      hi[d] = fmax(hi[d], v);
    }
  double scale = fmin((w - 24) / fmax(hi[0] - lo[0], 1e-12), (h - TOP - 12) / fmax(hi[1] - lo[1], 1e-12));
  double left = x + w / 2 - (lo[0] + hi[0]) / 2 * scale,
         middle = y + (TOP + h - 12) / 2 + (lo[1] + hi[1]) / 2 * scale;
  char colour[8];
  put_name(b, x + 12, y + TOP - 16, title);
  sb_printf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#ddd\"/>\n",
            x + 6, y + TOP - 6, w - 12, h - TOP);
  for (int64_t i = 0; i < n; i++) {
    if (group) plot_colour(colour, group[i], ngroup);
    else value_colour(colour, (value[i] - lo[2]) / fmax(hi[2] - lo[2], 1e-12));
    sb_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.2\" fill=\"%s\" fill-opacity=\".75\"/>\n",
              left + xy[i * 2] * scale, middle - xy[i * 2 + 1] * scale, colour);
  }
}

static void put_item(StrBuf *b, const char *what, const char *const *name, int i) {
  sb_printf(b, "%s %d", what, i);
  if (!name) return;
  sb_printf(b, " (");
  plot_text(b, name[i]);
  sb_printf(b, ")");
}

void plot_matrix(StrBuf *b, const char *title, const char *rows, const char *columns,
                 const char *const *name, const double *count, int n, double x, double y, double side) {
  double left = x + LEFT, top = y + TOP, cell = (side - LEFT - RIGHT) / n;
  put_name(b, left, y + TOP - 16, title);
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int k = 0; k < n; k++) sum += count[i * n + k];
    for (int k = 0; k < n; k++) {
      if (count[i * n + k] <= 0) continue;
      double share = count[i * n + k] / sum;
      sb_printf(b,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#1f5fa8\" "
                "fill-opacity=\"%.3f\"><title>",
                left + k * cell, top + i * cell, cell, cell, share);
      put_item(b, rows, name, i);
      sb_printf(b, ", ");
      put_item(b, columns, name, k);
      sb_printf(b, ": %.0f (%.1f %%)</title></rect>\n", count[i * n + k], 100 * share);
      if (cell >= 18 && share >= .005) {
        char text[16];
        snprintf(text, sizeof text, "%.0f", 100 * share);
        put_label(b, left + (k + .5) * cell, top + (i + .5) * cell + 4, "middle",
                  share > .55 ? " fill=\"white\"" : "", text);
      }
    }
    if (n <= 30 || i % 10 == 0) {
      char own[16];
      snprintf(own, sizeof own, "%d", i);
      put_label(b, left - 6, top + (i + .5) * cell + 4, "end", "", own);
      put_label(b, left + (i + .5) * cell, top + n * cell + 14, "middle", "", own);
    }
  }
  sb_printf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#bbb\"/>\n",
            left, top, n * cell, n * cell);
  put_label(b, left + n * cell / 2, top + n * cell + 29, "middle", "", columns);
  sb_printf(b, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">", left - 30,
            top + n * cell / 2);
  plot_text(b, rows);
  sb_printf(b, "</text>\n");
}

void plot_bars(StrBuf *b, const char *title, const char *const *name, const double *first,
               const double *second, int n, double x, double y, double w, double h) {
  double left = x + 130, width = w - 130 - 50, row = (h - TOP - 10) / (n > 0 ? n : 1),
         thick = fmin(row * .38, 11);
  put_name(b, x + 12, y + TOP - 16, title);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 2; k++) {
      double v = k ? (second ? second[i] : NAN) : first[i], top = y + TOP + i * row + k * thick;
      char text[16];
      if (!k) put_label(b, left - 8, top + thick + 3, "end", "", name[i]);
      if (!isfinite(v)) continue;
      double length = fmin(fmax(v, 0), 1) * width;
      sb_printf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, top,
                length, thick, k ? "#b9bec6" : palette[0]);
      snprintf(text, sizeof text, "%.2f", v);
      if (!k || thick >= 9) put_label(b, left + length + 4, top + thick - 1, "start", "", text);
    }
  sb_printf(b, "<path d=\"M%.1f %.1fv%.1f\" stroke=\"#999\"/>\n", left, y + TOP - 4, n * row);
}
