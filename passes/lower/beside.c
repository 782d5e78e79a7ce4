/* Communication beside computation. A kernel that sends to other ranks begins as soon as what it sends is there, and
   those after it run until it may have ended or somebody needs its result. How long that is depends on a network that
   nobody knows here: a guess decides how long its operands keep their memory. Where the guess is too short, whoever
   needs that memory waits (Step.awaits of runtime/abi.h). What is needed at once stays where it is, and so does
   everything in a program with loops: the thread that sends knows nothing of their steps. */
#include "passes/lower/lower.h"

/* The guess: 10 Gbit/s, 50 us a message, and as much again for what else goes on. */
static const double begin_seconds = 100e-6, byte_seconds = 2 / 1.25e9;

typedef VEC(int) IntVec;

/* When each kernel begins, and the last ends: along the work of one thread, sending aside. */
static void set_clock(const Program *p, double *clock) {
  for (int k = 0; k < p->ncompute; k++) {
    const Kernel *x = &p->kernel.v[k];
    clock[k + 1] = clock[k] + (kernel_sent(x) > 0 ? 0 : kernel_seconds(p, x));
  }
}

/* Must kernel k not run beside kernel j? One writes what the other touches. */
static bool clash(const Program *p, int k, int j) {
  const Kernel *x = &p->kernel.v[k], *y = &p->kernel.v[j];
  for (int i = 0; i < x->nbuf; i++)
    for (int o = i < x->nbuf - x->nout ? y->nbuf - y->nout : 0; o < y->nbuf; o++)
      if (program_root(p, x->buf[i]) == program_root(p, y->buf[o])) return true;
  return false;
}

static int last_before(const Program *p, int k) {
  int j = k - 1;
  while (j >= 0 && !clash(p, k, j)) j--;
  return j;
}

static int first_after(const Program *p, int k) {
  int j = k + 1;
  while (j < p->ncompute && !clash(p, k, j)) j++;
  return j;
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
  double *clock = NEWN(l->arena, double, n + 1);
  IntVec *next = NEWN(l->arena, IntVec, n + 1); /* kernels that begin when this one ends */
  set_clock(p, clock);
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
  set_clock(p, clock);
  find_ends(p, clock);
}
