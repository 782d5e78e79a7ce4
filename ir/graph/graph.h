/* The graph level: SSA values with static types, in topological order. A node has exactly one result, so a
   value is its node's index. Graphs are built by appending; passes read one graph and build another
   (g_copy_node), so every pass leaves the input untouched and dead nodes vanish by not being copied. */
#ifndef JEPAC_IR_GRAPH_GRAPH_H
#define JEPAC_IR_GRAPH_GRAPH_H

#include "ir/agreed.h"
#include "ir/extern.h"
#include "ir/graph/ops.h"

typedef struct {
  int n;
  int64_t v[MAX_RANK];
} Ints;

typedef enum { ROLE_FORWARD, ROLE_GRADIENT, ROLE_UPDATE } Role;

typedef struct Node {
  OpId op;
  DType dt;
  Shape shape;
  int nin;
  const Val *in;
  const Ints *attr;  /* op_nattr(op) lists, named by the table row; NULL when there are none */
  Imm imm;           /* fill value of fill, pad, window */
  const Extern *ext; /* OP_extern: what to call, else NULL */
  int input;         /* OP_input: index into Graph.inputs, else -1 */
  const Loc *loc;    /* model line; never NULL for values from a model file */
  Role role;
} Node;

typedef enum { IN_ARG, IN_PARAM, IN_BUFFER, IN_SLOT, IN_RUNTIME } InputKind;

typedef struct {
  InitKind kind;
  Imm a; /* FILL: value a; UNIFORM: range [a,b); NORMAL: mean a, standard deviation b */
  double b;
  const char *from; /* COPY: name of another state, read after it was initialised */
  uint32_t stream;  /* random stream */
} Init;

/* IN_ARG: data given at each call. PARAM (trained), BUFFER (running statistics, EMA copies), SLOT (optimizer
   state) persist between calls: "state". IN_RUNTIME scalars: seed, step (i64, 0-based), steps_per_epoch,
   total_steps (i64). */
typedef struct {
  const char *name; /* dotted field path, equal to the PyTorch name where there is one */
  InputKind kind;
  Val val;
  Init init; /* state only */
} Input;

typedef struct {
  const char *name;
  Val val;
  int state; /* index into inputs of the state this value replaces after the step, or -1: a named result */
} Output;

typedef struct Graph {
  Arena *arena;
  const char *name;
  VEC(Node) node;
  VEC(Input) inputs;
  VEC(Output) outputs;
  DType
      precision; /* DT_BF16, DT_F16: what lies in memory between kernels is to be rounded to it; else DT_NONE */
  int ranks; /* > 1: the step of a whole batch, which so many processes are to share (passes/graph/shard.c) */
  int spread;     /* > 1: so many processes keep optimizer state and averages in parts */
  const Loc *loc; /* position and role given to nodes appended from now on */
  Role role;
} Graph;

Graph *graph_new(Arena *a, const char *name);

/* Appends a node after inference. dt/shape are needed for TY_EXPLICIT rows (DT_NONE / NULL otherwise). attr
   may be NULL when the row has none. g_try returns -1 and writes a sentence to err on a user error; g_add
   treats that as a bug. */
Val g_try(Graph *g, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt, const Shape *shape,
          char *err, size_t errlen);
Val g_add(Graph *g, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt, const Shape *shape);
Val g_input(Graph *g, const char *name, InputKind kind, DType dt, const Shape *shape, const Init *init);
void g_output(Graph *g, const char *name, Val v, int state);
/* Copies node n of src into g with operands replaced; keeps loc and role. Inputs are copied with their table
   entry (outputs are the caller's business). */
Val g_copy_node(Graph *g, const Graph *src, Val n, const Val *in);
int g_find_input(const Graph *g, const char *name); /* index or -1 */
static inline Node *g_node(const Graph *g, Val v) { return &g->node.v[v]; }

/* Shorthands (all go through g_add). */
Val g_extern(Graph *g, const Extern *ext, const Val *in, int nin, DType dt, const Shape *shape);
Val g_unary(Graph *g, OpId op, Val a);
Val g_binary(Graph *g, OpId op, Val a, Val b);
Val g_select(Graph *g, Val c, Val a, Val b);
Val g_cast(Graph *g, Val a, DType dt);
/* Why v is no number of the type; NULL where it is. */
const char *imm_misfit(DType dt, Imm v);
/* Why a state of the type cannot begin with it; NULL where it can. */
const char *init_misfit(DType dt, const Init *init);
Val g_fill(Graph *g, DType dt, const Shape *s, Imm value);
Val g_fill_like(Graph *g, Val a, Imm value);
Val g_reshape(Graph *g, Val a, const Shape *s);
Val g_transpose(Graph *g, Val a, const Ints *perm);
Val g_broadcast(Graph *g, Val a, const Shape *s, const Ints *dims);
Val g_reduce(Graph *g, OpId op, Val a, const Ints *axes);
Val g_slice(Graph *g, Val a, const Ints *start, const Ints *stop, const Ints *step); /* step NULL = ones */
Val g_pad(Graph *g, Val a, const Ints *lo, const Ints *hi, const Ints *interior, Imm value);
Val g_concat(Graph *g, const Val *v, int n, int axis);
Val g_dot(Graph *g, Val a, Val b, const Ints *lb, const Ints *rb, const Ints *lc, const Ints *rc);
/* What the attributes of a convolution say, in full: lo and hi pad rows and columns before and behind. */
typedef struct {
  int64_t stride[2], lo[2], hi[2], dilation[2], groups;
} ConvAttrs;
ConvAttrs conv_attrs(const Node *n);
Ints ints1(int64_t a);
Ints ints2(int64_t a, int64_t b);
Ints ints_range(int n); /* 0, 1, ..., n-1 */

/* ---- text (ir/graph/print.c, ir/graph/read.c): print -> read -> print is the identity ---- */
void graph_print(const Graph *g, StrBuf *out);
/* Several graphs may stand in one file; returns the number read into out (at most max), -1 with diagnostics
   on error. */
int graph_read(Arena *a, const Source *src, Diags *d, Graph **out, int max);
/* Checks every invariant (types, operand order, attributes, outputs, states); false with one message in err. */
bool graph_verify(const Graph *g, char *err, size_t errlen);

/* ---- f64 interpreter (ir/graph/interp.c): the oracle ---- */
typedef struct {
  DType dt;
  Shape shape;
  double *v; /* row-major cells (ir/type.h) */
} Tensor64;
/* Evaluates g: in[i] belongs to g->inputs.v[i]; out[i] receives outputs.v[i] in arena memory. With `rounds` f32
   values are rounded where compiled code rounds them: constants, each step of an elementwise operator's
   expression, the results of sums (which are themselves added in f64), and denormals become zero; else everything
   stays f64. Integers are integers in both. */
void graph_interp(const Graph *g, const Tensor64 *in, Tensor64 *out, Arena *a, bool rounds);
/* The same for so many processes that go through it together: in[r] and out[r] are those of the r-th. */
void graph_interp_ranks(const Graph *g, int ranks, const Tensor64 *const *in, Tensor64 *const *out, Arena *a,
                        bool rounds);
/* Philox4x32-10 (Salmon et al. 2011), first word. */
uint32_t philox_u32(uint64_t index, uint32_t step, uint32_t stream, uint64_t seed);

/* Floating-point operations of one node (multiply and add counted separately). */
double node_flops(const Graph *g, Val v);

#endif
