/* Program -> Plan: steps with operand offsets, the tensors a caller sees, and the identity of the whole. */
#include "codegen/emit/kind.h"
#include "codegen/jit/jit.h"

#include <string.h>

static const char *where(const Kernel *k, Arena *a) {
  if (!k->loc || !k->loc->src) return "";
  return arena_printf(a, "%s:%d%s", path_tail(k->loc->src->path), k->loc->line,
                      k->role == ROLE_GRADIENT ? "'" : "");
}

/* ---- steps ---- */
/* f64 keeps denormals, and so does whoever is called. A kernel that has f32 as well is one of f32: what it computes
   in f64 on the way is far from the end of that range. */
static bool keeps_denormals(const Program *p, const Kernel *k) {
  bool f64 = false, f32 = false;
  for (int i = 0; i < k->nbuf; i++) {
    DType dt = p->buf.v[k->buf[i]].dt;
    f64 |= dt == DT_F64;
    f32 |= dt == DT_F32 || dtype_is_narrow(dt);
  }
  return kernel_keeps_order(k) || kernel_foreign(k) || (f64 && !f32);
}

/* How k's operands move with the loops that it is in. */
static void moves(const Program *p, const Kernel *k, Step *st, Arena *a) {
  VEC(StepMove) v = {0};
  for (int j = 0; j < k->nbuf && k->in_loop; j++)
    for (int b = k->buf[j]; b >= 0; b = p->buf.v[b].alias) {
      const Buf *x = &p->buf.v[b];
      if (!x->loop || !program_in_loop(p, k->in_loop, x->loop)) continue;
      StepMove m = {j, x->loop, x->move, x->period, x->phase};
      vec_push(a, &v, m);
    }
  st->loop = k->in_loop;
  st->move = v.v;
  st->nmove = v.n;
}

/* How often k runs. */
static double times(const Program *p, const Kernel *k) {
  double n = 1;
  for (int l = k->in_loop; l; l = p->loop.v[l - 1].parent) n *= (double)p->loop.v[l - 1].steps;
  return n;
}

static PlanLoop *loops(const Program *p, Arena *a) {
  PlanLoop *l = NEWN(a, PlanLoop, p->loop.n + 1);
  for (int i = 1; i <= p->loop.n; i++) {
    int first, last;
    program_loop_range(p, i, &first, &last);
    l[i] = (PlanLoop){first, last + 1, p->loop.v[i - 1].steps, p->loop.v[i - 1].parent};
  }
  return l;
}

Step plan_step(const Program *p, int i, StepFn fn, Arena *a) {
  const Kernel *k = &p->kernel.v[i];
  int64_t *operand = NEWN(a, int64_t, k->nbuf + 1), *chunk = NULL;
  for (int j = 0; j < k->nbuf; j++) {
    const Buf *b = &p->buf.v[program_root(p, k->buf[j])];
    operand[j] = p->buf.v[k->buf[j]].offset;
    if (!b->chunk) continue;
    if (!chunk) chunk = NEWN(a, int64_t, k->nbuf + 1);
    chunk[j] = b->chunk;
  }
  Step st = {.fn = fn,
             .operand = operand,
             .chunk = chunk,
             .noperand = k->nbuf,
             .name = kernel_name(p, i, a),
             .where = where(k, a),
             .beside = k->beside > 0,
             .flops = times(p, k) * k->flops,
             .bytes = times(p, k) * k->bytes};
  ContractionPlan own;
  const ContractionPlan *plan = kernel_plan(p, k, &own);
  st.nchunk = kernel_chunks(p, k);
  st.keeps_denormals = keeps_denormals(p, k);
  if (plan) st.scratch = plan->step[k->step].scratch;
  if (codegen_kind(k)->step) codegen_kind(k)->step(p, k, &st, operand, a);
  moves(p, k, &st, a);
  return st;
}

/* ---- tensors ---- */
static PlanTensorKind tensor_kind(InputKind k) {
  return k == IN_ARG ? PT_ARG : k == IN_RUNTIME ? PT_RUNTIME : PT_STATE;
}

