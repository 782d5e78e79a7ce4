/* Accesses and instructions of loop kernels: addresses, guards, masks, gathers, counters, random bits.

   An access is contiguous along the vector dim (a vector load), constant along it (a scalar load, splat), or
   anything else (a gather). A guard that does not depend on the vector dim chooses between the address and a
   constant block of fill values, so that it costs one select and no branch; one that does becomes a mask. */
#include "codegen/loop/loop.h"

#include <string.h>

void affine_range(const LoopKernel *l, const Affine *e, int64_t *lo, int64_t *hi) {
  *lo = *hi = e->c;
  for (int d = 0; d < l->ndim; d++) {
    int64_t reach = e->k[d] * (l->size[d] - 1);
    *(reach < 0 ? lo : hi) += reach;
  }
}

static bool fits32(int64_t lo, int64_t hi) { return lo > -(1 << 30) && hi < (1 << 30); }

LLVMValueRef loop_value(LoopCtx *c, int i) {
  LLVMValueRef v = c->val[i];
  if (!v) bug("loop kernel: instruction %d used before it is computed", i);
  if (c->lanes == 1 || em_lanes(v) == c->lanes) return v;
  if (!c->wide[i]) bug("loop kernel: instruction %d was not splat", i);
  return c->wide[i];
}

static int64_t along_vec(const LoopCtx *c, const Affine *e) {
  return c->lanes > 1 && c->vec >= 0 ? e->k[c->vec] : 0;
}

/* lane * step in 32 or 64 bits */
static LLVMValueRef lane_steps(LoopCtx *c, int64_t step, bool wide) {
  return em_iota(c->m, wide ? c->m->i64 : c->m->i32, c->lanes, step);
}

static LLVMValueRef as_index(LoopCtx *c, LLVMValueRef x, bool wide) {
  return wide ? x : LLVMBuildTrunc(c->m->b, x, em_vec(c->m->i32, em_lanes(x)), "");
}

/* Lane values base + k * lane of an affine expression whose scalar part is lin. */
static LLVMValueRef lane_values(LoopCtx *c, int lin, const Affine *e, bool wide) {
  LLVMValueRef base = em_splat(c->m, as_index(c, c->lin.v[lin].cur, wide), c->lanes);
  return LLVMBuildAdd(c->m->b, base, lane_steps(c, e->k[c->vec], wide), "");
}

/* ---- quotient terms ---- */
/* The sum of the quotient terms that do not vary along the vector dim (i64, NULL = none). */
static LLVMValueRef scalar_quots(LoopCtx *c, const Quot *q, int n, int lin) {
  EmitModule *m = c->m;
  LLVMValueRef sum = NULL;
  for (int i = 0; i < n; i++) {
    if (along_vec(c, &q[i].e)) continue;
    LLVMValueRef t = em_imulc(m, em_idivc(m, c->lin.v[lin + i].cur, q[i].div), q[i].stride);
    sum = sum ? em_iadd(m, sum, t) : t;
  }
  return sum;
}

static bool quots_vary(const LoopCtx *c, const Quot *q, int n) {
  for (int i = 0; i < n; i++)
    if (along_vec(c, &q[i].e)) return true;
  return false;
}

static bool quots_wide(const LoopCtx *c, const Quot *q, int n) {
  for (int i = 0; i < n; i++) {
    int64_t lo, hi;
    affine_range(c->l, &q[i].e, &lo, &hi);
    int64_t reach = q[i].stride * (hi / q[i].div);
    if (!fits32(lo, hi) || !fits32(-(reach < 0 ? -reach : reach), reach < 0 ? -reach : reach)) return true;
  }
  return false;
}

/* Adds the terms that vary along the vector dim to lane offsets. */
static LLVMValueRef vector_quots(LoopCtx *c, LLVMValueRef lane, const Quot *q, int n, int lin, bool wide) {
  EmitModule *m = c->m;
  for (int i = 0; i < n; i++) {
    if (!along_vec(c, &q[i].e)) continue;
    LLVMValueRef e = lane_values(c, lin + i, &q[i].e, wide);
    LLVMValueRef t = em_idivc(m, e, q[i].div);
    t = LLVMBuildMul(m->b, t, em_bits(LLVMTypeOf(t), (uint64_t)q[i].stride), "");
    lane = LLVMBuildAdd(m->b, lane, t, "");
  }
  return lane;
}

/* ---- guards ---- */
typedef struct {
  LLVMValueRef cond; /* i1, NULL = true */
  LLVMValueRef mask; /* <lanes x i1>, NULL = all */
} Guarded;

