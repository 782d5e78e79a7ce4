/* Steps that call LAPACK: a function of the runtime, which finds OpenBLAS when it is needed; in libraries that stand alone the
   script as code, which whoever links them resolves. */
#include "codegen/emit/kind.h"
#include "runtime/lapack.h"

/* ---- in this process ---- */
static StepFn resolve(const Kernel *k, Diags *d) {
  char err[200];
  if (lapack_there(err, sizeof err)) return step_lapack;
  diag_error(d, k->loc, "%s", err);
  return NULL;
}

static void step(const Program *p, const Kernel *k, Step *st, int64_t *operand, Arena *a) {
  (void)p;
  const LapackSpec *s = &k->lapack;
  LapackParam *g = NEW(a, LapackParam);
  char err[200];
  *g = (LapackParam){.script = lapack_script(s), .batch = s->batch, .nchunk = st->nchunk};
  for (int i = 0; i < LAPACK_PLACES; i++) {
    g->bytes[i] = i == LAPACK_WORK ? g->script.work : lapack_step(s, i) * dtype_size(s->dt);
    g->there[i] = i == LAPACK_WORK ? g->script.work > 0 : lapack_count(s, i) > 0;
  }
  operand[0] += s->a_off * dtype_size(s->dt);
  operand[1] += s->b_off * dtype_size(s->dt); /* 0 where it is no right operand */
  if (st->fn && !lapack_bind(&g->script, err, sizeof err)) bug("%s", err); /* resolve() was content */
  st->param = g;
}

/* ---- by itself ---- */
typedef struct {
  EmitModule *m;
  const LapackScript *s;
  LLVMTypeRef t; /* of an element */
  unsigned size;
  LLVMValueRef place[LAPACK_PLACES]; /* of the item */
} Writer;

static LLVMValueRef address(const Writer *w, LapackPlace p) {
  return em_gep(w->m, w->m->i8, w->place[p.place], em_i64(w->m, p.at));
}

static LLVMValueRef element(const Writer *w, LLVMValueRef base, LLVMValueRef index) {
  return em_gep(w->m, w->t, base, index);
}

static LLVMValueRef load(const Writer *w, LLVMValueRef base, LLVMValueRef index) {
  return em_load(w->m, w->t, element(w, base, index), w->size);
}

/* Fortran takes numbers by their address. */
static LLVMValueRef constant(const Writer *w, LLVMValueRef v) {
  LLVMValueRef g = LLVMAddGlobal(w->m->mod, LLVMTypeOf(v), "argument");
  LLVMSetInitializer(g, v);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  return g;
}

/* Whether the item is spoiled. */
static LLVMValueRef emit_routine(const Writer *w, const LapackCall *c, LLVMValueRef info) {
  EmitModule *m = w->m;
  LLVMTypeRef type[2 * LAPACK_ARGS];
  LLVMValueRef arg[2 * LAPACK_ARGS];
  int n = c->narg;
  for (int i = 0; i < c->narg; i++) {
    const LapackArg *a = &c->arg[i];
    type[i] = m->ptr;
    switch (a->kind) {
    case LA_TEXT:
      arg[i] = constant(w, LLVMConstInt(m->i8, (unsigned long long)a->n, 0));
      type[n] = m->i64; /* its length */
      arg[n++] = em_i64(m, 1);
      break;
    case LA_INT: arg[i] = constant(w, em_i32(m, (int32_t)a->n)); break;
    case LA_REAL: arg[i] = constant(w, em_const(w->t, (double)a->n)); break;
    case LA_PLACE: arg[i] = address(w, a->place); break;
    case LA_INFO: arg[i] = info; break;
    }
  }
  em_store(m, em_i32(m, 0), info, 4);
  LLVMTypeRef fn_type = LLVMFunctionType(m->none, type, (unsigned)n, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, c->routine);
  if (!fn) fn = LLVMAddFunction(m->mod, c->routine, fn_type);
  LLVMBuildCall2(m->b, fn_type, fn, arg, (unsigned)n, "");
  if (!c->spoils) return LLVMConstInt(m->i1, 0, 0);
  return LLVMBuildICmp(m->b, LLVMIntNE, em_load(m, m->i32, info, 4), em_i32(m, 0), "");
}

