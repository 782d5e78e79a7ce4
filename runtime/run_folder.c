/* The lock is flock(2) on RUN/lock: it ends with the process, so the file of one that was killed is never in the way.
   Its text is for messages only. */
#define _GNU_SOURCE /* dprintf */
#include "runtime/run_folder.h"
#include "runtime/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static Status cannot(const char *folder, int error, Diags *d) {
  diag_error(d, NULL, "cannot lock %s: %s", folder, strerror(error));
  return ST_FILE;
}

static Status taken(int fd, const char *folder, Diags *d) {
  char who[128];
  ssize_t n = pread(fd, who, sizeof who - 1, 0);
  who[n > 0 ? n : 0] = 0;
  who[strcspn(who, "\n")] = 0;
  for (char *p = who; *p; p++)
    if ((unsigned char)*p < 32) *p = '?';
  diag_error(d, NULL, "%s is in use by another run: %s", folder, who[0] ? who : "an unnamed process");
  return ST_FILE;
}

/* NAME.tmp-XXXXXX, as runtime/file.c names what it has not finished. */
static bool is_leftover(const char *name) {
  size_t n = strlen(name);
  return n > 11 && !strncmp(name + n - 11, ".tmp-", 5);
}

static void remove_leftovers(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));)
    if (is_leftover(e->d_name)) unlinkat(dirfd(dir), e->d_name, 0);
  closedir(dir);
}

/* Opens and locks the file. The process that had it may have removed it in between: then its successor is meant. */
static int lock_file(const char *path, int *error) {
  struct stat mine, there;
  for (;;) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    *error = fd < 0 ? errno : 0;
    if (fd < 0) return fd;
    while (flock(fd, LOCK_EX | LOCK_NB))
      if (errno != EINTR) {
        *error = errno;
        return fd;
      }
    if (!fstat(fd, &mine) && !stat(path, &there) && mine.st_ino == there.st_ino) return fd;
    close(fd);
  }
}

Status run_folder_open(RunFolder *r, const char *folder, Diags *d) {
  char path[4096], host[64] = "";
  *r = (RunFolder){.fd = -1};
  Status s = file_make_folder(folder, d);
  if (s) return s;
  if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path)
    return cannot(folder, ENAMETOOLONG, d);
  int error, fd = lock_file(path, &error);
  bool lockless = error == ENOTSUP || error == ENOLCK || error == ENOSYS; /* a file system without locks */
  if (error && !lockless) {
    s = error == EWOULDBLOCK ? taken(fd, folder, d) : cannot(folder, error, d);
    if (fd >= 0) close(fd);
    return s;
  }
  gethostname(host, sizeof host - 1);
  if (ftruncate(fd, 0) || dprintf(fd, "process %ld on %s\n", (long)getpid(), host) < 0) { /* only a message */
  }
  r->fd = fd;
  r->path = strdup(path);
  remove_leftovers(folder);
  return ST_OK;
}

void run_folder_close(RunFolder *r) {
  if (r->fd < 0) return;
  if (r->path) unlink(r->path);
  free(r->path);
  close(r->fd);
  *r = (RunFolder){.fd = -1};
}
