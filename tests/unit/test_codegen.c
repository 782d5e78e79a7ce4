/* The loop emitter and the JIT against the kernel interpreter: hand-built kernels for each feature, random
   kernels. `test_codegen bench` measures instead. */
#include "codegen/jit/jit.h"
#include "tests/unit/kernel_build.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const CodegenOptions plain = {.threads = 1};

static void agree(KB *b, double tol, const char *what) {
  char err[256];
  CodegenOptions o = plain;
  if (!kb_agree(b, &o, tol, err, sizeof err)) {
    StrBuf s = {0};
    program_print(kb_program(b), &s);
    ck_abort_msg("%s on %s: %s\n%s", what, b->program->target.cpu, err, s.s);
  }
  kb_free(b);
}

static const int64_t sizes[] = {1, 2, 3, 7, 8, 16, 17, 33, 64, 100, 257};
enum { NSIZES = sizeof sizes / sizeof *sizes };
static const Affine zero;

/* ---- elementwise ---- */
START_TEST(test_elementwise_sizes) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t n = sizes[s];
      KB *b = kb_new(&t[i], 2, 2, (int64_t[]){3, n}, 1, 0);
      int x = kb_buf(b, DT_F32, 3 * n, false), bias = kb_buf(b, DT_F32, n, false),
          row = kb_buf(b, DT_F32, 3, false);
      int y = kb_buf(b, DT_F32, 3 * n, true);
      int v = kb_map(b, OP_add, kb_load(b, x, aff(0, n, 1, 0, 0)), kb_load(b, bias, aff(0, 0, 1, 0, 0)), 0);
      v = kb_map(b, OP_mul, v, kb_load(b, row, aff(0, 1, 0, 0, 0)), 0);
      v = kb_map(b, OP_relu, v, 0, 0);
      kb_store(b, y, aff(0, n, 1, 0, 0), v, 0);
      agree(b, 1e-5, "elementwise");
    }
}
END_TEST

START_TEST(test_chunks_cover) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int chunks = 1; chunks <= 9; chunks += 2)
      for (int s = 0; s < NSIZES; s++) {
        int64_t n = sizes[s] * 7;
        KB *b = kb_new(&t[i], 1, 1, (int64_t[]){n}, 0, 0); /* cut along the vector dim */
        int x = kb_buf(b, DT_F32, n, false), y = kb_buf(b, DT_F32, n, true);
        b->l.nchunk = chunks;
        kb_store(b, y, aff(0, 1, 0, 0, 0), kb_map(b, OP_neg, kb_load(b, x, aff(0, 1, 0, 0, 0)), 0, 0), 0);
        agree(b, 0, "chunks along the vector dim");
        b = kb_new(&t[i], 3, 3, (int64_t[]){5, 3, n}, 2, 0);
        x = kb_buf(b, DT_F32, 15 * n, false);
        y = kb_buf(b, DT_F32, 15 * n, true);
        b->l.nchunk = chunks;
        kb_store(b, y, aff(0, 3 * n, n, 1, 0), kb_map(b, OP_neg, kb_load(b, x, aff(0, n, 5 * n, 1, 0)), 0, 0),
                 0);
        agree(b, 0, "chunks over outer dims");
      }
}
END_TEST

START_TEST(test_strides_and_transpose) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t n = sizes[s];
      KB *b = kb_new(&t[i], 2, 2, (int64_t[]){4, n}, 1, 0);
      int x = kb_buf(b, DT_F32, 4 * n, false), z = kb_buf(b, DT_F32, 3 * n, false),
          y = kb_buf(b, DT_F32, 4 * n, true);
      int w = kb_buf(b, DT_F32, 4 * n, true);
      int v = kb_load(b, x, aff(0, 1, 4, 0, 0));                               /* transposed */
      v = kb_map(b, OP_add, v, kb_load(b, z, aff(2 * n - 2, 0, -2, 0, 0)), 0); /* reversed, every second */
      kb_store(b, y, aff(0, n, 1, 0, 0), v, 0);
      kb_store(b, w, aff(0, 1, 4, 0, 0), v, 0);
      agree(b, 1e-6, "strides");
    }
}
END_TEST

