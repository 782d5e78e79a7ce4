/* LLVM IR building blocks (emit.h): modules and targets, constants, arithmetic, memory, loops. */
#include "codegen/emit/emit.h"
#include "ir/memory.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <math.h>
#include <string.h>
#include <threads.h>

/* ---- targets and modules ---- */
/* Without loop strength reduction: a quarter of code generation's time for nothing here, since the emitters lay
   out addresses themselves (docs/laboratory.md). */
static void set_options(void) {
  static const char *const options[] = {"jepac", "-disable-lsr"};
  LLVMParseCommandLineOptions(2, options, NULL);
}

void em_own_process(void) {
  static once_flag once = ONCE_FLAG_INIT;
  call_once(&once, set_options);
}

static bool is_host(const Target *t) { return strcmp(t->cpu, "host") == 0; }

LLVMTargetMachineRef em_machine(Arch arch, const char *triple, const char *cpu, const char *features) {
  em_arch(arch);
  char *own = triple ? NULL : LLVMGetDefaultTargetTriple(), *error = NULL;
  if (!triple) triple = own;
  LLVMTargetRef ref;
  if (LLVMGetTargetFromTriple(triple, &ref, &error)) bug("LLVM knows no target %s: %s", triple, error);
  LLVMTargetMachineRef tm = LLVMCreateTargetMachine(ref, triple, cpu, features, LLVMCodeGenLevelAggressive,
                                                    LLVMRelocPIC, LLVMCodeModelSmall);
  if (!tm) bug("LLVM cannot make a target machine for %s", triple);
  if (own) LLVMDisposeMessage(own);
  return tm;
}

/* Without the name of the CPU, keys would be those of another machine. */
static char *needed(char *text) {
  if (!text) out_of_memory("the name of the CPU", 0);
  return text;
}

LLVMTargetMachineRef em_target_machine(const Target *t) {
  const char *triple = t->arch == target_host().arch ? NULL : em_arch(t->arch)->triple;
  if (!is_host(t)) return em_machine(t->arch, triple, t->cpu, "");
  char *cpu = needed(LLVMGetHostCPUName()), *features = needed(LLVMGetHostCPUFeatures());
  LLVMTargetMachineRef tm = em_machine(t->arch, triple, cpu, features);
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
  return tm;
}

void em_target_key(const Target *t, StrBuf *out) {
  char *cpu = is_host(t) ? needed(LLVMGetHostCPUName()) : NULL,
       *features = is_host(t) ? needed(LLVMGetHostCPUFeatures()) : NULL;
  sb_printf(out, "%s %s", cpu ? cpu : t->cpu, features ? features : "");
  if (cpu) LLVMDisposeMessage(cpu);
  if (features) LLVMDisposeMessage(features);
}

