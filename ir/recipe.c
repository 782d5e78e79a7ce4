/* Look-up in resolved settings. */
#include "ir/recipe.h"

#include <string.h>

const Setting *setting_find(const Setting *set, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (!strcmp(set[i].name, name)) return &set[i];
  return NULL;
}
