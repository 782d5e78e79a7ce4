/* jepac eval: what a trained model's embeddings hold, each figure beside the same for the untrained model.
   The model file offers entries by name; the protocols below measure what those and the data allow, as in the
   paper (arXiv 2505.03176, section 4). Features come from the frozen model in eval mode. docs/evaluation.md
 */
#include "cli/eval.h"
#include "cli/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- results ---- */
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

void eval_heads(const Eval *e, const char *label, const char *const *head, int n) {
  if (e->c->opt.json) return;
  printf("\n%-34s", label);
  for (int i = 0; i < n; i++) printf(" %9s", head[i]);
  printf("\n");
}

void eval_row(const Eval *e, const char *label, const char *format, double scale, const double *value,
              int n) {
  if (e->c->opt.json) return;
  printf("%-34s", label);
  for (int i = 0; i < n; i++) {
    char text[32] = "-";
    if (isfinite(value[i])) snprintf(text, sizeof text, format, value[i] * scale);
    printf(" %9s", text);
  }
  printf("\n");
}

/* One line a key, so that matrices do not fill the screen. */
static char *json_text(const json_t *o) {
  StrBuf b = {0};
  const char *key, *comma = "{\n";
  json_t *v;
  json_object_foreach((json_t *)o, key, v) {
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    sb_printf(&b, "%s  \"%s\": %s", comma, key, text);
    free(text);
    comma = ",\n";
  }
  sb_printf(&b, "\n}\n");
  return b.s;
}

/* ---- the protocols ---- */
typedef struct {
  const char *name;
  Status (*measure)(Eval *e);
  const char *entries[2]; /* needed besides encode */
  bool actions;           /* needs data with actions */
} Protocol;

static const Protocol protocol_table[] = {
    {"linear", measure_linear, {NULL, NULL}, false},
    {"health", measure_health, {NULL, NULL}, false},
    {"r2", measure_r2, {NULL, NULL}, true},
    {"retrieval", measure_retrieval, {"target", "predict"}, true},
    {"aggregate", measure_aggregate, {NULL, NULL}, true},
    {"path", measure_path, {"aggregate", NULL}, true},
    {"maps", measure_maps, {NULL, NULL}, false},
};
enum { NPROTOCOL = sizeof protocol_table / sizeof *protocol_table };

static bool in_words(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
    if (!strncmp(p, name, n) && (p[n] == ',' || !p[n])) return true;
  return false;
}

static Status check_words(Eval *e, const char *list) {
  const char *names[NPROTOCOL];
  for (int i = 0; i < NPROTOCOL; i++) names[i] = protocol_table[i].name;
  for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
    const char *word = arena_strndup(e->c->arena, p, strcspn(p, ","));
    bool known = false;
    for (int i = 0; i < NPROTOCOL; i++) known = known || !strcmp(word, names[i]);
    if (known) continue;
    cli_fail(e->c, ST_USAGE, "there is no protocol '%s'", word);
    const char *near = nearest_name(word, names, NPROTOCOL);
    if (near) diag_note(e->c->diags, NULL, "did you mean '%s'?", near);
    else diag_note(e->c->diags, NULL, "there are linear, health, r2, retrieval, aggregate, path and maps");
    return ST_USAGE;
  }
  return ST_OK;
}

/* Why a protocol cannot be measured, or NULL. */
static const char *obstacle(const Eval *e, const Protocol *p) {
  if (p->actions && !e->nact) return "the data have no actions";
  for (int i = 0; i < 2; i++)
    if (p->entries[i] && !entry_offered(e, p->entries[i]))
      return arena_printf(e->c->arena, "the model has no entry '%s'", p->entries[i]);
  return NULL;
}

