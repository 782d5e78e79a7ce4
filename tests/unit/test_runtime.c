/* Tests of the runtime: random numbers, plan execution, matrix products, checkpoints. */
#include "runtime/checkpoint.h"
#include "runtime/exec.h"
#include "runtime/scatter.h"
#include "runtime/rng.h"
#include "tests/unit/folder.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers ---- */
START_TEST(philox_known_answers) { /* from the kat_vectors file of Random123 */
  static const struct {
    uint32_t ctr[4], key[2], out[4];
  } kat[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  uint32_t out[4];
  for (int i = 0; i < 3; i++) {
    philox4x32(kat[i].ctr, kat[i].key, out);
    ck_assert_mem_eq(out, kat[i].out, sizeof out);
  }
}
END_TEST

START_TEST(rng_distributions) {
  Rng r = rng_stream(7, 1, 2, 3), same = rng_stream(7, 1, 2, 3), other = rng_stream(7, 1, 2, 4);
  double sum = 0, sq = 0, usum = 0;
  int count[7] = {0}, equal = 0, n = 70000;
  for (int i = 0; i < 100; i++) {
    uint32_t x = rng_u32(&r);
    ck_assert_uint_eq(x, rng_u32(&same));
    equal += x == rng_u32(&other);
  }
  ck_assert_int_eq(equal, 0);
  for (int i = 0; i < n; i++) {
    double z = rng_normal(&r), u = rng_unit(&r);
    ck_assert(isfinite(z) && u >= 0 && u < 1);
    sum += z;
    sq += z * z;
    usum += u;
    count[rng_below(&r, 7)]++;
  }
  ck_assert(fabs(sum / n) < 0.015 && fabs(sq / n - 1) < 0.03 && fabs(usum / n - 0.5) < 0.005);
  for (int i = 0; i < 7; i++) ck_assert(abs(count[i] - n / 7) < 500);
}
END_TEST

/* What libm gives, in the precision of states; every number of a block is the scalar one; no number depends
   on where its block begins. */
START_TEST(rng_blocks) {
  enum { N = 200000 };
  double x[RNG_BLOCK], y[RNG_BLOCK], worst = 0;
  for (int normal = 0; normal < 2; normal++) {
    RngBlock b = {.seed = 0x123456789abull, .stream = 5, .normal = normal, .a = -1, .b = 2};
    uint64_t start = normal ? 0 : 0xffffffffull - N / 2; /* the counter's second word comes into play */
    for (uint64_t i = start; i < start + N; i += RNG_BLOCK) {
      rng_block(&b, (int64_t)i, RNG_BLOCK, x);
      rng_block(&b, (int64_t)i + 3, RNG_BLOCK - 3, y);
      ck_assert_mem_eq(x + 3, y, (RNG_BLOCK - 3) * sizeof *x);
      for (uint64_t k = 0; k < RNG_BLOCK; k++) {
        uint32_t ctr[4] = {(uint32_t)(i + k), (uint32_t)((i + k) >> 32), 0, 5}, w[4];
        philox4x32(ctr, (uint32_t[]){0x456789ab, 0x123}, w);
        double u = rng_bits_unit(w[0], w[1]), v = rng_bits_unit(w[2], w[3]);
        ck_assert(x[k] == (normal ? -1 + 2 * rng_box_muller(w) : -1 + 3 * u));
        if (!normal) continue;
        long double want = sqrtl(-2 * logl(u + 0x1p-53)) * cosl(6.28318530717958647692528676655900577L * v);
        double error = (double)(fabsl(rng_box_muller(w) - want) / (fabsl(want) + 1e-3L));
        if (error > worst) worst = error;
      }
    }
  }
  ck_assert_msg(worst < 1e-15, "%g", worst);
}
END_TEST

/* ---- plan execution ---- */
enum { CELLS = 4096 };

/* out[i] = a[i] * 2 + chunk-local index parity; mixes its scratch so that sharing it would show. */
static void fn_mix(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  const float *in = ptr[0];
  float *out = ptr[1], *tmp = scratch;
  int64_t per = CELLS / *(const int64_t *)param;
  for (int64_t i = 0; i < per; i++) tmp[i] = in[chunk * per + i] * 1.5f + (float)chunk;
  for (int64_t i = 0; i < per; i++) out[chunk * per + i] = tmp[per - 1 - i];
}

/* Reads everything the step before wrote, so a missing barrier shows. */
static void fn_total(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)chunk, (void)scratch, (void)param;
  const float *in = ptr[0];
  float *out = ptr[1], sum = 0;
  for (int i = 0; i < CELLS; i++) sum += in[i];
  out[0] = sum / CELLS;
}

