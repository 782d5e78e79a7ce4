/* The variants of a sweep that compare values in this process (sweep.h). */
#include "tests/sweep/sweep.h"

#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/compiler.h"
#include "lib/tensors.h"
#include "passes/graph/pass.h"
#include "tests/unit/graph_gen.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/op_cases.h"

static Graph *read_graph(Case *c) {
  Diags *d = diags_new(c->a);
  Graph *g;
  const Source *s = source_read(c->a, c->file);
  if (s && graph_read(c->a, s, d, &g, 1) == 1) return g;
  diags_print(d, stdout);
  return NULL;
}

static const Graph *all_passes(Case *c, const Graph *g) {
  Diags *d = diags_new(c->a);
  const Graph *h = g ? pipeline_graph(c->a, g, &(PipelineOptions){.verify_each = true}, d) : NULL;
  if (!h) diags_print(d, stdout);
  return h;
}

static bool loops_inside_loops(const Graph *g) {
  for (Val v = 0; v < g->node.n; v++)
    if (op_table[g_node(g, v)->op].kind == KIND_SCAN && g_node(g, v)->op != OP_scan_next &&
        g_node(g, v)->attr[0].n > 1)
      return true;
  return false;
}

static JitRun some_way(Case *c, const Graph *g) {
  static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64", "host"};
  static const int64_t chains[] = {0, 0, -1, 1, 4096};
  JitRun how = {.cpu = cpus[case_draw(c, 4)],
                .threads = 1 + (int)case_draw(c, 3),
                .conv = case_draw(c, 2) ? CONV_AUTO : CONV_DIRECT,
                .chain_bytes = chains[case_draw(c, loops_inside_loops(g) ? 2 : 5)]};
  Target t, host = target_host();
  if (!target_named(how.cpu, &t) || t.vector_bytes > host.vector_bytes) how.cpu = "x86-64";
  return how;
}

const char *values_interp(Case *c) {
  const Graph *g = all_passes(c, read_graph(c));
  if (!g) return "no graph";
  const char *where = "";
  JitRun how = some_way(c, g);
  double e = jit_worst(c->a, g, &how, op_case_values(c->a, g, (uint64_t)case_draw(c, 1000), 0.4), &where);
  return e < 2e-3
             ? NULL
             : arena_printf(c->a, "%s on %s with %d threads differs by %g", where, how.cpu, how.threads, e);
}

/* ---- numbers of every kind ---- */
static Tensor64 *special_values(Case *c, const Graph *g, uint64_t seed) {
  Tensor64 *in = op_case_values(c->a, g, seed, 0.4);
  for (int i = 0; i < g->inputs.n; i++) {
    const char *name = g->inputs.v[i].name;
    uint64_t own = hash_bytes(name, strlen(name), seed);
    if (g->inputs.v[i].kind == IN_RUNTIME || !dtype_is_float(in[i].dt) || own % 3 == 0) continue;
    for (int64_t k = 0; k < shape_count(&in[i].shape); k++) {
      uint64_t h = hash_bytes(&k, sizeof k, own);
      if (h % 5 == 0) in[i].v[k] = (float)special_numbers[h / 5 % SPECIAL_NUMBERS];
    }
  }
  return in;
}

/* As compiled code takes them: denormals of f32 are zeros. */
static const Tensor64 *flushed(Case *c, const Graph *g, const Tensor64 *in) {
  Tensor64 *out = NEWN(c->a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    int64_t n = shape_count(&in[i].shape);
    out[i] = (Tensor64){in[i].dt, in[i].shape, NEWN(c->a, double, n + 1)};
    for (int64_t k = 0; k < n; k++) out[i].v[k] = in[i].dt == DT_F32 ? f32_round(in[i].v[k]) : in[i].v[k];
  }
  return out;
}

static int sort_of(double x, double most) { return isnan(x) ? 0 : x > most ? 1 : x < -most ? 2 : 3; }

enum { MOVED = 3 };
/* Evaluations of one graph that rounding keeps apart; rounded may be NULL. */
typedef struct {
  const Tensor64 *exact, *rounded, *moved[MOVED];
} Wanted;

