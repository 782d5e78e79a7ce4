/* Plan execution. One OpenMP parallel region runs a whole list of steps. Each thread owns a contiguous range
   of a step's chunks (neighbouring chunks stay in one core's cache from step to step) and, when done, takes
   chunks from the others'. Threads walk the list on their own: before a step a thread waits until the steps
   it needs have finished (Step.overlap), spinning briefly and then asleep on a futex, so that a data loader
   sharing the cores gets time. Which thread runs a chunk, and when, cannot change a result: chunks are fixed
   by the plan and write disjoint memory, and steps that overlap touch nothing of each other's. Where the session
   has ranks that can send from a second thread, that one runs the steps marked so (Step.beside), in order. */
#define _GNU_SOURCE /* CPU sets */
#include "runtime/exec.h"
#include "runtime/float_mode.h"
#include "runtime/rng.h"
#include "ir/memory.h"

#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { HUGE_PAGE = 1 << 21, CACHE_LINE = 64, SPINS = 1500 };

typedef struct { /* threads that sleep until some step has finished */
  _Alignas(CACHE_LINE) atomic_int word;
  atomic_int sleepers;
} Bell;

typedef struct {
  _Alignas(CACHE_LINE) atomic_int arrived;
  atomic_int round;
} Gate;

typedef struct {
  _Alignas(CACHE_LINE) SessionEvent *v; /* grown by its own thread */
  int n, cap;
} EventList;

typedef struct { /* what a tensor is shown as; data NULL: what it is */
  Shape shape;
  void *data;
} Shown;

struct Session {
  Bell bell;
  const Plan *plan;
  int threads, spins;
  char *arena, *scratch; /* scratch: scratch_stride bytes a thread */
  int64_t arena_map, scratch_map, scratch_stride;
  void *arena_base, *scratch_base;
  void **pointers;       /* all operand tables, one after the other */
  void *const **operand; /* per step */
  atomic_llong *next;    /* per thread and step: next chunk of the thread's range */
  atomic_llong *left;    /* per step: chunks not finished */
  double *step_min;
  double *spent; /* while profiling, per thread and step: seconds in its chunks this time */
  bool profile, trace;
  Ranks *ranks;      /* NULL: this process stands for all */
  atomic_bool apart; /* a thread of its own runs steps beside others, now */
  EventList *events; /* per thread, the one beside them last, while tracing */
  bool *chosen;      /* per tensor: for its initial value */
  int64_t *blocks;   /* per tensor and at the end: blocks of numbers before it */
  char **bound;      /* per tensor: the caller's memory, or NULL */
  Shown *shown;      /* per tensor */
  int64_t *steps_at; /* per thread and loop: the step it is in */
  int64_t *at;       /* per loop: the step in which one of the plan's is run alone */
  Gate gate;         /* where threads meet between two steps of a loop */
};

/* ---- memory ---- */
/* Zeroed pages aligned for huge pages; *base and *mapped are what munmap takes. */
static char *map_pages(int64_t bytes, void **base, int64_t *mapped) {
  int64_t n = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE + HUGE_PAGE;
  void *p = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  *base = p;
  *mapped = n;
  char *q = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
  if (bytes >= HUGE_PAGE)
    madvise(q, (size_t)(n - HUGE_PAGE), MADV_HUGEPAGE); /* only advice: failure is harmless */
  return q;
}

int session_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

/* The system promises any number of pages and ends the program when it touches too many of them. */
static bool fits_machine(int64_t bytes) {
  struct sysinfo m;
  return sysinfo(&m) || (double)bytes <= ((double)m.totalram + (double)m.totalswap) * m.mem_unit;
}

