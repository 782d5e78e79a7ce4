/* Convolution kernels one layer at a time on one thread: speed beside oneDNN's, or error.
   conv_bench [--error] [--cpu NAME] [--algo auto|direct|winograd] [--set NAME] [--batch N]
              [--images N] [--kind fwd|dx|dw] [--layer TEXT] [--reps R] [--peers yes|no] [--steps yes|no]
              [--choice C|all] [--list yes|no] [--bf16 yes|no]
   Columns are nominal GFLOP/s (multiply and add of the direct algorithm) of the best of R rounds, in which
   jepac and its peers take turns; time is the thread's CPU time, so that a busy machine disturbs less.
   Sets: resnet18, narrow, few, demo; in groups mobilenet, efficientnet, convnext, resnext (no peers here:
   bench/conv_torch.py).
   --error: relative rms errors against sums in f64, of Winograd and of direct kernels. */
#define _GNU_SOURCE /* madvise */
#include "bench/conv_peer.h"
#include "bench/floats.h"
#include "tests/unit/contraction.h"

#include <math.h>
#include <string.h>

typedef struct {
  const char *set, *name;
  int n, c, h, k, kernel, stride, pad; /* n: 0 = 64; --batch overrides */
  int groups;
} Layer;

static const Layer layers[] = {
    {"resnet18", "stem3-64", 0, 3, 32, 64, 3, 1, 1, 1},
    {"resnet18", "64ch32", 0, 64, 32, 64, 3, 1, 1, 1},
    {"resnet18", "s2-64-128", 0, 64, 32, 128, 3, 2, 1, 1},
    {"resnet18", "p2-64-128", 0, 64, 32, 128, 1, 2, 0, 1},
    {"resnet18", "128ch16", 0, 128, 16, 128, 3, 1, 1, 1},
    {"resnet18", "s2-128-256", 0, 128, 16, 256, 3, 2, 1, 1},
    {"resnet18", "p2-128-256", 0, 128, 16, 256, 1, 2, 0, 1},
    {"resnet18", "256ch8", 0, 256, 8, 256, 3, 1, 1, 1},
    {"resnet18", "s2-256-512", 0, 256, 8, 512, 3, 2, 1, 1},
    {"resnet18", "p2-256-512", 0, 256, 8, 512, 1, 2, 0, 1},
    {"resnet18", "512ch4", 0, 512, 4, 512, 3, 1, 1, 1},
    {"narrow", "stem3-16", 192, 3, 32, 16, 3, 2, 1, 1},
    {"narrow", "16ch16", 192, 16, 16, 16, 3, 1, 1, 1},
    {"narrow", "s2-16-32", 192, 16, 16, 32, 3, 2, 1, 1},
    {"narrow", "p2-16-32", 192, 16, 16, 32, 1, 2, 0, 1},
    {"narrow", "32ch8", 192, 32, 8, 32, 3, 1, 1, 1},
    {"narrow", "s2-32-64", 192, 32, 8, 64, 3, 2, 1, 1},
    {"narrow", "p2-32-64", 192, 32, 8, 64, 1, 2, 0, 1},
    {"narrow", "64ch4", 192, 64, 4, 64, 3, 1, 1, 1},
    {"narrow", "s2-64-128n", 192, 64, 4, 128, 3, 2, 1, 1},
    {"narrow", "p2-64-128n", 192, 64, 4, 128, 1, 2, 0, 1},
    {"narrow", "128ch2", 192, 128, 2, 128, 3, 1, 1, 1},
    {"few", "16ch32", 192, 16, 32, 16, 3, 1, 1, 1},
    {"few", "s2-16-32w", 192, 16, 32, 32, 3, 2, 1, 1},
    {"few", "32ch16", 192, 32, 16, 32, 3, 1, 1, 1},
    {"few", "s2-32-64w", 192, 32, 16, 64, 3, 2, 1, 1},
    {"few", "64ch8", 192, 64, 8, 64, 3, 1, 1, 1},
    {"few", "s2-64-128w", 192, 64, 8, 128, 3, 2, 1, 1},
    {"few", "128ch4", 192, 128, 4, 128, 3, 1, 1, 1},
    {"demo", "stem7-224", 4, 3, 224, 64, 7, 2, 3, 1},
    {"demo", "64ch56", 16, 64, 56, 64, 3, 1, 1, 1},
    {"demo", "demo-stem", 256, 1, 28, 16, 3, 2, 1, 1},
    {"demo", "demo-16ch14", 256, 16, 14, 16, 3, 1, 1, 1},
    {"demo", "demo-s2-16", 256, 16, 14, 32, 3, 2, 1, 1},
    {"demo", "demo-32ch7", 256, 32, 7, 32, 3, 1, 1, 1},
    {"demo", "demo-p2-16", 256, 16, 14, 32, 1, 2, 0, 1},
    {"demo", "demo-s2-32", 256, 32, 7, 64, 3, 2, 1, 1},
    {"demo", "demo-64ch4", 256, 64, 4, 64, 3, 1, 1, 1},
    {"demo", "demo-128ch2", 256, 128, 2, 128, 3, 1, 1, 1},
    {"mobilenet", "dw32ch64", 8, 32, 64, 32, 3, 1, 1, 32},
    {"mobilenet", "dw96ch64s2", 8, 96, 64, 96, 3, 2, 1, 96},
    {"mobilenet", "dw144ch32", 8, 144, 32, 144, 3, 1, 1, 144},
    {"mobilenet", "dw144ch32s2", 8, 144, 32, 144, 3, 2, 1, 144},
    {"mobilenet", "dw192ch16", 8, 192, 16, 192, 3, 1, 1, 192},
    {"mobilenet", "dw192ch16s2", 8, 192, 16, 192, 3, 2, 1, 192},
    {"mobilenet", "dw384ch8", 8, 384, 8, 384, 3, 1, 1, 384},
    {"mobilenet", "dw576ch8", 8, 576, 8, 576, 3, 1, 1, 576},
    {"mobilenet", "dw576ch8s2", 8, 576, 8, 576, 3, 2, 1, 576},
    {"mobilenet", "dw960ch4", 8, 960, 4, 960, 3, 1, 1, 960},
    {"efficientnet", "dw96k3ch64s2", 8, 96, 64, 96, 3, 2, 1, 96},
    {"efficientnet", "dw144k5ch32s2", 8, 144, 32, 144, 5, 2, 2, 144},
    {"efficientnet", "dw240k5ch16", 8, 240, 16, 240, 5, 1, 2, 240},
    {"efficientnet", "dw480k5ch8", 8, 480, 8, 480, 5, 1, 2, 480},
    {"efficientnet", "dw672k5ch8s2", 8, 672, 8, 672, 5, 2, 2, 672},
    {"efficientnet", "dw1152k5ch4", 8, 1152, 4, 1152, 5, 1, 2, 1152},
    {"convnext", "dw96k7ch56", 8, 96, 56, 96, 7, 1, 3, 96},
    {"convnext", "dw192k7ch28", 8, 192, 28, 192, 7, 1, 3, 192},
    {"convnext", "dw384k7ch14", 8, 384, 14, 384, 7, 1, 3, 384},
    {"convnext", "dw768k7ch7", 8, 768, 7, 768, 7, 1, 3, 768},
    {"resnext", "g32-128ch56", 8, 128, 56, 128, 3, 1, 1, 32},
    {"resnext", "g32-256ch56s2", 8, 256, 56, 256, 3, 2, 1, 32},
    {"resnext", "g32-256ch28", 8, 256, 28, 256, 3, 1, 1, 32},
    {"resnext", "g32-512ch28s2", 8, 512, 28, 512, 3, 2, 1, 32},
    {"resnext", "g32-512ch14", 8, 512, 14, 512, 3, 1, 1, 32},
    {"resnext", "g32-1024ch14s2", 8, 1024, 14, 1024, 3, 2, 1, 32},
    {"resnext", "g32-1024ch7", 8, 1024, 7, 1024, 3, 1, 1, 32},
};

