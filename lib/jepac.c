/* libjepac (include/jepac.h): the road frontend -> pipeline -> codegen -> session behind a small C interface.
   Each model owns an arena and its diagnostics; there is nothing process-wide. */
#define _GNU_SOURCE /* dladdr */
#include "include/jepac.h"

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/exec.h"
#include "runtime/file.h"
#include "runtime/safetensors.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct jepac_model {
  Arena *arena;
  Diags *diags;
  Model *model;
  const char *cache_dir;
  int threads;
  char *message;
  jepac_status status;
};

struct jepac_session {
  jepac_model *model;
  Code *code;
  Plan *plan;
  Session *session;
  int *watch, nwatch; /* scalar f32 results */
};

const char *jepac_version(void) { return "0.1"; }

/* ---- models ---- */
/* The models installed beside this library, or NULL. */
static const char *installed_models(Arena *a) {
  static const char *const where[] = {"../models", "../share/jepac/models", "../../share/jepac/models"};
  Dl_info info;
  if (!dladdr((const void *)where, &info) || !info.dli_fname) return NULL;
  char *full = realpath(info.dli_fname, NULL), *slash = full ? strrchr(full, '/') : NULL;
  const char *found = NULL;
  for (size_t i = 0; i < sizeof where / sizeof *where && slash && !found; i++) {
    struct stat st;
    const char *path = arena_printf(a, "%.*s/%s", (int)(slash - full), full, where[i]);
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) found = path;
  }
  free(full);
  return found;
}

static bool settings(jepac_model *m, const char *const *set, FrontendOptions *o) {
  int n = 0;
  while (set && set[n]) n++;
  NameValue *v = NEWN(m->arena, NameValue, n + 1);
  for (int i = 0; i < n; i++) {
    const char *eq = strchr(set[i], '=');
    if (!eq || eq == set[i]) {
      diag_error(m->diags, NULL, "a setting needs NAME=VALUE, not '%s'", set[i]);
      return false;
    }
    v[i] =
        (NameValue){arena_strndup(m->arena, set[i], (size_t)(eq - set[i])), arena_strdup(m->arena, eq + 1)};
  }
  o->set = v;
  o->nset = n;
  return true;
}

static jepac_model *load(const char *path, const char *text, const jepac_options *opt) {
  static const jepac_options none = {0};
  if (!opt) opt = &none;
  Arena *a = arena_new();
  jepac_model *m = NEW(a, jepac_model);
  m->arena = a;
  m->diags = diags_new(a);
  m->threads = opt->threads;
  m->cache_dir = opt->cache_dir ? arena_strdup(a, opt->cache_dir) : NULL;
  m->status = JEPAC_USAGE;
  FrontendOptions *o = NEW(a, FrontendOptions);
  o->std_dir = opt->models_dir ? arena_strdup(a, opt->models_dir) : installed_models(a);
  o->text = text ? arena_strdup(a, text) : NULL;
  if (!settings(m, opt->set, o)) return m;
  struct stat st;
  if (!text && stat(path, &st)) {
    diag_error(m->diags, NULL, "cannot read %s: %s", path, strerror(errno));
    m->status = JEPAC_FILE;
    return m;
  }
  m->model = frontend_load(a, m->diags, arena_strdup(a, path), o);
  m->status = m->model ? JEPAC_OK : JEPAC_MODEL;
  return m;
}

jepac_model *jepac_load_text(const char *text, const char *name, const jepac_options *opt) {
  return load(name ? name : "text", text, opt);
}

jepac_model *jepac_load_file(const char *path, const jepac_options *opt) { return load(path, NULL, opt); }
jepac_status jepac_load_status(const jepac_model *m) { return m->status; }

const char *jepac_message(jepac_model *m) {
  size_t n;
  free(m->message);
  m->message = NULL;
  FILE *f = open_memstream(&m->message, &n);
  if (!f) return "";
  diags_print(m->diags, f);
  fclose(f);
  m->diags = diags_new(m->arena);
  return m->message ? m->message : "";
}

void jepac_model_free(jepac_model *m) {
  if (!m) return;
  free(m->message);
  arena_free(m->arena);
}

int jepac_entry_count(const jepac_model *m) { return m->model ? frontend_entry_count(m->model) : 0; }
const char *jepac_entry_name(const jepac_model *m, int i) {
  return i >= 0 && i < jepac_entry_count(m) ? frontend_entry_name(m->model, i) : NULL;
}

/* ---- sessions ---- */
static const Graph *entry_graph(jepac_model *m, const char *entry, int flags) {
  if (!strcmp(entry, "train_step")) return frontend_train_step(m->model, m->diags, false);
  int n = frontend_entry_count(m->model);
  const char **names = NEWN(m->arena, const char *, n + 1);
  for (int i = 0; i < n; i++)
    if (!strcmp(names[i] = frontend_entry_name(m->model, i), entry))
      return frontend_entry(m->model, m->diags, entry, flags & JEPAC_TRAIN, flags & JEPAC_GRAD);
  names[n] = "train_step";
  const char *near = nearest_name(entry, names, n + 1);
  diag_error(m->diags, NULL, "there is no entry '%s'", entry);
  if (near) diag_note(m->diags, NULL, "did you mean '%s'?", near);
  return NULL;
}

