/* Reads the text form of programs that ir/kernel/print.c writes: buffers, kernels, then the graph they came from.
   Any input is answered by a program that passes program_verify and whose buffers lie inside its arena, or by
   one diagnostic with its position. */
#include "ir/graph/ops_impl.h"
#include "ir/kernel/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  Arena *a;
  Diags *d;
  const Source *src;
  const char *p, *line_start;
  int line;
  Program *prog;
  const Graph *g;
  int nvalue;
} KReader;

/* So large that nothing real reaches it, and sums of two do not overflow. */
static const int64_t MOST = (int64_t)1 << 60;

/* ---- text ---- */
static _Noreturn __attribute__((format(printf, 2, 3))) void fail(KReader *r, const char *fmt, ...) {
  va_list ap;
  char msg[512];
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  Loc loc = {r->src, r->line, (int)(r->p - r->line_start) + 1, NULL};
  diag_error(r->d, &loc, "%s", msg);
  diag_throw(r->d);
}

static void blanks(KReader *r) {
  while (*r->p == ' ') r->p++;
}

static bool eat(KReader *r, const char *word) {
  blanks(r);
  size_t n = strlen(word);
  if (strncmp(r->p, word, n)) return false;
  if (text_is_word_char(word[n - 1], true) && text_is_word_char(r->p[n], false)) return false;
  r->p += n;
  return true;
}

static void expect(KReader *r, const char *word) {
  if (!eat(r, word)) fail(r, "expected '%s'", word);
}

/* A prefix directly followed by a number: buf12, %7, i3, k4. */
static bool eat_prefix(KReader *r, const char *prefix) {
  blanks(r);
  size_t n = strlen(prefix);
  if (strncmp(r->p, prefix, n) || r->p[n] < '0' || r->p[n] > '9') return false;
  r->p += n;
  return true;
}

static int64_t number(KReader *r) {
  char *end;
  blanks(r);
  errno = 0;
  long long v = strtoll(r->p, &end, 10);
  if (end == r->p || errno) fail(r, "expected a whole number");
  if (v > MOST || v < -MOST) fail(r, "%lld is no number of a program", v);
  r->p = end;
  return v;
}

static int small(KReader *r, int64_t lo, int64_t hi, const char *what) {
  const char *at = r->p;
  int64_t v = number(r);
  if (v < lo || v > hi) {
    r->p = at;
    fail(r, "%s %lld is outside [%lld, %lld]", what, (long long)v, (long long)lo, (long long)hi);
  }
  return (int)v;
}

static double real(KReader *r) {
  char *end;
  blanks(r);
  double v = strtod(r->p, &end);
  if (end == r->p) fail(r, "expected a number");
  r->p = end;
  return v;
}

static const char *word(KReader *r, const char *what) {
  blanks(r);
  size_t n = 0;
  while (text_is_word_char(r->p[n], n == 0)) n++;
  if (!n) fail(r, "expected %s", what);
  const char *w = arena_strndup(r->a, r->p, n);
  r->p += n;
  return w;
}

static int choice(KReader *r, const char *const *names, int n, const char *what) {
  const char *at = r->p;
  for (int i = 0; i < n; i++)
    if (eat(r, names[i])) return i;
  r->p = at;
  fail(r, "expected %s", what);
}

static DType dtype(KReader *r) {
  const char *w = word(r, "an element type");
  DType t = dtype_parse(w);
  if (t == DT_NONE) fail(r, "unknown element type '%.40s'", w);
  return t;
}

/* [a,b,...] of at most max numbers; returns how many. */
static int list(KReader *r, int64_t *v, int max) {
  int n = 0;
  expect(r, "[");
  if (eat(r, "]")) return 0;
  do {
    if (n == max) fail(r, "more than %d numbers", max);
    v[n++] = number(r);
  } while (eat(r, ","));
  expect(r, "]");
  return n;
}

/* Extents whose product is no larger than a tensor can be. */
static void check_extents(KReader *r, const int64_t *v, int n) {
  int64_t most = (int64_t)1 << 40;
  for (int i = 0; i < n; most /= v[i++])
    if (v[i] < 1 || v[i] > most) fail(r, "impossible extents");
}

