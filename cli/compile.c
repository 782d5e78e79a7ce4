/* What the options of the command line mean to the compiler (lib/compiler.h), and what --dump-ir writes. */
#include "cli/cli.h"
#include "cli/html.h"
#include "lib/ranks.h"
#include "ir/kernel/kernel.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>

/* ---- --dump-ir ---- */
typedef struct {
  Cli *c;
  int number;
  Status failed;  /* to write: the rest is left out */
  HtmlDump *html; /* NULL: stages only (--quiet) */
} Dump;

static void dump_pass(void *ctx, int number, const char *pass, const char *text) {
  (void)number; /* several graphs may be compiled into one folder: count over all of them */
  Dump *d = ctx;
  const char *path = arena_printf(d->c->arena, "%s/%03d-%s.ir", d->c->opt.dump_ir, ++d->number, pass);
  if (!d->failed) d->failed = cli_write_text(d->c, path, text, strlen(text));
  if (d->html && !d->failed) html_dump_stage(d->html, pass, text);
}

static void dump_graph(void *ctx, const Graph *g) {
  if (((Dump *)ctx)->html) html_dump_graph(((Dump *)ctx)->html, g);
}

Status cli_dump_begin(Cli *c) {
  if (!c->opt.dump_ir) return ST_OK;
  Dump *d = NEW(c->arena, Dump);
  d->c = c;
  d->html = OPT(c, quiet) ? NULL : html_dump_new(c);
  c->dump = d;
  return file_make_folder(c->opt.dump_ir, c->diags);
}

static void dump_program(Cli *c, const Program *p) {
  if (c->dump && ((Dump *)c->dump)->html) html_dump_program(((Dump *)c->dump)->html, p);
}

bool cli_dump_wants_times(const Cli *c) { return c->dump && ((const Dump *)c->dump)->html; }

Status cli_dump_times(Cli *c, const Program *p, const double *seconds) {
  Roof roof;
  Status s = measure_roof(c, &roof);
  if (!s) html_dump_times(((Dump *)c->dump)->html, p, seconds, &roof);
  return s;
}

Status cli_dump_end(Cli *c, Status s) {
  const Dump *d = c->dump;
  if (!d) return s;
  if (!d->number && !s && c->looked[offsetof(Options, dump_ir)])
    diag_warning(c->diags, NULL, "%s is empty, as no pass has changed anything", c->opt.dump_ir);
  Status written = d->failed || !d->html ? d->failed : html_dump_write(d->html, c->opt.dump_ir);
  return s ? s : written;
}

