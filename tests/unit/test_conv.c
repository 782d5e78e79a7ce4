/* Convolution kernels against plain f64 loops: all three kinds, both algorithms, every vector width, blocked
   and row-major tensors, odd geometries. Operands end at unmapped pages, and what a step must write starts as
   NaN, so stray and missing accesses show. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include "tests/unit/contraction.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
  float *p;
  void *map;
  size_t len;
  int64_t n;
} Buffer;

/* n floats ending where an unmapped page starts. */
static Buffer buffer_new(int64_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)(n ? n : 16) * 4,
         len = (bytes + page - 1) / page * page + page;
  char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert(map != MAP_FAILED);
  ck_assert(mprotect(map + len - page, page, PROT_NONE) == 0);
  Buffer b = {(float *)(map + len - page - bytes), map, len, n};
  for (int64_t i = 0; i < n; i++) b.p[i] = NAN;
  return b;
}

static void buffer_free(Buffer *b) { munmap(b->map, b->len); }

static uint32_t seed = 1;
static float random_value(void) {
  seed = seed * 1664525u + 1013904223u;
  return (float)((seed >> 8) & 0xffff) / 32768.0f - 1.0f;
}

/* Index of element (n, c, h, w) in a tensor of nc channels. */
static int64_t at(int64_t block, int64_t nc, int64_t nh, int64_t nw, int64_t n, int64_t c, int64_t h,
                  int64_t w) {
  if (!block) return ((n * nc + c) * nh + h) * nw + w;
  return (((n * (nc / block) + c / block) * nh + h) * nw + w) * block + c % block;
}

static void reference(const ConvSpec *s, const float *x, const float *w, const float *y, double *out) {
  int64_t cg = s->c / s->groups, kg = s->k / s->groups;
  for (int64_t n = 0; n < s->n; n++)
    for (int64_t k = 0; k < s->k; k++)
      for (int64_t c = 0; c < cg; c++)
        for (int64_t p = 0; p < s->oh; p++)
          for (int64_t q = 0; q < s->ow; q++)
            for (int64_t i = 0; i < s->kh; i++)
              for (int64_t j = 0; j < s->kw; j++) {
                int64_t h = p * s->stride[0] + i * s->dilation[0] - s->pad[0],
                        v = q * s->stride[1] + j * s->dilation[1] - s->pad[1];
                if (h < 0 || h >= s->h || v < 0 || v >= s->w) continue;
                int64_t ix = at(s->xblock, s->c, s->h, s->w, n, k / kg * cg + c, h, v),
                        iw = ((k * cg + c) * s->kh + i) * s->kw + j,
                        iy = at(s->yblock, s->k, s->oh, s->ow, n, k, p, q);
                if (s->kind == CONV_FWD) out[iy] += (double)x[ix] * w[iw];
                else if (s->kind == CONV_DX) out[ix] += (double)y[iy] * w[iw];
                else out[iw] += (double)x[ix] * y[iy];
              }
}

/* Where a plan promises chunks of whole images, each chunk alone computes its images of the result from its
   images of the source, the others being NaN, and writes no other. */
static void check_images(const ContractionCode *code, const ConvSpec *s, Buffer *b, void *const operand[5],
                         float *scratch, int64_t nscratch, const float *want) {
  int main = code->plan.nstep - 1;
  const ContractionStep *st = &code->plan.step[main];
  if (!st->images) return;
  bool dx = s->kind == CONV_DX;
  Buffer *src = &b[dx ? CO_Y : CO_X], *dst = &b[dx ? CO_X : CO_Y];
  ck_assert_int_eq(st->nchunk * st->images, s->n);
  float *keep = malloc((size_t)src->n * 4);
  memcpy(keep, src->p, (size_t)src->n * 4);
  contraction_run_step(code, 0, operand, scratch, false);
  int64_t from = src->n / st->nchunk, to = dst->n / st->nchunk;
  for (int64_t i = 0; i < st->nchunk; i++) {
    for (int64_t k = 0; k < src->n; k++) src->p[k] = k / from == i ? keep[k] : NAN;
    for (int64_t k = 0; k < dst->n; k++) dst->p[k] = NAN;
    for (int64_t k = 0; k < nscratch; k++) scratch[k] = NAN;
    contraction_run_chunk(code, main, operand, scratch, i);
    ck_assert_msg(!memcmp(dst->p + i * to, want + i * to, (size_t)to * 4), "chunk %d of %d: other bits",
                  (int)i, (int)st->nchunk);
    for (int64_t k = 0; k < dst->n; k++)
      ck_assert_msg(k / to == i || isnan(dst->p[k]), "chunk %d writes another's image", (int)i);
  }
  memcpy(src->p, keep, (size_t)src->n * 4);
  free(keep);
}

