/* In-process compile and run (jit_run.h). */
#include "tests/unit/jit_run.h"

#include <math.h>
#include <string.h>

#include "codegen/codegen.h"
#include "runtime/exec.h"
#include "passes/graph/pass.h"
#include "tests/unit/op_cases.h"
#include "tests/unit/support.h"

extern const CodegenApi codegen_api;

static bool meet(const Program *p, int k, int j) {
  const Kernel *x = &p->kernel.v[k], *y = &p->kernel.v[j];
  for (int i = 0; i < x->nbuf; i++)
    for (int o = 0; o < y->nbuf; o++) {
      const Buf *b = &p->buf.v[program_root(p, x->buf[i])], *c = &p->buf.v[program_root(p, y->buf[o])];
      bool written = i >= x->nbuf - x->nout || o >= y->nbuf - y->nout;
      if (written && !b->chunk && !c->chunk && b->offset < c->offset + c->bytes &&
          c->offset < b->offset + b->bytes)
        return true;
    }
  return false;
}

/* Steps that may run at the same time touch nothing of each other's. */
static void check_overlap(const Program *p, const Plan *plan) {
  for (int k = 0; k < plan->nstep; k += plan->step[k].chain)
    for (int j = 0; j < k; j++)
      for (int i = 0; i < plan->step[k].chain; i++) {
        const Step *later = &plan->step[k], *earlier = &plan->step[j];
        bool waits = earlier->beside ? j < later->awaits : j < k - later->overlap;
        if (later->overlap > k || (!waits && meet(p, k + i, j)))
          bug("jit_run: %s may run beside %s", plan->step[k + i].name, earlier->name);
      }
}

int jit_run(Arena *a, const Graph *g, const JitRun *how, const Tensor64 *in, Tensor64 *out) {
  return jit_run_ranks(a, g, how, NULL, in, out);
}

int jit_run_ranks(Arena *a, const Graph *g, const JitRun *how, Ranks *ranks, const Tensor64 *in,
                  Tensor64 *out) {
  Target t;
  Diags *d = diags_new(a);
  if (!target_named(how->cpu, &t)) bug("jit_run: cpu %s", how->cpu);
  PipelineOptions po = {.verify_each = true,
                        .precision = how->precision,
                        .blas = how->blas,
                        .conv = how->conv,
                        .no_chains = how->chain_bytes < 0,
                        .chain_bytes = how->chain_bytes > 0 ? how->chain_bytes : 0};
  Status st;
  Program *p = pipeline_lower(a, g, &t, &po, d, &st);
  if (!p) bug("jit_run: lowering failed");
  codegen_api.own_process();
  CodegenOptions co = {.threads = 1};
  Plan *plan;
  Code *code = codegen_jit(p, &co, a, d, &plan);
  if (!code) {
    diags_print(d, stderr);
    bug("jit_run: code generation failed");
  }
  int64_t used = 0; /* what check and explain predict is what a run takes */
  for (int b = 0; b < p->buf.n; b++) {
    int64_t end = (p->buf.v[b].offset + p->buf.v[b].bytes + 63) / 64 * 64;
    if (!p->buf.v[b].chunk && end > used) used = end;
  }
  if (used != p->arena_bytes || plan->arena_bytes != p->arena_bytes)
    bug("jit_run: an arena of %lld bytes, %lld predicted, %lld used", (long long)plan->arena_bytes,
        (long long)p->arena_bytes, (long long)used);
  check_overlap(p, plan);
  Session *s = session_new(plan, how->threads);
  session_ranks(s, ranks);
  for (int i = 0; i < g->inputs.n; i++) {
    SessionTensor x;
    if (!session_tensor(s, g->inputs.v[i].name, &x)) bug("jit_run: no tensor %s", g->inputs.v[i].name);
    int64_t n = shape_count(&x.shape);
    for (int64_t j = 0; j < n; j++) store_f64(x.data, x.dt, j, in[i].v[j]);
  }
  session_run(s, 0, plan->nstep);
  for (int i = 0; i < g->outputs.n; i++) {
    const Output *o = &g->outputs.v[i];
    SessionTensor x;
    bool found = false;
    for (int k = 0; k < plan->ntensor && !found; k++) {
      x = session_tensor_at(s, k);
      bool result = x.kind == PT_RESULT;
      found = o->state >= 0 ? !result && !strcmp(x.name, g->inputs.v[o->state].name)
                            : result && !strcmp(x.name, o->name);
    }
    if (!found) bug("jit_run: no result %s", o->name);
    out[i].dt = x.dt;
    out[i].shape = x.shape;
    int64_t n = shape_count(&x.shape);
    out[i].v = NEWN(a, double, n);
    for (int64_t j = 0; j < n; j++) out[i].v[j] = load_f64(x.data, x.dt, j);
  }
  session_free(s);
  codegen_free(code);
  int chains = 0;
  for (int k = 0; k < p->kernel.n; k++)
    chains = p->kernel.v[k].chain > chains ? p->kernel.v[k].chain : chains;
  return chains;
}

