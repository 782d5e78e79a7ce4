/* Where a member of a zip archive lies that is stored as it is, so that it needs not be unpacked: numpy.savez writes
   such. Whatever looks unusual is left to libarchive (archive.c), which says what is wrong with it. */
#include "runtime/data/archive.h"

#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

enum { END = 22, END64 = 56, LOCATOR = 20, CENTRAL = 46, LOCAL = 30, MOST_COMMENT = 65535, PIECE = 16 << 20 };

static uint64_t number(const uint8_t *p, int bytes) {
  uint64_t u = 0;
  for (int k = 0; k < bytes; k++) u |= (uint64_t)p[k] << (8 * k);
  return u;
}

static bool is_record(const MappedFile *b, uint64_t at, size_t size, const char *mark) {
  return at <= b->n && b->n - at >= size && !memcmp(b->p + at, mark, 4);
}

/* The list of members at the archive's end. */
static bool find_list(const MappedFile *b, uint64_t *at, uint64_t *size) {
  size_t end = b->n < END ? 0 : b->n - END, first = end > MOST_COMMENT ? end - MOST_COMMENT : 0;
  while (end > first && !is_record(b, end, END, "PK\5\6")) end--;
  if (!is_record(b, end, END, "PK\5\6")) return false;
  *size = number(b->p + end + 12, 4);
  *at = number(b->p + end + 16, 4);
  if (*size == UINT32_MAX || *at == UINT32_MAX) {
    if (end < LOCATOR || !is_record(b, end - LOCATOR, LOCATOR, "PK\6\7")) return false;
    uint64_t wide = number(b->p + end - LOCATOR + 8, 8);
    if (!is_record(b, wide, END64, "PK\6\6")) return false;
    *size = number(b->p + wide + 40, 8);
    *at = number(b->p + wide + 48, 8);
  }
  return *at <= b->n && *size <= b->n - *at;
}

typedef struct {
  uint64_t packed, size, local;
} Sizes;

/* Of an entry of the list; what does not fit in 32 bits is in an extra field of kind 1. */
static bool read_sizes(const uint8_t *p, const uint8_t *extra, size_t n, Sizes *s) {
  uint64_t *const field[] = {&s->size, &s->packed, &s->local};
  *s = (Sizes){number(p + 20, 4), number(p + 24, 4), number(p + 42, 4)};
  while (n >= 4) {
    size_t size = (size_t)number(extra + 2, 2);
    if (size > n - 4) return false;
    const uint8_t *q = extra + 4, *end = q + size;
    for (int i = 0; i < 3 && number(extra, 2) == 1; i++) {
      if (*field[i] != UINT32_MAX) continue;
      if (end - q < 8) return false;
      *field[i] = number(q, 8);
      q += 8;
    }
    extra += 4 + size;
    n -= 4 + size;
  }
  return true;
}

/* Of mapped bytes. The pages that are read are given back, so that a large file is not counted as memory. */
static bool has_sum(const uint8_t *p, uint64_t n, uint32_t want) {
  uLong sum = crc32(0, NULL, 0);
  for (uint64_t k; n; p += k, n -= k) {
    k = n < PIECE ? n : PIECE;
    sum = crc32(sum, p, (uInt)k);
    uintptr_t from = ((uintptr_t)p + 4095) & ~(uintptr_t)4095, to = ((uintptr_t)p + k) & ~(uintptr_t)4095;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
  }
  return sum == want;
}

bool archive_npz_stored(const MappedFile *m, const char *name, const uint8_t **data, size_t *size) {
  const uint8_t *p = m->p;
  const size_t n = m->n;
  uint64_t at, length;
  size_t len = strlen(name);
  if (!find_list(m, &at, &length)) return false;
  while (length >= CENTRAL && is_record(m, at, CENTRAL, "PK\1\2")) {
    const uint8_t *e = p + at;
    uint64_t named = number(e + 28, 2), extra = number(e + 30, 2),
             whole = CENTRAL + named + extra + number(e + 32, 2);
    if (whole > length) return false;
    at += whole;
    length -= whole;
    if (named != len + 4 || memcmp(e + CENTRAL, name, len) || memcmp(e + CENTRAL + len, ".npy", 4)) continue;
    bool plain = !(number(e + 8, 2) & 1) && number(e + 10, 2) == 0;
    Sizes s;
    if (!plain || !read_sizes(e, e + CENTRAL + named, (size_t)extra, &s) || s.packed != s.size ||
        !is_record(m, s.local, LOCAL, "PK\3\4"))
      return false;
    uint64_t from = s.local + LOCAL + number(p + s.local + 26, 2) + number(p + s.local + 28, 2);
    if (from > n || s.size > n - from || !has_sum(p + from, s.size, (uint32_t)number(e + 16, 4)))
      return false;
    *data = p + from;
    *size = (size_t)s.size;
    return true;
  }
  return false;
}
