/* Where to look: saliency of an image and fixations drawn from it. */
#ifndef JEPAC_RUNTIME_DATA_SALIENCY_H
#define JEPAC_RUNTIME_DATA_SALIENCY_H

#include "runtime/data/augment.h"

/* Floats of working memory the calls need for h x w images of c channels. */
int64_t saliency_room(int channels, int h, int w);
/* map: h x w numbers, not negative: the spectral residual of the image. */
void saliency_spectral(const Image *in, float *map, float *room);
/* n fixations: each a pixel with probability proportional to its value in the map, outside circles of radius
   `inhibit` around the earlier ones (`square`: squares with sides of twice that) while any pixel is. The map is
   used up. */
void saliency_fixations(Rng *r, float *map, int h, int w, double inhibit, bool square, int n, Fixation *out);

#endif
