/* Element types and tensors of ONNX files. Types that jepac lacks are held by wider ones. */
#include "onnx/import.h"
#include "runtime/file.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const OxElem elems[] = {
    [0] = {.name = "undefined"},
    [1] = {.name = "float", .dt = DT_F32, .bits = 32},
    [2] = {.name = "uint8", .dt = DT_I32, .bits = 8, .wrap = 8},
    [3] = {.name = "int8", .dt = DT_I32, .bits = 8, .wrap = -8},
    [4] = {.name = "uint16", .dt = DT_I32, .bits = 16, .wrap = 16},
    [5] = {.name = "int16", .dt = DT_I32, .bits = 16, .wrap = -16},
    [6] = {.name = "int32", .dt = DT_I32, .bits = 32},
    [7] = {.name = "int64", .dt = DT_I64, .bits = 64},
    [8] = {.name = "string"},
    [9] = {.name = "bool", .dt = DT_BOOL, .bits = 8},
    [10] = {.name = "float16", .dt = DT_F32, .bits = 16, .exponent = 5, .mantissa = 10, .bias = 15},
    [11] = {.name = "double", .dt = DT_F64, .bits = 64},
    [12] = {.name = "uint32", .dt = DT_U32, .bits = 32},
    [13] = {.name = "uint64", .dt = DT_I64, .bits = 64},
    [14] = {.name = "complex64"},
    [15] = {.name = "complex128"},
    [16] = {.name = "bfloat16", .dt = DT_F32, .bits = 16, .exponent = 8, .mantissa = 7, .bias = 127},
    [17] = {.name = "float8e4m3fn", .dt = DT_F32, .bits = 8, .exponent = 4, .mantissa = 3, .bias = 7, .finite = true},
    [18] = {.name = "float8e4m3fnuz", .dt = DT_F32, .bits = 8, .exponent = 4, .mantissa = 3, .bias = 8, .finite = true, .uz = true},
    [19] = {.name = "float8e5m2", .dt = DT_F32, .bits = 8, .exponent = 5, .mantissa = 2, .bias = 15},
    [20] = {.name = "float8e5m2fnuz", .dt = DT_F32, .bits = 8, .exponent = 5, .mantissa = 2, .bias = 16, .finite = true, .uz = true},
    [21] = {.name = "uint4", .dt = DT_I32, .bits = 4, .wrap = 4},
    [22] = {.name = "int4", .dt = DT_I32, .bits = 4, .wrap = -4},
    [23] = {.name = "float4e2m1", .dt = DT_F32, .bits = 4, .exponent = 2, .mantissa = 1, .bias = 1, .finite = true},
    [24] = {.name = "float8e8m0", .dt = DT_F32, .bits = 8, .exponent = 8, .mantissa = 0, .bias = 127, .finite = true},
    [25] = {.name = "uint2", .dt = DT_I32, .bits = 2, .wrap = 2},
    [26] = {.name = "int2", .dt = DT_I32, .bits = 2, .wrap = -2},
};
enum { ELEMS = sizeof elems / sizeof *elems };

const OxElem *ox_elem(int type) { return &elems[type > 0 && type < ELEMS ? type : 0]; }

