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

/* The i-th blank-separated word of s and its length, or NULL. */
static const char *word_at(const char *s, int i, size_t *len) {
  if (!s) return NULL;
  for (;; i--) {
    s += strspn(s, " ");
    *len = strcspn(s, " ");
    if (*len == 0) return NULL;
    if (i == 0) return s;
    s += *len;
  }
}

int op_nattr(OpId op) {
  size_t len;
  int n = 0;
  while (word_at(op_table[op].attrs, n, &len)) n++;
  return n;
}

bool op_attr_optional(OpId op, int i) {
  size_t len;
  const char *w = word_at(op_table[op].attrs, i, &len);
  return w && w[len - 1] == '?';
}

/* Without the mark of an optional attribute. */
static const char *name_at(OpId op, int i, size_t *len) {
  const char *w = word_at(op_table[op].attrs, i, len);
  *len -= w && w[*len - 1] == '?';
  return w;
}

int op_attr_index(OpId op, const char *name) {
  const char *w;
  size_t len;
  for (int i = 0; (w = name_at(op, i, &len)); i++)
    if (strlen(name) == len && memcmp(w, name, len) == 0) return i;
  return -1;
}

const char *op_attr_name(OpId op, int i, char buf[static 32]) {
  size_t len;
  const char *w = i >= 0 ? name_at(op, i, &len) : NULL;
  if (!w || len > 31) bug("operator %s has no attribute %d", op_table[op].name, i);
  memcpy(buf, w, len);
  buf[len] = 0;
  return buf;
}
