/* What a kind of kernel can do: a row of functions, which only files of ir/kernel call. Everything else asks the
   functions of ir/kernel/kernel.h, which look the row up. A NULL function is answered as its comment says. */
#ifndef JEPAC_IR_KERNEL_KIND_H
#define JEPAC_IR_KERNEL_KIND_H

#include "ir/kernel/text.h"

/* A check of kernel k under way; kernel_wrong() writes why it fails and returns false. */
typedef struct {
  const Program *p;
  int k;
  char *err;
  size_t errlen;
} Check;
__attribute__((format(printf, 2, 3))) bool kernel_wrong(Check *c, const char *fmt, ...);

typedef struct {
  int64_t lo, hi;
  bool far; /* beyond 64 bits */
} Range;
void range_add(Range *r, Range x, int64_t factor); /* r += factor * x */
bool range_within(Range r, int64_t count);
/* Extents whose product is no larger than a tensor can be. */
bool extents_possible(const int64_t *v, int n);

typedef struct {
  const char *name;
  /* The fields of the kernel (ir/kernel/text.h): its text, read back from it, and its identity. For what fields
     cannot say, print and read: the rest of the kernel's line, and the lines below it. */
  const Field *field;
  int nfield;
  void (*print_head)(const KText *t, const Kernel *k);
  void (*print_body)(const KText *t, const Kernel *k);
  void (*read_head)(KReader *r, Kernel *k);
  void (*read_body)(KReader *r, Kernel *k);
  /* A sentence on numbers that no kernel of the kind can have, or NULL: asked before anything is planned from them. */
  const char *(*impossible)(const Kernel *k, const Target *t);
  /* The rest, operands included. */
  bool (*verify)(Check *c, const Kernel *k);
  /* Puts in what was left to the planner; NULL: nothing was. */
  void (*settle)(const Target *t, Kernel *k);

  /* Kernels that are one of several steps. */
  ContractionPlan (*plan)(const Kernel *k, const Target *t);
  bool main_unnamed; /* the step that does the work has no name of its own in kernel_name() */
  int64_t *(*choice)(Kernel *k);
  ChoiceFn *decide; /* of the spec, the union in Kernel */

  int64_t (*chunks)(const Program *p, const Kernel *k);                       /* NULL: by its plan, or 1 */
  int64_t (*chunk_bytes)(const Program *p, const Kernel *k, int i);           /* NULL: 0 */
  bool (*recut)(const Program *p, int64_t count, Kernel *k);                  /* NULL: never */
  double (*cut_loss)(const Program *p, const Kernel *k);                      /* NULL: none */
  bool (*reads_in_place)(const Program *p, const Kernel *k, int in, int out); /* NULL: false */
  bool keeps_order;
  bool foreign; /* not our code: it finds the floating-point mode as everybody else has it */
  double (*sent)(const Kernel *k);                      /* NULL: 0 */
  double (*sending)(const Kernel *k, const Network *n); /* seconds of it; with sent */

  const char *(*how)(const Program *p, const Kernel *k, const char **why); /* NULL: nothing to say */
  double (*flops)(const Program *p, const Kernel *k);                      /* NULL: by its plan, or 0 */
  double (*least_flops)(const Program *p, const Kernel *k);                /* NULL: all */
  int (*parts)(const Kernel *k, KernelPart *part);                         /* NULL: 0 */
  bool (*damage)(Kernel *k);                                               /* NULL: false */

  void (*interp)(const Program *p, const Kernel *k, double *const *mem, InterpMode mode);
  bool interp_only_temporaries; /* kernel_interp_only() of what steps hand on, of workspaces */
  const char *(*fault)(const Kernel *k, double *const *mem, Arena *a); /* NULL: nothing to say */
  bool (*rounds_narrow)(const Kernel *k);                              /* NULL: false */
  double error_share;
} KindRow;

const KindRow *kind_of(const Kernel *k);
const KindRow *kind_read(KReader *r, Kernel *k); /* the name of a kind, into k */

#endif
