/* Services every module shares: status codes, arenas, growable arrays, source positions, diagnostics. */
#ifndef JEPAC_IR_BASE_H
#define JEPAC_IR_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Process exit codes; functions that can fail on user input return one of these. */
typedef enum {
  ST_OK = 0,
  ST_MODEL = 1,     /* error in a model or IR file */
  ST_USAGE = 2,     /* wrong command line */
  ST_FILE = 3,      /* file or data error */
  ST_NONFINITE = 4, /* NaN or infinity in training */
  ST_VERIFY = 5,    /* two evaluations disagree */
  ST_BUDGET = 6,    /* does not fit --max-memory */
  ST_MONITOR = 7,   /* a recipe's monitor tripped */
  ST_RANK = 8,      /* a process of the run does not answer */
  ST_BUG = 70       /* error in jepac itself */
} Status;

static inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t abs64(int64_t a) { return a < 0 ? -a : a; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- arenas: everything allocated from one is freed together ---- */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *a);
void arena_reset(Arena *a);            /* frees everything allocated, keeps the memory for reuse */
void *arena_alloc(Arena *a, size_t n); /* zeroed, 16-byte aligned; never NULL (ir/memory.h) */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define NEW(A, T) ((T *)arena_alloc((A), sizeof(T)))
#define NEWN(A, T, N) ((T *)arena_alloc((A), sizeof(T) * (size_t)(N)))

/* ---- growable arrays living in an arena: VEC(int) v = {0}; vec_push(arena, &v, 3); v.v[i], v.n ---- */
#define VEC(T)                                                                                               \
  struct {                                                                                                   \
    T *v;                                                                                                    \
    int n, cap;                                                                                              \
  }
void *vec_grow_(Arena *a, void *p, int n, int *cap, size_t elem);
#define vec_push(A, V, X)                                                                                    \
  ((V)->v = vec_grow_((A), (V)->v, (V)->n, &(V)->cap, sizeof *(V)->v), (V)->v[(V)->n] = (X), (V)->n++)

/* ---- growable text (malloc'ed; free with sb_free) ---- */
typedef struct {
  char *s; /* NUL-terminated, or NULL when empty */
  size_t n, cap;
} StrBuf;
void sb_printf(StrBuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_put(StrBuf *b, const char *s, size_t n);
void sb_free(StrBuf *b);
/* Whatever is shown of what a stranger wrote goes through these (ir/shown.c): characters that a terminal would obey become
   \x1b or \u202e; tabs and line ends stay. */
enum { SHOWN_CHAR = 12 };
int shown_char(const char *s, size_t n,
               char out[SHOWN_CHAR]); /* of n > 0 bytes the first character; how many it has */
void sb_put_shown(StrBuf *b, const char *s, size_t n);
void fput_shown(const char *s, size_t n, FILE *f);

/* ---- source positions ---- */
typedef struct Source {
  const char *path; /* as given by the user */
  const char *text; /* whole file, NUL-terminated; NULL for positions read back from an IR dump */
  size_t len;
} Source;

typedef struct Loc {
  const Source *src;
  int line, col;        /* 1-based; col 0 = unknown */
  const struct Loc *up; /* call site this position was elaborated from, or NULL */
  const char *
      module; /* path of the model instance it belongs to ("encoder.layer1.0"), NULL where that is not known */
} Loc;

/* Reads a whole file, or at most SOURCE_BYTES of a pipe or device, into the arena; NULL (errno set) on
   failure. source_read_most: EFBIG where it has that many bytes. */
enum { SOURCE_BYTES = 1 << 26 };
Source *source_read(Arena *a, const char *path);
Source *source_read_most(Arena *a, const char *path, size_t most);
enum { TEXT_MARK = 3 };                /* bytes of the mark that some editors begin UTF-8 with */
bool source_has_mark(const Source *s); /* it is not part of the text */

/* ---- diagnostics: collected, then printed as "file:line:col: error: text", source line, caret, notes ---- */
typedef struct Diags Diags;
typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } DiagKind;
Diags *diags_new(Arena *a);
/* loc may be NULL. A note belongs to the message before it. A warning is kept once; of errors and of warnings the first
   MOST_MESSAGES are kept, the others counted. */
enum { MOST_MESSAGES = 50 };
void diag_report(Diags *d, DiagKind kind, const Loc *loc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define diag_error(D, L, ...) diag_report((D), DIAG_ERROR, (L), __VA_ARGS__)
#define diag_warning(D, L, ...) diag_report((D), DIAG_WARNING, (L), __VA_ARGS__)
#define diag_note(D, L, ...) diag_report((D), DIAG_NOTE, (L), __VA_ARGS__)
/* Reports the first byte that no text holds: a control character, a carriage return alone. */
bool source_is_text(const Source *s, Diags *d);
int diags_errors(const Diags *d);
const char *diags_first(const Diags *d); /* text of the first error, or NULL */
typedef struct {
  DiagKind kind;
  const Loc *loc; /* NULL: no place */
  const char *text;
} Diag;
bool diags_at(const Diags *d, int i, Diag *out); /* notes follow what they belong to; false after the last */
void diags_print(const Diags *d, FILE *f);
void diags_print_json(const Diags *d, FILE *f); /* one object a line: kind, text, file, line, col */
/* An error without a place in either form, where there is no memory to report it. */
void diag_print_last(const char *text, bool json, FILE *f);

/* Non-local exit for parsers and elaborators: the public entry point of a module saves *diags_trap(d), points
   it at its own jmp_buf, and restores it before returning; anything below calls diag_throw after reporting. */
jmp_buf **diags_trap(Diags *d);
_Noreturn void diag_throw(Diags *d);

/* An error in jepac itself: prints the message and exits 70. */
_Noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Bytes that follow the first of a UTF-8 character of several bytes; 0 where none starts. */
int utf8_more(const char *s);
bool text_is_utf8(const char *s);
/* The end of path with its last folder: a model and a file it uses may have one name. */
const char *path_tail(const char *path);
/* Nearest of n candidate names by edit distance (for "did you mean"), or NULL when none is close. */
const char *nearest_name(const char *name, const char *const *cand, int n);
/* For people: 12345678 -> "12.3 M", bytes -> "11.8 MiB". */
const char *human_count(Arena *a, double n);
const char *human_bytes(Arena *a, int64_t n);
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
double now_seconds(void); /* monotonic clock */

#endif
