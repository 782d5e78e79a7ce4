/* jepac compile: an entry or the training step as a C library that stands alone. The code generator makes the
   files' contents (codegen/aot/aot.c); a C compiler, where there is one, links the shared library. */
#include "cli/cli.h"
#include "runtime/checkpoint.h"
#include "runtime/file.h"

#include <ctype.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static Status parse_emit(Cli *c, AotOptions *o, bool *beside) {
  static const char *const names[] = {"obj", "lib", "header", "ll", "asm", "weights"};
  bool *flag[] = {&o->object, &o->archive, &o->header, &o->llvm, &o->assembly, beside};
  enum { N = sizeof names / sizeof *names };
  const char *s = OPT(c, emit) ? OPT(c, emit) : "obj,lib,header";
  while (*s) {
    const char *word = arena_strndup(c->arena, s, strcspn(s, ","));
    int i = 0;
    while (i < N && strcmp(word, names[i])) i++;
    if (i == N) {
      const char *near = nearest_name(word, names, N);
      cli_fail(c, ST_USAGE, "--emit takes obj, lib, header, ll, asm and weights, not '%s'", word);
      if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
      return ST_USAGE;
    }
    *flag[i] = true;
    s += strlen(word);
    if (*s == ',') s++;
  }
  return ST_OK;
}

static bool is_identifier(const char *s) {
  if (isdigit((unsigned char)*s)) return false;
  while (isalnum((unsigned char)*s) || *s == '_') s++;
  return !*s;
}

/* "a/seq-jepa.jepa" -> "seq_jepa" */
static const char *identifier(Arena *a, const char *path) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  char *s = arena_printf(a, "%s%.*s", isdigit((unsigned char)*base) ? "_" : "",
                         (int)(dot && dot > base ? (size_t)(dot - base) : strlen(base)), base);
  for (char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  return s;
}

/* ---- the shared library ---- */
static const char *c_compiler(Cli *c) {
  const char *cc = getenv("CC"), *triple = OPT(c, target_triple);
  if (cc && *cc) return cc;
#ifdef __x86_64__
  if (triple && !strncmp(triple, "x86_64", 6)) triple = NULL;
#endif
  return triple ? arena_printf(c->arena, "%s-gcc", triple) : "cc";
}

/* Where no C compiler can link it, one from before goes too: it belongs to other objects. */
static Status not_made(Cli *c, const char *name, const char *cc, const char *path, const char *why) {
  unlink(path);
  diag_warning(c->diags, NULL, "lib%s.so is not made: cannot run the C compiler %s: %s", name, cc, why);
  return ST_OK;
}

static Status link_shared(Cli *c, const char *name) {
  const char *cc = c_compiler(c), *folder = OPT(c, out);
  if (*folder != '/') folder = arena_printf(c->arena, "./%s", folder); /* "-o" and "=" mean more to it */
  char *soname = arena_printf(c->arena, "-Wl,-soname,lib%s.so", name),
       *from = arena_printf(c->arena, "%s/lib%s.a", folder, name),
       *to = arena_printf(c->arena, "%s/lib%s.so", folder, name),
       *temp = arena_printf(c->arena, "%s.tmp", to);
  char *const argv[] = {
      (char *)cc, "-shared", soname, "-o", temp, "-Wl,--whole-archive", from, "-Wl,--no-whole-archive",
      "-lm",      NULL};
  pid_t pid;
  int err = posix_spawnp(&pid, cc, NULL, NULL, argv, environ), status = 0;
  if (err == ENOENT || err == EACCES) return not_made(c, name, cc, to, strerror(err));
  if (err) return cli_fail(c, ST_BUDGET, "cannot run the C compiler %s: %s", cc, strerror(err));
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return not_made(c, name, cc, to, strerror(ENOENT));
  if (status) {
    unlink(temp);
    return cli_fail(c, ST_FILE, "%s could not link %s", cc, to);
  }
  if (rename(temp, to)) {
    int error = errno;
    unlink(temp);
    return cli_fail(c, ST_FILE, "cannot write %s: %s", to, strerror(error));
  }
  if (!OPT(c, quiet)) printf("%s/lib%s.so\n", OPT(c, out), name);
  return ST_OK;
}

/* ---- weights ---- */
typedef struct {
  bool beside;    /* in a file of their own */
  StFile *given;  /* NULL: none */
  Session *store; /* as the graph's states take them */
  StTensor *state;
  char *header; /* of that file */
} Weights;

static Status open_weights(Cli *c, Model *m, const Graph *g, Weights *w) {
  const char *path = OPT(c, params);
  bool missing_ok = OPT(c, params_missing) != NULL;
  if (!path && (w->beside || missing_ok))
    return cli_fail(c, ST_USAGE, "%s needs --params", w->beside ? "--emit weights" : "--params-missing");
  if (!path) return ST_OK;
  Compiler *k = cli_compiler(c, 0);
  if (!(w->given = states_open(path, c->arena, c->diags))) return ST_FILE;
  if (!(w->store = tensors_store(k, g, 0))) return ST_BUDGET;
  return states_start(k, m, g, w->store, w->given, missing_ok);
}

