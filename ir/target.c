/* Detection of the host's vector units and caches, and the named targets golden tests pin. */
#include "ir/target.h"

#include <string.h>
#include <unistd.h>

static const Target avx512 = {"x86-64-v4", 64, 32, true, false, 32768, 1048576};
static const Target avx2 = {"x86-64-v3", 32, 16, true, false, 32768, 524288};
static const Target base = {"x86-64", 16, 16, false, false, 32768, 262144};

Target target_host(void) {
  Target t = base;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    t = avx512;
    t.bf16 = __builtin_cpu_supports("avx512bf16");
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) t = avx2;
#elif defined(__aarch64__)
  t.registers = 32;
  t.fma = true;
#endif
  t.cpu = "host";
  /* The caches' sizes decide block sizes, hence summation order: fixed by vector class, not by the machine,
     so that one binary and target give the same bits everywhere. */
  return t;
}

bool target_named(const char *cpu, Target *out) {
  static const struct {
    const char *name;
    const Target *like;
    bool bf16;
  } known[] = {
      {"x86-64-v4", &avx512, false}, {"skylake-avx512", &avx512, false}, {"icelake-server", &avx512, false},
      {"cooperlake", &avx512, true}, {"sapphirerapids", &avx512, true},  {"znver4", &avx512, true},
      {"znver5", &avx512, true},     {"x86-64-v3", &avx2, false},        {"haswell", &avx2, false},
      {"znver2", &avx2, false},      {"znver3", &avx2, false},           {"skylake", &avx2, false},
      {"x86-64", &base, false},      {"x86-64-v2", &base, false},        {"generic", &base, false}};
  if (!strcmp(cpu, "host")) {
    *out = target_host();
    return true;
  }
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(cpu, known[i].name)) {
      *out = *known[i].like;
      out->cpu = known[i].name;
      out->bf16 = known[i].bf16;
      return true;
    }
  return false;
}
