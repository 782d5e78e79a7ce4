/* Element types and static shapes. */
#ifndef JEPAC_IR_TYPE_H
#define JEPAC_IR_TYPE_H

#include "ir/base.h"

typedef enum { DT_NONE, DT_F32, DT_F64, DT_BF16, DT_I32, DT_I64, DT_U32, DT_BOOL, DT_COUNT } DType;

/* A constant of any type: holds every double and every i64 exactly. */
typedef long double Imm;

enum { MAX_RANK = 8 };

typedef struct {
  int rank;
  int64_t dim[MAX_RANK];
} Shape;

const char *dtype_name(DType t);  /* "f32"; "bool" is stored as one byte 0/1 */
DType dtype_parse(const char *s); /* DT_NONE when unknown */
int64_t dtype_size(DType t);      /* bytes */
bool dtype_is_float(DType t);
bool dtype_is_int(DType t); /* i32, i64, u32 */
/* To the nearest bf16, ties to even; f32 denormals become zero, as in the processor's conversion, and a NaN stays a
   quiet one: the bits that generated code stores (em_narrow_bf16). */
uint16_t bf16_bits(float x);
float bf16_value(uint16_t bits);
double bf16_round(double x); /* the value of the bits; of a NaN, x */
double f32_round(double x);  /* to the nearest f32; denormals become zero, as in kernels */
/* The interpreters keep an element in a double, its cell: floats, bools and integers of 32 bits as their value, an
   i64 as its own bits. */
double int_cell(DType t, int64_t x); /* of an integer type; x wraps around */
int64_t cell_int(DType t, double cell);
double cell_value(DType t, double cell); /* the nearest double */
double imm_cell(DType t, Imm v);
/* As strtod; a whole number without point or exponent that fits an i64 is exact. */
Imm imm_parse(const char *s, char **end);
int64_t shape_count(const Shape *s); /* product of dims; 1 for a scalar */
/* Bytes a tensor takes in an arena, where every one begins at a multiple of TENSOR_ALIGN. */
enum { TENSOR_ALIGN = 64 };
int64_t tensor_room(DType t, const Shape *s);
bool shape_eq(const Shape *a, const Shape *b);
/* "f32[2,3]" into buf (returned). */
const char *type_str(DType t, const Shape *s, char buf[static 128]);

float half_to_float(uint16_t h); /* of an IEEE half, which files may hold */

#endif
