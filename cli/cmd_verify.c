/* jepac verify: is this model compiled correctly? Every stage is run by an interpreter on the same random
   inputs and compared with the stage before it, every compiled kernel with the kernel interpreter on the
   operands it meets, the gradients with finite differences. The first difference is named with its pass or
   kernel and its model line; exit code 5. This file compares graphs and programs. */
#include "cli/explain.h"
#include "cli/verify.h"
#include "ir/graph/loops.h"
#include "runtime/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What interpreting takes in all: for each operation of one evaluation, and at least. */
#define SECONDS_PER_GFLOP 110.0
#define SECONDS_FIRST 2.0
enum { SECONDS_WANTED = 60, SECONDS_MOST = 24 * 3600, LEAST_BATCH = 4 };

/* Rank `rank`'s part of x where that has a smaller shape (passes/graph/shard.c): samples, or a row of numbers. */
static Tensor64 part_of(Arena *a, Tensor64 x, const Shape *shape, int rank) {
  int64_t n = shape_count(shape), all = shape_count(&x.shape), left = all - rank * n;
  if (n == all) return x;
  double *y = NEWN(a, double, n + 1);
  memcpy(y, x.v + (left > 0 ? rank * n : 0), (size_t)(left < 0 ? 0 : left < n ? left : n) * sizeof *y);
  return (Tensor64){x.dt, *shape, y};
}

/* Stages have the same inputs by name, and random numbers are dear: each is made once. */
static Tensor64 input_values(Verify *v, const Input *x) {
  Arena *a = v->c->arena;
  for (int k = 0; k < v->known.n; k++)
    if (!strcmp(v->known.v[k].name, x->name)) return v->known.v[k].value;
  SessionTensor t;
  if (!session_tensor(v->store, x->name, &t)) bug("verify: a pass made up the input %s", x->name);
  int64_t n = shape_count(&t.shape);
  double *y = NEWN(a, double, n + 1), *r = NEWN(a, double, n + 1);
  if (x->kind == IN_ARG) cli_random_values(x->name, t.dt, n, v->seed, y);
  else if (x->kind == IN_RUNTIME)
    y[0] = int_cell(t.dt, !strcmp(x->name, "step") ? 3 : !strcmp(x->name, "seed") ? 1 : 1000);
  else tensors_to_cells(y, t.dt, t.dt, t.data, n);
  bool off = x->kind == IN_PARAM && x->init.kind == INIT_FILL; /* off the kinks that exact zeros sit on */
  bool state = x->kind == IN_SLOT || x->kind == IN_BUFFER;     /* as after some steps: small and positive */
  if (off || (state && dtype_is_float(t.dt))) cli_random_values(x->name, DT_F32, n, v->seed, r);
  for (int64_t k = 0; k < n && off; k++) y[k] += 0.1 * r[k];
  for (int64_t k = 0; k < n && state && dtype_is_float(t.dt); k++) y[k] += 0.01 * fabs(r[k]);
  for (int64_t k = 0; k < n && dtype_is_narrow(t.dt); k++) y[k] = dtype_round(t.dt, y[k], true);
  Known known = {x->name, {t.dt, t.shape, y}};
  vec_push(a, &v->known, known);
  return known.value;
}

static Tensor64 *rank_inputs(Verify *v, const Graph *g, int rank) {
  Tensor64 *in = NEWN(v->c->arena, Tensor64, g->inputs.n + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    in[i] = part_of(v->c->arena, input_values(v, x), &g_node(g, x->val)->shape, rank);
  }
  return in;
}

Tensor64 *verify_inputs(Verify *v, const Graph *g) {
  return rank_inputs(v, g, v->c->ranks ? v->c->ranks->rank : 0);
}

double verify_largest(const Tensor64 *x) {
  double most = 0;
  for (int64_t i = 0; i < shape_count(&x->shape); i++)
    if (isfinite(cell_value(x->dt, x->v[i]))) most = fmax(most, fabs(cell_value(x->dt, x->v[i])));
  return most;
}

double verify_distance(const Tensor64 *x, const Tensor64 *y, double around) {
  if (!shape_eq(&x->shape, &y->shape)) return INFINITY;
  const double *a = x->v, *b = y->v;
  double most = 0, scale = fmax(verify_largest(x), VERIFY_CANCELLED * around);
  int64_t n = shape_count(&x->shape);
  for (int64_t i = 0; i < n; i++) {
    double p = cell_value(x->dt, a[i]), q = cell_value(y->dt, b[i]);
    double d = p == q || (isnan(p) && isnan(q)) ? 0 : fabs(p - q);
    if (isnan(d)) d = INFINITY;
    if (d > most) most = d;
  }
  return most > 0 ? most / fmax(scale, 1e-30) : 0;
}

