/* jepac reduce MODEL -- CMD ...: the smallest model file for which CMD still ends the same way. CMD runs with
   the model's path replaced by the candidate's (a copy beside the model, so that `use` finds its files).
   Candidates come from removing ever smaller runs of lines whose brackets balance (delta debugging: Zeller
   and Hildebrandt, 2002), then from shortening what lies between brackets; a candidate counts when CMD gives
   the exit code that it gave for the model and, with --match, prints that text: else one failure could turn
   into another on the way. */
#define _GNU_SOURCE /* memmem */
#include "cli/cli.h"
#include "ir/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  Cli *c;
  const char *candidate; /* path */
  char **argv;
  FILE *output; /* of the command */
  int want, tries;
} Reduce;

/* Does the command's output hold the text of --match? */
static bool matches(Reduce *r) {
  const char *text = OPT(r->c, match);
  long n = ftell(r->output);
  if (!text) return true;
  char *all = xcalloc((size_t)n + 1, 1, "what the command prints");
  bool found = !fseek(r->output, 0, SEEK_SET) && fread(all, 1, (size_t)n, r->output) == (size_t)n &&
               memmem(all, (size_t)n, text, strlen(text));
  free(all);
  return found;
}

/* Its exit code; -1 when it does not end the same way. */
static int run_command(Reduce *r) {
  if (fseek(r->output, 0, SEEK_SET) || ftruncate(fileno(r->output), 0)) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    int out = fileno(r->output);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0) _exit(126);
    execvp(r->argv[0], r->argv);
    _exit(127);
  }
  int status;
  if (pid < 0) return -1;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  if (fseek(r->output, 0, SEEK_END) || !matches(r)) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool write_candidate(Reduce *r, const char *text, size_t n) {
  FILE *f = fopen(r->candidate, "wb");
  if (!f) return false;
  bool ok = fwrite(text, 1, n, f) == n;
  return !fclose(f) && ok;
}

static bool still_fails(Reduce *r, const char *text, size_t n) {
  r->tries++;
  return write_candidate(r, text, n) && run_command(r) == r->want;
}

/* How far brackets are left open (a negative dip makes it unbalanced). */
static bool balanced(const char *p, size_t n) {
  int depth = 0;
  for (size_t i = 0; i < n; i++) {
    depth += (p[i] == '{') + (p[i] == '(') + (p[i] == '[') - (p[i] == '}') - (p[i] == ')') - (p[i] == ']');
    if (depth < 0) return false;
  }
  return depth == 0;
}

/* Takes candidate b for the text when it still fails; frees the other. */
static bool try_text(Reduce *r, StrBuf *text, StrBuf b) {
  bool ok = still_fails(r, b.s ? b.s : "", b.n);
  sb_free(ok ? text : &b);
  if (ok) *text = b;
  return ok;
}

/* text[from, to) replaced by text[a, b). */
static bool try_part(Reduce *r, StrBuf *text, size_t from, size_t to, size_t a, size_t b) {
  StrBuf c = {0};
  sb_put(&c, text->s, from);
  sb_put(&c, text->s + a, b - a);
  sb_put(&c, text->s + to, text->n - to);
  return try_text(r, text, c);
}

static bool try_without(Reduce *r, StrBuf *text, size_t from, size_t to) {
  if (from >= to || to > text->n || !balanced(text->s + from, to - from)) return false;
  return try_part(r, text, from, to, from, from);
}

static int line_starts(const StrBuf *text, size_t *start, int max) {
  int n = 0;
  start[n++] = 0;
  for (size_t i = 0; i < text->n && n < max; i++)
    if (text->s[i] == '\n') start[n++] = i + 1;
  if (start[n - 1] != text->n && n < max) start[n++] = text->n;
  return n;
}

/* A block: from a line to the end of the bracket it opens. */
static size_t block_end(const StrBuf *text, size_t from) {
  int depth = 0;
  bool opened = false;
  for (size_t i = from; i < text->n; i++) {
    char ch = text->s[i];
    depth += (ch == '{') - (ch == '}');
    opened |= ch == '{';
    if (ch == '\n' && (depth <= 0 || !opened)) return i + 1;
  }
  return text->n;
}

