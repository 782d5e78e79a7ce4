/* Parity with PyTorch: the fixtures of tests/parity (made by make_fixtures.py in f64, stored as f32) against
   the f64 interpreter and against generated code: results, every parameter's gradient, running statistics
   after a step, losses of ten optimizer steps. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"
#include "runtime/safetensors.h"
#include "tests/unit/jit_run.h"
#include "tests/unit/support.h"

/* Layers and the flagship first: only these also run with direct convolutions, and in eval mode as code. */
static const char *const cases[] = {
    "mlp",
    "conv",
    "grouped",
    "transformer",
    "resnet_imagenet",
    "seq_jepa",
    "simclr",
    "vicreg",
    "sen",
    "vicreg_traj",
    "equimod",
    "sie",
    "byol",
    "cond_byol",
    "conv_ijepa",
    "zoo_mobilenet_v2",
    "zoo_efficientnet_b0",
    "zoo_convnext_t",
    "zoo_resnet50",
    "zoo_vit_s",
    "zoo_gpt2",
    "zoo_swin_t",
    "zoo_bert",
    "zoo_llama",
    "zoo_lstm_lm",
    "zoo_gcn",
    "zoo_unet",
    "zoo_ddpm",
    "zoo_vae",
    "zoo_mae",
    "zoo_dino",
    "wmse",
    "seq_jepa_transformer",
    "seq_jepa_predictor",
    "seq_jepa_neither",
    "published_simclr",
    "published_sen",
    "published_equimod",
    "published_vicreg",
    "published_vicreg_traj",
    "published_sie",
    "published_byol",
    "published_cond_byol",
    "published_conv_ijepa",
    "published_seq_jepa",
    "published_saccades",
    "published_poses",
    "published_raw",
    "contextssl",
};
/* Fixtures of tests/parity/published.py, and which model file with which settings has that form. */
static const struct {
  const char *name, *file;
  NameValue set[5];
} published[] = {
    {"published_simclr", "simclr", {{"published", "true"}}},
    {"published_sen", "sen", {{"published", "true"}}},
    {"published_equimod", "equimod", {{"published", "true"}}},
    {"published_vicreg", "vicreg", {{"published", "true"}}},
    {"published_vicreg_traj", "vicreg_traj", {{"published", "true"}}},
    {"published_sie", "sie", {{"published", "true"}}},
    {"published_byol", "byol", {{"published", "true"}, {"out", "6"}}},
    {"published_cond_byol", "cond_byol", {{"published", "true"}, {"out", "6"}}},
    {"published_conv_ijepa", "conv_ijepa", {{"published", "true"}, {"head", "8"}, {"out", "6"}}},
    {"published_saccades", "published_seq_jepa", {{"action_kind", "saccades"}, {"action_dim", "2"}}},
    {"published_poses", "published_seq_jepa", {{"action_kind", "poses"}}},
    {"published_raw", "published_seq_jepa", {{"action_kind", "poses"}, {"proj", "0"}}},
};
enum { NCASE = sizeof cases / sizeof *cases, NLAYER = 6, NPUBLISHED = 14 };

typedef struct {
  Arena *a;
  Diags *d;
  const char *name;
  StFile *params, *inputs;
  Model *model;
} Case;

static StFile *fixture(Case *c, const char *file) {
  char path[256];
  snprintf(path, sizeof path, "tests/parity/fixtures/%s/%s.safetensors", c->name, file);
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  fclose(f);
  StFile *st = st_open(path, c->d);
  if (!st) diags_print(c->d, stderr);
  ck_assert(st != NULL);
  return st;
}

