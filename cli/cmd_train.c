/* jepac train: compiles the training step and repeats it. The loader prepares batches on a thread of its own;
   the loop below feeds them, watches for non-finite metrics, logs, and writes checkpoints so often that they
   cost about 2 % of the time. */
#include "cli/cli.h"
#include "cli/resume.h"
#include "cli/validation.h"
#include "eval/plot.h"
#include "lib/labels.h"
#include "lib/ranks.h"
#include "cli/trace.h"
#include "runtime/data/loader.h"
#include "runtime/events.h"
#include "runtime/metrics.h"
#include "runtime/run_folder.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 500, MAX_METRICS = 64, TRACED = 10 };

typedef struct {
  Cli *c;
  Model *model;
  const Recipe *recipe;
  const Graph *graph;                   /* of the step */
  const char *folder, *log_path, *data; /* data: --data, or that of the run resumed; NULL: none */
  char *recipe_text;
  Compiled k;
  Loader *loader;
  void **field;    /* where the loader puts each field of the data source; NULL: not used */
  float **watched; /* the values of the recipe's monitors */
  int64_t step, total, per_epoch, batches; /* optimizer steps; batches of one */
  CheckpointInfo info, old;                /* of this run, and of the checkpoint it goes on from */
  StFile *checkpoint;                      /* until its states are read; NULL: begins anew */
  Validator valid;
  SpreadStates *spread; /* of --shard optimizer, or NULL */
  bool due;             /* a checkpoint: all ranks know */
  bool say;             /* progress is shown */
  const char *changes;  /* against the run resumed, as JSON; NULL: none */
  bool writes;          /* this is rank 0, or alone */
  bool resumed;         /* rank 0 has a checkpoint */
  RunFolder lock;
  RunLog *log;
  EventFile *events; /* of --tensorboard, or NULL */
  Progress *progress;
  double saved_at, save_seconds, logged_at;
  int64_t logged_step;
  Trace *trace; /* of --profile, while it records */
  int traced;
} Train;

static volatile sig_atomic_t stop_signal; /* set by the handler only */

/* A second ^C ends the process at once. Schedulers may well send SIGTERM twice. */
static void on_signal(int sig) {
  if (sig == SIGINT && stop_signal) {
    signal(sig, SIG_DFL);
    raise(sig);
  }
  stop_signal = sig;
}

static const struct {
  int number;
  const char *name;
} signals[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}};
enum { SIGNALS = sizeof signals / sizeof *signals };

/* What the program that started this one ignores (nohup) stays ignored. */
static void catch_signals(void) {
  struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
  sigemptyset(&a.sa_mask);
  for (int i = 0; i < SIGNALS; i++)
    if (!sigaction(signals[i].number, NULL, &old) && old.sa_handler != SIG_IGN)
      sigaction(signals[i].number, &a, NULL);
}

static const char *signal_name(int number) {
  int i = 0;
  while (i < SIGNALS - 1 && signals[i].number != number) i++;
  return signals[i].name;
}

/* ---- setting up ---- */
static const char *run_folder(Cli *c) {
  if (OPT(c, out)) return OPT(c, out);
  const char *name = strrchr(c->opt.arg[0], '/');
  name = name ? name + 1 : c->opt.arg[0];
  const char *dot = strrchr(name, '.');
  return arena_printf(c->arena, "runs/%.*s", (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name)),
                      name);
}

static Status decide_length(Train *t) {
  int64_t steps = OPT(t->c, steps), epochs = OPT(t->c, epochs);
  t->batches = t->recipe->accumulate * t->recipe->parts;
  t->per_epoch = loader_steps_per_epoch(t->loader) / t->batches;
  if (t->per_epoch < 1)
    return cli_fail(t->c, ST_FILE, "the data has %lld samples, less than one step of %lld",
                    (long long)loader_size(t->loader), (long long)(t->recipe->batch * t->batches));
  t->total = steps >= 0             ? steps
             : epochs >= 0          ? epochs * t->per_epoch
             : t->recipe->steps > 0 ? t->recipe->steps
                                    : t->recipe->epochs * t->per_epoch;
  return ST_OK;
}

