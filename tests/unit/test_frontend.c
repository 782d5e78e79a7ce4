/* The language: every model file elaborates; layers against values worked out by hand with the f64 interpreter;
   names against the PyTorch fixtures; damaged files. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passes/graph/pass.h"
#include "runtime/safetensors.h"
#include "tests/unit/model_case.h"
#include "tests/unit/support.h"

static bool has_op(const Graph *g, OpId op) {
  for (int i = 0; i < g->node.n; i++)
    if (g->node.v[i].op == op) return true;
  return false;
}

/* ---- whole files ---- */

static void check_file(const char *path) {
  char err[512];
  ModelCase c = mc_path(path, NULL, 0);
  mc_ok(&c, c.m);
  bool recipe = frontend_recipe(c.m, diags_new(c.a)) != NULL;
  for (int i = 0; recipe && i < frontend_entry_count(c.m); i++)
    for (int train = 0; train < 2; train++) {
      Graph *g = frontend_entry(c.m, c.d, frontend_entry_name(c.m, i), train, false);
      mc_ok(&c, g);
      ck_assert_msg(graph_verify(g, err, sizeof err), "%s: %s", path, err);
      ck_assert(train || !has_op(g, OP_random_bits));
    }
  for (int bind = 0; recipe && bind < 2; bind++) {
    Graph *g = frontend_train_step(c.m, c.d, bind);
    mc_ok(&c, g);
    ck_assert_msg(graph_verify(g, err, sizeof err), "%s: %s", path, err);
    ck_assert_str_eq(g->outputs.v[0].name, "loss");
    for (int i = 0; i < g->node.n; i++)
      ck_assert_msg(g->node.v[i].loc != NULL, "%s: %%%d has no line", path, i);
  }
  char *said = diags_text(c.d);
  ck_assert_msg(!said || !*said, "%s", said);
  free(said);
  arena_free(c.a);
}

/* Every model file, without a warning. */
START_TEST(models_elaborate) {
  DIR *dir = opendir("models");
  ck_assert(dir != NULL);
  int n = 0;
  for (struct dirent *d; (d = readdir(dir));) {
    char path[512];
    size_t len = strlen(d->d_name);
    if (len < 6 || strcmp(d->d_name + len - 5, ".jepa")) continue;
    snprintf(path, sizeof path, "models/%s", d->d_name);
    check_file(path);
    n++;
  }
  closedir(dir);
  ck_assert_int_ge(n, 20);
  check_file("tests/parity/seq_jepa.jepa");
}
END_TEST

