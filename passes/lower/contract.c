/* What can be seen of a program: are its kernels in an order in which each finds its operands? */
#include "passes/lower/pass.h"

typedef struct {
  const Program *p;
  int *holds;   /* per root buffer: the buffer whose contents are in it, -1 none */
  int *state;   /* per graph input: the same */
  bool *writes; /* per buffer: some kernel writes it */
} Memory;

static int *cell(const Memory *m, int b) {
  const Buf *x = &m->p->buf.v[program_root(m->p, b)];
  return x->kind == BUF_INPUT ? &m->state[x->input] : &m->holds[program_root(m->p, b)];
}

/* A reshape that no kernel writes has the contents of what it lies in. */
static int contents(const Memory *m, int b) {
  while (!m->writes[b] && m->p->buf.v[b].alias >= 0) b = m->p->buf.v[b].alias;
  return b;
}

static ProgramFault disorder(const Program *p, Arena *a) {
  Memory m = {.p = p, .holds = NEWN(a, int, p->buf.n + 1), .writes = NEWN(a, bool, p->buf.n + 1)};
  m.state = NEWN(a, int, p->graph->inputs.n + 1);
  for (int b = 0; b < p->buf.n; b++) m.holds[b] = -1;
  for (int k = 0; k < p->kernel.n; k++)
    for (int i = 0; i < p->kernel.v[k].nout; i++)
      m.writes[p->kernel.v[k].buf[p->kernel.v[k].nbuf - 1 - i]] = true;
  for (int b = p->buf.n - 1; b >= 0; b--)
    if (p->buf.v[b].kind == BUF_INPUT && !m.writes[b]) m.state[p->buf.v[b].input] = b;
  for (int k = 0; k < p->kernel.n; k++) {
    const Kernel *kn = &p->kernel.v[k];
    for (int i = 0; i < kn->nbuf - kn->nout; i++) {
      int b = contents(&m, kn->buf[i]), have = *cell(&m, b);
      if (have != b) return (ProgramFault){k, b, have};
    }
    for (int i = kn->nbuf - kn->nout; i < kn->nbuf; i++) *cell(&m, kn->buf[i]) = kn->buf[i];
  }
  return (ProgramFault){.kernel = -1};
}

ProgramFault program_disorder(const Program *p) {
  Arena *a = arena_new();
  ProgramFault f = disorder(p, a);
  arena_free(a);
  return f;
}