static void bind_tensors(Train *t) {
  Session *s = t->k.session;
  const DataSpec *data = &t->recipe->data;
  t->field = NEWN(t->c->arena, void *, data->nfield + 1);
  for (int i = 0; i < data->nfield; i++)
    tensors_find(s, PT_ARG, arena_printf(t->c->arena, "data.%s", data->field[i].name), &t->field[i]);
  t->watched = NEWN(t->c->arena, float *, t->recipe->nmonitor + 1);
  for (int i = 0; i < t->recipe->nmonitor; i++)
    tensors_find(s, PT_RESULT, arena_printf(t->c->arena, "monitor.%s", t->recipe->monitor[i].name),
                 (void **)&t->watched[i]);
}

/* --set pairs, one a line: with the model file's path all that eval needs to elaborate the same model. */
static const char *settings_text(Cli *c) {
  StrBuf b = {0};
  for (int i = 0; i < OPT(c, nset); i++) sb_printf(&b, "%s=%s\n", OPT(c, set)[i].name, OPT(c, set)[i].value);
  const char *s = arena_strdup(c->arena, b.s ? b.s : "");
  sb_free(&b);
  return s;
}

static const char *absolute(Cli *c, const char *path) {
  char *full = realpath(path, NULL);
  const char *s = full ? arena_strdup(c->arena, full) : path;
  free(full);
  return s;
}

/* ST_USAGE where the folder holds one. */
static Status holds_no_run(Cli *c, const char *folder) {
  bool found;
  Status s = checkpoint_find(folder, &found, c->diags);
  if (s || !found) return s;
  cli_fail(c, ST_USAGE, "%s already holds a run", folder);
  diag_note(c->diags, NULL, "--resume goes on with it; to begin anew remove it or choose another --out");
  return ST_USAGE;
}

static Status lock_folder(Train *t) {
  if (!t->writes) return ST_OK;
  return t->lock.fd < 0 ? run_folder_open(&t->lock, t->folder, t->c->diags) : ST_OK;
}

/* The seed of the run and its data: a resumed one has those of its checkpoint. One killed before its first checkpoint
   begins again. */
static Status find_seed(Train *t) {
  Cli *c = t->c;
  t->data = OPT(c, data);
  t->info.seed = cli_seed(c, t->recipe);
  if (!t->writes) return ST_OK; /* rank 0 says */
  if (!OPT(c, resume)) return ST_OK;
  bool found;
  Status s = checkpoint_find(t->folder, &found, c->diags);
  if (s || !found || (s = lock_folder(t))) return s; /* locked: nobody replaces what is read now */
  t->checkpoint = checkpoint_open(t->folder, &t->old, c->arena, c->diags);
  if (!t->checkpoint) return ST_FILE;
  if (OPT(c, seed) >= 0 && t->old.seed != (uint64_t)OPT(c, seed))
    return cli_fail(c, ST_USAGE, "%s was trained with --seed %llu", t->folder,
                    (unsigned long long)t->old.seed);
  t->info.seed = t->old.seed;
  if (!t->data && *t->old.data) t->data = t->old.data;
  if (!OPT(c, params)) return ST_OK;
  cli_fail(c, ST_USAGE, "--params begins a run, but %s goes on from its own checkpoint", t->folder);
  diag_note(c->diags, NULL, "leave --params out, or begin a run in another --out");
  return ST_USAGE;
}

/* --params: the states a run begins with; one that is resumed has those of its checkpoint. */
static Status given_states(Train *t) {
  Cli *c = t->c;
  if (!OPT(c, params)) return ST_OK;
  StFile *f = states_open(OPT(c, params), c->arena, c->diags);
  if (!f) return ST_FILE;
  Status s =
      states_start(cli_compiler(c, 0), t->model, t->graph, t->k.session, f, OPT(c, params_missing) != NULL);
  st_close(f);
  return s;
}

static Status start_states(Train *t) {
  Cli *c = t->c;
  t->info = (CheckpointInfo){.seed = t->info.seed,
                             .total = t->total,
                             .plan = t->k.plan->identity,
                             .source = frontend_text_hash(t->model),
                             .model = absolute(c, c->opt.arg[0]),
                             .recipe = t->recipe_text,
                             .data = t->data ? absolute(c, t->data) : "",
                             .text = settings_text(c)};
  compiled_init(&t->k, t->info.seed);
  if (!t->checkpoint) return t->resumed ? ST_OK : given_states(t);
  Status s = states_load(t->k.session, t->checkpoint, LOAD_ALL_STATES | LOAD_ALL_TENSORS, c->diags);
  bool schedules = tensors_find(t->k.session, PT_RUNTIME, "total_steps", NULL);
  if (!s) s = resume_compare(c, t->folder, &t->old, &t->info, schedules, &t->changes);
  if (!s) s = checkpoint_set_aside(t->folder, t->checkpoint, c->diags);
  t->step = t->old.step;
  st_close(t->checkpoint);
  t->checkpoint = NULL;
  t->info.best = t->old.best;
  t->info.best_step = t->old.best_step;
  t->info.since_best = t->old.since_best;
  return s;
}

