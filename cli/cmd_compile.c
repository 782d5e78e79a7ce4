/* jepac compile: an entry or the training step as a C library that stands alone. The code generator makes the
   files' contents (codegen/aot/aot.c); a C compiler, where there is one, links the shared library. */
#include "cli/cli.h"
#include "runtime/file.h"

#include <ctype.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static Status parse_emit(Cli *c, AotOptions *o) {
  static const char *const names[] = {"obj", "lib", "header", "ll", "asm"};
  bool *flag[] = {&o->object, &o->archive, &o->header, &o->llvm, &o->assembly};
  enum { N = sizeof names / sizeof *names };
  const char *s = OPT(c, emit) ? OPT(c, emit) : "obj,lib,header";
  while (*s) {
    const char *word = arena_strndup(c->arena, s, strcspn(s, ","));
    int i = 0;
    while (i < N && strcmp(word, names[i])) i++;
    if (i == N) {
      const char *near = nearest_name(word, names, N);
      cli_fail(c, ST_USAGE, "--emit takes obj, lib, header, ll and asm, not '%s'", word);
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
  if (rename(temp, to)) return cli_fail(c, ST_FILE, "cannot write %s: %s", to, strerror(errno));
  if (!OPT(c, quiet)) printf("%s/lib%s.so\n", OPT(c, out), name);
  return ST_OK;
}

/* ---- the command ---- */
static Status write_file(Cli *c, const AotFile *f) {
  const char *path = arena_printf(c->arena, "%s/%s", OPT(c, out), f->name);
  Status s = cli_write_text(c, path, f->data, f->size);
  if (!s && !OPT(c, quiet)) printf("%s\n", path);
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
  Status s = parse_emit(c, &o);
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
  Program *p;
  if (!(g = cli_passes(c, g, NULL))) return ST_MODEL;
  if ((s = cli_lower(c, g, &p))) return s;
  AotFile file[AOT_FILES];
  int n = 0;
  api->aot(p, &o, c->arena, file, &n);
  if ((s = file_make_folder(OPT(c, out), c->diags))) return s;
  for (int i = 0; i < n && !s; i++) s = write_file(c, &file[i]);
  if (!s && o.archive) s = link_shared(c, o.prefix);
  return s;
}
