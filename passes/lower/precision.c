/* --precision bf16 or f16: values that lie in memory between kernels are rounded to that type, by explicit casts, so that
   every later stage and both interpreters compute with the rounded values.

   Which values those are, fusion decides (decide.c), before it builds anything. Of that,
   activations and their gradients are rounded: floats with an element for each element of some product's or
   argument's result, or the largest of a window, not what is summed up from them (statistics, losses), that some product of the step
   depends on (so neither parameter gradients nor anything of the optimizer). A product reads rounded operands
   as they are and stores a rounded result so; parameters stay f32, as all arithmetic does. Where the target
   multiplies bf16 on tiles, products that are worth it get all operands in bf16: a parameter, too, is rounded
   then, once for all that read it. */
#include <string.h>

#include "ir/graph/loops.h"
#include "ir/kernel/conv_geom.h"
#include "passes/lower/lower.h"
#include "passes/graph/pass.h"

typedef struct {
  const Graph *in;
  Graph *out;
  const Target *target;
  ConvAlgo conv;
  DType to; /* bf16 or f16 */
  bool *rounded;
  Val *wide, *narrow; /* per value of in: the f32 value in out, the narrow one; -1 not made */
} Precision;

static OpKind kind_of(const Node *n) { return op_table[n->op].kind; }
static bool is_product(const Node *n) { return kind_of(n) == KIND_CONV || kind_of(n) == KIND_DOT; }
static bool is_view(const Node *n) { return kind_of(n) == KIND_VIEW && n->nin == 1; }

/* The largest of a window: one of the elements. */
static bool is_pool(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  return n->op == OP_reduce_max && g_node(g, n->in[0])->op == OP_window;
}

/* Some product depends on the value. */
static bool *mark_feeding(Arena *a, const Graph *g) {
  bool *feeds = NEWN(a, bool, g->node.n + 1);
  for (Val v = g->node.n - 1; v >= 0; v--) {
    const Node *n = g_node(g, v);
    for (int i = 0; i < n->nin; i++) feeds[n->in[i]] |= feeds[v] || is_product(n);
  }
  return feeds;
}

/* The value has its elements from a product or argument through elementwise operators and views. */
static bool *mark_dense(Arena *a, const Graph *g) {
  bool *dense = NEWN(a, bool, g->node.n + 1);
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    switch (kind_of(n)) {
    case KIND_CONV:
    case KIND_DOT:
    case KIND_GATHER:
    case KIND_FOLD: dense[v] = true; break;
    case KIND_INPUT: dense[v] = g->inputs.v[n->input].kind == IN_ARG; break;
    case KIND_REDUCE:
      if (!is_pool(g, v)) break;
      /* fall through */
    case KIND_MAP:
    case KIND_VIEW:
      for (int i = 0; i < n->nin; i++) dense[v] |= dense[n->in[i]];
      break;
    default: break;
    }
  }
  return dense;
}

static void choose(Precision *p, Lower *l) {
  const Graph *g = p->in;
  Arena *a = l->arena;
  bool *feeds = mark_feeding(a, g), *dense = mark_dense(a, g);
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    p->rounded[v] = l->at.stored[v] && n->dt == DT_F32 && n->op != OP_input && feeds[v] && dense[v] &&
                    shape_count(&n->shape) >= l->p->target.cost->bf16_elements;
  }
  for (int i = 0; i < g->outputs.n; i++) p->rounded[g->outputs.v[i].val] = false;
  /* The gradient of a maximum looks for it among the elements, so they must be rounded as it is. */
  for (Val v = 0; v < g->node.n; v++) {
    if (!p->rounded[v] || !is_pool(g, v)) continue;
    Val u = g_node(g, v)->in[0];
    while (is_view(g_node(g, u))) u = g_node(g, u)->in[0];
    p->rounded[u] = true;
  }
}

static Val wide(Precision *p, Val v) {
  if (p->wide[v] < 0) {
    const Node *n = g_node(p->in, v);
    p->out->loc = n->loc, p->out->role = n->role;
    p->wide[v] = g_cast(p->out, p->narrow[v], DT_F32);
  }
  return p->wide[v];
}

/* The narrow form of a product's operand, or -1 where it stays f32. */
static Val operand(Precision *p, Val v) {
  const Node *n = g_node(p->in, v);
  if (p->narrow[v] >= 0 || n->dt != DT_F32) return p->narrow[v];
  p->out->loc = n->loc, p->out->role = n->role;
  if (is_view(n)) {
    Val base = operand(p, n->in[0]);
    if (base >= 0) return p->narrow[v] = g_add(p->out, n->op, &base, 1, n->attr, n->imm, p->to, &n->shape);
  }
  return p->narrow[v];
}

/* The extents of the axes of operand i that are free, and of those summed over. */
static void extents(const Graph *g, const Node *n, int i, int64_t *free, int64_t *summed) {
  const Shape *s = &g_node(g, n->in[i])->shape;
  *free = *summed = 1;
  for (int a = 0; a < s->rank; a++) {
    bool batch = false, contract = false;
    for (int j = 0; j < n->attr[i].n; j++) batch |= n->attr[i].v[j] == a;
    for (int j = 0; j < n->attr[2 + i].n; j++) contract |= n->attr[2 + i].v[j] == a;
    if (contract) *summed *= s->dim[a];
    else if (!batch) *free *= s->dim[a];
  }
}

