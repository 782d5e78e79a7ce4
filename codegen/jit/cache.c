/* Entries of the cache folder (cache.h). */
#include "codegen/jit/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
  mkdir(b, 0700);
}

/* What lies in the cache is run as code: it must be the user's, and nobody else may write to it. */
static bool is_ours(int fd, mode_t type) {
  struct stat st;
  return !fstat(fd, &st) && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() && !(st.st_mode & 022);
}

/* -1: there is none (ENOENT), or it is not to be trusted (EPERM). */
static int open_folder(const char *dir) {
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || is_ours(fd, S_IFDIR)) return fd;
  close(fd);
  errno = EPERM;
  return -1;
}

bool cache_trusts(const char *dir) {
  int fd = open_folder(dir);
  bool refused = fd < 0 && errno == EPERM;
  if (fd >= 0) close(fd);
  return !refused;
}

static bool read_all(int fd, char *to, size_t n) {
  for (ssize_t k; n; to += k, n -= (size_t)k) {
    do k = read(fd, to, n);
    while (k < 0 && errno == EINTR);
    if (k <= 0) return false;
  }
  return true;
}

static bool write_all(int fd, const void *from, size_t n) {
  const char *p = from;
  for (ssize_t k; n; p += k, n -= (size_t)k) {
    do k = write(fd, p, n);
    while (k < 0 && errno == EINTR);
    if (k <= 0) return false;
  }
  return true;
}

static char *read_entry(int fd, const char *key, size_t keylen, size_t *n) {
  struct stat st;
  uint64_t sum;
  size_t head = keylen + sizeof sum;
  if (!is_ours(fd, S_IFREG) || fstat(fd, &st) || st.st_size <= (off_t)head) return NULL;
  char *data = malloc((size_t)st.st_size + 1);
  bool ok = data && read_all(fd, data, (size_t)st.st_size) && !memcmp(data, key, keylen);
  if (ok) {
    memcpy(&sum, data + keylen, sizeof sum);
    *n = (size_t)st.st_size - head;
    memmove(data, data + head, *n);
    data[*n] = 0;
    ok = sum == hash_bytes(data, *n, keylen);
  }
  if (ok) {
    futimens(fd, NULL); /* recently used: evicted last */
    return data;
  }
  free(data);
  return NULL;
}

char *cache_read(const char *dir, const char *name, const char *key, size_t keylen, size_t *n) {
  int folder = open_folder(dir), fd = -1;
  if (folder >= 0) fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  char *data = fd < 0 ? NULL : read_entry(fd, key, keylen, n);
  if (fd >= 0) close(fd);
  if (folder >= 0) close(folder);
  return data;
}

bool cache_write(const char *dir, const char *name, const char *key, size_t keylen, const void *data,
                 size_t n) {
  char temp[PATH_BYTES];
  snprintf(temp, sizeof temp, "%s.%ld.%lx", name, (long)getpid(), (unsigned long)pthread_self());
  int folder = open_folder(dir);
  if (folder < 0 && errno == ENOENT) {
    make_folders(dir);
    folder = open_folder(dir);
  }
  if (folder < 0) return false;
  int fd = openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  uint64_t sum = hash_bytes(data, n, keylen);
  bool ok =
      fd >= 0 && write_all(fd, key, keylen) && write_all(fd, &sum, sizeof sum) && write_all(fd, data, n);
  if (fd >= 0) ok = !close(fd) && ok;
  ok = ok && !renameat(folder, temp, folder, name);
  if (fd >= 0 && !ok) unlinkat(folder, temp, 0);
  close(folder);
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
  int fd = open_folder(dir);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d) {
    if (fd >= 0) close(fd);
    return;
  }
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
