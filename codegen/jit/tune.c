/* --tune: which of several schedules with equal bits (ir/kernel/contraction.h) is fastest here. Each distinct product or
   convolution whose planner has a choice is measured alone, on operands of its own size: the candidates take
   turns on one thread, and the best of a few rounds, counted in the thread's CPU time, decides. The winner is
   an entry of the cache folder under the kernel's key, which names CPU and build; without one it is measured,
   heaviest kernels first, while there is time. What is not measured keeps the cost model's schedule. */
#include "codegen/jit/cache.h"
#include "codegen/jit/jit.h"
#include "ir/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_FLOPS = 1 << 21, MOST_BYTES = 1 << 29, ROUNDS = 4, FAST_CHOICES = 6 };
static const double FAST_SECONDS = 2, ROUND_SECONDS = 0.01, LEAST_GAIN = 0.03;

typedef struct {
  const Kernel *kernel; /* with choice 0 */
  StrBuf key;
  char name[64];
  double flops; /* of all kernels with this key */
  int64_t choice;
  bool known;
} Site;

static void site_key(const Program *p, const Kernel *k, StrBuf *key) {
  Kernel plain = *k;
  *kernel_choice(p, &plain) = 0;
  sb_printf(key, "schedule ");
  target_key(&p->target, key);
  kernel_key(p, &plain, true, key);
  sb_printf(key, "\n");
}

/* ---- what was measured before ---- */
static bool read_choice(const Program *p, const char *dir, Site *s) {
  size_t n;
  char *text = cache_read(dir, s->name, s->key.s, s->key.n, &n), *end;
  if (!text) return false;
  int64_t choice[CHOICES], value = strtoll(text, &end, 10);
  bool ok = end > text && !strcmp(end, "\n"), found = false;
  for (int i = kernel_choices(p, s->kernel, choice) - 1; i >= 0; i--) found |= choice[i] == value;
  free(text);
  if (ok && found) s->choice = value;
  return ok && found;
}

static void write_choice(const char *dir, const Site *s) {
  char text[32];
  int n = snprintf(text, sizeof text, "%lld\n", (long long)s->choice);
  cache_write(dir, s->name, s->key.s, s->key.n, text, (size_t)n);
}

/* ---- measuring ---- */
static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Memory of an operand: small normal numbers in f32, f64 and bf16. */
static void *operand_new(int64_t bytes) {
  uint32_t *p;
  if (posix_memalign((void **)&p, 64, (size_t)bytes + 64)) return NULL;
  for (int64_t i = 0; i < bytes / 4 + 1; i++) p[i] = 0x3c003c00u;
  return p;
}

/* Seconds of a whole run, from as many of its chunks as fill a round. */
static double time_step(const Step *st, void *const *operand, void *scratch) {
  double start = cpu_seconds(), spent = 0;
  int64_t c = 0;
  while (c < st->nchunk && spent < ROUND_SECONDS) {
    st->fn(operand, c++, scratch, st->param);
    spent = cpu_seconds() - start;
  }
  return spent / (double)c * (double)st->nchunk;
}

