/* What tests share: running a suite, messages as text, elements of any type, gradients of a graph. */
#ifndef JEPAC_TESTS_SUPPORT_H
#define JEPAC_TESTS_SUPPORT_H

#include "ir/graph/graph.h"

#include <check.h>

/* Runs and frees a suite; what main returns. CK_VERBOSITY says how much is printed. */
int run_suite(Suite *s);
/* A file of n bytes, or the test fails. */
void write_bytes(const char *path, const void *p, size_t n);
/* What the diagnostics print; free it. */
char *diags_text(const Diags *d);

/* Typed memory <-> cells (ir/type.h). */
void store_f64(void *p, DType dt, int64_t i, double v);
double load_f64(const void *p, DType dt, int64_t i);

/* Adds "grad.I" of the sum of the first output's squares for every float input I; nothing when it is no
   float. */
void add_gradients(Graph *g);

#endif
