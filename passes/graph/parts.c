/* Parts of tensors. The gradient of a tensor that is read in n slices is a sum of n padded parts, which as it stands is
   n guarded additions for every element: where parts do not overlap, it is a concatenation. A concatenation of many
   parts in turn asks for every element in which part it lies: it becomes a tree of short ones. */
#include <stdlib.h>
#include <string.h>

#include "passes/graph/pass.h"

enum {
  LEAST_PARTS = 9, /* few guarded additions cost less than what would be stored between */
  MOST_BRANCHES = 16
};

typedef struct {
  int64_t lo[MAX_RANK], hi[MAX_RANK];
} Box;

/* An operand of a sum that is `val` inside a box and zero outside. */
typedef struct {
  Val val;
  Box box;
} Part;

typedef struct {
  Graph *g;
  Arena *tmp;
  DType dt;
  int rank;
} Cover;

/* ---- concatenation ---- */
/* As a tree of which every node has MOST_BRANCHES parts at most. */
static Val concat_tree(Graph *g, Arena *tmp, const Val *part, int n, int axis) {
  Val *level = NEWN(tmp, Val, n + 1);
  memcpy(level, part, sizeof(Val) * (size_t)n);
  while (n > MOST_BRANCHES) {
    int groups = (n + MOST_BRANCHES - 1) / MOST_BRANCHES;
    for (int i = 0; i < groups; i++) {
      int from = (int)((int64_t)n * i / groups), to = (int)((int64_t)n * (i + 1) / groups);
      level[i] = g_concat(g, level + from, to - from, axis);
    }
    n = groups;
  }
  return n == 1 ? level[0] : g_concat(g, level, n, axis);
}

/* ---- sums of padded parts ---- */
typedef struct {
  int64_t at;
  int i;
} Start;

static int by_start(const void *x, const void *y) {
  const Start *a = x, *b = y;
  return a->at != b->at ? (a->at > b->at) - (a->at < b->at) : (a->i > b->i) - (a->i < b->i);
}

/* Numbers of the parts in order of where they begin along axis. */
static Start *in_order(const Cover *c, const Part *p, int n, int axis) {
  Start *s = NEWN(c->tmp, Start, n + 1);
  for (int i = 0; i < n; i++) s[i] = (Start){p[i].box.lo[axis], i};
  qsort(s, (size_t)n, sizeof *s, by_start);
  return s;
}

/* Runs of parts along axis that none crosses. */
static int count_runs(const Part *p, const Start *s, int n, int axis) {
  int runs = 0;
  int64_t end = INT64_MIN;
  for (int i = 0; i < n; i++) {
    const Box *b = &p[s[i].i].box;
    if (b->lo[axis] >= end) runs++;
    if (b->hi[axis] > end) end = b->hi[axis];
  }
  return runs;
}

static Val zeros(const Cover *c, const Box *b) {
  Shape s = {.rank = c->rank};
  for (int i = 0; i < c->rank; i++) s.dim[i] = b->hi[i] - b->lo[i];
  return g_fill(c->g, c->dt, &s, 0);
}

static Val padded(const Cover *c, const Part *p, const Box *to) {
  Ints lo = {.n = c->rank}, hi = lo, interior = lo;
  bool same = true;
  for (int i = 0; i < c->rank; i++) {
    lo.v[i] = p->box.lo[i] - to->lo[i];
    hi.v[i] = to->hi[i] - p->box.hi[i];
    same &= !lo.v[i] && !hi.v[i];
  }
  return same ? p->val : g_pad(c->g, p->val, &lo, &hi, &interior, 0);
}

static Val cover(const Cover *c, const Part *p, int n, const Box *to);

/* Runs along axis, and zeros between them. */
static Val cover_runs(const Cover *c, const Part *p, const Start *s, int n, int axis, const Box *to) {
  VEC(Val) piece = {0};
  Part *run = NEWN(c->tmp, Part, n + 1);
  Box b = *to;
  int64_t at = to->lo[axis];
  for (int i = 0; i < n;) {
    int m = 0;
    int64_t begin = p[s[i].i].box.lo[axis], end = p[s[i].i].box.hi[axis];
    for (; i < n && (!m || p[s[i].i].box.lo[axis] < end); i++) {
      run[m] = p[s[i].i];
      if (run[m].box.hi[axis] > end) end = run[m].box.hi[axis];
      m++;
    }
    if (begin > at) {
      b.lo[axis] = at, b.hi[axis] = begin;
      vec_push(c->tmp, &piece, zeros(c, &b));
    }
    b.lo[axis] = begin, b.hi[axis] = at = end;
    vec_push(c->tmp, &piece, cover(c, run, m, &b));
  }
  if (at < to->hi[axis]) {
    b.lo[axis] = at, b.hi[axis] = to->hi[axis];
    vec_push(c->tmp, &piece, zeros(c, &b));
  }
  return concat_tree(c->g, c->tmp, piece.v, piece.n, axis);
}

