/* The oracle: evaluates a graph in f64 (integers in integers), one operator after another, with plain loops. Elementwise operators
   walk their expression, contractions are nested C loops. Slow and readable on purpose; every faster
   evaluation is compared with it. random_bits is Philox4x32-10 of Salmon et al., "Parallel random numbers: as
   easy as 1, 2, 3" (2011). */
#include "ir/graph/collective.h"
#include "ir/graph/expr.h"
#include "ir/graph/lapack.h"
#include "ir/graph/loops.h"
#include "ir/graph/sort.h"
#include "ir/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t philox_u32(uint64_t index, uint32_t step, uint32_t stream, uint64_t seed) {
  uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), step, stream};
  uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k[1],
                        (uint32_t)p0};
    memcpy(c, next, sizeof c);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c[0];
}

/* ---- element types ---- */
static double constant(DType dt, Imm v, bool rounds) { return dtype_round(dt, imm_cell(dt, v), rounds); }

/* ---- index arithmetic ---- */
static void strides_of(const Shape *s, int64_t stride[MAX_RANK]) {
  int64_t n = 1;
  for (int i = s->rank - 1; i >= 0; i--) {
    stride[i] = n;
    n *= s->dim[i];
  }
}

/* Steps a row-major index; false after the last. */
static bool next_index(const Shape *s, int64_t at[MAX_RANK]) {
  for (int i = s->rank - 1; i >= 0; i--) {
    if (++at[i] < s->dim[i]) return true;
    at[i] = 0;
  }
  return false;
}

/* Offsets of all combinations of indices along the given axes, in row-major order of that list. */
typedef struct {
  int64_t n, *v;
} Offsets;

static Offsets offsets_along(Arena *a, const Shape *s, const Ints *axes) {
  int64_t stride[MAX_RANK], at[MAX_RANK] = {0};
  strides_of(s, stride);
  Shape sub = {.rank = axes->n};
  for (int i = 0; i < axes->n; i++) sub.dim[i] = s->dim[axes->v[i]];
  Offsets o = {.n = shape_count(&sub)};
  o.v = NEWN(a, int64_t, o.n + 1);
  for (int64_t i = 0; i < o.n; i++) {
    for (int k = 0; k < axes->n; k++) o.v[i] += at[k] * stride[axes->v[k]];
    next_index(&sub, at);
  }
  return o;
}

static bool ints_has(const Ints *s, int64_t x) {
  for (int i = 0; i < s->n; i++)
    if (s->v[i] == x) return true;
  return false;
}

/* Axes of a shape in neither list. */
static Ints other_axes(const Shape *s, const Ints *a, const Ints *b) {
  Ints r = {0};
  for (int i = 0; i < s->rank; i++)
    if (!ints_has(a, i) && !(b && ints_has(b, i))) r.v[r.n++] = i;
  return r;
}

/* ---- evaluation of one node ---- */
typedef struct {
  const Graph *g;
  const Node *n;
  const Node *x[2];  /* operand nodes (the first two) */
  const double **in; /* operand values */
  double *out;       /* zeroed */
  int64_t count;     /* elements of out */
  Arena *scratch;
  bool rounds;
} Eval;

static void eval_map(Eval *e) {
  const Node *n = e->n;
  double x[3] = {0};
  DType arg = e->x[n->op == OP_select]->dt;
  for (int64_t i = 0; i < e->count; i++) {
    for (int k = 0; k < n->nin; k++) x[k] = e->in[k][i];
    e->out[i] = op_eval_cells(n->op, n->dt, arg, x, e->rounds);
  }
}

static void eval_cast(Eval *e) {
  for (int64_t i = 0; i < e->count; i++)
    e->out[i] = convert_cell(e->x[0]->dt, e->n->dt, e->in[0][i], e->rounds);
}

static void eval_fill(Eval *e) {
  double v = constant(e->n->dt, e->n->imm, e->rounds);
  for (int64_t i = 0; i < e->count; i++) e->out[i] = v;
}

