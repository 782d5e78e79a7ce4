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

enum { HOST = 64, SPINS = 500, YIELDS = 50000, BESIDE_SPINS = 20, LAST_WORDS = 3, PIECE = 1 << 30, MEETING = 60 };

typedef struct Mpi {
  Ranks r;
  struct Mpi *main, *other; /* of the two that one process has */
  MPI_Comm comm, alarm;
  char (*host)[HOST];
  int *count, *at, *rcount, *rat; /* of one exchange */
  long long done;                 /* exchanges so far */
  long spins, yields;             /* looks before others get the processor; before it is left to them for a while */
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

static void wait_for(Mpi *m, MPI_Request *q) {
  double start = MPI_Wtime();
  int done = 0;
  for (long i = 0; !done; i++) {
    MPI_Test(q, &done, MPI_STATUS_IGNORE);
    if (done || i < m->spins) continue;
    if (i < m->yields) {
      sched_yield();
      continue;
    }
    pause_for(50e-6);
    if (MPI_Wtime() - start > m->main->r.patience) give_up(m);
  }
  m->done++;
  m->r.waited += MPI_Wtime() - start;
}

/* Pieces of at most PIECE bytes at a time, since MPI counts in int. */
static int64_t longest(const Mpi *m, const int64_t *at) {
  int64_t most = 0;
  for (int k = 0; k < m->r.count; k++)
    if (at[k + 1] - at[k] > most) most = at[k + 1] - at[k];
  return most;
}

static int clip(int64_t n, int64_t from) { return n <= from ? 0 : n - from > PIECE ? PIECE : (int)(n - from); }

static void exchange(Ranks *r, const void *send, const int64_t *at, void *recv) {
  Mpi *m = (Mpi *)r;
  int64_t own = at[r->rank + 1] - at[r->rank], most = longest(m, at);
  if (most > PIECE || at[r->count] > INT32_MAX || own * r->count > INT32_MAX) { /* one after the other */
    for (int64_t from = 0; from < most; from += PIECE)
      for (int k = 0; k < r->count; k++) {
        int to = (r->rank + k) % r->count, of = (r->rank - k + r->count) % r->count;
        MPI_Request q[2];
        MPI_Irecv((char *)recv + of * own + from, clip(own, from), MPI_BYTE, of, 1, m->comm, &q[0]);
        MPI_Isend((const char *)send + at[to] + from, clip(at[to + 1] - at[to], from), MPI_BYTE, to, 1, m->comm,
                  &q[1]);
        wait_for(m, &q[0]);
        wait_for(m, &q[1]);
      }
    return;
  }
  for (int k = 0; k < r->count; k++) {
    m->count[k] = (int)(at[k + 1] - at[k]);
    m->at[k] = (int)at[k];
    m->rcount[k] = (int)own;
    m->rat[k] = (int)(k * own);
  }
  MPI_Request q;
  MPI_Ialltoallv(send, m->count, m->at, MPI_BYTE, recv, m->rcount, m->rat, MPI_BYTE, m->comm, &q);
  wait_for(m, &q);
}

static void gather(Ranks *r, void *data, const int64_t *at) {
  Mpi *m = (Mpi *)r;
  MPI_Request q;
  if (at[r->count] > INT32_MAX) {
    for (int k = 0; k < r->count; k++)
      for (int64_t from = 0; from < at[k + 1] - at[k]; from += PIECE) {
        MPI_Ibcast((char *)data + at[k] + from, clip(at[k + 1] - at[k], from), MPI_BYTE, k, m->comm, &q);
        wait_for(m, &q);
      }
    return;
  }
  for (int k = 0; k < r->count; k++) {
    m->count[k] = (int)(at[k + 1] - at[k]);
    m->at[k] = (int)at[k];
  }
  MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_BYTE, data, m->count, m->at, MPI_BYTE, m->comm, &q);
  wait_for(m, &q);
}

static void release(Mpi *m) {
  if (!m) return;
  if (m->comm != MPI_COMM_NULL) MPI_Comm_free(&m->comm);
  if (m->alarm != MPI_COMM_NULL) MPI_Comm_free(&m->alarm);
  free(m->count);
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
  m->count = calloc(4 * n, sizeof *m->count);
  if (m->count) m->at = m->count + n, m->rcount = m->at + n, m->rat = m->rcount + n;
  if (main) m->host = main->host, m->spins = BESIDE_SPINS, m->yields = BESIDE_SPINS;
  if (m->count) return m;
  release(m);
  return NULL;
}

extern const RanksModule jepac_ranks;

static Ranks *open_ranks(void) {
  int level;
  expect_all();
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level)) return NULL;
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
  m->yields = YIELDS;
  m->r.host = m->host[m->r.rank];
  m->r.stop = stop;
  m->r.close = close_ranks;
  if (level == MPI_THREAD_MULTIPLE && (m->other = lane(m))) m->r.beside = &m->other->r;
  alarm(0);
  signal(SIGALRM, SIG_DFL); /* for stop() */
  return &m->r;
}

const RanksModule jepac_ranks = {open_ranks};
