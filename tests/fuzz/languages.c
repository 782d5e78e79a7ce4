/* Fuzz targets of text: model files, and the two readers of IR dumps. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "frontend/frontend.h"
#include "ir/graph/graph.h"
#include "passes/graph/pass.h"
#include "passes/pipeline.h"

/* What fits a test: the passes' work grows with the nodes, lowering's with the extents' factors only. */
enum { MOST_NODES = 600, MOST_ENTRIES = 2 };

static Source *source(Arena *a, const char *name, const uint8_t *data, size_t n) {
  Source *s = NEW(a, Source);
  *s = (Source){name, arena_strndup(a, (const char *)data, n), 0};
  s->len = strlen(s->text);
  return s;
}

/* All passes and the lowering of a small graph; every verifier runs in between. */
static void lower(Arena *a, const Graph *g) {
  static const char *const cpu[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
  if (!g || g->node.n > MOST_NODES) return;
  Diags *d = diags_new(a);
  PipelineOptions o = {.verify_each = true};
  Graph *h = pipeline_graph(a, g, &o, d);
  if (!h) {
    FUZZ_CHECK(diags_errors(d) > 0);
    return;
  }
  if (h->node.n > 4 * MOST_NODES) return;
  Target t;
  Status st = ST_OK;
  FUZZ_CHECK(target_named(cpu[g->node.n % 3], &t));
  Program *p = pipeline_lower(a, h, &t, &o, d, &st);
  FUZZ_CHECK(p || st);
}

void fuzz_model(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  const Source *s = source(a, "input.jepa", data, n);
  static Library *library; /* parsing it would take nine tenths of the time */
  if (!library) library = library_parse(arena_new());
  FrontendOptions o = {.text = s->text, .library = library};
  Model *m = frontend_load(a, d, "input.jepa", &o);
  FUZZ_CHECK(m || diags_errors(d) > 0);
  for (int i = 0; m && i < frontend_entry_count(m) && i < MOST_ENTRIES; i++)
    for (int mode = 0; mode < 2; mode++) {
      Graph *g = frontend_entry(m, d, frontend_entry_name(m, i), mode, mode);
      FUZZ_CHECK(g || diags_errors(d) > 0);
      lower(a, g);
    }
  if (m) lower(a, frontend_train_step(m, d, false));
  arena_free(a);
}

void fuzz_graph(const uint8_t *data, size_t n) {
  enum { MOST_GRAPHS = 4 };
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  Graph *g[MOST_GRAPHS];
  int found = graph_read(a, source(a, "input.ir", data, n), d, g, MOST_GRAPHS);
  FUZZ_CHECK(found >= 0 || diags_errors(d) > 0);
  for (int i = 0; i < found && i < MOST_GRAPHS; i++) {
    StrBuf x = {0}, y = {0};
    Graph *again;
    graph_print(g[i], &x);
    FUZZ_CHECK(graph_read(a, source(a, "printed.ir", (const uint8_t *)x.s, x.n), d, &again, 1) == 1);
    graph_print(again, &y);
    FUZZ_CHECK(x.n == y.n && !memcmp(x.s, y.s, x.n));
    sb_free(&x);
    sb_free(&y);
    lower(a, g[i]);
  }
  arena_free(a);
}

void fuzz_program(const uint8_t *data, size_t n) {
  Arena *a = arena_new();
  Diags *d = diags_new(a);
  const Source *s = source(a, "input.ir", data, n);
  Program *p = program_is_text(s) ? program_read(a, s, d) : NULL;
  FUZZ_CHECK(p || !program_is_text(s) || diags_errors(d) > 0);
  if (p) {
    StrBuf x = {0}, y = {0};
    program_print(p, &x);
    Program *q = program_read(a, source(a, "printed.ir", (const uint8_t *)x.s, x.n), d);
    if (!q) diags_print(d, stderr);
    FUZZ_CHECK(q != NULL);
    program_print(q, &y);
    FUZZ_CHECK(x.n == y.n && !memcmp(x.s, y.s, x.n));
    sb_free(&x);
    sb_free(&y);
  }
  arena_free(a);
}
