/* The recipes are compared as the JSON texts that checkpoints carry: settings a later version adds or drops are
   differences like others. */
#include "cli/resume.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *path, *old, *now; /* values as JSON, in one line */
  const char *means;            /* what to say about it; NULL: both values */
} Change;
typedef VEC(Change) Changes;

static const char *json_text(Arena *a, json_t *j) {
  char *s = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
  const char *text = s ? arena_strdup(a, s) : NULL;
  free(s);
  return text;
}

static const char *one_line(Arena *a, const char *s) {
  char *t = arena_strdup(a, s && *s ? s : "nothing");
  size_t n = strlen(t);
  if (n && t[n - 1] == '\n') t[n - 1] = 0;
  for (char *p = t; *p; p++)
    if (*p == '\n') *p = ' ';
  return t;
}

static void add(Arena *a, Changes *out, const char *path, const char *old, const char *now,
                const char *means) {
  Change change = {path, one_line(a, old), one_line(a, now), means};
  vec_push(a, out, change);
}

/* How long to train, which is compared as steps, the seed, which the checkpoint has, and what validation looks at. */
static bool changes_no_step(const char *path) {
  static const char *const names[] = {"epochs", "steps", "seed", "validate", "best", "patience"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strncmp(path, names[i], strlen(names[i])) && strchr(".", path[strlen(names[i])])) return true;
  return false;
}

static void compare(Arena *a, const char *path, json_t *old, json_t *now, Changes *out) {
  if (json_is_object(old) && json_is_object(now)) {
    const char *key;
    json_t *v;
    json_object_foreach(old, key, v)
        compare(a, arena_printf(a, "%s%s%s", path, *path ? "." : "", key), v, json_object_get(now, key), out);
    json_object_foreach(now, key, v) if (!json_object_get(old, key))
        compare(a, arena_printf(a, "%s%s%s", path, *path ? "." : "", key), NULL, v, out);
    return;
  }
  if (changes_no_step(path) || (old && now && json_equal(old, now))) return;
  add(a, out, path, json_text(a, old), json_text(a, now), NULL);
}

static const char *as_json(Arena *a, const Changes *ch) {
  json_t *j = json_object();
  for (int i = 0; i < ch->n; i++)
    json_object_set_new(j, ch->v[i].path, json_pack("[s, s]", ch->v[i].old, ch->v[i].now));
  const char *text = json_text(a, j);
  json_decref(j);
  return text;
}

Status resume_compare(Cli *c, const char *folder, const CheckpointInfo *old, const CheckpointInfo *now,
                      bool schedules, const char **log) {
  Arena *a = c->arena;
  bool accept = OPT(c, accept_changes);
  Changes ch = {0};
  json_error_t err;
  json_t *x = json_loads(old->recipe, 0, &err), *y = json_loads(now->recipe, 0, &err);
  if (x && y) compare(a, "", json_object_get(x, "settings"), json_object_get(y, "settings"), &ch);
  json_decref(x);
  json_decref(y);
  if (strcmp(old->data, now->data)) add(a, &ch, "--data", old->data, now->data, NULL);
  if (old->plan != now->plan) {
    bool edited = old->source && old->source != now->source;
    if (!ch.n && !edited && strcmp(old->text, now->text)) /* a setting of the model shows in no recipe */
      add(a, &ch, "--set", old->text, now->text, NULL);
    add(a, &ch, "plan", arena_printf(a, "%016" PRIx64, old->plan), arena_printf(a, "%016" PRIx64, now->plan),
        edited ? "the model file or one that it uses was edited: steps have other bits"
        : ch.n ? "" /* which explains it */
               : "it was compiled differently (another model, machine or jepac): steps have other bits");
  }
  bool differs = ch.n, stretched = schedules && old->total > 0 && old->total != now->total;
  if (stretched) {
    const char *from = arena_printf(a, "%lld", (long long)old->total),
               *to = arena_printf(a, "%lld", (long long)now->total);
    add(a, &ch, "length", from, to,
        arena_printf(a, "length: %s, now %s steps: schedules that depend on it are stretched", from, to));
  }
  if (differs && !accept)
    cli_fail(c, ST_USAGE, "%s was trained otherwise up to step %lld", folder, (long long)old->step);
  else if (ch.n)
    diag_warning(c->diags, NULL, "%s goes on from step %lld with changes", folder, (long long)old->step);
  for (int i = 0; i < ch.n; i++)
    if (ch.v[i].means && *ch.v[i].means) diag_note(c->diags, NULL, "%s", ch.v[i].means);
    else if (!ch.v[i].means)
      diag_note(c->diags, NULL, "%s: %s, now %s", ch.v[i].path, ch.v[i].old, ch.v[i].now);
  *log = ch.n ? as_json(a, &ch) : NULL;
  if (!differs || accept) return ST_OK;
  diag_note(c->diags, NULL, "--accept-changes goes on all the same, and the log will say so");
  return ST_USAGE;
}
