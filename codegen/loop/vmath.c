/* Elementary functions as IR (vmath.h). The f32 polynomials are Remez fits of the reduced function named
   above each; the figures are the largest error against libm in double, measured by tests/unit/test_codegen.c
   over the whole range with FMA. */
#include "codegen/loop/vmath.h"

#include "ir/graph/gamma.h"

#include <math.h>
#include <stdio.h>

static bool is_f64(LLVMValueRef x) { return LLVMGetTypeKind(em_elem(LLVMTypeOf(x))) == LLVMDoubleTypeKind; }

static LLVMTypeRef like(LLVMValueRef x, LLVMTypeRef elem) { return em_vec(elem, em_lanes(x)); }

static LLVMValueRef lit(LLVMValueRef x, double v) { return em_const(LLVMTypeOf(x), v); }

/* Calls a libm function on every lane. */
static LLVMValueRef per_lane(EmitModule *m, const char *name, LLVMValueRef *x, int nx) {
  LLVMTypeRef elem = em_elem(LLVMTypeOf(x[0]));
  int n = em_lanes(x[0]);
  if (n == 1) return em_extern(m, name, elem, x, nx);
  LLVMValueRef out = LLVMGetPoison(LLVMTypeOf(x[0]));
  for (int i = 0; i < n; i++) {
    LLVMValueRef lane[2];
    for (int k = 0; k < nx; k++) lane[k] = em_extract(m, x[k], i);
    out = LLVMBuildInsertElement(m->b, out, em_extern(m, name, elem, lane, nx), em_i32(m, i), "");
  }
  return out;
}

LLVMValueRef vm_libm(EmitModule *m, const char *name, LLVMValueRef *x, int nx) {
  char single[16];
  snprintf(single, sizeof single, "%sf", name);
  return per_lane(m, is_f64(x[0]) ? name : single, x, nx);
}

/* x >= v; false for NaN */
static LLVMValueRef at_least(EmitModule *m, LLVMValueRef x, double v) {
  return LLVMBuildFCmp(m->b, LLVMRealOGE, x, lit(x, v), "");
}

