/* Sort: of each row the order that sorts it. */
#ifndef JEPAC_IR_KERNEL_SORT_H
#define JEPAC_IR_KERNEL_SORT_H

#include "ir/type.h"

typedef struct {
  int64_t rows, n; /* out[rows][n] of x[rows][n] */
  int64_t descending;
  DType dt;
} SortSpec;

enum {
  SORT_NETWORK = 32, /* elements of a row up to which it is sorted in registers */
  SORT_DIGIT = 256   /* else digit by digit, of so many values */
};

/* An element with its place as one number: so many bytes; the place is their lower half. */
int64_t sort_pair(const SortSpec *s);
int64_t sort_chunks(const SortSpec *s);
/* Bytes of workspace of a chunk, 0 without: pairs, pairs again, how often each digit has each value. */
int64_t sort_work(const SortSpec *s);

#endif
