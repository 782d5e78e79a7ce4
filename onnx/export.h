/* What the files of the exporter share: an ONNX graph in the making.

     export.c  the graph of an entry, its states, the file
     lower.c   the table: operators of the graph level in those of ONNX */
#ifndef JEPAC_ONNX_EXPORT_H
#define JEPAC_ONNX_EXPORT_H

#include "onnx.pb-c.h"
#include "onnx/onnx.h"

typedef struct {
  Arena *a;
  Compiler *c;
  const Graph *g;
  const char **name; /* of each value of g; NULL: not made, or only part of what follows it */
  VEC(Onnx__NodeProto *) node;
  VEC(Onnx__TensorProto *) initializer;
  int fresh, problems;
  const Node *at; /* the node being written */
} Export;

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
const char *ex_scalar(Export *x, DType dt, double v);
const char *ex_list(Export *x, const int64_t *v, int n);
const char *ex_tensor(Export *x, const char *name, DType dt, const Shape *s, const void *data);
void ex_problem(Export *x, const Node *n, const char *why);

/* Writes node v under the name out. */
void ex_lower(Export *x, Val v, const char *out);

#endif