static void named_list(KReader *r, const char *name, int64_t *v, int n) {
  expect(r, name);
  expect(r, "=");
  if (list(r, v, n) != n) fail(r, "%s needs %d numbers", name, n);
}

static int64_t checked_count(KReader *r, const Shape *s) {
  int64_t n = 1;
  for (int i = 0; i < s->rank; i++)
    if (s->dim[i] < 1 || __builtin_mul_overflow(n, s->dim[i], &n) || n > INT64_MAX / 16)
      fail(r, "a shape that cannot be");
  return n;
}

static void type(KReader *r, DType *dt, Shape *s) {
  *dt = dtype(r);
  s->rank = list(r, s->dim, MAX_RANK);
  checked_count(r, s);
}

static void end_line(KReader *r) {
  blanks(r);
  if (*r->p && *r->p != '\n') fail(r, "expected the end of the line");
  if (*r->p) r->p++;
  r->line++;
  r->line_start = r->p;
}

/* ---- addresses ---- */
static Affine affine(KReader *r) {
  Affine e = {0};
  bool minus = eat(r, "-");
  do {
    int64_t k = 1;
    bool dim = eat_prefix(r, "i");
    if (!dim) {
      k = number(r);
      if (eat(r, "*")) {
        if (!eat_prefix(r, "i")) fail(r, "expected a loop dim such as i0");
        dim = true;
      }
    }
    if (minus) k = -k;
    if (dim) e.k[small(r, 0, KDIM - 1, "loop dim")] = k;
    else e.c = k;
    const char *at = r->p;
    if (eat(r, "+ ")) minus = false;
    else if (eat(r, "- ")) minus = true;
    else break;
    blanks(r);
    char *end;
    strtoll(r->p, &end, 10);
    if (end != r->p && end[0] == '*' &&
        (end[1] == '(' || end[1] == 'c')) { /* a quotient or dynamic index follows */
      r->p = at;
      break;
    }
  } while (true);
  return e;
}

/* "+ 4*((i0)/3)", any number of times */
static const Quot *quots(KReader *r, int *n) {
  VEC(Quot) v = {0};
  for (;;) {
    const char *at = r->p;
    if (!eat(r, "+ ")) break;
    Quot q = {.stride = number(r)};
    if (!eat(r, "*((")) {
      r->p = at;
      break;
    }
    q.e = affine(r);
    expect(r, ")/");
    q.div = number(r);
    if (q.div < 1) fail(r, "a quotient by %lld", (long long)q.div);
    expect(r, ")");
    vec_push(r->a, &v, q);
  }
  *n = v.n;
  return v.v;
}

static void guards(KReader *r, Access *a) {
  VEC(Guard) v = {0};
  do {
    Guard g = {.lo = number(r)};
    expect(r, "<=");
    g.e = affine(r);
    expect(r, "<");
    g.hi = number(r);
    if (eat(r, "multiple of ")) g.mod = number(r);
    vec_push(r->a, &v, g);
  } while (eat(r, "and"));
  a->guard = v.v;
  a->nguard = v.n;
}

/* The operand of k that is buffer b: inputs are looked at first for loads, outputs for stores. */
static int operand(KReader *r, const Kernel *k, int b, bool store) {
  int first = store ? k->nbuf - k->nout : 0;
  for (int i = 0; i < k->nbuf; i++) {
    int j = (first + i) % k->nbuf;
    if (k->buf[j] == b) return j;
  }
  fail(r, "buf%d is no operand of this kernel", b);
}

static Access *access_of(KReader *r, const Kernel *k, int b, bool store, int ninst) {
  Access *a = NEW(r->a, Access);
  a->buf = operand(r, k, b, store);
  a->dyn = -1;
  expect(r, "[");
  a->off = affine(r);
  a->quot = quots(r, &a->nquot);
  if (eat(r, "+ ")) {
    a->dyn_stride = number(r);
    expect(r, "*clamp(");
    if (!eat_prefix(r, "%")) fail(r, "expected an instruction");
    a->dyn = small(r, 0, ninst - 1, "instruction");
    expect(r, ", 0,");
    a->dyn_extent = number(r) + 1;
    expect(r, ")");
  }
  expect(r, "]");
  if (!eat(r, "where")) return a;
  guards(r, a);
  expect(r, "else");
  a->fill = real(r);
  return a;
}

