/* A fixture: an arena, diagnostics, and an empty folder that is removed with what is in it. */
#ifndef JEPAC_TESTS_FOLDER_H
#define JEPAC_TESTS_FOLDER_H

#include "tests/unit/support.h"

extern Arena *arena;
extern Diags *diags;
extern char folder[64];

void setup(void), teardown(void);
char *in_folder(const char *name); /* its path */
/* Asserts that what has been reported since the last call has both words; and that it is exactly one error. */
void expect_message(const char *a, const char *b);
void expect_error(const char *a, const char *b);

#endif
