/* The table of targets (ir/targets.def) and detection of the host's vector and tile units. */
#define _GNU_SOURCE /* syscall */
#include "ir/target.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The caches' sizes decide block sizes, hence summation order: fixed by vector family, not by the machine, so
   that one binary and target give the same bits everywhere. */
static const struct {
  int vector_bytes, registers;
  bool fma, f16;
  int64_t l1, l2;
} families[FAMILIES] = {[FAMILY_SSE2] = {16, 16, false, false, 32768, 262144},
                        [FAMILY_AVX2] = {32, 16, true, true, 32768, 524288},
                        [FAMILY_AVX512] = {64, 32, true, true, 32768, 1048576},
                        [FAMILY_NEON] = {16, 32, true, true, 32768, 262144}};

static const struct {
  const char *name;
  Arch arch;
  Family family;
  bool bf16;
  Tiles tiles;
  const CostModel *cost;
} rows[] = {
#define TARGET(name, arch, family, bf16, tiles, cost)                                                        \
  {name, ARCH_##arch, FAMILY_##family, bf16, TILES_##tiles, &cost_##cost},
#include "ir/targets.def"
#undef TARGET
};
enum { ROWS = sizeof rows / sizeof *rows };

static Target of_family(const char *cpu, Arch arch, Family f, const CostModel *cost) {
  return (Target){.cpu = cpu,
                  .arch = arch,
                  .family = f,
                  .vector_bytes = families[f].vector_bytes,
                  .registers = families[f].registers,
                  .fma = families[f].fma,
                  .f16 = families[f].f16,
                  .l1 = families[f].l1,
                  .l2 = families[f].l2,
                  .cost = cost};
}

bool target_row(int i, Target *out) {
  if (i < 0 || i >= ROWS) return false;
  *out = of_family(rows[i].name, rows[i].arch, rows[i].family, rows[i].cost);
  out->bf16 = rows[i].bf16;
  out->tiles = rows[i].tiles;
  return true;
}

#if defined(__x86_64__)
static bool has_f16c(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && c >> 29 & 1;
}

/* AMX with products of bf16: the processor's bits, the system's leave in XCR0 (tile state: 17, 18), and its leave
   for this process, which Linux gives on request. Where it is denied there are no tiles. */
static bool host_has_amx(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d, lo, hi;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return false;
  __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  if ((lo >> 17 & 3) != 3 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d >> 22 & 1) && (d >> 24 & 1) && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA);
}
#endif

Target target_host(void) {
#if defined(__aarch64__)
  return of_family("host", ARCH_AARCH64, FAMILY_NEON, &cost_xeon);
#else
  Family f = FAMILY_SSE2;
  bool bf16 = false;
  Tiles tiles = TILES_NONE;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    f = FAMILY_AVX512;
    bf16 = __builtin_cpu_supports("avx512bf16");
    /* Intel's vdpbf16ps runs at half of f32's rate (measured), AMD's at twice (its optimization guides). */
    tiles = host_has_amx() ? TILES_AMX : bf16 && __builtin_cpu_is("amd") ? TILES_PAIRS : TILES_NONE;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) f = FAMILY_AVX2;
#endif
  Target t = of_family("host", ARCH_X86_64, f, &cost_xeon);
  t.bf16 = bf16;
  t.tiles = tiles;
  return t;
#endif
}

static const char *const emulated[TILES_UNITS] = {
    [TILES_EMULATED] = "+tiles", [TILES_PAIRS_EMULATED] = "+pairs"};

static bool find(const char *cpu, size_t n, Target *out) {
  if (n == 4 && !memcmp(cpu, "host", n)) {
    *out = target_host();
    return true;
  }
  for (int i = 0; i < ROWS; i++)
    if (strlen(rows[i].name) == n && !memcmp(cpu, rows[i].name, n)) return target_row(i, out);
  return false;
}

bool target_named(const char *cpu, Target *out) {
  size_t n = strlen(cpu);
  for (int i = 0; i < TILES_UNITS; i++) {
    size_t extra = emulated[i] ? strlen(emulated[i]) : 0;
    if (!extra || n <= extra || strcmp(cpu + n - extra, emulated[i])) continue;
    if (!find(cpu, n - extra, out)) return false;
    out->tiles = (Tiles)i;
    return true;
  }
  return find(cpu, n, out);
}

void target_name(const Target *t, StrBuf *out) {
  const char *extra = emulated[t->tiles];
  sb_printf(out, "%s%s", t->cpu, extra ? extra : "");
}

void target_print(const Target *t, StrBuf *out) {
  static const char *const unit[] = {"", ", AMX tiles", ", emulated tiles", ", products of pairs of bf16",
                                     ", emulated products of pairs of bf16"};
  sb_printf(out, "%s: %d-byte vectors%s%s", t->cpu, t->vector_bytes, t->bf16 ? ", bf16" : "", unit[t->tiles]);
}
