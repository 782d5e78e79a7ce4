/* jepac import and jepac export: ONNX files in and out (onnx/onnx.h). */
#include "cli/cli.h"
#include "onnx/onnx.h"

Status cmd_import(Cli *c) {
  OnnxImport what = {
      .model = c->opt.arg[0], .folder = OPT(c, out), .name = OPT(c, name), .inputs = OPT(c, inputs)};
  if (!what.folder) return cli_fail(c, ST_USAGE, "jepac import needs -o DIR, a folder for the files");
  return onnx_import(cli_compiler(c, 0), &what);
}

Status cmd_export(Cli *c) {
  OnnxExport what = {.entry = OPT(c, entry),
                     .model = c->opt.arg[0],
                     .dynamic = OPT(c, dynamic),
                     .params = OPT(c, params),
                     .out = OPT(c, out),
                     .seed = cli_seed(c, NULL)};
  if (!what.out) return cli_fail(c, ST_USAGE, "jepac export needs -o FILE.onnx");
  Model *m;
  Status s = cli_load(c, c->opt.arg[0], NULL, 0, &m);
  return s ? s : onnx_export(&c->compiler, m, &what);
}
