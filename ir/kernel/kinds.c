/* The table of kernel kinds, and what every kernel is asked through it. */
#include "ir/kernel/kind.h"

#include <string.h>

#define KIND(NAME, name, SPEC, MEMBER) extern const KindRow kind_##name;
#include "ir/kernel/kinds.def"
#undef KIND

static const KindRow *const rows[KERNEL_KINDS] = {
#define KIND(NAME, name, SPEC, MEMBER) [KK_##NAME] = &kind_##name,
#include "ir/kernel/kinds.def"
#undef KIND
};

#define KIND(NAME, name, SPEC, MEMBER)                                                                       \
  Kernel name##_kernel(const SPEC *s) { return (Kernel){.kind = KK_##NAME, .MEMBER = *s, .val = -1}; }
#include "ir/kernel/kinds.def"
#undef KIND

const KindRow *kind_of(const Kernel *k) { return rows[k->kind]; }

const char *kernel_kind(const Kernel *k) { return kind_of(k)->name; }

const KindRow *kind_read(KReader *r, Kernel *k) {
  const char *names[KERNEL_KINDS];
  StrBuf all = {0};
  for (int i = 0; i < KERNEL_KINDS; i++) {
    names[i] = rows[i]->name;
    sb_printf(&all, "%s%s", !i ? "" : i + 1 < KERNEL_KINDS ? ", " : " or ", names[i]);
  }
  const char *what = arena_strdup(r->a, all.s);
  sb_free(&all);
  k->kind = (KernelKind)kr_choice(r, names, KERNEL_KINDS, what);
  return rows[k->kind];
}

/* ---- plans already asked for ---- */
enum { MEMO_SLOTS = 512 };

typedef struct MemoEntry {
  struct MemoEntry *next;
  int n;
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
  int64_t key[FIELD_NUMBERS + 1];
  key[0] = (int64_t)k->kind;
  int n = 1 + fields_numbers(row->field, row->nfield, k, key + 1);
  uint64_t h = 0;
  for (int i = 0; i < n; i++) h = (h ^ (uint64_t)key[i]) * 0x9E3779B97F4A7C15ull;
  MemoEntry **slot = &p->memo->slot[(h >> 32) % MEMO_SLOTS], *e = *slot;
  while (e && (e->n != n || memcmp(e->key, key, sizeof *key * (size_t)n))) e = e->next;
  if (e) return &e->plan;
  e = NEW(p->memo->arena, MemoEntry);
  e->n = n;
  memcpy(e->key, key, sizeof *key * (size_t)n);
  e->plan = row->plan(k, &p->target);
  e->next = *slot;
  *slot = e;
  return &e->plan;
}

/* ---- steps ---- */
static const ContractionStep *step_of(const Program *p, const Kernel *k, ContractionPlan *own) {
  const ContractionPlan *plan = kernel_plan(p, k, own);
  return plan ? &plan->step[k->step] : NULL;
}

const char *kernel_step_name(const Program *p, const Kernel *k) {
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  return st ? st->name : NULL;
}

const char *kernel_name(const Program *p, int i, Arena *a) {
  const Kernel *k = &p->kernel.v[i];
  const char *op = k->val >= 0 ? op_table[g_node(p->graph, k->val)->op].name : "copy";
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  bool named = st && !(st->flops > 0 && kind_of(k)->main_unnamed);
  return arena_printf(a, "k%d_%s%s%s", i, op, named ? "." : "", named ? st->name : "");
}

bool kernel_prepares(const Program *p, const Kernel *k) {
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  return st && k->step == 0 && st->flops == 0;
}

int64_t *kernel_choice(const Program *p, Kernel *k) {
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  return st && st->flops > 0 && kind_of(k)->choice ? kind_of(k)->choice(k) : NULL;
}

int kernel_choices(const Program *p, const Kernel *k, int64_t choice[CHOICES]) {
  return contraction_choices(&k->loop, &p->target, kind_of(k)->decide, choice); /* the union: the spec */
}

Kernel kernel_settled(const Program *p, const Kernel *k) {
  Kernel s = *k;
  if (kind_of(k)->settle) kind_of(k)->settle(&p->target, &s);
  return s;
}

/* ---- work ---- */
void kernel_cost(const Program *p, Kernel *k) {
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  k->flops = kind_of(k)->flops ? kind_of(k)->flops(p, k) : st ? st->flops : 0;
  k->bytes = 0;
  for (int i = 0; i < k->nbuf; i++) k->bytes += (double)p->buf.v[k->buf[i]].bytes;
}

const char *kernel_how(const Program *p, const Kernel *k, const char **why) {
  *why = NULL;
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  return st && st->flops > 0 && kind_of(k)->how ? kind_of(k)->how(p, k, why) : NULL;
}

double kernel_seconds(const Program *p, const Kernel *k) {
  const CostModel *c = p->target.cost;
  double flops = k->flops * c->flop_seconds, bytes = k->bytes * c->byte_seconds;
  return flops > bytes ? flops : bytes;
}

double kernel_least_flops(const Program *p, const Kernel *k) {
  return kind_of(k)->least_flops ? kind_of(k)->least_flops(p, k) : k->flops;
}

