/* The language: every model file elaborates; layers, optimizers, schedules and averages against values worked
   out by hand with the f64 interpreter; names against the PyTorch fixtures; damaged files. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "passes/graph/pass.h"
#include "runtime/safetensors.h"
#include "tests/unit/support.h"

/* ---- helpers ---- */

typedef struct {
  Arena *a;
  Diags *d;
  Model *m;
} Ctx;

static Ctx ctx(void) {
  Ctx c = {.a = arena_new()};
  c.d = diags_new(c.a);
  return c;
}

static char *written(Ctx *c, const char *text) {
  char *path = arena_strdup(c->a, "/tmp/jepac-frontend-XXXXXX");
  int fd = mkstemp(path);
  ck_assert(fd >= 0);
  ck_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
  return path;
}

static void ok(const Ctx *c, const void *p) {
  if (!p) diags_print(c->d, stderr);
  ck_assert(p != NULL);
}

static Ctx load_text(const char *text, const NameValue *set, int nset) {
  Ctx c = ctx();
  char *path = written(&c, text);
  FrontendOptions o = {.set = set, .nset = nset, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, path, &o);
  unlink(path);
  return c;
}

static Ctx load_path(const char *path, const NameValue *set, int nset) {
  Ctx c = ctx();
  FrontendOptions o = {.set = set, .nset = nset, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, path, &o);
  return c;
}

typedef struct {
  const char *name;
  const double *v;
  int n;
} Given;

/* Evaluates a graph in f64: inputs by name, 0 where none is given; returns the outputs. */
static Tensor64 *run(Ctx *c, Graph **graph, const Given *given, int ngiven) {
  static const char *const passes[] = {"autodiff"};
  char err[512];
  ck_assert_msg(graph_verify(*graph, err, sizeof err), "%s", err);
  Graph *g = passes_run(c->a, *graph, passes, 1, NULL, c->d);
  ok(c, g);
  *graph = g;
  Tensor64 *in = NEWN(c->a, Tensor64, g->inputs.n), *out = NEWN(c->a, Tensor64, g->outputs.n);
  for (int i = 0; i < g->inputs.n; i++) {
    const Node *n = g_node(g, g->inputs.v[i].val);
    int64_t count = shape_count(&n->shape);
    in[i] = (Tensor64){n->dt, n->shape, NEWN(c->a, double, count)};
    for (int k = 0; k < ngiven; k++) {
      if (strcmp(given[k].name, g->inputs.v[i].name)) continue;
      ck_assert_msg(given[k].n == count, "%s has %lld elements", given[k].name, (long long)count);
      for (int64_t j = 0; j < count; j++)
        in[i].v[j] = dtype_is_int(n->dt) ? int_cell(n->dt, (int64_t)given[k].v[j]) : given[k].v[j];
    }
  }
  graph_interp(g, in, out, c->a, false);
  for (int i = 0; i < g->outputs.n; i++)
    for (int64_t j = 0; j < shape_count(&out[i].shape); j++) out[i].v[j] = cell_value(out[i].dt, out[i].v[j]);
  return out;
}

static const double *result(const Graph *g, const Tensor64 *out, const char *name) {
  for (int i = 0; i < g->outputs.n; i++)
    if (!strcmp(g->outputs.v[i].name, name)) return out[i].v;
  ck_abort_msg("no output %s", name);
}

static void close_to(double got, double want) {
  ck_assert_msg(fabs(got - want) < 1e-12, "%.15g is not %.15g", got, want);
}

static bool has_op(const Graph *g, OpId op) {
  for (int i = 0; i < g->node.n; i++)
    if (g->node.v[i].op == op) return true;
  return false;
}

/* ---- whole files ---- */

