/* The processes ("ranks") of one run, and the step that works on a value of all of them. Whoever knows how to move bytes
   between them hands in a Ranks: the module of an MPI library (runtime/mpi/), a program that uses libjepac, a test. */
#ifndef JEPAC_RUNTIME_RANKS_H
#define JEPAC_RUNTIME_RANKS_H

#include "runtime/abi.h"

typedef struct Ranks Ranks;
struct Ranks {
  int rank, count;
  /* Every rank's piece k, send[at[k]] to send[at[k + 1]] in bytes, goes to rank k: this one gets count pieces, one after
     the other in the order of ranks. */
  void (*exchange)(Ranks *r, const void *send, const int64_t *at, void *recv);
  /* Rank k has data[at[k]] to data[at[k + 1]]; afterwards everyone has all of it. */
  void (*gather)(Ranks *r, void *data, const int64_t *at);

  /* ---- of a launched program ---- */
  int local; /* ranks on this host */
  const char *host;
  double patience;                    /* seconds until a rank that does not answer is given up, */
  int lost;                           /* and the status all ranks end with then */
  double waited;                      /* seconds in exchanges so far */
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

/* `scratch` is the session's Ranks, or NULL: then this process stands for all of them. What is of one rank is this
   one's own. */
void step_collective(void *const *ptr, int64_t chunk, void *scratch, const void *param);

#endif
