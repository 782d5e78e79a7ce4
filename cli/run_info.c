#define _GNU_SOURCE /* strptime */
#include "cli/run_info.h"
#include "eval/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 4 };

/* ---- settings ---- */
typedef struct {
  Cli *c;
  RunInfo *r;
} Into;

static void take_setting(void *ctx, const char *path, const char *value) {
  RunSetting s = {path, value};
  vec_push(((Into *)ctx)->c->arena, &((Into *)ctx)->r->set, s);
}

const RunSetting *run_setting(const RunInfo *r, const char *path) {
  for (int i = 0; i < r->set.n; i++)
    if (!strcmp(r->set.v[i].path, path)) return &r->set.v[i];
  return NULL;
}

static void set(Cli *c, RunInfo *r, const char *path, const char *value) {
  for (int i = 0; i < r->set.n; i++)
    if (!strcmp(r->set.v[i].path, path)) {
      r->set.v[i].value = value;
      return;
    }
  RunSetting s = {path, value};
  vec_push(c->arena, &r->set, s);
}

/* ---- curves ---- */
const Series *run_curve(const RunInfo *r, const char *name) {
  for (int i = 0; i < r->ncurve; i++)
    if (!strcmp(r->curve[i].name, name)) return &r->curve[i];
  return NULL;
}

double series_last(const Series *s) {
  for (int i = s ? s->n - 1 : -1; i >= 0; i--)
    if (isfinite(s->y[i])) return s->y[i];
  return NAN;
}

double series_best(const Series *s, bool highest) {
  double best = NAN;
  for (int i = 0; s && i < s->n; i++)
    if (isfinite(s->y[i]) && (isnan(best) || (highest ? s->y[i] > best : s->y[i] < best))) best = s->y[i];
  return best;
}

/* ---- one run ---- */
static void take_recipe(Cli *c, RunInfo *r, json_t *recipe) {
  json_t *settings = json_object_get(recipe, "settings"), *best = json_object_get(settings, "best");
  static const char *const own[] = {"batch", "epochs", "steps"};
  settings_each(c->arena, settings, take_setting, &(Into){c, r});
  for (int i = 0; i < 3; i++) {
    json_t *v = json_object_get(recipe, own[i]);
    if (json_integer_value(v) > 0) set(c, r, own[i], settings_text(c->arena, v));
  }
  const char *model = json_string_value(json_object_get(recipe, "model"));
  r->model = model ? arena_strdup(c->arena, model) : "?";
  const char *metric = "loss", *key;
  json_t *call;
  json_object_foreach(best, key, call) {
    const char *m = json_string_value(json_object_get(call, "metric"));
    if (m) metric = m;
    r->highest = !strcmp(key, "highest");
  }
  r->best = arena_printf(c->arena, "val.%s", metric);
}

/* Of the words of its command: what changes its states and is no setting. */
static void take_command(Cli *c, RunInfo *r, const json_t *words) {
  static const char *const names[] = {"--params", "--precision"};
  for (size_t i = 0; i < json_array_size(words); i++) {
    const char *word = json_string_value(json_array_get(words, i)),
               *value = json_string_value(json_array_get(words, i + 1));
    for (int k = 0; word && k < 2; k++) {
      size_t n = strlen(names[k]);
      if (strncmp(word, names[k], n) || (word[n] && word[n] != '=')) continue;
      if (word[n]) value = word + n + 1;
      if (value) set(c, r, names[k], arena_strdup(c->arena, value));
    }
  }
}

/* Of each process of a run; those that differ follow each other. */
static void take_path(Cli *c, RunInfo *r, const char *name, const char *path) {
  const RunSetting *s = run_setting(r, name);
  size_t n = path ? strlen(path) : 0, have = s ? strlen(s->value) : 0;
  if (!n || (have >= n && !strcmp(s->value + have - n, path))) return;
  set(c, r, name, s ? arena_printf(c->arena, "%s, then %s", s->value, path) : arena_strdup(c->arena, path));
}

static void take_header(Cli *c, RunInfo *r, json_t *h) {
  const char *when = json_string_value(json_object_get(h, "time")),
             *host = json_string_value(json_object_get(h, "host"));
  struct tm utc = {0};
  if (when && !r->time) {
    r->time = arena_strdup(c->arena, when);
    if (strptime(when, "%Y-%m-%dT%H:%M:%SZ", &utc)) r->started = (double)timegm(&utc);
  }
  if (host) r->host = arena_strdup(c->arena, host);
  r->steps = json_integer_value(json_object_get(h, "steps"));
  r->per_epoch = json_integer_value(json_object_get(h, "steps_per_epoch"));
  take_path(c, r, "--data", json_string_value(json_object_get(h, "data")));
  take_path(c, r, "model file", json_string_value(json_object_get(h, "model")));
  take_command(c, r, json_object_get(h, "command"));
  json_t *seed = json_object_get(h, "seed");
  if (seed) set(c, r, "seed", settings_text(c->arena, seed));
}

static bool is_locked(Cli *c, const char *folder) {
  int fd = open(arena_printf(c->arena, "%s/lock", folder), O_RDONLY | O_CLOEXEC);
  bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  return locked;
}

