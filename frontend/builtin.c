/* Built-in functions: what the library's own text cannot say, such as asking a tensor for its shape.
   Everything else is written in the language (std/). */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

static bool type_of(Elab *e, Call *c, Value v, DType *dt, Shape *shape) {
  if (v.kind == V_EMPTY) {
    *dt = v.u.empty->dt;
    *shape = v.u.empty->shape;
    return true;
  }
  if (v.kind == V_STATE) v = v_tensor(state_value(e, c->frame, c->at, v.u.state));
  if (v.kind != V_TENSOR) return false;
  *dt = t_type(e, v.u.val)->dt;
  *shape = t_type(e, v.u.val)->shape;
  return true;
}

static void need_type(Elab *e, Call *c, Value v, DType *dt, Shape *shape) {
  if (!type_of(e, c, v, dt, shape))
    elab_error(e, c->frame, c->at, "this needs a tensor, not %s", value_text(e, v));
}

static Value b_rank(Elab *e, Call *c) {
  DType dt;
  Shape s;
  need_type(e, c, c->arg[0], &dt, &s);
  return v_num(s.rank);
}

static Value b_shape(Elab *e, Call *c) {
  DType dt;
  Shape s;
  need_type(e, c, c->arg[0], &dt, &s);
  Value l = v_list(e, s.rank);
  for (int i = 0; i < s.rank; i++) l.u.list->v[i] = v_num((double)s.dim[i]);
  return l;
}

static Value b_dtype(Elab *e, Call *c) {
  DType dt;
  Shape s;
  need_type(e, c, c->arg[0], &dt, &s);
  return (Value){.kind = V_DTYPE, .u.dt = dt};
}

static Value b_len(Elab *e, Call *c) {
  if (c->arg[0].kind != V_LIST)
    elab_error(e, c->frame, c->at, "`len` needs a list, not %s", value_text(e, c->arg[0]));
  return v_num(c->arg[0].u.list->n);
}

static Value b_is_tensor(Elab *e, Call *c) {
  (void)e;
  return v_bool(c->arg[0].kind == V_TENSOR || c->arg[0].kind == V_STATE);
}

static Value b_is_list(Elab *e, Call *c) {
  (void)e;
  return v_bool(c->arg[0].kind == V_LIST);
}

/* axes(x, axis): the axes meant, counted from 0, in increasing order; none means all. */
static Value b_axes(Elab *e, Call *c) {
  DType dt;
  Shape s;
  need_type(e, c, c->arg[0], &dt, &s);
  bool used[MAX_RANK] = {false};
  Ints given = ints_range(s.rank);
  if (c->arg[1].kind != V_NONE) given = need_ints(e, c->frame, c->at, c->arg[1], "an axis");
  for (int i = 0; i < given.n; i++) {
    int64_t k = given.v[i] < 0 ? given.v[i] + s.rank : given.v[i];
    if (k < 0 || k >= s.rank)
      elab_error(e, c->frame, c->at, "axis %lld is outside %s, which has %d axes", (long long)given.v[i],
                 value_text(e, c->arg[0]), s.rank);
    if (used[k]) elab_error(e, c->frame, c->at, "axis %lld is named twice", (long long)k);
    used[k] = true;
  }
  Value l = v_list(e, given.n);
  for (int i = 0, n = 0; i < s.rank; i++)
    if (used[i]) l.u.list->v[n++] = v_num(i);
  return l;
}

/* classes_of(label): of the data field that it is, or that was reshaped, sliced or transposed. */
static Value b_classes_of(Elab *e, Call *c) {
  Val v = need_tensor(e, c->frame, c->at, c->arg[0], "what numbers classes");
  while (g_node(e->g, v)->nin == 1 && g_node(e->g, v)->op != OP_input && dtype_is_int(t_type(e, v)->dt))
    v = g_node(e->g, v)->in[0];
  for (int i = 0; i < e->classes.n; i++)
    if (e->classes.v[i].input == v) return v_num((double)e->classes.v[i].n);
  return v_num(0);
}