static Status measure_all(Eval *e) {
  const char *asked = e->c->opt.protocols;
  for (int i = 0; i < NPROTOCOL; i++) {
    const Protocol *p = &protocol_table[i];
    if (asked && !in_words(asked, p->name)) continue;
    const char *why = obstacle(e, p);
    if (why && asked) return cli_fail(e->c, ST_MODEL, "protocol %s cannot be measured: %s", p->name, why);
    if (why) continue;
    double start = now_seconds();
    Status s = p->measure(e);
    if (s) return s;
    if (e->c->opt.verbose) fprintf(stderr, "%s: %.2f s\n", p->name, now_seconds() - start);
  }
  return ST_OK;
}

/* ---- how much is measured ---- */
static Status take_list(Eval *e, const Setting *s, int64_t most, IntList *out) {
  if (s->nitem > MAX_M) {
    diag_error(e->c->diags, s->loc, "%s holds at most %d numbers", s->name, MAX_M);
    return ST_MODEL;
  }
  out->n = s->nitem;
  for (int i = 0; i < s->nitem; i++) {
    double v = s->item[i].num;
    if (s->item[i].kind != SET_NUM || v != floor(v) || v < 1 || v > (double)most) {
      diag_error(e->c->diags, s->loc, "%s holds whole numbers from 1 to %lld", s->name, (long long)most);
      return ST_MODEL;
    }
    out->v[i] = (int64_t)v;
  }
  return ST_OK;
}

static Status parse_list(Eval *e, const char *option, const char *text, IntList *out) {
  out->n = 0;
  for (const char *p = text; p; p = strchr(p, ','), p = p ? p + 1 : NULL) {
    char *end;
    long long v = strtoll(p, &end, 10);
    if (end == p || (*end && *end != ',') || v < 1 || v > MAX_M || out->n == MAX_M)
      return cli_fail(e->c, ST_USAGE, "--%s needs whole numbers from 1 to %d such as 1,3,5, not '%s'", option,
                      MAX_M, text);
    out->v[out->n++] = v;
  }
  return ST_OK;
}

static Status decide_sizes(Eval *e) {
  Sizes *z = &e->size;
  const Recipe *r = e->recipe;
  const Options *o = &e->c->opt;
  const struct {
    const char *name;
    int64_t most;
    IntList *at;
  } list[] = {{"m_val", MAX_M, &z->m_val},
              {"path", MAX_M, &z->path},
              {"hidden", 1 << 16, &z->hidden},
              {"path_hidden", 1 << 16, &z->path_hidden}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    Status s = take_list(e, setting_find(r->eval, r->neval, list[i].name), list[i].most, list[i].at);
    if (s) return s;
  }
  const struct {
    const char *name;
    int64_t *at, given; /* given: by an option; 0 not */
  } count[] = {{"images", &z->images, o->train_images},
               {"test_images", &z->test_images, o->test_images},
               {"sequences", &z->sequences, o->train_sequences},
               {"test_sequences", &z->test_sequences, o->test_sequences},
               {"retrieval_images", &z->retrieval_images, o->test_sequences},
               {"retrieval_views", &z->retrieval_views, o->retrieval_views},
               {"epochs", &z->epochs, 0},
               {"action_epochs", &z->action_epochs, 0},
               {"path_epochs", &z->path_epochs, 0}};
  for (size_t i = 0; i < sizeof count / sizeof *count; i++)
    *count[i].at =
        count[i].given > 0 ? count[i].given : (int64_t)setting_find(r->eval, r->neval, count[i].name)->num;
  if (z->retrieval_views < 2 || z->retrieval_views > MAX_VIEWS)
    return cli_fail(e->c, ST_USAGE, "--retrieval-views needs 2 (one of them is the query) to %d", MAX_VIEWS);
  if (o->m_val) {
    Status s = parse_list(e, "m-val", o->m_val, &z->m_val);
    if (!s) s = parse_list(e, "m-val", o->m_val, &z->path);
    if (s) return s;
  }
  if (!z->m_val.n || !z->path.n)
    return cli_fail(e->c, ST_MODEL, "m_val and path name at least one number of views");
  return ST_OK;
}

