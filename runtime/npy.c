/* The npy format: magic, version, header length, a Python dictionary literal with the keys descr, fortran_order and
   shape, then the elements. */
#include "runtime/npy.h"
#include "runtime/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading elements ---- */
/* In the dictionary: the position after "'key':" and white space, or NULL. */
static const char *entry_of(const char *header, const char *key) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "'%s':", key);
  const char *p = strstr(header, quoted);
  if (!p) return NULL;
  p += strlen(quoted);
  return p + strspn(p, " ");
}

static const char *parse_header(const char *h, NpyArray *out) {
  const char *descr = entry_of(h, "descr"), *order = entry_of(h, "fortran_order"), *p = entry_of(h, "shape");
  if (!descr || !order || !p || *p != '(') return "its header lacks descr, fortran_order or shape";
  if (descr[0] == '[') return "its elements are structures; save each of their fields as an array";
  if (descr[0] != '\'' || !strchr("<|", descr[1]) || !descr[1])
    return "its elements are not little-endian; `.astype('<f4')` in NumPy makes them so";
  out->kind = descr[2];
  long size = strtol(descr + 3, NULL, 10);
  bool number = (strchr("iu", out->kind) && (size == 1 || size == 2 || size == 4 || size == 8)) ||
                (out->kind == 'f' && (size == 2 || size == 4 || size == 8)) ||
                (out->kind == 'b' && size == 1);
  bool text = strchr("US", out->kind) && size > 0 && size < 65536;
  if (out->kind == 'O')
    return "its elements are Python objects, not numbers (was it made of rows of unequal length?)";
  if (out->kind == 'c') return "its elements are complex numbers; save real and imaginary parts";
  if (!out->kind || (!number && !text)) return "its elements are neither numbers nor text";
  out->size = (int)(out->kind == 'U' ? 4 * size : size);
  if (strncmp(order, "False", 5))
    return "it is in Fortran order, not C order: `numpy.ascontiguousarray` gives that";
  out->count = 1;
  out->shape.rank = 0;
  p++;
  while (*(p += strspn(p, " ,")) != ')') {
    int64_t dim = 0;
    if (!isdigit((unsigned char)*p)) return "its shape is not a list of sizes";
    for (; isdigit((unsigned char)*p); p++)
      if (__builtin_mul_overflow(dim, (int64_t)10, &dim) || __builtin_add_overflow(dim, *p - '0', &dim))
        return "its shape overflows";
    if (out->shape.rank == MAX_RANK) return "it has too many dimensions";
    if (__builtin_mul_overflow(out->count, dim, &out->count)) return "its shape overflows";
    out->shape.dim[out->shape.rank++] = dim;
  }
  return NULL;
}

const char *npy_parse(const uint8_t *p, size_t n, NpyArray *out) {
  char header[4096];
  if (n < 12 || memcmp(p, "\x93NUMPY", 6)) return "no npy file";
  if (p[6] != 1 && p[6] != 2) return "only npy versions 1 and 2 are supported";
  size_t start = p[6] == 1 ? 10 : 12, length = p[8] | (size_t)p[9] << 8;
  if (p[6] == 2) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
  if (length >= sizeof header) return "its header is too long";
  if (start + length > n) return "its header is truncated";
  memcpy(header, p + start, length);
  header[length] = 0;
  const char *wrong = parse_header(header, out);
  if (wrong) return wrong;
  int64_t bytes, have = (int64_t)(n - start - length);
  if (__builtin_mul_overflow(out->count, (int64_t)out->size, &bytes)) return "its shape overflows";
  if (bytes > have) return "it is shorter than its shape says (truncated?)";
  if (bytes < have) return "it is longer than its shape says";
  out->data = p + start + length;
  return NULL;
}

double npy_number(const NpyArray *a, int64_t i) {
  const uint8_t *p = a->data + i * a->size;
  uint64_t u = 0;
  for (int k = 0; k < a->size && k < 8; k++) u |= (uint64_t)p[k] << (8 * k);
  if (a->kind == 'f' && a->size == 8) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
  }
  if (a->kind == 'f' && a->size == 2) return f16_value((uint16_t)u);
  if (a->kind == 'f') {
    uint32_t low = (uint32_t)u;
    float x;
    memcpy(&x, &low, sizeof x);
    return x;
  }
  if (a->kind != 'i') return (double)u;
  int unused = 64 - 8 * a->size;
  return (double)((int64_t)(u << unused) >> unused);
}

