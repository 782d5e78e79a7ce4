/* What the files of the loop kind share: loop.c (its row), loop_text.c, loop_verify.c, loop_interp.c. */
#ifndef JEPAC_IR_KERNEL_LOOP_IMPL_H
#define JEPAC_IR_KERNEL_LOOP_IMPL_H

#include "ir/kernel/kind.h"

void loop_print_head(const KText *t, const Kernel *k); /* " over 4xv16 reduce 3 chunks=4" */
void loop_print_body(const KText *t, const Kernel *k);
void loop_read_head(KReader *r, Kernel *k);
void loop_read_body(KReader *r, Kernel *k);
bool loop_verify(Check *c, const Kernel *k);
void loop_interp(const Program *p, const Kernel *k, double *const *mem, InterpMode mode);

#endif