/* contains(list, value) */
static Value b_contains(Elab *e, Call *c) {
  if (c->arg[0].kind != V_LIST)
    elab_error(e, c->frame, c->at, "`contains` needs a list, not %s", value_text(e, c->arg[0]));
  const List *l = c->arg[0].u.list;
  for (int i = 0; i < l->n; i++)
    if (value_equal(e, l->v[i], c->arg[1])) return v_bool(true);
  return v_bool(false);
}

static DType dtype_arg(Elab *e, Call *c, Value v) {
  if (v.kind == V_NONE) return DT_F32;
  if (v.kind != V_DTYPE)
    elab_error(e, c->frame, c->at, "the element type must be one such as f32, not %s", value_text(e, v));
  return v.u.dt;
}

/* fill(shape, value, dtype) */
static Value b_fill(Elab *e, Call *c) {
  Shape s = need_shape(e, c->frame, c->at, c->arg[0], "the shape");
  DType dt = dtype_arg(e, c, c->arg[2]);
  Imm x = need_num(e, c->frame, c->at, c->arg[1], "the value");
  for (int i = 0; i < s.rank; i++) {
    if (s.dim[i] != 0) continue;
    EmptyTensor *t = NEW(e->arena, EmptyTensor);
    *t = (EmptyTensor){dt, s};
    return (Value){.kind = V_EMPTY, .u.empty = t};
  }
  return v_tensor(t_node(e, c->frame, c->at, OP_fill, NULL, 0, NULL, x, dt, &s));
}

/* reshape(x, shape): one extent may be -1 */
static Value b_reshape(Elab *e, Call *c) {
  Val v = need_tensor(e, c->frame, c->at, c->arg[0], "what is reshaped");
  const Shape from = t_type(e, v)->shape;
  const DType dt = t_type(e, v)->dt;
  Shape s = need_shape(e, c->frame, c->at, c->arg[1], "the shape");
  int64_t known = 1, count = shape_count(&from);
  int open = -1;
  for (int i = 0; i < s.rank; i++) {
    if (s.dim[i] == -1) {
      if (open >= 0) elab_error(e, c->frame, c->at, "only one extent can be -1");
      open = i;
    } else if (s.dim[i] < 1 || known > ((int64_t)1 << 40) / s.dim[i]) {
      elab_error(e, c->frame, c->at, "%s cannot be the shape of a tensor", shape_text(e, dt, &s));
    } else {
      known *= s.dim[i];
    }
  }
  if (open >= 0) {
    if (count % known)
      elab_error(e, c->frame, c->at, "%s does not divide into %s", value_text(e, c->arg[0]),
                 shape_text(e, dt, &s));
    s.dim[open] = count / known;
  }
  if (shape_eq(&s, &from)) return v_tensor(v);
  return v_tensor(t_node(e, c->frame, c->at, OP_reshape, &v, 1, NULL, 0, dt, &s));
}

/* concat(x, y, ..., axis): operands without elements vanish */
static Value b_concat(Elab *e, Call *c) {
  VEC(Val) in = {0};
  int axis = (int)need_int(e, c->frame, c->at, c->arg[0].kind == V_NONE ? v_num(0) : c->arg[0], "the axis");
  int n = c->nrest;
  const List *list = n == 1 && c->rest[0].v.kind == V_LIST ? c->rest[0].v.u.list : NULL;
  if (list) n = list->n;
  for (int i = 0; i < n; i++) {
    Value v = list ? list->v[i] : c->rest[i].v;
    if (v.kind == V_EMPTY) continue;
    Val t = need_tensor(e, c->frame, list ? c->at : c->rest[i].at, v, "an operand of concat");
    vec_push(e->arena, &in, t);
  }
  if (!in.n) elab_error(e, c->frame, c->at, "concat has no operand with elements");
  int rank = t_type(e, in.v[0])->shape.rank;
  if (axis < 0) axis += rank;
  if (in.n == 1 && axis >= 0 && axis < rank) return v_tensor(in.v[0]);
  Ints attr = ints1(axis);
  return v_tensor(t_node(e, c->frame, c->at, OP_concat, in.v, in.n, &attr, 0, DT_NONE, NULL));
}