/* ---- trailers ---- */
static Val value_ref(KReader *r) { return eat_prefix(r, "%") ? small(r, 0, r->nvalue - 1, "value") : -1; }

/* "# %17 at %12 file:line ; role" and the end of the line */
static void trailer(KReader *r, Val *val, const Loc **loc, Role *role) {
  *val = -1;
  *loc = NULL;
  *role = ROLE_FORWARD;
  if (eat(r, "#")) {
    *val = value_ref(r);
    Val at = eat(r, "at ") ? value_ref(r) : *val;
    if (at >= 0) *loc = g_node(r->g, at)->loc;
    while (*r->p && *r->p != '\n' && *r->p != ';') r->p++;
    if (eat(r, ";")) *role = (Role)choice(r, role_names, ROLES, "a role");
  }
  end_line(r);
}

/* ---- instructions ---- */
static int instruction_ref(KReader *r, int n) {
  if (!eat_prefix(r, "%")) fail(r, "expected an instruction such as %%0");
  return small(r, 0, n - 1, "instruction");
}

static void load_or_op(KReader *r, const Kernel *k, KInst *in, int n) {
  if (eat_prefix(r, "buf")) {
    in->kind = KI_LOAD;
    in->access = access_of(r, k, small(r, 0, r->prog->buf.n - 1, "buffer"), false, n);
    return;
  }
  const char *w = word(r, "an instruction");
  OpId op = op_find(w);
  if (op == OP_COUNT) fail(r, "unknown instruction '%.40s'", w);
  in->op = op;
  bool reduce = op_table[op].kind == KIND_REDUCE;
  in->kind = op == OP_random_bits ? KI_RANDOM : reduce ? KI_REDUCE : KI_MAP;
  int nin = op == OP_random_bits ? 2 : op_table[op].nin;
  if (nin > 3 || (in->kind == KI_MAP && op_table[op].kind != KIND_MAP)) fail(r, "%s is no instruction", w);
  for (int j = 0; j < nin; j++) {
    if (j) expect(r, ",");
    in->arg[j] = instruction_ref(r, n);
  }
  if (in->kind == KI_RANDOM) {
    expect(r, "{stream=");
    in->stream = (uint32_t)number(r);
    expect(r, "}");
  } else if (in->kind == KI_REDUCE) {
    expect(r, "{sweep=");
    in->sweep = small(r, 0, 1 << 20, "sweep");
    expect(r, "}");
  }
  if (eat(r, "at ")) {
    in->index = affine(r);
    in->quot = quots(r, &in->nquot);
  }
}

static void instruction(KReader *r, const Kernel *k, KInst *in, int n, bool row) {
  if (small(r, 0, INT32_MAX, "instruction") != n)
    fail(r, "instructions are numbered in order: expected %%%d", n);
  expect(r, ":");
  in->row = row;
  in->dt = dtype(r);
  expect(r, "=");
  if (eat(r, "imm")) {
    in->kind = KI_IMM;
    in->imm = real(r);
  } else if (eat(r, "index")) {
    in->kind = KI_INDEX;
    in->index = affine(r);
    in->quot = quots(r, &in->nquot);
  } else if (eat(r, "guard")) {
    Access *a = NEW(r->a, Access);
    a->dyn = -1;
    in->kind = KI_GUARD;
    blanks(r);
    if (*r->p != '\n' && *r->p != '#') guards(r, a);
    in->access = a;
  } else {
    load_or_op(r, k, in, n);
  }
  const Loc *loc;
  Role role;
  trailer(r, &in->val, &loc, &role);
}

