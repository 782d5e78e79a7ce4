/* Type inference: one function a family of operators checks operands and attributes and computes the result's
   type. Messages are read by users under the line of their model, so each names what it got and what it
   needs. */
#include "ir/graph/ops_impl.h"

#include <math.h>
#include <string.h>

/* Sizes beyond this are mistakes, and keeping below it keeps every product in this file within int64. */
static const int64_t max_elements = (int64_t)1 << 40;

bool infer_fail(char *err, size_t errlen, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err, errlen, fmt, ap);
  va_end(ap);
  return false;
}

typedef struct {
  char s[128];
} TypeText;

static const Node *operand(const Graph *g, const Node *n, int i) { return &g->node.v[n->in[i]]; }
static TypeText text(const Node *n) {
  TypeText t;
  type_str(n->dt, &n->shape, t.s);
  return t;
}
static TypeText operand_text(const Graph *g, const Node *n, int i) { return text(operand(g, n, i)); }
static TypeText shape_text(DType dt, const Shape *s) {
  TypeText t;
  type_str(dt, s, t.s);
  return t;
}

/* ---- checks shared by the rules ---- */
static const char *accept_words(int accept) {
  static const char *const words[8] = {
      "no",     "a float",         "an integer",         "a float or integer",
      "a bool", "a float or bool", "an integer or bool", "any"};
  return words[accept & 7];
}

static bool accepts(int accept, DType dt) {
  return (accept & A_FLOAT && dtype_is_float(dt)) || (accept & A_INT && dtype_is_int(dt)) ||
         (accept & A_BOOL && dt == DT_BOOL);
}

static bool check_accept(const Graph *g, const Node *n, int i, int accept, char *err, size_t errlen) {
  if (accepts(accept, operand(g, n, i)->dt)) return true;
  return infer_fail(err, errlen, "%s needs %s operand, but operand %d is %s", op_table[n->op].name,
                    accept_words(accept), i + 1, operand_text(g, n, i).s);
}

static bool check_same_dtype(const Graph *g, const Node *n, int i, int j, char *err, size_t errlen) {
  if (operand(g, n, i)->dt == operand(g, n, j)->dt) return true;
  return infer_fail(err, errlen,
                    "operands have types %s and %s, which differ in element type (insert a cast)",
                    operand_text(g, n, i).s, operand_text(g, n, j).s);
}

static bool check_same_shape(const Graph *g, const Node *n, int i, int j, char *err, size_t errlen) {
  const Shape *a = &operand(g, n, i)->shape, *b = &operand(g, n, j)->shape;
  if (shape_eq(a, b)) return true;
  TypeText ta = operand_text(g, n, i), tb = operand_text(g, n, j);
  if (a->rank != b->rank)
    return infer_fail(err, errlen, "operands have shapes %s and %s, which differ in rank", ta.s, tb.s);
  int k = 0;
  while (a->dim[k] == b->dim[k]) k++;
  return infer_fail(err, errlen, "operands have shapes %s and %s, which differ in axis %d", ta.s, tb.s, k);
}

static bool check_rank(const Graph *g, const Node *n, int i, int rank, const char *form, char *err,
                       size_t errlen) {
  if (operand(g, n, i)->shape.rank == rank) return true;
  return infer_fail(err, errlen, "%s needs %s, but operand %d is %s", op_table[n->op].name, form, i + 1,
                    operand_text(g, n, i).s);
}

static bool check_length(const Node *n, int a, int want, char *err, size_t errlen) {
  char name[32];
  if (n->attr[a].n == want) return true;
  return infer_fail(err, errlen, "%s of %s needs %d entr%s, but has %d", op_attr_name(n->op, a, name),
                    op_table[n->op].name, want, want == 1 ? "y" : "ies", n->attr[a].n);
}

/* Every entry of attribute a is at least min. */
static bool check_least(const Node *n, int a, int64_t min, char *err, size_t errlen) {
  char name[32];
  for (int i = 0; i < n->attr[a].n; i++)
    if (n->attr[a].v[i] < min || n->attr[a].v[i] > max_elements)
      return infer_fail(err, errlen, "%s of %s is %lld, but must be %s %lld", op_attr_name(n->op, a, name),
                        op_table[n->op].name, (long long)n->attr[a].v[i],
                        n->attr[a].v[i] < min ? "at least" : "at most",
                        (long long)(n->attr[a].v[i] < min ? min : max_elements));
  return true;
}