static void drop_beyond(IntList *l, int64_t most) {
  int n = 0;
  for (int i = 0; i < l->n; i++)
    if (l->v[i] <= most) l->v[n++] = l->v[i];
  l->n = n;
}

/* As many views as the largest M needs, and those of the pairs; an object may have fewer pictures. */
static Status decide_views(Eval *e) {
  Sizes *z = &e->size;
  int64_t need = 4;
  for (int i = 0; i < z->m_val.n; i++) need = z->m_val.v[i] > need ? z->m_val.v[i] : need;
  for (int i = 0; i < z->path.n; i++) need = z->path.v[i] + 1 > need ? z->path.v[i] + 1 : need;
  const Setting *s = setting_find(e->recipe->data.set, e->recipe->data.nset, "per_object");
  int64_t have = s ? (int64_t)s->num : need > z->retrieval_views ? need : z->retrieval_views;
  if (have < 2) return cli_fail(e->c, ST_MODEL, "eval needs at least two views of a sample");
  e->views = need < have ? need : have;
  if (z->retrieval_views > have) z->retrieval_views = have;
  drop_beyond(&z->m_val, have);
  drop_beyond(&z->path, have - 1);
  if (!z->m_val.n || !z->path.n)
    return cli_fail(e->c, ST_MODEL, "the data have %lld views of a sample, too few for the M asked for",
                    (long long)have);
  return ST_OK;
}

/* ---- the run ---- */
/* Images of a training step, from the log's first line: --set may give the evaluation another batch. */
static double images_of_a_step(const Eval *e, const char *log) {
  const Source *src = source_read(e->c->arena, log);
  json_t *line = src ? json_loadb(src->text, strcspn(src->text, "\n"), 0, NULL) : NULL;
  const json_t *r = json_object_get(line, "recipe");
  double batch = json_number_value(json_object_get(r, "batch")),
         times = json_number_value(json_object_get(json_object_get(r, "settings"), "accumulate"));
  json_decref(line);
  return batch * (times > 1 ? times : 1);
}

/* Loss at the start, its mean over the last tenth of the records; speed, memory, and the share of the time
   that training waited for data. */