static void loop_body(KReader *r, Kernel *k) {
  VEC(KInst) inst = {0};
  VEC(KStore) store = {0};
  while (*r->p == ' ') {
    const char *start = r->p;
    blanks(r);
    bool row = r->p - start < 4;
    if (eat_prefix(r, "%")) {
      KInst in = {.val = -1};
      instruction(r, k, &in, inst.n, row);
      vec_push(r->a, &inst, in);
      continue;
    }
    if (!eat_prefix(r, "buf")) fail(r, "expected an instruction or a store");
    KStore s = {.access = *access_of(r, k, small(r, 0, r->prog->buf.n - 1, "buffer"), true, inst.n)};
    expect(r, "=");
    s.inst = instruction_ref(r, inst.n);
    if (s.access.dyn >= 0) fail(r, "a store has no dynamic index");
    if (eat(r, "{sweep=")) {
      s.sweep = small(r, 0, 1 << 20, "sweep");
      expect(r, "}");
    }
    vec_push(r->a, &store, s);
    end_line(r);
  }
  k->loop.inst = inst.v;
  k->loop.ninst = inst.n;
  k->loop.store = store.v;
  k->loop.nstore = store.n;
}

/* ---- kernels ---- */
static void dims(KReader *r, LoopKernel *l) {
  bool reduce = false;
  l->vec = -1;
  if (eat(r, "over") || (reduce = eat(r, "reduce"))) {
    for (;;) {
      if (l->ndim == KDIM) fail(r, "more than %d loop dims", KDIM);
      if (eat_prefix(r, "v")) l->vec = l->ndim;
      l->size[l->ndim++] = number(r);
      if (!reduce) l->npar = l->ndim;
      blanks(r);
      if (*r->p == 'x') r->p++;
      else if (reduce || !(reduce = eat(r, "reduce"))) break;
    }
  }
  l->nsweep = eat(r, "sweeps=") ? small(r, 0, 1 << 20, "sweeps") : l->ndim > l->npar;
  l->nchunk = eat(r, "chunks=") ? number(r) : 1;
}

static int64_t schedule_choice(KReader *r) {
  return eat(r, "choice=") ? small(r, 0, CHOICES - 1, "schedule") : 0;
}

static void gemm_spec(KReader *r, GemmSpec *s) {
  int64_t v[3];
  s->dt = dtype(r);
  if (s->dt != DT_F32 && s->dt != DT_F64) fail(r, "matrix products are f32 or f64");
  if (eat(r, "bf16")) {
    expect(r, "=");
    if (list(r, v, 3) != 3 || s->dt != DT_F32) fail(r, "which of a, b, c of an f32 product are bf16");
    s->a16 = v[0] != 0, s->b16 = v[1] != 0, s->c16 = v[2] != 0;
  }
  s->choice = schedule_choice(r);
  named_list(r, "mnk", v, 3);
  check_extents(r, v, 2);
  check_extents(r, v + 1, 2);
  check_extents(r, (int64_t[]){v[0], v[2]}, 2);
  s->m = v[0], s->n = v[1], s->k = v[2];
  named_list(r, "a", v, 3);
  s->a_off = v[0], s->a_m = v[1], s->a_k = v[2];
  named_list(r, "b", v, 3);
  s->b_off = v[0], s->b_k = v[1], s->b_n = v[2];
  named_list(r, "c", v, 3);
  s->c_off = v[0], s->c_m = v[1], s->c_n = v[2];
  if (!eat(r, "batch")) return;
  expect(r, "=");
  s->nbatch = list(r, s->batch, 4);
  check_extents(r, s->batch, s->nbatch);
  named_list(r, "a_batch", s->a_batch, s->nbatch);
  named_list(r, "b_batch", s->b_batch, s->nbatch);
  named_list(r, "c_batch", s->c_batch, s->nbatch);
}

static void gemm(KReader *r, Kernel *k) {
  const char *name = word(r, "a step of a matrix product");
  gemm_spec(r, &k->gemm);
  ContractionPlan plan = gemm_plan(&k->gemm, &r->prog->target);
  for (k->gemm_step = 0; k->gemm_step < plan.nstep; k->gemm_step++)
    if (!strcmp(plan.step[k->gemm_step].name, name)) return;
  fail(r, "this matrix product has no step '%.40s'", name);
}