/* The states of the flagship are those of the PyTorch state dict, by name, type and shape. */
START_TEST(names_are_pytorchs) {
  ModelCase c = mc_path("tests/parity/seq_jepa.jepa", NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  mc_ok(&c, g);
  StFile *st = st_open("tests/parity/fixtures/seq_jepa/params.safetensors", c.d);
  mc_ok(&c, st);
  int states = 0;
  for (int i = 0; i < g->inputs.n; i++)
    states += g->inputs.v[i].kind == IN_PARAM || g->inputs.v[i].kind == IN_BUFFER;
  ck_assert_int_eq(states, st_count(st));
  for (int i = 0; i < st_count(st); i++) {
    const StTensor *t = st_tensor(st, i);
    int k = g_find_input(g, t->name);
    ck_assert_msg(k >= 0, "no state %s", t->name);
    const Node *n = g_node(g, g->inputs.v[k].val);
    ck_assert_msg(n->dt == t->dt && shape_eq(&n->shape, &t->shape), "type of %s", t->name);
  }
  static const char *const some[] = {"encoder.layer2.0.downsample.0.weight",
                                     "transformer_encoder.layers.0.self_attn.in_proj_weight",
                                     "action_proj.1.num_batches_tracked", "predictor.0.weight", "agg_token"};
  for (int i = 0; i < 5; i++) ck_assert(g_find_input(g, some[i]) >= 0);
  const Input *copy = &g->inputs.v[g_find_input(g, "target_encoder.bn1.weight")];
  ck_assert(copy->kind == IN_BUFFER && copy->init.kind == INIT_COPY);
  ck_assert_str_eq(copy->init.from, "encoder.bn1.weight");
  st_close(st);
  arena_free(c.a);
}
END_TEST

/* A convolution's value knows its line in resnet.jepa and the call in seq_jepa.jepa; the library is
   transparent. */
START_TEST(lines_and_call_sites) {
  ModelCase c = mc_path("models/seq_jepa.jepa", NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "forward", true, false);
  mc_ok(&c, g);
  int convs = 0;
  for (int i = 0; i < g->node.n; i++) {
    const Loc *l = g->node.v[i].loc;
    ck_assert(strncmp(l->src->path, "std/", 4) != 0);
    if (g->node.v[i].op != OP_conv2d) continue;
    convs++;
    ck_assert_str_eq(l->src->path, "models/nn/resnet.jepa");
    while (l->up) l = l->up;
    ck_assert_str_eq(l->src->path, "models/seq_jepa.jepa");
  }
  ck_assert_int_eq(convs, 40);
  arena_free(c.a);
}
END_TEST

/* ---- layers ---- */

START_TEST(softmax_and_cross_entropy) {
  ModelCase c =
      mc_text("model M() {\n"
              "  entry f(x: f32[2, 3], label: i64[2]) {\n"
              "    p = softmax(x)\n    l = logsumexp(x)\n    loss = cross_entropy(x, label)\n    top = "
              "accuracy(x, label)\n"
              "    return p, l, loss, top\n  }\n}\n",
              NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  double x[] = {1, 2, 4, -1, 0.5, 0}, label[] = {2, 0};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"x", x, 6}, {"label", label, 2}}, 2);
  double s0 = exp(1) + exp(2) + exp(4), s1 = exp(-1) + exp(0.5) + 1;
  mc_close(mc_result(g, out, "p")[0], exp(1) / s0);
  mc_close(mc_result(g, out, "p")[4], exp(0.5) / s1);
  mc_close(mc_result(g, out, "l")[1], log(s1));
  mc_close(mc_result(g, out, "loss")[0], (log(s0) - 4 + log(s1) + 1) / 2);
  mc_close(mc_result(g, out, "top")[0], 0.5);
  arena_free(c.a);
}
END_TEST

START_TEST(layer_norm) {
  ModelCase c =
      mc_text("model M() {\n  ln = LayerNorm(2)\n  entry f(x: f32[1, 2]) { return y = ln(x) }\n}\n", NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  double x[] = {1, 4}, w[] = {2, 3}, b[] = {0.5, -1}, r = 1 / sqrt(2.25 + 1e-5);
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"x", x, 2}, {"ln.weight", w, 2}, {"ln.bias", b, 2}}, 3);
  mc_close(mc_result(g, out, "y")[0], -1.5 * r * 2 + 0.5);
  mc_close(mc_result(g, out, "y")[1], 1.5 * r * 3 - 1);
  arena_free(c.a);
}
END_TEST

static const char batch_norm_twice[] =
    "model M() {\n  bn = BatchNorm(1)\n"
    "  entry f(x: f32[2, 1], y: f32[3, 1]) {\n    a = bn(x)\n    b = bn(y)\n    return a, b\n  }\n}\n";

/* Train mode normalises with batch statistics, and the second call's update reads the first's. */
START_TEST(batch_norm_updates_chain) {
  ModelCase c = mc_text(batch_norm_twice, NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", true, false);
  mc_ok(&c, g);
  double x[] = {1, 3}, y[] = {0, 3, 6}, w[] = {2}, b[] = {0.5}, rm[] = {10}, rv[] = {4}, n[] = {7};
  Given in[] = {{"x", x, 2},
                {"y", y, 3},
                {"bn.weight", w, 1},
                {"bn.bias", b, 1},
                {"bn.running_mean", rm, 1},
                {"bn.running_var", rv, 1},
                {"bn.num_batches_tracked", n, 1}};
  Tensor64 *out = mc_run(&c, &g, in, 7);
  mc_close(mc_result(g, out, "a")[0], -1 / sqrt(1 + 1e-5) * 2 + 0.5);
  mc_close(mc_result(g, out, "b")[2], 3 / sqrt(6 + 1e-5) * 2 + 0.5);
  mc_close(mc_result(g, out, "bn.running_mean")[0], 0.9 * (0.9 * 10 + 0.1 * 2) + 0.1 * 3);
  mc_close(mc_result(g, out, "bn.running_var")[0], 0.9 * (0.9 * 4 + 0.1 * 2) + 0.1 * 9);
  mc_close(mc_result(g, out, "bn.num_batches_tracked")[0], 9);

  Graph *e = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, e);
  out = mc_run(&c, &e, in, 7);
  ck_assert_int_eq(e->outputs.n, 2); /* no updates */
  mc_close(mc_result(e, out, "a")[0], (1 - 10) / sqrt(4 + 1e-5) * 2 + 0.5);
  arena_free(c.a);
}
END_TEST

