/* Winograd's transforms mix the pixels of a tile: one that is not finite, or so large that it overflows in a
   transform, makes all of the tile's results NaN, also those that it is no part of. Such a tile is computed again,
   term by term. */
#include "codegen/conv/conv.h"

#define VAST 0x7149f2ca     /* the bits of 1e30f: transforms of such pixels can overflow */
#define INFINITE 0x7f800000 /* bits of a magnitude from here on: infinity and NaN */

typedef struct {
  EmitModule *m;
  const ConvSpec *s;
  const ConvWino *g;
  LLVMValueRef src, w, image, kb, h, v; /* the source, weights; image and place of the tile */
} Mend;

/* Where tap i of a result at `at` meets the source of n pixels; *ok: it does. */
static LLVMValueRef meets(const Mend *z, LLVMValueRef at, LLVMValueRef i, int d, int64_t n,
                          LLVMValueRef *ok) {
  EmitModule *m = z->m;
  int64_t st = z->s->stride[d];
  LLVMValueRef x = z->s->kind == CONV_DX ? em_isub(m, em_iaddc(m, at, z->s->pad[d]), i)
                                         : em_iaddc(m, em_iadd(m, em_imulc(m, at, st), i), -z->s->pad[d]);
  *ok = LLVMBuildICmp(m->b, LLVMIntULT, x, em_i64(m, z->s->kind == CONV_DX ? n * st : n), "");
  if (z->s->kind != CONV_DX || st == 1) return x;
  LLVMValueRef whole = LLVMBuildICmp(m->b, LLVMIntEQ, em_imodc(m, x, st), em_i64(m, 0), "");
  *ok = LLVMBuildAnd(m->b, *ok, whole, "");
  return em_idivc(m, x, st);
}

/* Walks the source vectors of one result, block by block and tap by tap, carrying *acc. */
typedef LLVMValueRef TermFn(const Mend *z, LLVMValueRef at, LLVMValueRef cb, LLVMValueRef tap,
                            LLVMValueRef acc);

static LLVMValueRef over_terms(const Mend *z, LLVMValueRef r, LLVMValueRef c, LLVMValueRef acc,
                               TermFn *term) {
  EmitModule *m = z->m;
  const ConvWino *g = z->g;
  TileLoop lb, lt;
  LLVMValueRef cb = tile_loop(m, &lb, em_i64(m, g->icb), 1);
  tile_carry(m, &lb, &acc, 1);
  LLVMValueRef t = tile_loop(m, &lt, em_i64(m, 9), 1), here, there;
  tile_carry(m, &lt, &acc, 1);
  LLVMValueRef y = meets(z, em_iadd(m, z->h, r), em_idivc(m, t, 3), 0, g->h, &here);
  LLVMValueRef x = meets(z, em_iadd(m, z->v, c), em_imodc(m, t, 3), 1, g->w, &there);
  EmitIf f;
  em_if(m, &f, LLVMBuildAnd(m->b, here, there, ""));
  LLVMValueRef at = em_iadd(m, em_imulc(m, z->image, g->icb), cb);
  at = em_iadd(m, em_imulc(m, em_iadd(m, em_imulc(m, at, g->h), y), g->w), x);
  LLVMValueRef next = term(z, tile_tat(m, g->source16, z->src, em_imulc(m, at, g->lanes)), cb, t, acc);
  em_else(m, &f);
  em_endif(m, &f);
  acc = em_merge(m, &f, next, acc);
  tile_end(m, &lt, &acc, 1);
  tile_end(m, &lb, &acc, 1);
  return acc;
}

static LLVMValueRef add_products(const Mend *z, LLVMValueRef at, LLVMValueRef cb, LLVMValueRef tap,
                                 LLVMValueRef acc) {
  EmitModule *m = z->m;
  const ConvSpec *s = z->s;
  bool dx = s->kind == CONV_DX;
  int L = m->vl;
  TileLoop l;
  LLVMValueRef i = tile_loop(m, &l, em_i64(m, L), 1);
  tile_carry(m, &l, &acc, 1);
  LLVMValueRef c = em_iadd(m, em_imulc(m, cb, L), i);
  LLVMValueRef w = tile_tat(m, s->wbf16, z->w, em_iadd(m, em_imulc(m, c, dx ? s->c * 9 : 9), tap));
  w = conv_lanes(m, s->wbf16, w, em_imulc(m, z->kb, L), z->g->cout, dx ? 9 : s->c * 9);
  LLVMValueRef x = tile_tload(m, z->g->source16, tile_tat(m, z->g->source16, at, i), 1);
  acc = em_fma(m, em_splat(m, x, L), w, acc);
  tile_end(m, &l, &acc, 1);
  return acc;
}

