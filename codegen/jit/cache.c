/* Entries of the cache folder (cache.h). */
#include "codegen/jit/cache.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
static const int64_t cache_limit = 512ll << 20;

/* As far as possible: writing will tell. */
static void make_folders(const char *path) {
  char b[PATH_BYTES];
  if (snprintf(b, sizeof b, "%s", path) >= (int)sizeof b) return;
  for (char *s = b + 1; *s; s++) {
    if (*s != '/') continue;
    *s = 0;
    mkdir(b, 0777);
    *s = '/';
  }
  mkdir(b, 0777);
}

char *cache_read(const char *dir, const char *name, const char *key, size_t keylen, size_t *n) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  struct stat st;
  char *data = NULL;
  uint64_t sum;
  size_t head = keylen + sizeof sum;
  bool ok = !fstat(fileno(f), &st) && st.st_size > (off_t)head && (data = malloc((size_t)st.st_size + 1)) &&
            fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size && !memcmp(data, key, keylen);
  if (ok) {
    memcpy(&sum, data + keylen, sizeof sum);
    *n = (size_t)st.st_size - head;
    memmove(data, data + head, *n);
    data[*n] = 0;
    ok = sum == hash_bytes(data, *n, keylen);
  }
  if (ok) {
    futimens(fileno(f), NULL); /* recently used: evicted last */
  } else {
    free(data);
  }
  fclose(f);
  return ok ? data : NULL;
}

bool cache_write(const char *dir, const char *name, const char *key, size_t keylen, const void *data,
                 size_t n) {
  char path[PATH_BYTES], temp[PATH_BYTES + 64];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  snprintf(temp, sizeof temp, "%s.%ld.%lx", path, (long)getpid(), (unsigned long)pthread_self());
  FILE *f = fopen(temp, "wb");
  if (!f && errno == ENOENT) {
    make_folders(dir);
    f = fopen(temp, "wb");
  }
  if (!f) return false;
  uint64_t sum = hash_bytes(data, n, keylen);
  bool ok = fwrite(key, 1, keylen, f) == keylen && fwrite(&sum, 1, sizeof sum, f) == sizeof sum &&
            fwrite(data, 1, n, f) == n;
  ok = !fclose(f) && ok && !rename(temp, path);
  if (!ok) unlink(temp);
  return ok;
}

typedef struct {
  char name[64];
  int64_t bytes;
  struct timespec used;
} CacheFile;

static int by_age(const void *a, const void *b) {
  const struct timespec *x = &((const CacheFile *)a)->used, *y = &((const CacheFile *)b)->used;
  if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
  return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

void cache_trim(const char *dir) {
  DIR *d = opendir(dir);
  if (!d) return;
  Arena *a = arena_new();
  VEC(CacheFile) files = {0};
  int64_t total = 0;
  for (struct dirent *e; (e = readdir(d));) {
    struct stat st;
    CacheFile f;
    if (strncmp(e->d_name, "jk_", 3) || strlen(e->d_name) >= sizeof f.name) continue;
    if (fstatat(dirfd(d), e->d_name, &st, 0)) continue;
    strcpy(f.name, e->d_name);
    f.bytes = st.st_size;
    f.used = st.st_mtim;
    total += f.bytes;
    vec_push(a, &files, f);
  }
  if (total > cache_limit) {
    qsort(files.v, (size_t)files.n, sizeof *files.v, by_age);
    for (int i = 0; i < files.n && total > cache_limit / 4 * 3; i++)
      if (!unlinkat(dirfd(d), files.v[i].name, 0)) total -= files.v[i].bytes;
  }
  closedir(d);
  arena_free(a);
}
