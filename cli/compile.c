/* What the options of the command line mean to the compiler (lib/compiler.h), and what --dump-ir writes. */
#include "cli/cli.h"
#include "cli/html.h"
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

Status cli_dump_begin(Cli *c) {
  if (!c->opt.dump_ir) return ST_OK;
  Dump *d = NEW(c->arena, Dump);
  d->c = c;
  d->html = c->opt.quiet ? NULL : html_dump_new(c);
  c->dump = d;
  return file_make_folder(c->opt.dump_ir, c->diags);
}

Status cli_dump_end(Cli *c, Status s) {
  const Dump *d = c->dump;
  if (!d) return s;
  if (!d->number && !s)
    diag_warning(c->diags, NULL, "%s is empty, as no pass has changed anything: is the --stage too early?",
                 c->opt.dump_ir);
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

static PipelineOptions pipeline_options(Cli *c) {
  PipelineOptions o = {.verify_each = c->opt.verify_each, .time_passes = c->opt.time_passes};
#ifdef JEPAC_DEBUG
  o.verify_each = true;
#endif
  if (c->opt.max_memory > 0) o.max_memory = c->opt.max_memory;
  if (c->opt.conv)
    while (strcmp(c->opt.conv, conv_algo_names[o.conv])) o.conv++; /* one of them, as options.c has seen */
  o.watch = c->watch;
  o.watch_ctx = c->watch_ctx;
  if (c->dump) {
    o.dump = dump_pass;
    o.dump_ctx = c->dump;
  }
  return o;
}

Compiler *cli_compiler(Cli *c) {
  const char *debug = c->opt.jit_debug;
  Compiler *k = &c->compiler;
  k->arena = c->arena;
  k->diags = c->diags;
  k->set = c->opt.set;
  k->nset = c->opt.nset;
  if (!k->cache_dir) k->cache_dir = cache_folder(c);
  k->threads = c->opt.threads > 0 ? (int)c->opt.threads : 0;
  k->pipeline = pipeline_options(c);
  k->precision = c->opt.precision ? dtype_parse(c->opt.precision) : DT_NONE;
  const char *tune = c->opt.tune;
  k->tune = !tune || !strcmp(tune, "off") ? TUNE_OFF : !strcmp(tune, "fast") ? TUNE_FAST : TUNE_FULL;
  k->debug = !debug ? DEBUG_NONE : !strcmp(debug, "gdb") ? DEBUG_GDB : DEBUG_PERF;
  return k;
}

/* ---- the compiler's steps, with these options ---- */
Status cli_load(Cli *c, const char *path, const KnownShape *known, int nknown, Model **m) {
  return compiler_load(cli_compiler(c), path, NULL, known, nknown, m);
}

Status cli_check_train_step(Cli *c) {
  if (c->opt.grad) return cli_fail(c, ST_USAGE, "--grad belongs to an entry, not to train_step");
  if (!c->opt.mode || strcmp(c->opt.mode, "eval")) return ST_OK;
  cli_fail(c, ST_USAGE, "train_step runs in train mode");
  if (!c->opt.entry && !c->opt.train_step) diag_note(c->diags, NULL, "--entry names another entry");
  return ST_USAGE;
}

Status cli_model_graph(Cli *c, Model *m, const char *entry, const Graph **g) {
  Status s = entry && !strcmp(entry, "train_step") ? cli_check_train_step(c) : ST_OK;
  if (s) return s;
  bool train = c->opt.mode ? !strcmp(c->opt.mode, "train") : c->opt.grad;
  return compiler_entry(cli_compiler(c), m, entry, train, c->opt.grad, g);
}

const Recipe *cli_recipe(Cli *c, Model *m) { return frontend_recipe(m, diags_new(c->arena)); }

uint64_t cli_seed(Cli *c, const Recipe *r) {
  return c->opt.seed >= 0 ? (uint64_t)c->opt.seed : r ? (uint64_t)r->seed : 0;
}

static Compiler *begin(Cli *c, const Graph *g) {
  if (c->dump && ((Dump *)c->dump)->html) html_dump_graph(((Dump *)c->dump)->html, g);
  return cli_compiler(c);
}

Graph *cli_passes(Cli *c, const Graph *g, const char *stop_after) {
  return compiler_passes(begin(c, g), g, stop_after);
}

Status cli_lower(Cli *c, const Graph *g, Program **p) { return compiler_lower(cli_compiler(c), g, p); }

Status cli_compile(Cli *c, const Graph *g, Compiled *out) { return compiler_build(begin(c, g), g, out); }