/* c[0] x^(n-1) + ... + c[n-1] */
static LLVMValueRef poly(EmitModule *m, LLVMValueRef x, const double *c, int n) {
  LLVMValueRef r = lit(x, c[0]);
  for (int i = 1; i < n; i++) r = em_fma(m, r, x, lit(x, c[i]));
  return r;
}
#define POLY(M, X, ...)                                                                                      \
  poly(M, X, (const double[]){__VA_ARGS__}, (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

static LLVMValueRef less(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFCmp(m->b, LLVMRealOLT, a, b, "");
}

static LLVMValueRef is_nan(EmitModule *m, LLVMValueRef x) {
  return LLVMBuildFCmp(m->b, LLVMRealUNO, x, x, "");
}

static LLVMValueRef pick(EmitModule *m, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(m->b, cond, a, b, "");
}

LLVMValueRef vm_clamp(EmitModule *m, LLVMValueRef x, double lo, double hi) {
  x = pick(m, less(m, x, lit(x, lo)), lit(x, lo), x);
  return pick(m, less(m, lit(x, hi), x), lit(x, hi), x);
}

static LLVMValueRef bits_of(EmitModule *m, LLVMValueRef x) {
  return LLVMBuildBitCast(m->b, x, like(x, is_f64(x) ? m->i64 : m->i32), "");
}

static LLVMValueRef float_of(EmitModule *m, LLVMValueRef bits) {
  return LLVMBuildBitCast(m->b, bits, em_vec(m->f32, em_lanes(bits)), "");
}

static LLVMValueRef copysign_bits(EmitModule *m, LLVMValueRef magnitude, LLVMValueRef sign) {
  LLVMValueRef b = bits_of(m, sign);
  LLVMValueRef s = LLVMBuildAnd(m->b, b, em_bits(LLVMTypeOf(b), is_f64(sign) ? 1ull << 63 : 1u << 31), "");
  return LLVMBuildBitCast(m->b, LLVMBuildOr(m->b, bits_of(m, magnitude), s, ""), LLVMTypeOf(magnitude), "");
}

static LLVMValueRef absolute(EmitModule *m, LLVMValueRef x) { return em_unary(m, "llvm.fabs", x); }

/* AVX-512 scales by a power of two, rounding once, in one instruction. */
enum { SCALEF = 16 };
static bool scales(EmitModule *m, LLVMValueRef x) {
  return m->target->family == FAMILY_AVX512 && em_lanes(x) % SCALEF == 0;
}

/* p * 2^n, n a whole number in floating point. */
static LLVMValueRef scalef(EmitModule *m, LLVMValueRef p, LLVMValueRef n) {
  if (em_lanes(p) == SCALEF)
    return em_intrinsic(m, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0,
                        (LLVMValueRef[]){p, n, p, em_bits(m->i16, 0xffff), em_i32(m, 4)}, 5);
  LLVMValueRef half[2];
  for (int i = 0; i < 2; i++) half[i] = scalef(m, em_half(m, p, i), em_half(m, n, i));
  return em_join(m, half[0], half[1]);
}

/* p * 2^n for |n| <= 200 as two exact powers, so that denormal results round once. */
static LLVMValueRef scale2(EmitModule *m, LLVMValueRef p, LLVMValueRef n) {
  LLVMTypeRef t = LLVMTypeOf(n);
  LLVMValueRef half = LLVMBuildAShr(m->b, n, em_bits(t, 1), ""), rest = LLVMBuildSub(m->b, n, half, "");
  LLVMValueRef bias = em_bits(t, 127), shift = em_bits(t, 23);
  LLVMValueRef a = LLVMBuildShl(m->b, LLVMBuildAdd(m->b, half, bias, ""), shift, "");
  LLVMValueRef b = LLVMBuildShl(m->b, LLVMBuildAdd(m->b, rest, bias, ""), shift, "");
  return em_fmul(m, em_fmul(m, p, float_of(m, a)), float_of(m, b));
}

/* e^x = 2^n e^r, |r| <= ln2/2; e^r = 1 + r + r^2 P(r), which is given back. The magic number rounds to an integer
   without SSE4.1; the low bits of *t hold n. */
enum { MAGIC = 12582912, MAGIC_BITS = 0x4b400000 };
static LLVMValueRef exp_parts(EmitModule *m, LLVMValueRef x, LLVMValueRef *t, LLVMValueRef *n) {
  LLVMValueRef magic = lit(x, MAGIC);
  *t = em_fma(m, x, lit(x, 1.4426950408889634), magic);
  *n = LLVMBuildFSub(m->b, *t, magic, "");
  LLVMValueRef minus = LLVMBuildFNeg(m->b, *n, "");
  LLVMValueRef r = em_fma(m, minus, lit(x, 0.693359375), x);
  r = em_fma(m, minus, lit(x, -2.12194440054690583e-4), r);
  LLVMValueRef p = POLY(m, r, 0.00138144626, 0.00836878045, 0.0416683943, 0.166665201, 0.499999934);
  return em_fadd(m, em_fma(m, em_fmul(m, r, r), p, r), lit(x, 1));
}

/* 1.0 ulp. What is below e^-104 is 0 and not multiplied: a product that underflows takes a hundred cycles, and where
   softmax has masked something there are many. scalef takes none where it is far below. */
LLVMValueRef vm_exp(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "exp", &x, 1);
  LLVMValueRef t, n, p;
  if (scales(m, x)) {
    p = exp_parts(m, vm_clamp(m, x, -700, 89), &t, &n);
    return scalef(m, p, n);
  }
  LLVMValueRef low = less(m, x, lit(x, -104)), high = lit(x, 89);
  x = pick(m, low, lit(x, 0), x);
  p = exp_parts(m, pick(m, less(m, high, x), high, x), &t, &n);
  LLVMValueRef ni = LLVMBuildSub(m->b, bits_of(m, t), em_bits(like(x, m->i32), MAGIC_BITS), "");
  return pick(m, low, lit(x, 0), scale2(m, p, ni));
}

/* e^x for |x| <= 80, else (and of NaN) anything: n is added to the exponent. */
static LLVMValueRef exp_bounded(EmitModule *m, LLVMValueRef x) {
  LLVMValueRef t, n, p = exp_parts(m, x, &t, &n);
  LLVMValueRef up = LLVMBuildShl(m->b, bits_of(m, t), em_bits(like(x, m->i32), 23), "");
  return float_of(m, LLVMBuildAdd(m->b, bits_of(m, p), up, ""));
}

/* x = 2^n (1 + f), 1 + f in [2/3, 4/3); n in floating point. */
static LLVMValueRef log_reduce(EmitModule *m, LLVMValueRef x, LLVMValueRef *n) {
  LLVMTypeRef it = like(x, m->i32);
  LLVMValueRef tiny = less(m, x, lit(x, 1.17549435e-38));
  LLVMValueRef y = pick(m, tiny, em_fmul(m, x, lit(x, 8388608)), x);
  LLVMValueRef b = bits_of(m, y);
  LLVMValueRef e = LLVMBuildSub(m->b, b, em_bits(it, 0x3f2aaaab), "");
  e = LLVMBuildAnd(m->b, e, em_bits(it, 0xff800000u), "");
  LLVMValueRef f = em_fsub(m, float_of(m, LLVMBuildSub(m->b, b, e, "")), lit(x, 1));
  *n = LLVMBuildSIToFP(m->b, LLVMBuildAShr(m->b, e, em_bits(it, 23), ""), LLVMTypeOf(x), "");
  *n = em_fadd(m, *n, pick(m, tiny, lit(x, -23), lit(x, 0)));
  return f;
}

/* (log(1 + f) - f) / f^2 */
static LLVMValueRef log_poly(EmitModule *m, LLVMValueRef f) {
  LLVMValueRef p = POLY(m, f, 0.12007089, -0.128456205, 0.107542645, -0.121956667, 0.143044534, -0.166795851,
                        0.199995979, -0.249998201, 0.333333357);
  return em_fma(m, p, f, lit(f, -0.5));
}

/* x < 0 and NaN: NaN; 0: -inf; inf: inf */
static LLVMValueRef log_special(EmitModule *m, LLVMValueRef x, LLVMValueRef r) {
  r = pick(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, lit(x, HUGE_VAL), ""), x, r);
  r = pick(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, lit(x, 0), ""), lit(x, -HUGE_VAL), r);
  return pick(m, LLVMBuildFCmp(m->b, LLVMRealOGE, x, lit(x, 0), ""), r, lit(x, NAN));
}

