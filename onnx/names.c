/* Names of an ONNX file: a table of them, and what they become as names of the language. */
#include "onnx/import.h"

#include <ctype.h>
#include <string.h>

struct OxNames {
  Arena *a;
  struct {
    const char *name;
    int number;
  } *slot;
  int n, cap;
};

OxNames *ox_names_new(Arena *a) {
  OxNames *t = NEW(a, OxNames);
  t->a = a;
  return t;
}

static int place(const OxNames *t, const char *name) {
  int i = (int)(hash_bytes(name, strlen(name), 0) & (uint64_t)(t->cap - 1));
  while (t->slot[i].name && strcmp(t->slot[i].name, name)) i = (i + 1) & (t->cap - 1);
  return i;
}

int ox_names_find(const OxNames *t, const char *name) {
  if (!t->cap) return -1;
  int i = place(t, name);
  return t->slot[i].name ? t->slot[i].number : -1;
}

void ox_names_set(OxNames *t, const char *name, int number) {
  if (2 * t->n >= t->cap) {
    OxNames old = *t;
    t->cap = old.cap ? 2 * old.cap : 64;
    t->slot = arena_alloc(t->a, sizeof *t->slot * (size_t)t->cap);
    for (int i = 0; i < old.cap; i++)
      if (old.slot[i].name) t->slot[place(t, old.slot[i].name)] = old.slot[i];
  }
  int i = place(t, name);
  t->n += !t->slot[i].name;
  t->slot[i].name = name;
  t->slot[i].number = number;
}

/* Words that cannot be names (frontend/parse.c), or mean something as a value. */
static const char *const words[] = {
    "if",   "then",  "else", "for",      "in",   "and",             "or",          "not",  "return", "repeat", "use", "true", "false",
    "none", "every", "scan", "training", "step", "steps_per_epoch", "total_steps", "pi",   "inf",    "prim",   "zeros", "ones",
    "f32",  "f64",   "bf16", "i32",      "i64",  "u32",             "bool"};

const char *ox_identifier(Arena *a, const char *name) {
  char *s = arena_alloc(a, strlen(name) + 3);
  size_t n = 0;
  if (isdigit((unsigned char)name[0])) s[n++] = 'v';
  for (const char *p = name; *p; p++)
    if (isalnum((unsigned char)*p) && (unsigned char)*p < 128) s[n++] = *p;
    else if (n && s[n - 1] != '_') s[n++] = '_';
  while (n && s[n - 1] == '_') n--;
  s[n] = 0;
  if (!n || s[0] == '_') return arena_printf(a, "v%s", s);
  if (n > 60) s[60] = 0;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(words[i], s)) return arena_printf(a, "%s_", s);
  return s;
}
