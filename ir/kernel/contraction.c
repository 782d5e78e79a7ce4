/* Plans already asked for, and which choices of schedule differ (ir/kernel/contraction.h). */
#include "ir/kernel/kind.h"

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

/* ---- plans already asked for ---- */
enum { MEMO_SLOTS = 512 };

typedef struct {
  int64_t key[FIELD_NUMBERS + 1]; /* the kind and its fields */
  ContractionPlan plan;
} MemoEntry;

struct PlanMemo {
  Arena *arena;
  MemoEntry *slot[MEMO_SLOTS];
};

PlanMemo *plan_memo_new(Arena *a) {
  PlanMemo *m = NEW(a, PlanMemo);
  m->arena = a;
  return m;
}

const ContractionPlan *kernel_plan(const Program *p, const Kernel *k, ContractionPlan *own) {
  const KindRow *row = kind_of(k);
  if (!row->plan) return NULL;
  if (!p->memo) {
    *own = row->plan(k, &p->target);
    return own;
  }
  int64_t key[FIELD_NUMBERS + 1] = {(int64_t)k->kind};
  int n = 1 + fields_numbers(row->field, row->nfield, k, key + 1);
  uint64_t h = 0;
  for (int i = 0; i < n; i++) h = (h ^ (uint64_t)key[i]) * 0x9E3779B97F4A7C15ull;
  MemoEntry **e = &p->memo->slot[(h >> 32) % MEMO_SLOTS];
  if (*e && !memcmp((*e)->key, key, sizeof key)) return &(*e)->plan;
  *e = NEW(p->memo->arena, MemoEntry);
  memcpy((*e)->key, key, sizeof key);
  (*e)->plan = row->plan(k, &p->target);
  return &(*e)->plan;
}
