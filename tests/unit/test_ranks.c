/* Several ranks: operators between them, and graphs shared among them against the whole graph. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "ir/graph/collective.h"
#include "passes/graph/pass.h"
#include "passes/pipeline.h"
#include "tests/unit/model_gen.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

/* ---- values of inputs ---- */
static Tensor64 *inputs(Arena *a, const Graph *g, uint64_t seed) {
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    const Node *n = g_node(g, x->val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(a, double, count + 1)};
    uint64_t name = hash_bytes(x->name, strlen(x->name), seed);
    for (int64_t k = 0; k < count; k++) {
      double z = op_case_normal(name, 1, (uint64_t)k), y = z;
      if (x->kind == IN_PARAM) y = x->init.kind == INIT_FILL ? x->init.a + 0.2 * z : 0.2 * z;
      if (x->kind == IN_SLOT || x->kind == IN_BUFFER) y = x->init.a + 0.1 * fabs(z) + 0.01;
      if (x->kind == IN_RUNTIME) y = !strcmp(x->name, "step") ? 3 : !strcmp(x->name, "seed") ? 5 : 1000;
      in[i].v[k] = dtype_is_float(n->dt) ? (double)(float)y : x->kind == IN_RUNTIME ? y : z > 0;
    }
  }
  return in;
}

/* What rank r gets of them. */
static Tensor64 *own_inputs(Arena *a, const Graph *whole, const Tensor64 *in, const Graph *g, int r) {
  Tensor64 *own = NEWN(a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    int k = g_find_input(whole, g->inputs.v[i].name);
    ck_assert_int_ge(k, 0);
    own[i] = in[k];
    own[i].shape = g_node(g, g->inputs.v[i].val)->shape;
    int64_t n = shape_count(&own[i].shape);
    if (n < shape_count(&in[k].shape)) own[i].v = in[k].v + r * n;
  }
  return own;
}

/* The largest difference between a whole graph and the same shared by so many ranks, on any of them, as a share of the
   largest value; *where: the result. */
static double shared_error(Arena *a, const Graph *whole, int ranks, uint64_t seed, const char **where,
                           const Graph **made) {
  static const char *const names[] = {"autodiff", "strip", "simplify", "cse", "simplify", "shard", "cse", "dce"};
  PassOptions opt = {.verify_each = true};
  Graph *expanded = passes_run(a, whole, names, 2, NULL, diags_new(a));
  ck_assert(expanded != NULL);
  Graph *copy = pass_live_copy(a, whole, false);
  copy->ranks = ranks;
  Diags *d = diags_new(a);
  Graph *g = passes_run(a, copy, names, 8, &opt, d);
  if (!g) diags_print(d, stderr);
  ck_assert(g != NULL);
  *made = g;
  Tensor64 *in = inputs(a, expanded, seed), *want = NEWN(a, Tensor64, expanded->outputs.n + 1);
  graph_interp(expanded, in, want, a, false);
  const Tensor64 **own = NEWN(a, const Tensor64 *, ranks);
  Tensor64 **out = NEWN(a, Tensor64 *, ranks);
  for (int r = 0; r < ranks; r++) {
    own[r] = own_inputs(a, expanded, in, g, r);
    out[r] = NEWN(a, Tensor64, g->outputs.n + 1);
  }
  graph_interp_ranks(g, ranks, own, out, a, false);
  double worst = 0, around = 0;
  for (int i = 0; i < g->outputs.n; i++)
    for (int64_t k = 0; k < shape_count(&want[i].shape); k++)
      if (isfinite(want[i].v[k]) && fabs(want[i].v[k]) > around) around = fabs(want[i].v[k]);
  for (int i = 0; i < g->outputs.n; i++) {
    int64_t n = shape_count(&want[i].shape);
    double most = 1e-6 * around;
    for (int64_t k = 0; k < n; k++)
      if (isfinite(want[i].v[k])) most = fmax(most, fabs(want[i].v[k]));
    for (int r = 0; r < ranks; r++)
      for (int64_t k = 0; k < n; k++) {
        double x = want[i].v[k], y = out[r][i].v[k];
        double e = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y) / (most + 1e-30);
        if (!(e <= worst)) worst = isnan(e) ? INFINITY : e, *where = g->outputs.v[i].name;
      }
  }
  return worst;
}