START_TEST(cosine_similarity_clamps_norms) {
  ModelCase c = mc_text(
      "model M() { entry f(a: f32[2, 2], b: f32[2, 2]) { return s = cosine_similarity(a, b) } }\n", NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  double a[] = {3, 4, 0, 0}, b[] = {1, 0, 2, 5};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"a", a, 4}, {"b", b, 4}}, 2);
  mc_close(mc_result(g, out, "s")[0], 0.6);
  mc_close(mc_result(g, out, "s")[1], 0);
  arena_free(c.a);
}
END_TEST

START_TEST(dropout_only_in_training) {
  ModelCase c =
      mc_text("model M() {\n  d = Dropout(0.25)\n  entry f(x: f32[64, 64]) {\n    y = d(x)\n    z = "
              "d(x)\n    return y, z\n  }\n}\n",
              NULL, 0);
  mc_ok(&c, c.m);
  ck_assert(!has_op(frontend_entry(c.m, c.d, "f", false, false), OP_random_bits));
  Graph *g = frontend_entry(c.m, c.d, "f", true, false);
  mc_ok(&c, g);
  double *x = NEWN(c.a, double, 4096);
  for (int i = 0; i < 4096; i++) x[i] = 3;
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"x", x, 4096}}, 1);
  const double *y = mc_result(g, out, "y"), *z = mc_result(g, out, "z");
  int kept = 0, same = 0;
  for (int i = 0; i < 4096; i++) {
    ck_assert(y[i] == 0 || y[i] == 4);
    kept += y[i] != 0;
    same += (y[i] != 0) == (z[i] != 0);
  }
  ck_assert_int_gt(kept, 4096 * 0.72);
  ck_assert_int_lt(kept, 4096 * 0.78);
  ck_assert_int_lt(same, 4096 * 0.70); /* each call draws its own stream */
  arena_free(c.a);
}
END_TEST

