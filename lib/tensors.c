/* Values between files, sessions and the interpreter. */
#include "lib/tensors.h"

#include "runtime/checkpoint.h"

#include <math.h>
#include <string.h>

bool tensors_same_family(DType a, DType b) {
  return a == b || (dtype_is_float(a) && dtype_is_float(b)) || (dtype_is_int(a) && dtype_is_int(b));
}

int64_t tensors_misfit(DType to, DType from, const void *src, int64_t n) {
  bool ints = dtype_is_int(to) && dtype_is_int(from) && to != from && !dtype_widens(from, to);
  for (int64_t i = 0; ints && i < n; i++) {
    Imm x = int_imm(from, cell_int(from, element_cell(from, src, i)));
    if (x < dtype_least(to) || x > dtype_most(to)) return i;
  }
  return -1;
}

bool tensors_convert(DType to, void *dst, DType from, const void *src, int64_t n) {
  if (to == from) {
    memcpy(dst, src, (size_t)(n * dtype_size(to)));
    return true;
  }
  if (!tensors_same_family(to, from) || tensors_misfit(to, from, src, n) >= 0) return false;
  for (int64_t i = 0; i < n; i++) {
    double x = element_cell(from, src, i);
    element_put(to, dst, i, dtype_is_int(to) ? int_cell(to, cell_int(from, x)) : x);
  }
  return true;
}

void tensors_to_cells(double *dst, DType to, DType from, const void *src, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    dst[i] = element_cell(from, src, i);
    if (dtype_is_int(from) && to != from) dst[i] = int_cell(to, cell_int(from, dst[i]));
  }
}

void tensors_to_f64(double *dst, DType from, const void *src, int64_t n) {
  for (int64_t i = 0; i < n; i++) dst[i] = cell_value(from, element_cell(from, src, i));
}

void tensors_from_cells(DType t, void *dst, const double *src, int64_t n) {
  for (int64_t i = 0; i < n; i++) element_put(t, dst, i, src[i]);
}

const PlanTensor *tensors_find(const Session *s, PlanTensorKind kind, const char *name, void **data) {
  const Plan *p = session_plan(s);
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == kind && !strcmp(p->tensor[i].name, name)) {
      if (data) *data = session_tensor_at(s, i).data;
      return &p->tensor[i];
    }
  return NULL;
}

void tensors_set_number(Session *s, const char *name, int64_t value) {
  void *at;
  const PlanTensor *t = tensors_find(s, PT_RUNTIME, name, &at);
  if (!t) return;
  if (t->dt != DT_I64 || t->shape.rank) bug("run-time input %s is no i64 scalar", name);
  *(int64_t *)at = value;
}

Session *tensors_store(Compiler *c, const Graph *g, uint64_t seed) {
  Plan *p = NEW(c->arena, Plan);
  PlanTensor *t = NEWN(c->arena, PlanTensor, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    const Node *n = g_node(g, in->val);
    t[i] = (PlanTensor){.name = in->name,
                        .kind = in->kind == IN_ARG       ? PT_ARG
                                : in->kind == IN_RUNTIME ? PT_RUNTIME
                                                         : PT_STATE,
                        .dt = n->dt,
                        .shape = n->shape,
                        .offset = p->arena_bytes,
                        .init = in->init.kind,
                        .init_a = in->init.a,
                        .init_b = in->init.b,
                        .init_stream = in->init.stream,
                        .init_from = in->init.kind == INIT_COPY ? g_find_input(g, in->init.from) : -1,
                        .trained = in->kind == IN_PARAM};
    p->arena_bytes += tensor_room(n->dt, &n->shape);
  }
  p->name = g->name;
  p->tensor = t;
  p->ntensor = g->inputs.n;
  Session *s = session_new(p, 1);
  if (!s) {
    diag_error(c->diags, NULL, "no memory for %.1f MiB of inputs", (double)p->arena_bytes / 1048576);
    return NULL;
  }
  session_init_states(s, seed);
  return s;
}

/* ---- states from files ---- */
typedef VEC(const char *) Names;

