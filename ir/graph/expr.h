/* The scalar expression language of the .expr and .vjp columns: C-like precedence over
     numbers, names (a b c y g), - + * / == != < <=, and calls f(x, ...) of elementwise operator names.
   Parsed once into a small tree; a call or operator node names the elementwise operator it denotes, so the
   interpreter, the simplifier, autodiff and the LLVM emitter all walk the same tree. No implicit conversion.
   A leaf operator's own .expr is a single node that denotes itself ("exp(a)"): emitters provide those,
   everything else is composition. */
#ifndef JEPAC_IR_GRAPH_EXPR_H
#define JEPAC_IR_GRAPH_EXPR_H

#include "ir/graph/ops.h"

typedef enum { EX_NUM, EX_ARG, EX_OP } ExprKind;

typedef struct Expr {
  ExprKind kind;
  double num; /* EX_NUM */
  int arg;    /* EX_ARG: 0..2 = a b c, 3 = y, 4 = g */
  OpId op;    /* EX_OP */
  int nin;
  const struct Expr *in[3];
} Expr;

/* Value tree of an elementwise operator; never NULL for KIND_MAP. Parsed trees are cached for the process,
   built once (thread-safe through call_once). */
const Expr *op_expr(OpId op);
/* Derivative tree for operand i; NULL = no gradient ("-"). */
const Expr *op_vjp_expr(OpId op, int i);
bool op_vjp_is_defined(OpId op);
/* f64 evaluation of leaf operators, those whose .expr denotes the operator itself (bools are 0/1); dt is the
   operand's element type. */
double op_eval_leaf(OpId op, const double *x);
/* f64 evaluation of any elementwise operator. */
double op_eval(OpId op, const double *x);
/* ... on cells (ir/type.h): result's element type, that of the operands (of select's values). Integers wrap around;
   with `rounds` f32 is rounded after every step of the operator's expression, as compiled code is. */
double op_eval_cells(OpId op, DType result, DType arg, const double *x, bool rounds);
/* The cast operator. */
double convert_cell(DType from, DType to, double x, bool rounds);

#endif
