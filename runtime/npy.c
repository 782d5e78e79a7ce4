/* npy files of one tensor, as numpy.lib.format has them (reading: data/array.c; written in version 1.0:
   magic, version, header length, a Python dictionary literal, padding, data). */
#include "runtime/data/array.h"
#include "runtime/file.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *descr;
  DType dt;
} npy_types[] = {{"<f4", DT_F32}, {"<f8", DT_F64}, {"<i4", DT_I32},
                 {"<i8", DT_I64}, {"<u4", DT_U32}, {"|b1", DT_BOOL}};
enum { NTYPES = sizeof npy_types / sizeof *npy_types };

Status npy_read(const char *path, StTensor *out, Arena *a, Diags *d) {
  MappedFile m;
  Array x;
  if (file_map(&m, path, d) != ST_OK) return ST_FILE;
  *out = (StTensor){.name = ""};
  const char *wrong = array_parse(m.p, m.n, &x);
  for (int k = 0; k < NTYPES && !wrong; k++)
    if (x.kind == npy_types[k].descr[1] && x.size == npy_types[k].descr[2] - '0') out->dt = npy_types[k].dt;
  if (!wrong && out->dt == DT_NONE) wrong = "its element type is not one of f4 f8 i4 i8 u4 b1";
  for (int64_t i = 0; !wrong && out->dt == DT_BOOL && i < x.count; i++)
    if (((const uint8_t *)x.data)[i] > 1) wrong = "a bool in it is neither 0 nor 1";
  if (wrong) {
    diag_error(d, NULL, "%s: %s", path, wrong);
  } else {
    out->shape = x.shape, out->bytes = x.count * x.size;
    void *data = arena_alloc(a, (size_t)out->bytes);
    if (out->bytes) memcpy(data, x.data, (size_t)out->bytes);
    out->data = data;
  }
  file_unmap(&m);
  return wrong ? ST_FILE : ST_OK;
}

bool npy_holds(DType dt) {
  for (int k = 0; k < NTYPES; k++)
    if (npy_types[k].dt == dt) return true;
  return false;
}

Status npy_write(const char *path, const StTensor *t, Diags *d) {
  int k = 0;
  while (k < NTYPES && npy_types[k].dt != t->dt) k++;
  if (k == NTYPES) {
    diag_error(d, NULL, "%s: an npy file cannot hold elements of type %s", path, dtype_name(t->dt));
    return ST_FILE;
  }
  StrBuf h = {0};
  sb_printf(&h, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_types[k].descr);
  for (int i = 0; i < t->shape.rank; i++)
    sb_printf(&h, "%lld,%s", (long long)t->shape.dim[i], i + 1 < t->shape.rank ? " " : "");
  sb_printf(&h, "), }");
  size_t pad = 63 - (10 + h.n) % 64; /* the data begins at a multiple of 64 */
  sb_printf(&h, "%*s\n", (int)pad, "");
  NewFile nf;
  Status st = file_begin(&nf, path, d);
  if (st == ST_OK) {
    unsigned char head[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)h.n, (unsigned char)(h.n >> 8)};
    fwrite(head, 1, sizeof head, nf.f);
    fwrite(h.s, 1, h.n, nf.f);
    fwrite(t->data, 1, (size_t)t->bytes, nf.f);
    st = file_commit(&nf, d);
  }
  sb_free(&h);
  return st;
}