static void conv(KReader *r, Kernel *k) {
  ConvSpec *s = &k->conv;
  int64_t x[5], w[4], y[5], pad[4], small[3];
  const char *name = word(r, "a convolution"), *dot = strrchr(name, '.');
  int kind = 0;
  while (kind < 3 && (!dot || strncmp(name, conv_kind_names[kind], (size_t)(dot - name)) ||
                      conv_kind_names[kind][dot - name]))
    kind++;
  if (kind == 3) fail(r, "'%.40s' is no step of a convolution", name);
  s->kind = (ConvKind)kind;
  s->algo = (ConvAlgo)choice(r, conv_algo_names, 3, "an algorithm: auto, direct or winograd");
  named_list(r, "x", x, 5);
  named_list(r, "w", w, 4);
  named_list(r, "y", y, 5);
  named_list(r, "stride", s->stride, 2);
  expect(r, "pad");
  expect(r, "=");
  int npad = list(r, pad, 4);
  if (npad != 2 && npad != 4) fail(r, "pad needs 2 or 4 numbers");
  s->dilation[0] = s->dilation[1] = s->groups = 1;
  if (eat(r, "dilation")) {
    expect(r, "=");
    if (list(r, s->dilation, 2) != 2) fail(r, "dilation needs 2 numbers");
  }
  if (eat(r, "groups")) {
    expect(r, "=");
    s->groups = number(r);
  }
  check_extents(r, x, 4);
  check_extents(r, w, 4);
  check_extents(r, y, 4);
  if (x[4] < 0 || x[4] > 64 || y[4] < 0 || y[4] > 64) fail(r, "impossible channel blocks");
  for (int i = 0; i < 2; i++) {
    int64_t lo = s->pad[i] = pad[npad == 4 ? 2 * i : i], hi = pad[npad == 4 ? 2 * i + 1 : i];
    check_extents(r, (int64_t[]){w[2 + i], s->dilation[i]}, 2);
    if (s->stride[i] < 1 || lo < 0 || lo > (int64_t)1 << 40 || hi <= -s->stride[i] || hi > (int64_t)1 << 40 ||
        y[2 + i] != (x[2 + i] + lo + hi - (w[2 + i] - 1) * s->dilation[i] - 1) / s->stride[i] + 1)
      fail(r, "impossible geometry");
  }
  s->n = x[0], s->c = x[1], s->h = x[2], s->w = x[3], s->xblock = (int)x[4];
  s->k = w[0], s->kh = w[2], s->kw = w[3];
  s->oh = y[2], s->ow = y[3], s->yblock = (int)y[4];
  if (s->groups < 1 || s->c % s->groups || s->k % s->groups)
    fail(r, "%lld groups do not divide the channels", (long long)s->groups);
  if (w[1] != s->c / s->groups || y[0] != s->n || y[1] != s->k)
    fail(r, "the extents of x, w and y do not fit together");
  if (eat(r, "bf16")) {
    expect(r, "=");
    if (list(r, small, 3) != 3) fail(r, "bf16 needs 3 numbers");
    s->xbf16 = small[CO_X] != 0, s->wbf16 = small[CO_W] != 0, s->ybf16 = small[CO_Y] != 0;
  }
  if (eat(r, "images")) {
    expect(r, "=");
    s->images = number(r);
    if (s->images < 1 || !conv_can_chunk_images(s, &r->prog->target))
      fail(r, "this convolution cannot run in chunks of %lld images", (long long)s->images);
  }
  s->choice = schedule_choice(r);
  ContractionPlan plan = conv_plan(s, &r->prog->target);
  for (k->conv_step = 0; k->conv_step < plan.nstep; k->conv_step++)
    if (!strcmp(plan.step[k->conv_step].name, dot + 1)) return;
  fail(r, "this convolution has no step '%.40s'", dot + 1);
}

