/* jepac explain --time: work, roofline time and measured time by model line. The roof is what one thread of
   this machine reaches in a large matrix product and in a long copy, times the threads used (Williams,
   Waterman, Patterson: "Roofline", CACM 2009). */
#include "cli/explain.h"
#include "cli/trace.h"
#include "ir/memory.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t program_hash(const Program *p) {
  StrBuf b = {0};
  program_print(p, &b);
  uint64_t h = hash_bytes(b.s, b.n, 0);
  sb_free(&b);
  return h;
}

/* ---- traces (cli/trace.c writes them) ---- */
static bool hash_matches(const char *hash, const Program *p) {
  char want[32];
  snprintf(want, sizeof want, "%016llx", (unsigned long long)program_hash(p));
  return !strcmp(hash, want);
}

bool trace_is_of(const char *path, const Program *p) {
  json_error_t err;
  json_t *j = json_load_file(path, 0, &err);
  const char *hash = "";
  bool is = j && !json_unpack(j, "{s:{s:s}}", "otherData", "program", &hash) && hash_matches(hash, p);
  json_decref(j);
  return is;
}

typedef struct {
  int kernel, step, thread;
  double us;
} Slice;

/* Of the first rank. */
static bool read_slice(json_t *event, int kernels, Slice *s) {
  int pid;
  return !json_unpack(event, "{s:i, s:i, s:F, s:{s:i, s:i}}", "pid", &pid, "tid", &s->thread, "dur", &s->us,
                      "args", "kernel", &s->kernel, "step", &s->step) &&
         pid == TRACE_RANK && s->kernel >= 0 && s->kernel < kernels && s->step >= 0 && s->thread >= 0;
}

/* Seconds of each kernel in its best step: what its threads spent in it by the number of threads, since
   kernels run side by side. */
static double *trace_seconds(Cli *c, json_t *events, int kernels) {
  Slice s;
  size_t i;
  json_t *e;
  int first = INT_MAX, last = 0, threads = 1;
  json_array_foreach(events, i, e) {
    if (!read_slice(e, kernels, &s)) continue;
    first = s.step < first ? s.step : first;
    last = s.step > last ? s.step : last;
    threads = s.thread >= threads ? s.thread + 1 : threads;
  }
  int steps = last - first + 1;
  double *best = NEWN(c->arena, double, kernels + 1);
  if (steps < 1 || steps > 1 << 20) return best;
  double *spent = NEWN(c->arena, double, (int64_t)kernels *steps + 1);
  json_array_foreach(events, i, e) {
    if (read_slice(e, kernels, &s)) spent[s.kernel * (int64_t)steps + s.step - first] += s.us;
  }
  for (int k = 0; k < kernels; k++) {
    best[k] = INFINITY;
    for (int j = 0; j < steps; j++)
      if (spent[k * (int64_t)steps + j] > 0) best[k] = fmin(best[k], spent[k * (int64_t)steps + j]);
    best[k] = isfinite(best[k]) ? best[k] * 1e-6 / threads : 0;
  }
  return best;
}

Status cli_read_trace(Cli *c, const char *path, const Program *p, double **seconds) {
  *seconds = NULL;
  if (!path) return ST_OK;
  Status s = cli_check_readable(c, path, "trace");
  if (s) return s;
  json_error_t err;
  json_t *j = json_load_file(path, 0, &err);
  const char *hash = "";
  json_t *events = json_object_get(j, "traceEvents");
  if (!j || !json_is_array(events) || json_unpack(j, "{s:{s:s}}", "otherData", "program", &hash) != 0) {
    json_decref(j);
    return cli_fail(c, ST_FILE, "%s is not a trace made by jepac", path);
  }
  if (!hash_matches(hash, p)) {
    json_decref(j);
    return cli_fail(c, ST_FILE, "%s is the trace of another program (another model, --set or jepac)", path);
  }
  *seconds = trace_seconds(c, events, p->kernel.n);
  json_decref(j);
  return ST_OK;
}

