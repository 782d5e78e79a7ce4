/* The kernel level: what one compiled function does. A program is an ordered list of kernels over buffers.

   Blocked layout: a rank-4 [N,C,H,W] buffer with block b > 0 is stored [N][C/b][H][W][b] (C divisible by b);
   loop kernels see only addresses, so the builder (passes/lower/) splits the C loop into C/b and b. */
#ifndef JEPAC_IR_KERNEL_KERNEL_H
#define JEPAC_IR_KERNEL_KERNEL_H

#include "ir/graph/graph.h"

/* The headers that the table of kinds needs: it has them only where it is read first, here. */
#define KIND(NAME, name, SPEC, MEMBER)
#include "ir/kernel/kinds.def"
#undef KIND

/* Only a kind's own files ask which it is: all that differs is in its row (ir/kernel/kind.h). */
typedef enum {
#define KIND(NAME, name, SPEC, MEMBER) KK_##NAME,
#include "ir/kernel/kinds.def"
#undef KIND
  KERNEL_KINDS
} KernelKind;

typedef struct Kernel {
  KernelKind kind;
  int step; /* of a contraction: which step of its plan */
  union {   /* by kind */
#define KIND(NAME, name, SPEC, MEMBER) SPEC MEMBER;
#include "ir/kernel/kinds.def"
#undef KIND
  };
  int *buf; /* operands: indices into Program.buf */
  int nbuf;
  int nout; /* the last nout operands are written */
  const Loc *loc;
  Role role;
  Val val;     /* root value, for dumps */
  bool commit; /* writes state: runs after the finite check */
  int beside;  /* so many kernels after it may run before it ends (passes/lower/beside.c) */
  int in_loop; /* > 0: it is run in every step of this loop of the program */
  int chain; /* neighbours with the same number > 0 run chunk by chunk, one after the other (passes/lower/chain.c) */
  double flops, bytes;
} Kernel;

typedef enum { BUF_TEMP, BUF_INPUT, BUF_RESULT } BufKind;

typedef struct {
  BufKind kind;
  DType dt;
  Shape shape;
  int block; /* channel block, 0 = row-major */
  int64_t bytes;
  int input;    /* BUF_INPUT: graph input number */
  int result;   /* BUF_RESULT: graph output number */
  int alias;    /* shares the memory of this buffer (always an earlier root buffer), or -1 */
  int within;   /* of a root: lies in the memory of this buffer, which no kernel names, or -1 */
  int64_t at;   /* bytes from the beginning of what it lies in */
  int loop;     /* > 0: it moves with the steps of this loop: by `move` bytes times step + phase, */
  int64_t move; /* ... the remainder by period where there is one */
  int period, phase;
  int first, last; /* kernels that write first and use last */
  int64_t chunk;   /* > 0: only one chain uses it, so many bytes a chunk: it lies in thread scratch */
  int64_t offset;  /* set by memplan: arena bytes; of a chunk inside the chain's part of the scratch */
  Val val;
} Buf;

/* Why a value is in memory instead of computed where it is read, and why a kernel with row sums joined
   another or not: written down by the pass that decided, for jepac explain. */
typedef enum {
  WHY_NONE,
  WHY_OWN_KERNEL, /* val is the result of a contraction, scatter or extern call */
  WHY_OPERAND,    /* such an operator, other, reads it */
  WHY_GATHERED,   /* other picks elements of it by index */
  WHY_RESULT,     /* an output of the graph */
  WHY_VIEWED,     /* other, a reshape of it that is in memory, shares its bytes */
  WHY_CYCLE,      /* computed on the way, kernels would wait for each other */
  WHY_EARLIER,    /* other, which the kernel that could compute it waits for, needs it */
  WHY_MANY,       /* more than a kernels need it */
  WHY_INDEX,      /* the kernel of other cannot address its operands in its own order of elements */
  WHY_COSTLY,     /* a operations an element, needed in b kernels */
  WHY_DEEP,       /* a operators one after the other are as many as a kernel takes */
  WHY_LOOP,       /* a loop begins or ends between it and what reads it */
  WHY_WORK,   /* the kernel of other would be more than code generation takes, and most of it is this value */
  WHY_PARTS,  /* a concatenation that is part of a longer one, other */
  WHY_READS,  /* needed in a kernels, each of which would read b operands an element */
  WHY_READER, /* a row sum whose reader, other, is no elementwise or row kernel */
  WHY_FOLD,   /* overlapping sums, read at other places than they are made at */
  WHY_LONG_ROW, /* sums over a elements, more than b, which would be read again for each of them */
  WHY_ROWS, /* sums over a elements each, at b places, and other has neither these rows nor these elements */
  WHY_SEVERAL, /* the kernel of other computes it on the way; a kernels need it */
  WHY_JOINED,  /* val's rows are computed in the kernel of other, whose operands they share */
  WHY_APART_SHAPE,
  WHY_APART_AXES,
  WHY_APART_FULL,
  WHY_APART_WAITS,
  WHY_APART_INDEX, /* ... are not, though */
  WHY_COUNT
} Why;

