/* Operators with kernels of their own: matrix products, convolution steps, scatter, calls; what they want in memory,
   by kind of operator; and the buffers of values. */
#include <string.h>

#include "ir/graph/lapack.h"
#include "passes/lower/lower.h"

int lower_buf(Lower *l, Val v) {
  if (l->buf[v] >= 0) return l->buf[v];
  const Node *n = g_node(l->g, v);
  Buf b;
  memset(&b, 0, sizeof b);
  b.kind = n->op == OP_input ? BUF_INPUT : BUF_TEMP;
  b.dt = n->dt;
  b.shape = n->shape;
  b.block = l->at.block[v];
  b.bytes = shape_count(&n->shape) * dtype_size(n->dt);
  b.input = n->op == OP_input ? n->input : -1;
  b.result = b.alias = b.within = b.first = b.last = -1;
  b.val = v;
  vec_push(l->arena, &l->p->buf, b);
  return l->buf[v] = l->p->buf.n - 1;
}

static int lower_temp(Lower *l, DType dt, int64_t bytes) {
  Buf b;
  memset(&b, 0, sizeof b);
  b.kind = BUF_TEMP;
  b.dt = dt;
  b.shape.rank = 1;
  b.shape.dim[0] = div_up(bytes, dtype_size(dt));
  b.bytes = b.shape.dim[0] * dtype_size(dt);
  b.input = b.result = b.alias = b.within = b.first = b.last = -1;
  b.val = -1;
  vec_push(l->arena, &l->p->buf, b);
  return l->p->buf.n - 1;
}

void lower_push(Lower *l, Kernel *k, Val root) {
  const Node *n = g_node(l->g, root);
  k->loc = n->loc;
  k->role = n->role;
  k->val = root;
  k->in_loop = l->loops->of[root] + 1;
  vec_push(l->arena, &l->p->kernel, *k);
}

/* ---- dot_general ---- */

typedef struct {
  Ints batch, free, contract; /* operand axes */
} DotAxes;

static DotAxes dot_axes(const Node *n, int i, int rank) {
  DotAxes x;
  memset(&x, 0, sizeof x);
  x.batch = n->attr[i];
  x.contract = n->attr[2 + i];
  for (int a = 0; a < rank; a++) {
    bool used = false;
    for (int j = 0; j < x.batch.n; j++) used |= x.batch.v[j] == a;
    for (int j = 0; j < x.contract.n; j++) used |= x.contract.v[j] == a;
    if (!used) x.free.v[x.free.n++] = a;
  }
  return x;
}

/* Strides of a list of axes as one: the stride of its last axis when the others continue it. */
static bool merged_stride(const Ints *axes, const Shape *s, const Affine *off, int64_t *extent,
                          int64_t *stride) {
  int64_t e = 1, st = 0;
  for (int i = axes->n - 1; i >= 0; i--) {
    int a = (int)axes->v[i];
    if (s->dim[a] == 1) continue;
    if (e == 1) st = off->k[a];
    else if (off->k[a] != st * e) return false;
    e *= s->dim[a];
  }
  *extent = e;
  *stride = st;
  return true;
}

static bool dot_operand(Lower *l, Val v, int i, Val *base, Affine *off, DotAxes *ax,
                        int64_t *mk /* free, contract: extent, stride */) {
  const Node *n = g_node(l->g, v);
  const Shape *s = &g_node(l->g, n->in[i])->shape;
  int dims[MAX_RANK];
  for (int a = 0; a < s->rank; a++) dims[a] = a;
  if (!view_access(l, n->in[i], s->rank, s->dim, dims, base, off)) return false;
  *ax = dot_axes(n, i, s->rank);
  if (!merged_stride(&ax->free, s, off, &mk[0], &mk[1]) ||
      !merged_stride(&ax->contract, s, off, &mk[2], &mk[3]))
    return false;
  if (mk[1] < 0 || mk[3] < 0) return false;
  bool unit = mk[1] == 1 || mk[3] == 1 || mk[0] == 1 || mk[2] == 1;
  if ((mk[0] > 1 && mk[1] == 0) || (mk[2] > 1 && mk[3] == 0)) return false;
  return unit;
}

static void dot_needs(Lower *l, Val v) {
  l->at.block[v] = 0;
  for (int i = 0; i < 2; i++) {
    Val base;
    Affine off;
    DotAxes ax;
    int64_t mk[4];
    if (!dot_operand(l, v, i, &base, &off, &ax, mk)) base = g_node(l->g, v)->in[i];
    decide_stored(l, base, WHY_OPERAND, v);
    l->at.block[base] = 0;
  }
}

