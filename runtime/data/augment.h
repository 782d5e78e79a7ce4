/* Augmented views of an image and the numbers that describe them (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_DATA_AUGMENT_H
#define JEPAC_RUNTIME_DATA_AUGMENT_H

#include "ir/recipe.h"
#include "runtime/data/pixels.h"
#include "runtime/rng.h"

enum { MAX_AUGMENT = 8, MAX_COMPONENTS = 4 * MAX_AUGMENT, MAX_VIEWS = 256 };

typedef enum {
  AUG_ROTATE,
  AUG_CROP,
  AUG_FLIP,
  AUG_JITTER,
  AUG_GREY,
  AUG_BLUR,
  AUG_SOLARIZE,
  AUG_SACCADE,
  AUG_KINDS
} AugmentKind;

typedef enum { SALIENCY_SPECTRAL, SALIENCY_UNIFORM, SALIENCY_MAPS } Saliency;

typedef struct {
  AugmentKind kind;
  bool action, told;         /* its parameters are components; of those, ones that `actions` has */
  double p;                  /* probability that it is done */
  double lo, hi;             /* rotate: degrees; crop: area fraction; blur: sigma; solarize: threshold */
  double ratio_lo, ratio_hi; /* crop */
  double amount[4];          /* jitter: brightness, contrast, saturation, hue */
  bool shuffled;             /* jitter: these in random order */
  Filter filter;             /* crop */
  int kernel;                /* blur */
  int patch;                 /* saccade, with the next two */
  double inhibit;
  bool square; /* what is inhibited, else a circle */
  Saliency saliency;
} Augment;

typedef struct {
  int n;
  Augment aug[MAX_AUGMENT];
  int channels, height, width; /* of the image */
  int size;                    /* of the view: size x size */
  int components;              /* numbers that describe a view */
  bool told[MAX_COMPONENTS];   /* those of them that `actions` has */
  const Augment *saccade;      /* NULL: none; needs a fixation for each view */
} Augmenter;

typedef struct {
  int y, x;
} Fixation;

/* From a list of augmentations; ST_MODEL after reporting a setting it does not know. The augmenter must not
   move. */
Status augmenter_init(Augmenter *g, const Setting *list, int channels, int height, int width, int size,
                      Diags *d);

/* Floats of working memory a call needs. */
int64_t augment_room(const Augmenter *g);
/* image: C planes of height x width in 0..1. view: C planes of size x size in 0..1. param: `components`
   numbers. */
void augment_view(const Augmenter *g, Rng *r, const float *image, Fixation at, float *view, double *param,
                  float *room);

#endif
