/* Arrays of the user's own (docs/data-sources.md, `arrays`): the fields that a model file lists are found by name in
   npz, npy or safetensors files. All are mapped, but for compressed members of npz files, which are unpacked into memory;
   a row is converted when a batch needs it. */
#include "ir/memory.h"
#include "runtime/data/archive.h"
#include "runtime/data/source.h"
#include "runtime/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One array of a file, the samples along its first axis. */
typedef struct {
  const char *name, *path;
  const uint8_t *data;
  DType from, to;
  Shape shape; /* of a sample */
  int64_t row; /* its elements */
  int64_t classes, ignore;
  MappedFile mapped;
  void *owned;
} Column;

struct Columns {
  int n;
  Column *v;
  const uint32_t *row; /* of each sample in the file; NULL: the same */
  StFile *file;
};

static void close_columns(Columns *c) {
  for (int i = 0; i < c->n; i++) {
    free(c->v[i].owned);
    file_unmap(&c->v[i].mapped);
  }
  st_close(c->file);
}

/* ---- elements ---- */
static double cell_at(const Column *c, int64_t i) {
  uint64_t word = 0; /* files promise no alignment */
  memcpy(&word, c->data + i * dtype_size(c->from), (size_t)dtype_size(c->from));
  return element_cell(c->from, &word, 0);
}

static double number_at(const Column *c, int64_t i) { return cell_value(c->from, cell_at(c, i)); }

/* false: element i is no whole number. */
static bool to_whole(const Column *c, int64_t i, Imm *out) {
  double x = cell_at(c, i);
  if (dtype_is_int(c->from)) return *out = int_imm(c->from, cell_int(c->from, x)), true;
  if (!(x == floor(x) && fabs(x) < 0x1p53)) return false;
  *out = x;
  return true;
}

static bool fill_row(const Column *c, int64_t row, void *out, Reason *why) {
  int64_t first = row * c->row;
  if (c->to == c->from) {
    int64_t size = dtype_size(c->to);
    memcpy(out, c->data + first * size, (size_t)(c->row * size));
    return true;
  }
  for (int64_t i = 0; i < c->row; i++) {
    Imm x;
    const char *wrong = NULL;
    if (dtype_is_float(c->to)) {
      element_put(c->to, out, i, number_at(c, first + i));
      continue;
    }
    if (!to_whole(c, first + i, &x)) wrong = "is no whole number";
    else if (x < dtype_least(c->to) || x > dtype_most(c->to)) wrong = "does not fit its type";
    else element_put(c->to, out, i, imm_cell(c->to, x));
    if (!wrong) continue;
    snprintf(why->text, sizeof why->text, "%s: %.9g in '%s' of sample %" PRId64 " %s", c->path,
             number_at(c, first + i), c->name, row, wrong);
    return false;
  }
  return true;
}

static bool fill_columns(const DataSet *s, const Fill *f, Reason *why) {
  const Columns *c = s->columns;
  int64_t row = c->row ? c->row[f->sample] : f->sample;
  for (int i = 0; i < c->n; i++)
    if (f->out[FIELD_ARRAY + i] && !fill_row(&c->v[i], row, f->out[FIELD_ARRAY + i], why)) return false;
  return true;
}

int columns_find(const Columns *c, const char *name) {
  for (int i = 0; i < c->n; i++)
    if (!strcmp(c->v[i].name, name)) return i;
  return -1;
}

void columns_type(const Columns *c, int i, DType *dt, Shape *sample) {
  *dt = c->v[i].to;
  *sample = c->v[i].shape;
}

/* ---- files ---- */
typedef enum { FILE_NPZ, FILE_SAFETENSORS, FILE_NPY } FileKind;
typedef struct {
  FileKind kind;
  const char *path; /* NPY: the folder */
} Place;

static bool ends_in(const char *s, const char *suffix) {
  size_t n = strlen(s), k = strlen(suffix);
  return n > k && !strcmp(s + n - k, suffix);
}

/* base.npz, base.safetensors, or `first`.npy in the folder base. */
static bool find_place(Arena *a, const char *folder, const char *base, const char *first, Place *out) {
  const char *inner = *base ? arena_printf(a, "%s/%s", folder, base) : folder;
  const char *npz = arena_printf(a, "%s.npz", *base ? base : "data");
  const char *st = arena_printf(a, "%s.safetensors", *base ? base : "data");
  if (source_file(a, folder, npz)) *out = (Place){FILE_NPZ, arena_printf(a, "%s/%s", folder, npz)};
  else if (source_file(a, folder, st)) *out = (Place){FILE_SAFETENSORS, arena_printf(a, "%s/%s", folder, st)};
  else if (source_file(a, inner, arena_printf(a, "%s.npy", first))) *out = (Place){FILE_NPY, inner};
  else return false;
  return true;
}

