/* jepac lsp: a language server (Language Server Protocol 3.17) on standard input and output. A document is elaborated
   whole at every change, some milliseconds; nothing is compiled, and no library that it names is loaded. */
#include "cli/cli.h"
#include "cli/rpc.h"
#include "frontend/fmt.h"
#include "frontend/frontend.h"
#include "ir/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Document {
  struct Document *next;
  char *uri, *path, *text;
  Arena *arena; /* of what follows: as it was when it last could be parsed */
  char *parsed; /* that text */
  Symbols *symbols;
} Document;

typedef struct {
  FILE *in, *out;
  Document *documents;
  bool shutdown;
} Server;

enum { METHOD_NOT_FOUND = -32601, INVALID_PARAMS = -32602, INVALID_REQUEST = -32600 };

/* ---- documents ---- */
static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* file:///a%20b to /a b; anything else stays. */
static char *uri_path(const char *uri) {
  const char *p = strncmp(uri, "file://", 7) ? uri : uri + 7;
  char *path = xmalloc(strlen(p) + 1, "a path"), *out = path;
  for (; *p; p++)
    if (*p == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
      *out++ = (char)(hex(p[1]) * 16 + hex(p[2]));
      p += 2;
    } else {
      *out++ = *p;
    }
  *out = 0;
  return path;
}

static json_t *path_uri(const char *path) {
  char full[PATH_MAX];
  StrBuf b = {0};
  sb_printf(&b, "file://");
  for (const char *p = realpath(path, full) ? full : path; *p; p++)
    if (strchr("%?# \"<>", *p) || (unsigned char)*p >= 128) sb_printf(&b, "%%%02X", (unsigned char)*p);
    else sb_put(&b, p, 1);
  json_t *uri = json_string(b.s);
  sb_free(&b);
  return uri;
}

static char *copy(const char *s) {
  size_t n = strlen(s) + 1;
  return memcpy(xmalloc(n, "a document"), s, n);
}

static Document *find_document(Server *s, const char *uri) {
  Document *d = s->documents;
  while (d && strcmp(d->uri, uri)) d = d->next;
  return d;
}

static void forget_analysis(Document *d) {
  if (d->arena) arena_free(d->arena);
  free(d->parsed);
  d->arena = NULL;
  d->parsed = NULL;
  d->symbols = NULL;
}

static void close_document(Server *s, const char *uri) {
  for (Document **p = &s->documents; *p; p = &(*p)->next) {
    Document *d = *p;
    if (strcmp(d->uri, uri)) continue;
    *p = d->next;
    forget_analysis(d);
    free(d->uri);
    free(d->path);
    free(d->text);
    free(d);
    return;
  }
}

/* ---- positions: lines from 0 and UTF-16 units in the protocol, bytes here ---- */
static const char *line_start(const char *text, int line) {
  for (; line > 0 && text; line--) text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL;
  return text;
}

static int units(unsigned char c) { return (c & 0xc0) == 0x80 ? 0 : c >= 0xf0 ? 2 : 1; }

static json_t *position(const char *text, int offset) {
  int line = 0, col = 0;
  for (int i = 0; i < offset && text[i]; i++)
    if (text[i] == '\n') line++, col = 0;
    else col += units((unsigned char)text[i]);
  return json_pack("{s:i, s:i}", "line", line, "character", col);
}

static json_t *range(const char *text, int begin, int end) {
  return json_pack("{s:o, s:o}", "start", position(text, begin), "end", position(text, end));
}

/* The byte of {line, character}; -1 when there is no such line. */
static int offset_of(const char *text, const json_t *at) {
  const char *p = line_start(text, (int)json_integer_value(json_object_get(at, "line")));
  if (!p) return -1;
  for (int col = (int)json_integer_value(json_object_get(at, "character")); *p && *p != '\n'; p++) {
    if (col <= 0 && units((unsigned char)*p)) break;
    col -= units((unsigned char)*p);
  }
  return (int)(p - text);
}

