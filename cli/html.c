/* --dump-ir's index.html: a page with the stages, the model's sources and what is known of each kernel. The texts of the
   stages and the kernels' code lie in scripts beside it, page/NAME.js, which it loads when they are first shown (a page
   read from a disk may load scripts and nothing else). This file gathers them as JSON; the page (viewer.html, compiled in)
   does the rest. */
#include "cli/html.h"

#include "cli/lines.h"
#include "runtime/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "viewer.inc"

typedef struct {
  const char *name, *text;
  double ms;
} Stage;

struct HtmlDump {
  Cli *c;
  VEC(Stage) stage;
  VEC(const Source *) source;
  Lines *places;   /* lines that values of the graph come from */
  json_t *kernels; /* of the last program */
  Roof roof;
  bool timed; /* the measured program is the last */
  double since;
};

HtmlDump *html_dump_new(Cli *c) {
  HtmlDump *h = NEW(c->arena, HtmlDump);
  h->c = c;
  h->places = lines_new(c->arena);
  h->kernels = json_array();
  h->since = now_seconds();
  return h;
}

static void add_source(HtmlDump *h, const Source *s) {
  if (!s || !s->text) return;
  for (int i = 0; i < h->source.n; i++)
    if (!strcmp(h->source.v[i]->path, s->path)) return;
  vec_push(h->c->arena, &h->source, s);
}

void html_dump_graph(HtmlDump *h, const Graph *g) {
  if (h->timed) return;
  for (Val v = 0; v < g->node.n; v++) {
    for (const Loc *l = g_node(g, v)->loc; l; l = l->up) add_source(h, l->src);
    lines_find(h->places, g_node(g, v)->loc);
  }
  StrBuf b = {0};
  graph_print(g, &b);
  html_dump_stage(h, "graph", b.s ? b.s : "");
  sb_free(&b);
}

void html_dump_stage(HtmlDump *h, const char *name, const char *text) {
  Arena *a = h->c->arena;
  if (h->timed) return;
  Stage s = {arena_strdup(a, name), arena_strdup(a, text), (now_seconds() - h->since) * 1e3};
  vec_push(a, &h->stage, s);
  h->since = now_seconds();
}

/* ---- kernels ---- */
static const char *place_of(Cli *c, Lines *t, const Loc *loc) {
  int found = lines_find(t, loc);
  const ModelLine *l = &t->v.v[found];
  return l->path ? arena_printf(c->arena, "%s:%d", l->path, l->line) : "";
}

void html_dump_program(HtmlDump *h, const Program *p) {
  if (h->timed) return;
  Cli *c = h->c;
  Lines *modules = lines_new_modules(c->arena), *lines = lines_new(c->arena);
  json_array_clear(h->kernels);
  for (int i = 0; i < p->kernel.n; i++) {
    const Kernel *k = &p->kernel.v[i];
    int m = lines_find(modules, k->loc);
    const char *module = modules->v.v[m].path;
    json_array_append_new(h->kernels, json_pack("[s, s, s, s, s, f, f, f, f]", kernel_name(p, i, c->arena),
                                                kernel_kind(k), role_word(k->role), module ? module : "",
                                                place_of(c, lines, k->loc), k->flops, k->bytes, 0.0, 0.0));
  }
}

void html_dump_times(HtmlDump *h, const Program *p, const double *seconds, const Roof *roof) {
  enum { MS = 7, ROOF_MS = 8 };
  html_dump_program(h, p);
  for (int i = 0; i < p->kernel.n; i++) {
    json_t *row = json_array_get(h->kernels, (size_t)i);
    json_array_set_new(row, MS, json_real(seconds[i] * 1e3));
    json_array_set_new(row, ROOF_MS, json_real(roof_kernel_seconds(p, i, roof) * 1e3));
  }
  h->roof = *roof;
  h->timed = true;
}

/* ---- code ---- */
enum { MOST_CODE = 96 << 20, MOST_KERNEL = 400 << 10, KERNELS_A_FILE = 16 };

/* Cuts the text of a whole program at the lines "; k12_add  file:line" into kernels; texts beyond the limits
   are left out, and the page says where they are. */
static void put_code(json_t *code, const char *text, const char *comment, const char *what) {
  size_t total = 0, mark = strlen(comment);
  for (const char *p = text; p && *p;) {
    int k, n = 0;
    if (strncmp(p, comment, mark) || sscanf(p + mark, " k%d%n", &k, &n) != 1 || k < 0) {
      p = strchr(p, '\n');
      p = p ? p + 1 : NULL;
      continue;
    }
    const char *end = strchr(p, '\n');
    while (end) { /* to the next such line */
      int next, m = 0;
      if (!strncmp(end + 1, comment, mark) && sscanf(end + 1 + mark, " k%d%n", &next, &m) == 1 &&
          next == k + 1 && end[1 + mark + m] == '_')
        break;
      end = strchr(end + 1, '\n');
    }
    size_t len = end ? (size_t)(end - p) : strlen(p);
    while (json_array_size(code) <= (size_t)k) json_array_append_new(code, json_object());
    json_t *one = json_array_get(code, (size_t)k);
    if (len < MOST_KERNEL && total + len < MOST_CODE) {
      json_object_set_new(one, what, json_stringn(p, len));
      total += len;
    }
    p = end ? end + 1 : NULL;
  }
}

