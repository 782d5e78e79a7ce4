/* Reader of IDX files: magic 00 00 08 rank, rank big-endian 32-bit sizes, then exactly that many bytes.
   Memory grows with what is really read, so a lying header cannot ask for more than the file holds. */
#include "runtime/data/idx.h"
#include "runtime/data/archive.h"
#include "ir/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Reads up to n bytes; the number read, or -1 on a read error. */
static int64_t read_fully(gzFile g, uint8_t *p, int64_t n) {
  int64_t at = 0;
  while (at < n) {
    int k = gzread(g, p + at, (unsigned)(n - at < (1 << 20) ? n - at : (1 << 20)));
    if (k < 0) return -1;
    if (k == 0) break;
    at += k;
  }
  return at;
}

static const int64_t MOST = (int64_t)4 << 30; /* a small gzip file may unpack to terabytes */

static Status read_data(gzFile g, const char *path, IdxFile *out, Diags *d) {
  int64_t count = 1;
  for (int i = 0; i < out->rank; i++) {
    uint8_t b[4];
    if (read_fully(g, b, 4) != 4) {
      diag_error(d, NULL, "%s: truncated: no room for an IDX header", path);
      return ST_FILE;
    }
    out->dim[i] = (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
    if (__builtin_mul_overflow(count, out->dim[i], &count) || count > MOST) {
      diag_error(d, NULL, "%s: its sizes overflow: they declare more than %lld bytes", path, (long long)MOST);
      return ST_FILE;
    }
  }
  int64_t have = 0, cap = 0;
  for (;;) { /* one byte more than declared is asked for, to notice files that are too long and to check the
                trailer */
    if (have == cap) {
      cap = cap ? cap * 2 : 1 << 20;
      out->data = xrealloc(out->data, (size_t)cap, path);
    }
    int64_t want = count - have < cap - have ? count - have + 1 : cap - have;
    int64_t k = read_fully(g, out->data + have, want);
    if (k < 0) {
      diag_error(d, NULL, "%s: damaged: %s", path, gzip_damage(g));
      return ST_FILE;
    }
    have += k;
    if (have > count) {
      diag_error(d, NULL, "%s: longer than the %lld bytes its header declares", path, (long long)count);
      return ST_FILE;
    }
    if (k < want) break;
  }
  int err;
  gzerror(g, &err);
  if (have < count || err == Z_BUF_ERROR) {
    diag_error(d, NULL, "%s: truncated: its header declares %lld bytes but it holds %lld", path,
               (long long)count, (long long)have);
    return ST_FILE;
  }
  return ST_OK;
}

Status idx_read(const char *path, int rank, IdxFile *out, Diags *d) {
  *out = (IdxFile){.rank = rank};
  gzFile g = gzip_open(path, d);
  if (!g) return ST_FILE;
  gzbuffer(g, 1 << 17);
  uint8_t magic[4] = {0};
  Status st = ST_FILE;
  int64_t k = read_fully(g, magic, 4);
  if (k < 0) diag_error(d, NULL, "%s: damaged: %s", path, gzip_damage(g));
  else if (k < 4 || magic[0] || magic[1] || magic[2] != 8)
    diag_error(d, NULL, "%s: not an IDX file of unsigned bytes", path);
  else if (magic[3] != rank) diag_error(d, NULL, "%s: has %d dimensions, expected %d", path, magic[3], rank);
  else st = read_data(g, path, out, d);
  gzclose(g);
  if (st != ST_OK) {
    free(out->data);
    out->data = NULL;
  }
  return st;
}