/* ---- graphs ---- */
Tensor64 *verify_values(Arena *a, const Graph *g, const Tensor64 *in) {
  Graph *all = graph_new(a, g->name);
  for (Val v = 0; v < g->node.n; v++) g_copy_node(all, g, v, g_node(g, v)->in);
  for (Val v = 0; v < g->node.n; v++) g_output(all, "v", v, -1);
  Tensor64 *out = NEWN(a, Tensor64, g->node.n + 1);
  graph_interp(all, in, out, a, false);
  return out;
}

static bool has_equal(const Graph *h, const Tensor64 *values, const Tensor64 *x) {
  for (Val v = 0; v < h->node.n; v++)
    if (shape_count(&values[v].shape) == shape_count(&x->shape) &&
        verify_distance(&(Tensor64){x->dt, x->shape, values[v].v}, x, 0) < VERIFY_TOLERANCE)
      return true;
  return false;
}

/* The first value of the later graph that the earlier one does not have, though it has its operands, on a
   line that also lost a value: the place where the pass went wrong. */
static Val culprit(Verify *v, const Graph *before, const Graph *after, const Tensor64 *in_before,
                   const Tensor64 *in_after) {
  Arena *a = v->c->arena;
  Tensor64 *x = verify_values(a, before, in_before), *y = verify_values(a, after, in_after);
  bool *known = NEWN(a, bool, after->node.n + 1);
  Val first = -1;
  for (Val n = 0; n < after->node.n; n++) known[n] = has_equal(before, x, &y[n]);
  for (Val n = 0; n < after->node.n; n++) {
    const Node *node = g_node(after, n);
    bool operands = true;
    for (int i = 0; i < node->nin; i++) operands &= known[node->in[i]];
    if (known[n] || !operands || !dtype_is_float(node->dt)) continue;
    if (first < 0) first = n;
    int line = lines_find(v->lines, node->loc);
    for (Val m = 0; m < before->node.n; m++) {
      const Node *old = g_node(before, m);
      if (old->op == OP_input || old->role != node->role || lines_find(v->lines, old->loc) != line) continue;
      if (!has_equal(after, y, &x[m])) return n;
    }
  }
  return first;
}

static Status mismatch(Verify *v, const char *pass, const Output *o, double error, const Node *n) {
  cli_fail(v->c, ST_VERIFY, "pass %s changes the result %s: relative error %.3g", pass, o->name, error);
  if (n)
    diag_note(v->c->diags, n->loc, "first wrong value: %s in the %s part of %s", op_table[n->op].name,
              role_word(n->role), lines_name(v->lines, lines_find(v->lines, n->loc)));
  return ST_VERIFY;
}

/* Inputs a pass dropped are found by name. */
static Evaluated evaluate(Verify *v, const Graph *g) {
  Evaluated e = {0};
  e.g = compiler_expand(cli_compiler(v->c, 0), g);
  if (!e.g) return e;
  e.in = verify_inputs(v, e.g);
  e.out = NEWN(v->c->arena, Tensor64, e.g->outputs.n + 1);
  graph_interp(e.g, e.in, e.out, v->c->arena, false);
  return e;
}

static int find_output(const Graph *g, const Output *o) {
  for (int i = 0; i < g->outputs.n; i++)
    if (!strcmp(g->outputs.v[i].name, o->name) && (g->outputs.v[i].state >= 0) == (o->state >= 0)) return i;
  return -1;
}

Status verify_results(Verify *v, const char *pass, const Evaluated *before, const Graph *g,
                      const Tensor64 *out, const Evaluated *after) {
  double worst = 0, around = 0;
  for (int i = 0; i < before->g->outputs.n; i++) around = fmax(around, verify_largest(&before->out[i]));
  for (int i = 0; i < before->g->outputs.n; i++) {
    const Output *o = &before->g->outputs.v[i];
    int k = find_output(g, o);
    if (k < 0) return cli_fail(v->c, ST_VERIFY, "pass %s lost the result %s", pass, o->name);
    double e = verify_distance(&before->out[i], &out[k], around);
    worst = fmax(worst, e);
    if (e <= VERIFY_TOLERANCE) continue;
    Val c = after ? culprit(v, before->g, after->g, before->in, after->in) : -1;
    return mismatch(v, pass, o, e, c >= 0 ? g_node(after->g, c) : NULL);
  }
  v->error = worst;
  return ST_OK;
}

typedef struct {
  Verify *v;
  Evaluated now;
  uint64_t text; /* hash of the graph it evaluates */
  int number;
  Status status;
} Watch;

static uint64_t text_of(const Graph *g) {
  StrBuf b = {0};
  graph_print(g, &b);
  uint64_t h = hash_bytes(b.s, b.n, 0);
  sb_free(&b);
  return h;
}

