/* Pieces of the text form of kernels, shared by the program's printer and reader and by the kinds. */
#ifndef JEPAC_IR_KERNEL_TEXT_H
#define JEPAC_IR_KERNEL_TEXT_H

#include "ir/kernel/kernel.h"

/* ---- printing ---- */
typedef struct {
  StrBuf *out;
  const Program *p; /* NULL: by itself, as kernel_text() has it */
  const char *step; /* of a plan */
} KText;

/* The shortest text that reads back as v. */
void put_imm(StrBuf *out, Imm v);
void put_list(StrBuf *out, const char *name, const int64_t *v, int n); /* " name=[1,2]" */
/* "  # %17 at %12 resnet.jepa:31 ; grad" */
void put_where(const KText *t, Val val, const Loc *loc, Role role);

/* ---- reading: what cannot be read ends in kr_fail(), which does not return ---- */
typedef struct {
  Arena *a;
  Diags *d;
  const Source *src;
  const char *p, *line_start;
  int line;
  Program *prog;
  const Graph *g;
  int nvalue;
  const char *step; /* the name of a step, as written */
} KReader;

_Noreturn __attribute__((format(printf, 2, 3))) void kr_fail(KReader *r, const char *fmt, ...);
void kr_blanks(KReader *r);
bool kr_eat(KReader *r, const char *word);
void kr_expect(KReader *r, const char *word);
bool kr_prefix(KReader *r, const char *prefix); /* directly followed by a number: buf12, %7, i3, k4 */
int64_t kr_number(KReader *r);
int kr_small(KReader *r, int64_t lo, int64_t hi, const char *what);
double kr_real(KReader *r);
Imm kr_imm(KReader *r);
const char *kr_word(KReader *r, const char *what);
const char *kr_quoted(KReader *r);
int kr_choice(KReader *r, const char *const *names, int n, const char *what);
DType kr_dtype(KReader *r);
int kr_list(KReader *r, int64_t *v, int max); /* [a,b,...]; how many */
Val kr_value(KReader *r);                     /* %17, or -1 */
/* put_where()'s text and the end of the line. */
void kr_where(KReader *r, Val *val, const Loc **loc, Role *role);
void kr_end_line(KReader *r);

/* ---- fields ----
   What tells one kernel of a kind from another is described once, as fields; printing, reading and keys follow from
   it. A field has one member or several, which lie anywhere in Kernel; one that appears again in a later field must
   have the same value there. */
typedef enum {
  FIELD_STEP,   /* conv2d.pack: a word of `words` where there is a member, and the step of the plan */
  FIELD_WORD,   /* a word of `words` */
  FIELD_DTYPE,  /* f32, or name f32 */
  FIELD_QUOTED, /* "text" */
  FIELD_NUMBER, /* name=3 */
  FIELD_LIST    /* name=[1,2] */
} FieldForm;

typedef struct {
  uint16_t at, size; /* in Kernel; size 0: none */
} Member;
#define MEMBER(M) {offsetof(Kernel, M), sizeof(((Kernel *)0)->M)}

enum { FIELD_MEMBERS = 8 };
typedef struct {
  FieldForm form;
  const char *name;
  Member member[FIELD_MEMBERS];
  const char *const *words;
  int nword;
  bool optional; /* not written where all members are `fallback` */
  int64_t fallback;
  Member count; /* of a list: member[0] is the first of so many elements; not written where that is 0 */
  int most;
} Field;

void fields_print(const KText *t, const Field *f, int n, const Kernel *k);
void fields_read(KReader *r, const Field *f, int n, Kernel *k);
/* All members as numbers, the order of fields; how many. */
enum { FIELD_NUMBERS = 64 };
int fields_numbers(const Field *f, int n, const Kernel *k, int64_t v[FIELD_NUMBERS]);

#endif
