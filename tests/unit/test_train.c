/* The train section: optimizers, schedules, averages, probes, monitors and protocols against values worked out by
   hand with the f64 interpreter; settings. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/model_case.h"
#include "tests/unit/support.h"

/* ---- the training step ---- */

#define ONE_WEIGHT(OPTIMIZER, MORE)                                                                          \
  "model M() {\n"                                                                                            \
  "  w = Scale()\n  slow = ema(w, decay = 0.75)\n"                                                           \
  "  entry f(x: f32[2]) { return loss = sum(w(x)) + 0 * sum(stop_gradient(slow(x))) }\n}\n"                  \
  "model Scale() {\n  weight = param[2] = ones\n  fn forward(x) = x * weight\n}\n"                           \
  "train M {\n  minimize f.loss\n  batch = 1, steps = 10\n  optimizer = " OPTIMIZER "\n" MORE "}\n"

static double adamw_step(double *p, double *m, double *v, double g, double lr, double wd, int t) {
  *p -= lr * wd * *p;
  *m = 0.9 * *m + (1 - 0.9) * g;
  *v = 0.999 * *v + (1 - 0.999) * g * g;
  double denominator = sqrt(*v) / sqrt(1 - pow(0.999, t)) + 1e-8;
  *p -= lr / (1 - pow(0.9, t)) * *m / denominator;
  return *p;
}

START_TEST(adamw_and_average) {
  ModelCase c = mc_text(ONE_WEIGHT("adamw(lr = 0.1, weight_decay = 0.2)", ""), NULL, 0);
  mc_ok(&c, c.m);
  double p[] = {1, -2}, m[] = {0.5, 0}, v[] = {0.25, 0.1}, x[] = {3, -0.5}, slow[] = {4, 8}, step[] = {4};
  Graph *g = frontend_train_step(c.m, c.d, false);
  mc_ok(&c, g);
  Given in[] = {{"x", x, 2},
                {"w.weight", p, 2},
                {"slow.weight", slow, 2},
                {"optimizer.w.weight.m", m, 2},
                {"optimizer.w.weight.v", v, 2},
                {"step", step, 1}};
  Tensor64 *out = mc_run(&c, &g, in, 6);
  mc_close(mc_result(g, out, "loss")[0], 4);
  mc_close(mc_result(g, out, "lr")[0], 0.1);
  mc_close(mc_result(g, out, "grad_norm")[0], sqrt(9.25));
  for (int i = 0; i < 2; i++) {
    double want = adamw_step(&p[i], &m[i], &v[i], x[i], 0.1, 0.2, 5);
    mc_close(mc_result(g, out, "w.weight")[i], want);
    mc_close(mc_result(g, out, "optimizer.w.weight.m")[i], m[i]);
    mc_close(mc_result(g, out, "optimizer.w.weight.v")[i], v[i]);
    mc_close(mc_result(g, out, "slow.weight")[i], 0.75 * slow[i] + 0.25 * want); /* after the optimizer */
  }
  arena_free(c.a);
}
END_TEST

START_TEST(sgd_momentum_and_clipping) {
  ModelCase c = mc_text(ONE_WEIGHT("sgd(lr = 0.5, momentum = 0.9)", "  clip_norm = 1\n"), NULL, 0);
  mc_ok(&c, c.m);
  double p[] = {1, -2}, m[] = {0.5, 0}, x[] = {3, -4};
  Graph *g = frontend_train_step(c.m, c.d, false);
  mc_ok(&c, g);
  Tensor64 *out =
      mc_run(&c, &g, (Given[]){{"x", x, 2}, {"w.weight", p, 2}, {"optimizer.w.weight.m", m, 2}}, 3);
  double factor = 1 / (5 + 1e-6);
  mc_close(mc_result(g, out, "grad_norm")[0], 5);
  mc_close(mc_result(g, out, "w.weight")[0], 1 - 0.5 * (0.45 + 3 * factor));
  mc_close(mc_result(g, out, "w.weight")[1], -2 - 0.5 * (-4 * factor));
  arena_free(c.a);
}
END_TEST