/* ---- the roof ---- */
/* Multiply-adds of generated code, one thread: seconds of an n x n x n product. */
static Status time_product(Cli *c, int64_t n, double *seconds) {
  Graph *g = graph_new(c->arena, "roof");
  Shape shape = {2, {n, n}};
  Ints none = {0}, last = ints1(1), first = ints1(0);
  Val a = g_input(g, "a", IN_ARG, DT_F32, &shape, NULL), b = g_input(g, "b", IN_ARG, DT_F32, &shape, NULL);
  g_output(g, "c", g_dot(g, a, b, &none, &none, &last, &first), -1);
  Compiler one = *cli_compiler(c, 0);
  one.threads = 1;
  one.seen = NULL;
  one.pipeline = (PipelineOptions){0};
  Compiled k;
  Status s = compiler_build(&one, g, &k);
  if (s) return s;
  *seconds = INFINITY;
  for (int round = 0; round < 8; round++) {
    double start = now_seconds();
    session_run(k.session, 0, k.plan->nstep);
    *seconds = fmin(*seconds, now_seconds() - start);
  }
  compiled_free(&k);
  return ST_OK;
}

Status measure_roof(Cli *c, Roof *r) {
  enum { N = 384, COPY = 1 << 25 };
  double best, copy = INFINITY;
  Status s = time_product(c, N, &best);
  if (s) return s;
  char *x = xmalloc(2 * (size_t)COPY, "measuring the roof");
  memset(x, 1, 2 * (size_t)COPY);
  for (int round = 0; round < 4; round++) {
    double start = now_seconds();
    memcpy(x + COPY, x, COPY);
    __asm__ volatile("" : : "r"(x) : "memory"); /* nobody reads the copy */
    copy = fmin(copy, now_seconds() - start);
  }
  free(x);
  int threads = OPT(c, threads) > 0 ? (int)OPT(c, threads) : session_cpus();
  *r = (Roof){2.0 * N * N * N / best * threads, 2.0 * COPY / copy};
  return ST_OK;
}

/* How often kernel k runs: once a step of the loops it is in. */
static double times(const Program *p, int k) {
  double n = 1;
  for (int l = p->kernel.v[k].in_loop; l; l = p->loop.v[l - 1].parent) n *= (double)p->loop.v[l - 1].steps;
  return n;
}

double roof_kernel_seconds(const Program *p, int k, const Roof *r) {
  return times(p, k) *
         fmax(kernel_least_flops(p, &p->kernel.v[k]) / r->flops, p->kernel.v[k].bytes / r->bytes);
}

double roof_seconds(const Program *p, const Roof *r) {
  double sum = 0;
  for (int k = 0; k < p->kernel.n; k++) sum += roof_kernel_seconds(p, k, r);
  return sum;
}

/* ---- the table ---- */
typedef struct {
  double flops, bytes, roof, measured;
} Cost;

typedef struct {
  Cost role[3], all;
  int line;
} LineCost;

static int by_cost(const void *x, const void *y) {
  const LineCost *a = x, *b = y;
  double d = b->all.measured - a->all.measured;
  if (d == 0) d = b->all.roof - a->all.roof;
  return d > 0 ? 1 : d < 0 ? -1 : a->line - b->line;
}

static void add(Cost *c, double flops, double bytes, double roof, double measured) {
  c->flops += flops;
  c->bytes += bytes;
  c->roof += roof;
  c->measured += measured;
}

static void print_cost(Cli *c, const Cost *x, bool measured) {
  printf(" %8s %8s %8.3f", x->flops ? human_count(c->arena, x->flops) : "",
         x->bytes ? human_count(c->arena, x->bytes) : "", x->roof * 1e3);
  if (measured) printf(" %8.3f", x->measured * 1e3);
}

/* "3.4 days" */
static const char *duration(Cli *c, double seconds) {
  static const struct {
    const char *unit;
    double size;
  } unit[] = {{"ms", 1e-3}, {"s", 1}, {"minutes", 60}, {"hours", 3600}, {"days", 86400}};
  int u = 0;
  while (u < 4 && seconds >= (u ? 2 : 1) * unit[u + 1].size) u++;
  double n = seconds / unit[u].size;
  return arena_printf(c->arena, n < 100 ? "%.3g %s" : "%.0f %s", n, unit[u].unit);
}

