/* Ahead-of-time compilation: a program as one object file with PREFIX_init, PREFIX_<function> and
   PREFIX_tensors. All kernels of the JIT are there as internal functions; the steps the JIT gives to the
   runtime's library calls are generated too. A function runs its steps on the caller's thread with
   the caller's arena, so nothing is shared and nothing allocated. */
#include "codegen/aot/aot.h"
#include "codegen/emit/kind.h"

#include <llvm-c/Analysis.h>
#include <string.h>

/* ---- targets ---- */
/* The row of this architecture with this name, which may end in "+tiles" or "+pairs". */
static bool find_cpu(Arch arch, const char *cpu, Target *t) {
  Target named;
  if (target_named(cpu, &named) && named.arch == arch) {
    *t = named;
    return true;
  }
  for (int i = 0; target_row(i, t); i++) /* "generic" is of several */
    if (t->arch == arch && !strcmp(t->cpu, cpu)) return true;
  return false;
}

static void unknown_cpu(Arch arch, const char *cpu, Diags *d) {
  const char *known[64];
  int n = 0;
  Target t;
  for (int i = 0; n < 64 && target_row(i, &t); i++)
    if (t.arch == arch) known[n++] = t.cpu;
  const char *near = nearest_name(cpu, known, n);
  diag_error(d, NULL, "unknown CPU '%s' for %s", cpu, em_arch(arch)->name);
  if (near) diag_note(d, NULL, "did you mean '%s'?", near);
  else if (arch == ARCH_X86_64)
    diag_note(d, NULL, "there are x86-64, x86-64-v3, x86-64-v4, haswell, znver3, znver4, host, ...");
  else diag_note(d, NULL, "'generic' runs on all");
}

Status codegen_aot_target(const AotOptions *opt, Target *t, Diags *d) {
  Arch arch;
  if (!em_arch_of(opt->triple, &arch)) {
    diag_error(d, NULL, "unknown target '%s'", opt->triple);
    diag_note(d, NULL, "there are x86_64-linux-gnu and aarch64-linux-gnu");
    return ST_USAGE;
  }
  const char *cpu = opt->cpu ? opt->cpu : opt->triple ? "generic" : "host";
  if (!find_cpu(arch, cpu, t)) {
    unknown_cpu(arch, cpu, d);
    return ST_USAGE;
  }
  t->bf16 &= t->tiles == TILES_AMX || t->tiles == TILES_PAIRS; /* all that goes beyond the family's level */
  return ST_OK;
}

/* The code may use the instructions of the vector family's level only, and products of bf16 where the target has them, all of
   which init checks; a named CPU decides how they are scheduled. */
static LLVMTargetMachineRef target_machine(const Aot *a) {
  const Target *t = &a->p->target;
  return em_machine(t->arch, a->opt->triple, em_arch(t->arch)->level[t->family],
                    t->tiles == TILES_AMX     ? "+amx-tile,+amx-bf16,+avx512bf16"
                    : t->tiles == TILES_PAIRS ? "+avx512bf16"
                                              : "");
}

/* ---- kernels ---- */
typedef struct {
  char *key;
  size_t n;
  LLVMValueRef fn;
} Unit;

/* fn[k]: the function of kernel k; equal kernels share one. */
static void emit_kernels(Aot *a, LLVMValueRef *fn) {
  int n = a->p->kernel.n, nunit = 0;
  Unit *unit = NEWN(a->a, Unit, n + 1);
  for (int at = 0; at < n; at++) {
    const Kernel *k = &a->p->kernel.v[at];
    StrBuf b = {0};
    kernel_key(a->p, k, true, &b);
    int u = 0;
    while (u < nunit && !(unit[u].n == b.n && !memcmp(unit[u].key, b.s, b.n))) u++;
    if (u == nunit) {
      const char *symbol = arena_printf(a->a, "%s_%s", a->opt->prefix, kernel_name(a->p, at, a->a));
      const CodegenKind *row = codegen_kind(k);
      (row->emit ? row->emit : row->emit_alone)(&a->m, a->p, k, symbol);
      LLVMValueRef f = LLVMGetNamedFunction(a->m.mod, symbol);
      LLVMSetLinkage(f, LLVMInternalLinkage);
      unit[nunit++] = (Unit){arena_strndup(a->a, b.s, b.n), b.n, f};
    }
    fn[at] = unit[u].fn;
    sb_free(&b);
  }
}