static void fn_spread(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)scratch;
  int64_t per = CELLS / *(const int64_t *)param;
  const float *x = ptr[0], *mean = ptr[1];
  float *out = ptr[2];
  for (int64_t i = chunk * per; i < (chunk + 1) * per; i++) out[i] = (x[i] - mean[0]) * 0.3f;
}

static void fn_commit(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)chunk, (void)scratch, (void)param;
  memcpy(ptr[1], ptr[0], CELLS * sizeof(float));
}

/* state w, result loss; repeats (mix, total, spread) and finally commits. */
static Plan *make_plan(int rounds) {
  static const int64_t chunks[] = {16, 1, 64};
  Plan *p = NEW(arena, Plan);
  int64_t *off = NEWN(arena, int64_t, 4), cell = CELLS * 4;
  for (int i = 0; i < 4; i++) off[i] = i * cell; /* w, a, b, loss */
  Step *s = NEWN(arena, Step, 4 * rounds + 1);
  int64_t *w_a = NEWN(arena, int64_t, 2), *a_l = NEWN(arena, int64_t, 2), *al_b = NEWN(arena, int64_t, 3);
  int64_t *b_a = NEWN(arena, int64_t, 2), *b_w = NEWN(arena, int64_t, 2);
  w_a[0] = off[0], w_a[1] = off[1], a_l[0] = off[1], a_l[1] = off[3], al_b[0] = off[1], al_b[1] = off[3],
  al_b[2] = off[2];
  b_a[0] = off[2], b_a[1] = off[1], b_w[0] = off[2], b_w[1] = off[0];
  int n = 0;
  for (int r = 0; r < rounds; r++) {
    s[n++] = (Step){.fn = fn_mix,
                    .nchunk = 16,
                    .operand = r ? b_a : w_a,
                    .noperand = 2,
                    .scratch = CELLS / 16 * 4,
                    .param = &chunks[0],
                    .name = "mix",
                    .where = "t.jepa:1"};
    for (int i = 0; i < 2; i++)
      s[n++] = (Step){.fn = fn_total,
                      .nchunk = 1,
                      .operand = a_l,
                      .noperand = 2,
                      .param = &chunks[1],
                      .name = "total",
                      .where = "t.jepa:2"};
    s[n++] = (Step){.fn = fn_spread,
                    .nchunk = 64,
                    .operand = al_b,
                    .noperand = 3,
                    .param = &chunks[2],
                    .name = "spread",
                    .where = "t.jepa:3"};
  }
  s[n++] = (Step){
      .fn = fn_commit, .nchunk = 1, .operand = b_w, .noperand = 2, .name = "commit", .where = "t.jepa:4"};
  PlanTensor *t = NEWN(arena, PlanTensor, 6);
  Shape cells = {1, {CELLS}}, scalar = {0, {0}}, small = {2, {4, 8}};
  t[0] = (PlanTensor){.name = "w",
                      .kind = PT_STATE,
                      .dt = DT_F32,
                      .shape = cells,
                      .init = INIT_NORMAL,
                      .init_b = 1,
                      .trained = true};
  t[1] = (PlanTensor){.name = "loss", .kind = PT_RESULT, .dt = DT_F32, .shape = scalar, .offset = off[3]};
  t[2] = (PlanTensor){.name = "copy2",
                      .kind = PT_STATE,
                      .dt = DT_F32,
                      .shape = small,
                      .offset = 4 * cell,
                      .init = INIT_COPY,
                      .init_from = 3};
  t[3] = (PlanTensor){.name = "copy",
                      .kind = PT_STATE,
                      .dt = DT_F32,
                      .shape = small,
                      .offset = 4 * cell + 256,
                      .init = INIT_COPY,
                      .init_from = 4};
  t[4] = (PlanTensor){.name = "u",
                      .kind = PT_STATE,
                      .dt = DT_F32,
                      .shape = small,
                      .offset = 4 * cell + 512,
                      .init = INIT_UNIFORM,
                      .init_a = -2,
                      .init_b = 3,
                      .init_stream = 9};
  t[5] = (PlanTensor){.name = "count",
                      .kind = PT_STATE,
                      .dt = DT_I64,
                      .shape = scalar,
                      .offset = 4 * cell + 768,
                      .init = INIT_FILL,
                      .init_a = 5};
  *p = (Plan){.name = "test",
              .arena_bytes = 4 * cell + 1024,
              .scratch_bytes = CELLS / 16 * 4,
              .step = s,
              .nstep = n,
              .ncompute = n - 1,
              .tensor = t,
              .ntensor = 6,
              .identity = 0xfedcba9876543210u};
  return p;
}

