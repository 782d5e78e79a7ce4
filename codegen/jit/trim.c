/* Memory that compiling needed and running does not. */
#define _GNU_SOURCE
#include "codegen/jit/jit.h"

#include <dlfcn.h>
#include <link.h>
#include <llvm-c/Core.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

/* Read-only pages of the library at `base` leave this process; they come back from its file when touched. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *base) {
  (void)size;
  if ((void *)info->dlpi_addr != base) return 0;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    if (h->p_type != PT_LOAD || h->p_flags & PF_W) continue;
    uintptr_t from = (info->dlpi_addr + h->p_vaddr + page - 1) / page * page;
    uintptr_t to = (info->dlpi_addr + h->p_vaddr + h->p_filesz) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED); /* only advice */
  }
  return 1;
}

#if defined(__SANITIZE_ADDRESS__)
enum { OWN_MALLOC = false };
#elif defined(__has_feature)
enum { OWN_MALLOC = !__has_feature(address_sanitizer) };
#else
enum { OWN_MALLOC = true };
#endif

void codegen_trim(void) {
  Dl_info at;
  /* Under AddressSanitizer nothing else calls glibc's malloc, so this would set it up: two threads at once, which it is not
     made for, and each would leave the main arena at its end ("a->attached_threads > 0"). */
  if (OWN_MALLOC) malloc_trim(0);
  if (dladdr((void *)(uintptr_t)LLVMContextCreate, &at) && at.dli_fbase)
    dl_iterate_phdr(drop_pages, at.dli_fbase);
}
