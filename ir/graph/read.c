/* Reads the text form of graphs that ir/graph/print.c writes. By hand written texts may also leave out types that
   inference finds, name values by words (%w1), write [3] as 3, and carry comments. Any input is answered by a
   graph or by a diagnostic with its position; the first error ends the reading. */
#include "ir/graph/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const char *name; /* not terminated */
  size_t len;
  Val val;
} Binding;

typedef struct {
  Arena *a;
  const Source *src;
  Diags *d;
  const char *p, *end; /* unread text */
  int line;
  const char *line_start; /* of the line p is in */
  VEC(Source *) files;    /* named by location trailers */
  Graph *g;
  Binding *bind; /* hash table of the graph's value names */
  int nbind, bind_size;
} Reader;

/* ---- positions and characters ---- */
static Loc *loc_at(const Reader *r, const char *p) {
  Loc *l = NEW(r->a, Loc);
  *l = (Loc){r->src, r->line, (int)(p - r->line_start) + 1, NULL, NULL};
  return l;
}

static _Noreturn __attribute__((format(printf, 3, 4))) void fail(Reader *r, const char *at, const char *fmt,
                                                                 ...) {
  va_list ap;
  char msg[768];
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  diag_error(r->d, loc_at(r, at), "%s", msg);
  diag_throw(r->d);
}

