/* The operator table, and look-ups by name. */
#include "ir/graph/ops_impl.h"

#include <string.h>

const OpRow op_table[OP_COUNT] = {
#define OP(NAME, ...) [OP_##NAME] = {.name = #NAME, __VA_ARGS__},
#include "ir/graph/ops.def"
#undef OP
};

OpId op_find(const char *name) {
  for (int i = 0; i < OP_COUNT; i++)
    if (strcmp(op_table[i].name, name) == 0) return (OpId)i;
  return OP_COUNT;
}

/* The word that s begins with, words apart by one blank, and its length; NULL at the end. */
static const char *word(const char *s, size_t *len) {
  if (!s || !*s) return NULL;
  for (*len = 0; s[*len] && s[*len] != ' ';) ++*len;
  return s;
}

static const char *word_after(const char *w, size_t *len) { return word(w + *len + (w[*len] == ' '), len); }

static const char *word_at(const char *s, int i, size_t *len) {
  const char *w = word(s, len);
  while (w && i-- > 0) w = word_after(w, len);
  return w;
}

int op_nattr(OpId op) {
  const char *s = op_table[op].attrs;
  int n = s && *s;
  for (; s && *s; s++) n += *s == ' ';
  return n;
}

bool op_attr_optional(OpId op, int i) {
  size_t len;
  const char *w = word_at(op_table[op].attrs, i, &len);
  return w && w[len - 1] == '?';
}

/* Without the mark of an optional attribute. */
static size_t name_length(const char *w, size_t len) { return len - (w[len - 1] == '?'); }

int op_attr_index(OpId op, const char *name) {
  size_t len, want = strlen(name);
  int i = 0;
  for (const char *w = word(op_table[op].attrs, &len); w; w = word_after(w, &len), i++)
    if (name_length(w, len) == want && memcmp(w, name, want) == 0) return i;
  return -1;
}

const char *op_attr_name(OpId op, int i, char buf[static 32]) {
  size_t len;
  const char *w = i >= 0 ? word_at(op_table[op].attrs, i, &len) : NULL;
  if (!w || len > 31) bug("operator %s has no attribute %d", op_table[op].name, i);
  len = name_length(w, len);
  memcpy(buf, w, len);
  buf[len] = 0;
  return buf;
}