static const char *const kinds[] = {"fwd", "dx", "dw"};

typedef struct {
  const char *cpu, *set, *layer, *kind;
  ConvAlgo algo;
  bool bf16;
  int batch, images, reps, choice;
  bool peers, steps, error, all_choices, list;
} Options;

static ConvSpec spec_of(const Layer *l, ConvKind kind, const Target *t, const Options *o) {
  int lanes = target_lanes(t);
  ConvSpec s = {.kind = kind,
                .algo = o->algo,
                .n = o->batch ? o->batch
                     : l->n   ? l->n
                              : 64,
                .c = l->c,
                .h = l->h,
                .w = l->h,
                .k = l->k,
                .kh = l->kernel,
                .kw = l->kernel,
                .stride = {l->stride, l->stride},
                .pad = {l->pad, l->pad},
                .dilation = {1, 1},
                .groups = l->groups,
                .images = o->images};
  s.oh = s.ow = (s.h + 2 * l->pad - l->kernel) / l->stride + 1;
  s.xblock = s.c % lanes ? 0 : lanes, s.yblock = s.k % lanes ? 0 : lanes;
  if (o->bf16) s.xbf16 = s.ybf16 = true, s.wbf16 = kind != CONV_DW;
  return s;
}

typedef struct {
  ContractionCode code;
  void *operand[5], *scratch;
} Run;