/* ---- the function that runs the steps ---- */
static LLVMValueRef step_param(Aot *a, int k) {
  EmitModule *m = &a->m;
  const CodegenKind *row = codegen_kind(&a->p->kernel.v[k]);
  const Step *st = &a->plan->step[k];
  if (!row->constant || !st->param) return LLVMConstNull(m->ptr);
  LLVMValueRef v = row->constant(m, st);
  LLVMValueRef g = LLVMAddGlobal(m->mod, LLVMTypeOf(v), "extent");
  LLVMSetInitializer(g, v);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  return g;
}

/* What the calls of steps need. */
typedef struct {
  const LLVMValueRef *fn;
  LLVMValueRef arena, table;
  LLVMValueRef *at;                /* per loop: the step it is in */
  LLVMValueRef slot, found, flush; /* the floating-point mode: memory for it, as it was, as it is meanwhile */
} Calls;

/* How far operand i of a step has moved since the first steps of the loops. */
static LLVMValueRef moved(Aot *a, const Calls *c, const Step *st, int i, LLVMValueRef p) {
  EmitModule *m = &a->m;
  for (int k = 0; k < st->nmove; k++) {
    const StepMove *v = &st->move[k];
    if (v->operand != i) continue;
    LLVMValueRef slot = c->at[v->loop];
    if (v->period) {
      slot = LLVMBuildURem(m->b, em_iadd(m, slot, em_i64(m, v->phase)), em_i64(m, v->period), "");
      slot = em_iadd(m, slot, em_i64(m, -(int64_t)(v->phase % v->period)));
    }
    p = em_gep(m, m->i8, p, em_imulc(m, slot, v->move));
  }
  return p;
}

/* One step's call for chunk `chunk`. */
static void emit_call(Aot *a, const Calls *c, int k, LLVMValueRef chunk) {
  EmitModule *m = &a->m;
  const Step *st = &a->plan->step[k];
  LLVMValueRef scratch = em_gep(m, m->i8, c->arena, em_i64(m, a->scratch_at));
  for (int i = 0; i < st->noperand; i++) {
    int64_t piece = st->chunk ? st->chunk[i] : 0;
    LLVMValueRef p = em_gep(m, m->i8, piece ? scratch : c->arena, em_i64(m, st->operand[i]));
    if (piece) p = em_gep(m, m->i8, p, em_imulc(m, chunk, -piece));
    em_store(m, moved(a, c, st, i, p), em_gep(m, m->ptr, c->table, em_i64(m, i)), 8);
  }
  LLVMValueRef args[] = {c->table, chunk, scratch, step_param(a, k)};
  LLVMBuildCall2(m->b, m->step_type, c->fn[k], args, 4, "");
}

/* ---- the floating-point mode ---- */
static LLVMValueRef mode(Aot *a, LLVMValueRef slot) {
  EmitModule *m = &a->m;
  if (m->target->arch == ARCH_AARCH64) return em_intrinsic(m, "llvm.aarch64.get.fpcr", NULL, 0, NULL, 0);
  em_intrinsic(m, "llvm.x86.sse.stmxcsr", NULL, 0, &slot, 1);
  return em_load(m, m->i32, slot, 4);
}

static void set_mode(Aot *a, LLVMValueRef slot, LLVMValueRef mode) {
  EmitModule *m = &a->m;
  if (m->target->arch == ARCH_AARCH64) {
    em_intrinsic(m, "llvm.aarch64.set.fpcr", NULL, 0, &mode, 1);
    return;
  }
  em_store(m, mode, slot, 4);
  em_intrinsic(m, "llvm.x86.sse.ldmxcsr", NULL, 0, &slot, 1);
}