static const char *need_text(Elab *e, Call *c, Value v, const char *what) {
  if (v.kind != V_STR || !*v.u.str)
    elab_error(e, c->frame, c->at, "%s must be a string, not %s", what, value_text(e, v));
  return v.u.str;
}

/* A function is looked for when the model is read, so that a mistake has a line; looking at a library runs code of it.
   n types, the result last. */
static void need_function(Elab *e, Call *c, const char *library, const char *symbol, const DType *dt,
                          const int *rank, int n) {
  char err[1024];
  if (!e->m->opt.run_extern) return;
  if (!extern_resolve(library, symbol, err, sizeof err) ||
      !extern_agrees(library, symbol, dt, rank, n, err, sizeof err))
    elab_error(e, c->frame, c->at, "%s", err);
}

/* extern(x, ..., library, symbol, shape, dtype, vjp): vjp has an entry for each operand, a symbol or none */
static Value b_extern(Elab *e, Call *c) {
  enum { MOST = 32 };
  Val in[MOST];
  Extern x = {need_text(e, c, c->arg[0], "the library"), need_text(e, c, c->arg[1], "the symbol"), NULL};
  Shape s = need_shape(e, c->frame, c->at, c->arg[2], "the shape");
  DType dt = dtype_arg(e, c, c->arg[3]);
  if (dtype_is_narrow(dt))
    elab_error(e, c->frame, c->at, "C has no type for %s: cast the result", dtype_name(dt));
  if (c->nrest > MOST) elab_error(e, c->frame, c->at, "an extern has at most %d operands", MOST);
  for (int i = 0; i < c->nrest; i++) {
    in[i] = need_tensor(e, c->frame, c->rest[i].at, c->rest[i].v, "an operand of extern");
    DType of = t_type(e, in[i])->dt;
    if (dtype_is_narrow(of))
      elab_error(e, c->frame, c->rest[i].at, "C has no type for %s: cast the operand", dtype_name(of));
  }
  for (int i = 0; i < s.rank; i++)
    if (s.dim[i] < 1)
      elab_error(e, c->frame, c->at, "%s cannot be the shape of a tensor", shape_text(e, dt, &s));
  if (strchr(x.library, '/') && x.library[0] != '/') { /* beside the model file */
    const char *path = c->at->src->path, *slash = strrchr(path, '/');
    x.library = slash ? arena_printf(e->arena, "%.*s/%s", (int)(slash - path), path, x.library) : x.library;
  }
  DType type[MOST + 3]; /* operands, result, and for a derivative the result's gradient and the operand's */
  int rank[MOST + 3], n = c->nrest;
  for (int i = 0; i < n; i++) {
    type[i] = t_type(e, in[i])->dt;
    rank[i] = t_type(e, in[i])->shape.rank;
  }
  type[n] = type[n + 1] = dt;
  rank[n] = rank[n + 1] = s.rank;
  need_function(e, c, x.library, x.symbol, type, rank, n + 1);
  if (c->arg[4].kind != V_NONE) {
    List one = {.n = 1, .v = &c->arg[4]};
    const List *l = c->arg[4].kind == V_LIST ? c->arg[4].u.list : &one;
    if (l->n != c->nrest)
      elab_error(e, c->frame, c->at, "vjp names %d derivatives for %d operands", l->n, c->nrest);
    StrBuf b = {0};
    for (int i = 0; i < l->n; i++) {
      bool none = l->v[i].kind == V_NONE;
      const char *name = none ? "-" : need_text(e, c, l->v[i], "a derivative");
      type[n + 2] = type[i];
      rank[n + 2] = rank[i];
      if (!none) need_function(e, c, x.library, name, type, rank, n + 3);
      sb_printf(&b, "%s%s", i ? "," : "", name);
    }
    x.vjp = arena_strdup(e->arena, b.s ? b.s : "");
    sb_free(&b);
    if (!l->n) x.vjp = NULL;
  }
  Val v = t_node(e, c->frame, c->at, OP_extern, in, c->nrest, NULL, 0, dt, &s);
  Extern *ext = NEW(e->arena, Extern);
  *ext = x;
  g_node(e->g, v)->ext = ext;
  return v_tensor(v);
}