static double lr_at(double step, double per_epoch, double total) {
  ModelCase c = mc_text(ONE_WEIGHT("sgd(lr = warmup_cosine(1, from = 0.1, warmup = 2 epochs))", ""), NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  mc_ok(&c, g);
  Tensor64 *out = mc_run(
      &c, &g, (Given[]){{"step", &step, 1}, {"steps_per_epoch", &per_epoch, 1}, {"total_steps", &total, 1}},
      3);
  double lr = mc_result(g, out, "lr")[0];
  arena_free(c.a);
  return lr;
}

START_TEST(schedules) {
  mc_close(lr_at(0, 10, 100), 0.1);
  mc_close(lr_at(5, 10, 100), 0.1 + 0.9 * 0.25);
  mc_close(lr_at(20, 10, 100), 1);
  mc_close(lr_at(60, 10, 100), 0.1 + 0.9 * 0.5);
  mc_close(lr_at(100, 10, 100), 0.1);
}
END_TEST

/* A probe trains its own parameters on constants, and its batch norm trains while the model is frozen. */
START_TEST(probes) {
  ModelCase c = mc_text(
      "dim B\nmodel M() {\n  fc = Linear(4, 3)\n  bn = BatchNorm(3)\n"
      "  entry f(x: f32[B, 4]) {\n    h = bn(fc(x))\n    loss = mean(h * h)\n    return loss, h\n  }\n}\n"
      "train M {\n  data = synthetic(features = 4, classes = 5)\n  bind x = data.x\n  minimize f.loss\n"
      "  optimizer = sgd()\n  batch = 8, epochs = 1\n  metric again = mean(bn(fc(data.x)))\n"
      "  probe class {\n    net = Sequential(BatchNorm(3), Linear(3, data.classes))\n"
      "    loss = cross_entropy(net(h), data.label)\n    metric top1 = accuracy(net(h), data.label)\n  "
      "}\n}\n",
      NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, true);
  mc_ok(&c, g);
  static const char *const want[] = {
      "loss", "lr", "grad_norm", "again", "probe.class.top1", "probe.class.loss"};
  for (int i = 0; i < 6; i++) ck_assert_str_eq(g->outputs.v[i].name, want[i]);
  int updates = 0, model_norm = 0, probe_norm = 0;
  for (int i = 6; i < g->outputs.n; i++) {
    ck_assert(g->outputs.v[i].state >= 0);
    updates++;
    model_norm += !strcmp(g->outputs.v[i].name, "bn.running_mean");
    probe_norm += !strcmp(g->outputs.v[i].name, "probe.class.net.0.running_mean");
  }
  ck_assert(updates > 8 && model_norm == 1 && probe_norm == 1);
  /* the model's statistics moved once (the objective), not again for the metric; the probe's twice */
  Tensor64 *out = mc_run(&c, &g, NULL, 0);
  mc_close(mc_result(g, out, "bn.num_batches_tracked")[0], 1);
  mc_close(mc_result(g, out, "probe.class.net.0.num_batches_tracked")[0], 2);
  char *said = diags_text(c.d);
  ck_assert_msg(!said || !*said, "%s", said);
  free(said);
  arena_free(c.a);
}
END_TEST

/* A group of parameters and an objective of its own, each with its optimizer; clipping together and apart. */
START_TEST(objectives_and_groups) {
  ModelCase c = mc_text(
      "model M() {\n  a = Linear(1, 1, bias = false)\n  b = Linear(1, 1, bias = false)\n"
      "  c = Linear(1, 1, bias = false)\n  entry f(x: f32[1, 1]) {\n"
      "    return loss = sum(a(x)) + sum(b(x)), other = sum(c(x))\n  }\n}\n"
      "train M {\n  minimize f.loss\n  optimizer = sgd(lr = 1)\n  clip_norm = 1\n  batch = 1, steps = 1\n"
      "  objective slow { params = [b], optimizer = sgd(lr = 0.1) }\n"
      "  objective other { params = [c.weight], minimize f.other, optimizer = sgd(lr = 1), clip_norm = 0.5 "
      "}\n}\n",
      NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  mc_ok(&c, g);
  double x[] = {3};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"x", x, 1}}, 1);
  double together = 1 / (sqrt(18) + 1e-6), apart = 0.5 / (3 + 1e-6);
  mc_close(mc_result(g, out, "grad_norm")[0], sqrt(18));
  mc_close(mc_result(g, out, "a.weight")[0], -3 * together);
  mc_close(mc_result(g, out, "b.weight")[0], -0.3 * together);
  mc_close(mc_result(g, out, "c.weight")[0], -3 * apart);
  mc_close(mc_result(g, out, "objective.other.loss")[0], 0);
  for (int i = 0; i < g->outputs.n; i++) ck_assert_str_ne(g->outputs.v[i].name, "objective.slow.loss");
  arena_free(c.a);
}
END_TEST

