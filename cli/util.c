/* Errors, text files, numbers for people. */
#include "cli/cli.h"
#include "runtime/file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
  NewFile f;
  Status s = file_begin(&f, path, c->diags);
  if (s) return s;
  fwrite(text, 1, n, f.f);
  return file_commit(&f, c->diags);
}

static const char *scaled(Arena *a, double n, double base, const char *const *unit, int last) {
  int u = 0;
  for (; n >= base && u < last; u++) n /= base;
  return arena_printf(a,
                      u == 0    ? "%.0f%s"
                      : n < 10  ? "%.2f %s"
                      : n < 100 ? "%.1f %s"
                                : "%.0f %s",
                      n, unit[u]);
}

const char *cli_human_count(Arena *a, double n) {
  static const char *const unit[] = {"", "k", "M", "G", "T", "P"};
  return scaled(a, n, 1000, unit, 5);
}

const char *cli_human_bytes(Arena *a, int64_t n) {
  static const char *const unit[] = {" B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(a, (double)n, 1024, unit, 4);
}

bool cli_is_folder(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode);
}

bool cli_has_suffix(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n > m && !strcmp(s + n - m, suffix);
}

Status cli_check_readable(Cli *c, const char *path, const char *what) {
  if (cli_is_folder(path)) return cli_fail(c, ST_FILE, "cannot read %s %s: it is a folder", what, path);
  if (access(path, R_OK)) return cli_fail(c, ST_FILE, "cannot read %s %s: %s", what, path, strerror(errno));
  return ST_OK;
}