typedef struct {
  Why why;
  Val val, other; /* other: -1 none */
  double a, b;
} Decision;

/* What passes have made of a program so far. */
enum {
  HAS_LAYOUT = 1,       /* of its graph: how values lie in memory */
  HAS_KERNELS = 2,      /* that compute all results */
  HAS_ORDER = 4,        /* in which they run; results and states have their buffers */
  HAS_CHAINS = 8,       /* neighbours that run chunk by chunk are found */
  HAS_INTERLEAVED = 16, /* independent steps lie between dependent ones */
  HAS_PLAN = 32,        /* of the arena */
  HAS_BITS = 6
};

typedef struct {
  int64_t steps;
  int parent; /* the loop around it, 0 none */
} ProgramLoop;

typedef struct PlanMemo PlanMemo; /* plans of contractions already asked for (ir/kernel/kinds.c) */

typedef struct {
  const Graph *graph;
  Arena *arena;
  Target target;
  PlanMemo *memo; /* NULL: plans are made each time */
  VEC(Buf) buf;
  VEC(Kernel) kernel;
  VEC(Decision) decision;
  VEC(ProgramLoop) loop; /* numbered from 1 */
  int has;               /* HAS_ bits */
  int ncompute;          /* kernels before this one write no state */
  int64_t arena_bytes;
} Program;

/* The buffer whose memory buffer b lies in: itself unless it is an alias. */
static inline int program_root(const Program *p, int b) {
  while (p->buf.v[b].alias >= 0) b = p->buf.v[b].alias;
  return b;
}

/* The buffer whose bytes those of b are: its root, or what that lies within. */
static inline int program_memory(const Program *p, int b) {
  b = program_root(p, b);
  return p->buf.v[b].within >= 0 ? p->buf.v[b].within : b;
}
/* Where b begins in it, for kernels of `loop` (0: of none) in step[l] of each loop l around them; NULL: the first. */
int64_t program_place(const Program *p, int b, int loop, const int64_t *step);
/* The buffer with which b has its place in common: itself where it is placed inside another. */
int program_cell(const Program *p, int b);
/* Is loop `inner` the loop `outer` or inside of it? 0: of none. */
bool program_in_loop(const Program *p, int inner, int outer);
/* The outermost loop that kernel k is in and `other` (0: none) is not. */
int program_loop_below(const Program *p, int k, int other);
/* The first and the last kernel of a loop. */
void program_loop_range(const Program *p, int loop, int *first, int *last);

/* ---- conv_kernel() ...: kernels of each kind, without operands, of a plan the first step ---- */
#define KIND(NAME, name, SPEC, MEMBER) Kernel name##_kernel(const SPEC *s);
#include "ir/kernel/kinds.def"
#undef KIND

/* ---- what a kernel is and does, whatever its kind (ir/kernel/kinds.c) ---- */
const char *kernel_kind(const Kernel *k);                   /* "loop", "gemm" ... */
const char *kernel_name(const Program *p, int k, Arena *a); /* "k12_conv2d.main" */
/* Sets the work of a kernel that has its operands. */
void kernel_cost(const Program *p, Kernel *k);
/* Of one thread, by the target's cost model. */
double kernel_seconds(const Program *p, const Kernel *k);
/* The operations it cannot do without, where an algorithm needs fewer than flops says. */
/* What multiplies in a kernel, NULL where there is no choice; *why it is not tiles, NULL: it is. */
const char *kernel_how(const Program *p, const Kernel *k, const char **why);
double kernel_least_flops(const Program *p, const Kernel *k);

/* The steps of the plan that k is one of, for p's target, remembered where p has a memo (*own serves where it has
   none); NULL: k is all there is. */
const ContractionPlan *kernel_plan(const Program *p, const Kernel *k, ContractionPlan *own);
PlanMemo *plan_memo_new(Arena *a);
/* Only prepares an operand of the step that does the work. */
bool kernel_prepares(const Program *p, const Kernel *k);
/* Schedules of equal bits, ir/kernel/contraction.h: where the choice of k lies, NULL without any; the choices that
   differ, how many. */
int64_t *kernel_choice(const Program *p, Kernel *k);
int kernel_choices(const Program *p, const Kernel *k, int64_t choice[CHOICES]);

