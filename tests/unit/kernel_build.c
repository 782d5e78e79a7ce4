/* Hand-built loop kernels for tests (kernel_build.h). */
#include "tests/unit/kernel_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

KB *kb_new(const Target *t, int npar, int ndim, const int64_t *size, int vec, int nsweep) {
  KB *b = calloc(1, sizeof *b);
  b->arena = arena_new();
  b->program = NEW(b->arena, Program);
  b->program->arena = b->arena;
  b->program->target = *t;
  b->program->graph = graph_new(b->arena, "test");
  b->l = (LoopKernel){.ndim = ndim, .npar = npar, .nsweep = nsweep, .vec = vec, .nchunk = 1};
  for (int d = 0; d < ndim; d++) b->l.size[d] = size[d];
  return b;
}

void kb_free(KB *b) {
  arena_free(b->arena);
  free(b);
}

Affine aff(int64_t c, int64_t k0, int64_t k1, int64_t k2, int64_t k3) {
  return (Affine){c, {k0, k1, k2, k3}};
}

int kb_buf(KB *b, DType dt, int64_t count, bool written) {
  b->dt[b->nbuf] = dt;
  b->count[b->nbuf] = count;
  b->written[b->nbuf] = written;
  return b->nbuf++;
}

static bool has_r(const KB *b, const Affine *e) {
  for (int d = b->l.npar; d < b->l.ndim; d++)
    if (e->k[d]) return true;
  return false;
}

static int push(KB *b, KInst in) {
  if (b->l.ninst == KB_MAX) bug("test kernel too large");
  in.val = -1;
  in.row = in.kind == KI_REDUCE || !has_r(b, &in.index);
  int n = in.kind == KI_MAP ? op_table[in.op].nin : in.kind == KI_RANDOM ? 2 : 0;
  for (int i = 0; i < n; i++) in.row &= b->inst[in.arg[i]].row;
  b->inst[b->l.ninst] = in;
  return b->l.ninst++;
}

static Access *new_access(KB *b, int buf, Affine off) {
  Access *a = NEW(b->arena, Access);
  *a = (Access){.buf = buf, .off = off, .dyn = -1};
  return a;
}

int kb_load(KB *b, int buf, Affine off) {
  int i = push(b, (KInst){.kind = KI_LOAD, .dt = b->dt[buf], .access = new_access(b, buf, off)});
  b->inst[i].row = !has_r(b, &off);
  return i;
}

Access *kb_access(KB *b, int load) { return (Access *)b->inst[load].access; }

static void depends(KB *b, const Access *a, const Affine *e) {
  for (int i = 0; i < b->l.ninst; i++)
    if (b->inst[i].access == a) b->inst[i].row &= !has_r(b, e);
}

void kb_guard(KB *b, Access *a, Affine e, int64_t lo, int64_t hi, int64_t mod) {
  Guard *g = NEWN(b->arena, Guard, a->nguard + 1);
  if (a->nguard) memcpy(g, a->guard, sizeof *g * (size_t)a->nguard);
  g[a->nguard++] = (Guard){e, lo, hi, mod};
  a->guard = g;
  depends(b, a, &e);
}

void kb_quot(KB *b, Access *a, Affine e, int64_t div, int64_t stride) {
  Quot *q = NEWN(b->arena, Quot, a->nquot + 1);
  if (a->nquot) memcpy(q, a->quot, sizeof *q * (size_t)a->nquot);
  q[a->nquot++] = (Quot){e, div, stride};
  a->quot = q;
  depends(b, a, &e);
}

int kb_imm(KB *b, DType dt, double v) { return push(b, (KInst){.kind = KI_IMM, .dt = dt, .imm = v}); }
int kb_index(KB *b, DType dt, Affine e) { return push(b, (KInst){.kind = KI_INDEX, .dt = dt, .index = e}); }

int kb_isguard(KB *b, Affine e, int64_t lo, int64_t hi) {
  Access *a = new_access(b, 0, aff(0, 0, 0, 0, 0));
  int i = push(b, (KInst){.kind = KI_GUARD, .dt = DT_BOOL, .access = a});
  kb_guard(b, a, e, lo, hi, 0);
  return i;
}

