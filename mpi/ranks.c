/* The module that carries bytes between ranks: built once for each MPI library that is installed, loaded by lib/ranks.c
   when a launcher started the program. Nothing is added up here. Every wait has an end: a rank that does not answer for
   Ranks.patience seconds ends the run, with its name. */
#define _GNU_SOURCE
#include "runtime/ranks.h"

#include "ir/base.h"

#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { HOST = 64, SPINS = 500, BESIDE_SPINS = 20, LAST_WORDS = 3, PIECE = 1 << 30, MEETING = 60 };
static const double eager_seconds = 0.05;

typedef struct Mpi {
  Ranks r;
  struct Mpi *main, *other; /* of the two that one process has */
  MPI_Comm comm, alarm;
  char (*host)[HOST];
  MPI_Request *q;                 /* of one exchange */
  MPI_Status *status;
  long long done;                 /* exchanges so far */
  long spins;                     /* looks before others get the processor */
  double eager;                   /* seconds before it is left to them for a while */
  atomic_flag lost;               /* main: whoever gives up first says so */
} Mpi;

static void pause_for(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&t, NULL);
}

static _Noreturn void stop(Ranks *r, int status) {
  Mpi *m = (Mpi *)r;
  fflush(stdout);
  fflush(stderr);
  alarm(10); /* a launcher that cannot be reached ends nobody */
  MPI_Abort(m->comm, status);
  _exit(status);
}

/* Those who wait tell each other how far they are; who says nothing is to blame, or who is behind. The first of the
   others says so. */
static _Noreturn void give_up(Mpi *m) {
  while (atomic_flag_test_and_set(&m->main->lost)) pause_for(1);
  int n = m->r.count, waiting = n - 1;
  MPI_Request *q = calloc((size_t)n, 2 * sizeof *q);
  long long *far = calloc((size_t)n, sizeof *far);
  if (!q || !far) stop(&m->r, 1);
  for (int k = 0; k < n; k++) {
    q[k] = q[n + k] = MPI_REQUEST_NULL;
    far[k] = -1;
    if (k == m->r.rank) continue;
    MPI_Irecv(&far[k], 1, MPI_LONG_LONG, k, 0, m->main->alarm, &q[k]);
    MPI_Isend(&m->done, 1, MPI_LONG_LONG, k, 0, m->main->alarm, &q[n + k]);
  }
  for (double end = MPI_Wtime() + LAST_WORDS; waiting && MPI_Wtime() < end; pause_for(0.01)) {
    waiting = 0;
    for (int k = 0; k < 2 * n; k++) {
      int got = 1;
      if (q[k] != MPI_REQUEST_NULL) MPI_Test(&q[k], &got, MPI_STATUS_IGNORE);
      if (k < n) waiting += !got;
    }
  }
  int first = 0;
  while (first != m->r.rank && (q[first] != MPI_REQUEST_NULL)) first++;
  for (int k = 0; first == m->r.rank && k < n; k++)
    if (k != first && q[k] != MPI_REQUEST_NULL)
      fprintf(stderr, "jepac: error: rank %d on %s has not answered for %.0f s: all ranks stop\n", k, m->host[k],
              m->main->r.patience);
  if (first == m->r.rank && !waiting)
    fprintf(stderr, "jepac: error: the ranks have waited for each other for %.0f s: all stop\n", m->main->r.patience);
  if (first != m->r.rank) pause_for(1); /* the message is on its way */
  stop(&m->r, m->main->r.lost);
}

/* MPI itself says that somebody is gone. */
static _Noreturn void lost_touch(Mpi *m) {
  while (atomic_flag_test_and_set(&m->main->lost)) pause_for(1);
  pause_for(1); /* whoever ended may have more to say */
  fprintf(stderr, "jepac: error: rank %d on %s has lost touch with another one: all ranks stop\n", m->r.rank,
          m->host[m->r.rank]);
  stop(&m->r, m->main->r.lost);
}

static void wait_for(Mpi *m, int n) {
  double start = MPI_Wtime();
  int done = 0;
  for (long i = 0; !done; i++) {
    if (MPI_Testall(n, m->q, &done, m->status) != MPI_SUCCESS) lost_touch(m);
    if (done || i < m->spins) continue;
    double waited = MPI_Wtime() - start; /* a yield may take long where others want the processor, too */
    if (waited > m->main->r.patience) give_up(m);
    if (waited < m->eager) sched_yield();
    else pause_for(50e-6);
  }
  m->done++;
  m->r.waited += MPI_Wtime() - start;
}

/* Pieces of at most PIECE bytes at a time, since MPI counts in int. */
static int64_t longest(int count, const int64_t *at) {
  int64_t most = 0;
  for (int k = 0; k < count; k++)
    if (at[k + 1] - at[k] > most) most = at[k + 1] - at[k];
  return most;
}

static int clip(int64_t n, int64_t from) { return n <= from ? 0 : n - from > PIECE ? PIECE : (int)(n - from); }

/* What goes to member k and comes from it; nothing is no message. */
typedef struct {
  const char *to;
  char *from;
  int64_t sent, got;
} Share;
typedef Share ShareOf(const void *send, const int64_t *at, void *recv, int me, int k);

