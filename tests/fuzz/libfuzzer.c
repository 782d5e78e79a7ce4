/* libFuzzer's entry: JEPAC_FUZZ names the target. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static const FuzzTarget *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  const char *name = getenv("JEPAC_FUZZ");
  if (!name || !(target = fuzz_find(name))) {
    fprintf(stderr, "JEPAC_FUZZ names the target:\n");
    for (const FuzzTarget *t = fuzz_targets; t->name; t++) fprintf(stderr, "  %-12s %s\n", t->name, t->doc);
    exit(2);
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (n > target->most) return -1;
  target->run(data, n);
  return 0;
}
