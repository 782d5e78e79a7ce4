/* libjepac (include/jepac.h): lib/compiler.h and eval/eval.h behind a small C interface. Each model owns an arena and its
   diagnostics; nothing is process-wide but what
   jepac_own_process asks for. */
#include "include/jepac.h"

#include "eval/eval.h"
#include "lib/tensors.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What crosses the interface as a number. */
#define SAME(OURS, THEIRS) _Static_assert((int)(OURS) == (int)(THEIRS), #THEIRS " is not " #OURS)
SAME(ST_OK, JEPAC_OK);
SAME(ST_MODEL, JEPAC_MODEL);
SAME(ST_USAGE, JEPAC_USAGE);
SAME(ST_FILE, JEPAC_FILE);
SAME(ST_NONFINITE, JEPAC_NONFINITE);
SAME(ST_BUDGET, JEPAC_BUDGET);
SAME(PT_ARG, JEPAC_INPUT);
SAME(PT_STATE, JEPAC_STATE);
SAME(PT_RUNTIME, JEPAC_RUNTIME);
SAME(PT_RESULT, JEPAC_RESULT);
SAME(DT_F32, JEPAC_F32);
SAME(DT_F64, JEPAC_F64);
SAME(DT_BF16, JEPAC_BF16);
SAME(DT_I32, JEPAC_I32);
SAME(DT_I64, JEPAC_I64);
SAME(DT_U32, JEPAC_U32);
SAME(DT_BOOL, JEPAC_BOOL);
SAME(DT_COUNT, JEPAC_BOOL + 1);
SAME(MAX_RANK, sizeof((jepac_tensor *)0)->dim / sizeof(int64_t));

struct jepac_model {
  Compiler compiler;
  pthread_mutex_t reporting; /* its sessions may run on several threads */
  Model *model;
  char *message;
  jepac_status status;
};

struct jepac_session {
  jepac_model *model;
  const Graph *graph; /* as elaborated: what states it reads */
  Compiled k;
};

const char *jepac_version(void) { return JEPAC_VERSION; }

void jepac_own_process(void) { compiler_codegen(&(Compiler){0})->own_process(); /* it is linked in */ }

/* ---- models ---- */
static Status read_settings(Compiler *c, const char *const *set) {
  int n = 0;
  while (set && set[n]) n++;
  NameValue *v = NEWN(c->arena, NameValue, n + 1);
  for (int i = 0; i < n; i++) {
    const char *eq = strchr(set[i], '=');
    if (!eq || eq == set[i]) {
      diag_error(c->diags, NULL, "a setting needs NAME=VALUE, not '%s'", set[i]);
      return ST_USAGE;
    }
    v[i] =
        (NameValue){arena_strndup(c->arena, set[i], (size_t)(eq - set[i])), arena_strdup(c->arena, eq + 1)};
  }
  c->set = v;
  c->nset = n;
  return ST_OK;
}

static const char *copy(Arena *a, const char *s) { return s ? arena_strdup(a, s) : NULL; }

static Status check_options(Compiler *c, const jepac_options *o) {
  int before = diags_errors(c->diags);
  if (o->threads < 0 || o->threads > MOST_THREADS)
    diag_error(c->diags, NULL, "threads is 0 to %d, not %d", MOST_THREADS, o->threads);
  if (o->max_memory < 0)
    diag_error(c->diags, NULL, "max_memory is a number of bytes or 0, not %lld", (long long)o->max_memory);
  if (o->precision && o->precision != JEPAC_F32 && o->precision != JEPAC_BF16)
    diag_error(c->diags, NULL, "precision is JEPAC_F32, JEPAC_BF16 or 0, not %d", (int)o->precision);
  return diags_errors(c->diags) > before ? ST_USAGE : ST_OK;
}

/* A compiler with these options; opt may be NULL. */
static Status make_compiler(Arena *a, const jepac_options *opt, Compiler *c) {
  static const jepac_options none = {0};
  if (!opt) opt = &none;
  *c = (Compiler){.arena = a,
                           .diags = diags_new(a),
                           .models_dir = copy(a, opt->models_dir),
                           .cache_dir = copy(a, opt->cache_dir),
                           .threads = opt->threads,
                           .precision = (DType)opt->precision,
                           .pipeline = {.max_memory = opt->max_memory}};
  Status s = check_options(c, opt);
  return s ? s : read_settings(c, opt->set);
}

static jepac_model *load(const char *path, const char *text, const jepac_options *opt) {
  Arena *a = arena_new();
  jepac_model *m = NEW(a, jepac_model);
  pthread_mutex_init(&m->reporting, NULL);
  Status s = make_compiler(a, opt, &m->compiler);
  if (!s) s = compiler_load(&m->compiler, path, copy(a, text), NULL, 0, &m->model);
  m->status = (jepac_status)s;
  return m;
}

jepac_model *jepac_load_text(const char *text, const char *name, const jepac_options *opt) {
  return load(name ? name : "text", text, opt);
}

jepac_model *jepac_load_file(const char *path, const jepac_options *opt) { return load(path, NULL, opt); }
jepac_status jepac_load_status(const jepac_model *m) { return m->status; }

/* malloc'ed; NULL when there is no memory. */
static char *text_of(const Diags *d) {
  size_t n;
  char *text = NULL;
  FILE *f = open_memstream(&text, &n);
  if (!f) return NULL;
  diags_print(d, f);
  fclose(f);
  return text;
}

