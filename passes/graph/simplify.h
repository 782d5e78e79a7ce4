/* Private to the simplify pass: the rules, split over simplify.c (driver, elementwise) and simplify_shape.c
   (views, reductions, contractions). Tests use simplify_graph to see what a single rule does. */
#ifndef JEPAC_PASSES_GRAPH_SIMPLIFY_H
#define JEPAC_PASSES_GRAPH_SIMPLIFY_H

#include "passes/graph/pass.h"

typedef struct Simplifier {
  Graph *g;        /* being built */
  const Graph *in; /* from this one, */
  const Val *map;  /* whose values are known so far by this */
  VEC(Val) sums;   /* the reduce_sum nodes of `in` */
  VEC(Val) pinned; /* values of g that rules must not look into */
  int skip;        /* index of a rule left out, -1 for none */
} Simplifier;

/* A rule looks at a node of s->g and returns a value equal to it, or -1. Rules terminate because each makes a
   node smaller, simpler, or moves it in one direction only (broadcasts outwards, factors out of sums,
   transposes into dots). */
typedef Val RuleFn(Simplifier *s, const Node *n);
typedef struct {
  const char *name;
  RuleFn *fn;
  OpId on[4]; /* operators it applies to; none = all */
  const char *doc;
} Rule;

const Rule *simplify_rules(int *n);
Graph *simplify_graph(Arena *a, const Graph *in, int skip);

/* Adds a node and simplifies it. */
Val simp_add(Simplifier *s, OpId op, const Val *in, int nin, const Ints *attr, Imm imm, DType dt,
             const Shape *shape);
Val simp_unary(Simplifier *s, OpId op, Val a);
Val simp_binary(Simplifier *s, OpId op, Val a, Val b);
Val simp_fill(Simplifier *s, DType dt, const Shape *shape, Imm value);
Val simp_reshape(Simplifier *s, Val a, const Shape *shape);
Val simp_broadcast(Simplifier *s, Val a, const Shape *shape, const Ints *dims);
/* The node that computes v; an opaque one for inputs and pinned values. */
const Node *simp_def(const Simplifier *s, Val v);
/* v is a fill; its value. */
bool simp_is_fill(const Simplifier *s, Val v, Imm *value);
bool simp_ints_has(const Ints *s, int64_t x);

RuleFn rule_view_of_fill, rule_reshape_same, rule_reshape_of_reshape, rule_transpose_of_transpose,
    rule_transpose_units, rule_transpose_of_dot, rule_broadcast_of_broadcast, rule_broadcast_of_reshape,
    rule_broadcast_of_iota, rule_broadcast_units, rule_slice_same, rule_slice_of_slice, rule_slice_of_concat,
    rule_pad_none, rule_concat_one, rule_reverse_none, rule_reverse_of_reverse, rule_reduce_units,
    rule_reduce_of_reduce, rule_reduce_of_broadcast, rule_sum_of_product, rule_dot_of_transpose,
    rule_map_of_broadcasts;

#endif