static int tensors(const Program *p, PlanTensor *t) {
  const Graph *g = p->graph;
  int n = 0;
  int64_t at = 0; /* inputs lie at the start of the arena in order, tensor_room() bytes each
                     (passes/lower/memplan.c) */
  for (int i = 0; i < g->inputs.n; i++) {
    const Input *in = &g->inputs.v[i];
    const Node *node = g_node(g, in->val);
    t[n++] = (PlanTensor){.name = in->name,
                          .kind = tensor_kind(in->kind),
                          .dt = node->dt,
                          .shape = node->shape,
                          .offset = at,
                          .init = in->init.kind,
                          .init_a = in->init.a,
                          .init_b = in->init.b,
                          .init_stream = in->init.stream,
                          .init_from = -1,
                          .trained = in->kind == IN_PARAM,
                          .slot = in->kind == IN_SLOT};
    if (in->init.kind == INIT_COPY && in->init.from) t[n - 1].init_from = g_find_input(g, in->init.from);
    for (int b = 0; b < p->buf.n; b++)
      if (p->buf.v[b].kind == BUF_INPUT && p->buf.v[b].input == i &&
          p->buf.v[program_root(p, b)].offset != at)
        bug("input %s is not where the arena's layout puts it", in->name);
    at += tensor_room(node->dt, &node->shape);
  }
  for (int i = 0; i < g->outputs.n; i++) {
    if (g->outputs.v[i].state >= 0) continue;
    int b = 0;
    while (b < p->buf.n && !(p->buf.v[b].kind == BUF_RESULT && p->buf.v[b].result == i)) b++;
    if (b == p->buf.n) bug("result %s has no buffer", g->outputs.v[i].name);
    const Node *node = g_node(g, g->outputs.v[i].val);
    t[n++] = (PlanTensor){.name = g->outputs.v[i].name,
                          .kind = PT_RESULT,
                          .dt = node->dt,
                          .shape = node->shape,
                          .offset = p->buf.v[b].offset,
                          .init_from = -1};
  }
  return n;
}

static uint64_t identity(const Program *p, const Plan *plan) {
  StrBuf b = {0};
  target_key(&p->target, &b);
  for (int k = 0; k < p->kernel.n; k++) {
    kernel_key(p, &p->kernel.v[k], false, &b);
    const Step *st = &plan->step[k];
    for (int i = 0; i < st->noperand;
         i++) /* scratch lies behind that of the schedule, which changes no bits */
      sb_printf(&b, " %lld", (long long)(st->chunk && st->chunk[i] ? -st->chunk[i] : st->operand[i]));
    for (int i = 0; i < st->nmove; i++) {
      const StepMove *m = &st->move[i];
      sb_printf(&b, " %d:%d*%lld%%%d+%d", m->operand, m->loop, (long long)m->move, m->period, m->phase);
    }
    sb_put(&b, "\n", 1);
  }
  for (int l = 1; l <= plan->nloop; l++)
    sb_printf(&b, "loop %d %d %lld\n", plan->loop[l].first, plan->loop[l].last,
              (long long)plan->loop[l].steps);
  uint64_t h = hash_bytes(b.s, b.n, 0);
  sb_free(&b);
  return h;
}