static Run run_new(const ConvSpec *s, const Target *t) {
  Run r = {.code = conv_compile(s, t)};
  int64_t bytes[5] = {s->n * s->c * s->h * s->w * 4, s->k * (s->c / s->groups) * s->kh * s->kw * 4,
                      s->n * s->k * s->oh * s->ow * 4, r.code.plan.tmp_bytes[0], r.code.plan.tmp_bytes[1]};
  for (int i = 0; i < 5; i++) r.operand[i] = bench_floats(bytes[i] / 4);
  r.scratch = bench_floats(r.code.scratch / 4 + 64);
  return r;
}

static void run_free(Run *r) {
  for (int i = 0; i < 5; i++) free(r->operand[i]);
  free(r->scratch);
  contraction_free(&r->code);
}

/* Seconds of all steps; the best of each into step[]. */
static double run_steps(Run *r, double *step) {
  double total = 0;
  for (int i = 0; i < r->code.plan.nstep; i++) {
    double start = cpu_seconds();
    contraction_run_step(&r->code, i, r->operand, r->scratch, false);
    double d = cpu_seconds() - start;
    total += d, step[i] = fmin(step[i], d);
  }
  return total;
}

static double total_ms;

static void speed(const Layer *l, const ConvSpec *s, const Target *t, const Options *o) {
  Run run = run_new(s, t);
  const ContractionPlan *plan = &run.code.plan;
  ConvPeer *peer[PEERS];
  for (int i = 0; i < PEERS; i++) peer[i] = o->peers && s->groups == 1 ? conv_peer_new(s, (PeerKind)i) : NULL;
  double best = 1e9, step[4] = {1e9, 1e9, 1e9, 1e9}, other[PEERS] = {1e9, 1e9, 1e9};
  for (int r = 0; r < o->reps; r++) {
    for (int turn = 0; turn <= PEERS; turn++) {
      int i =
          (r + turn) % (PEERS + 1); /* whoever comes before leaves the caches full of lines to write back */
      double start = cpu_seconds();
      if (i == PEERS) best = fmin(best, run_steps(&run, step));
      else if (peer[i]) conv_peer_run(peer[i]), other[i] = fmin(other[i], cpu_seconds() - start);
    }
  }
  total_ms += best * 1e3;
  double flops = 2.0 * s->n * s->k * (s->c / s->groups) * s->oh * s->ow * s->kh * s->kw,
         direct = fmin(other[PEER_DIRECT], other[PEER_DIRECT_NHWC]);
  printf("%-12s %-3s n%-3d %-8s %8.3f ms %6.1f", l->name, kinds[s->kind], (int)s->n,
         conv_algo_names[conv_resolve(s, t).algo], best * 1e3, flops / best * 1e-9);
  for (int i = 0; i < 2 && o->peers; i++) {
    double d = i ? other[PEER_WINOGRAD] : direct;
    if (d < 1e8) printf("  oneDNN %s %6.1f (%.2fx)", i ? "winograd" : "direct", flops / d * 1e-9, d / best);
  }
  for (int i = 0; i < plan->nstep && o->steps; i++)
    printf("  %s x%lld %.3f ms (compile %.0f)", plan->step[i].name, (long long)plan->step[i].nchunk,
           step[i] * 1e3, run.code.compile_ms[i]);
  printf("\n");
  fflush(stdout);
  for (int i = 0; i < PEERS; i++) conv_peer_free(peer[i]);
  run_free(&run);
}

