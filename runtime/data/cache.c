/* An entry is a pointer that goes from NULL to its copy once; a thread that comes second drops its own. */
#include "runtime/data/cache.h"
#include "ir/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct Cache {
  size_t bytes;
  int64_t n;
  _Atomic int64_t left; /* entries that may still be kept */
  _Atomic(uint8_t *) entry[];
};

Cache *cache_new(int64_t n, size_t bytes, int64_t budget) {
  Cache *c = xcalloc(1, sizeof *c + (size_t)n * sizeof c->entry[0], "the list of pictures");
  c->bytes = bytes;
  c->n = n;
  atomic_init(&c->left, budget / (int64_t)bytes);
  return c;
}

void cache_free(Cache *c) {
  for (int64_t i = 0; c && i < c->n; i++) free(atomic_load(&c->entry[i]));
  free(c);
}

const uint8_t *cache_get(const Cache *c, int64_t i) {
  return atomic_load_explicit(&((Cache *)(uintptr_t)c)->entry[i], memory_order_acquire);
}

void cache_put(Cache *c, int64_t i, const uint8_t *bytes) {
  if (atomic_load(&c->left) <= 0) return;
  if (atomic_fetch_sub(&c->left, 1) <= 0) return; /* below zero by the number of threads at most */
  uint8_t *copy = malloc(c->bytes), *none = NULL;
  if (copy) memcpy(copy, bytes, c->bytes);
  if (!copy || !atomic_compare_exchange_strong(&c->entry[i], &none, copy)) {
    free(copy);
    atomic_fetch_add(&c->left, 1);
  }
}
