/* Where a NaN or an infinity came from. A training step that ends in one has committed nothing, so its
   compute section is run again, kernel by kernel, and every written buffer is looked at. The kernel that
   first writes a non-finite element is then taken apart: its operators are evaluated one by one (f32
   rounding, ir/graph/interp.c) on the operands it read, and the first that makes a NaN from numbers without one, or
   an infinity from finite numbers, is named with its model line. Infinite constants (masks) are no fault. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "ir/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int64_t n, nan, inf;
  double lo, hi; /* of the finite elements */
} Stat;

static Stat stat_of(const double *v, int64_t n) {
  Stat s = {.n = n, .lo = INFINITY, .hi = -INFINITY};
  for (int64_t i = 0; i < n; i++) {
    if (isnan(v[i])) s.nan++;
    else if (isinf(v[i])) s.inf++;
    else {
      if (v[i] < s.lo) s.lo = v[i];
      if (v[i] > s.hi) s.hi = v[i];
    }
  }
  return s;
}

static const char *stat_text(Arena *a, const Stat *s) {
  const char *bad = s->nan || s->inf ? arena_printf(a, ", %lld NaN, %lld infinite of %lld", (long long)s->nan,
                                                    (long long)s->inf, (long long)s->n)
                                     : "";
  if (s->lo > s->hi) return arena_printf(a, "no finite element%s", bad);
  return arena_printf(a, "min %.6g, max %.6g%s", s->lo, s->hi, bad);
}

typedef struct {
  Cli *c;
  const Compiled *k;
  Arena *a;      /* of the search */
  int loop;      /* the innermost one that the kernel being looked at is in, 0 none, and ... */
  int64_t *step; /* ... per loop of the program the step it is in */
} Search;

/* The elements of buffer b in row-major order. */
static double *read_buffer(Search *s, int b) {
  const Program *p = s->k->program;
  const Buf *u = &p->buf.v[b];
  int64_t n = shape_count(&u->shape);
  SessionTensor first = session_tensor_at(s->k->session, 0);
  const char *arena = (char *)first.data - s->k->plan->tensor[0].offset;
  double *raw = NEWN(s->a, double, n + 1);
  int64_t place = p->buf.v[program_memory(p, b)].offset + program_place(p, b, s->loop, s->step);
  tensors_to_cells(raw, u->dt, u->dt, arena + place, n);
  if (!u->block) return raw;
  double *v = NEWN(s->a, double, n + 1);
  for (int64_t i = 0; i < n; i++) v[i] = raw[program_stored_at(u, i)];
  return v;
}

/* ---- reports ---- */
static void describe(Search *s, const char *what, const Node *n, const double *v) {
  char type[128];
  Stat st = stat_of(v, shape_count(&n->shape));
  diag_note(s->c->diags, n->loc, "%s, %s: %s", what, type_str(n->dt, &n->shape, type), stat_text(s->a, &st));
}

static void blame(Search *s, const Node *n, const double *v) {
  char type[128];
  Stat st = stat_of(v, shape_count(&n->shape));
  diag_note(s->c->diags, n->loc, "the first bad value is the %s of `%s`, %s: %s",
            n->role == ROLE_GRADIENT ? "gradient through an operator,"
            : n->role == ROLE_UPDATE ? "update's result"
                                     : "result",
            op_table[n->op].name, type_str(n->dt, &n->shape, type), stat_text(s->a, &st));
}

static const char *operand_name(Search *s, int i, const Node *n) {
  const Graph *g = s->k->program->graph;
  return n->op == OP_input
             ? arena_printf(s->a, "operand %d, `%s`", i + 1, g->inputs.v[n->input].name)
             : arena_printf(s->a, "operand %d, the result of `%s`", i + 1, op_table[n->op].name);
}

/* ---- inside a kernel ---- */
typedef struct {
  Search *s;
  const Kernel *k;
  Graph *part;   /* the kernel's operators alone */
  Val *map;      /* value of the whole graph -> value of the part, -1 not there */
  VEC(Val) back; /* the other way round */
  VEC(Tensor64) in;
} Part;

