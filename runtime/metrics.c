/* run.jsonl and progress; see metrics.h. */
#include "runtime/metrics.h"
#include "runtime/file.h"
#include "ir/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the recipe ---- */
static json_t *number(double v) {
  if (!isfinite(v)) return json_null();
  return v == floor(v) && fabs(v) < 0x1p53 ? json_integer((json_int_t)v) : json_real(v);
}

static json_t *settings(const Setting *set, int n);

static json_t *setting(const Setting *s) {
  json_t *j = NULL;
  switch (s->kind) {
  case SET_NUM: return number(s->num);
  case SET_STR: return json_string(s->str);
  case SET_RANGE: return json_pack("[o, o]", number(s->num), number(s->hi));
  case SET_LIST:
    j = json_array();
    for (int i = 0; i < s->nitem; i++) json_array_append_new(j, setting(&s->item[i]));
    return j;
  case SET_CALL:
    j = json_object();
    json_object_set_new(j, s->str, settings(s->item, s->nitem));
    return j;
  }
  bug("setting %s of unknown kind", s->name);
}

static json_t *settings(const Setting *set, int n) {
  json_t *j = json_object();
  for (int i = 0; i < n; i++) json_object_set_new(j, set[i].name, setting(&set[i]));
  return j;
}

char *recipe_json(const Recipe *r) {
  json_t *data = json_pack("{s:s, s:o}", "source", r->data.source ? r->data.source : "", "settings",
                           settings(r->data.set, r->data.nset));
  json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "model", r->model ? r->model : "", "batch",
                        (json_int_t)r->batch, "epochs", (json_int_t)r->epochs, "steps", (json_int_t)r->steps,
                        "seed", (json_int_t)r->seed, "data", data, "settings", settings(r->set, r->nset));
  char *s = j ? json_dumps(j, JSON_COMPACT) : NULL;
  if (!s) bug("the recipe holds text that is no UTF-8");
  json_decref(j);
  return s;
}

/* ---- run.jsonl ---- */
struct RunLog {
  int fd;
  char *path;
};

static Status write_line(RunLog *log, StrBuf *line, Diags *d) {
  size_t at = 0;
  while (at < line->n) {
    ssize_t k = write(log->fd, line->s + at, line->n - at);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) {
      diag_error(d, NULL, "cannot write %s: %s", log->path, strerror(errno));
      return ST_FILE;
    }
    at += (size_t)k;
  }
  return ST_OK;
}

static Status sync_failed(const RunLog *log, int err, Diags *d) {
  if (!err) return ST_OK;
  diag_error(d, NULL, "cannot write %s: %s", log->path, strerror(err));
  return ST_FILE;
}

Status runlog_sync(RunLog *log, Diags *d) {
  bool synced = !fsync(log->fd) || errno == EINVAL || errno == EROFS; /* a device or pipe */
  return sync_failed(log, synced ? 0 : errno, d);
}

/* Length of the part to keep: the recipe line and the complete records up to a step. -1: no log. */
static int64_t kept_length(const char *text, size_t n, int64_t step) {
  const char *p = text, *end = text + n, *eol;
  for (; p < end && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1) {
    json_error_t err;
    json_t *j = json_loadb(p, (size_t)(eol - p), 0, &err);
    bool first = p == text, keep;
    if (first) {
      keep = json_object_get(j, "recipe");
    } else {
      json_t *s = json_object_get(j, "step");
      if (!s) s = json_object_get(j, "resumed");
      if (!s) s = json_object_get(j, "run");
      keep = json_is_integer(s) && json_integer_value(s) <= step;
    }
    json_decref(j);
    if (!keep) return first ? -1 : p - text;
  }
  return p == text ? -1 : p - text;
}

static Status cut_back(RunLog *log, int64_t step, Diags *d) {
  Arena *a = arena_new();
  const char *wrong = NULL;
  Source *src = source_read(a, log->path);
  if (!src) {
    wrong = strerror(errno);
  } else {
    int64_t keep = kept_length(src->text, src->len, step);
    if (keep < 0) wrong = "its first line is not a recipe";
    else if (ftruncate(log->fd, keep)) wrong = strerror(errno);
  }
  if (wrong) diag_error(d, NULL, "cannot continue %s: %s", log->path, wrong);
  arena_free(a);
  return wrong ? ST_FILE : ST_OK;
}

