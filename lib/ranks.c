/* Which MPI library started this program is known from what its launcher left in the environment. The library is
   reached through a module beside the program (mpi/ranks.c), so a program by itself needs none. */
#define _GNU_SOURCE
#include "lib/ranks.h"

#include "ir/memory.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
  const char *rank, *count; /* variables; count NULL: not said */
  const char *module, *title, *package;
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "jepac_openmpi.so", "Open MPI", "libopenmpi-dev"},
    {"PMIX_RANK", NULL, "jepac_openmpi.so", "Open MPI", "libopenmpi-dev"},
    {"PMI_RANK", "PMI_SIZE", "jepac_mpich.so", "MPICH", "libmpich-dev"},
};

static Status no_launcher(Compiler *c) {
  const char *tasks = getenv("SLURM_STEP_NUM_TASKS"), *id = getenv("SLURM_PROCID");
  if (!id || !tasks || atoi(tasks) < 2) return ST_OK;
  diag_error(c->diags, NULL, "srun started %s tasks that know nothing of each other", tasks);
  diag_note(c->diags, NULL, "srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH) makes them ranks of one run");
  return ST_USAGE;
}

Status ranks_start(Compiler *c, double patience, Ranks **r) {
  size_t i = 0, n = sizeof launchers / sizeof *launchers;
  *r = NULL;
  while (i < n && !getenv(launchers[i].rank)) i++;
  if (i == n) return no_launcher(c);
  const char *count = launchers[i].count ? getenv(launchers[i].count) : NULL;
  if (count && atoi(count) == 1) return ST_OK;
  const char *path = compiler_beside(c->arena, launchers[i].module);
  if (access(path, F_OK)) {
    diag_error(c->diags, NULL, "%s started this program, but %s is missing", launchers[i].title, path);
    diag_note(c->diags, NULL, "it is built where %s is installed", launchers[i].package);
    return ST_FILE;
  }
  void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL); /* Open MPI's own parts look for its symbols */
  const RanksModule *start = module ? dlsym(module, RANKS_MODULE) : NULL;
  Ranks *made = start ? start->open() : NULL;
  if (!made) {
    diag_error(c->diags, NULL, "cannot use %s: %s", launchers[i].title,
               start ? "it does not begin" : dlerror());
    return ST_FILE;
  }
  made->patience = patience;
  made->lost = ST_RANK;
  if (made->count > MOST_RANKS) {
    diag_error(c->diags, NULL, "%d ranks; at most %d", made->count, MOST_RANKS);
    return ST_USAGE;
  }
  if (made->count > 1) *r = made;
  else made->close(made);
  return ST_OK;
}

int ranks_threads(const Ranks *r) {
  int mine = session_cpus();
  if (mine < sysconf(_SC_NPROCESSORS_ONLN)) return mine; /* the launcher chose them */
  return mine > r->local ? mine / r->local : 1;
}

void ranks_choose_beside(Ranks *r, int threads) {
  bool room = r->local < r->count || (int64_t)r->local * threads < sysconf(_SC_NPROCESSORS_ONLN);
  if (ranks_most(r, !room)) r->beside = NULL;
}

void ranks_forget_times(Ranks *r) {
  r->waited = r->awaited = 0;
  if (r->beside) r->beside->waited = 0;
}

/* ---- agreement ---- */
/* A number of each rank. */
static int64_t *all_numbers(Ranks *r, int64_t number) {
  int64_t *v = xcalloc((size_t)r->count, sizeof *v, NULL), at[MOST_RANKS + 1];
  for (int k = 0; k <= r->count; k++) at[k] = k * (int64_t)sizeof *v;
  v[r->rank] = number;
  ranks_gather(r, v, at);
  return v;
}

int64_t ranks_most(Ranks *r, int64_t number) {
  int64_t *v = all_numbers(r, number), most = number;
  for (int k = 0; k < r->count; k++)
    if (v[k] > most) most = v[k];
  free(v);
  return most;
}

uint64_t ranks_any(Ranks *r, uint64_t bits) {
  int64_t *v = all_numbers(r, (int64_t)bits);
  for (int k = 0; k < r->count; k++) bits |= (uint64_t)v[k];
  free(v);
  return bits;
}

Status ranks_worst(Ranks *r, Status s) { return (Status)ranks_most(r, s); }

int ranks_differ(Ranks *r, uint64_t number) {
  int64_t *v = all_numbers(r, (int64_t)number);
  int first = -1;
  for (int k = r->count - 1; k > 0; k--)
    if (v[k] != v[0]) first = k;
  free(v);
  return first;
}

char *ranks_texts(Ranks *r, const char *text) {
  int64_t *bytes = all_numbers(r, (int64_t)strlen(text) + 1), at[MOST_RANKS + 1] = {0};
  for (int k = 0; k < r->count; k++) at[k + 1] = at[k] + bytes[k];
  char *all = xmalloc((size_t)at[r->count], "texts of ranks");
  memcpy(all + at[r->rank], text, (size_t)bytes[r->rank]);
  ranks_gather(r, all, at);
  free(bytes);
  return all;
}

void ranks_share(Ranks *r, void *data, int64_t bytes) {
  int64_t at[MOST_RANKS + 1] = {0};
  for (int k = 1; k <= r->count; k++) at[k] = bytes;
  ranks_gather(r, data, at);
}

void ranks_share_states(Ranks *r, Session *s) {
  for (int i = 0; i < session_plan(s)->ntensor; i++) {
    SessionTensor t = session_tensor_at(s, i);
    if (t.kind == PT_STATE) ranks_share(r, t.data, t.bytes);
  }
}