/* 0.8 ulp. log(1 + f) = f - f^2/2 + f^3 P(f). */
LLVMValueRef vm_log(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "log", &x, 1);
  LLVMValueRef n, f = log_reduce(m, x, &n), s = em_fmul(m, f, f), p = log_poly(m, f);
  p = em_fma(m, p, s, em_fmul(m, n, lit(x, -2.12194440054690583e-4)));
  return log_special(m, x, em_fma(m, n, lit(x, 0.693359375), em_fadd(m, p, f)));
}

/* 1.5 ulp; exact of powers of two. */
LLVMValueRef vm_log2(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "log2", &x, 1);
  LLVMValueRef n, f = log_reduce(m, x, &n), s = em_fmul(m, f, f), y = em_fma(m, log_poly(m, f), s, f);
  return log_special(m, x, em_fma(m, y, lit(x, 1.4426950408889634), n));
}

static LLVMValueRef is_zero(EmitModule *m, LLVMValueRef x) {
  return LLVMBuildFCmp(m->b, LLVMRealOEQ, x, lit(x, 0), "");
}

/* 2 ulp. log u + (x - (u - 1)) / u with u = 1 + x rounded. */
LLVMValueRef vm_log1p(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "log1p", &x, 1);
  LLVMValueRef u = em_fadd(m, x, lit(x, 1)), log = vm_log(m, u);
  LLVMValueRef lost = em_fsub(m, x, em_fsub(m, u, lit(x, 1)));
  LLVMValueRef y = em_fadd(m, log, em_fdiv(m, lost, u));
  LLVMValueRef inside = LLVMBuildAnd(m->b, less(m, lit(x, 0), u), less(m, u, lit(x, HUGE_VAL)), "");
  return pick(m, is_zero(m, x), x, pick(m, inside, y, log));
}

/* r and the bits of n of x = n ln2 + r, |r| <= ln2/2. */
static LLVMValueRef exp_reduce(EmitModule *m, LLVMValueRef x, double scale, LLVMValueRef *ni,
                               LLVMValueRef *n) {
  LLVMValueRef magic = lit(x, 12582912), t = em_fma(m, x, lit(x, scale), magic);
  *n = LLVMBuildFSub(m->b, t, magic, "");
  *ni = LLVMBuildSub(m->b, bits_of(m, t), em_bits(like(x, m->i32), 0x4b400000), "");
  return LLVMBuildFNeg(m->b, *n, "");
}

