/* Arrays from npy files (numpy.lib.format, versions 1 and 2) with elements read one at a time: numbers and
 * strings. */
#ifndef JEPAC_RUNTIME_DATA_ARRAY_H
#define JEPAC_RUNTIME_DATA_ARRAY_H

#include "ir/type.h"

typedef struct {
  char kind; /* f, i, u, b, U (text of 32-bit characters) or S (bytes) */
  int size;  /* bytes an element */
  Shape shape;
  int64_t count;
  const uint8_t *data; /* in the bytes parsed */
} Array;

/* NULL, or what is wrong with the n bytes at p. */
const char *array_parse(const uint8_t *p, size_t n, Array *out);
double array_number(const Array *a, int64_t i);
/* UTF-8, cut to fit; false when the element is not text. */
bool array_text(const Array *a, int64_t i, char *out, size_t room);

#endif