void em_open(EmitModule *m, const Target *t, LLVMTargetMachineRef tm, const char *name) {
  *m = (EmitModule){.target = t, .tm = tm, .vl = target_lanes(t)};
  m->cx = LLVMContextCreate();
  m->mod = LLVMModuleCreateWithNameInContext(name, m->cx);
  m->b = LLVMCreateBuilderInContext(m->cx);
  char *triple = LLVMGetTargetMachineTriple(tm);
  LLVMSetTarget(m->mod, triple);
  LLVMDisposeMessage(triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
  LLVMSetModuleDataLayout(m->mod, layout);
  LLVMDisposeTargetData(layout);
  m->f32 = LLVMFloatTypeInContext(m->cx);
  m->f64 = LLVMDoubleTypeInContext(m->cx);
  m->i1 = LLVMInt1TypeInContext(m->cx);
  m->i8 = LLVMInt8TypeInContext(m->cx);
  m->i16 = LLVMInt16TypeInContext(m->cx);
  m->i32 = LLVMInt32TypeInContext(m->cx);
  m->i64 = LLVMInt64TypeInContext(m->cx);
  m->ptr = LLVMPointerTypeInContext(m->cx, 0);
  m->none = LLVMVoidTypeInContext(m->cx);
  m->vf32 = LLVMVectorType(m->f32, (unsigned)m->vl);
  m->step_type = LLVMFunctionType(m->none, (LLVMTypeRef[]){m->ptr, m->i64, m->ptr, m->ptr}, 4, 0);
}

void em_close(EmitModule *m) {
  LLVMDisposeBuilder(m->b);
  LLVMDisposeModule(m->mod);
  LLVMContextDispose(m->cx);
}

void em_verify(EmitModule *m) {
  char *error = NULL;
  if (LLVMVerifyModule(m->mod, LLVMReturnStatusAction, &error)) {
    char *ir = LLVMPrintModuleToString(m->mod);
    fprintf(stderr, "%s\n", ir);
    bug("malformed LLVM IR: %s", error);
  }
  LLVMDisposeMessage(error);
}

static void string_attribute(EmitModule *m, LLVMValueRef fn, const char *key, const char *value) {
  LLVMAddAttributeAtIndex(
      fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
      LLVMCreateStringAttribute(m->cx, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}

void em_attributes(EmitModule *m, LLVMValueRef fn) {
  char bits[16];
  snprintf(bits, sizeof bits, "%d", m->target->vector_bytes * 8);
  string_attribute(m, fn, "prefer-vector-width", bits);
  string_attribute(m, fn, "min-legal-vector-width", bits);
  unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
  LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(m->cx, nounwind, 0));
}

void em_function(EmitModule *m, const char *symbol) {
  m->fn = LLVMAddFunction(m->mod, symbol, m->step_type);
  em_attributes(m, m->fn);
  m->ptrs = LLVMGetParam(m->fn, 0);
  m->chunk = LLVMGetParam(m->fn, 1);
  m->scratch = LLVMGetParam(m->fn, 2);
  m->param = LLVMGetParam(m->fn, 3);
  LLVMPositionBuilderAtEnd(m->b, LLVMAppendBasicBlockInContext(m->cx, m->fn, "entry"));
}

LLVMValueRef em_helper(EmitModule *m, const char *symbol, LLVMTypeRef ret, const LLVMTypeRef *params, int n) {
  m->fn = LLVMAddFunction(m->mod, symbol, LLVMFunctionType(ret, (LLVMTypeRef *)params, (unsigned)n, 0));
  LLVMSetLinkage(m->fn, LLVMInternalLinkage);
  em_attributes(m, m->fn);
  LLVMPositionBuilderAtEnd(m->b, LLVMAppendBasicBlockInContext(m->cx, m->fn, "entry"));
  return m->fn;
}

/* ---- types and constants ---- */
LLVMTypeRef em_type(EmitModule *m, DType dt) {
  if (dt == DT_F32 || dt == DT_F64) return dt == DT_F32 ? m->f32 : m->f64;
  switch (dtype_size(dt)) {
  case 1: return m->i8;
  case 2: return m->i16;
  case 4: return m->i32;
  case 8: return m->i64;
  default: bug("no machine type for %s", dtype_name(dt));
  }
}

LLVMTypeRef em_vec(LLVMTypeRef elem, int n) { return n == 1 ? elem : LLVMVectorType(elem, (unsigned)n); }

static bool is_vector(LLVMTypeRef t) { return LLVMGetTypeKind(t) == LLVMVectorTypeKind; }

int em_lanes(LLVMValueRef v) {
  LLVMTypeRef t = LLVMTypeOf(v);
  return is_vector(t) ? (int)LLVMGetVectorSize(t) : 1;
}

LLVMTypeRef em_elem(LLVMTypeRef t) { return is_vector(t) ? LLVMGetElementType(t) : t; }

LLVMValueRef em_i64(EmitModule *m, int64_t x) { return LLVMConstInt(m->i64, (unsigned long long)x, 1); }
LLVMValueRef em_i32(EmitModule *m, int32_t x) {
  return LLVMConstInt(m->i32, (unsigned long long)(int64_t)x, 1);
}
LLVMValueRef em_f32(EmitModule *m, double x) { return LLVMConstReal(m->f32, (double)(float)x); }

enum { MAX_LANES = 64 };
static LLVMValueRef const_splat(LLVMTypeRef t, LLVMValueRef x) {
  if (!is_vector(t)) return x;
  LLVMValueRef lane[MAX_LANES];
  unsigned n = LLVMGetVectorSize(t);
  for (unsigned i = 0; i < n; i++) lane[i] = x;
  return LLVMConstVector(lane, n);
}

LLVMValueRef em_const(LLVMTypeRef t, double x) {
  LLVMTypeRef e = em_elem(t);
  LLVMTypeKind kind = LLVMGetTypeKind(e);
  if (kind == LLVMFloatTypeKind) return const_splat(t, LLVMConstReal(e, (double)(float)x));
  if (kind == LLVMDoubleTypeKind) return const_splat(t, LLVMConstReal(e, x));
  return const_splat(t, LLVMConstInt(e, (unsigned long long)(int64_t)x, 1));
}

LLVMValueRef em_bits(LLVMTypeRef t, uint64_t bits) {
  LLVMTypeRef e = em_elem(t);
  LLVMTypeKind kind = LLVMGetTypeKind(e);
  double value;
  if (kind == LLVMFloatTypeKind) {
    uint32_t word = (uint32_t)bits;
    float f;
    memcpy(&f, &word, sizeof f);
    value = f;
  } else if (kind == LLVMDoubleTypeKind) memcpy(&value, &bits, sizeof value);
  else return const_splat(t, LLVMConstInt(e, bits, 0));
  return const_splat(t, LLVMConstReal(e, value));
}

LLVMValueRef em_splat(EmitModule *m, LLVMValueRef scalar, int n) {
  if (n == 1) return scalar;
  LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)n);
  if (LLVMIsConstant(scalar)) return const_splat(t, scalar);
  LLVMValueRef v = LLVMBuildInsertElement(m->b, LLVMGetPoison(t), scalar, em_i32(m, 0), "");
  return LLVMBuildShuffleVector(m->b, v, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(m->i32, (unsigned)n)),
                                "");
}

