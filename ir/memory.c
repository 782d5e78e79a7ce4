/* The policy of memory.h. What is to be undone is a list on each thread; the frames it lies in still stand when it is
   called, since the jump comes after. */
#include "ir/memory.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Rescue {
  jmp_buf at;
  struct Rescue *outer;
  Undo base;
  bool keep;
  char *why;
} Rescue;

static _Thread_local Rescue *innermost;
static _Thread_local Undo *newest;

void undo_push(Undo *u, void (*fn)(void *), void *of) {
  *u = (Undo){.older = newest, .fn = fn, .of = of};
  if (newest) newest->newer = u;
  newest = u;
}

void undo_drop(Undo *u) {
  if (newest != u && !u->newer) return;
  if (u->newer) u->newer->older = u->older;
  else newest = u->older;
  if (u->older) u->older->newer = u->newer;
  *u = (Undo){0};
}

bool undo_wanted(void) { return innermost && innermost->keep; }

/* To where the list stood before `base`. */
static void undo_to(Undo *base, bool call) {
  for (Undo *u; (u = newest) != base;) {
    void (*fn)(void *) = u->fn;
    void *of = u->of;
    undo_drop(u);
    if (call && fn) fn(of);
  }
}

static void nothing(void *of) { (void)of; }

/* ---- numbers ---- */
/* A host may have chosen a decimal comma; texts here have points. */
typedef struct {
  locale_t own, before;
} Numbers;

static bool points_begin(Numbers *n) {
  *n = (Numbers){0};
  if (!strcmp(nl_langinfo(RADIXCHAR), ".")) return true;
  locale_t copy = duplocale(uselocale((locale_t)0));
  if (!copy) return false;
  n->own = newlocale(LC_NUMERIC_MASK, "C", copy);
  if (!n->own) {
    freelocale(copy);
    return false;
  }
  n->before = uselocale(n->own);
  return true;
}

static void points_end(const Numbers *n) {
  if (!n->own) return;
  uselocale(n->before);
  freelocale(n->own);
}

static bool rescue_within(void (*fn)(void *), void *of, bool keep, char why[REASON_TEXT]) {
  Rescue r = {.outer = innermost, .keep = innermost ? innermost->keep : keep, .why = why};
  undo_push(&r.base, nothing, NULL);
  innermost = &r;
  bool ok = !setjmp(r.at);
  if (ok) fn(of);
  else innermost = &r;
  if (!r.outer) undo_to(&r.base, false);
  undo_drop(&r.base);
  innermost = r.outer;
  return ok;
}

bool rescue(void (*fn)(void *), void *of, bool keep, char why[REASON_TEXT]) {
  Numbers n;
  if (!points_begin(&n)) {
    snprintf(why, REASON_TEXT, "out of memory: no room for a locale");
    return false;
  }
  bool ok = rescue_within(fn, of, keep, why);
  points_end(&n);
  return ok;
}

_Noreturn void out_of(const char *reason) {
  Rescue *r = innermost;
  char text[REASON_TEXT];
  snprintf(text, sizeof text, "%s", reason);
  undo_to(r ? &r->base : NULL, true);
  if (r) {
    memcpy(r->why, text, sizeof text);
    longjmp(r->at, 1);
  }
  fprintf(stderr, "jepac: error: %s\n", text);
  exit(ST_BUDGET);
}

_Noreturn void out_of_memory(const char *what, size_t bytes) {
  char text[REASON_TEXT], size[48] = "";
  if (bytes) snprintf(size, sizeof size, " (%zu bytes)", bytes);
  snprintf(text, sizeof text, "out of memory: no room for %s%s", what ? what : "the compiler's data", size);
  out_of(text);
}

_Noreturn void out_of_threads(const char *what, int number, int of, int error) {
  char text[REASON_TEXT];
  snprintf(text, sizeof text, "cannot start thread %d of %d for %s: %s", number, of, what, strerror(error));
  out_of(text);
}

void *xmalloc(size_t n, const char *what) {
  void *p = malloc(n ? n : 1);
  if (!p) out_of_memory(what, n);
  return p;
}

void *xcalloc(size_t n, size_t size, const char *what) {
  void *p = calloc(n ? n : 1, size);
  if (!p) out_of_memory(what, n * size);
  return p;
}

void *xrealloc(void *p, size_t n, const char *what) {
  void *q = realloc(p, n);
  if (!q) out_of_memory(what, n);
  return q;
}

void reserve(size_t n, const char *what) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) out_of_memory(what, n);
  munmap(p, n);
}
