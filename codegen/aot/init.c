/* NAME_init of a generated library: refuses CPUs that lack the instructions the code uses, then gives every
   state the value session_init_states (runtime/exec.c) would give it. The first part is compiled for the
   oldest CPU of the architecture. Random numbers are Philox4x32-10 (Salmon et al. 2011). */
#include "codegen/aot/aot.h"

#include <string.h>

/* ---- functions and exits ---- */
static void attribute(EmitModule *m, LLVMValueRef fn, const char *key, const char *value) {
  LLVMAddAttributeAtIndex(
      fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
      LLVMCreateStringAttribute(m->cx, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}

static LLVMValueRef call(EmitModule *m, LLVMValueRef fn, LLVMValueRef *args, int n) {
  return LLVMBuildCall2(m->b, LLVMGlobalGetValueType(fn), fn, args, (unsigned)n, "");
}

void aot_emit_return_if(Aot *a, LLVMValueRef cond, int code) {
  EmitModule *m = &a->m;
  LLVMBasicBlockRef leave = LLVMAppendBasicBlockInContext(m->cx, m->fn, "leave");
  LLVMBasicBlockRef stay = LLVMAppendBasicBlockInContext(m->cx, m->fn, "stay");
  LLVMBuildCondBr(m->b, cond, leave, stay);
  LLVMPositionBuilderAtEnd(m->b, leave);
  LLVMBuildRet(m->b, em_i32(m, code));
  LLVMPositionBuilderAtEnd(m->b, stay);
}

void aot_emit_arena_check(Aot *a, LLVMValueRef arena) {
  EmitModule *m = &a->m;
  LLVMValueRef p = LLVMBuildPtrToInt(m->b, arena, m->i64, "");
  LLVMValueRef low = LLVMBuildAnd(m->b, p, em_i64(m, TENSOR_ALIGN - 1), "");
  LLVMValueRef bad = LLVMBuildICmp(m->b, LLVMIntNE, low, em_i64(m, 0), "");
  LLVMValueRef null = LLVMBuildICmp(m->b, LLVMIntEQ, p, em_i64(m, 0), "");
  aot_emit_return_if(a, LLVMBuildOr(m->b, bad, null, ""), AOT_BAD_ARENA);
}

/* ---- the CPU ---- */
/* Bits of cpuid by what needs them, first those without which others have no meaning. Leaf 0 stands for XCR0:
   register states the system saves. */
typedef enum { NEED_AVX2 = 1, NEED_AVX512 = 2, NEED_BF16 = 4, NEED_TILES = 8 } Need;
static const struct {
  Need need;
  uint32_t leaf, part;
  int reg; /* eax ebx ecx edx */
  uint32_t mask;
} cpu_bits[] = {
    {NEED_AVX2, 1, 0, 2,
     1u << 0 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 27 |
         1u << 28 | 1u << 29}, /* sse3 ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt osxsave avx f16c */
    {NEED_AVX2, 0, 0, 0, 0x6},
    {NEED_AVX2, 0x80000001, 0, 2, 1u << 0 | 1u << 5},  /* lahf lzcnt */
    {NEED_AVX2, 7, 0, 1, 1u << 3 | 1u << 5 | 1u << 8}, /* bmi avx2 bmi2 */
    {NEED_AVX512, 0, 0, 0, 0xe6},
    {NEED_AVX512, 7, 0, 1, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31}, /* avx512 f dq cd bw vl */
    {NEED_BF16, 7, 1, 0, 1u << 5},                                                /* avx512-bf16 */
    {NEED_TILES, 0, 0, 0, 3u << 17},
    {NEED_TILES, 7, 0, 3, 1u << 22 | 1u << 24}, /* amx-bf16 amx-tile */
};

/* Kernels that multiply on tiles begin with this instruction. */
static bool has_tiles(const Aot *a) { return LLVMGetNamedFunction(a->m.mod, "llvm.x86.ldtilecfg"); }

static unsigned needs_of(const Aot *a) {
  const Target *t = &a->p->target;
  unsigned need = (t->vector_bytes >= 32 ? NEED_AVX2 : 0) | (t->vector_bytes >= 64 ? NEED_AVX512 : 0);
  for (int i = 0; t->bf16 && i < a->p->buf.n; i++)
    if (a->p->buf.v[i].dt == DT_BF16) need |= NEED_BF16;
  return need | (has_tiles(a) ? NEED_TILES : 0);
}

static LLVMValueRef inline_asm(LLVMTypeRef type, const char *text, const char *constraints) {
  return LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), 1, 0,
                          LLVMInlineAsmDialectATT, 0);
}

