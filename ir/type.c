/* Element types and static shapes. */
#include "ir/type.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const DTypeRow rows[DT_COUNT] = {
    [DT_NONE] = {.name = "none"},
#define TYPE(ID, NAME, ...) [DT_##ID] = {.name = NAME, __VA_ARGS__},
#include "ir/types.def"
#undef TYPE
};

const DTypeRow *dtype_row(DType t) { return &rows[t]; }
const char *dtype_name(DType t) { return rows[t].name; }

DType dtype_parse(const char *s) {
  for (int t = DT_NONE + 1; t < DT_COUNT; t++)
    if (strcmp(rows[t].name, s) == 0) return (DType)t;
  return DT_NONE;
}

int64_t dtype_size(DType t) { return rows[t].size; }
bool dtype_is_float(DType t) { return rows[t].kind == DK_FLOAT; }
bool dtype_is_int(DType t) { return rows[t].kind == DK_SIGNED || rows[t].kind == DK_UNSIGNED; }
bool dtype_is_unsigned(DType t) { return rows[t].kind == DK_UNSIGNED; }
bool dtype_is_narrow(DType t) { return rows[t].narrow; }

Imm dtype_least(DType t) { return dtype_is_unsigned(t) ? 0 : -ldexpl(1, 8 * rows[t].size - 1); }
Imm dtype_most(DType t) { return ldexpl(1, 8 * rows[t].size - !dtype_is_unsigned(t)) - 1; }

bool dtype_widens(DType a, DType b) {
  if (a == b || a == DT_NONE || b == DT_NONE || b == DT_BOOL) return false;
  if (a == DT_BOOL) return true;
  bool ints = dtype_is_int(a);
  if (dtype_is_float(a) != !ints) return false;
  if (dtype_is_int(b)) return ints && dtype_least(b) <= dtype_least(a) && dtype_most(a) <= dtype_most(b);
  if (ints) return 8 * rows[a].size <= rows[b].digits; /* 2^15 lies within f16 */
  return rows[a].size < rows[b].size;
}

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

uint16_t f16_bits(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  unsigned sign = (unsigned)(u >> 48) & 0x8000;
  if (isnan(x)) return (uint16_t)(sign | 0x7e00 | (unsigned)(u >> 42 & 0x1ff));
  double a = fabs(x);
  if (a >= 65520) return (uint16_t)(sign | 0x7c00);
  int e = a >= 0x1p-14 ? ilogb(a) : -14;
  double m = nearbyint(
      ldexp(a, 10 - e)); /* of 11 bits; a denormal has fewer, and a carry moves on to the exponent */
  return (uint16_t)(sign | (unsigned)((e + 14) * 1024 + (int)m));
}

float f16_value(uint16_t h) {
  unsigned e = h >> 10 & 31, m = h & 1023;
  if (e == 31) { /* a NaN keeps its digits */
    uint32_t u = (uint32_t)(h & 0x8000) << 16 | 0x7f800000u | m << 13 | (m ? 0x400000u : 0);
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
  }
  float a = e ? ldexpf((float)(m + 1024), (int)e - 25) : (float)m * 0x1p-24f;
  return h & 0x8000 ? -a : a;
}

double f16_round(double x) { return isnan(x) ? x : (double)f16_value(f16_bits(x)); }

double dtype_round(DType t, double x, bool rounds) {
  return t == DT_F32    ? (rounds ? f32_round(x) : x)
         : t == DT_BF16 ? bf16_round(x)
         : t == DT_F16  ? f16_round(x)
                        : x;
}

static bool cell_is_bits(DType t) { return rows[t].size == 8 && dtype_is_int(t); }

double int_cell(DType t, int64_t x) {
  double cell;
  if (cell_is_bits(t)) {
    memcpy(&cell, &x, sizeof cell);
    return cell;
  }
  uint64_t span = (uint64_t)1 << 8 * rows[t].size, low = (uint64_t)x & (span - 1);
  return dtype_is_unsigned(t) || low < span / 2 ? (double)low : (double)low - (double)span;
}

int64_t cell_int(DType t, double cell) {
  int64_t x;
  if (!cell_is_bits(t)) return (int64_t)cell;
  memcpy(&x, &cell, sizeof x);
  return x;
}