/* All ranks, in this process, against the step of the whole batch, or against ranks with batches of their own. */
static Status shared_stage(Watch *w, const PassResult *r) {
  Verify *v = w->v;
  Arena *a = v->c->arena;
  const Graph *old = w->now.g, *g = compiler_expand(cli_compiler(v->c, 0), r->graph);
  int n = v->c->compiler.ranks;
  if (!g) return ST_MODEL;
  const Tensor64 **in = NEWN(a, const Tensor64 *, n), **in_old = NEWN(a, const Tensor64 *, n);
  Tensor64 **out = NEWN(a, Tensor64 *, n), **want = NEWN(a, Tensor64 *, n);
  for (int k = 0; k < n; k++) {
    in[k] = rank_inputs(v, g, k);
    in_old[k] = rank_inputs(v, old, k);
    out[k] = NEWN(a, Tensor64, g->outputs.n + 1);
    want[k] = old->ranks > 1 ? w->now.out : NEWN(a, Tensor64, old->outputs.n + 1);
  }
  if (old->ranks < 2) graph_interp_ranks(old, n, in_old, want, a, false);
  graph_interp_ranks(g, n, in, out, a, false);
  double worst = 0, around = 0;
  for (int i = 0; i < old->outputs.n; i++) around = fmax(around, verify_largest(&want[0][i]));
  for (int i = 0; i < old->outputs.n; i++) {
    const Output *o = &old->outputs.v[i];
    int at = find_output(g, o);
    if (at < 0) return cli_fail(v->c, ST_VERIFY, "pass %s lost the result %s", r->pass, o->name);
    for (int k = 0; k < n; k++) {
      Tensor64 own = part_of(a, want[k][i], &out[k][at].shape, k), got = out[k][at];
      for (int64_t j = shape_count(&want[k][i].shape) - k * shape_count(&got.shape);
           j < shape_count(&got.shape) && shape_count(&got.shape) < shape_count(&want[k][i].shape); j++)
        if (j >= 0) got.v[j] = 0; /* behind the last element */
      double e = verify_distance(&own, &got, around);
      if (e > VERIFY_TOLERANCE) {
        diag_note(v->c->diags, NULL, "on rank %d of %d", k, n);
        return mismatch(v, r->pass, o, e, NULL);
      }
      worst = fmax(worst, e);
    }
  }
  v->error = worst;
  w->now = evaluate(v, r->graph); /* from here on one process stands for all */
  return w->now.g ? ST_OK : ST_MODEL;
}

static Status graph_stage(Watch *w, const PassResult *r, bool *same) {
  uint64_t text = text_of(r->graph);
  *same = text == w->text;
  w->text = text;
  if (*same) return ST_OK;
  if (w->v->c->compiler.ranks > 1 && !strcmp(r->pass, "shard")) return shared_stage(w, r);
  Arena *a = w->v->c->arena;
  Evaluated next = evaluate(w->v, r->graph), now = w->now, then = next;
  if (!next.g) return ST_MODEL;
  if (r->rounds) {
    now = evaluate(w->v, precision_widened(a, now.g));
    then = evaluate(w->v, precision_widened(a, next.g));
  }
  Status s = verify_results(w->v, r->pass, &now, then.g, then.out, &then);
  w->now = next;
  return s;
}

static bool watch(void *ctx, const PassResult *r) {
  Watch *w = ctx;
  Verify *v = w->v;
  bool same = false;
  v->error = -1;
  if (v->fault && !strncmp(v->fault, "pass=", 5) && atoi(v->fault + 5) == ++w->number) {
    v->fault = NULL;
    if (!verify_damage(r)) {
      w->status = cli_fail(v->c, ST_USAGE, "pass %s has nothing to damage", r->pass);
      return false;
    }
  }
  w->status = r->graph   ? graph_stage(w, r, &same)
              : r->block ? verify_layout(v, r)
                         : verify_program(v, r, &w->now);
  if (w->status) return false;
  v->stages++;
  if (OPT(v->c, quiet)) return true;
  printf("pass   %-12s ok   ", r->pass);
  if (same) printf("unchanged\n");
  else if (v->error < 0)
    printf("%s\n", r->block ? "fits its values" : r->new_kernels ? "each kernel alone" : "in order");
  else printf("error %.1e\n", v->error);
  return true;
}

Status verify_stages(Verify *v, const Graph *g, Program **last) {
  Cli *c = v->c;
  Watch w = {.v = v, .now = evaluate(v, g), .text = text_of(g)};
  if (!w.now.g) return ST_MODEL;
  c->watch = watch;
  c->watch_ctx = &w;
  const Graph *done = cli_passes(c, g, NULL);
  Status s = done ? cli_lower(c, done, last) : ST_MODEL;
  c->watch = NULL;
  return w.status ? w.status : s;
}

