/* safetensors files: 8 bytes of header length, a JSON header {"name": {"dtype", "shape", "data_offsets"},
   "__metadata__":
   {...}}, then the data. The reader trusts nothing: every number is checked against the file's size before
   use, and the tensors must cover the data without overlaps or holes, as the format demands. */
#include "runtime/safetensors.h"
#include "runtime/file.h"
#include "ir/memory.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20 }; /* as the reference reader */

static DType type_named(const char *name) {
  for (int t = DT_NONE + 1; t < DT_COUNT; t++)
    if (!strcmp(dtype_row((DType)t)->st, name)) return (DType)t;
  return DT_NONE;
}

struct StFile {
  Arena *arena;
  MappedFile map;
  const char *path;
  VEC(StTensor) tensor; /* in name order, for st_find */
  VEC(StMeta) meta;
};

typedef struct {
  int64_t begin, end;
  const char *name;
} Extent;

__attribute__((format(printf, 2, 3))) static bool fail(Diags *d, const char *fmt, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  diag_error(d, NULL, "%s", text);
  return false;
}

static bool read_shape(const StFile *f, const char *name, json_t *list, Shape *shape, int64_t *count,
                       Diags *d) {
  if (!json_is_array(list)) return fail(d, "%s: tensor %s: \"shape\" is not a list", f->path, name);
  size_t rank = json_array_size(list);
  if (rank > MAX_RANK)
    return fail(d, "%s: tensor %s has %zu dimensions; at most %d are supported", f->path, name, rank,
                MAX_RANK);
  shape->rank = (int)rank;
  *count = 1;
  for (size_t i = 0; i < rank; i++) {
    json_t *e = json_array_get(list, i);
    int64_t dim = json_is_integer(e) ? json_integer_value(e) : -1;
    if (dim < 0) return fail(d, "%s: tensor %s: dimension %zu is not a size", f->path, name, i);
    if (__builtin_mul_overflow(*count, dim, count))
      return fail(d, "%s: tensor %s: its shape overflows", f->path, name);
    shape->dim[i] = dim;
  }
  return true;
}

static bool read_tensor(StFile *f, const char *name, json_t *e, const unsigned char *data, int64_t ndata,
                        Extent *ex, Diags *d) {
  json_t *type = json_object_get(e, "dtype"), *off = json_object_get(e, "data_offsets");
  StTensor t = {.name = arena_strdup(f->arena, name)};
  int64_t count = 0, bytes;
  if (!json_is_object(e) || json_object_size(e) != 3)
    return fail(d, "%s: tensor %s: expected an object with \"dtype\", \"shape\" and \"data_offsets\"",
                f->path, name);
  if (!json_is_string(type)) return fail(d, "%s: tensor %s: \"dtype\" is not text", f->path, name);
  t.dt = type_named(json_string_value(type));
  if (t.dt == DT_NONE)
    return fail(d, "%s: tensor %s has element type %s, which is not supported", f->path, name,
                json_string_value(type));
  if (!read_shape(f, name, json_object_get(e, "shape"), &t.shape, &count, d)) return false;
  if (__builtin_mul_overflow(count, dtype_size(t.dt), &bytes))
    return fail(d, "%s: tensor %s: its shape overflows", f->path, name);
  if (!json_is_array(off) || json_array_size(off) != 2 || !json_is_integer(json_array_get(off, 0)) ||
      !json_is_integer(json_array_get(off, 1)))
    return fail(d, "%s: tensor %s: \"data_offsets\" is not [begin, end]", f->path, name);
  int64_t begin = json_integer_value(json_array_get(off, 0)),
          end = json_integer_value(json_array_get(off, 1));
  if (begin < 0 || end < begin)
    return fail(d, "%s: tensor %s: its data offsets are out of order", f->path, name);
  if (end > ndata)
    return fail(d, "%s: tensor %s ends at byte %lld of the data, but the file has only %lld (truncated?)",
                f->path, name, (long long)end, (long long)ndata);
  if (end - begin != bytes)
    return fail(d, "%s: tensor %s: its shape needs %lld bytes but its data offsets give %lld", f->path, name,
                (long long)bytes, (long long)(end - begin));
  t.bytes = bytes;
  if ((uintptr_t)(data + begin) % (uintptr_t)dtype_size(t.dt)) { /* the format promises no alignment */
    void *copy = arena_alloc(f->arena, (size_t)bytes);
    memcpy(copy, data + begin, (size_t)bytes);
    t.data = copy;
  } else {
    t.data = data + begin;
  }
  for (int64_t i = 0; t.dt == DT_BOOL && i < bytes; i++)
    if (((const uint8_t *)t.data)[i] > 1)
      return fail(d, "%s: tensor %s: a BOOL is neither 0 nor 1", f->path, name);
  *ex = (Extent){begin, end, t.name};
  vec_push(f->arena, &f->tensor, t);
  return true;
}

