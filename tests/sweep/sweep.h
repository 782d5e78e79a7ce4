/* The compiler against itself: a case is a random graph or model file and one way to compute it twice. sweep.c draws,
   counts and keeps; variants.c and values.c hold the ways; commands.c runs jepac's commands in this process. */
#ifndef JEPAC_TESTS_SWEEP_H
#define JEPAC_TESTS_SWEEP_H

#include "ir/graph/graph.h"

typedef struct {
  Arena *a;
  const char *file, *folder; /* what was drawn; an empty folder */
  uint64_t state;            /* of the check's own draws */
} Case;

int64_t case_draw(Case *c, int64_t n); /* 0..n-1 */

/* What is wrong, or NULL. A check may end the process. */
typedef const char *CaseCheck(Case *c);
typedef enum {
  OF_MODEL,
  OF_GRAPH,
  OF_SPECIAL
} CaseKind; /* special: graphs, half of them with numbers of every kind */
typedef struct {
  const char *name;
  CaseKind kind;
  CaseCheck *check;
  const char *doc;
} Variant;
extern const Variant variants[]; /* ends with a NULL name */

/* ---- commands.c ---- */
/* jepac with these words, separated by single spaces; its status. */
Status case_jepac(Case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The end of what commands have printed so far, for a message. */
const char *case_said(Case *c);
/* NULL where two tensor files have the same bytes; where single elements differ by more than rounding explains, of a
   result's size. */
const char *case_same(Case *c, const char *a, const char *b);
const char *case_near(Case *c, const char *a, const char *b);

/* ---- smaller.c ---- */
/* Writes ever smaller graphs to trial, and those that fail to file. How many did. */
int case_smaller(const char *file, const char *trial, bool (*fails)(void *of), void *of);

/* ---- values.c: graphs in this process ---- */
CaseCheck values_interp, values_special, values_passes, values_library;

#endif