static void eval_iota(Eval *e) {
  int64_t at[MAX_RANK] = {0}, axis = e->n->attr[0].v[0];
  for (int64_t i = 0; i < e->count; i++) {
    e->out[i] = convert_cell(DT_I64, e->n->dt, int_cell(DT_I64, at[axis]), e->rounds);
    next_index(&e->n->shape, at);
  }
}

static void eval_random(Eval *e) {
  uint64_t seed = (uint64_t)cell_int(e->x[0]->dt, e->in[0][0]);
  uint32_t step = (uint32_t)cell_int(e->x[1]->dt, e->in[1][0]), stream = (uint32_t)e->n->attr[0].v[0];
  for (int64_t i = 0; i < e->count; i++) e->out[i] = philox_u32((uint64_t)i, step, stream, seed);
}

static void eval_copy(Eval *e) { memcpy(e->out, e->in[0], (size_t)e->count * sizeof *e->out); }

/* out[at] = in[base + sum at * stride] over the index space s. */
static void strided_read(Eval *e, int64_t base, const int64_t *stride) {
  int64_t at[MAX_RANK] = {0};
  for (int64_t i = 0; i < e->count; i++) {
    int64_t from = base;
    for (int k = 0; k < e->n->shape.rank; k++) from += at[k] * stride[k];
    e->out[i] = e->in[0][from];
    next_index(&e->n->shape, at);
  }
}

/* out[base + sum at * stride] = in[k][at] over the index space of that operand. */
static void strided_write(Eval *e, int k, const Shape *s, int64_t base, const int64_t *stride) {
  int64_t at[MAX_RANK] = {0}, count = shape_count(s);
  for (int64_t i = 0; i < count; i++) {
    int64_t to = base;
    for (int d = 0; d < s->rank; d++) to += at[d] * stride[d];
    e->out[to] = e->in[k][i];
    next_index(s, at);
  }
}

static void eval_transpose(Eval *e) {
  int64_t in[MAX_RANK], stride[MAX_RANK];
  strides_of(&e->x[0]->shape, in);
  for (int i = 0; i < e->n->shape.rank; i++) stride[i] = in[e->n->attr[0].v[i]];
  strided_read(e, 0, stride);
}

static void eval_broadcast(Eval *e) {
  const Shape *s = &e->x[0]->shape;
  int64_t in[MAX_RANK], stride[MAX_RANK] = {0};
  strides_of(s, in);
  for (int i = 0; i < s->rank; i++) stride[e->n->attr[0].v[i]] = s->dim[i] == 1 ? 0 : in[i];
  strided_read(e, 0, stride);
}

static void eval_slice(Eval *e) {
  int64_t in[MAX_RANK], stride[MAX_RANK], base = 0;
  strides_of(&e->x[0]->shape, in);
  for (int i = 0; i < e->n->shape.rank; i++) {
    base += e->n->attr[0].v[i] * in[i];
    stride[i] = e->n->attr[2].v[i] * in[i];
  }
  strided_read(e, base, stride);
}

static void eval_reverse(Eval *e) {
  const Shape *s = &e->n->shape;
  int64_t stride[MAX_RANK], base = 0;
  strides_of(s, stride);
  for (int i = 0; i < s->rank; i++)
    if (ints_has(&e->n->attr[0], i)) {
      base += (s->dim[i] - 1) * stride[i];
      stride[i] = -stride[i];
    }
  strided_read(e, base, stride);
}

static void eval_pad(Eval *e) {
  int64_t out[MAX_RANK], stride[MAX_RANK], base = 0;
  eval_fill(e);
  strides_of(&e->n->shape, out);
  for (int i = 0; i < e->n->shape.rank; i++) {
    base += e->n->attr[0].v[i] * out[i];
    stride[i] = (e->n->attr[2].v[i] + 1) * out[i];
  }
  strided_write(e, 0, &e->x[0]->shape, base, stride);
}

