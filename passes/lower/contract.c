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
  for (int at = 0; at < p->kernel.n; at++)
    for (int i = 0; i < p->kernel.v[at].nout; i++)
      m.writes[p->kernel.v[at].buf[p->kernel.v[at].nbuf - 1 - i]] = true;
  for (int b = p->buf.n - 1; b >= 0; b--)
    if (p->buf.v[b].kind == BUF_INPUT && !m.writes[b]) m.state[p->buf.v[b].input] = b;
  for (int at = 0; at < p->kernel.n; at++) {
    const Kernel *k = &p->kernel.v[at];
    for (int i = 0; i < k->nbuf - k->nout; i++) {
      int b = contents(&m, k->buf[i]), have = *cell(&m, b);
      bool part = have >= 0 && p->buf.v[have].loop && program_root(p, have) == program_root(p, b);
      if (have != b && !part) return (ProgramFault){at, b, have};
    }
    for (int i = k->nbuf - k->nout; i < k->nbuf; i++) *cell(&m, k->buf[i]) = k->buf[i];
  }
  return (ProgramFault){.kernel = -1};
}

ProgramFault program_disorder(const Program *p) {
  Arena *a = arena_new();
  ProgramFault f = disorder(p, a);
  arena_free(a);
  return f;
}