LLVMValueRef em_iota(EmitModule *m, LLVMTypeRef elem, int n, int64_t step) {
  (void)m;
  LLVMValueRef lane[MAX_LANES];
  for (int i = 0; i < n; i++) lane[i] = em_const(elem, (double)(i * step));
  return n == 1 ? lane[0] : LLVMConstVector(lane, (unsigned)n);
}

/* ---- index arithmetic ---- */
static bool const_int(LLVMValueRef v, int64_t *x) {
  if (!LLVMIsAConstantInt(v)) return false;
  *x = LLVMConstIntGetSExtValue(v);
  return true;
}

LLVMValueRef em_iadd(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  int64_t c;
  if (const_int(a, &c) && c == 0) return b;
  if (const_int(b, &c) && c == 0) return a;
  return LLVMBuildNSWAdd(m->b, a, b, "");
}

LLVMValueRef em_isub(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  int64_t c;
  if (const_int(b, &c) && c == 0) return a;
  return LLVMBuildNSWSub(m->b, a, b, "");
}

LLVMValueRef em_imul(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  int64_t c;
  if (const_int(a, &c) && c == 1) return b;
  if (const_int(b, &c) && c == 1) return a;
  return LLVMBuildNSWMul(m->b, a, b, "");
}

LLVMValueRef em_iaddc(EmitModule *m, LLVMValueRef a, int64_t c) {
  return em_iadd(m, a, em_bits(LLVMTypeOf(a), (uint64_t)c));
}

LLVMValueRef em_imulc(EmitModule *m, LLVMValueRef a, int64_t c) {
  if (c == 0) return LLVMConstNull(LLVMTypeOf(a));
  if (c == 1) return a;
  if (c > 0 && (c & (c - 1)) == 0)
    return LLVMBuildShl(m->b, a, em_bits(LLVMTypeOf(a), (uint64_t)__builtin_ctzll((uint64_t)c)), "");
  return LLVMBuildNSWMul(m->b, a, em_bits(LLVMTypeOf(a), (uint64_t)c), "");
}

