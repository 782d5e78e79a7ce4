/* Tiles of bf16 in registers (matrix.h). */
#include "codegen/emit/matrix.h"
#include "codegen/emit/tile.h"

#include <stdio.h>
#include <string.h>

/* ---- the processor's ---- */
static LLVMValueRef call_named(EmitModule *m, const char *name, LLVMValueRef *args, unsigned n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef fn = LLVMGetIntrinsicDeclaration(m->mod, id, NULL, 0);
  return LLVMBuildCall2(m->b, LLVMGlobalGetValueType(fn), fn, args, n, "");
}

static LLVMValueRef reg(EmitModule *m, int i) { return LLVMConstInt(m->i8, (unsigned long long)i, 0); }

/* Palette 1, bytes a row, rows. */
static LLVMValueRef configuration(Matrix *x) {
  EmitModule *m = x->m;
  uint8_t bytes[64] = {1};
  for (int i = 0; i < MATRIX_REGS; i++) {
    bool left = i >= MATRIX_LEFT && i < MATRIX_RIGHT;
    bytes[16 + 2 * i] = left ? (uint8_t)(4 * x->pairs) : 64;
    bytes[48 + i] = (uint8_t)(i < MATRIX_RIGHT ? x->rows[i] : x->pairs);
  }
  LLVMValueRef value = LLVMConstStringInContext2(m->cx, (const char *)bytes, sizeof bytes, 1);
  LLVMValueRef g = LLVMAddGlobal(m->mod, LLVMTypeOf(value), "tiles");
  LLVMSetInitializer(g, value);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMInternalLinkage);
  LLVMSetAlignment(g, 64);
  return g;
}

/* ---- AMX emulated ---- */
static LLVMValueRef flushed(EmitModule *m, LLVMValueRef x) {
  LLVMBuilderRef b = m->b;
  LLVMTypeRef it = em_vec(m->i32, em_lanes(x));
  LLVMValueRef u = LLVMBuildBitCast(b, x, it, ""), zero = LLVMConstNull(it);
  LLVMValueRef tiny = LLVMBuildICmp(b, LLVMIntEQ, LLVMBuildAnd(b, u, em_bits(it, 0x7f800000), ""), zero, "");
  u = LLVMBuildSelect(b, tiny, LLVMBuildAnd(b, u, em_bits(it, 0x80000000u), ""), u, "");
  return LLVMBuildBitCast(b, u, LLVMTypeOf(x), "");
}

/* One of each pair, as f32; of a denormal, zero. */
static LLVMValueRef of_pair(EmitModule *m, LLVMValueRef pair, bool odd) {
  int n = em_lanes(pair);
  LLVMTypeRef it = em_vec(m->i32, n);
  LLVMValueRef u = odd ? LLVMBuildAnd(m->b, pair, em_bits(it, 0xffff0000u), "")
                       : LLVMBuildShl(m->b, pair, em_bits(it, 16), "");
  return flushed(m, LLVMBuildBitCast(m->b, u, em_vec(m->f32, n), ""));
}

static LLVMValueRef fma_exact(EmitModule *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  LLVMTypeRef t = LLVMTypeOf(a);
  return flushed(m, em_intrinsic(m, "llvm.fma", &t, 1, (LLVMValueRef[]){a, b, c}, 3));
}

