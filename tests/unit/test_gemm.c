/* Matrix product kernels against plain f64 loops: every vector width, all operand orders, odd extents,
   batches, both element types. Operands end at unmapped pages, what a step must write starts as NaN and what
   it must not touch is looked at, so stray and missing accesses show. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include "ir/kernel/tiles.h"
#include "tests/unit/contraction.h"

#include <check.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
  char *p;
  void *map;
  size_t len;
  int64_t n;
  DType dt;
} Buffer;

static void put(Buffer *b, int64_t i, double x) {
  if (b->dt == DT_BF16) ((uint16_t *)(void *)b->p)[i] = bf16_bits((float)x);
  else if (b->dt == DT_F32) ((float *)(void *)b->p)[i] = (float)x;
  else ((double *)(void *)b->p)[i] = x;
}

static double get(const Buffer *b, int64_t i) {
  if (b->dt == DT_BF16) return (double)bf16_value(((const uint16_t *)(const void *)b->p)[i]);
  return b->dt == DT_F32 ? (double)((const float *)(const void *)b->p)[i]
                         : ((const double *)(const void *)b->p)[i];
}

/* n elements, NaN, ending where an unmapped page starts. */
static Buffer buffer_new(DType dt, int64_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)(n ? n : 16) * (size_t)dtype_size(dt),
         len = (bytes + page - 1) / page * page + page;
  char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert(map != MAP_FAILED);
  ck_assert(mprotect(map + len - page, page, PROT_NONE) == 0);
  Buffer b = {map + len - page - bytes, map, len, n, dt};
  for (int64_t i = 0; i < n; i++) put(&b, i, NAN);
  return b;
}

static void buffer_free(Buffer *b) { munmap(b->map, b->len); }

static uint32_t seed = 1;
static double random_value(void) {
  seed = seed * 1664525u + 1013904223u;
  return (double)(float)((double)((seed >> 8) & 0xffff) / 32768.0 - 1.0);
}

static int64_t reach(const GemmSpec *s, const int64_t *batch, int64_t rows, int64_t row, int64_t cols,
                     int64_t col) {
  int64_t last = (rows - 1) * row + (cols - 1) * col;
  for (int i = 0; i < s->nbatch; i++) last += (s->batch[i] - 1) * batch[i];
  return last + 1;
}

static void offsets(const GemmSpec *s, int64_t item, int64_t out[3]) {
  out[0] = out[1] = out[2] = 0;
  for (int i = s->nbatch - 1; i >= 0; i--) {
    int64_t at = item % s->batch[i];
    item /= s->batch[i];
    out[0] += at * s->a_batch[i], out[1] += at * s->b_batch[i], out[2] += at * s->c_batch[i];
  }
}