typedef struct {
  Frame *frame;
  const Ast *at;
  uint32_t stream;
} Draw;

static Val draw_bits(Elab *e, const Shape *s, void *of) {
  const Draw *d = of;
  Val in[2] = {t_runtime(e, "seed"), t_runtime(e, "step")};
  if (e->parts > 1) in[1] = g_binary(e->g, OP_add, in[1], parts_rank(e));
  Ints attr = ints1(d->stream);
  return t_node(e, d->frame, d->at, OP_random_bits, in, 2, &attr, 0, DT_U32, s);
}

/* random_bits(shape): a stream of its own for each call, named by the module's path */
static Value b_random_bits(Elab *e, Call *c) {
  Shape s = need_shape(e, c->frame, c->at, c->arg[0], "the shape");
  Module *m = c->frame->owner;
  if (m && !m->path)
    elab_error(e, c->frame, c->at, "random numbers belong in a module that is a field of a model");
  uint32_t call = m ? m->calls++ : e->stray_calls++;
  Draw d = {c->frame, c->at, stream_of("draw", m ? m->path : "", call)};
  return v_tensor(scan_draw(e, c->frame, c->at, &s, draw_bits, &d));
}

/* "bij,jk->bik" as lists of numbers, the result's last: a number for each letter, -1 for `...`. Without an arrow the result
   has the letters that stand there once, in the order of the alphabet. */
static Value b_axis_names(Elab *e, Call *c) {
  if (c->arg[0].kind != V_STR)
    elab_error(e, c->frame, c->at, "axes are named by a text such as \"ij,jk->ik\"");
  const char *s = c->arg[0].u.str, *arrow = strstr(s, "->");
  int n = 1, count[128] = {0}, at = 0;
  for (const char *p = s; *p && p != arrow; p++) n += *p == ',';
  Value out = v_list(e, n + 1);
  for (const char *p = s; at <= n; at++) {
    double v[128];
    int m = 0;
    if (at == n && !arrow) { /* "..." comes first */
      if (strstr(s, "...")) v[m++] = -1;
      for (int k = 0; k < 128; k++)
        if (count[k] == 1) v[m++] = k;
    } else {
      for (; *p && *p != ',' && p != arrow && m < 100; p++) {
        bool dots = !strncmp(p, "...", 3), letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (*p == ' ') continue;
        if (!dots && !letter) elab_error(e, c->frame, c->at, "\"%s\": an axis is a letter, not `%c`", s, *p);
        if (letter) count[(int)*p]++;
        v[m++] = dots ? -1 : *p;
        if (dots) p += 2;
      }
      p = p == arrow && arrow ? p + 2 : *p ? p + 1 : p;
    }
    Value list = v_list(e, m);
    for (int i = 0; i < m; i++) list.u.list->v[i] = v_num(v[i]);
    out.u.list->v[at] = list;
  }
  return out;
}

static Value initializer(Elab *e, InitKind kind, Imm a, double b) {
  Init *i = NEW(e->arena, Init);
  *i = (Init){.kind = kind, .a = a, .b = b};
  return (Value){.kind = V_INIT, .u.init = i};
}

