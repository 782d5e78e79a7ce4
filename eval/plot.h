/* Pictures as SVG: curves, point clouds, matrices; the log of a run. */
#ifndef JEPAC_EVAL_PLOT_H
#define JEPAC_EVAL_PLOT_H

#include "ir/base.h"

typedef struct {
  const char *name;
  int n;
  const double *x, *y; /* points with a y that is not finite are left out */
  bool dashed;
} Series;

/* Every number of a run.jsonl over its step, in the order of first appearance; `step` itself is not one. */
Series *plot_log(Arena *a, const Source *log, int *n);

typedef struct {
  const char *title, *xlabel; /* xlabel: may be NULL */
  const Series *series;
  int n;
  bool from_zero; /* the horizontal axis begins at 0 */
  bool marks;     /* a dot at each point */
} Plot;

/* A panel of w x h with its corner at (x, y) inside an SVG element whose style is plot_style. */
void plot_lines(StrBuf *b, const Plot *p, double x, double y, double w, double h);
/* Points coloured by group (0..ngroup-1) or, without groups, by value (blue low, red high). */
void plot_points(StrBuf *b, const char *title, int64_t n, const float *xy, const int64_t *group,
                 int64_t ngroup, const float *value, double x, double y, double w, double h);
/* count[row][column], shaded and labelled by its share of the row, in %; rows and columns: what they are; name: of each,
   under the mouse, or NULL. */
void plot_matrix(StrBuf *b, const char *title, const char *rows, const char *columns,
                 const char *const *name, const double *count, int n, double x, double y, double side);
/* Horizontal bars; second may be NULL, values may be NAN. */
void plot_bars(StrBuf *b, const char *title, const char *const *name, const double *first,
               const double *second, int n, double x, double y, double w, double h);
void plot_begin(StrBuf *b, double w, double h);
void plot_end(StrBuf *b);
/* Text with the characters that mean something in XML written as entities. */
void plot_text(StrBuf *b, const char *s);
/* "#rrggbb" of one of many groups. */
const char *plot_colour(char out[8], int64_t group, int64_t ngroup);

/* Draws every metric of a run.jsonl into an SVG file, one panel each. */
Status plot_run(Arena *a, const char *title, const char *jsonl, const char *svg, Diags *d);

#endif
