/* libjepac (include/jepac.h): text to numbers, errors as text, save and load, the same bits as the program,
   two compilations and two sessions at the same time. Clean under ThreadSanitizer too
   (-DJEPAC_SANITIZE=thread), which knows nothing of OpenMP's threads: hence one thread a session. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/jepac.h"
#include "runtime/safetensors.h"
#include "tests/unit/support.h"

static const char fit[] =
    "dim B = 8\n"
    "model Fit(width = 16) {\n"
    "  net = Sequential(Linear(2, width), Tanh(), Linear(width, 1))\n"
    "  entry forward(x: f32[B, 2], y: f32[B, 1]) {\n    fit = net(x)\n    loss = mse(fit, y)\n    return "
    "loss, fit\n  }\n"
    "}\n"
    "train Fit {\n  data = synthetic(features = 2, length = 64)\n  bind x = data.x, y = data.x[:, :1]\n"
    "  minimize forward.loss\n  optimizer = adamw(lr = 1e-2)\n  batch = 8, epochs = 1\n}\n";

static float *f32(jepac_session *s, const char *name) {
  jepac_tensor t;
  ck_assert_msg(jepac_find(s, name, &t) && t.type == JEPAC_F32, "no f32 tensor %s", name);
  return t.data;
}

static void batch(jepac_session *s) {
  for (int i = 0; i < 8; i++) {
    float a = (float)i / 4 - 1, b = (float)(i * 5 % 8) / 4 - 1;
    f32(s, "x")[2 * i] = a;
    f32(s, "x")[2 * i + 1] = b;
    f32(s, "y")[i] = a * b;
  }
}

/* The loss after 60 steps from one seed. */
static float train(jepac_session *s, uint64_t seed) {
  jepac_init(s, seed);
  for (int i = 0; i < 60; i++) {
    batch(s);
    jepac_set_number(s, "step", i);
    ck_assert_int_eq(jepac_run(s), JEPAC_OK);
  }
  return *f32(s, "loss");
}

/* ---- ranks: a thread each, with a communicator of this program's own ---- */
enum { RANKS = 2 };
typedef struct {
  pthread_barrier_t barrier;
  const char *data[RANKS];
} Meeting;

typedef struct {
  Meeting *at;
  jepac_ranks how;
  float loss, weight[32];
} Member;

static void meet(Member *m, const void *data) {
  m->at->data[m->how.rank] = data;
  pthread_barrier_wait(&m->at->barrier);
}

static void exchange(void *communicator, const void *send, const int64_t *at, void *recv) {
  Member *m = communicator;
  int64_t from = at[m->how.rank], bytes = at[m->how.rank + 1] - from;
  meet(m, send);
  for (int k = 0; k < RANKS; k++) memcpy((char *)recv + k * bytes, m->at->data[k] + from, (size_t)bytes);
  pthread_barrier_wait(&m->at->barrier);
}

static void gather(void *communicator, void *data, const int64_t *at) {
  Member *m = communicator;
  meet(m, data);
  for (int k = 0; k < RANKS; k++)
    if (k != m->how.rank) memcpy((char *)data + at[k], m->at->data[k] + at[k], (size_t)(at[k + 1] - at[k]));
  pthread_barrier_wait(&m->at->barrier);
}

static void *train_share(void *of) {
  Member *me = of;
  jepac_options o = {.threads = 1, .ranks = me->how.count ? &me->how : NULL};
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &o);
  jepac_session *s = jepac_compile(m, "train_step", 0);
  ck_assert_msg(s != NULL, "%s", jepac_message(m));
  jepac_tensor x;
  ck_assert(jepac_find(s, "x", &x));
  int64_t rows = x.dim[0], first = me->how.rank * rows;
  ck_assert_int_eq(rows, me->how.count ? 8 / RANKS : 8);
  jepac_init(s, 1);
  for (int i = 0; i < 60; i++) {
    for (int64_t k = 0; k < rows; k++) {
      float a = (float)(first + k) / 4 - 1, b = (float)((first + k) * 5 % 8) / 4 - 1;
      f32(s, "x")[2 * k] = a;
      f32(s, "x")[2 * k + 1] = b;
      f32(s, "y")[k] = a * b;
    }
    jepac_set_number(s, "step", i);
    ck_assert_int_eq(jepac_run(s), JEPAC_OK);
  }
  me->loss = *f32(s, "loss");
  memcpy(me->weight, f32(s, "net.0.weight"), sizeof me->weight);
  jepac_session_free(s);
  jepac_model_free(m);
  return NULL;
}

