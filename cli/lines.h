/* Model lines, or paths of module instances: what each value, kernel and byte of a program is shown under. */
#ifndef JEPAC_CLI_LINES_H
#define JEPAC_CLI_LINES_H

#include "ir/kernel/kernel.h"

typedef struct {
  const char *path; /* of the file, or of the instance; NULL: none known (number 0 of the table) */
  int line;
  const Source *src;
  int parent; /* the instance it is part of; -1: none */
} ModelLine;

typedef struct {
  Arena *arena;
  bool modules;
  VEC(ModelLine) v;
} Lines;

Lines *lines_new(Arena *a);
Lines *lines_new_modules(Arena *a);
/* The number of the line that loc belongs to: the innermost call site outside the language's own library; of modules, of
   the innermost instance. */
int lines_find(Lines *t, const Loc *loc);
/* What counts for i counts for this one too: the instance that i is part of; -1: none. */
int lines_parent(const Lines *t, int i);
const char *lines_kind(const Lines *t);        /* "line" or "module", for a heading */
int lines_width(const Lines *t);               /* of the longest name, at least that of the heading */
const char *lines_name(const Lines *t, int i); /* "nn/resnet.jepa:31", "encoder.layer1.0.conv1" */
const char *lines_text(const Lines *t,
                       int i); /* the line as written, without its indentation; "" when unknown */
/* Numbers in order of file and line; of modules, each before its parts. */
int *lines_order(const Lines *t);

const char *role_word(Role r); /* "forward", "gradient", "update" */

/* ---- what a program's buffers and kernels cost ---- */
/* Kernel that first writes and kernel that last uses each root buffer; inputs and states live always: -1 and
   kernel.n. Arrays have one entry a buffer. */
void program_lifetimes(const Program *p, int *first, int *last);
/* The value a buffer belongs to, an input's own value for inputs; -1 for temporaries of kernels. */
Val program_buf_val(const Program *p, int b);
/* Where row-major element i of a buffer lies in it (channel blocks). */
int64_t program_stored_at(const Buf *b, int64_t i);

/* The work of kernel k by the lines of its instructions. */
typedef struct {
  int line;
  Role role;
  double flops, bytes;
} Share;
int program_shares(const Program *p, int k, Lines *t, Share *out, int max);

#endif