/* Zero padding of rows and columns, then dilation: guards with and without the vector dim. */
START_TEST(test_guards) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t h = 3, w = sizes[s], ow = w + 4;
      KB *b = kb_new(&t[i], 2, 2, (int64_t[]){h + 2, ow}, 1, 0);
      int x = kb_buf(b, DT_F32, h * w, false), c = kb_buf(b, DT_F32, h, false);
      int y = kb_buf(b, DT_F32, (h + 2) * ow, true), g = kb_buf(b, DT_BOOL, (h + 2) * ow, true);
      int z = kb_buf(b, DT_F32, (h + 2) * ow, true);
      int v = kb_load(b, x, aff(-w - 1, w, 1, 0, 0));
      kb_guard(b, kb_access(b, v), aff(-1, 1, 0, 0, 0), 0, h, 0);
      kb_guard(b, kb_access(b, v), aff(-1, 0, 1, 0, 0), 0, w, 0);
      kb_access(b, v)->fill = -3;
      kb_store(b, y, aff(0, ow, 1, 0, 0), v, 0);
      kb_store(b, g, aff(0, ow, 1, 0, 0), kb_isguard(b, aff(0, 1, 1, 0, 0), 2, w), 0);
      int u = kb_load(b, c, aff(-1, 1, 0, 0, 0)); /* constant along the vector dim, guarded by it and not */
      kb_guard(b, kb_access(b, u), aff(-1, 1, 0, 0, 0), 0, h, 0);
      kb_guard(b, kb_access(b, u), aff(0, 0, 1, 0, 0), 2, 5, 0);
      kb_store(b, z, aff(0, ow, 1, 0, 0), u, 0);
      agree(b, 0, "padding");

      b = kb_new(&t[i], 1, 1, (int64_t[]){3 * w}, 0, 0); /* dilation by 3 */
      x = kb_buf(b, DT_F32, w, false);
      y = kb_buf(b, DT_F32, 3 * w, true);
      v = kb_load(b, x, zero);
      kb_quot(b, kb_access(b, v), aff(-1, 1, 0, 0, 0), 3, 1);
      kb_guard(b, kb_access(b, v), aff(-1, 1, 0, 0, 0), 0, 3 * w, 3);
      kb_store(b, y, aff(0, 1, 0, 0, 0), v, 0);
      agree(b, 0, "dilation");
    }
}
END_TEST

START_TEST(test_quotients_and_gather) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t n = sizes[s];
      KB *b = kb_new(&t[i], 2, 2, (int64_t[]){6, n}, 1, 0);
      int x = kb_buf(b, DT_F32, 200 + n, false), idx = kb_buf(b, DT_I64, n, false);
      int rows = kb_buf(b, DT_I32, 6, false), y = kb_buf(b, DT_F32, 6 * n, true);
      int q = kb_load(b, x, aff(0, 1, 1, 0, 0));
      kb_quot(b, kb_access(b, q), aff(0, 1, 0, 0, 0), 4, 100);
      kb_quot(b, kb_access(b, q), aff(3, 2, 1, 0, 0), 5, -1);
      int at = kb_load(b, idx, aff(0, 0, 1, 0, 0)), g = kb_load(b, x, aff(1, 0, 0, 0, 0));
      kb_access(b, g)->dyn = at;
      kb_access(b, g)->dyn_stride = 3;
      kb_access(b, g)->dyn_extent = 8;
      int ra = kb_load(b, rows, aff(0, 1, 0, 0, 0)), h = kb_load(b, x, aff(0, 0, 1, 0, 0));
      kb_access(b, h)->dyn = ra;
      kb_access(b, h)->dyn_stride = 5;
      kb_access(b, h)->dyn_extent = 9;
      kb_store(b, y, aff(0, n, 1, 0, 0), kb_map(b, OP_add, kb_map(b, OP_add, q, g, 0), h, 0), 0);
      /* the quotient pulls the address down by at most (3 + 10 + n) / 5 <= row + lane */
      kb_access(b, q)->off.c = 4 + n / 5;
      agree(b, 1e-5, "quotients and gathers");
    }
}
END_TEST

static double *ramp(KB *b, int64_t n, double from, double step) {
  double *v = NEWN(b->arena, double, n);
  for (int64_t i = 0; i < n; i++) v[i] = from + step * (double)i;
  return v;
}

