/* The order in which values of several processes are added up. */
#include "ir/agreed.h"

/* The largest number up to FAN that divides n, or else its smallest factor. */
static int64_t one_level(int64_t n) {
  enum { FAN = 8 };
  for (int64_t k = FAN; k > 1; k--)
    if (n % k == 0) return k;
  for (int64_t k = FAN + 1; k * k <= n; k++)
    if (n % k == 0) return k;
  return n;
}

RankTree rank_tree(int64_t ranks) {
  RankTree t = {1, {(int)ranks}};
  if (ranks <= RANKS_IN_A_ROW) return t;
  for (t.levels = 0; ranks > 1; ranks /= t.size[t.levels++]) t.size[t.levels] = (int)one_level(ranks);
  return t;
}

bool rank_tree_whole(const RankTree *t, int64_t bytes) {
  int64_t sum = 0;
  for (int l = 0; l < t->levels; l++) sum += t->size[l];
  return bytes <= COLLECTIVE_SMALL * (int64_t)t->levels / sum;
}
