/* Prints what the random tests draw: generate model|graph SEED SIZE. For scripts/sweep. */
#include "tests/unit/graph_gen.h"
#include "tests/unit/model_gen.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 4) return fputs("usage: generate model|graph SEED SIZE\n", stderr), 2;
  uint64_t seed = strtoull(argv[2], NULL, 10);
  int size = atoi(argv[3]);
  if (!strcmp(argv[1], "model")) {
    ModelText t = model_gen(seed, size);
    fputs(t.text, stdout);
    free(t.text);
    return 0;
  }
  Arena *a = arena_new();
  StrBuf b = {0};
  graph_print(graph_gen(a, GRAPH_GEN_WIDE + seed, size), &b);
  fwrite(b.s, 1, b.n, stdout);
  sb_free(&b);
  arena_free(a);
  return 0;
}
