/* The road from a model file to a session, for every command that needs one: frontend -> pipeline -> codegen
   -> Session. The code generator is a module of its own, opened here when first needed. */
#include "cli/cli.h"
#include "cli/html.h"
#include "passes/pass.h"
#include "runtime/file.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *exe_folder(Arena *a) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0) return ".";
  path[n] = 0;
  char *slash = strrchr(path, '/');
  if (slash) *slash = 0;
  return arena_strdup(a, path);
}

const char *cli_std_dir(Arena *a) {
  static const char *const where[] = {"../models", "../share/jepac/models"};
  const char *exe = exe_folder(a);
  for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
    const char *p = arena_printf(a, "%s/%s", exe, where[i]);
    char *full = cli_is_folder(p) ? realpath(p, NULL) : NULL;
    if (!full) continue;
    p = arena_strdup(a, full);
    free(full);
    return p;
  }
  return NULL;
}

int cli_threads(const Cli *c) { return c->opt.threads > 0 ? (int)c->opt.threads : 0; }

Status cli_load(Cli *c, const char *path, const KnownShape *known, int nknown, Model **m) {
  Status s = cli_check_readable(c, path, "model");
  if (s) return s;
  FrontendOptions *o = NEW(c->arena, FrontendOptions);
  *o = (FrontendOptions){.set = c->opt.set,
                         .nset = c->opt.nset,
                         .known = known,
                         .nknown = nknown,
                         .std_dir = cli_std_dir(c->arena)};
  *m = frontend_load(c->arena, c->diags, path, o);
  return *m ? ST_OK : ST_MODEL;
}

const Recipe *cli_recipe(Cli *c, Model *m) { return frontend_recipe(m, diags_new(c->arena)); }

uint64_t cli_seed(Cli *c, const Recipe *r) {
  return c->opt.seed >= 0 ? (uint64_t)c->opt.seed : r ? (uint64_t)r->seed : 0;
}

const Graph *cli_model_graph(Cli *c, Model *m, bool train_step) {
  if (train_step) return frontend_train_step(m, c->diags, false);
  int n = frontend_entry_count(m);
  if (n == 0) {
    cli_fail(c, ST_MODEL, "%s has no entry", c->opt.arg[0]);
    return NULL;
  }
  const char **names = NEWN(c->arena, const char *, n + 1),
             *entry = c->opt.entry ? c->opt.entry : frontend_entry_name(m, 0);
  bool found = false;
  for (int i = 0; i < n; i++) found |= !strcmp(names[i] = frontend_entry_name(m, i), entry);
  names[n] = "train_step";
  if (!found) {
    const char *near = nearest_name(entry, names, n + 1);
    cli_fail(c, ST_USAGE, "%s has no entry '%s'", c->opt.arg[0], entry);
    if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
    return NULL;
  }
  bool train = c->opt.mode ? !strcmp(c->opt.mode, "train") : c->opt.grad;
  return frontend_entry(m, c->diags, entry, train, c->opt.grad);
}

/* ---- passes ---- */
typedef struct {
  Cli *c;
  int number;
  HtmlDump *html;
} Dump;

static void dump_pass(void *ctx, int number, const char *pass, const char *text) {
  (void)number; /* several graphs may be compiled into one folder: count over all of them */
  Dump *d = ctx;
  const char *path = arena_printf(d->c->arena, "%s/%03d-%s.ir", d->c->opt.dump_ir, ++d->number, pass);
  cli_write_text(d->c, path, text, strlen(text));
  html_dump_stage(d->html, pass, text);
}

Status cli_dump_end(Cli *c) {
  const Dump *d = c->dump;
  return d ? html_dump_write(d->html, c->opt.dump_ir) : ST_OK;
}

static PipelineOptions pipeline_options(Cli *c) {
  PipelineOptions o = {.verify_each = c->opt.verify_each, .time_passes = c->opt.time_passes};
#ifdef JEPAC_DEBUG
  o.verify_each = true;
#endif
  if (c->opt.max_memory > 0) o.max_memory = c->opt.max_memory;
  if (c->opt.conv)
    o.conv = !strcmp(c->opt.conv, "direct")     ? CONV_DIRECT
             : !strcmp(c->opt.conv, "winograd") ? CONV_WINOGRAD
                                                : CONV_AUTO;
  o.watch = c->watch;
  o.watch_ctx = c->watch_ctx;
  if (c->opt.dump_ir) {
    if (!c->dump) {
      if (file_make_folder(c->opt.dump_ir, c->diags)) return o;
      Dump *d = NEW(c->arena, Dump);
      d->c = c;
      d->html = html_dump_new(c);
      c->dump = d;
    }
    o.dump = dump_pass;
    o.dump_ctx = c->dump;
  }
  return o;
}