/* Those the program still has. */
static Status give_weights(Cli *c, const Program *p, Weights *w, AotOptions *o) {
  if (!w->given) return ST_OK;
  const Graph *g = p->graph;
  AotWeight *given = NEWN(c->arena, AotWeight, g->inputs.n + 1);
  w->state = NEWN(c->arena, StTensor, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    void *at;
    const PlanTensor *t = (in->kind == IN_PARAM || in->kind == IN_BUFFER) && st_find(w->given, in->name)
                              ? tensors_find(w->store, PT_STATE, in->name, &at)
                              : NULL;
    if (!t) continue;
    if (t->dt != g_node(g, in->val)->dt) bug("state %s changed its type", in->name);
    int64_t bytes = shape_count(&t->shape) * dtype_size(t->dt);
    w->state[o->nweight] = (StTensor){in->name, t->dt, t->shape, at, bytes};
    given[o->nweight++] = (AotWeight){in->name, at, bytes};
  }
  o->weight = given;
  if (!o->nweight) return cli_fail(c, ST_FILE, "%s has no state that this library reads", st_path(w->given));
  if (!w->beside) return ST_OK;
  o->weights_header = w->header = st_header(w->state, o->nweight, &o->weights_header_size, c->diags);
  return w->header ? ST_OK : ST_FILE;
}

static void close_weights(Weights *w) {
  st_close(w->given);
  session_free(w->store);
  free(w->header);
}

/* ---- the command ---- */
static Status write_file(Cli *c, const AotFile *f) {
  const char *path = arena_printf(c->arena, "%s/%s", OPT(c, out), f->name);
  Status s = cli_write_text(c, path, f->data, f->size);
  if (!s && !OPT(c, quiet)) printf("%s\n", path);
  return s;
}

static Status make_files(Cli *c, const CodegenApi *api, const Graph *g, Weights *w, AotOptions *o) {
  Program *p;
  if (!(g = cli_passes(c, g, NULL))) return ST_MODEL;
  Status s = cli_lower(c, g, &p);
  if (s || (s = give_weights(c, p, w, o))) return s;
  AotFile file[AOT_FILES];
  int n = 0;
  api->aot(p, o, c->arena, file, &n);
  if ((s = file_make_folder(OPT(c, out), c->diags))) return s;
  for (int i = 0; i < n && !s; i++) s = write_file(c, &file[i]);
  if (!s && w->beside) {
    const char *path = arena_printf(c->arena, "%s/%s.safetensors", OPT(c, out), o->prefix);
    s = st_write(path, w->state, o->nweight, NULL, 0, c->diags);
    if (!s && !OPT(c, quiet)) printf("%s\n", path);
  }
  if (!s && o->archive) s = link_shared(c, o->prefix);
  return s;
}

Status cmd_compile(Cli *c) {
  const char *slash = strrchr(c->opt.arg[0], '/');
  AotOptions o = {.prefix = OPT(c, name) ? OPT(c, name) : identifier(c->arena, c->opt.arg[0]),
                  .title = slash ? slash + 1 : c->opt.arg[0], /* without the end of a comment in it */
                  .cpu = OPT(c, target_cpu),
                  .triple = OPT(c, target_triple)};
  if (!OPT(c, out)) return cli_fail(c, ST_USAGE, "jepac compile needs -o DIR");
  if (OPT(c, entry) && OPT(c, train_step))
    return cli_fail(c, ST_USAGE, "--entry and --train-step exclude each other");
  if (!*o.prefix || !is_identifier(o.prefix))
    return cli_fail(c, ST_USAGE, "--name %s is not a C identifier", o.prefix);
  Weights w = {0};
  Status s = parse_emit(c, &o, &w.beside);
  if (s) return s;
  const CodegenApi *api = compiler_codegen(cli_compiler(c, 0));
  if (!api) return ST_FILE;
  Target target;
  if ((s = api->aot_target(&o, &target, c->diags))) return s;
  c->compiler.target = &target;
  Model *m;
  if ((s = cli_load(c, c->opt.arg[0], NULL, 0, &m))) return s;
  const Graph *g;
  o.function = OPT(c, train_step) ? "train_step" : OPT(c, entry);
  if ((s = cli_model_graph(c, m, o.function, &g))) return s;
  if (!o.function) o.function = frontend_entry_name(m, 0);
  if (!(s = open_weights(c, m, g, &w))) s = make_files(c, api, g, &w, &o);
  close_weights(&w);
  return s;
}