static LLVMValueRef both(LoopCtx *c, LLVMValueRef a, LLVMValueRef b) {
  return !a ? b : !b ? a : LLVMBuildAnd(c->m->b, a, b, "");
}

static Guarded guards(LoopCtx *c, const Access *a, int lin) {
  EmitModule *m = c->m;
  Guarded r = {0};
  for (int i = 0; i < a->nguard; i++) {
    const Guard *g = &a->guard[i];
    int64_t lo, hi;
    affine_range(c->l, &g->e, &lo, &hi);
    bool inside = lo >= g->lo && hi < g->hi, varies = along_vec(c, &g->e) != 0;
    bool wide = !varies || !fits32(lo, hi) || !fits32(g->lo, g->hi);
    LLVMValueRef e = varies ? lane_values(c, lin + i, &g->e, wide) : c->lin.v[lin + i].cur, ok = NULL;
    LLVMTypeRef t = LLVMTypeOf(e);
    if (!inside) { /* one unsigned comparison */
      LLVMValueRef x = g->lo ? LLVMBuildSub(m->b, e, em_bits(t, (uint64_t)g->lo), "") : e;
      ok = LLVMBuildICmp(m->b, LLVMIntULT, x, em_bits(t, g->hi > g->lo ? (uint64_t)(g->hi - g->lo) : 0), "");
    }
    if (g->mod > 1)
      ok = both(c, ok, LLVMBuildICmp(m->b, LLVMIntEQ, em_imodc(m, e, g->mod), LLVMConstNull(t), ""));
    if (varies) r.mask = both(c, r.mask, ok);
    else r.cond = both(c, r.cond, ok);
  }
  return r;
}

LLVMValueRef loop_passes(LoopCtx *c, int guard, int d) {
  const Access *a = c->l->inst[guard].access;
  LLVMValueRef ok = NULL;
  for (int i = 0; i < a->nguard; i++) {
    Access one = *a;
    one.nguard = 1, one.guard = &a->guard[i];
    int last = c->l->ndim - 1;
    while (last >= 0 && !one.guard->e.k[last]) last--;
    if (last == d) ok = both(c, ok, guards(c, &one, c->info[guard].at.guard + i).cond);
  }
  return ok;
}

static LLVMValueRef any_lane(EmitModule *m, LLVMValueRef mask) {
  LLVMTypeRef t = LLVMIntTypeInContext(m->cx, (unsigned)em_lanes(mask));
  return LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildBitCast(m->b, mask, t, ""), LLVMConstNull(t), "");
}

static double real_constant(DType dt, Imm v) {
  return dt == DT_BOOL ? v != 0 : dtype_round(dt, (double)v, true);
}

static LLVMValueRef fill_value(EmitModule *m, DType dt, Imm fill) {
  if (dtype_is_int(dt)) return em_bits(em_type(m, dt), (uint64_t)imm_int(dt, fill));
  if (!dtype_is_narrow(dt)) return em_const(em_type(m, dt), real_constant(dt, fill));
  return LLVMConstInt(m->i16, dt == DT_F16 ? f16_bits((double)fill) : bf16_bits((float)fill), 0);
}

/* Address of lanes copies of the fill value. */
static LLVMValueRef fill_block(LoopCtx *c, DType dt, Imm fill) {
  EmitModule *m = c->m;
  LLVMValueRef init = em_splat(m, fill_value(m, dt, fill), c->width);
  char name[64]; /* a library has all kernels in one module, so vectors of several lengths */
  const char *type = dtype_name(dt);
  if (dtype_is_int(dt))
    snprintf(name, sizeof name, "fill.%s.%d.%lld", type, c->width, (long long)imm_int(dt, fill));
  else snprintf(name, sizeof name, "fill.%s.%d.%a", type, c->width, (double)fill);
  LLVMValueRef g = LLVMGetNamedGlobal(m->mod, name);
  if (g) return g;
  g = LLVMAddGlobal(m->mod, LLVMTypeOf(init), name);
  LLVMSetInitializer(g, init);
  LLVMSetGlobalConstant(g, 1);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  return g;
}

/* ---- addresses ---- */
typedef struct {
  LLVMValueRef p;    /* address of lane 0, or the base of lane offsets */
  LLVMValueRef lane; /* <lanes x i32 or i64> element offsets: a gather; else NULL */
  bool contiguous;   /* else constant along the vector dim */
  LLVMTypeRef elem;
} Address;

