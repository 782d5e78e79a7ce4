/* Trains spiral.jepa from the library that jepac compile made of it. There is nothing of jepac here: the
   library is the model, its gradient and its optimizer; this file brings memory and data.

     jepac compile spiral.jepa --train-step -o build
     cc -Ibuild train.c build/libspiral.a -lm -o train && ./train */
#include "points.h"
#include "spiral.h"

#include <stdio.h>
#include <stdlib.h>

enum { BATCH = SPIRAL_ARM_COUNT, STEPS = 600 };

static void make_batch(void *arena, uint32_t *random) {
  for (int i = 0; i < BATCH; i++) spiral_arm(arena)[i] = make_point(spiral_point(arena) + 2 * i, random);
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
  uint32_t random = 1;
  for (int step = 0; step < STEPS; step++) {
    make_batch(arena, &random);
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
