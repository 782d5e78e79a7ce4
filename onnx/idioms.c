/* What one operator of the language says and ONNX says with two nodes. The first of these stays for others who read it. */
#include "onnx/special.h"

#include <math.h>
#include <string.h>

/* The node of that kind that makes operand i; NULL: another one does. */
const OxNode *ox_maker(Import *im, const OxNode *n, int i, const char *op) {
  int v = ox_has(n, i) ? n->in[i] : -1, at = v >= 0 && im->value.v[v].kind == OX_RESULT ? im->value.v[v].made_by : -1;
  const OxNode *m = at >= 0 ? &im->node.v[at] : NULL;
  bool other = !m || strcmp(m->proto->op_type, op) || (m->proto->domain && *m->proto->domain) || !m->nout || m->out[0] != v;
  return other ? NULL : m;
}

static const char *print2(Import *im, const char *fmt, const char *a, const char *b) { return a && b ? arena_printf(im->a, fmt, a, b) : NULL; }

const char *ox_reciprocal(Import *im, const OxNode *n) {
  const OxNode *root = ox_maker(im, n, 0, "Sqrt");
  return root ? print2(im, "rsqrt(%s)%s", ox_tensor(im, root, 0), "") : print2(im, "1 / %s%s", ox_tensor(im, n, 0), "");
}

const char *ox_not(Import *im, const OxNode *n) {
  const OxNode *equal = ox_maker(im, n, 0, "Equal");
  return equal ? print2(im, "%s != %s", ox_any(im, equal, 0), ox_any(im, equal, 1)) : print2(im, "not %s%s", ox_any(im, n, 0), "");
}

/* The node before a Gather that keeps to the rows that there are: the language's gather does so by itself, and jepac export
   writes it as a Clip, since ONNX's does not. */
const OxNode *ox_rows(Import *im, const OxNode *n) {
  const OxNode *clip = ox_maker(im, n, 1, "Clip");
  bool ours = clip && clip->proto->name && !strncmp(clip->proto->name, OX_ROWS, strlen(OX_ROWS)) && im->model->producer_name;
  return ours && !strcmp(im->model->producer_name, "jepac") ? clip : NULL;
}

/* Sums at rows of zeros, as jepac export writes scatter_add. */
const char *ox_scatter_nd(Import *im, const OxNode *n) {
  const OxNode *rows = ox_maker(im, n, 1, "Reshape"), *zeros = ox_maker(im, n, 0, "Expand");
  const AttributeProto *how = ox_attribute(n->proto, "reduction");
  int at[2] = {-1, rows ? rows->in[0] : -1};
  OxNode one = {.in = at, .nin = 2};
  const OxNode *clip = rows ? ox_rows(im, &one) : NULL;
  const OxKnown *zero = zeros ? ox_known(im, zeros->in[0]) : NULL, *shape = zeros ? ox_known(im, zeros->in[1]) : NULL;
  bool plain = clip && how && how->s.len == 3 && !memcmp(how->s.data, "add", 3) && zero && !zero->rank && zero->item[0].num == 0 && shape && shape->n > 0;
  if (!plain) return ox_fill(im, n, "onnx_scatter_nd(@0, @1, @2{reduction})");
  const char *index = ox_tensor(im, clip, 0), *what = ox_tensor(im, n, 2);
  return index && what ? arena_printf(im->a, "prim.scatter_add(%s, %s, axis = 0, shape = %s)", index, what, ox_known_text(im, shape)) : NULL;
}

/* The sum of squared deviations from the mean. The axes' text, or NULL where n is another sum. */
const char *ox_deviations(Import *im, const OxNode *n, const char **x) {
  const OxNode *square = ox_maker(im, n, 0, "Mul");
  if (strcmp(n->proto->op_type, "ReduceSum") || !square || square->in[0] != square->in[1]) return NULL;
  const OxNode *less = ox_maker(im, square, 0, "Sub"), *mean = less ? ox_maker(im, less, 1, "ReduceMean") : NULL;
  if (!mean || mean->in[0] != less->in[0] || !ox_int(mean, "keepdims", 1) || ox_int(n, "keepdims", 1) || mean->nin != 2 || n->nin != 2) return NULL;
  const OxKnown *a = ox_known(im, n->in[1]), *b = ox_known(im, mean->in[1]);
  if (!a || !b || a->n < 1 || strcmp(ox_known_text(im, a), ox_known_text(im, b))) return NULL;
  *x = ox_tensor(im, less, 0);
  return *x ? ox_known_text(im, a) : NULL;
}

