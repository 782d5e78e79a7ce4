/* Pieces of the text form of kernels (text.h). */
#include "ir/kernel/text.h"
#include "ir/graph/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ---- */
void put_imm(StrBuf *out, Imm v) {
  char text[40];
  sb_printf(out, "%s", imm_text(v, text));
}

void put_list(StrBuf *out, const char *name, const int64_t *v, int n) {
  sb_printf(out, " %s=[", name);
  for (int i = 0; i < n; i++) sb_printf(out, "%s%lld", i ? "," : "", (long long)v[i]);
  sb_printf(out, "]");
}

/* A kernel that carries another value's line names that one too. */
void put_where(const KText *t, Val val, const Loc *loc, Role role) {
  const Graph *g = t->p ? t->p->graph : NULL;
  Val at = val;
  if (!g) return;
  if (val < 0 || g_node(g, val)->loc != loc) {
    for (at = 0; at < g->node.n && g_node(g, at)->loc != loc; at++) {}
    if (at == g->node.n) at = -1;
  }
  if (val < 0 && at < 0 && role == ROLE_FORWARD) return;
  sb_printf(t->out, "  #");
  if (val >= 0) sb_printf(t->out, " %%%d", val);
  if (at != val && at >= 0) sb_printf(t->out, " at %%%d", at);
  if (loc && loc->src) sb_printf(t->out, " %s:%d", path_tail(loc->src->path), loc->line);
  if (role != ROLE_FORWARD) sb_printf(t->out, " ; %s", role_names[role]);
}

/* ---- reading ---- */
/* So large that nothing real reaches it, and sums of two do not overflow. */
static const int64_t MOST = (int64_t)1 << 60;

_Noreturn void kr_fail(KReader *r, const char *fmt, ...) {
  va_list ap;
  char msg[512];
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  Loc loc = {r->src, r->line, (int)(r->p - r->line_start) + 1, NULL, NULL};
  diag_error(r->d, &loc, "%s", msg);
  diag_throw(r->d);
}

void kr_blanks(KReader *r) {
  while (*r->p == ' ' || *r->p == '\r') r->p++;
}

bool kr_eat(KReader *r, const char *word) {
  kr_blanks(r);
  size_t n = strlen(word);
  if (strncmp(r->p, word, n)) return false;
  if (text_is_word_char(word[n - 1], true) && text_is_word_char(r->p[n], false)) return false;
  r->p += n;
  return true;
}

void kr_expect(KReader *r, const char *word) {
  if (!kr_eat(r, word)) kr_fail(r, "expected '%s'", word);
}

bool kr_prefix(KReader *r, const char *prefix) {
  kr_blanks(r);
  size_t n = strlen(prefix);
  if (strncmp(r->p, prefix, n) || r->p[n] < '0' || r->p[n] > '9') return false;
  r->p += n;
  return true;
}

int64_t kr_number(KReader *r) {
  char *end;
  kr_blanks(r);
  errno = 0;
  long long v = strtoll(r->p, &end, 10);
  if (end == r->p || errno) kr_fail(r, "expected a whole number");
  if (v > MOST || v < -MOST) kr_fail(r, "%lld is outside the range of a program's numbers", v);
  r->p = end;
  return v;
}

int kr_small(KReader *r, int64_t lo, int64_t hi, const char *what) {
  const char *at = r->p;
  int64_t v = kr_number(r);
  if (v < lo || v > hi) {
    r->p = at;
    kr_fail(r, "%s %lld is outside [%lld, %lld]", what, (long long)v, (long long)lo, (long long)hi);
  }
  return (int)v;
}

double kr_real(KReader *r) {
  char *end;
  kr_blanks(r);
  double v = strtod(r->p, &end);
  if (end == r->p) kr_fail(r, "expected a number");
  r->p = end;
  return v;
}

Imm kr_imm(KReader *r) {
  char *end;
  kr_blanks(r);
  Imm v = imm_parse(r->p, &end);
  if (end == r->p) kr_fail(r, "expected a number");
  r->p = end;
  return v;
}

const char *kr_word(KReader *r, const char *what) {
  kr_blanks(r);
  size_t n = 0;
  while (text_is_word_char(r->p[n], n == 0)) n++;
  if (!n) kr_fail(r, "expected %s", what);
  const char *w = arena_strndup(r->a, r->p, n);
  r->p += n;
  return w;
}

