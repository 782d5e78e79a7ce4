/* A run's folder while a process writes to it: locked, and without what a killed process left behind. */
#ifndef JEPAC_RUNTIME_RUN_FOLDER_H
#define JEPAC_RUNTIME_RUN_FOLDER_H

#include "ir/base.h"

typedef struct {
  int fd; /* of the lock, -1: not locked; closed, or ended with the process, it frees the folder */
  char *path;
} RunFolder;

/* Makes the folder where needed and locks it. ST_FILE after reporting: another process, named in the message, writes
   to it. Temporary files of a process that was killed are removed. */
Status run_folder_open(RunFolder *r, const char *folder, Diags *d);
void run_folder_close(RunFolder *r);

#endif