static Status choose_place(Opening *o, const char *first, double test, Place *out) {
  const char *dir = o->folder;
  if (!dir) {
    source_bad(o, "the arrays need --data: a folder, an .npz or a .safetensors file");
    diag_note(o->d, NULL,
              "a folder has train.npz and test.npz, or .safetensors, or train/NAME.npy and test/NAME.npy");
    return ST_FILE;
  }
  if (access(dir, F_OK)) return source_bad(o, "%s does not exist", dir);
  Place whole = {0}, other = {0};
  bool one = ends_in(dir, ".npz") || ends_in(dir, ".safetensors");
  if (one) whole = (Place){ends_in(dir, ".npz") ? FILE_NPZ : FILE_SAFETENSORS, dir};
  else if (!file_is_folder(dir))
    return source_bad(o, "%s is neither an .npz nor a .safetensors file nor a folder", dir);
  else if (!find_place(o->a, dir, "train", first, &whole) && !find_place(o->a, dir, "", first, &whole))
    return source_bad(
        o,
        "%s has neither train.npz nor train.safetensors, train/%s.npy, data.npz, data.safetensors or %s.npy",
        dir, first, first);
  bool apart =
      !one && (find_place(o->a, dir, "test", first, &other) || find_place(o->a, dir, "val", first, &other));
  if (apart && test > 0)
    return source_wrong(o, "test = %g of arrays has no effect: %s is a test part of its own", test,
                        other.path);
  if (!o->train && !apart && test == 0) {
    source_bad(o, "%s has no test part", dir);
    diag_note(
        o->d, NULL,
        "add test.npz, test.safetensors or test/%s.npy, or keep some samples back: arrays(..., test = 0.1)",
        first);
    return ST_FILE;
  }
  *out = o->train || test > 0 ? whole : other;
  return ST_OK;
}

/* ---- opening ---- */
static const Setting *part_of(const Setting *array, const char *name) {
  return setting_find(array->item, array->nitem, name);
}

static int64_t number_of(const Setting *array, const char *name, int64_t absent) {
  const Setting *s = part_of(array, name);
  return s && s->kind == SET_NUM ? (int64_t)s->num : absent;
}

static Status take_npy(Opening *o, Column *c, const uint8_t *p, size_t n, Shape *shape) {
  NpyArray x;
  const char *wrong = npy_parse(p, n, &x);
  if (!wrong && strchr("US", x.kind)) wrong = "it holds text, not numbers";
  if (wrong) return source_bad(o, "%s: array '%s': %s", c->path, c->name, wrong);
  c->data = x.data;
  c->from = npy_dtype(&x);
  *shape = x.shape;
  return ST_OK;
}

static Status take_tensor(Opening *o, Column *c, const StFile *f, Shape *shape) {
  const StTensor *t = st_find(f, c->name);
  if (!t) {
    const char **have = NEWN(o->a, const char *, st_count(f) + 1);
    for (int i = 0; i < st_count(f); i++) have[i] = st_tensor(f, i)->name;
    const char *near = nearest_name(c->name, have, st_count(f));
    return source_bad(o, "%s has no array '%s'%s%s%s", c->path, c->name, near ? "; did you mean '" : "",
                      near ? near : "", near ? "'?" : "");
  }
  c->data = t->data;
  c->from = t->dt;
  *shape = t->shape;
  return ST_OK;
}

static Status open_column(Opening *o, Columns *all, const Place *p, Column *c, Shape *shape) {
  const uint8_t *stored;
  uint8_t *bytes;
  size_t size;
  int64_t n;
  c->path = p->path;
  switch (p->kind) {
  case FILE_SAFETENSORS: return take_tensor(o, c, all->file, shape);
  case FILE_NPZ:
    if (file_map(&c->mapped, p->path, o->d)) return ST_FILE;
    if (archive_npz_stored(&c->mapped, c->name, &stored, &size)) return take_npy(o, c, stored, size, shape);
    file_unmap(&c->mapped);
    if (archive_npz_member(p->path, c->name, &bytes, &n, o->d)) return ST_FILE;
    c->owned = bytes;
    return take_npy(o, c, bytes, (size_t)n, shape);
  case FILE_NPY:
    c->path = arena_printf(o->a, "%s/%s.npy", p->path, c->name);
    if (file_map(&c->mapped, c->path, o->d)) return ST_FILE;
    return take_npy(o, c, c->mapped.p, c->mapped.n, shape);
  }
  bug("a file of unknown kind");
}

static const char *shape_list(Arena *a, const int64_t *dim, int n) {
  const char *text = "[";
  for (int i = 0; i < n; i++) text = arena_printf(a, "%s%s%lld", text, i ? ", " : "", (long long)dim[i]);
  return arena_printf(a, "%s]", text);
}