START_TEST(ranks_share_a_batch) {
  Meeting at;
  Member alone = {0}, member[RANKS];
  pthread_t thread[RANKS];
  pthread_barrier_init(&at.barrier, NULL, RANKS);
  train_share(&alone);
  for (int r = 0; r < RANKS; r++) {
    member[r] = (Member){.at = &at, .how = {r, RANKS, exchange, gather, &member[r]}};
    pthread_create(&thread[r], NULL, train_share, &member[r]);
  }
  for (int r = 0; r < RANKS; r++) pthread_join(thread[r], NULL);
  pthread_barrier_destroy(&at.barrier);
  for (int r = 0; r < RANKS; r++) {
    ck_assert_float_eq_tol(member[r].loss, alone.loss, 1e-4f * alone.loss);
    ck_assert(!memcmp(member[r].weight, member[0].weight, sizeof member[r].weight));
  }
  for (int i = 0; i < 32; i++) ck_assert_float_eq_tol(member[0].weight[i], alone.weight[i], 1e-4f);
  jepac_ranks bad[] = {
      {2, 2, exchange, gather, NULL}, {0, 2, exchange, NULL, NULL}, {0, 0, exchange, gather, NULL}};
  for (int i = 0; i < 3; i++) {
    jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.ranks = &bad[i]});
    ck_assert_int_eq(jepac_load_status(m), JEPAC_USAGE);
    jepac_model_free(m);
  }
  bad[0].rank = 0, bad[0].count = 3;
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.ranks = &bad[0]});
  ck_assert_int_eq(jepac_load_status(m), JEPAC_MODEL); /* 8 samples on 3 ranks */
  ck_assert(strstr(jepac_message(m), "6 and 9 do"));
  jepac_model_free(m);
}
END_TEST

START_TEST(trains_saves_and_loads) {
  char path[] = "/tmp/jepac-lib-XXXXXX";
  close(mkstemp(path));
  const char *set[] = {"width=24", NULL};
  jepac_options o = {.set = set, .threads = 1};
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &o);
  ck_assert_msg(!jepac_load_status(m), "%s", jepac_message(m));
  ck_assert_int_eq(jepac_entry_count(m), 1);
  ck_assert_str_eq(jepac_entry_name(m, 0), "forward");
  ck_assert(!jepac_entry_name(m, 1));
  jepac_session *step = jepac_compile(m, "train_step", 0), *eval = jepac_compile(m, "forward", JEPAC_GRAD);
  ck_assert(step && eval);
  float loss = train(step, 1);
  ck_assert(loss < 0.2f);
  jepac_tensor t;
  ck_assert(jepac_find(step, "net.0.weight", &t) && t.rank == 2 && t.dim[0] == 24 && t.kind == JEPAC_STATE);
  ck_assert_int_eq(jepac_save(step, path), JEPAC_OK);
  ck_assert_int_eq(jepac_load(eval, path), JEPAC_OK);
  ck_assert(!memcmp(f32(eval, "net.0.weight"), f32(step, "net.0.weight"), (size_t)t.bytes));
  batch(eval);
  ck_assert_int_eq(jepac_run(eval), JEPAC_OK);
  ck_assert(*f32(eval, "loss") < loss * 1.5f);
  ck_assert(isfinite(*f32(eval, "grad.net.0.bias")));
  memset(f32(eval, "net.0.weight"), 0, (size_t)t.bytes);
  ck_assert_int_eq(jepac_copy_states(eval, step), 4);
  ck_assert(f32(eval, "net.0.weight")[0] != 0);
  /* a checkpoint of another shape changes nothing */
  jepac_model *other = jepac_load_text(fit, "fit.jepa", NULL);
  jepac_session *narrow = jepac_compile(other, "forward", 0);
  jepac_init(narrow, 3);
  float before = f32(narrow, "net.0.weight")[0];
  ck_assert_int_eq(jepac_load(narrow, path), JEPAC_FILE);
  ck_assert(strstr(jepac_message(other), "but the model needs f32[16"));
  ck_assert(f32(narrow, "net.0.weight")[0] == before);
  unlink(path);
  jepac_session_free(narrow);
  jepac_model_free(other);
  jepac_session_free(step);
  jepac_session_free(eval);
  jepac_model_free(m);
}
END_TEST