/* void (c, a, b, a's stride): rows of b and c lie 64 bytes apart. */
static void multiply_amx(EmitModule *m, int rows, int pairs) {
  LLVMValueRef c = LLVMGetParam(m->fn, 0), a = LLVMGetParam(m->fn, 1), b = LLVMGetParam(m->fn, 2),
               stride = LLVMGetParam(m->fn, 3);
  LLVMTypeRef vf = em_vec(m->f32, TILE_COLS), vi = em_vec(m->i32, TILE_COLS);
  EmitLoop lr, lp;
  LLVMValueRef r = em_loop_begin(m, &lr, em_i64(m, 0), em_i64(m, rows), 1);
  LLVMValueRef line = em_gep(m, m->i8, a, em_imul(m, r, stride));
  LLVMValueRef p = em_loop_begin(m, &lp, em_i64(m, 0), em_i64(m, pairs), 1), sum[2];
  for (int i = 0; i < 2; i++) em_loop_carry(m, &lp, LLVMConstNull(vf));
  LLVMValueRef x = em_load(m, m->i32, em_gep(m, m->i32, line, p), 2);
  LLVMValueRef y = em_load(m, vi, em_gep(m, m->i32, b, em_imulc(m, p, TILE_COLS)), 4);
  for (int i = 0; i < 2; i++)
    lp.next[i] = fma_exact(m, em_splat(m, of_pair(m, x, i), TILE_COLS), of_pair(m, y, i), lp.carry[i]);
  em_loop_end(m, &lp);
  for (int i = 0; i < 2; i++) sum[i] = lp.carry[i];
  LLVMValueRef at = em_gep(m, m->f32, c, em_imulc(m, r, TILE_COLS));
  LLVMValueRef both = flushed(m, em_fadd(m, sum[0], sum[1])), old = flushed(m, em_load(m, vf, at, 4));
  em_store(m, flushed(m, em_fadd(m, old, both)), at, 4);
  em_loop_end(m, &lr);
  LLVMBuildRetVoid(m->b);
}

/* The function of a product of tiles, made by body where the module has none yet. */
static LLVMValueRef helper(EmitModule *m, const char *unit, void (*body)(EmitModule *, int, int), int rows,
                           int pairs) {
  char name[48];
  snprintf(name, sizeof name, "multiply_%s_%d_%d", unit, rows, pairs);
  LLVMValueRef f = LLVMGetNamedFunction(m->mod, name), fn = m->fn;
  if (f) return f;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(m->b);
  f = em_helper(m, name, m->none, (LLVMTypeRef[]){m->ptr, m->ptr, m->ptr, m->i64}, 4);
  body(m, rows, pairs);
  m->fn = fn;
  LLVMPositionBuilderAtEnd(m->b, here);
  return f;
}

static void copy_rows(Matrix *x, LLVMValueRef from, LLVMValueRef from_stride, LLVMValueRef to,
                      LLVMValueRef to_stride, int rows) {
  EmitModule *m = x->m;
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, rows), 1);
  LLVMValueRef v =
      em_load(m, em_vec(m->i32, TILE_COLS), em_gep(m, m->i8, from, em_imul(m, i, from_stride)), 1);
  em_store(m, v, em_gep(m, m->i8, to, em_imul(m, i, to_stride)), 1);
  em_loop_end(m, &l);
}

/* ---- by pairs ---- */
/* sum + a b of 16 pairs of k, as vdpbf16ps has it. */
static LLVMValueRef add_pairs(EmitModule *m, LLVMValueRef sum, LLVMValueRef a, LLVMValueRef b) {
  if (m->target->tiles == TILES_PAIRS) {
    LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(m->cx), TILE_DEEP);
    LLVMValueRef args[] = {sum, LLVMBuildBitCast(m->b, a, pairs, ""), LLVMBuildBitCast(m->b, b, pairs, "")};
    return call_named(m, "llvm.x86.avx512bf16.dpbf16ps.512", args, 3);
  }
  for (int odd = 1; odd >= 0; odd--) sum = fma_exact(m, of_pair(m, a, odd), of_pair(m, b, odd), sum);
  return sum;
}

