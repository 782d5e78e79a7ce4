/* Graph passes: one file a pass, one signature, one registry row. A pass reads a graph and builds another;
   NULL means an error was reported. */
#ifndef JEPAC_PASSES_GRAPH_PASS_H
#define JEPAC_PASSES_GRAPH_PASS_H

#include "ir/graph/graph.h"

typedef Graph *PassFn(Arena *a, const Graph *in, Diags *d);

/* What a pass may rely on and promise. Each is checked by looking at the graph (pass_properties). */
enum {
  PROP_EXPANDED = 1, /* no grad node is left */
  PROP_STRIPPED = 2, /* no stop_gradient is left */
  PROP_UNIQUE = 4,   /* no two nodes compute the same value */
  PROP_LIVE = 8      /* every node but inputs reaches an output */
};

typedef struct {
  const char *name;
  PassFn *fn;
  int needs, gives, keeps; /* PROP_ sets: required before, true after, left true when it was */
  const char *doc;
} PassRow;

const PassRow *pass_table(int *n);
const PassRow *pass_find(const char *name); /* NULL when unknown */
int pass_properties(const Graph *g);

PassFn pass_autodiff, pass_strip, pass_simplify, pass_cse, pass_dce, pass_canon, pass_split, pass_parts,
    pass_narrow, pass_shard;

typedef struct {
  const char *name;
  double seconds;
  int before, after; /* nodes, or kernels */
} PassTime;

typedef struct {
  bool verify_each; /* graph_verify and the promised properties after every pass; a failure is a bug() */
  /* Called with each pass that changed the printed graph; number counts passes from 1. */
  void (*dump)(void *ctx, int number, const char *pass, const Graph *g);
  void *dump_ctx;
  /* Called with every pass's result before the next pass reads it; false stops. */
  bool (*watch)(void *ctx, const char *pass, Graph *g);
  void *watch_ctx;
  PassTime *times; /* NULL, or room for one entry a pass */
} PassOptions;

/* Runs the named passes in order; opt may be NULL. NULL after reporting an unknown name, an unmet need, or a
   pass's own error. */
Graph *passes_run(Arena *a, const Graph *in, const char *const *names, int n, const PassOptions *opt,
                  Diags *d);

/* ---- for passes ---- */
/* A graph named as in, and a map for its values filled with -1. */
Graph *pass_begin(Arena *a, const Graph *in, Val **map);
/* Copies node v with its operands replaced through the map. */
Val pass_copy(Graph *out, const Graph *in, Val v, const Val *map);
/* Copies the outputs, renumbering the states they replace. */
void pass_outputs(Graph *out, const Graph *in, const Val *map);
/* Copies what outputs need, all inputs included; with drop_inputs, slots and run-time scalars nobody needs go
   too. */
Graph *pass_live_copy(Arena *a, const Graph *in, bool drop_inputs);
/* Marks the values that outputs need. */
void pass_mark_live(const Graph *g, bool *live);
/* Marks the values some grad node differentiates by. Rewriting one, or merging it with an equal value, would
   change what the loss depends on, so passes that run before autodiff treat them as opaque. */
bool *pass_mark_pinned(Arena *a, const Graph *g);
/* The table of equal nodes: the value in g equal to node v (operands compared as they are), or v itself after
   remembering it. */
typedef struct ValueTable ValueTable;
ValueTable *value_table_new(Arena *a, int capacity);
Val value_table_find(ValueTable *t, const Graph *g, Val v);

#endif