static float *data_of(Session *s, const char *name) {
  SessionTensor t;
  ck_assert(session_tensor(s, name, &t));
  return t.data;
}

START_TEST(exec_any_thread_count) {
  Plan *p = make_plan(20);
  Session *one = session_new(p, 1);
  session_init_states(one, 3);
  for (int k = 0; k < 3; k++) session_run(one, 0, p->nstep);
  static const int threads[] = {2, 3, 7, 0};
  for (int i = 0; i < 4; i++) {
    Session *s = session_new(p, threads[i]);
    if (i == 1) session_profile(s, true);
    session_init_states(s, 3);
    for (int rep = 0; rep < 3; rep++) session_run(s, 0, p->nstep);
    ck_assert_mem_eq(data_of(s, "w"), data_of(one, "w"), CELLS * 4);
    ck_assert_mem_eq(data_of(s, "loss"), data_of(one, "loss"), 4);
    for (int k = 0; k < p->nstep; k++) ck_assert(isfinite(session_step_min(s)[k]) == (i == 1));
    session_free(s);
  }
  ck_assert(data_of(one, "loss")[0] != 0);
  ck_assert_uint_eq((uintptr_t)data_of(one, "w") % 64, 0);
  session_free(one);
}
END_TEST

static void fn_burn(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)ptr, (void)chunk, (void)scratch;
  for (double end = now_seconds() + *(const double *)param; now_seconds() < end;) {}
}

/* No step is told to be faster than one of its chunks, whichever threads the system lets run. */
START_TEST(profile_counts_every_thread) {
  enum { STEPS = 30, THREADS = 6, ROUNDS = 10 };
  static const double seconds = 1e-4;
  Step step[STEPS];
  for (int i = 0; i < STEPS; i++)
    step[i] = (Step){.fn = fn_burn, .nchunk = i % 3 ? THREADS : 1, .param = &seconds, .name = "burn"};
  Plan p = {.arena_bytes = 64, .scratch_bytes = 64, .step = step, .nstep = STEPS, .ncompute = STEPS};
  Session *s = session_new(&p, THREADS);
  session_profile(s, true);
  for (int i = 0; i < ROUNDS; i++) session_run(s, 0, STEPS);
  for (int i = 0; i < STEPS; i++)
    ck_assert_msg(session_step_min(s)[i] >= seconds, "step %d: %g s", i, session_step_min(s)[i]);
  session_free(s);
}
END_TEST

