/* The operator table as documentation. */
#include "ir/graph/ops_impl.h"

#include <string.h>

/* name(a, b, attribute, shape, dtype, value): operands by letter, the rest by name, "?" where it may be absent. */
static void signature(const OpRow *r, OpId op, StrBuf *out) {
  const char *sep = "";
  sb_printf(out, "`%s(", r->name);
  for (int i = 0; i < r->nin; i++, sep = ", ") sb_printf(out, "%s%c", sep, 'a' + i);
  if (r->nin < 0) sb_printf(out, "a, ..."), sep = ", ";
  for (int i = 0; i < op_nattr(op); i++, sep = ", ") {
    char name[32];
    sb_printf(out, "%s%s%s", sep, op_attr_name(op, i, name), op_attr_optional(op, i) ? "?" : "");
  }
  bool typed = r->type == TY_EXPLICIT;
  if (typed && r->kind != KIND_MAP) sb_printf(out, "%sshape", sep), sep = ", ";
  if (typed && (r->kind == KIND_MAP || r->kind == KIND_SOURCE) && op != OP_random_bits)
    sb_printf(out, "%sdtype", sep), sep = ", ";
  if (op_has_imm(op)) sb_printf(out, "%svalue", sep);
  sb_printf(out, ")`");
}

/* "float, int" */
static void element_types(const OpRow *r, StrBuf *out) {
  static const char *const names[] = {"float", "int", "bool"};
  const char *sep = "";
  for (int i = 0; i < 3; i++)
    if (r->accept >> i & 1) {
      sb_printf(out, "%s%s", sep, names[i]);
      sep = ", ";
    }
}

static void derivative(const OpRow *r, StrBuf *out) {
  bool none = !r->vjp && (!r->vjp_fn || r->vjp_fn == vjp_none);
  if (r->vjp) none = strspn(r->vjp, "-; ") == strlen(r->vjp);
  if (none) sb_printf(out, "none");
  else if (r->vjp) sb_printf(out, "`%s`", r->vjp);
  else sb_printf(out, "yes");
  if (r->edge) sb_printf(out, "; %s", r->edge);
}

void ops_reference(StrBuf *out) {
  sb_printf(out, "| operator | meaning | elements | shape | derivative |\n|-|-|-|-|-|\n");
  for (int op = 0; op < OP_COUNT; op++) {
    const OpRow *r = &op_table[op];
    if (r->kind == KIND_INPUT || r->kind == KIND_GRAD || r->kind == KIND_EXTERN ||
        r->kind == KIND_COLLECTIVE || r->kind == KIND_SCAN)
      continue;
    if (!r->doc || (!r->rule && r->kind != KIND_MAP)) bug("operator %s is not documented", r->name);
    sb_printf(out, "| ");
    signature(r, (OpId)op, out);
    sb_printf(out, " | %s | ", r->doc);
    element_types(r, out);
    sb_printf(out, " | %s | ", r->rule ? r->rule : r->nin > 1 ? "that of all operands" : "that of a");
    derivative(r, out);
    sb_printf(out, " |\n");
  }
}
