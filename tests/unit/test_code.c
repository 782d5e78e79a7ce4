/* Compiled kernels as code: the object cache, code that equal kernels share, concurrent compilations, text
   forms, the verifier of kernels. */
#include "codegen/emit/kind.h"
#include "codegen/jit/cache.h"
#include "codegen/jit/jit.h"
#include "tests/unit/kernel_build.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const CodegenOptions plain = {.threads = 1};

static const Affine zero;

/* ---- the JIT ---- */
static KB *small_kernel(double imm) {
  Target t = target_host();
  int64_t n = 100;
  KB *b = kb_new(&t, 1, 1, &n, 0, 0);
  int v = kb_load(b, kb_buf(b, DT_F32, n, false), aff(0, 1, 0, 0, 0));
  kb_store(b, kb_buf(b, DT_F32, n, true), aff(0, 1, 0, 0, 0), kb_map(b, OP_mul, v, kb_imm(b, DT_F32, imm), 0),
           0);
  return b;
}

static int files_in(const char *dir) {
  int n = 0;
  DIR *d = opendir(dir);
  ck_assert_ptr_nonnull(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] == 'j';
  closedir(d);
  return n;
}

START_TEST(test_object_cache) {
  char dir[] = "/tmp/jepac_cache_XXXXXX", err[256], cmd[600], path[64];
  ck_assert_ptr_nonnull(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/a/b", dir);
  CodegenOptions o = {.cache_dir = path, .threads = 2};
  static const char *const damage[] = {/* after which the file is made anew */
                                       "true",
                                       "printf x | dd of=$f conv=notrunc 2>/dev/null",
                                       "truncate -s -900 $f",
                                       "truncate -s 900 $f; truncate -s 9000 $f",
                                       "truncate -s 0 $f",
                                       "truncate -s -900 $f; truncate -s +900 $f"};
  for (size_t round = 0; round < sizeof damage / sizeof *damage; round++) {
    KB *b = small_kernel(3);
    ck_assert_msg(kb_agree(b, &o, 1e-6, err, sizeof err), "%s", err);
    kb_free(b);
    ck_assert_int_eq(files_in(path), 1);
    snprintf(cmd, sizeof cmd, "cd %s; for f in j*; do %s; done; cp j* ../damaged", path, damage[round]);
    ck_assert_int_eq(system(cmd), 0);
    b = small_kernel(3);
    ck_assert_msg(kb_agree(b, &o, 1e-6, err, sizeof err), "%s: %s", damage[round], err);
    kb_free(b);
    snprintf(cmd, sizeof cmd, "cd %s; cmp -s j* ../damaged", path);
    ck_assert_msg(!system(cmd) == !round, "%s: not made anew", damage[round]);
  }
  KB *b = small_kernel(4);
  ck_assert(kb_agree(b, &o, 1e-6, err, sizeof err));
  kb_free(b);
  ck_assert_int_eq(files_in(path), 2);
  snprintf(cmd, sizeof cmd, "rm -r %s", dir);
  ck_assert_int_eq(system(cmd), 0);
}
END_TEST

/* Entries are code: only the user's own count. */
START_TEST(test_cache_is_the_users) {
  char dir[] = "/tmp/jepac_cache_XXXXXX", cmd[600], path[64];
  static const struct {
    const char *make;
    bool found;
  } cases[] = {{"true", true},
               {"chmod 755 .", true},
               {"chmod 777 .", false},
               {"chmod 770 .", false},
               {"chmod 666 jk_x", false},
               {"mv jk_x y; ln -s y jk_x", false},
               {"rm jk_x; mkfifo jk_x", false},
               {"rm jk_x; mkdir jk_x", false},
               {"chown 12345 jk_x", false},
               {"chown 12345 .", false}};
  ck_assert_ptr_nonnull(mkdtemp(dir));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (!strncmp(cases[i].make, "chown", 5) && geteuid()) continue;
    snprintf(path, sizeof path, "%s/%zu", dir, i);
    ck_assert(cache_write(path, "jk_x", "key", 3, "contents", 8));
    snprintf(cmd, sizeof cmd, "cd %s && %s", path, cases[i].make);
    ck_assert_int_eq(system(cmd), 0);
    size_t n;
    char *got = cache_read(path, "jk_x", "key", 3, &n);
    ck_assert_msg(!got == !cases[i].found, "%s", cases[i].make);
    free(got);
    ck_assert_int_eq(cache_trusts(path), !strstr(cases[i].make, " .") || cases[i].found);
    if (!cache_trusts(path)) ck_assert(!cache_write(path, "jk_y", "key", 3, "contents", 8));
  }
  snprintf(cmd, sizeof cmd, "rm -r %s", dir);
  ck_assert_int_eq(system(cmd), 0);
}
END_TEST