/* ---- ranks: the first one reads and writes the run's folder ---- */
/* What rank 0 has found there. */
static void share_start(Train *t) {
  Cli *c = t->c;
  struct {
    uint64_t seed;
    int64_t step, resumed;
    char data[4096];
  } x = {t->info.seed, t->step, t->checkpoint || t->resumed, ""};
  if (!c->ranks) return;
  if (t->data) snprintf(x.data, sizeof x.data, "%s", t->data);
  ranks_share(c->ranks, &x, sizeof x);
  t->info.seed = x.seed, t->step = x.step, t->resumed = x.resumed;
  if (!t->data && *x.data) t->data = arena_strdup(c->arena, x.data);
}

/* All must work on the same; then each takes its share. */
static Status join_ranks(Train *t) {
  Cli *c = t->c;
  if (!c->ranks) return ST_OK;
  Status s = cli_ranks_same_program(c);
  if (!s)
    s = cli_ranks_same(c, hash_bytes(t->recipe_text, strlen(t->recipe_text), 0),
                       "the model file or its settings");
  if (!s) s = cli_ranks_same(c, (uint64_t)loader_size(t->loader), "the number of samples");
  if (!s) s = cli_ranks_same(c, t->k.plan->identity, "the compiled step");
  if (!s) s = cli_ranks_same(c, loader_hash(t->loader), "the data");
  if (!s) s = cli_ranks_same(c, (uint64_t)t->total, "the number of steps");
  if (!s) ranks_choose_beside(c->ranks, session_threads(t->k.session));
  session_ranks(t->k.session, c->ranks);
  t->spread = spread_states_find(c->arena, t->graph, t->k.session, c->ranks);
  return s ? s
           : cli_ranks_settle(c, spread_open(t->spread, c->diags)); /* until they have their first values */
}

/* ---- the loop ---- */
static Status save(Train *t) {
  double start = now_seconds();
  Status s = spread_collect(t->spread, t->folder, false, t->c->diags);
  t->info.step = t->step;
  t->info.epoch = t->step / t->per_epoch;
  if (!s && t->writes) s = runlog_sync(t->log, t->c->diags);
  if (!s && t->writes) s = checkpoint_save(t->folder, t->k.session, &t->info, t->c->diags);
  spread_close(t->spread);
  t->saved_at = now_seconds();
  t->save_seconds = t->saved_at - start;
  return s;
}

static bool save_is_due(const Train *t) {
  if (!t->writes) return false;
  double pause = 50 * t->save_seconds;
  return now_seconds() - t->saved_at > (pause < 0.2 ? 0.2 : pause);
}

static double metric(const Train *t, int i) {
  return *(float *)session_tensor_at(t->k.session, t->k.metric[i]).data;
}

static Status record(Train *t) {
  if (!t->writes) return ST_OK;
  Metric m[MAX_METRICS];
  int n = 0;
  double now = now_seconds();
  for (int i = 0; i < t->k.nmetric && n < MAX_METRICS - 3; i++)
    m[n++] = (Metric){t->k.plan->tensor[t->k.metric[i]].name, metric(t, i)};
  m[n++] = (Metric){"images_per_s", (double)((t->step - t->logged_step) * t->batches * t->recipe->batch) /
                                        (now - t->logged_at)};
  m[n++] = (Metric){"loader_wait_s", loader_waited(t->loader)};
  m[n++] = (Metric){"peak_bytes", (double)peak_memory()};
  t->logged_at = now;
  t->logged_step = t->step;
  Status s = runlog_record(t->log, t->step, m, n, t->c->diags);
  return s || !t->events ? s : events_add(t->events, (double)time(NULL), t->step, m, n, t->c->diags);
}

/* The monitor whose value the step just done took out of its bounds, or NULL. */
static const Monitor *tripped(const Train *t, double *value) {
  for (int i = 0; i < t->recipe->nmonitor; i++) {
    const Monitor *m = &t->recipe->monitor[i];
    *value = (double)*t->watched[i];
    if (t->step > monitor_start(m, t->per_epoch, t->total) && (*value < m->lo || *value > m->hi)) return m;
  }
  return NULL;
}

