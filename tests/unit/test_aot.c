/* Libraries of jepac compile against the JIT: the object is linked by the system's C compiler and opened
   here; initial states are equal bit by bit, results, gradients and states after steps up to the order of
   sums. */
#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/exec.h"
#include "runtime/rng.h"
#include "tests/unit/support.h"

static const struct {
  const char *file, *text; /* a model file, or its text */
  bool step;               /* the optimizer step instead of results and gradients */
  NameValue set[3];
} cases[] = {
    {"tests/parity/conv.jepa", NULL, false, {{"B", "4"}, {"H", "12"}, {"W", "12"}}},
    {"tests/parity/grouped.jepa", NULL, false, {{"B", "3"}, {"H", "13"}, {"W", "14"}}},
    {"tests/parity/transformer.jepa", NULL, false, {{"B", "3"}, {"T", "7"}}},
    {"examples/library/spiral.jepa", NULL, true, {{"B", "16"}}},
    /* a product deeper than one panel, odd extents, a row taken by index (its gradient is a scatter) */
    {NULL,
     "dim B\nmodel M(n = 11) {\n"
     "  table = param[n, 300] = normal(0, 0.1)\n  fc = Linear(300, 37)\n"
     "  entry forward(label: i64[B], y: f32[B, 37]) {\n"
     "    loss = mse(fc(gather(table, label, 0)), y)\n    return loss\n  }\n}\n",
     false,
     {{"B", "21"}}},
    /* padding of one value read in vectors of two lengths; the shorter first */
    {NULL,
     "dim B\nmodel M() {\n"
     "  fc = Linear(5, 1)\n"
     "  entry forward(x: f32[B, 23, 1], y: f32[B, 5]) {\n"
     "    a = prim.pad(x, lo = [0, 1, 1], hi = [0, 0, 0], interior = [0, 0, 0], value = 0.25)\n"
     "    z = prim.dot_general(tanh(a), logsumexp(a, 1), lhs_batch = 0, rhs_batch = 1, lhs_contract = 2, "
     "rhs_contract = 0)\n"
     "    loss = mean(tanh(z), [0, 1]) + mean(fc(y), [0, 1])\n    return loss\n  }\n}\n"
     "train M {\n  minimize forward.loss\n  optimizer = sgd(lr = 0.1)\n  batch = 2, steps = 1\n}\n",
     true,
     {{"B", "2"}}},
};
enum { NCASE = sizeof cases / sizeof *cases, STEPS = 3, SEED = 5 };

typedef struct {
  Arena *a;
  Diags *d;
  Program *program;
  const char *folder;
} Fixture;

static void must(bool ok, Fixture *f, const char *what) {
  if (!ok) diags_print(f->d, stderr);
  ck_assert_msg(ok, "%s", what);
}

static void lower(Fixture *f, int i, const Target *t) {
  const char *path = cases[i].file;
  if (!path) {
    path = arena_printf(f->a, "%s/m.jepa", f->folder);
    FILE *out = fopen(path, "w");
    ck_assert(out && fputs(cases[i].text, out) >= 0 && !fclose(out));
  }
  FrontendOptions o = {.set = cases[i].set, .std_dir = "models"};
  while (o.nset < 3 && cases[i].set[o.nset].name) o.nset++;
  Model *m = frontend_load(f->a, f->d, path, &o);
  must(m != NULL, f, path);
  const Graph *g =
      cases[i].step ? frontend_train_step(m, f->d, false) : frontend_entry(m, f->d, "forward", true, true);
  must(g != NULL, f, path);
  PipelineOptions p = {.verify_each = true};
  g = pipeline_graph(f->a, g, &p, f->d);
  must(g != NULL, f, path);
  Status s;
  f->program = pipeline_lower(f->a, g, t, &p, f->d, &s);
  must(f->program != NULL, f, path);
}

static void write_file(Fixture *f, const AotFile *file) {
  FILE *out = fopen(arena_printf(f->a, "%s/%s", f->folder, file->name), "wb");
  ck_assert(out && fwrite(file->data, 1, file->size, out) == file->size && !fclose(out));
}

static void *link_library(Fixture *f) {
  AotOptions o = {.prefix = "lib", .function = "go", .title = "test", .archive = true};
  AotFile file[AOT_FILES];
  int n;
  codegen_aot(f->program, &o, f->a, file, &n);
  for (int i = 0; i < n; i++) write_file(f, &file[i]);
  const char *so = arena_printf(f->a, "%s/lib.so", f->folder);
  ck_assert_int_eq(system(arena_printf(f->a,
                                       "cc -shared -Wl,--no-undefined -o %s -Wl,--whole-archive %s/liblib.a "
                                       "-Wl,--no-whole-archive -lm -lc",
                                       so, f->folder)),
                   0);
  void *lib = dlopen(so, RTLD_NOW);
  ck_assert_msg(lib != NULL, "%s", lib ? "" : dlerror());
  return lib;
}

