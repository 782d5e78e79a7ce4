/* Augmented views of an image and the numbers that describe them (docs/data-sources.md). */
#ifndef JEPAC_RUNTIME_DATA_AUGMENT_H
#define JEPAC_RUNTIME_DATA_AUGMENT_H

#include "ir/recipe.h"
#include "runtime/rng.h"

enum { MAX_AUGMENT = 8, MAX_COMPONENTS = 4 * MAX_AUGMENT };

typedef enum { AUG_ROTATE, AUG_CROP, AUG_JITTER, AUG_BLUR } AugmentKind;
typedef struct {
  AugmentKind kind;
  double lo, hi;             /* rotate: degrees; crop: area fraction; blur: sigma */
  double ratio_lo, ratio_hi; /* crop */
  double amount[4];          /* jitter: brightness, contrast, saturation, hue */
} Augment;

typedef struct {
  int n;
  Augment aug[MAX_AUGMENT];
  int channels, height, width; /* of the image */
  int size;                    /* of the view: size x size */
  int components;              /* numbers that describe a view */
} Augmenter;

/* From the setting `actions`; ST_MODEL after reporting a setting it does not know. */
Status augmenter_init(Augmenter *g, const Setting *actions, int channels, int height, int width, int size,
                      Diags *d);

/* Floats of working memory a call needs. */
int64_t augment_room(const Augmenter *g);
/* image: C planes of height x width in 0..1. view: C planes of size x size in 0..1. param: `components`
 * numbers. */
void augment_view(const Augmenter *g, Rng *r, const float *image, float *view, double *param, float *room);

/* Resize with the triangle filter, widened when shrinking (Pillow's BILINEAR); room: at least channels * h *
 * out floats. */
void image_resize(const float *in, int channels, int h, int w, float *out, int size, float *room);

#endif
