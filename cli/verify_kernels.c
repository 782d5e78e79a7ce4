/* jepac verify, second half: each compiled kernel on the operands it meets in a run, against the kernel
   interpreter in f64; and gradients against finite differences.

   A kernel may differ by an error budget: what its result changes by when every operand moves by an ulp,
   times a constant for the roundings inside, plus a share of its largest element. Each element is held
   against the evaluation in f64 or the one that rounds as generated code does, whichever is nearer:
   comparisons (the masks of relu and max) may fall either way within a rounding. In f64, numbers that may be
   one value computed twice are equal: else no maximum recomputed would be found again, and the mask of every
   maximum would change with its operands and with it allow anything. */
#include "cli/verify.h"
#include "passes/graph/pass.h"
#include "ir/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 64 };
static const double ulp = 6e-8, bf16_step = 1.0 / 128;

/* What the interpreter handed on from step to step of a convolution. */
typedef struct {
  double *exact, *moved; /* on operands as they are; moved by an ulp */
} Kept;

typedef struct {
  Verify *v;
  const Program *p;
  Session *s;
  Arena *a;
  Kept *kept;    /* per root buffer */
  int loop;      /* the innermost one that the kernel being looked at is in, 0 none, and ... */
  int64_t *step; /* ... per loop of the program the step it is in */
} Walk;

typedef struct {
  const double *exact, *rounded, *moved; /* evaluated in f64; with roundings; on moved operands */
} Wanted;

static char *arena_at(const Walk *w, int64_t offset) {
  /* the first plan tensor shows where the arena begins */
  SessionTensor t = session_tensor_at(w->s, 0);
  return (char *)t.data - session_plan(w->s)->tensor[0].offset + offset;
}

/* Where buffer b is in the step that is being run. */
static char *place_of(const Walk *w, int b) {
  int64_t offset = w->p->buf.v[program_memory(w->p, b)].offset;
  return arena_at(w, offset + program_place(w->p, b, w->loop, w->step));
}

static int64_t elements(const Buf *b) { return b->bytes / dtype_size(b->dt); }

static double *snapshot(const Walk *w, int b, bool move) {
  const Buf *x = &w->p->buf.v[b];
  int64_t n = elements(x);
  double *v = NEWN(w->a, double, n + 1);
  tensors_to_cells(v, x->dt, x->dt, place_of(w, b), n);
  uint64_t h = 88172645463325252u + (uint64_t)b;
  for (int64_t i = 0; move && dtype_is_float(x->dt) && i < n; i++) {
    h ^= h << 13, h ^= h >> 7, h ^= h << 17;
    v[i] *= 1 + (h & 1 ? ulp : -ulp);
  }
  return v;
}

static double distance(double x, double y) {
  if (x == y || (isnan(x) && isnan(y))) return 0;
  return isnan(x) || isnan(y) ? INFINITY : fabs(x - y);
}

static double *values(Walk *w, DType dt, const double *cell, int64_t n) {
  double *v = NEWN(w->a, double, n + 1);
  for (int64_t i = 0; i < n; i++) v[i] = cell_value(dt, cell[i]);
  return v;
}

typedef struct {
  double scale, step, moved; /* the largest element; what rounding to bf16 changes; by how much more the
                                elements change where operands move by an ulp */
} Spread;

static Spread spread_of(const Kernel *k, const Buf *x, const Wanted *want) {
  int64_t n = shape_count(&x->shape);
  bool narrow = dtype_is_narrow(x->dt) || kernel_rounds_narrow(k);
  Spread s = {0};
  for (int64_t i = 0; i < n; i++) {
    if (isfinite(want->exact[i])) s.scale = fmax(s.scale, fabs(want->exact[i]));
    if (isfinite(want->rounded[i])) s.scale = fmax(s.scale, fabs(want->rounded[i]));
  }
  s.step =
      narrow ? s.scale * bf16_step : 0; /* near the middle of two bf16 a value may be rounded either way */
  for (int64_t i = 0; i < n; i++) {
    double d = fabs(want->exact[i] - want->moved[i]);
    if (isfinite(d)) s.moved = fmax(s.moved, d - s.step);
  }
  return s;
}

