/* Reads the text form of programs that ir/kernel/print.c writes: buffers, kernels, then the graph they came from.
   Any input is answered by a program that passes program_verify and whose buffers lie inside its arena, or by
   one diagnostic with its position. */
#include "ir/graph/ops_impl.h"
#include "ir/kernel/kind.h"

#include <string.h>

static int64_t checked_count(KReader *r, const Shape *s) {
  int64_t n = 1;
  for (int i = 0; i < s->rank; i++)
    if (s->dim[i] < 1 || __builtin_mul_overflow(n, s->dim[i], &n) || n > INT64_MAX / 16)
      kr_fail(r, "an impossible shape");
  return n;
}

static void type(KReader *r, DType *dt, Shape *s) {
  *dt = kr_dtype(r);
  s->rank = kr_list(r, s->dim, MAX_RANK);
  checked_count(r, s);
}

/* ---- kernels ---- */
/* (buf0: f32[4], buf1 -> buf2); types are for people */
static void operands(KReader *r, Kernel *k) {
  VEC(int) buf = {0};
  int nin = -1;
  kr_expect(r, "(");
  for (;;) {
    if (kr_eat(r, "->")) nin = buf.n;
    if (!kr_prefix(r, "buf")) kr_fail(r, "expected a buffer");
    int b = kr_small(r, 0, r->prog->buf.n - 1, "buffer");
    vec_push(r->a, &buf, b);
    for (int depth = 0; *r->p && *r->p != '\n'; r->p++) {
      depth += (*r->p == '[') - (*r->p == ']');
      if (!depth && (*r->p == ',' || *r->p == ')' || (*r->p == '-' && r->p[1] == '>'))) break;
    }
    if (kr_eat(r, ")")) break;
    kr_eat(r, ",");
  }
  if (nin < 0) kr_fail(r, "a kernel writes something");
  k->buf = buf.v;
  k->nbuf = buf.n;
  k->nout = buf.n - nin;
}

/* Which step of its plan, by the name that was read. */
static void find_step(KReader *r, Kernel *k) {
  ContractionPlan own;
  const ContractionPlan *plan = kernel_plan(r->prog, k, &own);
  if (!plan) return;
  for (k->step = 0; k->step < plan->nstep; k->step++)
    if (!strcmp(plan->step[k->step].name, r->step)) return;
  kr_fail(r, "this %s has no step '%.40s'", kernel_kind(k), r->step);
}

static void kernel(KReader *r) {
  Kernel k = {.val = -1};
  if (kr_small(r, 0, INT32_MAX, "kernel") != r->prog->kernel.n)
    kr_fail(r, "kernels are numbered in order: expected k%d", r->prog->kernel.n);
  const KindRow *row = kind_read(r, &k);
  if (row->read_head) row->read_head(r, &k);
  fields_read(r, row->field, row->nfield, &k);
  const char *impossible = row->impossible ? row->impossible(&k, &r->prog->target) : NULL;
  if (impossible) kr_fail(r, "%s", impossible);
  find_step(r, &k);
  operands(r, &k);
  k.commit = kr_eat(r, "commit");
  if (kr_eat(r, "in_loop=")) k.in_loop = kr_small(r, 1, r->prog->loop.n, "loop");
  if (kr_eat(r, "chain=")) k.chain = kr_small(r, 1, INT32_MAX, "chain");
  kr_expect(r, "flops");
  kr_expect(r, "=");
  k.flops = kr_real(r);
  kr_expect(r, "bytes");
  kr_expect(r, "=");
  k.bytes = kr_real(r);
  kr_where(r, &k.val, &k.loc, &k.role);
  if (row->read_body) row->read_body(r, &k);
  vec_push(r->a, &r->prog->kernel, k);
}

