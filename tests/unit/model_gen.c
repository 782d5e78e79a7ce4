/* Random valid model files. Every tensor's shape is known while the text is written, so that each equation
   can be chosen to fit; functions keep values of order one and mostly away from kinks. */
#include "tests/unit/model_gen.h"

#include <stdio.h>
#include <string.h>

#include "ir/type.h"

enum { MOST_VARS = 200, MOST_MODULES = 40, MOST_ELEMENTS = 3000 };

typedef struct {
  char name[16];
  Shape s;
} Var;

typedef struct {
  char name[16];
  int rank;
  int64_t in;                       /* extent of the axis it works on: the last, or channels when rank is 4 */
  bool keeps;                       /* the shape */
  bool trains;                      /* has parameters */
  bool slow;                        /* has an average */
  int64_t out, kernel, stride, pad; /* Linear: out; Conv2d: all */
} Module;

typedef struct {
  uint64_t state;
  int64_t batch;
  StrBuf fields, body;
  Var var[MOST_VARS];
  int nvar;
  Module module[MOST_MODULES];
  int nmodule, names;
  bool stopped;
  uint64_t turn; /* of the elementwise forms, so that few models have them all */
} Gen;

static int64_t pick(Gen *g, int64_t n) { /* splitmix64 */
  uint64_t z = (g->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (int64_t)((z ^ (z >> 31)) % (uint64_t)n);
}

static int64_t extent(Gen *g) {
  static const int64_t list[] = {1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 23};
  return list[pick(g, 12)];
}

static const Var *any(Gen *g) {
  int lo = g->nvar > 8 && pick(g, 3) ? g->nvar - 8 : 0; /* mostly recent ones */
  return &g->var[lo + (int)pick(g, g->nvar - lo)];
}

static const Var *any_of_rank(Gen *g, int rank) {
  for (int tries = 0; tries < 12; tries++) {
    const Var *v = any(g);
    if (v->s.rank == rank) return v;
  }
  return NULL;
}

static bool fits(const Gen *g, const Shape *s) {
  return g->nvar < MOST_VARS && shape_count(s) <= MOST_ELEMENTS && s->rank <= 5;
}

/* A new tensor of shape s; the equation's right side follows. NULL when it does not fit. */
static const char *define(Gen *g, Shape s) {
  if (!fits(g, &s)) return NULL;
  Var *v = &g->var[g->nvar++];
  snprintf(v->name, sizeof v->name, "t%d", g->names++);
  v->s = s;
  sb_printf(&g->body, "    %s = ", v->name);
  return v->name;
}

/* ---- elementwise ---- */
/* $ is the operand. */
static void put_with(Gen *g, const char *form, const char *a, const char *b) {
  for (; *form; form++) {
    if (*form == '$') sb_printf(&g->body, "%s", a);
    else if (*form == '@') sb_printf(&g->body, "%s", b);
    else sb_put(&g->body, form, 1);
  }
  sb_printf(&g->body, "\n");
}

static void unary(Gen *g) {
  static const char *const forms[] = {
      "tanh($)",
      "sigmoid($)",
      "gelu($)",
      "silu($)",
      "relu($)",
      "erf($)",
      "sin($)",
      "cos(2 * $)",
      "exp(tanh($))",
      "log($ * $ + 1.5)",
      "sqrt($ * $ + 0.5)",
      "rsqrt($ * $ + 0.7)",
      "abs($)",
      "-$",
      "(abs($) + 0.5) ^ 1.5",
      "floor(4 * $) / 4 + $",
      "sign($) * $ * $",
      "f32(i32(8 * $)) / 8 + tanh($)",
      "2 / (1 + $ * $)",
      "1 - $",
      "f32(not ($ < 0.25)) + $",
      "where($ <= 0.5 and not ($ == 2), $, 0.5 - $)",
      "where($ > 1 or $ < -1, tanh($), $)",
      "where($ != 3, $, 1)",
      "prim.min($, 1.5)",
      "f32(f64($) * 0.5)",
      "prim.neg(maximum($, -2))",
      "log1p(abs($)) - expm1(tanh($))",
      "asin(0.9 * tanh($)) + acos(0.8 * tanh($)) - atan($)",
      "sinh(tanh($)) - cosh(tanh($)) + asinh($)",
      ("acosh(1.5 + abs($)) + atanh(0.9 * tanh($)) - erfinv(0.8 * tanh($)) + 0.1 * digamma(1.5 + abs($)) + "
       "0.1 * lgamma(1.5 + abs($))"),
      "log2($ * $ + 1.5) + exp2(tanh($)) - tan(tanh($))",
      "(ceil(3 * $) + trunc(2 * $) - round(5 * $)) / 8 + tanh($)",
      "0.5 * frac($) + tanh($)",
      "f32(bit_xor(i32(8 * $), 5) + bit_and(i32(4 * $), 6)) / 16 + tanh($)",
      "f32(bit_or(i32(2 * $), 3) - bit_not(i32(3 * $))) / 16 + tanh($)",
      "f32(shift_left(i64(4 * $), 2) - shift_right(i64(64 * $), 3)) / 32 + tanh($)",
      "f32(floor_div(i64(9 * $), 4) - mod(i64(7 * $), 3)) / 8 + tanh($)",
      "clamp($, -1.25, 1.5) + softplus(tanh($))",
      "elu($) - hardswish(0.5 * $)",
      "mish(tanh($)) + softsign($)"};
  const Var *v = any(g);
  const char *name = v->name;
  if (define(g, v->s)) put_with(g, forms[g->turn++ % (sizeof forms / sizeof *forms)], name, "");
}

static void binary(Gen *g) {
  static const char *const forms[] = {"$ + @",
                                      "$ * tanh(@)",
                                      "$ - 0.5 * @",
                                      "maximum($, @)",
                                      "minimum($, @)",
                                      "where($ < @ + 0.03, $, 0.5 * @)",
                                      "$ / (1 + @ * @)",
                                      "(0.5 + abs($)) ^ tanh(@)",
                                      "where($ <= @ + 0.03 and @ != 0.5, @, $)",
                                      "prim.add($, sigmoid(@))",
                                      "atan2($ + 0.3, 1 + @ * @)",
                                      "where(bit_and(i32(9 * $), 1) == 1, tanh(@), $)"};
  const Var *a = any(g), *b = NULL;
  for (int tries = 0; tries < 12 && !b; tries++) {
    const Var *x = any(g);
    if (shape_eq(&x->s, &a->s)) b = x;
  }
  char name[16], other[64];
  snprintf(name, sizeof name, "%s", a->name);
  if (b) snprintf(other, sizeof other, "%s", b->name);
  else if (a->s.rank)
    snprintf(other, sizeof other, "mean(%s, axis = %d, keep = true)", name, (int)pick(g, a->s.rank));
  else snprintf(other, sizeof other, "0.75");
  if (define(g, a->s)) put_with(g, forms[pick(g, (int64_t)(sizeof forms / sizeof *forms))], name, other);
}

/* ---- views ---- */
static void put_list(Gen *g, const int64_t *v, int n) {
  sb_printf(&g->body, "[");
  for (int i = 0; i < n; i++) sb_printf(&g->body, "%s%lld", i ? ", " : "", (long long)v[i]);
  sb_printf(&g->body, "]");
}

static void view(Gen *g) {
  const Var *v = any(g);
  Shape s = v->s, t = s;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  if (!s.rank) return;
  int axis = (int)pick(g, s.rank);
  switch (pick(g, 12)) {
  case 0: {
    int64_t perm[MAX_RANK];
    for (int i = 0; i < s.rank; i++) perm[i] = i;
    for (int i = s.rank - 1; i > 0; i--) {
      int j = (int)pick(g, i + 1);
      int64_t x = perm[i];
      perm[i] = perm[j];
      perm[j] = x;
    }
    for (int i = 0; i < s.rank; i++) t.dim[i] = s.dim[perm[i]];
    if (!define(g, t)) return;
    sb_printf(&g->body, "transpose(%s, ", name);
    put_list(g, perm, s.rank);
    sb_printf(&g->body, ")\n");
    return;
  }
  case 1: { /* slices: a range with a step on one axis, an index on another */
    int64_t step = 1 + pick(g, 2), lo = pick(g, s.dim[axis]);
    t.dim[axis] = (s.dim[axis] - lo + step - 1) / step;
    if (!define(g, t)) return;
    sb_printf(&g->body, "%s[", name);
    for (int i = 0; i < axis; i++) sb_printf(&g->body, ":, ");
    if (step > 1) sb_printf(&g->body, "%lld::%lld]\n", (long long)lo, (long long)step);
    else sb_printf(&g->body, "%lld:]\n", (long long)lo);
    return;
  }
  case 2: {
    for (int i = axis; i + 1 < s.rank; i++) t.dim[i] = s.dim[i + 1];
    t.rank--;
    if (!define(g, t)) return;
    sb_printf(&g->body, "%s[", name);
    for (int i = 0; i < axis; i++) sb_printf(&g->body, ":, ");
    sb_printf(&g->body, "-%lld]\n", (long long)(1 + pick(g, s.dim[axis])));
    return;
  }
  case 3: {
    int64_t lo[MAX_RANK], hi[MAX_RANK], in[MAX_RANK];
    for (int i = 0; i < s.rank; i++) {
      lo[i] = pick(g, 3);
      hi[i] = pick(g, 2);
      in[i] = i == axis ? pick(g, 2) : 0;
      t.dim[i] = s.dim[i] + lo[i] + hi[i] + in[i] * (s.dim[i] - 1);
    }
    if (!define(g, t)) return;
    sb_printf(&g->body, "prim.pad(%s, lo = ", name);
    put_list(g, lo, s.rank);
    sb_printf(&g->body, ", hi = ");
    put_list(g, hi, s.rank);
    sb_printf(&g->body, ", interior = ");
    put_list(g, in, s.rank);
    sb_printf(&g->body, ", value = 0.25)\n");
    return;
  }
  case 4:
    t.dim[axis] *= 3;
    if (define(g, t)) sb_printf(&g->body, "concat([%s * i for i in 1..4], axis = %d)\n", name, axis);
    return;
  case 5:
    if (define(g, t)) sb_printf(&g->body, "reverse(%s, %d)\n", name, axis);
    return;
  case 6: {
    if (s.rank < 2) return;
    int first = (int)pick(g, s.rank - 1);
    t.dim[first] *= s.dim[first + 1];
    for (int i = first + 1; i + 1 < s.rank; i++) t.dim[i] = s.dim[i + 1];
    t.rank--;
    if (define(g, t)) sb_printf(&g->body, "merge(%s, %d, %d)\n", name, first, first + 1);
    return;
  }
  case 7: {
    int64_t by = 2 + pick(g, 6);
    if (s.dim[axis] % by || s.rank == MAX_RANK) return;
    for (int i = s.rank; i > axis + 1; i--) t.dim[i] = s.dim[i - 1];
    t.dim[axis] = by;
    t.dim[axis + 1] = s.dim[axis] / by;
    t.rank++;
    if (define(g, t))
      sb_printf(&g->body, "split(%s, %d, [%lld, %lld])\n", name, axis, (long long)by,
                (long long)(s.dim[axis] / by));
    return;
  }
  case 8: { /* a new axis, repeated */
    if (s.rank == MAX_RANK) return;
    int64_t by = 1 + pick(g, 3);
    for (int i = s.rank; i > axis; i--) t.dim[i] = s.dim[i - 1];
    t.dim[axis] = by;
    t.rank++;
    if (!define(g, t)) return;
    sb_printf(&g->body, "expand(unsqueeze(%s, %d), ", name, axis);
    put_list(g, t.dim, t.rank);
    sb_printf(&g->body, ")\n");
    return;
  }
  case 9: { /* windows along the last axis, and back */
    int64_t size = 1 + pick(g, 3), stride = 1 + pick(g, 2), pad = pick(g, size), d = s.dim[s.rank - 1];
    if (d + 2 * pad < size || s.rank == MAX_RANK) return;
    bool fold = pick(g, 2);
    if (!fold) t.dim[s.rank - 1] = (d + 2 * pad - size) / stride + 1;
    if (!define(g, t)) return;
    if (fold)
      sb_printf(&g->body,
                "prim.fold(tanh(prim.window(%s, size = %lld, stride = %lld, pad = %lld, value = 0)), extent "
                "= %lld, stride = %lld, pad = %lld)\n",
                name, (long long)size, (long long)stride, (long long)pad, (long long)d, (long long)stride,
                (long long)pad);
    else
      sb_printf(&g->body, "%s(prim.window(%s, size = %lld, stride = %lld, pad = %lld, value = -0.5), -1)\n",
                pick(g, 2) ? "max" : "mean", name, (long long)size, (long long)stride, (long long)pad);
    return;
  }
  case 10: {
    int64_t rows = 1 + pick(g, 5);
    t.dim[axis] = rows;
    if (define(g, t)) {
      if (pick(g, 2))
        sb_printf(&g->body, "gather(%s, iota([%lld], 0, i32), axis = %d)\n", name, (long long)rows, axis);
      else
        sb_printf(&g->body, "gather(%s, %lld - iota([%lld], 0), axis = %d)\n", name,
                  (long long)(s.dim[axis] / 2), (long long)rows, axis);
    }
    return;
  }
  default: {
    int64_t rows = 1 + pick(g, 7);
    t.dim[axis] = rows;
    if (!define(g, t)) return;
    sb_printf(&g->body, "scatter(scatter(scatter(scatter(scatter(fill(");
    put_list(g, t.dim, t.rank);
    sb_printf(&g->body, ", 0.5)");
    const char *joins[] = {"add", "mul", "max", "min", "set"},
               *of[] = {"", "1.1 - 0.1 * ", "0.5 * ", "0.9 * ", "0.7 * "};
    for (int k = 0; k < 5; k++)
      sb_printf(&g->body, ", iota([%lld], 0) * %d, %s%s, %d, \"%s\")", (long long)s.dim[axis], 1 + k / 2,
                of[k], name, axis, joins[k]);
    sb_printf(&g->body, "\n");
  }
  }
}

/* ---- reductions ---- */
static void reduce(Gen *g) {
  static const char *const forms[] = {"mean",        "max",       "min",  "logsumexp", "norm", "softmax",
                                      "log_softmax", "normalize", "var",  "argmax",    "sum",  "std",
                                      "argmin",      "any",       "sort", "cumsum",    "prod"};
  const Var *v = any(g);
  if (!v->s.rank) return;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  Shape s = v->s, t = s;
  int axis = (int)pick(g, s.rank), f = (int)pick(g, 17);
  bool same = (f >= 5 && f <= 7) || f == 14 || f == 15;
  if ((f == 8 || f == 11) && s.dim[axis] < 2) return;
  for (int i = axis; i + 1 < s.rank && !same; i++) t.dim[i] = s.dim[i + 1];
  t.rank -= !same;
  if (!define(g, t)) return;
  if (f == 9 || f == 12)
    sb_printf(&g->body, "f32(%s(%s, %d)) / %lld\n", forms[f], name, axis, (long long)s.dim[axis]);
  else if (f == 13)
    sb_printf(&g->body, "f32(any(%s > 0.75, %d)) + 0.25 * max(%s, %d)\n", name, axis, name, axis);
  else if (f >= 14) sb_printf(&g->body, "%s(tanh(%s), %d)%s\n", forms[f], name, axis, f == 15 ? " / 4" : "");
  else if (f == 4 || f == 7 || f == 11)
    sb_printf(&g->body, "%s(%s + 0.1 + %s * %s, %d)\n", forms[f], name, name, name, axis);
  else sb_printf(&g->body, "%s(%s, %d)%s\n", forms[f], name, axis, f == 10 ? " / 4" : "");
}

/* ---- layers ---- */
static Module *known(Gen *g, int rank, int64_t in) {
  for (int tries = 0; tries < 4 && g->nmodule; tries++) {
    Module *m = &g->module[pick(g, g->nmodule)];
    if (m->rank == rank && m->in == in) return m;
  }
  return NULL;
}

static Module *module(Gen *g, int rank, int64_t in, bool keeps) {
  if (g->nmodule == MOST_MODULES) return NULL;
  Module *m = &g->module[g->nmodule++];
  *m = (Module){.rank = rank, .in = in, .out = in, .kernel = 1, .stride = 1, .keeps = keeps, .trains = true};
  snprintf(m->name, sizeof m->name, "m%d", g->nmodule);
  sb_printf(&g->fields, "  %s = ", m->name);
  return m;
}

/* On the last axis: rank 0 in Module. */
static Module *new_dense(Gen *g, int64_t in) {
  Module *m;
  switch (pick(g, 6)) {
  case 0:
    if ((m = module(g, 0, in, true))) sb_printf(&g->fields, "LayerNorm(%lld)\n", (long long)in);
    return m;
  case 1:
    if ((m = module(g, 0, in, true))) sb_printf(&g->fields, "Block(%lld)\n", (long long)in);
    return m;
  case 2:
    if ((m = module(g, 0, in, true)))
      sb_printf(&g->fields, "Sequential(Dropout(0.25), Tanh(), Identity())\n"), m->trains = false;
    return m;
  case 3:
    if ((m = module(g, 0, in, false))) {
      m->out = extent(g);
      sb_printf(&g->fields, "Sequential(Linear(%lld, width), GELU(), Linear(width, %lld, bias = false))\n",
                (long long)in, (long long)m->out);
    }
    return m;
  default:
    if ((m = module(g, 0, in, false))) {
      m->out = extent(g);
      sb_printf(&g->fields, "Linear(%lld, %lld)\n", (long long)in, (long long)m->out);
    }
    return m;
  }
}

static Module *new_image(Gen *g, int64_t in) {
  Module *m;
  switch (pick(g, 6)) {
  case 0:
    if ((m = module(g, 4, in, true)))
      sb_printf(&g->fields, "Sequential(BatchNorm(%lld), ReLU())\n", (long long)in);
    return m;
  case 1:
    if ((m = module(g, 4, in, false))) {
      m->kernel = 2 + pick(g, 2), m->stride = 1 + pick(g, 2), m->pad = pick(g, 2);
      sb_printf(&g->fields, "%s(%lld, %lld, %lld)\n", pick(g, 2) ? "MaxPool2d" : "AvgPool2d",
                (long long)m->kernel, (long long)m->stride, (long long)m->pad);
      m->trains = false;
    }
    return m;
  default:
    if ((m = module(g, 4, in, false))) {
      m->kernel = 1 + 2 * pick(g, 2), m->stride = 1 + pick(g, 2), m->pad = pick(g, 2), m->out = extent(g);
      sb_printf(&g->fields, "Conv2d(%lld, %lld, %lld, stride = %lld, pad = %lld, bias = %s)\n", (long long)in,
                (long long)m->out, (long long)m->kernel, (long long)m->stride, (long long)m->pad,
                pick(g, 2) ? "true" : "false");
    }
    return m;
  }
}

static void layer(Gen *g) {
  const Var *v = any(g);
  if (!v->s.rank) return;
  Shape s = v->s, t = s;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  bool image = s.rank == 4 && pick(g, 4);
  int64_t in = image ? s.dim[1] : s.dim[s.rank - 1];
  Module *m = pick(g, 3) ? NULL : known(g, image ? 4 : 0, in); /* weights are shared */
  if (!m) m = image ? new_image(g, in) : new_dense(g, in);
  if (!m) return;
  if (image && m->keeps && s.dim[0] * s.dim[2] * s.dim[3] < 2) return; /* batch norm */
  if (image && !m->keeps) {
    for (int i = 2; i < 4; i++) {
      if (s.dim[i] + 2 * m->pad < m->kernel) return;
      t.dim[i] = (s.dim[i] + 2 * m->pad - m->kernel) / m->stride + 1;
    }
    t.dim[1] = m->out;
  } else if (!image) {
    t.dim[s.rank - 1] = m->out;
  }
  if (!define(g, t)) return;
  if (m->keeps && pick(g, 2)) { /* applied three times in all */
    int i = g->names - 1;
    sb_printf(&g->body, "%s(%s)\n    repeat i in 0..2 { t%d = %s(t%d) }\n", m->name, name, i, m->name, i);
  } else if (!pick(g, 6) && !m->slow && m->trains) {
    g->stopped = m->slow = true;
    sb_printf(&g->fields, "  %s_slow = ema(%s, decay = 0.9)\n", m->name, m->name);
    sb_printf(&g->body, "%s(%s) - 0.5 * stop_gradient(%s_slow(%s))\n", m->name, name, m->name, name);
  } else {
    sb_printf(&g->body, "%s(%s)\n", m->name, name);
  }
}

static void attention(Gen *g) {
  const Var *v = any_of_rank(g, 3);
  if (!v || g->nmodule == MOST_MODULES) return;
  Shape s = v->s;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  int64_t heads = 1 + pick(g, 3);
  if (s.dim[2] % heads) return;
  Module *m = module(g, -1, 0, true);
  if (!m) return;
  sb_printf(&g->fields, "MultiheadAttention(%lld, %lld)\n", (long long)s.dim[2], (long long)heads);
  if (define(g, s)) sb_printf(&g->body, "%s(%s)\n", m->name, name);
}

static void product(Gen *g) {
  for (int tries = 0; tries < 10; tries++) {
    Var a = *any(g), b = *any(g);
    if (a.s.rank < 1 || b.s.rank < 1) continue;
    int i = (int)pick(g, a.s.rank), j = (int)pick(g, b.s.rank);
    if (a.s.dim[i] != b.s.dim[j]) continue;
    int p = -1, q = -1;
    for (int x = 0; x < a.s.rank && pick(g, 2); x++)
      for (int y = 0; y < b.s.rank; y++)
        if (x != i && y != j && a.s.dim[x] == b.s.dim[y]) p = x, q = y;
    Shape t = {0};
    if (p >= 0) t.dim[t.rank++] = a.s.dim[p];
    if (a.s.rank + b.s.rank > 7) continue;
    for (int x = 0; x < a.s.rank; x++)
      if (x != i && x != p) t.dim[t.rank++] = a.s.dim[x];
    for (int y = 0; y < b.s.rank; y++)
      if (y != j && y != q) t.dim[t.rank++] = b.s.dim[y];
    if (!define(g, t)) return;
    sb_printf(&g->body, "prim.dot_general(tanh(%s), tanh(%s), ", a.name, b.name);
    if (p >= 0) sb_printf(&g->body, "lhs_batch = %d, rhs_batch = %d, ", p, q);
    sb_printf(&g->body, "lhs_contract = %d, rhs_contract = %d) / %lld\n", i, j, (long long)a.s.dim[i]);
    return;
  }
}

/* The gradients of a convolution, as operators of their own. */
static void convolution(Gen *g) {
  const Var *v = any_of_rank(g, 4);
  if (!v) return;
  Shape s = v->s;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  int64_t k = 1 + pick(g, 3), kh = 1 + pick(g, 3), stride = 1 + pick(g, 2), h = s.dim[2] + kh - 1,
          w = s.dim[3];
  if (pick(g, 2)) { /* s is the gradient of a result */
    Shape t = {4, {s.dim[0], k, (s.dim[2] - 1) * stride + kh, (w - 1) * stride + 1}};
    if (!fits(g, &t)) return;
    sb_printf(&g->fields, "  w%d = param[%lld, %lld, %lld, 1] = kaiming_uniform(%lld)\n", g->names,
              (long long)s.dim[1], (long long)k, (long long)kh, (long long)(s.dim[1] * kh));
    define(g, t);
    sb_printf(&g->body, "prim.conv2d_dx(%s, w%d, stride = [%lld, %lld], pad = [0, 0], size = [%lld, %lld])\n",
              name, g->names - 1, (long long)stride, (long long)stride, (long long)t.dim[2],
              (long long)t.dim[3]);
    return;
  }
  if (h < kh) return;
  Shape t = {4, {s.dim[1], s.dim[1], kh, 1}}; /* weights that take a padded copy of it to itself */
  if (define(g, t))
    sb_printf(&g->body,
              "prim.conv2d_dw(prim.pad(%s, lo = [0, 0, %lld, 0], hi = [0, 0, 0, 0], interior = [0, 0, 0, 0], "
              "value = 0), tanh(%s), stride = [1, 1], pad = [0, 0], size = [%lld, 1]) / %lld\n",
              name, (long long)(kh - 1), name, (long long)kh, (long long)(s.dim[0] * s.dim[2] * s.dim[3]));
}

static void control(Gen *g) {
  const Var *v = any(g);
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  if (!define(g, v->s)) return;
  sb_printf(&g->body, "%s\n    if %s { t%d = tanh(t%d) } else { t%d = 0.5 * t%d }\n", name,
            pick(g, 2) ? "deep" : "training", g->names - 1, g->names - 1, g->names - 1, g->names - 1);
}

/* A scan over the first axis of a value: one or two carries, one of them used from outside, results of all steps. */
static void loop(Gen *g) {
  static const char *const steps[] = {"tanh(0.5 * h + part)", "0.75 * h + 0.25 * sin(part)",
                                      "where(part > h, 0.5 * part, h)", "h * sigmoid(part) + 0.1"};
  enum { LONGEST = 16 };
  const Var *v = any(g);
  Shape s = v->s, t = s;
  char name[16];
  snprintf(name, sizeof name, "%s", v->name);
  if (s.rank < 2 || s.dim[0] > LONGEST) return;
  for (int i = 0; i + 1 < s.rank; i++) t.dim[i] = s.dim[i + 1];
  t.rank--;
  if (!fits(g, &t) || !define(g, t)) return;
  int h = g->names - 1, form = (int)pick(g, 4);
  bool count = pick(g, 2), product = !pick(g, 3) && t.dim[t.rank - 1] <= 17;
  sb_printf(&g->body, "0.5 * %s[0]\n", name);
  if (product)
    sb_printf(&g->fields, "  w%d = param[%lld, %lld] = kaiming_uniform(%lld)\n", h,
              (long long)t.dim[t.rank - 1], (long long)t.dim[t.rank - 1], (long long)t.dim[t.rank - 1]);
  if (count) sb_printf(&g->body, "    n%d = mean(%s[0])\n", h, name);
  sb_printf(&g->body, "    scan part in %s {\n      t%d = ", name, h);
  for (const char *p = steps[form]; *p; p++) {
    bool word = *p == 'h' && (p == steps[form] || p[-1] == ' ') &&
                (p[1] == ' ' || !p[1] || p[1] == ',' || p[1] == ')');
    if (word) sb_printf(&g->body, "t%d", h);
    else sb_put(&g->body, p, 1);
  }
  sb_printf(&g->body, "\n");
  if (product)
    sb_printf(&g->body, "      t%d = tanh(prim.dot_general(t%d, w%d, lhs_contract = %d, rhs_contract = 0))\n",
              h, h, h, t.rank - 1);
  if (count) sb_printf(&g->body, "      n%d = 0.5 * n%d + mean(t%d)\n", h, h, h);
  bool collect = fits(g, &s);
  if (collect) {
    Var *all = &g->var[g->nvar++];
    snprintf(all->name, sizeof all->name, "t%d", g->names++);
    all->s = s;
    sb_printf(&g->body, "      collect %s = t%d * part\n", all->name, h);
  }
  sb_printf(&g->body, "    }\n");
  if (count && define(g, t)) sb_printf(&g->body, "t%d + n%d\n", h, h);
}

ModelText model_gen(uint64_t seed, int size) {
  Gen gen = {.state = seed * 7919 + 3, .turn = seed};
  Gen *g = &gen;
  g->batch = (int64_t[]){2, 3, 5, 7}[pick(g, 4)];
  StrBuf args = {0}, out = {0};
  int64_t classes = 2 + pick(g, 6);
  int inputs = 1 + (int)pick(g, 3);
  for (int i = 0; i < inputs; i++) {
    Var *v = &g->var[g->nvar++];
    snprintf(v->name, sizeof v->name, "x%d", i);
    v->s = (Shape){.rank = i ? 2 + (int)pick(g, 3) : 4};
    for (int d = 0; d < v->s.rank; d++)
      v->s.dim[d] = d ? d > 1 && v->s.rank == 4 ? 1 + pick(g, 9) : extent(g) : g->batch;
    sb_printf(&args, "%s%s: f32[B", i ? ", " : "", v->name);
    for (int d = 1; d < v->s.rank; d++) sb_printf(&args, ", %lld", (long long)v->s.dim[d]);
    sb_printf(&args, "]");
  }
  for (int i = 0; i < size; i++) {
    static void (*const make[])(Gen *) = {unary,   unary,       binary,  binary, view,  view,
                                          view,    reduce,      layer,   layer,  layer, attention,
                                          product, convolution, control, loop};
    make[pick(g, (int64_t)(sizeof make / sizeof *make))](g);
  }
  sb_printf(&out, "# random model %llu\ndim B = %lld\n\n", (unsigned long long)seed, (long long)g->batch);
  sb_printf(&out,
            "model Block(features: int) {\n  norm = LayerNorm(features)\n  fc = Linear(features, features)\n"
            "  fn forward(x) = x + 0.5 * tanh(fc(norm(x)))\n}\n\n");
  sb_printf(&out, "model Random(width = %lld, deep: bool = %s) {\n  head = Linear(%lld, %lld)\n",
            (long long)extent(g), pick(g, 2) ? "true" : "false", (long long)g->var[0].s.dim[1],
            (long long)classes);
  sb_put(&out, g->fields.s ? g->fields.s : "", g->fields.n);
  sb_printf(&out, "\n  entry forward(%s, label: i64[B]) {\n", args.s);
  sb_put(&out, g->body.s ? g->body.s : "", g->body.n);
  sb_printf(&out, "    logits = head(mean(x0, [2, 3]))\n    loss = cross_entropy(logits, label) * (if deep "
                  "then 1 else 0.5) + width / 100");
  int shown = g->nvar < 4 ? g->nvar : 4;
  for (int i = 0; i < g->nvar; i++)
    sb_printf(&out, " + mean(tanh(%s))", g->var[i].name); /* nothing is left unused */
  sb_printf(&out, "\n    return loss, logits");
  for (int i = g->nvar - shown; i < g->nvar; i++)
    if (g->var[i].name[0] == 't') sb_printf(&out, ", %s", g->var[i].name);
  static const char *const optimizers[] = {"adamw(lr = 1e-2)", "sgd(lr = 1e-2, momentum = 0.9)", "adam()",
                                           "lars()"};
  sb_printf(&out, "\n  }\n}\n\ntrain Random {\n  data = arrays(");
  for (int i = 0; i < inputs; i++) {
    sb_printf(&out, "array(\"x%d\", [", i);
    for (int d = 1; d < g->var[i].s.rank; d++)
      sb_printf(&out, "%s%lld", d > 1 ? ", " : "", (long long)g->var[i].s.dim[d]);
    sb_printf(&out, "]), ");
  }
  sb_printf(&out, "array(\"label\", classes = %lld))\n  bind label = data.label", (long long)classes);
  for (int i = 0; i < inputs; i++) sb_printf(&out, ", x%d = data.x%d", i, i);
  sb_printf(&out,
            "\n  minimize forward.loss\n  optimizer = %s\n%s  batch = %lld, steps = 10\n"
            "  metric spread = embedding_std(logits)\n}\n",
            optimizers[pick(g, 4)], pick(g, 2) ? "  clip_norm = 1\n" : "", (long long)g->batch);
  sb_free(&args);
  sb_free(&g->fields);
  sb_free(&g->body);
  return (ModelText){out.s, g->stopped};
}
