/* Which choices of schedule differ (ir/kernel/contraction.h). */
#include "ir/kernel/contraction.h"

#include <string.h>

int contraction_choices(const void *spec, const Target *t, ChoiceFn *decide, int64_t choice[CHOICES]) {
  int64_t seen[CHOICES][CHOICE_NUMBERS];
  int n = 0;
  for (int64_t c = 0; c < CHOICES; c++) {
    bool known = false;
    memset(seen[n], 0, sizeof seen[n]);
    decide(spec, t, c, seen[n]);
    for (int i = 0; i < n && !known; i++) known = !memcmp(seen[i], seen[n], sizeof seen[n]);
    if (!known) choice[n++] = c;
  }
  return n;
}
