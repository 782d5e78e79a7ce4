/* Classes of objects, each varied by random numbers. */
#ifndef JEPAC_RUNTIME_RENDER_SHAPES_H
#define JEPAC_RUNTIME_RENDER_SHAPES_H

#include "runtime/render/mesh.h"
#include "runtime/rng.h"

int shapes_count(void);
const char *shapes_name(int class);
/* Adds an object of the class to an empty mesh; parts are numbered from 0, below 3. */
void shapes_build(int class, Rng *r, Mesh *m);

#endif
