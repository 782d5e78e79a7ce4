/* --dump-ir's index.html: one self-contained page with every stage's text, the model's sources and the code
   of each kernel. This file gathers them as JSON; the page (viewer.html, compiled in) does the rest. */
#include "cli/html.h"

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
  double since;
};

HtmlDump *html_dump_new(Cli *c) {
  HtmlDump *h = NEW(c->arena, HtmlDump);
  h->c = c;
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
  for (Val v = 0; v < g->node.n; v++)
    for (const Loc *l = g_node(g, v)->loc; l; l = l->up) add_source(h, l->src);
  StrBuf b = {0};
  graph_print(g, &b);
  html_dump_stage(h, "graph", b.s ? b.s : "");
  sb_free(&b);
}

void html_dump_stage(HtmlDump *h, const char *name, const char *text) {
  Arena *a = h->c->arena;
  Stage s = {arena_strdup(a, name), arena_strdup(a, text), (now_seconds() - h->since) * 1e3};
  vec_push(a, &h->stage, s);
  h->since = now_seconds();
}

/* ---- code ---- */
enum { MOST_CODE = 24 << 20, MOST_KERNEL = 400 << 10 };

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
    json_t *one;
    while (json_array_size(code) <= (size_t)k) json_array_append_new(code, json_object());
    one = json_array_get(code, (size_t)k);
    const char *name = p + mark + strspn(p + mark, " ");
    json_object_set_new(one, "name", json_stringn(name, strcspn(name, " \n")));
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

Status html_dump_write(HtmlDump *h, const char *folder) {
  Cli *c = h->c;
  if (!h->stage.n) return ST_OK;
  json_t *stages = json_array(), *sources = json_object();
  for (int i = 0; i < h->stage.n; i++)
    json_array_append_new(stages, json_pack("{s:s, s:s, s:f}", "name", h->stage.v[i].name, "text",
                                            h->stage.v[i].text, "ms", h->stage.v[i].ms));
  for (int i = 0; i < h->source.n; i++)
    json_object_set_new(sources, h->source.v[i]->path, json_string(h->source.v[i]->text));
  json_t *all = json_pack("{s:s, s:o, s:o, s:o}", "title", c->opt.narg ? c->opt.arg[0] : "", "stages", stages,
                          "sources", sources, "code", code_of(h));
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
