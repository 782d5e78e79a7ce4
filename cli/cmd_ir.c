/* jepac ir: any stage of the compiler as text; jepac opt: passes on textual IR. */
#include "cli/cli.h"
#include "passes/lower/pass.h"

#include <string.h>

/* The one graph of an IR file, or the one named by --entry. */
Status cli_read_ir(Cli *c, const char *path, Graph **out) {
  enum { MAX = 64 };
  Graph *g[MAX];
  const char *names[MAX];
  *out = NULL;
  Status s = cli_check_readable(c, path, "IR file");
  if (s) return s;
  const Source *src = source_read_most(c->arena, path, SOURCE_BYTES);
  if (!src) return cli_fail(c, ST_FILE, "cannot read %s", path);
  int n = graph_read(c->arena, src, c->diags, g, MAX);
  if (n < 0) return ST_MODEL;
  if (n == 0) return cli_fail(c, ST_MODEL, "%s holds no graph", path);
  for (int i = 0; i < n; i++) {
    names[i] = g[i]->name;
    if (OPT(c, entry) ? !strcmp(OPT(c, entry), names[i]) : n == 1) *out = g[i];
  }
  if (*out) return ST_OK;
  if (!OPT(c, entry)) return cli_fail(c, ST_USAGE, "%s holds %d graphs: choose one with --entry", path, n);
  cli_fail(c, ST_USAGE, "%s has no graph '%s'", path, OPT(c, entry));
  const char *near = nearest_name(OPT(c, entry), names, n);
  if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
  return ST_USAGE;
}

Status cli_read_program(Cli *c, const char *path, bool finish, Program **out) {
  *out = NULL;
  Status s = cli_check_readable(c, path, "IR file");
  if (s) return s;
  const Source *src = source_read_most(c->arena, path, SOURCE_BYTES);
  if (!src) return cli_fail(c, ST_FILE, "cannot read %s", path);
  if (!program_is_text(src)) return ST_OK;
  Program *p = program_read(c->arena, src, c->diags);
  if (!p) return ST_MODEL;
  *out = p;
  return finish && !(p->has & HAS_PLAN) ? compiler_resume(cli_compiler(c, FOR_LOWERING), p, NULL) : ST_OK;
}

static Status write_buffer(Cli *c, StrBuf *b) {
  Status s = cli_write_text(c, OPT(c, out), b->s ? b->s : "", b->n);
  sb_free(b);
  return s;
}

static Status write_graph(Cli *c, const Graph *g) {
  StrBuf b = {0};
  cli_graph_text(g, OPT(c, format), &b);
  return write_buffer(c, &b);
}

static Status load_graph(Cli *c, const Graph **g) {
  Graph *read;
  if (cli_has_suffix(c->opt.arg[0], ".ir")) {
    Status s = cli_read_ir(c, c->opt.arg[0], &read);
    *g = read;
    return s;
  }
  Model *m;
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  if (s) return s;
  if (!OPT(c, train_step)) return cli_model_graph(c, m, OPT(c, entry), g);
  if ((s = cli_check_train_step(c))) return s;
  *g = cli_train_step(c, m);
  return *g ? ST_OK : ST_MODEL;
}

/* Buffers with their place and lifetime, kernels by section. */
static void print_plan(const Program *p, StrBuf *b) {
  char type[128];
  sb_printf(b, "arena %lld bytes, %d buffers, %d kernels\n\n%-6s %-28s %6s %12s %12s %12s  %s\n",
            (long long)p->arena_bytes, p->buf.n, p->kernel.n, "buffer", "type", "block", "offset", "bytes",
            "kernels", "");
  static const char *const kind[] = {"", "input", "result"};
  for (int i = 0; i < p->buf.n; i++) {
    const Buf *u = &p->buf.v[i];
    sb_printf(b, "b%-5d %-28s %6d %12lld %12lld %5d..%-5d  %s", i, type_str(u->dt, &u->shape, type), u->block,
              (long long)u->offset, (long long)u->bytes, u->first, u->last, kind[u->kind]);
    if (u->kind == BUF_INPUT) sb_printf(b, " %s", p->graph->inputs.v[u->input].name);
    if (u->kind == BUF_RESULT) sb_printf(b, " %s", p->graph->outputs.v[u->result].name);
    if (u->alias >= 0) sb_printf(b, " in b%d", u->alias);
    sb_put(b, "\n", 1);
  }
  for (int i = 0; i < p->kernel.n; i++) {
    const Kernel *k = &p->kernel.v[i];
    if (i == 0 || i == p->ncompute) sb_printf(b, "\n%s\n", i < p->ncompute ? "compute" : "commit");
    sb_printf(b, "k%-5d %-8s", i, kernel_kind(k));
    for (int j = 0; j < k->nbuf; j++) sb_printf(b, "%s b%d", j == k->nbuf - k->nout ? " ->" : "", k->buf[j]);
    if (k->loc && k->loc->src)
      sb_printf(b, "   # %s:%d%s", k->loc->src->path, k->loc->line, k->role == ROLE_GRADIENT ? "'" : "");
    sb_put(b, "\n", 1);
  }
}

static Status write_program(Cli *c, Program *p, const char *stage) {
  StrBuf b = {0};
  if (!strcmp(stage, "kernels")) {
    program_print(p, &b);
  } else if (!strcmp(stage, "plan")) {
    print_plan(p, &b);
  } else {
    const CodegenApi *api = compiler_codegen(cli_compiler(c, 0));
    if (!api) return ST_FILE;
    Status s = api->text(p, !strcmp(stage, "asm"), &b, c->diags);
    if (s) return s;
  }
  return write_buffer(c, &b);
}