static void eval_concat(Eval *e) {
  int64_t stride[MAX_RANK], axis = e->n->attr[0].v[0], start = 0;
  strides_of(&e->n->shape, stride);
  for (int k = 0; k < e->n->nin; k++) {
    const Shape *s = &g_node(e->g, e->n->in[k])->shape;
    strided_write(e, k, s, start * stride[axis], stride);
    start += s->dim[axis];
  }
}

/* For an index into the windowed shape [..., O, size], the offset in the whole [..., D]; -1 in the padding. */
static int64_t window_offset(const Shape *whole, const Ints *step, const Ints *pad, const int64_t *at,
                             const int64_t *stride) {
  int n = step->n, lead = whole->rank - n;
  int64_t off = 0;
  for (int i = 0; i < lead; i++) off += at[i] * stride[i];
  for (int i = 0; i < n; i++) {
    int64_t p = at[lead + i] * step->v[i] + at[lead + n + i] - pad->v[i];
    if (p < 0 || p >= whole->dim[lead + i]) return -1;
    off += p * stride[lead + i];
  }
  return off;
}

static void eval_window(Eval *e) {
  int64_t stride[MAX_RANK], at[MAX_RANK] = {0};
  double outside = constant(e->n->dt, e->n->imm, e->rounds);
  strides_of(&e->x[0]->shape, stride);
  for (int64_t i = 0; i < e->count; i++) {
    int64_t from = window_offset(&e->x[0]->shape, &e->n->attr[1], &e->n->attr[2], at, stride);
    e->out[i] = from < 0 ? outside : e->in[0][from];
    next_index(&e->n->shape, at);
  }
}

static double add_cells(DType dt, double x, double y) {
  return dtype_is_int(dt) ? op_eval_cells(OP_add, dt, dt, (double[]){x, y}, false) : x + y;
}

static void round_all(Eval *e) {
  for (int64_t i = 0; i < e->count; i++) e->out[i] = dtype_round(e->n->dt, e->out[i], e->rounds);
}

static void eval_fold(Eval *e) {
  const Shape *s = &e->x[0]->shape;
  int64_t stride[MAX_RANK], at[MAX_RANK] = {0}, count = shape_count(s);
  strides_of(&e->n->shape, stride);
  for (int64_t i = 0; i < count; i++) {
    int64_t to = window_offset(&e->n->shape, &e->n->attr[1], &e->n->attr[2], at, stride);
    if (to >= 0) e->out[to] = add_cells(e->n->dt, e->out[to], e->in[0][i]);
    next_index(s, at);
  }
  round_all(e);
}

/* ---- reductions: a function over the offsets of one group of elements ---- */
typedef double ReduceFn(DType dt, const double *x, const Offsets *o);

static double reduce_sum(DType dt, const double *x, const Offsets *o) {
  double s = 0;
  for (int64_t i = 0; i < o->n; i++) s = add_cells(dt, s, x[o->v[i]]);
  return s;
}

static double reduce_mean(DType dt, const double *x, const Offsets *o) {
  return reduce_sum(dt, x, o) / (double)o->n;
}

static double reduce_argmax(DType dt, const double *x, const Offsets *o) {
  int64_t best = 0;
  for (int64_t i = 1; i < o->n; i++) {
    double v = x[o->v[i]], b = x[o->v[best]];
    bool later = dtype_is_int(dt) ? cell_less(dt, b, v) : v > b || (isnan(v) && !isnan(b));
    if (later) best = i;
  }
  return int_cell(DT_I64, best);
}

static double reduce_max(DType dt, const double *x, const Offsets *o) {
  return x[o->v[cell_int(DT_I64, reduce_argmax(dt, x, o))]];
}

static double reduce_min(DType dt, const double *x, const Offsets *o) {
  double m = x[o->v[0]];
  for (int64_t i = 1; i < o->n; i++) m = op_eval_cells(OP_min, dt, dt, (double[]){m, x[o->v[i]]}, false);
  return m;
}

