/* What the levels of the compiler, generated code and the runtime have to agree on. */
#ifndef JEPAC_IR_AGREED_H
#define JEPAC_IR_AGREED_H

/* How a state begins. */
typedef enum { INIT_NONE, INIT_FILL, INIT_UNIFORM, INIT_NORMAL, INIT_COPY } InitKind;

/* Run-time numbers of a program that nobody trains: those of a long training. */
enum { FREE_STEPS_PER_EPOCH = 1000, FREE_TOTAL_STEPS = 100000 };

/* What a chain may have: the planner forms none larger, the runtime keeps room for as much. */
enum { CHAIN_KERNELS = 32, CHAIN_OPERANDS = 64 };

/* Processes of one run, and what they make of a value of each: the operators of ir/graph/collective.h. Up to so many
   bytes from all of them come whole, in one exchange rather than two. */
enum { MOST_RANKS = 4096, COLLECTIVE_SMALL = 1 << 15 };
typedef enum {
  COLLECTIVE_SUM,
  COLLECTIVE_MEAN,
  COLLECTIVE_MAX,
  COLLECTIVE_FIRST,
  COLLECTIVE_SCATTER, /* from here on of parts */
  COLLECTIVE_PART,
  COLLECTIVE_GATHER,
  COLLECTIVES
} Collective;

#endif
