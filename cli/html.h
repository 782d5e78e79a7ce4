/* The page that --dump-ir writes beside the stages' files. */
#ifndef JEPAC_CLI_HTML_H
#define JEPAC_CLI_HTML_H

#include "cli/cli.h"

typedef struct HtmlDump HtmlDump;
HtmlDump *html_dump_new(Cli *c);
/* The graph as the frontend made it, with the sources its values come from. */
void html_dump_graph(HtmlDump *h, const Graph *g);
/* A stage's text; the time since the stage before counts as its own. */
void html_dump_stage(HtmlDump *h, const char *name, const char *text);
Status html_dump_write(HtmlDump *h, const char *folder); /* folder/index.html */

#endif