/* Waits for the other of two steps to begin, param[1] seconds at most. */
static atomic_int begun[2], met[2];
static void fn_meet(void *const *ptr, int64_t chunk, void *scratch, const void *param) {
  (void)ptr, (void)chunk, (void)scratch;
  const double *p = param, end = now_seconds() + p[1];
  int me = (int)p[0];
  atomic_store(&begun[me], 1);
  while (!atomic_load(&begun[!me]) && now_seconds() < end) sched_yield();
  atomic_store(&met[me], atomic_load(&begun[!me]));
}

START_TEST(exec_overlap) {
  for (int overlap = 0; overlap < 2; overlap++) {
    double seconds = overlap ? 20 : 0.05, param[2][2] = {{0, seconds}, {1, seconds}};
    Step step[2];
    for (int i = 0; i < 2; i++) {
      step[i] =
          (Step){.fn = fn_meet, .nchunk = 1, .param = param[i], .name = "meet", .overlap = i && overlap};
      atomic_store(&begun[i], 0);
      atomic_store(&met[i], 0);
    }
    Plan p = {.name = "overlap", .arena_bytes = 64, .step = step, .nstep = 2, .ncompute = 2};
    Session *s = session_new(&p, 2);
    session_run(s, 0, 2);
    session_free(s);
    ck_assert_int_eq(atomic_load(&met[0]), overlap);
    ck_assert_int_eq(atomic_load(&met[1]), 1);
  }
}
END_TEST

START_TEST(exec_commit_only_when_finite) {
  Plan *p = make_plan(1);
  Session *s = session_new(p, 2);
  session_init_states(s, 1);
  float *w = data_of(s, "w"), before = w[0];
  int watch[] = {-1, session_find(s, "loss")}, bad = -2;
  ck_assert_int_eq(session_step(s, watch, 2, &bad), ST_OK);
  ck_assert(w[0] != before);
  w[17] = NAN;
  before = w[0];
  ck_assert_int_eq(session_step(s, watch, 2, &bad), ST_NONFINITE);
  ck_assert_int_eq(bad, watch[1]);
  ck_assert(w[0] == before && isnan(w[17]));
  float v[] = {1, -INFINITY, 2};
  ck_assert(!all_finite(v, 3) && all_finite(v, 1) && !all_finite(&w[17], 1));
  session_free(s);
}
END_TEST

START_TEST(exec_initial_values) {
  Plan *p = make_plan(1);
  Session *s = session_new(p, 2);
  session_init_states(s, 42);
  float *w = data_of(s, "w"), *u = data_of(s, "u");
  double sum = 0, sq = 0;
  for (int i = 0; i < CELLS; i++) sum += w[i], sq += (double)w[i] * w[i];
  ck_assert(fabs(sum / CELLS) < 0.06 && fabs(sq / CELLS - 1) < 0.09);
  uint32_t ctr[4] = {3, 0, 0, 9}, key[2] = {42, 0}, bits[4];
  philox4x32(ctr, key, bits);
  ck_assert_float_eq(u[3], (float)(-2 + 5 * rng_bits_unit(bits[0], bits[1])));
  ck_assert_mem_eq(data_of(s, "copy2"), u, 128);
  ck_assert_int_eq(*(int64_t *)(void *)data_of(s, "count"), 5);
  for (int i = 0; i < 32; i++) ck_assert(u[i] >= -2 && u[i] < 3);
  Session *t = session_new(p, 1);
  session_init_states(t, 42);
  ck_assert_mem_eq(data_of(t, "w"), w, CELLS * 4);
  session_init_states(t, 43);
  ck_assert(data_of(t, "w")[0] != w[0]);
  ck_assert_int_eq(session_copy_states(t, s), 5);
  ck_assert_mem_eq(data_of(t, "w"), w, CELLS * 4);
  session_free(s);
  session_free(t);
}
END_TEST