static Value b_uniform(Elab *e, Call *c) {
  double lo = (double)need_num(e, c->frame, c->at, c->arg[0], "the lower bound");
  double hi = (double)need_num(e, c->frame, c->at, c->arg[1], "the upper bound");
  if (!(lo <= hi))
    elab_error(e, c->frame, c->at, "the bounds %.10g and %.10g are the wrong way round", lo, hi);
  return initializer(e, INIT_UNIFORM, lo, hi);
}

static Value b_normal(Elab *e, Call *c) {
  double mean = (double)need_num(e, c->frame, c->at, c->arg[0], "the mean");
  return initializer(e, INIT_NORMAL, mean,
                     (double)need_num(e, c->frame, c->at, c->arg[1], "the standard deviation"));
}

static Value b_constant(Elab *e, Call *c) {
  return initializer(e, INIT_FILL, need_num(e, c->frame, c->at, c->arg[0], "the value"), 0);
}

static const Builtin builtins[] = {
    {"rank", "x", "number of axes", b_rank},
    {"shape", "x", "list of extents", b_shape},
    {"dtype", "x", "element type", b_dtype},
    {"len", "list", "number of items of a list", b_len},
    {"is_tensor", "x", "whether x is a tensor or a state", b_is_tensor},
    {"is_list", "x", "whether x is a list", b_is_list},
    {"axes", "x axis?", "the axes that `axis` means, counted from 0, increasing; none means all", b_axes},
    {"contains", "list value", "whether the list has the value", b_contains},
    {"axis_names", "text",
     "the axes that a text for einsum names, as numbers: a list for each operand, then the result's",
     b_axis_names},
    {"fill", "shape value dtype?", "a tensor of equal elements", b_fill},
    {"reshape", "x shape", "the same elements in another shape; one extent may be -1", b_reshape},
    {"concat", "* axis?", "tensors one after another along an axis (0); those without elements vanish",
     b_concat},
    {"extern", "* library symbol shape dtype? vjp?", "a C function of a shared library: docs/compile.md",
     b_extern},
    {"classes_of", "label",
     "how many classes the data set numbers by these labels, perhaps reshaped or sliced; 0: not known",
     b_classes_of},
    {"random_bits", "shape", "u32 bits, others in each step and call", b_random_bits},
    {"stacked", "n module", "so many modules that differ in their states, for `scan` to go through", b_stack},
    {"uniform", "low high", "initializer", b_uniform},
    {"normal", "mean std", "initializer", b_normal},
    {"constant", "value", "initializer", b_constant},
    {"ema", "module decay", "a copy of a module whose parameters are averaged",
     NULL}, /* make_average: the decay stays unevaluated */
};
enum { BUILTINS = sizeof builtins / sizeof *builtins };

const Builtin *builtin_find(const char *name) {
  for (int i = 0; i < BUILTINS; i++)
    if (name_is(builtins[i].name, name)) return &builtins[i];
  return NULL;
}

const Builtin *builtin_at(int i) { return i < BUILTINS ? &builtins[i] : NULL; }

int builtin_names(const char **out, int max) {
  int n = 0;
  for (int i = 0; i < BUILTINS && n < max; i++) out[n++] = builtins[i].name;
  return n;
}

bool builtin_constant(const char *name, Value *out) {
  static const Init zeros = {.kind = INIT_FILL, .a = 0}, ones = {.kind = INIT_FILL, .a = 1};
  DType dt = dtype_parse(name);
  if (dt != DT_NONE) *out = (Value){.kind = V_DTYPE, .u.dt = dt};
  else if (name_is(name, "zeros")) *out = (Value){.kind = V_INIT, .u.init = &zeros};
  else if (name_is(name, "ones")) *out = (Value){.kind = V_INIT, .u.init = &ones};
  else if (name_is(name, "prim")) *out = (Value){.kind = V_PRIMS};
  else if (name_is(name, "pi")) *out = v_num(3.14159265358979323846);
  else if (name_is(name, "inf")) *out = v_num(INFINITY);
  else return false;
  return true;
}