static Status stop_at_monitor(Train *t, const Monitor *m, double value) {
  Cli *c = t->c;
  progress_pause(t->progress);
  Status s = record(t);
  if (!s) s = save(t);
  if (s) return s;
  diag_error(c->diags, m->loc, "step %lld: `%s` is %.4g, outside %.4g..%.4g", (long long)t->step - 1, m->name,
             value, m->lo, m->hi);
  diag_note(c->diags, NULL, "the run stops here; %s holds the states and the log", t->folder);
  return ST_MONITOR;
}

static Status validate(Train *t) {
  if (!validator_due(&t->valid, t->step)) return ST_OK;
  double start = now_seconds();
  progress_pause(t->progress);
  t->info.step = t->step;
  t->info.epoch = t->step / t->per_epoch;
  Status s = spread_collect(t->spread, t->folder, true, t->c->diags);
  if (!s) s = validator_run(t->c, &t->valid, t->k.session, &t->info, t->log, t->events, t->say);
  spread_close(t->spread);
  t->logged_at += now_seconds() - start;
  return s;
}

static Status end_trace(Train *t) {
  if (!t->trace) return ST_OK;
  Status s = trace_write(t->trace, arena_printf(t->c->arena, "%s/trace.json", t->folder));
  t->trace = NULL;
  return s;
}

/* Names the sample whose label is no class of the model; false: there is none. */
static bool stray_label(Train *t) {
  StrayLabel l;
  if (!labels_stray_of(&t->k, t->c->arena, &l)) return false;
  int64_t sample = loader_samples(t->loader)[l.place % t->recipe->batch];
  const char *name = loader_name(t->loader, sample);
  diag_note(t->c->diags, NULL, "%s of sample %lld%s%s%s is %lld: there are only the classes 0..%lld", l.input,
            (long long)sample, name ? " (" : "", name ? name : "", name ? ")" : "", (long long)l.value,
            (long long)l.classes - 1);
  return true;
}

static Status train_batch(Train *t, int64_t batch) {
  Cli *c = t->c;
  Session *s = t->k.session;
  int bad = -1;
  Status loaded = loader_next(t->loader, t->field);
  if (loaded) {
    progress_pause(t->progress);
    return loaded;
  }
  tensors_set_number(s, "step", t->step * t->batches + batch);
  if (t->trace) trace_step(t->trace, t->step * t->batches + batch);
  if (!compiled_step(&t->k, &bad)) return ST_OK;
  progress_pause(t->progress);
  Status saved = save(t); /* the states this step began with, so that --resume meets it again */
  if (saved) return saved;
  cli_fail(c, ST_NONFINITE, "step %lld: %s is not finite; %s holds the states before this step",
           (long long)t->step, t->k.plan->tensor[bad].name, t->folder);
  if (!stray_label(t) && !c->ranks) cli_explain_nonfinite(c, &t->k);
  return ST_NONFINITE;
}

/* What one rank wants, all do: end, or save. */
static void agree(Train *t) {
  t->due = save_is_due(t);
  if (!t->c->ranks) return;
  uint64_t all = ranks_any(t->c->ranks, (uint64_t)t->due | (stop_signal ? (uint64_t)1 << stop_signal : 0));
  t->due = all & 1;
  for (int i = 0; i < SIGNALS; i++)
    if (all >> signals[i].number & 1) stop_signal = signals[i].number;
}

static Status train_steps(Train *t) {
  Cli *c = t->c;
  Session *s = t->k.session;
  int64_t interval = t->total / RECORDS > 1 ? t->total / RECORDS : 1;
  tensors_set_number(s, "seed", (int64_t)t->info.seed);
  tensors_set_number(s, "steps_per_epoch", t->per_epoch * t->batches); /* the graph counts batches */
  tensors_set_number(s, "total_steps", t->total * t->batches);
  loader_seek(t->loader, t->step * t->batches);
  t->saved_at = t->logged_at = now_seconds();
  t->logged_step = t->step;
  if (OPT(c, profile)) t->trace = trace_new(c, &t->k);
  while (t->step < t->total && !stop_signal && !validator_stops(&t->valid, &t->info)) {
    for (int64_t batch = 0; batch < t->batches; batch += t->recipe->parts) {
      Status failed = train_batch(t, batch);
      if (failed) return failed;
    }
    t->step++;
    Status traced = t->trace && ++t->traced == TRACED ? end_trace(t) : ST_OK;
    if (traced) return traced;
    progress_update(t->progress, t->step, t->k.nmetric ? metric(t, 0) : 0);
    agree(t);
    double value;
    const Monitor *m = tripped(t, &value);
    if (m) return stop_at_monitor(t, m, value);
    Status st = t->step % interval && t->step != t->total ? ST_OK : record(t);
    if (!st) st = validate(t);
    if (!st && t->due) st = save(t);
    if (st) {
      progress_pause(t->progress);
      return st;
    }
  }
  progress_pause(t->progress);
  Status traced = end_trace(t);
  return traced ? traced : save(t);
}