/* The array's samples are as the model file says, and as many as the other arrays'. */
static Status check_column(Opening *o, const Columns *all, Column *c, const Setting *array, const Shape *have,
                           int64_t *samples) {
  const Setting *want = part_of(array, "shape");
  int rank = want->nitem;
  bool same = have->rank == rank + 1;
  for (int i = 0; i < rank && same; i++) same = have->dim[i + 1] == (int64_t)want->item[i].num;
  c->shape.rank = rank;
  for (int i = 0; i < rank; i++) c->shape.dim[i] = (int64_t)want->item[i].num;
  if (!same) {
    source_wrong(o, "%s: array '%s' is %s, but the model file has samples of %s", c->path, c->name,
                 shape_list(o->a, have->dim, have->rank), shape_list(o->a, c->shape.dim, rank));
    if (have->rank && c->classes && !rank)
      diag_note(o->d, NULL,
                have->dim[have->rank - 1] == 1
                    ? "a label is one number a sample: `%s.reshape(-1)` in NumPy"
                    : "a label is the number of a class: `%s.argmax(-1)` in NumPy, where these are one-hot",
                c->name);
    else if (have->rank)
      diag_note(o->d, NULL, "samples are along the first axis: array(\"%s\", %s)", c->name,
                shape_list(o->a, have->dim + 1, have->rank - 1));
    return ST_MODEL;
  }
  if (*samples >= 0 && have->dim[0] != *samples)
    return source_bad(o, "%s holds %lld samples of '%s', but %s holds %lld of '%s'", all->v[0].path,
                      (long long)*samples, all->v[0].name, c->path, (long long)have->dim[0], c->name);
  *samples = have->dim[0];
  c->row = shape_count(&c->shape);
  return ST_OK;
}

static Status check_classes(Opening *o, const Column *c, int64_t samples) {
  for (int64_t i = 0; c->classes && i < samples * c->row; i++) {
    Imm k;
    if (!to_whole(c, i, &k))
      return source_bad(o, "%s: label %g of sample %lld in '%s' is no whole number", c->path, number_at(c, i),
                        (long long)(i / c->row), c->name);
    if ((k < 0 || k >= c->classes) && k != c->ignore)
      return source_bad(o, "%s: label %.0Lf of sample %lld in '%s' is not in 0..%lld", c->path, k,
                        (long long)(i / c->row), c->name, (long long)c->classes - 1);
  }
  return ST_OK;
}

static int by_row(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Keeps `test` of the samples back, the same ones for every seed. */
static Status split(Opening *o, Columns *c, double test) {
  DataSet *s = o->s;
  int64_t n = s->samples, kept = (int64_t)(test * (double)n + 0.5);
  if (kept < 1 || kept >= n)
    return source_wrong(o, "test = %g of %lld samples leaves no %s samples", test, (long long)n,
                        kept < 1 ? "test" : "training");
  uint32_t *row = NEWN(o->a, uint32_t, n);
  Rng r = rng_stream(0, 0, 0, 0xfffffffdu);
  for (int64_t i = 0; i < n; i++) row[i] = (uint32_t)i;
  for (int64_t i = n; i > 1; i--) {
    uint32_t k = rng_below(&r, (uint32_t)i), t = row[k];
    row[k] = row[i - 1];
    row[i - 1] = t;
  }
  if (o->train) row += kept;
  s->samples = o->train ? n - kept : kept;
  qsort(row, (size_t)s->samples, sizeof *row, by_row);
  c->row = row;
  return ST_OK;
}

Status open_columns(Opening *o) {
  const Setting *list = setting_find(o->spec->set, o->spec->nset, "fields");
  double test = source_number(o, "test", 0);
  Columns *all = NEW(o->a, Columns);
  int64_t samples = -1;
  if (!list || list->kind != SET_LIST || list->nitem < 1 || list->nitem > MAX_ARRAYS)
    return source_wrong(o, "a source of arrays lists 1 to %d of them", MAX_ARRAYS);
  all->v = NEWN(o->a, Column, list->nitem);
  o->s->columns = all;
  o->s->close_columns = close_columns;
  Place place = {0};
  Status st = choose_place(o, part_of(&list->item[0], "name")->str, test, &place);
  if (st) return st;
  if (place.kind == FILE_SAFETENSORS && !(all->file = st_open(place.path, o->d))) return ST_FILE;
  for (int i = 0; i < list->nitem; i++) {
    const Setting *a = &list->item[i];
    Column *c = &all->v[all->n++];
    Shape have;
    *c = (Column){.name = part_of(a, "name")->str,
                  .to = dtype_parse(part_of(a, "type")->str),
                  .classes = number_of(a, "classes", 0),
                  .ignore = number_of(a, "ignore", INT64_MIN)};
    if ((st = open_column(o, all, &place, c, &have)) || (st = check_column(o, all, c, a, &have, &samples)) ||
        (st = check_classes(o, c, samples)))
      return st;
    if (!strcmp(c->name, "label")) o->s->classes = (int)c->classes;
  }
  if (samples < 1 || samples > INT32_MAX)
    return source_bad(o, "%s holds %lld samples", place.path, (long long)samples);
  o->s->samples = samples;
  o->s->fill = fill_columns;
  return test > 0 ? split(o, all, test) : ST_OK;
}