START_TEST(monitors) {
  ModelCase c = mc_text(ONE_WEIGHT("sgd()", "  data = synthetic(features = 2)\n  bind x = data.x[0]\n"
                                            "  monitor { size = norm(data.x) in 0.5..2 }\n"
                                            "  monitor after 10% { one = sum(data.x) in 0..inf }\n"
                                            "  monitor after 3 epochs { two = max(data.x) in -1..2, three = "
                                            "min(data.x) in 0..4 }\n"),
                        NULL, 0);
  mc_ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  mc_ok(&c, r);
  ck_assert_int_eq(r->nmonitor, 4);
  static const struct {
    const char *name;
    double lo, hi;
    int64_t start;
  } want[] = {{"size", 0.5, 2, 0}, {"one", 0, INFINITY, 21}, {"two", -1, 2, 24}, {"three", 0, 4, 24}};
  for (int i = 0; i < 4; i++) {
    const Monitor *m = &r->monitor[i];
    ck_assert_str_eq(m->name, want[i].name);
    ck_assert(m->lo == want[i].lo && m->hi == want[i].hi);
    ck_assert_int_eq(monitor_start(m, 8, 201), want[i].start);
  }
  Graph *g = frontend_train_step(c.m, c.d, true);
  mc_ok(&c, g);
  double x[] = {3, 4};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"data.x", x, 2}}, 1);
  mc_close(mc_result(g, out, "monitor.size")[0], 5);
  mc_close(mc_result(g, out, "monitor.three")[0], 3);
  mc_close(mc_result(g, out, "monitor.two")[0], 4);
  arena_free(c.a);
}
END_TEST

/* What jepac eval measures: the library's defaults, a file's own, and --set. */
START_TEST(protocols) {
  static const struct {
    const char *text, *set;
    double images;
    int hidden, path_hidden;
  } want[] = {{"", NULL, 20000, 1, 1},
              {"  eval = protocols(images = 7, hidden = [8, 8])\n", NULL, 7, 2, 2},
              {"  eval = protocols(path_hidden = [])\n", "9", 9, 1, 0}};
  for (int i = 0; i < 3; i++) {
    char text[512];
    snprintf(text, sizeof text,
             ONE_WEIGHT("sgd()", "  data = synthetic(features = 2)\n  bind x = data.x[0]\n%s"), want[i].text);
    NameValue set = {"eval.images", want[i].set};
    ModelCase c = mc_text(text, &set, want[i].set != NULL);
    mc_ok(&c, c.m);
    const Recipe *r = frontend_recipe(c.m, c.d);
    mc_ok(&c, r);
    ck_assert_double_eq(setting_find(r->eval, r->neval, "images")->num, want[i].images);
    ck_assert_double_eq(setting_find(r->eval, r->neval, "m_val")->item[7].num, 8);
    ck_assert_int_eq(setting_find(r->eval, r->neval, "hidden")->nitem, want[i].hidden);
    ck_assert_int_eq(setting_find(r->eval, r->neval, "path_hidden")->nitem, want[i].path_hidden);
    ck_assert((setting_find(r->set, r->nset, "eval") != NULL) == (*want[i].text != 0));
    arena_free(c.a);
  }
}
END_TEST

