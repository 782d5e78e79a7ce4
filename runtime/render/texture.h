/* Textures of rendered bodies: pure functions of the place. */
#ifndef JEPAC_RUNTIME_RENDER_TEXTURE_H
#define JEPAC_RUNTIME_RENDER_TEXTURE_H

#include "runtime/render/render.h"
#include "runtime/rng.h"

Texture texture_draw(Rng *r);
double texture_at(const Texture *t, const double p[3]); /* 1 where it has none */

#endif
