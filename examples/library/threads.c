/* Trains on four threads at the same time and once more, each in an arena of its own, and applies what was
   learnt with a second library of the same model: its forward entry in eval mode.

     jepac compile spiral.jepa --train-step -o build
     jepac compile spiral.jepa --name spiral_eval -o build
     cc -Ibuild threads.c build/libspiral.a build/libspiral_eval.a -lm -lpthread -o threads && ./threads */
#include "points.h"
#include "spiral.h"
#include "spiral_eval.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = SPIRAL_ARM_COUNT, STEPS = 600, THREADS = 4, TESTS = 20 };

/* States of one arena into the other's, by name. */
static void copy_states(void *to, const void *from) {
  int32_t n, m;
  const spiral_tensor *s = spiral_tensors(&n);
  const spiral_eval_tensor *d = spiral_eval_tensors(&m);
  for (int32_t i = 0; i < m; i++)
    for (int32_t k = 0; k < n; k++)
      if (d[i].kind == 1 && s[k].kind == 1 && !strcmp(d[i].name, s[k].name))
        memcpy((char *)to + d[i].offset, (const char *)from + s[k].offset, (size_t)d[i].bytes);
}

/* The share of new points whose arm the model finds; -1 on failure. */
static double accuracy(const void *trained, void *arena) {
  if (spiral_eval_init(arena, 0)) return -1;
  copy_states(arena, trained);
  uint32_t random = 99;
  int right = 0;
  for (int t = 0; t < TESTS; t++) {
    for (int i = 0; i < BATCH; i++)
      spiral_eval_arm(arena)[i] = make_point(spiral_eval_point(arena) + 2 * i, &random);
    if (spiral_eval_forward(arena)) return -1;
    const float *logits = spiral_eval_logits(arena);
    for (int i = 0; i < BATCH; i++) right += (logits[2 * i + 1] > logits[2 * i]) == spiral_eval_arm(arena)[i];
  }
  return (double)right / (TESTS * BATCH);
}

static void *work(void *out) {
  void *arena = aligned_alloc(SPIRAL_ARENA_ALIGN, SPIRAL_ARENA_SIZE),
       *eval = aligned_alloc(SPIRAL_EVAL_ARENA_ALIGN, SPIRAL_EVAL_ARENA_SIZE);
  double *result = out;
  int rc = arena && eval ? spiral_init(arena, 7) : SPIRAL_BAD_ARENA;
  uint32_t random = 1;
  for (int step = 0; step < STEPS && !rc; step++) {
    for (int i = 0; i < BATCH; i++) spiral_arm(arena)[i] = make_point(spiral_point(arena) + 2 * i, &random);
    *spiral_step(arena) = step;
    *spiral_total_steps(arena) = STEPS;
    rc = spiral_train_step(arena);
  }
  *result = rc ? -1 : accuracy(arena, eval);
  free(arena);
  free(eval);
  return NULL;
}

int main(void) {
  pthread_t thread[THREADS];
  double alone, result[THREADS];
  work(&alone);
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&thread[i], NULL, work, &result[i])) return 1;
  for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
  printf("%.3f of new points found, alone", alone);
  int same = 1;
  for (int i = 0; i < THREADS; i++) same &= result[i] == alone;
  printf(same ? "; the same on %d threads\n" : "; otherwise on %d threads\n", THREADS);
  return alone > 0.9 && same ? 0 : 1;
}