static Wanted in_type(Walk *w, const Buf *x, Wanted cells) {
  int64_t n = shape_count(&x->shape);
  return (Wanted){values(w, x->dt, cells.exact, n), values(w, x->dt, cells.rounded, n),
                  values(w, x->dt, cells.moved, n)};
}

static Status judge(Walk *w, int at, int b, Wanted cells) {
  const Buf *x = &w->p->buf.v[b];
  const Kernel *k = &w->p->kernel.v[at];
  int64_t n = shape_count(&x->shape), worst = 0;
  double *got = values(w, x->dt, snapshot(w, b, false), n), most = 0;
  Wanted want = in_type(w, x, cells);
  Spread s = spread_of(k, x, &want);
  for (int64_t i = 0; i < n; i++) {
    double d = fmin(distance(got[i], want.exact[i]), distance(got[i], want.rounded[i]));
    if (d > most) most = d, worst = i;
  }
  double allowed = MARGIN * s.moved + s.scale * kernel_error_share(k) + s.step + 1e-37;
  if (!dtype_is_float(x->dt)) allowed = s.moved > 0 ? s.moved : 0.5;
  w->v->worst = fmax(w->v->worst, most / allowed);
  if (most <= allowed) return ST_OK;
  Cli *c = w->v->c;
  char type[128];
  cli_fail(c, ST_VERIFY,
           "kernel %s computes buf%d: %s wrongly: element %lld is %.9g, the interpreter says %.9g (allowed: "
           "+-%.2g)",
           kernel_name(w->p, at, c->arena), b, type_str(x->dt, &x->shape, type), (long long)worst, got[worst],
           want.exact[worst], allowed);
  diag_note(c->diags, k->loc, "%s part of %s", role_word(k->role),
            lines_name(w->v->lines, lines_find(w->v->lines, k->loc)));
  for (int l = k->in_loop; l; l = w->p->loop.v[l - 1].parent)
    diag_note(c->diags, k->loc, "that was in step %lld of %lld of a scan (the first is 0)",
              (long long)w->step[l], (long long)w->p->loop.v[l - 1].steps);
  return ST_VERIFY;
}

/* For the test: a wrong result of kernel k must be found and named. */
static Status find_fault(Walk *w, int k, int b, Wanted want) {
  Verify *v = w->v;
  if (!v->fault || strcmp(v->fault, "kernels")) return ST_OK;
  const Buf *x = &w->p->buf.v[b];
  char *data = place_of(w, b);
  char *good = arena_alloc(w->a, (size_t)x->bytes);
  double worst = v->worst;
  Wanted of = in_type(w, x, want);
  Spread spread = spread_of(&w->p->kernel.v[k], x, &of);
  /* a result that is nothing but rounding shows only what is larger */
  double by = spread.moved >= spread.scale / 2000 ? fmax(spread.scale, 1) : spread.scale / 20;
  Diags *heard = v->c->diags, *quiet = diags_new(w->a);
  memcpy(good, data, (size_t)x->bytes);
  verify_damage_result(data, x->dt, x->bytes, by);
  v->c->diags = quiet;
  bool found = judge(w, k, b, want) != ST_OK;
  v->c->diags = heard;
  v->worst = worst;
  memcpy(data, good, (size_t)x->bytes);
  char *text = NULL;
  size_t len;
  FILE *f = open_memstream(&text, &len);
  if (!f) out_of_memory("messages", 0);
  diags_print(quiet, f);
  fclose(f);
  const char *name = arena_printf(w->a, "kernel %s ", kernel_name(w->p, k, w->a));
  const Loc *loc = w->p->kernel.v[k].loc;
  const char *line = lines_name(v->lines, lines_find(v->lines, loc));
  found = found && strstr(text, name) && strstr(text, line);
  int loop = w->p->kernel.v[k].in_loop;
  if (loop) found = found && strstr(text, arena_printf(w->a, "in step %lld of", (long long)w->step[loop]));
  free(text);
  v->faults++;
  return found ? ST_OK : cli_fail(v->c, ST_VERIFY, "a fault in %sis not found", name);
}

