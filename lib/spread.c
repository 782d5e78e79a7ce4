/* Optimizer state and averages that each rank has a part of, a row of numbers (passes/graph/shard.c): to begin with, to save
   them, to look at them they are put together one after the other, in memory that a file of rank 0's stands for, so
   that it need not hold them. */
#define _GNU_SOURCE
#include "lib/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
  int tensor;
  Shape shape;
  int64_t at; /* in what is mapped; with room for as many as all parts have */
} Spread;

struct SpreadStates {
  Session *s;
  Ranks *r;
  VEC(Spread) state;
  int64_t bytes;
  char *map; /* NULL: closed */
};

static int64_t part_bytes(const SpreadStates *x, int i) {
  const PlanTensor *t = &session_plan(x->s)->tensor[x->state.v[i].tensor];
  return shape_count(&t->shape) * dtype_size(t->dt);
}

/* This rank's part, where steps have it. */
static char *part_at(SpreadStates *x, int i) {
  const Spread *p = &x->state.v[i];
  session_show(x->s, p->tensor, NULL, NULL);
  char *data = session_tensor_at(x->s, p->tensor).data;
  if (x->map) session_show(x->s, p->tensor, &p->shape, x->map + p->at);
  return data;
}

SpreadStates *spread_states_find(Arena *a, const Graph *g, Session *s, Ranks *r) {
  SpreadStates *x = NEW(a, SpreadStates);
  const Plan *p = session_plan(s);
  *x = (SpreadStates){.s = s, .r = r};
  for (int i = 0; i < p->ntensor && r; i++) {
    int k = p->tensor[i].kind == PT_STATE ? g_find_input(g, p->tensor[i].name) : -1;
    if (k < 0 || shape_eq(&g_node(g, g->inputs.v[k].val)->shape, &p->tensor[i].shape)) continue;
    vec_push(a, &x->state, ((Spread){i, g_node(g, g->inputs.v[k].val)->shape, x->bytes}));
    x->bytes += div_up(part_bytes(x, x->state.n - 1) * r->count, 64) * 64;
  }
  return x->state.n ? x : NULL;
}

static Status map(SpreadStates *x, int fd, Diags *d) {
  int how = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
  int err = fd < 0 ? 0 : posix_fallocate(fd, 0, x->bytes);
  void *p = err ? MAP_FAILED : mmap(NULL, (size_t)x->bytes, PROT_READ | PROT_WRITE, how, fd, 0);
  if (p == MAP_FAILED) {
    diag_error(d, NULL, "cannot put together the optimizer's state, %.1f MiB: %s", (double)x->bytes / 1048576,
               strerror(err ? err : errno));
    return err == ENOSPC ? ST_FILE : ST_BUDGET;
  }
  x->map = p;
  for (int i = 0; i < x->state.n; i++)
    session_show(x->s, x->state.v[i].tensor, &x->state.v[i].shape, x->map + x->state.v[i].at);
  return ST_OK;
}

Status spread_open(SpreadStates *x, Diags *d) { return x ? map(x, -1, d) : ST_OK; }

/* A file without a name. */
static int nameless(const char *folder, Diags *d) {
  StrBuf b = {0};
  sb_printf(&b, "%s/states-XXXXXX", folder);
  int fd = mkostemp(b.s, O_CLOEXEC);
  if (fd < 0) diag_error(d, NULL, "cannot make a file in %s: %s", folder, strerror(errno));
  else unlink(b.s);
  sb_free(&b);
  return fd;
}

/* Rank k's part comes to to[at[k]] on rank 0. */
static void send_first(SpreadStates *x, int i, int64_t n, char *to) {
  int64_t at[MOST_RANKS + 1] = {0};
  for (int k = 1; k <= x->r->count; k++) at[k] = n;
  x->r->exchange(x->r, (RankSet){0, 1, x->r->count}, part_at(x, i), at, to);
}

static void send_all(SpreadStates *x, int i, int64_t n, char *to) {
  int64_t at[MOST_RANKS + 1];
  for (int k = 0; k <= x->r->count; k++) at[k] = k * n;
  memcpy(to + x->r->rank * n, part_at(x, i), (size_t)n);
  ranks_gather(x->r, to, at);
}

Status spread_collect(SpreadStates *x, const char *folder, bool everyone, Diags *d) {
  if (!x) return ST_OK;
  int fd = -1;
  if (x->r->rank == 0 && (fd = nameless(folder, d)) < 0) return ST_FILE;
  Status s = x->r->rank == 0 || everyone ? map(x, fd, d) : ST_OK;
  if (fd >= 0) close(fd);
  for (int i = 0; i < x->state.n && !s; i++)
    (everyone ? send_all : send_first)(x, i, part_bytes(x, i), x->map ? x->map + x->state.v[i].at : NULL);
  return s;
}

void spread_take(SpreadStates *x) {
  for (int i = 0; x && i < x->state.n; i++) {
    int64_t n = part_bytes(x, i);
    memcpy(part_at(x, i), x->map + x->state.v[i].at + x->r->rank * n, (size_t)n);
  }
}

void spread_close(SpreadStates *x) {
  if (!x) return;
  for (int i = 0; i < x->state.n; i++) session_show(x->s, x->state.v[i].tensor, NULL, NULL);
  if (x->map) munmap(x->map, (size_t)x->bytes);
  x->map = NULL;
}