static LLVMValueRef cpuid(EmitModule *m, LLVMValueRef leaf, uint32_t part, int reg) {
  LLVMTypeRef four = LLVMStructTypeInContext(m->cx, (LLVMTypeRef[]){m->i32, m->i32, m->i32, m->i32}, 4, 0);
  LLVMTypeRef type = LLVMFunctionType(four, (LLVMTypeRef[]){m->i32, m->i32}, 2, 0);
  LLVMValueRef fn = inline_asm(type, "cpuid", "={ax},={bx},={cx},={dx},0,2,~{dirflag},~{fpsr},~{flags}");
  LLVMValueRef r = LLVMBuildCall2(m->b, type, fn, (LLVMValueRef[]){leaf, em_i32(m, (int)part)}, 2, "");
  return LLVMBuildExtractValue(m->b, r, (unsigned)reg, "");
}

static LLVMValueRef xcr0(EmitModule *m) {
  LLVMTypeRef two = LLVMStructTypeInContext(m->cx, (LLVMTypeRef[]){m->i32, m->i32}, 2, 0);
  LLVMTypeRef type = LLVMFunctionType(two, &m->i32, 1, 0);
  LLVMValueRef fn = inline_asm(type, "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}");
  LLVMValueRef r = LLVMBuildCall2(m->b, type, fn, (LLVMValueRef[]){em_i32(m, 0)}, 1, "");
  return LLVMBuildExtractValue(m->b, r, 0, "");
}

static void check_x86(Aot *a) {
  EmitModule *m = &a->m;
  unsigned need = needs_of(a);
  for (size_t i = 0; i < sizeof cpu_bits / sizeof *cpu_bits; i++) {
    if (!(cpu_bits[i].need & need)) continue;
    uint32_t leaf = cpu_bits[i].leaf;
    if (leaf) { /* a leaf the CPU does not have answers nonsense */
      LLVMValueRef last = cpuid(m, em_bits(m->i32, leaf & 0x80000000u), 0, 0);
      aot_emit_return_if(a, LLVMBuildICmp(m->b, LLVMIntULT, last, em_bits(m->i32, leaf), ""), AOT_BAD_CPU);
    }
    LLVMValueRef have = leaf ? cpuid(m, em_bits(m->i32, leaf), cpu_bits[i].part, cpu_bits[i].reg) : xcr0(m);
    LLVMValueRef mask = em_bits(m->i32, cpu_bits[i].mask);
    have = LLVMBuildAnd(m->b, have, mask, "");
    aot_emit_return_if(a, LLVMBuildICmp(m->b, LLVMIntNE, have, mask, ""), AOT_BAD_CPU);
  }
}

/* Linux keeps the state of tiles only for a process that has asked: at a new thread's and at a program's first use it
   would end the process. Asking again is a system call that does nothing. */