static void add_states(Compiler *c, const Graph *g, Names *names) {
  for (int i = 0; g && i < g->inputs.n; i++)
    if (g->inputs.v[i].kind == IN_PARAM || g->inputs.v[i].kind == IN_BUFFER || g->inputs.v[i].kind == IN_SLOT)
      vec_push(c->arena, names, g->inputs.v[i].name);
}

static bool contains(const Names *names, const char *name) {
  for (int i = 0; i < names->n; i++)
    if (!strcmp(names->v[i], name)) return true;
  return false;
}

/* Every state of the model, found by elaborating all of it; false when some part cannot be. */
static bool model_states(Compiler *c, Model *m, Names *names) {
  Diags *quiet = diags_new(c->arena);
  for (int i = 0; i < frontend_entry_count(m); i++)
    add_states(c, frontend_entry(m, quiet, frontend_entry_name(m, i), true, false), names);
  bool complete = !diags_errors(quiet);
  if (frontend_recipe(m, quiet)) {
    Diags *step = diags_new(c->arena);
    const Graph *g = frontend_train_step(m, step, true);
    if (!g) g = frontend_train_step(m, step, false);
    add_states(c, g, names);
    complete &= g != NULL;
  }
  return complete;
}

/* What the model does not need may be what is meant: the nearest of it, or else the first. */
static Status missing_state(Compiler *c, Model *m, const Graph *g, const StFile *f, const char *name,
                            const char *type, int others) {
  Names needed = {0}, unused = {0};
  add_states(c, g, &needed);
  if (m) model_states(c, m, &needed);
  for (int i = 0; i < st_count(f); i++)
    if (!contains(&needed, st_tensor(f, i)->name)) vec_push(c->arena, &unused, st_tensor(f, i)->name);
  const char *near = nearest_name(name, unused.v, unused.n);
  diag_error(c->diags, NULL, "%s lacks '%s': %s", st_path(f), name, type);
  if (near) diag_note(c->diags, NULL, "it has '%s'", near);
  else if (unused.n) diag_note(c->diags, NULL, "it has '%s', which is no state of the model", unused.v[0]);
  if (others) diag_note(c->diags, NULL, "%d more %s missing", others, others == 1 ? "is" : "are");
  return ST_FILE;
}

/* ST_FILE after reporting a tensor whose type or shape is not the state's. */
static Status state_fits(Compiler *c, const Graph *g, const Input *in, const StFile *f, const StTensor *t) {
  char want[128], have[128];
  const Node *n = g_node(g, in->val);
  if (shape_eq(&t->shape, &n->shape) && tensors_same_family(t->dt, n->dt)) {
    int64_t bad = tensors_misfit(n->dt, t->dt, t->data, shape_count(&t->shape));
    if (bad < 0) return ST_OK;
    diag_error(c->diags, NULL, "%s: element %lld of '%s' does not fit %s", st_path(f), (long long)bad,
               in->name, dtype_name(n->dt));
    return ST_FILE;
  }
  diag_error(c->diags, NULL, "%s: '%s' is %s, but the model needs %s", st_path(f), in->name,
             type_str(t->dt, &t->shape, have), type_str(n->dt, &n->shape, want));
  if (n->loc) diag_note(c->diags, n->loc, "the model's '%s'", in->name);
  return ST_FILE;
}

Status states_check(Compiler *c, Model *m, const Graph *g, const StFile *f) {
  const Input *missing = NULL;
  int nmissing = 0;
  char want[128];
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    if (in->kind != IN_PARAM && in->kind != IN_BUFFER && in->kind != IN_SLOT) continue;
    const StTensor *t = st_find(f, in->name);
    if (!t && in->kind != IN_SLOT && nmissing++ == 0) missing = in;
    if (t && state_fits(c, g, in, f, t)) return ST_FILE;
  }
  if (missing) {
    const Node *n = g_node(g, missing->val);
    return missing_state(c, m, g, f, missing->name, type_str(n->dt, &n->shape, want), nmissing - 1);
  }
  Names names = {0};
  add_states(c, g, &names);
  bool all = false;
  for (int i = 0; i < st_count(f); i++) {
    const char *name = st_tensor(f, i)->name;
    if (contains(&names, name)) continue;
    if (!all && m) { /* perhaps a state of another entry */
      all = true;
      if (!model_states(c, m, &names)) return ST_OK;
      if (contains(&names, name)) continue;
    }
    diag_error(c->diags, NULL, "%s: the model has no state '%s'", st_path(f), name);
    const char *near = nearest_name(name, names.v, names.n);
    if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
    return ST_FILE;
  }
  return ST_OK;
}

