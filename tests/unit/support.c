/* Helpers of the tests (support.h). */
#include "tests/unit/support.h"

#include <stdio.h>
#include <string.h>

int run_suite(Suite *s) {
  SRunner *r = srunner_create(s);
  srunner_run_all(r, CK_ENV);
  int failed = srunner_ntests_failed(r);
  srunner_free(r);
  return failed != 0;
}

char *diags_text(const Diags *d) {
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  diags_print(d, f);
  fclose(f);
  return text;
}

void store_f64(void *p, DType dt, int64_t i, double v) {
  switch (dt) {
  case DT_F32: ((float *)p)[i] = (float)v; break;
  case DT_F64: ((double *)p)[i] = v; break;
  case DT_I32: ((int32_t *)p)[i] = (int32_t)v; break;
  case DT_U32: ((uint32_t *)p)[i] = (uint32_t)v; break;
  case DT_I64: ((int64_t *)p)[i] = cell_int(dt, v); break;
  case DT_BOOL: ((uint8_t *)p)[i] = v != 0; break;
  case DT_BF16: ((uint16_t *)p)[i] = bf16_bits((float)v); break;
  default: bug("store_f64");
  }
}

double load_f64(const void *p, DType dt, int64_t i) {
  switch (dt) {
  case DT_F32: return ((const float *)p)[i];
  case DT_F64: return ((const double *)p)[i];
  case DT_I32: return ((const int32_t *)p)[i];
  case DT_U32: return ((const uint32_t *)p)[i];
  case DT_I64: return int_cell(dt, ((const int64_t *)p)[i]);
  case DT_BOOL: return ((const uint8_t *)p)[i];
  case DT_BF16: return (double)bf16_value(((const uint16_t *)p)[i]);
  default: bug("load_f64");
  }
}

void add_gradients(Graph *g) {
  Val y = g->outputs.v[0].val;
  if (!dtype_is_float(g_node(g, y)->dt)) return;
  Ints all = ints_range(g_node(g, y)->shape.rank);
  Val loss = g_reduce(g, OP_reduce_sum, g_binary(g, OP_mul, y, y), &all);
  for (int i = 0, n = g->inputs.n; i < n; i++) {
    Val x = g->inputs.v[i].val;
    if (!dtype_is_float(g_node(g, x)->dt)) continue;
    char name[32];
    snprintf(name, sizeof name, "grad.%d", i);
    g_output(g, name, g_binary(g, OP_grad, loss, x), -1);
  }
}

void write_bytes(const char *path, const void *p, size_t n) {
  FILE *f = fopen(path, "wb");
  ck_assert_ptr_nonnull(f);
  ck_assert_uint_eq(fwrite(p, 1, n, f), n);
  fclose(f);
}
