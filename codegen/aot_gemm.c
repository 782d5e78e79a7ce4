/* Matrix products and scatter as generated code, for libraries that stand alone. A product packs a panel of
   B, as wide as two vectors and at most KC deep, into scratch and runs a register-blocked outer-product
   kernel over the rows of A (Goto and van de Geijn 2008, without packing A). */
#include "codegen/aot.h"

enum { KC = 256, NV = 2 };

typedef struct {
  EmitModule *m;
  const GemmSpec *s;
  LLVMTypeRef t;
  int lanes, panel; /* elements of a vector; columns of a panel */
  unsigned align;
  LLVMValueRef a, b, c;    /* of this batch item */
  LLVMValueRef n0, k0, kk; /* the panel: first column, first row, rows */
  LLVMValueRef mask[NV];
} Gemm;

static int lanes_of(const Target *t, DType dt) { return t->vector_bytes / (int)dtype_size(dt); }

int64_t aot_gemm_scratch(const Target *t, const GemmSpec *s) {
  int64_t depth = s->k < KC ? s->k : KC;
  return depth * NV * lanes_of(t, s->dt) * dtype_size(s->dt);
}

static LLVMValueRef at(Gemm *g, LLVMValueRef base, LLVMValueRef i, int64_t si, LLVMValueRef j, int64_t sj) {
  EmitModule *m = g->m;
  return em_gep(m, g->t, base, em_iadd(m, em_imulc(m, i, si), em_imulc(m, j, sj)));
}

static LLVMValueRef room(Gemm *g, LLVMValueRef k, LLVMValueRef j) {
  return at(g, g->m->scratch, k, g->panel, j, 1);
}

/* scratch[kk][panel] = B[k0.., n0..], zero beyond the last column */
static void pack(Gemm *g) {
  EmitModule *m = g->m;
  const GemmSpec *s = g->s;
  LLVMTypeRef vec = em_vec(g->t, g->lanes);
  EmitLoop l, in;
  LLVMValueRef k = em_loop_begin(m, &l, em_i64(m, 0), g->kk, 1), row = em_iadd(m, g->k0, k);
  for (int v = 0; v < NV; v++) {
    LLVMValueRef x = LLVMConstNull(vec);
    if (s->b_n == 1)
      x = em_masked_load(m, vec, at(g, g->b, row, s->b_k, em_iaddc(m, g->n0, v * g->lanes), 1), g->align,
                         g->mask[v], NULL);
    em_store(m, x, room(g, k, em_i64(m, v * g->lanes)), g->align);
  }
  em_loop_end(m, &l);
  if (s->b_n == 1) return;
  LLVMValueRef cols = em_imin(m, em_isub(m, em_i64(m, s->n), g->n0), em_i64(m, g->panel));
  LLVMValueRef j = em_loop_begin(m, &l, em_i64(m, 0), cols, 1);
  k = em_loop_begin(m, &in, em_i64(m, 0), g->kk, 1);
  LLVMValueRef from = at(g, g->b, em_iadd(m, g->k0, k), s->b_k, em_iadd(m, g->n0, j), s->b_n);
  em_store(m, em_load(m, g->t, from, g->align), room(g, k, j), g->align);
  em_loop_end(m, &in);
  em_loop_end(m, &l);
}

/* Rows m0.. of the panel's columns, `rows` of them. */
static void block(Gemm *g, LLVMValueRef m0, int rows) {
  EmitModule *m = g->m;
  const GemmSpec *s = g->s;
  LLVMTypeRef vec = em_vec(g->t, g->lanes);
  EmitLoop l;
  LLVMValueRef k = em_loop_begin(m, &l, em_i64(m, 0), g->kk, 1);
  for (int i = 0; i < rows * NV; i++) em_loop_carry(m, &l, LLVMConstNull(vec));
  LLVMValueRef b[NV];
  for (int v = 0; v < NV; v++) b[v] = em_load(m, vec, room(g, k, em_i64(m, v * g->lanes)), g->align);
  for (int i = 0; i < rows; i++) {
    LLVMValueRef from = at(g, g->a, em_iaddc(m, m0, i), s->a_m, em_iadd(m, g->k0, k), s->a_k);
    LLVMValueRef x = em_splat(m, em_load(m, g->t, from, g->align), g->lanes);
    for (int v = 0; v < NV; v++) l.next[i * NV + v] = em_fma(m, x, b[v], l.carry[i * NV + v]);
  }
  em_loop_end(m, &l);
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < NV; v++) {
      LLVMValueRef to = at(g, g->c, em_iaddc(m, m0, i), s->c_m, em_iaddc(m, g->n0, v * g->lanes), 1);
      LLVMValueRef sum = l.carry[i * NV + v];
      if (s->k > KC) { /* later panels add to what the first one stored */
        LLVMValueRef later = LLVMBuildICmp(m->b, LLVMIntSGT, g->k0, em_i64(m, 0), "");
        LLVMValueRef mask = LLVMBuildAnd(m->b, g->mask[v], em_splat(m, later, g->lanes), "");
        sum = em_fadd(m, sum, em_masked_load(m, vec, to, g->align, mask, NULL));
      }
      em_masked_store(m, sum, to, g->align, g->mask[v]);
    }
}

static void panel(Gemm *g) {
  EmitModule *m = g->m;
  const GemmSpec *s = g->s;
  int rows = m->target->registers >= 32 ? 6 : 4;
  int64_t whole = s->m / rows * rows;
  EmitLoop l;
  pack(g);
  if (whole) {
    block(g, em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, whole), rows), rows);
    em_loop_end(m, &l);
  }
  if (s->m > whole) {
    block(g, em_loop_begin(m, &l, em_i64(m, whole), em_i64(m, s->m), 1), 1);
    em_loop_end(m, &l);
  }
}