double relative_error(const Tensor64 *want, const Tensor64 *got) {
  double e = 0, m = 0;
  int64_t n = shape_count(&want->shape);
  for (int64_t j = 0; j < n; j++) {
    double x = cell_value(want->dt, want->v[j]), y = cell_value(got->dt, got->v[j]);
    if (isnan(x) && isnan(y)) continue;
    if (x == y) {
      m += isinf(x) ? 0 : x * x;
      continue;
    }
    if (!isfinite(x) || !isfinite(y)) return INFINITY;
    e += (x - y) * (x - y);
    m += x * x;
  }
  return sqrt(e) / (sqrt(m) + 1e-3 * sqrt((double)n));
}

/* Random, in [-half an ulp of f32, half an ulp]. */
static double noise(uint64_t seed, int stream, int64_t i) {
  return 0x1p-24 * fmax(fmin(op_case_normal(seed, (uint32_t)stream, (uint64_t)i), 1), -1);
}

/* The sum of the finite magnitudes of what node v of g adds up. */
static Val magnitude(Graph *out, const Graph *g, Val v, const Val *map) {
  const Node *n = g_node(g, v);
  Val abs[3];
  for (int i = 0; i < n->nin; i++) {
    Val x = abs[i] = map[n->in[i]];
    if (!dtype_is_float(g_node(out, x)->dt)) continue;
    Val y = g_unary(out, OP_abs, x), finite = g_binary(out, OP_lt, y, g_fill_like(out, y, INFINITY));
    abs[i] = g_select(out, finite, y, g_fill_like(out, y, 0));
  }
  if (op_table[n->op].kind == KIND_REDUCE) return g_reduce(out, OP_reduce_sum, abs[0], &n->attr[0]);
  return g_copy_node(out, g, v, abs);
}

/* For each element of y half an ulp or less, in part the same for all of them. */
static Val roundings(Graph *out, Val y, DType dt, uint64_t seed, Val stream) {
  Shape s = g_node(out, y)->shape, scalar = {0};
  double ulp = dt == DT_BF16 ? 0x1p-8 : 0x1p-24;
  Val at[2] = {g_fill(out, DT_I64, &scalar, (Imm)seed), g_fill(out, DT_I64, &scalar, 0)};
  Ints name = ints1(stream);
  Val own = g_cast(out, g_add(out, OP_random_bits, at, 2, &name, 0, DT_U32, &s), dt);
  own = g_binary(out, OP_mul, own, g_fill_like(out, own, ulp * 0x1p-31));
  return g_binary(out, OP_add, own, g_fill_like(out, own, ulp * (noise(seed, 0, stream) * 0x1p24 - 1)));
}

/* y, or NaN where an operand of convolution n has an element that is not finite: it may meet the zeros around an image. */
static Val unless_odd(Graph *out, const Node *n, const Val *map, Val y, double most) {
  Shape s = g_node(out, y)->shape;
  Ints none = {0};
  for (int i = 0; i < n->nin; i++) {
    Val x = g_unary(out, OP_abs, map[n->in[i]]);
    Ints all = ints_range(g_node(out, x)->shape.rank);
    Val finite = g_binary(out, OP_lt, x, g_fill_like(out, x, most));
    Val bad = g_select(out, finite, g_fill_like(out, x, 0), g_fill_like(out, x, 1));
    bad =
        g_broadcast(out, g_cast(out, g_reduce(out, OP_reduce_max, bad, &all), g_node(out, y)->dt), &s, &none);
    y = g_select(out, g_binary(out, OP_lt, bad, g_fill_like(out, bad, 0.5)), y, g_fill_like(out, y, NAN));
  }
  return y;
}