/* ---- loops ---- */
static void loop(KReader *r) {
  ProgramLoop l = {0};
  if (kr_small(r, 1, INT32_MAX, "loop") != r->prog->loop.n + 1)
    kr_fail(r, "loops are numbered in order: expected loop %d", r->prog->loop.n + 1);
  kr_expect(r, ":");
  l.steps = kr_number(r);
  kr_expect(r, "steps");
  if (l.steps < 1 || l.steps > (int64_t)1 << 31) kr_fail(r, "an impossible number of steps");
  if (kr_eat(r, "parent=")) l.parent = kr_small(r, 1, r->prog->loop.n, "loop");
  kr_end_line(r);
  vec_push(r->a, &r->prog->loop, l);
}

/* ---- buffers ---- */
static int kernel_number(KReader *r) {
  kr_blanks(r);
  if (*r->p != 'k') kr_fail(r, "expected a lifetime such as k0..k3");
  r->p++;
  return kr_small(r, -1, INT32_MAX, "kernel");
}

static void buffer(KReader *r) {
  Buf b = {.input = -1, .result = -1, .alias = -1, .within = -1, .first = -1, .last = -1, .val = -1};
  Program *p = r->prog;
  if (kr_small(r, 0, INT32_MAX, "buffer") != p->buf.n)
    kr_fail(r, "buffers are numbered in order: expected buf%d", p->buf.n);
  kr_expect(r, ":");
  if (!kr_eat(r, "raw")) type(r, &b.dt, &b.shape);
  if (kr_eat(r, "/")) b.block = kr_small(r, 1, 64, "channel block");
  if (b.block && (b.shape.rank != 4 || b.shape.dim[1] % b.block))
    kr_fail(r, "channels of %d do not fit", b.block);
  b.kind = (BufKind)kr_choice(r, buf_kind_names, 3, "temp, input or result");
  if (b.kind == BUF_INPUT) b.input = kr_small(r, 0, r->g->inputs.n - 1, "input");
  if (b.kind == BUF_RESULT) b.result = kr_small(r, 0, r->g->outputs.n - 1, "result");
  b.bytes = kr_number(r);
  if (b.bytes < 1 || (b.dt != DT_NONE && b.bytes < shape_count(&b.shape) * dtype_size(b.dt)))
    kr_fail(r, "%lld bytes are too few", (long long)b.bytes);
  kr_expect(r, "bytes");
  if (kr_eat(r, "chunk=") && ((b.chunk = kr_number(r)) < 1 || b.chunk > b.bytes))
    kr_fail(r, "an impossible chunk");
  if (kr_eat(r, "@")) {
    b.offset = kr_number(r);
    if (b.offset < 0 || b.offset > (b.chunk ? (int64_t)1 << 40 : p->arena_bytes - b.bytes))
      kr_fail(r, "the buffer does not lie in the arena of %lld bytes", (long long)p->arena_bytes);
    b.first = kernel_number(r);
    kr_expect(r, "..");
    b.last = kernel_number(r);
  } else if (p->arena_bytes) {
    kr_fail(r, "expected the buffer's place such as @4096");
  }
  if (kr_eat(r, "in ")) {
    if (!kr_prefix(r, "buf")) kr_fail(r, "expected a buffer");
    b.alias = kr_small(r, 0, INT32_MAX, "buffer");
  }
  if (kr_eat(r, "within ")) {
    if (!kr_prefix(r, "buf")) kr_fail(r, "expected a buffer");
    b.within = kr_small(r, 0, INT32_MAX, "buffer");
  }
  if (kr_eat(r, "at=")) b.at = kr_number(r);
  if (kr_eat(r, "loop=")) {
    b.loop = kr_small(r, 1, p->loop.n, "loop");
    kr_expect(r, "move=");
    b.move = kr_number(r);
  }
  if (kr_eat(r, "period=")) b.period = kr_small(r, 1, INT32_MAX, "period");
  if (kr_eat(r, "phase=")) b.phase = kr_small(r, 0, INT32_MAX, "phase");
  b.val = kr_value(r);
  kr_end_line(r);
  vec_push(r->a, &p->buf, b);
}