Session *session_new(const Plan *plan, int threads) {
  Session *s;
  if (!fits_machine(plan->arena_bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  if (posix_memalign((void **)&s, CACHE_LINE, sizeof *s)) return NULL;
  memset(s, 0, sizeof *s);
  int cpus = session_cpus();
  s->plan = plan;
  s->threads = threads > 0 ? threads : cpus;
  s->spins = s->threads <= cpus ? SPINS : 0;
  s->scratch_stride = (plan->scratch_bytes + 4095) / 4096 * 4096 + 4096;
  s->arena = map_pages(plan->arena_bytes + CACHE_LINE, &s->arena_base, &s->arena_map);
  if (s->arena) s->scratch = map_pages(s->scratch_stride * s->threads, &s->scratch_base, &s->scratch_map);
  if (!s->arena || !s->scratch) {
    int err = errno;
    session_free(s);
    errno = err;
    return NULL;
  }
  size_t total = 0;
  for (int i = 0; i < plan->nstep; i++) total += (size_t)plan->step[i].noperand;
  size_t steps = (size_t)plan->nstep + 1;
  s->pointers = calloc(total + 1, sizeof *s->pointers);
  s->operand = calloc(steps, sizeof *s->operand);
  s->next = calloc(steps * (size_t)s->threads, sizeof *s->next);
  s->left = calloc(steps, sizeof *s->left);
  s->step_min = calloc(steps, sizeof *s->step_min);
  s->spent = calloc(steps * (size_t)s->threads, sizeof *s->spent);
  s->chosen = calloc((size_t)plan->ntensor + 1, sizeof *s->chosen);
  s->blocks = calloc((size_t)plan->ntensor + 1, sizeof *s->blocks);
  s->bound = calloc((size_t)plan->ntensor + 1, sizeof *s->bound);
  s->shown = calloc((size_t)plan->ntensor + 1, sizeof *s->shown);
  s->steps_at = calloc((size_t)(plan->nloop + CACHE_LINE) * ((size_t)s->threads + 1), sizeof *s->steps_at);
  s->at = calloc((size_t)plan->nloop + 1, sizeof *s->at);
  if (!s->pointers || !s->operand || !s->next || !s->left || !s->step_min || !s->spent || !s->chosen ||
      !s->blocks || !s->bound || !s->shown || !s->at || !s->steps_at) {
    session_free(s);
    errno = ENOMEM;
    return NULL;
  }
  void **p = s->pointers;
  for (int i = 0; i < plan->nstep; i++) {
    const Step *st = &plan->step[i];
    if (st->chain > CHAIN_KERNELS) bug("step %s starts a chain of %d", st->name, st->chain);
    if (st->scratch > plan->scratch_bytes) bug("step %s wants more scratch than its plan declares", st->name);
    s->operand[i] = p;
    if (st->noperand > CHAIN_OPERANDS && st->chunk) bug("step %s: %d operands", st->name, st->noperand);
    for (int k = 0; k < st->noperand; k++) {
      int64_t piece = st->chunk ? st->chunk[k] : 0, limit = piece ? st->scratch - piece : plan->arena_bytes;
      if (st->operand[k] < 0 || st->operand[k] > limit)
        bug("step %s: operand %d lies outside the %s", st->name, k, piece ? "scratch" : "arena");
      *p++ = piece ? NULL : s->arena + st->operand[k];
    }
    s->step_min[i] = INFINITY;
  }
  for (int i = 0; i < plan->ntensor; i++) {
    const PlanTensor *t = &plan->tensor[i];
    int64_t bytes = shape_count(&t->shape) * dtype_size(t->dt);
    if (t->offset < 0 || t->offset + bytes > plan->arena_bytes)
      bug("tensor %s lies outside the arena", t->name);
  }
  return s;
}

static void free_events(Session *s) {
  for (int i = 0; s->events && i <= s->threads; i++) free(s->events[i].v);
  free(s->events);
  s->events = NULL;
}

void session_free(Session *s) {
  if (!s) return;
  if (s->arena_base) munmap(s->arena_base, (size_t)s->arena_map);
  if (s->scratch_base) munmap(s->scratch_base, (size_t)s->scratch_map);
  free(s->pointers);
  free(s->operand);
  free(s->next);
  free(s->left);
  free(s->step_min);
  free(s->spent);
  free(s->chosen);
  free(s->blocks);
  free(s->bound);
  free(s->shown);
  free(s->at);
  free(s->steps_at);
  free_events(s);
  free(s);
}

const Plan *session_plan(const Session *s) { return s->plan; }
int session_threads(const Session *s) { return s->threads; }

/* ---- the thread team ---- */
static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static bool unfinished(Session *s, int i) {
  return atomic_load_explicit(&s->left[i], memory_order_acquire) > 0;
}

static void await_step(Session *s, int i) {
  for (int k = 0; k < s->spins; k++) {
    if (!unfinished(s, i)) return;
    cpu_relax();
  }
  Bell *b = &s->bell;
  atomic_fetch_add(&b->sleepers, 1);
  for (;;) { /* whoever finishes a step after this sees a sleeper and changes the word */
    int word = atomic_load(&b->word);
    if (atomic_load(&s->left[i]) <= 0) break;
    syscall(SYS_futex, &b->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0); /* EINTR, EAGAIN: look again */
  }
  atomic_fetch_sub(&b->sleepers, 1);
}

static void wake_sleepers(Session *s) {
  Bell *b = &s->bell;
  if (!atomic_load(&b->sleepers)) return;
  atomic_fetch_add(&b->word, 1);
  syscall(SYS_futex, &b->word, FUTEX_WAKE_PRIVATE, s->threads + 1, NULL, NULL, 0);
}

static void finish_chunks(Session *s, int i, int n) {
  if (n && atomic_fetch_sub(&s->left[i], n) == n) wake_sleepers(s);
}

static void add_event(Session *s, int me, int step, int chunks, double begin) {
  EventList *l = &s->events[me];
  if (l->n == l->cap) {
    int cap = l->cap ? 2 * l->cap : 1024;
    SessionEvent *v = realloc(l->v, sizeof *v * (size_t)cap);
    if (!v) return; /* the trace ends here */
    l->v = v;
    l->cap = cap;
  }
  l->v[l->n++] = (SessionEvent){step, chunks, begin, now_seconds()};
}

/* Number of the thread that runs steps beside the others; their team has the numbers from 0. */
enum { BESIDE = -1 };

/* What a thread knows on its way through the steps. */
typedef struct {
  Session *s;
  int me, team;
  int64_t *at; /* per loop: the step it is in */
} Walk;

/* The addresses of step i's operands for chunk c, in ptr. Those that lie in scratch begin where chunk c's part would;
   those that move with a loop are where its step has them. */
static void place_operands(const Walk *w, const Step *st, void *const *operand, int64_t c, char *scratch,
                           void **ptr) {
  memcpy(ptr, operand, sizeof *ptr * (size_t)st->noperand);
  for (int k = 0; st->chunk && k < st->noperand; k++)
    if (st->chunk[k])
      ptr[k] = (void *)((uintptr_t)scratch + (uintptr_t)st->operand[k] - (uintptr_t)(c * st->chunk[k]));
  for (int k = 0; k < st->nmove; k++) {
    const StepMove *m = &st->move[k];
    int64_t slots = w->at[m->loop];
    if (m->period) slots = (slots + m->phase) % m->period - m->phase % m->period;
    ptr[m->operand] = (char *)ptr[m->operand] + slots * m->move;
  }
}

static void run_chunk(const Walk *w, int i, int64_t c, char *scratch) {
  Session *s = w->s;
  const Step *st = &s->plan->step[i];
  void *few[CHAIN_OPERANDS], **ptr = few, *const *operand = s->operand[i];
  void *room = (st->ranks ? (void *)s->ranks : scratch);
  if (!st->chunk && !st->nmove) {
    st->fn(operand, c, room, st->param);
    return;
  }
  if (st->noperand > CHAIN_OPERANDS) ptr = xmalloc(sizeof *ptr * (size_t)st->noperand, "a step's operands");
  place_operands(w, st, operand, c, scratch, ptr);
  st->fn(ptr, c, room, st->param);
  if (ptr != few) free(ptr);
}

/* Chunk c of every step of a chain, timing them when asked: the thread's time in each adds up in spent[]. */
static void run_links(const Walk *w, int i, int n, int64_t c, char *scratch, double *spent) {
  Session *s = w->s;
  bool timed = s->trace || s->profile;
  for (int j = 0; j < n; j++) {
    double begin = timed ? now_seconds() : 0;
    bool keeps = s->plan->step[i + j].keeps_denormals;
    if (keeps) float_mode_flush(false);
    run_chunk(w, i + j, c, scratch);
    if (keeps) float_mode_flush(true);
    if (!timed) continue;
    spent[j] += now_seconds() - begin;
    if (s->trace && n > 1) add_event(s, w->me, i + j, 1, begin);
  }
}

static int run_chunks(const Walk *w, int i, int n, double *spent) {
  Session *s = w->s;
  int done = 0;
  const Step *st = &s->plan->step[i];
  char *scratch = s->scratch + s->scratch_stride * w->me;
  for (int k = 0; k < w->team; k++) { /* own range first, then the others' */
    int owner = (w->me + k) % w->team;
    int64_t lo = st->nchunk * owner / w->team, hi = st->nchunk * (owner + 1) / w->team;
    atomic_llong *next = &s->next[(size_t)owner * (size_t)s->plan->nstep + (size_t)i];
    while (lo + atomic_load_explicit(next, memory_order_relaxed) < hi) {
      int64_t c = lo + atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
      if (c >= hi) break;
      run_links(w, i, n, c, scratch, spent);
      done++;
    }
  }
  return done;
}

static int chain_length(const Step *st) { return st->chain > 1 ? st->chain : 1; }

/* What a thread knows: steps before `finished` have finished, but for those that run beside others; of these, those
   before `arrived`. */
typedef struct {
  int finished, arrived;
} Known;

static void await_steps(Session *s, Known *k, int needed) {
  while (k->finished < needed) {
    const Step *st = &s->plan->step[k->finished];
    if (!st->beside) await_step(s, k->finished);
    k->finished += chain_length(st);
  }
}

static void await_beside(Session *s, Known *k, int needed, int me) {
  for (; k->arrived < needed; k->arrived += chain_length(&s->plan->step[k->arrived])) {
    if (!s->plan->step[k->arrived].beside || !unfinished(s, k->arrived)) continue;
    double start = now_seconds();
    await_step(s, k->arrived);
    if (me == 0 && s->ranks) s->ranks->awaited += now_seconds() - start;
  }
}

/* None of the chunks of steps [first, last) has been taken. */
static void lay_out(Session *s, int first, int last) {
  for (int i = first; i < last; i++) {
    atomic_store_explicit(&s->left[i], s->plan->step[i].nchunk, memory_order_relaxed);
    for (int k = 0; k < s->threads; k++)
      atomic_store_explicit(&s->next[(size_t)k * (size_t)s->plan->nstep + (size_t)i], 0,
                            memory_order_relaxed);
  }
}

/* All threads have come here; the last to come lays out steps [first, last) again before they go on. */
static void meet(const Walk *w, int first, int last) {
  Session *s = w->s;
  Gate *g = &s->gate;
  Bell *b = &s->bell;
  int round = atomic_load(&g->round);
  if (atomic_fetch_add(&g->arrived, 1) + 1 == w->team) {
    lay_out(s, first, last);
    atomic_store(&g->arrived, 0);
    atomic_store(&g->round, round + 1);
    wake_sleepers(s);
    return;
  }
  for (int k = 0; k < s->spins; k++) {
    if (atomic_load(&g->round) != round) return;
    cpu_relax();
  }
  atomic_fetch_add(&b->sleepers, 1);
  for (;;) {
    int word = atomic_load(&b->word);
    if (atomic_load(&g->round) != round) break;
    syscall(SYS_futex, &b->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
  }
  atomic_fetch_sub(&b->sleepers, 1);
}

/* The outermost loop that step i is in, is run whole with [first, last), and is inside of `outer`; 0: none. */
static int loop_below(const Plan *p, int i, int outer, int first, int last) {
  int below = 0;
  for (int l = p->step[i].loop; l != outer && l; l = p->loop[l].parent)
    if (p->loop[l].first >= first && p->loop[l].last <= last) below = l;
  return below;
}

/* Steps [first, last) inside of loop `outer`, 0: of none. */
static void run_steps(const Walk *w, int outer, int first, int last) {
  Session *s = w->s;
  const Plan *p = s->plan;
  const Step *step = p->step;
  Known known = {first, first};
  for (int i = first, n; i < last; i += n) {
    int loop = loop_below(p, i, outer, first, last);
    if (loop) {
      const PlanLoop *l = &p->loop[loop];
      await_steps(s, &known, i);
      for (w->at[loop] = 0; w->at[loop] < l->steps; w->at[loop]++) {
        if (w->at[loop]) meet(w, l->first, l->last);
        run_steps(w, loop, l->first, l->last);
      }
      w->at[loop] = s->at[loop];
      n = l->last - i;
      known.finished = l->last;
      continue;
    }
    n = chain_length(&step[i]);
    if (s->apart && step[i].beside != (w->me == BESIDE)) continue;
    bool in_turn = step[i].ranks && !s->apart; /* all ranks send in one order */
    await_steps(s, &known, s->profile || in_turn ? i : i - step[i].overlap);
    await_beside(s, &known, in_turn ? i : step[i].awaits, w->me);
    double begin = s->trace ? now_seconds() : 0, spent[CHAIN_KERNELS] = {0};
    if (w->me == BESIDE) {
      if (!s->apart) return; /* there are no others */
      step[i].fn(s->operand[i], 0, s->ranks->beside, step[i].param);
      if (s->trace) add_event(s, s->threads, i, 1, begin);
      finish_chunks(s, i, 1);
      continue;
    }
    int done = run_chunks(w, i, n, spent);
    if (s->trace && done && n == 1) add_event(s, w->me, i, done, begin);
    finish_chunks(s, i, done);
    if (!s->profile) continue;
    for (int k = 0; k < n; k++) s->spent[(size_t)w->me * (size_t)p->nstep + (size_t)(i + k)] += spent[k];
    await_steps(s, &known, i + n);
  }
  await_steps(s, &known, last);
  await_beside(s, &known, last, w->me);
}

/* Index into watch of the first scalar that is not finite, or -1. */
static int find_bad(const Session *s, const int *watch, int nwatch) {
  for (int i = 0; i < nwatch; i++) {
    if (watch[i] < 0) continue;
    const PlanTensor *t = &s->plan->tensor[watch[i]];
    if (shape_count(&t->shape) > 0 && !all_finite((const float *)(s->arena + t->offset), 1)) return i;
  }
  return -1;
}

typedef struct {
  int first, last;
  const int *watch; /* looked at before the steps that store states */
  int nwatch, bad;  /* bad: find_bad's answer */
  bool alone;       /* one step, once */
} Range;

/* Every thread looks for itself: all steps before have finished, so all see the same, and a region of its own
   for the steps that store states would cost more than a small model's update. */
static void run_range(Session *s, void *of, int me, int team) {
  Range *r = of;
  int stop = r->nwatch ? s->plan->ncompute : r->last;
  Walk w = {s, me, team,
            s->steps_at + (size_t)(me == BESIDE ? s->threads : me) * (size_t)(s->plan->nloop + CACHE_LINE)};
  memcpy(w.at, s->at, sizeof *w.at * (size_t)(s->plan->nloop + 1));
  uint64_t mode = float_mode();
  float_mode_flush(true);
  run_steps(&w, r->alone ? s->plan->step[r->first].loop : 0, r->first, stop);
  int bad = find_bad(s, r->watch, r->nwatch);
  if (me == 0) r->bad = bad;
  if (bad < 0) run_steps(&w, 0, stop, r->last);
  float_mode_set(mode);
}

/* ---- whether the team can start ---- */
/* OpenMP's runtime ends the process where a thread of its team cannot start, so as many are started and ended here
   first. It keeps those of the last team that the calling thread had; those of a team from before fork() are gone, but
   it would wait for them. */
static _Thread_local struct {
  int threads; /* 0: none yet */
  pid_t process;
} team;

typedef struct {
  Session *s;
  void (*fn)(Session *s, void *of, int me, int team);
  void *of;
  int which, err; /* thread `which` cannot start */
} Team;

static void *wait_for(void *lock) {
  pthread_mutex_lock(lock);
  pthread_mutex_unlock(lock);
  return NULL;
}

static bool team_starts(Team *t) {
  pthread_t thread[MOST_THREADS];
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  int have = team.threads ? team.threads : 1, n = 0, more = t->s->threads - have;
  if (more > MOST_THREADS) more = MOST_THREADS;
  pthread_mutex_lock(&lock);
  while (n < more && !(t->err = pthread_create(&thread[n], NULL, wait_for, &lock))) n++;
  pthread_mutex_unlock(&lock);
  t->which = have + n + 1;
  for (int i = 0; i < n; i++) pthread_join(thread[i], NULL);
  return !t->err;
}

static void *run_team(void *of) {
  Team *t = of;
  if (!team_starts(t)) return NULL;
  team.threads = t->s->threads;
  team.process = getpid();
#pragma omp parallel num_threads(t->s->threads)
  t->fn(t->s, t->of, omp_get_thread_num(), omp_get_num_threads());
  return NULL;
}

/* Calls fn on all threads of the session. 0, or why thread *which cannot start: then nothing was called. */
static int on_team(Session *s, void (*fn)(Session *, void *, int, int), void *of, int *which) {
  Team t = {s, fn, of, 0, 0};
  pthread_t fresh; /* has no team yet */
  if (s->threads == 1) fn(s, of, 0, 1);
  else if (!team.threads || team.process == getpid()) run_team(&t);
  else if ((t.err = pthread_create(&fresh, NULL, run_team, &t))) t.which = 1;
  else pthread_join(fresh, NULL);
  *which = t.which;
  return t.err;
}

/* A step takes as long as the thread that is busiest in it; what the others wait is not counted. */
static void profile_steps(Session *s, int first, int last) {
  for (int i = first; i < last; i++) {
    double longest = 0;
    for (int k = 0; k < s->threads; k++)
      longest = fmax(longest, s->spent[(size_t)k * (size_t)s->plan->nstep + (size_t)i]);
    if (longest < s->step_min[i]) s->step_min[i] = longest;
  }
}

typedef struct {
  Session *s;
  Range *r;
} Beside;

static void *run_beside(void *of) {
  Beside *b = of;
  Range own = *b->r;
  run_range(b->s, &own, BESIDE, 0);
  return NULL;
}

static bool wants_beside(const Session *s, const Range *r) {
  bool any = false;
  for (int i = r->first; i < r->last && s->ranks && s->ranks->beside && !s->profile; i++)
    any |= s->plan->step[i].beside;
  return any;
}

static void run(Session *s, Range *r) {
  int which;
  pthread_t thread;
  if (r->first >= r->last) return;
  lay_out(s, r->first, r->last);
  if (s->profile) memset(s->spent, 0, (size_t)s->threads * (size_t)s->plan->nstep * sizeof *s->spent);
  s->apart = wants_beside(s, r); /* where no thread starts, the others do that, too */
  Beside beside = {s, r};
  if (s->apart && pthread_create(&thread, NULL, run_beside, &beside)) s->apart = false;
  bool apart = s->apart;
  int err = on_team(s, run_range, r, &which);
  if (err && apart) {
    s->apart = false;
    for (int i = r->first; i < r->last; i++) finish_chunks(s, i, (int)atomic_load(&s->left[i]));
  }
  if (apart) pthread_join(thread, NULL);
  if (err) out_of_threads("the steps", which, s->threads, err);
  if (s->profile) profile_steps(s, r->first, r->last);
}

void session_at(Session *s, int loop, int64_t step) {
  if (loop < 1 || loop > s->plan->nloop || step < 0 || step >= s->plan->loop[loop].steps)
    bug("step %lld of loop %d", (long long)step, loop);
  s->at[loop] = step;
}

void session_run_alone(Session *s, int step) {
  if (step < 0 || step >= s->plan->nstep) bug("step %d of a plan of %d", step, s->plan->nstep);
  run(s, &(Range){.first = step, .last = step + 1, .alone = true});
}

void session_run(Session *s, int first, int last) {
  if (first < 0 || last > s->plan->nstep) bug("steps %d to %d of a plan of %d", first, last, s->plan->nstep);
  run(s, &(Range){.first = first, .last = last});
}

Status session_step(Session *s, const int *watch, int nwatch, int *bad) {
  for (int i = 0; i < nwatch; i++)
    if (watch[i] >= 0 && s->plan->tensor[watch[i]].dt != DT_F32)
      bug("tensor %s is watched but not f32", s->plan->tensor[watch[i]].name);
  Range r = {.last = s->plan->nstep, .watch = watch, .nwatch = nwatch, .bad = -1};
  run(s, &r);
  if (r.bad >= 0) *bad = watch[r.bad];
  return r.bad < 0 ? ST_OK : ST_NONFINITE;
}

void session_trace(Session *s, bool on) {
  s->trace = on;
  if (!on) return;
  free_events(s);
  if (posix_memalign((void **)&s->events, CACHE_LINE, sizeof *s->events * ((size_t)s->threads + 1))) {
    s->events = NULL;
    s->trace = false;
    return;
  }
  memset(s->events, 0, sizeof *s->events * ((size_t)s->threads + 1));
}

const SessionEvent *session_events(const Session *s, int thread, int *n) {
  *n = s->events ? s->events[thread].n : 0;
  return *n ? s->events[thread].v : NULL;
}

void session_ranks(Session *s, Ranks *ranks) { s->ranks = ranks; }
void session_profile(Session *s, bool on) { s->profile = on; }
const double *session_step_min(const Session *s) { return s->step_min; }

/* ---- tensors ---- */
int session_find(const Session *s, const char *name) {
  for (int i = 0; i < s->plan->ntensor; i++)
    if (!strcmp(s->plan->tensor[i].name, name)) return i;
  return -1;
}

SessionTensor session_tensor_at(const Session *s, int i) {
  const PlanTensor *t = &s->plan->tensor[i];
  const Shape *shape = s->shown[i].data ? &s->shown[i].shape : &t->shape;
  return (SessionTensor){.name = t->name,
                         .kind = t->kind,
                         .dt = t->dt,
                         .shape = *shape,
                         .data = s->shown[i].data ? s->shown[i].data
                                 : s->bound[i]    ? s->bound[i]
                                                  : s->arena + t->offset,
                         .bytes = shape_count(shape) * dtype_size(t->dt)};
}

void session_show(Session *s, int i, const Shape *shape, void *data) {
  s->shown[i].data = data;
  if (data) s->shown[i].shape = *shape;
}

bool session_tensor(const Session *s, const char *name, SessionTensor *out) {
  int i = session_find(s, name);
  if (i >= 0) *out = session_tensor_at(s, i);
  return i >= 0;
}

void session_bind(Session *s, int i, void *data) {
  const PlanTensor *t = &s->plan->tensor[i];
  if (t->kind != PT_ARG) bug("%s is bound, which is no argument", t->name);
  int64_t bytes = shape_count(&t->shape) * dtype_size(t->dt);
  char *home = s->arena + t->offset;
  s->bound[i] = data;
  void **p = s->pointers;
  for (int k = 0; k < s->plan->nstep; k++) /* an operand may be a part of the argument */
    for (int j = 0; j < s->plan->step[k].noperand; j++, p++) {
      int64_t inside = s->plan->step[k].operand[j] - t->offset;
      if (*p && inside >= 0 && inside < bytes) *p = (data ? (char *)data : home) + inside;
    }
}

static int find_state(const Session *s, const char *name) {
  for (int i = 0; i < s->plan->ntensor; i++)
    if (s->plan->tensor[i].kind == PT_STATE && !strcmp(s->plan->tensor[i].name, name)) return i;
  return -1;
}

int session_copy_states(Session *dst, const Session *src) {
  int copied = 0;
  for (int i = 0; i < dst->plan->ntensor; i++) {
    if (dst->plan->tensor[i].kind != PT_STATE) continue;
    SessionTensor to = session_tensor_at(dst, i);
    int k = find_state(src, to.name);
    if (k < 0) continue;
    SessionTensor from = session_tensor_at(src, k);
    if (from.dt != to.dt || !shape_eq(&from.shape, &to.shape))
      bug("state %s has different types in two plans of one model", to.name);
    memcpy(to.data, from.data, (size_t)to.bytes);
    copied++;
  }
  return copied;
}

/* ---- initial values ---- */
/* Elements [first, first + n) of a tensor that is no copy; n <= RNG_BLOCK. */
static void init_block(const PlanTensor *t, void *data, int64_t first, int n, uint64_t seed) {
  if (t->init == INIT_NONE || (t->init == INIT_FILL && t->init_a == 0)) {
    int64_t size = dtype_size(t->dt);
    memset((char *)data + first * size, 0, (size_t)(n * size));
    return;
  }
  double value[RNG_BLOCK];
  if (t->init == INIT_FILL) {
    double cell = imm_cell(t->dt, t->init_a);
    for (int i = 0; i < n; i++) element_put(t->dt, data, first + i, cell);
    return;
  }
  RngBlock b = {seed, t->init_stream, t->init == INIT_NORMAL, (double)t->init_a, t->init_b};
  rng_block(&b, first, n, value);
  if (t->dt == DT_F32)
    for (int i = 0; i < n; i++) ((float *)data)[first + i] = (float)value[i];
  else
    for (int i = 0; i < n; i++) element_put(t->dt, data, first + i, value[i]);
}

typedef struct {
  const bool *wanted; /* per tensor */
  uint64_t seed;
} Initial;

static void init_share(Session *s, void *of, int me, int team) {
  const Plan *p = s->plan;
  const Initial *in = of;
  int64_t blocks = s->blocks[p->ntensor], k = blocks * me / team, end = blocks * (me + 1) / team;
  for (int i = 0; i < p->ntensor; i++)
    for (; k < end && k < s->blocks[i + 1]; k++) {
      SessionTensor t = session_tensor_at(s, i);
      int64_t first = (k - s->blocks[i]) * RNG_BLOCK, left = shape_count(&t.shape) - first;
      init_block(&p->tensor[i], t.data, first, left < RNG_BLOCK ? (int)left : RNG_BLOCK, in->seed);
    }
}

/* Initial values of tensors i with wanted[i], which are no copies: blocks of all of them are shared out among the
   threads, where these can start. */
static void init_tensors(Session *s, const bool *wanted, uint64_t seed) {
  const Plan *p = s->plan;
  Initial in = {wanted, seed};
  int which;
  s->blocks[0] = 0;
  for (int i = 0; i < p->ntensor; i++) {
    Shape shape = session_tensor_at(s, i).shape;
    s->blocks[i + 1] = s->blocks[i] + (wanted[i] ? div_up(shape_count(&shape), RNG_BLOCK) : 0);
  }
  if (s->blocks[p->ntensor] <= 64 || on_team(s, init_share, &in, &which)) init_share(s, &in, 0, 1);
}

static void copy_initial(Session *s, int i) {
  const PlanTensor *t = &s->plan->tensor[i];
  SessionTensor to = session_tensor_at(s, i), from = session_tensor_at(s, t->init_from);
  if (from.dt != to.dt || !shape_eq(&from.shape, &to.shape)) bug("%s is a copy of another type", t->name);
  memcpy(to.data, from.data, (size_t)to.bytes);
}

void session_init_tensor(Session *s, int i, uint64_t seed) {
  if (s->plan->tensor[i].init == INIT_COPY) {
    copy_initial(s, i);
    return;
  }
  memset(s->chosen, 0, (size_t)s->plan->ntensor * sizeof *s->chosen);
  s->chosen[i] = true;
  init_tensors(s, s->chosen, seed);
}

void session_init_states(Session *s, uint64_t seed) {
  const Plan *p = s->plan;
  bool *done = s->chosen;
  for (int i = 0; i < p->ntensor; i++)
    done[i] = p->tensor[i].kind == PT_STATE && p->tensor[i].init != INIT_COPY;
  init_tensors(s, done, seed);
  int waiting;
  bool progress;
  do { /* a copy waits for its source, which may be a copy itself */
    waiting = 0;
    progress = false;
    for (int i = 0; i < p->ntensor; i++) {
      const PlanTensor *t = &p->tensor[i];
      if (t->kind != PT_STATE || done[i]) continue;
      if (t->init_from < 0 || t->init_from >= p->ntensor || p->tensor[t->init_from].kind != PT_STATE)
        bug("state %s starts as a copy of no state", t->name);
      if (done[t->init_from]) {
        copy_initial(s, i);
        done[i] = progress = true;
      } else {
        waiting++;
      }
    }
  } while (waiting && progress);
  if (waiting) bug("states that start as copies of each other");
}

bool all_finite(const float *p, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t u;
    memcpy(&u, &p[i], sizeof u);
    if ((u & 0x7f800000u) == 0x7f800000u) return false;
  }
  return true;
}
