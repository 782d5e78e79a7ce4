/* Files that appear under their name only when complete: written beside the target, synced, renamed over it. */
#ifndef JEPAC_RUNTIME_FILE_H
#define JEPAC_RUNTIME_FILE_H

#include "ir/memory.h"

typedef struct {
  FILE *f; /* write here */
  char *path, *temp, *folder;
  Undo undo; /* aborts it where memory runs out on the way */
  const char
      *previous; /* set after file_begin: the file that is replaced stays under this name; NULL: it goes */
} NewFile;

/* Every failure is reported to d and leaves nothing under the final name. A target that exists and is not a
   regular file (a device, a pipe) is written in place. */
Status file_begin(NewFile *nf, const char *path, Diags *d);
Status file_commit(NewFile *nf, Diags *d); /* flush, fsync, rename, fsync of the folder; frees nf */
void file_abort(NewFile *nf);              /* removes the temporary file; frees nf */

/* All of it at once. */
Status file_write(const char *path, const char *text, size_t n, Diags *d);

/* The name of a file survives a loss of power only when its folder is synced; 0 or an errno. */
int file_sync_folder_of(const char *path);

/* A descriptor of a regular file for reading; -1, errno and why not. Others could make a reader wait for ever. */
int file_open(const char *path, const char **why);
bool file_is_folder(const char *path);
Status file_make_folder(const char *path, Diags *d); /* with its parents; an existing folder is fine */

/* A whole file mapped read-only. */
typedef struct {
  const unsigned char *p;
  size_t n;
} MappedFile;
Status file_map(MappedFile *m, const char *path, Diags *d);
void file_unmap(MappedFile *m);

#endif
