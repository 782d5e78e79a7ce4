/* The picture of a run: run.jsonl to SVG, a panel a metric, with round tick marks (Heckbert, "Nice numbers
   for graph labels", Graphics Gems, 1990). */
#include "cli/plot.h"
#include "runtime/file.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum {
  MAX_SERIES = 24,
  PANEL_W = 420,
  PANEL_H = 240,
  LEFT = 64,
  RIGHT = 16,
  TOP = 40,
  BOTTOM = 36,
  HEAD = 44
};

typedef struct {
  double x, y;
} Point;

typedef struct {
  const char *name;
  VEC(Point) point;
} Series;

typedef struct {
  Series s[MAX_SERIES];
  int n;
} Run;

static Series *find_series(Arena *a, Run *r, const char *name) {
  for (int i = 0; i < r->n; i++)
    if (!strcmp(r->s[i].name, name)) return &r->s[i];
  if (r->n == MAX_SERIES) return NULL;
  r->s[r->n].name = arena_strdup(a, name);
  return &r->s[r->n++];
}

static bool is_drawn(const char *key) {
  static const char *const skip[] = {"step", "loader_wait_s", "peak_bytes"};
  for (size_t i = 0; i < sizeof skip / sizeof *skip; i++)
    if (!strcmp(key, skip[i])) return false;
  return true;
}

static void read_records(Arena *a, const Source *src, Run *r) {
  for (const char *p = src->text, *end; *p; p = *end ? end + 1 : end) {
    end = p + strcspn(p, "\n");
    json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL), *v;
    json_t *step = json_object_get(o, "step");
    const char *key;
    if (json_is_number(step)) {
      json_object_foreach(o, key, v) {
        Series *s = is_drawn(key) && json_is_number(v) ? find_series(a, r, key) : NULL;
        Point at = {json_number_value(step), json_number_value(v)};
        if (s && isfinite(at.y)) vec_push(a, &s->point, at);
      }
    }
    json_decref(o);
  }
}

/* Text with the characters that mean something in XML written as entities. */
static void put_text(StrBuf *b, const char *s) {
  for (; *s; s++) {
    if (*s == '<') sb_printf(b, "&lt;");
    else if (*s == '&') sb_printf(b, "&amp;");
    else sb_put(b, s, 1);
  }
}

/* The round step (1, 2 or 5 times a power of ten) that cuts a range into about n parts. */
static double nice_step(double range, int n) {
  double raw = range / n, p = pow(10, floor(log10(raw))), f = raw / p;
  return (f < 1.5 ? 1 : f < 3.5 ? 2 : f < 7.5 ? 5 : 10) * p;
}

static void label(StrBuf *b, double x, double y, const char *anchor, double value, double step) {
  char text[32];
  if (fabs(value) < step * 1e-6) value = 0;
  if (fabs(value) >= 1e5 || (value != 0 && fabs(value) < 1e-3)) snprintf(text, sizeof text, "%.3g", value);
  else snprintf(text, sizeof text, "%.*f", step >= 1 ? 0 : (int)fmin(6, ceil(-log10(step) - 1e-9)), value);
  sb_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, text);
}

static void draw_panel(StrBuf *b, const Series *s, double ox, double oy, double xlast) {
  double lo = INFINITY, hi = -INFINITY, w = PANEL_W - LEFT - RIGHT, h = PANEL_H - TOP - BOTTOM;
  for (int i = 0; i < s->point.n; i++) {
    lo = fmin(lo, s->point.v[i].y);
    hi = fmax(hi, s->point.v[i].y);
  }
  if (hi - lo < 1e-12 * fmax(1e-30, fabs(hi))) {
    double pad = hi == 0 ? 1 : fabs(hi) * 0.1;
    lo -= pad;
    hi += pad;
  }
  double step = nice_step(hi - lo, 4), xstep = nice_step(xlast, 4);
  lo = floor(lo / step + 1e-9) * step;
  hi = ceil(hi / step - 1e-9) * step;
  double left = ox + LEFT, bottom = oy + TOP + h;
  sb_printf(b, "<text x=\"%.1f\" y=\"%.1f\" class=\"name\">", left, oy + TOP - 12);
  put_text(b, s->name);
  sb_printf(b, "</text>\n");
  for (double y = lo; y <= hi + step / 2; y += step) {
    double py = bottom - (y - lo) / (hi - lo) * h;
    sb_printf(b, "<path class=\"grid\" d=\"M%.1f %.1fh%.1f\"/>\n", left, py, w);
    label(b, left - 6, py + 4, "end", y, step);
  }
  for (double x = 0; x <= xlast * 1.0001; x += xstep)
    label(b, left + x / xlast * w, bottom + 18, "middle", x, xstep);
  sb_printf(b, "<polyline class=\"line\" points=\"");
  int stride = s->point.n / 2000 + 1; /* more points than pixels say nothing more */
  for (int i = 0; i < s->point.n;
       i += i + stride < s->point.n || i == s->point.n - 1 ? stride : s->point.n - 1 - i)
    sb_printf(b, "%.1f,%.1f ", left + s->point.v[i].x / xlast * w,
              bottom - (s->point.v[i].y - lo) / (hi - lo) * h);
  sb_printf(b, "\"/>\n");
}

Status plot_run(Arena *a, const char *title, const char *jsonl, const char *svg, Diags *d) {
  Source *src = source_read(a, jsonl);
  if (!src) {
    diag_error(d, NULL, "cannot read %s", jsonl);
    return ST_FILE;
  }
  Run *r = NEW(a, Run);
  read_records(a, src, r);
  double xlast = 1;
  int n = 0;
  for (int i = 0; i < r->n; i++)
    for (int k = 0; k < r->s[i].point.n; k++) xlast = fmax(xlast, r->s[i].point.v[k].x);
  StrBuf b = {0};
  int rows = (r->n + 1) / 2;
  sb_printf(&b,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"11\">\n"
            "<style>.name{font-size:13px;font-weight:bold}.grid{stroke:#ddd}.line{fill:none;stroke:#1f5fa8;"
            "stroke-width:1.5}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"28\" "
            "font-size=\"16\">",
            2 * PANEL_W, HEAD + (rows ? rows : 1) * PANEL_H, LEFT);
  put_text(&b, title);
  sb_printf(&b, "</text>\n");
  for (int i = 0; i < r->n; i++)
    if (r->s[i].point.n) {
      draw_panel(&b, &r->s[i], n % 2 * PANEL_W, HEAD + n / 2 * PANEL_H, xlast);
      n++;
    }
  sb_printf(&b, "</svg>\n");
  NewFile f;
  Status s = file_begin(&f, svg, d);
  if (!s) {
    fwrite(b.s, 1, b.n, f.f);
    s = file_commit(&f, d);
  }
  sb_free(&b);
  return s;
}
