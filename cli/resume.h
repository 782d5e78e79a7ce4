/* What a resumed run does otherwise than before. */
#ifndef JEPAC_CLI_RESUME_H
#define JEPAC_CLI_RESUME_H

#include "cli/cli.h"
#include "runtime/checkpoint.h"

/* Compares the recipes and the --set of the run that wrote the checkpoint with those of now. What changes no value of a
   step (length, threads, paths) is said at most; everything else is an error (ST_USAGE) with the list of it unless
   --accept-changes is given. schedules: some depend on the run's length. *log: the changes as a JSON object for the
   run's log, in the arena; NULL: none. */
Status resume_compare(Cli *c, const char *folder, const CheckpointInfo *old, const CheckpointInfo *now,
                      bool schedules, const char **log);

#endif
