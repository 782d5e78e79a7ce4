/* The steps of compiler.h. Where the code generator is a module of its own, it is opened here when first
   needed. */
#define _GNU_SOURCE /* dladdr */
#include "lib/compiler.h"
#include "ir/memory.h"

#include "lib/tensors.h"
#include "passes/graph/pass.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what lies beside the program or library that holds this code ---- */
static const char *own_folder(Arena *a) {
  static const char here;
  Dl_info own, program;
  const char *file = "/proc/self/exe"; /* the loader knows a program only by its argv[0] */
  if (dladdr(&here, &own) && dladdr((const void *)getauxval(AT_PHDR), &program) &&
      own.dli_fbase != program.dli_fbase)
    file = own.dli_fname;
  char *full = realpath(file, NULL), *slash = full ? strrchr(full, '/') : NULL;
  const char *folder = slash ? arena_strndup(a, full, (size_t)(slash - full)) : ".";
  free(full);
  return folder;
}

const char *compiler_models(Arena *a) {
  static const char *const where[] = {"../models", "../share/jepac/models", "../../share/jepac/models"};
  const char *own = own_folder(a);
  for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
    struct stat st;
    char *full = realpath(arena_printf(a, "%s/%s", own, where[i]), NULL);
    const char *path = full && !stat(full, &st) && S_ISDIR(st.st_mode) ? arena_strdup(a, full) : NULL;
    free(full);
    if (path) return path;
  }
  return NULL;
}

/* ---- models ---- */
static Status fail_reading(Compiler *c, const char *path, const char *why) {
  diag_error(c->diags, NULL, "cannot read model %s: %s", path, why);
  return ST_FILE;
}

Status compiler_load(Compiler *c, const char *path, const char *text, const KnownShape *known, int nknown,
                     Model **m) {
  *m = NULL;
  struct stat st;
  if (!text && access(path, R_OK)) return fail_reading(c, path, strerror(errno));
  if (!text && !stat(path, &st) && S_ISDIR(st.st_mode)) return fail_reading(c, path, "it is a folder");
  bool *unread = NEW(c->arena, bool);
  FrontendOptions *o = NEW(c->arena, FrontendOptions);
  *o = (FrontendOptions){.set = c->set,
                         .nset = c->nset,
                         .known = known,
                         .nknown = nknown,
                         .ranks = c->ranks,
                         .spread = c->spread,
                         .use_anywhere = c->use_anywhere,
                         .run_extern = c->run_extern,
                         .std_dir = c->models_dir ? c->models_dir : compiler_models(c->arena),
                         .text = text,
                         .unread = unread};
  *m = frontend_load(c->arena, c->diags, arena_strdup(c->arena, path), o);
  return *m ? ST_OK : *unread ? ST_FILE : ST_MODEL;
}

static Status no_entry(Compiler *c, Model *m, const char *entry) {
  enum { FEW = 8 };
  int n = frontend_entry_count(m);
  const char **names = NEWN(c->arena, const char *, n + 1);
  for (int i = 0; i < n; i++) names[i] = frontend_entry_name(m, i);
  names[n] = "train_step";
  const char *near = nearest_name(entry, names, n + 1);
  diag_error(c->diags, NULL, "%s has no entry '%s'", frontend_path(m), entry);
  StrBuf all = {0};
  for (int i = 0; i < n && i < FEW; i++) sb_printf(&all, "%s'%s'", i ? ", " : "", names[i]);
  if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
  else if (n) diag_note(c->diags, NULL, "it has %s%s", all.s, n > FEW ? ", ..." : "");
  sb_free(&all);
  return ST_USAGE;
}

