/* jepac verify --check-bounds: the machine code of no kernel touches memory that is not its own. Each kernel
   runs, on the operands it meets in a run, with every operand and its scratch memory alone between two
   unreadable pages, once at the end of its mapping and once at the start, and with what it only reads
   write-protected. Places are rounded to 64 bytes, as in the arena. Kernels have static shapes and all chunks
   run, so this covers every access of the program: loops, contractions, library products and extern calls.
   What index maps tell is proved before (ir/kernel/verify.c). */
#define _GNU_SOURCE
#include "cli/verify.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE = 64, PAGE = 4096, FILLED = 0xa5 };

typedef struct {
  char *map, *data;
  size_t size;       /* of the mapping with its two guards */
  int64_t bytes, in; /* of the operand; of them accessible (fewer than bytes: for the test) */
  int buf;           /* root buffer, -1 scratch */
  bool written;
} Guarded;

static int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static bool guard(Guarded *g, bool at_end, int64_t cut) {
  int64_t lines = up(g->bytes, LINE) - cut, room = up(lines, PAGE);
  g->size = (size_t)room + 2 * PAGE;
  g->map = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (g->map == MAP_FAILED) return false;
  if (room && mprotect(g->map + PAGE, (size_t)room, PROT_READ | PROT_WRITE)) return false;
  g->data = g->map + PAGE + (at_end ? room - lines : 0);
  g->in = g->bytes < lines ? g->bytes : lines;
  if (lines > g->bytes) memset(g->data + g->bytes, FILLED, (size_t)(lines - g->bytes));
  return true;
}

/* ---- faults of the running kernel ---- */
static sigjmp_buf escape;
static char *volatile fault_at;

static void on_fault(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  fault_at = info->si_addr;
  siglongjmp(escape, 1);
}

/* Runs all chunks; the address at fault, or NULL. */
static char *run_guarded(const Step *st, void **ptr, void *scratch) {
  struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, segv, bus;
  sigaction(SIGSEGV, &act, &segv);
  sigaction(SIGBUS, &act, &bus);
  fault_at = NULL;
  if (!sigsetjmp(escape, 1))
    for (int64_t c = 0; c < st->nchunk; c++) st->fn(ptr, c, st->ranks ? NULL : scratch, st->param);
  sigaction(SIGSEGV, &segv, NULL);
  sigaction(SIGBUS, &bus, NULL);
  return fault_at;
}

typedef struct {
  Verify *v;
  const Program *p;
  Compiled k;
  char *arena;
} Bounds;

static const char *operand_word(const Bounds *b, const Guarded *g) {
  char type[128];
  if (g->buf < 0) return "its scratch memory";
  const Buf *x = &b->p->buf.v[g->buf];
  return arena_printf(b->v->c->arena, "buf%d: %s", g->buf,
                      x->dt == DT_NONE ? "raw" : type_str(x->dt, &x->shape, type));
}

static Status blame(Bounds *b, int at, const Guarded *g, int n, const char *touched) {
  Cli *c = b->v->c;
  const Kernel *k = &b->p->kernel.v[at];
  const char *name = kernel_name(b->p, at, c->arena);
  int i = 0;
  while (i < n && !(touched >= g[i].map && touched < g[i].map + g[i].size)) i++;
  if (i == n) cli_fail(c, ST_VERIFY, "kernel %s touches memory outside its operands", name);
  else if (touched < g[i].data)
    cli_fail(c, ST_VERIFY, "kernel %s touches the %lld bytes before %s", name,
             (long long)(g[i].data - touched), operand_word(b, &g[i]));
  else if (touched - g[i].data >= g[i].in)
    cli_fail(c, ST_VERIFY, "kernel %s touches byte %lld of %s, which has %lld", name,
             (long long)(touched - g[i].data), operand_word(b, &g[i]), (long long)g[i].in);
  else cli_fail(c, ST_VERIFY, "kernel %s writes %s, which it may only read", name, operand_word(b, &g[i]));
  diag_note(c->diags, k->loc, "%s part of %s", role_word(k->role),
            lines_name(b->v->lines, lines_find(b->v->lines, k->loc)));
  return ST_VERIFY;
}