int states_copy(Session *s, const StFile *f) {
  int n = 0;
  for (int i = 0; i < st_count(f); i++) {
    const StTensor *t = st_tensor(f, i);
    void *at;
    const PlanTensor *p = tensors_find(s, PT_STATE, t->name, &at);
    if (p && tensors_convert(p->dt, at, t->dt, t->data, shape_count(&p->shape))) n++;
  }
  return n;
}

/* What missing_ok lets pass, in one line each. */
static Status count_missing(Compiler *c, const Graph *g, const StFile *f) {
  int given = 0, kept = 0, unused = 0;
  const char *first_kept = NULL, *first_unused = NULL;
  Names names = {0};
  add_states(c, g, &names);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    if (in->kind != IN_PARAM && in->kind != IN_BUFFER) continue;
    const StTensor *t = st_find(f, in->name);
    if (t && state_fits(c, g, in, f, t)) return ST_FILE;
    if (t) given++;
    else if (!kept++) first_kept = in->name;
  }
  for (int i = 0; i < st_count(f); i++)
    if (!contains(&names, st_tensor(f, i)->name) && !unused++) first_unused = st_tensor(f, i)->name;
  if (!given) {
    diag_error(c->diags, NULL, "%s has none of the model's %d states", st_path(f), kept);
    if (first_unused) diag_note(c->diags, NULL, "it has '%s', and the model '%s'", first_unused, first_kept);
    return ST_FILE;
  }
  if (kept)
    diag_warning(c->diags, NULL,
                 "%s gives %d of %d states; the others keep their initial values, the first: '%s'",
                 st_path(f), given, given + kept, first_kept);
  if (unused)
    diag_warning(c->diags, NULL, "%d of the %d tensors of %s are no states of the model, the first: '%s'",
                 unused, st_count(f), st_path(f), first_unused);
  return ST_OK;
}

Status states_start(Compiler *c, Model *m, const Graph *g, Session *s, const StFile *f, bool missing_ok) {
  Status st = missing_ok ? count_missing(c, g, f) : states_check(c, m, g, f);
  for (int i = 0; i < g->inputs.n && !st; i++) {
    const Input *in = &g->inputs.v[i];
    const StTensor *t = in->kind == IN_PARAM || in->kind == IN_BUFFER ? st_find(f, in->name) : NULL;
    void *at;
    const PlanTensor *p = t ? tensors_find(s, PT_STATE, in->name, &at) : NULL;
    if (p && !tensors_convert(p->dt, at, t->dt, t->data, shape_count(&t->shape))) {
      diag_error(c->diags, NULL, "%s: a value of '%s' does not fit %s", st_path(f), in->name,
                 dtype_name(p->dt));
      st = ST_FILE;
    }
  }
  const Plan *plan = session_plan(s);
  for (int i = 0; i < plan->ntensor && !st; i++) {
    const PlanTensor *t = &plan->tensor[i];
    if (t->kind == PT_STATE && t->init == INIT_COPY && !st_find(f, t->name) &&
        st_find(f, plan->tensor[t->init_from].name))
      session_init_tensor(s, i, 0);
  }
  return st;
}

Status states_save(const Session *s, const char *path, Diags *d) {
  Arena *a = arena_new();
  StTensor *t = NEWN(a, StTensor, session_plan(s)->ntensor + 1);
  Status st = st_write(path, t, states_list(s, t), NULL, 0, d);
  arena_free(a);
  return st;
}
