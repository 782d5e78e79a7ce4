/* The ranks of a program that a launcher (mpirun, srun) started. */
#ifndef JEPAC_LIB_RANKS_H
#define JEPAC_LIB_RANKS_H

#include "lib/compiler.h"
#include "runtime/ranks.h"

/* NULL in *r: this process is alone. Opens the module of the launcher's MPI library otherwise; ST_FILE after reporting
   when it cannot. */
Status ranks_start(Compiler *c, double patience, Ranks **r);
/* A thread that sends beside `threads` that compute: where all ranks are on one machine, which they fill, it would only
   take their time. All ranks call this. */
void ranks_choose_beside(Ranks *r, int threads);
/* Times of exchanges count from now. */
void ranks_forget_times(Ranks *r);
/* Threads of one rank, where the launcher left all CPUs of the machine to all of its ranks. */
int ranks_threads(const Ranks *r);

/* The worst of all ranks' status: each must have reported its own. */
Status ranks_worst(Ranks *r, Status s);
/* The first rank for which the number is not that of rank 0, or -1: the same answer everywhere. */
int ranks_differ(Ranks *r, uint64_t number);
int64_t ranks_most(Ranks *r, int64_t number);
uint64_t ranks_any(Ranks *r, uint64_t bits); /* bits that some rank has */
/* Every rank's text, one after the other with the zeros that end them; the caller frees it. */
char *ranks_texts(Ranks *r, const char *text);
/* Rank 0's bytes, to everyone. */
void ranks_share(Ranks *r, void *data, int64_t bytes);
/* ... of every state. */
void ranks_share_states(Ranks *r, Session *s);

/* ---- states of which each rank has a part (Graph.spread), to be seen whole ---- */
typedef struct SpreadStates SpreadStates;
/* g: the step before it was shared, whose states are whole. NULL: there are none. Lives in a. */
SpreadStates *spread_states_find(Arena *a, const Graph *g, Session *s, Ranks *r);
/* All ranks call this: until spread_close the session shows these states whole on rank 0, or on everyone, with what all have.
   folder: where rank 0 puts a file for them, which is gone when they are closed. */
Status spread_collect(SpreadStates *x, const char *folder, bool everyone, Diags *d);
/* ... whole on every rank, without values; spread_take then takes this one's part of what has been put there. */
Status spread_open(SpreadStates *x, Diags *d);
void spread_take(SpreadStates *x);
void spread_close(SpreadStates *x);

#endif