/* Attribute a lists distinct axes of a value of type t, marked in used[]. */
static bool check_axes(const Node *n, int a, const Node *t, bool used[MAX_RANK], char *err, size_t errlen) {
  char name[32];
  for (int i = 0; i < n->attr[a].n; i++) {
    int64_t k = n->attr[a].v[i];
    if (k < 0 || k >= t->shape.rank)
      return infer_fail(err, errlen, "axis %lld in %s of %s is outside %s, which has %d ax%s", (long long)k,
                        op_attr_name(n->op, a, name), op_table[n->op].name, text(t).s, t->shape.rank,
                        t->shape.rank == 1 ? "is" : "es");
    if (used[k])
      return infer_fail(err, errlen, "axis %lld of %s is named twice by %s", (long long)k, text(t).s,
                        op_table[n->op].name);
    used[k] = true;
  }
  return true;
}

/* Sets of axes stand in one order, so that equal nodes look equal (ir/graph/graph.c sorts them). */
static bool check_increasing(const Node *n, int a, char *err, size_t errlen) {
  char name[32];
  for (int i = 1; i < n->attr[a].n; i++)
    if (n->attr[a].v[i] <= n->attr[a].v[i - 1])
      return infer_fail(err, errlen, "%s of %s must increase, but has %lld after %lld",
                        op_attr_name(n->op, a, name), op_table[n->op].name, (long long)n->attr[a].v[i],
                        (long long)n->attr[a].v[i - 1]);
  return true;
}

static bool check_one_axis(const Node *n, int a, const Node *t, char *err, size_t errlen) {
  bool used[MAX_RANK] = {false};
  return check_length(n, a, 1, err, errlen) && check_axes(n, a, t, used, err, errlen);
}

/* The extents are positive and their product is reasonable. */
static bool check_extents(const Node *n, char *err, size_t errlen) {
  const Shape *s = &n->shape;
  if (s->rank < 0 || s->rank > MAX_RANK)
    return infer_fail(err, errlen, "%s would have %d axes, but at most %d are supported",
                      op_table[n->op].name, s->rank, MAX_RANK);
  int64_t count = 1;
  for (int i = 0; i < s->rank; i++) {
    if (s->dim[i] < 0)
      return infer_fail(err, errlen, "%s has the negative extent %lld in axis %d", op_table[n->op].name,
                        (long long)s->dim[i], i);
    if (s->dim[i] == 0)
      return infer_fail(err, errlen, "%s would be zero-size: %s has extent 0 in axis %d",
                        op_table[n->op].name, text(n).s, i);
    if (s->dim[i] > max_elements / count)
      return infer_fail(err, errlen, "%s would have more than 2^40 elements: %s", op_table[n->op].name,
                        text(n).s);
    count *= s->dim[i];
  }
  return true;
}

static bool need_shape(const Node *n, char *err, size_t errlen) {
  if (n->shape.rank != SHAPE_UNKNOWN) return check_extents(n, err, errlen);
  return infer_fail(err, errlen, "%s needs a result type", op_table[n->op].name);
}

/* Adds an extent to the result, counting (but not storing) what exceeds MAX_RANK; check_extents reports that. */
static void push_dim(Shape *s, int64_t d) {
  if (s->rank < MAX_RANK) s->dim[s->rank] = d;
  s->rank++;
}

const char *imm_misfit(DType dt, Imm v) {
  if (dtype_is_float(dt)) return NULL;
  if (dt == DT_BOOL) return v == 0 || v == 1 ? NULL : "a bool is 0 or 1";
  if (!(v == floorl(v))) return "an integer has no fraction";
  return v >= dtype_least(dt) && v <= dtype_most(dt) ? NULL : "it is out of the type's range";
}

const char *init_misfit(DType dt, const Init *init) {
  if (init->kind == INIT_FILL) return imm_misfit(dt, init->a);
  bool random = init->kind == INIT_UNIFORM || init->kind == INIT_NORMAL;
  return random && !dtype_is_float(dt) ? "random numbers are floats" : NULL;
}

static bool check_imm(const Node *n, DType dt, char *err, size_t errlen) {
  const char *why = imm_misfit(dt, n->imm);
  char text[40];
  return !why || infer_fail(err, errlen, "value %s of %s cannot be %s: %s", imm_text(n->imm, text),
                            op_table[n->op].name, dtype_name(dt), why);
}

/* ---- elementwise ---- */
static bool infer_map(const Graph *g, Node *n, char *err, size_t errlen) {
  const OpRow *row = &op_table[n->op];
  int first = row->type == TY_SELECT ? 1 : 0;
  if (first && !check_accept(g, n, 0, A_BOOL, err, errlen)) return false;
  for (int i = first; i < n->nin; i++) {
    if (!check_accept(g, n, i, row->accept, err, errlen)) return false;
    if (!check_same_dtype(g, n, first, i, err, errlen)) return false;
  }
  for (int i = 1; i < n->nin; i++)
    if (!check_same_shape(g, n, 0, i, err, errlen)) return false;
  n->shape = operand(g, n, 0)->shape;
  if (row->type == TY_BOOL) n->dt = DT_BOOL;
  if (row->type == TY_SAME || row->type == TY_SELECT) n->dt = operand(g, n, first)->dt;
  if (n->dt == DT_NONE) return infer_fail(err, errlen, "%s needs a result type", row->name);
  return true;
}