Graph *cli_passes(Cli *c, const Graph *g, const char *stop_after) {
  PipelineOptions o = pipeline_options(c);
  o.stop_after = stop_after;
  if (c->dump) html_dump_graph(((Dump *)c->dump)->html, g);
  return diags_errors(c->diags) ? NULL : pipeline_graph(c->arena, g, &o, c->diags);
}

Graph *cli_expand(Cli *c, const Graph *g) {
  static const char *const names[] = {"autodiff", "strip"};
  return passes_run(c->arena, g, names, 2, NULL, c->diags);
}

Status cli_lower(Cli *c, const Graph *g, Program **p) {
  PipelineOptions o = pipeline_options(c);
  if (diags_errors(c->diags)) return ST_FILE;
  Target t = c->target ? *c->target : target_host();
  Status s = ST_MODEL;
  *p = pipeline_lower(c->arena, g, &t, &o, c->diags, &s);
  return *p ? ST_OK : s ? s : ST_MODEL;
}

/* ---- code generation ---- */
const CodegenApi *cli_codegen(Cli *c) {
  if (c->codegen) return c->codegen;
  static const char *const where[] = {"", "../lib/jepac/"};
  const char *exe = exe_folder(c->arena);
  void *module = NULL;
  for (size_t i = 0; i < sizeof where / sizeof *where && !module; i++) {
    const char *path = arena_printf(c->arena, "%s/%sjepac_codegen.so", exe, where[i]);
    if (access(path, F_OK)) continue;
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
      cli_fail(c, ST_FILE, "cannot load the code generator: %s", dlerror());
      return NULL;
    }
  }
  if (!module) {
    cli_fail(c, ST_FILE,
             "the code generator jepac_codegen.so is missing: it belongs beside the program %s/jepac", exe);
    return NULL;
  }
  c->codegen = dlsym(module, "codegen_api");
  if (!c->codegen) bug("jepac_codegen.so exports no codegen_api");
  return c->codegen;
}

/* $JEPAC_CACHE, else the user's cache folder; NULL when there is none to write to. */
static const char *cache_folder(Cli *c) {
  const char *own = getenv("JEPAC_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *path;
  if (own) path = own;
  else if (xdg && *xdg == '/') path = arena_printf(c->arena, "%s/jepac", xdg);
  else if (home && *home) path = arena_printf(c->arena, "%s/.cache/jepac", home);
  else return NULL;
  if (!*path) return NULL;
  Diags *quiet = diags_new(c->arena); /* compiling works without a cache */
  return file_make_folder(path, quiet) || access(path, W_OK) ? NULL : path;
}

Status cli_compile(Cli *c, const Graph *g, Compiled *out) {
  *out = (Compiled){0};
  double start = now_seconds();
  const Graph *opt = cli_passes(c, g, NULL);
  if (!opt) return ST_MODEL;
  Program *p;
  Status s = cli_lower(c, opt, &p);
  if (!s) s = cli_compile_program(c, p, out);
  if (!s) out->seconds = now_seconds() - start;
  return s;
}

Status cli_compile_program(Cli *c, Program *p, Compiled *out) {
  *out = (Compiled){.program = p};
  double start = now_seconds();
  const CodegenApi *api = cli_codegen(c);
  if (!api) return ST_FILE;
  const char *debug = c->opt.jit_debug;
  CodegenOptions o = {.cache_dir = cache_folder(c),
                      .threads = cli_threads(c),
                      .debug = !debug                  ? DEBUG_NONE
                               : !strcmp(debug, "gdb") ? DEBUG_GDB
                                                       : DEBUG_PERF};
  out->api = api;
  out->code = api->jit(out->program, &o, c->arena, c->diags, &out->plan);
  if (!out->code) return ST_MODEL;
  out->session = session_new(out->plan, cli_threads(c));
  if (!out->session) {
    cli_fail(c, ST_BUDGET, "no memory for an arena of %s: %s",
             cli_human_bytes(c->arena, out->plan->arena_bytes), strerror(errno));
    api->free(out->code);
    return ST_BUDGET;
  }
  out->seconds = now_seconds() - start;
  return ST_OK;
}

void cli_release(Compiled *k) {
  if (k->session) session_free(k->session);
  if (k->code) k->api->free(k->code);
  *k = (Compiled){0};
}
