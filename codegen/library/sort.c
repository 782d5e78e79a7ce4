/* Sort: of each element and its place one number, the place below. A short row is sorted as such numbers in registers, by
   Batcher's network ("Sorting networks and their applications", 1968); a longer one digit by digit from the lowest on, which
   keeps the order of what is equal. A digit that all elements have in common takes no pass. */
#include "codegen/emit/kind.h"

typedef struct {
  EmitModule *m;
  const SortSpec *s;
  LLVMTypeRef pair, key; /* key: the upper half */
  unsigned align, bits;  /* of a pair; of a key */
} Sorting;

/* A number that is the larger, the later the element comes. */
static LLVMValueRef key_of(const Sorting *z, LLVMValueRef x) {
  EmitModule *m = z->m;
  DType dt = z->s->dt;
  uint64_t sign = z->bits == 64 ? 1ull << 63 : 1u << 31;
  LLVMValueRef top = em_bits(z->key, sign), none = LLVMConstNull(z->key), k;
  if (dtype_is_float(dt)) {
    if (dtype_is_narrow(dt)) x = em_widen(m, dt, x);
    k = LLVMBuildBitCast(m->b, x, z->key, "");
    LLVMValueRef size = LLVMBuildAnd(m->b, k, LLVMBuildNot(m->b, top, ""), "");
    LLVMValueRef inf = em_bits(z->key, z->bits == 64 ? 0x7ffull << 52 : 0xffu << 23);
    LLVMValueRef nan = LLVMBuildICmp(m->b, LLVMIntUGT, size, inf, "");
    k = LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntEQ, size, none, ""), none, k, ""); /* -0 is 0 */
    LLVMValueRef minus = LLVMBuildICmp(m->b, LLVMIntSLT, k, none, "");
    k = LLVMBuildSelect(m->b, minus, LLVMBuildNot(m->b, k, ""), LLVMBuildOr(m->b, k, top, ""), "");
    k = LLVMBuildSelect(m->b, nan, LLVMConstAllOnes(z->key), k, "");
  } else if (dtype_is_unsigned(dt)) {
    k = x;
  } else {
    k = LLVMBuildXor(m->b, x, top, "");
  }
  return z->s->descending ? LLVMBuildNot(m->b, k, "") : k;
}

static LLVMValueRef pair_of(const Sorting *z, LLVMValueRef x, LLVMValueRef place) {
  EmitModule *m = z->m;
  LLVMValueRef k = LLVMBuildZExt(m->b, key_of(z, x), z->pair, "");
  k = LLVMBuildShl(m->b, k, LLVMConstInt(z->pair, z->bits, 0), "");
  return LLVMBuildOr(m->b, k, LLVMBuildZExtOrBitCast(m->b, place, z->pair, ""), "");
}

static LLVMValueRef place_of(const Sorting *z, LLVMValueRef pair) {
  EmitModule *m = z->m;
  LLVMValueRef place = LLVMBuildTrunc(m->b, pair, m->i32, "");
  return LLVMBuildZExt(m->b, place, m->i64, "");
}

static LLVMValueRef load_x(const Sorting *z, LLVMValueRef row, LLVMValueRef i) {
  LLVMTypeRef t = em_type(z->m, z->s->dt);
  return em_load(z->m, t, em_gep(z->m, t, row, i), (unsigned)dtype_size(z->s->dt));
}

static void store_place(const Sorting *z, LLVMValueRef out, LLVMValueRef i, LLVMValueRef pair) {
  em_store(z->m, place_of(z, pair), em_gep(z->m, z->m->i64, out, i), 8);
}

/* ---- a short row ---- */
static void exchange(const Sorting *z, LLVMValueRef *a, LLVMValueRef *b) {
  EmitModule *m = z->m;
  LLVMValueRef turned = LLVMBuildICmp(m->b, LLVMIntULT, *b, *a, ""), lo = *a;
  *a = LLVMBuildSelect(m->b, turned, *b, lo, "");
  *b = LLVMBuildSelect(m->b, turned, lo, *b, "");
}

static void short_row(const Sorting *z, LLVMValueRef row, LLVMValueRef out) {
  EmitModule *m = z->m;
  int n = (int)z->s->n;
  LLVMValueRef v[SORT_NETWORK];
  for (int i = 0; i < n; i++) v[i] = pair_of(z, load_x(z, row, em_i64(m, i)), em_i64(m, i));
  int half = 1;
  while (2 * half < n) half *= 2;
  for (int p = half; p > 0; p /= 2) /* Knuth, The Art of Computer Programming, 5.2.2M */
    for (int q = half, r = 0, d = p;; d = q - p, q /= 2, r = p) {
      for (int i = 0; i + d < n; i++)
        if ((i & p) == r) exchange(z, &v[i], &v[i + d]);
      if (q == p) break;
    }
  for (int i = 0; i < n; i++) store_place(z, out, em_i64(m, i), v[i]);
}

/* ---- a long row ---- */
typedef struct {
  LLVMValueRef from, to, count; /* pairs; how often each digit has each value */
} Room;

static LLVMValueRef digit_of(const Sorting *z, LLVMValueRef pair, int digit) {
  EmitModule *m = z->m;
  LLVMValueRef d = LLVMBuildLShr(m->b, pair, LLVMConstInt(z->pair, z->bits + 8 * (unsigned)digit, 0), "");
  return LLVMBuildZExt(m->b, LLVMBuildTrunc(m->b, d, m->i8, ""), m->i64, "");
}

