/* A shim to preload: one allocation fails, or it and all after it. Counted are those called from jepac's own objects
   and from the libraries named in OOM_LIBS (separated by colons); LLVM's, which cannot fail in order, are not.
     OOM_AT=N      the Nth fails
     OOM_FROM=N    the Nth and all later ones fail
     OOM_THREAD=N  no more than N - 1 threads live at once beside the first
     OOM_COUNT=F   writes to F how many allocations there were and threads lived at once */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
static struct {
  uintptr_t from, to;
} code[MOST];
static atomic_int ncode;
static atomic_long count, threads, alive; /* threads: as many lived at once */
static long at, from, at_thread;
static const char *libs, *count_to;

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t), __libc_free(void *);

static int wanted(const char *path) {
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  if (!*path) return 1; /* the program itself */
  if (!strncmp(name, "jepac", 5) || !strncmp(name, "libjepac", 8)) return 1;
  for (const char *p = libs; p && *p; p += strcspn(p, ":"), p += *p == ':')
    if (!strncmp(name, p, strcspn(p, ":"))) return 1;
  return 0;
}

static int look(struct dl_phdr_info *o, size_t size, void *of) {
  (void)size, (void)of;
  if (!wanted(o->dlpi_name)) return 0;
  for (int i = 0; i < o->dlpi_phnum && ncode < MOST; i++) {
    const ElfW(Phdr) *h = &o->dlpi_phdr[i];
    if (h->p_type != PT_LOAD || !(h->p_flags & PF_X)) continue;
    code[ncode].from = o->dlpi_addr + h->p_vaddr;
    code[ncode].to = code[ncode].from + h->p_memsz;
    ncode++;
  }
  return 0;
}

static void finish(void) {
  FILE *f = count_to ? fopen(count_to, "w") : NULL;
  if (!f) return;
  fprintf(f, "%ld %ld\n", (long)count, (long)threads);
  fclose(f);
}

static long number(const char *name) { return getenv(name) ? atol(getenv(name)) : 0; }

__attribute__((constructor)) static void begin(void) {
  libs = getenv("OOM_LIBS");
  count_to = getenv("OOM_COUNT");
  at = number("OOM_AT"), from = number("OOM_FROM"), at_thread = number("OOM_THREAD");
  dl_iterate_phdr(look, NULL);
  unsetenv("LD_PRELOAD"); /* commands that the program runs have memory */
  atexit(finish);
}

void *dlopen(const char *path, int flags) {
  static void *(*real)(const char *, int);
  if (!real) real = (void *(*)(const char *, int))(uintptr_t)dlsym(RTLD_NEXT, "dlopen");
  void *module = real(path, flags);
  ncode = 0;
  dl_iterate_phdr(look, NULL);
  return module;
}

static int fails(const void *caller) {
  uintptr_t c = (uintptr_t)caller;
  int ours = 0;
  for (int i = 0; i < ncode && !ours; i++) ours = c >= code[i].from && c < code[i].to;
  if (!ours) return 0;
  long n = ++count;
  if (n != at && !(from && n >= from)) return 0;
  errno = ENOMEM;
  return 1;
}

#define HERE fails(__builtin_return_address(0))
void *malloc(size_t n) { return HERE ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return HERE ? NULL : __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return HERE ? NULL : __libc_realloc(p, n); }
int posix_memalign(void **p, size_t to, size_t n) {
  if (HERE || !(*p = __libc_memalign(to, n))) return ENOMEM;
  return 0;
}
void *aligned_alloc(size_t to, size_t n) { return HERE ? NULL : __libc_memalign(to, n); }

char *strdup(const char *s) {
  char *p = HERE ? NULL : __libc_malloc(strlen(s) + 1);
  return p ? strcpy(p, s) : NULL;
}

FILE *open_memstream(char **p, size_t *n) {
  static FILE *(*real)(char **, size_t *);
  if (HERE) return NULL;
  if (!real) real = (FILE * (*)(char **, size_t *))(uintptr_t)dlsym(RTLD_NEXT, "open_memstream");
  return real(p, n);
}

int vasprintf(char **p, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  *p = HERE || n < 0 ? NULL : __libc_malloc((size_t)n + 1);
  return *p ? vsnprintf(*p, (size_t)n + 1, fmt, ap) : -1;
}

void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t where) {
  static void *(*real)(void *, size_t, int, int, int, off_t);
  if (fd < 0 && HERE) return (void *)-1;
  if (!real) real = (void *(*)(void *, size_t, int, int, int, off_t))(uintptr_t)dlsym(RTLD_NEXT, "mmap");
  return real(p, n, prot, flags, fd, where);
}

typedef struct {
  void *(*fn)(void *);
  void *of;
} Start;

static void gone(void *none) {
  (void)none;
  alive--;
}

static void *live(void *of) {
  Start s = *(Start *)of;
  void *result;
  __libc_free(of);
  pthread_cleanup_push(gone, NULL);
  result = s.fn(s.of);
  pthread_cleanup_pop(1);
  return result;
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *of) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  long n = ++alive;
  if (n > threads) threads = n;
  if (at_thread && n >= at_thread) {
    alive--;
    return EAGAIN;
  }
  if (!real)
    real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))(uintptr_t)dlsym(
        RTLD_NEXT, "pthread_create");
  Start *s = __libc_malloc(sizeof *s);
  *s = (Start){fn, of};
  return real(t, a, live, s);
}
