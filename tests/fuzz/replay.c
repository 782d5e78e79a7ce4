/* Runs the kept inputs of every target (tests/fuzz/corpus/TARGET/, and tests/fuzz/found/TARGET/: what once failed),
   or the files named after a target. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static int run_file(const FuzzTarget *t, const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(1);
  }
  static uint8_t bytes[1 << 20];
  size_t n = fread(bytes, 1, sizeof bytes, f);
  fclose(f);
  fprintf(stderr, "%s %s\n", t->name, path); /* the last line names what failed */
  uint8_t *exact = malloc(n + 1);            /* so that a sanitizer sees its end */
  if (!exact) exit(1);
  memcpy(exact, bytes, n);
  t->run(exact, n);
  free(exact);
  return 1;
}

static int run_folder(const FuzzTarget *t, const char *root) {
  char folder[512], path[1024];
  snprintf(folder, sizeof folder, "%s/%s", root, t->name);
  struct dirent **entry;
  int n = scandir(folder, &entry, NULL, alphasort), ran = 0;
  for (int i = 0; i < n; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
    if (entry[i]->d_name[0] != '.') ran += run_file(t, path);
    free(entry[i]);
  }
  if (n >= 0) free(entry);
  return ran;
}

int main(int argc, char **argv) {
  if (argc > 2) {
    const FuzzTarget *t = fuzz_find(argv[1]);
    if (!t) return fprintf(stderr, "unknown target %s\n", argv[1]), 2;
    for (int i = 2; i < argc; i++) run_file(t, argv[i]);
    return 0;
  }
  for (const FuzzTarget *t = fuzz_targets; t->name; t++) {
    int ran = run_folder(t, "tests/fuzz/corpus") + run_folder(t, "tests/fuzz/found");
    printf("%-12s %d inputs\n", t->name, ran);
    if (!ran) return fprintf(stderr, "tests/fuzz/corpus/%s is empty\n", t->name), 1;
  }
  return 0;
}
