/* Want of memory or of threads has one way: whoever cannot get what it needs calls out_of_memory() or out_of_threads(),
   which do not return. They unwind to the rescue() of this thread: the program's main function and the functions of
   libjepac, which answer ST_BUDGET, and worker threads, whose waiting thread then says the same. Outside of one they
   print the reason and exit with ST_BUDGET. */
#ifndef JEPAC_IR_MEMORY_H
#define JEPAC_IR_MEMORY_H

#include "ir/base.h"

enum { REASON_TEXT = 160 };

/* what: "the interpreter's values", or NULL for the compiler's own data. bytes 0: not known. */
_Noreturn void out_of_memory(const char *what, size_t bytes);
_Noreturn void out_of_threads(const char *what, int number, int of, int error);
/* Gives up for a reason that a rescue() on another thread reported. */
_Noreturn void out_of(const char *reason);

/* As those of the C library, but never NULL; xcalloc also takes 0 elements. */
void *xmalloc(size_t n, const char *what);
void *xcalloc(size_t n, size_t size, const char *what);
void *xrealloc(void *p, size_t n, const char *what);
/* Gets and gives back so many bytes: for what follows and cannot fail in order. */
void reserve(size_t n, const char *what);

/* Calls fn(of), in which numbers are read and printed with a decimal point whatever the host's locale says; each thread's
   work runs in one. False where it gave up: why then holds the reason. keep: the process goes on, so arenas made on the way
   are freed; the other allocations of the code that was left are lost. Otherwise they stay, as other threads may use
   them until the process ends. Inside of another one that one's keep holds. */
bool rescue(void (*fn)(void *), void *of, bool keep, char why[REASON_TEXT]);

/* What must not stay behind when code between push and drop gives up: calls fn(of) first. Same thread. */
typedef struct Undo {
  struct Undo *older, *newer;
  void (*fn)(void *);
  void *of;
} Undo;
void undo_push(Undo *u, void (*fn)(void *), void *of);
void undo_drop(Undo *u); /* nothing where it was not pushed; {0} */
bool undo_wanted(void);  /* inside of a rescue() that keeps the process */

#endif
