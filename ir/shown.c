/* The text of strangers as it may be shown: names, messages and data can hold sequences that a terminal obeys. */
#include "ir/base.h"

#include <string.h>

/* A character that draws nothing but moves, colours or turns what is around it. */
static bool acts(uint32_t c) {
  static const struct {
    uint32_t first, last;
  } range[] = {{0x00, 0x08},     {0x0b, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},  {0x200b, 0x200f},
               {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};
  for (size_t i = 0; i < sizeof range / sizeof *range; i++)
    if (c >= range[i].first && c <= range[i].last) return true;
  return false;
}

static uint32_t code_point(const char *s, int more) {
  const unsigned char *u = (const unsigned char *)s;
  uint32_t c = more ? u[0] & (0x3fu >> more) : u[0];
  for (int i = 1; i <= more; i++) c = c << 6 | (u[i] & 0x3f);
  return c;
}

int shown_char(const char *s, size_t n, char out[SHOWN_CHAR]) {
  char c[5] = {0}; /* what is cut off at the end is no character */
  memcpy(c, s, n < 4 ? n : 4);
  int more = utf8_more(c);
  uint32_t code = code_point(c, more);
  if (!more && (unsigned char)*c > 0x7f) snprintf(out, SHOWN_CHAR, "\\x%02x", (unsigned char)*c);
  else if (acts(code)) snprintf(out, SHOWN_CHAR, more ? "\\u%04x" : "\\x%02x", (unsigned)code);
  else memcpy(out, c, 4), out[more + 1] = 0;
  return more + 1;
}

void sb_put_shown(StrBuf *b, const char *s, size_t n) {
  char out[SHOWN_CHAR];
  for (size_t i = 0; i < n;) {
    i += (size_t)shown_char(s + i, n - i, out);
    sb_put(b, out, strlen(out));
  }
}

void fput_shown(const char *s, size_t n, FILE *f) {
  char out[SHOWN_CHAR];
  for (size_t i = 0; i < n;) {
    i += (size_t)shown_char(s + i, n - i, out);
    fputs(out, f);
  }
}