static LLVMValueRef dyn_index(LoopCtx *c, const Access *a) {
  EmitModule *m = c->m;
  DType dt = c->l->inst[a->dyn].dt;
  LLVMValueRef i = c->val[a->dyn];
  if (dt == DT_U64) /* above what is signed */
    i = em_binary(m, "llvm.umin", i, em_bits(LLVMTypeOf(i), INT64_MAX));
  i = map_cast(m, dt, DT_I64, i);
  i = em_binary(m, "llvm.smax", i, LLVMConstNull(LLVMTypeOf(i)));
  i = em_binary(m, "llvm.smin", i, em_bits(LLVMTypeOf(i), (uint64_t)(a->dyn_extent - 1)));
  return em_imulc(m, i, a->dyn_stride);
}

static Address address(LoopCtx *c, const Access *a, const AccessLin *at, DType dt) {
  EmitModule *m = c->m;
  Address r = {.elem = em_type(m, dt), .p = c->lin.v[at->off].cur};
  int64_t step = along_vec(c, &a->off);
  LLVMValueRef extra = scalar_quots(c, a->quot, a->nquot, at->quot);
  if (extra) r.p = em_gep(m, r.elem, r.p, extra);
  bool dyn_varies = false;
  LLVMValueRef dyn = NULL;
  if (a->dyn >= 0) {
    dyn = dyn_index(c, a);
    dyn_varies = em_lanes(dyn) > 1;
    if (!dyn_varies) r.p = em_gep(m, r.elem, r.p, dyn);
  }
  bool vary = quots_vary(c, a->quot, a->nquot);
  if (!vary && !dyn_varies && (step == 0 || step == 1)) {
    r.contiguous = step == 1;
    return r;
  }
  bool wide = quots_wide(c, a->quot, a->nquot) ||
              !fits32(-c->lanes * (step < 0 ? -step : step), c->lanes * step) ||
              (dyn_varies && !fits32(0, a->dyn_extent * a->dyn_stride));
  r.lane = vector_quots(c, lane_steps(c, step, wide), a->quot, a->nquot, at->quot, wide);
  if (dyn_varies) r.lane = LLVMBuildAdd(m->b, r.lane, as_index(c, dyn, wide), "");
  return r;
}

