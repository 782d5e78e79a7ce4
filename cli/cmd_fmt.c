/* jepac fmt: lays out a model file; to standard output, or with -o to a file (the same one is fine). */
#include "cli/cli.h"
#include "frontend/fmt.h"

#include <string.h>

Status cmd_fmt(Cli *c) {
  const char *path = c->opt.arg[0];
  Status s = cli_check_readable(c, path, "model");
  if (s) return s;
  const Source *src = source_read_most(c->arena, path, SOURCE_BYTES);
  if (!src) return cli_fail(c, ST_FILE, "cannot read model %s", path);
  if (strlen(src->text) != src->len)
    return cli_fail(c, ST_MODEL, "%s is not text: it holds a zero byte", path);
  StrBuf b = {0};
  if (!frontend_format(c->arena, c->diags, src, &b)) return ST_MODEL;
  if (OPT(c, check)) {
    bool same = b.n == src->len && !memcmp(b.s ? b.s : "", src->text, b.n);
    s = same ? ST_OK : cli_fail(c, ST_MODEL, "%s is not laid out as jepac fmt would", path);
  } else {
    s = cli_write_text(c, OPT(c, out), b.s ? b.s : "", b.n);
  }
  sb_free(&b);
  return s;
}