static void check_file(const char *path) {
  char err[512];
  Ctx c = load_path(path, NULL, 0);
  ok(&c, c.m);
  bool recipe = frontend_recipe(c.m, diags_new(c.a)) != NULL;
  for (int i = 0; recipe && i < frontend_entry_count(c.m); i++)
    for (int train = 0; train < 2; train++) {
      Graph *g = frontend_entry(c.m, c.d, frontend_entry_name(c.m, i), train, false);
      ok(&c, g);
      ck_assert_msg(graph_verify(g, err, sizeof err), "%s: %s", path, err);
      ck_assert(train || !has_op(g, OP_random_bits));
    }
  for (int bind = 0; recipe && bind < 2; bind++) {
    Graph *g = frontend_train_step(c.m, c.d, bind);
    ok(&c, g);
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
  Ctx c = load_path("tests/parity/seq_jepa.jepa", NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  ok(&c, g);
  StFile *st = st_open("tests/parity/fixtures/seq_jepa/params.safetensors", c.d);
  ok(&c, st);
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
  Ctx c = load_path("models/seq_jepa.jepa", NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "forward", true, false);
  ok(&c, g);
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
  Ctx c = load_text("model M() {\n"
                    "  entry f(x: f32[2, 3], label: i64[2]) {\n"
                    "    p = softmax(x)\n    l = logsumexp(x)\n    loss = cross_entropy(x, label)\n    top = "
                    "accuracy(x, label)\n"
                    "    return p, l, loss, top\n  }\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
  double x[] = {1, 2, 4, -1, 0.5, 0}, label[] = {2, 0};
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 6}, {"label", label, 2}}, 2);
  double s0 = exp(1) + exp(2) + exp(4), s1 = exp(-1) + exp(0.5) + 1;
  close_to(result(g, out, "p")[0], exp(1) / s0);
  close_to(result(g, out, "p")[4], exp(0.5) / s1);
  close_to(result(g, out, "l")[1], log(s1));
  close_to(result(g, out, "loss")[0], (log(s0) - 4 + log(s1) + 1) / 2);
  close_to(result(g, out, "top")[0], 0.5);
  arena_free(c.a);
}
END_TEST

START_TEST(layer_norm) {
  Ctx c = load_text("model M() {\n  ln = LayerNorm(2)\n  entry f(x: f32[1, 2]) { return y = ln(x) }\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
  double x[] = {1, 4}, w[] = {2, 3}, b[] = {0.5, -1}, r = 1 / sqrt(2.25 + 1e-5);
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 2}, {"ln.weight", w, 2}, {"ln.bias", b, 2}}, 3);
  close_to(result(g, out, "y")[0], -1.5 * r * 2 + 0.5);
  close_to(result(g, out, "y")[1], 1.5 * r * 3 - 1);
  arena_free(c.a);
}
END_TEST

static const char batch_norm_twice[] =
    "model M() {\n  bn = BatchNorm(1)\n"
    "  entry f(x: f32[2, 1], y: f32[3, 1]) {\n    a = bn(x)\n    b = bn(y)\n    return a, b\n  }\n}\n";

/* Train mode normalises with batch statistics, and the second call's update reads the first's. */
START_TEST(batch_norm_updates_chain) {
  Ctx c = load_text(batch_norm_twice, NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", true, false);
  ok(&c, g);
  double x[] = {1, 3}, y[] = {0, 3, 6}, w[] = {2}, b[] = {0.5}, rm[] = {10}, rv[] = {4}, n[] = {7};
  Given in[] = {{"x", x, 2},
                {"y", y, 3},
                {"bn.weight", w, 1},
                {"bn.bias", b, 1},
                {"bn.running_mean", rm, 1},
                {"bn.running_var", rv, 1},
                {"bn.num_batches_tracked", n, 1}};
  Tensor64 *out = run(&c, &g, in, 7);
  close_to(result(g, out, "a")[0], -1 / sqrt(1 + 1e-5) * 2 + 0.5);
  close_to(result(g, out, "b")[2], 3 / sqrt(6 + 1e-5) * 2 + 0.5);
  close_to(result(g, out, "bn.running_mean")[0], 0.9 * (0.9 * 10 + 0.1 * 2) + 0.1 * 3);
  close_to(result(g, out, "bn.running_var")[0], 0.9 * (0.9 * 4 + 0.1 * 2) + 0.1 * 9);
  close_to(result(g, out, "bn.num_batches_tracked")[0], 9);

  Graph *e = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, e);
  out = run(&c, &e, in, 7);
  ck_assert_int_eq(e->outputs.n, 2); /* no updates */
  close_to(result(e, out, "a")[0], (1 - 10) / sqrt(4 + 1e-5) * 2 + 0.5);
  arena_free(c.a);
}
END_TEST

