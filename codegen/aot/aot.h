/* Ahead-of-time compilation: the pieces of a generated library. Private to codegen/. */
#ifndef JEPAC_CODEGEN_AOT_AOT_H
#define JEPAC_CODEGEN_AOT_AOT_H

#include "codegen/emit/emit.h"
#include "codegen/jit/jit.h"

/* What generated functions return. The header spells them out. */
enum { AOT_OK, AOT_BAD_ARENA, AOT_BAD_CPU, AOT_NONFINITE, AOT_NO_TILES, AOT_NO_FILE, AOT_BAD_FILE };

typedef struct {
  EmitModule m;
  Arena *a;
  const Program *p;
  const Plan *plan;
  const AotOptions *opt;
  int64_t scratch_at, arena_bytes; /* scratch lies behind the plan's arena */
} Aot;

/* init.c */
void aot_emit_init(Aot *a);
/* The function under construction returns code where the condition (the check) holds (fails). */
void aot_emit_return_if(Aot *a, LLVMValueRef cond, int code);
void aot_emit_arena_check(Aot *a, LLVMValueRef arena);
/* Where kernels have been emitted that use the processor's tiles: asks the system for leave, else AOT_NO_TILES. */
void aot_emit_tiles_request(Aot *a);

/* States that begin as copies of states with given weights, and have none themselves. */
void aot_emit_copies(Aot *a, LLVMValueRef arena);

/* weights.c */
const AotWeight *aot_weight(const Aot *a, const char *name); /* NULL when none is given */
/* Stores the state's weights, where they are in the library. */
bool aot_emit_weight(Aot *a, const PlanTensor *t, LLVMValueRef to);
void aot_emit_load(Aot *a); /* PREFIX_load, where they are in a file */

/* text.c */
bool aot_own_name(const char *name); /* PREFIX_name is of every library */
const char *aot_header(const Aot *a);
const char *aot_pkgconfig(const Aot *a);
const char *aot_cmake(const Aot *a);
/* A static library of one member. */
AotFile aot_archive(Arena *a, const char *name, const char *member, const void *object, size_t n,
                    const char *const *symbols, int nsymbol);

#endif