/* ---- errors ---- */
enum { SAMPLES = 20000 }; /* elements of a result that are summed in f64; all where there are fewer */

static int64_t element(int64_t block, int64_t nc, int64_t nh, int64_t nw, int64_t n, int64_t c, int64_t h,
                       int64_t w) {
  if (!block) return ((n * nc + c) * nh + h) * nw + w;
  return (((n * (nc / block) + c / block) * nh + h) * nw + w) * block + c % block;
}

/* Element i (row-major) of a convolution's result, summed in f64, and where the layout keeps it. */
static double exact(const ConvSpec *s, void *const operand[5], int64_t i, int64_t *at) {
  const float *x = operand[CO_X], *w = operand[CO_W], *y = operand[CO_Y];
  const int64_t dim[3][4] = {
      {s->n, s->k, s->oh, s->ow}, {s->n, s->c, s->h, s->w}, {s->k, s->c / s->groups, s->kh, s->kw}};
  const int64_t *d = dim[s->kind];
  int64_t e[4];
  for (int j = 3; j >= 0; j--) e[j] = i % d[j], i /= d[j];
  *at = element(s->kind == CONV_FWD  ? s->yblock
                : s->kind == CONV_DX ? s->xblock
                                     : 0,
                d[1], d[2], d[3], e[0], e[1], e[2], e[3]);
  int64_t cg = s->c / s->groups, kg = s->k / s->groups;
  double sum = 0;
  if (s->kind == CONV_DW) {
    for (int64_t n = 0; n < s->n; n++)
      for (int64_t p = 0; p < s->oh; p++)
        for (int64_t q = 0; q < s->ow; q++) {
          int64_t h = p * s->stride[0] + e[2] - s->pad[0], v = q * s->stride[1] + e[3] - s->pad[1];
          if (h < 0 || h >= s->h || v < 0 || v >= s->w) continue;
          sum += (double)x[element(s->xblock, s->c, s->h, s->w, n, e[0] / kg * cg + e[1], h, v)] *
                 y[element(s->yblock, s->k, s->oh, s->ow, n, e[0], p, q)];
        }
    return sum;
  }
  bool dx = s->kind == CONV_DX;
  for (int64_t r = 0; r < s->kh; r++)
    for (int64_t t = 0; t < s->kw; t++) {
      int64_t a = dx ? e[2] + s->pad[0] - r : e[2] * s->stride[0] + r - s->pad[0],
              b = dx ? e[3] + s->pad[1] - t : e[3] * s->stride[1] + t - s->pad[1];
      if (dx && (a % s->stride[0] || b % s->stride[1])) continue;
      if (dx) a /= s->stride[0], b /= s->stride[1];
      if (a < 0 || b < 0 || a >= (dx ? s->oh : s->h) || b >= (dx ? s->ow : s->w)) continue;
      int64_t group = e[1] / (dx ? cg : kg);
      for (int64_t c = group * (dx ? kg : cg), end = c + (dx ? kg : cg); c < end; c++) {
        float u = dx ? y[element(s->yblock, s->k, s->oh, s->ow, e[0], c, a, b)]
                     : x[element(s->xblock, s->c, s->h, s->w, e[0], c, a, b)];
        int64_t k = dx ? c : e[1], ci = dx ? e[1] : c;
        sum += (double)u * w[((k * cg + ci % cg) * s->kh + r) * s->kw + t];
      }
    }
  return sum;
}

