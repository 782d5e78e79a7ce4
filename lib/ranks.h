/* The ranks of a program that a launcher (mpirun, srun) started. */
#ifndef JEPAC_LIB_RANKS_H
#define JEPAC_LIB_RANKS_H

#include "lib/compiler.h"
#include "runtime/ranks.h"

/* NULL in *r: this process is alone. Opens the module of the launcher's MPI library otherwise; ST_FILE after reporting
   when it cannot. */
Status ranks_start(Compiler *c, double patience, Ranks **r);
/* Threads of one rank, where the launcher left all CPUs of the machine to all of its ranks. */
/* A thread that sends beside `threads` that compute: where all ranks are on one machine, which they fill, it would only
   take their time. All ranks call this. */
void ranks_choose_beside(Ranks *r, int threads);
/* Times of exchanges count from now. */
void ranks_forget_times(Ranks *r);
int ranks_threads(const Ranks *r);

/* The worst of all ranks' status: each must have reported its own. */
Status ranks_worst(Ranks *r, Status s);
/* The first rank for which the number is not that of rank 0, or -1: the same answer everywhere. */
int ranks_differ(Ranks *r, uint64_t number);
int64_t ranks_most(Ranks *r, int64_t number);
/* Rank 0's bytes, to everyone. */
void ranks_share(Ranks *r, void *data, int64_t bytes);
/* ... of every state. */
void ranks_share_states(Ranks *r, Session *s);

#endif