static Share exchanged(const void *send, const int64_t *at, void *recv, int me, int k) {
  int64_t own = at[me + 1] - at[me];
  return (Share){(const char *)send + at[k], (char *)recv + k * own, at[k + 1] - at[k], own};
}

static Share gathered(const void *send, const int64_t *at, void *data, int me, int k) {
  return (Share){(const char *)send + at[me], (char *)data + at[k], at[me + 1] - at[me], at[k + 1] - at[k]};
}

/* With each of the set's others at once, the next one first, so that not all begin with the same. */
static void trade(Mpi *m, RankSet set, const void *send, const int64_t *at, void *recv, ShareOf *share) {
  int me = (m->r.rank - set.first) / set.stride;
  int64_t most = longest(set.count, at);
  for (int64_t from = 0; from < most; from += PIECE) {
    int n = 0;
    for (int i = 1; i < set.count; i++) {
      int k = (me + set.count - i) % set.count;
      Share s = share(send, at, recv, me, k);
      int bytes = clip(s.got, from), rank = set.first + k * set.stride;
      if (bytes) MPI_Irecv(s.from + from, bytes, MPI_BYTE, rank, 1, m->comm, &m->q[n++]);
    }
    for (int i = 1; i < set.count; i++) {
      int k = (me + i) % set.count;
      Share s = share(send, at, recv, me, k);
      int bytes = clip(s.sent, from), rank = set.first + k * set.stride;
      if (bytes) MPI_Isend(s.to + from, bytes, MPI_BYTE, rank, 1, m->comm, &m->q[n++]);
    }
    wait_for(m, n);
  }
}

static void exchange(Ranks *r, RankSet set, const void *send, const int64_t *at, void *recv) {
  int me = (r->rank - set.first) / set.stride;
  Share own = exchanged(send, at, recv, me, me);
  if (own.got) memcpy(own.from, own.to, (size_t)own.got);
  trade((Mpi *)r, set, send, at, recv, exchanged);
}

static void gather(Ranks *r, RankSet set, void *data, const int64_t *at) {
  trade((Mpi *)r, set, data, at, data, gathered);
}

static void release(Mpi *m) {
  if (!m) return;
  if (m->comm != MPI_COMM_NULL) MPI_Comm_free(&m->comm);
  if (m->alarm != MPI_COMM_NULL) MPI_Comm_free(&m->alarm);
  free(m->q);
  free(m->status);
  free(m);
}

/* MPI's own beginning and end wait for all ranks, and nobody can look how long: MEETING seconds at most. */
static void on_alarm(int number) {
  static const char text[] = "jepac: error: a rank has not answered while the run began or ended: all stop\n";
  (void)number;
  if (write(2, text, sizeof text - 1) >= 0) _exit(ST_RANK);
  _exit(ST_RANK);
}

static void expect_all(void) {
  signal(SIGALRM, on_alarm);
  alarm(MEETING);
}

static void close_ranks(Ranks *r) {
  Mpi *m = (Mpi *)r;
  expect_all();
  MPI_Barrier(m->comm); /* nobody ends while another still reads what it sent */
  free(m->host);
  release(m->other);
  release(m);
  MPI_Finalize();
  alarm(0);
}

/* Communicators of its own, so that two threads can each do one thing after the other. */
static Mpi *lane(Mpi *main) {
  Mpi *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->main = main ? main : m;
  m->comm = m->alarm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &m->comm);
  if (!main) MPI_Comm_dup(MPI_COMM_WORLD, &m->alarm);
  MPI_Comm_rank(m->comm, &m->r.rank);
  MPI_Comm_size(m->comm, &m->r.count);
  m->r.exchange = exchange;
  m->r.gather = gather;
  size_t n = (size_t)m->r.count;
  m->q = calloc(2 * n, sizeof *m->q);
  m->status = calloc(2 * n, sizeof *m->status);
  if (main) m->host = main->host, m->spins = BESIDE_SPINS;
  if (m->q && m->status) return m;
  release(m);
  return NULL;
}

extern const RanksModule jepac_ranks;

static Ranks *open_ranks(void) {
  int level;
  expect_all();
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level)) return NULL;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); /* copies of it do as it does */
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);  /* MPICH: of requests */
  Mpi *m = lane(NULL);
  if (!m) return NULL;
  MPI_Comm local;
  MPI_Comm_split_type(m->comm, MPI_COMM_TYPE_SHARED, m->r.rank, MPI_INFO_NULL, &local);
  MPI_Comm_size(local, &m->r.local);
  MPI_Comm_free(&local);
  m->host = calloc((size_t)m->r.count, sizeof *m->host);
  if (!m->host) return NULL;
  gethostname(m->host[m->r.rank], HOST - 1);
  MPI_Allgather(MPI_IN_PLACE, 0, MPI_BYTE, m->host, HOST, MPI_BYTE, m->comm);
  m->spins = m->r.local <= sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : 0;
  m->eager = eager_seconds;
  m->r.host = m->host[m->r.rank];
  m->r.stop = stop;
  m->r.close = close_ranks;
  if (level == MPI_THREAD_MULTIPLE && (m->other = lane(m))) m->r.beside = &m->other->r;
  alarm(0);
  signal(SIGALRM, SIG_DFL); /* for stop() */
  return &m->r;
}

const RanksModule jepac_ranks = {open_ranks};
