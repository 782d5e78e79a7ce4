/* Private to ir/: the inference functions (ir/graph/infer.c) and derivative builders (ir/graph/vjp.c) that rows of
   ir/graph/ops.def name. */
#ifndef JEPAC_IR_GRAPH_OPS_IMPL_H
#define JEPAC_IR_GRAPH_OPS_IMPL_H

#include "ir/graph/graph.h"

/* Checks operands and attributes of n and fills its type. A type already in n (dt not DT_NONE, rank not
   SHAPE_UNKNOWN) is an annotation: rows that need one (TY_EXPLICIT) read it, and it must agree with what
   inference finds. Operands of n must be valid values of g. */
enum { SHAPE_UNKNOWN = -1 };
bool infer_node(const Graph *g, Node *n, char *err, size_t errlen);
/* Writes why it fails; false. */
__attribute__((format(printf, 3, 4))) bool infer_fail(char *err, size_t errlen, const char *fmt, ...);

/* The text form's words (ir/graph/print.c), shared with the reader. */
enum { INPUT_KINDS = IN_RUNTIME + 1, INIT_KINDS = INIT_COPY + 1, ROLES = ROLE_UPDATE + 1 };
extern const char *const input_kind_names[INPUT_KINDS]; /* "arg", "param", ... */
extern const char *const init_kind_names[INIT_KINDS];
extern const char *const role_names[ROLES];
bool text_is_word_char(char c, bool first); /* unquoted names */
bool text_is_path_char(char c);             /* unquoted file names in location trailers */
void print_loc(StrBuf *out, const Loc *l);  /* file:line:col < call site < ... */

static inline bool input_is_state(InputKind k) { return k == IN_PARAM || k == IN_BUFFER || k == IN_SLOT; }

#define INFER(NAME) bool infer_##NAME(const struct Graph *g, struct Node *n, char *err, size_t errlen)
INFER(grad);
INFER(iota);
INFER(random);
INFER(reshape);
INFER(transpose);
INFER(broadcast);
INFER(slice);
INFER(pad);
INFER(concat);
INFER(reverse);
INFER(window);
INFER(fold);
INFER(reduce);
INFER(argmax);
INFER(dot);
INFER(conv);
INFER(conv_dx);
INFER(conv_dw);
INFER(gather);
INFER(scatter);
INFER(scatter_into);
INFER(argsort);
INFER(scan_in);
INFER(scan_carry);
INFER(scan_next);
INFER(scan_out);
INFER(square);
INFER(triangular);
INFER(solve);
INFER(slogdet);
INFER(eigh);
INFER(eigvalsh);
INFER(svd);
INFER(qr);
INFER(all);
INFER(part);
INFER(gathered);

#define VJP(NAME) void vjp_##NAME(struct Graph *g, Val y, Val gy, Val *gin)
VJP(none);
VJP(reshape);
VJP(transpose);
VJP(broadcast);
VJP(slice);
VJP(pad);
VJP(concat);
VJP(reverse);
VJP(window);
VJP(fold);
VJP(reduce_sum);
VJP(reduce_mean);
VJP(reduce_extreme);
VJP(reduce_m2);
VJP(dot);
VJP(conv);
VJP(conv_dx);
VJP(conv_dw);
VJP(gather);
VJP(scatter);
VJP(scatter_set);
VJP(scatter_mul);
VJP(scatter_extreme);
VJP(cholesky);
VJP(triangular);
VJP(solve);
VJP(slogdet);
VJP(eigh);
VJP(eigvalsh);
VJP(svd);
VJP(qr);
VJP(all_sum);
VJP(all_mean);
VJP(all_max);
VJP(all_broadcast);
VJP(reduce_scatter);
VJP(rank_part);
VJP(all_gather);
VJP(extern);

#endif