LLVMValueRef em_imin(EmitModule *m, LLVMValueRef a, LLVMValueRef b) {
  int64_t x, y;
  if (const_int(a, &x) && const_int(b, &y)) return x < y ? a : b;
  return em_binary(m, "llvm.smin", a, b);
}

LLVMValueRef em_idivc(EmitModule *m, LLVMValueRef a, int64_t c) {
  if (c == 1) return a;
  return LLVMBuildUDiv(m->b, a, em_bits(LLVMTypeOf(a), (uint64_t)c), "");
}

LLVMValueRef em_imodc(EmitModule *m, LLVMValueRef a, int64_t c) {
  if (c == 1) return LLVMConstNull(LLVMTypeOf(a));
  return LLVMBuildURem(m->b, a, em_bits(LLVMTypeOf(a), (uint64_t)c), "");
}

/* ---- floating point ---- */
LLVMValueRef em_fadd(EmitModule *m, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(m->b, a, b, ""); }
LLVMValueRef em_fsub(EmitModule *m, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(m->b, a, b, ""); }
LLVMValueRef em_fmul(EmitModule *m, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(m->b, a, b, ""); }
LLVMValueRef em_fdiv(EmitModule *m, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFDiv(m->b, a, b, ""); }
LLVMValueRef em_fma(EmitModule *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  if (!m->target->fma) return em_fadd(m, em_fmul(m, a, b), c);
  LLVMTypeRef t = LLVMTypeOf(a);
  return em_intrinsic(m, "llvm.fma", &t, 1, (LLVMValueRef[]){a, b, c}, 3);
}

/* ---- memory ---- */
LLVMValueRef em_operand(EmitModule *m, int k) {
  LLVMValueRef p = LLVMBuildLoad2(m->b, m->ptr, em_gep(m, m->ptr, m->ptrs, em_i64(m, k)), "");
  LLVMSetAlignment(p, 8);
  return p;
}

LLVMValueRef em_gep(EmitModule *m, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef index) {
  int64_t c;
  if (const_int(index, &c) && c == 0) return base;
  return LLVMBuildInBoundsGEP2(m->b, elem, base, &index, 1, "");
}

LLVMValueRef em_load(EmitModule *m, LLVMTypeRef t, LLVMValueRef p, unsigned align) {
  LLVMValueRef v = LLVMBuildLoad2(m->b, t, p, "");
  LLVMSetAlignment(v, align);
  return v;
}

LLVMValueRef em_store(EmitModule *m, LLVMValueRef v, LLVMValueRef p, unsigned align) {
  LLVMValueRef s = LLVMBuildStore(m->b, v, p);
  LLVMSetAlignment(s, align);
  return s;
}

LLVMValueRef em_masked_load(EmitModule *m, LLVMTypeRef t, LLVMValueRef p, unsigned align, LLVMValueRef mask,
                            LLVMValueRef other) {
  LLVMTypeRef ov[] = {t, m->ptr};
  LLVMValueRef args[] = {p, em_i32(m, (int)align), mask, other ? other : LLVMConstNull(t)};
  return em_intrinsic(m, "llvm.masked.load", ov, 2, args, 4);
}

void em_masked_store(EmitModule *m, LLVMValueRef v, LLVMValueRef p, unsigned align, LLVMValueRef mask) {
  LLVMTypeRef ov[] = {LLVMTypeOf(v), m->ptr};
  em_intrinsic(m, "llvm.masked.store", ov, 2, (LLVMValueRef[]){v, p, em_i32(m, (int)align), mask}, 4);
}

LLVMValueRef em_tail_mask(EmitModule *m, LLVMValueRef count, int n) {
  LLVMValueRef c = LLVMBuildTrunc(m->b, em_imin(m, count, em_i64(m, n)), m->i32, "");
  return LLVMBuildICmp(m->b, LLVMIntSLT, em_iota(m, m->i32, n, 1), em_splat(m, c, n), "");
}