int64_t kernel_chunks(const Program *p, const Kernel *k);
/* Bytes b such that chunk c of k touches operand i of its list only in bytes [c*b, (c+1)*b); 0 when there is no such
   b. */
int64_t kernel_chunk_bytes(const Program *p, const Kernel *k, int i);
/* The same for buffer `root` through all of k's operands that lie in it; 0 also when none does. */
int64_t kernel_chunk_of_root(const Program *p, const Kernel *k, int root);
/* k cut into `count` chunks, when it can be. */
bool kernel_can_recut(const Kernel *k);
bool kernel_recut(const Program *p, const Kernel *k, int64_t count, Kernel *out);
/* Time lost to chunks as small as k's, as a share of it; 1e9: not to be thought of. */
double kernel_cut_loss(const Program *p, const Kernel *k);
/* The first and the last kernel that run together with k: k itself when it is in no chain. */
void program_chain(const Program *p, int k, int *first, int *last);

/* Does k read buffer `in` only at the element it writes to `out`, so that they may be one? */
bool kernel_reads_in_place(const Program *p, const Kernel *k, int in, int out);
/* Must run in the program's order with others of its kind: it may do what nobody sees. */
bool kernel_keeps_order(const Kernel *k);
/* Calls what is not our code. */
bool kernel_foreign(const Kernel *k);
/* Bytes that it sends to other processes. */
double kernel_sent(const Kernel *k);
/* What that takes on a network where m messages of b bytes each, of one rank to as many others, take
   latency + m max(message, b / rate). */
typedef struct {
  double rate, latency, message; /* bytes a second, seconds, seconds */
} Network;
double kernel_sending(const Kernel *k, const Network *n);

/* What k computes of the graph, one entry an operator, operands read from memory with a bare value; NULL in `part`
   counts. A kernel that is one operator (its val) has no parts: 0. */
typedef struct {
  Val val;       /* -1: of no value */
  bool computed; /* else loaded */
  double flops, bytes;
} KernelPart;
int kernel_parts(const Kernel *k, KernelPart *part);
/* For the test of jepac verify: k computes something else; false: it cannot. */
bool kernel_damage(Kernel *k);

/* ---- text, checks and the slow interpreter of this level ---- */
extern const char *const program_has_names[HAS_BITS];
extern const char *const why_names[WHY_COUNT], *const buf_kind_names[3], *const conv_kind_names[3],
                                                                             *const conv_algo_names[4];
void program_print(const Program *p, StrBuf *out);
/* k as it is planned: what was asked for settled. Its text below is the same wherever it stands in a model: operands
   by place, no values or model lines. Equal texts are equal kernels. */
Kernel kernel_settled(const Program *p, const Kernel *k);
/* step: its name, NULL none (kernel_step_name() before fields that plan it were cleared). */
void kernel_text(const Kernel *k, const char *step, StrBuf *out);
const char *kernel_step_name(const Program *p, const Kernel *k);
/* Reads back what program_print wrote, the graph included (ir/kernel/read.c); NULL after reporting. */
Program *program_read(Arena *a, const Source *src, Diags *d);
bool program_is_text(const Source *src); /* the file begins with a program, not a graph */
/* SSA order, accesses inside buffers, chunk ranges. */
bool program_verify(const Program *p, char *err, size_t errlen);

/* Runs kernel k on cells of its operands (ir/type.h): mem[i] is the storage of k->buf[i] in storage order. */
typedef enum {
  INTERP_EXACT,
  INTERP_ROUNDED, /* a loop kernel's f32 values are rounded after every operator, as generated code does, and
                     products on tiles have its bits */
  INTERP_TIED,    /* comparisons take numbers for equal that lie within a few roundings of their type: a value
                     computed twice, compared with itself */
  INTERP_MOVED    /* as INTERP_TIED; sums are off by INTERP_ULP of the sum of their terms' magnitudes */
} InterpMode;
#define INTERP_ULP 6e-8
void kernel_interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode);
/* Operand i holds something else in this interpreter than in generated code: where a convolution keeps packed weights
   or transformed images, the interpreter keeps them as they are. */
bool kernel_interp_only(const Program *p, const Kernel *k, int i);
/* Why k has no result of these operands, a sentence in which it names the item of a batch; NULL: no reason known. */
const char *kernel_fault(const Kernel *k, double *const *mem, Arena *a);
bool kernel_explains(const Kernel *k); /* it may have one */
/* How far generated code may be from the interpreter: a share of the result's largest element; whether it rounds to
   a narrow float on the way. */
double kernel_error_share(const Kernel *k);
bool kernel_rounds_narrow(const Kernel *k);

#endif
