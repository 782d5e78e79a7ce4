/* Runs beside each other: the table, the page (compare.html, compiled in), CSV and event files. */
#include "cli/run_info.h"
#include "eval/curves.h"
#include "runtime/events.h"
#include "runtime/file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.inc"

enum { LONGEST = 40 }; /* of a value in the table */

typedef struct {
  const char *name;
  bool number;
  const char **cell; /* of each run */
  int width;
} Column;
typedef VEC(Column) Columns;

static Column *column(Cli *c, Columns *all, const char *name, int n, bool number) {
  Column k = {name, number, NEWN(c->arena, const char *, n + 1), (int)strlen(name)};
  for (int i = 0; i < n; i++) k.cell[i] = "-";
  vec_push(c->arena, all, k);
  return &all->v[all->n - 1];
}

static const char *number_text(Cli *c, double x) {
  return isnan(x) ? "-" : arena_printf(c->arena, "%.5g", x);
}

/* ---- settings that differ ---- */
static bool is_listed(const Columns *all, const char *name) {
  for (int i = 0; i < all->n; i++)
    if (!strcmp(all->v[i].name, name)) return true;
  return false;
}

/* Of a path the end tells more. */
static const char *shortened(Cli *c, const char *value) {
  size_t n = strlen(value);
  if (n <= LONGEST) return value;
  return *value == '/' ? arena_printf(c->arena, "...%s", value + n - LONGEST)
                       : arena_printf(c->arena, "%.*s...", LONGEST, value);
}

static void add_differing(Cli *c, const RunInfos *runs, Columns *out) {
  for (int i = 0; i < runs->n; i++)
    for (int k = 0; k < runs->v[i].set.n; k++) {
      const RunSetting *s = &runs->v[i].set.v[k];
      bool same = true;
      for (int m = 0; m < runs->n; m++) {
        const RunSetting *other = run_setting(&runs->v[m], s->path);
        same &= other && !strcmp(other->value, s->value);
      }
      if (same || is_listed(out, s->path)) continue;
      Column *col = column(c, out, s->path, runs->n, false);
      for (int m = 0; m < runs->n; m++) {
        const RunSetting *other = run_setting(&runs->v[m], s->path);
        if (other) col->cell[m] = shortened(c, other->value);
      }
    }
}

/* ---- figures ---- */
static void add_curve(Cli *c, const RunInfos *runs, Columns *out, const char *name) {
  if (is_listed(out, name)) return;
  Column *col = column(c, out, name, runs->n, true);
  for (int i = 0; i < runs->n; i++) col->cell[i] = number_text(c, series_last(run_curve(&runs->v[i], name)));
}

static void add_figures(Cli *c, const RunInfos *runs, Columns *out) {
  Column *steps = column(c, out, "step", runs->n, true);
  bool best = false;
  for (int i = 0; i < runs->n; i++) {
    const RunInfo *r = &runs->v[i];
    steps->cell[i] = r->steps && r->step != r->steps
                         ? arena_printf(c->arena, "%lld of %lld", (long long)r->step, (long long)r->steps)
                         : arena_printf(c->arena, "%lld", (long long)r->step);
    best |= r->best != NULL;
  }
  add_curve(c, runs, out, "loss");
  for (int i = 0; i < runs->n; i++)
    for (int k = 0; k < runs->v[i].ncurve; k++)
      if (!strncmp(runs->v[i].curve[k].name, "val.", 4)) add_curve(c, runs, out, runs->v[i].curve[k].name);
  if (!best) return;
  Column *col = column(c, out, "best", runs->n, true);
  for (int i = 0; i < runs->n; i++) {
    const RunInfo *r = &runs->v[i];
    if (r->best)
      col->cell[i] = arena_printf(c->arena, "%s %s", r->best + 4,
                                  number_text(c, series_best(run_curve(r, r->best), r->highest)));
  }
}

static int wider(int width, const char *s) { return (int)strlen(s) > width ? (int)strlen(s) : width; }

static void print_rows(const RunInfos *runs, const Columns *cols, int first) {
  for (int k = -1; k < cols->n; k++) {
    printf("%-*s", first, k < 0 ? "run" : cols->v[k].name);
    for (int i = 0; i < runs->n; i++) {
      int width = (int)strlen(runs->v[i].name);
      for (int j = 0; j < cols->n; j++) width = wider(width, cols->v[j].cell[i]);
      printf("  %*s", width, k < 0 ? runs->v[i].name : cols->v[k].cell[i]);
    }
    printf("\n");
  }
}

/* A row a run; a row a setting where that is too wide and the other way is narrower. */
static void print_table(const RunInfos *runs, Columns *cols) {
  enum { WIDE = 120 };
  int width = 3, across = 0, first = 3, down = 0; /* of the names on the left, and of either table */
  for (int i = 0; i < runs->n; i++) width = wider(width, runs->v[i].name);
  for (int k = 0; k < cols->n; k++) {
    Column *col = &cols->v[k];
    for (int i = 0; i < runs->n; i++) col->width = wider(col->width, col->cell[i]);
    across += 2 + col->width;
    first = wider(first, col->name);
  }
  for (int i = 0; i < runs->n; i++) {
    int most = (int)strlen(runs->v[i].name);
    for (int k = 0; k < cols->n; k++) most = wider(most, cols->v[k].cell[i]);
    down += 2 + most;
  }
  if (width + across > WIDE && first + down < width + across) {
    print_rows(runs, cols, first);
    return;
  }
  printf("%-*s", width, "run");
  for (int k = 0; k < cols->n; k++) printf("  %*s", cols->v[k].width, cols->v[k].name);
  for (int i = 0; i < runs->n; i++) {
    printf("\n%-*s", width, runs->v[i].name);
    for (int k = 0; k < cols->n; k++) printf("  %*s", cols->v[k].width, cols->v[k].cell[i]);
  }
  printf("\n");
}