static double *kept_new(const Buf *b) {
  double *v = xcalloc((size_t)elements(b) + 1, sizeof *v, "comparing kernels");
  return v;
}

static Status one_kernel(Walk *w, int at) {
  const Program *p = w->p;
  const Kernel *k = &p->kernel.v[at];
  double **exact = NEWN(w->a, double *, k->nbuf + 1), **moved = NEWN(w->a, double *, k->nbuf + 1),
         **rounded = NEWN(w->a, double *, k->nbuf + 1);
  for (int i = 0; i < k->nbuf; i++) {
    int b = k->buf[i], r = program_cell(p, b);
    Kept *kept = &w->kept[r];
    if (kernel_interp_only(p, k, i)) { /* a step's own, from the interpreter to the interpreter */
      if (i >= k->nbuf - k->nout) *kept = (Kept){kept_new(&p->buf.v[b]), kept_new(&p->buf.v[b])};
      if (!kept->exact) bug("verify: nothing made buf%d", b);
      exact[i] = rounded[i] = kept->exact;
      moved[i] = kept->moved;
      continue;
    }
    exact[i] = snapshot(w, b, false);
    rounded[i] = snapshot(w, b, false);
    moved[i] = snapshot(w, b, true);
    for (int j = 0; j < i; j++) /* operands in one place are one */
      if (program_cell(p, k->buf[j]) == r) exact[i] = exact[j], rounded[i] = rounded[j], moved[i] = moved[j];
  }
  session_run_alone(w->s, at);
  kernel_interp(p, k, exact, INTERP_TIED);
  kernel_interp(p, k, moved, INTERP_MOVED);
  kernel_interp(p, k, rounded, INTERP_ROUNDED);
  for (int i = 0; i < k->nbuf - k->nout; i++) {
    Kept *kept = &w->kept[program_cell(p, k->buf[i])];
    if (!kernel_interp_only(p, k, i)) continue;
    free(kept->exact), free(kept->moved); /* one step makes it, one reads it */
    *kept = (Kept){0};
  }
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    if (kernel_interp_only(p, k, i)) continue;
    Wanted want = {exact[i], rounded[i], moved[i]};
    Status s = judge(w, at, k->buf[i], want);
    if (!s) s = find_fault(w, at, k->buf[i], want);
    if (s) return s;
  }
  return ST_OK;
}

/* Kernels [from, to) of a loop's body, 0: of none, and of the loops inside. Of a loop the first two steps and the last are
   looked at, the others only run. */
static Status walk(Walk *w, int from, int to, int loop, bool looked) {
  const Program *p = w->p;
  Status s = ST_OK;
  for (int i = from; i < to && !s; i++) {
    int below = program_loop_below(p, i, loop), first, last;
    if (!below && !looked) {
      session_run_alone(w->s, i);
    } else if (!below) {
      w->a = arena_new();
      w->loop = p->kernel.v[i].in_loop;
      s = one_kernel(w, i);
      arena_free(w->a);
    } else {
      program_loop_range(p, below, &first, &last);
      int64_t n = p->loop.v[below - 1].steps;
      for (int64_t *t = &w->step[below]; *t < n && !s; ++*t) {
        session_at(w->s, below, *t);
        s = walk(w, first, last + 1, below, looked && (*t < 2 || *t == n - 1));
      }
      w->step[below] = 0;
      session_at(w->s, below, 0);
      i = last;
    }
  }
  return s;
}

void verify_fill(Verify *v, const Program *p, Session *s) {
  Tensor64 *in = verify_inputs(v, p->graph);
  for (int i = 0; i < p->graph->inputs.n; i++) { /* plan tensors begin with the graph's inputs */
    SessionTensor t = session_tensor_at(s, i);
    int64_t n = shape_count(&t.shape);
    tensors_from_cells(t.dt, t.data, in[i].v, n);
  }
}