/* Behind what the steps of a chain use as scratch lie the pieces of buffers between them. */
static void join_chain(Step *first, const Kernel *k, int n) {
  int64_t scratch = 0;
  first->chain = 1;
  if (!k->chain) return;
  while (first->chain < n && k[first->chain].chain == k->chain) first->chain++;
  for (int i = 0; i < first->chain; i++)
    if (first[i].scratch > scratch) scratch = first[i].scratch;
  int64_t base = (scratch + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN, end = scratch;
  for (int i = 0; i < first->chain; i++) {
    if (first[i].nchunk != first->nchunk)
      bug("%s and %s are a chain of different chunks", first->name, first[i].name);
    for (int j = 0; first[i].chunk && j < first[i].noperand; j++)
      if (first[i].chunk[j]) {
        int64_t *at = (int64_t *)&first[i].operand[j]; /* made by plan_step */
        *at += base;
        if (*at + first[i].chunk[j] > end) end = *at + first[i].chunk[j];
      }
  }
  for (int i = 0; i < first->chain; i++) first[i].scratch = end;
}

/* ---- which steps may run at the same time ---- */
typedef struct {
  int64_t begin, end; /* arena bytes */
  bool written;
} Span;

static bool span_of(const Program *p, const Kernel *k, int operand, Span *s) {
  const Buf *b = &p->buf.v[program_memory(p, k->buf[operand])];
  if (b->chunk) return false; /* in a thread's scratch */
  *s = (Span){b->offset, b->offset + b->bytes, operand >= k->nbuf - k->nout};
  return true;
}

/* Must the later of two kernels wait for the earlier? What does what nobody sees keeps its order, where it runs
   apart from the others among its own kind. */
static bool must_wait(const Program *p, const Kernel *later, const Kernel *earlier) {
  Span a, b;
  if (kernel_keeps_order(later) && kernel_keeps_order(earlier) && !later->beside == !earlier->beside)
    return true;
  for (int i = 0; i < later->nbuf; i++)
    for (int j = 0; span_of(p, later, i, &a) && j < earlier->nbuf; j++)
      if (span_of(p, earlier, j, &b) && (a.written || b.written) && a.begin < b.end && b.begin < a.end)
        return true;
  return false;
}

/* Steps that run beside others are awaited by themselves. */
static int awaits(const Program *p, const Step *step, int k) {
  for (int i = k - 1; i >= 0; i--)
    for (int j = k; step[i].beside && j < k + step[k].chain; j++)
      if (must_wait(p, &p->kernel.v[j], &p->kernel.v[i])) return i + 1;
  return 0;
}

/* How many of the steps before k, a chain's first or a step by itself, may run at the same time as it. */
static int overlap(const Program *p, const Step *step, int k) {
  enum { MOST = 64 }; /* no thread gets so far ahead */
  int start = k;
  while (start > 0 && k - start < MOST) {
    int head = start - 1;
    while (!step[head].chain) head--;
    if (step[head].loop != step[k].loop)
      return k - start; /* all of a loop's steps wait for those before it */
    for (int i = head; i < start; i++)
      for (int j = k; !step[i].beside && j < k + step[k].chain; j++)
        if (must_wait(p, &p->kernel.v[j], &p->kernel.v[i])) return k - start;
    start = head;
  }
  return k - start;
}

Plan *plan_build(const Program *p, Arena *a, const StepFn *fn) {
  Plan *plan = NEW(a, Plan);
  Step *step = NEWN(a, Step, p->kernel.n + 1);
  PlanTensor *t = NEWN(a, PlanTensor, p->graph->inputs.n + p->graph->outputs.n + 1);
  *plan = (Plan){.name = p->graph->name,
                 .arena_bytes = p->arena_bytes,
                 .step = step,
                 .nstep = p->kernel.n,
                 .loop = loops(p, a),
                 .nloop = p->loop.n,
                 .ncompute = p->ncompute,
                 .tensor = t};
  for (int k = 0; k < p->kernel.n; k++) step[k] = plan_step(p, k, fn[k], a);
  for (int k = 0; k < p->kernel.n; k += step[k].chain) join_chain(&step[k], &p->kernel.v[k], p->kernel.n - k);
  for (int k = 0; k < p->kernel.n; k += step[k].chain) {
    step[k].overlap = overlap(p, step, k);
    step[k].awaits = awaits(p, step, k);
  }
  for (int k = 0; k < p->kernel.n; k++)
    if (step[k].scratch > plan->scratch_bytes) plan->scratch_bytes = step[k].scratch;
  plan->ntensor = tensors(p, t);
  plan->identity = identity(p, plan);
  return plan;
}