static void describe_log(Eval *e) {
  int n;
  const char *log = arena_printf(e->c->arena, "%s/run.jsonl", e->folder);
  double images = images_of_a_step(e, log);
  double first = NAN, last = NAN, speed = NAN, peak = NAN, wait = NAN;
  Series *s = plot_log(e->c->arena, log, &n, diags_new(e->c->arena));
  for (int i = 0; s && i < n; i++) {
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
  if (e->c->opt.json) return;
  printf("%s: step %lld of %s\n", e->folder, (long long)e->info.step, e->info.model);
  if (isfinite(speed))
    printf("training: loss %.4f at first, %.4f in the last tenth; %.0f images/s, %.2f %% of the time waiting "
           "for data, "
           "%s\n",
           first, last, speed, 100 * wait, cli_human_bytes(e->c->arena, (int64_t)peak));
  static const char *const heads[] = {"trained", "untrained"};
  eval_heads(e, "", heads, 2);
}

static Status open_entries(Eval *e) {
  const Shape *i = &e->image;
  int64_t most = (4 << 20) / shape_count(i), batch = most < 16 ? 16 : most > 250 ? 250 : most;
  KnownShape known[] = {{"x", DT_F32, {4, {batch, i->dim[0], i->dim[1], i->dim[2]}}},
                        {"action", DT_F32, {2, {batch, e->nact}}}};
  Status s = entry_open(e, "encode", known, 1, true, &e->encode);
  if (s) return s;
  e->dim = e->encode.width;
  e->nembed = e->nact;
  if (e->nact && entry_offered(e, "embed")) {
    if ((s = entry_open(e, "embed", known + 1, 1, false, &e->embed))) return s;
    e->nembed = e->embed.width;
  }
  if (!e->nact || !entry_offered(e, "target") || !entry_offered(e, "predict")) return ST_OK;
  if ((s = entry_open(e, "target", known, 1, true, &e->target))) return s;
  if ((s = entry_open(e, "predict", known, 2, true, &e->predict))) return s;
  if (e->predict.width == e->target.width) return ST_OK;
  return cli_fail(e->c, ST_MODEL, "entry predict returns %lld numbers a sample, but target %lld",
                  (long long)e->predict.width, (long long)e->target.width);
}

/* The --set pairs of training come first, so that the user's own win. */
static Status restore_settings(Eval *e) {
  Options *o = &e->c->opt;
  Options given = *o;
  o->nset = 0;
  for (const char *p = e->info.text; *p && o->nset < MAX_SET;) {
    size_t n = strcspn(p, "\n"), eq = strcspn(p, "=");
    if (eq >= n) return cli_fail(e->c, ST_FILE, "%s: its checkpoint's settings are damaged", e->folder);
    o->set[o->nset++] =
        (NameValue){arena_strndup(e->c->arena, p, eq), arena_strndup(e->c->arena, p + eq + 1, n - eq - 1)};
    p += n + (p[n] == '\n');
  }
  for (int i = 0; i < given.nset && o->nset < MAX_SET; i++) o->set[o->nset++] = given.set[i];
  return ST_OK;
}

static Status run(Eval *e) {
  Cli *c = e->c;
  Status s = checkpoint_peek(e->folder, &e->info, c->arena, c->diags);
  if (!s) s = restore_settings(e);
  if (!s) s = cli_load(c, e->info.model, NULL, 0, &e->model);
  if (s) return s;
  if (!(e->recipe = frontend_recipe(e->model, c->diags))) return ST_MODEL;
  if (!s) s = eval_describe_data(e);
  if (!s) s = decide_sizes(e);
  if (!s) s = decide_views(e);
  if (s) return s;
  if (!entry_offered(e, "encode")) {
    cli_fail(c, ST_MODEL, "%s has no entry 'encode'", e->info.model);
    diag_note(c->diags, NULL, "eval needs entry encode(x: f32[B, C, H, W]) with one result z: f32[B, D]");
    return ST_MODEL;
  }
  if ((s = open_entries(e))) return s;
  eval_set_text(e, "run", e->folder);
  json_object_set_new(e->json, "step", json_integer((json_int_t)e->info.step));
  describe_log(e);
  if (!(s = measure_all(e)) && c->opt.export_to) s = eval_export(e, c->opt.export_to);
  if (s) return s;
  char *text = json_text(e->json);
  s = cli_write_text(c, arena_printf(c->arena, "%s/eval.json", e->folder), text, strlen(text));
  if (!s && c->opt.json) fputs(text, stdout);
  free(text);
  if (!s) s = eval_report(e);
  if (!s && !c->opt.json) printf("\nreport: %s/report.html   figures: %s/eval.json\n", e->folder, e->folder);
  return s;
}

Status cmd_eval(Cli *c) {
  memset(c->looked, 1, sizeof(Options)); /* each is read somewhere in eval_*.c */
  Eval e = {.c = c, .folder = c->opt.arg[0], .json = json_object()};
  Status s = c->opt.protocols ? check_words(&e, c->opt.protocols) : ST_OK;
  if (!s && !cli_is_folder(e.folder)) s = cli_fail(c, ST_FILE, "%s is no folder of a run", e.folder);
  if (!s) s = run(&e);
  Entry *all[] = {&e.encode, &e.target, &e.predict, &e.embed};
  for (int i = 0; i < 4; i++) entry_close(all[i]);
  for (int i = 0; i <= MAX_M; i++) entry_close(&e.aggregate[i]);
  probes_close(&e);
  sb_free(&e.html);
  json_decref(e.json);
  return s;
}
