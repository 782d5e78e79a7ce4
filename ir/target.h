/* What passes and emitters may know of the machine compiled for: plain numbers, no LLVM. */
#ifndef JEPAC_IR_TARGET_H
#define JEPAC_IR_TARGET_H

#include "ir/base.h"

typedef struct {
  const char *cpu;  /* LLVM name, or "host" */
  int vector_bytes; /* 64 AVX-512, 32 AVX2, 16 otherwise */
  int registers;    /* vector registers: 32 or 16 */
  bool fma, bf16;   /* fused multiply-add; native conversion to bf16 (AVX512_BF16) */
  int64_t l1, l2;   /* bytes of data cache a core may count on */
} Target;

Target target_host(void);
/* "x86-64-v3", "haswell", "znver3", "x86-64-v4", "skylake-avx512", "znver4", "sapphirerapids", "host", ...;
 * false when unknown. */
bool target_named(const char *cpu, Target *out);
/* f32 lanes of a vector: the channel block of blocked layouts. */
static inline int target_lanes(const Target *t) { return t->vector_bytes / 4; }

#endif