static void print_message(jepac_model *m) {
  free(m->message);
  m->message = text_of(m->compiler.diags);
  m->compiler.diags = diags_new(m->compiler.arena);
}

const char *jepac_message(jepac_model *m) {
  pthread_mutex_lock(&m->reporting);
  print_message(m);
  pthread_mutex_unlock(&m->reporting);
  return m->message ? m->message : "";
}

void jepac_model_free(jepac_model *m) {
  if (!m) return;
  free(m->message);
  pthread_mutex_destroy(&m->reporting);
  arena_free(m->compiler.arena);
}

int jepac_entry_count(const jepac_model *m) { return m->model ? frontend_entry_count(m->model) : 0; }
const char *jepac_entry_name(const jepac_model *m, int i) {
  return i >= 0 && i < jepac_entry_count(m) ? frontend_entry_name(m->model, i) : NULL;
}

/* ---- sessions ---- */
jepac_session *jepac_compile(jepac_model *m, const char *entry, int flags) {
  if (!m->model) return NULL;
  if (flags & ~(JEPAC_TRAIN | JEPAC_GRAD)) {
    diag_error(m->compiler.diags, NULL, "flags are JEPAC_TRAIN and JEPAC_GRAD, not %d", flags);
    return NULL;
  }
  jepac_session *s = NEW(m->compiler.arena, jepac_session);
  s->model = m;
  bool ok =
      !compiler_entry(&m->compiler, m->model, entry, flags & JEPAC_TRAIN, flags & JEPAC_GRAD, &s->graph) &&
      !compiler_build(&m->compiler, s->graph, &s->k);
  return ok ? s : NULL;
}

void jepac_session_free(jepac_session *s) {
  if (s) compiled_free(&s->k);
}

int jepac_tensor_count(const jepac_session *s) { return s->k.plan->ntensor; }

jepac_tensor jepac_tensor_at(const jepac_session *s, int i) {
  if (i < 0 || i >= s->k.plan->ntensor) return (jepac_tensor){0};
  SessionTensor t = session_tensor_at(s->k.session, i);
  jepac_tensor out = {t.name, (jepac_kind)t.kind, (jepac_type)t.dt, t.shape.rank, {0}, t.bytes, t.data};
  for (int k = 0; k < t.shape.rank; k++) out.dim[k] = t.shape.dim[k];
  return out;
}

int jepac_find(const jepac_session *s, const char *name, jepac_tensor *out) {
  int i = session_find(s->k.session, name);
  if (i >= 0) *out = jepac_tensor_at(s, i);
  return i >= 0;
}

static void report(jepac_session *s, const char *fmt, const char *name) {
  pthread_mutex_lock(&s->model->reporting);
  diag_error(s->model->compiler.diags, NULL, fmt, name);
  pthread_mutex_unlock(&s->model->reporting);
}

jepac_status jepac_set_number(jepac_session *s, const char *name, int64_t value) {
  static const char *const names[] = {"seed", "step", "steps_per_epoch", "total_steps"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(name, names[i])) {
      tensors_set_number(s->k.session, name, value);
      return JEPAC_OK;
    }
  report(s, "there is no run-time number %s: they are seed, step, steps_per_epoch and total_steps", name);
  return JEPAC_USAGE;
}

void jepac_init(jepac_session *s, uint64_t seed) { compiled_init(&s->k, seed); }

jepac_status jepac_run(jepac_session *s) {
  int bad;
  if (!compiled_step(&s->k, &bad)) return JEPAC_OK;
  report(s, "%s is not finite", s->k.plan->tensor[bad].name);
  return JEPAC_NONFINITE;
}

int jepac_copy_states(jepac_session *to, const jepac_session *from) {
  return session_copy_states(to->k.session, from->k.session);
}

jepac_status jepac_save(jepac_session *s, const char *path) {
  return (jepac_status)states_save(s->k.session, path, s->model->compiler.diags);
}

jepac_status jepac_load(jepac_session *s, const char *path) {
  Compiler *c = &s->model->compiler;
  StFile *f = st_open(path, c->diags);
  if (!f) return JEPAC_FILE;
  Status st = states_check(c, s->model->model, s->graph, f);
  if (!st) states_copy(s->k.session, f);
  st_close(f);
  return (jepac_status)st;
}

/* ---- evaluation ---- */
jepac_status jepac_evaluate(const char *run, const jepac_options *opt, const jepac_evaluation *what, char **json,
                            char **message) {
  static const jepac_evaluation all = {0};
  if (!what) what = &all;
  EvalOptions o = {.protocols = what->protocols,
                   .m_val = what->m_val,
                   .images = what->images,
                   .test_images = what->test_images,
                   .sequences = what->sequences,
                   .test_sequences = what->test_sequences,
                   .retrieval_views = what->retrieval_views,
                   .data = what->data,
                   .export_to = what->export_to,
                   .keep = what->keep};
  Arena *a = arena_new();
  Compiler c;
  StrBuf text = {0};
  Status s = make_compiler(a, opt, &c);
  if (!s) s = eval_run(&c, run, &o, &text);
  if (s) sb_free(&text);
  *json = s ? NULL : text.s;
  if (message) *message = text_of(c.diags);
  arena_free(a);
  return (jepac_status)s;
}