bool infer_grad(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *loss = operand(g, n, 0), *v = operand(g, n, 1);
  if (loss->shape.rank != 0 || !dtype_is_float(loss->dt))
    return infer_fail(err, errlen, "only a scalar float can be differentiated, but the loss is %s",
                      text(loss).s);
  if (!dtype_is_float(v->dt))
    return infer_fail(err, errlen, "only a float can be differentiated by, but the variable is %s",
                      text(v).s);
  n->dt = v->dt;
  n->shape = v->shape;
  return true;
}

/* ---- sources ---- */
bool infer_iota(const Graph *g, Node *n, char *err, size_t errlen) {
  (void)g;
  if (!need_shape(n, err, errlen) || !check_one_axis(n, 0, n, err, errlen)) return false;
  if (n->dt == DT_NONE || n->dt == DT_BOOL)
    return infer_fail(err, errlen, "iota gives numbers, not %s",
                      n->dt == DT_BOOL ? "bools" : "an unknown type");
  return true;
}

bool infer_random(const Graph *g, Node *n, char *err, size_t errlen) {
  for (int i = 0; i < 2; i++)
    if (operand(g, n, i)->dt != DT_I64 || operand(g, n, i)->shape.rank != 0)
      return infer_fail(err, errlen, "random_bits needs the scalar i64 %s, but operand %d is %s",
                        i ? "step" : "seed", i + 1, operand_text(g, n, i).s);
  if (!check_length(n, 0, 1, err, errlen)) return false;
  if (n->attr[0].v[0] < 0 || n->attr[0].v[0] > UINT32_MAX)
    return infer_fail(err, errlen, "stream %lld of random_bits is not a 32-bit number",
                      (long long)n->attr[0].v[0]);
  if (!need_shape(n, err, errlen)) return false;
  n->dt = DT_U32;
  return true;
}

/* ---- views ---- */
bool infer_reshape(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  n->dt = x->dt;
  if (!need_shape(n, err, errlen)) return false;
  if (shape_count(&x->shape) == shape_count(&n->shape)) return true;
  return infer_fail(err, errlen, "cannot reshape %s to %s: %lld elements are not %lld", text(x).s, text(n).s,
                    (long long)shape_count(&x->shape), (long long)shape_count(&n->shape));
}

bool infer_transpose(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  bool used[MAX_RANK] = {false};
  if (n->attr[0].n != x->shape.rank)
    return infer_fail(err, errlen, "transpose of %s needs %d axes in perm, but has %d", text(x).s,
                      x->shape.rank, n->attr[0].n);
  if (!check_axes(n, 0, x, used, err, errlen)) return false;
  n->dt = x->dt;
  n->shape.rank = x->shape.rank;
  for (int i = 0; i < x->shape.rank; i++) n->shape.dim[i] = x->shape.dim[n->attr[0].v[i]];
  return true;
}

bool infer_broadcast(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  const Ints *dims = &n->attr[0];
  n->dt = x->dt;
  if (!need_shape(n, err, errlen)) return false;
  if (dims->n != x->shape.rank)
    return infer_fail(err, errlen, "cannot broadcast %s to %s: dims names %d axes for %d", text(x).s,
                      text(n).s, dims->n, x->shape.rank);
  for (int i = 0; i < dims->n; i++) {
    int64_t k = dims->v[i];
    if (k < 0 || k >= n->shape.rank)
      return infer_fail(err, errlen, "cannot broadcast %s to %s: there is no axis %lld", text(x).s, text(n).s,
                        (long long)k);
    if (i > 0 && k <= dims->v[i - 1])
      return infer_fail(err, errlen, "cannot broadcast %s to %s: dims must increase, but has %lld after %lld",
                        text(x).s, text(n).s, (long long)k, (long long)dims->v[i - 1]);
    if (x->shape.dim[i] != n->shape.dim[k] && x->shape.dim[i] != 1)
      return infer_fail(err, errlen,
                        "cannot broadcast %s to %s: axis %d has extent %lld, which is neither 1 nor %lld",
                        text(x).s, text(n).s, i, (long long)x->shape.dim[i], (long long)n->shape.dim[k]);
  }
  return true;
}

