/* ONNX in and out. Both need Debian's schema when jepac is built (libonnx-dev); without it each call says so. */
#ifndef JEPAC_ONNX_H
#define JEPAC_ONNX_H

#include "lib/compiler.h"

typedef struct {
  const char *model;  /* MODEL.onnx */
  const char *folder; /* is made; NAME.jepa and NAME.safetensors appear in it */
  const char *name;   /* NULL: the model file's */
  const char *inputs; /* .safetensors: values of inputs that operators need when the graph is made; or NULL */
} OnnxImport;

/* Nothing is written where anything fails; all that cannot be imported is reported. */
Status onnx_import(Compiler *c, const OnnxImport *what);

typedef struct {
  const char *entry;   /* NULL: the first */
  const char *model;   /* its file, */
  const char *dynamic; /* and the dimension that stays open, or NULL */
  const char *params; /* .safetensors, or NULL: initial values from seed */
  const char *out;    /* FILE.onnx */
  uint64_t seed;
} OnnxExport;

Status onnx_export(Compiler *c, Model *m, const OnnxExport *what);

#endif
