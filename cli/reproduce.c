/* After an error in jepac itself (exit 70): a folder that shows it again, with the model file, the files it
   uses, what was dumped, and the command. */
#define _GNU_SOURCE /* on_exit */
#include "cli/cli.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  Cli *c;
  int argc;
  char **argv;
  const char *folder;
  VEC(const char *) done; /* paths copied */
} Case;

static void copy_model(Case *r, const char *path, const char *name);

/* use "nn/mlp.jepa": beside the file, else among the library's models. */
static void copy_used(Case *r, const char *path, const char *text) {
  Arena *a = r->c->arena;
  const char *slash = strrchr(path, '/'), *std = compiler_models(a);
  for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p) {
    p += strspn(p, " \t");
    if (strncmp(p, "use ", 4)) continue;
    const char *q = p + 4 + strspn(p + 4, " ");
    if (*q != '"') continue;
    const char *name = arena_strndup(a, q + 1, strcspn(q + 1, "\"\n"));
    const char *near = arena_printf(a, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
    if (strstr(name, "..") || *name == '/') continue; /* would leave the folder */
    copy_model(r, access(near, R_OK) && std ? arena_printf(a, "%s/%s", std, name) : near, name);
  }
}

static void copy_model(Case *r, const char *path, const char *name) {
  Arena *a = r->c->arena;
  for (int i = 0; i < r->done.n; i++)
    if (!strcmp(r->done.v[i], path)) return;
  vec_push(a, &r->done, path);
  const Source *s = source_read_most(a, path, SOURCE_BYTES);
  if (!s) return;
  for (const char *p = name; (p = strchr(p, '/')); p++)
    mkdir(arena_printf(a, "%s/%.*s", r->folder, (int)(p - name), name), 0777);
  cli_write_text(r->c, arena_printf(a, "%s/%s", r->folder, name), s->text, s->len);
  if (cli_has_suffix(name, ".jepa")) copy_used(r, path, s->text);
}

static void put_word(StrBuf *b, const char *word) {
  sb_printf(b, " '");
  for (; *word; word++) sb_printf(b, *word == '\'' ? "'\\''" : "%c", *word);
  sb_printf(b, "'");
}

static void write_case(int status, void *arg) {
  if (status != ST_BUG) return; /* after main has returned, arg is gone; bug() exits from inside it */
  Case *r = arg;
  Cli *c = r->c;
  if (!c->opt.narg || !c->opt.arg[0]) return;
  r->folder = arena_printf(c->arena, "jepac-bug-%ld", (long)getpid());
  if (mkdir(r->folder, 0777)) return;
  const char *model = c->opt.arg[0], *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
  if (!file_is_folder(model)) copy_model(r, model, name);
  StrBuf b = {0};
  sb_printf(
      &b,
      "#!/bin/sh\n# jepac %s ended with an internal error; run this here\ncd \"$(dirname \"$0\")\" || exit\n"
      "exec jepac",
      JEPAC_VERSION);
  for (int i = 1; i < r->argc; i++) put_word(&b, !strcmp(r->argv[i], model) ? name : r->argv[i]);
  sb_printf(&b, "\n");
  const char *script = arena_printf(c->arena, "%s/run.sh", r->folder);
  cli_write_text(c, script, b.s, b.n);
  chmod(script, 0755);
  sb_free(&b);
  diags_print(c->diags, stderr);
  fprintf(stderr, "jepac: this is an error in jepac; %s/run.sh shows it again\n", r->folder);
}

void cli_reproduce_bugs(Cli *c, int argc, char **argv) {
  Case *r = NEW(c->arena, Case);
  *r = (Case){.c = c, .argc = argc, .argv = argv};
  on_exit(write_case, r);
}
