/* Linear algebra by OpenBLAS. An operator is a script: calls of LAPACK and a few loops of ours on one item of a batch. The
   interpreters and the runtime carry it out, the code generator writes it out for libraries that stand alone. LAPACK's
   matrices lie by columns and ours by rows, so its matrix is the transposed one, which the scripts take account of. */
#ifndef JEPAC_IR_LAPACK_H
#define JEPAC_IR_LAPACK_H

#include "ir/extern.h"

typedef enum {
  LAPACK_CHOLESKY,
  LAPACK_TRIANGULAR,
  LAPACK_SOLVE,
  LAPACK_SLOGDET,
  LAPACK_EIGH,
  LAPACK_EIGVALSH,
  LAPACK_SVD,
  LAPACK_QR,
  LAPACK_GEMM, /* a product, --gemm openblas */
  LAPACK_OPS
} LapackOp;

typedef struct {
  LapackOp what;
  DType dt;      /* f32 or f64 */
  int64_t batch; /* items, one after the other in every operand */
  int64_t m, n;  /* of the matrix */
  int64_t k;     /* right-hand sides */
  int64_t upper, transposed,
      unit; /* of a triangular matrix; solve knows transposed, so does a product: its first operand */
  /* A product: result [m, n], summed over k. Elements between rows (of what is stored, where transposed), between
     items, before the first. */
  int64_t b_transposed, lda, ldb, a_step, b_step, a_off, b_off;
} LapackSpec;

/* Operands in their order; elements of one item (0: there is no such operand), from one item to the next, of all. */
enum { LAPACK_A, LAPACK_B, LAPACK_WORK, LAPACK_OUT, LAPACK_PLACES };
int64_t lapack_count(const LapackSpec *s, int place);
int64_t lapack_step(const LapackSpec *s, int place);
int64_t lapack_elements(const LapackSpec *s, int place);
double lapack_flops(const LapackSpec *s); /* of one item, roughly */
/* A sentence on extents beyond LAPACK's 32-bit numbers, or NULL. */
const char *lapack_misfit(const LapackSpec *s);

typedef struct {
  int place;
  int64_t at; /* bytes */
} LapackPlace;

typedef struct {
  enum { LA_TEXT, LA_INT, LA_REAL, LA_PLACE, LA_INFO } kind;
  int64_t n; /* the letter or the number */
  LapackPlace place;
} LapackArg;

enum { LAPACK_ARGS = 16, LAPACK_CALLS = 6, LAPACK_NAME = 16 };
typedef struct {
  enum {
    LA_CALL,
    LA_FINITE, /* the item is spoiled where one of `len` elements at x, `count` apart, is not finite */
    LA_SIGNS, /* turns each of `count` vectors of `len` elements at x so that the first element of 0.6 times the largest
                  size or more is positive; and with it `ylen` elements, `count` apart, at y */
    LA_DET /* sign and logarithm of the determinant, at y, from the factors [len, len] and pivots at x */
  } act;
  char routine[LAPACK_NAME]; /* "dpotrf_" */
  ExternFn fn;               /* lapack_bind() */
  LapackArg arg[LAPACK_ARGS];
  int narg;
  bool spoils; /* info > 0 says that there is no result */
  LapackPlace x, y, pivots;
  int64_t count, len, ylen;
} LapackCall;

typedef struct {
  DType dt;
  LapackCall call[LAPACK_CALLS];
  int n;
  int64_t work;   /* bytes of LAPACK_WORK, a multiple of TENSOR_ALIGN */
  int64_t result; /* elements; NaN where the item is spoiled */
} LapackScript;

LapackScript lapack_script(const LapackSpec *s);
/* Is there an OpenBLAS that may be called? Without: false, and what is missing as a sentence in err. Only one without
   threads is: results do not depend on a number of threads, and nobody else's threads are touched. */
bool lapack_there(char *err, size_t errlen);
bool lapack_bind(LapackScript *s, char *err, size_t errlen);
/* One item. 0, or what spoiled it: LAPACK's info, or -1, an operand that is not finite. */
int lapack_run(const LapackScript *s, void *const place[LAPACK_PLACES]);
/* All items on cells of f64, for interpreters: ends the process with status 3 where there is no OpenBLAS. Returns the
   first spoiled item with its reason in *info, or -1. */
int64_t lapack_eval(const LapackSpec *s, const double *a, const double *b, double *out, int *info);
/* "matrix 3 of 8 is not positive definite: ..." */
const char *lapack_reason(const LapackSpec *s, int64_t item, int info, Arena *a);

#endif
