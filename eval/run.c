/* What a trained model's embeddings hold, each figure beside the same for the untrained model.
   The model file offers entries by name; the protocols below measure what those and the data allow, as in the
   paper (arXiv 2505.03176, section 4). Features come from the frozen model in eval mode. docs/evaluation.md */
#include "eval/parts.h"
#include "eval/plot.h"
#include "eval/validate.h"
#include "runtime/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Status eval_fail(Eval *e, Status s, const char *fmt, ...) {
  char text[2048];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  diag_error(e->diags, NULL, "%s", text);
  return s;
}

/* A run may have no log, but one that is there must not be left out. */
static Status open_log(Eval *e) {
  const char *path = arena_printf(e->arena, "%s/run.jsonl", e->folder);
  e->log = source_read(e->arena, path);
  return e->log || errno == ENOENT ? ST_OK : eval_fail(e, ST_FILE, "cannot read %s: %s", path, strerror(errno));
}

/* Images of a training step, from the log's first line: --set may give the evaluation another batch. */
static double images_of_a_step(const Source *log) {
  json_t *line = json_loadb(log->text, strcspn(log->text, "\n"), 0, NULL);
  const json_t *r = json_object_get(line, "recipe");
  double batch = json_number_value(json_object_get(r, "batch")),
         times = json_number_value(json_object_get(json_object_get(r, "settings"), "accumulate"));
  json_decref(line);
  return batch * (times > 1 ? times : 1);
}

/* Loss at the start, its mean over the last tenth of the records; speed, memory, and the share of the time
   that training waited for data. */
static void describe_log(Eval *e, bool untrained) {
  int n = 0;
  double images = e->log ? images_of_a_step(e->log) : 0;
  double first = NAN, last = NAN, speed = NAN, peak = NAN, wait = NAN;
  Series *s = e->log ? plot_log(e->arena, e->log, &n) : NULL;
  for (int i = 0; i < n; i++) {
    int k = s[i].n, tail = (k + 9) / 10;
    double sum = 0, largest = 0, seconds = 0;
    for (int j = 0; j < k; j++) {
      sum += j >= k - tail ? s[i].y[j] / tail : 0;
      largest = fmax(largest, s[i].y[j]);
      seconds += (s[i].x[j] - (j ? s[i].x[j - 1] : 0)) * images / fmax(s[i].y[j], 1e-9);
    }
    if (!strcmp(s[i].name, "loss")) {
      first = s[i].y[0];
      last = sum;
    } else if (!strcmp(s[i].name, "images_per_s")) {
      speed = s[i].x[k - 1] * images / seconds;
      wait = isnan(wait) ? seconds : wait / seconds;
    } else if (!strcmp(s[i].name, "loader_wait_s")) {
      wait = isnan(wait) ? largest : largest / wait;
    } else if (!strcmp(s[i].name, "peak_bytes")) {
      peak = largest;
    }
  }
  eval_set(e, "loss", last);
  eval_set(e, "loss_first", first);
  eval_set(e, "images_per_s", speed);
  eval_set(e, "peak_bytes", peak);
  eval_set(e, "loader_wait_share", wait);
  if (e->opt->params) eval_print(e, "%s with the weights of %s\n", e->folder, e->opt->params);
  else eval_print(e, "%s: step %lld of %s\n", e->folder, (long long)e->info.step, e->info.model);
  if (isfinite(speed))
    eval_print(e,
               "training: loss %.4f at first, %.4f in the last tenth; %.0f images/s, %.2f %% of the time "
               "waiting for data, %s\n",
               first, last, speed, 100 * wait, human_bytes(e->arena, (int64_t)peak));
  static const char *const heads[] = {"trained", "untrained"};
  if (untrained) eval_heads(e, "", heads, 2);
}