static LLVMValueRef emit_finite(const Writer *w, const LapackCall *c) {
  EmitModule *m = w->m;
  EmitLoop l;
  LLVMValueRef x = address(w, c->x), i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, c->len), 1);
  int bad = em_loop_carry(m, &l, LLVMConstInt(m->i1, 0, 0));
  LLVMValueRef v = load(w, x, em_imulc(m, i, c->count)), none = em_fsub(m, v, v); /* NaN of an infinity too */
  l.next[bad] = LLVMBuildOr(m->b, l.carry[bad], LLVMBuildFCmp(m->b, LLVMRealUNO, none, none, ""), "");
  em_loop_end(m, &l);
  return l.carry[bad];
}

static void negate(const Writer *w, LLVMValueRef base, LLVMValueRef from, int64_t stride, int64_t n) {
  EmitModule *m = w->m;
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, n), 1);
  LLVMValueRef p = element(w, base, em_iadd(m, from, em_imulc(m, i, stride)));
  em_store(m, LLVMBuildFNeg(m->b, em_load(m, w->t, p, w->size), ""), p, w->size);
  em_loop_end(m, &l);
}

static void emit_signs(const Writer *w, const LapackCall *c) {
  EmitModule *m = w->m;
  EmitLoop lv, l;
  LLVMValueRef x = address(w, c->x), y = address(w, c->y);
  LLVMValueRef v = em_loop_begin(m, &lv, em_i64(m, 0), em_i64(m, c->count), 1), from = em_imulc(m, v, c->len);
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, c->len), 1);
  int most = em_loop_carry(m, &l, em_const(w->t, 0));
  l.next[most] =
      em_binary(m, "llvm.maxnum", l.carry[most], em_unary(m, "llvm.fabs", load(w, x, em_iadd(m, from, i))));
  em_loop_end(m, &l);
  /* in double, as the runtime compares */
  LLVMValueRef limit = LLVMBuildFPExt(m->b, l.carry[most], m->f64, "");
  if (w->t == m->f64) limit = l.carry[most];
  limit = em_fmul(m, limit, em_const(m->f64, 0.6));
  i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, c->len), 1);
  int found = em_loop_carry(m, &l, LLVMConstInt(m->i1, 0, 0)),
      turn = em_loop_carry(m, &l, LLVMConstInt(m->i1, 0, 0));
  LLVMValueRef e = load(w, x, em_iadd(m, from, i)), size = em_unary(m, "llvm.fabs", e);
  if (w->t != m->f64) size = LLVMBuildFPExt(m->b, size, m->f64, "");
  LLVMValueRef hit = LLVMBuildFCmp(m->b, LLVMRealOGE, size, limit, "");
  LLVMValueRef minus = LLVMBuildFCmp(m->b, LLVMRealOLT, e, em_const(w->t, 0), "");
  LLVMValueRef first = LLVMBuildAnd(m->b, hit, LLVMBuildNot(m->b, l.carry[found], ""), "");
  l.next[found] = LLVMBuildOr(m->b, l.carry[found], hit, "");
  l.next[turn] = LLVMBuildOr(m->b, l.carry[turn], LLVMBuildAnd(m->b, first, minus, ""), "");
  em_loop_end(m, &l);
  EmitIf f;
  em_if(m, &f, l.carry[turn]);
  negate(w, x, from, 1, c->len);
  if (c->ylen) negate(w, y, v, c->count, c->ylen);
  em_endif(m, &f);
  em_loop_end(m, &lv);
}

