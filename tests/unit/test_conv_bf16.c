/* Convolutions of tensors stored as bf16: the same bits as the f32 kernels give on the widened operands,
   rounded when stored; direct and Winograd, on every target this machine runs. */
#include "tests/unit/contraction.h"
#include "tests/unit/support.h"

#include <check.h>
#include <math.h>

static uint64_t state = 88172645463325252u;
static float random_value(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (float)(state >> 40) / (1 << 23) - 1;
}

typedef struct {
  ContractionCode code;
  float *tmp[2], *scratch;
} Run;

static void *filled(int64_t floats) { /* with NaN: nothing may depend on what memory holds */
  float *p = aligned_alloc(64, (size_t)(floats + 16) / 16 * 64);
  for (int64_t i = 0; i < floats; i++) p[i] = NAN;
  return p;
}

static void run(const ConvSpec *s, const Target *t, void *x, void *w, void *y) {
  ContractionCode c = conv_compile(s, t);
  void *tmp[2] = {filled(c.plan.tmp_bytes[0] / 4), filled(c.plan.tmp_bytes[1] / 4)},
       *scratch = filled(c.scratch / 4 + 16);
  void *operand[5] = {[CO_X] = x, [CO_W] = w, [CO_Y] = y, [CO_TMP0] = tmp[0], [CO_TMP1] = tmp[1]};
  for (int i = 0; i < c.plan.nstep; i++) contraction_run_step(&c, i, operand, scratch, false);
  free(tmp[0]), free(tmp[1]), free(scratch);
  contraction_free(&c);
}

static void check_case(ConvSpec s, const Target *t, int mix) {
  s.oh = (s.h + 2 * s.pad[0] - (s.kh - 1) * s.dilation[0] - 1) / s.stride[0] + 1;
  s.ow = (s.w + 2 * s.pad[1] - (s.kw - 1) * s.dilation[1] - 1) / s.stride[1] + 1;
  int64_t n[3] = {s.n * s.c * s.h * s.w, s.k * (s.c / s.groups) * s.kh * s.kw, s.n * s.k * s.oh * s.ow};
  int result = s.kind == CONV_FWD ? CO_Y : s.kind == CONV_DX ? CO_X : CO_W;
  bool small[3] = {mix & 1, mix & 2, mix & 4};
  if (result == CO_W) small[CO_W] = false;
  float *wide[3];
  uint16_t *half[3];
  for (int i = 0; i < 3; i++) {
    wide[i] = filled(n[i]), half[i] = filled(n[i]);
    for (int64_t k = 0; k < n[i] && i != result; k++) {
      wide[i][k] = random_value();
      half[i][k] = bf16_bits(wide[i][k]);
      if (small[i]) wide[i][k] = bf16_value(half[i][k]);
    }
  }
  run(&s, t, wide[CO_X], wide[CO_W], wide[CO_Y]);
  float *want = wide[result], *got = filled(n[result]);
  s.xbf16 = small[CO_X], s.wbf16 = small[CO_W], s.ybf16 = small[CO_Y];
  void *p[3];
  for (int i = 0; i < 3; i++) p[i] = small[i] ? (void *)half[i] : i == result ? got : wide[i];
  run(&s, t, p[CO_X], p[CO_W], p[CO_Y]);
  for (int64_t k = 0; k < n[result]; k++) {
    bool same =
        small[result] ? half[result][k] == bf16_bits(want[k]) : !memcmp(&got[k], &want[k], sizeof got[k]);
    ck_assert_msg(same, "%s kind %d mix %d c %d h %d k %d: element %d is %g, not %g", t->cpu, (int)s.kind,
                  mix, (int)s.c, (int)s.h, (int)s.k, (int)k,
                  (double)(small[result] ? bf16_value(half[result][k]) : got[k]), (double)want[k]);
  }
  free(got);
  for (int i = 0; i < 3; i++) free(wide[i]), free(half[i]);
}

typedef struct {
  int n, c, h, w, k, kh, kw, s, p, groups, dilation;
} Case;