/* e^r - 1 */
static LLVMValueRef exp_poly(EmitModule *m, LLVMValueRef r) {
  LLVMValueRef p = POLY(m, r, 0.00138144626, 0.00836878045, 0.0416683943, 0.166665201, 0.499999934);
  return em_fma(m, em_fmul(m, r, r), p, r);
}

/* 1.5 ulp. 2^n e^(r ln2) */
LLVMValueRef vm_exp2(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "exp2", &x, 1);
  LLVMValueRef c = vm_clamp(m, x, -151, 129), ni, n;
  exp_reduce(m, c, 1, &ni, &n);
  LLVMValueRef p = exp_poly(m, em_fmul(m, em_fsub(m, c, n), lit(x, 0.69314718055994531)));
  return scale2(m, em_fadd(m, p, lit(x, 1)), ni);
}

/* 2 ulp. 2^n (e^r - 1) + (2^n - 1), above 18 e^x. */
LLVMValueRef vm_expm1(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "expm1", &x, 1);
  LLVMValueRef c = vm_clamp(m, x, -20, 18), ni, n;
  LLVMTypeRef it = like(x, m->i32);
  LLVMValueRef minus = exp_reduce(m, c, 1.4426950408889634, &ni, &n);
  LLVMValueRef r = em_fma(m, minus, lit(x, 0.693359375), c);
  r = em_fma(m, minus, lit(x, -2.12194440054690583e-4), r);
  LLVMValueRef s =
      float_of(m, LLVMBuildShl(m->b, LLVMBuildAdd(m->b, ni, em_bits(it, 127), ""), em_bits(it, 23), ""));
  LLVMValueRef y = em_fma(m, s, exp_poly(m, r), em_fsub(m, s, lit(x, 1)));
  y = pick(m, less(m, lit(x, 18), x), vm_exp(m, x), y);
  return pick(m, is_zero(m, x), x, y);
}

/* Giles, "Approximating the erfinv function" (2010), single precision: 3e-7 relative. x (in f32 or f64) below 1. */
static LLVMValueRef erfinv_poly(EmitModule *m, LLVMValueRef x) {
  LLVMValueRef one = lit(x, 1), w = em_fmul(m, em_fsub(m, one, x), em_fadd(m, one, x));
  w = LLVMBuildFNeg(m->b, vm_log(m, w), "");
  LLVMValueRef v = em_fsub(m, w, lit(x, 2.5));
  LLVMValueRef p = POLY(m, v, 2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941);
  LLVMValueRef u = em_fsub(m, em_unary(m, "llvm.sqrt", w), lit(x, 3));
  LLVMValueRef q = POLY(m, u, -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682);
  return em_fmul(m, pick(m, less(m, w, lit(x, 5)), p, q), x);
}

/* Of doubles: from the polynomial, near 1 from the tail erfc(y) = e^-yy / (y sqrt pi), three steps of Newton's method
   on erf or, beyond a half, erfc. */
LLVMValueRef vm_erfinv(EmitModule *m, LLVMValueRef x) {
  LLVMValueRef a = absolute(m, x), y = erfinv_poly(m, a);
  if (is_f64(x)) {
    const double root_pi = 1.7724538509055161;
    LLVMValueRef t = em_fsub(m, lit(x, 1), a),
                 far = em_unary(m, "llvm.sqrt", LLVMBuildFNeg(m->b, vm_log(m, t), ""));
    for (int i = 0; i < 4; i++) {
      LLVMValueRef e = vm_log(m, em_fmul(m, em_fmul(m, t, lit(x, root_pi)), far));
      far = em_unary(m, "llvm.sqrt", LLVMBuildFNeg(m->b, e, ""));
    }
    y = pick(m, less(m, t, lit(x, 1e-3)), far, y);
    for (int i = 0; i < 3; i++) {
      LLVMValueRef low = em_fsub(m, a, per_lane(m, "erf", &y, 1)),
                   high = em_fsub(m, per_lane(m, "erfc", &y, 1), t);
      LLVMValueRef d = pick(m, less(m, t, lit(x, 0.5)), high, low);
      d = em_fmul(m, em_fmul(m, d, lit(x, 0.5 * root_pi)), vm_exp(m, em_fmul(m, y, y)));
      y = em_fadd(m, y, d);
    }
  }
  y = pick(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, a, lit(x, 1), ""), lit(x, HUGE_VAL), y);
  return copysign_bits(m, y, x);
}

