/* Saving and loading of states; see checkpoint.h. */
#include "runtime/checkpoint.h"
#include "runtime/file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { VERSION = 1, MOST_REPORTS = 8 };

const char *const checkpoint_files[CHECKPOINT_FILES] = {"checkpoint.safetensors", "previous.safetensors"};
static const char set_aside[] = "damaged.safetensors";
static const char best_file[] = "best.safetensors";

static char *file_in(Arena *a, const char *folder, int i) {
  return arena_printf(a, "%s/%s", folder, checkpoint_files[i]);
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

/* ---- check sums ---- */
static uint32_t crc_of(const void *p, size_t n) { return (uint32_t)crc32_z(crc32_z(0, NULL, 0), p, n); }

static uint32_t tensor_crc(const StTensor *t) { return crc_of(t->data, (size_t)t->bytes); }

/* Of what the header says: metadata, names, types and shapes. */
static uint32_t header_crc(const StTensor *t, int n, const char *const *meta, int nmeta) {
  StrBuf b = {0};
  char type[128];
  for (int i = 0; i < nmeta; i++) sb_printf(&b, "%s\n", or_empty(meta[i]));
  for (int i = 0; i < n; i++) sb_printf(&b, "%s %s\n", t[i].name, type_str(t[i].dt, &t[i].shape, type));
  uint32_t crc = crc_of(b.s ? b.s : "", b.n);
  sb_free(&b);
  return crc;
}

static const char *const meta_keys[] = {"run", "model", "recipe", "text"};
enum { META = 4 };

static int by_name(const void *x, const void *y) {
  return strcmp(((const StTensor *)x)->name, ((const StTensor *)y)->name);
}

/* "HEADER SUM of each tensor in the order of their names", in hexadecimal. */
static const char *sums_text(Arena *a, const StTensor *t, int n, const char *const *meta) {
  StTensor *sorted = NEWN(a, StTensor, n + 1);
  if (n) memcpy(sorted, t, sizeof *t * (size_t)n);
  if (n) qsort(sorted, (size_t)n, sizeof *sorted, by_name);
  StrBuf b = {0};
  sb_printf(&b, "%08" PRIx32, header_crc(sorted, n, meta, META));
  for (int i = 0; i < n; i++) sb_printf(&b, " %08" PRIx32, tensor_crc(&sorted[i]));
  const char *text = arena_strdup(a, b.s);
  sb_free(&b);
  return text;
}

/* NULL, or what was altered: a tensor's name, or "the header". */
static const char *altered(const StFile *f) {
  static const char header[] = "the header";
  const char *sum = st_meta(f, "crc32"), *meta[META];
  int n = st_count(f);
  if (!sum) return NULL;
  for (int i = 0; i < META; i++) meta[i] = st_meta(f, meta_keys[i]);
  if (strlen(sum) != 8 + 9 * (size_t)n) return header;
  if (strtoul(sum, NULL, 16) != header_crc(n ? st_tensor(f, 0) : NULL, n, meta, META)) return header;
  for (int i = 0; i < n; i++)
    if (strtoul(sum + 9 * i + 9, NULL, 16) != tensor_crc(st_tensor(f, i))) return st_tensor(f, i)->name;
  return NULL;
}

StFile *checkpoint_file(const char *path, Diags *d) {
  StFile *f = st_open(path, d);
  const char *bad = f ? altered(f) : NULL;
  if (!bad) return f;
  diag_error(d, NULL, "%s is damaged: the checksum of %s does not fit", path, bad);
  st_close(f);
  errno = 0;
  return NULL;
}

bool checkpoint_has_sums(const StFile *f) { return st_meta(f, "crc32") != NULL; }

Status checkpoint_find(const char *folder, bool *found, Diags *d) {
  Arena *a = arena_new();
  int err = 0;
  *found = false;
  for (int i = 0; i < CHECKPOINT_FILES && !err; i++) {
    const char *path = file_in(a, folder, i);
    if (!access(path, F_OK)) *found = true;
    else if (errno != ENOENT && errno != ENOTDIR) err = errno;
    if (err) diag_error(d, NULL, "cannot read %s: %s", path, strerror(err));
  }
  arena_free(a);
  return err ? ST_FILE : ST_OK;
}

static Status save_as(const char *name, const char *previous, const char *folder, const Session *s,
                      const CheckpointInfo *info, Diags *d) {
  if (file_make_folder(folder, d) != ST_OK) return ST_FILE;
  Arena *a = arena_new();
  StTensor *t = NEWN(a, StTensor, session_plan(s)->ntensor + 1);
  int n = states_list(s, t);
  json_t *j = json_pack(
      "{s:i, s:I, s:I, s:I, s:o, s:o}", "version", VERSION, "step", (json_int_t)info->step, "epoch",
      (json_int_t)info->epoch, "total", (json_int_t)info->total, "seed", json_sprintf("%" PRIu64, info->seed),
      "plan", json_sprintf("%016" PRIx64, info->plan)); /* 64 unsigned bits do not fit a JSON integer */
  if (info->best_step)                                  /* a figure that is not finite is never the best */
    json_object_set_new(
        j, "best",
        json_pack("[f, I, I]", info->best, (json_int_t)info->best_step, (json_int_t)info->since_best));
  if (info->source) json_object_set_new(j, "source", json_sprintf("%016" PRIx64, info->source));
  if (info->data && *info->data)
    json_object_set_new(j, "data", json_string(info->data)); /* not UTF-8: left out */
  char *run = j ? json_dumps(j, JSON_COMPACT) : NULL;
  if (!run) bug("checkpoint information could not be made");
  const char *value[META] = {run, or_empty(info->model), or_empty(info->recipe), or_empty(info->text)};
  StMeta meta[META + 2] = {{"format", "jepac"}, {"crc32", sums_text(a, t, n, value)}};
  for (int i = 0; i < META; i++) meta[2 + i] = (StMeta){meta_keys[i], value[i]};
  const char *path = arena_printf(a, "%s/%s", folder, name);
  Status st = previous ? st_replace(path, arena_printf(a, "%s/%s", folder, previous), t, n, meta, META + 2, d)
                       : st_write(path, t, n, meta, META + 2, d);
  free(run);
  json_decref(j);
  arena_free(a);
  return st;
}

Status checkpoint_save(const char *folder, const Session *s, const CheckpointInfo *info, Diags *d) {
  return save_as(checkpoint_files[0], checkpoint_files[1], folder, s, info, d);
}

Status checkpoint_save_best(const char *folder, const Session *s, const CheckpointInfo *info, Diags *d) {
  return save_as(best_file, NULL, folder, s, info, d);
}

static Status read_info(const StFile *f, CheckpointInfo *info, Arena *a, Diags *d) {
  const char *run = st_meta(f, "run"), *seed = "", *plan = "", *data = "", *source = "";
  json_int_t step, epoch, total = 0, best_step = 0, since_best = 0;
  double best = 0;
  int version;
  json_error_t err;
  json_t *j = run ? json_loads(run, JSON_REJECT_DUPLICATES, &err) : NULL;
  bool ok = j && !json_unpack(j, "{s:i, s:I, s:I, s?I, s:s, s:s, s?s, s?s, s?[F, I, I]}", "version", &version,
                              "step", &step, "epoch", &epoch, "total", &total, "seed", &seed, "plan", &plan,
                              "data", &data, "source", &source, "best", &best, &best_step, &since_best);
  if (!ok || version != VERSION || step < 0 || epoch < 0) {
    diag_error(d, NULL, "%s: %s", st_path(f),
               ok && version != VERSION ? "a checkpoint of another version of jepac"
                                        : "not a checkpoint of jepac");
    ok = false;
  } else {
    *info = (CheckpointInfo){.step = step,
                             .epoch = epoch,
                             .total = total,
                             .best = best,
                             .best_step = best_step,
                             .since_best = since_best,
                             .seed = strtoull(seed, NULL, 10),
                             .plan = strtoull(plan, NULL, 16),
                             .source = strtoull(source, NULL, 16),
                             .model = arena_strdup(a, or_empty(st_meta(f, "model"))),
                             .recipe = arena_strdup(a, or_empty(st_meta(f, "recipe"))),
                             .text = arena_strdup(a, or_empty(st_meta(f, "text"))),
                             .data = arena_strdup(a, data)};
  }
  json_decref(j);
  return ok ? ST_OK : ST_FILE;
}

static StFile *open_one(const char *path, CheckpointInfo *info, Arena *a, Diags *d) {
  StFile *f = checkpoint_file(path, d);
  if (!f || read_info(f, info, a, d) == ST_OK) return f;
  st_close(f);
  errno = 0;
  return NULL;
}

StFile *checkpoint_open(const char *folder, CheckpointInfo *info, Arena *a, Diags *d) {
  Diags *newest = diags_new(a), *older = diags_new(a);
  StFile *f = open_one(file_in(a, folder, 0), info, a, newest);
  if (f) return f;
  if (errno && errno != ENOENT) { /* there may be nothing wrong with the file */
    diag_error(d, NULL, "%s", diags_first(newest));
    return NULL;
  }
  f = open_one(file_in(a, folder, 1), info, a, older);
  const char *why = diags_first(newest);
  if (!f) {
    diag_error(d, NULL, "%s", why ? why : "the checkpoint cannot be read");
    if (!access(file_in(a, folder, 1), F_OK) && diags_first(older))
      diag_note(d, NULL, "%s", diags_first(older));
    return NULL;
  }
  diag_warning(d, NULL, "%s", why ? why : "the checkpoint cannot be read");
  diag_note(d, NULL, "%s, of step %lld, is taken instead", st_path(f), (long long)info->step);
  return f;
}

StFile *checkpoint_open_best(const char *folder, CheckpointInfo *info, Arena *a, Diags *d) {
  return open_one(arena_printf(a, "%s/%s", folder, best_file), info, a, d);
}

Status checkpoint_set_aside(const char *folder, const StFile *taken, Diags *d) {
  Arena *a = arena_new();
  const char *newest = file_in(a, folder, 0), *aside = arena_printf(a, "%s/%s", folder, set_aside);
  Status st = ST_OK;
  if (strcmp(st_path(taken), newest) && rename(newest, aside) && errno != ENOENT) {
    diag_error(d, NULL, "cannot rename %s to %s: %s", newest, aside, strerror(errno));
    st = ST_FILE;
  }
  arena_free(a);
  return st;
}

StFile *states_open(const char *path, Arena *a, Diags *d) {
  CheckpointInfo ignored;
  bool found;
  if (!file_is_folder(path)) return checkpoint_file(path, d);
  if (checkpoint_find(path, &found, d)) return NULL;
  if (found) return checkpoint_open(path, &ignored, a, d);
  diag_error(d, NULL, "%s is no folder of a run: it has no %s", path, checkpoint_files[0]);
  return NULL;
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
