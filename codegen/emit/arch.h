/* What the code generator knows of an architecture, one row each (arch.c). What differs between processors of
   one architecture is in ir/targets.def. */
#ifndef JEPAC_CODEGEN_EMIT_ARCH_H
#define JEPAC_CODEGEN_EMIT_ARCH_H

#include "ir/target.h"

typedef struct {
  const char *name, *triple;   /* for people; LLVM's */
  const char *prefix[2];       /* what triples of it begin with */
  void (*init)(void);          /* registers LLVM's back end for it */
  const char *level[FAMILIES]; /* the processor that has what code for a vector family may use, and no more */
  const char *baseline;        /* what every processor of the architecture runs */
} EmitArch;

/* The row of a, whose back end is registered from then on; thread-safe. */
const EmitArch *em_arch(Arch a);
/* The architecture of a triple for Linux, NULL: of this machine. false: none that is known. */
bool em_arch_of(const char *triple, Arch *out);

#endif
