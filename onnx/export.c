#include "onnx/onnx.h"
Status onnx_export(Compiler *c, Model *m, const OnnxExport *what) {
  (void)m;
  (void)what;
  diag_error(c->diags, NULL, "not yet");
  return ST_USAGE;
}