static void blame(Import *im, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void blame(Import *im, const char *name, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[400];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  im->problems++;
  diag_error(im->d, NULL, "%s: tensor '%s' %s", im->what->model, name, text);
}

/* ---- data in a file of its own ---- */

static const char *entry(const TensorProto *t, const char *key) {
  for (size_t i = 0; i < t->n_external_data; i++)
    if (t->external_data[i]->key && t->external_data[i]->value && !strcmp(t->external_data[i]->key, key))
      return t->external_data[i]->value;
  return NULL;
}

static bool number_of(const char *s, int64_t *out) {
  char *end;
  errno = 0;
  *out = s ? strtoll(s, &end, 10) : 0;
  return !s || (!errno && end != s && !*end && *out >= 0);
}

static bool is_external(const TensorProto *t) {
  return t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

/* Where it lies, NULL after a problem. A model says what is beside it, and no other file of its reader's. */
static const char *external_path(Import *im, const TensorProto *t, const char *name) {
  const char *location = entry(t, "location");
  if (!location || !*location) {
    blame(im, name, "lies in a file without a name");
    return NULL;
  }
  char folder[PATH_MAX], path[PATH_MAX];
  const char *full = arena_printf(im->a, "%s/%s", im->folder, location);
  if (location[0] == '/' || strstr(location, "..")) {
    blame(im, name, "lies in %s, outside of the model's folder", location);
    return NULL;
  }
  if (!realpath(im->folder, folder) || !realpath(full, path)) {
    blame(im, name, "lies in %s: %s", full, strerror(errno));
    return NULL;
  }
  size_t n = strlen(folder);
  if (strncmp(folder, path, n) || (n > 1 && path[n] != '/')) {
    blame(im, name, "lies in %s, outside of the model's folder", path);
    return NULL;
  }
  return full;
}

static const unsigned char *external_data(Import *im, const TensorProto *t, const char *name, int64_t want) {
  int64_t offset = 0, length = 0;
  if (!number_of(entry(t, "offset"), &offset) || !number_of(entry(t, "length"), &length)) {
    blame(im, name, "has an offset or length that is no number");
    return NULL;
  }
  const char *path = external_path(im, t, name);
  if (!path) return NULL;
  if (entry(t, "length") && length != want) {
    blame(im, name, "takes %lld bytes, but is said to have %lld", (long long)want, (long long)length);
    return NULL;
  }
  MappedFile m;
  if (file_map(&m, path, im->d)) {
    im->problems++;
    return NULL;
  }
  const unsigned char *p = NULL;
  if ((uint64_t)offset > m.n || (uint64_t)want > m.n - (uint64_t)offset)
    blame(im, name, "lies at %lld of %s, which has %zu bytes, %lld too few", (long long)offset, path, m.n,
          (long long)(offset + want - (int64_t)m.n));
  else {
    unsigned char *copy = arena_alloc(im->a, (size_t)want + 1);
    memcpy(copy, m.p + offset, (size_t)want);
    p = copy;
  }
  file_unmap(&m);
  return p;
}

/* ---- checks ---- */

static int64_t bytes_of(const OxElem *e, int64_t count) { return (count * e->bits + 7) / 8; }

static int64_t listed(const TensorProto *t) {
  switch (t->data_type) {
  case 1: return (int64_t)t->n_float_data;
  case 7: return (int64_t)t->n_int64_data;
  case 11: return (int64_t)t->n_double_data;
  case 12:
  case 13: return (int64_t)t->n_uint64_data;
  default: return (int64_t)t->n_int32_data;
  }
}

bool ox_tensor_check(Import *im, const TensorProto *t, const char *name, int64_t *count) {
  const OxElem *e = ox_elem(t->data_type);
  *count = 1;
  if (e->dt == DT_NONE) {
    blame(im, name, "has elements of type %s (%d), which jepac has nothing for", e->name, t->data_type);
    return false;
  }
  if (t->n_dims > MAX_RANK) {
    blame(im, name, "has %zu axes, at most %d are supported", t->n_dims, MAX_RANK);
    return false;
  }
  for (size_t i = 0; i < t->n_dims; i++) {
    if (t->dims[i] < 0 || t->dims[i] > ((int64_t)1 << 40) ||
        (t->dims[i] && *count > ((int64_t)1 << 40) / t->dims[i])) {
      blame(im, name, "cannot have an extent of %lld", (long long)t->dims[i]);
      return false;
    }
    *count *= t->dims[i];
  }
  int64_t want = bytes_of(e, *count);
  if (is_external(t)) return true;
  if (t->has_raw_data && t->raw_data.len) {
    if ((int64_t)t->raw_data.len == want) return true;
    blame(im, name, "takes %lld bytes, but has %zu", (long long)want, t->raw_data.len);
    return false;
  }
  int64_t have = listed(t), per = e->bits < 8 ? 8 / e->bits : 1;
  if (have == *count || (per > 1 && have == (*count + per - 1) / per)) return true;
  blame(im, name, "has %lld elements, but its shape is of %lld", (long long)have, (long long)*count);
  return false;
}

/* ---- elements ---- */

static double narrow_float(const OxElem *e, unsigned bits) {
  unsigned sign = bits >> (e->exponent + e->mantissa) & 1;
  unsigned exponent = bits >> e->mantissa & ((1u << e->exponent) - 1), mantissa = bits & ((1u << e->mantissa) - 1);
  unsigned top = (1u << e->exponent) - 1;
  if (e->exponent == 8 && !e->mantissa) return bits == 255 ? NAN : ldexp(1, (int)bits - 127);
  if (e->uz && bits == 1u << (e->exponent + e->mantissa)) return NAN;
  if (!e->finite && exponent == top) return mantissa ? NAN : sign ? -INFINITY : INFINITY;
  if (e->finite && !e->uz && e->bits == 8 && exponent == top && mantissa == (1u << e->mantissa) - 1) return NAN;
  double x = exponent ? ldexp((1u << e->mantissa) | mantissa, (int)exponent - e->bias - e->mantissa)
                      : ldexp(mantissa, 1 - e->bias - e->mantissa);
  return sign ? -x : x;
}

/* Element i of narrow ones, as its bits. */
static unsigned narrow_bits(const OxElem *e, const TensorProto *t, const unsigned char *raw, int64_t i) {
  unsigned mask = e->bits < 32 ? (1u << e->bits) - 1 : ~0u;
  if (e->bits < 8) {
    int64_t per = 8 / e->bits;
    unsigned byte = raw ? raw[i / per] : (unsigned)t->int32_data[i / per];
    return byte >> (e->bits * (i % per)) & mask;
  }
  if (!raw) return (unsigned)t->int32_data[i] & mask;
  if (e->bits == 8) return raw[i];
  uint16_t h;
  memcpy(&h, raw + 2 * i, 2);
  return h;
}

static void unpack(const OxElem *e, const TensorProto *t, const unsigned char *raw, int64_t n, void *out) {
  for (int64_t i = 0; i < n; i++) {
    unsigned bits = narrow_bits(e, t, raw, i);
    if (e->exponent) ((float *)out)[i] = (float)narrow_float(e, bits);
    else if (e->wrap < 0 && bits >> (-e->wrap - 1)) ((int32_t *)out)[i] = (int32_t)bits - (1 << -e->wrap);
    else ((int32_t *)out)[i] = (int32_t)bits;
  }
}

static const void *listed_data(Import *im, const OxElem *e, const TensorProto *t, int64_t n) {
  switch (t->data_type) {
  case 1: return t->float_data;
  case 6: return t->int32_data;
  case 7: return t->int64_data;
  case 11: return t->double_data;
  case 13: return t->uint64_data;
  default: break;
  }
  unsigned char *p = arena_alloc(im->a, (size_t)(n * dtype_size(e->dt)) + 1);
  for (int64_t i = 0; i < n; i++)
    if (e->dt == DT_BOOL) p[i] = t->int32_data[i] != 0;
    else ((uint32_t *)p)[i] = (uint32_t)t->uint64_data[i];
  return p;
}

const void *ox_tensor_data(Import *im, const TensorProto *t, const char *name, DType *dt) {
  int64_t n;
  if (!ox_tensor_check(im, t, name, &n)) return NULL;
  const OxElem *e = ox_elem(t->data_type);
  *dt = e->dt;
  const unsigned char *raw = NULL;
  if (is_external(t)) {
    if (!(raw = external_data(im, t, name, bytes_of(e, n)))) return NULL;
  } else if (t->has_raw_data && t->raw_data.len) {
    raw = t->raw_data.data;
  }
  if (!n) return "";
  if (e->wrap || e->exponent) {
    void *out = arena_alloc(im->a, (size_t)n * 4);
    unpack(e, t, raw, n, out);
    return out;
  }
  if (!raw) return listed_data(im, e, t, n);
  unsigned char *out = arena_alloc(im->a, (size_t)bytes_of(e, n) + 1); /* aligned */
  memcpy(out, raw, (size_t)bytes_of(e, n));
  for (int64_t i = 0; e->dt == DT_BOOL && i < n; i++) out[i] = out[i] != 0;
  return out;
}

bool ox_tensor_numbers(Import *im, const TensorProto *t, const char *name, double *out, int64_t n) {
  DType dt;
  const void *p = ox_tensor_data(im, t, name, &dt);
  if (!p) return false;
  for (int64_t i = 0; i < n; i++)
    switch (dt) {
    case DT_F32: out[i] = ((const float *)p)[i]; break;
    case DT_F64: out[i] = ((const double *)p)[i]; break;
    case DT_I32: out[i] = ((const int32_t *)p)[i]; break;
    case DT_I64: out[i] = (double)((const int64_t *)p)[i]; break;
    case DT_U32: out[i] = ((const uint32_t *)p)[i]; break;
    default: out[i] = ((const unsigned char *)p)[i]; break;
    }
  return true;
}