const char *kr_quoted(KReader *r) {
  kr_expect(r, "\"");
  size_t n = strcspn(r->p, "\"\n");
  if (r->p[n] != '"' || !n) kr_fail(r, "expected a name in double quotes");
  const char *s = arena_strndup(r->a, r->p, n);
  r->p += n + 1;
  return s;
}

int kr_choice(KReader *r, const char *const *names, int n, const char *what) {
  const char *at = r->p;
  for (int i = 0; i < n; i++)
    if (kr_eat(r, names[i])) return i;
  r->p = at;
  kr_fail(r, "expected %s", what);
}

DType kr_dtype(KReader *r) {
  const char *w = kr_word(r, "an element type");
  DType t = dtype_parse(w);
  if (t == DT_NONE) kr_fail(r, "unknown element type '%.40s'", w);
  return t;
}

int kr_list(KReader *r, int64_t *v, int max) {
  int n = 0;
  kr_expect(r, "[");
  if (kr_eat(r, "]")) return 0;
  do {
    if (n == max) kr_fail(r, "more than %d numbers", max);
    v[n++] = kr_number(r);
  } while (kr_eat(r, ","));
  kr_expect(r, "]");
  return n;
}

void kr_end_line(KReader *r) {
  kr_blanks(r);
  if (*r->p && *r->p != '\n') kr_fail(r, "expected the end of the line");
  if (*r->p) r->p++;
  r->line++;
  r->line_start = r->p;
}

Val kr_value(KReader *r) { return kr_prefix(r, "%") ? kr_small(r, 0, r->nvalue - 1, "value") : -1; }

void kr_where(KReader *r, Val *val, const Loc **loc, Role *role) {
  *val = -1;
  *loc = NULL;
  *role = ROLE_FORWARD;
  if (kr_eat(r, "#")) {
    *val = kr_value(r);
    Val at = kr_eat(r, "at ") ? kr_value(r) : *val;
    if (at >= 0) *loc = g_node(r->g, at)->loc;
    while (*r->p && *r->p != '\n' && *r->p != ';') r->p++;
    if (kr_eat(r, ";")) *role = (Role)kr_choice(r, role_names, ROLES, "a role");
  }
  kr_end_line(r);
}

/* ---- fields ---- */
static int64_t get(const Kernel *k, Member m) {
  const char *at = (const char *)k + m.at;
  int8_t one;
  int32_t four;
  int64_t eight;
  switch (m.size) {
  case 1: return memcpy(&one, at, 1), one;
  case 4: return memcpy(&four, at, 4), four;
  case 8: return memcpy(&eight, at, 8), eight;
  default: bug("a field of %d bytes", m.size);
  }
}

static void set(Kernel *k, Member m, int64_t v) {
  char *at = (char *)k + m.at;
  int8_t one = v != 0;
  int32_t four = (int32_t)v;
  switch (m.size) {
  case 1: memcpy(at, &one, 1); return;
  case 4: memcpy(at, &four, 4); return;
  case 8: memcpy(at, &v, 8); return;
  default: bug("a field of %d bytes", m.size);
  }
}

/* The members of a field, those of an array one by one. */
static int members(const Field *f, const Kernel *k, Member m[FIELD_MEMBERS]) {
  int n = 0;
  if (f->count.size)
    for (int64_t left = get(k, f->count); n < left && n < f->most; n++)
      m[n] = (Member){(uint16_t)(f->member[0].at + n * f->member[0].size), f->member[0].size};
  else
    for (; n < FIELD_MEMBERS && f->member[n].size; n++) m[n] = f->member[n];
  return n;
}

static bool is_left_out(const Field *f, const Kernel *k, const Member *m, int n) {
  if (f->count.size) return !n;
  bool same = f->optional;
  for (int i = 0; i < n && same; i++) same = get(k, m[i]) == f->fallback;
  return same;
}

static const char *text_at(const Kernel *k, Member m) {
  const char *s;
  memcpy(&s, (const char *)k + m.at, sizeof s);
  return s;
}

void fields_print(const KText *t, const Field *f, int nfield, const Kernel *k) {
  for (int i = 0; i < nfield; i++, f++) {
    Member m[FIELD_MEMBERS];
    int64_t v[FIELD_MEMBERS];
    int n = members(f, k, m);
    if (f->form == FIELD_QUOTED) {
      sb_printf(t->out, " \"%s\"", text_at(k, m[0]));
      continue;
    }
    if (f->form != FIELD_STEP && is_left_out(f, k, m, n)) continue;
    for (int j = 0; j < n; j++) v[j] = get(k, m[j]);
    switch (f->form) {
    case FIELD_STEP:
      if (n) sb_printf(t->out, " %s.%s", f->words[v[0]], t->step);
      else sb_printf(t->out, " %s", t->step);
      break;
    case FIELD_WORD: sb_printf(t->out, " %s", f->words[v[0]]); break;
    case FIELD_DTYPE:
      sb_printf(t->out, "%s%s %s", f->name ? " " : "", f->name ? f->name : "", dtype_name((DType)v[0]));
      break;
    case FIELD_NUMBER: sb_printf(t->out, " %s=%lld", f->name, (long long)v[0]); break;
    case FIELD_LIST: put_list(t->out, f->name, v, n); break;
    case FIELD_QUOTED: break;
    }
  }
}