bool infer_slice(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  int rank = x->shape.rank;
  for (int a = 0; a < 3; a++)
    if (!check_length(n, a, rank, err, errlen)) return false;
  if (!check_least(n, 2, 1, err, errlen)) return false;
  n->dt = x->dt;
  n->shape.rank = rank;
  for (int i = 0; i < rank; i++) {
    int64_t start = n->attr[0].v[i], stop = n->attr[1].v[i], step = n->attr[2].v[i];
    if (start < 0 || stop > x->shape.dim[i] || start > stop)
      return infer_fail(err, errlen, "slice %lld:%lld of axis %d is outside %s", (long long)start,
                        (long long)stop, i, text(x).s);
    if (start == stop)
      return infer_fail(err, errlen, "slice %lld:%lld of axis %d of %s is zero-size", (long long)start,
                        (long long)stop, i, text(x).s);
    n->shape.dim[i] = (stop - start + step - 1) / step;
  }
  return true;
}

bool infer_pad(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  for (int a = 0; a < 3; a++)
    if (!check_length(n, a, x->shape.rank, err, errlen) || !check_least(n, a, 0, err, errlen)) return false;
  if (!check_imm(n, x->dt, err, errlen)) return false;
  n->dt = x->dt;
  n->shape.rank = x->shape.rank;
  for (int i = 0; i < x->shape.rank; i++) {
    int64_t d = x->shape.dim[i], in = n->attr[2].v[i];
    if (in > 0 && d - 1 > max_elements / in)
      return infer_fail(err, errlen, "pad of %s would have more than 2^40 elements", text(x).s);
    n->shape.dim[i] = n->attr[0].v[i] + d + (d - 1) * in + n->attr[1].v[i];
  }
  return true;
}

bool infer_concat(const Graph *g, Node *n, char *err, size_t errlen) {
  if (n->nin < 1) return infer_fail(err, errlen, "concat needs at least one operand");
  const Node *x = operand(g, n, 0);
  if (!check_one_axis(n, 0, x, err, errlen)) return false;
  int axis = (int)n->attr[0].v[0];
  n->dt = x->dt;
  n->shape = x->shape;
  for (int i = 1; i < n->nin; i++) {
    const Shape *s = &operand(g, n, i)->shape;
    if (!check_same_dtype(g, n, 0, i, err, errlen)) return false;
    TypeText ta = text(x), tb = operand_text(g, n, i);
    if (s->rank != x->shape.rank)
      return infer_fail(err, errlen, "concat of %s and %s, which differ in rank", ta.s, tb.s);
    for (int k = 0; k < s->rank; k++)
      if (k != axis && s->dim[k] != x->shape.dim[k])
        return infer_fail(err, errlen, "concat of %s and %s along axis %d, which also differ in axis %d",
                          ta.s, tb.s, axis, k);
    n->shape.dim[axis] += s->dim[axis];
    if (n->shape.dim[axis] > max_elements) break; /* reported by check_extents */
  }
  return true;
}

bool infer_reverse(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  bool used[MAX_RANK] = {false};
  n->dt = x->dt;
  n->shape = x->shape;
  return check_axes(n, 0, x, used, err, errlen) && check_increasing(n, 0, err, errlen);
}

/* Number of positions of a window of size k over extent d; 0 when it does not fit. */
static int64_t window_count(int64_t d, int64_t k, int64_t stride, int64_t pad) {
  return d + 2 * pad < k ? 0 : (d + 2 * pad - k) / stride + 1;
}

/* The three lists (what, stride, pad) have one entry for each of the last axes. */
static bool check_window_attrs(const Node *n, char *err, size_t errlen) {
  if (n->attr[0].n < 1) return infer_fail(err, errlen, "%s needs at least one axis", op_table[n->op].name);
  return check_length(n, 1, n->attr[0].n, err, errlen) && check_length(n, 2, n->attr[0].n, err, errlen) &&
         check_least(n, 0, 1, err, errlen) && check_least(n, 1, 1, err, errlen) &&
         check_least(n, 2, 0, err, errlen);
}

bool infer_window(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  const Ints *size = &n->attr[0], *stride = &n->attr[1], *pad = &n->attr[2];
  if (!check_window_attrs(n, err, errlen) || !check_imm(n, x->dt, err, errlen)) return false;
  int lead = x->shape.rank - size->n;
  if (lead < 0)
    return infer_fail(err, errlen, "window over %d axes needs an operand with as many, but got %s", size->n,
                      text(x).s);
  n->dt = x->dt;
  n->shape.rank = 0;
  for (int i = 0; i < lead; i++) push_dim(&n->shape, x->shape.dim[i]);
  for (int i = 0; i < size->n; i++) {
    int64_t o = window_count(x->shape.dim[lead + i], size->v[i], stride->v[i], pad->v[i]);
    if (o < 1)
      return infer_fail(
          err, errlen,
          "window of size %lld does not fit axis %d of %s padded by %lld: the result is zero-size",
          (long long)size->v[i], lead + i, text(x).s, (long long)pad->v[i]);
    push_dim(&n->shape, o);
  }
  for (int i = 0; i < size->n; i++) push_dim(&n->shape, size->v[i]);
  return true;
}

