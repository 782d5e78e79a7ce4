/* The formatter of model files. It works on tokens and the gaps between them, so comments and line breaks
   stay where they are: two blanks a level of braces, no blanks at line ends, at most one blank line, one
   blank after a comma and around = and comparisons, none inside parentheses. Wider gaps are the author's
   alignment and stay, as does the indentation of lines inside parentheses. */
#include "frontend/fmt.h"
#include "frontend/ast.h"

#include <string.h>

typedef struct {
  const Source *src;
  StrBuf *out;
  char open[256]; /* the brackets around, innermost last */
  int nopen;
} Format;

static bool is(const Token *t, const char *word) { return t->kind == TK_PUNCT && name_is(t->text, word); }

static bool any(const Token *t, const char *const *words, int n) {
  for (int i = 0; i < n; i++)
    if (is(t, words[i])) return true;
  return false;
}

/* Blanks between two tokens of a line: at least, and exactly when the author left fewer than two. */
static int blanks_between(const Token *a, const Token *b, int had) {
  static const char *const spaced[] = {"=", "==", "!=", "<=", ">=", "<", ">"}, *const opening[] = {"(", "["},
                           *const closing[] = {")", "]", ",", ";"};
  if (any(a, opening, 2) || any(b, closing, 4)) return 0;
  if (is(a, ",") || any(a, spaced, 7) || any(b, spaced, 7) || is(a, "{") || is(b, "{") || is(b, "}"))
    return had > 1 ? had : is(a, "{") && is(b, "}") ? had > 0 : 1;
  return had;
}

static void put_blanks(Format *f, int n) {
  while (n-- > 0) sb_put(f->out, " ", 1);
}

static void bracket(Format *f, const Token *t) {
  if (t->kind != TK_PUNCT || t->text[1]) return;
  char c = t->text[0];
  if (strchr("{([", c) && f->nopen < (int)sizeof f->open) f->open[f->nopen++] = c;
  if (strchr("})]", c) && f->nopen) f->nopen--;
}

static int indent(const Format *f) {
  int n = 0;
  for (int i = 0; i < f->nopen; i++) n += f->open[i] == '{';
  return 2 * n;
}

/* The gap before a token: comments and line breaks stay. next: the token, or NULL at the end of the file. */
static void gap(Format *f, const Token *prev, int from, int to, const Token *next) {
  const char *s = f->src->text;
  bool inside = f->nopen && f->open[f->nopen - 1] != '{';
  int breaks = prev ? 0 : 1, had = 0, column = 0;
  for (int i = from; i < to; i++) {
    if (s[i] == '\n') {
      breaks++;
      had = column = 0;
      if (breaks <= 2 && f->out->n) sb_put(f->out, "\n", 1);
    } else if (s[i] == '#') {
      int end = i;
      while (end < to && s[end] != '\n') end++;
      int stop = end;
      while (stop > i && strchr(" \t\r", s[stop - 1])) stop--;
      if (breaks) put_blanks(f, inside ? column : indent(f));
      else put_blanks(f, had ? had : 1);
      sb_put(f->out, s + i, (size_t)(stop - i));
      i = end - 1;
      breaks = 0;
    } else {
      had++;
      column++;
    }
  }
  if (!next) return;
  int less = is(next, "}") && f->nopen && f->open[f->nopen - 1] == '{' ? 2 : 0;
  bool goes_on =
      prev && prev->kind == TK_PUNCT && !strchr("{})]", prev->text[0]); /* after = + , and the like */
  if (breaks) put_blanks(f, inside || goes_on ? column : indent(f) - less);
  else if (prev) put_blanks(f, blanks_between(prev, next, had));
}

static bool same_tokens(Arena *a, Diags *d, const Token *was, const StrBuf *out) {
  Source now = {"formatted", out->s ? out->s : "", out->n};
  const Token *is = lex(a, d, intern_new(a, NULL), &now);
  for (;; was++, is++) {
    if (was->kind != is->kind || !name_is(was->text, is->text) || was->num != is->num) return false;
    if (was->kind == TK_END) return true;
    if (was->nl != is->nl) return false;
  }
}

static void format(Arena *a, Diags *d, const Source *src, StrBuf *out) {
  const Token *t = lex(a, d, intern_new(a, NULL), src), *first = t, *prev = NULL;
  Format f = {.src = src, .out = out};
  int at = 0;
  for (; t->kind != TK_END; prev = t, t++) {
    gap(&f, prev, at, t->begin, t);
    sb_put(out, src->text + t->begin, (size_t)(t->end - t->begin));
    bracket(&f, t);
    at = t->end;
  }
  gap(&f, prev, at, (int)src->len, NULL);
  while (out->n && strchr(" \n", out->s[out->n - 1])) out->s[--out->n] = 0;
  if (out->n) sb_put(out, "\n", 1);
  if (!same_tokens(a, d, first, out)) bug("the formatter changed the tokens of %s", src->path);
}

bool frontend_format(Arena *a, Diags *d, const Source *src, StrBuf *out) {
  jmp_buf trap, **slot = diags_trap(d), *saved = *slot;
  *slot = &trap;
  bool ok = !setjmp(trap);
  if (ok) format(a, d, src, out);
  *slot = saved;
  return ok;
}
