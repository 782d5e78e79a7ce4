/* What the two halves of the generator of graphs share (graph_gen.h): graph_gen.c and graph_more.c. */
#ifndef JEPAC_TESTS_GRAPH_DRAW_H
#define JEPAC_TESTS_GRAPH_DRAW_H

#include "tests/unit/graph_gen.h"

typedef struct {
  Graph *g;
  uint64_t state;
  VEC(Val) pool; /* f32 values to draw operands from */
  bool wide;     /* operators, ranks and extents that graphs of small seeds lack */
  bool all;      /* every elementwise operator, integers, other types, constants, long sums, loops */
  bool special;  /* numbers of every kind, and operators outside of where they are smooth */
  bool nested;   /* loops in loops, which have no derivative */
  Ints path;     /* of the loop that is being written */
} Gen;

static inline int64_t pick(Gen *r, int64_t n) { /* splitmix64 */
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (int64_t)((z ^ (z >> 31)) % (uint64_t)n);
}

static inline Val any(Gen *r) {
  int n = r->pool.n, lo = n > 12 && pick(r, 3) ? n - 12 : 0; /* mostly recent values */
  return r->pool.v[lo + (int)pick(r, n - lo)];
}

static inline const Shape *shape_of(Gen *r, Val v) { return &g_node(r->g, v)->shape; }

static inline Val attempt(Gen *r, OpId op, const Val *in, int nin, const Ints *attr, double imm) {
  char err[256];
  return g_try(r->g, op, in, nin, attr, imm, DT_NONE, NULL, err, sizeof err);
}

/* Into the pool, unless it is none or too large. */
void draw_keep(Gen *r, Val v);
/* b brought to a's shape: as it is, by broadcast of a reduced copy, or of a scalar. */
Val draw_like(Gen *r, Val a);
/* A new value from those of the pool, or -1. */
Val draw_operator(Gen *r);
/* ... of the kinds that only Gen.all has. */
Val draw_more(Gen *r);

#endif
