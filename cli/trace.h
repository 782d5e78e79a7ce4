/* Traces of runs in the format of Chrome's tracing and Perfetto ("Trace Event Format"). */
#ifndef JEPAC_CLI_TRACE_H
#define JEPAC_CLI_TRACE_H

#include "cli/cli.h"

enum { TRACE_RANK = 1 }; /* the process number of rank 0 in a trace; others follow */

typedef struct Trace Trace;
/* Begins to record what the session's threads do. */
Trace *trace_new(Cli *c, const Compiled *k);
void trace_step(Trace *t, int64_t step); /* the next events belong to this optimizer step */
/* Ends the recording. All ranks call it; rank 0 writes what all did. */
Status trace_write(Trace *t, const char *path);

#endif
