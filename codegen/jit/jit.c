/* Compilation of a program's kernels: one LLVM module for each distinct kernel, threads with a context and
   target machine of their own, a cache of object files (cache.c), and LLVM's LLJIT to link them. */
#include "codegen/jit/cache.h"
#include "codegen/emit/kind.h"
#include "codegen/jit/jit.h"
#include "ir/memory.h"

#include <errno.h>
#include <llvm-c/Orc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct Code {
  LLVMOrcLLJITRef jit;
  bool wants; /* memory: what LLVM reported while it linked */
};

/* ---- distinct kernels ---- */
typedef struct {
  const Kernel *kernel;
  char *key;
  size_t keylen;
  char symbol[64]; /* "jk_" and 32 digits; for debuggers the kernel's name */
  LLVMMemoryBufferRef object;
  bool cached;
} Unit;

typedef struct {
  const Program *p;
  const CodegenOptions *opt;
  Unit *unit;
  int nunit;
  atomic_int next;
  atomic_bool wrote;
  char wanting[REASON_TEXT]; /* why a thread gave up */
  atomic_flag wants;
} Job;

static int unit_of(Job *j, char *key, size_t n, const Kernel *k) {
  for (int i = 0; i < j->nunit && !j->opt->debug; i++)
    if (j->unit[i].keylen == n && !memcmp(j->unit[i].key, key, n)) {
      free(key);
      return i;
    }
  Unit *u = &j->unit[j->nunit];
  *u = (Unit){.kernel = k, .key = key, .keylen = n};
  snprintf(u->symbol, sizeof u->symbol, "jk_%016llx%016llx", (unsigned long long)hash_bytes(key, n, 1),
           (unsigned long long)hash_bytes(key, n, 0x5bd1e9955bd1e995u));
  if (j->opt->debug) {
    Arena *a = arena_new();
    snprintf(u->symbol, sizeof u->symbol, "%s", kernel_name(j->p, (int)(k - j->p->kernel.v), a));
    arena_free(a);
  }
  return j->nunit++;
}

/* ---- the cache ---- */
static bool has_cache(const Job *j) { return j->opt->cache_dir && !j->opt->debug; }

static LLVMMemoryBufferRef read_object(const Job *j, const Unit *u) {
  size_t n;
  char name[sizeof u->symbol + 2], *data;
  snprintf(name, sizeof name, "%s.o", u->symbol);
  if (!(data = cache_read(j->opt->cache_dir, name, u->key, u->keylen, &n))) return NULL;
  LLVMMemoryBufferRef object = LLVMCreateMemoryBufferWithMemoryRangeCopy(data, n, u->symbol);
  free(data);
  return object;
}

static void write_object(Job *j, const Unit *u) {
  char name[sizeof u->symbol + 2];
  snprintf(name, sizeof name, "%s.o", u->symbol);
  if (cache_write(j->opt->cache_dir, name, u->key, u->keylen, LLVMGetBufferStart(u->object),
                  LLVMGetBufferSize(u->object)))
    j->wrote = true;
}

/* ---- compiling ---- */
static void compile_unit(Job *j, Unit *u, LLVMTargetMachineRef tm) {
  EmitModule m;
  em_open(&m, &j->p->target, tm, u->symbol);
  codegen_kind(u->kernel)->emit(&m, j->p, u->kernel, u->symbol);
  if (j->opt->debug) debug_describe(&m, u->kernel, u->symbol);
#ifdef JEPAC_DEBUG
  em_verify(&m);
#endif
  char *error = NULL;
  if (LLVMTargetMachineEmitToMemoryBuffer(tm, m.mod, LLVMObjectFile, &error, &u->object))
    bug("LLVM: %s", error);
  em_close(&m);
}

static void compile_some(void *arg) {
  Job *j = arg;
  LLVMTargetMachineRef tm = NULL;
  for (int i; (i = atomic_fetch_add(&j->next, 1)) < j->nunit;) {
    Unit *u = &j->unit[i];
    if (has_cache(j) && (u->object = read_object(j, u))) {
      u->cached = true;
      continue;
    }
    reserve((size_t)16 << 20, "compiling a kernel"); /* LLVM aborts the process where it has no memory */
    if (!tm) tm = em_target_machine(&j->p->target);
    compile_unit(j, u, tm);
    if (has_cache(j)) write_object(j, u);
  }
  if (tm) LLVMDisposeTargetMachine(tm);
}

/* One that gives up leaves the others to finish, since they use the job. */
static void *compile_thread(void *arg) {
  Job *j = arg;
  char why[REASON_TEXT];
  if (!rescue(compile_some, j, true, why) && !atomic_flag_test_and_set(&j->wants))
    memcpy(j->wanting, why, sizeof why);
  return NULL;
}

static void compile_all(Job *j) {
  enum { MAX_THREADS = 64 };
  pthread_t thread[MAX_THREADS];
  int n = j->opt->threads < j->nunit ? j->opt->threads : j->nunit, started = 0;
  if (n > MAX_THREADS) n = MAX_THREADS;
  while (started + 1 < n && !pthread_create(&thread[started], NULL, compile_thread, j)) started++;
  compile_thread(j);
  for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
  if (*j->wanting) out_of(j->wanting);
  if (j->wrote) cache_trim(j->opt->cache_dir);
}

