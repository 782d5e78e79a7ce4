/* What the files of the exporter share: an ONNX graph in the making.

     export.c  the graph of an entry, its states, the file
     lower.c   the table: operators of the graph level in those of ONNX
     dynamic.c an extent that stays open */
#ifndef JEPAC_ONNX_EXPORT_H
#define JEPAC_ONNX_EXPORT_H

#include "onnx.pb-c.h"
#include "onnx/onnx.h"

typedef struct {
  Arena *a;
  Compiler *c;
  const Graph *g;
  const char **name; /* of each value of g; NULL: not made, or only part of what follows it */
  bool *bias_of;     /* per value: the sum with a bias is all that reads it */
  VEC(Onnx__NodeProto *) node;
  VEC(Onnx__TensorProto *) initializer;
  int fresh, named, problems;
  const Node *at; /* the node being written */
} Export;

/* How nodes are called that keep rows inside a table, as in onnx/import.h. */
#define EX_ROWS "Rows_"

/* An attribute: a whole number, a list of them, a float or a text. */
typedef struct {
  const char *name;
  int64_t i;
  const Ints *list;
  double f;
  const char *s;
  char kind; /* 'i' 'l' 'f' 's' */
} ExAttr;

int ex_type(DType dt);
/* A node; its result's name: out, or a new one where out is NULL. */
const char *ex_node(Export *x, const char *op, const char *out, const char *const *in, int nin, const ExAttr *attr, int nattr);
#define EX1(X, OP, OUT, A) ex_node(X, OP, OUT, (const char *const[]){A}, 1, NULL, 0)
#define EX2(X, OP, OUT, A, B) ex_node(X, OP, OUT, (const char *const[]){A, B}, 2, NULL, 0)
/* Constants. */
const char *ex_scalar(Export *x, DType dt, Imm v);
const char *ex_list(Export *x, const int64_t *v, int n);
const char *ex_tensor(Export *x, const char *name, DType dt, const Shape *s, const void *data);
void ex_problem(Export *x, const Node *n, const char *why);

/* A dimension that stays open, and the values with which the entry was exported; their graphs become the first, where it
   is a name. */
enum { OPENINGS = 4 };
typedef struct {
  const char *name;
  int64_t value[OPENINGS];
} Dynamic;

void ex_open(Export *x, const Dynamic *d, Onnx__GraphProto *const g[OPENINGS]);

/* The name of value v, which is written now where it waited. */
const char *ex_made(Export *x, Val v);
/* What is made only where somebody needs it as a whole: windows that become pooling, what ONNX broadcasts itself, convolutions
   that take a bias. */
bool ex_waits(const Export *x, Val v);
bool ex_waits_for_bias(const Export *x, Val v);

#endif
