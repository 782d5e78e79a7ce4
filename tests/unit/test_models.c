/* Random model files: each elaborates; its gradients are those of finite differences in f64; compiled code
   agrees with the interpreter, for the entry with gradients and for the optimizer step. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "passes/graph/pass.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/model_gen.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

static bool met[OP_COUNT]; /* operators of the graphs so far */

static Model *load(Arena *a, Diags *d, const char *text) {
  FrontendOptions *o = NEW(a, FrontendOptions);
  *o = (FrontendOptions){.std_dir = "models", .text = text};
  return frontend_load(a, d, "random.jepa", o);
}

static const Graph *passes(Arena *a, const Graph *g) {
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(a, g, &opt, diags_new(a));
  ck_assert(h != NULL);
  for (Val v = 0; v < h->node.n; v++) met[g_node(h, v)->op] = true;
  return h;
}

/* How far compiled code is from the interpreter beyond what rounding does. */
static double code_error(Arena *a, const Graph *g, uint64_t seed, const char **where) {
  static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
  Target t, host = target_host();
  const char *cpu = cpus[seed % 3];
  if (!target_named(cpu, &t) || t.vector_bytes > host.vector_bytes) cpu = "x86-64";
  JitRun how = {.cpu = cpu,
                .threads = 1 + (int)(seed % 2),
                .conv = seed % 2 ? CONV_DIRECT : CONV_AUTO,
                .chain_bytes = seed % 5 ? 0 : 4096};
  const Graph *h = passes(a, g);
  return jit_worst(a, h, &how, op_case_values(a, h, seed, 0.4), where);
}

/* Gradients along random directions against differences. Returns the largest error; kinks within the step do
   not count. */
static double gradient_error(Arena *a, const Graph *g, uint64_t seed, const char **where) {
  enum { TRIED = 5 };
  static const char *const names[] = {"autodiff", "strip"};
  const Graph *e = passes_run(a, g, names, 2, NULL, diags_new(a));
  ck_assert(e != NULL);
  Tensor64 *in = op_case_values(a, e, seed, 0.4), *out = NEWN(a, Tensor64, e->outputs.n + 1);
  graph_interp(e, in, out, a, false);
  double here = out[0].v[0], worst = 0;
  Graph *loss = graph_new(a, "loss");
  for (Val v = 0; v < e->node.n; v++) g_copy_node(loss, e, v, g_node(e, v)->in);
  g_output(loss, "loss", e->outputs.v[0].val, -1);
  loss = pass_dce(a, loss, diags_new(a));
  int grads = 0;
  for (int i = 0; i < e->outputs.n; i++) grads += !strncmp(e->outputs.v[i].name, "grad.", 5);
  int every = grads / TRIED + 1, seen = 0;
  for (int i = 0; i < e->outputs.n; i++) {
    const char *name = e->outputs.v[i].name;
    if (strncmp(name, "grad.", 5) || seen++ % every) continue;
    int at = g_find_input(loss, name + 5);
    ck_assert_int_ge(at, 0);
    Tensor64 *x = op_case_values(a, loss, seed, 0.4), y[2];
    int64_t n = shape_count(&x[at].shape);
    double sum = 0, h = 1e-6, *d = NEWN(a, double, n + 1), *old = x[at].v;
    for (int64_t k = 0; k < n; k++) {
      d[k] = op_case_normal(seed, 7, (uint64_t)k);
      sum += d[k] * out[i].v[k];
    }
    for (int side = 0; side < 2; side++) {
      x[at].v = NEWN(a, double, n + 1);
      for (int64_t k = 0; k < n; k++) x[at].v[k] = old[k] + (side ? -h : h) * d[k];
      graph_interp(loss, x, &y[side], a, false);
    }
    double ahead = (y[0].v[0] - here) / h, behind = (here - y[1].v[0]) / h, want = (ahead + behind) / 2;
    double error = fabs(want - sum) / (1e-3 + fmax(fabs(want), fabs(sum)));
    bool kink = fabs(ahead - behind) > 1e-3 * (1e-2 + fmax(fabs(ahead), fabs(behind)));
    if (kink || error <= worst) continue;
    worst = error;
    *where = name;
  }
  return worst;
}

/* NULL when all agrees, else what does not. */
static const char *check_model(Arena *a, const char *text, bool stopped, uint64_t seed) {
  Diags *d = diags_new(a);
  Model *m = load(a, d, text);
  const Graph *g = m ? frontend_entry(m, d, "forward", true, true) : NULL;
  const Graph *step = g ? frontend_train_step(m, d, false) : NULL;
  if (!step) {
    diags_print(d, stderr);
    return "does not elaborate";
  }
  const char *where = "";
  double e = code_error(a, g, seed, &where);
  if (!(e < 2e-3)) return arena_printf(a, "code: %s differs by %g", where, e);
  if ((e = code_error(a, step, seed, &where)) >= 2e-3)
    return arena_printf(a, "step: %s differs by %g", where, e);
  if (!stopped && (e = gradient_error(a, g, seed, &where)) > 1e-3)
    return arena_printf(a, "%s is wrong by %g", where, e);
  return NULL;
}

START_TEST(random_models) {
  const char *many = getenv("JEPAC_RANDOM_MODELS"), *from = getenv("JEPAC_RANDOM_FIRST");
  int n = many ? atoi(many) : 40, first = from ? atoi(from) : 0, failed = 0;
  for (int seed = first; seed < first + n; seed++) {
    Arena *a = arena_new();
    ModelText t = model_gen((uint64_t)seed, 8 + seed % 30);
    const char *wrong = check_model(a, t.text, t.stopped, (uint64_t)seed);
    if (wrong) {
      fprintf(stderr, "random model %d: %s\n", seed, wrong);
      if (many) fprintf(stderr, "%s", t.text);
      failed++;
    }
    free(t.text);
    arena_free(a);
  }
  ck_assert_int_eq(failed, 0);
  for (int op = 0; op < OP_COUNT && !from && n >= 40; op++) /* all that the language reaches */
    ck_assert_msg(met[op] || op == OP_grad || op == OP_extern || op == OP_stop_gradient ||
                      op_table[op].kind == KIND_COLLECTIVE || op_table[op].kind == KIND_LAPACK,
                  "no random model has %s", op_table[op].name);
}
END_TEST

int main(void) {
  Suite *s = suite_create("models");
  TCase *t = tcase_create("models");
  tcase_set_timeout(t, 0);
  tcase_add_test(t, random_models);
  suite_add_tcase(s, t);
  return run_suite(s);
}