static void scatter(KReader *r, ScatterSpec *s) {
  int64_t v[4];
  s->dt = dtype(r);
  expect(r, "index");
  s->idx_dt = dtype(r);
  named_list(r, "shape", v, 4);
  check_extents(r, v, 3);
  check_extents(r, (int64_t[]){v[0], v[2], v[3]}, 3);
  s->outer = v[0], s->extent = v[1], s->inner = v[2], s->nidx = v[3];
}

static const char *quoted(KReader *r) {
  expect(r, "\"");
  size_t n = strcspn(r->p, "\"\n");
  if (r->p[n] != '"' || !n) fail(r, "expected a name in double quotes");
  const char *s = arena_strndup(r->a, r->p, n);
  r->p += n + 1;
  return s;
}

static void extern_call_of(KReader *r, Kernel *k) {
  Extern *e = NEW(r->a, Extern);
  e->library = quoted(r);
  e->symbol = quoted(r);
  k->ext = e;
}

/* (buf0: f32[4], buf1 -> buf2); types are for people */
static void operands(KReader *r, Kernel *k) {
  VEC(int) buf = {0};
  int nin = -1;
  expect(r, "(");
  for (;;) {
    if (eat(r, "->")) nin = buf.n;
    if (!eat_prefix(r, "buf")) fail(r, "expected a buffer");
    int b = small(r, 0, r->prog->buf.n - 1, "buffer");
    vec_push(r->a, &buf, b);
    for (int depth = 0; *r->p && *r->p != '\n'; r->p++) {
      depth += (*r->p == '[') - (*r->p == ']');
      if (!depth && (*r->p == ',' || *r->p == ')' || (*r->p == '-' && r->p[1] == '>'))) break;
    }
    if (eat(r, ")")) break;
    eat(r, ",");
  }
  if (nin < 0) fail(r, "a kernel writes something");
  k->buf = buf.v;
  k->nbuf = buf.n;
  k->nout = buf.n - nin;
}

static void kernel(KReader *r) {
  Kernel k = {.val = -1};
  if (small(r, 0, INT32_MAX, "kernel") != r->prog->kernel.n)
    fail(r, "kernels are numbered in order: expected k%d", r->prog->kernel.n);
  k.kind = (KernelKind)choice(r, kernel_kind_names, KERNEL_KINDS, "loop, gemm, conv, scatter or extern");
  switch (k.kind) {
  case KK_LOOP: dims(r, &k.loop); break;
  case KK_GEMM: gemm(r, &k); break;
  case KK_CONV: conv(r, &k); break;
  case KK_SCATTER: scatter(r, &k.scatter); break;
  case KK_EXTERN: extern_call_of(r, &k); break;
  case KERNEL_KINDS: break;
  }
  operands(r, &k);
  k.commit = eat(r, "commit");
  if (eat(r, "chain=")) k.chain = small(r, 1, INT32_MAX, "chain");
  expect(r, "flops");
  expect(r, "=");
  k.flops = real(r);
  expect(r, "bytes");
  expect(r, "=");
  k.bytes = real(r);
  trailer(r, &k.val, &k.loc, &k.role);
  if (k.kind == KK_LOOP) loop_body(r, &k);
  vec_push(r->a, &r->prog->kernel, k);
}

/* ---- buffers ---- */
static int kernel_number(KReader *r) {
  blanks(r);
  if (*r->p != 'k') fail(r, "expected a lifetime such as k0..k3");
  r->p++;
  return small(r, -1, INT32_MAX, "kernel");
}