/* The lowest and highest place of buffer b in all steps; false where they are beyond numbers. */
static bool places(const Program *p, int b, int64_t *lo, int64_t *hi) {
  int own = p->buf.v[program_cell(p, b)].loop;
  *lo = *hi = 0;
  for (; b >= 0; b = p->buf.v[b].alias) {
    const Buf *x = &p->buf.v[b];
    bool moves = x->loop && program_in_loop(p, own, x->loop);
    int64_t first = x->phase, last = x->phase + (moves ? p->loop.v[x->loop - 1].steps - 1 : 0), from, to;
    if (x->period) {
      first = moves ? 0 : first % x->period;
      last = moves ? x->period - 1 : last % x->period;
    }
    if (__builtin_mul_overflow(x->move < 0 ? last : first, x->move, &from) ||
        __builtin_mul_overflow(x->move < 0 ? first : last, x->move, &to) ||
        __builtin_add_overflow(from, x->at, &from) || __builtin_add_overflow(to, x->at, &to))
      return false;
    if (__builtin_add_overflow(*lo, from, lo) || __builtin_add_overflow(*hi, to, hi)) return false;
  }
  return true;
}

/* What is wrong with where buffer b lies, or NULL. */
static const char *misplaced(const Program *p, int b) {
  const Buf *x = &p->buf.v[b], *in = &p->buf.v[program_memory(p, b)];
  int64_t lo, hi;
  if (!x->loop && (x->move || x->period || x->phase)) return "moves with no loop";
  if (!places(p, b, &lo, &hi) || lo < 0 || hi > in->bytes - x->bytes) return "leaves what it lies in";
  if (p->arena_bytes && x->offset != in->offset + program_place(p, b, 0, NULL) && !in->chunk)
    return "does not lie in its place";
  if (p->arena_bytes && in->offset % 64) return "begins inside of a line of memory";
  return NULL;
}

static void check_aliases(KReader *r) {
  Program *p = r->prog;
  for (int i = 0; i < p->buf.n; i++) {
    int b = i, steps = 0;
    for (; p->buf.v[b].alias >= 0; b = p->buf.v[b].alias)
      if (p->buf.v[b].alias >= p->buf.n || ++steps > p->buf.n)
        kr_fail(r, "buf%d shares memory in a circle", i);
    const Buf *x = &p->buf.v[b];
    if (x->within >= p->buf.n || x->within == b ||
        (x->within >= 0 && (p->buf.v[x->within].alias >= 0 || p->buf.v[x->within].within >= 0)))
      kr_fail(r, "buf%d does not lie in buf%d", b, x->within);
    const char *wrong = misplaced(p, i);
    if (wrong) kr_fail(r, "buf%d %s", i, wrong);
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
        kr_fail(r, "input \"%s\" belongs at %lld", r->g->inputs.v[i].name, (long long)at);
    at += (shape_count(&n->shape) * dtype_size(n->dt) + 63) / 64 * 64;
  }
  if (p->arena_bytes && at > p->arena_bytes) kr_fail(r, "the inputs do not fit the arena");
  for (int i = 0; i < r->g->outputs.n; i++) {
    const Output *o = &r->g->outputs.v[i];
    const Node *n = g_node(r->g, o->val);
    bool found = o->state >= 0 || (p->has && !(p->has & HAS_ORDER)); /* it gets one with its order */
    for (int b = 0; b < p->buf.n && !found; b++)
      found = p->buf.v[b].kind == BUF_RESULT && p->buf.v[b].result == i && p->buf.v[b].dt == n->dt &&
              shape_eq(&p->buf.v[b].shape, &n->shape);
    if (!found) kr_fail(r, "result \"%s\" has no buffer", o->name);
  }
}

