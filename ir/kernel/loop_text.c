/* Text of loop kernels, printed and read: dims and chunks, then instructions and stores. */
#include "ir/graph/ops_impl.h"
#include "ir/kernel/loop_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- printing ---- */
void loop_print_head(const KText *t, const Kernel *k) {
  StrBuf *b = t->out;
  const LoopKernel *l = &k->loop;
  for (int d = 0; d < l->ndim; d++)
    sb_printf(b, "%s%s%lld",
              d == l->npar ? " reduce "
              : d          ? "x"
                           : " over ",
              d == l->vec ? "v" : "", (long long)l->size[d]);
  if (l->nsweep != (l->ndim > l->npar)) sb_printf(b, " sweeps=%d", l->nsweep);
  if (l->nchunk != 1) sb_printf(b, " chunks=%lld", (long long)l->nchunk);
}

static void put_affine(StrBuf *b, const Affine *e) {
  bool first = true;
  for (int d = 0; d < KDIM; d++) {
    int64_t k = e->k[d];
    if (!k) continue;
    sb_printf(b, "%s", first ? (k < 0 ? "-" : "") : k < 0 ? " - " : " + ");
    if (k != 1 && k != -1) sb_printf(b, "%lld*", (long long)(k < 0 ? -k : k));
    sb_printf(b, "i%d", d);
    first = false;
  }
  if (first) sb_printf(b, "%lld", (long long)e->c);
  else if (e->c) sb_printf(b, " %c %lld", e->c < 0 ? '-' : '+', (long long)(e->c < 0 ? -e->c : e->c));
}

static void put_quots(StrBuf *b, const Quot *q, int n) {
  for (int i = 0; i < n; i++) {
    sb_printf(b, " + %lld*((", (long long)q[i].stride);
    put_affine(b, &q[i].e);
    sb_printf(b, ")/%lld)", (long long)q[i].div);
  }
}

static void put_guards(StrBuf *b, const Access *a) {
  for (int i = 0; i < a->nguard; i++) {
    const Guard *g = &a->guard[i];
    sb_printf(b, "%s%lld <= ", i ? " and " : "", (long long)g->lo);
    put_affine(b, &g->e);
    sb_printf(b, " < %lld", (long long)g->hi);
    if (g->mod > 1) sb_printf(b, " multiple of %lld", (long long)g->mod);
  }
}

static void put_access(const KText *t, const Kernel *k, const Access *a) {
  StrBuf *b = t->out;
  sb_printf(b, "buf%d[", t->p ? k->buf[a->buf] : a->buf);
  put_affine(b, &a->off);
  put_quots(b, a->quot, a->nquot);
  if (a->dyn >= 0)
    sb_printf(b, " + %lld*clamp(%%%d, 0, %lld)", (long long)a->dyn_stride, a->dyn,
              (long long)a->dyn_extent - 1);
  sb_printf(b, "]");
  if (!a->nguard) return;
  sb_printf(b, " where ");
  put_guards(b, a);
  sb_printf(b, " else ");
  put_imm(b, a->fill);
}

static void put_inst(const KText *t, const Kernel *k, int i) {
  StrBuf *b = t->out;
  const KInst *in = &k->loop.inst[i];
  sb_printf(b, "  %s%%%d: %s = ", in->row ? "" : "  ", i, dtype_name(in->dt));
  switch (in->kind) {
  case KI_LOAD: put_access(t, k, in->access); break;
  case KI_IMM:
    sb_printf(b, "imm ");
    put_imm(b, in->imm);
    break;
  case KI_INDEX:
    sb_printf(b, "index ");
    put_affine(b, &in->index);
    put_quots(b, in->quot, in->nquot);
    break;
  case KI_GUARD:
    sb_printf(b, "guard ");
    put_guards(b, in->access);
    break;
  case KI_RANDOM:
    sb_printf(b, "random_bits %%%d, %%%d {stream=%u} at ", in->arg[0], in->arg[1], in->stream);
    put_affine(b, &in->index);
    put_quots(b, in->quot, in->nquot);
    break;
  case KI_MAP:
    sb_printf(b, "%s", op_table[in->op].name);
    for (int j = 0; j < op_table[in->op].nin; j++) sb_printf(b, "%s %%%d", j ? "," : "", in->arg[j]);
    break;
  case KI_REDUCE:
    sb_printf(b, "%s %%%d {sweep=%d}", op_table[in->op].name, in->arg[0], in->sweep);
    if (in->op == OP_argmax) {
      sb_printf(b, " at ");
      put_affine(b, &in->index);
      put_quots(b, in->quot, in->nquot);
    }
    break;
  }
  if (in->val >= 0 && t->p && t->p->graph) {
    const Node *n = g_node(t->p->graph, in->val);
    put_where(t, in->val, n->loc, n->role);
  }
  sb_printf(b, "\n");
}