LLVMValueRef em_broadcast_load(EmitModule *m, LLVMValueRef p, int n) {
  return em_splat(m, em_load(m, m->f32, p, 4), n);
}

void em_prefetch(EmitModule *m, LLVMValueRef p, bool write, int locality) {
  LLVMValueRef args[] = {p, em_i32(m, write), em_i32(m, locality), em_i32(m, 1)};
  em_intrinsic(m, "llvm.prefetch", &m->ptr, 1, args, 4);
}

/* ---- calls ---- */
LLVMValueRef em_intrinsic(EmitModule *m, const char *name, LLVMTypeRef *ov, int nov, LLVMValueRef *args,
                          int n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  if (!id) bug("LLVM has no intrinsic %s", name);
  LLVMValueRef fn = LLVMGetIntrinsicDeclaration(m->mod, id, ov, (size_t)nov);
  LLVMTypeRef type = LLVMIntrinsicGetType(m->cx, id, ov, (size_t)nov);
  return LLVMBuildCall2(m->b, type, fn, args, (unsigned)n, "");
}

LLVMValueRef em_unary(EmitModule *m, const char *intrinsic, LLVMValueRef a) {
  LLVMTypeRef t = LLVMTypeOf(a);
  return em_intrinsic(m, intrinsic, &t, 1, &a, 1);
}

LLVMValueRef em_binary(EmitModule *m, const char *intrinsic, LLVMValueRef a, LLVMValueRef b) {
  LLVMTypeRef t = LLVMTypeOf(a);
  return em_intrinsic(m, intrinsic, &t, 1, (LLVMValueRef[]){a, b}, 2);
}

LLVMValueRef em_extern(EmitModule *m, const char *name, LLVMTypeRef t, LLVMValueRef *args, int n) {
  LLVMTypeRef params[4] = {t, t, t, t};
  LLVMTypeRef type = LLVMFunctionType(t, params, (unsigned)n, 0);
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, name);
  if (!fn) fn = LLVMAddFunction(m->mod, name, type);
  return LLVMBuildCall2(m->b, type, fn, args, (unsigned)n, "");
}

/* ---- control flow ---- */
static LLVMBasicBlockRef new_block(EmitModule *m, const char *name) {
  return LLVMAppendBasicBlockInContext(m->cx, m->fn, name);
}

LLVMValueRef em_loop_begin(EmitModule *m, EmitLoop *l, LLVMValueRef lo, LLVMValueRef hi, int64_t step) {
  *l = (EmitLoop){.hi = hi, .step = step};
  l->pre = LLVMGetInsertBlock(m->b);
  l->body = new_block(m, "body");
  l->exit = new_block(m, "exit");
  int64_t a, b;
  l->guarded = !(const_int(lo, &a) && const_int(hi, &b) && a < b);
  if (l->guarded) LLVMBuildCondBr(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, lo, hi, ""), l->body, l->exit);
  else LLVMBuildBr(m->b, l->body);
  LLVMPositionBuilderAtEnd(m->b, l->body);
  l->i = LLVMBuildPhi(m->b, m->i64, "i");
  LLVMAddIncoming(l->i, &lo, &l->pre, 1);
  return l->i;
}

int em_loop_carry(EmitModule *m, EmitLoop *l, LLVMValueRef init) {
  if (l->ncarry == EMIT_CARRY) bug("too many values carried by a loop");
  int k = l->ncarry++;
  l->init[k] = init;
  l->carry[k] = LLVMBuildPhi(m->b, LLVMTypeOf(init), "");
  LLVMAddIncoming(l->carry[k], &init, &l->pre, 1);
  return k;
}