/* Rounded as generated code rounds: denormals to zero, a NaN stays one. */
START_TEST(exec_initial_bf16) {
  static const struct {
    double a;
    uint16_t bits;
  } cases[] = {
      {1 + 1.0 / 256, 0x3f80}, {1 + 3.0 / 256, 0x3f82}, {1e-39, 0}, {-1e-39, 0x8000}, {1e39, 0x7f80}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    PlanTensor t = {.name = "h", .kind = PT_STATE, .dt = DT_BF16, .init = INIT_FILL, .init_a = cases[k].a};
    Plan p = {.name = "bf16", .arena_bytes = 64, .tensor = &t, .ntensor = 1};
    Session *s = session_new(&p, 1);
    session_init_states(s, 1);
    ck_assert_uint_eq(*(uint16_t *)(void *)data_of(s, "h"), cases[k].bits);
    session_free(s);
  }
}
END_TEST

/* ---- scatter ---- */
static double at(DType dt, const void *p, int64_t i) {
  return dt == DT_F32 ? ((const float *)p)[i] : ((const double *)p)[i];
}

static void run_all(StepFn fn, void *const *ptr, const void *param, int64_t chunks, int64_t scratch,
                    bool backwards) {
  void *room = NULL;
  ck_assert_int_eq(posix_memalign(&room, 64, (size_t)scratch + 64), 0);
  for (int64_t c = 0; c < chunks; c++) fn(ptr, backwards ? chunks - 1 - c : c, room, param);
  free(room);
}

START_TEST(scatter_adds_in_order) {
  for (int kind = 0; kind < 4; kind++) {
    ScatterParam p = {kind & 1 ? DT_F64 : DT_F32,
                      kind & 2 ? DT_I64 : DT_I32,
                      3,
                      11,
                      kind ? 300 : 1,
                      40,
                      64,
                      5,
                      SCATTER_ADD};
    int64_t n_up = p.outer * p.nidx * p.inner, n_out = p.outer * p.axis_extent * p.inner,
            size = dtype_size(p.dt);
    int64_t idx64[40];
    int32_t idx32[40];
    char *up = malloc((size_t)(n_up * size)), *out = malloc((size_t)(n_out * size));
    double *want = calloc((size_t)n_out, sizeof *want);
    memset(out, 0xff, (size_t)(n_out * size));
    for (int j = 0; j < 40; j++) idx32[j] = (int32_t)(idx64[j] = j * 7 % 13 - 1); /* also outside: clamped */
    for (int64_t i = 0; i < n_up; i++) {
      double v = (double)(i % 17) - 8; /* exact sums */
      if (p.dt == DT_F32) ((float *)(void *)up)[i] = (float)v;
      else ((double *)(void *)up)[i] = v;
      int64_t o = i / (p.nidx * p.inner), j = i / p.inner % p.nidx, row = idx64[j];
      row = row < 0 ? 0 : row > 10 ? 10 : row;
      want[(o * p.axis_extent + row) * p.inner + i % p.inner] += v;
    }
    void *ptr[] = {kind & 2 ? (void *)idx64 : (void *)idx32, up, out};
    run_all(step_scatter, ptr, &p, p.nchunk, 0, true);
    for (int64_t i = 0; i < n_out; i++)
      if (at(p.dt, out, i) != want[i]) ck_abort_msg("element %d", (int)i);
    free(up), free(out), free(want);
  }
}
END_TEST

/* ---- checkpoints ---- */
static Status load(const char *run, Session *s, bool exact, CheckpointInfo *info) {
  StFile *f = checkpoint_open(run, info, arena, diags);
  if (!f) return ST_FILE;
  Status st = states_load(s, f, LOAD_ALL_STATES | (exact ? LOAD_ALL_TENSORS : 0), diags);
  st_close(f);
  return st;
}

