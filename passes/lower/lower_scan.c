/* Loops. Their bodies' values have kernels like all others, which run once a step; what this file decides is where the
   values lie. Kernels know nothing of steps: the place of an operand moves from step to step instead (Buf.move).

   A scan_in is a part of its operand, and a value that a scan_out collects is written to its place in the whole. What a
   step hands on lies in a row of slots, one a step and one behind them: a step reads slot i, the carry, and writes
   slot i + 1, its next value. Where somebody collects the carry, the row is what was to be collected; otherwise two
   slots are enough, which take turns. So nothing is copied, but for values that cannot lie where they should. */
#include <string.h>

#include "passes/lower/lower.h"

static const Node *node(const Lower *l, Val v) { return g_node(l->g, v); }
static int64_t size_of(const Lower *l, Val v) {
  return shape_count(&node(l, v)->shape) * dtype_size(node(l, v)->dt);
}
static Buf *buf(Lower *l, int b) { return &l->p->buf.v[b]; }

static int loop_index(const Lower *l, Val v) {
  Ints path = scan_path(l->g, node(l, v));
  for (int i = 0; i < l->loops->n; i++) {
    const Ints *own = &l->loops->loop[i].path;
    if (own->n == path.n && !memcmp(own->v, path.v, sizeof *path.v * (size_t)path.n)) return i;
  }
  bug("%%%d belongs to no loop", v);
}

/* May the value be written where it is wanted, instead of to memory of its own? body: the loop that computes it. */
static bool can_move(Lower *l, Val v, int body) {
  const Node *n = node(l, v);
  OpKind kind = op_table[n->op].kind;
  if (l->loops->of[v] != body || kind == KIND_INPUT || kind == KIND_SCAN || n->op == OP_reshape) return false;
  const Buf *b = buf(l, lower_buf(l, v));
  return b->kind == BUF_TEMP && b->alias < 0 && b->within < 0 && !b->block;
}

/* A buffer for value v that nothing computes, and a kernel in a body (-1: outside of all) that copies v to it. */
static int copy_of(Lower *l, Val v, int body) {
  int from = lower_buf(l, v);
  Buf b = *buf(l, from);
  b.kind = BUF_TEMP;
  b.input = b.result = b.alias = b.within = b.val = -1;
  b.block = b.loop = b.period = b.phase = 0;
  b.at = b.move = 0;
  vec_push(l->arena, &l->p->buf, b);
  int to = l->p->buf.n - 1;
  Kernel k = loop_copy(l, from, to);
  lower_push(l, &k, v);
  l->p->kernel.v[l->p->kernel.n - 1].in_loop = body + 1;
  return to;
}

/* The buffer through which v is written where it is wanted. */
static int writer(Lower *l, Val v, int body) {
  return can_move(l, v, body) ? lower_buf(l, v) : copy_of(l, v, body);
}

/* ---- carries ---- */
/* The carry whose next value v is; of several the first. -1: none. */
static Val carry_of(const Lower *l, Val v) {
  for (Val c = 0; c < l->g->node.n; c++)
    if (l->loops->next[c] >= 0 && node(l, l->loops->next[c])->in[1] == v) return c;
  return -1;
}

static bool is_collected(const Lower *l, Val v, int loop) {
  for (Val o = l->loops->loop[loop].close; o < l->g->node.n; o++) {
    const Node *n = node(l, o);
    if (n->op == OP_scan_out && n->in[0] == v && !scan_reversed(n) && loop_index(l, o) == loop) return true;
  }
  return false;
}

static int uses(const Lower *l, Val v) {
  int n = 0;
  for (Val u = 0; u < l->g->node.n; u++)
    for (int i = 0; i < node(l, u)->nin; i++) n += node(l, u)->in[i] == v;
  for (int i = 0; i < l->g->outputs.n; i++) n += 2 * (l->g->outputs.v[i].val == v);
  return n;
}

/* Does the body read carry c? Then all of the loop, and what comes after it, waits for the carry's beginning. */
static bool is_read(const Lower *l, Val c, int loop) {
  for (Val u = c + 1; u < l->g->node.n; u++)
    for (int i = 0; i < node(l, u)->nin; i++)
      if (node(l, u)->in[i] == c && l->loops->of[u] >= 0 &&
          !(scan_closes(node(l, u)) && loop_index(l, u) == loop && (i == 0 || node(l, u)->op == OP_scan_out)))
        return true;
  return false;
}

