/* jepac manual: what the language offers and what is measured, as the Markdown that docs/language.md and
   docs/evaluation.md hold (scripts/update-docs); and what a shell and man know of the command line. */
#include "cli/cli.h"
#include "eval/eval.h"
#include "frontend/reference.h"
#include "ir/graph/ops.h"

#include <string.h>

static void library(StrBuf *b) {
  Arena *a = arena_new();
  frontend_library(a, b);
  arena_free(a);
}

static const struct {
  const char *name;
  void (*print)(StrBuf *b);
  bool reading; /* a part of the manual as a person reads it */
} part_table[] = {
    {"operators", ops_reference, true}, {"functions", frontend_functions, true},
    {"library", library, true},         {"protocols", eval_reference, true},
    {"man", completion_man, false},     {"bash", completion_bash, false},
    {"zsh", completion_zsh, false},     {"fish", completion_fish, false},
};
enum { NPART = sizeof part_table / sizeof *part_table };

Status cmd_manual(Cli *c) {
  const char *want = c->opt.arg[0], *names[NPART];
  StrBuf b = {0};
  for (int i = 0; i < NPART; i++) {
    names[i] = part_table[i].name;
    if (want ? strcmp(want, names[i]) != 0 : !part_table[i].reading) continue;
    if (b.n) sb_printf(&b, "\n");
    part_table[i].print(&b);
  }
  if (!b.n) {
    const char *near = nearest_name(want, names, NPART);
    cli_fail(c, ST_USAGE, "the manual has no part '%s'", want);
    if (near) diag_note(c->diags, NULL, "did you mean '%s'?", near);
    else
      diag_note(
          c->diags, NULL,
          "its parts are operators, functions, library, protocols, man (a man page), bash, zsh and fish "
          "(completion)");
    return ST_USAGE;
  }
  Status s = cli_write_text(c, NULL, b.s, b.n);
  sb_free(&b);
  return s;
}