/* Relative rms error of C; NaN when anything was left unwritten. c receives C. */
static double run(const GemmSpec *s, const Target *t, Buffer *c) {
  ContractionCode code = gemm_compile(s, t);
  int64_t items = 1, na = reach(s, s->a_batch, s->m, s->a_m, s->k, s->a_k),
          nb = reach(s, s->b_batch, s->k, s->b_k, s->n, s->b_n);
  for (int i = 0; i < s->nbatch; i++) items *= s->batch[i];
  Buffer a = buffer_new(gemm_dtype(s, CO_A), na), b = buffer_new(gemm_dtype(s, CO_B), nb),
         tmp = buffer_new(code.plan.nstep > 1 ? code.plan.tmp : s->dt,
                          code.plan.nstep > 1 ? code.plan.tmp_bytes[0] / dtype_size(code.plan.tmp) : 0),
         scratch = buffer_new(s->dt, (code.scratch + 63) / 64 * 64 / dtype_size(s->dt));
  *c = buffer_new(gemm_dtype(s, CO_C), reach(s, s->c_batch, s->m, s->c_m, s->n, 1));
  seed = 1;
  for (int64_t i = 0; i < na; i++) put(&a, i, random_value());
  for (int64_t i = 0; i < nb; i++) put(&b, i, random_value());
  void *operand[] = {[CO_A] = a.p, [CO_B] = b.p, [CO_C] = c->p, [CO_TMP0] = tmp.p};
  size_t bytes = (size_t)(c->n * dtype_size(c->dt));
  char *first = malloc(bytes);
  for (int backwards = 0; backwards < 2; backwards++) {
    for (int i = 0; i < code.plan.nstep; i++) {
      for (int64_t k = 0; k < scratch.n; k++) put(&scratch, k, NAN);
      contraction_run_step(&code, i, operand, scratch.p, backwards);
    }
    if (backwards) ck_assert_msg(!memcmp(first, c->p, bytes), "chunk order changes bits");
    else memcpy(first, c->p, bytes);
  }
  free(first);
  double err = 0, sum = 0;
  GemmGeom g;
  gemm_geom(s, t, &g);
  float *row = malloc((size_t)s->k * 2 * sizeof *row), *col = row + s->k;
  char *written = calloc((size_t)c->n, 1);
  for (int64_t item = 0; item < items; item++) {
    int64_t off[3];
    offsets(s, item, off);
    for (int64_t i = 0; i < s->m; i++)
      for (int64_t j = 0; j < s->n; j++) {
        double want = 0;
        for (int64_t k = 0; k < s->k; k++)
          want += get(&a, off[0] + i * s->a_m + k * s->a_k) * get(&b, off[1] + k * s->b_k + j * s->b_n);
        int64_t at = off[2] + i * s->c_m + j;
        if (g.kind == GEMM_TILES) {
          for (int64_t k = 0; k < s->k; k++) {
            row[k] = (float)get(&a, off[0] + i * s->a_m + k * s->a_k);
            col[k] = (float)get(&b, off[1] + k * s->b_k + j * s->b_n);
          }
          double exact = (double)tiles_sum(t->tiles, row, col, s->k);
          if (s->c16) exact = bf16_round(exact);
          ck_assert_msg(get(c, at) == exact, "%s %lldx%lldx%lld: sum (%lld, %lld) is %.9g, not %.9g", t->cpu,
                        (long long)s->m, (long long)s->n, (long long)s->k, (long long)i, (long long)j,
                        get(c, at), exact);
        }
        double d = get(c, at) - want;
        written[at] = 1;
        err += d * d, sum += want * want;
      }
  }
  for (int64_t i = 0; i < c->n; i++)
    if (!written[i]) ck_assert_msg(isnan(get(c, i)), "element %lld between rows was written", (long long)i);
  free(written);
  free(row);
  buffer_free(&a), buffer_free(&b), buffer_free(&tmp), buffer_free(&scratch);
  contraction_free(&code);
  return sum > 0 ? sqrt(err / sum) : sqrt(err);
}

typedef struct {
  int64_t m, n, k;
} Shape3;

static const Shape3 shapes[] = {
    {1, 1, 1},    {1, 17, 7},    {7, 1, 17},   {17, 7, 1},     {3, 3, 3},      {4, 40, 4},    {4, 4, 40},
    {40, 4, 4},   {14, 32, 16},  {15, 33, 17}, {31, 37, 41},   {64, 9, 100},   {9, 64, 19},   {29, 100, 300},
    {61, 23, 67}, {128, 48, 64}, {97, 89, 83}, {200, 160, 96}, {33, 129, 512}, {3, 130, 257}, {5, 600, 40},
};

/* Order bits: 1 A transposed, 2 B transposed, 4 rows farther apart than needed, 8 rows a page apart. */
static GemmSpec spec_of(Shape3 z, int order, DType dt) {
  int64_t pad = order & 4 ? 3 : 0;
  GemmSpec s = {.dt = dt, .m = z.m, .n = z.n, .k = z.k, .c_n = 1, .c_m = z.n + pad};
  int64_t a = order & 1 ? z.m : z.k, b = order & 2 ? z.k : z.n;
  if (order & 8) a = (a + 1023) / 1024 * 1024, b = (b + 1023) / 1024 * 1024;
  s.a_m = order & 1 ? 1 : a + pad, s.a_k = order & 1 ? a + pad : 1;
  s.b_k = order & 2 ? 1 : b + pad, s.b_n = order & 2 ? b + pad : 1;
  return s;
}

static bool target_of(const char *cpu, Target *t) {
  Target host = target_host();
  ck_assert(target_named(cpu, t));
  return t->vector_bytes <= host.vector_bytes;
}

static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
enum { CPUS = 3, ORDERS = 16, SHAPES = sizeof shapes / sizeof *shapes };

static double bound(DType dt) { return dt == DT_F32 ? 3e-6 : 1e-14; }

START_TEST(every_order) {
  Target t;
  if (!target_of(cpus[_i], &t)) return;
  for (int i = 0; i < SHAPES; i++)
    for (int order = 0; order < ORDERS; order++)
      for (int dt = 0; dt < 2; dt++) {
        if ((dt || order >= 4) && (i + order) % 5) continue; /* compiling takes the time */
        GemmSpec s = spec_of(shapes[i], order, dt ? DT_F64 : DT_F32);
        Buffer c;
        double e = run(&s, &t, &c);
        buffer_free(&c);
        ck_assert_msg(e < bound(s.dt), "%s %s shape %d order %d: error %g", cpus[_i], dtype_name(s.dt), i,
                      order, e);
      }
}
END_TEST

