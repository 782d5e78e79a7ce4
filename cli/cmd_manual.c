/* jepac manual: what the language offers and what is measured, as the Markdown that docs/language.md and
   docs/evaluation.md hold (scripts/update-docs). */
#include "cli/cli.h"
#include "eval/eval.h"
#include "frontend/reference.h"
#include "ir/graph/ops.h"

#include <string.h>

Status cmd_manual(Cli *c) {
  static const char *const parts[] = {"operators", "functions", "library", "protocols"};
  const char *want = c->opt.arg[0];
  StrBuf b = {0};
  if (!want || !strcmp(want, parts[0])) ops_reference(&b);
  if (!want) sb_printf(&b, "\n");
  if (!want || !strcmp(want, parts[1])) frontend_functions(&b);
  if (!want) sb_printf(&b, "\n");
  if (!want || !strcmp(want, parts[2])) {
    StrBuf library = {0};
    frontend_library(c->arena, &library);
    sb_put(&b, library.s, library.n);
    sb_free(&library);
  }
  if (!want) sb_printf(&b, "\n");
  if (!want || !strcmp(want, parts[3])) eval_reference(&b);
  if (!b.n) {
    cli_fail(c, ST_USAGE, "the manual has no part '%s'", want);
    diag_note(c->diags, NULL, "its parts are operators, functions, library and protocols");
    return ST_USAGE;
  }
  Status s = cli_write_text(c, NULL, b.s, b.n);
  sb_free(&b);
  return s;
}