/* ---- passes by name ---- */
static Status unknown_pass(Cli *c, const char *name) {
  int ng, nl, n = 0;
  const PassRow *graph = pass_table(&ng);
  const LowerRow *lower = lower_table(&nl);
  const char **names = NEWN(c->arena, const char *, ng + nl + 1);
  for (int i = 0; i < ng; i++) names[n++] = graph[i].name;
  for (int i = 0; i < nl; i++) names[n++] = lower[i].name;
  cli_fail(c, ST_USAGE, "no pass is called '%s'", name);
  const char *near = nearest_name(name, names, n);
  if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
  return ST_USAGE;
}

/* What lowering pass `after` leaves of the file's graph. */
static Status write_after(Cli *c, const char *after) {
  const Graph *g;
  StrBuf b = {0};
  Status s = load_graph(c, &g);
  if (!s && !(g = cli_passes(c, g, NULL))) s = ST_MODEL;
  if (!s) s = compiler_lower_text(cli_compiler(c, FOR_LOWERING), g, after, &b);
  return s ? s : write_buffer(c, &b);
}

Status cmd_ir(Cli *c) {
  const char *stage = OPT(c, stage) ? OPT(c, stage) : "graph", *after = OPT(c, after);
  const LowerRow *lowering = after ? lower_find(after) : NULL;
  if (after && OPT(c, stage)) return cli_fail(c, ST_USAGE, "--after and --stage exclude each other");
  if (OPT(c, entry) && OPT(c, train_step))
    return cli_fail(c, ST_USAGE, "--entry and --train-step exclude each other");
  if (after && !lowering && !pass_find(after)) return unknown_pass(c, after);
  const Graph *g;
  Program *p = NULL;
  Status s = cli_ranks_told(c);
  if (s) return s;
  if (cli_has_suffix(c->opt.arg[0], ".ir") && (s = cli_read_program(c, c->opt.arg[0], OPT(c, stage), &p)))
    return s;
  if (p && !OPT(c, stage) && (!after || lowering)) stage = "kernels";
  bool of_graph = (after && !lowering) || (!lowering && (!strcmp(stage, "graph") || !strcmp(stage, "grad")));
  if (OPT(c, format) && strcmp(OPT(c, format), "text") && !of_graph)
    return cli_fail(c, ST_USAGE, "--format %s is for graphs; kernels, plans and code are text",
                    OPT(c, format));
  if (p && of_graph)
    return cli_fail(c, ST_USAGE, "%s is a program of kernels: no graph pass applies to it", c->opt.arg[0]);
  if (p && lowering && (s = compiler_resume(cli_compiler(c, FOR_LOWERING), p, after))) return s;
  if (p) return write_program(c, p, stage);
  if (lowering) return write_after(c, after);
  if (!strcmp(stage, "grad")) {
    c->opt.grad = !OPT(c, train_step) && !(OPT(c, entry) && !strcmp(OPT(c, entry), "train_step"));
    after = "autodiff";
  }
  if ((s = load_graph(c, &g))) return s;
  if (!strcmp(stage, "graph") && !after) return write_graph(c, g);
  g = cli_passes(c, g, after);
  if (!g) return ST_MODEL;
  if (after) return write_graph(c, g);
  if ((s = cli_lower(c, g, &p))) return s;
  return write_program(c, p, stage);
}

/* Graph passes of a graph, lowering passes of a graph or a program. */
Status cmd_opt(Cli *c) {
  const char *names[64];
  int n = 0, ngraph = 0;
  if (!OPT(c, passes)) return cli_fail(c, ST_USAGE, "jepac opt needs --passes A,B,C");
  for (const char *p = OPT(c, passes); *p; p += strcspn(p, ","), p += *p == ',') {
    if (n == 64) return cli_fail(c, ST_USAGE, "more than 64 passes");
    names[n] = arena_strndup(c->arena, p, strcspn(p, ","));
    bool of_graph = pass_find(names[n]);
    if (!of_graph && !lower_find(names[n])) return unknown_pass(c, names[n]);
    ngraph += of_graph && ngraph == n;
    n++;
  }
  Program *p;
  Graph *g = NULL;
  Status s = cli_read_program(c, c->opt.arg[0], false, &p);
  if (!s && !p) s = cli_read_ir(c, c->opt.arg[0], &g);
  if (s) return s;
  if (p && ngraph)
    return cli_fail(c, ST_USAGE, "%s is a program of kernels: no graph pass applies to it", c->opt.arg[0]);
  PassOptions po = {.verify_each = true};
  if (ngraph && !(g = passes_run(c->arena, g, names, ngraph, &po, c->diags))) return ST_MODEL;
  if (!p && ngraph == n) return write_graph(c, g);
  if (OPT(c, format) && strcmp(OPT(c, format), "text"))
    return cli_fail(c, ST_USAGE, "--format %s is for graphs; kernels, plans and code are text",
                    OPT(c, format));
  LowerOptions o = {0};
  LowerRun run = {.verify_each = true};
  Target host = target_host();
  Lower *l = p ? lower_resume(p, &o) : lower_begin(c->arena, g, &host, &o);
  s = lower_run(l, names + ngraph, n - ngraph, &run, c->diags);
  StrBuf b = {0};
  if (!s) lower_print(l, &b);
  lower_end(l);
  return s ? s : write_buffer(c, &b);
}