START_TEST(cosine_similarity_clamps_norms) {
  Ctx c = load_text(
      "model M() { entry f(a: f32[2, 2], b: f32[2, 2]) { return s = cosine_similarity(a, b) } }\n", NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
  double a[] = {3, 4, 0, 0}, b[] = {1, 0, 2, 5};
  Tensor64 *out = run(&c, &g, (Given[]){{"a", a, 4}, {"b", b, 4}}, 2);
  close_to(result(g, out, "s")[0], 0.6);
  close_to(result(g, out, "s")[1], 0);
  arena_free(c.a);
}
END_TEST

START_TEST(dropout_only_in_training) {
  Ctx c = load_text("model M() {\n  d = Dropout(0.25)\n  entry f(x: f32[64, 64]) {\n    y = d(x)\n    z = "
                    "d(x)\n    return y, z\n  }\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  ck_assert(!has_op(frontend_entry(c.m, c.d, "f", false, false), OP_random_bits));
  Graph *g = frontend_entry(c.m, c.d, "f", true, false);
  ok(&c, g);
  double *x = NEWN(c.a, double, 4096);
  for (int i = 0; i < 4096; i++) x[i] = 3;
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 4096}}, 1);
  const double *y = result(g, out, "y"), *z = result(g, out, "z");
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
  Ctx c = load_text("model M() { entry f(x: f32[2, 1, 3]) { return y = concat(x[:, :-1], zeros_like(x[:, "
                    "-1:]), axis = 1) } }\n",
                    NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
  ck_assert_int_eq(g_node(g, g->outputs.v[0].val)->shape.dim[1], 1);
  arena_free(c.a);
}
END_TEST

/* Negative axes count from the end, in unsqueeze from the end of the result. */
START_TEST(negative_axes) {
  Ctx c = load_text(
      "model M() { entry f(x: f32[2, 3, 4]) {\n"
      "  return a = unsqueeze(x, -1), b = unsqueeze(x, -4), c = merge(x, 0, -1), d = merge(x, -2, -1),\n"
      "    e = split(x, -1, [2, 2]), f = gather(x, iota([5], 0), -1), g = expand(x, [7, -1, -1, -1]) } }\n",
      NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
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
  Ctx c = load_text("fn nt_xent(a: f32[n, d], b: f32[n, d], tau) {\n"
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
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", true, true);
  ok(&c, g);
  double eye[] = {1, 0, 0, 1};
  Tensor64 *out = run(&c, &g, (Given[]){{"a", eye, 4}, {"b", eye, 4}, {"w", eye, 4}}, 3);
  close_to(result(g, out, "loss")[0], log(exp(1) + 2) - 1);
  close_to(result(g, out, "gram")[0], 1);
  for (int i = 0; i < 4; i++) ck_assert(isfinite(result(g, out, "grad.w")[i]));
  arena_free(c.a);
}
END_TEST

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
  Ctx c = load_text(ONE_WEIGHT("adamw(lr = 0.1, weight_decay = 0.2)", ""), NULL, 0);
  ok(&c, c.m);
  double p[] = {1, -2}, m[] = {0.5, 0}, v[] = {0.25, 0.1}, x[] = {3, -0.5}, slow[] = {4, 8}, step[] = {4};
  Graph *g = frontend_train_step(c.m, c.d, false);
  ok(&c, g);
  Given in[] = {{"x", x, 2},
                {"w.weight", p, 2},
                {"slow.weight", slow, 2},
                {"optimizer.w.weight.m", m, 2},
                {"optimizer.w.weight.v", v, 2},
                {"step", step, 1}};
  Tensor64 *out = run(&c, &g, in, 6);
  close_to(result(g, out, "loss")[0], 4);
  close_to(result(g, out, "lr")[0], 0.1);
  close_to(result(g, out, "grad_norm")[0], sqrt(9.25));
  for (int i = 0; i < 2; i++) {
    double want = adamw_step(&p[i], &m[i], &v[i], x[i], 0.1, 0.2, 5);
    close_to(result(g, out, "w.weight")[i], want);
    close_to(result(g, out, "optimizer.w.weight.m")[i], m[i]);
    close_to(result(g, out, "optimizer.w.weight.v")[i], v[i]);
    close_to(result(g, out, "slow.weight")[i], 0.75 * slow[i] + 0.25 * want); /* after the optimizer */
  }
  arena_free(c.a);
}
END_TEST

START_TEST(sgd_momentum_and_clipping) {
  Ctx c = load_text(ONE_WEIGHT("sgd(lr = 0.5, momentum = 0.9)", "  clip_norm = 1\n"), NULL, 0);
  ok(&c, c.m);
  double p[] = {1, -2}, m[] = {0.5, 0}, x[] = {3, -4};
  Graph *g = frontend_train_step(c.m, c.d, false);
  ok(&c, g);
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 2}, {"w.weight", p, 2}, {"optimizer.w.weight.m", m, 2}}, 3);
  double factor = 1 / (5 + 1e-6);
  close_to(result(g, out, "grad_norm")[0], 5);
  close_to(result(g, out, "w.weight")[0], 1 - 0.5 * (0.45 + 3 * factor));
  close_to(result(g, out, "w.weight")[1], -2 - 0.5 * (-4 * factor));
  arena_free(c.a);
}
END_TEST