static void emit_determinant(const Writer *w, const LapackCall *c) {
  EmitModule *m = w->m;
  EmitLoop l;
  LLVMValueRef lu = address(w, c->x), out = address(w, c->y), pivots = address(w, c->pivots);
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, c->len), 1), zero = em_const(m->f64, 0);
  int sign = em_loop_carry(m, &l, em_const(m->f64, 1)), size = em_loop_carry(m, &l, zero);
  LLVMValueRef d = load(w, lu, em_imulc(m, i, c->len + 1));
  if (w->t != m->f64) d = LLVMBuildFPExt(m->b, d, m->f64, "");
  LLVMValueRef own =
      LLVMBuildSelect(m->b, LLVMBuildFCmp(m->b, LLVMRealOLT, d, zero, ""), em_const(m->f64, -1), d, "");
  own = LLVMBuildSelect(m->b, LLVMBuildFCmp(m->b, LLVMRealOGT, d, zero, ""), em_const(m->f64, 1), own, "");
  LLVMValueRef pivot = em_load(m, m->i32, em_gep(m, m->i32, pivots, i), 4);
  LLVMValueRef stays =
      LLVMBuildICmp(m->b, LLVMIntEQ, LLVMBuildSExt(m->b, pivot, m->i64, ""), em_iaddc(m, i, 1), "");
  LLVMValueRef s = em_fmul(m, l.carry[sign], own);
  l.next[sign] = LLVMBuildSelect(m->b, stays, s, LLVMBuildFNeg(m->b, s, ""), "");
  l.next[size] = em_fadd(m, l.carry[size], em_unary(m, "llvm.log", em_unary(m, "llvm.fabs", d)));
  em_loop_end(m, &l);
  LLVMValueRef result[] = {l.carry[sign], l.carry[size]};
  for (int k = 0; k < 2; k++) {
    if (w->t != m->f64) result[k] = LLVMBuildFPTrunc(m->b, result[k], w->t, "");
    em_store(m, result[k], element(w, out, em_i64(m, k)), w->size);
  }
}

/* What comes after a call that spoils the item is done in vain: the item becomes NaN in the end. */
static void emit_item(const Writer *w, LLVMValueRef info) {
  EmitModule *m = w->m;
  LLVMValueRef spoiled = LLVMConstInt(m->i1, 0, 0);
  for (int i = 0; i < w->s->n; i++) {
    const LapackCall *c = &w->s->call[i];
    EmitIf f;
    LLVMValueRef none = LLVMConstInt(m->i1, 0, 0), own = none, before = spoiled;
    bool guarded = !LLVMIsConstant(spoiled);
    if (guarded) em_if(m, &f, LLVMBuildNot(m->b, before, ""));
    switch (c->act) {
    case LA_CALL: own = emit_routine(w, c, info); break;
    case LA_FINITE: own = emit_finite(w, c); break;
    case LA_SIGNS: emit_signs(w, c); break;
    case LA_DET: emit_determinant(w, c); break;
    }
    if (guarded) {
      em_endif(m, &f);
      own = em_merge(m, &f, own, none);
    }
    spoiled = LLVMBuildOr(m->b, before, own, "");
  }
  if (LLVMIsConstant(spoiled)) return;
  EmitIf f;
  EmitLoop l;
  em_if(m, &f, spoiled);
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, w->s->result), 1);
  em_store(m, LLVMConstRealOfString(w->t, "nan"), element(w, w->place[LAPACK_OUT], i), w->size);
  em_loop_end(m, &l);
  em_endif(m, &f);
}

static void emit_alone(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const LapackSpec *spec = &k->lapack;
  LapackScript s = lapack_script(spec);
  Writer w = {.m = m, .s = &s, .size = (unsigned)dtype_size(s.dt)};
  em_function(m, symbol);
  w.t = em_type(m, s.dt);
  LLVMValueRef base[LAPACK_PLACES] = {0}, info = LLVMBuildAlloca(m->b, m->i32, "");
  int64_t bytes[LAPACK_PLACES];
  for (int i = 0, at = 0; i < LAPACK_PLACES; i++) {
    bytes[i] = i == LAPACK_WORK ? 0 : lapack_step(spec, i) * dtype_size(s.dt);
    if (i == LAPACK_WORK ? s.work > 0 : lapack_count(spec, i) > 0) base[i] = em_operand(m, at++);
  }
  EmitLoop l;
  LLVMValueRef item = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, spec->batch), 1);
  for (int i = 0; i < LAPACK_PLACES; i++)
    if (base[i]) w.place[i] = em_gep(m, m->i8, base[i], em_imulc(m, item, bytes[i]));
  emit_item(&w, info);
  em_loop_end(m, &l);
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_lapack = {
    .step = step, .resolve = resolve, .emit_alone = emit_alone, .library = "openblas"};
