/* Common subexpression elimination by hashing (Cocke 1970): walking in order, a node equal to an earlier one
   in operator, operands, attributes, immediate and type is replaced by it and keeps the earlier one's model
   line. Inputs are never merged; random_bits are equal when seed, step, stream and shape are, because they
   are pure. */
#include "passes/graph/pass.h"

#include <string.h>

struct ValueTable {
  Val *slot; /* open addressing; -1 = free */
  uint32_t mask;
};

ValueTable *value_table_new(Arena *a, int capacity) {
  ValueTable *t = NEW(a, ValueTable);
  uint32_t size = 16;
  while (size < 2u * (uint32_t)capacity) size *= 2;
  t->mask = size - 1;
  t->slot = NEWN(a, Val, size);
  memset(t->slot, -1, size * sizeof *t->slot);
  return t;
}

static uint64_t hash_ints(const Ints *s, uint64_t h) {
  return hash_bytes(s->v, sizeof *s->v * (size_t)s->n, h + (uint64_t)s->n);
}

static uint64_t hash_node(const Node *n) {
  uint64_t h = hash_bytes(n->in, sizeof *n->in * (size_t)n->nin, (uint64_t)n->op * 64 + (uint64_t)n->dt);
  for (int i = 0; i < op_nattr(n->op); i++) h = hash_ints(&n->attr[i], h);
  double imm = (double)n->imm;
  h = hash_bytes(&imm, sizeof imm, h);
  return hash_bytes(n->shape.dim, sizeof *n->shape.dim * (size_t)n->shape.rank, h);
}

static bool equal_ints(const Ints *a, const Ints *b) {
  return a->n == b->n && !memcmp(a->v, b->v, sizeof *a->v * (size_t)a->n);
}

/* -0 is not 0; beyond 2^53 an i64 is more than a double. */
static bool same_imm(Imm x, Imm y) {
  double a = (double)x, b = (double)y;
  /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant */
  return !memcmp(&a, &b, sizeof a) && (x == y || x != x);
}

static bool equal_nodes(const Node *a, const Node *b) {
  if (a->op != b->op || a->op == OP_input || a->dt != b->dt || a->nin != b->nin) return false;
  if (!shape_eq(&a->shape, &b->shape) || !same_imm(a->imm, b->imm)) return false;
  for (int i = 0; i < a->nin; i++)
    if (a->in[i] != b->in[i]) return false;
  if (a->ext && (strcmp(a->ext->library, b->ext->library) || strcmp(a->ext->symbol, b->ext->symbol) ||
                 !a->ext->vjp != !b->ext->vjp || (a->ext->vjp && strcmp(a->ext->vjp, b->ext->vjp))))
    return false;
  for (int i = 0; i < op_nattr(a->op); i++)
    if (!equal_ints(&a->attr[i], &b->attr[i])) return false;
  return true;
}

Val value_table_find(ValueTable *t, const Graph *g, Val v) {
  uint32_t i = (uint32_t)hash_node(g_node(g, v)) & t->mask;
  for (; t->slot[i] >= 0; i = (i + 1) & t->mask)
    if (t->slot[i] == v || equal_nodes(g_node(g, t->slot[i]), g_node(g, v))) return t->slot[i];
  return t->slot[i] = v;
}

Graph *pass_cse(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  Arena *tmp = arena_new();
  ValueTable *seen = value_table_new(tmp, in->node.n);
  bool *pinned = pass_mark_pinned(tmp, in);
  for (Val v = 0; v < in->node.n; v++) {
    Val c = pass_copy(out, in, v, map);
    map[v] = pinned[v] ? c : value_table_find(seen, out, c);
    if (map[v] != c) out->node.n--; /* the copy is the last node, and nothing refers to it */
  }
  arena_free(tmp);
  pass_outputs(out, in, map);
  return out;
}