static LLVMValueRef largest(const Mend *z, LLVMValueRef at, LLVMValueRef cb, LLVMValueRef tap,
                            LLVMValueRef acc) {
  (void)cb, (void)tap;
  EmitModule *m = z->m;
  LLVMTypeRef t = em_vec(m->i32, m->vl);
  LLVMValueRef x = LLVMBuildBitCast(m->b, tile_tload(m, z->g->source16, at, m->vl), t, "");
  return em_binary(m, "llvm.umax", acc, LLVMBuildAnd(m->b, x, em_bits(t, 0x7fffffff), ""));
}

static LLVMValueRef any_from(EmitModule *m, LLVMValueRef x, uint64_t least) {
  LLVMValueRef is = LLVMBuildICmp(m->b, LLVMIntUGE, x, em_bits(LLVMTypeOf(x), least), "");
  LLVMTypeRef t = LLVMIntTypeInContext(m->cx, (unsigned)em_lanes(x));
  return LLVMBuildICmp(m->b, LLVMIntNE, LLVMBuildBitCast(m->b, is, t, ""), LLVMConstNull(t), "");
}

/* Over the tile's results: how many meet something infinite, and the largest magnitude. */
static void look(const Mend *z, LLVMValueRef *touched, LLVMValueRef *most) {
  EmitModule *m = z->m;
  TileLoop lr, lc;
  LLVMValueRef acc[2] = {em_i64(m, 0), LLVMConstNull(em_vec(m->i32, m->vl))};
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, z->g->out_tile), 1);
  tile_carry(m, &lr, acc, 2);
  LLVMValueRef c = tile_loop(m, &lc, em_i64(m, z->g->out_tile), 1);
  tile_carry(m, &lc, acc, 2);
  LLVMValueRef x = over_terms(z, r, c, LLVMConstNull(em_vec(m->i32, m->vl)), largest);
  acc[0] = em_iadd(m, acc[0], LLVMBuildZExt(m->b, any_from(m, x, INFINITE), m->i64, ""));
  acc[1] = em_binary(m, "llvm.umax", acc[1], x);
  tile_end(m, &lc, acc, 2);
  tile_end(m, &lr, acc, 2);
  *touched = acc[0];
  *most = acc[1];
}

static void repeat(const Mend *z, LLVMValueRef dst, LLVMValueRef pitch) {
  EmitModule *m = z->m;
  TileLoop lr, lc;
  LLVMValueRef r = tile_loop(m, &lr, em_i64(m, z->g->out_tile), 1);
  LLVMValueRef row = tile_tat(m, z->g->result16, dst, em_imul(m, r, pitch));
  LLVMValueRef c = tile_loop(m, &lc, em_i64(m, z->g->out_tile), 1);
  LLVMValueRef y = over_terms(z, r, c, LLVMConstNull(m->vf32), add_products);
  tile_tstore(m, z->g->result16, y, tile_tat(m, z->g->result16, row, em_imulc(m, c, m->vl)));
  tile_end(m, &lc, NULL, 0);
  tile_end(m, &lr, NULL, 0);
}

LLVMValueRef conv_mend(EmitModule *m, const ConvSpec *s, const ConvWino *g) {
  LLVMBasicBlockRef from = LLVMGetInsertBlock(m->b);
  LLVMValueRef caller = m->fn;
  size_t n;
  StrBuf name = {0};
  sb_printf(&name, "%s.mend", LLVMGetValueName2(caller, &n));
  LLVMTypeRef param[8] = {m->ptr, m->ptr, m->ptr, m->i64, m->i64, m->i64, m->i64, m->i64};
  LLVMValueRef fn = em_helper(m, name.s, m->none, param, 8);
  sb_free(&name);
  unsigned never = LLVMGetEnumAttributeKindForName("noinline", 8),
           cold = LLVMGetEnumAttributeKindForName("cold", 4);
  LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(m->cx, never, 0));
  LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(m->cx, cold, 0));
  Mend z = {m,
            s,
            g,
            .src = LLVMGetParam(fn, 0),
            .w = LLVMGetParam(fn, 1),
            .image = LLVMGetParam(fn, 4),
            .kb = LLVMGetParam(fn, 5),
            .h = LLVMGetParam(fn, 6),
            .v = LLVMGetParam(fn, 7)};
  LLVMValueRef touched, most;
  look(&z, &touched, &most);
  int64_t all = (int64_t)g->out_tile * g->out_tile;
  LLVMValueRef part = LLVMBuildAnd(m->b, LLVMBuildICmp(m->b, LLVMIntNE, touched, em_i64(m, all), ""),
                                   any_from(m, most, VAST), "");
  EmitIf f;
  em_if(m, &f, part);
  repeat(&z, LLVMGetParam(fn, 2), LLVMGetParam(fn, 3));
  em_else(m, &f);
  em_endif(m, &f);
  LLVMBuildRetVoid(m->b);
  m->fn = caller;
  LLVMPositionBuilderAtEnd(m->b, from);
  return fn;
}
