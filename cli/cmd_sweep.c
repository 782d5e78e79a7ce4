/* jepac sweep: a run for each combination of settings, several side by side, each a process of its own that is
   `jepac train --resume`; so a sweep that was interrupted goes on where it stopped. It ends with the comparison. */
#define _GNU_SOURCE
#include "cli/run_info.h"
#include "runtime/checkpoint.h"
#include "runtime/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_RUNS = 1000, MAX_JOBS = 64 };

typedef struct {
  const char *name; /* of a setting */
  VEC(const char *) value;
} Axis;

typedef struct {
  const char *folder, *log;
  char **argv;
  pid_t pid;
  int status; /* exit code, -1: not ended */
} Job;

static volatile sig_atomic_t stopped;
static void on_signal(int sig) { stopped = sig; }

/* ---- the combinations ---- */
static bool whole_range(const char *s, long long *lo, long long *hi) {
  char *end;
  if (!isdigit((unsigned char)*s)) return false;
  *lo = strtoll(s, &end, 10);
  if (strncmp(end, "..", 2) || !isdigit((unsigned char)end[2])) return false;
  *hi = strtoll(end + 2, &end, 10);
  return !*end;
}

/* "1e-3,3e-3" by its commas outside of brackets; "1..3" of whole numbers is 1, 2, 3. */
static Status split_values(Cli *c, const NameValue *s, Axis *out) {
  int depth = 0;
  const char *from = s->value;
  bool quoted = false;
  out->name = s->name;
  for (const char *p = s->value;; p++) {
    if (*p == '"') quoted = !quoted;
    if (!quoted && *p && strchr("([{", *p)) depth++;
    if (!quoted && *p && strchr(")]}", *p)) depth--;
    if (*p && (*p != ',' || depth || quoted)) continue;
    const char *end = p;
    while (from < p && *from == ' ') from++;
    while (end > from && end[-1] == ' ') end--;
    const char *one = arena_strndup(c->arena, from, (size_t)(end - from));
    long long lo, hi;
    if (!*one) return cli_fail(c, ST_USAGE, "--set %s=%s: a value is empty", s->name, s->value);
    if (whole_range(one, &lo, &hi)) {
      if (hi < lo || hi - lo >= MAX_RUNS)
        return cli_fail(c, ST_USAGE, "--set %s=%s: %s is no range of 1 to %d numbers", s->name, s->value, one,
                        MAX_RUNS);
      for (; lo <= hi; lo++) vec_push(c->arena, &out->value, arena_printf(c->arena, "%lld", lo));
    } else {
      vec_push(c->arena, &out->value, one);
    }
    from = p + 1;
    if (!*p) return ST_OK;
  }
}

static const char *folder_name(Cli *c, const Axis *axis, int n, const int *at) {
  StrBuf b = {0};
  for (int i = 0; i < n; i++)
    if (axis[i].value.n > 1) sb_printf(&b, "%s%s=%s", b.n ? "," : "", axis[i].name, axis[i].value.v[at[i]]);
  if (!b.n) sb_printf(&b, "run");
  for (size_t i = 0; i < b.n; i++)
    if (!isalnum((unsigned char)b.s[i]) && !strchr(".,=-_+", b.s[i])) b.s[i] = '_';
  const char *name = arena_strndup(c->arena, b.s, b.n < 120 ? b.n : 120);
  sb_free(&b);
  return name;
}

/* ---- the processes ---- */
static void add_option(Cli *c, Job *j, int *n, const char *name, const char *value) {
  if (!value) return;
  j->argv[(*n)++] = arena_printf(c->arena, "--%s", name);
  if (*value) j->argv[(*n)++] = arena_strdup(c->arena, value);
}

static const char *count_text(Cli *c, int64_t v) {
  return v < 0 ? NULL : arena_printf(c->arena, "%lld", (long long)v);
}

static void make_command(Cli *c, Job *j, const Axis *axis, int n, const int *at, int64_t threads) {
  int k = 0;
  j->argv = NEWN(c->arena, char *, 40 + 2 * n);
  j->argv[k++] = "jepac";
  j->argv[k++] = "train";
  j->argv[k++] = arena_strdup(c->arena, c->opt.arg[0]);
  for (int i = 0; i < n; i++)
    add_option(c, j, &k, "set", arena_printf(c->arena, "%s=%s", axis[i].name, axis[i].value.v[at[i]]));
  add_option(c, j, &k, "out", j->folder);
  add_option(c, j, &k, "resume", "");
  add_option(c, j, &k, "data", OPT(c, data));
  const char *params = OPT(c, params), *missing = OPT(c, params_missing);
  bool begun = false; /* one that has a checkpoint goes on from it */
  if (!checkpoint_find(j->folder, &begun, diags_new(c->arena)) && !begun) {
    add_option(c, j, &k, "params", params);
    add_option(c, j, &k, "params-missing", missing);
  }
  add_option(c, j, &k, "epochs", count_text(c, OPT(c, epochs)));
  add_option(c, j, &k, "steps", count_text(c, OPT(c, steps)));
  add_option(c, j, &k, "precision", OPT(c, precision));
  if (OPT(c, tensorboard)) add_option(c, j, &k, "tensorboard", "");
  add_option(c, j, &k, "threads", count_text(c, threads));
  add_option(c, j, &k, "progress", "none");
}

static Status start(Cli *c, Job *j) {
  extern char **environ;
  posix_spawn_file_actions_t a;
  posix_spawn_file_actions_init(&a);
  posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&a, 1, j->log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  posix_spawn_file_actions_adddup2(&a, 1, 2);
  int err = posix_spawn(&j->pid, "/proc/self/exe", &a, NULL, j->argv, environ);
  posix_spawn_file_actions_destroy(&a);
  return err ? cli_fail(c, ST_BUDGET, "cannot start %s: %s", j->folder, strerror(err)) : ST_OK;
}