void loop_print_body(const KText *t, const Kernel *k) {
  StrBuf *b = t->out;
  const LoopKernel *l = &k->loop;
  for (int i = 0; i < l->ninst; i++) put_inst(t, k, i);
  for (int i = 0; i < l->nstore; i++) {
    const KStore *s = &l->store[i];
    bool row = l->inst[s->inst].row;
    sb_printf(b, "  %s", row ? "" : "  ");
    put_access(t, k, &s->access);
    sb_printf(b, " = %%%d", s->inst);
    if (!row) sb_printf(b, " {sweep=%d}", s->sweep);
    sb_printf(b, "\n");
  }
}

/* ---- reading: addresses ---- */
static Affine affine(KReader *r) {
  Affine e = {0};
  bool minus = kr_eat(r, "-");
  do {
    int64_t k = 1;
    bool dim = kr_prefix(r, "i");
    if (!dim) {
      k = kr_number(r);
      if (kr_eat(r, "*")) {
        if (!kr_prefix(r, "i")) kr_fail(r, "expected a loop dim such as i0");
        dim = true;
      }
    }
    if (minus) k = -k;
    if (dim) e.k[kr_small(r, 0, KDIM - 1, "loop dim")] = k;
    else e.c = k;
    const char *at = r->p;
    if (kr_eat(r, "+ ")) minus = false;
    else if (kr_eat(r, "- ")) minus = true;
    else break;
    kr_blanks(r);
    char *end;
    strtoll(r->p, &end, 10);
    if (end != r->p && end[0] == '*' &&
        (end[1] == '(' || end[1] == 'c')) { /* a quotient or dynamic index follows */
      r->p = at;
      break;
    }
  } while (true);
  return e;
}

/* "+ 4*((i0)/3)", any number of times */
static const Quot *quots(KReader *r, int *n) {
  VEC(Quot) v = {0};
  for (;;) {
    const char *at = r->p;
    if (!kr_eat(r, "+ ")) break;
    Quot q = {.stride = kr_number(r)};
    if (!kr_eat(r, "*((")) {
      r->p = at;
      break;
    }
    q.e = affine(r);
    kr_expect(r, ")/");
    q.div = kr_number(r);
    if (q.div < 1) kr_fail(r, "a quotient by %lld", (long long)q.div);
    kr_expect(r, ")");
    vec_push(r->a, &v, q);
  }
  *n = v.n;
  return v.v;
}

static void guards(KReader *r, Access *a) {
  VEC(Guard) v = {0};
  do {
    Guard g = {.lo = kr_number(r)};
    kr_expect(r, "<=");
    g.e = affine(r);
    kr_expect(r, "<");
    g.hi = kr_number(r);
    if (kr_eat(r, "multiple of ")) g.mod = kr_number(r);
    vec_push(r->a, &v, g);
  } while (kr_eat(r, "and"));
  a->guard = v.v;
  a->nguard = v.n;
}

/* The operand of k that is buffer b: inputs are looked at first for loads, outputs for stores. */
static int operand(KReader *r, const Kernel *k, int b, bool store) {
  int first = store ? k->nbuf - k->nout : 0;
  for (int i = 0; i < k->nbuf; i++) {
    int j = (first + i) % k->nbuf;
    if (k->buf[j] == b) return j;
  }
  kr_fail(r, "buf%d is not an operand of this kernel", b);
}

static Access *access_of(KReader *r, const Kernel *k, int b, bool store, int ninst) {
  Access *a = NEW(r->a, Access);
  a->buf = operand(r, k, b, store);
  a->dyn = -1;
  kr_expect(r, "[");
  a->off = affine(r);
  a->quot = quots(r, &a->nquot);
  if (kr_eat(r, "+ ")) {
    a->dyn_stride = kr_number(r);
    kr_expect(r, "*clamp(");
    if (!kr_prefix(r, "%")) kr_fail(r, "expected an instruction");
    a->dyn = kr_small(r, 0, ninst - 1, "instruction");
    kr_expect(r, ", 0,");
    a->dyn_extent = kr_number(r) + 1;
    kr_expect(r, ")");
  }
  kr_expect(r, "]");
  if (!kr_eat(r, "where")) return a;
  guards(r, a);
  kr_expect(r, "else");
  a->fill = kr_imm(r);
  return a;
}

/* ---- instructions ---- */
static int instruction_ref(KReader *r, int n) {
  if (!kr_prefix(r, "%")) kr_fail(r, "expected an instruction such as %%0");
  return kr_small(r, 0, n - 1, "instruction");
}

