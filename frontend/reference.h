/* Documentation of the language from its tables and its library's text, as Markdown. */
#ifndef JEPAC_FRONTEND_REFERENCE_H
#define JEPAC_FRONTEND_REFERENCE_H

#include "ir/base.h"

void frontend_functions(StrBuf *out); /* built-in functions: a table */
/* The library's declarations but data sources: lists under the headings of its files. */
void frontend_library(Arena *a, StrBuf *out);

#endif