static Val take(Part *p, Val v) {
  const Program *prog = p->s->k->program;
  const Node *n = g_node(prog->graph, v);
  if (p->map[v] >= 0) return p->map[v];
  int leaf = -1;
  for (int i = 0; i < p->k->nbuf - p->k->nout && leaf < 0; i++)
    if (prog->buf.v[p->k->buf[i]].val == v) leaf = p->k->buf[i];
  if (leaf >= 0) {
    const char *name = arena_printf(p->s->a, "v%d", v);
    p->map[v] = g_input(p->part, name, IN_ARG, n->dt, &n->shape, NULL);
    Tensor64 t = {n->dt, n->shape, read_buffer(p->s, leaf)};
    vec_push(p->s->a, &p->in, t);
  } else {
    if (n->op == OP_input || op_table[n->op].kind == KIND_SCAN) return -1; /* read under another name */
    Val *in = NEWN(p->s->a, Val, n->nin + 1);
    for (int i = 0; i < n->nin; i++)
      if ((in[i] = take(p, n->in[i])) < 0) return -1;
    p->map[v] = g_copy_node(p->part, prog->graph, v, in);
  }
  while (p->back.n <= p->map[v]) vec_push(p->s->a, &p->back, v);
  return p->map[v];
}

/* Names the operator at fault; false when the kernel does not tell. */
static bool blame_part(Search *s, const Kernel *k) {
  const Program *prog = s->k->program;
  const Graph *g = prog->graph;
  Part p = {.s = s, .k = k, .part = graph_new(s->a, "part"), .map = NEWN(s->a, Val, g->node.n + 1)};
  for (int v = 0; v < g->node.n; v++) p.map[v] = -1;
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++)
    if (prog->buf.v[k->buf[i]].val >= 0 && take(&p, prog->buf.v[k->buf[i]].val) < 0) return false;
  int n = p.part->node.n;
  for (Val v = 0; v < n; v++) g_output(p.part, arena_printf(s->a, "v%d", v), v, -1);
  Tensor64 *out = NEWN(s->a, Tensor64, n + 1);
  graph_interp(p.part, p.in.v, out, s->a, true);
  Stat *st = NEWN(s->a, Stat, n + 1);
  for (Val v = 0; v < n; v++) {
    const Node *x = g_node(p.part, v);
    st[v] = stat_of(out[v].v, shape_count(&x->shape));
    if (x->op == OP_fill && st[v].nan) {
      describe(s, "the first bad value is a constant", x, out[v].v);
      return true;
    }
    if (x->op == OP_input || x->nin == 0 || !dtype_is_float(x->dt)) continue;
    bool nan = false, inf = false;
    for (int i = 0; i < x->nin; i++) {
      nan |= st[x->in[i]].nan > 0;
      inf |= st[x->in[i]].inf > 0;
    }
    if (!(st[v].nan && !nan) && !(st[v].inf && !nan && !inf)) continue;
    blame(s, x, out[v].v);
    for (int i = 0; i < x->nin; i++)
      describe(s, operand_name(s, i, g_node(g, p.back.v[x->in[i]])), g_node(p.part, x->in[i]),
               out[x->in[i]].v);
    return true;
  }
  return false;
}

/* Library calls and convolutions compute one operator: its stored operands tell. */
static void blame_kernel(Search *s, const Kernel *k, int bad) {
  const Program *p = s->k->program;
  const Node *n = g_node(p->graph, k->val >= 0 ? k->val : p->buf.v[bad].val);
  blame(s, n, read_buffer(s, bad));
  for (int j = 0; j < n->nin; j++) { /* a packed operand is read by an earlier step of the same operator */
    int buf = -1;
    for (int i = 0; i < p->kernel.n && buf < 0; i++) {
      const Kernel *step = &p->kernel.v[i];
      if (step->val != k->val) continue;
      for (int o = 0; o < step->nbuf - step->nout && buf < 0; o++)
        if (p->buf.v[step->buf[o]].val == n->in[j]) buf = step->buf[o];
    }
    const Node *x = g_node(p->graph, n->in[j]);
    if (buf >= 0) describe(s, operand_name(s, j, x), x, read_buffer(s, buf));
  }
}

/* What a library says against operands that are finite. */
static void add_reason(Search *s, const Kernel *k) {
  double **mem = NEWN(s->a, double *, k->nbuf + 1);
  for (int i = 0; i < k->nbuf - k->nout; i++) mem[i] = read_buffer(s, k->buf[i]);
  const char *why = kernel_fault(k, mem, s->a);
  if (why) diag_note(s->c->diags, k->loc, "%s", why);
}