static int by_begin(const void *a, const void *b) {
  const Extent *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const StTensor *)a)->name, ((const StTensor *)b)->name);
}

static bool read_header(StFile *f, json_t *root, const unsigned char *data, int64_t ndata, Diags *d) {
  const char *key;
  json_t *e;
  Extent *ex = NEWN(f->arena, Extent, json_object_size(root) + 1);
  json_object_foreach(root, key, e) {
    if (!strcmp(key, "__metadata__")) {
      const char *k;
      json_t *v;
      if (!json_is_object(e)) return fail(d, "%s: \"__metadata__\" is not an object", f->path);
      json_object_foreach(e, k, v) {
        if (!json_is_string(v)) return fail(d, "%s: metadata \"%s\" is not text", f->path, k);
        StMeta m = {arena_strdup(f->arena, k), arena_strdup(f->arena, json_string_value(v))};
        vec_push(f->arena, &f->meta, m);
      }
    } else if (!read_tensor(f, key, e, data, ndata, &ex[f->tensor.n], d)) {
      return false;
    }
  }
  int n = f->tensor.n;
  int64_t at = 0;
  if (n) qsort(ex, (size_t)n, sizeof *ex, by_begin);
  for (int i = 0; i < n; i++) {
    if (ex[i].begin < at)
      return fail(d, "%s: the data of tensors %s and %s overlap", f->path, ex[i - 1].name, ex[i].name);
    if (ex[i].begin > at)
      return fail(d, "%s: %lld bytes before tensor %s belong to no tensor", f->path,
                  (long long)(ex[i].begin - at), ex[i].name);
    at = ex[i].end;
  }
  if (at != ndata) return fail(d, "%s: %lld bytes after the last tensor", f->path, (long long)(ndata - at));
  if (n) qsort(f->tensor.v, (size_t)n, sizeof *f->tensor.v, by_name);
  return true;
}

/* Where memory runs out jansson may report any error or drop a character of a text, but hardly the same twice. */
static json_t *parse(const StFile *f, size_t n, json_error_t *err) {
  json_error_t again;
  json_t *a = json_loadb((const char *)f->map.p + 8, n, JSON_REJECT_DUPLICATES, err);
  json_t *b = json_loadb((const char *)f->map.p + 8, n, JSON_REJECT_DUPLICATES, &again);
  bool same = a && b ? json_equal(a, b) : !a && !b && *err->text && err->position == again.position;
  json_decref(b);
  if (same) return a;
  json_decref(a);
  out_of_memory(f->path, n);
}

static bool read_file(StFile *f, Diags *d) {
  if (f->map.n < 8) return fail(d, "%s: not a safetensors file: only %zu bytes", f->path, f->map.n);
  if (!memcmp(f->map.p, "PK\003\004", 4))
    return fail(
        d,
        "%s: not a safetensors file but a zip archive, as torch.save and numpy.savez write: save it with "
        "safetensors.torch.save_file or safetensors.numpy.save_file",
        f->path);
  uint64_t nheader = 0;
  for (int i = 7; i >= 0; i--) nheader = nheader << 8 | f->map.p[i];
  if (nheader > f->map.n - 8)
    return fail(d, "%s: not a safetensors file, or truncated: its header claims %llu bytes of a file of %zu",
                f->path, (unsigned long long)nheader, f->map.n);
  if (nheader > MAX_HEADER)
    return fail(d, "%s: its header of %llu bytes is too long", f->path, (unsigned long long)nheader);
  json_error_t err;
  snprintf(err.text, sizeof err.text, "it does not begin with '{'");
  json_t *root = !nheader || f->map.p[8] == '{' ? parse(f, nheader, &err) : NULL;
  if (!root) return fail(d, "%s: bad safetensors header: %s", f->path, err.text);
  bool ok = read_header(f, root, f->map.p + 8 + nheader, (int64_t)(f->map.n - 8 - nheader), d);
  json_decref(root);
  return ok;
}

static void close_file(void *f) { st_close(f); }

StFile *st_open(const char *path, Diags *d) {
  Arena *a = arena_new();
  StFile *f = NEW(a, StFile);
  f->arena = a;
  f->path = arena_strdup(a, path);
  Undo undo = {0};
  undo_push(&undo, close_file, f);
  bool mapped = file_map(&f->map, path, d) == ST_OK, ok = mapped && read_file(f, d);
  int err = mapped ? 0 : errno;
  undo_drop(&undo);
  if (ok) return f;
  st_close(f);
  errno = err;
  return NULL;
}

void st_close(StFile *f) {
  if (!f) return;
  file_unmap(&f->map);
  arena_free(f->arena);
}

const char *st_path(const StFile *f) { return f->path; }
int st_count(const StFile *f) { return f->tensor.n; }
const StTensor *st_tensor(const StFile *f, int i) { return &f->tensor.v[i]; }