/* void (c, a, b, a's stride): all rows of c stay in registers, and each is a value of a broadcast of a's. */
static void multiply_pairs(EmitModule *m, int rows, int pairs) {
  LLVMValueRef c = LLVMGetParam(m->fn, 0), a = LLVMGetParam(m->fn, 1), b = LLVMGetParam(m->fn, 2),
               stride = LLVMGetParam(m->fn, 3), at[TILE_ROWS], sum[TILE_ROWS];
  LLVMTypeRef vf = em_vec(m->f32, TILE_COLS), vi = em_vec(m->i32, TILE_COLS);
  EmitLoop l;
  for (int r = 0; r < rows; r++) {
    at[r] = em_gep(m, m->i8, a, em_imulc(m, stride, r));
    sum[r] = em_load(m, vf, em_gep(m, m->f32, c, em_i64(m, r * TILE_COLS)), 4);
    if (m->target->tiles != TILES_PAIRS) sum[r] = flushed(m, sum[r]);
  }
  LLVMValueRef p = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, pairs), 1);
  for (int r = 0; r < rows; r++) em_loop_carry(m, &l, sum[r]);
  LLVMValueRef y = em_load(m, vi, em_gep(m, m->i32, b, em_imulc(m, p, TILE_COLS)), 4);
  for (int r = 0; r < rows; r++) {
    LLVMValueRef x = em_load(m, m->i32, em_gep(m, m->i32, at[r], p), 2);
    l.next[r] = add_pairs(m, l.carry[r], em_splat(m, x, TILE_COLS), y);
  }
  em_loop_end(m, &l);
  for (int r = 0; r < rows; r++) em_store(m, l.carry[r], em_gep(m, m->f32, c, em_i64(m, r * TILE_COLS)), 4);
  LLVMBuildRetVoid(m->b);
}

/* ---- all ---- */
static bool by_amx(const Matrix *x) { return x->m->target->tiles == TILES_AMX; }

void matrix_begin(Matrix *x, EmitModule *m, const int *rows, int pairs) {
  *x = (Matrix){.m = m, .pairs = pairs};
  for (int i = 0; i < MATRIX_REGS; i++) x->rows[i] = rows ? rows[i] : TILE_ROWS;
  if (by_amx(x)) {
    LLVMValueRef config = configuration(x);
    call_named(m, "llvm.x86.ldtilecfg", &config, 1);
    return;
  }
  for (int i = 0; i < MATRIX_LEFT; i++) {
    x->home[i] = LLVMBuildAlloca(m->b, LLVMArrayType2(m->i8, TILE_BYTES), "");
    LLVMSetAlignment(x->home[i], 64);
  }
}

void matrix_end(Matrix *x) {
  if (by_amx(x)) call_named(x->m, "llvm.x86.tilerelease", NULL, 0);
}

void matrix_zero(Matrix *x, int r) {
  EmitModule *m = x->m;
  if (by_amx(x)) {
    call_named(m, "llvm.x86.tilezero", (LLVMValueRef[]){reg(m, r)}, 1);
    return;
  }
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, x->rows[r]), 1);
  em_store(m, LLVMConstNull(em_vec(m->i32, TILE_COLS)), em_gep(m, m->i8, x->home[r], em_imulc(m, i, 64)), 4);
  em_loop_end(m, &l);
}

void matrix_load(Matrix *x, int r, LLVMValueRef from, LLVMValueRef stride) {
  EmitModule *m = x->m;
  if (!by_amx(x)) copy_rows(x, from, stride, x->home[r], em_i64(m, 64), x->rows[r]);
  else call_named(m, "llvm.x86.tileloadd64", (LLVMValueRef[]){reg(m, r), from, stride}, 3);
}

void matrix_factor(Matrix *x, int r, LLVMValueRef from, LLVMValueRef stride) {
  if (by_amx(x)) matrix_load(x, r, from, stride);
  else x->home[r] = from, x->stride[r] = stride;
}

void matrix_store(Matrix *x, int r, LLVMValueRef to, LLVMValueRef stride) {
  EmitModule *m = x->m;
  if (!by_amx(x)) copy_rows(x, x->home[r], em_i64(m, 64), to, stride, x->rows[r]);
  else call_named(m, "llvm.x86.tilestored64", (LLVMValueRef[]){reg(m, r), to, stride}, 3);
}