/* Where all of them agree on what an element is, got must be that too; they say how near. */
static const char *judge(Case *c, const Graph *g, const Wanted *w, const Tensor64 *got, double limit,
                         double share, double least) {
  for (int o = 0; o < g->outputs.n; o++)
    for (int64_t k = 0; k < shape_count(&w->exact[o].shape); k++) {
      double e = cell_value(w->exact[o].dt, w->exact[o].v[k]), x = cell_value(got[o].dt, got[o].v[k]),
             spread = 0;
      int sort = sort_of(e, limit);
      bool clear = true;
      for (int m = w->rounded ? -1 : 0; m < MOVED; m++) {
        double y = m < 0 ? cell_value(w->rounded[o].dt, w->rounded[o].v[k])
                         : cell_value(w->exact[o].dt, w->moved[m][o].v[k]);
        clear &= sort_of(y, limit) == sort;
        if (sort == 3) spread = fmax(spread, fabs(y - e));
      }
      if (!clear ||
          (sort_of(x, limit) == sort && (sort < 3 || fabs(x - e) <= 16 * spread + share * fabs(e) + least)))
        continue;
      return arena_printf(c->a, "%s[%lld] is %.9g, not %.9g (allowed: +-%.2g)", g->outputs.v[o].name,
                          (long long)k, x, e, 4 * spread + share * fabs(e) + least);
    }
  return NULL;
}

static const Tensor64 *evaluated(Case *c, const Graph *g, const Tensor64 *in, bool rounds) {
  Tensor64 *out = NEWN(c->a, Tensor64, g->outputs.n + 1);
  graph_interp(g, in, out, c->a, rounds);
  return out;
}

static const double most = 3.4028235e38; /* of f32 */

static Wanted wanted(Case *c, const Graph *g, const Tensor64 *in, bool rounds) {
  Wanted w = {evaluated(c, g, in, false), rounds ? evaluated(c, g, in, true) : NULL, {0}};
  for (uint64_t m = 0; m < MOVED; m++)
    w.moved[m] = evaluated(c, jit_disturbed(c->a, g, m + 1, rounds ? most : INFINITY), in, false);
  return w;
}

const char *values_special(Case *c) {
  const Graph *g = all_passes(c, read_graph(c));
  if (!g) return "no graph";
  JitRun how = some_way(c, g);
  const Tensor64 *in = special_values(c, g, (uint64_t)case_draw(c, 1000));
  Wanted w = wanted(c, g, flushed(c, g, in), true);
  Tensor64 *got = NEWN(c->a, Tensor64, g->outputs.n + 1);
  jit_run(c->a, g, &how, in, got);
  const char *why = judge(c, g, &w, got, most, 1e-4, 1e-36);
  return why ? arena_printf(c->a, "on %s with %d threads: %s", how.cpu, how.threads, why) : NULL;
}

/* ---- passes ---- */
const char *values_passes(Case *c) {
  static const char *const some[] = {"simplify", "cse", "narrow", "dce", "split", "canon"};
  const char *names[8] = {"autodiff", "strip"}, *text = "";
  int n = 2 + 1 + (int)case_draw(c, 6);
  for (int i = 2; i < n; i++) text = arena_printf(c->a, "%s %s", text, names[i] = some[case_draw(c, 6)]);
  printf("autodiff strip%s\n", text);
  Diags *d = diags_new(c->a);
  PassOptions opt = {.verify_each = true};
  const Graph *g = read_graph(c), *e = g ? passes_run(c->a, g, names, 2, &opt, d) : NULL,
              *f = g ? passes_run(c->a, g, names, n, &opt, d) : NULL;
  if (!e || !f) return arena_printf(c->a, "no graph: %s", diags_first(d));
  uint64_t seed = (uint64_t)case_draw(c, 1000);
  bool special = case_draw(c, 2);
  const Tensor64 *in = special ? special_values(c, e, seed) : op_case_values(c->a, e, seed, 0.4),
                 *at = special ? special_values(c, f, seed) : op_case_values(c->a, f, seed, 0.4);
  Wanted w = wanted(c, e, in, false);
  const char *why = judge(c, e, &w, evaluated(c, f, at, false), DBL_MAX, 1e-6, 1e-30);
  return why ? arena_printf(c->a, "after%s: %s", text, why) : NULL;
}

/* ---- libraries ---- */
typedef struct { /* the generated header's */
  const char *name;
  int32_t kind, type, trained, rank;
  int64_t dim[8], offset, bytes;
} LibTensor;

