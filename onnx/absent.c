/* In place of the rest of this folder, where ONNX's schema was not there when jepac was built. */
#include "onnx/onnx.h"

static Status absent(Compiler *c) {
  diag_error(c->diags, NULL, "this jepac was built without ONNX: install libonnx-dev (scripts/install-deps onnx), and build it anew");
  return ST_USAGE;
}

Status onnx_import(Compiler *c, const OnnxImport *what) {
  (void)what;
  return absent(c);
}

Status onnx_export(Compiler *c, Model *m, const OnnxExport *what) {
  (void)m;
  (void)what;
  return absent(c);
}
