/* jepac explain --time --ranks R --network RATE,LATENCY[,MESSAGE]: the step of one of R ranks on a network that is not
   there. Kernels are timed on this machine, with ranks that send nothing; what they would send takes, in the model of
   docs/scale.md, for m messages of b bytes that one rank sends to as many others

       latency + m max(MESSAGE, b / RATE)

   and runs beside kernels where the program says so, one exchange after the other. */
#include "cli/explain.h"
#include "cli/profile.h"
#include "ir/memory.h"
#include "lib/ranks.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the network ---- */
/* A number with one of these units, behind it a comma or the end. */
static bool quantity(const char **p, const char *const *unit, const double *size, int n, double *out) {
  char *end;
  double x = strtod(*p, &end);
  if (end == *p || !isfinite(x) || x < 0) return false;
  for (int i = 0; i < n; i++) {
    size_t len = strlen(unit[i]);
    if (strncmp(end, unit[i], len) || (end[len] && end[len] != ',')) continue;
    *out = x * size[i];
    *p = end + len + (end[len] == ',');
    return true;
  }
  return false;
}

enum { RATES = 3, TIMES = 3 };
static const double message_seconds = 1e-6; /* where none is given: docs/scale.md */

static Status read_network(Cli *c, Network *n) {
  static const char *const rates[] = {"Gbit", "Mbit", "GB"}, *const times[] = {"us", "ms", "s"};
  static const double rate[] = {1e9 / 8, 1e6 / 8, 1e9}, time[] = {1e-6, 1e-3, 1};
  const char *p = OPT(c, network);
  *n = (Network){.message = message_seconds};
  bool ok = quantity(&p, rates, rate, RATES, &n->rate) && n->rate > 0 &&
            quantity(&p, times, time, TIMES, &n->latency) &&
            (!*p || (quantity(&p, times, time, TIMES, &n->message) && !*p));
  if (ok) return ST_OK;
  return cli_fail(c, ST_USAGE,
                  "--network is RATE,LATENCY[,MESSAGE] such as 10Gbit,50us or 100Gbit,5us,1us, not '%s'",
                  OPT(c, network));
}

/* ---- kernels on this machine ---- */
static void send_nothing(Ranks *r, RankSet set, const void *send, const int64_t *at, void *recv) {
  (void)r, (void)set, (void)send, (void)at, (void)recv;
}
static void gather_nothing(Ranks *r, RankSet set, void *data, const int64_t *at) {
  (void)r, (void)set, (void)data, (void)at;
}

static void fill(Session *s) {
  const Plan *p = session_plan(s);
  for (int i = 0; i < p->ntensor; i++) {
    SessionTensor t = session_tensor_at(s, i);
    int64_t n = shape_count(&t.shape);
    if (t.kind != PT_ARG) continue;
    double *x = xcalloc((size_t)n, sizeof *x, "random inputs");
    cli_random_values(t.name, t.dt, n, 1, x);
    tensors_from_cells(t.dt, t.data, x, n);
    free(x);
  }
}

/* Seconds of each kernel, and of all of them in a step. */
static Status time_kernels(Cli *c, const Program *p, Compiled *k, double **seconds) {
  enum { STEPS = 5 };
  Status s = compiler_build_program(cli_compiler(c, FOR_PASSES | FOR_LOWERING | FOR_CODE), (Program *)p, k);
  if (s) return s;
  Ranks idle = {.count = (int)OPT(c, ranks), .exchange = send_nothing, .gather = gather_nothing};
  session_ranks(k->session, &idle);
  compiled_init(k, 1);
  fill(k->session);
  double best = INFINITY, sum = 0;
  for (int i = 0; i < STEPS; i++) {
    double start = now_seconds();
    session_run(k->session, 0, k->plan->nstep);
    best = fmin(best, now_seconds() - start);
  }
  const double *each = profile_measure(k->session);
  *seconds = NEWN(c->arena, double, k->plan->nstep + 1);
  for (int i = 0; i < k->plan->nstep; i++) sum += each[i];
  for (int i = 0; i < k->plan->nstep; i++)
    (*seconds)[i] = each[i] * best / sum; /* timing each alone costs a little */
  session_ranks(k->session, NULL);
  return ST_OK;
}

/* ---- the step ---- */
typedef struct {
  double step, alone, moved, waited; /* alone: kernels; moved: all exchanges; waited: by kernels, for them */
  int64_t exchanges, beside;
  double bytes;
} Forecast;

static Forecast walk(Cli *c, const Program *p, const Plan *plan, const double *seconds, const Network *n) {
  Forecast f = {0};
  double now = 0, lane = 0, *end = NEWN(c->arena, double, plan->nstep + 1); /* end: of what runs beside */
  for (int i = 0; i < plan->nstep; i++) {
    const Step *s = &plan->step[i];
    double sends = kernel_sending(&p->kernel.v[i], n), takes = seconds[i] + sends;
    if (sends > 0) f.exchanges++, f.moved += takes, f.bytes += kernel_sent(&p->kernel.v[i]);
    else f.alone += takes;
    if (s->beside) {
      f.beside++;
      lane = fmax(lane, now) + takes;
      end[i] = lane;
      continue;
    }
    double ready = now;
    for (int j = 0; j < s->awaits; j++) ready = fmax(ready, end[j]);
    f.waited += ready - now + (sends > 0 ? takes : 0);
    now = ready + takes;
  }
  f.waited += fmax(0, lane - now);
  f.step = fmax(now, lane);
  return f;
}

Status explain_ranks(Cli *c, const Program *p, const Recipe *r) {
  Network n;
  Compiled k = {0};
  double *seconds;
  Status s = read_network(c, &n);
  if (s) return s;
  if (p->loop.n) return cli_fail(c, ST_USAGE, "--network: programs with `scan` are not predicted");
  if ((s = cli_read_trace(c, OPT(c, trace), p, &seconds))) return s;
  if (!(s = time_kernels(c, p, &k, seconds ? &(double *){NULL} : &seconds))) {
    int ranks = (int)OPT(c, ranks);
    for (int i = 0; i < p->kernel.n && OPT(c, trace); i++) /* there they waited for others */
      if (kernel_sent(&p->kernel.v[i]) > 0) seconds[i] = 0;
    Forecast f = walk(c, p, k.plan, seconds, &n);
    printf("\nranks    %d on %.4g Gbit/s, %.4g us, %.3g us a message\n", ranks, n.rate * 8e-9,
           n.latency * 1e6, n.message * 1e6);
    printf("sends    %s in %lld exchanges, %lld of them beside kernels\n",
           human_bytes(c->arena, (int64_t)f.bytes), (long long)f.exchanges, (long long)f.beside);
    printf("step     %.3f ms: %.3f ms of kernels, %.3f ms waiting; %.0f %% of %.3f ms between ranks hidden\n",
           f.step * 1e3, f.alone * 1e3, f.waited * 1e3, f.moved > 0 ? 100 * (1 - f.waited / f.moved) : 100.0,
           f.moved * 1e3);
    if (r)
      printf("speed    %.1f samples/s, %.1f of each rank\n", (double)(r->batch * r->parts) / f.step,
             (double)(r->batch * r->parts) / f.step / ranks);
    printf("efficiency %.3f\n", f.alone / f.step);
  }
  compiled_free(&k);
  return s;
}
