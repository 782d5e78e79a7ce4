/* Parts of jepac explain. */
#ifndef JEPAC_CLI_EXPLAIN_H
#define JEPAC_CLI_EXPLAIN_H

#include "cli/cli.h"
#include "cli/lines.h"

Status explain_memory(Cli *c, const Program *p, Lines *t);
/* r: the recipe whose step p is, or NULL. */
Status explain_time(Cli *c, const Program *p, Lines *t, const Recipe *r);
/* What --network says of p, the step of one of several ranks. */
Status explain_ranks(Cli *c, const Program *p, const Recipe *r);
/* What this machine can do in a second: one matrix product, one copy; and what a program takes at that. */
typedef struct {
  double flops, bytes;
} Roof;
Status measure_roof(Cli *c, Roof *r);
double roof_kernel_seconds(const Program *p, int k, const Roof *r);
double roof_seconds(const Program *p, const Roof *r);
Status explain_fusion(Cli *c, const Program *p, Lines *t);
void put_xml(StrBuf *b, const char *s); /* as text of an XML file */
/* The arena as an SVG picture: kernels from left to right, offsets upwards, a rectangle a buffer. */
void memory_svg(const Program *p, Lines *t, StrBuf *out);

/* ---- the program explain, verify and the viewer look at ---- */
/* The graph of a model (--entry, else the optimizer step, else the first entry) or of an IR file. */
Status cli_subject(Cli *c, const Graph **g, int64_t *batch); /* batch: of its recipe, 0 none */
/* Times of each kernel in seconds from a trace of this program; NULL when none is given. */
Status cli_read_trace(Cli *c, const char *path, const Program *p, double **seconds);
bool trace_is_of(const char *path, const Program *p); /* false also when it cannot be read */
uint64_t program_hash(const Program *p);              /* which program a trace belongs to */

#endif