static void buffer(KReader *r) {
  Buf b = {.input = -1, .result = -1, .alias = -1, .first = -1, .last = -1, .val = -1};
  Program *p = r->prog;
  if (small(r, 0, INT32_MAX, "buffer") != p->buf.n)
    fail(r, "buffers are numbered in order: expected buf%d", p->buf.n);
  expect(r, ":");
  if (!eat(r, "raw")) type(r, &b.dt, &b.shape);
  if (eat(r, "/")) b.block = small(r, 1, 64, "channel block");
  if (b.block && (b.shape.rank != 4 || b.shape.dim[1] % b.block))
    fail(r, "channels of %d do not fit", b.block);
  b.kind = (BufKind)choice(r, buf_kind_names, 3, "temp, input or result");
  if (b.kind == BUF_INPUT) b.input = small(r, 0, r->g->inputs.n - 1, "input");
  if (b.kind == BUF_RESULT) b.result = small(r, 0, r->g->outputs.n - 1, "result");
  b.bytes = number(r);
  if (b.bytes < 1 || (b.dt != DT_NONE && b.bytes < shape_count(&b.shape) * dtype_size(b.dt)))
    fail(r, "%lld bytes are too few", (long long)b.bytes);
  expect(r, "bytes");
  if (eat(r, "chunk=") && ((b.chunk = number(r)) < 1 || b.chunk > b.bytes)) fail(r, "an impossible chunk");
  if (eat(r, "@")) {
    b.offset = number(r);
    if (b.offset < 0 || b.offset % 64 || b.offset > (b.chunk ? (int64_t)1 << 40 : p->arena_bytes - b.bytes))
      fail(r, "the buffer does not lie in the arena of %lld bytes", (long long)p->arena_bytes);
    b.first = kernel_number(r);
    expect(r, "..");
    b.last = kernel_number(r);
  } else if (p->arena_bytes) {
    fail(r, "expected the buffer's place such as @4096");
  }
  if (eat(r, "in ")) {
    if (!eat_prefix(r, "buf")) fail(r, "expected a buffer");
    b.alias = small(r, 0, INT32_MAX, "buffer");
  }
  b.val = value_ref(r);
  end_line(r);
  vec_push(r->a, &p->buf, b);
}

static void check_aliases(KReader *r) {
  Program *p = r->prog;
  for (int i = 0; i < p->buf.n; i++) {
    int b = i, steps = 0;
    for (; p->buf.v[b].alias >= 0; b = p->buf.v[b].alias)
      if (p->buf.v[b].alias >= p->buf.n || ++steps > p->buf.n) fail(r, "buf%d shares memory in a circle", i);
    if (p->buf.v[b].bytes < p->buf.v[i].bytes || p->buf.v[b].offset != p->buf.v[i].offset)
      fail(r, "buf%d does not lie in buf%d", i, b);
  }
}

/* What the runtime takes for granted: inputs stand first, in order; every result has a buffer. */
static void check_interface(KReader *r) {
  const Program *p = r->prog;
  int64_t at = 0;
  for (int i = 0; i < r->g->inputs.n; i++) {
    const Node *n = g_node(r->g, r->g->inputs.v[i].val);
    for (int b = 0; b < p->buf.n; b++)
      if (p->buf.v[b].kind == BUF_INPUT && p->buf.v[b].input == i && p->arena_bytes &&
          p->buf.v[b].offset != at)
        fail(r, "input \"%s\" belongs at %lld", r->g->inputs.v[i].name, (long long)at);
    at += (shape_count(&n->shape) * dtype_size(n->dt) + 63) / 64 * 64;
  }
  if (p->arena_bytes && at > p->arena_bytes) fail(r, "the inputs do not fit the arena");
  for (int i = 0; i < r->g->outputs.n; i++) {
    const Output *o = &r->g->outputs.v[i];
    const Node *n = g_node(r->g, o->val);
    bool found = o->state >= 0;
    for (int b = 0; b < p->buf.n && !found; b++)
      found = p->buf.v[b].kind == BUF_RESULT && p->buf.v[b].result == i && p->buf.v[b].dt == n->dt &&
              shape_eq(&p->buf.v[b].shape, &n->shape);
    if (!found) fail(r, "result \"%s\" has no buffer", o->name);
  }
}

static void decision(KReader *r) {
  Decision d = {.why = (Why)choice(r, why_names, WHY_COUNT, "a reason such as operand or reads")};
  d.val = value_ref(r);
  if (d.val < 0) fail(r, "expected the value that the reason is for");
  d.other = value_ref(r);
  if (eat(r, "[")) {
    d.a = real(r);
    expect(r, ",");
    d.b = real(r);
    expect(r, "]");
  }
  end_line(r);
  vec_push(r->a, &r->prog->decision, d);
}

