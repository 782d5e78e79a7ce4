/* Small graphs for every row of the operator table, shared by the tests that compare two evaluations of an
   operator (gradients against finite differences, passes against the interpreter, the JIT against the
   interpreter). */
#ifndef JEPAC_TESTS_OP_CASES_H
#define JEPAC_TESTS_OP_CASES_H

#include "ir/graph/graph.h"

/* Number of cases of a row; 0 means the table of cases lacks it, which a test reports. */
int op_case_count(OpId op);
/* Builds case which: inputs of kind arg (run-time scalars for random_bits) and one output "y" computed by the
   operator. The grad row's graphs hold a grad node: run autodiff first. */
Graph *op_case_build(Arena *a, OpId op, int which);
/* Draws values for all inputs as the row's sample column says; every value is exact in its element type. in
   has room for g->inputs.n entries. */
void op_case_inputs(const Graph *g, Arena *a, uint64_t seed, Tensor64 *in);
/* Building on a case: its nodes copied (the map from its values is returned), the sum of a value times an
   added input of weights, the case with the one output "loss" = sum(y * weights), and a loss replaced by its
   gradients by every float input, named as the inputs (grad nodes: run autodiff). */
Val *op_case_copy(Graph *g, const Graph *src);
Val op_case_weighted_sum(Graph *g, Val y, const char *weights);
Graph *op_case_loss(Arena *a, const Graph *src);
Graph *op_case_grads(Arena *a, const Graph *src);
/* Inputs for a graph built on a case: the case's, then normal ones for what was added. */
Tensor64 *op_case_inputs_for(const Graph *g, const Graph *base, Arena *a, uint64_t seed);
/* The k-th normal or uniform [0,1) number of a stream. */
double op_case_normal(uint64_t seed, uint32_t stream, uint64_t k);
double op_case_uniform(uint64_t seed, uint32_t stream, uint64_t k);

/* Values for a graph's inputs: normal arguments, labels 0 or 1, states as they might be after some steps; parameters
   without an initial number are normal with this spread. */
Tensor64 *op_case_values(Arena *a, const Graph *g, uint64_t seed, double spread);

#endif