static void push_operands(Lower *l, Kernel *k, const int *buf, int n, int nout, Val v) {
  k->buf = NEWN(l->arena, int, n);
  memcpy(k->buf, buf, sizeof(int) * (size_t)n);
  k->nbuf = n;
  k->nout = nout;
  kernel_cost(l->p, k);
  lower_push(l, k, v);
  l->kernel_of[v] = l->p->kernel.n - 1;
}

/* All steps of the contraction that k is the first of; role: buffers of its operands. */
static void push_contraction(Lower *l, Kernel k, int role[CO_ROLES], Val v) {
  ContractionPlan own;
  const ContractionPlan *plan = kernel_plan(l->p, &k, &own);
  for (int i = 0; i < CO_ROLES - CO_TMP0; i++)
    if (plan->tmp_bytes[i]) role[CO_TMP0 + i] = lower_temp(l, plan->tmp, plan->tmp_bytes[i]);
  for (; k.step < plan->nstep; k.step++) {
    const ContractionStep *st = &plan->step[k.step];
    int buf[CO_ROLES];
    for (int i = 0; i < st->nin + st->nout; i++) buf[i] = role[step_operand(st, i)];
    push_operands(l, &k, buf, st->nin + st->nout, st->nout, v);
  }
}

static Refusal operand_first(Val operand, Val v) {
  return (Refusal){.kind = MUST_STORE, .val = operand, .why = WHY_OPERAND, .other = v};
}

/* One stride over all batch axes; false: there is none. */
static bool batch_step(const GemmSpec *s, const int64_t *stride, int64_t *step) {
  *step = s->nbatch ? stride[s->nbatch - 1] : 0;
  for (int i = s->nbatch - 2; i >= 0; i--)
    if (stride[i] != stride[i + 1] * s->batch[i + 1]) return false;
  return *step >= 0;
}

/* The product as OpenBLAS can take it. */
static bool blas_spec(const GemmSpec *s, LapackSpec *b) {
  *b = (LapackSpec){.what = LAPACK_GEMM,
                    .dt = s->dt,
                    .batch = 1,
                    .m = s->m,
                    .n = s->n,
                    .k = s->k,
                    .a_off = s->a_off,
                    .b_off = s->b_off};
  if (s->a16 || s->b16 || s->c16) return false;
  for (int i = 0; i < s->nbatch; i++) b->batch *= s->batch[i];
  if (!batch_step(s, s->a_batch, &b->a_step) || !batch_step(s, s->b_batch, &b->b_step)) return false;
  b->transposed = s->a_k != 1 && s->k > 1;
  b->b_transposed = s->b_n != 1 && s->n > 1;
  if ((b->transposed && s->a_m != 1 && s->m > 1) || (b->b_transposed && s->b_k != 1 && s->k > 1))
    return false;
  b->lda = b->transposed ? s->a_k : s->a_m;
  b->ldb = b->b_transposed ? s->b_n : s->b_k;
  int64_t wide_a = b->transposed ? s->m : s->k, wide_b = b->b_transposed ? s->k : s->n;
  if ((b->transposed ? s->k : s->m) == 1) b->lda = wide_a; /* one row: no matter how far the next would be */
  if ((b->b_transposed ? s->n : s->k) == 1) b->ldb = wide_b;
  return b->lda >= wide_a && b->ldb >= wide_b && !lapack_misfit(b);
}