Status compiler_entry(Compiler *c, Model *m, const char *entry, bool train, bool grad, const Graph **g) {
  int n = frontend_entry_count(m);
  if (entry && !strcmp(entry, "train_step")) {
    if (grad) {
      diag_error(c->diags, NULL, "train_step has no gradients to return: ask for those of an entry");
      return ST_USAGE;
    }
    *g = frontend_train_step(m, c->diags, false);
    return *g ? ST_OK : ST_MODEL;
  }
  if (n == 0) {
    diag_error(c->diags, NULL, "%s has no entry", frontend_path(m));
    return ST_MODEL;
  }
  if (!entry) entry = frontend_entry_name(m, 0);
  for (int i = 0; i < n; i++)
    if (!strcmp(entry, frontend_entry_name(m, i))) {
      *g = frontend_entry(m, c->diags, entry, train, grad);
      return *g ? ST_OK : ST_MODEL;
    }
  return no_entry(c, m, entry);
}

/* ---- passes ---- */
Graph *compiler_passes(Compiler *c, const Graph *g, const char *stop_after) {
  PipelineOptions o = c->pipeline;
  if (c->seen) c->seen(c->seen_ctx, g);
  o.stop_after = stop_after;
  return pipeline_graph(c->arena, g, &o, c->diags);
}

Graph *compiler_expand(Compiler *c, const Graph *g) {
  static const char *const names[] = {"autodiff", "strip"};
  return passes_run(c->arena, g, names, 2, NULL, c->diags);
}

static PipelineOptions lower_options(const Compiler *c, const Graph *g, const char *stop_after) {
  PipelineOptions o = c->pipeline;
  o.precision = c->precision ? c->precision : g->precision;
  o.stop_after = stop_after;
  return o;
}

Status compiler_lower(Compiler *c, const Graph *g, Program **p) {
  Target host = target_host();
  Status s = ST_MODEL;
  PipelineOptions o = lower_options(c, g, NULL);
  *p = pipeline_lower(c->arena, g, c->target ? c->target : &host, &o, c->diags, &s);
  return *p ? ST_OK : s ? s : ST_MODEL;
}

Status compiler_alone(Compiler *c, const Program *p, Program **alone) {
  Status s = ST_MODEL;
  PipelineOptions o = {
      .conv = c->pipeline.conv, .blas = c->pipeline.blas, .no_chains = true, .lowered = true};
  *alone = pipeline_lower(c->arena, p->graph, &p->target, &o, c->diags, &s);
  return *alone ? ST_OK : s;
}

Status compiler_lower_text(Compiler *c, const Graph *g, const char *stop_after, StrBuf *out) {
  Target host = target_host();
  PipelineOptions o = lower_options(c, g, stop_after);
  return pipeline_lower_text(c->arena, g, c->target ? c->target : &host, &o, c->diags, out);
}

Status compiler_resume(Compiler *c, Program *p, const char *stop_after) {
  PipelineOptions o = lower_options(c, p->graph, stop_after);
  return pipeline_resume(p, &o, c->diags);
}

Status compiler_may_run(Compiler *c, const Graph *g) {
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    char why[200];
    if (op_table[n->op].kind == KIND_LAPACK && !lapack_there(why, sizeof why)) {
      diag_error(c->diags, n->loc, "`%s` cannot be computed: %s", op_table[n->op].name, why);
      return ST_FILE;
    }
    if (n->op != OP_extern || c->run_extern) continue;
    diag_error(
        c->diags, n->loc,
        "this calls `%s` of the library %s: allow it with --allow-extern (libjepac: JEPAC_ALLOW_EXTERN)",
        n->ext->symbol, n->ext->library);
    diag_note(c->diags, NULL, "the library's code runs with all your rights: allow what you trust");
    return ST_USAGE;
  }
  return ST_OK;
}

/* ---- code generation ---- */
extern const CodegenApi codegen_api __attribute__((weak)); /* where it is linked in */

const char *compiler_beside(Arena *a, const char *module) {
  static const char *const where[] = {"../lib/jepac/", ""};
  const char *path = NULL;
  for (size_t i = 0; i < sizeof where / sizeof *where && (!path || access(path, F_OK)); i++)
    path = arena_printf(a, "%s/%s%s", own_folder(a), where[i], module);
  return path;
}