/* Entries take a part, one of `parts`, of the fixture's inputs. */
static void open_case(Case *c, const char *name, int parts, const NameValue *set, int nset) {
  c->a = arena_new();
  c->d = diags_new(c->a);
  c->name = name;
  c->params = fixture(c, "params");
  c->inputs = fixture(c, "inputs");
  ck_assert(c->params && c->inputs);
  KnownShape *known = NEWN(c->a, KnownShape, st_count(c->inputs));
  for (int i = 0; i < st_count(c->inputs); i++) {
    const StTensor *t = st_tensor(c->inputs, i);
    known[i] = (KnownShape){t->name, t->dt, t->shape};
    known[i].shape.dim[0] /= parts;
  }
  for (size_t i = 0; i < sizeof published / sizeof *published; i++)
    if (!strcmp(name, published[i].name)) {
      name = published[i].file;
      set = published[i].set;
      for (nset = 0; nset < 5 && set[nset].name; nset++) {}
    }
  FrontendOptions o = {
      .set = set, .nset = nset, .known = known, .nknown = st_count(c->inputs), .std_dir = "models"};
  char path[256];
  snprintf(path, sizeof path, "tests/parity/%s.jepa", name);
  c->model = frontend_load(c->a, c->d, path, &o);
  if (!c->model) diags_print(c->d, stderr);
  ck_assert_msg(c->model != NULL, "%s does not load", path);
}

static void close_case(Case *c) {
  st_close(c->params);
  st_close(c->inputs);
  arena_free(c->a);
}

static Tensor64 from_file(Arena *a, const StTensor *t) {
  Tensor64 x = {t->dt, t->shape, NEWN(a, double, shape_count(&t->shape))};
  for (int64_t j = 0; j < shape_count(&t->shape); j++)
    x.v[j] = t->dt == DT_I64   ? int_cell(t->dt, ((const int64_t *)t->data)[j])
             : t->dt == DT_F64 ? ((const double *)t->data)[j]
                               : ((const float *)t->data)[j];
  return x;
}

/* Arguments of g: rows of the fixture's inputs, those of part `part`. */
static void load_part(Case *c, const Graph *g, int part, Tensor64 *in) {
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    if (x->kind != IN_ARG) continue;
    const StTensor *t = st_find(c->inputs, x->name);
    ck_assert_msg(t != NULL, "%s: the fixture has no %s", c->name, x->name);
    Tensor64 whole = from_file(c->a, t);
    in[i] = (Tensor64){whole.dt, g_node(g, x->val)->shape, NULL};
    in[i].v = whole.v + part * shape_count(&in[i].shape);
  }
}

/* Inputs of g from the fixture; optimizer slots start as their initializer says; run-time scalars from the
   arguments. */
static Tensor64 *load_inputs(Case *c, const Graph *g) {
  Tensor64 *in = NEWN(c->a, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    const Node *n = g_node(g, x->val);
    const StTensor *t = st_find(c->params, x->name);
    if (x->kind == IN_ARG) continue;
    if (t) {
      ck_assert_msg(shape_eq(&t->shape, &n->shape), "%s: shape of %s", c->name, x->name);
      in[i] = from_file(c->a, t);
    } else {
      ck_assert_msg(x->kind == IN_SLOT || x->kind == IN_RUNTIME, "%s: the fixture has no %s", c->name,
                    x->name);
      in[i] = (Tensor64){n->dt, n->shape, NEWN(c->a, double, shape_count(&n->shape))};
      for (int64_t j = 0; j < shape_count(&n->shape); j++)
        in[i].v[j] = x->init.kind == INIT_FILL ? x->init.a : 0;
      if (!strcmp(x->name, "steps_per_epoch") || !strcmp(x->name, "total_steps"))
        in[i].v[0] = int_cell(in[i].dt, 10);
    }
  }
  load_part(c, g, 0, in);
  return in;
}

static Graph *passes(Case *c, const Graph *g) {
  if (!g) diags_print(c->d, stderr);
  ck_assert(g != NULL);
  PipelineOptions opt = {.verify_each = true};
  Graph *h = pipeline_graph(c->a, g, &opt, c->d);
  if (!h) diags_print(c->d, stderr);
  ck_assert(h != NULL);
  return h;
}

static double norm(const Tensor64 *t) {
  double s = 0;
  for (int64_t j = 0; j < shape_count(&t->shape); j++)
    s += cell_value(t->dt, t->v[j]) * cell_value(t->dt, t->v[j]);
  return sqrt(s);
}

static double distance(const Tensor64 *x, const Tensor64 *y) {
  double s = 0;
  for (int64_t j = 0; j < shape_count(&x->shape); j++) {
    double d = cell_value(x->dt, x->v[j]) - cell_value(y->dt, y->v[j]);
    s += d * d;
  }
  return isnan(s) ? INFINITY : sqrt(s);
}

