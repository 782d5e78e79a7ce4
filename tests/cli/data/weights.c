/* Prints the loss of a library of tiny.jepa whose weights are in it or, with LOAD, in the file that is named. */
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  (void)argc;
  void *arena = aligned_alloc(tiny_arena_align(), tiny_arena_size());
  int rc = tiny_init(arena, 9);
  if (TINY_ARENA_SIZE != tiny_arena_size() || TINY_ARENA_ALIGN != tiny_arena_align()) return 9;
#ifndef LOAD
  (void)argv;
#else
  if (!rc) rc = tiny_load(arena, argv[1]); /* perhaps NULL */
#endif
  for (int i = 0; i < TINY_X_COUNT; i++) tiny_x(arena)[i] = .5f;
  for (int i = 0; i < TINY_LABEL_COUNT; i++) tiny_label(arena)[i] = i % 3;
  if (!rc) rc = tiny_forward(arena);
  if (rc) puts(tiny_error(rc));
  else printf("%.6f\n", (double)*tiny_loss(arena));
  free(arena);
  return rc;
}