/* Inputs of the caller's memory, read in whole, in part and as a result. */
START_TEST(binds_inputs) {
  static const char text[] =
      "model M {\n  entry f(x: f32[4, 8], k: f32) {\n    return same = x, row = x[1], sum = "
      "sum(x) * k, half = x[2:4] * 2\n  }\n}\n";
  static _Alignas(64) float mine[2][32];
  jepac_options o = {.threads = 1};
  jepac_model *m = jepac_load_text(text, "m.jepa", &o);
  jepac_session *s = jepac_compile(m, "f", 0);
  ck_assert_msg(s != NULL, "%s", jepac_message(m));
  for (int i = 0; i < 32; i++) {
    mine[0][i] = (float)i;
    mine[1][i] = 100 + (float)i;
    f32(s, "x")[i] = 1;
  }
  *f32(s, "k") = 2;
  float *own = f32(s, "x");
  for (int round = 0; round < 3; round++) { /* mine, mine, the session's */
    float *x = round < 2 ? mine[round] : NULL;
    ck_assert_int_eq(jepac_bind(s, "x", x), JEPAC_OK);
    ck_assert(f32(s, "x") == (x ? x : own));
    ck_assert_int_eq(jepac_run(s), JEPAC_OK);
    float first = round == 0 ? 0 : round == 1 ? 100 : 1, by = round < 2 ? 1 : 0;
    for (int i = 0; i < 32; i++) ck_assert_float_eq(f32(s, "same")[i], first + by * (float)i);
    for (int i = 0; i < 8; i++) ck_assert_float_eq(f32(s, "row")[i], first + by * (float)(8 + i));
    for (int i = 0; i < 16; i++) ck_assert_float_eq(f32(s, "half")[i], 2 * (first + by * (float)(16 + i)));
    ck_assert_float_eq(*f32(s, "sum"), 2 * (32 * first + by * 496));
  }
  ck_assert_int_eq(jepac_bind(s, "x", mine[0] + 1), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "memory for x is not aligned to 64 bytes"));
  ck_assert_int_eq(jepac_bind(s, "same", mine[0]), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "there is no input same"));
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

/* Hidden layers are stored as bf16, by option or by the recipe, which an option overrides. */
START_TEST(rounds_to_bf16) {
  static const jepac_type option[] = {0, JEPAC_BF16, 0, JEPAC_F32};
  static const char *const recipe[] = {"f32", "f32", "if true then bf16 else f32", "bf16"};
  float loss[4];
  for (int i = 0; i < 4; i++) {
    char precision[64];
    snprintf(precision, sizeof precision, "precision=%s", recipe[i]);
    const char *set[] = {"width=256", precision, NULL};
    jepac_options o = {.set = set, .threads = 1, .precision = option[i]};
    jepac_model *m = jepac_load_text(fit, "fit.jepa", &o);
    jepac_session *s = jepac_compile(m, "forward", 0);
    jepac_init(s, 1);
    batch(s);
    ck_assert_int_eq(jepac_run(s), JEPAC_OK);
    loss[i] = *f32(s, "loss");
    jepac_session_free(s);
    jepac_model_free(m);
  }
  ck_assert(loss[0] != loss[1] && fabsf(loss[0] - loss[1]) < 0.1f * loss[0]);
  ck_assert(loss[2] == loss[1] && loss[3] == loss[0]);
}
END_TEST