void aot_emit_tiles_request(Aot *a) {
  enum { SYS_ARCH_PRCTL = 158, ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
  EmitModule *m = &a->m;
  if (!has_tiles(a)) return;
  LLVMTypeRef type = LLVMFunctionType(m->i64, (LLVMTypeRef[]){m->i64, m->i64, m->i64}, 3, 0);
  LLVMValueRef fn = inline_asm(type, "syscall", "={ax},0,{di},{si},~{rcx},~{r11},~{memory},~{flags}");
  LLVMValueRef args[] = {em_i64(m, SYS_ARCH_PRCTL), em_i64(m, ARCH_REQ_XCOMP_PERM), em_i64(m, TILE_DATA)};
  LLVMValueRef r = LLVMBuildCall2(m->b, type, fn, args, 3, "");
  aot_emit_return_if(a, LLVMBuildICmp(m->b, LLVMIntNE, r, em_i64(m, 0), ""), AOT_NO_TILES);
}

/* By architecture; where there is none, every processor runs the code. */
static void (*const cpu_check[ARCHS])(Aot *) = {[ARCH_X86_64] = check_x86};

/* ---- random numbers ---- */
static LLVMValueRef xor3(EmitModule *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  return LLVMBuildXor(m->b, LLVMBuildXor(m->b, a, b, ""), c, "");
}

static void emit_philox(EmitModule *m, LLVMValueRef index, LLVMValueRef stream, LLVMValueRef seed,
                        LLVMValueRef w[4]) {
  LLVMValueRef k[2], mul[2] = {em_bits(m->i64, 0xD2511F53u), em_bits(m->i64, 0xCD9E8D57u)};
  LLVMValueRef half = em_i64(m, 32);
  w[0] = LLVMBuildTrunc(m->b, index, m->i32, "");
  w[1] = LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, index, half, ""), m->i32, "");
  w[2] = em_i32(m, 0);
  w[3] = stream;
  k[0] = LLVMBuildTrunc(m->b, seed, m->i32, "");
  k[1] = LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, seed, half, ""), m->i32, "");
  for (int round = 0; round < 10; round++) {
    LLVMValueRef hi[2], lo[2];
    for (int i = 0; i < 2; i++) {
      LLVMValueRef p = LLVMBuildMul(m->b, LLVMBuildZExt(m->b, w[2 * i], m->i64, ""), mul[i], "");
      hi[i] = LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, p, half, ""), m->i32, "");
      lo[i] = LLVMBuildTrunc(m->b, p, m->i32, "");
    }
    w[0] = xor3(m, hi[1], w[1], k[0]);
    w[2] = xor3(m, hi[0], w[3], k[1]);
    w[1] = lo[1];
    w[3] = lo[0];
    k[0] = LLVMBuildAdd(m->b, k[0], em_bits(m->i32, 0x9E3779B9u), "");
    k[1] = LLVMBuildAdd(m->b, k[1], em_bits(m->i32, 0xBB67AE85u), "");
  }
}

/* [0, 1) with 53 bits */
static LLVMValueRef unit(EmitModule *m, LLVMValueRef hi, LLVMValueRef lo) {
  LLVMValueRef h = LLVMBuildShl(m->b, LLVMBuildZExt(m->b, hi, m->i64, ""), em_i64(m, 21), "");
  LLVMValueRef l = LLVMBuildZExt(m->b, LLVMBuildLShr(m->b, lo, em_i32(m, 11), ""), m->i64, "");
  LLVMValueRef x = LLVMBuildUIToFP(m->b, LLVMBuildOr(m->b, h, l, ""), m->f64, "");
  return LLVMBuildFMul(m->b, x, LLVMConstReal(m->f64, 0x1p-53), "");
}

static LLVMValueRef number(EmitModule *m, double x) { return LLVMConstReal(m->f64, x); }

static LLVMValueRef bits_as_f64(EmitModule *m, LLVMValueRef x) {
  return LLVMBuildBitCast(m->b, x, m->f64, "");
}