START_TEST(test_types) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t n = sizes[s];
      Affine e = aff(0, 1, 0, 0, 0);
      KB *b = kb_new(&t[i], 1, 1, &n, 0, 0);
      int f = kb_load(b, kb_buf(b, DT_F32, n, false), e), d = kb_load(b, kb_buf(b, DT_F64, n, false), e);
      int h = kb_load(b, kb_buf(b, DT_BF16, n, false), e), l = kb_load(b, kb_buf(b, DT_I64, n, false), e);
      int u = kb_load(b, kb_buf(b, DT_U32, n, false), e), k = kb_load(b, kb_buf(b, DT_I32, n, false), e);
      int o = kb_load(b, kb_buf(b, DT_BOOL, n, false), e);
      struct {
        DType dt;
        int v;
      } out[] = {
          {DT_BF16, kb_map(b, OP_mul, h, kb_cast(b, f, DT_BF16), 0)},
          {DT_F64, kb_map(b, OP_cos, d, 0, 0)},
          {DT_F64, kb_map(b, OP_pow, kb_map(b, OP_exp, d, 0, 0), kb_cast(b, l, DT_F64), 0)},
          {DT_I64,
           kb_map(b, OP_max, kb_map(b, OP_mul, l, kb_cast(b, k, DT_I64), 0), kb_cast(b, f, DT_I64), 0)},
          {DT_I32, kb_map(b, OP_sub, kb_map(b, OP_abs, k, 0, 0), kb_cast(b, d, DT_I32), 0)},
          {DT_U32, kb_map(b, OP_add, u, kb_cast(b, kb_map(b, OP_mul, f, f, 0), DT_U32), 0)},
          {DT_BOOL, kb_map(b, OP_and, o, kb_map(b, OP_lt, u, kb_imm(b, DT_U32, 7), 0), 0)},
          {DT_BOOL,
           kb_map(b, OP_or, kb_map(b, OP_not, o, 0, 0), kb_map(b, OP_le, k, kb_cast(b, l, DT_I32), 0), 0)},
          {DT_BOOL,
           kb_map(b, OP_ne, kb_cast(b, f, DT_BOOL), kb_map(b, OP_eq, l, kb_imm(b, DT_I64, 3), 0), 0)},
          {DT_F32, kb_map(b, OP_select, o, kb_cast(b, kb_index(b, DT_I64, aff(5, 3, 0, 0, 0)), DT_F32),
                          kb_map(b, OP_sign, f, 0, 0))},
          {DT_F32, kb_cast(b, h, DT_F32)},
          {DT_F32, kb_map(b, OP_min, kb_cast(b, u, DT_F32), kb_map(b, OP_floor, f, 0, 0), 0)},
          {DT_F32, kb_index(b, DT_F32, aff(-4, 2, 0, 0, 0))},
      };
      for (size_t j = 0; j < sizeof out / sizeof *out; j++)
        kb_store(b, kb_buf(b, out[j].dt, n, true), e, out[j].v, 0);
      agree(b, 1e-5, "types");
    }
}
END_TEST

START_TEST(test_schedule_scalars) { /* no loop at all */
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    KB *b = kb_new(&t[i], 0, 0, NULL, -1, 0);
    int st = kb_cast(b, kb_load(b, kb_buf(b, DT_I64, 1, false), zero), DT_F64);
    int x = kb_map(b, OP_cos, kb_map(b, OP_div, st, kb_imm(b, DT_F64, 7), 0), 0, 0);
    x = kb_map(b, OP_select, kb_map(b, OP_lt, st, kb_imm(b, DT_F64, 2), 0), x,
               kb_map(b, OP_log, kb_map(b, OP_abs, st, 0, 0), 0, 0));
    kb_store(b, kb_buf(b, DT_F64, 1, true), zero, x, 0);
    kb_store(b, kb_buf(b, DT_F32, 1, true), zero, kb_cast(b, x, DT_F32), 0);
    agree(b, 1e-6, "scalars");
  }
}
END_TEST

START_TEST(test_random_bits) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      int64_t n = sizes[s];
      KB *b = kb_new(&t[i], 2, 2, (int64_t[]){3, n}, 1, 0);
      int seed = kb_buf(b, DT_I64, 1, false), step = kb_buf(b, DT_I64, 1, false),
          y = kb_buf(b, DT_U32, 3 * n, true);
      b->data[seed] = ramp(b, 1, 1234567890123.0, 0);
      b->data[step] = ramp(b, 1, 77, 0);
      int r = kb_random(b, kb_load(b, seed, zero), kb_load(b, step, zero), 9,
                        aff(i == 0 ? 1ll << 33 : 0, n, 1, 0, 0));
      kb_store(b, y, aff(0, n, 1, 0, 0), r, 0);
      agree(b, 0, "random bits");
    }
}
END_TEST

/* ---- reductions ---- */
static const OpId reductions[] = {OP_reduce_sum, OP_reduce_max, OP_reduce_min, OP_reduce_m2, OP_argmax};

