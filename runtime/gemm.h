/* Step functions around library calls and irregular memory access: matrix products through OpenBLAS,
 * scatter_add. */
#ifndef JEPAC_RUNTIME_GEMM_H
#define JEPAC_RUNTIME_GEMM_H

#include "runtime/abi.h"

enum { GEMM_MAX_BATCH = 4 };

/* C[batch, m, n] = sum over k of A[batch, m, k] * B[batch, k, n]; operands of the step: A, B, C. All strides
   in elements; a stride may be 0 (broadcast) in A and B. Fast when each matrix has stride 1 along one of its
   two axes. */
typedef struct {
  DType dt; /* DT_F32 or DT_F64 */
  int nbatch;
  int64_t batch[GEMM_MAX_BATCH], a_batch[GEMM_MAX_BATCH], b_batch[GEMM_MAX_BATCH], c_batch[GEMM_MAX_BATCH];
  int64_t m, n, k;
  int64_t a_m, a_k, b_k, b_n, c_m, c_n;
} GemmParam;

/* Loads OpenBLAS (libopenblas.so.0) once and sets it to one thread; ST_FILE with a message when it is
   missing. To be called before the first step_gemm of a product that is not tiny. */
Status gemm_load(Diags *d);
/* The kernels OpenBLAS runs on this CPU ("Haswell"; chosen by it, or by OPENBLAS_CORETYPE): results depend on
   them. NULL before gemm_load. */
const char *gemm_core(void);

int64_t gemm_chunks(const GemmParam *p);  /* Step.nchunk: a function of the parameters only */
int64_t gemm_scratch(const GemmParam *p); /* Step.scratch: room to pack matrices without a unit stride */
void step_gemm(void *const *ptr, int64_t chunk, void *scratch, const void *param);

/* out[outer, axis_extent, inner] = 0, then out[o, idx[j], i] += updates[o, j, i] in the order of j; operands
   of the step: idx, updates, out. Indices are clamped to the axis. */
typedef struct {
  DType dt;        /* of updates and out: DT_F32 or DT_F64 */
  DType idx_dtype; /* DT_I32 or DT_I64 */
  int64_t outer, axis_extent, inner, nidx;
} ScatterParam;

int64_t scatter_chunks(const ScatterParam *p);
void step_scatter_add(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
