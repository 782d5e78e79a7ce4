/* Reads tar archives from front to end. zlib unpacks gzip, because libarchive does not check its checksum. */
#include "runtime/data/archive.h"
#include "runtime/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const int64_t MOST_UNPACKED = (int64_t)4 << 30; /* a small file may unpack to terabytes */

/* The archive's bytes, unpacked where they are gzip's. */
typedef struct {
  gzFile gz;
  int64_t left;
  char block[1 << 16];
} Packed;

static const char too_long[] = "it unpacks to more than 4 GiB";

void *gzip_open(const char *path, Diags *d) {
  const char *why;
  int fd = file_open(path, &why);
  if (fd < 0) {
    diag_error(d, NULL, "cannot read %s: %s", path, why);
    return NULL;
  }
  gzFile g = gzdopen(fd, "rb");
  if (!g) {
    close(fd);
    out_of_memory(path, 0);
  }
  return g;
}

const char *gzip_damage(void *gz) {
  int err;
  const char *text = gzerror(gz, &err);
  if (err == Z_OK) return NULL;
  if (err == Z_ERRNO) return strerror(errno);
  if (err == Z_MEM_ERROR) out_of_memory("unpacking a file", 0);
  if (err == Z_BUF_ERROR) return "the compressed data end too early";
  for (const char *p; (p = strstr(text, ": "));) text = p + 2; /* zlib puts the path in front */
  return text;
}

static void need_memory(struct archive *a, int result, const char *path) {
  if (result < ARCHIVE_WARN && archive_errno(a) == ENOMEM) out_of_memory(path, 0);
}

static la_ssize_t packed_read(struct archive *a, void *from, const void **block) {
  Packed *p = from;
  int n = gzread(p->gz, p->block, sizeof p->block);
  const char *wrong = gzip_damage(p->gz);
  if (n > 0 && (p->left -= n) < 0) wrong = too_long;
  *block = p->block;
  if (!wrong) return n;
  archive_set_error(a, EIO, "%s", wrong);
  return -1;
}

/* What follows the archive's end; the checksum is behind it. NULL, or what is wrong. */
static const char *packed_rest(Packed *p) {
  for (int n; (n = gzread(p->gz, p->block, sizeof p->block)) > 0;)
    if ((p->left -= n) < 0) return too_long;
  return gzip_damage(p->gz);
}

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
  *data = xmalloc((size_t)size + 1, name);
  while (got < size) {
    la_ssize_t k = archive_read_data(a, *data + got, (size_t)(size - got));
    need_memory(a, k < 0 ? (int)k : ARCHIVE_OK, path);
    if (k <= 0) break;
    got += k;
  }
  uint8_t more;
  if (got == size && archive_read_data(a, &more, 1) == 0)
    return ST_OK; /* at the end checksums are compared */
  const char *text = archive_error_string(a);
  diag_error(d, NULL, "%s: cannot read its member %s: %s", path, name,
             text ? text : "it ends too early (truncated?)");
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
  Packed *packed = xmalloc(sizeof *packed, "reading an archive");
  *data = NULL;
  if (!a) out_of_memory("reading an archive", 0);
  errno = 0;
  packed->gz = gzip_open(path, d);
  packed->left = MOST_UNPACKED;
  if (!packed->gz) {
    archive_read_free(a);
    free(packed);
    return ST_FILE;
  }
  need_memory(a, archive_read_support_filter_all(a), path);
  need_memory(a, archive_read_support_format_tar(a), path);
  int rc = archive_read_open(a, packed, NULL, packed_read, NULL);
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
    need_memory(a, rc, path);
    const char *text = archive_error_string(a);
    diag_error(d, NULL, "cannot read %s: %s", path, text ? text : "damaged archive");
    failed = true;
  } else if (!failed && !*data) {
    diag_error(d, NULL, "%s: it has no member %s", path, name);
  }
  const char *wrong = failed ? NULL : packed_rest(packed);
  if (wrong) {
    diag_error(d, NULL, "cannot read %s: %s", path, wrong);
    failed = true;
  }
  archive_read_free(a);
  gzclose(packed->gz);
  free(packed);
  if (failed) {
    free(*data);
    *data = NULL;
    st = ST_FILE;
  }
  return st;
}

Status archive_npz_member(const char *path, const char *name, uint8_t **data, int64_t *n, Diags *d) {
  struct archive *a = archive_read_new();
  struct archive_entry *e;
  StrBuf others = {0};
  Status st = ST_FILE;
  bool found = false;
  size_t len = strlen(name);
  if (!a) out_of_memory("reading an archive", 0);
  struct stat at;
  const char *why;
  int fd = file_open(path, &why);
  if (fd < 0 || fstat(fd, &at)) {
    diag_error(d, NULL, "cannot read %s: %s", path, fd < 0 ? why : strerror(errno));
    if (fd >= 0) close(fd);
    archive_read_free(a);
    return ST_FILE;
  }
  const int64_t most = max64(MOST_UNPACKED, 20 * (int64_t)at.st_size);
  archive_read_support_format_zip(a);
  int rc = archive_read_open_fd(a, fd, 1 << 16);
  while (!found && rc == ARCHIVE_OK && (rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
    const char *member = archive_entry_pathname(e);
    if (!member) continue;
    found = !strncmp(member, name, len) && !strcmp(member + len, ".npy");
    size_t k = strlen(member);
    if (!found && k > 4 && k < 100) sb_printf(&others, "%s%.*s", others.n ? ", " : "", (int)(k - 4), member);
    if (!found) continue;
    *n = archive_entry_size(e);
    if (!archive_entry_size_is_set(e) || *n < 0)
      diag_error(d, NULL, "%s: the size of '%s' is not known", path, name);
    else if (*n > most)
      diag_error(d, NULL, "%s: '%s' unpacks to more than %lld bytes", path, name, (long long)most);
    else st = read_member(a, *n, path, member, data, d);
  }
  if (!found && rc == ARCHIVE_EOF)
    diag_error(d, NULL, "%s has no array '%s'; it has %s", path, name, others.n ? others.s : "none");
  else if (!found)
    diag_error(d, NULL, "cannot read %s: %s", path,
               archive_error_string(a) ? archive_error_string(a) : "no npz file");
  sb_free(&others);
  archive_read_free(a);
  close(fd);
  return st;
}
