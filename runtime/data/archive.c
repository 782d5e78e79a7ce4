/* Reads tar archives from front to end, until the wanted member is there. */
#include "runtime/data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

/* Absolute, or with a component "..": what would land outside the folder it is unpacked in. */
static bool unsafe(const char *p) {
  if (*p == '/') return true;
  for (; *p; p += strcspn(p, "/"), p += *p == '/')
    if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2])) return true;
  return false;
}

static Status read_member(struct archive *a, int64_t size, const char *path, const char *name, uint8_t **data,
                          Diags *d) {
  int64_t got = 0;
  *data = malloc((size_t)size + 1);
  while (*data && got < size) {
    la_ssize_t k = archive_read_data(a, *data + got, (size_t)(size - got));
    if (k <= 0) break;
    got += k;
  }
  if (*data && got == size) return ST_OK;
  const char *text = archive_error_string(a);
  diag_error(d, NULL, "%s: cannot read its member %s: %s", path, name,
             !*data ? "out of memory"
             : text ? text
                    : "it ends too early (truncated?)");
  free(*data);
  *data = NULL;
  return ST_FILE;
}

Status archive_member(const char *path, const char *name, int64_t most, uint8_t **data, int64_t *n,
                      Diags *d) {
  struct archive *a = archive_read_new();
  struct archive_entry *e;
  Status st = ST_FILE;
  bool failed = false;
  *data = NULL;
  if (!a) bug("libarchive has no memory");
  archive_read_support_filter_all(a);
  archive_read_support_format_tar(a);
  int rc = archive_read_open_filename(a, path, 1 << 16);
  while (!failed && rc == ARCHIVE_OK && (rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
    const char *member = archive_entry_pathname(e), *base = member ? strrchr(member, '/') : NULL;
    if (!member || unsafe(member)) {
      diag_error(d, NULL, "%s: its member %s has a path that leads outside; the archive is refused", path,
                 member ? member : "(unreadable)");
      failed = true;
    } else if (!*data && !strcmp(base ? base + 1 : member, name) && archive_entry_filetype(e) == AE_IFREG) {
      *n = archive_entry_size(e);
      if (*n < 0 || *n > most)
        diag_error(d, NULL, "%s: its member %s has %lld bytes, more than expected", path, member,
                   (long long)*n);
      else st = read_member(a, *n, path, member, data, d);
      failed = st != ST_OK;
    }
  }
  if (!failed && rc != ARCHIVE_EOF) {
    const char *text = archive_error_string(a);
    diag_error(d, NULL, "cannot read %s: %s", path, text ? text : "damaged archive");
    failed = true;
  } else if (!failed && !*data) {
    diag_error(d, NULL, "%s: it has no member %s", path, name);
  }
  archive_read_free(a);
  if (failed) {
    free(*data);
    *data = NULL;
    st = ST_FILE;
  }
  return st;
}
