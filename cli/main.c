/* The program's front door: finds the command, runs it, prints what it has to say. */
#include "cli/cli.h"
#include "ir/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void usage(FILE *f) {
  fputs("usage: jepac COMMAND ...\n\n", f);
  for (const Command *k = command_table; k->name; k++)
    fprintf(f, "  %-8s %-16s %s\n", k->name, k->operands, k->doc);
  fputs("\njepac COMMAND -h or jepac help COMMAND lists a command's options; jepac version.\n", f);
}

static Status dispatch(Cli *c, int argc, char **argv) {
  if (argc < 2) {
    usage(stderr);
    return ST_USAGE;
  }
  const char *name = argv[1];
  const Command *of = argc > 2 && !strcmp(name, "help") ? command_find(argv[2]) : NULL;
  if (of) {
    options_help(of, stdout);
    return ST_OK;
  }
  if (!strcmp(name, "-h") || !strcmp(name, "--help") || (!strcmp(name, "help") && argc == 2)) {
    usage(stdout);
    return ST_OK;
  }
  if (!strcmp(name, "help")) name = argv[2]; /* which is none */
  if (!strcmp(name, "--version") || !strcmp(name, "version")) {
    puts("jepac " JEPAC_VERSION);
    return ST_OK;
  }
  const Command *k = command_find(name);
  if (!k) {
    const char *names[64];
    int n = 0;
    for (const Command *i = command_table; i->name; i++) names[n++] = i->name;
    const char *near = nearest_name(name, names, n);
    cli_fail(c, ST_USAGE, "unknown command '%s'", name);
    if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
    return ST_USAGE;
  }
  Status s = options_parse(c, command_table, k, argc - 2, argv + 2);
  if (s) return s;
  if (c->opt.help) {
    options_help(k, stdout);
    return ST_OK;
  }
  (void)OPT(c, diagnostics); /* main uses it at the end */
  if (!(s = cli_take_recipe(c, k)) && !(s = cli_dump_begin(c))) s = cli_dump_end(c, k->run(c));
  return s ? s : options_unused(c, k);
}

/* Of 0 to 2, those that are closed would be the numbers of the first files opened, and messages go there. */
static void keep_standard_streams(void) {
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

static void *json_memory(size_t n) { return xmalloc(n, "JSON"); }

typedef struct {
  Cli *c;
  int argc;
  char **argv;
  Status s;
} Call;

static void call(void *of) {
  Call *k = of;
  k->s = dispatch(k->c, k->argc, k->argv);
}

int main(int argc, char **argv) {
  keep_standard_streams();
  setlocale(LC_CTYPE, "");
  signal(SIGXFSZ, SIG_IGN); /* a write past the file size limit fails like one on a full disk */
  /* The arenas of passes come and go by megabytes: keep their pages instead of having them cleared anew. Code
     generation gives back what is left over (codegen_trim). */
  mallopt(M_MMAP_THRESHOLD, 1 << 28);
  mallopt(M_TRIM_THRESHOLD, 1 << 28);
  Arena *a = arena_new();
  Cli *c = NEW(a, Cli);
  c->arena = a;
  c->diags = diags_new(a);
  c->words = argv;
  cli_print_safely();
  cli_reproduce_bugs(c, argc, argv);
  json_set_alloc_funcs(json_memory, free); /* jansson's results are never NULL for want of memory */
  Call k = {c, argc, argv, ST_OK};
  char why[REASON_TEXT];
  bool served = rescue(call, &k, false, why);
  Status s = served ? k.s : ST_BUDGET;
  if ((fflush(stdout) || ferror(stdout)) && !s)
    s = cli_fail(c, ST_FILE, "cannot write to standard output: %s", strerror(errno));
  if (!s && diags_errors(c->diags)) s = ST_MODEL;
  bool json = c->opt.diagnostics && !strcmp(c->opt.diagnostics, "json");
  if (c->silent) c->diags = diags_new(a);
  cli_say(c);
  cli_ranks_end(c);
  if (!served) diag_print_last(why, json, stderr);
  if (served) arena_free(a); /* else other threads may still read it */
  return (int)s;
}