/* Sums may have another order in a library. */
static bool near_enough(const float *x, const float *y, int64_t n) {
  double off = 0, all = 0;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(x[i]) && isnan(y[i])) continue;
    off += x[i] == y[i] ? 0 : ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    all += (double)y[i] * y[i];
  }
  return sqrt(off) <= 2e-4 * sqrt(all) + 1e-6;
}

static const char *tensors_agree(Case *c, const Compiled *k, const LibTensor *t, int n, const char *memory,
                                 bool initial) {
  for (int i = 0; i < n; i++) {
    SessionTensor want = session_tensor_at(k->session, i);
    if (strcmp(t[i].name, want.name) || t[i].bytes != want.bytes)
      return arena_printf(c->a, "other tensor %s", t[i].name);
    if (initial && want.kind != PT_STATE && want.kind != PT_RUNTIME) continue;
    const void *have = memory + t[i].offset;
    if (!initial && want.dt == DT_F32 && near_enough(have, want.data, want.bytes / 4)) continue;
    if (memcmp(have, want.data, (size_t)want.bytes))
      return arena_printf(c->a, "%s bits in %s", initial ? "other initial" : "other", want.name);
  }
  return NULL;
}

static const char *run_library(Case *c, Compiled *k, void *so, const char *function) {
  enum { SEED = 5, STEPS = 2 };
  int (*init)(void *, uint64_t), (*go)(void *);
  const LibTensor *(*tensors)(int32_t *);
  *(void **)&init = dlsym(so, "lib_init");
  *(void **)&go = dlsym(so, function);
  *(void **)&tensors = dlsym(so, "lib_tensors");
  if (!init || !go || !tensors) return "a function is missing";
  int32_t n;
  const LibTensor *t = tensors(&n);
  if (n != k->plan->ntensor) return "other tensors";
  int64_t end = 0;
  for (int i = 0; i < n; i++) end = max64(end, t[i].offset + t[i].bytes);
  char *memory = aligned_alloc(64, (size_t)(div_up(k->plan->arena_bytes + end, 64) * 64 + (8 << 20)));
  if (!memory) return "no memory";
  if (init(memory, SEED)) return "init fails";
  compiled_init(k, SEED);
  const char *why = NULL;
  for (int step = 0; step <= STEPS && !why; step++) {
    tensors_set_number(k->session, "step", step ? step - 1 : 0);
    for (int i = 0; i < n && step == 0; i++) {
      SessionTensor x = session_tensor_at(k->session, i);
      for (int64_t j = 0; j < shape_count(&x.shape) && x.kind == PT_ARG; j++)
        if (x.dt == DT_F32) ((float *)x.data)[j] = (float)op_case_normal(3, (uint32_t)i, (uint64_t)j);
        else ((int64_t *)x.data)[j] = j % 2;
    }
    for (int i = 0; i < n; i++) {
      SessionTensor x = session_tensor_at(k->session, i);
      if (x.kind == PT_ARG || x.kind == PT_RUNTIME) memcpy(memory + t[i].offset, x.data, (size_t)x.bytes);
    }
    if (step == 0) {
      why = tensors_agree(c, k, t, n, memory, true);
      continue;
    }
    if (go(memory)) return "the library's function fails";
    session_run(k->session, 0, k->plan->nstep);
    why = tensors_agree(c, k, t, n, memory, false);
  }
  free(memory);
  return why;
}

const char *values_library(Case *c) {
  bool step = case_draw(c, 2);
  Compiler k = {.arena = c->a, .diags = diags_new(c->a), .threads = 1 + (int)case_draw(c, 2)};
  Model *m;
  const Graph *g;
  Compiled made;
  Status s =
      case_jepac(c, "compile %s -q -o %s/lib --name lib%s", c->file, c->folder, step ? " --train-step" : "");
  if (s) return arena_printf(c->a, "status %d: %s", (int)s, case_said(c));
  s = compiler_load(&k, c->file, NULL, NULL, 0, &m);
  if (!s) s = compiler_entry(&k, m, step ? "train_step" : NULL, false, false, &g);
  if (!s) s = compiler_build(&k, g, &made);
  if (s) return arena_printf(c->a, "not compiled: %s", diags_first(k.diags));
  void *so = dlopen(arena_printf(c->a, "%s/lib/liblib.so", c->folder), RTLD_NOW);
  if (!so) return arena_printf(c->a, "not loaded: %s", dlerror());
  const char *why = run_library(c, &made, so, step ? "lib_train_step" : "lib_forward");
  dlclose(so);
  compiled_free(&made);
  return why;
}