START_TEST(random_models) {
  const char *many = getenv("JEPAC_RANDOM_MODELS"), *from = getenv("JEPAC_RANDOM_FIRST");
  int n = many ? atoi(many) : 30, first = from ? atoi(from) : 0, failed = 0, tried = 0;
  for (int seed = first; seed < first + n; seed++) {
    Arena *a = arena_new();
    Diags *d = diags_new(a);
    ModelText t = model_gen((uint64_t)seed, 8 + seed % 30);
    FrontendOptions o = {.std_dir = "models", .text = t.text};
    Model *m = frontend_load(a, d, "random.jepa", &o);
    for (int step = 0; step < 2; step++) {
      const Graph *g = step ? frontend_train_step(m, d, false) : frontend_entry(m, d, "forward", true, true), *made;
      ck_assert(g != NULL);
      int64_t batch = g_node(g, g->inputs.v[g_find_input(g, "label")].val)->shape.dim[0];
      const char *where = "";
      for (int ranks = 2; ranks <= batch; ranks++) {
        if (batch % ranks) continue;
        tried++;
        double e = shared_error(a, g, ranks, (uint64_t)seed, &where, &made);
        if (e < 1e-6) continue;
        fprintf(stderr, "random model %d on %d ranks: %s differs by %g\n", seed, ranks, where, e);
        failed++;
      }
    }
    free(t.text);
    arena_free(a);
  }
  ck_assert_int_gt(tried, n / 2);
  ck_assert_int_eq(failed, 0);
}
END_TEST

/* ---- models of models/ ---- */
static const struct {
  const char *path;
  NameValue set[10];
  int gathers; /* values that must be put together: everything else stays divided */
} models[] = {
    {"models/small/simclr.jepa", {{"batch", "12"}, {"widths", "[2,2,2,4]"}, {"hidden", "6"}}, 2},
    {"models/vicreg.jepa", {{"batch", "12"}, {"widths", "[2,2,2,4]"}, {"hidden", "6"}}, 0},
};

static int count_ops(const Graph *g, OpId op) {
  int n = 0;
  for (Val v = 0; v < g->node.n; v++) n += g_node(g, v)->op == op;
  return n;
}

START_TEST(real_models) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  FrontendOptions o = {.std_dir = "models", .set = models[_i].set};
  while (o.set[o.nset].name) o.nset++;
  Model *m = frontend_load(a, d, models[_i].path, &o);
  const Graph *g = m ? frontend_train_step(m, d, true) : NULL, *made;
  if (!g) diags_print(d, stderr);
  ck_assert(g != NULL);
  for (int ranks = 2; ranks <= 3; ranks++) {
    const char *where = "";
    double e = shared_error(a, g, ranks, 1, &where, &made);
    ck_assert_msg(e < 1e-6, "%s on %d ranks: %s differs by %g", models[_i].path, ranks, where, e);
    if (getenv("JEPAC_SHOW"))
      fprintf(stderr, "%s on %d: %d sums, %d gathers, %d scatters, %d parts\n", models[_i].path, ranks, count_ops(made, OP_all_reduce_sum), count_ops(made, OP_all_gather), count_ops(made, OP_reduce_scatter), count_ops(made, OP_rank_part));
    ck_assert_int_le(count_ops(made, OP_all_gather), models[_i].gathers);
  }
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("ranks");
  TCase *t = tcase_create("shard");
  tcase_set_timeout(t, 600);
  tcase_add_test(t, random_models);
  tcase_add_loop_test(t, real_models, 0, sizeof models / sizeof *models);
  suite_add_tcase(s, t);
  return run_suite(s);
}