/* log_of of runtime/rng.c, operation by operation: the bits must be equal. */
static LLVMValueRef logarithm(EmitModule *m, LLVMValueRef x) {
  LLVMBuilderRef b = m->b;
  LLVMValueRef bits = LLVMBuildBitCast(b, x, m->i64, ""), places = em_i64(m, 52);
  LLVMValueRef bias = em_bits(m->i64, 0x3fe6a09e667f3bcdull - ((uint64_t)64 << 52));
  LLVMValueRef k64 = LLVMBuildLShr(b, LLVMBuildSub(b, bits, bias, ""), places, "");
  LLVMValueRef k = bits_as_f64(m, LLVMBuildOr(b, k64, em_bits(m->i64, 0x4330000000000000ull), ""));
  k = LLVMBuildFSub(b, k, number(m, 0x1p52 + 64), "");
  LLVMValueRef f = LLVMBuildSub(b, bits, LLVMBuildShl(b, k64, places, ""), "");
  f = bits_as_f64(m, LLVMBuildAdd(b, f, em_bits(m->i64, (uint64_t)64 << 52), ""));
  f = LLVMBuildFSub(b, f, number(m, 1), "");
  LLVMValueRef s = LLVMBuildFDiv(b, f, LLVMBuildFAdd(b, number(m, 2), f, ""), "");
  LLVMValueRef z = LLVMBuildFMul(b, s, s, ""), r = number(m, 0);
  for (int i = 11; i >= 1; i--)
    r = LLVMBuildFAdd(b, LLVMBuildFMul(b, r, z, ""), number(m, 2.0 / (2 * i + 1)), "");
  r = LLVMBuildFMul(b, s, LLVMBuildFMul(b, z, r, ""), "");
  r = LLVMBuildFAdd(b, r, LLVMBuildFMul(b, k, number(m, 0x1.ef35793c76730p-45), ""), "");
  r = LLVMBuildFAdd(b, LLVMBuildFMul(b, number(m, 2), s, ""), r, "");
  return LLVMBuildFAdd(b, LLVMBuildFMul(b, k, number(m, 0x1.62e42fefa3800p-1), ""), r, "");
}

/* cos_turns of runtime/rng.c, likewise. */
static LLVMValueRef cosine_of_turns(EmitModule *m, LLVMValueRef v) {
  LLVMBuilderRef b = m->b;
  double inverse[18] = {1, 1}, factorial = 1;
  for (int i = 2; i < 18; i++) inverse[i] = 1 / (factorial *= i);
  LLVMValueRef t = LLVMBuildFMul(b, number(m, 4), v, ""), magic = number(m, 0x1.8p52);
  LLVMValueRef q = LLVMBuildFSub(b, LLVMBuildFAdd(b, t, magic, ""), magic, "");
  LLVMValueRef x = LLVMBuildFMul(b, LLVMBuildFSub(b, t, q, ""), number(m, 1.57079632679489661923), "");
  LLVMValueRef z = LLVMBuildFMul(b, x, x, ""), part[2], is[4];
  for (int j = 0; j < 2; j++) {
    part[j] = number(m, inverse[16 + j]);
    for (int i = 14; i >= 0; i -= 2)
      part[j] = LLVMBuildFSub(b, number(m, inverse[i + j]), LLVMBuildFMul(b, part[j], z, ""), "");
  }
  part[1] = LLVMBuildFMul(b, part[1], x, "");
  for (int i = 1; i < 4; i++) is[i] = LLVMBuildFCmp(b, LLVMRealOEQ, q, number(m, i), "");
  LLVMValueRef odd = LLVMBuildOr(b, is[1], is[3], ""), negative = LLVMBuildOr(b, is[1], is[2], "");
  LLVMValueRef y = LLVMBuildSelect(b, odd, part[1], part[0], "");
  return LLVMBuildSelect(b, negative, LLVMBuildFNeg(b, y, ""), y, "");
}

static LLVMValueRef normal(EmitModule *m, LLVMValueRef w[4]) {
  LLVMValueRef u = LLVMBuildFAdd(m->b, unit(m, w[0], w[1]), number(m, 0x1p-53), "");
  LLVMValueRef r = LLVMBuildFMul(m->b, number(m, -2), logarithm(m, u), "");
  return LLVMBuildFMul(m->b, em_unary(m, "llvm.sqrt", r), cosine_of_turns(m, unit(m, w[2], w[3])), "");
}

