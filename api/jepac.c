/* libjepac (include/jepac.h): lib/compiler.h and eval/eval.h behind a small C interface. Each model owns an arena and its
   diagnostics; nothing is process-wide but what
   jepac_own_process asks for. */
#include "include/jepac.h"

#include "eval/eval.h"
#include "ir/memory.h"
#include "lib/labels.h"
#include "lib/ranks.h"
#include "lib/tensors.h"

#include <pthread.h>
#include <stddef.h>
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
SAME(DT_I8, JEPAC_I8);
SAME(DT_U8, JEPAC_U8);
SAME(DT_I16, JEPAC_I16);
SAME(DT_U16, JEPAC_U16);
SAME(DT_U64, JEPAC_U64);
SAME(DT_F16, JEPAC_F16);
SAME(DT_COUNT, JEPAC_F16 + 1);
SAME(MAX_RANK, sizeof((jepac_tensor *)0)->dim / sizeof(int64_t));

struct jepac_model {
  Compiler compiler;
  Ranks ranks;
  jepac_ranks how; /* count 0: alone */
  pthread_mutex_t reporting; /* its sessions may run on several threads */
  Model *model;
  char *message;
  jepac_status status;
  bool wanting; /* memory: what the compiler has made is not to be used further */
  char why[REASON_TEXT + 16];
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

static const jepac_options no_options;

static Status check_options(Compiler *c, const jepac_options *o) {
  int before = diags_errors(c->diags);
  if (o->threads < 0 || o->threads > MOST_THREADS)
    diag_error(c->diags, NULL, "threads is 0 to %d, not %d", MOST_THREADS, o->threads);
  if (o->max_memory < 0)
    diag_error(c->diags, NULL, "max_memory is a number of bytes or 0, not %lld", (long long)o->max_memory);
  if (o->precision && o->precision != JEPAC_F32 && o->precision != JEPAC_BF16 && o->precision != JEPAC_F16)
    diag_error(c->diags, NULL, "precision is JEPAC_F32, JEPAC_BF16, JEPAC_F16 or 0, not %d", (int)o->precision);
  if (o->allow & ~(JEPAC_ALLOW_EXTERN | JEPAC_ALLOW_USE))
    diag_error(c->diags, NULL, "allow is JEPAC_ALLOW_EXTERN and JEPAC_ALLOW_USE, not %d", o->allow);
  const jepac_ranks *r = o->ranks;
  if (r && (r->count < 1 || r->count > MOST_RANKS || r->rank < 0 || r->rank >= r->count))
    diag_error(c->diags, NULL, "rank %d of %d: there are 1 to %d ranks, counted from 0", r->rank, r->count, MOST_RANKS);
  else if (r && (!r->exchange || !r->gather))
    diag_error(c->diags, NULL, "ranks need functions that exchange and gather");
  return diags_errors(c->diags) > before ? ST_USAGE : ST_OK;
}

/* ---- ranks ---- */
static jepac_model *model_of(Ranks *r) { return (jepac_model *)(void *)((char *)r - offsetof(jepac_model, ranks)); }

static void exchange(Ranks *r, RankSet all, const void *send, const int64_t *at, void *recv) {
  (void)all;
  const jepac_ranks *how = &model_of(r)->how;
  how->exchange(how->communicator, send, at, recv);
}

static void gather(Ranks *r, RankSet all, void *data, const int64_t *at) {
  (void)all;
  const jepac_ranks *how = &model_of(r)->how;
  how->gather(how->communicator, data, at);
}

static void join(jepac_model *m, const jepac_ranks *r) {
  if (!r || r->count < 2) return;
  m->how = *r;
  m->ranks = (Ranks){.rank = r->rank, .count = r->count, .exchange = exchange, .gather = gather, .whole = true};
  m->compiler.ranks = r->count;
}

/* Sets c, whose arena and diagnostics are there. */
static Status set_up(Compiler *c, const jepac_options *opt) {
  Arena *a = c->arena;
  *c = (Compiler){.arena = a,
                  .diags = c->diags,
                  .models_dir = copy(a, opt->models_dir),
                  .cache_dir = copy(a, opt->cache_dir),
                  .threads = opt->threads,
                  .precision = (DType)opt->precision,
                  .use_anywhere = opt->allow & JEPAC_ALLOW_USE,
                  .run_extern = opt->allow & JEPAC_ALLOW_EXTERN,
                  .pipeline = {.max_memory = opt->max_memory}};
  Status s = check_options(c, opt);
  return s ? s : read_settings(c, opt->set);
}

/* Calls fn(of); where memory runs out on the way the model is of no more use. */
static bool attempt(jepac_model *m, void (*fn)(void *), void *of) {
  char why[REASON_TEXT];
  if (m->wanting) return false;
  if (rescue(fn, of, true, why)) return true;
  pthread_mutex_lock(&m->reporting);
  m->wanting = true;
  snprintf(m->why, sizeof m->why, "jepac: error: %s\n", why);
  pthread_mutex_unlock(&m->reporting);
  return false;
}

typedef struct {
  const char *path, *text;
  const jepac_options *opt;
  jepac_model *m;
} Loading;

static void new_model(void *of) {
  Loading *l = of;
  Arena *a = arena_new();
  jepac_model *m = NEW(a, jepac_model);
  m->compiler = (Compiler){.arena = a, .diags = diags_new(a)};
  l->m = m;
}

static void load_model(void *of) {
  Loading *l = of;
  jepac_model *m = l->m;
  Compiler *c = &m->compiler;
  Status s = ST_USAGE;
  if (!l->path) diag_error(c->diags, NULL, "a model needs a text or a path");
  else s = set_up(c, l->opt);
  if (!s) join(m, l->opt->ranks);
  if (!s) s = compiler_load(c, l->path, copy(c->arena, l->text), NULL, 0, &m->model);
  m->status = (jepac_status)s;
}

/* Where not even a model can be had. */
static const jepac_model no_model = {
    .status = JEPAC_BUDGET, .wanting = true, .why = "jepac: error: out of memory\n"};

static jepac_model *load(const char *path, const char *text, const jepac_options *opt) {
  Loading l = {path, text, opt ? opt : &no_options, NULL};
  char why[REASON_TEXT];
  if (!rescue(new_model, &l, true, why))
    return (jepac_model *)(uintptr_t)&no_model; /* nothing is written to one that is wanting */
  pthread_mutex_init(&l.m->reporting, NULL);
  if (!attempt(l.m, load_model, &l)) l.m->model = NULL, l.m->status = JEPAC_BUDGET;
  return l.m;
}

jepac_model *jepac_load_text(const char *text, const char *name, const jepac_options *opt) {
  return load(!text ? NULL : name ? name : "text", text, opt);
}

jepac_model *jepac_load_file(const char *path, const jepac_options *opt) { return load(path, NULL, opt); }
jepac_status jepac_load_status(const jepac_model *m) { return m ? m->status : JEPAC_USAGE; }

/* malloc'ed */
static char *text_of(const Diags *d) {
  size_t n;
  char *text = NULL;
  FILE *f = open_memstream(&text, &n);
  if (!f) out_of_memory("messages", 0);
  diags_print(d, f);
  fclose(f);
  return text;
}

static void print_message(void *of) {
  jepac_model *m = of;
  free(m->message);
  m->message = NULL;
  m->message = text_of(m->compiler.diags);
  m->compiler.diags = diags_new(m->compiler.arena);
}

const char *jepac_message(jepac_model *m) {
  char why[REASON_TEXT];
  if (!m) return "jepac: error: no model\n";
  if (m->wanting) return m->why;
  pthread_mutex_lock(&m->reporting);
  bool told = rescue(print_message, m, true, why);
  if (!told) snprintf(m->why, sizeof m->why, "jepac: error: %s\n", why);
  pthread_mutex_unlock(&m->reporting);
  return !told ? m->why : m->message ? m->message : "";
}

void jepac_model_free(jepac_model *m) {
  if (!m || m == &no_model) return;
  free(m->message);
  pthread_mutex_destroy(&m->reporting);
  arena_free(m->compiler.arena);
}

int jepac_entry_count(const jepac_model *m) { return m && m->model ? frontend_entry_count(m->model) : 0; }
const char *jepac_entry_name(const jepac_model *m, int i) {
  return i >= 0 && i < jepac_entry_count(m) ? frontend_entry_name(m->model, i) : NULL;
}

/* ---- sessions ---- */
typedef struct {
  jepac_model *m;
  const char *entry;
  int flags;
  jepac_session *s;
} Compiling;

static void compile(void *of) {
  Compiling *p = of;
  Compiler *c = &p->m->compiler;
  if (p->flags & ~(JEPAC_TRAIN | JEPAC_GRAD)) {
    diag_error(c->diags, NULL, "flags are JEPAC_TRAIN and JEPAC_GRAD, not %d", p->flags);
    return;
  }
  jepac_session *s = NEW(c->arena, jepac_session);
  s->model = p->m;
  if (!compiler_entry(c, p->m->model, p->entry, p->flags & JEPAC_TRAIN, p->flags & JEPAC_GRAD, &s->graph) &&
      !compiler_build(c, s->graph, &s->k)) {
    if (p->m->how.count) session_ranks(s->k.session, &p->m->ranks);
    p->s = s;
  }
}

jepac_session *jepac_compile(jepac_model *m, const char *entry, int flags) {
  Compiling p = {m, entry, flags, NULL};
  return m && m->model && attempt(m, compile, &p) ? p.s : NULL;
}

void jepac_session_free(jepac_session *s) {
  if (s) compiled_free(&s->k);
}

int jepac_tensor_count(const jepac_session *s) { return s ? s->k.plan->ntensor : 0; }

jepac_tensor jepac_tensor_at(const jepac_session *s, int i) {
  if (i < 0 || i >= jepac_tensor_count(s)) return (jepac_tensor){0};
  SessionTensor t = session_tensor_at(s->k.session, i);
  jepac_tensor out = {t.name, (jepac_kind)t.kind, (jepac_type)t.dt, t.shape.rank, {0}, t.bytes, t.data};
  for (int k = 0; k < t.shape.rank; k++) out.dim[k] = t.shape.dim[k];
  return out;
}

int jepac_find(const jepac_session *s, const char *name, jepac_tensor *out) {
  int i = s && name ? session_find(s->k.session, name) : -1;
  if (i >= 0 && out) *out = jepac_tensor_at(s, i);
  return i >= 0;
}

typedef struct {
  jepac_session *s;
  const char *fmt, *name, *path;
  int bad;
  Status st;
} Running;

static void say(void *of) {
  Running *r = of;
  diag_error(r->s->model->compiler.diags, NULL, r->fmt, r->name);
}

/* Where there is no memory for it there is no message. */
static void report(jepac_session *s, const char *fmt, const char *name) {
  char why[REASON_TEXT];
  pthread_mutex_lock(&s->model->reporting);
  rescue(say, &(Running){.s = s, .fmt = fmt, .name = name}, true, why);
  pthread_mutex_unlock(&s->model->reporting);
}

jepac_status jepac_set_number(jepac_session *s, const char *name, int64_t value) {
  static const char *const names[] = {"seed", "step", "steps_per_epoch", "total_steps"};
  if (!s) return JEPAC_USAGE;
  for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
    if (!strcmp(name, names[i])) {
      if (value < 0 && i > 0) {
        report(s, "%s is no number below 0", name);
        return JEPAC_USAGE;
      }
      tensors_set_number(s->k.session, name, value);
      return JEPAC_OK;
    }
  report(s, "there is no run-time number %s: they are seed, step, steps_per_epoch and total_steps",
         name ? name : "NULL");
  return JEPAC_USAGE;
}

jepac_status jepac_bind(jepac_session *s, const char *name, void *data) {
  if (!s) return JEPAC_USAGE;
  int i = name ? session_find(s->k.session, name) : -1;
  if (i < 0 || s->k.plan->tensor[i].kind != PT_ARG)
    return report(s, "there is no input %s", name ? name : "NULL"), JEPAC_USAGE;
  if ((uintptr_t)data % 64) return report(s, "memory for %s is not aligned to 64 bytes", name), JEPAC_USAGE;
  session_bind(s->k.session, i, data);
  return JEPAC_OK;
}

void jepac_init(jepac_session *s, uint64_t seed) {
  if (s) compiled_init(&s->k, seed);
}

static void run(void *of) {
  Running *r = of;
  r->st = compiled_step(&r->s->k, &r->bad);
}

/* Does something with a session alone: where memory or threads run out, what the compiler has made stays good. */
static Status try_session(void (*fn)(void *), Running *r) {
  char why[REASON_TEXT];
  if (rescue(fn, r, true, why)) return r->st;
  report(r->s, "%s", why);
  return ST_BUDGET;
}

static void name_label(void *of) {
  jepac_session *s = ((Running *)of)->s;
  Arena *a = arena_new();
  StrayLabel l;
  char text[200] = "";
  if (labels_stray_of(&s->k, a, &l))
    snprintf(text, sizeof text, "row %lld of %.80s is %lld: there are only the classes 0..%lld", (long long)l.place, l.input,
             (long long)l.value, (long long)l.classes - 1);
  arena_free(a);
  if (*text) report(s, "%s", text);
}

jepac_status jepac_run(jepac_session *s) {
  if (!s) return JEPAC_USAGE;
  Running r = {.s = s};
  Status st = try_session(run, &r);
  if (st == ST_NONFINITE) report(s, "%s is not finite", s->k.plan->tensor[r.bad].name);
  if (st == ST_NONFINITE) try_session(name_label, &(Running){.s = s});
  return (jepac_status)st;
}

int jepac_copy_states(jepac_session *to, const jepac_session *from) {
  return to && from ? session_copy_states(to->k.session, from->k.session) : 0;
}

static jepac_status no_path(jepac_session *s) {
  if (s) report(s, "%s", "a file of states needs a path");
  return JEPAC_USAGE;
}

static void save(void *of) {
  Running *r = of;
  r->st = states_save(r->s->k.session, r->path, r->s->model->compiler.diags);
}

jepac_status jepac_save(jepac_session *s, const char *path) {
  if (!s || !path) return no_path(s);
  Running r = {.s = s, .path = path};
  return (jepac_status)try_session(save, &r);
}

static void close_file(void *f) { st_close(f); }

static void load_states(void *of) {
  Running *r = of;
  Compiler *c = &r->s->model->compiler;
  StFile *f = st_open(r->path, c->diags);
  r->st = ST_FILE;
  if (!f) return;
  Undo undo = {0};
  undo_push(&undo, close_file, f);
  r->st = states_check(c, r->s->model->model, r->s->graph, f);
  if (!r->st) states_copy(r->s->k.session, f);
  undo_drop(&undo);
  st_close(f);
}

jepac_status jepac_load(jepac_session *s, const char *path) {
  if (!s || !path) return no_path(s);
  Running r = {.s = s, .path = path};
  return attempt(s->model, load_states, &r) ? (jepac_status)r.st : JEPAC_BUDGET;
}

/* ---- evaluation ---- */
typedef struct {
  const char *run;
  const jepac_options *opt;
  const EvalOptions *o;
  StrBuf text;
  char *message;
  Status s;
} Evaluating;

static void evaluate(void *of) {
  Evaluating *e = of;
  Arena *a = arena_new();
  Compiler c = {.arena = a, .diags = diags_new(a)};
  e->s = ST_USAGE;
  if (!e->run) diag_error(c.diags, NULL, "an evaluation needs the folder of a run");
  else if (!(e->s = set_up(&c, e->opt))) e->s = eval_run(&c, e->run, e->o, &e->text);
  e->message = text_of(c.diags);
  arena_free(a);
}

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
  Evaluating e = {.run = run, .opt = opt ? opt : &no_options, .o = &o};
  char why[REASON_TEXT];
  if (!rescue(evaluate, &e, true, why)) {
    e.s = ST_BUDGET;
    e.message = malloc(sizeof why + 32);
    if (e.message) sprintf(e.message, "jepac: error: %s\n", why);
  }
  if (e.s || !json) sb_free(&e.text);
  if (json) *json = e.s ? NULL : e.text.s;
  if (message) *message = e.message;
  else free(e.message);
  return (jepac_status)e.s;
}
