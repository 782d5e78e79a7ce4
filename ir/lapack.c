/* Scripts of LAPACK calls (lapack.h), OpenBLAS's library, and how a script is carried out. */
#include "ir/lapack.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- extents ---- */
static int64_t smaller(const LapackSpec *s) { return s->m < s->n ? s->m : s->n; }

/* Elements from the first to the last of so many rows. */
static int64_t rows_span(int64_t rows, int64_t cols, int64_t between) { return (rows - 1) * between + cols; }

int64_t lapack_count(const LapackSpec *s, int place) {
  int64_t m = s->m, n = s->n, r = smaller(s);
  if (s->what == LAPACK_GEMM && place == LAPACK_A)
    return s->transposed ? rows_span(s->k, m, s->lda) : rows_span(m, s->k, s->lda);
  if (s->what == LAPACK_GEMM && place == LAPACK_B)
    return s->b_transposed ? rows_span(n, s->k, s->ldb) : rows_span(s->k, n, s->ldb);
  if (place == LAPACK_A) return m * n;
  if (place == LAPACK_B) return s->what == LAPACK_TRIANGULAR || s->what == LAPACK_SOLVE ? n * s->k : 0;
  if (place != LAPACK_OUT) return 0;
  switch (s->what) {
  case LAPACK_TRIANGULAR:
  case LAPACK_SOLVE: return n * s->k;
  case LAPACK_SLOGDET: return 2;
  case LAPACK_EIGH: return (n + 1) * n;
  case LAPACK_EIGVALSH: return n;
  case LAPACK_SVD: return r + m * r + r * n;
  case LAPACK_QR: return m * r + r * n;
  default: return m * n;
  }
}

int64_t lapack_step(const LapackSpec *s, int place) {
  if (s->what == LAPACK_GEMM && place < LAPACK_WORK) return place == LAPACK_A ? s->a_step : s->b_step;
  return lapack_count(s, place);
}

static int64_t offset(const LapackSpec *s, int place) {
  return place == LAPACK_A ? s->a_off : place == LAPACK_B ? s->b_off : 0;
}

int64_t lapack_elements(const LapackSpec *s, int place) {
  return offset(s, place) + (s->batch - 1) * lapack_step(s, place) + lapack_count(s, place);
}

/* Golub and Van Loan, "Matrix Computations", chapters 3, 4, 5 and 8. */
double lapack_flops(const LapackSpec *s) {
  double m = (double)s->m, n = (double)s->n, k = (double)s->k, r = (double)smaller(s), l = m + n - r;
  switch (s->what) {
  case LAPACK_CHOLESKY: return n * n * n / 3;
  case LAPACK_TRIANGULAR: return n * n * k;
  case LAPACK_SOLVE: return 2 * n * n * n / 3 + 2 * n * n * k;
  case LAPACK_SLOGDET: return 2 * n * n * n / 3;
  case LAPACK_GEMM: return 2 * m * n * k;
  case LAPACK_EIGH: return 9 * n * n * n;
  case LAPACK_EIGVALSH: return 4 * n * n * n / 3;
  case LAPACK_SVD: return 6 * l * r * r + 20 * r * r * r;
  default: return 4 * l * r * r - 4 * r * r * r / 3;
  }
}

const char *lapack_misfit(const LapackSpec *s) {
  const int64_t most = 1 << 15; /* twice its square is an int */
  if (s->what == LAPACK_GEMM) {
    int64_t v[] = {s->m, s->n, s->k, s->lda, s->ldb};
    for (int i = 0; i < 5; i++)
      if (v[i] < 1 || v[i] > INT32_MAX) return "its extents are beyond BLAS's integers";
    return NULL;
  }
  if (s->m < 1 || s->n < 1 || s->m > most || s->n > most || s->k > INT32_MAX / most)
    return "a matrix of more than 32768 rows or columns is beyond LAPACK's integers";
  return NULL;
}

/* ---- scripts ---- */
typedef struct {
  LapackScript *s;
  int64_t size; /* of an element */
} Writer;

#define TEXT(C) {LA_TEXT, (C), {0}}
#define INT(N) {LA_INT, (N), {0}}
#define REAL(N) {LA_REAL, (N), {0}}
#define AT(P) {LA_PLACE, 0, (P)}
#define INFO {LA_INFO, 0, {0}}
#define ARGS(...)                                                                                            \
  (const LapackArg[]){__VA_ARGS__}, (int)(sizeof((const LapackArg[]){__VA_ARGS__}) / sizeof(LapackArg))

