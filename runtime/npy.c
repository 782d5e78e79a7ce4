/* npy files, format version 1.0 as written by numpy.lib.format: magic, version, header length, a Python
   dictionary literal with the keys descr, fortran_order and shape, padding, data. */
#include "runtime/file.h"
#include "runtime/safetensors.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *descr;
  DType dt;
} npy_types[] = {{"<f4", DT_F32}, {"<f8", DT_F64}, {"<i4", DT_I32},
                 {"<i8", DT_I64}, {"<u4", DT_U32}, {"|b1", DT_BOOL}};
enum { NTYPES = sizeof npy_types / sizeof *npy_types };

const char *npy_value(const char *header, const char *key) {
  char quoted[32];
  snprintf(quoted, sizeof quoted, "'%s':", key);
  const char *p = strstr(header, quoted);
  if (!p) return NULL;
  p += strlen(quoted);
  return p + strspn(p, " ");
}

/* NULL, or what is wrong. */
static const char *parse_header(const char *h, DType *dt, Shape *shape, int64_t *count) {
  const char *descr = npy_value(h, "descr"), *order = npy_value(h, "fortran_order"),
             *p = npy_value(h, "shape");
  if (!descr || !order || !p || *p++ != '(') return "its header lacks descr, fortran_order or shape";
  *dt = DT_NONE;
  for (int k = 0; k < NTYPES; k++)
    if (descr[0] == '\'' && !strncmp(descr + 1, npy_types[k].descr, 3) && descr[4] == '\'')
      *dt = npy_types[k].dt;
  if (*dt == DT_NONE) return "its element type is not one of f4 f8 i4 i8 u4 b1, little-endian";
  if (strncmp(order, "False", 5)) return "it is in Fortran order; only C order is supported";
  *count = 1;
  shape->rank = 0;
  while (*(p += strspn(p, " ,")) != ')') {
    int64_t dim = 0;
    if (!isdigit((unsigned char)*p)) return "its shape is not a list of sizes";
    for (; isdigit((unsigned char)*p); p++)
      if (__builtin_mul_overflow(dim, (int64_t)10, &dim) || __builtin_add_overflow(dim, *p - '0', &dim))
        return "its shape overflows";
    if (shape->rank == MAX_RANK) return "it has too many dimensions";
    if (__builtin_mul_overflow(*count, dim, count)) return "its shape overflows";
    shape->dim[shape->rank++] = dim;
  }
  return NULL;
}

Status npy_read(const char *path, StTensor *out, Arena *a, Diags *d) {
  MappedFile m;
  const char *wrong = NULL;
  if (file_map(&m, path, d) != ST_OK) return ST_FILE;
  *out = (StTensor){.name = ""};
  int64_t count = 0, have = 0;
  if (m.n < 10 || memcmp(m.p, "\x93NUMPY", 6)) {
    wrong = "no npy file";
  } else if (m.p[6] != 1) {
    wrong = "only npy version 1 is supported";
  } else {
    size_t n = m.p[8] | (size_t)m.p[9] << 8;
    if (10 + n > m.n) {
      wrong = "its header is truncated";
    } else {
      wrong = parse_header(arena_strndup(a, (const char *)m.p + 10, n), &out->dt, &out->shape, &count);
      have = (int64_t)(m.n - 10 - n);
    }
  }
  if (!wrong && (__builtin_mul_overflow(count, dtype_size(out->dt), &out->bytes) || out->bytes > have))
    wrong = "it is shorter than its shape says (truncated?)";
  if (!wrong && out->bytes < have) wrong = "it is longer than its shape says";
  if (wrong) {
    diag_error(d, NULL, "%s: %s", path, wrong);
  } else {
    void *data = arena_alloc(a, (size_t)out->bytes);
    if (out->bytes) memcpy(data, m.p + m.n - have, (size_t)out->bytes);
    out->data = data;
  }
  file_unmap(&m);
  return wrong ? ST_FILE : ST_OK;
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