/* The fastest of n choices for k; false when it could not be measured. */
static bool measure(const Program *p, const Kernel *k, const int64_t *choice, int n,
                    const CodegenOptions *opt, int64_t *winner) {
  int64_t total = 0;
  for (int i = 0; i < k->nbuf; i++) total += p->buf.v[k->buf[i]].bytes;
  if (total > MOST_BYTES) return false;
  Arena *a = arena_new();
  Program trial = {.graph = p->graph, .arena = a, .target = p->target, .buf = p->buf};
  for (int i = 0; i < n; i++) {
    Kernel c = *k;
    c.chain = 0;
    *kernel_choice(p, &c) = choice[i];
    vec_push(a, &trial.kernel, c);
  }
  StepFn *fn = NEWN(a, StepFn, n + 1);
  Code *code = jit_program(&trial, opt, diags_new(a), fn);
  void **base = NEWN(a, void *, k->nbuf + 1), **operand = NEWN(a, void *, k->nbuf + 1), *scratch = NULL;
  bool ok = code != NULL;
  Step *step = NEWN(a, Step, n + 1);
  int64_t room = 64;
  for (int i = 0; i < n; i++) {
    step[i] = plan_step(&trial, i, fn[i], a);
    if (step[i].scratch > room) room = step[i].scratch;
  }
  ok = ok && (scratch = operand_new(room));
  for (int i = 0; i < k->nbuf && ok; i++) {
    ok = (base[i] = operand_new(p->buf.v[k->buf[i]].bytes)) != NULL;
    int64_t offset = step[0].operand[i] - p->buf.v[k->buf[i]].offset;
    operand[i] = (char *)base[i] + offset;
  }
  double best[CHOICES];
  for (int round = 0; round < ROUNDS && ok; round++)
    for (int i = 0; i < n; i++) {
      double t = time_step(&step[i], operand, scratch);
      if (!round || t < best[i]) best[i] = t;
    }
  int least = 0;
  for (int i = 1; i < n && ok; i++)
    if (best[i] < best[least]) least = i;
  if (ok) *winner = best[least] < (1 - LEAST_GAIN) * best[0] ? choice[least] : 0;
  for (int i = 0; i < k->nbuf; i++) free(base[i]);
  free(scratch);
  codegen_free(code);
  arena_free(a);
  return ok;
}

/* ---- a program ---- */
static int by_flops(const void *a, const void *b) {
  double x = ((const Site *)a)->flops, y = ((const Site *)b)->flops;
  return x < y ? 1 : x > y ? -1 : strcmp(((const Site *)a)->key.s, ((const Site *)b)->key.s);
}

static Site *site_of(const Program *p, const Kernel *k, Site *site, int *n) {
  StrBuf key = {0};
  site_key(p, k, &key);
  for (int i = 0; i < *n; i++)
    if (site[i].key.n == key.n && !memcmp(site[i].key.s, key.s, key.n)) {
      sb_free(&key);
      return &site[i];
    }
  Site *s = &site[(*n)++];
  *s = (Site){.kernel = k, .key = key};
  snprintf(s->name, sizeof s->name, "jk_%016llx%016llx.choice",
           (unsigned long long)hash_bytes(key.s, key.n, 1),
           (unsigned long long)hash_bytes(key.s, key.n, 0x5bd1e9955bd1e995u));
  return s;
}

void codegen_tune(Program *p, const CodegenOptions *opt) {
  if (opt->tune == TUNE_OFF) return;
  em_arch(p->target.arch);
  double start = now_seconds();
  Site *site = xcalloc((size_t)p->kernel.n + 1, sizeof *site, NULL);
  int n = 0, measured = 0;
  bool fast = opt->tune == TUNE_FAST;
  for (int at = 0; at < p->kernel.n; at++)
    if (p->kernel.v[at].flops >= LEAST_FLOPS && kernel_choice(p, &p->kernel.v[at]))
      site_of(p, &p->kernel.v[at], site, &n)->flops += p->kernel.v[at].flops;
  qsort(site, (size_t)n, sizeof *site, by_flops);
  for (int i = 0; i < n; i++) {
    Site *s = &site[i];
    if (opt->cache_dir && read_choice(p, opt->cache_dir, s)) continue;
    int64_t choice[CHOICES];
    int count = kernel_choices(p, s->kernel, choice);
    if (count < 2 || (fast && now_seconds() - start > FAST_SECONDS)) continue;
    if (fast && count > FAST_CHOICES) count = FAST_CHOICES;
    if (!measure(p, s->kernel, choice, count, opt, &s->choice)) continue;
    measured++;
    if (opt->cache_dir) write_choice(opt->cache_dir, s);
  }
  for (int at = 0; at < p->kernel.n; at++) {
    Kernel *k = &p->kernel.v[at];
    int64_t *choice = kernel_choice(p, k);
    if (k->flops >= LEAST_FLOPS && choice) *choice = site_of(p, k, site, &n)->choice;
  }
  if (measured && opt->cache_dir) cache_trim(opt->cache_dir);
  if (measured) codegen_trim();
  for (int i = 0; i < n; i++) sb_free(&site[i].key);
  free(site);
}