static Status open_entries(Eval *e) {
  const Shape *i = &e->image;
  int64_t most = (1 << 20) / shape_count(i), batch = most < 16 ? 16 : most > 250 ? 250 : most;
  KnownShape known[] = {{"x", DT_F32, {4, {batch, i->dim[0], i->dim[1], i->dim[2]}}},
                        {"action", DT_F32, {2, {batch, e->ntold}}}};
  Status s = entry_open(e, "encode", known, 1, true, &e->encode);
  if (s) return s;
  e->dim = e->encode.width;
  e->nembed = e->ntold;
  static const char *const embedding[] = {"aggregate", "path", "retrieval", "attention", "maps"};
  bool embeds = e->opt->export_to; /* weights from elsewhere may not have those of entries that nobody asks for */
  for (size_t k = 0; k < sizeof embedding / sizeof *embedding; k++) embeds = embeds || protocols_asked(e, embedding[k]);
  if (embeds && e->ntold && entry_offered(e, "embed")) {
    if ((s = entry_open(e, "embed", known + 1, 1, false, &e->embed))) return s;
    e->nembed = e->embed.width;
  }
  return ST_OK;
}

/* The settings of training come first, so that the caller's own win. */
static Status restore_settings(Eval *e) {
  Compiler *c = &e->compiler;
  int n = c->nset;
  for (const char *p = e->info.text; *p; p++) n += *p == '\n';
  NameValue *set = NEWN(e->arena, NameValue, n + 1);
  n = 0;
  for (const char *p = e->info.text; *p;) {
    size_t len = strcspn(p, "\n"), eq = strcspn(p, "=");
    if (eq >= len) return eval_fail(e, ST_FILE, "%s: its checkpoint's settings are damaged", e->folder);
    set[n++] =
        (NameValue){arena_strndup(e->arena, p, eq), arena_strndup(e->arena, p + eq + 1, len - eq - 1)};
    p += len + (p[len] == '\n');
  }
  for (int i = 0; i < c->nset; i++) set[n++] = c->set[i];
  c->set = set;
  c->nset = n;
  return ST_OK;
}

/* Weights from elsewhere: one that is not finite would make every figure nonsense. */
static Status check_finite(Eval *e) {
  enum { BLOCK = 4096 };
  double x[BLOCK];
  for (int i = 0; i < st_count(e->states); i++) {
    const StTensor *t = st_tensor(e->states, i);
    int64_t n = shape_count(&t->shape);
    if (!dtype_is_float(t->dt)) continue;
    for (int64_t at = 0; at < n; at += BLOCK) {
      int64_t m = n - at < BLOCK ? n - at : BLOCK;
      tensors_to_f64(x, t->dt, (const char *)t->data + at * dtype_size(t->dt), m);
      for (int64_t k = 0; k < m; k++)
        if (!isfinite(x[k]))
          return eval_fail(e, ST_FILE, "%s: tensor %s holds %s at element %lld", st_path(e->states), t->name,
                           isnan(x[k]) ? "nan" : "an infinity", (long long)(at + k));
    }
  }
  return ST_OK;
}

static Status open_states(Eval *e) {
  const EvalOptions *o = e->opt;
  if (o->params) {
    e->info = (CheckpointInfo){.model = e->folder, .recipe = "", .text = "", .data = ""};
    e->states = states_open(o->params, e->arena, e->diags);
    e->to = o->out;
  } else {
    e->states = o->best ? checkpoint_open_best(e->folder, &e->info, e->arena, e->diags)
                        : checkpoint_open(e->folder, &e->info, e->arena, e->diags);
    e->to = e->folder;
  }
  if (!o->keep) e->to = NULL;
  return !e->states ? ST_FILE : o->params ? check_finite(e) : ST_OK;
}