static void remove_folder(Fixture *f) {
  ck_assert_int_eq(system(arena_printf(f->a, "rm -r %s", f->folder)), 0);
}

static void fill_inputs(Session *s) {
  const Plan *p = session_plan(s);
  for (int i = 0; i < p->ntensor; i++) {
    SessionTensor t = session_tensor_at(s, i);
    Rng r = rng_stream(1, 2, (uint32_t)i, 0);
    for (int64_t k = 0, n = shape_count(&t.shape); t.kind == PT_ARG && k < n; k++)
      if (t.dt == DT_F32) ((float *)t.data)[k] = (float)rng_normal(&r);
      else ((int64_t *)t.data)[k] = (int64_t)rng_below(&r, 2);
    if (t.kind == PT_RUNTIME && strcmp(t.name, "seed") && strcmp(t.name, "step"))
      *(int64_t *)t.data = strcmp(t.name, "total_steps") ? 1000 : 100000;
    if (t.kind == PT_RUNTIME && !strcmp(t.name, "seed")) *(int64_t *)t.data = SEED;
  }
}

typedef struct { /* the generated header's */
  const char *name;
  int32_t kind, type, trained, rank;
  int64_t dim[8], offset, bytes;
} LibTensor;

typedef struct {
  int (*init)(void *, uint64_t), (*go)(void *);
  const LibTensor *(*tensors)(int32_t *);
} Lib;

static void symbol(void *lib, const char *name, void *out) {
  void *p = dlsym(lib, name);
  ck_assert_msg(p != NULL, "no %s", name);
  memcpy(out, &p, sizeof p);
}

static void compare(const Session *s, const Lib *lib, char *arena, bool exact) {
  int32_t n;
  const LibTensor *t = lib->tensors(&n);
  ck_assert_int_eq(n, session_plan(s)->ntensor);
  for (int i = 0; i < n; i++) {
    SessionTensor want = session_tensor_at(s, i);
    ck_assert_str_eq(t[i].name, want.name);
    ck_assert_int_eq(t[i].bytes, want.bytes);
    ck_assert_int_eq(t[i].rank, want.shape.rank);
    char *have = arena + t[i].offset;
    if (exact || want.dt != DT_F32) {
      if (want.kind == PT_STATE || want.kind == PT_RUNTIME)
        ck_assert_msg(!memcmp(have, want.data, (size_t)want.bytes), "%s differs", want.name);
      continue;
    }
    double d = 0, w = 0;
    for (int64_t k = 0; k < want.bytes / 4; k++) {
      double x = ((float *)(void *)have)[k], y = ((float *)want.data)[k];
      ck_assert_msg(isfinite(x), "%s[%lld] is %g", want.name, (long long)k, x);
      d += (x - y) * (x - y);
      w += y * y;
    }
    ck_assert_msg(sqrt(d) <= 2e-4 * sqrt(w) + 1e-6, "%s differs by %g of %g", want.name, sqrt(d), sqrt(w));
  }
}

START_TEST(library_agrees_with_jit) {
  Fixture f = {.a = arena_new()};
  f.d = diags_new(f.a);
  f.folder = mkdtemp(arena_strdup(f.a, "/tmp/jepac-aot-XXXXXX"));
  Target target = target_host();
  lower(&f, _i, &target);
  void *so = link_library(&f);
  CodegenOptions jit = {.threads = 1};
  Plan *plan;
  Code *code = codegen_jit(f.program, &jit, f.a, f.d, &plan);
  must(code != NULL, &f, "codegen_jit");
  Session *s = session_new(plan, 1);
  Lib lib;
  symbol(so, "lib_init", &lib.init);
  symbol(so, "lib_go", &lib.go);
  symbol(so, "lib_tensors", &lib.tensors);
  char *arena = aligned_alloc(64, (size_t)plan->arena_bytes + (8u << 20));
  ck_assert_int_eq(lib.init(NULL, SEED), 1);
  ck_assert_int_eq(lib.init(arena + 8, SEED), 1);
  ck_assert_int_eq(lib.init(arena, SEED), 0);
  session_init_states(s, SEED);
  fill_inputs(s);
  int32_t n;
  const LibTensor *t = lib.tensors(&n);
  for (int i = 0; i < n; i++) {
    SessionTensor from = session_tensor_at(s, i);
    if (from.kind == PT_ARG) memcpy(arena + t[i].offset, from.data, (size_t)from.bytes);
  }
  compare(s, &lib, arena, true);
  for (int step = 0; step < STEPS; step++) {
    for (int i = 0; i < n; i++)
      if (t[i].kind == PT_RUNTIME && !strcmp(t[i].name, "step"))
        *(int64_t *)session_tensor_at(s, i).data = *(int64_t *)(void *)(arena + t[i].offset) = step;
    ck_assert_int_eq(lib.go(arena), 0);
    session_run(s, 0, plan->nstep);
    compare(s, &lib, arena, false);
  }
  free(arena);
  session_free(s);
  codegen_free(code);
  dlclose(so);
  remove_folder(&f);
  arena_free(f.a);
}
END_TEST