/* Of a convolution whose other operand is rounded already, or has few channels: pictures, say. */
static bool conv_on_tiles(Precision *p, Val v) {
  const Node *n = g_node(p->in, v);
  Val x, w, y;
  ConvSpec s = conv_spec_of(p->in, v, &x, &w, &y);
  bool few = conv_is_few(&s);
  if (n->op == OP_conv2d_dw || (!few && operand(p, n->in[0]) < 0)) return false;
  s.xbf16 = s.wbf16 = s.ybf16 = true, s.xblock = few ? 0 : target_lanes(p->target),
  s.yblock = target_lanes(p->target);
  s.algo = p->conv;
  return !conv_not_on_tiles(&s, p->target);
}

static bool on_tiles(Precision *p, Val v) {
  const Node *n = g_node(p->in, v);
  if (n->dt != DT_F32 || p->to != DT_BF16) return false;
  if (kind_of(n) == KIND_CONV) return conv_on_tiles(p, v);
  if (kind_of(n) != KIND_DOT) return false;
  int64_t free[2], summed;
  for (int i = 0; i < 2; i++) extents(p->in, n, i, &free[i], &summed);
  return !gemm_not_on_tiles(p->target, free[0], free[1], summed);
}

/* The same, rounded for the purpose where it is not yet; a view of what can be rounded is a view still. */
static Val rounded_operand(Precision *p, Val v) {
  const Node *n = g_node(p->in, v);
  if (operand(p, v) >= 0 || n->dt != DT_F32) return p->narrow[v];
  if (is_view(n)) {
    rounded_operand(p, n->in[0]);
    return operand(p, v);
  }
  Val x = wide(p, v);
  p->out->loc = n->loc, p->out->role = n->role;
  return p->narrow[v] = g_cast(p->out, x, p->to);
}

static void copy(Precision *p, Val v) {
  const Node *n = g_node(p->in, v);
  if (p->rounded[v] && is_view(n) && p->narrow[n->in[0]] >= 0) { /* of what is rounded already */
    operand(p, v);
    return;
  }
  Val *in = NEWN(p->out->arena, Val, n->nin + 1);
  for (int i = 0; i < n->nin; i++) {
    in[i] = on_tiles(p, v) ? rounded_operand(p, n->in[i]) : is_product(n) ? operand(p, n->in[i]) : -1;
    if (in[i] < 0) in[i] = wide(p, n->in[i]);
  }
  Val y;
  if (is_product(n) && n->dt == DT_F32) {
    p->out->loc = n->loc, p->out->role = n->role;
    bool narrow = p->rounded[v] && n->op != OP_conv2d_dw; /* a weight gradient is stored as f32 */
    y = g_add(p->out, n->op, in, n->nin, n->attr, n->imm, narrow ? p->to : DT_F32, NULL);
    *(narrow ? &p->narrow[v] : &p->wide[v]) = y;
    if (narrow) return;
  } else {
    p->wide[v] = y = g_copy_node(p->out, p->in, v, in);
  }
  if (!p->rounded[v]) return;
  p->out->loc = n->loc, p->out->role = n->role;
  p->narrow[v] = g_cast(p->out, y, p->to);
  p->wide[v] = -1; /* from now on the rounded value */
}

/* All of a loop's body stands before what leads out of it, rounded values made f32 again among them. */
static void close_loop(Precision *p, Val first) {
  const Graph *g = p->in;
  Ints path = scan_path(g, g_node(g, first));
  for (Val v = first; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    if (!scan_closes(n)) continue;
    Ints other = scan_path(g, n);
    if (other.n != path.n || memcmp(other.v, path.v, sizeof *path.v * (size_t)path.n)) continue;
    for (int i = 0; i < n->nin; i++) wide(p, n->in[i]);
  }
}

void pass_precision(Lower *l) {
  const Graph *g = l->g;
  int n = g->node.n;
  Lower *look = lower_begin(arena_new(), g, &l->p->target, &l->opt); /* at what fusion would store */
  pass_layout(look);
  decide_begin(look);
  decide(look);
  Precision p = {.in = g,
                 .target = &l->p->target,
                 .conv = l->opt.conv,
                 .to = l->opt.precision,
                 .rounded = NEWN(l->arena, bool, n + 1),
                 .narrow = lower_filled(l->arena, n, -1)};
  p.out = pass_begin(l->arena, g, &p.wide);
  p.out->precision = DT_NONE; /* done here */
  choose(&p, look);
  arena_free(lower_end(look)->arena);
  for (Val v = 0; v < n; v++) {
    if (scan_closes(g_node(g, v))) close_loop(&p, v);
    copy(&p, v);
  }
  for (int i = 0; i < g->outputs.n; i++) wide(&p, g->outputs.v[i].val);
  pass_outputs(p.out, g, p.wide);
  l->g = l->p->graph = p.out;
}

Graph *precision_widened(Arena *a, const Graph *g) {
  Val *map;
  Graph *out = pass_begin(a, g, &map);
  out->precision = DT_NONE;
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    if (!dtype_is_narrow(n->dt) || n->op == OP_input) {
      map[v] = pass_copy(out, g, v, map);
      continue;
    }
    Val *in = NEWN(a, Val, n->nin + 1);
    for (int i = 0; i < n->nin; i++) in[i] = map[n->in[i]];
    out->loc = n->loc, out->role = n->role;
    map[v] = n->op == OP_cast ? in[0] : g_add(out, n->op, in, n->nin, n->attr, n->imm, DT_F32, &n->shape);
  }
  pass_outputs(out, g, map);
  return out;
}
