/* Fuzz target of libjepac: the input is a list of calls, one byte each and one for its argument, on two models and
   two sessions in any order that include/jepac.h allows. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "include/jepac.h"

static const char *const texts[] = {
    "dim B = 2\nmodel M() {\n  fc = Linear(3, 4)\n  entry forward(x: f32[B, 3]) { y = fc(x)\n    loss = "
    "mean(y * y)\n"
    "    return loss, y }\n}\ntrain M { minimize forward.loss\n  optimizer = sgd(lr = 0.1) }\n",
    "model N() { entry f(i: i64[5], m: bool[5]) { s = where(m, i, i + 1)\n return s } }\n",
    "model Bad() { entry f(x: f32[2]) { return x + y } }\n",
    "dim B\nmodel S() { buffer n[1] = zeros\n entry f(x: f32[B, 2]) { return sum(x, axis = 1) } }\n"};
static const char *const names[] = {
    "x",    "y",  "loss", "fc.weight", "train_step",     "forward", "f", "seed",
    "step", "no", "",     "s",         "grad.fc.weight", "m",       "i", "total_steps"};
enum {
  TEXTS = sizeof texts / sizeof *texts,
  NAMES = sizeof names / sizeof *names,
  SLOTS = 2,
  MOST_CALLS = 24
};

typedef struct {
  jepac_model *model[SLOTS];
  jepac_session *session[SLOTS];
  int of[SLOTS]; /* the model of a session */
} State;

static void free_session(State *s, int i) {
  jepac_session_free(s->session[i]);
  s->session[i] = NULL;
}

static void free_model(State *s, int i) {
  for (int k = 0; k < SLOTS; k++)
    if (s->of[k] == i) free_session(s, k);
  jepac_model_free(s->model[i]);
  s->model[i] = NULL;
}

static void load(State *s, int i, unsigned arg) {
  static const char *const set[][3] = {{NULL},      {"B=3", NULL},       {"B=", NULL},
                                       {"B", NULL}, {"B=1000000", NULL}, {"no=1", NULL}};
  char cache[128];
  snprintf(cache, sizeof cache, "%s/cache", fuzz_folder());
  jepac_options o = {.set = set[arg / TEXTS % 6],
                     .cache_dir = cache,
                     .threads = (int)(arg / 32 % 3),
                     .max_memory = arg & 128 ? 4096 : 0,
                     .precision = arg & 64 ? JEPAC_BF16 : 0};
  free_model(s, i);
  s->model[i] = jepac_load_text(texts[arg % TEXTS], arg & 16 ? "a name" : NULL, &o);
  FUZZ_CHECK(s->model[i] != NULL);
  FUZZ_CHECK((jepac_load_status(s->model[i]) == JEPAC_OK) == (jepac_entry_count(s->model[i]) > 0));
  if (jepac_load_status(s->model[i])) FUZZ_CHECK(jepac_message(s->model[i])[0]);
}

static void fill(jepac_session *s, unsigned arg) {
  for (int i = 0; i < jepac_tensor_count(s); i++) {
    jepac_tensor t = jepac_tensor_at(s, i);
    FUZZ_CHECK(t.data && t.bytes > 0);
    if (t.kind == JEPAC_INPUT)
      memset(t.data, t.type == JEPAC_BOOL ? (int)(arg & 1) : (int)arg, (size_t)t.bytes);
  }
}

static void call(State *s, unsigned op, unsigned arg) {
  int i = (int)(arg & 1), j = 1 - i;
  const char *name = names[(arg >> 1) % NAMES];
  jepac_session *x = s->session[i];
  jepac_tensor t;
  char path[128];
  snprintf(path, sizeof path, "%s/%s", fuzz_folder(), arg & 32 ? "none" : "states.safetensors");
  switch (op % 12) {
  case 0: load(s, i, arg); break;
  case 1:
    if (!s->model[i]) break;
    free_session(s, i);
    s->session[i] = jepac_compile(s->model[i], arg & 64 ? NULL : name, (int)(arg >> 5 & 3));
    s->of[i] = i;
    FUZZ_CHECK(s->session[i] || jepac_load_status(s->model[i]) || jepac_message(s->model[i])[0]);
    break;
  case 2: free_session(s, i); break;
  case 3:
    if (s->model[i]) free_model(s, i);
    break;
  case 4:
    if (x) jepac_init(x, arg);
    break;
  case 5:
    if (x) jepac_set_number(x, name, (int64_t)(int8_t)arg);
    break;
  case 6:
    if (x) fill(x, arg);
    break;
  case 7:
    if (x && jepac_run(x) == JEPAC_NONFINITE) FUZZ_CHECK(jepac_message(s->model[s->of[i]])[0]);
    break;
  case 8:
    if (x && jepac_find(x, name, &t)) FUZZ_CHECK(t.data && !strcmp(t.name, name));
    break;
  case 9:
    if (x && s->session[j]) FUZZ_CHECK(jepac_copy_states(x, s->session[j]) >= 0);
    break;
  case 10:
    if (x) jepac_save(x, path);
    break;
  case 11:
    if (x) jepac_load(x, path);
    break;
  }
}

void fuzz_api(const uint8_t *data, size_t n) {
  State s = {.of = {-1, -1}};
  for (size_t i = 0; i + 1 < n && i < 2 * MOST_CALLS; i += 2) call(&s, data[i], data[i + 1]);
  for (int i = 0; i < SLOTS; i++) free_session(&s, i);
  for (int i = 0; i < SLOTS; i++) free_model(&s, i);
}