static void ended(Cli *c, Job *j, int status, int done, int n) {
  j->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!OPT(c, quiet))
    fprintf(stderr, "%d of %d  %s%s\n", done, n, j->folder,
            j->status ? arena_printf(c->arena, ": exit %d, see %s", j->status, j->log) : "");
}

/* At most `most` at a time, in order. After a signal, which the processes had too, none is started any more. */
static Status run_all(Cli *c, Job *job, int n, int64_t most) {
  int next = 0, running = 0, done = 0;
  struct sigaction act = {.sa_handler = on_signal};
  sigemptyset(&act.sa_mask);
  sigaction(SIGINT, &act, NULL);
  sigaction(SIGTERM, &act, NULL);
  while (running || (next < n && !stopped)) {
    if (next < n && running < most && !stopped) {
      Status s = start(c, &job[next]);
      if (s) return s;
      next++;
      running++;
      continue;
    }
    int status;
    pid_t pid = wait(&status);
    if (pid < 0 && errno == EINTR) {
      for (int i = 0; i < next; i++)
        if (stopped && job[i].status < 0)
          kill(job[i].pid, SIGTERM); /* ^C they had themselves, which does no harm */
      continue;
    }
    if (pid < 0) break;
    for (int i = 0; i < next; i++)
      if (job[i].pid == pid && job[i].status < 0) {
        running--;
        ended(c, &job[i], status, ++done, n);
      }
  }
  return ST_OK;
}

static const char *sweep_folder(Cli *c) {
  if (OPT(c, out)) return OPT(c, out);
  const char *name = strrchr(c->opt.arg[0], '/');
  name = name ? name + 1 : c->opt.arg[0];
  return arena_printf(c->arena, "sweeps/%.*s", (int)strcspn(name, "."), name);
}

/* A combination that the model file does not allow is said before any run begins. */
static Status check(Cli *c, const Axis *axis, int n, const int *at) {
  Model *m;
  for (int i = 0; i < n; i++) c->opt.set[i] = (NameValue){axis[i].name, axis[i].value.v[at[i]]};
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  if (!s && (!frontend_recipe(m, c->diags) || !frontend_train_step(m, c->diags, true))) s = ST_MODEL;
  if (s) diag_note(c->diags, NULL, "with the settings %s", folder_name(c, axis, n, at));
  return s;
}

Status cmd_sweep(Cli *c) {
  int n = OPT(c, nset), total = 1;
  int64_t jobs = OPT(c, jobs) > 0 ? OPT(c, jobs) : 1, cpus = session_cpus(), threads = OPT(c, threads);
  const char *out = sweep_folder(c);
  Axis *axis = NEWN(c->arena, Axis, n + 1);
  for (int i = 0; i < n; i++) {
    Status s = split_values(c, &OPT(c, set)[i], &axis[i]);
    if (s) return s;
    for (int k = 0; k < i; k++)
      if (!strcmp(axis[k].name, axis[i].name))
        return cli_fail(c, ST_USAGE, "--set %s is given twice", axis[i].name);
    if (axis[i].value.n > MAX_RUNS / total)
      return cli_fail(c, ST_USAGE, "a sweep has at most %d runs", MAX_RUNS);
    total *= axis[i].value.n;
  }
  if (jobs > MAX_JOBS) return cli_fail(c, ST_USAGE, "--jobs is at most %d", MAX_JOBS);
  if (threads < 0) threads = cpus / jobs > 1 ? cpus / jobs : 1;
  Job *job = NEWN(c->arena, Job, total);
  int *at = NEWN(c->arena, int, n + 1);
  for (int r = 0; r < total; r++) {
    for (int i = n - 1, rest = r; i >= 0; rest /= axis[i].value.n, i--) at[i] = rest % axis[i].value.n;
    Status s = check(c, axis, n, at);
    if (s) return s;
    const char *name = folder_name(c, axis, n, at);
    job[r] = (Job){.folder = arena_printf(c->arena, "%s/%s", out, name), .status = -1};
    for (int k = 0; k < r; k++)
      if (!strcmp(job[k].folder, job[r].folder))
        job[r].folder = arena_printf(c->arena, "%s/%s-%d", out, name, r);
    job[r].log = arena_printf(c->arena, "%s.log", job[r].folder);
    make_command(c, &job[r], axis, n, at, threads);
  }
  Status s = file_make_folder(out, c->diags);
  if (!s) s = run_all(c, job, total, jobs);
  if (s) return s;
  if (stopped)
    return cli_fail(c, (Status)(128 + stopped), "stopped; the same command goes on with the sweep");
  RunInfos runs = {0};
  int failed = 0;
  for (int r = 0; r < total; r++) {
    char *path = arena_strdup(c->arena, job[r].folder);
    if (job[r].status && !failed++) s = (Status)job[r].status;
    if (!access(arena_printf(c->arena, "%s/run.jsonl", path), F_OK)) {
      Status bad = runs_find(c, &path, 1, &runs);
      if (bad) return bad;
    }
  }
  if (failed)
    cli_fail(c, s, "%d of %d runs failed; the first with exit %d: their messages are in %s/*.log", failed,
             total, (int)s, out);
  CompareOutput o = {.title = out, .html = arena_printf(c->arena, "%s/compare.html", out)};
  if (!runs.n) return s;
  Status compared = runs_compare(c, &runs, &o);
  if (!compared) printf("\npicture: %s\n", o.html);
  return s ? s : compared;
}