START_TEST(checkpoint_round_trip) {
  Plan *p = make_plan(1);
  Session *s = session_new(p, 1), *t = session_new(p, 2);
  session_init_states(s, 8);
  CheckpointInfo in = {.step = 1234,
                       .epoch = 3,
                       .seed = UINT64_MAX,
                       .plan = p->identity,
                       .model = "m.jepa",
                       .recipe = "{\"a\": 1}"},
                 out;
  char *run = in_folder("deep/run");
  ck_assert_int_eq(checkpoint_save(run, s, &in, diags), ST_OK);
  ck_assert_int_eq(load(run, t, true, &out), ST_OK);
  ck_assert(out.step == 1234 && out.epoch == 3 && out.seed == UINT64_MAX && out.plan == p->identity);
  ck_assert_str_eq(out.model, "m.jepa");
  ck_assert_str_eq(out.recipe, "{\"a\": 1}");
  ck_assert_str_eq(out.text, "");
  ck_assert_mem_eq(data_of(s, "w"), data_of(t, "w"), CELLS * 4);
  ck_assert_int_eq(*(int64_t *)(void *)data_of(t, "count"), 5);
  session_free(t);
  /* a plan with fewer states, then plans that do not fit */
  PlanTensor *tensor = (PlanTensor *)(uintptr_t)p->tensor;
  float w0 = data_of(s, "w")[0];
  p->ntensor = 2;
  t = session_new(p, 1);
  ck_assert_int_eq(load(run, t, false, &out), ST_OK);
  ck_assert(data_of(t, "w")[0] == w0);
  ck_assert_int_eq(load(run, t, true, &out), ST_FILE);
  diags = diags_new(arena);
  tensor[0].shape.dim[0] = CELLS / 2;
  ck_assert_int_eq(load(run, t, false, &out), ST_FILE);
  expect_error("tensor w is f32[4096]", "f32[2048]");
  tensor[0].shape.dim[0] = CELLS;
  tensor[0].name = "ww";
  ck_assert_int_eq(load(run, t, false, &out), ST_FILE);
  expect_error("lacks tensor ww", "checkpoint.safetensors");
  ck_assert(!checkpoint_open(in_folder("none"), &out, arena, diags));
  expect_error("none/checkpoint.safetensors", "No such file");
  session_free(s), session_free(t);
}
END_TEST

START_TEST(parameters_over_initial_values) {
  Plan *p = make_plan(1);
  Session *s = session_new(p, 1);
  session_init_states(s, 8);
  float u[32];
  for (int i = 0; i < 32; i++) u[i] = (float)i;
  StTensor t[] = {{"u", DT_F32, {2, {4, 8}}, u, 128}, {"cout", DT_I64, {0, {0}}, u, 8}};
  ck_assert_int_eq(st_write(in_folder("p"), t, 1, NULL, 0, diags), ST_OK);
  StFile *f = st_open(in_folder("p"), diags);
  ck_assert_int_eq(states_load(s, f, LOAD_ALL_TENSORS, diags), ST_OK);
  ck_assert_mem_eq(data_of(s, "u"), u, 128);
  ck_assert_mem_eq(data_of(s, "copy"), u, 128); /* a copy of u, absent from the file */
  st_close(f);
  ck_assert_int_eq(st_write(in_folder("p"), t, 2, NULL, 0, diags), ST_OK);
  f = st_open(in_folder("p"), diags);
  ck_assert_int_eq(states_load(s, f, LOAD_ALL_TENSORS, diags), ST_FILE);
  expect_error("no state cout", "did you mean count?");
  st_close(f);
  session_free(s);
}
END_TEST

int main(void) {
  Suite *s = suite_create("runtime");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, philox_known_answers);
  tcase_add_test(t, rng_distributions);
  tcase_add_test(t, rng_blocks);
  tcase_add_test(t, exec_any_thread_count);
  tcase_add_test(t, profile_counts_every_thread);
  tcase_add_test(t, exec_overlap);
  tcase_add_test(t, exec_commit_only_when_finite);
  tcase_add_test(t, exec_initial_values);
  tcase_add_test(t, exec_initial_bf16);
  tcase_add_test(t, scatter_adds_in_order);
  tcase_add_test(t, checkpoint_round_trip);
  tcase_add_test(t, parameters_over_initial_values);
  suite_add_tcase(s, t);
  return run_suite(s);
}