static LapackCall *push(Writer *w) {
  if (w->s->n == LAPACK_CALLS) bug("a LAPACK script of more than %d calls", LAPACK_CALLS);
  return &w->s->call[w->s->n++];
}

static void call(Writer *w, const char *routine, bool spoils, const LapackArg *arg, int narg) {
  LapackCall *c = push(w);
  snprintf(c->routine, sizeof c->routine, "%c%s_", w->s->dt == DT_F64 ? 'd' : 's', routine);
  memcpy(c->arg, arg, sizeof *arg * (size_t)narg);
  c->narg = narg;
  c->spoils = spoils;
}

static LapackPlace at(const Writer *w, int place, int64_t element) {
  return (LapackPlace){place, element * w->size};
}

/* So many bytes of the workspace. */
static LapackPlace room(Writer *w, int64_t count, int64_t size) {
  LapackPlace p = {LAPACK_WORK, w->s->work};
  w->s->work += (count * size + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
  return p;
}

static LapackPlace numbers(Writer *w, int64_t count) { return room(w, count, w->size); }
static LapackPlace integers(Writer *w, int64_t count) { return room(w, count, (int64_t)sizeof(int32_t)); }

/* rows x cols by columns. */
static void copy(Writer *w, int64_t rows, int64_t cols, LapackPlace from, int64_t step, LapackPlace to) {
  call(w, "lacpy", false, ARGS(TEXT('A'), INT(rows), INT(cols), AT(from), INT(step), AT(to), INT(rows)));
}

static void wants_finite(Writer *w, LapackPlace x, int64_t len, int64_t step) {
  *push(w) = (LapackCall){.act = LA_FINITE, .x = x, .len = len, .count = step};
}

static void signs(Writer *w, int64_t count, int64_t len, LapackPlace x, int64_t ylen, LapackPlace y) {
  *push(w) = (LapackCall){.act = LA_SIGNS, .x = x, .y = y, .count = count, .len = len, .ylen = ylen};
}

/* The upper factor by columns is the lower one by rows. */
static void cholesky(Writer *w, const LapackSpec *s) {
  int64_t n = s->n;
  LapackPlace out = at(w, LAPACK_OUT, 0);
  copy(w, n, n, at(w, LAPACK_A, 0), n, out);
  call(w, "potrf", true, ARGS(TEXT('U'), INT(n), AT(out), INT(n), INFO));
  wants_finite(w, out, n, n + 1); /* it takes a NaN for positive */
  if (n > 1)
    call(w, "laset", false,
         ARGS(TEXT('L'), INT(n - 1), INT(n - 1), REAL(0), REAL(0), AT(at(w, LAPACK_OUT, 1)), INT(n)));
}

/* op(A) X = B is X' op(A)' = B'. */
static void triangular(Writer *w, const LapackSpec *s) {
  int64_t n = s->n, k = s->k;
  LapackPlace out = at(w, LAPACK_OUT, 0);
  copy(w, k, n, at(w, LAPACK_B, 0), k, out);
  call(w, "trsm", false,
       ARGS(TEXT('R'), TEXT(s->upper ? 'L' : 'U'), TEXT(s->transposed ? 'T' : 'N'), TEXT(s->unit ? 'U' : 'N'),
            INT(k), INT(n), REAL(1), AT(at(w, LAPACK_A, 0)), INT(n), AT(out), INT(k)));
}

static LapackPlace factors(Writer *w, int64_t n, LapackPlace *pivots, bool spoils) {
  LapackPlace lu = numbers(w, n * n);
  *pivots = integers(w, n);
  copy(w, n, n, at(w, LAPACK_A, 0), n, lu);
  call(w, "getrf", spoils, ARGS(INT(n), INT(n), AT(lu), INT(n), AT(*pivots), INFO));
  return lu;
}

/* A x = b for each row b: rows of ours are LAPACK's right-hand sides. */
static void solve(Writer *w, const LapackSpec *s) {
  int64_t n = s->n, k = s->k;
  LapackPlace pivots, lu = factors(w, n, &pivots, true), out = at(w, LAPACK_OUT, 0);
  copy(w, n, k, at(w, LAPACK_B, 0), n, out);
  call(w, "getrs", false,
       ARGS(TEXT(s->transposed ? 'N' : 'T'), INT(n), INT(k), AT(lu), INT(n), AT(pivots), AT(out), INT(n),
            INFO));
}

static void slogdet(Writer *w, const LapackSpec *s) {
  LapackPlace pivots, lu = factors(w, s->n, &pivots, false);
  *push(w) = (LapackCall){.act = LA_DET, .x = lu, .y = at(w, LAPACK_OUT, 0), .pivots = pivots, .len = s->n};
}

/* Columns of the eigenvectors are rows of ours; the upper half by columns is our lower one. */
static void eigh(Writer *w, const LapackSpec *s) {
  int64_t n = s->n, lwork = 1 + 6 * n + 2 * n * n, liwork = 3 + 5 * n;
  bool vectors = s->what == LAPACK_EIGH;
  LapackPlace a = vectors ? at(w, LAPACK_OUT, n) : numbers(w, n * n);
  wants_finite(w, at(w, LAPACK_A, 0), n * n, 1);
  copy(w, n, n, at(w, LAPACK_A, 0), n, a);
  LapackPlace work = numbers(w, lwork), iwork = integers(w, liwork);
  call(w, "syevd", true,
       ARGS(TEXT(vectors ? 'V' : 'N'), TEXT('U'), INT(n), AT(a), INT(n), AT(at(w, LAPACK_OUT, 0)), AT(work),
            INT(lwork), AT(iwork), INT(liwork), INFO));
  if (vectors) signs(w, n, n, a, 0, a);
}

/* A' = V S U': LAPACK's left vectors are the rows of our V', its right ones our columns of U. */
static void svd(Writer *w, const LapackSpec *s) {
  int64_t m = s->m, n = s->n, r = smaller(s), l = m + n - r;
  int64_t lwork = 4 * r * r + 7 * r + l + 32 * (m + n);
  LapackPlace a = numbers(w, m * n), work = numbers(w, lwork), iwork = integers(w, 8 * r);
  LapackPlace sv = at(w, LAPACK_OUT, 0), u = at(w, LAPACK_OUT, r), vt = at(w, LAPACK_OUT, r + m * r);
  wants_finite(w, at(w, LAPACK_A, 0), m * n, 1);
  copy(w, n, m, at(w, LAPACK_A, 0), n, a);
  call(w, "gesdd", true,
       ARGS(TEXT('S'), INT(n), INT(m), AT(a), INT(n), AT(sv), AT(vt), INT(n), AT(u), INT(r), AT(work),
            INT(lwork), AT(iwork), INFO));
  signs(w, r, n, vt, m, u);
}

/* A' = L Q' of LAPACK is A = Q R of ours. */
static void qr(Writer *w, const LapackSpec *s) {
  int64_t m = s->m, n = s->n, r = smaller(s), lwork = 32 * (m > n ? m : n);
  LapackPlace a = numbers(w, m * n), tau = numbers(w, r), work = numbers(w, lwork);
  LapackPlace q = at(w, LAPACK_OUT, 0), upper = at(w, LAPACK_OUT, m * r);
  copy(w, n, m, at(w, LAPACK_A, 0), n, a);
  call(w, "gelqf", false, ARGS(INT(n), INT(m), AT(a), INT(n), AT(tau), AT(work), INT(lwork), INFO));
  copy(w, n, r, a, n, upper);
  if (r > 1)
    call(w, "laset", false,
         ARGS(TEXT('U'), INT(r - 1), INT(r - 1), REAL(0), REAL(0), AT(at(w, LAPACK_OUT, m * r + n)), INT(n)));
  copy(w, r, m, a, n, q);
  call(w, "orglq", false, ARGS(INT(r), INT(m), INT(r), AT(q), INT(r), AT(tau), AT(work), INT(lwork), INFO));
}

static void gemm(Writer *w, const LapackSpec *s) {
  call(w, "gemm", false,
       ARGS(TEXT(s->b_transposed ? 'T' : 'N'), TEXT(s->transposed ? 'T' : 'N'), INT(s->n), INT(s->m),
            INT(s->k), REAL(1), AT(at(w, LAPACK_B, 0)), INT(s->ldb), AT(at(w, LAPACK_A, 0)), INT(s->lda),
            REAL(0), AT(at(w, LAPACK_OUT, 0)), INT(s->n)));
}

LapackScript lapack_script(const LapackSpec *s) {
  static void (*const write[LAPACK_OPS])(Writer *, const LapackSpec *) = {
      [LAPACK_CHOLESKY] = cholesky, [LAPACK_TRIANGULAR] = triangular,
      [LAPACK_SOLVE] = solve,       [LAPACK_SLOGDET] = slogdet,
      [LAPACK_EIGH] = eigh,         [LAPACK_EIGVALSH] = eigh,
      [LAPACK_SVD] = svd,           [LAPACK_QR] = qr,
      [LAPACK_GEMM] = gemm};
  LapackScript script = {.dt = s->dt, .result = lapack_count(s, LAPACK_OUT)};
  Writer w = {&script, dtype_size(s->dt)};
  write[s->what](&w, s);
  return script;
}

/* ---- the library ---- */
#if defined(__aarch64__)
#define TRIPLET "aarch64-linux-gnu"
#else
#define TRIPLET "x86_64-linux-gnu"
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_SYMBOLS 0 /* sanitizers refuse it */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_SYMBOLS 0
#endif
#endif
#ifndef OWN_SYMBOLS
#define OWN_SYMBOLS RTLD_DEEPBIND /* whatever BLAS the host has loaded for all */
#endif

static ExternFn symbol(void *library, const char *name) {
  void *p = dlsym(library, name);
  ExternFn fn = NULL;
  if (p) memcpy(&fn, &p, sizeof fn);
  return fn;
}

/* OpenBLAS that has no threads. */
static void *open_library(char *err, size_t errlen) {
  const char *own = getenv("JEPAC_OPENBLAS");
  const char *const path[] = {own ? own : "/usr/lib/" TRIPLET "/openblas-serial/libopenblas.so.0",
                              own ? own : "libopenblas.so.0"};
  bool threads = false;
  for (int i = 0; i < (own ? 1 : 2); i++) {
    void *library = dlopen(path[i], RTLD_NOW | RTLD_LOCAL | OWN_SYMBOLS);
    ExternFn fn = library ? symbol(library, "openblas_get_parallel") : NULL;
    if (fn && ((int (*)(void))fn)() == 0) return library;
    threads |= fn != NULL;
    if (library) dlclose(library);
  }
  snprintf(err, errlen, "%s: install the package libopenblas0-serial",
           threads ? "OpenBLAS is there only with threads of its own" : "OpenBLAS is missing");
  return NULL;
}

bool lapack_there(char *err, size_t errlen) { return open_library(err, errlen) != NULL; }

bool lapack_bind(LapackScript *s, char *err, size_t errlen) {
  void *library = open_library(err, errlen);
  for (int i = 0; library && i < s->n; i++) {
    LapackCall *c = &s->call[i];
    if (c->act != LA_CALL || (c->fn = symbol(library, c->routine))) continue;
    snprintf(err, errlen, "this OpenBLAS has no LAPACK (%s)", c->routine);
    return false;
  }
  return library != NULL;
}

/* ---- carrying out ---- */
static void *address(void *const *place, LapackPlace p) { return (char *)place[p.place] + p.at; }

/* LAPACK's info. */
static int call_routine(const LapackScript *s, const LapackCall *c, void *const *place) {
  char text[LAPACK_ARGS];
  int32_t number[LAPACK_ARGS], info = 0;
  double real[LAPACK_ARGS];
  void *arg[LAPACK_ARGS];
  Shape lengths = {0}; /* Fortran gives the lengths of texts behind the other arguments */
  for (int i = 0; i < c->narg; i++) {
    const LapackArg *a = &c->arg[i];
    switch (a->kind) {
    case LA_TEXT:
      text[i] = (char)a->n;
      arg[i] = &text[i];
      lengths.dim[lengths.rank++] = 1;
      break;
    case LA_INT:
      number[i] = (int32_t)a->n;
      arg[i] = &number[i];
      break;
    case LA_REAL:
      if (s->dt == DT_F64) real[i] = (double)a->n;
      else memcpy(&real[i], &(float){(float)a->n}, sizeof(float));
      arg[i] = &real[i];
      break;
    case LA_PLACE: arg[i] = address(place, a->place); break;
    case LA_INFO: arg[i] = &info; break;
    }
  }
  extern_call(c->fn, arg, c->narg, &lengths);
  if (info < 0) bug("%s refuses its argument %d", c->routine, -info);
  return info;
}

static double load(DType dt, const void *p, int64_t i) {
  return dt == DT_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void store(DType dt, void *p, int64_t i, double v) {
  if (dt == DT_F64) ((double *)p)[i] = v;
  else ((float *)p)[i] = (float)v;
}

static bool all_finite(DType dt, const LapackCall *c, const void *x) {
  for (int64_t i = 0; i < c->len; i++)
    if (!isfinite(load(dt, x, i * c->count))) return false;
  return true;
}

static void turn(DType dt, const LapackCall *c, void *x, void *y) {
  for (int64_t v = 0; v < c->count; v++) {
    double largest = 0;
    int64_t first = 0;
    for (int64_t i = 0; i < c->len; i++) largest = fmax(largest, fabs(load(dt, x, v * c->len + i)));
    while (first < c->len - 1 && !(fabs(load(dt, x, v * c->len + first)) >= 0.6 * largest)) first++;
    if (!(load(dt, x, v * c->len + first) < 0)) continue;
    for (int64_t i = 0; i < c->len; i++) store(dt, x, v * c->len + i, -load(dt, x, v * c->len + i));
    for (int64_t i = 0; i < c->ylen; i++) store(dt, y, i * c->count + v, -load(dt, y, i * c->count + v));
  }
}

static void determinant(DType dt, const LapackCall *c, const void *lu, const int32_t *pivot, void *out) {
  double sign = 1, size = 0;
  for (int64_t i = 0; i < c->len; i++) {
    double d = load(dt, lu, i * (c->len + 1));
    sign *= d > 0 ? 1 : d < 0 ? -1 : d;
    if (pivot[i] != i + 1) sign = -sign;
    size += log(fabs(d));
  }
  store(dt, out, 0, sign);
  store(dt, out, 1, size);
}

int lapack_run(const LapackScript *s, void *const place[LAPACK_PLACES]) {
  int spoiled = 0;
  for (int i = 0; i < s->n && !spoiled; i++) {
    const LapackCall *c = &s->call[i];
    void *x = c->act == LA_CALL ? NULL : address(place, c->x),
         *y = c->act == LA_CALL ? NULL : address(place, c->y);
    int info;
    switch (c->act) {
    case LA_CALL:
      info = call_routine(s, c, place);
      if (c->spoils) spoiled = info;
      break;
    case LA_FINITE: spoiled = all_finite(s->dt, c, x) ? 0 : -1; break;
    case LA_SIGNS: turn(s->dt, c, x, y); break;
    case LA_DET: determinant(s->dt, c, x, address(place, c->pivots), y); break;
    }
  }
  for (int64_t i = 0; i < s->result && spoiled; i++) store(s->dt, place[LAPACK_OUT], i, NAN);
  return spoiled;
}

int64_t lapack_eval(const LapackSpec *s, const double *a, const double *b, double *out, int *info) {
  LapackSpec wide = *s;
  wide.dt = DT_F64;
  LapackScript script = lapack_script(&wide);
  char err[200];
  if (!lapack_bind(&script, err, sizeof err)) {
    fprintf(stderr, "jepac: error: %s\n", err);
    exit(ST_FILE);
  }
  Arena *tmp = arena_new();
  int64_t na = lapack_count(s, LAPACK_A), nb = lapack_count(s, LAPACK_B), n = script.result, first = -1;
  double *copy_a = NEWN(tmp, double, na + 1), *copy_b = NEWN(tmp, double, nb + 1);
  void *work = arena_alloc(tmp, (size_t)script.work + 1);
  for (int64_t i = 0; i < s->batch; i++) {
    memcpy(copy_a, a + s->a_off + i * lapack_step(s, LAPACK_A), sizeof *a * (size_t)na);
    if (nb) memcpy(copy_b, b + s->b_off + i * lapack_step(s, LAPACK_B), sizeof *b * (size_t)nb);
    void *const place[LAPACK_PLACES] = {copy_a, copy_b, work, out + i * n};
    int why = lapack_run(&script, place);
    for (int64_t j = 0; s->what == LAPACK_TRIANGULAR && !s->unit && !why && j < s->n; j++)
      if (copy_a[j * (s->n + 1)] == 0) why = (int)j + 1;
    if (!why || first >= 0) continue;
    first = i;
    *info = why;
  }
  arena_free(tmp);
  return first;
}

const char *lapack_reason(const LapackSpec *s, int64_t item, int info, Arena *a) {
  const char *which = s->batch > 1 ? arena_printf(a, "matrix %lld of %lld (the first is 0)", (long long)item,
                                                  (long long)s->batch)
                                   : "the matrix";
  if (info < 0) return arena_printf(a, "%s is not finite", which);
  switch (s->what) {
  case LAPACK_CHOLESKY:
    return arena_printf(a, "%s is not positive definite: its leading minor of order %d is not positive",
                        which, info);
  case LAPACK_TRIANGULAR:
    return arena_printf(a, "%s is singular: element %d of its diagonal is zero", which, info);
  case LAPACK_SOLVE: return arena_printf(a, "%s is singular: pivot %d is zero", which, info);
  default: return arena_printf(a, "for %s the iteration does not converge", which);
  }
}
