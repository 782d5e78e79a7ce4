/* The last step of an import: the text is laid out and checked as any model file is, then both files appear. */
#include "frontend/fmt.h"
#include "onnx/import.h"
#include "runtime/file.h"
#include "runtime/safetensors.h"

#include <string.h>

/* A constant with its axes turned around. */
static const void *turned(Import *im, const OxValue *v, const void *p) {
  int64_t rows = v->dim[0], columns = v->dim[1];
  float *out = arena_alloc(im->a, (size_t)(rows * columns) * 4);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) out[j * rows + i] = ((const float *)p)[i * columns + j];
  return out;
}

static Status collect(Import *im, StTensor **out, int *n) {
  StTensor *t = NEWN(im->a, StTensor, im->value.n + im->layer.n + 1);
  static const int64_t none = 0;
  *n = 0;
  for (int i = 0; i < im->value.n; i++) {
    const OxValue *v = &im->value.v[i];
    if (!v->state) continue;
    bool twice = false;
    for (int k = 0; k < *n && !twice; k++) twice = !strcmp(t[k].name, v->state);
    if (twice) continue;
    StTensor *s = &t[*n];
    *s = (StTensor){.name = v->state, .shape = {.rank = v->rank}};
    for (int k = 0; k < v->rank; k++) s->shape.dim[k] = v->dim[v->turned ? v->rank - 1 - k : k];
    const void *p = ox_tensor_data(im, v->tensor, v->name, &s->dt);
    if (!p) return ST_FILE;
    s->data = v->turned ? turned(im, v, p) : p;
    s->bytes = shape_count(&s->shape) * dtype_size(s->dt);
    ++*n;
  }
  for (int i = 0; i < im->layer.n; i++) /* the library's batch norm counts its batches */
    if (im->layer.v[i].statement >= 0 && im->layer.v[i].path && !strcmp(im->layer.v[i].model, "BatchNorm"))
      t[(*n)++] = (StTensor){.name = arena_printf(im->a, "%s.num_batches_tracked", im->layer.v[i].path), .dt = DT_I64, .data = &none, .bytes = 8};
  *out = t;
  return ST_OK;
}

/* Messages about a line of the text become messages about its node. */
static void blame_nodes(Import *im, const Diags *d, const int *line, int lines) {
  Diag m;
  for (int i = 0; diags_at(d, i, &m); i++) {
    if (m.kind == DIAG_NOTE) continue;
    const Loc *at = m.loc;
    while (at && at->up && at->up->src == at->src) at = at->up;
    int node = -1;
    for (const Loc *l = m.loc; l; l = l->up)
      if (l->line > 0 && l->line <= lines && line[l->line - 1] >= 0) {
        node = line[l->line - 1];
        break;
      }
    if (node >= 0) ox_problem(im, &im->node.v[node], "%s", m.text);
    else ox_problem(im, NULL, "%s", m.text);
  }
}

static Status check(Import *im, const char *path, const char *text, const int *line, int lines) {
  Diags *d = diags_new(im->a);
  Compiler c = *im->c;
  c.diags = d;
  Model *m;
  Status s = compiler_load(&c, path, text, NULL, 0, &m);
  if (!s && !frontend_entry(m, d, "forward", false, false)) s = ST_MODEL;
  Diag one;
  bool any = diags_at(d, 0, &one);
  if (s || any) blame_nodes(im, d, line, lines);
  return s || any ? ST_MODEL : ST_OK;
}

static const char *name_of(Import *im) {
  if (im->what->name) return im->what->name;
  const char *slash = strrchr(im->what->model, '/'), *name = slash ? slash + 1 : im->what->model;
  const char *dot = strrchr(name, '.');
  return arena_strndup(im->a, name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

Status ox_write(Import *im) {
  StrBuf raw = {0}, laid = {0};
  int *line, lines, n;
  ox_name_states(im);
  ox_text(im, &raw, &line, &lines);
  const char *base = arena_printf(im->a, "%s/%s", im->what->folder, name_of(im));
  const char *path = arena_printf(im->a, "%s.jepa", base);
  Source src = {path, raw.s, raw.n};
  if (raw.n > SOURCE_BYTES) return ox_problem(im, NULL, "the text would have %zu bytes", raw.n), sb_free(&raw), ST_FILE;
  Status s = frontend_format(im->a, im->d, &src, &laid) ? ST_OK : ST_MODEL;
  StTensor *t;
  if (!s) s = check(im, path, laid.s, line, lines);
  if (!s) s = collect(im, &t, &n);
  if (!s) s = file_make_folder(im->what->folder, im->d);
  if (!s && n) s = st_write(arena_printf(im->a, "%s.safetensors", base), t, n, NULL, 0, im->d);
  if (!s) s = file_write(path, laid.s, laid.n, im->d);
  if (!s) printf("%s\n", path);
  if (!s && n) printf("%s.safetensors\n", base);
  sb_free(&raw);
  sb_free(&laid);
  return s;
}

Status onnx_import(Compiler *c, const OnnxImport *what) {
  Import im = {.a = c->arena, .c = c, .d = c->diags, .what = what, .names = ox_names_new(c->arena)};
  StFile *known = NULL;
  if (what->inputs && !(known = st_open(what->inputs, c->diags))) return ST_FILE;
  im.known = (const struct StFile *)known;
  Status s = ox_read(&im);
  if (!s) ox_emit(&im);
  if (im.problems) s = ST_FILE;
  if (!s) s = ox_write(&im);
  if (known) st_close(known);
  return s;
}