static RunLog *cannot_open(const char *path, int err, Diags *d) {
  diag_error(d, NULL, "cannot write %s: %s", path, err == ELOOP ? "it is a symbolic link" : strerror(err));
  return NULL;
}

RunLog *runlog_open(const char *path, const char *recipe, int64_t resume_step, bool own, Diags *d) {
  struct stat st;
  bool there = !stat(path, &st);
  if (!there && errno != ENOENT)
    return cannot_open(path, errno, d); /* a log that is there is not begun anew */
  bool resume = resume_step >= 0 && there && S_ISREG(st.st_mode) && st.st_size > 0;
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (resume ? 0 : O_TRUNC) | (own ? O_NOFOLLOW : 0);
  int fd = open(path, flags, 0666);
  if (fd < 0) return cannot_open(path, errno, d);
  RunLog *log = xmalloc(sizeof *log, NULL);
  *log = (RunLog){fd, strcpy(xmalloc(strlen(path) + 1, NULL), path)};
  Status ok;
  if (resume) {
    ok = cut_back(log, resume_step, d);
  } else {
    StrBuf line = {0};
    sb_printf(&line, "{\"recipe\": ");
    sb_put(&line, recipe, strlen(recipe));
    sb_printf(&line, "}\n");
    ok = write_line(log, &line, d);
    sb_free(&line);
    if (!ok && own) ok = sync_failed(log, file_sync_folder_of(path), d);
  }
  if (ok == ST_OK) return log;
  runlog_close(log);
  return NULL;
}

/* Text that may be no UTF-8: other bytes become question marks. */
static json_t *text(const char *s) {
  json_t *j = json_string(s);
  if (j) return j;
  char *plain = strcpy(xmalloc(strlen(s) + 1, NULL), s);
  for (char *p = plain; *p; p++)
    if ((unsigned char)*p >= 0x80) *p = '?';
  j = json_string(plain);
  free(plain);
  return j;
}

Status runlog_header(RunLog *log, int64_t step, const RunHeader *h, Diags *d) {
  char when[32], host[64] = "";
  time_t now = time(NULL);
  struct tm utc;
  gethostname(host, sizeof host - 1);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  json_t *words = json_array();
  for (char **w = h->command; w && *w; w++) json_array_append_new(words, text(*w));
  json_t *j =
      json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "run", (json_int_t)step, "time",
                when, "version", JEPAC_VERSION, "command", words, "model", text(h->model), "data",
                text(h->data), "steps", (json_int_t)h->steps, "steps_per_epoch", (json_int_t)h->per_epoch,
                "samples", (json_int_t)h->samples, "seed", (json_int_t)h->seed, "host", text(host));
  char *s = j ? json_dumps(j, 0) : NULL;
  if (!s) bug("the header of a log could not be made");
  StrBuf line = {0};
  sb_printf(&line, "%s\n", s);
  Status st = write_line(log, &line, d);
  sb_free(&line);
  free(s);
  json_decref(j);
  return st;
}

Status runlog_resumed(RunLog *log, int64_t step, const char *changes, Diags *d) {
  StrBuf line = {0};
  sb_printf(&line, "{\"resumed\": %lld, \"changes\": %s}\n", (long long)step, changes);
  Status st = write_line(log, &line, d);
  sb_free(&line);
  return st;
}

static void put_number(StrBuf *b, double v) {
  if (!isfinite(v)) sb_printf(b, "null");
  else if (v == floor(v) && fabs(v) < 0x1p53) sb_printf(b, "%.0f", v);
  else sb_printf(b, "%.9g", v);
}

Status runlog_record(RunLog *log, int64_t step, const Metric *m, int n, Diags *d) {
  StrBuf line = {0};
  sb_printf(&line, "{\"step\": %lld", (long long)step);
  for (int i = 0; i < n; i++) {
    json_t *name = json_string(m[i].name);
    char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    if (!quoted) bug("metric name is no UTF-8");
    sb_printf(&line, ", %s: ", quoted);
    put_number(&line, m[i].value);
    free(quoted);
    json_decref(name);
  }
  sb_printf(&line, "}\n");
  Status st = write_line(log, &line, d);
  sb_free(&line);
  return st;
}

void runlog_close(RunLog *log) {
  if (!log) return;
  close(log->fd);
  free(log->path);
  free(log);
}

