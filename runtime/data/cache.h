/* Decoded pictures kept in memory up to a budget, filled by any number of threads. What is kept never changes
   a result. */
#ifndef JEPAC_RUNTIME_DATA_CACHE_H
#define JEPAC_RUNTIME_DATA_CACHE_H

#include "ir/base.h"

typedef struct Cache Cache;

/* n entries of `bytes` each, at most `budget` bytes in all; NULL when memory is out. */
Cache *cache_new(int64_t n, size_t bytes, int64_t budget);
void cache_free(Cache *c);
const uint8_t *cache_get(const Cache *c, int64_t i); /* NULL when not kept */
void cache_put(Cache *c, int64_t i, const uint8_t *bytes);

#endif
