/* The processes ("ranks") of one run, and the step that works on a value of all of them. Whoever knows how to move bytes
   between them hands in a Ranks: the module of an MPI library (runtime/mpi/), a program that uses libjepac, a test. */
#ifndef JEPAC_RUNTIME_RANKS_H
#define JEPAC_RUNTIME_RANKS_H

#include "runtime/abi.h"

typedef struct Ranks Ranks;
/* Ranks first, first + stride, ..., count of them. */
typedef struct {
  int first, stride, count;
} RankSet;

struct Ranks {
  int rank, count;
  /* Among the members of a set, of which this rank is one; all ranks call it, each for its set.
     Piece k of every member, send[at[k]] to send[at[k + 1]] in bytes, goes to member k: this one gets as many pieces of
     one length, one after the other in the order of members. */
  void (*exchange)(Ranks *r, RankSet set, const void *send, const int64_t *at, void *recv);
  /* Member k has data[at[k]] to data[at[k + 1]]; afterwards everyone has all of it. */
  void (*gather)(Ranks *r, RankSet set, void *data, const int64_t *at);
  bool whole; /* they only know the set of all ranks */

  /* The same ranks, for a second thread that moves bytes at the same time (steps that run beside others), or NULL. */
  Ranks *beside;

  /* ---- of a launched program ---- */
  int local; /* ranks on this host */
  const char *host;
  double patience;                    /* seconds until a rank that does not answer is given up, */
  int lost;                           /* and the status all ranks end with then */
  double waited;                      /* seconds in exchanges so far */
  double awaited;                     /* seconds in which steps waited for what runs beside them */
  void (*stop)(Ranks *r, int status); /* ends all ranks; does not return */
  void (*close)(Ranks *r);
};
/* What a module of an MPI library exports. NULL: it cannot begin. */
typedef struct {
  Ranks *(*open)(void);
} RanksModule;
#define RANKS_MODULE "jepac_ranks"

typedef struct {
  Collective what;
  DType dt;
  int64_t outer, inner, ranks; /* ir/kernel/collective.h */
} CollectiveParam;

/* ->gather among all ranks: at[k] and at[k + 1] of rank k. */
void ranks_gather(Ranks *r, void *data, const int64_t *at);

/* `scratch` is the session's Ranks, or NULL: then this process stands for all of them. What is of one rank is this
   one's own. */
void step_collective(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
