/* The loop-kernel builder's own types (passes/lower/loop_*.c). A Map gives, for the value being built, each logical
   index as a function of the loop dims, and the guards under which it is inside. */
#ifndef JEPAC_PASSES_LOWER_LOOP_BUILD_H
#define JEPAC_PASSES_LOWER_LOOP_BUILD_H

#include "passes/lower/lower.h"

/* What a load gives where a guard of an outer view fails: that view selects its own fill value there. One is
   harmless to divide by. */
#define PASSIVE 1.0

enum { MAX_QUOT = 6, MAX_GUARD = 16 };

typedef struct {
  Affine a;
  int nq;
  unsigned exact; /* bit i: a guard of the map makes division i exact */
  const Quot *q;  /* shared between copies, never changed */
} Ix;

typedef struct {
  int rank;
  Ix ix[MAX_RANK];
  int ng;
  const Guard *g; /* shared between copies, never changed */
} Map;

typedef struct Memo {
  struct Memo *next; /* of the same value */
  Map map;
  int inst;
} Memo;

/* What this attempt knows of a value. */
typedef struct Seen {
  int attempt; /* that the rest belongs to */
  Memo *memo;
  int64_t work; /* of code generation, that went into it */
  int times;    /* it is computed at so many places */
} Seen;

typedef struct {
  Lower *l;
  Arena *a;
  const Graph *g;
  const Val *roots;
  int nroots;
  LoopSpace *space;
  int ndim;
  int64_t size[KDIM + 8];
  int dim_dom[KDIM + 8];
  bool has_red; /* a reduction fixed the reduced dims */
  VEC(KInst) inst;
  int64_t work; /* of code generation, in operations */
  Val heavy;    /* the one to put in memory when it is too much */
  int64_t heavy_score;
  VEC(Val) inst_homed; /* values to store besides the roots */
  VEC(int) homed_inst;
  VEC(Map) homed_map;
  Built *out;
  Refusal refusal; /* BUILT so far; else everything returns */
} Build;

typedef struct {
  unsigned dims;
  int sweep; /* first sweep in which it can be evaluated */
} Dep;

/* ---- index arithmetic (loop_index.c) ---- */
int64_t lb_affine_max(const Build *b, const Affine *e);
int64_t lb_affine_min(const Build *b, const Affine *e);
unsigned lb_affine_mask(const Affine *e, int nd);         /* dims it depends on */
bool lb_ix_axpy(Build *b, Ix *y, int64_t s, const Ix *x); /* y += s*x; false when quotients run out of room */
/* q = floor(x / n), r = x mod n, for 0 <= x < extent (where guards hold); false when a dim has to be split
   first. */
bool lb_ix_divmod(Build *b, const Ix *x, int64_t n, int64_t extent, Ix *q, Ix *r);
void lb_strides_of(const Shape *s, int64_t *st);
/* Storage offset of the element of a (shape, block) buffer at map m. */
bool lb_storage_offset(Build *b, const Shape *s, int block, const Map *m, Ix *off);
bool lb_add_guard(Build *b, Map *m, Affine e, int64_t lo, int64_t hi, int64_t mod); /* false: no room */
bool lb_linear_index(Build *b, const Shape *s, const Map *m, Ix *lin);
bool lb_delinearize(Build *b, Ix lin, const Shape *s, Map *m);
void lb_identity_map(const Build *b, int rank, Map *m);

Ix lb_quotient(Build *b, const Affine *e, int64_t div, bool exact); /* floor(e / div) */

/* ---- instructions (loop_build.c); builders give an instruction number, or -1: cannot be expressed here, or
   a refusal stands ---- */
int lb_build(Build *b, Val v, const Map *m);
int lb_refuse(Build *b, Refusal r); /* -1 */
int lb_store_first(Build *b, Val v,
                   Why why);       /* refuses: v must be in memory; WHY_INDEX: no map reaches its operands */
int lb_row_major(Build *b, Val v); /* refuses: v must lie in memory row by row, for the index map here */
int lb_load(Build *b, Val v, const Map *m, Imm fill, const Ix *linear);
bool lb_is_loaded(const Build *b, Val v); /* is v read from memory in this kernel? */
int lb_emit(Build *b, KInst in);
KInst lb_inst0(KInstKind kind, DType dt, Val v);
int lb_emit_imm(Build *b, DType dt, Imm x, Val v);
int lb_emit_map(Build *b, OpId op, DType dt, int x, int y, int z, Val v);
Access *lb_access_new(Build *b, int buf, const Ix *off, const Map *m, Imm fill);

/* ---- views, reductions, gathers (loop_view.c) ---- */
int lb_build_view(Build *b, Val v, const Map *m);
int lb_build_reduce(Build *b, Val v, const Map *m);
int lb_build_fold(Build *b, Val v, const Map *m);
int lb_build_gather(Build *b, Val v, const Map *m);

/* ---- finishing (loop_finish.c) ---- */
void lb_analyse(const Build *b, unsigned red, Dep *dep);
void lb_finish(Build *b, KStore *st, int nst);

#endif