/* The row of slots of carry c, and all that lies in it. */
static const CarryRow *carry_row(Lower *l, Val c) {
  CarryRow *row = &l->carry[c];
  if (row->made) return row;
  int loop = l->loops->of[c], outer = l->loops->loop[loop].parent;
  Val init = node(l, c)->in[0], end = l->loops->next[c], v = node(l, end)->in[1];
  int64_t steps = l->loops->loop[loop].steps, slot = size_of(l, c);
  row->made = true;
  row->read = is_read(l, c, loop);
  bool collected = is_collected(l, c, loop);
  row->kept = (row->read && collected) || (carry_of(l, v) == c && is_collected(l, v, loop));
  int slots = row->kept ? (int)steps + 1 : 2;
  Buf s = {.kind = BUF_TEMP, .dt = node(l, c)->dt, .shape = {.rank = 1}, .val = -1};
  s.input = s.result = s.alias = s.within = s.first = s.last = -1;
  s.shape.dim[0] = shape_count(&node(l, c)->shape) * slots;
  s.bytes = slot * slots;
  vec_push(l->arena, &l->p->buf, s);
  int memory = l->p->buf.n - 1;

  int now = lower_buf(l, c), first = -1; /* what nobody reads need not begin */
  if (row->read || uses(l, c) > 1) {
    first = uses(l, init) == 1 ? writer(l, init, outer) : copy_of(l, init, outer);
    buf(l, first)->within = memory;
  }
  Buf *b = buf(l, now);
  b->alias = first;
  if (first < 0) b->within = memory;
  b->loop = loop + 1;
  b->move = slot;
  b->period = row->kept ? 0 : 2;

  row->next = carry_of(l, v) == c ? writer(l, v, loop) : copy_of(l, v, loop);
  b = buf(l, row->next);
  b->within = memory;
  b->loop = loop + 1;
  b->move = slot;
  b->phase = 1;
  b->period = row->kept ? 0 : 2;

  int last = lower_buf(l, end);
  b = buf(l, last);
  b->alias = row->next;
  b->at = ((row->kept ? steps : steps % 2) - 1) * slot; /* of the first step's next value */
  return row;
}

/* ---- what leads in and out ---- */
static void build_in(Lower *l, Val v) {
  const Node *n = node(l, v);
  int from = lower_buf(l, n->in[0]), to = lower_buf(l, v), loop = l->loops->of[v];
  bool reverse = scan_reversed(n);
  Buf *b = buf(l, to);
  b->alias = from;
  b->loop = loop + 1;
  b->move = reverse ? -size_of(l, v) : size_of(l, v);
  b->at = reverse ? (l->loops->loop[loop].steps - 1) * size_of(l, v) : 0;
}

static void build_out(Lower *l, Val v) {
  const Node *n = node(l, v);
  int loop = loop_index(l, v), all = lower_buf(l, v);
  Val x = n->in[0], c = node(l, x)->op == OP_scan_carry ? x : carry_of(l, x);
  int64_t part = size_of(l, x);
  if (c >= 0 && l->loops->of[c] == loop && !scan_reversed(n)) {
    const CarryRow *row = carry_row(l, c);
    if (x != c || row->read) {
      buf(l, all)->alias = row->next;
      buf(l, all)->at = x == c ? -part : 0;
      return;
    }
  }
  if (c >= 0 && l->loops->of[c] == loop) carry_row(l, c);
  int w = writer(l, x, loop);
  Buf *b = buf(l, w);
  bool reverse = scan_reversed(n);
  b->alias = all;
  b->loop = loop + 1;
  b->move = reverse ? -part : part;
  b->at = reverse ? (l->loops->loop[loop].steps - 1) * part : 0;
}

Refusal lower_scan(Lower *l, Val v) {
  switch (node(l, v)->op) {
  case OP_scan_in: build_in(l, v); break;
  case OP_scan_out: build_out(l, v); break;
  case OP_scan_carry: carry_row(l, v); break;
  default: carry_row(l, node(l, v)->in[0]); break;
  }
  l->kernel_of[v] = -2;
  return (Refusal){.kind = BUILT};
}

/* ---- what is stored because of loops ---- */
/* What a body reads from outside is computed there, before its first step. */
static void enter(Lower *l, Val u, Val v) {
  while (op_table[node(l, u)->op].kind == KIND_VIEW && node(l, u)->nin == 1) u = node(l, u)->in[0];
  if (l->loops->of[u] == l->loops->of[v] || node(l, u)->op == OP_fill || node(l, u)->op == OP_iota) return;
  decide_stored(l, u, WHY_LOOP, v);
  l->at.nohome[u] = true;
}

void scan_needs(Lower *l) {
  for (Val v = 0; v < l->g->node.n && l->loops->n; v++)
    for (int i = 0; i < node(l, v)->nin; i++)
      if (l->loops->of[v] != l->loops->of[node(l, v)->in[i]]) enter(l, node(l, v)->in[i], v);
}

bool scan_together(const Lower *l, Val a, Val b) {
  return l->loops->of[a] == l->loops->of[b] && l->loops->before[a] == l->loops->before[b];
}

void scan_begin(Lower *l) {
  memset(&l->p->loop, 0, sizeof l->p->loop);
  l->carry = NEWN(l->arena, CarryRow, l->g->node.n + 1);
  for (int i = 0; i < l->loops->n; i++) {
    ProgramLoop x = {l->loops->loop[i].steps, l->loops->loop[i].parent + 1};
    vec_push(l->arena, &l->p->loop, x);
  }
}