/* The same result, bit for bit, in chunks of as many images as asked for. */
static void check_request(ConvSpec s, const Target *t, Buffer *b, void *const operand[5], const float *want) {
  ContractionCode code = conv_compile(&s, t);
  ck_assert_int_eq(conv_resolve(&s, t).images, s.images);
  ck_assert_int_eq(code.plan.step[code.plan.nstep - 1].images, s.images);
  Buffer scratch = buffer_new((code.scratch + 63) / 64 * 16);
  check_images(&code, &s, b, operand, scratch.p, scratch.n, want);
  buffer_free(&scratch);
  contraction_free(&code);
}

/* Another schedule changes the main step only, and no bit of the result. Compiling takes the time: one choice
   a case, each in turn. */
static void check_choice(ConvSpec s, const Target *t, Buffer *b, void *const operand[5], int result,
                         const float *want) {
  static int turn;
  int64_t choice[CHOICES];
  ContractionPlan plain = conv_plan(&s, t);
  ConvAlgo algo = conv_resolve(&s, t).algo;
  int n = contraction_choices(&s, t, conv_decide, choice);
  ck_assert(n >= 1 && choice[0] == 0);
  if (n == 1) return;
  s.choice = choice[1 + turn++ % (n - 1)];
  ContractionCode code = conv_compile(&s, t);
  const ContractionPlan *p = &code.plan;
  ck_assert(p->nstep == plain.nstep && conv_resolve(&s, t).algo == algo);
  ck_assert_mem_eq(p->tmp_bytes, plain.tmp_bytes, sizeof p->tmp_bytes);
  for (int k = 0; k + 1 < p->nstep; k++)
    ck_assert(p->step[k].nchunk == plain.step[k].nchunk && p->step[k].scratch == plain.step[k].scratch);
  if (s.images) ck_assert_int_eq(p->step[p->nstep - 1].nchunk, plain.step[p->nstep - 1].nchunk);
  Buffer scratch = buffer_new((code.scratch + 63) / 64 * 16);
  for (int64_t k = 0; k < b[result].n; k++) b[result].p[k] = NAN;
  for (int k = 0; k < p->nstep; k++) {
    for (int64_t j = 0; j < scratch.n; j++) scratch.p[j] = NAN;
    contraction_run_step(&code, k, operand, scratch.p, false);
  }
  ck_assert_msg(!memcmp(b[result].p, want, (size_t)b[result].n * 4), "choice %d changes bits", (int)s.choice);
  buffer_free(&scratch);
  contraction_free(&code);
}

/* Relative rms error; NaN when anything was left unwritten. */
static double run_case(ConvSpec s, const Target *t) {
  ContractionCode code = conv_compile(&s, t);
  Buffer b[5] = {[CO_X] = buffer_new(s.n * s.c * s.h * s.w),
                 [CO_W] = buffer_new(s.k * (s.c / s.groups) * s.kh * s.kw),
                 [CO_Y] = buffer_new(s.n * s.k * s.oh * s.ow),
                 [CO_TMP0] = buffer_new(code.plan.tmp_bytes[0] / 4),
                 [CO_TMP1] = buffer_new(code.plan.tmp_bytes[1] / 4)};
  Buffer scratch = buffer_new((code.scratch + 63) / 64 * 16);
  int result = s.kind == CONV_FWD ? CO_Y : s.kind == CONV_DX ? CO_X : CO_W;
  void *operand[5];
  for (int i = 0; i < 5; i++) {
    for (int64_t k = 0; i < 3 && i != result && k < b[i].n; k++) b[i].p[k] = random_value();
    operand[i] = b[i].p;
  }
  double *want = calloc((size_t)b[result].n, sizeof *want), err = 0, sum = 0;
  reference(&s, b[CO_X].p, b[CO_W].p, b[CO_Y].p, want);
  float *first = malloc((size_t)b[result].n * 4);
  for (int backwards = 0; backwards < 2; backwards++) {
    for (int i = 0; i < code.plan.nstep; i++) {
      for (int64_t k = 0; k < scratch.n; k++) scratch.p[k] = NAN;
      contraction_run_step(&code, i, operand, scratch.p, backwards);
    }
    if (backwards)
      ck_assert_msg(!memcmp(first, b[result].p, (size_t)b[result].n * 4), "chunk order changes bits");
    else memcpy(first, b[result].p, (size_t)b[result].n * 4);
  }
  for (int64_t k = 0; k < b[result].n; k++) {
    double d = b[result].p[k] - want[k];
    err += d * d, sum += want[k] * want[k];
  }
  check_images(&code, &s, b, operand, scratch.p, scratch.n, first);
  static int cases;
  bool whole = s.kind != CONV_DW && ++cases % 2; /* with chunks of images or without */
  if (!whole) check_choice(s, t, b, operand, result, first);
  s.images = s.n % 3 == 0 ? 3 : s.n % 2 ? 1 : 2;
  if (whole && conv_can_chunk_images(&s, t)) check_choice(s, t, b, operand, result, first);
  if (!s.xblock == !s.yblock && conv_can_chunk_images(&s, t)) check_request(s, t, b, operand, first);
  free(want), free(first);
  for (int i = 0; i < 5; i++) buffer_free(&b[i]);
  buffer_free(&scratch);
  contraction_free(&code);
  return sum > 0 ? sqrt(err / sum) : sqrt(err);
}

