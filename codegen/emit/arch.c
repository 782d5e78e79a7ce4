/* Architectures (arch.h): LLVM's back ends and the instruction sets that vector families stand for. */
#include "codegen/emit/arch.h"

#include <llvm-c/Target.h>
#include <string.h>
#include <threads.h>

static void init_x86(void) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser();
}

static void init_aarch64(void) {
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
  LLVMInitializeAArch64AsmParser();
}

static const EmitArch arches[ARCHS] = {
    [ARCH_X86_64] =
        {.name = "x86_64",
         .triple = "x86_64-linux-gnu",
         .prefix = {"x86_64", "amd64"},
         .init = init_x86,
         .level = {[FAMILY_SSE2] = "x86-64", [FAMILY_AVX2] = "x86-64-v3", [FAMILY_AVX512] = "x86-64-v4"},
         .baseline = "x86-64"},
    [ARCH_AARCH64] = {.name = "aarch64",
                      .triple = "aarch64-linux-gnu",
                      .prefix = {"aarch64", "arm64"},
                      .init = init_aarch64,
                      .level = {[FAMILY_NEON] = "generic"},
                      .baseline = "generic"},
};

const EmitArch *em_arch(Arch a) {
  static once_flag once[ARCHS] = {ONCE_FLAG_INIT, ONCE_FLAG_INIT};
  call_once(&once[a], arches[a].init);
  return &arches[a];
}

bool em_arch_of(const char *triple, Arch *out) {
  if (!triple) {
    *out = target_host().arch;
    return true;
  }
  for (Arch a = 0; a < ARCHS; a++)
    for (int i = 0; i < 2; i++)
      if (!strncmp(triple, arches[a].prefix[i], strlen(arches[a].prefix[i])) && strstr(triple, "linux")) {
        *out = a;
        return true;
      }
  return false;
}