/* Compares every tensor of a fixture file with the output of that name. An exactly zero reference is compared
   with the largest. With JEPAC_PARITY_TABLE the worst of each file is printed, relative to its tensor's norm. */
static void compare(Case *c, const char *how, const char *file, const Graph *g, const Tensor64 *out,
                    double tol) {
  StFile *f = fixture(c, file);
  if (!f) return;
  double largest = 0, worst = 0;
  for (int i = 0; i < st_count(f); i++) {
    Tensor64 t = from_file(c->a, st_tensor(f, i));
    largest = fmax(largest, norm(&t));
  }
  for (int i = 0; i < st_count(f); i++) {
    const StTensor *t = st_tensor(f, i);
    int k = 0;
    while (k < g->outputs.n && strcmp(g->outputs.v[k].name, t->name)) k++;
    ck_assert_msg(k < g->outputs.n, "%s: no output %s", c->name, t->name);
    Tensor64 want = from_file(c->a, t);
    ck_assert_msg(shape_eq(&want.shape, &out[k].shape), "%s: shape of %s", c->name, t->name);
    double n = norm(&want), e = distance(&want, &out[k]);
    double bound = n < 1e-5 * largest ? 1e-6 * largest : tol * (n + 1e-7 * largest);
    ck_assert_msg(e <= bound, "%s, %s: %s is off by %.3g of %.3g", c->name, how, t->name, e, n);
    worst = fmax(worst, e / (n < 1e-5 * largest ? largest : n));
  }
  if (getenv("JEPAC_PARITY_TABLE")) printf("%s | %s | %s | %.1e\n", c->name, how, file, worst);
  st_close(f);
}

static void check_entry(Case *c, bool train, bool thorough) {
  Graph *g = passes(c, frontend_entry(c->model, c->d, "forward", train, train));
  Tensor64 *in = load_inputs(c, g), *out = NEWN(c->a, Tensor64, g->outputs.n + 1);
  const char *results = train ? "outputs" : "outputs_eval";
  graph_interp(g, in, out, c->a, false);
  compare(c, "interpreter", results, g, out, 1e-7);
  if (train) compare(c, "interpreter", "grads", g, out, 1e-7);
  if (train) compare(c, "interpreter", "buffers1", g, out, 1e-7);
  static const ConvAlgo algo[] = {CONV_DIRECT, CONV_AUTO};
  for (int k = thorough ? 0 : train ? 1 : 2; k < 2; k++) {
    jit_run(c->a, g, &(JitRun){"host", 2, algo[k], 0, false, false}, in, out);
    compare(c, k ? "JIT" : "JIT, direct convolution", results, g, out, 1e-5);
    if (train) compare(c, k ? "JIT" : "JIT, direct convolution", "grads", g, out, 1e-3);
    if (train) compare(c, k ? "JIT" : "JIT, direct convolution", "buffers1", g, out, 1e-4);
  }
}

START_TEST(forward_and_gradients) {
  Case c;
  open_case(&c, cases[_i], 1, NULL, 0);
  check_entry(&c, true, _i < NLAYER);
  close_case(&c);
}
END_TEST

START_TEST(evaluation) {
  Case c;
  open_case(&c, cases[_i], 1, NULL, 0);
  check_entry(&c, false, _i < NLAYER);
  close_case(&c);
}
END_TEST

/* ---- ten steps: AdamW and EMA; LARS and SGD groups with clipping, two averages; accumulation ---- */

static int read_losses(const char *name, double *loss, int max) {
  char path[256], text[4096];
  snprintf(path, sizeof path, "tests/parity/fixtures/%s/losses.json", name);
  FILE *f = fopen(path, "rb");
  ck_assert(f != NULL);
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  int k = 0;
  char *p = strchr(text, '[');
  ck_assert(p != NULL);
  for (p++; k < max;) {
    char *end;
    double x = strtod(p, &end);
    if (end == p) break;
    loss[k++] = x;
    p = end + strspn(end, ", \n");
  }
  return k;
}