/* ---- derivatives of lgamma, in f64: ir/graph/gamma.c line by line ---- */
static LLVMValueRef widened(EmitModule *m, LLVMValueRef x) {
  return is_f64(x) ? x : LLVMBuildFPExt(m->b, x, like(x, m->f64), "");
}
static LLVMValueRef narrowed(EmitModule *m, LLVMValueRef y, LLVMValueRef as) {
  return is_f64(as) ? y : LLVMBuildFPTrunc(m->b, y, LLVMTypeOf(as), "");
}
static LLVMValueRef inverse(EmitModule *m, LLVMValueRef x) { return em_fdiv(m, lit(x, 1), x); }
static LLVMValueRef equal(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFCmp(m->b, LLVMRealOEQ, a, b, "");
}

/* pi (x - the whole number nearest to x) */
static LLVMValueRef turn(EmitModule *m, LLVMValueRef x) {
  return em_fmul(m, lit(x, 3.14159265358979323846), em_fsub(m, x, em_unary(m, "llvm.nearbyint", x)));
}

/* x from 0.5 on */
static LLVMValueRef psi(EmitModule *m, LLVMValueRef x) {
  LLVMValueRef s = lit(x, 0), one = lit(x, 1), far = at_least(m, x, GAMMA_SHIFT), w = x;
  for (int k = 0; k < GAMMA_SHIFT; k++, w = em_fadd(m, w, one)) s = em_fsub(m, s, inverse(m, w));
  w = pick(m, far, x, w);
  s = pick(m, far, lit(x, 0), s);
  LLVMValueRef u = inverse(m, em_fmul(m, w, w)), r = lit(x, 0);
  for (int k = GAMMA_TERMS; k-- > 0;)
    r = em_fmul(m, u, em_fadd(m, r, lit(x, gamma_bernoulli[k] / (2 * k + 2))));
  LLVMValueRef y = em_fsub(m, per_lane(m, "log", &w, 1), em_fdiv(m, lit(x, 0.5), w));
  return em_fadd(m, em_fsub(m, y, r), s);
}

static LLVMValueRef digamma_f64(EmitModule *m, LLVMValueRef x) {
  LLVMValueRef low = less(m, x, lit(x, 0.5)), t = turn(m, x), none = lit(x, 0);
  LLVMValueRef y = psi(m, pick(m, low, em_fsub(m, lit(x, 1), x), x));
  LLVMValueRef mirror = em_fdiv(m, lit(x, 3.14159265358979323846), per_lane(m, "tan", &t, 1));
  y = pick(m, low, em_fsub(m, y, mirror), y);
  LLVMValueRef pole = LLVMBuildAnd(m->b, less(m, x, none), equal(m, x, em_unary(m, "llvm.floor", x)), "");
  y = pick(m, pole, lit(x, NAN), y);
  return pick(m, is_zero(m, x), copysign_bits(m, lit(x, HUGE_VAL), LLVMBuildFNeg(m->b, x, "")), y);
}

LLVMValueRef vm_digamma(EmitModule *m, LLVMValueRef x) {
  return narrowed(m, digamma_f64(m, widened(m, x)), x);
}

/* 1 / x^(n + 1) */
static LLVMValueRef power(EmitModule *m, LLVMValueRef x, LLVMValueRef n) {
  return per_lane(m, "pow", (LLVMValueRef[]){x, em_fsub(m, lit(x, -1), n)}, 2);
}

/* n > 0, x > 0 */
static LLVMValueRef polygamma_f64(EmitModule *m, LLVMValueRef n, LLVMValueRef x) {
  LLVMValueRef s = lit(x, 0), one = lit(x, 1), w = x, next = em_fadd(m, n, one);
  for (int k = 0; k < GAMMA_SHIFT; k++, w = em_fadd(m, w, one)) s = em_fadd(m, s, power(m, w, n));
  LLVMValueRef p = power(m, w, n), tail = em_fadd(m, em_fdiv(m, w, n), lit(x, 0.5));
  LLVMValueRef term = em_fdiv(m, em_fmul(m, next, lit(x, 0.5)), w), ww = em_fmul(m, w, w);
  for (int k = 0; k < GAMMA_TERMS; k++) {
    double j = 2 * k + 2;
    tail = em_fadd(m, tail, em_fmul(m, lit(x, gamma_bernoulli[k]), term));
    LLVMValueRef up = em_fmul(m, em_fadd(m, n, lit(x, j)), em_fadd(m, n, lit(x, j + 1)));
    term = em_fdiv(m, em_fmul(m, term, up), em_fmul(m, lit(x, (j + 1) * (j + 2)), ww));
  }
  return em_fmul(m, per_lane(m, "tgamma", &next, 1), em_fadd(m, s, em_fmul(m, p, tail)));
}

