/* What the levels of the compiler, generated code and the runtime have to agree on. */
#ifndef JEPAC_IR_AGREED_H
#define JEPAC_IR_AGREED_H

#include <stdbool.h>
#include <stdint.h>

/* How a state begins. */
typedef enum { INIT_NONE, INIT_FILL, INIT_UNIFORM, INIT_NORMAL, INIT_COPY } InitKind;

/* Run-time numbers of a program that nobody trains: those of a long training. */
enum { FREE_STEPS_PER_EPOCH = 1000, FREE_TOTAL_STEPS = 100000 };

/* What a chain may have: the planner forms none larger, the runtime keeps room for as much. */
enum { CHAIN_KERNELS = 32, CHAIN_OPERANDS = 64 };

/* Processes of one run, and what they make of a value of each: the operators of ir/graph/collective.h. */
enum { MOST_RANKS = 4096, RANKS_IN_A_ROW = 16, RANK_LEVELS = 12 };
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

/* A sum over ranks is taken in their order where they are at most RANKS_IN_A_ROW. More are added up in levels: size[0]
   neighbours in their order, then size[1] such sums in theirs, and so on, so that a rank has as many messages to send as
   these numbers have together, not one for each rank. */
typedef struct {
  int levels, size[RANK_LEVELS];
} RankTree;
RankTree rank_tree(int64_t ranks);
/* Are so many bytes of each rank sent whole on every level, rather than in parts that are then put together? That is one
   message's time against what the whole takes longer. */
enum { COLLECTIVE_SMALL = 1 << 15 };
bool rank_tree_whole(const RankTree *t, int64_t bytes);

#endif
