/* The table of kernel kinds on the code generator's side. */
#include "codegen/emit/kind.h"

#define KIND(NAME, name, SPEC, MEMBER) extern const CodegenKind codegen_##name;
#include "ir/kernel/kinds.def"
#undef KIND

const CodegenKind *codegen_kind(const Kernel *k) {
  static const CodegenKind *const rows[KERNEL_KINDS] = {
#define KIND(NAME, name, SPEC, MEMBER) [KK_##NAME] = &codegen_##name,
#include "ir/kernel/kinds.def"
#undef KIND
  };
  return rows[k->kind];
}
