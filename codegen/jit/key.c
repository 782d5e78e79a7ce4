/* Canonical text of kernels and targets: the key under which machine code is shared inside a program and
   cached on disk. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "codegen/emit/kind.h"
#include "codegen/jit/jit.h"

#include <elf.h>
#include <link.h>
#include <string.h>

/* ---- kernels ---- */
void kernel_key(const Program *p, const Kernel *k, bool share, StrBuf *out) {
  const char *step = kernel_step_name(p, k);
  Kernel n = kernel_settled(p, k);
  int64_t *choice = kernel_choice(p, &n);
  if (!share && choice) *choice = 0;
  if (share && codegen_kind(k)->share) codegen_kind(k)->share(p, &n);
  kernel_text(&n, step, out);
}

/* ---- targets and builds ---- */
typedef struct {
  uintptr_t inside; /* an address of the module */
  StrBuf *out;
  bool found;
} BuildId;

/* The linker's build id, a hash of the contents of the module some code lies in. */
static int find_build_id(struct dl_phdr_info *info, size_t size, void *arg) {
  (void)size;
  BuildId *b = arg;
  bool mine = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + h->p_vaddr;
    mine |= h->p_type == PT_LOAD && b->inside >= start && b->inside - start < h->p_memsz;
  }
  if (!mine) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    if (h->p_type != PT_NOTE) continue;
    const char *at = (const char *)(info->dlpi_addr + h->p_vaddr), *end = at + h->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) n;
      memcpy(&n, at, sizeof n);
      const char *name = at + sizeof n, *desc = name + (n.n_namesz + 3) / 4 * 4;
      if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !memcmp(name, "GNU", 4)) {
        for (unsigned k = 0; k < n.n_descsz; k++) sb_printf(b->out, "%02x", (unsigned char)desc[k]);
        b->found = true;
        return 1;
      }
      at = desc + (n.n_descsz + 3) / 4 * 4;
    }
  }
  return 1;
}

void target_key(const Target *t, StrBuf *out) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  sb_printf(out, "LLVM %u.%u.%u ", major, minor, patch);
  em_target_key(t, out);
  sb_printf(out, " %d %d %d %d %d %lld %lld %s build ", t->vector_bytes, t->registers, t->fma, t->bf16,
            t->tiles, (long long)t->l1, (long long)t->l2, t->cost->name);
  uintptr_t inside[] = {(uintptr_t)&find_build_id, (uintptr_t)&conv_plan}; /* emitters; planners */
  for (int i = 0; i < 2; i++) {
    BuildId b = {inside[i], out, false};
    dl_iterate_phdr(find_build_id, &b);
    if (!b.found) sb_printf(out, "%s", __DATE__ __TIME__);
  }
  sb_put(out, "\n", 1);
}
