/* Tensor files: safetensors (https://huggingface.co/docs/safetensors). */
#ifndef JEPAC_RUNTIME_SAFETENSORS_H
#define JEPAC_RUNTIME_SAFETENSORS_H

#include "ir/type.h"

typedef struct {
  const char *name;
  DType dt;
  Shape shape;
  const void *data; /* aligned for dt */
  int64_t bytes;
} StTensor;

typedef struct {
  const char *key, *value;
} StMeta;

typedef struct StFile StFile;

/* Reads and validates a file; NULL after reporting what is wrong with it (ST_FILE). Element types without a
   DType are converted: F16 to f32; I8, U8, I16 and U16 to i32. errno then: 0 where what it holds is wrong. */
StFile *st_open(const char *path, Diags *d);
void st_close(StFile *f);
const char *st_path(const StFile *f);
int st_count(const StFile *f);
const StTensor *st_tensor(const StFile *f, int i);
const StTensor *st_find(const StFile *f, const char *name); /* NULL when absent */
const char *st_meta(const StFile *f, const char *key);      /* NULL when absent */

/* What the file of these tensors without metadata begins with, for free(); NULL after reporting. */
char *st_header(const StTensor *t, int n, size_t *size, Diags *d);
/* Writes atomically (runtime/file.h). */
Status st_write(const char *path, const StTensor *t, int n, const StMeta *meta, int nmeta, Diags *d);
/* The same; the file of that name stays as `previous`. */
Status st_replace(const char *path, const char *previous, const StTensor *t, int n, const StMeta *meta,
                  int nmeta, Diags *d);

#endif
