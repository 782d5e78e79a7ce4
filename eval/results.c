/* Figures: into eval.json, and as lines of the table for people. */
#include "eval/parts.h"

#include <math.h>
#include <stdlib.h>

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

json_t *eval_numbers(const double *value, int n) {
  json_t *list = json_array();
  for (int i = 0; i < n; i++)
    json_array_append_new(list, value[i] == floor(value[i]) && fabs(value[i]) < 1e15
                                    ? json_integer((json_int_t)value[i])
                                    : number(value[i]));
  return list;
}

void eval_set(Eval *e, const char *key, double value) { json_object_set_new(e->json, key, number(value)); }

void eval_set_text(Eval *e, const char *key, const char *value) {
  json_object_set_new(e->json, key, json_string(value));
}

void eval_set_list(Eval *e, const char *key, const double *value, int n) {
  json_object_set_new(e->json, key, eval_numbers(value, n));
}

void eval_print(const Eval *e, const char *fmt, ...) {
  if (!e->opt->print) return;
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  e->opt->print(e->opt->ctx, text);
}

void eval_sizes(Eval *e, const char *protocol, const char *what, int64_t train, int64_t test, int64_t epochs,
                const char *more) {
  json_t *sizes = json_object_get(e->json, "sizes"), *o = json_object();
  if (!sizes) json_object_set_new(e->json, "sizes", sizes = json_object());
  json_object_set_new(sizes, protocol, o);
  json_object_set_new(o, "of", json_string(what));
  json_object_set_new(o, "test", json_integer(test));
  if (!train) {
    eval_print(e, "  on %lld test %s%s\n", (long long)test, what, more ? more : "");
    return;
  }
  json_object_set_new(o, "train", json_integer(train));
  json_object_set_new(o, "epochs", json_integer(epochs));
  const char *how = epochs ? arena_printf(e->arena, "%lld epochs", (long long)epochs) : "ridge regressions";
  eval_print(e, "  on %lld training and %lld test %s, %s%s\n", (long long)train, (long long)test, what, how,
             more ? more : "");
}

void eval_heads(const Eval *e, const char *label, const char *const *head, int n) {
  eval_print(e, "\n%-34s", label);
  for (int i = 0; i < n; i++) eval_print(e, " %9s", head[i]);
  eval_print(e, "\n");
}

void eval_row(const Eval *e, const char *label, const char *format, double scale, const double *value,
              int n) {
  eval_print(e, "%-34s", label);
  for (int i = 0; i < n; i++) {
    char text[32] = "-";
    if (isfinite(value[i])) snprintf(text, sizeof text, format, value[i] * scale);
    eval_print(e, " %9s", text);
  }
  eval_print(e, "\n");
}

/* Matrices do not fill the screen. */
void eval_json(const Eval *e, StrBuf *b) {
  const char *key, *comma = "{\n";
  json_t *v;
  json_object_foreach(e->json, key, v) {
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    sb_printf(b, "%s  \"%s\": %s", comma, key, text);
    free(text);
    comma = ",\n";
  }
  sb_printf(b, "\n}\n");
}