/* Every kernel of both convolution models for every instruction set: the emitters must serve them all. */
START_TEST(every_target) {
  static const struct {
    const char *triple, *cpu, *magic;
  } target[] = {{"x86_64-linux-gnu", "x86-64", "\x3e"},
                {"x86_64-linux-gnu", "x86-64-v3", "\x3e"},
                {"x86_64-linux-gnu", "znver4", "\x3e"},
                {"aarch64-linux-gnu", NULL, "\xb7"},
                {"aarch64-linux-gnu", "neoverse-n1", "\xb7"}};
  Fixture f = {.a = arena_new()};
  f.d = diags_new(f.a);
  AotOptions o = {.prefix = "p",
                  .function = "f",
                  .title = "",
                  .triple = target[_i / 2].triple,
                  .cpu = target[_i / 2].cpu,
                  .object = true};
  Target t;
  must(!codegen_aot_target(&o, &t, f.d), &f, "target");
  lower(&f, _i % 2, &t);
  AotFile file[AOT_FILES];
  int n;
  codegen_aot(f.program, &o, f.a, file, &n);
  ck_assert_int_eq(n, 1);
  ck_assert(!memcmp(file[0].data, "\177ELF", 4));
  ck_assert_int_eq(file[0].data[18], target[_i / 2].magic[0]); /* e_machine */
  arena_free(f.a);
}
END_TEST

/* A label that is no class is an error of the function, of an entry and of a step; the states stay. */
START_TEST(stray_label) {
  static const char text[] =
      "dim B\nmodel M() {\n  fc = Linear(3, 4)\n  entry forward(x: f32[B, 3], label: i64[B]) {\n"
      "    loss = cross_entropy(fc(x), label)\n    return loss\n  }\n}\n"
      "train M {\n  minimize forward.loss\n  optimizer = sgd(lr = 0.1)\n  batch = 2, steps = 1\n}\n";
  Fixture f = {.a = arena_new()};
  f.d = diags_new(f.a);
  f.folder = mkdtemp(arena_strdup(f.a, "/tmp/jepac-aot-XXXXXX"));
  FrontendOptions o = {.set = (const NameValue[]){{"B", "2"}}, .nset = 1, .text = text};
  Model *m = frontend_load(f.a, f.d, "m.jepa", &o);
  must(m != NULL, &f, "a model");
  PipelineOptions p = {.verify_each = true};
  const Graph *g = _i ? frontend_train_step(m, f.d, false) : frontend_entry(m, f.d, "forward", true, false);
  g = g ? pipeline_graph(f.a, g, &p, f.d) : NULL;
  must(g != NULL, &f, "a graph");
  Status s;
  Target t = target_host();
  f.program = pipeline_lower(f.a, g, &t, &p, f.d, &s);
  void *so = link_library(&f);
  Lib lib;
  symbol(so, "lib_init", &lib.init);
  symbol(so, "lib_go", &lib.go);
  symbol(so, "lib_tensors", &lib.tensors);
  char *arena = aligned_alloc(64, (size_t)f.program->arena_bytes + (8u << 20));
  int32_t n;
  const LibTensor *x = lib.tensors(&n);
  int64_t *label = NULL;
  float *weight = NULL;
  for (int i = 0; i < n; i++) {
    if (!strcmp(x[i].name, "label")) label = (int64_t *)(void *)(arena + x[i].offset);
    if (!strcmp(x[i].name, "fc.weight")) weight = (float *)(void *)(arena + x[i].offset);
  }
  ck_assert(label && weight && !lib.init(arena, SEED));
  float before = weight[0];
  for (int i = 0; i < 3; i++) {
    label[0] = 3, label[1] = (int64_t[]){4, -1, 0}[i];
    ck_assert_int_eq(lib.go(arena), i < 2 ? 3 : 0); /* PREFIX_NONFINITE */
    ck_assert(i == 2 || weight[0] == before);
  }
  free(arena);
  dlclose(so);
  remove_folder(&f);
  arena_free(f.a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("aot");
  TCase *t = tcase_create("aot");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, library_agrees_with_jit, 0, NCASE);
  tcase_add_loop_test(t, every_target, 0, 10);
  tcase_add_loop_test(t, stray_label, 0, 2);
  suite_add_tcase(s, t);
  return run_suite(s);
}
