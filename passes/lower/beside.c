/* Communication beside computation. A kernel that sends to other ranks begins as soon as what it sends is there, and
   those after it run until it may have ended or somebody needs its result. How long that is depends on a network that
   nobody knows here: a guess decides how long its operands keep their memory. Where the guess is too short, whoever
   needs that memory waits (Step.awaits of runtime/abi.h). What is needed at once stays where it is, and so does
   everything in a program with loops: the thread that sends knows nothing of their steps. */
#include "passes/lower/lower.h"

/* The guess: 10 Gbit/s, 50 us a message, and as much again for what else goes on. */
static const double begin_seconds = 100e-6, byte_seconds = 2 / 1.25e9;

typedef VEC(int) IntVec;

static double seconds(const Program *p, const Kernel *k) {
  const CostModel *c = p->target.cost;
  double flops = k->flops * c->flop_seconds, bytes = k->bytes * c->byte_seconds;
  return kernel_sent(k) > 0 ? 0 : flops > bytes ? flops : bytes;
}

static bool touches(const Program *p, const Kernel *k, int root, bool written) {
  for (int i = written ? k->nbuf - k->nout : 0; i < k->nbuf; i++)
    if (program_root(p, k->buf[i]) == root) return true;
  return false;
}

/* The last kernel before `at`, and the first after it, that k must not run beside. */
static int last_before(const Program *p, int at) {
  const Kernel *k = &p->kernel.v[at];
  for (int j = at - 1; j >= 0; j--)
    for (int i = 0; i < k->nbuf; i++)
      if (touches(p, &p->kernel.v[j], program_root(p, k->buf[i]), i < k->nbuf - k->nout)) return j;
  return -1;
}

static int first_after(const Program *p, int at) {
  const Kernel *k = &p->kernel.v[at];
  for (int j = at + 1; j < p->ncompute; j++)
    for (int i = 0; i < k->nbuf; i++)
      if (touches(p, &p->kernel.v[j], program_root(p, k->buf[i]), i < k->nbuf - k->nout)) return j;
  return p->ncompute;
}

/* How many kernels run beside each that sends, along a clock of the work of one thread. One sends after the other. */
static void find_ends(Program *p, const double *clock) {
  double sent = 0;
  for (int at = 0; at < p->ncompute; at++) {
    Kernel *k = &p->kernel.v[at];
    if (!k->beside) continue;
    if (sent < clock[at]) sent = clock[at];
    sent += begin_seconds + kernel_sent(k) * byte_seconds;
    int end = at + 1, after = first_after(p, at);
    while (end < after && clock[end] < sent) end++;
    k->beside = end - at - 1;
  }
}

void pass_beside(Lower *l) {
  Program *p = l->p;
  int n = p->ncompute, at = 0;
  if (p->loop.n) return;
  double *clock = NEWN(l->arena, double, n + 1); /* when a kernel begins */
  IntVec *next = NEWN(l->arena, IntVec, n + 1);  /* kernels that begin when this one ends */
  for (int k = 0; k < n; k++) clock[k + 1] = clock[k] + seconds(p, &p->kernel.v[k]);
  for (int k = 0; k < n; k++) {
    Kernel *x = &p->kernel.v[k];
    x->beside = 0;
    if (!kernel_sent(x) || x->chain) continue;
    int from = last_before(p, k), first;
    if (from < 0) continue;
    program_chain(p, from, &first, &from);
    if (clock[first_after(p, k)] - clock[from + 1] < begin_seconds) continue;
    x->beside = 1;
    vec_push(l->arena, &next[from], k);
  }
  Kernel *sorted = NEWN(p->arena, Kernel, p->kernel.n + 1);
  int *waiting = NEWN(l->arena, int, n + 1), left = 0;
  for (int k = 0; k < n; k++) {
    if (!p->kernel.v[k].beside) waiting[left++] = k;
    while (left) {
      int x = waiting[--left];
      sorted[at++] = p->kernel.v[x];
      for (int i = next[x].n - 1; i >= 0; i--) waiting[left++] = next[x].v[i];
    }
  }
  for (; at < p->kernel.n; at++) sorted[at] = p->kernel.v[at];
  p->kernel.v = sorted;
  p->kernel.cap = p->kernel.n;
  for (int k = 0; k < n; k++) clock[k + 1] = clock[k] + seconds(p, &p->kernel.v[k]);
  find_ends(p, clock);
}