/* A step is `parts` executions, each on its part of the inputs. */
static void ten_steps(Case *c, int parts, bool jit, bool bf16, double loss_tol, double tol) {
  Graph *g = passes(c, frontend_train_step(c->model, c->d, false));
  double loss[10];
  ck_assert_int_eq(read_losses(c->name, loss, 10), 10);
  Tensor64 *in = load_inputs(c, g), *out = NEWN(c->a, Tensor64, g->outputs.n + 1);
  int total = g_find_input(g, "total_steps");
  if (total >= 0) in[total].v[0] = int_cell(in[total].dt, 10 * parts);
  for (int batch = 0; batch < 10 * parts; batch++) {
    int s = g_find_input(g, "step"), step = batch / parts;
    if (s >= 0) in[s].v[0] = int_cell(in[s].dt, batch);
    load_part(c, g, batch % parts, in);
    if (jit) jit_run(c->a, g, &(JitRun){"host", 2, CONV_AUTO, 0, bf16, false}, in, out);
    else graph_interp(g, in, out, c->a, false);
    for (int i = 0; i < g->outputs.n; i++) {
      const Output *o = &g->outputs.v[i];
      if (o->state >= 0) in[o->state] = out[i];
      if (o->state < 0 && !strcmp(o->name, "loss") && batch % parts == parts - 1)
        ck_assert_msg(fabs(out[i].v[0] - loss[step]) <= loss_tol * fabs(loss[step]),
                      "%s: loss of step %d is %.9g, want %.9g", jit ? "JIT" : "interpreter", step,
                      out[i].v[0], loss[step]);
    }
  }
  StFile *f = fixture(c, "after");
  double off = 0, sum = 0;
  for (int i = 0; i < st_count(f); i++) {
    const StTensor *t = st_tensor(f, i);
    int k = g_find_input(g, t->name);
    ck_assert_msg(k >= 0, "no state %s", t->name);
    Tensor64 want = from_file(c->a, t);
    double n = norm(&want), e = distance(&want, &in[k]);
    /* Adam amplifies gradients that are zero but for rounding: attention's key bias, a bias before a batch
       norm and what follows */
    off += e * e, sum += n * n;
    if (bf16) continue;
    bool loose = strstr(t->name, "in_proj_bias") || !strcmp(t->name, "transformer_encoder.norm.bias") ||
                 !strncmp(t->name, "predictor.1.running_mean", 24);
    ck_assert_msg(e <= (loose ? 2e-2 : tol) * (n + 1e-3), "%s: %s after ten steps is off by %.3g of %.3g",
                  jit ? "JIT" : "interpreter", t->name, e, n);
  }
  if (bf16) ck_assert_double_le(sqrt(off / sum), tol);
  st_close(f);
}

START_TEST(optimizer_steps) {
  static const char *const trained[] = {"seq_jepa", "byol"};
  Case c;
  open_case(&c, trained[_i], 1, NULL, 0);
  ten_steps(&c, 1, false, false, 1e-6, 1e-6);
  ten_steps(&c, 1, true, false, 1e-3, 1e-3);
  close_case(&c);
}
END_TEST

/* Four batches a step, and one batch that is as large as the four: PyTorch's parameters after ten steps. */
START_TEST(accumulation) {
  NameValue one = {"accumulate", "1"};
  int parts = _i ? 1 : 4;
  Case c;
  open_case(&c, "accumulate", parts, &one, parts == 1);
  ten_steps(&c, parts, false, false, 1e-6, 1e-6);
  ten_steps(&c, parts, true, false, 1e-4, 1e-4);
  close_case(&c);
}
END_TEST

/* ---- --precision bf16 ---- */
/* The difference of all tensors of a fixture file from the outputs of those names, over the file's norm. */
static double file_error(Case *c, const char *file, const Graph *g, const Tensor64 *out) {
  StFile *f = fixture(c, file);
  double off = 0, sum = 0;
  if (!f) return 0;
  for (int i = 0; i < st_count(f); i++) {
    Tensor64 want = from_file(c->a, st_tensor(f, i));
    int k = 0;
    while (k < g->outputs.n && strcmp(g->outputs.v[k].name, st_tensor(f, i)->name)) k++;
    ck_assert(k < g->outputs.n);
    off += pow(distance(&want, &out[k]), 2), sum += pow(norm(&want), 2);
  }
  st_close(f);
  return sqrt(off / sum);
}

static bool same_values(const Graph *g, const Tensor64 *x, const Tensor64 *y) {
  for (int i = 0; i < g->outputs.n; i++)
    if (memcmp(x[i].v, y[i].v, sizeof(double) * (size_t)shape_count(&x[i].shape))) return false;
  return true;
}

