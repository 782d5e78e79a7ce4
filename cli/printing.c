/* All that the program prints goes through here, so that no text of strangers reaches a terminal that obeys it. */
#define _GNU_SOURCE /* fopencookie */
#include "cli/cli.h"
#include "ir/memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  int fd;
  char rest[4]; /* the beginning of a character whose end comes with the next write */
  size_t nrest;
} Printing;

static bool write_all(int fd, const char *s, size_t n) {
  while (n) {
    ssize_t k = write(fd, s, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    s += k;
    n -= (size_t)k;
  }
  return true;
}

/* Bytes at the end of s of a character of which more are to come. */
static size_t unfinished(const char *s, size_t n) {
  for (size_t k = 1; k <= 3 && k <= n; k++) {
    unsigned char c = (unsigned char)s[n - k];
    if ((c & 0xc0) == 0x80) continue;
    size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return want > k ? k : 0;
  }
  return 0;
}

/* Without an allocation: it may be want of memory that is told. */
static ssize_t print(void *of, const char *s, size_t n) {
  Printing *p = of;
  char in[1024], out[1024 * SHOWN_CHAR];
  size_t done = 0;
  while (done < n) {
    size_t have = p->nrest, take = sizeof in - have < n - done ? sizeof in - have : n - done, used = 0, i = 0;
    memcpy(in, p->rest, have);
    memcpy(in + have, s + done, take);
    have += take;
    p->nrest = unfinished(in, have);
    have -= p->nrest;
    memcpy(p->rest, in + have, p->nrest);
    if (!done && have && in[0] == '\r')
      out[used++] = in[i++]; /* a line that overwrites itself begins what is printed */
    while (i < have) {
      i += (size_t)shown_char(in + i, have - i, out + used);
      used += strlen(out + used);
    }
    if (!write_all(p->fd, out, used)) return 0;
    done += take;
  }
  return (ssize_t)n;
}

static FILE *stream(Printing *p, int fd, int buffering) {
  p->fd = fd;
  FILE *f = fopencookie(p, "w", (cookie_io_functions_t){.write = print});
  if (!f) out_of_memory("standard output", 0);
  setvbuf(f, NULL, buffering, 1 << 14);
  return f;
}

void cli_print_safely(void) {
  static Printing printing[2]; /* until the process ends, as the streams are */
  fflush(stdout);
  stdout = stream(&printing[0], STDOUT_FILENO, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
  stderr = stream(&printing[1], STDERR_FILENO, _IOLBF);
}
