/* Times convolution kernels one layer at a time on one thread: conv_bench [--cpu NAME] [--algo
   direct|winograd] [--batch N]
   [--kind fwd|dx|dw] [--layer TEXT] [--reps R]. Columns are nominal GFLOP/s (multiply and add of the direct
   algorithm) and compile milliseconds a step; the best of R runs counts. Time is the thread's CPU time, so
   that a busy machine disturbs less. */
#include "tests/unit/conv_harness.h"

typedef struct {
  const char *name;
  int n, c, h, k, kernel, stride, pad;
} Layer;

static const Layer layers[] = {
    {"64ch32", 0, 64, 32, 64, 3, 1, 1},         {"128ch16", 0, 128, 16, 128, 3, 1, 1},
    {"256ch8", 0, 256, 8, 256, 3, 1, 1},        {"512ch4", 0, 512, 4, 512, 3, 1, 1},
    {"s2-64-128", 0, 64, 32, 128, 3, 2, 1},     {"s2-128-256", 0, 128, 16, 256, 3, 2, 1},
    {"s2-256-512", 0, 256, 8, 512, 3, 2, 1},    {"p2-64-128", 0, 64, 32, 128, 1, 2, 0},
    {"p2-128-256", 0, 128, 16, 256, 1, 2, 0},   {"p2-256-512", 0, 256, 8, 512, 1, 2, 0},
    {"stem3-64", 0, 3, 32, 64, 3, 1, 1},        {"stem7-224", 4, 3, 224, 64, 7, 2, 3},
    {"64ch56", 16, 64, 56, 64, 3, 1, 1},        {"demo-stem", 256, 1, 28, 16, 3, 2, 1},
    {"demo-16ch14", 256, 16, 14, 16, 3, 1, 1},  {"demo-s2-16", 256, 16, 14, 32, 3, 2, 1},
    {"demo-32ch7", 256, 32, 7, 32, 3, 1, 1},    {"demo-p2-16", 256, 16, 14, 32, 1, 2, 0},
    {"demo-s2-32", 256, 32, 7, 64, 3, 2, 1},    {"demo-64ch4", 256, 64, 4, 64, 3, 1, 1},
    {"demo-128ch2", 256, 128, 2, 128, 3, 1, 1},
};

static float *floats(int64_t bytes) {
  float *p = aligned_alloc(64, (size_t)(bytes + 4096) / 64 * 64);
  if (!p) bug("out of memory");
  for (int64_t i = 0; i < bytes / 4; i++) p[i] = (float)((i * 2654435761u) % 1000) * 1e-3f - 0.5f;
  return p;
}

static void bench(const Layer *l, int batch, ConvKind kind, ConvAlgo algo, const Target *t, int reps) {
  int lanes = target_lanes(t);
  ConvSpec s = {.kind = kind,
                .algo = algo,
                .n = l->n ? l->n : batch,
                .c = l->c,
                .h = l->h,
                .w = l->h,
                .k = l->k,
                .kh = l->kernel,
                .kw = l->kernel,
                .stride = {l->stride, l->stride},
                .pad = {l->pad, l->pad}};
  s.oh = s.ow = (s.h + 2 * l->pad - l->kernel) / l->stride + 1;
  s.xblock = s.c % lanes ? 0 : lanes, s.yblock = s.k % lanes ? 0 : lanes;
  ConvCode code = harness_compile(&s, t);
  void *operand[5] = {floats(s.n * s.c * s.h * s.w * 4), floats(s.k * s.c * s.kh * s.kw * 4),
                      floats(s.n * s.k * s.oh * s.ow * 4), floats(code.plan.tmp_bytes[0]),
                      floats(code.plan.tmp_bytes[1])};
  void *scratch = floats(code.scratch);
  double best = 1e9, step[4] = {1e9, 1e9, 1e9, 1e9},
         flops = 2.0 * s.n * s.k * s.c * s.oh * s.ow * s.kh * s.kw;
  for (int r = 0; r < reps; r++) {
    double total = 0;
    for (int i = 0; i < code.plan.nstep; i++) {
      double start = cpu_seconds();
      harness_step(&code, i, operand, scratch, false);
      double d = cpu_seconds() - start;
      total += d;
      if (d < step[i]) step[i] = d;
    }
    if (total < best) best = total;
  }
  printf("%-12s %-3s n%-3d %-8s %7.1f GF/s %8.3f ms  ", l->name, (const char *[]){"fwd", "dx", "dw"}[kind],
         (int)s.n, code.plan.spec.algo == CONV_WINOGRAD ? "winograd" : "direct", flops / best * 1e-9,
         best * 1e3);
  for (int i = 0; i < code.plan.nstep; i++)
    printf(" %s x%lld %.3f ms (compile %.0f)", code.plan.step[i].name, (long long)code.plan.step[i].nchunk,
           step[i] * 1e3, code.compile_ms[i]);
  printf("\n");
  fflush(stdout);
  for (int i = 0; i < 5; i++) free(operand[i]);
  free(scratch);
  harness_free(&code);
}

int main(int argc, char **argv) {
  const char *cpu = "host", *layer = NULL, *only = NULL;
  int batch = 64, reps = 8;
  ConvAlgo algo = CONV_AUTO;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--cpu")) cpu = argv[i + 1];
    else if (!strcmp(argv[i], "--batch")) batch = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--reps")) reps = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--layer")) layer = argv[i + 1];
    else if (!strcmp(argv[i], "--kind")) only = argv[i + 1];
    else if (!strcmp(argv[i], "--algo")) algo = argv[i + 1][0] == 'd' ? CONV_DIRECT : CONV_WINOGRAD;
  }
  Target t;
  if (!target_named(cpu, &t)) bug("unknown CPU %s", cpu);
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++) {
      if (layer && !strstr(layers[i].name, layer)) continue;
      if (only && strcmp(only, (const char *[]){"fwd", "dx", "dw"}[kind])) continue;
      bench(&layers[i], batch, (ConvKind)kind, algo, &t, reps);
    }
  return 0;
}