void em_loop_end(EmitModule *m, EmitLoop *l) {
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(m->b);
  LLVMValueRef next = LLVMBuildNSWAdd(m->b, l->i, em_i64(m, l->step), "");
  LLVMBuildCondBr(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, next, l->hi, ""), l->body, l->exit);
  LLVMAddIncoming(l->i, &next, &latch, 1);
  /* exit blocks follow their bodies, which keeps dumps readable */
  LLVMMoveBasicBlockAfter(l->exit, latch);
  LLVMPositionBuilderAtEnd(m->b, l->exit);
  for (int k = 0; k < l->ncarry; k++) {
    if (!l->next[k]) bug("carried value %d of a loop has no next value", k);
    LLVMAddIncoming(l->carry[k], &l->next[k], &latch, 1);
    LLVMValueRef out = LLVMBuildPhi(m->b, LLVMTypeOf(l->init[k]), "");
    if (l->guarded) LLVMAddIncoming(out, &l->init[k], &l->pre, 1);
    LLVMAddIncoming(out, &l->next[k], &latch, 1);
    l->carry[k] = out;
  }
}

void em_if(EmitModule *m, EmitIf *f, LLVMValueRef cond) {
  *f = (EmitIf){.from = LLVMGetInsertBlock(m->b)};
  LLVMBasicBlockRef then = new_block(m, "then");
  f->other = new_block(m, "else");
  LLVMBuildCondBr(m->b, cond, then, f->other);
  LLVMPositionBuilderAtEnd(m->b, then);
}

void em_else(EmitModule *m, EmitIf *f) {
  f->then_end = LLVMGetInsertBlock(m->b);
  f->end = new_block(m, "endif");
  LLVMBuildBr(m->b, f->end);
  LLVMMoveBasicBlockAfter(f->other, f->then_end);
  LLVMPositionBuilderAtEnd(m->b, f->other);
}

void em_endif(EmitModule *m, EmitIf *f) {
  if (!f->end) em_else(m, f);
  f->other = LLVMGetInsertBlock(m->b);
  LLVMBuildBr(m->b, f->end);
  LLVMMoveBasicBlockAfter(f->end, f->other);
  LLVMPositionBuilderAtEnd(m->b, f->end);
}

LLVMValueRef em_merge(EmitModule *m, EmitIf *f, LLVMValueRef then_value, LLVMValueRef else_value) {
  LLVMValueRef phi = LLVMBuildPhi(m->b, LLVMTypeOf(then_value), "");
  LLVMAddIncoming(phi, (LLVMValueRef[]){then_value, else_value}, (LLVMBasicBlockRef[]){f->then_end, f->other},
                  2);
  return phi;
}

/* ---- whole-vector reductions ---- */
LLVMValueRef em_extract(EmitModule *m, LLVMValueRef v, int lane) {
  return em_lanes(v) == 1 ? v : LLVMBuildExtractElement(m->b, v, em_i32(m, lane), "");
}

LLVMValueRef em_half(EmitModule *m, LLVMValueRef v, bool upper) {
  int n = em_lanes(v) / 2;
  if (n == 1) return em_extract(m, v, upper);
  LLVMValueRef index[MAX_LANES];
  for (int i = 0; i < n; i++) index[i] = em_i32(m, i + (upper ? n : 0));
  return LLVMBuildShuffleVector(m->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(index, (unsigned)n),
                                "");
}

LLVMValueRef em_join(EmitModule *m, LLVMValueRef lower, LLVMValueRef upper) {
  LLVMValueRef index[MAX_LANES];
  int n = 2 * em_lanes(lower);
  for (int i = 0; i < n; i++) index[i] = em_i32(m, i);
  return LLVMBuildShuffleVector(m->b, lower, upper, LLVMConstVector(index, (unsigned)n), "");
}

LLVMValueRef em_hsum(EmitModule *m, LLVMValueRef v) {
  bool real = LLVMGetTypeKind(em_elem(LLVMTypeOf(v))) == LLVMFloatTypeKind ||
              LLVMGetTypeKind(em_elem(LLVMTypeOf(v))) == LLVMDoubleTypeKind;
  while (em_lanes(v) > 1) {
    LLVMValueRef a = em_half(m, v, false), b = em_half(m, v, true);
    v = real ? em_fadd(m, a, b) : LLVMBuildAdd(m->b, a, b, "");
  }
  return v;
}