static double reduce_m2(DType dt, const double *x, const Offsets *o) {
  double mean = reduce_mean(dt, x, o), s = 0;
  for (int64_t i = 0; i < o->n; i++) s += (x[o->v[i]] - mean) * (x[o->v[i]] - mean);
  return s;
}

static void eval_reduce(Eval *e) {
  static ReduceFn *const fn[OP_COUNT] = {
      [OP_reduce_sum] = reduce_sum, [OP_reduce_mean] = reduce_mean, [OP_reduce_max] = reduce_max,
      [OP_reduce_min] = reduce_min, [OP_reduce_m2] = reduce_m2,     [OP_argmax] = reduce_argmax};
  if (!fn[e->n->op]) bug("interpreter: unknown reduction %s", op_table[e->n->op].name);
  const Shape *s = &e->x[0]->shape;
  Ints kept = other_axes(s, &e->n->attr[0], NULL);
  Offsets outer = offsets_along(e->scratch, s, &kept), inner = offsets_along(e->scratch, s, &e->n->attr[0]);
  for (int64_t i = 0; i < outer.n; i++) e->out[i] = fn[e->n->op](e->x[0]->dt, e->in[0] + outer.v[i], &inner);
  round_all(e);
}

/* ---- contractions ---- */
static void eval_dot(Eval *e) {
  const Ints *lb = &e->n->attr[0], *rb = &e->n->attr[1], *lc = &e->n->attr[2], *rc = &e->n->attr[3];
  const Shape *ls = &e->x[0]->shape, *rs = &e->x[1]->shape;
  Ints lfree = other_axes(ls, lb, lc), rfree = other_axes(rs, rb, rc);
  Offsets batch_l = offsets_along(e->scratch, ls, lb), batch_r = offsets_along(e->scratch, rs, rb);
  Offsets row = offsets_along(e->scratch, ls, &lfree), col = offsets_along(e->scratch, rs, &rfree);
  Offsets sum_l = offsets_along(e->scratch, ls, lc), sum_r = offsets_along(e->scratch, rs, rc);
  double *out = e->out;
  for (int64_t b = 0; b < batch_l.n; b++)
    for (int64_t i = 0; i < row.n; i++)
      for (int64_t j = 0; j < col.n; j++) {
        const double *l = e->in[0] + batch_l.v[b] + row.v[i], *r = e->in[1] + batch_r.v[b] + col.v[j];
        double s = 0;
        for (int64_t k = 0; k < sum_l.n; k++) s += l[sum_l.v[k]] * r[sum_r.v[k]];
        *out++ = s;
      }
  round_all(e);
}

/* The three convolutions are one loop nest over y[n,k,oh,ow] += x[n,ch,ih,iw] * w[k,c,i,j], ch the c-th
   channel of the group of k; whichever of x, w,
   y is the node's result accumulates the product of the other two. */