static void reduction(const Target *t, int npar, int ndim, const int64_t *size, int vec, bool nan) {
  KB *b = kb_new(t, npar, ndim, size, vec, 1);
  Affine e = {0}, o = {0};
  int64_t k = 1, rows = 1;
  for (int d = ndim - 1; d >= 0; k *= size[d--]) e.k[d] = k;
  if (vec >= 0 && vec < npar && ndim > npar) { /* column reductions: the vector dim innermost in memory */
    e.k[vec] = 1;
    for (int d = npar; d < ndim; d++) e.k[d] *= size[vec];
  }
  for (int d = npar - 1; d >= 0; rows *= size[d--]) o.k[d] = rows;
  int x = kb_buf(b, DT_F32, k, false), v = kb_load(b, x, e);
  b->data[x] = ramp(b, k, 0, 0);
  for (int64_t i = 0; i < k; i++) b->data[x][i] = 100 + sin((double)i * 1.7) + (i % 11 == 3) * 0.25;
  if (nan) b->data[x][k / 2] = NAN;
  int w = kb_map(b, OP_mul, v, kb_imm(b, DT_F32, 0.5), 0);
  for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++) {
    int r = kb_reduce(b, reductions[i], w, 0);
    kb_store(b, kb_buf(b, b->inst[r].dt, rows, true), o, r, 0);
  }
  int lone = kb_reduce(b, OP_reduce_sum, v, 0); /* no m2 of the same argument to share with */
  kb_store(b, kb_buf(b, DT_F32, rows, true), o, lone, 0);
  if (rows > 4) b->l.nchunk = 3;
  agree(b, 2e-5, "reduction");
}

START_TEST(test_row_reductions) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      reduction(&t[i], 1, 2, (int64_t[]){5, sizes[s]}, 1, s == 7);
      reduction(&t[i], 1, 2, (int64_t[]){5, sizes[s]}, -1, false);
      reduction(&t[i], 1, 3, (int64_t[]){2, 7, sizes[s]}, 2, s == 3);
      reduction(&t[i], 0, 2, (int64_t[]){3, sizes[s]}, 1, false);
    }
  int n = kb_targets(t);
  reduction(&t[n - 1], 1, 2, (int64_t[]){2, 70001}, 1, false);
  reduction(&t[n - 1], 0, 3, (int64_t[]){3, 5, 5000}, 2, false);
}
END_TEST

START_TEST(test_column_reductions) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++) {
      reduction(&t[i], 1, 2, (int64_t[]){sizes[s], 9}, 0, s == 5);
      reduction(&t[i], 2, 4, (int64_t[]){2, sizes[s], 3, 5}, 1, false);
      reduction(&t[i], 1, 2, (int64_t[]){sizes[s], 1000}, 0, false);
    }
}
END_TEST

START_TEST(test_int_reductions) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int vec = -1; vec < 2; vec++) {
      KB *b = kb_new(&t[i], 1, 2, (int64_t[]){17, 23}, vec, 1);
      int v = kb_load(b, kb_buf(b, DT_I64, 17 * 23, false), aff(0, vec ? 23 : 1, vec ? 1 : 17, 0, 0));
      int c = kb_cast(b, kb_map(b, OP_lt, v, kb_imm(b, DT_I64, 2), 0), DT_I32);
      int u = kb_cast(b, kb_map(b, OP_abs, v, 0, 0), DT_U32);
      int r[] = {kb_reduce(b, OP_reduce_sum, v, 0), kb_reduce(b, OP_reduce_max, v, 0),
                 kb_reduce(b, OP_reduce_min, v, 0), kb_reduce(b, OP_argmax, v, 0),
                 kb_reduce(b, OP_reduce_sum, c, 0), kb_reduce(b, OP_reduce_min, u, 0)};
      for (int j = 0; j < 6; j++)
        kb_store(b, kb_buf(b, b->inst[r[j]].dt, 17, true), aff(0, 1, 0, 0, 0), r[j], 0);
      agree(b, 0, "integer reductions");
    }
}
END_TEST

