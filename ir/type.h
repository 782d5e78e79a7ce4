/* Element types and static shapes. */
#ifndef JEPAC_IR_TYPE_H
#define JEPAC_IR_TYPE_H

#include "ir/base.h"

typedef enum {
  DT_NONE,
#define TYPE(ID, ...) DT_##ID,
#include "ir/types.def"
#undef TYPE
  DT_COUNT
} DType;

typedef enum { DK_NONE, DK_FLOAT, DK_SIGNED, DK_UNSIGNED, DK_BOOL } DKind;

typedef struct {
  const char *name;
  DKind kind;
  int size, digits;
  bool narrow;
  const char *st, *npy, *c;
} DTypeRow;

/* A constant of any type: holds every double, every i64 and every u64 exactly. */
typedef long double Imm;

enum { MAX_RANK = 8 };

typedef struct {
  int rank;
  int64_t dim[MAX_RANK];
} Shape;

const DTypeRow *dtype_row(DType t); /* of ir/types.def */
const char *dtype_name(DType t);    /* "f32"; "bool" is stored as one byte 0/1 */
DType dtype_parse(const char *s);   /* DT_NONE when unknown */
int64_t dtype_size(DType t);        /* bytes */
bool dtype_is_float(DType t);
bool dtype_is_int(DType t);          /* with and without a sign */
bool dtype_is_unsigned(DType t);     /* integers */
bool dtype_is_narrow(DType t);       /* bf16, f16: stored in 16 bits, computed with as f32 */
bool dtype_widens(DType a, DType b); /* every value of a is one of b, and b another type */
Imm dtype_least(DType t);            /* of an integer type */
Imm dtype_most(DType t);
/* To the nearest bf16, ties to even; f32 denormals become zero, as in the processor's conversion, and a NaN stays a
   quiet one: the bits that generated code stores (em_narrow_bf16). */
uint16_t bf16_bits(float x);
float bf16_value(uint16_t bits);
double bf16_round(double x); /* the value of the bits; of a NaN, x */
/* To the nearest f16 (IEEE's binary16), ties to even, in one rounding and with its denormals; NaN stays a quiet one. */
uint16_t f16_bits(double x);
float f16_value(uint16_t bits);
double f16_round(double x);
double f32_round(double x); /* to the nearest f32; denormals become zero, as in kernels */
/* What an operator on `t` makes of a result x: narrow types are always rounded to, f32 where `rounds` asks for it. */
double dtype_round(DType t, double x, bool rounds);
/* The interpreters keep an element in a double, its cell: floats, bools and integers of up to 32 bits as their value,
   an i64 or u64 as its own bits. */
double int_cell(DType t, int64_t x); /* of an integer type; x wraps around */
int64_t cell_int(DType t, double cell);
double cell_value(DType t, double cell);     /* the nearest double */
bool cell_less(DType t, double a, double b); /* of an integer type */
int64_t cell_index(DType t, double cell,
                   int64_t extent); /* of an integer type; outside of 0..extent - 1 clamps */
double imm_cell(DType t, Imm v);
int64_t imm_int(DType t,
                Imm v); /* the bits of an integer that fits t (a bool: 0 or 1), sign or zeros above */
Imm int_imm(DType t, int64_t x); /* the value that x stands for in t */
/* Elements in memory. */
double element_cell(DType t, const void *p, int64_t i);
void element_put(DType t, void *p, int64_t i, double cell);
/* As strtod; a whole number without point or exponent, of 64 bits beside its sign, is exact. */
Imm imm_parse(const char *s, char **end);
/* The shortest decimal that reads back, into buf (returned). */
const char *imm_text(Imm v, char buf[static 40]);
int64_t shape_count(const Shape *s); /* product of dims; 1 for a scalar */
/* Bytes a tensor takes in an arena, where every one begins at a multiple of TENSOR_ALIGN. */
enum { TENSOR_ALIGN = 64 };
int64_t tensor_room(DType t, const Shape *s);
bool shape_eq(const Shape *a, const Shape *b);
/* "f32[2,3]" into buf (returned). */
const char *type_str(DType t, const Shape *s, char buf[static 128]);

#endif
