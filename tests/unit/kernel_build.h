/* Builds loop kernels by hand for tests, runs them compiled and interpreted on the same data, and compares. */
#ifndef JEPAC_TESTS_KERNEL_BUILD_H
#define JEPAC_TESTS_KERNEL_BUILD_H

#include "codegen/codegen.h"
#include "tests/unit/support.h"

enum { KB_MAX = 256 };
typedef struct {
  Arena *arena;
  Program *program;
  LoopKernel l;
  KInst inst[KB_MAX];
  KStore store[KB_MAX];
  int64_t count[KB_MAX]; /* elements an operand needs */
  DType dt[KB_MAX];
  bool written[KB_MAX];
  int nbuf;
  double *data[KB_MAX]; /* initial contents; random normals when not set */
} KB;

KB *kb_new(const Target *t, int npar, int ndim, const int64_t *size, int vec, int nsweep);
void kb_free(KB *b);

/* Affine expressions, quotients, guards. */
Affine aff(int64_t c, int64_t k0, int64_t k1, int64_t k2, int64_t k3);
int kb_buf(KB *b, DType dt, int64_t count, bool written);
int kb_load(KB *b, int buf, Affine off);
Access *kb_access(KB *b, int load); /* of a load, to add guards and the like */
void kb_guard(KB *b, Access *a, Affine e, int64_t lo, int64_t hi, int64_t mod);
void kb_quot(KB *b, Access *a, Affine e, int64_t div, int64_t stride);
int kb_imm(KB *b, DType dt, double v);
int kb_index(KB *b, DType dt, Affine e);
int kb_isguard(KB *b, Affine e, int64_t lo, int64_t hi);
int kb_random(KB *b, int seed, int step, uint32_t stream, Affine e);
int kb_map(KB *b, OpId op, int x, int y, int z);
int kb_cast(KB *b, int x, DType dt);
int kb_reduce(KB *b, OpId op, int x, int sweep);
void kb_store(KB *b, int buf, Affine off, int inst, int sweep);

/* Runs both; false with the first difference in err. Operands lie between inaccessible pages. */
bool kb_agree(KB *b, const CodegenOptions *opt, double tol, char *err, size_t errlen);
/* The program of the kernel (finished). */
Program *kb_program(KB *b);

/* Targets this machine can run, the simplest first. */
int kb_targets(Target out[3]);
/* A compiled kernel and how to call it. */
typedef struct {
  StepFn fn;
  const void *param;
  int64_t chunks;
} KBCode;
void kb_call(const KBCode *f, void *const *ptr);
KBCode kb_compile(KB *b, Code **code);
/* y = op(x...) on n f32. */
KBCode kb_compile_map(const Target *t, OpId op, int nin, int64_t n, KB **out, Code **code);

#endif