bool infer_fold(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  const Ints *extent = &n->attr[0], *stride = &n->attr[1], *pad = &n->attr[2];
  if (!check_window_attrs(n, err, errlen)) return false;
  if (!check_accept(g, n, 0, A_FLOAT | A_INT, err, errlen)) return false;
  int lead = x->shape.rank - 2 * extent->n;
  if (lead < 0)
    return infer_fail(err, errlen, "fold over %d axes needs an operand with %d, but got %s", extent->n,
                      2 * extent->n, text(x).s);
  n->dt = x->dt;
  n->shape.rank = 0;
  for (int i = 0; i < lead; i++) push_dim(&n->shape, x->shape.dim[i]);
  for (int i = 0; i < extent->n; i++) {
    int64_t size = x->shape.dim[lead + extent->n + i];
    int64_t o = window_count(extent->v[i], size, stride->v[i], pad->v[i]);
    if (o != x->shape.dim[lead + i])
      return infer_fail(
          err, errlen,
          "fold of %s: extent %lld has %lld windows of size %lld at stride %lld padded by %lld, not %lld",
          text(x).s, (long long)extent->v[i], (long long)o, (long long)size, (long long)stride->v[i],
          (long long)pad->v[i], (long long)x->shape.dim[lead + i]);
    push_dim(&n->shape, extent->v[i]);
  }
  return true;
}

/* ---- reductions ---- */
static bool drop_axes(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  bool used[MAX_RANK] = {false};
  if (!check_axes(n, 0, x, used, err, errlen) || !check_increasing(n, 0, err, errlen)) return false;
  n->shape.rank = 0;
  for (int i = 0; i < x->shape.rank; i++)
    if (!used[i]) push_dim(&n->shape, x->shape.dim[i]);
  return true;
}

bool infer_reduce(const Graph *g, Node *n, char *err, size_t errlen) {
  int accept = n->op == OP_reduce_m2 || n->op == OP_reduce_mean ? A_FLOAT : A_FLOAT | A_INT;
  n->dt = operand(g, n, 0)->dt;
  return check_accept(g, n, 0, accept, err, errlen) && drop_axes(g, n, err, errlen);
}

bool infer_argmax(const Graph *g, Node *n, char *err, size_t errlen) {
  n->dt = DT_I64;
  return check_accept(g, n, 0, A_FLOAT | A_INT, err, errlen) &&
         check_one_axis(n, 0, operand(g, n, 0), err, errlen) && drop_axes(g, n, err, errlen);
}

/* ---- contractions ---- */
/* Operands are floats of one type, which is the result's. f32 and a narrow type may mix: what is summed is f32
   (products of narrow floats are exact there), and the result is either, as asked for; narrow where both operands
   are and f32 else by default. */
static bool contraction_dtype(const Graph *g, Node *n, char *err, size_t errlen) {
  for (int i = 0; i < 2; i++)
    if (!check_accept(g, n, i, A_FLOAT, err, errlen)) return false;
  DType a = operand(g, n, 0)->dt, b = operand(g, n, 1)->dt;
  DType narrow = dtype_is_narrow(a) ? a : dtype_is_narrow(b) ? b : n->dt == DT_F16 ? DT_F16 : DT_BF16;
  bool small = (a == DT_F32 || a == narrow) && (b == DT_F32 || b == narrow);
  if (!small && !check_same_dtype(g, n, 0, 1, err, errlen)) return false;
  if (!small || (n->dt != DT_F32 && n->dt != narrow)) n->dt = small && a != b ? DT_F32 : a;
  return true;
}

bool infer_dot(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!contraction_dtype(g, n, err, errlen)) return false;
  const Node *x[2] = {operand(g, n, 0), operand(g, n, 1)};
  const Ints *batch = &n->attr[0], *contract = &n->attr[2]; /* [0] left, [1] right */
  bool used[2][MAX_RANK] = {{false}, {false}};
  TypeText ta = text(x[0]), tb = text(x[1]);
  for (int s = 0; s < 2; s++)
    if (!check_axes(n, s, x[s], used[s], err, errlen) || !check_axes(n, 2 + s, x[s], used[s], err, errlen))
      return false;
  const Ints *pair[2] = {batch, contract};
  static const char *const what[2] = {"batch", "contracted"};
  for (int p = 0; p < 2; p++) {
    const Ints *l = &pair[p][0], *r = &pair[p][1];
    if (l->n != r->n)
      return infer_fail(err, errlen, "dot_general of %s and %s names %d and %d %s axes", ta.s, tb.s, l->n,
                        r->n, what[p]);
    for (int i = 0; i < l->n; i++)
      if (x[0]->shape.dim[l->v[i]] != x[1]->shape.dim[r->v[i]])
        return infer_fail(
            err, errlen,
            "operands have shapes %s and %s, whose %s axes %lld and %lld have extents %lld and %lld", ta.s,
            tb.s, what[p], (long long)l->v[i], (long long)r->v[i], (long long)x[0]->shape.dim[l->v[i]],
            (long long)x[1]->shape.dim[r->v[i]]);
  }
  n->shape.rank = 0;
  for (int i = 0; i < batch[0].n; i++) push_dim(&n->shape, x[0]->shape.dim[batch[0].v[i]]);
  for (int s = 0; s < 2; s++)
    for (int i = 0; i < x[s]->shape.rank; i++)
      if (!used[s][i]) push_dim(&n->shape, x[s]->shape.dim[i]);
  return true;
}

