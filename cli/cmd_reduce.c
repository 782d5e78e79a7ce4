/* jepac reduce MODEL -- CMD ...: the smallest model file for which CMD still ends the same way. CMD runs with
   the model's path replaced by the candidate's (a copy beside the model, so that `use` finds its files).
   Candidates come from removing ever smaller runs of lines whose brackets balance (delta debugging: Zeller
   and Hildebrandt, 2002), then from shortening what lies between brackets; a candidate counts when CMD gives
   the exit code that it gave for the model. */
#include "cli/cli.h"

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
  int want, tries;
} Reduce;

static int run_command(Reduce *r) {
  pid_t pid = fork();
  if (pid == 0) {
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
    execvp(r->argv[0], r->argv);
    _exit(127);
  }
  int status;
  if (pid < 0) return -1;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
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

static bool try_without(Reduce *r, StrBuf *text, size_t from, size_t to) {
  if (from >= to || to > text->n || !balanced(text->s + from, to - from)) return false;
  StrBuf b = {0};
  sb_put(&b, text->s, from);
  sb_put(&b, text->s + to, text->n - to);
  bool ok = still_fails(r, b.s, b.n);
  if (ok) {
    sb_free(text);
    *text = b;
  } else sb_free(&b);
  return ok;
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
      if (still_fails(r, b.s, b.n)) {
        sb_free(text);
        *text = b;
        any = true;
        break;
      }
      sb_free(&b);
    }
  }
  return any;
}

Status cmd_reduce(Cli *c) {
  const char *model = c->opt.arg[0];
  if (!c->opt.command)
    return cli_fail(c, ST_USAGE, "usage is jepac reduce MODEL [-o FILE] -- CMD with MODEL in it");
  Status s = cli_check_readable(c, model, "model");
  if (s) return s;
  const Source *src = source_read(c->arena, model);
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
  r.want = run_command(&r);
  if (r.want == 0 || r.want == 127 || r.want < 0) {
    unlink(r.candidate);
    return cli_fail(c, ST_USAGE, r.want ? "cannot run %s" : "%s does not fail on this model", r.argv[0]);
  }
  StrBuf text = {0};
  sb_put(&text, src->text, src->len);
  for (bool again = true; again;) {
    again = pass_lines(&r, &text);
    again |= pass_items(&r, &text);
    again |= pass_numbers(&r, &text);
  }
  unlink(r.candidate);
  fprintf(stderr, "%zu -> %zu bytes, exit code %d, %d candidates\n", src->len, text.n, r.want, r.tries);
  s = cli_write_text(c, c->opt.out, text.s, text.n);
  sb_free(&text);
  return s;
}
