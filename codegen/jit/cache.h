/* The folder of what was compiled and measured before. An entry is a file that holds its whole key and a
   check sum before its contents, written under a temporary name and renamed, so that concurrent processes,
   hash collisions, entries of other builds and entries a crash of the machine has damaged are harmless. A
   folder that cannot be written is no error. Folder and entries must belong to the user, and nobody else may be allowed to
   write to them: an entry is code. */
#ifndef JEPAC_CODEGEN_JIT_CACHE_H
#define JEPAC_CODEGEN_JIT_CACHE_H

#include "ir/base.h"

/* False: the folder is there, but it is another's or others may write to it, so that nothing of it is used. */
bool cache_trusts(const char *dir);
/* The contents of an entry, *n bytes and a zero after them, for the caller to free; NULL where there is none
   with this key. */
char *cache_read(const char *dir, const char *name, const char *key, size_t keylen, size_t *n);
bool cache_write(const char *dir, const char *name, const char *key, size_t keylen, const void *data,
                 size_t n);
/* Removes the least recently used entries when the folder is over its limit. Names begin with "jk_". */
void cache_trim(const char *dir);

#endif
