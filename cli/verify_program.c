/* jepac verify: what the passes below the graph make. A layout must be one that buffers can have; each kernel
   alone must compute its part of the graph; in order, each must find in memory what it reads; the whole must
   give the graph's results. */
#include "cli/verify.h"

#include <string.h>

Status verify_layout(Verify *v, const PassResult *r) {
  for (Val x = 0; x < r->of->node.n; x++) {
    const Node *n = g_node(r->of, x);
    int q = r->block[x];
    if (!q || (q > 0 && n->op != OP_input && n->shape.rank == 4 && n->shape.dim[1] % q == 0)) continue;
    char type[128];
    cli_fail(v->c, ST_VERIFY,
             "pass %s stores %s, the result of %s, in channel blocks of %d, which do not fit it", r->pass,
             type_str(n->dt, &n->shape, type), op_table[n->op].name, q);
    diag_note(v->c->diags, n->loc, "in the %s part of %s", role_word(n->role),
              lines_name(v->lines, lines_find(v->lines, n->loc)));
    return ST_VERIFY;
  }
  return ST_OK;
}

static Status blame(Verify *v, const Program *p, int at, const char *what) {
  const Kernel *k = &p->kernel.v[at];
  diag_note(v->c->diags, k->loc, "%s kernel: %s, %s part of %s", what, kernel_name(p, at, v->c->arena),
            role_word(k->role), lines_name(v->lines, lines_find(v->lines, k->loc)));
  return ST_VERIFY;
}

/* ---- each kernel alone ---- */
/* The value that kernel output b stands for: a state's buffer holds its new value. */
static Val written_val(const Program *p, int b) {
  const Buf *x = &p->buf.v[b];
  for (int j = 0; j < p->graph->outputs.n && x->kind == BUF_INPUT; j++)
    if (p->graph->outputs.v[j].state == x->input) return p->graph->outputs.v[j].val;
  return x->val;
}

static void load(const Buf *b, const Tensor64 *t, double *mem) {
  int64_t n = shape_count(&t->shape);
  for (int64_t i = 0; i < n; i++) mem[program_stored_at(b, i)] = t->v[i];
}

/* Makes the operands of k: values of the graph, and what other kernels made that is no such value, which they do. */
static void prepare(const Program *p, int at, const Tensor64 *value, double **mem, Arena *a) {
  const Kernel *k = &p->kernel.v[at];
  for (int i = 0; i < k->nbuf; i++) {
    const Buf *b = &p->buf.v[k->buf[i]];
    int r = program_cell(p, k->buf[i]);
    Val x = program_buf_val(p, k->buf[i]);
    if (!mem[r]) mem[r] = NEWN(a, double, p->buf.v[r].bytes + 1); /* a byte an element at least */
    if (i >= k->nbuf - k->nout) continue;
    if (x >= 0) load(b, &value[x], mem[r]);
    for (int j = at - 1; j >= 0 && x < 0; j--) {
      const Kernel *writer = &p->kernel.v[j];
      bool writes = false;
      for (int o = writer->nbuf - writer->nout; o < writer->nbuf; o++) writes |= writer->buf[o] == k->buf[i];
      if (!writes) continue;
      prepare(p, j, value, mem, a);
      program_interp_kernel(p, j, mem);
      break;
    }
  }
}

/* Runs kernel k on the graph's own values. */
static Status one_alone(Verify *v, const Program *p, int at, const char *pass, const Tensor64 *value,
                        Arena *a) {
  const Kernel *k = &p->kernel.v[at];
  double **mem = NEWN(a, double *, p->buf.n + 1);
  prepare(p, at, value, mem, a);
  program_interp_kernel(p, at, mem);
  for (int i = k->nbuf - k->nout; i < k->nbuf; i++) {
    const Buf *b = &p->buf.v[k->buf[i]];
    Val x = written_val(p, k->buf[i]);
    if (x < 0) continue;
    int64_t n = shape_count(&b->shape);
    const double *m = mem[program_cell(p, k->buf[i])];
    double *got = NEWN(a, double, n + 1);
    for (int64_t j = 0; j < n; j++) got[j] = m[program_stored_at(b, j)];
    double e = verify_distance(&value[x], &(Tensor64){value[x].dt, value[x].shape, got}, 0);
    if (e <= VERIFY_TOLERANCE) continue;
    cli_fail(v->c, ST_VERIFY, "pass %s makes a kernel that computes %s wrongly: relative error %.3g", pass,
             op_table[g_node(p->graph, x)->op].name, e);
    return blame(v, p, at, "first wrong");
  }
  return ST_OK;
}

static Status each_alone(Verify *v, const Program *p, const char *pass) {
  Arena *all = arena_new(), *a = arena_new();
  Tensor64 *value = verify_values(all, p->graph, verify_inputs(v, p->graph));
  Status s = ST_OK;
  for (int k = 0; k < p->kernel.n && !s; k++) {
    s = one_alone(v, p, k, pass, value, a);
    arena_reset(a);
  }
  arena_free(a);
  arena_free(all);
  return s;
}

/* ---- in order ---- */
/* Every kernel, in turn, must find its operands written and not yet written over. */
static Status in_order(Verify *v, const Program *p, const char *pass) {
  Arena *a = v->c->arena;
  ProgramFault f = program_disorder(p);
  if (f.kernel < 0) return ST_OK;
  cli_fail(v->c, ST_VERIFY, "pass %s lets %s read buf%d when %s", pass, kernel_name(p, f.kernel, a), f.buf,
           f.other < 0 ? "nothing is written there yet"
                       : arena_printf(a, "buf%d has taken its place", f.other));
  return blame(v, p, f.kernel, "the reading");
}

/* No two buffers in use at one time may share bytes. */
static Status no_overlap(Verify *v, const Program *p, const char *pass) {
  Arena *a = v->c->arena;
  int *first = NEWN(a, int, p->buf.n + 1), *last = NEWN(a, int, p->buf.n + 1);
  program_lifetimes(p, first, last);
  for (int i = 0; i < p->buf.n; i++)
    for (int j = 0; j < i; j++) {
      const Buf *x = &p->buf.v[i], *y = &p->buf.v[j];
      if (program_memory(p, i) != i || program_memory(p, j) != j || first[i] < -1 || first[j] < -1) continue;
      if (x->kind == BUF_INPUT && y->kind == BUF_INPUT && x->input == y->input) continue;
      if (last[i] < first[j] || last[j] < first[i] || x->offset + x->bytes <= y->offset ||
          y->offset + y->bytes <= x->offset)
        continue;
      int k = first[i] > first[j] ? first[i] : first[j];
      cli_fail(v->c, ST_VERIFY, "pass %s gives buf%d and buf%d, both in use in %s, the same memory", pass, j,
               i, kernel_name(p, k < 0 ? 0 : k, a));
      return blame(v, p, k < 0 ? 0 : k, "the writing");
    }
  return ST_OK;
}

Status verify_program(Verify *v, const PassResult *r, const Evaluated *before) {
  const Program *p = r->program;
  Status s = r->new_kernels ? each_alone(v, p, r->pass) : ST_OK;
  if (!s && r->ordered) s = in_order(v, p, r->pass);
  if (s || !p->arena_bytes) return s;
  if ((s = no_overlap(v, p, r->pass))) return s;
  Tensor64 *out = NEWN(v->c->arena, Tensor64, p->graph->outputs.n + 1);
  program_interp(p, verify_inputs(v, p->graph), out, v->c->arena);
  return verify_results(v, r->pass, before, p->graph, out, NULL);
}