ConvAttrs conv_attrs(const Node *n) {
  const Ints *pad = &n->attr[1], *dilation = &n->attr[op_attr_index(n->op, "dilation")],
             *groups = &n->attr[op_attr_index(n->op, "groups")];
  ConvAttrs c = {.groups = groups->n ? groups->v[0] : 1};
  for (int i = 0; i < 2; i++) {
    c.stride[i] = n->attr[0].v[i];
    c.dilation[i] = dilation->n ? dilation->v[i] : 1;
    c.lo[i] = pad->v[pad->n == 4 ? 2 * i : i], c.hi[i] = pad->v[pad->n == 4 ? 2 * i + 1 : i];
  }
  return c;
}

/* What the three convolution rows share: rank-4 operands of f32 or bf16, lists of the right lengths. */
static bool conv_common(const Graph *g, Node *n, const char *form0, const char *form1, char *err,
                        size_t errlen) {
  if (!contraction_dtype(g, n, err, errlen)) return false;
  if (n->dt == DT_F64)
    return infer_fail(err, errlen, "%s computes in f32, but operand 1 is %s", op_table[n->op].name,
                      operand_text(g, n, 0).s);
  if (!check_rank(g, n, 0, 4, form0, err, errlen) || !check_rank(g, n, 1, 4, form1, err, errlen) ||
      !check_length(n, 0, 2, err, errlen) || !check_least(n, 0, 1, err, errlen))
    return false;
  int dilation = op_attr_index(n->op, "dilation"), groups = op_attr_index(n->op, "groups");
  if (n->attr[1].n != 2 && n->attr[1].n != 4)
    return infer_fail(err, errlen,
                      "pad of %s is [height, width] or [top, bottom, left, right], but has %d entr%s",
                      op_table[n->op].name, n->attr[1].n, n->attr[1].n == 1 ? "y" : "ies");
  return check_least(n, 1, 0, err, errlen) &&
         (!n->attr[dilation].n || check_length(n, dilation, 2, err, errlen)) &&
         check_least(n, dilation, 1, err, errlen) &&
         (!n->attr[groups].n || check_length(n, groups, 1, err, errlen)) &&
         check_least(n, groups, 1, err, errlen);
}

/* Both kinds of channels of a convolution of x and w (or a gradient of it) in whole groups. */
static bool check_groups(const Node *n, int64_t groups, int64_t in, int64_t out, const char *what, TypeText a,
                         TypeText b, char *err, size_t errlen) {
  if (in % groups == 0 && out % groups == 0) return true;
  return infer_fail(err, errlen, "%s of %s %s and %s in %lld groups, which do not divide %lld %s channels",
                    op_table[n->op].name, what, a.s, b.s, (long long)groups,
                    (long long)(in % groups ? in : out), in % groups ? "input" : "output");
}

/* Positions of a kernel of extent k along dimension i of an image of extent d; 0 when it does not fit. */
static int64_t conv_count(const ConvAttrs *c, int i, int64_t d, int64_t k) {
  return window_count(d + c->lo[i] + c->hi[i], (k - 1) * c->dilation[i] + 1, c->stride[i], 0);
}

/* " padded by 1", " padded by 0 and 1, dilated by 2" */
static TypeText geometry_text(const ConvAttrs *c, int i) {
  TypeText t;
  int n = snprintf(t.s, sizeof t.s, c->lo[i] == c->hi[i] ? " padded by %lld" : " padded by %lld and %lld",
                   (long long)c->lo[i], (long long)c->hi[i]);
  if (c->dilation[i] > 1)
    snprintf(t.s + n, sizeof t.s - (size_t)n, ", dilated by %lld,", (long long)c->dilation[i]);
  return t;
}

