/* A data set of rendered objects in the layout of 3DIEBench (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_RENDER_DATASET_H
#define JEPAC_RUNTIME_RENDER_DATASET_H

#include "ir/base.h"

typedef struct {
  const char *folder;
  int64_t objects;
  int views, size, classes; /* classes: at most shapes_count() */
  uint64_t seed;
  const int *shape; /* the classes by the renderer's numbers; NULL: its first */
  bool plain;       /* no hues, and the light stays: pictures of an object differ in its rotation only */
  bool grey;        /* no hues */
  bool textures;    /* of objects, and of the floor in each picture */
  int distractors;  /* small objects of any class beside it, others in each picture */
  void (*progress)(int64_t done, int64_t objects); /* NULL: none */
} RenderJob;

/* Writes pictures, latents, then the lists, so that a data set cut short has none. ST_FILE after reporting. */
Status render_dataset(const RenderJob *j, Diags *d);

/* One object's picture as the data set has it; rgb: size x size interleaved bytes. latent: 7 numbers, NULL
   for none. */
void render_picture(const RenderJob *j, int64_t object, int view, uint8_t *rgb, double *latent);

#endif