/* Of the time that exchanges take, what passes beside computation is hidden. */
static void put_waited(const Ranks *r, double seconds) {
  double beside = r->beside ? r->beside->waited : 0, moved = r->waited + beside,
         seen = r->waited + r->awaited;
  printf("%-16s %.1f %% of the time", "between ranks", 100 * seen / seconds);
  if (beside > 0) printf("; %.0f %% of %.3g s hidden", 100 * fmax(0, 1 - seen / moved), moved);
  printf("\n");
}

static void print_summary(Train *t, int64_t first, double seconds) {
  Cli *c = t->c;
  if (OPT(c, quiet)) return;
  int64_t done = t->step - first;
  if (first >= t->total)
    printf("%-16s it has %lld steps, and %lld were asked for\n", "nothing to do", (long long)first,
           (long long)t->total);
  else printf("%-16s %lld of %lld\n", "step", (long long)t->step, (long long)t->total);
  for (int i = 0; i < t->k.nmetric && done; i++)
    printf("%-16s %.6g\n", t->k.plan->tensor[t->k.metric[i]].name, metric(t, i));
  if (done) printf("%-16s %.1f\n", "images/s", (double)(done * t->batches * t->recipe->batch) / seconds);
  validator_summary(&t->valid, &t->info);
  if (c->ranks) put_waited(c->ranks, seconds);
  printf("%-16s %s\n", "peak memory", human_bytes(c->arena, peak_memory()));
  printf("%-16s %s/run.svg\n", "picture", t->folder);
}

/* From the model to a session with its data. */
static Status prepare(Train *t) {
  Cli *c = t->c;
  Status s;
  t->loader = loader_open(&t->recipe->data, t->data, t->recipe->batch, t->info.seed, true, c->diags, &s);
  if (!t->loader) return s;
  if (c->ranks)
    (t->recipe->parts > 1 ? loader_every : loader_share)(t->loader, c->ranks->rank, c->ranks->count);
  if ((s = decide_length(t))) return s;
  if ((s = validator_open(c, &t->valid, t->recipe, t->folder, t->data, t->info.seed, t->per_epoch, t->total)))
    return s;
  if ((s = lock_folder(t))) return s;
  if (t->writes && !t->checkpoint && (s = holds_no_run(c, t->folder)))
    return s; /* one may have come since we looked */
  if ((s = cli_compile(c, t->graph, &t->k))) return s;
  bind_tensors(t);
  return ST_OK;
}

static Status begin(Train *t) {
  Cli *c = t->c;
  Status s = start_states(t);
  if (s || !t->writes) return s;
  if (OPT(c, tensorboard) && !(t->events = events_open(t->folder, !OPT(c, resume), c->diags))) return ST_FILE;
  t->log = runlog_open(t->log_path, t->recipe_text, t->step > 0 ? t->step : -1, !OPT(c, log), c->diags);
  RunHeader header = {t->info.model,          t->info.data,         c->words, t->total, t->per_epoch,
                      loader_size(t->loader), (int64_t)t->info.seed};
  if (!t->log || runlog_header(t->log, t->step, &header, c->diags)) return ST_FILE;
  if ((t->changes && runlog_resumed(t->log, t->step, t->changes, c->diags))) return ST_FILE;
  cli_say(c); /* warnings, before they are hours old */
  if (OPT(c, quiet)) return ST_OK;
  fprintf(stderr, "%s: %d kernels, arena %s, compiled in %.2f s; %lld samples, %lld steps", c->opt.arg[0],
          t->k.plan->nstep, human_bytes(c->arena, t->k.plan->arena_bytes), t->k.seconds,
          (long long)loader_size(t->loader), (long long)t->total);
  if (c->ranks) fprintf(stderr, "; %d ranks x %d threads", c->ranks->count, session_threads(t->k.session));
  if (c->ranks && c->ranks->count > RANKS_IN_A_ROW) fprintf(stderr, ", added up in levels");
  fprintf(stderr, "\n");
  return ST_OK;
}