/* ---- the command ---- */
/* Of models of any size: nothing is interpreted. */
static Status only_bounds(Verify *v, const Graph *g) {
  Program *p, *alone;
  const Graph *done = cli_passes(v->c, g, NULL);
  Status s = done ? cli_lower(v->c, done, &p) : ST_MODEL;
  if (!s) s = compiler_alone(cli_compiler(v->c, FOR_LOWERING), p, &alone);
  if (!s) s = verify_bounds(v, alone);
  session_free(v->store);
  return s;
}

/* ---- the size ---- */
static double seconds(double flops) { return SECONDS_FIRST + SECONDS_PER_GFLOP * flops / 1e9; }

static const char *duration(Arena *a, double s) {
  return s < 90     ? arena_printf(a, "%.0f s", s)
         : s < 5400 ? arena_printf(a, "%.0f minutes", s / 60)
                    : arena_printf(a, "%.1f hours", s / 3600);
}

static bool batch_is_told(const Cli *c) {
  for (int i = 0; i < c->opt.nset; i++)
    if (!strcmp(c->opt.set[i].name, "batch")) return true;
  return c->opt.nset == MAX_SET;
}

/* The subject, with as many samples as take about a minute unless a number is told; says what it will take. */
static Status choose_size(Verify *v, const Graph **g) {
  Cli *c = v->c;
  int64_t own, batch;
  Status s = cli_subject(c, g, &own);
  if (s) return s;
  v->flops = graph_flops(*g);
  if (OPT(c, check_bounds)) return ST_OK;
  double whole = seconds(v->flops);
  batch = own;
  if (own > LEAST_BATCH && whole > SECONDS_WANTED && !batch_is_told(c)) {
    batch = (int64_t)((double)own * (SECONDS_WANTED - SECONDS_FIRST) / (whole - SECONDS_FIRST));
    if (batch < LEAST_BATCH) batch = LEAST_BATCH;
    int64_t ranks = c->compiler.ranks > 1 ? c->compiler.ranks : 1;
    batch = div_up(batch, ranks) * ranks;
    c->opt.set[c->opt.nset++] = (NameValue){"batch", arena_printf(c->arena, "%lld", (long long)batch)};
    if ((s = cli_subject(c, g, &own))) return s;
    v->flops = graph_flops(*g);
  }
  if (seconds(v->flops) > SECONDS_MOST) {
    cli_fail(c, ST_USAGE, "verify interprets the model, which would take about %s",
             duration(c->arena, seconds(v->flops)));
    diag_note(c->diags, NULL, "make it smaller: --set NAME=VALUE for its batch or its widths");
    return ST_USAGE;
  }
  if (OPT(c, quiet)) return ST_OK;
  printf("size   ");
  if (batch) printf("batch %-6lld ", (long long)batch);
  printf("     about %s", duration(c->arena, seconds(v->flops)));
  if (seconds(v->flops) < whole) printf(" (of all its samples %s: --set batch=N)", duration(c->arena, whole));
  printf("\n");
  fflush(stdout); /* before the wait */
  return ST_OK;
}

Status cmd_verify(Cli *c) {
  Verify v = {.c = c, .lines = lines_new(c->arena), .fault = getenv("JEPAC_FAULT")};
  v.seed = OPT(c, seed) >= 0 ? (uint64_t)OPT(c, seed) : 1;
  if (v.fault && !*v.fault) v.fault = NULL;
  if (v.fault && !strcmp(v.fault, "bug")) bug("JEPAC_FAULT asks for one");
  const Graph *g;
  Program *p, *alone;
  Status s = cli_ranks_start(c);
  if (!s && !c->ranks) s = cli_ranks_told(c);
  if (s) return s;
  if (c->ranks && c->ranks->rank) c->opt.quiet = true;
  if ((s = choose_size(&v, &g))) return s;
  (void)OPT(c, allow_extern);
  if ((s = compiler_may_run(cli_compiler(c, 0), g))) return s;
  if (!(v.store = tensors_store(cli_compiler(c, 0), g, v.seed))) return ST_BUDGET;
  if (OPT(c, check_bounds)) return only_bounds(&v, g);
  s = verify_gradients(&v, g);
  if (!s) s = verify_stages(&v, g, &p);
  if (!s) s = compiler_alone(cli_compiler(c, FOR_LOWERING), p, &alone);
  if (!s) s = verify_kernels(&v, p, alone);
  if (!s) s = verify_bounds(&v, alone);
  session_free(v.store);
  if ((s = cli_ranks_settle(c, s)) || (c->ranks && c->ranks->rank)) return s;
  if (v.fault)
    return cli_fail(c, ST_USAGE, "JEPAC_FAULT is pass=N (of those listed), kernels, bounds or bug, not '%s'",
                    v.fault);
  printf("ok     %d passes and %d kernels; largest error %.2g of what is allowed\n", v.stages, v.kernels,
         v.worst);
  return ST_OK;
}
