/* The table of kernel kinds on the code generator's side. */
#include "codegen/emit/kind.h"

#define KIND(NAME, name) extern const CodegenKind codegen_##name;
#include "ir/kernel/kinds.def"
#undef KIND

const CodegenKind *codegen_kind(const Kernel *k) {
  static const CodegenKind *const rows[KERNEL_KINDS] = {
#define KIND(NAME, name) [KK_##NAME] = &codegen_##name,
#include "ir/kernel/kinds.def"
#undef KIND
  };
  return rows[k->kind];
}
