#include "eval/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "curves.inc"

enum { PARTS = 500 }; /* of a curve, more than a panel has pixels */

static void put_point(json_t *x, json_t *y, const Series *s, int k) {
  json_array_append_new(x, s->x[k] == floor(s->x[k]) ? json_integer((json_int_t)s->x[k]) : json_real(s->x[k]));
  json_array_append_new(y, isfinite(s->y[k]) ? json_real(s->y[k]) : json_null());
}

/* The least and the greatest of the points [k, end), in their order; of points without a number the first. */
static void put_extremes(json_t *x, json_t *y, const Series *s, int k, int end) {
  int low = -1, high = -1;
  for (int i = k; i < end; i++) {
    if (!isfinite(s->y[i])) continue;
    if (low < 0 || s->y[i] < s->y[low]) low = i;
    if (high < 0 || s->y[i] > s->y[high]) high = i;
  }
  if (low < 0) low = high = k;
  put_point(x, y, s, low < high ? low : high);
  if (low != high) put_point(x, y, s, low < high ? high : low);
}

json_t *curves_json(const Series *s, int n) {
  json_t *all = json_object();
  for (int i = 0; i < n; i++) {
    json_t *x = json_array(), *y = json_array();
    int count = s[i].n, part = count > 2 * PARTS ? (count + PARTS - 1) / PARTS : 1;
    for (int k = 0; k < count; k += part) put_extremes(x, y, &s[i], k, k + part < count ? k + part : count);
    json_object_set_new(all, s[i].name, json_pack("{s:o, s:o}", "x", x, "y", y));
  }
  return all;
}

bool curves_put(StrBuf *b, const json_t *data) {
  static const char hole[] = "@DATA@";
  char *text = json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(6));
  if (!text) return false;
  const char *at = strstr(curves_page, hole);
  sb_put(b, curves_page, (size_t)(at - curves_page));
  for (const char *p = text; *p;) { /* no "</script>" inside */
    size_t n = strcspn(p, "<");
    sb_put(b, p, n);
    p += n;
    if (*p) sb_printf(b, "\\u003c"), p++;
  }
  at += sizeof hole - 1;
  sb_put(b, at, strlen(at));
  free(text);
  return true;
}