static void eval_conv(Eval *e) {
  bool to_x = e->n->op == OP_conv2d_dx, to_w = e->n->op == OP_conv2d_dw;
  const Shape *xs = to_x ? &e->n->shape : &e->x[0]->shape;
  const Shape *ws = to_w ? &e->n->shape : &e->x[1]->shape;
  const Shape *ys = to_x ? &e->x[0]->shape : to_w ? &e->x[1]->shape : &e->n->shape;
  const double *x = e->in[0], *w = e->in[1], *y = to_x ? e->in[0] : e->in[1];
  ConvAttrs a = conv_attrs(e->n);
  int64_t sh = a.stride[0], sw = a.stride[1];
  int64_t C = xs->dim[1], CG = ws->dim[1], KG = ws->dim[0] / a.groups, H = xs->dim[2], W = xs->dim[3],
          K = ws->dim[0], kh = ws->dim[2], kw = ws->dim[3];
  int64_t OH = ys->dim[2], OW = ys->dim[3];
  for (int64_t n = 0; n < xs->dim[0]; n++)
    for (int64_t k = 0; k < K; k++)
      for (int64_t c = 0; c < CG; c++)
        for (int64_t i = 0; i < kh; i++)
          for (int64_t j = 0; j < kw; j++) {
            int64_t wi = ((k * CG + c) * kh + i) * kw + j, ch = k / KG * CG + c;
            int64_t down = i * a.dilation[0] - a.lo[0], right = j * a.dilation[1] - a.lo[1];
            int64_t lo = 0, hi = OW; /* the ow whose iw lies inside */
            while (lo < hi && lo * sw + right < 0) lo++;
            while (lo < hi && (hi - 1) * sw + right >= W) hi--;
            for (int64_t oh = 0; oh < OH; oh++) {
              int64_t ih = oh * sh + down;
              if (ih < 0 || ih >= H) continue;
              int64_t xi = ((n * C + ch) * H + ih) * W + right, yi = ((n * K + k) * OH + oh) * OW;
              if (to_x)
                for (int64_t o = lo; o < hi; o++) e->out[xi + o * sw] += w[wi] * y[yi + o];
              else if (to_w)
                for (int64_t o = lo; o < hi; o++) e->out[wi] += x[xi + o * sw] * y[yi + o];
              else
                for (int64_t o = lo; o < hi; o++) e->out[yi + o] += w[wi] * x[xi + o * sw];
            }
          }
  round_all(e);
}

/* ---- indexing ---- */
/* Splits the shape of the indexed tensor into [outer, extent, inner] around the axis. */
static void split_at(const Shape *s, int64_t axis, int64_t *outer, int64_t *inner) {
  *outer = *inner = 1;
  for (int i = 0; i < axis; i++) *outer *= s->dim[i];
  for (int i = (int)axis + 1; i < s->rank; i++) *inner *= s->dim[i];
}

static void eval_gather(Eval *e) {
  int64_t axis = e->n->attr[0].v[0], outer, inner, extent = e->x[0]->shape.dim[axis];
  int64_t picks = shape_count(&e->x[1]->shape);
  split_at(&e->x[0]->shape, axis, &outer, &inner);
  double *out = e->out;
  for (int64_t o = 0; o < outer; o++)
    for (int64_t p = 0; p < picks; p++) {
      int64_t at = cell_index(e->x[1]->dt, e->in[1][p], extent);
      memcpy(out, e->in[0] + (o * extent + at) * inner, (size_t)inner * sizeof *out);
      out += inner;
    }
}

/* The elementwise operator that joins an update with what is there; none: the update stays. */
static double joined(OpId op, DType dt, double there, double update) {
  OpId with = op == OP_scatter_mul   ? OP_mul
              : op == OP_scatter_min ? OP_min
              : op == OP_scatter_max ? OP_max
                                     : OP_COUNT;
  if (op == OP_scatter_add) return add_cells(dt, there, update);
  return with == OP_COUNT ? update : op_eval_cells(with, dt, dt, (double[]){there, update}, false);
}

static void eval_scatter(Eval *e) {
  int64_t axis = e->n->attr[0].v[0], outer, inner, extent = e->n->shape.dim[axis];
  int64_t picks = shape_count(&e->x[0]->shape);
  split_at(&e->n->shape, axis, &outer, &inner);
  const double *in = e->in[1];
  if (e->n->nin > 2) memcpy(e->out, e->in[2], (size_t)e->count * sizeof *e->out);
  for (int64_t o = 0; o < outer; o++)
    for (int64_t p = 0; p < picks; p++) {
      int64_t at = cell_index(e->x[0]->dt, e->in[0][p], extent);
      for (int64_t i = 0; i < inner; i++) {
        double *to = &e->out[(o * extent + at) * inner + i];
        *to = joined(e->n->op, e->n->dt, *to, *in++);
      }
    }
  round_all(e);
}

static void eval_argsort(Eval *e) {
  const Shape *s = &e->n->shape;
  int64_t n = s->dim[s->rank - 1];
  argsort_cells(e->x[0]->dt, e->n->attr[0].n && e->n->attr[0].v[0], e->count / n, n, e->in[0], e->out);
}

