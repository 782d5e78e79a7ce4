/* npy files (numpy.lib.format): read in versions 1 and 2, element by element or as one tensor, written in version
   1.0. */
#ifndef JEPAC_RUNTIME_NPY_H
#define JEPAC_RUNTIME_NPY_H

#include "runtime/safetensors.h"

typedef struct {
  char kind; /* f, i, u, b, U (text of 32-bit characters) or S (bytes) */
  int size;  /* bytes an element */
  Shape shape;
  int64_t count;
  const uint8_t *data; /* in the bytes parsed */
} NpyArray;

/* NULL, or what is wrong with the n bytes at p. */
const char *npy_parse(const uint8_t *p, size_t n, NpyArray *out);
double npy_number(const NpyArray *a, int64_t i);
/* UTF-8, cut to fit; false when the element is not text. */
bool npy_text(const NpyArray *a, int64_t i, char *out, size_t room);

/* What stands before the elements of an array with such a numpy type, '<f4' for example. */
void npy_header(StrBuf *out, const char *descr, const Shape *shape);

/* One tensor, in C order, of any element type that numpy has too. What is read lives in a and has the name "". */
Status npy_read(const char *path, StTensor *out, Arena *a, Diags *d);
bool npy_holds(DType dt);
DType npy_dtype(const NpyArray *x); /* DT_NONE: of text */
Status npy_write(const char *path, const StTensor *t, Diags *d);

#endif