START_TEST(errors_are_text) {
  jepac_model *m = jepac_load_text("model M {\n  entry forward(x: f32[3]) {\n    return relo(x)\n  }\n}\n",
                                   "m.jepa", NULL);
  ck_assert_int_eq(jepac_load_status(m), JEPAC_OK); /* entries are elaborated when compiled */
  ck_assert(!jepac_compile(m, "forward", 0));
  const char *text = jepac_message(m);
  ck_assert_msg(strstr(text, "m.jepa:3:12: error: unknown name `relo`"), "%s", text);
  ck_assert_str_eq(jepac_message(m), "");
  ck_assert(!jepac_compile(m, "forwrd", 0));
  ck_assert(strstr(jepac_message(m), "did you mean 'forward'?"));
  jepac_model_free(m);
  m = jepac_load_text("model {", "m.jepa", NULL);
  ck_assert_int_eq(jepac_load_status(m), JEPAC_MODEL);
  ck_assert(strstr(jepac_message(m), "m.jepa:1:7: error"));
  ck_assert(!jepac_compile(m, "forward", 0));
  jepac_model_free(m);
  m = jepac_load_file("nothere.jepa", NULL);
  ck_assert_int_eq(jepac_load_status(m), JEPAC_FILE);
  jepac_model_free(m);
  const char *set[] = {"width", NULL};
  m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.set = set});
  ck_assert_int_eq(jepac_load_status(m), JEPAC_USAGE);
  jepac_model_free(m);
  /* what would have no effect */
  const jepac_options bad[] = {{.threads = -2}, {.max_memory = -1}, {.precision = JEPAC_F64}};
  for (int i = 0; i < 3; i++) {
    m = jepac_load_text(fit, "fit.jepa", &bad[i]);
    ck_assert_int_eq(jepac_load_status(m), JEPAC_USAGE);
    ck_assert(strstr(jepac_message(m), "not -") || i == 2);
    jepac_model_free(m);
  }
  m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 1});
  ck_assert(!jepac_compile(m, "forward", 8) && strstr(jepac_message(m), "not 8"));
  ck_assert(!jepac_compile(m, "train_step", JEPAC_GRAD) && strstr(jepac_message(m), "no gradients"));
  jepac_session *s = jepac_compile(m, "forward", 0);
  ck_assert_int_eq(jepac_set_number(s, "total_steps", 3), JEPAC_OK);
  ck_assert_int_eq(jepac_set_number(s, "sed", 3), JEPAC_USAGE);
  ck_assert_int_eq(jepac_set_number(s, "step", -1), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "no run-time number sed"));
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

START_TEST(what_is_null_is_an_error) {
  jepac_model *m = jepac_load_text(NULL, "m.jepa", NULL);
  ck_assert_int_eq(jepac_load_status(m), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "needs a text"));
  ck_assert(!jepac_compile(m, NULL, 0) && jepac_entry_count(m) == 0);
  jepac_model_free(m);
  m = jepac_load_file(NULL, NULL);
  ck_assert_int_eq(jepac_load_status(m), JEPAC_USAGE);
  jepac_model_free(m);
  m = jepac_load_text(fit, NULL, &(jepac_options){.threads = 1});
  jepac_session *s = jepac_compile(m, "forward", 0);
  ck_assert(!jepac_find(s, NULL, NULL) && jepac_find(s, "loss", NULL));
  ck_assert_int_eq(jepac_set_number(s, NULL, 1), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "number NULL"));
  ck_assert_int_eq(jepac_save(s, NULL), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(m), "needs a path"));
  ck_assert_int_eq(jepac_load(s, NULL), JEPAC_USAGE);
  ck_assert_int_eq(jepac_copy_states(s, NULL) + jepac_copy_states(NULL, s), 0);
  jepac_session_free(s);
  jepac_model_free(m);
  /* a model or session that was never had */
  ck_assert_int_eq(jepac_load_status(NULL), JEPAC_USAGE);
  ck_assert(strstr(jepac_message(NULL), "no model"));
  ck_assert(!jepac_compile(NULL, NULL, 0) && !jepac_entry_name(NULL, 0) && !jepac_entry_count(NULL));
  ck_assert(!jepac_tensor_count(NULL) && !jepac_tensor_at(NULL, 0).name && !jepac_find(NULL, "x", NULL));
  ck_assert_int_eq(jepac_run(NULL), JEPAC_USAGE);
  ck_assert_int_eq(jepac_set_number(NULL, "seed", 1), JEPAC_USAGE);
  ck_assert_int_eq(jepac_save(NULL, "x"), JEPAC_USAGE);
  ck_assert_int_eq(jepac_load(NULL, "x"), JEPAC_USAGE);
  jepac_init(NULL, 1);
  jepac_session_free(NULL);
  jepac_model_free(NULL);
  char *message;
  ck_assert_int_eq(jepac_evaluate(NULL, NULL, NULL, NULL, &message), JEPAC_USAGE);
  ck_assert(strstr(message, "needs the folder"));
  free(message);
  ck_assert_int_ne(jepac_evaluate("nothere", NULL, NULL, NULL, NULL), JEPAC_OK);
}
END_TEST