Graph *jit_disturbed(Arena *a, const Graph *g, uint64_t seed, double most) {
  Val *map;
  Graph *out = pass_begin(a, g, &map);
  for (Val v = 0; v < g->node.n; v++) {
    const Node *n = g_node(g, v);
    OpKind kind = op_table[n->op].kind;
    Val y = map[v] = pass_copy(out, g, v, map), size = y;
    if (!dtype_is_float(n->dt) || kind == KIND_INPUT || kind == KIND_SOURCE || kind == KIND_VIEW ||
        kind == KIND_SCAN)
      continue;
    bool adds = kind == KIND_DOT || kind == KIND_CONV || kind == KIND_FOLD || n->op == OP_scatter_add ||
                n->op == OP_reduce_sum || n->op == OP_reduce_mean || n->op == OP_reduce_m2;
    Val sum = adds ? magnitude(out, g, v, map) : -1;
    if (adds && kind != KIND_REDUCE) size = sum;
    if (n->op == OP_reduce_sum) size = sum;
    Val by = g_binary(out, OP_mul, size, roundings(out, y, n->dt, seed, v));
    Val finite = g_binary(out, OP_lt, g_unary(out, OP_abs, size), g_fill_like(out, y, INFINITY));
    map[v] = g_binary(out, OP_add, y, g_select(out, finite, by, g_fill_like(out, y, 0)));
    if (!adds || !isfinite(most)) continue;
    if (kind == KIND_CONV) map[v] = unless_odd(out, n, map, map[v], most);
    double few = n->op == OP_reduce_m2 ? (double)shape_count(&g_node(g, n->in[0])->shape)
                                       : 1; /* adds differences from one */
    Val fits = g_binary(out, OP_lt, sum, g_fill_like(out, sum, most / few));
    map[v] = g_select(out, fits, map[v], g_fill_like(out, y, NAN));
  }
  pass_outputs(out, g, map);
  return out;
}

/* What rounding may do to output i in any order of operations: sums cancel, maxima tie, what is nearly equal is
   compared. */
static double condition(Arena *a, const Graph *g, const Tensor64 *in, const Tensor64 *want, int i) {
  enum { TRIALS = 4 };
  double most = 0;
  for (uint64_t seed = 1; seed <= TRIALS; seed++) {
    Tensor64 *x = NEWN(a, Tensor64, g->inputs.n + 1), *out = NEWN(a, Tensor64, g->outputs.n + 1);
    for (int k = 0; k < g->inputs.n; k++) {
      int64_t n = shape_count(&in[k].shape);
      x[k] = in[k];
      x[k].v = NEWN(a, double, n);
      for (int64_t j = 0; j < n; j++)
        x[k].v[j] = in[k].v[j] * (dtype_is_float(in[k].dt) ? 1 + noise(seed, k + 1, j) : 1);
    }
    graph_interp(jit_disturbed(a, g, seed, INFINITY), x, out, a, false);
    most = fmax(most, relative_error(&want[i], &out[i]));
  }
  return most;
}

double jit_worst(Arena *a, const Graph *g, const JitRun *how, const Tensor64 *in, const char **where) {
  enum { CONDITION = 2 };
  const double small = 1e-4; /* needs no excuse */
  Tensor64 *got = NEWN(a, Tensor64, g->outputs.n + 1), *want = NEWN(a, Tensor64, g->outputs.n + 1);
  Tensor64 *rounded = NEWN(a, Tensor64, g->outputs.n + 1);
  graph_interp(g, in, want, a, false);
  graph_interp(g, in, rounded, a, true);
  jit_run(a, g, how, in, got);
  double w = 0;
  for (int i = 0; i < g->outputs.n; i++) {
    double e = fmin(relative_error(&want[i], &got[i]), relative_error(&rounded[i], &got[i]));
    if (e <= w || e <= 4 * relative_error(&want[i], &rounded[i]) ||
        (e > small && e <= CONDITION * condition(a, g, in, want, i)))
      continue;
    w = e;
    *where = g->outputs.v[i].name;
  }
  return w;
}