/* Value as stored (i16 bf16 and f16, i8 bool) to value computed with, and back. */
static LLVMValueRef from_storage(EmitModule *m, DType dt, LLVMValueRef v) {
  if (dt == DT_BOOL) return LLVMBuildICmp(m->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
  return dtype_is_narrow(dt) ? em_widen(m, dt, v) : v;
}

/* A bf16 value is rounded already: its upper half is what is stored. */
static LLVMValueRef to_storage(EmitModule *m, DType dt, LLVMValueRef v) {
  int n = em_lanes(v);
  if (dt == DT_BOOL) return LLVMBuildZExt(m->b, v, em_vec(m->i8, n), "");
  if (dt == DT_F16) return em_narrow_f16(m, v);
  if (dt != DT_BF16) return v;
  LLVMTypeRef it = em_vec(m->i32, n);
  v = LLVMBuildLShr(m->b, LLVMBuildBitCast(m->b, v, it, ""), em_bits(it, 16), "");
  return LLVMBuildTrunc(m->b, v, em_vec(m->i16, n), "");
}

/* What lanes that are not loaded hold: the fill value where a guard fails, one past the end of a row. One,
   not zero: LLVM 19 takes a quotient of lanes it knows to be zero for zero and then drops the select that
   keeps such lanes out of a sum. */
static LLVMValueRef passive_lanes(LoopCtx *c, DType dt, LLVMValueRef fill, bool guarded, LLVMValueRef tail) {
  LLVMValueRef f = em_splat(c->m, fill, c->lanes);
  if (!tail) return f;
  LLVMValueRef one = em_splat(c->m, fill_value(c->m, dt, 1), c->lanes);
  return guarded ? LLVMBuildSelect(c->m->b, tail, f, one, "") : one;
}

static LLVMValueRef load(LoopCtx *c, const Access *a, const AccessLin *at, DType dt) {
  EmitModule *m = c->m;
  unsigned align = (unsigned)dtype_size(dt);
  Address r = address(c, a, at, dt);
  Guarded g = guards(c, a, at->guard);
  LLVMValueRef tail = c->lanes > 1 ? c->mask : NULL, fill = fill_value(m, dt, a->fill), v;
  LLVMTypeRef vt = em_vec(r.elem, c->lanes);
  if (r.lane) {
    LLVMValueRef mask = both(c, g.mask, tail), *p = &r.lane;
    if (g.cond) mask = both(c, mask, em_splat(m, g.cond, c->lanes));
    if (!mask) mask = em_bits(em_vec(m->i1, c->lanes), 1);
    LLVMValueRef ptrs = LLVMBuildGEP2(m->b, r.elem, r.p, p, 1, "");
    LLVMTypeRef ov[] = {vt, LLVMTypeOf(ptrs)};
    LLVMValueRef args[] = {ptrs, em_i32(m, (int)align), mask,
                           passive_lanes(c, dt, fill, g.mask || g.cond, tail)};
    v = em_intrinsic(m, "llvm.masked.gather", ov, 2, args, 4);
  } else {
    LLVMValueRef cond = g.cond;
    if (!r.contiguous && g.mask) {
      g.mask = both(c, g.mask, tail);
      cond = both(c, cond, any_lane(m, g.mask));
    }
    LLVMValueRef p = cond ? LLVMBuildSelect(m->b, cond, r.p, fill_block(c, dt, a->fill), "") : r.p;
    if (!r.contiguous) {
      v = em_load(m, r.elem, p, align);
      if (g.mask)
        v = LLVMBuildSelect(m->b, g.mask, em_splat(m, v, c->lanes), em_splat(m, fill, c->lanes), "");
    } else {
      LLVMValueRef mask = both(c, g.mask, tail);
      v = mask ? em_masked_load(m, vt, p, align, mask, passive_lanes(c, dt, fill, g.mask, tail))
               : em_load(m, vt, p, align);
    }
  }
  return from_storage(m, dt, v);
}

void loop_emit_store(LoopCtx *c, int s) {
  EmitModule *m = c->m;
  const KStore *st = &c->l->store[s];
  DType dt = c->l->inst[st->inst].dt;
  unsigned align = (unsigned)dtype_size(dt);
  Address r = address(c, &st->access, &c->store_at[s], dt);
  LLVMValueRef tail = c->lanes > 1 ? c->mask : NULL;
  if (r.lane) {
    LLVMValueRef v = to_storage(m, dt, loop_value(c, st->inst));
    LLVMValueRef ptrs = LLVMBuildGEP2(m->b, r.elem, r.p, &r.lane, 1, "");
    LLVMTypeRef ov[] = {LLVMTypeOf(v), LLVMTypeOf(ptrs)};
    LLVMValueRef all = em_bits(em_vec(m->i1, c->lanes), 1);
    em_intrinsic(m, "llvm.masked.scatter", ov, 2,
                 (LLVMValueRef[]){v, ptrs, em_i32(m, (int)align), tail ? tail : all}, 4);
  } else if (r.contiguous) {
    LLVMValueRef v = to_storage(m, dt, loop_value(c, st->inst));
    if (tail) em_masked_store(m, v, r.p, align, tail);
    else em_store(m, v, r.p, align);
  } else em_store(m, to_storage(m, dt, em_extract(m, c->val[st->inst], 0)), r.p, align);
}

/* ---- instructions ---- */
/* index + quotients as i32 or i64 lanes; *wide tells which */
static LLVMValueRef counter(LoopCtx *c, const KInst *in, const AccessLin *at, bool *wide) {
  EmitModule *m = c->m;
  int64_t lo, hi;
  affine_range(c->l, &in->index, &lo, &hi);
  *wide = !fits32(lo, hi) || quots_wide(c, in->quot, in->nquot);
  LLVMValueRef base = c->lin.v[at->off].cur, extra = scalar_quots(c, in->quot, in->nquot, at->quot);
  if (extra) base = em_iadd(m, base, extra);
  base = as_index(c, base, *wide);
  bool vary = along_vec(c, &in->index) != 0 || quots_vary(c, in->quot, in->nquot);
  if (!vary) return base;
  LLVMValueRef lane = lane_steps(c, along_vec(c, &in->index), *wide);
  lane = vector_quots(c, lane, in->quot, in->nquot, at->quot, *wide);
  return LLVMBuildAdd(m->b, em_splat(m, base, c->lanes), lane, "");
}

LLVMValueRef loop_position(LoopCtx *c, int i) {
  bool wide;
  LLVMValueRef x = counter(c, &c->l->inst[i], &c->info[i].at, &wide);
  if (!wide) x = LLVMBuildSExt(c->m->b, x, em_vec(c->m->i64, em_lanes(x)), "");
  return em_lanes(x) == c->lanes ? x : em_splat(c->m, x, c->lanes);
}

/* Philox4x32-10 (Salmon et al. 2011), first word, of counter (index, step, stream) and key seed. */
static LLVMValueRef random_bits(LoopCtx *c, const KInst *in, const AccessLin *at) {
  EmitModule *m = c->m;
  bool wide;
  LLVMValueRef index = counter(c, in, at, &wide);
  int n = em_lanes(index);
  LLVMTypeRef t = em_vec(m->i32, n), t64 = em_vec(m->i64, n);
  LLVMValueRef seed = c->val[in->arg[0]], step = c->val[in->arg[1]];
  LLVMValueRef by32 = em_bits(t64, 32), ctr[4];
  LLVMValueRef key[2] = {LLVMBuildTrunc(m->b, seed, m->i32, ""),
                         LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, seed, em_i64(m, 32), ""), m->i32, "")};
  ctr[0] = wide ? LLVMBuildTrunc(m->b, index, t, "") : index;
  ctr[1] = wide ? LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, index, by32, ""), t, "") : LLVMConstNull(t);
  ctr[2] = em_splat(m, LLVMBuildTrunc(m->b, step, m->i32, ""), n);
  ctr[3] = em_bits(t, in->stream);
  for (int round = 0; round < 10; round++) {
    LLVMValueRef hi[2], lo[2];
    for (int i = 0; i < 2; i++) {
      LLVMValueRef x = LLVMBuildZExt(m->b, ctr[2 * i], t64, "");
      LLVMValueRef p = LLVMBuildMul(m->b, x, em_bits(t64, i ? 0xCD9E8D57u : 0xD2511F53u), "");
      lo[i] = LLVMBuildTrunc(m->b, p, t, "");
      hi[i] = LLVMBuildTrunc(m->b, LLVMBuildLShr(m->b, p, by32, ""), t, "");
    }
    LLVMValueRef k0 = em_splat(m, key[0], n), k1 = em_splat(m, key[1], n);
    ctr[0] = LLVMBuildXor(m->b, LLVMBuildXor(m->b, hi[1], ctr[1], ""), k0, "");
    ctr[1] = lo[1];
    ctr[2] = LLVMBuildXor(m->b, LLVMBuildXor(m->b, hi[0], ctr[3], ""), k1, "");
    ctr[3] = lo[0];
    key[0] = LLVMBuildAdd(m->b, key[0], em_bits(m->i32, 0x9E3779B9u), "");
    key[1] = LLVMBuildAdd(m->b, key[1], em_bits(m->i32, 0xBB67AE85u), "");
  }
  return ctr[0];
}

