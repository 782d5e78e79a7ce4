/* Operators: ids, kinds and the table (ir/graph/ops.def) that every pass and emitter reads. */
#ifndef JEPAC_IR_GRAPH_OPS_H
#define JEPAC_IR_GRAPH_OPS_H

#include "ir/type.h"

typedef enum {
#define OP(NAME, ...) OP_##NAME,
#include "ir/graph/ops.def"
#undef OP
  OP_COUNT
} OpId;

typedef enum {
  KIND_INPUT,
  KIND_GRAD,
  KIND_MAP,    /* elementwise: out[i] = expr(in[i]...) */
  KIND_SOURCE, /* no tensor operand: fill, iota, random_bits */
  KIND_VIEW,   /* pure index map (reshape ... window, concat) */
  KIND_FOLD,
  KIND_REDUCE,
  KIND_DOT,
  KIND_CONV,
  KIND_GATHER,
  KIND_SCATTER,
  KIND_SORT,
  KIND_SCAN,       /* where values enter and leave a loop (ir/graph/loops.h) */
  KIND_LAPACK,     /* linear algebra by a library (ir/graph/lapack.c) */
  KIND_COLLECTIVE, /* between the processes of a run (ir/graph/collective.c) */
  KIND_EXTERN      /* a call of the user's library */
} OpKind;

typedef enum { TY_SAME = 1, TY_BOOL, TY_SELECT, TY_EXPLICIT, TY_OTHER } TypeRule;
enum { A_FLOAT = 1, A_INT = 2, A_BOOL = 4 };
enum { MAX_ATTRS = 5 };

struct Graph;
struct Node;
typedef int32_t Val; /* a value = the index of its node in the graph; -1 = none */

/* Fills n->dt and n->shape (or checks them when given) from operands and attributes; on a user error writes
   one sentence into err and returns false. */
typedef bool (*InferFn)(const struct Graph *g, struct Node *n, char *err, size_t errlen);
/* Appends to g the gradients of operands of node y given its incoming gradient gy; gin[i] = -1 for none. */
typedef void (*VjpFn)(struct Graph *g, Val y, Val gy, Val *gin);

typedef struct {
  const char *name;
  int nin;
  OpKind kind;
  TypeRule type;
  int accept;
  const char *attrs; /* names; "name?" may be absent: an empty list, not printed */
  InferFn shape;
  const char *expr, *vjp;
  VjpFn vjp_fn;
  double flops;
  const char *sample, *edge, *rule, *doc;
} OpRow;

extern const OpRow op_table[OP_COUNT];
/* Node.imm means something: printed as {value=...}. */
static inline bool op_has_imm(OpId op) { return op == OP_fill || op == OP_pad || op == OP_window; }
OpId op_find(const char *name);               /* OP_COUNT when unknown */
int op_nattr(OpId op);                        /* number of attributes */
int op_attr_index(OpId op, const char *name); /* -1 when unknown */
bool op_attr_optional(OpId op, int i);
/* Name of attribute i into buf. */
const char *op_attr_name(OpId op, int i, char buf[static 32]);
/* The operators that a model file can call, as a Markdown table (ir/graph/reference.c). */
void ops_reference(StrBuf *out);

#endif
