/* The page that --dump-ir writes beside the stages' files. */
#ifndef JEPAC_CLI_HTML_H
#define JEPAC_CLI_HTML_H

#include "cli/explain.h"

typedef struct HtmlDump HtmlDump;
HtmlDump *html_dump_new(Cli *c);
/* The graph as the frontend made it, with the sources its values come from. */
void html_dump_graph(HtmlDump *h, const Graph *g);
/* A stage's text; the time since the stage before counts as its own. */
void html_dump_stage(HtmlDump *h, const char *name, const char *text);
/* What is known of the kernels of the program made last. */
void html_dump_program(HtmlDump *h, const Program *p);
/* Measured seconds of each, and the roof; what is compiled later is left out of the page. */
void html_dump_times(HtmlDump *h, const Program *p, const double *seconds, const Roof *roof);
Status html_dump_write(HtmlDump *h, const char *folder); /* folder/index.html and folder/page */

#endif