/* ---- analysis ---- */
static bool is_name(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* From a line and column of a message (1-based bytes) to the end of the word there. */
static json_t *message_range(const char *text, const Loc *l) {
  const char *p = l ? line_start(text, l->line - 1) : text;
  if (!p) p = text;
  int begin = (int)(p - text) + (l && l->col > 0 ? l->col - 1 : 0), end = begin;
  while (is_name(text[end])) end++;
  return range(text, begin, end > begin ? end : text[begin] && text[begin] != '\n' ? begin + 1 : begin);
}

static bool in_document(const Loc *l, const Document *d) {
  return l && l->src && !strcmp(l->src->path, d->path);
}

static json_t *related(const Document *d, const Diag *note) {
  bool here = in_document(note->loc, d);
  const Source *src = note->loc ? note->loc->src : NULL;
  bool file = src && src->path[0] == '/';
  json_t *uri = here || !file ? json_string(d->uri) : path_uri(src->path);
  const char *text = here ? d->text : file ? src->text : NULL;
  json_t *where = text ? message_range(text, note->loc) : range(d->text, 0, 0);
  return json_pack("{s:{s:o, s:o}, s:s}", "location", "uri", uri, "range", where, "message", note->text);
}

static void publish(Server *s, const Document *d, const Diags *said) {
  json_t *list = json_array(), *notes = NULL;
  Diag m;
  for (int i = 0; diags_at(said, i, &m); i++) {
    if (m.kind == DIAG_NOTE) {
      if (notes) json_array_append_new(notes, related(d, &m));
      continue;
    }
    bool here = in_document(m.loc, d);
    const char *file = m.loc && m.loc->src && !here ? m.loc->src->path : NULL;
    StrBuf text = {0};
    sb_printf(&text, "%s%s%s", file ? file : "", file ? ": " : "", m.text);
    notes = json_array();
    json_array_append_new(list, json_pack("{s:o, s:i, s:s, s:s, s:o}", "range",
                                          message_range(d->text, here ? m.loc : NULL), "severity",
                                          m.kind == DIAG_ERROR ? 1 : 2, "source", "jepac", "message", text.s,
                                          "relatedInformation", notes));
    sb_free(&text);
  }
  rpc_notify(s->out, "textDocument/publishDiagnostics",
             json_pack("{s:s, s:o}", "uri", d->uri, "diagnostics", list));
}

enum { ANY_EXTENT = 8 }; /* of a dimension without a value, so that the rest is known */

static void analyse(Server *s, Document *d) {
  Arena *a = arena_new();
  Diags *said = diags_new(a), *unheard = diags_new(a);
  char *text = copy(d->text);
  Symbols *symbols = symbols_new(a);
  FrontendOptions o = {
      .std_dir = compiler_models(a), .text = text, .open_dims = ANY_EXTENT, .symbols = symbols};
  Model *m = frontend_load(a, said, arena_strdup(a, d->path), &o);
  for (int i = 0; m && i < frontend_entry_count(m); i++)
    frontend_entry(m, said, frontend_entry_name(m, i), true, false);
  if (m && frontend_recipe(m, unheard)) frontend_train_step(m, said, true);
  publish(s, d, said);
  if (!symbols_known(symbols)) { /* what names mean is known from before */
    arena_free(a);
    free(text);
    return;
  }
  forget_analysis(d);
  d->arena = a;
  d->parsed = text;
  d->symbols = symbols;
}

static void open_document(Server *s, const char *uri, const char *text) {
  Document *d = find_document(s, uri);
  if (!d) {
    d = xmalloc(sizeof *d, "a document");
    *d = (Document){.next = s->documents, .uri = copy(uri), .path = uri_path(uri)};
    s->documents = d;
  }
  free(d->text);
  d->text = copy(text);
  analyse(s, d);
}

/* ---- requests ---- */
/* A place in the parsed text that means the one in the text as it is: the same line and column. */
static int parsed_offset(const Document *d, const json_t *at) {
  return d->parsed ? offset_of(d->parsed, at) : -1;
}

static json_t *hover(Document *d, const json_t *at, const json_t *params, const char **why) {
  (void)params, (void)why;
  Symbol y;
  if (!d->symbols || !symbols_at(d->symbols, parsed_offset(d, at), &y) || !y.text) return json_null();
  StrBuf b = {0};
  sb_printf(&b, "```jepa\n%s\n```", y.text);
  if (y.doc) sb_printf(&b, "\n%s", y.doc);
  json_t *r = json_pack("{s:{s:s, s:s}, s:o}", "contents", "kind", "markdown", "value", b.s, "range",
                        range(d->parsed, y.at.begin, y.at.end));
  sb_free(&b);
  return r;
}

/* The library is part of the program. Its text lies in files too, beside the models where jepac is installed; NULL: not
   there, or of another version. */
static const char *library_file(Arena *a, const Source *src) {
  static const char *const where[] = {"../std", "../frontend/std"};
  const char *models = compiler_models(a), *name = strrchr(src->path, '/');
  for (size_t i = 0; models && name && i < sizeof where / sizeof *where; i++) {
    const char *path = arena_printf(a, "%s/%s%s", models, where[i], name);
    const Source *file = source_read(a, path);
    if (file && file->len == src->len && !memcmp(file->text, src->text, src->len)) return path;
  }
  return NULL;
}

static json_t *definition(Document *d, const json_t *at, const json_t *params, const char **why) {
  (void)params;
  Symbol y;
  if (!d->symbols || !symbols_at(d->symbols, parsed_offset(d, at), &y)) return json_null();
  const Source *src = y.decl.src;
  *why = "this is built into jepac: there is no text to open";
  if (!src) return y.doc ? NULL : json_null();
  bool here = !strcmp(src->path, d->path);
  const char *path = here || src->path[0] == '/' ? src->path : library_file(d->arena, src);
  *why = "this is of the library, which is part of jepac: its files are not installed";
  if (!path) return NULL;
  return json_pack("{s:o, s:o}", "uri", here ? json_string(d->uri) : path_uri(path), "range",
                   range(src->text, y.decl.begin, y.decl.end));
}

static json_t *references(Document *d, const json_t *at, const json_t *params, const char **why) {
  (void)params, (void)why;
  Span *span;
  int n = d->symbols ? symbols_same(d->symbols, parsed_offset(d, at), &span) : 0;
  json_t *list = json_array();
  for (int i = 0; i < n; i++)
    json_array_append_new(
        list, json_pack("{s:s, s:o}", "uri", d->uri, "range", range(d->parsed, span[i].begin, span[i].end)));
  return list;
}

/* Edits that give the name another one; NULL and *why when that cannot be. */
static json_t *rename_name(Document *d, const json_t *at, const json_t *params, const char **why) {
  const char *name = json_string_value(json_object_get(params, "newName"));
  Span *span;
  *why = "the text has errors: nothing can be renamed before they are mended";
  if (!d->symbols || strcmp(d->parsed, d->text)) return NULL;
  *why = "a name is letters, digits and _, and does not begin with a digit";
  if (!name || !*name || (*name >= '0' && *name <= '9')) return NULL;
  for (const char *p = name; *p; p++)
    if (!is_name(*p)) return NULL;
  int n = symbols_same(d->symbols, offset_of(d->text, at), &span);
  *why = "this name is not declared in this file";
  if (!n) return NULL;
  json_t *edits = json_array();
  for (int i = 0; i < n; i++)
    json_array_append_new(
        edits, json_pack("{s:o, s:s}", "range", range(d->text, span[i].begin, span[i].end), "newText", name));
  return json_pack("{s:{s:o}}", "changes", d->uri, edits);
}

static json_t *complete(Document *d, const json_t *at, const json_t *params, const char **why) {
  (void)params, (void)why;
  json_t *list = json_array();
  int offset = offset_of(d->text, at), begin = offset;
  if (offset < 0 || !d->symbols) return list;
  while (begin > 0 && is_name(d->text[begin - 1])) begin--;
  char *of = NULL;
  if (begin > 0 && d->text[begin - 1] == '.') {
    int end = begin - 1, from = end;
    while (from > 0 && is_name(d->text[from - 1])) from--;
    of = strndup(d->text + from, (size_t)(end - from));
  }
  int before = parsed_offset(d, at);
  Candidate *c;
  int n = symbols_candidates(d->symbols, before < 0 ? (int)strlen(d->parsed) : before, of, &c);
  for (int i = 0; i < n; i++) {
    if (strncmp(c[i].name, d->text + begin, (size_t)(offset - begin))) continue;
    json_t *item = json_pack("{s:s}", "label", c[i].name);
    if (c[i].detail) json_object_set_new(item, "detail", json_string(c[i].detail));
    json_array_append_new(list, item);
  }
  free(of);
  return list;
}

static json_t *format(Document *d, const json_t *at, const json_t *params, const char **why) {
  (void)at, (void)params;
  Arena *a = arena_new();
  StrBuf b = {0};
  Source src = {d->path, d->text, strlen(d->text)};
  bool ok = frontend_format(a, diags_new(a), &src, &b);
  json_t *edits = ok ? json_array() : NULL;
  if (ok && strcmp(b.s ? b.s : "", d->text))
    json_array_append_new(edits, json_pack("{s:o, s:s}", "range", range(d->text, 0, (int)strlen(d->text)),
                                           "newText", b.s ? b.s : ""));
  *why = "the text has errors: it stays as it is";
  sb_free(&b);
  arena_free(a);
  return edits;
}

static json_t *abilities(void) {
  return json_pack("{s:{s:{s:b, s:i}, s:b, s:b, s:b, s:b, s:b, s:{s:[s]}}, s:{s:s, s:s}}", "capabilities",
                   "textDocumentSync", "openClose", 1, "change", 1, "hoverProvider", 1, "definitionProvider",
                   1, "referencesProvider", 1, "renameProvider", 1, "documentFormattingProvider", 1,
                   "completionProvider", "triggerCharacters", ".", "serverInfo", "name", "jepac", "version",
                   JEPAC_VERSION);
}

static const char *text_at(const json_t *o, const char *key, const char *inner) {
  return json_string_value(inner ? json_object_get(json_object_get(o, key), inner) : json_object_get(o, key));
}

/* Each answers NULL with *why when it cannot. */
static const struct {
  const char *method;
  json_t *(*answer)(Document *d, const json_t *at, const json_t *params, const char **why);
  bool position;
} answers[] = {
    {"textDocument/hover", hover, true},           {"textDocument/definition", definition, true},
    {"textDocument/references", references, true}, {"textDocument/completion", complete, true},
    {"textDocument/rename", rename_name, true},    {"textDocument/formatting", format, false},
};

static void request(Server *s, json_t *id, const char *method, const json_t *params) {
  if (!strcmp(method, "initialize")) {
    rpc_result(s->out, id, abilities());
    return;
  }
  if (!strcmp(method, "shutdown")) {
    s->shutdown = true;
    rpc_result(s->out, id, json_null());
    return;
  }
  const char *uri = text_at(params, "textDocument", "uri"), *why = "this document is not open";
  Document *d = uri ? find_document(s, uri) : NULL;
  const json_t *at = json_object_get(params, "position");
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    if (strcmp(method, answers[i].method)) continue;
    if (d && answers[i].position && !json_is_object(at)) why = "a position is missing", d = NULL;
    json_t *r = d ? answers[i].answer(d, at, params, &why) : NULL;
    if (r) rpc_result(s->out, id, r);
    else rpc_error(s->out, id, INVALID_PARAMS, why);
    return;
  }
  rpc_error(s->out, id, METHOD_NOT_FOUND, "this server does not have this method");
}