static LLVMValueRef counter(const Sorting *z, const Room *r, int digit, LLVMValueRef value) {
  EmitModule *m = z->m;
  return em_gep(m, m->i64, r->count, em_iaddc(m, value, digit * SORT_DIGIT));
}

static LLVMValueRef pair_at(const Sorting *z, LLVMValueRef base, LLVMValueRef i) {
  return em_gep(z->m, z->pair, base, i);
}

static void count_digits(const Sorting *z, LLVMValueRef row, const Room *r) {
  EmitModule *m = z->m;
  EmitLoop l;
  int digits = (int)z->bits / 8;
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, digits * SORT_DIGIT), 1);
  em_store(m, em_i64(m, 0), em_gep(m, m->i64, r->count, i), 8);
  em_loop_end(m, &l);
  i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, z->s->n), 1);
  LLVMValueRef pair = pair_of(z, load_x(z, row, i), i);
  em_store(m, pair, pair_at(z, r->from, i), z->align);
  for (int d = 0; d < digits; d++) {
    LLVMValueRef c = counter(z, r, d, digit_of(z, pair, d));
    em_store(m, em_iaddc(m, em_load(m, m->i64, c, 8), 1), c, 8);
  }
  em_loop_end(m, &l);
}

/* Into r->to by the digit, unless it is that of the first everywhere. */
static void pass(const Sorting *z, Room *r, int digit) {
  EmitModule *m = z->m;
  EmitIf f;
  EmitLoop l;
  LLVMValueRef first = digit_of(z, em_load(m, z->pair, r->from, z->align), digit);
  LLVMValueRef same = em_load(m, m->i64, counter(z, r, digit, first), 8), from = r->from, to = r->to;
  em_if(m, &f, LLVMBuildICmp(m->b, LLVMIntNE, same, em_i64(m, z->s->n), ""));
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, SORT_DIGIT), 1);
  int sum = em_loop_carry(m, &l, em_i64(m, 0));
  LLVMValueRef c = counter(z, r, digit, i), own = em_load(m, m->i64, c, 8);
  em_store(m, l.carry[sum], c, 8);
  l.next[sum] = em_iadd(m, l.carry[sum], own);
  em_loop_end(m, &l);
  i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, z->s->n), 1);
  LLVMValueRef pair = em_load(m, z->pair, pair_at(z, from, i), z->align);
  c = counter(z, r, digit, digit_of(z, pair, digit));
  LLVMValueRef place = em_load(m, m->i64, c, 8);
  em_store(m, em_iaddc(m, place, 1), c, 8);
  em_store(m, pair, pair_at(z, to, place), z->align);
  em_loop_end(m, &l);
  em_endif(m, &f);
  r->from = em_merge(m, &f, to, from);
  r->to = em_merge(m, &f, from, to);
}

static void long_row(const Sorting *z, LLVMValueRef row, Room r, LLVMValueRef out) {
  EmitModule *m = z->m;
  EmitLoop l;
  count_digits(z, row, &r);
  for (int d = 0; d < (int)z->bits / 8; d++) pass(z, &r, d);
  LLVMValueRef i = em_loop_begin(m, &l, em_i64(m, 0), em_i64(m, z->s->n), 1);
  store_place(z, out, i, em_load(m, z->pair, pair_at(z, r.from, i), z->align));
  em_loop_end(m, &l);
}

static void emit(EmitModule *m, const Program *p, const Kernel *k, const char *symbol) {
  (void)p;
  const SortSpec *s = &k->sort;
  int64_t chunks = sort_chunks(s), work = sort_work(s), pair = sort_pair(s);
  Sorting z = {.m = m, .s = s, .align = (unsigned)pair, .bits = (unsigned)pair * 4};
  em_function(m, symbol);
  z.pair = LLVMIntTypeInContext(m->cx, (unsigned)pair * 8);
  z.key = LLVMIntTypeInContext(m->cx, z.bits);
  LLVMValueRef x = em_operand(m, 0), out = em_operand(m, k->nbuf - 1);
  Room r = {0};
  if (work) {
    r.from = em_gep(m, m->i8, em_operand(m, 1), em_imulc(m, m->chunk, work));
    r.to = em_gep(m, z.pair, r.from, em_i64(m, s->n));
    r.count = em_gep(m, z.pair, r.to, em_i64(m, s->n));
  }
  LLVMValueRef lo = em_idivc(m, em_imulc(m, m->chunk, s->rows), chunks);
  LLVMValueRef hi = em_idivc(m, em_imulc(m, em_iaddc(m, m->chunk, 1), s->rows), chunks);
  EmitLoop l;
  LLVMValueRef i = em_loop_begin(m, &l, lo, hi, 1), at = em_imulc(m, i, s->n);
  LLVMValueRef row = em_gep(m, em_type(m, s->dt), x, at), to = em_gep(m, m->i64, out, at);
  if (work) long_row(&z, row, r, to);
  else short_row(&z, row, to);
  em_loop_end(m, &l);
  LLVMBuildRetVoid(m->b);
}

const CodegenKind codegen_sort = {.emit = emit};