/* The steps of a chain, or one step, over all their chunks. */
static void emit_steps(Aot *a, const Calls *c, int k, int n) {
  EmitModule *m = &a->m;
  int64_t chunks = codegen_kind(&a->p->kernel.v[k])->emit ? a->plan->step[k].nchunk : 1;
  LLVMValueRef chunk = em_i64(m, 0);
  EmitLoop l;
  if (chunks > 1) chunk = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, chunks), 1);
  for (int i = 0; i < n; i++) emit_call(a, c, k + i, chunk);
  if (chunks > 1) em_loop_end(m, &l);
}

/* Steps [first, last), which are inside of loop `outer`, 0: of none. */
static void emit_range(Aot *a, const Calls *c, int outer, int first, int last) {
  EmitModule *m = &a->m;
  for (int k = first; k < last;) {
    int below = program_loop_below(a->p, k, outer);
    if (!below) {
      bool keeps = a->plan->step[k].keeps_denormals;
      if (keeps) set_mode(a, c->slot, c->found);
      emit_steps(a, c, k, a->plan->step[k].chain);
      if (keeps) set_mode(a, c->slot, c->flush);
      k += a->plan->step[k].chain;
      continue;
    }
    const PlanLoop *l = &a->plan->loop[below];
    EmitLoop e;
    c->at[below] = em_loop_begin(m, &e, em_i64(m, 0), em_i64(m, l->steps), 1);
    emit_range(a, c, below, l->first, l->last);
    em_loop_end(m, &e);
    k = l->last;
  }
}

/* Scalar results are looked at before any state changes; where none does, the loss alone, as by jepac run: others may be
   infinite. */
static void emit_finite_check(Aot *a, LLVMValueRef arena) {
  bool step = a->plan->ncompute < a->plan->nstep;
  EmitModule *m = &a->m;
  LLVMValueRef bad = LLVMConstInt(m->i1, 0, 0), exponent = em_bits(m->i32, 0x7f800000u);
  for (int i = 0; i < a->plan->ntensor; i++) {
    const PlanTensor *t = &a->plan->tensor[i];
    if (t->kind != PT_RESULT || t->shape.rank || t->dt != DT_F32) continue;
    if (!step && strcmp(t->name, "loss")) continue;
    LLVMValueRef x = em_load(m, m->i32, em_gep(m, m->i8, arena, em_i64(m, t->offset)), 4);
    x = LLVMBuildICmp(m->b, LLVMIntEQ, LLVMBuildAnd(m->b, x, exponent, ""), exponent, "");
    bad = LLVMBuildOr(m->b, bad, x, "");
  }
  aot_emit_return_if(a, bad, AOT_NONFINITE);
}

/* Denormals are zeros meanwhile, but for steps that keep them (runtime/float_mode.h). */
static void emit_flushed(Aot *a, Calls *c, int first, int last) {
  EmitModule *m = &a->m;
  int flag = m->target->arch == ARCH_AARCH64 ? FLOAT_MODE_ARM : FLOAT_MODE_X86;
  c->found = mode(a, c->slot);
  c->flush = LLVMBuildOr(m->b, c->found, em_bits(LLVMTypeOf(c->found), (uint64_t)flag), "");
  set_mode(a, c->slot, c->flush);
  emit_range(a, c, 0, first, last);
  set_mode(a, c->slot, c->found);
}