double cell_value(DType t, double cell) {
  return !cell_is_bits(t) ? cell
         : t == DT_U64    ? (double)(uint64_t)cell_int(t, cell)
                          : (double)cell_int(t, cell);
}

bool cell_less(DType t, double a, double b) {
  int64_t x = cell_int(t, a), y = cell_int(t, b);
  return t == DT_U64 ? (uint64_t)x < (uint64_t)y : x < y;
}

int64_t cell_index(DType t, double cell, int64_t extent) {
  int64_t i = cell_int(t, cell);
  if (i >= extent || (i < 0 && t == DT_U64)) return extent - 1;
  return i < 0 ? 0 : i;
}

int64_t imm_int(DType t, Imm v) {
  return t == DT_BOOL ? v != 0 : t == DT_U64 ? (int64_t)(uint64_t)v : (int64_t)v;
}

Imm int_imm(DType t, int64_t x) { return t == DT_U64 ? (Imm)(uint64_t)x : (Imm)x; }

double imm_cell(DType t, Imm v) {
  return dtype_is_int(t) ? int_cell(t, imm_int(t, v)) : t == DT_BOOL ? v != 0 : (double)v;
}

#define ELEMENTS(CASE)                                                                                       \
  CASE(F64, double, x, v)                                                                                    \
  CASE(F32, float, x, (float)v)                                                                              \
  CASE(BF16, uint16_t, (double)bf16_value(x), bf16_bits((float)v))                                           \
  CASE(F16, uint16_t, (double)f16_value(x), f16_bits(v))                                                     \
  CASE(BOOL, uint8_t, x, v != 0)                                                                             \
  CASE(I8, int8_t, x, (int8_t)v)                                                                             \
  CASE(U8, uint8_t, x, (uint8_t)v)                                                                           \
  CASE(I16, int16_t, x, (int16_t)v)                                                                          \
  CASE(U16, uint16_t, x, (uint16_t)v)                                                                        \
  CASE(I32, int32_t, x, (int32_t)v)                                                                          \
  CASE(U32, uint32_t, x, (uint32_t)v)                                                                        \
  CASE(I64, int64_t, int_cell(DT_I64, x), cell_int(DT_I64, v))                                               \
  CASE(U64, uint64_t, int_cell(DT_U64, (int64_t)x), (uint64_t)cell_int(DT_U64, v))

double element_cell(DType t, const void *p, int64_t i) {
#define GET(ID, C, READ, WRITE)                                                                              \
  case DT_##ID: {                                                                                            \
    C x = ((const C *)p)[i];                                                                                 \
    return READ;                                                                                             \
  }
  switch (t) {
    ELEMENTS(GET)
  default: bug("an element of type %s", dtype_name(t));
  }
#undef GET
}

void element_put(DType t, void *p, int64_t i, double v) {
#define PUT(ID, C, READ, WRITE)                                                                              \
  case DT_##ID: ((C *)p)[i] = WRITE; break;
  switch (t) {
    ELEMENTS(PUT)
  default: bug("an element of type %s", dtype_name(t));
  }
#undef PUT
}

Imm imm_parse(const char *s, char **end) {
  const char *p = s + (*s == '-' || *s == '+');
  size_t n = strspn(p, "0123456789");
  char after = p[n];
  errno = 0;
  bool below = *s == '-';
  unsigned long long size = strtoull(p, end, 10);
  bool exact = n && !errno && !strchr(".eExXpP", after ? after : ' ') && !(size == 0 && below);
  return !exact ? (Imm)strtod(s, end) : below ? -(Imm)size : (Imm)size;
}

const char *imm_text(Imm v, char buf[static 40]) {
  if (v != (Imm)(double)v && v == floorl(v)) snprintf(buf, 40, "%.0Lf", v);
  else if (isnan(v)) snprintf(buf, 40, signbit(v) ? "-nan" : "nan");
  else
    for (int p = 6; p <= 17; p++) {
      snprintf(buf, 40, "%.*g", p, (double)v);
      if (strtod(buf, NULL) == (double)v) break;
    }
  return buf;
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
