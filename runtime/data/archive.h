/* One file out of a tar archive, compressed or not, or of an npz file (libarchive). */
#ifndef JEPAC_RUNTIME_DATA_ARCHIVE_H
#define JEPAC_RUNTIME_DATA_ARCHIVE_H

#include "ir/base.h"
#include "runtime/file.h"

/* The member called `name`, in whatever folder of the archive; malloc'ed. Members are only read, never
   written to disk; still an archive with a path that leads outside is refused. ST_FILE after reporting. */
Status archive_member(const char *path, const char *name, int64_t most, uint8_t **data, int64_t *n, Diags *d);

/* The array `name` of an npz file, which is the member name.npy of a zip archive, as the bytes of an npy file;
   malloc'ed. ST_FILE after reporting. */
Status archive_npz_member(const char *path, const char *name, uint8_t **data, int64_t *n, Diags *d);
/* The same as a part of the mapped file where the member is stored as it is and whole; false: it must be unpacked. */
bool archive_npz_stored(const MappedFile *m, const char *name, const uint8_t **data, size_t *size);

/* A zlib file (gzFile) of a regular file; NULL after reporting. */
void *gzip_open(const char *path, Diags *d);
/* What is wrong with a zlib file (gzFile) that was being read; NULL: nothing. */
const char *gzip_damage(void *gz);

#endif