/* ---- the page ---- */
static json_t *page_data(const RunInfos *runs, const Columns *cols, const char *title) {
  json_t *all = json_array(), *heads = json_array();
  for (int i = 0; i < runs->n; i++) {
    const RunInfo *r = &runs->v[i];
    json_t *cells = json_array(), *settings = json_array();
    for (int k = 0; k < cols->n; k++) json_array_append_new(cells, json_string(cols->v[k].cell[i]));
    for (int k = 0; k < r->set.n; k++)
      json_array_append_new(settings, json_pack("[s, s]", r->set.v[k].path, r->set.v[k].value));
    json_array_append_new(all, json_pack("{s:o, s:I, s:o, s:o, s:o}", "name",
                                         json_stringn_nocheck(r->name, strlen(r->name)), "per_epoch",
                                         (json_int_t)r->per_epoch, "curves", curves_json(r->curve, r->ncurve),
                                         "cells", cells, "settings", settings));
  }
  for (int k = 0; k < cols->n; k++)
    json_array_append_new(heads,
                          json_pack("{s:s, s:b}", "name", cols->v[k].name, "number", cols->v[k].number));
  return json_pack("{s:s, s:o, s:o}", "title", title, "runs", all, "columns", heads);
}

static Status write_page(Cli *c, const char *path, const json_t *data) {
  static const char hole[] = "@CURVES@";
  const char *at = strstr(compare_page, hole);
  StrBuf b = {0};
  sb_put(&b, compare_page, (size_t)(at - compare_page));
  Status s = curves_put(&b, data) ? ST_OK : cli_fail(c, ST_FILE, "%s: a name in the runs is no UTF-8", path);
  sb_put(&b, at + sizeof hole - 1, strlen(at + sizeof hole - 1));
  if (!s) s = file_write(path, b.s, b.n, c->diags);
  sb_free(&b);
  return s;
}

/* ---- other programs' files ---- */
static void put_csv(StrBuf *b, const char *s) {
  if (!strpbrk(s, ",\"\n")) {
    sb_put(b, s, strlen(s));
    return;
  }
  sb_put(b, "\"", 1);
  for (; *s; s++) sb_printf(b, *s == '"' ? "\"\"" : "%c", *s);
  sb_put(b, "\"", 1);
}

static Status write_csv(Cli *c, const RunInfos *runs, const char *path) {
  StrBuf b = {0};
  sb_printf(&b, "run,step,name,value\n");
  for (int i = 0; i < runs->n; i++)
    for (int k = 0; k < runs->v[i].ncurve; k++) {
      const Series *s = &runs->v[i].curve[k];
      for (int j = 0; j < s->n; j++) {
        put_csv(&b, runs->v[i].name);
        sb_printf(&b, ",%.0f,", s->x[j]);
        put_csv(&b, s->name);
        sb_printf(&b, ",%.9g\n", s->y[j]);
      }
    }
  Status s = file_write(path, b.s, b.n, c->diags);
  sb_free(&b);
  return s;
}

static int by_step(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The figures of each step as one event. The log has no time of a step: all have that of the run's beginning. */
static Status write_events(Cli *c, const RunInfo *r, const char *folder) {
  EventFile *e = events_open(folder, true, c->diags);
  if (!e) return ST_FILE;
  VEC(double) steps = {0};
  for (int k = 0; k < r->ncurve; k++)
    for (int j = 0; j < r->curve[k].n; j++) vec_push(c->arena, &steps, r->curve[k].x[j]);
  if (steps.n) qsort(steps.v, (size_t)steps.n, sizeof *steps.v, by_step);
  int *at = NEWN(c->arena, int, r->ncurve + 1);
  Metric *m = NEWN(c->arena, Metric, r->ncurve + 1);
  Status s = ST_OK;
  for (int i = 0; i < steps.n && !s; i++) {
    int n = 0;
    if (i && steps.v[i] == steps.v[i - 1]) continue;
    for (int k = 0; k < r->ncurve; k++)
      if (at[k] < r->curve[k].n && r->curve[k].x[at[k]] == steps.v[i])
        m[n++] = (Metric){r->curve[k].name, r->curve[k].y[at[k]++]};
    s = events_add(e, r->started, (int64_t)steps.v[i], m, n, c->diags);
  }
  Status closed = events_close(e, c->diags);
  return s ? s : closed;
}

Status runs_compare(Cli *c, RunInfos *runs, const CompareOutput *o) {
  Columns cols = {0};
  for (int i = 1; i < runs->n; i++)
    if (strcmp(runs->v[i].model, runs->v[0].model)) {
      diag_warning(c->diags, NULL, "these are runs of different models: %s is of %s, %s of %s",
                   runs->v[0].name, runs->v[0].model, runs->v[i].name, runs->v[i].model);
      break;
    }
  add_differing(c, runs, &cols);
  add_figures(c, runs, &cols);
  print_table(runs, &cols);
  Status s = ST_OK;
  if (o->html) {
    json_t *data = page_data(runs, &cols, o->title);
    s = write_page(c, o->html, data);
    json_decref(data);
  }
  if (!s && o->csv) s = write_csv(c, runs, o->csv);
  for (int i = 0; i < runs->n && !s && o->tensorboard; i++)
    s = write_events(c, &runs->v[i], arena_printf(c->arena, "%s/%s", o->tensorboard, runs->v[i].name));
  return s;
}