static void load_or_op(KReader *r, const Kernel *k, KInst *in, int n) {
  if (kr_prefix(r, "buf")) {
    in->kind = KI_LOAD;
    in->access = access_of(r, k, kr_small(r, 0, r->prog->buf.n - 1, "buffer"), false, n);
    return;
  }
  const char *w = kr_word(r, "an instruction");
  OpId op = op_find(w);
  if (op == OP_COUNT) kr_fail(r, "unknown instruction '%.40s'", w);
  in->op = op;
  bool reduce = op_table[op].kind == KIND_REDUCE;
  in->kind = op == OP_random_bits ? KI_RANDOM : reduce ? KI_REDUCE : KI_MAP;
  int nin = op == OP_random_bits ? 2 : op_table[op].nin;
  if (nin > 3 || (in->kind == KI_MAP && op_table[op].kind != KIND_MAP))
    kr_fail(r, "%s is not an instruction", w);
  for (int j = 0; j < nin; j++) {
    if (j) kr_expect(r, ",");
    in->arg[j] = instruction_ref(r, n);
  }
  if (in->kind == KI_RANDOM) {
    kr_expect(r, "{stream=");
    in->stream = (uint32_t)kr_number(r);
    kr_expect(r, "}");
  } else if (in->kind == KI_REDUCE) {
    kr_expect(r, "{sweep=");
    in->sweep = kr_small(r, 0, 1 << 20, "sweep");
    kr_expect(r, "}");
  }
  if (kr_eat(r, "at ")) {
    in->index = affine(r);
    in->quot = quots(r, &in->nquot);
  }
}

static void instruction(KReader *r, const Kernel *k, KInst *in, int n, bool row) {
  if (kr_small(r, 0, INT32_MAX, "instruction") != n)
    kr_fail(r, "instructions are numbered in order: expected %%%d", n);
  kr_expect(r, ":");
  in->row = row;
  in->dt = kr_dtype(r);
  kr_expect(r, "=");
  if (kr_eat(r, "imm")) {
    in->kind = KI_IMM;
    in->imm = kr_imm(r);
  } else if (kr_eat(r, "index")) {
    in->kind = KI_INDEX;
    in->index = affine(r);
    in->quot = quots(r, &in->nquot);
  } else if (kr_eat(r, "guard")) {
    Access *a = NEW(r->a, Access);
    a->dyn = -1;
    in->kind = KI_GUARD;
    kr_blanks(r);
    if (*r->p != '\n' && *r->p != '#') guards(r, a);
    in->access = a;
  } else {
    load_or_op(r, k, in, n);
  }
  const Loc *loc;
  Role role;
  kr_where(r, &in->val, &loc, &role);
}

void loop_read_body(KReader *r, Kernel *k) {
  VEC(KInst) inst = {0};
  VEC(KStore) store = {0};
  while (*r->p == ' ') {
    const char *start = r->p;
    kr_blanks(r);
    bool row = r->p - start < 4;
    if (kr_prefix(r, "%")) {
      KInst in = {.val = -1};
      instruction(r, k, &in, inst.n, row);
      vec_push(r->a, &inst, in);
      continue;
    }
    if (!kr_prefix(r, "buf")) kr_fail(r, "expected an instruction or a store");
    KStore s = {.access = *access_of(r, k, kr_small(r, 0, r->prog->buf.n - 1, "buffer"), true, inst.n)};
    kr_expect(r, "=");
    s.inst = instruction_ref(r, inst.n);
    if (s.access.dyn >= 0) kr_fail(r, "a store has no dynamic index");
    if (kr_eat(r, "{sweep=")) {
      s.sweep = kr_small(r, 0, 1 << 20, "sweep");
      kr_expect(r, "}");
    }
    vec_push(r->a, &store, s);
    kr_end_line(r);
  }
  k->loop.inst = inst.v;
  k->loop.ninst = inst.n;
  k->loop.store = store.v;
  k->loop.nstore = store.n;
}

void loop_read_head(KReader *r, Kernel *k) {
  LoopKernel *l = &k->loop;
  bool reduce = false;
  l->vec = -1;
  if (kr_eat(r, "over") || (reduce = kr_eat(r, "reduce"))) {
    for (;;) {
      if (l->ndim == KDIM) kr_fail(r, "more than %d loop dims", KDIM);
      if (kr_prefix(r, "v")) l->vec = l->ndim;
      l->size[l->ndim++] = kr_number(r);
      if (!reduce) l->npar = l->ndim;
      kr_blanks(r);
      if (*r->p == 'x') r->p++;
      else if (reduce || !(reduce = kr_eat(r, "reduce"))) break;
    }
  }
  l->nsweep = kr_eat(r, "sweeps=") ? kr_small(r, 0, 1 << 20, "sweeps") : l->ndim > l->npar;
  l->nchunk = kr_eat(r, "chunks=") ? kr_number(r) : 1;
}