/* Softmax (two sweeps) and layer norm (statistics, then apply), with vectors along rows or across them. */
START_TEST(test_softmax_and_layer_norm) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;)
    for (int s = 0; s < NSIZES; s++)
      for (int rows = 0; rows < 2; rows++) {
        int64_t n = sizes[s], m = 6;
        Affine e = rows ? aff(0, n, 1, 0, 0) : aff(0, 1, m, 0, 0), p = aff(0, 1, 0, 0, 0);
        KB *b = kb_new(&t[i], 1, 2, (int64_t[]){m, n}, rows, 3);
        int x = kb_load(b, kb_buf(b, DT_F32, m * n, false), e), y = kb_buf(b, DT_F32, m * n, true);
        int top = kb_reduce(b, OP_reduce_max, x, 0),
            ex = kb_map(b, OP_exp, kb_map(b, OP_sub, x, top, 0), 0, 0);
        int sum = kb_reduce(b, OP_reduce_sum, ex, 1);
        kb_store(b, y, e, kb_map(b, OP_div, ex, sum, 0), 2);
        kb_store(b, kb_buf(b, DT_F32, m, true), p, kb_map(b, OP_add, top, kb_map(b, OP_log, sum, 0, 0), 0),
                 0);
        agree(b, 1e-5, "softmax");

        b = kb_new(&t[i], 1, 2, (int64_t[]){m, n}, rows, 2);
        x = kb_load(b, kb_buf(b, DT_F32, m * n, false), e);
        int z = kb_map(b, OP_add, x, kb_load(b, kb_buf(b, DT_F32, n, false), aff(0, 0, 1, 0, 0)), 0);
        int inv = kb_imm(b, DT_F32, 1.0 / (double)n);
        int mean = kb_map(b, OP_mul, kb_reduce(b, OP_reduce_sum, z, 0), inv, 0);
        int var = kb_map(b, OP_mul, kb_reduce(b, OP_reduce_m2, z, 0), inv, 0);
        int rs = kb_map(b, OP_rsqrt, kb_map(b, OP_add, var, kb_imm(b, DT_F32, 1e-5), 0), 0, 0);
        int hat = kb_map(b, OP_mul, kb_map(b, OP_sub, z, mean, 0), rs, 0);
        int g = kb_load(b, kb_buf(b, DT_F32, n, false), aff(0, 0, 1, 0, 0));
        kb_store(b, kb_buf(b, DT_F32, m * n, true), e, kb_map(b, OP_mul, hat, g, 0), 1);
        kb_store(b, kb_buf(b, DT_F32, m * n, true), e, z, 0);
        kb_store(b, kb_buf(b, DT_F32, m, true), p, rs, 0);
        agree(b, n < 3 ? 3e-3 : 2e-5, "layer norm");
      }
}
END_TEST

START_TEST(test_max_pool_window) { /* a guarded window reduction with vectors over channels of a block */
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    int64_t q = t[i].vector_bytes / 4, h = 9, o = 5;
    KB *b = kb_new(&t[i], 3, 5, (int64_t[]){o, o, q, 3, 3}, 2, 1);
    b->l.nchunk = 4;
    Affine off = {-(h + 1) * q, {2 * h * q, 2 * q, 1, h * q, q}}, eh = {-1, {2, 0, 0, 1, 0}},
           ew = {-1, {0, 2, 0, 0, 1}};
    int v = kb_load(b, kb_buf(b, DT_F32, h * h * q, false), off);
    kb_access(b, v)->fill = -INFINITY;
    kb_guard(b, kb_access(b, v), eh, 0, h, 0);
    kb_guard(b, kb_access(b, v), ew, 0, h, 0);
    kb_store(b, kb_buf(b, DT_F32, o * o * q, true), aff(0, o * q, q, 1, 0), kb_reduce(b, OP_reduce_max, v, 0),
             0);
    agree(b, 0, "max pool");
  }
}
END_TEST

/* ---- random kernels ---- */
typedef struct {
  uint64_t s;
} Rng;
static int64_t pick(Rng *r, int64_t n) {
  r->s = r->s * 6364136223846793005u + 1442695040888963407u;
  return (int64_t)((r->s >> 33) % (uint64_t)n);
}

static Affine random_affine(Rng *r, const KB *b, int dims) {
  static const int64_t ks[] = {0, 0, 1, 1, 2, 3, -1, 7, 20};
  Affine e = {0};
  for (int d = 0; d < dims; d++) {
    e.k[d] = ks[pick(r, 9)];
    if (e.k[d] < 0) e.c -= e.k[d] * (b->l.size[d] - 1);
  }
  return e;
}

static int64_t reach_of(const KB *b, const Affine *e) {
  int64_t hi = e->c;
  for (int d = 0; d < b->l.ndim; d++)
    if (e->k[d] > 0) hi += e->k[d] * (b->l.size[d] - 1);
  return hi;
}

