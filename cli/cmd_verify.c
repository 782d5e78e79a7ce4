/* jepac verify: is this model compiled correctly? Every stage is run by an interpreter on the same random
   inputs and compared with the stage before it, every compiled kernel with the kernel interpreter on the
   operands it meets, the gradients with finite differences. The first difference is named with its pass or
   kernel and its model line; exit code 5. This file compares graphs and programs. */
#include "cli/explain.h"
#include "cli/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GFLOP = 4 };
static const double tolerance = 1e-7; /* of the largest element; both sides compute in f64 */

Tensor64 *verify_inputs(Verify *v, const Graph *g) {
  Arena *a = v->c->arena;
  Tensor64 *in = NEWN(a, Tensor64, g->inputs.n + 1);
  Session *store = cli_store(v->c, g, v->seed);
  if (!store) return NULL;
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *x = &g->inputs.v[i];
    SessionTensor t = session_tensor_at(store, i);
    int64_t n = shape_count(&t.shape);
    in[i] = (Tensor64){t.dt, t.shape, NEWN(a, double, n + 1)};
    if (x->kind == IN_ARG) cli_random_values(x->name, t.dt, n, v->seed, in[i].v);
    else if (x->kind == IN_RUNTIME)
      in[i].v[0] = !strcmp(x->name, "step") ? 3 : !strcmp(x->name, "seed") ? 1 : 1000;
    else cli_to_f64(in[i].v, t.dt, t.data, n);
    if (x->kind == IN_PARAM && x->init.kind == INIT_FILL) { /* off the kinks that exact zeros sit on */
      double *r = NEWN(a, double, n + 1);
      cli_random_values(x->name, DT_F32, n, v->seed, r);
      for (int64_t k = 0; k < n; k++) in[i].v[k] += 0.1 * r[k];
    }
    if (x->kind == IN_SLOT || x->kind == IN_BUFFER) { /* as after some steps: small and positive */
      double *r = NEWN(a, double, n + 1);
      cli_random_values(x->name, DT_F32, n, v->seed, r);
      for (int64_t k = 0; k < n && dtype_is_float(t.dt); k++) in[i].v[k] += 0.01 * fabs(r[k]);
    }
  }
  session_free(store);
  return in;
}

double verify_distance_at(const double *a, const double *b, int64_t n, int64_t *at) {
  double most = 0, scale = 0;
  *at = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(a[i])) scale = fmax(scale, fabs(a[i]));
  for (int64_t i = 0; i < n; i++) {
    double d = a[i] == b[i] || (isnan(a[i]) && isnan(b[i])) ? 0 : fabs(a[i] - b[i]);
    if (isnan(d)) d = INFINITY;
    if (d > most) {
      most = d;
      *at = i;
    }
  }
  return most > 0 ? most / fmax(scale, 1e-30) : 0;
}

double verify_distance(const Tensor64 *a, const Tensor64 *b) {
  int64_t at;
  if (!shape_eq(&a->shape, &b->shape)) return INFINITY;
  return verify_distance_at(a->v, b->v, shape_count(&a->shape), &at);
}

/* ---- faults, for the test ---- */
static bool damage_graph(Graph *g) {
  bool *live = calloc((size_t)g->node.n + 1, sizeof *live);
  if (!live) return false;
  int found = -1, seen = 0, want = 0;
  for (int i = 0; i < g->outputs.n; i++) live[g->outputs.v[i].val] = true;
  for (int round = 0; round < 2; round++) {
    for (Val v = g->node.n - 1; v >= 0; v--) {
      const Node *n = g_node(g, v);
      for (int i = 0; i < n->nin && live[v]; i++) live[n->in[i]] = true;
      if (!live[v] || !dtype_is_float(n->dt) || (n->op != OP_add && n->op != OP_sub)) continue;
      if (round && seen++ == want / 2) found = v;
      if (!round) want++;
    }
  }
  free(live);
  if (found < 0) return false;
  Node *n = g_node(g, found);
  n->op = n->op == OP_add ? OP_sub : OP_add;
  return true;
}

static bool damage_program(Program *p) {
  for (int k = p->kernel.n / 2; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].loop.ninst && p->kernel.v[k].kind == KK_LOOP; i++) {
      KInst *in = &p->kernel.v[k].loop.inst[i];
      if (in->kind != KI_MAP || (in->op != OP_add && in->op != OP_mul) || !dtype_is_float(in->dt)) continue;
      in->op = OP_sub;
      return true;
    }
  return false;
}

/* ---- stages ---- */
typedef struct {
  const char *pass, *text;
} Stage;

typedef struct {
  Arena *arena;
  VEC(Stage) v;
} Stages;

static void keep_stage(void *ctx, int number, const char *pass, const char *text) {
  Stages *s = ctx;
  (void)number;
  Stage x = {arena_strdup(s->arena, pass), arena_strdup(s->arena, text)};
  vec_push(s->arena, &s->v, x);
}