/* Four points on two axes: the covariance has eigenvalues 3 : 1 : 0. */
START_TEST(effective_rank_of_known_spectrum) {
  ModelCase c = mc_text("model M() {\n  entry f(x: f32[4, 3], y: f32[2, 3]) {\n"
                        "    return rank = effective_rank(x), line = effective_rank(y)\n  }\n}\n",
                        NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  mc_ok(&c, g);
  double a = sqrt(3), x[] = {1 + a, 2, 5, 1 - a, 2, 5, 1, 3, 5, 1, 1, 5}, y[] = {0, 0, 0, 1, 2, 3};
  Tensor64 *out = mc_run(&c, &g, (Given[]){{"x", x, 12}, {"y", y, 6}}, 2);
  double entropy = -0.75 * log(0.75) - 0.25 * log(0.25);
  ck_assert(fabs(mc_result(g, out, "rank")[0] / exp(entropy) - 1) < 1e-6);
  ck_assert(fabs(mc_result(g, out, "line")[0] - 1) < 1e-6);
  arena_free(c.a);
}
END_TEST

START_TEST(unreached_parameters_are_reported) {
  ModelCase c =
      mc_text("model M() {\n  a = Linear(2, 2)\n  b = Linear(2, 2)\n"
              "  entry f(x: f32[B, 2]) { return loss = mean(a(x) + stop_gradient(b(x))) }\n}\n"
              "train M {\n  data = synthetic(features = 2)\n  bind x = data.x\n  minimize f.loss\n  "
              "optimizer = sgd()\n  batch = 2, steps = 1\n}\n",
              NULL, 0);
  mc_ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, true);
  mc_ok(&c, g);
  char *said = diags_text(c.d);
  ck_assert(said && strstr(said, "warning: parameter `b.weight` is reached by no objective") &&
            !strstr(said, "a.weight"));
  free(said);
  for (int i = 0; i < g->outputs.n; i++) ck_assert(strncmp(g->outputs.v[i].name, "b.", 2) != 0);
  ck_assert(g_find_input(g, "b.weight") >= 0);
  arena_free(c.a);
}
END_TEST

/* ---- settings and dimensions ---- */

/* --set epochs=N says how long the run is although the file says it in steps. */
START_TEST(set_epochs_wins) {
  NameValue set[] = {{"epochs", "3"}};
  ModelCase c = mc_text(ONE_WEIGHT("sgd()", ""), set, 1);
  mc_ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  mc_ok(&c, r);
  ck_assert_int_eq(r->epochs, 3);
  ck_assert_int_eq(r->steps, 0);
  arena_free(c.a);
}
END_TEST

/* A name read only by the entry that is not trained counts as read. */
START_TEST(settings_of_other_entries) {
  ModelCase c = mc_text("model M(gain = 1) {\n  w = param[2] = ones\n"
                        "  entry f(x: f32[B, 2]) { return loss = sum(x * w) }\n"
                        "  entry g(x: f32[B, 2]) { return y = gain * x }\n}\n"
                        "train M(gain = 3) {\n  data = synthetic(features = 2)\n  bind x = data.x\n"
                        "  minimize f.loss\n  optimizer = sgd()\n  batch = 2, steps = 1\n}\n",
                        NULL, 0);
  mc_ok(&c, c.m);
  mc_ok(&c, frontend_train_step(c.m, c.d, true));
  char *said = diags_text(c.d);
  ck_assert_msg(!said || !*said, "%s", said);
  free(said);
  arena_free(c.a);
}
END_TEST

static double number(const Setting *s, int n, const char *name) {
  const Setting *x = setting_find(s, n, name);
  ck_assert_msg(x && x->kind == SET_NUM, "no number %s", name);
  return x->num;
}

