/* Saliency maps from files: one array for all images of a part, or one file beside each picture
   (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_DATA_MAPS_H
#define JEPAC_RUNTIME_DATA_MAPS_H

#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "runtime/npy.h"

typedef struct {
  NpyArray all; /* samples x h x w; count 0: files of their own */
  int h, w;
  const char *home; /* of the pictures; their maps lie below home/saliency */
} Maps;

/* The array of part ("train", "test", "unlabeled"), whose file m will hold: as many maps as samples, every number
   finite and not negative, none zero everywhere. ST_FILE after reporting. */
Status maps_open(Maps *s, MappedFile *m, const char *home, const char *part, int64_t samples, Arena *a,
                 Diags *d);
/* The map of a sample (picture: its file) over h x w pixels. false: it cannot be read, with the reason. */
bool maps_read(const Maps *s, int64_t sample, const char *picture, float *map, int h, int w, Reason *why);

#endif