/* What all of a recipe takes, at `batch` seconds a batch. */
static void print_recipe(Cli *c, const Program *p, const Recipe *r, double batch, bool measured) {
  int64_t step = r->batch * r->accumulate, epoch = r->data.samples / step;
  int64_t steps = r->steps > 0 ? r->steps : r->epochs * epoch;
  printf("\nrecipe   ");
  if (r->steps > 0) printf("%lld steps", (long long)steps);
  else if (epoch > 0)
    printf("%lld epochs of %lld steps (%lld samples as distributed): %lld steps", (long long)r->epochs,
           (long long)epoch, (long long)r->data.samples, (long long)steps);
  else printf("%lld epochs of data of any size", (long long)r->epochs);
  printf(" of %lld samples", (long long)step);
  if (r->accumulate > 1) printf(" (%lld batches of %lld)", (long long)r->accumulate, (long long)r->batch);
  batch *= (double)r->accumulate;
  printf("\ntime     %s a step", duration(c, batch));
  if (steps > 0) printf(", %s in all", duration(c, batch * (double)steps));
  printf("%s\nmemory   arena %s\n", measured ? " (measured)" : " (at the roof; --trace: measured)",
         human_bytes(c->arena, p->arena_bytes));
}

Status explain_time(Cli *c, const Program *p, Lines *t, const Recipe *r) {
  enum { SHARES = 256 };
  double *seconds;
  Roof roof = {0};
  Status s = cli_read_trace(c, OPT(c, trace), p, &seconds);
  if (s || (s = measure_roof(c, &roof))) return s;
  Share *share = NEWN(c->arena, Share, SHARES);
  int cap = 1;
  for (int k = 0; k < p->kernel.n; k++) program_shares(p, k, t, share, SHARES); /* finds all lines */
  cap = t->v.n;
  LineCost *row = NEWN(c->arena, LineCost, cap + 1), total = {0};
  for (int i = 0; i < cap; i++) row[i].line = i;
  for (int k = 0; k < p->kernel.n; k++) {
    int n = program_shares(p, k, t, share, SHARES);
    double whole = 0;
    for (int i = 0; i < n; i++) share[i].flops *= times(p, k), share[i].bytes *= times(p, k);
    for (int i = 0; i < n; i++) whole += share[i].flops / roof.flops + share[i].bytes / roof.bytes;
    double bound = roof_kernel_seconds(p, k, &roof);
    for (int i = 0; i < n; i++) {
      double part = whole > 0 ? (share[i].flops / roof.flops + share[i].bytes / roof.bytes) / whole : 1.0 / n;
      double took = seconds ? seconds[k] * part : 0;
      for (int l = share[i].line; l >= 0; l = lines_parent(t, l)) {
        add(&row[l].role[share[i].role], share[i].flops, share[i].bytes, bound * part, took);
        add(&row[l].all, share[i].flops, share[i].bytes, bound * part, took);
      }
      add(&total.role[share[i].role], share[i].flops, share[i].bytes, bound * part, took);
      add(&total.all, share[i].flops, share[i].bytes, bound * part, took);
    }
  }
  int *order = t->modules ? lines_order(t) : NULL, width = lines_width(t);
  if (!order) qsort(row, (size_t)cap, sizeof *row, by_cost);
  printf("roof     %.0f GFLOP/s, %.1f GB/s (one matrix product, one copy on this machine)\n",
         roof.flops * 1e-9, roof.bytes * 1e-9);
  printf("%-*s %-9s %8s %8s %8s%s  %s\n", width, lines_kind(t), "", "FLOP", "bytes", "roof ms",
         seconds ? "  meas ms" : "", "");
  for (int at = 0; at < cap; at++) {
    const LineCost *x = &row[order ? order[at] : at];
    bool first = true;
    for (int r = 0; r < 3; r++) {
      if (!x->role[r].flops && !x->role[r].bytes && !x->role[r].roof) continue;
      printf("%-*s %-9s", width, first ? lines_name(t, x->line) : "", role_word((Role)r));
      print_cost(c, &x->role[r], seconds != NULL);
      printf("  %.56s\n", first ? lines_text(t, x->line) : "");
      first = false;
    }
  }
  for (int r = 0; r < 3; r++) {
    printf("%-*s %-9s", width, r ? "" : "all", role_word((Role)r));
    print_cost(c, &total.role[r], seconds != NULL);
    printf("\n");
  }
  printf("%-*s %-9s", width, "", "sum");
  print_cost(c, &total.all, seconds != NULL);
  printf("\n");
  if (r) print_recipe(c, p, r, seconds ? total.all.measured : total.all.roof, seconds != NULL);
  return ST_OK;
}
