/* The table of targets (ir/targets.def) against LLVM: every processor is known to it and generates the vectors,
   multiply-adds, roundings and tiles its row promises. And: a library leaves its host's LLVM as it is. */
#include "codegen/codegen.h"
#include "codegen/emit/emit.h"
#include "include/jepac.h"
#include "tests/unit/support.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/IRReader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

START_TEST(rows_are_consistent) {
  Target t, u;
  int n = 0;
  for (; target_row(n, &t); n++) {
    for (int i = 0; i < n; i++)
      if (target_row(i, &u)) ck_assert_msg(strcmp(t.cpu, u.cpu) || t.arch != u.arch, "%s twice", t.cpu);
    ck_assert_msg(target_named(t.cpu, &u), "%s", t.cpu);
    ck_assert(u.arch == t.arch || u.arch == ARCH_X86_64);
    ck_assert_msg(em_arch(t.arch)->level[t.family], "%s: a family of another architecture", t.cpu);
    ck_assert(t.vector_bytes >= 16 && !(t.vector_bytes & (t.vector_bytes - 1)));
    ck_assert(t.registers == 16 || t.registers == 32);
    ck_assert(t.cost && t.l1 < t.l2);
  }
  ck_assert_int_gt(n, 20);
  ck_assert(!target_row(-1, &t) && !target_named("z80", &t));
  Target host = target_host();
  ck_assert(target_named("host", &t) && t.vector_bytes == host.vector_bytes && t.tiles == host.tiles);
}
END_TEST

static char *assembly(LLVMTargetMachineRef tm, LLVMModuleRef m) {
  LLVMMemoryBufferRef text;
  char *error = NULL;
  if (LLVMTargetMachineEmitToMemoryBuffer(tm, m, LLVMAssemblyFile, &error, &text)) ck_abort_msg("%s", error);
  char *s = strndup(LLVMGetBufferStart(text), LLVMGetBufferSize(text));
  LLVMDisposeMemoryBuffer(text);
  return s;
}

/* y = bf16(a * b + c) over one vector, and a tile set to zero where there are tiles. */
static char *sample(const Target *t) {
  LLVMTargetMachineRef tm = em_target_machine(t);
  EmitModule m;
  em_open(&m, t, tm, "sample");
  em_function(&m, "sample");
  LLVMValueRef v[3];
  for (int i = 0; i < 3; i++) v[i] = em_load(&m, m.vf32, em_operand(&m, i), 4);
  LLVMValueRef y = em_fma(&m, v[0], v[1], v[2]);
  em_store(&m, y, em_operand(&m, 3), 4);
  em_store(&m, em_narrow_bf16(&m, y), em_operand(&m, 4), 2);
  if (t->tiles == TILES_AMX) {
    LLVMValueRef tile = em_bits(m.i8, 1);
    em_intrinsic(&m, "llvm.x86.tilezero", NULL, 0, &tile, 1);
  }
  if (t->tiles == TILES_PAIRS) {
    LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(m.cx), 32);
    LLVMValueRef p = em_load(&m, pairs, em_operand(&m, 0), 4), args[] = {y, p, p};
    em_store(&m, em_intrinsic(&m, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0, args, 3), em_operand(&m, 3),
             4);
  }
  LLVMBuildRetVoid(m.b);
  em_verify(&m);
  char *s = assembly(tm, m.mod);
  em_close(&m);
  LLVMDisposeTargetMachine(tm);
  return s;
}

static void has(const Target *t, const char *text, const char *what, bool want) {
  ck_assert_msg(!strstr(text, what) == !want, "%s: %s%s in\n%s", t->cpu, want ? "no " : "", what, text);
}

START_TEST(llvm_knows_every_processor) {
  Target t;
  ck_assert(target_row(_i, &t));
  FILE *messages = tmpfile(); /* of LLVM, which ignores a processor it does not know */
  int old = dup(2);
  dup2(fileno(messages), 2);
  char *text = sample(&t);
  dup2(old, 2);
  close(old);
  fseek(messages, 0, SEEK_END);
  ck_assert_msg(!ftell(messages), "LLVM complains about %s", t.cpu);
  fclose(messages);
  if (t.arch == ARCH_X86_64) {
    has(&t, text, "zmm", t.vector_bytes == 64);
    if (t.vector_bytes < 64) has(&t, text, "ymm", t.vector_bytes == 32);
    has(&t, text, "vfmadd", t.fma);
    has(&t, text, "vcvtneps2bf16", t.bf16);
    has(&t, text, "tilezero", t.tiles == TILES_AMX);
    has(&t, text, "vdpbf16ps", t.tiles == TILES_PAIRS);
  } else {
    has(&t, text, "fmla", t.fma);
  }
  free(text);
}
END_TEST

/* ---- a host that uses LLVM itself ---- */
static const char multiply[] = "define void @f(ptr %p, i64 %n, i64 %s) {\n"
                               "entry:\n  br label %loop\n"
                               "loop:\n  %i = phi i64 [ 0, %entry ], [ %j, %loop ]\n"
                               "  %o = mul i64 %i, %s\n  %q = getelementptr float, ptr %p, i64 %o\n"
                               "  store float 1.0, ptr %q\n  %j = add i64 %i, 1\n"
                               "  %c = icmp slt i64 %j, %n\n  br i1 %c, label %loop, label %out\n"
                               "out:\n  ret void\n}\n";

/* Does the loop above still multiply? Loop strength reduction makes it add. */
static bool multiplies(void) {
  Target t;
  ck_assert(target_named("x86-64", &t));
  LLVMTargetMachineRef tm = em_target_machine(&t);
  LLVMContextRef cx = LLVMContextCreate();
  LLVMModuleRef mod;
  char *error = NULL;
  LLVMMemoryBufferRef in = LLVMCreateMemoryBufferWithMemoryRangeCopy(multiply, sizeof multiply - 1, "f");
  if (LLVMParseIRInContext(cx, in, &mod, &error)) ck_abort_msg("%s", error);
  char *s = assembly(tm, mod);
  bool found = strstr(s, "imul");
  free(s);
  LLVMDisposeModule(mod);
  LLVMContextDispose(cx);
  LLVMDisposeTargetMachine(tm);
  return found;
}

START_TEST(library_leaves_llvm_alone) {
  ck_assert(!multiplies());
  jepac_model *m =
      jepac_load_text("model M() {\n  entry f(x: f32[4, 8]) {\n    y = tanh(x)\n    return y\n  }\n}\n",
                      "m.jepa", &(jepac_options){.threads = 1});
  jepac_session *s = jepac_compile(m, "f", 0);
  ck_assert_msg(s, "%s", jepac_message(m));
  ck_assert(!multiplies());
  jepac_session_free(s);
  jepac_model_free(m);
}
END_TEST

START_TEST(own_process_compiles_faster) {
  jepac_own_process();
  jepac_own_process();
  ck_assert(multiplies());
}
END_TEST

int main(void) {
  Suite *s = suite_create("target");
  TCase *rows = tcase_create("rows"), *host = tcase_create("host");
  Target t;
  int n = 0;
  while (target_row(n, &t)) n++;
  tcase_add_test(rows, rows_are_consistent);
  tcase_add_loop_test(rows, llvm_knows_every_processor, 0, n);
  tcase_add_test(host, library_leaves_llvm_alone);
  tcase_add_test(host, own_process_compiles_faster);
  suite_add_tcase(s, rows);
  suite_add_tcase(s, host);
  return run_suite(s);
}
