/* PNG pictures through libpng. */
#ifndef JEPAC_RUNTIME_PNG_H
#define JEPAC_RUNTIME_PNG_H

#include "ir/base.h"

/* Appends the file's bytes to out; false with the reason. 8 bits a sample, row-major, channels interleaved;
 * channels is 1 (grey) or 3 (RGB).
 */
bool png_encode(StrBuf *out, int width, int height, int channels, const uint8_t *pixels, const char **why);
/* The same as a file, atomic (runtime/file.h). */
Status png_save(const char *path, int width, int height, int channels, const uint8_t *pixels, Diags *d);

#endif