void matrix_multiply(Matrix *x, int c, int a, int b) {
  EmitModule *m = x->m;
  if (by_amx(x)) {
    call_named(m, "llvm.x86.tdpbf16ps", (LLVMValueRef[]){reg(m, c), reg(m, a), reg(m, b)}, 3);
    return;
  }
  bool pairs = tiles_by_pairs(m->target->tiles);
  LLVMValueRef fn =
      helper(m, pairs ? "pairs" : "tiles", pairs ? multiply_pairs : multiply_amx, x->rows[c], x->pairs);
  LLVMBuildCall2(m->b, LLVMGlobalGetValueType(fn), fn,
                 (LLVMValueRef[]){x->home[c], x->home[a], x->home[b], x->stride[a]}, 4, "");
}

/* ---- bringing operands into the form of tiles ---- */
static LLVMValueRef load_by_one(EmitModule *m, LLVMValueRef from, LLVMValueRef count, int lanes) {
  LLVMBasicBlockRef here = LLVMGetInsertBlock(m->b), entry = LLVMGetEntryBasicBlock(m->fn);
  LLVMValueRef first = LLVMGetFirstInstruction(entry);
  if (first) LLVMPositionBuilderBefore(m->b, first);
  LLVMValueRef room = LLVMBuildAlloca(m->b, em_vec(m->i16, lanes), "");
  LLVMSetAlignment(room, 64);
  LLVMPositionBuilderAtEnd(m->b, here);
  em_store(m, LLVMConstNull(em_vec(m->i16, lanes)), room, 2);
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_imin(m, count, em_i64(m, lanes)), 1);
  em_store(m, em_load(m, m->i16, em_gep(m, m->i16, from, i), 2), em_gep(m, m->i16, room, i), 2);
  em_loop_end(m, &l);
  return em_load(m, em_vec(m->i16, lanes), room, 2);
}

LLVMValueRef pairs_load_some(EmitModule *m, LLVMValueRef from, LLVMValueRef count, int lanes) {
  if (m->target->vector_bytes < 64) return load_by_one(m, from, count, lanes);
  return em_masked_load(m, em_vec(m->i16, lanes), from, 2, em_tail_mask(m, count, lanes), NULL);
}

LLVMValueRef pairs_load(EmitModule *m, LLVMValueRef from, int64_t count, int lanes) {
  if (count <= 0) return LLVMConstNull(em_vec(m->i16, lanes));
  if (count >= lanes) return em_load(m, em_vec(m->i16, lanes), from, 2);
  return pairs_load_some(m, from, em_i64(m, count), lanes);
}

static LLVMValueRef by_turns(EmitModule *m, LLVMValueRef even, LLVMValueRef odd, int first, int lanes) {
  LLVMValueRef index[2 * TILE_DEEP];
  for (int i = 0; i < lanes; i++) index[i] = em_i32(m, first + i / 2 + (i % 2 ? em_lanes(even) : 0));
  return LLVMBuildShuffleVector(m->b, even, odd, LLVMConstVector(index, (unsigned)lanes), "");
}

LLVMValueRef pairs_join(EmitModule *m, LLVMValueRef even, LLVMValueRef odd) {
  return by_turns(m, even, odd, 0, 2 * em_lanes(even));
}

LLVMValueRef pairs_half(EmitModule *m, LLVMValueRef even, LLVMValueRef odd, bool upper) {
  int n = em_lanes(even);
  return by_turns(m, even, odd, upper ? n / 2 : 0, n);
}

void pairs_transpose(EmitModule *m, LLVMValueRef v[TILE_ROWS]) {
  LLVMTypeRef as_float = em_vec(m->f32, TILE_COLS), pairs = em_vec(m->i16, TILE_DEEP);
  for (int i = 0; i < TILE_ROWS; i++) v[i] = LLVMBuildBitCast(m->b, v[i], as_float, "");
  tile_transpose(m, v, TILE_ROWS);
  for (int i = 0; i < TILE_ROWS; i++) v[i] = LLVMBuildBitCast(m->b, v[i], pairs, "");
}
