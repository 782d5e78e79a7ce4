/* Curves for a browser: log scale, smoothing, steps or epochs, values under the mouse (curves.html, compiled in). One such part
   a page; jepac compare and report.html have it. */
#ifndef JEPAC_EVAL_CURVES_H
#define JEPAC_EVAL_CURVES_H

#include "eval/plot.h"

#include <jansson.h>

/* {NAME: {"x": [...], "y": [...]}, ...}: of more points than a panel can show only the extremes of each part */
json_t *curves_json(const Series *s, int n);
/* data: {"runs": [{"name", "per_epoch", "curves", "cells"}, ...], "columns": [{"name", "number"}, ...]}; with columns the page has
   an element `table` for them. False: a name is no UTF-8. */
bool curves_put(StrBuf *b, const json_t *data);

#endif
