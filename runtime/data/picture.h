/* Pictures in JPEG (libjpeg) and PNG (libpng) files. */
#ifndef JEPAC_RUNTIME_DATA_PICTURE_H
#define JEPAC_RUNTIME_DATA_PICTURE_H

#include "ir/base.h"

/* Why something on a loader thread failed; begins with the file's name. */
typedef struct {
  char text[512];
} Reason;

/* A whole file, malloc'ed; NULL with the reason. `most`: a longer one is refused. */
uint8_t *picture_file(const char *path, size_t most, size_t *n, Reason *why);

/* Decodes a file to side x side pixels in `channels` (1 or 3) planes of bytes. A picture of another size is
   refused when `exact`; otherwise its centred square is cut out and resized (bilinear, antialiased). */
bool picture_read(const char *path, int channels, int side, bool exact, uint8_t *out, Reason *why);

/* Interleaved RGB. *data is malloc'ed. */
void picture_jpeg(int width, int height, int quality, const uint8_t *rgb, uint8_t **data, size_t *n);

#endif