static Status finish(Train *t, int64_t first, double seconds) {
  Cli *c = t->c;
  if (!t->writes) return stop_signal ? (Status)(128 + stop_signal) : ST_OK;
  char *title = strrchr(t->folder, '/');
  Status s = plot_run(c->arena, title && title[1] ? title + 1 : t->folder, t->log_path,
                      arena_printf(c->arena, "%s/run.svg", t->folder), c->diags);
  if (s) return s;
  print_summary(t, first, seconds);
  if (t->step < t->total && !stop_signal && !OPT(c, quiet))
    printf("%-16s %s has been no better in the last %lld validations\n", "stopped early",
           t->recipe->validate.best, (long long)t->info.since_best);
  if (!stop_signal) return ST_OK;
  return cli_fail(c, (Status)(128 + stop_signal), "stopped by %s at step %lld of %lld; --resume goes on",
                  signal_name(stop_signal), (long long)t->step, (long long)t->total);
}

static Status run(Train *t) {
  Cli *c = t->c;
  static const char *const modes[] = {"auto", "plain", "none"};
  ProgressMode mode = OPT(c, quiet) || !t->writes ? PROGRESS_NONE : PROGRESS_AUTO;
  for (int i = 0; i < 3; i++)
    if (OPT(c, progress) && t->writes && !strcmp(OPT(c, progress), modes[i])) mode = (ProgressMode)i;
  Status s = cli_ranks_settle(c, find_seed(t));
  if (s) return s;
  share_start(t);
  if ((s = cli_ranks_settle(c, prepare(t))) || (s = join_ranks(t))) return s;
  if ((s = cli_ranks_settle(c, begin(t)))) return s;
  share_start(t);
  if (c->ranks && t->resumed) ranks_share_states(c->ranks, t->k.session);
  spread_take(t->spread);
  spread_close(t->spread);
  int64_t first = t->step;
  double start = now_seconds();
  if (c->ranks) ranks_forget_times(c->ranks);
  t->say = mode != PROGRESS_NONE;
  t->progress = progress_new(mode, stderr, first, t->total, t->recipe->batch * t->batches);
  s = train_steps(t);
  if (s == ST_NONFINITE || s == ST_MONITOR) c->silent = !t->writes; /* all ranks see the same */
  else if (s) cli_ranks_stop(c, s);
  return s ? s : cli_ranks_settle(c, finish(t, first, now_seconds() - start));
}

/* What an earlier run has left, and the model. */
static Status look(Train *t) {
  Cli *c = t->c;
  if (OPT(c, steps) >= 0 && OPT(c, epochs) >= 0)
    return cli_fail(c, ST_USAGE, "--steps and --epochs exclude each other");
  if (OPT(c, params_missing) && !OPT(c, params))
    return cli_fail(c, ST_USAGE, "--params-missing belongs to --params");
  t->log_path = OPT(c, log) ? OPT(c, log) : arena_printf(c->arena, "%s/run.jsonl", t->folder);
  if (!OPT(c, resume) && (OPT(c, steps) == 0 || OPT(c, epochs) == 0))
    return cli_fail(c, ST_USAGE, "0 steps train nothing; jepac check looks at a model without training it");
  catch_signals();
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &t->model);
  if (!s && !OPT(c, resume) && t->writes) s = holds_no_run(c, t->folder);
  if (s) return s;
  if (!(t->recipe = frontend_recipe(t->model, c->diags))) return ST_MODEL;
  t->recipe_text = recipe_json(t->recipe);
  t->graph = frontend_train_step(t->model, c->diags, true);
  return t->graph ? ST_OK : ST_MODEL;
}

Status cmd_train(Cli *c) {
  Train t = {.c = c, .lock = {.fd = -1}};
  Status s = cli_ranks_start(c);
  if (s) return s;
  t.folder = run_folder(c);
  t.writes = !c->ranks || c->ranks->rank == 0;
  if (!(s = cli_ranks_settle(c, look(&t)))) s = run(&t);
  if (t.progress) progress_free(t.progress);
  if (t.log) runlog_close(t.log);
  Status written = events_close(t.events, c->diags);
  if (!s) s = written;
  if (t.loader) loader_close(t.loader);
  validator_close(&t.valid);
  st_close(t.checkpoint);
  compiled_free(&t.k);
  run_folder_close(&t.lock);
  free(t.recipe_text);
  return s;
}