/* What a child does with a session of its parent's, and with one of its own. */
static int as_the_parent(jepac_session *inherited, float loss) {
  if (train(inherited, 3) != loss) return 1;
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 2});
  jepac_session *s = jepac_compile(m, "train_step", 0);
  if (!s || train(s, 3) != loss) return 2;
  jepac_session_free(s);
  jepac_model_free(m);
  return 0;
}

START_TEST(after_fork) {
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 2});
  jepac_session *s = jepac_compile(m, "train_step", 0);
  float loss = train(s, 3);
  pid_t child[2];
  for (int i = 0; i < 2; i++) {
    child[i] = fork();
    if (child[i]) continue;
    alarm(60); /* a child that hangs */
    int result = as_the_parent(s, loss);
    pid_t below = i ? 0 : fork(); /* and one of its own */
    if (!i && !below) _exit(as_the_parent(s, loss));
    int status = 0;
    if (below && (waitpid(below, &status, 0) != below || status)) result = 3;
    _exit(result);
  }
  ck_assert(train(s, 3) == loss); /* the parent meanwhile */
  for (int i = 0; i < 2; i++) {
    int status;
    ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
    ck_assert_msg(!status, "child %d ended with %#x", i, (unsigned)status);
  }
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

START_TEST(a_bad_step_changes_nothing) {
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 1});
  jepac_session *s = jepac_compile(m, "train_step", 0);
  train(s, 1);
  float weight = f32(s, "net.0.weight")[0];
  f32(s, "x")[3] = NAN;
  ck_assert_int_eq(jepac_run(s), JEPAC_NONFINITE);
  ck_assert(strstr(jepac_message(m), "not finite"));
  ck_assert(f32(s, "net.0.weight")[0] == weight);
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