/* Every part overlaps another along every axis: layers of parts that do not along `axis`, added. */
static Val cover_layers(const Cover *c, const Part *p, const Start *s, int n, int axis, const Box *to) {
  int *layer = NEWN(c->tmp, int, n + 1), layers = 0;
  int64_t *end = NEWN(c->tmp, int64_t, n + 1);
  for (int i = 0; i < n; i++) {
    const Box *b = &p[s[i].i].box;
    int k = 0;
    while (k < layers && end[k] > b->lo[axis]) k++;
    if (k == layers) layers++;
    layer[i] = k;
    end[k] = b->hi[axis];
  }
  Part *own = NEWN(c->tmp, Part, n + 1);
  Val sum = -1;
  for (int k = 0; k < layers; k++) {
    int m = 0;
    for (int i = 0; i < n; i++)
      if (layer[i] == k) own[m++] = p[s[i].i];
    Val x = cover(c, own, m, to);
    sum = sum < 0 ? x : g_binary(c->g, OP_add, sum, x);
  }
  return sum;
}

/* The sum of the parts inside a box that holds them all. */
static Val cover(const Cover *c, const Part *p, int n, const Box *to) {
  if (n == 1) return padded(c, p, to);
  int best = 0, most = 0;
  Start *order = NULL;
  for (int axis = 0; axis < c->rank; axis++) {
    Start *s = in_order(c, p, n, axis);
    int runs = count_runs(p, s, n, axis);
    if (runs <= most) continue;
    most = runs, best = axis, order = s;
  }
  return most > 1 ? cover_runs(c, p, order, n, best, to) : cover_layers(c, p, order, n, best, to);
}

/* ---- the pass ---- */
/* Node v is zero but for an operand that it surrounds. */
static bool is_part(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  if (n->op != OP_pad || n->imm != 0) return false;
  for (int i = 0; i < n->shape.rank; i++)
    if (n->attr[0].v[i] < 0 || n->attr[1].v[i] < 0 || n->attr[2].v[i]) return false;
  return true;
}

/* Sum v of the graph `in`, read through additions that nobody else reads: -1 where it has few parts. */
static Val sum_of_parts(const Graph *in, Graph *out, Val v, const int *uses, const Val *map) {
  Arena *tmp = arena_new();
  VEC(Val) todo = {0}, rest = {0};
  VEC(Part) part = {0};
  const Node *sum = g_node(in, v);
  vec_push(tmp, &todo, v);
  while (todo.n) {
    Val u = todo.v[--todo.n];
    const Node *n = g_node(in, u);
    if (n->op == OP_add && (u == v || uses[u] == 1)) {
      vec_push(tmp, &todo, n->in[1]);
      vec_push(tmp, &todo, n->in[0]);
    } else if (!is_part(in, u)) {
      vec_push(tmp, &rest, u);
    } else {
      Part p = {.val = map[n->in[0]]};
      for (int i = 0; i < n->shape.rank; i++) {
        p.box.lo[i] = n->attr[0].v[i];
        p.box.hi[i] = n->shape.dim[i] - n->attr[1].v[i];
      }
      vec_push(tmp, &part, p);
    }
  }
  Val y = -1;
  if (part.n >= LEAST_PARTS) {
    out->loc = sum->loc;
    out->role = sum->role;
    Box whole = {0};
    memcpy(whole.hi, sum->shape.dim, sizeof whole.hi);
    Cover c = {out, tmp, sum->dt, sum->shape.rank};
    y = cover(&c, part.v, part.n, &whole);
    for (int i = 0; i < rest.n; i++) y = g_binary(out, OP_add, map[rest.v[i]], y);
  }
  arena_free(tmp);
  return y;
}

Graph *pass_parts(Arena *a, const Graph *in, Diags *d) {
  (void)d;
  Val *map;
  int n = in->node.n;
  Graph *out = pass_begin(a, in, &map);
  Arena *tmp = arena_new();
  int *uses = NEWN(tmp, int, n + 1), *sums = NEWN(tmp, int, n + 1);
  bool *pinned = pass_mark_pinned(tmp, in);
  for (Val v = 0; v < n; v++)
    for (int i = 0; i < g_node(in, v)->nin; i++) {
      Val u = g_node(in, v)->in[i];
      uses[u] += 1 + pinned[u];
      sums[u] += g_node(in, v)->op == OP_add;
    }
  for (int i = 0; i < in->outputs.n; i++) uses[in->outputs.v[i].val] += 2;
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(in, v);
    bool inner = uses[v] == 1 && sums[v] == 1; /* of a longer sum */
    if (x->op == OP_add && !inner) map[v] = sum_of_parts(in, out, v, uses, map);
    if (x->op == OP_concat && x->nin > MOST_BRANCHES) {
      Val *part = NEWN(tmp, Val, x->nin);
      for (int i = 0; i < x->nin; i++) part[i] = map[x->in[i]];
      out->loc = x->loc;
      out->role = x->role;
      map[v] = concat_tree(out, tmp, part, x->nin, (int)x->attr[0].v[0]);
    }
    if (map[v] < 0) map[v] = pass_copy(out, in, v, map);
  }
  arena_free(tmp);
  pass_outputs(out, in, map);
  return out;
}
