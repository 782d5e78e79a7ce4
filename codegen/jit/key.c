/* Canonical text of kernels and targets: the key under which machine code is shared inside a program and
 * cached on disk. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "codegen/jit/jit.h"
#include "codegen/loop/loop.h"

#include <elf.h>
#include <link.h>
#include <string.h>

/* ---- kernels ---- */
static void put_affine(StrBuf *b, const LoopKernel *l, const Affine *e) {
  sb_printf(b, "%lld", (long long)e->c);
  for (int d = 0; d < l->ndim; d++)
    if (e->k[d]) sb_printf(b, "+%lldi%d", (long long)e->k[d], d);
  sb_put(b, " ", 1);
}

static void put_quots(StrBuf *b, const LoopKernel *l, const Quot *q, int n) {
  for (int i = 0; i < n; i++) {
    sb_printf(b, "q%lld/%lld ", (long long)q[i].stride, (long long)q[i].div);
    put_affine(b, l, &q[i].e);
  }
}

static void put_access(StrBuf *b, const LoopKernel *l, const Access *a) {
  sb_printf(b, "@%d ", a->buf);
  put_affine(b, l, &a->off);
  put_quots(b, l, a->quot, a->nquot);
  for (int i = 0; i < a->nguard; i++) {
    const Guard *g = &a->guard[i];
    sb_printf(b, "g%lld,%lld,%lld ", (long long)g->lo, (long long)g->hi, (long long)g->mod);
    put_affine(b, l, &g->e);
  }
  if (a->nguard) sb_printf(b, "f%a ", a->fill);
  if (a->dyn >= 0) sb_printf(b, "d%d,%lld,%lld ", a->dyn, (long long)a->dyn_stride, (long long)a->dyn_extent);
}

static void put_inst(StrBuf *b, const LoopKernel *l, const KInst *in) {
  int nin = in->kind == KI_MAP      ? op_table[in->op].nin
            : in->kind == KI_REDUCE ? 1
            : in->kind == KI_RANDOM ? 2
                                    : 0;
  sb_printf(b, "\n%d %s %s %d ", (int)in->kind, dtype_name(in->dt),
            in->kind == KI_MAP || in->kind == KI_REDUCE ? op_table[in->op].name : "", in->row);
  for (int i = 0; i < nin; i++) sb_printf(b, "%d ", in->arg[i]);
  if (in->kind == KI_LOAD || in->kind == KI_GUARD) put_access(b, l, in->access);
  if (in->kind == KI_IMM) sb_printf(b, "%a ", in->imm);
  if (in->kind == KI_REDUCE) sb_printf(b, "s%d ", in->sweep);
  if (in->kind == KI_RANDOM) sb_printf(b, "r%u ", in->stream);
  if (in->kind == KI_INDEX || in->kind == KI_RANDOM || in->kind == KI_REDUCE) {
    put_affine(b, l, &in->index);
    put_quots(b, l, in->quot, in->nquot);
  }
}

static void put_loop(StrBuf *b, const LoopKernel *l, bool flat) {
  sb_printf(b, "loop %d %d %d v%d ", l->ndim, l->npar, l->nsweep, l->vec);
  if (!flat) sb_printf(b, "c%lld ", (long long)l->nchunk);
  for (int d = 0; d < l->ndim && !flat; d++) sb_printf(b, "%lld ", (long long)l->size[d]);
  for (int i = 0; i < l->ninst; i++) put_inst(b, l, &l->inst[i]);
  for (int i = 0; i < l->nstore; i++) {
    sb_printf(b, "\nstore %d %d ", l->store[i].inst, l->store[i].sweep);
    put_access(b, l, &l->store[i].access);
  }
}

/* Code that packs or transforms weights, and code for chunks of so many images, is the same for any number of
   images: student and teacher share it. */
static void put_conv(StrBuf *b, const Program *p, const Kernel *k, bool share) {
  ContractionPlan own;
  const ContractionStep *st = &program_conv_plan(p, &k->conv, &own)->step[k->conv_step];
  ConvSpec s = conv_resolve(&k->conv, &p->target); /* the algorithm chosen, however it was asked for */
  int64_t v[CONV_NUMBERS];
  if (!share) s.choice = 0; /* changes no bits */
  if (share && st->nin == 1 && st->in[0] == CO_W) s.n = s.images = s.choice = 0;
  if (share && s.images && st->flops > 0) s.n = 0;
  conv_numbers(&s, v);
  sb_printf(b, "conv %d %d.%d", (int)s.kind, (int)s.algo, k->conv_step);
  for (int i = 0; i < CONV_NUMBERS; i++) sb_printf(b, " %lld", (long long)v[i]);
}

