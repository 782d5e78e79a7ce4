/* Arenas (block lists, as in Hanson's "Fast allocation and deallocation of memory based on object
   lifetimes"), growable arrays, and diagnostics with carets. */
#include "ir/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct Block {
  struct Block *next;
  size_t used, size;
  _Alignas(16) char data[];
} Block;

struct Arena {
  Block *head;
  Undo undo;
};

static void free_arena(void *a) { arena_free(a); }

Arena *arena_new(void) {
  Arena *a = xcalloc(1, sizeof *a, NULL);
  if (undo_wanted()) undo_push(&a->undo, free_arena, a);
  return a;
}

void arena_free(Arena *a) {
  if (!a) return;
  undo_drop(&a->undo);
  for (Block *b = a->head, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(a);
}

void arena_reset(Arena *a) {
  size_t total = 0;
  for (Block *b = a->head; b; b = b->next) total += b->size;
  if (a->head && a->head->next) { /* one block that holds as much as all of them did */
    for (Block *b = a->head, *next; b; b = next) {
      next = b->next;
      free(b);
    }
    a->head = NULL;
    a->head = xmalloc(sizeof(Block) + total, NULL);
    a->head->next = NULL;
    a->head->size = total;
  }
  if (a->head) a->head->used = 0;
}

static void *alloc(Arena *a, size_t n) {
  n = (n + 15) & ~(size_t)15;
  Block *b = a->head;
  if (!b || b->size - b->used < n) {
    size_t size = n > (1u << 16) ? n : (1u << 16);
    b = xmalloc(sizeof *b + size, NULL);
    b->used = 0;
    b->size = size;
    if (a->head && n > (1u << 14)) { /* a large block goes behind the head so the head's rest stays usable */
      b->next = a->head->next;
      a->head->next = b;
    } else {
      b->next = a->head;
      a->head = b;
    }
  }
  void *p = b->data + b->used;
  b->used += n;
  return p;
}

void *arena_alloc(Arena *a, size_t n) { return memset(alloc(a, n), 0, n); }

char *arena_strndup(Arena *a, const char *s, size_t n) {
  char *p = arena_alloc(a, n + 1);
  memcpy(p, s, n);
  return p;
}

char *arena_strdup(Arena *a, const char *s) { return arena_strndup(a, s, strlen(s)); }

char *arena_printf(Arena *a, const char *fmt, ...) {
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *p = arena_alloc(a, (size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, fmt, ap2);
  va_end(ap2);
  return p;
}

void *vec_grow_(Arena *a, void *p, int n, int *cap, size_t elem) {
  if (n < *cap) return p;
  int room = *cap ? *cap * 2 : 8;
  char *q = alloc(a, (size_t)room * elem);
  *cap = room;
  if (n) memcpy(q, p, (size_t)n * elem);
  memset(q + (size_t)n * elem, 0, (size_t)(*cap - n) * elem);
  return q;
}

void sb_put(StrBuf *b, const char *s, size_t n) {
  if (b->n + n + 1 > b->cap) {
    size_t cap = (b->n + n + 1) * 2;
    b->s = xrealloc(b->s, cap, NULL);
    b->cap = cap;
  }
  memcpy(b->s + b->n, s, n);
  b->n += n;
  b->s[b->n] = 0;
}

void sb_printf(StrBuf *b, const char *fmt, ...) {
  char small[256];
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(small, sizeof small, fmt, ap);
  va_end(ap);
  if ((size_t)n < sizeof small) {
    sb_put(b, small, (size_t)n);
  } else {
    char *big = xmalloc((size_t)n + 1, NULL);
    vsnprintf(big, (size_t)n + 1, fmt, ap2);
    sb_put(b, big, (size_t)n);
    free(big);
  }
  va_end(ap2);
}

void sb_free(StrBuf *b) {
  free(b->s);
  *b = (StrBuf){0};
}

static void close_file(void *f) { fclose(f); }
static void free_text(void *b) { sb_free(b); }

Source *source_read(Arena *a, const char *path) { return source_read_most(a, path, SIZE_MAX); }

Source *source_read_most(Arena *a, const char *path, size_t most) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  StrBuf b = {0};
  Undo close = {0}, text = {0};
  undo_push(&close, close_file, f);
  undo_push(&text, free_text, &b);
  char buf[1 << 14];
  struct stat at;
  if (most > SOURCE_BYTES && (fstat(fileno(f), &at) || !S_ISREG(at.st_mode))) most = SOURCE_BYTES;
  for (size_t n; b.n < most && (n = fread(buf, 1, sizeof buf, f)) > 0;) sb_put(&b, buf, n);
  int err = ferror(f) ? errno : b.n >= most ? EFBIG : 0;
  undo_drop(&close);
  fclose(f);
  if (err) {
    undo_drop(&text);
    sb_free(&b);
    errno = err;
    return NULL;
  }
  Source *s = NEW(a, Source);
  s->path = arena_strdup(a, path);
  s->text = b.s ? arena_strndup(a, b.s, b.n) : arena_strdup(a, "");
  s->len = b.n;
  undo_drop(&text);
  sb_free(&b);
  return s;
}

bool source_has_mark(const Source *s) {
  return s->len >= TEXT_MARK && !memcmp(s->text, "\xef\xbb\xbf", TEXT_MARK);
}

/* ---- diagnostics ---- */
struct Diags {
  Arena *arena;
  VEC(Diag) msg;
  int errors, warnings;
  bool dropped; /* the last message was one too many, or a repeated one: its notes are dropped with it */
  jmp_buf *trap;
};

Diags *diags_new(Arena *a) {
  Diags *d = NEW(a, Diags);
  d->arena = a;
  return d;
}

/* A command may load one file several times, and elaborate a statement many times: an error there is told once, with
   the values of the first. */
static bool is_repeated(const Diags *d, const Diag *m) {
  for (int i = 0; i < d->msg.n; i++) {
    const Diag *k = &d->msg.v[i];
    if (k->kind != m->kind || !k->loc != !m->loc) continue;
    if ((m->kind == DIAG_WARNING || !m->loc) && strcmp(k->text, m->text)) continue;
    if (!m->loc) return true;
    const char *a = k->loc->src ? k->loc->src->path : "", *b = m->loc->src ? m->loc->src->path : "";
    if (k->loc->line == m->loc->line && k->loc->col == m->loc->col && !strcmp(a, b)) return true;
  }
  return false;
}

/* What a message quotes may be any text of any length. */
static const char *message_text(Arena *a, const char *s) {
  enum { MOST = 4000 };
  StrBuf b = {0};
  size_t n = strlen(s), line;
  for (size_t i = 0, end = n < MOST ? n : MOST; i <= end;
       i += line + 1) { /* its further lines are indented */
    line = strcspn(s + i, "\n");
    if (i) sb_put(&b, "\n    ", 5);
    sb_put_shown(&b, s + i, i + line < end ? line : end - i);
  }
  if (n > MOST) sb_put(&b, "...", 3);
  const char *text = arena_strdup(a, b.s ? b.s : "");
  sb_free(&b);
  return text;
}

void diag_report(Diags *d, DiagKind kind, const Loc *loc, const char *fmt, ...) {
  int *count = kind == DIAG_ERROR ? &d->errors : kind == DIAG_WARNING ? &d->warnings : NULL;
  if (count) d->dropped = ++*count > MOST_MESSAGES;
  if (d->dropped) return;
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *s = arena_alloc(d->arena, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, ap2);
  va_end(ap2);
  Loc *at = NULL;
  if (loc) { /* the caller's may be a local variable */
    at = NEW(d->arena, Loc);
    *at = *loc;
  }
  Diag m = {kind, at, message_text(d->arena, s)};
  if (count && is_repeated(d, &m)) {
    d->dropped = true;
    --*count;
  }
  if (!d->dropped) vec_push(d->arena, &d->msg, m);
}

bool source_is_text(const Source *s, Diags *d) {
  size_t start = source_has_mark(s) ? TEXT_MARK : 0;
  Loc at = {s, 1, 0, NULL, NULL};
  for (size_t i = start; i < s->len; i++) {
    unsigned char c = (unsigned char)s->text[i];
    at.col = (int)(i - start) + 1;
    if (c == '\n') {
      at.line++;
      start = i + 1;
    } else if (c == '\r' ? s->text[i + 1] != '\n' : c != '\t' && (c < 32 || c == 127)) {
      if (c == '\r') diag_error(d, &at, "a carriage return alone ends no line (Unix: line feed, DOS: both)");
      else diag_error(d, &at, "unexpected byte 0x%02x", c);
      return false;
    }
  }
  return true;
}

int diags_errors(const Diags *d) { return d->errors; }

bool diags_at(const Diags *d, int i, Diag *out) {
  if (i < d->msg.n) *out = d->msg.v[i];
  return i < d->msg.n;
}

jmp_buf **diags_trap(Diags *d) { return &d->trap; }

_Noreturn void diag_throw(Diags *d) {
  if (!d->trap) bug("diagnostic thrown outside a trap");
  longjmp(*d->trap, 1);
}

/* Of a long line what lies around the place. */
static void print_line(const char *p, int col, FILE *f) {
  enum { BEFORE = 100, MOST = 160 };
  int len = (int)strcspn(p, "\r\n"), at = col - 1 < len ? col - 1 : len,
      first = at > BEFORE ? at - BEFORE : 0;
  while (first > 0 && (p[first] & 0xc0) == 0x80) first--;
  int end = len - first > MOST ? first + MOST : len, n = 0;
  char under[MOST + 1]; /* a column counts bytes, the caret characters of UTF-8 */
  fputs(first ? "    ..." : "    ", f);
  for (int i = first; i < end;) {
    char out[SHOWN_CHAR];
    if (i < at) under[n++] = p[i] == '\t' ? '\t' : ' ';
    i += shown_char(p + i, (size_t)(len - i), out);
    fputs(*out == '\\' && out[1] ? "?" : out, f);
  }
  under[n] = 0;
  fprintf(f, "%s\n    %s%s^\n", end < len ? "..." : "", first ? "   " : "", under);
}

static void print_source(const Loc *l, FILE *f) {
  const char *p = l->src->text;
  if (!p || l->col < 1) return;
  for (int line = 1; p && line < l->line; line++)
    if ((p = strchr(p, '\n'))) p++;
  if (p) print_line(p, l->col, f);
}

const char *diags_first(const Diags *d) {
  for (int i = 0; i < d->msg.n; i++)
    if (d->msg.v[i].kind == DIAG_ERROR) return d->msg.v[i].text;
  return NULL;
}

static void print_left_out(int n, const char *what, FILE *f) {
  n -= MOST_MESSAGES;
  if (n > 0) fprintf(f, "jepac: note: %d more %s%s\n", n, what, n == 1 ? "" : "s");
}

void diags_print(const Diags *d, FILE *f) {
  static const char *const word[] = {"error", "warning", "note"};
  for (int i = 0; i < d->msg.n; i++) {
    const Diag *m = &d->msg.v[i];
    const Loc *l = m->loc && m->loc->src ? m->loc : NULL;
    if (l) {
      fput_shown(l->src->path, strlen(l->src->path), f);
      fprintf(f, ":%d:", l->line);
      if (l->col > 0) fprintf(f, "%d:", l->col);
    } else {
      fputs("jepac:", f);
    }
    fprintf(f, " %s: %s\n", word[m->kind], m->text);
    if (l) print_source(l, f);
  }
  print_left_out(d->errors, "error", f);
  print_left_out(d->warnings, "warning", f);
}

static void json_text(const char *s, FILE *f) {
  fputc('"', f);
  for (; *s; s++) {
    unsigned char ch = (unsigned char)*s;
    if (ch == '"' || ch == '\\') fprintf(f, "\\%c", ch);
    else if (ch < 32) fprintf(f, "\\u%04x", ch);
    else fputc(ch, f);
  }
  fputc('"', f);
}

void diags_print_json(const Diags *d, FILE *f) {
  static const char *const word[] = {"error", "warning", "note"};
  for (int i = 0; i < d->msg.n; i++) {
    const Diag *m = &d->msg.v[i];
    fprintf(f, "{\"kind\": \"%s\", \"text\": ", word[m->kind]);
    json_text(m->text, f);
    if (m->loc && m->loc->src) {
      fputs(", \"file\": ", f);
      json_text(m->loc->src->path, f);
      fprintf(f, ", \"line\": %d, \"col\": %d", m->loc->line, m->loc->col);
    }
    fputs("}\n", f);
  }
}

void diag_print_last(const char *text, bool json, FILE *f) {
  fputs(json ? "{\"kind\": \"error\", \"text\": " : "jepac: error: ", f);
  if (json) json_text(text, f);
  else fputs(text, f);
  fputs(json ? "}\n" : "\n", f);
}

_Noreturn void bug(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("jepac: internal error: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(ST_BUG);
}

int utf8_more(const char *s) {
  const unsigned char *u = (const unsigned char *)s;
  int n = u[0] >= 0xf0 && u[0] < 0xf5   ? 3
          : u[0] >= 0xe0 && u[0] < 0xf0 ? 2
          : u[0] >= 0xc2 && u[0] < 0xe0 ? 1
                                        : 0;
  for (int i = 1; i <= n; i++)
    if ((u[i] & 0xc0) != 0x80) return 0; /* the closing zero byte ends this too */
  bool longer = (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xf0 && u[1] < 0x90); /* than it need be */
  bool no_character = (u[0] == 0xed && u[1] >= 0xa0) || (u[0] == 0xf4 && u[1] >= 0x90);
  return longer || no_character ? 0 : n;
}

bool text_is_utf8(const char *s) {
  for (int more; *s; s += more + 1)
    if (!(more = utf8_more(s)) && (*s & 0x80)) return false;
  return true;
}

const char *path_tail(const char *path) {
  const char *tail = path;
  for (const char *p = path, *last = path; *p; p++)
    if (*p == '/') tail = last, last = p + 1;
  return tail;
}

const char *nearest_name(const char *name, const char *const *cand, int n) {
  size_t ln = strlen(name);
  if (ln > 63) return NULL;
  const char *best = NULL;
  size_t best_d = ln / 3 + 2; /* strictly less than this counts as close */
  for (int i = 0; i < n; i++) {
    size_t lc = strlen(cand[i]), row[64], prev;
    for (size_t k = 0; k <= ln; k++) row[k] = k;
    for (size_t j = 1; j <= lc; j++) {
      prev = row[0];
      row[0] = j;
      for (size_t k = 1; k <= ln; k++) {
        size_t up = row[k], sub = prev + (name[k - 1] != cand[i][j - 1]);
        size_t ins = row[k - 1] + 1, del = up + 1;
        row[k] = sub < ins ? sub : ins;
        if (del < row[k]) row[k] = del;
        prev = up;
      }
    }
    /* of equally near ones that with the name's first letter, then its length, then the first in the alphabet */
    bool nearer = row[ln] < best_d;
    if (best && row[ln] == best_d) {
      int a = (cand[i][0] == name[0]) * 2 + (lc == ln), b = (best[0] == name[0]) * 2 + (strlen(best) == ln);
      nearer = a != b ? a > b : strcmp(cand[i], best) < 0;
    }
    if (nearer) {
      best_d = row[ln];
      best = cand[i];
    }
  }
  return best;
}

static const char *scaled(Arena *a, double n, double base, const char *const *unit, int last) {
  int u = 0;
  for (; n >= base && u < last; u++) n /= base;
  return arena_printf(a,
                      u == 0    ? "%.0f%s"
                      : n < 10  ? "%.2f %s"
                      : n < 100 ? "%.1f %s"
                                : "%.0f %s",
                      n, unit[u]);
}

const char *human_count(Arena *a, double n) {
  static const char *const unit[] = {"", "k", "M", "G", "T", "P"};
  return scaled(a, n, 1000, unit, 5);
}

const char *human_bytes(Arena *a, int64_t n) {
  static const char *const unit[] = {" B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(a, (double)n, 1024, unit, 4);
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) { /* FNV-1a with a final mix */
  const unsigned char *s = p;
  uint64_t h = seed ^ 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ s[i]) * 0x100000001b3u;
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15u;
  return h ^ (h >> 29);
}

double now_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