static void check_algo(ConvAlgo algo) {
  static const Case cases[] = {{3, 32, 7, 7, 48, 3, 3, 1, 1, 0, 0},  {2, 16, 9, 9, 32, 3, 3, 2, 1, 0, 0},
                               {2, 96, 8, 8, 112, 3, 3, 1, 1, 0, 0}, {3, 96, 17, 14, 112, 3, 3, 2, 1, 0, 0},
                               {2, 3, 12, 10, 32, 3, 3, 1, 1, 0, 0}, {2, 32, 8, 8, 16, 1, 1, 2, 0, 0, 0},
                               {2, 7, 6, 9, 17, 5, 3, 1, 1, 0, 0},   {1, 16, 3, 20, 16, 1, 7, 1, 3, 0, 0},
                               {2, 32, 7, 9, 32, 3, 3, 1, 1, 32, 0}, {2, 48, 9, 9, 48, 5, 5, 2, 2, 48, 0},
                               {2, 32, 7, 9, 32, 3, 3, 1, 1, 8, 0},  {1, 64, 8, 7, 32, 3, 3, 2, 1, 2, 0},
                               {1, 6, 8, 7, 12, 3, 3, 1, 1, 6, 0},   {1, 16, 9, 9, 16, 3, 3, 1, 2, 1, 2}};
  static const char *const cpus[] = {"x86-64", "haswell", "host"};
  Target host = target_host();
  for (size_t c = 0; c < sizeof cpus / sizeof *cpus; c++) {
    Target t;
    ck_assert(target_named(cpus[c], &t));
    if (t.vector_bytes > host.vector_bytes) continue;
    int L = target_lanes(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      for (int kind = CONV_FWD; kind <= CONV_DW; kind++)
        for (int layout = 0; layout < 4; layout++)
          for (int mix = 2; mix < 8; mix++) {
            Case z = cases[i];
            ConvSpec s = {.kind = (ConvKind)kind,
                          .algo = algo,
                          .n = z.n,
                          .c = z.c,
                          .h = z.h,
                          .w = z.w,
                          .k = z.k,
                          .kh = z.kh,
                          .kw = z.kw,
                          .stride = {z.s, z.s},
                          .pad = {z.p, z.p},
                          .dilation = {z.dilation ? z.dilation : 1, z.dilation ? z.dilation : 1},
                          .groups = z.groups ? z.groups : 1,
                          .xblock = layout & 1 ? L : 0,
                          .yblock = layout & 2 ? L : 0};
            if ((s.xblock && z.c % L) || (s.yblock && z.k % L)) continue;
            bool wino = z.kh == 3 && z.kw == 3 && layout == 3 && !z.groups;
            if (algo == CONV_WINOGRAD && !wino) continue;
            /* activations in every layout; weights too, or alone, only where it makes other code */
            if (mix == 5 ? layout != 3 && L == 4 : (mix != 2 && mix != 7) || layout != 3 || L != 16) continue;
            check_case(s, &t, mix);
          }
  }
}

/* ---- on tiles: the interpreter's bits ---- */
/* narrow: the result is stored as bf16 (a weight gradient never is). */
static void check_tiles(ConvSpec s, const Target *t, bool narrow) {
  s.oh = (s.h + 2 * s.pad[0] - s.kh) / s.stride[0] + 1;
  s.ow = (s.w + 2 * s.pad[1] - s.kw) / s.stride[1] + 1;
  bool dw = s.kind == CONV_DW;
  s.xbf16 = s.kind != CONV_DX || narrow, s.ybf16 = s.kind != CONV_FWD || narrow, s.wbf16 = !dw;
  ck_assert(!conv_not_on_tiles(&s, t));
  int64_t n[3] = {s.n * s.c * s.h * s.w, s.k * s.c * s.kh * s.kw, s.n * s.k * s.oh * s.ow};
  int result = dw ? CO_W : s.kind == CONV_DX ? CO_X : CO_Y;
  uint16_t *p[3];
  double *wide[3], *want = calloc((size_t)n[result], sizeof *want);
  for (int i = 0; i < 3; i++) {
    p[i] = filled(n[i]), wide[i] = calloc((size_t)n[i], sizeof *wide[i]);
    for (int64_t k = 0; k < n[i] && i != result; k++)
      wide[i][k] = (double)bf16_value(p[i][k] = bf16_bits(random_value()));
  }
  if (dw && s.c <= 4) { /* an infinity in the last column, which not every tap meets */
    int64_t at = (s.h / 2 + 1) * s.w - 1;
    wide[CO_X][at] = (double)bf16_value(p[CO_X][at] = 0x7f80);
  }
  run(&s, t, p[CO_X], p[CO_W], p[CO_Y]);
  conv_tiles_interp(&s, t, wide[CO_X], wide[CO_W], wide[CO_Y], want);
  for (int64_t k = 0; k < n[result]; k++) {
    double got = narrow ? (double)bf16_value(p[result][k]) : (double)((float *)(void *)p[result])[k];
    double exact = narrow ? bf16_round(want[k]) : want[k];
    ck_assert_msg(got == exact || (isnan(got) && isnan(exact)),
                  "%s kind %d n %d c %d h %d k %d stride %d images %d: element %lld is %g, not %g", t->cpu,
                  (int)s.kind, (int)s.n, (int)s.c, (int)s.h, (int)s.k, (int)s.stride[0], (int)s.images,
                  (long long)k, got, want[k]);
  }
  for (int i = 0; i < 3; i++) free(p[i]), free(wide[i]);
  free(want);
}

START_TEST(tiles) {
  static const Case cases[] = {{3, 32, 7, 7, 48, 3, 3, 1, 1, 0, 0},   {2, 16, 9, 9, 32, 3, 3, 2, 1, 0, 0},
                               {5, 64, 4, 4, 64, 3, 3, 1, 1, 0, 0},   {1, 48, 20, 33, 16, 3, 3, 1, 1, 0, 0},
                               {2, 32, 8, 8, 16, 1, 1, 2, 0, 0, 0},   {4, 80, 8, 8, 112, 3, 3, 2, 1, 0, 0},
                               {2, 32, 6, 9, 32, 5, 3, 1, 1, 0, 0},   {18, 16, 2, 2, 16, 3, 3, 1, 1, 0, 0},
                               {1, 16, 15, 18, 32, 7, 7, 2, 3, 0, 0}, {17, 32, 1, 1, 32, 1, 1, 1, 0, 0, 0},
                               {2, 3, 37, 41, 32, 7, 7, 2, 3, 0, 0},  {3, 3, 33, 32, 48, 3, 3, 1, 1, 0, 0},
                               {1, 1, 28, 28, 16, 5, 5, 1, 2, 0, 0},  {5, 2, 9, 7, 32, 3, 3, 2, 1, 0, 0},
                               {2, 4, 16, 70, 16, 1, 3, 1, 0, 0, 0},  {1, 3, 5, 5, 16, 5, 5, 1, 0, 0, 0}};
  static const char *const cpus[] = {"host", "x86-64-v3+tiles", "x86-64-v4+tiles", "x86-64-v3+pairs", "host"};
  Target host = target_host(), t;
  ck_assert(target_named(cpus[_i], &t));
  if (_i == 4) t.tiles = t.bf16 ? TILES_PAIRS : TILES_NONE;
  if (t.vector_bytes > host.vector_bytes || t.tiles == TILES_NONE) return;
  int L = target_lanes(&t);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int kind = CONV_FWD; kind <= CONV_DW; kind++) {
      Case z = cases[i];
      if (_i && (i + (size_t)(kind + _i)) % 2) continue;
      bool few = z.c <= 4;
      if (few && kind == CONV_DX) continue;
      ConvSpec s = {.kind = (ConvKind)kind,
                    .algo = CONV_TILES,
                    .n = z.n,
                    .c = z.c,
                    .h = z.h,
                    .w = z.w,
                    .k = z.k,
                    .kh = z.kh,
                    .kw = z.kw,
                    .stride = {z.s, z.s},
                    .pad = {z.p, z.p},
                    .dilation = {1, 1},
                    .groups = 1,
                    .xblock = few ? 0 : L,
                    .yblock = L};
      check_tiles(s, &t, kind != CONV_DW);
      if (!_i && kind != CONV_DW) check_tiles(s, &t, false);
      s.images = z.n % 2 ? 1 : 2;
      if (!_i && z.n > 1 && kind != CONV_DW) check_tiles(s, &t, true);
    }
}
END_TEST

START_TEST(direct) { check_algo(CONV_DIRECT); }
END_TEST
START_TEST(winograd) { check_algo(CONV_WINOGRAD); }
END_TEST

int main(void) {
  Suite *s = suite_create("conv_bf16");
  TCase *c = tcase_create("conv_bf16");
  tcase_set_timeout(c, 600);
  tcase_add_test(c, direct);
  tcase_add_test(c, winograd);
  TCase *on = tcase_create("tiles");
  tcase_set_timeout(on, 600);
  tcase_add_loop_test(on, tiles, 0, 5);
  suite_add_tcase(s, on);
  suite_add_tcase(s, c);
  return run_suite(s);
}
