/* Element types and static shapes. */
#include "ir/type.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int size;
  bool is_float, is_int;
} types[DT_COUNT] = {
    [DT_NONE] = {"none", 0, false, false}, [DT_F32] = {"f32", 4, true, false},
    [DT_F64] = {"f64", 8, true, false},    [DT_BF16] = {"bf16", 2, true, false},
    [DT_I32] = {"i32", 4, false, true},    [DT_I64] = {"i64", 8, false, true},
    [DT_U32] = {"u32", 4, false, true},    [DT_BOOL] = {"bool", 1, false, false},
};

const char *dtype_name(DType t) { return types[t].name; }

DType dtype_parse(const char *s) {
  for (int t = DT_NONE + 1; t < DT_COUNT; t++)
    if (strcmp(types[t].name, s) == 0) return (DType)t;
  return DT_NONE;
}

int64_t dtype_size(DType t) { return types[t].size; }
bool dtype_is_float(DType t) { return types[t].is_float; }
bool dtype_is_int(DType t) { return types[t].is_int; }

uint16_t bf16_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
  if (!(u & 0x7f800000)) return (uint16_t)(u >> 16 & 0x8000);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float bf16_value(uint16_t bits) {
  uint32_t u = (uint32_t)bits << 16;
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

double bf16_round(double x) { return isnan(x) ? x : (double)bf16_value(bf16_bits((float)x)); }

double f32_round(double x) {
  float y = (float)x;
  return fabsf(y) < FLT_MIN ? copysign(0, x) : y;
}

double int_cell(DType t, int64_t x) {
  double cell;
  if (t == DT_I32) return (int32_t)(uint32_t)x;
  if (t == DT_U32) return (uint32_t)x;
  memcpy(&cell, &x, sizeof cell);
  return cell;
}

int64_t cell_int(DType t, double cell) {
  int64_t x;
  if (t != DT_I64) return (int64_t)cell;
  memcpy(&x, &cell, sizeof x);
  return x;
}

double cell_value(DType t, double cell) { return t == DT_I64 ? (double)cell_int(t, cell) : cell; }

double imm_cell(DType t, Imm v) {
  return dtype_is_int(t) ? int_cell(t, (int64_t)v) : t == DT_BOOL ? v != 0 : (double)v;
}

Imm imm_parse(const char *s, char **end) {
  const char *p = s + (*s == '-' || *s == '+');
  size_t n = strspn(p, "0123456789");
  char after = p[n];
  errno = 0;
  long long whole = strtoll(s, end, 10);
  bool exact = n && !errno && !strchr(".eExXpP", after ? after : ' ') && !(whole == 0 && *s == '-');
  return exact ? (Imm)whole : (Imm)strtod(s, end);
}

int64_t shape_count(const Shape *s) {
  int64_t n = 1;
  for (int i = 0; i < s->rank; i++) n *= s->dim[i];
  return n;
}

int64_t tensor_room(DType t, const Shape *s) {
  return (shape_count(s) * dtype_size(t) + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
}

bool shape_eq(const Shape *a, const Shape *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return false;
  return true;
}

const char *type_str(DType t, const Shape *s, char buf[static 128]) {
  int n = snprintf(buf, 128, "%s[", dtype_name(t));
  for (int i = 0; i < s->rank && n < 127; i++)
    n += snprintf(buf + n, 128 - (size_t)n, "%s%lld", i ? "," : "", (long long)s->dim[i]);
  if (n < 127) snprintf(buf + n, 128 - (size_t)n, "]");
  return buf;
}

float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 1023, u;
  float f;
  if (e == 0) { /* zero or subnormal: m * 2^-24 */
    f = (float)m * 0x1p-24f;
    memcpy(&u, &f, sizeof u);
    u |= sign;
  } else {
    u = sign | (e == 31 ? 0x7f800000u : (e + 112) << 23) | m << 13;
  }
  memcpy(&f, &u, sizeof f);
  return f;
}
