/* Random valid graphs for differential tests: every operator, awkward shapes, shared values, gradients. */
#ifndef JEPAC_TESTS_GRAPH_GEN_H
#define JEPAC_TESTS_GRAPH_GEN_H

#include "ir/graph/graph.h"

/* A graph determined by seed: a few inputs, about `size` operators, results, and gradients of a scalar by
   every input. */
/* Seeds from WIDE on draw from more operators, shapes and attributes. From ALL on also every elementwise operator, and those
   of integers, other types of floats, constants, long sums, loops; from SPECIAL on with numbers of every kind as constants,
   and operators where they are not smooth. */
enum { GRAPH_GEN_WIDE = 1 << 20, GRAPH_GEN_ALL = 1 << 24, GRAPH_GEN_SPECIAL = 1 << 28 };
Graph *graph_gen(Arena *a, uint64_t seed, int size);

/* NaN, infinities, zeros, the largest and smallest, denormals; what is at the edges of i32, i64 and the whole doubles. */
enum { SPECIAL_NUMBERS = 20, SPECIAL_INTEGERS = 16 };
extern const double special_numbers[SPECIAL_NUMBERS];
extern const Imm special_integers[SPECIAL_INTEGERS];

#endif