/* Any of A, B, C stored as bf16: what is read is exact, what is stored is rounded once. */
START_TEST(stored_as_bf16) {
  Target t;
  if (!target_of(cpus[_i], &t)) return;
  for (int i = 0; i < SHAPES; i++)
    for (int order = 0; order < ORDERS; order++) {
      if (order >= 4 && (i + order) % 5) continue;
      GemmSpec s = spec_of(shapes[i], order, DT_F32);
      int which = 1 + (i + order) % 7;
      s.a16 = which & 1, s.b16 = which & 2, s.c16 = which & 4;
      Buffer c, wide;
      double e = run(&s, &t, &c);
      ck_assert_msg(e < (s.c16 ? 2.5e-3 : bound(s.dt)), "%s bf16 %d shape %d order %d: error %g", cpus[_i],
                    which, i, order, e);
      if (s.c16 && !s.a16 && !s.b16) { /* the sums are those of the f32 product */
        s.c16 = false;
        run(&s, &t, &wide);
        for (int64_t k = 0; k < c.n; k++)
          ck_assert(isnan(get(&wide, k)) || get(&c, k) == bf16_round(get(&wide, k)));
        buffer_free(&wide);
      }
      buffer_free(&c);
    }
}
END_TEST

/* Every other schedule: the same steps and temporaries, the same bits. */
START_TEST(choices) {
  Target t;
  int other = 0;
  if (!target_of(cpus[_i], &t)) return;
  for (int i = 0; i < SHAPES; i++) {
    GemmSpec s = spec_of(shapes[i], (i + _i) % 4, DT_F32);
    ContractionPlan plain = gemm_plan(&s, &t);
    int64_t choice[CHOICES];
    int n = contraction_choices(&s, &t, gemm_decide, choice);
    ck_assert(n >= 1 && choice[0] == 0);
    Buffer want, got;
    run(&s, &t, &want);
    for (int c = 1; c < n; c++, other++) {
      s.choice = choice[c];
      ContractionPlan p = gemm_plan(&s, &t);
      ck_assert(p.nstep == plain.nstep && p.tmp_bytes[0] == plain.tmp_bytes[0]);
      if (p.nstep > 1) ck_assert_int_eq(p.step[0].nchunk, plain.step[0].nchunk);
      run(&s, &t, &got);
      ck_assert_msg(!memcmp(want.p, got.p, (size_t)want.n * 4), "shape %d: choice %lld changes bits", i,
                    (long long)s.choice);
      buffer_free(&got);
    }
    buffer_free(&want);
  }
  ck_assert(other > SHAPES);
}
END_TEST

/* Two batch axes, B shared along one, for products of all sizes and orders. */
START_TEST(batches) {
  Target t;
  if (!target_of(cpus[_i], &t)) return;
  static const Shape3 small[] = {{4, 4, 40}, {4, 40, 4},   {40, 4, 4}, {3, 17, 5},
                                 {1, 1, 33}, {70, 65, 30}, {9, 2, 64}};
  for (int i = 0; i < 7; i++)
    for (int order = 0; order < 4; order++)
      for (int64_t shared = 0; shared < 2; shared++) {
        GemmSpec s = spec_of(small[i], order, DT_F32);
        s.nbatch = 2, s.batch[0] = shared ? 2 : 13, s.batch[1] = 3;
        s.a_batch[1] = s.m * s.k, s.a_batch[0] = 3 * s.m * s.k;
        s.b_batch[1] = s.k * s.n, s.b_batch[0] = shared ? 0 : 3 * s.k * s.n;
        s.c_batch[1] = s.m * s.n, s.c_batch[0] = 3 * s.m * s.n;
        Buffer c;
        double e = run(&s, &t, &c);
        buffer_free(&c);
        ck_assert_msg(e < bound(s.dt), "%s shape %d order %d: error %g", cpus[_i], i, order, e);
      }
}
END_TEST

/* Sums over k longer than a block. */
START_TEST(long_sums) {
  Target t;
  if (!target_of(cpus[_i], &t)) return;
  static const Shape3 deep[] = {{37, 70, 1500}, {16, 33, 2051}, {129, 64, 1023}};
  for (int i = 0; i < 3; i++)
    for (int order = 0; order < ORDERS; order += 3) {
      GemmSpec s = spec_of(deep[i], order, i % 2 ? DT_F64 : DT_F32);
      Buffer c;
      double e = run(&s, &t, &c);
      buffer_free(&c);
      ck_assert_msg(e < bound(s.dt) * 3, "%s shape %d order %d: error %g", cpus[_i], i, order, e);
    }
}
END_TEST

/* Products of bf16 on tiles, the processor's where it has them and emulated on other vectors: the sums of tiles_sum()
   bit for bit, whatever the order, the tails and the blocks of k; and of batches. */