static void emit_function(Aot *a, const LLVMValueRef *fn) {
  EmitModule *m = &a->m;
  const Plan *p = a->plan;
  LLVMValueRef f =
      em_helper(m, arena_printf(a->a, "%s_%s", a->opt->prefix, a->opt->function), m->i32, &m->ptr, 1);
  LLVMSetLinkage(f, LLVMExternalLinkage);
  LLVMValueRef arena = LLVMGetParam(f, 0);
  int most = 1;
  for (int k = 0; k < p->nstep; k++)
    if (p->step[k].noperand > most) most = p->step[k].noperand;
  LLVMValueRef table = LLVMBuildAlloca(m->b, LLVMArrayType2(m->ptr, (uint64_t)most), "");
  LLVMValueRef slot = LLVMBuildAlloca(m->b, m->i32, "");
  aot_emit_arena_check(a, arena);
  aot_emit_tiles_request(a);
  Calls c = {fn, arena, table, NEWN(a->a, LLVMValueRef, p->nloop + 1), slot, NULL, NULL};
  emit_flushed(a, &c, 0, p->ncompute);
  emit_finite_check(a, arena);
  emit_flushed(a, &c, p->ncompute, p->nstep);
  LLVMBuildRet(m->b, em_i32(m, AOT_OK));
}

/* ---- the table of tensors: struct PREFIX_tensor of the header ---- */
static void emit_tensors(Aot *a) {
  EmitModule *m = &a->m;
  const Plan *p = a->plan;
  LLVMTypeRef dims = LLVMArrayType2(m->i64, MAX_RANK);
  LLVMTypeRef type = LLVMStructTypeInContext(
      m->cx, (LLVMTypeRef[]){m->ptr, m->i32, m->i32, m->i32, m->i32, dims, m->i64, m->i64}, 8, 0);
  LLVMTypeRef params[] = {m->ptr};
  LLVMValueRef f = em_helper(m, arena_printf(a->a, "%s_tensors", a->opt->prefix), m->ptr, params, 1);
  LLVMSetLinkage(f, LLVMExternalLinkage);
  LLVMValueRef *row = NEWN(a->a, LLVMValueRef, p->ntensor + 1);
  for (int i = 0; i < p->ntensor; i++) {
    const PlanTensor *t = &p->tensor[i];
    LLVMValueRef dim[MAX_RANK];
    for (int k = 0; k < MAX_RANK; k++) dim[k] = em_i64(m, k < t->shape.rank ? t->shape.dim[k] : 0);
    LLVMValueRef name = LLVMBuildGlobalString(m->b, t->name, "name");
    LLVMSetLinkage(name, LLVMInternalLinkage);
    row[i] = LLVMConstStructInContext(
        m->cx,
        (LLVMValueRef[]){name, em_i32(m, (int)t->kind), em_i32(m, (int)t->dt), em_i32(m, t->trained),
                         em_i32(m, t->shape.rank), LLVMConstArray2(m->i64, dim, MAX_RANK),
                         em_i64(m, t->offset), em_i64(m, shape_count(&t->shape) * dtype_size(t->dt))},
        8, 0);
  }
  LLVMTypeRef array = LLVMArrayType2(type, (uint64_t)p->ntensor);
  LLVMValueRef table = LLVMAddGlobal(m->mod, array, "tensors");
  LLVMSetInitializer(table, LLVMConstArray2(type, row, (uint64_t)p->ntensor));
  LLVMSetGlobalConstant(table, 1);
  LLVMSetLinkage(table, LLVMInternalLinkage);
  em_store(m, em_i32(m, p->ntensor), LLVMGetParam(f, 0), 4);
  LLVMBuildRet(m->b, table);
}

/* PREFIX_name(): for programs that open the shared library and have no header. */
static void emit_number(Aot *a, const char *name, int64_t value) {
  LLVMValueRef f = em_helper(&a->m, arena_printf(a->a, "%s_%s", a->opt->prefix, name), a->m.i64, NULL, 0);
  LLVMSetLinkage(f, LLVMExternalLinkage);
  LLVMBuildRet(a->m.b, em_i64(&a->m, value));
}

/* ---- results ---- */
static void tune(Aot *a) {
  const char *cpu = a->p->target.cpu;
  if (!strcmp(cpu, "host")) return;
  for (LLVMValueRef f = LLVMGetFirstFunction(a->m.mod); f; f = LLVMGetNextFunction(f))
    if (!LLVMIsDeclaration(f))
      LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                              LLVMCreateStringAttribute(a->m.cx, "tune-cpu", 8, cpu, (unsigned)strlen(cpu)));
}