int kernel_parts(const Kernel *k, KernelPart *part) {
  return kind_of(k)->parts ? kind_of(k)->parts(k, part) : 0;
}

bool kernel_damage(Kernel *k) { return kind_of(k)->damage && kind_of(k)->damage(k); }

/* ---- chunks ---- */
int64_t kernel_chunks(const Program *p, const Kernel *k) {
  if (kind_of(k)->chunks) return kind_of(k)->chunks(p, k);
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  return st ? st->nchunk : 1;
}

int64_t kernel_chunk_bytes(const Program *p, const Kernel *k, int i) {
  return kind_of(k)->chunk_bytes ? kind_of(k)->chunk_bytes(p, k, i) : 0;
}

int64_t kernel_chunk_of_root(const Program *p, const Kernel *k, int root) {
  int64_t bytes = 0;
  for (int i = 0; i < k->nbuf; i++) {
    if (program_root(p, k->buf[i]) != root) continue;
    int64_t b = kernel_chunk_bytes(p, k, i);
    if (!b || (bytes && b != bytes)) return 0;
    bytes = b;
  }
  return bytes;
}

bool kernel_can_recut(const Kernel *k) { return kind_of(k)->recut != NULL; }

bool kernel_recut(const Program *p, const Kernel *k, int64_t count, Kernel *out) {
  *out = *k;
  return kind_of(k)->recut && kind_of(k)->recut(p, count, out);
}

double kernel_cut_loss(const Program *p, const Kernel *k) {
  return kind_of(k)->cut_loss ? kind_of(k)->cut_loss(p, k) : 0;
}

void program_chain(const Program *p, int k, int *first, int *last) {
  int c = p->kernel.v[k].chain;
  *first = *last = k;
  while (c && *first > 0 && p->kernel.v[*first - 1].chain == c) --*first;
  while (c && *last + 1 < p->kernel.n && p->kernel.v[*last + 1].chain == c) ++*last;
}

/* ---- loops ---- */
bool program_in_loop(const Program *p, int inner, int outer) {
  while (inner && inner != outer) inner = p->loop.v[inner - 1].parent;
  return inner == outer;
}

int program_loop_below(const Program *p, int k, int other) {
  int l = p->kernel.v[k].in_loop, below = 0;
  for (; l && !program_in_loop(p, other, l); l = p->loop.v[l - 1].parent) below = l;
  return below;
}

void program_loop_range(const Program *p, int loop, int *first, int *last) {
  *first = p->kernel.n, *last = -1;
  for (int k = 0; k < p->kernel.n; k++) {
    if (!program_in_loop(p, p->kernel.v[k].in_loop, loop)) continue;
    if (*first > k) *first = k;
    *last = k;
  }
}

int64_t program_place(const Program *p, int b, int loop, const int64_t *step) {
  int64_t place = 0;
  for (; b >= 0; b = p->buf.v[b].alias) {
    const Buf *x = &p->buf.v[b];
    int64_t slot = x->phase + (step && x->loop && program_in_loop(p, loop, x->loop) ? step[x->loop] : 0);
    place += x->at + (x->period ? slot % x->period : slot) * x->move;
  }
  return place;
}

int program_cell(const Program *p, int b) {
  for (const Buf *x = &p->buf.v[b]; x->alias >= 0 && !x->at && !x->loop; x = &p->buf.v[b]) {
    if (p->buf.v[x->alias].bytes != x->bytes) break; /* what all steps of a loop write one by one */
    b = x->alias;
  }
  return b;
}

/* ---- what may run beside it, where its result may lie ---- */
bool kernel_reads_in_place(const Program *p, const Kernel *k, int in, int out) {
  return kind_of(k)->reads_in_place && kind_of(k)->reads_in_place(p, k, in, out);
}

bool kernel_keeps_order(const Kernel *k) { return kind_of(k)->keeps_order; }
bool kernel_foreign(const Kernel *k) { return kind_of(k)->foreign; }

double kernel_sending(const Kernel *k, const Network *n) {
  return kind_of(k)->sending ? kind_of(k)->sending(k, n) : 0;
}

double kernel_sent(const Kernel *k) { return kind_of(k)->sent ? kind_of(k)->sent(k) : 0; }

/* ---- the interpreter ---- */
void kernel_interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode) {
  kind_of(k)->interp(p, k, mem, mode);
}

bool kernel_interp_only(const Program *p, const Kernel *k, int i) {
  ContractionPlan own;
  const ContractionStep *st = step_of(p, k, &own);
  if (!kind_of(k)->interp_only_temporaries) return false;
  return st ? step_operand(st, i) >= CO_TMP0 : i < k->nbuf - 1 && i >= k->nbuf - k->nout;
}

const char *kernel_fault(const Kernel *k, double *const *mem, Arena *a) {
  return kind_of(k)->fault ? kind_of(k)->fault(k, mem, a) : NULL;
}

bool kernel_explains(const Kernel *k) { return kind_of(k)->fault != NULL; }

double kernel_error_share(const Kernel *k) { return kind_of(k)->error_share; }

bool kernel_rounds_narrow(const Kernel *k) {
  return kind_of(k)->rounds_narrow && kind_of(k)->rounds_narrow(k);
}