/* ---- progress ---- */
struct Progress {
  ProgressMode mode;
  FILE *f;
  int64_t first, total, batch;
  double start, drawn;
  int64_t mark_done; /* steps done at `mark`: the rate is taken over the last seconds */
  double mark, rate; /* steps a second, 0 when unknown */
  int64_t tenth;     /* tenths of the run already announced */
  int width;         /* of what stands on the bar's line */
};

Progress *progress_new(ProgressMode mode, FILE *f, int64_t first, int64_t total, int64_t batch) {
  Progress *p = xcalloc(1, sizeof *p, NULL);
  const char *term = getenv("TERM");
  int fd = fileno(f); /* none: the program's own stream (cli/printing.c) */
  if (mode == PROGRESS_AUTO)
    mode =
        isatty(fd < 0 ? STDERR_FILENO : fd) && term && strcmp(term, "dumb") ? PROGRESS_BAR : PROGRESS_PLAIN;
  *p = (Progress){
      .mode = mode, .f = f, .first = first, .total = total, .batch = batch, .start = -1, .mark_done = first};
  return p;
}

/* "1:02:03" or "2:03". */
static void put_time(StrBuf *b, double seconds) {
  long long s = seconds < 0 ? 0 : (long long)(seconds + 0.5);
  if (s >= 3600) sb_printf(b, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  else sb_printf(b, "%lld:%02lld", s / 60, s % 60);
}

static void put_facts(const Progress *p, StrBuf *b, double now, int64_t done, double loss) {
  sb_printf(b, "step %lld/%lld  loss %.5g", (long long)done, (long long)p->total, loss);
  if (p->rate > 0) {
    sb_printf(b, "  %.0f images/s  %s ", p->rate * (double)p->batch, done < p->total ? "left" : "took");
    put_time(b, done < p->total ? (double)(p->total - done) / p->rate : now - p->start);
  }
}

static void draw_bar(Progress *p, double now, int64_t done, double loss) {
  enum { CELLS = 24 };
  StrBuf b = {0};
  int full = p->total > 0 ? (int)(done * CELLS / p->total) : CELLS;
  sb_printf(&b, "[");
  for (int i = 0; i < CELLS; i++) sb_put(&b, i < full ? "#" : "-", 1);
  sb_printf(&b, "] %3d%%  ", p->total > 0 ? (int)(done * 100 / p->total) : 100);
  put_facts(p, &b, now, done, loss);
  int width = (int)b.n;
  fprintf(p->f, "\r%s%*s", b.s, p->width > width ? p->width - width : 0, "");
  fflush(p->f);
  p->width = width;
  sb_free(&b);
}

void progress_update_at(Progress *p, double now, int64_t done, double loss) {
  if (p->mode == PROGRESS_NONE) return;
  if (p->start < 0) { /* the first step includes warming up: it does not count in the rate */
    p->start = p->mark = p->drawn = now;
    p->mark_done = done;
  }
  int64_t span = p->total - p->first, tenth = span > 0 ? (done - p->first) * 10 / span : 10;
  bool last = done >= p->total;
  double pause = p->mode == PROGRESS_BAR ? 0.1 : 2.0;
  bool due =
      now - p->drawn >= pause || (p->mode == PROGRESS_PLAIN && tenth > p->tenth && now - p->drawn >= 0.5);
  if (!due && !last) return;
  if (now > p->mark && done > p->mark_done) {
    double rate = (double)(done - p->mark_done) / (now - p->mark);
    p->rate = p->rate > 0 ? 0.7 * p->rate + 0.3 * rate : rate;
  }
  if (now - p->mark >= 1) {
    p->mark = now;
    p->mark_done = done;
  }
  p->drawn = now;
  p->tenth = tenth;
  if (p->mode == PROGRESS_BAR) {
    draw_bar(p, now, done, loss);
    return;
  }
  StrBuf b = {0};
  put_facts(p, &b, now, done, loss);
  fprintf(p->f, "%s\n", b.s);
  fflush(p->f);
  sb_free(&b);
}

void progress_update(Progress *p, int64_t done, double loss) {
  progress_update_at(p, now_seconds(), done, loss);
}

void progress_pause(Progress *p) {
  if (p->width) fputc('\n', p->f);
  p->width = 0;
}

void progress_free(Progress *p) {
  if (!p) return;
  progress_pause(p);
  free(p);
}

int64_t peak_memory(void) {
  struct rusage u;
  return getrusage(RUSAGE_SELF, &u) ? 0 : (int64_t)u.ru_maxrss * 1024;
}