static size_t put_utf8(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
  out[0] = (char)(lead[more] | (c >> (6 * more) & 0x3f));
  for (int k = 1; k <= more; k++) out[k] = (char)(0x80 | (c >> (6 * (more - k)) & 0x3f));
  return (size_t)more + 1;
}

bool npy_text(const NpyArray *a, int64_t i, char *out, size_t room) {
  const uint8_t *p = a->data + i * a->size;
  size_t n = 0;
  if (a->kind != 'U' && a->kind != 'S') return false;
  int step = a->kind == 'U' ? 4 : 1;
  for (int k = 0; k < a->size && n + 5 < room; k += step) {
    uint32_t c = p[k];
    for (int b = 1; b < step; b++) c |= (uint32_t)p[k + b] << (8 * b);
    if (!c) break; /* padding */
    if (step == 1) out[n++] = (char)c;
    else n += put_utf8(c, out + n);
  }
  out[n] = 0;
  return true;
}

/* ---- one tensor ---- */
DType npy_dtype(const NpyArray *x) {
  for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
    const char *descr = dtype_row((DType)t)->npy;
    if (descr && x->kind == descr[1] && x->size == descr[2] - '0') return (DType)t;
  }
  return DT_NONE;
}

Status npy_read(const char *path, StTensor *out, Arena *a, Diags *d) {
  MappedFile m;
  NpyArray x;
  if (file_map(&m, path, d) != ST_OK) return ST_FILE;
  *out = (StTensor){.name = ""};
  const char *wrong = npy_parse(m.p, m.n, &x);
  if (!wrong && !(out->dt = npy_dtype(&x))) wrong = "its elements are text, not numbers";
  for (int64_t i = 0; !wrong && out->dt == DT_BOOL && i < x.count; i++)
    if (((const uint8_t *)x.data)[i] > 1) wrong = "a bool in it is neither 0 nor 1";
  if (wrong) {
    diag_error(d, NULL, "%s: %s", path, wrong);
  } else {
    out->shape = x.shape, out->bytes = x.count * x.size;
    void *data = arena_alloc(a, (size_t)out->bytes);
    if (out->bytes) memcpy(data, x.data, (size_t)out->bytes);
    out->data = data;
  }
  file_unmap(&m);
  return wrong ? ST_FILE : ST_OK;
}

bool npy_holds(DType dt) { return dtype_row(dt)->npy; }

void npy_header(StrBuf *out, const char *descr, const Shape *shape) {
  StrBuf h = {0};
  sb_printf(&h, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int i = 0; i < shape->rank; i++)
    sb_printf(&h, "%lld%s", (long long)shape->dim[i],
              i + 1 < shape->rank ? ", "
              : shape->rank == 1  ? ","
                                  : "");
  sb_printf(&h, "), }");
  sb_printf(&h, "%*s\n", (int)(63 - (10 + h.n) % 64), ""); /* the data begins at a multiple of 64 */
  sb_put(out, "\x93NUMPY\1\0", 8);
  sb_put(out, (const char[]){(char)h.n, (char)(h.n >> 8)}, 2);
  sb_put(out, h.s, h.n);
  sb_free(&h);
}

Status npy_write(const char *path, const StTensor *t, Diags *d) {
  const char *descr = dtype_row(t->dt)->npy;
  if (!descr) {
    diag_error(d, NULL, "%s: an npy file cannot hold elements of type %s", path, dtype_name(t->dt));
    return ST_FILE;
  }
  StrBuf h = {0};
  npy_header(&h, descr, &t->shape);
  NewFile nf;
  Status st = file_begin(&nf, path, d);
  if (st == ST_OK) {
    fwrite(h.s, 1, h.n, nf.f);
    fwrite(t->data, 1, (size_t)t->bytes, nf.f);
    st = file_commit(&nf, d);
  }
  sb_free(&h);
  return st;
}