static LLVMValueRef round_to(EmitModule *m, DType dt, LLVMValueRef x) {
  if (dt == DT_F64) return x;
  if (dt == DT_F32) return LLVMBuildFPTrunc(m->b, x, m->f32, "");
  if (!dtype_is_narrow(dt)) bug("a random initial value of type %s", dtype_name(dt));
  return em_narrow(m, dt, x);
}

/* fill(ptr, count, stream, seed, a, b), made at first use */
static LLVMValueRef random_fill(Aot *a, DType dt, bool is_normal) {
  EmitModule *m = &a->m;
  const char *name = arena_printf(a->a, "init_%s_%s", is_normal ? "normal" : "uniform", dtype_name(dt));
  LLVMValueRef fn = LLVMGetNamedFunction(m->mod, name);
  if (fn) return fn;
  LLVMTypeRef params[] = {m->ptr, m->i64, m->i32, m->i64, m->f64, m->f64};
  LLVMValueRef outer = m->fn;
  LLVMBasicBlockRef back = LLVMGetInsertBlock(m->b);
  fn = em_helper(m, name, m->none, params, 6);
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), LLVMGetParam(fn, 1), 1), w[4];
  emit_philox(m, i, LLVMGetParam(fn, 2), LLVMGetParam(fn, 3), w);
  LLVMValueRef lo = LLVMGetParam(fn, 4), hi = LLVMGetParam(fn, 5);
  LLVMValueRef scale = is_normal ? hi : LLVMBuildFSub(m->b, hi, lo, "");
  LLVMValueRef x = is_normal ? normal(m, w) : unit(m, w[0], w[1]);
  x = LLVMBuildFAdd(m->b, lo, LLVMBuildFMul(m->b, scale, x, ""), "");
  LLVMTypeRef t = em_type(m, dt);
  em_store(m, round_to(m, dt, x), em_gep(m, t, LLVMGetParam(fn, 0), i), (unsigned)dtype_size(dt));
  em_loop_end(m, &l);
  LLVMBuildRetVoid(m->b);
  m->fn = outer;
  LLVMPositionBuilderAtEnd(m->b, back);
  return fn;
}

/* ---- states ---- */
static void copy_bytes(EmitModule *m, LLVMValueRef to, LLVMValueRef from, int64_t bytes) {
  LLVMBuildMemCpy(m->b, to, TENSOR_ALIGN, from, TENSOR_ALIGN, em_i64(m, bytes));
}

static void emit_state(Aot *a, const PlanTensor *t, LLVMValueRef arena, LLVMValueRef seed) {
  EmitModule *m = &a->m;
  int64_t n = shape_count(&t->shape);
  LLVMValueRef p = em_gep(m, m->i8, arena, em_i64(m, t->offset));
  if (aot_emit_weight(a, t, p)) return;
  switch (t->init) {
  case INIT_NONE: return; /* zero already */
  case INIT_FILL: {
    if (t->init_a == 0) return;
    LLVMTypeRef e = em_type(m, t->dt);
    LLVMValueRef x = t->dt == DT_BF16        ? em_bits(e, bf16_bits((float)t->init_a))
                     : t->dt == DT_F16       ? em_bits(e, f16_bits((double)t->init_a))
                     : dtype_is_float(t->dt) ? em_const(e, (double)t->init_a)
                                             : em_bits(e, (uint64_t)imm_int(t->dt, t->init_a));
    EmitLoop l;
    LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, n), 1);
    em_store(m, x, em_gep(m, e, p, i), (unsigned)dtype_size(t->dt));
    em_loop_end(m, &l);
    return;
  }
  case INIT_UNIFORM:
  case INIT_NORMAL: {
    LLVMValueRef args[] = {p,
                           em_i64(m, n),
                           em_bits(m->i32, t->init_stream),
                           seed,
                           LLVMConstReal(m->f64, (double)t->init_a),
                           LLVMConstReal(m->f64, t->init_b)};
    call(m, random_fill(a, t->dt, t->init == INIT_NORMAL), args, 6);
    return;
  }
  case INIT_COPY: {
    const PlanTensor *from = &a->plan->tensor[t->init_from];
    copy_bytes(m, p, em_gep(m, m->i8, arena, em_i64(m, from->offset)), n * dtype_size(t->dt));
    return;
  }
  }
}