int kb_random(KB *b, int seed, int step, uint32_t stream, Affine e) {
  return push(b, (KInst){.kind = KI_RANDOM, .dt = DT_U32, .arg = {seed, step}, .stream = stream, .index = e});
}

int kb_map(KB *b, OpId op, int x, int y, int z) {
  DType dt = b->inst[op == OP_select ? y : x].dt;
  return push(
      b,
      (KInst){.kind = KI_MAP, .op = op, .dt = op_table[op].type == TY_BOOL ? DT_BOOL : dt, .arg = {x, y, z}});
}

int kb_cast(KB *b, int x, DType dt) {
  return push(b, (KInst){.kind = KI_MAP, .op = OP_cast, .dt = dt, .arg = {x}});
}

int kb_reduce(KB *b, OpId op, int x, int sweep) {
  KInst in = {.kind = KI_REDUCE,
              .op = op,
              .dt = op == OP_argmax ? DT_I64 : b->inst[x].dt,
              .arg = {x},
              .sweep = sweep};
  int64_t k = 1;
  for (int d = b->l.ndim - 1; d >= b->l.npar; k *= b->l.size[d--]) in.index.k[d] = k;
  int i = push(b, in);
  b->inst[i].row = true;
  return i;
}

void kb_store(KB *b, int buf, Affine off, int inst, int sweep) {
  b->store[b->l.nstore++] = (KStore){inst, sweep, *new_access(b, buf, off)};
}

Program *kb_program(KB *b) {
  Program *p = b->program;
  if (p->kernel.n) return p;
  Kernel k = loop_kernel(&b->l);
  k.buf = NEWN(b->arena, int, b->nbuf + 1), k.nbuf = b->nbuf;
  int64_t at = 0;
  for (int i = 0; i < b->nbuf; i++) {
    Buf x = {.kind = BUF_TEMP,
             .dt = b->dt[i],
             .shape = {1, {b->count[i]}},
             .alias = -1,
             .within = -1,
             .input = -1,
             .result = -1,
             .val = -1,
             .offset = at,
             .bytes = b->count[i] * dtype_size(b->dt[i])};
    at += (x.bytes + 63) / 64 * 64;
    k.buf[i] = i;
    k.nout += b->written[i];
    vec_push(b->arena, &p->buf, x);
  }
  b->l.inst = b->inst;
  b->l.store = b->store;
  k.loop = b->l;
  vec_push(b->arena, &p->kernel, k);
  p->ncompute = 1;
  p->arena_bytes = at;
  return p;
}

static double sample(DType dt, uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  double u = (double)(*state >> 11) / 9007199254740992.0;
  if (dt == DT_BOOL) return u < 0.5;
  if (dtype_is_int(dt)) return floor(u * 20) - (dt == DT_U32 ? 0 : 10);
  return 4 * u - 2;
}

/* Memory of n bytes that ends (or, with front, starts) at an inaccessible page. */
typedef struct {
  char *map;
  size_t size;
  void *p;
} Fenced;

static Fenced fenced(size_t n, bool front) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (n + page - 1) / page * page;
  Fenced f = {.size = body + 2 * page};
  f.map = mmap(NULL, f.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (f.map == MAP_FAILED) bug("mmap");
  mprotect(f.map, page, PROT_NONE);
  mprotect(f.map + page + body, page, PROT_NONE);
  f.p = f.map + page + (front ? 0 : body - n);
  return f;
}