static void watch_scalars(jepac_session *s) {
  const Plan *p = s->plan;
  s->watch = NEWN(s->model->arena, int, p->ntensor + 1);
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_RESULT && !p->tensor[i].shape.rank && p->tensor[i].dt == DT_F32)
      s->watch[s->nwatch++] = i;
}

jepac_session *jepac_compile(jepac_model *m, const char *entry, int flags) {
  if (!m->model) return NULL;
  const Graph *g = entry_graph(m, entry, flags);
  PipelineOptions p = {0};
  g = g ? pipeline_graph(m->arena, g, &p, m->diags) : NULL;
  Target target = target_host();
  Status st;
  Program *program = g ? pipeline_lower(m->arena, g, &target, &p, m->diags, &st) : NULL;
  if (!program) return NULL;
  jepac_session *s = NEW(m->arena, jepac_session);
  s->model = m;
  CodegenOptions o = {.cache_dir = m->cache_dir, .threads = m->threads > 0 ? m->threads : 1};
  s->code = codegen_jit(program, &o, m->arena, m->diags, &s->plan);
  if (!s->code) return NULL;
  s->session = session_new(s->plan, m->threads);
  if (!s->session) {
    diag_error(m->diags, NULL, "no memory for an arena of %lld bytes: %s", (long long)s->plan->arena_bytes,
               strerror(errno));
    codegen_free(s->code);
    return NULL;
  }
  watch_scalars(s);
  jepac_set_number(s, "steps_per_epoch", 1000);
  jepac_set_number(s, "total_steps", 100000);
  return s;
}

void jepac_session_free(jepac_session *s) {
  if (!s) return;
  session_free(s->session);
  codegen_free(s->code);
}

int jepac_tensor_count(const jepac_session *s) { return s->plan->ntensor; }

jepac_tensor jepac_tensor_at(const jepac_session *s, int i) {
  if (i < 0 || i >= s->plan->ntensor) return (jepac_tensor){0};
  SessionTensor t = session_tensor_at(s->session, i);
  jepac_tensor out = {t.name, (jepac_kind)t.kind, (jepac_type)t.dt, t.shape.rank, {0}, t.bytes, t.data};
  for (int k = 0; k < t.shape.rank; k++) out.dim[k] = t.shape.dim[k];
  return out;
}

int jepac_find(const jepac_session *s, const char *name, jepac_tensor *out) {
  int i = session_find(s->session, name);
  if (i >= 0) *out = jepac_tensor_at(s, i);
  return i >= 0;
}

void jepac_set_number(jepac_session *s, const char *name, int64_t value) {
  for (int i = 0; i < s->plan->ntensor; i++)
    if (s->plan->tensor[i].kind == PT_RUNTIME && !strcmp(s->plan->tensor[i].name, name))
      *(int64_t *)session_tensor_at(s->session, i).data = value;
}

void jepac_init(jepac_session *s, uint64_t seed) {
  session_init_states(s->session, seed);
  jepac_set_number(s, "seed", (int64_t)seed);
}

jepac_status jepac_run(jepac_session *s) {
  int bad;
  if (!session_step(s->session, s->watch, s->nwatch, &bad)) return JEPAC_OK;
  diag_error(s->model->diags, NULL, "%s is not finite", s->plan->tensor[bad].name);
  return JEPAC_NONFINITE;
}

int jepac_copy_states(jepac_session *to, const jepac_session *from) {
  return session_copy_states(to->session, from->session);
}

jepac_status jepac_save(jepac_session *s, const char *path) {
  StTensor *t = calloc((size_t)s->plan->ntensor + 1, sizeof *t);
  if (!t) bug("out of memory");
  int n = 0;
  for (int i = 0; i < s->plan->ntensor; i++) {
    SessionTensor x = session_tensor_at(s->session, i);
    if (x.kind == PT_STATE) t[n++] = (StTensor){x.name, x.dt, x.shape, x.data, x.bytes};
  }
  Status st = st_write(path, t, n, NULL, 0, s->model->diags);
  free(t);
  return (jepac_status)st;
}

/* Nothing is stored when anything does not fit. */
jepac_status jepac_load(jepac_session *s, const char *path) {
  Diags *d = s->model->diags;
  StFile *f = st_open(path, d);
  if (!f) return JEPAC_FILE;
  jepac_status st = JEPAC_OK;
  for (int store = 0; store < 2 && !st; store++)
    for (int i = 0; i < s->plan->ntensor && !st; i++) {
      const PlanTensor *p = &s->plan->tensor[i];
      if (p->kind != PT_STATE) continue;
      const StTensor *t = st_find(f, p->name);
      char want[128], have[128];
      if (!t && p->slot) continue;
      if (!t) {
        diag_error(d, NULL, "%s lacks '%s'", path, p->name);
        st = JEPAC_FILE;
      } else if (t->dt != p->dt || !shape_eq(&t->shape, &p->shape)) {
        diag_error(d, NULL, "%s: '%s' is %s, but the model needs %s", path, p->name,
                   type_str(t->dt, &t->shape, have), type_str(p->dt, &p->shape, want));
        st = JEPAC_FILE;
      } else if (store) {
        memcpy(session_tensor_at(s->session, i).data, t->data, (size_t)t->bytes);
      }
    }
  st_close(f);
  return st;
}