static void decision(KReader *r) {
  Decision d = {.why = (Why)kr_choice(r, why_names, WHY_COUNT, "a reason such as operand or reads")};
  d.val = kr_value(r);
  if (d.val < 0) kr_fail(r, "expected the value that the reason is for");
  d.other = kr_value(r);
  if (kr_eat(r, "[")) {
    d.a = kr_real(r);
    kr_expect(r, ",");
    d.b = kr_real(r);
    kr_expect(r, "]");
  }
  kr_end_line(r);
  vec_push(r->a, &r->prog->decision, d);
}

/* ---- the file ---- */
bool program_is_text(const Source *src) {
  const char *p = src->text + (source_has_mark(src) ? TEXT_MARK : 0);
  while (*p == '#' || *p == '\n') {
    p += strcspn(p, "\n");
    p += *p == '\n';
  }
  return !strncmp(p, "program ", 8);
}

/* The graph stands last: read first, since values are named by its numbers. */
static void read_graph_part(KReader *r) {
  const char *at = strstr(r->src->text, "\ngraph ");
  if (!at) kr_fail(r, "the program's graph is missing: expected a line 'graph NAME {'");
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
  kr_expect(r, "program");
  kr_blanks(r);
  r->p += strcspn(r->p, " \n"); /* the graph's name, printed again from the graph */
  kr_expect(r, "target=");
  size_t n = strcspn(r->p, " \n");
  const char *cpu = arena_strndup(r->a, r->p, n);
  if (!target_named(cpu, &p->target)) kr_fail(r, "unknown target '%.40s'", cpu);
  r->p += n;
  kr_expect(r, "vector=");
  int vector = kr_small(r, 1, 1024, "vector");
  if (vector != p->target.vector_bytes)
    kr_fail(r, "the program was made for vectors of %d bytes, but %s has %d", vector, cpu,
            p->target.vector_bytes);
  kr_expect(r, "kernels=");
  *kernels = kr_small(r, 0, INT32_MAX, "kernels");
  kr_expect(r, "compute=");
  p->ncompute = kr_small(r, 0, *kernels, "compute");
  kr_expect(r, "arena=");
  p->arena_bytes = kr_number(r);
  if (p->arena_bytes < 0) kr_fail(r, "an arena of %lld bytes", (long long)p->arena_bytes);
  if (kr_eat(r, "has=")) {
    do
      p->has |=
          1 << kr_choice(r, program_has_names, HAS_BITS, "what a program has, such as kernels or order");
    while (kr_eat(r, ","));
    if (p->arena_bytes || p->has & HAS_PLAN || !(p->has & HAS_KERNELS))
      kr_fail(r, "only a program of kernels without an arena is unfinished");
  } else if (p->arena_bytes) {
    p->has = (1 << HAS_BITS) - 1;
  }
  kr_end_line(r);
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
    kr_end_line(r);
  }
  read_graph_part(r);
  int kernels;
  header(r, &kernels);
  while (kr_prefix(r, "loop")) loop(r);
  while (kr_prefix(r, "buf")) buffer(r);
  check_aliases(r);
  while (kr_prefix(r, "k")) kernel(r);
  while (kr_eat(r, "why")) decision(r);
  if (r->prog->kernel.n != kernels) kr_fail(r, "expected kernel k%d of %d", r->prog->kernel.n, kernels);
  if (!r->prog->arena_bytes) first_uses(r->prog);
  check_interface(r);
  char err[512];
  if (!program_verify(r->prog, err, sizeof err)) kr_fail(r, "%s", err);
}

Program *program_read(Arena *a, const Source *src, Diags *d) {
  KReader r = {.a = a, .d = d, .src = src, .p = src->text, .line_start = src->text, .line = 1};
  if (!source_is_text(src, d)) return NULL;
  if (source_has_mark(src)) r.line_start = r.p += TEXT_MARK;
  r.prog = NEW(a, Program);
  r.prog->arena = a;
  jmp_buf trap, **slot = diags_trap(d), *saved = *slot;
  *slot = &trap;
  bool ok = !setjmp(trap);
  if (ok) read_program(&r);
  *slot = saved;
  return ok ? r.prog : NULL;
}