/* Tolerances are about one and a half times what PyTorch's bf16 autocast is off by on the same fixtures
   (tests/parity/bf16_autocast.py), whose small random networks make much of a rounding: a pre-activation that
   moves over zero changes a mask. PyTorch's / jepac's errors, training: conv .0029 / .0018, gradients .042 /
   .052; resnet_imagenet .038 / .026, .30 / .37; seq_jepa .0094 / .0069, .26 / .24. JEPAC_BF16_ERRORS prints
   jepac's. */
static const struct {
  const char *name;
  double eval, outputs, grads, buffers;
} bf16_bound[] = {{"conv", 0.004, 0.006, 0.08, 5e-4},
                  {"resnet_imagenet", 0.01, 0.05, 0.5, 1e-3},
                  {"seq_jepa", 0.008, 0.015, 0.4, 5e-4}};

START_TEST(bf16) {
  Case c;
  open_case(&c, bf16_bound[_i].name, 1, NULL, 0);
  for (int train = 0; train < 2; train++) {
    Graph *g = passes(&c, frontend_entry(c.model, c.d, "forward", train, train));
    Tensor64 *in = load_inputs(&c, g), *out = NEWN(c.a, Tensor64, g->outputs.n + 1),
             *again = NEWN(c.a, Tensor64, g->outputs.n + 1), *full = NEWN(c.a, Tensor64, g->outputs.n + 1);
    jit_run(c.a, g, &(JitRun){"host", 1, CONV_AUTO, 0, DT_BF16, false}, in, out);
    jit_run(c.a, g, &(JitRun){"host", 2, CONV_AUTO, 0, DT_BF16, false}, in, again);
    ck_assert_msg(same_values(g, out, again), "%s: 1 and 2 threads differ", c.name);
    jit_run(c.a, g, &(JitRun){"host", 2, CONV_AUTO, 0, false, false}, in, full);
    ck_assert_msg(!same_values(g, out, full), "%s: nothing is bf16", c.name);
    double e[] = {file_error(&c, train ? "outputs" : "outputs_eval", g, out),
                  train ? file_error(&c, "grads", g, out) : 0,
                  train ? file_error(&c, "buffers1", g, out) : 0};
    if (getenv("JEPAC_BF16_ERRORS"))
      printf("%s %s: results %.4f gradients %.4f buffers %.4f\n", c.name, train ? "train" : "eval", e[0],
             e[1], e[2]);
    ck_assert_double_le(e[0], train ? bf16_bound[_i].outputs : bf16_bound[_i].eval);
    ck_assert_double_le(e[1], bf16_bound[_i].grads);
    ck_assert_double_le(e[2], bf16_bound[_i].buffers);
  }
  close_case(&c);
}
END_TEST

START_TEST(bf16_steps) {
  Case c;
  open_case(&c, "seq_jepa", 1, NULL, 0);
  ten_steps(&c, 1, true, true, 6e-2, 4e-2); /* PyTorch: 3e-2, 2.2e-2 */
  close_case(&c);
}
END_TEST

int main(void) {
  Suite *s = suite_create("parity");
  TCase *t = tcase_create("parity");
  tcase_set_timeout(t, 600);
  tcase_add_loop_test(t, forward_and_gradients, 0, NCASE - NPUBLISHED);
  tcase_add_loop_test(t, evaluation, 0, NCASE - NPUBLISHED);
  tcase_add_loop_test(t, optimizer_steps, 0, 2);
  tcase_add_loop_test(t, accumulation, 0, 2);
  suite_add_tcase(s, t);
  t = tcase_create("published");
  tcase_set_timeout(t, 600);
  tcase_add_loop_test(t, forward_and_gradients, NCASE - NPUBLISHED, NCASE);
  tcase_add_loop_test(t, evaluation, NCASE - NPUBLISHED, NCASE);
  suite_add_tcase(s, t);
  t = tcase_create("bf16");
  tcase_set_timeout(t, 600);
  tcase_add_loop_test(t, bf16, 0, sizeof bf16_bound / sizeof *bf16_bound);
  tcase_add_test(t, bf16_steps);
  suite_add_tcase(s, t);
  return run_suite(s);
}