static AotFile text_file(Aot *a, const char *suffix, const char *text) {
  return (AotFile){arena_printf(a->a, "%s%s", a->opt->prefix, suffix), text, strlen(text)};
}

/* Emission changes the module, so each kind of file gets a module of its own making. */
static AotFile emitted(Aot *a, LLVMTargetMachineRef tm, LLVMCodeGenFileType type, const char *suffix) {
  char *error = NULL;
  LLVMMemoryBufferRef out;
  LLVMModuleRef copy = LLVMCloneModule(a->m.mod);
  if (LLVMTargetMachineEmitToMemoryBuffer(tm, copy, type, &error, &out)) bug("LLVM: %s", error);
  size_t n = LLVMGetBufferSize(out);
  char *data = arena_alloc(a->a, n + 1);
  memcpy(data, LLVMGetBufferStart(out), n);
  LLVMDisposeMemoryBuffer(out);
  LLVMDisposeModule(copy);
  return (AotFile){arena_printf(a->a, "%s%s", a->opt->prefix, suffix), data, n};
}

static void build(Aot *a) {
  LLVMValueRef *fn = NEWN(a->a, LLVMValueRef, a->p->kernel.n + 1);
  int64_t scratch = a->plan->scratch_bytes;
  a->scratch_at = (a->plan->arena_bytes + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
  a->arena_bytes = a->scratch_at + (scratch + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
  emit_kernels(a, fn);
  emit_function(a, fn);
  aot_emit_init(a);
  aot_emit_load(a);
  emit_tensors(a);
  emit_number(a, "arena_size", a->arena_bytes);
  emit_number(a, "arena_align", TENSOR_ALIGN);
  tune(a);
  em_verify(&a->m);
}

void codegen_aot(const Program *p, const AotOptions *given, Arena *arena, AotFile file[AOT_FILES], int *n) {
  AotOptions own = *given, *opt = &own;
  if (aot_own_name(own.function)) own.function = arena_printf(arena, "entry_%s", own.function);
  Aot a = {.a = arena, .p = p, .opt = opt};
  StepFn *none = NEWN(arena, StepFn, p->kernel.n + 1);
  a.plan = plan_build(p, arena, none);
  LLVMTargetMachineRef tm = target_machine(&a);
  em_open(&a.m, &p->target, tm, opt->prefix);
  build(&a);
  *n = 0;
  AotFile object = {0};
  if (opt->object || opt->archive) object = emitted(&a, tm, LLVMObjectFile, ".o");
  if (opt->object) file[(*n)++] = object;
  if (opt->archive) {
    const char *symbols[] = {arena_printf(arena, "%s_init", opt->prefix),
                             arena_printf(arena, "%s_%s", opt->prefix, opt->function),
                             arena_printf(arena, "%s_tensors", opt->prefix),
                             arena_printf(arena, "%s_arena_size", opt->prefix),
                             arena_printf(arena, "%s_arena_align", opt->prefix),
                             arena_printf(arena, "%s_load", opt->prefix)};
    file[(*n)++] = aot_archive(arena, arena_printf(arena, "lib%s.a", opt->prefix), object.name, object.data,
                               object.size, symbols, opt->weights_header ? 6 : 5);
    file[(*n)++] = text_file(&a, ".pc", aot_pkgconfig(&a));
    file[(*n)++] = text_file(&a, "Config.cmake", aot_cmake(&a));
  }
  if (opt->header) file[(*n)++] = text_file(&a, ".h", aot_header(&a));
  if (opt->llvm) {
    char *ir = LLVMPrintModuleToString(a.m.mod);
    file[(*n)++] = text_file(&a, ".ll", arena_strdup(arena, ir));
    LLVMDisposeMessage(ir);
  }
  if (opt->assembly) file[(*n)++] = emitted(&a, tm, LLVMAssemblyFile, ".s");
  em_close(&a.m);
  LLVMDisposeTargetMachine(tm);
}