LLVMValueRef vm_polygamma(EmitModule *m, LLVMValueRef order, LLVMValueRef x) {
  LLVMValueRef n = em_unary(m, "llvm.nearbyint", widened(m, order)), z = widened(m, x), one = lit(z, 1);
  LLVMValueRef none = lit(z, 0), inf = lit(z, HUGE_VAL), first = equal(m, n, one), t = turn(m, z);
  LLVMValueRef half = em_fmul(m, n, lit(z, 0.5));
  LLVMValueRef odd = LLVMBuildNot(m->b, equal(m, half, em_unary(m, "llvm.floor", half)), "");
  LLVMValueRef low = LLVMBuildAnd(m->b, first, less(m, z, lit(z, 0.5)), "");
  LLVMValueRef whole = polygamma_f64(m, n, pick(m, low, em_fsub(m, one, z), z)), y;
  LLVMValueRef s = em_fdiv(m, lit(z, 3.14159265358979323846), per_lane(m, "sin", &t, 1));
  y = pick(m, odd, whole, LLVMBuildFNeg(m->b, whole, ""));
  LLVMValueRef negative = LLVMBuildNot(m->b, at_least(m, z, 0), "");
  y = pick(m, LLVMBuildAnd(m->b, is_zero(m, z), LLVMBuildNot(m->b, odd, ""), ""), lit(z, NAN), y);
  y = pick(m, negative, lit(z, NAN), y);
  y = pick(m, equal(m, z, inf), pick(m, odd, none, lit(z, -0.0)), y);
  LLVMValueRef mirror = em_fsub(m, em_fmul(m, s, s), whole);
  mirror = pick(m, equal(m, absolute(m, s), inf), inf, mirror);
  y = pick(m, low, mirror, y);
  y = pick(m, is_zero(m, n), digamma_f64(m, z), y);
  return narrowed(m, pick(m, at_least(m, n, 0), y, lit(z, NAN)), x);
}

/* 1.3 ulp. Odd polynomial below 0.625, else 1 - 2 / (e^2x + 1). */
LLVMValueRef vm_tanh(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "tanh", &x, 1);
  LLVMValueRef a = absolute(m, x), u = em_fmul(m, x, x);
  LLVMValueRef p =
      POLY(m, u, 0.00210526211, -0.00814190693, 0.0216896802, -0.0539456471, 0.133332079, -0.333333313);
  LLVMValueRef small = em_fma(m, em_fmul(m, p, u), x, x);
  LLVMValueRef most = lit(x, 10), e = pick(m, less(m, most, a), most, a);
  e = exp_bounded(m, em_fmul(m, e, lit(x, 2)));
  LLVMValueRef big = em_fsub(m, lit(x, 1), em_fdiv(m, lit(x, 2), em_fadd(m, e, lit(x, 1))));
  return pick(m, at_least(m, a, 0.625), copysign_bits(m, big, x), small);
}

/* 1.1 ulp. Odd polynomial below 0.9, else 1 - exp(a Q(a)). */
LLVMValueRef vm_erf(EmitModule *m, LLVMValueRef x) {
  if (is_f64(x)) return per_lane(m, "erf", &x, 1);
  LLVMValueRef a = absolute(m, x), u = em_fmul(m, x, x);
  LLVMValueRef p = POLY(m, u, 8.40991352e-5, -0.000815262608, 0.00520196004, -0.0268597985, 0.112837033,
                        -0.376126343, 0.128379167);
  LLVMValueRef small = em_fma(m, p, x, x);
  LLVMValueRef most = lit(x, 4), t = pick(m, less(m, most, a), most, a);
  LLVMValueRef q = POLY(m, t, -1.56766936e-5, 0.000366706424, -0.00381764454, 0.0241234344, -0.106643246,
                        -0.634915053, -1.12870402);
  LLVMValueRef big = em_fsub(m, lit(x, 1), exp_bounded(m, em_fmul(m, q, t)));
  return pick(m, at_least(m, a, 0.9), copysign_bits(m, big, x), small);
}

