/* Layout of model files. */
#ifndef JEPAC_FRONTEND_FMT_H
#define JEPAC_FRONTEND_FMT_H

#include "ir/base.h"

/* Lays out a model file anew: only blanks change, never tokens, comments or line breaks. False after
   reporting errors of syntax. */
bool frontend_format(Arena *a, Diags *d, const Source *src, StrBuf *out);

#endif