/* A label that is no class is named with its row, from an entry and from a step. */
START_TEST(a_stray_label_is_named) {
  static const char text[] =
      "dim B = 3\nmodel M() {\n  fc = Linear(2, 4)\n  entry forward(x: f32[B, 2], label: i64[B]) {\n"
      "    loss = cross_entropy(fc(x), label)\n    return loss\n  }\n}\n"
      "train M {\n  minimize forward.loss\n  optimizer = sgd(lr = 0.1)\n  batch = 3, steps = 1\n}\n";
  static const char *const entry[] = {"forward", "train_step"};
  jepac_model *m = jepac_load_text(text, "m.jepa", &(jepac_options){.threads = 1});
  jepac_session *s = jepac_compile(m, entry[_i], 0);
  ck_assert_msg(s != NULL, "%s", jepac_message(m));
  jepac_init(s, 1);
  jepac_tensor t;
  ck_assert(jepac_find(s, "label", &t));
  int64_t *label = t.data;
  f32(s, "x")[0] = 1;
  float weight = f32(s, "fc.weight")[0];
  ck_assert_int_eq(jepac_run(s), JEPAC_OK);
  ck_assert(!_i || f32(s, "fc.weight")[0] != weight);
  weight = f32(s, "fc.weight")[0];
  label[1] = 4;
  ck_assert_int_eq(jepac_run(s), JEPAC_NONFINITE);
  const char *said = jepac_message(m);
  ck_assert_msg(strstr(said, "row 1 of label is 4: there are only the classes 0..3"), "%s", said);
  ck_assert(f32(s, "fc.weight")[0] == weight);
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

/* Three steps by `jepac run` and three here, from one file of inputs: the states have the same bits, and each
   reads what the other wrote. */
START_TEST(steps_as_the_program_does) {
  enum { STEPS = 3 };
  const char *jepac = getenv("JEPAC");
  char dir[] = "/tmp/jepac-lib-XXXXXX", model[64], inputs[64], theirs[64], ours[64], command[512];
  ck_assert(mkdtemp(dir));
  snprintf(model, sizeof model, "%s/fit.jepa", dir);
  snprintf(inputs, sizeof inputs, "%s/in.safetensors", dir);
  snprintf(theirs, sizeof theirs, "%s/theirs.safetensors", dir);
  snprintf(ours, sizeof ours, "%s/ours.safetensors", dir);
  FILE *f = fopen(model, "w");
  fputs(fit, f);
  fclose(f);
  jepac_model *m = jepac_load_file(model, &(jepac_options){.threads = 1});
  jepac_session *s = jepac_compile(m, "train_step", 0);
  ck_assert_msg(s != NULL, "%s", jepac_message(m));
  batch(s);
  Arena *a = arena_new();
  StTensor in[] = {{"x", DT_F32, {2, {8, 2}}, f32(s, "x"), 64}, {"y", DT_F32, {2, {8, 1}}, f32(s, "y"), 32}};
  ck_assert(!st_write(inputs, in, 2, NULL, 0, diags_new(a)));
  snprintf(command, sizeof command,
           "%s run %s --entry train_step --steps %d --seed 5 --inputs %s --params-out %s -q",
           jepac ? jepac : "build/jepac", model, STEPS, inputs, theirs);
  ck_assert_int_eq(system(command), 0);
  jepac_init(s, 5);
  jepac_set_number(s, "steps_per_epoch", STEPS);
  jepac_set_number(s, "total_steps", STEPS);
  for (int i = 0; i < STEPS; i++) {
    jepac_set_number(s, "step", i);
    ck_assert_int_eq(jepac_run(s), JEPAC_OK);
  }
  ck_assert_int_eq(jepac_save(s, ours), JEPAC_OK);
  StFile *x = st_open(theirs, diags_new(a)), *y = st_open(ours, diags_new(a));
  ck_assert(x && y && st_count(x) == st_count(y) && st_count(x) > 8);
  for (int i = 0; i < st_count(x); i++) {
    const StTensor *t = st_tensor(x, i), *u = st_find(y, t->name);
    ck_assert_msg(u && u->bytes == t->bytes && !memcmp(u->data, t->data, (size_t)t->bytes), "%s differs",
                  t->name);
  }
  st_close(x);
  st_close(y);
  ck_assert_int_eq(jepac_load(s, theirs), JEPAC_OK);
  snprintf(command, sizeof command, "%s run %s --entry forward --inputs %s --params %s -q",
           jepac ? jepac : "build/jepac", model, inputs, ours);
  ck_assert_int_eq(system(command), 0);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  ck_assert_int_eq(system(command), 0);
  arena_free(a);
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

static void *compile_and_train(void *out) {
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 1});
  jepac_session *s = jepac_load_status(m) ? NULL : jepac_compile(m, "train_step", 0);
  *(float *)out = s ? train(s, 1) : NAN;
  jepac_session_free(s);
  jepac_model_free(m);
  return NULL;
}

START_TEST(side_by_side) {
  enum { N = 8 };
  pthread_t thread[N];
  float loss[N], alone;
  compile_and_train(&alone);
  for (int i = 0; i < N; i++) ck_assert(!pthread_create(&thread[i], NULL, compile_and_train, &loss[i]));
  for (int i = 0; i < N; i++) pthread_join(thread[i], NULL);
  for (int i = 0; i < N; i++) ck_assert_msg(loss[i] == alone, "thread %d: %g, alone %g", i, loss[i], alone);
}
END_TEST

static void *train_again(void *session) {
  jepac_session *s = session;
  train(s, 1);
  for (int i = 0; i < 20; i++) { /* every other step fails and is reported */
    batch(s);
    if (i % 2) f32(s, "x")[0] = NAN;
    ck_assert_int_eq(jepac_run(s), i % 2 ? JEPAC_NONFINITE : JEPAC_OK);
  }
  return NULL;
}