/* Relative rms error over the sample. */
static double error_of(ConvSpec s, const Target *t, ConvAlgo algo) {
  s.algo = algo;
  Run run = run_new(&s, t);
  bool none = conv_resolve(&s, t).algo != algo;
  for (int i = 0; i < run.code.plan.nstep && !none; i++)
    contraction_run_step(&run.code, i, run.operand, run.scratch, false);
  static const ContractionOperand result[] = {CO_Y, CO_X, CO_W};
  const float *got = run.operand[result[s.kind]];
  int64_t total = s.kind == CONV_FWD  ? s.n * s.k * s.oh * s.ow
                  : s.kind == CONV_DX ? s.n * s.c * s.h * s.w
                                      : s.k * (s.c / s.groups) * s.kh * s.kw;
  int64_t samples = total < SAMPLES ? total : SAMPLES;
  double err = 0, sum = 0;
  for (int64_t i = 0; i < samples && !none; i++) {
    int64_t at;
    double want = exact(&s, run.operand, total / samples * i + i % (total / samples), &at),
           d = got[at] - want;
    err += d * d, sum += want * want;
  }
  run_free(&run);
  return none ? NAN : sqrt(err / sum);
}

static void errors(const Layer *l, const ConvSpec *s, const Target *t) {
  double wino = error_of(*s, t, CONV_WINOGRAD), direct = error_of(*s, t, CONV_DIRECT);
  printf("%-12s %-3s n%-3d  direct %.1e", l->name, kinds[s->kind], (int)s->n, direct);
  if (wino == wino) printf("  winograd %.1e (%.1fx)", wino, wino / direct);
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  em_own_process();
  Options o = {.cpu = "host", .reps = 8, .peers = true, .steps = true};
  for (int i = 1; i < argc; i++) {
    const char *v = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--error")) {
      o.error = true;
      continue;
    }
    i++;
    if (!strcmp(argv[i - 1], "--cpu")) o.cpu = v;
    else if (!strcmp(argv[i - 1], "--set")) o.set = v;
    else if (!strcmp(argv[i - 1], "--layer")) o.layer = v;
    else if (!strcmp(argv[i - 1], "--kind")) o.kind = v;
    else if (!strcmp(argv[i - 1], "--batch")) o.batch = atoi(v);
    else if (!strcmp(argv[i - 1], "--images")) o.images = atoi(v);
    else if (!strcmp(argv[i - 1], "--choice")) o.choice = atoi(v), o.all_choices = !strcmp(v, "all");
    else if (!strcmp(argv[i - 1], "--reps")) o.reps = atoi(v);
    else if (!strcmp(argv[i - 1], "--peers")) o.peers = *v == 'y';
    else if (!strcmp(argv[i - 1], "--list")) o.list = *v == 'y';
    else if (!strcmp(argv[i - 1], "--steps")) o.steps = *v == 'y';
    else if (!strcmp(argv[i - 1], "--bf16")) o.bf16 = *v == 'y';
    else if (!strcmp(argv[i - 1], "--algo"))
      o.algo = *v == 'd' ? CONV_DIRECT : *v == 'w' ? CONV_WINOGRAD : CONV_AUTO;
    else bug("unknown option %s", argv[i - 1]);
  }
  Target t;
  if (!target_named(o.cpu, &t)) bug("unknown CPU %s", o.cpu);
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++) {
      const Layer *l = &layers[i];
      if ((o.layer && !strstr(l->name, o.layer)) || (o.set && strcmp(l->set, o.set))) continue;
      if ((o.kind && strcmp(o.kind, kinds[kind])) || (kind == CONV_DX && !strncmp(l->name, "stem", 4)))
        continue;
      ConvSpec s = spec_of(l, (ConvKind)kind, &t, &o);
      if (o.list) {
        printf("%s %s %d %d %d %d %d %d %d %d\n", l->name, kinds[kind], (int)s.n, l->c, l->h, l->k, l->kernel,
               l->stride, l->pad, l->groups);
        continue;
      }
      int64_t each[CHOICES] = {o.choice};
      int n = o.all_choices ? contraction_choices(&s, &t, conv_decide, each) : 1;
      if (o.error) errors(l, &s, &t);
      for (int c = 0; c < n && !o.error; c++) {
        s.choice = each[c];
        if (o.all_choices) printf("%2lld ", (long long)s.choice);
        speed(l, &s, &t, &o);
      }
    }
  if (!o.error && !o.list) printf("sum %.3f ms\n", total_ms);
  return 0;
}
