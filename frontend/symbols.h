/* What an editor asks about a model file: the names in its text, what they mean and where that is declared, and the
   values they had when the file was elaborated. */
#ifndef JEPAC_FRONTEND_SYMBOLS_H
#define JEPAC_FRONTEND_SYMBOLS_H

#include "ir/base.h"

/* Given to frontend_load (FrontendOptions.symbols), which fills it; elaborating entries and the training step adds
   values. Lives in the model's arena, and does not outlive it. */
typedef struct Symbols Symbols;
Symbols *symbols_new(Arena *a);

typedef struct {
  const Source *src; /* NULL: nowhere */
  int begin, end;    /* bytes */
} Span;

typedef struct {
  Span at, decl;
  const char *text; /* "h: f32[4,8]", "fn forward(x)": one line of code; NULL: nothing is known */
  const char *doc;  /* a sentence, or NULL */
} Symbol;

/* False where the main file could not be parsed. */
bool symbols_known(const Symbols *s);
/* The name at a byte of the main file; false: there is none. */
bool symbols_at(Symbols *s, int offset, Symbol *out);
/* Every place of the main file that means what the name at offset does; 0 where that is declared elsewhere. */
int symbols_same(Symbols *s, int offset, Span **out);
/* What may be written at offset, after `of.` where of is no NULL. */
typedef struct {
  const char *name, *detail; /* detail: "f32[4,8]", "fn", or NULL */
} Candidate;
int symbols_candidates(Symbols *s, int offset, const char *of, Candidate **out);

#endif
