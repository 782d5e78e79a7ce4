/* Saving and loading of states; see checkpoint.h. */
#include "runtime/checkpoint.h"
#include "runtime/file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MOST_REPORTS = 8 };

static char *file_in(Arena *a, const char *folder) {
  return arena_printf(a, "%s/checkpoint.safetensors", folder);
}

static const char *or_empty(const char *s) { return s ? s : ""; }

int states_list(const Session *s, StTensor *t) {
  int n = 0;
  for (int i = 0; i < session_plan(s)->ntensor; i++) {
    SessionTensor x = session_tensor_at(s, i);
    if (x.kind == PT_STATE) t[n++] = (StTensor){x.name, x.dt, x.shape, x.data, x.bytes};
  }
  return n;
}

Status checkpoint_save(const char *folder, const Session *s, const CheckpointInfo *info, Diags *d) {
  if (file_make_folder(folder, d) != ST_OK) return ST_FILE;
  Arena *a = arena_new();
  StTensor *t = NEWN(a, StTensor, session_plan(s)->ntensor + 1);
  int n = states_list(s, t);
  json_t *j =
      json_pack("{s:i, s:I, s:I, s:o, s:o}", "version", VERSION, "step", (json_int_t)info->step, "epoch",
                (json_int_t)info->epoch, "seed", json_sprintf("%" PRIu64, info->seed), "plan",
                json_sprintf("%016" PRIx64, info->plan)); /* 64 unsigned bits do not fit a JSON integer */
  char *run = j ? json_dumps(j, JSON_COMPACT) : NULL;
  if (!run) bug("checkpoint information could not be made");
  StMeta meta[] = {{"format", "jepac"},
                   {"run", run},
                   {"model", or_empty(info->model)},
                   {"recipe", or_empty(info->recipe)},
                   {"text", or_empty(info->text)}};
  Status st = st_write(file_in(a, folder), t, n, meta, sizeof meta / sizeof *meta, d);
  free(run);
  json_decref(j);
  arena_free(a);
  return st;
}

static Status read_info(const StFile *f, CheckpointInfo *info, Arena *a, Diags *d) {
  const char *run = st_meta(f, "run"), *seed = "", *plan = "";
  json_int_t step, epoch;
  int version;
  json_error_t err;
  json_t *j = run ? json_loads(run, JSON_REJECT_DUPLICATES, &err) : NULL;
  bool ok = j && !json_unpack(j, "{s:i, s:I, s:I, s:s, s:s}", "version", &version, "step", &step, "epoch",
                              &epoch, "seed", &seed, "plan", &plan);
  if (!ok || version != VERSION || step < 0 || epoch < 0) {
    diag_error(d, NULL, "%s: %s", st_path(f),
               ok && version != VERSION ? "a checkpoint of another version of jepac"
                                        : "not a checkpoint of jepac");
    ok = false;
  } else {
    *info = (CheckpointInfo){.step = step,
                             .epoch = epoch,
                             .seed = strtoull(seed, NULL, 10),
                             .plan = strtoull(plan, NULL, 16),
                             .model = arena_strdup(a, or_empty(st_meta(f, "model"))),
                             .recipe = arena_strdup(a, or_empty(st_meta(f, "recipe"))),
                             .text = arena_strdup(a, or_empty(st_meta(f, "text")))};
  }
  json_decref(j);
  return ok ? ST_OK : ST_FILE;
}

Status checkpoint_peek(const char *folder, CheckpointInfo *info, Arena *a, Diags *d) {
  StFile *f = st_open(file_in(a, folder), d);
  if (!f) return ST_FILE;
  Status st = read_info(f, info, a, d);
  st_close(f);
  return st;
}

Status checkpoint_load(const char *folder, Session *s, bool exact, CheckpointInfo *info, Arena *a, Diags *d) {
  StFile *f = st_open(file_in(a, folder), d);
  if (!f) return ST_FILE;
  Status st = read_info(f, info, a, d);
  if (st == ST_OK) st = states_load(s, f, LOAD_ALL_STATES | (exact ? LOAD_ALL_TENSORS : 0), d);
  st_close(f);
  return st;
}

/* ---- states from a file ---- */
/* Counts an error and says whether it is still to be printed: a wrong file differs everywhere. */
static bool report(int *errors) { return (*errors)++ < MOST_REPORTS; }

static void check_state(const StFile *f, SessionTensor t, const StTensor *x, int flags, int *errors,
                        Diags *d) {
  char want[128], have[128];
  if (!x) {
    if ((flags & LOAD_ALL_STATES) && report(errors))
      diag_error(d, NULL, "%s: lacks tensor %s", st_path(f), t.name);
  } else if (x->dt != t.dt || !shape_eq(&x->shape, &t.shape)) {
    if (report(errors))
      diag_error(d, NULL, "%s: tensor %s is %s, but the model's is %s", st_path(f), t.name,
                 type_str(x->dt, &x->shape, have), type_str(t.dt, &t.shape, want));
  }
}

static int state_names(const Plan *p, const char **name) {
  int n = 0;
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_STATE) name[n++] = p->tensor[i].name;
  return n;
}

static void check_names(const Plan *p, const StFile *f, int *errors, Arena *a, Diags *d) {
  const char **name = NEWN(a, const char *, p->ntensor + 1);
  int n = state_names(p, name);
  for (int i = 0; i < st_count(f); i++) {
    const char *have = st_tensor(f, i)->name;
    int k = 0;
    while (k < n && strcmp(name[k], have)) k++;
    if (k < n || !report(errors)) continue;
    const char *near = nearest_name(have, name, n);
    if (near) diag_error(d, NULL, "%s: the model has no state %s; did you mean %s?", st_path(f), have, near);
    else diag_error(d, NULL, "%s: the model has no state %s", st_path(f), have);
  }
}

Status states_load(Session *s, const StFile *f, int flags, Diags *d) {
  const Plan *p = session_plan(s);
  Arena *a = arena_new();
  int errors = 0;
  const StTensor **from = NEWN(a, const StTensor *, p->ntensor + 1);
  for (int i = 0; i < p->ntensor; i++) {
    if (p->tensor[i].kind != PT_STATE) continue;
    from[i] = st_find(f, p->tensor[i].name);
    check_state(f, session_tensor_at(s, i), from[i], flags, &errors, d);
  }
  if (flags & LOAD_ALL_TENSORS) check_names(p, f, &errors, a, d);
  if (errors > MOST_REPORTS) diag_note(d, NULL, "and %d more differences", errors - MOST_REPORTS);
  for (int i = 0; i < p->ntensor && !errors; i++) {
    SessionTensor t = session_tensor_at(s, i);
    if (from[i] && t.bytes) memcpy(t.data, from[i]->data, (size_t)t.bytes);
  }
  for (int i = 0; i < p->ntensor && !errors; i++) {
    const PlanTensor *t = &p->tensor[i];
    if (t->kind == PT_STATE && t->init == INIT_COPY && !from[i] && from[t->init_from])
      session_init_tensor(s, i, 0);
  }
  arena_free(a);
  return errors ? ST_FILE : ST_OK;
}
