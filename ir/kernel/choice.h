/* Schedules of equal bits. A planner's search ends with the tile and block size of least estimated cost; a
   spec with choice > 0 takes another one instead, which changes the code, chunks and scratch of its main
   step, but no other step, no temporary and no bit of a result. Measuring picks among them (codegen/jit/tune.c).
 */
#ifndef JEPAC_IR_KERNEL_CHOICE_H
#define JEPAC_IR_KERNEL_CHOICE_H

#include <stdint.h>

enum { CHOICE_TILES = 4, CHOICE_BLOCKS = 3, CHOICES = CHOICE_TILES * CHOICE_BLOCKS };

/* The best tiles of a search, cheapest first, of equal ones the earlier. */
typedef struct {
  int n;
  double cost[CHOICE_TILES];
  int64_t v[CHOICE_TILES][3];
} Ranking;

static inline void rank_add(Ranking *r, double cost, int64_t a, int64_t b, int64_t c) {
  int at = r->n;
  while (at > 0 && cost < r->cost[at - 1]) at--;
  if (at == CHOICE_TILES) return;
  if (r->n < CHOICE_TILES) r->n++;
  for (int i = r->n - 1; i > at; i--) {
    r->cost[i] = r->cost[i - 1];
    for (int j = 0; j < 3; j++) r->v[i][j] = r->v[i - 1][j];
  }
  r->cost[at] = cost;
  r->v[at][0] = a, r->v[at][1] = b, r->v[at][2] = c;
}

/* The tile of this choice; the last one where the search had fewer. */
static inline const int64_t *rank_tile(const Ranking *r, int64_t choice) {
  int64_t i = choice % CHOICE_TILES;
  return r->v[i < r->n ? i : r->n - 1];
}

/* A block size as the cost model has it, half of it, twice of it. */
static inline int64_t choice_block(int64_t choice, int64_t x) {
  int64_t b = choice / CHOICE_TILES;
  return b == 1 ? (x + 1) / 2 : b == 2 ? 2 * x : x;
}

#endif
