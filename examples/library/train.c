/* Trains spiral.jepa from the library that jepac compile made of it. There is nothing of jepac here: the
   library is the model, its gradient and its optimizer; this file brings memory and data.

     jepac compile spiral.jepa --train-step -o build
     cc -Ibuild train.c build/libspiral.a -lm -o train && ./train */
#include "spiral.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = SPIRAL_ARM_COUNT, STEPS = 600 };

static uint32_t state = 1;

static float uniform(void) { /* a generator of Marsaglia's (2003): good enough for points in a plane */
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return (float)state / 4294967296.0f;
}

static void make_batch(void *arena) {
  for (int i = 0; i < BATCH; i++) {
    int arm = uniform() < 0.5f;
    float r = uniform(), angle = 6.0f * r + (arm ? 3.14159265f : 0.0f);
    spiral_point(arena)[2 * i] = r * cosf(angle) + 0.02f * (uniform() - 0.5f);
    spiral_point(arena)[2 * i + 1] = r * sinf(angle) + 0.02f * (uniform() - 0.5f);
    spiral_arm(arena)[i] = arm;
  }
}

int main(void) {
  void *arena = aligned_alloc(SPIRAL_ARENA_ALIGN, SPIRAL_ARENA_SIZE);
  if (!arena) return 1;
  int rc = spiral_init(arena, 7);
  if (rc) {
    fprintf(stderr, "%s\n", spiral_error(rc));
    return 2;
  }
  *spiral_total_steps(arena) = STEPS;
  float first = 0;
  for (int step = 0; step < STEPS; step++) {
    make_batch(arena);
    *spiral_step(arena) = step;
    if ((rc = spiral_train_step(arena))) {
      fprintf(stderr, "step %d: %s\n", step, spiral_error(rc));
      return 3;
    }
    if (step == 0) first = *spiral_loss(arena);
    if (step % 100 == 0 || step + 1 == STEPS) printf("step %3d  loss %.4f\n", step, *spiral_loss(arena));
  }
  int learnt = *spiral_loss(arena) < first / 3;
  puts(learnt ? "learnt" : "did not learn");
  free(arena);
  return learnt ? 0 : 4;
}