/* "conv2d.pack" or "pack" */
static void read_step(KReader *r, const Field *f, Kernel *k) {
  const char *name = kr_word(r, "a step"), *dot = strrchr(name, '.');
  r->step = name;
  if (!f->member[0].size) return;
  int w = 0;
  while (w < f->nword &&
         (!dot || strncmp(name, f->words[w], (size_t)(dot - name)) || f->words[w][dot - name]))
    w++;
  if (w == f->nword) kr_fail(r, "there is no step '%.40s'", name);
  set(k, f->member[0], w);
  r->step = dot + 1;
}

/* Has a field before f the same member? Then it has its value. */
static bool is_read(const Field *f, const Field *first, Member m) {
  for (const Field *e = first; e < f; e++)
    for (int i = 0; i < FIELD_MEMBERS && e->member[i].size; i++)
      if (e->member[i].at == m.at) return true;
  return false;
}

static void read_numbers(KReader *r, const Field *f, const Field *first, Kernel *k) {
  Member m[FIELD_MEMBERS];
  int64_t v[FIELD_MEMBERS];
  int n = f->count.size ? f->most : members(f, k, m), got = 1;
  if (f->form == FIELD_NUMBER) v[0] = kr_number(r);
  else got = kr_list(r, v, n);
  if (f->count.size) {
    if (is_read(f, first, f->count) && got != get(k, f->count)) kr_fail(r, "%s has %d numbers", f->name, got);
    set(k, f->count, got);
    n = members(f, k, m);
  }
  if (got != n) kr_fail(r, "%s needs %d numbers", f->name, n);
  for (int i = 0; i < n; i++) {
    if (is_read(f, first, m[i]) && get(k, m[i]) != v[i])
      kr_fail(r, "%s does not fit the numbers before it", f->name);
    if (m[i].size < 8 && (v[i] > INT32_MAX || v[i] < INT32_MIN))
      kr_fail(r, "%lld is too large", (long long)v[i]);
    set(k, m[i], v[i]);
  }
}

void fields_read(KReader *r, const Field *first, int nfield, Kernel *k) {
  for (int i = 0; i < nfield; i++) {
    const Field *f = &first[i];
    switch (f->form) {
    case FIELD_STEP: read_step(r, f, k); continue;
    case FIELD_WORD: set(k, f->member[0], kr_choice(r, f->words, f->nword, f->name)); continue;
    case FIELD_QUOTED: {
      const char *s = kr_quoted(r);
      memcpy((char *)k + f->member[0].at, &s, sizeof s);
      continue;
    }
    case FIELD_DTYPE:
      if (f->name) kr_expect(r, f->name);
      set(k, f->member[0], kr_dtype(r));
      continue;
    case FIELD_NUMBER:
    case FIELD_LIST: break;
    }
    if (!kr_eat(r, f->name)) {
      if (!f->optional && !f->count.size) kr_fail(r, "expected '%s'", f->name);
      Member m[FIELD_MEMBERS];
      for (int i = 0, n = f->count.size ? 0 : members(f, k, m); i < n; i++) set(k, m[i], f->fallback);
      continue;
    }
    kr_expect(r, "=");
    read_numbers(r, f, first, k);
  }
}

int fields_numbers(const Field *f, int nfield, const Kernel *k, int64_t v[FIELD_NUMBERS]) {
  int at = 0;
  for (const Field *end = f + nfield; f < end; f++) {
    if (at + FIELD_MEMBERS > FIELD_NUMBERS) bug("a kernel of more than %d numbers", FIELD_NUMBERS);
    if (f->count.size) {
      Member m[FIELD_MEMBERS];
      for (int i = 0, n = members(f, k, m); i < n; i++) v[at++] = get(k, m[i]);
    } else
      for (int i = 0; i < FIELD_MEMBERS && f->member[i].size; i++) v[at++] = get(k, f->member[i]);
  }
  return at;
}