START_TEST(test_equal_kernels_share_code) {
  KB *b = small_kernel(3);
  Program *p = kb_program(b);
  Kernel k = p->kernel.v[0];
  vec_push(b->arena, &p->kernel, k);
  p->ncompute = 2;
  Plan *plan;
  Code *c = codegen_jit(p, &plain, b->arena, diags_new(b->arena), &plan);
  ck_assert_ptr_nonnull(c);
  ck_assert_int_eq(plan->nstep, 2);
  ck_assert(plan->step[0].fn == plan->step[1].fn);
  codegen_free(c);
  kb_free(b);
}
END_TEST

/* Convolutions that differ in images only: under one key there is one text, and weights' steps have one key. */
START_TEST(test_convolutions_share_code) {
  static const struct {
    int64_t c, k, h, kernel, stride, groups;
  } shape[] = {{64, 64, 32, 3, 1, 1},  {64, 128, 16, 3, 2, 1}, {512, 512, 4, 3, 1, 1}, {32, 64, 8, 1, 2, 1},
               {16, 16, 14, 3, 1, 1},  {128, 128, 2, 3, 1, 1}, {16, 48, 9, 5, 1, 1},   {256, 256, 8, 3, 1, 1},
               {128, 256, 8, 1, 1, 1}, {16, 32, 4, 3, 2, 1},   {64, 64, 9, 3, 1, 64},  {32, 32, 14, 3, 2, 8},
               {64, 64, 9, 3, 1, 2}};
  static const int64_t batch[] = {2, 4, 12, 32, 96};
  enum { SHAPES = sizeof shape / sizeof *shape, BATCHES = sizeof batch / sizeof *batch };
  Target t = target_host();
  int L = target_lanes(&t), shared = 0;
  LLVMTargetMachineRef tm = em_target_machine(&t);
  for (int i = 0; i < SHAPES * 12; i++) {
    ConvSpec s = {
        .kind = (ConvKind)(i % 3), .c = shape[i / 12].c, .k = shape[i / 12].k, .xblock = L, .yblock = L};
    s.algo = i / 3 % 2 ? CONV_DIRECT : CONV_AUTO;
    s.h = s.w = shape[i / 12].h, s.kh = s.kw = shape[i / 12].kernel;
    s.stride[0] = s.stride[1] = shape[i / 12].stride;
    s.pad[0] = s.pad[1] = s.kh / 2, s.dilation[0] = s.dilation[1] = 1, s.groups = shape[i / 12].groups;
    s.oh = s.ow = (s.h + 2 * s.pad[0] - s.kh) / s.stride[0] + 1;
    s.images = i / 6 % 2 ? 2 : 0;
    for (int step = 0; step < 2; step++) {
      char *key[BATCHES], *text[BATCHES];
      for (int n = 0; n < BATCHES; n++) {
        s.n = batch[n];
        Kernel k = conv_kernel(&s, step);
        Program p = {.target = t};
        StrBuf b = {0};
        kernel_key(&p, &k, true, &b);
        key[n] = b.s;
        EmitModule m;
        em_open(&m, &t, tm, "f");
        codegen_kind(&k)->emit(&m, &p, &k, "f");
        text[n] = LLVMPrintModuleToString(m.mod);
        em_close(&m);
        for (int j = 0; j < n; j++) {
          if (strcmp(key[j], key[n])) continue;
          shared++;
          ck_assert_msg(!strcmp(text[j], text[n]), "%s of %d and %d images", key[n], (int)batch[j],
                        (int)batch[n]);
        }
      }
      for (int n = 0; n < BATCHES; n++) free(key[n]), LLVMDisposeMessage(text[n]);
    }
  }
  ck_assert_int_gt(shared, 200);
  LLVMDisposeTargetMachine(tm);
}
END_TEST