static void eval_extern(Eval *e) {
  DType *dt = NEWN(e->scratch, DType, e->n->nin + 1);
  int64_t *count = NEWN(e->scratch, int64_t, e->n->nin + 1);
  for (int i = 0; i < e->n->nin; i++) {
    dt[i] = g_node(e->g, e->n->in[i])->dt;
    count[i] = shape_count(&g_node(e->g, e->n->in[i])->shape);
  }
  extern_eval(e->n->ext, e->n->nin, dt, count, e->in, e->n->dt, &e->n->shape, e->out);
}

static void eval_lapack(Eval *e) {
  LapackSpec s = lapack_spec(e->g, e->n);
  int info;
  lapack_eval(&s, e->in[0], e->n->nin > 1 ? e->in[1] : NULL, e->out, &info);
  round_all(e);
}

/* Operators with an evaluator of their own; other elementwise rows walk their expression. */
typedef void EvalFn(Eval *);
static EvalFn *const eval_fn[OP_COUNT] = {
    [OP_cast] = eval_cast,           [OP_stop_gradient] = eval_copy,
    [OP_fill] = eval_fill,           [OP_iota] = eval_iota,
    [OP_random_bits] = eval_random,  [OP_reshape] = eval_copy,
    [OP_transpose] = eval_transpose, [OP_broadcast] = eval_broadcast,
    [OP_slice] = eval_slice,         [OP_pad] = eval_pad,
    [OP_concat] = eval_concat,       [OP_reverse] = eval_reverse,
    [OP_window] = eval_window,       [OP_fold] = eval_fold,
    [OP_reduce_sum] = eval_reduce,   [OP_reduce_max] = eval_reduce,
    [OP_reduce_min] = eval_reduce,   [OP_reduce_m2] = eval_reduce,
    [OP_reduce_mean] = eval_reduce,  [OP_argmax] = eval_reduce,
    [OP_dot_general] = eval_dot,     [OP_conv2d] = eval_conv,
    [OP_conv2d_dx] = eval_conv,      [OP_conv2d_dw] = eval_conv,
    [OP_gather] = eval_gather,       [OP_scatter_add] = eval_scatter,
    [OP_scatter_set] = eval_scatter, [OP_scatter_mul] = eval_scatter,
    [OP_scatter_min] = eval_scatter, [OP_scatter_max] = eval_scatter,
    [OP_argsort] = eval_argsort,     [OP_extern] = eval_extern,
};

static void eval_node(const Graph *g, Val v, double *const *value, double *out, bool rounds) {
  const Node *n = g_node(g, v);
  OpKind kind = op_table[n->op].kind;
  EvalFn *fn = eval_fn[n->op]        ? eval_fn[n->op]
               : kind == KIND_MAP    ? eval_map
               : kind == KIND_LAPACK ? eval_lapack
                                     : NULL;
  if (!fn) bug("interpreter: operator %s cannot be evaluated", op_table[n->op].name);
  Arena *scratch = arena_new();
  Eval e = {.g = g, .n = n, .out = out, .scratch = scratch, .rounds = rounds};
  e.count = shape_count(&n->shape);
  e.in = NEWN(scratch, const double *, n->nin + 1);
  for (int i = 0; i < n->nin; i++) {
    e.in[i] = value[n->in[i]];
    if (i < 2) e.x[i] = g_node(g, n->in[i]);
  }
  fn(&e);
  arena_free(scratch);
}