const StTensor *st_find(const StFile *f, const char *name) {
  StTensor key = {.name = name};
  return f->tensor.n ? bsearch(&key, f->tensor.v, (size_t)f->tensor.n, sizeof key, by_name) : NULL;
}

const char *st_meta(const StFile *f, const char *key) {
  for (int i = 0; i < f->meta.n; i++)
    if (!strcmp(f->meta.v[i].key, key)) return f->meta.v[i].value;
  return NULL;
}

/* ---- writing ---- */
static json_t *need(json_t *j) {
  if (!j) out_of_memory("the header of a file", 0);
  return j;
}

/* false: a name is given twice or is no UTF-8. */
static bool put(json_t *object, const char *key, json_t *value) {
  if (!text_is_utf8(key) || json_object_get(object, key)) {
    json_decref(value);
    return false;
  }
  if (json_object_set_new_nocheck(object, key, need(value))) out_of_memory("the header of a file", 0);
  return true;
}

static void append(json_t *list, int64_t n) {
  if (json_array_append_new(list, need(json_integer(n)))) out_of_memory("the header of a file", 0);
}

static char *make_header(const StTensor *t, int n, const StMeta *meta, int nmeta, Diags *d) {
  json_t *root = need(json_object());
  if (nmeta) {
    json_t *m = need(json_object());
    for (int i = 0; i < nmeta; i++)
      if (!text_is_utf8(meta[i].value) || !put(m, meta[i].key, json_string_nocheck(meta[i].value))) {
        diag_error(d, NULL, "metadata %s is not UTF-8 text", meta[i].key);
        json_decref(m);
        json_decref(root);
        return NULL;
      }
    put(root, "__metadata__", m);
  }
  int64_t at = 0;
  for (int i = 0; i < n; i++) {
    if (t[i].dt == DT_NONE) bug("tensor %s of no type written", t[i].name);
    if (t[i].bytes != shape_count(&t[i].shape) * dtype_size(t[i].dt)) bug("tensor %s: wrong size", t[i].name);
    json_t *e = need(json_object()), *shape = need(json_array()), *place = need(json_array());
    for (int r = 0; r < t[i].shape.rank; r++) append(shape, t[i].shape.dim[r]);
    append(place, at);
    append(place, at + t[i].bytes);
    put(e, "dtype", json_string_nocheck(dtype_row(t[i].dt)->st));
    put(e, "shape", shape);
    put(e, "data_offsets", place);
    if (!put(root, t[i].name, e)) {
      diag_error(d, NULL, "tensor name %s is given twice or is not UTF-8 text", t[i].name);
      json_decref(root);
      return NULL;
    }
    at += t[i].bytes;
  }
  size_t room = json_dumpb(root, NULL, 0, JSON_COMPACT); /* json_dumps drops text where it has no memory */
  char *s = xmalloc(room + 1, "the header of a file");
  if (!room || json_dumpb(root, s, room, JSON_COMPACT) != room) out_of_memory("the header of a file", room);
  s[room] = 0;
  json_decref(root);
  return s;
}

/* With its length before it and blanks behind it: data begin on a cache line. */
static char *whole_header(const StTensor *t, int n, const StMeta *meta, int nmeta, size_t *size, Diags *d) {
  char *text = make_header(t, n, meta, nmeta, d);
  if (!text) return NULL;
  size_t len = strlen(text), total = (8 + len + 63) / 64 * 64;
  char *s = xmalloc(total, "the header of a file");
  for (int i = 0; i < 8; i++) s[i] = (char)((uint64_t)(total - 8) >> (8 * i));
  memcpy(s + 8, text, len);
  memset(s + 8 + len, ' ', total - 8 - len);
  free(text);
  *size = total;
  return s;
}

char *st_header(const StTensor *t, int n, size_t *size, Diags *d) {
  return whole_header(t, n, NULL, 0, size, d);
}

Status st_write(const char *path, const StTensor *t, int n, const StMeta *meta, int nmeta, Diags *d) {
  return st_replace(path, NULL, t, n, meta, nmeta, d);
}

Status st_replace(const char *path, const char *previous, const StTensor *t, int n, const StMeta *meta,
                  int nmeta, Diags *d) {
  size_t size;
  char *header = whole_header(t, n, meta, nmeta, &size, d);
  if (!header) return ST_FILE;
  NewFile nf;
  Status st = file_begin(&nf, path, d);
  if (st == ST_OK) {
    nf.previous = previous;
    fwrite(header, 1, size, nf.f);
    for (int i = 0; i < n && !ferror(nf.f); i++) fwrite(t[i].data, 1, (size_t)t[i].bytes, nf.f);
    st = file_commit(&nf, d); /* also reports the writes that failed */
  }
  free(header);
  return st;
}