static int random_load(Rng *r, KB *b, int dims) {
  Affine off = random_affine(r, b, dims), e;
  int buf = kb_buf(b, DT_F32, 1, false), v = kb_load(b, buf, off);
  Access *a = kb_access(b, v);
  int64_t need = reach_of(b, &off) + 1;
  if (pick(r, 3) == 0) {
    e = random_affine(r, b, dims);
    int64_t div = 1 + pick(r, 5), stride = pick(r, 4);
    kb_quot(b, a, e, div, stride);
    need += stride * (reach_of(b, &e) / div);
  }
  for (int g = 0; g < 2; g++)
    if (pick(r, 3) == 0) {
      e = random_affine(r, b, dims);
      int64_t top = reach_of(b, &e), lo = pick(r, top + 2), hi = lo + pick(r, top + 2);
      kb_guard(b, a, e, lo, hi, pick(r, 4) == 0 ? 2 : 0);
      a->fill = (double)pick(r, 5) - 2;
    }
  if (a->nguard &&
      pick(r,
           2)) { /* without the guard the address would leave the buffer: restrict the buffer to what holds */
    const Guard *g = &a->guard[0];
    a->off = g->e;
    a->off.c -= g->lo;
    a->quot = NULL;
    a->nquot = 0;
    need = g->hi - g->lo > 0 ? g->hi - g->lo : 1;
    b->inst[v].row = true;
    for (int q = 0; q < a->nguard; q++)
      for (int d = b->l.npar; d < b->l.ndim; d++) b->inst[v].row &= !a->guard[q].e.k[d];
  }
  b->count[buf] = need;
  return v;
}

static void random_kernel(Rng *r, const Target *t) {
  static const int64_t choices[] = {1, 2, 3, 4, 5, 8, 16, 17, 31, 40, 100, 300};
  int npar = (int)pick(r, 4), nr = (int)pick(r, 3), ndim = npar + nr, nsweep = nr ? 1 + (int)pick(r, 3) : 0;
  int64_t size[KDIM], points = 1;
  for (int d = 0; d < ndim; d++) {
    do size[d] = choices[pick(r, 12)];
    while (points * size[d] > 6000);
    points *= size[d];
  }
  int vec = -1;
  if (pick(r, 5)) vec = npar && (!nr || pick(r, 2)) ? npar - 1 : nr ? ndim - 1 : -1;
  KB *b = kb_new(t, npar, ndim, size, vec, nsweep);
  b->l.nchunk = npar && pick(r, 2) ? 1 + pick(r, 12) : 1;
  int val[40], n = 0;
  for (int i = 1 + (int)pick(r, 4); i > 0; i--) val[n++] = random_load(r, b, pick(r, 4) ? ndim : npar);
  val[n++] = kb_imm(b, DT_F32, 0.75);
  val[n++] = kb_index(b, DT_F32, random_affine(r, b, ndim));
  val[n - 1] = kb_map(b, OP_mul, val[n - 1], kb_imm(b, DT_F32, 0.01), 0);
  int full[4], nfull = 0, stage[40] = {0};
  for (int s = 0; s <= nsweep; s++) {
    for (int i = (int)pick(r, 5); i > 0 && n < 34; i--) {
      static const OpId ops[] = {OP_add,  OP_sub,     OP_mul, OP_max, OP_min,
                                 OP_tanh, OP_sigmoid, OP_abs, OP_neg, OP_select};
      OpId op = ops[pick(r, 10)];
      int x = (int)pick(r, n), y = (int)pick(r, n), c = 0;
      if (op == OP_select) c = kb_isguard(b, random_affine(r, b, ndim), 1, 20);
      int v = op == OP_select ? kb_map(b, op, c, val[x], val[y]) : kb_map(b, op, val[x], val[y], 0);
      v = kb_map(b, OP_min, kb_map(b, OP_max, v, kb_imm(b, DT_F32, -8), 0), kb_imm(b, DT_F32, 8), 0);
      stage[n] = stage[x] > stage[y] ? stage[x] : stage[y];
      val[n++] = v;
    }
    if (s == nsweep) break;
    if (pick(r, 3) == 0) {
      int x = (int)pick(r, n);
      if (!b->inst[val[x]].row && stage[x] <= s) {
        Affine o = {0};
        int64_t k = 1;
        for (int d = ndim - 1; d >= 0; k *= size[d--]) o.k[d] = k;
        kb_store(b, kb_buf(b, DT_F32, k, true), o, val[x], s);
        full[nfull++ % 4] = x;
      }
    }
    for (int i = 1 + (int)pick(r, 2); i > 0; i--) {
      static const OpId ops[] = {OP_reduce_sum, OP_reduce_max, OP_reduce_min, OP_reduce_m2};
      int x = (int)pick(r, n);
      if (stage[x] > s) continue;
      int v = kb_reduce(b, ops[pick(r, 4)], val[x], s);
      if (b->inst[v].op == OP_reduce_sum || b->inst[v].op == OP_reduce_m2) {
        int64_t terms = 1;
        for (int d = npar; d < ndim; d++) terms *= size[d];
        v = kb_map(b, OP_mul, v, kb_imm(b, DT_F32, 1.0 / (double)terms), 0);
      }
      stage[n] = s + 1;
      val[n++] = v;
    }
  }
  (void)full;
  Affine o = {0};
  int64_t k = 1;
  for (int d = npar - 1; d >= 0; k *= size[d--]) o.k[d] = k;
  for (int i = 0; i < n; i++)
    if (b->inst[val[i]].row && (pick(r, 2) || i == n - 1))
      kb_store(b, kb_buf(b, DT_F32, k, true), o, val[i], 0);
  if (!b->l.nstore) kb_store(b, kb_buf(b, DT_F32, k, true), o, kb_imm(b, DT_F32, 1), 0);
  agree(b, 3e-4, "random kernel");
}

