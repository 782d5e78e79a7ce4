/* What passes and emitters may know of the machine compiled for: plain numbers, no LLVM. */
#ifndef JEPAC_IR_TARGET_H
#define JEPAC_IR_TARGET_H

#include "ir/base.h"
#include "ir/cost_model.h"

typedef enum { ARCH_X86_64, ARCH_AARCH64, ARCHS } Arch;
typedef enum { FAMILY_SSE2, FAMILY_AVX2, FAMILY_AVX512, FAMILY_NEON, FAMILIES } Family; /* of vectors */
/* What multiplies tiles of bf16: AMX, or the products of pairs of AVX512_BF16 (vdpbf16ps), where they are faster than
   f32. Emulated: the same sums, bit for bit, by other vector instructions. */
typedef enum { TILES_NONE, TILES_AMX, TILES_EMULATED, TILES_PAIRS, TILES_PAIRS_EMULATED, TILES_UNITS } Tiles;

typedef struct {
  const char *cpu; /* LLVM name, or "host" */
  Arch arch;
  Family family;
  int vector_bytes; /* 64 AVX-512, 32 AVX2, 16 otherwise */
  int registers;    /* vector registers: 32 or 16 */
  bool fma, bf16,
      f16; /* fused multiply-add; native conversion to bf16 (AVX512_BF16), to and from f16 (F16C) */
  Tiles tiles;
  int64_t l1, l2; /* bytes of data cache a core may count on */
  const CostModel *cost;
} Target;

Target target_host(void);
/* A row of ir/targets.def, or "host"; of a name that two architectures have, x86's. With "+tiles" or
   "+pairs" behind it: AMX or vdpbf16ps, emulated. false when unknown. */
bool target_named(const char *cpu, Target *out);
/* What target_named() reads back: "host", "x86-64-v3+tiles". */
void target_name(const Target *t, StrBuf *out);
/* Row i of ir/targets.def; false past the last. */
bool target_row(int i, Target *out);
/* What it can do in words, for people: "sapphirerapids: 64-byte vectors, bf16, AMX tiles". */
void target_print(const Target *t, StrBuf *out);
/* The unit computes as vdpbf16ps does. */
static inline bool tiles_by_pairs(Tiles t) { return t == TILES_PAIRS || t == TILES_PAIRS_EMULATED; }
/* f32 lanes of a vector: the channel block of blocked layouts. */
static inline int target_lanes(const Target *t) { return t->vector_bytes / 4; }

#endif