bool kb_agree(KB *b, const CodegenOptions *opt, double tol, char *err, size_t errlen) {
  Program *p = kb_program(b);
  if (!program_verify(p, err, errlen)) return false;
  const Kernel *k = &p->kernel.v[0];
  Diags *d = diags_new(b->arena);
  Plan *plan = NULL;
  Code *code = codegen_jit(p, opt, b->arena, d, &plan);
  if (!code) {
    snprintf(err, errlen, "does not compile");
    return false;
  }
  double *want[KB_MAX];
  uint64_t state = 42;
  for (int i = 0; i < b->nbuf; i++) {
    want[i] = NEWN(b->arena, double, b->count[i] + 1);
    char cell[8];
    for (int64_t j = 0; j < b->count[i]; j++) { /* as the type can hold it */
      store_f64(cell, b->dt[i], 0, b->data[i] ? b->data[i][j] : sample(b->dt[i], &state));
      want[i][j] = load_f64(cell, b->dt[i], 0);
    }
  }
  bool ok = true;
  double *got[KB_MAX];
  for (int i = 0; i < b->nbuf; i++) got[i] = NEWN(b->arena, double, b->count[i] + 1);
  for (int front = 0; front < 2; front++) {
    Fenced mem[KB_MAX];
    void *ptr[KB_MAX];
    for (int i = 0; i < b->nbuf; i++) {
      mem[i] = fenced((size_t)(b->count[i] * dtype_size(b->dt[i])), front);
      ptr[i] = mem[i].p;
      for (int64_t j = 0; j < b->count[i]; j++) store_f64(ptr[i], b->dt[i], j, want[i][j]);
    }
    void *at[KB_MAX]; /* the code's operands may begin inside of the buffers */
    for (int i = 0; i < plan->step[0].noperand; i++)
      at[i] = (char *)ptr[i] + plan->step[0].operand[i] - p->buf.v[k->buf[i]].offset;
    for (int64_t c = plan->step[0].nchunk; c-- > 0;) plan->step[0].fn(at, c, NULL, plan->step[0].param);
    for (int i = 0; i < b->nbuf; i++) {
      for (int64_t j = 0; j < b->count[i]; j++) got[i][j] = load_f64(ptr[i], b->dt[i], j);
      munmap(mem[i].map, mem[i].size);
    }
  }
  kernel_interp(p, k, want, false);
  for (int i = 0; i < b->nbuf && ok; i++)
    for (int64_t j = 0; j < b->count[i] && ok; j++) {
      double w = want[i][j], g = got[i][j], t = tol * (1 + fabs(w));
      if (b->dt[i] == DT_BF16) t = 0.01 * (1 + fabs(w));
      ok = g == w || (isnan(g) && isnan(w)) || fabs(g - w) <= t;
      if (!ok)
        snprintf(err, errlen, "operand %d element %lld: compiled %.9g, interpreted %.9g", i, (long long)j, g,
                 w);
    }
  codegen_free(code);
  return ok;
}

int kb_targets(Target t[3]) {
  int n = 0;
  Target host = target_host();
  if (host.vector_bytes >= 16) target_named("x86-64", &t[n++]);
  if (host.vector_bytes >= 32) target_named("haswell", &t[n++]);
  if (host.vector_bytes >= 64) t[n++] = host;
  return n;
}

void kb_call(const KBCode *f, void *const *ptr) {
  for (int64_t c = 0; c < f->chunks; c++) f->fn(ptr, c, NULL, f->param);
}

KBCode kb_compile(KB *b, Code **code) {
  CodegenOptions o = {.threads = 1};
  Plan *plan;
  *code = codegen_jit(kb_program(b), &o, b->arena, diags_new(b->arena), &plan);
  if (!*code) bug("a test kernel does not compile");
  return (KBCode){plan->step[0].fn, plan->step[0].param, plan->step[0].nchunk};
}

KBCode kb_compile_map(const Target *t, OpId op, int nin, int64_t n, KB **out, Code **code) {
  KB *b = *out = kb_new(t, 1, 1, &n, 0, 0);
  Affine e = aff(0, 1, 0, 0, 0);
  int x[2] = {0};
  for (int i = 0; i < nin; i++) x[i] = kb_load(b, kb_buf(b, DT_F32, n, false), e);
  kb_store(b, kb_buf(b, DT_F32, n, true), e, kb_map(b, op, x[0], x[1], 0), 0);
  return kb_compile(b, code);
}