bool infer_conv(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!conv_common(g, n, "an image x[N,C,H,W]", "a kernel w[K,C,kh,kw]", err, errlen)) return false;
  const Shape *x = &operand(g, n, 0)->shape, *w = &operand(g, n, 1)->shape;
  TypeText tx = operand_text(g, n, 0), tw = operand_text(g, n, 1);
  ConvAttrs c = conv_attrs(n);
  if (!check_groups(n, c.groups, x->dim[1], w->dim[0], "x", tx, tw, err, errlen)) return false;
  if (x->dim[1] != w->dim[1] * c.groups) {
    if (c.groups == 1)
      return infer_fail(err, errlen, "conv2d of x %s and w %s, whose channels (axis 1) are %lld and %lld",
                        tx.s, tw.s, (long long)x->dim[1], (long long)w->dim[1]);
    return infer_fail(
        err, errlen, "conv2d of x %s and w %s in %lld groups: w needs %lld channels (axis 1), but has %lld",
        tx.s, tw.s, (long long)c.groups, (long long)(x->dim[1] / c.groups), (long long)w->dim[1]);
  }
  n->shape = (Shape){4, {x->dim[0], w->dim[0]}};
  for (int i = 0; i < 2; i++) {
    n->shape.dim[2 + i] = conv_count(&c, i, x->dim[2 + i], w->dim[2 + i]);
    if (n->shape.dim[2 + i] < 1)
      return infer_fail(err, errlen,
                        "conv2d of x %s and w %s is zero-size: the kernel does not fit axis %d%s", tx.s, tw.s,
                        2 + i, geometry_text(&c, i).s);
  }
  return true;
}

/* gr is the gradient of a convolution of an image of h x w by a kernel of kh x kw. */
static bool check_geometry(const Node *n, const Node *gr, const int64_t *image, const int64_t *kernel,
                           char *err, size_t errlen) {
  ConvAttrs c = conv_attrs(n);
  for (int i = 0; i < 2; i++) {
    int64_t o = conv_count(&c, i, image[i], kernel[i]);
    if (gr->shape.dim[2 + i] != o)
      return infer_fail(
          err, errlen,
          "%s: extent %lld convolved by %lld at stride %lld%s gives %lld, but axis %d of g %s has "
          "%lld",
          op_table[n->op].name, (long long)image[i], (long long)kernel[i], (long long)c.stride[i],
          geometry_text(&c, i).s, (long long)o, 2 + i, text(gr).s, (long long)gr->shape.dim[2 + i]);
  }
  return true;
}

bool infer_conv_dx(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!conv_common(g, n, "a gradient g[N,K,OH,OW]", "a kernel w[K,C,kh,kw]", err, errlen)) return false;
  if (!check_length(n, 2, 2, err, errlen) || !check_least(n, 2, 1, err, errlen)) return false;
  const Node *gr = operand(g, n, 0), *w = operand(g, n, 1);
  int64_t groups = conv_attrs(n).groups, channels = w->shape.dim[1] * groups;
  if (gr->shape.dim[1] != w->shape.dim[0])
    return infer_fail(err, errlen, "conv2d_dx of g %s and w %s, whose output channels are %lld and %lld",
                      text(gr).s, text(w).s, (long long)gr->shape.dim[1], (long long)w->shape.dim[0]);
  if (!check_groups(n, groups, channels, w->shape.dim[0], "g", text(gr), text(w), err, errlen)) return false;
  n->shape = (Shape){4, {gr->shape.dim[0], channels, n->attr[2].v[0], n->attr[2].v[1]}};
  return check_geometry(n, gr, n->attr[2].v, w->shape.dim + 2, err, errlen);
}

bool infer_conv_dw(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!conv_common(g, n, "an image x[N,C,H,W]", "a gradient g[N,K,OH,OW]", err, errlen)) return false;
  if (!check_length(n, 2, 2, err, errlen) || !check_least(n, 2, 1, err, errlen)) return false;
  const Node *x = operand(g, n, 0), *gr = operand(g, n, 1);
  int64_t groups = conv_attrs(n).groups;
  if (x->shape.dim[0] != gr->shape.dim[0])
    return infer_fail(err, errlen, "conv2d_dw of x %s and g %s, which differ in axis 0 (the batch)",
                      text(x).s, text(gr).s);
  if (!check_groups(n, groups, x->shape.dim[1], gr->shape.dim[1], "x", text(x), text(gr), err, errlen))
    return false;
  n->shape = (Shape){4, {gr->shape.dim[1], x->shape.dim[1] / groups, n->attr[2].v[0], n->attr[2].v[1]}};
  return check_geometry(n, gr, x->shape.dim + 2, n->attr[2].v, err, errlen);
}

/* ---- data-dependent indexing ---- */
static bool check_index(const Graph *g, const Node *n, int i, char *err, size_t errlen) {
  if (dtype_is_int(operand(g, n, i)->dt)) return true;
  return infer_fail(err, errlen, "%s needs integers as indices, but operand %d is %s", op_table[n->op].name,
                    i + 1, operand_text(g, n, i).s);
}

