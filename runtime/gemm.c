/* Matrix products on tiles fixed by shape, each a single-threaded OpenBLAS call (or a plain loop when tiny),
   so that results do not depend on the number of threads: OpenBLAS with T threads cuts differently for
   different T. The library is loaded on demand, which leaves OPENBLAS_CORETYPE to the environment and
   programs without products free of it. */
#include "runtime/gemm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void SgemmFn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                     const float *b, int ldb, float beta, float *c, int ldc);
typedef void DgemmFn(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                     const double *b, int ldb, double beta, double *c, int ldc);

/* Written once by load(), under pthread_once. */
static struct {
  pthread_once_t once;
  SgemmFn *sgemm;
  DgemmFn *dgemm;
  const char *core; /* kernels it chose: "Haswell" */
  char error[256];
} blas = {.once = PTHREAD_ONCE_INIT};

static void *symbol(void *lib, const char *name) {
  void *p = dlsym(lib, name);
  if (!p) snprintf(blas.error, sizeof blas.error, "libopenblas.so.0 lacks %s", name);
  return p;
}

/* OpenBLAS takes SSE kernels for CPUs newer than itself. Its AVX-512 kernels pay where 512-bit units are
   twice as wide (Intel); where they are not (AMD), its AVX2 kernels were faster on nearly all of our shapes
   (docs/performance.md). NULL: let it choose. */
