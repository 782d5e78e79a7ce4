/* Atomic replacement of files by the usual sequence: temporary file in the same folder, fsync, rename, fsync
   of the folder (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, for why each part is
   needed). */
#define _GNU_SOURCE /* mkostemp, vasprintf */
#include "runtime/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static char *text(const char *fmt, ...) {
  va_list ap;
  char *s;
  va_start(ap, fmt);
  int n = vasprintf(&s, fmt, ap);
  va_end(ap);
  if (n < 0) out_of_memory("the name of a file", 0);
  return s;
}

static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return text(".");
  return text("%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static void forget(NewFile *nf) {
  undo_drop(&nf->undo);
  free(nf->path);
  free(nf->temp);
  free(nf->folder);
  *nf = (NewFile){0};
}

static void abort_file(void *nf) { file_abort(nf); }

Status file_begin(NewFile *nf, const char *path, Diags *d) {
  struct stat st;
  *nf = (NewFile){.path = text("%s", path), .folder = folder_of(path)};
  int fd;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
    fd = open(path, O_WRONLY | O_CLOEXEC);
  } else {
    nf->temp = text("%s.tmp-XXXXXX", path);
    fd = mkostemp(nf->temp, O_CLOEXEC);
    if (fd >= 0) {
      mode_t mask = umask(0);
      umask(mask);
      (void)!fchmod(fd, 0666 & ~mask); /* mkostemp makes 0600; a failure only leaves the file more private */
    }
  }
  nf->f = fd < 0 ? NULL : fdopen(fd, "wb");
  if (nf->f) {
    undo_push(&nf->undo, abort_file, nf); /* a temporary file never stays behind */
    return ST_OK;
  }
  int err = errno;
  if (fd >= 0) close(fd);
  if (fd >= 0 && nf->temp) unlink(nf->temp);
  forget(nf);
  diag_error(d, NULL, "cannot write %s: %s", path, strerror(err));
  return ST_FILE;
}

static int sync_folder(const char *folder) {
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno == EACCES ? 0 : errno; /* write-only folders cannot be synced */
  int err = fsync(fd) && errno != EINVAL ? errno : 0;
  close(fd);
  return err;
}

int file_sync_folder_of(const char *path) {
  char *folder = folder_of(path);
  int err = sync_folder(folder);
  free(folder);
  return err;
}

/* A second name for the file about to be replaced, so that there is a whole one at every moment. */
static int keep_previous(const NewFile *nf) {
  char *temp = text("%s.tmp-former", nf->previous);
  unlink(temp);
  int err = link(nf->path, temp) ? errno : 0;
  if (!err && rename(temp, nf->previous)) err = errno;
  if (!err)
    unlink(
        temp); /* rename leaves it where both were names of one file: a run killed between the two renames */
  if (err && err != ENOENT) { /* no links here: the old file is moved, and the new one follows at once */
    unlink(temp);
    err = rename(nf->path, nf->previous) ? errno : 0;
  }
  free(temp);
  return err == ENOENT ? 0 : err;
}

Status file_commit(NewFile *nf, Diags *d) {
  int err = 0;
  if (ferror(nf->f)) err = errno ? errno : EIO;
  if (fflush(nf->f) && !err) err = errno;
  if (!err && fsync(fileno(nf->f)) && errno != EINVAL && errno != EROFS)
    err = errno; /* EINVAL: a device or pipe */
  FILE *f = nf->f;
  nf->f = NULL;
  if (fclose(f) && !err) err = errno;
  if (!err && nf->temp && nf->previous) err = keep_previous(nf);
  if (!err && nf->temp) {
    if (rename(nf->temp, nf->path)) err = errno;
    else {
      free(nf->temp);
      nf->temp = NULL;
      err = sync_folder(nf->folder);
    }
  }
  if (err) diag_error(d, NULL, "cannot write %s: %s", nf->path, strerror(err));
  if (nf->temp) unlink(nf->temp);
  forget(nf);
  return err ? ST_FILE : ST_OK;
}

void file_abort(NewFile *nf) {
  if (nf->f) fclose(nf->f);
  nf->f = NULL;
  if (nf->temp) unlink(nf->temp);
  forget(nf);
}

Status file_write(const char *path, const char *bytes, size_t n, Diags *d) {
  NewFile f;
  Status s = file_begin(&f, path, d);
  if (s) return s;
  fwrite(bytes, 1, n, f.f);
  return file_commit(&f, d);
}

bool file_is_folder(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode);
}

Status file_make_folder(const char *path, Diags *d) {
  char *p = text("%s", path);
  int err = 0;
  for (char *q = p + 1; !err; q++) {
    if (*q != '/' && *q) continue;
    char keep = *q;
    *q = 0;
    struct stat st;
    if (!mkdir(p, 0777)) (void)file_sync_folder_of(p); /* where that fails the folder is there all the same */
    else if (errno != EEXIST || stat(p, &st) || !S_ISDIR(st.st_mode)) err = errno == EEXIST ? ENOTDIR : errno;
    *q = keep;
    if (!keep) break;
  }
  free(p);
  if (err) diag_error(d, NULL, "cannot make folder %s: %s", path, strerror(err));
  return err ? ST_FILE : ST_OK;
}

int file_open(const char *path, const char **why) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &st)) {
    *why = strerror(errno);
  } else if (S_ISREG(st.st_mode)) {
    return fd;
  } else {
    errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    *why = errno == EISDIR ? strerror(EISDIR) : "it is no regular file";
  }
  int err = errno;
  if (fd >= 0) close(fd);
  errno = err;
  return -1;
}

Status file_map(MappedFile *m, const char *path, Diags *d) {
  *m = (MappedFile){0};
  struct stat st;
  const char *why = NULL;
  int fd = file_open(path, &why);
  if (fd < 0 || fstat(fd, &st)) goto fail;
  if (st.st_size > 0) {
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) goto fail;
    m->p = p;
    m->n = (size_t)st.st_size;
  }
  close(fd);
  return ST_OK;
fail:;
  int err = errno;
  diag_error(d, NULL, "cannot read %s: %s", path, why ? why : strerror(err));
  if (fd >= 0) close(fd);
  errno = err;
  return ST_FILE;
}

void file_unmap(MappedFile *m) {
  if (m->p) munmap((void *)(uintptr_t)m->p, m->n);
  *m = (MappedFile){0};
}
