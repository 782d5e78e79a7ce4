/* What matrix products (ir/kernel/gemm_plan.h) and convolutions (ir/kernel/conv_plan.h) have in common: operands
   by role, a plan of compiled steps, and schedules of equal bits. */
#ifndef JEPAC_IR_KERNEL_CONTRACTION_H
#define JEPAC_IR_KERNEL_CONTRACTION_H

#include "ir/base.h"
#include "ir/target.h"
#include "ir/type.h"

/* Operands of a step, by role: A B -> C, of a convolution x w -> y in the geometry of its forward pass, and
   what the steps hand on. */
typedef enum {
  CO_A,
  CO_B,
  CO_C,
  CO_TMP0,
  CO_TMP1,
  CO_ROLES,
  CO_X = CO_A,
  CO_W = CO_B,
  CO_Y = CO_C
} ContractionOperand;

typedef struct {
  const char *name;
  int nin, nout;
  ContractionOperand in[3], out[2]; /* pointers reach the step in the order in..., out... */
  int64_t nchunk;                   /* fixed by shape and target, never by thread count */
  int64_t scratch;                  /* bytes a thread */
  int64_t images; /* chunk i reads and writes images [i * images, (i + 1) * images) only; 0 = chunks are no
                     such ranges */
  double flops;
} ContractionStep;

enum { CONTRACTION_STEPS = 2 };
typedef struct {
  int64_t tmp_bytes[2]; /* of CO_TMP0, CO_TMP1; 0 = unused */
  DType tmp;            /* what they hold */
  int nstep;
  ContractionStep step[CONTRACTION_STEPS];
} ContractionPlan;

static inline ContractionOperand step_operand(const ContractionStep *s, int i) {
  return i < s->nin ? s->in[i] : s->out[i - s->nin];
}

/* ---- schedules of equal bits ----
   A planner's search ends with the tile and block size of least estimated cost; a spec with choice > 0 takes
   another one instead, which changes the code, chunks and scratch of its main step, but no other step, no
   temporary and no bit of a result. Measuring picks among them (codegen/jit/tune.c). */
enum { CHOICE_TILES = 4, CHOICE_BLOCKS = 3, CHOICES = CHOICE_TILES * CHOICE_BLOCKS };

/* Writes down what a choice decides (zeros before); and of the choices those that differ, 0 first: how many. */
enum { CHOICE_NUMBERS = 48 };
typedef void ChoiceFn(const void *spec, const Target *t, int64_t choice, int64_t decided[CHOICE_NUMBERS]);
int contraction_choices(const void *spec, const Target *t, ChoiceFn *decide, int64_t choice[CHOICES]);

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
