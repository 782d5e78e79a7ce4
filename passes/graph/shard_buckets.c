/* Small sums over all ranks travel together: what each exchange costs by itself is as much as sending tens of kilobytes.
   Only sums that no other exchange waits for, such as gradients of biases and norms, so that none waits for its
   neighbours (what is exchanged once all gradients are there waits for all of them anyway); in the order in which they are made,
   since an exchange begins when its last value is there. Each element is added up as before. Where every rank has a batch
   of its own its kernels have to be those of one process (frontend/ranks.c), so there they are copied (sums over one rank)
   before they are put together and after. */
#include "passes/graph/shard.h"

#include "ir/graph/collective.h"
#include "ir/graph/loops.h"

enum { MOST_BYTES = 1 << 18, BUCKET_BYTES = 1 << 20 };

typedef struct {
  VEC(Val) sum; /* in the graph that is read */
  DType dt;
  int64_t bytes, ranks;
} Bucket;

static bool between_ranks(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  return op_table[n->op].kind == KIND_COLLECTIVE && collective_ranks(n) > 1;
}

static int64_t bytes_of(const Graph *g, Val v) {
  const Node *n = g_node(g, v);
  return shape_count(&n->shape) * dtype_size(n->dt);
}

/* The bucket of value v that is still open, or a new one. */
static int open_bucket(const Graph *g, Val v, Bucket *b, int *n) {
  const Node *x = g_node(g, v);
  for (int i = *n - 1; i >= 0; i--)
    if (b[i].dt == x->dt && b[i].ranks == collective_ranks(x)) {
      if (b[i].bytes + bytes_of(g, v) <= BUCKET_BYTES) return i;
      break;
    }
  b[*n] = (Bucket){.dt = x->dt, .ranks = collective_ranks(x)};
  return (*n)++;
}

static Val copied(Graph *g, Val x, bool copies) { return copies ? g_all(g, OP_all_reduce_sum, x, 1) : x; }

static void send_together(Graph *out, const Graph *in, const Bucket *b, bool copies, Val *map) {
  Val *flat = NEWN(out->arena, Val, b->sum.n);
  for (int i = 0; i < b->sum.n; i++) {
    const Node *n = g_node(in, b->sum.v[i]);
    out->loc = n->loc;
    out->role = n->role;
    flat[i] = g_reshape(out, copied(out, map[n->in[0]], copies), &(Shape){1, {shape_count(&n->shape)}});
  }
  Val all = g_all(out, OP_all_reduce_sum, g_concat(out, flat, b->sum.n, 0), b->ranks);
  int64_t at = 0;
  for (int i = 0; i < b->sum.n; i++) {
    const Node *n = g_node(in, b->sum.v[i]);
    Ints start = ints1(at), stop = ints1(at += shape_count(&n->shape));
    out->loc = n->loc;
    out->role = n->role;
    Val own = g_reshape(out, g_slice(out, all, &start, &stop, NULL), &n->shape);
    map[b->sum.v[i]] = copied(out, own, copies);
  }
}

/* May this sum travel with others, and do others that lead to this exchange have to travel alone? */
static bool may_wait(const Graph *g, Val v, bool update) {
  return between_ranks(g, v) && g_node(g, v)->op == OP_all_reduce_sum &&
         (g_node(g, v)->role == ROLE_UPDATE) == update;
}
static bool waits(const Graph *g, Val v, bool update) {
  return between_ranks(g, v) &&
         (update ? g_node(g, v)->op != OP_all_gather : g_node(g, v)->role != ROLE_UPDATE);
}

Graph *shard_buckets(Arena *a, const Graph *in, bool update, bool copies) {
  if (graph_has_loops(in)) return pass_live_copy(a, in, false);
  int count = in->node.n, n = 0;
  bool *leads = NEWN(a, bool, count + 1); /* to another exchange */
  bool *late = NEWN(a, bool, count + 1);  /* follows from a sum that is put into a bucket */
  Bucket *bucket = NEWN(a, Bucket, count + 1);
  for (Val v = count - 1; v >= 0; v--)
    for (int i = 0; i < g_node(in, v)->nin; i++)
      leads[g_node(in, v)->in[i]] |= leads[v] || waits(in, v, update);
  for (Val v = 0; v < count; v++) {
    if (!may_wait(in, v, update) || leads[v]) continue;
    if (!bytes_of(in, v) || bytes_of(in, v) > MOST_BYTES) continue;
    Bucket *b = &bucket[open_bucket(in, v, bucket, &n)];
    vec_push(a, &b->sum, v);
    b->bytes += bytes_of(in, v);
  }
  bool any = false;
  for (int i = 0; i < n; i++)
    for (int k = 0; k < bucket[i].sum.n && bucket[i].sum.n > 1; k++) late[bucket[i].sum.v[k]] = any = true;
  if (!any) return pass_live_copy(a, in, false);
  Val *map;
  Graph *out = pass_begin(a, in, &map);
  for (Val v = 0; v < count; v++) {
    for (int i = 0; i < g_node(in, v)->nin; i++) late[v] |= late[g_node(in, v)->in[i]];
    if (!late[v]) map[v] = pass_copy(out, in, v, map);
  }
  for (int i = 0; i < n; i++)
    if (bucket[i].sum.n > 1) send_together(out, in, &bucket[i], copies, map);
  for (Val v = 0; v < count; v++)
    if (map[v] < 0) map[v] = pass_copy(out, in, v, map);
  pass_outputs(out, in, map);
  return out;
}