/* ---- linking ---- */
/* What generated code may call. */
#define F1(NAME) {#NAME, (uintptr_t)(double (*)(double))NAME}
#define F1F(NAME) {#NAME, (uintptr_t)(float (*)(float))NAME}
static const struct {
  const char *name;
  uintptr_t address;
} imports[] = {
    F1(exp),
    F1(log),
    F1(tanh),
    F1(erf),
    F1(sin),
    F1(cos),
    F1(floor),
    F1(sqrt),
    F1(trunc),
    {"pow", (uintptr_t)(double (*)(double, double))pow},
    {"fmaf", (uintptr_t)(float (*)(float, float, float))fmaf},
    F1F(sinf),
    F1F(cosf),
    F1F(floorf),
    F1F(sqrtf),
    F1F(truncf),
    {"memcpy", (uintptr_t)memcpy},
    {"memset", (uintptr_t)memset},
    {"memmove", (uintptr_t)memmove},
};

static LLVMErrorRef define_imports(LLVMOrcLLJITRef jit) {
  enum { N = sizeof imports / sizeof *imports };
  LLVMOrcCSymbolMapPair pair[N];
  for (int i = 0; i < N; i++)
    pair[i] = (LLVMOrcCSymbolMapPair){
        LLVMOrcLLJITMangleAndIntern(jit, imports[i].name),
        {imports[i].address, {LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0}}};
  return LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), LLVMOrcAbsoluteSymbols(pair, N));
}

/* LLVM's errors are texts; want of memory is the system's own. */
static bool is_want(const char *text) { return strstr(text, strerror(ENOMEM)) != NULL; }

static bool failed(Code *c, Diags *d, LLVMErrorRef e) {
  if (!e) return false;
  char *text = LLVMGetErrorMessage(e);
  c->wants |= is_want(text);
  if (!c->wants) diag_error(d, NULL, "LLVM's JIT: %s", text);
  LLVMDisposeErrorMessage(text);
  return true;
}

/* What stands behind the "failed to materialize" of a look-up; LLVM would print it. */
static void note_error(void *code, LLVMErrorRef e) {
  Code *c = code;
  char *text = LLVMGetErrorMessage(e);
  c->wants |= is_want(text);
  LLVMDisposeErrorMessage(text);
}

void codegen_free(Code *c) {
  if (!c) return;
  if (c->jit) LLVMConsumeError(LLVMOrcDisposeLLJIT(c->jit));
  free(c);
}

static LLVMErrorRef create_jit(CodegenDebug debug, LLVMOrcLLJITRef *jit) {
  return debug ? debug_create_jit(debug, jit) : LLVMOrcCreateLLJIT(jit, NULL);
}

/* False after reporting, or where c->wants memory. */
static bool link_units(Job *j, Code *c, Diags *d, StepFn *address) {
  if (failed(c, d, create_jit(j->opt->debug, &c->jit)) || failed(c, d, define_imports(c->jit))) return false;
  LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(c->jit), note_error, c);
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(c->jit);
  for (int i = 0; i < j->nunit; i++) {
    LLVMErrorRef e = LLVMOrcLLJITAddObjectFile(c->jit, lib, j->unit[i].object);
    j->unit[i].object = NULL;
    if (failed(c, d, e)) return false;
  }
  for (int i = 0; i < j->nunit; i++) {
    LLVMOrcExecutorAddress at = 0;
    if (failed(c, d, LLVMOrcLLJITLookup(c->jit, &at, j->unit[i].symbol))) return false;
    address[i] = (StepFn)(uintptr_t)at;
  }
  return true;
}

Code *jit_program(const Program *p, const CodegenOptions *opt, Diags *d, StepFn *fn) {
  em_arch(p->target.arch);
  int n = p->kernel.n;
  Arena *a = arena_new();
  Job j = {.p = p, .opt = opt, .unit = NEWN(a, Unit, n + 1)};
  int *unit = NEWN(a, int, n + 1);
  StepFn *address = NEWN(a, StepFn, n + 1);
  StrBuf head = {0};
  target_key(&p->target, &head);
  for (int k = 0; k < n; k++) {
    unit[k] = -1;
    if (!codegen_kind(&p->kernel.v[k])->emit) continue;
    StrBuf key = {0};
    sb_put(&key, head.s, head.n);
    kernel_key(p, &p->kernel.v[k], true, &key);
    unit[k] = unit_of(&j, key.s, key.n, &p->kernel.v[k]);
  }
  sb_free(&head);
  if (has_cache(&j) && !cache_trusts(opt->cache_dir))
    diag_warning(d, NULL, "the cache folder %s is not used: it is another user's, or others may write to it",
                 opt->cache_dir);
  compile_all(&j);
  Code *c = xcalloc(1, sizeof *c, NULL);
  bool linked = link_units(&j, c, d, address), wants = c->wants;
  for (int k = 0; k < n; k++) fn[k] = unit[k] >= 0 ? address[unit[k]] : NULL;
  for (int i = 0; i < j.nunit; i++) {
    free(j.unit[i].key);
    if (j.unit[i].object) LLVMDisposeMemoryBuffer(j.unit[i].object);
  }
  arena_free(a);
  if (linked) return c;
  codegen_free(c);
  if (wants) out_of_memory("the kernels' code", 0);
  return NULL;
}