static char peek(const Reader *r) { return r->p < r->end ? *r->p : '\n'; }
static void skip_blanks(Reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

static void skip_to_line_end(Reader *r) {
  while (r->p < r->end && *r->p != '\n') r->p++;
}

/* Skips blank lines and comments between statements; false at the end of the text. */
static bool skip_lines(Reader *r) {
  for (;;) {
    skip_blanks(r);
    if (r->p < r->end && *r->p == '#') skip_to_line_end(r);
    if (r->p >= r->end) return false;
    if (*r->p != '\n') return true;
    r->p++;
    r->line++;
    r->line_start = r->p;
  }
}

static bool eat(Reader *r, char c) {
  skip_blanks(r);
  if (r->p >= r->end || *r->p != c) return false;
  r->p++;
  return true;
}

/* What stands at p, for messages. */
static const char *found(Reader *r) {
  if (r->p >= r->end) return "the end of the file";
  if (*r->p == '\n') return "the end of the line";
  if ((unsigned char)*r->p < 32 || (unsigned char)*r->p > 126)
    return arena_printf(r->a, "byte 0x%02x", (unsigned char)*r->p);
  size_t n = 1;
  if (text_is_word_char(*r->p, true))
    while (n < 40 && r->p + n < r->end && text_is_word_char(r->p[n], false)) n++;
  return arena_printf(r->a, "'%.*s'", (int)n, r->p);
}

static void expect(Reader *r, char c, const char *where) {
  if (!eat(r, c)) fail(r, r->p, "expected '%c' %s, but found %s", c, where, found(r));
}

/* ---- words, strings, numbers ---- */
/* Length of the word at p (0: none). */
static size_t word_len(const Reader *r, bool digit_first) {
  size_t n = 0;
  while (r->p + n < r->end && text_is_word_char(r->p[n], n == 0 && !digit_first)) n++;
  return n;
}

static const char *read_word(Reader *r, const char *what) {
  skip_blanks(r);
  size_t n = word_len(r, false);
  if (n == 0) fail(r, r->p, "expected %s, but found %s", what, found(r));
  const char *w = arena_strndup(r->a, r->p, n);
  r->p += n;
  return w;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A quoted string at p; NULL (p unmoved) when there is none or it is malformed. */
static const char *try_string(Reader *r) {
  const char *q = r->p;
  if (q >= r->end || *q != '"') return NULL;
  const char *close = q + 1;
  while (close < r->end && *close != '"' && *close != '\n')
    close += *close == '\\' && close + 1 < r->end ? 2 : 1;
  if (close >= r->end || *close != '"') return NULL;
  char *s = arena_alloc(r->a, (size_t)(close - q)), *o = s;
  for (q++; q < close; q++) {
    char c = *q;
    if (c == '\\') {
      c = *++q;
      if (c == 'x') {
        int hi = close - q > 2 ? hex_digit(q[1]) : -1, lo = hi < 0 ? -1 : hex_digit(q[2]);
        if (lo < 0) return NULL;
        c = (char)(hi * 16 + lo);
        q += 2;
      } else if (c != '"' && c != '\\') {
        return NULL;
      }
    }
    if (c == 0) return NULL;
    *o++ = c;
  }
  *o = 0;
  r->p = close + 1;
  return s;
}

static const char *read_string(Reader *r, const char *what) {
  skip_blanks(r);
  if (peek(r) != '"') fail(r, r->p, "expected %s in double quotes, but found %s", what, found(r));
  const char *s = try_string(r);
  if (!s) fail(r, r->p, "this string is not closed on its line or has a bad escape");
  return s;
}

static bool try_int(Reader *r, int64_t *v) {
  char buf[32], *stop;
  size_t n = 0;
  if (r->p < r->end && *r->p == '-') n++;
  size_t digits = n;
  while (r->p + n < r->end && r->p[n] >= '0' && r->p[n] <= '9') n++;
  if (n == digits || n >= sizeof buf) return false;
  memcpy(buf, r->p, n);
  buf[n] = 0;
  errno = 0;
  long long x = strtoll(buf, &stop, 10);
  if (errno) return false;
  *v = x;
  r->p += n;
  return true;
}

static int64_t read_int(Reader *r, const char *what) {
  int64_t v;
  skip_blanks(r);
  if (!try_int(r, &v)) fail(r, r->p, "expected %s (a 64-bit integer), but found %s", what, found(r));
  return v;
}

static Imm read_number(Reader *r, const char *what) {
  char buf[64], *stop;
  size_t n = 0;
  skip_blanks(r);
  while (r->p + n < r->end && n < sizeof buf - 1 &&
         (text_is_word_char(r->p[n], false) || r->p[n] == '-' || r->p[n] == '+'))
    n++;
  memcpy(buf, r->p, n);
  buf[n] = 0;
  Imm v = imm_parse(buf, &stop);
  if (n == 0 || *stop) fail(r, r->p, "expected %s (a number), but found %s", what, found(r));
  r->p += n;
  return v;
}

static double read_double(Reader *r, const char *what) {
  skip_blanks(r);
  const char *at = r->p;
  Imm v = read_number(r, what);
  if (v != (Imm)(double)v && v == v) fail(r, at, "%s is exact up to 2^53", what);
  return (double)v;
}

/* ---- value names ---- */
static Binding *bind_slot(Reader *r, const char *name, size_t len) {
  uint64_t mask = (uint64_t)r->bind_size - 1;
  for (uint64_t h = hash_bytes(name, len, 0);; h++) {
    Binding *b = &r->bind[h & mask];
    if (!b->name || (b->len == len && memcmp(b->name, name, len) == 0)) return b;
  }
}

static void bind(Reader *r, const char *name, size_t len, Val v) {
  if (r->nbind * 2 >= r->bind_size) {
    Binding *old = r->bind;
    int n = r->bind_size;
    r->bind_size = n ? n * 2 : 64;
    r->bind = NEWN(r->a, Binding, r->bind_size);
    for (int i = 0; i < n; i++)
      if (old[i].name) *bind_slot(r, old[i].name, old[i].len) = old[i];
  }
  r->nbind++;
  *bind_slot(r, name, len) = (Binding){name, len, v};
}

static const char *read_value_name(Reader *r, size_t *len) {
  skip_blanks(r);
  if (peek(r) != '%') fail(r, r->p, "expected a value such as %%3, but found %s", found(r));
  r->p++;
  *len = word_len(r, true);
  if (*len == 0) fail(r, r->p, "expected a value's number or name after '%%', but found %s", found(r));
  const char *name = r->p;
  r->p += *len;
  return name;
}

static Val read_value(Reader *r) {
  size_t len;
  const char *name = read_value_name(r, &len);
  Binding *b = r->bind ? bind_slot(r, name, len) : NULL;
  if (!b || !b->name)
    fail(r, name - 1, "%%%.*s is not defined above this line", len > 40 ? 40 : (int)len, name);
  return b->val;
}

/* ---- parts of a statement ---- */
static DType read_type(Reader *r, Shape *s) {
  skip_blanks(r);
  const char *at = r->p, *word = read_word(r, "an element type");
  DType dt = dtype_parse(word);
  if (dt == DT_NONE) {
    const char *names[DT_COUNT];
    for (int i = 1; i < DT_COUNT; i++) names[i - 1] = dtype_name((DType)i);
    const char *near = nearest_name(word, names, DT_COUNT - 1);
    fail(r, at, "unknown element type '%.40s'%s%s%s", word, near ? "; did you mean '" : "", near ? near : "",
         near ? "'?" : "");
  }
  *s = (Shape){0};
  if (!eat(r, '[') || eat(r, ']')) return dt;
  do {
    skip_blanks(r);
    const char *dim_at = r->p;
    int64_t d = read_int(r, "an extent");
    if (s->rank == MAX_RANK) fail(r, dim_at, "at most %d axes are supported", MAX_RANK);
    if (d <= 0) fail(r, dim_at, "extent %lld of axis %d is not positive", (long long)d, s->rank);
    s->dim[s->rank++] = d;
  } while (eat(r, ','));
  expect(r, ']', "after the extents");
  return dt;
}

static Ints read_ints(Reader *r, const char *name) {
  Ints v = {0};
  if (!eat(r, '[')) {
    v.v[v.n++] = read_int(r, name);
    return v;
  }
  if (eat(r, ']')) return v;
  do {
    if (v.n == MAX_RANK) fail(r, r->p, "%s has more than %d entries", name, MAX_RANK);
    v.v[v.n++] = read_int(r, name);
  } while (eat(r, ','));
  expect(r, ']', "after the list");
  return v;
}

static _Noreturn void bad_attr(Reader *r, const char *at, const char *owner, const char *name,
                               const char *const *cand, int n) {
  StrBuf list = {0};
  for (int i = 0; i < n; i++) sb_printf(&list, "%s%s", i ? ", " : "", cand[i]);
  const char *known = list.s ? arena_strdup(r->a, list.s) : NULL, *near = nearest_name(name, cand, n);
  sb_free(&list);
  if (!known) fail(r, at, "%s has no attributes, but found '%.40s'", owner, name);
  if (near) fail(r, at, "%s has no attribute '%.40s'; did you mean '%s'?", owner, name, near);
  fail(r, at, "%s has no attribute '%.40s'; it has %s", owner, name, known);
}

static Init read_init_value(Reader *r) {
  Init init = {0};
  skip_blanks(r);
  const char *at = r->p, *kind = read_word(r, "an initializer");
  int k = INIT_FILL;
  while (k < INIT_KINDS && strcmp(init_kind_names[k], kind) != 0) k++;
  if (k == INIT_KINDS) {
    const char *near = nearest_name(kind, init_kind_names + 1, INIT_KINDS - 1);
    fail(r, at, "unknown initializer '%.40s'%s%s%s", kind, near ? "; did you mean '" : "", near ? near : "",
         near ? "'?" : "");
  }
  init.kind = (InitKind)k;
  expect(r, '(', "after the initializer's name");
  if (init.kind == INIT_COPY) init.from = read_string(r, "the copied state's name");
  else if (init.kind == INIT_FILL) init.a = read_number(r, "the initializer's value");
  else init.a = read_double(r, "the initializer's value");
  if (init.kind == INIT_UNIFORM || init.kind == INIT_NORMAL) {
    expect(r, ',', "between the initializer's values");
    init.b = read_double(r, "the initializer's value");
  }
  expect(r, ')', "after the initializer");
  return init;
}

static Init read_init(Reader *r, const char *owner) {
  static const char *const names[2] = {"init", "stream"};
  Init init = {0};
  bool seen[2] = {false, false};
  if (!eat(r, '{') || eat(r, '}')) return init;
  do {
    skip_blanks(r);
    const char *at = r->p, *name = read_word(r, "an attribute's name");
    int a = 0;
    while (a < 2 && strcmp(name, names[a]) != 0) a++;
    if (a == 2) bad_attr(r, at, owner, name, names, 2);
    if (seen[a]) fail(r, at, "attribute '%s' is given twice", name);
    seen[a] = true;
    expect(r, '=', "after the attribute's name");
    if (a == 0) {
      uint32_t stream = init.stream;
      init = read_init_value(r);
      init.stream = stream;
    } else {
      skip_blanks(r);
      at = r->p;
      int64_t s = read_int(r, "stream");
      if (s < 0 || s > UINT32_MAX) fail(r, at, "stream %lld is not a 32-bit number", (long long)s);
      init.stream = (uint32_t)s;
    }
  } while (eat(r, ','));
  expect(r, '}', "after the attributes");
  return init;
}

static void read_attrs(Reader *r, OpId op, Ints *attr, Imm *imm, const char *op_at) {
  const char *names[MAX_ATTRS + 1];
  char buf[MAX_ATTRS][32];
  bool seen[MAX_ATTRS + 1] = {false};
  int na = op_nattr(op), n = na;
  for (int i = 0; i < na; i++) names[i] = op_attr_name(op, i, buf[i]);
  if (op_has_imm(op)) names[n++] = "value";
  if (eat(r, '{') && !eat(r, '}')) {
    do {
      skip_blanks(r);
      const char *at = r->p, *name = read_word(r, "an attribute's name");
      int a = 0;
      while (a < n && strcmp(name, names[a]) != 0) a++;
      if (a == n) bad_attr(r, at, op_table[op].name, name, names, n);
      if (seen[a]) fail(r, at, "attribute '%s' is given twice", name);
      seen[a] = true;
      expect(r, '=', "after the attribute's name");
      if (a < na) attr[a] = read_ints(r, names[a]);
      else *imm = read_number(r, "value");
    } while (eat(r, ','));
    expect(r, '}', "after the attributes");
  }
  for (int a = 0; a < n; a++)
    if (!seen[a] && (a < na ? !op_attr_optional(op, a)
                            : op == OP_fill)) /* pad and window fill with 0 unless told otherwise */
      fail(r, op_at, "%s needs the attribute '%s'", op_table[op].name, names[a]);
}

static const Source *file_named(Reader *r, const char *path, size_t len) {
  for (int i = 0; i < r->files.n; i++)
    if (strlen(r->files.v[i]->path) == len && memcmp(r->files.v[i]->path, path, len) == 0)
      return r->files.v[i];
  Source *s = NEW(r->a, Source);
  s->path = arena_strndup(r->a, path, len);
  vec_push(r->a, &r->files, s);
  return s;
}

/* One file:line[:col]; false leaves p where it was. */
static bool try_loc(Reader *r, Loc *l) {
  const char *start = r->p, *quoted = try_string(r);
  int64_t line, col = 0;
  *l = (Loc){0};
  if (quoted) {
    l->src = file_named(r, quoted, strlen(quoted));
  } else if (peek(r) == '?') {
    r->p++;
  } else {
    size_t n = 0;
    while (r->p + n < r->end && text_is_path_char(r->p[n])) n++;
    if (n > 0) l->src = file_named(r, r->p, n);
    r->p += n;
  }
  if (r->p == start || peek(r) != ':') goto none;
  r->p++;
  if (!try_int(r, &line) || line < 0 || line > INT32_MAX) goto none;
  if (peek(r) == ':') {
    r->p++;
    if (!try_int(r, &col) || col < 0 || col > INT32_MAX) goto none;
  }
  l->line = (int)line;
  l->col = (int)col;
  return true;
none:
  r->p = start;
  return false;
}

/* Ends a statement. What follows '#' is a location chain and a role where it has that form, else a comment. */
static void read_trailer(Reader *r, const Loc **loc, Role *role) {
  *loc = NULL;
  *role = ROLE_FORWARD;
  skip_blanks(r);
  if (peek(r) == '\n') return;
  if (*r->p != '#') fail(r, r->p, "expected the end of the line, but found %s", found(r));
  r->p++;
  skip_blanks(r);
  Loc l;
  const Loc **up = loc;
  while (try_loc(r, &l)) {
    Loc *copy = NEW(r->a, Loc);
    *copy = l;
    *up = copy;
    up = &copy->up;
    if (!eat(r, '<')) break;
    skip_blanks(r);
  }
  if (eat(r, ';')) {
    skip_blanks(r);
    size_t n = word_len(r, false);
    for (int i = 1; i < ROLES; i++)
      if (strlen(role_names[i]) == n && memcmp(role_names[i], r->p, n) == 0) *role = (Role)i;
  }
  skip_to_line_end(r);
}

/* ---- statements ---- */
static _Noreturn void unknown_operator(Reader *r, const char *at, const char *name) {
  const char *names[OP_COUNT + INPUT_KINDS];
  int n = 0;
  for (int i = 0; i < OP_COUNT; i++)
    if (i != OP_input) names[n++] = op_table[i].name;
  for (int i = 0; i < INPUT_KINDS; i++) names[n++] = input_kind_names[i];
  const char *near = nearest_name(name, names, n);
  fail(r, at, "unknown operator '%.40s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
       near ? "'?" : "");
}

static Val finish_input(Reader *r, const char *at, InputKind kind, DType dt, const Shape *s) {
  skip_blanks(r);
  const char *name_at = r->p, *name = read_string(r, "the input's name");
  if (!*name) fail(r, name_at, "an input needs a name");
  if (g_find_input(r->g, name) >= 0) fail(r, name_at, "input \"%.100s\" is defined twice", name);
  skip_blanks(r);
  const char *init_at = r->p;
  Init init = read_init(r, input_kind_names[kind]);
  if (!input_is_state(kind) && (init.kind != INIT_NONE || init.stream))
    fail(r, init_at, "%s \"%.100s\" is not a state, so it takes no initializer", input_kind_names[kind],
         name);
  if (dt == DT_NONE) fail(r, at, "%s needs a type, as in %%0: f32[2,3] = ...", input_kind_names[kind]);
  read_trailer(r, &r->g->loc, &r->g->role);
  char err[512];
  Node probe = {.op = OP_input, .dt = dt, .shape = *s, .input = -1};
  if (!infer_node(r->g, &probe, err, sizeof err)) fail(r, at, "%s", err);
  return g_input(r->g, name, kind, dt, s, &init);
}

static Extern *read_extern(Reader *r, const char *op_at) {
  static const char *const names[3] = {"library", "symbol", "vjp"};
  Extern *e = NEW(r->a, Extern);
  const char **field[3] = {&e->library, &e->symbol, &e->vjp};
  expect(r, '{', "before the library and symbol");
  do {
    skip_blanks(r);
    const char *at = r->p, *name = read_word(r, "an attribute's name");
    int a = 0;
    while (a < 3 && strcmp(name, names[a]) != 0) a++;
    if (a == 3) bad_attr(r, at, "extern", name, names, 3);
    if (*field[a]) fail(r, at, "attribute '%s' is given twice", name);
    expect(r, '=', "after the attribute's name");
    *field[a] = read_string(r, name);
  } while (eat(r, ','));
  expect(r, '}', "after the attributes");
  if (!e->library || !e->symbol) fail(r, op_at, "extern needs a library and a symbol");
  return e;
}

static Val finish_node(Reader *r, const char *at, OpId op, DType dt, const Shape *s) {
  VEC(Val) in = {0};
  Ints attr[MAX_ATTRS] = {{0}};
  Imm imm = 0;
  skip_blanks(r);
  if (peek(r) == '%') do {
      vec_push(r->a, &in, read_value(r));
    } while (eat(r, ','));
  Extern *ext = NULL;
  if (op == OP_extern) ext = read_extern(r, at);
  else read_attrs(r, op, attr, &imm, at);
  read_trailer(r, &r->g->loc, &r->g->role);
  char err[512];
  Val v = g_try(r->g, op, in.v, in.n, attr, imm, dt, s, err, sizeof err);
  if (v < 0) fail(r, at, "%s", err);
  g_node(r->g, v)->ext = ext;
  return v;
}

/* %name[: type] = operator operands {attributes} */
static void read_definition(Reader *r) {
  size_t len;
  const char *name = read_value_name(r, &len);
  if (r->bind && bind_slot(r, name, len)->name)
    fail(r, name - 1, "%%%.*s is defined twice", len > 40 ? 40 : (int)len, name);
  Shape shape;
  DType dt = DT_NONE;
  if (eat(r, ':')) dt = read_type(r, &shape);
  const Shape *s = dt == DT_NONE ? NULL : &shape;
  expect(r, '=', dt == DT_NONE ? "or ':' after the value's name" : "after the type");
  skip_blanks(r);
  const char *at = r->p, *word = read_word(r, "an operator");
  Val v;
  int kind = 0;
  while (kind < INPUT_KINDS && strcmp(word, input_kind_names[kind]) != 0) kind++;
  OpId op = op_find(word);
  if (kind < INPUT_KINDS) v = finish_input(r, at, (InputKind)kind, dt, s);
  else if (op != OP_COUNT && op != OP_input) v = finish_node(r, at, op, dt, s);
  else unknown_operator(r, at, word);
  bind(r, name, len, v);
}

/* return "name" %v, or update "state" %v */
static void read_output(Reader *r, bool update) {
  skip_blanks(r);
  const char *name_at = r->p, *name = read_string(r, update ? "a state's name" : "the result's name");
  int state = -1;
  if (!*name) fail(r, name_at, "an output needs a name");
  if (update) {
    state = g_find_input(r->g, name);
    if (state < 0 || !input_is_state(r->g->inputs.v[state].kind))
      fail(r, name_at, "update of \"%.100s\", which is not a param, buffer or slot of this graph", name);
  }
  for (int i = 0; i < r->g->outputs.n; i++)
    if ((r->g->outputs.v[i].state >= 0) == update && strcmp(r->g->outputs.v[i].name, name) == 0)
      fail(r, name_at, "\"%.100s\" is %s twice", name, update ? "updated" : "returned");
  skip_blanks(r);
  const char *at = r->p;
  Val v = read_value(r);
  const Node *n = g_node(r->g, v);
  if (update) {
    const Node *st = g_node(r->g, r->g->inputs.v[state].val);
    char a[128], b[128];
    if (n->dt != st->dt || !shape_eq(&n->shape, &st->shape))
      fail(r, at, "state \"%.100s\" is %s and cannot become %s", name, type_str(st->dt, &st->shape, a),
           type_str(n->dt, &n->shape, b));
  }
  const Loc *loc;
  Role role;
  read_trailer(r, &loc, &role);
  g_output(r->g, name, v, state);
}

/* NAME=, which may follow a graph's name. */
static bool graph_setting(Reader *r, const char *name) {
  skip_blanks(r);
  if (word_len(r, false) != strlen(name) || strncmp(r->p, name, strlen(name)) != 0) return false;
  r->p += strlen(name);
  expect(r, '=', "after a setting's name");
  skip_blanks(r);
  return true;
}

static void read_settings(Reader *r) {
  if (graph_setting(r, "precision")) {
    const char *at = r->p;
    r->g->precision = dtype_parse(read_word(r, "a type"));
    if (!dtype_is_narrow(r->g->precision)) fail(r, at, "the precision of a graph is bf16, f16 or not given");
  }
  static const char *const names[] = {"ranks", "spread"};
  int *number[] = {&r->g->ranks, &r->g->spread};
  for (int i = 0; i < 2; i++) {
    if (!graph_setting(r, names[i])) continue;
    const char *at = r->p;
    int64_t n = read_int(r, names[i]);
    if (n < 2 || n > MOST_RANKS) fail(r, at, "a graph is shared by 2 to %d ranks", MOST_RANKS);
    *number[i] = (int)n;
  }
}

static Graph *read_graph(Reader *r) {
  const char *at = r->p, *word = read_word(r, "'graph'");
  if (strcmp(word, "graph") != 0) fail(r, at, "expected 'graph', but found '%.40s'", word);
  const Loc *start = loc_at(r, at);
  skip_blanks(r);
  const char *name = peek(r) == '"' ? read_string(r, "the graph's name") : read_word(r, "the graph's name");
  r->g = graph_new(r->a, name);
  read_settings(r);
  expect(r, '{', "after the graph's name");
  r->bind = NULL;
  r->nbind = r->bind_size = 0;
  for (;;) {
    if (!skip_lines(r))
      fail(r, r->p, "graph %.40s is not closed: expected '}', but found the end of the file", name);
    if (eat(r, '}')) break;
    at = r->p;
    if (peek(r) == '%') {
      read_definition(r);
    } else {
      word = read_word(r, "a value, 'return', 'update' or '}'");
      bool update = strcmp(word, "update") == 0;
      if (!update && strcmp(word, "return") != 0)
        fail(r, at, "expected a value, 'return', 'update' or '}', but found '%.40s'", word);
      read_output(r, update);
    }
  }
  r->g->loc = NULL;
  r->g->role = ROLE_FORWARD;
  char err[512];
  if (!graph_verify(r->g, err, sizeof err)) {
    diag_error(r->d, start, "%s", err);
    diag_throw(r->d);
  }
  return r->g;
}

static int read_file(Reader *r, Graph **out, int max) {
  int n = 0;
  while (skip_lines(r)) {
    if (n == max) fail(r, r->p, "at most %d graph%s can be read from this file", max, max == 1 ? "" : "s");
    out[n++] = read_graph(r);
  }
  if (n == 0) fail(r, r->p, "expected 'graph', but found the end of the file");
  return n;
}

int graph_read(Arena *a, const Source *src, Diags *d, Graph **out, int max) {
  Reader r = {.a = a, .src = src, .d = d, .p = src->text, .end = src->text + src->len, .line = 1};
  if (!source_is_text(src, d)) return -1;
  if (source_has_mark(src)) r.p += TEXT_MARK;
  r.line_start = r.p;
  jmp_buf trap, **slot = diags_trap(d), *saved = *slot;
  *slot = &trap;
  int n = setjmp(trap) ? -1 : read_file(&r, out, max);
  *slot = saved;
  return n;
}