/* ---- the file ---- */
bool program_is_text(const Source *src) {
  const char *p = src->text;
  while (*p == '#' || *p == '\n') {
    p += strcspn(p, "\n");
    p += *p == '\n';
  }
  return !strncmp(p, "program ", 8);
}

/* The graph stands last: read first, since values are named by its numbers. */
static void read_graph_part(KReader *r) {
  const char *at = strstr(r->src->text, "\ngraph ");
  if (!at) fail(r, "the program's graph is missing: expected a line 'graph NAME {'");
  int line = 1;
  for (const char *p = r->src->text; p <= at; p++) line += *p == '\n';
  char *text =
      arena_alloc(r->a, (size_t)line + strlen(at) + 1); /* lines before it are blank: positions stay */
  memset(text, '\n', (size_t)line - 1);
  memcpy(text + line - 1, at + 1, strlen(at + 1) + 1);
  Source *src = NEW(r->a, Source);
  *src = (Source){r->src->path, text, strlen(text)};
  Graph *g;
  if (graph_read(r->a, src, r->d, &g, 1) != 1) diag_throw(r->d);
  r->g = r->prog->graph = g;
  r->nvalue = g->node.n;
}

static void header(KReader *r, int *kernels) {
  Program *p = r->prog;
  expect(r, "program");
  blanks(r);
  r->p += strcspn(r->p, " \n"); /* the graph's name, printed again from the graph */
  expect(r, "target=");
  size_t n = strcspn(r->p, " \n");
  const char *cpu = arena_strndup(r->a, r->p, n);
  if (!target_named(cpu, &p->target)) fail(r, "unknown target '%.40s'", cpu);
  r->p += n;
  expect(r, "vector=");
  int vector = small(r, 1, 1024, "vector");
  if (vector != p->target.vector_bytes)
    fail(r, "the program was made for vectors of %d bytes, but %s has %d", vector, cpu,
         p->target.vector_bytes);
  expect(r, "kernels=");
  *kernels = small(r, 0, INT32_MAX, "kernels");
  expect(r, "compute=");
  p->ncompute = small(r, 0, *kernels, "compute");
  expect(r, "arena=");
  p->arena_bytes = number(r);
  if (p->arena_bytes < 0) fail(r, "an arena of %lld bytes", (long long)p->arena_bytes);
  end_line(r);
}

/* Lifetimes of a program whose memory is not planned yet. */
static void first_uses(Program *p) {
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nbuf; i++) {
      Buf *b = &p->buf.v[p->kernel.v[k].buf[i]];
      while (b->alias >= 0) b = &p->buf.v[b->alias];
      if (b->first < 0) b->first = k;
      b->last = k;
    }
}

static void read_program(KReader *r) {
  while (*r->p == '#' || *r->p == '\n') {
    r->p += strcspn(r->p, "\n");
    end_line(r);
  }
  read_graph_part(r);
  int kernels;
  header(r, &kernels);
  while (eat_prefix(r, "buf")) buffer(r);
  check_aliases(r);
  while (eat_prefix(r, "k")) kernel(r);
  while (eat(r, "why")) decision(r);
  if (r->prog->kernel.n != kernels) fail(r, "expected kernel k%d of %d", r->prog->kernel.n, kernels);
  if (!r->prog->arena_bytes) first_uses(r->prog);
  check_interface(r);
  char err[512];
  if (!program_verify(r->prog, err, sizeof err)) fail(r, "%s", err);
}

Program *program_read(Arena *a, const Source *src, Diags *d) {
  KReader r = {.a = a, .d = d, .src = src, .p = src->text, .line_start = src->text, .line = 1};
  r.prog = NEW(a, Program);
  r.prog->arena = a;
  jmp_buf trap, **slot = diags_trap(d), *saved = *slot;
  *slot = &trap;
  bool ok = !setjmp(trap);
  if (ok) read_program(&r);
  *slot = saved;
  return ok ? r.prog : NULL;
}