START_TEST(recipe_of_the_demo) {
  NameValue set[] = {
      {"batch", "64"}, {"data.size", "20"}, {"hidden", "32"}, {"optimizer.lr.from", "1e-4"}, {"seed", "5"}};
  ModelCase c = mc_path("models/seq_jepa_demo.jepa", set, 5);
  mc_ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  mc_ok(&c, r);
  ck_assert_str_eq(r->model, "SeqJEPA");
  ck_assert_str_eq(r->data.source, "fashion_mnist");
  ck_assert_int_eq(r->batch, 64);
  ck_assert_int_eq(r->seed, 5);
  ck_assert(number(r->data.set, r->data.nset, "size") == 20);
  ck_assert(number(r->data.set, r->data.nset, "views") == 2);
  const Setting *actions = setting_find(r->data.set, r->data.nset, "actions");
  ck_assert(actions->kind == SET_LIST && actions->nitem == 4);
  ck_assert_str_eq(actions->item[1].str, "crop");
  const Setting *scale = setting_find(actions->item[1].item, actions->item[1].nitem, "scale");
  ck_assert(scale->kind == SET_RANGE && scale->num == 0.4 && scale->hi == 1);
  ck_assert(number(actions->item[2].item, actions->item[2].nitem, "contrast") == 0.4);
  const Setting *opt = setting_find(r->set, r->nset, "optimizer");
  ck_assert(opt->kind == SET_CALL && !strcmp(opt->item[0].str, "warmup_cosine"));
  ck_assert(number(opt->item[0].item, opt->item[0].nitem, "from") == 1e-4);
  bool found = false;
  for (int i = 0; i < r->data.nfield; i++) {
    if (strcmp(r->data.field[i].name, "actions")) continue;
    Shape want = {3, {64, 1, 8}};
    found = shape_eq(&r->data.field[i].shape, &want);
  }
  ck_assert(found);
  Graph *g = frontend_train_step(c.m, c.d, true);
  mc_ok(&c, g);
  const Node *hidden = g_node(g, g->inputs.v[g_find_input(g, "predictor.0.weight")].val);
  ck_assert_int_eq(hidden->shape.dim[0], 32);
  arena_free(c.a);
}
END_TEST

START_TEST(inputs_bind_dimensions) {
  ModelCase c = mc_new();
  KnownShape known[] = {{"views", DT_F32, {5, {4, 5, 3, 32, 32}}}};
  FrontendOptions o = {.known = known, .nknown = 1, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, "models/seq_jepa.jepa", &o);
  mc_ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "forward", false, false);
  mc_ok(&c, g);
  Shape want = {3, {4, 5, 9}};
  ck_assert(shape_eq(&g_node(g, g->inputs.v[g_find_input(g, "actions")].val)->shape, &want));
  arena_free(c.a);
}
END_TEST

START_TEST(bad_settings) {
  static const struct {
    NameValue set;
    const char *message;
  } cases[] = {
      {{"hiden", "3"},
       "--set hiden: there is no dimension, model parameter or recipe setting of this name (did you mean "
       "`hidden`?)"},
      {{"optimizer.lrr", "3"}, "adamw has no setting `lrr` (did you mean `lr`?)"},
      {{"N", "0"}, "dimension `N` cannot be 0"},
      {{"N", "1.5"}, "a dimension must be a whole number, but is 1.5"},
      {{"stem", "tiny"}, "there is no stem \"tiny\""},
      {{"batch", "0"}, "`batch` is 0, but must be at least 1"},
      {{"batch", "1099511627776"}, "error: input would have more than 2^40 elements: f32[1099511627776,"},
      {{"hidden", "4294967296"}, "error: input would have more than 2^40 elements: f32[4294967296,"},
      {{"hidden", "(3"}, "--set hidden:1:3: error: expected `)`"},
      {{"epochs", "none"}, "`epochs` must be a number, but is none"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ModelCase c = mc_path("models/seq_jepa.jepa", &cases[i].set, 1);
    ck_assert_msg(!c.m, "--set %s=%s is accepted", cases[i].set.name, cases[i].set.value);
    char *said = diags_text(c.d);
    ck_assert_msg(strstr(said, cases[i].message) != NULL, "--set %s=%s: %s", cases[i].set.name,
                  cases[i].set.value, said);
    ck_assert_int_ge(diags_errors(c.d), 1);
    free(said);
    arena_free(c.a);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("train");
  TCase *t = tcase_create("all");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, adamw_and_average);
  tcase_add_test(t, sgd_momentum_and_clipping);
  tcase_add_test(t, schedules);
  tcase_add_test(t, probes);
  tcase_add_test(t, objectives_and_groups);
  tcase_add_test(t, monitors);
  tcase_add_test(t, protocols);
  tcase_add_test(t, effective_rank_of_known_spectrum);
  tcase_add_test(t, unreached_parameters_are_reported);
  tcase_add_test(t, set_epochs_wins);
  tcase_add_test(t, settings_of_other_entries);
  tcase_add_test(t, recipe_of_the_demo);
  tcase_add_test(t, inputs_bind_dimensions);
  tcase_add_test(t, bad_settings);
  suite_add_tcase(s, t);
  return run_suite(s);
}