static void put_gemm(StrBuf *b, const GemmSpec *s, int step, bool share) {
  sb_printf(b, "gemm.%d %s %d", step, dtype_name(s->dt), s->nbatch);
  for (int i = 0; i < s->nbatch; i++)
    sb_printf(b, " %lld,%lld,%lld,%lld", (long long)s->batch[i], (long long)s->a_batch[i],
              (long long)s->b_batch[i], (long long)s->c_batch[i]);
  const int64_t v[] = {s->m,   s->n,   s->k,   s->a_m, s->a_k, s->b_k,
                       s->b_n, s->c_m, s->c_n, s->a16, s->b16, s->c16};
  for (size_t i = 0; i < sizeof v / sizeof *v; i++) sb_printf(b, " %lld", (long long)v[i]);
  if (share) sb_printf(b, " %lld", (long long)s->choice); /* changes no bits */
  else                                                    /* offsets are the plan's */
    sb_printf(b, " %lld %lld %lld", (long long)s->a_off, (long long)s->b_off, (long long)s->c_off);
}

void kernel_key(const Program *p, const Kernel *k, bool share, StrBuf *out) {
  const ScatterSpec *s = &k->scatter;
  switch (k->kind) {
  case KK_LOOP: put_loop(out, &k->loop, share && loop_is_flat(&k->loop)); break;
  case KK_CONV: put_conv(out, p, k, share); break;
  case KK_GEMM: put_gemm(out, &k->gemm, k->gemm_step, share); break;
  case KERNEL_KINDS: break;
  case KK_EXTERN: sb_printf(out, "extern %s %s", k->ext->library, k->ext->symbol); break;
  case KK_SCATTER:
    sb_printf(out, "scatter %s %s %lld %lld %lld %lld", dtype_name(s->dt), dtype_name(s->idx_dt),
              (long long)s->outer, (long long)s->extent, (long long)s->inner, (long long)s->nidx);
    break;
  }
}

/* ---- targets and builds ---- */
typedef struct {
  uintptr_t inside; /* an address of the module */
  StrBuf *out;
  bool found;
} BuildId;

/* The linker's build id, a hash of the contents of the module some code lies in. */
static int find_build_id(struct dl_phdr_info *info, size_t size, void *arg) {
  (void)size;
  BuildId *b = arg;
  bool mine = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + h->p_vaddr;
    mine |= h->p_type == PT_LOAD && b->inside >= start && b->inside - start < h->p_memsz;
  }
  if (!mine) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    if (h->p_type != PT_NOTE) continue;
    const char *at = (const char *)(info->dlpi_addr + h->p_vaddr), *end = at + h->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) n;
      memcpy(&n, at, sizeof n);
      const char *name = at + sizeof n, *desc = name + (n.n_namesz + 3) / 4 * 4;
      if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !memcmp(name, "GNU", 4)) {
        for (unsigned k = 0; k < n.n_descsz; k++) sb_printf(b->out, "%02x", (unsigned char)desc[k]);
        b->found = true;
        return 1;
      }
      at = desc + (n.n_descsz + 3) / 4 * 4;
    }
  }
  return 1;
}

void target_key(const Target *t, StrBuf *out) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  sb_printf(out, "LLVM %u.%u.%u ", major, minor, patch);
  em_target_key(t, out);
  sb_printf(out, " %d %d %d %d %d %lld %lld %s build ", t->vector_bytes, t->registers, t->fma, t->bf16,
            t->tiles, (long long)t->l1, (long long)t->l2, t->cost->name);
  uintptr_t inside[] = {(uintptr_t)&find_build_id, (uintptr_t)&conv_plan}; /* emitters; planners */
  for (int i = 0; i < 2; i++) {
    BuildId b = {inside[i], out, false};
    dl_iterate_phdr(find_build_id, &b);
    if (!b.found) sb_printf(out, "%s", __DATE__ __TIME__);
  }
  sb_put(out, "\n", 1);
}