START_TEST(test_random_kernels) {
  Target t[3];
  int n = kb_targets(t);
  const char *env = getenv("JEPAC_FUZZ");
  int count = env ? atoi(env) : 250;
  for (int i = 0; i < count; i++) {
    Rng r = {(uint64_t)i * 0x9E3779B97F4A7C15u + 12345};
    pick(&r, 2);
    random_kernel(&r, &t[i % n]);
  }
}
END_TEST

/* ---- measurements ---- */
static double best_of(KBCode f, void *const *ptr) {
  double best = 1e9;
  for (int i = 0; i < 30; i++) {
    double s = now_seconds();
    kb_call(&f, ptr);
    s = now_seconds() - s;
    if (s < best) best = s;
  }
  return best;
}

static KBCode compile_timed(KB *b, Code **code, const char *what) {
  double s = now_seconds();
  KBCode f = kb_compile(b, code);
  printf("%-28s compile %.1f ms\n", what, (now_seconds() - s) * 1e3);
  return f;
}

static void *big(size_t n) {
  void *p = aligned_alloc(64, n);
  memset(p, 0, n);
  return p;
}

static void bench(void) {
  Target t[3];
  for (int i = kb_targets(t); i-- > 0;) {
    if (!t[i].fma) continue;
    Code *code;
    printf("%s\n", t[i].cpu);
    for (int64_t n = 1 << 14; n <= 1 << 24; n <<= 10) {
      KB *b = kb_new(&t[i], 1, 1, &n, 0, 0);
      Affine e = aff(0, 1, 0, 0, 0);
      int x = kb_load(b, kb_buf(b, DT_F32, n, false), e), y = kb_load(b, kb_buf(b, DT_F32, n, false), e);
      kb_store(b, kb_buf(b, DT_F32, n, true), e, kb_map(b, OP_relu, kb_map(b, OP_add, x, y, 0), 0, 0), 0);
      KBCode fn = compile_timed(b, &code, "add + relu");
      void *p[] = {big((size_t)n * 4), big((size_t)n * 4), big((size_t)n * 4)};
      double s = best_of(fn, p), c = 1e9;
      for (int k = 0; k < 10; k++) {
        double a = now_seconds();
        memcpy(p[2], p[0], (size_t)n * 4);
        if ((a = now_seconds() - a) < c) c = a;
      }
      printf("  %lld elements: %.1f GB/s, memcpy %.1f GB/s\n", (long long)n, 12e-9 * (double)n / s,
             8e-9 * (double)n / c);
      codegen_free(code);
      kb_free(b);
    }
    int64_t q = t[i].vector_bytes / 4, N = 64, C = 64 / q, HW = 1024;
    KB *b = kb_new(&t[i], 2, 4, (int64_t[]){C, q, N, HW}, 1, 1);
    int v = kb_load(b, kb_buf(b, DT_F32, N * 64 * HW, false), (Affine){0, {HW * q, 1, C * HW * q, q}});
    kb_store(b, kb_buf(b, DT_F32, 64, true), aff(0, q, 1, 0, 0), kb_reduce(b, OP_reduce_sum, v, 0), 0);
    kb_store(b, kb_buf(b, DT_F32, 64, true), aff(0, q, 1, 0, 0), kb_reduce(b, OP_reduce_m2, v, 0), 0);
    KBCode fn = compile_timed(b, &code, "batch norm statistics");
    void *p[] = {big((size_t)(N * 64 * HW) * 4), big(256), big(256)};
    printf("  [64,64,32,32]: %.1f GB/s\n", 4e-9 * (double)(N * 64 * HW) / best_of(fn, p));
    int64_t rows = 512, d = 640;
    b = kb_new(&t[i], 1, 2, (int64_t[]){rows, d}, 1, 2);
    v = kb_load(b, kb_buf(b, DT_F32, rows * d, false), aff(0, d, 1, 0, 0));
    int mean = kb_map(b, OP_mul, kb_reduce(b, OP_reduce_sum, v, 0), kb_imm(b, DT_F32, 1.0 / 640), 0);
    int var = kb_map(b, OP_mul, kb_reduce(b, OP_reduce_m2, v, 0), kb_imm(b, DT_F32, 1.0 / 640), 0);
    int rs = kb_map(b, OP_rsqrt, kb_map(b, OP_add, var, kb_imm(b, DT_F32, 1e-5), 0), 0, 0);
    kb_store(b, kb_buf(b, DT_F32, rows * d, true), aff(0, d, 1, 0, 0),
             kb_map(b, OP_mul, kb_map(b, OP_sub, v, mean, 0), rs, 0), 1);
    fn = compile_timed(b, &code, "layer norm");
    void *pl[] = {big((size_t)(rows * d) * 4), big((size_t)(rows * d) * 4)};
    printf("  [512,640]: %.1f GB/s\n", 8e-9 * (double)(rows * d) / best_of(fn, pl));
    int64_t sm = 64;
    b = kb_new(&t[i], 1, 2, (int64_t[]){4096, sm}, 1, 3);
    v = kb_load(b, kb_buf(b, DT_F32, 4096 * sm, false), aff(0, sm, 1, 0, 0));
    int ex = kb_map(b, OP_exp, kb_map(b, OP_sub, v, kb_reduce(b, OP_reduce_max, v, 0), 0), 0, 0);
    kb_store(b, kb_buf(b, DT_F32, 4096 * sm, true), aff(0, sm, 1, 0, 0),
             kb_map(b, OP_div, ex, kb_reduce(b, OP_reduce_sum, ex, 1), 0), 2);
    fn = compile_timed(b, &code, "softmax");
    void *ps[] = {big((size_t)(4096 * sm) * 4), big((size_t)(4096 * sm) * 4)};
    printf("  [4096,64]: %.2f ns an element\n", 1e9 * best_of(fn, ps) / (4096.0 * (double)sm));
    int64_t many = 1 << 16;
    b = kb_new(&t[i], 1, 1, &many, 0, 0);
    int seed = kb_load(b, kb_buf(b, DT_I64, 1, false), zero);
    kb_store(b, kb_buf(b, DT_U32, many, true), aff(0, 1, 0, 0, 0),
             kb_random(b, seed, seed, 3, aff(0, 1, 0, 0, 0)), 0);
    fn = compile_timed(b, &code, "random_bits");
    void *pr[] = {big(64), big((size_t)many * 4)};
    printf("  %.2f ns\n", 1e9 * best_of(fn, pr) / (double)many);
    static const OpId ops[] = {OP_exp, OP_log, OP_tanh, OP_erf, OP_sin, OP_pow};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
      fn = kb_compile_map(&t[i], ops[k], op_table[ops[k]].nin, 1 << 14, &b, &code);
      void *pm[] = {big(1 << 16), big(1 << 16), big(1 << 16)};
      printf("  %s %.3f ns\n", op_table[ops[k]].name, best_of(fn, pm) * 1e9 / (1 << 14));
    }
  }
}

static Suite *suite(void) {
  Suite *s = suite_create("codegen");
  TCase *c = tcase_create("loops");
  tcase_set_timeout(c, 600);
  tcase_add_test(c, test_elementwise_sizes);
  tcase_add_test(c, test_chunks_cover);
  tcase_add_test(c, test_strides_and_transpose);
  tcase_add_test(c, test_guards);
  tcase_add_test(c, test_quotients_and_gather);
  tcase_add_test(c, test_types);
  tcase_add_test(c, test_schedule_scalars);
  tcase_add_test(c, test_random_bits);
  tcase_add_test(c, test_row_reductions);
  tcase_add_test(c, test_column_reductions);
  tcase_add_test(c, test_int_reductions);
  tcase_add_test(c, test_softmax_and_layer_norm);
  tcase_add_test(c, test_max_pool_window);
  tcase_add_test(c, test_random_kernels);
  suite_add_tcase(s, c);
  return s;
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "bench")) {
    bench();
    return 0;
  }
  return run_suite(suite());
}