START_TEST(test_extents_share_code) { /* flat kernels of all sizes, mapping and reducing */
  Target t = target_host();
  for (int reduce = 0; reduce < 2; reduce++) {
    static const int64_t extents[] = {64, 100, 1000, 12345, 70000};
    KB *b[5];
    Program *all = NULL;
    for (int i = 0; i < 5; i++) {
      int64_t n = extents[i];
      b[i] = kb_new(&t, !reduce, 1, &n, 0, reduce);
      if (!reduce) b[i]->l.nchunk = 1 + n / 9000;
      int v = kb_load(b[i], kb_buf(b[i], DT_F32, n, false), aff(0, 1, 0, 0, 0));
      v = kb_map(b[i], OP_mul, v, v, 0);
      if (reduce)
        kb_store(b[i], kb_buf(b[i], DT_F32, 1, true), zero, kb_reduce(b[i], OP_reduce_sum, v, 0), 0);
      else kb_store(b[i], kb_buf(b[i], DT_F32, n, true), aff(0, 1, 0, 0, 0), v, 0);
      char err[256];
      ck_assert_msg(kb_agree(b[i], &plain, 1e-5, err, sizeof err), "%s", err);
      if (!i) all = kb_program(b[0]);
      else vec_push(b[0]->arena, &all->kernel, kb_program(b[i])->kernel.v[0]);
    }
    Plan *plan;
    Code *c = codegen_jit(all, &plain, b[0]->arena, diags_new(b[0]->arena), &plan);
    for (int i = 1; i < 5; i++) ck_assert(plan->step[i].fn == plan->step[0].fn);
    codegen_free(c);
    for (int i = 4; i >= 0; i--) kb_free(b[i]);
  }
}
END_TEST

static void *compile_and_check(void *arg) {
  char err[256];
  bool ok = true;
  for (int i = 0; i < 5; i++) {
    KB *b = small_kernel(*(int *)arg + i);
    CodegenOptions o = {.threads = 2};
    ok &= kb_agree(b, &o, 1e-6, err, sizeof err);
    kb_free(b);
  }
  return ok ? arg : NULL;
}

START_TEST(test_two_compilations_side_by_side) {
  pthread_t t[2];
  int id[2] = {10, 20};
  for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, compile_and_check, &id[i]), 0);
  for (int i = 0; i < 2; i++) {
    void *r;
    pthread_join(t[i], &r);
    ck_assert_ptr_eq(r, &id[i]);
  }
}
END_TEST

START_TEST(test_text) {
  KB *b = small_kernel(3);
  StrBuf s = {0};
  ck_assert_int_eq(codegen_text(kb_program(b), false, &s, diags_new(b->arena)), ST_OK);
  ck_assert_ptr_nonnull(strstr(s.s, "define void @k0_copy"));
  sb_free(&s);
  ck_assert_int_eq(codegen_text(kb_program(b), true, &s, diags_new(b->arena)), ST_OK);
  ck_assert_ptr_nonnull(strstr(s.s, "mulps"));
  sb_free(&s);
  kb_free(b);
}
END_TEST

/* ---- the verifier ---- */
START_TEST(test_verifier_finds) {
  Target t = target_host();
  char err[256];
  for (int fault = 0; fault < 5; fault++) {
    KB *b = kb_new(&t, 1, 2, (int64_t[]){4, 10}, 1, 2);
    int v = kb_load(b, kb_buf(b, DT_F32, 40, false), aff(0, 10, 1, 0, 0));
    kb_guard(b, kb_access(b, v), aff(-1, 0, 1, 0, 0), 0, 9, 0);
    kb_access(b, v)->off.c = -1;
    int r = kb_reduce(b, OP_reduce_sum, v, 0);
    kb_store(b, kb_buf(b, DT_F32, 40, true), aff(0, 10, 1, 0, 0), kb_map(b, OP_sub, v, r, 0), 1);
    ck_assert_msg(program_verify(kb_program(b), err, sizeof err), "%s", err);
    LoopKernel *l = &b->program->kernel.v[0].loop;
    const char *want = NULL;
    if (fault == 0) kb_access(b, v)->off.c = -2, want = "%0 0 reaches", want = "load 0 reaches";
    if (fault == 1) l->store[0].sweep = 0, want = "needs a reduction of sweep 0";
    if (fault == 2) l->inst[v].row = true, want = "depends on a reduced dim";
    if (fault == 3) l->store[0].access.buf = 0, want = "which is an input";
    if (fault == 4) l->inst[2].arg[1] = 2, want = "before it is defined";
    ck_assert(!program_verify(b->program, err, sizeof err));
    ck_assert_msg(strstr(err, want) != NULL, "%s", err);
    kb_free(b);
  }
}
END_TEST

int main(void) {
  Suite *s = suite_create("code");
  TCase *c = tcase_create("all");
  tcase_set_timeout(c, 600);
  tcase_add_test(c, test_object_cache);
  tcase_add_test(c, test_cache_is_the_users);
  tcase_add_test(c, test_equal_kernels_share_code);
  tcase_add_test(c, test_convolutions_share_code);
  tcase_add_test(c, test_extents_share_code);
  tcase_add_test(c, test_two_compilations_side_by_side);
  tcase_add_test(c, test_text);
  tcase_add_test(c, test_verifier_finds);
  suite_add_tcase(s, c);
  return run_suite(s);
}