typedef struct {
  int n, c, h, w, k, kh, kw, sh, sw, ph, pw;
  int groups, dh, dw, eh, ew; /* 0: one group, no dilation; padding behind beyond that before */
} Shape4;

static const Shape4 shapes[] = {
    {2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {3, 32, 7, 7, 48, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 3, 12, 10, 32, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 3, 21, 19, 16, 7, 7, 2, 2, 3, 3, 0, 0, 0, 0, 0},
    {2, 16, 9, 9, 32, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {2, 32, 8, 8, 16, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0},
    {2, 16, 7, 5, 16, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0},
    {1, 1, 5, 5, 1, 3, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0},
    {2, 7, 6, 9, 17, 5, 3, 1, 1, 2, 0, 0, 0, 0, 0, 0},
    {2, 17, 8, 8, 7, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {1, 16, 10, 10, 16, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0},
    {2, 16, 11, 13, 16, 3, 5, 3, 2, 1, 3, 0, 0, 0, 0, 0},
    {5, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 16, 1, 1, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {2, 16, 2, 3, 16, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {1, 3, 16, 16, 16, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0},
    {1, 16, 9, 9, 16, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {19, 1, 14, 14, 16, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {1, 16, 40, 40, 32, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {1, 40, 6, 6, 24, 3, 3, 1, 1, 3, 3, 0, 0, 0, 0, 0},
    {3, 80, 5, 6, 96, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {1, 16, 3, 64, 16, 1, 7, 1, 2, 0, 3, 0, 0, 0, 0, 0},
    {17, 16, 4, 4, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {1, 50, 5, 5, 50, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0},
    {2, 32, 16, 16, 48, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {3, 96, 17, 14, 112, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {2, 48, 7, 30, 32, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {2, 96, 8, 8, 112, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {3, 128, 6, 10, 96, 3, 3, 1, 1, 0, 0, 0, 0, 0, 0, 0},
    {9, 32, 14, 14, 32, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {21, 32, 2, 2, 48, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {40, 16, 10, 4, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {19, 32, 4, 4, 48, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 0},
    {2, 5, 9, 23, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {21, 32, 6, 5, 48, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0},
    {130, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    {519, 16, 2, 2, 16, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 0},
    /* depthwise */
    {3, 16, 7, 9, 16, 3, 3, 1, 1, 1, 1, 16, 0, 0, 0, 0},
    {2, 32, 8, 30, 32, 3, 3, 2, 2, 1, 1, 32, 0, 0, 0, 0},
    {2, 48, 9, 17, 48, 5, 5, 1, 1, 2, 2, 48, 0, 0, 0, 0},
    {2, 16, 12, 31, 16, 5, 5, 2, 2, 2, 2, 16, 0, 0, 0, 0},
    {2, 32, 9, 29, 32, 7, 7, 1, 1, 3, 3, 32, 0, 0, 0, 0},
    {3, 96, 4, 4, 96, 3, 3, 1, 1, 1, 1, 96, 0, 0, 0, 0},
    {2, 24, 10, 11, 24, 3, 3, 1, 1, 1, 1, 24, 0, 0, 0, 0},
    {2, 5, 6, 7, 5, 3, 3, 2, 2, 1, 1, 5, 0, 0, 0, 0},
    {1, 17, 5, 64, 17, 1, 13, 1, 1, 0, 6, 17, 0, 0, 0, 0},
    {1, 16, 2, 3, 16, 3, 3, 1, 1, 1, 1, 16, 0, 0, 0, 0},
    {1, 16, 16, 40, 16, 3, 3, 1, 1, 6, 6, 16, 6, 6, 0, 0},
    {2, 16, 9, 9, 16, 3, 3, 2, 1, 2, 1, 16, 2, 1, -2, 1},
    {1, 16, 12, 12, 16, 7, 7, 6, 5, 2, 2, 16, 0, 0, 0, 0},
    {1, 16, 9, 25, 32, 3, 3, 1, 1, 1, 1, 16, 0, 0, 0, 0}, /* two results each */
    {2, 6, 8, 8, 12, 5, 3, 2, 2, 2, 1, 6, 0, 0, 0, 0},
    {1, 5, 6, 6, 15, 3, 3, 1, 1, 1, 1, 5, 0, 0, 0, 0},
    /* grouped */
    {2, 32, 7, 9, 32, 3, 3, 1, 1, 1, 1, 8, 0, 0, 0, 0},
    {2, 32, 10, 15, 32, 3, 3, 2, 2, 1, 1, 4, 0, 0, 0, 0},
    {1, 64, 7, 8, 64, 3, 3, 1, 1, 1, 1, 4, 0, 0, 0, 0},
    {2, 64, 9, 8, 64, 3, 3, 2, 2, 1, 1, 2, 0, 0, 0, 0},
    {1, 96, 6, 5, 64, 3, 3, 1, 1, 1, 1, 2, 0, 0, 0, 0},
    {1, 32, 6, 5, 96, 1, 1, 1, 1, 0, 0, 2, 0, 0, 0, 0},
    {1, 48, 6, 7, 48, 3, 3, 1, 1, 1, 1, 2, 0, 0, 0, 0},
    {2, 12, 6, 7, 18, 3, 3, 1, 1, 1, 1, 3, 0, 0, 0, 0},
    {1, 16, 8, 8, 32, 3, 3, 1, 1, 1, 1, 2, 2, 2, 0, 0},
    {16, 64, 6, 6, 64, 3, 3, 1, 1, 1, 1, 2, 1, 1, 1, -1},
    /* dilated and padded by side */
    {2, 16, 9, 11, 32, 3, 3, 1, 1, 2, 2, 1, 2, 2, 0, 0},
    {2, 16, 12, 11, 32, 3, 3, 2, 3, 2, 2, 1, 2, 3, 0, 0},
    {1, 3, 12, 10, 16, 3, 5, 2, 2, 3, 4, 1, 3, 2, 0, 0},
    {1, 40, 9, 9, 24, 3, 3, 3, 4, 2, 2, 1, 6, 2, 0, 0},
    {1, 16, 9, 9, 16, 3, 3, 5, 7, 2, 2, 1, 2, 2, 0, 0},
    {2, 16, 8, 8, 16, 3, 3, 1, 1, 0, 2, 1, 1, 1, 1, -1},
    {2, 32, 8, 8, 32, 3, 3, 2, 2, 0, 0, 1, 1, 1, 1, 1},
    {2, 16, 7, 5, 16, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 2},
    {2, 16, 7, 5, 32, 1, 1, 2, 2, 0, 0, 1, 1, 1, 3, 0},
};

static void check_target(const char *cpu, ConvAlgo algo, double bound) {
  Target t;
  ck_assert(target_named(cpu, &t));
  Target host = target_host();
  if (t.vector_bytes > host.vector_bytes) return; /* this machine cannot run it */
  int L = target_lanes(&t);
  size_t n = sizeof shapes / sizeof *shapes;
  /* SSE shares all code but for vector width and fused multiply-add: every second shape is enough */
  for (size_t i = 0; i < n; i += L == 4 ? 2 : 1)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++)
      for (int layout = 0; layout < 4; layout++) {
        Shape4 z = shapes[i];
        ConvSpec s = {.kind = (ConvKind)kind,
                      .algo = algo,
                      .n = z.n,
                      .c = z.c,
                      .h = z.h,
                      .w = z.w,
                      .k = z.k,
                      .kh = z.kh,
                      .kw = z.kw,
                      .stride = {z.sh, z.sw},
                      .pad = {z.ph, z.pw},
                      .dilation = {z.dh ? z.dh : 1, z.dw ? z.dw : 1},
                      .groups = z.groups ? z.groups : 1,
                      .xblock = layout & 1 ? L : 0,
                      .yblock = layout & 2 ? L : 0};
        s.oh = (s.h + 2 * z.ph + z.eh - (s.kh - 1) * s.dilation[0] - 1) / s.stride[0] + 1;
        s.ow = (s.w + 2 * z.pw + z.ew - (s.kw - 1) * s.dilation[1] - 1) / s.stride[1] + 1;
        if ((s.xblock && z.c % L) || (s.yblock && z.k % L)) continue;
        if (algo == CONV_WINOGRAD && (z.groups || z.dh)) continue;
        bool wino = s.kh == 3 && s.kw == 3 && s.stride[0] == s.stride[1] && s.stride[0] <= 2 &&
                    s.pad[0] == s.pad[1] && (s.stride[0] == 1 ? s.pad[0] <= 2 : s.pad[0] == 1) && s.xblock &&
                    s.yblock;
        if (algo == CONV_WINOGRAD && !wino) continue;
        if (algo == CONV_DIRECT && z.n > 100) continue; /* many images are about Winograd's chunks */
        double e = run_case(s, &t);
        ck_assert_msg(e < bound, "%s %s shape %zu layout %d: error %g", cpu,
                      (const char *[]){"fwd", "dx", "dw"}[kind], i, layout, e);
      }
}

START_TEST(direct_avx512) { check_target("x86-64-v4", CONV_DIRECT, 1e-5); }
END_TEST
START_TEST(direct_avx2) { check_target("haswell", CONV_DIRECT, 1e-5); }
END_TEST
START_TEST(direct_sse) { check_target("x86-64", CONV_DIRECT, 1e-5); }
END_TEST

START_TEST(winograd_avx512) { check_target("x86-64-v4", CONV_WINOGRAD, 2e-5); }
END_TEST
START_TEST(winograd_avx2) { check_target("haswell", CONV_WINOGRAD, 2e-5); }
END_TEST
START_TEST(winograd_sse) { check_target("x86-64", CONV_WINOGRAD, 2e-5); }
END_TEST

/* Requests for chunks of images: which are honoured, and that one that is not changes nothing. */
START_TEST(images) {
  Target t;
  ck_assert(target_named("x86-64-v4", &t));
  ConvSpec s = {.n = 64,
                .c = 64,
                .h = 32,
                .w = 32,
                .k = 64,
                .oh = 32,
                .ow = 32,
                .kh = 3,
                .kw = 3,
                .stride = {1, 1},
                .pad = {1, 1},
                .dilation = {1, 1},
                .groups = 1,
                .xblock = 16,
                .yblock = 16,
                .images = 2};
  for (int kind = CONV_FWD; kind <= CONV_DX; kind++)
    for (int algo = CONV_AUTO; algo <= CONV_WINOGRAD; algo++) {
      s.kind = (ConvKind)kind, s.algo = (ConvAlgo)algo, s.images = 2;
      ck_assert(conv_can_chunk_images(&s, &t));
      ContractionPlan p = conv_plan(&s, &t);
      ck_assert_int_eq(conv_resolve(&s, &t).images, 2);
      ck_assert_int_eq(p.step[1].images, 2);
      ck_assert_int_eq(p.step[1].nchunk, 32);
      ck_assert_int_eq(p.step[0].images, 0);
      s.images = 0;
      ContractionPlan q = conv_plan(&s, &t); /* a request may come after temporaries have been placed */
      ck_assert(p.tmp_bytes[0] == q.tmp_bytes[0] && p.tmp_bytes[1] == q.tmp_bytes[1] && p.nstep == q.nstep);
      s.images = 3;
      ck_assert(!conv_can_chunk_images(&s, &t));
      ck_assert_int_eq(conv_resolve(&s, &t).images, 0);
    }
  s.images = 2, s.algo = CONV_AUTO, s.kind = CONV_DW;
  ck_assert(!conv_can_chunk_images(&s, &t));
  s = (ConvSpec){.n = 64,
                 .c = 512,
                 .h = 4,
                 .w = 4,
                 .k = 512,
                 .oh = 4,
                 .ow = 4,
                 .kh = 3,
                 .kw = 3,
                 .stride = {1, 1},
                 .pad = {1, 1},
                 .dilation = {1, 1},
                 .groups = 1,
                 .xblock = 16,
                 .yblock = 16,
                 .images = 2};
  ck_assert(!conv_can_chunk_images(&s, &t)); /* transformed weights stay in scratch: all images pass by */
  ck_assert_int_eq(conv_plan(&s, &t).step[1].images, 0);
}
END_TEST

int main(void) {
  const struct {
    const char *name;
    const TTest *test;
  } cases[] = {{"direct_avx512", direct_avx512},
               {"direct_avx2", direct_avx2},
               {"direct_sse", direct_sse},
               {"winograd_avx512", winograd_avx512},
               {"winograd_avx2", winograd_avx2},
               {"winograd_sse", winograd_sse},
               {"images", images}};
  Suite *s = suite_create("conv");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) { /* CK_RUN_CASE picks one */
    TCase *t = tcase_create(cases[i].name);
    tcase_set_timeout(t, 300);
    tcase_add_test(t, cases[i].test);
    suite_add_tcase(s, t);
  }
  return run_suite(s);
}
