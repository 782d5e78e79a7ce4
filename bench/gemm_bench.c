/* Times matrix products one shape at a time on one thread: gemm_bench [--cpu NAME] [--shape TEXT] [--reps R]
   [--choice C|all] [--cold yes] [--bf16 yes]. Columns are GFLOP/s of the best of R runs, milliseconds, and how
   the plan goes about it. A row is M x N x K in an order of operands: nt = forward (weights [N][K]), nn =
   input gradient, tn = weight gradient; attn = products of attention over batch items of 4 heads. Time is the
   thread's CPU time, so that a busy machine disturbs less. --cold: before each step something else fills the
   core's caches, as in a model, where operands come from the cache that cores share. */
#define _GNU_SOURCE /* madvise */
#include "bench/floats.h"
#include "tests/unit/contraction.h"

#include <string.h>

typedef struct {
  const char *group, *order;
  int m, n, k, batch;
} Row;

static const Row rows[] = {
    {"words", "nt", 1024, 50257, 384, 0},  {"words", "nn", 1024, 384, 50257, 0},
    {"words", "tn", 50257, 384, 1024, 0},  {"wide", "nt", 2048, 1920, 640, 0},
    {"wide", "nt", 2048, 640, 640, 0},     {"wide", "nt", 2048, 2560, 640, 0},
    {"wide", "nt", 2048, 640, 2560, 0},    {"wide", "nn", 2048, 640, 1920, 0},
    {"wide", "nn", 2048, 640, 640, 0},     {"wide", "nn", 2048, 640, 2560, 0},
    {"wide", "nn", 2048, 2560, 640, 0},    {"wide", "tn", 1920, 640, 2048, 0},
    {"wide", "tn", 640, 640, 2048, 0},     {"wide", "tn", 2560, 640, 2048, 0},
    {"wide", "tn", 640, 2560, 2048, 0},    {"wide", "nt", 512, 1024, 768, 0},
    {"wide", "nn", 512, 1024, 512, 0},     {"wide", "tn", 1024, 768, 512, 0},
    {"flagship", "nt", 256, 1920, 640, 0}, {"flagship", "nt", 256, 2560, 640, 0},
    {"flagship", "nt", 256, 640, 2560, 0}, {"flagship", "nt", 256, 640, 640, 0},
    {"flagship", "nn", 256, 640, 2560, 0}, {"flagship", "nn", 256, 2560, 640, 0},
    {"flagship", "tn", 2560, 640, 256, 0}, {"flagship", "tn", 640, 2560, 256, 0},
    {"flagship", "nt", 64, 1024, 1024, 0}, {"flagship", "nn", 64, 768, 1024, 0},
    {"flagship", "tn", 1024, 1024, 64, 0}, {"narrow", "nt", 256, 480, 160, 0},
    {"narrow", "nt", 256, 160, 160, 0},    {"narrow", "nt", 256, 640, 160, 0},
    {"narrow", "nt", 256, 160, 640, 0},    {"narrow", "nn", 256, 160, 480, 0},
    {"narrow", "nn", 256, 160, 160, 0},    {"narrow", "nn", 256, 160, 640, 0},
    {"narrow", "nn", 256, 640, 160, 0},    {"narrow", "tn", 480, 160, 256, 0},
    {"narrow", "tn", 160, 160, 256, 0},    {"narrow", "tn", 640, 160, 256, 0},
    {"narrow", "tn", 160, 640, 256, 0},    {"ragged", "nt", 1, 640, 640, 0},
    {"ragged", "nt", 4, 640, 640, 0},      {"ragged", "nt", 17, 640, 640, 0},
    {"ragged", "nt", 64, 640, 640, 0},     {"ragged", "nt", 100, 640, 650, 0},
    {"ragged", "nt", 1000, 630, 650, 0},   {"narrow", "nt", 64, 256, 192, 0},
    {"narrow", "tn", 256, 192, 64, 0},     {"narrow", "nt", 192, 32, 9, 0},
    {"attn", "nt", 4, 4, 40, 256},         {"attn", "nn", 4, 40, 4, 256},
    {"attn", "tn", 4, 40, 4, 256},         {"attn", "tn", 40, 4, 4, 256},
    {"attn", "nt", 4, 4, 160, 2048},       {"attn", "nn", 4, 160, 4, 2048},
    {"attn", "tn", 160, 4, 4, 2048},       {"attn", "nt", 16, 16, 64, 512},
    {"attn", "nn", 16, 64, 16, 512},
};

/* One operand of attention: `rows` x `cols` a head, of [item][token][head][feature] where one extent is that
   of features, else [item][head][row][col]; transposed: stored with cols first. */
static void head_strides(int64_t rows, int64_t cols, bool transposed, int64_t *batch, int64_t *row,
                         int64_t *col) {
  enum { HEADS = 4, TOKENS = 16 };
  int64_t pitch = transposed ? rows : cols;
  batch[0] = HEADS * rows * cols, batch[1] = rows * cols;
  if (rows > TOKENS || cols > TOKENS) {
    int64_t feature = rows > cols ? rows : cols;
    transposed = rows == feature;
    pitch = HEADS * feature;
    batch[1] = feature;
  }
  *row = transposed ? 1 : pitch, *col = transposed ? pitch : 1;
}