static const Shape3 tiled[] = {
    {8, 8, 256},   {16, 16, 64},   {17, 40, 64},   {32, 32, 32},   {33, 33, 33},    {64, 64, 96},
    {100, 70, 50}, {31, 129, 300}, {1000, 48, 40}, {197, 64, 197}, {40, 40, 16384}, {300, 9, 64},
    {1, 70, 40},   {4, 33, 64},    {40, 1, 33},    {5, 7, 32},
};

enum { TILED = 5 };

static bool tiled_target(int i, Target *t) {
  static const char *const names[] = {"host", "x86-64-v3+tiles", "x86-64-v4+tiles", "x86-64-v3+pairs",
                                      "host"};
  if (!target_of(names[i], t)) return false;
  if (i == TILED - 1) t->tiles = t->bf16 ? TILES_PAIRS : TILES_NONE;
  return t->tiles != TILES_NONE;
}

START_TEST(on_tiles) {
  Target t;
  if (!tiled_target(_i, &t)) return;
  int tiles = 0;
  for (size_t i = 0; i < sizeof tiled / sizeof *tiled; i++)
    for (int order = 0; order < 8; order++) {
      bool deep = tiled[i].k > 10000;
      if ((order >= 4 || _i || deep) && (i + (size_t)order) % 4) continue;
      GemmSpec s = spec_of(tiled[i], order, DT_F32);
      s.a16 = s.b16 = true, s.c16 = (i + (size_t)order) % 3 == 0;
      if (deep && _i) s.k = 8300;
      GemmGeom g;
      gemm_geom(&s, &t, &g);
      tiles += g.kind == GEMM_TILES;
      Buffer c;
      run(&s, &t, &c);
      buffer_free(&c);
    }
  ck_assert_int_gt(tiles, 20);
}
END_TEST

/* Operands of which neither rows nor columns are runs: parts of wider tensors. */
START_TEST(gaps) {
  Target t;
  if (!tiled_target(_i, &t)) return;
  static const Shape3 shape[] = {{23, 23, 1}, {40, 33, 64}, {1, 40, 64}, {40, 1, 64}};
  for (int i = 0; i < 4; i++)
    for (int order = 0; order < 4; order++) {
      GemmSpec s = spec_of(shape[i], order, DT_F32);
      s.a16 = s.b16 = true, s.c16 = order & 1;
      s.a_m *= 3, s.a_k *= 3, s.b_k *= 3, s.b_n *= 3;
      if (s.k == 1) s.a_k = s.b_k = 0;
      Buffer c;
      double e = run(&s, &t, &c);
      ck_assert_msg(e < 4e-3, "%s shape %d order %d: error %g", t.cpu, i, order, e);
      buffer_free(&c);
    }
}
END_TEST

START_TEST(batches_on_tiles) {
  Target t;
  if (!tiled_target(_i, &t)) return;
  static const Shape3 small[] = {{16, 16, 64}, {50, 34, 40}, {197, 64, 36},
                                 {4, 4, 40},   {4, 40, 4},   {40, 4, 4}};
  for (int i = 0; i < 6; i++)
    for (int order = 0; order < 4; order++) {
      if (_i && (i + order) % 3) continue;
      GemmSpec s = spec_of(small[i], order, DT_F32);
      s.a16 = s.b16 = true, s.c16 = order & 1;
      s.nbatch = 2, s.batch[0] = i == 2 ? 2 : 13, s.batch[1] = 3;
      s.a_batch[1] = s.m * s.k, s.a_batch[0] = 3 * s.m * s.k;
      s.b_batch[1] = s.k * s.n, s.b_batch[0] = order & 2 ? 0 : 3 * s.k * s.n;
      s.c_batch[1] = s.m * s.n, s.c_batch[0] = 3 * s.m * s.n;
      Buffer c;
      run(&s, &t, &c);
      buffer_free(&c);
    }
}
END_TEST

int main(void) {
  Suite *s = suite_create("gemm");
  TCase *t = tcase_create("gemm");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, every_order, 0, CPUS);
  tcase_add_loop_test(t, stored_as_bf16, 0, CPUS);
  tcase_add_loop_test(t, choices, 0, CPUS);
  tcase_add_loop_test(t, batches, 0, CPUS);
  tcase_add_loop_test(t, long_sums, 0, CPUS);
  TCase *on = tcase_create("tiles");
  tcase_set_timeout(on, 300);
  tcase_add_loop_test(on, on_tiles, 0, TILED);
  tcase_add_loop_test(on, batches_on_tiles, 0, TILED);
  tcase_add_loop_test(on, gaps, 0, TILED);
  suite_add_tcase(s, on);
  suite_add_tcase(s, t);
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
