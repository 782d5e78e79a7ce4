#include "eval/settings.h"

#include <stdlib.h>
#include <string.h>

const char *settings_text(Arena *a, const json_t *v) {
  char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
  const char *text = s ? arena_strdup(a, s) : "?";
  free(s);
  size_t n = strlen(text);
  return n >= 2 && *text == '"' ? arena_strndup(a, text + 1, n - 2) : text;
}

typedef struct {
  Arena *a;
  void (*take)(void *ctx, const char *path, const char *value);
  void *ctx;
} Walk;

static void walk(const Walk *w, const char *path, json_t *v) {
  const char *key;
  json_t *x;
  if (json_is_object(v) && json_object_size(v)) {
    json_object_foreach(v, key, x)
        walk(w, *path ? arena_printf(w->a, "%s.%s", path, key) : arena_strdup(w->a, key), x);
    return;
  }
  w->take(w->ctx, path, settings_text(w->a, v));
}

void settings_each(Arena *a, json_t *v, void (*take)(void *ctx, const char *path, const char *value), void *ctx) {
  walk(&(Walk){a, take, ctx}, "", v);
}