START_TEST(sessions_of_one_model) {
  enum { N = 3 };
  pthread_t thread[N];
  jepac_session *s[N];
  jepac_model *m = jepac_load_text(fit, "fit.jepa", &(jepac_options){.threads = 1});
  for (int i = 0; i < N; i++) ck_assert((s[i] = jepac_compile(m, "train_step", 0)) != NULL);
  for (int i = 0; i < N; i++) ck_assert(!pthread_create(&thread[i], NULL, train_again, s[i]));
  for (int i = 0; i < N; i++) pthread_join(thread[i], NULL);
  for (int i = 1; i < N; i++)
    ck_assert(!memcmp(f32(s[i], "net.0.weight"), f32(s[0], "net.0.weight"), 16 * 2 * sizeof(float)));
  const char *told = strstr(jepac_message(m), "not finite"); /* once, however often */
  ck_assert(told && !strstr(told + 1, "not finite"));
  for (int i = 0; i < N; i++) jepac_session_free(s[i]);
  jepac_model_free(m);
}
END_TEST

/* A run evaluated here and by `jepac eval`: the same text. Errors are text too. */
START_TEST(evaluates_a_run) {
  const char *jepac = getenv("JEPAC");
  char dir[] = "/tmp/jepac-lib-XXXXXX", run[64], command[512], *json, *message;
  if (!jepac) jepac = "build/jepac";
  ck_assert(mkdtemp(dir));
  snprintf(run, sizeof run, "%s/run", dir);
  snprintf(command, sizeof command,
           "%s train models/seq_jepa_demo.jepa --steps 3 --set batch=16 --out %s -q --progress none", jepac,
           run);
  ck_assert_int_eq(system(command), 0);
  jepac_options o = {.threads = 1, .models_dir = "models"};
  jepac_evaluation what = {.protocols = "linear,path",
                           .m_val = "1,2",
                           .images = 400,
                           .test_images = 100,
                           .sequences = 60,
                           .test_sequences = 30};
  int rc = jepac_evaluate(run, &o, &what, &json, &message);
  ck_assert_msg(rc == JEPAC_OK && !*message, "%s", message);
  free(message);
  snprintf(command, sizeof command, "test ! -e %s/eval.json", run);
  ck_assert_int_eq(system(command), 0);
  snprintf(command, sizeof command,
           "%s eval %s --protocols linear,path --m-val 1,2 --images 400 --test-images 100 --sequences 60 "
           "--test-sequences 30 >%s/table",
           jepac, run, dir);
  ck_assert_int_eq(system(command), 0);
  Arena *a = arena_new();
  Source *theirs = source_read(a, arena_printf(a, "%s/eval.json", run));
  ck_assert(theirs);
  ck_assert_str_eq(theirs->text, json);
  ck_assert(strstr(json, "\"encoder_top1\": 0."));
  free(json);
  what.protocols = "linear,paths";
  ck_assert_int_eq(jepac_evaluate(run, &o, &what, &json, &message), JEPAC_USAGE);
  ck_assert(!json && strstr(message, "did you mean 'path'?"));
  free(message);
  ck_assert_int_eq(jepac_evaluate(dir, NULL, NULL, &json, &message), JEPAC_FILE);
  ck_assert_msg(!json && strstr(message, "checkpoint"), "%s", message);
  free(message);
  ck_assert_int_eq(jepac_evaluate("nothere", NULL, NULL, &json, NULL), JEPAC_FILE);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  ck_assert_int_eq(system(command), 0);
  arena_free(a);
}
END_TEST

int main(void) {
  Suite *s = suite_create("lib");
  TCase *t = tcase_create("lib");
  tcase_set_timeout(t, 180); /* a busy machine */
  tcase_add_test(t, trains_saves_and_loads);
  tcase_add_test(t, ranks_share_a_batch);
  tcase_add_test(t, binds_inputs);
  tcase_add_test(t, rounds_to_bf16);
  tcase_add_test(t, errors_are_text);
  tcase_add_test(t, what_is_null_is_an_error);
  tcase_add_test(t, after_fork);
  tcase_add_test(t, a_bad_step_changes_nothing);
  tcase_add_loop_test(t, a_stray_label_is_named, 0, 2);
  tcase_add_test(t, steps_as_the_program_does);
  tcase_add_test(t, side_by_side);
  tcase_add_test(t, sessions_of_one_model);
  tcase_add_test(t, evaluates_a_run);
  suite_add_tcase(s, t);
  return run_suite(s);
}
