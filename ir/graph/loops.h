/* Loops of a graph. The nodes of a loop's body stand among the others, once: a value belongs to the body when it
   follows from a scan_in or scan_carry of the loop other than through scan_next and scan_out, which lead out of it. So
   passes need to know nothing of loops: what does not depend on the step is outside by itself, and equal, dead and
   simpler values are found in bodies as elsewhere.

   A loop is named by a list of numbers, its own behind those of the loops around it: `loop` of its scan nodes. */
#ifndef JEPAC_IR_GRAPH_LOOPS_H
#define JEPAC_IR_GRAPH_LOOPS_H

#include "ir/graph/graph.h"

typedef struct {
  Ints path;
  int64_t steps;
  int parent; /* index of the loop around it, -1 none */
  int rank;   /* order of the first values that leave loops */
  Val close;  /* the first scan_next or scan_out: all of the body stands before it */
} GraphLoop;

typedef struct {
  GraphLoop *loop; /* inner ones behind outer ones */
  int n;
  int *of;     /* per value: the innermost loop of whose body it is, -1 none */
  Val *next;   /* per scan_carry: its scan_next, else -1 */
  int *before; /* per value: so many loops begin to be left before it */
} GraphLoops;

/* The loop that a scan node belongs to, as its name; empty for other nodes. */
Ints scan_path(const Graph *g, const Node *n);
static inline bool scan_closes(const Node *n) { return n->op == OP_scan_next || n->op == OP_scan_out; }
bool scan_reversed(const Node *n);
int64_t scan_steps(const Graph *g, const Node *n);
/* A number that no loop of the graph has. */
int64_t graph_new_loop(const Graph *g);
bool graph_has_loops(const Graph *g);

/* NULL with a sentence in err, and the value it is about, where the scan nodes do not make loops. */
GraphLoops *graph_loops(const Graph *g, Arena *a, Val *at, char *err, size_t errlen);
/* The same of a graph that is known to be right. */
GraphLoops *graph_loops_of(const Graph *g, Arena *a);
bool loops_inside(const GraphLoops *l, int inner, int outer); /* -1: outside of all; equal ones are inside */

/* Marks what outputs and marked values need; a carry needs its scan_next. */
void graph_mark_live(const Graph *g, bool *live);

/* Operations of the whole graph, of bodies in all their steps; grad nodes count nothing. */
double graph_flops(const Graph *g);

Val g_scan_in(Graph *g, Val a, const Ints *path, bool reverse);
Val g_scan_carry(Graph *g, Val a, const Ints *path, int index, int64_t steps);
Val g_scan_next(Graph *g, Val carry, Val value);
Val g_scan_out(Graph *g, Val a, const Ints *path, int64_t steps, bool reverse);

#endif