/* x with its axis replaced by idx's axes. */
static Shape indexed_shape(const Shape *x, const Shape *idx, int axis) {
  Shape s = {0};
  for (int i = 0; i < axis; i++) push_dim(&s, x->dim[i]);
  for (int i = 0; i < idx->rank; i++) push_dim(&s, idx->dim[i]);
  for (int i = axis + 1; i < x->rank; i++) push_dim(&s, x->dim[i]);
  return s;
}

bool infer_gather(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0), *idx = operand(g, n, 1);
  if (!check_index(g, n, 1, err, errlen) || !check_one_axis(n, 0, x, err, errlen)) return false;
  n->dt = x->dt;
  n->shape = indexed_shape(&x->shape, &idx->shape, (int)n->attr[0].v[0]);
  return true;
}

/* Updates for indices along an axis of n, whose type is known. */
static bool check_updates(const Graph *g, const Node *n, char *err, size_t errlen) {
  const Node *idx = operand(g, n, 0), *upd = operand(g, n, 1);
  const char *name = op_table[n->op].name;
  if (!check_one_axis(n, 0, n, err, errlen)) return false;
  Shape want = indexed_shape(&n->shape, &idx->shape, (int)n->attr[0].v[0]);
  if (shape_eq(&want, &upd->shape)) return true;
  if (want.rank > MAX_RANK)
    return infer_fail(err, errlen, "%s into %s at %s would need updates of %d axes", name, text(n).s,
                      text(idx).s, want.rank);
  return infer_fail(err, errlen, "%s into %s along axis %lld at %s needs updates %s, but got %s", name,
                    text(n).s, (long long)n->attr[0].v[0], text(idx).s, shape_text(upd->dt, &want).s,
                    text(upd).s);
}

bool infer_scatter(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!check_index(g, n, 0, err, errlen) || !check_accept(g, n, 1, A_FLOAT | A_INT, err, errlen))
    return false;
  n->dt = operand(g, n, 1)->dt;
  return need_shape(n, err, errlen) && check_updates(g, n, err, errlen);
}

bool infer_scatter_into(const Graph *g, Node *n, char *err, size_t errlen) {
  if (!check_index(g, n, 0, err, errlen) || !check_accept(g, n, 1, A_FLOAT | A_INT, err, errlen) ||
      !check_same_dtype(g, n, 1, 2, err, errlen))
    return false;
  n->dt = operand(g, n, 2)->dt;
  n->shape = operand(g, n, 2)->shape;
  return check_updates(g, n, err, errlen);
}

bool infer_argsort(const Graph *g, Node *n, char *err, size_t errlen) {
  const Node *x = operand(g, n, 0);
  int64_t down = n->attr[0].n ? n->attr[0].v[0] : 0;
  if (!check_accept(g, n, 0, A_FLOAT | A_INT, err, errlen)) return false;
  if (!x->shape.rank) return infer_fail(err, errlen, "argsort of a scalar: there is no axis to sort along");
  if (n->attr[0].n > 1 || (down & ~(int64_t)1)) return infer_fail(err, errlen, "descending is 0 or 1");
  n->dt = DT_I64;
  n->shape = x->shape;
  return true;
}

/* ---- the common entry ---- */
bool infer_node(const Graph *g, Node *n, char *err, size_t errlen) {
  const OpRow *row = &op_table[n->op];
  if (row->nin >= 0 && n->nin != row->nin)
    return infer_fail(err, errlen, "%s takes %d operand%s, but got %d", row->name, row->nin,
                      row->nin == 1 ? "" : "s", n->nin);
  Node given = *n;
  if (row->kind == KIND_MAP) {
    if (!infer_map(g, n, err, errlen)) return false;
  } else if (row->shape) {
    if (!row->shape(g, n, err, errlen)) return false;
  } else if (n->dt == DT_NONE || n->shape.rank == SHAPE_UNKNOWN) { /* input, fill: as annotated */
    return infer_fail(err, errlen, "%s needs a result type", row->name);
  }
  if (!check_extents(n, err, errlen)) return false;
  if (n->op == OP_fill && !check_imm(n, n->dt, err, errlen)) return false;
  bool dt_ok = given.dt == DT_NONE || given.dt == n->dt;
  bool shape_ok = given.shape.rank == SHAPE_UNKNOWN || shape_eq(&given.shape, &n->shape);
  if (dt_ok && shape_ok) return true;
  if (given.dt == DT_NONE) given.dt = n->dt;
  if (given.shape.rank == SHAPE_UNKNOWN) given.shape = n->shape;
  return infer_fail(err, errlen, "the type is given as %s, but %s results in %s", text(&given).s, row->name,
                    text(n).s);
}