/* x[:, :0] vanishes in concat: the flagship with one view. */
START_TEST(empty_slices) {
  ModelCase c = mc_text("model M() { entry f(x: f32[2, 1, 3]) { return y = concat(x[:, :-1], zeros_like(x[:, "
                        "-1:]), axis = 1) } }\n",
                        NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  ck_assert_int_eq(g_node(g, g->outputs.v[0].val)->shape.dim[1], 1);
  arena_free(c.a);
}
END_TEST

/* Negative axes count from the end, in unsqueeze from the end of the result. */
START_TEST(negative_axes) {
  ModelCase c = mc_text(
      "model M() { entry f(x: f32[2, 3, 4]) {\n"
      "  return a = unsqueeze(x, -1), b = unsqueeze(x, -4), c = merge(x, 0, -1), d = merge(x, -2, -1),\n"
      "    e = split(x, -1, [2, 2]), f = gather(x, iota([5], 0), -1), g = expand(x, [7, -1, -1, -1]) } }\n",
      NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  static const char *const want[] = {"f32[2,3,4,1]", "f32[1,2,3,4]", "f32[24]",     "f32[2,12]",
                                     "f32[2,3,2,2]", "f32[2,3,5]",   "f32[7,2,3,4]"};
  for (int i = 0; i < (int)(sizeof want / sizeof *want); i++) {
    char type[128];
    const Node *n = g_node(g, g->outputs.v[i].val);
    ck_assert_str_eq(type_str(n->dt, &n->shape, type), want[i]);
  }
  arena_free(c.a);
}
END_TEST

/* What SimCLR and VICReg need is said in the language: masks, Gram matrices, constants from iota. */
START_TEST(contrastive_losses) {
  ModelCase c =
      mc_text("fn nt_xent(a: f32[n, d], b: f32[n, d], tau) {\n"
              "  rows = normalize(concat(a, b, axis = 0))\n"
              "  scores = where(eye(2 * n) > 0, -inf, rows @ transpose(rows, [1, 0]) / tau)\n"
              "  i = iota([2 * n], 0)\n"
              "  return cross_entropy(scores, where(i < n, i + n, i - n))\n}\n"
              "fn off_diagonal(c: f32[d, d]) = sum(where(eye(d) > 0, 0, c) ^ 2) / d\n"
              "model M() {\n  w = param[2, 2] = zeros\n"
              "  entry f(a: f32[2, 2], b: f32[2, 2]) {\n    x = a @ w\n"
              "    loss = nt_xent(x, b, 1)\n    gram = off_diagonal(transpose(b, [1, 0]) @ (2 * b + "
              "1))\n    return loss, gram\n  }\n}\n",
              NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", true, true);
  mc_ok(&c, g);
  double eye[] = {1, 0, 0, 1};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"a", eye, 4}, {"b", eye, 4}, {"w", eye, 4}}, 3);
  mc_close(mc_result(g, out, "loss")[0], log(exp(1) + 2) - 1);
  mc_close(mc_result(g, out, "gram")[0], 1);
  for (int i = 0; i < 4; i++) ck_assert(isfinite(mc_result(g, out, "grad.w")[i]));
  arena_free(c.a);
}
END_TEST

/* ---- damage ---- */

/* Bytes of a good file replaced, removed and doubled: every outcome is a graph or a message. */
START_TEST(damaged_files) {
  ModelCase c = mc_new();
  const Source *good = source_read(c.a, "models/seq_jepa_demo.jepa");
  ck_assert(good != NULL);
  static const char junk[] = "(){}[]=,.:*@-+\"#0 9aN\n\xff\x01";
  uint32_t seed = 12345;
  for (int round = 0; round < 300; round++) {
    char *text = arena_alloc(c.a, good->len * 2 + 1);
    size_t n = good->len;
    memcpy(text, good->text, n);
    for (int k = 0; k < 1 + round % 4; k++) {
      seed = seed * 1664525u + 1013904223u;
      size_t at = (seed >> 8) % n, cut = (seed >> 4) % 12;
      if (seed >> 31) text[at] = junk[(seed >> 3) % (sizeof junk - 1)];
      else if (at + cut < n) {
        memmove(text + at, text + at + cut, n - at - cut);
        n -= cut;
      }
    }
    text[n] = '\0';
    ModelCase t = mc_new();
    char *path = mc_written(&t, text);
    FrontendOptions o = {.std_dir = "models"};
    t.m = frontend_load(t.a, t.d, path, &o);
    unlink(path);
    Graph *g = t.m && frontend_recipe(t.m, t.d) ? frontend_train_step(t.m, t.d, true) : NULL;
    ck_assert((g != NULL) == (diags_errors(t.d) == 0));
    arena_free(t.a);
  }
  arena_free(c.a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("frontend");
  TCase *t = tcase_create("all");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, models_elaborate);
  tcase_add_test(t, names_are_pytorchs);
  tcase_add_test(t, lines_and_call_sites);
  tcase_add_test(t, softmax_and_cross_entropy);
  tcase_add_test(t, layer_norm);
  tcase_add_test(t, batch_norm_updates_chain);
  tcase_add_test(t, cosine_similarity_clamps_norms);
  tcase_add_test(t, dropout_only_in_training);
  tcase_add_test(t, empty_slices);
  tcase_add_test(t, negative_axes);
  tcase_add_test(t, contrastive_losses);
  tcase_add_test(t, damaged_files);
  suite_add_tcase(s, t);
  return run_suite(s);
}