/* The value of one of the processes that go through the graph together; a process by itself stands for all of them. */
static void eval_between(const Graph *g, Val v, double **const *value, int ranks, int rank, bool rounds) {
  const Node *n = g_node(g, v);
  int all = (int)collective_ranks(n);
  Arena *scratch = arena_new();
  const double **in = NEWN(scratch, const double *, all + 1);
  if (ranks > 1 && all > 1 && all != ranks)
    bug("interpreter: %s of %d ranks among %d", op_table[n->op].name, all, ranks);
  for (int r = 0; r < all; r++) in[r] = value[all == 1 ? rank : ranks > 1 ? r : 0][n->in[0]];
  Eval e = {.n = n, .out = value[rank][v], .count = shape_count(&n->shape), .rounds = rounds};
  collective_eval(n, &g_node(g, n->in[0])->shape, in, all == 1 ? 0 : rank, e.out);
  round_all(&e);
  arena_free(scratch);
}

/* Index of the last node that reads each value; the number of nodes for outputs and what loops read; -1 for values
   nothing needs. */
static int *last_uses(const Graph *g, const GraphLoops *loops, Arena *a) {
  int n = g->node.n, *last = NEWN(a, int, n + 1);
  bool *live = NEWN(a, bool, n + 1);
  graph_mark_live(g, live);
  for (int v = 0; v < n; v++) last[v] = live[v] && loops->of[v] >= 0 ? n : -1;
  for (int i = 0; i < g->outputs.n; i++) last[g->outputs.v[i].val] = n;
  for (int v = n - 1; v >= 0; v--)
    for (int i = 0; live[v] && i < g_node(g, v)->nin; i++) {
      Val u = g_node(g, v)->in[i];
      int use = loops->of[v] >= 0 || scan_closes(g_node(g, v)) ? n : v;
      if (last[u] < use) last[u] = use;
    }
  for (int v = 0; v < n; v++)
    if (live[v] && last[v] < 0) last[v] = n;
  return last;
}

typedef struct {
  const Graph *g;
  const GraphLoops *loops;
  int ranks;
  bool rounds;
  const int *last;
  double ***value; /* per rank and value */
} Walk;

static void release(const Walk *w, Val v) {
  for (int r = 0; r < w->ranks && g_node(w->g, v)->op != OP_input; r++) {
    free(w->value[r][v]);
    w->value[r][v] = NULL;
  }
}

/* Memory of node v for every rank, zeroed. */
static void prepare(const Walk *w, Val v) {
  size_t count = (size_t)shape_count(&g_node(w->g, v)->shape) + 1;
  for (int r = 0; r < w->ranks; r++) {
    double **x = &w->value[r][v];
    if (!*x) *x = xcalloc(count, sizeof **x, "the interpreter's values");
    else memset(*x, 0, count * sizeof **x);
  }
}

static void eval_at(const Walk *w, Val v) {
  bool between = op_table[g_node(w->g, v)->op].kind == KIND_COLLECTIVE;
  prepare(w, v);
  for (int r = 0; r < w->ranks; r++)
    if (between) eval_between(w->g, v, w->value, w->ranks, r, w->rounds);
    else eval_node(w->g, v, w->value[r], w->value[r][v], w->rounds);
}

/* ---- loops ---- */
static bool of_loop(const Walk *w, Val v, int loop) {
  const Node *n = g_node(w->g, v);
  Ints path = scan_path(w->g, n);
  const Ints *own = &w->loops->loop[loop].path;
  return w->last[v] >= 0 && path.n == own->n && !memcmp(path.v, own->v, sizeof *own->v * (size_t)own->n);
}

/* What a scan node makes of step `step`: of a carry its beginning. */
static void scan_step(const Walk *w, Val v, int64_t step, int64_t steps) {
  const Node *n = g_node(w->g, v);
  size_t part = (size_t)shape_count(&g_node(w->g, n->op == OP_scan_out ? n->in[0] : v)->shape);
  int64_t at = scan_reversed(n) ? steps - 1 - step : step;
  for (int r = 0; r < w->ranks; r++) {
    double *to = w->value[r][v];
    const double *from = w->value[r][n->in[n->op == OP_scan_next]];
    if (n->op == OP_scan_in) from += (size_t)at * part;
    if (n->op == OP_scan_out) to += (size_t)at * part;
    memcpy(to, from, part * sizeof *to);
  }
}