/* ---- the search ---- */
/* Does kernel k write what its operands did not hold? */
static int bad_buffer(Search *s, const Kernel *k) {
  const Program *p = s->k->program;
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const Buf *u = &p->buf.v[k->buf[i]];
    if (u->val < 0 || !dtype_is_float(u->dt)) continue;
    Stat st = stat_of(read_buffer(s, k->buf[i]), shape_count(&u->shape));
    if (st.nan || st.inf) return k->buf[i];
  }
  return -1;
}

static bool operands_finite(Search *s, const Kernel *k) {
  const Program *p = s->k->program;
  for (int i = 0; i < k->nbuf - k->nout; i++) {
    const Buf *u = &p->buf.v[k->buf[i]];
    if (u->val < 0 || !dtype_is_float(u->dt)) continue;
    Stat st = stat_of(read_buffer(s, k->buf[i]), shape_count(&u->shape));
    if (st.nan || st.inf) return false;
  }
  return true;
}

static bool blame_inputs(Search *s) {
  const Graph *g = s->k->program->graph;
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    const Node *n = g_node(g, in->val);
    SessionTensor t = session_tensor_at(s->k->session, i);
    if (!dtype_is_float(t.dt)) continue;
    int64_t count = shape_count(&t.shape);
    double *v = NEWN(s->a, double, count + 1);
    tensors_to_f64(v, t.dt, t.data, count);
    Stat st = stat_of(v, count);
    if (st.nan || st.inf) {
      describe(s, arena_printf(s->a, "`%s` is not finite before the step", in->name), n, v);
      return true;
    }
    arena_reset(s->a);
  }
  return false;
}

/* The same step with every kernel by itself. */
static Status without_chains(Cli *c, const Compiled *k, Compiled *out) {
  Compiler *own = cli_compiler(c, FOR_LOWERING | FOR_CODE);
  Program *p;
  Status s = compiler_alone(own, k->program, &p);
  if (!s) s = compiler_build_program(own, p, out);
  for (int i = 0; !s && i < out->plan->ntensor; i++) {
    SessionTensor to = session_tensor_at(out->session, i), from;
    if (to.kind != PT_RESULT && session_tensor(k->session, to.name, &from) && from.bytes == to.bytes)
      memcpy(to.data, from.data, (size_t)to.bytes);
  }
  return s;
}

/* Runs kernel i and looks at what it wrote. */
static bool search_kernel(Search *s, int i) {
  const Kernel *k = &s->k->program->kernel.v[i];
  session_run_alone(s->k->session, i);
  s->loop = k->in_loop;
  int bad = bad_buffer(s, k);
  bool found = bad >= 0 && kernel_parts(k, NULL) && blame_part(s, k);
  if (bad >= 0 && !found && operands_finite(s, k)) {
    blame_kernel(s, k, bad);
    add_reason(s, k);
    found = true;
  }
  for (int l = k->in_loop; found && l; l = s->k->program->loop.v[l - 1].parent)
    diag_note(s->c->diags, k->loc, "that was in step %lld of %lld of a scan (the first is 0)",
              (long long)s->step[l], (long long)s->k->program->loop.v[l - 1].steps);
  arena_reset(s->a);
  return found;
}

/* Kernels [from, to) of a loop's body, 0: of none, and of the loops inside. */
static bool search(Search *s, int from, int to, int loop) {
  const Program *p = s->k->program;
  for (int i = from; i < to; i++) {
    int below = program_loop_below(p, i, loop), first, last;
    if (!below) {
      if (search_kernel(s, i)) return true;
      continue;
    }
    program_loop_range(p, below, &first, &last);
    for (int64_t *t = &s->step[below]; *t < p->loop.v[below - 1].steps; ++*t) {
      session_at(s->k->session, below, *t);
      if (search(s, first, last + 1, below)) return true;
    }
    s->step[below] = 0;
    session_at(s->k->session, below, 0);
    i = last;
  }
  return false;
}

void cli_explain_nonfinite(Cli *c, const Compiled *chained) {
  Compiled own = {0};
  if (without_chains(c, chained, &own)) return;
  Search s = {c, &own, arena_new(), 0, xcalloc((size_t)own.program->loop.n + 1, sizeof *s.step, "loops")};
  const Program *p = own.program;
  bool found = blame_inputs(&s) || search(&s, 0, p->ncompute, 0);
  if (!found) diag_note(c->diags, NULL, "a second run of this step did not find the operator that made it");
  arena_free(s.a);
  free(s.step);
  compiled_free(&own);
}