static LLVMValueRef batch_base(Gemm *g, LLVMValueRef base, LLVMValueRef item, const int64_t *stride) {
  EmitModule *m = g->m;
  LLVMValueRef off = em_i64(m, 0);
  for (int i = g->s->nbatch - 1; i >= 0; i--) {
    off = em_iadd(m, off, em_imulc(m, em_imodc(m, item, g->s->batch[i]), stride[i]));
    item = em_idivc(m, item, g->s->batch[i]);
  }
  return em_gep(m, g->t, base, off);
}

void aot_emit_gemm(EmitModule *m, const GemmSpec *s, const char *symbol) {
  if (s->c_n != 1) bug("a product whose result is not stored by rows");
  em_function(m, symbol);
  Gemm g = {.m = m, .s = s, .t = em_type(m, s->dt), .lanes = lanes_of(m->target, s->dt)};
  g.panel = NV * g.lanes;
  g.align = (unsigned)dtype_size(s->dt);
  LLVMValueRef a = em_operand(m, 0), b = em_operand(m, 1), c = em_operand(m, 2);
  int64_t items = 1;
  for (int i = 0; i < s->nbatch; i++) items *= s->batch[i];
  EmitLoop li, ln, lk;
  LLVMValueRef item = em_loop_begin(m, &li, em_i64(m, 0), em_i64(m, items), 1);
  g.a = batch_base(&g, a, item, s->a_batch);
  g.b = batch_base(&g, b, item, s->b_batch);
  g.c = batch_base(&g, c, item, s->c_batch);
  g.n0 = em_loop_begin(m, &ln, em_i64(m, 0), em_i64(m, s->n), g.panel);
  LLVMValueRef left = em_isub(m, em_i64(m, s->n), g.n0);
  for (int v = 0; v < NV; v++) g.mask[v] = em_tail_mask(m, em_iaddc(m, left, -v * g.lanes), g.lanes);
  g.k0 = em_loop_begin(m, &lk, em_i64(m, 0), em_i64(m, s->k), KC);
  g.kk = em_imin(m, em_isub(m, em_i64(m, s->k), g.k0), em_i64(m, KC));
  panel(&g);
  em_loop_end(m, &lk);
  em_loop_end(m, &ln);
  em_loop_end(m, &li);
  LLVMBuildRetVoid(m->b);
}

void aot_emit_scatter(EmitModule *m, const ScatterSpec *s, const char *symbol) {
  em_function(m, symbol);
  LLVMTypeRef t = em_type(m, s->dt), ti = em_type(m, s->idx_dt);
  unsigned size = (unsigned)dtype_size(s->dt);
  LLVMValueRef idx = em_operand(m, 0), upd = em_operand(m, 1), out = em_operand(m, 2);
  EmitLoop z, lo, lj, li;
  LLVMValueRef i = em_loop_begin(m, &z, em_i64(m, 0), em_i64(m, s->outer * s->extent * s->inner), 1);
  em_store(m, LLVMConstNull(t), em_gep(m, t, out, i), size);
  em_loop_end(m, &z);
  LLVMValueRef o = em_loop_begin(m, &lo, em_i64(m, 0), em_i64(m, s->outer), 1);
  LLVMValueRef j = em_loop_begin(m, &lj, em_i64(m, 0), em_i64(m, s->nidx), 1);
  LLVMValueRef at = em_load(m, ti, em_gep(m, ti, idx, j), (unsigned)dtype_size(s->idx_dt));
  if (ti != m->i64) at = LLVMBuildSExt(m->b, at, m->i64, "");
  at = em_imin(m, em_binary(m, "llvm.smax", at, em_i64(m, 0)), em_i64(m, s->extent - 1));
  LLVMValueRef to = em_imulc(m, em_iadd(m, em_imulc(m, o, s->extent), at), s->inner);
  LLVMValueRef from = em_imulc(m, em_iadd(m, em_imulc(m, o, s->nidx), j), s->inner);
  i = em_loop_begin(m, &li, em_i64(m, 0), em_i64(m, s->inner), 1);
  LLVMValueRef p = em_gep(m, t, out, em_iadd(m, to, i)), q = em_gep(m, t, upd, em_iadd(m, from, i));
  em_store(m, em_fadd(m, em_load(m, t, p, size), em_load(m, t, q, size)), p, size);
  em_loop_end(m, &li);
  em_loop_end(m, &lj);
  em_loop_end(m, &lo);
  LLVMBuildRetVoid(m->b);
}

void aot_emit_extern(EmitModule *m, const Kernel *k, const Shape *result, const char *symbol) {
  enum { MOST = 80 };
  LLVMTypeRef type[MOST];
  LLVMValueRef arg[MOST];
  int n = k->nbuf + result->rank;
  if (n > MOST) bug("an extern with %d arguments", n);
  em_function(m, symbol);
  for (int i = 0; i < n; i++) {
    bool pointer = i < k->nbuf;
    type[i] = pointer ? m->ptr : m->i64;
    arg[i] = pointer ? em_operand(m, i) : em_i64(m, result->dim[i - k->nbuf]);
  }
  LLVMTypeRef fn_type = LLVMFunctionType(m->none, type, (unsigned)n, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, k->ext->symbol);
  if (!fn) fn = LLVMAddFunction(m->mod, k->ext->symbol, fn_type);
  LLVMBuildCall2(m->b, fn_type, fn, arg, (unsigned)n, "");
  LLVMBuildRetVoid(m->b);
}