static void walk_range(const Walk *w, int loop, Val from, Val to);

static void walk_loop(const Walk *w, int loop) {
  const GraphLoop *l = &w->loops->loop[loop];
  int n = w->g->node.n;
  for (Val v = 0; v < n; v++)
    if (of_loop(w, v, loop)) prepare(w, v);
  for (int64_t step = 0; step < l->steps; step++) {
    for (Val v = 0; v < l->close; v++) {
      if (!of_loop(w, v, loop)) continue;
      OpId op = g_node(w->g, v)->op;
      if (op == OP_scan_in || (op == OP_scan_carry && !step)) scan_step(w, v, step, l->steps);
    }
    walk_range(w, loop, 0, l->close);
    for (Val v = l->close; v < n; v++)
      if (of_loop(w, v, loop)) scan_step(w, v, step, l->steps);
    for (Val v = l->close; v < n && step + 1 < l->steps;
         v++) /* all of them are read before one is replaced */
      if (of_loop(w, v, loop) && g_node(w->g, v)->op == OP_scan_next)
        for (int r = 0; r < w->ranks; r++)
          memcpy(w->value[r][g_node(w->g, v)->in[0]], w->value[r][v],
                 (size_t)shape_count(&g_node(w->g, v)->shape) * sizeof(double));
  }
}

/* The values of [from, to) that are of the body of `loop`; -1: of none. */
static void walk_range(const Walk *w, int loop, Val from, Val to) {
  const Graph *g = w->g;
  for (Val v = from; v < to; v++) {
    const Node *n = g_node(g, v);
    if (w->last[v] < 0 || w->loops->of[v] != loop || n->op == OP_input) continue;
    if (op_table[n->op].kind != KIND_SCAN) eval_at(w, v);
    for (int l = 0; scan_closes(n) && l < w->loops->n; l++)
      if (of_loop(w, v, l)) {
        bool first = true; /* of those that are alive */
        for (Val u = w->loops->loop[l].close; u < v && first; u++) first = !of_loop(w, u, l);
        if (first) walk_loop(w, l);
      }
    for (int i = 0; i < n->nin; i++)
      if (w->last[n->in[i]] == v) release(w, n->in[i]);
  }
}

void graph_interp_ranks(const Graph *g, int ranks, const Tensor64 *const *in, Tensor64 *const *out, Arena *a,
                        bool rounds) {
  Arena *tmp = arena_new();
  GraphLoops *loops = graph_loops_of(g, tmp);
  Walk w = {.g = g, .loops = loops, .ranks = ranks, .rounds = rounds, .last = last_uses(g, loops, tmp)};
  w.value = NEWN(tmp, double **, ranks);
  for (int r = 0; r < ranks; r++) {
    w.value[r] = NEWN(tmp, double *, g->node.n + 1);
    for (int i = 0; i < g->inputs.n; i++) {
      const Input *input = &g->inputs.v[i];
      if (w.last[input->val] >= 0 && !shape_eq(&in[r][i].shape, &g_node(g, input->val)->shape))
        bug("interpreter: input %s has the wrong shape", input->name);
      w.value[r][input->val] = in[r][i].v;
    }
  }
  walk_range(&w, -1, 0, g->node.n);
  for (int r = 0; r < ranks; r++)
    for (int i = 0; i < g->outputs.n; i++) {
      Val v = g->outputs.v[i].val;
      const Node *n = g_node(g, v);
      int64_t count = shape_count(&n->shape);
      out[r][i] = (Tensor64){.dt = n->dt, .shape = n->shape, .v = NEWN(a, double, count + 1)};
      memcpy(out[r][i].v, w.value[r][v], (size_t)count * sizeof(double));
    }
  for (Val v = 0; v < g->node.n; v++) release(&w, v);
  arena_free(tmp);
}

void graph_interp(const Graph *g, const Tensor64 *in, Tensor64 *out, Arena *a, bool rounds) {
  graph_interp_ranks(g, 1, &in, &out, a, rounds);
}
