/* --tune: the choice of a schedule is kept and read back, what does not fit is ignored, and neither identity
   nor results know of it (bits of every choice: test_gemm.c, test_conv.c). */
#include "codegen/jit/cache.h"
#include "codegen/jit/jit.h"
#include "tests/unit/folder.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { M = 128, N = 192, K = 160 };

/* C = A B, one kernel that may be packed first. */
static Program *product(Arena *a, bool transposed) {
  Program *p = NEW(a, Program);
  *p = (Program){.graph = graph_new(a, "product"), .arena = a, .target = target_host()};
  GemmSpec s = {.dt = DT_F32, .m = M, .n = N, .k = K, .a_m = K, .a_k = 1, .c_m = N, .c_n = 1};
  s.b_k = transposed ? 1 : N, s.b_n = transposed ? K : 1;
  ContractionPlan plan = gemm_plan(&s, &p->target);
  int64_t bytes[] = {
      [CO_A] = M * K * 4, [CO_B] = K * N * 4, [CO_C] = M * N * 4, [CO_TMP0] = plan.tmp_bytes[0]};
  for (int i = 0; i < 4; i++) {
    Buf b = {
        .dt = DT_NONE, .bytes = bytes[i], .input = -1, .result = -1, .alias = -1, .within = -1, .val = -1};
    b.offset = p->arena_bytes;
    p->arena_bytes += (bytes[i] + 63) / 64 * 64;
    vec_push(a, &p->buf, b);
  }
  for (int i = 0; i < plan.nstep; i++) {
    const ContractionStep *st = &plan.step[i];
    Kernel k = gemm_kernel(&s);
    k.step = i;
    k.nbuf = st->nin + 1, k.nout = 1;
    k.flops = st->flops;
    k.buf = NEWN(a, int, 3);
    for (int j = 0; j < st->nin; j++) k.buf[j] = (int)st->in[j];
    k.buf[st->nin] = (int)st->out[0];
    vec_push(a, &p->kernel, k);
  }
  p->ncompute = p->kernel.n;
  return p;
}

static int64_t tuned(Tune tune) {
  Program *p = product(arena, false);
  codegen_tune(p, &(CodegenOptions){.cache_dir = folder, .threads = 1, .tune = tune});
  return p->kernel.v[p->kernel.n - 1].gemm.choice;
}

/* The one entry of the folder; false: there is none. */
static bool entry_of(char path[512]) {
  bool found = false;
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));)
    if (strstr(e->d_name, ".choice")) {
      ck_assert(!found);
      found = true;
      snprintf(path, 512, "%s/%s", folder, e->d_name);
    }
  if (d) closedir(d);
  return found;
}

static char *contents(const char *path, size_t *n) {
  static char text[1 << 16];
  FILE *f = fopen(path, "rb");
  ck_assert_ptr_nonnull(f);
  *n = fread(text, 1, sizeof text - 1, f);
  text[*n] = 0;
  fclose(f);
  return text;
}

START_TEST(winner_is_kept) {
  char path[512], text[1 << 16];
  Program *p = product(arena, false);
  int64_t choice[CHOICES];
  int n = kernel_choices(p, &p->kernel.v[p->kernel.n - 1], choice);
  ck_assert_int_gt(n, 2);
  ck_assert_int_eq(tuned(TUNE_OFF), 0);
  ck_assert(!entry_of(path)); /* off: nothing is measured */
  int64_t first = tuned(TUNE_FULL);
  ck_assert(entry_of(path));
  size_t len;
  char *now = contents(path, &len), last[32];
  size_t digits = (size_t)snprintf(last, sizeof last, "%lld\n", (long long)first);
  ck_assert_mem_eq(now + len - digits, last, digits);
  enum { SUM = 8 };
  size_t key = len - digits - SUM;
  const char *name = strrchr(path, '/') + 1;
  /* What stands there is used, not measured again; not with off. */
  for (int c = 0; c < n; c++) {
    int more = snprintf(last, sizeof last, "%lld\n", (long long)choice[c]);
    ck_assert(cache_write(folder, name, now, key, last, (size_t)more));
    ck_assert_int_eq(tuned(c % 2 ? TUNE_FAST : TUNE_FULL), choice[c]);
    ck_assert_int_eq(tuned(TUNE_OFF), 0);
  }
  /* A damaged entry, one of another build or CPU, and a number that is no choice: measured anew, and
     replaced. */
  static const char *const bad[] = {"", "\n", "x\n", "1", "1 \n", "99\n", "-1\n", "1\n1\n"};
  for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
    bool foreign = i == sizeof bad / sizeof *bad;
    const char *tail = foreign ? "1\n" : bad[i];
    memcpy(text, now, key);
    if (foreign) text[key / 2] ^= 1;
    ck_assert(cache_write(folder, name, text, key, tail, strlen(tail)));
    int64_t got = tuned(TUNE_FULL);
    size_t now_len;
    char *again = contents(path, &now_len);
    ck_assert_msg(now_len > key && !memcmp(again, text, foreign ? 0 : key), "entry %d was not replaced",
                  (int)i);
    ck_assert_int_eq(strtoll(again + key + SUM, NULL, 10), got);
    ck_assert_int_eq(again[now_len - 1], '\n');
    now = again;
  }
}
END_TEST

/* Equal results, equal identity, one packing step for all choices. */
START_TEST(choice_is_no_identity) {
  for (int transposed = 0; transposed < 2; transposed++) {
    uint64_t identity = 0;
    float *want = NULL;
    int64_t choice[CHOICES];
    int n = 1;
    for (int c = 0; c < n; c++) {
      Program *p = product(arena, transposed);
      Kernel *k = &p->kernel.v[p->kernel.n - 1];
      n = kernel_choices(p, k, choice);
      k->gemm.choice = choice[c];
      Plan *plan;
      Code *code = codegen_jit(p, &(CodegenOptions){.threads = 1}, arena, diags, &plan);
      ck_assert_ptr_nonnull(code);
      char *memory = aligned_alloc(64, (size_t)p->arena_bytes),
           *scratch = aligned_alloc(64, (size_t)plan->scratch_bytes + 64);
      for (int64_t i = 0; i < M * K + K * N; i++)
        ((float *)(void *)memory)[i] = (float)((i * 2654435761u) % 1000) * 1e-3f - 0.5f;
      for (int s = 0; s < plan->nstep; s++) {
        void *operand[3];
        for (int i = 0; i < plan->step[s].noperand; i++) operand[i] = memory + plan->step[s].operand[i];
        for (int64_t i = 0; i < plan->step[s].nchunk; i++) plan->step[s].fn(operand, i, scratch, NULL);
      }
      float *got = NEWN(arena, float, M *N);
      memcpy(got, memory + p->buf.v[CO_C].offset, M * N * sizeof *got);
      if (!c) want = got, identity = plan->identity;
      ck_assert_mem_eq(got, want, M * N * sizeof *got);
      ck_assert(plan->identity == identity);
      codegen_free(code);
      free(memory);
      free(scratch);
    }
    ck_assert_int_gt(n, 2);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("tune");
  TCase *t = tcase_create("all");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 300);
  tcase_add_test(t, winner_is_kept);
  tcase_add_test(t, choice_is_no_identity);
  suite_add_tcase(s, t);
  return run_suite(s);
}
