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

void store_f64(void *p, DType dt, int64_t i, double v) { element_put(dt, p, i, v); }
double load_f64(const void *p, DType dt, int64_t i) { return element_cell(dt, p, i); }

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