/* Chains must not change a bit: the chained program against its kernels one by one. */
static Status same_bits(Verify *v, Program *chained, const Compiled *alone) {
  Cli *c = v->c;
  Compiled k;
  Status s = compiler_build_program(cli_compiler(c, FOR_CODE), chained, &k);
  if (s) return s;
  Session *both[] = {k.session, alone->session};
  for (int i = 0; i < 2; i++) {
    verify_fill(v, chained, both[i]);
    session_run(both[i], 0, session_plan(both[i])->nstep);
  }
  for (int i = 0; i < k.plan->ntensor && !s; i++) {
    SessionTensor t = session_tensor_at(k.session, i), u = session_tensor_at(alone->session, i);
    if (!memcmp(t.data, u.data, (size_t)t.bytes)) continue;
    s = cli_fail(c, ST_VERIFY, "pass chain changes %s", t.name);
  }
  compiled_free(&k);
  return s;
}

Status verify_kernels(Verify *v, Program *chained, Program *p) {
  Cli *c = v->c;
  Compiled k;
  Status s = compiler_build_program(cli_compiler(c, FOR_CODE), p, &k);
  if (s) return s;
  if (!k.plan->ntensor) return ST_OK;
  Walk w = {.v = v,
            .p = p,
            .s = k.session,
            .kept = NEWN(c->arena, Kept, p->buf.n + 1),
            .step = NEWN(c->arena, int64_t, p->loop.n + 1)};
  verify_fill(v, p, k.session);
  s = walk(&w, 0, p->kernel.n, 0, true);
  v->kernels += p->kernel.n;
  if (!s) s = same_bits(v, chained, &k);
  if (!s && !OPT(c, quiet)) printf("code   %-12d ok   %.2g of the error budget\n", p->kernel.n, v->worst);
  compiled_free(&k);
  if (v->faults) {
    printf("faults %d of %d found\n", v->faults, v->faults);
    v->fault = NULL;
  }
  return s;
}

/* ---- gradients ---- */
/* A stop_gradient lies between x and y: finite differences would see through it. */
static bool is_stopped(Arena *a, const Graph *g, Val x, Val y) {
  bool *reached = NEWN(a, bool, g->node.n + 1), *needed = NEWN(a, bool, g->node.n + 1);
  reached[x] = needed[y] = true;
  for (Val v = 0; v < g->node.n; v++)
    for (int k = 0; k < g_node(g, v)->nin; k++) reached[v] |= reached[g_node(g, v)->in[k]];
  for (Val v = y; v >= 0; v--)
    for (int k = 0; k < g_node(g, v)->nin && needed[v]; k++) needed[g_node(g, v)->in[k]] = true;
  for (Val v = 0; v < g->node.n; v++)
    if (g_node(g, v)->op == OP_stop_gradient && reached[v] && needed[v]) return true;
  return false;
}

/* grad(y, x) nodes of the graph against (y(x + h d) - y(x - h d)) / 2h, for one random direction d in each x. */
/* The gradients of scalars by inputs: grad nodes of g, and by what; how many, at most `most`. */
static int gradients(const Graph *g, Val *of, Val *by, int most) {
  int n = 0;
  for (Val x = 0; x < g->node.n && n < most; x++) {
    const Node *node = g_node(g, x);
    if (node->op != OP_grad || g_node(g, node->in[1])->op != OP_input || g_node(g, node->in[0])->shape.rank)
      continue;
    of[n] = x;
    by[n++] = node->in[1];
  }
  return n;
}

