/* What debuggers and profilers need of generated code: each kernel as a function of its own name that lies at
   its model line (DWARF through LLVM's DIBuilder), announced to gdb's JIT interface or written to perf's jit
   dump by LLVM's event listeners. Only with CodegenOptions.debug; nothing here runs otherwise. */
#include "codegen/jit/jit.h"

#include <llvm-c/DebugInfo.h>
#include <llvm-c/ExecutionEngine.h>
#include <llvm-c/OrcEE.h>
#include <stdlib.h>
#include <string.h>

static LLVMMetadataRef file_of(LLVMDIBuilderRef b, const Loc *loc) {
  const char *path = loc && loc->src ? loc->src->path : "unknown";
  char *full = realpath(path, NULL), *slash = full ? strrchr(full, '/') : NULL;
  if (slash) *slash = 0;
  const char *name = slash ? slash + 1 : path, *folder = slash ? full : ".";
  LLVMMetadataRef f = LLVMDIBuilderCreateFile(b, name, strlen(name), folder, strlen(folder));
  free(full);
  return f;
}

static void flag(EmitModule *m, const char *name, uint32_t value) {
  LLVMAddModuleFlag(m->mod, LLVMModuleFlagBehaviorWarning, name, strlen(name),
                    LLVMValueAsMetadata(LLVMConstInt(m->i32, value, 0)));
}

void debug_describe(EmitModule *m, const Kernel *k, const char *name) {
  LLVMDIBuilderRef b = LLVMCreateDIBuilder(m->mod);
  LLVMMetadataRef file = file_of(b, k->loc);
  unsigned line = k->loc ? (unsigned)k->loc->line : 0, col = k->loc ? (unsigned)k->loc->col : 0;
  LLVMDIBuilderCreateCompileUnit(b, LLVMDWARFSourceLanguageC, file, "jepac", 5, 1, "", 0, 0, "", 0,
                                 LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "", 0);
  LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(b, file, NULL, 0, LLVMDIFlagZero);
  for (LLVMValueRef f = LLVMGetFirstFunction(m->mod); f; f = LLVMGetNextFunction(f)) {
    if (LLVMIsDeclaration(f)) continue;
    size_t n;
    const char *symbol = LLVMGetValueName2(f, &n);
    LLVMMetadataRef fn = LLVMDIBuilderCreateFunction(b, file, name, strlen(name), symbol, n, file, line, type,
                                                     0, 1, line, LLVMDIFlagZero, 1);
    LLVMSetSubprogram(f, fn);
    LLVMMetadataRef at = LLVMDIBuilderCreateDebugLocation(m->cx, line, col, fn, NULL);
    for (LLVMBasicBlockRef bb = LLVMGetFirstBasicBlock(f); bb; bb = LLVMGetNextBasicBlock(bb))
      for (LLVMValueRef i = LLVMGetFirstInstruction(bb); i; i = LLVMGetNextInstruction(i))
        LLVMInstructionSetDebugLoc(i, at);
  }
  flag(m, "Debug Info Version", LLVMDebugMetadataVersion());
  flag(m, "Dwarf Version", 4);
  LLVMDIBuilderFinalize(b);
  LLVMDisposeDIBuilder(b);
}

/* Event listeners attach to the older of LLVM's two object linkers. */
static LLVMOrcObjectLayerRef linking_layer(void *ctx, LLVMOrcExecutionSessionRef es, const char *triple) {
  (void)triple;
  LLVMOrcObjectLayerRef layer = LLVMOrcCreateRTDyldObjectLinkingLayerWithSectionMemoryManager(es);
  LLVMOrcRTDyldObjectLinkingLayerRegisterJITEventListener(layer, ctx);
  return layer;
}

LLVMErrorRef debug_create_jit(CodegenDebug debug, LLVMOrcLLJITRef *jit) {
  LLVMJITEventListenerRef listener =
      debug == DEBUG_PERF ? LLVMCreatePerfJITEventListener() : LLVMCreateGDBRegistrationListener();
  if (!listener) return LLVMCreateStringError("this LLVM is built without perf support");
  LLVMOrcLLJITBuilderRef b = LLVMOrcCreateLLJITBuilder();
  LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(b, linking_layer, listener);
  return LLVMOrcCreateLLJIT(jit, b);
}
