/* Lexer of model files: names, numbers, strings, punctuation; `#` starts a comment. Every token knows its
   position and whether a line break stands before it, since line breaks end statements. */
#include "frontend/ast.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1 << 20 };

struct Intern {
  Arena *arena;
  const Intern *base;
  const char **slot;
  int n, cap;
};

Intern *intern_new(Arena *a, const Intern *base) {
  Intern *t = NEW(a, Intern);
  t->arena = a;
  t->base = base;
  t->cap = 1024;
  t->slot = NEWN(a, const char *, t->cap);
  return t;
}

static const char **intern_slot(const char **slot, int cap, const char *s, size_t n) {
  size_t i = hash_bytes(s, n, 1) & (size_t)(cap - 1);
  while (slot[i] && (strlen(slot[i]) != n || memcmp(slot[i], s, n))) i = (i + 1) & (size_t)(cap - 1);
  return &slot[i];
}

const char *intern(Intern *t, const char *s, size_t n) {
  const char **known = t->base ? intern_slot(t->base->slot, t->base->cap, s, n) : NULL;
  if (known && *known) return *known;
  if (t->n * 2 >= t->cap) {
    const char **bigger = NEWN(t->arena, const char *, t->cap * 2);
    for (int i = 0; i < t->cap; i++)
      if (t->slot[i]) *intern_slot(bigger, t->cap * 2, t->slot[i], strlen(t->slot[i])) = t->slot[i];
    t->slot = bigger;
    t->cap *= 2;
  }
  const char **p = intern_slot(t->slot, t->cap, s, n);
  if (!*p) {
    *p = arena_strndup(t->arena, s, n);
    t->n++;
  }
  return *p;
}

typedef struct {
  Arena *arena;
  Diags *diags;
  Intern *names;
  const Source *src;
  size_t at, line_start;
  int line;
} Lexer;

static _Noreturn void lex_error(Lexer *x, size_t at, const char *text) {
  Loc *loc = NEW(x->arena, Loc);
  *loc = (Loc){x->src, x->line, (int)(at - x->line_start) + 1, NULL, NULL};
  diag_error(x->diags, loc, "%s", text);
  diag_throw(x->diags);
}

static char lex_peek(const Lexer *x, size_t ahead) {
  return x->at + ahead < x->src->len ? x->src->text[x->at + ahead] : '\0';
}

static bool is_name_start(char c) { return isalpha((unsigned char)c) || c == '_'; }
static bool is_name_char(char c) { return isalnum((unsigned char)c) || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Skips blanks and comments; true when a line break was among them. */
static bool lex_blank(Lexer *x) {
  bool nl = false;
  for (; x->at < x->src->len; x->at++) {
    char c = x->src->text[x->at];
    if (c == '#')
      while (x->at < x->src->len && x->src->text[x->at] != '\n') x->at++;
    c = lex_peek(x, 0);
    if (c == '\n') {
      nl = true;
      x->line++;
      x->line_start = x->at + 1;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      break;
    }
  }
  return nl;
}

/* NUM := digits ["." digits] [("e"|"E") ["+"|"-"] digits]; "1..2" is a range, so a point needs a digit after
   it. */
static void lex_number(Lexer *x, Token *t) {
  size_t start = x->at;
  while (is_digit(lex_peek(x, 0))) x->at++;
  if (lex_peek(x, 0) == '.' && is_digit(lex_peek(x, 1))) {
    x->at++;
    while (is_digit(lex_peek(x, 0))) x->at++;
  }
  if (lex_peek(x, 0) == 'e' || lex_peek(x, 0) == 'E') {
    size_t sign = lex_peek(x, 1) == '+' || lex_peek(x, 1) == '-';
    if (is_digit(lex_peek(x, 1 + sign))) {
      x->at += 1 + sign;
      while (is_digit(lex_peek(x, 0))) x->at++;
    }
  }
  if (x->at - start > 64) lex_error(x, start, "this number has too many digits");
  if (is_name_start(lex_peek(x, 0))) lex_error(x, start, "a name cannot start with a digit");
  char text[80];
  memcpy(text, x->src->text + start, x->at - start);
  text[x->at - start] = '\0';
  t->kind = TK_NUM;
  t->num = imm_parse(text, &(char *){NULL});
  if (!isfinite(t->num)) lex_error(x, start, "this number is too large");
}

static void lex_string(Lexer *x, Token *t) {
  size_t start = x->at++;
  while (x->at < x->src->len && x->src->text[x->at] != '"' && x->src->text[x->at] != '\n') x->at++;
  if (lex_peek(x, 0) != '"') lex_error(x, start, "this string has no closing quote");
  t->kind = TK_STR;
  t->text = intern(x->names, x->src->text + start + 1, x->at - start - 1);
  x->at++;
}

static void lex_punct(Lexer *x, Token *t) {
  static const char *const puncts[] = {"...", "..", "==", "!=", "<=", ">=", "{", "}", "(",
                                       ")",   "[",  "]",  ",",  ":",  ".",  "=", "<", ">",
                                       "+",   "-",  "*",  "/",  "@",  "^",  ";", "%"};
  for (size_t i = 0; i < sizeof puncts / sizeof *puncts; i++) {
    size_t n = strlen(puncts[i]);
    if (x->src->len - x->at >= n && !memcmp(x->src->text + x->at, puncts[i], n)) {
      t->kind = TK_PUNCT;
      t->text = intern(x->names, puncts[i], n);
      x->at += n;
      return;
    }
  }
  unsigned char c = (unsigned char)lex_peek(x, 0);
  char text[96];
  int more = utf8_more(x->src->text + x->at);
  if (more > 0)
    snprintf(text, sizeof text, "unexpected character '%.*s': names consist of a-z, A-Z, 0-9 and _", more + 1,
             x->src->text + x->at);
  else if (isprint(c)) snprintf(text, sizeof text, "unexpected character '%c'", c);
  else snprintf(text, sizeof text, "unexpected byte 0x%02x", c);
  lex_error(x, x->at, text);
}

Token *lex(Arena *a, Diags *d, Intern *names, const Source *src) {
  Lexer x = {a, d, names, src, 0, 0, 1};
  VEC(Token) out = {0};
  if (!source_is_text(src, d)) diag_throw(d);
  if (src->len >= MODEL_BYTES) lex_error(&x, 0, "a model file has less than 4 MiB");
  if (source_has_mark(src)) x.at = x.line_start = TEXT_MARK;
  for (;;) {
    Token t = {.kind = TK_END, .text = ""};
    t.nl = lex_blank(&x);
    if (out.n == 0) t.nl = true;
    t.begin = (int)x.at;
    t.line = x.line;
    t.col = (int)(x.at - x.line_start) + 1;
    char c = lex_peek(&x, 0);
    if (x.at >= src->len) {
      t.end = t.begin;
      vec_push(a, &out, t);
      return out.v;
    }
    if (is_name_start(c)) {
      size_t start = x.at;
      while (is_name_char(lex_peek(&x, 0))) x.at++;
      t.kind = TK_NAME;
      t.text = intern(names, src->text + start, x.at - start);
    } else if (is_digit(c)) {
      lex_number(&x, &t);
    } else if (c == '"') {
      lex_string(&x, &t);
    } else {
      lex_punct(&x, &t);
    }
    t.end = (int)x.at;
    if (out.n >= MOST_TOKENS) lex_error(&x, (size_t)t.begin, "this model file is too long");
    vec_push(a, &out, t);
  }
}