/* All values of g. */
static Tensor64 *all_values(Arena *a, const Graph *g, const Tensor64 *in) {
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
        verify_distance(&(Tensor64){x->dt, x->shape, values[v].v}, x) < tolerance)
      return true;
  return false;
}

/* The first value of the later graph that the earlier one does not have, though it has its operands, on a
   line that also lost a value: the place where the pass went wrong. */
static Val culprit(Verify *v, const Graph *before, const Graph *after, const Tensor64 *in_before,
                   const Tensor64 *in_after) {
  Arena *a = v->c->arena;
  Tensor64 *x = all_values(a, before, in_before), *y = all_values(a, after, in_after);
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

typedef struct {
  const Graph *g; /* with gradients expanded */
  Tensor64 *in, *out;
} Evaluated;

/* Inputs a pass dropped are found by name. */
static Evaluated evaluate(Verify *v, const Graph *g) {
  Evaluated e = {0};
  e.g = cli_expand(v->c, g);
  if (!e.g || !(e.in = verify_inputs(v, e.g))) return (Evaluated){0};
  e.out = NEWN(v->c->arena, Tensor64, e.g->outputs.n + 1);
  graph_interp(e.g, e.in, e.out, v->c->arena, false);
  return e;
}

static int find_output(const Graph *g, const Output *o) {
  for (int i = 0; i < g->outputs.n; i++)
    if (!strcmp(g->outputs.v[i].name, o->name) && (g->outputs.v[i].state >= 0) == (o->state >= 0)) return i;
  return -1;
}

static Status compare(Verify *v, const char *pass, const Evaluated *before, const Graph *g,
                      const Tensor64 *out, const Evaluated *after) {
  double worst = 0;
  for (int i = 0; i < before->g->outputs.n; i++) {
    const Output *o = &before->g->outputs.v[i];
    int k = find_output(g, o);
    if (k < 0) return cli_fail(v->c, ST_VERIFY, "pass %s lost the result %s", pass, o->name);
    double e = verify_distance(&before->out[i], &out[k]);
    worst = fmax(worst, e);
    if (e <= tolerance) continue;
    Val c = after ? culprit(v, before->g, after->g, before->in, after->in) : -1;
    return mismatch(v, pass, o, e, c >= 0 ? g_node(after->g, c) : NULL);
  }
  v->stages++;
  if (!v->c->opt.quiet) printf("pass   %-12s ok   error %.1e\n", pass, worst);
  return ST_OK;
}

/* A program that computes something else than its graph: the first kernel whose value is wrong. */
static Status program_stage(Verify *v, const char *pass, const Evaluated *before, const Program *p) {
  Arena *a = v->c->arena;
  Evaluated now = {.g = p->graph, .in = verify_inputs(v, p->graph)};
  now.out = NEWN(a, Tensor64, p->graph->outputs.n + 1);
  program_interp(p, now.in, now.out, a);
  Status s = compare(v, pass, before, p->graph, now.out, NULL);
  if (!s) return s;
  Tensor64 *value = all_values(a, p->graph, now.in);
  for (int k = 0; k < p->kernel.n; k++) { /* each kernel alone, on the graph's own values */
    const Kernel *kn = &p->kernel.v[k];
    double **mem = NEWN(a, double *, kn->nbuf + 1);
    bool plain = kn->kind != KK_CONV;
    for (int i = 0; i < kn->nbuf && plain; i++) {
      const Buf *b = &p->buf.v[kn->buf[i]];
      Val x = i < kn->nbuf - kn->nout ? program_buf_val(p, kn->buf[i]) : b->val;
      int64_t n = b->bytes / dtype_size(b->dt);
      plain = x >= 0 && !b->block;
      mem[i] = NEWN(a, double, n + 1);
      if (plain && i < kn->nbuf - kn->nout) memcpy(mem[i], value[x].v, sizeof(double) * (size_t)n);
    }
    if (!plain) continue;
    kernel_interp(p, kn, mem);
    for (int i = kn->nbuf - kn->nout; i < kn->nbuf; i++) {
      const Buf *b = &p->buf.v[kn->buf[i]];
      Val x = b->val;
      for (int j = 0; j < p->graph->outputs.n && b->kind == BUF_INPUT; j++)
        if (p->graph->outputs.v[j].state == b->input) x = p->graph->outputs.v[j].val;
      const Tensor64 *want = &value[x];
      if (verify_distance(want, &(Tensor64){want->dt, want->shape, mem[i]}) <= tolerance) continue;
      diag_note(v->c->diags, kn->loc, "first wrong kernel: %s, %s part", program_kernel_name(p, k, a),
                role_word(kn->role));
      return s;
    }
  }
  return s;
}

/* No two buffers in use at one time may share bytes. */
static Status check_memory(Verify *v, const Program *p) {
  Arena *a = v->c->arena;
  int *first = NEWN(a, int, p->buf.n + 1), *last = NEWN(a, int, p->buf.n + 1);
  program_lifetimes(p, first, last);
  for (int i = 0; i < p->buf.n; i++)
    for (int j = 0; j < i; j++) {
      const Buf *x = &p->buf.v[i], *y = &p->buf.v[j];
      if (x->alias >= 0 || y->alias >= 0 || first[i] < -1 || first[j] < -1) continue;
      if (x->kind == BUF_INPUT && y->kind == BUF_INPUT && x->input == y->input) continue;
      if (last[i] < first[j] || last[j] < first[i] || x->offset + x->bytes <= y->offset ||
          y->offset + y->bytes <= x->offset)
        continue;
      int k = first[i] > first[j] ? first[i] : first[j];
      cli_fail(v->c, ST_VERIFY, "pass memplan gives buf%d and buf%d, both in use in %s, the same memory", j,
               i, program_kernel_name(p, k < 0 ? 0 : k, a));
      diag_note(v->c->diags, p->kernel.v[k < 0 ? 0 : k].loc, "written here");
      return ST_VERIFY;
    }
  return ST_OK;
}

static bool damage_plan(Program *p) {
  for (int i = p->buf.n - 1; i >= 0; i--)
    for (int j = 0; j < i; j++) {
      Buf *x = &p->buf.v[i], *y = &p->buf.v[j];
      if (x->kind != BUF_TEMP || y->kind != BUF_TEMP || x->alias >= 0 || y->alias >= 0 ||
          x->first > y->last || y->first > x->last || x->first < 0 || y->first < 0)
        continue;
      x->offset = y->offset;
      return true;
    }
  return false;
}

Status verify_stages(Verify *v, const Graph *g, Program **last) {
  Cli *c = v->c;
  Stages st = {.arena = c->arena};
  Evaluated now = evaluate(v, g);
  if (!now.g) return ST_MODEL;
  c->stage_hook = keep_stage;
  c->stage_ctx = &st;
  const Graph *done = cli_passes(c, g, NULL);
  if (!done) return ST_MODEL;
  Status s = cli_lower(c, done, last);
  c->stage_hook = NULL;
  if (s) return s;
  for (int i = 0; i < st.v.n && !s; i++) {
    const char *pass = st.v.v[i].pass;
    Source *src = NEW(c->arena, Source);
    *src =
        (Source){arena_printf(c->arena, "%03d-%s.ir", i + 1, pass), st.v.v[i].text, strlen(st.v.v[i].text)};
    bool damage = v->fault && !strcmp(v->fault, pass), damaged = true;
    if (program_is_text(src)) {
      Program *p = program_read(c->arena, src, c->diags);
      if (!p) bug("the dump after %s does not read back", pass);
      if (damage) damaged = p->arena_bytes ? damage_plan(p) : damage_program(p);
      s = program_stage(v, pass, &now, p);
      if (!s && p->arena_bytes) s = check_memory(v, p);
    } else {
      Graph *h;
      if (graph_read(c->arena, src, c->diags, &h, 1) != 1) bug("the dump after %s does not read back", pass);
      if (damage) damaged = damage_graph(h);
      Evaluated next = evaluate(v, h);
      if (!next.g) return ST_MODEL;
      s = compare(v, pass, &now, next.g, next.out, &next);
      now = next;
    }
    if (damage && !damaged) return cli_fail(c, ST_USAGE, "pass %s has nothing to damage", pass);
    if (damage) v->fault = NULL;
  }
  return s;
}

/* ---- the command ---- */
Status cmd_verify(Cli *c) {
  Verify v = {.c = c, .lines = lines_new(c->arena), .fault = getenv("JEPAC_FAULT")};
  v.seed = c->opt.seed >= 0 ? (uint64_t)c->opt.seed : 1;
  if (v.fault && !*v.fault) v.fault = NULL;
  if (v.fault && !strcmp(v.fault, "bug")) bug("JEPAC_FAULT asks for one");
  const Graph *g;
  Program *p;
  Status s = cli_subject(c, &g);
  if (s) return s;
  double flops = 0;
  for (Val n = 0; n < g->node.n; n++)
    if (g_node(g, n)->op != OP_grad) flops += node_flops(g, n);
  if (flops > MOST_GFLOP * 1e9) {
    cli_fail(c, ST_USAGE, "verify interprets the model, and this one takes %sFLOP even without its gradients",
             cli_human_count(c->arena, flops));
    diag_note(c->diags, NULL, "make it smaller: --set batch=4, --set NAME=VALUE for its widths");
    return ST_USAGE;
  }
  v.flops = flops;
  if ((s = verify_gradients(&v, g))) return s;
  if ((s = verify_stages(&v, g, &p))) return s;
  if ((s = verify_kernels(&v, p))) return s;
  if (v.fault)
    return cli_fail(c, ST_USAGE, "JEPAC_FAULT names no pass that changed something: '%s'", v.fault);
  printf("ok     %d passes and %d kernels; largest error %.2g of what is allowed\n", v.stages, v.kernels,
         v.worst);
  return ST_OK;
}