static Status open_model(Eval *e) {
  if (open_states(e)) return ST_FILE;
  e->data = e->opt->data ? e->opt->data : *e->info.data ? e->info.data : NULL;
  Status s = restore_settings(e);
  if (!s) s = compiler_load(&e->compiler, e->info.model, NULL, NULL, 0, &e->model);
  if (s) return s;
  if (e->info.source && e->info.source != frontend_text_hash(e->model))
    diag_warning(e->diags, NULL, "%s or a file it uses was edited since %s was trained with it", e->info.model, e->folder);
  if (!(e->recipe = frontend_recipe(e->model, e->diags))) return ST_MODEL;
  if (e->opt->params) e->info.seed = (uint64_t)e->recipe->seed;
  if (!entry_offered(e, "encode") && !e->opt->protocols && !e->opt->export_to) return ST_OK;
  if (entry_offered(e, "encode")) {
    if ((s = eval_describe_data(e)) || (s = sizes_decide(e))) return s;
    return open_entries(e);
  }
  eval_fail(e, ST_MODEL, "%s has no entry 'encode'", e->info.model);
  diag_note(e->diags, NULL, "protocols and --export need entry encode(x: f32[B, C, H, W]) with one result z: f32[B, D]");
  return ST_MODEL;
}

/* Without embeddings to look at: the recipe's own loss and metrics on the test part. */
static Status measure_own(Eval *e) {
  Status s;
  ValidationOptions o = {e->info.model, e->data, e->info.seed, e->recipe->batch, e->opt->ranks};
  Validation *v = validation_open(&e->compiler, &o, &s);
  if (!v) return s;
  double *value = NEWN(e->arena, double, validation_count(v) + 1);
  if (!(s = validation_load(v, e->states))) {
    validation_at(v, e->info.step, 1, e->info.total > 0 ? e->info.total : e->info.step > 0 ? e->info.step : 1);
    s = validation_run(v, value);
  }
  const char *head[] = {"test"};
  if (!s) eval_heads(e, arena_printf(e->arena, "means over %lld samples", (long long)validation_samples(v)), head, 1);
  for (int i = 0; i < validation_count(v) && !s; i++) {
    eval_set(e, arena_printf(e->arena, "test.%s", validation_name(v, i)), value[i]);
    eval_row(e, validation_name(v, i), "%.5g", 1, value + i, 1);
  }
  if (!s) json_object_set_new(e->json, "test_samples", json_integer((json_int_t)validation_samples(v)));
  validation_close(v);
  return s;
}

static Status run(Eval *e, StrBuf *json) {
  if (!e->opt->params && !file_is_folder(e->folder)) {
    eval_fail(e, ST_FILE, "%s is not the folder of a run", e->folder);
    if (!access(e->folder, F_OK)) diag_note(e->diags, NULL, "a model file is evaluated with the weights of --params FILE");
    return ST_FILE;
  }
  Status s = open_model(e);
  if (!s && !e->opt->params) s = open_log(e);
  if (s) return s;
  eval_set_text(e, "run", e->folder);
  json_object_set_new(e->json, "step", json_integer((json_int_t)e->info.step));
  bool embeddings = e->encode.k.session;
  describe_log(e, embeddings);
  if (!(s = embeddings ? protocols_measure(e) : measure_own(e)) && e->opt->export_to) s = eval_export(e, e->opt->export_to);
  if (s) return s;
  eval_json(e, json);
  if (!e->to) return ST_OK;
  if (e->opt->params && (s = file_make_folder(e->to, e->diags))) return s;
  s = file_write(arena_printf(e->arena, "%s/eval.json", e->to), json->s, json->n, e->diags);
  if (!s) s = eval_report(e);
  if (!s) eval_print(e, "\nreport: %s/report.html   figures: %s/eval.json\n", e->to, e->to);
  return s;
}

Status eval_run(const Compiler *c, const char *folder, const EvalOptions *o, StrBuf *json) {
  Eval e = {.arena = c->arena,
            .diags = c->diags,
            .compiler = *c, /* of one process: samples are split, not batches */
            .opt = o,
            .folder = folder,
            .json = json_object()};
  e.compiler.ranks = 0;
  Status s = protocols_check(&e);
  if (!s) s = run(&e, json);
  Entry *all[] = {&e.encode, &e.target, &e.predict, &e.embed, &e.lead, &e.attend};
  for (int i = 0; i < 6; i++) entry_close(all[i]);
  for (int i = 0; i <= MAX_M; i++) entry_close(&e.aggregate[i]);
  probes_close(&e);
  st_close(e.states);
  sb_free(&e.html);
  json_decref(e.json);
  return s;
}