const CodegenApi *compiler_codegen(Compiler *c) {
  if (!c->codegen) c->codegen = &codegen_api;
  if (c->codegen) return c->codegen;
  const char *path = compiler_beside(c->arena, "jepac_codegen.so");
  bool there = !access(path, F_OK);
  reserve((size_t)172 << 20, "the code generator"); /* with LLVM, as it lies in memory */
  void *module = there ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!there) {
    diag_error(c->diags, NULL,
               "the code generator jepac_codegen.so is missing: it belongs beside the program %s/jepac",
               own_folder(c->arena));
  } else if (!module) {
    diag_error(c->diags, NULL, "cannot load the code generator: %s", dlerror());
  } else if (!(c->codegen = dlsym(module, "codegen_api"))) {
    bug("%s exports no codegen_api", path);
  } else {
    c->codegen->own_process(); /* a module is what the jepac program loads; libjepac has it linked in */
  }
  return c->codegen;
}

static void find_metrics(Compiler *c, Compiled *k) {
  const Plan *p = k->plan;
  k->metric = NEWN(c->arena, int, p->ntensor + 1);
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_RESULT && !p->tensor[i].shape.rank && p->tensor[i].dt == DT_F32)
      k->metric[k->nmetric++] = i;
}

static void free_compiled(void *k) { compiled_free(k); }

Status compiler_build_program(Compiler *c, Program *p, Compiled *out) {
  double start = now_seconds();
  *out = (Compiled){0};
  Status may = compiler_may_run(c, p->graph);
  if (may) return may;
  const CodegenApi *api = compiler_codegen(c);
  if (!api) return ST_FILE;
  CodegenOptions o = {.cache_dir = c->cache_dir,
                      .threads = c->threads > 0 ? c->threads : session_cpus(),
                      .debug = c->debug,
                      .tune = c->tune};
  Compiled k = {.program = p, .api = api};
  Undo undo = {0};
  api->tune(p, &o);
  if (!(k.code = api->jit(p, &o, c->arena, c->diags, &k.plan))) return ST_MODEL;
  undo_push(&undo, free_compiled, &k);
  if (!(k.session = session_new(k.plan, c->threads))) {
    diag_error(c->diags, NULL, "no memory for an arena of %.1f MiB: %s",
               (double)k.plan->arena_bytes / 1048576, strerror(errno));
    diag_note(c->diags, NULL, "a smaller batch needs less, and --max-memory recomputes instead of storing");
    undo_drop(&undo);
    compiled_free(&k);
    return ST_BUDGET;
  }
  find_metrics(c, &k);
  tensors_set_number(k.session, "steps_per_epoch", FREE_STEPS_PER_EPOCH);
  tensors_set_number(k.session, "total_steps", FREE_TOTAL_STEPS);
  k.seconds = now_seconds() - start;
  undo_drop(&undo);
  *out = k;
  return ST_OK;
}

Status compiler_build(Compiler *c, const Graph *g, Compiled *out) {
  double start = now_seconds();
  *out = (Compiled){0};
  Program *p;
  g = compiler_passes(c, g, NULL);
  if (!g) return ST_MODEL;
  Status s = compiler_lower(c, g, &p);
  if (!s) s = compiler_build_program(c, p, out);
  if (!s) out->seconds = now_seconds() - start;
  return s;
}

void compiled_free(Compiled *k) {
  if (k->session) session_free(k->session);
  if (k->code) k->api->free(k->code);
  *k = (Compiled){0};
}

/* ---- running ---- */
void compiled_init(Compiled *k, uint64_t seed) {
  session_init_states(k->session, seed);
  tensors_set_number(k->session, "seed", (int64_t)seed);
}

Status compiled_step(Compiled *k, int *bad) { return session_step(k->session, k->metric, k->nmetric, bad); }