/* ---- options ---- */
/* $JEPAC_CACHE (empty: none), else the user's cache folder; made when something is written to it. */
static const char *cache_folder(Cli *c) {
  const char *own = getenv("JEPAC_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (own) return *own ? own : NULL;
  if (xdg && *xdg == '/') return arena_printf(c->arena, "%s/jepac", xdg);
  return home && *home ? arena_printf(c->arena, "%s/.cache/jepac", home) : NULL;
}

static void pass_options(Cli *c, PipelineOptions *o) {
  o->verify_each = OPT(c, verify_each);
#ifdef JEPAC_DEBUG
  o->verify_each = true;
#endif
  o->time_passes = OPT(c, time_passes);
  o->watch = c->watch;
  o->watch_ctx = c->watch_ctx;
  if (!c->dump) return;
  (void)OPT(c, dump_ir);
  o->dump = dump_pass;
  o->dump_ctx = c->dump;
}

static void lowering_options(Cli *c, Compiler *k) {
  const char *conv = OPT(c, conv), *precision = OPT(c, precision);
  k->precision = precision ? dtype_parse(precision) : DT_NONE;
  if (conv)
    while (strcmp(conv, conv_algo_names[k->pipeline.conv]))
      k->pipeline.conv++; /* one of them, as options.c has seen */
  const char *gemm = OPT(c, gemm);
  k->pipeline.blas = gemm && !strcmp(gemm, "openblas");
  k->pipeline.max_memory = OPT(c, max_memory) > 0 ? OPT(c, max_memory) : 0;
}

static void code_options(Cli *c, Compiler *k) {
  const char *tune = OPT(c, tune), *debug = OPT(c, jit_debug);
  k->threads = OPT(c, threads) > 0 ? (int)OPT(c, threads) : c->ranks ? ranks_threads(c->ranks) : 0;
  k->tune = !tune || !strcmp(tune, "off") ? TUNE_OFF : !strcmp(tune, "fast") ? TUNE_FAST : TUNE_FULL;
  k->debug = !debug ? DEBUG_NONE : !strcmp(debug, "gdb") ? DEBUG_GDB : DEBUG_PERF;
}

Compiler *cli_compiler(Cli *c, int use) {
  Compiler *k = &c->compiler;
  k->arena = c->arena;
  k->diags = c->diags;
  k->set = c->opt.set; /* cli_load looks at them */
  k->nset = c->opt.nset;
  k->use_anywhere = c->opt.allow_use;
  k->run_extern = c->opt.allow_extern;
  if (!k->cache_dir) k->cache_dir = cache_folder(c);
  k->seen = c->dump ? dump_graph : NULL;
  k->seen_ctx = c->dump;
  k->pipeline = (PipelineOptions){0};
  if (use & (FOR_PASSES | FOR_LOWERING)) pass_options(c, &k->pipeline);
  if (use & FOR_LOWERING) lowering_options(c, k);
  if (use & FOR_CODE) code_options(c, k);
  if (use & FOR_CODE) (void)OPT(c, allow_extern), (void)OPT(c, allow_use);
  return k;
}

/* ---- the compiler's steps, with these options ---- */
Status cli_load(Cli *c, const char *path, const KnownShape *known, int nknown, Model **m) {
  (void)OPT(c, set);
  (void)OPT(c, allow_extern);
  (void)OPT(c, allow_use);
  c->compiler.spread = OPT(c, shard) != NULL;
  return compiler_load(cli_compiler(c, 0), path, NULL, known, nknown, m);
}

Status cli_check_train_step(Cli *c) {
  if (OPT(c, grad)) return cli_fail(c, ST_USAGE, "--grad belongs to an entry, not to train_step");
  if (!OPT(c, mode) || strcmp(OPT(c, mode), "eval")) return ST_OK;
  cli_fail(c, ST_USAGE, "train_step runs in train mode");
  if (!OPT(c, entry) && !OPT(c, train_step)) diag_note(c->diags, NULL, "--entry names another entry");
  return ST_USAGE;
}

Status cli_model_graph(Cli *c, Model *m, const char *entry, const Graph **g) {
  Status s = entry && !strcmp(entry, "train_step") ? cli_check_train_step(c) : ST_OK;
  if (s) return s;
  bool train = OPT(c, mode) ? !strcmp(OPT(c, mode), "train") : OPT(c, grad);
  return compiler_entry(cli_compiler(c, 0), m, entry, train, OPT(c, grad), g);
}

const Recipe *cli_recipe(Cli *c, Model *m) { return frontend_recipe(m, diags_new(c->arena)); }

Graph *cli_train_step(Cli *c, Model *m) {
  const Recipe *r = cli_recipe(c, m);
  return frontend_train_step(m, c->diags, !r || r->data.source);
}

uint64_t cli_seed(Cli *c, const Recipe *r) {
  return OPT(c, seed) >= 0 ? (uint64_t)OPT(c, seed) : r ? (uint64_t)r->seed : 0;
}

Graph *cli_passes(Cli *c, const Graph *g, const char *stop_after) {
  return compiler_passes(cli_compiler(c, FOR_PASSES), g, stop_after);
}

Status cli_lower(Cli *c, const Graph *g, Program **p) {
  Status s = compiler_lower(cli_compiler(c, FOR_LOWERING), g, p);
  if (!s) dump_program(c, *p);
  return s;
}

Status cli_compile(Cli *c, const Graph *g, Compiled *out) {
  Status s = compiler_build(cli_compiler(c, FOR_PASSES | FOR_LOWERING | FOR_CODE), g, out);
  if (!s) dump_program(c, out->program);
  return s;
}
