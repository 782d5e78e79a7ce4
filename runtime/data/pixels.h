/* Operations on images of floats, with their parameters given: geometry, colour, blur. Each agrees with
   torchvision's function of the same purpose on the same parameters (tests/fixtures/augment). Values are in
   0..1. */
#ifndef JEPAC_RUNTIME_DATA_PIXELS_H
#define JEPAC_RUNTIME_DATA_PIXELS_H

#include "ir/base.h"

typedef struct {
  int c, h, w;
  float *p; /* c planes of h rows of w */
} Image;

typedef struct {
  int top, left, height, width;
} Box;

typedef enum { FILTER_BILINEAR, FILTER_BICUBIC } Filter;

/* out: its size is set, its pixels are written. room: pixels_room of the larger side of the two. */
int64_t pixels_room(int channels, int side);
/* The box resized, antialiased: the filter widens when shrinking (Pillow's resize, torchvision's
   resized_crop). */
void pixels_resize(const Image *in, Box box, Filter filter, Image *out, float *room);
/* Counter-clockwise about the centre, bilinear; outside is 0. */
void pixels_rotate(const Image *in, double radians, Image *out);
/* A patch x patch square with its pixel patch/2 at (y, x), sampled bilinearly; outside is 0. */
void pixels_patch(const Image *in, int y, int x, int patch, Image *out);
void pixels_flip(Image *m); /* left and right */

void pixels_brightness(Image *m, float factor);
void pixels_contrast(Image *m, float factor);
void pixels_saturation(Image *m, float factor); /* three channels, as the next */
void pixels_hue(Image *m, float turns);
void pixels_grey(Image *m);
void pixels_solarize(Image *m, float threshold);
/* kernel: odd width of the window, 0 for as wide as 3 sigma need; borders are reflected. */
enum { MAX_RADIUS = 32 };
void pixels_blur(Image *m, double sigma, int kernel, float *room);

#endif