static json_t *code_of(HtmlDump *h) {
  json_t *code = json_array();
  const Stage *last = NULL;
  for (int i = 0; i < h->stage.n; i++)
    if (!strncmp(h->stage.v[i].text, "program ", 8)) last = &h->stage.v[i];
  Diags *quiet = diags_new(h->c->arena);
  if (!last) return code;
  Source src = {"dump", last->text, strlen(last->text)};
  const Program *p = program_read(h->c->arena, &src, quiet);
  const CodegenApi *api = p ? compiler_codegen(cli_compiler(h->c, 0)) : NULL;
  if (!api) return code;
  for (int assembly = 0; assembly < 2; assembly++) {
    StrBuf b = {0};
    if (!api->text(p, assembly, &b, quiet) && b.s)
      put_code(code, b.s, assembly ? "#" : ";", assembly ? "asm" : "llvm");
    sb_free(&b);
  }
  return code;
}

/* ---- files ---- */
/* folder/page/NAME.js, which gives the page this value. */
static Status write_part(HtmlDump *h, const char *folder, const char *name, const json_t *value) {
  char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
  if (!text) bug("%s could not be written as JSON", name);
  StrBuf b = {0};
  sb_printf(&b, "part(\"%s\",", name);
  sb_put(&b, text, strlen(text));
  sb_printf(&b, ")\n");
  free(text);
  Status s = cli_write_text(h->c, arena_printf(h->c->arena, "%s/page/%s.js", folder, name), b.s, b.n);
  sb_free(&b);
  return s;
}

static int lines_starting(const char *text, const char *start, char after) {
  int n = 0;
  size_t len = strlen(start);
  for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL) {
    size_t digits = strncmp(p, start, len) ? 0 : strspn(p + len, "0123456789");
    n += digits && p[len + digits] == after;
  }
  return n;
}

static Status write_stages(HtmlDump *h, const char *folder, json_t *stages) {
  Status s = ST_OK;
  for (int i = 0; i < h->stage.n && !s; i++) {
    const Stage *x = &h->stage.v[i];
    json_array_append_new(stages, json_pack("{s:s, s:f, s:i, s:i}", "name", x->name, "ms", x->ms, "ops",
                                            lines_starting(x->text, "  %", ':'), "kernels",
                                            lines_starting(x->text, "k", ' ')));
    json_t *text = json_string(x->text);
    s = write_part(h, folder, arena_printf(h->c->arena, "stage-%d", i), text);
    json_decref(text);
  }
  return s;
}

static Status write_code(HtmlDump *h, const char *folder, bool *any) {
  json_t *code = code_of(h);
  size_t n = json_array_size(code);
  Status s = ST_OK;
  *any = n > 0;
  for (size_t i = 0; i < n && !s; i += KERNELS_A_FILE) {
    json_t *part = json_array();
    for (size_t k = i; k < n && k < i + KERNELS_A_FILE; k++) json_array_append(part, json_array_get(code, k));
    s = write_part(h, folder, arena_printf(h->c->arena, "code-%zu", i / KERNELS_A_FILE), part);
    json_decref(part);
  }
  json_decref(code);
  return s;
}

static json_t *places(const HtmlDump *h) {
  json_t *list = json_array();
  for (int i = 1; i < h->places->v.n; i++)
    json_array_append_new(list, json_string(arena_printf(h->c->arena, "%s:%d", h->places->v.v[i].path,
                                                         h->places->v.v[i].line)));
  return list;
}

static Status write_page(HtmlDump *h, const char *folder, json_t *stages, bool code) {
  Cli *c = h->c;
  json_t *sources = json_object(), *roof = json_null();
  for (int i = 0; i < h->source.n; i++)
    json_object_set_new(sources, h->source.v[i]->path, json_string(h->source.v[i]->text));
  if (h->timed) roof = json_pack("{s:f, s:f}", "flops", h->roof.flops, "bytes", h->roof.bytes);
  json_t *all = json_pack("{s:s, s:O, s:o, s:o, s:O, s:o, s:i}", "title", c->opt.narg ? c->opt.arg[0] : "",
                          "stages", stages, "sources", sources, "places", places(h), "kernels", h->kernels,
                          "roof", roof, "chunk", code ? KERNELS_A_FILE : 0);
  char *text = all ? json_dumps(all, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
  json_decref(all);
  if (!text) bug("the stages could not be written as JSON");
  const char *hole = strstr(viewer_page, "@DATA@");
  StrBuf b = {0};
  sb_put(&b, viewer_page, (size_t)(hole - viewer_page));
  for (const char *p = text; *p;) { /* "</script" would end the script: JSON may write "<" as an escape */
    size_t n = strcspn(p, "<");
    sb_put(&b, p, n);
    p += n;
    if (*p) sb_printf(&b, "\\u003c"), p++;
  }
  sb_put(&b, hole + 6, strlen(hole + 6));
  free(text);
  Status s = cli_write_text(c, arena_printf(c->arena, "%s/index.html", folder), b.s, b.n);
  sb_free(&b);
  return s;
}

Status html_dump_write(HtmlDump *h, const char *folder) {
  bool code = false;
  json_t *stages = json_array();
  Status s = ST_OK;
  if (h->stage.n && !(s = file_make_folder(arena_printf(h->c->arena, "%s/page", folder), h->c->diags)) &&
      !(s = write_stages(h, folder, stages)) && !(s = write_code(h, folder, &code)))
    s = write_page(h, folder, stages, code);
  json_decref(stages);
  json_decref(h->kernels);
  return s;
}