/* cut: bytes to leave off the kernel's last result. */
static Status one_round(Bounds *b, int at, bool at_end, int64_t cut) {
  const Program *p = b->p;
  const Kernel *k = &p->kernel.v[at];
  const Step *st = &b->k.plan->step[at];
  Arena *a = b->v->c->arena;
  Guarded *g = NEWN(a, Guarded, k->nbuf + 1);
  void **ptr = NEWN(a, void *, k->nbuf + 1);
  int n = 0;
  int64_t last = p->buf.v[program_cell(p, k->buf[k->nbuf - 1])].offset;
  bool mapped = true;
  for (int i = 0; i < k->nbuf; i++) { /* operands in one place are one */
    int r = program_cell(p, k->buf[i]), j = 0;
    while (j < n && p->buf.v[g[j].buf].offset != p->buf.v[r].offset) j++;
    if (j == n) g[n++] = (Guarded){.bytes = p->buf.v[r].bytes, .buf = r};
    if (p->buf.v[r].bytes > g[j].bytes) g[j].bytes = p->buf.v[r].bytes;
    g[j].written |= i >= k->nbuf - k->nout;
  }
  g[n] = (Guarded){.bytes = st->scratch, .buf = -1, .written = true};
  for (int j = 0; j <= n && mapped; j++)
    mapped = guard(&g[j], at_end, j < n && p->buf.v[g[j].buf].offset == last ? cut : 0);
  Status s = mapped ? ST_OK : cli_fail(b->v->c, ST_BUDGET, "no memory for guarded copies of the operands");
  for (int j = 0; j < n && !s; j++) {
    memcpy(g[j].data, b->arena + p->buf.v[g[j].buf].offset, (size_t)g[j].in);
    if (!g[j].written && g[j].size > 2 * PAGE) mprotect(g[j].map + PAGE, g[j].size - 2 * PAGE, PROT_READ);
  }
  for (int i = 0; i < k->nbuf; i++) /* a product's operand may begin inside its buffer */
    for (int j = 0; j < n; j++)
      if (p->buf.v[g[j].buf].offset == p->buf.v[program_cell(p, k->buf[i])].offset)
        ptr[i] = g[j].data + (st->operand[i] - p->buf.v[g[j].buf].offset);
  if (!s) {
    const char *touched = run_guarded(st, ptr, g[n].data);
    if (touched) s = blame(b, at, g, n + 1, touched);
  }
  for (int j = 0; j < n && !s; j++)
    for (int64_t i = g[j].bytes; i < up(g[j].bytes, LINE) && !s && g[j].written; i++)
      if ((unsigned char)g[j].data[i] != FILLED) s = blame(b, at, g, n + 1, g[j].data + i);
  for (int j = 0; j < n && !s && !at_end; j++)
    if (g[j].written) memcpy(b->arena + p->buf.v[g[j].buf].offset, g[j].data, (size_t)g[j].bytes);
  for (int j = 0; j <= n; j++)
    if (g[j].map && g[j].map != MAP_FAILED) munmap(g[j].map, g[j].size);
  return s;
}

/* For the test: a result that is shorter than the kernel thinks must be found. */
static Status find_fault(Bounds *b, int at) {
  Verify *v = b->v;
  const Kernel *k = &b->p->kernel.v[at];
  if (!v->fault || strcmp(v->fault, "bounds") || b->p->buf.v[k->buf[k->nbuf - 1]].val < 0) return ST_OK;
  Diags *heard = v->c->diags;
  v->c->diags = diags_new(v->c->arena);
  bool found = one_round(b, at, true, LINE) != ST_OK;
  v->c->diags = heard;
  v->faults++;
  return found ? ST_OK
               : cli_fail(v->c, ST_VERIFY, "kernel %s writes past a short buffer unnoticed",
                          kernel_name(b->p, at, v->c->arena));
}

Status verify_bounds(Verify *v, Program *p) {
  Cli *c = v->c;
  char err[512];
  if (!program_verify(p, err, sizeof err)) return cli_fail(c, ST_VERIFY, "%s", err);
  Bounds b = {.v = v, .p = p};
  Status s = compiler_build_program(cli_compiler(c, FOR_CODE), p, &b.k);
  if (s) return s;
  if (b.k.plan->ntensor) {
    verify_fill(v, p, b.k.session);
    b.arena = (char *)session_tensor_at(b.k.session, 0).data - b.k.plan->tensor[0].offset;
    for (int k = 0; k < p->kernel.n && !s; k++) {
      s = find_fault(&b, k);
      if (!s) s = one_round(&b, k, true, 0);
      if (!s) s = one_round(&b, k, false, 0);
    }
  }
  compiled_free(&b.k);
  if (s) return s;
  if (v->faults && v->fault) {
    printf("faults %d of %d found\n", v->faults, v->faults);
    v->fault = NULL;
  }
  if (!OPT(c, quiet)) printf("bounds %-12d ok   every access inside its operands\n", p->kernel.n);
  return ST_OK;
}