static Refusal lower_dot(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  DType a = g_node(l->g, n->in[0])->dt, b = g_node(l->g, n->in[1])->dt;
  GemmSpec spec = {.dt = dtype_is_narrow(n->dt) ? DT_F32 : n->dt, .c16 = dtype_is_narrow(n->dt)}, *s = &spec;
  spec.a16 = dtype_is_narrow(a), spec.b16 = dtype_is_narrow(b);
  spec.f16 = a == DT_F16 || b == DT_F16 || n->dt == DT_F16;
  Val base[2];
  Affine off[2];
  DotAxes ax[2];
  int64_t mk[2][4];
  for (int i = 0; i < 2; i++) {
    Val in = n->in[i];
    if (!dot_operand(l, v, i, &base[i], &off[i], &ax[i], mk[i])) {
      if (l->at.stored[in] && !l->at.block[in])
        bug("dot_general %%%d: operand %d is not in product order", v, i);
      return l->at.stored[in] ? (Refusal){.kind = MUST_ROW_MAJOR, .val = in} : operand_first(in, v);
    }
    if (!l->at.stored[base[i]]) return operand_first(base[i], v); /* a view chain ended in a computed value */
  }
  s->m = mk[0][0];
  s->n = mk[1][0];
  s->k = mk[0][2];
  s->a_m = mk[0][1];
  s->a_k = mk[0][3];
  s->b_n = mk[1][1];
  s->b_k = mk[1][3];
  s->a_off = off[0].c;
  s->b_off = off[1].c;
  s->c_n = 1;
  s->c_m = s->n;
  if (ax[0].batch.n > 4) bug("dot_general with %d batch axes", ax[0].batch.n);
  int64_t st = s->m * s->n;
  const Shape *sa = &g_node(l->g, n->in[0])->shape;
  for (int i = ax[0].batch.n - 1; i >= 0; i--) {
    int64_t e = sa->dim[ax[0].batch.v[i]];
    s->batch[i] = e;
    s->a_batch[i] = off[0].k[ax[0].batch.v[i]];
    s->b_batch[i] = off[1].k[ax[1].batch.v[i]];
    s->c_batch[i] = st;
    st *= e;
  }
  s->nbatch = ax[0].batch.n;
  LapackSpec blas;
  if (l->opt.blas && blas_spec(s, &blas)) {
    Kernel k = lapack_kernel(&blas);
    push_operands(l, &k, (int[]){lower_buf(l, base[0]), lower_buf(l, base[1]), lower_buf(l, v)}, 3, 1, v);
    return (Refusal){.kind = BUILT};
  }
  int role[CO_ROLES] = {lower_buf(l, base[0]), lower_buf(l, base[1]), lower_buf(l, v)};
  push_contraction(l, gemm_kernel(s), role, v);
  return (Refusal){.kind = BUILT};
}

/* ---- convolution ---- */

ConvSpec conv_spec_of(const Graph *g, Val v, Val *x, Val *w, Val *y) {
  const Node *n = g_node(g, v);
  ConvSpec s;
  memset(&s, 0, sizeof s);
  switch (n->op) {
  case OP_conv2d: s.kind = CONV_FWD, *x = n->in[0], *w = n->in[1], *y = v; break;
  case OP_conv2d_dx: s.kind = CONV_DX, *y = n->in[0], *w = n->in[1], *x = v; break;
  default: s.kind = CONV_DW, *x = n->in[0], *y = n->in[1], *w = v; break;
  }
  const Shape *xs = &g_node(g, *x)->shape, *ws = &g_node(g, *w)->shape, *ys = &g_node(g, *y)->shape;
  s.n = xs->dim[0], s.c = xs->dim[1], s.h = xs->dim[2], s.w = xs->dim[3];
  s.k = ws->dim[0], s.kh = ws->dim[2], s.kw = ws->dim[3];
  s.oh = ys->dim[2], s.ow = ys->dim[3];
  ConvAttrs at = conv_attrs(n);
  s.groups = at.groups;
  for (int i = 0; i < 2; i++) s.stride[i] = at.stride[i], s.pad[i] = at.lo[i], s.dilation[i] = at.dilation[i];
  return s;
}

static Refusal lower_conv(Lower *l, Val v) {
  Val x, w, y;
  ConvSpec s = conv_spec_of(l->g, v, &x, &w, &y);
  s.algo = l->opt.conv;
  s.xblock = l->at.block[x];
  s.yblock = l->at.block[y];
  DType dt[] = {g_node(l->g, x)->dt, g_node(l->g, w)->dt, g_node(l->g, y)->dt};
  s.xbf16 = dtype_is_narrow(dt[0]), s.wbf16 = dtype_is_narrow(dt[1]), s.ybf16 = dtype_is_narrow(dt[2]);
  s.f16 = dt[0] == DT_F16 || dt[1] == DT_F16 || dt[2] == DT_F16;
  int role[CO_ROLES] = {lower_buf(l, x), lower_buf(l, w), lower_buf(l, y)};
  push_contraction(l, conv_kernel(&s), role, v);
  return (Refusal){.kind = BUILT};
}

/* ---- scatter ---- */

static Refusal lower_scatter(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  int64_t axis = n->attr[0].v[0];
  ScatterJoin join = n->op == OP_scatter_set   ? SCATTER_SET
                     : n->op == OP_scatter_mul ? SCATTER_MUL
                     : n->op == OP_scatter_min ? SCATTER_MIN
                     : n->op == OP_scatter_max ? SCATTER_MAX
                                               : SCATTER_ADD;
  ScatterSpec s = {.outer = 1, .extent = n->shape.dim[axis], .inner = 1, .join = join, .dt = n->dt};
  for (int i = 0; i < n->shape.rank; i++) {
    if (i < axis) s.outer *= n->shape.dim[i];
    if (i > axis) s.inner *= n->shape.dim[i];
  }
  s.nidx = shape_count(&g_node(l->g, n->in[0])->shape);
  s.idx_dt = g_node(l->g, n->in[0])->dt;
  Kernel k = scatter_kernel(&s);
  int buf[4];
  for (int i = 0; i < n->nin; i++) buf[i] = lower_buf(l, n->in[i]);
  buf[n->nin] = lower_buf(l, v);
  push_operands(l, &k, buf, n->nin + 1, 1, v);
  return (Refusal){.kind = BUILT};
}