/* 1.6 ulp below 1e5, libm above. x = q pi/2 + r in double (33 + 53 bits of pi/2), polynomials in f32. */
static LLVMValueRef sin_cos(EmitModule *m, LLVMValueRef x, int quadrant) {
  LLVMTypeRef it = like(x, m->i32);
  LLVMValueRef far = less(m, lit(x, 1e5), absolute(m, x));
  LLVMValueRef any = far;
  if (em_lanes(x) > 1) {
    LLVMTypeRef t = LLVMIntTypeInContext(m->cx, (unsigned)em_lanes(x));
    any = LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildBitCast(m->b, far, t, ""), LLVMConstNull(t), "");
  }
  EmitIf f;
  em_if(m, &f, any);
  LLVMValueRef slow = per_lane(m, quadrant ? "cosf" : "sinf", &x, 1);
  em_else(m, &f);
  LLVMValueRef d = LLVMBuildFPExt(m->b, x, like(x, m->f64), ""), magic = lit(d, 6755399441055744.0);
  LLVMValueRef t = em_fma(m, d, lit(d, 0.63661977236758138), magic), n = LLVMBuildFSub(m->b, t, magic, "");
  LLVMValueRef minus = LLVMBuildFNeg(m->b, n, "");
  d = em_fma(m, minus, lit(d, 0x1.921fb544p+0), d);
  d = em_fma(m, minus, lit(d, 0x1.0b4611a626331p-34), d);
  LLVMValueRef r = LLVMBuildFPTrunc(m->b, d, LLVMTypeOf(x), ""), u = em_fmul(m, r, r);
  LLVMValueRef q = LLVMBuildTrunc(m->b, bits_of(m, t), it, "");
  if (quadrant) q = LLVMBuildAdd(m->b, q, em_bits(it, 1), "");
  LLVMValueRef s = POLY(m, u, 2.71727316e-6, -0.000198392535, 0.00833332931, -0.166666666);
  s = em_fma(m, em_fmul(m, s, u), r, r);
  LLVMValueRef c = POLY(m, u, -2.72365304e-7, 2.4799905e-5, -0.00138888855, 0.0416666666);
  c = em_fma(m, em_fmul(m, c, u), u, em_fma(m, u, lit(x, -0.5), lit(x, 1)));
  LLVMValueRef odd =
      LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildAnd(m->b, q, em_bits(it, 1), ""), em_bits(it, 0), "");
  LLVMValueRef sign = LLVMBuildShl(m->b, LLVMBuildAnd(m->b, q, em_bits(it, 2), ""), em_bits(it, 30), "");
  LLVMValueRef fast = float_of(m, LLVMBuildXor(m->b, bits_of(m, pick(m, odd, c, s)), sign, ""));
  em_endif(m, &f);
  return em_merge(m, &f, slow, fast);
}

LLVMValueRef vm_sin(EmitModule *m, LLVMValueRef x) {
  return is_f64(x) ? per_lane(m, "sin", &x, 1) : sin_cos(m, x, 0);
}
LLVMValueRef vm_cos(EmitModule *m, LLVMValueRef x) {
  return is_f64(x) ? per_lane(m, "cos", &x, 1) : sin_cos(m, x, 1);
}

/* log2 of a positive double that came from an f32 (relative error 1e-12). */
static LLVMValueRef log2_f64(EmitModule *m, LLVMValueRef x) {
  LLVMTypeRef it = like(x, m->i64);
  LLVMValueRef b = bits_of(m, x);
  LLVMValueRef e = LLVMBuildSub(m->b, b, em_bits(it, 0x3fe5555555555555ull), ""); /* 2/3 */
  e = LLVMBuildAnd(m->b, e, em_bits(it, 0xfff0000000000000ull), "");
  LLVMValueRef f = LLVMBuildBitCast(m->b, LLVMBuildSub(m->b, b, e, ""), LLVMTypeOf(x), "");
  e = LLVMBuildTrunc(m->b, LLVMBuildAShr(m->b, e, em_bits(it, 52), ""), like(x, m->i32), "");
  LLVMValueRef n = LLVMBuildSIToFP(m->b, e, LLVMTypeOf(x), "");
  LLVMValueRef s = em_fdiv(m, em_fsub(m, f, lit(x, 1)), em_fadd(m, f, lit(x, 1)));
  LLVMValueRef p = POLY(m, em_fmul(m, s, s), 0.29084574481546655, 0.31928357691725555, 0.41222622505688763,
                        0.57707775484853825, 0.96179669482919378, 2.8853900817774216);
  return em_fma(m, p, s, n);
}

