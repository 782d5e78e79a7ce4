/* Element types and static shapes. */
#ifndef JEPAC_IR_TYPE_H
#define JEPAC_IR_TYPE_H

#include "ir/base.h"

typedef enum { DT_NONE, DT_F32, DT_F64, DT_BF16, DT_I32, DT_I64, DT_U32, DT_BOOL, DT_COUNT } DType;

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
/* To the nearest bf16, ties to even; f32 denormals become zero, as in the processor's conversion. */
double bf16_round(double x);
int64_t shape_count(const Shape *s); /* product of dims; 1 for a scalar */
bool shape_eq(const Shape *a, const Shape *b);
/* "f32[2,3]" into buf (returned). */
const char *type_str(DType t, const Shape *s, char buf[static 128]);

#endif
