/* The text of the language's own library (std/), compiled into the binary. */
#ifndef JEPAC_FRONTEND_STD_H
#define JEPAC_FRONTEND_STD_H

#include <stddef.h>

typedef struct {
  const char *path; /* "std/core.jepa" */
  const unsigned char *text;
  size_t len;
} StdFile;

extern const StdFile std_files[];
extern const int std_nfile;

#endif
