/* Look-up in resolved settings; when monitors begin. */
#include "ir/recipe.h"

#include <math.h>
#include <string.h>

const Setting *setting_find(const Setting *set, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (!strcmp(set[i].name, name)) return &set[i];
  return NULL;
}

int64_t monitor_start(const Monitor *m, int64_t steps_per_epoch, int64_t total_steps) {
  const double scale[] = {
      [UNIT_STEPS] = 1, [UNIT_EPOCHS] = (double)steps_per_epoch, [UNIT_PERCENT] = (double)total_steps / 100};
  return (int64_t)ceil(m->after * scale[m->unit]);
}

int64_t validate_steps(const Validate *v, int64_t steps_per_epoch, int64_t total_steps) {
  double unit = v->unit == UNIT_EPOCHS    ? (double)steps_per_epoch
                : v->unit == UNIT_PERCENT ? (double)total_steps / 100
                                          : 1;
  double n = v->every * unit;
  return v->every == 0 ? 0 : n < 1 ? 1 : (int64_t)(n + 0.5);
}
