/* Runs a plan: owns its arena, runs its steps on a thread team, initialises its states. */
#ifndef JEPAC_RUNTIME_EXEC_H
#define JEPAC_RUNTIME_EXEC_H

#include "runtime/ranks.h"

typedef struct Session Session;

/* The plan and what it points to must outlive the session. threads <= 0: one for each CPU this process may
   use. NULL when the arena cannot be had (errno is set). The arena starts zeroed. */
Session *session_new(const Plan *plan, int threads);
void session_free(Session *s);

const Plan *session_plan(const Session *s);
int session_threads(const Session *s);
enum { MOST_THREADS = 1024 }; /* far more make OpenMP's runtime run out of stack */
int session_cpus(void);       /* the CPUs this process may use */

/* Runs steps [first, last) in order, loops that lie there whole. The results do not depend on the number of threads. */
void session_run(Session *s, int first, int last);
/* One step of the plan by itself, once: of loops in their first step, or in the one that session_at() says. */
void session_run_alone(Session *s, int step);
void session_at(Session *s, int loop, int64_t step);

/* One training step: computes, looks at the first element of each watched f32 tensor (negative indices are
   skipped), and commits the states only when all are finite. ST_NONFINITE: states untouched, *bad is the
   offending tensor. */
Status session_step(Session *s, const int *watch, int nwatch, int *bad);

typedef struct {
  const char *name;
  PlanTensorKind kind;
  DType dt;
  Shape shape;
  void *data;
  int64_t bytes;
} SessionTensor;

/* Shows tensor i as data of another shape to whoever asks for it, but not to steps: the whole of what is a part here. NULL:
   as it is. */
void session_show(Session *s, int i, const Shape *shape, void *data);
int session_find(const Session *s, const char *name); /* index into the plan's tensors, or -1 */
SessionTensor session_tensor_at(const Session *s, int i);
bool session_tensor(const Session *s, const char *name, SessionTensor *out);
/* Lets argument i be read from the caller's memory, aligned to 64 bytes, instead of the arena; NULL: from the
   arena again. It must stay valid as long as steps run. */
void session_bind(Session *s, int i, void *data);

/* Initial values of all states. Element i of a random tensor comes from Philox with key seed, counter (i, 0,
   stream): the numbers `random_bits` would give at step 0. Copies are made after their source. */
void session_init_states(Session *s, uint64_t seed);
/* Sets one tensor from its initialization row (INIT_COPY: from the source's present value). */
void session_init_tensor(Session *s, int i, uint64_t seed);
/* Copies every state of dst that src has too, by name; returns how many. Differing types are a bug. */
int session_copy_states(Session *dst, const Session *src);

/* The processes that run the same plan together with this one; it stands for all of them without. */
void session_ranks(Session *s, Ranks *ranks);

/* Per-step timing: when on, every step ends in a barrier, and the time of the thread that is busiest in it counts. */
void session_profile(Session *s, bool on);
const double *session_step_min(const Session *s); /* seconds; infinity for steps not yet timed */
/* What each thread did and when: one event a thread and step in which it ran at least one chunk. Turning it
   on forgets earlier events. */
typedef struct {
  int step, chunks;
  double begin, end; /* now_seconds() */
} SessionEvent;
void session_trace(Session *s, bool on);
/* Of a thread, or, of number session_threads(), of the one that runs steps beside them. */
const SessionEvent *session_events(const Session *s, int thread, int *n);

bool all_finite(const float *p, int64_t n);

#endif