/* Copies after their sources. */
static void emit_states(Aot *a, LLVMValueRef arena, LLVMValueRef seed) {
  const Plan *p = a->plan;
  bool *done = NEWN(a->a, bool, p->ntensor + 1);
  for (bool progress = true; progress;) {
    progress = false;
    for (int i = 0; i < p->ntensor; i++) {
      const PlanTensor *t = &p->tensor[i];
      if (t->kind != PT_STATE || done[i]) continue;
      bool given = !a->opt->weights_header && aot_weight(a, t->name);
      if (t->init == INIT_COPY && !given && (t->init_from < 0 || !done[t->init_from])) continue;
      emit_state(a, t, arena, seed);
      done[i] = progress = true;
    }
  }
  for (int i = 0; i < p->ntensor; i++)
    if (p->tensor[i].kind == PT_STATE && !done[i]) bug("state %s copies no state", p->tensor[i].name);
}

void aot_emit_copies(Aot *a, LLVMValueRef arena) {
  for (int i = 0; i < a->plan->ntensor; i++) {
    const PlanTensor *t = &a->plan->tensor[i];
    if (t->kind == PT_STATE && t->init == INIT_COPY && !aot_weight(a, t->name) &&
        aot_weight(a, a->plan->tensor[t->init_from].name))
      emit_state(a, t, arena, em_i64(&a->m, 0));
  }
}

/* Run-time scalars start with these; the caller changes them. */
static void emit_runtime(Aot *a, LLVMValueRef arena, LLVMValueRef seed) {
  EmitModule *m = &a->m;
  static const struct {
    const char *name;
    int64_t value;
  } start[] = {{"steps_per_epoch", FREE_STEPS_PER_EPOCH}, {"total_steps", FREE_TOTAL_STEPS}};
  for (int i = 0; i < a->plan->ntensor; i++) {
    const PlanTensor *t = &a->plan->tensor[i];
    if (t->kind != PT_RUNTIME) continue;
    LLVMValueRef p = em_gep(m, m->i8, arena, em_i64(m, t->offset));
    if (!strcmp(t->name, "seed")) em_store(m, seed, p, 8);
    for (size_t k = 0; k < sizeof start / sizeof *start; k++)
      if (!strcmp(t->name, start[k].name)) em_store(m, em_i64(m, start[k].value), p, 8);
  }
}

void aot_emit_init(Aot *a) {
  EmitModule *m = &a->m;
  LLVMTypeRef params[] = {m->ptr, m->i64};
  LLVMValueRef states = em_helper(m, "init_states", m->none, params, 2);
  emit_states(a, LLVMGetParam(states, 0), LLVMGetParam(states, 1));
  emit_runtime(a, LLVMGetParam(states, 0), LLVMGetParam(states, 1));
  LLVMBuildRetVoid(m->b);
  LLVMValueRef init = em_helper(m, arena_printf(a->a, "%s_init", a->opt->prefix), m->i32, params, 2);
  LLVMSetLinkage(init, LLVMExternalLinkage);
  Arch arch = a->p->target.arch;
  if (cpu_check[arch]) { /* runs anywhere */
    attribute(m, init, "target-cpu", em_arch(arch)->baseline);
    attribute(m, init, "target-features", "");
    attribute(m, init, "min-legal-vector-width", "0");
  }
  LLVMValueRef arena = LLVMGetParam(init, 0);
  aot_emit_arena_check(a, arena);
  if (cpu_check[arch]) cpu_check[arch](a);
  aot_emit_tiles_request(a);
  LLVMBuildMemSet(m->b, arena, em_bits(m->i8, 0), em_i64(m, a->arena_bytes), TENSOR_ALIGN);
  call(m, states, (LLVMValueRef[]){arena, LLVMGetParam(init, 1)}, 2);
  LLVMBuildRet(m->b, em_i32(m, AOT_OK));
}