static const char *best_core(void) {
#ifdef __x86_64__
  if (__builtin_cpu_is("intel") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return "SkylakeX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
  return NULL;
}

static void load(void) {
  const char *before = getenv("OPENBLAS_NUM_THREADS");
  if (!before)
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* else loading it starts threads that are never used */
  const char *core = getenv("OPENBLAS_CORETYPE") ? NULL : best_core();
  if (core) setenv("OPENBLAS_CORETYPE", core, 1);
  void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (core) unsetenv("OPENBLAS_CORETYPE");
  if (!before) unsetenv("OPENBLAS_NUM_THREADS");
  if (!lib) {
    const char *why = dlerror();
    snprintf(blas.error, sizeof blas.error, "cannot load OpenBLAS (Debian package libopenblas0): %s",
             why ? why : "");
    return;
  }
  void *corename = symbol(lib, "openblas_get_corename");
  void *threads = symbol(lib, "openblas_set_num_threads"), *s = symbol(lib, "cblas_sgemm");
  void *g = symbol(lib, "cblas_dgemm");
  if (!corename || !threads || !s || !g) return;
  void (*set_threads)(int);
  char *(*get_core)(void);
  memcpy(&set_threads, &threads, sizeof threads); /* ISO C has no cast from object to function pointer */
  memcpy(&blas.sgemm, &s, sizeof s);
  memcpy(&blas.dgemm, &g, sizeof g);
  memcpy(&get_core, &corename, sizeof corename);
  set_threads(1);
  blas.core = get_core();
}

Status gemm_load(Diags *d) {
  pthread_once(&blas.once, load);
  if (blas.sgemm && blas.dgemm) return ST_OK;
  diag_error(d, NULL, "%s", blas.error);
  return ST_FILE;
}

const char *gemm_core(void) { return blas.core; }

/* ---- how a product is cut ---- */
/* Work is in multiply-adds. Packing makes finer tiles cost 5-20 % (measured at 8 and 16 tiles of 512 x 512 x
   512), so only large products get 16. */
enum {
  TINY = 4096,
  TINY_COST = 16,
  TILE_MIN = 64,
  TILE_ALIGN = 16,
  CHUNK_WORK = 1 << 21,
  MANY_WORK = 1 << 28
};

typedef struct {
  bool tiny;         /* plain loops */
  int64_t batches;   /* all batch extents multiplied */
  int64_t per_chunk; /* batch items a chunk, when gm = gn = 1 */
  int64_t groups;    /* chunks along the batch */
  int64_t gm, gn;    /* tiles along m and n */
  int64_t tile_m, tile_n;
} Cut;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t tile_size(int64_t extent, int64_t parts) {
  int64_t t = ceil_div(ceil_div(extent, parts), TILE_ALIGN) * TILE_ALIGN;
  return max64(min64(t, extent), 1);
}

/* As many tiles as wanted, arranged to read the least: every row of tiles packs all of B, every column all of
 * A. */
static void cut_tiles(const GemmParam *p, Cut *c, int64_t wanted) {
  int64_t best = INT64_MAX;
  for (int64_t gm = 1; gm <= wanted && (gm == 1 || p->m / gm >= TILE_MIN); gm++) {
    int64_t gn = wanted / gm;
    while (gn > 1 && p->n / gn < TILE_MIN) gn--;
    int64_t tm = tile_size(p->m, gm), tn = tile_size(p->n, gn);
    int64_t rows = max64(ceil_div(p->m, tm), 1), cols = max64(ceil_div(p->n, tn), 1);
    int64_t missing = wanted - rows * cols; /* unused parallelism costs more than packing */
    int64_t cost = rows * p->n + cols * p->m + missing * (p->m + p->n);
    if (cost < best) {
      best = cost;
      c->gm = rows;
      c->gn = cols;
      c->tile_m = tm;
      c->tile_n = tn;
    }
  }
}

/* A power of two, so that it divides evenly among most numbers of threads. */
static int64_t chunks_for(double work) {
  int64_t n = 1;
  while (n < 8 && work >= 2.0 * (double)n * CHUNK_WORK) n *= 2;
  return work >= MANY_WORK ? 16 : n;
}

static Cut cut_of(const GemmParam *p) {
  Cut c = {.batches = 1, .per_chunk = 1, .gm = 1, .gn = 1, .tile_m = p->m, .tile_n = p->n};
  for (int i = 0; i < p->nbatch; i++) c.batches *= p->batch[i];
  double work = (double)p->m * (double)p->n * (double)p->k;
  c.tiny = work < TINY;
  int64_t wanted = chunks_for(work * (double)c.batches * (c.tiny ? TINY_COST : 1));
  if (c.batches < wanted && c.batches > 0) cut_tiles(p, &c, chunks_for(work));
  if (c.gm * c.gn == 1) c.per_chunk = max64(ceil_div(c.batches, wanted), 1);
  c.groups = ceil_div(c.batches, c.per_chunk);
  return c;
}

int64_t gemm_chunks(const GemmParam *p) {
  Cut c = cut_of(p);
  return max64(c.groups * c.gm * c.gn, 1);
}

/* ---- matrices ---- */
/* A view of rows x cols elements. */
typedef struct {
  char *p;
  int64_t rows, cols, rs, cs;
} View;

/* How BLAS may see it: stored by rows with leading dimension ld, or by columns (transposed). The stride along
   an axis of one element means nothing. */
static bool blas_layout(const View *v, bool *trans, int64_t *ld) {
  if ((v->cols == 1 || v->cs == 1) && (v->rows == 1 || v->rs >= max64(v->cols, 1))) {
    *trans = false;
    *ld = v->rows == 1 ? max64(v->cols, 1) : v->rs;
  } else if ((v->rows == 1 || v->rs == 1) && (v->cols == 1 || v->cs >= max64(v->rows, 1))) {
    *trans = true;
    *ld = v->cols == 1 ? max64(v->rows, 1) : v->cs;
  } else {
    return false;
  }
  return *ld <= INT32_MAX;
}

static void copy_view(View to, View from, int64_t size) {
  for (int64_t r = 0; r < from.rows; r++)
    for (int64_t c = 0; c < from.cols; c++)
      memcpy(to.p + (r * to.rs + c * to.cs) * size, from.p + (r * from.rs + c * from.cs) * size,
             (size_t)size);
}

static View packed(void *room, const View *like) {
  return (View){room, like->rows, like->cols, max64(like->cols, 1), 1};
}

static bool needs_packing(const View *v) {
  bool trans;
  int64_t ld;
  return !blas_layout(v, &trans, &ld);
}

static int64_t room(int64_t elements, int64_t size) { return (elements * size + 63) / 64 * 64; }

/* The three views of a tile at the origin, for the strides' sake. */
static void tile_views(const GemmParam *p, int64_t m, int64_t n, View v[3]) {
  v[0] = (View){NULL, m, p->k, p->a_m, p->a_k};
  v[1] = (View){NULL, p->k, n, p->b_k, p->b_n};
  v[2] = (View){NULL, m, n, p->c_m, p->c_n};
}

int64_t gemm_scratch(const GemmParam *p) {
  Cut c = cut_of(p);
  int64_t bytes = 0, last_m = p->m - (c.gm - 1) * c.tile_m, last_n = p->n - (c.gn - 1) * c.tile_n;
  if (c.tiny) return 0;
  for (int i = 0; i < 4; i++) { /* the last tiles may be thinner, even of one row or column */
    View v[3];
    int64_t need = 0;
    tile_views(p, i & 1 ? last_m : c.tile_m, i & 2 ? last_n : c.tile_n, v);
    for (int k = 0; k < 3; k++)
      if (needs_packing(&v[k])) need += room(v[k].rows * v[k].cols, dtype_size(p->dt));
    bytes = max64(bytes, need);
  }
  return bytes;
}

#define TINY_LOOP(NAME, T)                                                                                   \
  static void NAME(View a, View b, View c) {                                                                 \
    const T *pa = (const T *)(const void *)a.p, *pb = (const T *)(const void *)b.p;                          \
    T *pc = (T *)(void *)c.p;                                                                                \
    for (int64_t i = 0; i < c.rows; i++)                                                                     \
      for (int64_t j = 0; j < c.cols; j++) {                                                                 \
        T sum = 0;                                                                                           \
        for (int64_t k = 0; k < a.cols; k++) sum += pa[i * a.rs + k * a.cs] * pb[k * b.rs + j * b.cs];       \
        pc[i * c.rs + j * c.cs] = sum;                                                                       \
      }                                                                                                      \
  }
TINY_LOOP(tiny_f32, float)
TINY_LOOP(tiny_f64, double)

static void blas_product(DType dt, const View *a, const View *b, const View *c) {
  bool ta, tb, tc;
  int64_t lda, ldb, ldc;
  if (!blas_layout(a, &ta, &lda) || !blas_layout(b, &tb, &ldb) || !blas_layout(c, &tc, &ldc) || tc)
    bug("step_gemm: a matrix BLAS cannot read");
  int m = (int)c->rows, n = (int)c->cols, k = (int)a->cols;
  int oa = ta ? TRANS : NO_TRANS, ob = tb ? TRANS : NO_TRANS;
  if (dt == DT_F32)
    blas.sgemm(ROW_MAJOR, oa, ob, m, n, k, 1, (const float *)(void *)a->p, (int)lda,
               (const float *)(void *)b->p, (int)ldb, 0, (float *)(void *)c->p, (int)ldc);
  else
    blas.dgemm(ROW_MAJOR, oa, ob, m, n, k, 1, (const double *)(void *)a->p, (int)lda,
               (const double *)(void *)b->p, (int)ldb, 0, (double *)(void *)c->p, (int)ldc);
}

static View transposed(View v) { return (View){v.p, v.cols, v.rows, v.cs, v.rs}; }

static void product(const GemmParam *p, View a, View b, View c, char *scratch) {
  int64_t size = dtype_size(p->dt);
  View in[2] = {a, b}, out = c;
  for (int i = 0; i < 2; i++)
    if (needs_packing(&in[i])) {
      View to = packed(scratch, &in[i]);
      copy_view(to, in[i], size);
      scratch += room(to.rows * to.cols, size);
      in[i] = to;
    }
  bool by_columns = false;
  int64_t ld;
  bool direct = blas_layout(&out, &by_columns, &ld);
  if (!direct) out = packed(scratch, &c);
  if (direct && by_columns) { /* C' = B' A' */
    View at = transposed(in[0]), bt = transposed(in[1]), ct = transposed(out);
    blas_product(p->dt, &bt, &at, &ct);
  } else {
    blas_product(p->dt, &in[0], &in[1], &out);
  }
  if (!direct) copy_view(c, out, size);
}

/* Element offsets of one batch item. */
static int64_t batch_offset(const GemmParam *p, int64_t item, const int64_t *stride) {
  int64_t at = 0;
  for (int i = p->nbatch - 1; i >= 0; i--) {
    at += item % p->batch[i] * stride[i];
    item /= p->batch[i];
  }
  return at;
}

void step_gemm(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  const GemmParam *p = param;
  Cut c = cut_of(p);
  int64_t size = dtype_size(p->dt), tiles = c.gm * c.gn;
  if (p->m < 1 || p->n < 1 || c.batches < 1) return;
  if (!c.tiny && !blas.sgemm) bug("step_gemm before gemm_load");
  int64_t first = chunk / tiles * c.per_chunk, last = min64(first + c.per_chunk, c.batches);
  int64_t m0 = chunk % tiles / c.gn * c.tile_m, n0 = chunk % tiles % c.gn * c.tile_n;
  View v[3];
  tile_views(p, min64(c.tile_m, p->m - m0), min64(c.tile_n, p->n - n0), v);
  for (int64_t item = first; item < last; item++) {
    v[0].p = (char *)ptr[0] + (batch_offset(p, item, p->a_batch) + m0 * p->a_m) * size;
    v[1].p = (char *)ptr[1] + (batch_offset(p, item, p->b_batch) + n0 * p->b_n) * size;
    v[2].p = (char *)ptr[2] + (batch_offset(p, item, p->c_batch) + m0 * p->c_m + n0 * p->c_n) * size;
    if (!c.tiny) product(p, v[0], v[1], v[2], scratch);
    else if (p->dt == DT_F32) tiny_f32(v[0], v[1], v[2]);
    else tiny_f64(v[0], v[1], v[2]);
  }
}

/* ---- scatter_add ---- */
enum { SCATTER_BLOCK = 64, SCATTER_WORK = 1 << 14, SCATTER_MAX = 64 };

/* Units of work that write disjoint memory: for each outer item, blocks of the inner extent. */
static int64_t scatter_units(const ScatterParam *p) {
  return p->outer * ceil_div(max64(p->inner, 1), SCATTER_BLOCK);
}

int64_t scatter_chunks(const ScatterParam *p) {
  double work = (double)p->outer * (double)p->inner * (double)(p->nidx + p->axis_extent);
  int64_t wanted = work > (double)SCATTER_WORK * SCATTER_MAX ? SCATTER_MAX : (int64_t)(work / SCATTER_WORK);
  return max64(min64(wanted, scatter_units(p)), 1);
}

static int64_t scatter_index(const ScatterParam *p, const void *idx, int64_t j) {
  int64_t at = p->idx_dtype == DT_I32 ? ((const int32_t *)idx)[j] : ((const int64_t *)idx)[j];
  return max64(min64(at, p->axis_extent - 1), 0);
}

#define SCATTER_UNIT(NAME, T)                                                                                \
  static void NAME(const ScatterParam *p, const void *idx, const T *updates, T *out, int64_t i0,             \
                   int64_t i1) {                                                                             \
    for (int64_t r = 0; r < p->axis_extent; r++)                                                             \
      memset(out + r * p->inner + i0, 0, (size_t)(i1 - i0) * sizeof(T));                                     \
    for (int64_t j = 0; j < p->nidx; j++) {                                                                  \
      T *to = out + scatter_index(p, idx, j) * p->inner;                                                     \
      for (int64_t i = i0; i < i1; i++) to[i] += updates[j * p->inner + i];                                  \
    }                                                                                                        \
  }
SCATTER_UNIT(scatter_f32, float)
SCATTER_UNIT(scatter_f64, double)

void step_scatter_add(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)scratch;
  const ScatterParam *p = param;
  int64_t units = scatter_units(p), chunks = scatter_chunks(p), blocks = units / max64(p->outer, 1);
  if (p->axis_extent < 1) return;
  for (int64_t u = units * chunk / chunks; u < units * (chunk + 1) / chunks; u++) {
    int64_t o = u / blocks, i0 = u % blocks * SCATTER_BLOCK, i1 = min64(i0 + SCATTER_BLOCK, p->inner);
    int64_t from = o * p->nidx * p->inner, to = o * p->axis_extent * p->inner;
    if (p->dt == DT_F32) scatter_f32(p, ptr[0], (const float *)ptr[1] + from, (float *)ptr[2] + to, i0, i1);
    else scatter_f64(p, ptr[0], (const double *)ptr[1] + from, (double *)ptr[2] + to, i0, i1);
  }
}