/* 2^x in double for |x| <= 1000 (relative error 4e-11). */
static LLVMValueRef exp2_f64(EmitModule *m, LLVMValueRef x) {
  LLVMTypeRef it = like(x, m->i64);
  LLVMValueRef magic = lit(x, 6755399441055744.0), t = LLVMBuildFAdd(m->b, x, magic, "");
  LLVMValueRef r = em_fsub(m, x, LLVMBuildFSub(m->b, t, magic, ""));
  LLVMValueRef p =
      POLY(m, r, 1.52019149415063e-5, 0.00015469290737562847, 0.0013333922582397815, 0.0096180272551475152,
           0.055504103534503438, 0.24022651198147239, 0.69314718072843609, 0.99999999996168241);
  /* the low bits of t hold the integer: adding them to the exponent field scales p */
  LLVMValueRef n = LLVMBuildShl(m->b, bits_of(m, t), em_bits(it, 52), "");
  return LLVMBuildBitCast(m->b, LLVMBuildAdd(m->b, bits_of(m, p), n, ""), LLVMTypeOf(x), "");
}

/* 0.6 ulp: 2^(y log2 |x|) in double, then the special cases of C's pow. */
LLVMValueRef vm_pow(EmitModule *m, LLVMValueRef x, LLVMValueRef y) {
  if (is_f64(x)) return per_lane(m, "pow", (LLVMValueRef[]){x, y}, 2);
  LLVMTypeRef ft = LLVMTypeOf(x), dt = like(x, m->f64);
  LLVMValueRef a = absolute(m, x), inf = lit(x, HUGE_VAL), one = lit(x, 1), zero = lit(x, 0);
  LLVMValueRef da = LLVMBuildFPExt(m->b, a, dt, ""), dy = LLVMBuildFPExt(m->b, y, dt, "");
  LLVMValueRef lg = log2_f64(m, da);
  lg = pick(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, a, zero, ""), lit(da, -HUGE_VAL), lg);
  lg = pick(m, LLVMBuildFCmp(m->b, LLVMRealOEQ, a, inf, ""), lit(da, HUGE_VAL), lg);
  LLVMValueRef e = em_fmul(m, dy, lg);
  LLVMValueRef r = LLVMBuildFPTrunc(m->b, exp2_f64(m, vm_clamp(m, e, -200, 200)), ft, "");
  /* the sign of a negative base: odd integer exponents keep it, fractions have no value */
  LLVMValueRef whole = LLVMBuildFCmp(m->b, LLVMRealOEQ, em_unary(m, "llvm.floor", y), y, "");
  LLVMValueRef half = em_fmul(m, y, lit(y, 0.5));
  LLVMValueRef even = LLVMBuildFCmp(m->b, LLVMRealOEQ, em_unary(m, "llvm.floor", half), half, "");
  LLVMValueRef odd = LLVMBuildAnd(m->b, whole, LLVMBuildNot(m->b, even, ""), "");
  r = pick(m, odd, copysign_bits(m, r, x), r);
  LLVMValueRef none = LLVMBuildAnd(m->b, less(m, x, zero), LLVMBuildNot(m->b, whole, ""), "");
  none = LLVMBuildAnd(m->b, none, LLVMBuildFCmp(m->b, LLVMRealONE, a, inf, ""), "");
  LLVMValueRef nan = LLVMBuildOr(m->b, LLVMBuildOr(m->b, is_nan(m, x), is_nan(m, y), ""), none, "");
  r = pick(m, nan, lit(x, NAN), r);
  LLVMValueRef unit = LLVMBuildAnd(m->b, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, lit(x, -1), ""),
                                   LLVMBuildFCmp(m->b, LLVMRealOEQ, absolute(m, y), inf, ""), "");
  unit = LLVMBuildOr(m->b, unit, LLVMBuildFCmp(m->b, LLVMRealOEQ, x, one, ""), "");
  unit = LLVMBuildOr(m->b, unit, LLVMBuildFCmp(m->b, LLVMRealOEQ, y, zero, ""), "");
  return pick(m, unit, one, r);
}
