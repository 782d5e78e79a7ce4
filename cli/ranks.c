/* Commands on several ranks: all go the same way, and what goes wrong is said once. */
#include "lib/ranks.h"
#include "cli/cli.h"
#include "runtime/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE = 60 };

Status cli_ranks_start(Cli *c) {
  Status s = ranks_start(cli_compiler(c, 0), PATIENCE, &c->ranks);
  int64_t patience = OPT(c, rank_timeout);
  if (c->ranks && patience > 0) c->ranks->patience = (double)patience;
  if (c->ranks) c->compiler.ranks = c->ranks->count;
  return s;
}

Status cli_ranks_told(Cli *c) {
  if (OPT(c, ranks) > MOST_RANKS) return cli_fail(c, ST_USAGE, "at most %d ranks", MOST_RANKS);
  if (OPT(c, shard) && OPT(c, ranks) < 2)
    return cli_fail(c, ST_USAGE, "--shard goes with --ranks, of 2 or more");
  if (OPT(c, ranks) > 1) c->compiler.ranks = (int)OPT(c, ranks);
  return ST_OK;
}

static void name_rank(Cli *c) {
  diag_note(c->diags, NULL, "on rank %d of %d, %s", c->ranks->rank, c->ranks->count, c->ranks->host);
}

/* The first rank at fault speaks: one with an error of its own, if there is one. */
Status cli_ranks_settle(Cli *c, Status s) {
  Ranks *r = c->ranks;
  if (!r) return s;
  int64_t rank = !s ? 2 * r->count : diags_errors(c->diags) ? r->rank : r->count + r->rank;
  int64_t first = -ranks_most(r, -rank);
  Status worst = ranks_worst(r, s);
  if (first == 2 * r->count) return s;
  c->silent = rank != first;
  if (!c->silent && r->rank > 0) name_rank(c);
  return worst;
}

void cli_ranks_stop(Cli *c, Status s) {
  if (!c->ranks) return;
  name_rank(c);
  diags_print(c->diags, stderr);
  c->ranks->stop(c->ranks, s);
}

Status cli_ranks_same(Cli *c, uint64_t number, const char *what) {
  int other = c->ranks ? ranks_differ(c->ranks, number) : -1;
  if (other < 0) return ST_OK;
  Status s =
      other == c->ranks->rank ? cli_fail(c, ST_USAGE, "%s on this rank is not that of rank 0", what) : ST_OK;
  return cli_ranks_settle(c, s);
}

/* The processor, and what compiles and runs: the program and its code generator. */
Status cli_ranks_same_program(Cli *c) {
  const char *fault = getenv("JEPAC_FAULT"); /* as `verify` has them: for a test on one machine */
  const char *file[] = {"/proc/self/exe", compiler_beside(c->arena, "jepac_codegen.so")};
  Target here = target_host();
  int kind[] = {(int)here.arch, here.vector_bytes, here.fma,
                here.bf16,      (int)here.tiles,   fault && !strcmp(fault, "processor")};
  Status s = c->ranks ? cli_ranks_same(c, hash_bytes(kind, sizeof kind, 0), "the kind of processor") : ST_OK;
  uint64_t h = 0;
  if (s || !c->ranks) return s;
  for (int i = 0; i < 2 && !s; i++) {
    MappedFile m = {0};
    if (i && access(file[i], F_OK)) continue; /* it is part of the program */
    if (!(s = file_map(&m, file[i], c->diags))) h = hash_bytes(m.p, m.n, h);
    file_unmap(&m);
  }
  if ((s = cli_ranks_settle(c, s))) return s;
  return cli_ranks_same(c, h, "the program (jepac itself)");
}

void cli_ranks_end(Cli *c) {
  if (c->ranks) c->ranks->close(c->ranks);
  c->ranks = NULL;
}
