/* Samples split among ranks: whole batches, those of a rank one after the other, so that every batch is what one process
   makes of it; afterwards all ranks have all rows and go the same way. */
#include "eval/parts.h"

#include "lib/ranks.h"

#include <string.h>

Portion portion_of(Ranks *r, int64_t from, int64_t to, Arena *a) {
  int count = r ? r->count : 1, rank = r ? r->rank : 0;
  Portion p = {.at = NEWN(a, int64_t, count + 1)};
  for (int k = 0; k <= count; k++) p.at[k] = from + (to - from) * k / count;
  p.first = p.at[rank];
  p.last = p.at[rank + 1];
  return p;
}

void portion_join(Ranks *r, const Portion *p, int64_t batch, int64_t n, int64_t bytes, void *rows) {
  int64_t at[MOST_RANKS + 1];
  if (!r || !rows || !bytes) return;
  for (int k = 0; k <= r->count; k++) {
    int64_t row = (p->at[k] - p->at[0]) * batch;
    at[k] = (row < n ? row : n) * bytes;
  }
  ranks_gather(r, rows, at);
}

Status portion_settle(Ranks *r, Status s) { return r ? ranks_worst(r, s) : s; }