static double lr_at(double step, double per_epoch, double total) {
  Ctx c = load_text(ONE_WEIGHT("sgd(lr = warmup_cosine(1, from = 0.1, warmup = 2 epochs))", ""), NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  ok(&c, g);
  Tensor64 *out =
      run(&c, &g,
          (Given[]){{"step", &step, 1}, {"steps_per_epoch", &per_epoch, 1}, {"total_steps", &total, 1}}, 3);
  double lr = result(g, out, "lr")[0];
  arena_free(c.a);
  return lr;
}

START_TEST(schedules) {
  close_to(lr_at(0, 10, 100), 0.1);
  close_to(lr_at(5, 10, 100), 0.1 + 0.9 * 0.25);
  close_to(lr_at(20, 10, 100), 1);
  close_to(lr_at(60, 10, 100), 0.1 + 0.9 * 0.5);
  close_to(lr_at(100, 10, 100), 0.1);
}
END_TEST

/* A probe trains its own parameters on constants, and its batch norm trains while the model is frozen. */
START_TEST(probes) {
  Ctx c = load_text(
      "dim B\nmodel M() {\n  fc = Linear(4, 3)\n  bn = BatchNorm(3)\n"
      "  entry f(x: f32[B, 4]) {\n    h = bn(fc(x))\n    loss = mean(h * h)\n    return loss, h\n  }\n}\n"
      "train M {\n  data = synthetic(features = 4, classes = 5)\n  bind x = data.x\n  minimize f.loss\n"
      "  optimizer = sgd()\n  batch = 8, epochs = 1\n  metric again = mean(bn(fc(data.x)))\n"
      "  probe class {\n    net = Sequential(BatchNorm(3), Linear(3, data.classes))\n"
      "    loss = cross_entropy(net(h), data.label)\n    metric top1 = accuracy(net(h), data.label)\n  "
      "}\n}\n",
      NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, true);
  ok(&c, g);
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
  Tensor64 *out = run(&c, &g, NULL, 0);
  close_to(result(g, out, "bn.num_batches_tracked")[0], 1);
  close_to(result(g, out, "probe.class.net.0.num_batches_tracked")[0], 2);
  char *said = diags_text(c.d);
  ck_assert_msg(!said || !*said, "%s", said);
  free(said);
  arena_free(c.a);
}
END_TEST

/* A group of parameters and an objective of its own, each with its optimizer; clipping together and apart. */
START_TEST(objectives_and_groups) {
  Ctx c = load_text(
      "model M() {\n  a = Linear(1, 1, bias = false)\n  b = Linear(1, 1, bias = false)\n"
      "  c = Linear(1, 1, bias = false)\n  entry f(x: f32[1, 1]) {\n"
      "    return loss = sum(a(x)) + sum(b(x)), other = sum(c(x))\n  }\n}\n"
      "train M {\n  minimize f.loss\n  optimizer = sgd(lr = 1)\n  clip_norm = 1\n  batch = 1, steps = 1\n"
      "  objective slow { params = [b], optimizer = sgd(lr = 0.1) }\n"
      "  objective other { params = [c.weight], minimize f.other, optimizer = sgd(lr = 1), clip_norm = 0.5 "
      "}\n}\n",
      NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, false);
  ok(&c, g);
  double x[] = {3};
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 1}}, 1);
  double together = 1 / (sqrt(18) + 1e-6), apart = 0.5 / (3 + 1e-6);
  close_to(result(g, out, "grad_norm")[0], sqrt(18));
  close_to(result(g, out, "a.weight")[0], -3 * together);
  close_to(result(g, out, "b.weight")[0], -0.3 * together);
  close_to(result(g, out, "c.weight")[0], -3 * apart);
  close_to(result(g, out, "objective.other.loss")[0], 0);
  for (int i = 0; i < g->outputs.n; i++) ck_assert_str_ne(g->outputs.v[i].name, "objective.slow.loss");
  arena_free(c.a);
}
END_TEST