static bool pass_lines(Reduce *r, StrBuf *text) {
  enum { MOST = 20000 };
  size_t *start = NEWN(r->c->arena, size_t, MOST + 1);
  bool any = false;
  for (int i = 0;; i++) { /* whole blocks first */
    int n = line_starts(text, start, MOST);
    if (i >= n - 1) break;
    while (i < n - 1 && try_without(r, text, start[i], block_end(text, start[i]))) {
      any = true;
      n = line_starts(text, start, MOST);
    }
  }
  for (int run = line_starts(text, start, MOST) / 2; run >= 1; run /= 2)
    for (int i = 0;; i++) {
      int n = line_starts(text, start, MOST);
      if (i + run >= n) break;
      while (i + run < n && try_without(r, text, start[i], start[i + run])) {
        any = true;
        n = line_starts(text, start, MOST);
      }
    }
  return any;
}

static bool is_word(char c) {
  return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One item of a bracketed list with its comma; a comment; f(x) by x; one operand of a binary operator. */
static bool pass_items(Reduce *r, StrBuf *text) {
  bool any = false;
  for (size_t i = 0; i < text->n; i++) {
    char ch = text->s[i];
    size_t end = i;
    if (ch == '#') {
      while (end < text->n && text->s[end] != '\n') end++;
      any |= try_without(r, text, i, end);
      continue;
    }
    if (ch == ',' || ch == '(' || ch == '[') {
      size_t from = ch == ',' ? i : i + 1;
      int depth = 0;
      for (end = i + 1; end < text->n; end++) {
        char e = text->s[end];
        if (!depth && (e == ',' || e == ')' || e == ']' || e == '\n')) break;
        depth += (e == '(') + (e == '[') + (e == '{') - (e == ')') - (e == ']') - (e == '}');
        if (depth < 0) break;
      }
      if (ch != ',' && end < text->n && text->s[end] == ',') end++;
      if (end > i + 1 && try_without(r, text, from, end)) any = true, i--;
      continue;
    }
    if (strchr("+-*/", ch)) { /* " + y" */
      for (end = i + 1; end < text->n && text->s[end] == ' ';) end++;
      while (end < text->n && is_word(text->s[end])) end++;
      any |= try_without(r, text, i, end);
    }
  }
  return any;
}

/* The end of the list item or operand at `at`: a comma or the closing bracket. */
static size_t item_end(const StrBuf *text, size_t at) {
  int depth = 0;
  for (; at < text->n; at++) {
    char e = text->s[at];
    if (!depth && (e == ',' || e == ')' || e == ']' || e == '}')) break;
    if (!depth && e == '\n') break;
    depth += (e == '(') + (e == '[') + (e == '{') - (e == ')') - (e == ']') - (e == '}');
  }
  return at;
}

static bool word_at(const StrBuf *text, size_t i, const char *word) {
  size_t n = strlen(word);
  return i + n < text->n && !strncmp(text->s + i, word, n) && !is_word(text->s[i + n]) &&
         (!i || !is_word(text->s[i - 1]));
}

/* f(x, y) by one of its arguments; if c then a else b by a or b. */
static bool pass_calls(Reduce *r, StrBuf *text) {
  bool any = false;
  for (size_t i = 1; i < text->n; i++) {
    if (text->s[i] == '(' && is_word(text->s[i - 1])) {
      size_t from = i;
      while (from && is_word(text->s[from - 1])) from--;
      for (size_t a = i + 1, b;; a = b + 1) {
        b = item_end(text, a);
        size_t end = b;
        while (end < text->n && text->s[end] == ',') end = item_end(text, end + 1);
        if (end >= text->n || text->s[end] != ')') break;
        if (b > a && try_part(r, text, from, end + 1, a, b)) {
          any = true;
          i = from;
          break;
        }
        if (text->s[b] != ',') break;
      }
    }
    if (!word_at(text, i, "if")) continue;
    size_t end = item_end(text, i), then = i, other = i;
    while (then < end && !word_at(text, then, "then")) then++;
    for (other = then; other < end && !word_at(text, other, "else");) other++;
    if (other >= end) continue;
    any |= try_part(r, text, i, end, then + 5, other) || try_part(r, text, i, end, other + 5, end);
  }
  return any;
}

/* What holds the word at `at`: the item of a bracketed list with a comma, else the line with the block it
   opens. */
static void unit_of(const StrBuf *text, size_t at, size_t *from, size_t *to) {
  int depth = 0;
  size_t open = at;
  while (open-- > 0) {
    char e = text->s[open];
    depth += (e == ')') + (e == ']') - (e == '(') - (e == '[');
    if (depth < 0 || (!depth && (e == '{' || e == '}'))) break;
  }
  if (depth >= 0) {
    for (*from = at; *from && text->s[*from - 1] != '\n';) --*from;
    *to = block_end(text, *from);
    return;
  }
  depth = 0;
  *from = open + 1;
  for (*to = *from; *to < text->n; ++*to) { /* the item's end, then its start is known */
    char e = text->s[*to];
    depth += (e == '(') + (e == '[') + (e == '{') - (e == ')') - (e == ']') - (e == '}');
    if (depth < 0 || (!depth && e == ',' && *to >= at)) break;
    if (!depth && e == ',') *from = *to + 1;
  }
  if (*to < text->n && text->s[*to] == ',') ++*to;
  else if (*from > open + 1) --*from; /* the last one: the comma before it */
}

/* Everything that mentions a name at once, for what cannot go by itself: a setting and its uses. */
static bool pass_names(Reduce *r, StrBuf *text) {
  bool any = false;
  for (size_t i = 0; i < text->n; i++) {
    if (!is_word(text->s[i]) || (i && is_word(text->s[i - 1])) || (text->s[i] >= '0' && text->s[i] <= '9'))
      continue;
    size_t n = 1;
    while (i + n < text->n && is_word(text->s[i + n]) && text->s[i + n] != '.') n++;
    const char *name = arena_strndup(r->c->arena, text->s + i, n);
    bool seen = false;
    for (size_t j = 0; j < i && !seen; j++) seen = word_at(text, j, name);
    if (seen) continue;
    StrBuf b = {0};
    size_t done = 0;
    for (size_t j = i; j + n <= text->n; j++) {
      if (!word_at(text, j, name) &&
          !(!strncmp(text->s + j, name, n) && text->s[j + n] == '.' && (!j || !is_word(text->s[j - 1]))))
        continue;
      size_t from, to;
      unit_of(text, j, &from, &to);
      if (from < done) continue;
      sb_put(&b, text->s + done, from - done);
      done = j = to;
    }
    sb_put(&b, text->s + done, text->n - done);
    if (b.n < text->n && balanced(b.s, b.n)) any |= try_text(r, text, b);
    else sb_free(&b);
  }
  return any;
}

/* Cuts text[from, to), then what it leaves behind: the declaration of any name that is now mentioned only
   there. */
static void cut(Arena *a, StrBuf *text, size_t from, size_t to) {
  const char *gone = arena_strndup(a, text->s + from, to - from);
  memmove(text->s + from, text->s + to, text->n - to + 1);
  text->n -= to - from;
  for (const char *p = gone; *p; p++) {
    if (!is_word(*p) || (p > gone && is_word(p[-1])) || (*p >= '0' && *p <= '9')) continue;
    size_t n = strspn(p, "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), at = 0;
    const char *name = arena_strndup(a, p, n);
    int left = 0;
    for (size_t i = 0; i + n < text->n; i++)
      if (!strncmp(text->s + i, name, n) && !is_word(text->s[i + n]) && (!i || !is_word(text->s[i - 1])))
        at = i, left++;
    if (left != 1) continue;
    size_t start, end;
    unit_of(text, at, &start, &end);
    if (balanced(text->s + start, end - start)) cut(a, text, start, end);
  }
}

static bool pass_cuts(Reduce *r, StrBuf *text) {
  bool any = false;
  Arena *a = arena_new();
  for (size_t i = 0; i < text->n; i += strcspn(text->s + i, "\n") + 1) {
    size_t end = block_end(text, i);
    if (!balanced(text->s + i, end - i)) continue;
    StrBuf b = {0};
    sb_put(&b, text->s, text->n);
    cut(a, &b, i, end);
    if (try_text(r, text, b)) any = true, i = 0;
    arena_reset(a);
  }
  arena_free(a);
  return any;
}

/* The whole number of a word is made smaller: 4096 -> 1, 2, ... halves. */
static bool pass_numbers(Reduce *r, StrBuf *text) {
  bool any = false;
  for (size_t i = 1; i < text->n; i++) {
    if (text->s[i] < '0' || text->s[i] > '9' || is_word(text->s[i - 1])) continue;
    char *end;
    long long v = strtoll(text->s + i, &end, 10);
    if (is_word(*end)) continue;
    for (long long w = 1; w < v; w = w < 4 ? w + 1 : w * 2) {
      StrBuf b = {0};
      sb_put(&b, text->s, i);
      sb_printf(&b, "%lld", w);
      sb_put(&b, end, strlen(end));
      if ((any |= try_text(r, text, b))) break; /* end points into what was freed */
    }
  }
  return any;
}

static void trim_lines(Reduce *r, StrBuf *text) {
  StrBuf b = {0};
  for (size_t i = 0; i < text->n; i++) {
    size_t blanks = strspn(text->s + i, " ");
    if (text->s[i + blanks] == '\n') i += blanks;
    sb_put(&b, text->s + i, 1);
  }
  try_text(r, text, b);
}

Status cmd_reduce(Cli *c) {
  const char *model = c->opt.arg[0];
  if (!c->opt.command)
    return cli_fail(c, ST_USAGE, "usage is jepac reduce MODEL [-o FILE] -- CMD with MODEL in it");
  Status s = cli_check_readable(c, model, "model");
  if (s) return s;
  const Source *src = source_read_most(c->arena, model, SOURCE_BYTES);
  if (!src) return cli_fail(c, ST_FILE, "cannot read model %s", model);
  int n = 0, used = 0;
  while (c->opt.command[n]) n++;
  Reduce r = {.c = c, .argv = NEWN(c->arena, char *, n + 1)};
  const char *slash = strrchr(model, '/');
  r.candidate = arena_printf(c->arena, "%.*sreduce.%ld.jepa", slash ? (int)(slash - model) + 1 : 0, model,
                             (long)getpid());
  for (int i = 0; i < n; i++) {
    bool is_model = !strcmp(c->opt.command[i], model);
    used += is_model;
    r.argv[i] = is_model ? arena_strdup(c->arena, r.candidate) : c->opt.command[i];
  }
  if (!used) return cli_fail(c, ST_USAGE, "the command does not name %s", model);
  if (!write_candidate(&r, src->text, src->len))
    return cli_fail(c, ST_FILE, "cannot write %s: %s", r.candidate, strerror(errno));
  if (!(r.output = tmpfile())) {
    unlink(r.candidate);
    return cli_fail(c, ST_FILE, "cannot keep the command's output: %s", strerror(errno));
  }
  r.want = run_command(&r);
  if (r.want < 0 && OPT(c, match)) {
    unlink(r.candidate);
    return cli_fail(c, ST_USAGE, "what %s prints for this model does not hold '%s'", r.argv[0],
                    OPT(c, match));
  }
  if (r.want == 0 || r.want == 127 || r.want < 0) {
    unlink(r.candidate);
    return cli_fail(c, ST_USAGE, r.want ? "cannot run %s" : "%s does not fail on this model", r.argv[0]);
  }
  StrBuf text = {0};
  sb_put(&text, src->text, src->len);
  for (bool again = true; again;) {
    again = pass_lines(&r, &text);
    again |= pass_cuts(&r, &text);
    again |= pass_names(&r, &text);
    again |= pass_items(&r, &text);
    again |= pass_calls(&r, &text);
    again |= pass_numbers(&r, &text);
  }
  trim_lines(&r, &text);
  unlink(r.candidate);
  fclose(r.output);
  fprintf(stderr, "%zu -> %zu bytes, exit code %d, %d candidates\n", src->len, text.n, r.want, r.tries);
  s = cli_write_text(c, OPT(c, out), text.s, text.n);
  sb_free(&text);
  return s;
}
