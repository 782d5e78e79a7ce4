/* IDX files, gzip-compressed or not (the format of the MNIST data sets, http://yann.lecun.com/exdb/mnist). */
#ifndef JEPAC_RUNTIME_DATA_IDX_H
#define JEPAC_RUNTIME_DATA_IDX_H

#include "ir/base.h"

typedef struct {
  int rank;
  int64_t dim[4];
  uint8_t *data; /* malloc'ed */
} IdxFile;

/* Reads unsigned bytes of the given rank; ST_FILE after reporting what is wrong. */
Status idx_read(const char *path, int rank, IdxFile *out, Diags *d);

#endif
