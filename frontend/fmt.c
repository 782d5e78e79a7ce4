/* The formatter of model files. It works on tokens and the gaps between them, so comments and line breaks
   stay where they are: two blanks a level of braces, no blanks at line ends, at most one blank line, one
   blank after a comma and the colon of a type and around = and comparisons, none inside parentheses. A wider gap stays where it aligns a
   word with one of a line near it, before a comment, and as the indentation of lines inside parentheses. */
#include "frontend/fmt.h"
#include "frontend/ast.h"

#include <string.h>

enum { NEAR = 40, FAR = 1000, ROUNDS = 20 }; /* lines; words; how often gaps are looked at again */

typedef struct {
  int line, column; /* in characters */
  bool gap;         /* blanks before it, and not at its line's beginning */
} Place;

typedef struct {
  const Source *src;
  StrBuf *out;
  const Token *token; /* all of them, their number and their places */
  int ntoken;
  const Place *place;
  char open[256]; /* the brackets around, innermost last */
  int nopen;
} Format;

static bool is(const Token *t, const char *word) { return t->kind == TK_PUNCT && name_is(t->text, word); }

static bool any(const Token *t, const char *const *words, int n) {
  for (int i = 0; i < n; i++)
    if (is(t, words[i])) return true;
  return false;
}

/* ---- alignment ---- */
/* Of each token; what an empty line parts is not near. */
static Place *places(Arena *a, const Source *src, const Token *t) {
  int n = 0, at = 0, line = 0, column = 0;
  while (t[n].kind != TK_END) n++;
  Place *p = NEWN(a, Place, n + 1);
  bool blank = true, start = true;
  for (int i = 0; i < n; i++) {
    bool gap = false;
    for (; at < t[i].begin; at++) {
      char c = src->text[at];
      gap = c == ' ';
      if (c == '\n') {
        line += blank ? NEAR + 1 : 1;
        column = 0;
        blank = start = true;
        continue;
      }
      if (c != ' ' && c != '\t' && c != '\r') blank = false;
      column += ((unsigned char)c & 0xc0) != 0x80;
    }
    p[i] = (Place){line, column, gap && !start};
    blank = start = false;
    for (; at < t[i].end; at++) column += ((unsigned char)src->text[at] & 0xc0) != 0x80;
  }
  p[n] = (Place){.line = -1};
  return p;
}

/* Signs with their like, words with words. */
static bool alike(const Token *a, const Token *b) {
  return a->kind == TK_PUNCT || b->kind == TK_PUNCT ? a->kind == b->kind && name_is(a->text, b->text) : true;
}

/* Is there its like in the same column of a line near token i's? */
static bool aligned(const Token *t, const Place *p, int n, int i) {
  for (int way = -1; way <= 1; way += 2)
    for (int k = i + way; k >= 0 && k < n && (p[k].line - p[i].line) * way <= NEAR && (k - i) * way <= FAR;
         k += way)
      if (p[k].line != p[i].line && p[k].column == p[i].column && p[k].gap && alike(&t[i], &t[k]))
        return true;
  return false;
}

/* ---- gaps ---- */
/* Blanks between two tokens of a line: at least, and exactly when the author left fewer than two. index: in brackets,
   where a colon parts numbers; elsewhere a type follows. */
static int blanks_between(const Token *a, const Token *b, int had, bool index) {
  static const char *const spaced[] = {"=", "==", "!=", "<=", ">=", "<", ">"}, *const opening[] = {"(", "["},
                           *const closing[] = {")", "]", ",", ";"};
  if (any(a, opening, 2) || any(b, closing, 4) || (is(b, ":") && !index)) return 0;
  if (is(a, ":") && !index) return had > 1 ? had : 1;
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
  else if (prev) {
    if (had > 1 && !aligned(f->token, f->place, f->ntoken, (int)(next - f->token))) had = 1;
    put_blanks(f, blanks_between(prev, next, had, f->nopen && f->open[f->nopen - 1] == '['));
  }
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
  parse_file(a, d, intern_new(a, NULL), src); /* what has no syntax has no layout */
  const Token *t = lex(a, d, intern_new(a, NULL), src), *first = t, *prev = NULL;
  int n = 0, at = 0;
  while (t[n].kind != TK_END) n++;
  Format f = {.src = src, .out = out, .token = t, .ntoken = n, .place = places(a, src, t)};
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
  if (ok) {
    format(a, d, src, out);
    bool same = false; /* a gap that has become narrow may have been what another was aligned with */
    for (int round = 0; round < ROUNDS && !same; round++) {
      Source now = {src->path, arena_strndup(a, out->s ? out->s : "", out->n), out->n};
      out->n = 0;
      format(a, d, &now, out);
      same = out->n == now.len;
    }
  }
  *slot = saved;
  return ok;
}
