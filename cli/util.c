/* Errors, text files, suffixes. */
#include "cli/cli.h"
#include "runtime/file.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void cli_say(Cli *c) {
  diags_say(c->diags, c->opt.diagnostics && !strcmp(c->opt.diagnostics, "json"), stderr);
}

Status cli_fail(Cli *c, Status s, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char text[2048];
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  diag_error(c->diags, NULL, "%s", text);
  return s;
}

Status cli_write_text(Cli *c, const char *path, const char *text, size_t n) {
  if (!path) {
    fwrite(text, 1, n, stdout); /* main looks at stdout's error flag */
    return ST_OK;
  }
  return file_write(path, text, n, c->diags);
}

bool cli_has_suffix(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n > m && !strcmp(s + n - m, suffix);
}

Status cli_check_readable(Cli *c, const char *path, const char *what) {
  if (file_is_folder(path)) return cli_fail(c, ST_FILE, "cannot read %s %s: it is a folder", what, path);
  if (access(path, R_OK)) return cli_fail(c, ST_FILE, "cannot read %s %s: %s", what, path, strerror(errno));
  return ST_OK;
}