/* ---- argsort ---- */

static Refusal lower_sort(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  int64_t len = n->shape.dim[n->shape.rank - 1];
  SortSpec s = {.rows = shape_count(&n->shape) / len,
                .n = len,
                .descending = n->attr[0].n && n->attr[0].v[0],
                .dt = g_node(l->g, n->in[0])->dt};
  Kernel k = sort_kernel(&s);
  int buf[3] = {lower_buf(l, n->in[0])}, nbuf = 1;
  int64_t work = sort_chunks(&s) * sort_work(&s);
  if (work) buf[nbuf++] = lower_temp(l, DT_I64, work);
  buf[nbuf++] = lower_buf(l, v);
  push_operands(l, &k, buf, nbuf, nbuf - 1, v);
  return (Refusal){.kind = BUILT};
}

/* ---- between ranks ---- */

static Refusal lower_collective(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  CollectiveSpec s = collective_spec(l->g, n);
  Kernel k = collective_kernel(&s);
  int64_t work = collective_work(&s);
  int buf[3] = {lower_buf(l, n->in[0])}, nbuf = 1;
  if (work) buf[nbuf++] = lower_temp(l, n->dt, work);
  buf[nbuf++] = lower_buf(l, v);
  push_operands(l, &k, buf, nbuf, nbuf - 1, v);
  return (Refusal){.kind = BUILT};
}

/* ---- linear algebra ---- */

static Refusal lower_lapack(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  LapackSpec s = lapack_spec(l->g, n);
  Kernel k = lapack_kernel(&s);
  int64_t work = lapack_work(&s);
  int buf[LAPACK_PLACES], nbuf = 0;
  for (int i = 0; i < n->nin; i++) buf[nbuf++] = lower_buf(l, n->in[i]);
  if (work) buf[nbuf++] = lower_temp(l, n->dt, work);
  buf[nbuf++] = lower_buf(l, v);
  push_operands(l, &k, buf, nbuf, 1 + (work > 0), v);
  return (Refusal){.kind = BUILT};
}

/* ---- extern ---- */

static Refusal lower_extern(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  Kernel k = extern_kernel(&(ExternSpec){*n->ext, n->shape});
  int *buf = NEWN(l->arena, int, n->nin + 1);
  for (int i = 0; i < n->nin; i++) buf[i] = lower_buf(l, n->in[i]);
  buf[n->nin] = lower_buf(l, v);
  push_operands(l, &k, buf, n->nin + 1, 1, v);
  return (Refusal){.kind = BUILT};
}

/* ---- by kind of operator ---- */
static void conv_needs(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  for (int i = 0; i < 2; i++) decide_stored(l, n->in[i], WHY_OPERAND, v);
  l->at.block[n->op == OP_conv2d_dw ? v : n->in[1]] = 0;
}

/* All operands, and the result, row by row. */
static void plain_needs(Lower *l, Val v) {
  const Node *n = g_node(l->g, v);
  l->at.block[v] = 0;
  for (int i = 0; i < n->nin; i++) {
    decide_stored(l, n->in[i], WHY_OPERAND, v);
    l->at.block[n->in[i]] = 0;
  }
}

static void gather_needs(Lower *l, Val v) {
  Val from = g_node(l->g, v)->in[0];
  decide_stored(l, from, WHY_GATHERED, v);
  l->at.block[from] = 0;
  l->at.nohome[from] = true; /* a gather reads other elements than its kernel has computed so far */
}

static const OpLowering table[KIND_EXTERN + 1] = {
    [KIND_SCAN] = {plain_needs, lower_scan},     [KIND_DOT] = {dot_needs, lower_dot},
    [KIND_CONV] = {conv_needs, lower_conv},      [KIND_SCATTER] = {plain_needs, lower_scatter},
    [KIND_LAPACK] = {plain_needs, lower_lapack}, [KIND_COLLECTIVE] = {plain_needs, lower_collective},
    [KIND_SORT] = {plain_needs, lower_sort},     [KIND_EXTERN] = {plain_needs, lower_extern},
    [KIND_GATHER] = {gather_needs, NULL}};

const OpLowering *op_lowering(OpKind k) { return table[k].needs ? &table[k] : NULL; }
bool op_has_kernel(OpKind k) { return table[k].build != NULL; }
