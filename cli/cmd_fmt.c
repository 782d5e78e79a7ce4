/* jepac fmt: lays out model files; one to standard output, or with -o to a file (the same one is fine), several with
   --check or in place. */
#include "cli/cli.h"
#include "frontend/fmt.h"

#include <errno.h>
#include <string.h>

static const Source *read_input(Cli *c) {
  StrBuf b = {0};
  char block[4096];
  for (size_t n; (n = fread(block, 1, sizeof block, stdin)) > 0 && b.n <= SOURCE_BYTES;) sb_put(&b, block, n);
  Source *src = NEW(c->arena, Source);
  *src = (Source){"standard input", arena_strndup(c->arena, b.s ? b.s : "", b.n), b.n};
  sb_free(&b);
  return src;
}

static Status format_one(Cli *c, const char *path, const char *out) {
  bool input = !strcmp(path, "-");
  Status s = input ? ST_OK : cli_check_readable(c, path, "model");
  if (s) return s;
  const Source *src = input ? read_input(c) : source_read_most(c->arena, path, SOURCE_BYTES);
  if (!src) return cli_fail(c, ST_FILE, "cannot read model %s", path);
  if (strlen(src->text) != src->len)
    return cli_fail(c, ST_MODEL, "%s is not text: it holds a zero byte", src->path);
  StrBuf b = {0};
  if (!frontend_format(c->arena, c->diags, src, &b)) return ST_MODEL;
  bool same = b.n == src->len && !memcmp(b.s ? b.s : "", src->text, b.n);
  if (OPT(c, check))
    s = same ? ST_OK : cli_fail(c, ST_MODEL, "%s is not laid out as jepac fmt would", src->path);
  else if (!out || !same || strcmp(out, path)) s = cli_write_text(c, out, b.s ? b.s : "", b.n);
  sb_free(&b);
  return s;
}

Status cmd_fmt(Cli *c) {
  Status worst = ST_OK;
  if (c->opt.narg == 1) return format_one(c, c->opt.arg[0], OPT(c, in_place) ? c->opt.arg[0] : OPT(c, out));
  if (!OPT(c, check) && !OPT(c, in_place))
    return cli_fail(c, ST_USAGE, "several files need --in-place or --check");
  for (int i = 0; i < c->opt.narg; i++) {
    Status s = format_one(c, c->opt.arg[i], c->opt.arg[i]);
    if (s > worst) worst = s;
  }
  return worst;
}