/* Slopes of f's scalar output `out`, which is `here`, by an input along d: forwards and backwards. */
static void differences(const Graph *f, Tensor64 *in, int input, const double *d, int out, double here,
                        Arena *t, double *ahead, double *behind) {
  const double h = 1e-5;
  int64_t n = shape_count(&in[input].shape);
  double *old = in[input].v, *moved = NEWN(t, double, n + 1);
  Tensor64 *result = NEWN(t, Tensor64, f->outputs.n + 1);
  in[input].v = moved;
  for (int64_t k = 0; k < n; k++) moved[k] = old[k] + h * d[k];
  graph_interp(f, in, result, t, false);
  *ahead = (result[out].v[0] - here) / h;
  for (int64_t k = 0; k < n; k++) moved[k] = old[k] - h * d[k];
  graph_interp(f, in, result, t, false);
  *behind = (here - result[out].v[0]) / h;
  in[input].v = old;
}

Status verify_gradients(Verify *v, const Graph *g) {
  Cli *c = v->c;
  Arena *a = arena_new();
  enum { MOST = 64, MOST_WORK = 200000000 };
  Val of[MOST], by[MOST];
  int n = gradients(g, of, by, MOST), skipped = 0;
  Graph *slopes = graph_new(a, g->name), *heights = graph_new(a, g->name);
  for (Val x = 0; x < g->node.n; x++) {
    g_copy_node(slopes, g, x, g_node(g, x)->in);
    g_copy_node(heights, g, x, g_node(g, x)->in);
  }
  for (int i = 0; i < n; i++) {
    g_output(slopes, "gradient", of[i], -1);
    g_output(heights, "of", g_node(g, of[i])->in[0], -1);
  }
  Status s = ST_OK;
  const Graph *e = n ? compiler_expand(cli_compiler(c, 0), slopes) : NULL,
              *f = n ? pass_dce(a, heights, c->diags) : NULL;
  if (f) f = compiler_expand(cli_compiler(c, 0), f); /* cheap: without the gradients */
  Tensor64 *at = e ? verify_inputs(v, e) : NULL, *in = f ? verify_inputs(v, f) : NULL;
  Tensor64 *slope = NEWN(a, Tensor64, n + 1), *here = NEWN(a, Tensor64, n + 1);
  if (at && in) {
    graph_interp(e, at, slope, a, false);
    graph_interp(f, in, here, a, false);
  }
  double worst = 0;
  Arena *t = arena_new();
  /* of a large model only some parameters, evenly spread */
  int stride = 1 + (int)(2 * v->flops * n / MOST_WORK), tried = 0;
  for (int i = 0; at && in && i < n && !s; i += stride, tried++) {
    const char *name = g->inputs.v[g_node(g, by[i])->input].name;
    int input = g_find_input(f, name);
    int64_t count = shape_count(&in[input].shape);
    double *d = NEWN(t, double, count + 1), sum = 0, ahead, behind;
    cli_random_values(name, DT_F32, count, v->seed + 1, d);
    for (int64_t k = 0; k < count; k++) sum += d[k] * slope[i].v[k];
    differences(f, in, input, d, i, here[i].v[0], t, &ahead, &behind);
    double want = (ahead + behind) / 2;
    arena_reset(t);
    double error = fabs(want - sum) / fmax(fmax(fabs(want), fabs(sum)), 1e-4);
    bool kink = fabs(ahead - behind) > 0.1 * fmax(fabs(ahead), fabs(behind)); /* of relu or max, within h */
    bool good = error < 2e-2 || (isnan(want) && isnan(sum));
    if (error < 2e-2) worst = fmax(worst, error);
    if (!good && (kink || is_stopped(a, g, by[i], g_node(g, of[i])->in[0]))) {
      skipped++;
      good = true;
    }
    if (good) continue;
    s = cli_fail(c, ST_VERIFY,
                 "the derivative by %s is wrong: along a random direction %.6g, by finite differences %.6g",
                 name, sum, want);
    diag_note(c->diags, g_node(g, by[i])->loc, "declared here");
  }
  if (!s && n && !OPT(c, quiet))
    printf("grad   %-12d ok   error %.1e%s\n", tried - skipped, worst,
           skipped ? ", the others stand behind stop_gradient or at a kink" : "");
  arena_free(t);
  arena_free(a);
  return s;
}