START_TEST(monitors) {
  Ctx c = load_text(ONE_WEIGHT("sgd()", "  data = synthetic(features = 2)\n  bind x = data.x[0]\n"
                                        "  monitor { size = norm(data.x) in 0.5..2 }\n"
                                        "  monitor after 10% { one = sum(data.x) in 0..inf }\n"
                                        "  monitor after 3 epochs { two = max(data.x) in -1..2, three = "
                                        "min(data.x) in 0..4 }\n"),
                    NULL, 0);
  ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  ok(&c, r);
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
  ok(&c, g);
  double x[] = {3, 4};
  Tensor64 *out = run(&c, &g, (Given[]){{"data.x", x, 2}}, 1);
  close_to(result(g, out, "monitor.size")[0], 5);
  close_to(result(g, out, "monitor.three")[0], 3);
  close_to(result(g, out, "monitor.two")[0], 4);
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
    Ctx c = load_text(text, &set, want[i].set != NULL);
    ok(&c, c.m);
    const Recipe *r = frontend_recipe(c.m, c.d);
    ok(&c, r);
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
  Ctx c = load_text("model M() {\n  entry f(x: f32[4, 3], y: f32[2, 3]) {\n"
                    "    return rank = effective_rank(x), line = effective_rank(y)\n  }\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "f", false, false);
  ok(&c, g);
  double a = sqrt(3), x[] = {1 + a, 2, 5, 1 - a, 2, 5, 1, 3, 5, 1, 1, 5}, y[] = {0, 0, 0, 1, 2, 3};
  Tensor64 *out = run(&c, &g, (Given[]){{"x", x, 12}, {"y", y, 6}}, 2);
  double entropy = -0.75 * log(0.75) - 0.25 * log(0.25);
  ck_assert(fabs(result(g, out, "rank")[0] / exp(entropy) - 1) < 0.02);
  ck_assert(fabs(result(g, out, "line")[0] - 1) < 0.02);
  arena_free(c.a);
}
END_TEST

START_TEST(unreached_parameters_are_reported) {
  Ctx c = load_text("model M() {\n  a = Linear(2, 2)\n  b = Linear(2, 2)\n"
                    "  entry f(x: f32[B, 2]) { return loss = mean(a(x) + stop_gradient(b(x))) }\n}\n"
                    "train M {\n  data = synthetic(features = 2)\n  bind x = data.x\n  minimize f.loss\n  "
                    "optimizer = sgd()\n  batch = 2, steps = 1\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  Graph *g = frontend_train_step(c.m, c.d, true);
  ok(&c, g);
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
  Ctx c = load_text(ONE_WEIGHT("sgd()", ""), set, 1);
  ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  ok(&c, r);
  ck_assert_int_eq(r->epochs, 3);
  ck_assert_int_eq(r->steps, 0);
  arena_free(c.a);
}
END_TEST

/* A name read only by the entry that is not trained counts as read. */
START_TEST(settings_of_other_entries) {
  Ctx c = load_text("model M(gain = 1) {\n  w = param[2] = ones\n"
                    "  entry f(x: f32[B, 2]) { return loss = sum(x * w) }\n"
                    "  entry g(x: f32[B, 2]) { return y = gain * x }\n}\n"
                    "train M(gain = 3) {\n  data = synthetic(features = 2)\n  bind x = data.x\n"
                    "  minimize f.loss\n  optimizer = sgd()\n  batch = 2, steps = 1\n}\n",
                    NULL, 0);
  ok(&c, c.m);
  ok(&c, frontend_train_step(c.m, c.d, true));
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
  Ctx c = load_path("models/seq_jepa_demo.jepa", set, 5);
  ok(&c, c.m);
  const Recipe *r = frontend_recipe(c.m, c.d);
  ok(&c, r);
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
  ok(&c, g);
  const Node *hidden = g_node(g, g->inputs.v[g_find_input(g, "predictor.0.weight")].val);
  ck_assert_int_eq(hidden->shape.dim[0], 32);
  arena_free(c.a);
}
END_TEST

START_TEST(inputs_bind_dimensions) {
  Ctx c = ctx();
  KnownShape known[] = {{"views", DT_F32, {5, {4, 5, 3, 32, 32}}}};
  FrontendOptions o = {.known = known, .nknown = 1, .std_dir = "models"};
  c.m = frontend_load(c.a, c.d, "models/seq_jepa.jepa", &o);
  ok(&c, c.m);
  Graph *g = frontend_entry(c.m, c.d, "forward", false, false);
  ok(&c, g);
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
    Ctx c = load_path("models/seq_jepa.jepa", &cases[i].set, 1);
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

/* ---- damage ---- */

/* Bytes of a good file replaced, removed and doubled: every outcome is a graph or a message. */
START_TEST(damaged_files) {
  Ctx c = ctx();
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
    Ctx t = ctx();
    char *path = written(&t, text);
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
  tcase_add_test(t, damaged_files);
  suite_add_tcase(s, t);
  return run_suite(s);
}