static void notification(Server *s, const char *method, const json_t *params) {
  const char *uri = text_at(params, "textDocument", "uri");
  if (!uri) return;
  if (!strcmp(method, "textDocument/didOpen")) {
    const char *text = text_at(params, "textDocument", "text");
    if (text) open_document(s, uri, text);
  } else if (!strcmp(method, "textDocument/didChange")) {
    const json_t *changes = json_object_get(params, "contentChanges");
    const char *text = text_at(json_array_get(changes, json_array_size(changes) - 1), "text", NULL);
    if (text) open_document(s, uri, text);
  } else if (!strcmp(method, "textDocument/didClose")) {
    close_document(s, uri);
  }
}

Status cmd_lsp(Cli *c) {
  int fd = dup(STDOUT_FILENO); /* what an editor reads keeps its carriage returns, unlike what is printed */
  Server s = {.in = stdin, .out = fd < 0 ? NULL : fdopen(fd, "w")};
  if (!s.out) return cli_fail(c, ST_FILE, "cannot write to standard output: %s", strerror(errno));
  json_t *message;
  const char *why;
  RpcStatus got;
  bool left = false;
  while (!left && (got = rpc_read(s.in, s.out, &message, &why)) == RPC_MESSAGE) {
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *id = json_object_get(message, "id");
    const json_t *params = json_object_get(message, "params");
    if (!method && id && !json_object_get(message, "result") && !json_object_get(message, "error"))
      rpc_error(s.out, id, INVALID_REQUEST, "a request needs a method");
    else if (method && !strcmp(method, "exit")) left = true;
    else if (method && id && s.shutdown)
      rpc_error(s.out, id, INVALID_REQUEST, "the server was asked to shut down");
    else if (method && id) request(&s, id, method, params);
    else if (method) notification(&s, method, params);
    json_decref(message);
  }
  while (s.documents) close_document(&s, s.documents->uri);
  fclose(s.out);
  if (!left && got == RPC_BROKEN) return cli_fail(c, ST_USAGE, "jepac lsp: %s", why);
  return left && !s.shutdown ? cli_fail(c, ST_USAGE, "jepac lsp: exit without a shutdown before it") : ST_OK;
}