const char *ox_range(Import *im, const OxNode *n) {
  const OxKnown *k[3] = {NULL};
  for (int i = 0; i < 3; i++) k[i] = ox_has(n, i) ? ox_known(im, n->in[i]) : NULL;
  bool counts = k[0] && k[1] && k[2] && !k[0]->item[0].text && k[0]->item[0].num == 0 && !k[2]->item[0].text && k[2]->item[0].num == 1;
  DType dt = ox_has(n, 0) ? ox_elem(im->value.v[n->in[0]].elem)->dt : DT_NONE;
  if (!counts || !dtype_is_int(dt)) return ox_fill(im, n, "onnx_range(%0, %1, %2, ^0)");
  const char *end = k[1]->item[0].text ? k[1]->item[0].text : ox_number(im->a, k[1]->item[0].num);
  return dt == DT_I64 ? arena_printf(im->a, "iota([%s], 0)", end) : arena_printf(im->a, "iota([%s], 0, %s)", end, dtype_name(dt));
}

/* A product of several matrices, where jepac export has turned axes for MatMul: one operator again. Others may broadcast there. */
const char *ox_turned_product(Import *im, const OxNode *n) {
  const OxNode *turn[2] = {ox_maker(im, n, 0, "Transpose"), ox_maker(im, n, 1, "Transpose")};
  int rank = ox_rank(im, n, 0);
  const char *x[2], *batch[2], *sum[2];
  if (!im->model->producer_name || strcmp(im->model->producer_name, "jepac") || rank < 3 || rank > MAX_RANK || rank != ox_rank(im, n, 1)) return NULL;
  if (!turn[0] && !turn[1]) return NULL;
  for (int i = 0; i < 2; i++) {
    const AttributeProto *p = turn[i] ? ox_attribute(turn[i]->proto, "perm") : NULL;
    if (turn[i] && (!p || (int)p->n_ints != rank)) return NULL;
    batch[i] = "";
    for (int k = 0; k < rank - 2; k++) batch[i] = arena_printf(im->a, "%s%s%d", batch[i], k ? ", " : "", p ? (int)p->ints[k] : k);
    int at = i ? rank - 2 : rank - 1;
    sum[i] = arena_printf(im->a, "%d", p ? (int)p->ints[at] : at);
    if (!(x[i] = ox_tensor(im, turn[i] ? turn[i] : n, turn[i] ? 0 : i))) return NULL;
  }
  return arena_printf(im->a, "prim.dot_general(%s, %s, lhs_batch = [%s], rhs_batch = [%s], lhs_contract = %s, rhs_contract = %s)", x[0], x[1], batch[0],
                      batch[1], sum[0], sum[1]);
}

/* A mask to be added: zeros (or ones) and what is as good as minus infinity. It is no weight, and blocks share it. */
static const float *mask_of(Import *im, const OxValue *v, int64_t *n) {
  enum { LARGEST = 1 << 24 };
  *n = 1;
  if (!v->tensor || ox_elem(v->elem)->dt != DT_F32 || v->rank < 1) return NULL;
  for (int i = 0; i < v->rank; i++) *n *= v->dim[i];
  DType dt;
  const float *x = *n > 0 && *n <= LARGEST ? ox_tensor_data(im, v->tensor, v->name, &dt) : NULL;
  bool large = false;
  for (int64_t i = 0; i < *n && x; i++) {
    bool most = fabsf(x[i]) > 1e30f || isinf(x[i]);
    if (!most && x[i] != 0 && x[i] != 1) return NULL;
    large |= most;
  }
  return large ? x : NULL;
}

bool ox_is_mask(Import *im, const OxValue *v) {
  int64_t n;
  return mask_of(im, v, &n) != NULL;
}

int ox_same_mask(Import *im, const OxValue *v) {
  int64_t n, m;
  const float *x = mask_of(im, v, &n);
  for (int i = 0; x && i < im->value.n; i++) {
    const OxValue *w = &im->value.v[i];
    if (w->kind != OX_CONST || strchr(w->name, '.') || w->rank != v->rank || memcmp(w->dim, v->dim, sizeof *w->dim * (size_t)w->rank) != 0) continue;
    const float *y = mask_of(im, w, &m);
    if (y && !memcmp(x, y, sizeof *x * (size_t)n)) return i;
  }
  return -1;
}
