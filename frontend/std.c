/* std_embed.inc is made from std/ by scripts/embed-std when building. */
#include "frontend/std.h"

#include "std_embed.inc"