static GemmSpec spec_of(const Row *r, bool bf16) {
  bool at = r->order[0] == 't', bt = r->order[1] == 't';
  GemmSpec s = {.dt = DT_F32, .m = r->m, .n = r->n, .k = r->k, .c_m = r->n, .c_n = 1};
  s.a16 = s.b16 = bf16, s.c16 = bf16 && !at; /* weight gradients are stored as f32 */
  s.a_m = at ? 1 : r->k, s.a_k = at ? r->m : 1, s.b_k = bt ? 1 : r->n, s.b_n = bt ? r->k : 1;
  if (!r->batch) return s;
  s.nbatch = 2, s.batch[0] = r->batch / 4, s.batch[1] = 4;
  s.c_batch[0] = 4 * s.m * s.n, s.c_batch[1] = s.m * s.n;
  head_strides(s.m, s.k, at, s.a_batch, &s.a_m, &s.a_k);
  head_strides(s.k, s.n, bt, s.b_batch, &s.b_k, &s.b_n);
  return s;
}

static void leave_caches(void) {
  enum { N = 1 << 20 };
  static float *other;
  if (!other) other = bench_floats(N);
  for (int i = 0; i < N; i += 16) other[i] += 1;
}

static void bench(const Row *r, bool bf16, const Target *t, int reps, int64_t choice, bool cold) {
  GemmSpec s = spec_of(r, bf16);
  s.choice = choice;
  ContractionCode code = gemm_compile(&s, t);
  GemmGeom g;
  gemm_geom(&s, t, &g);
  int64_t items = r->batch ? r->batch : 1;
  float *a = bench_floats(items * s.m * s.k), *b = bench_floats(items * s.n * s.k),
        *c = bench_floats(items * s.m * s.n), *tmp = bench_floats(code.plan.tmp_bytes[0] / 4),
        *scratch = bench_floats(code.scratch / 4);
  void *operand[] = {[CO_A] = a, [CO_B] = b, [CO_C] = c, [CO_TMP0] = tmp};
  double best = 1e9, pack = 1e9, flops = 2.0 * (double)items * (double)s.m * (double)s.n * (double)s.k;
  for (int i = 0; i < reps; i++) {
    double total = 0;
    for (int k = 0; k < code.plan.nstep; k++) {
      if (cold) leave_caches();
      double start = cpu_seconds();
      contraction_run_step(&code, k, operand, scratch, false);
      double d = cpu_seconds() - start;
      total += d;
      if (k + 1 < code.plan.nstep && d < pack) pack = d;
    }
    if (total < best) best = total;
  }
  static const char *const source[] = {"in place", "copied", "packed"};
  printf("%-9s %s %5d %5d %5d x%-5d %7.1f GF/s %8.4f ms", r->group, r->order, r->m, r->n, r->k, (int)items,
         flops / best * 1e-9, best * 1e3);
  if (code.plan.nstep > 1) printf(" (pack %.4f)", pack * 1e3);
  printf("  %s %dx%d k %lld x %lld, rows %lld x %lld, cols %lld x %lld, groups %lld; A %s, B %s\n",
         g.kind == GEMM_DOT     ? "dot"
         : g.kind == GEMM_TILES ? "tiles"
                                : "panel",
         g.mr, g.nv, (long long)g.kc, (long long)g.nk, (long long)g.rows, (long long)g.nrow,
         (long long)g.cols, (long long)g.ncol, (long long)g.ngroup, source[g.a], source[g.b]);
  fflush(stdout);
  free(a), free(b), free(c), free(tmp), free(scratch);
  contraction_free(&code);
}

int main(int argc, char **argv) {
  em_own_process();
  const char *cpu = "host", *shape = NULL;
  int reps = 10;
  int64_t choice = 0;
  bool all = false, cold = false, bf16 = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--cpu")) cpu = argv[i + 1];
    else if (!strcmp(argv[i], "--reps")) reps = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--shape")) shape = argv[i + 1];
    else if (!strcmp(argv[i], "--cold")) cold = argv[i + 1][0] == 'y';
    else if (!strcmp(argv[i], "--bf16")) bf16 = argv[i + 1][0] == 'y';
    else if (!strcmp(argv[i], "--choice")) choice = atoi(argv[i + 1]), all = !strcmp(argv[i + 1], "all");
  }
  Target t;
  if (!target_named(cpu, &t)) bug("unknown CPU %s", cpu);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s %s %dx%dx%d", rows[i].group, rows[i].order, rows[i].m, rows[i].n,
             rows[i].k);
    if (shape && !strstr(name, shape)) continue;
    int64_t each[CHOICES] = {choice};
    GemmSpec spec = spec_of(&rows[i], bf16);
    int n = all ? contraction_choices(&spec, &t, gemm_decide, each) : 1;
    for (int c = 0; c < n; c++) {
      if (all) printf("%2lld ", (long long)each[c]);
      bench(&rows[i], bf16, &t, reps, each[c], cold);
    }
  }
  return 0;
}