static LLVMValueRef compute(LoopCtx *c, int i) {
  EmitModule *m = c->m;
  const KInst *in = &c->l->inst[i];
  const InstInfo *info = &c->info[i];
  switch (in->kind) {
  case KI_LOAD: return load(c, in->access, &info->at, in->dt);
  case KI_IMM:
    if (dtype_is_int(in->dt)) return em_bits(loop_type(m, in->dt), (uint64_t)imm_int(in->dt, in->imm));
    return em_const(loop_type(m, in->dt), real_constant(in->dt, in->imm));
  case KI_INDEX: {
    bool wide;
    LLVMValueRef x = counter(c, in, &info->at, &wide);
    return map_cast(m, wide ? DT_I64 : DT_I32, in->dt, x);
  }
  case KI_GUARD: {
    Guarded g = guards(c, in->access, info->at.guard);
    if (g.mask) return g.cond ? LLVMBuildAnd(m->b, g.mask, em_splat(m, g.cond, c->lanes), "") : g.mask;
    return g.cond ? g.cond : em_bits(m->i1, 1);
  }
  case KI_RANDOM: return random_bits(c, in, &info->at);
  case KI_MAP: {
    LLVMValueRef x[3];
    bool vector = info->varies && c->lanes > 1;
    for (int k = 0; k < op_table[in->op].nin; k++)
      x[k] = vector ? loop_value(c, in->arg[k]) : c->val[in->arg[k]];
    DType arg = c->l->inst[in->arg[in->op == OP_select ? 1 : 0]].dt;
    return in->op == OP_cast ? map_cast(m, arg, in->dt, x[0]) : map_emit(m, in->op, in->dt, arg, x);
  }
  case KI_REDUCE: break;
  }
  bug("loop kernel: instruction %d cannot be evaluated in place", i);
}

void loop_emit_inst(LoopCtx *c, int i) {
  c->val[i] = compute(c, i);
  c->wide[i] = c->info[i].splat && em_lanes(c->val[i]) == 1 && c->width > 1
                   ? em_splat(c->m, c->val[i], c->width)
                   : NULL;
}