/* {"optimizer.adamw.lr": ["0.001", "0.003"], ...} */
static void take_changes(Cli *c, RunInfo *r, json_t *changes) {
  const char *path;
  json_t *v;
  json_object_foreach(changes, path, v) {
    const char *now = json_string_value(json_array_get(v, 1)), *old = json_string_value(json_array_get(v, 0));
    const RunSetting *s = run_setting(r, path);
    if (now && old && strcmp(path, "plan") && strcmp(path, "length") && strcmp(path, "--data"))
      set(c, r, arena_strdup(c->arena, path), arena_printf(c->arena, "%s, then %s", s ? s->value : old, now));
  }
}

/* NULL, or what is wrong with the log. */
static const char *read_run(Cli *c, const char *folder, RunInfo *r) {
  const char *path = arena_printf(c->arena, "%s/run.jsonl", folder);
  Source *src = source_read(c->arena, path);
  if (!src) return arena_printf(c->arena, "cannot read %s: %s", path, strerror(errno));
  *r = (RunInfo){.folder = folder, .name = folder, .running = is_locked(c, folder)};
  static const char header[] = "{\"run\":", resumed[] = "{\"resumed\":";
  bool first = true;
  for (const char *p = src->text, *end; *p; p = *end ? end + 1 : end, first = false) {
    end = p + strcspn(p, "\n");
    if (!first && strncmp(p, header, sizeof header - 1) && strncmp(p, resumed, sizeof resumed - 1))
      continue; /* figures: plot_log reads them */
    json_t *o = json_loadb(p, (size_t)(end - p), 0, NULL), *recipe = json_object_get(o, "recipe");
    if (first && recipe) take_recipe(c, r, recipe);
    if (json_object_get(o, "run")) take_header(c, r, o);
    take_changes(c, r, json_object_get(o, "changes"));
    json_decref(o);
    if (first && !recipe)
      return arena_printf(c->arena, "%s is no log of a run: its first line is no recipe", path);
  }
  if (first) return arena_printf(c->arena, "%s is empty", path);
  r->curve = plot_log(c->arena, src, &r->ncurve);
  for (int i = 0; i < r->ncurve; i++)
    for (int k = 0; k < r->curve[i].n; k++) r->step = max64(r->step, (int64_t)r->curve[i].x[k]);
  if (!run_curve(r, r->best)) r->best = NULL;
  return NULL;
}

/* ---- many ---- */
static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef VEC(const char *) Paths;

static void search(Cli *c, const char *folder, int depth, Paths *out) {
  if (!access(arena_printf(c->arena, "%s/run.jsonl", folder), F_OK)) {
    vec_push(c->arena, out, folder);
    return;
  }
  DIR *dir = depth ? opendir(folder) : NULL;
  Paths inner = {0};
  for (struct dirent *e; dir && (e = readdir(dir));) {
    struct stat st;
    const char *path = arena_printf(c->arena, "%s/%s", folder, e->d_name);
    if (e->d_name[0] != '.' && !stat(path, &st) && S_ISDIR(st.st_mode)) vec_push(c->arena, &inner, path);
  }
  if (dir) closedir(dir);
  if (inner.n) qsort((void *)inner.v, (size_t)inner.n, sizeof *inner.v, by_text);
  for (int i = 0; i < inner.n; i++) search(c, inner.v[i], depth - 1, out);
}

/* Without what all folders begin with, up to a slash. */
static void shorten(Cli *c, RunInfos *runs) {
  size_t common = runs->n > 1 ? strlen(runs->v[0].folder) : 0;
  for (int i = 1; i < runs->n; i++) {
    size_t k = 0;
    while (k < common && runs->v[0].folder[k] == runs->v[i].folder[k]) k++;
    common = k;
  }
  while (common && runs->v[0].folder[common - 1] != '/') common--;
  for (int i = 0; i < runs->n; i++) {
    const char *name = runs->v[i].folder + common, *slash = runs->n == 1 ? strrchr(name, '/') : NULL;
    runs->v[i].name = arena_strdup(c->arena, slash && slash[1] ? slash + 1 : name);
  }
}

Status runs_find(Cli *c, char *const *path, int n, RunInfos *out) {
  for (int i = 0; i < n; i++) {
    Paths found = {0};
    char *clean = arena_strdup(c->arena, path[i]);
    for (size_t k = strlen(clean); k > 1 && clean[k - 1] == '/'; k--) clean[k - 1] = 0;
    search(c, clean, DEPTH, &found);
    if (!found.n) return cli_fail(c, ST_FILE, "%s is no run and holds none: there is no run.jsonl", clean);
    for (int k = 0; k < found.n; k++) {
      RunInfo r;
      bool twice = false;
      for (int m = 0; m < out->n; m++) twice |= !strcmp(out->v[m].folder, found.v[k]);
      if (twice) continue;
      const char *wrong = read_run(c, found.v[k], &r);
      if (wrong && !strcmp(found.v[k], clean)) return cli_fail(c, ST_FILE, "%s", wrong);
      if (wrong) diag_warning(c->diags, NULL, "%s: passed over", wrong);
      else vec_push(c->arena, out, r);
    }
  }
  if (!out->n) return cli_fail(c, ST_FILE, "there is no run that can be read");
  shorten(c, out);
  return ST_OK;
}
